/* spdx: the facts as SPDX 3.0.1 JSON-LD. See bom.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "card/bom.h"
#include "card/jv.h"
#include "card/licence.h"

enum { ID_BYTES = 128 };

typedef struct {
    card_facts *f;
    const openness *o;
    const bom_options *b;
    jv j;
    err *e;
    err_code code; /* the first failure that is not json's */
    json_t *graph, *elements;
    char base[ID_BYTES]; /* urn:loam:HEX: before every id */
    char made[40];       /* the time of everything here */
    int n_relations, n_licences;
    bool has_by, has_data_by;
} spdx;

#define format(s, ...) facts_text((s)->f, &(s)->code, (s)->e, __VA_ARGS__)

static str id_of(spdx *s, const char *what) { return format(s, "%s%s", s->base, what); }

/* A new element of the graph; *id: its name. */
static json_t *element(spdx *s, const char *type, str id) {
    json_t *v = jv_object(&s->j);
    jv_put_word(&s->j, v, "type", type);
    jv_put_text(&s->j, v, "spdxId", id);
    jv_put_word(&s->j, v, "creationInfo", "_:creation");
    jv_push(&s->j, s->graph, v);
    jv_push(&s->j, s->elements, jv_text(&s->j, id));
    return v; /* the graph's */
}

static void put_list(spdx *s, json_t *v, const char *key, str only) {
    json_t *list = jv_array(&s->j);
    jv_push(&s->j, list, jv_text(&s->j, only));
    jv_put(&s->j, v, key, list);
}

static void relate(spdx *s, str from, const char *type, str to, bool complete) {
    char name[32];
    snprintf(name, sizeof name, "relation-%d", ++s->n_relations);
    json_t *v = element(s, "Relationship", id_of(s, name));
    jv_put_text(&s->j, v, "from", from);
    jv_put_word(&s->j, v, "relationshipType", type);
    put_list(s, v, "to", to);
    jv_put_word(&s->j, v, "completeness", complete ? "complete" : "noAssertion");
}

static void put_entry(spdx *s, json_t *list, str key, str value) {
    json_t *v = jv_object(&s->j);
    jv_put_word(&s->j, v, "type", "DictionaryEntry");
    jv_put(&s->j, v, "key", jv_text(&s->j, key));
    jv_put(&s->j, v, "value", jv_text(&s->j, value));
    jv_push(&s->j, list, v);
}

static void put_sha256(spdx *s, json_t *v, str hex) {
    json_t *list = jv_array(&s->j), *h = jv_object(&s->j);
    jv_put_word(&s->j, h, "type", "Hash");
    jv_put_word(&s->j, h, "algorithm", "sha256");
    jv_put_text(&s->j, h, "hashValue", hex);
    jv_push(&s->j, list, h);
    jv_put(&s->j, v, "verifiedUsing", list);
}

/* ---- licences ---- */

/* The texts of the LicenseRefs in an expression: what is known of them is their name. */
static json_t *custom_licences(spdx *s, str expression, str told) {
    json_t *map = jv_array(&s->j);
    for (size_t at = 0; at < expression.n;) {
        size_t to = at;
        while (to < expression.n && !strchr(" ()", expression.p[to]))
            to++;
        str word = str_sub(expression, at, to);
        at = to + 1;
        if (!str_starts(word, STR("LicenseRef-")))
            continue;
        char name[32];
        snprintf(name, sizeof name, "licence-text-%d", ++s->n_licences);
        str id = id_of(s, name);
        json_t *v = element(s, "simplelicensing_SimpleLicensingText", id);
        jv_put_text(&s->j, v, "name", word);
        jv_put(
            &s->j, v, "simplelicensing_licenseText",
            jv_text(&s->j, format(s, "Only its name is known here: %.*s", (int)(told.n < 500 ? told.n : 500), told.p)));
        put_entry(s, map, word, id);
    }
    return map;
}

/* The id of a licence; empty expression: that of "no assertion". */
static str licence(spdx *s, str expression, str told) {
    if (expression.n == 0)
        return STR("expandedlicensing_NoAssertionLicense");
    char name[32];
    snprintf(name, sizeof name, "licence-%d", ++s->n_licences);
    str id = id_of(s, name);
    json_t *map = custom_licences(s, expression, told);
    json_t *v = element(s, "simplelicensing_LicenseExpression", id);
    jv_put_text(&s->j, v, "simplelicensing_licenseExpression", expression);
    if (json_array_size(map))
        jv_put(&s->j, v, "simplelicensing_customIdToUri", map);
    else
        json_decref(map);
    return id;
}

/* All licences of the data joined by AND; empty when one is unknown or there are too many to be told apart. */
static str data_licence(spdx *s) {
    strbuf all = {0}, one = {0};
    str out = {0};
    err_code code = ERR_OK;
    for (size_t i = 0; i < s->f->data.n_licences && code == ERR_OK; i++) {
        one.n = 0;
        code = licence_spdx(s->f->data.licence[i].licence, &one, s->e);
        bool joined = str_find(strbuf_str(&one), STR(" "), 0) >= 0 && s->f->data.n_licences > 1;
        if (code == ERR_OK && i)
            code = strbuf_add(&all, STR(" AND "), s->e);
        if (code == ERR_OK && joined)
            code = strbuf_addc(&all, '(', s->e);
        if (code == ERR_OK)
            code = strbuf_add(&all, strbuf_str(&one), s->e);
        if (code == ERR_OK && joined)
            code = strbuf_addc(&all, ')', s->e);
    }
    bool told = s->f->data.here && s->f->data.unknown_documents == 0 && all.n > 0 && all.n < FACTS_TEXT_BYTES_MAX;
    if (code == ERR_OK && told)
        code = facts_clean(s->f, strbuf_str(&all), &out, s->e);
    strbuf_fini(&all);
    strbuf_fini(&one);
    if (s->code == ERR_OK)
        s->code = code;
    return out;
}

/* ---- the elements ---- */

static void put_creation(spdx *s) {
    json_t *v = jv_object(&s->j), *by = jv_array(&s->j), *using = jv_array(&s->j);
    jv_put_word(&s->j, v, "type", "CreationInfo");
    jv_put_word(&s->j, v, "@id", "_:creation");
    jv_put_word(&s->j, v, "specVersion", "3.0.1");
    jv_put_word(&s->j, v, "created", s->made);
    jv_push(&s->j, by, jv_text(&s->j, id_of(s, "loam")));
    jv_put(&s->j, v, "createdBy", by);
    jv_push(&s->j, using, jv_text(&s->j, id_of(s, "tool")));
    jv_put(&s->j, v, "createdUsing", using);
    if (s->f->created < 0)
        jv_put_word(&s->j, v, "comment",
                    "The time is not known: neither the model nor SOURCE_DATE_EPOCH tells one. 1970 stands for that.");
    jv_push(&s->j, s->graph, v);
    json_t *agent = element(s, "SoftwareAgent", id_of(s, "loam"));
    jv_put_word(&s->j, agent, "name", "loam card");
    json_t *tool = element(s, "Tool", id_of(s, "tool"));
    jv_put_text(&s->j, tool, "name", format(s, "loam %s", s->b->tool));
}

static void put_agent(spdx *s, const char *what, str name) {
    json_t *v = element(s, "Agent", id_of(s, what));
    jv_put_text(&s->j, v, "name", name);
}

static void put_energy(spdx *s, json_t *model) {
    if (!s->f->energy.known)
        return;
    json_t *one = jv_object(&s->j), *list = jv_array(&s->j), *all = jv_object(&s->j);
    jv_put_word(&s->j, one, "type", "ai_EnergyConsumptionDescription");
    char kwh[64]; /* an xsd:decimal, which JSON-LD writes as a text: a number would be an xsd:double */
    snprintf(kwh, sizeof kwh, "%.9f", s->f->energy.joules / 3.6e6);
    jv_put_text(&s->j, one, "ai_energyQuantity", str_from(kwh));
    jv_put_word(&s->j, one, "ai_energyUnit", "kilowattHour");
    jv_push(&s->j, list, one);
    jv_put_word(&s->j, all, "type", "ai_EnergyConsumption");
    jv_put(&s->j, all, "ai_trainingEnergyConsumption", list);
    jv_put(&s->j, model, "ai_energyConsumption", all);
}

static void put_pairs(spdx *s, json_t *v, const char *key, const card_pairs *pairs) {
    json_t *list = jv_array(&s->j);
    for (size_t i = 0; i < pairs->n; i++)
        put_entry(s, list, pairs->at[i].name, pairs->at[i].value);
    if (pairs->n)
        jv_put(&s->j, v, key, list);
    else
        json_decref(list);
}

static void put_metrics(spdx *s, json_t *v) {
    card_facts *f = s->f;
    json_t *list = jv_array(&s->j);
    for (size_t i = 0; i < f->n_scores; i++) {
        const card_score *x = &f->score[i];
        put_entry(s, list, format(s, "%.*s %.*s accuracy", STR_ARG(x->task), STR_ARG(x->kind)),
                  format(s, "%.6f (95 %% interval %.6f to %.6f, %" PRIu64 " of %" PRIu64 ")", x->accuracy, x->low,
                         x->high, x->right, x->n));
    }
    if (f->training.bits > 0)
        put_entry(s, list, STR("bits per byte of held-out text"), format(s, "%.6f", f->training.bits));
    put_entry(s, list, STR("Model Openness Framework class"),
              s->o->mof_class ? format(s, "%u", s->o->mof_class) : STR("none"));
    put_entry(s, list, STR("Open Source AI Definition 1.0"),
              format(s, "%s, %zu of %d items", s->o->osaid_met ? "met" : "not met as far as can be seen", s->o->osaid_n,
                     OPENNESS_OSAID_ITEMS));
    jv_put(&s->j, v, "ai_metric", list);
}

/* What is not known, in one text. */
static str unknown(spdx *s) {
    strbuf b = {0};
    str out = {0};
    err_code code = strbuf_add(&b, s->f->unknown.n ? STR("Unknown: ") : STR(""), s->e);
    for (size_t i = 0; i < s->f->unknown.n && code == ERR_OK; i++)
        code = strbuf_addf(&b, s->e, "%s%.*s (%.*s)", i ? "; " : "", STR_ARG(s->f->unknown.at[i].name),
                           STR_ARG(s->f->unknown.at[i].value));
    if (code == ERR_OK)
        code = facts_clean(s->f, strbuf_str(&b), &out, s->e);
    strbuf_fini(&b);
    if (s->code == ERR_OK)
        s->code = code;
    return out;
}

static str digest(const card_facts *f, const char *name) {
    for (size_t i = 0; i < f->digest.n; i++)
        if (str_is(f->digest.at[i].name, name))
            return f->digest.at[i].value;
    return (str){0};
}

static void put_training(spdx *s, json_t *v) {
    card_facts *f = s->f;
    if (!f->training.known)
        return;
    str energy = !f->energy.known     ? STR("")
                 : f->energy.measured ? STR(" Energy was measured by the processors' own counters (RAPL).")
                                      : format(s, " Energy is an estimate: %.3g to %.3g kWh.", f->energy.low / 3.6e6,
                                               f->energy.high / 3.6e6);
    jv_put_text(&s->j, v, "ai_informationAboutTraining",
                format(s,
                       "%" PRIu64 " of %" PRIu64 " steps, %" PRIu64
                       " tokens; loss %.6f at the first step, %.6f at the last. Chain "
                       "%.*s; loam verify executes it again.%s%.*s",
                       f->training.steps, f->training.of_steps, f->training.tokens, f->training.first_loss,
                       f->training.last_loss, STR_ARG(digest(f, "chain")), energy.n ? " " : "", STR_ARG(energy)));
}

static void put_time(spdx *s, json_t *v, const char *key, int64_t seconds) {
    str text = {0};
    if (seconds < 0)
        return;
    if (s->code == ERR_OK)
        s->code = facts_time(s->f, seconds, true, &text, s->e);
    jv_put_text(&s->j, v, key, text);
}

static str put_model(spdx *s) {
    card_facts *f = s->f;
    static const char *const domain[] = {"natural language", NULL};
    str id = id_of(s, "model"), hex = digest(f, "model.gguf");
    json_t *v = element(s, "ai_AIPackage", id), *types = jv_array(&s->j);
    jv_put_text(&s->j, v, "name", f->name);
    jv_put_text(&s->j, v, "description", f->said.description);
    jv_put_text(&s->j, v, "comment", unknown(s));
    jv_put_word(&s->j, v, "software_primaryPurpose", "model");
    str weights = digest(f, "weights");
    jv_put_text(&s->j, v, "software_packageVersion", f->said.version.n ? f->said.version : str_sub(weights, 0, 16));
    if (facts_is_url(f->said.url))
        jv_put_text(&s->j, v, "software_downloadLocation", f->said.url);
    if (s->has_by)
        jv_put_text(&s->j, v, "suppliedBy", id_of(s, "by"));
    put_time(s, v, "builtTime", f->created);
    put_time(s, v, "releaseTime", s->b->released);
    hex = hex.n ? hex : digest(f, "file");
    if (hex.n)
        put_sha256(s, v, hex);
    jv_push(&s->j, types, jv_text(&s->j, STR("transformer")));
    if (f->shape.family.n)
        jv_push(&s->j, types, jv_text(&s->j, f->shape.family));
    jv_put(&s->j, v, "ai_typeOfModel", types);
    jv_put(&s->j, v, "ai_domain", jv_words(&s->j, domain));
    put_pairs(s, v, "ai_hyperparameter", &f->recipe);
    put_metrics(s, v);
    put_energy(s, v);
    put_training(s, v);
    jv_put_word(&s->j, v, "ai_useSensitivePersonalInformation",
                f->data.here && f->data.built_in ? "no" : "noAssertion");
    jv_put_word(&s->j, v, "ai_limitation",
                "It can state falsehoods and repeat texts it was trained on; no tests for bias, safety or privacy are "
                "recorded.");
    return id;
}

static str put_data(spdx *s) {
    card_facts *f = s->f;
    static const char *const text[] = {"text", NULL};
    str id = id_of(s, "data");
    json_t *v = element(s, "dataset_DatasetPackage", id);
    jv_put_text(&s->j, v, "name", f->data.source.n ? f->data.source : STR("training data"));
    jv_put_word(&s->j, v, "software_primaryPurpose", "data");
    jv_put(&s->j, v, "dataset_datasetType", jv_words(&s->j, text));
    if (f->data.here)
        jv_put_count(&s->j, v, "dataset_datasetSize", f->data.bytes);
    if (f->data.here)
        jv_put_text(
            &s->j, v, "dataset_dataCollectionProcess",
            format(s,
                   "%" PRIu64
                   " documents of %zu origins; each has its source, licence and SHA-256. Licence unknown: %" PRIu64
                   " documents.",
                   f->data.documents, f->data.n_origins, f->data.unknown_documents));
    jv_put_text(&s->j, v, "software_packageVersion", str_sub(digest(f, "data"), 0, 16));
    jv_put_text(&s->j, v, "comment",
                format(s, "Identified by the SHA-256 over the sorted SHA-256 of its documents: %.*s",
                       STR_ARG(digest(f, "data"))));
    jv_put_word(&s->j, v, "dataset_hasSensitivePersonalInformation",
                f->data.here && f->data.built_in ? "no" : "noAssertion");
    if (facts_is_url(s->b->data_url))
        jv_put_text(&s->j, v, "software_downloadLocation", s->b->data_url);
    if (s->has_data_by)
        put_list(s, v, "originatedBy", id_of(s, "data-by"));
    put_time(s, v, "builtTime", s->b->data_released);
    put_time(s, v, "releaseTime", s->b->data_released);
    return id;
}

static str put_test(spdx *s) {
    static const char *const text[] = {"text", NULL};
    str id = id_of(s, "test");
    json_t *v = element(s, "dataset_DatasetPackage", id);
    jv_put_text(&s->j, v, "name", s->f->score[0].task);
    jv_put_word(&s->j, v, "software_primaryPurpose", "data");
    jv_put(&s->j, v, "dataset_datasetType", jv_words(&s->j, text));
    return id;
}

static void put_document(spdx *s, str root, str data_licence_id, bool data_claimed) {
    bool ai = s->has_by && facts_is_url(s->f->said.url) && s->b->released >= 0 &&
              (s->f->said.version.n || digest(s->f, "weights").n);
    const char *profiles[8] = {"core", "software", "simpleLicensing"};
    int n = 3;
    if (ai)
        profiles[n++] = "ai";
    if (data_claimed)
        profiles[n++] = "dataset";
    json_t *v = jv_object(&s->j);
    jv_put_word(&s->j, v, "type", "SpdxDocument");
    jv_put_text(&s->j, v, "spdxId", id_of(s, "document"));
    jv_put_word(&s->j, v, "creationInfo", "_:creation");
    jv_put_text(&s->j, v, "name", format(s, "what %.*s is made of", STR_ARG(s->f->name)));
    put_list(s, v, "rootElement", root);
    jv_put(&s->j, v, "element", s->elements);
    jv_put(&s->j, v, "profileConformance", jv_words(&s->j, profiles));
    jv_put_text(&s->j, v, "dataLicense", data_licence_id);
    jv_push(&s->j, s->graph, v);
}

static void build(spdx *s) {
    card_facts *f = s->f;
    put_creation(s);
    s->has_by = f->said.by.n > 0;
    s->has_data_by = s->b->data_by.n > 0;
    if (s->has_by)
        put_agent(s, "by", f->said.by);
    if (s->has_data_by)
        put_agent(s, "data-by", s->b->data_by);
    str card_licence = licence(s, STR("CC0-1.0"), STR("CC0-1.0"));
    str model = put_model(s), model_licence = licence(s, f->licence, f->licence_text);
    relate(s, model, "hasDeclaredLicense", model_licence, f->licence.n > 0);
    relate(s, model, "hasConcludedLicense", STR("expandedlicensing_NoAssertionLicense"), false);
    bool data_claimed =
        f->data.named && facts_is_url(s->b->data_url) && s->has_data_by && s->b->data_released >= 0 && f->n_scores == 0;
    if (f->data.named) {
        str data = put_data(s), expression = data_licence(s);
        relate(s, model, "trainedOn", data, true);
        relate(s, data, "hasDeclaredLicense", licence(s, expression, expression), expression.n > 0);
        relate(s, data, "hasConcludedLicense", STR("expandedlicensing_NoAssertionLicense"), false);
    }
    if (f->n_scores)
        relate(s, model, "testedOn", put_test(s), false);
    put_document(s, model, card_licence, data_claimed);
}

err_code spdx_write(card_facts *f, const openness *o, const bom_options *b, strbuf *out, err *e) {
    spdx s = {.f = f, .o = o, .b = b, .e = e};
    char hex[65];
    str made = {0};
    hash_hex(f->identity, hex);
    snprintf(s.base, sizeof s.base, "urn:loam:%s:", hex);
    TRY(facts_time(f, f->created, true, &made, e));
    snprintf(s.made, sizeof s.made, "%.*s", STR_ARG(made));
    json_t *top = jv_object(&s.j);
    s.graph = jv_array(&s.j);
    s.elements = jv_array(&s.j);
    jv_put_word(&s.j, top, "@context", "https://spdx.org/rdf/3.0.1/spdx-context.jsonld");
    jv_put(&s.j, top, "@graph", s.graph);
    build(&s);
    if (s.code != ERR_OK) {
        json_decref(top);
        return s.code;
    }
    return jv_end(&s.j, top, 2, out, e);
}
