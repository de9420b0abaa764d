/* pipeline: what a tokenizer is made of; filled by tokenizer_gguf.c and tokenizer_json.c, run by tokenizer.c.
 *
 *   text - ill-formed bytes apart - added tokens (raw) - normalizer - added tokens (norm) - pre-tokenizer - model - ids
 *   ids - decoder - text
 *
 * Everything is immutable once opened; what a call writes lives in the call.
 */
#ifndef LOAM_TOK_PIPELINE_H
#define LOAM_TOK_PIPELINE_H

#include "tok/added.h"
#include "tok/bpe.h"
#include "tok/decode.h"
#include "tok/normalize.h"
#include "tok/pretok.h"
#include "tok/tokenizer.h"
#include "tok/unigram.h"

enum { PIPELINE_FRAME_MAX = 64 }; /* special tokens put on each side */

struct tokenizer {
    arena mem;
    vocab v;
    char kind[96];
    added_set raw;  /* cut out of the text as it came */
    added_set norm; /* cut out of the normalised text */
    normalizer nz;
    pretok pre;
    bool is_unigram;
    bpe bpe;
    unigram uni;
    decoder dec;
    int32_t front[PIPELINE_FRAME_MAX], back[PIPELINE_FRAME_MAX]; /* TOK_SPECIAL_ADD */
    int n_front, n_back;
    int32_t bos, eos;
    uint8_t *is_end; /* by id */
    str chat_template;
};

err_code pipeline_new(tokenizer **out, err *e);
/* Marks as ends of a generation: eos, and every piece spelled like a known one. Call last. */
err_code pipeline_finish(tokenizer *t, err *e);
bool pipeline_known_end(str piece); /* spelled like one */

/* tokenizer.json's text, without the folder's other files: everything but bos, eos, ends and chat template. */
err_code tokenizer_read_json(tokenizer *t, str text, err *e);

#endif
