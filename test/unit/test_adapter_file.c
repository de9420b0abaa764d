/* adapter_file: adapters as peft writes them give peft's logits (test/golden/lora.py), come back from what is written,
 * and are refused by name when they are malformed or do not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "io/gguf_write.h"
#include "io/safetensors_write.h"
#include "kern/panel.h"
#include "model/adapter.h"
#include "text/json.h"
#include "unit/gguf_build.h"

#define MODELS "test/golden/models/"
#define LORA "test/golden/lora/"
enum { IDS_MAX = 64 };

static json_t *golden;
static int32_t ids[IDS_MAX];
static size_t n_ids;
static char dir[] = "/tmp/loam-adapter-XXXXXX";

static void must(err_code code, const err *e) {
    if (code)
        fail_msg("%s", e->text);
}

static model *open_model(const char *name, model_weights how) {
    char path[200];
    model *m = NULL;
    err e = {0};
    snprintf(path, sizeof path, MODELS "%s", name);
    must(model_open(&m, path, &(model_options){.weights = how}, &e), &e);
    return m;
}

static adapter *open_adapter(model *m, const char *path) {
    adapter *a = NULL;
    err e = {0};
    must(adapter_open(&a, m, path, &e), &e);
    return a;
}

/* Logits of the last position, the caller's to free. */
static float *logits_of(model *m, const adapter *a) {
    err e = {0};
    kv_cache *kv = NULL;
    float *out = malloc(model_config_of(m)->V * sizeof *out);
    assert_non_null(out);
    model_use_adapters(m, &(adapter_use){a, 1}, a ? 1 : 0);
    must(kv_open(&kv, m, IDS_MAX, &e), &e);
    must(model_forward(m, kv, ids, n_ids, LOGITS_LAST, out, &e), &e);
    kv_close(kv);
    model_use_adapters(m, NULL, 0);
    return out;
}

static void near(const char *what, const float *got, const json_t *want, double tolerance) {
    double worst = 0, most = 0;
    assert_true(json_array_size(want) > 100);
    for (size_t i = 0; i < json_array_size(want); i++) {
        double w = json_number_value(json_array_get(want, i));
        most = fmax(most, fabs(w));
        worst = fmax(worst, fabs(w - (double)got[i]));
    }
    if (!(worst <= tolerance * most))
        fail_msg("%s: %g off, of %g", what, worst, most);
}

/* ---- peft and llama.cpp ---- */

static void equals_peft(void **state) {
    (void)state;
    const char *name;
    json_t *c;
    int n = 0;
    json_object_foreach(json_object_get(golden, "cases"), name, c) {
        char path[200];
        model *m = open_model(json_string_value(json_object_get(c, "model")), MODEL_WEIGHTS_F32);
        snprintf(path, sizeof path, LORA "%s", name);
        adapter *a = open_adapter(m, path);
        float *got = logits_of(m, a);
        near(name, got, json_object_get(c, "logits"), 1e-5);
        free(got);
        adapter_close(a);
        model_close(m);
        n++;
    }
    assert_int_equal(n, 6);
}

/* llama.cpp keeps keys and values in 16 bits. */
static void equals_llama_cpp(void **state) {
    (void)state;
    const char *name;
    json_t *c;
    int n = 0;
    json_object_foreach(json_object_get(golden, "llama.cpp"), name, c) {
        char path[200];
        model *m = open_model(json_string_value(json_object_get(c, "model")), MODEL_WEIGHTS_F32);
        snprintf(path, sizeof path, LORA "%s", name);
        adapter *a = open_adapter(m, path);
        float *got = logits_of(m, a);
        near(name, got, json_object_get(c, "logits"), 5e-3);
        free(got);
        adapter_close(a);
        model_close(m);
        n++;
    }
    assert_int_equal(n, 3);
}

/* ---- round trips ---- */

static const char *in_dir(const char *name) {
    static char path[4][200];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static void same_file(const char *a, const char *b) {
    strbuf x = {0}, y = {0};
    err e = {0};
    must(os_read_file(a, 1 << 24, &x, &e), &e);
    must(os_read_file(b, 1 << 24, &y, &e), &e);
    assert_int_equal(x.n, y.n);
    assert_memory_equal(x.p, y.p, x.n);
    strbuf_fini(&x);
    strbuf_fini(&y);
}

static void same_targets(const adapter *a, const adapter *b, size_t L) {
    int n = 0;
    for (size_t i = 0; i < L; i++)
        for (int p = 0; p < LORA_PARTS; p++) {
            const adapter_target *s = adapter_at(a, i, (lora_part)p), *t = adapter_at(b, i, (lora_part)p);
            assert_int_equal(s != NULL, t != NULL);
            if (!s)
                continue;
            n++;
            assert_true(s->a.rows == t->a.rows && s->scale == t->scale);
            assert_memory_equal(s->a.packed, t->a.packed, panel_bytes(DTYPE_F32, s->a.rows, s->a.cols));
            assert_memory_equal(s->b.packed, t->b.packed, panel_bytes(DTYPE_F32, s->b.rows, s->b.cols));
            assert_int_equal(s->magnitude != NULL, t->magnitude != NULL);
            if (s->magnitude)
                assert_memory_equal(s->magnitude, t->magnitude, s->b.rows * sizeof(float));
        }
    assert_true(n > 0);
}

static void round_trips(void **state) {
    (void)state;
    const char *name;
    json_t *c;
    json_object_foreach(json_object_get(golden, "cases"), name, c) {
        err e = {0};
        char path[200];
        model *m = open_model(json_string_value(json_object_get(c, "model")), MODEL_WEIGHTS_STORED);
        size_t L = model_config_of(m)->L;
        snprintf(path, sizeof path, LORA "%s", name);
        adapter *a = open_adapter(m, path), *b;
        must(adapter_save_peft(a, in_dir("one"), "base", &e), &e);
        b = open_adapter(m, in_dir("one"));
        same_targets(a, b, L);
        must(adapter_save_peft(b, in_dir("two"), "base", &e), &e);
        same_file(in_dir("one/adapter_model.safetensors"), in_dir("two/adapter_model.safetensors"));
        same_file(in_dir("one/adapter_config.json"), in_dir("two/adapter_config.json"));
        adapter_close(b);
        err_code code = adapter_save_gguf(a, in_dir("a.gguf"), STR("an adapter"), &e);
        if (adapter_shape_of(a)->dora) {
            assert_int_equal(code, ERR_UNSUPPORTED);
        } else {
            must(code, &e);
            b = open_adapter(m, in_dir("a.gguf"));
            if (strcmp(name, "gemma3") != 0) /* whose scales are not one number: B takes up the rest */
                same_targets(a, b, L);
            float *x = logits_of(m, a), *y = logits_of(m, b);
            for (size_t i = 0; i < model_config_of(m)->V; i++)
                assert_true(fabsf(x[i] - y[i]) < 1e-4f);
            free(x);
            free(y);
            adapter_close(b);
        }
        adapter_close(a);
        model_close(m);
    }
}

/* Parts of phi3's stacked matrices, with A's of their own, stand below each other in a file. */
static void stacked(void **state) {
    (void)state;
    err e = {0};
    model *m = open_model("phi3-plain", MODEL_WEIGHTS_STORED);
    adapter_shape s = {.rank = 3, .alpha = 6, .rslora = true, .parts = LORA_ALL & ~(1u << LORA_K)};
    adapter *a = NULL;
    must(adapter_create(&a, m, &s, 5, &e), &e);
    for (size_t i = 0; i < model_config_of(m)->L; i++)
        for (int p = 0; p < LORA_PARTS; p++) {
            adapter_target *t = adapter_at(a, i, (lora_part)p);
            for (size_t k = 0; t && k < t->b.rows / 16 * 16 * t->b.cols; k++)
                ((float *)(void *)t->b.packed)[k] = (float)((k * 7 + (size_t)p) % 13) * 0.02f - 0.1f;
        }
    float *want = logits_of(m, a), *plain = logits_of(m, NULL);
    size_t bytes = model_config_of(m)->V * sizeof *want;
    assert_memory_not_equal(want, plain, bytes);
    must(adapter_save_peft(a, in_dir("stacked"), "base", &e), &e);
    must(adapter_save_gguf(a, in_dir("stacked.gguf"), STR(""), &e), &e);
    static const char *const files[] = {"stacked", "stacked.gguf"};
    for (int i = 0; i < 2; i++) {
        adapter *b = open_adapter(m, in_dir(files[i]));
        float *got = logits_of(m, b);
        for (size_t k = 0; k < bytes / sizeof *got; k++)
            assert_true(fabsf(got[k] - want[k]) < (i ? 1e-4f : 1e-6f)); /* GGUF: one alpha for all, so B takes it up */
        free(got);
        adapter_close(b);
    }
    free(want);
    free(plain);
    adapter_close(a);
    model_close(m);
}

/* With scales of 0 an adapter changes nothing, nor does its file. */
static void scales_of_nothing(void **state) {
    (void)state;
    err e = {0};
    model *m = open_model("llama", MODEL_WEIGHTS_STORED);
    adapter_shape s = {.rank = 3, .alpha = 6, .parts = LORA_ALL};
    adapter *a = NULL;
    must(adapter_create(&a, m, &s, 5, &e), &e);
    for (size_t i = 0; i < model_config_of(m)->L * LORA_PARTS; i++) {
        adapter_target *t = adapter_at(a, i / LORA_PARTS, (lora_part)(i % LORA_PARTS));
        t->scale = 0;
        for (size_t k = 0; k < t->b.rows / 16 * 16 * t->b.cols; k++)
            ((float *)(void *)t->b.packed)[k] = 0.25f;
    }
    must(adapter_save_gguf(a, in_dir("a.gguf"), STR(""), &e), &e);
    adapter *b = open_adapter(m, in_dir("a.gguf"));
    float *plain = logits_of(m, NULL), *got = logits_of(m, b);
    for (size_t k = 0; k < model_config_of(m)->V; k++)
        assert_true(got[k] == plain[k]);
    free(plain);
    free(got);
    adapter_close(a);
    adapter_close(b);
    model_close(m);
}

/* ---- what is refused ---- */

typedef struct {
    const char *name;
    size_t rows, cols;
} spec;

static void write_tensors(const spec *t, size_t n) {
    err e = {0};
    safetensors_writer *w;
    static const float zeros[1 << 14];
    must(safetensors_write_open(&w, in_dir("bad/adapter_model.safetensors"), &e), &e);
    for (size_t i = 0; i < n && t[i].name; i++) {
        char name[200];
        snprintf(name, sizeof name, "%s%s", t[i].name[0] == '!' ? "" : "base_model.model.model.layers.",
                 t[i].name + (t[i].name[0] == '!'));
        tensor_spec s = {str_from(name), DTYPE_F32, t[i].cols ? 2 : 1, {t[i].rows, t[i].cols ? t[i].cols : 1, 1, 1}};
        must(safetensors_write_tensor(w, &s, &e), &e);
    }
    for (size_t i = 0; i < n && t[i].name; i++)
        must(safetensors_write_data(w, zeros, t[i].rows * (t[i].cols ? t[i].cols : 1) * 4, &e), &e);
    must(safetensors_write_commit(w, &e), &e);
}

#define A(name, rank, cols) \
    { name ".lora_A.weight", rank, cols }
#define B(name, rows, rank) \
    { name ".lora_B.weight", rows, rank }
#define Q0 A("0.self_attn.q_proj", 2, 48), B("0.self_attn.q_proj", 48, 2)

static void malformed_peft(void **state) {
    (void)state;
    static const struct {
        const char *config; /* more of it */
        spec t[4];
        const char *says;
    } cases[] = {
        {"", {Q0}, NULL},
        {", \"bias\": \"none\", \"modules_to_save\": [], \"init_lora_weights\": \"gaussian\"", {Q0}, NULL},
        {"", {{NULL, 0, 0}}, "no matrix"},
        {"", {A("0.self_attn.q_proj", 2, 48)}, "stands alone: B"},
        {"", {B("0.self_attn.q_proj", 48, 2)}, "stands alone: A"},
        {"", {A("0.self_attn.q_proj", 2, 47), B("0.self_attn.q_proj", 48, 2)}, "must be [2,48]"},
        {"", {A("0.self_attn.q_proj", 2, 48), B("0.self_attn.q_proj", 48, 3)}, "must be [48,2]"},
        {"", {A("0.self_attn.q_proj", 2, 48), B("0.self_attn.q_proj", 40, 2)}, "must be [48,2]"},
        {"", {A("0.self_attn.q_proj", 3, 48), B("0.self_attn.q_proj", 48, 3)}, "rank 3, adapter_config.json says 2"},
        {"", {A("4.self_attn.q_proj", 2, 48), B("4.self_attn.q_proj", 48, 2)}, "has 4 layers"},
        {"", {A("99999999999999999999.self_attn.q_proj", 2, 48)}, "cannot change"},
        {"", {A("0.self_attn.x_proj", 2, 48)}, "tensor base_model.model.model.layers.0.self_attn.x_proj"},
        {"", {Q0, {"!base_model.model.lm_head.weight", 160, 48}}, "lm_head.weight changes what"},
        {"", {Q0, {"!model.layers.0.self_attn.q_proj.lora_A.weight", 2, 48}}, "changes what"},
        {"", {Q0, {"0.self_attn.q_proj.lora_magnitude_vector", 48, 0}}, "use_dora is not set"},
        {", \"use_dora\": true", {Q0}, "no magnitudes"},
        {", \"use_dora\": true", {Q0, {"0.self_attn.q_proj.lora_magnitude_vector", 47, 0}}, "must be [48]"},
        {"", {Q0, A("0.self_attn.qkv_proj", 2, 48), B("0.self_attn.qkv_proj", 80, 2)}, "both changed"},
        {", \"modules_to_save\": [\"lm_head\"]", {Q0}, "modules_to_save is set"},
        {", \"bias\": \"all\"", {Q0}, "biases"},
        {", \"fan_in_fan_out\": true", {Q0}, "fan_in_fan_out is set"},
        {", \"init_lora_weights\": \"pissa\"", {Q0}, "init_lora_weights"},
        {", \"rank_pattern\": {\"q_.*\": 3}", {Q0}, "regular expression"},
        {", \"rank_pattern\": {\"q_proj\": \"x\"}", {Q0}, "no number"},
        {", \"alpha_pattern\": {\"q_proj\": 1e300}", {Q0}, "out of range"},
        {", \"lora_alpha\": 1e7", {Q0}, "lora_alpha is out of range"},
        {", \"lora_alpha\": \"16\"", {Q0}, "key \"lora_alpha\" is a string; a number is wanted"},
        {", \"lora_dropout\": true", {Q0}, "key \"lora_dropout\" is a boolean; a number"},
        {", \"lora_dropout\": 1.5", {Q0}, "lora_dropout is out of range"},
        {", \"use_rslora\": \"true\"", {Q0}, "key \"use_rslora\" is a string; true or false is wanted"},
        {", \"use_dora\": 1", {Q0}, "key \"use_dora\" is an integer; true or false is wanted"},
        {", \"use_dora\": null, \"rank_pattern\": null, \"alpha_pattern\": {}", {Q0}, NULL},
        {", \"rank_pattern\": [\"q_proj\"]", {Q0}, "rank_pattern is no object"},
        {", \"alpha_pattern\": \"q_proj\"", {Q0}, "alpha_pattern is no object"},
        {", \"alpha_pattern\": {\"v_proj\": \"4\"}", {Q0}, "\"v_proj\" is no number"},
        {", \"rank_pattern\": {\"v_proj\": -1}", {Q0}, "\"v_proj\" is out of range"},
        {", \"rank_pattern\": {\"q_proj\": 2, \"v_proj|o_proj\": 4}", {Q0}, "regular expression"},
        {", \"rank_pattern\": {\"layers\\\\.\\\\d\": 4}", {Q0}, "regular expression"},
        {", \"layer_replication\": [[0, 4]]", {Q0}, "layer_replication is set"},
    };
    model *m = open_model("llama", MODEL_WEIGHTS_STORED);
    mkdir(in_dir("bad"), 0700);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char config[400];
        err e = {0};
        adapter *a = NULL;
        snprintf(config, sizeof config, "{\"peft_type\": \"LORA\", \"r\": 2%s}", cases[i].config);
        must(os_write_file(in_dir("bad/adapter_config.json"), str_from(config), &e), &e);
        write_tensors(cases[i].t, 4);
        err_code code = adapter_open(&a, m, in_dir("bad"), &e);
        if (cases[i].says ? code == ERR_OK || !strstr(e.text, cases[i].says) : code != ERR_OK)
            fail_msg("case %zu: \"%s\", must say \"%s\"", i, e.text, cases[i].says ? cases[i].says : "nothing");
        assert_int_equal(a != NULL, code == ERR_OK);
        adapter_close(a);
    }
    static const char *const configs[] = {"",
                                          "[]",
                                          "{}",
                                          "{\"peft_type\": \"IA3\"}",
                                          "{\"peft_type\": \"LORA\"}",
                                          "{\"peft_type\": \"LORA\", \"r\": 5000}"};
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        err e = {0};
        adapter *a = NULL;
        must(os_write_file(in_dir("bad/adapter_config.json"), str_from(configs[i]), &e), &e);
        assert_int_not_equal(adapter_open(&a, m, in_dir("bad"), &e), ERR_OK);
        assert_null(a);
    }
    model_close(m);
}

/* Which keys of a pattern a module has: re.match(rf"(.*\\.)?({key})$", "model.layers.0.self_attn.q_proj") of Python. */
static void patterns(void **state) {
    (void)state;
    static const struct {
        const char *pattern;
        double alpha;
    } cases[] = {
        {"\"q_proj\": 2", 2},
        {"\"proj\": 2", 8},
        {"\"_proj\": 2", 8},
        {"\"\": 2", 8},
        {"\"self_attn.q_proj\": 2", 2},
        {"\"layers.0.self_attn.q_proj\": 2", 2},
        {"\"layers\\\\.0\\\\.self_attn\\\\.q_proj\": 2", 2},
        {"\"layers\\\\.1\\\\.self_attn\\\\.q_proj\": 2", 8},
        {"\"layers\\\\.0\\\\.self\\\\.attn\\\\.q_proj\": 2", 8},
        {"\"layers.0.self.attn.q.proj\": 2", 2},
        {"\"model.layers.0.self_attn.q_proj\": 2", 2},
        {"\"base_model.model.model.layers.0.self_attn.q_proj\": 2", 8},
        {"\"^model.layers.0.self_attn.q_proj\": 2", 2},
        {"\"^layers.0.self_attn.q_proj\": 2", 8},
        {"\"q_proj$\": 2", 2},
        {"\"^model\\\\.layers\\\\.0\\\\.self_attn\\\\.q_proj$\": 2", 2},
        {"\"v_proj\": 3, \"q_proj\": 4, \"self_attn.q_proj\": 2", 4},
        {"\"self_attn.q_proj\": 2, \"q_proj\": 4", 2},
        {"\"layers.0.self_attn\": 2", 8},
    };
    model *m = open_model("llama", MODEL_WEIGHTS_STORED);
    mkdir(in_dir("bad"), 0700);
    write_tensors((spec[]){Q0}, 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char config[400];
        err e = {0};
        snprintf(config, sizeof config,
                 "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 8, \"alpha_pattern\": {%s}}", cases[i].pattern);
        must(os_write_file(in_dir("bad/adapter_config.json"), str_from(config), &e), &e);
        adapter *a = open_adapter(m, in_dir("bad"));
        double got = (double)adapter_at(a, 0, LORA_Q)->scale * 2;
        if (got != cases[i].alpha)
            fail_msg("%s: alpha is %g, must be %g", cases[i].pattern, got, cases[i].alpha);
        adapter_close(a);
    }
    model_close(m);
}

/* A module is called what its tensors call it. */
static void patterns_of_bare_names(void **state) {
    (void)state;
    static const char config[] = "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 8, \"alpha_pattern\": "
                                 "{\"model.layers.0.self_attn.q_proj\": 2, \"^layers.0.self_attn.q_proj\": 4}}";
    err e = {0};
    model *m = open_model("llama", MODEL_WEIGHTS_STORED);
    mkdir(in_dir("bad"), 0700);
    write_tensors((spec[]){A("!base_model.model.layers.0.self_attn.q_proj", 2, 48),
                           B("!base_model.model.layers.0.self_attn.q_proj", 48, 2)},
                  2);
    must(os_write_file(in_dir("bad/adapter_config.json"), STR(config), &e), &e);
    adapter *a = open_adapter(m, in_dir("bad"));
    assert_true(adapter_at(a, 0, LORA_Q)->scale == 2);
    adapter_close(a);
    model_close(m);
}

static void malformed_gguf(void **state) {
    (void)state;
    static const struct {
        const char *type, *arch, *kind;
        float alpha;
        spec t[3];
        const char *says;
    } cases[] = {
        {"adapter",
         "llama",
         "lora",
         4,
         {{"blk.0.attn_q.weight.lora_a", 2, 48}, {"blk.0.attn_q.weight.lora_b", 48, 2}},
         NULL},
        {"adapter",
         "llama",
         "lora",
         0,
         {{"blk.0.attn_q.weight.lora_a", 2, 48}, {"blk.0.attn_q.weight.lora_b", 48, 2}},
         NULL},
        {"model", "llama", "lora", 4, {{"x", 1, 1}}, "general.type"},
        {"adapter", "qwen2", "lora", 4, {{"x", 1, 1}}, "general.architecture is \"qwen2\""},
        {"adapter", "llama", "control_vector", 4, {{"x", 1, 1}}, "adapter.type"},
        {"adapter", "llama", "lora", 1e30f, {{"x", 1, 1}}, "alpha"},
        {"adapter", "llama", "lora", 4, {{"token_embd.weight.lora_a", 2, 48}}, "tensor token_embd.weight.lora_a"},
        {"adapter", "llama", "lora", 4, {{"blk.0.attn_q.weight.lora_c", 2, 48}}, "cannot change"},
        {"adapter", "llama", "lora", 4, {{"blk.0.weight.lora_a", 2, 48}}, "cannot change"},
        {"adapter", "llama", "lora", 4, {{"blk..weight.lora_a", 2, 48}}, "cannot change"},
        {"adapter", "llama", "lora", 4, {{"blk.0.attn_q.weight.lora_a", 2, 48}}, "stands alone"},
        {"adapter", "llama", "lora", 4, {{"blk.9.attn_q.weight.lora_a", 2, 48}}, "4 layers"},
    };
    model *m = open_model("llama", MODEL_WEIGHTS_STORED);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static const float zeros[1 << 14];
        err e = {0};
        adapter *a = NULL;
        gguf_writer *w;
        must(gguf_write_open(&w, in_dir("bad.gguf"), &e), &e);
        gguf_write_str(w, "general.type", str_from(cases[i].type), &e);
        gguf_write_str(w, "general.architecture", str_from(cases[i].arch), &e);
        gguf_write_str(w, "adapter.type", str_from(cases[i].kind), &e);
        must(gguf_write_f32(w, "adapter.lora.alpha", cases[i].alpha, &e), &e);
        for (const spec *t = cases[i].t; t->name; t++)
            must(gguf_write_tensor(w, &(tensor_spec){str_from(t->name), DTYPE_F32, 2, {t->rows, t->cols, 1, 1}}, &e),
                 &e);
        for (const spec *t = cases[i].t; t->name; t++)
            must(gguf_write_data(w, zeros, t->rows * t->cols * 4, &e), &e);
        must(gguf_write_commit(w, &e), &e);
        err_code code = adapter_open(&a, m, in_dir("bad.gguf"), &e);
        if (cases[i].says ? code == ERR_OK || !strstr(e.text, cases[i].says) : code != ERR_OK)
            fail_msg("case %zu: \"%s\", must say \"%s\"", i, e.text, cases[i].says ? cases[i].says : "nothing");
        if (a)
            assert_true(adapter_at(a, 0, LORA_Q)->scale == (cases[i].alpha == 0 ? 1 : 2));
        adapter_close(a);
    }
    err e = {0};
    adapter *a = NULL;
    assert_int_equal(adapter_open(&a, m, in_dir("nothing.gguf"), &e), ERR_IO);
    assert_int_not_equal(adapter_open(&a, m, MODELS "quant/mixed.gguf", &e), ERR_OK);
    assert_non_null(strstr(e.text, "general.type"));
    model_close(m);
}

static int setup(void **state) {
    (void)state;
    strbuf text = {0};
    err e = {0};
    if (!mkdtemp(dir) || os_read_file(LORA "lora.json", 1 << 20, &text, &e) ||
        json_read(strbuf_str(&text), 1 << 20, &golden, &e))
        return -1;
    const json_t *list = json_object_get(golden, "ids");
    for (; n_ids < json_array_size(list); n_ids++)
        ids[n_ids] = (int32_t)json_integer_value(json_array_get(list, n_ids));
    strbuf_fini(&text);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    static const char *const left[] = {"one/adapter_config.json",
                                       "one/adapter_model.safetensors",
                                       "one",
                                       "two/adapter_config.json",
                                       "two/adapter_model.safetensors",
                                       "two",
                                       "bad/adapter_config.json",
                                       "bad/adapter_model.safetensors",
                                       "bad",
                                       "stacked/adapter_config.json",
                                       "stacked/adapter_model.safetensors",
                                       "stacked",
                                       "stacked.gguf",
                                       "a.gguf",
                                       "bad.gguf"};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        remove(in_dir(left[i]));
    json_decref(golden);
    return rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_peft), cmocka_unit_test(equals_llama_cpp),       cmocka_unit_test(round_trips),
        cmocka_unit_test(stacked),     cmocka_unit_test(scales_of_nothing),      cmocka_unit_test(malformed_peft),
        cmocka_unit_test(patterns),    cmocka_unit_test(patterns_of_bare_names), cmocka_unit_test(malformed_gguf)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
