/* pick: see pick.h. Every query becomes an SQL expression, so that there is one fence (store/where.h). */
#include "train/pick.h"

#include <stdlib.h>
#include <string.h>

#include "store/shelf.h"
#include "store/where.h"

/* ---- the query ---- */

static const struct {
    const char *word, *before, *after;
} columns[] = {
    {"topic:", "topic = ", ""},     {"licence:", "licence = ", ""},
    {"license:", "licence = ", ""}, {"kind:", "kind = ", ""},
    {"source:", "source = ", ""},   {"fact:", "instr(json_extract(meta, '$.facts'), '\"' || ", " || '\"') > 0"},
};
enum { COLUMNS = sizeof columns / sizeof *columns, ID_DIGITS_MAX = 15, SHA_DIGITS = 64, LIST_MAX = 50000 };

static err_code add_quoted(str s, strbuf *out, err *e) {
    TRY(strbuf_addc(out, '\'', e));
    for (size_t i = 0; i < s.n; i++)
        TRY(s.p[i] == '\'' ? strbuf_add(out, STR("''"), e) : strbuf_addc(out, s.p[i], e));
    return strbuf_addc(out, '\'', e);
}

static int column_of(str q) {
    for (int i = 0; i < COLUMNS; i++)
        if (str_starts(q, str_from(columns[i].word)))
            return i;
    return -1;
}

static err_code add_column(int i, str q, strbuf *out, err *e) {
    str value = str_sub(q, strlen(columns[i].word), q.n);
    if (value.n == 0)
        return err_set(e, ERR_USAGE, "\"%s\" needs a name behind it", columns[i].word);
    if (strcmp(columns[i].before, "licence = ") == 0 && str_is(value, "unknown"))
        value.n = 0;
    TRY(strbuf_add(out, str_from(columns[i].before), e));
    TRY(add_quoted(value, out, e));
    return strbuf_add(out, str_from(columns[i].after), e);
}

/* Words of letters, digits, - _ . with commas between. */
static bool is_list(str q) {
    bool word = false;
    for (size_t i = 0; i < q.n; i++) {
        char c = q.p[i];
        if (c == ',') {
            if (!word)
                return false;
            word = false;
        } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                   (c && strchr("-_.", c)))
            word = true;
        else
            return false;
    }
    return word;
}

static bool all_of(str s, const char *letters) {
    for (size_t i = 0; i < s.n; i++)
        if (!strchr(letters, s.p[i]))
            return false;
    return true;
}

typedef enum { WORD_ID, WORD_SHA, WORD_NAME, WORDS } word_kind;
static const char *const word_column[WORDS] = {"id", "sha256", "name"};

static word_kind kind_of(str w) {
    return w.n <= ID_DIGITS_MAX && all_of(w, "0123456789")      ? WORD_ID
           : w.n == SHA_DIGITS && all_of(w, "0123456789abcdef") ? WORD_SHA
                                                                : WORD_NAME;
}

/* The word from *at on; moves *at behind it and its comma. */
static str next_word(str q, size_t *at) {
    size_t from = *at;
    while (*at < q.n && q.p[*at] != ',')
        ++*at;
    str w = str_sub(q, from, *at);
    *at += *at < q.n;
    return w;
}

/* "id IN (1,2) OR name IN ('a')" */
static err_code add_list(str q, strbuf *out, err *e) {
    size_t words = 0;
    for (word_kind k = 0; k < WORDS; k++) {
        size_t n = 0;
        for (size_t at = 0; at < q.n;) {
            str w = next_word(q, &at);
            if (kind_of(w) != k)
                continue;
            if (++words > LIST_MAX)
                return err_set(e, ERR_LIMIT, "more than %d documents named one by one (an SQL condition can mean more)",
                               LIST_MAX);
            TRY(strbuf_addf(out, e, "%s%s", n ? "," : out->n ? " OR " : "", n ? "" : word_column[k]));
            if (n++ == 0)
                TRY(strbuf_add(out, STR(" IN ("), e));
            TRY(k == WORD_ID ? strbuf_add(out, w, e) : add_quoted(w, out, e));
        }
        if (n)
            TRY(strbuf_addc(out, ')', e));
    }
    return ERR_OK;
}

err_code pick_condition(const char *query, strbuf *out, err *e) {
    str q = str_from(query);
    if (q.n > PICK_QUERY_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "a query of %zu bytes; at most %d are allowed", q.n, PICK_QUERY_BYTES_MAX);
    int column = column_of(q);
    if (column >= 0)
        TRY(add_column(column, q, out, e));
    else if (is_list(q))
        TRY(add_list(q, out, e));
    else
        TRY(where_check(q, e));
    if (out->n == 0)
        TRY(strbuf_add(out, q, e));
    return strbuf_addc(out, 0, e);
}

/* ---- the documents ---- */

static err_code ask_made(docs *d, const char *where, const volatile int *stop, int64_t **ids, size_t *n, err *e) {
    shelf *s;
    TRY(shelf_open(&s, e));
    err_code code = ERR_OK;
    for (size_t i = 0; i < d->n && code == ERR_OK; i++) {
        dataset_doc doc;
        code = docs_get(d, i, &doc, e);
        size_t first = docs_find(d, doc.key.sha256, 0); /* of those with this text the lowest id */
        if (first < i)
            doc.duplicate_of = d->key[first].id;
        if (code == ERR_OK)
            code = shelf_put(s, &doc, e);
        if (code == ERR_OK && stop && *stop)
            code = err_set(e, ERR_CANCELLED, "stopped");
    }
    if (code == ERR_OK)
        code = shelf_pick(s, where, stop, ids, n, e);
    shelf_close(s);
    return code;
}

static err_code ask_set(docs *d, const char *where, const volatile int *stop, int64_t **ids, size_t *n, err *e) {
    dataset_key *key;
    dataset_set_stop(d->set, stop);
    TRY(dataset_list(d->set, where, &key, n, e));
    *ids = calloc(*n + 1, sizeof **ids);
    for (size_t i = 0; i < *n && *ids; i++)
        (*ids)[i] = key[i].id;
    free(key);
    return *ids ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for a list of %zu documents", *n);
}

static int ascending(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void mark(picked *p, const docs *d, int64_t *ids, size_t n) {
    if (n)
        qsort(ids, n, sizeof *ids, ascending);
    for (size_t i = 0; i < d->n; i++) {
        p->is[i] = n && bsearch(&d->key[i].id, ids, n, sizeof *ids, ascending);
        p->n += p->is[i];
    }
}

/* Each word of a list must mean a document that was picked. */
static err_code none_missing(const picked *p, docs *d, str q, err *e) {
    for (size_t at = 0; at < q.n;) {
        str w = next_word(q, &at);
        word_kind k = kind_of(w);
        bool there = false;
        for (size_t i = 0; i < d->n && !there; i++) {
            char text[65];
            if (!p->is[i])
                continue;
            if (k == WORD_NAME) {
                dataset_doc doc;
                TRY(docs_get(d, i, &doc, e));
                there = str_eq(w, doc.name);
            } else if (k == WORD_SHA) {
                hash_hex(d->sha256[i], text);
                there = str_is(w, text);
            } else
                there = strtoll(w.p, NULL, 10) == d->key[i].id; /* ends at the comma or the string's end */
        }
        if (!there)
            return err_set(e, ERR_USAGE, "the run has no document whose %s is \"%.*s\"", word_column[k], STR_ARG(w));
    }
    return ERR_OK;
}

/* Quick for short lists; for long ones counting is enough where no two words mean one document. */
static err_code check_found(const picked *p, docs *d, const char *query, err *e) {
    str q = str_from(query);
    size_t words = 0;
    if (column_of(q) >= 0)
        return p->n ? ERR_OK : err_set(e, ERR_USAGE, "the run has no document with %.*s", STR_ARG(q));
    if (!is_list(q))
        return ERR_OK;
    for (size_t at = 0; at < q.n; words++)
        next_word(q, &at);
    return p->n == words && words > 100 ? ERR_OK : none_missing(p, d, q, e);
}

static err_code choose(picked *p, docs *d, const char *query, const char *where, const volatile int *stop, err *e) {
    int64_t *ids = NULL;
    size_t n = 0;
    p->is = calloc(d->n + 1, sizeof *p->is);
    if (!p->is)
        return err_set(e, ERR_MEMORY, "no memory for a list of %zu documents", d->n);
    TRY(d->made ? ask_made(d, where, stop, &ids, &n, e) : ask_set(d, where, stop, &ids, &n, e));
    mark(p, d, ids, n);
    free(ids);
    return check_found(p, d, query, e);
}

err_code pick_docs(picked *p, docs *d, const char *query, const volatile int *stop, err *e) {
    strbuf where = {0};
    *p = (picked){0};
    err_code code = pick_condition(query, &where, e);
    if (code == ERR_OK)
        code = choose(p, d, query, where.p, stop, e);
    strbuf_fini(&where);
    if (code != ERR_OK)
        pick_fini(p);
    return code;
}

void pick_fini(picked *p) {
    free(p->is);
    *p = (picked){0};
}

size_t pick_copies_left(const picked *p, const docs *d) {
    size_t left = 0;
    for (size_t i = 0; i < d->n;) { /* equal digests stand together */
        size_t end = i, taken = 0;
        for (; end < d->n && memcmp(&d->sha256[end], &d->sha256[i], sizeof *d->sha256) == 0; end++)
            taken += p->is[end];
        left += taken ? end - i - taken : 0;
        i = end;
    }
    return left;
}
