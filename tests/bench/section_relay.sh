#!/usr/bin/env bash
# One relay: a real daemon over real sockets between two neighbours (bench_load), and beside it the core in one process (bench_relay).
# The figure that counts is CPU a packet: load and relay share the machine, so packets a second are those of this machine with both.
. "$(dirname "$0")/lib.sh"

forward=$("$bench/bench_forward")
for row in 'forward_us|bare forwarder, one by one' 'segments_us|bare forwarder, joined and cut up by the kernel' \
    'kept_us|bare calls of a packet, kept eph' 'fresh_us|bare calls of a packet, fresh eph'; do
    figure "${row#*|}" us/packet "$(jq ".${row%%|*}" <<<"$forward")" - lower 'CPU'
done
"$bench/bench_relay" >"$dir/relay" 2>>"$dir/relay.log"
for kind in kept fresh; do
    figure "core in one process, $kind eph" us/packet "$(awk -v head="$kind eph" 'index($0, head) == 1 {on = 1} on && $1 == "relay" {print $2; exit}' "$dir/relay")" \
        "$(relay_floor $kind)" lower 'wall time; floor: CPU of the cheaper forwarder and the calls'
done

# Room for every fresh eph of the run: a refused one would cost less than a relayed one.
options=(--set droplist.entries=33554432 --set relay.paths=0)
measure() { # NAME [OPTION...]
    local name=$1 kind load floor flags
    shift
    spawn 2 "${options[@]}" "$@"
    for kind in kept fresh; do
        flags=()
        [ $kind = kept ] || flags=(-f -n 8000 -r 3)
        floor=$(relay_floor $kind)
        load=$("$bench/bench_load" "${flags[@]}" "$net.2:$port" "${pids[2]}")
        figure "daemon$name, $kind eph: CPU" us/packet "$(jq .cpu_us <<<"$load")" "$floor" lower \
            "$(jq -r '"\(.packets) packets in \(.rounds) rounds, \(.lost) lost"' <<<"$load")"
        figure "daemon$name, $kind eph" packets/s "$(jq .rate <<<"$load")" "$(calc "1e6 / $floor")" higher 'floor: one thread that has a core to itself'
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
