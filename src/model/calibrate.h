/* calibrate: an importance matrix from what goes into a model's matrices while it reads.
 *
 *   calibration *c;
 *   TRY(calibration_open(&c, m, e));      from here on every forward call is measured
 *   model_forward(...) ...
 *   calibration_result(c, &out, e);       sums of squares by matrix and column, over all positions so far
 *   calibration_close(c);
 *
 * Every matrix of a layer has an entry, under its name in GGUF files; the embedding and the output have none, as in
 * llama.cpp. Order of arithmetic: a column's sum is one chain in binary64, sum += x * x, positions ascending; at the
 * end it is rounded to binary32. Threads share out columns. So the bits depend on the text alone, not on threads,
 * instruction sets or how the text was cut into calls.
 *
 * Proved by test_calibrate.c (plain sums, threads, cuts) and test_quantize.py (llama.cpp's own inputs).
 */
#ifndef LOAM_MODEL_CALIBRATE_H
#define LOAM_MODEL_CALIBRATE_H

#include "io/imatrix.h"
#include "model/model.h"

typedef struct calibration calibration;

/* m must outlive it, and have no other watcher. */
err_code calibration_open(calibration **out, model *m, err *e);
void calibration_close(calibration *c); /* NULL allowed; m is watched no more */

/* *out: an importance matrix of its own (imatrix_close()); dataset and chunks are the caller's to fill in. Sums too
 * large for binary32, or no numbers: ERR_FORMAT. */
err_code calibration_result(const calibration *c, imatrix *out, err *e);

#endif
