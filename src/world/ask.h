/* ask: questions about a story, and their answers.
 *
 * A question is a row of the table in ask.c and what it is about. Every question that ask_draw() gives has exactly one
 * right answer in the log, and the text of tell.h lets a reader find it. Answers are a few words in one fixed form: "In
 * the kitchen." "With Anna." "She opened the box."
 */
#ifndef LOAM_WORLD_ASK_H
#define LOAM_WORLD_ASK_H

#include "world/draw.h"
#include "world/pen.h"
#include "world/sim.h"

#define ASK_TYPES(X)                                                                     \
    X(where)      /* thing: Where is the red ball? On the table. With Anna. */           \
    X(actor)      /* actor: Where is Anna? In the kitchen. */                            \
    X(has)        /* thing in a hand: Who has the red ball? Anna. */                     \
    X(colour)     /* thing, the only one of its noun: What colour is the ball? Red. */   \
    X(room)       /* thing: Which room is the red ball in? In the kitchen. */            \
    X(who_did)    /* event: Who opened the box? Anna. */                                 \
    X(gave_to)    /* event: Who did Anna give the red ball to? Ben. */                   \
    X(what_at)    /* fixture with one thing: What is on the table? The red ball. */      \
    X(what_has)   /* actor with one thing: What does Anna have? The red ball. */         \
    X(who_in)     /* room with one actor: Who is in the kitchen? Anna. */                \
    X(count_at)   /* fixture: How many things are on the table? Two. */                  \
    X(count_held) /* actor: How many things does Anna have? None. */                     \
    X(first)      /* thing: Where was the red ball at first? On the table. */            \
    X(was_before) /* event: Where was Anna before she went to the hall? In the study. */ \
    X(did_after)  /* event: What did Anna do after she opened the box? She took ... */   \
    X(did_before) /* event: likewise */                                                  \
    X(is_open)    /* fixture: Is the box open? Yes. */                                   \
    X(is_in)      /* actor, room: Is Anna in the kitchen? No. */                         \
    X(why)        /* event: Why did Anna go to the hall? To get the red ball. */

typedef enum {
#define X(name) ASK_##name,
    ASK_TYPES(X)
#undef X
        ASK_N
} ask_type;

extern const char *const ask_names[ASK_N];

typedef struct {
    uint8_t type;
    uint8_t of;      /* index of the thing, actor, fixture, room or event, as the type says */
    uint8_t room;    /* ASK_is_in */
    uint8_t wording; /* row among the type's wordings */
    bool whole; /* the answer to where, actor, room and colour is a whole sentence: "The red ball is on the table." */
} question;

/* A question about the log whose type fits the level; false when there is none. Types by weight, then what it is about.
 */
bool ask_draw(draw *d, const sim_log *log, unsigned level, question *q);
bool ask_valid(const sim_log *log, ask_type type, uint8_t of);    /* has this question exactly one answer? */
void ask_question(pen *p, const sim_log *log, const question *q); /* "Where is the red ball?" */
void ask_answer(pen *p, const sim_log *log, const question *q);   /* "On the table." */
/* How many answers a reader would choose from who knows only what there is in the story: chance is one in so many. */
unsigned ask_choices(const sim_log *log, const question *q);

#endif
