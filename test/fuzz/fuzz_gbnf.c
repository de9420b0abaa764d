/* gbnf: rules, a NUL, a text. The rules are refused with a reason, or the text is followed byte by byte: a state that
 * is alive may end or goes on with some byte, and an automaton that saw nothing else says the same of the text. */
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

/* false: a limit was met. */
static bool go_on(automaton *a, char byte, uint32_t *state) {
    err e = {0};
    if (automaton_next(a, *state, (unsigned char)byte, state, &e) == ERR_OK)
        return true;
    if (e.code != ERR_LIMIT || !e.text[0])
        abort();
    return false;
}

static void follow(automaton *a, uint32_t state, automaton *fresh, uint32_t again, str text) {
    for (size_t i = 0; i < text.n && state != AUTOMATON_DEAD; i++) {
        if (!go_on(a, text.p[i], &state) || !go_on(fresh, text.p[i], &again))
            return;
        if ((state == AUTOMATON_DEAD) != (again == AUTOMATON_DEAD))
            abort();
        if (state == AUTOMATON_DEAD)
            return;
        if (automaton_may_end(a, state) != automaton_may_end(fresh, again))
            abort();
        check_alive(a, state);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const uint8_t *end = n ? memchr(data, 0, n) : NULL;
    str rules = {(const char *)data, end ? (size_t)(end - data) : n};
    str text = {(const char *)data + rules.n + (end != NULL), n - rules.n - (end != NULL)};
    grammar *g = NULL;
    automaton *a, *fresh;
    uint32_t start, again;
    err e = {0};
    if (n > 4096)
        return 0;
    if (gbnf_compile(&g, rules, &e) != ERR_OK)
        return g || !e.text[0] ? (abort(), 0) : 0;
    if (automaton_open(&a, g, &start, &e) == ERR_OK) {
        check_alive(a, start);
        if (automaton_open(&fresh, g, &again, &e) != ERR_OK)
            abort();
        follow(a, start, fresh, again, str_sub(text, 0, TEXT_MAX));
        automaton_close(fresh);
        automaton_close(a);
    } else if (e.code != ERR_LIMIT)
        abort();
    grammar_close(g);
    return 0;
}
