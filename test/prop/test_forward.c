/* test_forward: one model gives one set of logits, whatever runs it: instruction sets, threads, and the cuts of a text
 * into calls (model.h's promise), on the golden models of every family. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/os.h"
#include "kern/block.h"
#include "kern/panel.h"
#include "model/model.h"
#include "prop/gen.h"
#include "unit/gguf_build.h"

enum { N_IDS = 77, V_MAX = 4096 };

static const kern_ops *isa[8];
static int n_isas;
static int32_t ids[N_IDS];
static float *logits, *wanted;

static void must(err_code code, const err *e) {
    if (code)
        fail_msg("%s", e->text);
}

static model *open_model(const char *path, pool *p, const char *set, model_weights how) {
    err e = {0};
    model *m = NULL;
    must(model_open(&m, path, &(model_options){.pool = p, .isa = set, .weights = how}, &e), &e);
    assert_true(model_config_of(m)->V <= V_MAX);
    for (uint64_t i = 0; i < N_IDS; i++)
        ids[i] = (int32_t)rng_below(42, RNG_TEST, i, model_config_of(m)->V);
    return m;
}

static kv_cache *open_cache(model *m) {
    err e = {0};
    kv_cache *kv = NULL;
    must(kv_open(&kv, m, N_IDS + 10, &e), &e);
    return kv;
}

static void forward(model *m, kv_cache *kv, size_t from, size_t n, logits_which which, float *out) {
    err e = {0};
    assert_int_equal(kv_len(kv), from);
    must(model_forward(m, kv, ids + from, n, which, out, &e), &e);
}

typedef enum { WHOLE, SINGLE, RANDOM, LAST_ONLY, CUTS } cut;

/* Logits of all positions, computed in the cuts asked for. */
static void run(model *m, cut how, uint64_t seed, float *out) {
    size_t V = model_config_of(m)->V;
    kv_cache *kv = open_cache(m);
    for (size_t at = 0, n; at < N_IDS; at += n) {
        n = how == WHOLE ? N_IDS : how == RANDOM ? 1 + rng_below(seed, RNG_TEST, at, 20) : 1;
        n = n < N_IDS - at ? n : N_IDS - at;
        forward(m, kv, at, n, how == LAST_ONLY ? LOGITS_LAST : LOGITS_ALL, out + at * V);
    }
    kv_close(kv);
}

static void same(const char *path, const char *what, size_t V) {
    for (size_t i = 0; i < N_IDS * V; i++)
        if (memcmp(&logits[i], &wanted[i], 4))
            fail_msg("%s, %s: logit %zu of position %zu is %a, must be %a", path, what, i % V, i / V, (double)logits[i],
                     (double)wanted[i]);
}

/* thorough: on more numbers of threads, and with positions forgotten and said again. */
static void one_model(const char *path, model_weights how, bool thorough) {
    char what[80];
    static const int threads[] = {1, 3, 2, 8};
    bool first = true; /* the widest set that this CPU runs gives what all others must equal */
    for (int s = 0; s < n_isas; s++)
        for (int t = 0; t < (thorough ? 4 : 2); t++) {
            err e = {0};
            pool *p = NULL;
            must(pool_open(&p, threads[t], &e), &e);
            model *m = open_model(path, p, isa[s]->isa, how);
            size_t V = model_config_of(m)->V;
            for (int c = WHOLE; c < CUTS; c++) {
                snprintf(what, sizeof what, "%s, %d threads, cut %d", isa[s]->isa, threads[t], c);
                if (t && c != WHOLE && c != RANDOM)
                    continue; /* threads that wait for a CPU make many calls slow */
                run(m, (cut)c, (uint64_t)t, first ? wanted : logits);
                if (!first)
                    same(path, what, V);
                first = false;
            }
            if (t != 1) {
                model_close(m);
                pool_close(p);
                continue;
            }
            /* Forgetting the end and saying it again. */
            kv_cache *kv = open_cache(m);
            memcpy(logits, wanted, N_IDS * V * 4);
            forward(m, kv, 0, N_IDS, LOGITS_NONE, NULL);
            static const size_t back[] = {70, 64, 33, 1, 0};
            for (size_t i = 0; i < 5; i++) {
                kv_truncate(kv, back[i]);
                kv_truncate(kv, N_IDS + 5); /* nothing */
                memset(logits + back[i] * V, 0, (N_IDS - back[i]) * V * 4);
                forward(m, kv, back[i], N_IDS - back[i], LOGITS_ALL, logits + back[i] * V);
                same(path, "after kv_truncate", V);
            }
            kv_close(kv);
            model_close(m);
            pool_close(p);
        }
}

#define MODELS "test/golden/models/"

static void safetensors_models(void **state) {
    (void)state;
    static const char *const names[] = {"llama", "mistral", "qwen2-window", "qwen3", "gemma2", "gemma3",
                                        "olmo2", "olmo3",   "smollm3",      "phi3",  "granite"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[120];
        snprintf(path, sizeof path, MODELS "%s", names[i]);
        one_model(path, MODEL_WEIGHTS_STORED, i % 5 == 0);
    }
}

static void quantised_model(void **state) {
    (void)state;
    one_model(MODELS "quant/mixed.gguf", MODEL_WEIGHTS_STORED, true);
    one_model(MODELS "quant/mixed.gguf", MODEL_WEIGHTS_F32, false);
}

/* A copy of a GGUF file in which every tensor is dequantised. */
static void write_dequantised(const gguf_file *g, const char *path) {
    strbuf b = {0};
    uint64_t offset = 0;
    build_header(&b, 3, g->n_tensors, g->n_kv);
    for (size_t i = 0; i < g->n_kv; i++) {
        const gguf_kv *kv = &g->kv[i];
        build_str(&b, kv->key);
        build_u32(&b, (uint32_t)kv->type);
        if (kv->type == GGUF_ARRAY) {
            build_u32(&b, (uint32_t)kv->elem);
            build_u64(&b, kv->n);
        } else if (kv->type == GGUF_STRING) {
            build_u64(&b, kv->bytes);
        }
        build_bytes(&b, kv->p, kv->bytes);
    }
    for (size_t i = 0; i < g->n_tensors; i++) {
        const tensor_ref *t = &g->tensor[i];
        char name[200];
        uint64_t dims[4], n = 1;
        snprintf(name, sizeof name, "%.*s", STR_ARG(t->name));
        for (int d = 0; d < t->n_dims; d++) {
            dims[t->n_dims - 1 - d] = t->dims[d];
            n *= t->dims[d];
        }
        build_info(&b, name, (uint32_t)t->n_dims, dims, 0, offset);
        offset += (n * 4 + g->alignment - 1) / g->alignment * g->alignment;
    }
    build_pad(&b, g->alignment);
    for (size_t i = 0; i < g->n_tensors; i++) {
        const tensor_ref *t = &g->tensor[i];
        size_t n = 1;
        for (int d = 0; d < t->n_dims; d++)
            n *= (size_t)t->dims[d];
        float *w = gen_alloc(n * 4);
        block_dequantise(t->type, t->data, n, w);
        build_bytes(&b, w, n * 4);
        build_pad(&b, g->alignment);
        free(w);
    }
    build_save(path, strbuf_str(&b));
    strbuf_fini(&b);
}

/* Weights dequantised at load are what a file of those very numbers gives. */
static void weights_f32(void **state) {
    (void)state;
    err e = {0};
    gguf_file g;
    const char *path = build_path("dequantised.gguf");
    must(gguf_open(&g, MODELS "quant/mixed.gguf", &e), &e);
    write_dequantised(&g, path);
    gguf_close(&g);
    model *m = open_model(path, NULL, NULL, MODEL_WEIGHTS_STORED);
    run(m, WHOLE, 0, wanted);
    model_close(m);
    m = open_model(MODELS "quant/mixed.gguf", NULL, NULL, MODEL_WEIGHTS_F32);
    run(m, RANDOM, 1, logits);
    same("mixed.gguf", "dequantised", model_config_of(m)->V);
    model_close(m);
    m = open_model(MODELS "quant/mixed.gguf", NULL, NULL, MODEL_WEIGHTS_STORED);
    run(m, WHOLE, 0, logits);
    assert_true(memcmp(logits, wanted, model_config_of(m)->V * 4) != 0); /* activations are quantised there */
    model_close(m);
    unlink(path);
}

/* A refused call changes nothing. */
static void refusals(void **state) {
    (void)state;
    model *m = open_model(MODELS "llama", NULL, NULL, MODEL_WEIGHTS_STORED);
    err e = {0};
    kv_cache *kv = open_cache(m);
    int32_t bad[3] = {1, 2, (int32_t)model_config_of(m)->V}, negative = -1;
    forward(m, kv, 0, N_IDS, LOGITS_NONE, NULL);
    assert_int_equal(model_forward(m, kv, bad, 3, LOGITS_LAST, logits, &e), ERR_USAGE);
    assert_int_equal(model_forward(m, kv, &negative, 1, LOGITS_LAST, logits, &e), ERR_USAGE);
    assert_int_equal(model_forward(m, kv, ids, 11, LOGITS_LAST, logits, &e), ERR_LIMIT);
    assert_int_equal(kv_len(kv), N_IDS);
    kv_close(kv);
    assert_int_equal(kv_open(&kv, m, 0, &e), ERR_USAGE);
    assert_int_equal(kv_open(&kv, m, SIZE_MAX, &e), ERR_USAGE);
    model_close(m);
}

/* What quantised bytes mean: the reference dequantiser's numbers, by their digest. */
static void dequantised_tensors(void **state) {
    (void)state;
    strbuf text = {0};
    err e = {0};
    gguf_file g;
    must(os_read_file(MODELS "models.json", 1 << 20, &text, &e), &e);
    must(gguf_open(&g, MODELS "quant/blocks.gguf", &e), &e);
    json_t *root = NULL;
    must(json_read(strbuf_str(&text), 1 << 20, &root, &e), &e);
    const json_t *f32 = json_object_get(json_object_get(root, "quant"), "f32");
    assert_true(json_is_object(f32));
    for (int t = 0; t < DTYPE_COUNT; t++) {
        hash_state *h = NULL;
        int n_tensors = 0;
        char hex[65];
        must(hash_open(&h, &e), &e);
        for (size_t i = 0; i < g.n_tensors; i++) {
            const tensor_ref *ref = &g.tensor[i];
            if ((int)ref->type != t)
                continue;
            size_t n = 1;
            for (int d = 0; d < ref->n_dims; d++)
                n *= (size_t)ref->dims[d];
            float *w = gen_alloc(n * 4);
            block_dequantise((dtype)t, ref->data, n, w);
            hash_add(h, w, n * 4);
            free(w);
            n_tensors++;
        }
        hash_hex(hash_close(h), hex);
        str want = json_str_of(json_object_get(f32, dtype_table[t].name));
        assert_true(n_tensors > 0);
        if (!str_is(want, hex))
            fail_msg("%s: %s, must be %.*s", dtype_table[t].name, hex, STR_ARG(want));
    }
    json_decref(root);
    gguf_close(&g);
    strbuf_fini(&text);
}

static int setup(void **state) {
    (void)state;
    logits = gen_alloc((size_t)N_IDS * V_MAX * 4);
    wanted = gen_alloc((size_t)N_IDS * V_MAX * 4);
    n_isas = gen_isas(isa);
    return n_isas < 1;
}
static int teardown(void **state) {
    (void)state;
    free(logits);
    free(wanted);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safetensors_models), cmocka_unit_test(quantised_model),     cmocka_unit_test(weights_f32),
        cmocka_unit_test(refusals),           cmocka_unit_test(dequantised_tensors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
