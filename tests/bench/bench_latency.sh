#!/usr/bin/env bash
# A network of real daemons on loopback: the time of a whole `p2pctl push`, push to delivered acknowledgement over three relays (both disks
# synced), memory of an idle daemon (PSS), and how often it wakes. NODES=40 ROUNDS=300.
set -euo pipefail
nodes=${NODES:-40} rounds=${ROUNDS:-300}
bin=${P2PD_BIN:?the folder of p2pd and p2pctl}
dir=$(mktemp -d /tmp/p2pd-bench.XXXXXX)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT

ctl() { # NODE ARGUMENT...
    local n=$1
    shift
    "$bin/p2pctl" -s "$dir/$n.sock" "$@"
}
await() { # SECONDS COMMAND...: until it succeeds
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < until)) || { echo "bench_latency: waited in vain for: $*" >&2; exit 1; }
        sleep 0.05
    done
}
knows_all() { # NODE
    [ "$(ctl "$1" status --json | jq .directory.nodes)" -eq "$nodes" ] && ctl "$1" route --relays 3 "127.0.0.$((nodes + 1))" -n 1
}
# Milliseconds of each run of a command, one a line, sorted.
times() { # ROUNDS COMMAND...
    local n=$1 began
    shift
    for ((i = 0; i < n; i++)); do
        began=$EPOCHREALTIME
        "$@" >/dev/null
        echo "$began $EPOCHREALTIME"
    done | awk '{printf "%.3f\n", ($2 - $1) * 1000}' | sort -n
}
row() { # NAME < times
    awk -v name="$1" '{v[NR] = $1} END {printf "%-52s %8.2f %8.2f\n", name, v[int((NR + 1) / 2)], v[int(NR * 0.99)]}'
}
wakes() { # PID: of all its threads so far
    awk '/^voluntary_ctxt/ {n += $2} END {print n}' "/proc/$1"/task/*/status
}

for ((i = 2; i <= nodes + 1; i++)); do
    peer=()
    ((i == 2)) || peer=(127.0.0.2)
    "$bin/p2pd" --listen "127.0.0.$i" --state "$dir/$i" --socket "$dir/$i.sock" --set pool.max=6 "${peer[@]}" 2>"$dir/$i.log" &
    pids+=($!)
done
await 60 knows_all 2
await 60 knows_all 5
to=127.0.0.$((nodes + 1))
ctl 5 push -q --wait "$to" warm

printf '%-52s %8s %8s\n' "$nodes daemons, $rounds rounds (ms)" median p99
times "$rounds" "$bin/p2pctl" --version | row 'p2pctl --version: a process that does nothing'
times "$rounds" "$bin/p2pctl" -s "$dir/5.sock" push -q "$to" "a message of some twenty bytes" | row 'p2pctl push: the whole process, stored'
times "$rounds" "$bin/p2pctl" -s "$dir/5.sock" push -q --wait --relays 3 "$to" "a message of some twenty bytes" | row 'p2pctl push --wait --relays 3: the whole process'
await 30 test "$(ctl 5 status --json | jq .outbox.pending)" -eq 0

if [ -r "/proc/${pids[10]}/smaps_rollup" ]; then
    for pid in "${pids[@]}"; do
        awk '/^Pss:/ {print $2}' "/proc/$pid/smaps_rollup"
    done | sort -n | awk -v n="$nodes" '{v[NR] = $1} END {printf "memory (PSS) a daemon: median %d kB, most %d kB\n", v[int((NR + 1) / 2)], v[NR]}'
    before=$(wakes "${pids[10]}") began=$EPOCHREALTIME
    sleep "${IDLE_S:-20}" # the time over which wake-ups are counted
    awk -v a="$before" -v b="$(wakes "${pids[10]}")" -v t0="$began" -v t1="$EPOCHREALTIME" \
        'BEGIN {printf "wake-ups of an idle daemon: %.2f a second\n", (b - a) / (t1 - t0)}'
fi
