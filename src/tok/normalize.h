/* normalize: what a tokenizer does to text before it looks for pieces. A list of steps.
 *
 * Growth is bounded: NORM_GROWTH times the input and a little, whatever the steps' contents are.
 */
#ifndef LOAM_TOK_NORMALIZE_H
#define LOAM_TOK_NORMALIZE_H

#include "tok/charsmap.h"
#include "tok/rx.h"
#include "tok/trie.h"
#include "tok/unichar.h"

enum { NORM_STEPS_MAX = 32, NORM_GROWTH = 64 };

typedef enum {
    NORM_FORM,     /* a Unicode normal form */
    NORM_LOWER,    /* lower case */
    NORM_PREPEND,  /* `with` in front, unless the text is empty or goes on after another part */
    NORM_REPLACE,  /* every `what`, or match of `pattern`, becomes `with` */
    NORM_STRIP,    /* white space off the ends */
    NORM_CHARSMAP, /* Hugging Face's way: a short grapheme by its shortest rule, else character by character */
    NORM_SPM       /* SentencePiece's own: longest rules, spaces squeezed, escaped and prefixed */
} norm_kind;

typedef struct {
    norm_kind kind;
    unichar_form form;
    bool left, right; /* NORM_STRIP */
    str what, with;
    rx *pattern; /* owned */
    charsmap map;
    bool squeeze, prefix; /* NORM_SPM: remove_extra_whitespaces, add_dummy_prefix */
    const trie *keep;     /* NORM_SPM: spellings no rule may touch; NULL: none */
} norm_step;

typedef struct {
    norm_step step[NORM_STEPS_MAX];
    int n;
} normalizer;

typedef struct {
    strbuf buf[2];
    rx_work *rx; /* borrowed; needed when a step has a pattern */
} norm_work;

/* s is valid UTF-8. *out is s itself when no step changes anything, else a slice of *w that lives until the next
 * call. `inner`: s goes on after another part of the same text, so no step prefixes it. */
err_code norm_run(const normalizer *n, norm_work *w, str s, bool inner, str *out, err *e);
void norm_work_fini(norm_work *w);
void norm_fini(normalizer *n);

#endif
