#!/usr/bin/env bats
# Nothing accepted is lost, whatever is killed, whenever: CYCLES=20 kill -9 of a sender, the recipient or a relay, drawn by SEED,
# while messages of all sizes are pushed without a pause.
load helpers

CYCLES=${CYCLES:-20}
SEED=${SEED:-1}
NODES='2 3 4 5 6 7 8'
SENDERS='2 3 4'
RECIPIENT=8
QUICK=(--set link.heartbeat=1s --set link.timeout=3s --set pool.min=3 --set pool.max=5 --set relay.rate=0)
WAIT_S=120

setup() {
    new_folder
    RANDOM=$SEED
}
teardown() {
    local file
    touch "$DIR/stop"
    for file in "$DIR"/*.pusher; do
        [ ! -f "$file" ] || wait_until is_gone "$(<"$file")"
    done
    umount -l "$DIR/2" 2>/dev/null || true
    stop_all
}

# Push until told to stop. What push exits 0 for is written down as owed; where it does not, the daemon is being killed: outcome
# unknown, and the same message goes again under its id until it is known.
push_on() { # FROM
    local from=$1 i=0 id text
    # shellcheck disable=SC2030 # a process of its own: its own numbers
    RANDOM=$((SEED * 100 + from))
    while [ ! -e "$DIR/stop" ]; do
        i=$((i + 1))
        id=$(printf '%08x%08x%08x%08x' "$SEED" "$from" "$i" 7)
        text="from $from number $i "
        if ((RANDOM % 20 == 0)); then # of many packets, or of many parcels
            text+=$(head -c $((RANDOM % 2 ? 5000 : 150000)) /dev/zero | tr '\0' 'x')
        fi
        until ctl "$from" push --id "$id" "$RECIPIENT_ID" - <<<"$text" >/dev/null 2>&1; do
            [ ! -e "$DIR/stop" ] || return 0
            sleep "$POLL_S"
        done
        echo "$id" >>"$DIR/owed.$from"
    done
}
owed() {
    cat "$DIR"/owed.* 2>/dev/null | wc -l
}
owes_nothing() { # N
    [ "$(ctl "$1" --json status | jq .outbox.pending)" -eq 0 ]
}
has_more_owed() { # THAN
    [ "$(owed)" -gt "$1" ]
}
spawn_again() { # N
    local peers=() n
    for n in $NODES; do
        [ "$n" = "$1" ] || peers+=(--peer "$NET.$n")
    done
    start_node "$1" "${QUICK[@]}" "${peers[@]}"
}

@test "$CYCLES kills under load: everything accepted arrives once (seed $SEED)" {
    # shellcheck disable=SC2086 # a list of numbers
    start_network $NODES -- "${QUICK[@]}"
    RECIPIENT_ID=$(id_of $RECIPIENT)
    for n in $SENDERS; do
        wait_until ctl "$n" push "$RECIPIENT_ID" "first from $n"
        push_on "$n" 3>&- &
        echo $! >"$DIR/$n.pusher"
    done
    for ((cycle = 1; cycle <= CYCLES; cycle++)); do
        local before victim
        before=$(owed)
        wait_until has_more_owed "$before"
        # shellcheck disable=SC2206 # a list of numbers
        victims=($NODES $RECIPIENT $RECIPIENT)
        # shellcheck disable=SC2031 # ours
        victim=${victims[RANDOM % ${#victims[@]}]}
        kill_node "$victim"
        spawn_again "$victim"
    done
    touch "$DIR/stop"
    for n in $SENDERS; do
        wait "$(<"$DIR/$n.pusher")" || true
        rm "$DIR/$n.pusher"
    done
    for n in $SENDERS; do
        wait_until owes_nothing "$n"
    done
    ctl $RECIPIENT --json pull >"$DIR/got"
    jq -r .id "$DIR/got" | sort >"$DIR/ids"
    sort "$DIR"/owed.* >"$DIR/accepted"
    echo "# $CYCLES kills, $(wc -l <"$DIR/accepted") messages" >&3
    [ "$(wc -l <"$DIR/accepted")" -ge "$CYCLES" ]
    [ -z "$(uniq -d "$DIR/ids")" ]
    [ -z "$(comm -23 "$DIR/accepted" "$DIR/ids")" ]
    # Each body is the one that was sent under this id.
    jq -r 'select(.body | startswith("first") | not) | .id + " " + (.body | split(" ") | .[1] + " " + .[3])' "$DIR/got" |
        while read -r id from number; do
            [ "$id" = "$(printf '%08x%08x%08x%08x' "$SEED" "$from" "$number" 7)" ]
        done
}

@test "pulls and their daemon are killed: a message is printed at least once, and once where pull exits 0" {
    start_network 2 3 4 -- "${QUICK[@]}"
    for ((i = 1; i <= 30; i++)); do
        ctl 2 push "$NET.4" "message $i" >/dev/null
    done
    wait_until waiting 4 30
    while [ "$(field 4 .inbox.waiting || true)" != 0 ]; do
        local status=0
        if ((RANDOM % 2)); then
            timeout -s KILL "0.00$((RANDOM % 9 + 1))" env P2PD_SOCKET="$DIR/4.sock" "$P2PD_BIN/p2pctl" pull -n 3 >"$DIR/part" 2>/dev/null || status=$?
        else
            { ctl 4 pull -n 3 >"$DIR/part" 2>/dev/null || status=$?; } &
            local puller=$!
            kill_node 4
            wait $puller || true
            status=1 # as far as we know
            start_node 4 "${QUICK[@]}" --peer "$NET.2"
        fi
        cat "$DIR/part" >>"$DIR/all"
        [ $status != 0 ] || cat "$DIR/part" >>"$DIR/confirmed"
    done
    sort -u "$DIR/all" | wc -l | grep -qx 30
    [ -z "$(sort "$DIR/confirmed" 2>/dev/null | uniq -d)" ]
}

@test "a full disk: what was accepted before arrives, and it goes on once there is room" {
    if ! mkdir -p "$DIR/2" || ! mount -t tmpfs -o size=800k tmpfs "$DIR/2" 2>/dev/null; then
        skip 'no right to mount a small file system'
    fi
    chmod 700 "$DIR/2"
    start_network 3 4 -- "${QUICK[@]}"
    start_node 2 "${QUICK[@]}" --peer "$NET.3"
    ctl 4 status >/dev/null
    wait_until has_route 2 4
    # shellcheck disable=SC2119 # its own options
    recipient=$(id_of 4)
    kill_node 4
    local accepted=0 code=0
    while [ $code = 0 ]; do
        code=0
        head -c 20000 /dev/urandom | ctl 2 push "$recipient" - >"$DIR/out" 2>"$DIR/err" || code=$?
        [ $code != 0 ] || accepted=$((accepted + 1))
        [ $accepted -lt 200 ]
    done
    [ $code = 1 ]
    grep -q 'disk is full' "$DIR/err"
    [ $accepted -gt 3 ]
    start_node 4 "${QUICK[@]}" --peer "$NET.3"
    wait_until waiting 4 $accepted
    wait_until owes_nothing 2
    mount -t tmpfs -o remount,size=20m tmpfs "$DIR/2"
    wait_until ctl 2 push "$recipient" 'there is room again'
    wait_until waiting 4 $((accepted + 1))
    stop_node 2
    umount "$DIR/2"
}

@test "a read-only disk, and a damaged database: said in words, nothing changed" {
    start_node 2
    ctl 2 push "$(id_of 2)" 'keep me' >/dev/null
    wait_until waiting 2 1
    stop_node 2
    cp "$DIR/2/messages.db" "$DIR/before"
    dd if=/dev/urandom of="$DIR/2/messages.db" bs=1 seek=4096 count=4000 conv=notrunc 2>/dev/null
    cp "$DIR/2/messages.db" "$DIR/damaged"
    expect_exit 1 timeout "$(patient 10)" "$P2PD_BIN/p2pd" -c /dev/null --listen "$NET.2:$PORT" --state "$DIR/2" --socket "$DIR/2.sock"
    [[ $ERR == *damaged* ]]
    cmp "$DIR/2/messages.db" "$DIR/damaged"
    cp "$DIR/before" "$DIR/2/messages.db"
    start_node 2
    [ "$(ctl 2 pull | cut -f2)" = 'keep me' ]
    stop_node 2
    mount --bind "$DIR/2" "$DIR/2" 2>/dev/null || skip 'no right to mount the read-only half of this test'
    mount -o remount,ro,bind "$DIR/2"
    expect_exit 1 timeout "$(patient 10)" "$P2PD_BIN/p2pd" -c /dev/null --listen "$NET.2:$PORT" --state "$DIR/2" --socket "$DIR/2.sock"
    umount "$DIR/2"
    [[ $ERR == *[Rr]ead-only* ]]
}
