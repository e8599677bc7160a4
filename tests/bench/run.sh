#!/usr/bin/env bash
# `make bench`: how fast p2pd is, each figure beside its floor: what the same work costs this machine, in the same run, without us (the
# bare calls of libsodium, a bare forwarder of datagrams, a bare commit of SQLite, a process that does nothing). It prints one table and
# writes build/bench.json; `make bench-compare OLD=FILE` prints the ratios to such a file. Everything runs on loopback, in a network
# and among processes of its own.
#
#   BENCH=relay,latency  these sections alone (default: all of those below)
#   SCALE="8 64"         sizes of the networks of `scale` ("8 64 256 1000" takes some minutes and 10 GB of memory)
#   SIZE=64M             the file that `bulk` sends
#   STORED=100000 PENDING=100000 DESCRIPTORS="10000 100000"  what `store` finds there already, and how many nodes `core` knows
#   BENCH_TMP=/var/tmp   where states lie (short: sockets lie there too); its disk is what is measured
#
# A section is a script section_NAME.sh. It starts what it needs, prints a line of JSON a figure (section, name, unit, value, floor or
# null, better: lower or higher, note) and ends what it started. lib.sh is what they share, bench_*.c the programs that they call.
# Medians wherever something is measured more than once; n is the number of samples. Computation is counted in CPU time, which others on
# the machine change little; what waits for a disk or for another process in wall time, which they do: then the load before tells.
# The share says how near the floor a figure is: 100% cannot be beaten by a program that does the same work; a floor that is shared by
# several processes says so in the note.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${P2PD_BIN:?the folder of p2pd and p2pctl}"
export P2PD_BIN SCALE="${SCALE:-8 64}" SIZE="${SIZE:-64M}"
out=${BENCH_JSON:-build/bench.json}
all=(relay latency messages bulk local scale core store)
IFS=', ' read -r -a wanted <<<"${BENCH:-${all[*]}}"
for name in "${wanted[@]}"; do
    [ -x "$here/section_$name.sh" ] || { echo "bench: no section $name; there are: ${all[*]}" >&2; exit 2; }
done
BENCH_DIR=$(mktemp -d "${BENCH_TMP:-/var/tmp}/p2pd-bench.XXXX")
export BENCH_DIR
running=
trap '[ -z "$running" ] || { kill "$running" 2>/dev/null && wait "$running"; }; rm -rf "$BENCH_DIR"' EXIT
trap 'exit 1' INT TERM
ulimit -n "$(ulimit -Hn)"

machine() {
    local cpu
    cpu=$(awk -F': ' '/^model name/ {print $2; exit}' /proc/cpuinfo 2>/dev/null || true)
    echo "${cpu:-$(uname -m)}, $(nproc) cores, $(uname -sr), states on $(df -T "$BENCH_DIR" 2>/dev/null | awk 'NR == 2 {print $2}')"
}
# How busy the machine was before us: a figure of a busy machine is worth less.
load() {
    cut -d' ' -f1 /proc/loadavg 2>/dev/null || echo unknown
}
began=$SECONDS
load=$(load)
echo "$(machine); load before: $load"
"$here/table.sh" heading
failed=()
for name in "${wanted[@]}"; do
    "$here/section_$name.sh" >"$BENCH_DIR/$name.json" &
    running=$!
    since=$SECONDS
    wait "$running" || failed+=("$name")
    running=
    "$here/table.sh" rows <"$BENCH_DIR/$name.json"
    echo "$name: $((SECONDS - since)) s" >>"$BENCH_DIR/times"
    cat "$BENCH_DIR/$name.json" >>"$BENCH_DIR/figures"
done
mkdir -p "$(dirname "$out")"
jq -s --arg machine "$(machine)" --arg load "$load" --arg when "$(date -u +%Y-%m-%dT%H:%M:%SZ)" --argjson seconds $((SECONDS - began)) \
    --arg commit "$(git -C "$here" describe --always --dirty 2>/dev/null || echo unknown)" \
    '{$when, $commit, $machine, load_before: $load, $seconds, figures: .}' "$BENCH_DIR/figures" >"$out"
echo "$((SECONDS - began)) s ($(paste -sd, "$BENCH_DIR/times" | sed 's/,/, /g')); written: $out"
if ((${#failed[@]})); then
    echo "bench: failed: ${failed[*]}" >&2
    exit 1
fi
