/* dtype: the table of element types; see dtype.h. */
#include "kern/dtype.h"

#include <assert.h>
#include <strings.h>

const dtype_info dtype_table[DTYPE_COUNT] = {
#define X(name, gguf, elems, bytes) [DTYPE_##name] = {#name, gguf, elems, bytes},
    DTYPES(X)
#undef X
};

int dtype_from_gguf(uint32_t number) {
    for (int t = 0; t < DTYPE_COUNT; t++)
        if (dtype_table[t].gguf == number)
            return t;
    return -1;
}

int dtype_from_name(const char *name) {
    for (int t = 0; t < DTYPE_COUNT; t++)
        if (strcasecmp(dtype_table[t].name, name) == 0)
            return t;
    return -1;
}

size_t dtype_row_bytes(dtype t, size_t n) {
    assert(n % dtype_table[t].block_elems == 0);
    return n / dtype_table[t].block_elems * dtype_table[t].block_bytes;
}
