#!/bin/sh
# script/llmc.sh: builds llm.c's CPU trainer as a program that bench/train.py alternates with. Prints its path.
#
# The source is LOAM_LLMC_SRC (a folder with train_gpt2.c, llmc/ and Makefile), or the commit below, fetched by git from
# LOAM_LLMC_GIT. Only what is missing is made. Nothing of it becomes part of Loam: what stands here is a driver that
# makes a model of a given shape with random weights and takes a step for every line of standard input.
set -eu
commit=f1e2ace651495b74ae22d45d1723443fd00ecd3a
sum=6737a6c0945f5ac04d8fb534100506be9871df8c406995b34b84b3deec661258
cd "$(dirname "$0")/.."
cache=${LOAM_CACHE:-$PWD/.cache}/llmc
source=$cache/source
program=$cache/step

mkdir -p "$cache"
if [ ! -f "$source/train_gpt2.c" ]; then
    rm -rf "$source" "$source.new"
    if [ -n "${LOAM_LLMC_SRC:-}" ]; then
        mkdir -p "$source.new"
        cp -r "$LOAM_LLMC_SRC/train_gpt2.c" "$LOAM_LLMC_SRC/llmc" "$LOAM_LLMC_SRC/Makefile" "$source.new"
    else
        git clone --quiet "${LOAM_LLMC_GIT:-https://github.com/karpathy/llm.c}" "$source.new" >&2 || {
            echo "llmc.sh: cannot fetch llm.c (set LOAM_LLMC_SRC to a folder with its train_gpt2.c, llmc/ and Makefile)" >&2
            exit 1
        }
        git -C "$source.new" checkout --quiet "$commit" >&2
    fi
    mv "$source.new" "$source"
fi
echo "$sum  $source/train_gpt2.c" | sha256sum --check --status || {
    echo "llmc.sh: $source/train_gpt2.c: is not that of commit $commit" >&2
    exit 1
}
if [ ! "$program" -nt script/llmc.sh ]; then
    cat >"$cache/step.c" <<'EOF'
#define TESTING
#include "source/train_gpt2.c"

int main(int argc, char **argv) {
    GPT2 model = {0};
    int v[6], n = 0; /* layers width heads vocabulary batch context */
    for (; n < 6 && n + 1 < argc; n++)
        v[n] = atoi(argv[n + 1]);
    if (n < 6)
        return 2;
    model.config = (GPT2Config){.max_seq_len = v[5], .vocab_size = v[3], .padded_vocab_size = v[3],
                                .num_layers = v[0], .num_heads = v[2], .channels = v[1]};
    fill_in_parameter_sizes(model.param_sizes, model.config);
    for (int i = 0; i < NUM_PARAMETER_TENSORS; i++)
        model.num_parameters += model.param_sizes[i];
    model.params_memory = malloc_and_point_parameters(&model.params, model.param_sizes);
    unsigned long long state = 1;
#define NEXT (state = state * 6364136223846793005ull + 1442695040888963407ull, (unsigned)(state >> 33))
    for (size_t i = 0; i < model.num_parameters; i++)
        model.params_memory[i] = ((float)NEXT / 2147483648.0f - 0.5f) * 0.05f;
    int *ids = malloc((v[4] * v[5] + 1) * sizeof *ids);
    for (int i = 0; i <= v[4] * v[5]; i++)
        ids[i] = (int)(NEXT % (unsigned)v[3]);
    char line[16];
    for (int step = 0;; step++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        gpt2_forward(&model, ids, ids + 1, v[4], v[5]);
        gpt2_zero_grad(&model);
        gpt2_backward(&model);
        gpt2_update(&model, 1e-4f, 0.9f, 0.95f, 1e-8f, 0.1f, step + 1);
        clock_gettime(CLOCK_MONOTONIC, &b);
        if (step)
            printf("%.6f\n", (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec));
        else
            printf("ready\n");
        fflush(stdout);
        if (!fgets(line, sizeof line, stdin))
            break;
    }
    printf("{\"params\":%zu,\"loss\":%.6f}\n", model.num_parameters, model.mean_loss);
    return 0;
}
EOF
    flags=$(sed -n 's/^CFLAGS = //p' "$source/Makefile" | head -n 1)
    # shellcheck disable=SC2086 # one word a flag; its own, and what its Makefile adds where there is OpenMP
    ${CC:-cc} $flags -march=native -fopenmp -DOMP -w -I"$cache" "$cache/step.c" -lm -o "$program.new"
    mv "$program.new" "$program"
fi
echo "$program"
