/* decode: from pieces back to text. Two lists of steps: on every piece, then on the whole text.
 *
 * Source: Hugging Face tokenizers' decoders. Bytes that form no valid UTF-8 stay as they are, where
 * the reference puts U+FFFD.
 */
#ifndef LOAM_TOK_DECODE_H
#define LOAM_TOK_DECODE_H

#include "tok/rx.h"

enum { DECODE_STEPS_MAX = 16 };

typedef enum {
    DECODE_BYTE_LEVEL,    /* GPT-2's spelling back to bytes, when all of a piece is so spelled */
    DECODE_BYTE_FALLBACK, /* <0xHH> to its byte */
    DECODE_REPLACE,       /* `what` (or matches of `pattern`) to `with` */
    DECODE_STRIP,         /* up to `left` and `right` times the character `what` off the ends */
    DECODE_META           /* `what` to a space; off the first piece altogether when `drop_first` */
} decode_kind;

typedef struct {
    decode_kind kind;
    str what, with;
    rx *pattern; /* owned */
    uint32_t left, right;
    bool drop_first;
} decode_step;

typedef struct {
    decode_step step[DECODE_STEPS_MAX];
    int n;        /* steps */
    int n_pieces; /* the first so many are for pieces, the others for the whole */
    bool spaced;  /* no decoder at all: pieces are joined by spaces */
} decoder;

/* The text of one piece. `first`: the first piece of the text. Appends; the whole's steps are the caller's to
 * do, by decode_whole() on all that was appended from byte `from` on. */
err_code decode_piece(const decoder *d, str piece, bool first, strbuf *out, err *e);
/* left, right: whether the text's ends are there, for what is taken off them. */
err_code decode_whole(const decoder *d, size_t from, bool left, bool right, strbuf *out, err *e);
void decode_fini(decoder *d);

#endif
