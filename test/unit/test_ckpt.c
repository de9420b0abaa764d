/* ckpt: what is saved is loaded again, bit for bit; a changed byte anywhere is noticed and its tensor named; what must
 * go, goes; nothing is left of what was not finished. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>

#include "base/os.h"
#include "train/ckpt.h"
#include "unit/gguf_build.h"
#include "unit/params.h"

typedef struct {
    params s;
    float *w[PARAMS_N], *m[PARAMS_N], *v[PARAMS_N];
    ckpt_state state;
} run;

static void make(run *r, uint64_t seed) {
    r->s = params_make();
    for (size_t i = 0; i < PARAMS_N; i++) {
        r->w[i] = r->s.p[i].w;
        r->m[i] = calloc(r->s.p[i].n, sizeof(float));
        r->v[i] = calloc(r->s.p[i].n, sizeof(float));
        if (!seed)
            continue;
        params_fill(&r->s.p[i], r->w[i], seed, 1);
        params_fill(&r->s.p[i], r->m[i], seed + 1, 0.1f);
        params_fill(&r->s.p[i], r->v[i], seed + 2, 0.01f);
    }
    r->state = (ckpt_state){.params = r->s.p, .w = r->w, .m = r->m, .v = r->v, .n = PARAMS_N};
}

static void drop(run *r) {
    for (size_t i = 0; i < PARAMS_N; i++) {
        free(r->m[i]);
        free(r->v[i]);
    }
    params_free(&r->s);
}

static const char *folder(void) {
    static char path[600];
    const char *tmp = getenv("LOAM_TMP");
    snprintf(path, sizeof path, "%s/ckpt-%ld", tmp ? tmp : "/tmp", (long)getpid());
    return path;
}

static void clear(void) {
    uint64_t *steps;
    size_t n;
    assert_int_equal(ckpt_list(folder(), &steps, &n, NULL), ERR_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ckpt_remove(folder(), steps[i], NULL), ERR_OK);
    free(steps);
    rmdir(folder());
}

static void what_is_saved_is_loaded(void **state) {
    (void)state;
    run a, b;
    make(&a, 5);
    make(&b, 0);
    ckpt_info info = {.step = 120, .chain = hash_of("c", 1)}, back;
    err e = {0};
    assert_int_equal(ckpt_save(folder(), &info, &a.state, &e), ERR_OK);
    if (ckpt_load(folder(), 120, &back, &b.state, &e) != ERR_OK)
        fail_msg("%s", e.text);
    assert_memory_equal(&info, &back, sizeof info);
    for (size_t i = 0; i < PARAMS_N; i++) {
        size_t bytes = a.s.p[i].n * sizeof(float);
        assert_memory_equal(a.w[i], b.w[i], bytes);
        assert_memory_equal(a.m[i], b.m[i], bytes);
        assert_memory_equal(a.v[i], b.v[i], bytes);
    }
    /* The same step again stays as it is, and another one does not take its place. */
    assert_int_equal(ckpt_save(folder(), &info, &a.state, &e), ERR_OK);
    params_fill(&a.s.p[0], a.w[0], 99, 1);
    assert_int_equal(ckpt_save(folder(), &info, &a.state, &e), ERR_MISMATCH);
    assert_int_equal(ckpt_read_info(folder(), 120, &info, &e), ERR_OK);
    assert_memory_equal(&info, &back, sizeof info);
    assert_int_equal(ckpt_load(folder(), 121, &back, &b.state, &e), ERR_IO);
    clear();
    drop(&a);
    drop(&b);
}

/* Flips a byte of one file; returns what loading says. */
static err_code changed(const char *file, long at, run *r, err *e) {
    char path[700];
    snprintf(path, sizeof path, "%s/step-00000007/%s", folder(), file);
    int fd = open(path, O_RDWR);
    char c = 0;
    if (at < 0)
        at += (long)lseek(fd, 0, SEEK_END);
    assert_true(fd >= 0 && pread(fd, &c, 1, at) == 1);
    c ^= 4;
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
    ckpt_info info;
    *e = (err){0};
    err_code code = ckpt_load(folder(), 7, &info, &r->state, e);
    c ^= 4;
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
    close(fd);
    return code;
}

static void a_changed_byte_is_noticed(void **state) {
    (void)state;
    run a, b;
    make(&a, 5);
    make(&b, 0);
    err e = {0};
    ckpt_info info = {.step = 7};
    assert_int_equal(ckpt_save(folder(), &info, &a.state, &e), ERR_OK);
    assert_int_equal(changed("model.safetensors", -1, &b, &e), ERR_MISMATCH);
    assert_non_null(strstr(e.text, "weights of model.norm.weight"));
    assert_int_equal(changed("optimizer.safetensors", -1, &b, &e), ERR_MISMATCH);
    assert_non_null(strstr(e.text, "second moment of model.norm.weight"));
    assert_int_equal(changed("optimizer.safetensors", -40, &b, &e), ERR_MISMATCH);
    assert_non_null(strstr(e.text, "second moment of model.layers.0.self_attn.o_proj.weight"));
    for (long at = 0; at < 200; at += 3) /* headers; checkpoint.json behind "chain", which its reader compares */
        if (changed("model.safetensors", at, &b, &e) == ERR_OK || changed("checkpoint.json", at + 95, &b, &e) == ERR_OK)
            fail_msg("byte %ld", at);
    assert_int_equal(ckpt_load(folder(), 7, &info, &b.state, &e), ERR_OK);
    clear();
    drop(&a);
    drop(&b);
}

/* Someone who changes a tensor and its leaf has another root than the one in checkpoint.json. */
static void a_forged_leaf_is_noticed(void **state) {
    (void)state;
    run a;
    make(&a, 5);
    err e = {0};
    ckpt_info one = {.step = 1}, two = {.step = 2};
    assert_int_equal(ckpt_save(folder(), &one, &a.state, &e), ERR_OK);
    params_fill(&a.s.p[0], a.w[0], 99, 1);
    assert_int_equal(ckpt_save(folder(), &two, &a.state, &e), ERR_OK);
    char path[2][700], root[2][65];
    strbuf text = {0}, forged = {0};
    for (int i = 0; i < 2; i++)
        snprintf(path[i], sizeof path[i], "%s/step-0000000%d/checkpoint.json", folder(), i + 1);
    hash_hex(one.weights, root[0]);
    hash_hex(two.weights, root[1]);
    assert_int_equal(os_read_file(path[1], 1 << 20, &text, &e), ERR_OK);
    ptrdiff_t at = str_find(strbuf_str(&text), str_from(root[1]), 0);
    assert_true(at > 0);
    memcpy(text.p + at, root[0], 64);
    assert_int_equal(os_write_file(path[1], strbuf_str(&text), &e), ERR_OK);
    assert_int_equal(ckpt_load(folder(), 2, &two, &a.state, &e), ERR_MISMATCH);
    assert_non_null(strstr(e.text, "roots"));
    clear();
    strbuf_fini(&text);
    strbuf_fini(&forged);
    drop(&a);
}

static void the_folder_is_kept_clean(void **state) {
    (void)state;
    run a;
    make(&a, 5);
    err e = {0};
    uint64_t *steps;
    size_t n;
    assert_int_equal(ckpt_list(folder(), &steps, &n, &e), ERR_OK); /* there is no folder yet */
    assert_int_equal(n, 0);
    for (uint64_t i = 3; i-- > 0;) {
        ckpt_info info = {.step = 10 + 90 * i};
        assert_int_equal(ckpt_save(folder(), &info, &a.state, &e), ERR_OK);
    }
    char path[700], inner[800];
    snprintf(path, sizeof path, "%s/new-123", folder());
    snprintf(inner, sizeof inner, "%s/model.safetensors", path);
    assert_int_equal(mkdir(path, 0700), 0);
    build_save(inner, STR("half"));
    snprintf(path, sizeof path, "%s/step-7", folder()); /* not a name of ours */
    assert_int_equal(mkdir(path, 0700), 0);
    ckpt_sweep(folder());
    assert_int_equal(ckpt_list(folder(), &steps, &n, &e), ERR_OK);
    assert_int_equal(n, 3);
    assert_true(steps[0] == 10 && steps[1] == 100 && steps[2] == 190);
    free(steps);
    assert_false(os_exists(inner));
    rmdir(path);
    clear();
    assert_false(os_exists(folder()));
    drop(&a);
}

static void who_goes_first(void **state) {
    (void)state;
    uint64_t kept[8];
    size_t n = 0;
    assert_int_equal(ckpt_least((uint64_t[]){10, 20}, 2, 2), 2);
    assert_int_equal(ckpt_least((uint64_t[]){10, 20}, 2, 1), 0);
    for (uint64_t step = 10; step <= 1000; step += 10) {
        kept[n++] = step;
        size_t i = ckpt_least(kept, n, 5);
        if (i < n) {
            memmove(kept + i, kept + i + 1, (n - i - 1) * sizeof *kept);
            n--;
        }
        assert_true(kept[n - 1] == step); /* the newest always stays */
    }
    assert_int_equal(n, 5);
    uint64_t widest = kept[0];
    for (size_t i = 1; i < n; i++)
        widest = kept[i] - kept[i - 1] > widest ? kept[i] - kept[i - 1] : widest;
    assert_true(widest <= 400); /* 200 would be even */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_saved_is_loaded),  cmocka_unit_test(a_changed_byte_is_noticed),
        cmocka_unit_test(a_forged_leaf_is_noticed), cmocka_unit_test(the_folder_is_kept_clean),
        cmocka_unit_test(who_goes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
