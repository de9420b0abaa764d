/* rows: walking an array sixteen lanes at a time. A tail is read as zeros and only its own lanes are written. */
#ifndef LOAM_KERN_ISA_ROWS_H
#define LOAM_KERN_ISA_ROWS_H

#include "kern/isa/v16.h"

#define EACH_VECTOR(i, n) for (size_t i = 0; i < (n); i += 16)

V16_FN v16 get(const float *p, size_t i, size_t n) { return n - i >= 16 ? v16_load(p + i) : v16_load_n(p + i, n - i); }
V16_FN void put(float *p, size_t i, size_t n, v16 a) {
    if (n - i >= 16)
        v16_store(p + i, a);
    else
        v16_store_n(p + i, a, n - i);
}

#endif
