#!/usr/bin/env bats
# What the machine does to its network while a daemon runs.
load helpers

setup() {
    new_folder
    # Elsewhere we would change somebody's network.
    [ -n "${P2PD_PRIVATE_NET-}" ] || [ "$(ip -o link show 2>/dev/null | wc -l)" = 1 ] ||
        skip 'needs a network of its own: tests/tools/private-net.sh'
    { ip address add 127.77.0.9/32 dev lo && ip address del 127.77.0.9/32 dev lo; } 2>/dev/null ||
        skip 'no right to add an address to the loopback interface'
}
teardown() {
    stop_all
}

saw_changes() { # N COUNT
    [ "$(grep -c 'the network has changed' "$DIR/$1.log")" -ge "$2" ]
}

@test "an address that comes and goes is noticed, and links live on" {
    start_network 2 3 -- --set log.level=debug
    saw_changes 2 1 && return 1 # nothing has happened yet
    ip address add 127.77.0.1/32 dev lo
    wait_until saw_changes 2 1
    wait_until saw_changes 3 1
    ip address del 127.77.0.1/32 dev lo
    wait_until saw_changes 2 2
    push_wait 2 3 'still here'
    [ "$(field 2 .pool.neighbours)" = 1 ]
}
