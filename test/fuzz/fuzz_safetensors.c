/* safetensors: any bytes as a .safetensors file; what opens is read to its last byte. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

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
    safetensors s;
    err e = {0};
    if (safetensors_open(&s, as_file(data, n), &e) != ERR_OK) {
        if (e.code == ERR_OK || !e.text[0])
            abort();
        return 0;
    }
    volatile uint64_t sum = 0;
    size_t bytes = 0;
    for (size_t i = 0; i < s.n_tensors; i++) {
        const tensor_ref *t = &s.tensor[i];
        sum += str_hash((str){(const char *)t->data, t->bytes});
        bytes += t->bytes;
        if (safetensors_find(&s, t->name.p) != t)
            abort();
    }
    if (bytes > n)
        abort();
    (void)sum;
    safetensors_close(&s);
    return 0;
}
