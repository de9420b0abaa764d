/* think: see think.h. */
#include "serve/think.h"

#include "serve/params.h"

static const char *const switches[] = {"enable_thinking", "thinking"};
enum { SWITCHES = sizeof switches / sizeof *switches };

/* An object, or NULL: not said. */
static err_code read_object(const json_t *o, const char *key, const json_t **out, err *e) {
    *out = json_get(o, key);
    return !*out || json_is_object(*out) ? ERR_OK : err_set(e, ERR_USAGE, "%s: an object is expected", key);
}

static bool is_of(str word, const char *const *known) {
    while (*known && !str_is(word, *known))
        known++;
    return *known != NULL;
}

/* An empty one is not said. */
static err_code read_effort(const json_t *o, const char *key, think_wish *w, err *e) {
    static const char *const known[] = {"none", "minimal", "low", "medium", "high", "xhigh", "max", NULL};
    TRY(param_str(o, key, &w->effort, e));
    if (w->effort.n > 0 && !is_of(w->effort, known))
        return err_set(e, ERR_USAGE, "%s: \"%.*s\" is none of none, minimal, low, medium, high, xhigh, max", key,
                       STR_ARG(w->effort));
    if (str_is(w->effort, known[0]))
        w->how = THINK_OFF;
    return ERR_OK;
}

static err_code refuse_unable(bool able, const char *key, err *e) {
    return able ? ERR_OK
                : err_set(e, ERR_UNSUPPORTED,
                          "%s: this model does not support thinking (its template has no marks of it)", key);
}

err_code think_openai(const json_t *body, think_wish *w, err *e) {
    static const char *const known[] = {"none", "auto", "deepseek", NULL};
    str format = {0};
    TRY(param_str(body, "reasoning_format", &format, e));
    if (format.n > 0 && !is_of(format, known))
        return err_set(e, ERR_USAGE, "reasoning_format: \"%.*s\" is none of none, auto, deepseek", STR_ARG(format));
    w->as_text = str_is(format, known[0]);
    return read_effort(body, "reasoning_effort", w, e);
}

err_code think_responses(const json_t *body, think_wish *w, err *e) {
    const json_t *reasoning;
    TRY(read_object(body, "reasoning", &reasoning, e));
    return read_effort(reasoning, "effort", w, e);
}

static bool says_itself(const json_t *vars) {
    bool any = false;
    for (size_t i = 0; i < SWITCHES; i++)
        any = any || json_object_get(vars, switches[i]);
    return any;
}

err_code think_anthropic(const json_t *body, bool able, const json_t *defaults, think_wish *w, err *e) {
    const json_t *thinking, *config;
    str type = STR("disabled");
    TRY(read_object(body, "thinking", &thinking, e));
    TRY(read_object(body, "output_config", &config, e));
    TRY(param_str(thinking, "type", &type, e));
    bool on = str_is(type, "enabled") || str_is(type, "adaptive");
    if (!on && !str_is(type, "disabled"))
        return err_set(e, ERR_USAGE, "thinking: type \"%.*s\" is none of enabled, adaptive, disabled", STR_ARG(type));
    TRY(read_effort(config, "effort", w, e));
    if (on)
        TRY(refuse_unable(able, "thinking", e));
    if (on || thinking || !says_itself(defaults))
        w->how = on ? THINK_ON : THINK_OFF;
    return ERR_OK;
}

err_code think_ollama(const json_t *body, bool able, think_wish *w, err *e) {
    const json_t *think = json_get(body, "think");
    if (!think || (json_is_string(think) && json_string_length(think) == 0))
        return ERR_OK; /* not said */
    if (!json_is_boolean(think))
        TRY(read_effort(body, "think", w, e));
    if (w->how == THINK_AS_EVER)
        w->how = json_is_false(think) ? THINK_OFF : THINK_ON;
    return w->how == THINK_ON ? refuse_unable(able, "think", e) : ERR_OK;
}

static bool put(json_t *vars, const think_wish *w) {
    bool good = true;
    for (size_t i = 0; i < SWITCHES && w->how != THINK_AS_EVER; i++)
        good = json_object_set_new(vars, switches[i], json_boolean(w->how == THINK_ON)) == 0 && good;
    if (w->effort.n > 0)
        good = json_object_set_new(vars, "reasoning_effort", json_stringn(w->effort.p, w->effort.n)) == 0 && good;
    return good;
}

err_code think_vars(const think_wish *w, const json_t *defaults, const json_t *asked, json_t *keep, const json_t **out,
                    err *e) {
    json_t *vars = json_object();
    if (!vars || json_array_append_new(keep, vars) != 0)
        return err_set(e, ERR_MEMORY, "no memory for the template's variables");
    bool good = (!defaults || json_object_update(vars, (json_t *)(uintptr_t)defaults) == 0) && put(vars, w) &&
                (!asked || json_object_update(vars, (json_t *)(uintptr_t)asked) == 0);
    *out = json_object_size(vars) > 0 ? vars : NULL;
    return good ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for the template's variables");
}
