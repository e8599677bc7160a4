#!/usr/bin/env bash
# `make demo`: eight nodes on this machine, a message over three different routes, a relay killed under way.
# Leaves no process and no file behind, however it ends.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=tests/e2e/helpers.bash
. ./helpers.bash

WAIT_S=30
NODES='2 3 4 5 6 7 8 9'
SOURCE=2 TARGET=9

new_folder
finish() {
    local code=$?
    trap - EXIT INT TERM HUP
    # Asked to leave while the last ones still run, the nodes need no time for it.
    stop_all || true
    ((code == 0)) || echo "The demo failed (exit $code)." >&2
    exit $code
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Two numbers are all that is read here of a status: no reason to have jq installed.
field() { # N .GROUP.NAME
    ctl "$1" --json status | tr '{,' '[\n*]' | sed -n "s/^ *\"${2##*.}\" *: *\([0-9]*\).*/\1/p" | head -n 1
}
# The relays of a push --trace, as `A > B > C`: every address in it but the two ends.
relays_in() { # FILE
    grep -oE "$NET\.[0-9]+" "$1" | grep -vxE "$NET\.($SOURCE|$TARGET)" | paste -sd' ' - || true
}
now_ms() {
    local us=${EPOCHREALTIME-$(date +%s).000000} # older shells count seconds only
    us=${us/[.,]/}
    echo $((us / 1000))
}
push() { # TEXT: fills route and took_ms
    local begin
    begin=$(now_ms)
    ctl $SOURCE push --wait=30s --trace "$NET.$TARGET" "$1" >"$DIR/trace" 2>&1 || { cat "$DIR/trace"; return 1; }
    took_ms=$(($(now_ms) - begin))
    route=$(relays_in "$DIR/trace")
    [ -n "$route" ] || { echo "push --trace named no relay:"; cat "$DIR/trace"; return 1; } >&2
}
has_three_relays() {
    [ "$(ctl $SOURCE route "$NET.$TARGET" -n 1 | grep -oE "$NET\.[0-9]+" | sort -u | wc -l)" -ge 4 ]
}

echo "Eight p2pd daemons start, $NET.2 to $NET.9; each but the first is told one address, $NET.2."
start_node $SOURCE --set pool.min=3 --set pool.max=5
for n in $NODES; do
    [ "$n" = $SOURCE ] || spawn_node "$n" --peer "$NET.$SOURCE" --set pool.min=3 --set pool.max=5
done
# shellcheck disable=SC2086 # a list of numbers
wait_network $NODES
wait_until has_three_relays
echo "All eight have found each other, and none is linked to all the others:"
for n in $NODES; do
    printf '  %s knows %s nodes and keeps links to %s of them\n' "$NET.$n" \
        "$(($(field "$n" .directory.nodes) - 1))" "$(field "$n" .pool.neighbours)"
done

echo "$NET.$SOURCE sends to $NET.$TARGET, 2.1 s apart: no route that it draws is kept for more than 2 s."
seen='' sent=0
tries=0
while ((sent < 3)); do
    if ((++tries > 15)); then
        echo "15 messages took only $sent different routes." >&2
        exit 1
    fi
    ((tries == 1)) || sleep 2.1
    push "message $((sent + 1))"
    # Chance may draw a route twice; the message arrives all the same, and another one shows another route.
    case $seen in *"|$route|"*) continue ;; esac
    seen="$seen|$route|"
    sent=$((sent + 1))
    printf '  message %d: %s, stored by %s after %d ms\n' $sent "${route// / > }" "$NET.$TARGET" "$took_ms"
done
echo "What p2pctl pull prints on $NET.$TARGET:"
ctl $TARGET pull | sort -u | sed 's/^/  /'

victim=${route##* } # a later relay: the first one, a guard, is kept
echo "Now the relay $victim, on the last route, is killed (kill -9), and $NET.$SOURCE sends at once:"
kill_node "${victim##*.}"
push 'and yet it arrives'
case " $route " in
*" $victim "*) over="first sent over ${route// / > }, then past the dead one" ;;
*) over="over ${route// / > }" ;;
esac
printf '  %s, stored after %d ms, %s\n' "$(ctl $TARGET pull | cut -f2)" "$took_ms" "$over"
echo "All stop."
