/* size: one number instead of twelve: a model's shape, batch, rate and steps from how large it should be.
 *
 * Rules of thumb, not laws; every choice can be overridden, and all of them end up in the recipe.
 *
 *   shape     width a multiple of 32, heads of 32 (of 64 from width 512 on) and half as many for keys and values, a
 * layer for each 40 of width (at least 2, at most 48), feed-forward 8/3 of the width: of all widths the one whose
 *             parameters come nearest to the wish
 *   rate      0.0032 * (parameters / 500000)^-0.3, two digits; at the end a tenth of it
 *   batch     2048 tokens * (parameters / 100000)^0.4, in whole sequences
 *   steps     tokens of 20 a parameter (Hoffmann et al. 2022), at least 300 steps
 *   warm-up   a tenth of the steps, at most 200; cool-down of wsd a fifth of what is left
 *   roots     20 times in a run
 *
 * Proved by test_size.c.
 */
#ifndef LOAM_TRAIN_SIZE_H
#define LOAM_TRAIN_SIZE_H

#include "train/recipe.h"

/* "tiny", "small", "medium", "large", or a number of parameters: "600000", "600k", "5M", "1.2M", 10 000 to 10^10. */
err_code size_parse(const char *text, uint64_t *params, err *e);

/* Parameters of the shape in r->model (vocab and tied included). */
uint64_t size_params(const recipe *r);

/* Fills layers, width, heads, kv_heads, head_width and ff of r->model by its vocab and tied. */
void size_shape(recipe *r, uint64_t params);
/* The same for a given width. */
void size_width(recipe *r, uint64_t width);
/* Where these fields are open, fills them by the shape, the context and the schedule: batch; optimizer's lr, min_lr,
 * steps, warmup, cooldown; chain. Open is a count of SIZE_OPEN and a real below 0. */
#define SIZE_OPEN UINT64_MAX
void size_course(recipe *r);

#endif
