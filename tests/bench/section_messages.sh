#!/usr/bin/env bash
# Messages from one sender to one recipient over 3 relays, durable at both ends: five daemons. What counts is when the last one waits in
# the recipient's inbox.
. "$(dirname "$0")/lib.sh"
from=2 to=6 to_address=$net.6
start_network $to 3
look_for_floors rows
waiting=0 # in the inbox

# How many a second the machine can make durable twice, once at either end, both on one disk, at 1,024 rows a commit.
twice=$(jq '.rows_1024 / 2' <<<"$least")
# Run a command that pushes COUNT messages; messages a second until all are there, and until the command was done, as "DELIVERED ACCEPTED".
rates() { # COUNT COMMAND...
    local count=$1 began=$EPOCHREALTIME pushed all
    shift
    "$@"
    pushed=$EPOCHREALTIME
    waiting=$((waiting + count))
    all=$(client waiting $waiting 60 "$dir/$to.sock" | jq .all)
    echo "$(calc "$count / ($all - $began)") $(calc "$count / ($pushed - $began)")"
}
stream() { # FILE
    ctl $from push -q --lines "$to_address" --relays 3 <"$1"
}
median3() { # COUNT COMMAND...: of three rounds, by what was delivered
    for _ in 1 2 3; do
        rates "$@" >>"$dir/rounds"
    done
    sort -n "$dir/rounds" | sed -n 2p
    rm "$dir/rounds"
}
for body in 100 700; do
    count=$((body == 100 ? 20000 : 8000))
    awk -v n=$count -v b=$body 'BEGIN {for (i = 1; i <= n; i++) printf "%0*d\n", b, i}' >"$dir/lines"
    before=$(cpu_us "${pids[@]}")
    read -r delivered accepted <<<"$(median3 $count stream "$dir/lines")"
    spent=$(calc "($(cpu_us "${pids[@]}") - $before) / $count / 3")
    waiting=$((3 * count))
    figure "$body B, one client streaming, delivered" messages/s "$delivered" "$twice" higher "$count of them, three rounds; accepted at $(calc "int($accepted)")/s; floor: rows on one disk, twice"
    figure "$body B, one client streaming: CPU of all five daemons" us/message "$spent" - lower ''
    many=$(client push -c 50 -n 1000000 -t 3 -b $body -R 3 "$dir/$from.sock" "$to_address")
    ctl $to pull >/dev/null
    waiting=0
    figure "$body B, 50 clients, each waits for its delivery" messages/s "$(jq .rate <<<"$many")" "$twice" higher "n=$(jq .n <<<"$many"), $(jq .failed <<<"$many") failed; median $(jq '.median / 1000 * 100 | round / 100' <<<"$many") ms"
done

# ---- 50 shells ----
processes() { # COUNT
    seq "$1" | P2PD_SOCKET=$dir/$from.sock xargs -P 50 -I% "$bin/p2pctl" push -q --relays 3 "$to_address" %
}
nothing() { # COUNT
    seq "$1" | xargs -P 50 -I% /bin/true %
}
began=$EPOCHREALTIME
nothing 600
idle=$(calc "600 / ($EPOCHREALTIME - $began)")
read -r delivered _ <<<"$(rates 600 processes 600)"
figure 'a process each, 50 at once' messages/s "$delivered" "$idle" higher 'floor: as many of /bin/true'
