#!/usr/bin/env bash
# The store alone, by messages a commit, beside bare SQLite on the same disk; and how long a daemon takes to answer and to end when
# much is in its store, beside one that has nothing.
. "$(dirname "$0")/lib.sh"
"$bench/bench_store" "$dir"

# What an operation costs the store's thread when much is there already, beside a store of two thousand messages.
present=${STORED:-100000}
"$bench/bench_stored" "$present" "$dir" | awk '/^[0-9]+ messages$/ {round++} match($0, / +[0-9]+ +[0-9.]+$/) && round {
    name = substr($0, 1, RSTART - 1); if (round == 1) few[name] = $NF; else printf "%s\t%s\t%s\n", name, $NF, few[name]}' |
    while IFS=$'\t' read -r name much few; do
        figure "with $present messages: $name" 'us CPU' "$much" "$few" lower 'among many; floor: with 2,048 messages'
    done

# Milliseconds until the first answer and until the end: STATE.
life() {
    "$bench/bench_process" daemon 5 "$dir/1.sock" "$bin/p2pd" -c /dev/null --listen "$net.1:$port" --state "$1" --socket "$dir/1.sock" --set log.level=warning
}
mkdir -m 700 "$dir/empty"
life "$dir/empty" >/dev/null # makes its identity
empty=$(life "$dir/empty")
row() { # NAME IN OUT
    local took
    mkdir -m 700 "$dir/filled"
    "$bench/bench_store" fill "$dir/filled" "$2" "$3"
    cp "$dir/empty/identity.key" "$dir/filled/"
    took=$(life "$dir/filled")
    figure "a daemon with $1: until it answers" ms "$(jq '.ready_us / 1000' <<<"$took")" "$(jq '.ready_us / 1000' <<<"$empty")" lower 'n=5; floor: with an empty store'
    figure "a daemon with $1: until it has ended" ms "$(jq '.stop_us / 1000' <<<"$took")" "$(jq '.stop_us / 1000' <<<"$empty")" lower 'n=5; floor: with an empty store'
    rm -rf "$dir/filled"
}
row "${STORED:-100000} messages in its inbox" "${STORED:-100000}" 0
row "${PENDING:-100000} messages to be sent" 0 "${PENDING:-100000}"
