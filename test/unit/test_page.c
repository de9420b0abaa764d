/* page: the files are in the program, whole, each with a tag of its own; only their own paths find them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "serve/page.h"

static void files_are_there(void **state) {
    page_tags t = {0};
    size_t n = 0;
    (void)state;
    page_tag_all(&t);
    for (; page_files[n].path; n++) {
        const page_file *f = &page_files[n];
        assert_true(f->end > f->begin && f->end[0] == 0);
        assert_true(page_is_path(str_from(f->path)) && page_find(str_from(f->path)) == f);
        assert_int_equal(strlen(t.of[n]), 18);
        for (size_t i = 0; i < n; i++)
            assert_string_not_equal(t.of[i], t.of[n]);
    }
    assert_true(n >= 10 && n <= PAGE_FILES_MAX);
    assert_memory_equal(page_find(STR("/"))->begin, "<!doctype html>", 15);
}

static void nothing_else_is(void **state) {
    static const char *const none[] = {"",      "/page", "/page/", "/index.html", "/page/x", "/page/../page/app.js",
                                       "/pager"};
    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_null(page_find(str_from(none[i])));
    assert_true(page_is_path(STR("/page/x")) && !page_is_path(STR("/pager")) && !page_is_path(STR("/v1/models")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_there),
        cmocka_unit_test(nothing_else_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
