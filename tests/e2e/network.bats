#!/usr/bin/env bats
# Eight real daemons: delivery whoever dies, and what an outsider gets to see.
load helpers

setup() {
    new_folder
}
teardown() {
    stop_all
}

EIGHT='2 3 4 5 6 7 8 9'
SMALL_POOL=(--set pool.min=3 --set pool.max=5)
# Links that die are noticed sooner than with the defaults, so that the tests are quick.
QUICK=(--set link.heartbeat=1s --set link.timeout=3s)

routes_have_relays() { # N M: at least one relay between them
    ctl "$1" route "$NET.$2" -n 1 | grep -qE "$NET\.[0-9]+.*$NET\.[0-9]+"
}
start_eight() { # [OPTION...]
    # shellcheck disable=SC2086 # a list of numbers
    start_network $EIGHT -- "${SMALL_POOL[@]}" "$@"
    wait_until routes_have_relays 2 9
}

@test "all reach all, and nobody is linked to everybody" {
    start_eight
    for from in $EIGHT; do
        for to in $EIGHT; do
            if [ "$from" != "$to" ]; then
                wait_until has_route "$from" "$to"
                ctl "$from" push "$NET.$to" "from $from to $to" >/dev/null
            fi
        done
    done
    for to in $EIGHT; do
        wait_until waiting "$to" 7
        ctl "$to" pull | sort >"$DIR/got"
        for from in $EIGHT; do
            [ "$from" = "$to" ] || line_from "$from" "from $from to $to"
        done | sort | diff - "$DIR/got"
        [ "$(field "$to" .pool.neighbours)" -le 5 ]
    done
    [ "$(for n in $EIGHT; do field "$n" .counters.onion_relayed; done | awk '{ n += $1 } END { print n }')" -gt 0 ]
}

@test "relays are killed in the middle of a stream, every message arrives once" {
    start_eight "${QUICK[@]}"
    for ((i = 1; i <= 60; i++)); do
        ctl 2 push "$NET.9" "message $i" >/dev/null
        if [ $i = 20 ]; then kill_node 4; fi
        if [ $i = 40 ]; then kill_node 6; fi
    done
    wait_until waiting 9 60
    ctl 9 pull | cut -f2 | sort | uniq -c | awk '$1 != 1 { exit 1 } END { exit NR != 60 }'
}

@test "a message for one who is away waits, and arrives after the return" {
    start_eight "${QUICK[@]}"
    push_wait 2 9 'while here'
    stop_node 9
    id=$(ctl 2 push "$NET.9" 'while away')
    [ "$(field 2 .outbox.pending)" = 1 ]
    start_node 9 "${SMALL_POOL[@]}" "${QUICK[@]}"
    wait_until state_is 2 "$id" delivered
    [ "$(ctl 9 pull)" = "$(line_from 2 'while here'; line_from 2 'while away')" ]
    [ "$(field 2 .outbox.pending || true)" = 0 ]
}

@test "kill -9 of the recipient: what was receipted is there, once" {
    start_eight "${QUICK[@]}"
    for ((i = 1; i <= 30; i++)); do
        ctl 2 push "$NET.9" "message $i" >/dev/null
        [ $i != 15 ] || kill_node 9
    done
    start_node 9 "${SMALL_POOL[@]}" "${QUICK[@]}"
    wait_until waiting 9 30
    ctl 9 pull | cut -f2 | sort -u | wc -l | grep -qx 30
    # Taken is taken, across another kill too.
    kill_node 9
    start_node 9 "${SMALL_POOL[@]}" "${QUICK[@]}"
    waiting 9 0
}

@test "kill -9 of the sender: what was accepted is delivered, once" {
    start_eight "${QUICK[@]}"
    push_wait 2 9 'before' # from now on the address is 9's, whether or not it is there
    ctl 9 pull >/dev/null
    kill_node 9
    for ((i = 1; i <= 10; i++)); do
        ctl 2 push "$NET.9" "message $i" >/dev/null
    done
    kill_node 2
    start_node 2 "${SMALL_POOL[@]}" "${QUICK[@]}"
    [ "$(field 2 .outbox.pending)" = 10 ]
    start_node 9 "${SMALL_POOL[@]}" "${QUICK[@]}"
    wait_until waiting 9 10
    [ "$(ctl 9 pull | cut -f2)" = "$(seq -f 'message %g' 10)" ]
}

@test "a restart finds the network with no peer configured" {
    start_eight
    # Only once it has been told of the others does it have something to remember.
    wait_until knows 9 8
    stop_node 9
    start_node 9
    wait_until has_neighbours 9 1
    wait_until knows 9 8
    push_wait 9 3 'back again'
}

@test "all restart at once, with no peer configured" {
    start_eight
    # Whom they knew is written down now and then, not at once.
    for n in $EIGHT; do wait_until has_spares "$n"; done
    for n in $EIGHT; do kill_node "$n"; done
    for n in $EIGHT; do spawn_node "$n"; done
    # shellcheck disable=SC2086
    wait_network $EIGHT
    push_wait 2 9 'from the ashes'
}

has_spares() { # N
    # The daemon keeps its database to itself: look at a copy.
    rm -f "$DIR"/copy.db* && cp "$DIR/$1/messages.db" "$DIR/copy.db" && cp "$DIR/$1/messages.db-wal" "$DIR/copy.db-wal" &&
        [ "$(sqlite3 "$DIR/copy.db" 'SELECT count(*) FROM spare')" -ge 1 ]
}

@test "another secret gets no answer, and neither gets in" {
    echo one >"$DIR/one"
    echo two >"$DIR/two"
    chmod 600 "$DIR/one" "$DIR/two"
    start_network 2 3 -- --set network.secret_file="$DIR/one"
    start_node 4 --peer "$NET.2" --set network.secret_file="$DIR/two"
    start_node 5 --peer "$NET.2"
    start_node 6 --peer "$NET.2" --set network.name=other --set network.secret_file="$DIR/one"
    # Each of them has asked, several times; none is in.
    for n in 4 5 6; do
        wait_until asked_in_vain "$n"
        [ "$(field "$n" .directory.nodes)" = 1 ]
        [ "$(field "$n" .counters.datagrams_in || true)" = 0 ]
    done
    [ "$(field 2 .directory.nodes)" = 2 ]
    push_wait 2 3 'among us'
}
asked_in_vain() { # N
    [ "$(field "$1" .counters.datagrams_out)" -ge 3 ]
}

@test "what a clock days off queues is delivered once it is right, and beyond a day that is said" {
    start_network 2 3 4 5 -- "${QUICK[@]}"
    to=$(id_of 5)
    push_wait 4 5 "by a right clock"
    kill_node 5
    stop_node 4
    start_node 4 --peer "$NET.2" "${QUICK[@]}" --clock-offset -1000000
    id=$(ctl 4 push --json "$to" "the power was away" | jq -r .id)
    stop_node 4
    start_node 4 --peer "$NET.2" "${QUICK[@]}"
    spawn_node 5 --peer "$NET.2" "${QUICK[@]}"
    wait_until state_is 4 "$id" delivered

    start_node 6 --peer "$NET.2" "${QUICK[@]}" --clock-offset 93600
    wait_until eval 'ctl 6 doctor | grep -q "26 h ahead of the neighbours.*until the clock is set"'
    grep -q 'clock: .* 26 h ahead of the neighbours.*more than the 24 h' "$DIR/6.log"
    fails grep -q 'corrected here; set' "$DIR/6.log"
    ctl 6 status | grep -q '^clock .*26 h ahead'
    [ "$(field 6 '.clock_error_ms / 3600000 | round')" = -26 ]
}

@test "an MTU below 1280 on the way is no obstacle over IPv4" {
    # In a network of our own alone: others' connections go by the machine's.
    [ "$(ip -o link 2>/dev/null | wc -l)" = 1 ] || skip "this is not a network of its own"
    mtu=$(ip -o link show lo | sed 's/.* mtu \([0-9]*\).*/\1/')
    ip link set lo mtu 1000 2>/dev/null || skip "the MTU cannot be set here"
    start_network 2 3 4 -- "${QUICK[@]}"
    id=$(push_wait 3 4 "cut up on the way") || result=$?
    ip link set lo mtu "$mtu"
    [ -z "${result:-}" ]
    state_is 3 "$id" delivered
}

@test "a push by address in the first second of a network" {
    start_node 2
    spawn_node 3 --peer "$NET.2"
    spawn_node 4 --peer "$NET.2"
    wait_until answers 4
    ctl 4 push "$NET.3" 'early' || { cat "$DIR/3.log" "$DIR/4.log" && false; }
    wait_until waiting 3 1
    [ "$(ctl 3 pull)" = "$(line_from 4 early)" ]
}

@test "a push to an address where nobody is does not take long to fail" {
    start_network 2 3
    status=0
    SECONDS=0
    ctl 2 push "$NET.77" x 2>"$DIR/said" || status=$?
    [ "$status" = 4 ]
    ((SECONDS < 8)) # before a client would give up
    grep -q "$NET.77" "$DIR/said"
}

@test "a clock ten minutes off, either way" {
    start_network 2 3 4
    start_node 5 --peer "$NET.2" --clock-offset 600
    start_node 6 --peer "$NET.2" --clock-offset -600
    for n in 5 6; do
        wait_until knows "$n" 5
        push_wait "$n" 3 'from another time'
        push_wait 3 "$n" 'to another time'
        wait_until grep -qi clock "$DIR/$n.log" # and it says so
    done
}

@test "nothing of a message, an id or a name is on the wire" {
    tcpdump -Z root -U -i lo -s 0 -w "$DIR/wire" udp 2>"$DIR/tcpdump.err" 3>&- &
    echo $! >"$DIR/tcpdump.pid"
    wait_until listens_or_fails "$DIR/tcpdump.err"
    grep -q listening "$DIR/tcpdump.err" || skip "no right to capture: $(tail -n 1 "$DIR/tcpdump.err")"
    start_network 2 3 4 -- --name PLAINNAME --set pool.min=1
    secret=PLAINTEXTPLAINTEXTPLAINTEXT
    push_wait 2 4 $secret
    [ "$(ctl 4 pull)" = "$(line_from 2 $secret)" ]
    wait_until has_bytes 10000
    for n in 2 3 4; do
        id=$(id_of "$n")
        fails grep -qaF "$id" "$DIR/wire"
        fails env LC_ALL=C grep -qaP "$(sed 's/../\\x&/g' <<<"${id:0:16}")" "$DIR/wire"
    done
    fails grep -qaF PLAINTEXT "$DIR/wire"
    fails grep -qaF PLAINNAME "$DIR/wire"
    # Whatever is said, a datagram is as long as any other, handshakes aside.
    kill -TERM "$(<"$DIR/tcpdump.pid")"
}

listens_or_fails() { # FILE
    grep -q listening "$1" || is_gone "$(<"$DIR/tcpdump.pid")"
}
has_bytes() { # COUNT
    [ "$(wc -c <"$DIR/wire")" -gt "$1" ]
}

@test "ping, route, peers and nodes tell of the network" {
    start_eight
    ctl 2 ping "$NET.9"
    [ "$(ctl 2 nodes --json | jq length)" = 8 ]
    [ "$(ctl 2 peers --json | jq length)" = "$(field 2 .pool.neighbours)" ]
    ctl 2 peers --json | jq -e 'all(has("address", "name", "id", "rtt_ms", "since", "state", "bytes_in", "bytes_out"))' ||
        ctl 2 peers --json | jq -e 'all(.[]; has("address") and has("id") and has("rtt_ms") and has("since") and has("state"))'
    ctl 2 nodes --json | jq -e 'all(.[]; has("address") and has("id") and has("relay") and has("last_seen"))'
    [ "$(ctl 2 route "$NET.9" -n 5 | grep -c "$NET.9")" -ge 5 ]
}

@test "connect and disconnect by hand" {
    start_node 2
    start_node 3
    ctl 2 connect "$NET.3:$PORT"
    wait_until has_neighbours 2 1
    since=$(ctl 2 peers --json | jq -r '.[0].since')
    ctl 2 disconnect "$NET.3"
    # It does not call again, but the other side may: that is another link.
    wait_until has_dropped 2 "$since"
}
has_dropped() { # N SINCE
    ctl "$1" peers --json | jq -e --arg since "$2" 'all(.[]; .since != $since or .state != "up")'
}

@test "a node that does not relay is no relay, and still sends and receives" {
    start_network 2 3 4 5
    start_node 6 --peer "$NET.2" --set node.relay=no
    wait_until knows 2 5
    wait_until knows 6 5
    push_wait 6 3 out
    push_wait 3 6 in
    [ "$(field 6 .counters.onion_relayed || true)" = 0 ]
    [ "$(ctl 2 nodes --json | jq --arg id "$(id_of 6)" '.[] | select(.id == $id) | .relay')" = false ]
}

@test "a route shorter than configured is told to whoever sends" {
    start_node 2
    start_node 3 --peer "$NET.2"
    wait_until has_route 2 3
    notice=$(ctl 2 push "$NET.3" "by the direct link" 2>&1 >/dev/null)
    [[ $notice == *"only 0 of 3 relays"* ]]
}
