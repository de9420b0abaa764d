/* unpack: any bytes as a file, read twice in different bites: the same bytes out, or the same error. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { OUT_MAX = 1 << 18 };

/* As much as OUT_MAX bytes; the error that ends it, if one does. */
static size_t read_by(int fd, size_t bite, char *out, err *e) {
    unpack *u;
    size_t n = 0, got = 1;
    e->code = ERR_OK;
    if (lseek(fd, 0, SEEK_SET) != 0 || unpack_open_fd(&u, fd, "x", e) != ERR_OK)
        abort();
    while (got > 0 && n < OUT_MAX && e->code == ERR_OK) {
        size_t want = bite < OUT_MAX - n ? bite : OUT_MAX - n;
        if (unpack_read(u, out + n, want, &got, e) == ERR_OK) {
            if (got > want)
                abort();
            n += got;
        } else if (!e->text[0])
            abort();
    }
    unpack_close(u);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static char one[OUT_MAX], other[OUT_MAX];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, n) != (ssize_t)n)
        abort();
    err a = {0}, b = {0};
    size_t n_one = read_by(fd, OUT_MAX, one, &a), n_other = read_by(fd, 1 + n % 300, other, &b);
    close(fd);
    /* Bytes before an error may come in one way of reading and not in the other; those of a whole text may not. */
    size_t both = n_one < n_other ? n_one : n_other;
    if (a.code != b.code && n_one < OUT_MAX && n_other < OUT_MAX)
        abort();
    if (a.code == ERR_OK && b.code == ERR_OK && n_one != n_other)
        abort();
    return memcmp(one, other, both) ? (abort(), 0) : 0;
}
