#!/usr/bin/env bats
# Configuration, identity, the state folder and its lock, starting and stopping.
load helpers

setup() {
    new_folder
}
teardown() {
    stop_all
}

p2pd() { # with nothing of this machine's own in reach
    p2pd_here --state "$DIR/state" --socket "$DIR/p2pd.sock" --listen "$NET.2" "$@"
}
# The complaint names file and line, as `FILE:LINE: MESSAGE`.
expect_complaint() { # LINE CONFIGURATION
    printf '%s' "$2" >"$DIR/p2pd.conf"
    expect_exit 2 p2pd -t -c "$DIR/p2pd.conf"
    [[ $ERR == *"$DIR/p2pd.conf:$1: "* ]] || { echo "$2 -> $ERR"; false; }
}

@test "a configuration that is wrong: file, line, reason, exit 2" {
    expect_complaint 2 $'[node]\nnmae = x\n'
    expect_complaint 1 $'[nodes]\n'
    expect_complaint 3 $'[pool]\nmin = 3\nmax = many\n'
    expect_complaint 2 $'[pool]\nmax = 17\n'
    expect_complaint 2 $'[link]\nheartbeat = 10 parsecs\n'
    expect_complaint 2 $'[node]\nname = 10.0.0.1\n'
    expect_complaint 2 $'[node]\nname = deadbeef00\n'
    expect_complaint 2 $'[node]\nname = not/a/name\n'
    expect_complaint 2 $'[node]\nrelay = perhaps\n'
    expect_complaint 2 $'[network]\nlisten = nowhere:1:2\n'
    expect_complaint 4 $'[node]\n# a comment\nrelay = yes\nrelay yes\n'
    expect_complaint 1 $'relay = yes\n'
}

@test "all mistakes of a file at once, each with its line" {
    expect_complaint 4 $'[node]\nname = x y\n[inbox]\naccept = some\n[pool]\nmax = 17\n'
    [ "$(grep -cE 'p2pd.conf:[246]: ' <<<"$ERR")" = 3 ]
    [[ $ERR == *"'some' is not one of all, known, allowed"* ]]
    for _ in {1..30}; do echo wrong; done >"$DIR/p2pd.conf"
    expect_exit 2 p2pd -t -c "$DIR/p2pd.conf"
    [ "$(wc -l <<<"$ERR")" = 20 ]
}

@test "choices and the folder of files" {
    expect_exit 0 p2pd --dump --set inbox.accept=known --set files.accept=none
    grep -qE '^directory = .*/state/files$' "$DIR/out"
    [ "$(grep -cE '^accept = (known|none)$' "$DIR/out")" = 2 ]
    expect_exit 0 p2pd --dump --set files.directory=incoming
    grep -qF "directory = $PWD/incoming" "$DIR/out"
    expect_exit 2 p2pd -t --set inbox.accept=nobody
}

@test "a configuration that would be mangled is refused, not cut" {
    expect_complaint 2 "$(printf '[network]\npeer = %0300d\n' 0)"
    expect_complaint 1 "$(printf '[%0100d]\n' 0)"
}

@test "a configuration that is right: -t, --dump, and the dump is one again" {
    cat >"$DIR/p2pd.conf" <<END
# a comment
[node]
name = alice
[pool]
min = 3
max = 5
[link]
heartbeat = 5s
[delivery]
max_message = 1M
[network]
peer = 127.0.0.9
peer = 127.0.0.10:4000
END
    expect_exit 0 p2pd -t -c "$DIR/p2pd.conf"
    expect_exit 0 p2pd --dump -c "$DIR/p2pd.conf"
    cp "$DIR/out" "$DIR/dump.conf"
    grep -qE '^name *= *alice$' "$DIR/dump.conf"
    [ "$(grep -cE '^peer *=' "$DIR/dump.conf")" = 2 ]
    expect_exit 0 "$P2PD_BIN/p2pd" --dump -c "$DIR/dump.conf"
    diff "$DIR/dump.conf" "$DIR/out"
    [ ! -e "$DIR/state" ] # looking changes nothing
}

@test "options override the file; wrong ones are exit 2" {
    printf '[node]\nname = alice\n' >"$DIR/p2pd.conf"
    expect_exit 0 p2pd --dump -c "$DIR/p2pd.conf" --name bob
    grep -qE '^name *= *bob$' "$DIR/out"
    expect_exit 0 p2pd --dump -c "$DIR/p2pd.conf" --set node.name=carol
    grep -qE '^name *= *carol$' "$DIR/out"
    expect_exit 2 p2pd -t --set node.nmae=x
    expect_exit 2 p2pd -t --set pool.max=17
    expect_exit 2 p2pd -t --frobnicate
    expect_exit 2 p2pd -t -c "$DIR/none.conf"
    [[ $ERR == *none.conf* ]]
    expect_exit 2 p2pd -t not/a/peer
}

@test "a secret that cannot be read stops the start" {
    fails p2pd --set network.secret_file="$DIR/none" 2>"$DIR/err"
    grep -qF "$DIR/none" "$DIR/err"
}

@test "a new identity: 0600 whatever the umask, and the socket too" {
    (umask 000 && start_node 2)
    [ "$(stat -c %a "$DIR/2/identity.key")" = 600 ]
    [ "$(stat -c %a "$DIR/2.sock")" = 600 ]
    [ "$(($(stat -c %a "$DIR/2") % 100))" -lt 70 ] # nobody else writes there
}

@test "an identity is kept, never overwritten, and refused where others could read it" {
    start_node 2
    id=$(id_of 2)
    stop_node 2
    cp "$DIR/2/identity.key" "$DIR/key"
    start_node 2
    [ "$(id_of 2)" = "$id" ]
    stop_node 2

    chmod 644 "$DIR/2/identity.key"
    fails p2pd --state "$DIR/2" 2>"$DIR/err"
    grep -q identity.key "$DIR/err"
    chmod 600 "$DIR/2/identity.key"

    echo garbage >"$DIR/2/identity.key"
    fails p2pd --state "$DIR/2" 2>"$DIR/err"
    grep -q identity.key "$DIR/err"
    [ "$(<"$DIR/2/identity.key")" = garbage ]

    : >"$DIR/2/identity.key"
    fails p2pd --state "$DIR/2" 2>"$DIR/err"
    [ ! -s "$DIR/2/identity.key" ]

    cat "$DIR/key" >"$DIR/2/identity.key"
    start_node 2
    [ "$(id_of 2)" = "$id" ]
}

@test "a second daemon on the same state goes, the first stays" {
    start_node 2
    expect_exit 1 p2pd_here --listen "$NET.3" --state "$DIR/2" --socket "$DIR/other.sock"
    [[ $ERR == *"$DIR/2"* ]]
    answers 2
    # The same socket under another state: the living owner keeps it.
    expect_exit 1 p2pd_here --listen "$NET.3" --state "$DIR/3" --socket "$DIR/2.sock"
    answers 2
    # The same UDP port.
    expect_exit 1 p2pd_here --listen "$NET.2" --state "$DIR/4" --socket "$DIR/4.sock"
    [[ $ERR == *"$NET.2"* ]]
    answers 2
}

@test "a state folder that cannot be: named, exit 1" {
    : >"$DIR/file"
    expect_exit 1 p2pd --state "$DIR/file/state"
    [[ $ERR == *"$DIR/file"* ]]
    expect_exit 1 p2pd --socket "$DIR/file/p2pd.sock"
    [[ $ERR == *"$DIR/file"* ]]
}

@test "-b with a pidfile: in the background once it is ready" {
    expect_exit 0 p2pd -b --pidfile "$DIR/p2pd.pid"
    "$P2PD_BIN/p2pctl" -s "$DIR/p2pd.sock" status
    pid=$(<"$DIR/p2pd.pid")
    "$P2PD_BIN/p2pctl" -s "$DIR/p2pd.sock" stop
    wait_until is_gone "$pid"
    [ ! -e "$DIR/p2pd.pid" ]
    [ ! -e "$DIR/p2pd.sock" ]
}

@test "-b says on the spot what keeps it from starting" {
    : >"$DIR/file"
    fails p2pd -b --state "$DIR/file/state" 2>"$DIR/err"
    grep -q "$DIR/file" "$DIR/err"
}

@test "a socket left behind by a dead daemon is no obstacle" {
    start_node 2
    kill_node 2
    [ -S "$DIR/2.sock" ]
    start_node 2
}

@test "control.mode" {
    start_node 2 --set control.mode=0660
    [ "$(stat -c %a "$DIR/2.sock")" = 660 ]
}

@test "TERM, INT and p2pctl stop: exit 0, within 5 s, socket gone" {
    for how in TERM INT stop; do
        start_node 2
        pid=$(pid_of 2)
        rm "$DIR/2.pid"
        begin=$SECONDS
        if [ $how = stop ]; then ctl 2 stop; else kill -$how "$pid"; fi
        wait "$pid"
        ((SECONDS - begin <= 6))
        [ ! -e "$DIR/2.sock" ]
    done
}

@test "once p2pctl stop returns, another daemon can start, in front or in the background" {
    # Short of the daemon's exit: it has let go of everything before it tells.
    for _ in {1..10}; do
        start_node 2
        ctl 2 stop
    done
    for _ in {1..10}; do
        p2pd_here -b --pidfile "$DIR/2.pid" --listen "$NET.2" --state "$DIR/2" --socket "$DIR/2.sock" 3>&-
        kill -0 "$(pid_of 2)"
        ctl 2 stop
        [ ! -e "$DIR/2.pid" ]
    done
    fails grep 'another p2pd' "$DIR/2.log"
}

@test "TERM while a client hangs and a peer is dead: still within 5 s" {
    start_network 2 3
    wait_until has_route 2 3
    ctl 2 pull --wait=60s 3>&- &
    client=$!
    kill_node 3
    ctl 2 push "$NET.3" undeliverable
    pid=$(pid_of 2)
    begin=$SECONDS
    kill -TERM "$pid"
    wait "$pid"
    ((SECONDS - begin <= 6))
    rm "$DIR/2.pid"
    wait $client || true
}

@test "reload: what is wrong is said and changes nothing" {
    printf '[log]\nlevel = info\n' >"$DIR/p2pd.conf"
    start_node 2 -c "$DIR/p2pd.conf"
    printf '[log]\nlevel = loud\n' >"$DIR/p2pd.conf"
    fails ctl 2 reload
    answers 2
    kill -HUP "$(pid_of 2)"
    wait_until grep -q 'p2pd.conf:2' "$DIR/2.log"
    answers 2
    printf '[log]\nlevel = debug\n' >"$DIR/p2pd.conf"
    ctl 2 reload
    answers 2
}

@test "no HOME, no terminal, any folder" {
    (cd / && exec env -i PATH="$PATH" "$P2PD_BIN/p2pd" -c /dev/null --listen "$NET.2:$PORT" --state "$DIR/2" \
        --socket "$DIR/2.sock" <&- >"$DIR/2.log" 2>&1 3>&-) &
    echo $! >"$DIR/2.pid"
    wait_until answers 2
}

@test "with no configuration at all" {
    env -u XDG_RUNTIME_DIR HOME="$DIR" XDG_STATE_HOME="$DIR/xdg" "$P2PD_BIN/p2pd" -c /dev/null --dump >"$DIR/dump"
    if [ "$(id -u)" = 0 ]; then
        grep -qE '^state *= */var/lib/p2pd$' "$DIR/dump"
        grep -qE '^socket *= *(/var)?/run/p2pd/p2pd.sock$' "$DIR/dump"
    else
        grep -qE "^state *= *$DIR/xdg/p2pd\$" "$DIR/dump"
        grep -qE "^socket *= *$DIR/xdg/p2pd/p2pd.sock\$" "$DIR/dump"
    fi
}
