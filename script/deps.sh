#!/bin/sh
# script/deps.sh SET...: are the Debian packages of these sets installed?
#
# Silent and quick when they are. Otherwise: installs them as root, else prints the one apt line
# and fails. This is the one list of what Loam needs. LOAM_DEPS=no skips the check.
set -eu

build="gcc make pkg-config libc6-dev libjansson-dev libpcre2-dev libutf8proc-dev libssl-dev libedit-dev libsqlite3-dev zlib1g-dev libzstd-dev libdivsufsort-dev libmicrohttpd-dev libcurl4-openssl-dev libseccomp-dev"
test="chromium clang g++ libcmocka-dev python3 python3-venv openssl zsh fish groff-base mandoc systemd curl iproute2 debhelper lintian"
tidy="clang clang-format clang-tidy cppcheck git python3"
fuzz="clang libclang-rt-14-dev"
demo="python3 python3-pip"
emulate="python3 python3-venv"
arm64="gcc-aarch64-linux-gnu qemu-user" # and each -dev package of build and test, for arm64

[ "${LOAM_DEPS:-}" != no ] || exit 0
command -v dpkg-query >/dev/null 2>&1 || exit 0 # not Debian: the compiler will say what is missing

native=$(dpkg --print-architecture)
wanted=$build
for set_name in "$@"; do
    case $set_name in
    build) ;;
    test) wanted="$wanted $test" ;;
    tidy) wanted="$wanted $tidy" ;;
    fuzz) wanted="$wanted $test $fuzz" ;;
    demo) wanted="$wanted $demo" ;;
    emulate) wanted="$wanted $test $emulate" ;;
    arm64)
        wanted="$wanted $test"
        [ "$native" != arm64 ] || continue
        wanted="$wanted $arm64"
        for name in $build $test; do
            case $name in *-dev) wanted="$wanted $name:arm64" ;; esac
        done
        ;;
    *)
        echo "deps.sh: no such set: $set_name (there are: build test tidy fuzz demo emulate arm64)" >&2
        exit 2
        ;;
    esac
done

# A package counts when it, or one that provides it (pkgconf for pkg-config), is installed; one of another architecture
# under its full name only.
have=" $(dpkg-query -W -f '${db:Status-Status} ${Architecture} ${Package}, ${Provides}\n' 2>/dev/null |
    sed -n "s/^installed \\($native\\|all\\) //; t native
        s/^installed \\([^ ]*\\) \\([^,]*\\),.*/\\2:\\1/p; d
        :native
        s/([^)]*)//g; s/,/ /g; p" | tr '\n' ' ') "
missing=
for name in $wanted; do
    case $have in
    *" $name "*) ;;
    *) case " $missing " in *" $name "*) ;; *) missing="$missing $name" ;; esac ;;
    esac
done
missing=${missing# }
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    foreign=
    case $missing in *:arm64*) foreign="sudo dpkg --add-architecture arm64 && sudo apt-get update && " ;; esac
    echo "deps.sh: packages are missing; install them with: ${foreign}sudo apt-get install -y $missing" >&2
    exit 1
fi
echo "deps.sh: installing $missing" >&2
export DEBIAN_FRONTEND=noninteractive
case $missing in *:arm64*) dpkg --add-architecture arm64 ;; esac
apt-get update -qq >&2
# shellcheck disable=SC2086 # one word a package
apt-get install -y -qq --no-install-recommends $missing >&2
