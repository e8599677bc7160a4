#!/usr/bin/env bash
# The core alone, without sockets or disk: what a packet costs it, what a large network does, and how fast the simulator runs it.
. "$(dirname "$0")/lib.sh"
"$bench/bench_crypto"
for n in ${DESCRIPTORS:-10000 100000}; do
    "$bench/bench_core" "$n"
done
simulate() { # NODES SCENARIO
    local line
    line=$("$bin/sim" -n "$1" -s 1 "$2" | grep "^# $2:")
    # "# boot: seed 1, 40 nodes: 2.5 virtual s in 2.5 s, 43123 datagrams, 58538 steps, ..."
    figure "simulator, $2 of $1 nodes: virtual seconds times nodes, a second" node-s/s "$(sed -E "s/.* nodes: ([0-9.]+) virtual s in ([0-9.]+) s.*/\1 \2/" <<<"$line" |
        awk -v n="$1" '{print n * $1 / $2}')" - higher "${line#*nodes: }"
}
simulate 40 boot
simulate 120 boot
