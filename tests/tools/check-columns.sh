#!/usr/bin/env bash
# No line beyond column 100, which is where comments end: check-columns.sh FILE... A test's first line names its objects, however many.
set -uo pipefail
awk 'length > 100 && !(FNR == 1 && /^\/\* link:/) { print FILENAME ":" FNR ": " length " columns"; bad++ } END { exit bad > 0 }' "$@"
