/* rope: the angles of the rotary embedding.
 *
 * Frequencies are computed in binary64 by kern/math64.h and rounded once; the angle of a position is the
 * binary32 product (float)position * frequency, as in the families' modelling code.
 */
#ifndef LOAM_MODEL_ROPE_H
#define LOAM_MODEL_ROPE_H

#include "model/config.h"

/* freq f32[R/2]. `grown`: the session may pass original_ctx (it selects LongRoPE's factors).
 * Sources: linear: arXiv 2306.15595; YaRN: arXiv 2309.00071; LongRoPE: arXiv 2402.13753; llama3: Meta's release. */
void rope_frequencies(const rope_config *r, size_t width, size_t original_ctx, bool grown, float *freq);

/* cos, sin f32[n][half] of positions pos .. pos+n-1, times factor. */
void rope_angles(const kern_ops *k, const float *freq, size_t half, float factor, size_t pos, size_t n, float *cos,
                 float *sin);

#endif
