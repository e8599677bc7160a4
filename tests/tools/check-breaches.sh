#!/usr/bin/env bash
# Do the checks of the house see what they are for? A small house in order, then one breach of each rule planted in it: each has to
# fail, with the right words. With check-includes.sh, check-house.sh, check-columns.sh and check-names.sh as they are.
set -uo pipefail
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$(mktemp -d /tmp/p2pd-breaches.XXXXXX)
trap 'rm -rf "$dir"' EXIT
cc=${CC:-cc}
passed=0 failed=0
cd "$dir" || exit 1

file() { # PATH LINE...
    mkdir -p "$(dirname "$1")"
    printf '%s\n' "${@:2}" >"$1"
}
# Seven rooms, a client, and two tests; nothing but what is allowed.
build_house() {
    rm -rf daemon client shared tests build tools
    mkdir -p tools
    cp "$tools"/check-*.sh "$tools"/*.awk "$tools"/house.order "$tools"/includes.allow tools/
    file tools/house.allow 'mutual daemon/core/link/link link_cell'
    file shared/text.h 'int text(void);'
    file shared/text.c '#include "shared/text.h"' 'int text(void) { return 1; }'
    file proto/none.c 'int none(void) { return 0; }'
    file daemon/core/base/base.h 'int base(void);'
    file daemon/core/base/base.c '#include "daemon/core/base/base.h"' 'int base(void) { return 1; }'
    file daemon/core/wire/onion.h 'int onion(void);'
    file daemon/core/wire/onion.c '#include "daemon/core/base/base.h"' '#include "daemon/core/wire/onion.h"' \
        'int onion(void) { return base(); }'
    file daemon/core/seam/types.h '#include "daemon/core/base/base.h"'
    file daemon/core/link/link_private.h '/* int not_one(void); */' 'int cell(void);' 'int link_all(void);' \
        'static inline int small(int (*of)(void)) {' '    return of();' '}' 'extern int (*hook)(int);' 'typedef int cell_of(int);'
    file daemon/core/link/link.c '#include "daemon/core/link/link_private.h"' 'int link_all(void) { return cell(); }'
    file daemon/core/link/link_cell.c '#include "daemon/core/link/link_private.h"' 'int cell(void) { return link_all(); }'
    file daemon/core/route/path.h 'int path(void);'
    file daemon/core/route/path.c '#include "daemon/core/route/path.h"' '#include "daemon/core/wire/onion.h"' \
        'int path(void) { return onion(); }'
    file daemon/core/route/relay.c 'int relay(void);' 'int relay(void) { return 2; }'
    file client/ctl/main.c '#include "shared/text.h"' 'int main(void) { return text(); }'
    file tests/unit/route/test_path.c '/* link: daemon/a daemon/b daemon/c daemon/d daemon/e daemon/f daemon/g */' 'int main(void);'
}
compile() {
    local source
    while read -r source; do
        mkdir -p "build/$(dirname "$source")"
        "$cc" -I. -c -o "build/${source%.c}.o" "$source" || return 1
    done < <(find daemon client shared proto -name '*.c')
}
includes() {
    tools/check-includes.sh
}
house() {
    compile && tools/check-house.sh build
}
columns() {
    # shellcheck disable=SC2046 # no spaces in them
    tools/check-columns.sh $(find daemon client shared tests -name '*.[ch]')
}
names() {
    tools/check-names.sh
}
passes() { # CHECK WHAT
    if "$1" >out 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "not as expected: $1 complains: $2"
        head -n 20 out
    fi
}
# It must fail, say this line, and nothing else: one breach, one complaint.
fails() { # CHECK WHAT LINE
    echo "# $2"
    if ! "$1" >out 2>&1 && grep -qxF -- "$3" out && grep -qE '(^|[ ,])1 complaints$|columns$' out; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "not as expected: $2: $1 does not say (or not alone): $3"
        head -n 20 out
    fi
    build_house
}

build_house
for check in includes house columns names; do
    passes $check 'nothing is wrong'
done

# ---- check-includes.sh ----
file daemon/core/wire/onion.c '#include "daemon/core/route/path.h"' 'int onion(void) { return path(); }'
fails includes 'an include upwards' 'daemon/core/wire/onion.c must not include daemon/core/route/path.h: daemon/core/route is not below daemon/core/wire in house.order'
file daemon/core/route/path.c '#include "daemon/core/link/link_private.h"' 'int path(void) { return cell(); }'
fails includes 'a private header from outside' 'daemon/core/route/path.c must not include daemon/core/link/link_private.h, which is private to daemon/core/link'
file daemon/core/seam/types.h '#include "daemon/core/wire/onion.h"'
fails includes 'seam includes wire' 'daemon/core/seam/types.h must not include daemon/core/wire/onion.h: includes.allow'
file client/ctl/main.c '#include "daemon/core/base/base.h"' 'int main(void) { return base(); }'
fails includes 'the client includes the daemon' 'client/ctl/main.c must not include daemon/core/base/base.h: daemon/core/base is not below client/ctl in house.order'
file daemon/core/base/base.c ' #  include <sys/socket.h>' 'int base(void) { return 1; }'
fails includes 'the core includes the system' 'daemon/core/base/base.c must not include <sys/socket.h>'
file daemon/core/wire/onion.c '#include "../base/base.h"' 'int onion(void) { return base(); }'
fails includes 'a way round by ..' 'daemon/core/wire/onion.c must not include ../base/base.h: ../base is not below daemon/core/wire in house.order'
file daemon/core/attic/old.c '#include "daemon/core/base/base.h"'
fails includes 'a folder that has no place' 'daemon/core/attic is not in house.order'

# ---- check-house.sh ----
file daemon/core/wire/onion.c 'int path(void);' 'int onion(void);' 'int onion(void) { return path(); }'
file daemon/core/route/path.c 'int path(void);' 'int path(void) { return 3; }'
fails house 'a call upwards, by a declaration written by hand' 'check-house: layer daemon/core/wire/onion uses path of daemon/core/route/path'
file daemon/core/wire/onion.c 'extern int table[2];' 'int onion(void);' 'int onion(void) { return table[0]; }'
file daemon/core/route/path.c 'int table[2] = {1, 2};'
fails house 'data of a higher folder' 'check-house: layer daemon/core/wire/onion uses table of daemon/core/route/path'
file daemon/core/route/path.c 'int path(void), relay(void);' 'int path(void) { return relay(); }'
file daemon/core/route/relay.c 'int path(void), relay(void);' 'int relay(void) { return path(); }'
fails house 'two files that call each other' 'check-house: mutual daemon/core/route/path relay'
file daemon/core/link/link_cell.c '#include "daemon/core/link/link_private.h"' 'int cell(void) { return 4; }'
fails house 'an exception that nobody needs any more' \
    'check-house: no longer so, take it off house.allow: mutual daemon/core/link/link link_cell'
file tools/house.allow 'mutual daemon/core/link/link link_cell' 'layer daemon/core/wire/onion uses path of daemon/core/route/path'
file daemon/core/wire/onion.c 'int path(void);' 'int onion(void);' 'int onion(void) { return path(); }'
file daemon/core/route/path.c 'int path(void);' 'int path(void) { return 3; }'
fails house 'an exception from the order of the folders' \
    'check-house: house.allow has no exceptions of this kind: layer daemon/core/wire/onion uses path of daemon/core/route/path'
prototypes() { # N: beside the two that stand there
    local i
    for ((i = 0; i < $1; i++)); do
        printf 'struct long_name\n    *a_function_%d(int (*callback)(void *),\n        unsigned n) __attribute__((pure));\n' "$i"
    done >>daemon/core/link/link_private.h
}
prototypes 28
passes house '30 prototypes'
build_house
prototypes 29
fails house 'a 31st prototype' 'check-house: prototypes daemon/core/link/link_private.h'
file tests/unit/route/test_path.c '/* link: daemon/a daemon/b daemon/c daemon/d daemon/e daemon/f daemon/g daemon/h */' 'int main(void);'
fails house 'an eighth object' 'check-house: objects tests/unit/route/test_path.c'
file tests/unit/route/test_path.c '/* link: libp2pd-core.a */' 'int main(void);'
fails house 'the whole core' 'check-house: objects tests/unit/route/test_path.c'

# ---- check-columns.sh ----
line=$(printf 'x%.0s' {1..100})
file shared/text.h 'int text(void);' "/* link: ${line:11} */"
fails columns 'what names objects, but not as the first line' 'shared/text.h:2: 101 columns'
file shared/text.h "$line" 'int text(void);'
passes columns 'a line of 100 columns'
file shared/text.h "${line}x" 'int text(void);'
fails columns 'a line of 101 columns' 'shared/text.h:1: 101 columns'

# ---- check-names.sh ----
file daemon/core/base/base.h '/* As daemon/core/onion.c has it. */' 'int base(void);'
fails names 'a file that has moved' 'daemon/core/base/base.h: there is no daemon/core/onion.c'
file daemon/core/base/base.h '/* See ../notes/plan.txt. */' 'int base(void);'
fails names 'a page outside of the tree' 'daemon/core/base/base.h: there is no ../notes/plan.txt'

echo "$passed passed, $failed failed"
((failed == 0))
