#!/usr/bin/env bats
# Every exit code of p2pctl, in both directions: what must give it, and what must not.
load helpers

setup_file() {
    new_folder
    start_network 2 3
    wait_until has_route 2 3
}
teardown_file() {
    stop_all
}

# Lines of `CODE p2pctl-arguments`, all run against node 2.
run_table() {
    local code arguments bad=0
    while read -r code arguments; do
        [ -n "$code" ] || continue
        # shellcheck disable=SC2086 # words of the table
        eval "expect_exit $code ctl 2 $arguments" || bad=$((bad + 1))
        # What failed says why on stderr, in the form of every error; what succeeded says nothing there.
        if [ "$code" != 0 ]; then
            [[ $ERR == 'p2pctl: '* ]] || { echo "no reason given: $arguments: $ERR"; bad=$((bad + 1)); }
        fi
    done
    [ $bad = 0 ]
}

@test "0: what works" {
    run_table <<END
0 status
0 --json status
0 status --json
0 -q status
0 peers
0 peers --json
0 nodes
0 nodes --json
0 route $NET.3
0 route $NET.3 -n 3
0 ping $NET.3
0 pull
0 pull -n 5
0 pull --peek
0 pull --json
0 help
0 help push
0 --help
0 --version
0 push $NET.3 a few words
0 push $NET.3:$PORT text
0 push $(id_of 3) text
0 push $(id_of 3 | cut -c1-8) text
0 push --wait=60s $NET.3 text
0 --json push $NET.3 text
0 push $NET.3 -- --wait
0 push --expire 90m $NET.3 text
0 history $NET.3 --since 2024-02-29
0 history $NET.3 --since 2026-02-28T23:59:59.999Z --until 9999-12-31
0 history $NET.3 --since '2026-02-28 23:59:59+05:30'
0 history $NET.3 --since @1795230000.5
0 pull --since 2h --peek
0 connect $NET.3:$PORT
0 trust $NET.3
0 reload
END
}

@test "0: pull, with and without messages" {
    push_wait 2 3 something
    ctl 3 pull >/dev/null
    expect_exit 0 ctl 3 pull
    [ -z "$OUT" ]
}

@test "2: usage" {
    run_table <<END
2
2 frobnicate
2 --frobnicate status
2 status --frobnicate
2 push
2 push --relays
2 push --json=yes $NET.3 text
2 --timeout never status
2 push --relays many $NET.3 text
2 push --relays 99 $NET.3 text
2 push --wait=soon $NET.3 text
2 push --expire never $NET.3 text
2 push --id xyz $NET.3 text
2 pull -n none
2 pull surplus
2 peers surplus
2 route
2 route $NET.3 -n many
2 ping
2 connect
2 connect not/an/address
2 disconnect
2 cancel
2 trust
2 help frobnicate
2 push --wait= $NET.3 text
2 push --wait=1.5h $NET.3 text
2 push --wait='5 m' $NET.3 text
2 push --expire -1s $NET.3 text
2 push --expire '' $NET.3 text
2 push --expire 99999999999999999999d $NET.3 text
2 history $NET.3 --since 2026-02-29
2 history $NET.3 --since 2026-02-30
2 history $NET.3 --since 2026-04-31
2 history $NET.3 --until 2100-02-29T12:00
2 history $NET.3 --since 2026-11-21T24:00
2 history $NET.3 --since 2026-11-21T25:00
2 history $NET.3 --since 2026-11-21T23:59:60
2 history $NET.3 --since 2026-11-21T12:60
2 history $NET.3 --since 2026-11-21T12:00+25:00
2 history $NET.3 --since ''
2 pull --since 2026-02-29
2 pull --since 2026-13-01
END
    # What would have been right is said.
    expect_exit 2 ctl 2 push --wait=1.5h "$NET.3" text
    [[ $ERR == *"'1.5h' is not valid: want a number and ms, s, m, h or d"* ]]
    expect_exit 2 ctl 2 history "$NET.3" --since 2026-02-29
    [[ $ERR == *"'2026-02-29' is not valid: want a day as 2026-11-21"* ]]
}

@test "3: no daemon at the socket" {
    expect_exit 3 "$P2PD_BIN/p2pctl" -s "$DIR/none.sock" status
    expect_exit 3 "$P2PD_BIN/p2pctl" status -s "$DIR/none.sock"
    expect_exit 3 env P2PD_SOCKET="$DIR/none.sock" "$P2PD_BIN/p2pctl" push "$NET.3" text
    [[ $ERR == *"$DIR/none.sock"* ]]
    expect_exit 3 "$P2PD_BIN/p2pctl" -s "$DIR/none.sock" pull --wait=1s
}

@test "3: a socket file whose daemon is dead" {
    start_node 9
    kill_node 9
    [ -S "$DIR/9.sock" ]
    expect_exit 3 ctl 9 status
    start_node 9
    stop_node 9
}

@test "4: unknown destinations and ids" {
    run_table <<END
4 push $NET.77 text
4 push nobody text
4 push 0123456789abcdef text
4 route $NET.77
4 ping $NET.77
4 trust $NET.77
4 disconnect nobody
4 pull --from nobody
4 status 00112233445566778899aabbccddeeff
4 cancel 00112233445566778899aabbccddeeff
END
    # Nothing was queued for them either.
    expect_exit 0 ctl 2 --json status
}

@test "4: what could be two nodes is nobody, and both are listed" {
    start_node 10 --peer "$NET.2" --name twin
    start_node 11 --peer "$NET.2" --name twin
    wait_until knows 2 4
    expect_exit 4 ctl 2 push twin text
    [[ $OUT$ERR == *"$NET.10"* && $OUT$ERR == *"$NET.11"* ]]
    stop_node 10
    stop_node 11
}

@test "5: timed out waiting" {
    expect_exit 5 ctl 2 pull --wait=1s # nobody writes to it
    start_node 12 --peer "$NET.2"
    wait_until knows 2 3
    wait_until has_route 2 12
    kill_node 12
    expect_exit 5 ctl 2 push --wait=1s "$NET.12" text
    [[ $ERR == *queued* ]] # it stays, and the text says so
    [[ $OUT =~ ^[0-9a-f]{32} ]]
    id=${OUT:0:32}
    expect_exit 0 ctl 2 status "$id"
    expect_exit 0 ctl 2 cancel "$id"
    state_is 2 "$id" failed
}

@test "5: a daemon that does not answer, with the id to repeat" {
    start_node 13
    kill -STOP "$(pid_of 13)"
    expect_exit 5 ctl 13 push --timeout 1s "$NET.13" text
    kill -CONT "$(pid_of 13)"
    [[ $ERR == *'outcome unknown'* ]]
    [[ $OUT$ERR =~ [0-9a-f]{32} ]]
    stop_node 13
}

@test "6: too large" {
    start_node 14 --peer "$NET.2" --set delivery.max_message=1K
    wait_until has_route 14 3
    head -c 1024 /dev/zero >"$DIR/limit"
    head -c 1025 /dev/zero >"$DIR/beyond"
    ctl 14 push "$NET.3" - <"$DIR/limit"
    code=0
    ctl 14 push "$NET.3" - <"$DIR/beyond" || code=$?
    [ "$code" = 6 ]
    stop_node 14
}

@test "6: not permitted" {
    # Root of a user namespace that holds one user alone cannot.
    somebody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    "${somebody[@]}" true 2>/dev/null || skip 'no right to become somebody else'
    cp "$P2PD_BIN/p2pctl" "$DIR/p2pctl"
    chmod 755 "$DIR" "$DIR/p2pctl"
    expect_exit 6 "${somebody[@]}" "$DIR/p2pctl" -s "$DIR/2.sock" status
    [[ $ERR == *"$DIR/2.sock"* ]]
}

@test "1: expired, strict without a route, cancelling what has arrived" {
    start_node 15 --peer "$NET.2"
    wait_until has_route 2 15
    kill_node 15
    expect_exit 1 ctl 2 push --expire 1s --wait=30s "$NET.15" text
    id=${OUT:0:32}
    [[ $ERR == *'p2pctl: push: expired: not confirmed, it may have arrived all the same' ]]
    # Repeating it tells the same, and status says the word once.
    expect_exit 1 ctl 2 push --id "$id" "$NET.15" text
    [[ $ERR == *'p2pctl: push: expired: not confirmed, it may have arrived all the same' ]]
    expect_exit 0 ctl 2 status "$id"
    [ "${OUT%%$'\n'*}" = expired ]
    # Two nodes and no third: there is no route over three relays.
    expect_exit 1 ctl 2 push --strict --relays 3 --wait=5s "$NET.3" text
    id=$(push_wait 2 3 text | grep -oE '[0-9a-f]{32}' | head -n 1)
    expect_exit 1 ctl 2 cancel "$id"
    state_is 2 "$id" delivered
}

@test "1: standard output that cannot be written" {
    push_wait 2 3 text
    code=0
    ctl 3 pull >/dev/full || code=$?
    [ "$code" = 1 ]
    code=0
    ctl 3 --json status >/dev/full || code=$?
    [ "$code" = 1 ]
    [ "$(ctl 3 pull --json | jq -r .body | tail -n 1)" = text ]
}

@test "7: the key at an address has changed, and trust mends it" {
    start_node 16 --peer "$NET.2"
    wait_until has_route 2 16
    push_wait 2 16 first
    stop_node 16
    rm -r "$DIR/16"
    start_node 16 --peer "$NET.2"
    wait_until knows 16 2
    wait_until key_has_changed
    expect_exit 0 ctl 2 trust "$NET.16"
    expect_exit 0 ctl 2 push --wait=60s "$NET.16" second
    [ "$(ctl 16 pull)" = "$(line_from 2 second)" ]
    stop_node 16
}
key_has_changed() {
    expect_exit 7 ctl 2 push "$NET.16" text
}
