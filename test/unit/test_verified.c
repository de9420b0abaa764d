/* verified: a note comes back as it was written; it holds for its chain alone; what says less does not replace it; what
 * is malformed is worth nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "train/verified.h"
#include "unit/gguf_build.h"

static hash256 hash_n(int i) { return hash_of(&i, sizeof i); }

static verified note(uint64_t steps, verify_how how, int which) {
    verified v = {.how = how,
                  .steps = steps,
                  .of_steps = 30,
                  .segments = 2,
                  .of_segments = 5,
                  .arithmetic = 1,
                  .isa = "avx2",
                  .date = "2026-11-25T12:00:00Z",
                  .chain = hash_n(which)};
    return v;
}

static verified kept(const char *path) {
    verified v;
    err e = {0};
    if (verified_read(&v, path, &e) != ERR_OK)
        fail_msg("%s", e.text);
    return v;
}

static void keep(verified v, const char *path) {
    err e = {0};
    if (verified_keep(&v, path, &e) != ERR_OK)
        fail_msg("%s", e.text);
}

static void comes_back(void **state) {
    (void)state;
    const char *path = build_path("verified.json");
    unlink(path);
    verified v = kept(path);
    assert_false(v.there);
    assert_int_equal(verified_state_of(&v, hash_n(1)), VERIFIED_NEVER);
    keep(note(12, VERIFY_SPOT, 1), path);
    v = kept(path);
    assert_true(v.there && !v.differs && !v.at_step && v.how == VERIFY_SPOT && v.steps == 12 && v.of_steps == 30);
    assert_true(v.segments == 2 && v.of_segments == 5 && v.arithmetic == 1 && v.from == 0);
    assert_string_equal(v.date, "2026-11-25T12:00:00Z");
    assert_string_equal(v.isa, "avx2");
    assert_int_equal(verified_state_of(&v, hash_n(1)), VERIFIED_HOLDS);
    assert_int_equal(verified_state_of(&v, hash_n(2)), VERIFIED_OUTDATED);
    verified bad = note(4, VERIFY_ALL, 1);
    bad.differs = bad.at_step = true;
    bad.step = 5;
    snprintf(bad.difference, sizeof bad.difference, "%s", "chain.jsonl: step 5: \"loss\" is \xC3\xA9");
    keep(bad, path);
    v = kept(path);
    assert_true(v.differs && v.at_step && v.step == 5);
    assert_string_equal(v.difference, bad.difference);
    assert_int_equal(verified_state_of(&v, hash_n(1)), VERIFIED_DIFFERS);
}

/* A passed check of fewer steps, or one that has not looked at the difference, leaves what is there. */
static void the_weightier_stays(void **state) {
    (void)state;
    const char *path = build_path("verified.json");
    unlink(path);
    keep(note(30, VERIFY_ALL, 1), path);
    keep(note(6, VERIFY_SPOT, 1), path);
    assert_int_equal(kept(path).steps, 30);
    keep(note(6, VERIFY_SPOT, 2), path); /* of another chain */
    assert_int_equal(kept(path).steps, 6);
    verified bad = note(3, VERIFY_SPOT, 2);
    bad.differs = bad.at_step = true;
    bad.step = 13;
    keep(bad, path);
    assert_true(kept(path).differs);
    keep(note(25, VERIFY_SPOT, 2), path);
    assert_true(kept(path).differs);
    verified later = note(14, VERIFY_FROM, 2);
    later.from = 20;
    keep(later, path);
    assert_true(kept(path).differs);
    later.from = 13;
    keep(later, path);
    assert_false(kept(path).differs);
    keep(bad, path);
    keep(note(30, VERIFY_ALL, 2), path);
    assert_false(kept(path).differs);
}

static void malformed_is_worth_nothing(void **state) {
    (void)state;
    const char *path = build_path("verified.json");
    unlink(path);
    keep(note(12, VERIFY_SPOT, 1), path);
    strbuf text = {0};
    err e = {0};
    verified v;
    assert_int_equal(os_read_file(path, 1 << 16, &text, &e), ERR_OK);
    for (size_t n = 0; n + 1 < text.n; n++) { /* cut anywhere */
        assert_int_equal(os_write_file(path, str_sub(strbuf_str(&text), 0, n), &e), ERR_OK);
        assert_int_equal(verified_read(&v, path, &e), ERR_FORMAT);
        assert_true(v.there && strncmp(e.text, path, strlen(path)) == 0);
        assert_int_equal(verified_state_of(&v, hash_n(1)), VERIFIED_OUTDATED);
    }
    static const char *const other[] = {
        "[]",
        "{\"verified\":2}",
        "{\"verified\":1,\"date\":\"2026-11-25T12:00:00Z, and much more than that\"}",
        "{\"verified\":1,\"date\":\"\",\"result\":\"fine\"}",
        "{\"verified\":1,\"date\":\"\",\"result\":\"as recorded\",\"what\":\"files\"}",
        "{\"verified\":1,\"date\":\"\",\"result\":\"differs\",\"what\":\"whole\",\"from\":-1}",
    };
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        assert_int_equal(os_write_file(path, str_from(other[i]), &e), ERR_OK);
        assert_int_equal(verified_read(&v, path, &e), ERR_FORMAT);
    }
    keep(note(6, VERIFY_SPOT, 1), path); /* and is replaced */
    assert_int_equal(kept(path).steps, 6);
    strbuf_fini(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back),
        cmocka_unit_test(the_weightier_stays),
        cmocka_unit_test(malformed_is_worth_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
