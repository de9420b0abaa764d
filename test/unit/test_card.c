/* card: texts are cleaned, licences are judged as they are meant, times are the calendar's, and what is known of
 * nothing makes every form all the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "base/rng.h"
#include "card/bom.h"
#include "card/licence.h"
#include "card/page.h"
#include "text/json.h"
#include "text/utf8.h"

static void texts_are_cleaned(void **state) {
    (void)state;
    static const struct {
        const char *told, *is;
    } known[] = {{"plain", "plain"},
                 {"  two\t\r\n words  ", "two words"},
                 {"a\x1b[2Jb", "a\xef\xbf\xbd[2Jb"},
                 {"a\xff"
                  "b\xc0\x80",
                  "a\xef\xbf\xbd"
                  "b\xef\xbf\xbd\xef\xbf\xbd"},
                 {"\xe2\x80\xae"
                  "abc",
                  "\xef\xbf\xbd"
                  "abc"},
                 {"\xc2\x85", "\xef\xbf\xbd"},
                 {"\xe4\xb8\x96\xf0\x9f\x91\x8b", "\xe4\xb8\x96\xf0\x9f\x91\x8b"},
                 {"", ""}};
    card_facts f = {0};
    str s;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_int_equal(facts_clean(&f, str_from(known[i].told), &s, NULL), ERR_OK);
        if (!str_is(s, known[i].is))
            fail_msg("%zu: \"%.*s\"", i, STR_ARG(s));
    }
    /* any bytes: valid, one line, bounded, and the same when cleaned again */
    static char long_text[9000];
    uint64_t draw = 0;
    for (int turn = 0; turn < 2000; turn++) {
        size_t n = (size_t)rng_u64(5, RNG_TEST, draw++) % (turn % 10 ? 40 : sizeof long_text);
        for (size_t i = 0; i < n; i++)
            long_text[i] = (char)rng_u64(5, RNG_TEST, draw++);
        str again;
        assert_int_equal(facts_clean(&f, (str){long_text, n}, &s, NULL), ERR_OK);
        assert_true(utf8_valid(s) && s.n <= FACTS_TEXT_BYTES_MAX + 8);
        for (size_t i = 0; i < s.n; i++)
            assert_true((uint8_t)s.p[i] >= 0x20 && s.p[i] != 0x7f);
        assert_int_equal(facts_clean(&f, s, &again, NULL), ERR_OK);
        assert_true(s.n > FACTS_TEXT_BYTES_MAX - 8 || str_eq(s, again));
    }
    facts_close(&f);
}

static void licences_are_judged(void **state) {
    (void)state;
    static const struct {
        const char *told, *spdx;
        bool open;
    } known[] = {{"", "", false},
                 {"apache-2.0", "Apache-2.0", true},
                 {"MIT", "MIT", true},
                 {"cc-by-nc-4.0", "CC-BY-NC-4.0", false},
                 {"gemma", "LicenseRef-gemma", false},
                 {"llama3.1 community", "LicenseRef-llama3.1-community", false},
                 {"gpl-3.0", "GPL-3.0-only", true},
                 {"MIT and cc-by-nc-4.0", "MIT AND CC-BY-NC-4.0", false},
                 {"mit or CC-BY-NC-4.0", "MIT OR CC-BY-NC-4.0", true},
                 {"(MIT OR Apache-2.0) AND CC0-1.0", "(MIT OR Apache-2.0) AND CC0-1.0", true},
                 {"MIT AND (CC-BY-NC-4.0 OR LicenseRef-x)", "MIT AND (CC-BY-NC-4.0 OR LicenseRef-x)", false},
                 {"MIT OR CC-BY-NC-4.0 AND LicenseRef-x", "MIT OR CC-BY-NC-4.0 AND LicenseRef-x", true},
                 {"LicenseRef-public-domain", "LicenseRef-public-domain", true},
                 {"MIT OR", "LicenseRef-MIT-OR", false},
                 {"MIT MIT", "LicenseRef-MIT-MIT", false},
                 {"(MIT", "LicenseRef--MIT", false},
                 {"AND", "LicenseRef-AND", false},
                 {"<b>\xff", "LicenseRef--b--", false}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        strbuf b = {0};
        assert_int_equal(licence_spdx(str_from(known[i].told), &b, NULL), ERR_OK);
        if (!str_is(strbuf_str(&b), known[i].spdx) || licence_is_open(strbuf_str(&b)) != known[i].open)
            fail_msg("%s: %.*s, open %d", known[i].told, STR_ARG(strbuf_str(&b)), licence_is_open(strbuf_str(&b)));
        strbuf_fini(&b);
    }
    char deep[4000];
    memset(deep, '(', sizeof deep);
    assert_false(licence_is_open((str){deep, sizeof deep}));
    assert_true(licence_is_listed(STR("CC0-1.0")) && !licence_is_listed(STR("cc0-1.0")) &&
                !licence_is_listed(STR("x")));
    assert_true(licence_is_open(STR("GPL-2.0-or-later WITH Classpath-exception-2.0")));
}

static void times_are_the_calendars(void **state) {
    (void)state;
    card_facts f = {0};
    for (int i = 0; i < 5000; i++) {
        int64_t t = i < 10 ? i * 86399 : (int64_t)(rng_u64(9, RNG_TEST, (uint64_t)i) % 253402300800u);
        time_t seconds = (time_t)t;
        struct tm tm;
        char want[40];
        str is;
        gmtime_r(&seconds, &tm);
        strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%SZ", &tm);
        assert_int_equal(facts_time(&f, t, true, &is, NULL), ERR_OK);
        assert_true(str_is(is, want));
        assert_int_equal(facts_time(&f, t, false, &is, NULL), ERR_OK);
        assert_true(str_starts(str_from(want), is) && is.n == 10);
    }
    assert_true(facts_is_url(STR("https://example.org/a?b#c")) && !facts_is_url(STR("https://")));
    assert_false(facts_is_url(STR("javascript:alert(1)")) || facts_is_url(STR("https://e.org/ x")) ||
                 facts_is_url(STR("https://e.org/\"")));
    facts_close(&f);
}

/* Everything that can be seen is there: both grades are full; one thing less and they are not. */
static void grades(void **state) {
    (void)state;
    card_score score = {
        .task = STR("homeworld"), .kind = STR("facts"), .n = 1, .right = 1, .accuracy = 1, .high = 1, .chance = -1};
    card_facts f = {
        .form = CARD_RUN, .by_loam = true, .score = &score, .n_scores = 1, .tensors = 1, .licence = STR("MIT")};
    openness o;
    f.shape.known = f.data.named = f.data.here = f.training.known = true;
    f.shape.family = STR("qwen3");
    f.data.documents = 10;
    f.data.held_out = 1;
    f.training.checkpoints = 2;
    f.said.report = f.said.paper = STR("https://example.org/");
    assert_int_equal(openness_of(&f, &o, NULL), ERR_OK);
    assert_int_equal(o.mof_class, 1);
    assert_true(o.osaid_met);
    f.said.paper = (str){0};
    assert_int_equal(openness_of(&f, &o, NULL), ERR_OK);
    assert_int_equal(o.mof_class, 2);
    assert_true(o.osaid_met);
    f.data.unknown_documents = 1;
    assert_int_equal(openness_of(&f, &o, NULL), ERR_OK);
    assert_int_equal(o.mof_class, 2); /* the data are Class I's */
    assert_false(o.osaid_met);
    f.by_loam = false;
    assert_int_equal(openness_of(&f, &o, NULL), ERR_OK);
    assert_int_equal(o.mof_class, 3);
    f.licence = STR("CC-BY-NC-4.0");
    assert_int_equal(openness_of(&f, &o, NULL), ERR_OK);
    assert_int_equal(o.mof_class, 0);
    facts_close(&f);
}

static void nothing_known_makes_every_form(void **state) {
    (void)state;
    card_facts f = {.form = CARD_GGUF, .created = -1};
    openness o;
    page p;
    bom_options b = {.tool = "0", .released = -1, .data_released = -1};
    assert_int_equal(openness_of(&f, &o, NULL), ERR_OK);
    assert_int_equal(o.mof_class, 0);
    assert_int_equal(page_of(&p, &f, &o, NULL), ERR_OK);
    for (int form = 0; form < 5; form++) {
        strbuf out = {0};
        json_t *top = NULL;
        assert_int_equal(form == 0   ? markdown_write(&p, &out, NULL)
                         : form == 1 ? html_write(&p, &out, NULL)
                         : form == 2 ? spdx_write(&f, &o, &b, &out, NULL)
                         : form == 3 ? summary_write(&f, &o, &out, NULL)
                                     : cyclonedx_write(&f, &o, &b, &out, NULL),
                         ERR_OK);
        assert_true(out.n > 1000);
        if (form >= 2)
            assert_int_equal(json_read(strbuf_str(&out), out.n, &top, NULL), ERR_OK);
        json_decref(top);
        strbuf_fini(&out);
    }
    facts_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_cleaned),
        cmocka_unit_test(licences_are_judged),
        cmocka_unit_test(times_are_the_calendars),
        cmocka_unit_test(grades),
        cmocka_unit_test(nothing_known_makes_every_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
