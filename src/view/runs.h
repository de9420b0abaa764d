/* runs: the runs of a folder, and what can be said of one without opening its data: size, steps, losses, speed.
 *
 * Proved by test_view.c, test/e2e/test_train.py and test/e2e/test_lineage.py.
 */
#ifndef LOAM_VIEW_RUNS_H
#define LOAM_VIEW_RUNS_H

#include "store/runlog.h"
#include "text/js.h"
#include "train/run.h"
#include "train/verified.h"

enum { RUNS_MAX = 10000 };

typedef struct {
    char *path;
    uint64_t params, step, steps;
    uint64_t removed;           /* documents, by loam rebuild */
    double loss, bits, seconds; /* bits, seconds: 0 when unknown */
    verified verified;          /* the last verification that the folder notes, and what it is worth now */
    verified_state verification;
    char problem[200]; /* empty: none */
} runs_row;

typedef struct {
    runs_row *row; /* [n] by path */
    size_t n;
} runs_list;

/* The run `folder`, or those in it; only their paths are filled in. Zero-initialise; runs_fini() after any outcome. */
err_code runs_find(runs_list *l, const char *folder, err *e);
void runs_fini(runs_list *l);
/* Fills in the rest; what goes wrong is told in r->problem. */
void runs_look(runs_row *r);
/* {"run": name, "parameters", "step", "steps", "loss", "val_bits_per_byte", "seconds", "removed", "verification",
 * "problem"}; whole: the object is left open, for more members. "verification" is {"state": "never"}, or the members of
 * verified.h without "chain", its state "verified", "differs" or "outdated". */
void runs_row_json(const runs_row *r, str name, bool whole, js_out *j);

/* Curves over steps. */
typedef struct {
    double *x, *y;
    size_t n;
} runs_curve;

typedef struct {
    runs_curve loss;     /* nats a token, of the chain */
    runs_curve held_out; /* bits a byte, of the log */
    runs_curve measured; /* of tuning: the loss on what is held out, nats a token (of pairs: a pair), of the chain */
    runs_curve speed;    /* tokens a second, of the log */
} runs_curves;

/* From the second line of the chain on; empty without chain or log. Zero-initialise; runs_curves_fini() after any
 * outcome. */
err_code runs_curves_read(runs_curves *c, const run *r, err *e);
void runs_curves_fini(runs_curves *c);
/* At most `most` points: neighbours become their mean, the same number in each group but the last. */
void runs_curve_thin(runs_curve *c, size_t most);

/* One run as an object: the row's members and "data" (no path, only its last part), "curves": {"loss": [[step, value],
 * ...], "held_out", of tuning "held_out_loss", "tokens_per_second"} of at most `most` points each, "chain": {"lines",
 * "digest", "weights"}, whose seals hold (none before the first line), and "recipe" as its text stands. */
err_code runs_json(const char *path, str name, size_t most, js_out *j, err *e);

#endif
