#!/usr/bin/env bash
# From push to delivered acknowledgement, both disks synced, over 0, 1, 3 and 5 relays in a network of 12 daemons; measured in a client
# that runs (bench_client), a connection a message. With fresh keys: the pairs of daemons take turns, so that none pushes twice within the
# 2 s that a path lives. On a kept path: one client, one pair, one message after the other.
. "$(dirname "$0")/lib.sh"
last=13 seconds=${LATENCY_S:-5}
pairs=()
sockets=()
for ((a = 2; a <= last; a++)); do
    sockets+=("$dir/$a.sock")
    for ((b = a + 1; b <= last; b++)); do
        pairs+=("$dir/$a.sock" "$net.$b")
    done
done
rate=$(calc "${#pairs[@]} / 2 / 2.2")

# route.relays is that of the way back; it follows the way out.
set_relays() { # RELAYS [LINE of the configuration, in its section route]
    local n
    printf '[route]\nrelays = %s\n%s\n' "$1" "${2:-}" >"$dir/p2pd.conf"
    for ((n = 2; n <= last && ${#pids[@]} > 0; n++)); do
        ctl "$n" reload >/dev/null
    done
}
set_relays 3
start_network $last 5 -c "$dir/p2pd.conf" --set pool.min=$((last - 2)) # each a neighbour of all: 0 relays have to do
# The least that it takes: a commit at either end, each hop's share of a chain of bare processes there and back; with fresh keys each
# hop's exchange too, which nobody can do ahead.
floor() { # RELAYS fresh|kept
    jq --argjson hops $((2 * ($1 + 1))) --arg kind "$2" '2 * .commit_us + $hops * .hop_us + (if $kind == "fresh" then $hops * .x25519_us else 0 end)' <<<"$least"
}
ms() { # JSON KEY
    jq "$2 / 1000" <<<"$1"
}
# Three rows of a run: p99.9 only where there are a thousand of which one in a thousand can be told.
report() { # NAME FLOOR-US NOTE JSON
    local n
    n=$(jq .n <<<"$4")
    figure "$1: median" ms "$(ms "$4" .median)" "$(calc "$2 / 1000")" lower "n=$n$3"
    figure "$1: p99" ms "$(ms "$4" .p99)" - lower "$(jq -r '"\(.p99 / .median * 10 | round / 10) times the median"' <<<"$4")$( ((n >= 1000)) || echo '; too few for p99.9')"
    ((n < 1000)) || figure "$1: p99.9" ms "$(ms "$4" .p999)" - lower "n=$n"
    (($(jq .failed <<<"$4") == 0)) || say "$1: $(jq .failed <<<"$4") failed"
}
# Every pair has had a message: links are there, keys known.
meet() { # RELAYS
    local until=$((SECONDS + 30))
    until [ "$(client push -c 4 -n $((${#pairs[@]} / 2)) -R "$1" "${pairs[@]}" 2>/dev/null | jq .failed)" = 0 ]; do
        ((SECONDS < until)) || { say "not every pair has a path of $1 relays"; return 1; }
        sleep 0.2
    done
}
for relays in 0 1 3 5; do
    set_relays $relays
    look_for_floors hop commit calls
    meet $relays
    sleep 2.1 # no path of those lives longer
    fresh=$(client push -c 8 -r "$rate" -n 1000000 -t "$seconds" -R $relays "${pairs[@]}")
    report "$relays relays, fresh keys at every hop, under 1/s a pair" "$(floor $relays fresh)" "; $(calc "int($rate + .5)") messages/s in all, no pair twice in 2 s" "$fresh"
    kept=$(client push -n 2000 -t 2 -R $relays "$dir/2.sock" "$net.$last")
    report "$relays relays, kept path, one by one" "$(floor $relays kept)" '' "$kept"
    if ((relays == 3)); then
        figure 'accepted: on our disk, and the client told' ms "$(ms "$kept" .accepted)" "$(jq .commit_us/1000 <<<"$least")" lower 'floor: a commit'
        most=$(client push -c 50 -n 1000000 -t 3 -R 3 "$dir/2.sock" "$net.$last")
        look_for_floors hop commit calls
        half=$(client push -c 60 -r "$(jq .rate/2 <<<"$most")" -n 1000000 -t 4 -R 3 "$dir/2.sock" "$net.$last")
        report "3 relays, at half of the maximal rate" "$(floor 3 kept)" "; $(jq '.rate | round' <<<"$half") messages/s, 50 clients make $(jq '.rate | round' <<<"$most")" "$half"
        if has_key route.reuse=no; then
            set_relays 3 'reuse = no'
            fresh=$(client push -c 8 -r 20 -n 1000000 -t "$seconds" -R 3 "$dir/2.sock" "$net.$last")
            report '3 relays, route.reuse=no, one pair' "$(floor 3 fresh)" '; 20 messages/s' "$fresh"
        fi
    fi
done
