/* test_adapter: what adapters add is what plain loops say, and one part of a batch with its adapters has the bits that
 * it has alone: on every instruction set, any threads, any cuts, whoever goes along. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <unistd.h>

#include "model/adapter_int.h"
#include "model/adapter_merge.h"
#include "prop/gen.h"
#include "prop/oracle.h"

enum { N_IDS = 40, V_MAX = 4096, N_ROWS = 5 };
#define MODELS "test/golden/models/"

static const kern_ops *isa[8];
static int n_isas;

static void must(err_code code, const err *e) {
    if (code)
        fail_msg("%s", e->text);
}

typedef struct {
    pool *p;
    model *m;
} opened;

static opened open_model(const char *path, const char *set, int threads, model_weights how) {
    err e = {0};
    opened o = {0};
    must(pool_open(&o.p, threads, &e), &e);
    must(model_open(&o.m, path, &(model_options){.pool = o.p, .isa = set, .weights = how}, &e), &e);
    assert_true(model_config_of(o.m)->V <= V_MAX);
    return o;
}

static void close_model(opened o) {
    model_close(o.m);
    pool_close(o.p);
}

static float *at(const matrix *m, size_t r, size_t c) {
    return (float *)(void *)m->packed + r / 16 * 16 * m->cols + c * 16 + r % 16;
}

/* One whose B is not zero, and whose magnitudes are not the norms. */
static adapter *make(model *m, const adapter_shape *s, uint64_t seed) {
    err e = {0};
    adapter *a = NULL;
    must(adapter_create(&a, m, s, seed, &e), &e);
    for (size_t i = 0; i < model_config_of(m)->L; i++)
        for (int p = 0; p < LORA_PARTS; p++) {
            adapter_target *t = adapter_at(a, i, (lora_part)p);
            uint64_t key = seed << 20 | i << 4 | (uint64_t)p;
            for (size_t r = 0; t && r < t->b.rows; r++) {
                for (size_t c = 0; c < t->b.cols; c++)
                    *at(&t->b, r, c) = gen_f32(key, r * t->b.cols + c) * 0.25f;
                if (t->magnitude)
                    t->magnitude[r] *= 1 + gen_f32(key + 7, r) * 0.25f;
            }
        }
    adapter_refresh(a);
    return a;
}

/* ---- plain loops ---- */

static float plain_gain(const adapter_target *t, const matrix *w, size_t r) {
    float lane[16] = {0}, *row = gen_alloc(w->cols * 4);
    matrix_row(w, r, row);
    for (size_t c = 0; c < w->cols; c++) {
        float d = 0;
        for (size_t i = 0; i < t->b.cols; i++)
            d = fmaf(*at(&t->b, r, i), *at(&t->a, i, c), d);
        float v = fmaf(d, t->scale, row[c]);
        lane[c % 16] = fmaf(v, v, lane[c % 16]);
    }
    free(row);
    return t->magnitude[r] / sqrtf(o_tree_sum(lane));
}

static void plain_row(const adapter_target *t, const matrix *w, float mix, const float *x, float *y) {
    float *low = gen_alloc(t->a.rows * 4), k = mix * t->scale;
    for (size_t i = 0; i < t->a.rows; i++) {
        float chain = 0;
        for (size_t c = 0; c < t->a.cols; c++)
            chain = fmaf(x[c], *at(&t->a, i, c), chain);
        low[i] = chain * k;
    }
    for (size_t r = 0; r < t->b.rows; r++) {
        float gain = t->magnitude ? plain_gain(t, w, r) : 1;
        if (t->magnitude)
            y[r] = y[r] * (1 + mix * (gain - 1));
        for (size_t i = 0; i < t->a.rows; i++)
            y[r] = fmaf(low[i], t->magnitude ? *at(&t->b, r, i) * gain : *at(&t->b, r, i), y[r]);
    }
    free(low);
}

/* Two adapters, the second one without the middle part, on q, k and v of layer 1. */
static void one_apply(const char *path, const char *set, int threads, size_t rank, bool dora) {
    opened o = open_model(path, set, threads, MODEL_WEIGHTS_STORED);
    adapter_shape s = {.rank = rank, .alpha = 2 * (double)rank + 1, .dora = dora, .parts = LORA_ALL}, s2 = s;
    s2.parts = 1 << LORA_Q | 1 << LORA_V;
    s2.rslora = true;
    adapter_use use[] = {{make(o.m, &s, 3), 0.75f}, {make(o.m, &s2, 4), 0}, {make(o.m, &s2, 5), -1}};
    size_t D = o.m->config.D, rows[3], cols, widest = 0;
    for (int p = 0; p < 3; p++) {
        lora_part_shape(&o.m->config, (lora_part)p, &rows[p], &cols);
        widest = rows[p] > widest ? rows[p] : widest;
    }
    float *x = gen_alloc(N_ROWS * D * 4), *y[3], *want = gen_alloc(widest * 4);
    gen_row(11, x, N_ROWS * D);
    for (int p = 0; p < 3; p++) {
        y[p] = gen_alloc(N_ROWS * rows[p] * 4);
        gen_row(20 + (uint64_t)p, y[p], N_ROWS * rows[p]);
    }
    adapter_apply(use, 3, 1, LORA_Q, 3, x, D, N_ROWS, y);
    for (int p = 0; p < 3; p++)
        for (size_t n = 0; n < N_ROWS; n++) {
            for (size_t r = 0; r < rows[p]; r++)
                want[r] = gen_f32(20 + (uint64_t)p, n * rows[p] + r);
            for (int u = 0; u < 3; u += 2) {
                const adapter_target *t = adapter_at(use[u].adapter, 1, (lora_part)p);
                assert_int_equal(t == NULL, u == 2 && p == LORA_K);
                if (t)
                    plain_row(t, lora_matrix(&o.m->layers[1], (lora_part)p), use[u].mix, x + n * D, want);
            }
            assert_memory_equal(want, y[p] + n * rows[p], rows[p] * 4);
        }
    for (int p = 0; p < 3; p++)
        free(y[p]);
    free(x);
    free(want);
    for (int u = 0; u < 3; u++)
        adapter_close((adapter *)(uintptr_t)use[u].adapter);
    close_model(o);
}

static void equals_plain_loops(void **state) {
    (void)state;
    static const size_t ranks[] = {1, 5, 16, 37};
    for (int s = 0; s < n_isas; s++)
        for (size_t i = 0; i < 4; i++) {
            one_apply(MODELS "llama", isa[s]->isa, 1 + (int)i, ranks[i], i % 2 == 0);
            one_apply(MODELS "quant/mixed.gguf", isa[s]->isa, 1 + (int)i, ranks[i], i % 2 == 1);
        }
}

/* ---- the forward pass ---- */

static int32_t ids[N_IDS];

/* Logits of part i of a batch of n, each with its adapters; in cuts of `cut` ids. */
typedef struct {
    const adapter_use *use;
    size_t n_uses;
    float *logits; /* [N_IDS][V] */
    kv_cache *kv;
} listener;

static void read_all(model *m, listener *r, size_t n, size_t cut) {
    err e = {0};
    size_t V = model_config_of(m)->V;
    float *logits = gen_alloc(n * N_IDS * V * 4);
    model_part part[8];
    for (size_t i = 0; i < n; i++)
        must(kv_open(&r[i].kv, m, N_IDS, &e), &e);
    for (size_t from = 0, k; from < N_IDS; from += k) {
        k = N_IDS - from < cut ? N_IDS - from : cut;
        for (size_t i = 0; i < n; i++)
            part[i] = (model_part){.kv = r[i].kv,
                                   .ids = ids + from,
                                   .n = k,
                                   .which = LOGITS_ALL,
                                   .adapters = r[i].use,
                                   .n_adapters = r[i].n_uses};
        must(model_forward_batch(m, part, n, logits, &e), &e);
        for (size_t i = 0; i < n; i++)
            memcpy(r[i].logits + from * V, logits + i * k * V, k * V * 4);
    }
    for (size_t i = 0; i < n; i++)
        kv_close(r[i].kv);
    free(logits);
}

enum { KINDS = 4 }; /* none; one; both; the other way round: other sums */

static void together_and_alone(const char *path, model_weights how) {
    float *wanted[KINDS] = {NULL}, *got[2 * KINDS];
    size_t V = 0;
    bool first = true;
    for (int s = 0; s < n_isas; s++)
        for (int threads = 1; threads <= 3; threads += 2) {
            opened o = open_model(path, isa[s]->isa, threads, how);
            V = o.m->config.V;
            for (uint64_t i = 0; i < N_IDS; i++)
                ids[i] = (int32_t)rng_below(42, RNG_TEST, i, V);
            adapter *a = make(o.m, &(adapter_shape){.rank = 8, .alpha = 16, .parts = LORA_ALL}, 1);
            adapter *b = make(o.m, &(adapter_shape){.rank = 3, .alpha = 4, .dora = true, .parts = 0x5a}, 2);
            const adapter_use use[KINDS][2] = {
                {{a, 1}, {b, 1}}, {{a, 0.5f}, {b, 1}}, {{a, 0.5f}, {b, 1}}, {{b, 1}, {a, 0.5f}}};
            listener r[2 * KINDS];
            for (int i = 0; i < 2 * KINDS; i++) {
                got[i] = gen_alloc(N_IDS * V * 4);
                r[i] = (listener){use[i % KINDS], i % KINDS < 2 ? (size_t)(i % KINDS) : 2, got[i], NULL};
            }
            for (int i = 0; i < KINDS; i++) {
                if (first)
                    wanted[i] = gen_alloc(N_IDS * V * 4);
                read_all(o.m, &r[i], 1, first ? N_IDS : i % 2 && threads == 1 ? 1 : 7);
                if (first)
                    memcpy(wanted[i], got[i], N_IDS * V * 4);
                assert_memory_equal(got[i], wanted[i], N_IDS * V * 4);
            }
            for (size_t cut = threads == 1 ? 1 : 9; cut <= N_IDS;
                 cut = cut * 3 + 4) { /* many calls of many threads are slow */
                for (int i = 0; i < 2 * KINDS; i++)
                    memset(got[i], 0, N_IDS * V * 4);
                read_all(o.m, r, 2 * KINDS, cut);
                for (int i = 0; i < 2 * KINDS; i++)
                    if (memcmp(got[i], wanted[i % KINDS], N_IDS * V * 4))
                        fail_msg("%s, %s, %d threads: part %d, cut %zu", path, isa[s]->isa, threads, i, cut);
            }
            first = false;
            for (int i = 0; i < 2 * KINDS; i++)
                free(got[i]);
            adapter_close(a);
            adapter_close(b);
            close_model(o);
        }
    for (int i = 0; i < KINDS; i++)
        for (int k = 0; k < i; k++)
            assert_memory_not_equal(wanted[i], wanted[k], N_IDS * V * 4);
    for (int i = 0; i < KINDS; i++)
        free(wanted[i]);
}

static void parts_of_a_batch(void **state) {
    (void)state;
    static const char *const names[] = {"llama-bias", "qwen2", "gemma3", "phi3", "quant/mixed.gguf"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[120];
        snprintf(path, sizeof path, MODELS "%s", names[i]);
        together_and_alone(path, i == 0 ? MODEL_WEIGHTS_F32 : MODEL_WEIGHTS_STORED);
    }
}

/* ---- new ones ---- */

static void new_ones(void **state) {
    (void)state;
    err e = {0};
    opened o = open_model(MODELS "llama", NULL, 2, MODEL_WEIGHTS_STORED);
    size_t V = o.m->config.V, D = o.m->config.D;
    uint8_t layers[CONFIG_LAYERS_MAX] = {0, 1};
    adapter_shape s = {.rank = 4, .alpha = 8, .parts = 1 << LORA_Q | 1 << LORA_DOWN, .layers = layers};
    adapter *a, *b, *c;
    must(adapter_create(&a, o.m, &s, 1, &e), &e);
    s.parts = LORA_ALL;
    s.layers = NULL;
    must(adapter_create(&b, o.m, &s, 1, &e), &e);
    must(adapter_create(&c, o.m, &s, 2, &e), &e);
    assert_null(adapter_at(a, 0, LORA_Q));
    assert_null(adapter_at(a, 1, LORA_K));
    const adapter_target *t = adapter_at(a, 1, LORA_Q), *u = adapter_at(b, 1, LORA_Q), *v = adapter_at(c, 1, LORA_Q);
    assert_true(t->scale == 2.0f && t->a.rows == 4 && t->a.cols == D && t->b.cols == 4);
    assert_memory_equal(t->a.packed, u->a.packed, 16 * D * 4); /* whatever else is changed */
    assert_memory_not_equal(t->a.packed, v->a.packed, 16 * D * 4);
    float most = 0, bound = (float)(1 / sqrt((double)D));
    double sum = 0;
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < D; k++) {
            float w = *at(&t->a, i, k);
            most = fabsf(w) > most ? fabsf(w) : most;
            sum += (double)w;
        }
    assert_true(most <= bound && most > 0.9f * bound && fabs(sum) < 4 * (double)bound * sqrt(4.0 * (double)D));

    float *plain = gen_alloc(N_IDS * V * 4), *with = gen_alloc(N_IDS * V * 4); /* B is zero: the same numbers */
    for (uint64_t i = 0; i < N_IDS; i++)
        ids[i] = (int32_t)rng_below(42, RNG_TEST, i, V);
    read_all(o.m, &(listener){NULL, 0, plain, NULL}, 1, N_IDS);
    read_all(o.m, &(listener){&(adapter_use){a, 1}, 1, with, NULL}, 1, N_IDS);
    for (size_t i = 0; i < N_IDS * V; i++)
        assert_true(plain[i] == with[i]);
    free(plain);
    free(with);
    adapter_close(a);
    adapter_close(b);
    adapter_close(c);
    close_model(o);
}

/* A row of zeros, which has no direction, is left as it is: in use, and in a merge. */
static void rows_of_zeros(void **state) {
    (void)state;
    err e = {0};
    enum { ROW = 5 };
    opened o = open_model(MODELS "llama", NULL, 2, MODEL_WEIGHTS_F32);
    size_t V = o.m->config.V, D = o.m->config.D;
    adapter_shape s = {.rank = 4, .alpha = 8, .dora = true, .parts = LORA_ALL};
    for (size_t i = 0; i < o.m->config.L * LORA_PARTS; i++) {
        const matrix *w = lora_matrix(&o.m->layers[i / LORA_PARTS], (lora_part)(i % LORA_PARTS));
        for (size_t c = 0; c < w->cols; c++)
            *at(w, ROW, c) = 0;
    }
    adapter *a;
    must(adapter_create(&a, o.m, &s, 1, &e), &e);
    float *plain = gen_alloc(N_IDS * V * 4), *with = gen_alloc(N_IDS * V * 4), *row = gen_alloc(D * 4);
    for (uint64_t i = 0; i < N_IDS; i++)
        ids[i] = (int32_t)rng_below(42, RNG_TEST, i, V);
    read_all(o.m, &(listener){NULL, 0, plain, NULL}, 1, N_IDS);
    read_all(o.m, &(listener){&(adapter_use){a, 1}, 1, with, NULL}, 1, N_IDS);
    for (size_t i = 0; i < N_IDS * V; i++)
        assert_true(plain[i] == with[i]);
    adapter_merge *g;
    bool changes;
    const model_tensor q = {.role = ROLE_Q, .layer = 1, .n_parts = 1, .cols = D};
    must(adapter_merge_open(&g, o.m, &(adapter_use){a, 1}, 1, &e), &e);
    export_change change = adapter_merge_change(g);
    must(change.begin(change.ctx, &q, &changes, &e), &e);
    memset(row, 0, D * 4);
    change.row(change.ctx, &q, 0, ROW, 0, row);
    for (size_t c = 0; c < D; c++)
        assert_true(row[c] == 0);
    adapter_merge_close(g);
    free(plain);
    free(with);
    free(row);
    adapter_close(a);
    close_model(o);
}

/* A mix that is no number gives logits that are none, and an end. */
static void a_mix_of_nan_ends(void **state) {
    (void)state;
    opened o = open_model(MODELS "llama", NULL, 1, MODEL_WEIGHTS_STORED);
    adapter_shape s = {.rank = 2, .alpha = 4, .parts = LORA_ALL};
    adapter *a = make(o.m, &s, 3);
    float *logits = gen_alloc(N_IDS * o.m->config.V * 4);
    memset(ids, 0, sizeof ids);
    alarm(60);
    read_all(o.m, &(listener){&(adapter_use){a, NAN}, 1, logits, NULL}, 1, N_IDS);
    alarm(0);
    assert_true(isnan(logits[0]));
    free(logits);
    adapter_close(a);
    close_model(o);
}

static void refusals(void **state) {
    (void)state;
    err e = {0};
    opened o = open_model(MODELS "llama", NULL, 1, MODEL_WEIGHTS_STORED);
    const adapter_shape bad[] = {
        {.rank = 0, .alpha = 1, .parts = 1},   {.rank = ADAPTER_RANK_MAX + 1, .alpha = 1, .parts = 1},
        {.rank = 1, .alpha = 0, .parts = 1},   {.rank = 1, .alpha = (double)NAN, .parts = 1},
        {.rank = 1, .alpha = 1e9, .parts = 1}, {.rank = 1, .alpha = 1, .parts = 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        adapter *a = NULL;
        assert_int_equal(adapter_create(&a, o.m, &bad[i], 1, &e), ERR_USAGE);
        assert_null(a);
    }
    unsigned parts;
    must(lora_parts_from(STR("q_proj,down_proj"), &parts, &e), &e);
    assert_int_equal(parts, 1 << LORA_Q | 1 << LORA_DOWN);
    must(lora_parts_from(STR("all-linear"), &parts, &e), &e);
    assert_int_equal(parts, LORA_ALL);
    static const char *const wrong[] = {"", "q_proj,", "lm_head", "q_proj k_proj"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(lora_parts_from(str_from(wrong[i]), &parts, &e), ERR_USAGE);
    close_model(o);
}

static int setup(void **state) {
    (void)state;
    n_isas = gen_isas(isa);
    return n_isas < 1;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_plain_loops), cmocka_unit_test(parts_of_a_batch),
                                       cmocka_unit_test(new_ones),           cmocka_unit_test(rows_of_zeros),
                                       cmocka_unit_test(a_mix_of_nan_ends),  cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
