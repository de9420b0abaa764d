#!/bin/sh
# script/emulate.sh [--cpu MODEL] [PROGRAM ARGUMENT...]: runs a program on an emulated x86-64 CPU with AVX-512 and VNNI
# (sapphire_rapids; also icelake, arrow_lake), installing what that needs into .cache/venv-emulate.
# Without PROGRAM: prints the command to put before one (script/test.py --under).
set -eu
cd "$(dirname "$0")/.."
[ "$(uname -m)" = x86_64 ] || { echo "emulate.sh: runs on x86-64 only" >&2; exit 2; }
model=sapphire_rapids
[ "${1:-}" != --cpu ] || { model=$2; shift 2; }
python=$(script/venv.sh emulate)
shim=${python%/*}/../shim.so
if [ ! -e "$shim" ] || [ script/emulate/shim.c -nt "$shim" ]; then
    ${CC:-gcc} -O1 -shared -fPIC -o "$shim.new" script/emulate/shim.c -ldl
    mv "$shim.new" "$shim"
fi
set -- "$python" "$PWD/script/emulate/run.py" --shim "$shim" --cpu "$model" "$@"
[ $# -gt 6 ] || { echo "$*"; exit 0; }
exec "$@"
