/* reader: every get at every distance from the end; what a failure says and leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "io/reader.h"

static const uint8_t bytes[16] = {0x01, 0x82, 0x03, 0x84, 0x05, 0x86, 0x07, 0x88,
                                  0x00, 0x00, 0x00, 0xc0, 0x00, 0x00, 0xf0, 0x3f};

static void integers_are_little_endian(void **state) {
    (void)state;
    reader r = {.file = "f", .p = bytes, .n = sizeof bytes};
    uint8_t a;
    uint16_t b;
    uint32_t c;
    uint64_t d;
    assert_int_equal(reader_u8(&r, &a, NULL), ERR_OK);
    assert_int_equal(a, 0x01);
    assert_int_equal(reader_u16(&r, &b, NULL), ERR_OK);
    assert_int_equal(b, 0x0382);
    assert_int_equal(reader_u32(&r, &c, NULL), ERR_OK);
    assert_int_equal(c, 0x07860584);
    r.at = 0;
    assert_int_equal(reader_u64(&r, &d, NULL), ERR_OK);
    assert_true(d == 0x8807860584038201u);
    assert_int_equal(r.at, 8);
    assert_int_equal(reader_left(&r), 8);
}

static void floats_are_ieee_754(void **state) {
    (void)state;
    float f;
    double d;
    reader r = {.file = "f", .p = bytes, .n = sizeof bytes, .at = 8};
    assert_int_equal(reader_f32(&r, &f, NULL), ERR_OK);
    assert_true(f == -2.0f);
    r.at = 8;
    assert_int_equal(reader_f64(&r, &d, NULL), ERR_OK);
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    assert_true(bits == 0x3ff00000c0000000u);
}

/* For every length of the slice and every cursor: a get works just when its bytes are there. */
static void every_get_checks_its_bounds(void **state) {
    (void)state;
    int refused = 0;
    for (size_t n = 0; n <= sizeof bytes; n++)
        for (size_t at = 0; at <= n; at++)
            for (int which = 0; which < 7; which++) {
                static const size_t sizes[] = {1, 2, 4, 8, 4, 8, 5};
                union {
                    uint8_t u8;
                    uint16_t u16;
                    uint32_t u32;
                    uint64_t u64;
                    float f32;
                    double f64;
                    const uint8_t *p;
                } v;
                reader r = {.file = "some.file", .p = n ? bytes : NULL, .n = n, .at = at};
                err e = {0};
                err_code code = which == 0   ? reader_u8(&r, &v.u8, &e)
                                : which == 1 ? reader_u16(&r, &v.u16, &e)
                                : which == 2 ? reader_u32(&r, &v.u32, &e)
                                : which == 3 ? reader_u64(&r, &v.u64, &e)
                                : which == 4 ? reader_f32(&r, &v.f32, &e)
                                : which == 5 ? reader_f64(&r, &v.f64, &e)
                                             : reader_bytes(&r, 5, &v.p, &e);
                bool fits = sizes[which] <= n - at;
                assert_int_equal(code, fits ? ERR_OK : ERR_FORMAT);
                assert_int_equal(r.at, fits ? at + sizes[which] : at);
                if (!fits) {
                    char where[64];
                    snprintf(where, sizeof where, "some.file: at byte %zu: ", at);
                    assert_true(str_starts(str_from(e.text), str_from(where)));
                    refused++;
                }
            }
    assert_true(refused > 100);
}

static void lengths_beyond_the_address_space_are_refused(void **state) {
    (void)state;
    static const uint64_t lengths[] = {17, UINT32_MAX, (uint64_t)1 << 32, INT64_MAX, UINT64_MAX - 7, UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (size_t at = 0; at <= 16; at++) {
            reader r = {.file = "f", .p = bytes, .n = sizeof bytes, .at = at};
            const uint8_t *p = bytes;
            assert_int_equal(reader_bytes(&r, lengths[i], &p, NULL), ERR_FORMAT);
            assert_int_equal(r.at, at);
            assert_ptr_equal(p, bytes);
        }
}

static void views_are_of_the_slice_itself(void **state) {
    (void)state;
    reader r = {.file = "f", .p = bytes, .n = sizeof bytes, .at = 3};
    const uint8_t *p = NULL;
    assert_int_equal(reader_bytes(&r, 13, &p, NULL), ERR_OK);
    assert_ptr_equal(p, bytes + 3);
    assert_int_equal(reader_bytes(&r, 0, &p, NULL), ERR_OK); /* nothing, at the very end */
    assert_ptr_equal(p, bytes + 16);
    reader empty = {.file = "f"};
    assert_int_equal(reader_bytes(&empty, 0, &p, NULL), ERR_OK);
    assert_int_equal(reader_bytes(&empty, 1, &p, NULL), ERR_FORMAT);
}

static void a_long_path_leaves_room_for_the_message(void **state) {
    (void)state;
    char path[2000];
    memset(path, 'd', sizeof path);
    memcpy(path + sizeof path - 10, "tail.gguf", 10);
    reader r = {.file = path, .p = bytes, .n = 3, .at = 1};
    err e;
    assert_int_equal(reader_fail(&r, 7, ERR_LIMIT, &e, "what is %s", "wrong"), ERR_LIMIT);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_true(str_starts(str_from(e.text), STR("...ddd")));
    assert_true(str_ends(str_from(e.text), STR("tail.gguf: at byte 7: what is wrong")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_little_endian),    cmocka_unit_test(floats_are_ieee_754),
        cmocka_unit_test(every_get_checks_its_bounds),   cmocka_unit_test(lengths_beyond_the_address_space_are_refused),
        cmocka_unit_test(views_are_of_the_slice_itself), cmocka_unit_test(a_long_path_leaves_room_for_the_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
