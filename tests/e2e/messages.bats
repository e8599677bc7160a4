#!/usr/bin/env bats
# A message is what was pushed, once, in order, whatever its bytes and whoever dies in between. Node 2 sends, node 3 gets.
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

push_numbers() { # COUNT
    local i
    for ((i = 1; i <= $1; i++)); do
        ctl 2 push "$NET.3" "message $i"
    done >/dev/null
    wait_until waiting 3 "$1"
}
# Push standard input, pull it raw, compare with FILE.
expect_same() { # FILE
    ctl 2 push --wait=120s "$NET.3" - <"$1" >/dev/null
    ctl 3 pull -0 >"$DIR/raw"
    printf '%s\0%d\0' "$NET.2" "$(wc -c <"$1")" | cat - "$1" >"$DIR/expected"
    cmp "$DIR/expected" "$DIR/raw"
}

@test "words are joined by spaces" {
    push_wait 2 3 "a  b"
    ctl 2 push --wait=60s "$NET.3" several   words
    [ "$(ctl 3 pull)" = "$(line_from 2 'a  b'; line_from 2 'several words')" ]
}

@test "--trace prints the id, then the routes" {
    ctl 2 push --wait=60s --trace "$NET.3" text >"$DIR/trace"
    [[ $(sed -n 1p "$DIR/trace") =~ ^[0-9a-f]{32}$ ]]
    sed -n 2p "$DIR/trace" | grep -qE "(^|-> )$NET\.3:$PORT( |\$)"
    [ "$(ctl 2 push -q --trace "$NET.3" text | grep -c "$NET.3")" -ge 1 ]
    [ "$(ctl 2 push --json --trace "$NET.3" text | jq -r '.paths[0][-1].address')" = "$NET.3:$PORT" ]
    wait_until waiting 3 3
}

@test "a notice goes to stderr, or into the JSON, and -q leaves it out" {
    # Two nodes have no relay between them.
    expect_exit 0 ctl 2 route "$NET.3" -n 1
    [[ $ERR == 'p2pctl: route: fewer relays than'* ]]
    [[ $OUT != *fewer* ]]
    expect_exit 0 ctl 2 route "$NET.3" -n 1 -q
    [ -z "$ERR" ]
    expect_exit 0 ctl 2 route "$NET.3" -n 1 --json
    [ -z "$ERR" ]
    [[ $(jq -r .notice <<<"$OUT") == 'fewer relays than'* ]]
}

@test "stdin, with and without -, no newline added or lost" {
    for text in 'no newline' $'a newline\n' $'\n\n' $'two\nlines'; do
        printf %s "$text" >"$DIR/text"
        expect_same "$DIR/text"
    done
    printf 'no dash' | ctl 2 push --wait=60s "$NET.3"
    [ "$(ctl 3 pull)" = "$(line_from 2 'no dash')" ]
}

@test "empty" {
    : >"$DIR/empty"
    expect_same "$DIR/empty"
    ctl 2 push --wait=60s "$NET.3" ''
    [ "$(ctl 3 pull)" = "$(line_from 2 '')" ]
}

@test "binary with NUL" {
    printf 'a\0b\n\0\377\0' >"$DIR/binary"
    expect_same "$DIR/binary"
    head -c 70000 /dev/urandom >"$DIR/binary" # more than one parcel
    expect_same "$DIR/binary"
}

@test "16 MiB arrives, a byte more is refused" {
    head -c 16777216 /dev/urandom >"$DIR/large"
    expect_same "$DIR/large"
    printf x >>"$DIR/large"
    code=0
    ctl 2 push "$NET.3" - <"$DIR/large" || code=$?
    [ "$code" = 6 ]
    rm "$DIR/large" "$DIR/raw" "$DIR/expected"
}

@test "remote text never drives the terminal" {
    printf 'a\tb\nc\\d\033[31m\177\302\233e\377\302\240f\303\251' | ctl 2 push --wait=60s "$NET.3" -
    ctl 3 pull >"$DIR/text"
    [ "$(wc -l <"$DIR/text")" = 1 ]
    # Apart from the tab after the address and the last newline, no control character is left.
    [ "$(tr -d '[:print:]\200-\377' <"$DIR/text" | od -An -c | tr -d ' ')" = '\t\n' ]
    LC_ALL=C grep -qiF 'a\x09b\nc\\d\x1b[31m\x7f' "$DIR/text"
    LC_ALL=C grep -qiF 'e\xff' "$DIR/text"
    fails env LC_ALL=C grep -qP '\xc2\x9b' "$DIR/text"
    LC_ALL=C grep -qP 'f\xc3\xa9$' "$DIR/text"
}

# Directions of writing (U+202E, U+2066, U+200F, U+061C), ends of lines (U+2028, U+0085) and what cannot be seen (U+200B, U+FEFF,
# U+E0041, U+FFFE): in a text, and in the name of a file.
HIDDEN=$'pay \xe2\x80\xae001\xe2\x81\xa6\xe2\x80\x8f\xd8\x9c\xe2\x80\xa8127.0.0.1 forged\xc2\x85\xe2\x80\x8b\xef\xbb\xbf\xf3\xa0\x81\x81\xef\xbf\xbe'
shows_no_hidden() { # COMMAND...: on standard output and error; lines as Python counts them are lines as wc counts them
    "$@" >"$DIR/shown" 2>&1
    grep -q 'pay' "$DIR/shown"
    python3 - "$DIR/shown" <<'PY'
import sys, unicodedata
text = open(sys.argv[1], "rb").read().decode()
assert not [c for c in text if c not in "\t\n" and (unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cn"))], repr(text)
assert len(text.splitlines()) == text.count("\n"), repr(text)
PY
}
@test "what turns writing round, ends lines or hides never comes out raw" {
    ctl 2 forget "$NET.3" # the random bytes of other tests have characters of all kinds
    ctl 3 forget "$NET.2"
    printf %s "$HIDDEN" | ctl 2 push -q --wait=60s "$NET.3" -
    shows_no_hidden ctl 3 pull --peek
    LC_ALL=C grep -qF 'pay \xe2\x80\xae001' "$DIR/shown"
    shows_no_hidden ctl 3 pull --peek --json
    [ "$(jq -rj .body "$DIR/shown")" = "$HIDDEN" ] # the same text to whoever reads the JSON
    for command in "2 history $NET.3" "2 history $NET.3 --json" '2 conversations' '2 conversations --json' \
        "3 history $NET.2" '3 conversations --json'; do
        # shellcheck disable=SC2086 # words
        shows_no_hidden ctl $command
    done
    printf 'PULL\n' | nc -N -U "$DIR/3.sock" >"$DIR/plain"
    shows_no_hidden cat "$DIR/plain"
    [ "$(wc -l <"$DIR/plain")" = 2 ]
    # Errors quote what was typed.
    shows_no_hidden fails ctl 2 "$HIDDEN"
    shows_no_hidden fails ctl 2 push "$HIDDEN" x
    shows_no_hidden fails ctl 2 --"$HIDDEN"
    shows_no_hidden fails ctl 2 history --since "$HIDDEN" "$NET.3"
    shows_no_hidden fails ctl 2 send "$NET.3" "$DIR/$HIDDEN"
}

@test "json: text, bytes, fields" {
    ctl 2 push --wait=60s "$NET.3" $'é "quoted"\n\t'
    printf 'not \377 text' | ctl 2 push --wait=60s "$NET.3" -
    ctl 3 pull --json >"$DIR/json"
    [ "$(wc -l <"$DIR/json")" = 2 ]
    [ "$(sed -n 1p "$DIR/json" | jq -r .body)" = "$(printf 'é "quoted"\n\t')" ]
    [ "$(sed -n 2p "$DIR/json" | jq -r .body_base64)" = "$(printf 'not \377 text' | base64)" ]
    jq -e --arg ip "$NET.2" --argjson port "$PORT" --arg id "$(id_of 2)" '.from.ip == $ip and .from.id == $id and .from.port == $port and
        (.id | test("^[0-9a-f]{32}$")) and ([.sent, .received] | all(test("^20..-..-..T..:..:..\\.[0-9]{3}Z$")))' "$DIR/json"
}

@test "ids: printed, chosen, repeated without doubling" {
    id=00112233445566778899aabbccddee01
    [ "$(ctl 2 push --id $id "$NET.3" once)" = $id ]
    [ "$(ctl 2 push --id $id "$NET.3" once)" = $id ]
    wait_until state_is 2 $id delivered
    ctl 2 push --id $id "$NET.3" once # also after it arrived
    [ "$(ctl 3 pull)" = "$(line_from 2 once)" ]
    # The same id for something else is no success.
    fails ctl 2 push --id $id "$NET.3" 'something else'
    [ "$(ctl 2 --json push "$NET.3" text | jq -r '.state')" = queued ]
    [ "$(ctl 2 push --json --wait=60s "$NET.3" text | jq -r '.state' | tail -n 1)" = delivered ]
    ctl 2 status $id | grep -q delivered
}

@test "options before and after the command, and -- ends them" {
    ctl 2 push "$NET.3" --wait=60s text
    ctl 2 push --wait=60s "$NET.3" -- --json -- text
    [ "$(ctl 3 pull)" = "$(line_from 2 text; line_from 2 '--json -- text')" ]
}

@test "pull: oldest first, -n, --from, --peek" {
    push_numbers 5
    expected=$(for i in 1 2 3 4 5; do line_from 2 "message $i"; done)
    [ "$(ctl 3 pull --peek)" = "$expected" ]
    [ "$(ctl 3 pull --peek -n 2)" = "$(head -n 2 <<<"$expected")" ]
    [ "$(ctl 3 pull -n 2)" = "$(head -n 2 <<<"$expected")" ]
    [ -z "$(ctl 3 pull --from "$NET.3")" ]
    [ "$(ctl 3 pull --from "$NET.2" -n 1)" = "$(sed -n 3p <<<"$expected")" ]
    waiting 3 2
    [ "$(ctl 3 pull)" = "$(tail -n 2 <<<"$expected")" ]
    waiting 3 0
}

@test "pull --wait returns with the first message" {
    ctl 3 pull --wait=60s >"$DIR/waited" 3>&- &
    pid=$!
    push_wait 2 3 'at last'
    wait $pid
    [ "$(<"$DIR/waited")" = "$(line_from 2 'at last')" ]
}

@test "pull --follow goes on, and confirms as it goes" {
    P2PD_SOCKET=$DIR/3.sock "$P2PD_BIN/p2pctl" pull --follow >"$DIR/followed" 3>&- &
    pid=$!
    for i in 1 2 3; do
        push_wait 2 3 "message $i"
        wait_until grep -q "message $i" "$DIR/followed"
    done
    wait_until waiting 3 0
    kill $pid
    wait $pid || true
    [ "$(wc -l <"$DIR/followed")" = 3 ]
}

@test "two pulls at once never give the same message" {
    push_numbers 60
    for i in 1 2 3; do
        ctl 3 pull --json >"$DIR/pull.$i" 3>&- &
        pids[i]=$!
    done
    wait "${pids[@]}"
    ctl 3 pull --json >"$DIR/pull.rest"
    [ "$(cat "$DIR"/pull.* | jq -r .id | wc -l)" = 60 ]
    [ "$(cat "$DIR"/pull.* | jq -r .id | sort -u | wc -l)" = 60 ]
    rm "$DIR"/pull.*
}

@test "a client killed in mid-pull loses nothing" {
    head -c 20000 /dev/zero | tr '\0' x >"$DIR/filler" # a pipe holds three of these
    for ((i = 0; i < 20; i++)); do
        cat "$DIR/filler" - <<<" $i" | ctl 2 push "$NET.3" -
    done
    wait_until waiting 3 20
    mkfifo "$DIR/fifo"
    P2PD_SOCKET=$DIR/3.sock "$P2PD_BIN/p2pctl" pull --json >"$DIR/fifo" 3>&- &
    pid=$!
    {
        read -r line
        kill -KILL $pid
        echo "$line"
        cat
    } <"$DIR/fifo" >"$DIR/got"
    wait $pid || true
    ctl 3 pull --json >"$DIR/rest"
    # The last line of the killed one may be cut short; what it could not finish comes again.
    [ "$(cat "$DIR/got" "$DIR/rest" | jq -rR 'fromjson? | .body' | awk '{print $2}' | sort -nu | wc -l)" = 20 ]
    [ "$(wc -l <"$DIR/rest")" -gt 0 ]
    waiting 3 0
}

@test "a client that dies of a closed pipe loses nothing" {
    push_numbers 3
    ctl 3 pull --peek | head -n 1
    waiting 3 3
    P2PD_SOCKET=$DIR/3.sock "$P2PD_BIN/p2pctl" pull | true
    [ "$(ctl 3 pull | wc -l)" -le 3 ]
}

@test "pull >/dev/full loses nothing" {
    push_numbers 3
    fails ctl 3 pull >/dev/full
    waiting 3 3
    [ "$(ctl 3 pull | wc -l)" = 3 ]
}

@test "the sender may go as soon as it has its id" {
    P2PD_SOCKET=$DIR/2.sock "$P2PD_BIN/p2pctl" push --wait=60s "$NET.3" 'from the dead' 3>&- >"$DIR/pushed" &
    pid=$!
    wait_until test -s "$DIR/pushed"
    kill -KILL $pid || true # it may have been faster
    wait $pid || true
    wait_until waiting 3 1
    [ "$(ctl 3 pull)" = "$(line_from 2 'from the dead')" ]
}

@test "to oneself" {
    ctl 3 push --wait=60s "$NET.3" 'note to self'
    [ "$(ctl 3 pull)" = "$(line_from 3 'note to self')" ]
}

# More than a start reads before it is ready.
@test "thousands that wait outlive a restart, and what is pushed at once after it comes behind them" {
    seq 5000 >"$DIR/lines"
    stop_node 3
    ctl 2 push -q --lines "$NET.3" <"$DIR/lines"
    stop_node 2
    start_node 2
    [ "$(field 2 .outbox.pending)" -eq 5000 ]
    id=$(ctl 2 push "$NET.3" last)
    [ "$(field 2 .outbox.pending)" -eq 5001 ]
    start_node 3 --peer "$NET.2"
    wait_until waiting 3 5001
    { cat "$DIR/lines" && echo last; } >"$DIR/expected"
    ctl 3 pull -n 5001 | cut -f 2 | cmp - "$DIR/expected"
    wait_until state_is 2 "$id" delivered
    [ "$(field 2 .outbox.pending)" -eq 0 ]
}
