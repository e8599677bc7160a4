#!/usr/bin/env bash
# Which folder may include what: the order of the folders (house.order), and what each may include beside (includes.allow). A private
# header is for its own folder. `check-includes.sh FOLDER` reads another tree.
set -euo pipefail
tools=$(cd "$(dirname "$0")" && pwd)
cd "${1:-.}"
# One line an include: FILE NAME, the name with its < > or as a path.
grep -rnE '^ *# *include' --include='*.[ch]' daemon client shared |
    sed -nE 's/^([^:]+):[0-9]+: *# *include +(<[^>]+>|"([^"]+)").*/\1 \2/p' | tr -d '"' | sort -u |
    awk -v allow="$tools/includes.allow" -v order="$tools/house.order" '
        function folder_of(path) { return sub(/\/[^\/]*$/, "", path) ? path : "." }
        function complain(what) { print what; bad++ }
        # The folder, or the nearest above it, that has lines in includes.allow.
        function ruled(folder) {
            while (!(folder in lists) && sub(/\/[^\/]*$/, "", folder)) {}
            return folder
        }
        function check_layer(file, folder, name,   to, line, seen) {
            to = folder_of(name)
            for (line = 1; line <= n_lines; line++)
                if ((line, folder) in place) {
                    seen = 1
                    if ((line, to) in place && place[line, to] <= place[line, folder]) return
                }
            complain(seen ? file " must not include " name ": " to " is not below " folder " in house.order" : folder " is not in house.order")
        }
        BEGIN {
            while ((getline line < order) > 0) {
                if (line ~ /^#/) continue
                n_lines++
                n = split(line, word, " ")
                for (i = 1; i <= n; i++) place[n_lines, word[i]] = i
            }
            while ((getline line < allow) > 0) {
                sub(/#.*/, "", line)
                n = split(line, word, " ")
                if (n == 0) continue
                folder = word[1]; sub(/:$/, "", folder)
                lists[folder] = 1
                for (i = 2; i <= n; i++)
                    if (word[i] == "only:") { while (++i <= n) only[folder] = only[folder] " " word[i] " " }
                    else {
                        allowed[folder, word[i]] = 1
                        if (word[i] !~ /^</) narrowed[folder, folder_of(word[i])] = 1
                    }
            }
        }
        {
            file = $1; name = $2; folder = folder_of(file); rule = ruled(folder)
            if (name ~ /^</) {
                if (!((rule, name) in allowed)) complain(file " must not include " name)
                next
            }
            to = folder_of(name)
            check_layer(file, folder, name)
            if (to != folder && name ~ /_private\.h$/) complain(file " must not include " name ", which is private to " to)
            if (((rule, to) in narrowed) && !((rule, name) in allowed)) complain(file " must not include " name)
            if (rule in only && to != folder && index(only[rule], " " to " ") == 0) complain(file " must not include " name ": includes.allow")
        }
        END { print NR " includes checked, " bad + 0 " complaints"; exit bad > 0 }'
