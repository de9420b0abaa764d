/* mix: which format each tensor of a quantised file gets.
 *
 * A mix is named like llama.cpp's file types ("Q4_K_M") and chooses as llama.cpp does: matrices that hurt most when
 * they are coarse get more bits. Rows that are no whole number of a format's blocks get the next format that fits.
 * Source: llama.cpp's llama-quant.cpp (as facts). Proved by test_convert.py in part: the mixes open.
 */
#ifndef LOAM_MODEL_MIX_H
#define LOAM_MODEL_MIX_H

#include "model/tensors.h"

typedef struct {
    const char *name;
    dtype base;
    uint32_t file_type; /* llama.cpp's number */
} mix;

const mix *mix_by_name(const char *name); /* case-insensitive; NULL: unknown */
const char *mix_names(void);              /* "Q4_0, Q4_1, ..." */
/* The format of a matrix; importance: a matrix of importances is used. */
dtype mix_type(const mix *x, const model_config *c, const model_tensor *t, bool importance);

#endif
