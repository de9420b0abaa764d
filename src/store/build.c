/* build: see build.h. */
#include "store/build.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "store/writer.h"
#include "text/json.h"
#include "text/utf8.h"

enum { FILE_BYTES_MAX = 1 << 30, META_BYTES_MAX = 16 << 20 };

typedef struct {
    const dataset_build_options *o;
    dataset_writer *w;
    int64_t id;
    dataset_file file;
    dataset_build_result *r;
} builder;

static err_code field_of(const json_t *line, const char *key, str otherwise, str *out, err *e) {
    const json_t *v = json_object_get(line, key);
    *out = otherwise;
    if (!v || json_is_null(v))
        return ERR_OK;
    if (!json_is_string(v))
        return err_set(e, ERR_FORMAT, "key \"%s\" is not a string", key);
    *out = json_str_of(v);
    return out->n && memchr(out->p, 0, out->n) ? err_set(e, ERR_FORMAT, "key \"%s\" holds a NUL", key) : ERR_OK;
}

/* The keys that are not ours, as compact JSON with sorted keys. */
static err_code meta_of(json_t *line, char **out, err *e) {
    static const char *const ours[] = {"id", "text", "source", "licence", "license", "topic", "kind"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        json_object_del(line, ours[i]);
    *out = NULL;
    if (json_object_size(line) == 0)
        return ERR_OK;
    *out = json_dumps(line, JSON_COMPACT | JSON_SORT_KEYS);
    return *out ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for the other keys");
}

static err_code add_line(builder *b, json_t *line, err *e) {
    dataset_doc doc = {0};
    if (!json_is_object(line))
        return err_set(e, ERR_FORMAT, "a JSON object belongs here");
    TRY(json_want_str(line, "text", &doc.text, e));
    const json_t *id = json_object_get(line, "id");
    char number[32];
    if (json_is_integer(id)) {
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
        doc.name = str_from(number);
    } else
        TRY(field_of(line, "id", STR(""), &doc.name, e));
    TRY(field_of(line, "source", b->file.source, &doc.source, e));
    TRY(field_of(line, "license", b->o->licence, &doc.licence, e));
    TRY(field_of(line, "licence", doc.licence, &doc.licence, e));
    TRY(field_of(line, "topic", STR(""), &doc.topic, e));
    TRY(field_of(line, "kind", STR(""), &doc.kind, e));
    if (doc.text.n == 0 || doc.text.n > DATASET_TEXT_BYTES_MAX || memchr(doc.text.p, 0, doc.text.n))
        return err_set(e, ERR_FORMAT, "key \"text\" is empty, too long, or holds a NUL");
    /* The values are borrowed from the object: taken out of it, they must live on. */
    json_t *keep = json_copy(line);
    char *meta = NULL;
    err_code code = keep ? meta_of(line, &meta, e) : err_set(e, ERR_MEMORY, "no memory for a line");
    if (code == ERR_OK) {
        doc.meta = str_from(meta);
        doc.key.id = ++b->id;
        doc.key.bytes = doc.text.n;
        doc.key.sha256 = hash_of(doc.text.p, doc.text.n);
        code = dataset_writer_put(b->w, &doc, b->file.id, e);
        b->file.documents++;
        b->r->documents++;
        b->r->bytes += (int64_t)doc.text.n;
    }
    free(meta);
    json_decref(keep);
    return code;
}

static err_code add_lines(builder *b, const char *path, str all, err *e) {
    size_t from = 0, number = 1;
    for (; from < all.n; number++) {
        const char *end = memchr(all.p + from, '\n', all.n - from);
        size_t to = end ? (size_t)(end - all.p) : all.n;
        str line = str_sub(all, from, to);
        from = to + 1;
        json_t *value = NULL;
        err_code code = json_read(line, FILE_BYTES_MAX, &value, e);
        if (code == ERR_OK)
            code = add_line(b, value, e);
        json_decref(value);
        if (code != ERR_OK)
            return err_in(e, code, "%s:%zu", path, number);
        if (b->o->stop && *b->o->stop)
            return err_set(e, ERR_CANCELLED, "stopped");
    }
    return ERR_OK;
}

static err_code add_file(builder *b, const char *path, err *e) {
    strbuf all = {0};
    const char *slash = strrchr(path, '/');
    str name = str_from(slash ? slash + 1 : path);
    b->file = (dataset_file){.id = b->file.id + 1, .name = name, .source = b->o->source, .format = STR("jsonl")};
    if (b->file.source.n == 0)
        b->file.source = name;
    TRY(os_read_file(path, FILE_BYTES_MAX, &all, e));
    b->file.bytes = (int64_t)all.n;
    b->file.sha256 = hash_of(all.p, all.n);
    err_code code = add_lines(b, path, strbuf_str(&all), e);
    strbuf_fini(&all);
    return code == ERR_OK ? dataset_writer_file(b->w, &b->file, e) : code;
}

err_code dataset_build(const char *path, const char *const *sources, size_t n_sources, const dataset_build_options *o,
                       dataset_build_result *r, err *e) {
    builder b = {.o = o, .r = r};
    *r = (dataset_build_result){0};
    TRY(dataset_writer_open(&b.w, path, e));
    err_code code = ERR_OK;
    for (size_t i = 0; i < n_sources && code == ERR_OK; i++)
        code = add_file(&b, sources[i], e);
    if (code == ERR_OK)
        code = dataset_writer_commit(b.w, e);
    else
        dataset_writer_abort(b.w);
    TRY(code);
    dataset *d;
    TRY(dataset_open(&d, path, e));
    code = dataset_digest(d, &r->digest, e);
    dataset_close(d);
    return code;
}
