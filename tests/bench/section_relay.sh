#!/usr/bin/env bash
# One relay: a real daemon over real sockets between two neighbours (bench_load), and beside it the core in one process (bench_relay).
# The figure that counts is CPU a packet: load and relay share the machine, so packets a second are those of this machine with both.
. "$(dirname "$0")/lib.sh"

bare=$(relay_text | awk '/^bare forwarder/ {for (i = NF; i > 1; i--) if ($i ~ /^[0-9]+\.[0-9]+$/) {if (!least || $i < least) least = $i; break}} END {print least}')
figure 'bare forwarder, the cheaper kind' us/packet "$bare" - lower "$(relay_text | grep -c '^bare forwarder') kinds measured"
for kind in kept fresh; do
    floor=$(relay_us $kind floor)
    figure "core in one process, $kind eph" us/packet "$(relay_us $kind relay)" "$floor" lower 'floor: forwarder and bare calls'
done

# Room for every fresh eph of the run: a refused one would cost less than a relayed one.
options=(--set droplist.entries=33554432 --set relay.paths=0)
measure() { # NAME [OPTION...]
    local name=$1 kind load floor flags
    shift
    spawn 2 "${options[@]}" "$@"
    for kind in kept fresh; do
        flags=()
        [ $kind = kept ] || flags=(-f -n 12000 -r 3)
        floor=$(relay_us $kind floor)
        load=$("$bench/bench_load" "${flags[@]}" 127.0.0.2:58008 "${pids[2]}")
        figure "daemon$name, $kind eph: CPU" us/packet "$(jq .cpu_us <<<"$load")" "$floor" lower \
            "$(jq -r '"\(.packets) packets in \(.rounds) rounds, \(.lost) lost"' <<<"$load")"
        figure "daemon$name, $kind eph" packets/s "$(jq .rate <<<"$load")" "$(calc "1e6 / $floor")" higher 'floor: one thread'
        [ $kind = fresh ] || figure "daemon$name, $kind eph: CPU a kB of payload" us/kB "$(jq '.cpu_us / 0.827' <<<"$load")" \
            "$(calc "$floor / 0.827")" lower '827 bytes a packet'
    done
    stop_all
}
if has_key daemon.threads=1; then
    measure ', 1 thread' --set daemon.threads=1
    measure ', 2 threads' --set daemon.threads=2
else
    measure ''
fi
