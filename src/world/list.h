/* list: what is where, in few words, and then again.
 *
 *     List: red ball: table; blue cup: shelf.    There was a red ball on the table. There was a blue cup on the shelf.
 *     A: blue cup: shelf.                        Q: Where is the blue cup?
 *     A: red ball: table.                        A: The blue cup is on the shelf.
 *
 * To look up a thing by its name is the skill that stories need most and teach worst: a small model guesses among the
 * places of a story for long. In a list the two words stand side by side at first, then ever further apart, up to the
 * sentences and questions of a bare story: what stands close is meant to be learned first and to lead to the next. What
 * lists have taught so far, and what not, is in doc/homeworld.md.
 */
#ifndef LOAM_WORLD_LIST_H
#define LOAM_WORLD_LIST_H

#include "world/draw.h"
#include "world/pen.h"

/* A list of its own; topic: what it relates, "place", "room", "holder" or "colour". */
void list_write(draw *d, pen *p, const char **topic);

#endif
