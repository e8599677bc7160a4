#!/usr/bin/env bash
# The core asks the system for nothing: every symbol that its objects import is on tests/tools/pure.allow, defined in the core
# itself, in shared/address or in the generated wire format; and none of its objects holds writable data.
# Usage: check-pure.sh BUILD-FOLDER (of an unsanitized build)
set -euo pipefail
build=$1
allow=$(dirname "$0")/pure.allow
core=()
for source in daemon/core/*/*.c daemon/core/*/*/*.c; do # not what lies about from sources that are gone
    core+=("$build/${source%.c}.o")
done
own=("${core[@]}" "$build/shared/address.o" "$build/proto/wire.pb-c.o")
for object in "${own[@]}"; do
    [ -f "$object" ] || { echo "check-pure: $object: not built" >&2; exit 1; }
done

defined=$(nm --defined-only -g "${own[@]}" | awk 'NF == 3 { print $3 }' | sort -u)
# A glob a line; `file: glob` allows it to that object alone.
patterns() { # OBJECT (without folder and .o)
    sed -e 's/ *#.*//' -e '/^$/d' "$allow" | awk -v object="$1" '$1 ~ /:$/ { if ($1 != object ":") next; $0 = $2 } { print }'
}

bad=0
complain() {
    echo "check-pure: $1: $2"
    bad=$((bad + 1))
}
for object in "${own[@]}"; do
    name=$(basename "$object" .o)
    mapfile -t globs < <(patterns "$name")
    while read -r symbol; do
        grep -qxF -- "$symbol" <<<"$defined" && continue
        # Whatever the list says: hidden randomness is what would make a run unrepeatable.
        case $symbol in
        crypto_*_seed_keypair) ;;
        randombytes* | crypto_pwhash* | crypto_*_keygen | crypto_box_seal* | crypto_*_keypair)
            complain "$object" "imports $symbol, which draws its own randomness or stalls"
            continue
            ;;
        esac
        for glob in "${globs[@]}"; do
            # shellcheck disable=SC2053 # a glob is meant
            [[ $symbol == $glob ]] && continue 2
        done
        complain "$object" "imports $symbol"
    done < <(nm -u "$object" | awk '{ sub(/@.*/, "", $NF); print $NF }')
done
for object in "${core[@]}"; do
    while read -r line; do
        complain "$object" "writable data: $line"
    done < <(nm -f sysv "$object" | awk -F'|' '
        $7 ~ /\.(data|bss|tdata|tbss)|COM/ && $7 !~ /\.data\.rel\.ro/ { gsub(/ /, ""); print $1 " in " $7 }')
done
echo "${#own[@]} objects checked, $bad complaints"
((bad == 0))
