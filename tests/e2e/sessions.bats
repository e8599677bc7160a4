#!/usr/bin/env bats
# Many requests on one connection, by a program that uses the client library (session.c). Node 2 sends, node 3 gets.
load helpers

SESSION=$(dirname "$(readlink -f "$P2PD_BIN/p2pctl")")/tests/e2e/session

setup_file() {
    new_folder
    start_network 2 3
    wait_until has_route 2 3
}
teardown_file() {
    stop_all
}
setup() {
    ctl 3 pull >/dev/null
}

start_session() { # N ARGUMENT...: in the background; its output is $DIR/session.out
    local n=$1
    shift
    : >"$DIR/session.out"
    "$SESSION" "$DIR/$n.sock" "$@" >"$DIR/session.out" 2>"$DIR/session.err" 3>&- &
    SESSION_PID=$!
    wait_until grep -q ready "$DIR/session.out"
}
end_session() {
    kill -KILL "$SESSION_PID"
    wait "$SESSION_PID" 2>/dev/null || true
}
lines_are() { # COUNT: of messages in the session's output
    [ "$(grep -cE '^[0-9]+ ' "$DIR/session.out")" -eq "$1" ]
}
pending() { # N COUNT
    [ "$(field "$1" .outbox.pending)" -eq "$2" ]
}

@test "64 requests at once: pushes that wait, and other questions among them" {
    OUT=$("$SESSION" "$DIR/2.sock" push "$NET.3:$PORT" 40)
    [ "$OUT" = "delivered 40, others 24, failed 0" ]
    waiting 3 40
    [ "$(ctl 3 pull | grep -c text)" = 40 ]
}

@test "what pulls of a session confirm is gone, once" {
    start_session 3 pull 3 confirm
    "$SESSION" "$DIR/2.sock" push "$NET.3:$PORT" 20 >/dev/null
    wait_until lines_are 20
    wait_until waiting 3 0
    # Others are served meanwhile, each on a connection of its own.
    answers 3
    end_session
    [ -z "$(ctl 3 pull)" ]
}

@test "kill -9 of a client: what it has not confirmed is handed out again" {
    start_session 3 pull 2
    "$SESSION" "$DIR/2.sock" push "$NET.3:$PORT" 5 >/dev/null
    wait_until grep -q text "$DIR/session.out"
    end_session
    wait_until waiting 3 5
    [ "$(ctl 3 pull | grep -c text)" = 5 ]
}

@test "sessions that die together, more requests than there are connections" {
    local pids=()
    for _ in 1 2; do
        start_session 3 pull 60
        pids+=("$SESSION_PID")
    done
    kill -KILL "${pids[@]}"
    wait "${pids[@]}" 2>/dev/null || true
    ctl 2 push --wait=60s "$NET.3" after >/dev/null
    wait_until waiting 3 1
    [ "$(ctl 3 pull | grep -c after)" = 1 ]
}

@test "kill -9 of the daemon: the session is over, what it had accepted is not" {
    kill_node 3
    start_session 2 pull 4
    for i in 1 2 3; do
        ctl 2 push "$NET.3" "kept $i" >/dev/null
    done
    "$SESSION" "$DIR/2.sock" push "$NET.3:$PORT" 4 >"$DIR/pushes.out" 2>"$DIR/pushes.err" 3>&- &
    local pushes=$! code=0
    wait_until pending 2 7
    kill_node 2
    wait_until grep -q over "$DIR/session.out"
    wait "$SESSION_PID"
    wait "$pushes" || code=$?
    [ "$code" = 1 ]
    grep -q over "$DIR/pushes.err"
    start_network 2 3
    wait_until waiting 3 7
    ctl 3 pull >/dev/null
}

@test "a request that is cancelled ends, the others go on" {
    OUT=$("$SESSION" "$DIR/3.sock" cancel)
    [ "$OUT" = "others 1, failed 1, ok 1" ]
}

@test "a session that waits does not hold up the end of the daemon" {
    start_session 3 pull 60
    stop_node 3
    wait_until grep -q over "$DIR/session.out"
    wait "$SESSION_PID"
    start_node 3 --peer "$NET.2"
}
