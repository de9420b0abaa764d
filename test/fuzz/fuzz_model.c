/* model: any bytes as a GGUF model; what opens within 64 MB is loaded and asked for the logits of two ids. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { CTX = 8, BYTES_MAX = 64 << 20 };

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

/* Opens or gives NULL; an error always has a text. */
static model *opened(const char *path, bool plan) {
    model *m = NULL;
    err e = {0};
    model_options o = {.isa = "scalar", .plan = plan};
    if (model_open(&m, path, &o, &e) == ERR_OK)
        return m;
    if (m || e.code == ERR_OK || !e.text[0])
        abort();
    return NULL;
}

/* Every size by itself, so that no sum can wrap. */
static bool small(const model *m) {
    return model_weight_bytes(m) <= BYTES_MAX && model_scratch_bytes(m, CTX) <= BYTES_MAX &&
           model_kv_bytes(m, CTX) <= BYTES_MAX && model_config_of(m)->V <= BYTES_MAX / 64;
}

static void ask(model *m) {
    err e = {0};
    kv_cache *kv = NULL;
    if (kv_open(&kv, m, CTX, &e) != ERR_OK)
        return;
    size_t V = model_config_of(m)->V;
    float *logits = malloc(2 * V * sizeof *logits);
    int32_t ids[2] = {0, V > 1}, outside = (int32_t)V;
    if (!logits || model_forward(m, kv, ids, 2, LOGITS_ALL, logits, &e) != ERR_OK || kv_len(kv) != 2)
        abort();
    if (model_forward(m, kv, &outside, 1, LOGITS_LAST, logits, &e) != ERR_USAGE || kv_len(kv) != 2)
        abort();
    volatile int finite = 0; /* reads every logit */
    for (size_t i = 0; i < 2 * V; i++)
        finite += isfinite(logits[i]) != 0;
    (void)finite;
    free(logits);
    kv_close(kv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const char *path = as_file(data, n);
    model *m = opened(path, true);
    if (!m)
        return 0;
    bool fits = small(m);
    model_close(m);
    if (!fits)
        return 0;
    m = opened(path, false);
    if (!m)
        abort(); /* what can be planned can be loaded */
    ask(m);
    model_close(m);
    return 0;
}
