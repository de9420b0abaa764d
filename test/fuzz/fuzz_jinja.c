/* Any bytes as a template: it must compile or fail, render or fail, within small limits. Text
 * before the first NUL is the template; what follows, if it is JSON, gives the variables. */
#include <string.h>

#include "text/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const jinja_limits limits = {
        .source_bytes_max = 16 << 10,
        .output_bytes_max = 256 << 10,
        .steps_max = 50000,
        .memory_bytes_max = 8 << 20,
        .depth_max = 64,
    };
    static const char usual[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"h\\u00e9 <\"},{\"role\":\"assistant\","
        "\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":[1,2.5]}}}]}],"
        "\"n\":3,\"f\":1.5,\"s\":\"abc abc\",\"l\":[3,1,2],\"add_generation_prompt\":true}";
    const char *text = n ? (const char *)data : "";
    const char *nul = n ? memchr(text, 0, n) : NULL;
    str source = {text, nul ? (size_t)(nul - text) : n};
    json_t *vars = nul ? json_loadb(nul + 1, n - source.n - 1, 0, NULL) : NULL;
    if (!json_is_object(vars)) {
        json_decref(vars);
        vars = json_loadb(usual, sizeof usual - 1, 0, NULL);
    }
    jinja *t;
    err e;
    if (jinja_compile(&t, source, &limits, &e) == ERR_OK) {
        strbuf out = {0};
        jinja_render(t, vars, 0, &out, &e);
        strbuf_fini(&out);
        jinja_free(t);
    }
    json_decref(vars);
    return 0;
}
