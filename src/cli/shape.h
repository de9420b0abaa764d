/* shape: the options by which an answer must have a form: --grammar, --json-schema. */
#ifndef LOAM_CLI_SHAPE_H
#define LOAM_CLI_SHAPE_H

#include "cli/options.h"
#include "gen/constraint.h"

typedef struct {
    const char *grammar; /* a file in GBNF; NULL: none */
    const char *schema;  /* a file, or the schema itself */
} shape_values;
extern const option shape_options[];
#define SHAPE_GROUP(type) \
    { "Form", shape_options, offsetof(type, shape) }

/* Zero-initialise; shape_close() after any outcome. */
typedef struct {
    token_tree *tree;
    constraint *c;
    constraint_cursor place;
} shape;
/* special: control tokens count with their spelling. */
err_code shape_open(shape *s, const shape_values *v, const tokenizer *t, bool special, err *e);
constraint_cursor *shape_begin(shape *s); /* for one answer; NULL: any form */
void shape_close(shape *s);

#endif
