#!/usr/bin/env bats
# What surrounds the daemon and is not its own: who reads its log, what its caller had open, who tidies up behind it.
load helpers

setup() {
    new_folder
}
teardown() {
    [ ! -f "$DIR/filler" ] || kill "$(<"$DIR/filler")" 2>/dev/null || true
    stop_all
}

# Fill a pipe to the brim, without waiting for its reader.
fill() { # FIFO
    python3 - "$1" <<'END'
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK)
for size in (4096, 1):
    try:
        while True: os.write(fd, b"x" * size)
    except BlockingIOError: pass
END
}

@test "a log that nobody reads stops nothing: it relays, answers, reloads, and ends in time" {
    mkfifo "$DIR/pipe"
    exec 7<>"$DIR/pipe"
    "$P2PD_BIN/p2pd" -c /dev/null --listen "$NET.2:$PORT" --state "$DIR/2" --socket "$DIR/2.sock" --set log.level=debug \
        </dev/null >/dev/null 2>"$DIR/pipe" 3>&- 7>&- &
    echo $! >"$DIR/2.pid"
    wait_until answers 2
    start_node 3 --peer "$NET.2"
    wait_network 2 3
    fill "$DIR/pipe"
    for _ in {1..20}; do ctl 2 -t 5s reload; done # a line each
    push_wait 3 2 'read all the same'
    ctl 2 -t 5s pull >"$DIR/pulled"
    diff "$DIR/pulled" <(line_from 3 'read all the same')

    # Whoever reads on finds everything in its place, or how much is missing.
    timeout "$(patient 60)" sed '/configuration read again/q' <&7 >/dev/null
    fill "$DIR/pipe"
    pid=$(pid_of 2)
    begin=$SECONDS
    kill -TERM "$pid"
    wait "$pid" # with 0
    ((SECONDS - begin <= 6))
    rm "$DIR/2.pid"
    exec 7>&-
}

@test "a terminal that is stopped stops nothing" {
    cat >"$DIR/terminal.py" <<'END'
import os, pty, sys
pid, master = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
open(sys.argv[1], "w").write(str(pid)) # and read nothing of what it writes
try:
    os.waitpid(pid, 0)
except ChildProcessError:
    pass
END
    python3 "$DIR/terminal.py" "$DIR/2.pid" "$P2PD_BIN/p2pd" -c /dev/null --listen "$NET.2:$PORT" --state "$DIR/2" --socket "$DIR/2.sock" \
        --set log.level=debug </dev/null >/dev/null 2>&1 3>&- &
    echo $! >"$DIR/filler"
    wait_until test -s "$DIR/2.pid"
    wait_until answers 2
    start_node 3 --peer "$NET.2"
    wait_network 2 3
    for _ in {1..400}; do ctl 2 -t 5s reload; done # more than a terminal's buffer takes
    push_wait 3 2 hello
    stop_node 2
}

background() { # [OPTION...]
    "$P2PD_BIN/p2pd" -b --pidfile "$DIR/2.pid" --listen "$NET.2" --state "$DIR/2" --socket "$DIR/2.sock" "$@"
}

@test "-b keeps nothing that its caller had open" {
    mkfifo "$DIR/pipe"
    exec 9>"$DIR/lock"
    flock 9
    timeout "$(patient 20)" cat "$DIR/pipe" 3>&- 9>&- & # as command substitution does: until nobody can write to it
    background 3>&- 5>"$DIR/pipe" 700>"$DIR/pipe" >"$DIR/pipe" 2>&1
    wait $!
    answers 2
    exec 9>&-
    flock -n "$DIR/lock" true
    if readlink "/proc/$(pid_of 2)/fd/0" >/dev/null 2>&1; then # root alone may look: it holds secrets
        for fd in 0 1 2; do [ "$(readlink "/proc/$(pid_of 2)/fd/$fd")" = /dev/null ]; done
    fi
    ctl 2 push "$(id_of 2)" 'randomness and the store are still there'
    stop_node 2
}

@test "in the foreground what the caller passes stays open: setlock holds its lock so" {
    exec 9>"$DIR/lock"
    flock 9
    start_node 2
    exec 9>&-
    fails flock -n "$DIR/lock" true
    stop_node 2
    flock -n "$DIR/lock" true
}

@test "signals that the caller blocked or ignored" {
    env --block-signal=TERM --ignore-signal=CHLD true 2>/dev/null || skip 'env cannot set signals here'
    env --block-signal=TERM,ALRM,HUP,INT "$P2PD_BIN/p2pd" --listen "$NET.2" --state "$DIR/2" --socket "$DIR/2.sock" \
        </dev/null >>"$DIR/2.log" 2>&1 3>&- &
    echo $! >"$DIR/2.pid"
    wait_until answers 2
    kill -HUP "$(pid_of 2)"
    wait_until grep -q 'configuration read again' "$DIR/2.log"
    stop_node 2

    : >"$DIR/file"
    expect_exit 1 env --ignore-signal=CHLD "$P2PD_BIN/p2pd" -b --listen "$NET.2" --state "$DIR/file/x" --socket "$DIR/s"
    expect_exit 1 env --ignore-signal=CHLD "$P2PD_BIN/p2pd" -b --pidfile "$DIR/none/pid" --listen "$NET.2" --state "$DIR/2" \
        --socket "$DIR/2.sock"
}

@test "the pid file goes at the end only if it is still ours" {
    background 3>&-
    pid=$(pid_of 2)
    echo 1 >"$DIR/2.pid"
    kill "$pid"
    wait_until is_gone "$pid"
    [ "$(<"$DIR/2.pid")" = 1 ]
    rm "$DIR/2.pid"
}

socket_is_back() { # and it is private
    answers 2 && [ "$(stat -c %a "$DIR/2/run/sock")" = 600 ]
}
finds() { # TOPIC WORDS: the doctor does
    ctl 2 doctor --json | jq -e --arg topic "$1" --arg words "$2" '.[] | select(.topic == $topic and (.text | contains($words)))'
}
finds_nothing_of() { # TOPIC
    ctl 2 doctor --json | jq -e --arg topic "$1" 'all(.[]; .topic != $topic)'
}

has_socket() { # PID: and more than that it lives, where this can be seen
    [ ! -d "/proc/$1/fd" ] || find "/proc/$1/fd" -lname 'socket:*' | grep -q .
}

@test "a socket that somebody removes is made again, its folder too" {
    mkdir -p "$DIR/2"
    chmod 700 "$DIR/2"
    "$P2PD_BIN/p2pd" --listen "$NET.2" --state "$DIR/2" --socket "$DIR/2/run/sock" </dev/null >>"$DIR/2.log" 2>&1 3>&- &
    echo $! >"$DIR/2.pid"
    ln -s 2/run/sock "$DIR/2.sock"
    wait_until socket_is_back
    rm "$DIR/2/run/sock" # on SIGHUP at once
    kill -HUP "$(pid_of 2)"
    wait_until socket_is_back
    rm "$DIR/2/run/sock" # or by itself
    wait_until socket_is_back
    rm -r "$DIR/2/run"
    wait_until socket_is_back

    # A client that is connected keeps its connection.
    "$P2PD_BIN/p2pctl" -s "$DIR/2.sock" pull --wait=60s >"$DIR/pulled" 3>&- &
    client=$!
    wait_until has_socket $client
    rm "$DIR/2/run/sock"
    wait_until socket_is_back
    ctl 2 push "$(id_of 2)" 'to one that was waiting'
    wait $client
    grep -q 'to one that was waiting' "$DIR/pulled"

    # What is not ours is left alone, during and at the end.
    rm "$DIR/2/run/sock"
    echo 'of somebody else' >"$DIR/2/run/sock"
    wait_until grep -q 'exists and is no socket' "$DIR/2.log"
    stop_node 2
    [ "$(<"$DIR/2/run/sock")" = 'of somebody else' ]
}

@test "what is taken away from a running daemon's state folder: said, and mended where that can be" {
    start_node 2
    rm "$DIR/2/lock"
    wait_until test -f "$DIR/2/lock"
    fails "$P2PD_BIN/p2pd" --listen "$NET.3" --state "$DIR/2" --socket "$DIR/3.sock" 2>"$DIR/err"
    grep -q 'another p2pd' "$DIR/err"

    mv "$DIR/2/identity.key" "$DIR/key"
    wait_until finds state identity.key
    grep -q 'warning: .*identity.key' "$DIR/2.log"
    mv "$DIR/key" "$DIR/2/identity.key"
    wait_until finds_nothing_of state

    mv "$DIR/2/messages.db" "$DIR/db"
    wait_until finds state messages.db
    mv "$DIR/db" "$DIR/2/messages.db"
    wait_until finds_nothing_of state

    mv "$DIR/2" "$DIR/elsewhere"
    wait_until finds state "$DIR/2"
    mv "$DIR/elsewhere" "$DIR/2"
    wait_until finds_nothing_of state
}

@test "a files.directory that cannot be made, or is no folder: said, and no more once it is right" {
    mkdir "$DIR/in"
    start_node 2 --set "files.directory=$DIR/in/files"
    finds_nothing_of files
    rmdir "$DIR/in"
    wait_until finds files 'No such file'
    grep -q 'warning: files.directory' "$DIR/2.log"
    mkdir "$DIR/in"
    wait_until finds_nothing_of files
    : >"$DIR/in/files"
    wait_until finds files 'Not a directory'
    rm "$DIR/in/files"
    wait_until finds_nothing_of files
}

@test "a pid file that somebody removes is written again" {
    background 3>&-
    pid=$(pid_of 2)
    rm "$DIR/2.pid"
    wait_until test -s "$DIR/2.pid"
    [ "$(pid_of 2)" = "$pid" ]
}

@test "lines that the log lost: the doctor says so" {
    exec 7>/dev/full
    "$P2PD_BIN/p2pd" --listen "$NET.2" --state "$DIR/2" --socket "$DIR/2.sock" </dev/null 2>&7 3>&- 7>&- &
    echo $! >"$DIR/2.pid"
    exec 7>&-
    wait_until answers 2
    wait_until finds log 'lost'
}
