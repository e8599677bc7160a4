#!/usr/bin/env bash
# Run tests and add them up: summary.sh FOLDER 'NAME|SECONDS|COMMAND'...
#
# A command speaks TAP (cmocka, bats), or prints `N passed, N failed`, or its exit code alone is the result. One that crashes,
# runs out of time or prints fewer results than it planned has failed, whatever it printed. Successful output stays
# in FOLDER; failing output is shown in full. The last line is `N passed, N failed`, the exit code follows it.
set -uo pipefail

file_of() {
    echo "$1/${2//\//_}"
}

run_one() { # FOLDER NAME|SECONDS|COMMAND
    local name=${2%%|*} rest=${2#*|} base code start=$SECONDS limit=()
    base=$(file_of "$1" "$name")
    if command -v timeout >/dev/null; then
        limit=(timeout -k 10 "${rest%%|*}")
    fi
    # The shell says of what a command died: that belongs to its log.
    { CMOCKA_MESSAGE_OUTPUT=TAP ${limit[@]+"${limit[@]}"} bash -c "${rest#*|}" >"$base.log" 2>&1 </dev/null; } 2>>"$base.log"
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
    if ((failed)); then
        echo "FAIL  $name: $failed failed, $passed passed (exit $code, $((SECONDS - start)) s)"
    else
        echo "ok    $name: $passed passed$( ((skipped)) && echo ", $skipped skipped") ($((SECONDS - start)) s)"
    fi
}

if [ "$1" = --one ]; then
    run_one "$2" "$3"
    exit 0
fi

folder=$1
shift
rm -rf "$folder"
mkdir -p "$folder"
printf '%s\0' "$@" | xargs -0 -n 1 -P "${CHECK_JOBS:-1}" "$0" --one "$folder"

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
echo "$passed passed, $failed failed"
((failed == 0))
