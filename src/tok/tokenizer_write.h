/* tokenizer_write: a tokenizer from the form of one kind of file to that of the other: the same ids.
 *
 *   byte-level BPE             tokenizer.json BPE with ByteLevel   <->  model "gpt2", its pre-tokenizer by name
 *   SentencePiece BPE          tokenizer.json BPE, byte_fallback   <->  model "llama", merges <-> scores
 *   SentencePiece unigram      tokenizer.json Unigram              <->  model "t5"
 *
 * Keys are what this program (tokenizer_gguf.c) and llama.cpp read. What the other form has no words for (a
 * pre-tokenizer that GGUF has no name for, normalizers, special tokens in unusual places) is refused by name
 * (ERR_UNSUPPORTED). Proved by test_tok_write.c: ids of some thousand strings, every family, both ways.
 */
#ifndef LOAM_TOK_TOKENIZER_WRITE_H
#define LOAM_TOK_TOKENIZER_WRITE_H

#include "io/gguf_write.h"
#include "tok/tokenizer.h"

/* From a folder's tokenizer.json and the files beside it (tokenizer_open_folder()) to the keys tokenizer.*. n_vocab:
 * rows of the model's embedding; ids that the tokenizer does not name become unused pieces "[PADn]". */
err_code tokenizer_to_gguf(const char *folder, size_t n_vocab, gguf_writer *w, err *e);
/* The keys of a model without a tokenizer: llama.cpp then takes and gives ids. */
err_code tokenizer_none_to_gguf(gguf_writer *w, err *e);

/* From a GGUF file's keys to tokenizer.json, tokenizer_config.json, generation_config.json and, when there is one,
 * chat_template.jinja, in a folder that is there. */
err_code tokenizer_to_folder(const gguf_file *g, const char *folder, err *e);
/* The files named above and the others of a tokenizer, as far as `from` has them. */
err_code tokenizer_copy_files(const char *from, const char *to, err *e);

#endif
