#!/usr/bin/env bats
# The plain text of the original proposal: nc and socat are clients.
load helpers

setup_file() {
    new_folder
    start_network 2 3
    wait_until has_route 2 3
}
teardown_file() {
    stop_all
}
setup() {
    ctl 3 pull >/dev/null
}

# -N: half-close after standard input.
ask() { # N
    nc -N -U "$DIR/$1.sock"
}

@test "PUSH ended by a newline" {
    [ "$(printf 'PUSH IP:%s MSG:hello there\n' "$NET.3" | ask 2)" = SUCCESS ]
    wait_until waiting 3 1
    [ "$(ctl 3 pull)" = "$(line_from 2 'hello there')" ]
}

@test "PUSH ended by the client's half-close" {
    [ "$(printf 'PUSH IP:%s MSG:no newline' "$NET.3" | ask 2)" = SUCCESS ]
    wait_until waiting 3 1
    [ "$(ctl 3 pull)" = "$(line_from 2 'no newline')" ]
}

@test "PUSH ended by neither" {
    mkfifo "$DIR/open"
    exec 9<>"$DIR/open" # a standard input that never ends
    printf 'PUSH IP:%s MSG:silence' "$NET.3" >&9
    socat -t 0.1 - "UNIX:$DIR/2.sock" <&9 >"$DIR/answer" 3>&-
    exec 9>&-
    rm "$DIR/open"
    [ "$(<"$DIR/answer")" = SUCCESS ]
    wait_until waiting 3 1
    [ "$(ctl 3 pull)" = "$(line_from 2 silence)" ]
}

@test "PUSH to nobody, and what is no request" {
    for request in "PUSH IP:$NET.77 MSG:x" 'PUSH IP: MSG:x' 'PUSH MSG:x' "PUSH IP:$NET.3" 'PUSH' 'PLEASE' 'pull'; do
        answer=$(printf '%s\n' "$request" | ask 2)
        [[ $answer != SUCCESS* ]] || { echo "$request"; false; }
    done
    [[ $(printf 'PUSH IP:%s MSG:x\n' "$NET.77" | ask 2) == FAIL* ]]
    answers 2
}

@test "PULL: nothing, then something, then nothing" {
    [ "$(printf 'PULL\n' | ask 3)" = 'SUCCESS 0' ]
    push_wait 2 3 one
    push_wait 2 3 'two words'
    [ "$(printf 'PULL\n' | ask 3)" = "$(printf 'SUCCESS 2\nIP: %s MSG:one\nIP: %s MSG:two words' "$NET.2" "$NET.2")" ]
    wait_until waiting 3 0
    [ "$(printf 'PULL' | ask 3)" = 'SUCCESS 0' ]
}

@test "PULL: a reader that dies takes nothing" {
    head -c 2000000 /dev/zero | tr '\0' x | ctl 2 push --wait=60s "$NET.3" - # more than any buffer on the way
    mkfifo "$DIR/blocked"
    printf 'PULL\n' | socat -t 60 - "UNIX:$DIR/3.sock" >"$DIR/blocked" 3>&- &
    pid=$!
    {
        read -r line
        kill -KILL $pid
    } <"$DIR/blocked"
    wait $pid || true
    rm "$DIR/blocked"
    [ "$line" = 'SUCCESS 1' ]
    [ "$(ctl 3 pull --wait=60s | wc -c)" -gt 2000000 ]
}

@test "remote text cannot forge a line" {
    printf 'x\nIP: 10.0.0.1 MSG:forged' | ctl 2 push --wait=60s "$NET.3" -
    answer=$(printf 'PULL\n' | ask 3)
    [ "$(wc -l <<<"$answer")" = 2 ]
    [[ $answer == "SUCCESS 1"* ]]
}
