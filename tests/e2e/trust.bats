#!/usr/bin/env bats
# A machine installed anew: another key is found at its address. What waited for the old one is told of, and sent to the new one
# when the user says so: once, whatever is killed meanwhile.
load helpers

QUICK=(--set link.heartbeat=1s --set link.timeout=3s)

setup() {
    new_folder
}
teardown() {
    stop_all
}

# 2 writes to 16, which dies; what is written then waits.
start_and_lose_16() {
    start_network 2 3 4 16 -- "${QUICK[@]}"
    push_wait 2 16 first
    [ "$(ctl 16 pull)" = "$(line_from 2 first)" ]
    OLD_ID=$(id_of 16)
    kill_node 16
}
key_has_changed() {
    expect_exit 7 ctl 2 route "$NET.16"
}
install_16_anew() {
    rm -r "$DIR/16"
    start_node 16 --set files.accept=all --peer "$NET.2" "${QUICK[@]}"
    wait_until key_has_changed
    NEW_ID=$(id_of 16)
}
says_of_keys() {
    expect_exit 1 ctl 2 doctor
    [[ $OUT == *'trouble keys: '*"${OLD_ID:0:16}"*"${NEW_ID:0:16}"*'3 messages wait'*"trust --resend $NET.16"* ]]
}
has_file() { # N NAME
    ctl "$1" files --json | jq -e --arg name "$2" 'any(.name == $name and .state == "waiting")'
}

@test "trust says what waits for the key before; --resend sends it, in order, files too, once" {
    start_and_lose_16
    one=$(ctl 2 push "$NET.16" one)
    two=$(ctl 2 push "$NET.16" two)
    head -c 300000 /dev/urandom >"$DIR/a.file"
    ctl 2 send "$NET.16" "$DIR/a.file"
    install_16_anew
    says_of_keys
    expect_exit 0 ctl 2 trust "$NET.16"
    [[ $OUT == *"$NEW_ID"* ]]
    [[ $OUT == *'3 messages wait for the key before, '"$OLD_ID"*"p2pctl trust --resend $NET.16"* ]]
    says_of_keys # they wait as before
    expect_exit 0 ctl 2 status "$one"
    [[ $ERR == *"p2pctl trust --resend $NET.16"* ]]
    [[ $(ctl 2 status) == *'3 pending, of them 3 for a key that is gone'* ]]
    kill_node 2 # nor does a restart forget it
    start_node 2 --peer "$NET.3" "${QUICK[@]}"
    wait_until says_of_keys
    wait_until has_route 2 16
    ctl 2 push --wait=60s "$NET.16" three
    expect_exit 0 ctl 2 trust --resend --json "$NET.16"
    jq -e --arg old "$OLD_ID" --arg new "$NEW_ID" \
        '.code == 0 and .resent and .id == $new and .old[0].id == $old and .old[0].messages == 3' <<<"$OUT"
    expect_exit 0 ctl 2 trust --resend "$NET.16" # a second time there is nothing
    [[ $OUT == *'no message waits for a key before it'* ]]
    [ "$(field 2 .outbox.key_gone)" -eq 0 ]
    fails grep -q keys <<<"$(ctl 2 doctor)"
    for id in "$one" "$two"; do
        expect_exit 0 ctl 2 status --wait=60s "$id" # under the ids that they had
        [ "$OUT" = delivered ]
    done
    [ "$(ctl 16 pull | cut -f2 | tr '\n' ' ')" = 'three one two ' ]
    wait_until has_file 16 a.file
    ctl 16 receive "$DIR" >/dev/null
    cmp "$DIR/a.file" "$DIR/a.file.1"
}

@test "trust --resend, and the daemon killed at any moment: all of it arrives, once" {
    start_and_lose_16
    seq -f 'number %g' 1 100 | ctl 2 push -q --lines "$NET.16"
    install_16_anew
    for cycle in 0 1 2 3 4 5; do
        ctl 2 trust --resend "$NET.16" >/dev/null 2>&1 &
        asking=$!
        head -c $((cycle * 4000)) /dev/zero | sha256sum >/dev/null # a little later each time
        kill_node 2
        wait "$asking" || true
        start_node 2 --peer "$NET.3" "${QUICK[@]}"
    done
    again() { ctl 2 trust --resend "$NET.16"; }
    wait_until again
    all_there() { [ "$(field 2 .outbox.pending)" -eq 0 ]; }
    wait_until all_there
    [ "$(ctl 16 pull | grep -c 'number')" -eq 100 ]
    [ "$(ctl 2 history "$NEW_ID" --json | jq -r 'select(.state == "delivered") | .id' | sort -u | wc -l)" -eq 100 ]
}
