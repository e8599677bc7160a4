#!/bin/sh
# What p2pd needs of the machine, in three lists: build (make, make demo), test (besides: make check, make bench) and lint
# (besides: make lint, make fuzz).
#
#   deps.sh LIST...             install with the machine's package manager the lists of which something is missing
#   deps.sh --say LIST...       install nothing: exit 1, with the packages and the command, if something is missing
#   deps.sh --programs LIST...  the programs of these lists
#
# Where root's rights are not to be had without a question that nobody would answer (no sudo; no terminal and a sudo that asks), it
# names the packages and the command and exits with 1 at once.
set -eu
cc=${CC:-cc} pkg_config=${PKG_CONFIG:-pkg-config}

programs() { # LIST
    case $1 in
    build) echo "$pkg_config" "${cc%% *}" protoc-c ;;
    # tests also look at the network and at processes of Linux; elsewhere its tools are others, or come with the system
    test) echo bats jq socat nc mandoc sqlite3 ps python3 "$([ "$(uname -s)" != Linux ] || echo ip pkill tcpdump)" ;;
    lint) echo clang clang-tidy clang-format cppcheck shellcheck ;;
    *) echo "deps: no such list: $1 (build, test, lint)" >&2; exit 2 ;;
    esac
}
libraries() { # LIST
    case $1 in
    build) echo libsodium libprotobuf-c inih sqlite3 libisal ;;
    test) echo cmocka ;;
    esac
}
# libev: Debian ships no .pc file, so ask the compiler.
has_ev() {
    # shellcheck disable=SC2046,SC2086 # several flags
    printf '#include <ev.h>\n' | $cc -E "-I$(brew --prefix 2>/dev/null || echo /usr/local)/include" ${CPPFLAGS-} \
        $("$pkg_config" --cflags libev 2>/dev/null) - >/dev/null 2>&1
}
missing() { # LIST: the names of what is not here, a line each
    for program in $(programs "$1"); do
        # ip and tcpdump are where an ordinary user's PATH may not lead.
        PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || echo "$program"
    done
    for library in $(libraries "$1"); do
        "$pkg_config" --exists "$library" 2>/dev/null || echo "$library"
    done
    [ "$1" != build ] || has_ev || echo libev
}

packages() { # MANAGER LIST
    case $1:$2 in
    apt-get:build) echo gcc libc6-dev make pkg-config libev-dev libsodium-dev libprotobuf-c-dev protobuf-c-compiler \
        libinih-dev libsqlite3-dev libisal-dev ;;
    apt-get:test) echo libcmocka-dev bats jq socat netcat-openbsd mandoc iproute2 procps tcpdump sqlite3 python3 ;;
    apt-get:lint) echo clang clang-tidy clang-format cppcheck shellcheck ;;
    dnf:build) echo gcc make pkgconf-pkg-config libev-devel libsodium-devel protobuf-c-devel protobuf-c-compiler \
        inih-devel sqlite-devel isa-l-devel findutils diffutils ;;
    dnf:test) echo libcmocka-devel bats jq socat netcat mandoc iproute procps-ng tcpdump sqlite python3 libasan libubsan ;;
    dnf:lint) echo clang clang-tools-extra cppcheck ShellCheck ;;
    pacman:build) echo gcc make pkgconf libev libsodium protobuf-c libinih sqlite isa-l ;;
    pacman:test) echo cmocka bats jq socat openbsd-netcat mandoc iproute2 procps-ng tcpdump python ;;
    pacman:lint) echo clang cppcheck shellcheck ;;
    brew:build) echo pkg-config libev libsodium protobuf-c inih sqlite isa-l ;;
    brew:test) echo bash cmocka bats-core jq socat mandoc python ;;
    brew:lint) echo llvm clang-format cppcheck shellcheck ;;
    pkg:build) echo gmake bash pkgconf libev libsodium protobuf-c inih sqlite3 isa-l ;;
    pkg:test) echo cmocka bats-core jq socat mandoc python3 ;;
    pkg:lint) echo llvm cppcheck hs-ShellCheck ;;
    esac
}
manager() {
    for name in apt-get dnf pacman brew pkg; do
        ! command -v $name >/dev/null || { echo $name; return; }
    done
}
install_words() { # MANAGER
    case $1 in
    apt-get) echo env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends ;;
    dnf) echo dnf install -y ;;
    pacman) echo pacman -S --needed --noconfirm ;;
    brew) echo brew install ;; # refuses to run as root, and needs no sudo
    pkg) echo pkg install -y ;;
    esac
}
run() { # COMMAND...: as root, where that needs no answer from somebody who is not there
    if [ "$manager" = brew ] || [ "$(id -u)" = 0 ]; then
        "$@" </dev/null
    elif ! command -v sudo >/dev/null; then
        echo 'deps: installing needs the rights of root, and there is no sudo here' >&2
        return 1
    elif [ -t 0 ]; then
        sudo "$@"
    else
        sudo -n "$@" </dev/null
    fi
}

action=install
case ${1-} in
--say | --programs)
    action=${1#--}
    shift
    ;;
esac
absent='' lists=''
for list in "$@"; do
    if [ "$action" = programs ]; then
        programs "$list"
        continue
    fi
    programs "$list" >/dev/null
    found=$(missing "$list" | paste -sd' ' -)
    [ -z "$found" ] || absent="$absent $found" lists="$lists $list"
done
[ -n "$absent" ] || exit 0

manager=$(manager)
if [ -z "$manager" ]; then
    echo "deps: missing:$absent; none of apt-get, dnf, pacman, brew and pkg is here to install it" >&2
    exit 1
fi
wanted=$(for list in $lists; do packages "$manager" "$list"; done | paste -sd' ' -)
if [ "$action" = install ]; then
    # An index that is partly out of reach may do all the same.
    [ "$manager" != apt-get ] || [ -z "$(command -v sudo)$(id -u | grep -x 0)" ] || run apt-get update -q || true
    # shellcheck disable=SC2046,SC2086 # words
    ! run $(install_words "$manager") $wanted || exit 0
fi
prefix='' who=''
if [ "$manager" != brew ] && [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null; then prefix='sudo '; else who=', as root'; fi
fi
{
    echo "deps: missing:$absent. What installs it$who:"
    echo "  $prefix$(install_words "$manager") $wanted"
} >&2
exit 1
