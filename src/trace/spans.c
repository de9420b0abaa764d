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
    uint32_t *there; /* [n_shards][n] the same in one shard, where it was searched; 0: where it need not be */

    spans *out;
    size_t *first;       /* [out->n] the first word of each span, before they are ranked */
    suffix_range *range; /* [n_shards][out->n] */
    named *named;        /* [n] the words by their bytes; then [n_named] those to count */
    size_t n_named;
    size_t *same;    /* [n] the first word with the same bytes; n when it is in no span */
    uint64_t *count; /* [threads][n] occurrences of such first words; count[0] is the sum afterwards */
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
    f->there = calloc(f->n_shards * n + 1, sizeof *f->there);
    f->count = calloc(threads * n + 1, sizeof *f->count);
    f->same = calloc(n + 1, sizeof *f->same);
    f->first = calloc(n + 1, sizeof *f->first);
    f->named = calloc(n + 1, sizeof *f->named);
    if (!f->word || !f->reach || !f->there || !f->count || !f->same || !f->first || !f->named)
        return err_set(e, ERR_MEMORY, "no memory for a text of %zu words", n);
    for (size_t at = 0; f->n < n && words_next(f->text, &at, &w);)
        f->word[f->n++] = w;
    return ERR_OK;
}

/* ---- maximal spans ---- */

/* Words i and j of a shard, whose matches are known, and where that of j ends; the words between are open. */
typedef struct {
    size_t i, j, end;
} between;

enum { AT_ONCE = 32, OPEN_MAX = 1024 };

/* Of words number[n <= AT_ONCE] in the shard: the bytes behind their longest matches. */
static void match_ends(finding *f, int part, size_t shard, const size_t *number, size_t n, size_t *end) {
    uint32_t *reach = f->reach + (size_t)part * f->n;
    str text[AT_ONCE] = {{0}};
    for (size_t k = 0; k < n; k++)
        text[k] = str_sub(f->text, f->word[number[k]].start, f->text.n);
    f->code[part] = suffix_longest(f->x, shard, text, n, end, &f->error[part]);
    for (size_t k = 0; k < n && f->code[part] == ERR_OK; k++) {
        f->there[shard * f->n + number[k]] = (uint32_t)end[k];
        if (end[k] > reach[number[k]])
            reach[number[k]] = (uint32_t)end[k];
        end[k] += f->word[number[k]].start;
    }
}

/* Ends of matches never go back from one word to the next, so no word between ends behind b->end; when word b->i has
 * reached that already, in whatever shard, none of them begins a maximal span here and none is searched for. */
static bool is_open(const finding *f, int part, const between *b) {
    return b->j - b->i > 1 && b->end > f->word[b->i].start + f->reach[(size_t)part * f->n + b->i];
}

/* Takes up to `most` from the top of the stack, searches for the word in the middle of each, and puts back the halves
 * that are open. */
static size_t split_some(finding *f, int part, size_t shard, between *stack, size_t n, size_t most) {
    between old[AT_ONCE];
    size_t mid[AT_ONCE], end[AT_ONCE], some = n < most ? n : most;
    for (size_t k = 0; k < some; k++) {
        old[k] = stack[--n];
        mid[k] = old[k].i + (old[k].j - old[k].i) / 2;
    }
    match_ends(f, part, shard, mid, some, end);
    for (size_t k = 0; k < some && f->code[part] == ERR_OK; k++) {
        between half[2] = {{mid[k], old[k].j, old[k].end}, {old[k].i, mid[k], end[k]}};
        for (size_t h = 0; h < 2; h++)
            if (is_open(f, part, &half[h]))
                stack[n++] = half[h];
    }
    return n;
}

/* One at a time never needs more room than a word has halves: a stack that is nearly full goes on like that. */
static void reach_shard(finding *f, int part, size_t shard) {
    between stack[OPEN_MAX];
    size_t n = 0, ends[2] = {0, f->n - 1}, end[2];
    match_ends(f, part, shard, ends, f->n > 1 ? 2 : 1, end);
    between whole = {0, f->n - 1, f->n > 1 ? end[1] : 0};
    if (f->code[part] == ERR_OK && is_open(f, part, &whole))
        stack[n++] = whole;
    while (n > 0 && f->code[part] == ERR_OK && !stopped(f))
        n = split_some(f, part, shard, stack, n, n < OPEN_MAX - 4 * AT_ONCE ? AT_ONCE : 1);
}

static void reach_part(void *ctx, int part, int n_parts) {
    finding *f = ctx;
    for (size_t s = (size_t)part; s < f->n_shards && f->n > 0 && f->code[part] == ERR_OK; s += (size_t)n_parts)
        reach_shard(f, part, s);
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

/* Leaves in f->named those words alone, in the order of the text. */
static void keep_marked(finding *f, const bool *wanted) {
    f->n_named = 0;
    for (size_t i = 0; i < f->n; i++)
        if (wanted[i])
            f->named[f->n_named++] = (named){str_sub(f->text, f->word[i].start, f->word[i].end), i};
}

static void count_shard(finding *f, int part, size_t shard, uint64_t *count) {
    str text[AT_ONCE];
    suffix_range r[AT_ONCE];
    for (size_t i = 0, n; i < f->n_named && f->code[part] == ERR_OK && !stopped(f); i += n) {
        n = f->n_named - i < AT_ONCE ? f->n_named - i : AT_ONCE;
        for (size_t k = 0; k < n; k++)
            text[k] = f->named[i + k].text;
        f->code[part] = suffix_find(f->x, shard, text, n, r, &f->error[part]);
        for (size_t k = 0; k < n && f->code[part] == ERR_OK; k++)
            count[f->named[i + k].word] += r[k].to - r[k].from;
    }
}

static void count_part(void *ctx, int part, int n_parts) {
    finding *f = ctx;
    for (size_t s = (size_t)part; s < f->n_shards; s += (size_t)n_parts)
        count_shard(f, part, s, f->count + (size_t)part * f->n);
}

static err_code count_words(finding *f, err *e) {
    size_t threads = (size_t)pool_threads(f->o->workers);
    bool *wanted = calloc(f->n + 1, sizeof *wanted);
    if (!wanted)
        return err_set(e, ERR_MEMORY, "no memory for a text of %zu words", f->n);
    name_words(f);
    mark_words(f, wanted);
    keep_marked(f, wanted);
    free(wanted);
    TRY(run(f, count_part, f, e));
    for (size_t i = 0; i < f->n; i++)
        for (size_t t = 1; t < threads; t++)
            f->count[i] += f->count[t * f->n + i];
    return ERR_OK;
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

static size_t word_at(const finding *f, size_t start) {
    size_t lo = 0, hi = f->n; /* word[lo].start <= start < word[hi].start */
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (f->word[mid].start <= start)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* The span's first word was searched in the shard and has as long a match. Where it was not searched, it has none: its
 * match would end where a span that begins before it does at the latest (is_open()), and then it were in that one. */
static bool may_hold(const finding *f, size_t shard, const span *s) {
    return f->there[shard * f->n + word_at(f, s->start)] >= s->end - s->start;
}

static void range_shard(finding *f, int part, size_t shard) {
    const spans *out = f->out;
    for (size_t i = 0; i < out->n && f->code[part] == ERR_OK && !stopped(f);) {
        str text[AT_ONCE];
        size_t of[AT_ONCE], n = 0;
        suffix_range r[AT_ONCE];
        for (; i < out->n && n < AT_ONCE; i++) {
            if (!may_hold(f, shard, &out->span[i]))
                continue;
            text[n] = str_sub(f->text, out->span[i].start, out->span[i].end);
            of[n++] = i;
        }
        f->code[part] = suffix_find(f->x, shard, text, n, r, &f->error[part]);
        for (size_t k = 0; k < n && f->code[part] == ERR_OK; k++)
            f->range[shard * out->n + of[k]] = r[k];
    }
}

static void range_part(void *ctx, int part, int n_parts) {
    finding *f = ctx;
    for (size_t s = (size_t)part; s < f->n_shards; s += (size_t)n_parts)
        range_shard(f, part, s);
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
    free(f->there);
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
