/* evaluate: the tasks of `loam eval`, and evaluations for other commands. */
#ifndef LOAM_CLI_EVALUATE_H
#define LOAM_CLI_EVALUATE_H

#include "cli/load.h"
#include "cli/scores.h"

extern const char *const eval_task_names[]; /* ends with NULL */

/* Appends what `loam eval PATH homeworld --json` prints, with its usual numbers of questions. */
err_code eval_homeworld(const char *path, const common_values *common, int64_t seed, const char *mix, strbuf *json,
                        err *e);

/* The task homeworld. */
typedef struct {
    int64_t seed;
    const char *kind, *mix;
} world_values;
extern const option world_options[];
#define WORLD_GROUP(type) \
    { "TASK homeworld", world_options, offsetof(type, world) }
#define WORLD_DEFAULTS \
    { .seed = 1, .kind = "facts,reading,plans", .mix = "full" }

typedef struct {
    const world_values *v;
    const loaded *l;
    int64_t n; /* questions of each kind; 0: the usual number */
    bool verbose, json;
    strbuf *into;        /* where the JSON goes instead of standard output; NULL: there */
    score_table *scores; /* where scores go, and nothing is printed; NULL: a report is */
} world_task;
err_code eval_world(const world_task *k, err *e); /* eval_world.c */

/* Options of the tasks that read a file of items. */
typedef struct {
    bool chat;
    const char *match;
    int64_t tokens, block;
    option_list stop;
} item_values;
extern const option item_options[];
#define ITEM_GROUP(type) \
    { "TASKS perplexity, choices, exact", item_options, offsetof(type, item) }
#define ITEM_DEFAULTS \
    { .match = "exact", .tokens = 64, .block = 4096 }

/* What a task is given. */
typedef struct {
    const item_values *v;
    const talk_values *talk;
    const loaded *l;
    const char *model, *file; /* paths */
    size_t n_max;             /* items; 0: all */
    score_table *s;           /* receives the score_table */
    js_out *items;            /* and what was found of each item, into an array that has begun */
} item_task;

/* Each reads k->file and scores every item in its order. An error names file and line. */
err_code eval_perplexity(const item_task *k, err *e); /* eval_text.c */
err_code eval_choices(const item_task *k, err *e);    /* eval_choices.c */
err_code eval_exact(const item_task *k, err *e);      /* eval_exact.c */

/* ---- for these tasks, in eval_items.c ---- */

/* A template when --chat is given, else an empty talk. The date it is told is fixed: answers must not depend on today.
 */
err_code eval_talk(const item_task *k, talk *out, err *e);

/* The ids of a prompt: as a user's message with the words that open the answer, or as plain text with what the model
 * wants in front. */
err_code eval_prompt(const item_task *k, const talk *t, str prompt, tok_ids *ids, err *e);

/* The lines of k->file, parsed: calls read(ctx, line, number) for each object, at most n_max. */
typedef err_code eval_read(void *ctx, const json_t *line, str text, uint64_t number, err *e);
err_code eval_lines(const item_task *k, eval_read *read, void *ctx, err *e);

/* How many positions items of at most `need` tokens want; what the model was not made for is refused. */
err_code eval_ctx(const item_task *k, size_t need, size_t *ctx_tokens, err *e);

#endif
