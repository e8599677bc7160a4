#!/usr/bin/env bash
# What a script meets: whole processes of p2pctl, beside one that does nothing and, where something is stored, a commit.
. "$(dirname "$0")/lib.sh"
process=$bench/bench_process
rounds=300
start_network 6 3
export P2PD_SOCKET=$dir/2.sock

# Wall time and CPU of a command: NAME FLOOR ITS-NAME COMMAND..., the floor an expression over what bench_floor says.
whole() {
    local name=$1 floor=$2 says=$3 took
    shift 3
    look_for_floors commit spawn hop
    took=$("$process" run $rounds "$@")
    figure "$name" ms "$(jq '.wall_us / 1000' <<<"$took")" "$(jq "($floor) / 1000" <<<"$least")" lower "n=$(jq .n <<<"$took"); floor: $says"
    figure "$name: CPU of the process" ms "$(jq '.cpu_us / 1000' <<<"$took")" "$(jq '.spawn_cpu_us / 1000' <<<"$least")" lower 'floor: /bin/true'
}
whole 'p2pctl --version' .spawn_us /bin/true "$bin/p2pctl" --version
whole 'p2pctl push' '.spawn_us + .commit_us' '/bin/true, a commit' "$bin/p2pctl" push -q "$net.6" 'a message of some twenty bytes'
# As many wait as are pulled, one each time.
client waiting $rounds 60 "$dir/6.sock" >/dev/null
whole 'p2pctl pull, of one message' .spawn_us /bin/true "$bin/p2pctl" -s "$dir/6.sock" pull -n 1
whole 'p2pctl pull, of none' .spawn_us /bin/true "$bin/p2pctl" -s "$dir/6.sock" pull
whole 'p2pctl push --wait, over 3 relays' '.spawn_us + 2 * .commit_us + 8 * .hop_us' '/bin/true, two commits, 8 hops' \
    "$bin/p2pctl" push -q --wait --relays 3 "$net.6" 'a message of some twenty bytes'

loop() { # COMMAND...
    local began=$EPOCHREALTIME i
    for ((i = 0; i < rounds; i++)); do
        "$@"
    done
    calc "$rounds / ($EPOCHREALTIME - $began)"
}
nothing=$(loop /bin/true)
figure 'pushes of a shell loop' pushes/s "$(loop "$bin/p2pctl" push -q "$net.6" 'a message of some twenty bytes')" "$nothing" higher 'floor: a loop of /bin/true'
