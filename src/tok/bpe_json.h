/* bpe_json: what was learnt, as the text of a tokenizer.json.
 *
 * The layout is that of Hugging Face's Tokenizer.save() (serde_json, two blanks a level), so that files can be compared
 * by their bytes. Special tokens never match across white space or inside a normalised text: lstrip, rstrip,
 * single_word and normalized are false.
 */
#ifndef LOAM_TOK_BPE_JSON_H
#define LOAM_TOK_BPE_JSON_H

#include "tok/bpe_learn.h"

/* `pattern`: of the words; NULL: GPT-2's, which ByteLevel has built in. Appends. */
err_code bpe_json_write(const bpe_learnt *l, size_t n_special, const char *pattern, strbuf *out, err *e);

#endif
