/* learner: a step allocates nothing; a failed allocation while a model or a learner is made is one clear error and no
 * leak. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "fault/fault.h"
#include "model/adapter.h"
#include "model/learner.h"

enum { N = 40 };

static const int32_t ids[N] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3};
static const float weight[N] = {1, 1, 1, 0, 0, 1, 1};
static const segment segments[] = {{0, 17}, {17, N}};
static const batch some = {.ids = ids, .target = ids, .weight = weight, .n = N, .segment = segments, .n_segments = 2};

static const adapter_shape dora = {.rank = 3, .alpha = 6, .dora = true, .parts = LORA_ALL};

static model_config shape(void) {
    static const uint8_t slides[] = {1, 0};
    static const float divide[] = {1, 2};
    return (model_config){.arch = arch_by_name(STR("gemma3_text")),
                          .name = STR("made"),
                          .D = 18,
                          .H = 2,
                          .G = 1,
                          .K = 6,
                          .F = 20,
                          .V = 30,
                          .L = 2,
                          .ctx_train = 100,
                          .window = 9,
                          .layer_slides = slides,
                          .norm_eps = 1e-5,
                          .rope_width = 4,
                          .rope = {.theta = 100, .attn_factor = 1, .divide_short = divide, .divide_long = divide},
                          .rope_local = {.theta = 30, .attn_factor = 1},
                          .embed_scale = 2,
                          .residual_scale = 1,
                          .attn_scale = 0.4,
                          .logit_scale = 1,
                          .tied = true};
}

static void a_step_allocates_nothing(void **state) {
    (void)state;
    enum { MANY = 1000000 };
    const model_config c = shape();
    for (int which = 0; which < 4; which++) {
        bool recompute = which % 2;
        model *m = NULL;
        adapter *a = NULL;
        learner *l = NULL;
        err e = {0};
        double sum;
        assert_int_equal(model_create(&m, &c, &(model_options){0}, &e), ERR_OK);
        if (which > 1)
            assert_int_equal(adapter_create(&a, m, &dora, 1, &e), ERR_OK);
        fault.kind = FAULT_MEMORY;
        fault.countdown = MANY;
        fault.armed = true;
        err_code code =
            learner_open(&l, m, &(learner_options){.tokens_max = N, .adapter = a, .recompute = recompute}, &e);
        long opening = MANY - fault.countdown;
        fault.countdown = MANY;
        for (int i = 0; i < 2 && code == ERR_OK; i++) {
            code = learner_gradient(l, &some, NULL, &sum, &e);
            if (code == ERR_OK)
                code = learner_loss(l, &some, NULL, &sum, &e);
            if (a)
                adapter_refresh(a);
        }
        fault.armed = false;
        assert_int_equal(code, ERR_OK);
        assert_int_equal(MANY - fault.countdown, 0);
        assert_true(opening > 0); /* the counter counts */
        learner_close(l);
        adapter_close(a);
        model_close(m);
    }
}

static void making_survives_shortage(void **state) {
    (void)state;
    const model_config c = shape();
    FAULT_EACH(FAULT_MEMORY, 500) {
        model *m = NULL;
        adapter *a = NULL;
        learner *l = NULL, *tuner = NULL;
        err e = {0};
        err_code code = model_create(&m, &c, &(model_options){0}, &e);
        if (code == ERR_OK)
            code = learner_open(&l, m, &(learner_options){.tokens_max = N}, &e);
        if (code == ERR_OK)
            code = adapter_create(&a, m, &dora, 1, &e);
        if (code == ERR_OK)
            code = learner_open(&tuner, m, &(learner_options){.tokens_max = N, .adapter = a}, &e);
        fault_end(code == ERR_OK);
        assert_true(code == ERR_OK || code == ERR_MEMORY);
        assert_true((code == ERR_OK) == (tuner != NULL));
        assert_int_equal(e.code, code);
        learner_close(tuner);
        adapter_close(a);
        learner_close(l);
        model_close(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(making_survives_shortage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
