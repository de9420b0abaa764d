#!/bin/sh
# script/demo-gemma.sh: a real open-weight model on this machine in about a minute: what it is, what it says, that its numbers
# are the same however they are computed, and how fast. Needs LOAM_BIN (default build/loam). Plain text, no terminal
# needed; the first time it downloads 253 MB.
set -eu
cd "$(dirname "$0")/.."
loam=${LOAM_BIN:-build/loam}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

title() { printf '\n== %s\n\n' "$1"; }

# Shows a command as one would type it.
say() { printf '$ loam %s\n' "$1"; }

title "The model: Gemma 3 270M of Google, 4 bits a weight (downloaded once, SHA-256 checked)"
model=$("${PYTHON:-python3}" script/fetch-model.py)
say "show MODEL"
"$loam" show "$model" >"$work/show"
sed '/^$/,$d' "$work/show"

title "It continues texts (always its likeliest token, so always this text)"
for prompt in "Once upon a time, there was a" "The best thing about autumn is"; do
    say "run MODEL --temp 0 -n 48 -p \"$prompt\""
    printf '%s' "$prompt"
    "$loam" run "$model" --temp 0 -n 48 -p "$prompt"
    echo
done

title "It answers questions, when two examples show what an answer is"
examples='Question: What is the capital of Japan?
Answer: The capital of Japan is Tokyo.

Question: What do bees make?
Answer: Bees make honey.

'
for question in "Where do fish live?" "What is the largest ocean?" "What do cows drink?"; do
    printf '%s' "$question"
    "$loam" run "$model" --temp 0 -n 40 --stop "
" -p "${examples}Question: $question
Answer:"
done

title "Same bits: SHA-256 of its 262144 logits, by instruction set, threads and chunk"
ids=$("$loam" tokenize "$model" "Equal numbers can be checked; similar numbers can only be believed." | tr ' ' ',')
say "logits MODEL --ids $ids --top 1 --isa ISA --threads N --chunk C"
: >"$work/digests"
for isa in scalar avx2 avxvnni avx512 neon; do
    for how in "1 0" "2 7" "3 1"; do
        threads=${how% *} chunk=${how#* }
        if "$loam" logits "$model" --ids "$ids" --top 1 --isa $isa --threads "$threads" --chunk "$chunk" \
            >"$work/out" 2>"$work/digest"; then
            printf '%-7s %s threads  chunk %s  %s\n' "$isa" "$threads" "$chunk" "$(cat "$work/digest")"
            cat "$work/digest" >>"$work/digests"
        elif [ "$isa" = scalar ]; then
            cat "$work/digest" >&2
            exit 1
        fi
    done
done
different=$(sort -u "$work/digests" | wc -l)
if [ "$different" -ne 1 ]; then
    echo "demo-gemma.sh: $different different digests where one was expected" >&2
    exit 1
fi
echo "one value in $(wc -l <"$work/digests") computations"

title "Speed on this machine"
say "bench MODEL -p 256 -n 32"
"$loam" bench "$model" -p 256 -n 32

title "Next"
cat <<END
  M=$model
  $loam run \$M -p "Your own text"             another continuation: add --seed 1
  $loam chat \$M --template plain              a conversation (this small model is no assistant)
  $loam perplexity \$M README.md               how well it predicts a text
  $loam help                                  all commands; README.md shows each with its output
END
