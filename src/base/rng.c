/* rng: Philox4x32-10; see rng.h. */
#include "base/rng.h"

#include <assert.h>

void rng_philox(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c0 = ctr[0], c1 = ctr[1], c2 = ctr[2], c3 = ctr[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(b >> 32) ^ c1 ^ k0, n2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)b;
        c3 = (uint32_t)a;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* Counter: index (64 bit), purpose, 0. Key: seed. */
static void block(uint64_t seed, rng_purpose purpose, uint64_t index, uint32_t out[4]) {
    uint32_t ctr[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)purpose, 0};
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    rng_philox(ctr, key, out);
}

uint32_t rng_u32(uint64_t seed, rng_purpose purpose, uint64_t index) {
    uint32_t w[4];
    block(seed, purpose, index, w);
    return w[0];
}

uint64_t rng_u64(uint64_t seed, rng_purpose purpose, uint64_t index) {
    uint32_t w[4];
    block(seed, purpose, index, w);
    return (uint64_t)w[1] << 32 | w[0];
}

float rng_f32(uint64_t seed, rng_purpose purpose, uint64_t index) {
    return (float)(rng_u32(seed, purpose, index) >> 8) * 0x1p-24f;
}

double rng_f64(uint64_t seed, rng_purpose purpose, uint64_t index) {
    return (double)(rng_u64(seed, purpose, index) >> 11) * 0x1p-53;
}

uint64_t rng_below(uint64_t seed, rng_purpose purpose, uint64_t index, uint64_t n) {
    assert(n >= 1);
    __extension__ typedef unsigned __int128 u128;
    return (uint64_t)((u128)rng_u64(seed, purpose, index) * n >> 64);
}
