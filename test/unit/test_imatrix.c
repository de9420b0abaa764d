/* imatrix: both forms read, one written and read again; what lies is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "io/imatrix.h"
#include "unit/gguf_build.h"

static void must(err_code code, const err *e) {
    if (code)
        fail_msg("%s", e->text);
}

static const imatrix_entry *find(const imatrix *m, const char *name) {
    const imatrix_entry *x = imatrix_find(m, str_from(name));
    if (!x)
        fail_msg("no entry %s", name);
    return x;
}

/* Refused, in words that hold `words`; the file's name once, in front. */
static void refused(const char *path, err_code want, const char *words) {
    imatrix m;
    err e = {0};
    err_code code = imatrix_open(&m, path, &e);
    if (code != want || !strstr(e.text, words) || strncmp(e.text, path, strlen(path)) != 0 || strstr(e.text + 1, path))
        fail_msg("code %d: %s", (int)code, e.text);
    assert_true(!m.mem.head && m.n == 0);
}

/* ---- written and read ---- */

static void what_is_written_is_read(void **state) {
    (void)state;
    static const float a[] = {3, 0, 7.5f}, b[] = {1e-30f, 2e30f};
    imatrix m = {.n = 2, .chunks = 9, .chunk_size = 512, .dataset = STR("text.txt")}, back;
    imatrix_entry entry[2] = {{.name = STR("blk.1.ffn_down.weight"), .n = 3, .sum = a, .count = 3},
                              {.name = STR("blk.0.attn_q.weight"), .n = 2, .sum = b, .count = 0}};
    const char *path = build_path("imatrix.gguf");
    err e = {0};
    m.entry = entry;
    must(imatrix_finish(&m, &e), &e);
    assert_true(str_is(m.entry[0].name, "blk.0.attn_q.weight")); /* sorted */
    must(imatrix_write(&m, path, &e), &e);
    must(imatrix_open(&back, path, &e), &e);
    assert_int_equal(back.n, 2);
    assert_int_equal(back.chunks, 9);
    assert_int_equal(back.chunk_size, 512);
    assert_true(str_is(back.dataset, "text.txt"));
    const imatrix_entry *x = find(&back, "blk.1.ffn_down.weight"), *y = find(&back, "blk.0.attn_q.weight");
    assert_memory_equal(x->sum, a, sizeof a);
    assert_true(x->n == 3 && x->count == 3 && x->mean[0] == 1 && x->mean[1] == 0 && x->mean[2] == 2.5f);
    assert_true(y->n == 2 && y->count == 0 && y->mean[0] == 1 && y->mean[1] == 1); /* nothing counted */
    assert_null(imatrix_find(&back, STR("blk.0.attn_q")));
    imatrix_close(&back);
    arena_fini(&m.mem);
    unlink(path);
}

static void sums_that_are_no_numbers_are_refused(void **state) {
    (void)state;
    static const float bad[] = {INFINITY, NAN, -1};
    for (int i = 0; i < 3; i++) {
        imatrix_entry entry = {.name = STR("x"), .n = 1, .sum = &bad[i], .count = 1};
        imatrix m = {.entry = &entry, .n = 1};
        err e = {0};
        assert_int_equal(imatrix_finish(&m, &e), ERR_FORMAT);
        assert_non_null(strstr(e.text, "entry x: column 0"));
        arena_fini(&m.mem);
    }
}

/* ---- the older form ---- */

static void old_entry(strbuf *b, const char *name, uint32_t calls, uint32_t n, const float *values) {
    build_u32(b, (uint32_t)strlen(name));
    build_bytes(b, name, strlen(name));
    build_u32(b, calls);
    build_u32(b, n);
    for (uint32_t i = 0; i < n; i++)
        build_f32(b, values[i]);
}

static const char *old_file(const strbuf *b) {
    const char *path = build_path("imatrix.dat");
    build_save(path, strbuf_str(b));
    return path;
}

static void the_older_form_is_read(void **state) {
    (void)state;
    static const float v[] = {6, 0.75f};
    strbuf b = {0};
    imatrix m;
    err e = {0};
    build_u32(&b, 2);
    old_entry(&b, "z", 3, 2, v);
    old_entry(&b, "a", 0, 1, v);
    size_t short_form = b.n;
    build_u32(&b, 77);
    build_u32(&b, 4);
    build_bytes(&b, "wiki", 4);
    must(imatrix_open(&m, old_file(&b), &e), &e);
    assert_true(m.n == 2 && m.chunks == 77 && str_is(m.dataset, "wiki"));
    assert_true(find(&m, "z")->mean[0] == 2 && find(&m, "z")->mean[1] == 0.25f);
    assert_true(find(&m, "a")->mean[0] == 6);
    imatrix_close(&m);
    b.n = short_form;
    must(imatrix_open(&m, old_file(&b), &e), &e);
    assert_true(m.n == 2 && m.chunks == 0 && m.dataset.n == 0);
    imatrix_close(&m);
    for (size_t n = 0; n < short_form; n++) { /* cut anywhere */
        strbuf part = {.p = b.p, .n = n};
        refused(old_file(&part), ERR_FORMAT, "byte");
    }
    unlink(old_file(&b));
    strbuf_fini(&b);
}

static void lies_of_the_older_form_are_refused(void **state) {
    (void)state;
    static const float v[] = {-1, NAN};
    strbuf b = {0};
    build_u32(&b, 0x7fffffff);
    refused(old_file(&b), ERR_FORMAT, "number of matrices (this is no GGUF file)");
    strbuf deep = {0};
    imatrix m;
    err e = {0};
    for (size_t i = 0; i < 120; i++)
        build_bytes(&deep, "/.", 2);
    const char *path = build_path("imatrix.dat");
    build_bytes(&deep, path, strlen(path) + 1);
    assert_int_equal(imatrix_open(&m, deep.p, &e), ERR_FORMAT);
    strbuf_fini(&deep);
    assert_true(strncmp(e.text, "...", 3) == 0); /* the end of the path, once */
    build_put_u32(&b, 0, 2);
    old_entry(&b, "same", 1, 1, v);
    refused(old_file(&b), ERR_FORMAT, "byte");
    build_put_u32(&b, 0, 1);
    refused(old_file(&b), ERR_FORMAT, "entry same: column 0 is -1");
    b.n -= 4;
    build_f32(&b, 1);
    old_entry(&b, "same", 1, 1, (const float[]){2});
    build_put_u32(&b, 0, 2);
    refused(old_file(&b), ERR_FORMAT, "entry same stands twice");
    build_put_u32(&b, 4, 1 << 30);
    refused(old_file(&b), ERR_FORMAT, "length of a name");
    unlink(old_file(&b));
    strbuf_fini(&b);
}

/* ---- GGUF files that are none ---- */

typedef struct {
    const char *name;
    int type; /* in GGUF */
    uint64_t dims[2];
    float value;
} tensor;

/* A file of up to 4 tensors, each of one value. */
static const char *gguf_file_of(const tensor *t, int n) {
    strbuf b = {0};
    uint64_t at = 0;
    build_bytes(&b, "GGUF", 4);
    build_u32(&b, 3);
    build_u64(&b, (uint64_t)n);
    build_u64(&b, 0);
    for (int i = 0; i < n; i++) {
        build_u64(&b, strlen(t[i].name));
        build_bytes(&b, t[i].name, strlen(t[i].name));
        build_u32(&b, 2);
        build_u64(&b, t[i].dims[0]);
        build_u64(&b, t[i].dims[1]);
        build_u32(&b, (uint32_t)t[i].type);
        build_u64(&b, at);
        at += (t[i].dims[0] * t[i].dims[1] * 4 + 31) / 32 * 32;
    }
    while (b.n % 32)
        build_u8(&b, 0);
    for (int i = 0; i < n; i++) {
        for (uint64_t k = 0; k < t[i].dims[0] * t[i].dims[1]; k++)
            build_f32(&b, t[i].value);
        while (b.n % 32)
            build_u8(&b, 0);
    }
    const char *path = build_path("lies.gguf");
    build_save(path, strbuf_str(&b));
    strbuf_fini(&b);
    return path;
}

static void experts_are_read_one_by_one(void **state) {
    (void)state;
    const tensor t[] = {{"e.in_sum2", 0, {2, 3}, 6}, {"e.counts", 0, {1, 3}, 2.4f}, {"e.in_sum", 0, {2, 3}, 1}};
    imatrix m;
    err e = {0};
    must(imatrix_open(&m, gguf_file_of(t, 3), &e), &e);
    const imatrix_entry *x = find(&m, "e");
    assert_true(m.n == 1 && x->n == 6 && x->mean[5] == 3 && x->count == 2 && x->n_counts == 3);
    const char *path = build_path("experts.gguf");
    assert_int_equal(imatrix_write(&m, path, &e), ERR_UNSUPPORTED); /* one count would stand for three */
    assert_non_null(strstr(e.text, "entry e: that of 3 experts"));
    assert_int_not_equal(access(path, F_OK), 0);
    imatrix_close(&m);
}

static void other_gguf_files_are_refused(void **state) {
    (void)state;
    const tensor sums = {"e.in_sum2", 0, {4, 1}, 1}, counts = {"e.counts", 0, {1, 1}, 1};
    refused(gguf_file_of((const tensor[]){{"token_embd.weight", 0, {4, 1}, 1}}, 1), ERR_FORMAT, "no importance matrix");
    refused(gguf_file_of(&sums, 1), ERR_FORMAT, "entry e: no counts");
    refused(gguf_file_of((const tensor[]){sums, {"e.counts", 0, {1, 3}, 1}}, 2), ERR_FORMAT,
            "entry e: 1 rows of sums, but 3 counts");
    refused(gguf_file_of((const tensor[]){{"e.in_sum2", 0, {6, 1}, 1}, {"e.counts", 0, {1, 3}, 1}}, 2), ERR_FORMAT,
            "1 rows of sums, but 3 counts");
    refused(gguf_file_of((const tensor[]){{"e.in_sum2", 0, {2, 3}, 1}, counts}, 2), ERR_FORMAT,
            "3 rows of sums, but 1 counts");
    refused(gguf_file_of((const tensor[]){{"e.in_sum2", 0, {4, 1}, -2}, counts}, 2), ERR_FORMAT, "column 0 is -2");
    refused(gguf_file_of((const tensor[]){sums, {"e.counts", 0, {1, 1}, NAN}}, 2), ERR_FORMAT, "a count is");
    refused(gguf_file_of((const tensor[]){sums, {"e.counts", 0, {1, 1}, -1}}, 2), ERR_FORMAT, "a count is -1");
    refused(gguf_file_of((const tensor[]){{".in_sum2", 0, {4, 1}, 1}}, 1), ERR_FORMAT, "a name of 0 bytes");
    unlink(gguf_file_of(&sums, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),     cmocka_unit_test(sums_that_are_no_numbers_are_refused),
        cmocka_unit_test(the_older_form_is_read),      cmocka_unit_test(lies_of_the_older_form_are_refused),
        cmocka_unit_test(experts_are_read_one_by_one), cmocka_unit_test(other_gguf_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
