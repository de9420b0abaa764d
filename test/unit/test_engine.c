/* engine: what it refuses, what one request's failure does to others, queue and close; memory that is short is tested
 * in test/fault/test_engine_fault.c, equality with a session in test/prop/test_engine.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "gen/engine.h"
#include "text/gbnf.h"

enum { CTX = 64, V = 160 };

static model *m;
static engine *g;
static token_tree *tree;
static const int32_t ids[CTX + 1] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6};

typedef struct {
    size_t n_tokens, n_done;
    err_code code;
    char text[100];
    generate_result r;
} outcome;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool held; /* the engine's thread waits in a callback */

static void on_token(void *ctx, const engine_token *t) {
    (void)t;
    outcome *o = ctx;
    pthread_mutex_lock(&lock);
    o->n_tokens++;
    pthread_cond_broadcast(&changed);
    while (held)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void on_done(void *ctx, const generate_result *r, str text, err_code code, const err *e) {
    (void)text;
    outcome *o = ctx;
    pthread_mutex_lock(&lock);
    o->r = *r;
    o->code = code;
    o->n_done++;
    memcpy(o->text, e->text, sizeof o->text - 1);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void hold(bool on) {
    pthread_mutex_lock(&lock);
    held = on;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void wait_for(const size_t *count, size_t n) {
    pthread_mutex_lock(&lock);
    while (*count < n)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static engine_request request(outcome *o) {
    return (engine_request){.ids = ids,
                            .n = 20,
                            .sampling = sampler_default,
                            .n_max = 5,
                            .on_token = on_token,
                            .on_done = on_done,
                            .ctx = o};
}

static void open_engine(const engine_options *o) {
    err e = {0};
    if (engine_open(&g, m, NULL, o, &e) != ERR_OK)
        fail_msg("%s", e.text);
}

static void submit(const engine_request *r, engine_ticket **ticket) {
    err e = {0};
    bool busy;
    engine_ticket *t;
    if (engine_submit(g, r, &t, &busy, &e) != ERR_OK)
        fail_msg("%s", e.text);
    if (ticket)
        *ticket = t;
}

static void refused(const engine_request *r, err_code code, const char *text) {
    err e = {0};
    bool busy;
    engine_ticket *t;
    assert_int_equal(engine_submit(g, r, &t, &busy, &e), code);
    assert_false(busy);
    assert_null(t);
    if (!strstr(e.text, text))
        fail_msg("\"%s\" has no \"%s\"", e.text, text);
}

static void refuses_what_is_wrong(void **state) {
    (void)state;
    err e = {0};
    engine *none;
    engine_options o = {.ctx_tokens = CTX, .cache_bytes = model_kv_bytes(m, CTX) - 1};
    assert_int_equal(engine_open(&none, m, NULL, &o, &e), ERR_LIMIT);
    assert_null(none);
    o = (engine_options){.n_running = 1000000};
    assert_int_equal(engine_open(&none, m, NULL, &o, &e), ERR_USAGE);
    o = (engine_options){.ctx_tokens = SIZE_MAX};
    assert_int_equal(engine_open(&none, m, NULL, &o, &e), ERR_USAGE);

    open_engine(&(engine_options){.ctx_tokens = CTX});
    outcome x = {0};
    engine_request r = request(&x);
    r.n = 0;
    refused(&r, ERR_USAGE, "empty");
    r.n = CTX + 1;
    refused(&r, ERR_LIMIT, "the context holds 64");
    r = request(&x);
    r.ids = (const int32_t[]){1, V};
    r.n = 2;
    refused(&r, ERR_USAGE, "token 1 of the prompt: id 160");
    r.ids = (const int32_t[]){-1, 0};
    refused(&r, ERR_USAGE, "id -1");
    r = request(&x);
    r.sampling.temperature = -1;
    refused(&r, ERR_USAGE, "temperature");
    r = request(&x);
    r.n_top = ENGINE_TOP_LOGPROBS_MAX + 1;
    refused(&r, ERR_USAGE, "at most 20");
    r = request(&x);
    r.stop = &STR("");
    r.n_stop = 1;
    refused(&r, ERR_USAGE, "stop string 1");
    r.n_stop = SIZE_MAX; /* never read */
    refused(&r, ERR_USAGE, "stop strings");
    const engine_scored wrong[] = {{V, 1}, {-1, 1}, {3, (double)NAN}};
    for (int i = 0; i < 3; i++) {
        r = request(&x);
        r.bias = &wrong[i];
        r.n_bias = 1;
        refused(&r, ERR_USAGE, "a bias of ");
    }
    r.n_bias = V + 1;
    refused(&r, ERR_USAGE, "biases");
    engine_close(g);
    assert_int_equal(x.n_done, 0);
    engine_close(NULL);
}

/* Tokens 7 and 8 are "a" and "b", the others have no text. */
static constraint *open_grammar(const char *text) {
    str texts[V] = {[7] = STR("a"), [8] = STR("b")};
    bool is_end[V] = {false};
    constraint *c = NULL;
    grammar *made = NULL;
    err e = {0};
    if (!tree && token_tree_of(&tree, texts, is_end, V, &e) != ERR_OK)
        fail_msg("%s", e.text);
    if (gbnf_compile(&made, str_from(text), &e) != ERR_OK || constraint_open(&c, made, tree, &e) != ERR_OK)
        fail_msg("%s", e.text);
    return c;
}

static void one_fails_alone(void **state) {
    (void)state;
    outcome a = {0}, b = {0}, c = {0}, d = {0}, f = {0};
    open_engine(&(engine_options){.ctx_tokens = CTX});
    engine_request r = request(&a);
    submit(&r, NULL);
    const char *const text[4] = {"root ::= \"aa\" \"c\"", "root ::= \"z\"", "root ::= \"ab\"", "root ::= \"b\"*"};
    outcome *const out[4] = {&b, &c, &d, &f};
    constraint *grammars[4];
    constraint_cursor place[4];
    for (size_t i = 0; i < 4; i++) {
        grammars[i] = open_grammar(text[i]);
        constraint_begin(grammars[i], &place[i]);
        r.ctx = out[i];
        r.grammar = &place[i];
        submit(&r, NULL);
    }
    wait_for(&a.n_done, 1);
    for (size_t i = 0; i < 4; i++)
        wait_for(&out[i]->n_done, 1);
    assert_int_equal(a.code, ERR_OK);
    assert_int_equal(a.n_tokens, 5);
    assert_int_equal(a.r.why, STOP_LENGTH);
    assert_int_equal(b.code, ERR_UNSUPPORTED);
    assert_string_equal(b.text, "no token of the model's vocabulary can follow by the grammar, after 2 tokens");
    assert_int_equal(b.n_tokens, 2);
    assert_int_equal(c.code, ERR_UNSUPPORTED);
    assert_int_equal(c.n_tokens, 0);
    assert_int_equal(d.code, ERR_OK);
    assert_int_equal(d.n_tokens, 2);
    assert_int_equal(d.r.why, STOP_COMPLETE);
    assert_int_equal(f.n_tokens, 5);
    assert_int_equal(f.r.why, STOP_LENGTH);
    engine_close(g);
    for (size_t i = 0; i < 4; i++) {
        constraint_end(&place[i]);
        constraint_close(grammars[i]);
    }
    token_tree_close(tree);
}

static void queue_and_close(void **state) {
    (void)state;
    enum { MANY = 5 };
    outcome x[MANY] = {0};
    engine_ticket *t[MANY];
    open_engine(&(engine_options){.ctx_tokens = CTX, .n_running = 1, .n_queued = 3});
    hold(true);
    for (size_t i = 0; i < MANY; i++) {
        engine_request r = request(&x[i]);
        r.n_max = 0;
        err e = {0};
        bool busy;
        err_code code = engine_submit(g, &r, &t[i], &busy, &e);
        if (i == 0)
            wait_for(&x[0].n_tokens, 1); /* it runs; the others wait */
        assert_int_equal(code, i < 4 ? ERR_OK : ERR_LIMIT);
        assert_true(busy == (i == 4));
        if (i == 4)
            assert_string_equal(e.text, "the queue is full");
    }
    engine_stats s;
    engine_stats_get(g, &s);
    assert_int_equal(s.queued, 3);
    assert_int_equal(s.running, 1);
    engine_cancel(g, t[0]);
    engine_cancel(g, t[2]);
    hold(false);
    wait_for(&x[0].n_done, 1);
    wait_for(&x[2].n_done, 1);
    assert_int_equal(x[0].code, ERR_CANCELLED);
    assert_int_equal(x[0].r.why, STOP_CANCELLED);
    assert_true(x[0].n_tokens < CTX - 20);
    assert_int_equal(x[2].code, ERR_CANCELLED);
    assert_int_equal(x[2].n_tokens, 0);
    wait_for(&x[1].n_tokens, 1);
    engine_close(g); /* whatever runs or waits is told */
    assert_int_equal(x[4].n_done, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(x[i].n_done, 1);
}

static int open_all(void **state) {
    (void)state;
    err e = {0};
    const model_options o = {0};
    err_code code = model_open(&m, "test/golden/models/llama", &o, &e);
    if (code != ERR_OK)
        fprintf(stderr, "%s\n", e.text);
    return code == ERR_OK ? 0 : -1;
}

static int close_all(void **state) {
    (void)state;
    model_close(m);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_is_wrong),
        cmocka_unit_test(one_fails_alone),
        cmocka_unit_test(queue_and_close),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
