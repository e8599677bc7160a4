#!/bin/sh
# Install what p2pd needs, with the machine's package manager. --if-missing: only if building or testing lacks something;
# without it the lint tools count too. Nothing missing: nothing is done.
set -eu

missing() { # PROGRAM...
    for program in pkg-config cc protoc-c bats jq socat nc mandoc "$@"; do
        command -v "$program" >/dev/null || return 0
    done
    pkg-config --exists libsodium libprotobuf-c inih sqlite3 libisal cmocka || return 0
    # libev: Debian ships no .pc file, so ask the compiler.
    # shellcheck disable=SC2046 # several flags
    printf '#include <ev.h>\n' | cc -E "-I$(brew --prefix 2>/dev/null || echo /usr/local)/include" \
        $(pkg-config --cflags libev 2>/dev/null) - >/dev/null 2>&1 || return 0
    return 1
}

if [ "${1-}" = --if-missing ]; then
    missing || exit 0
else
    missing clang clang-tidy clang-format cppcheck shellcheck || exit 0
fi

sudo=
if [ "$(id -u)" != 0 ]; then
    sudo=sudo
fi
if command -v apt-get >/dev/null; then
    $sudo apt-get update -q
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends gcc libc6-dev make \
        pkg-config libev-dev libsodium-dev libprotobuf-c-dev protobuf-c-compiler libinih-dev libsqlite3-dev libisal-dev \
        libcmocka-dev bats jq socat netcat-openbsd mandoc iproute2 procps tcpdump sqlite3 clang clang-tidy \
        clang-format cppcheck shellcheck
elif command -v dnf >/dev/null; then
    $sudo dnf install -y gcc make pkgconf-pkg-config libev-devel libsodium-devel protobuf-c-devel \
        protobuf-c-compiler inih-devel sqlite-devel isa-l-devel libcmocka-devel bats jq socat netcat mandoc iproute \
        procps-ng tcpdump sqlite clang clang-tools-extra cppcheck ShellCheck
elif command -v pacman >/dev/null; then
    $sudo pacman -S --needed --noconfirm gcc make pkgconf libev libsodium protobuf-c libinih sqlite isa-l cmocka bats \
        jq socat openbsd-netcat mandoc iproute2 procps-ng tcpdump clang cppcheck shellcheck
elif command -v brew >/dev/null; then # refuses to run as root, and needs no sudo
    brew install pkg-config libev libsodium protobuf-c inih sqlite cmocka bats-core jq socat mandoc \
        clang-format cppcheck shellcheck
elif command -v pkg >/dev/null; then
    $sudo pkg install -y gmake pkgconf libev libsodium protobuf-c inih sqlite3 cmocka bats-core jq socat \
        mandoc bash cppcheck hs-ShellCheck
else
    echo 'deps: none of apt-get, dnf, pacman, brew and pkg is here; README.md names the libraries' >&2
    exit 1
fi
