/* hash: SHA-256 (FIPS 180-4), by OpenSSL's libcrypto.
 *
 * The one digest of the project: files, logits, chains. Nothing of the embeddable
 * core calls it, so libloam links without libcrypto (test_install.py).
 */
#ifndef LOAM_BASE_HASH_H
#define LOAM_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

typedef struct {
    uint8_t byte[32];
} hash256;
typedef struct hash_state hash_state;

err_code hash_open(hash_state **s, err *e);
void hash_add(hash_state *s, const void *data, size_t n);
hash256 hash_close(hash_state *s); /* the digest of all added; frees s */

/* The digest of data alone, by an open state to which nothing was added; the state is as before. For many short texts:
 * hash_of() asks libcrypto each time which SHA-256 it has. */
hash256 hash_by(hash_state *s, const void *data, size_t n);

hash256 hash_of(const void *data, size_t n); /* at once; aborts only if libcrypto has no SHA-256 */
/* SHA-256 of `before`, as 32 bytes, and the text behind it: seals a text with all before it. before may be NULL. */
err_code hash_after(const hash256 *before, str text, hash256 *out, err *e);
err_code hash_file(const char *path, hash256 *out, err *e);
void hash_hex(hash256 h, char hex[65]);    /* lower case, NUL-terminated */
bool hash_from_hex(str hex, hash256 *out); /* 64 digits in lower case; false: anything else */

#endif
