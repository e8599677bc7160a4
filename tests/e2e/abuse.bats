#!/usr/bin/env bats
# Garbage from the network and from local clients: counted, answered with silence or an error, and nobody else notices.
load helpers

setup_file() {
    new_folder
    start_network 2 3
    wait_until has_route 2 3
}
teardown_file() {
    stop_all
}

sends_and_receives() {
    push_wait 2 3 'still here'
    ctl 3 pull >/dev/null
}
dropped() {
    field 2 .counters.malformed_dropped || true
}
dropped_since() { # BEFORE AT-LEAST
    [ "$(dropped)" -ge $(($1 + $2)) ]
}

@test "datagrams of every length, full of noise" {
    before=$(dropped)
    lengths='1 2 3 4 16 31 100 1231 1232 1233 4000 9000 65507'
    for length in $lengths; do
        head -c "$length" /dev/urandom >"$DIR/datagram"
        socat -u -b 65507 "FILE:$DIR/datagram" "UDP-SENDTO:$NET.2:$PORT"
    done
    wait_until dropped_since "$before" 13
    sends_and_receives
}

@test "datagrams that begin like ours" {
    before=$(dropped)
    for type in 001 002 003 004 005 006 007 377; do
        for length in 4 48 200 1228; do
            { printf "\\$type\0\0\0"; head -c "$length" /dev/urandom; } >"$DIR/datagram"
            socat -u -b 65507 "FILE:$DIR/datagram" "UDP-SENDTO:$NET.2:$PORT"
        done
    done
    wait_until dropped_since "$before" 32
    sends_and_receives
}

@test "noise draws no answer" {
    sent=$(mktemp "$DIR/answers.XXXXXX")
    head -c 1232 /dev/urandom >"$DIR/datagram"
    # socat keeps its socket open for the time that an answer would take.
    socat -t 0.3 -b 65507 - "UDP:$NET.2:$PORT" <"$DIR/datagram" >"$sent"
    [ ! -s "$sent" ]
}

@test "noise on the control socket" {
    for ((i = 0; i < 30; i++)); do
        head -c $((i * 37)) /dev/urandom | nc -N -U "$DIR/2.sock" >/dev/null || true
    done
    answers 2
}

@test "a length that lies" {
    for header in '\377\377\377\377' '\177\377\377\377' '\001\020\000\001' '\002\000\000\000'; do
        rss=$(ps -o rss= -p "$(pid_of 2)")
        # It closes at once, without waiting for what was announced and without setting it aside.
        mkfifo "$DIR/open"
        exec 9<>"$DIR/open"
        printf '%b' "$header" >&9
        timeout "$(patient 20)" socat -t 0.1 - "UNIX:$DIR/2.sock" <&9 >/dev/null 3>&-
        exec 9>&-
        rm "$DIR/open"
        [ "$(ps -o rss= -p "$(pid_of 2)")" -lt $((rss + 8192)) ]
    done
    answers 2
}

are_connected() { # COUNT
    [ "$(cat "$DIR"/idle.* | grep -c 'starting data transfer')" -ge "$1" ]
}
@test "half a request, and a hundred idle connections" {
    for ((i = 0; i < 100; i++)); do
        socat -d -d -u "UNIX:$DIR/2.sock" - >/dev/null 2>"$DIR/idle.$i" 3>&- &
        pids[i]=$!
    done
    # Killed before it has become socat, such a process is still bats, and tells that the test has failed.
    wait_until are_connected 100
    printf '\0\0' | nc -U -N "$DIR/2.sock" || true
    # However many it takes, there is a way in once they are gone.
    kill "${pids[@]}" 2>/dev/null || true
    wait "${pids[@]}" || true
    wait_until answers 2
    sends_and_receives
}

@test "a reader that does not read holds up nobody" {
    for ((i = 0; i < 8; i++)); do
        head -c 1000000 /dev/zero | tr '\0' x | ctl 2 push "$NET.3" - >/dev/null
    done
    wait_until waiting 3 8
    mkfifo "$DIR/blocked"
    exec 8<>"$DIR/blocked"
    P2PD_SOCKET=$DIR/3.sock "$P2PD_BIN/p2pctl" pull >&8 3>&- 8>&8 &
    pid=$!
    answers 3
    push_wait 2 3 'past the slow one'
    answers 3
    kill -KILL $pid
    wait $pid || true
    exec 8>&-
    rm "$DIR/blocked"
    [ "$(ctl 3 pull --wait=60s | wc -l)" -ge 8 ]
}

@test "protobuf that is valid and means nothing" {
    # Field 1 (version) = 99: refused in words; an empty request: no command.
    for request in '\0\0\0\002\010\143' '\0\0\0\002\010\001' '\0\0\0\004\010\001\222\003'; do
        printf '%b' "$request" | nc -N -U "$DIR/2.sock" >"$DIR/answer" || true
    done
    answers 2
}

@test "more clients than descriptors: the store keeps its own, and an administrator gets in" {
    local pids=() code
    (
        ulimit -n 40
        spawn_node 4 --peer "$NET.2" --peer "$NET.3" --set files.accept=all
    )
    wait_until answers 4
    wait_until has_route 2 4
    for ((i = 0; i < 40; i++)); do
        ctl 4 pull --follow >/dev/null 2>"$DIR/refused.$i" 3>&- &
        pids[i]=$!
    done
    wait_until grep -q 'too many clients' "$DIR"/refused.*
    code=0
    ctl 4 pull --peek 2>"$DIR/err" || code=$?
    [ "$code" = 6 ]
    grep -q 'too many clients' "$DIR/err"
    # Connections that say nothing are in nobody's way either.
    for ((i = 40; i < 60; i++)); do
        socat -u "UNIX:$DIR/4.sock" - >/dev/null 2>&1 3>&- &
        pids[i]=$!
    done
    answers 4
    ctl 4 peers >/dev/null
    ctl 4 doctor >/dev/null || true
    printf x >"$DIR/file"
    ctl 2 send -q --wait=60s "$NET.4" "$DIR/file"
    ! grep -q 'disk' "$DIR/4.log"
    ctl 4 stop
    kill "${pids[@]}" 2>/dev/null || true
    wait "${pids[@]}" || true
    rm -f "$DIR/4.pid"
}

@test "a limit on the size of files: said in words, and the daemon goes on" {
    local code=0 i
    (
        ulimit -f 3000
        spawn_node 5 --peer "$NET.2"
    )
    wait_until answers 5
    wait_until has_route 5 2
    head -c 1000000 /dev/zero | tr '\0' x >"$DIR/body"
    for ((i = 0; i < 10 && code == 0; i++)); do
        ctl 5 push -q "$(id_of 2)" - <"$DIR/body" 2>"$DIR/err" || code=$?
    done
    [ "$code" = 1 ]
    grep -q 'no file may become that large (ulimit -f' "$DIR/err"
    answers 5
    stop_node 5
}
