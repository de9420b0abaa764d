/* library: see library.h. */
#include "view/library.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/used.h"
#include "text/json.h"
#include "text/utf8.h"

static void put_int(js_out *j, const char *key, int64_t x) {
    js_key(j, key);
    js_int(j, x);
}

static void put_text(js_out *j, const char *key, str s) {
    js_key(j, key);
    js_text(j, s);
}

void library_fields(js_out *j, const dataset_doc *doc) {
    char hex[65];
    json_t *meta = NULL; /* a file that is not ours may hold anything there */
    hash_hex(doc->key.sha256, hex);
    put_int(j, "id", doc->key.id);
    put_text(j, "sha256", str_from(hex));
    put_int(j, "bytes", (int64_t)doc->key.bytes);
    put_text(j, "name", doc->name);
    put_text(j, "source", doc->source);
    put_text(j, "licence", doc->licence);
    put_text(j, "topic", doc->topic);
    put_text(j, "kind", doc->kind);
    js_key(j, "meta");
    bool good = doc->meta.n && json_read(doc->meta, doc->meta.n, &meta, NULL) == ERR_OK;
    js_raw(j, good ? doc->meta : STR("{}"));
    json_decref(meta);
    if (doc->duplicate_of)
        put_int(j, "duplicate_of", doc->duplicate_of);
    if (doc->near_of) {
        put_int(j, "near_of", doc->near_of);
        js_key(j, "similarity");
        js_real(j, doc->similarity, 17);
    }
}

/* ---- which documents ---- */

typedef struct {
    int64_t *id; /* [n] ascending; NULL: all that are made */
    size_t n;
    bool capped;
} chosen;

/* One comparison: head, the value as an SQL text, tail. like: between % with its own signs escaped. */
static err_code add_term(const char *head, str value, const char *tail, bool like, strbuf *out, err *e) {
    if (!value.p)
        return ERR_OK;
    TRY(strbuf_addf(out, e, "%s%s'%s", out->n ? " AND " : "", head, like ? "%" : ""));
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (c == '\'' || (like && (c == '%' || c == '_' || c == '\\')))
            TRY(strbuf_addc(out, c == '\'' ? '\'' : '\\', e));
        TRY(strbuf_addc(out, c, e));
    }
    return strbuf_addf(out, e, "%s'%s", like ? "%" : "", tail);
}

static int by_id(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static err_code choose_stored(tracer *t, const library_query *q, chosen *c, err *e) {
    strbuf where = {0};
    dataset_key *key = NULL;
    err_code code = add_term("licence = ", q->licence, "", false, &where, e);
    if (code == ERR_OK)
        code = add_term("source = ", q->source, "", false, &where, e);
    if (code == ERR_OK)
        code = add_term("text LIKE ", q->text, " ESCAPE '\\'", true, &where, e);
    if (code == ERR_OK)
        code = strbuf_addc(&where, 0, e);
    if (code == ERR_OK)
        code = dataset_list(t->set, where.n > 1 ? where.p : NULL, &key, &c->n, e);
    if (code == ERR_OK && !(c->id = calloc(c->n + 1, sizeof *c->id)))
        code = err_set(e, ERR_MEMORY, "no memory for a list of documents");
    for (size_t i = 0; i < c->n && code == ERR_OK; i++)
        c->id[i] = key[i].id;
    if (code == ERR_OK && c->n)
        qsort(c->id, c->n, sizeof *c->id, by_id);
    free(key);
    strbuf_fini(&where);
    return code;
}

static err_code find_in_index(const suffix *x, str text, chosen *c, err *e) {
    suffix_hit hit[LIBRARY_FOUND_MAX];
    size_t shards = suffix_totals_of(x).n_shards;
    c->id = calloc(LIBRARY_FOUND_MAX, sizeof *c->id);
    if (!c->id)
        return err_set(e, ERR_MEMORY, "no memory for a list of documents");
    for (size_t i = 0; i < shards && c->n < LIBRARY_FOUND_MAX; i++) {
        suffix_range r;
        size_t n = 0;
        TRY(suffix_find(x, i, &text, 1, &r, e));
        if (r.from == r.to)
            continue;
        TRY(suffix_docs(x, i, r, LIBRARY_FOUND_MAX - c->n, hit, &n, e));
        for (size_t k = 0; k < n; k++)
            c->id[c->n++] = hit[k].id;
    }
    c->capped = c->n == LIBRARY_FOUND_MAX;
    return ERR_OK;
}

/* Made documents all have one source and licence. */
static err_code choose_made(tracer *t, const library_query *q, chosen *c, err *e) {
    dataset_doc doc;
    TRY(docs_get(&t->run.docs, 0, &doc, e));
    if ((q->licence.p && !str_eq(q->licence, doc.licence)) || (q->source.p && !str_eq(q->source, doc.source)))
        return ERR_OK;
    if (q->text.p && !t->index)
        return err_set(e, ERR_UNSUPPORTED,
                       "searching needs the index of these documents (loam serve --index makes it)");
    if (q->text.p)
        return find_in_index(t->index, q->text, c, e);
    c->n = t->run.docs.n;
    return ERR_OK;
}

/* ---- list ---- */

/* From where the text stands that was looked for, or the beginning. */
static str excerpt(str text, str wanted) {
    ptrdiff_t at = wanted.p ? str_find(text, wanted, 0) : 0;
    size_t from = at > LIBRARY_EXCERPT_BYTES / 3 ? (size_t)at - LIBRARY_EXCERPT_BYTES / 3 : 0;
    while (from > 0 && from < text.n && ((unsigned char)text.p[from] & 0xc0) == 0x80)
        from++;
    str part = str_sub(text, from, from + LIBRARY_EXCERPT_BYTES);
    part.n = utf8_whole(part);
    return part;
}

static err_code put_rows(tracer *t, const library_query *q, const chosen *c, js_out *j, err *e) {
    size_t limit = q->limit < LIBRARY_ROWS_MAX ? q->limit : LIBRARY_ROWS_MAX;
    for (size_t i = q->offset; i < c->n && i - q->offset < limit; i++) {
        dataset_doc doc;
        if (q->stop && *q->stop)
            return err_set(e, ERR_CANCELLED, "stopped");
        TRY(c->id ? tracer_doc(t, c->id[i], &doc, e) : docs_get(&t->run.docs, t->number[i], &doc, e));
        js_begin(j, '{');
        library_fields(j, &doc);
        put_text(j, "excerpt", excerpt(doc.text, q->text));
        js_end(j, '}');
    }
    return j->code;
}

static err_code list(tracer *t, const library_query *q, chosen *c, js_out *j, err *e) {
    TRY(t->set ? choose_stored(t, q, c, e) : choose_made(t, q, c, e));
    js_begin(j, '{');
    put_int(j, "count", (int64_t)c->n);
    js_key(j, "capped");
    js_flag(j, c->capped);
    put_int(j, "offset", (int64_t)q->offset);
    js_key(j, "documents");
    js_begin(j, '[');
    TRY(put_rows(t, q, c, j, e));
    js_end(j, ']');
    js_end(j, '}');
    return j->code;
}

err_code library_list(tracer *t, const library_query *q, js_out *j, err *e) {
    chosen c = {0};
    if (t->set)
        dataset_set_stop(t->set, q->stop);
    err_code code = list(t, q, &c, j, e);
    if (t->set)
        dataset_set_stop(t->set, NULL);
    free(c.id);
    return code;
}

/* ---- summary, one document ---- */

static void put_origin(js_out *j, const used_row *r) {
    js_begin(j, '{');
    put_text(j, "source", r->source);
    put_text(j, "licence", r->licence);
    put_int(j, "documents", r->documents);
    put_int(j, "bytes", r->bytes);
    js_end(j, '}');
}

static err_code origins_of(tracer *t, arena *mem, used_row **rows, size_t *n, err *e) {
    dataset_doc doc;
    if (t->set)
        return used_by(t->set, NULL, LIBRARY_ORIGINS_MAX, mem, rows, n, e);
    TRY(docs_get(&t->run.docs, 0, &doc, e));
    ARENA_NEW(mem, *rows, 1, e);
    *n = 1;
    **rows = (used_row){arena_str(mem, doc.source), arena_str(mem, doc.licence), (int64_t)t->run.docs.n,
                        (int64_t)t->run.docs.bytes};
    return ERR_OK;
}

err_code library_summary(tracer *t, const volatile int *stop, js_out *j, err *e) {
    arena mem = {0};
    used_row *rows = NULL;
    size_t n = 0;
    int64_t documents = 0, bytes = 0;
    if (t->set)
        dataset_set_stop(t->set, stop);
    err_code code = origins_of(t, &mem, &rows, &n, e);
    if (t->set)
        dataset_set_stop(t->set, NULL);
    js_begin(j, '{');
    js_key(j, "origins");
    js_begin(j, '[');
    for (size_t i = 0; i < n && code == ERR_OK; i++) {
        put_origin(j, &rows[i]);
        documents += rows[i].documents;
        bytes += rows[i].bytes;
    }
    js_end(j, ']');
    put_int(j, "documents", documents);
    put_int(j, "bytes", bytes);
    js_end(j, '}');
    arena_fini(&mem);
    return code == ERR_OK ? j->code : code;
}

err_code library_document(tracer *t, int64_t id, js_out *j, err *e) {
    dataset_doc doc;
    err_code code = tracer_doc(t, id, &doc, e);
    if (code == ERR_USAGE)
        return err_set(e, ERR_IO, "there is no document %" PRId64 " here", id);
    TRY(code);
    str text = str_sub(doc.text, 0, LIBRARY_TEXT_BYTES_MAX);
    text.n = utf8_whole(text);
    js_begin(j, '{');
    library_fields(j, &doc);
    put_text(j, "text", text);
    js_key(j, "cut");
    js_flag(j, text.n < doc.text.n);
    js_end(j, '}');
    return j->code;
}
