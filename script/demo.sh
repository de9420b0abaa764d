#!/bin/sh
# script/demo.sh: fetches a real open-weight model and lets it answer. Needs LOAM_BIN (default build/loam).
set -eu
cd "$(dirname "$0")/.."
loam=${LOAM_BIN:-build/loam}
model=$(python3 script/fetch-model.py)
echo "model: Gemma 3 270M, Q4_K_M, SHA-256 checked ($model)" >&2
for prompt in "The capital of France is" "To boil an egg, you"; do
    printf '\n> %s\n' "$prompt"
    "$loam" run "$model" -p "$prompt" -n 40 --temp 0
    echo
done
