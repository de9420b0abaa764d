/* machine: what this machine can do at most: the measure that kernels are held against.
 *
 * Each limit is the best of several short runs of a loop that does one thing and keeps its results.
 */
#ifndef LOAM_BENCH_MACHINE_H
#define LOAM_BENCH_MACHINE_H

#include "base/pool.h"

typedef struct {
    double fma;    /* 1e9 binary32 operations a second (a fused multiply-add is two); 0: not known for this ISA */
    double dot;    /* 1e9 8-bit operations a second, by the ISA's dot product (a multiply-add is two) */
    double l2;     /* 1e9 bytes a second read from the second-level cache */
    double memory; /* 1e9 bytes a second read from memory, 256 MB */
} machine_limits;

/* isa: "avx512" (VNNI), "avx2" (vpmaddubsw) or another name, for which only the bandwidths are measured. About a
 * second. */
err_code machine_measure(const char *isa, pool *p, machine_limits *out, err *e);

#endif
