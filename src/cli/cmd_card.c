/* loam card: what a model is made of, for people and for machines. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "base/pool.h"
#include "card/bom.h"
#include "card/page.h"
#include "cli/evaluate.h"
#include "cli/kept.h"
#include "cli/load.h"
#include "cli/out.h"
#include "store/croissant.h"
#include "train/docs.h"
#include "train/run.h"
#include "world/doc.h"

typedef struct {
    common_values common;
    bool html, spdx, cyclonedx, croissant, eval;
    const char *output, *data, *where, *mix;
    option_list scores;
    const char *name, *licence, *by, *url, *release, *description, *report, *paper, *date, *data_url, *data_by,
        *data_date;
} values;

static const values defaults = {.common = COMMON_DEFAULTS};

#define AT(field) offsetof(values, field)
static const option form_options[] = {
    {"html", 0, OPT_FLAG, NULL, "one HTML file that needs no other, instead of Markdown", AT(html), 0, 0, NULL},
    {"spdx", 0, OPT_FLAG, NULL, "as SPDX 3.0.1 (JSON-LD), profiles AI and Dataset", AT(spdx), 0, 0, NULL},
    {"cyclonedx", 0, OPT_FLAG, NULL, "as CycloneDX 1.6, a bill of materials for machine learning", AT(cyclonedx), 0, 0,
     NULL},
    {"croissant", 0, OPT_FLAG, NULL, "the run's data set as Croissant 1.0, as loam data card does", AT(croissant), 0, 0,
     NULL},
    {"output", 'o', OPT_TEXT, "FILE", "write there instead of to standard output", AT(output), 0, 0, NULL},
    {0},
};
static const option fact_options[] = {
    {"data", 0, OPT_TEXT, "D", "the run's data set, when it is not where the run was made", AT(data), 0, 0, NULL},
    {"where", 0, OPT_TEXT, "SQL", "the condition that picks its documents, when it is another", AT(where), 0, 0, NULL},
    {"scores", 0, OPT_LIST, "FILE", "what loam eval M TASK --json has printed; may be repeated", AT(scores), 0, 0,
     NULL},
    {"eval", 0, OPT_FLAG, NULL, "evaluate on homeworld now, and keep the scores of a run as RUN/scores.json", AT(eval),
     0, 0, NULL},
    {"mix", 0, OPT_CHOICE, "NAME", "which mix --eval asks about; default: that of the run, else full", AT(mix), 0, 0,
     world_mix_names},
    {0},
};
static const option said_options[] = {
    {"name", 0, OPT_TEXT, "TEXT", "the model's name", AT(name), 0, 0, NULL},
    {"licence", 0, OPT_TEXT, "SPDX", "the licence of the weights", AT(licence), 0, 0, NULL},
    {"by", 0, OPT_TEXT, "NAME", "who made it", AT(by), 0, 0, NULL},
    {"url", 0, OPT_TEXT, "URL", "where it can be had", AT(url), 0, 0, NULL},
    {"release", 0, OPT_TEXT, "TEXT", "its version", AT(release), 0, 0, NULL},
    {"date", 0, OPT_TEXT, "YYYY-MM-DD", "when it was released", AT(date), 0, 0, NULL},
    {"description", 0, OPT_TEXT, "TEXT", "what it is", AT(description), 0, 0, NULL},
    {"report", 0, OPT_TEXT, "URL", "a technical report on it", AT(report), 0, 0, NULL},
    {"paper", 0, OPT_TEXT, "URL", "a research paper on it", AT(paper), 0, 0, NULL},
    {"data-url", 0, OPT_TEXT, "URL", "where the data can be had", AT(data_url), 0, 0, NULL},
    {"data-by", 0, OPT_TEXT, "NAME", "who made the data", AT(data_by), 0, 0, NULL},
    {"data-date", 0, OPT_TEXT, "YYYY-MM-DD", "when the data were released", AT(data_date), 0, 0, NULL},
    {0},
};
#undef AT

static const option_group groups[] = {{"Form", form_options, 0},
                                      {"What is looked at", fact_options, 0},
                                      {"What only you can say (also in card.json beside the model)", said_options, 0},
                                      COMMON_GROUP,
                                      {0}};

/* ---- times ---- */

/* Seconds since 1970 of a day; below 0 when `text` is none. */
static int64_t day_of(const char *text) {
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int part[3] = {0}, at = 0;
    for (const char *p = text; *p; p++) {
        bool dash = p - text == 4 || p - text == 7;
        if (p - text > 9 || (dash ? *p != '-' : *p < '0' || *p > '9'))
            return -1;
        at += dash;
        if (!dash)
            part[at] = 10 * part[at] + (*p - '0');
    }
    int y = part[0], m = part[1], d = part[2];
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (strlen(text) != 10 || y < 1970 || m < 1 || m > 12 || d < 1 || d > days[m - 1] || (m == 2 && d == 29 && !leap))
        return -1;
    int64_t n = (int64_t)365 * (y - 1970) + (y - 1969) / 4 - (y - 1901) / 100 + (y - 1601) / 400;
    return (n + before[m - 1] + (m > 2 && leap) + d - 1) * 86400;
}

static err_code date(const char *shown, const char *text, int64_t *out, err *e) {
    *out = text ? day_of(text) : -1;
    return text && *out < 0 ? err_set(e, ERR_USAGE, "%s: \"%.40s\" is no date like 2026-01-31", shown, text) : ERR_OK;
}

static err_code source_date(int64_t *out, err *e) {
    const char *text = getenv("SOURCE_DATE_EPOCH");
    *out = -1;
    return text && *text ? parse_int("SOURCE_DATE_EPOCH", text, 0, 253402300799, out, e) : ERR_OK;
}

/* ---- scores ---- */

/* "homeworld:docs=12000,seed=3,mix=tiny": the seed and mix of a run's built-in corpus. */
static void of_source(const char *source, int64_t *seed, const char **mix) {
    const char *at = strstr(source, "seed=");
    char word[24];
    if (at)
        *seed = strtoll(at + 5, NULL, 10);
    if (!(at = strstr(source, "mix=")))
        return;
    snprintf(word, sizeof word, "%.*s", (int)strcspn(at + 4, ","), at + 4);
    for (const char *const *name = world_mix_names; *name; name++)
        if (strcmp(*name, word) == 0)
            *mix = *name;
}

static err_code evaluate(const values *v, const char *path, strbuf *json, err *e) {
    int64_t seed = 1;
    const char *mix = world_mix_names[0];
    load_place place;
    for (const char *const *name = world_mix_names; *name; name++)
        if (strcmp(*name, "full") == 0)
            mix = *name;
    if (run_is(path)) {
        run r = {0};
        err_code code = run_open(&r, path, e);
        if (code == ERR_OK && docs_is_made(r.data))
            of_source(r.data, &seed, &mix);
        run_close(&r);
        TRY(code);
    }
    TRY(load_find(path, &place, e));
    TRY(eval_homeworld(place.path, &v->common, seed, v->mix ? v->mix : mix, json, e));
    if (!run_is(path))
        return ERR_OK;
    char file[4200];
    snprintf(file, sizeof file, "%.4096s/scores.json", path);
    return os_write_file(file, strbuf_str(json), e);
}

/* ---- forms ---- */

static err_code croissant(const values *v, const char *path, strbuf *out, err *e) {
    run r = {0};
    dataset *d = NULL;
    err_code code = run_is(path) ? run_open(&r, path, e)
                                 : err_set(e, ERR_USAGE,
                                           "--croissant: %s is no run, so its data are not known here "
                                           "(loam data card D.db describes a data set)",
                                           path);
    const char *source = v->data ? v->data : r.data;
    if (code == ERR_OK && docs_is_made(source))
        code = err_set(e, ERR_USAGE,
                       "--croissant: the built-in corpus is made, not stored (loam corpus homeworld, loam data "
                       "build and loam data card give a file and its card)");
    if (code == ERR_OK)
        code = dataset_open(&d, source, e);
    if (code == ERR_OK) {
        dataset_set_stop(d, &interrupt_flag);
        code = croissant_write(d, &(croissant_options){.creator = v->data_by, .date = v->data_date, .url = v->data_url},
                               out, e);
    }
    dataset_close(d);
    run_close(&r);
    return code;
}

static err_code write_form(const values *v, card_facts *f, strbuf *out, err *e) {
    openness o;
    page p;
    bom_options b = {.tool = LOAM_VERSION, .data_url = str_from(v->data_url), .data_by = str_from(v->data_by)};
    TRY(date("--date", v->date, &b.released, e));
    TRY(date("--data-date", v->data_date, &b.data_released, e));
    TRY(facts_clean(f, b.data_by, &b.data_by, e));
    TRY(openness_of(f, &o, e));
    if (v->spdx)
        return spdx_write(f, &o, &b, out, e);
    if (v->cyclonedx)
        return cyclonedx_write(f, &o, &b, out, e);
    if (v->common.json)
        return summary_write(f, &o, out, e);
    TRY(page_of(&p, f, &o, e));
    return v->html ? html_write(&p, out, e) : markdown_write(&p, out, e);
}

/* What the user says, else what the registry has recorded. */
static str told(const char *said, const char *recorded) { return str_from(said ? said : recorded); }

static err_code from_facts(const values *v, const char *path, const kept_record *kept_of, strbuf *out, err *e) {
    card_facts f;
    strbuf now = {0};
    const char *scores[OPTION_LIST_MAX];
    facts_options o = {.said = {.name = str_from(v->name),
                                .licence = told(v->licence, kept_of->licence),
                                .by = str_from(v->by),
                                .url = told(v->url, kept_of->url),
                                .version = told(v->release, kept_of->revision),
                                .description = str_from(v->description),
                                .report = str_from(v->report),
                                .paper = str_from(v->paper)},
                       .data = v->data,
                       .where = v->where,
                       .score = scores,
                       .n_scores = v->scores.n,
                       .stop = &interrupt_flag};
    for (size_t i = 0; i < v->scores.n; i++)
        scores[i] = v->scores.item[i].p;
    TRY(source_date(&o.created, e));
    err_code code = v->eval ? evaluate(v, path, &now, e) : ERR_OK;
    bool kept = v->eval && run_is(path); /* then they are read with the run */
    if (code == ERR_OK && !kept)
        o.scores_now = strbuf_str(&now);
    if (code == ERR_OK)
        code = pool_open(&o.pool, (int)v->common.threads, e);
    if (code == ERR_OK) {
        code = facts_open(&f, path, &o, e);
        pool_close(o.pool);
        if (code == ERR_OK) {
            code = write_form(v, &f, out, e);
            facts_close(&f);
        }
    }
    strbuf_fini(&now);
    return code;
}

static err_code find(const char *m, load_place *out, err *e) {
    if (!os_exists(m))
        return load_find(m, out, e);
    if (strlen(m) >= sizeof out->path)
        return err_set(e, ERR_LIMIT, "%.200s: the path is too long", m);
    memcpy(out->path, m, strlen(m) + 1);
    return ERR_OK;
}

static err_code run_command(const void *p, const arguments *args, err *e) {
    const values *v = p;
    load_place place;
    kept_record kept = {0};
    strbuf out = {0};
    if (v->html + v->spdx + v->cyclonedx + v->croissant + v->common.json > 1)
        return err_set(e, ERR_USAGE, "--html, --spdx, --cyclonedx, --croissant and --json exclude each other");
    TRY(find(args->arg[0], &place, e));
    if (!os_exists(args->arg[0]))
        TRY(kept_record_of(args->arg[0], &kept, e));
    interrupt_catch();
    err_code code = v->croissant ? croissant(v, place.path, &out, e) : from_facts(v, place.path, &kept, &out, e);
    if (code == ERR_OK && v->output)
        code = os_write_file(v->output, strbuf_str(&out), e);
    else if (code == ERR_OK)
        out_text(strbuf_str(&out));
    strbuf_fini(&out);
    return code;
}

const command command_card = {
    .name = "card",
    .args = "M|RUN",
    .summary = "what a model is made of: a page, SPDX, CycloneDX, Croissant",
    .details = "Architecture, data with their licences, recipe, scores, energy, limits, digests, and how open it is by "
               "the Model "
               "Openness Framework and the Open Source AI Definition 1.0, item by item with what is missing. Of a "
               "model that Loam "
               "has not trained it says what the files tell and what they do not. What no file can tell comes from the "
               "options or "
               "from card.json beside the model: {\"licence\": \"CC0-1.0\", \"by\": ..., \"limits\": [\"...\"]}.\n"
               "With --json: grades, counts, digests and what is unknown as one object.\n"
               "The same files and options give the same bytes. Where a format demands a time it is SOURCE_DATE_EPOCH, "
               "else the "
               "run's own.\n\n"
               "  loam card RUN > CARD.md\n"
               "  loam card RUN --html -o card.html --licence CC0-1.0 --by \"A. Lovelace\"\n"
               "  loam card model.gguf --cyclonedx\n"
               "  loam card RUN --spdx --by NAME --url URL --date 2026-01-31",
    .n_args_min = 1,
    .n_args_max = 1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_command,
};
