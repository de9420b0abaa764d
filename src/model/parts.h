/* parts: every weight that one layer can have, as a table: what it is called, how large it is, where it stands.
 *
 * Used to create models, to list what is learned, and to lay out gradients: the gradient of a layer is another `layer`
 * whose pointers lead to gradients.
 */
#ifndef LOAM_MODEL_PARTS_H
#define LOAM_MODEL_PARTS_H

#include "model/model_int.h"

enum { PARTS = 20 };

typedef struct {
    const char *name;  /* below "model.layers.N." of a Hugging Face folder */
    size_t rows, cols; /* cols 0: a vector */
    bool wanted;       /* a new model has it */
    size_t at;         /* of a matrix, or of a const float *, in a layer */
} part;

/* The parts of every layer of this config, in order: norms, then each matrix and its bias. */
void parts_of(const model_config *c, part out[PARTS]);

static inline matrix *part_matrix(const part *p, layer *y) { return (matrix *)(void *)((char *)y + p->at); }
static inline const float **part_vector(const part *p, layer *y) { return (const float **)(void *)((char *)y + p->at); }

/* Floats of a part in memory: whole panels of a matrix. */
size_t part_floats(size_t rows, size_t cols);

#endif
