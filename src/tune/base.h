/* base: the model that a run tunes, by its digest.
 *
 * Of a file: its SHA-256. Of a folder: the SHA-256 of the lines "NAME SHA256\n" of config.json, the tokenizer's files
 * (train/tokens.h), every *.safetensors (a shard has no other name: io/safetensors.h) and their index, as far as
 * they are there, sorted by name: all that this program reads of it. Of a GGUF model in several files: the SHA-256 of
 * such lines of its parts, the first first. A base that has changed since the run began is another model, and refused.
 * Proved by test_base.c.
 */
#ifndef LOAM_TUNE_BASE_H
#define LOAM_TUNE_BASE_H

#include "base/hash.h"
#include "model/model.h"
#include "tok/tokenizer.h"
#include "train/recipe.h"

err_code base_digest(const char *path, hash256 *out, err *e);
/* Such a line of a file, appended; *h: its SHA-256. */
err_code base_digest_line(strbuf *lines, const char *path, hash256 *h, err *e);

/* The tokenizer of a model, and what it stands in. Zero-initialise; base_words_close() after any outcome. */
typedef struct {
    bool is_open;
    gguf_file file;
    tokenizer *t;
} base_words;
err_code base_words_open(base_words *w, const char *path, err *e);
void base_words_close(base_words *w);

/* What a recipe says of the base's shape; ctx is left as it is. */
err_code base_describe(const model_config *c, recipe *r, err *e);
/* The base must be of that shape: it is when its digest is. ERR_MISMATCH. */
err_code base_compare(const model_config *c, const recipe *r, const char *path, err *e);

#endif
