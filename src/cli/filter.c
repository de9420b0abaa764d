/* filter: see filter.h. */
#include "cli/filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHA_DIGITS_MIN = 6, SHA_DIGITS = 64, ID_DIGITS_MAX = 15 };

#define AT(field) offsetof(filter_values, field)
const option filter_options[] = {
    {"where", 'w', OPT_TEXT, "SQL",
     "those for which this SQL expression holds, over id, sha256 (hex), bytes, name, source, licence, topic, kind, "
     "meta, "
     "text, duplicate_of, near_of, similarity",
     AT(where), 0, 0, NULL},
    {"licence", 0, OPT_TEXT, "SPDX", "those of this licence; \"unknown\": of none", AT(licence), 0, 0, NULL},
    {"source", 0, OPT_TEXT, "NAME", "those of this source", AT(source), 0, 0, NULL},
    {"topic", 0, OPT_TEXT, "NAME", "those of this topic", AT(topic), 0, 0, NULL},
    {"kind", 0, OPT_TEXT, "NAME", "those of this kind", AT(kind), 0, 0, NULL},
    {0},
};
#undef AT

bool filter_is_empty(const filter_values *v) { return !v->where && !v->licence && !v->source && !v->topic && !v->kind; }

static err_code add_equal(const char *column, const char *value, strbuf *out, err *e) {
    if (!value)
        return ERR_OK;
    TRY(strbuf_addf(out, e, "%s%s = '", out->n ? " AND " : "", column));
    for (const char *p = value; *p; p++)
        TRY(strbuf_addf(out, e, *p == '\'' ? "''" : "%c", *p));
    return strbuf_addc(out, '\'', e);
}

err_code filter_condition(const filter_values *v, strbuf *out, err *e) {
    const char *licence = v->licence && strcmp(v->licence, "unknown") == 0 ? "" : v->licence;
    TRY(add_equal("licence", licence, out, e));
    TRY(add_equal("source", v->source, out, e));
    TRY(add_equal("topic", v->topic, out, e));
    TRY(add_equal("kind", v->kind, out, e));
    if (v->where)
        TRY(strbuf_addf(out, e, out->n ? " AND (%s)" : "%s", v->where));
    return strbuf_addc(out, 0, e);
}

static int compare_ids(const void *a, const void *b) {
    const dataset_key *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

void filter_sort_by_id(dataset_key *keys, size_t n) {
    if (n)
        qsort(keys, n, sizeof *keys, compare_ids);
}

err_code filter_list(dataset *d, const filter_values *v, dataset_key **keys, size_t *n, err *e) {
    strbuf condition = {0};
    *keys = NULL;
    *n = 0;
    err_code code = v->where ? dataset_check_where(v->where, e) : ERR_OK; /* by itself: AND must not hide its faults */
    if (code == ERR_OK)
        code = filter_condition(v, &condition, e);
    if (code == ERR_OK)
        code = dataset_list(d, *condition.p ? condition.p : NULL, keys, n, e);
    strbuf_fini(&condition);
    if (code == ERR_USAGE)
        err_in(e, code, "--where");
    filter_sort_by_id(*keys, *n);
    return code;
}

static err_code find_sha(dataset *d, const char *word, int64_t *id, err *e) {
    dataset_key *keys;
    size_t n;
    char condition[SHA_DIGITS + 64];
    int length = snprintf(condition, sizeof condition, "sha256 LIKE '%s%%'", word);
    if (length < 0 || (size_t)length >= sizeof condition)
        return err_set(e, ERR_USAGE, "\"%.80s\": longer than a SHA-256", word);
    TRY(dataset_list(d, condition, &keys, &n, e));
    *id = n ? keys[0].id : 0;
    bool one = n && memcmp(keys[0].sha256.byte, keys[n - 1].sha256.byte, sizeof keys[0].sha256.byte) == 0;
    free(keys);
    if (n == 0)
        return err_set(e, ERR_USAGE, "no document's SHA-256 begins with %s", word);
    return one ? ERR_OK : err_set(e, ERR_USAGE, "%zu documents' SHA-256 begin with %s (give more digits)", n, word);
}

err_code filter_find(dataset *d, const char *word, int64_t *id, err *e) {
    size_t n = strlen(word);
    if (n <= ID_DIGITS_MAX && strspn(word, "0123456789") == n && n > 0)
        return parse_int("ID", word, 1, (int64_t)1 << 53, id, e);
    if (strspn(word, "0123456789abcdefABCDEF") != n || n < SHA_DIGITS_MIN)
        return err_set(e, ERR_USAGE, "\"%.80s\" is neither an id nor the first %d or more digits of a SHA-256", word,
                       SHA_DIGITS_MIN);
    return find_sha(d, word, id, e);
}
