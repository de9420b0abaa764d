/* cyclonedx: the facts as a CycloneDX 1.6 bill of materials. See bom.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "card/bom.h"
#include "card/jv.h"
#include "card/licence.h"
#include "text/utf8.h"

enum { VERSION_BYTES_MAX = 1000 }; /* the schema allows 1024 characters */

typedef struct {
    card_facts *f;
    const openness *o;
    const bom_options *b;
    jv j;
    err *e;
    err_code code;
} cdx;

#define format(c, ...) facts_text((c)->f, &(c)->code, (c)->e, __VA_ARGS__)

static void push_property(cdx *c, json_t *list, str name, str value) {
    json_t *v = jv_object(&c->j);
    jv_put(&c->j, v, "name", jv_text(&c->j, name));
    jv_put(&c->j, v, "value", jv_text(&c->j, value));
    jv_push(&c->j, list, v);
}

static json_t *named(cdx *c, str name) {
    json_t *v = jv_object(&c->j);
    jv_put(&c->j, v, "name", jv_text(&c->j, name));
    return v;
}

/* One licence of SPDX's list by its id, an expression of such, anything else by its name. */
static json_t *licence(cdx *c, str spdx, str told) {
    json_t *outer = jv_object(&c->j), *v = jv_object(&c->j);
    if (licence_is_listed(spdx))
        jv_put_text(&c->j, v, "id", spdx);
    else
        jv_put_text(&c->j, v, "name", told.n ? told : spdx);
    jv_put(&c->j, outer, "license", v);
    return outer;
}

static void put_hash(cdx *c, json_t *v, const char *const *names) {
    for (; *names; names++)
        for (size_t i = 0; i < c->f->digest.n; i++)
            if (str_is(c->f->digest.at[i].name, *names)) {
                json_t *list = jv_array(&c->j), *h = jv_object(&c->j);
                jv_put_word(&c->j, h, "alg", "SHA-256");
                jv_put_text(&c->j, h, "content", c->f->digest.at[i].value);
                jv_push(&c->j, list, h);
                jv_put(&c->j, v, "hashes", list);
                return;
            }
}

static void push_link(cdx *c, json_t *list, const char *type, str url) {
    if (!facts_is_url(url))
        return;
    json_t *v = jv_object(&c->j);
    jv_put_word(&c->j, v, "type", type);
    jv_put_text(&c->j, v, "url", url);
    jv_push(&c->j, list, v);
}

/* Puts a list or an object that may have stayed empty. */
static void put_filled(cdx *c, json_t *object, const char *key, json_t *v) {
    if (json_is_array(v) ? json_array_size(v) > 0 : json_object_size(v) > 0)
        jv_put(&c->j, object, key, v);
    else
        json_decref(v);
}

static json_t *parameters(cdx *c) {
    card_facts *f = c->f;
    json_t *v = jv_object(&c->j);
    if (f->by_loam) {
        json_t *approach = jv_object(&c->j);
        jv_put_word(&c->j, approach, "type", "self-supervised");
        jv_put(&c->j, v, "approach", approach);
    }
    jv_put_word(&c->j, v, "task", "text generation");
    jv_put_word(&c->j, v, "architectureFamily", "transformer");
    jv_put_text(&c->j, v, "modelArchitecture", f->shape.family);
    if (f->data.named) {
        json_t *list = jv_array(&c->j), *ref = jv_object(&c->j);
        jv_put_word(&c->j, ref, "ref", "data");
        jv_push(&c->j, list, ref);
        jv_put(&c->j, v, "datasets", list);
    }
    static const char *const both[] = {"inputs", "outputs"};
    for (int i = 0; i < 2; i++) {
        json_t *list = jv_array(&c->j), *text = jv_object(&c->j);
        jv_put_word(&c->j, text, "format", "text");
        jv_push(&c->j, list, text);
        jv_put(&c->j, v, both[i], list);
    }
    return v;
}

static json_t *metrics(cdx *c) {
    card_facts *f = c->f;
    json_t *outer = jv_object(&c->j), *list = jv_array(&c->j);
    for (size_t i = 0; i < f->n_scores; i++) {
        const card_score *x = &f->score[i];
        json_t *v = jv_object(&c->j), *interval = jv_object(&c->j);
        jv_put_word(&c->j, v, "type", "accuracy");
        jv_put_text(&c->j, v, "value", format(c, "%.6f", x->accuracy));
        jv_put_text(&c->j, v, "slice", format(c, "%.*s, %.*s", STR_ARG(x->task), STR_ARG(x->kind)));
        jv_put_text(&c->j, interval, "lowerBound", format(c, "%.6f", x->low));
        jv_put_text(&c->j, interval, "upperBound", format(c, "%.6f", x->high));
        jv_put(&c->j, v, "confidenceInterval", interval);
        jv_push(&c->j, list, v);
    }
    if (f->training.bits > 0) {
        json_t *v = jv_object(&c->j);
        jv_put_word(&c->j, v, "type", "bits per byte");
        jv_put_text(&c->j, v, "value", format(c, "%.6f", f->training.bits));
        jv_put_word(&c->j, v, "slice", "held-out text");
        jv_push(&c->j, list, v);
    }
    put_filled(c, outer, "performanceMetrics", list);
    return outer;
}

static json_t *kwh(cdx *c) {
    json_t *v = jv_object(&c->j);
    jv_put_real(&c->j, v, "value", c->f->energy.joules / 3.6e6);
    jv_put_word(&c->j, v, "unit", "kWh");
    return v;
}

static json_t *environment(cdx *c) {
    card_facts *f = c->f;
    json_t *outer = jv_object(&c->j);
    if (!f->energy.known)
        return outer;
    json_t *list = jv_array(&c->j), *v = jv_object(&c->j), *providers = jv_array(&c->j), *p = jv_object(&c->j);
    json_t *properties = jv_array(&c->j);
    jv_put_word(&c->j, v, "activity", "training");
    jv_put(&c->j, p, "organization", named(c, STR("unknown")));
    jv_put_word(&c->j, p, "energySource", "unknown");
    jv_put(&c->j, p, "energyProvided", kwh(c));
    jv_push(&c->j, providers, p);
    jv_put(&c->j, v, "energyProviders", providers);
    jv_put(&c->j, v, "activityEnergyCost", kwh(c));
    push_property(c, properties, STR("loam:energy"),
                  f->energy.measured
                      ? STR("measured by the processors' own counters (RAPL)")
                      : format(c, "an estimate: %.3g to %.3g kWh", f->energy.low / 3.6e6, f->energy.high / 3.6e6));
    jv_put(&c->j, v, "properties", properties);
    jv_push(&c->j, list, v);
    jv_put(&c->j, outer, "energyConsumptions", list);
    return outer;
}

static json_t *considerations(cdx *c) {
    card_facts *f = c->f;
    static const char *const always[] = {"It can state falsehoods, and repeat texts it was trained on.",
                                         "No tests for bias, safety or privacy are recorded here.", NULL};
    json_t *v = jv_object(&c->j), *list = jv_words(&c->j, always);
    for (size_t i = 0; i < f->limit.n; i++)
        jv_push(&c->j, list, jv_text(&c->j, f->limit.at[i].value));
    for (size_t i = 0; i < f->unknown.n; i++)
        jv_push(&c->j, list,
                jv_text(&c->j, format(c, "Unknown: %.*s (%.*s)", STR_ARG(f->unknown.at[i].name),
                                      STR_ARG(f->unknown.at[i].value))));
    jv_put(&c->j, v, "technicalLimitations", list);
    put_filled(c, v, "environmentalConsiderations", environment(c));
    return v;
}

static json_t *properties(cdx *c) {
    card_facts *f = c->f;
    json_t *list = jv_array(&c->j);
    if (f->parameters)
        push_property(c, list, STR("loam:parameters"), format(c, "%" PRIu64, f->parameters));
    for (size_t i = 0; i < f->recipe.n; i++)
        push_property(c, list, format(c, "loam:recipe:%.*s", STR_ARG(f->recipe.at[i].name)), f->recipe.at[i].value);
    for (size_t i = 0; i < f->digest.n; i++)
        push_property(c, list, format(c, "loam:sha256:%.*s", STR_ARG(f->digest.at[i].name)), f->digest.at[i].value);
    push_property(c, list, STR("loam:openness:mof-class"),
                  c->o->mof_class ? format(c, "%u", c->o->mof_class) : STR("none"));
    push_property(c, list, STR("loam:openness:osaid-1.0"),
                  format(c, "%s, %zu of %d items", c->o->osaid_met ? "met" : "not met as far as can be seen",
                         c->o->osaid_n, OPENNESS_OSAID_ITEMS));
    return list;
}

static json_t *model(cdx *c) {
    card_facts *f = c->f;
    static const char *const hashes[] = {"model.gguf", "file", NULL};
    json_t *v = jv_object(&c->j), *card = jv_object(&c->j), *licences = jv_array(&c->j), *links = jv_array(&c->j);
    jv_put_word(&c->j, v, "type", "machine-learning-model");
    jv_put_word(&c->j, v, "bom-ref", "model");
    if (f->said.by.n)
        jv_put(&c->j, v, "supplier", named(c, f->said.by));
    jv_put(&c->j, v, "name", jv_text(&c->j, f->name.n ? f->name : STR("unnamed")));
    str version = str_sub(f->said.version, 0, VERSION_BYTES_MAX);
    jv_put_text(&c->j, v, "version", str_sub(version, 0, utf8_whole(version)));
    jv_put_text(&c->j, v, "description", f->said.description);
    put_hash(c, v, hashes);
    if (f->licence.n)
        jv_push(&c->j, licences, licence(c, f->licence, f->licence_text));
    put_filled(c, v, "licenses", licences);
    push_link(c, links, "distribution", f->said.url);
    push_link(c, links, "documentation", f->said.report);
    push_link(c, links, "documentation", f->said.paper);
    put_filled(c, v, "externalReferences", links);
    jv_put(&c->j, card, "modelParameters", parameters(c));
    put_filled(c, card, "quantitativeAnalysis", metrics(c));
    jv_put(&c->j, card, "considerations", considerations(c));
    jv_put(&c->j, card, "properties", properties(c));
    jv_put(&c->j, v, "modelCard", card);
    return v;
}

static json_t *data(cdx *c) {
    card_facts *f = c->f;
    static const char *const none[] = {"data", NULL};
    json_t *v = jv_object(&c->j), *list = jv_array(&c->j), *d = jv_object(&c->j), *contents = jv_object(&c->j);
    json_t *counts = jv_array(&c->j), *licences = jv_array(&c->j), *links = jv_array(&c->j);
    str name = f->data.source.n ? f->data.source : STR("training data");
    jv_put_word(&c->j, v, "type", "data");
    jv_put_word(&c->j, v, "bom-ref", "data");
    jv_put(&c->j, v, "name", jv_text(&c->j, name));
    put_hash(c, v, none);
    for (size_t i = 0; i < f->data.n_licences; i++) {
        strbuf spdx = {0};
        str told = f->data.licence[i].licence, clean = {0};
        if (c->code == ERR_OK)
            c->code = licence_spdx(told, &spdx, c->e);
        if (c->code == ERR_OK)
            c->code = facts_clean(f, strbuf_str(&spdx), &clean, c->e);
        strbuf_fini(&spdx);
        jv_push(&c->j, licences, licence(c, clean, told.n ? told : STR("unknown")));
    }
    put_filled(c, v, "licenses", licences);
    push_link(c, links, "distribution", c->b->data_url);
    put_filled(c, v, "externalReferences", links);
    jv_put_word(&c->j, d, "type", "dataset");
    jv_put(&c->j, d, "name", jv_text(&c->j, name));
    push_property(c, counts, STR("loam:documents"), format(c, "%" PRIu64, f->data.documents));
    if (f->data.here) {
        push_property(c, counts, STR("loam:bytes"), format(c, "%" PRIu64, f->data.bytes));
        push_property(c, counts, STR("loam:held-out"), format(c, "%" PRIu64, f->data.held_out));
        push_property(c, counts, STR("loam:licence-unknown"), format(c, "%" PRIu64, f->data.unknown_documents));
        push_property(c, counts, STR("loam:licence-not-open"), format(c, "%" PRIu64, f->data.closed_documents));
    }
    for (size_t i = 0; i < f->data.n_origins && i < FACTS_ROWS_SHOWN; i++) {
        const card_origin *o = &f->data.origin[i];
        push_property(c, counts, format(c, "loam:source:%.*s", STR_ARG(o->source)),
                      format(c, "%" PRIu64 " documents, %" PRIu64 " bytes, %.*s", o->documents, o->bytes,
                             STR_ARG(o->licence.n ? o->licence : STR("licence unknown"))));
    }
    jv_put(&c->j, contents, "properties", counts);
    jv_put(&c->j, d, "contents", contents);
    jv_push(&c->j, list, d);
    jv_put(&c->j, v, "data", list);
    return v;
}

static json_t *metadata(cdx *c) {
    json_t *v = jv_object(&c->j), *tools = jv_object(&c->j), *list = jv_array(&c->j), *tool = jv_object(&c->j);
    str time = {0};
    if (c->f->created >= 0) { /* the format does not demand one */
        if (c->code == ERR_OK)
            c->code = facts_time(c->f, c->f->created, true, &time, c->e);
        jv_put_text(&c->j, v, "timestamp", time);
    }
    jv_put_word(&c->j, tool, "type", "application");
    jv_put_word(&c->j, tool, "name", "loam");
    jv_put_word(&c->j, tool, "version", c->b->tool);
    jv_push(&c->j, list, tool);
    jv_put(&c->j, tools, "components", list);
    jv_put(&c->j, v, "tools", tools);
    jv_put(&c->j, v, "component", model(c));
    return v;
}

err_code cyclonedx_write(card_facts *f, const openness *o, const bom_options *b, strbuf *out, err *e) {
    cdx c = {.f = f, .o = o, .b = b, .e = e};
    char hex[65];
    hash_hex(f->identity, hex);
    json_t *top = jv_object(&c.j), *components = jv_array(&c.j);
    jv_put_word(&c.j, top, "$schema", "http://cyclonedx.org/schema/bom-1.6.schema.json");
    jv_put_word(&c.j, top, "bomFormat", "CycloneDX");
    jv_put_word(&c.j, top, "specVersion", "1.6");
    /* a UUID of version 8, whose bits are of one's own making: the model's digest */
    jv_put_text(&c.j, top, "serialNumber",
                format(&c, "urn:uuid:%.8s-%.4s-8%.3s-a%.3s-%.12s", hex, hex + 8, hex + 12, hex + 15, hex + 18));
    jv_put_count(&c.j, top, "version", 1);
    jv_put(&c.j, top, "metadata", metadata(&c));
    if (f->data.named)
        jv_push(&c.j, components, data(&c));
    put_filled(&c, top, "components", components);
    if (c.code != ERR_OK) {
        json_decref(top);
        return c.code;
    }
    return jv_end(&c.j, top, 2, out, e);
}
