/* tools: a format, a way to cut, and any answer: events are well formed, arguments of whole calls are JSON, and nothing
 * depends on the cuts; of an answer without calls all is text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gen/tool_parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool good) {
    if (!good)
        abort();
}

typedef struct {
    strbuf all, args;
    size_t n_calls, n_broken, n_text;
    bool in_call;
} heard;

static err_code hear(void *ctx, const tool_event *event, err *e) {
    heard *h = ctx;
    json_t *v = NULL;
    check(h->in_call == (event->kind != TOOL_TEXT && event->kind != TOOL_BEGIN));
    if (event->kind == TOOL_BEGIN) {
        h->args.n = 0;
        check(str_is(event->text, "f") || str_is(event->text, "get"));
    }
    h->in_call = event->kind == TOOL_BEGIN || event->kind == TOOL_ARGS;
    if (event->kind == TOOL_ARGS)
        TRY(strbuf_add(&h->args, event->text, e));
    if (event->kind == TOOL_END) {
        h->n_calls++;
        check(json_read(strbuf_str(&h->args), TOOL_CALL_BYTES_MAX + 2, &v, NULL) == ERR_OK && json_is_object(v));
        json_decref(v);
    }
    if (event->kind == TOOL_BROKEN) {
        h->n_broken++;
        check(str_ends(event->text, event->rest));
    }
    if (event->kind == TOOL_TEXT)
        h->n_text += event->text.n;
    if (event->kind != TOOL_TEXT && event->kind != TOOL_ARGS)
        TRY(strbuf_addc(&h->all, (char)('0' + event->kind), e));
    return strbuf_add(&h->all, event->kind == TOOL_BROKEN ? event->rest : event->text, e);
}

static void parse(const tool_format *f, const json_t *tools, size_t most, str text, size_t chunk, heard *h) {
    tool_parser p;
    tool_parser_init(&p, f, tools, most, hear, h);
    for (size_t i = 0; i < text.n; i += chunk)
        check(tool_parser_feed(&p, str_sub(text, i, i + chunk), NULL) == ERR_OK);
    check(tool_parser_end(&p, NULL) == ERR_OK);
    tool_parser_fini(&p);
    check(!h->in_call && h->n_calls <= most);
    check(h->n_calls > 0 || h->n_broken > 0 || h->n_text == text.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    size_t n_formats = 0;
    if (n < 3 || n > 4096)
        return 0;
    while (tool_formats[n_formats].name)
        n_formats++;
    const tool_format *f = &tool_formats[data[0] % n_formats];
    str text = {(const char *)data + 3, n - 3};
    size_t most = data[2] % 4;
    heard a = {0}, b = {0};
    json_t *tools = json_pack("[{s:{s:s}}, {s:{s:s, s:{s:{s:{s:s}}}}}]", "function", "name", "f", "function", "name",
                              "get", "parameters", "properties", "city", "type", "string");
    if (memchr(text.p, 0, text.n) == NULL) {
        parse(f, tools, most, text, text.n > 0 ? text.n : 1, &a);
        parse(f, tools, most, text, 1 + data[1] % 7, &b);
        check(str_eq(strbuf_str(&a.all), strbuf_str(&b.all)));
    }
    json_decref(tools);
    strbuf_fini(&a.all);
    strbuf_fini(&a.args);
    strbuf_fini(&b.all);
    strbuf_fini(&b.args);
    return 0;
}
