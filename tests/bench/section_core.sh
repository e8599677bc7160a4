#!/usr/bin/env bash
# The core alone, without sockets or disk: what a packet costs it, what a large network does, and how fast the simulator runs it.
. "$(dirname "$0")/lib.sh"
"$bench/bench_crypto"
for n in ${DESCRIPTORS:-10000 100000}; do
    "$bench/bench_core" "$n"
done
simulate() { # NODES SCENARIO
    local line spent
    # "# boot: seed 1, 40 nodes: 2.5 virtual s in 2.5 s, 43123 datagrams, 58538 steps, ..."; its CPU is what counts.
    spent=$({ TIMEFORMAT='%U + %S'; time "$bin/sim" -n "$1" -s 1 "$2" >"$dir/sim"; } 2>&1)
    line=$(grep "^# $2:" "$dir/sim")
    line=${line#*nodes: }
    figure "simulator, $2 of $1 nodes: virtual s times nodes, a second" node-s/s "$(calc "$1 * ${line%% *} / ($spent)")" - higher "${line%, trace*}"
}
simulate 40 boot
simulate 120 boot
