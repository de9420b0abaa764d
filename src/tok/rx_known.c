/* rx_known: see rx_known.h. The patterns stand in pretok_names.c; every branch here is one alternative there, in the
 * same order, so a match is the first alternative's that matches at all. */
#include "tok/rx_known.h"

#include "tok/pretok.h"

/* What a byte is. Beyond ASCII a byte alone does not tell. */
typedef enum { OTHER, LETTER, DIGIT, SPACE, BREAK, BEYOND } class;
enum { S = SPACE, L = LETTER, D = DIGIT, B = BREAK, X = BEYOND };

/* clang-format off */
static const unsigned char class_of[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, S, B, S, S, B, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    S, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, D, D, D, D, D, D, D, D, D, D, 0, 0, 0, 0, 0, 0,
    0, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, 0, 0, 0, 0, 0,
    0, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, 0, 0, 0, 0, 0,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
    X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
};
/* clang-format on */

rx_known rx_known_of(str pattern) {
    static const struct {
        const char *list;
        rx_known known;
    } table[] = {{"gpt2", RX_GPT2}, {"llama3", RX_LLAMA3}, {"qwen2", RX_QWEN2}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (str_is(pattern, pretok_pattern(table[i].list)))
            return table[i].known;
    return RX_UNKNOWN;
}

static inline class at(str s, size_t i) { return (class)class_of[(unsigned char)s.p[i]]; }

/* The end of a run of one class; 0: it may go on beyond ASCII. */
static inline size_t run(str s, size_t i, class c) {
    while (i < s.n && at(s, i) == c)
        i++;
    return i < s.n && at(s, i) == BEYOND ? 0 : i;
}

/* 's 't 're 've 'm 'll 'd: the length, 0 for none. s[i] is the apostrophe. */
static size_t contraction(str s, size_t i, char lower) {
    char a = i + 1 < s.n ? (char)(s.p[i + 1] | lower) : 0, b = i + 2 < s.n ? (char)(s.p[i + 2] | lower) : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* White space from i on: \s+(?!\S)|\s+, and before them \s*[\r\n]+ when `breaks`. */
static size_t white(str s, size_t i, bool breaks) {
    size_t end = i, after_break = 0;
    for (; end < s.n && (at(s, end) == SPACE || at(s, end) == BREAK); end++)
        if (at(s, end) == BREAK)
            after_break = end + 1;
    if (end < s.n && at(s, end) == BEYOND)
        return 0;
    if (breaks && after_break)
        return after_break;
    return end == s.n || end == i + 1 ? end : end - 1; /* the last one goes with what follows */
}

static inline size_t gpt2(str s, size_t from) {
    size_t i = from, n = s.p[i] == '\'' ? contraction(s, i, 0) : 0;
    if (n)
        return i + n;
    if (s.p[i] == ' ' && i + 1 < s.n)
        i++;
    class c = at(s, i);
    if (c == SPACE || c == BREAK)
        return white(s, from, false);
    return c == BEYOND ? 0 : run(s, i, c);
}

/* Numbers of up to `digits` digits. */
static inline size_t llama3(str s, size_t from, size_t digits) {
    class c = at(s, from), next = from + 1 < s.n ? at(s, from + 1) : BREAK;
    if (c == BEYOND || (next == BEYOND && c != DIGIT))
        return 0;
    size_t n = s.p[from] == '\'' ? contraction(s, from, 0x20) : 0;
    if (n)
        return from + n;
    if (c == LETTER)
        return run(s, from, LETTER);
    if (next == LETTER && c != DIGIT && c != BREAK)
        return run(s, from + 1, LETTER);
    if (c == DIGIT) {
        size_t i = from + 1;
        while (i < s.n && i - from < digits && at(s, i) == DIGIT)
            i++;
        return i < s.n && i - from < digits && at(s, i) == BEYOND ? 0 : i;
    }
    if (c == OTHER || (s.p[from] == ' ' && next == OTHER)) {
        size_t i = run(s, from + (c != OTHER), OTHER);
        while (i && i < s.n && at(s, i) == BREAK)
            i++;
        return i;
    }
    return white(s, from, true);
}

#define ENDS(call)                               \
    for (; i < n && from < s.n; from = end[i++]) \
        if (!(end[i] = (call)))                  \
    break

size_t rx_known_ends(rx_known k, str s, size_t from, size_t *end, size_t n) {
    size_t i = 0;
    switch (k) {
    case RX_UNKNOWN:
        break;
    case RX_GPT2:
        ENDS(gpt2(s, from));
        break;
    case RX_LLAMA3:
        ENDS(llama3(s, from, 3));
        break;
    case RX_QWEN2:
        ENDS(llama3(s, from, 1));
        break;
    }
    return i;
}

size_t rx_known_end(rx_known k, str s, size_t from) {
    size_t end = 0;
    return rx_known_ends(k, s, from, &end, 1) ? end : 0;
}
