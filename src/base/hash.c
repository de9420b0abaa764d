/* hash: SHA-256 by libcrypto; see hash.h. */
#include "base/hash.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 64 << 10 };

struct hash_state {
    EVP_MD_CTX *ctx;
};

err_code hash_open(hash_state **s, err *e) {
    hash_state *h = malloc(sizeof *h);
    EVP_MD_CTX *ctx = h ? EVP_MD_CTX_new() : NULL;
    *s = NULL;
    if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1) {
        bool short_of_memory = !ctx;
        EVP_MD_CTX_free(ctx);
        free(h);
        return short_of_memory ? err_set(e, ERR_MEMORY, "no memory for a digest")
                               : err_set(e, ERR_UNSUPPORTED, "libcrypto refuses SHA-256");
    }
    h->ctx = ctx;
    *s = h;
    return ERR_OK;
}

void hash_add(hash_state *s, const void *data, size_t n) {
    int ok = n == 0 || EVP_DigestUpdate(s->ctx, data, n);
    assert(ok); /* memory to memory: nothing there can fail */
    (void)ok;
}

hash256 hash_close(hash_state *s) {
    hash256 h = {{0}};
    int ok = EVP_DigestFinal_ex(s->ctx, h.byte, NULL);
    assert(ok);
    (void)ok;
    EVP_MD_CTX_free(s->ctx);
    free(s);
    return h;
}

hash256 hash_by(hash_state *s, const void *data, size_t n) {
    hash256 h = {{0}};
    hash_add(s, data, n);
    int ok = EVP_DigestFinal_ex(s->ctx, h.byte, NULL) && EVP_DigestInit_ex(s->ctx, NULL, NULL);
    assert(ok); /* what could fail did so in hash_open() */
    (void)ok;
    return h;
}

hash256 hash_of(const void *data, size_t n) {
    hash256 h = {{0}};
    int ok = EVP_Digest(n ? data : "", n, h.byte, NULL, EVP_sha256(), NULL);
    assert(ok);
    (void)ok;
    return h;
}

err_code hash_after(const hash256 *before, str text, hash256 *out, err *e) {
    hash_state *h;
    TRY(hash_open(&h, e));
    if (before)
        hash_add(h, before->byte, sizeof before->byte);
    hash_add(h, text.p, text.n);
    *out = hash_close(h);
    return ERR_OK;
}

err_code hash_file(const char *path, hash256 *out, err *e) {
    hash_state *s;
    TRY(hash_open(&s, e));
    err_code code = ERR_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        code = err_set(e, ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    unsigned char buf[READ_BYTES];
    for (ssize_t got = 1; code == ERR_OK && got != 0;) {
        got = read(fd, buf, sizeof buf);
        if (got > 0)
            hash_add(s, buf, (size_t)got);
        else if (got < 0 && errno != EINTR)
            code = err_set(e, ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    }
    if (fd >= 0)
        close(fd);
    hash256 h = hash_close(s);
    if (code == ERR_OK)
        *out = h;
    return code;
}

void hash_hex(hash256 h, char hex[65]) {
    for (int i = 0; i < 32; i++) {
        hex[2 * i] = "0123456789abcdef"[h.byte[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[h.byte[i] & 15];
    }
    hex[64] = 0;
}

bool hash_from_hex(str hex, hash256 *out) {
    if (hex.n != 64)
        return false;
    for (size_t i = 0; i < 64; i++) {
        char c = hex.p[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return false;
        out->byte[i / 2] = (uint8_t)(i % 2 ? out->byte[i / 2] * 16 + digit : digit);
    }
    return true;
}
