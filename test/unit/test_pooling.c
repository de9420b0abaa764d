/* pooling: what models state, and the vectors by hand. Against sentence-transformers: test/e2e/test_embed.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/os.h"
#include "model/pooling.h"
#include "unit/gguf_build.h"

enum { D = 3, T = 4 };
static const float states[T][D] = {{1, -8, 2}, {2, 4, -2}, {3, 6, 0}, {-4, 0.5f, 4}};

static void vectors(void **state) {
    (void)state;
    static const float want[][D] = {
        [POOL_LAST] = {-4, 0.5f, 4}, [POOL_MEAN] = {0.5f, 0.625f, 1},    [POOL_FIRST] = {1, -8, 2},
        [POOL_MAX] = {3, 6, 4},      [POOL_WEIGHTED] = {-0.2f, 2, 1.4f}, [POOL_ROOT] = {1, 1.25f, 2},
    };
    for (int how = POOL_LAST; how <= POOL_ROOT; how++) {
        double sum[D] = {0};
        float out[D];
        for (size_t t = how == POOL_LAST ? 2 : 0; t < T; t++) /* the last may begin anywhere */
            pooling_add((pooling_how)how, sum, D, t, states[t]);
        pooling_end((pooling_how)how, sum, D, T, out);
        assert_memory_equal(out, want[how], sizeof out);
        assert_true(*pooling_name((pooling_how)how) != 0);
    }
}

static void of_length_one(void **state) {
    (void)state;
    float x[] = {3, -4}, zero[] = {0, 0}, tiny[] = {1e-30f, 0};
    pooling_unit(x, 2);
    assert_true(x[0] == 0.6f && x[1] == -0.8f);
    pooling_unit(zero, 2);
    assert_true(zero[0] == 0 && zero[1] == 0);
    pooling_unit(tiny, 2); /* whose square is no binary32 */
    assert_true(tiny[0] == 1);
}

/* ---- folders ---- */

static const char *folder;

static void put(const char *name, const char *text) {
    char path[OS_PATH_BYTES];
    err e;
    assert_int_equal(os_join(path, folder, name, &e), ERR_OK);
    remove(path);
    if (text)
        assert_int_equal(os_write_file(path, str_from(text), &e), ERR_OK);
}

static int make_folder(void **state) {
    (void)state;
    static const char *const files[] = {"config.json", "model.safetensors"};
    char from[200], to[OS_PATH_BYTES];
    err e;
    folder = build_path("pooling");
    mkdir(folder, 0700);
    for (int i = 0; i < 2; i++) {
        strbuf text = {0};
        snprintf(from, sizeof from, "test/golden/models/llama/%s", files[i]);
        err_code code = os_join(to, folder, files[i], &e);
        if (code == ERR_OK)
            code = os_read_file(from, 1 << 20, &text, &e);
        if (code == ERR_OK)
            code = os_write_file(to, strbuf_str(&text), &e);
        strbuf_fini(&text);
        if (code != ERR_OK)
            return -1;
    }
    if (os_join(to, folder, "1_Pooling", &e) != ERR_OK)
        return -1;
    mkdir(to, 0700);
    return 0;
}

static void stated(const char *modules, const char *config, err_code want, pooling_how how, bool said) {
    model *m;
    pooling p;
    err e = {0};
    put("modules.json", modules);
    put("1_Pooling/config.json", config);
    assert_int_equal(model_open(&m, folder, &(model_options){.plan = true}, &e), ERR_OK);
    err_code code = pooling_of(m, &p, &e);
    if (code != want || (code == ERR_OK && (p.how != how || p.stated != said)))
        fail_msg("%s: %s: %d (%s), %s", modules ? modules : "none", config ? config : "none", (int)code, e.text,
                 pooling_name(p.how));
    model_close(m);
}

#define POOLING(path) "{\"type\": \"sentence_transformers.models.Pooling\", \"path\": \"" path "\"}"
#define TRANSFORMER "{\"type\": \"sentence_transformers.models.Transformer\", \"path\": \"\"}"
#define NORMALIZE "{\"type\": \"sentence_transformers.models.Normalize\", \"path\": \"2_Normalize\"}"
#define PLAIN "[" TRANSFORMER ", " POOLING("1_Pooling") ", " NORMALIZE "]"

static void folders(void **state) {
    (void)state;
    stated(NULL, NULL, ERR_OK, POOL_LAST, false);
    stated("[" TRANSFORMER "]", NULL, ERR_OK, POOL_LAST, false);
    stated(PLAIN, "{\"pooling_mode\": \"mean\"}", ERR_OK, POOL_MEAN, true);
    stated(PLAIN, "{\"pooling_mode\": [\"cls\"]}", ERR_OK, POOL_FIRST, true);
    stated(PLAIN, "{\"pooling_mode_lasttoken\": true, \"pooling_mode_mean_tokens\": false}", ERR_OK, POOL_LAST, true);
    stated(PLAIN, "{\"pooling_mode_max_tokens\": true}", ERR_OK, POOL_MAX, true);
    stated(PLAIN, "{\"pooling_mode_lasttoken\": true, \"pooling_mode_mean_tokens\": true}", ERR_UNSUPPORTED, 0, 0);
    stated(PLAIN, "{\"pooling_mode\": [\"cls\", \"mean\"]}", ERR_UNSUPPORTED, 0, 0);
    stated(PLAIN, "{\"pooling_mode\": \"other\"}", ERR_UNSUPPORTED, 0, 0);
    stated(PLAIN, "{}", ERR_UNSUPPORTED, 0, 0);
    stated(PLAIN, "[]", ERR_UNSUPPORTED, 0, 0);
    stated(PLAIN, "{", ERR_FORMAT, 0, 0);
    stated(PLAIN, NULL, ERR_FORMAT, 0, 0);
    stated("{}", NULL, ERR_FORMAT, 0, 0);
    stated("[5]", NULL, ERR_UNSUPPORTED, 0, 0);
    stated("[{\"type\": \"sentence_transformers.models.Dense\"}]", NULL, ERR_UNSUPPORTED, 0, 0);
    stated("[" POOLING("../pooling/1_Pooling") "]", "{\"pooling_mode\": \"mean\"}", ERR_FORMAT, 0, 0);
    stated("[" POOLING("..") "]", "{\"pooling_mode\": \"mean\"}", ERR_FORMAT, 0, 0);
    stated("[" POOLING("/tmp") "]", "{\"pooling_mode\": \"mean\"}", ERR_FORMAT, 0, 0);
    stated("[" POOLING("") "]", "{\"pooling_mode\": \"mean\"}", ERR_FORMAT, 0, 0);
    stated("[" POOLING("1_Pooling\\u0000x") "]", "{\"pooling_mode\": \"mean\"}", ERR_FORMAT, 0, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(of_length_one),
        cmocka_unit_test(folders),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
