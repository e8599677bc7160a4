#!/usr/bin/env bats
# The files for init, and what init is told.
load helpers

setup() {
    new_folder
}
teardown() {
    stop_all
}

@test "no placeholder is left in the files for init" {
    ls "$P2PD_BIN"/init/* >/dev/null
    fails grep -nE '@[A-Z]+@' "$P2PD_BIN"/init/*
}

@test "systemd: the unit is valid, and confined" {
    command -v systemd-analyze >/dev/null || skip 'no systemd-analyze here'
    sed "s,^ExecStart=[^ ]*,ExecStart=$P2PD_BIN/p2pd," "$P2PD_BIN/init/p2pd.service" >"$DIR/p2pd.service"
    systemd-analyze verify --man=no "$DIR/p2pd.service" >"$DIR/verify" 2>&1 || true
    fails grep p2pd.service "$DIR/verify"
    if systemd-analyze security --help 2>&1 | grep -q -- --offline; then
        systemd-analyze security --offline=true --threshold=20 "$DIR/p2pd.service" >"$DIR/security"
    fi
}

@test "launchd: the property list is well-formed" {
    command -v plutil >/dev/null || command -v xmllint >/dev/null || skip 'neither plutil nor xmllint here'
    if command -v plutil >/dev/null; then
        plutil -lint "$P2PD_BIN/init/org.p2pd.plist"
    else
        xmllint --noout --nonet "$P2PD_BIN/init/org.p2pd.plist"
    fi
}

@test "OpenRC: the script parses" {
    sh -n "$P2PD_BIN"/init/*openrc*
}

@test "readiness and stopping are told to init's socket" {
    socat -u "UNIX-RECV:$DIR/notify" "OPEN:$DIR/told,creat,append" 3>&- &
    echo $! >"$DIR/listener.pid"
    wait_until test -S "$DIR/notify"
    NOTIFY_SOCKET=$DIR/notify start_node 2
    wait_until grep -q READY=1 "$DIR/told"
    kill -HUP "$(pid_of 2)"
    answers 2
    stop_node 2
    wait_until grep -q STOPPING=1 "$DIR/told"
}

@test "READY=1 comes no sooner than the socket answers" {
    socat -u "UNIX-RECV:$DIR/notify" "OPEN:$DIR/told,creat,append" 3>&- &
    echo $! >"$DIR/listener.pid"
    wait_until test -S "$DIR/notify"
    NOTIFY_SOCKET=$DIR/notify spawn_node 2
    wait_until grep -q READY=1 "$DIR/told"
    answers 2
}

@test "a start that fails is never ready" {
    socat -u "UNIX-RECV:$DIR/notify" "OPEN:$DIR/told,creat,append" 3>&- &
    echo $! >"$DIR/listener.pid"
    wait_until test -S "$DIR/notify"
    : >"$DIR/file"
    fails env NOTIFY_SOCKET="$DIR/notify" "$P2PD_BIN/p2pd" --listen "$NET.2" --state "$DIR/file/x" --socket "$DIR/s"
    fails grep -qs READY=1 "$DIR/told"
}
