/* imatrix: any bytes as an importance matrix of either form; what opens is finite and can be found. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/imatrix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The reader takes a path: one file in memory is written anew for each input. */
static const char *as_file(const uint8_t *data, size_t n) {
    static int fd = -1;
    static char path[32];
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (fd < 0 || ftruncate(fd, 0) || (n && pwrite(fd, data, n, 0) != (ssize_t)n))
        abort();
    return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    imatrix m;
    err e = {0};
    if (imatrix_open(&m, as_file(data, n), &e) != ERR_OK) {
        if (e.code == ERR_OK || !e.text[0] || m.mem.head)
            abort();
        return 0;
    }
    if (m.n == 0)
        abort();
    for (size_t i = 0; i < m.n; i++) {
        const imatrix_entry *x = &m.entry[i];
        if (imatrix_find(&m, x->name) != x || x->n == 0)
            abort();
        for (size_t k = 0; k < x->n; k++)
            if (!(x->mean[k] >= 0 && isfinite(x->mean[k]) && x->sum[k] >= 0))
                abort();
    }
    imatrix_close(&m);
    return 0;
}
