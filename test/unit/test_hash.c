/* hash: the examples of FIPS 180-4, every length around the block size, files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/os.h"

static const char *hex_of(const void *p, size_t n) {
    static char hex[65];
    hash_hex(hash_of(p, n), hex);
    return hex;
}

static void known_answers(void **state) {
    (void)state;
    assert_string_equal(hex_of("", 0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_string_equal(hex_of(NULL, 0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_string_equal(hex_of("abc", 3), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_string_equal(hex_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56),
                        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    char *a = malloc(1000000);
    assert_non_null(a);
    memset(a, 'a', 1000000);
    assert_string_equal(hex_of(a, 1000000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(a);
}

static void pieces_equal_the_whole(void **state) {
    (void)state;
    unsigned char data[200];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 37 + 11);
    for (size_t n = 0; n <= sizeof data; n++)
        for (size_t cut = 0; cut <= n; cut += 13) {
            hash_state *s;
            err e;
            assert_int_equal(hash_open(&s, &e), ERR_OK);
            hash_add(s, data, cut);
            hash_add(s, NULL, 0);
            hash_add(s, data + cut, n - cut);
            hash256 got = hash_close(s), want = hash_of(data, n);
            assert_memory_equal(&got, &want, sizeof got);
        }
}

static void one_state_for_many_texts(void **state) {
    (void)state;
    static const char text[] =
        "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqr";
    hash_state *s;
    err e;
    assert_int_equal(hash_open(&s, &e), ERR_OK);
    for (size_t n = 0; n < sizeof text; n++) {
        hash256 got = hash_by(s, text, n), want = hash_of(text, n);
        assert_memory_equal(got.byte, want.byte, sizeof want.byte);
    }
    hash_add(s, text, 3); /* as if just opened */
    hash256 got = hash_close(s), want = hash_of(text, 3);
    assert_memory_equal(got.byte, want.byte, sizeof want.byte);
}

static void files(void **state) {
    (void)state;
    const char *tmp = getenv("LOAM_TMP");
    char path[4096];
    snprintf(path, sizeof path, "%s/test_hash.bin", tmp ? tmp : "/tmp");
    enum { N = 200001 }; /* more than three reads */
    char *data = calloc(1, N);
    assert_non_null(data);
    for (size_t i = 0; i < N; i++)
        data[i] = (char)(i * i >> 3);
    err e;
    assert_int_equal(os_write_file(path, (str){data, N}, &e), ERR_OK);
    hash256 got, want = hash_of(data, N);
    assert_int_equal(hash_file(path, &got, &e), ERR_OK);
    assert_memory_equal(&got, &want, sizeof got);
    free(data);
    remove(path);
    assert_int_equal(hash_file(path, &got, &e), ERR_IO);
    assert_non_null(strstr(e.text, path));
    assert_memory_equal(&got, &want, sizeof got); /* left alone */
    assert_int_equal(hash_file("test", &got, &e), ERR_IO);
    assert_string_equal(e.text, "test: cannot be read: Is a directory");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(pieces_equal_the_whole),
        cmocka_unit_test(one_state_for_many_texts),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
