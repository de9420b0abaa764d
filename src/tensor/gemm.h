/* gemm: kern's chains (kern_gemm) shared among threads.
 *
 * How the outputs are cut into tasks depends on the number of threads; no bit does, for every output is one chain.
 */
#ifndef LOAM_TENSOR_GEMM_H
#define LOAM_TENSOR_GEMM_H

#include "tensor/matrix.h"

enum { GEMM_TOGETHER_MAX = 4 };

/* Bytes of scratch that gemm_run() takes; 64-byte aligned. */
size_t gemm_scratch_bytes(const engine *e);

/* n <= GEMM_TOGETHER_MAX independent ones at once. A gemm with 0 rows is skipped. */
void gemm_run(const engine *e, const kern_gemm *g, int n, void *scratch);
/* n that write the same outputs, one after the other: all but the first continue the chains (go_on). */
void gemm_run_chained(const engine *e, const kern_gemm *g, int n, void *scratch);

#endif
