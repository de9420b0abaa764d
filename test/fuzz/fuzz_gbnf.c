/* gbnf: rules, a NUL, a text. The rules are refused with a reason, or the text is followed byte by byte: a state that
 * is alive may end or goes on with some byte, and following the text again gives the same states. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/automaton.h"
#include "text/gbnf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { TEXT_MAX = 200 }; /* shorter than what would nest too deep */

static void check_alive(automaton *a, uint32_t state) {
    if (automaton_may_end(a, state))
        return;
    for (int byte = 0; byte < 256; byte++) {
        uint32_t next;
        err e = {0};
        if (automaton_next(a, state, (unsigned char)byte, &next, &e) != ERR_OK || next != AUTOMATON_DEAD)
            return;
    }
    abort();
}

static void follow(automaton *a, uint32_t state, str text) {
    for (size_t i = 0; i < text.n && state != AUTOMATON_DEAD; i++) {
        uint32_t next, again;
        err e = {0};
        if (automaton_next(a, state, (unsigned char)text.p[i], &next, &e) != ERR_OK) {
            if (e.code != ERR_LIMIT || !e.text[0])
                abort();
            return;
        }
        if (automaton_next(a, state, (unsigned char)text.p[i], &again, &e) != ERR_OK || again != next)
            abort();
        if (next == AUTOMATON_DEAD && automaton_may_end(a, next))
            abort();
        if (next != AUTOMATON_DEAD)
            check_alive(a, next);
        state = next;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const uint8_t *end = n ? memchr(data, 0, n) : NULL;
    str rules = {(const char *)data, end ? (size_t)(end - data) : n};
    str text = {(const char *)data + rules.n + (end != NULL), n - rules.n - (end != NULL)};
    grammar *g = NULL;
    automaton *a;
    uint32_t start;
    err e = {0};
    if (n > 4096)
        return 0;
    if (gbnf_compile(&g, rules, &e) != ERR_OK)
        return g || !e.text[0] ? (abort(), 0) : 0;
    if (automaton_open(&a, g, &start, &e) == ERR_OK) {
        check_alive(a, start);
        follow(a, start, str_sub(text, 0, TEXT_MAX));
        automaton_close(a);
    } else if (e.code != ERR_LIMIT)
        abort();
    grammar_close(g);
    return 0;
}
