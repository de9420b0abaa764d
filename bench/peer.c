/* peer: times the installed llama.cpp on a model, in the terms of `loam bench`.
 *
 *   peer LIBDIR MODEL [-p 512] [-n 64] [--depth 0] [--threads 2] [--reps 3] [--first] [--streams 1]
 *
 * Opens llama.cpp's shared libraries and calls their public C functions. What it counts is what `loam bench` counts:
 * the same ids, logits of the prompt's last token only, decoding after `depth` tokens (0: after the prompt), one
 * warm-up, then medians. Prints a line of JSON. --first: loads, reads the prompt, chooses one token and ends, for a
 * measure of the whole process from outside. --streams: decodes so many sequences together, as a server would: a token
 * of each in every call, their logits computed and not looked at.
 *
 * Parameter structs travel by value in memory, so a caller may reserve more than a release needs: only the
 * leading fields, which have stood still for years and are checked here against their defaults, are set.
 */
#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "common.h"

typedef struct {
    int64_t p, n, depth, threads, reps, streams;
    bool first;
} values;

typedef struct llama_model llama_model;
typedef struct llama_context llama_context;
typedef struct llama_vocab llama_vocab;
typedef struct llama_memory llama_memory;
typedef struct {
    uint64_t opaque[128];
} model_params;
typedef struct {
    uint32_t n_ctx, n_batch, n_ubatch, n_seq_max;
    uint64_t opaque[128];
} context_params;
typedef struct {
    int32_t n_tokens;
    void *field[6]; /* token, embd, pos, n_seq_id, seq_id, logits */
} batch;

/* X(result, name, parameters) */
#define FUNCTIONS(X)                                                           \
    X(void, llama_log_set, (void (*)(int, const char *, void *), void *))      \
    X(void, llama_backend_init, (void))                                        \
    X(model_params, llama_model_default_params, (void))                        \
    X(llama_model *, llama_model_load_from_file, (const char *, model_params)) \
    X(const llama_vocab *, llama_model_get_vocab, (const llama_model *))       \
    X(int32_t, llama_vocab_n_tokens, (const llama_vocab *))                    \
    X(context_params, llama_context_default_params, (void))                    \
    X(llama_context *, llama_init_from_model, (llama_model *, context_params)) \
    X(void, llama_set_n_threads, (llama_context *, int32_t, int32_t))          \
    X(llama_memory *, llama_get_memory, (const llama_context *))               \
    X(void, llama_memory_clear, (llama_memory *, bool))                        \
    X(bool, llama_memory_seq_rm, (llama_memory *, int32_t, int32_t, int32_t))  \
    X(batch, llama_batch_get_one, (int32_t *, int32_t))                        \
    X(batch, llama_batch_init, (int32_t, int32_t, int32_t))                    \
    X(int32_t, llama_decode, (llama_context *, batch))                         \
    X(float *, llama_get_logits_ith, (llama_context *, int32_t))               \
    X(void, ggml_backend_load_all_from_path, (const char *))
#define X(result, name, parameters) static result(*name) parameters;
FUNCTIONS(X)
#undef X

_Noreturn static void fail(const char *where, const char *what) {
    err e;
    err_set(&e, ERR_IO, "%s: %s", where, what);
    bench_fail(&e);
}

static void *open_library(const char *dir, const char *pattern) {
    char path[4096];
    glob_t found;
    snprintf(path, sizeof path, "%s/%s", dir, pattern);
    if (glob(path, 0, NULL, &found) != 0)
        fail(path, "no such library");
    void *lib = dlopen(found.gl_pathv[0], RTLD_NOW | RTLD_GLOBAL);
    if (!lib)
        fail(found.gl_pathv[0], dlerror());
    globfree(&found);
    return lib;
}

static void open_functions(const char *dir) {
    open_library(dir, "libggml-base*.so*");
    void *libs[] = {open_library(dir, "libggml.*so*"), open_library(dir, "libllama.*so*")};
#define X(result, name, parameters)                      \
    *(void **)(void *)&name = dlsym(libs[1], #name);     \
    if (!name)                                           \
        *(void **)(void *)&name = dlsym(libs[0], #name); \
    if (!name)                                           \
        fail(dir, "no function " #name);
    FUNCTIONS(X)
#undef X
}

static void errors_only(int level, const char *text, void *unused) {
    (void)unused;
    if (level == 4)
        fputs(text, stderr);
}

typedef struct {
    llama_context *ctx;
    llama_memory *memory;
    int32_t *ids, n_ids, n_vocab, n_batch;
} peer;

static void forward(peer *p, int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i += p->n_batch) {
        int32_t n = (int32_t)(to - i < p->n_batch ? to - i : p->n_batch);
        if (llama_decode(p->ctx, llama_batch_get_one(p->ids + i, n)) != 0)
            fail("llama_decode", "failed");
    }
    (void)llama_get_logits_ith(p->ctx, -1); /* waits for the result */
}

/* Puts the next token of a sequence into a batch of llama_batch_init(); its logits are wanted. */
static void add(const peer *p, batch *b, int32_t sequence, int32_t position) {
    int32_t i = b->n_tokens++;
    ((int32_t *)b->field[0])[i] = p->ids[(position + sequence * 31) % p->n_ids];
    ((int32_t *)b->field[2])[i] = position;
    ((int32_t *)b->field[3])[i] = 1;
    ((int32_t **)b->field[4])[i][0] = sequence;
    ((int8_t *)b->field[5])[i] = 1;
}

/* Tokens a second of sequences that go on together behind prompts of their own. */
static double decode_together(const peer *p, const values *v) {
    batch b = llama_batch_init((int32_t)v->streams, 0, 1);
    double start = 0;
    for (int32_t i = 0; i < v->p + v->n; i++) {
        b.n_tokens = 0;
        for (int32_t s = 0; s < v->streams; s++)
            add(p, &b, s, i);
        if (i == v->p)
            start = os_now();
        if (llama_decode(p->ctx, b) != 0)
            fail("llama_decode", "failed");
        (void)llama_get_logits_ith(p->ctx, -1);
    }
    return (double)(v->streams * v->n) / (os_now() - start);
}

static void open_context(peer *p, llama_model *m, int64_t n_ctx, int32_t n_sequences, int32_t n_threads) {
    context_params c = llama_context_default_params();
    if (c.n_batch != 2048 || c.n_ubatch != 512 || c.n_seq_max != 1)
        fail("llama_context_default_params", "the fields have moved: this release is not known");
    c.n_ctx = (uint32_t)(n_ctx * n_sequences);
    c.n_seq_max = (uint32_t)n_sequences;
    p->n_batch = (int32_t)c.n_batch;
    p->ctx = llama_init_from_model(m, c);
    if (!p->ctx)
        fail("llama_init_from_model", "failed");
    llama_set_n_threads(p->ctx, n_threads, n_threads);
    p->memory = llama_get_memory(p->ctx);
    p->n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(m));
    p->n_ids = (int32_t)n_ctx;
    p->ids = calloc((size_t)n_ctx, sizeof *p->ids);
    if (!p->ids)
        abort();
    for (int64_t i = 0; i < n_ctx; i++)
        p->ids[i] = (int32_t)(i * 7919 % p->n_vocab);
}

int main(int argc, char **argv) {
    values v = {.p = 512, .n = 64, .threads = 2, .reps = 3, .streams = 1};
#define AT(field) offsetof(values, field)
    const option rows[] = {
        {"prompt", 'p', OPT_INT, "N", "tokens to prefill", AT(p), 1, 1 << 20, NULL},
        {"generate", 'n', OPT_INT, "N", "tokens to decode", AT(n), 1, 1 << 20, NULL},
        {"depth", 'd', OPT_INT, "N", "tokens before those decoded (0: the prompt)", AT(depth), 0, 1 << 20, NULL},
        {"threads", 't', OPT_INT, "N", "threads", AT(threads), 1, 512, NULL},
        {"reps", 'r', OPT_INT, "N", "repetitions, of which the median counts", AT(reps), 1, 100, NULL},
        {"streams", 's', OPT_INT, "N", "sequences decoded together", AT(streams), 1, 64, NULL},
        {"first", 0, OPT_FLAG, NULL, "end after one token", AT(first), 0, 0, NULL},
        {0}};
#undef AT
    const option_group groups[] = {{"Measurement", rows, 0}, {0}};
    const bench_program program = {"LIBDIR MODEL [options]", "Times the installed llama.cpp.", groups, 2};
    const char *arg[2];
    bench_options(&program, argc, argv, &v, arg);
    open_functions(arg[0]);
    llama_log_set(errors_only, NULL);
    ggml_backend_load_all_from_path(arg[0]);
    llama_backend_init();
    llama_model *m = llama_model_load_from_file(arg[1], llama_model_default_params());
    if (!m)
        fail(arg[1], "llama.cpp cannot load it");
    int64_t depth = v.depth ? v.depth : v.p;
    peer p;
    open_context(&p, m, (v.p > depth ? v.p : depth) + v.n + 1, (int32_t)v.streams, (int32_t)v.threads);
    if (v.first) {
        forward(&p, 0, v.p);
        const float *logits = llama_get_logits_ith(p.ctx, -1);
        int32_t best = 0;
        for (int32_t i = 1; i < p.n_vocab; i++)
            best = logits[i] > logits[best] ? i : best;
        printf("%d\n", best);
        return 0;
    }
    if (v.streams > 1) {
        printf("{\"decode_tok_s\":%.6g}\n", decode_together(&p, &v));
        return 0;
    }
    double prefill[100], decode[100];
    for (int64_t r = -1; r < v.reps; r++) {
        llama_memory_clear(p.memory, true);
        double start = os_now();
        forward(&p, 0, v.p);
        prefill[r < 0 ? 0 : r] = (double)v.p / (os_now() - start);
    }
    if (depth > v.p)
        forward(&p, v.p, depth);
    for (int64_t r = -1; r < v.reps; r++) {
        if (!llama_memory_seq_rm(p.memory, 0, (int32_t)depth, -1))
            fail("llama_memory_seq_rm", "failed");
        double start = os_now();
        for (int64_t i = depth; i < depth + v.n; i++)
            forward(&p, i, i + 1);
        decode[r < 0 ? 0 : r] = (double)v.n / (os_now() - start);
    }
    printf("{\"prefill_tok_s\":%.6g,\"decode_tok_s\":%.6g}\n", bench_median(prefill, (size_t)v.reps),
           bench_median(decode, (size_t)v.reps));
    return 0;
}
