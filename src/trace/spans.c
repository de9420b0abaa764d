/* spans: see spans.h.
 *
 * Each thread takes shards of its own: all it finds goes into a row of its own, and rows are added up (or compared)
 * afterwards, which gives the same whatever thread took what.
 */
#include "trace/spans.h"

#include <stdlib.h>
#include <string.h>

#include "kern/math64.h"
#include "trace/words.h"

typedef struct {
    str text;
    size_t word;
} named;

typedef struct {
    const suffix *x;
    const spans_options *o;
    str text;
    word *word; /* [n] */
    size_t n;
    size_t n_shards;
    uint32_t *reach; /* [threads][n] bytes from the word's start on that stand somewhere */

    spans *out;
    size_t *first;       /* [out->n] the first word of each span, before they are ranked */
    suffix_range *range; /* [n_shards][out->n] */
    named *named;        /* [n] the words by their bytes */
    size_t *same;        /* [n] the first word with the same bytes; n when it is in no span */
    uint64_t *count;     /* [threads][n] occurrences of such first words; count[0] is the sum afterwards */
    err_code code[POOL_THREADS_MAX];
    err error[POOL_THREADS_MAX];
} finding;

static bool stopped(const finding *f) { return f->o->stop && *f->o->stop; }

static err_code run(finding *f, pool_fn *fn, void *ctx, err *e) {
    memset(f->code, 0, sizeof f->code);
    pool_run(f->o->workers, fn, ctx);
    if (stopped(f))
        return err_set(e, ERR_CANCELLED, "stopped");
    for (int i = 0; i < POOL_THREADS_MAX; i++)
        if (f->code[i] != ERR_OK)
            return err_set(e, f->code[i], "%s", f->error[i].text);
    return ERR_OK;
}

/* ---- the words ---- */

static err_code cut(finding *f, err *e) {
    word w;
    size_t n = 0;
    for (size_t at = 0; words_next(f->text, &at, &w);)
        n++;
    size_t threads = (size_t)pool_threads(f->o->workers);
    f->word = calloc(n + 1, sizeof *f->word);
    f->reach = calloc(threads * n + 1, sizeof *f->reach);
    f->count = calloc(threads * n + 1, sizeof *f->count);
    f->same = calloc(n + 1, sizeof *f->same);
    f->first = calloc(n + 1, sizeof *f->first);
    f->named = calloc(n + 1, sizeof *f->named);
    if (!f->word || !f->reach || !f->count || !f->same || !f->first || !f->named)
        return err_set(e, ERR_MEMORY, "no memory for a text of %zu words", n);
    for (size_t at = 0; f->n < n && words_next(f->text, &at, &w);)
        f->word[f->n++] = w;
    return ERR_OK;
}

/* ---- maximal spans ---- */

/* Of word i in the shard, the byte behind its longest match. */
static size_t match_end(finding *f, int part, size_t shard, size_t i) {
    uint32_t *reach = f->reach + (size_t)part * f->n;
    size_t n = 0, start = f->word[i].start;
    if (f->code[part] == ERR_OK)
        f->code[part] = suffix_longest(f->x, shard, str_sub(f->text, start, f->text.n), &n, &f->error[part]);
    if (n > reach[i])
        reach[i] = (uint32_t)n;
    return start + n;
}

/* The words between i and j, whose own match ends at `end`. Ends never go back from one word to the next, so none of
 * these ends behind `end`; when word i has reached that already, in whatever shard, none of them begins a maximal span
 * here and none is searched for. */
static void reach_between(finding *f, int part, size_t shard, size_t i, size_t j, size_t end) {
    const uint32_t *reach = f->reach + (size_t)part * f->n;
    while (j - i > 1 && f->code[part] == ERR_OK && !stopped(f) && end > f->word[i].start + reach[i]) {
        size_t mid = i + (j - i) / 2;
        reach_between(f, part, shard, i, mid, match_end(f, part, shard, mid));
        i = mid;
    }
}

static void reach_part(void *ctx, int part, int n_parts) {
    finding *f = ctx;
    for (size_t s = (size_t)part; s < f->n_shards && f->n > 0; s += (size_t)n_parts) {
        match_end(f, part, s, 0);
        reach_between(f, part, s, 0, f->n - 1, f->n > 1 ? match_end(f, part, s, f->n - 1) : 0);
    }
}

/* reach[0] becomes the longest of all threads, where it matters. Where a match ends never goes back from one word to
 * the next: the rest of a match is a match. So a span is maximal when it ends behind the one before. */
static err_code collect(finding *f, err *e) {
    size_t threads = (size_t)pool_threads(f->o->workers), last = 0, end = 0;
    f->out->span = calloc(f->n + 1, sizeof *f->out->span);
    if (!f->out->span)
        return err_set(e, ERR_MEMORY, "no memory for spans of %zu words", f->n);
    for (size_t i = 0; i < f->n; i++) {
        for (size_t t = 1; t < threads; t++)
            if (f->reach[t * f->n + i] > f->reach[i])
                f->reach[i] = f->reach[t * f->n + i];
        size_t to = f->word[i].start + f->reach[i];
        last = last < i ? i : last; /* words [i, last) are in the match */
        while (last < f->n && f->word[last].end <= to)
            last++;
        if (last == i || f->word[last - 1].end <= end)
            continue;
        end = f->word[last - 1].end;
        if (last - i < f->o->words_min)
            continue;
        f->first[f->out->n] = i;
        f->out->span[f->out->n++] = (span){.start = f->word[i].start, .end = end, .n_words = last - i};
    }
    return ERR_OK;
}

/* ---- rarity ---- */

static int by_text(const void *a, const void *b) {
    const named *x = a, *y = b;
    int c = str_cmp(x->text, y->text);
    return c ? c : (x->word > y->word) - (x->word < y->word);
}

static void name_words(finding *f) {
    for (size_t i = 0; i < f->n; i++) {
        f->named[i] = (named){str_sub(f->text, f->word[i].start, f->word[i].end), i};
        f->same[i] = f->n;
    }
    qsort(f->named, f->n, sizeof *f->named, by_text);
    for (size_t i = 0; i < f->n; i++) {
        bool again = i > 0 && str_eq(f->named[i].text, f->named[i - 1].text);
        f->same[f->named[i].word] = again ? f->same[f->named[i - 1].word] : f->named[i].word;
    }
}

/* Marks the words that are in a span: only these are counted. */
static void mark_words(const finding *f, bool *wanted) {
    size_t done = 0;
    for (size_t k = 0; k < f->out->n; k++) {
        size_t end = f->first[k] + f->out->span[k].n_words;
        for (size_t i = f->first[k] > done ? f->first[k] : done; i < end; i++)
            wanted[f->same[i]] = true;
        done = end;
    }
}

typedef struct {
    finding *f;
    const bool *wanted;
} counting;

static void count_part(void *ctx, int part, int n_parts) {
    const counting *c = ctx;
    finding *f = c->f;
    uint64_t *count = f->count + (size_t)part * f->n;
    for (size_t s = (size_t)part; s < f->n_shards; s += (size_t)n_parts)
        for (size_t i = 0; i < f->n && f->code[part] == ERR_OK && !stopped(f); i++) {
            suffix_range r;
            if (!c->wanted[i])
                continue;
            str text = str_sub(f->text, f->word[i].start, f->word[i].end);
            f->code[part] = suffix_find(f->x, s, text, &r, &f->error[part]);
            if (f->code[part] == ERR_OK)
                count[i] += r.to - r.from;
        }
}

static err_code count_words(finding *f, err *e) {
    size_t threads = (size_t)pool_threads(f->o->workers);
    bool *wanted = calloc(f->n + 1, sizeof *wanted);
    if (!wanted)
        return err_set(e, ERR_MEMORY, "no memory for a text of %zu words", f->n);
    name_words(f);
    mark_words(f, wanted);
    counting c = {f, wanted};
    err_code code = run(f, count_part, &c, e);
    free(wanted);
    for (size_t i = 0; i < f->n; i++)
        for (size_t t = 1; t < threads; t++)
            f->count[i] += f->count[t * f->n + i];
    return code;
}

static int by_rarity(const void *a, const void *b) {
    const span *x = a, *y = b;
    int c = (x->log_p > y->log_p) - (x->log_p < y->log_p);
    return c ? c : (x->start > y->start) - (x->start < y->start);
}

static err_code rank(finding *f, err *e) {
    TRY(count_words(f, e));
    double bytes = (double)suffix_totals_of(f->x).text_bytes;
    for (size_t k = 0; k < f->out->n; k++) {
        span *s = &f->out->span[k];
        for (size_t i = f->first[k]; i < f->first[k] + s->n_words; i++)
            s->log_p += kern_log64((double)f->count[f->same[i]] / bytes);
    }
    qsort(f->out->span, f->out->n, sizeof *f->out->span, by_rarity);
    if (f->o->most && f->out->n > f->o->most)
        f->out->n = f->o->most;
    return ERR_OK;
}

/* ---- counts and documents ---- */

static void range_part(void *ctx, int part, int n_parts) {
    finding *f = ctx;
    for (size_t s = (size_t)part; s < f->n_shards; s += (size_t)n_parts)
        for (size_t k = 0; k < f->out->n && f->code[part] == ERR_OK && !stopped(f); k++) {
            str text = str_sub(f->text, f->out->span[k].start, f->out->span[k].end);
            f->code[part] = suffix_find(f->x, s, text, &f->range[s * f->out->n + k], &f->error[part]);
        }
}

static err_code take_docs(finding *f, span *s, size_t k, err *e) {
    for (size_t i = 0; i < f->n_shards && s->n_docs < f->o->docs_max; i++) {
        size_t n;
        TRY(suffix_docs(f->x, i, f->range[i * f->out->n + k], f->o->docs_max - s->n_docs, s->doc + s->n_docs, &n, e));
        s->n_docs += n;
    }
    return ERR_OK;
}

static err_code describe(finding *f, err *e) {
    spans *out = f->out;
    f->range = calloc(f->n_shards * out->n + 1, sizeof *f->range);
    if (!f->range)
        return err_set(e, ERR_MEMORY, "no memory for %zu spans", out->n);
    TRY(run(f, range_part, f, e));
    size_t room = 0;
    for (size_t k = 0; k < out->n; k++) {
        for (size_t s = 0; s < f->n_shards; s++)
            out->span[k].count += f->range[s * out->n + k].to - f->range[s * out->n + k].from;
        room += out->span[k].count < f->o->docs_max ? (size_t)out->span[k].count : f->o->docs_max;
    }
    out->hits = calloc(room + 1, sizeof *out->hits);
    if (!out->hits)
        return err_set(e, ERR_MEMORY, "no memory for %zu documents", room);
    suffix_hit *at = out->hits;
    for (size_t k = 0; k < out->n; k++) {
        span *s = &out->span[k];
        s->doc = at;
        TRY(take_docs(f, s, k, e));
        at += s->n_docs;
    }
    return ERR_OK;
}

static err_code find(finding *f, err *e) {
    TRY(cut(f, e));
    TRY(run(f, reach_part, f, e));
    TRY(collect(f, e));
    TRY(rank(f, e));
    return describe(f, e);
}

err_code spans_find(const suffix *x, str text, const spans_options *o, spans *out, err *e) {
    *out = (spans){0};
    if (text.n > SPANS_TEXT_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "a text of %zu bytes cannot be traced at once, only %d", text.n,
                       SPANS_TEXT_BYTES_MAX);
    finding *f = calloc(1, sizeof *f);
    if (!f)
        return err_set(e, ERR_MEMORY, "no memory to trace a text");
    *f = (finding){.x = x, .o = o, .text = text, .n_shards = suffix_totals_of(x).n_shards, .out = out};
    err_code code = find(f, e);
    free(f->word);
    free(f->reach);
    free(f->first);
    free(f->range);
    free(f->named);
    free(f->same);
    free(f->count);
    free(f);
    if (code != ERR_OK)
        spans_fini(out);
    return code;
}

void spans_fini(spans *s) {
    free(s->span);
    free(s->hits);
    *s = (spans){0};
}

/* ---- coverage ---- */

spans_share spans_coverage(const spans *s, str text, size_t words_min) {
    spans_share share = {0};
    word w;
    for (size_t at = 0; words_next(text, &at, &w);) {
        bool in = false;
        for (size_t k = 0; w.letters && k < s->n && !in; k++)
            in = s->span[k].n_words >= words_min && s->span[k].start <= w.start && w.end <= s->span[k].end;
        share.bytes += w.letters ? w.end - w.start : 0;
        share.verbatim += in ? w.end - w.start : 0;
    }
    return share;
}
