/* verified: what came of verifying a run, kept in its folder as RUN/verified.json, for people:
 *
 *   {"verified":1,"date":"2026-11-25T12:00:00Z","result":"as recorded","what":"spot","from":0,
 *    "steps":12,"of_steps":30,"segments":2,"of_segments":5,"arithmetic":1,"step":null,"difference":"",
 *    "isa":"avx2","chain":"HEX"}                                                                    (one line)
 *
 *   result   "as recorded", or "differs"; then `difference` says in what and `step` the first step, where one is known
 *   what     "whole", "from" (from the checkpoint before step `from`) or "spot"
 *   steps    executed, up to the difference
 *   chain    the digest of the chain's last line then: the record holds for this chain alone, any other is outdated
 *
 * It is a note and no proof: whoever can write the folder can write it. Verifying, chain, signatures and rebuilding do
 * not look at it. A file that is not in this form reads as outdated. Proved by test_verified.c and test_train.py.
 */
#ifndef LOAM_TRAIN_VERIFIED_H
#define LOAM_TRAIN_VERIFIED_H

#include "text/js.h"
#include "train/verify.h"

#define VERIFIED_FILE "verified.json"
enum { VERIFIED_TEXT_BYTES = 240, VERIFIED_FILE_BYTES_MAX = 1 << 16 };

typedef enum { VERIFIED_NEVER, VERIFIED_HOLDS, VERIFIED_DIFFERS, VERIFIED_OUTDATED } verified_state;
extern const char *const verified_state_name[]; /* "never", "verified", "differs", "outdated" */

typedef struct {
    bool there; /* else nothing else counts */
    bool differs, at_step;
    verify_how how;
    uint64_t from, step, steps, of_steps, segments, of_segments, arithmetic;
    char difference[VERIFIED_TEXT_BYTES], isa[16], date[OS_UTC_BYTES];
    hash256 chain;
} verified;

/* No file: not there. Malformed: ERR_FORMAT, and *v is there with the chain of none. */
err_code verified_read(verified *v, const char *path, err *e);
/* Whole or not at all; but what is known already stays: a check that passed does not replace one of the same chain that
 * executed more, nor a difference that it has not looked at again. */
err_code verified_keep(const verified *v, const char *path, err *e);

/* "date" to "isa" into an object, as the file has them. */
void verified_members(const verified *v, js_out *j);

/* last: the digest of the chain's last line now. */
verified_state verified_state_of(const verified *v, hash256 last);

#endif
