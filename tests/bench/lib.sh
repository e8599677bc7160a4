# What the sections share; they source it. Daemons are numbers: N listens at $net.N, its socket, log and state are $dir/N.sock,
# $dir/N.log and $dir/N. Nothing sleeps for an effect: it awaits a condition. Whatever a section started ends with it, by pid.
# shellcheck shell=bash
set -euo pipefail
# Where the network is not their own, tests/tools/isolate.sh says which part of it is free.
net=${P2PD_NET:-127.0.0} port=${P2PD_PORT:-58008}
bin=${P2PD_BIN:?the folder of p2pd and p2pctl} # the programs
bench=$bin/tests/bench
section=$(basename "$0" .sh)
section=${section#section_}
dir=$(mktemp -d "${BENCH_DIR:-/tmp}/$section.XXXX")
declare -A pids=()
others=()
trap 'end_all' EXIT
trap 'exit 1' INT TERM

end_all() {
    stop_all
    if ((${#others[@]})); then
        kill "${others[@]}" 2>/dev/null || true
        wait "${others[@]}" 2>/dev/null || true
    fi
    rm -rf "$dir"
}
say() {
    echo "$section: $*" >&2
}
# A line of JSON to the driver: NAME UNIT VALUE FLOOR lower|higher NOTE; - for no floor.
figure() {
    jq -nc --arg section "$section" --arg name "$1" --arg unit "$2" --arg value "$3" --arg floor "$4" --arg better "$5" --arg note "${6:-}" \
        '{$section, $name, $unit, value: ($value | tonumber? // null), floor: ($floor | tonumber? // null), $better, $note}'
}
calc() { # EXPRESSION of awk
    awk "BEGIN {printf \"%.6g\", ($1)}"
}
ctl() { # NODE ARGUMENT...
    local n=$1
    shift
    "$bin/p2pctl" -s "$dir/$n.sock" "$@"
}
client() {
    "$bench/bench_client" "$@"
}

# ---- Daemons ----
has_key() { # SECTION.KEY=VALUE: does this p2pd have such a key?
    "$bin/p2pd" -c /dev/null -t --set "$1" >/dev/null 2>&1
}
# Strangers may do what the machine can.
unbound=(--set relay.rate=0 --set files.accept=all)
spawn() { # NODE [OPTION...]: without waiting for it
    local n=$1
    shift
    "$bin/p2pd" -c /dev/null --listen "$net.$n:$port" --state "${states:-$dir}/$n" --socket "$dir/$n.sock" \
        --set log.level=warning "${unbound[@]}" "$@" \
        </dev/null >>"$dir/$n.log" 2>&1 &
    pids[$n]=$!
}
# A network of daemons 2 to LAST, each of which knows all, and LAST of which has a path of so many relays from 2.
start_network() { # LAST RELAYS [OPTION...]
    local last=$1 relays=$2 n until=$((SECONDS + 60)) sockets=()
    shift 2
    spawn 2 "$@"
    for ((n = 3; n <= last; n++)); do
        spawn "$n" --peer "$net.2:$port" "$@"
    done
    for ((n = 2; n <= last; n++)); do
        sockets+=("$dir/$n.sock")
    done
    client nodes $((last - 1)) 60 "${sockets[@]}" >/dev/null
    until ctl 2 route --relays "$relays" "$net.$last" -n 1 >/dev/null 2>&1 && ctl "$last" route --relays "$relays" "$net.2" -n 1 >/dev/null 2>&1; do
        ((SECONDS < until)) || { say "no path of $relays relays came about"; return 1; }
        sleep 0.05
    done
    ctl 2 push -q --wait=30s "$net.$last" warm
    ctl "$last" pull >/dev/null
}
stop_all() {
    ((${#pids[@]})) || return 0
    kill -"${farewell:-TERM}" "${pids[@]}" 2>/dev/null || true
    wait "${pids[@]}" 2>/dev/null || true
    pids=()
}

# ---- What they use ----
# Microseconds of CPU of processes so far, with all threads that live (to the nanosecond; where the kernel counts ticks alone, ticks).
cpu_us() { # PID...
    local pid files=()
    if [ -r /proc/self/schedstat ]; then
        for pid in "$@"; do
            files+=("/proc/$pid/task/"*/schedstat)
        done
        cat "${files[@]}" 2>/dev/null | awk '{sum += $1} END {printf "%.0f\n", sum / 1000}'
    else
        files=("${@/#//proc/}")
        cat "${files[@]/%//stat}" 2>/dev/null |
            awk -v hz="$(getconf CLK_TCK)" '{sub(/.*\) /, ""); sum += $12 + $13} END {printf "%.0f\n", sum / hz * 1e6}'
    fi
}
pss_kb() { # PID
    awk '/^Pss:/ {print $2}' "/proc/$1/smaps_rollup" 2>/dev/null
}

# ---- Floors ----
# What this machine does without us: a JSON object of bench_floor's, measured now, on the disk of $dir (it is the more
# like what a figure met, the nearer to it it is measured).
floors() { # [hop|commit|rows|calls|spawn...]
    "$bench/bench_floor" "$dir" "$@"
}
# The same, kept in $least: the best of each that this run has seen. A disk has moods, and others use the machine.
least='{}'
look_for_floors() { # [hop|commit|rows|calls|spawn...]
    local kept="${BENCH_DIR:-$dir}/least.json"
    [ ! -s "$kept" ] || least=$(cat "$kept")
    least=$(floors "$@" | jq --argjson before "$least" '$before + with_entries(
        .key as $key | .value = ([.value, $before[$key] // .value] | if $key | startswith("rows") then max else min end))')
    echo "$least" >"$kept"
}
# Microseconds of CPU that a relay needs at least for a packet, measured once a run: the cheaper bare forwarder and the bare calls.
relay_floor() { # kept|fresh
    local kept="${BENCH_DIR:-$dir}/forward.json"
    if [ ! -s "$kept" ]; then
        "$bench/bench_forward" >"$kept.new"
        mv "$kept.new" "$kept"
    fi
    jq "([.forward_us, .segments_us] | map(select(.)) | min) + .$1_us" "$kept"
}
