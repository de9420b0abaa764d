/* Signing and checking: a failed allocation or call of the system is an error, no leak, and no half-written file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/os.h"
#include "fault/fault.h"
#include "sign/sign.h"

static char dir[3000], model[3100], key[3100], key_pub[3100], other[3100], other_pub[3100], sig[3100];

static void place(char out[3100], const char *name) { snprintf(out, 3100, "%s/%s", dir, name); }

static int make(void **state) {
    (void)state;
    const char *tmp = getenv("LOAM_TMP");
    char file[3100];
    snprintf(dir, sizeof dir, "%s/sign-fault-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return -1;
    place(model, "m");
    place(key, "k");
    place(key_pub, "k.pub");
    place(other, "o");
    place(other_pub, "o.pub");
    place(sig, "m/model.sig");
    place(file, "m/a");
    return mkdir(model, 0755) || os_write_file(file, STR("some bytes"), NULL) != ERR_OK ||
           sign_key_new(key, "P-256", (str){0}, NULL) != ERR_OK;
}

static int clean(void **state) {
    (void)state;
    char file[3100];
    place(file, "m/a");
    remove(file);
    remove(sig);
    remove(model);
    remove(key);
    remove(key_pub);
    return remove(dir);
}

static err_code whole(bool checking, err *e) {
    sign_key *k;
    sign_report r;
    sign_options o = {0};
    TRY(checking ? sign_key_open_public(&k, key_pub, e) : sign_key_open_private(&k, key, (str){0}, e));
    err_code code = (checking ? sign_check : sign_make)(model, k, &o, &r, e);
    if (code == ERR_OK)
        sign_report_fini(&r);
    sign_key_close(k);
    return code;
}

static void each(fault_kind kind, bool checking) {
    FAULT_EACH(kind, 400) {
        err e = {0};
        err_code code = whole(checking, &e);
        if (kind == FAULT_MEMORY || checking)
            fault_end(code == ERR_OK);
        else
            fault_end_any(); /* a file gets its name by other means where one fails */
        assert_true(code == ERR_OK || ((code == ERR_MEMORY || code == ERR_IO) && e.text[0]));
    }
}

static void signing(void **state) {
    (void)state;
    each(FAULT_MEMORY, false);
    each(FAULT_IO, false);
}

static void checking(void **state) {
    (void)state;
    assert_int_equal(whole(false, NULL), ERR_OK);
    each(FAULT_MEMORY, true);
    each(FAULT_IO, true);
}

static void no_half_key(void **state) {
    (void)state;
    FAULT_EACH(FAULT_IO, 100) {
        err e = {0};
        err_code code = sign_key_new(other, "P-256", (str){0}, &e);
        fault_end_any(); /* a folder that cannot be brought to disk is no failure */
        assert_int_equal(os_exists(other), code == ERR_OK);
        assert_int_equal(os_exists(other_pub), code == ERR_OK);
        remove(other);
        remove(other_pub);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(signing), cmocka_unit_test(checking),
                                       cmocka_unit_test(no_half_key)};
    return cmocka_run_group_tests(tests, make, clean);
}
