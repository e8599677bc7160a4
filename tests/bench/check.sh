#!/usr/bin/env bash
# What becomes of figures: the table, the shares, the ratios. No time is judged.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d /tmp/p2pd-bench-check.XXXXXX)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0
expect() { # WHAT PATTERN < text
    if grep -qE -- "$2"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "not as expected: $1: $2"
    fi
}
line() { # NAME VALUE FLOOR BETTER
    printf '{"section":"s","name":"%s","unit":"us","value":%s,"floor":%s,"better":"%s","note":"a note"}\n' "$@"
}
{
    line cost 4 1 lower
    line gain 4 8 higher
    line bare 4 null lower
    line lost null 1 lower
} >"$dir/lines"
"$here/table.sh" rows <"$dir/lines" >"$dir/table"
expect 'a cost above its floor' '^s +cost +4 us +1 +25%  a note$' <"$dir/table"
expect 'a gain below its floor' '^s +gain +4 us +8 +50%  a note$' <"$dir/table"
expect 'no floor, no share' '^s +bare +4 us +- +a note$' <"$dir/table"
expect 'what was not measured' '^s +lost +- us +1 +a note$' <"$dir/table"
expect 'the heading' '^section +figure +value unit +floor +share +note$' < <("$here/table.sh" heading)

result() { # FILE LINE...
    local file=$1
    shift
    printf '%s\n' "$@" | jq -s '{figures: .}' >"$file"
}
result "$dir/old" "$(line cost 4 1 lower)" "$(line gain 4 8 higher)" "$(line same 100 1 lower)" "$(line went 1 1 lower)"
result "$dir/new" "$(line cost 2 1 lower)" "$(line gain 2 8 higher)" "$(line same 105 1 lower)" "$(line came 1 1 lower)"
"$here/compare.sh" "$dir/old" "$dir/new" >"$dir/ratios"
expect 'half the cost' '^s +cost +us +4 +2 +0\.50 better$' <"$dir/ratios"
expect 'half the gain' '^s +gain +us +4 +2 +0\.50 worse$' <"$dir/ratios"
expect 'within a tenth' '^s +same +us +100 +105 +1\.05 *$' <"$dir/ratios"
expect 'a new figure' '^s +came +us +- +1 +- new$' <"$dir/ratios"
expect 'one that is gone' '^gone: s went$' <"$dir/ratios"
expect 'a file that is not there' 'exit 2' < <("$here/compare.sh" "$dir/nothing" "$dir/new" 2>&1 || echo "exit $?")
expect 'a section that is not there' 'exit 2' < <(P2PD_BIN=/nowhere BENCH=nothing "$here/run.sh" 2>&1 || echo "exit $?")
# Every section that is there is run, and the other way round.
for script in "$here"/section_*.sh; do
    name=${script##*/section_}
    expect "${script##*/} among the sections" "^all=\(.*\b${name%.sh}\b.*\)$" <"$here/run.sh"
done
echo "$passed passed, $failed failed"
((failed == 0))
