/* chain: what is written is read again; every byte of a line is sealed; other forms are refused; files grow, are cut
 * and locked. */
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
#include "train/chain.h"
#include "unit/gguf_build.h"

enum { STEPS = 8 };

static chain_line line_of(uint64_t step) {
    chain_line l = {.step = step, .recipe = {{0}}};
    if (step == 0) {
        l.recipe = hash_of("recipe", 6);
    } else {
        static const double loss[] = {4.5, 0x1.8f3a2cp+1, 0, 1, 0x1p-1074, 0x1.fffffffffffffp+1023, 0.1, 12};
        l.loss = loss[step % 8];
        l.norm = 1 / (double)step;
        l.docs[1] = step;
        l.docs[2] = 1;
        l.docs[3] = 2 * step;
        l.targets = 100 + step;
    }
    l.has_roots = step % 4 == 0;
    if (l.has_roots)
        l.weights = hash_of(&step, sizeof step);
    if (l.has_roots && step)
        l.moments = hash_of("m", 1);
    l.has_held_out = l.has_roots && step % 8 == 0 && step;
    l.held_out = l.has_held_out ? 1.25 : 0;
    return l;
}

static void write_chain(strbuf *out) {
    hash256 before = {{0}};
    for (uint64_t i = 0; i <= STEPS; i++) {
        chain_line l = line_of(i);
        assert_int_equal(chain_text(&l, &before, out, NULL), ERR_OK);
        before = l.digest;
    }
}

static void what_is_written_is_read_again(void **state) {
    (void)state;
    strbuf text = {0}, difference = {0};
    write_chain(&text);
    chain c;
    assert_int_equal(chain_parse_all(&c, strbuf_str(&text), NULL), ERR_OK);
    assert_int_equal(c.n, STEPS + 1);
    assert_false(c.torn);
    assert_int_equal(c.end[STEPS], text.n);
    for (uint64_t i = 0; i <= STEPS; i++) {
        chain_line want = line_of(i);
        assert_int_equal(chain_difference(&c.line[i], &want, &difference, NULL), ERR_OK);
        assert_int_equal(difference.n, 0);
        assert_memory_equal(&c.line[i].loss, &want.loss, sizeof want.loss);
    }
    chain_fini(&c);
    strbuf_fini(&text);
}

static void the_documented_form(void **state) {
    (void)state;
    strbuf text = {0};
    chain_line zero = {.has_roots = true},
               one = {.step = 1, .loss = 3, .norm = 0.75, .docs = {0, 0, 0, 14}, .targets = 9};
    assert_int_equal(chain_text(&zero, NULL, &text, NULL), ERR_OK);
    assert_int_equal(chain_text(&one, &zero.digest, &text, NULL), ERR_OK);
    const char *want = "{\"step\":1,\"loss\":\"0x1.8p+1\",\"norm\":\"0x1.8p-1\",\"docs\":[0,0,0,14],\"targets\":9";
    char sealed[32 + 200], hex[65];
    memcpy(sealed, zero.digest.byte, 32);
    memcpy(sealed + 32, want, strlen(want));
    hash256 h = hash_of(sealed, 32 + strlen(want));
    assert_memory_equal(&h, &one.digest, sizeof h);
    hash_hex(h, hex);
    char tail[400];
    snprintf(tail, sizeof tail, "\n%s,\"digest\":\"%s\"}\n", want, hex);
    assert_true(str_ends(strbuf_str(&text), str_from(tail)));
    strbuf_fini(&text);
}

static void every_byte_is_sealed(void **state) {
    (void)state;
    strbuf text = {0};
    write_chain(&text);
    size_t mismatches = 0;
    for (size_t i = 0; i < text.n; i++) {
        char was = text.p[i];
        /* Another digit where there is one, so that most lines stay well-formed. */
        text.p[i] = was >= '0' && was < '9'   ? (char)(was + 1)
                    : was >= 'a' && was < 'f' ? (char)(was + 1)
                    : was == '9'              ? '8'
                                              : ' ';
        if (text.p[i] == was)
            text.p[i] = 'x';
        chain c;
        err e = {0};
        err_code code = chain_parse_all(&c, strbuf_str(&text), &e);
        if (code == ERR_OK && !(was == '\n' && i + 1 == text.n && c.torn))
            fail_msg("byte %zu ('%c' instead of '%c') was not noticed", i, text.p[i], was);
        if (code != ERR_OK && !strstr(e.text, "line of step "))
            fail_msg("byte %zu: %s", i, e.text);
        mismatches += code == ERR_MISMATCH;
        chain_fini(&c);
        text.p[i] = was;
    }
    assert_true(mismatches > 800);
    strbuf_fini(&text);
}

static void lines_taken_out_or_swapped_are_noticed(void **state) {
    (void)state;
    strbuf text = {0};
    chain c;
    write_chain(&text);
    assert_int_equal(chain_parse_all(&c, strbuf_str(&text), NULL), ERR_OK);
    strbuf less = {0};
    strbuf_add(&less, str_sub(strbuf_str(&text), 0, c.end[3]), NULL);
    strbuf_add(&less, str_sub(strbuf_str(&text), c.end[4], text.n), NULL);
    chain d;
    err e = {0};
    assert_int_equal(chain_parse_all(&d, strbuf_str(&less), &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, "line of step 4: is of step 5"));
    chain_fini(&c);
    strbuf_fini(&less);
    strbuf_fini(&text);
}

static void a_torn_line_is_left_out(void **state) {
    (void)state;
    strbuf text = {0};
    write_chain(&text);
    chain c;
    assert_int_equal(chain_parse_all(&c, str_sub(strbuf_str(&text), 0, text.n - 5), NULL), ERR_OK);
    assert_int_equal(c.n, STEPS);
    assert_true(c.torn);
    chain_fini(&c);
    assert_int_equal(chain_parse_all(&c, (str){NULL, 0}, NULL), ERR_OK);
    assert_int_equal(c.n, 0);
    chain_fini(&c);
    strbuf_fini(&text);
}

static void other_forms_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"step\":0}",
        "{\"step\":1,\"loss\":\"1.5\",\"norm\":\"0x1p+0\",\"docs\":[0,0,0,0],\"targets\":1,\"digest\":\"\"}",
        "{\"step\":1,\"loss\":\"nan\",\"norm\":\"0x1p+0\",\"docs\":[0,0,0,0],\"targets\":1,\"digest\":\"\"}",
        "{\"step\":1,\"loss\":\"0x3p+0\",\"norm\":\"0x1p+0\",\"docs\":[0,0,0,0],\"targets\":1,\"digest\":\"\"}",
        "{\"step\":-1,\"loss\":\"0x1p+0\",\"norm\":\"0x1p+0\",\"docs\":[0,0,0,0],\"targets\":1,\"digest\":\"\"}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        chain_line l;
        assert_int_not_equal(chain_parse(str_from(bad[i]), &l, NULL), ERR_OK);
    }
    /* Well-formed but for one thing: blanks, another order, a key too many. */
    chain_line zero = {.has_roots = true}, l;
    strbuf text = {0}, other = {0};
    assert_int_equal(chain_text(&zero, NULL, &text, NULL), ERR_OK);
    str good = {text.p, text.n - 1};
    assert_int_equal(chain_parse(good, &l, NULL), ERR_OK);
    strbuf_addf(&other, NULL, " %.*s", (int)good.n, good.p);
    assert_int_equal(chain_parse(strbuf_str(&other), &l, NULL), ERR_FORMAT);
    other.n = 0;
    strbuf_addf(&other, NULL, "%.*s,\"x\":1}", (int)good.n - 1, good.p);
    assert_int_equal(chain_parse(strbuf_str(&other), &l, NULL), ERR_FORMAT);
    strbuf_fini(&text);
    strbuf_fini(&other);
}

static void differences_are_named(void **state) {
    (void)state;
    chain_line a = line_of(4), b;
    static const char *const want[] = {
        "documents are",       "targets are 104 here", "loss is 0x0.0000000000001p-1022 here",
        "norm is 0x1p-2 here", "the weights' root",    "the moments' root"};
    for (int i = 0; i < 6; i++) {
        strbuf text = {0};
        b = a;
        if (i == 0)
            b.docs[3]++;
        if (i == 1)
            b.targets++;
        if (i == 2)
            b.loss = 1;
        if (i == 3)
            b.norm = 1;
        if (i == 4)
            b.weights.byte[31] ^= 1;
        if (i == 5)
            b.moments.byte[0] ^= 1;
        b.digest.byte[0] ^= 1; /* never looked at */
        assert_int_equal(chain_difference(&a, &b, &text, NULL), ERR_OK);
        if (!str_starts(strbuf_str(&text), str_from(want[i])))
            fail_msg("%.*s", STR_ARG(strbuf_str(&text)));
        strbuf_fini(&text);
    }
}

static void files_grow_are_cut_and_locked(void **state) {
    (void)state;
    const char *path = build_path("chain.jsonl");
    appendfile *f = NULL, *second = NULL;
    err e = {0};
    strbuf text = {0};
    assert_int_equal(appendfile_open(&f, path, &e), ERR_OK);
    assert_int_equal(appendfile_add(f, STR("abc"), &e), ERR_OK);
    assert_int_equal(appendfile_add(f, STR("defg"), &e), ERR_OK);
    assert_int_equal(appendfile_truncate(f, 5, &e), ERR_OK);
    assert_int_equal(appendfile_add(f, STR("X"), &e), ERR_OK);
    assert_int_equal(appendfile_truncate(f, 60, &e), ERR_USAGE);
    assert_int_equal(appendfile_sync(f, &e), ERR_OK);
    assert_int_equal(appendfile_open(&second, path, &e), ERR_IO);
    assert_non_null(strstr(e.text, "in use"));
    appendfile_close(f);
    assert_int_equal(appendfile_open(&second, path, &e), ERR_OK);
    appendfile_close(second);
    assert_int_equal(os_read_file(path, 100, &text, &e), ERR_OK);
    assert_true(str_is(strbuf_str(&text), "abcdeX"));
    strbuf_fini(&text);
    unlink(path);
    assert_int_equal(appendfile_open(&f, "/dev/null", &e), ERR_IO);
    assert_int_equal(appendfile_open(&f, "/nowhere/at/all", &e), ERR_IO);
    chain c;
    assert_int_equal(chain_read(&c, path, &e), ERR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_again), cmocka_unit_test(the_documented_form),
        cmocka_unit_test(every_byte_is_sealed),          cmocka_unit_test(lines_taken_out_or_swapped_are_noticed),
        cmocka_unit_test(a_torn_line_is_left_out),       cmocka_unit_test(other_forms_are_refused),
        cmocka_unit_test(differences_are_named),         cmocka_unit_test(files_grow_are_cut_and_locked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
