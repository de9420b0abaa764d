/* gguf_write: the reference writer's bytes, round trips, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/os.h"
#include "gguf_build.h"
#include "io/gguf_write.h"

static const char *the_path(void) { return build_path("write.gguf"); }

static void must(err_code code, const err *e) {
    if (code)
        fail_msg("%s", e->text);
}

static tensor_spec spec_of(const tensor_ref *t) {
    tensor_spec s = {.name = t->name, .type = t->type, .n_dims = t->n_dims};
    memcpy(s.dims, t->dims, sizeof s.dims);
    return s;
}

/* A file copied key by key and tensor by tensor, in pieces of `step` bytes. */
static void copy(const char *from, const char *to, size_t step) {
    gguf_file g;
    gguf_writer *w;
    err e;
    must(gguf_open(&g, from, &e), &e);
    must(gguf_write_open(&w, to, &e), &e);
    for (size_t i = 0; i < g.n_kv; i++)
        must(gguf_write_kv(w, &g.kv[i], &e), &e);
    for (size_t i = 0; i < g.n_tensors; i++) {
        tensor_spec s = spec_of(&g.tensor[i]);
        must(gguf_write_tensor(w, &s, &e), &e);
    }
    uint64_t bytes = gguf_write_bytes(w);
    for (size_t i = 0; i < g.n_tensors; i++)
        for (size_t at = 0, n; at < g.tensor[i].bytes; at += n) {
            n = step < g.tensor[i].bytes - at ? step : g.tensor[i].bytes - at;
            must(gguf_write_data(w, g.tensor[i].data + at, n, &e), &e);
        }
    must(gguf_write_commit(w, &e), &e);
    gguf_close(&g);
    os_map m;
    must(os_map_open(&m, to, &e), &e);
    assert_int_equal(m.n, bytes);
    os_map_close(&m);
}

static void check_same_file(const char *a, const char *b) {
    os_map x, y;
    err e;
    must(os_map_open(&x, a, &e), &e);
    must(os_map_open(&y, b, &e), &e);
    assert_int_equal(x.n, y.n);
    assert_memory_equal(x.p, y.p, x.n);
    os_map_close(&x);
    os_map_close(&y);
}

/* test/golden/io.py wrote these by the gguf package: all kinds of values, all types of tensors. */
static void the_bytes_of_the_reference_writer(void **state) {
    (void)state;
    copy("test/golden/io/keys.gguf", the_path(), 1 << 20);
    check_same_file("test/golden/io/keys.gguf", the_path());
    copy("test/golden/io/types.gguf", the_path(), 1 << 20);
    check_same_file("test/golden/io/types.gguf", the_path());
    copy("test/golden/io/types.gguf", the_path(), 7);
    check_same_file("test/golden/io/types.gguf", the_path());
}

static void what_is_written_is_read(void **state) {
    (void)state;
    gguf_writer *w;
    err e;
    static const str words[] = {{"one", 3}, {"", 0}, {"d\0ei", 4}};
    static const int32_t numbers[] = {-1, 0, INT32_MAX};
    static const float f[] = {1, 2, 3, 4, 5, 6};
    static const uint8_t q[2 * 34] = {1, 2, 3, [67] = 9};
    must(gguf_write_open(&w, the_path(), &e), &e);
    gguf_write_str(w, "general.architecture", STR("llama"), &e);
    gguf_write_u32(w, "u32", UINT32_MAX, &e);
    gguf_write_u64(w, "u64", UINT64_MAX, &e);
    gguf_write_f32(w, "f32", 0.1f, &e);
    gguf_write_bool(w, "yes", true, &e);
    gguf_write_numbers(w, "numbers", GGUF_I32, numbers, 3, &e);
    gguf_write_numbers(w, "no numbers", GGUF_F64, NULL, 0, &e);
    gguf_write_strs(w, "words", words, 3, &e);
    must(gguf_write_strs(w, "no words", NULL, 0, &e), &e);
    gguf_write_tensor(w, &(tensor_spec){STR("a"), DTYPE_F32, 2, {2, 3}}, &e);
    must(gguf_write_tensor(w, &(tensor_spec){STR("q"), DTYPE_Q8_0, 3, {2, 1, 32}}, &e), &e);
    must(gguf_write_data(w, f, sizeof f, &e), &e);
    must(gguf_write_data(w, q, sizeof q, &e), &e);
    must(gguf_write_commit(w, &e), &e);

    gguf_file g;
    must(gguf_open(&g, the_path(), &e), &e);
    assert_int_equal(g.version, 3);
    assert_int_equal(g.n_kv, 9);
    uint64_t u;
    double d;
    bool yes;
    str s;
    must(gguf_get_u64(&g, "u32", 0, &u, &e), &e);
    assert_int_equal(u, UINT32_MAX);
    must(gguf_get_u64(&g, "u64", 0, &u, &e), &e);
    assert_true(u == UINT64_MAX);
    must(gguf_get_f64(&g, "f32", 0, &d, &e), &e);
    assert_true(d == (double)0.1f);
    must(gguf_get_bool(&g, "yes", false, &yes, &e), &e);
    assert_true(yes);
    must(gguf_get_str(&g, "general.architecture", (str){0}, &s, &e), &e);
    assert_true(str_is(s, "llama"));
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(gguf_i64_at(gguf_find(&g, "numbers"), i), numbers[i]);
    gguf_iter it = {0};
    for (size_t i = 0; i < 3; i++) {
        assert_true(gguf_next_str(gguf_find(&g, "words"), &it, &s));
        assert_true(str_eq(s, words[i]));
    }
    assert_int_equal(gguf_find(&g, "no words")->n, 0);
    assert_int_equal(gguf_find(&g, "no numbers")->n, 0);
    const tensor_ref *a = gguf_tensor(&g, "a"), *b = gguf_tensor(&g, "q");
    assert_true(a->n_dims == 2 && a->dims[0] == 2 && a->dims[1] == 3 && memcmp(a->data, f, sizeof f) == 0);
    assert_true(b->n_dims == 3 && b->dims[2] == 32 && memcmp(b->data, q, sizeof q) == 0);
    assert_int_equal(g.map.n % 32, 0);
    gguf_close(&g);

    must(gguf_write_open(&w, the_path(), &e), &e); /* nothing at all is a file too */
    must(gguf_write_commit(w, &e), &e);
    must(gguf_open(&g, the_path(), &e), &e);
    gguf_close(&g);
}

/* ---- refusals ---- */

static gguf_writer *opened(void) {
    gguf_writer *w;
    err e;
    unlink(the_path());
    must(gguf_write_open(&w, the_path(), &e), &e);
    return w;
}

/* The commit fails with this text, and no file is there. */
static void refused(gguf_writer *w, const char *what) {
    err e = {0};
    if (gguf_write_commit(w, &e) != ERR_USAGE || !strstr(e.text, what) || !strstr(e.text, the_path()))
        fail_msg("\"%s\" does not say \"%s\"", e.text, what);
    assert_false(os_exists(the_path()));
}

static tensor_spec vector(const char *name, uint64_t n) {
    return (tensor_spec){str_from(name), DTYPE_F32, 1, {n, 1, 1, 1}};
}

static void refuses_what_cannot_be_read(void **state) {
    (void)state;
    static const float f[8];
    const struct {
        tensor_spec spec;
        const char *what;
    } bad[] = {
        {{STR("t"), DTYPE_F32, 0, {1}}, "tensor t: 0 dims, must be 1 to 4"},
        {{STR("t"), DTYPE_F32, 5, {1, 1, 1, 1}}, "tensor t: 5 dims"},
        {{STR("t"), DTYPE_F32, 2, {0, 4}}, "tensor t: a dim is 0"},
        {{STR("t"), DTYPE_Q4_K, 2, {2, 128}}, "tensor t: rows of 128 elements are no whole number of Q4_K blocks"},
        {{STR("t"), DTYPE_F32, 2, {1ull << 40, 1ull << 30}}, "tensor t: the product of its dims is too large"},
        {{STR("t"), DTYPE_F32, 1, {1ull << 61}}, "tensor t: the product of its dims is too large"},
        {{STR(""), DTYPE_F32, 1, {1}}, "a tensor name of 0 bytes"},
        {{STR("a\0b"), DTYPE_F32, 1, {1}}, "a tensor name of 3 bytes"},
        {{STR("1234567890123456789012345678901234567890123456789012345678901234"), DTYPE_F32, 1, {1}}, "of 64 bytes"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gguf_writer *w = opened();
        err e = {0}, again = {0};
        assert_int_equal(gguf_write_tensor(w, &bad[i].spec, &e), ERR_USAGE);
        assert_int_equal(gguf_write_u32(w, "later", 1, &again), ERR_USAGE); /* the first error stays */
        assert_string_equal(e.text, again.text);
        assert_int_equal(gguf_write_data(w, f, 4, NULL), ERR_USAGE);
        refused(w, bad[i].what);
    }
    gguf_writer *w = opened();
    err e;
    gguf_write_u32(w, "b", 1, &e);
    gguf_write_u32(w, "a", 1, &e);
    must(gguf_write_u32(w, "b", 1, &e), &e);
    refused(w, "key b stands twice");
    w = opened();
    tensor_spec t = vector("t", 1), huge = vector("h", 1ull << 60);
    gguf_write_tensor(w, &t, &e);
    must(gguf_write_tensor(w, &t, &e), &e);
    refused(w, "tensor t stands twice");
    w = opened();
    must(gguf_write_tensor(w, &huge, &e), &e);
    huge.name = STR("i");
    assert_int_equal(gguf_write_tensor(w, &huge, &e), ERR_USAGE);
    refused(w, "the file would be too large");
    w = opened();
    gguf_write_u32(w, "", 1, NULL);
    refused(w, "a key of 0 bytes");
    w = opened();
    gguf_write_numbers(w, "k", GGUF_STRING, f, 1, NULL);
    refused(w, "key k: not an array of numbers");
    w = opened();
    gguf_write_numbers(w, "k", GGUF_U64, f, 1ull << 62, NULL);
    refused(w, "key k: not an array of numbers");
    w = opened();
    gguf_write_numbers(w, "k", GGUF_U8, f, GGUF_ARRAY_MAX + 1, NULL);
    refused(w, "key k: an array of 67108865 elements");
    w = opened();
    gguf_write_data(w, f, 1, NULL);
    refused(w, "1 bytes more than the declared tensors have");
    w = opened();
    t = vector("t", 8);
    gguf_write_tensor(w, &t, NULL);
    must(gguf_write_data(w, f, 31, &e), &e);
    assert_int_equal(gguf_write_tensor(w, &t, NULL), ERR_USAGE); /* too late, but it can go on */
    refused(w, "tensor t: 1 bytes of it are missing");
    w = opened();
    gguf_write_tensor(w, &t, NULL);
    refused(w, "tensor t: 32 bytes of it are missing");
    gguf_write_abort(opened());
    assert_false(os_exists(the_path()));
    gguf_write_abort(NULL);
    assert_int_equal(gguf_write_open(&w, "no/such/folder/f.gguf", &e), ERR_IO);
}

static int remove_file(void **state) {
    (void)state;
    return unlink(the_path()) && os_exists(the_path());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_of_the_reference_writer),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(refuses_what_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, remove_file);
}
