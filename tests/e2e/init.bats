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
    sed -e "s,^ExecStart=[^ ]*,ExecStart=$P2PD_BIN/p2pd," -e "s,^ExecReload=[^ ]*,ExecReload=$P2PD_BIN/p2pctl," \
        "$P2PD_BIN/init/p2pd.service" >"$DIR/p2pd.service"
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

@test "launchd: not as root, and all that it needs is said how to make" {
    plist=$P2PD_BIN/init/org.p2pd.plist
    grep -A1 '<key>UserName</key>' "$plist" | grep -q '<string>_p2pd</string>'
    grep -q 'install -d -o _p2pd -g _p2pd -m 700 /var/lib/p2pd' "$plist"
}

@test "OpenRC: the script parses" {
    sh -n "$P2PD_BIN"/init/*openrc*
}

# The script, in a shell where OpenRC's own words do nothing but say what they were asked.
openrc() { # COMMAND [OPTION-OF-P2PD...]: p2pd's own user is ours
    local command=$1
    shift
    sed -e "s,^command=.*,command=$P2PD_BIN/p2pd," -e "s,/var/lib,$DIR,g" -e "s,/run/p2pd,$DIR/run,g" \
        "$P2PD_BIN/init/p2pd.openrc" >"$DIR/script"
    p2pd_args="$*" RC_SVCNAME=p2pd bash -c '
        ebegin() { :; }
        eend() { return "$1"; }
        eerror() { echo "$@" >&2; }
        id() { [ "$1" != nobody-at-all ]; }
        checkpath() { echo "checkpath $*"; }
        supervise-daemon() { echo "supervise-daemon $*"; }
        su() { echo "su for $5" >&2; sh -c "$4"; }
        . "$1"
        [ -z "$3" ] || command_user=$3
        "$2"' - "$DIR/script" "$command" "${USER_OF_OPENRC-}" 2>&1
}

@test "OpenRC: as a user of its own, which is asked for; a wrong configuration stops start and reload" {
    mkdir -m 700 "$DIR/p2pd"
    printf '[log]\nlevel = info\n' >"$DIR/p2pd.conf"
    options=(-c "$DIR/p2pd.conf" --state "$DIR/2" --socket "$DIR/2.sock" --listen "$NET.2")
    if [ "$(id -u)" = 0 ]; then # whose folder it is must not be
        openrc start_pre "${options[@]}" >"$DIR/said" && false
        grep -q 'chown -R p2pd:p2pd' "$DIR/said"
        chown 65534 "$DIR/p2pd"
    fi
    openrc start_pre "${options[@]}" >"$DIR/said"
    grep -q "checkpath --directory --mode 0700 --owner p2pd:p2pd $DIR/p2pd" "$DIR/said"
    grep -q "checkpath --directory --mode 0755 --owner p2pd:p2pd $DIR/run" "$DIR/said"
    grep -q 'su for p2pd' "$DIR/said"
    openrc reload "${options[@]}" | grep -q 'supervise-daemon p2pd --signal HUP'
    USER_OF_OPENRC=nobody-at-all fails openrc start_pre "${options[@]}" >"$DIR/said"
    grep -q 'no user nobody-at-all' "$DIR/said"
    printf '[log]\nlevel = loud\n' >"$DIR/p2pd.conf"
    fails openrc start_pre "${options[@]}" >"$DIR/said"
    grep -q 'p2pd.conf:2' "$DIR/said"
    fails openrc reload "${options[@]}" >"$DIR/said"
    fails grep -q supervise-daemon "$DIR/said"
}

@test "systemd: reload fails, with the reason, where the configuration is wrong" {
    reload=$(sed -n 's/^ExecReload=//p' "$P2PD_BIN/init/p2pd.service")
    [ "$(wc -l <<<"$reload")" = 1 ]
    [[ $reload == */p2pctl\ reload ]]
    reload=("$P2PD_BIN/p2pctl" "${reload#* }")
    printf '[log]\nlevel = info\n' >"$DIR/p2pd.conf"
    start_node 2 -c "$DIR/p2pd.conf"
    export P2PD_SOCKET="$DIR/2.sock"
    expect_exit 0 "${reload[@]}"
    printf '[log]\nlevel = loud\n' >"$DIR/p2pd.conf"
    expect_exit 1 "${reload[@]}"
    [[ $ERR == *"$DIR/p2pd.conf:2: "* ]]
    answers 2
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
    fails env NOTIFY_SOCKET="$DIR/notify" "$P2PD_BIN/p2pd" -c /dev/null --listen "$NET.2:$PORT" --state "$DIR/file/x" --socket "$DIR/s"
    fails grep -qs READY=1 "$DIR/told"
}
