#!/usr/bin/env bash
# The table of p2pd-protocol(7) LIMITS, made from the comments of daemon/core/base/limits.h that begin with a bar, and its constants.
# Usage: limits.sh            print the table's rows as the page has them (tbl)
#        limits.sh --write    put them into the page
# Complaints: a digit in a bound that is no {EXPRESSION}, a constant in no row, a constant that another file defines too.
set -euo pipefail
header=daemon/core/base/limits.h
page=man/p2pd-protocol.7
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A row a line: what | bound | at it.
awk '
    /^\/\* \|/ { in_row = 1; row = "" }
    in_row { row = row " " $0 }
    in_row && /\*\// { gsub(/\/\*|\*\//, " ", row); gsub(/ +/, " ", row); sub(/^ \| ?/, "", row); sub(/ $/, "", row); print row; in_row = 0 }
' <(sed 's/^ \* / /' $header) >"$work/rows"

reckonable='^[0-9 ()+*/<-]+$'
# What the expressions are worth: the preprocessor puts in the constants, the shell reckons.
grep -oE '\{[^}=][^}]*\}' "$work/rows" | tr -d '{}' | sort -u >"$work/expressions" || true
sed -E 's/:[^:]*$//' "$work/expressions" | sort -u >"$work/wanted"
{
    printf '#include "%s"\n' $header daemon/core/wire/parcel.h shared/frame.h
    while read -r expression; do printf '@@%s@@ (%s)\n' "\"$expression\"" "$expression"; done <"$work/wanted"
} >"$work/ask.c"
read -ra flags <<<"${CPPFLAGS-} $(pkg-config --cflags libsodium libprotobuf-c 2>/dev/null)"
${CC:-cc} -E -P -I. -Ibuild ${flags[@]+"${flags[@]}"} "$work/ask.c" | sed -nE 's/^@@"(.*)"@@ ?(.*)$/\1|\2/p' |
    sed -E -e ':again' -e 's/(\|.*[0-9])[uUlL]+/\1/' -e 't again' >"$work/expanded"
while IFS='|' read -r expression text; do
    [[ $text =~ $reckonable ]] || { echo "limits.sh: $expression is no constant ($text)" >&2; exit 1; }
    echo "$expression|$((text))"
done <"$work/expanded" >"$work/values"

awk -F'|' -v values="$work/values" '
    function unit(value, name,   by) {
        by = name == "" ? 1 : name == "KiB" ? 1024 : name == "MiB" ? 1048576 : name == "ms" ? 1000 : name == "s" ? 1000000 : \
             name == "min" ? 60000000 : name == "h" ? 3600000000 : name == "days" ? 86400000000 : 0
        if (name == "/s" || name == "/min") { by = value; value = name == "/s" ? 1000000 : 60000000 }
        if (!by || value % by) { print "limits.sh: " value " is not in " name > "/dev/stderr"; bad = 1; return "?" }
        return sprintf("%d", value / by)
    }
    function fill(text,   at, inside, name, out) {
        out = ""
        while (match(text, /\{[^}]*\}/)) {
            inside = substr(text, RSTART + 1, RLENGTH - 2)
            at = substr(text, 1, RSTART - 1); text = substr(text, RSTART + RLENGTH)
            name = ""
            if (inside ~ /^=/) inside = substr(inside, 2)
            else {
                if (match(inside, /:[^:]*$/)) { name = substr(inside, RSTART + 1); inside = substr(inside, 1, RSTART - 1) }
                if (!(inside in value)) { print "limits.sh: what is " inside "?" > "/dev/stderr"; bad = 1 }
                inside = unit(value[inside], name)
            }
            out = out at inside
        }
        return out text
    }
    # Lines of 80 columns at most.
    function fold(text,   out, n, i, word, at) {
        n = split(text, word, " ")
        for (i = 1; i <= n; i++) {
            out = out (i == 1 ? "" : at + 1 + length(word[i]) > 80 ? "\n" : " ") word[i]
            at = i > 1 && at + 1 + length(word[i]) <= 80 ? at + 1 + length(word[i]) : length(word[i])
        }
        return out
    }
    function cell(text, width) { return length(text) > width ? "T{\n" fold(text) "\nT}" : text }
    BEGIN { while ((getline line < values) > 0) { split(line, part, "|"); value[part[1]] = part[2] } }
    {
        gsub(/ *\| */, "|"); $0 = $0
        if (NF != 3) { print "limits.sh: not three columns: " $0 > "/dev/stderr"; bad = 1 }
        bare = $2; gsub(/\{[^}]*\}/, "", bare); gsub(/[0-9]+(st|nd|rd|th)/, "", bare)
        if (bare ~ /[0-9]/) { print "limits.sh: a number of its own: " $2 > "/dev/stderr"; bad = 1 }
        print cell(fill($1), 29) "\t" cell(fill($2), 20) "\t" cell(fill($3), 27)
    }
    END { exit bad }' "$work/rows" >"$work/table"

# Every constant above the last part is in a row; none is defined elsewhere, too.
bad=0
sed '/^\/\* ---- Lengths, numbers and times/,$d' $header | sed -nE 's/^#define ([A-Z0-9_]+)(\([a-z_]*\))? .*/\1/p' >"$work/names"
while read -r name; do
    grep -qwF "$name" "$work/expressions" || grep -E '^#define [A-Z_]+ .*[A-Z]' $header | cut -d' ' -f3- | grep -qwF "$name" ||
        { echo "limits.sh: $name is in no row" >&2; bad=1; }
done <"$work/names"
sed -nE 's/^#define ([A-Z0-9_]+)(\([a-z_]*\))? .*/\1/p' $header >"$work/all"
if grep -rnE "^#define ($(paste -sd'|' "$work/all"))([ (]|$)" daemon client shared --include='*.[ch]' | grep -v "^$header:" >&2; then
    echo "limits.sh: defined in $header already" >&2
    bad=1
fi
((bad == 0))

if [ "${1-}" = --write ]; then
    awk -v table="$work/table" '
        on && /^\.TE/ { on = 0; while ((getline line < table) > 0) print line }
        !on { print }
        /^What\tBound\t/ { on = 1 }' $page >"$work/page"
    cat "$work/page" >$page
else
    cat "$work/table"
fi
