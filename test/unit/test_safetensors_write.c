/* safetensors_write: the reference writer's bytes, round trips, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/os.h"
#include "gguf_build.h"
#include "io/safetensors_write.h"

static const char *the_path(void) { return build_path("write.safetensors"); }

static void must(err_code code, const err *e) {
    if (code)
        fail_msg("%s", e->text);
}

static tensor_spec spec_of(const tensor_ref *t) {
    tensor_spec s = {.name = t->name, .type = t->type, .n_dims = t->n_dims};
    memcpy(s.dims, t->dims, sizeof s.dims);
    return s;
}

static int by_offset(const void *a, const void *b) {
    const tensor_ref *x = a, *y = b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* test/golden/io.py wrote these by the safetensors package. Its tensors in the order of their bytes, in pieces of
 * `step`, give its file again. */
static void check_copy(const char *from, size_t step, bool meta) {
    safetensors s;
    safetensors_writer *w;
    err e;
    must(safetensors_open(&s, from, &e), &e);
    qsort(s.tensor, s.n_tensors, sizeof *s.tensor, by_offset);
    must(safetensors_write_open(&w, the_path(), &e), &e);
    if (meta)
        must(safetensors_write_meta(w, "format", STR("pt"), &e), &e);
    for (size_t i = 0; i < s.n_tensors; i++) {
        tensor_spec t = spec_of(&s.tensor[i]);
        must(safetensors_write_tensor(w, &t, &e), &e);
    }
    for (size_t i = 0; i < s.n_tensors; i++)
        for (size_t at = 0, n; at < s.tensor[i].bytes; at += n) {
            n = step < s.tensor[i].bytes - at ? step : s.tensor[i].bytes - at;
            must(safetensors_write_data(w, s.tensor[i].data + at, n, &e), &e);
        }
    must(safetensors_write_commit(w, &e), &e);
    os_map m;
    must(os_map_open(&m, the_path(), &e), &e);
    assert_int_equal(m.n, s.map[0].n);
    assert_memory_equal(m.p, s.map[0].p, m.n);
    os_map_close(&m);
    safetensors_close(&s);
}

static void the_bytes_of_the_reference_writer(void **state) {
    (void)state;
    check_copy("test/golden/models/llama/model.safetensors", 1 << 20, true);
    check_copy("test/golden/models/olmo3/model.safetensors", 333, true);
}

static void what_is_written_is_read(void **state) {
    (void)state;
    static const float f[] = {1, 2, 3, 4, 5, 6};
    static const uint16_t h[] = {7, 8, 9};
    safetensors_writer *w;
    err e;
    must(safetensors_write_open(&w, the_path(), &e), &e);
    safetensors_write_meta(w, "step", STR("\"12\"\n\xc3\xa9"), &e);
    safetensors_write_meta(w, "empty", (str){0}, &e);
    safetensors_write_tensor(w, &(tensor_spec){STR("b"), DTYPE_F32, 2, {2, 3}}, &e);
    must(safetensors_write_tensor(w, &(tensor_spec){STR("a \"x\""), DTYPE_BF16, 1, {3}}, &e), &e);
    must(safetensors_write_data(w, f, sizeof f, &e), &e);
    must(safetensors_write_data(w, h, sizeof h, &e), &e);
    must(safetensors_write_commit(w, &e), &e);
    safetensors s;
    must(safetensors_open(&s, the_path(), &e), &e);
    assert_int_equal(s.n_tensors, 2);
    const tensor_ref *b = safetensors_find(&s, "b"), *a = safetensors_find(&s, "a \"x\"");
    assert_true(b->n_dims == 2 && b->dims[0] == 2 && b->dims[1] == 3 && memcmp(b->data, f, sizeof f) == 0);
    assert_true(a->type == DTYPE_BF16 && a->n_dims == 1 && memcmp(a->data, h, sizeof h) == 0);
    assert_int_equal(b->offset % 8, 0);
    assert_true(str_starts((str){(const char *)s.map[0].p + 8, s.map[0].n - 8},
                           STR("{\"__metadata__\":{\"step\":\"\\\"12\\\"\\n\xc3\xa9\",\"empty\":\"\"},\"b\":{\"dtype\":"
                               "\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},\"a ")));
    safetensors_close(&s);

    must(safetensors_write_open(&w, the_path(), &e), &e); /* nothing at all, and metadata alone, are files too */
    must(safetensors_write_commit(w, &e), &e);
    must(safetensors_open(&s, the_path(), &e), &e);
    safetensors_close(&s);
    must(safetensors_write_open(&w, the_path(), &e), &e);
    must(safetensors_write_meta(w, "k", STR("v"), &e), &e);
    must(safetensors_write_commit(w, &e), &e);
    must(safetensors_open(&s, the_path(), &e), &e);
    safetensors_close(&s);
}

static safetensors_writer *opened(void) {
    safetensors_writer *w;
    err e;
    unlink(the_path());
    must(safetensors_write_open(&w, the_path(), &e), &e);
    return w;
}

static void refused(safetensors_writer *w, const char *what) {
    err e = {0};
    if (safetensors_write_commit(w, &e) != ERR_USAGE || !strstr(e.text, what) || !strstr(e.text, the_path()))
        fail_msg("\"%s\" does not say \"%s\"", e.text, what);
    assert_false(os_exists(the_path()));
}

static void refuses_what_cannot_be_read(void **state) {
    (void)state;
    static const float f[8];
    const struct {
        tensor_spec spec;
        const char *what;
    } bad[] = {
        {{STR("t"), DTYPE_Q8_0, 1, {32}}, "tensor t: safetensors hold F32, F16 and BF16, not Q8_0"},
        {{STR("t"), DTYPE_F32, 2, {0, 4}}, "tensor t: a dim is 0"},
        {{STR("t"), DTYPE_F16, 2, {1ull << 40, 1ull << 30}}, "tensor t: the product of its dims is too large"},
        {{STR("\xff"), DTYPE_F32, 1, {1}}, "is not well-formed UTF-8"},
        {{STR("__metadata__"), DTYPE_F32, 1, {1}}, "a name that is taken"},
    };
    err e;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        safetensors_writer *w = opened();
        err first = {0}, again = {0};
        assert_int_equal(safetensors_write_tensor(w, &bad[i].spec, &first), ERR_USAGE);
        assert_int_equal(safetensors_write_meta(w, "later", STR("x"), &again), ERR_USAGE);
        assert_string_equal(first.text, again.text);
        assert_int_equal(safetensors_write_data(w, f, 4, NULL), ERR_USAGE);
        refused(w, bad[i].what);
    }
    safetensors_writer *w = opened();
    safetensors_write_meta(w, "a", STR("x"), &e);
    must(safetensors_write_meta(w, "a", STR("y"), &e), &e);
    refused(w, "key a stands twice");
    w = opened();
    safetensors_write_meta(w, "a", STR("\xff"), NULL);
    refused(w, "is not well-formed UTF-8");
    const tensor_spec t = {STR("t"), DTYPE_F32, 1, {8}};
    w = opened();
    safetensors_write_tensor(w, &t, &e);
    must(safetensors_write_tensor(w, &t, &e), &e);
    refused(w, "tensor t stands twice");
    w = opened();
    must(safetensors_write_tensor(w, &t, &e), &e);
    must(safetensors_write_data(w, f, 30, &e), &e);
    assert_int_equal(safetensors_write_tensor(w, &t, NULL), ERR_USAGE); /* too late, but it can go on */
    refused(w, "tensor t: 2 bytes of it are missing");
    w = opened();
    must(safetensors_write_tensor(w, &t, &e), &e);
    must(safetensors_write_data(w, f, 32, &e), &e);
    safetensors_write_data(w, f, 3, NULL);
    refused(w, "3 bytes more than the declared tensors have");
    safetensors_write_abort(opened());
    assert_false(os_exists(the_path()));
    safetensors_write_abort(NULL);
    assert_int_equal(safetensors_write_open(&w, "no/such/folder/f.safetensors", &e), ERR_IO);
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
