/* loam list: the models of this user. */
#include <inttypes.h>

#include "cli/command.h"
#include "cli/kept.h"
#include "cli/out.h"

static const common_values defaults = COMMON_DEFAULTS;
static const option_group groups[] = {COMMON_GROUP, {0}};

typedef struct {
    js_out j;
    bool json;
    size_t n;
    str only; /* names with this in them; empty: all */
} listing;

static void list_json(js_out *j, const registry_model *m) {
    js_begin(j, '{');
    js_put_text(j, "name", m->name);
    js_put_text(j, "source", m->source);
    js_put_text(j, "revision", m->revision);
    js_put_text(j, "licence", m->licence);
    js_put_hash(j, "id", m->id);
    js_put_int(j, "bytes", (int64_t)m->bytes);
    js_put_int(j, "added", m->added);
    js_end(j, '}');
}

static err_code list_one(void *ctx, const registry_model *m, err *e) {
    listing *l = ctx;
    (void)e;
    if (str_find(m->name, l->only, 0) < 0)
        return ERR_OK;
    if (l->json)
        list_json(&l->j, m);
    else {
        if (l->n == 0)
            out_printf("%-40s %9s  %-10s  %-16s  %s\n", "name", "size", "since", "licence", "source");
        out_printf("%-40.*s %9s  %-10s  ", STR_ARG(m->name), amount_bytes((double)m->bytes).text,
                   kept_day_of(m->added).text);
        out_foreign(m->licence);
        out_printf("%*s  ", m->licence.n < 16 ? 16 - (int)m->licence.n : 0, "");
        out_foreign(m->source);
        out_text(STR("\n"));
    }
    l->n++;
    return ERR_OK;
}

static err_code run_command(const void *p, const arguments *args, err *e) {
    const common_values *v = p;
    listing l = {.j = {.e = e}, .json = v->json, .only = str_from(args->n ? args->arg[0] : "")};
    registry *r;
    TRY(kept_open(&r, false, e));
    if (l.json)
        js_begin(&l.j, '[');
    err_code code = registry_each(r, list_one, &l, e);
    registry_close(r);
    if (code == ERR_OK && l.json) {
        js_end(&l.j, ']');
        return js_print(&l.j);
    }
    strbuf_fini(&l.j.text);
    if (code == ERR_OK && l.n == 0)
        out_note("no model%s (loam pull fetches one; without an argument it shows what fits this machine)",
                 l.only.n ? " of such a name" : " is here yet");
    return code;
}

const command command_list = {
    .name = "list",
    .args = "[TEXT]",
    .summary = "the models that loam pull has brought here",
    .details = "Names with TEXT in them, or all. What stands behind the last \"/\" of a name, or that without "
               "\":TAG\", is enough "
               "wherever a model is wanted, when it means one alone. With --json: a list of objects.\n\n"
               "  loam list\n"
               "  loam run gemma-3-270m -p \"Once\"",
    .n_args_min = 0,
    .n_args_max = 1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_command,
};
