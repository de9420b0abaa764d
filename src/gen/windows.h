/* windows: a text in windows of tokens, cut as llama.cpp's perplexity and imatrix tools cut it.
 *
 * The text is tokenized as a whole, with BOS in front where the model wants one; window i is tokens [i * width, (i + 1)
 * * width), and its first token becomes BOS where the model wants one. What is left at the end is not used. Proved by
 * test_compare.c and test_quantize.py.
 */
#ifndef LOAM_GEN_WINDOWS_H
#define LOAM_GEN_WINDOWS_H

#include "tok/tokenizer.h"

typedef struct {
    tok_ids ids;
    size_t width, n;
    int32_t bos; /* -1: windows begin with text */
} windows;

/* A text of less than one window: ERR_USAGE. *w undefined before, closed on failure. */
err_code windows_open(windows *w, const tokenizer *t, str text, size_t width, err *e);
void windows_close(windows *w);

/* ids i32[width] = window i. */
void windows_get(const windows *w, size_t i, int32_t *ids);

/* The id that the model wants before every text, or -1. */
err_code windows_bos(const tokenizer *t, int32_t *bos, err *e);

#endif
