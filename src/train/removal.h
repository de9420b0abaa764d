/* removal: what was taken out of a run's data, as RUN/removals.jsonl: a line a rebuild, oldest first, each sealed with
 * those before it as the chain's lines are.
 *
 *   {"removal":1,"query":"topic:maker",
 *    "from":{"recipe":"HEX","chain":"HEX","data":"HEX","documents":300,"tokenizer":"HEX"},
 *    "to":{"recipe":"HEX","data":"HEX","documents":290,"tokenizer":"HEX"},
 *    "first":17,"kept":12,"sha256":["HEX",...],"digest":"HEX"}                                     (one line each)
 *
 *   from     the run that was rebuilt: its recipe's digest, the digest of its chain's last line, and what its recipe
 *            says of data and tokenizer; to: the same of the run that came out
 *   first    the first step that had read one of the documents, 0: none had
 *   kept     steps taken over: the checkpoint that the replay began behind
 *   sha256   of the documents taken out, ascending, as often as they were taken out
 *   digest   SHA-256(digest of the line before as 32 bytes | this line up to and without ,"digest"); the first: of the
 *            line
 *
 * The record is not part of the recipe: the recipe is that of a run that never had these documents, and so are chain
 * and weights. It cannot be forged for other documents than those that are missing: with the documents of the run,
 * those of the last line must have the data digest that the line before says, and so on to the first
 * (removals_check()). A line is written in exactly this form. Proved by test_removal.c and fuzz_removal.c.
 */
#ifndef LOAM_TRAIN_REMOVAL_H
#define LOAM_TRAIN_REMOVAL_H

#include "store/dataset.h"
#include "train/recipe.h"

enum { REMOVALS_MAX = 1000, REMOVAL_QUERY_BYTES_MAX = 1 << 20 };
#define REMOVALS_FILE_BYTES_MAX ((size_t)512 << 20)

/* What a removal knows of a run. */
typedef struct {
    hash256 recipe, data, tokenizer;
    uint64_t documents;
} removal_side;

typedef struct {
    char *query; /* UTF-8 */
    removal_side from, to;
    hash256 chain; /* of `from` */
    uint64_t first, kept;
    hash256 *sha256; /* [n] */
    size_t n;
    hash256 digest;
} removal;

typedef struct {
    removal *line; /* [n] */
    size_t n;
} removals;

err_code removal_side_of(const recipe *r, removal_side *out, err *e);

/* Sets r->digest (before: of the line before, NULL for the first) and appends the line and a line break. */
err_code removal_text(removal *r, const hash256 *before, strbuf *out, err *e);
void removal_fini(removal *r);

/* Malformed: ERR_FORMAT; a seal that does not fit, a line that does not begin where the one before ended:
 * ERR_MISMATCH. Zeroed *all; removals_fini() after any outcome. */
err_code removals_parse(removals *all, str text, err *e);
/* No file: none. */
err_code removals_read(removals *all, const char *path, err *e);
void removals_fini(removals *all);

/* The digests of all lines together, ascending, into *out (free() it). */
err_code removals_gather(const removals *all, hash256 **out, size_t *n, err *e);

/* Whether a run with this recipe over these documents (sorted by sha256) is what the last line leads to, and whether
 * documents and removals together are what each line says it began with: ERR_MISMATCH. */
err_code removals_check(const removals *all, const recipe *r, const dataset_key *key, size_t n, err *e);

#endif
