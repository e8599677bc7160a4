#!/usr/bin/env bash
# For each N of SCALE: N daemons at addresses of their own on loopback, started at once, all but the first with it for a bootstrap. How long
# until all know all, what an idle one sends, uses and holds, and how long a message takes between two of them drawn at random.
. "$(dirname "$0")/lib.sh"
# shellcheck disable=SC2034 # lib.sh ends them by it: a thousand that took their leave of each other would take their time
farewell=KILL
idle_s=${IDLE_S:-10} # link.heartbeat: all started at once, and their PINGs come together

address() { # INDEX from 0
    echo "127.$(($1 / 62500)).$(($1 / 250 % 250 + 1)).$(($1 % 250 + 1)):$port"
}
# Datagrams received and bytes on the wire so far, of this network; its loopback carries nothing else.
traffic() {
    awk '/^Udp:/ && $2 ~ /^[0-9]/ {n = $2} END {printf "%s ", n}' /proc/net/snmp
    awk '$1 == "lo:" {print $2}' /proc/net/dev
}
# Pairs of distinct daemons.
draw_pairs() { # N COUNT
    awk -v n="$1" -v count="$2" -v seed="$1" 'BEGIN {srand(seed); while (count-- > 0) {a = int(rand() * n); do b = int(rand() * n); while (b == a); print a, b}}'
}
scale() { # N
    local n=$1 i began first=() known took spent pss pushed a b before=() after=() sockets=() pairs=()
    # A secret needs no Argon2id where there is none; nothing else is set: what is measured is the default.
    read -r -a before <<<"$(traffic)"
    began=$EPOCHREALTIME
    for ((i = 0; i < n; i++)); do
        "$bin/p2pd" -c /dev/null --listen "$(address "$i")" --state "$dir/$i" --socket "$dir/$i.sock" --set log.level=warning \
            "${first[@]}" </dev/null >/dev/null 2>>"$dir/log" &
        pids[$i]=$!
        first=(--peer "$(address 0)")
        sockets+=("$dir/$i.sock")
    done
    known=$(client nodes "$n" 300 "${sockets[@]}")
    spent=$(cpu_us "${pids[@]}")
    took=$(jq ".all - $began" <<<"$known")
    figure "$n daemons: until all know all" s "$took" "$(calc "$n * $n * $verify_us / 1e6 / $(nproc)")" lower \
        "half of them after $(jq "(.half - $began) * 10 | round / 10" <<<"$known") s; floor: $((n * n)) signatures checked on $(nproc) cores"
    figure "$n daemons: CPU of joining, each" ms "$(calc "$spent / 1000 / $n")" "$(calc "$n * $verify_us / 1000")" lower "floor: $n signatures checked"
    read -r -a after <<<"$(traffic)"
    figure "$n daemons: bytes of joining, each" kB "$(calc "(${after[1]} - ${before[1]}) / 1000 / $n")" - lower 'UDP and its headers'

    pss=$(for i in $(seq 0 $((n > 40 ? n / 40 : 1)) $((n - 1))); do pss_kb "${pids[$i]}"; done | sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)] / 1024, v[NR] / 1024, NR}')
    figure "$n daemons: memory, each" 'MB PSS' "${pss%% *}" - lower "$(awk '{print "of " $3 " looked at; most " $2}' <<<"$pss")"

    # Descriptors change for a while, each at most every 40 ms a known node: idle is what comes after. The sleeps are spans of time.
    sleep "$(calc "$n * 0.08 > 5 ? $n * 0.08 : 5")"
    read -r -a before <<<"$(traffic)"
    spent=$(cpu_us "${pids[@]}")
    began=$EPOCHREALTIME
    sleep "$idle_s"
    spent=$(($(cpu_us "${pids[@]}") - spent))
    took=$(calc "$EPOCHREALTIME - $began")
    read -r -a after <<<"$(traffic)"
    figure "$n daemons, idle: datagrams, each" /s "$(calc "(${after[0]} - ${before[0]}) / $took / $n")" - lower "over $idle_s s"
    figure "$n daemons, idle: bytes, each" /s "$(calc "(${after[1]} - ${before[1]}) / $took / $n")" - lower 'UDP and its headers'
    figure "$n daemons, idle: CPU, each" '% of core' "$(calc "$spent / 1e4 / $took / $n")" - lower ''

    while read -r a b; do
        pairs+=("$dir/$a.sock" "$(address "$b")")
    done < <(draw_pairs "$n" 100)
    # One by one, each pair for the first time: nothing is known of the other but its descriptor.
    pushed=$(client push -n 100 -t 60 "${pairs[@]}")
    figure "$n daemons: push to delivery, pairs at random" ms "$(jq '.median / 1000' <<<"$pushed")" - lower \
        "n=$(jq .n <<<"$pushed"), $(jq .failed <<<"$pushed") failed; most $(jq '.most / 1000 | round' <<<"$pushed") ms"
    stop_all
    rm -rf "${dir:?}"/[0-9]*
}
look_for_floors calls
verify_us=$(jq .verify_us <<<"$least")
limit=$(ulimit -u)
for n in ${SCALE:-8 64}; do
    if [ "$limit" != unlimited ] && ((limit < 6 * n)); then # threads count
        say "$n daemons need some $((6 * n)) processes and threads; the limit is $limit (ulimit -u)"
        continue
    fi
    scale "$n"
done
