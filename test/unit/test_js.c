/* js: commas, quotes and colons come by themselves, and the first failure sticks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "text/js.h"

static void values_and_commas(void **state) {
    err e = {0};
    js_out j = {.e = &e};
    (void)state;
    js_begin(&j, '{');
    js_put_int(&j, "a", -3);
    js_put_text(&j, "t", STR("x"));
    js_put_hash(&j, "h", (hash256){{0xab}});
    js_key(&j, "b\"");
    js_begin(&j, '[');
    js_real(&j, 0.5, 4);
    js_real(&j, NAN, 4);
    js_flag(&j, true);
    js_begin(&j, '{');
    js_end(&j, '}');
    js_raw(&j, STR("[1,2]"));
    js_text(&j, STR("<\xff\n"));
    js_end(&j, ']');
    js_end(&j, '}');
    assert_int_equal(j.code, ERR_OK);
    assert_true(
        str_is(strbuf_str(&j.text),
               "{\"a\":-3,\"t\":\"x\",\"h\":\"ab00000000000000000000000000000000000000000000000000000000000000\","
               "\"b\\\"\":[0.5,null,true,{},[1,2],\"<\xEF\xBF\xBD\\n\"]}"));
    strbuf_fini(&j.text);
}

static void a_failure_sticks(void **state) {
    err e = {0};
    js_out j = {.e = &e, .text = {.max = 4}};
    (void)state;
    js_text(&j, STR("too long"));
    assert_int_not_equal(j.code, ERR_OK);
    err_code first = j.code;
    js_int(&j, 1);
    assert_int_equal(j.code, first);
    assert_true(e.text[0] != 0);
    strbuf_fini(&j.text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_commas),
        cmocka_unit_test(a_failure_sticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
