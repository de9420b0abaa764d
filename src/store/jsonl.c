/* jsonl: see jsonl.h. */
#include "store/jsonl.h"

#include <stdlib.h>
#include <string.h>

#include "text/json.h"

bool jsonl_is_own(const char *key) {
    static const char *const own[] = {"id", "text", "source", "licence", "license", "topic", "kind"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(key, own[i]) == 0)
            return true;
    return false;
}

static err_code add_members(json_t *meta, strbuf *out, err *e) {
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(meta, next, key, value) {
        if (jsonl_is_own(key))
            json_object_del(meta, key);
    }
    if (json_object_size(meta) == 0)
        return ERR_OK;
    char *text = json_dumps(meta, JSON_COMPACT | JSON_SORT_KEYS); /* as the build has written it */
    if (!text)
        return err_set(e, ERR_MEMORY, "no memory for a document's other keys");
    err_code code = strbuf_addc(out, ',', e);
    if (code == ERR_OK)
        code = strbuf_add(out, (str){text + 1, strlen(text) - 2}, e);
    free(text);
    return code;
}

static err_code add_meta(str meta, strbuf *out, err *e) {
    json_t *value = NULL; /* a file that is not ours may hold anything there */
    if (meta.n == 0 || json_read(meta, meta.n, &value, NULL) != ERR_OK)
        return ERR_OK;
    err_code code = json_is_object(value) ? add_members(value, out, e) : ERR_OK;
    json_decref(value);
    return code;
}

err_code jsonl_line(const dataset_doc *doc, strbuf *out, err *e) {
    const struct {
        const char *key;
        str value;
    } fields[] = {{"id", doc->name},         {"text", doc->text},   {"source", doc->source},
                  {"licence", doc->licence}, {"topic", doc->topic}, {"kind", doc->kind}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        TRY(strbuf_addf(out, e, "%s\"%s\":", i ? "," : "{", fields[i].key));
        TRY(json_quote(fields[i].value, out, e));
    }
    TRY(add_meta(doc->meta, out, e));
    return strbuf_add(out, STR("}\n"), e);
}
