/* think: see think.h. */
#include "serve/think.h"

#include "serve/params.h"

static const char *const switches[] = {"enable_thinking", "thinking"};
enum { SWITCHES = sizeof switches / sizeof *switches };

static err_code read_effort(const json_t *o, const char *key, think_wish *w, err *e) {
    static const char *const known[] = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};
    TRY(param_str(o, key, &w->effort, e));
    if (w->effort.n == 0)
        return ERR_OK;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_is(w->effort, known[i])) {
            w->how = i == 0 ? THINK_OFF : w->how;
            return ERR_OK;
        }
    return err_set(e, ERR_USAGE, "%s: \"%.*s\" is none of none, minimal, low, medium, high, xhigh, max", key,
                   STR_ARG(w->effort));
}

static err_code refuse_unable(bool able, const char *key, err *e) {
    return able ? ERR_OK
                : err_set(e, ERR_UNSUPPORTED,
                          "%s: this model does not support thinking (its template has no marks of it)", key);
}

err_code think_openai(const json_t *body, think_wish *w, err *e) {
    str format = {0};
    TRY(param_str(body, "reasoning_format", &format, e));
    w->as_text = str_is(format, "none");
    return read_effort(body, "reasoning_effort", w, e);
}

err_code think_responses(const json_t *body, think_wish *w, err *e) {
    const json_t *reasoning = json_get(body, "reasoning");
    return json_is_object(reasoning) ? read_effort(reasoning, "effort", w, e) : ERR_OK;
}

static bool says_itself(const json_t *vars) {
    bool any = false;
    for (size_t i = 0; i < SWITCHES; i++)
        any = any || json_object_get(vars, switches[i]);
    return any;
}

err_code think_anthropic(const json_t *body, bool able, const json_t *defaults, think_wish *w, err *e) {
    const json_t *thinking = json_get(body, "thinking");
    str type = json_get_str(thinking, "type", STR("disabled"));
    bool on = str_is(type, "enabled") || str_is(type, "adaptive");
    if (!on && !str_is(type, "disabled"))
        return err_set(e, ERR_USAGE, "thinking: type \"%.*s\" is none of enabled, adaptive, disabled", STR_ARG(type));
    TRY(read_effort(json_get(body, "output_config"), "effort", w, e));
    if (on)
        TRY(refuse_unable(able, "thinking", e));
    if (on || json_is_object(thinking) || !says_itself(defaults))
        w->how = on ? THINK_ON : THINK_OFF;
    return ERR_OK;
}

err_code think_ollama(const json_t *body, bool able, think_wish *w, err *e) {
    const json_t *think = json_get(body, "think");
    if (!think)
        return ERR_OK;
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
