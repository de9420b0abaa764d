/* safetensors: files and folders of the reference writer; headers, offsets and indices that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/os.h"
#include "gguf_build.h"
#include "io/safetensors.h"

static const char *the_path(void) { return build_path("test.safetensors"); }

static void says(const err *e, const char *what) {
    if (str_find(str_from(e->text), str_from(what), 0) < 0)
        fail_msg("\"%s\" does not say \"%s\"", e->text, what);
}

static void refused_path(const char *path, err_code code, const char *what) {
    safetensors s;
    err e = {0};
    memset(&s, 0xa5, sizeof s);
    if (safetensors_open(&s, path, &e) != code)
        fail_msg("code %d (%s) where %d is expected: %s", (int)e.code, e.text, (int)code, what);
    says(&e, path);
    says(&e, what);
    assert_true(!s.map && !s.tensor && !s.mem.head);
}

/* A file of this header and so many bytes of data is refused, naming byte `at`. */
static void refused(const char *header, size_t data_bytes, err_code code, size_t at, const char *what) {
    strbuf b = {0};
    build_safetensors(&b, header, data_bytes);
    build_save(the_path(), strbuf_str(&b));
    strbuf_fini(&b);
    char where[64];
    snprintf(where, sizeof where, "at byte %zu: ", at);
    refused_path(the_path(), code, what);
    refused_path(the_path(), code, where);
}

static void accepted(const char *header, size_t data_bytes, safetensors *s) {
    strbuf b = {0};
    err e;
    build_safetensors(&b, header, data_bytes);
    build_save(the_path(), strbuf_str(&b));
    strbuf_fini(&b);
    if (safetensors_open(s, the_path(), &e) != ERR_OK)
        fail_msg("%s", e.text);
}

/* ---- what is there comes out ---- */

static void files_of_the_reference_writer(void **state) {
    (void)state;
    static const char *const names[] = {"one.safetensors", "shards"};
    for (size_t i = 0; i < 2; i++) {
        char path[64];
        snprintf(path, sizeof path, "test/golden/io/%s", names[i]);
        safetensors s;
        err e;
        if (safetensors_open(&s, path, &e) != ERR_OK)
            fail_msg("%s", e.text);
        assert_int_equal(s.n_maps, i + 1);
        strbuf want = {0}, got = {0};
        snprintf(path, sizeof path, "test/golden/io/%s.txt", names[i]);
        assert_int_equal(os_read_file(path, 1 << 20, &want, NULL), ERR_OK);
        for (size_t k = 0; k < s.n_tensors; k++) {
            build_list_tensor(&s.tensor[k], &got);
            assert_ptr_equal(safetensors_find(&s, s.tensor[k].name.p), &s.tensor[k]);
            assert_ptr_equal(s.tensor[k].data, s.tensor[k].map->p + s.tensor[k].offset);
        }
        build_u8(&want, 0);
        build_u8(&got, 0);
        assert_string_equal(got.p, want.p);
        strbuf_fini(&want);
        strbuf_fini(&got);
        assert_null(safetensors_find(&s, "absent"));
        safetensors_close(&s);
        safetensors_close(&s); /* closed twice: nothing */
    }
}

static void shapes_scalars_and_padding(void **state) {
    (void)state;
    safetensors s;
    accepted("{}", 0, &s);
    assert_int_equal(s.n_tensors, 0);
    safetensors_close(&s);
    accepted("{\"__metadata__\":{\"a\":\"b\"},\"z\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[0,2]},"
             "\"a\":{\"shape\":[2,1,3],\"more\":1,\"dtype\":\"F16\",\"data_offsets\":[2,14]}}    ",
             14, &s);
    assert_int_equal(s.n_tensors, 2);
    const tensor_ref *a = safetensors_find(&s, "a"), *z = safetensors_find(&s, "z");
    assert_ptr_equal(a, &s.tensor[0]); /* sorted by name */
    assert_true(z->n_dims == 1 && z->dims[0] == 1 && z->bytes == 2 && z->type == DTYPE_BF16);
    assert_true(a->n_dims == 3 && a->dims[0] == 2 && a->dims[1] == 1 && a->dims[2] == 3 && a->dims[3] == 1);
    assert_int_equal(a->data[0], 2);
    safetensors_close(&s);
}

static void many_tensors(void **state) {
    (void)state;
    enum { N = 20000 };
    strbuf h = {0};
    for (unsigned i = 0; i < N; i++)
        strbuf_addf(&h, NULL, "%c\"t%u\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[%u,%u]}", i ? ',' : '{',
                    i * 2654435761u, 2 * (N - 1 - i), 2 * (N - i));
    strbuf_add(&h, (str){"}", 2}, NULL);
    safetensors s;
    accepted(h.p, 2 * N, &s);
    assert_int_equal(s.n_tensors, N);
    for (unsigned i = 0; i < N; i++) {
        char name[32];
        snprintf(name, sizeof name, "t%u", i * 2654435761u);
        const tensor_ref *t = safetensors_find(&s, name);
        assert_true(t && t->offset == 8 + h.n - 1 + 2 * (N - 1 - i));
    }
    safetensors_close(&s);
    strbuf_fini(&h);
}

/* ---- headers that lie ---- */

#define ENTRY(name, dtype, shape, offsets) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define ONE(dtype, shape, offsets) "{" ENTRY("w", dtype, shape, offsets) "}"

static void headers(void **state) {
    (void)state;
    refused("[]", 0, ERR_FORMAT, 8, "does not begin with '{'");
    refused(" {}", 0, ERR_FORMAT, 8, "does not begin with '{'");
    refused("", 0, ERR_FORMAT, 8, "does not begin with '{'");
    refused("{\"a\":", 0, ERR_FORMAT, 5, "in the header, which begins at byte 8");
    refused("{\"a\":1,\"a\":2}", 0, ERR_FORMAT, 7, "duplicate object key");
    refused("{\"a\":1}", 0, ERR_FORMAT, 9, "tensor a: its entry is no object");
    refused("{\"\":{}}", 0, ERR_FORMAT, 8, "without a name");
    refused("{\"__metadata__\":[]}", 0, ERR_FORMAT, 9, "__metadata__");
    refused("{\"__metadata__\":{\"a\":1}}", 0, ERR_FORMAT, 9, "__metadata__");
    refused("{\"w\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, ERR_FORMAT, 9, "tensor w: \"dtype\"");
    refused("{\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, ERR_FORMAT, 9, "tensor w: \"shape\"");
    refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, ERR_FORMAT, 9, "tensor w: \"data_offsets\"");
    static const char *const dtypes[] = {"F64",  "I64",     "I32", "I16", "I8",  "U8",
                                         "BOOL", "F8_E4M3", "F4",  "f32", "Q4_K"};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        char header[200], what[100];
        snprintf(header, sizeof header, "{\"w\":{\"dtype\":\"%s\",\"shape\":[8],\"data_offsets\":[0,8]}}", dtypes[i]);
        snprintf(what, sizeof what, "tensor w: dtype %s is not supported", dtypes[i]);
        refused(header, 8, ERR_UNSUPPORTED, 9, what);
    }
    strbuf b = {0};
    build_u64(&b, SAFETENSORS_HEADER_MAX + 1);
    build_save(the_path(), strbuf_str(&b));
    refused_path(the_path(), ERR_LIMIT, "at byte 0: a header of 104857601 bytes");
    build_put_u64(&b, 0, UINT64_MAX);
    build_save(the_path(), strbuf_str(&b));
    refused_path(the_path(), ERR_LIMIT, "at byte 0: a header of 18446744073709551615 bytes");
    build_put_u64(&b, 0, 3);
    build_bytes(&b, "{}", 2);
    build_save(the_path(), strbuf_str(&b));
    refused_path(the_path(), ERR_FORMAT, "at byte 8: 3 bytes are wanted");
    strbuf_fini(&b);
    build_save(the_path(), STR(""));
    refused_path(the_path(), ERR_FORMAT, "at byte 0: ");
    refused_path(build_path("not-there"), ERR_IO, "");
}

static void shapes(void **state) {
    (void)state;
    refused(ONE("F32", "[1,1,1,1,1]", "[0,4]"), 4, ERR_UNSUPPORTED, 9, "tensor w: 5 dims");
    refused(ONE("F32", "[4,0]", "[0,0]"), 0, ERR_UNSUPPORTED, 9, "tensor w: dim 1 of its shape is 0");
    refused(ONE("F32", "[-1]", "[0,4]"), 4, ERR_FORMAT, 9, "tensor w: dim 0 of its shape is no whole number");
    refused(ONE("F32", "[1.0]", "[0,4]"), 4, ERR_FORMAT, 9, "no whole number");
    refused(ONE("F32", "[99999999999999999999]", "[0,4]"), 4, ERR_FORMAT, 9, "no whole number");
    refused(ONE("F32", "[4294967296,4294967296]", "[0,0]"), 0, ERR_FORMAT, 9, "too large");
    refused(ONE("F32", "[4611686018427387905]", "[0,4]"), 4, ERR_FORMAT, 9, "too large");
    refused(ONE("F32", "[4611686018427387904,1]", "[0,0]"), 0, ERR_FORMAT, 9, "too large");
    refused(ONE("F32", "3", "[0,4]"), 4, ERR_FORMAT, 9, "\"shape\" is missing or no array");
}

static void offsets(void **state) {
    (void)state;
    refused(ONE("F32", "[1]", "[0,4]"), 3, ERR_FORMAT, 9, "do not lie within the 3 bytes of data");
    refused(ONE("F32", "[1]", "[4,0]"), 4, ERR_FORMAT, 9, "do not lie within");
    refused(ONE("F32", "[1]", "[-4,0]"), 4, ERR_FORMAT, 9, "do not lie within");
    refused(ONE("F32", "[1]", "[0,9223372036854775807]"), 4, ERR_FORMAT, 9, "do not lie within");
    refused(ONE("F32", "[1]", "[0,18446744073709551615]"), 4, ERR_FORMAT, 9, "no pair of whole numbers");
    refused(ONE("F32", "[1]", "[0,4,8]"), 4, ERR_FORMAT, 9, "no pair");
    refused(ONE("F32", "[1]", "[0]"), 4, ERR_FORMAT, 9, "no pair");
    refused(ONE("F32", "[2]", "[0,4]"), 4, ERR_FORMAT, 9, "hold 4 bytes, dtype and shape ask for 8");
    refused(ONE("F16", "[1]", "[0,4]"), 4, ERR_FORMAT, 9, "hold 4 bytes, dtype and shape ask for 2");
    /* every byte belongs to just one tensor */
    static const char hole_first[] = ONE("F16", "[1]", "[2,4]"), hole_last[] = ONE("F16", "[1]", "[0,2]");
    refused(hole_first, 4, ERR_FORMAT, 8 + sizeof hole_first - 1 + 2, "tensor w leaves a hole");
    refused(hole_last, 4, ERR_FORMAT, 8 + sizeof hole_last - 1 + 2, "accounts for no byte");
    refused("{}", 1, ERR_FORMAT, 10, "accounts for no byte");
    static const char overlap[] = "{" ENTRY("a", "F16", "[4]", "[0,8]") "," ENTRY("b", "F16", "[4]", "[4,12]") "}";
    refused(overlap, 12, ERR_FORMAT, 8 + sizeof overlap - 1 + 4, "tensor b overlaps");
    static const char hole[] = "{" ENTRY("b", "F16", "[1]", "[4,6]") "," ENTRY("a", "F16", "[1]", "[0,2]") "}";
    refused(hole, 6, ERR_FORMAT, 8 + sizeof hole - 1 + 4, "tensor b leaves a hole");
    static const char same[] = "{" ENTRY("a", "F16", "[1]", "[0,2]") "," ENTRY("b", "F16", "[1]", "[0,2]") "}";
    refused(same, 2, ERR_FORMAT, 8 + sizeof same - 1, "overlaps");
}

/* ---- folders ---- */

static char folder[4096];

static const char *in_folder(const char *name) {
    static char path[5000];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}
static void put(const char *name, const char *header, size_t data_bytes) {
    strbuf b = {0};
    build_safetensors(&b, header, data_bytes);
    build_save(in_folder(name), strbuf_str(&b));
    strbuf_fini(&b);
}
static void put_index(const char *text) { build_save(in_folder("model.safetensors.index.json"), str_from(text)); }

/* CVE-2024-37032, CVE-2024-39722, CVE-2024-45436, CVE-2024-7773, CVE-2025-44779, CVE-2026-7020: names in a downloaded
 * file that lead out of its folder. None is opened, and no answer tells whether it is there. */
static void test_cve_paths_2024_37032_2024_39722_2024_45436_2024_7773_2025_44779_2026_7020(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "%s", build_path("paths"));
    mkdir(folder, 0700);
    put("1.safetensors", "{" ENTRY("a", "F16", "[1]", "[0,2]") "}", 2);
    static const char *const names[] = {
        "..",
        ".",
        "/etc/passwd",
        "/no/such/file",
        "../1.safetensors",
        "../../../../../../etc/passwd",
        "a/../b",
        "a/b",
        "./1.safetensors",
        "1.safetensors/",
        "x\\\\1.safetensors",
        "..\\\\1.safetensors",
        "1.safetensors\\u0000x",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char index[200];
        snprintf(index, sizeof index, "{\"weight_map\":{\"a\":\"%s\"}}", names[i]);
        put_index(index);
        refused_path(folder, ERR_FORMAT, "is no plain file name");
        refused_path(folder, ERR_FORMAT, "model.safetensors.index.json");
    }
}

static void folders(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "%s", build_path("folder"));
    mkdir(folder, 0700);
    refused_path(folder, ERR_IO, "holds neither model.safetensors nor model.safetensors.index.json");
    put("1.safetensors", "{" ENTRY("a", "F16", "[1]", "[0,2]") "}", 2);
    put("2.safetensors", "{" ENTRY("b", "F16", "[1]", "[0,2]") "," ENTRY("c", "F16", "[1]", "[2,4]") "}", 4);

    static const struct {
        const char *index, *what;
        err_code code;
    } cases[] = {
        {"", "at byte 0: ", ERR_FORMAT},
        {"[]", "\"weight_map\" is missing", ERR_FORMAT},
        {"{\"weight_map\":{}}", "\"weight_map\" is missing, empty", ERR_FORMAT},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"a\":\"2.safetensors\"}}", "duplicate object key", ERR_FORMAT},
        {"{\"weight_map\":{\"a\":1}}", "is no plain file name", ERR_FORMAT},
        {"{\"weight_map\":{\"a\":\"\"}}", "is no plain file name", ERR_FORMAT},
        {"{\"weight_map\":{\"a\":\"1.bin\"}}", "does not end with .safetensors", ERR_FORMAT},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"d\":\"3.safetensors\"}}",
         "names shard 3.safetensors, which is not there", ERR_IO},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"d\":\"2.safetensors\"}}",
         "tensor d: it is not in shard 2.safetensors", ERR_FORMAT},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"1.safetensors\",\"c\":\"2.safetensors\"}}",
         "tensor b: placed in shard 1.safetensors, but it is in shard 2.safetensors", ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_index(cases[i].index);
        refused_path(folder, cases[i].code, cases[i].what);
        refused_path(folder, cases[i].code, "model.safetensors.index.json");
    }
    safetensors s;
    put_index(
        "{\"metadata\":{},\"weight_map\":{\"c\":\"2.safetensors\",\"b\":\"2.safetensors\",\"a\":\"1.safetensors\"}}");
    assert_int_equal(safetensors_open(&s, folder, NULL), ERR_OK);
    assert_int_equal(s.n_tensors, 3);
    assert_ptr_equal(safetensors_find(&s, "a")->map, &s.map[0]);
    assert_ptr_equal(safetensors_find(&s, "c")->map, &s.map[1]);
    safetensors_close(&s);

    /* one name in two shards; a broken shard is named itself */
    put("1.safetensors", "{" ENTRY("a", "F16", "[1]", "[0,2]") "," ENTRY("c", "F16", "[1]", "[2,4]") "}", 4);
    refused_path(folder, ERR_FORMAT, "tensor c stands in two shards");
    put("2.safetensors", "{" ENTRY("b", "F16", "[1]", "[0,2]") "}", 1);
    refused_path(folder, ERR_FORMAT, "2.safetensors: at byte 9: tensor b");

    /* a single file goes before the index, and a path to it does as well */
    put("model.safetensors", "{" ENTRY("x", "F16", "[1]", "[0,2]") "}", 2);
    assert_int_equal(safetensors_open(&s, folder, NULL), ERR_OK);
    assert_int_equal(s.n_tensors, 1);
    assert_non_null(safetensors_find(&s, "x"));
    safetensors_close(&s);
    static const char *const files[] = {"1.safetensors", "2.safetensors", "model.safetensors",
                                        "model.safetensors.index.json"};
    for (size_t i = 0; i < 4; i++)
        unlink(in_folder(files[i]));
    rmdir(folder);
}

/* ---- every file near a good one ---- */

static void every_truncation_is_refused_and_every_flip_is_survived(void **state) {
    (void)state;
    strbuf b = {0};
    build_safetensors(&b,
                      "{\"__metadata__\":{\"format\":\"pt\"}," ENTRY("a", "F16", "[2,3]", "[0,12]") "," ENTRY(
                          "b", "F32", "[1]", "[12,16]") "}",
                      16);
    err e;
    for (size_t n = 0; n < b.n; n++) {
        build_save(the_path(), (str){b.p, n});
        refused_path(the_path(), ERR_FORMAT, "at byte ");
    }
    size_t n_opened = 0, n_refused = 0;
    for (size_t bit = 0; bit < 8 * b.n; bit++) {
        b.p[bit / 8] = (char)(b.p[bit / 8] ^ 1 << bit % 8);
        build_save(the_path(), strbuf_str(&b));
        safetensors s;
        if (safetensors_open(&s, the_path(), &e) == ERR_OK) {
            uint64_t sum = 0;
            for (size_t i = 0; i < s.n_tensors; i++)
                sum += str_hash((str){(const char *)s.tensor[i].data, s.tensor[i].bytes});
            assert_true(sum != 0 && s.n_tensors <= 2);
            safetensors_close(&s);
            n_opened++;
        } else {
            says(&e, the_path());
            says(&e, "at byte ");
            n_refused++;
        }
        b.p[bit / 8] = (char)(b.p[bit / 8] ^ 1 << bit % 8);
    }
    assert_true(n_opened > 100 && n_refused > 500);
    strbuf_fini(&b);
}

static int remove_file(void **state) {
    (void)state;
    unlink(the_path());
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_the_reference_writer),
        cmocka_unit_test(shapes_scalars_and_padding),
        cmocka_unit_test(many_tensors),
        cmocka_unit_test(headers),
        cmocka_unit_test(shapes),
        cmocka_unit_test(offsets),
        cmocka_unit_test(test_cve_paths_2024_37032_2024_39722_2024_45436_2024_7773_2025_44779_2026_7020),
        cmocka_unit_test(folders),
        cmocka_unit_test(every_truncation_is_refused_and_every_flip_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, remove_file);
}
