/* options: parsing, ranges, suggestions and help of tables of options; and that every command's table is sound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "cli/command.h"
#include "cli/dialog.h"
#include "cli/ids.h"
#include "cli/line.h"

typedef struct {
    bool loud, chatty;
    int64_t n;
    double temp;
    const char *text, *colour;
    option_list stop;
} shared;
typedef struct {
    int64_t padding;
    shared s;
} values;

static const char *const colours[] = {"red", "green", NULL};
#define AT(field) offsetof(shared, field)
static const option rows[] = {
    {"loud", 'l', OPT_FLAG, NULL, "louder", AT(loud), 0, 0, NULL},
    {"quiet", 'q', OPT_UNFLAG, NULL, "says less", AT(chatty), 0, 0, NULL},
    {"number", 'n', OPT_INT, "N", "how many", AT(n), -1, 100, NULL},
    {"temp", 0, OPT_REAL, "T", "how hot", AT(temp), 0, 2, NULL},
    {"top-text", 'p', OPT_TEXT, "TEXT", "what", AT(text), 0, 0, NULL},
    {"colour", 0, OPT_CHOICE, "NAME", "which one", AT(colour), 0, 0, colours},
    {"stop", 0, OPT_LIST, "TEXT", "where", AT(stop), 0, 0, NULL},
    {0},
};
static const option_group groups[] = {{"Group", rows, offsetof(values, s)}, {0}};

enum { WORDS = 40 };
typedef struct {
    values v;
    arguments args;
    const char *room[WORDS];
    err e;
} parsed;

/* Parses words up to NULL. */
static err_code parse(parsed *p, const char *const *words) {
    char *argv[WORDS];
    int n = 0;
    for (; words[n]; n++)
        argv[n] = (char *)(uintptr_t)words[n];
    *p = (parsed){.v.s = {.chatty = true, .n = 7, .temp = 0.5}};
    p->args.arg = p->room;
    return options_parse(groups, n, argv, &p->v, &p->args, &p->e);
}
#define PARSE(p, ...) parse((p), (const char *const[]){__VA_ARGS__, NULL})

static void test_forms(void **state) {
    (void)state;
    parsed p;
    assert_int_equal(PARSE(&p, "M", "--number", "3", "--temp=1.5", "-lq", "-p", "-x", "more"), ERR_OK);
    assert_int_equal(p.v.s.n, 3);
    assert_true(p.v.s.temp == 1.5);
    assert_true(p.v.s.loud && !p.v.s.chatty);
    assert_string_equal(p.v.s.text, "-x"); /* a value is taken as it stands */
    assert_int_equal(p.args.n, 2);
    assert_string_equal(p.args.arg[0], "M");
    assert_string_equal(p.args.arg[1], "more");
    assert_int_equal(PARSE(&p, "-n42", "-lp", "a=b", "--top-text=c=d"), ERR_OK);
    assert_int_equal(p.v.s.n, 42);
    assert_string_equal(p.v.s.text, "c=d");
    assert_int_equal(PARSE(&p, "--loud", "--no-loud", "--number=-1"), ERR_OK);
    assert_false(p.v.s.loud);
    assert_int_equal(p.v.s.n, -1);
    assert_int_equal(PARSE(&p, "-", "--", "--loud", "-n"), ERR_OK);
    assert_int_equal(p.args.n, 3);
    assert_string_equal(p.args.arg[0], "-");
    assert_string_equal(p.args.arg[2], "-n");
    assert_false(p.v.s.loud);
    assert_int_equal(PARSE(&p, "--stop", "", "--stop=b", "--colour", "green"), ERR_OK);
    assert_int_equal(p.v.s.stop.n, 2);
    assert_int_equal(p.v.s.stop.item[0].n, 0);
    assert_true(str_is(p.v.s.stop.item[1], "b"));
    assert_string_equal(p.v.s.colour, "green");
}

static void assert_refused(const char *const *words, const char *text) {
    parsed p;
    assert_int_equal(parse(&p, words), ERR_USAGE);
    assert_string_equal(p.e.text, text);
}
#define REFUSED(text, ...) assert_refused((const char *const[]){__VA_ARGS__, NULL}, text)

static void test_refused(void **state) {
    (void)state;
    REFUSED("--number: \"x\" is not a whole number", "--number", "x");
    REFUSED("--number: \"\" is not a whole number", "--number=");
    REFUSED("-n: \"1.5\" is not a whole number", "-n", "1.5");
    REFUSED("--number: \" 1\" is not a whole number", "--number", " 1");
    REFUSED("--number: \"0x10\" is not a whole number", "--number", "0x10");
    REFUSED("--number: 101 is outside -1 to 100", "--number", "101");
    REFUSED("--number: 99999999999999999999 is outside -1 to 100", "--number", "99999999999999999999");
    REFUSED("--temp: \"nan\" is not a number", "--temp", "nan");
    REFUSED("--temp: \"1e\" is not a number", "--temp", "1e");
    REFUSED("--temp: \"1-2\" is not a number", "--temp", "1-2");
    REFUSED("--temp: 2.5 is outside 0 to 2", "--temp", "2.5");
    REFUSED("--temp: 1e999 is outside 0 to 2", "--temp", "1e999");
    REFUSED("--colour: \"blue\" is none of red, green", "--colour", "blue");
    REFUSED("--top-text: its value TEXT is missing", "--top-text");
    REFUSED("-n: its value N is missing", "-ln");
    REFUSED("--loud: takes no value", "--loud=1");
    REFUSED("no option -z (--help lists them)", "-z");
    REFUSED("no option --tmep (did you mean --temp?)", "--tmep", "1");
    REFUSED("no option --temperature (did you mean --temp?)", "--temperature", "1");
    REFUSED("no option --numbr (did you mean --number?)", "--numbr=4");
    REFUSED("no option --xyzzy (--help lists them)", "--xyzzy");
    REFUSED("no option --no-temp (did you mean --temp?)", "--no-temp");
    const char *many[2 * OPTION_LIST_MAX + 3] = {0};
    for (size_t i = 0; i < 2 * OPTION_LIST_MAX + 2; i += 2) {
        many[i] = "--stop";
        many[i + 1] = "x";
    }
    assert_refused(many, "--stop: given more than 16 times");
}

static void test_nearest(void **state) {
    (void)state;
    const char *const words[] = {"run", "chat", "tokenize", "detokenize", "show"};
    assert_string_equal(nearest_word(STR("rnu"), words, 5), "run");
    assert_string_equal(nearest_word(STR("chta"), words, 5), "chat");
    assert_string_equal(nearest_word(STR("tokenise"), words, 5), "tokenize");
    assert_string_equal(nearest_word(STR("detok"), words, 5), "detokenize");
    assert_null(nearest_word(STR("quantize everything"), words, 5));
    assert_null(nearest_word(STR("zzz"), words, 5));
    assert_null(nearest_word(STR(""), words, 5));
}

static void test_find(void **state) {
    (void)state;
    size_t at;
    const option *o = options_find(groups, STR("top_text"), &at);
    assert_non_null(o);
    assert_string_equal(o->name, "top-text");
    assert_int_equal(at, offsetof(values, s) + offsetof(shared, text));
    assert_null(options_find(groups, STR("top"), &at));
}

static void test_help_text(void **state) {
    (void)state;
    values v = {.s = {.n = 7, .temp = 0.5}};
    strbuf out = {0};
    assert_int_equal(options_help(groups, &v, 80, &out, NULL), ERR_OK);
    str text = strbuf_str(&out);
    assert_true(str_find(text, STR("\nGroup:\n  -l, --loud                louder\n"), 0) >= 0);
    assert_true(str_find(text, STR("  -n, --number N            how many (default 7)\n"), 0) >= 0);
    assert_true(str_find(text, STR("      --colour NAME         which one: red, green\n"), 0) >= 0);
    out.n = 0;
    assert_int_equal(fold_text("one two three four five six seven\n  kept", 2, 24, &out, NULL), ERR_OK);
    assert_true(str_is(strbuf_str(&out), "  one two three four\n  five six seven\n    kept\n"));
    strbuf_fini(&out);
}

static bool in_range_or_later(const option *o, double x) { return (x >= o->min && x <= o->max) || x == -1; }

/* Every command: names are unique, values fit, defaults are in range, help fits the terminal. */
static void command_is_sound(const command *c) {
    bool letters[256] = {false}, has_help = false;
    for (const option_group *g = c->groups; g->rows; g++)
        for (const option *o = g->rows; o->name; o++) {
            size_t at;
            assert_ptr_equal(options_find(c->groups, str_from(o->name), &at), o); /* else the name is twice */
            assert_true(at < c->values_bytes);
            assert_false(o->letter && letters[(unsigned char)o->letter]);
            letters[(unsigned char)o->letter] = true;
            has_help |= strcmp(o->name, "help") == 0 && at == offsetof(common_values, help);
            const void *field = (const char *)c->defaults + at;
            if (o->kind == OPT_INT)
                assert_true(in_range_or_later(o, (double)*(const int64_t *)field));
            if (o->kind == OPT_REAL)
                assert_true(in_range_or_later(o, *(const double *)field));
            assert_true(o->help[strlen(o->help) - 1] != '.' && !isupper((unsigned char)o->help[0]));
        }
    assert_true(has_help);
    strbuf out = {0};
    assert_int_equal(options_help(c->groups, c->defaults, 80, &out, NULL), ERR_OK);
    for (size_t from = 0; from < out.n;) {
        ptrdiff_t end = str_find(strbuf_str(&out), STR("\n"), from);
        assert_true(end >= 0 && (size_t)end - from <= 80);
        from = (size_t)end + 1;
    }
    strbuf_fini(&out);
}

static void test_commands_sound(void **state) {
    (void)state;
    for (const command *const *c = commands; *c; c++) {
        assert_ptr_equal(command_find(str_from((*c)->name)), *c);
        assert_true(((*c)->subs == NULL) == ((*c)->run != NULL));
        if (!(*c)->subs)
            command_is_sound(*c);
        for (const command *const *sub = (*c)->subs; sub && *sub; sub++) {
            str name = str_from((*sub)->name), head = str_from((*c)->name);
            assert_true(str_starts(name, head) && name.p[head.n] == ' ');
            assert_ptr_equal(command_find_sub(*c, str_sub(name, head.n + 1, name.n)), *sub);
            command_is_sound(*sub);
        }
    }
}

static void test_command_errors(void **state) {
    (void)state;
    err e;
    assert_int_equal(command_unknown(STR("tokenise"), &e), ERR_USAGE);
    assert_string_equal(e.text, "no command \"tokenise\" (did you mean \"tokenize\"?)");
    char *argv[] = {(char[]){"--nothing"}};
    assert_int_equal(command_run_with(&command_tokenize, 1, argv, &e), ERR_USAGE);
    assert_string_equal(e.text, "tokenize: no option --nothing (--help lists them)");
    assert_int_equal(command_run_with(&command_tokenize, 0, NULL, &e), ERR_USAGE);
    assert_int_equal(command_exit_status(ERR_OK), 0);
    assert_int_equal(command_exit_status(ERR_USAGE), 2);
    assert_int_equal(command_exit_status(ERR_MISMATCH), 3);
    assert_int_equal(command_exit_status(ERR_FORMAT), 1);
    assert_int_equal(command_exit_status(ERR_CANCELLED), 130);
}

static void test_ids(void **state) {
    (void)state;
    tok_ids ids = {0};
    err e;
    assert_int_equal(ids_parse(STR("1,2  3,\t4\n"), &ids, &e), ERR_OK);
    assert_int_equal(ids_parse(STR("[5, 2147483647]"), &ids, &e), ERR_OK);
    const int32_t want[] = {1, 2, 3, 4, 5, INT32_MAX};
    assert_int_equal(ids.n, 6);
    assert_memory_equal(ids.id, want, sizeof want);
    static const str bad[] = {{"-1", 2}, {"1x", 2}, {"2147483648", 10}, {"1.5", 3}, {"1\0", 2}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(ids_parse(bad[i], &ids, &e), ERR_USAGE);
    assert_int_equal(ids_parse(STR("4 word 5"), &ids, &e), ERR_USAGE);
    assert_string_equal(e.text, "\"word\" is not a token id");
    tok_ids_fini(&ids);
}

/* Joins lines; returns how many were taken for the first message. */
static size_t joined(const char *const *lines, const char *want) {
    line_joiner j = {0};
    bool complete = false;
    size_t n = 0;
    while (lines[n] && !complete)
        assert_int_equal(line_join(&j, str_from(lines[n++]), &complete, NULL), ERR_OK);
    assert_true(complete);
    assert_true(str_is(strbuf_str(&j.text), want));
    strbuf_fini(&j.text);
    return n;
}

static void test_lines(void **state) {
    (void)state;
    assert_int_equal(joined((const char *const[]){"one", "two", NULL}, "one"), 1);
    assert_int_equal(joined((const char *const[]){"one\\", "two\\", "three", "x", NULL}, "one\ntwo\nthree"), 3);
    assert_int_equal(joined((const char *const[]){"\"\"\"a", "b\\", "\"\"\"", "x", NULL}, "a\nb\\\n"), 3);
    assert_int_equal(joined((const char *const[]){"\"\"\"", "/clear", "z\"\"\" ", "x", NULL}, "/clear\nz"), 3);
    assert_int_equal(joined((const char *const[]){"\"\"\"all\"\"\"", "x", NULL}, "all"), 1);
    assert_int_equal(joined((const char *const[]){"", "x", NULL}, ""), 1);
    assert_int_equal(joined((const char *const[]){"say \"\"\"", "x", NULL}, "say \"\"\""), 1);
}

static void test_dialog(void **state) {
    (void)state;
    dialog d = {0}, read = {0};
    err e;
    assert_int_equal(dialog_add(&d, STR("user"), STR("one \"quoted\"\n"), &e), ERR_OK);
    assert_int_equal(dialog_add(&d, STR("assistant"), STR("two"), &e), ERR_OK);
    assert_int_equal(dialog_system(&d, STR("be short"), &e), ERR_OK);
    assert_int_equal(d.n, 3);
    assert_true(str_is(d.m[0].content, "be short"));
    assert_true(str_is(d.m[1].role, "user"));
    assert_int_equal(dialog_system(&d, STR("be long"), &e), ERR_OK);
    assert_int_equal(d.n, 3);
    assert_true(str_is(d.m[0].content, "be long"));
    const char *tmp = getenv("LOAM_TMP");
    strbuf path = {0};
    assert_int_equal(strbuf_addf(&path, &e, "%s/dialog.json%c", tmp ? tmp : "/tmp", 0), ERR_OK);
    assert_int_equal(dialog_save(&d, path.p, &e), ERR_OK);
    assert_int_equal(dialog_load(&read, path.p, &e), ERR_OK);
    assert_int_equal(read.n, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(str_eq(read.m[i].role, d.m[i].role));
        assert_true(str_eq(read.m[i].content, d.m[i].content));
    }
    static const char *const bad[] = {
        "[]",
        "{\"messages\": [{\"role\": \"wizard\", \"content\": \"\"}]}",
        "{\"messages\": [{\"role\": \"user\"}]}",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"\"}, {\"role\": \"system\", \"content\": \"\"}]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(os_write_file(path.p, str_from(bad[i]), &e), ERR_OK);
        assert_int_not_equal(dialog_load(&read, path.p, &e), ERR_OK);
        assert_int_equal(read.n, 3); /* as before */
    }
    remove(path.p);
    dialog_clear(&d);
    assert_int_equal(d.n, 1);
    assert_int_equal(dialog_system(&d, (str){0}, &e), ERR_OK);
    assert_int_equal(d.n, 0);
    dialog_drop(&d);
    assert_int_equal(dialog_last_role(&d).n, 0);
    strbuf_fini(&path);
    dialog_fini(&d);
    dialog_fini(&read);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),          cmocka_unit_test(test_refused),        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_find),           cmocka_unit_test(test_help_text),      cmocka_unit_test(test_ids),
        cmocka_unit_test(test_commands_sound), cmocka_unit_test(test_command_errors), cmocka_unit_test(test_lines),
        cmocka_unit_test(test_dialog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
