#!/usr/bin/env bash
# The golden traces against what the simulator prints now: check.sh SIM [--write]. --write makes what is printed now the golden one.
set -uo pipefail
sim=$1 write=${2-} here=$(dirname "$0") failed=0
if [ "$(printf '\1\0' | od -An -tu2 | tr -d ' ')" != 1 ]; then # what is drawn from random bytes is another number there
    echo "1..1"
    echo "ok 1 # skip golden traces: they are those of a little-endian machine"
    exit 0
fi
number=0
for trace in join:3 push:5; do
    name=${trace%:*}
    file=$here/$name.txt
    number=$((number + 1))
    if [ "$write" = --write ]; then
        { sed '/^$/q' "$file" && "$sim" -s 1 -n "${trace#*:}" "golden-$name" | grep -vE '^#|^[0-9]+ passed'; } >"$file.new" && mv "$file.new" "$file"
    elif diff -U 4 --label "golden $name" --label now <(sed '1,/^$/d' "$file") \
        <("$sim" -s 1 -n "${trace#*:}" "golden-$name" | grep -vE '^#|^[0-9]+ passed') >"${TMPDIR:-/tmp}/golden.$$"; then
        echo "ok $number - golden $name"
    else
        failed=1
        head -n 200 "${TMPDIR:-/tmp}/golden.$$"
        echo "# how to read it: the head of $file; if it is meant: $0 $sim --write, and say in the commit what changed and why"
        echo "not ok $number - golden $name"
    fi
    rm -f "${TMPDIR:-/tmp}/golden.$$"
done
[ "$write" = --write ] || echo "1..$number"
exit $failed
