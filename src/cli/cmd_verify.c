/* loam verify: executes a run again and compares. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/os.h"
#include "cli/training.h"
#include "kern/kern.h"
#include "text/utf8.h"
#include "train/verified.h"

typedef struct {
    common_values common;
    const char *data, *where, *base, *challenge;
    int64_t spot, from;
    bool recompute;
} values;

static const values defaults = {.common = COMMON_DEFAULTS, .from = -1};

#define AT(field) offsetof(values, field)
static const option own_options[] = {
    {"spot", 0, OPT_INT, "N", "execute N segments between checkpoints, chosen by --challenge, instead of everything",
     AT(spot), 0, 1e6, NULL},
    {"challenge", 0, OPT_TEXT, "TEXT",
     "what chooses the segments, together with the chain's end: something that who made the run could not know; "
     "default: the time",
     AT(challenge), 0, 0, NULL},
    {"from", 0, OPT_INT, "STEP", "execute from the checkpoint before this step to the end", AT(from), 0, 1e9, NULL},
    {"data", 0, OPT_TEXT, "D", "the data set, when it is not where the run was made", AT(data), 0, 0, NULL},
    {"where", 0, OPT_TEXT, "SQL", "the condition that picks its documents, when it is another", AT(where), 0, 0, NULL},
    {"base", 0, OPT_TEXT, "M", "of tuning: the base, when it is not where the run was made", AT(base), 0, 0, NULL},
    {"recompute", 0, OPT_FLAG, NULL, "less memory, same bits", AT(recompute), 0, 0, NULL},
    {0},
};
#undef AT

static const option_group groups[] = {{"Verification", own_options, 0}, COMMON_GROUP, {0}};

static void show_step(void *ctx, uint64_t done, uint64_t total) { progress_step(ctx, done, total); }

static err_code print(const values *v, const verify_report *r, const run *of, str challenge, double seconds, err *e) {
    size_t n_removals = of->removals.n;
    char weights[65], digest[65];
    hash_hex(r->weights, weights);
    hash_hex(r->digest, digest);
    if (v->common.json) {
        js_out j = {.e = e};
        js_begin(&j, '{');
        js_key(&j, "verified");
        js_flag(&j, true);
        js_key(&j, "steps");
        js_int(&j, (int64_t)r->steps);
        js_key(&j, "of_steps");
        js_int(&j, (int64_t)r->of_steps);
        js_key(&j, "finished");
        js_flag(&j, r->finished);
        js_key(&j, "segments");
        js_int(&j, (int64_t)r->segments);
        js_key(&j, "of_segments");
        js_int(&j, (int64_t)r->of_segments);
        js_key(&j, "checkpoints");
        js_int(&j, (int64_t)r->checkpoints);
        js_key(&j, "model");
        js_flag(&j, r->model);
        js_key(&j, "removals");
        js_int(&j, (int64_t)n_removals);
        if (v->spot) {
            js_key(&j, "challenge");
            js_text(&j, challenge);
        }
        js_key(&j, "weights");
        js_text(&j, str_from(weights));
        js_key(&j, "chain");
        js_text(&j, str_from(digest));
        js_end(&j, '}');
        return js_print(&j);
    }
    out_printf("executed    %" PRIu64 " of %" PRIu64 " steps%s in %s, all as the chain says\n", r->steps, r->of_steps,
               r->finished ? "" : " (the run has not ended)", amount_time(seconds).text);
    if (v->spot)
        out_printf("segments    %zu of %zu, by the challenge \"%.*s\"\n", r->segments, r->of_segments,
                   STR_ARG(challenge));
    out_printf("checked     recipe, data, %s, seals of the chain, %zu checkpoints%s%s\n",
               of->base ? "base" : "tokenizer", r->checkpoints,
               !r->model                         ? ""
               : recipe_has_adapter(&of->recipe) ? ", adapter"
               : r->folder                       ? ", model"
                                                 : ", model.gguf",
               n_removals ? ", removals.jsonl" : "");
    out_printf("weights     %s\nchain       %s\n", weights, digest);
    return ERR_OK;
}

/* What the error says, without where the folder lies. */
static void tell_difference(verified *k, const run *r, const err *e) {
    size_t n = strlen(r->path), most = sizeof k->difference - 1;
    bool inside = strncmp(e->text, r->path, n) == 0 && e->text[n] == '/';
    str text = str_from(e->text + (inside ? n + 1 : 0));
    memcpy(k->difference, text.p, utf8_whole(str_sub(text, 0, text.n < most ? text.n : most)));
}

/* Notes in the folder what came of it; that it cannot be written changes nothing of it. */
static void keep(const run *r, const verify_options *o, const verify_report *report, const err *differs) {
    static const hash256 none;
    run_path file;
    err e;
    verified k = {.differs = differs != NULL,
                  .at_step = report->at_step,
                  .how = o->how,
                  .from = o->from,
                  .step = report->step,
                  .steps = report->steps,
                  .of_steps = report->of_steps,
                  .segments = report->segments,
                  .of_segments = report->of_segments,
                  .arithmetic = KERN_ARITHMETIC_VERSION,
                  .chain = report->digest};
    if (memcmp(&report->digest, &none, sizeof none) == 0)
        return; /* not even the chain could be read */
    if (differs)
        tell_difference(&k, r, differs);
    os_utc((int64_t)time(NULL), k.date);
    snprintf(k.isa, sizeof k.isa, "%s", model_isa(trainer_model(r->trainer)));
    if (run_file(r, VERIFIED_FILE, &file, &e) != ERR_OK || verified_keep(&k, file.text, &e) != ERR_OK)
        out_note("the result is not noted in the run's folder: %s", e.text);
}

static err_code run_command(const void *p, const arguments *args, err *e) {
    const values *v = p;
    training t = {0};
    verify_report report;
    progress bar = {.what = "verifying", .unit = "steps"};
    char by_time[40];
    if (v->spot && v->from >= 0)
        return err_set(e, ERR_USAGE, "--spot and --from exclude each other");
    if (v->challenge && !v->spot)
        return err_set(e, ERR_USAGE, "--challenge chooses segments for --spot N");
    snprintf(by_time, sizeof by_time, "%.9f", os_now());
    str challenge = str_from(v->challenge ? v->challenge : by_time);
    training_inputs in = {.data = v->data, .where = v->where, .base = v->base, .recompute = v->recompute};
    err_code code = training_open(&t, args->arg[0], &v->common, &in, e);
    verify_options o = {
        .how = v->spot        ? VERIFY_SPOT
               : v->from >= 0 ? VERIFY_FROM
                              : VERIFY_ALL,
        .from = v->from > 0 ? (uint64_t)v->from : 0,
        .spot = (size_t)v->spot,
        .challenge = challenge,
        .cancel = &interrupt_flag,
        .progress = show_step,
        .ctx = &bar,
    };
    double begun = os_now();
    bool loaded = code == ERR_OK;
    interrupt_catch();
    if (loaded)
        code = verify_run(&t.run, &o, &report, e);
    progress_end(&bar);
    if (loaded && (code == ERR_OK || code == ERR_MISMATCH))
        keep(&t.run, &o, &report, code == ERR_OK ? NULL : e);
    if (code == ERR_OK)
        code = print(v, &report, &t.run, challenge, os_now() - begun, e);
    training_close(&t);
    return code;
}

const command command_verify = {
    .name = "verify",
    .args = "RUN",
    .summary = "execute a run again and compare every step",
    .details =
        "Checks the seals of the chain, the digests of recipe, data and tokenizer, every checkpoint and what is "
        "published, "
        "and "
        "executes steps again: all of them, those from --from STEP on, or --spot N segments that nobody could foresee. "
        "Threads and instruction set do not matter. Exit status 0: everything is as the run says; 3: something "
        "differs, "
        "and the error names the first step or the file. What came of it is noted in RUN/verified.json, for `loam "
        "runs` "
        "and the web page: a note, not a proof.\n\n"
        "  loam verify first\n"
        "  loam verify first --spot 2 --challenge \"of my own choice\"",
    .n_args_min = 1,
    .n_args_max = 1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_command,
};
