/* tracer: what is found, for people and for machines; see tracer.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/tracer.h"
#include "text/utf8.h"
#include "trace/words.h"

enum { CONTEXT_MAX = 1000, STEPS_SHOWN = 5, DOCS_SHOWN = 3, TOP_SHOWN = 10 };

#define AT(field) offsetof(tracer_values, field)
const option tracer_options[] = {
    {"docs", 0, OPT_INT, "N", "documents of a span at most, the first by id", AT(docs), 0, SPANS_DOCS_MAX, NULL},
    {"top", 0, OPT_INT, "N", "only the N rarest spans; 0: all in JSON, 10 for people", AT(top), 0, 1 << 20, NULL},
    {"min-words", 0, OPT_INT, "N", "leave out spans of fewer words; signs count as words", AT(words), 1, 1 << 20, NULL},
    {"cover-words", 0, OPT_INT, "N", "what counts as verbatim: words in spans of at least N", AT(cover), 1, 1 << 20,
     NULL},
    {"context", 0, OPT_INT, "N", "bytes of a document to show before and behind a span", AT(context), 0, CONTEXT_MAX,
     NULL},
    {0},
};
#undef AT

const tracer_values tracer_defaults = TRACER_DEFAULTS;

/* One document that holds one of the spans. */
typedef struct {
    int64_t id;
    hash256 sha256;
    str name, source, licence;
    uint32_t doc; /* its number in the run; n when it is not there */
} holder;

typedef struct {
    size_t hit; /* in spans.hits */
    size_t span;
} place;

typedef struct {
    tracer *t;
    str text;
    const tracer_values *v;
    bool json;
    spans spans;
    size_t n_hits;
    arena mem;
    place *place;     /* [n_hits] by document */
    holder *holder;   /* [n_hits] of hit i */
    str (*around)[2]; /* [n_hits] what stands before and behind it */
    sightings seen;
} showing;

/* ---- documents ---- */

static int by_doc(const void *a, const void *b) {
    const place *x = a, *y = b;
    return (x->hit > y->hit) - (x->hit < y->hit);
}

static err_code keep(showing *s, str from, str *to, err *e) {
    *to = arena_str(&s->mem, from);
    return to->p ? ERR_OK : arena_short(e, from.n, 1);
}

/* The document `id` as it is in the data set, or as it is made. */
static err_code get(showing *s, int64_t id, holder *h, str *text, err *e) {
    tracer *t = s->t;
    docs *d = &t->run.docs;
    *h = (holder){.id = id, .doc = (uint32_t)d->n};
    if (!t->set) {
        if (id < 1 || (uint64_t)id > d->n)
            return err_set(e, ERR_FORMAT, "the index names document %" PRId64 " of %zu", id, d->n);
        h->doc = t->number[id - 1];
        h->sha256 = d->sha256[h->doc];
        h->source = STR("homeworld");
        h->licence = STR("CC0-1.0"); /* as doc_line() has it */
        return docs_text(d, h->doc, text, e);
    }
    dataset_doc doc;
    TRY(dataset_get(t->set, id, &doc, e));
    h->sha256 = doc.key.sha256;
    TRY(keep(s, doc.name, &h->name, e));
    TRY(keep(s, doc.source, &h->source, e));
    TRY(keep(s, doc.licence, &h->licence, e));
    *text = doc.text;
    if (t->run.path) {
        size_t i = docs_find(d, h->sha256, id);
        h->doc = (uint32_t)(i < d->n ? i : docs_find(d, h->sha256, 0));
    }
    return ERR_OK;
}

static size_t char_start(str s, size_t at) {
    while (at < s.n && at > 0 && ((unsigned char)s.p[at] & 0xc0) == 0x80)
        at++;
    return at;
}

/* The span must stand where the index says: a wrong index must not show a document for what it does not hold. */
static err_code check_hit(showing *s, const place *p, str text, err *e) {
    const span *x = &s->spans.span[p->span];
    size_t from = s->spans.hits[p->hit].offset, n = x->end - x->start, most = (size_t)s->v->context;
    if (from > text.n || n > text.n - from || memcmp(text.p + from, s->text.p + x->start, n) != 0)
        return err_set(e, ERR_FORMAT,
                       "%s: its index does not fit document %" PRId64 " (make it anew: loam trace index)", s->t->what,
                       s->spans.hits[p->hit].id);
    if (s->json)
        return ERR_OK;
    TRY(keep(s, str_sub(text, char_start(text, from > most ? from - most : 0), from), &s->around[p->hit][0], e));
    str behind = str_sub(text, from + n, from + n + most);
    behind.n = utf8_whole(behind);
    return keep(s, behind, &s->around[p->hit][1], e);
}

static err_code fetch(showing *s, err *e) {
    str text = {0};
    holder h = {0};
    for (size_t i = 0; i < s->n_hits; i++) {
        int64_t id = s->spans.hits[s->place[i].hit].id;
        if (i == 0 || id != h.id)
            TRY(get(s, id, &h, &text, e));
        TRY(check_hit(s, &s->place[i], text, e));
        s->holder[s->place[i].hit] = h;
    }
    return ERR_OK;
}

static int by_id(const void *a, const void *b, void *ctx) {
    const place *x = a, *y = b;
    const suffix_hit *hit = ctx;
    if (hit[x->hit].id != hit[y->hit].id)
        return hit[x->hit].id < hit[y->hit].id ? -1 : 1;
    return by_doc(a, b);
}

static err_code look_up(showing *s, err *e) {
    for (size_t k = 0; k < s->spans.n; k++)
        s->n_hits += s->spans.span[k].n_docs;
    ARENA_NEW(&s->mem, s->place, s->n_hits, e);
    ARENA_NEW(&s->mem, s->holder, s->n_hits, e);
    ARENA_NEW(&s->mem, s->around, s->n_hits, e);
    size_t n = 0;
    for (size_t k = 0; k < s->spans.n; k++)
        for (size_t j = 0; j < s->spans.span[k].n_docs; j++)
            s->place[n++] = (place){(size_t)(s->spans.span[k].doc + j - s->spans.hits), k};
    if (n)
        qsort_r(s->place, n, sizeof *s->place, by_id, s->spans.hits);
    return fetch(s, e);
}

static err_code find_steps(showing *s, err *e) {
    const docs *d = &s->t->run.docs;
    bool *wanted = NULL;
    if (!s->t->run.path || s->n_hits == 0)
        return ERR_OK;
    ARENA_NEW(&s->mem, wanted, d->n + 1, e);
    for (size_t i = 0; i < s->n_hits; i++)
        wanted[s->holder[s->place[i].hit].doc] = true;
    return sightings_find(&s->seen, d, s->t->run.recipe.init.seed, &s->t->chain, wanted, e);
}

/* ---- JSON ---- */

static void json_doc(const showing *s, js_out *j, size_t hit) {
    const holder *h = &s->holder[hit];
    char hex[65];
    size_t n;
    const sighting *seen = sightings_of(&s->seen, h->doc, &n);
    hash_hex(h->sha256, hex);
    js_begin(j, '{');
    js_key(j, "id");
    js_int(j, h->id);
    js_key(j, "sha256");
    js_text(j, str_from(hex));
    js_key(j, "source");
    js_text(j, h->source);
    js_key(j, "licence");
    js_text(j, h->licence);
    js_key(j, "offset");
    js_int(j, s->spans.hits[hit].offset);
    js_key(j, "steps");
    js_begin(j, '[');
    for (size_t i = 0; i < n; i++)
        js_int(j, seen[i].step);
    js_end(j, ']');
    js_end(j, '}');
}

static err_code print_json(const showing *s, err *e) {
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_key(&j, "spans");
    js_begin(&j, '[');
    for (size_t k = 0; k < s->spans.n; k++) {
        const span *x = &s->spans.span[k];
        js_begin(&j, '{');
        js_key(&j, "start");
        js_int(&j, (int64_t)x->start);
        js_key(&j, "end");
        js_int(&j, (int64_t)x->end);
        js_key(&j, "text");
        js_text(&j, str_sub(s->text, x->start, x->end));
        js_key(&j, "count");
        js_int(&j, (int64_t)x->count);
        js_key(&j, "docs");
        js_begin(&j, '[');
        for (size_t d = 0; d < x->n_docs; d++)
            json_doc(s, &j, (size_t)(x->doc + d - s->spans.hits));
        js_end(&j, ']');
        js_end(&j, '}');
    }
    js_end(&j, ']');
    js_end(&j, '}');
    return js_print(&j);
}

/* ---- for people ---- */

static const char *const colours[] = {"\x1b[1;31m", "\x1b[33m", "\x1b[32m"}; /* the rarest third first */
static const char PLAIN[] = "\x1b[0m", FAINT[] = "\x1b[2m";

static const char *colour(const char *which) { return out_colours() ? which : ""; }
static const char *rank_colour(const showing *s, size_t k) { return colour(colours[3 * k / (s->spans.n + 1)]); }

/* The text, each byte in the colour of the rarest span it is in. */
static void print_marked(const showing *s) {
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

static void print_steps(const showing *s, uint32_t doc) {
    size_t n;
    const sighting *seen = sightings_of(&s->seen, doc, &n);
    if (!s->t->run.path)
        return;
    if (n == 0) {
        out_text(doc < s->t->run.docs.n && doc >= s->t->run.docs.n_train ? STR(", held out") : STR(", not seen"));
        return;
    }
    out_printf(", step%s", n == 1 ? "" : "s");
    for (size_t i = 0; i < n && i < STEPS_SHOWN; i++)
        out_printf("%s %" PRIu32, i ? "," : "", seen[i].step);
    if (n > STEPS_SHOWN)
        out_printf(" ... %" PRIu32 " (%zu in all)", seen[n - 1].step, n);
}

static void print_doc(const showing *s, const span *x, size_t hit) {
    const holder *h = &s->holder[hit];
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
    print_steps(s, h->doc);
    out_printf("\n      %s...", colour(FAINT));
    print_line(s->around[hit][0]);
    out_text(str_from(colour(PLAIN)));
    print_line(str_sub(s->text, x->start, x->end));
    out_text(str_from(colour(FAINT)));
    print_line(s->around[hit][1]);
    out_printf("...%s\n", colour(PLAIN));
}

/* A text that says the same again and again shows it once. */
static bool shown_before(const showing *s, size_t k) {
    const span *x = &s->spans.span[k];
    for (size_t i = 0; i < k; i++) {
        const span *y = &s->spans.span[i];
        if (str_eq(str_sub(s->text, x->start, x->end), str_sub(s->text, y->start, y->end)))
            return true;
    }
    return false;
}

static void print_text(const showing *s, spans_share share, size_t n_spans) {
    if (out_colours())
        print_marked(s);
    out_printf("verbatim  %.1f %% of the text's words are in spans of at least %" PRId64 " words; %zu span%s\n",
               share.bytes ? 100.0 * (double)share.verbatim / (double)share.bytes : 0.0, s->v->cover, n_spans,
               n_spans == 1 ? "" : "s");
    for (size_t k = 0; k < s->spans.n; k++) {
        const span *x = &s->spans.span[k];
        if (shown_before(s, k))
            continue;
        out_printf("\n%s\"", rank_colour(s, k));
        print_line(str_sub(s->text, x->start, x->end));
        out_printf("\"%s  %" PRIu64 " time%s\n", colour(PLAIN), x->count, x->count == 1 ? "" : "s");
        for (size_t d = 0; d < x->n_docs; d++)
            print_doc(s, x, (size_t)(x->doc + d - s->spans.hits));
    }
    if (s->spans.n < n_spans)
        out_printf("\n%zu more spans, less rare (--top %zu shows all)\n", n_spans - s->spans.n, n_spans);
}

/* ---- both ---- */

static err_code show(showing *s, err *e) {
    const tracer_values *v = s->v;
    size_t docs_max = !s->json && v->docs > DOCS_SHOWN ? DOCS_SHOWN : (size_t)v->docs;
    size_t top = v->top || s->json ? (size_t)v->top : TOP_SHOWN;
    spans_options o = {.workers = s->t->workers,
                       .docs_max = docs_max,
                       .words_min = (size_t)v->words,
                       .most = s->json ? top : 0,
                       .stop = &interrupt_flag};
    TRY(spans_find(s->t->index, s->text, &o, &s->spans, e));
    spans_share share = {0};
    size_t n_spans = s->spans.n;
    if (!s->json)
        share = spans_coverage(&s->spans, s->text, (size_t)v->cover);
    if (n_spans > top && top)
        s->spans.n = top;
    TRY(look_up(s, e));
    TRY(find_steps(s, e));
    if (s->json)
        return print_json(s, e);
    print_text(s, share, n_spans);
    return ERR_OK;
}

err_code tracer_show(tracer *t, str text, const tracer_values *v, bool json, err *e) {
    showing s = {.t = t, .text = text, .v = v, .json = json};
    err_code code = show(&s, e);
    sightings_fini(&s.seen);
    spans_fini(&s.spans);
    arena_fini(&s.mem);
    return code;
}
