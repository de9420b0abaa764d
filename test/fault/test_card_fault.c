/* A card under a shortage of memory, or with a file that cannot be read: an error, no leak; without one the same text
 * as ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/os.h"
#include "card/bom.h"
#include "card/page.h"
#include "fault/fault.h"

static char path[3100];

static void add(strbuf *b, const void *p, size_t n) { assert_int_equal(strbuf_add(b, (str){p, n}, NULL), ERR_OK); }
static void add_u32(strbuf *b, uint32_t x) { add(b, &x, sizeof x); }
static void add_u64(strbuf *b, uint64_t x) { add(b, &x, sizeof x); }
static void add_text(strbuf *b, const char *s) {
    add_u64(b, strlen(s));
    add(b, s, strlen(s));
}

/* One tensor, and what a model says of itself. */
static int make(void **state) {
    (void)state;
    static const char *const keys[][2] = {
        {"general.architecture", "llama"},
        {"general.name", "Small"},
        {"general.license", "mit"},
        {"loam.recipe", "{\"model\": {\"width\": 4}}"},
        {"loam.data.digest", "37a9940228a33513ca202046741ee5168c52e03d7ac074c05585de69c65eac25"}};
    enum { KEYS = sizeof keys / sizeof *keys };
    const char *tmp = getenv("LOAM_TMP");
    strbuf b = {0};
    snprintf(path, sizeof path, "%s/card-%d.gguf", tmp ? tmp : "/tmp", (int)getpid());
    add(&b, "GGUF", 4);
    add_u32(&b, 3);
    add_u64(&b, 1);
    add_u64(&b, KEYS);
    for (size_t i = 0; i < KEYS; i++) {
        add_text(&b, keys[i][0]);
        add_u32(&b, 8);
        add_text(&b, keys[i][1]);
    }
    add_text(&b, "w");
    add_u32(&b, 1);
    add_u64(&b, 8);
    add_u32(&b, 0);
    add_u64(&b, 0);
    while (b.n % 32)
        add(&b, "", 1);
    static const float values[8] = {0};
    add(&b, values, sizeof values);
    assert_int_equal(os_write_file(path, strbuf_str(&b), NULL), ERR_OK);
    strbuf_fini(&b);
    return 0;
}

static int clean(void **state) {
    (void)state;
    return unlink(path);
}

/* Every form, one behind the other. */
static err_code write_all(strbuf *out, err *e) {
    card_facts f;
    facts_options fo = {.created = 0};
    bom_options b = {.tool = "0", .released = -1, .data_released = -1};
    openness o;
    page p;
    TRY(facts_open(&f, path, &fo, e));
    err_code code = openness_of(&f, &o, e);
    if (code == ERR_OK)
        code = page_of(&p, &f, &o, e);
    if (code == ERR_OK)
        code = markdown_write(&p, out, e);
    if (code == ERR_OK)
        code = html_write(&p, out, e);
    if (code == ERR_OK)
        code = spdx_write(&f, &o, &b, out, e);
    if (code == ERR_OK)
        code = cyclonedx_write(&f, &o, &b, out, e);
    if (code == ERR_OK)
        code = summary_write(&f, &o, out, e);
    facts_close(&f);
    return code;
}

static void each(fault_kind kind) {
    strbuf want = {0}, out = {0};
    assert_int_equal(write_all(&want, NULL), ERR_OK);
    FAULT_EACH(kind, 5000) {
        err e = {0};
        out.n = 0;
        err_code code = write_all(&out, &e);
        fault_end(code == ERR_OK);
        assert_true(code == ERR_OK || ((code == ERR_MEMORY || code == ERR_IO) && e.text[0]));
        if (code == ERR_OK)
            assert_true(str_eq(strbuf_str(&out), strbuf_str(&want)));
        strbuf_fini(&out);
    }
    strbuf_fini(&want);
}

static void memory(void **state) {
    (void)state;
    each(FAULT_MEMORY);
}

static void reading(void **state) {
    (void)state;
    each(FAULT_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(memory), cmocka_unit_test(reading)};
    return cmocka_run_group_tests(tests, make, clean);
}
