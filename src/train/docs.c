/* docs: see docs.h. */
#include "train/docs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world/doc.h"

bool docs_held_out(hash256 sha256, uint64_t seed, double share) {
    uint8_t text[13 + 8 + 32] = "loam held out";
    for (int i = 0; i < 8; i++)
        text[13 + i] = (uint8_t)(seed >> 8 * i);
    memcpy(text + 21, sha256.byte, 32);
    hash256 h = hash_of(text, sizeof text);
    uint64_t u = 0;
    for (int i = 7; i >= 0; i--)
        u = u << 8 | h.byte[i];
    return (double)(u >> 11) * 0x1p-53 < share;
}

/* From sorted keys: those to learn from first. */
static err_code split(docs *d, const dataset_key *key, const docs_options *o, err *e) {
    d->key = calloc(d->n, sizeof *d->key);
    d->sha256 = calloc(d->n, sizeof *d->sha256);
    bool *out = calloc(d->n, sizeof *out);
    if (!d->key || !d->sha256 || !out) {
        free(out);
        return err_set(e, ERR_MEMORY, "no memory for a list of %zu documents", d->n);
    }
    for (size_t i = 0; i < d->n; i++) {
        out[i] = docs_held_out(key[i].sha256, o->seed, o->val_share);
        d->n_train += !out[i];
        d->bytes += key[i].bytes;
    }
    size_t train = 0, val = d->n_train;
    for (size_t i = 0; i < d->n; i++)
        d->key[out[i] ? val++ : train++] = key[i];
    for (size_t i = 0; i < d->n; i++)
        d->sha256[i] = d->key[i].sha256;
    free(out);
    if (d->n_train == 0)
        return err_set(e, ERR_USAGE, "%s: all of %zu documents are held out (use a smaller --val-share)", o->source,
                       d->n);
    return ERR_OK;
}

/* ---- the built-in corpus ---- */

struct docs_made {
    world world;
    uint64_t n;
    pen pen; /* the text at hand */
    char name[DOC_ID_BYTES], meta[2 * FACT_ID_BYTES + 32];
};

static const char MADE[] = "homeworld:";
enum { MADE_DOCS_MAX = 100000000 };

bool docs_is_made(const char *source) { return strncmp(source, MADE, sizeof MADE - 1) == 0; }

static bool whole(const char *text, size_t n, uint64_t max, uint64_t *out) {
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9' || *out > max)
            return false;
        *out = *out * 10 + (uint64_t)(text[i] - '0');
    }
    return n > 0 && *out <= max;
}

/* One "key=value"; false when it is none. */
static bool take_part(docs_made *m, str part) {
    str docs_key = STR("docs="), seed_key = STR("seed="), mix_key = STR("mix=");
    if (str_starts(part, docs_key))
        return whole(part.p + docs_key.n, part.n - docs_key.n, MADE_DOCS_MAX, &m->n);
    if (str_starts(part, seed_key))
        return whole(part.p + seed_key.n, part.n - seed_key.n, (uint64_t)1 << 53, &m->world.seed);
    return str_starts(part, mix_key) && world_mix_parse(str_sub(part, mix_key.n, part.n), &m->world.mix);
}

static err_code make_open(docs_made **out, const docs_options *o, err *e) {
    *out = calloc(1, sizeof **out);
    if (!*out)
        return err_set(e, ERR_MEMORY, "no memory for the built-in corpus");
    docs_made *m = *out;
    m->n = 24000;
    m->world = (world){.seed = 1, .mix = MIX_FULL, .split = SPLIT_TRAIN};
    if (o->where && *o->where)
        return err_set(e, ERR_USAGE, "%s: is made and not stored, so no condition can pick from it (--where)",
                       o->source);
    str spec = str_from(o->source + sizeof MADE - 1);
    for (size_t at = 0; at < spec.n;) {
        ptrdiff_t comma = str_find(spec, STR(","), at);
        size_t end = comma < 0 ? spec.n : (size_t)comma;
        if (!take_part(m, str_sub(spec, at, end)))
            return err_set(e, ERR_USAGE, "%s: \"%.*s\" is none of docs=N, seed=S, mix=full|tiny|small", o->source,
                           STR_ARG(str_sub(spec, at, end)));
        at = end + 1;
    }
    return ERR_OK;
}

static int by_sha256(const void *a, const void *b) {
    const dataset_key *x = a, *y = b;
    int c = memcmp(x->sha256.byte, y->sha256.byte, sizeof x->sha256.byte);
    return c ? c : (x->id > y->id) - (x->id < y->id);
}

static str make_text(docs_made *m, int64_t id) {
    doc_info info;
    doc_make(&m->world, (uint64_t)id - 1, &m->pen, &info);
    return pen_str(&m->pen);
}

static err_code make_list(docs_made *m, dataset_key **key, size_t *n, err *e) {
    *n = (size_t)m->n;
    *key = calloc(*n + 1, sizeof **key);
    if (!*key)
        return err_set(e, ERR_MEMORY, "no memory for a list of %zu documents", *n);
    for (size_t i = 0; i < *n; i++) {
        str text = make_text(m, (int64_t)i + 1);
        (*key)[i] = (dataset_key){(int64_t)i + 1, hash_of(text.p, text.n), text.n};
    }
    qsort(*key, *n, sizeof **key, by_sha256);
    return ERR_OK;
}

/* ---- opening ---- */

static err_code list(docs *d, const docs_options *o, dataset_key **key, err *e) {
    if (docs_is_made(o->source)) {
        TRY(make_open(&d->made, o, e));
        return make_list(d->made, key, &d->n, e);
    }
    TRY(dataset_open(&d->set, o->source, e));
    return dataset_list(d->set, o->where && *o->where ? o->where : NULL, key, &d->n, e);
}

/* Both ascending. */
static err_code leave_out(docs *d, const docs_options *o, dataset_key *key, err *e) {
    hash256 all;
    TRY(dataset_keys_digest(key, d->n, &all, e));
    if (o->want && memcmp(&all, o->want, sizeof all) == 0)
        return ERR_OK;
    size_t n = 0, w = 0;
    for (size_t i = 0; i < d->n; i++) {
        int c = 1;
        while (w < o->n_without && (c = memcmp(&o->without[w], &key[i].sha256, sizeof all)) < 0)
            w++;
        if (w < o->n_without && c == 0)
            w++;
        else
            key[n++] = key[i];
    }
    d->n = n;
    return ERR_OK;
}

err_code docs_open(docs *d, const docs_options *o, err *e) {
    *d = (docs){0};
    dataset_key *key = NULL;
    err_code code = list(d, o, &key, e);
    if (code == ERR_OK && o->n_without)
        code = leave_out(d, o, key, e);
    if (code == ERR_OK && d->n == 0)
        code = err_set(e, ERR_USAGE, "%s: there are no documents%s", o->source,
                       o->n_without            ? " left"
                       : o->where && *o->where ? " that satisfy the condition"
                                               : "");
    if (code == ERR_OK)
        code = dataset_keys_digest(key, d->n, &d->digest, e);
    if (code == ERR_OK)
        code = split(d, key, o, e);
    free(key);
    if (code != ERR_OK)
        docs_close(d);
    return code;
}

void docs_close(docs *d) {
    dataset_close(d->set);
    free(d->made);
    free(d->key);
    free(d->sha256);
    *d = (docs){0};
}

err_code docs_text(docs *d, size_t i, str *text, err *e) {
    dataset_doc doc;
    if (d->made) {
        *text = make_text(d->made, d->key[i].id);
        return ERR_OK;
    }
    TRY(dataset_get(d->set, d->key[i].id, &doc, e));
    *text = doc.text;
    return ERR_OK;
}

/* As data build takes it from a line of the corpus: doc_line(). */
static void make_doc(docs_made *m, const dataset_key *key, dataset_doc *doc) {
    doc_info info;
    size_t n = 0;
    doc_make(&m->world, (uint64_t)key->id - 1, &m->pen, &info);
    doc_id(&m->world, (uint64_t)key->id - 1, m->name);
    n += (size_t)snprintf(m->meta, sizeof m->meta, "{\"facts\":[");
    for (unsigned i = 0; i < info.n_facts; i++) {
        char fact[FACT_ID_BYTES];
        fact_id(info.fact[i], fact);
        n += (size_t)snprintf(m->meta + n, sizeof m->meta - n, "%s\"%s\"", i ? "," : "", fact);
    }
    snprintf(m->meta + n, sizeof m->meta - n, "]}");
    *doc = (dataset_doc){.key = *key,
                         .name = str_from(m->name),
                         .text = pen_str(&m->pen),
                         .source = STR("homeworld"),
                         .licence = STR("CC0-1.0"),
                         .topic = str_from(info.topic),
                         .kind = str_from(doc_kind_names[info.kind]),
                         .meta = str_from(m->meta)};
}

err_code docs_get(docs *d, size_t i, dataset_doc *doc, err *e) {
    if (!d->made)
        return dataset_get(d->set, d->key[i].id, doc, e);
    make_doc(d->made, &d->key[i], doc);
    return ERR_OK;
}

size_t docs_find(const docs *d, hash256 sha256, int64_t id) {
    for (int part = 0; part < 2; part++) {
        size_t lo = part ? d->n_train : 0, end = part ? d->n : d->n_train, hi = end;
        while (lo < hi) { /* the first that is not below */
            size_t mid = lo + (hi - lo) / 2;
            if (memcmp(d->sha256[mid].byte, sha256.byte, 32) < 0)
                lo = mid + 1;
            else
                hi = mid;
        }
        for (; lo < end && memcmp(d->sha256[lo].byte, sha256.byte, 32) == 0; lo++)
            if (id == 0 || d->key[lo].id == id)
                return lo;
    }
    return d->n;
}
