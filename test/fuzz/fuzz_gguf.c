/* gguf: any bytes as a GGUF file; what opens is read to its last byte. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/gguf.h"

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
    gguf_file g;
    err e = {0};
    if (gguf_open(&g, as_file(data, n), &e) != ERR_OK) {
        if (e.code == ERR_OK || !e.text[0])
            abort();
        return 0;
    }
    volatile uint64_t sum = 0;
    for (size_t i = 0; i < g.n_kv; i++) {
        const gguf_kv *kv = &g.kv[i];
        gguf_iter it = {0};
        str s;
        if (kv->elem == GGUF_STRING)
            while (gguf_next_str(kv, &it, &s))
                sum += str_hash(s);
        else
            for (uint64_t k = 0; k < kv->n; k++)
                sum += (uint64_t)gguf_i64_at(kv, k) + (gguf_f64_at(kv, k) > 0);
        char *key = strndup(kv->key.p, kv->key.n);
        uint64_t u;
        double f;
        bool b;
        if (gguf_find(&g, key) != kv)
            abort();
        gguf_get_u64(&g, key, 0, &u, &e);
        gguf_get_f64(&g, key, 0, &f, &e);
        gguf_get_bool(&g, key, false, &b, &e);
        gguf_get_str(&g, key, STR(""), &s, &e);
        free(key);
    }
    for (size_t i = 0; i < g.n_tensors; i++) {
        const tensor_ref *t = &g.tensor[i];
        sum += str_hash((str){(const char *)t->data, t->bytes});
        char *name = strndup(t->name.p, t->name.n);
        if (gguf_tensor(&g, name) != t || t->offset % g.alignment || t->data != g.map.p + t->offset)
            abort();
        free(name);
    }
    (void)sum;
    gguf_close(&g);
    return 0;
}
