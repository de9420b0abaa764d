/* quiz: a model is asked, and its answers are judged against the world's truth. No model is needed here.
 *
 *   facts     question i asks fact i in the wording that no train document asks it in; from FACTS on in the others.
 *             Right: the answer's words.
 *   reading   question i is asked about a story of the test split. Right: the answer's words.
 *   plans     order i of the test split. Right: steps that the simulator can carry out and that reach the goals.
 *
 * Item i is a function of (seed, mix, kind, i). Words are compared after folding case, blanks and a last full stop.
 */
#ifndef LOAM_WORLD_QUIZ_H
#define LOAM_WORLD_QUIZ_H

#include "world/doc.h"

typedef enum { QUIZ_FACTS, QUIZ_READING, QUIZ_PLANS, QUIZ_KINDS } quiz_kind;
extern const char *const quiz_kind_names[QUIZ_KINDS + 1]; /* ends with NULL */

enum { QUIZ_ID_BYTES = 32 };

typedef struct {
    quiz_kind kind;
    char id[QUIZ_ID_BYTES]; /* "maker-03", "reading-17", "plan-17" */
    const char *type;       /* "maker", "where", "put" */
    unsigned level;         /* 1 to 3; 0 for facts */
    double chance;          /* of a reader who guesses among what there is in the story; 0 for plans */
    pen prompt;             /* ends with "A:" or "Plan:\n" */
    pen want;               /* "In the kitchen.", or a plan that is right */
    plan_task task;         /* plans only */
} quiz_item;

/* How many there are: FACTS * FACT_WORDINGS, or so many that nobody asks them all. */
uint64_t quiz_count(quiz_kind kind);
unsigned quiz_usual(quiz_kind kind); /* how many are asked when nobody says how many */
/* What an answer ends with, and how many tokens one may have. */
const char *quiz_stop(quiz_kind kind);
unsigned quiz_tokens_max(quiz_kind kind);

/* i below quiz_count(). The split of w does not matter. */
void quiz_make(const world *w, quiz_kind kind, uint64_t i, quiz_item *q);
/* Is the answer right? If not, *why says what is wrong; it may be NULL. answer: any bytes, without the stop. */
bool quiz_right(const quiz_item *q, str answer, err *why);

#endif
