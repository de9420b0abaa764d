/* gguf_build: writes GGUF and safetensors files for tests, the malformed ones too.
 *
 * Nothing is checked here: counts, types and offsets go to the file as they are said. Bytes gather in a
 * strbuf; a position worth breaking later is `b->n` before it is written. All functions are
 * static inline, so that a test program may use a few of them.
 */
#ifndef LOAM_TEST_GGUF_BUILD_H
#define LOAM_TEST_GGUF_BUILD_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/str.h"
#include "io/tensor_ref.h"

/* Memory or a disk that fails here is no test result: stop. */
static inline void build_must(bool ok, const char *what) {
    if (!ok) {
        fprintf(stderr, "gguf_build: %s failed\n", what);
        abort();
    }
}

/* ---- files ---- */

/* LOAM_TMP (or /tmp), a name of this process, and `name`: valid until the next call but three. */
static inline const char *build_path(const char *name) {
    static char path[4][4096];
    static int turn;
    const char *tmp = getenv("LOAM_TMP");
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/loam-%ld-%s", tmp && *tmp ? tmp : "/tmp", (long)getpid(), name);
    return p;
}

static inline void build_save(const char *path, str bytes) {
    FILE *f = fopen(path, "wb");
    build_must(f && (bytes.n == 0 || fwrite(bytes.p, 1, bytes.n, f) == bytes.n), path);
    build_must(fclose(f) == 0, path);
}

/* ---- bytes ---- */

static inline void build_bytes(strbuf *b, const void *p, size_t n) {
    build_must(strbuf_add(b, (str){p, n}, NULL) == ERR_OK, "memory");
}
static inline void build_u8(strbuf *b, uint8_t v) { build_bytes(b, &v, sizeof v); }
static inline void build_u16(strbuf *b, uint16_t v) { build_bytes(b, &v, sizeof v); }
static inline void build_u32(strbuf *b, uint32_t v) { build_bytes(b, &v, sizeof v); }
static inline void build_u64(strbuf *b, uint64_t v) { build_bytes(b, &v, sizeof v); }
static inline void build_f32(strbuf *b, float v) { build_bytes(b, &v, sizeof v); }
static inline void build_f64(strbuf *b, double v) { build_bytes(b, &v, sizeof v); }

static inline void build_put_u32(strbuf *b, size_t at, uint32_t v) { memcpy(b->p + at, &v, sizeof v); }
static inline void build_put_u64(strbuf *b, size_t at, uint64_t v) { memcpy(b->p + at, &v, sizeof v); }

static inline void build_zeros(strbuf *b, size_t n) {
    while (n--)
        build_u8(b, 0);
}
static inline void build_pad(strbuf *b, size_t alignment) {
    while (b->n % alignment)
        build_u8(b, 0);
}

/* ---- GGUF ---- */

enum { BUILD_N_TENSORS_AT = 8, BUILD_N_KV_AT = 16, BUILD_HEADER_BYTES = 24 };

static inline void build_header(strbuf *b, uint32_t version, uint64_t n_tensors, uint64_t n_kv) {
    build_bytes(b, "GGUF", 4);
    build_u32(b, version);
    build_u64(b, n_tensors);
    build_u64(b, n_kv);
}
static inline void build_str(strbuf *b, str s) {
    build_u64(b, s.n);
    build_bytes(b, s.p, s.n);
}
/* A key and its type; the value follows. Types are numbers, so that impossible ones can be written. */
static inline void build_key(strbuf *b, const char *key, uint32_t type) {
    build_str(b, str_from(key));
    build_u32(b, type);
}
static inline void build_kv_u32(strbuf *b, const char *key, uint32_t v) {
    build_key(b, key, 4);
    build_u32(b, v);
}
static inline void build_kv_f32(strbuf *b, const char *key, float v) {
    build_key(b, key, 6);
    build_f32(b, v);
}
static inline void build_kv_bool(strbuf *b, const char *key, uint8_t v) {
    build_key(b, key, 7);
    build_u8(b, v);
}
static inline void build_kv_str(strbuf *b, const char *key, const char *v) {
    build_key(b, key, 8);
    build_str(b, str_from(v));
}
/* The head of an array; n elements follow. */
static inline void build_kv_array(strbuf *b, const char *key, uint32_t elem, uint64_t n) {
    build_key(b, key, 9);
    build_u32(b, elem);
    build_u64(b, n);
}
static inline void build_kv_strs(strbuf *b, const char *key, const char *const *v, size_t n) {
    build_kv_array(b, key, 8, n);
    for (size_t i = 0; i < n; i++)
        build_str(b, str_from(v[i]));
}
/* A tensor info; dims as in the file, innermost first. */
static inline void build_info(strbuf *b, const char *name, uint32_t n_dims, const uint64_t *dims, uint32_t type,
                              uint64_t offset) {
    build_str(b, str_from(name));
    build_u32(b, n_dims);
    for (uint32_t d = 0; d < n_dims; d++)
        build_u64(b, dims[d]);
    build_u32(b, type);
    build_u64(b, offset);
}

/* One line of the listings in test/golden/io: name, type, dims, offset, bytes, digest. */
static inline void build_list_tensor(const tensor_ref *t, strbuf *out) {
    char hex[65];
    hash_hex(hash_of(t->data, t->bytes), hex);
    strbuf_addf(out, NULL, "tensor %.*s %s", STR_ARG(t->name), dtype_table[t->type].name);
    for (int d = 0; d < t->n_dims; d++)
        strbuf_addf(out, NULL, " %" PRIu64, t->dims[d]);
    strbuf_addf(out, NULL, " %" PRIu64 " %zu %s\n", t->offset, t->bytes, hex);
}

/* ---- safetensors ---- */

static inline void build_safetensors(strbuf *b, const char *header, size_t data_bytes) {
    build_u64(b, strlen(header));
    build_bytes(b, header, strlen(header));
    for (size_t i = 0; i < data_bytes; i++)
        build_u8(b, (uint8_t)i);
}

#endif
