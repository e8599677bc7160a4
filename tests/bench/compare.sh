#!/usr/bin/env bash
# Two results of run.sh, figure by figure: the ratio of new to old, and which way that is. Exit 2 where they cannot be read.
set -euo pipefail
if [ $# -ne 2 ] || [ ! -r "$1" ] || [ ! -r "$2" ]; then
    echo 'usage: compare.sh OLD.json NEW.json (make bench-compare OLD=FILE)' >&2
    exit 2
fi
# A change within a tenth is called none: two runs of the same programs differ by that.
jq -nr --slurpfile old "$1" --slurpfile new "$2" '
    def key: .section + "\t" + .name;
    ($old[0].figures | map({(key): .}) | add // {}) as $was
    | $new[0].figures[]
    | . as $now | $was[key] as $before
    | [.section, .name, .unit,
       ($before.value // "-" | tostring), (.value // "-" | tostring),
       (if $before.value and .value and $before.value != 0 then .value / $before.value | tostring else "-" end),
       (if ($before.value and .value and $before.value != 0) | not then "new"
        elif (.value / $before.value - 1 | fabs) < 0.1 then ""
        elif (.value > $before.value) == (.better == "higher") then "better" else "worse" end)]
    | @tsv' |
    awk -F'\t' 'function short(v) {return v == "-" ? v : sprintf(v + 0 >= 1000 ? "%.0f" : "%.4g", v)}
        BEGIN {printf "%-9s %-62s %-10s %10s %10s %7s\n", "section", "figure", "unit", "old", "new", "ratio"}
        {printf "%-9s %-62s %-10s %10s %10s %7s %s\n", $1, $2, $3, short($4), short($5), $6 == "-" ? "-" : sprintf("%.2f", $6), $7}'
jq -nr --slurpfile old "$1" --slurpfile new "$2" '
    ($new[0].figures | map(.section + " " + .name)) as $now
    | ($new[0].figures | map(.section)) as $ran
    | $old[0].figures[] | select(.section as $section | $ran | index($section)) | (.section + " " + .name) | select(. as $name | $now | index($name) | not) | "gone: " + .'
