#!/usr/bin/env bash
# Every file that sources, scripts and manuals name by its path is there: what moves takes its mentions along. Nothing is named that
# stands outside of the tree.
set -euo pipefail
folders=()
for folder in daemon client shared proto tests man; do
    [ ! -d "$folder" ] || folders+=("$folder")
done
bad=0
while IFS=: read -r file name; do
    # Made by the build, or an example. check-breaches.sh names files of a house of its own.
    case $name in proto/*.pb-c.[ch] | man/p2pd.conf) continue ;; esac
    [ -e "$name" ] && [ "${name#..}" = "$name" ] && continue
    echo "$file: there is no $name"
    bad=$((bad + 1))
done < <(grep -rIoE --include='*.[ch]' --include='*.sh' --include='*.bash' --include='*.bats' --include='*.md' --include='*.[1578]' \
    --exclude=check-breaches.sh --exclude-dir=corpus --exclude-dir=build \
    '(\.\.|\b(daemon|client|shared|tests|proto|man))/[a-zA-Z_0-9./-]+\.(c|h|sh|bats|md|txt|json|proto|conf)\b' "${folders[@]}" |
    sed -E 's/^([^:]+):(.*)$/\1:\2/' | sort -u)
echo "$bad complaints"
((bad == 0))
