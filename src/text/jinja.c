/* jinja: compile and render; see jinja.h for the contract and jinja_int.h for the chapters. */
#include "text/jinja.h"

#include <stdlib.h>

#include "text/jinja_int.h"

const jinja_limits jinja_limits_default = {
    .source_bytes_max = 256 << 10,
    .output_bytes_max = 16 << 20,
    .steps_max = 20 * 1000 * 1000,
    .memory_bytes_max = 256 << 20,
    .depth_max = 64,
};

err_code jinja_compile(jinja **out, str source, const jinja_limits *limits, err *e) {
    jinja_limits lim = limits ? *limits : jinja_limits_default;
    *out = NULL;
    if (source.n > lim.source_bytes_max)
        return err_set(e, ERR_LIMIT, "template: %zu bytes, at most %zu are allowed", source.n, lim.source_bytes_max);
    jinja *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(e, ERR_MEMORY, "no memory for a template");
    t->limits = lim;
    jtok *tokens;
    size_t n;
    err_code code = jj_lex(&t->mem, source, &tokens, &n, e);
    if (code == ERR_OK)
        code = jj_parse(t, tokens, n, e);
    if (code != ERR_OK) {
        jinja_free(t);
        return code;
    }
    *out = t;
    return ERR_OK;
}

void jinja_free(jinja *t) {
    if (!t)
        return;
    arena_fini(&t->mem);
    free(t);
}

/* Gives every name of the template its first value: a variable, else a global function. Members of
 * `vars` that no name asks for are not even looked at. */
static err_code bind_names(jrun *r, const json_t *vars) {
    TRY(jj_alloc(r, (size_t)r->t->n_names, sizeof *r->root, &r->root));
    for (int i = 0; i < r->t->n_names; i++) {
        str name = r->t->names[i];
        const json_t *v = json_object_getn(vars, name.p, name.n);
        if (v)
            TRY(jj_from_json(r, v, 1, &r->root[i]));
        else
            jj_global(name, &r->root[i]);
    }
    return ERR_OK;
}

/* Blocks are noted newest first, and come out in the order of writing. */
static err_code list_spans(const jrun *r, size_t before, jinja_spans *spans) {
    size_t n = 0;
    for (const jwritten *w = r->generation; w; w = w->before)
        n++;
    if (n > spans->cap) {
        jinja_span *v = realloc(spans->v, n * sizeof *v);
        if (!v)
            return err_set(r->e, ERR_MEMORY, "no memory for %zu spans of a template", n);
        spans->v = v;
        spans->cap = n;
    }
    spans->n = n;
    for (const jwritten *w = r->generation; w; w = w->before) {
        if (!str_eq(str_sub(strbuf_str(&r->out), w->from, w->from + w->text.n), w->text))
            return err_set(r->e, ERR_UNSUPPORTED, "template: the text of {%% generation %%} is moved or changed");
        spans->v[--n] = (jinja_span){before + w->from, before + w->from + w->text.n};
    }
    return ERR_OK;
}

err_code jinja_render_spans(const jinja *t, const json_t *vars, time_t now, strbuf *out, jinja_spans *spans, err *e) {
    jrun r = {.t = t, .now = now, .e = e, .line = 1};
    if (vars && !json_is_object(vars))
        return err_set(e, ERR_FORMAT, "template: the variables are not an object");
    r.mem.max_bytes = t->limits.memory_bytes_max ? t->limits.memory_bytes_max : SIZE_MAX;
    err_code code = bind_names(&r, vars);
    if (code == ERR_OK)
        code = jj_exec(&r, t->root);
    if (code == ERR_OK && spans)
        code = list_spans(&r, out->n, spans);
    if (code == ERR_OK)
        code = strbuf_add(out, strbuf_str(&r.out), e);
    strbuf_fini(&r.out);
    arena_fini(&r.mem);
    return code;
}

err_code jinja_render(const jinja *t, const json_t *vars, time_t now, strbuf *out, err *e) {
    return jinja_render_spans(t, vars, now, out, NULL, e);
}
