/* openness: see openness.h. */
#include "card/openness.h"

#include <inttypes.h>

#include "card/licence.h"

const char *const card_have_names[] = {"yes", "partly", "no", "unknown"};

#define CODE "Loam is free software (Apache-2.0)"

typedef card_have judge(card_facts *f, str *why, err_code *code, err *e);
#define SAY(have, ...)                                \
    do {                                              \
        *code = facts_format(f, why, e, __VA_ARGS__); \
        return have;                                  \
    } while (0)
#define SHOWN(s) (int)((s).n < 300 ? (s).n : 300), (s).p

static card_have architecture(card_facts *f, str *why, err_code *code, err *e) {
    if (f->by_loam)
        SAY(HAVE_YES, "%.*s, in the recipe and in Loam's source (Apache-2.0)", SHOWN(f->shape.family));
    if (f->shape.known)
        SAY(HAVE_YES, "%.*s: the file gives the shape, Loam's source (Apache-2.0) the computation",
            SHOWN(f->shape.family));
    SAY(HAVE_UNKNOWN, "the file does not give a shape that Loam knows");
}

static card_have weights(card_facts *f, str *why, err_code *code, err *e) {
    if (f->form == CARD_RUN && (f->tensors == 0 || f->training.steps < f->training.of_steps))
        SAY(HAVE_NO, "the run is not finished");
    if (f->licence.n == 0)
        SAY(f->by_loam ? HAVE_NO : HAVE_UNKNOWN, "there, but under no licence that is told (--licence, or card.json)");
    if (!licence_is_open(f->licence))
        SAY(HAVE_NO, "there, under %.*s, which is not known to be an open licence", SHOWN(f->licence));
    SAY(HAVE_YES, "there, under %.*s", SHOWN(f->licence));
}

static card_have report(card_facts *f, str *why, err_code *code, err *e) {
    if (f->said.report.n)
        SAY(HAVE_YES, "%.*s", SHOWN(f->said.report));
    SAY(f->by_loam ? HAVE_NO : HAVE_UNKNOWN, "none is named (--report URL, or card.json)");
}

static card_have paper(card_facts *f, str *why, err_code *code, err *e) {
    if (f->said.paper.n)
        SAY(HAVE_YES, "%.*s", SHOWN(f->said.paper));
    SAY(f->by_loam ? HAVE_NO : HAVE_UNKNOWN, "none is named (--paper URL, or card.json)");
}

static card_have results(card_facts *f, str *why, err_code *code, err *e) {
    if (f->n_scores)
        SAY(HAVE_YES, "%zu scores with intervals in this card", f->n_scores);
    if (f->training.bits > 0)
        SAY(HAVE_PARTLY, "only the loss on held-out text (loam eval, then --scores FILE, or --eval)");
    SAY(f->by_loam ? HAVE_NO : HAVE_UNKNOWN,
        "none are stored with the model (loam eval, then --scores FILE, or --eval)");
}

static card_have model_card(card_facts *f, str *why, err_code *code, err *e) { SAY(HAVE_YES, "this page"); }

static card_have data_card(card_facts *f, str *why, err_code *code, err *e) {
    if (f->data.here)
        SAY(HAVE_YES, "%s",
            f->data.built_in ? "in this page; the corpus is described in doc/homeworld.md"
                             : "in this page, and as Croissant: loam card --croissant");
    if (f->data.named)
        SAY(HAVE_NO, "the data set is named by its digest, but it is not here");
    SAY(HAVE_UNKNOWN, "the model does not say what it was trained on");
}

static card_have samples(card_facts *f, str *why, err_code *code, err *e) {
    SAY(f->by_loam ? HAVE_NO : HAVE_UNKNOWN,
        "none are stored with the model; loam run makes some, the same for the same seed");
}

static card_have training_code(card_facts *f, str *why, err_code *code, err *e) {
    if (f->by_loam)
        SAY(HAVE_YES, CODE "; the recipe has all settings, loam verify executes it again");
    SAY(HAVE_UNKNOWN, "the model does not say what it was trained with");
}

static card_have inference_code(card_facts *f, str *why, err_code *code, err *e) {
    if (f->shape.known)
        SAY(HAVE_YES, CODE " and computes this model");
    SAY(HAVE_UNKNOWN, "Loam does not compute this model");
}

static card_have evaluation_code(card_facts *f, str *why, err_code *code, err *e) {
    if (f->n_scores || f->by_loam)
        SAY(HAVE_YES, CODE ": loam eval, loam perplexity");
    SAY(HAVE_UNKNOWN, "the model does not say how it was evaluated");
}

static card_have evaluation_data(card_facts *f, str *why, err_code *code, err *e) {
    for (size_t i = 0; i < f->n_scores; i++)
        if (str_is(f->score[i].task, "homeworld"))
            SAY(HAVE_YES, "homeworld's questions are made by Loam itself (CC0-1.0)");
    if (f->data.here && f->data.held_out)
        SAY(HAVE_YES, "%" PRIu64 " documents of the data set, held out", f->data.held_out);
    SAY(f->by_loam ? HAVE_NO : HAVE_UNKNOWN, "there is none here");
}

static card_have libraries(card_facts *f, str *why, err_code *code, err *e) {
    if (f->by_loam)
        SAY(HAVE_YES,
            "Loam and the Debian packages that script/deps.sh lists; the tokenizer was made by loam or is in the run");
    SAY(HAVE_UNKNOWN, "the model does not say what it was made with");
}

static card_have datasets(card_facts *f, str *why, err_code *code, err *e) {
    if (!f->data.named)
        SAY(HAVE_UNKNOWN, "%s",
            f->datasets.n ? "the model names data sets, without digests and licences"
                          : "the model does not say what it was trained on");
    if (!f->data.here)
        SAY(HAVE_NO, "the data set with the recipe's digest is not here");
    uint64_t bad = f->data.unknown_documents + f->data.closed_documents;
    if (bad)
        SAY(HAVE_PARTLY,
            "%" PRIu64 " of %" PRIu64 " documents: licence unknown for %" PRIu64 ", not an open one for %" PRIu64, bad,
            f->data.documents, f->data.unknown_documents, f->data.closed_documents);
    SAY(HAVE_YES, "all %" PRIu64 " documents are here, each under an open licence", f->data.documents);
}

static card_have preprocessing(card_facts *f, str *why, err_code *code, err *e) {
    if (f->by_loam)
        SAY(HAVE_YES, CODE ": loam data build, loam tokenizer train; the data set records what was left out");
    SAY(HAVE_UNKNOWN, "the model does not say how its data were prepared");
}

static card_have checkpoints(card_facts *f, str *why, err_code *code, err *e) {
    if (f->training.checkpoints > 1)
        SAY(f->licence.n && licence_is_open(f->licence) ? HAVE_YES : HAVE_PARTLY,
            "%" PRIu64 " checkpoints with the optimizer's state%s", f->training.checkpoints,
            f->licence.n ? "" : ", under no licence that is told");
    if (f->form == CARD_RUN)
        SAY(HAVE_NO, "fewer than two checkpoints are kept (loam train --keep)");
    SAY(f->by_loam ? HAVE_NO : HAVE_UNKNOWN, "none stand beside the model");
}

static card_have metadata(card_facts *f, str *why, err_code *code, err *e) {
    SAY(HAVE_YES, "this card as SPDX and CycloneDX: --spdx, --cyclonedx");
}

static card_have provenance(card_facts *f, str *why, err_code *code, err *e) {
    if (f->data.here)
        SAY(HAVE_YES, "every document with its source and SHA-256; %zu origins in this page", f->data.n_origins);
    return datasets(f, why, code, e);
}

static card_have public_list(card_facts *f, str *why, err_code *code, err *e) {
    if (f->data.here && f->data.unknown_documents)
        SAY(HAVE_PARTLY, "listed by source; for %" PRIu64 " documents no licence is known", f->data.unknown_documents);
    if (f->data.here)
        SAY(HAVE_YES, "listed by source and licence in this page; loam data list names each");
    return datasets(f, why, code, e);
}

typedef struct {
    const char *name;
    unsigned mof_class;
    bool optional;
    judge *f;
} question;

static const question mof[] = {
    {"Model architecture", 3, false, architecture},
    {"Model parameters (final)", 3, false, weights},
    {"Technical report", 3, false, report},
    {"Evaluation results", 3, false, results},
    {"Model card", 3, false, model_card},
    {"Data card", 3, false, data_card},
    {"Sample model outputs", 3, true, samples},
    {"Training, validation and testing code", 2, false, training_code},
    {"Inference code", 2, false, inference_code},
    {"Evaluation code", 2, false, evaluation_code},
    {"Evaluation data", 2, false, evaluation_data},
    {"Supporting libraries and tools", 2, false, libraries},
    {"Research paper", 1, false, paper},
    {"Datasets", 1, false, datasets},
    {"Data preprocessing code", 1, false, preprocessing},
    {"Model parameters (intermediate)", 1, false, checkpoints},
    {"Model metadata", 1, true, metadata},
};
static const question osaid[] = {
    {"Data information: provenance, scope, selection of all data", 0, false, provenance},
    {"Data information: public and third-party data, and where they are", 0, false, public_list},
    {"Data information: how they were processed and filtered", 0, false, preprocessing},
    {"Code: processing of the data", 0, false, preprocessing},
    {"Code: training, with its settings", 0, false, training_code},
    {"Code: validation and testing", 0, false, evaluation_code},
    {"Code: supporting libraries, tokenizer", 0, false, libraries},
    {"Code: inference", 0, false, inference_code},
    {"Code: architecture", 0, false, architecture},
    {"Parameters: weights under terms that allow use, study, change, sharing", 0, false, weights},
};
_Static_assert(sizeof mof / sizeof *mof == OPENNESS_MOF_ITEMS, "one question an item");
_Static_assert(sizeof osaid / sizeof *osaid == OPENNESS_OSAID_ITEMS, "one question an item");

static err_code ask(card_facts *f, const question *q, size_t n, openness_item *out, err *e) {
    for (size_t i = 0; i < n; i++) {
        err_code code = ERR_OK;
        out[i] = (openness_item){.name = q[i].name, .mof_class = q[i].mof_class, .optional = q[i].optional};
        out[i].have = q[i].f(f, &out[i].why, &code, e);
        TRY(code);
    }
    return ERR_OK;
}

err_code openness_of(card_facts *f, openness *o, err *e) {
    *o = (openness){0};
    TRY(ask(f, mof, OPENNESS_MOF_ITEMS, o->mof, e));
    TRY(ask(f, osaid, OPENNESS_OSAID_ITEMS, o->osaid, e));
    for (unsigned class = 3; class >= 1; class --) {
        bool all = true;
        for (size_t i = 0; i < OPENNESS_MOF_ITEMS; i++)
            all = all && (o->mof[i].mof_class < class || o->mof[i].optional || o->mof[i].have == HAVE_YES);
        if (!all)
            break;
        o->mof_class = class;
    }
    for (size_t i = 0; i < OPENNESS_OSAID_ITEMS; i++)
        o->osaid_n += o->osaid[i].have == HAVE_YES;
    o->osaid_met = o->osaid_n == OPENNESS_OSAID_ITEMS;
    return ERR_OK;
}
