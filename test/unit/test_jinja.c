/* Replays test/golden/jinja/cases.json (what Jinja2 makes of each template), then the limits and
 * the sandbox, which have no reference: they must end soon (by the clock of the CPU: the machine may have other work),
 * in one error of the right class. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/os.h"
#include "text/jinja.h"

static err_code run(const char *source, const json_t *vars, strbuf *out, err *e) {
    jinja *t;
    err_code code = jinja_compile(&t, str_from(source), NULL, e);
    if (code != ERR_OK)
        return code;
    code = jinja_render(t, vars, 0, out, e);
    jinja_free(t);
    return code;
}

static void golden(void **state) {
    (void)state;
    json_error_t je;
    json_t *all = json_load_file("test/golden/jinja/cases.json", 0, &je);
    assert_non_null(all);
    const json_t *cases = json_object_get(all, "cases"), *vars = json_object_get(all, "variables");
    assert_true(json_array_size(cases) >= 400);
    int wrong = 0;
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i), *want = json_array_get(c, 2);
        const char *source = json_string_value(json_array_get(c, 0));
        const json_t *v = json_array_get(vars, (size_t)json_integer_value(json_array_get(c, 1)));
        strbuf out = {0};
        err e = {0};
        err_code code = run(source, v, &out, &e);
        str text = json_is_string(want) ? (str){json_string_value(want), json_string_length(want)} : (str){0};
        bool right = json_is_null(want) ? code != ERR_OK && e.code == code && strstr(e.text, "template") != NULL
                                        : code == ERR_OK && str_eq(strbuf_str(&out), text);
        if (!right) {
            wrong++;
            print_error("template: %s\n  want: %.*s\n  got:  %.*s (%s)\n", source, STR_ARG(text),
                        STR_ARG(strbuf_str(&out)), e.text);
        }
        strbuf_fini(&out);
    }
    assert_int_equal(wrong, 0);
    json_decref(all);
}

static void refused(const char *source, err_code want) {
    strbuf out = {0};
    err e = {0};
    assert_int_equal(strbuf_add(&out, STR("kept"), &e), ERR_OK);
    double start = os_thread_seconds();
    err_code code = run(source, NULL, &out, &e);
    if (code != want || os_thread_seconds() - start > 20.0)
        fail_msg("%.80s: %s (%d) after %.1f s", source, e.text, (int)code, os_thread_seconds() - start);
    assert_int_equal(e.code, want);
    assert_non_null(strstr(e.text, "template line "));
    assert_true(str_is(strbuf_str(&out), "kept"));
    strbuf_fini(&out);
}

static void limits_end_bombs(void **state) {
    (void)state;
    static const char *const bombs[] = {
        "{% for i in range(10 ** 9) %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
        "{{ 'a' * 10 ** 9 }}",
        "{{ [0] * 10 ** 12 }}",
        "{{ 'a' * 10 ** 18 * 10 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 10 ** 19 }}",
        "{{ 9223372036854775807 + 1 }}",
        "{{ 9223372036854775808 }}",
        "{% set n = namespace(s='aaaaaaaa') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
        "{% set n = namespace(s='aaaaaaaa') %}{% for i in range(99) %}{% set n.s = n.s.replace('a', n.s) %}{% endfor "
        "%}",
        "{% set n = namespace(s='aaaaaaaa') %}{% for i in range(99) %}{% set n.s = n.s|replace('a', 'aa') %}{% endfor "
        "%}",
        "{% set n = namespace(l=[0]) %}{% for i in range(99) %}{% set n.l = n.l + n.l %}{% endfor %}",
        "{% set n = namespace(l=[0]) %}{% for i in range(99) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l }}",
        "{% set n = namespace(l=[0]) %}{% for i in range(60) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l }}",
        "{% set n = namespace(l=[0]) %}{% for i in range(60) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l|tojson }}",
        "{% set n = namespace(a=[0], b=[0]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% set n.b = [n.b, "
        "n.b] %}"
        "{% endfor %}{{ n.a == n.b }}",
        "{{ (range(99999)|join('x' * 100000)) }}",
        "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}",
        "{% macro m(x) %}{{ m(x) }}{{ m(x) }}{% endmacro %}{{ m(1) }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%.999999999f' % 1.5 }}",
        "{{ 'x'.center(10 ** 12) }}",
        "{{ 'x'.zfill(10 ** 12) }}",
        "{{ 'x'|indent(10 ** 12) }}",
        "{{ [1]|slice(10 ** 12)|list }}",
        "{{ [1]|batch(10 ** 12, 0)|list }}",
        "{{ [1]|tojson(indent=10 ** 12) }}",
        "{% for i in range(99999) %}{{ "
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' "
        "}}"
        "{% endfor %}",
        "{% set s = 'ab' * 4000000 %}{% for i in range(99999) %}{% if 'bb' in s %}{% endif %}{% endfor %}",
    };
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++)
        refused(bombs[i], ERR_LIMIT);
}

static void limits_end_deep_syntax(void **state) {
    (void)state;
    static const char *const parts[][5] = {
        {"{{ ", "(", "1", ")", " }}"},
        {"{{ ", "[", "1", "]", " }}"},
        {"{{ ", "{1:", "1", "}", " }}"},
        {"{{ ", "-", "1", "", " }}"},
        {"{{ ", "not ", "1", "", " }}"},
        {"{{ ", "f(", "1", ")", " }}"},
        {"{{ ", "a[", "1", "]", " }}"},
        {"{{ ", "1 if 1 else ", "1", "", " }}"},
        {"", "{% if 1 %}", "", "{% endif %}", ""},
        {"", "{% for x in y %}", "", "{% endfor %}", ""},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (int times = 100; times <= 9000; times *= 9) {
            strbuf b = {0};
            err e = {0};
            for (int part = 0; part < 5; part++)
                for (int k = 0; k < (part == 1 || part == 3 ? times : 1); k++)
                    assert_int_equal(strbuf_add(&b, str_from(parts[i][part]), &e), ERR_OK);
            assert_int_equal(strbuf_addc(&b, 0, &e), ERR_OK);
            refused(b.p, ERR_LIMIT);
            strbuf_fini(&b);
        }
    /* Chains are no nesting for the parser; the postfix ones are for evaluation. */
    strbuf b = {0};
    err e = {0};
    assert_int_equal(strbuf_add(&b, STR("{{ 0"), &e), ERR_OK);
    for (int k = 0; k < 5000; k++)
        assert_int_equal(strbuf_add(&b, STR(" + 1 ~ ''|int"), &e), ERR_OK);
    assert_int_equal(strbuf_add(&b, STR(" }}{{ x"), &e), ERR_OK);
    for (int k = 0; k < 20000; k++)
        assert_int_equal(strbuf_add(&b, STR(".y"), &e), ERR_OK);
    assert_int_equal(strbuf_add(&b, STR(" }}\0"), &e), ERR_OK);
    jinja *t;
    assert_int_equal(jinja_compile(&t, strbuf_str(&b), NULL, &e), ERR_OK);
    strbuf out = {0};
    assert_int_not_equal(jinja_render(t, NULL, 0, &out, &e), ERR_OK);
    jinja_free(t);
    strbuf_fini(&b);
    strbuf_fini(&out);
}

static void limits_end_deep_json(void **state) {
    (void)state;
    json_t *v = json_integer(1);
    for (int i = 0; i < 400; i++) {
        json_t *up = json_array();
        assert_int_equal(json_array_append_new(up, v), 0);
        v = up;
    }
    json_t *vars = json_pack("{s:o}", "messages", v);
    strbuf out = {0};
    err e = {0};
    assert_int_equal(run("{{ messages }}", vars, &out, &e), ERR_LIMIT);
    assert_int_equal(run("not asked for", vars, &out, &e), ERR_OK);
    strbuf_fini(&out);
    json_decref(vars);
}

/* CVE-2024-34359, CVE-2026-5760, CVE-2026-5843: a template that reaches the host's insides. */
static void test_cve_template_code_2024_34359_2026_5760_2026_5843(void **state) {
    (void)state;
    static const char *const attempts[] = {
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''['__class__'] }}",
        "{{ ''['__cla' ~ 'ss__'] }}",
        "{{ ''|attr('__class__') }}",
        "{{ ''|attr('_' ~ '_class__') }}",
        "{{ [1]|map(attribute='__class__')|list }}",
        "{{ [1]|map('attr', '__class__')|list }}",
        "{{ [1]|selectattr('__class__')|list }}",
        "{{ [1]|sort(attribute='__class__') }}",
        "{{ [1]|sum(attribute='__class__') }}",
        "{{ [1]|groupby('__class__') }}",
        "{{ [1]|join(attribute='__class__') }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ '{0[__class__]}'.format(1) }}",
        "{{ range.__globals__ }}",
        "{{ raise_exception.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ joiner['__init__'] }}",
        "{{ self.__init__.__globals__ }}",
        "{{ lipsum.__globals__ }}",
        "{{ namespace(__x=1) }}",
        "{{ namespace({'_x': 1}) }}",
        "{% set n = namespace() %}{% set n.__class__ = 1 %}",
        "{% macro m() %}{% endmacro %}{{ m.__code__ }}",
        "{% for x in [1] %}{{ loop.__init__ }}{% endfor %}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% from 'os' import popen %}",
        "{% extends 'x' %}",
        "{{ [].append(1) }}",
        "{{ {}.update({'a': 1}) }}",
        "{{ {}.pop('a') }}",
    };
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++)
        refused(attempts[i], ERR_UNSUPPORTED);
}

static void unsupported_is_named(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"a\n{% block x %}", "line 2: tag {% block %}"},
        {"{{ 1|pprint }}", "no filter named 'pprint'"},
        {"{{ 1 is nosuch }}", "no test named 'nosuch'"},
        {"{% if true %}{{ 1|xmlattr }}{% endif %}", "no filter named 'xmlattr'"},
        {"\n\n{{ 'a'.encode() }}", "line 3: method 'encode' of str"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        strbuf out = {0};
        err e = {0};
        assert_int_equal(run(cases[i][0], NULL, &out, &e), ERR_UNSUPPORTED);
        assert_non_null(strstr(e.text, cases[i][1]));
        strbuf_fini(&out);
    }
}

static void exception_carries_its_message(void **state) {
    (void)state;
    strbuf out = {0};
    err e = {0};
    assert_int_equal(run("x{{ raise_exception('roles must alternate') }}", NULL, &out, &e), ERR_FORMAT);
    assert_string_equal(e.text, "template line 1: roles must alternate");
    assert_int_equal(out.n, 0);
    strbuf_fini(&out);
}

static void small_limits_hold(void **state) {
    (void)state;
    jinja_limits lim = jinja_limits_default;
    jinja *t;
    err e = {0};
    strbuf out = {0};
    lim.source_bytes_max = 4;
    assert_int_equal(jinja_compile(&t, STR("12345"), &lim, &e), ERR_LIMIT);
    assert_null(t);
    lim.source_bytes_max = 100;
    lim.output_bytes_max = 4;
    assert_int_equal(jinja_compile(&t, STR("12345"), &lim, &e), ERR_OK);
    assert_int_equal(jinja_render(t, NULL, 0, &out, &e), ERR_LIMIT);
    assert_int_equal(out.n, 0);
    jinja_free(t);
    strbuf_fini(&out);
}

/* A long history must not be felt: 200 messages in well under 20 ms (more is allowed to sanitizers). */
static void long_history_is_fast(void **state) {
    (void)state;
    json_t *list = json_array();
    for (int i = 0; i < 200; i++)
        json_array_append_new(list,
                              json_pack("{s:s,s:s}", "role", i % 2 ? "assistant" : "user", "content",
                                        "Some words of an answer, <think>why</think> and so on, at a usual length."));
    json_t *vars = json_pack("{s:o}", "messages", list);
    jinja *t;
    err e = {0};
    strbuf out = {0};
    assert_int_equal(
        jinja_compile(&t,
                      STR("{%- for m in messages %}{%- set c = m.content | trim %}{%- if m.role == 'assistant' and "
                          "'</think>' in c %}{%- set c = c.split('</think>')[-1].lstrip('\\n') %}{%- endif %}"
                          "{{- '<|im_start|>' + m['role'] + '\\n' + c + '<|im_end|>\\n' }}{%- endfor %}"),
                      NULL, &e),
        ERR_OK);
    double start = os_thread_seconds();
    assert_int_equal(jinja_render(t, vars, 0, &out, &e), ERR_OK);
    assert_true(os_thread_seconds() - start < 0.2);
    assert_true(out.n > 10000);
    jinja_free(t);
    strbuf_fini(&out);
    json_decref(vars);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden),
        cmocka_unit_test(limits_end_bombs),
        cmocka_unit_test(limits_end_deep_syntax),
        cmocka_unit_test(limits_end_deep_json),
        cmocka_unit_test(test_cve_template_code_2024_34359_2026_5760_2026_5843),
        cmocka_unit_test(unsupported_is_named),
        cmocka_unit_test(exception_carries_its_message),
        cmocka_unit_test(small_limits_hold),
        cmocka_unit_test(long_history_is_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
