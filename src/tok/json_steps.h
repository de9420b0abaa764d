/* json_steps: the normalizer, pre-tokenizer and decoder of a tokenizer.json.
 *
 * Each is null, one step or a Sequence of them; what is not known is refused by its name. Strings are copied
 * into the arena. Source: Hugging Face tokenizers' serialisation.
 */
#ifndef LOAM_TOK_JSON_STEPS_H
#define LOAM_TOK_JSON_STEPS_H

#include "text/json.h"
#include "tok/pipeline.h"

err_code json_normalizer(tokenizer *t, const json_t *v, err *e);
/* *byte_level: the words end up in GPT-2's spelling of bytes. */
err_code json_pre_tokenizer(tokenizer *t, const json_t *v, bool *byte_level, err *e);
err_code json_decoder(tokenizer *t, const json_t *v, err *e);
err_code json_base64(str s, strbuf *out, err *e); /* appends what it stands for */

#endif
