/* schema: a JSON text, a NUL, choices. The schema is refused with a reason, or the choices lead through its grammar to
 * a text that is JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/automaton.h"
#include "text/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { STEPS_MAX = 4000 };

/* The byte that a choice takes among those that may follow; after the last choice the end, as soon as it may come, or
 * the first byte that may follow and is no digit, blank or letter. */
static int pick(automaton *a, uint32_t state, int choice, uint32_t *next) {
    int byte = choice < 0 ? 0 : choice, any = -1;
    uint32_t there;
    err e = {0};
    for (int k = 0; k < 256; k++, byte = (byte + 1) % 256) {
        if (automaton_next(a, state, (unsigned char)byte, &there, &e) != ERR_OK)
            return -1;
        if (there == AUTOMATON_DEAD)
            continue;
        any = byte;
        *next = there;
        if (choice >= 0 || !strchr(" \t\n\\0123456789{[", byte ? byte : 'x'))
            break;
    }
    return any;
}

static void walk(automaton *a, uint32_t state, str choices) {
    strbuf text = {0};
    json_t *v;
    err e = {0};
    bool ended = false;
    for (size_t i = 0; i < STEPS_MAX && !ended; i++) {
        int byte = -1;
        ended = automaton_must_end(a, state) || (i >= choices.n && automaton_may_end(a, state));
        if (!ended && (byte = pick(a, state, i < choices.n ? (unsigned char)choices.p[i] : -1, &state)) < 0)
            break;
        if (!ended && strbuf_addc(&text, (char)byte, NULL) != ERR_OK)
            break;
    }
    /* A name that occurs twice, and a NUL, are what json_read() refuses of JSON. */
    if (ended && json_read(strbuf_str(&text), 1 << 20, &v, &e) == ERR_OK)
        json_decref(v);
    else if (ended && !strstr(e.text, "twice") && !strstr(e.text, "uplicate") && !strstr(e.text, "NUL") &&
             !strstr(e.text, "\\u0000"))
        abort();
    strbuf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const uint8_t *end = n ? memchr(data, 0, n) : NULL;
    str text = {(const char *)data, end ? (size_t)(end - data) : n};
    str choices = {(const char *)data + text.n + (end != NULL), n - text.n - (end != NULL)};
    json_t *schema;
    grammar *g = NULL;
    automaton *a;
    uint32_t start;
    err e = {0};
    if (n > 4096 || json_read(text, n, &schema, &e) != ERR_OK)
        return 0;
    err_code code = schema_compile(&g, schema, (str){0}, (str){0}, &e);
    json_decref(schema);
    if (code != ERR_OK)
        return g || !e.text[0] ? (abort(), 0) : 0;
    if (automaton_open(&a, g, &start, &e) == ERR_OK) {
        walk(a, start, choices);
        automaton_close(a);
    }
    grammar_close(g);
    return 0;
}
