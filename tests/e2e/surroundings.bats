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
    "$P2PD_BIN/p2pd" --listen "$NET.2" --state "$DIR/2" --socket "$DIR/2.sock" --set log.level=debug \
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
    timeout 60 sed '/configuration read again/q' <&7 >/dev/null
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
    command -v python3 >/dev/null || skip 'no python3 here'
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
    python3 "$DIR/terminal.py" "$DIR/2.pid" "$P2PD_BIN/p2pd" --listen "$NET.2" --state "$DIR/2" --socket "$DIR/2.sock" \
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
