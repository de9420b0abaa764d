/* likelihood: how likely given tokens are, each after those before it.
 *
 * By the numbers of gen/score.h, so of `loam perplexity`. What the last call left in the cache is used again where the
 * ids begin alike; that changes no bit. Threads share out the tokens, never a sum. One thread at a time.
 * Proved by test/prop/test_likelihood.c.
 */
#ifndef LOAM_GEN_LIKELIHOOD_H
#define LOAM_GEN_LIKELIHOOD_H

#include "base/pool.h"
#include "model/model.h"

typedef struct likelihood likelihood;

/* Takes model_kv_bytes() and at most 64 MB for logits. m and pool (NULL: this thread alone) must outlive it. */
err_code likelihood_open(likelihood **out, model *m, pool *p, size_t ctx_tokens, err *e);
void likelihood_close(likelihood *k); /* NULL allowed */

/* out[i] = log probability of ids[from + i] after ids[0 .. from + i), for from + i < n; 1 <= from <= n. More than
 * ctx_tokens + 1 ids: ERR_LIMIT (the last one is never read by the model). Logits that are no numbers: NaN. */
err_code likelihood_of(likelihood *k, const int32_t *ids, size_t n, size_t from, double *out, err *e);

#endif
