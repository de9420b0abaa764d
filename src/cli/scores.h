/* scores: what an evaluation found item by item, shown with 95 % intervals, alone or beside another model's.
 *
 * A column is a share (items right or wrong: Wilson's interval; two models by McNemar's exact test and Newcombe's
 * interval) or a ratio of sums (bits over bytes: intervals and p by bootstrap over items), gen/paired.h.
 */
#ifndef LOAM_CLI_SCORES_H
#define LOAM_CLI_SCORES_H

#include <stdbool.h>

#include "text/js.h"

enum { SCORES_MAX = 8 };

typedef struct {
    const char *name;
    const char *exp_name; /* of a ratio: the name under which its exponential is shown, too; NULL: it is not */
    bool is_share;
    size_t n, cap;
    double *x, *weight; /* [n]; of a share 0 or 1 over 1 */
} score_column;

typedef struct {
    score_column column[SCORES_MAX];
    size_t n;
} score_table;

/* One more item of a column, which is made when it is not there; names must live on. */
err_code scores_right(score_table *s, const char *name, bool right, err *e);
err_code scores_ratio(score_table *s, const char *name, const char *exp_name, double x, double weight, err *e);
void scores_fini(score_table *s);

/* A table to standard output. */
err_code scores_print(const score_table *s, err *e);
/* "NAME": {"n", "right", "accuracy", "low", "high"} or {"n", "value", "low", "high"} each. */
err_code scores_json(const score_table *s, js_out *j, err *e);

/* Both models' columns have the same items (else ERR_MISMATCH). */
typedef struct {
    const char *name_a, *name_b; /* of the models */
    const score_table *a, *b;
} scores_pair;
err_code scores_compare_print(const scores_pair *p, err *e);
/* "NAME": {"n", "a", "b", "difference", "low", "high", "p", "only_a"?, "only_b"?} each. */
err_code scores_compare_json(const scores_pair *p, js_out *j, err *e);

#endif
