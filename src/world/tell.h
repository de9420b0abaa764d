/* tell: a log in English.
 *
 * The same events are told in many ways: sentences of one to three events, pronouns where they can mean one actor only,
 * passives, fronted places, "after" and "before" with the events in either order, direct speech, past or present. At
 * level 1 most sentences are plain. A bare telling (of level 1) says everything in one way: one event a sentence, no
 * pronouns, every thing with its colour, "There was a red ball on the table in the hall."
 *
 * What the text leaves out can be inferred from it: where every actor begins, where every thing begins (at the latest
 * when it is taken), and every event below EV_ACTS with all it is about. So every question of ask.h has its
 * answer in the text.
 */
#ifndef LOAM_WORLD_TELL_H
#define LOAM_WORLD_TELL_H

#include "world/draw.h"
#include "world/pen.h"
#include "world/sim.h"

/* Who and what is where. `all`: things and the state of what opens, nothing left to be inferred (for plans). */
void tell_scene(pen *p, draw *d, const sim_log *log, unsigned level, bool bare, bool all);
/* Scene and events, one paragraph without a line break at its end. `closing`: sums up at the end. */
void tell_story(pen *p, draw *d, const sim_log *log, unsigned level, bool bare, bool closing);

#endif
