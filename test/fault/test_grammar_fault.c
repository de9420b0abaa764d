/* grammar, schema, constraint: any allocation that fails is an error of the call in which it was made, and leaves
 * nothing behind (make san); what is asked again afterwards is answered as ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "fault/fault.h"
#include "gen/constraint.h"
#include "gen/thinking.h"
#include "text/gbnf.h"
#include "text/schema.h"

enum { N = 5 };
static const str texts[N] = {{"{", 1}, {"}", 1}, {"\"a\":", 4}, {"1", 1}, {"", 0}};
static const bool is_end[N] = {[4] = true};

static void compiling(void **state) {
    (void)state;
    FAULT_EACH(FAULT_MEMORY, 2000) {
        grammar *g = NULL;
        err e = {0};
        err_code code = gbnf_compile(&g, STR("root ::= (\"a\" | [^b-z\xc3\xa9]{2,3} r)* \"c\"\nr ::= . r?"), &e);
        fault_end(code == ERR_OK);
        assert_int_equal(code == ERR_OK, g != NULL);
        assert_true(code == ERR_OK || code == ERR_MEMORY);
        grammar_close(g);
    }
}

/* A thought before a form: the form's grammar is replaced, or stays as it was. */
static void thoughts(void **state) {
    (void)state;
    FAULT_EACH(FAULT_MEMORY, 2000) {
        grammar *g = NULL, *before;
        err e = {0};
        fault.armed = false;
        assert_int_equal(gbnf_compile(&g, STR("root ::= \"a\" [b-d]*"), &e), ERR_OK);
        before = g;
        fault.armed = true;
        err_code code = thinking_grammar(&thinking_formats[0], THINKING_MAY_BEGIN, &g, &e);
        fault_end(code == ERR_OK);
        assert_int_equal(code == ERR_OK, g != before);
        assert_true(code == ERR_OK || code == ERR_MEMORY);
        grammar_close(g);
    }
}

static err_code hear(void *ctx, bool thought, str text, err *e) {
    (void)e;
    *(size_t *)ctx += text.n + thought;
    return ERR_OK;
}

static void telling_apart(void **state) {
    (void)state;
    FAULT_EACH(FAULT_MEMORY, 100) {
        thinking k;
        err e = {0};
        size_t heard = 0;
        thinking_init(&k, &thinking_formats[0], THINKING_MAY_BEGIN, hear, &heard);
        err_code code = thinking_feed(&k, STR("<think>\nI see"), &e);
        if (code == ERR_OK)
            code = thinking_feed(&k, STR(".</think> It is noon."), &e);
        if (code == ERR_OK)
            code = thinking_end(&k, &e);
        fault_end(code == ERR_OK);
        assert_true(code == ERR_OK ? heard > 0 : code == ERR_MEMORY);
        thinking_fini(&k);
    }
}

/* jansson's own allocations come through here, too. A merge that lost a part would allow more. */
static void schemas(void **state) {
    (void)state;
    err e = {0};
    json_t *schema;
    json_set_alloc_funcs(malloc, free);
    assert_int_equal(
        json_read(STR("{\"allOf\": [{\"properties\": {\"a\": {\"type\": \"integer\", \"minimum\": 3}, \"b\": "
                      "{\"pattern\": \"^a[^b]$\"}, \"c\": {\"enum\": [1, 2, 3]}}, \"required\": [\"b\"], \"type\": "
                      "[\"null\", \"object\"]}, {\"$ref\": \"#/$defs/d\"}], \"additionalProperties\": {}, \"$defs\": "
                      "{\"d\": {\"required\": [\"a\", \"c\"], \"type\": \"object\", \"properties\": {\"c\": {\"enum\": "
                      "[2, 3, 4]}}}}, \"x-d\": 1}"),
                  1 << 16, &schema, &e),
        ERR_OK);
    FAULT_EACH(FAULT_MEMORY, 3000) {
        grammar *g = NULL;
        err_code code = schema_compile(&g, schema, STR("<"), STR(">"), &e);
        fault_end(code == ERR_OK);
        assert_true(code == ERR_OK || code == ERR_MEMORY);
        grammar_close(g);
    }
    json_decref(schema);
}

static void masks(void **state) {
    (void)state;
    FAULT_EACH(FAULT_MEMORY, 2000) {
        grammar *g = NULL;
        token_tree *tree = NULL;
        constraint *c = NULL;
        constraint_cursor k = {0};
        float logits[N] = {0};
        bool complete;
        err e = {0};
        fault.armed = false;
        assert_int_equal(gbnf_compile(&g, STR("root ::= \"{\" (\"\\\"a\\\":\" [0-9]+ \",\"?)* \"}\""), &e), ERR_OK);
        fault.armed = true;
        err_code code = token_tree_of(&tree, texts, is_end, N, &e);
        if (code == ERR_OK)
            code = constraint_open(&c, g, tree, &e);
        else
            grammar_close(g);
        if (code == ERR_OK)
            constraint_begin(c, &k);
        if (code == ERR_OK)
            code = constraint_mask(&k, logits, N, &e);
        if (code == ERR_OK)
            code = constraint_take(&k, 0, &complete, &e);
        fault_end(code == ERR_OK);
        assert_true(code == ERR_OK || code == ERR_MEMORY);
        if (k.c && code != ERR_OK) { /* nothing is half done */
            assert_int_equal(constraint_mask(&k, logits, N, &e), ERR_OK);
            assert_int_equal(constraint_take(&k, 0, &complete, &e), ERR_OK);
        }
        constraint_end(&k);
        constraint_close(c);
        token_tree_close(tree);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compiling), cmocka_unit_test(thoughts), cmocka_unit_test(telling_apart),
        cmocka_unit_test(schemas),   cmocka_unit_test(masks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
