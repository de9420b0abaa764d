/* session: the token loop allocates nothing; a failed allocation while opening is an error and no leak; a cached
 * prefix, a cancelled call and a full context leave a session that gives the same tokens as a new one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "fault/fault.h"
#include "gen/session.h"

enum { CTX = 96, N_PROMPT = 10 };

static model *m;
static tokenizer *t;
static const int32_t prompt[N_PROMPT] = {0, 9, 31, 7, 77, 140, 3, 18, 55, 23};

/* A vocabulary of the model's size: "t000" to "t159". */
static int open_all(void **state) {
    (void)state;
    const char *tmp = getenv("LOAM_TMP");
    char folder[500], path[600];
    snprintf(folder, sizeof folder, "%s/session-tokenizer", tmp ? tmp : "/tmp");
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    mkdir(folder, 0700);
    strbuf b = {0};
    strbuf_addf(&b, NULL,
                "{\"version\": \"1.0\", \"added_tokens\": [], \"normalizer\": null, \"pre_tokenizer\": {\"type\": "
                "\"ByteLevel\", \"add_prefix_space\": false}, \"post_processor\": null, \"decoder\": {\"type\": "
                "\"ByteLevel\"}, \"model\": {\"type\": \"BPE\", \"merges\": [], \"vocab\": {");
    for (int i = 0; i < 160; i++)
        strbuf_addf(&b, NULL, "%s\"t%03d\": %d", i ? ", " : "", i, i);
    strbuf_addf(&b, NULL, "}}}");
    err e = {0};
    err_code code = os_write_file(path, strbuf_str(&b), &e);
    strbuf_fini(&b);
    const model_options o = {0};
    if (code == ERR_OK)
        code = tokenizer_open_folder(&t, folder, &e);
    if (code == ERR_OK)
        code = model_open(&m, "test/golden/models/llama", &o, &e);
    if (code != ERR_OK)
        fprintf(stderr, "%s\n", e.text);
    return code == ERR_OK ? 0 : -1;
}

static int close_all(void **state) {
    (void)state;
    model_close(m);
    tokenizer_close(t);
    return 0;
}

static session *open_session(void) {
    session *s = NULL;
    err e = {0};
    if (session_open(&s, m, t, CTX, &e) != ERR_OK)
        fail_msg("%s", e.text);
    return s;
}

static size_t n_text;
static void count_text(void *ctx, str text) {
    (void)ctx;
    n_text += text.n;
}

static const str stop[] = {{"never\n", 6}, {"t0 t1", 5}};
static const sampler_config warm = {.temperature = 1,
                                    .top_k = 20,
                                    .top_p = 0.9f,
                                    .min_p = 0.01f,
                                    .repetition_penalty = 1.2f,
                                    .presence_penalty = 0.1f,
                                    .frequency_penalty = 0.1f,
                                    .penalty_last_n = 8,
                                    .seed = 5};

static void loop_allocates_nothing(void **state) {
    (void)state;
    session *s = open_session();
    const generate_options o = {.n_max = 40, .stop = stop, .n_stop = 2, .ignore_end = true, .on_text = count_text};
    generate_result r;
    enum { MANY = 1000000 };
    for (int round = 0; round < 2; round++) {
        fault.kind = FAULT_MEMORY;
        fault.countdown = MANY;
        fault.armed = true;
        err_code code = session_generate(s, prompt, N_PROMPT, &warm, &o, &r, NULL);
        fault.armed = false;
        assert_int_equal(code, ERR_OK);
        assert_int_equal(r.n_generated, 40);
        assert_int_equal(MANY - fault.countdown, 0);
    }
    assert_int_equal(n_text, 2 * 40 * 4);
    /* The counter counts: opening a session does allocate. */
    fault.countdown = MANY;
    fault.armed = true;
    session *other = open_session();
    fault.armed = false;
    assert_true(fault.countdown < MANY);
    session_close(other);
    session_close(s);
}

static void opening_survives_shortage(void **state) {
    (void)state;
    FAULT_EACH(FAULT_MEMORY, 500) {
        session *s = NULL;
        err_code code = session_open(&s, m, t, CTX, NULL);
        fault_end(code == ERR_OK);
        assert_true((code == ERR_OK) == (s != NULL));
        session_close(s);
    }
}

static volatile int flag;
static int n_calls;
static void cancel_later(void *ctx, str text) {
    (void)ctx;
    (void)text;
    if (++n_calls == 5)
        flag = 1;
}

static void cache_never_shows(void **state) {
    (void)state;
    session *fresh = open_session(), *used = open_session();
    generate_options o = {.n_max = 20, .ignore_end = true};
    generate_result r, again;
    err e;
    assert_int_equal(session_generate(fresh, prompt, N_PROMPT, &warm, &o, &r, &e), ERR_OK);
    assert_int_equal(r.n_cached, 0);
    assert_int_equal(r.why, STOP_LENGTH);
    size_t n, n_used;
    const int32_t *want = session_ids(fresh, &n);
    assert_int_equal(n, N_PROMPT + 20);
    /* A session that has seen another prompt, was cancelled, refused bad input, and reuses a prefix. */
    int32_t other[N_PROMPT];
    memcpy(other, prompt, sizeof other);
    other[6] = 99;
    o.on_text = cancel_later;
    o.cancel = &flag;
    assert_int_equal(session_generate(used, other, N_PROMPT, &warm, &o, &again, &e), ERR_OK);
    assert_int_equal(again.why, STOP_CANCELLED);
    assert_int_equal(again.n_generated, 5);
    assert_int_equal(session_generate(used, prompt, N_PROMPT, &warm, &o, &again, &e), ERR_OK);
    assert_int_equal(again.why, STOP_CANCELLED); /* the flag still stands: not even the prompt is read */
    assert_int_equal(again.n_generated, 0);
    flag = 0;
    n_calls = 100;
    other[3] = 160;
    assert_int_equal(session_generate(used, other, N_PROMPT, &warm, &o, &again, &e), ERR_USAGE);
    assert_int_equal(session_generate(used, prompt, 0, &warm, &o, &again, &e), ERR_USAGE);
    int32_t huge[CTX + 1] = {0};
    assert_int_equal(session_generate(used, huge, CTX + 1, &warm, &o, &again, &e), ERR_LIMIT);
    assert_int_equal(session_generate(used, prompt, N_PROMPT, &warm, &o, &again, &e), ERR_OK);
    assert_int_equal(again.n_cached, 6);
    const int32_t *got = session_ids(used, &n_used);
    assert_int_equal(n_used, n);
    assert_memory_equal(got, want, n * sizeof *want);
    /* The whole prompt is cached: one token is computed again. */
    assert_int_equal(session_generate(used, prompt, N_PROMPT, &warm, &o, &again, &e), ERR_OK);
    assert_int_equal(again.n_cached, N_PROMPT - 1);
    assert_memory_equal(session_ids(used, &n_used), want, n * sizeof *want);
    /* To the end of the context, from the session's own ids. */
    o.n_max = 0;
    assert_int_equal(session_generate(used, session_ids(used, &n_used), n_used, &warm, &o, &again, &e), ERR_OK);
    assert_int_equal(again.why, STOP_CONTEXT);
    assert_memory_equal(session_ids(used, &n_used), want, n * sizeof *want);
    assert_int_equal(n_used, CTX);
    session_close(fresh);
    session_close(used);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loop_allocates_nothing),
        cmocka_unit_test(opening_survives_shortage),
        cmocka_unit_test(cache_never_shows),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
