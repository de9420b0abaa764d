/* tracer: see tracer.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/tracer.h"
#include "text/utf8.h"

enum { STEPS_SHOWN = 5, DOCS_SHOWN = 3, TOP_SHOWN = 10 };

#define AT(field) offsetof(tracer_values, field)
const option tracer_options[] = {
    {"docs", 0, OPT_INT, "N", "documents of a span at most, the first by id", AT(docs), 0, SPANS_DOCS_MAX, NULL},
    {"top", 0, OPT_INT, "N", "only the N rarest spans; 0: all in JSON, 10 for people", AT(top), 0, 1 << 20, NULL},
    {"min-words", 0, OPT_INT, "N", "leave out spans of fewer words; signs count as words", AT(words), 1, 1 << 20, NULL},
    {"cover-words", 0, OPT_INT, "N", "what counts as verbatim: words in spans of at least N", AT(cover), 1, 1 << 20,
     NULL},
    {"context", 0, OPT_INT, "N", "bytes of a document to show before and behind a span", AT(context), 0,
     TRACED_CONTEXT_MAX, NULL},
    {0},
};
#undef AT

const tracer_values tracer_defaults = TRACER_DEFAULTS;

/* ---- for people ---- */

static const char *const colours[] = {"\x1b[1;31m", "\x1b[33m", "\x1b[32m"}; /* the rarest third first */
static const char PLAIN[] = "\x1b[0m", FAINT[] = "\x1b[2m";

static const char *colour(const char *which) { return out_colours() ? which : ""; }
static const char *rank_colour(const traced *s, size_t k) { return colour(colours[3 * k / (s->spans.n + 1)]); }

/* The text, each byte in the colour of the rarest span it is in. */
static void print_marked(const traced *s) {
    size_t at = 0;
    while (at < s->text.n) {
        size_t best = s->spans.n, end = s->text.n;
        for (size_t k = 0; k < s->spans.n; k++) {
            const span *x = &s->spans.span[k];
            if (x->start <= at && at < x->end && k < best)
                best = k;
        }
        for (size_t k = 0; k < s->spans.n; k++) { /* where that changes at the earliest */
            const span *x = &s->spans.span[k];
            end = x->start > at && x->start < end ? x->start : end;
            end = x->end > at && x->end < end ? x->end : end;
        }
        if (best < s->spans.n)
            out_text(str_from(rank_colour(s, best)));
        out_foreign(str_sub(s->text, at, end));
        if (best < s->spans.n)
            out_text(str_from(colour(PLAIN)));
        at = end;
    }
    if (s->text.n && s->text.p[s->text.n - 1] != '\n')
        out_text(STR("\n"));
    out_text(STR("\n"));
}

/* On one line: white space and control characters become blanks. */
static void print_line(str s) {
    for (size_t at = 0; at < s.n;) {
        size_t from = at;
        int32_t cp = utf8_next(s, &at);
        bool plain = cp >= 0x20 && (cp < 0x7f || cp >= 0xa0);
        out_text(cp < 0 ? STR("?") : plain ? str_sub(s, from, at) : STR(" "));
    }
}

static void print_steps(const traced *s, const traced_doc *h) {
    size_t n;
    const sighting *seen = traced_steps(s, h, &n);
    if (!s->t->run.path)
        return;
    if (n == 0) {
        out_text(h->doc < s->t->run.docs.n && h->doc >= s->t->run.docs.n_train ? STR(", held out") : STR(", not seen"));
        return;
    }
    out_printf(", step%s", n == 1 ? "" : "s");
    for (size_t i = 0; i < n && i < STEPS_SHOWN; i++)
        out_printf("%s %" PRIu32, i ? "," : "", seen[i].step);
    if (n > STEPS_SHOWN)
        out_printf(" ... %" PRIu32 " (%zu in all)", seen[n - 1].step, n);
}

static void print_doc(const traced *s, const span *x, size_t hit) {
    const traced_doc *h = &s->doc[hit];
    out_printf("    document %" PRId64, h->id);
    if (h->name.n) {
        out_text(STR(" ("));
        print_line(h->name);
        out_text(STR(")"));
    }
    out_text(STR(", "));
    print_line(h->source.n ? h->source : STR("source unknown"));
    out_text(STR(", "));
    print_line(h->licence.n ? h->licence : STR("licence unknown"));
    print_steps(s, h);
    out_printf("\n      %s...", colour(FAINT));
    print_line(h->around[0]);
    out_text(str_from(colour(PLAIN)));
    print_line(str_sub(s->text, x->start, x->end));
    out_text(str_from(colour(FAINT)));
    print_line(h->around[1]);
    out_printf("...%s\n", colour(PLAIN));
}

/* A text that says the same again and again shows it once. */
static bool shown_before(const traced *s, size_t k) {
    const span *x = &s->spans.span[k];
    for (size_t i = 0; i < k; i++) {
        const span *y = &s->spans.span[i];
        if (str_eq(str_sub(s->text, x->start, x->end), str_sub(s->text, y->start, y->end)))
            return true;
    }
    return false;
}

static void print_text(const traced *s, const tracer_values *v, spans_share share, size_t n_spans) {
    if (out_colours())
        print_marked(s);
    out_printf("verbatim  %.1f %% of the text's words are in spans of at least %" PRId64 " words; %zu span%s\n",
               share.bytes ? 100.0 * (double)share.verbatim / (double)share.bytes : 0.0, v->cover, n_spans,
               n_spans == 1 ? "" : "s");
    for (size_t k = 0; k < s->spans.n; k++) {
        const span *x = &s->spans.span[k];
        if (shown_before(s, k))
            continue;
        out_printf("\n%s\"", rank_colour(s, k));
        print_line(str_sub(s->text, x->start, x->end));
        out_printf("\"%s  %" PRIu64 " time%s\n", colour(PLAIN), x->count, x->count == 1 ? "" : "s");
        for (size_t d = 0; d < x->n_docs; d++)
            print_doc(s, x, traced_first(s, k) + d);
    }
    if (s->spans.n < n_spans)
        out_printf("\n%zu more spans, less rare (--top %zu shows all)\n", n_spans - s->spans.n, n_spans);
}

/* ---- both ---- */

static err_code show(traced *x, tracer *t, str text, const tracer_values *v, bool json, err *e) {
    size_t docs_max = !json && v->docs > DOCS_SHOWN ? DOCS_SHOWN : (size_t)v->docs;
    size_t top = v->top || json ? (size_t)v->top : TOP_SHOWN;
    spans_options o = {.workers = t->workers,
                       .docs_max = docs_max,
                       .words_min = (size_t)v->words,
                       .most = json ? top : 0,
                       .stop = &interrupt_flag};
    TRY(traced_find(x, t, text, &o, e));
    spans_share share = {0};
    size_t n_spans = x->spans.n;
    if (!json)
        share = spans_coverage(&x->spans, text, (size_t)v->cover);
    if (n_spans > top && top)
        x->spans.n = top;
    TRY(traced_look_up(x, json ? 0 : (size_t)v->context, e));
    if (!json) {
        print_text(x, v, share, n_spans);
        return ERR_OK;
    }
    js_out j = {.e = e};
    js_begin(&j, '{');
    traced_json(x, false, &j);
    js_end(&j, '}');
    return js_print(&j);
}

err_code tracer_show(tracer *t, str text, const tracer_values *v, bool json, err *e) {
    traced x = {0};
    err_code code = show(&x, t, text, v, json, e);
    traced_fini(&x);
    return code;
}

/* ---- opening ---- */

static void show_progress(void *ctx, uint64_t done, uint64_t total) { progress_step(ctx, done, total); }

static tracer_watch watch(progress *bar) {
    *bar = (progress){.what = "indexing"};
    interrupt_catch();
    return (tracer_watch){.stop = &interrupt_flag, .progress = show_progress, .ctx = bar};
}

err_code tracer_open_here(tracer *t, const char *what, const char *of_run, pool *workers, err *e) {
    progress bar;
    tracer_watch w = watch(&bar);
    err_code code = tracer_open(t, what, of_run, workers, &w, e);
    t->watch = (tracer_watch){0};
    progress_end(&bar);
    return code;
}

err_code tracer_index_here(const char *path, size_t shard_bytes, pool *workers, suffix_totals *out, err *e) {
    progress bar;
    tracer_watch w = watch(&bar);
    err_code code = tracer_index(path, shard_bytes, workers, &w, out, e);
    progress_end(&bar);
    return code;
}
