#!/usr/bin/env bash
# Six daemons on loopback, a sender, a recipient and relays: a file of SIZE by `p2pctl send --wait` over three of them, with what it costs
# each, and messages of 100 bytes a second by `push --lines`. Beside it in the same run what the machine does without us.
# SIZE=64M; KILL=1: a relay is killed and started again every few seconds; LINES=20000.
set -euo pipefail
bin=${P2PD_BIN:?the folder of p2pd and p2pctl}
size=$(numfmt --from=iec "${SIZE:-64M}") lines=${LINES:-20000}
dir=$(mktemp -d /tmp/p2pd-bulk.XXXXXX)
memory=$(mktemp -d /dev/shm/p2pd-bulk.XXXXXX)
nodes=(2 3 4 5 6 7) from=2 to=7
declare -A pids=() spent=()
tick=$(getconf CLK_TCK)
others=()
trap 'kill "${others[@]}" "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir" "$memory"' EXIT

ctl() { # NODE ARGUMENT...
    local n=$1
    shift
    "$bin/p2pctl" -s "$dir/$n.sock" "$@"
}
await() { # SECONDS COMMAND...: until it succeeds
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < until)) || { echo "bench_bulk: waited in vain for: $*" >&2; exit 1; }
        sleep 0.05
    done
}
start() { # NODE
    local n=$1 m peers=()
    for m in "${nodes[@]}"; do
        ((m == n)) || peers+=("127.0.0.$m")
    done
    "$bin/p2pd" --listen "127.0.0.$n" --state "$states/$n" --socket "$dir/$n.sock" --set link.heartbeat=1s --set link.timeout=3s \
        --set log.level=warning "${peers[@]}" 2>>"$dir/$n.log" &
    pids[$n]=$!
}
is_whole() { # NODE
    [ "$(ctl "$1" status --json | jq .directory.nodes)" -eq ${#nodes[@]} ] && ctl "$1" route --relays 3 "127.0.0.$to" -n 1
}
start_all() { # FOLDER of their states
    local n
    states=$1
    for n in "${nodes[@]}"; do
        start "$n"
    done
    await 60 is_whole $from
    ctl $from push -q --wait=30s "127.0.0.$to" warm
    ctl $to pull >/dev/null
}
stop_all() {
    kill "${pids[@]}"
    wait "${pids[@]}" 2>/dev/null || true
    pids=()
}
role() { # NODE
    case $1 in "$from") echo sender ;; "$to") echo recipient ;; *) echo relays ;; esac
}
cpu() { # PID: ticks of all its threads, itself, not its children
    awk '{sub(/.*\) /, ""); print $12 + $13}' "/proc/$1/stat" 2>/dev/null || echo 0
}
# What each role has used since the call before, added to `spent` (ticks).
spend() { # NODE...
    local n now
    for n in "$@"; do
        now=$(cpu "${pids[$n]}")
        spent[$(role "$n")]=$((${spent[$(role "$n")]:-0} + now - ${last[$n]:-0}))
        last[$n]=$now
    done
}
# Peak of RSS and of PSS, in kB, of whoever listens: sampled until the file `stop` is there.
sample() {
    local n pss
    while [ ! -e "$dir/stop" ]; do
        for n in $from 4 $to; do
            pss=$(awk '/^Pss:/ {print $2}' "/proc/${pids[$n]}/smaps_rollup" 2>/dev/null || true)
            [ -z "$pss" ] || echo "$n $pss" >>"$dir/pss"
        done
        sleep 0.2
    done
}
seconds() { # COMMAND...
    local began=$EPOCHREALTIME
    "$@" >/dev/null
    awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.3f\n", b - a}'
}
rate() { # NAME SECONDS
    awk -v name="$1" -v s="$2" -v n="$size" 'BEGIN {printf "%-58s %9.1f MB/s  (%.2f s)\n", name, n / s / 1e6, s}'
}

# ---- A file ----
head -c "$size" /dev/urandom >"$dir/file"
echo "a file of $((size >> 20)) MiB"
rate 'floor: cp and fsync' "$(seconds sh -c "cp $dir/file $dir/copied && sync $dir/copied")"
rate 'floor: sha256sum' "$(seconds sha256sum "$dir/file")"
rm -f "$dir/copied"
# With a key and a port of its own, and nothing of the machine's configuration.
if sshd=$(PATH=$PATH:/usr/sbin command -v sshd) && ssh-keygen -q -t ed25519 -N '' -f "$dir/key" && mkdir -p /run/sshd; then
    cp "$dir/key.pub" "$dir/authorized"
    chmod 600 "$dir/authorized"
    "$sshd" -D -f /dev/null -h "$dir/key" -p 2222 -o ListenAddress=127.0.0.1 -o StrictModes=no -o PidFile=none \
        -o AuthorizedKeysFile="$dir/authorized" 2>"$dir/sshd.log" &
    others+=($!)
    sleep 0.5
    scp=(scp -q -i "$dir/key" -P 2222 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes)
    if took=$(seconds "${scp[@]}" "$dir/file" "$(id -un)@127.0.0.1:$dir/copied" 2>"$dir/scp.log"); then
        rate 'scp to localhost: one hop, TCP' "$took"
    else
        echo "scp to localhost: not measured: $(tail -n 1 "$dir/scp.log")"
    fi
    rm -f "$dir/copied"
else
    echo 'scp to localhost: not measured: no sshd here'
fi

mkdir "$dir/states"
start_all "$dir/states"
declare -A last=()
spend "${nodes[@]}"
spent=()
sample &
sampler=$!
kills=0 began=$EPOCHREALTIME
ctl $from send -q --wait "127.0.0.$to" "$dir/file" --relays 3 &
client=$!
while kill -0 $client 2>/dev/null; do
    if [ -n "${KILL:-}" ] && ((SECONDS - ${struck:=$SECONDS} >= 4)); then
        victim=$((3 + RANDOM % 4))
        spend $victim
        kill -KILL "${pids[$victim]}"
        wait "${pids[$victim]}" 2>/dev/null || true
        start $victim
        last[$victim]=0 struck=$SECONDS kills=$((kills + 1))
    fi
    sleep 0.02
done
wait $client
ended=$EPOCHREALTIME
touch "$dir/stop"
wait $sampler
spend "${nodes[@]}"
took=$(awk -v a="$began" -v b="$ended" 'BEGIN {print b - a}')
rate "p2pctl send --wait over three relays${KILL:+, $kills relays killed}" "$took"
for who in sender recipient relays; do
    awk -v who="$who" -v t="${spent[$who]}" -v hz="$tick" -v n="$size" 'BEGIN {printf "  CPU of %-48s %9.2f ms/MB\n", who, t / hz * 1e3 / (n / 1e6)}'
done
awk -v t="$((spent[sender] + spent[recipient] + spent[relays]))" -v hz="$tick" -v n="$size" -v s="$took" -v c="$(nproc)" 'BEGIN {
    printf "  CPU of all daemons %43.2f ms/MB, %.2f of %d cores\n", t / hz * 1e3 / (n / 1e6), t / hz / s, c}'
for n in $from 4 $to; do
    awk -v who="$(role "$n")" -v n="$n" -v rss="$(awk '/^VmHWM/ {print $2}' "/proc/${pids[$n]}/status")" \
        '$1 == n && $2 > most {most = $2} END {printf "  peak memory of %-43s RSS %d kB, PSS %d kB\n", who, rss, most}' who="$(role "$n")" "$dir/pss"
done
packets=$(ctl $from status --json | jq .counters.onion_sent)
if [ -x "$bin/tests/bench/bench_relay" ]; then
    bare=$("$bin/tests/bench/bench_relay" 2>/dev/null | awk '/^bare forwarder/ {print $(NF - 1)}')
    rate "floor: $packets datagrams forwarded bare, thrice, by one core" "$(awk -v n="$packets" -v us="$bare" 'BEGIN {print n * 3 * us / 1e6}')"
fi
mkdir "$dir/received"
rate 'p2pctl receive' "$(seconds "$bin/p2pctl" -s "$dir/$to.sock" receive "$dir/received")"
cmp "$dir/file" "$dir/received/file"
rm -rf "$dir/received" "$dir/file"

# ---- Messages ----
awk -v n="$lines" 'BEGIN {for (i = 1; i <= n; i++) printf "%0100d\n", i}' >"$dir/lines"
messages() { # NAME
    local pushed all began=$EPOCHREALTIME
    ctl $from push -q --lines "127.0.0.$to" --relays 3 <"$dir/lines"
    pushed=$EPOCHREALTIME
    await 120 has_all
    all=$EPOCHREALTIME
    awk -v name="$1" -v n="$lines" -v a="$began" -v b="$pushed" -v c="$all" \
        'BEGIN {printf "%-58s %9.0f accepted a second, %.0f delivered\n", name, n / (b - a), n / (c - a)}'
    ctl $to pull -n "$lines" | cut -f2 | cmp - "$dir/lines"
}
has_all() {
    [ "$(ctl $to status --json | jq .inbox.waiting)" -eq "$lines" ]
}
messages "$lines messages of 100 bytes, state on disk"
stop_all
start_all "$memory"
messages "$lines messages of 100 bytes, state in memory (no sync)"
