/* serve: any bytes as a request's body, through all that reads it before the engine; and as the headers that say who
 * speaks. */
#include <stdint.h>
#include <stdlib.h>

#include "serve/form.h"
#include "serve/guard.h"
#include "serve/params.h"
#include "serve/serve.h"
#include "serve/tools.h"
#include "serve/turns.h"
#include "text/json_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool good) {
    if (!good)
        abort();
}

/* Messages and tools as each API has them. */
static void read_turns(const json_t *body, str front, arena *mem) {
    static err_code (*const messages[])(turns *, const json_t *, str, err *) = {turns_chat, turns_responses,
                                                                                turns_anthropic};
    static err_code (*const tools[])(const json_t *, json_t *, tool_wish *, err *) = {tools_openai, tools_responses,
                                                                                      tools_anthropic, tools_ollama};
    json_t *keep = json_array();
    err e = {0};
    for (size_t k = 0; k < 3; k++) {
        turns t = {.mem = mem, .keep = keep};
        if (messages[k](&t, json_object_get(body, "messages"), front, &e) == ERR_OK)
            for (size_t i = 0; i < t.n; i++)
                check(t.m[i].role.n > 0 && (t.m[i].content.n == 0 || t.m[i].content.p));
    }
    for (size_t k = 0; k < 4; k++) {
        tool_wish w = {0};
        if (tools[k](body, keep, &w, &e) == ERR_OK)
            check(w.most >= 1 && (!w.required || json_array_size(w.list) > 0) && (w.only.n == 0 || w.most == 1));
    }
    json_decref(keep);
}

static void read_body(const json_t *body, arena *mem) {
    static const char *const refused[] = {"tools", "format", NULL};
    params p = params_plain();
    str s = {0};
    err e = {0};
    if (params_openai(body, &p, mem, &e) == ERR_OK) {
        check(p.n >= 1 && p.n <= PARAMS_N_MAX && p.n_stop < STOPS_MAX && p.n_bias <= PARAMS_BIAS_MAX);
        check(p.sampling.temperature >= 0 && p.sampling.temperature <= 100 && p.sampling.top_k >= 0);
        for (size_t i = 0; i < p.n_bias; i++)
            check(p.bias[i].id >= 0 && p.bias[i].logprob >= -100 && p.bias[i].logprob <= 100);
    } else
        check(e.code != ERR_OK && e.text[0]);
    (void)param_stop(body, "stop_sequences", &p, &e);
    check(p.n_stop < STOPS_MAX);
    (void)param_refuse(body, refused, &e);
    if (params_content(json_object_get(body, "system"), mem, &s, &e) != ERR_OK)
        s = (str){0};
    read_turns(body, s, mem);
    grammar_close(p.grammar);
}

/* The other APIs' words for the form of an answer. */
static void read_forms(const json_t *body) {
    err_code (*const form[])(const json_t *, grammar **, err *) = {form_responses, form_ollama, form_anthropic};
    for (size_t i = 0; i < sizeof form / sizeof *form; i++) {
        grammar *g = NULL;
        err e = {0};
        check(form[i](body, &g, &e) == ERR_OK || e.text[0]);
        grammar_close(g);
    }
}

/* Two headers, the first line's and the rest's: a fault has a status, and one length alone has none. */
static void read_frame(str text) {
    guard_frame f = {0};
    int status = 0;
    ptrdiff_t line = str_find(text, STR("\n"), 0);
    size_t end = line < 0 ? text.n : (size_t)line;
    guard_frame_see(&f, str_sub(text, 0, end), str_sub(text, end, text.n));
    guard_frame_see(&f, STR("Content-Length"), STR("5"));
    bool good = guard_frame_fault(&f, false, &status) == NULL;
    check(good || status == 400 || status == 501);
    check(!good || (f.n_length == 1 && f.n_encoding == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    str text = {(const char *)data, n}, name, token;
    json_t *body = NULL;
    arena mem = {0};
    err e = {0};
    if (body_parse(text, false, &body, &e) == ERR_OK) {
        check(json_is_object(body));
        read_body(body, &mem);
        read_forms(body);
        json_decref(body);
    } else
        check(!body && e.code != ERR_OK && e.text[0]);
    for (api a = API_OPENAI; a <= API_OLLAMA; a++) {
        json_t *v = error_json(a, 400, ERR_USAGE, e.text); /* NULL when the text is no UTF-8 */
        json_decref(v);
    }
    read_frame(text);
    if (guard_host_name(text, &name))
        check(name.n > 0 && name.n <= text.n);
    bool near = guard_host_ok(text, true, NULL, 0), far = guard_host_ok(text, false, NULL, 0);
    check(far || !near);
    check(!guard_origin_ok(text, (str){0}, NULL, 0));
    if (guard_bearer(text, &token))
        check(token.n > 0);
    arena_fini(&mem);
    return 0;
}
