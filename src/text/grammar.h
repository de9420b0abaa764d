/* grammar: a context-free grammar, first as a tree of expressions, then as a program over bytes.
 *
 * A tree is built rule by rule (gbnf.h reads one from text); grammar_compile() checks it and makes of it a program for
 * text/automaton.h. Characters become sequences of UTF-8 bytes, so half a character is a state like any other.
 *
 *   BYTES  a byte of a set, then the next instruction   CALL   of a rule; behind it is where it returns to
 *   JUMP   to a                                         RETURN
 *   SPLIT  to a and to b                                LOOP   a frame that counts: body behind it, exit at c
 *                                                       AGAIN  the end of a body: one more round
 *
 * What compiling refuses: a rule that is not defined, one that begins with itself (left recursion), and a root that can
 * never come to an end. An alternative that can never come to an end is left out, so in the compiled grammar every
 * beginning of a text can be completed. Repetitions count (a LOOP), they are not written out: x{1,1000000} is small.
 * Proved by test_grammar.c, fuzz_gbnf.c.
 */
#ifndef LOAM_TEXT_GRAMMAR_H
#define LOAM_TEXT_GRAMMAR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum {
    GRAMMAR_RULES_MAX = 1 << 14,
    GRAMMAR_NODES_MAX = 1 << 19,  /* expressions of all rules */
    GRAMMAR_OPS_MAX = 1 << 20,    /* instructions */
    GRAMMAR_NESTING_MAX = 128,    /* expressions within expressions; rules may refer to each other without end */
    GRAMMAR_REPEAT_MAX = 1 << 24, /* the largest count of a repetition */
    GRAMMAR_STEPS_MAX = 1 << 24   /* of checking; a tree that needs more is tangled on purpose */
};
#define GRAMMAR_NO_END UINT32_MAX /* max of a repetition without one */

/* ---- the tree ---- */

typedef struct {
    int32_t first, last; /* code points, both included; surrogates among them are left out */
} grammar_range;

typedef enum { GRAMMAR_TEXT, GRAMMAR_SET, GRAMMAR_RULE, GRAMMAR_SEQUENCE, GRAMMAR_CHOICE, GRAMMAR_REPEAT } grammar_kind;

/* An expression. Children of a sequence, a choice, a repetition: `child`, then `next` of each; 0: no more. */
typedef struct {
    grammar_kind kind;
    uint32_t child, last, next;
    uint32_t a, b; /* TEXT, SET: from, n in bytes or ranges; RULE: its number; REPEAT: min, max */
} grammar_node;

typedef struct {
    str name;      /* borrowed */
    uint32_t body; /* 0: not defined */
} grammar_rule;

/* Zero-initialise; grammar_tree_fini() frees. Expressions are numbers from 1. */
typedef struct {
    grammar_node *node;
    uint32_t n_nodes, cap_nodes;
    grammar_rule *rule;
    uint32_t n_rules, cap_rules;
    uint32_t *slot; /* open addressing over rules by name: number + 1 */
    uint32_t n_slots;
    grammar_range *range;
    uint32_t n_ranges, cap_ranges;
    strbuf bytes;
} grammar_tree;

void grammar_tree_fini(grammar_tree *t);
/* The number of the rule so named, a new one when there is none. */
err_code grammar_rule_named(grammar_tree *t, str name, uint32_t *rule, err *e);
err_code grammar_add(grammar_tree *t, grammar_kind kind, uint32_t a, uint32_t b, uint32_t *out, err *e);
err_code grammar_add_text(grammar_tree *t, str text, uint32_t *out, err *e);
/* Ranges in any order, overlapping or not; none: nothing matches. */
err_code grammar_add_set(grammar_tree *t, const grammar_range *range, size_t n, bool negated, uint32_t *out, err *e);
void grammar_append(grammar_tree *t, uint32_t parent, uint32_t child);

/* ---- the program ---- */

typedef enum {
    GRAMMAR_OP_BYTES,
    GRAMMAR_OP_JUMP,
    GRAMMAR_OP_SPLIT,
    GRAMMAR_OP_CALL,
    GRAMMAR_OP_RETURN,
    GRAMMAR_OP_LOOP,
    GRAMMAR_OP_AGAIN
} grammar_opcode;

typedef struct {
    grammar_opcode op;
    uint32_t a, b, c; /* BYTES: number of the set; JUMP, CALL: target; SPLIT: two; LOOP: min, max, exit */
} grammar_op;

typedef struct {
    uint64_t bit[4];
} grammar_bytes;

/* Immutable: any number of threads may read it. */
typedef struct {
    grammar_op *op;
    uint32_t n_ops, cap_ops, start;
    grammar_bytes *set;
    uint32_t n_sets, cap_sets;
} grammar;

static inline bool grammar_has(const grammar_bytes *s, unsigned char byte) {
    return s->bit[byte >> 6] >> (byte & 63) & 1;
}

err_code grammar_compile(grammar **out, const grammar_tree *t, str root, err *e);
void grammar_close(grammar *g); /* NULL allowed */
/* The texts of a, each with one of b behind it; both stay as they are. */
err_code grammar_sequence(grammar **out, const grammar *a, const grammar *b, err *e);

#endif
