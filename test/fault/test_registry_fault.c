/* The registry and the hub's parsers: a failed allocation or call of the system is an error, no leak, and no model
 * lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fault/fault.h"
#include "hub/huggingface.h"
#include "hub/ollama.h"
#include "hub/part.h"
#include "hub/take.h"
#include "unit/registry_home.h"

static err_code take_in(const char *name, const char *file, err *e) {
    registry *r;
    hub_ref ref;
    offer o;
    taken t;
    http_options http = {.offline = true};
    take_options how = {.name = name};
    TRY(ref_parse(&ref, str_from(file), e));
    TRY(registry_open(&r, registry_of, true, NULL, e));
    err_code code = take_local_offer(&o, &ref, e);
    if (code == ERR_OK) {
        code = take_offer(r, &o, &http, &how, &t, e);
        offer_close(&o);
    }
    registry_close(r);
    return code;
}

static err_code count(void *ctx, const registry_model *m, err *e) {
    (void)e;
    *(size_t *)ctx += m->n_files == 1;
    return ERR_OK;
}

static err_code look_up(const char *name, size_t *n, err *e) {
    registry *r;
    bool found;
    *n = 0;
    TRY(registry_open(&r, registry_of, false, NULL, e));
    err_code code = registry_find(r, str_from(name), count, n, &found, e);
    registry_close(r);
    return code;
}

static void each(fault_kind kind) {
    size_t n;
    assert_int_equal(take_in("first", own_file, NULL), ERR_OK);
    FAULT_EACH(kind, 400) {
        err e = {0};
        err_code code = take_in("second", own_file, &e);
        if (kind == FAULT_MEMORY)
            fault_end(code == ERR_OK);
        else
            fault_end_any(); /* a reflink that fails becomes a hard link */
        assert_true(code == ERR_OK || e.text[0]);
        assert_int_equal(look_up("first", &n, NULL), ERR_OK); /* whatever happened */
        assert_int_equal(n, 1);
    }
    assert_int_equal(look_up("second", &n, NULL), ERR_OK);
    assert_int_equal(n, 1);
}

static void taking_without_memory(void **state) {
    (void)state;
    each(FAULT_MEMORY);
}

static void taking_without_files(void **state) {
    (void)state;
    each(FAULT_IO);
}

static void checking(void **state) {
    (void)state;
    assert_int_equal(take_in("first", own_file, NULL), ERR_OK);
    FAULT_EACH(FAULT_MEMORY, 200) {
        err e = {0};
        size_t n;
        err_code code = look_up("first", &n, &e);
        fault_end(code == ERR_OK);
        assert_true(code == ERR_OK || code == ERR_MEMORY);
    }
}

static err_code read_offers(err *e) {
    static const char *const hf =
        "{\"sha\":\"c\",\"cardData\":{\"license\":\"mit\"},\"siblings\":[{\"rfilename\":\"m-Q8_0.gguf\",\"size\":1,"
        "\"blobId\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}]}";
    hub_ref ref;
    offer o;
    TRY(ref_parse(&ref, STR("hf:a/b"), e));
    TRY(huggingface_read(&o, &ref, "https://hub", "/none", str_from(hf), e));
    assert_true(o.n == 1 && str_is(o.name, "a/b:Q8_0") && str_is(o.licence, "mit"));
    offer_close(&o);
    return ERR_OK;
}

static void parsing(void **state) {
    (void)state;
    FAULT_EACH(FAULT_MEMORY, 400) {
        err e = {0};
        err_code code = read_offers(&e);
        fault_end(code == ERR_OK);
        assert_true(code == ERR_OK || code == ERR_MEMORY);
    }
}

static err_code fill(err *e) {
    char path[1200];
    part *p;
    uint64_t from, to;
    snprintf(path, sizeof path, "%s/x", registry_dir);
    TRY(part_open(&p, path, 5, "tag", NULL, e));
    err_code code = part_claim(p, 1, &from, &to) ? part_write(p, 0, "12345", 5, e) : ERR_OK;
    if (code != ERR_OK) {
        part_close(p);
        return code;
    }
    return part_finish(p, e);
}

static void downloading(void **state) {
    (void)state;
    FAULT_EACH(FAULT_MEMORY, 100) {
        err e = {0};
        fault_end(fill(&e) == ERR_OK);
    }
    FAULT_EACH(FAULT_IO, 100) {
        err e = {0};
        err_code code = fill(&e);
        fault_end_any(); /* a state that cannot be read is begun anew */
        assert_true(code == ERR_OK || code == ERR_IO);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(taking_without_memory, make_home, delete_home),
        cmocka_unit_test_setup_teardown(taking_without_files, make_home, delete_home),
        cmocka_unit_test_setup_teardown(checking, make_home, delete_home),
        cmocka_unit_test(parsing),
        cmocka_unit_test_setup_teardown(downloading, make_home, delete_home),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
