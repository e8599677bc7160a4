#!/usr/bin/env bats
# Forty daemons on one machine, six links each at most, one bootstrap address; every ordered pair talks.
load helpers

FORTY=$(seq 2 41)

setup_file() {
    new_folder
    export BEGIN=$SECONDS
    start_node 2 --set pool.max=6
    for n in $(seq 3 41); do
        spawn_node "$n" --peer "$NET.2" --set pool.max=6
    done
}
teardown_file() {
    stop_all
}

@test "they form one network within 20 s" {
    WAIT_S=20
    for n in $FORTY; do
        wait_until knows "$n" 40
        [ "$(field "$n" .pool.neighbours)" -le 6 ]
    done
}

@test "1560 messages, one for every ordered pair, all arrive, once" {
    for n in $FORTY; do
        for to in $FORTY; do
            [ "$to" != "$n" ] || continue
            wait_until has_route "$n" "$to"
            ctl "$n" push "$NET.$to" "from $n" >/dev/null
        done
    done
    for n in $FORTY; do
        wait_until waiting "$n" 39
        [ "$(ctl "$n" pull | cut -f2 | sort -u | wc -l)" = 39 ]
    done
}

# Those who confirmed addresses are among the dead: nobody waits for that to be put right.
@test "ten are killed, and at once the rest write to each other by address" {
    for n in $(seq 4 3 31); do
        kill_node "$n"
    done
    rest=$(for n in $FORTY; do [ ! -f "$DIR/$n.pid" ] || echo "$n"; done)
    [ "$(wc -w <<<"$rest")" = 30 ]
    previous=41
    for n in $rest; do
        ctl "$n" push --expire 10m "$NET.$previous" "after the loss" >/dev/null
        previous=$n
    done
    for n in $rest; do
        wait_until waiting "$n" 1
    done
}
