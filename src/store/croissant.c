/* croissant: see croissant.h.
 *
 * Sources: "Croissant Format Specification" 1.0 (docs.mlcommons.org/croissant), its JSON-LD context word for word;
 * schema.org for what Croissant takes from there.
 */
#include "store/croissant.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/unpack.h"
#include "store/dataset_int.h"
#include "store/jsonl.h"
#include "store/stats.h"
#include "text/debcopy.h"
#include "text/json.h"
#include "text/json_write.h"

enum { CITED = 20 /* sources in a citation */, READ_BYTES = 256 << 10 };

static const char context[] =
    "{\"@language\":\"en\",\"@vocab\":\"https://schema.org/\",\"citeAs\":\"cr:citeAs\",\"column\":\"cr:column\","
    "\"conformsTo\":\"dct:conformsTo\",\"cr\":\"http://mlcommons.org/croissant/\","
    "\"rai\":\"http://mlcommons.org/croissant/RAI/\",\"data\":{\"@id\":\"cr:data\",\"@type\":\"@json\"},"
    "\"dataType\":{\"@id\":\"cr:dataType\",\"@type\":\"@vocab\"},\"dct\":\"http://purl.org/dc/terms/\","
    "\"equivalentProperty\":\"cr:equivalentProperty\",\"examples\":{\"@id\":\"cr:examples\",\"@type\":\"@json\"},"
    "\"extract\":\"cr:extract\",\"field\":\"cr:field\",\"fileProperty\":\"cr:fileProperty\","
    "\"fileObject\":\"cr:fileObject\",\"fileSet\":\"cr:fileSet\",\"format\":\"cr:format\","
    "\"includes\":\"cr:includes\",\"isLiveDataset\":\"cr:isLiveDataset\",\"jsonPath\":\"cr:jsonPath\","
    "\"key\":\"cr:key\",\"md5\":\"cr:md5\",\"parentField\":\"cr:parentField\",\"path\":\"cr:path\","
    "\"recordSet\":\"cr:recordSet\",\"references\":\"cr:references\",\"regex\":\"cr:regex\","
    "\"repeated\":\"cr:repeated\",\"replace\":\"cr:replace\",\"samplingRate\":\"cr:samplingRate\","
    "\"sc\":\"https://schema.org/\",\"separator\":\"cr:separator\",\"source\":\"cr:source\","
    "\"subField\":\"cr:subField\",\"transform\":\"cr:transform\"}";

typedef struct {
    str source, licence;
    int64_t documents, bytes;
} origin;

typedef struct {
    dataset *d;
    const croissant_options *o;
    size_t most;
    bool broken; /* a value could not be made: memory */
    arena mem;
    strbuf text; /* scratch of say() */
    str name, file, jsonl;
    stats_totals total;
    hash256 digest, file_sha256, jsonl_sha256;
    int64_t file_bytes, jsonl_bytes;
    stats_row *licence;
    dataset_file *read;
    dataset_removal *removal;
    origin *origin;
    size_t n_licences, n_read, n_removals, n_origins;
    int64_t n_all_licences, n_all_origins;
} card;

/* ---- values; what fails makes the card broken ---- */

static json_t *made(card *c, json_t *v) {
    c->broken = c->broken || !v;
    return v;
}

static json_t *text_of(card *c, str s) { return made(c, json_repaired(s)); }

static void put(card *c, json_t *object, const char *key, json_t *v) {
    if (json_object_set_new(object, key, v) != 0) /* takes v in any case */
        c->broken = true;
}

static void put_text(card *c, json_t *object, const char *key, str s) { put(c, object, key, text_of(c, s)); }
static void put_word(card *c, json_t *object, const char *key, const char *word) {
    put_text(c, object, key, str_from(word));
}
static void put_given(card *c, json_t *object, const char *key, const char *word) {
    if (word)
        put_word(c, object, key, word);
}

static void put_hash(card *c, json_t *object, const char *key, hash256 h) {
    char hex[65];
    hash_hex(h, hex);
    put_word(c, object, key, hex);
}

static void push(card *c, json_t *array, json_t *v) {
    if (json_array_append_new(array, v) != 0)
        c->broken = true;
}

static json_t *typed(card *c, const char *type) {
    json_t *object = made(c, json_object());
    put_word(c, object, "@type", type);
    return object;
}

static json_t *linked(card *c, const char *key, const char *id) {
    json_t *object = made(c, json_object()), *target = made(c, json_object());
    put_word(c, target, "@id", id);
    put(c, object, key, target);
    return object;
}

/* A text by parts: begin_text(), say() and say_text(), said(). */
static void say(card *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(card *c, const char *fmt, ...) {
    char part[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(part, sizeof part, fmt, ap);
    va_end(ap);
    if (strbuf_add(&c->text, str_from(part), NULL) != ERR_OK)
        c->broken = true;
}
static void say_text(card *c, str s) {
    if (strbuf_add(&c->text, s, NULL) != ERR_OK)
        c->broken = true;
}
static str said(const card *c) { return strbuf_str(&c->text); }
static void begin_text(card *c) { c->text.n = 0; }

/* ---- licences and sources ---- */

static str licence_name(str licence) { return licence.n ? licence : STR("NOASSERTION"); }

/* One name that SPDX's list has, as far as text/debcopy.h knows it: it stays as it is. */
static bool spdx_knows(str licence) {
    strbuf spdx = {0};
    bool same = licence.n > 0 && !str_starts(licence, STR("LicenseRef-")) &&
                debcopy_spdx(licence, &spdx, NULL) == ERR_OK && str_eq(strbuf_str(&spdx), licence) &&
                !memchr(licence.p, ' ', licence.n) && licence.p[0] != '(';
    strbuf_fini(&spdx);
    return same;
}

static json_t *licences(card *c) {
    json_t *list = made(c, json_array());
    for (size_t i = 0; i < c->n_licences; i++) {
        const stats_row *r = &c->licence[i];
        json_t *one = typed(c, "sc:CreativeWork");
        put_text(c, one, "name", licence_name(r->value));
        if (spdx_knows(r->value)) {
            begin_text(c);
            say(c, "https://spdx.org/licenses/%.*s.html", STR_ARG(r->value));
            put_text(c, one, "url", said(c));
        }
        begin_text(c);
        say(c, "%" PRId64 " documents, %" PRId64 " bytes%s", r->documents, r->bytes,
            r->value.n ? "" : ": their licence is not known");
        put_text(c, one, "description", said(c));
        push(c, list, one);
    }
    return list;
}

/* Rows of one source stand together. */
static json_t *based_on(card *c) {
    json_t *list = made(c, json_array());
    for (size_t i = 0, next; i < c->n_origins; i = next) {
        json_t *one = typed(c, "sc:CreativeWork");
        begin_text(c);
        for (next = i; next < c->n_origins && str_eq(c->origin[next].source, c->origin[i].source); next++) {
            const origin *r = &c->origin[next];
            say(c, "%s%" PRId64 " documents, %" PRId64 " bytes, licence %.*s", next > i ? "; " : "", r->documents,
                r->bytes, STR_ARG(licence_name(r->licence)));
        }
        put_text(c, one, "name", c->origin[i].source);
        put_text(c, one, "description", said(c));
        if (str_starts(c->origin[i].source, STR("apt:"))) {
            str package = str_sub(c->origin[i].source, 4, c->origin[i].source.n);
            begin_text(c);
            say(c, "https://packages.debian.org/%.*s", STR_ARG(package));
            put_text(c, one, "url", said(c));
        }
        push(c, list, one);
    }
    return list;
}

/* A value of BibTeX: its brackets are round. */
static void say_value(card *c, str s) {
    for (size_t from = 0; from < s.n;) {
        size_t to = from;
        while (to < s.n && s.p[to] != '{' && s.p[to] != '}' && s.p[to] != '\\')
            to++;
        say_text(c, str_sub(s, from, to));
        if (to < s.n)
            say(c, "%c", s.p[to] == '{' ? '(' : s.p[to] == '}' ? ')' : '/');
        from = to + 1;
    }
}

static str citation(card *c) {
    char hex[65];
    size_t n = 0;
    hash_hex(c->digest, hex);
    begin_text(c);
    say(c, "@misc{loam-%.12s, title = {", hex);
    say_value(c, c->name);
    say(c, "}, ");
    if (c->o->creator) {
        say(c, "author = {");
        say_value(c, str_from(c->o->creator));
        say(c, "}, ");
    }
    if (c->o->date)
        say(c, "year = {%.4s}, ", c->o->date);
    if (c->o->url) {
        say(c, "url = {");
        say_value(c, str_from(c->o->url));
        say(c, "}, ");
    }
    say(c, "note = {%" PRId64 " documents, SHA-256 %s, made of: ", c->total.documents, hex);
    for (size_t i = 0; i < c->n_origins; i++) {
        if (i > 0 && str_eq(c->origin[i].source, c->origin[i - 1].source))
            continue;
        if (n++ == CITED) {
            say(c, ", and others");
            break;
        }
        say(c, "%s", n > 1 ? ", " : "");
        say_value(c, c->origin[i].source);
    }
    say(c, "}}");
    return said(c);
}

/* ---- distribution ---- */

static json_t *file_object(card *c, const char *id, str url, const char *format, int64_t bytes, hash256 sha256,
                           const char *description) {
    json_t *one = typed(c, "cr:FileObject");
    const char *slash = memrchr(url.p, '/', url.n);
    put_word(c, one, "@id", id);
    put_text(c, one, "name", slash ? str_sub(url, (size_t)(slash - url.p) + 1, url.n) : url);
    put_word(c, one, "description", description);
    put_text(c, one, "contentUrl", url);
    begin_text(c);
    say(c, "%" PRId64 " B", bytes);
    put_text(c, one, "contentSize", said(c));
    put_word(c, one, "encodingFormat", format);
    put_hash(c, one, "sha256", sha256);
    return one;
}

static json_t *distribution(card *c) {
    json_t *list = made(c, json_array());
    push(c, list,
         file_object(c, "dataset", c->file, "application/vnd.sqlite3", c->file_bytes, c->file_sha256,
                     "The data set: an SQLite database with the tables of Loam's data sets, version 1."));
    push(c, list,
         file_object(c, "jsonl", c->jsonl, "application/jsonlines", c->jsonl_bytes, c->jsonl_sha256,
                     "All its documents as JSON Lines, as \"loam data export\" prints them."));
    return list;
}

/* ---- record sets ---- */

typedef struct {
    const char *name, *type, *description;
} column;

static json_t *fields(card *c, const char *set, const column *columns, size_t n, bool from_lines) {
    json_t *list = made(c, json_array());
    char id[80];
    for (size_t i = 0; i < n; i++) {
        json_t *one = typed(c, "cr:Field");
        snprintf(id, sizeof id, "%s/%s", set, columns[i].name);
        put_word(c, one, "@id", id);
        put_word(c, one, "name", columns[i].name);
        put_word(c, one, "description", columns[i].description);
        put_word(c, one, "dataType", columns[i].type);
        if (from_lines) {
            json_t *source = linked(c, "fileObject", "jsonl"), *extract = made(c, json_object());
            put_word(c, extract, "column", columns[i].name);
            put(c, source, "extract", extract);
            put(c, one, "source", source);
        }
        push(c, list, one);
    }
    return list;
}

static json_t *record_set(card *c, const char *name, str description, const column *columns, size_t n,
                          bool from_lines) {
    json_t *set = typed(c, "cr:RecordSet");
    put_word(c, set, "@id", name);
    put_word(c, set, "name", name);
    put_text(c, set, "description", description);
    put(c, set, "field", fields(c, name, columns, n, from_lines));
    return set;
}

#define COLUMNS(list) (list), sizeof(list) / sizeof *(list)

static const column of_documents[] = {
    {"id", "sc:Text", "The document's own name in its source."},
    {"text", "sc:Text", "The text, UTF-8."},
    {"source", "sc:Text", "Where it comes from."},
    {"licence", "sc:Text", "Its licence as an SPDX expression; empty when it is not known."},
    {"topic", "sc:Text", "What it is about, if the source said so."},
    {"kind", "sc:Text", "What kind of text it is, if the source said so."},
};

/* A cell of a row: a number, or a text. */
typedef struct {
    const char *name;
    bool is_text;
    int64_t number;
    str text;
} cell;
#define NUMBER(name, x) \
    { (name), false, (x), STR("") }
#define TEXT(name, s) \
    { (name), true, 0, (s) }

static void push_row(card *c, json_t *rows, const char *set, const cell *cells, size_t n) {
    json_t *row = made(c, json_object());
    char id[80];
    for (size_t i = 0; i < n; i++) {
        snprintf(id, sizeof id, "%s/%s", set, cells[i].name);
        put(c, row, id, cells[i].is_text ? text_of(c, cells[i].text) : made(c, json_integer(cells[i].number)));
    }
    push(c, rows, row);
}

/* A set whose rows stand in the card; none when there is no row. */
static void push_rows(card *c, json_t *list, const char *name, const char *description, const column *columns, size_t n,
                      json_t *rows, int64_t n_all) {
    if (json_array_size(rows) == 0) {
        json_decref(rows);
        return;
    }
    begin_text(c);
    say(c, "%s", description);
    if ((size_t)n_all > json_array_size(rows))
        say(c, " The first %zu of %" PRId64 ".", json_array_size(rows), n_all);
    json_t *set = record_set(c, name, said(c), columns, n, false);
    put(c, set, "data", rows);
    push(c, list, set);
}

static void push_licences(card *c, json_t *list) {
    static const column columns[] = {{"licence", "sc:Text", "SPDX expression; NOASSERTION when it is not known."},
                                     {"documents", "sc:Integer", "How many documents have it."},
                                     {"bytes", "sc:Integer", "Bytes of their texts."}};
    json_t *rows = made(c, json_array());
    for (size_t i = 0; i < c->n_licences; i++) {
        const stats_row *r = &c->licence[i];
        const cell row[] = {TEXT("licence", licence_name(r->value)), NUMBER("documents", r->documents),
                            NUMBER("bytes", r->bytes)};
        push_row(c, rows, "licences", COLUMNS(row));
    }
    push_rows(c, list, "licences", "Licences, with most documents first.", COLUMNS(columns), rows, c->n_all_licences);
}

static void push_sources(card *c, json_t *list) {
    static const column columns[] = {{"source", "sc:Text", "Where documents come from."},
                                     {"licence", "sc:Text", "SPDX expression; NOASSERTION when it is not known."},
                                     {"documents", "sc:Integer", "How many documents of this source have it."},
                                     {"bytes", "sc:Integer", "Bytes of their texts."}};
    json_t *rows = made(c, json_array());
    for (size_t i = 0; i < c->n_origins; i++) {
        const origin *r = &c->origin[i];
        const cell row[] = {TEXT("source", r->source), TEXT("licence", licence_name(r->licence)),
                            NUMBER("documents", r->documents), NUMBER("bytes", r->bytes)};
        push_row(c, rows, "sources", COLUMNS(row));
    }
    push_rows(c, list, "sources", "Sources and the licences of their documents.", COLUMNS(columns), rows,
              c->n_all_origins);
}

static void push_files(card *c, json_t *list) {
    static const column columns[] = {{"name", "sc:Text", "The file's name below its source."},
                                     {"source", "sc:Text", "The source it belongs to."},
                                     {"format", "sc:Text", "What it held and how it was packed."},
                                     {"sha256", "sc:Text", "SHA-256 of the file as it was read."},
                                     {"bytes", "sc:Integer", "Its size."},
                                     {"documents", "sc:Integer", "Documents that were taken from it."}};
    json_t *rows = made(c, json_array());
    for (size_t i = 0; i < c->n_read; i++) {
        const dataset_file *f = &c->read[i];
        char hex[65];
        hash_hex(f->sha256, hex);
        const cell row[] = {TEXT("name", f->name),     TEXT("source", f->source),
                            TEXT("format", f->format), TEXT("sha256", str_from(hex)),
                            NUMBER("bytes", f->bytes), NUMBER("documents", f->documents)};
        push_row(c, rows, "files", COLUMNS(row));
    }
    push_rows(c, list, "files", "Files that the documents were read from.", COLUMNS(columns), rows, c->total.files);
}

static void push_removals(card *c, json_t *list) {
    static const column columns[] = {{"documents", "sc:Integer", "How many documents were dropped at once."},
                                     {"bytes", "sc:Integer", "Bytes of their texts."},
                                     {"digest_before", "sc:Text", "Digest of the data set before."},
                                     {"digest_after", "sc:Text", "Digest of the data set after."}};
    json_t *rows = made(c, json_array());
    for (size_t i = 0; i < c->n_removals; i++) {
        const dataset_removal *r = &c->removal[i];
        char before[65], after[65];
        hash_hex(r->digest_before, before);
        hash_hex(r->digest_after, after);
        const cell row[] = {NUMBER("documents", r->documents), NUMBER("bytes", r->bytes),
                            TEXT("digest_before", str_from(before)), TEXT("digest_after", str_from(after))};
        push_row(c, rows, "removals", COLUMNS(row));
    }
    push_rows(c, list, "removals", "Documents that were dropped from the data set.", COLUMNS(columns), rows,
              c->total.removals);
}

static json_t *record_sets(card *c) {
    json_t *list = made(c, json_array());
    push(c, list,
         record_set(c, "documents", STR("The documents, by the order in which they were read."), COLUMNS(of_documents),
                    true));
    push_licences(c, list);
    push_sources(c, list);
    push_files(c, list);
    push_removals(c, list);
    return list;
}

/* ---- what the card is made of ---- */

static err_code read_origins(card *c, err *e) {
    sqlite3_stmt *s;
    bool row;
    char text[200];
    ARENA_NEW(&c->mem, c->origin, c->most, e);
    TRY(sql_one_int(c->d->db, "SELECT count(*) FROM (SELECT DISTINCT source, licence FROM documents)",
                    &c->n_all_origins, e));
    snprintf(text, sizeof text,
             "SELECT source, licence, count(*), sum(bytes) FROM documents GROUP BY 1, 2 ORDER BY 1, 2 LIMIT %zu",
             c->most);
    TRY(sql_prepare(c->d->db, str_from(text), &s, e));
    err_code code;
    while ((code = sql_step(s, &row, e)) == ERR_OK && row && c->n_origins < c->most) {
        origin *o = &c->origin[c->n_origins];
        str source, licence;
        if ((code = sql_text(s, 0, &source, e)) != ERR_OK || (code = sql_text(s, 1, &licence, e)) != ERR_OK ||
            (code = sql_int(s, 2, &o->documents, e)) != ERR_OK || (code = sql_int(s, 3, &o->bytes, e)) != ERR_OK)
            break;
        o->source = arena_str(&c->mem, source);
        o->licence = arena_str(&c->mem, licence);
        if (!o->source.p || !o->licence.p) {
            code = arena_short(e, source.n + licence.n, 1);
            break;
        }
        c->n_origins++;
    }
    sqlite3_finalize(s);
    return code;
}

static err_code hash_lines(card *c, const dataset_key *keys, size_t n, err *e) {
    hash_state *h;
    uint64_t done = 0;
    TRY(hash_open(&h, e));
    err_code code = ERR_OK;
    for (size_t i = 0; i < n && code == ERR_OK; i++) {
        dataset_doc doc;
        begin_text(c);
        if (c->d->stop && *c->d->stop)
            code = err_set(e, ERR_CANCELLED, "stopped");
        if (code == ERR_OK)
            code = dataset_get(c->d, keys[i].id, &doc, e);
        if (code == ERR_OK)
            code = jsonl_line(&doc, &c->text, e);
        if (code != ERR_OK)
            break;
        hash_add(h, c->text.p, c->text.n);
        c->jsonl_bytes += (int64_t)c->text.n;
        done += keys[i].bytes;
        if (c->o->progress)
            c->o->progress(c->o->progress_ctx, done, (uint64_t)c->total.bytes);
    }
    c->jsonl_sha256 = hash_close(h);
    return code;
}

static int compare_ids(const void *a, const void *b) {
    const dataset_key *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static err_code read_documents(card *c, err *e) {
    dataset_key *keys;
    size_t n;
    TRY(dataset_list(c->d, NULL, &keys, &n, e));
    err_code code = dataset_keys_digest(keys, n, &c->digest, e);
    if (n)
        qsort(keys, n, sizeof *keys, compare_ids); /* the order in which they are exported */
    if (code == ERR_OK)
        code = hash_lines(c, keys, n, e);
    free(keys);
    return code;
}

/* The file's own bytes. */
static err_code hash_itself(card *c, err *e) {
    const char *path = dataset_path(c->d);
    unpack *u;
    TRY(unpack_open(&u, path, UNPACK_FOLLOW, e)); /* it is plain: an SQLite file begins with other bytes */
    char *buffer = malloc(READ_BYTES);
    err_code code = buffer ? ERR_OK : err_set(e, ERR_MEMORY, "%s: no memory to read it", path);
    for (size_t got = 1; code == ERR_OK && got > 0;) {
        code = unpack_read(u, buffer, READ_BYTES, &got, e);
        if (code == ERR_OK && c->d->stop && *c->d->stop)
            code = err_set(e, ERR_CANCELLED, "stopped");
    }
    free(buffer);
    c->file_bytes = (int64_t)unpack_taken(u);
    c->file_sha256 = unpack_digest(u);
    unpack_close(u);
    return code;
}

static err_code gather(card *c, err *e) {
    TRY(stats_total(c->d, &c->total, e));
    TRY(stats_by(c->d, STATS_LICENCE, c->most, &c->mem, &c->licence, &c->n_licences, &c->n_all_licences, e));
    TRY(stats_files(c->d, c->most, &c->mem, &c->read, &c->n_read, e));
    TRY(stats_removals(c->d, c->most, &c->mem, &c->removal, &c->n_removals, e));
    err_code code = read_origins(c, e);
    if (code != ERR_OK)
        return err_in(e, code, "%s", dataset_path(c->d));
    TRY(read_documents(c, e));
    return hash_itself(c, e);
}

/* ---- the card ---- */

static err_code name_things(card *c, err *e) {
    str path = str_from(dataset_path(c->d));
    const char *slash = memrchr(path.p, '/', path.n);
    str base = slash ? str_sub(path, (size_t)(slash - path.p) + 1, path.n) : path;
    str stem = str_ends(base, STR(".db")) && base.n > 3 ? str_sub(base, 0, base.n - 3) : base;
    begin_text(c);
    TRY(strbuf_add(&c->text, stem, e));
    TRY(strbuf_add(&c->text, STR(".jsonl"), e));
    c->name = c->o->name ? str_from(c->o->name) : stem;
    c->file = c->o->file ? str_from(c->o->file) : base;
    c->jsonl = arena_str(&c->mem, c->o->jsonl ? str_from(c->o->jsonl) : said(c));
    return c->jsonl.p ? ERR_OK : arena_short(e, 1, 1);
}

static str description(card *c) {
    begin_text(c);
    say(c, "%" PRId64 " documents, %" PRId64 " bytes of text, from %" PRId64 " files; %" PRId64 " licences", //
        c->total.documents, c->total.bytes, c->total.files, c->n_all_licences);
    say(c, "; %" PRId64 " exact and %" PRId64 " near duplicates are marked.", c->total.exact_duplicates,
        c->total.near_duplicates);
    return said(c);
}

static json_t *identifier(card *c) {
    json_t *one = typed(c, "sc:PropertyValue");
    put_word(c, one, "propertyID", "SHA-256 over the sorted SHA-256 of all documents' texts");
    put_hash(c, one, "value", c->digest);
    return one;
}

static json_t *creator(card *c) {
    json_t *one = typed(c, "sc:Organization");
    put_word(c, one, "name", c->o->creator);
    return one;
}

static json_t *whole_card(card *c) {
    char hex[65];
    json_t *root = made(c, json_object());
    put(c, root, "@context", made(c, json_loads(context, 0, NULL)));
    put_word(c, root, "@type", "sc:Dataset");
    put_word(c, root, "conformsTo", "http://mlcommons.org/croissant/1.0");
    put_text(c, root, "name", c->name);
    put_text(c, root, "description", c->o->description ? str_from(c->o->description) : description(c));
    hash_hex(c->digest, hex);
    begin_text(c);
    say(c, "%.80s+%.12s", c->o->version ? c->o->version : "1.0.0", hex);
    put_text(c, root, "version", said(c));
    put_given(c, root, "url", c->o->url);
    put_given(c, root, "datePublished", c->o->date);
    if (c->o->creator)
        put(c, root, "creator", creator(c));
    put(c, root, "license", licences(c));
    put_text(c, root, "citeAs", citation(c));
    put(c, root, "identifier", identifier(c));
    put(c, root, "isBasedOn", based_on(c));
    put(c, root, "distribution", distribution(c));
    put(c, root, "recordSet", record_sets(c));
    return root;
}

static err_code write(card *c, strbuf *out, err *e) {
    TRY(name_things(c, e));
    TRY(gather(c, e));
    json_t *root = whole_card(c);
    err_code code = c->broken ? err_set(e, ERR_MEMORY, "no memory for a card") : json_write(root, 2, out, e);
    json_decref(root);
    return code == ERR_OK ? strbuf_addc(out, '\n', e) : code;
}

err_code croissant_write(dataset *d, const croissant_options *o, strbuf *out, err *e) {
    size_t before = out->n;
    card c = {.d = d, .o = o, .most = o->rows ? o->rows : CROISSANT_ROWS};
    err_code code = write(&c, out, e);
    if (code != ERR_OK)
        out->n = before;
    arena_fini(&c.mem);
    strbuf_fini(&c.text);
    return code;
}
