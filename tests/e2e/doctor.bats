#!/usr/bin/env bats
# What doctor says is so: each trouble is brought about with real daemons, and named.
load helpers

QUICK=(--set link.heartbeat=1s --set link.timeout=10s --set pool.min=1)

setup() {
    new_folder
}
teardown() {
    stop_all
}
says() { # N PATTERN: whatever the exit code
    local out
    out=$(ctl "$1" doctor) || true
    # shellcheck disable=SC2053 # a pattern
    [[ $out == $2 ]]
}
says_well() { # N
    ctl "$1" doctor | grep -q 'all is well'
}

@test "a peer's name that cannot be looked up is named, with the resolver's words and the next try" {
    start_node 9 --peer no.such.invalid:4000
    wait_until says 9 '*the peer no.such.invalid:4000 cannot be looked up: ?* (for *; next try *)*'
    expect_exit 1 ctl 9 doctor
    [[ $OUT == *'no address is known of the peer configured'* ]]
    [[ $OUT != *'no peer is configured'* ]]
    grep -q 'warning: the peer no.such.invalid:4000 cannot be looked up: ..*' "$DIR/9.log"
    [ "$(grep -c 'cannot be looked up' "$DIR/9.log")" -eq 1 ] # not at every try
    start_node 8 --peer "$NET.8"
    wait_until says 8 '*the peer configured is this node itself*'
}

@test "a machine with another secret that knocks is told of by its address; nobody else is" {
    start_network 2 3 -- "${QUICK[@]}"
    wait_until says_well 2
    head -c 32 /dev/urandom | base64 >"$DIR/secret"
    chmod 600 "$DIR/secret"
    start_node 7 --peer "$NET.2" --set network.secret_file="$DIR/secret"
    wait_until says 2 "*note*[0-9] datagram* from $NET.7 did not authenticate, the last * ago*"
    fails says_well 2
    expect_exit 0 ctl 2 doctor
    [ "$(grep -c 'did not authenticate' <<<"$OUT")" -eq 1 ]
    [ "$(grep -c 'did not authenticate' "$DIR/2.log")" -eq 1 ]
}

@test "a neighbour that is silent is named; when it is back all is well" {
    start_network 2 3 4 -- "${QUICK[@]}" --name somebody
    wait_until says_well 2
    kill -STOP "$(pid_of 3)"
    wait_until says 2 "*the neighbour somebody ($NET.3:$PORT, ????????????????) has been silent for * s*"
    kill -CONT "$(pid_of 3)"
    wait_until says_well 2
}

# Of N's answer to nodes: what it says of the node at M.
node_of() { # N M FILTER
    ctl "$1" nodes --json | jq -er --arg at "$NET.$2:$PORT" ".[] | select(.address == \$at) | $3"
}
is_noted_gone() { # N M
    [ "$(node_of "$1" "$2" .live)" = false ]
}
seconds_ago() { # TIME
    echo $(($(date +%s) - $(date -d "$1" +%s)))
}

@test "nodes: who is in the network was seen now; who is gone, when he was; two that die together are gone" {
    start_network 2 3 -- "${QUICK[@]}" --set pool.max=2
    start_node 4 --peer "$NET.3" "${QUICK[@]}"
    start_node 5 --peer "$NET.4" "${QUICK[@]}"
    start_node 6 --peer "$NET.5" --peer "$NET.4" "${QUICK[@]}"
    for n in 2 3 4 5 6; do
        wait_until knows "$n" 5
    done
    wait_until has_route 2 6
    ctl 2 push --wait=60s "$NET.6" hello
    signed=$(date +%s)
    while (($(date +%s) < signed + 3)); do ctl 2 nodes >/dev/null; done
    for n in 3 4 5 6; do # nobody has signed anything in these 3 s
        (($(seconds_ago "$(node_of 2 "$n" .last_seen)") <= 1))
    done
    kill_node 5 &
    kill_node 6
    wait $!
    died=$(date +%s)
    wait_until is_noted_gone 2 5
    wait_until is_noted_gone 2 6
    for n in 5 6; do
        (($(date -d "$(node_of 2 "$n" .last_seen)" +%s) <= died + 15))
    done
    [ "$(node_of 2 4 .live)" = true ]
}

@test "conversations and nodes name who was only written to, alive or gone" {
    start_network 2 3 -- "${QUICK[@]}"
    start_node 4 --peer "$NET.2" "${QUICK[@]}" --name carol
    wait_until has_route 2 4
    id=$(id_of 4)
    ctl 2 push --wait=60s "$id" 'by its id'
    ctl 2 conversations --json |
        jq -e --arg id "$id" --arg at "$NET.4:$PORT" '.[0] | .id == $id and .name == "carol" and .address == $at'
    kill_node 4
    kill_node 2
    start_node 2 --peer "$NET.3" "${QUICK[@]}"
    ctl 2 conversations --json | jq -e '.[0] | .name == "carol"'
    carol_is_gone() { [ "$(ctl 2 nodes --json | jq -r '.[] | select(.name == "carol") | .live')" = false ]; }
    wait_until carol_is_gone # her neighbour knows by now, or will in seconds
}
