/* pooling: how the last hidden states of a text become one vector, its embedding.
 *
 * What a model states is read where its makers put it: `<arch>.pooling_type` of a GGUF file; in a folder modules.json
 * of sentence-transformers and the config.json of its pooling module. A model that states nothing gets POOL_LAST: in a
 * decoder only the last position has seen the whole text.
 *
 * Order of arithmetic (doc/arithmetic.md, "Embeddings"): binary64 chains by ascending position, each element its own;
 * one rounding to binary32 at the end. So a vector does not depend on how the text was cut into passes.
 * Proved by test_pooling.c, test/prop/test_engine.c and, against transformers, test/e2e/test_embed.py.
 */
#ifndef LOAM_MODEL_POOLING_H
#define LOAM_MODEL_POOLING_H

#include "model/model.h"

typedef enum {
    POOL_LAST,     /* of the last position */
    POOL_MEAN,     /* of all */
    POOL_FIRST,    /* of position 0 */
    POOL_MAX,      /* the greatest of each element */
    POOL_WEIGHTED, /* mean with weight t+1 at position t */
    POOL_ROOT,     /* sum over sqrt(T) */
} pooling_how;

typedef struct {
    pooling_how how;
    bool stated; /* by the model; else the default */
} pooling;

/* A damaged statement: ERR_FORMAT. Several ways at once, a reranker, modules that compute more than this (Dense):
 * ERR_UNSUPPORTED. */
err_code pooling_of(const model *m, pooling *out, err *e);
const char *pooling_name(pooling_how how); /* as sentence-transformers says it */
int pooling_gguf(pooling_how how);         /* the number of pooling_type; -1: it has none */

/* sum f64[D], +0 before position 0; x f32[D]: the state of position t, positions ascending from 0. POOL_LAST may begin
 * at any position. */
void pooling_add(pooling_how how, double *sum, size_t D, size_t t, const float *x);
/* After n positions: out f32[D]. */
void pooling_end(pooling_how how, const double *sum, size_t D, size_t n, float *out);
/* x f32[n] over its length: the root of the sum of squares, a binary64 chain by ascending index. A zero vector stays.
 */
void pooling_unit(float *x, size_t n);

#endif
