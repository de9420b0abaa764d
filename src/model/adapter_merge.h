/* adapter_merge: adapters made a part of a model's weights, and several adapters made one.
 *
 * Merged row r of a matrix, for every adapter in the order of use with mix m other than 0 (doc/arithmetic.md, section
 * 13; w is the dequantised row, k = m * scale):
 *
 *   DoRA: w[c] = w[c] * (1 + m * (gain[r] - 1)), and B[r][i] * gain[r] in the place of B[r][i]
 *   d[c] = chain over i of B[r][i] * A[i][c];  w[c] = fma(d[c], k, w[c])
 *
 * then rounded to the type that is written. Combined adapters have scale 1. With x = mix * scale of each:
 *
 *   cat     A's below each other, times x; B's beside each other: the same sum exactly but for rounding
 *   linear  A = sum of A * sqrt(|x|) with the sign of x, B = sum of B * sqrt(|x|): peft's, cheap and rough
 *   ties    as linear, but of each A and B only the `density` largest magnitudes (ties by index), and of these, element
 *           by element, the mean of those whose sign is that of their unweighted sum (0: plus)
 *
 * Source: peft 0.21's add_weighted_adapter; Yadav et al., TIES-Merging, 2023. Proved by test_lora.py (peft's logits;
 * those of --lora).
 */
#ifndef LOAM_MODEL_ADAPTER_MERGE_H
#define LOAM_MODEL_ADAPTER_MERGE_H

#include "model/adapter_file.h"
#include "model/export.h"

typedef struct adapter_merge adapter_merge;

/* m may be opened to plan. use[] must outlive it. */
err_code adapter_merge_open(adapter_merge **out, const model *m, const adapter_use *use, size_t n, err *e);
void adapter_merge_close(adapter_merge *g);           /* NULL allowed */
export_change adapter_merge_change(adapter_merge *g); /* for export_options */

typedef enum { COMBINE_CAT, COMBINE_LINEAR, COMBINE_TIES, COMBINE_COUNT } combine_how;
/* linear and ties: adapters of one rank; DoRA is refused (ERR_UNSUPPORTED). density: above 0, at most 1. */
err_code adapter_combine(adapter **out, const adapter_use *use, size_t n, combine_how how, double density, err *e);

#endif
