/* removal: see removal.h. */
#include "train/removal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "text/json.h"

static bool same(hash256 a, hash256 b) { return memcmp(&a, &b, sizeof a) == 0; }
static int by_digest(const void *a, const void *b) { return memcmp(a, b, sizeof(hash256)); }

err_code removal_side_of(const recipe *r, removal_side *out, err *e) {
    *out = (removal_side){.data = r->data.digest, .tokenizer = r->tokenizer.digest, .documents = r->data.documents};
    return recipe_digest(r, &out->recipe, e);
}

/* ---- writing ---- */

static err_code add_hash(strbuf *out, const char *before, hash256 h, err *e) {
    char hex[65];
    hash_hex(h, hex);
    return strbuf_addf(out, e, "%s\"%s\"", before, hex);
}

static err_code add_side(strbuf *out, const removal_side *s, const hash256 *chain, err *e) {
    TRY(add_hash(out, "{\"recipe\":", s->recipe, e));
    if (chain)
        TRY(add_hash(out, ",\"chain\":", *chain, e));
    TRY(add_hash(out, ",\"data\":", s->data, e));
    TRY(strbuf_addf(out, e, ",\"documents\":%" PRIu64, s->documents));
    TRY(add_hash(out, ",\"tokenizer\":", s->tokenizer, e));
    return strbuf_addc(out, '}', e);
}

/* Up to and without ,"digest" */
static err_code body(const removal *r, strbuf *out, err *e) {
    TRY(strbuf_add(out, STR("{\"removal\":1,\"query\":"), e));
    TRY(json_quote(str_from(r->query), out, e));
    TRY(strbuf_add(out, STR(",\"from\":"), e));
    TRY(add_side(out, &r->from, &r->chain, e));
    TRY(strbuf_add(out, STR(",\"to\":"), e));
    TRY(add_side(out, &r->to, NULL, e));
    TRY(strbuf_addf(out, e, ",\"first\":%" PRIu64 ",\"kept\":%" PRIu64 ",\"sha256\":[", r->first, r->kept));
    for (size_t i = 0; i < r->n; i++)
        TRY(add_hash(out, i ? "," : "", r->sha256[i], e));
    return strbuf_addc(out, ']', e);
}

err_code removal_text(removal *r, const hash256 *before, strbuf *out, err *e) {
    size_t from = out->n;
    TRY(body(r, out, e));
    TRY(hash_after(before, str_sub(strbuf_str(out), from, out->n), &r->digest, e));
    TRY(add_hash(out, ",\"digest\":", r->digest, e));
    return strbuf_add(out, STR("}\n"), e);
}

void removal_fini(removal *r) {
    free(r->query);
    free(r->sha256);
    *r = (removal){0};
}

/* ---- reading ---- */

static err_code want_hash(const json_t *o, const char *key, hash256 *out, err *e) {
    str s;
    TRY(json_want_str(o, key, &s, e));
    return recipe_hash_of(s, out) ? ERR_OK : err_set(e, ERR_FORMAT, "%s is no digest", key);
}

static err_code take_side(const json_t *root, const char *key, removal_side *s, hash256 *chain, err *e) {
    const json_t *o = json_object_get(root, key);
    if (!json_is_object(o))
        return err_set(e, ERR_FORMAT, "%s must be a JSON object", key);
    TRY(want_hash(o, "recipe", &s->recipe, e));
    if (chain)
        TRY(want_hash(o, "chain", chain, e));
    TRY(want_hash(o, "data", &s->data, e));
    TRY(json_want_u64(o, "documents", INT64_MAX, &s->documents, e));
    return want_hash(o, "tokenizer", &s->tokenizer, e);
}

static err_code take_list(const json_t *list, removal *r, err *e) {
    if (!json_is_array(list))
        return err_set(e, ERR_FORMAT, "sha256 must be a list");
    r->n = json_array_size(list);
    r->sha256 = calloc(r->n + 1, sizeof *r->sha256);
    if (!r->sha256)
        return err_set(e, ERR_MEMORY, "no memory for a list of %zu documents", r->n);
    for (size_t i = 0; i < r->n; i++) {
        const json_t *x = json_array_get(list, i);
        if (!json_is_string(x) || !recipe_hash_of(json_str_of(x), &r->sha256[i]))
            return err_set(e, ERR_FORMAT, "document %zu is no digest", i);
        if (i && by_digest(&r->sha256[i - 1], &r->sha256[i]) > 0)
            return err_set(e, ERR_FORMAT, "documents are not in ascending order");
    }
    return ERR_OK;
}

static err_code take(const json_t *o, removal *r, err *e) {
    uint64_t version;
    str query;
    if (!json_is_object(o))
        return err_set(e, ERR_FORMAT, "is no JSON object");
    TRY(json_want_u64(o, "removal", INT64_MAX, &version, e));
    if (version != 1)
        return err_set(e, ERR_UNSUPPORTED, "is of version %" PRIu64 ", this program knows 1", version);
    TRY(json_want_str(o, "query", &query, e));
    if (query.n > REMOVAL_QUERY_BYTES_MAX || (query.n && memchr(query.p, 0, query.n)))
        return err_set(e, ERR_FORMAT, "query is no text of at most %d bytes", REMOVAL_QUERY_BYTES_MAX);
    r->query = strndup(query.p ? query.p : "", query.n);
    if (!r->query)
        return err_set(e, ERR_MEMORY, "no memory for a query");
    TRY(take_side(o, "from", &r->from, &r->chain, e));
    TRY(take_side(o, "to", &r->to, NULL, e));
    TRY(json_want_u64(o, "first", INT64_MAX, &r->first, e));
    TRY(json_want_u64(o, "kept", INT64_MAX, &r->kept, e));
    TRY(take_list(json_object_get(o, "sha256"), r, e));
    return want_hash(o, "digest", &r->digest, e);
}

/* Nothing stands in the line that was not understood, and its seal fits. */
static err_code is_whole(removal *r, str text, const hash256 *before, err *e) {
    strbuf again = {0};
    hash256 said = r->digest;
    err_code code = removal_text(r, before, &again, e);
    if (code == ERR_OK && !same(said, r->digest)) {
        r->digest = said;
        again.n = 0;
        code = body(r, &again, e);
        if (code == ERR_OK)
            code = str_starts(text, strbuf_str(&again))
                       ? err_set(e, ERR_MISMATCH, "its digest does not fit what it says and what stands before it")
                       : err_set(e, ERR_FORMAT, "is not in the form that Loam writes");
    } else if (code == ERR_OK && !str_eq(str_sub(strbuf_str(&again), 0, again.n - 1), text))
        code = err_set(e, ERR_FORMAT, "is not in the form that Loam writes");
    strbuf_fini(&again);
    return code;
}

static err_code parse_line(removals *all, str line, err *e) {
    if (all->n == REMOVALS_MAX)
        return err_set(e, ERR_LIMIT, "more than %d removals", REMOVALS_MAX);
    removal *p = realloc(all->line, (all->n + 1) * sizeof *p);
    if (!p)
        return err_set(e, ERR_MEMORY, "no memory for removals");
    all->line = p;
    removal *r = &p[all->n];
    *r = (removal){0};
    all->n++;
    json_t *o = NULL;
    TRY(json_read(line, line.n, &o, e));
    err_code code = take(o, r, e);
    json_decref(o);
    TRY(code);
    const removal *was = all->n > 1 ? r - 1 : NULL;
    TRY(is_whole(r, line, was ? &was->digest : NULL, e));
    if (was && !same(was->to.recipe, r->from.recipe))
        return err_set(e, ERR_MISMATCH, "does not begin with the run that the line before led to");
    return ERR_OK;
}

err_code removals_parse(removals *all, str text, err *e) {
    for (size_t at = 0; at < text.n;) {
        const char *nl = memchr(text.p + at, '\n', text.n - at);
        if (!nl)
            return err_set(e, ERR_FORMAT, "line %zu: has no end", all->n + 1);
        err_code code = parse_line(all, str_sub(text, at, (size_t)(nl - text.p)), e);
        if (code != ERR_OK)
            return err_in(e, code, "line %zu", all->n);
        at = (size_t)(nl - text.p) + 1;
    }
    return ERR_OK;
}

err_code removals_read(removals *all, const char *path, err *e) {
    strbuf text = {0};
    if (!os_exists(path))
        return ERR_OK;
    TRY(os_read_regular(path, REMOVALS_FILE_BYTES_MAX, &text, e));
    err_code code = removals_parse(all, strbuf_str(&text), e);
    strbuf_fini(&text);
    return code == ERR_OK ? code : err_in(e, code, "%s", path);
}

void removals_fini(removals *all) {
    for (size_t i = 0; i < all->n; i++)
        removal_fini(&all->line[i]);
    free(all->line);
    *all = (removals){0};
}

/* ---- together with a run ---- */

err_code removals_gather(const removals *all, hash256 **out, size_t *n, err *e) {
    *n = 0;
    for (size_t i = 0; i < all->n; i++)
        *n += all->line[i].n;
    *out = calloc(*n + 1, sizeof **out);
    if (!*out)
        return err_set(e, ERR_MEMORY, "no memory for a list of %zu documents", *n);
    size_t at = 0;
    for (size_t i = 0; i < all->n; i++) {
        memcpy(*out + at, all->line[i].sha256, all->line[i].n * sizeof **out);
        at += all->line[i].n;
    }
    qsort(*out, *n, sizeof **out, by_digest);
    return ERR_OK;
}

static err_code check_line(const removal *r, size_t number, hash256 *set, size_t *n, err *e) {
    memcpy(set + *n, r->sha256, r->n * sizeof *set);
    *n += r->n;
    qsort(set, *n, sizeof *set, by_digest);
    hash256 is;
    is = hash_of(set, *n * sizeof *set);
    if (!same(is, r->from.data) || r->from.documents != *n)
        return err_set(e, ERR_MISMATCH,
                       "removals.jsonl: line %zu: the documents of the run and those taken out are not the data that "
                       "there was before",
                       number);
    return ERR_OK;
}

err_code removals_check(const removals *all, const recipe *r, const dataset_key *key, size_t n, err *e) {
    removal_side now;
    if (all->n == 0)
        return ERR_OK;
    TRY(removal_side_of(r, &now, e));
    const removal *last = &all->line[all->n - 1];
    if (!same(last->to.recipe, now.recipe) || !same(last->to.data, now.data) ||
        !same(last->to.tokenizer, now.tokenizer))
        return err_set(e, ERR_MISMATCH, "removals.jsonl: does not lead to this run's recipe");
    size_t total = n;
    for (size_t i = 0; i < all->n; i++)
        total += all->line[i].n;
    hash256 *set = calloc(total, sizeof *set);
    if (!set)
        return err_set(e, ERR_MEMORY, "no memory for a list of %zu documents", total);
    for (size_t i = 0; i < n; i++)
        set[i] = key[i].sha256;
    err_code code = ERR_OK;
    for (size_t i = all->n; i > 0 && code == ERR_OK; i--)
        code = check_line(&all->line[i - 1], i, set, &n, e);
    free(set);
    return code;
}
