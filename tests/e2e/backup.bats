#!/usr/bin/env bats
# A node moves: identity, pins and messages, under a passphrase, to another machine.
load helpers

setup() {
    new_folder
    echo 'correct horse battery' >"$DIR/passphrase"
    echo 'wrong horse battery' >"$DIR/wrong"
}
teardown() {
    stop_all
}

restore() { # N FILE PASSPHRASE-FILE
    timeout "$(patient 60)" "$P2PD_BIN/p2pd" -c /dev/null --state "$DIR/$1" --restore "$2" --passphrase-file "$3"
}

@test "backup of a running node, restore elsewhere: same identity, pins, history, what waited" {
    start_network 2 3
    id=$(id_of 2)
    push_wait 2 3 'sent before'
    push_wait 3 2 'taken before' >/dev/null
    [ "$(ctl 2 pull | cut -f2)" = 'taken before' ]
    push_wait 3 2 'waits' >/dev/null
    ctl 2 backup "$DIR/node.backup" --passphrase-file "$DIR/passphrase"
    [ "$(stat -c %a "$DIR/node.backup")" = 600 ]
    fails grep -qa 'taken before' "$DIR/node.backup"
    fails ls "$DIR"/2/*.tmp
    kill_node 2
    expect_exit 1 restore 4 "$DIR/node.backup" "$DIR/wrong"
    [[ $ERR == *'passphrase is wrong'* ]]
    printf 'correct horse battery\r\nsecond line\r\n' >"$DIR/passphrase.crlf"
    restore 4 "$DIR/node.backup" "$DIR/passphrase.crlf"
    start_node 4 --peer "$NET.3"
    [ "$(id_of 4)" = "$id" ]
    [ "$(ctl 4 pull | cut -f2)" = 'waits' ]
    ctl 4 history "$(id_of 3)" | cut -f4 | sort | diff - <(printf '%s\n' 'sent before' 'taken before' waits)
    ctl 4 nodes --json | jq -e '.[] | select(.pinned)'
    # It takes part: what the other pushes to its id arrives.
    wait_until ctl 3 push --wait=5s "$id" 'to the new place'
    expect_exit 1 restore 4 "$DIR/node.backup" "$DIR/passphrase"
}

@test "while messages are pushed, backups are made and nothing is lost; no file is written over" {
    start_network 2 3
    wait_until has_route 2 3
    for i in 1 2 3 4 5; do
        seq "$((i * 200))" "$((i * 200 + 199))" | ctl 2 push -q --lines "$NET.3" &
        ctl 2 backup "$DIR/b.$i" --passphrase-file "$DIR/passphrase"
        wait $!
    done
    expect_exit 1 ctl 2 backup "$DIR/b.1" --passphrase-file "$DIR/passphrase"
    [[ $ERR == *"never written over"* ]]
    wait_until waiting 3 1000
    ctl 3 pull | cut -f2 | sort -n | diff - <(seq 200 1199)
    restore 5 "$DIR/b.4" "$DIR/passphrase"
    [ "$(sqlite3 "$DIR/5/messages.db" 'PRAGMA integrity_check')" = ok ]
}

@test "short passphrases, missing files, a full disk: said, and nothing is left" {
    start_node 2
    echo short >"$DIR/short"
    expect_exit 2 ctl 2 backup "$DIR/b" --passphrase-file "$DIR/short"
    expect_exit 1 ctl 2 backup "$DIR/b" --passphrase-file "$DIR/none"
    expect_exit 1 ctl 2 backup "$DIR/no/such/folder/b" --passphrase-file "$DIR/passphrase"
    expect_exit 2 ctl 2 backup "$DIR/" --passphrase-file "$DIR/passphrase"
    expect_exit 1 ctl 2 backup /dev/full/x --passphrase-file "$DIR/passphrase"
    fails ls "$DIR/b" "$DIR"/b*.part
}
