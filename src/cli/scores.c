/* scores: see scores.h. */
#include "cli/scores.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/out.h"
#include "gen/paired.h"
#include "kern/math64.h"

enum { RESAMPLE_SEED = 1 };

static score_column *column_of(score_table *s, const char *name, const char *exp_name, bool is_share) {
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->column[i].name, name) == 0)
            return &s->column[i];
    score_column *c = &s->column[s->n++];
    *c = (score_column){.name = name, .exp_name = exp_name, .is_share = is_share};
    return c;
}

static err_code add(score_column *c, double x, double weight, err *e) {
    if (c->n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 256;
        double *v = realloc(c->x, cap * sizeof *v);
        c->x = v ? v : c->x;
        double *w = v ? realloc(c->weight, cap * sizeof *w) : NULL;
        c->weight = w ? w : c->weight;
        if (!w)
            return err_set(e, ERR_MEMORY, "no memory for the scores of %zu items", cap);
        c->cap = cap;
    }
    c->x[c->n] = x;
    c->weight[c->n++] = weight;
    return ERR_OK;
}

err_code scores_right(score_table *s, const char *name, bool right, err *e) {
    return add(column_of(s, name, NULL, true), right, 1, e);
}

err_code scores_ratio(score_table *s, const char *name, const char *exp_name, double x, double weight, err *e) {
    return add(column_of(s, name, exp_name, false), x, weight, e);
}

void scores_fini(score_table *s) {
    for (size_t i = 0; i < s->n; i++) {
        free(s->column[i].x);
        free(s->column[i].weight);
    }
    *s = (score_table){0};
}

/* ---- one model ---- */

static uint64_t n_right(const score_column *c) {
    uint64_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        n += c->x[i] != 0;
    return n;
}

static err_code summary(const score_column *c, paired_result *r, err *e) {
    *r = (paired_result){0};
    if (!c->is_share)
        return paired_ratios(c->x, c->weight, NULL, NULL, c->n, RESAMPLE_SEED, r, e);
    r->a = (double)n_right(c) / (double)c->n;
    paired_wilson(n_right(c), c->n, &r->low, &r->high);
    return ERR_OK;
}

err_code scores_print(const score_table *s, err *e) {
    out_printf("%-14s %7s %7s   %8s   %s\n", "score", "right", "of", "value", "95 % interval");
    for (size_t i = 0; i < s->n; i++) {
        const score_column *c = &s->column[i];
        paired_result r;
        TRY(summary(c, &r, e));
        if (c->is_share)
            out_printf("%-14s %7llu %7zu   %6.1f %%   %.1f to %.1f %%\n", c->name, (unsigned long long)n_right(c), c->n,
                       100 * r.a, 100 * r.low, 100 * r.high);
        else
            out_printf("%-14s %7s %7zu   %8.5f   %.5f to %.5f\n", c->name, "", c->n, r.a, r.low, r.high);
        if (c->exp_name)
            out_printf("%-14s %7s %7zu   %8.4f   %.4f to %.4f\n", c->exp_name, "", c->n, kern_exp64(r.a),
                       kern_exp64(r.low), kern_exp64(r.high));
    }
    return ERR_OK;
}

static void put_real(js_out *j, const char *key, double x) {
    js_key(j, key);
    js_real(j, x, 17);
}

err_code scores_json(const score_table *s, js_out *j, err *e) {
    for (size_t i = 0; i < s->n; i++) {
        const score_column *c = &s->column[i];
        paired_result r;
        TRY(summary(c, &r, e));
        js_key(j, c->name);
        js_begin(j, '{');
        js_put_int(j, "n", (int64_t)c->n);
        if (c->is_share)
            js_put_int(j, "right", (int64_t)n_right(c));
        put_real(j, c->is_share ? "accuracy" : "value", r.a);
        put_real(j, "low", r.low);
        put_real(j, "high", r.high);
        js_end(j, '}');
        if (c->exp_name)
            put_real(j, c->exp_name, kern_exp64(r.a));
    }
    return ERR_OK;
}

/* ---- two models ---- */

typedef struct {
    paired_result r;
    uint64_t only_a, only_b;
} comparison;

static err_code compare(const scores_pair *p, size_t i, comparison *out, err *e) {
    const score_column *a = &p->a->column[i], *b = &p->b->column[i];
    *out = (comparison){0};
    if (p->a->n != p->b->n || strcmp(a->name, b->name) != 0 || a->n != b->n)
        return err_set(e, ERR_MISMATCH, "%s and %s were not asked the same", p->name_a, p->name_b);
    if (!a->is_share)
        return paired_ratios(a->x, a->weight, b->x, b->weight, a->n, RESAMPLE_SEED, &out->r, e);
    uint64_t both = 0;
    for (size_t k = 0; k < a->n; k++) {
        both += a->x[k] != 0 && b->x[k] != 0;
        out->only_a += a->x[k] != 0 && b->x[k] == 0;
        out->only_b += a->x[k] == 0 && b->x[k] != 0;
    }
    out->r = paired_shares(both, out->only_a, out->only_b, a->n - both - out->only_a - out->only_b);
    return ERR_OK;
}

err_code scores_compare_print(const scores_pair *p, err *e) {
    out_printf("A  %s\nB  %s\n%-14s %7s %9s %9s %9s   %-20s %8s\n", p->name_a, p->name_b, "score", "of", "A", "B",
               "B - A", "95 % interval", "p");
    for (size_t i = 0; i < p->a->n; i++) {
        const score_column *c = &p->a->column[i];
        comparison x;
        char interval[64];
        TRY(compare(p, i, &x, e));
        const char *form = c->is_share ? "%+.1f to %+.1f %%" : "%+.5f to %+.5f";
        double scale = c->is_share ? 100 : 1;
        snprintf(interval, sizeof interval, form, scale * x.r.low, scale * x.r.high);
        out_printf(c->is_share ? "%-14s %7zu %7.1f %% %7.1f %% %+7.1f %%   %-20s %8.2g"
                               : "%-14s %7zu %9.5f %9.5f %+9.5f   %-20s %8.2g",
                   c->name, c->n, scale * x.r.a, scale * x.r.b, scale * x.r.difference, interval, x.r.p);
        if (c->is_share)
            out_printf("   only A %llu, only B %llu", (unsigned long long)x.only_a, (unsigned long long)x.only_b);
        out_text(STR("\n"));
    }
    return ERR_OK;
}

err_code scores_compare_json(const scores_pair *p, js_out *j, err *e) {
    for (size_t i = 0; i < p->a->n; i++) {
        const score_column *c = &p->a->column[i];
        comparison x;
        TRY(compare(p, i, &x, e));
        js_key(j, c->name);
        js_begin(j, '{');
        js_put_int(j, "n", (int64_t)c->n);
        put_real(j, "a", x.r.a);
        put_real(j, "b", x.r.b);
        put_real(j, "difference", x.r.difference);
        put_real(j, "low", x.r.low);
        put_real(j, "high", x.r.high);
        put_real(j, "p", x.r.p);
        if (c->is_share) {
            js_put_int(j, "only_a", (int64_t)x.only_a);
            js_put_int(j, "only_b", (int64_t)x.only_b);
        }
        js_end(j, '}');
    }
    return ERR_OK;
}
