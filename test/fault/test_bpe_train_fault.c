/* Training a tokenizer: a failed allocation is an error and no leak; without one the result is the same as ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fault/fault.h"
#include "tok/bpe_train.h"

static const str special[] = {{"<|end|>", 7}};

static err_code train(str text, strbuf *json, err *e) {
    bpe_train_options o = {.n_vocab = 700,
                           .pattern = &bpe_patterns[1],
                           .special = special,
                           .n_special = 1,
                           .min_count = 1,
                           .piece_bytes_max = 64};
    bpe_trainer *t;
    err_code code = bpe_train_open(&t, &o, NULL, e);
    if (code != ERR_OK)
        return code;
    code = bpe_train_add(t, text, e);
    if (code == ERR_OK)
        code = bpe_train_learn(t, e);
    if (code == ERR_OK)
        code = bpe_train_json(t, json, e);
    bpe_train_close(t);
    return code;
}

static void every_allocation(void **state) {
    (void)state;
    strbuf text = {0}, want = {0}, json = {0};
    uint64_t x = 1;
    for (int i = 0; i < 6000; i++) {
        char word[24];
        x = x * 6364136223846793005u + 1442695040888963407u;
        size_t n = 1 + (x >> 33) % 22;
        for (size_t k = 0; k < n; k++)
            word[k] = (char)('a' + (x >> (40 + k)) % 7);
        word[n++] = ' ';
        assert_int_equal(strbuf_add(&text, (str){word, n}, NULL), ERR_OK);
    }
    assert_int_equal(train(strbuf_str(&text), &want, NULL), ERR_OK);
    FAULT_EACH(FAULT_MEMORY, 400) {
        err e = {0};
        json.n = 0;
        err_code code = train(strbuf_str(&text), &json, &e);
        fault_end(code == ERR_OK);
        assert_true(code == ERR_OK || (code == ERR_MEMORY && e.text[0]));
        if (code == ERR_OK)
            assert_true(str_eq(strbuf_str(&json), strbuf_str(&want)));
    }
    strbuf_fini(&text);
    strbuf_fini(&want);
    strbuf_fini(&json);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
