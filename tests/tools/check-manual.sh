#!/usr/bin/env bash
# The manual against the programs: mdoc without a warning, and every option, key and command that a program knows is in its page.
# Usage: check-manual.sh BUILD-FOLDER
set -euo pipefail
build=$1
passed=0 failed=0

expect() { # PAGE WORD
    if grep -qF -- "$2" <<<"$page"; then
        passed=$((passed + 1))
    else
        echo "man/$1 does not mention $2"
        failed=$((failed + 1))
    fi
}
render() { # PAGE
    page=$(mandoc -T ascii -O width=200 "man/$1" | sed $'s/.\b//g') # without what is struck over
}
options() { # on stdin: a program's help
    grep -oE -- '--[a-z][a-z-]+' | sort -u
}

for file in man/*.[1578]; do
    if mandoc -T lint -W warning "$file"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
done

render p2pd.8
for option in $("$build/p2pd" --help 2>&1 | options); do
    expect p2pd.8 "$option"
done

# --dump writes the table as a configuration file would: [section], key = value; a key without a default as a comment.
render p2pd.conf.5
keys=$("$build/p2pd" --dump | sed -nE -e 's/^\[(.*)\]$/\1./p' -e 's/^#?([a-z_]+) =.*/\1/p' |
    awk '/\.$/ { section = $0; next } { print section $0 }' | sort -u)
[ -n "$keys" ] || { echo 'p2pd --dump lists no keys'; failed=$((failed + 1)); }
for key in $keys; do
    expect p2pd.conf.5 "$key"
done

render p2pctl.1
commands=$("$build/p2pctl" help | sed -nE 's/^ +([a-z]+)( .*)?$/\1/p' | sort -u)
[ -n "$commands" ] || { echo 'p2pctl help lists no commands'; failed=$((failed + 1)); }
for command in $commands; do
    expect p2pctl.1 "$command"
    for option in $("$build/p2pctl" help "$command" 2>&1 | options || true); do
        expect p2pctl.1 "$option"
    done
done

# Lists that a manual and a table of a header have in common: the same names, in the same order, with the same words.
table() { # HEADER MACRO: "NAME TEXT" of each X(..., NAME, "TEXT")
    awk -v start="#define $2(X)" 'index($0, start) { on = 1 } on { sub(/ *\\$/, ""); printf "%s ", $0 } /^$/ { on = 0 }' "$1" | grep -oE 'X\([^"]*"[^"]*"\)' | sed -E 's/^X\((.*, *)?([a-z_]+), *"(.*)"\)$/\2 \3/'
}
list() { # PAGE NAME: "NAME TEXT" of each .It of the list that begins with NAME
    awk -v first="$2" '
        $1 == ".It" && $2 == first { on = 1 }
        on && $1 == ".El" { exit }
        on && $1 == ".It" { if (name) print name text; name = $2; text = ""; next }
        on { text = text " " $0 }
        END { print name text }' "man/$1"
}
compare() { # PAGE HEADER MACRO
    local rows difference
    rows=$(table "$2" "$3")
    if [ -n "$rows" ] && difference=$(diff <(echo "$rows") <(list "$1" "${rows%% *}")); then
        passed=$((passed + 1))
    else
        printf '%s of %s (<) and man/%s (>) differ:\n%s\n' "$3" "$2" "$1" "${difference-}"
        failed=$((failed + 1))
    fi
}
compare p2pctl.1 daemon/core/seam/counters.h COUNTERS
compare p2pd-protocol.7 daemon/core/base/drop.h DROPS

# The table of LIMITS is made from base/limits.h.
if ! limits=$(tests/tools/limits.sh); then
    failed=$((failed + 1))
elif difference=$(diff <(echo "$limits") <(awk '/^\.TE/ { on = 0 } on { print } /^What\tBound\t/ { on = 1 }' man/p2pd-protocol.7)); then
    passed=$((passed + 1))
else
    printf 'daemon/core/base/limits.h (<) and man/p2pd-protocol.7 LIMITS (>) differ (tests/tools/limits.sh --write):\n%s\n' "$difference"
    failed=$((failed + 1))
fi
echo "$passed passed, $failed failed"
((failed == 0))
