/* traced: see traced.h. */
#include "view/traced.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"

/* A document of a span, to be looked up in the order of documents. */
typedef struct {
    size_t hit; /* in spans.hits */
    size_t span;
} place;

static err_code keep(traced *x, str from, str *to, err *e) {
    *to = arena_str(&x->mem, from);
    return to->p ? ERR_OK : arena_short(e, from.n, 1);
}

static err_code misfit(const traced *x, int64_t id, err *e) {
    return err_set(e, ERR_FORMAT, "%s: its index does not fit document %" PRId64 " (make it anew: loam trace index)",
                   x->t->what, id);
}

static err_code get(traced *x, int64_t id, traced_doc *h, str *text, err *e) {
    const docs *d = &x->t->run.docs;
    dataset_doc doc;
    err_code code = tracer_doc(x->t, id, &doc, e);
    if (code == ERR_USAGE) /* there is none */
        return misfit(x, id, e);
    TRY(code);
    *h = (traced_doc){.id = id, .sha256 = doc.key.sha256};
    TRY(keep(x, doc.name, &h->name, e));
    TRY(keep(x, doc.source, &h->source, e));
    TRY(keep(x, doc.licence, &h->licence, e));
    *text = doc.text;
    if (x->t->run.path) {
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

static err_code keep_around(traced *x, const place *p, str text, size_t context, str around[2], err *e) {
    const span *s = &x->spans.span[p->span];
    size_t from = x->spans.hits[p->hit].offset, n = s->end - s->start;
    if (from > text.n || n > text.n - from || memcmp(text.p + from, x->text.p + s->start, n) != 0)
        return misfit(x, x->spans.hits[p->hit].id, e);
    if (context == 0)
        return ERR_OK;
    size_t begin = char_start(text, from > context ? from - context : 0);
    str behind = str_sub(text, from + n, from + n + context);
    behind.n = utf8_whole(behind);
    TRY(keep(x, str_sub(text, begin, from), &around[0], e));
    return keep(x, behind, &around[1], e);
}

static int by_id(const void *a, const void *b, void *ctx) {
    const place *x = a, *y = b;
    const suffix_hit *hit = ctx;
    if (hit[x->hit].id != hit[y->hit].id)
        return hit[x->hit].id < hit[y->hit].id ? -1 : 1;
    return (x->hit > y->hit) - (x->hit < y->hit);
}

static err_code find_steps(traced *x, err *e) {
    const docs *d = &x->t->run.docs;
    bool *wanted = NULL;
    if (!x->t->run.path || x->n_docs == 0)
        return ERR_OK;
    ARENA_NEW(&x->mem, wanted, d->n + 1, e);
    for (size_t i = 0; i < x->n_docs; i++)
        wanted[x->doc[i].doc] = true;
    return sightings_find(&x->seen, d, x->t->run.recipe.init.seed, &x->t->chain, wanted, e);
}

err_code traced_find(traced *x, tracer *t, str text, const spans_options *o, err *e) {
    *x = (traced){.t = t, .text = text};
    return spans_find(t->index, text, o, &x->spans, e);
}

err_code traced_look_up(traced *x, size_t context, err *e) {
    place *at = NULL;
    for (size_t k = 0; k < x->spans.n; k++)
        x->n_docs += x->spans.span[k].n_docs;
    ARENA_NEW(&x->mem, at, x->n_docs, e);
    ARENA_NEW(&x->mem, x->doc, x->n_docs, e);
    size_t n = 0;
    for (size_t k = 0; k < x->spans.n; k++)
        for (size_t j = 0; j < x->spans.span[k].n_docs; j++)
            at[n++] = (place){(size_t)(x->spans.span[k].doc + j - x->spans.hits), k};
    if (n)
        qsort_r(at, n, sizeof *at, by_id, x->spans.hits);
    str text = {0};
    traced_doc d = {0};
    for (size_t i = 0; i < n; i++) {
        int64_t id = x->spans.hits[at[i].hit].id;
        if (i == 0 || id != d.id)
            TRY(get(x, id, &d, &text, e));
        TRY(keep_around(x, &at[i], text, context, d.around, e));
        x->doc[at[i].hit] = d;
    }
    return find_steps(x, e);
}

void traced_fini(traced *x) {
    sightings_fini(&x->seen);
    spans_fini(&x->spans);
    arena_fini(&x->mem);
}

size_t traced_first(const traced *x, size_t k) { return (size_t)(x->spans.span[k].doc - x->spans.hits); }

const sighting *traced_steps(const traced *x, const traced_doc *d, size_t *n) {
    return sightings_of(&x->seen, d->doc, n);
}

/* ---- JSON ---- */

static void json_doc(const traced *x, js_out *j, size_t hit, bool whole) {
    const traced_doc *d = &x->doc[hit];
    char hex[65];
    size_t n;
    const sighting *seen = traced_steps(x, d, &n);
    hash_hex(d->sha256, hex);
    js_begin(j, '{');
    js_key(j, "id");
    js_int(j, d->id);
    js_key(j, "sha256");
    js_text(j, str_from(hex));
    js_key(j, "source");
    js_text(j, d->source);
    js_key(j, "licence");
    js_text(j, d->licence);
    js_key(j, "offset");
    js_int(j, x->spans.hits[hit].offset);
    js_key(j, "steps");
    js_begin(j, '[');
    for (size_t i = 0; i < n; i++)
        js_int(j, seen[i].step);
    js_end(j, ']');
    if (whole) {
        js_key(j, "name");
        js_text(j, d->name);
        js_key(j, "before");
        js_text(j, d->around[0]);
        js_key(j, "behind");
        js_text(j, d->around[1]);
    }
    js_end(j, '}');
}

void traced_json(const traced *x, bool whole, js_out *j) {
    js_key(j, "spans");
    js_begin(j, '[');
    for (size_t k = 0; k < x->spans.n; k++) {
        const span *s = &x->spans.span[k];
        js_begin(j, '{');
        js_key(j, "start");
        js_int(j, (int64_t)s->start);
        js_key(j, "end");
        js_int(j, (int64_t)s->end);
        js_key(j, "text");
        js_text(j, str_sub(x->text, s->start, s->end));
        js_key(j, "count");
        js_int(j, (int64_t)s->count);
        js_key(j, "docs");
        js_begin(j, '[');
        for (size_t d = 0; d < s->n_docs; d++)
            json_doc(x, j, traced_first(x, k) + d, whole);
        js_end(j, ']');
        js_end(j, '}');
    }
    js_end(j, ']');
}
