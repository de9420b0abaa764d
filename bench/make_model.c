/* make_model: writes a random GGUF model of a stated shape.
 *
 * Speed depends on shapes and formats, not on what the weights say. The weights are near N(0, 1/cols), so that
 * activations stay finite and of ordinary size through any number of layers; norms are ones; the tokenizer is
 * byte-level BPE: the 256 bytes, one merge, and as many fillers as the vocabulary asks for. The file is a function of
 * the options and the seed alone. --type takes llama-quantize's names and gives each tensor the type that it would:
 * output (or the embedding that stands for it) in Q6_K beside 4-bit types, the larger half of Q4_K_M in Q6_K, and the
 * nearest format with blocks of 32 where rows are no multiple of 256.
 *
 * Source of the format: ggml's docs/gguf.md; of the mixes: the behaviour of llama-quantize.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "common.h"
#include "kern/block.h"
#include "kern/half.h"

typedef struct {
    int64_t layers, width, ff, heads, kv_heads, head_width, vocab, ctx, seed;
    const char *arch, *type;
    bool untied, pure;
} values;

static const char *const archs[] = {"llama", NULL};

#define AT(field) offsetof(values, field)
static const option rows[] = {
    {"arch", 0, OPT_CHOICE, "NAME", "architecture", AT(arch), 0, 0, archs},
    {"type", 't', OPT_TEXT, "TYPE", "Q4_0, Q8_0, Q4_K_M, F16, F32 and so on", AT(type), 0, 0, NULL},
    {"layers", 0, OPT_INT, "N", "layers", AT(layers), 1, 1000, NULL},
    {"width", 0, OPT_INT, "N", "model width", AT(width), 32, 1 << 20, NULL},
    {"ff", 0, OPT_INT, "N", "feed-forward width", AT(ff), 32, 1 << 22, NULL},
    {"heads", 0, OPT_INT, "N", "query heads", AT(heads), 1, 4096, NULL},
    {"kv-heads", 0, OPT_INT, "N", "key/value heads", AT(kv_heads), 1, 4096, NULL},
    {"head-width", 0, OPT_INT, "N", "head width (0: width / heads)", AT(head_width), 0, 1 << 14, NULL},
    {"vocab", 0, OPT_INT, "N", "vocabulary", AT(vocab), 300, 1 << 22, NULL},
    {"ctx", 0, OPT_INT, "N", "context length", AT(ctx), 1, 1 << 30, NULL},
    {"untied", 0, OPT_FLAG, NULL, "an output matrix of its own", AT(untied), 0, 0, NULL},
    {"pure", 0, OPT_FLAG, NULL, "every matrix in the named type", AT(pure), 0, 0, NULL},
    {"seed", 's', OPT_INT, "N", "seed", AT(seed), 0, 1e15, NULL},
    {0},
};
#undef AT

/* ---- types ---- */

typedef struct {
    const char *name; /* llama-quantize's */
    uint32_t file_type;
    dtype base, more, output; /* more: for the tensors that get more bits */
} mix;
static const mix mixes[] = {
    {"F32", 0, DTYPE_F32, DTYPE_F32, DTYPE_F32},        {"F16", 1, DTYPE_F16, DTYPE_F16, DTYPE_F16},
    {"BF16", 32, DTYPE_BF16, DTYPE_BF16, DTYPE_BF16},   {"Q4_0", 2, DTYPE_Q4_0, DTYPE_Q4_0, DTYPE_Q6_K},
    {"Q4_1", 3, DTYPE_Q4_1, DTYPE_Q4_1, DTYPE_Q6_K},    {"Q5_0", 8, DTYPE_Q5_0, DTYPE_Q5_0, DTYPE_Q6_K},
    {"Q5_1", 9, DTYPE_Q5_1, DTYPE_Q5_1, DTYPE_Q6_K},    {"Q8_0", 7, DTYPE_Q8_0, DTYPE_Q8_0, DTYPE_Q8_0},
    {"Q2_K", 10, DTYPE_Q2_K, DTYPE_Q2_K, DTYPE_Q2_K},   {"Q3_K", 11, DTYPE_Q3_K, DTYPE_Q3_K, DTYPE_Q3_K},
    {"Q4_K", 14, DTYPE_Q4_K, DTYPE_Q4_K, DTYPE_Q6_K},   {"Q4_K_M", 15, DTYPE_Q4_K, DTYPE_Q6_K, DTYPE_Q6_K},
    {"Q5_K_M", 17, DTYPE_Q5_K, DTYPE_Q6_K, DTYPE_Q6_K}, {"Q6_K", 18, DTYPE_Q6_K, DTYPE_Q6_K, DTYPE_Q6_K},
};

/* The format for rows of `cols`: super-blocks need multiples of 256. */
static dtype fitting(dtype t, size_t cols) {
    if (cols % dtype_table[t].block_elems == 0)
        return t;
    switch (t) {
    case DTYPE_Q2_K:
    case DTYPE_Q3_K:
        return DTYPE_Q4_0;
    case DTYPE_Q4_K:
        return DTYPE_Q5_0;
    case DTYPE_Q5_K:
        return DTYPE_Q5_1;
    default:
        return DTYPE_Q8_0;
    }
}

static bool more_bits(size_t i, size_t n) { return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2; }

/* ---- random blocks ---- */

static uint32_t word(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

/* `bytes` random bytes: a stream for every tensor, a Philox block for every 16 bytes. */
static void fill(uint8_t *p, size_t bytes, uint64_t seed, uint32_t stream, uint64_t first) {
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (size_t i = 0; i * 16 < bytes; i++) {
        uint64_t index = first / 16 + i;
        uint32_t ctr[4] = {(uint32_t)index, (uint32_t)(index >> 32), RNG_TEST, stream}, out[4];
        rng_philox(ctr, key, out);
        memcpy(p + 16 * i, out, bytes - 16 * i < 16 ? bytes - 16 * i : 16);
    }
}

/* Four bytes to a number near N(0,1): their sum. */
static float normal(uint32_t r) {
    int32_t sum = (int32_t)((r & 255) + (r >> 8 & 255) + (r >> 16 & 255) + (r >> 24));
    return (float)(sum - 510) * (1 / 147.8f);
}

/* Scales of 6 bits for Q4_K and Q5_K, m equal to sc: with dmin a multiple of d, weights are centred. */
static void six_bit_scales(uint8_t s[12]) {
    uint8_t sc[8];
    for (int j = 0; j < 8; j++)
        sc[j] = s[j] % 32 + 32;
    for (int j = 0; j < 4; j++) {
        s[j] = s[j + 4] = (uint8_t)(sc[j] | sc[j + 4] >> 4 << 6);
        s[8 + j] = (uint8_t)((sc[j + 4] & 15) * 17);
    }
}

/* A random block turned into a sane one: scales such that weights have the deviation s, with a random sign. */
static void settle(dtype t, uint8_t *p, float s) {
    uint32_t r = word(p);
    float d = (r & 1 ? s : -s) * (0.75f + 0.5f * (float)(r >> 8 & 255) / 255.0f);
#define PUT(type, field, x) ((type *)(void *)p)->field = half_from_f32(x)
    switch (t) {
    case DTYPE_Q4_0:
        PUT(block_q4_0, d, d / 4.61f);
        break;
    case DTYPE_Q4_1:
        PUT(block_q4_1, d, d / 4.61f), PUT(block_q4_1, m, -7.5f * d / 4.61f);
        break;
    case DTYPE_Q5_0:
        PUT(block_q5_0, d, d / 9.23f);
        break;
    case DTYPE_Q5_1:
        PUT(block_q5_1, d, d / 9.23f), PUT(block_q5_1, m, -15.5f * d / 9.23f);
        break;
    case DTYPE_Q8_0:
        PUT(block_q8_0, d, d / 73.6f);
        for (int i = 0; i < 32; i++) {
            int8_t *q = ((block_q8_0 *)(void *)p)->qs + i;
            *q = (int8_t)(*q == -128 ? 127 : *q); /* no quantiser writes -128 */
        }
        break;
    case DTYPE_Q2_K:
        for (int i = 0; i < 16; i++)
            ((block_q2_k *)(void *)p)->scales[i] = (uint8_t)((8 + p[i] % 8) * 17);
        PUT(block_q2_k, d, d / 13.1f), PUT(block_q2_k, dmin, 1.5f * d / 13.1f);
        break;
    case DTYPE_Q3_K:
        PUT(block_q3_k, d, d / 43.0f);
        break;
    case DTYPE_Q4_K:
        six_bit_scales(((block_q4_k *)(void *)p)->scales);
        PUT(block_q4_k, d, d / 223.0f), PUT(block_q4_k, dmin, 7.5f * d / 223.0f);
        break;
    case DTYPE_Q5_K:
        six_bit_scales(((block_q5_k *)(void *)p)->scales);
        PUT(block_q5_k, d, d / 447.0f), PUT(block_q5_k, dmin, 15.5f * d / 447.0f);
        break;
    case DTYPE_Q6_K:
        for (int i = 0; i < 16; i++) {
            int8_t *sc = ((block_q6_k *)(void *)p)->scales + i;
            *sc = (int8_t)(*sc < 0 ? -64 - (*sc & 63) : 64 + (*sc & 63));
        }
        PUT(block_q6_k, d, d / (18.5f * 97.0f));
        break;
    default:
        break;
    }
#undef PUT
}

/* ---- the file ---- */

typedef struct {
    char name[48];
    dtype type;
    size_t rows, cols; /* rows 0: a vector of ones */
    uint64_t at;
} tensor;

static size_t bytes_of(const tensor *t) {
    return t->rows ? t->rows * dtype_row_bytes(t->type, t->cols) : t->cols * sizeof(float);
}

typedef struct {
    FILE *f;
    const char *path;
} file;

static void put(file *o, const void *p, size_t n) {
    if (fwrite(p, 1, n, o->f) == n)
        return;
    err e;
    err_set(&e, ERR_IO, "%s: cannot write (is the disk full?)", o->path);
    fclose(o->f);
    unlink(o->path);
    bench_fail(&e);
}
static void put_u32(file *o, uint32_t v) { put(o, &v, 4); }
static void put_u64(file *o, uint64_t v) { put(o, &v, 8); }
static void put_str(file *o, const char *s) {
    put_u64(o, strlen(s));
    put(o, s, strlen(s));
}

enum { TYPE_U32 = 4, TYPE_I32 = 5, TYPE_F32 = 6, TYPE_BOOL = 7, TYPE_STRING = 8, TYPE_ARRAY = 9, ALIGN = 32 };

static uint64_t n_keys; /* counted while they are written, patched into the head afterwards */
static void key(file *o, const char *name, uint32_t type) {
    n_keys++;
    put_str(o, name);
    put_u32(o, type);
}
static void key_u32(file *o, const char *name, int64_t v) {
    key(o, name, TYPE_U32);
    put_u32(o, (uint32_t)v);
}
static void key_f32(file *o, const char *name, float v) {
    key(o, name, TYPE_F32);
    put(o, &v, 4);
}
static void key_str(file *o, const char *name, const char *v) {
    key(o, name, TYPE_STRING);
    put_str(o, v);
}
static void key_array(file *o, const char *name, uint32_t elem, uint64_t n) {
    key(o, name, TYPE_ARRAY);
    put_u32(o, elem);
    put_u64(o, n);
}

/* Byte b in the alphabet of byte-level BPE: itself where it prints, else a letter from U+0100 on. */
static void byte_letter(int b, char out[8]) {
    unsigned c = 0, spare = 256;
    for (int i = 0; i <= b; i++) {
        bool prints = (i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174;
        c = prints ? (unsigned)i : spare++;
    }
    size_t n = 0;
    if (c >= 128)
        out[n++] = (char)(0xc0 | c >> 6);
    out[n++] = (char)(c < 128 ? c : 0x80 | (c & 63));
    out[n] = 0;
}

enum { N_SPECIAL = 1, TYPE_NORMAL = 1, TYPE_CONTROL = 3 };

/* Ids 0..255 bytes, 256 the merge "ab", then fillers, last the end of text. */
static void write_tokenizer(file *o, int64_t vocab) {
    key_str(o, "tokenizer.ggml.model", "gpt2");
    key_str(o, "tokenizer.ggml.pre", "gpt-2");
    key_array(o, "tokenizer.ggml.tokens", TYPE_STRING, (uint64_t)vocab);
    for (int64_t i = 0; i < vocab; i++) {
        char name[32];
        if (i < 256)
            byte_letter((int)i, name);
        else
            snprintf(name, sizeof name, i == 256 ? "ab" : i + N_SPECIAL < vocab ? "t%lld" : "<|end|>", (long long)i);
        put_str(o, name);
    }
    key_array(o, "tokenizer.ggml.token_type", TYPE_I32, (uint64_t)vocab);
    for (int64_t i = 0; i < vocab; i++)
        put_u32(o, i + N_SPECIAL < vocab ? TYPE_NORMAL : TYPE_CONTROL);
    key_array(o, "tokenizer.ggml.merges", TYPE_STRING, 1);
    put_str(o, "a b");
    key_u32(o, "tokenizer.ggml.bos_token_id", vocab - 1);
    key_u32(o, "tokenizer.ggml.eos_token_id", vocab - 1);
    key(o, "tokenizer.ggml.add_bos_token", TYPE_BOOL);
    put(o, &(uint8_t){0}, 1);
}

static void write_keys(file *o, const values *v, uint32_t file_type) {
    key_str(o, "general.architecture", v->arch);
    key_str(o, "general.name", "random");
    key_u32(o, "general.file_type", file_type);
    key_u32(o, "general.quantization_version", 2);
    key_u32(o, "llama.context_length", v->ctx);
    key_u32(o, "llama.embedding_length", v->width);
    key_u32(o, "llama.block_count", v->layers);
    key_u32(o, "llama.feed_forward_length", v->ff);
    key_u32(o, "llama.attention.head_count", v->heads);
    key_u32(o, "llama.attention.head_count_kv", v->kv_heads);
    key_u32(o, "llama.attention.key_length", v->head_width);
    key_u32(o, "llama.attention.value_length", v->head_width);
    key_u32(o, "llama.rope.dimension_count", v->head_width);
    key_u32(o, "llama.vocab_size", v->vocab);
    key_f32(o, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    key_f32(o, "llama.rope.freq_base", 10000.0f);
    write_tokenizer(o, v->vocab);
}

static void write_tensor(file *o, const tensor *t, uint64_t seed, uint32_t stream) {
    enum { PART = 1 << 20 };
    static _Alignas(64) uint8_t part[PART + 4096];
    if (!t->rows) {
        for (size_t i = 0; i < t->cols; i++)
            put(o, &(float){1.0f}, 4);
        return;
    }
    const dtype_info *info = &dtype_table[t->type];
    float s = 1.0f;
    for (int i = 0; i < 40; i++) /* Newton: 1/sqrt(cols) */
        s = i ? 0.5f * (s + 1.0f / ((float)t->cols * s)) : 1.0f / 32;
    size_t blocks = t->rows * t->cols / info->block_elems, each = PART / info->block_bytes / 16 * 16;
    for (size_t b = 0; b < blocks; b += each) {
        size_t n = blocks - b < each ? blocks - b : each;
        if (info->block_elems > 1) {
            fill(part, n * info->block_bytes, seed, stream, b * info->block_bytes);
            for (size_t i = 0; i < n; i++)
                settle(t->type, part + i * info->block_bytes, s);
        } else {
            static uint8_t noise[4 * PART];
            fill(noise, 4 * n, seed, stream, 4 * b);
            for (size_t i = 0; i < n; i++) {
                float w = s * normal(word(noise + 4 * i));
                if (t->type == DTYPE_F32)
                    memcpy(part + 4 * i, &w, 4);
                else
                    memcpy(part + 2 * i, &(uint16_t){t->type == DTYPE_F16 ? half_from_f32(w) : bf16_from_f32(w)}, 2);
            }
        }
        put(o, part, n * info->block_bytes);
    }
}

static tensor *list(const values *v, const mix *x, size_t *n) {
    tensor *all = calloc((size_t)v->layers * 9 + 3, sizeof *all), *t = all;
    if (!all)
        abort();
    size_t D = (size_t)v->width, F = (size_t)v->ff, Q = (size_t)(v->heads * v->head_width),
           G = (size_t)(v->kv_heads * v->head_width), V = (size_t)v->vocab, L = (size_t)v->layers;
    dtype output = v->pure ? x->base : x->output, more = v->pure ? x->base : x->more;
    *t++ =
        (tensor){.name = "token_embd.weight", .type = fitting(v->untied ? x->base : output, D), .rows = V, .cols = D};
    if (v->untied)
        *t++ = (tensor){.name = "output.weight", .type = fitting(output, D), .rows = V, .cols = D};
    *t++ = (tensor){.name = "output_norm.weight", .cols = D};
    const struct {
        const char *name;
        bool varies; /* may get more bits */
        size_t rows, cols;
    } part[] = {{"attn_norm", false, 0, D}, {"attn_q", false, Q, D},      {"attn_k", false, G, D},
                {"attn_v", true, G, D},     {"attn_output", false, D, Q}, {"ffn_norm", false, 0, D},
                {"ffn_gate", false, F, D},  {"ffn_up", false, F, D},      {"ffn_down", true, D, F}};
    for (size_t i = 0; i < L; i++)
        for (size_t j = 0; j < sizeof part / sizeof *part; j++, t++) {
            dtype type = part[j].varies && more_bits(i, L) ? more : x->base;
            *t = (tensor){.type = fitting(type, part[j].cols), .rows = part[j].rows, .cols = part[j].cols};
            snprintf(t->name, sizeof t->name, "blk.%zu.%s.weight", i, part[j].name);
        }
    *n = (size_t)(t - all);
    uint64_t at = 0;
    for (size_t i = 0; i < *n; i++) {
        all[i].at = at;
        at += (bytes_of(&all[i]) + ALIGN - 1) / ALIGN * ALIGN;
    }
    return all;
}

static void pad(file *o) {
    static const uint8_t zero[ALIGN];
    size_t over = (size_t)ftell(o->f) % ALIGN;
    if (over)
        put(o, zero, ALIGN - over);
}

static void write_model(const char *path, const values *v, const mix *x) {
    size_t n;
    tensor *t = list(v, x, &n);
    file o = {.f = fopen(path, "wb"), .path = path};
    if (!o.f) {
        err e;
        err_set(&e, ERR_IO, "%s: cannot create", path);
        bench_fail(&e);
    }
    put(&o, "GGUF", 4);
    put_u32(&o, 3);
    put_u64(&o, n);
    put_u64(&o, 0); /* n_keys, below */
    write_keys(&o, v, x->file_type);
    for (size_t i = 0; i < n; i++) {
        put_str(&o, t[i].name);
        put_u32(&o, t[i].rows ? 2 : 1);
        put_u64(&o, t[i].cols);
        if (t[i].rows)
            put_u64(&o, t[i].rows);
        put_u32(&o, dtype_table[t[i].rows ? t[i].type : DTYPE_F32].gguf);
        put_u64(&o, t[i].at);
    }
    for (size_t i = 0; i < n; i++) {
        pad(&o);
        write_tensor(&o, &t[i], (uint64_t)v->seed, (uint32_t)i);
    }
    fseek(o.f, 16, SEEK_SET);
    put_u64(&o, n_keys);
    if (fclose(o.f) != 0) {
        err e;
        err_set(&e, ERR_IO, "%s: cannot write (is the disk full?)", path);
        bench_fail(&e);
    }
    free(t);
}

int main(int argc, char **argv) {
    values v = {.layers = 16,
                .width = 2048,
                .ff = 8192,
                .heads = 32,
                .kv_heads = 8,
                .vocab = 50304,
                .ctx = 8192,
                .arch = "llama",
                .type = "Q4_0",
                .seed = 1};
    const option_group groups[] = {{"Model", rows, 0}, {0}};
    const bench_program program = {"OUT.gguf [options]", "Writes a random GGUF model of a stated shape.", groups, 1};
    const char *path;
    bench_options(&program, argc, argv, &v, &path);
    err e;
    if (!v.head_width)
        v.head_width = v.width / v.heads;
    if (v.width % 32 || v.ff % 32 || v.head_width % 2 || v.head_width * v.heads % 32 || v.heads % v.kv_heads) {
        err_set(&e, ERR_USAGE, "shape: widths must be multiples of 32, heads of kv-heads");
        bench_fail(&e);
    }
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++)
        if (strcmp(mixes[i].name, v.type) == 0) {
            write_model(path, &v, &mixes[i]);
            return 0;
        }
    err_set(&e, ERR_USAGE, "--type %s: not a type (Q4_0, Q8_0, Q4_K_M, F16, ...)", v.type);
    bench_fail(&e);
}
