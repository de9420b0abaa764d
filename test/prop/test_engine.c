/* test_engine: what a request gets from the engine is what it would get alone, bit for bit: ids, text, reason, log
 * probabilities, embeddings. Random mixes of requests that join and leave, with prefixes cold and warm, little and much
 * memory, threads 1 to 3, cancels at any moment, on models of several families. Alone: session_generate(), and for bias
 * and grammar a loop of model_forward() and sampler_next(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>

#include "base/os.h"
#include "gen/engine.h"
#include "kern/math64.h"
#include "prop/gen.h"
#include "text/gbnf.h"
#include "unit/gguf_build.h"

enum { CTX = 150, WIDTH_MAX = 256, ASKS = 20, FEW = 5, BIASES = 3, TOP = 4, NEVER = 1000 };

typedef struct {
    /* asked */
    int32_t ids[CTX];
    size_t n, n_max, n_stop, n_bias, n_top, cancel_at;
    sampler_config sampling;
    str stop[2];
    engine_scored bias[BIASES];
    constraint *grammar; /* when masked */
    constraint_cursor place;
    bool special, masked, logprobs, prompt_too, prompt_only, embeds, cancel_outside;
    pooling_how pooling;
    /* alone */
    int32_t want[CTX];
    double want_logprob[CTX];
    int32_t want_best[CTX];
    float want_vector[WIDTH_MAX];
    size_t n_want;
    strbuf want_text;
    stop_reason want_why;
    /* got */
    engine_ticket *ticket;
    int32_t got[CTX];
    double logprob[CTX];
    int32_t best[CTX];
    float vector[WIDTH_MAX];
    size_t n_got, n_told;
    strbuf text;
    generate_result r;
    err_code code;
    bool done;
} ask;

static tokenizer *t;
static token_tree *tree;
static engine *g;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static size_t n_done, n_tokens;
static uint64_t n_guessed, n_right;

static void must(err_code code, const err *e) {
    if (code)
        fail_msg("%s", e->text);
}

/* 150 tokens, ten of them bytes that are characters only together; ids above have no text. */
static int open_tokenizer(void **state) {
    (void)state;
    const char *folder = build_path("engine-tokenizer");
    char path[4200];
    strbuf b = {0};
    err e = {0};
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    mkdir(folder, 0700);
    strbuf_addf(
        &b, NULL,
        "{\"version\": \"1.0\", \"added_tokens\": [{\"id\": 149, \"content\": \"</s>\", \"single_word\": false, "
        "\"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": true}], \"normalizer\": "
        "null, \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}, "
        "\"post_processor\": null, \"decoder\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\", "
        "\"merges\": [], \"vocab\": {\"\xc3\x83\": 0, \"\xc2\xa9\": 1, \"\xc3\xb0\": 2, \"\xc5\x81\": 3");
    for (int i = 4; i < 149; i++)
        strbuf_addf(&b, NULL, ", \"%c%d\": %d", 'a' + i % 3, i, i);
    strbuf_addf(&b, NULL, ", \"</s>\": 149}}}");
    err_code code = os_write_file(path, strbuf_str(&b), &e);
    strbuf_fini(&b);
    snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
    if (code == ERR_OK)
        code = os_write_file(path, STR("{\"eos_token\": \"</s>\"}"), &e);
    if (code == ERR_OK)
        code = tokenizer_open_folder(&t, folder, &e);
    if (code == ERR_OK)
        code = token_tree_open(&tree, t, false, &e);
    if (code != ERR_OK)
        fprintf(stderr, "%s\n", e.text);
    return code == ERR_OK ? 0 : -1;
}

static int close_tokenizer(void **state) {
    (void)state;
    token_tree_close(tree);
    tokenizer_close(t);
    return 0;
}

/* ---- alone ---- */

static size_t n_vocab;

/* By turns tokens with one letter and with another; a character of two tokens. */
static const char turns[] = "root ::= ( even odd ){0,7} even? | ( odd even )*\n"
                            "even ::= [ac] [0-9]{1,3} | \"\xc3\xa9\"\n"
                            "odd ::= [bc] [0-9]+\n";

static void open_grammar(ask *a) {
    err e = {0};
    grammar *made;
    must(gbnf_compile(&made, str_from(turns), &e), &e);
    must(constraint_open(&a->grammar, made, tree, &e), &e);
}

static void add_text(void *ctx, str text) { must(strbuf_add(ctx, text, NULL), NULL); }

static void alone_by_session(ask *a, session *s) {
    err e = {0};
    generate_result r;
    size_t n;
    const generate_options o = {.n_max = a->n_max,
                                .stop = a->stop,
                                .n_stop = a->n_stop,
                                .special = a->special,
                                .on_text = add_text,
                                .ctx = &a->want_text};
    must(session_generate(s, a->ids, a->n, &a->sampling, &o, &r, &e), &e);
    const int32_t *ids = session_ids(s, &n);
    memcpy(a->want, ids, n * sizeof *ids);
    a->n_want = n;
    a->want_why = r.why;
}

/* Bias and grammar; no stop strings. */
static void alone_by_hand(ask *a, model *m) {
    err e = {0};
    sampler *s;
    kv_cache *kv;
    float *logits = gen_alloc(n_vocab * sizeof *logits);
    must(sampler_open(&s, n_vocab, &e), &e);
    must(kv_open(&kv, m, CTX, &e), &e);
    memcpy(a->want, a->ids, a->n * sizeof *a->want);
    a->want_why = STOP_CONTEXT;
    if (a->masked)
        constraint_begin(a->grammar, &a->place);
    for (a->n_want = a->n; a->n_want < CTX;) {
        size_t from = kv_len(kv);
        must(model_forward(m, kv, a->want + from, a->n_want - from, LOGITS_LAST, logits, &e), &e);
        for (size_t i = 0; i < a->n_bias; i++)
            logits[a->bias[i].id] += (float)a->bias[i].logprob;
        bool complete = false;
        if (a->masked)
            must(constraint_mask(&a->place, logits, n_vocab, &e), &e);
        int32_t id = sampler_next(s, &a->sampling, logits, a->want, a->n_want);
        if (a->masked)
            must(constraint_take(&a->place, id, &complete, &e), &e);
        must(id < tokenizer_n_vocab(t) ? tokenizer_decode_next(t, a->n_want, id, a->special, &a->want_text, &e)
                                       : ERR_OK,
             &e);
        a->want[a->n_want++] = id;
        if (id < tokenizer_n_vocab(t) && tokenizer_is_end(t, id))
            a->want_why = STOP_END_TOKEN;
        else if (complete)
            a->want_why = STOP_COMPLETE;
        else if (a->n_max && a->n_want - a->n == a->n_max)
            a->want_why = STOP_LENGTH;
        else
            continue;
        break;
    }
    constraint_end(&a->place);
    kv_close(kv);
    sampler_close(s);
    free(logits);
}

/* What all the ids' probabilities are, by the definition in score.h. */
static void score_alone(ask *a, model *m) {
    err e = {0};
    kv_cache *kv;
    float *logits = gen_alloc(a->n_want * n_vocab * sizeof *logits), *l = logits;
    must(kv_open(&kv, m, CTX, &e), &e);
    must(model_forward(m, kv, a->want, a->n_want, LOGITS_ALL, logits, &e), &e);
    for (size_t i = 1; i < a->n_want; i++, l += n_vocab) {
        size_t best = 0;
        double sum = 0;
        for (size_t j = 0; j < n_vocab; j++)
            best = l[j] > l[best] ? j : best;
        for (size_t j = 0; j < n_vocab; j++)
            sum += kern_exp64((double)l[j] - (double)l[best]);
        a->want_logprob[i] = -(kern_log64(sum) + (double)l[best] - (double)l[a->want[i]]);
        a->want_best[i] = (int32_t)best;
    }
    kv_close(kv);
    free(logits);
}

/* In one pass. */
static void embed_alone(ask *a, model *m) {
    err e = {0};
    kv_cache *kv;
    size_t D = model_config_of(m)->D;
    float *states = gen_alloc(a->n * D * sizeof *states);
    double sum[WIDTH_MAX] = {0};
    assert_true(D <= WIDTH_MAX);
    must(kv_open(&kv, m, CTX, &e), &e);
    model_part part = {.kv = kv, .ids = a->ids, .n = a->n, .states = states};
    must(model_forward_batch(m, &part, 1, NULL, &e), &e);
    for (size_t i = 0; i < a->n; i++)
        pooling_add(a->pooling, sum, D, i, states + i * D);
    pooling_end(a->pooling, sum, D, a->n, a->want_vector);
    kv_close(kv);
    free(states);
}

/* ---- a random request ---- */

static uint64_t draw_seed, draw_at;
static size_t draw(size_t n) { return rng_below(draw_seed, RNG_TEST, draw_at++, n); }

static void make(ask *a, const ask *before, size_t i, model *m, session *s) {
    static const str ends[] = {{"7b", 2}, {"b1", 2}, {"c5", 2}, {"\xc3\xa9", 2}};
    memset(a, 0, sizeof *a);
    a->n = 1 + draw(i % 3 ? 40 : CTX);
    for (size_t k = 0; k < a->n; k++)
        a->ids[k] = (int32_t)draw(n_vocab);
    if (i && draw(3)) { /* begins like another, or is its continuation */
        const ask *b = &before[draw(i)];
        size_t n = draw(2) ? b->n_want : draw(b->n + 1);
        memcpy(a->ids, b->want, n * sizeof *a->ids);
        a->n = a->n > n || n == 0 ? a->n : n;
    }
    a->n_max = draw(4) ? 1 + draw(30) : 0;
    a->sampling = sampler_default;
    a->sampling.seed = draw(5);
    a->sampling.temperature = draw(3) ? 1.5f : 0;
    a->sampling.top_k = draw(2) ? 0 : 30;
    if (draw(2))
        a->sampling.repetition_penalty = 1.3f;
    a->special = draw(2);
    a->logprobs = draw(2);
    a->n_top = a->logprobs ? draw(TOP + 1) : 0;
    a->prompt_too = draw(4) == 0;
    a->embeds = !a->prompt_too && draw(5) == 0;
    a->pooling = (pooling_how)draw(POOL_ROOT + 1);
    a->prompt_only = a->embeds || (a->prompt_too && draw(2));
    a->cancel_at = draw(5) ? NEVER : draw(20);
    a->cancel_outside = draw(12) == 0;
    a->masked = draw(5) == 0;
    if (a->masked)
        open_grammar(a);
    a->n_bias = draw(4) ? 0 : BIASES;
    for (size_t k = 0; k < a->n_bias; k++)
        a->bias[k] = (engine_scored){(int32_t)draw(n_vocab), (double)draw(9) - 4};
    if (!a->masked && !a->n_bias)
        for (a->n_stop = draw(3); a->stop[0].n == 0 || a->stop[1].n == 0;)
            a->stop[a->stop[0].n != 0] = ends[draw(4)];
    if (a->prompt_only) {
        memcpy(a->want, a->ids, a->n * sizeof *a->ids);
        a->n_want = a->n;
        a->want_why = STOP_LENGTH;
    } else if (a->masked || a->n_bias) {
        alone_by_hand(a, m);
    } else {
        alone_by_session(a, s);
    }
    score_alone(a, m);
    if (a->embeds)
        embed_alone(a, m);
}

/* ---- by the engine ---- */

static void on_prompt(void *ctx, const engine_token *k) {
    ask *a = ctx;
    a->logprob[a->n_told] = k->token.logprob;
    a->best[a->n_told] = k->n_top ? k->top[0].id : -1;
    a->got[a->n_told++] = k->token.id;
}

static void on_token(void *ctx, const engine_token *k) {
    ask *a = ctx;
    size_t i = a->n + a->n_got;
    a->got[i] = k->token.id;
    a->logprob[i] = k->token.logprob;
    a->best[i] = k->n_top ? k->top[0].id : -1;
    a->n_got++;
    add_text(&a->text, k->text);
    if (a->n_got == a->cancel_at)
        engine_cancel(g, a->ticket);
    pthread_mutex_lock(&lock);
    n_tokens++;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static void on_done(void *ctx, const generate_result *r, str text, err_code code, const err *e) {
    ask *a = ctx;
    add_text(&a->text, text);
    if (code && code != ERR_CANCELLED)
        fprintf(stderr, "%s\n", e->text);
    constraint_end(&a->place);
    pthread_mutex_lock(&lock);
    a->r = *r;
    a->code = code;
    a->done = true;
    n_done++;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static void submit(ask *a) {
    const engine_request r = {.ids = a->ids,
                              .n = a->n,
                              .sampling = a->sampling,
                              .n_max = a->n_max,
                              .stop = a->stop,
                              .n_stop = a->n_stop,
                              .special = a->special,
                              .bias = a->bias,
                              .n_bias = a->n_bias,
                              .n_top = a->n_top,
                              .logprobs = a->logprobs,
                              .prompt_too = a->prompt_too,
                              .prompt_only = a->prompt_only,
                              .embedding = a->embeds ? a->vector : NULL,
                              .pooling = a->pooling,
                              .grammar = a->masked ? &a->place : NULL,
                              .on_prompt = on_prompt,
                              .on_token = on_token,
                              .on_done = on_done,
                              .ctx = a};
    bool busy;
    err e = {0};
    a->n_got = a->n_told = 0;
    a->text.n = 0;
    a->done = false;
    memset(a->vector, 0, sizeof a->vector);
    if (a->masked)
        constraint_begin(a->grammar, &a->place);
    memcpy(a->got, a->ids, a->n * sizeof *a->got);
    must(engine_submit(g, &r, &a->ticket, &busy, &e), &e);
}

/* Until so many more tokens were told, or so many requests are done. */
static void wait_for(size_t tokens, size_t done) {
    pthread_mutex_lock(&lock);
    tokens += n_tokens;
    while (n_tokens < tokens && n_done < done)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void verify(const ask *a, const char *what, size_t i) {
    bool cut = a->code == ERR_CANCELLED;
    size_t n = a->n + a->n_got;
    if (a->code != ERR_OK && !(cut && (a->cancel_at < NEVER || a->cancel_outside)))
        fail_msg("%s, request %zu: error %d", what, i, (int)a->code);
    assert_int_equal(a->r.n_generated, a->n_got);
    for (size_t k = 0; k < n; k++)
        if (k >= a->n_want || a->got[k] != a->want[k])
            fail_msg("%s, request %zu of %zu ids: id %zu is %d, alone %d (%zu in all)", what, i, a->n, k, a->got[k],
                     a->want[k], a->n_want);
    if (!cut && (n != a->n_want || a->r.why != a->want_why))
        fail_msg("%s, request %zu: %zu ids, reason %d; alone %zu, %d", what, i, n, a->r.why, a->n_want, a->want_why);
    if (!cut && memcmp(a->vector, a->want_vector, sizeof a->vector))
        fail_msg("%s, request %zu: another embedding than alone", what, i);
    bool by_hand = a->masked || a->n_bias; /* bytes as decoded, not repaired */
    if (!cut && !by_hand && !str_eq(strbuf_str(&a->text), strbuf_str(&a->want_text)))
        fail_msg("%s, request %zu: other text than alone", what, i);
    if (a->prompt_too && !cut)
        assert_int_equal(a->n_told, a->n);
    for (size_t k = a->prompt_too ? 1 : a->n; k < (a->n_got ? n : a->n_told) && a->logprobs; k++) {
        if (memcmp(&a->logprob[k], &a->want_logprob[k], sizeof *a->logprob))
            fail_msg("%s, request %zu: log probability %zu is %a, alone %a", what, i, k, a->logprob[k],
                     a->want_logprob[k]);
        if (a->n_top && a->best[k] != a->want_best[k])
            fail_msg("%s, request %zu: the likeliest of %zu is %d, alone %d", what, i, k, a->best[k], a->want_best[k]);
    }
}

/* All requests, in an order and at moments of their own; then the same again, warm. */
static void mix(const char *path, int n_threads, uint64_t seed, size_t n_asks, size_t caches) {
    err e = {0};
    pool *p = NULL;
    model *m = NULL;
    session *s = NULL;
    ask *a = gen_alloc(n_asks * sizeof *a);
    draw_seed = seed;
    draw_at = 0;
    must(pool_open(&p, n_threads, &e), &e);
    must(model_open(&m, path, &(model_options){.pool = p}, &e), &e);
    must(session_open(&s, m, t, CTX, &e), &e);
    n_vocab = model_config_of(m)->V;
    for (size_t i = 0; i < n_asks; i++)
        make(&a[i], a, i, m, s);
    session_close(s);
    /* Threads that wait for a CPU are slow: fewer requests then. */
    engine_options o = {.ctx_tokens = CTX,
                        .n_running = 1 + draw(7),
                        .cache_bytes = caches * model_kv_bytes(m, CTX),
                        .pool = seed % 3 ? p : NULL};
    must(engine_open(&g, m, t, &o, &e), &e);
    assert_int_equal(engine_ctx(g), CTX);
    assert_ptr_equal(engine_model(g), m);
    for (int round = 0; round < 2; round++) {
        n_done = n_tokens = 0;
        size_t from = draw(n_asks);
        for (size_t i = 0; i < n_asks; i++) {
            ask *x = &a[(from + i) % n_asks];
            submit(x);
            if (draw(3) == 0)
                wait_for(draw(40), i + 1 - draw(i + 1));
            if (x->cancel_outside) {
                pthread_mutex_lock(&lock);
                if (!x->done)
                    engine_cancel(g, x->ticket); /* on_done() needs the lock to return */
                pthread_mutex_unlock(&lock);
            }
        }
        wait_for(SIZE_MAX / 2, n_asks);
        for (size_t i = 0; i < n_asks; i++)
            verify(&a[i], path, i);
    }
    engine_stats stats;
    engine_stats_get(g, &stats);
    assert_int_equal(stats.requests, 2 * n_asks);
    assert_true(stats.cache_bytes <= stats.cache_bytes_max);
    assert_true(stats.cached_tokens > 0);
    n_guessed += stats.guessed_tokens;
    n_right += stats.right_tokens;
    engine_close(g);
    model_close(m);
    pool_close(p);
    for (size_t i = 0; i < n_asks; i++) {
        constraint_close(a[i].grammar);
        strbuf_fini(&a[i].text);
        strbuf_fini(&a[i].want_text);
    }
    free(a);
}

#define MODELS "test/golden/models/"

static void as_alone(void **state) {
    (void)state;
    static const struct {
        const char *path;
        int n_threads;
        size_t caches;
    } cases[] = {
        {MODELS "llama", 1, 3},   {MODELS "gemma3", 2, 20},          {MODELS "gemma2", 3, 5},
        {MODELS "phi3", 1, 8},    {MODELS "quant/mixed.gguf", 2, 8}, {MODELS "qwen2-window", 1, 1},
        {MODELS "smollm3", 1, 4}, {MODELS "granite", 2, 2},          {MODELS "olmo3", 3, 12},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        mix(cases[i].path, cases[i].n_threads, i, cases[i].n_threads > 1 ? FEW : ASKS, cases[i].caches);
    assert_true(n_right > 0 && n_guessed > n_right); /* both were tried: guesses that came and that did not */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_alone),
    };
    return cmocka_run_group_tests(tests, open_tokenizer, close_tokenizer);
}
