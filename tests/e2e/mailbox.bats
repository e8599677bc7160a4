#!/usr/bin/env bats
# A message gets there although sender and recipient are never up together: two of seven nodes keep mail for others. Node 2 sends,
# node 3 gets, nodes 7 and 8 are the mailboxes.
load helpers

QUICK=(--set link.heartbeat=1s --set link.timeout=3s --set pool.min=3 --set pool.max=5 --set relay.rate=0)
KEEPING=(--set mailbox.size=10M)
WAIT_S=40

setup() {
    new_folder
    spawn_node 2 "${QUICK[@]}"
    for n in 3 4 5 6; do
        spawn_node "$n" --peer "$NET.2" "${QUICK[@]}"
    done
    for n in 7 8; do
        spawn_node "$n" --peer "$NET.2" "${QUICK[@]}" "${KEEPING[@]}"
    done
    wait_network 2 3 4 5 6 7 8
}
teardown() {
    stop_all
}

# Does node AT have a descriptor of ID that names these two mailboxes? Its database tells (a copy, since the daemon keeps it to itself),
# if it has written to ID.
names_mailboxes() { # AT ID MAILBOX-ID MAILBOX-ID
    local at=$1 id=$2 bytes
    shift 2
    rm -f "$DIR"/copy.db* && cp "$DIR/$at/messages.db" "$DIR/copy.db" &&
        cp "$DIR/$at/messages.db-wal" "$DIR/copy.db-wal" || return 1
    bytes=$(sqlite3 "$DIR/copy.db" "SELECT lower(hex(bytes)) FROM node WHERE id = x'$id'") || return 1
    # Side by side, in either order: apart they may be its neighbours.
    [[ $bytes == *"${1:0:16}${2:0:16}"* || $bytes == *"${2:0:16}${1:0:16}"* ]]
}
mailboxes_are() { # N ID COUNT
    [ "$(ctl "$1" --json status "$2" | jq .mailboxes)" -ge "$3" ]
}
holds() { # N COUNT
    [ "$(field "$1" .mail.held)" -eq "$2" ]
}
hold_something() { # N...: one of them
    local n
    for n in "$@"; do
        [ "$(field "$n" .mail.held)" -eq 0 ] || return 0
    done
    return 1
}

@test "the sender dies, and its message is there when the recipient is back" {
    local id recipient boxes=()
    recipient=$(id_of 3)
    boxes=("$(id_of 7)" "$(id_of 8)")
    push_wait 2 3 "are you there?"
    ctl 3 pull
    wait_until names_mailboxes 2 "$recipient" "${boxes[@]}"
    kill_node 3
    id=$(ctl 2 push "$recipient" "kept for you")
    wait_until mailboxes_are 2 "$id" 1 || { for n in 2 7 8; do ctl $n --json status; done; ctl 2 nodes; ctl 2 --json status "$id"; false; }
    hold_something 7 8
    [ "$(ctl 2 --json status "$id" | jq -r .state)" != delivered ]
    kill_node 2
    spawn_node 3 --peer "$NET.4" "${QUICK[@]}"
    wait_until waiting 3 1
    [ "$(ctl 3 pull)" = "$(line_from 2 'kept for you')" ]

    # Its own try comes late: one that was had already.
    spawn_node 2 --peer "$NET.4" "${QUICK[@]}"
    wait_until state_is 2 "$id" delivered
    wait_until holds 7 0
    wait_until holds 8 0
    waiting 3 0
    [ -z "$(ctl 3 pull)" ]
    [ "$(field 3 .counters.messages_received)" -eq 1 ]
}
