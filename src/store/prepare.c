/* prepare: see prepare.h and build.h. */
#include "store/prepare.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/jsonl.h"
#include "text/json.h"
#include "text/utf8.h"

enum { KEPT_BYTES_MAX = 64 << 10, ILL_FORMED_ONE_IN = 100 };

static void malformed(item *it, err_code code, const char *what) {
    if (what)
        err_set(&it->problem, code, "%s", what);
    it->verdict = ITEM_MALFORMED;
}

/* ---- text ---- */

static bool is_white(str s) {
    for (size_t i = 0; i < s.n; i++)
        if (!strchr(" \t\r\n\f\v", s.p[i]) || !s.p[i])
            return false;
    return true;
}

static void count_ill_formed(str s, item *it) {
    it->n_ill_formed = 0;
    for (size_t at = 0; at < s.n;) {
        size_t from = at;
        if (utf8_next(s, &at) >= 0)
            continue;
        if (it->n_ill_formed++ == 0)
            it->at_ill_formed = from;
    }
}

/* Well-formed UTF-8: *s itself or the item's own repaired copy. False: the verdict says why not. */
static bool make_utf8(item *it, str *s, const build_options *o) {
    if (utf8_valid(*s))
        return true;
    count_ill_formed(*s, it);
    if (o->invalid == BUILD_INVALID_SKIP || it->n_ill_formed > s->n / ILL_FORMED_ONE_IN + 1) {
        it->verdict = ITEM_ENCODING;
        return false;
    }
    it->text.n = 0;
    err_code code = utf8_repair(*s, &it->text, &it->problem);
    if (code != ERR_OK) {
        malformed(it, code, NULL);
        return false;
    }
    it->repaired = true;
    *s = strbuf_str(&it->text);
    return true;
}

static bool is_utf16(str s) { return str_starts(s, STR("\xff\xfe")) || str_starts(s, STR("\xfe\xff")); }

/* Length and digest. */
static void check_text(item *it, const build_options *o, hash_state *h) {
    str s = it->doc.text;
    if (is_white(s))
        it->verdict = ITEM_EMPTY;
    else if (s.n > DATASET_TEXT_BYTES_MAX) {
        err_set(&it->problem, ERR_LIMIT, "a document of %zu bytes; at most %d are allowed", s.n,
                DATASET_TEXT_BYTES_MAX);
        malformed(it, ERR_LIMIT, NULL);
    } else if (memchr(s.p, 0, s.n))
        it->verdict = ITEM_BINARY;
    else if (s.n < o->min_bytes)
        it->verdict = ITEM_BRIEF;
    if (it->verdict != ITEM_GOOD)
        return;
    it->doc.key.bytes = s.n;
    it->doc.key.sha256 = hash_by(h, s.p, s.n);
    if (o->near > 0)
        it->has_sketch = shingle_sketch_of(s, &it->sketch);
}

/* ---- a piece of a text file ---- */

static err_code name_by_line(item *it, str *out, err *e) {
    *out = it->source->name;
    if (it->line == 0)
        return ERR_OK;
    it->name.n = 0;
    TRY(strbuf_add(&it->name, it->source->name, e));
    TRY(strbuf_addf(&it->name, e, ":%" PRIu64, it->line));
    *out = strbuf_str(&it->name);
    return ERR_OK;
}

static void prepare_text(item *it, const build_options *o, hash_state *h) {
    str s = it->raw;
    if (is_utf16(s)) {
        it->verdict = ITEM_ENCODING;
        return;
    }
    if (memchr(s.p, 0, s.n)) { /* before counting ill-formed sequences of what is no text */
        it->verdict = ITEM_BINARY;
        return;
    }
    if (!make_utf8(it, &s, o))
        return;
    it->doc.text = s;
    it->doc.source = it->source->source;
    it->doc.licence = it->source->licence;
    it->doc.topic = o->topic;
    it->doc.kind = o->kind;
    err_code code = name_by_line(it, &it->doc.name, &it->problem);
    if (code != ERR_OK)
        malformed(it, code, NULL);
    else
        check_text(it, o, h);
}

/* ---- a line of JSON ---- */

static err_code field_of(const json_t *line, const char *key, str otherwise, str *out, err *e) {
    const json_t *v = json_object_get(line, key);
    *out = otherwise;
    if (!v || json_is_null(v))
        return ERR_OK;
    if (!json_is_string(v))
        return err_set(e, ERR_FORMAT, "key \"%s\" is not a string", key);
    if (json_string_length(v) == 0) /* says nothing */
        return ERR_OK;
    *out = json_str_of(v);
    return out->n && memchr(out->p, 0, out->n) ? err_set(e, ERR_FORMAT, "key \"%s\" holds a NUL", key) : ERR_OK;
}

static err_code take_id(item *it, err *e) {
    const json_t *id = json_object_get(it->json, "id");
    it->name.n = 0;
    if (json_is_integer(id))
        TRY(strbuf_addf(&it->name, e, "%" JSON_INTEGER_FORMAT, json_integer_value(id)));
    else if (!id || json_is_null(id))
        return name_by_line(it, &it->doc.name, e);
    else {
        str name;
        TRY(field_of(it->json, "id", STR(""), &name, e));
        TRY(strbuf_add(&it->name, name, e));
    }
    it->doc.name = strbuf_str(&it->name);
    return ERR_OK;
}

/* The keys that are not ours, as compact JSON with sorted keys. */
static err_code take_meta(item *it, err *e) {
    const char *key;
    json_t *value, *rest = NULL;
    json_object_foreach(it->json, key, value) {
        if (jsonl_is_own(key))
            continue;
        if (!rest)
            rest = json_object();
        if (!rest || json_object_set(rest, key, value) != 0) {
            json_decref(rest);
            return err_set(e, ERR_MEMORY, "no memory for a line's other keys");
        }
    }
    if (!rest)
        return ERR_OK;
    it->meta = json_dumps(rest, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(rest);
    if (!it->meta)
        return err_set(e, ERR_MEMORY, "no memory for a line's other keys");
    it->doc.meta = str_from(it->meta);
    return ERR_OK;
}

static err_code read_line(item *it, str line, const build_options *o, err *e) {
    TRY(json_read(line, line.n, &it->json, e));
    if (!json_is_object(it->json))
        return err_set(e, ERR_FORMAT, "is JSON, but no object: {\"text\": \"...\"} belongs here");
    TRY(json_want_str(it->json, "text", &it->doc.text, e));
    TRY(take_id(it, e));
    TRY(field_of(it->json, "source", it->source->source, &it->doc.source, e));
    TRY(field_of(it->json, "license", it->source->licence, &it->doc.licence, e));
    TRY(field_of(it->json, "licence", it->doc.licence, &it->doc.licence, e));
    TRY(field_of(it->json, "topic", o->topic, &it->doc.topic, e));
    TRY(field_of(it->json, "kind", o->kind, &it->doc.kind, e));
    return take_meta(it, e);
}

static void prepare_json(item *it, const build_options *o, hash_state *h) {
    str line = it->raw;
    if (is_white(line)) {
        it->verdict = ITEM_BLANK_LINE;
        return;
    }
    if (is_utf16(line)) {
        it->verdict = ITEM_ENCODING;
        return;
    }
    if (!make_utf8(it, &line, o))
        return;
    err_code code = read_line(it, line, o, &it->problem);
    if (code != ERR_OK)
        malformed(it, code, NULL);
    else
        check_text(it, o, h);
}

/* ---- a document of the set that is added to ---- */

static void prepare_old(item *it, const build_options *o, hash_state *h) {
    str *const field[] = {&it->doc.name, &it->doc.source, &it->doc.licence, &it->doc.topic,
                          &it->doc.kind, &it->doc.meta,   &it->doc.text};
    size_t at = 0;
    bool is_text = !memchr(it->raw.p, 0, it->raw.n);
    for (int i = 0; i < 7; i++) {
        *field[i] = str_sub(it->raw, at, at + it->old_n[i]);
        at += it->old_n[i];
        is_text = is_text && utf8_valid(*field[i]);
    }
    str s = it->doc.text;
    hash256 sha256 = hash_by(h, s.p, s.n);
    if (s.n == 0 || s.n > DATASET_TEXT_BYTES_MAX || s.n != it->doc.key.bytes ||
        memcmp(sha256.byte, it->doc.key.sha256.byte, sizeof sha256.byte) != 0)
        malformed(it, ERR_FORMAT, "its text is not the one that is recorded (the file is damaged or was changed)");
    else if (!is_text)
        malformed(it, ERR_FORMAT, "holds what is no text");
    else if (o->near > 0)
        it->has_sketch = shingle_sketch_of(s, &it->sketch);
}

/* ---- items ---- */

void item_prepare(item *it, const build_options *o, hash_state *h) {
    static void (*const prepare[])(item *, const build_options *, hash_state *) = {
        [ITEM_TEXT] = prepare_text, [ITEM_JSON] = prepare_json, [ITEM_OLD] = prepare_old};
    it->verdict = ITEM_GOOD;
    it->repaired = it->has_sketch = false;
    it->n_ill_formed = 0;
    prepare[it->kind](it, o, h);
}

static void drop_large(strbuf *b) {
    if (b->cap > KEPT_BYTES_MAX)
        strbuf_fini(b);
}

void item_reset(item *it) {
    json_decref(it->json);
    free(it->meta);
    it->json = NULL;
    it->meta = NULL;
    drop_large(&it->name);
    drop_large(&it->text);
}

void item_fini(item *it) {
    item_reset(it);
    strbuf_fini(&it->name);
    strbuf_fini(&it->text);
}
