/* vocab: pieces by id and by spelling; see vocab.h.
 *
 * The index is a linear-probing table at most half full. Files are hostile and the hash is
 * known, so a run of more than VOCAB_PROBES_MAX slots is refused instead of walked: filling
 * stays linear in the file whatever it holds.
 */
#include "tok/vocab.h"

#include <string.h>

#include "tok/tokenizer.h"

enum { BLOCK_BYTES = 1 << 18, VOCAB_BYTES_MAX = 1 << 28 };

static uint64_t load(const char *p, size_t n) {
    uint64_t w = 0;
    memcpy(&w, p, n);
    return w;
}

uint64_t vocab_hash(str s) {
    uint64_t h = 0x9e3779b97f4a7c15u ^ s.n;
    const char *p = s.p;
    for (size_t left = s.n; left;) {
        size_t n = left < 8 ? left : 8;
        h = (h ^ (n == 8 ? load(p, 8) : load(p, n))) * 0xd6e8feb86659fd93u;
        h ^= h >> 32;
        p += n;
        left -= n;
    }
    return h ^ h >> 29;
}

err_code vocab_init(vocab *v, arena *a, uint64_t n, err *e) {
    if (n == 0)
        return err_set(e, ERR_FORMAT, "the vocabulary is empty");
    if (n > TOK_VOCAB_MAX)
        return err_set(e, ERR_LIMIT, "%llu pieces; at most %d are supported", (unsigned long long)n, TOK_VOCAB_MAX);
    size_t slots = 16;
    while (slots < 2 * n)
        slots *= 2;
    *v = (vocab){.n = (int32_t)n, .slot_mask = slots - 1};
    ARENA_NEW(a, v->piece, n, e);
    ARENA_NEW(a, v->type, n, e);
    ARENA_NEW(a, v->score, n, e);
    ARENA_NEW(a, v->slot, slots, e);
    return ERR_OK;
}

/* The slot of `piece`, or the empty one where it belongs, or NULL after too many probes. */
static uint64_t *find_slot(const vocab *v, str piece, uint64_t h) {
    uint64_t tag = h >> 32 << 32;
    size_t i = h & v->slot_mask;
    for (int probes = 0; probes < VOCAB_PROBES_MAX; probes++, i = (i + 1) & v->slot_mask) {
        uint64_t s = v->slot[i];
        if (!s || (s >> 32 << 32 == tag && str_eq(v->piece[(uint32_t)s - 1], piece)))
            return &v->slot[i];
    }
    return NULL;
}

int32_t vocab_find(const vocab *v, str piece) {
    if (piece.n == 0 || piece.n > v->piece_bytes_max)
        return -1;
    const uint64_t *s = find_slot(v, piece, vocab_hash(piece));
    return s && *s ? (int32_t)((uint32_t)*s - 1) : -1;
}

static err_code copy_piece(vocab *v, arena *a, str piece, str *out, err *e) {
    if (piece.n > VOCAB_BYTES_MAX - v->bytes)
        return err_set(e, ERR_LIMIT, "the pieces take more than %d bytes", VOCAB_BYTES_MAX);
    v->bytes += piece.n;
    if (piece.n > v->block_left) {
        size_t n = piece.n > BLOCK_BYTES ? piece.n : BLOCK_BYTES;
        ARENA_NEW(a, v->block, n, e);
        v->block_left = n;
    }
    if (piece.n)
        memcpy(v->block, piece.p, piece.n);
    *out = (str){v->block, piece.n};
    v->block += piece.n;
    v->block_left -= piece.n;
    return ERR_OK;
}

err_code vocab_put(vocab *v, arena *a, int32_t id, str piece, vocab_type type, err *e) {
    if (id < 0 || id >= v->n)
        return err_set(e, ERR_FORMAT, "id %d is outside 0..%d", id, v->n - 1);
    if (piece.n > TOK_PIECE_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "piece %d has %zu bytes; at most %d are supported", id, piece.n,
                       TOK_PIECE_BYTES_MAX);
    if (v->piece[id].n)
        return err_set(e, ERR_FORMAT, "id %d is given twice, to \"%.*s\" and \"%.*s\"", id, STR_ARG(v->piece[id]),
                       STR_ARG(piece));
    v->type[id] = (uint8_t)type;
    if (piece.n == 0)
        return ERR_OK; /* a hole: nothing spells it */
    uint64_t h = vocab_hash(piece);
    uint64_t *s = find_slot(v, piece, h);
    if (!s)
        return err_set(e, ERR_LIMIT, "too many pieces collide with \"%.*s\"", STR_ARG(piece));
    if (*s)
        return err_set(e, ERR_FORMAT, "piece \"%.*s\" stands twice, with ids %d and %d", STR_ARG(piece),
                       (int)((uint32_t)*s - 1), id);
    TRY(copy_piece(v, a, piece, &v->piece[id], e));
    *s = h >> 32 << 32 | (uint32_t)(id + 1);
    if (piece.n > v->piece_bytes_max)
        v->piece_bytes_max = piece.n;
    return ERR_OK;
}

int vocab_byte_of(str piece) {
    if (piece.n != 6 || memcmp(piece.p, "<0x", 3) != 0 || piece.p[5] != '>')
        return -1;
    int hi = str_hex_digit(piece.p[3]), lo = str_hex_digit(piece.p[4]);
    return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
}

int32_t vocab_byte_id(const vocab *v, unsigned char byte) {
    static const char hex[] = "0123456789ABCDEF";
    char name[6] = {'<', '0', 'x', hex[byte >> 4], hex[byte & 15], '>'};
    return vocab_find(v, (str){name, 6});
}
