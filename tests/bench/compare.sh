#!/usr/bin/env bash
# Two results of run.sh, figure by figure: the ratio of new to old, and which way that is. Exit 2 where they cannot be read.
set -euo pipefail
[ $# -eq 2 ] && [ -r "$1" ] && [ -r "$2" ] || { echo 'usage: compare.sh OLD.json NEW.json' >&2; exit 2; }
# A change within a tenth is called none: two runs of the same programs differ by that.
jq -nr --slurpfile old "$1" --slurpfile new "$2" '
    def key: .section + "\t" + .name;
    ($old[0].figures | map({(key): .}) | add // {}) as $was
    | $new[0].figures[]
    | . as $now | $was[key] as $then
    | [.section, .name, .unit,
       ($then.value // "-" | tostring), (.value // "-" | tostring),
       (if $then.value and .value and $then.value != 0 then .value / $then.value | tostring else "-" end),
       (if ($then.value and .value and $then.value != 0) | not then "new"
        elif (.value / $then.value - 1 | fabs) < 0.1 then ""
        elif (.value > $then.value) == (.better == "higher") then "better" else "worse" end)]
    | @tsv' |
    awk -F'\t' 'function short(v) {return v == "-" ? v : sprintf(v + 0 >= 1000 ? "%.0f" : "%.4g", v)}
        BEGIN {printf "%-9s %-58s %-9s %10s %10s %7s\n", "section", "figure", "unit", "old", "new", "ratio"}
        {printf "%-9s %-58s %-9s %10s %10s %7s %s\n", $1, $2, $3, short($4), short($5), $6 == "-" ? "-" : sprintf("%.2f", $6), $7}'
jq -nr --slurpfile old "$1" --slurpfile new "$2" '
    ($new[0].figures | map(.section + " " + .name)) as $now
    | $old[0].figures[] | (.section + " " + .name) | select(. as $name | $now | index($name) | not) | "gone: " + .'
