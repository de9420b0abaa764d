/* fact: what is so in the whole world, and stands in known documents only.
 *
 * 96 facts: eight relations with twelve subjects each. Subjects are things (the red lamp), people (Pella) and towns
 * (Velmora) that no story mentions. The answers of a relation are a permutation of twelve, drawn from the seed: a guess
 * is right one time in twelve, and another seed is another world.
 *
 * A fact is stated in four wordings and asked in four. One wording of the question is kept for testing: no train
 * document asks this fact in it, but other facts of the relation are asked in it.
 */
#ifndef LOAM_WORLD_FACT_H
#define LOAM_WORLD_FACT_H

#include "world/draw.h"
#include "world/pen.h"

enum {
    FACT_RELATIONS = 8,
    FACT_SUBJECTS = 12,
    FACTS = FACT_RELATIONS * FACT_SUBJECTS,
    FACT_WORDINGS = 4,
    FACT_ID_BYTES = 16
};

/* fact: 0 to FACTS-1. */
void fact_id(unsigned fact, char id[FACT_ID_BYTES]); /* "maker-03" */
const char *fact_relation(unsigned fact);            /* "maker": also the topic of its documents */
unsigned fact_test_wording(unsigned fact);
void fact_state(pen *p, uint64_t seed, unsigned fact, unsigned wording);    /* "Pella made the red lamp." */
void fact_question(pen *p, uint64_t seed, unsigned fact, unsigned wording); /* "Who made the red lamp?" */
void fact_answer(pen *p, uint64_t seed, unsigned fact);                     /* "Pella." */

#endif
