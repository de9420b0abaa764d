/* cache: keys and values of the positions so far; layout in model_int.h and kern.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "kern/half.h"
#include "model/model_int.h"
#include "model/rope.h"

static size_t round_up(size_t x, size_t to) { return (x + to - 1) / to * to; }

/* Sizes of a cache into *kv; false when they overflow. */
static bool plan(const model *m, size_t ctx, kv_cache *kv) {
    const model_config *c = &m->config;
    size_t elem = m->kv_f16 ? 2 : 4, head;
    kv->W = round_up(c->K, KERN_LANES);
    kv->rows = round_up(ctx, KERN_ATTN_CHUNK);
    if (__builtin_mul_overflow(kv->rows, c->K * elem * c->G, &kv->key_bytes) ||
        __builtin_mul_overflow(kv->rows, (c->K + kv->W) * elem * c->G, &head))
        return false;
    kv->layer_bytes = round_up(head, 64);
    return !__builtin_mul_overflow(kv->layer_bytes, c->L, &kv->bytes);
}

size_t model_kv_bytes(const model *m, size_t ctx_tokens) {
    kv_cache kv = {0};
    return plan(m, ctx_tokens, &kv) ? kv.bytes + m->config.rope_width * sizeof(float) : SIZE_MAX;
}

err_code kv_open(kv_cache **out, model *m, size_t ctx_tokens, err *e) {
    return kv_open_room(out, m, ctx_tokens, ctx_tokens, e);
}

err_code kv_open_room(kv_cache **out, model *m, size_t ctx_tokens, size_t room_tokens, err *e) {
    const model_config *c = &m->config;
    assert(m->packed); /* not opened for planning only */
    assert(room_tokens >= 1 || ctx_tokens < 1);
    assert(room_tokens <= ctx_tokens);
    if (ctx_tokens < 1 || ctx_tokens > INT32_MAX / 2)
        return err_set(e, ERR_USAGE, "a context of %zu tokens, must be 1 to %d", ctx_tokens, INT32_MAX / 2);
    kv_cache *kv = calloc(1, sizeof *kv);
    if (!kv)
        return err_set(e, ERR_MEMORY, "no memory for a KV cache");
    kv->m = m;
    kv->ctx = room_tokens;
    if (plan(m, room_tokens, kv)) {
        kv->mem = os_pages_alloc(kv->bytes);
        kv->freq = calloc(c->rope_width + 1, sizeof(float));
    }
    if (!kv->mem || !kv->freq) {
        kv_close(kv);
        return err_set(e, ERR_MEMORY, "no memory for a KV cache of %zu tokens (use a smaller --ctx)", room_tokens);
    }
    bool grown = c->original_ctx && ctx_tokens > c->original_ctx;
    const rope_config *local = c->arch->local_rope ? &c->rope_local : &c->rope;
    rope_frequencies(&c->rope, c->rope_width, c->original_ctx, grown, kv->freq);
    rope_frequencies(local, c->rope_width, c->original_ctx, grown, kv->freq + c->rope_width / 2);
    kv->factor[0] = (float)c->rope.attn_factor;
    kv->factor[1] = (float)local->attn_factor;
    *out = kv;
    return ERR_OK;
}

void kv_close(kv_cache *kv) {
    if (!kv)
        return;
    os_pages_free(kv->mem, kv->bytes);
    free(kv->freq);
    free(kv);
}

size_t kv_len(const kv_cache *kv) { return kv->len; }
size_t kv_ctx(const kv_cache *kv) { return kv->ctx; }

/* What is forgotten may stay in memory: no chain ever reads a position that its query does not see. */
void kv_truncate(kv_cache *kv, size_t len) { kv->len = len < kv->len ? len : kv->len; }

void kv_copy(kv_cache *to, const kv_cache *from, size_t n) {
    const model_config *c = &to->m->config;
    size_t elem = to->m->kv_f16 ? 2 : 4;
    assert(to->m == from->m && n <= from->len && n <= to->ctx);
    for (size_t i = 0; i < c->L; i++)
        for (size_t g = 0; g < c->G; g++) {
            kern_kv a = kv_head(to, i, g), b = kv_head(from, i, g);
            memcpy((void *)(uintptr_t)a.k, b.k, round_up(n, KERN_LANES) * c->K * elem);
            memcpy((void *)(uintptr_t)a.v, b.v, n * to->W * elem);
        }
    to->len = n;
}

kern_kv kv_head(const kv_cache *kv, size_t i_layer, size_t g) {
    size_t elem = kv->m->kv_f16 ? 2 : 4, K = kv->m->config.K;
    const uint8_t *base = kv->mem + i_layer * kv->layer_bytes;
    return (kern_kv){
        .k = base + g * kv->rows * K * elem,
        .v = base + kv->key_bytes + g * kv->rows * kv->W * elem,
        .f16 = kv->m->kv_f16,
        .width = K,
        .v_stride = kv->W,
    };
}

void kv_put(const kv_cache *kv, size_t i_layer, size_t pos, size_t from, size_t to, const float *k, const float *v) {
    size_t K = kv->m->config.K, G = kv->m->config.G;
    for (size_t g = 0; g < G; g++) {
        kern_kv head = kv_head(kv, i_layer, g);
        for (size_t t = from; t < to; t++) {
            size_t at = pos + t, key = at / KERN_LANES * KERN_LANES * K + at % KERN_LANES;
            const float *kt = k + (t * G + g) * K, *vt = v + (t * G + g) * K;
            if (head.f16) {
                uint16_t *to_k = (uint16_t *)(uintptr_t)head.k + key;
                for (size_t d = 0; d < K; d++)
                    to_k[d * KERN_LANES] = half_from_f32(kt[d]);
                kv->m->engine.kern->to_f16(vt, K, (uint16_t *)(uintptr_t)head.v + at * kv->W);
            } else {
                float *to_k = (float *)(uintptr_t)head.k + key;
                for (size_t d = 0; d < K; d++)
                    to_k[d * KERN_LANES] = kt[d];
                memcpy((float *)(uintptr_t)head.v + at * kv->W, vt, K * sizeof(float));
            }
        }
    }
}
