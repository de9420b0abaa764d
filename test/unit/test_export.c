/* export: every family's golden model as GGUF and as a folder, there and back, gives the same bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/os.h"
#include "model/config_int.h"
#include "model/export.h"
#include "text/json.h"
#include "unit/gguf_build.h"

#define MODELS "test/golden/models"
enum { N_IDS = 40, V_MAX = 300 };

static void must(err_code code, const err *e) {
    if (code)
        fail_msg("%s", e->text);
}

/* As build_path(), for more paths at a time. */
static const char *path_of(const char *name) {
    static char path[16][4096];
    static int turn;
    char *p = path[turn++ % 16];
    snprintf(p, sizeof path[0], "%s", build_path(name));
    return p;
}

static const export_options keep = {.type = -1, .bos = 0, .eos = 1};

/* Some keys of a tokenizer's, and one of Loam's. */
static err_code more_keys(void *ctx, gguf_writer *w, err *e) {
    (void)ctx;
    gguf_write_str(w, "tokenizer.ggml.model", STR("none"), e);
    return gguf_write_str(w, "loam.test", STR("value"), e);
}

static void remove_folder(const char *path) {
    DIR *d = opendir(path);
    for (struct dirent *f; d && (f = readdir(d));)
        if (f->d_name[0] != '.')
            unlinkat(dirfd(d), f->d_name, 0);
    if (d)
        closedir(d);
    rmdir(path);
}

static const char *new_folder(const char *name) {
    const char *path = path_of(name);
    remove_folder(path);
    assert_int_equal(mkdir(path, 0777), 0);
    return path;
}

static model *open_model(const char *path, bool only_plan) {
    model *m;
    err e;
    must(model_open(&m, path, &(model_options){.isa = "auto", .plan = only_plan}, &e), &e);
    return m;
}

/* SHA-256 of the logits of all positions. */
static hash256 digest(const char *path) {
    static float logits[N_IDS * V_MAX];
    int32_t ids[N_IDS];
    err e;
    model *m = open_model(path, false);
    size_t V = model_config_of(m)->V;
    assert_true(V <= V_MAX);
    for (size_t i = 0; i < N_IDS; i++)
        ids[i] = (int32_t)(i * 7919 % V);
    kv_cache *kv;
    must(kv_open(&kv, m, N_IDS + 10, &e), &e);
    must(model_forward(m, kv, ids, N_IDS, LOGITS_ALL, logits, &e), &e);
    kv_close(kv);
    model_close(m);
    return hash_of(logits, N_IDS * V * sizeof(float));
}

static void same_digest(const char *path, hash256 want, const char *what) {
    hash256 got = digest(path);
    if (memcmp(&got, &want, sizeof got))
        fail_msg("%s: other logits", what);
}

static void same_files(const char *a, const char *b, const char *name) {
    char path[2][4096];
    hash256 h[2];
    err e;
    snprintf(path[0], sizeof path[0], "%s%s%s", a, *name ? "/" : "", name);
    snprintf(path[1], sizeof path[1], "%s%s%s", b, *name ? "/" : "", name);
    for (int i = 0; i < 2; i++)
        must(hash_file(path[i], &h[i], &e), &e);
    if (memcmp(&h[0], &h[1], sizeof *h))
        fail_msg("%s and %s differ", path[0], path[1]);
}

/* Exports of a model that is loaded and of one that is only planned are the same bytes. */
static void write_gguf(const char *from, const char *to, const export_options *o) {
    const char *other = path_of("other.gguf");
    err e;
    for (int only_plan = 0; only_plan < 2; only_plan++) {
        model *m = open_model(from, only_plan);
        must(export_gguf(m, only_plan ? other : to, o, &e), &e);
        model_close(m);
    }
    same_files(to, other, "");
    unlink(other);
}

static void write_folder(const char *from, const char *to, const export_options *o) {
    const char *other = new_folder("other");
    err e;
    for (int only_plan = 0; only_plan < 2; only_plan++) {
        model *m = open_model(from, only_plan);
        must(export_folder(m, only_plan ? other : to, o, &e), &e);
        model_close(m);
    }
    same_files(to, other, "config.json");
    same_files(to, other, "model.safetensors");
    remove_folder(other);
}

static void folder_of_a_family(const char *name, const char *gguf_reason) {
    char folder[200];
    snprintf(folder, sizeof folder, MODELS "/%s", name);
    hash256 want = digest(folder);
    const char *gguf = path_of("there.gguf"), *back = new_folder("back");
    err e;
    export_options o = keep;
    o.keys = more_keys;
    if (gguf_reason) {
        model *m = open_model(folder, true);
        unlink(gguf);
        assert_int_equal(export_gguf(m, gguf, &o, &e), ERR_UNSUPPORTED);
        if (!strstr(e.text, gguf_reason) || !strstr(e.text, folder))
            fail_msg("\"%s\" does not say \"%s\"", e.text, gguf_reason);
        assert_false(os_exists(gguf));
        model_close(m);
    } else {
        write_gguf(folder, gguf, &o);
        same_digest(gguf, want, name);
        write_folder(gguf, back, &keep);
        same_digest(back, want, name);
        const char *again = path_of("again.gguf");
        write_gguf(gguf, again, &keep); /* GGUF to GGUF: the same file, but for the order of keys */
        same_digest(again, want, name);
        model *m = open_model(again, true);
        str s;
        must(gguf_get_str(model_gguf(m), "loam.test", STR(""), &s, &e), &e);
        assert_true(str_is(s, "value"));
        model_close(m);
        unlink(again);
        unlink(gguf);
        remove_folder(back);
        back = new_folder("back");
    }
    write_folder(folder, back, &keep);
    same_digest(back, want, name);
    remove_folder(back);
}

/* What GGUF has no words for; the golden index knows which these are. */
static const char *reason(const char *name) {
    static const struct {
        const char *name, *why;
    } cannot[] = {
        {"llama-yarn", "that YaRN's range is not truncated"},
        {"mistral", "that its attention has a sliding window"},
        {"qwen2-window", "that its attention has a sliding window"},
        {"smollm3-window", "which of its layers have no rotary embedding"},
    };
    for (size_t i = 0; i < sizeof cannot / sizeof *cannot; i++)
        if (strncmp(name, cannot[i].name, strlen(cannot[i].name)) == 0 &&
            (!name[strlen(cannot[i].name)] || strcmp(name + strlen(cannot[i].name), "-v4") == 0))
            return cannot[i].why;
    return NULL;
}

static void every_family(void **state) {
    (void)state;
    strbuf text = {0};
    json_t *root;
    err e;
    must(os_read_file(MODELS "/models.json", 1 << 20, &text, &e), &e);
    must(json_read(strbuf_str(&text), 1 << 20, &root, &e), &e);
    const json_t *models = json_object_get(root, "models");
    assert_true(json_array_size(models) >= 30);
    for (size_t i = 0; i < json_array_size(models); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(models, i), "name"));
        folder_of_a_family(name, reason(name));
    }
    json_decref(root);
    strbuf_fini(&text);
}

/* ---- types ---- */

static void check_types(const char *path, dtype want) {
    model *m = open_model(path, true);
    const tensor_ref *t = m->gguf.path ? m->gguf.tensor : m->tensors.tensor;
    size_t n = m->gguf.path ? m->gguf.n_tensors : m->tensors.n_tensors;
    for (size_t i = 0; i < n; i++)
        assert_int_equal(t[i].type, t[i].n_dims > 1 ? want : m->gguf.path ? DTYPE_F32 : t[i].type);
    model_close(m);
}

static void types_are_converted(void **state) {
    (void)state;
    static const dtype types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    const char *gguf = path_of("there.gguf"), *back = new_folder("back");
    for (size_t i = 0; i < 3; i++)
        for (int from = 0; from < 2; from++) { /* a BF16 folder, and quantised blocks in a GGUF file */
            const char *source = from ? MODELS "/quant/mixed.gguf" : MODELS "/gemma3";
            export_options o = keep;
            o.type = (int)types[i];
            write_gguf(source, gguf, &o);
            check_types(gguf, types[i]);
            write_folder(source, back, &o);
            check_types(back, types[i]);
            hash256 h = digest(gguf);
            same_digest(back, h, "folder and GGUF");
            if (types[i] != DTYPE_F16 && !from)
                same_digest(source, h, "a type that loses nothing");
        }
    unlink(gguf);
    remove_folder(back);
}

static void blocks_are_kept(void **state) {
    (void)state;
    const char *gguf = path_of("there.gguf");
    write_gguf(MODELS "/quant/mixed.gguf", gguf, &keep);
    same_digest(gguf, digest(MODELS "/quant/mixed.gguf"), "quantised blocks");
    model *a = open_model(gguf, true), *b = open_model(MODELS "/quant/mixed.gguf", true);
    err e;
    for (size_t i = 0; i < b->gguf.n_tensors; i++) {
        const tensor_ref *t = &b->gguf.tensor[i],
                         *u = gguf_tensor(&a->gguf, t->name.p ? arena_str(&a->mem, t->name).p : "");
        assert_non_null(u);
        assert_int_equal(u->type, t->type);
        assert_int_equal(u->bytes, t->bytes);
        assert_memory_equal(u->data, t->data, t->bytes);
    }
    assert_int_equal(export_folder(b, "/nowhere", &keep, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "which a folder cannot hold (choose F32, F16 or BF16)"));
    model_close(a);
    model_close(b);
    unlink(gguf);
}

static void shards(void **state) {
    (void)state;
    const char *back = new_folder("back");
    export_options o = keep;
    o.shard_bytes = 16000;
    err e;
    model *m = open_model(MODELS "/llama", false);
    must(export_folder(m, back, &o, &e), &e);
    char path[4096];
    snprintf(path, sizeof path, "%s/model.safetensors", back);
    assert_false(os_exists(path));
    model_close(m);
    m = open_model(back, true);
    assert_true(m->tensors.n_maps > 5);
    for (size_t i = 0; i < m->tensors.n_maps; i++)
        assert_true(m->tensors.map[i].n < 16000 + 5000);
    model_close(m);
    same_digest(back, digest(MODELS "/llama"), "shards");
    remove_folder(back);
}

/* ---- what does not fit ---- */

static void large_values(void **state) {
    (void)state;
    const char *gguf = path_of("there.gguf"), *big = path_of("big.gguf");
    err e;
    model *m = open_model(MODELS "/smollm2", false); /* F32 */
    float *w = (float *)(void *)m->layers[1].up.packed;
    w[16 * 3 + 2] = -70000; /* row 2, column 3 */
    unlink(gguf);
    export_options o = keep;
    o.type = DTYPE_F16;
    assert_int_equal(export_gguf(m, gguf, &o, &e), ERR_UNSUPPORTED);
    assert_non_null(
        strstr(e.text, "tensor blk.1.ffn_up.weight: element [2][3] is -70000, which F16 cannot hold (BF16"));
    assert_false(os_exists(gguf));
    o.type = DTYPE_BF16;
    must(export_gguf(m, big, &o, &e), &e);
    model_close(m);
    unlink(big);
}

/* Numbers of threads, instruction sets: the same bytes. */
static void threads_change_nothing(void **state) {
    (void)state;
    const char *a = path_of("a.gguf"), *b = path_of("b.gguf");
    export_options o = keep;
    o.type = DTYPE_F16;
    err e;
    for (int i = 0; i < 2; i++) {
        pool *p;
        model *m;
        must(pool_open(&p, i ? 3 : 1, &e), &e);
        must(model_open(&m, MODELS "/gemma3", &(model_options){.pool = p, .isa = i ? "scalar" : "auto"}, &e), &e);
        must(export_gguf(m, i ? a : b, &o, &e), &e);
        model_close(m);
        pool_close(p);
    }
    same_files(a, b, "");
    unlink(a);
    unlink(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family), cmocka_unit_test(types_are_converted), cmocka_unit_test(blocks_are_kept),
        cmocka_unit_test(shards),       cmocka_unit_test(large_values),        cmocka_unit_test(threads_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
