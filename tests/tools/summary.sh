#!/usr/bin/env bash
# Run tests and add them up: summary.sh FOLDER ITEM... [-- ITEM...]
#
# An item is NAME|SECONDS|COMMAND, or a command that prints items, a line each. CHECK_JOBS run at once: every second one is taken from
# the items behind --, as long as there are any. What waits most of its time stands there, and so runs beside what computes.
# A command speaks TAP (cmocka, bats), or prints `N passed, N failed`, or its exit code alone is the result. One that crashes
# or prints fewer results than it planned has failed, whatever it printed. So has one that printed nothing for SECONDS: it hangs.
# How long it takes in all is judged by nobody, since it says more of the machine than of the test; CHECK_PATIENCE=N waits N
# times as long for a line. A test that keeps limits of its own prints a line that begins with `timed out: ` where one is over.
# Successful output stays in FOLDER; failing output is shown in full. The last lines are what timed out, and
# `N passed, N failed`; the exit code follows it.
set -uo pipefail

file_of() {
    echo "$1/${2//\//_}"
}

# End a process group once its log has not grown for so long.
watch_log() { # LOG SECONDS GROUP
    local size last=-1 silent=0
    while ((silent < $2)); do
        sleep 1
        size=$(wc -c <"$1")
        silent=$((size == last ? silent + 1 : 0)) last=$size
    done
    echo "timed out: nothing was printed for $2 s" >>"$1.hung"
    kill -TERM -- "-$3"
    sleep 10
    kill -KILL -- "-$3"
}

# Run a command into a log, in a process group of its own, and end it if it hangs.
run_watched() { # LOG SECONDS COMMAND
    local watcher='' group='' code
    # shellcheck disable=SC2016 # of the time when it is asked
    trap 'kill -TERM -- ${watcher:+-$watcher} ${group:+-$group} 2>/dev/null; exit 143' INT TERM
    set -m
    CMOCKA_MESSAGE_OUTPUT=TAP bash -c "$3" >"$1" 2>&1 </dev/null &
    group=$!
    watch_log "$1" "$2" $group >/dev/null 2>&1 &
    watcher=$!
    set +m
    wait $group
    code=$?
    trap - INT TERM
    kill -TERM -- "-$watcher" 2>/dev/null
    wait $watcher 2>/dev/null
    kill -KILL -- "-$group" 2>/dev/null # whatever it started and did not end
    return $code
}

run_one() { # FOLDER NAME|SECONDS|COMMAND
    local name=${2%%|*} rest=${2#*|} base code start=$SECONDS verdict
    base=$(file_of "$1" "$name")
    # shellcheck disable=SC2094 # The shell says of what a command died: that belongs to its log.
    { run_watched "$base.log" "$((${rest%%|*} * ${CHECK_PATIENCE:-1}))" "${rest#*|}"; } 2>>"$base.log"
    code=$?
    awk -v code="$code" '
        /^1\.\.[0-9]+/                            { plan += substr($0, 4) }
        /^(not )?ok [0-9]+.*# (skip|SKIP)/        { skipped++; next } # cmocka says "not ok" of them
        /^ok [0-9]+/                              { passed++ }
        /^not ok [0-9]+/                          { failed++ }
        /^[0-9]+ passed, [0-9]+ failed/           { summed = 1; p += $1; f += $3 }
        END {
            if (summed) { passed = p; failed = f } # a sum stands for the results above it
            lost = plan - passed - failed - skipped
            if (lost > 0) failed += lost
            if (code != 0 && !failed) failed = 1
            if (code == 0 && !(passed + failed + skipped)) passed = 1
            print passed + 0, failed + 0, skipped + 0
        }' "$base.log" >"$base.result"
    read -r passed failed skipped <"$base.result"
    if [ -f "$base.log.hung" ]; then
        cat "$base.log.hung" >>"$base.log"
    fi
    if ((failed)) && grep -hoE '^(# *)?timed out: .*' "$base.log" | sed 's/^# *//' >"$base.late"; then
        verdict="$(head -n 1 "$base.late"), $passed passed"
    else
        rm -f "$base.late"
        verdict="$failed failed, $passed passed"
    fi
    if ((failed)); then
        echo "FAIL  $name: $verdict (exit $code, $((SECONDS - start)) s)"
    else
        echo "ok    $name: $passed passed$( ((skipped)) && echo ", $skipped skipped") ($((SECONDS - start)) s)"
    fi
}

# Run what nobody has begun yet, in the order given.
run_lane() { # FOLDER NUMBER-OF-ITEM...
    local folder=$1 i
    for i in "${@:2}"; do
        ! mkdir "$folder/begun.$i" 2>/dev/null || run_one "$folder" "${items[i]}"
    done
}

# ITEM...: onto the end of `items`, a command's lines in its place.
add_items() {
    local item known
    for item in "$@"; do
        if [[ $item == *'|'* ]]; then
            items+=("$item")
            continue
        fi
        known=${#items[@]}
        mapfile -t -O "$known" items < <(bash -c "$item")
        ((${#items[@]} > known)) || items+=("$item|9|echo 'it prints no items'; exit 1")
    done
}

folder=$1
shift
rm -rf "$folder"
mkdir -p "$folder"
computing=() items=()
while (($#)) && [ "$1" != -- ]; do
    computing+=("$1")
    shift
done
add_items "${computing[@]}"
n=${#items[@]}
add_items "${@:2}"
# Who interrupts it ends what runs: children of a shell without job control do not hear an interrupt themselves.
lanes=()
trap 'kill "${lanes[@]}" 2>/dev/null; wait; exit 130' INT TERM
mapfile -t forward < <(seq 0 $((${#items[@]} - 1)))
for ((lane = 0; lane < ${CHECK_JOBS:-1}; lane++)); do
    if ((lane % 2)); then
        run_lane "$folder" "${forward[@]:n}" "${forward[@]:0:n}" &
    else
        run_lane "$folder" "${forward[@]}" &
    fi
    lanes+=($!)
done
wait
trap - INT TERM
set -- "${items[@]}"

passed=0 failed=0
for test in "$@"; do
    base=$(file_of "$folder" "${test%%|*}")
    if ! read -r p f s <"$base.result"; then
        p=0 f=1 s=0
    fi
    ((passed += p, failed += f))
    if ((s)); then
        grep -hiE "^(not )?ok .*# skip" "$base.log" | sed -E "s/^(not )?ok [0-9]* */skipped: /"
    fi
    if ((f)); then
        echo "---- ${test%%|*} ----"
        cat "$base.log"
        echo "---- end of ${test%%|*} ----"
    fi
done
for test in "$@"; do
    base=$(file_of "$folder" "${test%%|*}")
    [ ! -f "$base.late" ] || echo "timed out: ${test%%|*}"
done
echo "$passed passed, $failed failed"
((failed == 0))
