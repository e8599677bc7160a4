#!/usr/bin/env bats
# A disk that others fill, or something else: whatever gives room back works all the same, and what had no room waits with its sender.
load helpers

QUICK=(--set link.heartbeat=1s --set link.timeout=3s)

setup() {
    new_folder
    mkdir -p "$DIR/3"
    mount -t tmpfs -o size=40m,mode=700 tmpfs "$DIR/3" 2>/dev/null || skip 'no right to mount a small file system'
    start_network 2 3 4 -- "${QUICK[@]}"
    wait_until has_route 2 3
    TO=$(id_of 3)
    head -c 200000 /dev/urandom | base64 -w0 >"$DIR/body"
}
teardown() {
    stop_node 3 2>/dev/null || true
    umount -l "$DIR/3" 2>/dev/null || true
    stop_all
}

pending() { # N
    field "$1" .outbox.pending
}
owes_nothing() { # N
    [ "$(pending "$1")" = 0 ]
}
fill_up() { # to the last byte
    dd if=/dev/zero bs=4096 >>"$DIR/3/filler" 2>/dev/null || true
    [ "$(free_bytes)" -lt 400000 ]
}
free_bytes() {
    df --output=avail -B1 "$DIR/3" | tail -1
}
is_told_full() {
    grep -q 'disk is full' "$DIR/3.log"
}
has_no_room() { # for others
    [ "$(field 3 .counters.refused_quota)" -gt 0 ]
}
pull_all() { # N FILE: until nothing waits with it
    ctl "$1" pull -q >>"$2"
    [ "$(field "$1" .inbox.waiting)" = 0 ]
}
took_all() { # COUNT
    pull_all 3 "$DIR/all"
    [ "$(wc -l <"$DIR/all")" -ge "$1" ]
}

@test "messages from others leave room; what is taken makes room for those that wait with their sender" {
    local n
    for n in $(seq 1 200); do
        { printf '%s ' "$n"; cat "$DIR/body"; } | ctl 2 push -q "$TO" -
    done
    wait_until has_no_room
    fails is_told_full # our own still find some
    [ "$(free_bytes)" -gt $((40 * 1024 * 1024 / 16)) ]
    [ "$(field 3 .inbox.waiting)" -gt 10 ]
    [ "$(pending 2)" -gt 10 ] # neither refused nor failed
    # One pull takes all that waits.
    ctl 3 pull -q >"$DIR/all"
    # What is kept in history is no room; what is forgotten is.
    while ! owes_nothing 2; do
        [ $((n++)) -lt 1000 ]
        ctl 3 forget "$(id_of 2)" >/dev/null
        ctl 3 pull -q >>"$DIR/all"
        sleep "$POLL_S"
    done
    wait_until took_all 200
    [ "$(cut -f2 "$DIR/all" | cut -d' ' -f1 | sort -n | uniq | wc -l)" = 200 ]
    [ "$(wc -l <"$DIR/all")" = 200 ]
}

@test "a disk without a byte left: pull, forget, cancel and a restart work; a push is refused in words" {
    local n id
    for n in $(seq 1 20); do
        { printf '%s ' "$n"; cat "$DIR/body"; } | ctl 2 push -q --wait=60s "$TO" -
    done
    for n in $(seq 21 400); do
        echo "$n x"
    done | ctl 2 push -q --lines --wait=60s "$TO"
    wait_until waiting 3 400
    kill_node 4
    id=$(ctl 3 push "$NET.4" 'to be cancelled')
    fill_up
    expect_exit 1 ctl 3 push "$TO" - <"$DIR/body"
    [[ $ERR == *'disk is full'* ]]
    ctl 3 pull -q -n 100 >"$DIR/out"
    cut -f2 "$DIR/out" | cut -d' ' -f1 >"$DIR/numbers"
    [ "$(field 3 .inbox.waiting)" = 300 ]
    expect_exit 0 ctl 3 cancel "$id"
    kill_node 3
    fill_up
    start_node 3 "${QUICK[@]}" --peer "$NET.2"
    ctl 3 pull -q >"$DIR/out"
    cut -f2 "$DIR/out" | cut -d' ' -f1 >>"$DIR/numbers"
    [ "$(sort -n "$DIR/numbers" | uniq | wc -l)" = 400 ]
    [ "$(wc -l <"$DIR/numbers")" = 400 ]
    expect_exit 0 ctl 3 forget "$(id_of 2)"
    [ "$(ctl 3 history "$(id_of 2)" --json | jq -s length)" = 0 ]
    [ "$(field 3 .inbox.waiting)" = 0 ]
    rm "$DIR/3/filler"
    wait_until ctl 2 push -q --wait=60s "$TO" 'there is room again'
    ctl 3 pull | grep -q 'room again'
}
