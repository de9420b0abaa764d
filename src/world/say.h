/* say: the phrases that stories, questions and plans are made of. Each brings its own blank in front (world/pen.h). */
#ifndef LOAM_WORLD_SAY_H
#define LOAM_WORLD_SAY_H

#include "world/pen.h"
#include "world/sim.h"

void say_thing(pen *p, const sim_house *h, uint8_t thing);        /* " the red ball" */
void say_a_thing(pen *p, const sim_house *h, uint8_t thing);      /* " an orange ball" */
void say_noun(pen *p, const sim_house *h, uint8_t thing);         /* " the ball" */
void say_actor(pen *p, const sim_house *h, uint8_t actor);        /* " Anna", " the robot" */
const char *say_pronoun(const sim_house *h, uint8_t actor);       /* "she" */
const char *say_pronoun_obj(const sim_house *h, uint8_t actor);   /* "her" */
void say_room(pen *p, const sim_house *h, uint8_t room);          /* " the kitchen" */
void say_in_room(pen *p, const sim_house *h, uint8_t room);       /* " in the kitchen" */
void say_fixture(pen *p, const sim_house *h, uint8_t fixture);    /* " the table" */
void say_at_fixture(pen *p, const sim_house *h, uint8_t fixture); /* " on the table" */
void say_place(pen *p, const sim_house *h, uint8_t thing);        /* " on the table", " on the floor", " with Anna" */
/* What the actor did, in the past and in one fixed wording, with the house as it was before: " put the red ball in the
 * box". Of events below EV_ACTS. */
void say_act(pen *p, const sim_house *before, const sim_event *ev);

#endif
