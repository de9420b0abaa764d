/* doc: the corpus: document number N of a world, whole.
 *
 * Everything is a function of (seed, mix, split, number): documents can be made in any order, by any number of
 * threads. Which kind a number is, and which fact it states, is known without making it.
 *
 * Numbers come in blocks (480 for `full`, 120 for `tiny`, 480 for `small`); in a block, in an order drawn for it, each
 * fact is the main fact of one document, and the other kinds have fixed shares. Of the fact documents an eighth states
 * one more fact.
 */
#ifndef LOAM_WORLD_DOC_H
#define LOAM_WORLD_DOC_H

#include "world/ask.h"
#include "world/fact.h"
#include "world/plan.h"

/* full: all levels.
 * tiny: short plain stories, short questions, many facts: what a model of a million weights learns in a minute.
 * small: as plain, but mostly questions and orders.
 * bare: the same in the fewest words, answers in whole sentences, and lists (list.h), which are to teach looking up. */
typedef enum { MIX_FULL, MIX_TINY, MIX_SMALL, MIX_BARE, MIXES } world_mix;

typedef enum { DOC_FACT, DOC_QA, DOC_PLAN, DOC_STORY, DOC_LIST, DOC_KINDS } doc_kind;
extern const char *const doc_kind_names[DOC_KINDS];
extern const char *const world_mix_names[MIXES + 1]; /* ends with NULL */
/* The mix of that name; false: none has it. */
bool world_mix_parse(str name, world_mix *mix);

enum { DOC_FACTS_MAX = 2, DOC_QUESTIONS_MAX = 9, DOC_ID_BYTES = 32 };

typedef struct {
    uint64_t seed;
    world_mix mix;
    world_split split;
} world;

typedef struct {
    doc_kind kind;
    unsigned level; /* 1 to 3; 0 for facts and lists */
    const char *topic;
    unsigned n_facts, fact[DOC_FACTS_MAX];
} doc_info;

/* What document `number` is; its topic only when its text is made. */
void doc_look(const world *w, uint64_t number, doc_info *info);
/* Its text too. */
void doc_make(const world *w, uint64_t number, pen *p, doc_info *info);
bool world_mix_is_bare(world_mix mix);
/* The level of a story or plan, with the mix's shares. */
unsigned doc_draw_level(world_mix mix, draw *d);
/* "hw-000017", "hw-test-000017" */
void doc_id(const world *w, uint64_t number, char id[DOC_ID_BYTES]);
/* One line of JSON Lines with its line break, appended. */
err_code doc_line(const world *w, uint64_t number, strbuf *out, err *e);

#endif
