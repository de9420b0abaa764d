/* test_digests: one SHA-256 for the outputs of every kernel and format, the same on every instruction set, compiler and
 * machine. The table below is part of arithmetic version 1: a change of it is a new version.
 *
 * LOAM_DIGESTS=print prints the table of this build instead of comparing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/hash.h"
#include "kern/math64.h"
#include "prop/gen.h"

static const struct {
    const char *name, *digest;
} table[] = {
#include "prop/digests.inc"
};

static bool printing;
static int n_checked;

static void digest(const char *name, const char *isa, const void *data, size_t n) {
    char hex[65];
    hash_hex(hash_of(data, n), hex);
    n_checked++;
    if (printing) {
        printf("{\"%s\", \"%s\"},\n", name, hex);
        return;
    }
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0) {
            if (strcmp(table[i].digest, hex))
                fail_msg("%s on %s: %s, must be %s", name, isa, hex, table[i].digest);
            return;
        }
    fail_msg("%s: not in the table", name);
}

static void digest_floats(const char *name, const kern_ops *o, float *y, size_t n) {
    o->canonical(y, n);
    digest(name, o->isa, y, n * 4);
}

static void products(const kern_ops *o) {
    enum { ROWS = 37, N = 15, LDY = 40 };
    static float x[N * 1024], y[N * LDY];
    for (int i = 0; i < DTYPE_COUNT; i++)
        for (int wild = 0; wild < 2; wild++) {
            dtype t = (dtype)i;
            char name[40];
            size_t block = dtype_table[t].block_elems, k = block == 1 ? 77 : block == 32 ? 160 : 512;
            size_t bytes = dtype_row_bytes(t, k);
            uint8_t *stored = gen_alloc(ROWS * bytes);
            gen_blocks(t, 1000 + (uint64_t)t, wild, stored, ROWS * k / block);
            for (size_t j = 0; j < N * k; j++) {
                x[j] = wild ? gen_wild(2000, j) : gen_f32(2000, j);
                if (wild && j / k % 2 && !(x[j] > -1e30f && x[j] < 1e30f))
                    x[j] = gen_f32(2001, j);
            }
            uint8_t *packed = gen_pack(t, stored, ROWS, k);
            void *acts = gen_acts(o, kern_acts_kind(t), x, k, N, k);
            memset(y, 0, sizeof y);
            o->product(t, packed, ROWS, k, 0, 3, acts, N, y, LDY);
            snprintf(name, sizeof name, "product %s%s", dtype_table[t].name, wild ? ", any bits" : "");
            digest_floats(name, o, y, N * LDY);
            free(acts);
            free(packed);
            free(stored);
        }
}

static void rows(const kern_ops *o) {
    enum { N = 4099 };
    static float a[N], b[N], y[N];
    static uint16_t h[N];
    for (size_t i = 0; i < N; i++) {
        a[i] = i % 2 ? gen_f32(3000, i) * 8 : gen_wild(3000, i);
        b[i] = gen_f32(3001, i);
    }
#define TAKE(name, call) \
    call;                \
    digest_floats(name, o, y, N)
    TAKE("rmsnorm", o->rmsnorm(b, b, N, 1e-5f, y));
    TAKE("rmsnorm, no weight", o->rmsnorm(b, NULL, N, 1e-5f, y));
    TAKE("silu", o->gated(KERN_SILU, a, b, N, y));
    TAKE("gelu_tanh", o->gated(KERN_GELU_TANH, a, b, N, y));
    TAKE("gelu_erf", o->gated(KERN_GELU_ERF, a, b, N, y));
    TAKE("add", o->add(a, b, N, y));
    TAKE("add_scaled", o->add_scaled(a, b, 0.22f, N, y));
    TAKE("scale", o->scale(a, 0.7f, N, y));
    TAKE("softcap", o->softcap(a, 30, N, y));
    TAKE("exp", o->exp(a, N, y));
    TAKE("log", o->log(a, N, y));
    TAKE("tanh", o->tanh(a, N, y));
    TAKE("sin", o->sin(a, N, y));
    TAKE("cos", o->cos(a, N, y));
    TAKE("erf", o->erf(a, N, y));
    memcpy(y, a, sizeof y);
    TAKE("rope", o->rope(y, b, b + 7, N / 2));
    for (size_t i = 0; i < N; i++)
        y[i] = a[i] == a[i] ? a[i] : b[i];
    o->to_f16(y, N, h);
    digest("to_f16", o->isa, h, sizeof h);
}

static void attention(const kern_ops *o) {
    enum { K = 40, N = 16, POSITIONS = 300 };
    static float q[N * K], out[N * K];
    void *scratch = gen_alloc(kern_attn_scratch_bytes(K));
    gen_row(4000, q, N * K);
    for (int f16 = 0; f16 < 2; f16++)
        for (int cap = 0; cap < 2; cap++) {
            gen_cache c = gen_cache_of(o, 4001, POSITIONS, K, f16);
            kern_kv kv = gen_kv(&c);
            kern_attn a = {0.158113883f, cap ? 20.0f : 0.0f};
            for (int i = 0; i < N; i++) {
                size_t hi = POSITIONS - N + 1 + (size_t)i;
                kern_query one = {q + i * K, out + i * K, i % 3 ? hi - 100 : 0, hi};
                o->attention(&kv, &a, &one, 1, scratch);
            }
            char name[40];
            snprintf(name, sizeof name, "attention %s%s", f16 ? "F16" : "F32", cap ? ", capped" : "");
            digest_floats(name, o, out, N * K);
            gen_cache_free(&c);
        }
    free(scratch);
}

static void scalars(void) {
    enum { N = 2000 };
    static double y[N];
    for (size_t i = 0; i < N; i++)
        y[i] = kern_exp64((rng_f64(5000, RNG_TEST, i) - 0.5) * 1500);
    digest("exp64", "binary64", y, sizeof y);
    for (size_t i = 0; i < N; i++)
        y[i] = kern_log64(kern_exp64((rng_f64(5001, RNG_TEST, i) - 0.5) * 1400));
    digest("log64", "binary64", y, sizeof y);
    for (size_t i = 0; i < N; i++)
        y[i] = kern_pow64(1 + 1e6 * rng_f64(5002, RNG_TEST, i), rng_f64(5003, RNG_TEST, i) - 0.25);
    digest("pow64", "binary64", y, sizeof y);
    for (size_t i = 0; i < N; i++)
        y[i] = rng_f64(5004, RNG_TEST, i);
    digest("random", "Philox", y, sizeof y);
}

static void digests(void **state) {
    (void)state;
    const kern_ops *isa[8];
    int n = gen_isas(isa), each = 0;
    const char *mode = getenv("LOAM_DIGESTS");
    printing = mode && strcmp(mode, "print") == 0;
    for (int s = printing ? n - 1 : 0; s < n; s++) {
        int before = n_checked;
        products(isa[s]);
        rows(isa[s]);
        attention(isa[s]);
        each = n_checked - before;
    }
    scalars();
    if (!printing)
        assert_int_equal(each + 4, sizeof table / sizeof *table);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(digests)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
