/* openness: how complete and open a model is, item by item, by two yardsticks.
 *
 *   MOF     Model Openness Framework 1.0 (White et al., arXiv 2403.13784): Class III "open model", Class II "open
 * tooling" (III and the code), Class I "open science" (II and data, preprocessing, checkpoints, a paper). A class is
 *           reached when each of its items is there under an open licence; optional items do not count.
 *   OSAID   Open Source AI Definition 1.0 (Open Source Initiative, 2024-10-28): data information, code, parameters.
 *
 * What is judged is what can be seen from here: YES has been seen, NO is known to be missing, UNKNOWN is not told by
 * the files. Whether things have been published is not checked. Proved by test_card.c.
 */
#ifndef LOAM_CARD_OPENNESS_H
#define LOAM_CARD_OPENNESS_H

#include "card/facts.h"

typedef enum { HAVE_YES, HAVE_PARTLY, HAVE_NO, HAVE_UNKNOWN } card_have;
extern const char *const card_have_names[]; /* "yes", "partly", "no", "unknown" */

enum { OPENNESS_MOF_ITEMS = 17, OPENNESS_OSAID_ITEMS = 10 };

typedef struct {
    const char *name;
    unsigned mof_class; /* 1 to 3; 0 of OSAID's items */
    bool optional;
    card_have have;
    str why; /* what was seen, or what is missing and what to do */
} openness_item;

typedef struct {
    openness_item mof[OPENNESS_MOF_ITEMS];
    openness_item osaid[OPENNESS_OSAID_ITEMS];
    unsigned mof_class; /* 1 to 3, 0: none */
    bool osaid_met;
    size_t osaid_n; /* items that are there */
} openness;

/* Texts live in the facts' arena. */
err_code openness_of(card_facts *f, openness *o, err *e);

#endif
