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

/* ---- as bytes ---- */

_Static_assert((int)KV_IMAGE_STEP == (int)KERN_LANES, "whole panels of keys");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "an image is copied");

static size_t image_key_bytes(const model *m, size_t n) { return n * m->config.K * (m->kv_f16 ? 2 : 4); }
static size_t image_value_bytes(const model *m, size_t n) {
    return n * round_up(m->config.K, KERN_LANES) * (m->kv_f16 ? 2 : 4);
}

size_t kv_image_bytes(const model *m, size_t n) {
    kv_cache kv = {0};
    if (!plan(m, n, &kv)) /* which is at least as large */
        return SIZE_MAX;
    return m->config.L * m->config.G * (image_key_bytes(m, n) + image_value_bytes(m, n));
}

void kv_image_write(const kv_cache *kv, size_t n, uint8_t *to) {
    const model *m = kv->m;
    size_t keys = image_key_bytes(m, n), values = image_value_bytes(m, n);
    assert(n <= kv->len && n % KV_IMAGE_STEP == 0);
    for (size_t i = 0; i < m->config.L; i++)
        for (size_t g = 0; g < m->config.G; g++) {
            kern_kv head = kv_head(kv, i, g);
            memcpy(to, head.k, keys);
            memcpy(to + keys, head.v, values);
            to += keys + values;
        }
}

void kv_image_read(kv_cache *kv, size_t n, const uint8_t *from, size_t n_image) {
    const model *m = kv->m;
    size_t keys = image_key_bytes(m, n_image), values = image_value_bytes(m, n_image);
    assert(n <= n_image && n <= kv->ctx && n_image % KV_IMAGE_STEP == 0);
    for (size_t i = 0; i < m->config.L; i++)
        for (size_t g = 0; g < m->config.G; g++) {
            kern_kv head = kv_head(kv, i, g);
            memcpy((void *)(uintptr_t)head.k, from, image_key_bytes(m, round_up(n, KERN_LANES)));
            memcpy((void *)(uintptr_t)head.v, from + keys, image_value_bytes(m, n));
            from += keys + values;
        }
    kv->len = n;
}

err_code kv_image_layout(const model *m, size_t ctx_tokens, strbuf *out, err *e) {
    const model_config *c = &m->config;
    bool grown = c->original_ctx && ctx_tokens > c->original_ctx;
    return strbuf_addf(out, e, "arithmetic %d, weights %d, cache %s, layers %zu, heads %zu of %zu, rotary factors %s",
                       KERN_ARITHMETIC_VERSION, (int)m->how, m->kv_f16 ? "f16" : "f32", c->L, c->G, c->K,
                       grown ? "long" : "short");
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
