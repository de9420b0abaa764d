/* loam tag, rm, gc, fsck: names and files of the registry of models. */
#include <inttypes.h>
#include <string.h>

#include "cli/command.h"
#include "cli/kept.h"
#include "cli/out.h"

typedef struct {
    common_values common;
    bool replace, partial;
} values;

static const values defaults = {.common = COMMON_DEFAULTS};
static const option tag_options[] = {
    {"replace", 0, OPT_FLAG, NULL, "also when the name belongs to another model", offsetof(values, replace), 0, 0,
     NULL},
    {0},
};
static const option gc_options[] = {
    {"partial", 0, OPT_FLAG, NULL, "downloads that have not ended, too", offsetof(values, partial), 0, 0, NULL},
    {0},
};
static const option_group plain_groups[] = {COMMON_GROUP, {0}};
static const option_group tag_groups[] = {{"Tag", tag_options, 0}, COMMON_GROUP, {0}};
static const option_group gc_groups[] = {{"What is deleted", gc_options, 0}, COMMON_GROUP, {0}};

static err_code open_existing(registry **r, err *e) {
    TRY(kept_open(r, false, e));
    return *r ? ERR_OK : err_set(e, ERR_USAGE, "there is no model here yet (loam pull fetches one)");
}

/* ---- tag ---- */

static err_code run_tag(const void *p, const arguments *args, err *e) {
    const values *v = p;
    registry *r;
    TRY(open_existing(&r, e));
    err_code code = registry_tag(r, str_from(args->arg[0]), str_from(args->arg[1]), v->replace, e);
    registry_close(r);
    return code;
}

/* ---- rm and gc ---- */

static err_code tell_freed(const values *v, uint64_t bytes, err *e) {
    js_out j = {.e = e};
    if (!v->common.json) {
        out_note("%s freed", amount_bytes((double)bytes).text);
        return ERR_OK;
    }
    js_begin(&j, '{');
    js_put_int(&j, "freed_bytes", (int64_t)bytes);
    js_end(&j, '}');
    return js_print(&j);
}

static err_code run_rm(const void *p, const arguments *args, err *e) {
    registry *r;
    uint64_t all = 0;
    err_code code = ERR_OK;
    TRY(open_existing(&r, e));
    for (int i = 0; i < args->n && code == ERR_OK; i++) {
        uint64_t freed;
        code = registry_remove(r, str_from(args->arg[i]), &freed, e);
        all += freed;
    }
    registry_close(r);
    return code == ERR_OK ? tell_freed(p, all, e) : code;
}

static err_code run_gc(const void *p, const arguments *args, err *e) {
    const values *v = p;
    registry *r;
    uint64_t freed = 0;
    (void)args;
    TRY(kept_open(&r, false, e));
    err_code code = r ? registry_gc(r, v->partial, &freed, e) : ERR_OK;
    registry_close(r);
    return code == ERR_OK ? tell_freed(v, freed, e) : code;
}

/* ---- fsck ---- */

typedef struct {
    js_out j;
    progress bar;
    bool json;
} check;

static void on_problem(void *ctx, const char *where, const char *what) {
    check *c = ctx;
    if (!c->json) {
        out_foreign(str_from(where));
        out_text(STR(": "));
        out_foreign(str_from(what));
        out_text(STR("\n"));
        return;
    }
    js_begin(&c->j, '{');
    js_put_text(&c->j, "where", str_from(where));
    js_put_text(&c->j, "what", str_from(what));
    js_end(&c->j, '}');
}

static void on_progress(void *ctx, uint64_t done, uint64_t total) {
    check *c = ctx;
    progress_step(&c->bar, done, total);
}

static err_code finish_check(check *c, const registry_checked *n, err *e) {
    if (c->json) {
        js_end(&c->j, ']');
        js_put_int(&c->j, "models", (int64_t)n->models);
        js_put_int(&c->j, "files", (int64_t)n->files);
        js_put_int(&c->j, "bytes", (int64_t)n->bytes);
        js_end(&c->j, '}');
        TRY(js_print(&c->j));
    } else if (n->problems == 0)
        out_printf("models: %" PRIu64 ", files: %" PRIu64 ", %s: all as they were taken in\n", n->models, n->files,
                   amount_bytes((double)n->bytes).text);
    if (n->problems > 0)
        return err_set(e, ERR_MISMATCH, "%" PRIu64 " problem%s in the registry of models", n->problems,
                       n->problems == 1 ? "" : "s");
    return ERR_OK;
}

static err_code run_fsck(const void *p, const arguments *args, err *e) {
    const values *v = p;
    registry *r;
    registry_checked n = {0};
    check c = {.j = {.e = e}, .bar = {.what = "checking"}, .json = v->common.json};
    (void)args;
    interrupt_catch();
    TRY(kept_open(&r, false, e));
    if (c.json) {
        js_begin(&c.j, '{');
        js_key(&c.j, "problems");
        js_begin(&c.j, '[');
    }
    err_code code = registry_fsck(r, on_problem, on_progress, &c, &n, e);
    progress_end(&c.bar);
    registry_close(r);
    if (code == ERR_OK)
        return finish_check(&c, &n, e);
    strbuf_fini(&c.j.text);
    return code;
}

const command command_tag = {
    .name = "tag",
    .args = "NAME OTHER",
    .summary = "another name for a model in the registry",
    .details = "Both names mean the same files then; loam rm takes one away at a time.\n\n"
               "  loam tag allenai/OLMo-2-0425-1B-Instruct-GGUF:Q4_K_M olmo",
    .n_args_min = 2,
    .n_args_max = 2,
    .groups = tag_groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_tag,
};

const command command_rm = {
    .name = "rm",
    .args = "NAME...",
    .summary = "take models out of the registry",
    .details =
        "With the last name of a model its files go, except those that another model has too. A file of your own "
        "that was pulled stays where it is. With --json: {\"freed_bytes\"}.\n\n"
        "  loam rm gemma-3-270m",
    .n_args_min = 1,
    .n_args_max = -1,
    .groups = plain_groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_rm,
};

const command command_gc = {
    .name = "gc",
    .args = "",
    .summary = "delete what no model in the registry needs",
    .details =
        "Left over when a command was killed, or when a model was removed or replaced while another process took "
        "something in: nothing is deleted then. With --json: {\"freed_bytes\"}.\n\n"
        "  loam gc --partial",
    .n_args_min = 0,
    .n_args_max = 0,
    .groups = gc_groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_gc,
};

const command command_fsck = {
    .name = "fsck",
    .args = "",
    .summary = "check every file of the registry against its digest",
    .details = "Tells what is missing, changed, left over, or lost from the index; changes nothing. Exit status 3 when "
               "there is something. With --json: one object.\n\n"
               "  loam fsck",
    .n_args_min = 0,
    .n_args_max = 0,
    .groups = plain_groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_fsck,
};
