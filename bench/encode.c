/* encode: how fast texts become token ids: a tok_work for each thread, texts taken in turn.
 *
 * The file holds texts with a zero byte behind each. Medians over repetitions; bench/tokenizer.py compares.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "common.h"
#include "tok/tokenizer.h"

enum { REPS_MAX = 31 };

typedef struct {
    int64_t threads, reps;
} values;

typedef struct {
    const str *text;
    size_t n;
    tok_work *work[POOL_THREADS_MAX];
    atomic_size_t next, ids;
} job;

static void encode(void *ctx, int part, int n_parts) {
    job *j = ctx;
    tok_ids ids = {0};
    (void)n_parts;
    for (size_t i; (i = atomic_fetch_add(&j->next, 1)) < j->n;) {
        ids.n = 0;
        MUST(tokenizer_encode_with(j->work[part], j->text[i], 0, &ids, e));
        atomic_fetch_add(&j->ids, ids.n);
    }
    tok_ids_fini(&ids);
}

int main(int argc, char **argv) {
    values v = {.reps = 5};
    const option rows[] = {
        {"threads", 't', OPT_INT, "N", "threads (0: one for every CPU)", offsetof(values, threads), 0, 16, NULL},
        {"reps", 'r', OPT_INT, "N", "repetitions, of which the median counts", offsetof(values, reps), 1, REPS_MAX,
         NULL},
        {0}};
    const option_group groups[] = {{"Measurement", rows, 0}, {0}};
    const bench_program program = {"TOKENIZER TEXTS [options]", "Measures encoding of many texts.", groups, 2};
    const char *arg[2];
    bench_options(&program, argc, argv, &v, arg);

    tokenizer *t = NULL;
    pool *p = NULL;
    strbuf bytes = {0};
    static job j;
    MUST(tokenizer_open_folder(&t, arg[0], e));
    MUST(pool_open(&p, (int)v.threads, e));
    MUST(os_read_regular(arg[1], (size_t)1 << 31, &bytes, e));
    size_t room = 1;
    for (size_t i = 0; i < bytes.n; i++)
        room += bytes.p[i] == 0;
    str *text = calloc(room, sizeof *text);
    if (!text)
        abort();
    for (size_t at = 0, to; at < bytes.n; at = to + 1) {
        const char *end = memchr(bytes.p + at, 0, bytes.n - at);
        to = end ? (size_t)(end - bytes.p) : bytes.n;
        text[j.n++] = (str){bytes.p + at, to - at};
    }
    j.text = text;
    double took[REPS_MAX];
    for (int64_t r = 0; r < v.reps; r++) {
        for (int i = 0; i < pool_threads(p); i++) /* nothing is known from the repetition before */
            MUST(tok_work_open(&j.work[i], t, e));
        atomic_store(&j.next, 0);
        atomic_store(&j.ids, 0);
        double begun = os_now();
        pool_run(p, encode, &j);
        took[r] = os_now() - begun;
        for (int i = 0; i < pool_threads(p); i++)
            tok_work_close(j.work[i]);
    }
    double seconds = bench_median(took, (size_t)v.reps);
    size_t n = bytes.n - j.n;
    printf("{\"threads\":%d,\"texts\":%zu,\"bytes\":%zu,\"ids\":%zu,\"seconds\":%.5f,\"mb_s\":%.2f}\n", pool_threads(p),
           j.n, n, (size_t)atomic_load(&j.ids), seconds, 1e-6 * (double)n / seconds);
    free(text);
    strbuf_fini(&bytes);
    pool_close(p);
    tokenizer_close(t);
    return 0;
}
