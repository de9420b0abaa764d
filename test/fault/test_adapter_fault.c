/* adapter: a failed allocation, read or write while one is opened, made, combined or saved is one clear error, no leak
 * and no file; a forward pass with adapters allocates nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "fault/fault.h"
#include "model/adapter.h"
#include "model/adapter_merge.h"

#define LORA "test/golden/lora/"

static model *base;
static char dir[] = "/tmp/loam-adapter-XXXXXX", path[80];

static void opening(void **state) {
    (void)state;
    static const char *const names[] = {LORA "llama", LORA "llama-other"};
    for (int kind = FAULT_MEMORY; kind <= FAULT_IO; kind++)
        for (int i = 0; i < 2; i++)
            FAULT_EACH((fault_kind)kind, 1000) {
                err e = {0};
                adapter *a = NULL;
                err_code code = adapter_open(&a, base, names[i], &e);
                fault_end(code == ERR_OK);
                assert_int_equal(a != NULL, code == ERR_OK);
                assert_true(code == ERR_OK || e.text[0]);
                adapter_close(a);
            }
}

static void making(void **state) {
    (void)state;
    FAULT_EACH(FAULT_MEMORY, 100) {
        err e = {0};
        adapter *a = NULL;
        adapter_shape s = {.rank = 4, .alpha = 8, .dora = true, .parts = LORA_ALL};
        err_code code = adapter_create(&a, base, &s, 1, &e);
        fault_end(code == ERR_OK);
        adapter_close(a);
    }
}

static void combining_and_saving(void **state) {
    (void)state;
    err e = {0};
    adapter *a = NULL;
    assert_int_equal(adapter_open(&a, base, LORA "llama", &e), ERR_OK);
    const adapter_use use[] = {{a, 1}, {a, 0.5f}};
    FAULT_EACH(FAULT_MEMORY, 1000) {
        adapter *b = NULL;
        err_code code = adapter_combine(&b, use, 2, COMBINE_TIES, 0.5, &e);
        fault_end(code == ERR_OK);
        adapter_close(b);
    }
    for (int kind = FAULT_MEMORY; kind <= FAULT_IO; kind++)
        FAULT_EACH((fault_kind)kind, 10000) {
            adapter *b = NULL;
            err_code code = adapter_save_gguf(a, path, STR("a"), &e);
            if (kind == FAULT_MEMORY)
                fault_end(code == ERR_OK);
            else
                fault_end_any(); /* a file system without nameless files is none to fail for */
            bool there = access(path, F_OK) == 0;
            assert_true(code != ERR_OK || there);
            assert_true(!there || adapter_open(&b, base, path, &e) == ERR_OK); /* whole, or not at all */
            adapter_close(b);
            remove(path);
        }
    adapter_close(a);
}

static void forward_allocates_nothing(void **state) {
    (void)state;
    enum { MANY = 1000000 };
    static const int32_t ids[] = {1, 2, 3};
    err e = {0};
    adapter *a = NULL;
    kv_cache *kv = NULL;
    float logits[4096];
    assert_true(model_config_of(base)->V <= 4096);
    assert_int_equal(adapter_open(&a, base, LORA "llama", &e), ERR_OK);
    assert_int_equal(kv_open(&kv, base, 8, &e), ERR_OK);
    model_use_adapters(base, &(adapter_use){a, 1}, 1);
    fault.kind = FAULT_MEMORY;
    fault.countdown = MANY;
    fault.armed = true;
    err_code code = model_forward(base, kv, ids, 3, LOGITS_LAST, logits, &e);
    fault.armed = false;
    assert_int_equal(code, ERR_OK);
    assert_int_equal(fault.countdown, MANY);
    model_use_adapters(base, NULL, 0);
    kv_close(kv);
    adapter_close(a);
}

static int setup(void **state) {
    (void)state;
    err e = {0};
    if (!mkdtemp(dir) || model_open(&base, "test/golden/models/llama", &(model_options){0}, &e))
        return -1;
    snprintf(path, sizeof path, "%s/a.gguf", dir);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    model_close(base);
    return rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(opening), cmocka_unit_test(making),
                                       cmocka_unit_test(combining_and_saving),
                                       cmocka_unit_test(forward_allocates_nothing)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
