/* bpe_train: see bpe_train.h. Small texts are gathered into a batch, large ones are cut where every pattern cuts,
 * and the threads take part after part; what each counted is added up before the learning. */
#include "tok/bpe_train.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "text/utf8.h"
#include "tok/bpe_json.h"
#include "tok/bpe_learn.h"
#include "tok/pretok.h"

enum { BATCH_BYTES = 8 << 20, PART_BYTES = 128 << 10, LARGE_BYTES = 1 << 20, PARTS_MAX = 1 << 16, QUEUE = 16 };

const bpe_pattern bpe_patterns[] = {
    {"gpt2", "words with the blank before them, numbers whole", "gpt-2"},
    {"llama3", "the same with the sign before a word, numbers in threes, line ends apart (also OLMo 2, cl100k)",
     "dbrx"},
    {"qwen2", "as llama3, digits one by one", "deepseek-r1-qwen"},
    {"gpt4o", "as llama3, also cut where lower case turns to upper", "gpt-4o"},
    {0},
};

const bpe_pattern *bpe_pattern_find(const char *name) {
    for (const bpe_pattern *p = bpe_patterns; p->name; p++)
        if (strcmp(p->name, name) == 0)
            return p;
    return NULL;
}

/* What one thread counts. */
typedef struct {
    word_table words;
    pretok_work pre;
    rx_work *rx;
    word_waiting queue[QUEUE]; /* a ring: word i of a text in place i % QUEUE */
    size_t n_queued;
    uint64_t n_words, n_ill_formed, n_long;
    err_code code;
    err e;
} counter;

struct bpe_trainer {
    bpe_train_options o;
    pool *pool;
    pretok pre;
    counter *counter; /* one a thread */
    int n_threads, stride;
    char *batch; /* texts that wait */
    size_t n_batch;
    str *part; /* of the batch, or of a large text */
    size_t n_parts;
    atomic_size_t next; /* part to be counted */
    bpe_train_facts facts;
    bpe_learnt learnt;
};

/* ---- life ---- */

static err_code check_special(const str *special, size_t n, err *e) {
    if (n > BPE_TRAIN_SPECIAL_MAX)
        return err_set(e, ERR_USAGE, "%zu special tokens; at most %d are supported", n, BPE_TRAIN_SPECIAL_MAX);
    for (size_t i = 0; i < n; i++) {
        if (special[i].n < 2 || special[i].n > BPE_TRAIN_SPECIAL_BYTES_MAX || !utf8_valid(special[i]))
            return err_set(e, ERR_USAGE, "special token \"%.*s\" is not UTF-8 of 2 to %d bytes", STR_ARG(special[i]),
                           BPE_TRAIN_SPECIAL_BYTES_MAX);
        size_t at = 0;
        utf8_next(special[i], &at);
        if (at == special[i].n)
            return err_set(e, ERR_USAGE, "special token \"%.*s\" is a single character; two or more are wanted",
                           STR_ARG(special[i]));
        for (size_t j = 0; j < i; j++)
            if (str_eq(special[i], special[j]))
                return err_set(e, ERR_USAGE, "special token \"%.*s\" is given twice", STR_ARG(special[i]));
    }
    return ERR_OK;
}

static err_code check(const bpe_train_options *o, err *e) {
    TRY(check_special(o->special, o->n_special, e));
    if (o->n_vocab < BPE_TRAIN_BYTES + o->n_special || o->n_vocab > BPE_TRAIN_VOCAB_MAX)
        return err_set(e, ERR_USAGE, "a vocabulary of %zu is not within %zu (256 bytes and %zu special tokens) to %d",
                       o->n_vocab, BPE_TRAIN_BYTES + o->n_special, o->n_special, BPE_TRAIN_VOCAB_MAX);
    if (o->min_count < 1)
        return err_set(e, ERR_USAGE, "the least count of a pair is 1 or more");
    if (o->piece_bytes_max < 2 || o->piece_bytes_max > BPE_TRAIN_PIECE_BYTES_MAX)
        return err_set(e, ERR_USAGE, "pieces of at most %zu bytes: 2 to %d are supported", o->piece_bytes_max,
                       BPE_TRAIN_PIECE_BYTES_MAX);
    return ERR_OK;
}

static err_code open_all(bpe_trainer *t, err *e) {
    TRY(pretok_add_pattern(&t->pre, str_from(pretok_pattern(t->o.pattern->name)), PRETOK_ISOLATED, false, e));
    t->batch = malloc(BATCH_BYTES);
    t->part = malloc(PARTS_MAX * sizeof *t->part);
    t->counter = calloc((size_t)t->n_threads, sizeof *t->counter);
    if (!t->batch || !t->part || !t->counter)
        return err_set(e, ERR_MEMORY, "no memory to count words with %d threads", t->n_threads);
    for (int i = 0; i < t->n_threads; i++) {
        TRY(rx_work_open(&t->counter[i].rx, e));
        t->counter[i].pre.rx = t->counter[i].rx;
    }
    return ERR_OK;
}

err_code bpe_train_open(bpe_trainer **out, const bpe_train_options *o, pool *p, err *e) {
    *out = NULL;
    TRY(check(o, e));
    bpe_trainer *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(e, ERR_MEMORY, "no memory for a trainer");
    t->o = *o;
    t->pool = p;
    t->n_threads = pool_threads(p);
    err_code code = open_all(t, e);
    if (code != ERR_OK)
        bpe_train_close(t);
    else
        *out = t;
    return code;
}

void bpe_train_close(bpe_trainer *t) {
    if (!t)
        return;
    for (int i = 0; t->counter && i < t->n_threads; i++) {
        word_table_fini(&t->counter[i].words);
        pretok_work_fini(&t->counter[i].pre);
        rx_work_close(t->counter[i].rx);
    }
    free(t->counter);
    free(t->batch);
    free(t->part);
    pretok_fini(&t->pre);
    bpe_learnt_fini(&t->learnt);
    free(t);
}

/* ---- counting ---- */

static err_code on_word(void *ctx, str word, err *e) {
    counter *c = ctx;
    if (word.n > BPE_TRAIN_WORD_BYTES_MAX) {
        c->n_long++;
        return ERR_OK;
    }
    c->n_words++;
    word_waiting *place = &c->queue[c->n_queued % QUEUE];
    if (c->n_queued++ >= QUEUE)
        TRY(word_table_add_waiting(&c->words, place, 1, e));
    *place = word_table_look(&c->words, word);
    return ERR_OK;
}

static err_code count_valid(const bpe_trainer *t, counter *c, str text) {
    c->n_queued = 0;
    TRY(pretok_run(&t->pre, &c->pre, text, true, false, on_word, c, &c->e));
    for (size_t i = c->n_queued > QUEUE ? c->n_queued - QUEUE : 0; i < c->n_queued; i++)
        TRY(word_table_add_waiting(&c->words, &c->queue[i % QUEUE], 1, &c->e));
    return ERR_OK;
}

static err_code count_text(const bpe_trainer *t, counter *c, str text) {
    if (utf8_valid(text))
        return count_valid(t, c, text);
    size_t at = 0, good = 0;
    while (at < text.n) {
        size_t start = at;
        if (utf8_next(text, &at) >= 0)
            continue;
        TRY(count_valid(t, c, str_sub(text, good, start)));
        c->n_ill_formed += at - start;
        good = at;
    }
    return count_valid(t, c, str_sub(text, good, text.n));
}

static void count_parts(void *ctx, int thread, int n_threads) {
    (void)n_threads;
    bpe_trainer *t = ctx;
    counter *c = &t->counter[thread];
    for (size_t i; c->code == ERR_OK && (i = atomic_fetch_add(&t->next, 1)) < t->n_parts;)
        c->code = count_text(t, c, t->part[i]);
}

/* Counts the parts at hand; the batch is empty afterwards. */
static err_code count_now(bpe_trainer *t, err *e) {
    double begun = os_now();
    if (t->o.cancel && *t->o.cancel)
        return err_set(e, ERR_CANCELLED, "stopped");
    atomic_store(&t->next, 0);
    pool_run(t->pool, count_parts, t);
    t->n_parts = t->n_batch = 0;
    t->facts.count_s += os_now() - begun;
    for (int i = 0; i < t->n_threads; i++)
        if (t->counter[i].code != ERR_OK) {
            if (e)
                *e = t->counter[i].e;
            return t->counter[i].code;
        }
    if (t->o.on_progress)
        t->o.on_progress(t->o.ctx, BPE_TRAIN_COUNTING, t->facts.n_bytes, 0);
    return ERR_OK;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* At least `from` bytes on, a place where every pattern of the table cuts whatever stands around: before a blank
 * between two letters. */
static size_t sure_cut(str s, size_t from) {
    for (size_t i = from; i + 1 < s.n; i++) {
        const char *p = memchr(s.p + i, ' ', s.n - 1 - i);
        if (!p)
            break;
        i = (size_t)(p - s.p);
        if (i > 0 && is_letter(s.p[i - 1]) && is_letter(s.p[i + 1]))
            return i;
    }
    return s.n;
}

static err_code add_large(bpe_trainer *t, str text, err *e) {
    TRY(count_now(t, e));
    for (size_t at = 0, n = 0; at < text.n; at += n) {
        n = sure_cut(str_sub(text, at, text.n), PART_BYTES);
        t->part[t->n_parts++] = str_sub(text, at, at + n);
        t->facts.n_bytes += n;
        if (t->n_parts == BATCH_BYTES / PART_BYTES)
            TRY(count_now(t, e));
    }
    return count_now(t, e);
}

err_code bpe_train_add(bpe_trainer *t, str text, err *e) {
    t->facts.n_texts++;
    if (text.n >= LARGE_BYTES)
        return add_large(t, text, e);
    if (text.n > BATCH_BYTES - t->n_batch || t->n_parts == PARTS_MAX)
        TRY(count_now(t, e));
    if (text.n == 0)
        return ERR_OK;
    memcpy(t->batch + t->n_batch, text.p, text.n);
    t->part[t->n_parts++] = (str){t->batch + t->n_batch, text.n};
    t->n_batch += text.n;
    t->facts.n_bytes += text.n;
    return ERR_OK;
}

/* Thread i takes what thread i + stride has. */
static void merge_tables(void *ctx, int thread, int n_threads) {
    bpe_trainer *t = ctx;
    int other = thread + t->stride;
    counter *c = &t->counter[thread];
    if (thread % (2 * t->stride) != 0 || other >= n_threads || c->code != ERR_OK)
        return;
    c->code = word_table_merge(&c->words, &t->counter[other].words, &c->e);
    word_table_fini(&t->counter[other].words);
}

static err_code end_counting(bpe_trainer *t, err *e) {
    TRY(count_now(t, e));
    double begun = os_now();
    for (t->stride = 1; t->stride < t->n_threads; t->stride *= 2)
        pool_run(t->pool, merge_tables, t);
    for (int i = 0; i < t->n_threads; i++) {
        counter *c = &t->counter[i];
        t->facts.n_words += c->n_words;
        t->facts.n_ill_formed += c->n_ill_formed;
        t->facts.n_long += c->n_long;
        if (c->code != ERR_OK) {
            if (e)
                *e = c->e;
            return c->code;
        }
    }
    t->facts.n_different = t->counter[0].words.n;
    t->facts.count_s += os_now() - begun;
    return ERR_OK;
}

/* ---- learning ---- */

static void on_step(void *ctx, size_t n_pieces, size_t n_vocab) {
    bpe_trainer *t = ctx;
    t->o.on_progress(t->o.ctx, BPE_TRAIN_LEARNING, n_pieces, n_vocab);
}

static err_code judge(const bpe_trainer *t, err *e) {
    size_t n = t->learnt.n_pieces;
    if (n >= t->o.n_vocab || t->o.allow_fewer)
        return ERR_OK;
    return err_set(e, ERR_LIMIT,
                   "a vocabulary of %zu is more than these texts have: with pairs that stand there %llu times or more "
                   "there are %zu pieces (ask for at most that, allow fewer, or give more text)",
                   t->o.n_vocab, (unsigned long long)t->o.min_count, n);
}

err_code bpe_train_learn(bpe_trainer *t, err *e) {
    TRY(end_counting(t, e));
    if (t->facts.n_words == 0)
        return err_set(e, ERR_FORMAT, "the data hold no text to learn from");
    double begun = os_now();
    const bpe_learn_options o = {.special = t->o.special,
                                 .n_special = t->o.n_special,
                                 .n_vocab = t->o.n_vocab,
                                 .min_count = t->o.min_count,
                                 .piece_bytes_max = t->o.piece_bytes_max,
                                 .on_step = t->o.on_progress ? on_step : NULL,
                                 .ctx = t,
                                 .cancel = t->o.cancel};
    TRY(bpe_learn(&t->counter[0].words, &o, &t->learnt, e));
    t->facts.learn_s = os_now() - begun;
    t->facts.n_pieces = t->learnt.n_pieces;
    t->facts.n_merges = t->learnt.n_merges;
    return judge(t, e);
}

bpe_train_facts bpe_train_facts_of(const bpe_trainer *t) { return t->facts; }

err_code bpe_train_json(const bpe_trainer *t, strbuf *out, err *e) {
    bool built_in = strcmp(t->o.pattern->name, "gpt2") == 0;
    return bpe_json_write(&t->learnt, t->o.n_special, built_in ? NULL : pretok_pattern(t->o.pattern->name), out, e);
}
