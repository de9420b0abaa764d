/* gguf: a model in several files opens by its first; a part that is missing, misnamed or foreign is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gguf_build.h"
#include "io/gguf.h"
#include "io/gguf_parts.h"

/* ---- names ---- */

static void test_names(void **state) {
    (void)state;
    static const struct {
        const char *path;
        unsigned no, count; /* 0: no part */
        const char *stem;
    } is[] = {
        {"m-00001-of-00003.gguf", 1, 3, "m"},
        {"a/b-Q4_K_M-00012-of-00100.gguf", 12, 100, "a/b-Q4_K_M"},
        {"m-00001-of-00001.gguf", 1, 1, "m"},
        {"m-00000-of-00003.gguf", 0, 0, "m-00000-of-00003"},
        {"m-00004-of-00003.gguf", 0, 0, "m-00004-of-00003"},
        {"m-00001-of-99999.gguf", 0, 0, "m-00001-of-99999"},
        {"m-0001-of-00003.gguf", 0, 0, "m-0001-of-00003"},
        {"m-00001-of-00003.GGUF", 0, 0, "m-00001-of-00003.GGUF"},
        {"m-0000x-of-00003.gguf", 0, 0, "m-0000x-of-00003"},
        {"-00001-of-00003.gguf", 0, 0, "-00001-of-00003"},
        {"m.gguf", 0, 0, "m"},
        {"m", 0, 0, "m"},
        {"", 0, 0, ""},
    };
    for (size_t i = 0; i < sizeof is / sizeof *is; i++) {
        unsigned no = 0, count = 0;
        assert_int_equal(gguf_part_of(str_from(is[i].path), &no, &count), is[i].count > 0);
        if (is[i].count > 0) {
            assert_int_equal(no, is[i].no);
            assert_int_equal(count, is[i].count);
        }
        assert_true(str_is(gguf_stem(str_from(is[i].path)), is[i].stem));
    }
    char name[] = "a/m-00001-of-00120.gguf";
    gguf_part_name(name, 117);
    assert_string_equal(name, "a/m-00117-of-00120.gguf");
}

/* ---- files ---- */

/* Of a model "m" of `count` parts, part `no` as its keys say; below 0: without that key. */
typedef struct {
    int no, count, told;
    const char *name, *tensor; /* general.name; NULL: none */
} part;

static void save_part(const char *path, const part *p) {
    strbuf b = {0};
    static const uint64_t dims[] = {4};
    build_header(&b, 3, p->tensor ? 1 : 0,
                 (uint64_t)((p->no >= 0) + (p->count >= 0) + (p->told >= 0) + (p->name != NULL)));
    if (p->name)
        build_kv_str(&b, "general.name", p->name);
    if (p->no >= 0)
        build_key(&b, "split.no", GGUF_U16), build_u16(&b, (uint16_t)p->no);
    if (p->count >= 0)
        build_key(&b, "split.count", GGUF_U16), build_u16(&b, (uint16_t)p->count);
    if (p->told >= 0)
        build_key(&b, "split.tensors.count", GGUF_I32), build_u32(&b, (uint32_t)p->told);
    if (p->tensor)
        build_info(&b, p->tensor, 1, dims, 0, 0);
    build_pad(&b, 32);
    if (p->tensor)
        for (int i = 0; i < 4; i++)
            build_f32(&b, (float)(10 * p->no + i));
    build_save(path, strbuf_str(&b));
    strbuf_fini(&b);
}

enum { PARTS = 3 };
static const part sound[PARTS] = {{0, 3, 2, "m", NULL}, {1, 3, 2, NULL, "b"}, {2, 3, 2, NULL, "a"}};

static const char *part_path(unsigned no) {
    char name[40];
    snprintf(name, sizeof name, "parts-%05u-of-%05u.gguf", no, (unsigned)PARTS);
    return build_path(name);
}

/* Opens the model with part `other` in the place of sound[at]; at < 0: as it is. */
static err_code open_with(int at, const part *other, gguf_file *g, err *e) {
    for (int i = 0; i < PARTS; i++) {
        if (i == at && !other)
            unlink(part_path((unsigned)i + 1));
        else
            save_part(part_path((unsigned)i + 1), i == at ? other : &sound[i]);
    }
    return gguf_open(g, part_path(1), e);
}

static void test_all_parts_are_one_model(void **state) {
    (void)state;
    gguf_file g;
    err e = {0};
    if (open_with(-1, NULL, &g, &e) != ERR_OK)
        fail_msg("%s", e.text);
    assert_int_equal(g.n_more, 2);
    assert_int_equal(g.n_tensors, 2);
    assert_true(str_is(g.tensor[0].name, "b"));
    const tensor_ref *a = gguf_tensor(&g, "a"), *b = gguf_tensor(&g, "b");
    float of_a, of_b;
    assert_true(a && b && a->map == &g.more[1].map && b->map == &g.more[0].map);
    memcpy(&of_a, a->data + 4, sizeof of_a);
    memcpy(&of_b, b->data + 12, sizeof of_b);
    assert_true(of_a == 21 && of_b == 13);
    assert_int_equal(gguf_bytes(&g), g.map.n + g.more[0].map.n + g.more[1].map.n);
    str name;
    assert_int_equal(gguf_get_str(&g, "general.name", (str){0}, &name, NULL), ERR_OK);
    assert_true(str_is(name, "m"));
    gguf_close(&g);
    assert_null(g.more);
}

/* test/golden/io.py has the reference library write one list of tensors to one file and to four. */
static void test_parts_of_the_reference(void **state) {
    (void)state;
    gguf_file whole, parts;
    assert_int_equal(gguf_open(&whole, "test/golden/io/types.gguf", NULL), ERR_OK);
    err e = {0};
    if (gguf_open(&parts, "test/golden/io/parts/types-00001-of-00004.gguf", &e) != ERR_OK)
        fail_msg("%s", e.text);
    assert_int_equal(parts.n_more, 3);
    assert_int_equal(parts.n_tensors, whole.n_tensors);
    for (size_t i = 0; i < whole.n_tensors; i++) {
        const tensor_ref *a = &whole.tensor[i], *b = &parts.tensor[i];
        assert_true(str_eq(a->name, b->name) && a->type == b->type && a->bytes == b->bytes);
        assert_memory_equal(a->dims, b->dims, sizeof a->dims);
        assert_memory_equal(a->data, b->data, a->bytes);
    }
    gguf_close(&parts);
    gguf_close(&whole);
}

static void test_what_is_wrong_is_named(void **state) {
    (void)state;
    const struct {
        int at;
        const part *other; /* NULL: missing */
        err_code code;
        unsigned names; /* the part whose file the error begins with */
        const char *says;
    } cases[] = {
        {1, NULL, ERR_IO, 2, "part 2 of 3 is missing"},
        {2, NULL, ERR_IO, 3, "part 3 of 3 is missing"},
        {2, &(part){-1, -1, -1, NULL, "a"}, ERR_FORMAT, 3, "does not say that it is a part"},
        {2, &(part){1, 3, 2, NULL, "a"}, ERR_FORMAT, 3, "says that it is part 2 of 3, its name says 3 of 3"},
        {2, &(part){2, 4, 2, NULL, "a"}, ERR_FORMAT, 3, "says that it is part 3 of 4, its name says 3 of 3"},
        {2, &(part){2, 3, 5, NULL, "a"}, ERR_FORMAT, 3, "is a part of another model than"},
        {2, &(part){2, 3, 2, "n", "a"}, ERR_FORMAT, 3, "is a part of another model than"},
        {2, &(part){2, 3, 2, "m", "b"}, ERR_FORMAT, 3, "tensor b stands in"},
        {2, &(part){2, 3, 2, NULL, NULL}, ERR_FORMAT, 1, "its 3 parts have 1 tensors, and say that they are 2"},
        {0, &(part){1, 3, 2, "m", NULL}, ERR_FORMAT, 1, "is part 2 of 3 of a model (open the first"},
        {0, &(part){0, 2, 2, "m", NULL}, ERR_FORMAT, 1, "is the first of 2 files"},
        {0, &(part){3, 3, 2, "m", NULL}, ERR_FORMAT, 1, "part 4 of 3"},
        {0, &(part){0, 60000, 2, "m", NULL}, ERR_LIMIT, 1, "at most 1000"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gguf_file g;
        err e = {0};
        err_code code = open_with(cases[i].at, cases[i].other, &g, &e);
        if (code != cases[i].code || strncmp(e.text, part_path(cases[i].names), strlen(part_path(1))) != 0 ||
            !strstr(e.text, cases[i].says))
            fail_msg("case %zu: %d, \"%s\"", i, (int)code, e.text);
        assert_null(g.map.p);
        assert_null(g.more);
    }
    gguf_file g;
    err e = {0};
    assert_int_equal(open_with(-1, NULL, &g, &e), ERR_OK);
    gguf_close(&g);
    assert_int_equal(gguf_open(&g, part_path(2), &e), ERR_FORMAT);
    assert_non_null(
        strstr(e.text, "is part 2 of 3 of a model (open the first, whose name ends in -00001-of-00003.gguf)"));
}

/* A file whose name alone is that of a part is what it always was. */
static void test_a_name_alone_means_nothing(void **state) {
    (void)state;
    gguf_file g;
    assert_int_equal(open_with(0, &(part){-1, -1, -1, "m", "x"}, &g, NULL), ERR_OK);
    assert_int_equal(g.n_more, 0);
    assert_int_equal(g.n_tensors, 1);
    gguf_close(&g);
}

static int clean_up(void **state) {
    (void)state;
    for (unsigned no = 1; no <= PARTS; no++)
        unlink(part_path(no));
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_all_parts_are_one_model),
        cmocka_unit_test(test_parts_of_the_reference),
        cmocka_unit_test(test_what_is_wrong_is_named),
        cmocka_unit_test(test_a_name_alone_means_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, clean_up);
}
