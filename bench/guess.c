/* guess: what guesses from earlier n-grams (gen/guess.h) cost and give, text by text.
 *
 * The beginning of each TEXT is the prompt of one request, answered without guesses and with them, in turns; the
 * answers must be the same. Told are tokens a second of the answer, how many ids were guessed and how many of them
 * came. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common.h"
#include "gen/engine.h"

typedef struct {
    int64_t threads, prompt, n, rounds, seed;
    double temperature;
} values;

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ended;
    double seconds;
    uint64_t digest; /* of the ids */
} answer;

static void on_token(void *ctx, const engine_token *t) {
    answer *a = ctx;
    a->digest = (a->digest ^ (uint64_t)t->token.id) * 0x100000001b3u;
}

static void on_done(void *ctx, const generate_result *r, str text, err_code code, const err *e) {
    answer *a = ctx;
    (void)text;
    if (code != ERR_OK)
        bench_fail(e);
    pthread_mutex_lock(&a->lock);
    a->ended = true;
    a->seconds = r->decode_seconds;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

static answer ask(model *m, const tok_ids *ids, const values *v, bool guesses, engine_stats *stats) {
    answer a = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    engine *g;
    engine_ticket *ticket;
    bool busy;
    size_t n = ids->n < (size_t)v->prompt ? ids->n : (size_t)v->prompt;
    engine_options o = {.ctx_tokens = n + (size_t)v->n, .n_running = 1, .no_guesses = !guesses};
    engine_request r = {.ids = ids->id,
                        .n = n,
                        .n_max = (size_t)v->n,
                        .ignore_end = true,
                        .sampling = {.temperature = (float)v->temperature,
                                     .top_p = 1,
                                     .repetition_penalty = 1,
                                     .penalty_last_n = -1,
                                     .seed = (uint64_t)v->seed},
                        .on_token = on_token,
                        .on_done = on_done,
                        .ctx = &a};
    MUST(engine_open(&g, m, NULL, &o, e));
    MUST(engine_submit(g, &r, &ticket, &busy, e));
    pthread_mutex_lock(&a.lock);
    while (!a.ended)
        pthread_cond_wait(&a.changed, &a.lock);
    pthread_mutex_unlock(&a.lock);
    engine_stats_get(g, stats);
    engine_close(g);
    return a;
}

static void measure(model *m, const tokenizer *t, const char *path, const values *v) {
    strbuf text = {0};
    tok_ids ids = {0};
    double seconds[2] = {0};
    engine_stats stats = {0}, plain;
    MUST(os_read_file(path, 1 << 24, &text, e));
    MUST(tokenizer_encode(t, strbuf_str(&text), TOK_SPECIAL_ADD, &ids, e));
    for (int64_t i = 0; i < v->rounds; i++) {
        answer without = ask(m, &ids, v, false, &plain), with = ask(m, &ids, v, true, &stats);
        if (without.digest != with.digest)
            bench_fail(&(err){.text = "guesses changed an answer"});
        seconds[0] += without.seconds;
        seconds[1] += with.seconds;
    }
    double n = (double)((v->n - 1) * v->rounds);
    str name = os_last_part(path);
    printf("| %.*s | %.1f | %.1f | %.3f | %llu | %llu |\n", STR_ARG(name), n / seconds[0], n / seconds[1],
           seconds[0] / seconds[1], (unsigned long long)stats.guessed_tokens, (unsigned long long)stats.right_tokens);
    fflush(stdout);
    tok_ids_fini(&ids);
    strbuf_fini(&text);
}

int main(int argc, char **argv) {
    values v = {.prompt = 200, .n = 128, .rounds = 1, .temperature = 1};
    const option rows[] = {
        {"threads", 't', OPT_INT, "N", "threads (0: one for every CPU)", offsetof(values, threads), 0, POOL_THREADS_MAX,
         NULL},
        {"prompt", 'p', OPT_INT, "N", "tokens of each text that are the prompt", offsetof(values, prompt), 1, 1 << 20,
         NULL},
        {"tokens", 'n', OPT_INT, "N", "tokens of each answer", offsetof(values, n), 2, 1 << 20, NULL},
        {"rounds", 'r', OPT_INT, "N", "times that each is asked", offsetof(values, rounds), 1, 1000, NULL},
        {"seed", 's', OPT_INT, "N", "of the draws", offsetof(values, seed), 0, 1e9, NULL},
        {"temp", 0, OPT_REAL, "X", "temperature", offsetof(values, temperature), 0, 100, NULL},
        {0}};
    const option_group groups[] = {{"Measurement", rows, 0}, {0}};
    const bench_program program = {"MODEL TEXT [options]", "What guesses cost and give.", groups, 2};
    const char *path[2];
    pool *p;
    model *m;
    tokenizer *t;
    bench_options(&program, argc, argv, &v, path);
    MUST(pool_open(&p, (int)v.threads, e));
    MUST(model_open(&m, path[0], &(model_options){.pool = p}, e));
    const gguf_file *g = model_gguf(m);
    MUST(g ? tokenizer_open_gguf(&t, g, e) : tokenizer_open_folder(&t, path[0], e));
    printf("| text | tokens/s without | with guesses | ratio | guessed | came |\n|---|---|---|---|---|---|\n");
    measure(m, t, path[1], &v);
    tokenizer_close(t);
    model_close(m);
    pool_close(p);
    return 0;
}
