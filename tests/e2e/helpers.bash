# What the end-to-end tests share. Nodes are numbers: node N listens on $NET.N at $PORT, its socket, log, pid and state are
# $DIR/N.sock, $DIR/N.log, $DIR/N.pid and $DIR/N. Nothing here sleeps for an effect: it awaits a condition.
# shellcheck shell=bash

# Of a network that is not their own, tests get the part that is free (tests/tools/isolate.sh).
NET=${P2PD_NET:-127.0.0}
PORT=${P2PD_PORT:-58008} # the default
export PORT
# What the daemons of this machine are told is not meant for those of the tests.
unset NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID CREDENTIALS_DIRECTORY JOURNAL_STREAM P2PD_SOCKET XDG_STATE_HOME
export XDG_CONFIG_HOME=/nowhere
WAIT_S=${WAIT_S:-60} # a deadline, not a delay: nothing waits this long unless it fails
POLL_S=0.02
: "${P2PD_BIN:=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../build" && pwd)}"

# Where the default port is taken, addresses of ours that are said without one mean ours: a p2pd before p2pd sees to that.
with_our_port() { # FOLDER: of programs; a new one, with the same in it, is P2PD_BIN
    local to="/tmp/p2pd.${P2PD_RUN:-$PORT}/bin"
    if mkdir -p "$to" && [ ! -f "$to/p2pd" ]; then
        ln -sfn "$1"/* "$to/"
        rm "$to/p2pd"
        cat >"$to/new" <<END
#!/usr/bin/env bash
words=()
for word; do
    [[ \$word != $NET.* || \$word == *:* ]] || word+=:$PORT
    words+=("\$word")
done
exec "$1/p2pd" "\${words[@]}"
END
        chmod 755 "$to/new" && mv "$to/new" "$to/p2pd"
    fi
    P2PD_BIN=$to
}
[ "$PORT" = 58008 ] || with_our_port "$P2PD_BIN"

# A short path, since a socket's has 108 bytes at most.
new_folder() {
    DIR=$(mktemp -d "/tmp/p2pd${P2PD_RUN:+.$P2PD_RUN}.XXXXXX")
    export DIR
}

patient() { # SECONDS: as many on a slow machine as was said
    echo $(($1 * ${CHECK_PATIENCE:-1}))
}
wait_until() { # COMMAND...
    local limit deadline
    limit=$(patient "$WAIT_S")
    deadline=$((SECONDS + limit))
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS >= deadline)); then
            echo "timed out: waited $limit s in vain for: $*" >&2
            return 1
        fi
        sleep "$POLL_S"
    done
}

# ---- Daemons ----
# A p2pd of ours, whatever this machine has configured.
p2pd_here() { # [OPTION...]
    "$P2PD_BIN/p2pd" -c /dev/null "$@"
}
spawn_node() { # N [OPTION...]: without waiting for it
    local n=$1
    shift
    # Not by a function: what is noted is the daemon's id, not that of a shell which waits for it.
    "$P2PD_BIN/p2pd" -c /dev/null --listen "$NET.$n" --state "$DIR/$n" --socket "$DIR/$n.sock" "$@" \
        </dev/null >>"$DIR/$n.log" 2>&1 3>&- &
    echo $! >"$DIR/$n.pid"
}
start_node() { # N [OPTION...]
    spawn_node "$@"
    wait_until answers "$1" || { cat "$DIR/$1.log" >&2; return 1; }
}
# Start nodes that form one network: the first number is everyone's bootstrap. Options after --.
start_network() { # N... [-- OPTION...]
    local nodes=() n first=$1
    while (($#)) && [ "$1" != -- ]; do
        nodes+=("$1")
        shift
    done
    (($# == 0)) || shift
    start_node "$first" "$@"
    for n in "${nodes[@]:1}"; do
        spawn_node "$n" --peer "$NET.$first" "$@"
    done
    wait_network "${nodes[@]}"
}
pid_of() { # N
    cat "$DIR/$1.pid"
}
# Or dead and not yet buried by its parent. While another thread of it still ends, its files and locks are
# held, though the first thread is a zombie already.
is_gone() { # PID
    local state tasks
    [ -n "$1" ] || return 0 # one that was never noted
    if [ -d /proc/self ]; then # a demo has no ps where nobody installed one
        { read -r state <"/proc/$1/stat"; } 2>/dev/null || return 0
        state=${state##*) }
    else
        state=$(ps -o stat= -p "$1" 2>/dev/null) || return 0
    fi
    tasks=(/proc/"$1"/task/*)
    [[ -z $state || ($state == [ZX]* && ${#tasks[@]} -le 1) ]]
}
kill_node() { # N [SIGNAL]: without a goodbye
    local pid
    pid=$(pid_of "$1")
    kill -"${2:-KILL}" "$pid"
    # Where it is our child, bury it, lest the shell report its death.
    [ "${2:-KILL}" != KILL ] || wait "$pid" 2>/dev/null || true
    wait_until is_gone "$pid"
    rm -f "$DIR/$1.pid"
}
stop_node() { # N: politely
    kill_node "$1" TERM
}
# Everything that this test started, politely first; then its folder. A sanitizer's report fails the test.
stop_all() {
    local file status=0
    for file in "$DIR"/*.pid; do
        [ -f "$file" ] && kill -CONT "$(<"$file")" 2>/dev/null && kill -TERM "$(<"$file")" 2>/dev/null
    done
    for file in "$DIR"/*.pid; do
        [ -f "$file" ] || continue
        if ! WAIT_S=15 wait_until is_gone "$(<"$file")"; then
            kill -KILL "$(<"$file")"
            status=1
        fi
    done
    if grep -HE 'Sanitizer|runtime error:|Assertion .* failed' "$DIR"/*.log 2>/dev/null; then
        status=1
    fi
    if [ -n "${BATS_TEST_NAME-}" ] && [ -z "${BATS_TEST_COMPLETED-}" ]; then
        tail -n 20 "$DIR"/*.log
    fi
    rm -rf "$DIR"
    return $status
}

# ---- Asking them ----
ctl() { # N ARGUMENT...
    local n=$1
    shift
    P2PD_SOCKET=$DIR/$n.sock "$P2PD_BIN/p2pctl" "$@"
}
answers() { # N
    ctl "$1" status
}
field() { # N FILTER: of status --json
    ctl "$1" --json status | jq -er "$2"
}
id_of() { # N
    field "$1" .id
}
knows() { # N COUNT: at least so many nodes are in its directory, itself included
    [ "$(field "$1" .directory.nodes)" -ge "$2" ]
}
has_neighbours() { # N COUNT
    [ "$(field "$1" .pool.neighbours)" -ge "$2" ]
}
waiting() { # N COUNT: messages in its inbox
    [ "$(field "$1" .inbox.waiting)" -eq "$2" ]
}
state_is() { # N ID STATE
    [ "$(ctl "$1" --json status "$2" | jq -r .state)" = "$3" ]
}
has_route() { # N M
    ctl "$1" route "$NET.$2" -n 1
}
wait_network() { # N...: each knows all of them, and has a way to the last
    local n
    for n in "$@"; do
        wait_until answers "$n" || { cat "$DIR/$n.log" >&2; return 1; }
    done
    for n in "$@"; do
        wait_until knows "$n" $#
        wait_until has_neighbours "$n" 1
    done
}
push_wait() { # FROM TO TEXT: once there is a way; prints the id
    wait_until has_route "$1" "$2"
    ctl "$1" push --wait=60s "$NET.$2" "$3"
}
# What pull prints of a message of one line.
line_from() { # N TEXT
    printf '%s.%s\t%s\n' "$NET" "$1" "$2"
}

# `! command` alone would not fail a test.
fails() { # COMMAND...
    if "$@"; then
        echo "should have failed: $*" >&2
        return 1
    fi
}

# Run a command; complain unless it exits as told. Its output is in $OUT and $ERR.
expect_exit() { # CODE COMMAND...
    local want=$1 got=0
    shift
    "$@" >"$DIR/out" 2>"$DIR/err" </dev/null 3>&- || got=$?
    OUT=$(tr -d '\0' <"$DIR/out")
    ERR=$(<"$DIR/err")
    if [ "$got" != "$want" ]; then
        echo "exit $got, not $want: $*" >&2
        echo "stdout: $OUT" >&2
        echo "stderr: $ERR" >&2
        return 1
    fi
}
