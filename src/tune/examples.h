/* examples: what a model is tuned on, as token ids, and which of them it shall learn to say.
 *
 * Files are JSON Lines or data sets (lines.h), a line or document an example in one of several forms (record.h); the
 * form is seen line by line, and counted by file. Conversations go through the chat template, and the messages of the
 * chosen roles are learned (gen/chat_learn.h), end token and all; messages of a prompt never are. Without a template
 * (chat NULL) only texts, text prompts and Alpaca can be learned from, as plain text: the prompt, right behind it the
 * completion, the end token; conversations are refused. Plain texts ("text") are learned whole, with the tokens that
 * the tokenizer wants around them and the end token behind.
 *
 *   ids    <bos> <turn> user \n Hi <end> \n <turn> model \n Hello <end> \n
 *   learn    0     0     0    0  0   0    0    0     0    0    1     1   0      learn[i]: predicting ids[i] counts
 *
 * A pair (preference) is two sequences that begin with the same n_prompt tokens, of which none is learned.
 *
 * Examples are numbered by (sha256 of their line or document, order of reading), so nothing depends on the order of
 * lines or files; by_reading[] gives the order of reading. What comes out depends on the bytes of the files, tokenizer,
 * template, roles, now, vars and ctx_tokens alone: threads change nothing.
 *
 * A malformed line, a template that refuses, a message of the chosen roles that cannot be told from the rest, an
 * example in which nothing is learned: "FILE:LINE: WHAT" (of a data set "FILE: document ID: WHAT"), and `bad` shows the
 * example where there is one. Examples of more than ctx_tokens are never cut: they are refused, all of them named, or
 * left out and counted (drop_long).
 *
 * Proved by test_examples.c, test_examples_fault.c, fuzz_examples.c.
 */
#ifndef LOAM_TUNE_EXAMPLES_H
#define LOAM_TUNE_EXAMPLES_H

#include "base/hash.h"
#include "base/pool.h"
#include "gen/chat.h"
#include "tune/record.h"

enum { EXAMPLES_MAX = INT32_MAX - 1, EXAMPLES_BAD_BYTES = 4000, EXAMPLES_LONG_NAMED = 8 };

/* Roles whose messages are learned. */
enum { EXAMPLES_ASSISTANT = 1, EXAMPLES_USER = 2, EXAMPLES_SYSTEM = 4, EXAMPLES_TOOL = 8 };
/* "assistant,user" to the sum of them; ERR_USAGE names what it does not know. */
err_code examples_roles(str list, unsigned *out, err *e);

typedef struct {
    const char *const *path;
    size_t n_paths;
    const char *where; /* SQL condition on the documents of data sets, or NULL */
    const tokenizer *t;
    const chat_template *chat; /* of t; NULL: there is none */
    time_t now;                /* for templates that write the date: keep it with the recipe */
    const json_t *vars;        /* for the template ("enable_thinking"), or NULL */
    unsigned roles;
    bool pairs;        /* pairs are wanted, and nothing else; else everything but pairs */
    size_t ctx_tokens; /* the most that a sequence may have */
    bool drop_long;
    pool *workers;                                              /* NULL: this thread alone */
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* of all files, bytes or documents; NULL: silent */
    void *progress_ctx;
    const volatile int *stop; /* ERR_CANCELLED when it is not 0; NULL: never */
} examples_options;

typedef struct {
    uint64_t from;      /* its first id in examples.id */
    uint32_t n;         /* at least 2 */
    uint32_t n_learned; /* at least 1 */
} example_seq;

typedef struct {
    hash256 sha256; /* of the line without its line break, or of the document's text: a data set's digest of it */
    uint32_t file;
    record_form form;
    uint64_t number;    /* of the line, from 1; or id of the document */
    example_seq seq[2]; /* [1]: of a pair, the rejected one; else empty */
    uint32_t n_prompt;  /* of a pair: tokens that both begin with */
} example;

typedef struct {
    const char *path; /* the caller's */
    bool is_set;      /* a data set */
    size_t n;         /* examples taken */
    size_t n_form[RECORD_FORMS_N];
    size_t n_long; /* left out */
} examples_file;

typedef struct {
    size_t n;
    example *example;     /* [n] */
    hash256 *sha256;      /* [n] the same digests, ascending: for train/order.h */
    uint32_t *by_reading; /* [n] numbers in the order of reading */
    int32_t *id;          /* all sequences, one behind another */
    uint8_t *learn;       /* of each id: 1: predicting it counts, 0: it does not */
    uint64_t n_ids, n_learned;
    uint32_t longest; /* tokens of the longest sequence */
    hash256 digest;   /* SHA-256 over sha256[0..n): for a data set without condition, dataset_digest() */
    examples_file *file;
    size_t n_files, n_long;
    strbuf bad; /* the example that the error is about, for people; empty: none */
} examples;

/* After a failure x->bad may be shown; examples_close() frees it in any case. */
err_code examples_open(examples *x, const examples_options *o, err *e);
void examples_close(examples *x);

/* "FILE:LINE" or "FILE: document ID". */
err_code examples_place(const examples *x, const example *ex, strbuf *out, err *e);

/* Appends example i as the model sees it: where it is from, its tokens' text with control tokens as spelled, what is
 * learned in colour, or without colour between [[ and ]]. Control characters are shown as \xNN. A pair is both, one
 * below the other. */
err_code examples_show(const examples *x, const tokenizer *t, size_t i, bool colour, strbuf *out, err *e);

#endif
