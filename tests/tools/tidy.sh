#!/usr/bin/env bash
# clang-tidy over every source of the two programs, two at a time: tidy.sh CPPFLAGS...
set -euo pipefail
find daemon client shared -name '*.c' -print0 | sort -z |
    xargs -0 -P 2 -I{} clang-tidy --quiet {} -- -std=gnu11 "$@" 2>/dev/null
