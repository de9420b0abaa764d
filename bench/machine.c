/* machine: loops that run into one limit each; see machine.h. */
#include "machine.h"

#include <stdlib.h>
#include <string.h>

#include "base/os.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define TARGET_AVX2 __attribute__((target("avx2,fma"), noinline))
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,fma,avx2"), noinline))
#endif

/* Twelve chains: more than the latency of an operation times the two that start in a cycle. */
#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
/* The compiler may not see through v: neither fold the loop nor drop it. */
#define KEEP(v) __asm__ volatile("" : "+x"(v))
#define KEEP512(v) __asm__ volatile("" : "+v"(v))

enum { STEPS = 100000, REPS = 7, L2_BYTES = 384 << 10, MEMORY_BYTES = 256 << 20 };

typedef double loop_fn(void); /* operations done */

#if defined(__x86_64__)
TARGET_AVX2 static double fma_avx2(void) {
    __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(1.0f);
#define X(i) __m256 v##i = _mm256_set1_ps(i);
    TWELVE(X)
#undef X
    for (int s = 0; s < STEPS; s++) {
#define X(i) v##i = _mm256_fmadd_ps(v##i, a, b);
        TWELVE(X)
#undef X
    }
#define X(i) KEEP(v##i);
    TWELVE(X)
#undef X
    return 12.0 * 8 * 2 * STEPS;
}

TARGET_AVX2 static double dot_avx2(void) {
    __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5), one = _mm256_set1_epi16(1);
#define X(i) __m256i v##i = _mm256_set1_epi32(i);
    TWELVE(X)
#undef X
    for (int s = 0; s < STEPS; s++) {
        KEEP(a);
#define X(i) v##i = _mm256_add_epi32(v##i, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_add_epi32(a, v##i), b), one));
        TWELVE(X)
#undef X
    }
#define X(i) KEEP(v##i);
    TWELVE(X)
#undef X
    return 12.0 * 32 * 2 * STEPS;
}

TARGET_AVX512 static double fma_avx512(void) {
    __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(1.0f);
#define X(i) __m512 v##i = _mm512_set1_ps(i);
    TWELVE(X)
#undef X
    for (int s = 0; s < STEPS; s++) {
#define X(i) v##i = _mm512_fmadd_ps(v##i, a, b);
        TWELVE(X)
#undef X
    }
#define X(i) KEEP512(v##i);
    TWELVE(X)
#undef X
    return 12.0 * 16 * 2 * STEPS;
}

TARGET_AVX512 static double dot_avx512(void) {
    __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
#define X(i) __m512i v##i = _mm512_set1_epi32(i);
    TWELVE(X)
#undef X
    for (int s = 0; s < STEPS; s++) {
#define X(i) v##i = _mm512_dpbusd_epi32(v##i, a, b);
        TWELVE(X)
#undef X
    }
#define X(i) KEEP512(v##i);
    TWELVE(X)
#undef X
    return 12.0 * 64 * 2 * STEPS;
}

TARGET_AVX2 static uint64_t read_wide(const uint8_t *p, size_t n) {
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (size_t i = 0; i < n; i += 128) {
        a = _mm256_xor_si256(a, _mm256_load_si256((const void *)(p + i)));
        b = _mm256_xor_si256(b, _mm256_load_si256((const void *)(p + i + 32)));
        c = _mm256_xor_si256(c, _mm256_load_si256((const void *)(p + i + 64)));
        d = _mm256_xor_si256(d, _mm256_load_si256((const void *)(p + i + 96)));
    }
    a = _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d));
    return (uint64_t)_mm256_extract_epi64(a, 0);
}
TARGET_AVX512 static uint64_t read_widest(const uint8_t *p, size_t n) {
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (size_t i = 0; i < n; i += 256) {
        a = _mm512_xor_si512(a, _mm512_load_si512(p + i));
        b = _mm512_xor_si512(b, _mm512_load_si512(p + i + 64));
        c = _mm512_xor_si512(c, _mm512_load_si512(p + i + 128));
        d = _mm512_xor_si512(d, _mm512_load_si512(p + i + 192));
    }
    return (uint64_t)_mm512_reduce_add_epi64(_mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d)));
}
#else
static uint64_t read_wide(const uint8_t *p, size_t n) {
    uint64_t a[8] = {0};
    for (size_t i = 0; i < n; i += 64)
        for (size_t j = 0; j < 8; j++) {
            uint64_t v;
            memcpy(&v, p + i + 8 * j, 8);
            a[j] ^= v;
        }
    return a[0] ^ a[1] ^ a[2] ^ a[3] ^ a[4] ^ a[5] ^ a[6] ^ a[7];
}
#endif

typedef struct {
    loop_fn *fn;
    uint64_t (*read)(const uint8_t *p, size_t n);
    const uint8_t *data;
    size_t bytes, times;
    volatile uint64_t seen;
} job;

static void part_of_loop(void *ctx, int part, int n_parts) {
    (void)part, (void)n_parts;
    (void)((job *)ctx)->fn();
}

/* Every thread reads its own part, `times` times. */
static void part_of_read(void *ctx, int part, int n_parts) {
    job *j = ctx;
    size_t each = j->bytes / (size_t)n_parts & ~(size_t)4095;
    uint64_t x = 0;
    for (size_t i = 0; i < j->times; i++)
        x ^= j->read(j->data + (size_t)part * each, each);
    j->seen = x;
}

static double best_of(pool *p, pool_fn *fn, job *j, double amount) {
    double best = 0;
    for (int r = 0; r < REPS; r++) {
        double start = os_now();
        pool_run(p, fn, j);
        double rate = amount / (os_now() - start) * 1e-9;
        best = rate > best ? rate : best;
    }
    return best;
}

err_code machine_measure(const char *isa, pool *p, machine_limits *out, err *e) {
    *out = (machine_limits){0};
    job j = {.read = read_wide};
#if defined(__x86_64__)
    bool wide = strcmp(isa, "avx512") == 0;
    double n = pool_threads(p);
    if (wide)
        j.read = read_widest;
    if (wide || strcmp(isa, "avx2") == 0) {
        j.fn = wide ? fma_avx512 : fma_avx2;
        out->fma = best_of(p, part_of_loop, &j, n * j.fn());
        j.fn = wide ? dot_avx512 : dot_avx2;
        out->dot = best_of(p, part_of_loop, &j, n * j.fn());
    }
#else
    double n = pool_threads(p);
    (void)isa;
#endif
    uint8_t *data = os_pages_alloc(MEMORY_BYTES);
    if (!data)
        return err_set(e, ERR_MEMORY, "no memory for %d bytes", MEMORY_BYTES);
    memset(data, 1, MEMORY_BYTES);
    j.data = data;
    j.bytes = MEMORY_BYTES;
    j.times = 1;
    out->memory = best_of(p, part_of_read, &j, MEMORY_BYTES);
    j.bytes = L2_BYTES * (size_t)n;
    j.times = 200;
    out->l2 = best_of(p, part_of_read, &j, (double)j.bytes * 200);
    os_pages_free(data, MEMORY_BYTES);
    return ERR_OK;
}
