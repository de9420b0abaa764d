/* acts: activations packed for the products. product.h has the layouts, doc/arithmetic.md says how they are quantised.
 */
#include "kern/isa/isa.h"
#include "kern/isa/product.h"

/* One block of n (32 or 256) elements: q = rint(x * (127 / amax)) within +-127, the scale amax / 127, and the sum of
 * each sixteen q. A block whose amax is below 2^-100 is all zeros. One that holds an infinity or a NaN is zeros with a
 * NaN for scale: what went wrong before must not come out as a number. */
V16_FN float quantise(const float *x, int n, int8_t *q, int32_t *sums) {
    v16 top = v16_zero(), inf = v16_set1(__builtin_inff());
    for (int i = 0; i < n; i += 16) {
        v16 a = v16_abs(v16_load(x + i));
        top = v16_max(v16_sel(v16_lt(a, inf), a, inf), top);
    }
    float amax = v16_hmax(top);
    if (amax < 0x1p-100f || amax == __builtin_inff()) {
        memset(q, 0, (size_t)n);
        memset(sums, 0, (size_t)n / 16 * sizeof *sums);
        return amax < 1.0f ? 0.0f : __builtin_nanf("");
    }
    v16 inverse = v16_set1(127.0f / amax), low = v16_set1(-127.0f), high = v16_set1(127.0f);
    for (int i = 0; i < n; i += 16) {
        v16i a = v16_rint(v16_min(v16_max(v16_mul(v16_load(x + i), inverse), low), high));
        v16i_store_s8(q + i, a);
        sums[i / 16] = v16i_sum(a);
    }
    return amax / 127.0f;
}

static int32_t halves(int32_t a, int32_t b) { return (int32_t)((uint32_t)(a & 0xffff) | (uint32_t)b << 16); }

V16_FN void pack_block(const float *x, int32_t *to, size_t T) {
    int8_t q[32];
    int32_t sum[2];
    float d = quantise(x, 32, q, sum), sx = d * (float)(sum[0] + sum[1]);
    memcpy(to, &d, 4);
    memcpy(to + T, &sx, 4);
    to[2 * T] = -8 * (sum[0] + sum[1]);
    for (size_t g = 0; g < 8; g++)
        memcpy(to + (3 + g) * T, q + 4 * g, 4);
}

V16_FN void pack_super(const float *x, int32_t *to, size_t T) {
    int8_t q[256];
    int32_t sum[16];
    float d = quantise(x, 256, q, sum);
    memcpy(to, &d, 4);
    for (size_t g = 0; g < 64; g++)
        memcpy(to + (1 + g) * T, q + 4 * g, 4);
    for (size_t p = 0; p < 8; p++)
        to[(65 + p) * T] = halves(sum[2 * p], sum[2 * p + 1]);
    for (size_t p = 0; p < 4; p++)
        to[(73 + p) * T] = halves(sum[4 * p] + sum[4 * p + 1], sum[4 * p + 2] + sum[4 * p + 3]);
}

void KERN_FN(acts_pack)(acts_kind kind, const float *x, size_t ldx, size_t n, size_t k, size_t from, size_t to,
                        void *acts) {
    kind_info info = KERN_FN(kind_info)(kind);
    size_t blocks = k / info.block;
    for (size_t at = from, T; at < to; at += T) {
        T = kern_tile(info.tile, at, n);
        int32_t *tile = (int32_t *)acts + at * blocks * info.words;
        for (size_t i = 0; i < T; i++)
            for (size_t b = 0; b < blocks; b++) {
                const float *block = x + (at + i) * ldx + b * info.block;
                int32_t *out = tile + b * info.words * T + i;
                if (kind == ACTS_F32)
                    memcpy(out, block, 4);
                else if (kind == ACTS_SUPER)
                    pack_super(block, out, T);
                else
                    pack_block(block, out, T);
            }
    }
}
