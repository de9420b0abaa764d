/* adapter: any bytes as an adapter of a small model; what opens is used for the logits of two ids.
 *
 *   'G' | a GGUF file        'P' | u16 n | adapter_config.json[n] | adapter_model.safetensors
 *
 * Seeds: test/golden/fuzz_models.py. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/adapter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { CTX = 8 };

static char folder[] = "/tmp/loam-fuzz-XXXXXX";
static char config_link[64], weights_link[64], gguf[32];
static int fds[2];

static void clean(void) {
    unlink(config_link);
    unlink(weights_link);
    rmdir(folder);
}

/* A folder whose two files are in memory. */
static void make_folder(void) {
    char *const links[2] = {config_link, weights_link};
    static const char *const names[2] = {"adapter_config.json", "adapter_model.safetensors"};
    if (!mkdtemp(folder))
        abort();
    for (int i = 0; i < 2; i++) {
        char target[32];
        fds[i] = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(target, sizeof target, "/proc/self/fd/%d", fds[i]);
        snprintf(links[i], sizeof config_link, "%s/%s", folder, names[i]);
        if (fds[i] < 0 || symlink(target, links[i]))
            abort();
    }
    snprintf(gguf, sizeof gguf, "/proc/self/fd/%d", fds[1]);
    atexit(clean);
}

static void put(int fd, const uint8_t *data, size_t n) {
    if (ftruncate(fd, 0) || (n && pwrite(fd, data, n, 0) != (ssize_t)n))
        abort();
}

static const char *as_path(const uint8_t *data, size_t n) {
    if (data[0] != 'P') {
        put(fds[1], data + 1, n - 1);
        return gguf;
    }
    size_t config = n < 3 ? 0 : (size_t)data[1] | (size_t)data[2] << 8, from = n < 3 ? n : 3;
    config = config < n - from ? config : n - from;
    put(fds[0], data + from, config);
    put(fds[1], data + from + config, n - from - config);
    return folder;
}

static void use(model *m, adapter *a) {
    err e = {0};
    kv_cache *kv = NULL;
    float logits[2 * 64];
    int32_t ids[2] = {0, 1};
    if (model_config_of(m)->V > 64 || kv_open(&kv, m, CTX, &e) != ERR_OK)
        abort();
    model_use_adapters(m, &(adapter_use){a, 1}, 1);
    if (model_forward(m, kv, ids, 2, LOGITS_ALL, logits, &e) != ERR_OK)
        abort();
    model_use_adapters(m, NULL, 0);
    kv_close(kv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static model *m;
    err e = {0};
    adapter *a = NULL;
    if (!m) {
        make_folder();
        if (model_open(&m, "test/fuzz/corpus/model/llama.gguf", &(model_options){.isa = "scalar"}, &e) != ERR_OK)
            abort();
    }
    if (n == 0)
        return 0;
    if (adapter_open(&a, m, as_path(data, n), &e) != ERR_OK) {
        if (a || e.code == ERR_OK || !e.text[0])
            abort();
        return 0;
    }
    use(m, a);
    adapter_close(a);
    return 0;
}
