/* trace under shortage and failing disks: making, opening and searching an index fail cleanly, and the index that was
 * there before stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "fault/fault.h"
#include "trace/indexer.h"
#include "trace/origin.h"
#include "trace/spans.h"

static const char *path_of(void) {
    static char path[256];
    const char *tmp = getenv("LOAM_TMP");
    snprintf(path, sizeof path, "%s/trace-fault-%ld", tmp && *tmp ? tmp : "/tmp", (long)getpid());
    return path;
}

static const char *const texts[] = {"the red lamp is in the hall", "Ana's green lamp", "the lamp", "a lamp"};
enum { N_TEXTS = 4 };

static err_code next_text(void *ctx, bool *got, int64_t *id, str *text, err *e) {
    (void)e;
    size_t *at = ctx;
    *got = *at < N_TEXTS;
    if (*got) {
        *text = str_from(texts[*at]);
        *id = (int64_t)++ * at;
    }
    return ERR_OK;
}

static err_code make(size_t shard_bytes, err *e) {
    size_t at = 0;
    indexer_options o = {.shard_bytes = shard_bytes};
    return indexer_make(path_of(), &(indexer_source){next_text, &at}, &o, e);
}

/* The index at path_of() is whole, and has so many shards. */
static size_t shards(void) {
    suffix *x = NULL;
    err e = {0};
    if (suffix_open(&x, path_of(), &e) != ERR_OK)
        fail_msg("%s", e.text);
    size_t n = suffix_totals_of(x).n_shards;
    suffix_close(x);
    return n;
}

static void check_error(const err *e, err_code code, fault_kind kind) {
    assert_int_equal(e->code, code);
    assert_true(e->text[0]);
    assert_true(code == ERR_IO || (kind == FAULT_MEMORY && code == ERR_MEMORY));
}

/* A folder that cannot be opened to bring it to disk is no error, so a failing disk may go unreported there. */
static void making(fault_kind kind) {
    FAULT_EACH(kind, 2000) {
        err e = {0};
        fault.armed = false;
        assert_int_equal(make(0, NULL), ERR_OK);
        fault.armed = true;
        err_code code = make(20, &e);
        if (kind == FAULT_MEMORY)
            fault_end(code == ERR_OK);
        else
            fault_end_any();
        if (code != ERR_OK)
            check_error(&e, code, kind);
        size_t n = shards();
        assert_true(n == 3 || (code != ERR_OK && n == 1));
    }
    unlink(path_of());
}

static void make_memory(void **state) {
    (void)state;
    making(FAULT_MEMORY);
}

static void make_disk(void **state) {
    (void)state;
    making(FAULT_IO);
    fault.no_nameless = true;
    making(FAULT_IO);
    fault.no_nameless = false;
}

static void opening(void **state) {
    (void)state;
    const fault_kind kinds[] = {FAULT_MEMORY, FAULT_IO};
    assert_int_equal(make(20, NULL), ERR_OK);
    for (int i = 0; i < 2; i++)
        FAULT_EACH(kinds[i], 200) {
            suffix *x = NULL;
            err e = {0};
            err_code code = suffix_open(&x, path_of(), &e);
            fault_end(code == ERR_OK);
            if (code != ERR_OK) {
                check_error(&e, code, kinds[i]);
                assert_null(x);
            }
            suffix_close(x);
        }
    for (int i = 0; i < 2; i++)
        FAULT_EACH(kinds[i], 20) {
            hash256 h;
            err e = {0};
            err_code code = origin_of_file(path_of(), &h, &e);
            fault_end(code == ERR_OK);
            if (code != ERR_OK)
                check_error(&e, code, kinds[i]);
        }
    unlink(path_of());
}

static void searching(void **state) {
    (void)state;
    suffix *x = NULL;
    assert_int_equal(make(20, NULL), ERR_OK);
    assert_int_equal(suffix_open(&x, path_of(), NULL), ERR_OK);
    FAULT_EACH(FAULT_MEMORY, 200) {
        spans s;
        err e = {0};
        err_code code = spans_find(x, STR("the red lamp and Ana's lamp"), &(spans_options){.docs_max = 3}, &s, &e);
        fault_end(code == ERR_OK);
        if (code == ERR_OK) {
            assert_int_equal(s.n, 3);
            spans_fini(&s);
        } else
            check_error(&e, code, FAULT_MEMORY);
    }
    suffix_close(x);
    unlink(path_of());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(make_memory),
        cmocka_unit_test(make_disk),
        cmocka_unit_test(opening),
        cmocka_unit_test(searching),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
