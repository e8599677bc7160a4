#!/usr/bin/env bash
# A file of SIZE by `p2pctl send --wait` over 3 relays, all five daemons on this machine: MB/s, CPU a MB by role, memory while it runs; over
# the paths that a daemon keeps by itself, and over one path and four that are asked for.
. "$(dirname "$0")/lib.sh"
size=$(numfmt --from=iec "${SIZE:-64M}")
from=2 to=6 to_address=$net.6
start_network $to 3
head -c "$size" /dev/urandom >"$dir/file"

# The floor: each packet of 827 bytes is forwarded and peeled four times, and all cores do nothing else.
packet=$(relay_floor kept)
floor=$(calc "827 * $(nproc) / (4 * $packet)")
# Peak PSS of sender, a relay and recipient until the file `stop` is there.
sample() {
    local n
    while [ ! -e "$dir/stop" ]; do
        for n in $from 3 $to; do
            echo "$n $(pss_kb "${pids[$n]}")" >>"$dir/pss"
        done
        sleep 0.1
    done
}
role() { # NODE
    case $1 in "$from") echo sender ;; "$to") echo recipient ;; *) echo 'a relay' ;; esac
}
send() { # NAME [OPTION...]
    local name=$1 n began took mb spent=() all
    shift
    for n in "${!pids[@]}"; do
        spent[n]=$(cpu_us "${pids[$n]}")
    done
    rm -f "$dir/stop" "$dir/pss"
    sample &
    others+=($!)
    began=$EPOCHREALTIME
    ctl $from send -q --wait=60s "$to_address" "$dir/file" --relays 3 "$@"
    took=$(calc "$EPOCHREALTIME - $began")
    touch "$dir/stop"
    wait "${others[-1]}"
    unset 'others[-1]'
    mb=$(calc "$size / 1e6")
    all=0
    for n in "${!pids[@]}"; do
        spent[n]=$(calc "($(cpu_us "${pids[$n]}") - ${spent[n]}) / 1000 / $mb")
        all=$(calc "$all + ${spent[n]}")
    done
    figure "$name" MB/s "$(calc "$mb / $took")" "$floor" higher "$((size >> 10)) KiB in $(calc "int($took * 100) / 100") s; floor: 4 hops a packet, forwarded and peeled, by all cores"
    figure "$name: CPU of all daemons" ms/MB "$all" "$(calc "4 * $packet / 0.827")" lower \
        "sender ${spent[from]}, a relay $(calc "($all - ${spent[from]} - ${spent[to]}) / 3"), recipient ${spent[to]}"
    [ $# -eq 0 ] || return 0
    for n in $from 3 $to; do
        figure "$name: peak memory of $(role "$n")" 'MB PSS' "$(awk -v n="$n" '$1 == n && $2 > most {most = $2} END {print most / 1024}' "$dir/pss")" - lower ''
    done
}
send 'as a daemon does by itself (4 kept paths)'
mkdir "$dir/received"
ctl $to receive "$dir/received" >/dev/null
cmp "$dir/file" "$dir/received/file"
rm -rf "$dir/received"
# Asked for, a parcel is as many packets as shards, and each is confirmed by itself: for what must not be read by those who see one path,
# not for speed. So a smaller file does.
size=$((size / 32))
head -c $size /dev/urandom >"$dir/file"
send '1 path (--shards 1)' --shards 1
send '4 paths (--shards 4)' --shards 4
