/* vocab: the pieces of a tokenizer, by id and by spelling.
 *
 * Filled once, then immutable. Pieces are copied. An id may have no piece (a hole: n == 0);
 * holes are not in the index. Two ids never spell alike.
 */
#ifndef LOAM_TOK_VOCAB_H
#define LOAM_TOK_VOCAB_H

#include "base/arena.h"
#include "base/str.h"

/* Numbered as tokenizer.ggml.token_type is. */
typedef enum {
    VOCAB_UNDEFINED,
    VOCAB_NORMAL,
    VOCAB_UNKNOWN,
    VOCAB_CONTROL,
    VOCAB_USER, /* an added token that is ordinary text for a reader */
    VOCAB_UNUSED,
    VOCAB_BYTE, /* spelled <0x00> to <0xFF> */
    VOCAB_TYPE_COUNT
} vocab_type;

typedef struct {
    int32_t n; /* ids are 0 .. n-1 */
    str *piece;
    uint8_t *type;
    float *score;           /* SentencePiece's; zero where the file has none */
    size_t piece_bytes_max; /* longest piece */
    uint64_t *slot;         /* open addressing: hash tag in the high half, id + 1 in the low; 0 is empty */
    size_t slot_mask;
    char *block; /* where the next piece is copied to */
    size_t block_left, bytes;
} vocab;

err_code vocab_init(vocab *v, arena *a, uint64_t n, err *e);
/* Errors: a piece too long, a total too large, a spelling already taken, an id already taken
 * (ERR_FORMAT, ERR_LIMIT). */
err_code vocab_put(vocab *v, arena *a, int32_t id, str piece, vocab_type type, err *e);
int32_t vocab_find(const vocab *v, str piece); /* -1 when absent */

/* The byte that <0xHH> spells (upper or lower case digits), or -1. */
int vocab_byte_of(str piece);
/* The id of the piece <0xHH>, upper case, or -1. */
int32_t vocab_byte_id(const vocab *v, unsigned char byte);

/* A good mix of bytes into 64 bits, for tables only. */
uint64_t vocab_hash(str s);
enum { VOCAB_PROBES_MAX = 1024 }; /* a table that needs more was made to collide */

#endif
