#!/usr/bin/env bash
# What runs the tests and what installs their tools: the lists of deps.sh, a machine without the means, a hanging test, what a test
# leaves, options of make.
# shellcheck disable=SC2016 # scripts for other shells
set -uo pipefail
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$tools/../.." && pwd)
dir=$(mktemp -d /tmp/p2pd-tools.XXXXXX)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0 patience=${CHECK_PATIENCE:-1}

expect() { # WHAT COMMAND...
    local what=$1
    shift
    echo "# $what"
    if "$@" >"$dir/expect" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "not as expected: $what ($*)"
        head -n 20 "$dir/expect" "$dir/out" 2>/dev/null
        cat "$dir/late" 2>/dev/null && rm "$dir/late"
    fi
}
says() { # PATTERN, of what the last run printed
    grep -qE -- "$1" "$dir/out"
}
is_silent_about() { # PATTERN
    ! says "$1"
}
ran() { # CODE COMMAND...: what it prints goes to $dir/out, and it takes no minute
    local want=$1 got=0
    shift
    timeout $((60 * patience)) "$@" >"$dir/out" 2>&1 </dev/null || got=$?
    [ $got != 124 ] || echo "timed out: $((60 * patience)) s were not enough for: $*" | tee -a "$dir/late"
    [ $got = "$want" ] || { echo "exit $got, not $want"; false; }
}
program() { # FOLDER NAME LINE...: a program of our own making
    mkdir -p "$dir/$1"
    printf '%s\n' '#!/bin/sh' "${@:3}" >"$dir/$1/$2"
    chmod 755 "$dir/$1/$2"
}
borrow() { # FOLDER NAME...: programs of this machine
    local name
    mkdir -p "$dir/$1"
    for name in "${@:2}"; do
        ln -sf "$(type -P "$name")" "$dir/$1/$name"
    done
}

# ---- A machine that has nothing but a package manager ----
bare() { # FOLDER MANAGER USER-ID
    borrow "$1" sh env paste grep uname
    program "$1" "$2" 'echo "$0 $*" >>"${0%/*}/called"'
    program "$1" id "echo $3"
}
deps() { # FOLDER CODE ARGUMENT...
    ran "$2" env PATH="$dir/$1" sh "$tools/deps.sh" "${@:3}"
}
bare user apt-get 1000
expect 'a user without sudo is refused at once' deps user 1 build
expect 'the command' says '^  env DEBIAN_FRONTEND=noninteractive apt-get install .* libsodium-dev '
expect 'what is missing' says 'missing:.* protoc-c.* libev'
expect 'no package of another list' is_silent_about 'clang|bats'
expect 'nothing was tried' test ! -e "$dir/user/called"

bare asks apt-get 1000
program asks sudo '[ "$1" = -n ] || exec sleep 1000' 'echo "sudo: a password is required" >&2; exit 1'
expect 'where sudo asks and nobody is there, at once too' deps asks 1 build test
expect 'the command with sudo' says '^  sudo env .* libsodium-dev .* bats '
expect 'nothing was tried' test ! -e "$dir/asks/called"

bare lets apt-get 1000
program lets sudo '[ "$1" != -n ] || shift' 'exec "$@"'
expect 'a sudo that does not ask' deps lets 0 build
cp "$dir/lets/called" "$dir/out"
expect 'it installs the list' says 'install .* gcc .* protobuf-c-compiler '
expect 'and no other' is_silent_about 'clang|bats|jq'
bare root apt-get 0
expect 'root needs no sudo' deps root 0 test
cp "$dir/root/called" "$dir/out"
expect 'another list' says 'install .* bats jq '
for manager in apt-get dnf pacman brew pkg; do
    bare "only-$manager" $manager 0
    for list in build test lint; do
        expect "$manager has the list $list" deps "only-$manager" 1 --say $list
        expect "$manager: the command" says "^  .*$manager install|^  $manager -S "
        expect "$manager: packages of $list" says "$(case $list in build) echo protobuf-c ;; test) echo socat ;; lint) echo cppcheck ;; esac)"
    done
done
expect 'a list that is none' deps root 2 everything

# ---- make ----
plain_make() { # ARGUMENT...
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -C "$top" --no-print-directory "$@"
}
tests_of() { # OPTION...: the names of what check would run
    plain_make -n check "$@" | grep -oE "'[^|']+\|[0-9]+\|" | sort
}
expect 'a static client is tested like another' diff <(tests_of) <(tests_of STATIC=1)
expect 'check runs checks without daemons' grep -q pure <(tests_of STATIC=1)
borrow poor sh uname make sed find rm
expect 'uninstall needs neither compiler nor libraries' ran 0 env PATH="$dir/poor" CC=cc make -C "$top" -n uninstall DESTDIR=/nowhere
expect 'uninstall takes the daemon' says '/nowhere.*/p2pd'
borrow poor env paste grep id
program poor apt-get
expect 'a build without them says what is missing' ran 2 env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL PATH="$dir/poor" make -C "$top" -n all
expect 'and the command' says 'apt-get install .* libsodium-dev'

# ---- Tests that hang, fail, or take their time ----
sum() { # CODE TEST...
    ran "$1" env -u CHECK_PATIENCE "$tools/summary.sh" "$dir/sum" "${@:2}"
}
expect 'slow is not hung' sum 0 'slow|2|for i in 1 2 3; do sleep 1; echo "ok $i"; done; echo 1..3'
expect 'slow: all counted' says '^3 passed, 0 failed$'
expect 'one that hangs' sum 1 'hangs|1|echo 1..3; echo ok 1; (trap "" TERM; exec sleep 1000) & exec sleep 1000'
expect 'it says so' says 'hangs: timed out: nothing was printed for 1 s, 1 passed'
expect 'its other results are missing' says '^1 passed, 2 failed$'
expect 'and so does the end' says '^timed out: hangs$'
expect "a test's own limit" sum 1 'late|9|echo 1..1; echo "# timed out: waited 60 s in vain for: x"; echo not ok 1; exit 1'
expect 'its words stand for a count' says 'late: timed out: waited 60 s in vain for: x, 0 passed'
program prints items 'echo "one|9|true"' 'echo "two|9|echo ok 1"'
expect 'a command that prints items' sum 0 "$dir/prints/items" -- 'three|9|true'
expect 'all are run' says '^3 passed, 0 failed$'
expect 'one by one' says '^ok    two: 1 passed'
expect 'a command that prints none' sum 1 true
expect 'has failed' says '^0 passed, 1 failed$'
long=$((100000 + $$)) # a sleep that is ours
program stop run "CHECK_JOBS=1 timeout -s INT 2 $tools/summary.sh $dir/sum 'long|99|exec sleep $long' 'next|99|touch $dir/next'" 'sleep 1' \
    "test -d $dir/sum/begun.0" "! pgrep -f '^sleep $long\$'"
expect 'interrupted' ran 0 "$dir/stop/run"
expect 'it begins nothing more' test ! -e "$dir/next"
expect 'two lanes' ran 0 env CHECK_JOBS=2 "$tools/summary.sh" "$dir/sum" 'a|9|sleep 1; test -e '"$dir/waits" -- "b|9|touch $dir/waits"
expect 'one takes from behind the --' says '^2 passed, 0 failed$'
expect 'a crash' sum 1 'crash|9|kill -SEGV $$'
expect 'one failure' says '^0 passed, 1 failed$'

# ---- Isolation ----
isolated() { # CODE COMMAND...
    ran "$1" "$tools/isolate.sh" bash -c "$2"
}
program unshared unshare 'echo "unshare: Operation not permitted" >&2; exit 1'
for kind in private shared; do
    [ $kind = private ] || PATH=$dir/unshared:$PATH
    expect "$kind: nothing is left" isolated 0 true
    expect "$kind: the code" isolated 7 'exit 7'
    expect "$kind: a process that is left" isolated 1 'sleep 1000 >/dev/null 2>&1 & true'
    expect "$kind: it is named" says '^# [0-9]+ sleep 1000'
    expect "$kind: a folder that is left" isolated 1 'mkdir /tmp/p2pd.$P2PD_RUN.left'
    expect "$kind: it is named" says '^# /tmp/p2pd.*left$'
    ! env --default-signal true 2>/dev/null ||
        expect "$kind: a signal that was ignored no longer is" ran 0 nohup "$tools/isolate.sh" bash -c '! (kill -HUP $BASHPID; true)'
    expect "$kind: listed programs are there, others are not" isolated 0 'type -P jq socat ps && ! type -P make'
done
expect 'a network that is shared: it says so' ran 0 "$tools/isolate.sh" --say
expect 'with the reason' says 'no network of its own.*not permitted; so tests choose addresses that are free'
program taken run 'socat -u UDP4-RECV:58008 /dev/null &' 'until grep -q 00000000:E298 /proc/net/udp; do sleep 0.05; done' \
    "PATH=$dir/unshared:\$PATH $tools/isolate.sh sh -c 'echo port \$P2PD_PORT net \$P2PD_NET'" 'kill $!'
PATH=${PATH#"$dir/unshared:"}
if "$tools/private-net.sh" true 2>/dev/null; then
    expect 'somebody has the default port' ran 0 "$tools/private-net.sh" "$dir/taken/run"
    expect 'another one is taken, and a part of loopback' says '^port 58(009|[01][1-9].) net 127\.1[0-9]*\.[0-9]+$'
else
    echo '# not tried, that somebody has the default port: in a network that is shared tests beside this one may have it'
fi

program ours p2pd 'echo "$@"'
our_p2pd() { # CODE PORT
    ran "$1" env P2PD_RUN="${dir##*.}" P2PD_PORT="$2" P2PD_NET=127.5.6 P2PD_BIN="$dir/ours" bash -c \
        '. "$0/tests/e2e/helpers.bash" && "$P2PD_BIN/p2pd" --listen "$NET.2" --peer "$NET.3:77" name' "$top"
}
expect 'a port that is not the default is said for tests' our_p2pd 0 58055
rm -rf "/tmp/p2pd.${dir##*.}"
expect 'to our addresses, where they have none' says '^--listen 127.5.6.2:58055 --peer 127.5.6.3:77 name$'
expect 'the default port is not said' our_p2pd 0 58008
expect 'words are left alone' says '^--listen 127.5.6.2 --peer 127.5.6.3:77 name$'

echo "$passed passed, $failed failed"
((failed == 0))
