/* story: what happens: a house is furnished and its people carry things about, for reasons.
 *
 * A story is a chain of episodes (fetching, giving, hiding, tidying, ...). Each is a few events that the rules of
 * sim.h allow. Levels 1 to 3 have more rooms, people, things and kinds of episodes.
 *
 * The two splits are disjoint by construction: whenever a thing is put down or handed over, or the robot is sent
 * somewhere, the quadruple (who, kind of thing, colour, room) belongs to one split by a fixed hash, an eighth of them
 * to `test`. A story has at least one such event and all of them are of its own split, so no story, and no question
 * that depends on such an event, can stand in both.
 */
#ifndef LOAM_WORLD_STORY_H
#define LOAM_WORLD_STORY_H

#include "world/draw.h"
#include "world/sim.h"

typedef enum { SPLIT_TRAIN, SPLIT_TEST } world_split;
enum { LEVEL_MIN = 1, LEVEL_MAX = 3 };

/* Whose quadruple it is. who: row of word_people or ROBOT; noun: of word_things, or SIM_NONE and then colour is free to
 * name what is meant; room: row of word_rooms. */
world_split story_split_of(unsigned who, unsigned noun, unsigned colour, unsigned room);

/* A furnished house with people, without events. */
void story_furnish(draw *d, unsigned level, bool with_robot, sim_house *h);

/* A story; *topic names its first episode ("gift"). */
void story_make(draw *d, unsigned level, world_split split, sim_log *log, const char **topic);

#endif
