/* tokenizer: text to token ids and back, exact to the id of the model's reference tokenizer.
 *
 * One face over three algorithms: SentencePiece BPE (merge the adjacent pair of highest score, ties to the
 * left), SentencePiece unigram (Viterbi over log probabilities), byte-level BPE (ranked merges inside
 * pre-tokens). A tokenizer comes from GGUF keys (tokenizer.ggml.*) or from a tokenizer.json, and is
 * immutable after opening: any number of threads may use it at once. Who encodes many texts gives each thread
 * a tok_work of its own.
 */
#ifndef LOAM_TOK_TOKENIZER_H
#define LOAM_TOK_TOKENIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "io/gguf.h"

typedef struct tokenizer tokenizer;

/* Ids that grow. Zero-initialise; tok_ids_fini() frees. */
typedef struct {
    int32_t *id;
    size_t n, cap;
} tok_ids;
err_code tok_ids_add(tok_ids *ids, int32_t id, err *e);
void tok_ids_fini(tok_ids *ids);

enum { TOK_VOCAB_MAX = 1 << 21, TOK_PIECE_BYTES_MAX = 65536, TOK_TEXT_BYTES_MAX = 1 << 30 };

err_code tokenizer_open_gguf(tokenizer **out, const gguf_file *g, err *e);
/* `folder` holds tokenizer.json and, optionally, tokenizer_config.json, special_tokens_map.json,
 * generation_config.json, chat_template.jinja and config.json (for bos/eos ids and the chat template). */
err_code tokenizer_open_folder(tokenizer **out, const char *folder, err *e);
void tokenizer_close(tokenizer *t); /* NULL allowed */

/* TOK_SPECIAL_ADD: put BOS/EOS (or what the post-processor says) where the model wants them.
 * TOK_SPECIAL_PARSE: text that spells a control token becomes that token; without it,
 * only user-defined added tokens are recognised and the spelling is ordinary text. */
enum { TOK_SPECIAL_ADD = 1, TOK_SPECIAL_PARSE = 2 };

/* Appends to *ids (left as it was on failure). text may hold any bytes; ill-formed UTF-8 is tokenized byte by
 * byte where the vocabulary has bytes, else as the unknown token. Linear-logarithmic in text. */
err_code tokenizer_encode(const tokenizer *t, str text, unsigned flags, tok_ids *ids, err *e);

/* The same ids, faster from the second text on: what a call sets up, and the ids of words seen lately (4 MB), stay in w
 * for the next one. A tok_work belongs to one tokenizer, which must outlive it, and to one thread at a time. After a
 * failure it can be used on. */
typedef struct tok_work tok_work;
err_code tok_work_open(tok_work **out, const tokenizer *t, err *e);
void tok_work_close(tok_work *w); /* NULL allowed */
err_code tokenizer_encode_with(tok_work *w, str text, unsigned flags, tok_ids *ids, err *e);

/* Appends the text of ids. `special`: control tokens appear as spelled, else they vanish. An id outside the
 * vocabulary is ERR_USAGE. The text of a sequence is what the reference decoder gives (leading-space rule of
 * SentencePiece, clean-up off), except that bytes which form no valid UTF-8 come out as they are. */
err_code tokenizer_decode(const tokenizer *t, const int32_t *ids, size_t n, bool special, strbuf *out, err *e);

/* The same, one token after another: appends what `id` adds when it follows `i_prev` earlier tokens of the
 * same stream (the leading-space rule needs to know the first). The bytes may end inside a
 * character: pass them through utf8_whole() before printing. */
err_code tokenizer_decode_next(const tokenizer *t, size_t i_prev, int32_t id, bool special, strbuf *out, err *e);

int32_t tokenizer_n_vocab(const tokenizer *t);          /* ids are 0 .. n-1 */
str tokenizer_piece(const tokenizer *t, int32_t id);    /* as the vocabulary spells it */
int32_t tokenizer_id_of(const tokenizer *t, str piece); /* exact piece, or -1 */
bool tokenizer_is_control(const tokenizer *t, int32_t id);
int32_t tokenizer_bos(const tokenizer *t); /* -1: none */
int32_t tokenizer_eos(const tokenizer *t); /* -1: none */
bool tokenizer_is_end(const tokenizer *t,
                      int32_t id);               /* ends a generation: eos, eot, eom, <end_of_turn>, <|im_end|> ... */
str tokenizer_chat_template(const tokenizer *t); /* empty: none */
size_t tokenizer_bytes(const tokenizer *t);      /* of memory held while open; a few KB are not counted */
const char *tokenizer_kind(const tokenizer *t);  /* for `show`: "SentencePiece BPE, gemma" */

#endif
