/* summary: the facts that programs ask for most, as one JSON object of our own: loam card --json. */
#include "card/bom.h"
#include "card/jv.h"
#include "card/licence.h"

static json_t *items(jv *j, const openness_item *at, size_t n) {
    json_t *list = jv_array(j);
    for (size_t i = 0; i < n; i++) {
        json_t *v = jv_object(j);
        if (at[i].mof_class)
            jv_put_count(j, v, "class", at[i].mof_class);
        jv_put_word(j, v, "item", at[i].name);
        jv_put(j, v, "optional", json_boolean(at[i].optional));
        jv_put_word(j, v, "there", card_have_names[at[i].have]);
        jv_put(j, v, "why", jv_text(j, at[i].why));
        jv_push(j, list, v);
    }
    return list;
}

static json_t *data(jv *j, const card_facts *f) {
    json_t *v = jv_object(j);
    jv_put(j, v, "named", json_boolean(f->data.named));
    jv_put(j, v, "here", json_boolean(f->data.here));
    jv_put_count(j, v, "documents", f->data.documents);
    jv_put_count(j, v, "bytes", f->data.bytes);
    jv_put_count(j, v, "removed", f->data.removed);
    jv_put_count(j, v, "licence_unknown", f->data.unknown_documents);
    jv_put_count(j, v, "licence_not_open", f->data.closed_documents);
    return v;
}

static json_t *pairs(jv *j, const card_pairs *list, const char *name, const char *value) {
    json_t *array = jv_array(j);
    for (size_t i = 0; i < list->n; i++) {
        json_t *v = jv_object(j);
        jv_put(j, v, name, jv_text(j, list->at[i].name));
        jv_put(j, v, value, jv_text(j, list->at[i].value));
        jv_push(j, array, v);
    }
    return array;
}

err_code summary_write(const card_facts *f, const openness *o, strbuf *out, err *e) {
    static const char *const forms[] = {"run", "gguf", "folder"};
    jv j = {0};
    json_t *top = jv_object(&j), *mof = jv_object(&j), *osaid = jv_object(&j);
    jv_put(&j, top, "name", jv_text(&j, f->name));
    jv_put_word(&j, top, "form", forms[f->form]);
    jv_put(&j, top, "by_loam", json_boolean(f->by_loam));
    jv_put(&j, top, "licence", f->licence.n ? jv_text(&j, f->licence) : json_null());
    jv_put(&j, top, "licence_open", json_boolean(licence_is_open(f->licence)));
    jv_put_count(&j, top, "parameters", f->parameters);
    jv_put(&j, top, "data", data(&j, f));
    jv_put(&j, mof, "class", o->mof_class ? json_integer(o->mof_class) : json_null());
    jv_put(&j, mof, "items", items(&j, o->mof, OPENNESS_MOF_ITEMS));
    jv_put(&j, top, "mof", mof);
    jv_put(&j, osaid, "met", json_boolean(o->osaid_met));
    jv_put(&j, osaid, "items", items(&j, o->osaid, OPENNESS_OSAID_ITEMS));
    jv_put(&j, top, "osaid", osaid);
    if (f->energy.known) {
        json_t *v = jv_object(&j);
        jv_put(&j, v, "measured", json_boolean(f->energy.measured));
        jv_put_real(&j, v, "kwh", f->energy.joules / 3.6e6);
        jv_put_real(&j, v, "low", f->energy.low / 3.6e6);
        jv_put_real(&j, v, "high", f->energy.high / 3.6e6);
        jv_put(&j, top, "energy", v);
    }
    jv_put(&j, top, "digests", pairs(&j, &f->digest, "of", "sha256"));
    jv_put(&j, top, "unknown", pairs(&j, &f->unknown, "what", "why"));
    return jv_end(&j, top, 0, out, e);
}
