#!/usr/bin/env bash
# A field has one writer: those that house.writers names are assigned to in one file alone. `check-writers.sh FOLDER` reads another tree.
set -euo pipefail
tools=$(cd "$(dirname "$0")" && pwd)
cd "${1:-.}"
bad=0
n=0
while read -r folder file fields; do
    for field in $fields; do
        n=$((n + 1))
        case $field in *'->'*) name="\b$field" ;; *) name="->$field" ;; esac
        assigned="$name *(=[^=]|[-+|&]=|<<=|\+\+|--)|(\+\+|--)([a-z_]+->)*[a-z_]*$name\b"
        # A name that is gone would be checked for nothing.
        if ! grep -qE -e "$assigned" "$folder/$file"; then
            echo "check-writers: $folder/$file does not write $field: house.writers"
            bad=$((bad + 1))
        fi
        while read -r place; do
            echo "check-writers: $place: $field is written in $folder/$file alone"
            bad=$((bad + 1))
        done < <(grep -rnE --include='*.[ch]' -e "$assigned" "$folder" | cut -d: -f1,2 | grep -v "^$folder/$file:")
    done
done < <(sed -e 's/#.*//' -e '/^ *$/d' "$tools/house.writers")
echo "$n fields checked, $bad complaints"
((bad == 0))
