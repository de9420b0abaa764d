/* rx: regular expressions of tokenizer files, matched by PCRE2, meaning what Oniguruma means.
 *
 * Hugging Face's tokenizers compile their patterns with Oniguruma (Ruby syntax). The two engines
 * differ; rx_open() translates what differs and refuses, by name, what cannot be translated:
 *
 *   \s \S     Unicode White_Space (PCRE2 adds U+180E)       \w \W \b \B  Alphabetic, M, Nd, Pc
 *   \p{L}     as of Unicode 16 (see rx_unicode.h)           \d \D        \p{Nd}
 *   \h \H     hexadecimal digits (PCRE2: horizontal space)  \v           U+000B only
 *   ^ $       at every line, always                         (?m)         refused: means DOTALL there
 *   {,n}      from 0 to n                                   {n,m}+       refused: not possessive there
 *   [a[bc]] && [:alpha:]  refused: sets of sets             (*VERB) (?C  refused: callouts, limits
 *
 * Patterns and texts are hostile: length, match, depth and heap limits end in ERR_LIMIT. The
 * JIT compiler is used where there is one; when it gives up, the interpreter decides.
 */
#ifndef LOAM_TOK_RX_H
#define LOAM_TOK_RX_H

#include "tok/rx_known.h"

enum { RX_PATTERN_BYTES_MAX = 16384 };

typedef struct rx rx;
typedef struct rx_work rx_work; /* what a search writes to; one a thread */

err_code rx_open(rx **out, str pattern, err *e);
void rx_close(rx *r); /* NULL allowed */

err_code rx_work_open(rx_work **out, err *e);
void rx_work_close(rx_work *w); /* NULL allowed */

/* The leftmost match in the valid UTF-8 text s at or after byte `from` (a character's start), context before it
 * seen. */
err_code rx_find(const rx *r, rx_work *w, str s, size_t from, bool *found, size_t *start, size_t *end, err *e);

/* RX_UNKNOWN unless the pattern is one of rx_known.h's: then it may be asked for many matches at once. */
rx_known rx_kind(const rx *r);

/* All matches one after another, as Oniguruma's scan goes: an empty match where the last one ended is
 * passed over by one character. Zero-initialise. */
typedef struct {
    size_t at, last_end;
    bool matched;
} rx_scan;
err_code rx_next(const rx *r, rx_work *w, str s, rx_scan *scan, bool *found, size_t *start, size_t *end, err *e);

#endif
