/* recipe: text and struct are the same thing; whatever is missing, unknown, out of range or contradictory is refused by
 * name; numbers keep every bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "text/json.h"
#include "train/recipe.h"

static recipe good(void) {
    return (recipe){
        .arithmetic = 1,
        .model = {.arch = "qwen3",
                  .layers = 4,
                  .width = 128,
                  .heads = 4,
                  .kv_heads = 2,
                  .head_width = 32,
                  .ff = 384,
                  .vocab = 2048,
                  .ctx = 256,
                  .tied = true,
                  .rope_theta = 10000,
                  .norm_eps = 1e-6},
        .data = {.digest = hash_of("d", 1), .documents = 4000, .val_share = 0.01},
        .tokenizer = {.digest = hash_of("t", 1), .end = 1},
        .batch = {.sequences = 16, .micro = 8},
        .init = {.seed = 7, .embed = 0.02, .gain = 0.5},
        .optimizer = {.steps = 1000,
                      .schedule = "cosine",
                      .lr = 0.003,
                      .min_lr = 0.0003,
                      .warmup = 100,
                      .beta1 = 0.9,
                      .beta2 = 0.95,
                      .eps = 1e-8,
                      .decay = 0.1,
                      .clip = 1},
        .chain = {.roots_every = 100},
    };
}

/* Of tuning: an adapter, with every spare key. */
static recipe tuned(void) {
    recipe r = good();
    r.base.digest = hash_of("b", 1);
    r.tokenizer.digest = (hash256){{0}};
    r.tokenizer.end = 0;
    r.init.embed = r.init.gain = 0;
    r.tune.template = hash_of("j", 1);
    r.tune.date = 86400;
    r.tune.drop_long = r.tune.rslora = r.tune.dora = r.tune.best = true;
    r.tune.rank = 16;
    r.tune.alpha = 32;
    r.tune.beta = 0.1;
    r.tune.patience = 3;
    snprintf(r.tune.method, sizeof r.tune.method, "%s", "lora");
    snprintf(r.tune.objective, sizeof r.tune.objective, "%s", "dpo");
    snprintf(r.tune.roles, sizeof r.tune.roles, "%s", "assistant");
    snprintf(r.tune.parts, sizeof r.tune.parts, "%s", "q_proj");
    snprintf(r.tune.layers, sizeof r.tune.layers, "%s", "0-5,8");
    return r;
}

static void a_recipe_of_tuning_has_a_base(void **state) {
    (void)state;
    recipe r = tuned(), again;
    strbuf text = {0}, second = {0};
    err e = {0};
    assert_true(recipe_is_tuning(&r) && recipe_has_adapter(&r));
    assert_int_equal(recipe_text(&r, &text, &e), ERR_OK);
    str s = strbuf_str(&text);
    assert_int_equal(recipe_parse(&again, s, &e), ERR_OK);
    assert_int_equal(recipe_text(&again, &second, &e), ERR_OK);
    assert_true(str_eq(s, strbuf_str(&second)));
    strbuf_addc(&text, 0, NULL);
    assert_non_null(strstr(text.p, "\"base\": {"));
    assert_non_null(strstr(text.p, "\"layers\": \"0-5,8\""));
    assert_null(strstr(text.p, "tokenizer"));
    assert_null(strstr(text.p, "embed"));
    const struct {
        const char *was, *is, *word;
        err_code code;
    } rows[] = {
        {"\"base\": {", "\"beer\": {", "beer", ERR_UNSUPPORTED},
        {"\"seed\": 7", "\"seed\": 7, \"gain\": 1", "init.gain", ERR_FORMAT},
        {"\"lora\"", "\"all\"", "none of lora, full", ERR_USAGE},
        {"\"lora\"", "\"full\"", "tune.rank", ERR_USAGE},
        {"\"dpo\"", "\"text\"", "tune.beta", ERR_USAGE},
        {"\"val_share\": 0.01", "\"val_share\": 0", "tune.patience", ERR_USAGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *at = strstr(text.p, rows[i].was);
        assert_non_null(at);
        strbuf other = {0};
        strbuf_add(&other, (str){text.p, (size_t)(at - text.p)}, NULL);
        strbuf_add(&other, str_from(rows[i].is), NULL);
        strbuf_add(&other, str_from(at + strlen(rows[i].was)), NULL);
        assert_int_equal(recipe_parse(&again, strbuf_str(&other), &e), rows[i].code);
        assert_non_null(strstr(e.text, rows[i].word));
        strbuf_fini(&other);
    }
    strbuf_fini(&text);
    strbuf_fini(&second);
}

static void text_and_struct_are_the_same(void **state) {
    (void)state;
    recipe r = good(), again;
    strbuf text = {0}, second = {0};
    err e = {0};
    assert_int_equal(recipe_text(&r, &text, &e), ERR_OK);
    assert_int_equal(recipe_parse(&again, strbuf_str(&text), &e), ERR_OK);
    assert_int_equal(recipe_text(&again, &second, &e), ERR_OK);
    assert_true(str_eq(strbuf_str(&text), strbuf_str(&second)));
    hash256 h, want = hash_of(text.p, text.n);
    assert_int_equal(recipe_digest(&again, &h, &e), ERR_OK);
    assert_memory_equal(&h, &want, sizeof h);
    assert_true(str_find(strbuf_str(&text), STR("\"lr\": 0.003,"), 0) > 0); /* not 0.0030000000000000001 */
    strbuf_fini(&text);
    strbuf_fini(&second);
}

/* Every key of the text: missing, of another type, and one more beside it. */
static void every_key_is_needed_and_no_other(void **state) {
    (void)state;
    recipe r = good(), out;
    strbuf text = {0};
    assert_int_equal(recipe_text(&r, &text, NULL), ERR_OK);
    json_t *root = NULL, *v, *w;
    assert_int_equal(json_read(strbuf_str(&text), text.n, &root, NULL), ERR_OK);
    const char *section, *name;
    size_t n = 0;
    json_object_foreach(root, section, v) {
        for (int what = 0; what < 3; what++) {
            if (!json_is_object(v)) {
                json_t *copy = json_deep_copy(root);
                if (what == 0)
                    json_object_del(copy, section);
                else
                    json_object_set_new(copy, what == 1 ? section : "stranger", json_array());
                char *dump = json_dumps(copy, 0);
                assert_int_not_equal(recipe_parse(&out, str_from(dump), NULL), ERR_OK);
                free(dump);
                json_decref(copy);
                continue;
            }
            json_object_foreach(v, name, w) {
                json_t *copy = json_deep_copy(root), *inner = json_object_get(copy, section);
                if (what == 0)
                    json_object_del(inner, name);
                else
                    json_object_set_new(inner, what == 1 ? name : "stranger", json_array());
                char *dump = json_dumps(copy, 0);
                err e = {0};
                if (recipe_parse(&out, str_from(dump), &e) == ERR_OK || !strstr(e.text, what < 2 ? name : "stranger"))
                    fail_msg("%s.%s, %d: %s", section, name, what, e.text);
                free(dump);
                json_decref(copy);
                n++;
            }
        }
    }
    assert_true(n == 3 * 35);
    json_decref(root);
    strbuf_fini(&text);
}

static void answers_need_marks(void **state) {
    (void)state;
    recipe r = good(), out;
    strbuf text = {0};
    err e = {0};
    r.data.elsewhere = 0.25;
    assert_int_equal(recipe_check(&r, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "data.answers has no marks"));
    memcpy(r.data.answers, "A:,Plan:", 9);
    assert_int_equal(recipe_text(&r, &text, NULL), ERR_OK);
    assert_true(str_find(strbuf_str(&text), STR("\"answers\": \"A:,Plan:\",\n    \"elsewhere\": 0.25\n  }"), 0) >= 0);
    assert_int_equal(recipe_parse(&out, strbuf_str(&text), NULL), ERR_OK);
    assert_string_equal(out.data.answers, "A:,Plan:");
    assert_true(out.data.elsewhere == 0.25);
    memcpy(r.data.answers, "A:,,B:", 7);
    assert_int_equal(recipe_check(&r, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "mark is empty"));
    strbuf_fini(&text);
}

/* What recipes of before did not have: missing means false, false is not written, anything but a flag is refused. */
static void what_may_be_missing_is_false(void **state) {
    (void)state;
    recipe r = good(), out;
    strbuf text = {0}, plain = {0};
    assert_int_equal(recipe_text(&r, &plain, NULL), ERR_OK);
    assert_true(str_find(strbuf_str(&plain), STR("parse_special"), 0) < 0);
    r.tokenizer.parse_special = true;
    assert_int_equal(recipe_text(&r, &text, NULL), ERR_OK);
    assert_true(str_find(strbuf_str(&text), STR("\"end\": 1,\n    \"parse_special\": true\n  },\n  \"batch\""), 0) >=
                0);
    assert_int_equal(recipe_parse(&out, strbuf_str(&text), NULL), ERR_OK);
    assert_true(out.tokenizer.parse_special);
    assert_int_equal(recipe_parse(&out, strbuf_str(&plain), NULL), ERR_OK);
    assert_false(out.tokenizer.parse_special);
    strbuf what = {0};
    assert_int_equal(recipe_difference(&r, &out, &what, NULL), ERR_OK);
    assert_true(str_is(strbuf_str(&what), "tokenizer.parse_special is true here and false there"));
    json_t *root = NULL;
    assert_int_equal(json_read(strbuf_str(&text), text.n, &root, NULL), ERR_OK);
    json_object_set_new(json_object_get(root, "tokenizer"), "parse_special", json_string("parse"));
    char *dump = json_dumps(root, 0);
    err e = {0};
    assert_int_equal(recipe_parse(&out, str_from(dump), &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, "tokenizer.parse_special: must be true or false"));
    json_object_set_new(json_object_get(root, "tokenizer"), "parse_special", json_false());
    free(dump);
    dump = json_dumps(root, 0);
    text.n = 0;
    assert_int_equal(recipe_parse(&out, str_from(dump), &e), ERR_OK);
    assert_int_equal(recipe_text(&out, &text, NULL), ERR_OK);
    assert_true(str_eq(strbuf_str(&text), strbuf_str(&plain)));
    free(dump);
    json_decref(root);
    strbuf_fini(&what);
    strbuf_fini(&text);
    strbuf_fini(&plain);
}

#define REFUSED(change, word)                                                \
    do {                                                                     \
        recipe r = good();                                                   \
        err e = {0};                                                         \
        change;                                                              \
        if (recipe_check(&r, &e) != ERR_USAGE || !strstr(e.text, word))      \
            fail_msg("%s: %s", #change, e.code ? e.text : "taken for good"); \
    } while (0)

static void contradictions_are_named(void **state) {
    (void)state;
    recipe r0 = good();
    assert_int_equal(recipe_check(&r0, NULL), ERR_OK);
    REFUSED(r.arithmetic = 2, "arithmetic");
    REFUSED(memcpy(r.model.arch, "qwen9", 6), "model.arch");
    REFUSED(r.model.kv_heads = 3, "model.kv_heads");
    REFUSED(r.model.head_width = 31, "model.head_width");
    REFUSED(r.model.layers = 0, "model.layers");
    REFUSED(r.model.window = 256, "model.window");
    REFUSED(r.tokenizer.end = 2048, "tokenizer.end");
    REFUSED(r.batch.micro = 5, "batch.micro");
    REFUSED(r.batch.sequences = 1 << 20; r.batch.micro = 1 << 20, "batch.micro");
    REFUSED(memcpy(r.optimizer.schedule, "cosin", 6), "optimizer.schedule");
    REFUSED(r.optimizer.min_lr = 0.004, "optimizer.min_lr");
    REFUSED(r.optimizer.warmup = 1001, "optimizer.warmup");
    REFUSED(r.optimizer.cooldown = 10, "optimizer.cooldown");
    REFUSED(memcpy(r.optimizer.schedule, "wsd", 4), "optimizer.cooldown");
    REFUSED(r.optimizer.lr = __builtin_nan(""), "optimizer.lr");
    REFUSED(r.optimizer.beta2 = 1, "optimizer.beta2");
    REFUSED(r.optimizer.eps = 0, "optimizer.eps");
    REFUSED(r.optimizer.steps = 0, "optimizer.steps");
    REFUSED(r.data.val_share = 0.6, "data.val_share");
    REFUSED(r.data.documents = 0, "data.documents");
    REFUSED(r.chain.roots_every = 0, "chain.roots_every");
}

static void a_difference_is_named(void **state) {
    (void)state;
    recipe a = good(), b = good();
    strbuf text = {0};
    assert_int_equal(recipe_difference(&a, &b, &text, NULL), ERR_OK);
    assert_int_equal(text.n, 0);
    b.optimizer.lr = 0.002;
    b.chain.roots_every = 7;
    assert_int_equal(recipe_difference(&a, &b, &text, NULL), ERR_OK);
    assert_true(str_is(strbuf_str(&text), "optimizer.lr is 0.003 here and 0.002 there"));
    strbuf_fini(&text);
}

static void shapes_of_every_family(void **state) {
    (void)state;
    static const char *const family[] = {"llama", "mistral", "qwen2", "qwen3",   "gemma2", "gemma3_text",
                                         "olmo2", "olmo3",   "phi3",  "smollm3", "granite"};
    for (size_t i = 0; i < sizeof family / sizeof *family; i++) {
        recipe r = good();
        arena mem = {0};
        model_config c;
        err e = {0};
        memset(r.model.arch, 0, sizeof r.model.arch);
        memcpy(r.model.arch, family[i], strlen(family[i]));
        r.model.window = i % 2 ? 64 : 0;
        if (recipe_config(&r, &c, &mem, &e) != ERR_OK)
            fail_msg("%s", e.text);
        assert_true(c.L == 4 && c.D == 128 && c.H == 4 && c.G == 2 && c.K == 32 && c.F == 384 && c.V == 2048);
        assert_true(c.ctx_train == 256 && c.tied && c.norm_eps == 1e-6 && c.rope.theta == 10000);
        if (strcmp(family[i], "granite") != 0)
            assert_true(c.attn_scale > 0.1767 && c.attn_scale < 0.1768); /* 1 / sqrt(32) */
        arena_fini(&mem);
    }
}

static void hostile_texts(void **state) {
    (void)state;
    static const char *const bad[] = {
        "", "{", "[]", "null", "{}", "{\"format\": \"loam recipe 2\"}", "{\"format\": 1}"};
    recipe r;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_not_equal(recipe_parse(&r, str_from(bad[i]), NULL), ERR_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_struct_are_the_same),
        cmocka_unit_test(a_recipe_of_tuning_has_a_base),
        cmocka_unit_test(every_key_is_needed_and_no_other),
        cmocka_unit_test(answers_need_marks),
        cmocka_unit_test(what_may_be_missing_is_false),
        cmocka_unit_test(contradictions_are_named),
        cmocka_unit_test(a_difference_is_named),
        cmocka_unit_test(shapes_of_every_family),
        cmocka_unit_test(hostile_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
