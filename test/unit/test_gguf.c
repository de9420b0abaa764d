/* gguf: what is in a file comes out; whatever is wrong with one is refused, with file and offset.
 *
 * Tests named test_cve_* are the classes of bug that other GGUF readers had, by number.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "gguf_build.h"
#include "io/gguf.h"

/* All memory of the reader comes from arenas, and those ask aligned_alloc(): count it here. */
static size_t asked_bytes;
void *aligned_alloc(size_t alignment, size_t size) {
    void *p = NULL;
    asked_bytes += size;
    return posix_memalign(&p, alignment, size) == 0 ? p : NULL;
}

/* What a file may cost: the arena's first chunk, then a multiple of the file. */
static size_t cost_max(size_t file_bytes) { return (192 << 10) + 5 * file_bytes; }

static const char *the_path(void) { return build_path("test.gguf"); }

static err_code open_bytes(const strbuf *b, gguf_file *g, err *e) {
    build_save(the_path(), strbuf_str(b));
    asked_bytes = 0;
    err_code code = gguf_open(g, the_path(), e);
    if (asked_bytes > cost_max(b->n))
        fail_msg("%zu bytes were asked for, the file has %zu", asked_bytes, b->n);
    return code;
}

static void opens(const strbuf *b, gguf_file *g) {
    err e;
    if (open_bytes(b, g, &e) != ERR_OK)
        fail_msg("%s", e.text);
}

static void says(const err *e, const char *what) {
    if (str_find(str_from(e->text), str_from(what), 0) < 0)
        fail_msg("\"%s\" does not say \"%s\"", e->text, what);
}

/* Refused with `code`, naming the file, byte `at`, and `what`; nothing stays open. Frees b. */
static void refused(strbuf *b, err_code code, size_t at, const char *what) {
    gguf_file g;
    err e = {0};
    assert_int_equal(open_bytes(b, &g, &e), code);
    char where[8192];
    snprintf(where, sizeof where, "%s: at byte %zu: ", the_path(), at);
    says(&e, where);
    says(&e, what);
    assert_null(g.map.p);
    assert_null(g.mem.head);
    strbuf_fini(b);
}

/* ---- what is there comes out ---- */

static void build_scalars(strbuf *b) {
    build_header(b, 3, 0, 13);
    build_key(b, "u8", GGUF_U8), build_u8(b, 200);
    build_key(b, "i8", GGUF_I8), build_u8(b, (uint8_t)-100);
    build_key(b, "u16", GGUF_U16), build_u16(b, 60000);
    build_key(b, "i16", GGUF_I16), build_u16(b, (uint16_t)-30000);
    build_kv_u32(b, "u32", 4000000000u);
    build_key(b, "i32", GGUF_I32), build_u32(b, (uint32_t)-2000000000);
    build_kv_f32(b, "f32", 1.5f);
    build_kv_bool(b, "bool", 1);
    build_kv_str(b, "string", "Grüße");
    build_key(b, "u64", GGUF_U64), build_u64(b, UINT64_MAX);
    build_key(b, "i64", GGUF_I64), build_u64(b, (uint64_t)INT64_MIN);
    build_key(b, "f64", GGUF_F64), build_f64(b, -0.1);
    build_kv_array(b, "empty", GGUF_STRING, 0);
}

static void test_scalars_come_out(void **state) {
    (void)state;
    strbuf b = {0};
    build_scalars(&b);
    gguf_file g;
    opens(&b, &g);
    assert_int_equal(g.n_kv, 13);
    assert_int_equal(g.n_tensors, 0);
    assert_int_equal(g.version, 3);
    assert_int_equal(g.alignment, 32);
    assert_string_equal(g.path, the_path());
    static const struct {
        const char *key;
        int64_t i;
        double f;
    } want[] = {{"u8", 200, 200},           {"i8", -100, -100},          {"u16", 60000, 60000}, {"i16", -30000, -30000},
                {"u32", 4000000000, 4e9},   {"i32", -2000000000, -2e9},  {"f32", 1, 1.5},       {"bool", 1, 1},
                {"u64", INT64_MAX, 0x1p64}, {"i64", INT64_MIN, -0x1p63}, {"f64", 0, -0.1}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const gguf_kv *kv = gguf_find(&g, want[i].key);
        assert_non_null(kv);
        assert_int_equal(kv->n, 1);
        assert_int_equal(kv->type, kv->elem);
        assert_true(gguf_i64_at(kv, 0) == want[i].i);
        assert_true(gguf_f64_at(kv, 0) == want[i].f);
    }
    str s;
    assert_int_equal(gguf_get_str(&g, "string", STR("-"), &s, NULL), ERR_OK);
    assert_true(str_eq(s, STR("Grüße")));
    gguf_iter it = {0}; /* a single string can be walked, too */
    assert_true(gguf_next_str(gguf_find(&g, "string"), &it, &s));
    assert_true(str_eq(s, STR("Grüße")));
    assert_false(gguf_next_str(gguf_find(&g, "string"), &it, &s));
    it = (gguf_iter){0};
    assert_false(gguf_next_str(gguf_find(&g, "empty"), &it, &s));
    assert_null(gguf_find(&g, "u3"));
    assert_null(gguf_find(&g, ""));
    assert_null(gguf_find(&g, "zzz"));
    gguf_close(&g);
    gguf_close(&g); /* closed twice: nothing */
    strbuf_fini(&b);
}

static void test_getters_convert_or_name_the_key(void **state) {
    (void)state;
    strbuf b = {0};
    build_scalars(&b);
    gguf_file g;
    opens(&b, &g);
    uint64_t u;
    double f;
    bool t;
    str s;
    err e;
    assert_int_equal(gguf_get_u64(&g, "absent", 7, &u, NULL), ERR_OK);
    assert_true(u == 7);
    assert_int_equal(gguf_get_u64(&g, "u64", 7, &u, NULL), ERR_OK);
    assert_true(u == UINT64_MAX);
    assert_int_equal(gguf_get_u64(&g, "u8", 7, &u, NULL), ERR_OK);
    assert_true(u == 200);
    static const char *const no_u64[] = {"i8", "i16", "i32", "i64", "f32", "f64", "bool", "string", "empty"};
    for (size_t i = 0; i < sizeof no_u64 / sizeof *no_u64; i++) {
        assert_int_equal(gguf_get_u64(&g, no_u64[i], 7, &u, &e), ERR_FORMAT);
        says(&e, no_u64[i]);
        says(&e, "at byte ");
    }
    assert_int_equal(gguf_get_f64(&g, "f32", 7, &f, NULL), ERR_OK);
    assert_true(f == 1.5);
    assert_int_equal(gguf_get_f64(&g, "i8", 7, &f, NULL), ERR_OK);
    assert_true(f == -100);
    assert_int_equal(gguf_get_f64(&g, "absent", 0.5, &f, NULL), ERR_OK);
    assert_true(f == 0.5);
    static const char *const no_f64[] = {"bool", "string", "empty"};
    for (size_t i = 0; i < sizeof no_f64 / sizeof *no_f64; i++)
        assert_int_equal(gguf_get_f64(&g, no_f64[i], 7, &f, &e), ERR_FORMAT);
    assert_int_equal(gguf_get_bool(&g, "bool", false, &t, NULL), ERR_OK);
    assert_true(t);
    assert_int_equal(gguf_get_bool(&g, "absent", true, &t, NULL), ERR_OK);
    assert_true(t);
    assert_int_equal(gguf_get_bool(&g, "u8", false, &t, &e), ERR_FORMAT);
    assert_int_equal(gguf_get_str(&g, "absent", STR("or"), &s, NULL), ERR_OK);
    assert_true(str_eq(s, STR("or")));
    assert_int_equal(gguf_get_str(&g, "empty", STR("or"), &s, &e), ERR_FORMAT);
    says(&e, "an array of STRING where a string is wanted");
    gguf_close(&g);
    strbuf_fini(&b);
}

static void test_odd_floats_become_integers_without_harm(void **state) {
    (void)state;
    static const struct {
        double f;
        int64_t i;
    } cases[] = {{1e300, INT64_MAX}, {-1e300, INT64_MIN}, {0x1p63, INT64_MAX}, {-0x1p63, INT64_MIN}, {-2.9, -2}};
    strbuf b = {0};
    build_header(&b, 3, 0, 1);
    build_kv_array(&b, "f", GGUF_F64, 6);
    for (size_t i = 0; i < 5; i++)
        build_f64(&b, cases[i].f);
    build_f64(&b, (double)NAN);
    gguf_file g;
    opens(&b, &g);
    for (size_t i = 0; i < 5; i++)
        assert_true(gguf_i64_at(gguf_find(&g, "f"), i) == cases[i].i);
    assert_true(gguf_i64_at(gguf_find(&g, "f"), 5) == 0);
    gguf_close(&g);
    strbuf_fini(&b);
}

static const uint64_t dims_64x3[] = {64, 3}, dims_256[] = {256}, dims_8[] = {8}, dims_4d[] = {2, 3, 5, 7};

/* Two keys, three tensors; data as bytes counting up. `data_at` gets the start of the data section. */
static void build_small(strbuf *b, uint32_t version, size_t *data_at) {
    static const char *const words[] = {"", "a", "bc"};
    build_header(b, version, 3, 3);
    build_kv_str(b, "general.architecture", "test");
    build_kv_strs(b, "words", words, 3);
    build_kv_bool(b, "flag", 0);
    build_info(b, "q8", 2, dims_64x3, 8, 0);   /* 3 rows of 2 blocks of 34 bytes: 204 */
    build_info(b, "norm", 1, dims_8, 0, 224);  /* 32 bytes */
    build_info(b, "conv", 4, dims_4d, 1, 256); /* 210 halves: 420 bytes */
    build_pad(b, 32);
    *data_at = b->n;
    for (int i = 0; i < 256 + 420; i++)
        build_u8(b, (uint8_t)i);
}

static void test_tensors_come_out(void **state) {
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        strbuf b = {0};
        size_t data_at;
        build_small(&b, version, &data_at);
        gguf_file g;
        opens(&b, &g);
        assert_int_equal(g.version, version);
        const tensor_ref *q8 = gguf_tensor(&g, "q8"), *norm = gguf_tensor(&g, "norm"), *conv = gguf_tensor(&g, "conv");
        assert_true(q8 && norm && conv);
        assert_ptr_equal(q8, &g.tensor[0]);
        assert_int_equal(q8->type, DTYPE_Q8_0);
        assert_int_equal(q8->n_dims, 2);
        assert_int_equal(q8->dims[0], 3); /* rows first */
        assert_int_equal(q8->dims[1], 64);
        assert_int_equal(q8->dims[2], 1);
        assert_int_equal(q8->bytes, 204);
        assert_int_equal(norm->bytes, 32);
        assert_int_equal(norm->offset, data_at + 224);
        assert_ptr_equal(norm->data, g.map.p + data_at + 224);
        assert_int_equal(norm->data[1], 225);
        assert_ptr_equal(norm->map, &g.map);
        assert_int_equal(conv->n_dims, 4);
        for (int d = 0; d < 4; d++)
            assert_int_equal(conv->dims[d], dims_4d[3 - d]);
        assert_int_equal(conv->bytes, 420);
        assert_null(gguf_tensor(&g, "q"));
        assert_null(gguf_tensor(&g, ""));
        gguf_close(&g);
        strbuf_fini(&b);
    }
}

static void test_strings_of_an_array_are_walked(void **state) {
    (void)state;
    enum { N = 262144 }; /* the vocabulary of Gemma 3 */
    strbuf b = {0};
    build_header(&b, 3, 0, 2);
    build_kv_array(&b, "tokens", GGUF_STRING, N);
    for (int i = 0; i < N; i++) {
        char text[16];
        int n = snprintf(text, sizeof text, "%x", (unsigned)i * 2654435761u);
        build_str(&b, (str){text, (size_t)n});
    }
    build_kv_u32(&b, "after", 5);
    gguf_file g;
    opens(&b, &g);
    const gguf_kv *kv = gguf_find(&g, "tokens");
    assert_int_equal(kv->n, N);
    gguf_iter it = {0};
    str s;
    unsigned i = 0;
    for (; gguf_next_str(kv, &it, &s); i++) {
        char text[16];
        int n = snprintf(text, sizeof text, "%x", i * 2654435761u);
        if (!str_eq(s, (str){text, (size_t)n}))
            fail_msg("string %u is wrong", i);
    }
    assert_int_equal(i, N);
    assert_int_equal(it.at, kv->bytes);
    uint64_t u;
    assert_int_equal(gguf_get_u64(&g, "after", 0, &u, NULL), ERR_OK);
    assert_int_equal(u, 5);
    gguf_close(&g);
    strbuf_fini(&b);
}

static void test_many_keys_and_tensors(void **state) {
    (void)state;
    enum { N = 20000 };
    strbuf b = {0};
    build_header(&b, 3, N, N);
    char name[32];
    for (unsigned i = 0; i < N; i++) {
        snprintf(name, sizeof name, "k%u", i * 2654435761u); /* an odd factor: all distinct */
        build_kv_u32(&b, name, i);
    }
    for (unsigned i = 0; i < N; i++) {
        snprintf(name, sizeof name, "t%u", i * 2246822519u);
        build_info(&b, name, 1, dims_8, 0, 32 * (uint64_t)(N - 1 - i));
    }
    build_pad(&b, 32);
    build_zeros(&b, 32 * N);
    gguf_file g;
    opens(&b, &g);
    for (unsigned i = 0; i < N; i++) {
        snprintf(name, sizeof name, "k%u", i * 2654435761u);
        const gguf_kv *kv = gguf_find(&g, name);
        assert_true(kv && gguf_i64_at(kv, 0) == i);
        snprintf(name, sizeof name, "t%u", i * 2246822519u);
        assert_ptr_equal(gguf_tensor(&g, name), &g.tensor[i]);
    }
    gguf_close(&g);
    strbuf_fini(&b);
}

static void test_alignment(void **state) {
    (void)state;
    static const uint32_t bad[] = {0, 1, 2, 4, 7, 12, 24, 33, 48, 96, (1u << 20) + 8, 1u << 21, 1u << 31, UINT32_MAX};
    for (uint32_t a = 8; a <= 1u << 20; a *= 2) {
        strbuf b = {0};
        build_header(&b, 3, 2, 1);
        build_kv_u32(&b, "general.alignment", a);
        build_info(&b, "a", 1, dims_8, 1, 0);
        build_info(&b, "b", 1, dims_8, 1, a < 16 ? 16 : a);
        build_pad(&b, a);
        build_zeros(&b, (a < 16 ? 16 : a) + 16);
        gguf_file g;
        opens(&b, &g);
        assert_int_equal(g.alignment, a);
        assert_int_equal(gguf_tensor(&g, "a")->offset % a, 0);
        gguf_close(&g);
        strbuf_fini(&b);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        strbuf b = {0};
        build_header(&b, 3, 0, 1);
        build_kv_u32(&b, "general.alignment", bad[i]);
        refused(&b, ERR_FORMAT, b.n - 4, "general.alignment");
    }
    strbuf b = {0};
    build_header(&b, 3, 0, 1);
    build_key(&b, "general.alignment", GGUF_U64);
    build_u64(&b, 32);
    refused(&b, ERR_FORMAT, b.n - 8, "it is a U32");
}

/* The listing that test/golden/io.py makes by the reference reader. */
static void list(const gguf_file *g, strbuf *out) {
    strbuf_addf(out, NULL, "gguf %" PRIu32 " %zu\n", g->version, g->alignment);
    for (size_t i = 0; i < g->n_kv; i++) {
        const gguf_kv *kv = &g->kv[i];
        strbuf_addf(out, NULL, "key %.*s %s%s %" PRIu64 " :", STR_ARG(kv->key), gguf_type_name(kv->elem),
                    kv->type == GGUF_ARRAY ? "[]" : "", kv->n);
        gguf_iter it = {0};
        str s;
        for (uint64_t k = 0; k < kv->n; k++) {
            strbuf_addc(out, ' ', NULL);
            if (kv->elem == GGUF_STRING) {
                assert_true(gguf_next_str(kv, &it, &s));
                for (size_t c = 0; c < s.n; c++)
                    strbuf_addf(out, NULL, "%02x", (unsigned char)s.p[c]);
                if (s.n == 0)
                    strbuf_addc(out, '-', NULL);
            } else if (kv->elem == GGUF_F32 || kv->elem == GGUF_F64) {
                strbuf_addf(out, NULL, "%.17g", gguf_f64_at(kv, k));
            } else {
                strbuf_addf(out, NULL, "%" PRId64, gguf_i64_at(kv, k));
            }
        }
        strbuf_addc(out, '\n', NULL);
    }
    for (size_t i = 0; i < g->n_tensors; i++)
        build_list_tensor(&g->tensor[i], out);
}

static void test_files_of_the_reference_writer(void **state) {
    (void)state;
    static const char *const names[] = {"keys", "types", "aligned"};
    for (size_t i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "test/golden/io/%s.gguf", names[i]);
        gguf_file g;
        err e;
        if (gguf_open(&g, path, &e) != ERR_OK)
            fail_msg("%s", e.text);
        strbuf want = {0}, got = {0};
        snprintf(path, sizeof path, "test/golden/io/%s.gguf.txt", names[i]);
        assert_int_equal(os_read_file(path, 1 << 20, &want, NULL), ERR_OK);
        list(&g, &got);
        build_u8(&want, 0);
        build_u8(&got, 0);
        assert_string_equal(got.p, want.p);
        strbuf_fini(&want);
        strbuf_fini(&got);
        gguf_close(&g);
    }
}

/* ---- what is refused ---- */

static void test_header(void **state) {
    (void)state;
    strbuf b = {0};
    refused(&b, ERR_FORMAT, 0, "cut short");
    build_bytes(&b, "GGML", 4);
    refused(&b, ERR_FORMAT, 0, "not a GGUF file");
    build_header(&b, 1, 0, 0);
    refused(&b, ERR_UNSUPPORTED, 4, "version 1");
    build_header(&b, 4, 0, 0);
    refused(&b, ERR_UNSUPPORTED, 4, "version 4");
    build_header(&b, 0, 0, 0);
    refused(&b, ERR_UNSUPPORTED, 4, "version 0");
    build_header(&b, 0x03000000, 0, 0);
    refused(&b, ERR_UNSUPPORTED, 4, "big-endian");
    gguf_file g;
    err e;
    assert_int_equal(gguf_open(&g, build_path("nothing-here"), &e), ERR_IO);
    says(&e, "nothing-here");
    assert_int_equal(gguf_open(&g, "/", &e), ERR_IO);
}

static void test_keys(void **state) {
    (void)state;
    strbuf b = {0};
    build_header(&b, 3, 0, 3);
    build_kv_u32(&b, "a", 1);
    build_kv_u32(&b, "b", 1);
    size_t at = b.n;
    build_kv_str(&b, "a", "x");
    refused(&b, ERR_FORMAT, at + 8, "key a stands here and at byte 32");
    build_header(&b, 3, 0, 1);
    build_kv_u32(&b, "", 1);
    build_zeros(&b, 64);
    refused(&b, ERR_FORMAT, 24, "key of 0 bytes");
    build_header(&b, 3, 0, 1);
    build_str(&b, STR("a\0b"));
    build_zeros(&b, 64);
    refused(&b, ERR_FORMAT, 32, "NUL");
    build_header(&b, 3, 0, 1);
    build_u64(&b, GGUF_KEY_BYTES_MAX + 1);
    for (int i = 0; i <= GGUF_KEY_BYTES_MAX; i++)
        build_u8(&b, 'k');
    build_zeros(&b, 64);
    refused(&b, ERR_FORMAT, 24, "65536 bytes");
    build_header(&b, 3, 0, 1);
    build_key(&b, "key", 13);
    build_zeros(&b, 64);
    refused(&b, ERR_FORMAT, 24 + 8 + 3, "value type 13");
    build_header(&b, 3, 0, 1);
    build_kv_array(&b, "key", UINT32_MAX, 0);
    refused(&b, ERR_FORMAT, 24 + 8 + 3 + 4, "value type 4294967295");
    build_header(&b, 3, 0, 1);
    build_kv_array(&b, "key", GGUF_ARRAY, 1);
    build_zeros(&b, 64);
    refused(&b, ERR_UNSUPPORTED, 24 + 8 + 3 + 4, "an array of arrays");
    build_header(&b, 3, 0, 1);
    build_kv_bool(&b, "key", 2);
    refused(&b, ERR_FORMAT, b.n - 1, "a bool of value 2");
    build_header(&b, 3, 0, 1);
    build_kv_array(&b, "key", GGUF_BOOL, 3);
    build_bytes(&b, "\0\1\377", 3);
    refused(&b, ERR_FORMAT, b.n - 1, "a bool of value 255");
}

static void test_unsupported_types_are_named(void **state) {
    (void)state;
    static const struct {
        uint32_t number;
        const char *name;
    } types[] = {{4, "Q4_2"},      {5, "Q4_3"},     {9, "Q8_1"},   {15, "Q8_K"},       {16, "IQ2_XXS"},
                 {17, "IQ2_XS"},   {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"},     {21, "IQ3_S"},
                 {22, "IQ2_S"},    {23, "IQ4_XS"},  {24, "I8"},    {25, "I16"},        {26, "I32"},
                 {27, "I64"},      {28, "F64"},     {29, "IQ1_M"}, {31, "Q4_0_4_4"},   {32, "Q4_0_4_8"},
                 {33, "Q4_0_8_8"}, {34, "TQ1_0"},   {35, "TQ2_0"}, {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"},
                 {39, "MXFP4"},    {40, "NVFP4"},   {41, "Q1_0"},  {42, "Q2_0"}};
    for (uint32_t number = 0; number < 64; number++) {
        char want[64];
        snprintf(want, sizeof want, "tensor blk.0.x: unknown type %" PRIu32, number);
        for (size_t i = 0; i < sizeof types / sizeof *types; i++)
            if (types[i].number == number)
                snprintf(want, sizeof want, "tensor blk.0.x: type %s is not supported", types[i].name);
        strbuf b = {0};
        build_header(&b, 3, 1, 0);
        build_info(&b, "blk.0.x", 1, dims_256, number, 0);
        size_t at = b.n - 12;
        build_pad(&b, 32);
        build_zeros(&b, 1024);
        if (dtype_from_gguf(number) >= 0) {
            gguf_file g;
            opens(&b, &g);
            gguf_close(&g);
            strbuf_fini(&b);
        } else if (number == 38) {
            refused(&b, ERR_UNSUPPORTED, at, "IQ4_NL_8_8");
        } else {
            refused(&b, ERR_UNSUPPORTED, at, want);
        }
    }
    strbuf b = {0};
    build_header(&b, 3, 1, 0);
    build_info(&b, "x", 1, dims_256, UINT32_MAX, 0);
    build_zeros(&b, 2048);
    refused(&b, ERR_UNSUPPORTED, 24 + 9 + 4 + 8, "unknown type 4294967295");
}

/* One F32 tensor "x" with the given entry and enough data; returns where its dims stand. */
static size_t build_one(strbuf *b, uint32_t n_dims, const uint64_t *dims, uint32_t type, uint64_t offset) {
    build_header(b, 3, 1, 0);
    size_t at = b->n + 8 + 1 + 4;
    build_info(b, "x", n_dims, dims, type, offset);
    build_pad(b, 32);
    build_zeros(b, 4096);
    return at;
}

static void test_tensor_shapes(void **state) {
    (void)state;
    static const uint64_t zero[] = {8, 0}, five[] = {1, 1, 1, 1, 1}, odd_row[] = {255}, flat[] = {16, 16};
    strbuf b = {0};
    size_t at = build_one(&b, 0, NULL, 0, 0);
    refused(&b, ERR_FORMAT, at - 4, "tensor x: 0 dims");
    at = build_one(&b, 5, five, 0, 0);
    refused(&b, ERR_FORMAT, at - 4, "tensor x: 5 dims");
    at = build_one(&b, 2, zero, 0, 0);
    refused(&b, ERR_FORMAT, at + 8, "tensor x: a dim is 0");
    at = build_one(&b, 1, odd_row, 12, 0);
    refused(&b, ERR_FORMAT, at, "tensor x: rows of 255 elements are no whole number of Q4_K blocks of 256");
    at = build_one(&b, 2, flat, 12, 0); /* 256 elements, but no row is a whole block */
    refused(&b, ERR_FORMAT, at, "tensor x: rows of 16 elements");
    at = build_one(&b, 1, dims_8, 0, 16);
    refused(&b, ERR_FORMAT, at + 12, "tensor x: offset 16 is not aligned to 32 bytes");
    at = build_one(&b, 1, dims_8, 0, 1);
    refused(&b, ERR_FORMAT, at + 12, "offset 1 is not aligned");
}

static void test_tensors_overlap_or_share_a_name(void **state) {
    (void)state;
    for (int variant = 0; variant < 3; variant++) {
        /* 0: the second begins inside the first; 1: both at one place; 2: one name twice */
        strbuf b = {0};
        build_header(&b, 3, 3, 0);
        build_info(&b, "far", 1, dims_8, 0, 2048);
        build_info(&b, "first", 1, dims_256, 0, 0);
        size_t at = b.n;
        build_info(&b, variant == 2 ? "first" : "other", 1, dims_8, 0, variant == 0 ? 992 : variant == 1 ? 0 : 1024);
        build_pad(&b, 32);
        size_t data_at = b.n;
        build_zeros(&b, 2048 + 32);
        if (variant == 2)
            refused(&b, ERR_FORMAT, at + 8, "tensor first stands here and at byte ");
        else
            refused(&b, ERR_FORMAT, variant == 0 ? data_at + 992 : data_at, "overlaps tensor ");
    }
}

/* ---- classes of bug that others had ---- */

/* Products and sums of sizes that wrap: the tensor seems small and is read far beyond its bytes. */
static void test_cve_size_overflow_2025_53630_2026_27940_2026_33298(void **state) {
    (void)state;
    static const uint64_t wraps[][4] = {
        {(uint64_t)1 << 32, (uint64_t)1 << 32, 1, 1}, /* elements wrap to 0 */
        {(uint64_t)1 << 62, 1, 1, 1},                 /* bytes wrap to 0 */
        {((uint64_t)1 << 62) + 8, 1, 1, 1},           /* bytes wrap to 32 */
        {(uint64_t)1 << 16, (uint64_t)1 << 16, (uint64_t)1 << 16, (uint64_t)1 << 16},
        {UINT64_MAX, 1, 1, 1},
        {UINT64_MAX - 31, UINT64_MAX, 1, 1},
        {(uint64_t)1 << 63, 2, 1, 1},
        {INT64_MAX, 1, 1, 1},
    };
    for (size_t i = 0; i < sizeof wraps / sizeof *wraps; i++) {
        strbuf b = {0};
        size_t at = build_one(&b, 4, wraps[i], 0, 0);
        refused(&b, ERR_FORMAT, at, "tensor x: the product of its dims is too large");
    }
    static const uint64_t offsets[] = {UINT64_MAX - 31, (uint64_t)1 << 63, 4096, (uint64_t)1 << 40};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        strbuf b = {0}; /* begin + bytes wraps or passes the end */
        build_one(&b, 1, dims_8, 0, offsets[i]);
        refused(&b, ERR_FORMAT, 32, "tensor x: 32 bytes at ");
    }
}

/* A file refused half-way must not free what was never set: every prefix of a file, on a dirty struct. */
static void test_cve_uninitialized_free_2024_32878(void **state) {
    (void)state;
    strbuf b = {0};
    size_t data_at;
    build_small(&b, 3, &data_at);
    for (size_t n = 0; n < b.n; n++) {
        build_save(the_path(), (str){b.p, n});
        gguf_file g;
        memset(&g, 0xa5, sizeof g);
        assert_int_not_equal(gguf_open(&g, the_path(), NULL), ERR_OK);
        assert_true(!g.map.p && !g.mem.head && !g.kv && !g.tensor);
        gguf_close(&g);
    }
    strbuf_fini(&b);
}

/* Lengths of vocabulary strings beyond 31, 32 and 63 bits, or beyond the file by one byte. */
static void test_cve_vocabulary_lengths_2025_49847_2025_52566(void **state) {
    (void)state;
    static const uint64_t lengths[] = {4, 0x7fffffff, 0x80000000, UINT32_MAX, (uint64_t)1 << 32, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        strbuf b = {0};
        build_header(&b, 3, 0, 1);
        build_kv_array(&b, "tokenizer.ggml.tokens", GGUF_STRING, 2);
        build_str(&b, STR("good"));
        build_u64(&b, lengths[i]);
        build_bytes(&b, "bad", 3);
        refused(&b, ERR_FORMAT, b.n - 3, "wanted");
        build_header(&b, 3, 0, 1);
        build_key(&b, "general.name", GGUF_STRING);
        build_u64(&b, lengths[i]);
        build_bytes(&b, "bad", 3);
        refused(&b, ERR_FORMAT, b.n - 3, "wanted");
        build_header(&b, 3, 0, 1);
        build_u64(&b, lengths[i]);
        build_bytes(&b, "key", 3);
        build_zeros(&b, 11);
        if (lengths[i] > GGUF_KEY_BYTES_MAX)
            refused(&b, ERR_FORMAT, 24, "a key of ");
        strbuf_fini(&b);
    }
}

/* A tensor's extent beyond the file: its bytes would be other memory of the process. */
static void test_cve_extent_leak_2026_7482_2026_5757(void **state) {
    (void)state;
    strbuf b = {0};
    size_t data_at;
    build_small(&b, 3, &data_at);
    for (size_t n = data_at; n < b.n; n++) { /* the last tensor ends with the file: one byte less is refused */
        strbuf cut = {0};
        build_bytes(&cut, b.p, n);
        gguf_file g;
        err e;
        assert_int_equal(open_bytes(&cut, &g, &e), ERR_FORMAT);
        says(&e, n < data_at + 204   ? "tensor q8: 204 bytes at 0 of the data section"
                 : n < data_at + 256 ? "tensor norm: 32 bytes at 224"
                                     : "tensor conv: 420 bytes at 256");
        strbuf_fini(&cut);
    }
    strbuf_fini(&b);
}

/* Counts of keys, tensors and elements that would be allocated, or looped over, before they are believed. */
static void test_cve_counts_2024_8063_2024_12055_2024_39720_2025_0312_2025_0315_2025_66960(void **state) {
    (void)state;
    static const uint64_t counts[] = {2, 1000, 65536, 65537, 1 << 26, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        strbuf b = {0};
        build_header(&b, 3, counts[i], 0);
        build_zeros(&b, 40);
        refused(&b, counts[i] > GGUF_TENSORS_MAX ? ERR_LIMIT : ERR_FORMAT, 8, "tensors; at most 65536");
        build_header(&b, 3, 0, counts[i]);
        build_zeros(&b, 27);
        refused(&b, counts[i] > GGUF_KV_MAX ? ERR_LIMIT : ERR_FORMAT, 16, "keys; at most 65536");
        for (uint32_t elem = 0; elem < GGUF_TYPE_COUNT; elem++) {
            if (elem == GGUF_ARRAY)
                continue;
            build_header(&b, 3, 0, 1);
            build_kv_array(&b, "k", elem, counts[i]);
            size_t at = b.n - 8;
            build_zeros(&b, elem == GGUF_STRING || elem >= GGUF_U64 ? 15 : elem == GGUF_U8 ? 1 : 1);
            refused(&b, counts[i] > GGUF_ARRAY_MAX ? ERR_LIMIT : ERR_FORMAT, at, "key k: an array of ");
        }
    }
}

/* An alignment of 0 divided by, or masked with. */
static void test_cve_alignment_zero_2025_0317_2025_66959(void **state) {
    (void)state;
    strbuf b = {0};
    build_header(&b, 3, 1, 1);
    build_kv_u32(&b, "general.alignment", 0);
    size_t at = b.n - 4;
    build_info(&b, "x", 1, dims_8, 0, 0);
    build_zeros(&b, 128);
    refused(&b, ERR_FORMAT, at, "general.alignment: 0");
}

/* A missing or mistyped key taken for granted: the look-ups say so instead. */
static void test_cve_missing_key_2025_0313_2026_65315(void **state) {
    (void)state;
    strbuf b = {0};
    build_header(&b, 3, 0, 2);
    build_kv_array(&b, "general.architecture", GGUF_U8, 0);
    build_kv_str(&b, "llama.block_count", "many");
    gguf_file g;
    opens(&b, &g);
    str s;
    uint64_t u;
    err e;
    assert_int_equal(gguf_get_str(&g, "general.architecture", STR(""), &s, &e), ERR_FORMAT);
    says(&e, "key general.architecture: an array of U8");
    assert_int_equal(gguf_get_u64(&g, "llama.block_count", 0, &u, &e), ERR_FORMAT);
    says(&e, "key llama.block_count: a value of type STRING");
    assert_null(gguf_find(&g, "tokenizer.ggml.tokens"));
    gguf_close(&g);
    strbuf_fini(&b);
}

/* ---- every file near a good one ---- */

static void test_every_truncation_is_refused(void **state) {
    (void)state;
    strbuf b = {0};
    size_t data_at;
    build_small(&b, 3, &data_at);
    for (size_t n = 0; n < b.n; n++) {
        strbuf cut = {0};
        build_bytes(&cut, b.p, n);
        gguf_file g;
        err e = {0};
        err_code code = open_bytes(&cut, &g, &e);
        assert_int_equal(code, ERR_FORMAT);
        assert_int_equal(e.code, code);
        says(&e, the_path());
        says(&e, ": at byte ");
        strbuf_fini(&cut);
    }
    strbuf_fini(&b);
}

/* Reads all that an open file hands out, so that a sanitizer sees every slice. */
static uint64_t touch(const gguf_file *g) {
    uint64_t sum = 0;
    for (size_t i = 0; i < g->n_kv; i++) {
        gguf_iter it = {0};
        str s;
        if (g->kv[i].elem == GGUF_STRING)
            while (gguf_next_str(&g->kv[i], &it, &s))
                sum += str_hash(s);
        else
            for (uint64_t k = 0; k < g->kv[i].n; k++)
                sum += (uint64_t)gguf_i64_at(&g->kv[i], k) + (gguf_f64_at(&g->kv[i], k) > 0);
        sum += gguf_find(g, "flag") != NULL;
    }
    for (size_t i = 0; i < g->n_tensors; i++)
        sum += str_hash((str){(const char *)g->tensor[i].data, g->tensor[i].bytes}) + str_hash(g->tensor[i].name);
    return sum;
}

static void test_every_flipped_bit_opens_or_is_refused(void **state) {
    (void)state;
    strbuf b = {0};
    size_t data_at, n_opened = 0, n_refused = 0;
    build_small(&b, 3, &data_at);
    for (size_t bit = 0; bit < (data_at + 4) * 8; bit++) {
        b.p[bit / 8] = (char)(b.p[bit / 8] ^ 1 << bit % 8);
        gguf_file g;
        err e = {0};
        if (open_bytes(&b, &g, &e) == ERR_OK) {
            touch(&g);
            gguf_close(&g);
            n_opened++;
        } else {
            says(&e, the_path());
            says(&e, ": at byte ");
            n_refused++;
        }
        b.p[bit / 8] = (char)(b.p[bit / 8] ^ 1 << bit % 8);
    }
    assert_true(n_opened > 300 && n_refused > 1000);
    strbuf_fini(&b);
}

static int remove_file(void **state) {
    (void)state;
    unlink(the_path());
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars_come_out),
        cmocka_unit_test(test_getters_convert_or_name_the_key),
        cmocka_unit_test(test_odd_floats_become_integers_without_harm),
        cmocka_unit_test(test_tensors_come_out),
        cmocka_unit_test(test_strings_of_an_array_are_walked),
        cmocka_unit_test(test_many_keys_and_tensors),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_files_of_the_reference_writer),
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_unsupported_types_are_named),
        cmocka_unit_test(test_tensor_shapes),
        cmocka_unit_test(test_tensors_overlap_or_share_a_name),
        cmocka_unit_test(test_cve_size_overflow_2025_53630_2026_27940_2026_33298),
        cmocka_unit_test(test_cve_uninitialized_free_2024_32878),
        cmocka_unit_test(test_cve_vocabulary_lengths_2025_49847_2025_52566),
        cmocka_unit_test(test_cve_extent_leak_2026_7482_2026_5757),
        cmocka_unit_test(test_cve_counts_2024_8063_2024_12055_2024_39720_2025_0312_2025_0315_2025_66960),
        cmocka_unit_test(test_cve_alignment_zero_2025_0317_2025_66959),
        cmocka_unit_test(test_cve_missing_key_2025_0313_2026_65315),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_every_flipped_bit_opens_or_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, remove_file);
}
