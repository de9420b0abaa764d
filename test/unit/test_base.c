/* base and tuning: a base's digest is that of the files that count, whatever else lies beside them; lists of layers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "tune/base.h"
#include "tune/tuning.h"

static char folder[] = "/tmp/loam-base-XXXXXX";

static void put(const char *name, const char *text) {
    char path[OS_PATH_BYTES];
    err e = {0};
    assert_int_equal(os_join(path, folder, name, &e), ERR_OK);
    assert_int_equal(os_write_file(path, str_from(text), &e), ERR_OK);
}

static void drop(const char *name) {
    char path[OS_PATH_BYTES];
    assert_int_equal(os_join(path, folder, name, NULL), ERR_OK);
    unlink(path);
}

static hash256 digest(void) {
    hash256 h = {{0}};
    err e = {0};
    assert_int_equal(base_digest(folder, &h, &e), ERR_OK);
    return h;
}

static void the_files_that_count(void **state) {
    (void)state;
    err e = {0};
    hash256 h;
    char lines[400], hex[2][65];
    assert_non_null(mkdtemp(folder));
    assert_int_equal(base_digest(folder, &h, &e), ERR_USAGE);
    put("config.json", "{}");
    put("b.safetensors", "weights");
    hash_hex(hash_of("weights", 7), hex[0]);
    hash_hex(hash_of("{}", 2), hex[1]);
    snprintf(lines, sizeof lines, "b.safetensors %s\nconfig.json %s\n", hex[0], hex[1]);
    hash256 want = hash_of(lines, strlen(lines)), is = digest();
    assert_memory_equal(&is, &want, sizeof is);
    put("README.md", "any");
    is = digest();
    assert_memory_equal(&is, &want, sizeof is);
    static const char *const counting[] = {"tokenizer.json", "chat_template.jinja", "a.safetensors",
                                           "model.safetensors.index.json"};
    for (size_t i = 0; i < sizeof counting / sizeof *counting; i++) {
        put(counting[i], "more");
        is = digest();
        assert_memory_not_equal(&is, &want, sizeof is);
        drop(counting[i]);
    }
    char path[OS_PATH_BYTES];
    assert_int_equal(os_join(path, folder, "b.safetensors", &e), ERR_OK);
    assert_int_equal(base_digest(path, &is, &e), ERR_OK); /* a file: its own */
    want = hash_of("weights", 7);
    assert_memory_equal(&is, &want, sizeof is);
    drop("README.md");
    drop("b.safetensors");
    drop("config.json");
    rmdir(folder);
    assert_int_equal(base_digest(folder, &is, &e), ERR_IO);
}

static void lists_of_layers(void **state) {
    (void)state;
    static const struct {
        const char *list, *want; /* NULL: refused */
    } rows[] = {
        {"", "111111"},
        {"0", "100000"},
        {"0-5", "111111"},
        {"1-2,5", "011001"},
        {"5,0-0", "100001"},
        {"6", NULL},
        {"3-2", NULL},
        {"-2", NULL},
        {"1,", NULL},
        {",1", NULL},
        {"1-", NULL},
        {"1 2", NULL},
        {"a", NULL},
        {"1-2-3", NULL},
        {"99999999999999999999", NULL},
        {"0-99999999999999999999", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t layer[6];
        char is[7] = "";
        err e = {0};
        err_code code = tuning_layers(str_from(rows[i].list), 6, layer, &e);
        for (int k = 0; k < 6; k++)
            is[k] = layer[k] ? '1' : '0';
        assert_int_equal(code, rows[i].want ? ERR_OK : ERR_USAGE);
        if (rows[i].want)
            assert_string_equal(is, rows[i].want);
        else
            assert_non_null(strstr(e.text, "0-5,8"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_files_that_count),
        cmocka_unit_test(lists_of_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
