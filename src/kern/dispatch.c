/* dispatch: which table of kernels runs on this CPU; and what the tables share. */
#include <string.h>

#include "kern/kern.h"

/* X(isa, test that this CPU runs it), widest first. The Makefile defines KERN_HAVE_<isa> for those it builds. */
#if defined(KERN_HAVE_avx512)
extern const kern_ops kern_ops_avx512;
static bool cpu_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
}
#define ISA_AVX512(X) X(avx512, cpu_avx512())
#else
#define ISA_AVX512(X)
#endif
#if defined(KERN_HAVE_avxvnni)
#include <cpuid.h>
extern const kern_ops kern_ops_avxvnni;
/* CPUID leaf 7, sub-leaf 1, EAX bit 4: a name that older compilers do not know. */
static bool cpu_avxvnni(void) {
    unsigned a = 0, b, c, d;
#if defined(KERN_EMULATE_VNNI)
    a = 1 << 4;
    (void)b, (void)c, (void)d;
#else
    __get_cpuid_count(7, 1, &a, &b, &c, &d);
#endif
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && (a >> 4 & 1);
}
#define ISA_AVXVNNI(X) X(avxvnni, cpu_avxvnni())
#else
#define ISA_AVXVNNI(X)
#endif
#if defined(KERN_HAVE_avx2)
extern const kern_ops kern_ops_avx2;
#define ISA_AVX2(X) X(avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#else
#define ISA_AVX2(X)
#endif
#if defined(KERN_HAVE_neon)
#include <sys/auxv.h>
extern const kern_ops kern_ops_neon;
enum { HWCAP_DOT_PRODUCT = 1 << 20 };
#define ISA_NEON(X) X(neon, (getauxval(AT_HWCAP) & HWCAP_DOT_PRODUCT) != 0)
#else
#define ISA_NEON(X)
#endif
extern const kern_ops kern_ops_scalar;
#define ISAS(X) ISA_AVX512(X) ISA_AVXVNNI(X) ISA_AVX2(X) ISA_NEON(X) X(scalar, true)

const char *const *kern_isa_names(void) {
    static const char *const names[] = {
#define X(isa, usable) #isa,
        ISAS(X)
#undef X
            NULL};
    return names;
}

const kern_ops *kern_select(const char *isa) {
    bool any = !isa || strcmp(isa, "auto") == 0;
#define X(name, usable)                               \
    if ((any || strcmp(isa, #name) == 0) && (usable)) \
        return &kern_ops_##name;
    ISAS(X)
#undef X
    return NULL;
}

bool kern_isa_usable(const char *isa) { return kern_select(isa) != NULL; }

acts_kind kern_acts_kind(dtype weights) {
    uint32_t block = dtype_table[weights].block_elems;
    return block == 1 ? ACTS_F32 : block == 32 ? ACTS_BLOCK : ACTS_SUPER;
}

size_t kern_acts_bytes(acts_kind kind, size_t n, size_t k) {
    switch (kind) {
    case ACTS_BLOCK:
        return n * (k / 32) * (3 + 8) * 4;
    case ACTS_SUPER:
        return n * (k / 256) * (1 + 64 + 8 + 4) * 4;
    default:
        return n * k * 4;
    }
}

size_t kern_tile(int tile, size_t at, size_t n) {
    size_t left = n - at, t = (size_t)tile;
    if (left >= t)
        return t;
    size_t p = 1;
    while (p * 2 <= left && p * 2 < t)
        p *= 2;
    return p;
}

size_t kern_attn_scratch_bytes(size_t width) {
    size_t W = (width + 15) & ~(size_t)15;
    return KERN_ATTN_TILE_MAX * (3 * W + KERN_ATTN_CHUNK) * sizeof(float);
}
