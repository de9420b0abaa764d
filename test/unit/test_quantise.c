/* quantise: the bytes of the reference quantiser (test/golden/quantise.py), bounds of errors, fixpoints, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/os.h"
#include "kern/block.h"
#include "kern/quantise.h"
#include "prop/gen.h"

enum { ROWS = 24, COLS = 1024 };
static const kern_ops *kern; /* under test */
static const char *const kinds[] = {"normal",   "uniform", "outliers", "sparse", "positive",
                                    "negative", "ties",    "equal",    "tiny",   "zero"};
enum { NORMAL, UNIFORM, OUTLIERS, SPARSE, POSITIVE, NEGATIVE, TIES, EQUAL, TINY, ZERO, KINDS };
static const char *const weights[] = {"none", "ones", "random", "gaps"};
enum { NONE, ONES, RANDOM, GAPS, WEIGHTS };

/* ---- the rows of quantise.py ---- */

static uint32_t next(uint64_t *s) {
    *s ^= *s >> 12;
    *s ^= *s << 25;
    *s ^= *s >> 27;
    return (uint32_t)(*s * 0x2545f4914f6cdd1du >> 32);
}

static uint64_t seeded(uint64_t seed) { return seed * 0x9e3779b97f4a7c15u + 1; }

static int bell(uint64_t *s) {
    uint32_t a = next(s), b = next(s);
    int sum = -1020;
    for (int i = 0; i < 32; i += 8)
        sum += (int)(a >> i & 255) + (int)(b >> i & 255);
    return sum;
}

static void make_row(int kind, int i, float *out) {
    uint64_t s = seeded((uint64_t)(1 + 1000 * kind + i));
    double scale = ldexp(1 + i % 7 / 8.0, i % 11 - 14);
    for (int j = 0; j < COLS; j++) {
        double x = bell(&s);
        uint32_t u = next(&s);
        switch (kind) {
        case UNIFORM:
            x = (int)(u % 4001) - 2000;
            break;
        case OUTLIERS:
            x = u % 61 == 0 ? x * 40 : x;
            break;
        case SPARSE:
            x = u % 5 == 0 || j / 32 % 3 == 0 ? x : 0;
            break;
        case POSITIVE:
            x = fabs(x) + 300;
            break;
        case NEGATIVE:
            x = -(int)fabs(x); /* no negative zero */
            break;
        case TIES:
            x = ((int)(u % 33) - 16) * 128;
            break;
        case EQUAL:
            x = 100 * (i - 12);
            break;
        case TINY:
            x = ldexp(x, -30);
            break;
        case ZERO:
            x = j / 256 % 2 ? 0 : x;
            break;
        default:
            break;
        }
        out[j] = (float)(x * scale);
    }
}

static void make_weights(int kind, int i, float *out) {
    uint64_t s = seeded((uint64_t)(77 + i));
    for (int j = 0; j < COLS; j++) {
        uint32_t u = next(&s);
        out[j] = kind == ONES     ? 1.0f
                 : kind == RANDOM ? (float)((double)(u % 100000 + 1) / 1024)
                                  : (float)(u % 4 == 0 ? 0.0 : u % 1000 / 64.0);
    }
}

/* ---- the reference's bytes ---- */

static int place(const char *word, const char *const *list, int n) {
    for (int i = 0; i < n; i++)
        if (strcmp(word, list[i]) == 0)
            return i;
    fail_msg("%s: unknown", word);
    return -1;
}

static void check_line(const char *type, const char *kind, const char *weight, const char *want) {
    static float x[COLS], w[COLS];
    static uint8_t out[4 * COLS];
    int t = dtype_from_name(type), k = place(kind, kinds, KINDS), v = place(weight, weights, WEIGHTS);
    assert_true(t >= 0);
    hash_state *h;
    char hex[65];
    assert_int_equal(hash_open(&h, NULL), ERR_OK);
    for (int i = 0; i < ROWS; i++) {
        make_row(k, i, x);
        if (v != NONE)
            make_weights(v, i, w);
        if (!quantise_row(kern, (dtype)t, x, COLS, v == NONE ? NULL : w, out))
            fail_msg("%s %s: row %d does not fit", type, kind, i);
        hash_add(h, out, dtype_row_bytes((dtype)t, COLS));
    }
    hash_hex(hash_close(h), hex);
    if (strcmp(hex, want) != 0)
        fail_msg("%s of %s rows, importances %s, %s: other bytes than the reference's", type, kind, weight, kern->isa);
}

static int check_all(const char *text) {
    int n = 0;
    for (const char *p = text; *p; n++) {
        char type[16], kind[16], weight[16], hex[80];
        int used;
        assert_int_equal(sscanf(p, "%15s %15s %15s %79s%n", type, kind, weight, hex, &used), 4);
        check_line(type, kind, weight, hex);
        p += used + 1;
    }
    return n;
}

static void the_reference_s_bytes(void **state) {
    (void)state;
    strbuf text = {0};
    const kern_ops *isa[8];
    int n_isas = gen_isas(isa);
    assert_int_equal(os_read_file("test/golden/quantise.txt", 1 << 20, &text, NULL), ERR_OK);
    assert_int_equal(strbuf_addc(&text, 0, NULL), ERR_OK);
    for (int i = 0; i < n_isas; i++) {
        kern = isa[i];
        assert_true(check_all(text.p) >= 400);
    }
    strbuf_fini(&text);
}

/* ---- properties ---- */

static double error(dtype t, const float *x, size_t n, const float *w, double *size) {
    static float back[COLS];
    static uint8_t out[4 * COLS];
    double sum = 0;
    *size = 0;
    assert_true(quantise_row(kern, t, x, n, w, out));
    block_dequantise(t, out, n, back);
    for (size_t i = 0; i < n; i++) {
        double importance = w ? (double)w[i] : 1, d = (double)back[i] - (double)x[i];
        sum += importance * d * d;
        *size += importance * (double)x[i] * (double)x[i];
    }
    return sum;
}

/* Relative errors of normal rows, measured and rounded up. */
static void errors_are_small(void **state) {
    (void)state;
    static const struct {
        dtype t;
        double most;
    } bounds[] = {{DTYPE_F16, 3e-4},  {DTYPE_BF16, 2e-3}, {DTYPE_Q8_0, 0.006}, {DTYPE_Q6_K, 0.02},
                  {DTYPE_Q5_K, 0.04}, {DTYPE_Q5_1, 0.05}, {DTYPE_Q5_0, 0.05},  {DTYPE_Q4_K, 0.08},
                  {DTYPE_Q4_1, 0.09}, {DTYPE_Q4_0, 0.1},  {DTYPE_Q3_K, 0.17},  {DTYPE_Q2_K, 0.33}};
    static float x[COLS];
    for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++)
        for (int i = 0; i < ROWS; i++) {
            double size;
            make_row(NORMAL, i, x);
            double relative = sqrt(error(bounds[b].t, x, COLS, NULL, &size) / size);
            if (!(relative <= bounds[b].most))
                fail_msg("%s: relative error %g", dtype_table[bounds[b].t].name, relative);
        }
}

/* Importances lower the error that they weigh: on average over the rows, in every format that has them. */
static void importances_help(void **state) {
    (void)state;
    static const dtype types[] = {DTYPE_Q2_K, DTYPE_Q3_K, DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K,
                                  DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q5_0, DTYPE_Q5_1};
    static float x[COLS], w[COLS];
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        double with = 0, without = 0;
        for (int i = 0; i < ROWS; i++) {
            static float back[COLS];
            static uint8_t out[4 * COLS];
            double size;
            make_row(NORMAL, i, x);
            make_weights(RANDOM, i, w);
            double e = error(types[t], x, COLS, w, &size);
            with += e / size;
            assert_true(quantise_row(kern, types[t], x, COLS, NULL, out));
            block_dequantise(types[t], out, COLS, back);
            e = 0;
            for (int j = 0; j < COLS; j++)
                e += (double)w[j] * ((double)back[j] - (double)x[j]) * ((double)back[j] - (double)x[j]);
            without += e / size;
        }
        if (!(with < without))
            fail_msg("%s: weighted error %g with importances, %g without", dtype_table[types[t]].name, with, without);
    }
}

/* Formats without a minimum and with the exact scale in reach give their own values back, byte for byte. */
static void rounding_again_changes_nothing(void **state) {
    (void)state;
    static const dtype types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_0, DTYPE_Q5_0};
    static float x[COLS], back[COLS];
    static uint8_t a[4 * COLS], b[4 * COLS];
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (int i = 0; i < ROWS; i++) {
            make_row(NORMAL, i, x);
            assert_true(quantise_row(kern, types[t], x, COLS, NULL, a));
            block_dequantise(types[t], a, COLS, back);
            assert_true(quantise_row(kern, types[t], back, COLS, NULL, b));
            assert_memory_equal(a, b, dtype_row_bytes(types[t], COLS));
        }
}

static void refuses_what_does_not_fit(void **state) {
    (void)state;
    static float x[COLS];
    static uint8_t out[4 * COLS];
    for (int t = 0; t < DTYPE_COUNT; t++) {
        make_row(NORMAL, 3, x);
        assert_true(quantise_row(kern, (dtype)t, x, COLS, NULL, out));
        static const float bad[] = {INFINITY, -INFINITY, NAN};
        for (int i = 0; i < 3; i++) {
            x[500] = bad[i];
            assert_false(quantise_row(kern, (dtype)t, x, COLS, NULL, out));
        }
        x[500] = 3e38f; /* beyond binary16's largest times any integer */
        assert_int_equal(quantise_row(kern, (dtype)t, x, COLS, NULL, out), t == DTYPE_F32 || t == DTYPE_BF16);
        x[500] = 65519.9f;
        assert_true(quantise_row(kern, (dtype)t, x, COLS, NULL, out));
        x[500] = 65520;
        assert_int_equal(quantise_row(kern, (dtype)t, x, COLS, NULL, out), t != DTYPE_F16);
    }
    x[1] = 3.4e38f; /* rounds to infinity in bfloat16 */
    assert_false(quantise_row(kern, DTYPE_BF16, x, COLS, NULL, out));
}

int main(void) {
    kern = kern_select("auto");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_s_bytes),     cmocka_unit_test(errors_are_small),
        cmocka_unit_test(importances_help),          cmocka_unit_test(rounding_again_changes_nothing),
        cmocka_unit_test(refuses_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
