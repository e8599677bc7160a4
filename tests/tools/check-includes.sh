#!/usr/bin/env bash
# Which folder may include what: tests/tools/includes.allow. Rooms of the core also keep to their floors there.
set -euo pipefail
allow=$(dirname "$0")/includes.allow
# One line an include: FILE NAME, the name with its < > or as a path.
grep -rnE '^ *# *include' --include='*.[ch]' daemon client shared |
    sed -nE 's/^([^:]+):[0-9]+: *# *include +(<[^>]+>|"([^"]+)").*/\1 \2/p' | tr -d '"' | sort -u |
    awk -v allow="$allow" '
        function room(path) { sub(/.*\//, "", path); sub(/\.[ch]$/, "", path); return path }
        function part_of(path, whole) { return path == whole || index(path, whole "_") == 1 }
        # topology_walk.c and noise_private.h live on the floor of their room.
        function floor_of(path,   r, best) {
            if (path in files) return files[path]
            r = room(path); best = ""
            for (known in floors) if (part_of(r, known) && length(known) > length(best)) best = known
            return best == "" ? -1 : floors[best]
        }
        function room_of(path,   r, best) {
            r = room(path); best = ""
            for (known in floors) if (part_of(r, known) && length(known) > length(best)) best = known
            return best
        }
        function is_allowed(folder, name,   i, n, list) {
            n = split(allowed[folder], list, " ")
            for (i = 1; i <= n; i++) {
                if (list[i] == name) return 1
                if (list[i] ~ /\/\*$/ && index(name, substr(list[i], 1, length(list[i]) - 1)) == 1 &&
                    substr(name, length(list[i])) !~ /\//) return 1
            }
            return 0
        }
        BEGIN {
            while ((getline line < allow) > 0) {
                sub(/#.*/, "", line)
                n = split(line, word, " ")
                if (n == 0) continue
                if (word[1] == "floor") {
                    for (i = 3; i <= n; i++)
                        if (word[i] ~ /\.h$/) files["daemon/core/" word[i]] = word[2]; else floors[word[i]] = word[2]
                    continue
                }
                folder = word[1]; sub(/:$/, "", folder)
                for (i = 2; i <= n; i++) allowed[folder] = allowed[folder] " " word[i]
            }
        }
        {
            folder = $1; sub(/\/[^\/]*$/, "", folder)
            if (!is_allowed(folder, $2)) { print $1 " must not include " $2; bad++ }
            if (folder == "daemon/core" && $2 ~ /^daemon\/core\//) {
                from = floor_of($1); to = floor_of($2)
                if (from < 0) { print $1 " has no floor in " allow; bad++ }
                else if (to < 0) { print $2 " has no floor in " allow; bad++ }
                else if (to >= from && room_of($1) != room_of($2)) {
                    print $1 " (floor " from ") must not include " $2 " (floor " to ")"; bad++
                }
            }
        }
        END { print NR " includes checked, " bad + 0 " complaints"; exit bad > 0 }'
