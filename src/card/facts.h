/* facts: what is known of a model, in one description from which every form of a card is written.
 *
 *   a run folder         recipe, chain, log, data set, checkpoints, model.gguf
 *   a GGUF file          its metadata, with the recipe when Loam made it, its tensors, its digest
 *   a Hugging Face folder  config.json, tensors, the front matter of README.md, the digests of its files
 *
 * What is not known stays marked so: `unknown` lists it in sentences, and nothing is guessed but energy, which says
 * that it is. Every text from outside is cleaned when it comes in (facts_clean()): one line of UTF-8 without control
 * characters and direction marks, of bounded length. Paths of this machine do not get in; of a data set only its last
 * component.
 *
 * The facts depend on the files and the options alone, so do all forms. Proved by test_card.c, test_card_fault.c and
 * test/e2e/test_card.py.
 */
#ifndef LOAM_CARD_FACTS_H
#define LOAM_CARD_FACTS_H

#include "base/arena.h"
#include "base/hash.h"
#include "base/pool.h"

enum { FACTS_TEXT_BYTES_MAX = 2000, FACTS_LIST_MAX = 1000, FACTS_ROWS_SHOWN = 100 };

typedef enum { CARD_RUN, CARD_GGUF, CARD_FOLDER } card_form;

typedef struct {
    str name, value;
} card_pair;

/* Grows in the facts' arena. */
typedef struct {
    card_pair *at;
    size_t n, cap;
} card_pairs;

typedef struct {
    str source, licence; /* licence empty: unknown; source empty in a list of licences */
    uint64_t documents, bytes;
} card_origin;

typedef struct {
    str task, kind; /* "homeworld", "facts" */
    uint64_t n, right;
    double accuracy, low, high, chance; /* 0 to 1; chance below 0: not told */
} card_score;

/* What somebody says of a model that no file can tell; every one may be empty. */
typedef struct {
    str name, licence, by, url, version, description, report, paper;
} card_said;

typedef struct {
    arena mem;
    card_form form;
    bool by_loam; /* made by this program, recipe known */
    card_said said;
    str name, licence;             /* SPDX expression, empty: unknown */
    str licence_text;              /* as it was told */
    str base, languages, datasets; /* as the model says; empty: it does not */
    int64_t created;               /* seconds since 1970, below 0: unknown */
    hash256 identity;              /* of what the card is about: the weights' root, the file, the folder's manifest */
    struct {
        bool known;
        str family;
        uint64_t layers, width, heads, kv_heads, head_width, ff, vocab, ctx, window;
        bool tied;
    } shape;
    uint64_t parameters, tensors, bytes; /* bytes: of the tensors */
    str types;                           /* "12 F32, 81 Q5_0" */
    str tokenizer;                       /* kind; empty: unknown */
    uint64_t tokenizer_vocab;
    bool chat_template;
    card_pairs digest, recipe, metadata, removal;
    struct {
        bool named;        /* there is a digest */
        bool here;         /* the data set was opened, and it is the one with this digest */
        bool built_in;     /* made by Loam itself: homeworld */
        str source, where; /* last component of its path, condition */
        hash256 digest;
        uint64_t documents, bytes, held_out, removed;
        card_origin *licence, *origin; /* most documents first */
        size_t n_licences, n_origins;
        uint64_t unknown_documents, closed_documents; /* licence unknown; known, but not an open one */
    } data;
    struct {
        bool known;
        uint64_t steps, of_steps, tokens, checkpoints;
        double first_loss, last_loss; /* nats a token */
        double bits;                  /* a byte of held-out text, 0: not measured */
        uint64_t bits_bytes;
        double seconds, thread_seconds, flops;
    } training;
    struct {
        bool known, measured;
        double joules, low, high; /* low, high: of an estimate */
    } energy;
    card_score *score;
    size_t n_scores;
    card_pairs limit;   /* name unused */
    card_pairs unknown; /* name: what; value: why */
} card_facts;

typedef struct {
    card_said said;
    int64_t created;          /* SOURCE_DATE_EPOCH; below 0: the model's own record */
    const char *data, *where; /* a run's data set, when it is not where the run was made */
    const char *const *score; /* [n_scores] files that `loam eval --json` has written */
    size_t n_scores;
    str scores_now; /* the same text, computed just now; empty: none */
    pool *pool;
    const volatile int *stop;
} facts_options;

/* *f need not be initialised; after an error nothing is left to free. path: a run's or model's folder, or a GGUF file.
 */
err_code facts_open(card_facts *f, const char *path, const facts_options *o, err *e);
void facts_close(card_facts *f);

/* ---- for the files of card/ ---- */

/* A clean copy: ill-formed UTF-8, control characters and marks that turn the direction of writing become U+FFFD, line
 * breaks and tabs a blank; at most FACTS_TEXT_BYTES_MAX bytes, then "...". */
err_code facts_clean(card_facts *f, str s, str *out, err *e);
err_code facts_format(card_facts *f, str *out, err *e, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The same for who looks at the first failure alone, *code, at the end: after it, and then, the text is empty. */
str facts_text(card_facts *f, err_code *code, err *e, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Seconds since 1970 as "2026-01-31", or with the time of day "2026-01-31T12:00:00Z". From year 1970 to 9999; a time
 * outside becomes the nearest. */
err_code facts_time(card_facts *f, int64_t seconds, bool of_day, str *out, err *e);
/* http or https, and nothing in it that a URL may not have. */
bool facts_is_url(str s);
/* Adds clean copies; beyond FACTS_LIST_MAX nothing. */
err_code facts_add(card_facts *f, card_pairs *list, str name, str value, err *e);
err_code facts_add_hash(card_facts *f, const char *name, hash256 h, err *e);   /* to f->digest */
err_code facts_lack(card_facts *f, const char *what, const char *why, err *e); /* to f->unknown */
/* The same for the text of an error, without the path that it may begin with; a shortage of memory is passed on. */
err_code facts_lack_by(card_facts *f, const char *what, const char *path, const err *why, err *e);

/* gather_run.c, gather_file.c, gather_scores.c */
err_code facts_of_run(card_facts *f, const char *path, const facts_options *o, err *e);
err_code facts_of_gguf(card_facts *f, const char *path, err *e);
err_code facts_of_folder(card_facts *f, const char *path, const facts_options *o, err *e);
err_code facts_scores_file(card_facts *f, const char *path, err *e);
err_code facts_scores_text(card_facts *f, str text, err *e);
/* What somebody wrote into card.json beside the model: {"licence": "CC0-1.0", "by": ..., "limits": ["..."]}. */
err_code facts_said_file(card_facts *f, const char *path, err *e);

#endif
