#!/usr/bin/env bash
# isolate.sh COMMAND...: run what starts daemons, so that it meets nobody and leaves nothing.
#
# It gets a network and processes of its own (private-net.sh). Where neither is to be had it gets addresses at which nobody listens,
# P2PD_NET.1 to P2PD_NET.254, and a port that is free at all of them, P2PD_PORT: a p2pd that runs here is not met.
# It finds those programs alone which come with every system or stand in deps.sh: what a test needs beyond them is missing
# everywhere, not only on a machine where nobody has installed it.
# In the end no process and no folder of it may be left (helpers.bash makes them as /tmp/p2pd.$P2PD_RUN.*); else it has failed.
#
#   isolate.sh --say            says how it would run, if that is not in a network of its own
set -uo pipefail
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# ---- Addresses that are free ----
# Local addresses and ports of UDP sockets, as 0100007F:E298.
sockets() {
    cat /proc/net/udp /proc/net/udp6 2>/dev/null | awk '$2 ~ /:/ { print $2 }'
}
# Who is bound to all addresses has the port everywhere.
choose_port() {
    local port
    for ((port = 58008; port < 58108; port++)); do
        grep -qE "^(0{8}|0{32}):$(printf %04X "$port")$" <<<"$1" || break
    done
    echo "$port"
}
# Each process id its own: tests that run at the same time have different ones.
choose_net() {
    local i x y
    for ((i = $$; i < $$ + 25000; i++)); do
        x=$((100 + i / 250 % 100)) y=$((1 + i % 250))
        grep -qE "^..$(printf %02X%02X $y $x)7F:" <<<"$1" || break
    done
    echo "127.$x.$y"
}
choose() {
    local all
    all=$(sockets)
    [ "$(uname -s)" = Linux ] || return 0 # elsewhere there are those loopback addresses alone that somebody has made
    export P2PD_NET P2PD_PORT
    P2PD_NET=${P2PD_NET:-$(choose_net "$all")}
    P2PD_PORT=${P2PD_PORT:-$(choose_port "$all")}
}

# ---- Programs ----
every_system='[ awk base64 basename bash cat chgrp chmod chown cksum cmp comm cp cut date dd df diff dirname du echo env expand expr
    false find flock fold getconf getent grep groups gzip head hostname id install kill ln logger ls mkdir mkfifo mktemp mount mv nice
    nl nm nohup nproc numfmt od paste pr printf prlimit pwd readlink realpath renice rm rmdir script sed seq setpriv setsid sh sha256sum
    sleep sort split stat stdbuf stty su sync tac tail tar tee test timeout touch tr true truncate tty umount uname uniq unshare wc
    who whoami xargs yes'
# Tests that need these skip where they are missing; sanitizers name lines with the last two.
if_there='git systemd-analyze plutil xmllint addr2line llvm-symbolizer'

make_path() { # FOLDER
    local name found=()
    # The system's own first: elsewhere may be a script that needs more than itself.
    local PATH=/usr/bin:/bin:$PATH:/usr/sbin:/sbin
    for name in $every_system $if_there $("$tools/deps.sh" --programs build test) pgrep; do
        name=$(type -P "$name") && found+=("$name")
    done
    ln -sf "${found[@]}" "$1/"
}

# ---- What is left ----
# By what they were started with; grep, too, but its expressions do not fit themselves.
left_processes() {
    {
        grep -lsa "P2PD_RUN[=]$run" /proc/[0-9]*/environ
        grep -lsa "/tmp/p2pd[.]${run}[.]" /proc/[0-9]*/cmdline
    } | cut -d/ -f3 | sort -u
}
left_folders() {
    find /tmp -maxdepth 1 -name "p2pd.$run.*"
}
await_nothing() {
    local until=$((SECONDS + 5))
    while [ -n "$(left_processes)" ]; do
        ((SECONDS < until)) || return 1
        sleep 0.05
    done
}
# TAP of two more tests, which only show if they fail.
tell_left() {
    local code=$1 pid
    if ! await_nothing; then
        echo "not ok 1000 no process is left behind"
        for pid in $(left_processes); do
            echo "# $pid $(tr '\0' ' ' <"/proc/$pid/cmdline")"
            kill -KILL "$pid"
        done 2>/dev/null
        code=1
    fi
    if [ -n "$(left_folders)" ]; then
        echo "not ok 1001 no folder is left behind"
        left_folders | sed 's/^/# /'
        left_folders | xargs rm -rf
        code=1
    fi
    return "$code"
}

if [ "${1-}" = --say ]; then
    "$tools/private-net.sh" true 2>&1 | sed "s/\$/; so tests choose addresses that are free/"
    exit 0
fi
if [ "${1-}" != --inside ] && "$tools/private-net.sh" true 2>/dev/null; then
    exec "$tools/private-net.sh" "$0" --inside "$@"
fi
if [ "${1-}" = --inside ]; then
    shift
else
    choose
fi
path=$(mktemp -d /tmp/p2pd.XXXXXX) && make_path "$path" || exit 1
run=${path##*.}
trap 'rm -rf "$path"' EXIT
trap 'tell_left 1; exit 1' HUP INT TERM
# Under nohup(1), or as a background job of a script, signals are ignored that tests send.
own_signals=()
! env --default-signal true 2>/dev/null || own_signals=(env --default-signal)
P2PD_RUN=$run PATH=$path ${own_signals[@]+"${own_signals[@]}"} "$@"
tell_left $?
