/* charsmap: precompiled normalisation rules; see charsmap.h. */
#include "tok/charsmap.h"

#include <string.h>

static uint32_t le32(const char *p) {
    const unsigned char *b = (const unsigned char *)p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

err_code charsmap_open(charsmap *m, arena *a, str blob, err *e) {
    *m = (charsmap){0};
    if (blob.n == 0)
        return ERR_OK;
    if (blob.n > CHARSMAP_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "precompiled charsmap of %zu bytes; at most %d are supported", blob.n,
                       CHARSMAP_BYTES_MAX);
    uint32_t trie_bytes = blob.n >= 4 ? le32(blob.p) : UINT32_MAX;
    if (trie_bytes % 4 || trie_bytes == 0 || trie_bytes > blob.n - 4)
        return err_set(e, ERR_FORMAT, "precompiled charsmap of %zu bytes announces a trie of %u bytes", blob.n,
                       trie_bytes);
    uint32_t *unit;
    m->n_units = trie_bytes / 4;
    ARENA_NEW(a, unit, m->n_units, e);
    for (size_t i = 0; i < m->n_units; i++)
        unit[i] = le32(blob.p + 4 + 4 * i);
    m->unit = unit;
    m->replacements = arena_str(a, str_sub(blob, 4 + trie_bytes, blob.n));
    return m->replacements.p ? ERR_OK : arena_short(e, blob.n, 1);
}

static size_t offset(uint32_t unit) { return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6); }

bool charsmap_find(const charsmap *m, str s, size_t at, bool longest, size_t *len, str *replacement) {
    bool found = false;
    size_t value = 0;
    if (!m->n_units)
        return false;
    size_t node = offset(m->unit[0]);
    for (size_t i = at; i < s.n && i - at < CHARSMAP_KEY_BYTES_MAX; i++) {
        unsigned char c = (unsigned char)s.p[i];
        node ^= c;
        if (node >= m->n_units)
            break;
        uint32_t unit = m->unit[node];
        if ((unit & 0x800000ffu) != c)
            break;
        node ^= offset(unit);
        if (unit >> 8 & 1 && node < m->n_units) {
            value = m->unit[node] & 0x7fffffffu;
            *len = i + 1 - at;
            found = true;
            if (!longest)
                break;
        }
    }
    if (!found || value > m->replacements.n)
        return false;
    str tail = str_sub(m->replacements, value, m->replacements.n);
    const char *end = tail.n ? memchr(tail.p, 0, tail.n) : NULL;
    *replacement = (str){tail.p, end ? (size_t)(end - tail.p) : tail.n};
    return true;
}
