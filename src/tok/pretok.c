/* pretok: cutting text into words; see pretok.h. Source: Hugging Face tokenizers, NormalizedString::split(). */
#include "tok/pretok.h"

#include "text/utf8.h"
#include "tok/tokenizer.h"

err_code pretok_add(pretok *p, pretok_step step, err *e) {
    if (p->n == PRETOK_STEPS_MAX) {
        rx_close(step.pattern);
        return err_set(e, ERR_LIMIT, "more than %d pre-tokenizer steps", PRETOK_STEPS_MAX);
    }
    p->step[p->n++] = step;
    return ERR_OK;
}

err_code pretok_add_pattern(pretok *p, str pattern, pretok_cut cut, bool invert, err *e) {
    rx *r;
    TRY(rx_open(&r, pattern, e));
    return pretok_add(p, (pretok_step){.kind = PRETOK_PATTERN, .pattern = r, .cut = cut, .invert = invert}, e);
}

void pretok_fini(pretok *p) {
    for (int i = 0; i < p->n; i++)
        rx_close(p->step[i].pattern);
    p->n = 0;
}

void pretok_work_fini(pretok_work *w) {
    for (int i = 0; i < PRETOK_STEPS_MAX; i++)
        strbuf_fini(&w->buf[i]);
}

typedef struct {
    const pretok *p;
    pretok_work *w;
    bool inner;
    pretok_fn *fn;
    void *ctx;
    err *e;
} run;

static err_code run_steps(const run *r, int i, str s, bool first);

/* One part of a cut goes on to the next step; empty ones vanish. */
static err_code pass(const run *r, int i, str s, bool first, size_t from, size_t to) {
    return from < to ? run_steps(r, i + 1, str_sub(s, from, to), first && from == 0) : ERR_OK;
}

/* The state of a cut: the part that is not passed on yet. */
typedef struct {
    size_t from, to;
    bool held, match; /* a part is held; the last one seen was a match */
} cutter;

/* The next piece of the text, match or between, in order and without gaps. */
static err_code cut_piece(const run *r, int i, str s, bool first, cutter *c, size_t from, size_t to, bool match) {
    const pretok_step *st = &r->p->step[i];
    match = match != st->invert;
    switch (st->cut) {
    case PRETOK_ISOLATED:
        return pass(r, i, s, first, from, to);
    case PRETOK_REMOVED:
        return match ? ERR_OK : pass(r, i, s, first, from, to);
    case PRETOK_MERGED_PREVIOUS:
    case PRETOK_MERGED_NEXT:
    case PRETOK_CONTIGUOUS: {
        bool joins = st->cut == PRETOK_CONTIGUOUS        ? match == c->match
                     : st->cut == PRETOK_MERGED_PREVIOUS ? match && !c->match
                                                         : !match && c->match;
        if (c->held && joins) {
            c->to = to;
            c->match = match;
            /* A match that has taken its text is not to take another. */
            if (st->cut == PRETOK_MERGED_NEXT)
                c->match = false;
            return ERR_OK;
        }
        if (c->held)
            TRY(pass(r, i, s, first, c->from, c->to));
        *c = (cutter){from, to, true, match};
        return ERR_OK;
    }
    }
    return ERR_OK;
}

/* The next match at or after *at. */
static err_code next_match(const run *r, const pretok_step *st, str s, rx_scan *scan, bool *found, size_t *start,
                           size_t *end) {
    if (st->kind == PRETOK_PATTERN)
        return rx_next(st->pattern, r->w->rx, s, scan, found, start, end, r->e);
    *found = false;
    if (st->kind == PRETOK_LITERAL) {
        ptrdiff_t hit = str_find(s, st->literal, scan->at);
        if (hit >= 0) {
            *found = true;
            *start = (size_t)hit;
            *end = scan->at = *start + st->literal.n;
        }
        return ERR_OK;
    }
    while (scan->at < s.n && !*found) {
        *start = scan->at;
        *found = st->is(utf8_next(s, &scan->at));
        *end = scan->at;
    }
    return ERR_OK;
}

/* A pattern that matches everywhere, each match a part of its own. Most are known in advance. */
static err_code cut_known(const run *r, int i, str s, bool first) {
    enum { ENDS = 64 };
    const rx *pattern = r->p->step[i].pattern;
    bool last = i + 1 == r->p->n;
    size_t end[ENDS], start, at = 0;
    while (at < s.n) {
        size_t n = rx_known_ends(rx_kind(pattern), s, at, end, ENDS);
        for (size_t k = 0; k < n; at = end[k++])
            TRY(last ? r->fn(r->ctx, str_sub(s, at, end[k]), r->e) : pass(r, i, s, first, at, end[k]));
        if (n == ENDS || at == s.n)
            continue;
        bool found;
        TRY(rx_find(pattern, r->w->rx, s, at, &found, &start, end, r->e));
        if (!found || start != at || *end == at) /* never so with these patterns */
            *end = s.n;
        TRY(pass(r, i, s, first, at, *end));
        at = *end;
    }
    return ERR_OK;
}

static err_code cut(const run *r, int i, str s, bool first) {
    const pretok_step *st = &r->p->step[i];
    if (st->kind == PRETOK_PATTERN && st->cut == PRETOK_ISOLATED && rx_kind(st->pattern) != RX_UNKNOWN)
        return cut_known(r, i, s, first);
    cutter c = {0};
    rx_scan scan = {0};
    size_t at = 0, start = 0, end = 0;
    for (bool found;;) {
        TRY(next_match(r, st, s, &scan, &found, &start, &end));
        if (!found)
            break;
        if (start > at)
            TRY(cut_piece(r, i, s, first, &c, at, start, false));
        TRY(cut_piece(r, i, s, first, &c, start, end, true));
        at = end;
    }
    if (at < s.n)
        TRY(cut_piece(r, i, s, first, &c, at, s.n, false));
    return c.held ? pass(r, i, s, first, c.from, c.to) : ERR_OK;
}

static err_code prefix(const run *r, int i, str s, bool first) {
    if (r->inner || str_starts(s, STR(" ")))
        return run_steps(r, i + 1, s, first);
    strbuf *b = &r->w->buf[i];
    b->n = 0;
    TRY(strbuf_addc(b, ' ', r->e));
    TRY(strbuf_add(b, s, r->e));
    return run_steps(r, i + 1, strbuf_str(b), first);
}

static err_code meta(const run *r, int i, str s, bool first) {
    const pretok_step *st = &r->p->step[i];
    strbuf *b = &r->w->buf[i];
    b->n = 0;
    b->max = (size_t)TOK_TEXT_BYTES_MAX * 4;
    bool front = !r->inner && (st->scheme == PRETOK_ALWAYS || (st->scheme == PRETOK_FIRST && first));
    if (front && !str_starts(s, st->with) && !str_starts(s, STR(" ")))
        TRY(strbuf_add(b, st->with, r->e));
    size_t at = 0;
    for (ptrdiff_t hit; (hit = str_find(s, STR(" "), at)) >= 0; at = (size_t)hit + 1) {
        TRY(strbuf_add(b, str_sub(s, at, (size_t)hit), r->e));
        TRY(strbuf_add(b, st->with, r->e));
    }
    TRY(strbuf_add(b, str_sub(s, at, s.n), r->e));
    return run_steps(r, i + 1, strbuf_str(b), first);
}

/* Depth is the number of steps; each step's buffer is its own, so a part outlives the steps below. */
static err_code run_steps(const run *r, int i, str s, bool first) {
    if (i == r->p->n)
        return s.n ? r->fn(r->ctx, s, r->e) : ERR_OK;
    switch (r->p->step[i].kind) {
    case PRETOK_PATTERN:
    case PRETOK_LITERAL:
    case PRETOK_CLASS:
        return cut(r, i, s, first);
    case PRETOK_PREFIX:
        return prefix(r, i, s, first);
    case PRETOK_META:
        return meta(r, i, s, first);
    }
    return ERR_OK;
}

err_code pretok_run(const pretok *p, pretok_work *w, str text, bool first, bool inner, pretok_fn *fn, void *ctx,
                    err *e) {
    run r = {p, w, inner, fn, ctx, e};
    return run_steps(&r, 0, text, first);
}
