/* chart: dots stand where the numbers are, marks are round numbers, odd inputs do no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "cli/chart.h"

static strbuf text_of(const chart_series *s, size_t n) {
    strbuf out = {0};
    chart c = {"t", "step", "loss", s, n};
    assert_int_equal(chart_text(&c, 40, 8, &out, NULL), ERR_OK);
    strbuf_addc(&out, 0, NULL);
    return out;
}

static size_t lines_of(const char *s) {
    size_t n = 0;
    for (; *s; s++)
        n += *s == '\n';
    return n;
}

static void a_rising_line(void **state) {
    (void)state;
    double x[200], y[200];
    for (int i = 0; i < 200; i++)
        x[i] = y[i] = i;
    chart_series s = {"a", x, y, 200, false};
    strbuf out = text_of(&s, 1);
    assert_int_equal(lines_of(out.p), 8);
    const char *top = strstr(out.p, "\n") + 1, *bottom = top;
    for (int i = 0; i < 5; i++)
        bottom = strchr(bottom, '\n') + 1;
    assert_true(strcspn(top, "\n") > 40);              /* drawn at the right end */
    assert_true((unsigned char)bottom[8 + 3] == 0xE2); /* and at the left end of the last row */
    assert_non_null(strstr(out.p, "100"));
    strbuf_fini(&out);
}

static void odd_numbers(void **state) {
    (void)state;
    double x[] = {1, 2, NAN, 4, 5}, y[] = {1, INFINITY, 3, 4, -INFINITY}, same[] = {7, 7, 7, 7, 7};
    chart_series s[] = {{"a", x, y, 5, false}, {"b", same, same, 5, true}, {"none", x, y, 0, false}};
    for (size_t n = 0; n <= 3; n++) {
        strbuf out = text_of(s, n), svg = {0};
        chart c = {"<&>\"", "x", "y", s, n};
        assert_int_equal(chart_svg(&c, &svg, NULL), ERR_OK);
        assert_true(str_find(strbuf_str(&svg), STR("&lt;&amp;&gt;&quot;"), 0) > 0);
        assert_true(str_find(strbuf_str(&svg), STR("nan"), 0) < 0 && str_find(strbuf_str(&svg), STR("inf"), 0) < 0);
        assert_true(str_ends(strbuf_str(&svg), STR("</svg>\n")));
        strbuf_fini(&out);
        strbuf_fini(&svg);
    }
}

static void any_range_has_marks(void **state) {
    (void)state;
    for (double scale = 1e-6; scale < 1e9; scale *= 3.7) {
        double x[] = {0, scale}, y[] = {scale, 2 * scale};
        chart_series s = {"a", x, y, 2, false};
        strbuf out = text_of(&s, 1);
        assert_int_equal(lines_of(out.p), 8);
        strbuf_fini(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rising_line),
        cmocka_unit_test(odd_numbers),
        cmocka_unit_test(any_range_has_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
