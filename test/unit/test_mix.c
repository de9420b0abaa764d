/* mix: every mix chooses the formats that llama.cpp's quantiser chooses (test/golden/mix.py), for models of every
 * family, shape by shape, with and without importances. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "model/mix.h"

typedef struct {
    model_config c;
    bool fused;
} shape;

/* "shape ARCH layers L heads H/G width D feed-forward F head K tied|untied" */
static shape read_shape(const char *line) {
    shape s = {.fused = false};
    char family[32], tied[16];
    model_config *c = &s.c;
    assert_int_equal(sscanf(line, "shape %31s layers %zu heads %zu/%zu width %zu feed-forward %zu head %zu %15s",
                            family, &c->L, &c->H, &c->G, &c->D, &c->F, &c->K, tied),
                     8);
    c->arch = arch_by_gguf(str_from(family));
    if (!c->arch)
        fail_msg("no family %s", family);
    c->tied = strcmp(tied, "tied") == 0;
    s.fused = c->arch->fused;
    return s;
}

/* "ROLE=FORMAT*n,FORMAT..." of the layers' matrices of one role. */
static void tell_role(const mix *x, const shape *s, bool importance, const char *name, tensor_role role, size_t cols,
                      strbuf *out) {
    bool of_layers = role != ROLE_EMBED && role != ROLE_OUTPUT;
    size_t n = of_layers ? s->c.L : 1;
    strbuf_addf(out, NULL, " %s=", name);
    for (size_t i = 0, same = 1; i < n; i += same) {
        dtype type = DTYPE_F32;
        for (same = 0; i + same < n; same++) {
            model_tensor t = {.role = role, .layer = i + same, .rows = 64, .cols = cols, .type = DTYPE_F16};
            dtype this = mix_of(x, &s->c, &t, importance).type;
            if (same > 0 && this != type)
                break;
            type = this;
        }
        strbuf_addf(out, NULL, "%s%s", i ? "," : "", dtype_table[type].name);
        if (same > 1)
            strbuf_addf(out, NULL, "*%zu", same);
    }
}

static void tell(const mix *x, const shape *s, bool importance, strbuf *out) {
    const model_config *c = &s->c;
    size_t o = c->H * c->K;
    const struct {
        const char *name;
        tensor_role role;
        size_t cols;
        bool there;
    } roles[] = {{"embed", ROLE_EMBED, c->D, true},
                 {"output", ROLE_OUTPUT, c->D, !c->tied},
                 {"q", ROLE_Q, c->D, !s->fused},
                 {"k", ROLE_K, c->D, !s->fused},
                 {"v", ROLE_V, c->D, !s->fused},
                 {"qkv", ROLE_QKV, c->D, s->fused},
                 {"o", ROLE_O, o, true},
                 {"gate", ROLE_GATE, c->D, !s->fused},
                 {"up", ROLE_UP, c->D, true},
                 {"down", ROLE_DOWN, c->F, true}};
    out->n = 0;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (roles[i].there)
            tell_role(x, s, importance, roles[i].name, roles[i].role, roles[i].cols, out);
}

static void choices_are_the_reference_s(void **state) {
    (void)state;
    strbuf text = {0}, plain = {0}, got = {0};
    shape s = {.fused = false};
    size_t lines = 0, shapes = 0;
    assert_int_equal(os_read_file("test/golden/mix.txt", 1 << 20, &text, NULL), ERR_OK);
    assert_int_equal(strbuf_addc(&text, 0, NULL), ERR_OK);
    for (char *p = text.p, *end; *p; p = end + 1) {
        end = strchr(p, '\n');
        *end = 0;
        if (strncmp(p, "shape ", 6) == 0) {
            s = read_shape(p);
            shapes++;
            continue;
        }
        char type[16], how[16];
        int used;
        assert_int_equal(sscanf(p, "%15s %15s%n", type, how, &used), 2);
        const mix *x = mix_by_name(type);
        bool importance = strcmp(how, "imatrix") == 0, same = strcmp(p + used, " same") == 0;
        if (!x)
            fail_msg("no mix %s", type);
        tell(x, &s, importance, importance ? &got : &plain);
        str want = same ? strbuf_str(&plain) : str_from(p + used);
        if (!str_eq(strbuf_str(importance ? &got : &plain), want))
            fail_msg("%s %s, %zu layers of %s: got%.*s, want%.*s", type, how, s.c.L, s.c.arch->name,
                     STR_ARG(strbuf_str(importance ? &got : &plain)), STR_ARG(want));
        lines++;
    }
    assert_true(shapes == 15 && lines == shapes * 36);
    strbuf_fini(&text);
    strbuf_fini(&plain);
    strbuf_fini(&got);
}

static void names_and_their_short_forms(void **state) {
    (void)state;
    assert_string_equal(mix_by_name("q4_k")->name, "Q4_K_M");
    assert_string_equal(mix_by_name("Q3_K")->name, "Q3_K_M");
    assert_string_equal(mix_by_name("Q5_K")->name, "Q5_K_M");
    assert_null(mix_by_name("Q9"));
    assert_null(mix_by_name(""));
    char names[512];
    size_t n = 0;
    snprintf(names, sizeof names, "%s", mix_names());
    for (char *rest = names, *name; (name = strsep(&rest, ", ")) != NULL;)
        if (*name) {
            assert_non_null(mix_by_name(name));
            n++;
        }
    assert_int_equal(n, 18);
}

/* What had to give way to the width of rows is told, and what is of little use without importances. */
static void what_was_wanted_is_told(void **state) {
    (void)state;
    model_config c = {.arch = arch_by_gguf(STR("llama")), .L = 8, .H = 4, .G = 4, .D = 512};
    model_tensor t = {.role = ROLE_UP, .layer = 3, .rows = 1, .cols = 320};
    mix_choice x = mix_of(mix_by_name("Q4_K_S"), &c, &t, false);
    assert_true(x.wanted == DTYPE_Q4_K && x.type == DTYPE_Q5_0);
    x = mix_of(mix_by_name("Q2_K_S"), &c, &t, false);
    assert_true(x.wanted == DTYPE_Q2_K && x.type == DTYPE_Q4_0 && !x.needs);
    t.cols = 512;
    assert_true(mix_of(mix_by_name("Q2_K_S"), &c, &t, true).needs);
    assert_false(mix_of(mix_by_name("Q2_K"), &c, &t, false).needs);
    t.role = ROLE_EMBED;
    assert_false(mix_of(mix_by_name("Q2_K_S"), &c, &t, false).needs);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choices_are_the_reference_s),
        cmocka_unit_test(names_and_their_short_forms),
        cmocka_unit_test(what_was_wanted_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
