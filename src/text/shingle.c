/* shingle: see shingle.h.
 *
 * One pass over the bytes. A word's hash is FNV-1a over its (lower-cased) bytes; the hash of a window of words is a
 * polynomial over theirs, so that a step costs two multiplications whatever the window's width, and is mixed at the
 * end.
 */
#include "text/shingle.h"

#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"

#define WORD_BEGIN 0xcbf29ce484222325u
#define WORD_FACTOR 0x2127599bf4325c37u
#define THROW_FACTOR 0xd6e8feb86659fd93u
#define WINDOW_BASE 0x9e3779b97f4a7c15u /* odd, so that powers of it are invertible */
#define WINDOW_BASE_OUT (WINDOW_BASE * WINDOW_BASE * WINDOW_BASE * WINDOW_BASE * WINDOW_BASE)
_Static_assert(SHINGLE_WORDS == 5, "WINDOW_BASE_OUT is WINDOW_BASE to the power SHINGLE_WORDS");

/* The finalizer of MurmurHash3 (Appleby, public domain): a bijection in which every bit moves every bit. */
static inline uint64_t mix(uint64_t x) {
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdu;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 33;
}

/* ---- words ---- */

/* A word's hash takes in its bytes by eights, the last ones filled up with zeros. */
typedef struct {
    uint64_t hash, group;
    unsigned n; /* bytes in the group, below 8 */
} word_hash;

static inline void take_group(word_hash *w) {
    w->hash = (w->hash ^ w->group) * WORD_FACTOR;
    w->hash ^= w->hash >> 29;
}

/* The first n (0 to 8) bytes of `bytes`, lowest first; what lies above them is zero. */
static inline void take_bytes(word_hash *w, uint64_t bytes, unsigned n) {
    w->group |= bytes << 8 * w->n;
    if (w->n + n < 8) {
        w->n += n;
        return;
    }
    take_group(w);
    unsigned used = 8 - w->n;
    w->group = used < 8 ? bytes >> 8 * used : 0;
    w->n = n - used;
}

static inline uint64_t word_end(word_hash *w) {
    if (w->n)
        take_group(w);
    return w->hash;
}

/* Eight bytes from p[at], lowest first; zeros behind the end, which separate. */
static inline uint64_t load8(str text, size_t at) {
    uint64_t x = 0;
    if (at + 8 <= text.n)
        memcpy(&x, text.p + at, 8);
    else
        memcpy(&x, text.p + at, text.n - at);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

#define EACH(byte) (0x0101010101010101u * (byte))

/* The top bit of every byte that is an ASCII letter or digit; *lower: the bytes with capitals lower-cased (others
 * change, too). Sums of two bytes below 0x80 do not carry; bytes above are masked away. */
static inline uint64_t word_bytes(uint64_t x, uint64_t *lower) {
    uint64_t low7 = x & EACH(0x7f), l = low7 | EACH(0x20);
    uint64_t letters = (l + EACH(0x80 - 'a')) & ~(l + EACH(0x7f - 'z'));
    uint64_t digits = (low7 + EACH(0x80 - '0')) & ~(low7 + EACH(0x7f - '9'));
    *lower = l;
    return (letters | digits) & ~x & EACH(0x80);
}

typedef enum { SEPARATES, JOINS, ALONE } role;

static role role_of(int32_t cp) {
    static const struct {
        int32_t from, to;
        role role;
    } ranges[] = {
        {0x0080, 0x00bf, SEPARATES}, {0x0e00, 0x0eff, ALONE},   {0x1000, 0x109f, ALONE},     {0x1780, 0x17ff, ALONE},
        {0x2000, 0x206f, SEPARATES}, {0x2e80, 0x2fff, ALONE},   {0x3000, 0x303f, SEPARATES}, {0x3040, 0xa4cf, ALONE},
        {0xf900, 0xfaff, ALONE},     {0x20000, 0x3ffff, ALONE},
    };
    if (cp < 0)
        return SEPARATES;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (cp >= ranges[i].from && cp <= ranges[i].to)
            return ranges[i].role;
    return JOINS;
}

/* A character from U+0080 on. False: the word ends before it, or the character separates. */
static bool take_character(str text, size_t *at, word_hash *w, bool *begun, bool *ended) {
    size_t from = *at, to = from;
    role r = role_of(utf8_next(text, &to));
    *ended = false;
    if (r != JOINS && *begun) { /* a word by itself is taken next time */
        *at = r == ALONE ? from : to;
        *ended = true;
        return false;
    }
    *at = to;
    if (r == SEPARATES)
        return false;
    for (; from < to; from++)
        take_bytes(w, (unsigned char)text.p[from], 1);
    *begun = true;
    *ended = r == ALONE;
    return true;
}

/* A word of one group that begins at `at` and ends at an ASCII separator or the end, as most do. Past the separator. */
static inline bool short_word(str text, size_t *at, uint64_t *hash) {
    uint64_t lower, x = load8(text, *at), good = word_bytes(x, &lower), bad = ~good & EACH(0x80);
    if (!(good & 0x80) || !bad || x & bad & -bad)
        return false;
    unsigned bits = (unsigned)__builtin_ctzll(bad) & ~7u;
    word_hash w = {WORD_BEGIN, lower & (((uint64_t)1 << bits) - 1), bits / 8};
    *at += w.n < text.n - *at ? w.n + 1 : w.n;
    *hash = word_end(&w);
    return true;
}

/* The hash of the next word at or after *at; false at the end. Advances *at past it. */
static bool next_word(str text, size_t *at, uint64_t *hash) {
    word_hash w = {WORD_BEGIN, 0, 0};
    size_t i = *at;
    bool begun = false, ended = false;
    if (i < text.n && short_word(text, at, hash))
        return true;
    while (i < text.n && !ended) {
        uint64_t lower, x = load8(text, i), good = word_bytes(x, &lower);
        if (!(good & 0x80)) {
            if (x & 0x80) {
                take_character(text, &i, &w, &begun, &ended);
                continue;
            }
            if (begun)
                break;
            /* Separators: up to the next byte that is good, or above ASCII. */
            uint64_t other = good | (x & EACH(0x80));
            size_t skip = other ? (size_t)__builtin_ctzll(other) / 8 : 8;
            i = skip < text.n - i ? i + skip : text.n;
            continue;
        }
        uint64_t bad = ~good & EACH(0x80);
        unsigned n = bad ? (unsigned)__builtin_ctzll(bad) / 8 : 8;
        take_bytes(&w, n < 8 ? lower & (((uint64_t)1 << 8 * n) - 1) : lower, n);
        begun = true;
        i += n;
    }
    *at = i;
    *hash = word_end(&w);
    return begun;
}

/* ---- shingles ---- */

typedef struct {
    str text;
    size_t at, n_words;
    uint64_t window;              /* polynomial over the last SHINGLE_WORDS words */
    uint64_t ring[SHINGLE_WORDS]; /* their hashes */
    bool ended;
} shingles;

/* The next shingle's hash, in the order of the text, repetitions and all. */
static bool next_shingle(shingles *s, uint64_t *hash) {
    uint64_t word;
    if (s->ended)
        return false;
    while (next_word(s->text, &s->at, &word)) {
        uint64_t *oldest = &s->ring[s->n_words % SHINGLE_WORDS];
        s->window = s->window * WINDOW_BASE + word - *oldest * WINDOW_BASE_OUT;
        *oldest = word;
        if (++s->n_words >= SHINGLE_WORDS) {
            *hash = mix(s->window);
            return true;
        }
    }
    s->ended = true;
    *hash = mix(s->window);
    return s->n_words > 0 && s->n_words < SHINGLE_WORDS;
}

/* ---- sketches ---- */

enum { BIN_BITS = 7, VALUE_BITS = 32 - BIN_BITS };
_Static_assert(SHINGLE_BINS == 1 << BIN_BITS, "a bin's number is the top bits of a throw");
_Static_assert(SHINGLE_ROUNDS == 4, "four throws are taken from a hash");
#define NO_VALUE UINT32_MAX

static inline void throw_one(uint32_t least[SHINGLE_BINS], uint64_t bits) {
    uint32_t thrown = (uint32_t)bits, value = thrown & ((1u << VALUE_BITS) - 1), *bin = &least[thrown >> VALUE_BITS];
    *bin = value < *bin ? value : *bin;
}

/* Both halves of the hash, and of the hash times a factor. */
static inline void throw_all(uint32_t least[SHINGLE_BINS], uint64_t hash) {
    uint64_t other = hash * THROW_FACTOR;
    other ^= other >> 32;
    throw_one(least, hash);
    throw_one(least, hash >> 32);
    throw_one(least, other);
    throw_one(least, other >> 32);
}

/* An empty bin takes the value of the first full one in an order of its own. One try for all bins that are still empty,
 * then the next: whether a try succeeds nobody can foretell, so no branch hangs on it. */
static void fill_empty(uint32_t least[SHINGLE_BINS]) {
    uint32_t filled[SHINGLE_BINS];
    uint8_t empty[SHINGLE_BINS];
    unsigned n = 0;
    for (unsigned bin = 0; bin < SHINGLE_BINS; bin++) {
        empty[n] = (uint8_t)bin;
        n += least[bin] == NO_VALUE;
    }
    memcpy(filled, least, sizeof filled);
    for (uint64_t attempt = 1; n > 0; attempt++) {
        unsigned left = 0;
        for (unsigned i = 0; i < n; i++) {
            uint8_t bin = empty[i];
            uint32_t value = least[mix((uint64_t)bin << 32 | attempt) >> (64 - BIN_BITS)];
            filled[bin] = value;
            empty[left] = bin;
            left += value == NO_VALUE;
        }
        n = left;
    }
    memcpy(least, filled, sizeof filled);
}

bool shingle_sketch_of(str text, shingle_sketch *out) {
    uint32_t least[SHINGLE_BINS];
    uint64_t hash;
    shingles s = {.text = text};
    memset(least, 0xff, sizeof least);
    memset(out, 0, sizeof *out);
    if (!next_shingle(&s, &hash))
        return false;
    do
        throw_all(least, hash);
    while (next_shingle(&s, &hash));
    fill_empty(least);
    for (int i = 0; i < SHINGLE_BINS; i++)
        out->byte[i] = (uint8_t)(least[i] * 0x9e3779b1u >> 24);
    return true;
}

int shingle_agree(const shingle_sketch *a, const shingle_sketch *b) {
    int n = 0;
    for (int i = 0; i < SHINGLE_BINS; i++)
        n += a->byte[i] == b->byte[i];
    return n;
}

/* ---- sets ---- */

static err_code add_hash(shingle_set *set, uint64_t hash, err *e) {
    if (set->n == set->cap) {
        size_t cap = set->cap ? 2 * set->cap : 256;
        /* Twice: the second half is room to sort. */
        uint64_t *p = realloc(set->hash, 2 * cap * sizeof *p);
        if (!p)
            return err_set(e, ERR_MEMORY, "no memory for the shingles of a text");
        set->hash = p;
        set->cap = cap;
    }
    set->hash[set->n++] = hash;
    return ERR_OK;
}

static void insertion_sort(uint64_t *h, size_t n) {
    for (size_t i = 1; i < n; i++) {
        uint64_t x = h[i];
        size_t k = i;
        for (; k > 0 && h[k - 1] > x; k--)
            h[k] = h[k - 1];
        h[k] = x;
    }
}

/* Hashes are spread evenly: one pass puts each into one of BUCKETS by its top bits, which then are short. */
enum { BUCKET_BITS = 8, BUCKETS = 1 << BUCKET_BITS, SHORT = 24 };

static void sort_hashes(uint64_t *h, size_t n, uint64_t *room, int shift) {
    if (n <= SHORT || shift < 0) {
        insertion_sort(h, n);
        return;
    }
    size_t end[BUCKETS] = {0}, sum = 0;
    for (size_t i = 0; i < n; i++)
        end[h[i] >> shift & (BUCKETS - 1)]++;
    for (size_t i = 0; i < BUCKETS; i++) {
        size_t count = end[i];
        end[i] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++)
        room[end[h[i] >> shift & (BUCKETS - 1)]++] = h[i];
    memcpy(h, room, n * sizeof *h);
    for (size_t i = 0, from = 0; i < BUCKETS; from = end[i++])
        sort_hashes(h + from, end[i] - from, room, shift - BUCKET_BITS);
}

err_code shingle_set_of(str text, shingle_set *out, err *e) {
    shingles s = {.text = text};
    uint64_t hash;
    out->n = 0;
    while (next_shingle(&s, &hash))
        TRY(add_hash(out, hash, e));
    if (out->n == 0)
        return ERR_OK;
    sort_hashes(out->hash, out->n, out->hash + out->cap, 64 - BUCKET_BITS);
    size_t n = 1;
    for (size_t i = 1; i < out->n; i++)
        if (out->hash[i] != out->hash[n - 1])
            out->hash[n++] = out->hash[i];
    out->n = n;
    return ERR_OK;
}

void shingle_set_fini(shingle_set *s) {
    free(s->hash);
    *s = (shingle_set){0};
}

double shingle_jaccard(const shingle_set *a, const shingle_set *b) {
    size_t i = 0, j = 0, both = 0;
    while (i < a->n && j < b->n) {
        uint64_t x = a->hash[i], y = b->hash[j];
        both += x == y;
        i += x <= y;
        j += y <= x;
    }
    size_t either = a->n + b->n - both;
    return either ? (double)both / (double)either : 0;
}
