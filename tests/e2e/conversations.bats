#!/usr/bin/env bats
# What was said with whom, who may say it, how much of it, and how it is taken. Node 2 writes, node 6 reads, node 7 is choosy.
load helpers

QUICK=(--set link.heartbeat=1s --set link.timeout=3s --set pool.min=3 --set files.accept=all)

setup_file() {
    new_folder
    start_network 2 3 4 5 6 -- "${QUICK[@]}" # 6 the last: it is known to all
    wait_until has_route 2 6
    wait_until has_route 6 2
    id_of 6 >"$DIR/id6"
}
teardown_file() {
    stop_all
}
setup() {
    TO=$(<"$DIR/id6")
    ctl 6 pull >/dev/null
    ctl 2 pull >/dev/null
    if [ -f "$DIR/7.pid" ]; then # whatever a test that failed has left
        ctl 7 unblock "$NET.2"
    fi
}

# Node 7 with a configuration of its own, which reload reads again.
choose() { # LINE...
    printf '%s\n' "$@" >"$DIR/7.conf"
    if [ -f "$DIR/7.pid" ]; then
        ctl 7 reload
    else
        start_node 7 -c "$DIR/7.conf" "${QUICK[@]}" --peer "$NET.2" --peer "$NET.3"
        wait_until has_route 2 7
        wait_until has_route 3 7
        wait_until has_route 7 2
    fi
}
lines_of() { # FILE COUNT
    [ "$(wc -l <"$1")" -ge "$2" ]
}
refused() { # FROM WORDS: what FROM pushes to node 7 now
    expect_exit 1 ctl "$1" push --wait=60s "$NET.7" text
    [[ $ERR == *"refused: "*"$2"* ]]
    id=$(head -n 1 <<<"$OUT")
    [ "$(ctl "$1" status "$id" --json | jq -r .state)" = refused ]
    [[ $(ctl "$1" status "$id" --json | jq -r .reason) == *"$2"* ]]
}
taken() { # FROM
    ctl "$1" push -q --wait=60s "$NET.7" text
    ctl 7 pull >/dev/null
}

@test "history: both directions, states, from when to when" {
    ctl 2 push -q --wait=60s "$TO" 'the first'
    ctl 6 push -q --wait=60s "$NET.2" 'an answer'
    printf 'not \377 text' | ctl 2 push -q --wait=60s "$TO" -
    [ "$(ctl 2 history "$TO" | cut -f2-)" = $'>\tdelivered\tthe first\n<\twaiting\tan answer\n>\tdelivered\tnot \\xff text' ]
    # Its own clock counts, which is corrected by its neighbours'.
    between=$(ctl 2 history "$TO" | sed -n 2p | cut -f1)
    [ "$(ctl 2 history "$TO" --since "$between" | cut -f3)" = $'waiting\ndelivered' ]
    [ "$(ctl 2 history "$TO" --until "$between" | cut -f4)" = 'the first' ]
    [ "$(ctl 2 history "$TO" --since 1h --until 0s | wc -l)" = 3 ]
    [ -z "$(ctl 2 history "$TO" --since 0s)" ]
    expect_exit 2 ctl 2 history "$TO" --since yesterdayish
    ctl 2 history "$NET.6" --json >"$DIR/json"
    jq -se 'length == 3 and (.[0] | .direction == "out" and .kind == "message" and .state == "delivered" and .body == "the first" and
        .size == 9 and ([.sent, .finished] | all(test("^20..-..-..T..:..:..\\.[0-9]{3}Z$"))) and (.id | test("^[0-9a-f]{32}$"))) and
        (.[1] | .direction == "in" and .state == "waiting" and .received and .sent and .body == "an answer") and .[2].body_base64 == "bm90IP8gdGV4dA=="' "$DIR/json"
    ctl 2 pull >/dev/null
    [ "$(ctl 2 history "$TO" | sed -n 2p | cut -f3)" = taken ]
    [ "$(ctl 6 history "$NET.2" | cut -f2)" = $'<\n>\n<' ]
    expect_exit 4 ctl 2 history no-such-node
}

@test "conversations: the last word of each, what waits and what is pending" {
    ctl 3 push -q --wait=60s "$TO" $'three\e[31m'
    ctl 2 push -q --wait=60s "$TO" 'for six'
    ctl 6 conversations --json | jq -e --arg two "$(id_of 2)" --arg three "$(id_of 3)" \
        '(.[] | select(.id == $two) | .waiting >= 1 and .pending == 0 and .last_text == "for six" and .last_direction == "in") and
         (.[] | select(.id == $three) | .waiting == 1 and .messages == 1 and .last_text == "three\u001b[31m")'
    ctl 6 conversations >"$DIR/list"
    [ "$(wc -l <"$DIR/list")" = 3 ]
    [ "$(ctl 6 conversations -q | wc -l)" = 2 ] # no headings
    fails grep -q $'\e' "$DIR/list"
    away=$(id_of 5) # an address that was never written to is asked first, and cannot answer
    kill_node 5
    ctl 6 push "$away" 'he is away' >/dev/null
    ctl 6 conversations --json | jq -e '.[] | select(.last_text == "he is away") | .pending == 1 and .last_direction == "out"'
    start_node 5 "${QUICK[@]}" --peer "$NET.2" --peer "$NET.3"
    ctl 6 history "$NET.5" | grep -qE $'>\t(queued|sent|delivered)\the is away'
    [ "$(ctl 6 pull | wc -l)" = 2 ]
}

@test "lists go on to their end, however long they are" {
    wait_until has_route 3 4
    total=0
    for more in 127 1 1 126 1 1 300; do # to the borders of the pages, and one past each
        seq "$more" | ctl 3 push --lines -q --wait=60s "$NET.4"
        total=$((total + more))
        [ "$(ctl 3 history "$NET.4" | wc -l)" = "$total" ]
        [ "$(ctl 4 history "$NET.3" --json | jq -s '[.[].id] | unique | length')" = "$total" ]
    done
    [ "$(ctl 4 pull | wc -l)" = "$total" ]
    mkdir "$DIR/many" "$DIR/many.in"
    for i in $(seq 257); do
        printf %s "$i" >"$DIR/many/$i"
    done
    ctl 4 allow "$NET.3" # a stranger's files are refused
    ctl 3 send -q --wait=60s "$NET.4" "$DIR"/many/*
    [ "$(ctl 4 files -q | wc -l)" = 257 ]
    [ "$(ctl 4 files | wc -l)" = 258 ] # and the headings
    [ "$(ctl 4 files --json | jq '[.[].id] | unique | length')" = 257 ]
    [ "$(ctl 4 receive "$DIR/many.in" | wc -l)" = 257 ]
    diff -r "$DIR/many" "$DIR/many.in"
    for i in $(seq 129); do
        ctl 3 block "$(printf %064x "$i")" >/dev/null
    done
    [ "$(ctl 3 rules | wc -l)" = 129 ]
    [ "$(ctl 3 rules --json | jq -s 'length == 1 and (.[0] | length == 129)')" = true ]
}

@test "forget takes what was read and said, not what is under way or unread" {
    ctl 2 push -q --wait=60s "$TO" unread
    ctl 2 forget "$TO"
    [ -z "$(ctl 2 history "$TO")" ]
    ctl 6 forget "$NET.2"
    [ "$(ctl 6 history "$NET.2" | cut -f2-)" = $'<\twaiting\tunread' ]
    [ "$(ctl 6 pull)" = "$(line_from 2 unread)" ]
    ctl 6 forget "$NET.2"
    [ -z "$(ctl 6 history "$NET.2")" ]
    expect_exit 4 ctl 6 forget no-such-node
}

@test "pull: since a time, since an id; one sender's words in his order, though short ones overtake" {
    head -c 3000000 /dev/zero | tr '\0' L >"$DIR/long"
    ctl 2 push "$TO" - <"$DIR/long" >/dev/null
    for i in 1 2 3; do
        ctl 2 push "$TO" "short $i" >/dev/null
    done
    wait_until waiting 6 4
    [ "$(ctl 6 pull --peek | cut -f2 | cut -c1-7)" = $'LLLLLLL\nshort 1\nshort 2\nshort 3' ]
    id=$(ctl 2 push --wait=60s "$TO" 'after that')
    between=$(ctl 6 pull --peek --json | jq -r 'select(.body == "after that") | .received')
    ctl 2 push -q --wait=60s "$TO" 'the last'
    [ "$(ctl 6 pull --peek --since "$between" | cut -f2)" = $'after that\nthe last' ]
    [ "$(ctl 6 pull --peek --since "$id" | cut -f2)" = 'the last' ]
    [ "$(ctl 6 pull --since 1h | wc -l)" = 6 ]
    expect_exit 2 ctl 6 pull --since never
}

@test "push --lines: ten thousand, each with its id, in order; slow ones at once" {
    seq 10000 >"$DIR/lines"
    ctl 2 push --lines --wait=60s "$TO" <"$DIR/lines" >"$DIR/ids"
    [ "$(sort -u "$DIR/ids" | grep -cE '^[0-9a-f]{32}$')" = 10000 ]
    ctl 6 --json pull >"$DIR/got"
    cmp <(jq -r .body "$DIR/got") "$DIR/lines"
    cmp <(jq -r .id "$DIR/got") "$DIR/ids"
    mkfifo "$DIR/slow"
    ctl 2 push --lines "$TO" <"$DIR/slow" >"$DIR/slow.ids" 3>&- &
    local client=$!
    exec 9>"$DIR/slow"
    printf 'one\n' >&9
    wait_until lines_of "$DIR/slow.ids" 1
    wait_until waiting 6 1
    printf 'two\nwithout its newline' >&9
    wait_until lines_of "$DIR/slow.ids" 2
    exec 9>&-
    wait $client
    wait_until waiting 6 3
    [ "$(ctl 6 pull | cut -f2)" = $'one\ntwo\nwithout its newline' ]
    expect_exit 0 ctl 2 push --lines "$TO" # none
    [ -z "$OUT" ]
    expect_exit 2 ctl 2 push --lines "$TO" text
    code=0
    echo text | ctl 2 push --lines no-such-node || code=$?
    [ $code = 4 ]
}

@test "push --lines: lines end with LF or CR LF, the last one with nothing" {
    printf 'one\r\n\r\ntwo\nt\rhree\r\r\nfour\r' | ctl 2 push --lines -q --wait=60s "$TO"
    [ "$(ctl 6 pull --json | jq -c .body)" = $'"one"\n""\n"two"\n"t\\rhree\\r"\n"four\\r"' ]
    printf 'a\nb\n' | ctl 2 push --lines -q --json "$TO" >"$DIR/ids"
    [ "$(jq -r .state "$DIR/ids")" = $'queued\nqueued' ]
}

@test "push --lines: a line too long is named, what is before it is accepted, nothing behind" {
    { seq 100; head -c 16777217 /dev/zero | tr '\0' x; printf '\nbehind\n'; } >"$DIR/lines"
    code=0
    ctl 2 push --lines "$TO" <"$DIR/lines" >"$DIR/ids" 2>"$DIR/err" || code=$?
    [ $code = 6 ]
    cat "$DIR/err"
    grep -q 'line 101 was not accepted' "$DIR/err"
    [ "$(wc -l <"$DIR/ids")" = 100 ]
    wait_until waiting 6 100
    [ "$(ctl 6 pull | cut -f2)" = "$(seq 100)" ]
    # In the middle of a request, too.
    choose '[delivery]' 'max_message = 100'
    { seq 10; head -c 101 /dev/zero | tr '\0' x; printf '\nbehind\n'; } >"$DIR/lines"
    code=0
    ctl 7 push --lines "$TO" <"$DIR/lines" >"$DIR/ids" 2>"$DIR/err" || code=$?
    [ $code = 6 ]
    grep -q 'line 11 was not accepted' "$DIR/err"
    [ "$(wc -l <"$DIR/ids")" = 10 ]
    wait_until waiting 6 10
    [ "$(ctl 6 pull | cut -f2)" = "$(seq 10)" ]
}

@test "push --shards" {
    head -c 20000 /dev/urandom | base64 -w0 >"$DIR/text"
    for shards in 4+2 1 2+0 1+1; do
        ctl 2 push -q --wait=60s --shards $shards "$TO" - <"$DIR/text"
        [ "$(ctl 6 pull | cut -f2)" = "$(<"$DIR/text")" ]
    done
    for shards in 0 +2 4+ x 129 4+128 -1 '4 + 2'; do
        expect_exit 2 ctl 2 push --shards "$shards" "$TO" text
    done
    expect_exit 2 ctl 2 push --shards 100+100 "$TO" text
    [ "$(field 6 .inbox.waiting)" = 0 ]
}

@test "block, allow, unblock, rules: the refusal reaches who wrote" {
    choose ''
    taken 2
    ctl 7 block "$NET.2"
    refused 2 block
    taken 3
    ctl 7 rules | grep -q "^blocked .*$NET\.2"
    ctl 7 rules --json | jq -e --arg id "$(id_of 2)" 'length == 1 and .[0].id == $id and .[0].rule == "blocked"'
    # A rule is kept.
    stop_node 7
    choose ''
    refused 2 block
    code=0
    printf '1\n2\n' | ctl 2 push --lines --wait=60s "$NET.7" 2>"$DIR/err" || code=$?
    [ $code = 1 ]
    grep -q '2 of 2 messages were not delivered: blocked' "$DIR/err"
    ctl 7 allow "$NET.2"
    [ "$(ctl 7 rules --json | jq -r '.[].rule')" = allowed ]
    taken 2
    ctl 7 unblock "$NET.2"
    [ "$(ctl 7 rules --json)" = '[]' ]
    taken 2
    expect_exit 4 ctl 7 block no-such-node
    [ "$(field 7 .inbox.waiting)" = 0 ]
}

@test "inbox.accept: known, allowed" {
    choose '[inbox]' 'accept = known'
    ctl 7 forget "$NET.4"
    refused 4 ''
    wait_until has_route 7 4
    ctl 7 push -q --wait=60s "$NET.4" 'I know you'
    taken 4
    choose '[inbox]' 'accept = allowed'
    refused 4 ''
    ctl 7 allow "$NET.4"
    taken 4
    ctl 7 block "$NET.4"
    choose '[inbox]' 'accept = all'
    refused 4 ''
    ctl 7 unblock "$NET.4"
    taken 4
}

@test "inbox.quota: what finds no room waits with its sender, and comes once there is" {
    choose '[inbox]' 'quota = 10k'
    head -c 8000 /dev/zero | tr '\0' q >"$DIR/text"
    ctl 2 push -q --wait=60s "$NET.7" - <"$DIR/text"
    id=$(ctl 2 push "$NET.7" - <"$DIR/text")
    waits_for_room() { ctl 2 status "$id" | grep -q 'sent.*quota'; }
    wait_until waits_for_room
    expect_exit 5 ctl 2 status --wait=100ms "$id" # why it is not there yet, however it is asked for
    [[ $OUT == 'sent: '*quota* && $ERR == 'p2pctl: status: not over within 0.1 s' ]]
    expect_exit 5 ctl 2 push --id "$id" --wait=100ms "$NET.7" "$(<"$DIR/text")"
    [[ $ERR == *"message $id stays queued: "*quota* ]]
    ctl 3 push -q --wait=60s "$NET.7" - <"$DIR/text" # each sender's own
    [ "$(ctl 7 pull | wc -l)" = 2 ]
    wait_until state_is 2 "$id" delivered
    [ "$(ctl 7 pull | cut -f2)" = "$(<"$DIR/text")" ]
}

@test "retention 0: what is done leaves no trace" {
    choose '[store]' 'retention = 0s'
    ctl 2 push -q --wait=60s "$NET.7" 'in, and gone'
    id=$(ctl 7 push --wait=60s "$TO" 'out, and gone')
    [ "$(ctl 7 pull | cut -f2)" = 'in, and gone' ]
    gone_from_7() { [ -z "$(ctl 7 history "$1" | grep 'and gone')" ]; }
    wait_until gone_from_7 "$NET.2"
    wait_until gone_from_7 "$TO"
    [ "$(ctl 6 pull | cut -f2)" = 'out, and gone' ]
}

@test "doctor: all is well in a network, trouble alone" {
    expect_exit 0 ctl 2 doctor
    expect_exit 0 ctl 2 doctor --json
    jq -e 'length >= 1 and all(.level | . == "ok" or . == "note") and all(.text | length > 0)' <<<"$OUT"
    start_node 9
    expect_exit 1 ctl 9 doctor
    [[ $OUT == *'trouble '*'no neighbour, and no peer is configured'* ]]
    expect_exit 1 ctl 9 doctor --json
    jq -e 'any(.level == "trouble")' <<<"$OUT"
}

@test "the commands that remain: peers, nodes, route, ping, connect, disconnect, trust, help" {
    ctl 2 peers --json | jq -e 'length >= 2'
    ctl 2 nodes --json | jq -e 'length >= 5'
    ctl 2 route "$TO" -n 2 --json >/dev/null
    ctl 2 ping "$TO" >/dev/null
    start_node 10 "${QUICK[@]}"
    ctl 10 connect "$NET.2:$PORT"
    wait_until has_neighbours 10 1
    ctl 10 disconnect "$NET.2"
    expect_exit 2 ctl 2 trust "$TO"
    [[ $ERR == *'takes the address'* ]]
    ctl 2 trust "$NET.6"
    for command in $("$P2PD_BIN/p2pctl" help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
        "$P2PD_BIN/p2pctl" help "$command" | grep -q "^usage: p2pctl $command"
    done
}
