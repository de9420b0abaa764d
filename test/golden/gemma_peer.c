/* What llama.cpp computes for a text: its token ids, and at every position what it expects next.
 *
 *   cc -O2 test/golden/gemma_peer.c -ldl -lm -o gemma_peer && ./gemma_peer LIBS MODEL TEXT_FILE OUT WANTED STEP
 *
 * LIBS is the folder of llama.cpp's shared libraries (script/peer.sh prints it). They are opened at run time and
 * nothing of them is linked or included; the few functions used are declared here from llama.h of the release that
 * peer.sh names.
 *
 * Standard output, a line a position: the id, the likeliest next id, the loss of the next id in nats (0 for the last).
 * OUT: for each position in WANTED (a list like 3,40,100) every STEP-th logit as little-endian f32.
 */
#include <dlfcn.h>
#include <glob.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IDS_MAX = 500, TEXT_MAX = 1 << 16 };

/* llama.cpp passes parameters by value; this is larger than any release's and goes back as it came. */
typedef struct {
    char bytes[1024];
} params;

/* struct llama_batch; what is NULL llama.cpp fills in: positions from 0, one sequence. */
typedef struct {
    int32_t n_tokens;
    int32_t *token;
    float *embd;
    int32_t *pos, *n_seq_id, **seq_id;
    int8_t *wants_logits;
} batch;

static void *libs[3];

static void *find(const char *name) {
    for (int i = 0; i < 3; i++) {
        void *p = libs[i] ? dlsym(libs[i], name) : NULL;
        if (p)
            return p;
    }
    fprintf(stderr, "gemma_peer: the libraries have no %s\n", name);
    exit(1);
}

static void *open_library(const char *folder, const char *pattern) {
    char path[4096];
    glob_t found;
    snprintf(path, sizeof path, "%s/%s", folder, pattern);
    if (glob(path, 0, NULL, &found) != 0) {
        fprintf(stderr, "gemma_peer: %s: no such file\n", path);
        exit(1);
    }
    void *lib = dlopen(found.gl_pathv[0], RTLD_NOW | RTLD_GLOBAL);
    if (!lib) {
        fprintf(stderr, "gemma_peer: %s\n", dlerror());
        exit(1);
    }
    globfree(&found);
    return lib;
}

static void errors_only(int level, const char *text, void *user) {
    (void)user;
    if (level >= 4)
        fputs(text, stderr);
}

static int highest(const float *x, int n) {
    int best = 0;
    for (int i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

static double loss(const float *x, int n, int target) {
    double max = x[highest(x, n)], sum = 0;
    for (int i = 0; i < n; i++)
        sum += exp(x[i] - max);
    return log(sum) + max - x[target];
}

static int wanted(const char *list, int i) {
    for (char *end; *list; list = *end ? end + 1 : end)
        if (strtol(list, &end, 10) == i)
            return 1;
    return 0;
}

int main(int argc, char **argv) {
    static char text[TEXT_MAX];
    static int32_t ids[IDS_MAX];
    static int8_t all[IDS_MAX];
    if (argc != 7) {
        fprintf(stderr, "usage: gemma_peer LIBS MODEL TEXT_FILE OUT WANTED STEP\n");
        return 2;
    }
    FILE *f = fopen(argv[3], "rb"), *out = fopen(argv[4], "wb");
    int step = (int)strtol(argv[6], NULL, 10);
    if (!f || !out || step < 1) {
        fprintf(stderr, "gemma_peer: %s or %s cannot be opened, or STEP is wrong\n", argv[3], argv[4]);
        return 1;
    }
    size_t n_text = fread(text, 1, sizeof text, f);
    libs[0] = open_library(argv[1], "libggml-base*.so*");
    libs[1] = open_library(argv[1], "libggml.*so*");
    libs[2] = open_library(argv[1], "libllama.*so*");
    ((void (*)(void (*)(int, const char *, void *), void *))find("llama_log_set"))(errors_only, NULL);
    ((void (*)(const char *))find("ggml_backend_load_all_from_path"))(argv[1]);
    ((void (*)(void))find("llama_backend_init"))();
    params p = ((params(*)(void))find("llama_model_default_params"))();
    void *model = ((void *(*)(const char *, params))find("llama_model_load_from_file"))(argv[2], p);
    p = ((params(*)(void))find("llama_context_default_params"))(); /* 512 positions */
    void *ctx = model ? ((void *(*)(void *, params))find("llama_init_from_model"))(model, p) : NULL;
    if (!ctx)
        return 1;
    const void *vocab = ((const void *(*)(const void *))find("llama_model_get_vocab"))(model);
    int n_vocab = ((int (*)(const void *))find("llama_vocab_n_tokens"))(vocab);
    int n = ((int (*)(const void *, const char *, int32_t, int32_t *, int32_t, _Bool, _Bool))find("llama_tokenize"))(
        vocab, text, (int32_t)n_text, ids, IDS_MAX, 1, 0);
    memset(all, 1, sizeof all);
    batch b = {.n_tokens = n, .token = ids, .wants_logits = all};
    if (n < 1 || ((int (*)(void *, batch))find("llama_decode"))(ctx, b) != 0) {
        fprintf(stderr, "gemma_peer: %d tokens cannot be computed\n", n);
        return 1;
    }
    float *(*logits)(void *, int) = (float *(*)(void *, int))find("llama_get_logits_ith");
    for (int i = 0; i < n; i++) {
        const float *x = logits(ctx, i);
        printf("%d %d %.9g\n", ids[i], highest(x, n_vocab), i + 1 < n ? loss(x, n_vocab, ids[i + 1]) : 0.0);
        for (int k = 0; wanted(argv[5], i) && k < n_vocab; k += step)
            fwrite(&x[k], sizeof *x, 1, out);
    }
    return fclose(out) != 0;
}
