/* product_float: F32, F16 and BF16 weights times binary32 activations.
 *
 *   y = fma(x[k], w[k], y), k ascending from y = +0
 */
#include "kern/isa/product.h"

V16_FN v16 weights(dtype t, const uint8_t *panel, size_t k) {
    switch (t) {
    case DTYPE_F16:
        return v16_load_f16((const uint16_t *)(const void *)panel + 16 * k);
    case DTYPE_BF16:
        return v16_load_bf16((const uint16_t *)(const void *)panel + 16 * k);
    default:
        return v16_load((const float *)(const void *)panel + 16 * k);
    }
}

V16_FN void tile(dtype t, const int T, const uint8_t *panel, const float *x, size_t n, float *y, size_t ldy,
                 size_t lanes, bool first) {
    v16 acc[16];
    FOR_ROWS(i, T) acc[i] = chain_load(y + (size_t)i * ldy, lanes, first);
    for (size_t k = 0; k < n; k++, x += T) {
        v16 w = weights(t, panel, k);
        FOR_ROWS(i, T) acc[i] = v16_fma(v16_set1(x[i]), w, acc[i]);
    }
    FOR_ROWS(i, T) chain_store(y + (size_t)i * ldy, acc[i], lanes);
}

#define TILE(type, T)                                                                                     \
    static void tile_##type##_##T(const uint8_t *panel, const void *acts, size_t n, float *y, size_t ldy, \
                                  size_t lanes, bool first) {                                             \
        tile(DTYPE_##type, T, panel, acts, n, y, ldy, lanes, first);                                      \
    }
#define TILES(type) V16_TILES_FLOAT(TILE, type)
TILES(F32)
TILES(F16)
TILES(BF16)

tile_fn *KERN_FN(product_float)(dtype t, size_t T) {
#define IS(type, rows)                    \
    if (t == DTYPE_##type && T == (rows)) \
        return tile_##type##_##rows;
    V16_TILES_FLOAT(IS, F16)
    V16_TILES_FLOAT(IS, BF16)
    V16_TILES_FLOAT(IS, F32)
    return NULL;
}
