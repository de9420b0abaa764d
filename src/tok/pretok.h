/* pretok: cutting normalised text into words that no piece crosses. A list of steps, each
 * cutting every part that the one before it left.
 *
 * Hugging Face's pre-tokenizers map to the steps; GGUF files name a known list (tokenizer.ggml.pre).
 */
#ifndef LOAM_TOK_PRETOK_H
#define LOAM_TOK_PRETOK_H

#include "tok/rx.h"

enum { PRETOK_STEPS_MAX = 24 };

typedef enum {
    PRETOK_PATTERN, /* cut at matches of a pattern */
    PRETOK_LITERAL, /* cut at a string */
    PRETOK_CLASS,   /* cut at characters of a class, each a match of its own */
    PRETOK_PREFIX,  /* a space in front when there is none (ByteLevel's add_prefix_space) */
    PRETOK_META     /* spaces become `with`; `with` in front by `scheme` */
} pretok_kind;

/* What becomes of a match and of the text between. */
typedef enum {
    PRETOK_ISOLATED,
    PRETOK_REMOVED,
    PRETOK_MERGED_PREVIOUS,
    PRETOK_MERGED_NEXT,
    PRETOK_CONTIGUOUS
} pretok_cut;
typedef enum { PRETOK_ALWAYS, PRETOK_FIRST, PRETOK_NEVER } pretok_scheme;

typedef struct {
    pretok_kind kind;
    pretok_cut cut;
    bool invert; /* the text between is the match */
    rx *pattern; /* owned */
    str literal, with;
    bool (*is)(int32_t cp);
    pretok_scheme scheme;
} pretok_step;

typedef struct {
    pretok_step step[PRETOK_STEPS_MAX];
    int n;
} pretok;

typedef struct {
    rx_work *rx; /* borrowed */
    strbuf buf[PRETOK_STEPS_MAX];
} pretok_work;

/* `first`: the part begins the whole text. `inner`: it goes on after another part, so nothing is prefixed. */
typedef err_code pretok_fn(void *ctx, str word, err *e);
err_code pretok_run(const pretok *p, pretok_work *w, str text, bool first, bool inner, pretok_fn *fn, void *ctx,
                    err *e);
void pretok_work_fini(pretok_work *w);
void pretok_fini(pretok *p);

/* Appends a step; the pattern form compiles. */
err_code pretok_add(pretok *p, pretok_step step, err *e);
err_code pretok_add_pattern(pretok *p, str pattern, pretok_cut cut, bool invert, err *e);
extern const char pretok_gpt2[]; /* the pattern of ByteLevel */

/* The list that a GGUF file means by tokenizer.ggml.pre, with what else goes with the name. */
typedef struct {
    const char *name, *list; /* list: for people */
    bool nfc;                /* the original normalises to NFC */
    bool whole_words;        /* ignore_merges */
    bool add_bos;            /* when the file does not say */
} pretok_named;
err_code pretok_add_named(pretok *p, str name, const pretok_named **what, err *e); /* unknown: ERR_UNSUPPORTED */
/* The pattern of a list that is one pattern ("llama3"); NULL for any other. */
const char *pretok_pattern(const char *list);
/* Its patterns, ended by NULL; "#" stands for digits one by one. */
const char *const *pretok_patterns(const pretok_named *what);
/* The name for these patterns (compared character by character, escapes of characters undone), or NULL. */
const pretok_named *pretok_name_of(const str *pattern, int n, bool nfc, bool whole_words);

#endif
