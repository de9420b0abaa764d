/* size: shapes come near what was asked for, and whatever the dial gives is a sound recipe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "train/size.h"

static recipe begin(const char *family, uint64_t vocab, uint64_t ctx, const char *kind) {
    recipe r = {.arithmetic = 1,
                .model = {.vocab = vocab, .ctx = ctx, .tied = true, .rope_theta = 10000, .norm_eps = 1e-6},
                .data = {.documents = 10},
                .init = {.embed = 0.02, .gain = 0.5},
                .optimizer = {.beta1 = 0.9,
                              .beta2 = 0.95,
                              .eps = 1e-8,
                              .decay = 0.1,
                              .clip = 1,
                              .steps = SIZE_OPEN,
                              .warmup = SIZE_OPEN,
                              .cooldown = SIZE_OPEN,
                              .lr = -1,
                              .min_lr = -1},
                .batch = {SIZE_OPEN, SIZE_OPEN},
                .chain = {.roots_every = SIZE_OPEN}};
    memcpy(r.model.arch, family, strlen(family));
    memcpy(r.optimizer.schedule, kind, strlen(kind));
    return r;
}

static void every_size_gives_a_sound_recipe(void **state) {
    (void)state;
    static const char *const kind[] = {"cosine", "linear", "constant", "wsd"};
    for (uint64_t params = 10000; params < 4000000000u; params = params * 8 / 5)
        for (size_t i = 0; i < 4; i++) {
            recipe r = begin("qwen3", 2048, i % 2 ? 256 : 1000, kind[i]);
            err e = {0};
            size_shape(&r, params);
            size_course(&r);
            if (recipe_check(&r, &e) != ERR_OK)
                fail_msg("%llu: %s", (unsigned long long)params, e.text);
            double near = (double)size_params(&r) / (double)params;
            if (params > 300000 && !(near > 0.7 && near < 1.4))
                fail_msg("%llu parameters wanted, %.2f times as many", (unsigned long long)params, near);
        }
}

static void what_was_said_stays(void **state) {
    (void)state;
    recipe r = begin("llama", 512, 128, "cosine");
    r.batch.sequences = 6;
    r.batch.micro = 3;
    r.optimizer.lr = 0.5;
    r.optimizer.min_lr = 0.25;
    r.optimizer.steps = 77;
    r.optimizer.warmup = 0;
    r.chain.roots_every = 3;
    size_shape(&r, 1000000);
    size_course(&r);
    assert_true(r.batch.sequences == 6 && r.batch.micro == 3 && r.optimizer.lr == 0.5 && r.optimizer.min_lr == 0.25 &&
                r.optimizer.steps == 77 && r.optimizer.warmup == 0 && r.chain.roots_every == 3 &&
                r.optimizer.cooldown == 0);
}

static void rates_are_round_numbers(void **state) {
    (void)state;
    recipe r = begin("qwen3", 2048, 256, "cosine");
    size_shape(&r, 600000);
    size_course(&r);
    strbuf text = {0};
    assert_int_equal(strbuf_add_real(&text, r.optimizer.lr, 1, NULL), ERR_OK);
    assert_true(text.n <= 6);
    strbuf_fini(&text);
}

static void counts_equal_those_of_known_shapes(void **state) {
    (void)state;
    recipe r = begin("qwen3", 100, 64, "cosine"); /* by hand */
    r.model.layers = 2;
    r.model.width = 8;
    r.model.heads = 2;
    r.model.kv_heads = 1;
    r.model.head_width = 4;
    r.model.ff = 16;
    assert_int_equal(size_params(&r), 800 + 8 + 2 * (2 * 64 + 2 * 32 + 3 * 128 + 16 + 8));
    r.model.tied = false;
    assert_int_equal(size_params(&r), 1600 + 8 + 2 * (2 * 64 + 2 * 32 + 3 * 128 + 16 + 8));
    r.model.tied = true;
    memcpy(r.model.arch, "qwen2", 6);
    assert_int_equal(size_params(&r), 800 + 8 + 2 * (2 * 64 + 2 * 32 + 3 * 128 + 16 + 16));
}

static void wishes_in_words(void **state) {
    (void)state;
    uint64_t n;
    err e = {0};
    assert_true(size_parse("tiny", &n, &e) == ERR_OK && n == 600000);
    assert_true(size_parse("600k", &n, &e) == ERR_OK && n == 600000);
    assert_true(size_parse("1.5M", &n, &e) == ERR_OK && n == 1500000);
    assert_true(size_parse("20000", &n, &e) == ERR_OK && n == 20000);
    static const char *const bad[] = {"", "huge", "5MM", "5x", "-5M", "1", "nan", "1e99", "11G", "k"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(size_parse(bad[i], &n, &e), ERR_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_gives_a_sound_recipe),
        cmocka_unit_test(what_was_said_stays),
        cmocka_unit_test(rates_are_round_numbers),
        cmocka_unit_test(counts_equal_those_of_known_shapes),
        cmocka_unit_test(wishes_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
