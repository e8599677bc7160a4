#!/usr/bin/env bash
# The rules of the house that its objects and headers tell of: check-house.sh BUILD-FOLDER (of an unsanitized build).
#   - no object calls or reads what a higher folder defines (house.order): C lets a declaration slip past the includes
#   - a path is drawn and a packet sealed in daemon/core/route alone: whoever sends asks the courier
#   - no two files of a folder use each other
#   - a private header has 30 prototypes at most
#   - a unit test is linked from seven objects at most
#   - a switch over kinds (of requests, events, answers, operations) has no default: the compiler says which one was forgotten
# What broke the last four when they were made is in house.allow, a list that only shrinks: an entry without need is a complaint too.
set -euo pipefail
build=$1
tools=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sources=() # not what lies about from sources that are gone
while read -r source; do
    object=$build/${source%.c}.o
    [ -f "$object" ] && sources+=("$object") || echo "$source" >>"$work/unbuilt"
done < <(find daemon client shared -name '*.c' | sort)
# The twin of a system's file is not built here: nothing else may be missing.
if grep -vE '/udp_(linux|posix)\.c$' "$work/unbuilt" 2>/dev/null; then
    echo "check-house: not built"
    exit 1
fi
nm -A -g "${sources[@]}" "$build"/proto/*.o >"$work/symbols"

awk -v build="$build/" -v order="$tools/house.order" '
    function folder_of(path) { return sub(/\/[^\/]*$/, "", path) ? path : "." }
    function is_below(to, folder,   line) {
        for (line = 1; line <= n_lines; line++)
            if ((line, folder) in place && (line, to) in place && place[line, to] <= place[line, folder]) return 1
        return 0
    }
    BEGIN {
        while ((getline line < order) > 0)
            if (line !~ /^#/) {
                n = split(line, word, " "); n_lines++
                for (i = 1; i <= n; i++) place[n_lines, word[i]] = i
            }
    }
    {
        file = $1; sub(/:.*/, "", file); sub(/\.o$/, "", file); file = substr(file, length(build) + 1)
        symbol = $NF; kind = $(NF - 1)
        # Two programs have a main each, and may have more of one name.
        program = file ~ /^client\// ? "client" : file ~ /^daemon\// ? "daemon" : "both"
        if (kind == "U") { n_used++; used_by[n_used] = file; used[n_used] = symbol; used_in[n_used] = program }
        else defined[program, symbol] = file
    }
    END {
        for (i = 1; i <= n_used; i++) {
            from = used_by[i]
            if ((used_in[i], used[i]) in defined) to = defined[used_in[i], used[i]]
            else if (("both", used[i]) in defined) to = defined["both", used[i]]
            else if (used_in[i] == "both" && ("daemon", used[i]) in defined) to = defined["daemon", used[i]]
            else continue
            if (used[i] ~ /^path_(draw|seal)$/ && folder_of(from) != "daemon/core/route") print "courier " from " uses " used[i]
            if (!is_below(folder_of(to), folder_of(from))) print "layer " from " uses " used[i] " of " to
            if (folder_of(to) == folder_of(from) && to != from) calls[from, to] = 1
        }
        for (pair in calls) {
            split(pair, end, SUBSEP)
            if ((end[2], end[1]) in calls && end[1] < end[2]) {
                name = end[2]; sub(/.*\//, "", name)
                print "mutual " end[1] " " name
            }
        }
    }' "$work/symbols" | sort -u >"$work/found"
# shellcheck disable=SC2129 # three searches, each with its own input
while read -r header; do
    n=$(awk -f "$tools/prototypes.awk" "$header")
    [ "$n" -le 30 ] || echo "prototypes $header"
done < <(find daemon client shared -name '*_private.h' | sort) >>"$work/found"
while read -r test; do
    n=$(sed -n '1s,^/\* link: *\(.*\) *\*/.*,\1,p' "$test" | tr ' ' '\n' | grep -c '[a-z]' || true)
    case $(head -n 1 "$test") in *libp2pd-core.a*) n=8 ;; esac
    [ "$n" -le 7 ] || echo "objects $test"
done < <(find tests/unit -name 'test_*.c' | sort) >>"$work/found"
# shellcheck disable=SC2016 # awk's own
find daemon client shared -name '*.c' | sort | xargs awk '
    FNR == 1 { inside = 0 }
    /^ *switch \((.*(->|\.))?kind\) \{/ { depth = match($0, /[^ ]/); inside = 1; next }
    inside && match($0, /[^ ]/) == depth && /^ *\}/ { inside = 0 }
    inside && /^ *default:/ { print "switch " FILENAME; inside = 0 }' >>"$work/found"

sed -e 's/ *#.*//' -e '/^$/d' "$tools/house.allow" | sort -u >"$work/allowed"
sort -u "$work/found" >"$work/now"
bad=0
while read -r line; do
    echo "check-house: house.allow has no exceptions of this kind: $line"
    bad=$((bad + 1))
done < <(grep -vE '^(mutual|prototypes|objects|switch) ' "$work/allowed")
while read -r line; do
    echo "check-house: $line"
    bad=$((bad + 1))
done < <(comm -23 "$work/now" "$work/allowed")
while read -r line; do
    echo "check-house: no longer so, take it off house.allow: $line"
    bad=$((bad + 1))
done < <(comm -13 "$work/now" "$work/allowed")
echo "$(wc -l <"$work/allowed") exceptions left, $bad complaints"
((bad == 0))
