/* tokens: all documents of a run as token ids, in memory: 2 bytes a token for vocabularies up to 65536, else 4.
 *
 * A document is what tokenizer_encode() with TOK_SPECIAL_ADD gives for its text, and the end token behind it unless the
 * tokenizer has put it there. Text that spells a control token (<|im_start|>) is text, unless parse_special is set:
 * then it means that token, which is right for documents written in a chat template by somebody trusted, and lets
 * others forge turns and ends. Threads change nothing.
 *
 * A tokenizer is named by the digest of its files: SHA-256 of the lines "NAME SHA256\n" of those of TOKENS_FILES that
 * are there, in that order. Proved by test_train.py.
 */
#ifndef LOAM_TRAIN_TOKENS_H
#define LOAM_TRAIN_TOKENS_H

#include "base/pool.h"
#include "tok/tokenizer.h"
#include "train/answers.h"
#include "train/docs.h"

/* The files of a tokenizer's folder that its ids can depend on. */
#define TOKENS_FILES(X) \
    X("tokenizer.json") \
    X("tokenizer_config.json") X("special_tokens_map.json") X("generation_config.json") X("chat_template.jinja")
enum { TOKENS_FILES_N = 5 };
extern const char *const tokens_files[TOKENS_FILES_N];
err_code tokens_tokenizer_digest(const char *folder, hash256 *out, err *e);

typedef struct {
    size_t n_docs;
    uint64_t *from;     /* [n_docs + 1] where each begins */
    uint32_t *n_tokens; /* [n_docs] at least 1 */
    uint16_t *narrow;   /* one of the two */
    int32_t *wide;
    uint8_t *answer; /* of each id: is it part of an answer? NULL: all count alike */
    float elsewhere; /* weight of those that are not */
    uint64_t cap;    /* ids that there is room for */
} tokens;

typedef struct {
    int32_t end; /* the token that ends a document */
    bool parse_special;
    answer_marks marks; /* answers.h */
    float elsewhere;    /* with marks: weight of what is no answer, 0 to 1; answers have 1 */
} tokens_options;

/* progress (may be NULL) is called with bytes of text done and in all. A text of
 * more than 2^32 - 2 tokens: ERR_LIMIT.
 */
err_code tokens_build(tokens *t, docs *d, const tokenizer *k, const tokens_options *o, pool *p,
                      void (*progress)(void *ctx, size_t done, size_t total), void *ctx, err *e);
void tokens_fini(tokens *t);

static inline size_t tokens_of(const tokens *t, uint32_t doc) { return t->n_tokens[doc]; }
static inline int32_t tokens_get(const tokens *t, uint32_t doc, size_t i) {
    uint64_t at = t->from[doc] + i;
    return t->narrow ? t->narrow[at] : t->wide[at];
}
/* How much predicting it counts. */
static inline float tokens_weight(const tokens *t, uint32_t doc, size_t i) {
    return !t->answer || t->answer[t->from[doc] + i] ? 1.0f : t->elsewhere;
}

#endif
