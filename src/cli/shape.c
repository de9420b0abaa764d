/* shape: see shape.h. */
#include "cli/shape.h"

#include "cli/load.h"
#include "text/gbnf.h"
#include "text/schema.h"

#define AT(field) offsetof(shape_values, field)
const option shape_options[] = {
    {"grammar", 0, OPT_TEXT, "FILE", "answers are texts of this grammar (GBNF, doc/structured.md)", AT(grammar), 0, 0,
     NULL},
    {"json-schema", 0, OPT_TEXT, "FILE|JSON", "answers are JSON that this schema allows; {} allows any", AT(schema), 0,
     0, NULL},
    {0},
};
#undef AT

static err_code compile_schema(grammar **g, str text, const char *where, err *e) {
    json_t *schema;
    err_code code = json_read(text, SCHEMA_GRAMMAR_BYTES_MAX, &schema, e);
    if (code == ERR_OK) {
        code = schema_compile(g, schema, (str){0}, (str){0}, e);
        json_decref(schema);
    }
    return code == ERR_OK ? code : err_in(e, code, "%s", where);
}

static err_code compile(const shape_values *v, grammar **g, err *e) {
    const char *path = v->grammar ? v->grammar : v->schema, *at = path;
    strbuf text = {.max = LOAD_TEXT_BYTES_MAX};
    if (v->grammar && v->schema)
        return err_set(e, ERR_USAGE, "--grammar and --json-schema exclude each other");
    while (*at == ' ' || *at == '\n')
        at++;
    if (v->schema && *at == '{')
        return compile_schema(g, str_from(at), "--json-schema", e);
    err_code code = load_text(path, &text, e);
    if (code == ERR_OK && v->schema)
        code = compile_schema(g, strbuf_str(&text), path, e);
    else if (code == ERR_OK && (code = gbnf_compile(g, strbuf_str(&text), e)) != ERR_OK)
        err_in(e, code, "%s", path);
    strbuf_fini(&text);
    return code;
}

err_code shape_open(shape *s, const shape_values *v, const tokenizer *t, bool special, err *e) {
    grammar *g = NULL;
    if (!v->grammar && !v->schema)
        return ERR_OK;
    TRY(compile(v, &g, e));
    err_code code = token_tree_open(&s->tree, t, special, e);
    if (code == ERR_OK)
        return constraint_open(&s->c, g, s->tree, e);
    grammar_close(g);
    return code;
}

constraint_cursor *shape_begin(shape *s) {
    if (!s->c)
        return NULL;
    constraint_end(&s->place);
    constraint_begin(s->c, &s->place);
    return &s->place;
}

void shape_close(shape *s) {
    constraint_end(&s->place);
    constraint_close(s->c);
    token_tree_close(s->tree);
    *s = (shape){0};
}
