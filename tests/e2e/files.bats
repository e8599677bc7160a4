#!/usr/bin/env bats
# A file arrives as it was, once, under a name that harms nobody, whoever is killed on the way. Node 2 sends, node 6 gets, node 7
# is choosy about what it takes.
load helpers

# They are strangers to each other, and send more than a relay passes on by itself in the network of all who have no configuration.
QUICK=(--set link.heartbeat=1s --set link.timeout=3s --set pool.min=3 --set files.accept=all --set relay.rate=0)
BLOCK=61440 # of a parcel

setup_file() {
    new_folder
    start_network 2 3 4 5 6 -- "${QUICK[@]}"
    wait_until has_route 2 6
    id_of 6 >"$DIR/id6"
}
teardown_file() {
    umount -l "$DIR"/disk 2>/dev/null || true
    stop_all
}
setup() {
    TO=$(<"$DIR/id6")
    IN=$DIR/in.$BATS_TEST_NUMBER
    mkdir -p "$IN"
}

random_file() { # SIZE FILE
    head -c "$1" /dev/urandom >"$2"
}
start_again() { # N
    local peers=() n
    for n in 2 3 4 5 6; do
        [ "$n" = "$1" ] || peers+=(--peer "$NET.$n")
    done
    start_node "$1" "${QUICK[@]}" "${peers[@]}"
}
# Node 7 with a configuration of its own, which reload reads again.
choose() { # LINE...
    printf '%s\n' "$@" >"$DIR/7.conf"
    if [ -f "$DIR/7.pid" ]; then
        ctl 7 reload
    else
        start_node 7 -c "$DIR/7.conf" "${QUICK[@]:0:6}" --peer "$NET.2" --peer "$NET.3"
        wait_until has_route 2 7
    fi
}
held() { # N ID: so much of it is there
    ctl "$1" files --json | jq --arg id "$2" '.[] | select(.id == $id) | .held'
}
holds() { # N ID LEAST
    [ "$(held "$1" "$2")" -ge "$3" ]
}
spool_is_empty() { # N
    [ -z "$(ls -A "$DIR/$1/spool")" ]
}
has_spooled() { # N
    ! spool_is_empty "$1"
}
delivered() { # N ID
    state_is "$1" "$2" delivered
}
take_and_compare() { # N NAME ORIGINAL
    ctl "$1" receive "$IN" >/dev/null
    cmp "$IN/$2" "$3"
}

@test "a file: sent, listed, confirmed, received, and gone from both daemons" {
    random_file 300000 "$DIR/plain"
    digest=$(sha256sum <"$DIR/plain" | cut -d' ' -f1)
    expect_exit 0 ctl 2 send --wait=60s "$TO" "$DIR/plain" --json
    id=$(jq -r .id <<<"$OUT")
    jq -e --arg digest "$digest" '.state == "delivered" and .name == "plain" and .size == 300000 and .sha256 == $digest' <<<"$OUT"
    ctl 6 files --json | jq -e --arg id "$id" --arg digest "$digest" --arg peer "$(id_of 2)" --arg at "$NET.2:$PORT" \
        'length == 1 and (.[0] | .id == $id and .direction == "in" and .state == "waiting" and .name == "plain" and .size == 300000 and
         .held == 300000 and .sha256 == $digest and .peer.id == $peer and .peer.address == $at and (.path | endswith("/6/files/plain")) and
         ([.sent, .received] | all(test("^20..-..-..T..:..:..\\.[0-9]{3}Z$"))))'
    ctl 6 files | grep -qE "^< +waiting +$NET\.2:$PORT +plain +"
    ctl 2 status "$id" --json | jq -e --arg to "$TO" '.state == "delivered" and .kind == "file" and .size == 300000 and
        .recipient == $to and .confirmed == 300000 and .finished and .expires > .queued'
    wait_until spool_is_empty 2
    [ "$(ctl 6 receive "$IN")" = plain ]
    cmp "$DIR/plain" "$IN/plain"
    [ "$(ctl 6 files --json)" = '[]' ]
    [ -z "$(ls -A "$DIR/6/files")" ]
    [ -z "$(ctl 6 receive "$IN")" ] # once
    ctl 2 history "$TO" --json | jq -e --arg id "$id" 'select(.id == $id) | .kind == "file" and .state == "delivered" and .name == "plain"'
    ctl 6 history "$NET.2" --json | jq -e --arg id "$id" 'select(.id == $id) | .kind == "file" and .state == "taken" and .size == 300000'
}

@test "nothing, a byte, a block, one more, many blocks" {
    sizes=(0 1 $((BLOCK - 1)) $BLOCK $((BLOCK + 1)) 65536 $((2 * BLOCK)) 1000001)
    for size in "${sizes[@]}"; do
        random_file "$size" "$DIR/size$size"
    done
    ctl 2 send -q --wait=60s "$TO" "${sizes[@]/#/$DIR/size}"
    ctl 6 receive -q "$IN"
    for size in "${sizes[@]}"; do
        cmp "$DIR/size$size" "$IN/size$size"
    done
    [ "$(find "$IN" -type f | wc -l)" = ${#sizes[@]} ]
}

@test "names: no way out of the folder, no hidden file, no escape; the same three times" {
    printf x >"$DIR/x"
    for name in ../../up /etc/passwd '' "$(printf '%0201d' 0)"; do # by a sender of ours: not even queued
        expect_exit 2 ctl 2 send "$TO" "$DIR/x" --name "$name"
    done
    for name in .. ..hidden 'a\b' $'bell\a\e[31m' same same same 'é ü' half.part $'\342\200\256gpj.exe' "$(printf '%0200d' 0)"; do
        printf %s "$name" | ctl 2 send -q --wait=60s "$TO" - --name "$name"
    done
    mkdir -p "$DIR/folder"
    printf 'of a folder' >"$DIR/folder/base"
    ctl 2 send -q --wait=60s "$TO" "$DIR/folder/../folder/base"
    mkdir "$IN/sub"
    ctl 6 files >"$DIR/listed"
    fails grep -qP '[\x00-\x09\x0b-\x1f\x7f]' "$DIR/listed"
    ctl 6 receive "$IN/sub" >"$DIR/printed"
    fails grep -qP '[\x00-\x09\x0b-\x1f\x7f]' "$DIR/printed"
    [ "$(ls "$IN")" = sub ]
    (cd "$IN/sub" && LC_ALL=C ls -A) >"$DIR/names"
    printf '%s\n' _. _.hidden _gpj.exe b base bell__[31m "$(printf '%0200d' 0)" half_part same same.1 same.2 'é ü' | LC_ALL=C sort >"$DIR/expected"
    diff "$DIR/expected" "$DIR/names"
}

@test "names that are too long to be sent: cut in front of their ending, or named" {
    mkdir "$DIR/long"
    chinese=$(printf '\344\270\255%.0s' $(seq 80)) # 240 bytes; a file system takes 255
    cut=$(printf '\344\270\255%.0s' $(seq 64))     # not ${chinese:0:64}, which are bytes where LANG is not set
    printf 1 >"$DIR/long/a"
    printf 2 >"$DIR/long/$chinese.tar.gz"
    printf 3 >"$DIR/long/z"
    expect_exit 0 ctl 2 send --wait=60s "$TO" "$DIR"/long/*
    [ "$(wc -l <<<"$OUT")" = 3 ]
    [[ $ERR == *"$chinese.tar.gz: its name has 247 bytes, of which 200 can be sent"*"--name"* ]]
    expect_exit 0 ctl 2 send -q --wait=60s "$TO" "$DIR/long/$chinese.tar.gz"
    [ -z "$OUT$ERR" ]
    expect_exit 0 ctl 2 send --json --wait=60s "$TO" "$DIR/long/$chinese.tar.gz"
    [ -z "$ERR" ]
    [ "$(jq -r .name <<<"$OUT")" = "$cut.tar.gz" ]
    ctl 6 receive "$IN" >/dev/null
    [ "$(LC_ALL=C ls "$IN" | wc -l)" = 5 ]
    [ "$(cat "$IN/a" "$IN/$cut.tar.gz" "$IN/$cut.tar.gz.2" "$IN/z")" = 1223 ]
    # Of several, what is wrong is said of the one with which it is; the others go.
    expect_exit 2 ctl 2 send "$TO" "$DIR/long/a" --name "$(printf '%0201d' 0)"
    [[ $ERR == *"$DIR/long/a: a file's name has 1 to 200 bytes"* ]]
    mkfifo "$DIR/long/b"
    expect_exit 1 ctl 2 send -q --wait=60s "$TO" "$DIR/long/a" "$DIR/long/b" "$DIR/long/none" "$DIR/long/z"
    [[ $ERR == *"$DIR/long/b: not a regular file"*"$DIR/long/none: No such file"* ]]
    [ "$(ctl 6 receive "$IN")" = $'a.1\nz.1' ]
}

@test "receive overwrites nothing, neither a file nor what a link leads to" {
    printf mine >"$IN/taken"
    ln -s "$DIR/elsewhere" "$IN/taken.1"
    printf part >"$IN/taken.part"
    printf theirs | ctl 2 send -q --wait=60s "$TO" - --name taken
    [ "$(ctl 6 receive "$IN")" = taken.2 ]
    [ "$(cat "$IN/taken" "$IN/taken.part" "$IN/taken.2")" = mineparttheirs ]
    [ ! -e "$DIR/elsewhere" ]
    # A folder that cannot be written to: said, and nothing is lost.
    printf kept | ctl 2 send -q --wait=60s "$TO" - --name kept
    expect_exit 1 ctl 6 receive "$IN/none"
    expect_exit 1 ctl 6 receive "$IN/taken"
    [ "$(ctl 6 files --json | jq length)" = 1 ]
    [ "$(cd "$IN" && ctl 6 receive)" = kept ]
    [ "$(cat "$IN/kept")" = kept ]
}

@test "what cannot be sent is said, and leaves nothing" {
    printf x >"$DIR/x"
    expect_exit 4 ctl 2 send nobody-of-that-name "$DIR/x"
    expect_exit 4 ctl 2 send 10.9.8.7 "$DIR/x"
    expect_exit 1 ctl 2 send "$TO" "$DIR/no-such-file"
    expect_exit 1 ctl 2 send "$TO" "$DIR"
    [[ $ERR == *'a folder'* ]]
    expect_exit 2 ctl 2 send "$TO" -
    expect_exit 2 ctl 2 send "$TO" "$DIR/x" "$DIR/x" --name y
    expect_exit 2 ctl 2 send "$TO"
    spool_is_empty 2
    # One that is not there does not keep the others back.
    expect_exit 1 ctl 2 send --wait=60s "$TO" "$DIR/no-such-file" "$DIR/x"
    take_and_compare 6 x "$DIR/x"
}

@test "a client that dies while it copies leaves nothing; a slow one is waited for" {
    mkfifo "$DIR/pipe"
    ctl 2 send "$TO" - --name never <"$DIR/pipe" >"$DIR/out" 3>&- &
    local client=$!
    exec 9>"$DIR/pipe"
    printf 'the beginning' >&9
    wait_until has_spooled 2
    pkill -KILL -P "$client" p2pctl 2>/dev/null || kill -KILL "$client"
    wait "$client" 2>/dev/null || true
    exec 9>&-
    wait_until spool_is_empty 2
    [ ! -s "$DIR/out" ]
    ctl 2 send -t 300ms -q --wait=60s "$TO" - --name slow <"$DIR/pipe" 3>&- &
    client=$!
    exec 9>"$DIR/pipe"
    for i in 1 2 3 4; do # longer than the client's patience with the daemon
        printf '%s\n' $i >&9
        sleep 0.2
    done
    exec 9>&-
    wait "$client"
    ctl 6 receive -q "$IN"
    [ "$(cat "$IN/slow")" = "$(seq 4)" ]
}

# In the background: its id is in $CLIENT, what it says in $DIR/said.
begin() { # N ARGUMENT...
    P2PD_SOCKET=$DIR/$1.sock "$P2PD_BIN/p2pctl" "${@:2}" <&0 >"$DIR/said" 2>&1 3>&- &
    CLIENT=$!
}
has_more_than() { # FOLDER SIZE: a file in it that is being written
    [ -n "$(find "$1" -type f ! -name big.part -size "+$2")" ]
}
# Hold it once it has copied something, and not all. It is let go a few milliseconds at a time, and looked at while it stands.
hold_at_work() { # FOLDER SIZE-OF-ALL
    local deadline=$((SECONDS + $(patient "$WAIT_S")))
    [ -p "$DIR/never" ] || mkfifo "$DIR/never"
    kill -STOP "$CLIENT"
    until has_more_than "$1" 0; do
        ((SECONDS < deadline)) || { echo "timed out: nothing was copied to $1" >&2; return 1; }
        kill -CONT "$CLIENT"
        read -rt 0.005 <>"$DIR/never" || true
        kill -STOP "$CLIENT"
    done
    fails has_more_than "$1" $(($2 - 1))c
}
expect_end() { # CODE
    local got=0
    kill -CONT "$CLIENT" 2>/dev/null || true
    wait "$CLIENT" || got=$?
    [ "$got" = "$1" ] || { cat "$DIR/said"; return 1; }
}

@test "a file that is cut, grows or is written to while it is read is not sent" {
    size=400000000
    for change in 'truncate -s 5M' "truncate -s $((size + 1))" 'touch -m' 'truncate -s 0'; do
        rm -f "$DIR/original"
        truncate -s $size "$DIR/original"
        touch -d '1 hour ago' "$DIR/original"
        begin 2 send "$TO" "$DIR/original"
        hold_at_work "$DIR/2/spool" $size
        $change "$DIR/original"
        expect_end 1
        grep -qF "$DIR/original: changed while it was read; nothing was sent" "$DIR/said"
        wait_until spool_is_empty 2
    done
    # By way of standard input, too.
    truncate -s $size "$DIR/original"
    begin 2 send "$TO" - --name original <"$DIR/original"
    hold_at_work "$DIR/2/spool" $size
    truncate -s 5M "$DIR/original"
    expect_end 1
    wait_until spool_is_empty 2
    fails grep -q original <(ctl 2 history "$TO")
    # What has no size of its own is sent as it comes.
    ctl 2 send -q --wait=60s "$TO" /proc/version
    take_and_compare 6 version /proc/version
    rm "$DIR/original"
}

@test "receive: one copy, whoever comes at the same time or is killed over it" {
    size=60000000
    random_file $size "$DIR/big"
    ctl 2 send -q --wait=60s "$TO" "$DIR/big"
    # While one is at it another finds nothing to do, and says nothing.
    begin 6 receive "$IN"
    hold_at_work "$IN" $size
    expect_exit 0 ctl 6 receive "$IN"
    [ -z "$OUT$ERR" ]
    mkdir "$IN/other"
    expect_exit 0 ctl 6 receive "$IN/other"
    [ -z "$(ls -A "$IN/other")" ]
    # Whoever ends it in a way that it can notice leaves nothing in the folder.
    kill -TERM "$CLIENT"
    expect_end 143
    [ "$(ls -A "$IN")" = other ]
    for signal in INT HUP; do
        # Bash has its background commands ignore SIGINT; so it is given back what it was.
        P2PD_SOCKET=$DIR/6.sock env --default-signal=INT "$P2PD_BIN/p2pctl" receive "$IN" >"$DIR/said" 2>&1 3>&- &
        CLIENT=$!
        hold_at_work "$IN" $size
        kill -$signal "$CLIENT"
        expect_end $((128 + $(kill -l $signal)))
        [ "$(ls -A "$IN")" = other ]
    done
    # Killed, it cannot; the next one takes away what it left, and nothing else.
    printf mine >"$IN/big.part"
    begin 6 receive "$IN"
    hold_at_work "$IN" $size
    kill -KILL "$CLIENT"
    expect_end 137
    [ "$(find "$IN" -name 'big.p2pctl-*.part' | wc -l)" = 1 ]
    [ "$(ctl 6 receive "$IN")" = big ]
    cmp "$DIR/big" "$IN/big"
    [ "$(ls -A "$IN")" = $'big\nbig.part\nother' ]
    # The daemon dies before it was told: what is there is not made a second time.
    printf x >>"$DIR/big"
    ctl 2 send -q --wait=60s "$TO" "$DIR/big"
    rm "$IN/big" "$IN/big.part"
    begin 6 receive "$IN"
    hold_at_work "$IN" $size
    kill_node 6
    expect_end 3
    [ -f "$IN/big" ]
    start_again 6
    [ "$(ctl 6 receive "$IN")" = big ]
    cmp "$DIR/big" "$IN/big"
    [ "$(ls -A "$IN")" = $'big\nother' ]
    wait_until has_route 2 6
    # Many at once: each file once.
    for i in $(seq 40); do
        printf %s "$i" | ctl 2 send -q --wait=60s "$TO" - --name "small$i"
    done
    clients=()
    for i in 1 2 3 4; do
        ctl 6 receive "$IN/other" >"$DIR/said.$i" 3>&- &
        clients+=($!)
    done
    for client in "${clients[@]}"; do
        wait "$client"
    done
    diff <(cat "$DIR"/said.? | sort) <(seq -f 'small%g' 40 | sort)
    diff <(ls -A "$IN/other") <(seq -f 'small%g' 40 | sort)
    [ "$(ctl 6 files --json)" = '[]' ]
}

@test "the original may go at once; a recipient that is away gets it later; cancel takes it back" {
    kill_node 6
    random_file 200000 "$DIR/original"
    cp "$DIR/original" "$DIR/copy"
    id=$(ctl 2 send "$TO" "$DIR/original")
    rm "$DIR/original"
    gone=$(ctl 2 send "$TO" "$DIR/copy" --name cancelled)
    ctl 2 files --json | jq -e --arg id "$id" '.[] | select(.id == $id) | .direction == "out" and .size == 200000 and .held == 0'
    [ "$(ls "$DIR/2/spool" | wc -l)" = 2 ]
    ctl 2 cancel "$gone"
    [ "$(ctl 2 status "$gone" --json | jq -r '.state + " " + .reason')" = 'failed cancelled' ]
    [ "$(ctl 2 status "$gone")" = 'failed: cancelled' ]
    [ "$(ctl 2 history "$TO" | grep -F '[file] cancelled' | cut -f3)" = 'failed: cancelled' ]
    [ "$(ls "$DIR/2/spool")" = "$id" ]
    # The sender dies, too.
    kill_node 2
    start_again 2
    start_again 6
    wait_until delivered 2 "$id"
    take_and_compare 6 original "$DIR/copy"
    [ ! -e "$IN/cancelled" ]
    wait_until spool_is_empty 2
}

@test "kill -9 of sender, recipient, relays in mid-transfer: it goes on where it was" {
    size=$((32 << 20))
    random_file $size "$DIR/large"
    id=$(ctl 2 send "$TO" "$DIR/large")
    wait_until holds 6 "$id" $((size / 16))
    kill_node 2
    before=$(held 6 "$id")
    start_again 2
    [ "$(held 6 "$id")" -ge "$before" ]
    wait_until holds 6 "$id" $((before + (1 << 20)))
    kill_node 6
    start_again 6
    after=$(held 6 "$id")
    echo "# held $before when the sender died, $after after the recipient did, of $size" >&3
    [ "$after" -ge "$before" ]
    [ "$after" -lt $size ] || [ "$(ctl 6 files --json | jq -r '.[0].state')" = waiting ]
    for n in 3 4 5; do
        kill_node $n
        start_again $n
    done
    wait_until delivered 2 "$id"
    [ "$(ctl 6 files --json | jq length)" = 1 ]
    take_and_compare 6 large "$DIR/large"
    rm "$DIR/large" "$IN/large"
}

waits_for_room() { # N ID
    ctl "$1" status "$2" | grep -qE 'sent.*(quota|no room)'
}

@test "files.accept: refused with the reason; files.quota: what is taken gives room" {
    choose '[files]' 'accept = none'
    to=$(id_of 7)
    printf x >"$DIR/x"
    expect_exit 1 ctl 2 send --wait=60s "$to" "$DIR/x"
    [[ $ERR == *'refused: the recipient takes no files'* ]]
    ctl 2 push --wait=60s "$to" 'a message' >/dev/null # those it takes
    choose '[files]' 'accept = known'
    expect_exit 1 ctl 2 send --wait=60s "$to" "$DIR/x"
    [[ $ERR == *'refused: the recipient takes no files'* ]]
    wait_until has_route 7 2
    ctl 7 push --wait=60s "$NET.2" 'now I know you' >/dev/null
    ctl 2 send -q --wait=60s "$to" "$DIR/x"
    take_and_compare 7 x "$DIR/x"
    choose '[files]' 'quota = 10k'
    random_file 10240 "$DIR/fits"
    ctl 2 send -q --wait=60s "$to" "$DIR/fits"
    id=$(ctl 2 send "$to" "$DIR/x")
    wait_until waits_for_room 2 "$id"
    take_and_compare 7 fits "$DIR/fits"
    wait_until delivered 2 "$id"
    ctl 7 receive -q "$IN"
    spool_is_empty 2
}

@test "a network without a configuration: files from strangers are refused with what helps, from known senders they come" {
    local name
    start_node 9 --set link.heartbeat=1s --set link.timeout=3s --peer "$NET.2" --peer "$NET.3"
    wait_until has_route 2 9
    to=$(id_of 9)
    printf x >"$DIR/x"
    grep -q 'open network: anybody may join; messages are taken from anybody, files from known senders; relays for others at up to 1 MB/s' "$DIR/9.log"
    [ "$(field 9 .network.open)" = true ]
    expect_exit 1 ctl 2 send --wait=60s "$to" "$DIR/x"
    [[ $ERR == *'takes no files from us (it may p2pctl allow us)'* ]]
    ctl 9 allow "$(id_of 2)"
    ctl 2 send -q --wait=60s "$to" "$DIR/x"
    take_and_compare 9 x "$DIR/x"
    stop_node 9
    # It says so once; and a reload takes over what is said of files.
    printf '[files]\naccept = none\n' >"$DIR/9.conf"
    start_node 9 -c "$DIR/9.conf" --set link.heartbeat=1s --set link.timeout=3s --peer "$NET.2" --peer "$NET.3"
    [ "$(grep -c 'open network' "$DIR/9.log")" = 1 ]
    wait_until has_route 2 9
    expect_exit 1 ctl 2 send --wait=60s "$to" "$DIR/x"
    printf '[files]\naccept = all\n' >"$DIR/9.conf"
    ctl 9 reload
    ctl 9 unblock "$(id_of 2)"
    ctl 2 send -q --wait=60s "$to" "$DIR/x"
    stop_node 9
}

@test "a full disk: refused, or waited for; what was accepted is whole" {
    mkdir -p "$DIR/disk"
    mount -t tmpfs -o size=90m tmpfs "$DIR/disk" 2>/dev/null || skip 'no right to mount a small file system'
    if [ -f "$DIR/7.pid" ]; then
        stop_node 7
    fi
    choose '[files]' 'accept = all' "directory = $DIR/disk"
    to=$(id_of 7)
    wait_until has_route 2 7
    random_file $((30 << 20)) "$DIR/large"
    # 64 MiB stay free: nothing of it comes before there is room.
    id=$(ctl 2 send "$to" "$DIR/large")
    wait_until waits_for_room 2 "$id"
    [ -z "$(ls -A "$DIR/disk")" ]
    # Somebody else fills the disk while it comes.
    mount -t tmpfs -o remount,size=110m tmpfs "$DIR/disk"
    wait_until holds 7 "$id" $((1 << 20))
    head -c 110M /dev/zero >"$DIR/disk/filler" 2>/dev/null || true
    wait_until waits_for_room 2 "$id"
    [[ $(ctl 2 status "$id" --json | jq -r .state) == @(queued|sent) ]]
    rm "$DIR/disk/filler"
    wait_until delivered 2 "$id"
    expect_exit 0 ctl 7 doctor
    take_and_compare 7 large "$DIR/large"
    stop_node 7
    umount "$DIR/disk"
    rm "$DIR/large" "$IN/large"
}

@test "a full disk at the sender: said, and nothing is left" {
    mkdir -p "$DIR/8"
    mount -t tmpfs -o size=2m,mode=700 tmpfs "$DIR/8" 2>/dev/null || skip 'no right to mount a small file system'
    start_node 8 "${QUICK[@]}" --peer "$NET.3"
    wait_until has_route 8 6
    random_file $((4 << 20)) "$DIR/large"
    expect_exit 1 ctl 8 send "$TO" "$DIR/large"
    [[ $ERR == *'No space left'* ]]
    wait_until spool_is_empty 8
    head -c 100000 "$DIR/large" >"$DIR/small"
    ctl 8 send -q --wait=60s "$TO" "$DIR/small"
    take_and_compare 6 small "$DIR/small"
    stop_node 8
    umount "$DIR/8"
}
