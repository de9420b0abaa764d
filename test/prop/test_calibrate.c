/* calibrate: the sums of squares are those of plain loops over what goes into the products, and the same for any
 * threads, instruction sets and cuts of the text, on golden models of several families. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/os.h"
#include "model/calibrate.h"
#include "prop/gen.h"

enum { N_IDS = 61 };

static void must(err_code code, const err *e) {
    if (code)
        fail_msg("%s", e->text);
}

static model *open_model(const char *path, pool *p, const char *isa) {
    model *m;
    err e = {0};
    must(model_open(&m, path, &(model_options){.pool = p, .isa = isa}, &e), &e);
    return m;
}

/* The text in calls of `cut` ids. */
static void read_text(model *m, size_t cut) {
    err e = {0};
    kv_cache *kv;
    int32_t ids[N_IDS];
    for (uint64_t i = 0; i < N_IDS; i++)
        ids[i] = (int32_t)rng_below(7, RNG_TEST, i, model_config_of(m)->V);
    must(kv_open(&kv, m, N_IDS, &e), &e);
    for (size_t at = 0; at < N_IDS; at += cut)
        must(model_forward(m, kv, ids + at, cut < N_IDS - at ? cut : N_IDS - at, LOGITS_NONE, NULL, &e), &e);
    kv_close(kv);
}

static void calibrate(const char *path, int threads, const char *isa, size_t cut, imatrix *out) {
    pool *p;
    calibration *c;
    err e = {0};
    must(pool_open(&p, threads, &e), &e);
    model *m = open_model(path, p, isa);
    must(calibration_open(&c, m, &e), &e);
    read_text(m, cut);
    must(calibration_result(c, out, &e), &e);
    calibration_close(c);
    read_text(m, cut); /* no longer measured: nothing is touched */
    model_close(m);
    pool_close(p);
}

static void same(const imatrix *a, const imatrix *b) {
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        const imatrix_entry *x = &a->entry[i], *y = &b->entry[i];
        assert_true(str_eq(x->name, y->name) && x->n == y->n && x->count == y->count);
        assert_memory_equal(x->sum, y->sum, x->n * sizeof *x->sum);
        assert_memory_equal(x->mean, y->mean, x->n * sizeof *x->mean);
    }
}

static const char *const paths[] = {"test/golden/models/llama", "test/golden/models/gemma3", "test/golden/models/phi3",
                                    "test/golden/models/olmo2", "test/golden/models/quant/mixed.gguf"};
enum { N_PATHS = sizeof paths / sizeof *paths };

static void threads_sets_and_cuts_change_nothing(void **state) {
    (void)state;
    for (int i = 0; i < N_PATHS; i++) {
        imatrix one, other;
        calibrate(paths[i], 1, "scalar", N_IDS, &one);
        static const struct {
            int threads;
            const char *isa;
            size_t cut;
        } ways[] = {{3, "scalar", 7}, {2, "auto", 1}, {5, "auto", N_IDS}};
        for (int w = 0; w < 3; w++) {
            calibrate(paths[i], ways[w].threads, ways[w].isa, ways[w].cut, &other);
            same(&one, &other);
            imatrix_close(&other);
        }
        imatrix_close(&one);
    }
}

/* ---- plain sums ---- */

typedef struct {
    double sum[4][8][512];
    size_t n[4][8];
} plain;

static void add(void *ctx, model_input input, size_t i_layer, const float *x, size_t n, size_t k) {
    plain *p = ctx;
    if (input == INPUT_OUTPUT)
        return;
    assert_true(k <= 512 && i_layer < 8);
    for (size_t i = 0; i < n * k; i++)
        p->sum[input][i_layer][i % k] += (double)x[i] * (double)x[i];
    p->n[input][i_layer] += n;
}

static void sums_are_those_of_plain_loops(void **state) {
    (void)state;
    static const struct {
        const char *in_name;
        model_input input;
    } kinds[] = {{"attn_q", INPUT_QKV},   {"attn_k.", INPUT_QKV}, {"attn_v", INPUT_QKV},   {"attn_output", INPUT_O},
                 {"ffn_gate", INPUT_FFN}, {"ffn_up", INPUT_FFN},  {"ffn_down", INPUT_DOWN}};
    for (int i = 0; i < N_PATHS; i++) {
        static plain p;
        imatrix out;
        size_t found = 0;
        memset(&p, 0, sizeof p);
        model *m = open_model(paths[i], NULL, "auto");
        model_set_watch(m, (model_watch){add, &p});
        read_text(m, N_IDS);
        size_t L = model_config_of(m)->L;
        bool fused = strstr(paths[i], "phi3") != NULL;
        model_close(m);
        calibrate(paths[i], 2, "auto", N_IDS, &out);
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
            for (size_t y = 0; y < L; y++) {
                char begin[64];
                snprintf(begin, sizeof begin, "blk.%zu.%s", y, kinds[k].in_name);
                for (size_t x = 0; x < out.n; x++) {
                    const imatrix_entry *entry = &out.entry[x];
                    if (!str_starts(entry->name, str_from(begin)))
                        continue;
                    found++;
                    assert_int_equal(p.n[kinds[k].input][y], N_IDS);
                    assert_true(entry->count == N_IDS);
                    for (size_t j = 0; j < entry->n; j++)
                        assert_true(entry->sum[j] == (float)p.sum[kinds[k].input][y][j] && entry->sum[j] > 0);
                }
            }
        assert_int_equal(found, out.n);
        assert_int_equal(out.n, L * (fused ? 4 : 7));
        imatrix_close(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_those_of_plain_loops),
        cmocka_unit_test(threads_sets_and_cuts_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
