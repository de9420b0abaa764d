#!/bin/sh
# script/peer.sh: fetches the llama.cpp release that tests and benchmarks compare with, and builds the
# small C program that drives it. Prints the path of the program and that of the libraries' folder.
#
# The program's source is LOAM_PEER_SRC, or ../shared/peers/llama_peer.c beside the repository. Only what
# is missing or older than its source is made. Nothing of it becomes part of Loam.
set -eu
version=3.22.1 package=@node-llama-cpp/linux-x64
cd "$(dirname "$0")/.."
cache=${LOAM_CACHE:-$PWD/.cache}/peer
source=${LOAM_PEER_SRC:-../shared/peers/llama_peer.c}
libs=$cache/node_modules/$package/bins/linux-x64
stamp=$cache/$version.done

[ -f "$source" ] || {
    echo "peer.sh: $source: no such file (set LOAM_PEER_SRC to the peer program's source)" >&2
    exit 1
}
mkdir -p "$cache"
if [ ! -f "$stamp" ]; then
    command -v npm >/dev/null || {
        echo "peer.sh: npm is missing; install it with: sudo apt-get install -y npm" >&2
        exit 1
    }
    npm install --ignore-scripts --no-audit --no-fund --no-save --silent --prefix "$cache" "$package@$version" >&2
    [ -d "$libs" ] || {
        echo "peer.sh: $package $version: has no folder bins/linux-x64" >&2
        exit 1
    }
    touch "$stamp"
fi
if [ ! "$cache/llama_peer" -nt "$source" ]; then
    ${CC:-cc} -O2 "$source" -ldl -o "$cache/llama_peer.new"
    mv "$cache/llama_peer.new" "$cache/llama_peer"
fi
echo "$cache/llama_peer"
echo "$libs"
