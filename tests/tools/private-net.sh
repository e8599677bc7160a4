#!/bin/sh
# Run a command in a network of its own (loopback only), where root and the kernel allow it; and among processes of its own, so
# that nothing which it started outlives it, even where a time limit kills it.
[ "$(id -u)" = 0 ] || exit 1
# shellcheck disable=SC2016 # $@ belongs to the inner shell
exec unshare --net --pid --fork --kill-child --mount-proc sh -c 'ip link set lo up && "$@"; exit $?' private-net "$@"
