#!/bin/sh
# script/venv.sh NAME: a Python environment with exactly script/requirements-NAME.txt, in .cache/venv-NAME.
# Made once, and again when that file changes. Prints the path of its python. Running the tests needs none.
set -eu
cd "$(dirname "$0")/.."
name=${1:?usage: script/venv.sh NAME (there is script/requirements-NAME.txt)}
wanted=script/requirements-$name.txt
venv=${LOAM_CACHE:-$PWD/.cache}/venv-$name
[ -f "$wanted" ] || { echo "venv.sh: $wanted: no such file" >&2; exit 2; }
if ! cmp -s "$wanted" "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv" >&2 || {
        echo "venv.sh: install it with: sudo apt-get install -y python3-venv" >&2
        exit 1
    }
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted" >&2
    cp "$wanted" "$venv/requirements.txt"
fi
echo "$venv/bin/python"
