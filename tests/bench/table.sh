#!/usr/bin/env bash
# Figures as people read them: `table.sh heading`, then `table.sh rows` with lines of JSON on standard input. The share is how near its floor
# a figure is, 100% being as near as can be, whichever way is better.
set -euo pipefail
heading() {
    printf '%-9s %-62s %10s %-10s %10s %6s  %s\n' section figure value unit floor share note
}
rows() {
    jq -r '[.section, .name, (.value // "-" | tostring), .unit, (.floor // "-" | tostring),
            (if .floor and .value and .value != 0 and .floor != 0
             then (if .better == "lower" then .floor / .value else .value / .floor end) * 100 | round | tostring + "%" else "" end),
            .note] | @tsv' |
        awk -F'\t' 'function short(v) {return v == "-" ? v : sprintf(v + 0 >= 10000 ? "%.0f" : "%.4g", v)}
            {printf "%-9s %-62s %10s %-10s %10s %6s  %s\n", $1, $2, short($3), $4, short($5), $6, $7}'
}
case ${1:-} in
heading) heading ;;
rows) rows ;;
*) echo 'usage: table.sh heading | rows' >&2; exit 2 ;;
esac
