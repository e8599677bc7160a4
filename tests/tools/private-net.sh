#!/bin/sh
# Run a command in a network of its own (loopback only), and among processes of its own, so that nothing which it started
# outlives it, even where a time limit kills it. Root may do so, and where the kernel lets them, users: in a user namespace, in
# which they are root over what is theirs. Exits with the command's code; where there is no such network, with 1 and a line that
# says why, without having run it.
as_user=
[ "$(id -u)" = 0 ] || as_user='--user --map-root-user'

# / of some chroots is no mount point whose propagation could be changed; what was mounted there might be mounted elsewhere too.
enter() { # PROPAGATION COMMAND...
    propagation=$1 hide=
    shift
    # The configuration of the machine is not for tests.
    [ -n "$propagation" ] || [ ! -d /etc/p2pd ] || hide='mount -t tmpfs none /etc/p2pd || exit 1;'
    # shellcheck disable=SC2016,SC2086 # $@ belongs to the inner shell; words
    exec unshare $as_user --net --pid --fork --kill-child --mount-proc $propagation sh -c \
        "ip link set lo up || exit 1; $hide"' P2PD_PRIVATE_NET=1 "$@"; exit $?' private-net "$@"
}

PATH=$PATH:/usr/sbin:/sbin # where ip may be
for propagation in '' '--propagation unchanged'; do
    if why=$( (enter "$propagation" true) 2>&1); then
        enter "$propagation" "$@"
    fi
done
echo "no network of its own is to be had here: $(echo "$why" | tail -n 1)" >&2
exit 1
