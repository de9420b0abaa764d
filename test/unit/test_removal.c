/* removal: a record is read as it was written, to the byte; nothing that was changed passes; documents and removals
 * together must be what there was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "train/removal.h"

static hash256 hash_n(int i) { return hash_of(&i, sizeof i); }
static int by_digest(const void *a, const void *b) { return memcmp(a, b, sizeof(hash256)); }

/* A run over documents 0..9 (4 twice), then without 2 and one 4, then without 7. */
typedef struct {
    recipe recipe; /* of the last */
    dataset_key left[8];
    strbuf text;
} story;

static hash256 data_of(const int *docs, size_t n) {
    hash256 h[16];
    for (size_t i = 0; i < n; i++)
        h[i] = hash_n(docs[i]);
    qsort(h, n, sizeof *h, by_digest);
    return hash_of(h, n * sizeof *h);
}

static void make(story *s) {
    static const int all[] = {0, 1, 2, 3, 4, 4, 5, 6, 7, 8}, some[] = {0, 1, 3, 4, 5, 6, 7, 8},
                     few[] = {0, 1, 3, 4, 5, 6, 8};
    memset(s, 0, sizeof *s);
    recipe r[3];
    memset(r, 0, sizeof r);
    const int *const set[] = {all, some, few};
    static const size_t n[] = {10, 8, 7};
    for (int i = 0; i < 3; i++) {
        memcpy(r[i].model.arch, "qwen3", 6);
        memcpy(r[i].optimizer.schedule, "cosine", 7);
        r[i].data.digest = data_of(set[i], n[i]);
        r[i].data.documents = n[i];
    }
    s->recipe = r[2];
    hash256 first[] = {hash_n(2), hash_n(4)}, second[] = {hash_n(7)}, before;
    qsort(first, 2, sizeof *first, by_digest);
    removal line[] = {
        {.query = (char *)(uintptr_t) "topic:a\"b\n\xC3\xA9", .first = 17, .kept = 12, .sha256 = first, .n = 2},
        {.query = (char *)(uintptr_t) "", .sha256 = second, .n = 1}};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(removal_side_of(&r[i], &line[i].from, NULL), ERR_OK);
        assert_int_equal(removal_side_of(&r[i + 1], &line[i].to, NULL), ERR_OK);
        line[i].chain = hash_n(1000 + i);
        assert_int_equal(removal_text(&line[i], i ? &before : NULL, &s->text, NULL), ERR_OK);
        before = line[i].digest;
    }
    for (size_t i = 0; i < 7; i++)
        s->left[i].sha256 = hash_n(few[i]);
}

static void read_as_written(void **state) {
    (void)state;
    story s;
    removals all = {0};
    make(&s);
    assert_int_equal(removals_parse(&all, strbuf_str(&s.text), NULL), ERR_OK);
    assert_int_equal(all.n, 2);
    assert_string_equal(all.line[0].query, "topic:a\"b\n\xC3\xA9");
    assert_int_equal(all.line[0].first, 17);
    assert_int_equal(all.line[0].kept, 12);
    assert_int_equal(all.line[0].n, 2);
    strbuf again = {0};
    for (size_t i = 0; i < all.n; i++)
        assert_int_equal(removal_text(&all.line[i], i ? &all.line[i - 1].digest : NULL, &again, NULL), ERR_OK);
    assert_true(str_eq(strbuf_str(&again), strbuf_str(&s.text)));
    hash256 *list;
    size_t n;
    assert_int_equal(removals_gather(&all, &list, &n, NULL), ERR_OK);
    assert_int_equal(n, 3);
    for (size_t i = 1; i < n; i++)
        assert_true(by_digest(&list[i - 1], &list[i]) <= 0);
    free(list);
    removals_fini(&all);
    strbuf_fini(&again);
    strbuf_fini(&s.text);
}

/* Every bit of every byte. */
static void no_changed_bit_passes(void **state) {
    (void)state;
    story s;
    make(&s);
    for (size_t i = 0; i < s.text.n; i++)
        for (int bit = 0; bit < 8; bit++) {
            removals all = {0};
            err e = {0};
            s.text.p[i] ^= (char)(1 << bit);
            err_code code = removals_parse(&all, strbuf_str(&s.text), &e);
            assert_true(code == ERR_FORMAT || code == ERR_MISMATCH || code == ERR_UNSUPPORTED);
            assert_true(strncmp(e.text, "line ", 5) == 0);
            removals_fini(&all);
            s.text.p[i] ^= (char)(1 << bit);
        }
    for (size_t n = 1; n < s.text.n; n++) { /* torn anywhere but between the lines */
        removals all = {0};
        bool whole = s.text.p[n - 1] == '\n';
        assert_int_equal(removals_parse(&all, (str){s.text.p, n}, NULL), whole ? ERR_OK : ERR_FORMAT);
        removals_fini(&all);
    }
    strbuf_fini(&s.text);
}

static void lines_in_another_order_are_refused(void **state) {
    (void)state;
    story s;
    make(&s);
    strbuf turned = {0};
    size_t cut = (size_t)((char *)memchr(s.text.p, '\n', s.text.n) - s.text.p) + 1;
    strbuf_add(&turned, str_sub(strbuf_str(&s.text), cut, s.text.n), NULL);
    strbuf_add(&turned, str_sub(strbuf_str(&s.text), 0, cut), NULL);
    removals all = {0};
    assert_int_equal(removals_parse(&all, strbuf_str(&turned), NULL), ERR_MISMATCH);
    removals_fini(&all);
    strbuf_fini(&turned);
    strbuf_fini(&s.text);
}

static void documents_and_removals_make_what_there_was(void **state) {
    (void)state;
    story s;
    removals all = {0};
    err e = {0};
    make(&s);
    assert_int_equal(removals_parse(&all, strbuf_str(&s.text), NULL), ERR_OK);
    assert_int_equal(removals_check(&all, &s.recipe, s.left, 7, &e), ERR_OK);
    assert_int_equal(removals_check(&all, &s.recipe, s.left, 6, &e), ERR_MISMATCH);
    assert_non_null(strstr(e.text, "line 2"));
    s.left[3].sha256 = hash_n(99);
    assert_int_equal(removals_check(&all, &s.recipe, s.left, 7, &e), ERR_MISMATCH);
    strbuf_fini(&s.text);
    make(&s);
    s.recipe.data.documents++;
    assert_int_equal(removals_check(&all, &s.recipe, s.left, 7, &e), ERR_MISMATCH);
    strbuf_fini(&s.text);
    make(&s);
    all.line[0].sha256[0] = hash_n(99); /* what a record sealed anew would say */
    assert_int_equal(removals_check(&all, &s.recipe, s.left, 7, &e), ERR_MISMATCH);
    assert_non_null(strstr(e.text, "line 1"));
    removals_fini(&all);
    assert_int_equal(removals_check(&all, &s.recipe, s.left, 7, &e), ERR_OK); /* none */
    strbuf_fini(&s.text);
}

static void a_file_that_is_not_there_has_none(void **state) {
    (void)state;
    removals all = {0};
    assert_int_equal(removals_read(&all, "/nowhere/removals.jsonl", NULL), ERR_OK);
    assert_int_equal(all.n, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_as_written),
        cmocka_unit_test(no_changed_bit_passes),
        cmocka_unit_test(lines_in_another_order_are_refused),
        cmocka_unit_test(documents_and_removals_make_what_there_was),
        cmocka_unit_test(a_file_that_is_not_there_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
