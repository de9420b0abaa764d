/* model: an open-weight language model, ready to compute.
 *
 * A model is a .gguf file or a Hugging Face folder. Opening it reads the metadata into a
 * config, finds every tensor that the architecture needs, checks its shape, and packs the
 * weights for the kernels. After that a model is read-only: any number of kv caches may use
 * it, one forward call at a time (they share the thread pool and the scratch block).
 *
 *   letters: T positions, D width, H query heads, G key/value heads, K head width,
 *            F feed-forward width, V vocabulary, L layers
 */
#ifndef LOAM_MODEL_MODEL_H
#define LOAM_MODEL_MODEL_H

#include "base/pool.h"
#include "io/gguf.h"
#include "kern/dtype.h"
#include "model/config.h"

typedef struct model model;
typedef struct kv_cache kv_cache;
typedef struct adapter adapter; /* model/adapter.h */

/* How weights enter the products. STORED: in the form of the file, quantised formats by integer dots.
 * F32: every weight dequantised at load (exact values, 4 bytes each): what the file means, without the
 * quantisation of activations. */
typedef enum { MODEL_WEIGHTS_STORED, MODEL_WEIGHTS_F32 } model_weights;

typedef struct {
    pool *pool;      /* NULL: the caller's thread alone */
    const char *isa; /* "auto" or NULL, "avx512", "avxvnni", "avx2", "neon", "scalar"; unavailable: ERR_USAGE */
    model_weights weights;
    bool plan; /* read and check everything but load nothing: for sizes. Such a model has no caches */
    void (*progress)(void *ctx, size_t done_bytes, size_t total_bytes); /* while packing; may be NULL */
    void *progress_ctx;
} model_options;

err_code model_open(model **out, const char *path, const model_options *o, err *e);
void model_close(model *m); /* NULL allowed; caches must be closed before */

const model_config *model_config_of(const model *m);
const gguf_file *model_gguf(const model *m); /* NULL for a folder */
const char *model_path(const model *m);
const char *model_isa(const model *m);        /* the one in use */
size_t model_weight_bytes(const model *m);    /* packed weights in memory */
size_t model_bytes_per_token(const model *m); /* weight bytes read to decode one token */

/* Bytes of a cache of ctx_tokens positions, and of the scratch block, told before allocation. */
size_t model_kv_bytes(const model *m, size_t ctx_tokens);
size_t model_scratch_bytes(const model *m, size_t ctx_tokens);

/* A cache for ctx_tokens positions (1 to INT32_MAX / 2). A session that may grow past
 * config->rope.original_ctx chooses its rotary factors by this number, once. */
err_code kv_open(kv_cache **out, model *m, size_t ctx_tokens, err *e);
/* The same with memory for room_tokens positions alone (1 to ctx_tokens): its numbers are those of a cache of
 * ctx_tokens. model_kv_bytes(m, room_tokens) bytes. kv_ctx() is the room. */
err_code kv_open_room(kv_cache **out, model *m, size_t ctx_tokens, size_t room_tokens, err *e);
void kv_close(kv_cache *kv); /* NULL allowed */
size_t kv_len(const kv_cache *kv);
size_t kv_ctx(const kv_cache *kv);
/* Forgets positions from `len` on (no-op when len >= kv_len). */
void kv_truncate(kv_cache *kv, size_t len);
/* to's positions become the first n of from's, bit for bit; n at most kv_len(from) and to's room (asserted). Both
 * caches are of one model, opened for one number of ctx_tokens. */
void kv_copy(kv_cache *to, const kv_cache *from, size_t n);

/* The first n positions of a cache as bytes, n a multiple of KV_IMAGE_STEP: the same bytes on every machine for the
 * same ids. layer by layer, head by head: keys in panels, then values. */
enum { KV_IMAGE_STEP = 16 };
size_t kv_image_bytes(const model *m, size_t n);                /* SIZE_MAX: too many */
void kv_image_write(const kv_cache *kv, size_t n, uint8_t *to); /* n <= kv_len(kv) (asserted) */
/* The cache's positions become the first n of an image of n_image; n <= its room and n_image (asserted). */
void kv_image_read(kv_cache *kv, size_t n, const uint8_t *from, size_t n_image);
/* Appends what the bytes depend on beside the model's files and the ids, as text: for caches of ctx_tokens. */
err_code kv_image_layout(const model *m, size_t ctx_tokens, strbuf *out, err *e);

/* Which logits a forward call writes. */
typedef enum { LOGITS_NONE, LOGITS_LAST, LOGITS_ALL } logits_which;

/* Appends n ids at positions kv_len .. kv_len+n-1 and writes logits f32[V] (LAST) or f32[n][V] (ALL).
 * The bits of every logit depend on the ids from position 0 on, and on nothing else: not on how they were
 * cut into calls, threads or instruction sets. ids outside the vocabulary: ERR_USAGE; more positions than
 * the cache has: ERR_LIMIT; in both cases nothing changed. Allocates nothing. */
err_code model_forward(model *m, kv_cache *kv, const int32_t *ids, size_t n, logits_which which, float *logits, err *e);

/* An adapter at work, and how much of it: 1 is all, 0 none, below 0 the opposite. */
typedef struct {
    const adapter *adapter;
    float mix;
} adapter_use;

/* Whether two lists make the same numbers. */
bool adapter_uses_equal(const adapter_use *a, size_t n_a, const adapter_use *b, size_t n_b);

/* What one cache gets in a batch. Adapters (model/adapter.h) of this very model change the numbers of this part alone;
 * a cache holds the numbers of the adapters that were at work: to go on with others is a program of its own. */
typedef struct {
    kv_cache *kv;
    const int32_t *ids; /* [n] */
    size_t n;
    logits_which which;
    float *states; /* f32[n][D]: receives the last hidden states, after the final norm; NULL: not asked for */
    const adapter_use *adapters; /* [n_adapters], in the order of their sums; NULL: model_use_adapters()'s */
    size_t n_adapters;
} model_part;

/* Several caches at once, each as model_forward() would serve it alone and with the very same bits: the weights are
 * read once for all rows. No cache may stand in two parts. logits f32[rows asked for][V], in the order of the parts.
 * An error in one part: nothing changed in any. */
err_code model_forward_batch(model *m, const model_part *parts, size_t n_parts, float *logits, err *e);

/* From here on these adapters are at work in every part that names none; use[] is copied, the adapters must stay
 * open until others are named. n at most MODEL_ADAPTERS_MAX (asserted); 0: none. */
enum { MODEL_ADAPTERS_MAX = 16 };
void model_use_adapters(model *m, const adapter_use *use, size_t n);

/* For who measures what goes into the products: called with the input x f32[n][k] of each one, a row a position, in the
 * caller's thread and in the order of the ids; i_layer is L for INPUT_OUTPUT. */
typedef enum { INPUT_QKV, INPUT_O, INPUT_FFN, INPUT_DOWN, INPUT_OUTPUT } model_input;
typedef struct {
    void (*fn)(void *ctx, model_input input, size_t i_layer, const float *x, size_t n, size_t k); /* NULL: nobody */
    void *ctx;
} model_watch;
void model_set_watch(model *m, model_watch w);

#endif
