/* pack: which sequences share a row of ctx tokens, so that little is computed in vain.
 *
 * First fit: sequences are taken in the order given (train/order.h samples it), and each goes into the first row that
 * has room for it, else into a new one. Within a row they stand in the order of coming, each a segment of its own that
 * sees nothing of the others. Steps read rows in their order.
 *
 *   ctx 8, sequences of 5 4 2 6 1    rows  |5 . 2 1| |4 ....| |6 ..|    (5, then 2 and 1 fit behind it)
 *
 * The plan follows from the lengths and their order alone. Where a sequence is taken out, the rows before the one it
 * stood in stay as they were: whether another fits into a row does not depend on later rows. Each sequence stands in
 * exactly one row. O(n log n): the rows' room in a tree of maxima. Proved by test_pack.c (against plain first fit).
 */
#ifndef LOAM_TUNE_PACK_H
#define LOAM_TUNE_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct {
    size_t n, n_rows;
    uint32_t *seq;     /* [n] the places in the order given (0 to n-1), row after row */
    uint32_t *from;    /* [n_rows + 1] row r holds seq[from[r] .. from[r + 1]) */
    uint64_t n_tokens; /* of all sequences: n_tokens / (n_rows * ctx) is how full the rows are */
} pack;

/* n_tokens[n], each 1 to ctx (else ERR_LIMIT), in the order of coming. At most 2^31 - 1 sequences. */
err_code pack_plan(pack *p, const uint32_t *n_tokens, size_t n, uint32_t ctx, err *e);
void pack_fini(pack *p);

#endif
