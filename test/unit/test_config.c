/* test_config: what config_from_gguf and config_from_json accept, and every limit they keep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>

#include "kern/math64.h"
#include "model/config_int.h"
#include "model/rope.h"
#include "unit/gguf_build.h"

/* ---- GGUF ---- */

typedef enum { U32, F32, STR_, ABSENT, LIST } kind;
typedef struct {
    const char *key;
    kind kind;
    double number;
    const char *text;
} entry;

static const entry plain[] = {
    {"general.architecture", STR_, 0, "llama"},      {"llama.context_length", U32, 512, NULL},
    {"llama.embedding_length", U32, 64, NULL},       {"llama.block_count", U32, 2, NULL},
    {"llama.feed_forward_length", U32, 96, NULL},    {"llama.attention.head_count", U32, 8, NULL},
    {"llama.attention.head_count_kv", U32, 4, NULL}, {"llama.attention.layer_norm_rms_epsilon", F32, 1e-5, NULL},
};
enum { PLAIN = sizeof plain / sizeof *plain, CHANGES_MAX = 6 };

static void put(strbuf *b, const entry *x) {
    switch (x->kind) {
    case U32:
        build_kv_u32(b, x->key, (uint32_t)x->number);
        break;
    case F32:
        build_kv_f32(b, x->key, (float)x->number);
        break;
    case STR_:
        build_kv_str(b, x->key, x->text);
        break;
    case LIST: /* `number` entries: 1, 0, 1, 0 ..., or 8, 9, 10 ... with a `text` */
        build_kv_array(b, x->key, 4, (uint64_t)x->number);
        for (int i = 0; i < (int)x->number; i++)
            build_u32(b, x->text ? 8 + (uint32_t)i : i % 2 == 0);
        break;
    case ABSENT:
        break;
    }
}

/* Reads the plain file with some entries changed, dropped or added. */
static err_code read_changed(const entry *change, model_config *c, arena *mem, err *e) {
    strbuf b = {0};
    uint64_t n = 0;
    const char *path = build_path("config.gguf");
    for (int pass = 0; pass < 2; pass++) {
        b.n = 0;
        build_header(&b, 3, 0, n);
        n = 0;
        for (int i = 0; i < PLAIN; i++) {
            const entry *x = &plain[i];
            for (const entry *y = change; y->key; y++)
                if (strcmp(x->key, y->key) == 0)
                    x = y;
            put(&b, x);
            n += x->kind != ABSENT;
        }
        for (const entry *y = change; y->key; y++) {
            bool known = false;
            for (int i = 0; i < PLAIN; i++)
                known = known || strcmp(plain[i].key, y->key) == 0;
            if (!known && y->kind != ABSENT) {
                put(&b, y);
                n++;
            }
        }
    }
    build_pad(&b, 32);
    build_save(path, strbuf_str(&b));
    strbuf_fini(&b);
    gguf_file g;
    err_code code = gguf_open(&g, path, e);
    if (code == ERR_OK) {
        code = config_from_gguf(c, &g, mem, e);
        gguf_close(&g);
    }
    unlink(path);
    return code;
}

static void gguf_plain(void **state) {
    (void)state;
    model_config c;
    arena mem = {0};
    err e = {0};
    if (read_changed((entry[]){{0}}, &c, &mem, &e))
        fail_msg("%s", e.text);
    assert_true(c.L == 2 && c.D == 64 && c.H == 8 && c.G == 4 && c.K == 8 && c.F == 96 && c.ctx_train == 512);
    assert_true(c.rope_width == 8 && c.rope.theta == 1e4 && c.window == 0 && c.tied);
    assert_true(c.attn_scale == 1 / kern_sqrt64(8) && c.embed_scale == 1 && c.logit_scale == 1);
    arena_fini(&mem);
}

typedef struct {
    entry change[CHANGES_MAX];
    err_code code;
    const char *says; /* part of the message */
} refusal;

static void gguf_refusals(void **state) {
    (void)state;
    static const refusal table[] = {
        {{{"general.architecture", STR_, 0, "mamba"}}, ERR_UNSUPPORTED, "\"mamba\" is not supported"},
        {{{"general.architecture", STR_, 0, "llama4"}}, ERR_UNSUPPORTED, "\"llama4\""},
        {{{"llama.context_length", ABSENT, 0, NULL}}, ERR_FORMAT, "llama.context_length is missing"},
        {{{"llama.embedding_length", ABSENT, 0, NULL}}, ERR_FORMAT, "llama.embedding_length is missing"},
        {{{"llama.block_count", ABSENT, 0, NULL}}, ERR_FORMAT, "llama.block_count is missing"},
        {{{"llama.feed_forward_length", ABSENT, 0, NULL}}, ERR_LIMIT, "feed-forward width"},
        {{{"llama.attention.head_count", ABSENT, 0, NULL}}, ERR_FORMAT, "no attention heads"},
        {{{"llama.attention.layer_norm_rms_epsilon", ABSENT, 0, NULL}}, ERR_FORMAT, "norm epsilon"},
        {{{"llama.block_count", U32, 0, NULL}}, ERR_LIMIT, "layers"},
        {{{"llama.block_count", U32, 1025, NULL}}, ERR_LIMIT, "1025"},
        {{{"llama.embedding_length", U32, 1048577, NULL}}, ERR_LIMIT, "width is 1048577"},
        {{{"llama.attention.head_count", U32, 4097, NULL}}, ERR_LIMIT, "attention heads is 4097"},
        {{{"llama.attention.head_count_kv", U32, 0, NULL}}, ERR_LIMIT, "key/value heads is 0"},
        {{{"llama.attention.head_count_kv", U32, 3, NULL}}, ERR_FORMAT, "cannot share 3"},
        {{{"llama.attention.key_length", U32, 1026, NULL}, {"llama.attention.value_length", U32, 1026, NULL}},
         ERR_LIMIT,
         "head width is 1026"},
        {{{"llama.attention.key_length", U32, 1, NULL}, {"llama.rope.dimension_count", U32, 0, NULL}},
         ERR_FORMAT,
         "head width is 1, must be even"},
        {{{"llama.attention.value_length", U32, 4, NULL}}, ERR_UNSUPPORTED, "value heads of 4"},
        {{{"llama.rope.dimension_count", U32, 10, NULL}}, ERR_FORMAT, "10 rotated dimensions"},
        {{{"llama.rope.dimension_count", U32, 7, NULL}}, ERR_FORMAT, "7 rotated dimensions"},
        {{{"llama.feed_forward_length", U32, 4294967295.0, NULL}}, ERR_LIMIT, "feed-forward width"},
        {{{"llama.feed_forward_length", LIST, 2, "rising"}}, ERR_UNSUPPORTED, "differs from layer to layer"},
        {{{"llama.context_length", U32, 1073741825.0, NULL}}, ERR_LIMIT, "context length"},
        {{{"llama.vocab_size", U32, 2097153, NULL}}, ERR_LIMIT, "vocabulary of 2097153"},
        {{{"llama.rope.freq_base", F32, 0, NULL}}, ERR_FORMAT, "rotary base is 0"},
        {{{"llama.rope.freq_base", F32, -1, NULL}}, ERR_FORMAT, "rotary base is -1"},
        {{{"llama.rope.freq_base", F32, (double)INFINITY, NULL}}, ERR_FORMAT, "rotary base"},
        {{{"llama.rope.freq_base", F32, (double)NAN, NULL}}, ERR_FORMAT, "rotary base"},
        {{{"llama.rope.scaling.type", STR_, 0, "dynamic"}}, ERR_UNSUPPORTED, "\"dynamic\" is not supported"},
        {{{"llama.rope.scaling.factor", F32, -2, NULL}}, ERR_FORMAT, "scaling factor is -2"},
        {{{"llama.rope.scaling.type", STR_, 0, "yarn"}, {"llama.rope.freq_base", F32, 1, NULL}},
         ERR_FORMAT,
         "yarn: rotary base is 1"},
        {{{"llama.attention.layer_norm_rms_epsilon", F32, -1e-5, NULL}}, ERR_FORMAT, "norm epsilon"},
        {{{"llama.attention.layer_norm_rms_epsilon", F32, (double)NAN, NULL}}, ERR_FORMAT, "norm epsilon"},
        {{{"llama.logit_scale", F32, 0, NULL}}, ERR_FORMAT, "a multiplier is inf"},
        {{{"llama.embedding_scale", F32, (double)NAN, NULL}}, ERR_FORMAT, "a multiplier is"},
        {{{"llama.residual_scale", F32, 0, NULL}}, ERR_FORMAT, "a multiplier is 0"},
        {{{"llama.final_logit_softcapping", F32, -30, NULL}}, ERR_FORMAT, "soft cap"},
        {{{"llama.attn_logit_softcapping", F32, (double)INFINITY, NULL}}, ERR_FORMAT, "soft cap"},
        {{{"llama.attention.sliding_window_pattern", LIST, 3, NULL}}, ERR_FORMAT, "has 3 entries"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        model_config c;
        arena mem = {0};
        err e = {0};
        err_code code = read_changed(table[i].change, &c, &mem, &e);
        if (code != table[i].code || !strstr(e.text, table[i].says))
            fail_msg("%s: code %d \"%s\", must be %d and say \"%s\"", table[i].change[0].key, code, e.text,
                     table[i].code, table[i].says);
        if (!strstr(e.text, "config.gguf"))
            fail_msg("\"%s\" does not name the file", e.text);
        arena_fini(&mem);
    }
}

/* ---- config.json ---- */

#define BASE "\"hidden_size\":64,\"num_hidden_layers\":4,\"intermediate_size\":96,\"num_attention_heads\":8"

static err_code read_json(const char *text, model_config *c, arena *mem, err *e) {
    json_t *root = NULL;
    str prefix;
    if (json_read(str_from(text), 1 << 20, &root, e))
        fail_msg("%s: %s", text, e->text);
    err_code code = config_from_json(c, root, mem, &prefix, e);
    json_decref(root);
    return code;
}

static void json_refusals(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } table[] = {
        {"{" BASE "}", "model_type"},
        {"{\"model_type\":\"mamba\"," BASE "}", "\"mamba\" is not supported"},
        {"{\"model_type\":\"llama\"}", "hidden_size"},
        {"{\"model_type\":\"llama\"," BASE ",\"hidden_act\":\"relu\"}", "activation \"relu\""},
        {"{\"model_type\":\"llama\"," BASE ",\"quantization_config\":{}}", "quantization_config"},
        {"{\"model_type\":\"llama\"," BASE ",\"num_key_value_heads\":5}", "cannot share 5"},
        {"{\"model_type\":\"llama\"," BASE ",\"head_dim\":0}", "head width is 0"},
        {"{\"model_type\":\"llama\"," BASE ",\"head_dim\":9}", "head width is 9"},
        {"{\"model_type\":\"llama\"," BASE ",\"vocab_size\":2097153}", "vocabulary"},
        {"{\"model_type\":\"llama\"," BASE ",\"rms_norm_eps\":0}", "norm epsilon"},
        {"{\"model_type\":\"llama\"," BASE ",\"max_position_embeddings\":0}", "context length"},
        {"{\"model_type\":\"llama\"," BASE ",\"rope_theta\":-5}", "rotary base"},
        {"{\"model_type\":\"llama\"," BASE ",\"rope_scaling\":{\"rope_type\":\"dynamic\",\"factor\":2}}",
         "\"dynamic\""},
        {"{\"model_type\":\"llama\"," BASE ",\"rope_scaling\":{\"rope_type\":\"linear\"}}", "scaling factor is 0"},
        {"{\"model_type\":\"llama\"," BASE
         ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,"
         "\"high_freq_factor\":1}}",
         "high_freq_factor 1 must exceed"},
        {"{\"model_type\":\"llama\"," BASE
         ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4,\"beta_fast\":1,\"beta_slow\":"
         "32}}",
         "beta_fast 1 must exceed"},
        {"{\"model_type\":\"llama\"," BASE
         ",\"rope_scaling\":{\"rope_type\":\"longrope\",\"factor\":4,\"short_factor\":[1],"
         "\"long_factor\":[1]}}",
         "short_factor must be a list of 4"},
        {"{\"model_type\":\"llama\"," BASE ",\"partial_rotary_factor\":1.5}", "partial_rotary_factor"},
        {"{\"model_type\":\"llama\"," BASE ",\"partial_rotary_factor\":0.5}",
         "partial_rotary_factor 0.5 is not supported for llama"},
        {"{\"model_type\":\"llama\"," BASE ",\"rms_norm_eps\":\"1e-5\"}", "key \"rms_norm_eps\" is a string; a number"},
        {"{\"model_type\":\"llama\"," BASE ",\"rope_theta\":true}", "key \"rope_theta\" is a boolean; a number"},
        {"{\"model_type\":\"llama\"," BASE ",\"tie_word_embeddings\":1}",
         "key \"tie_word_embeddings\" is an integer; true or false"},
        {"{\"model_type\":\"llama\"," BASE ",\"hidden_act\":5}", "key \"hidden_act\" is an integer; a string"},
        {"{\"model_type\":\"llama\"," BASE ",\"rope_scaling\":\"linear\"}", "rope_scaling must be an object"},
        {"{\"model_type\":\"llama\"," BASE ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":\"2\"}}",
         "key \"factor\" is a string; a number"},
        {"{\"model_type\":\"gemma2\"," BASE ",\"head_dim\":8,\"layer_types\":\"full_attention\"}",
         "layer_types must be a list"},
        {"{\"model_type\":\"gemma2\"," BASE ",\"head_dim\":8,\"layer_types\":[\"full_attention\"]}",
         "layer_types has 1 entries"},
        {"{\"model_type\":\"gemma2\"," BASE
         ",\"head_dim\":8,\"layer_types\":[\"full_attention\",\"ring\",\"ring\",\"ring\"]}",
         "layer_types[1] is \"ring\""},
        {"{\"model_type\":\"smollm3\"," BASE ",\"no_rope_layers\":[1,0,1]}", "no_rope_layers has 3 entries"},
        {"{\"model_type\":\"granite\"," BASE ",\"logits_scaling\":0}", "a multiplier is inf"},
        {"{\"model_type\":\"gemma2\"," BASE ",\"head_dim\":8,\"num_key_value_heads\":4,\"final_logit_softcapping\":-1}",
         "soft cap"},
        {"{\"model_type\":\"gemma3_text\"," BASE ",\"use_bidirectional_attention\":true}", "bidirectional"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        model_config c;
        arena mem = {0};
        err e = {0};
        if (read_json(table[i].text, &c, &mem, &e) == ERR_OK || !strstr(e.text, table[i].says))
            fail_msg("%s: says \"%s\", must say \"%s\"", table[i].text, e.text, table[i].says);
        arena_fini(&mem);
    }
}

static void sliding_layers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint8_t slides[4], no_rope[4];
    } table[] = {
        {"{\"model_type\":\"llama\"," BASE ",\"sliding_window\":8}", {0, 0, 0, 0}, {0}},
        {"{\"model_type\":\"mistral\"," BASE ",\"sliding_window\":8}", {1, 1, 1, 1}, {0}},
        {"{\"model_type\":\"mistral\"," BASE ",\"sliding_window\":null}", {0, 0, 0, 0}, {0}},
        {"{\"model_type\":\"gemma2\"," BASE ",\"head_dim\":8}", {1, 0, 1, 0}, {0}},
        {"{\"model_type\":\"gemma3_text\"," BASE ",\"head_dim\":8,\"sliding_window_pattern\":3}", {1, 1, 0, 1}, {0}},
        {"{\"model_type\":\"qwen2\"," BASE ",\"num_key_value_heads\":4,\"sliding_window\":8,\"max_window_layers\":2,"
         "\"use_sliding_window\":true}",
         {0, 0, 1, 1},
         {0}},
        {"{\"model_type\":\"smollm3\"," BASE "}", {0, 0, 0, 0}, {0, 0, 0, 1}},
        {"{\"model_type\":\"smollm3\"," BASE ",\"no_rope_layers\":[1,0,1,1]}", {0, 0, 0, 0}, {0, 1, 0, 0}},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        model_config c;
        arena mem = {0};
        err e = {0};
        if (read_json(table[i].text, &c, &mem, &e))
            fail_msg("%s: %s", table[i].text, e.text);
        assert_memory_equal(c.layer_slides, table[i].slides, 4);
        assert_memory_equal(c.layer_no_rope, table[i].no_rope, 4);
        arena_fini(&mem);
    }
}

/* ---- rotary frequencies ---- */

static void frequencies(void **state) {
    (void)state;
    float f[8], short_[8], cos[8], sin[8];
    rope_config r = {.theta = 1e4, .factor = 1, .attn_factor = 1};
    rope_frequencies(&r, 16, 0, false, f);
    assert_true(f[0] == 1.0f && f[4] == 0.01f);
    for (int i = 0; i < 8; i++)
        short_[i] = 2;
    r.divide_long = short_;
    rope_frequencies(&r, 16, 64, true, f);
    assert_true(f[0] == 0.5f);
    rope_frequencies(&r, 16, 64, false, f);
    assert_true(f[0] == 1.0f);
    r = (rope_config){.theta = 1e4, .scaling = ROPE_LINEAR, .factor = 4, .attn_factor = 1};
    rope_frequencies(&r, 16, 0, false, f);
    assert_true(f[0] == 0.25f);
    /* llama3: short waves stay, long ones are divided. */
    r = (rope_config){.theta = 5e5, .scaling = ROPE_LLAMA3, .factor = 8, .low_freq_factor = 1, .high_freq_factor = 4};
    rope_frequencies(&r, 16, 64, false, f);
    assert_true(f[0] == 1.0f && f[7] == (float)(1 / kern_pow64(5e5, 14.0 / 16) / 8));
    /* yarn: the same at both ends; a base beside 1 must not leave the integers. */
    r = (rope_config){
        .theta = 1e4, .scaling = ROPE_YARN, .factor = 4, .beta_fast = 32, .beta_slow = 1, .truncate = true};
    rope_frequencies(&r, 16, 4096, false, f);
    assert_true(f[0] == 1.0f && f[7] == (float)(1 / kern_pow64(1e4, 14.0 / 16) / 4));
    r.theta = 0x1.0000000000001p0;
    rope_frequencies(&r, 16, 4096, false, f);
    const kern_ops *k = kern_select("scalar");
    static const float freq[2] = {1.0f, 0.5f};
    rope_angles(k, freq, 2, 2.0f, 0, 2, cos, sin);
    assert_true(cos[0] == 2.0f && sin[0] == 0.0f && cos[1] == 2.0f);
    assert_float_equal(cos[2], 1.0806046f, 1e-6f);
    assert_float_equal(sin[3], 0.9588511f, 1e-6f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gguf_plain),     cmocka_unit_test(gguf_refusals), cmocka_unit_test(json_refusals),
        cmocka_unit_test(sliding_layers), cmocka_unit_test(frequencies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
