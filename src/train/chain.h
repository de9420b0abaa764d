/* chain: what a run did, a line a step, each line sealed with all before it.
 *
 *   {"step":0,"recipe":"HEX","weights":"HEX","digest":"HEX"}
 *   {"step":1,"loss":"0x1.8p+2","norm":"0x1.2p-1","docs":[0,0,0,14],"targets":2033,"digest":"HEX"}
 *   {"step":50,...,"targets":2040,"weights":"HEX","moments":"HEX","digest":"HEX"}
 *   {"step":50,...,"targets":2040,"weights":"HEX","moments":"HEX","held_out":"0x1.1p+1","digest":"HEX"}
 *
 *   step     from 1; line 0 names the recipe (its digest) and the weights before the first step
 *   loss     over the step's targets, sum of weight * -log p(target), in nats, / targets; binary64 in hexadecimal. The
 *            weights are 1, or what the recipe's marks say (answers.h)
 *   norm     of the mean gradient before clipping (optim.h), likewise
 *   docs     epoch and rank of the document of the step's first token, and of its last token (order.h)
 *   targets  how many tokens were predicted
 *   weights, moments   roots (root.h) after the step; after every roots_every-th step and after the last
 *   held_out of tuning: the loss after the step, over the targets of what is held out, likewise; where there are roots
 *   digest   SHA-256(digest of the line before as 32 bytes | this line up to and without ,"digest"); line 0: of the
 * line
 *
 * A line is written in exactly this form, so that equal runs have equal files. Proved by test_chain.c and fuzz_chain.c.
 */
#ifndef LOAM_TRAIN_CHAIN_H
#define LOAM_TRAIN_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/appendfile.h"
#include "base/hash.h"

enum { CHAIN_LINE_BYTES_MAX = 1024 };
#define CHAIN_FILE_BYTES_MAX ((size_t)4 << 30)

typedef struct {
    uint64_t step;
    double loss, norm;
    uint64_t docs[4];
    uint64_t targets;
    bool has_roots, has_held_out;
    double held_out;
    hash256 recipe, weights, moments;
    hash256 digest;
} chain_line;

/* Sets line->digest (before: the digest of the line before; NULL for step 0) and appends the line and a line break. */
err_code chain_text(chain_line *line, const hash256 *before, strbuf *out, err *e);
/* One line without its line break; its digest is taken as it stands. Not in the form above: ERR_FORMAT. */
err_code chain_parse(str text, chain_line *line, err *e);
/* The first field in which two lines of one step differ ("loss is 0x1p+1 here and 0x1.1p+1 there"), the digest left
 * out; empty when there is none. */
err_code chain_difference(const chain_line *here, const chain_line *there, strbuf *out, err *e);

/* A chain in memory. */
typedef struct {
    chain_line *line; /* [n], line[i].step == i */
    uint64_t *end;    /* [n] where each ends in the file, line break included */
    size_t n, cap;
    bool torn; /* bytes behind the last line break were left out: a line that was not written to its end */
} chain;

/* Reads a chain and checks its seals. Not well-formed: ERR_FORMAT; a line whose digest does not fit: ERR_MISMATCH. Both
 * name the line. */
err_code chain_read(chain *c, const char *path, err *e);
err_code chain_parse_all(chain *c, str text, err *e); /* the same from memory; errors without a path */
void chain_fini(chain *c);

#endif
