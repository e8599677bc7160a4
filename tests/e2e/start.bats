#!/usr/bin/env bats
# What the start needs of its machine: p2pd -t says what it would refuse, with file and line, and nothing is changed by asking;
# groups, users, addresses that come late, memory that cannot be locked.
load helpers

setup() {
    new_folder
    chmod 755 "$DIR"
    CONF=$DIR/p2pd.conf
}
teardown() {
    stop_all
}

configure() { # LINES: with nothing of this machine's own in reach
    printf '[node]\nstate = %s/state\n[network]\nlisten = %s.2\n[control]\nsocket = %s/run/sock\n%b' \
        "$DIR" "$NET" "$DIR" "$1" >"$CONF"
}
refused() { # LINE WORDS LINES [CODE-OF-THE-START]
    local before
    configure "$3"
    before=$(find "$DIR" | sort)
    expect_exit 2 "$P2PD_BIN/p2pd" -t -c "$CONF"
    [[ $ERR == *"$CONF:$1: "*"$2"* ]] || { echo "$3 -> $ERR"; false; }
    [ "$(find "$DIR" | grep -v '/\(out\|err\)$' | sort)" = "$(grep -v '/\(out\|err\)$' <<<"$before")" ]
    expect_exit "${4-2}" timeout "$(patient 20)" "$P2PD_BIN/p2pd" -c "$CONF"
    [ "${4-2}" = 1 ] || [[ $ERR == *"$CONF:$1: "*"$2"* ]]
}
as_user() { # USER GROUP COMMAND...
    local user=$1 group=$2
    shift 2
    setpriv --reuid "$user" --regid "$group" --clear-groups "$@"
}
need_root() {
    [ "$(id -u)" = 0 ] && as_user 65534 65534 true || skip 'not root, or no setpriv here'
}
finds() { # TOPIC WORDS: the doctor does
    ctl 2 doctor --json | jq -e --arg topic "$1" --arg words "$2" '.[] | select(.topic == $topic and (.text | contains($words)))'
}
finds_nothing_of() { # TOPIC
    ctl 2 doctor --json | jq -e --arg topic "$1" 'all(.[]; .topic != $topic)'
}

@test "-t: a secret that the start refuses" {
    secret="[network]\nsecret_file = $DIR/secret\n"
    refused 8 'no such file' "$secret"
    : >"$DIR/secret"
    chmod 600 "$DIR/secret"
    refused 8 'is empty' "$secret"
    printf '\xef\xbb\xbf\r\n' >"$DIR/secret"
    refused 8 'is empty' "$secret"
    echo secret >"$DIR/secret"
    chmod 644 "$DIR/secret"
    refused 8 'chmod 600' "$secret"
    chmod 600 "$DIR/secret"
    head -c 1025 /dev/zero >"$DIR/secret"
    refused 8 '1024 bytes' "$secret"
    rm "$DIR/secret"
    mkdir "$DIR/secret"
    refused 8 'not a regular file' "$secret"
    rmdir "$DIR/secret"
    printf 'right\r\n' >"$DIR/secret"
    chmod 600 "$DIR/secret"
    configure "$secret"
    expect_exit 0 "$P2PD_BIN/p2pd" -t -c "$CONF"
    [ "$OUT" = 'the configuration is valid' ] && [ -z "$ERR" ]
}

@test "-t: a group that is not there" {
    refused 7 'there is no group no-such-group' 'group = no-such-group\n'
}

@test "-t: folders that cannot be" {
    : >"$DIR/file"
    configure "[files]\ndirectory = $DIR/none/deep\n"
    expect_exit 2 "$P2PD_BIN/p2pd" -t -c "$CONF"
    [[ $ERR == *"$CONF:8: files.directory: "*'only the last one is made'* ]]
    configure "[files]\ndirectory = $DIR/file\n"
    expect_exit 2 "$P2PD_BIN/p2pd" -t -c "$CONF"
    [[ $ERR == *"$CONF:8: files.directory: "*'not a folder'* ]]

    refused 7 'no such folder' "socket = $DIR/none/run/sock\n" 1
    refused 7 'not a folder' "socket = $DIR/file/sock\n" 1
    refused 7 'is no socket' "socket = $DIR/file\n" 1
    refused 7 'longer than' "socket = $DIR/$(printf '%0100d' 0)\n" 1
    mkdir -m 777 "$DIR/open"
    refused 7 'anyone can write' "socket = $DIR/open/sock\n" 1
    rm -r "$DIR/state" # the start made it: these are told after it

    refused 8 'Not a directory' "[node]\nstate = $DIR/file/state\n" 1
    refused 8 'not a folder' "[node]\nstate = $DIR/file\n" 1
    chmod 770 "$DIR/open"
    refused 8 'chmod go-w' "[node]\nstate = $DIR/open\n" 1
}

@test "-t: addresses" {
    refused 8 'every address of a machine' '[network]\npeer = 0.0.0.0\n'
    refused 8 'every address of a machine' '[network]\npeer = [::]:58008\n'
    refused 8 'multicast' '[network]\npeer = 224.0.0.1\n'
    refused 8 'broadcast' '[network]\npeer = 255.255.255.255\n'
    refused 8 'zone' '[network]\npeer = fe80::1\n'
    refused 8 'zone' '[network]\npeer = [fe80::1%%lo]:58008\n'
    refused 8 'port' '[network]\npeer = 127.0.0.1:0\n'
    refused 8 'no peer' '[network]\npeer = 127.1\n'
    refused 8 'zone' '[network]\nlisten = fe80::1\n'
    refused 8 'already' "[network]\nlisten = $NET.2\n"
    start_node 3
    for place in 0.0.0.0 :: 224.0.0.1 fe80::1; do
        expect_exit 2 ctl 3 connect "$place"
        [[ $ERR == *'no node can be called there'* ]]
    done
    expect_exit 2 ctl 3 connect fe80::1%lo
    [[ $ERR == *zone* ]]
    expect_exit 2 ctl 3 connect 127.0.0.0/8
    [[ $ERR == *'not a network'* ]]
    expect_exit 2 ctl 3 connect 127.0.0.1:0
    [[ $ERR == *port* ]]
}

@test "an unknown section is named, and so is UTF-16" {
    configure '[netwrok]\npeer = 127.0.0.1\n'
    expect_exit 2 "$P2PD_BIN/p2pd" -t -c "$CONF"
    [[ $ERR == *"$CONF:7: unknown section [netwrok]"* ]]
    printf '\xff\xfe[\0n\0' >"$CONF"
    expect_exit 2 "$P2PD_BIN/p2pd" -t -c "$CONF"
    [[ $ERR == *"$CONF:1: "*UTF-16* ]]
}

@test "-t by root, for a daemon that is another user's" {
    need_root
    configure ''
    install -d -o 65534 -g 65534 -m 700 "$DIR/state"
    expect_exit 0 "$P2PD_BIN/p2pd" -t -c "$CONF"
    echo secret >"$DIR/secret"
    chmod 600 "$DIR/secret" # root's, and nobody else may read it
    configure "[network]\nsecret_file = $DIR/secret\n"
    expect_exit 2 "$P2PD_BIN/p2pd" -t -c "$CONF"
    [[ $ERR == *"$CONF:8: "*"chown 65534 $DIR/secret"* ]]
    chown 65534 "$DIR/secret"
    expect_exit 0 "$P2PD_BIN/p2pd" -t -c "$CONF"
}

@test "control.group: its members get in, wherever the socket's folder comes from" {
    need_root
    group=$(getent group 65533 || getent group games)
    name=${group%%:*} gid=$(cut -d: -f3 <<<"$group")
    configure "group = $name\n" # and no control.mode: 0660 is what that asks for
    ln -s run/sock "$DIR/2.sock"
    for folder in missing private foreign; do
        rm -rf "$DIR/run"
        [ $folder = missing ] || mkdir -m 700 "$DIR/run"
        [ $folder != foreign ] || : >"$DIR/run/of-others"
        "$P2PD_BIN/p2pd" -c "$CONF" </dev/null >>"$DIR/2.log" 2>&1 3>&- &
        echo $! >"$DIR/2.pid"
        wait_until answers 2
        if [ $folder != foreign ]; then
            as_user 65534 "$gid" "$P2PD_BIN/p2pctl" -s "$DIR/run/sock" status
            finds_nothing_of socket
            expect_exit 6 as_user 65534 65534 "$P2PD_BIN/p2pctl" -s "$DIR/run/sock" status
            [[ $ERR == *"not in group $name"* ]]
        else # more is in it than our socket: not ours to open, so it is said
            [ "$(stat -c %a "$DIR/run")" = 700 ]
            finds socket "chgrp $name $DIR/run"
            wait_until grep -q "warning: the folder $DIR/run .*keeps the group $name" "$DIR/2.log"
            expect_exit 6 as_user 65534 "$gid" "$P2PD_BIN/p2pctl" -s "$DIR/run/sock" status
            [[ $ERR == *"$DIR/run is for user root alone"* ]]
            expect_exit 0 "$P2PD_BIN/p2pd" -t -c "$CONF"
            [[ $ERR == *"$CONF:7: control.group: the folder $DIR/run"* ]]
            chgrp "$name" "$DIR/run"
            chmod g+x "$DIR/run"
            wait_until finds_nothing_of socket
            as_user 65534 "$gid" "$P2PD_BIN/p2pctl" -s "$DIR/run/sock" status
        fi
        stop_node 2
    done
}

@test "control.group: a mode that keeps the group out is said; a reload gives or takes the socket" {
    need_root
    name=$(getent group games | cut -d: -f1) gid=$(getent group games | cut -d: -f3)
    configure ''
    ln -s run/sock "$DIR/2.sock"
    "$P2PD_BIN/p2pd" -c "$CONF" </dev/null >>"$DIR/2.log" 2>&1 3>&- &
    echo $! >"$DIR/2.pid"
    wait_until answers 2
    expect_exit 6 as_user 65534 "$gid" "$P2PD_BIN/p2pctl" -s "$DIR/run/sock" status
    [[ $ERR == *'set control.group'* ]]
    configure "group = $name\n"
    ctl 2 reload
    as_user 65534 "$gid" "$P2PD_BIN/p2pctl" -s "$DIR/run/sock" status
    configure "group = $name\nmode = 0600\n"
    ctl 2 reload
    wait_until finds socket 'control.mode = 0660'
    expect_exit 6 as_user 65534 "$gid" "$P2PD_BIN/p2pctl" -s "$DIR/run/sock" status
    configure 'group = no-such-group\n'
    expect_exit 1 ctl 2 reload
    [[ $ERR == *"$CONF:7: control.group: there is no group"* ]]
    configure ''
    ctl 2 reload
    [ "$(stat -c '%a %g' "$DIR/run/sock")" = '600 0' ]
}

@test "a user that is not in control.group cannot give it the socket: told before the start" {
    need_root
    chmod 777 "$DIR"
    name=$(getent group games | cut -d: -f1)
    configure "group = $name\n"
    expect_exit 2 as_user 65534 65534 "$P2PD_BIN/p2pd" -t -c "$CONF"
    [[ $ERR == *"$CONF:7: control.group: user 65534 is not in the group $name"* ]]
}

@test "root restores into a folder of the daemon's own user, reached as systemd lays it out" {
    need_root
    start_node 2
    id=$(id_of 2)
    echo 'a good passphrase' >"$DIR/passphrase"
    chmod 600 "$DIR/passphrase"
    ctl 2 backup "$DIR/backup" --passphrase-file "$DIR/passphrase"
    stop_node 2

    mkdir -m 700 "$DIR/private" # that user cannot even get in there
    install -d -o 65534 -g 65533 -m 700 "$DIR/private/p2pd"
    ln -s private/p2pd "$DIR/state"
    # What that user put there leads root nowhere.
    echo precious >"$DIR/of-root"
    chmod 600 "$DIR/of-root"
    ln -s "$DIR/of-root" "$DIR/private/p2pd/lock"
    chown -h 65534 "$DIR/private/p2pd/lock"
    restore=("$P2PD_BIN/p2pd" --restore "$DIR/backup" --passphrase-file "$DIR/passphrase" --state "$DIR/state" --socket "$DIR/s")
    expect_exit 1 "${restore[@]}"
    [ "$(<"$DIR/of-root")" = precious ]
    rm "$DIR/private/p2pd/lock"

    expect_exit 0 "${restore[@]}"
    [[ $OUT == *'as user 65534'* ]]
    for file in identity.key messages.db; do
        [ "$(stat -c '%u %g %a' "$DIR/private/p2pd/$file")" = '65534 65533 600' ]
    done
    expect_exit 1 "${restore[@]}"
    [[ $ERR == *'has identity.key already: move it away'* ]]

    # Root's own start there says who is to do it; that user's is the node of the backup.
    expect_exit 1 "$P2PD_BIN/p2pd" --listen "$NET.2" --state "$DIR/state" --socket "$DIR/s"
    [[ $ERR == *'start p2pd as that user'* ]]
    chmod 711 "$DIR/private"
    mkdir -m 777 "$DIR/run"
    chmod o-w "$DIR/run"
    chown 65534 "$DIR/run"
    setpriv --reuid 65534 --regid 65533 --clear-groups env HOME=/ "$P2PD_BIN/p2pd" --listen "$NET.2" --state "$DIR/state" \
        --socket "$DIR/run/s" </dev/null >>"$DIR/2.log" 2>&1 3>&- &
    echo $! >"$DIR/2.pid"
    ln -s run/s "$DIR/2.sock"
    wait_until answers 2
    [ "$(id_of 2)" = "$id" ]
}

has_own_network() { # as private-net.sh makes it: with lo and nothing else
    [ "$(ip -o link 2>/dev/null | grep -c .)" = 1 ] && ip addr add 198.51.100.99/32 dev lo 2>/dev/null
}

@test "an address that comes late, goes and comes back" {
    has_own_network || skip 'no network of our own to change'
    "$P2PD_BIN/p2pd" --listen 198.51.100.2 --state "$DIR/2" --socket "$DIR/2.sock" --set link.heartbeat=1s \
        --set link.timeout=3s </dev/null >>"$DIR/2.log" 2>&1 3>&- &
    echo $! >"$DIR/2.pid"
    wait_until answers 2 # the service is up, and stays so
    wait_until finds address '198.51.100.2:58008 is not an address of this machine now'
    grep -q 'warning: .*198.51.100.2:58008 is not' "$DIR/2.log"
    ip addr add 198.51.100.2/32 dev lo
    wait_until finds_nothing_of address
    grep -q '198.51.100.2:58008 has come' "$DIR/2.log"
    "$P2PD_BIN/p2pd" --listen 198.51.100.2:58009 --state "$DIR/4" --socket "$DIR/4.sock" --set link.heartbeat=1s \
        --set link.timeout=3s 198.51.100.2 </dev/null >>"$DIR/4.log" 2>&1 3>&- &
    echo $! >"$DIR/4.pid"
    wait_until answers 4
    wait_until has_neighbours 2 1
    wait_until has_neighbours 4 1
    ip addr del 198.51.100.2/32 dev lo
    wait_until finds address '198.51.100.2:58008 is not an address of this machine now'
    ip addr add 198.51.100.2/32 dev lo
    wait_until finds_nothing_of address
    wait_until has_neighbours 2 1
    stop_node 2
}

@test "every other failure to listen still ends the start" {
    start_node 2
    expect_exit 1 "$P2PD_BIN/p2pd" --listen "$NET.2" --state "$DIR/3" --socket "$DIR/3.sock"
    [[ $ERR == *"$NET.2:58008"* ]]
}

@test "keys that could not be locked in memory: log and doctor say so, once" {
    command -v prlimit >/dev/null || skip 'no prlimit here'
    ! grep -q __asan_init "$P2PD_BIN/p2pd" || skip 'under the address sanitizer mlock() does nothing, and says that it did'
    bare=(prlimit --memlock=0:0)
    if [ "$(id -u)" = 0 ]; then # who could lock all the same
        setpriv --bounding-set=-ipc_lock,-sys_resource true || skip 'no setpriv here'
        bare=(setpriv --bounding-set=-ipc_lock,-sys_resource --inh-caps=-ipc_lock,-sys_resource prlimit --memlock=0:0)
    fi
    "${bare[@]}" "$P2PD_BIN/p2pd" --listen "$NET.2" --state "$DIR/2" --socket "$DIR/2.sock" </dev/null >>"$DIR/2.log" 2>&1 3>&- &
    echo $! >"$DIR/2.pid"
    wait_until answers 2
    wait_until finds memory 'not locked'
    [ "$(grep -c 'warning: keys are not locked' "$DIR/2.log")" = 1 ]
    stop_node 2
    [ "$(id -u)" = 0 ] || return 0 # others have what the limit leaves them
    start_node 3
    ctl 3 doctor --json | jq -e 'all(.[]; .topic != "memory")'
    fails grep 'not locked' "$DIR/3.log"
}
