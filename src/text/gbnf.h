/* gbnf: grammars as llama.cpp writes them, text to tree.
 *
 *   root   ::= "answer: " ( yesno | number )+ # a comment
 *   yesno  ::= "yes" | "no" |
 *              "perhaps"
 *   number ::= "-"? [0-9]{1,6} ("." [0-9]*)?
 *
 *   "text"             with \n \r \t \" \\ \[ \] \xHH \uHHHH \UHHHHHHHH
 *   [a-z_] [^a-z]      a character that is in the set, that is not; escapes as above; - last in the set is itself
 *   .                  any character
 *   x? x* x+ x{m} x{m,} x{m,n} x{,n}
 *   a b   a | b   (a | b)
 *
 * A rule ends with its line, except within parentheses, after `::=` and after `|`; a line that begins with `|` goes on
 * with it. Names are letters, digits, `-` and `_`. The text begins with the rule `root`. Tokens (<[1000]>) are refused.
 * Source: llama.cpp, grammars/README.md. Proved by test_grammar.c, fuzz_gbnf.c.
 */
#ifndef LOAM_TEXT_GBNF_H
#define LOAM_TEXT_GBNF_H

#include "text/grammar.h"

enum { GBNF_BYTES_MAX = 4 << 20 };

/* An error says "grammar, line N: ...": ERR_FORMAT, or ERR_LIMIT. */
err_code gbnf_compile(grammar **out, str text, err *e);

/* Appends `s` as a literal in quotes. Any valid UTF-8. */
err_code gbnf_quote(str s, strbuf *out, err *e);

#endif
