/* plan: what the robot is told to do, the language of its steps, and whether steps do it.
 *
 * A task is a house with the robot in it and one to three goals that do not hold yet. A plan is text, a step a line:
 *
 *   1. go to the kitchen            open the fridge           turn on the heater
 *   2. take the red cup             close the fridge          turn off the heater
 *   3. put the red cup in the sink  wash the red cup          give the red cup to Anna
 *
 * Steps are numbered from 1 without gaps. Blanks at the ends of a line and a full stop after a step do not count, empty
 * lines neither; everything else does. plan_check() carries each step out by the rules of sim.h. Any plan that is
 * allowed and reaches all goals is right, however long (up to PLAN_STEPS_MAX).
 */
#ifndef LOAM_WORLD_PLAN_H
#define LOAM_WORLD_PLAN_H

#include "world/pen.h"
#include "world/story.h"

enum { PLAN_STEPS_MAX = 64, PLAN_BYTES_MAX = 8192, PLAN_GOALS_MAX = 3 };

typedef enum { GOAL_PUT, GOAL_GIVE, GOAL_GO, GOAL_OPEN, GOAL_CLOSE, GOAL_ON, GOAL_OFF, GOAL_WASH } plan_goal_kind;

typedef struct {
    uint8_t kind, thing, fixture, actor, room; /* what the kind needs; the others SIM_NONE */
} plan_goal;

typedef struct {
    sim_log log; /* log.start is the house; no events */
    uint8_t robot, n_goals;
    plan_goal goal[PLAN_GOALS_MAX];
    const char *topic; /* "put", "give", ... */
} plan_task;

void plan_draw(draw *d, unsigned level, world_split split, plan_task *task);
/* The situation and the order, up to and with the line "Plan:". */
void plan_prompt(pen *p, draw *d, unsigned level, bool bare, const plan_task *task);
/* The plan that documents give, lines with numbers, then "Done." */
void plan_write(pen *p, const plan_task *task);

/* ERR_OK when the text is a plan that reaches the goals. Else ERR_FORMAT and why: "step 2: the fridge: it is closed
 * already". text may hold any bytes. */
err_code plan_check(const plan_task *task, str text, err *e);

#endif
