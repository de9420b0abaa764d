/* mix: which format each tensor of a quantised file gets.
 *
 * A mix is named like llama.cpp's file types ("Q4_K_M") and chooses as llama.cpp does: matrices that hurt most when
 * they are coarse get more bits. Rows that are no whole number of a format's blocks get the next format that fits.
 * Source: llama.cpp's llama-quant.cpp (as facts). Proved by test_mix.c: all mixes, with and without importances, choose
 * as llama.cpp does for models of every family (test/golden/mix.py); whole models are compared in test_quantize.py.
 */
#ifndef LOAM_MODEL_MIX_H
#define LOAM_MODEL_MIX_H

#include "io/imatrix.h"
#include "model/tensors.h"

typedef struct {
    const char *name;
    dtype base;
    uint32_t file_type; /* llama.cpp's number */
} mix;

/* Case-insensitive; "Q4_K" means Q4_K_M, likewise Q3_K and Q5_K. NULL: unknown. */
const mix *mix_by_name(const char *name);
const char *mix_names(void); /* "F32, F16, ..." */

/* The format of a matrix. */
typedef struct {
    dtype type;
    dtype wanted; /* another than `type` when rows of t are no whole number of its blocks */
    bool needs;   /* without importances it would be of little use, and llama.cpp refuses it */
} mix_choice;
/* importance: there is a matrix of importances, whether for this one or not. */
mix_choice mix_of(const mix *x, const model_config *c, const model_tensor *t, bool importance);

/* Matrices that get another format than the mix wants, because of the width of their rows. */
typedef struct {
    dtype wanted, type;
    size_t n;
    char first[TENSOR_NAME_MAX];
} mix_fallen;

/* What a mix makes of a whole model. */
enum { MIX_FALLEN_MAX = 8 };
typedef struct {
    uint64_t elements, bytes; /* of all tensors; vectors are F32 */
    mix_fallen fallen[MIX_FALLEN_MAX];
    size_t n_fallen;
    size_t n_missing; /* matrices of layers without an entry in `importance`, and the first of them */
    char missing[TENSOR_NAME_MAX];
} mix_plan;
/* x NULL: the tensors stay as they are. importance NULL: there is none. ERR_USAGE when the mix needs importances that
 * are not there, or when they are those of another model: other widths, or no entry at all. */
err_code mix_plan_of(const mix *x, const model *m, const imatrix *importance, mix_plan *out, err *e);

#endif
