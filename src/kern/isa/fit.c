/* fit: the searches for scales of quantised blocks, sixteen blocks side by side, one a lane. Contract: kern.h.
 *
 * Each lane does what the reference quantiser does to one block, one operation after another, so its bytes are the
 * reference's in every ISA. A choice is a selection; a lane that has nothing to choose computes on and is overruled.
 */
#include "kern/isa/isa.h"

static const float TINY = 1e-15f; /* a block without a larger element is zero */

/* To the nearest integer, halves to even, for |f| < 2^22; beyond, the low bits of the sum that does it. */
V16_FN v16 nearest(v16 f) {
    v16i u = v16_bits(v16_add(f, v16_set1(12582912.0f))); /* 1.5 * 2^23: the last bit of the sum is worth 1 */
    return v16_from_i(v16i_sub(v16i_and(u, v16i_set1(0x7fffff)), v16i_set1(0x400000)));
}

V16_FN v16 clamp(v16 v, float lo, float hi) { return v16_min(v16_max(v, v16_set1(lo)), v16_set1(hi)); }

/* yes where m, else no, for n rows. */
V16_FN void choose_rows(v16m m, int n, const v16 *yes, v16 *no) {
    for (int i = 0; i < n; i++)
        no[i] = v16_sel(m, yes[i], no[i]);
}

/* q[i] = l[i] + half, 0 where `dead`. */
V16_FN void store_rows(v16m dead, int n, float half, const v16 *l, uint8_t *q) {
    for (int i = 0; i < n; i++)
        v16i_store_s8((int8_t *)q + 16 * i, v16_rint(v16_sel(dead, v16_zero(), v16_add(l[i], v16_set1(half)))));
}

/* Sums of w*x*l and w*l*l: their quotient is the best scale for the integers l. */
typedef struct {
    v16 xl, ll;
} moments;

V16_FN moments moments_add(moments m, v16 w, v16 x, v16 l) {
    return (moments){v16_add(m.xl, v16_mul(v16_mul(w, x), l)), v16_add(m.ll, v16_mul(v16_mul(w, l), l))};
}

V16_FN v16 weight_of(const float *x, const float *w, int i) {
    v16 v = v16_load(x + 16 * i);
    return w ? v16_load(w + 16 * i) : v16_mul(v, v);
}

V16_FN moments round_all(int n, float half, v16 iscale, const float *x, const float *w, v16 *l) {
    moments m = {v16_zero(), v16_zero()};
    for (int i = 0; i < n; i++) {
        v16 v = v16_load(x + 16 * i);
        l[i] = clamp(nearest(v16_mul(iscale, v)), -half, half - 1);
        m = moments_add(m, weight_of(x, w, i), v, l[i]);
    }
    return m;
}

/* The element of largest size, the first of equals, in *max; its size. */
V16_FN v16 largest(int n, const float *x, v16 *max) {
    v16 size = v16_zero();
    *max = v16_zero();
    for (int i = 0; i < n; i++) {
        v16 v = v16_load(x + 16 * i);
        v16m more = v16_lt(size, v16_abs(v));
        size = v16_sel(more, v16_abs(v), size);
        *max = v16_sel(more, v, *max);
    }
    return size;
}

/* xl / ll, 0 where ll is. */
V16_FN v16 quotient(moments m) {
    return v16_sel(v16_lt(v16_zero(), m.ll), v16_div(m.xl, m.ll), v16_mul(m.ll, v16_zero()));
}

void KERN_FN(fit_signed)(int n, int half, const float *x, const float *w, float *scale, uint8_t *q) {
    v16 max, l[KERN_FIT_MAX], kept[KERN_FIT_MAX];
    v16m dead = v16_lt(largest(n, x, &max), v16_set1(TINY));
    moments m = round_all(n, (float)half, v16_div(v16_set1((float)-half), max), x, w, kept);
    v16 s = quotient(m), best = v16_mul(s, m.xl);
    for (int i = -9; i <= 9; i++) {
        if (i == 0)
            continue;
        m = round_all(n, (float)half, v16_div(v16_set1(-((float)half + 0.1f * (float)i)), max), x, w, l);
        /* ll is 0 only when xl is, and then nothing is better. */
        v16m better = v16_lt(v16_mul(best, m.ll), v16_mul(m.xl, m.xl));
        choose_rows(better, n, l, kept);
        s = v16_sel(better, v16_div(m.xl, m.ll), s);
        best = v16_sel(better, v16_mul(s, m.xl), best);
    }
    v16_store(scale, v16_sel(dead, v16_zero(), s));
    store_rows(dead, n, (float)half, kept, q);
}

/* ---- one element at a time made better ---- */

/* The integer that fits the others best, where it makes the sums better: 1 in those lanes. x: the element. */
V16_FN v16 try_better(moments *m, v16 w, v16 x, v16 *l, float half) {
    v16 one = v16_set1(1), zero = v16_zero();
    moments rest = {v16_sub(m->xl, v16_mul(v16_mul(w, x), *l)), v16_sub(m->ll, v16_mul(v16_mul(w, *l), *l))};
    v16 to = clamp(nearest(v16_div(v16_mul(x, rest.ll), rest.xl)), -half, half - 1);
    moments with = moments_add(rest, w, x, to);
    v16m higher = v16_lt(v16_mul(v16_mul(m->xl, m->xl), with.ll), v16_mul(v16_mul(with.xl, with.xl), m->ll));
    v16 yes = v16_sel(higher, one, zero);
    yes = v16_sel(v16_lt(zero, with.ll), yes, zero);
    yes = v16_sel(v16_lt(zero, v16_abs(v16_sub(to, *l))), yes, zero);
    yes = v16_sel(v16_lt(zero, rest.xl), yes, zero);
    v16m take = v16_lt(zero, yes);
    *l = v16_sel(take, to, *l);
    *m = (moments){v16_sel(take, with.xl, m->xl), v16_sel(take, with.ll, m->ll)};
    return yes;
}

void KERN_FN(fit_step)(int n, int half, const float *x, float *scale, uint8_t *q) {
    v16 max, l[KERN_FIT_MAX], changed = v16_set1(1);
    v16m dead = v16_lt(largest(n, x, &max), v16_set1(TINY));
    moments m = round_all(n, (float)half, v16_div(v16_set1((float)-half), max), x, NULL, l);
    for (int round = 0; round < 5 && v16_hmax(changed) > 0; round++) {
        changed = v16_zero();
        for (int i = 0; i < n; i++)
            changed = v16_max(changed, try_better(&m, weight_of(x, NULL, i), v16_load(x + 16 * i), &l[i], (float)half));
    }
    v16_store(scale, v16_sel(dead, v16_zero(), quotient(m)));
    store_rows(dead, n, (float)half, l, q);
}

/* ---- with a minimum ---- */

/* A range of integers for the elements, from a minimum on. */
typedef struct {
    v16 scale, min;
} range;

V16_FN v16 error_of(const kern_fit_plan *plan, int n, range r, const float *x, const float *w, const v16 *l) {
    v16 sum = v16_zero();
    for (int i = 0; i < n; i++) {
        v16 diff = v16_sub(v16_add(v16_mul(r.scale, l[i]), r.min), v16_load(x + 16 * i));
        v16 size = plan->absolute ? v16_abs(diff) : v16_mul(diff, diff);
        sum = v16_add(sum, v16_mul(v16_load(w + 16 * i), size));
    }
    return sum;
}

/* v may be infinite or no number when the best minimum lies at the maximum. */
V16_FN v16 round_one(bool bounded, float most, v16 v) {
    if (bounded)
        return nearest(v16_sel(v16_lt(v16_zero(), v), v16_min(v, v16_set1(most)), v16_zero()));
    return clamp(nearest(v), 0, most);
}

/* What least squares make of a candidate: integers l[n], sums, and the range that fits them best. */
V16_FN range candidate(const kern_fit_plan *plan, int n, float most, v16 iscale, v16 min, v16 sum_w, v16 sum_x,
                       const float *x, const float *w, v16 *l, v16 *det) {
    v16 sum_l = v16_zero(), sum_ll = v16_zero(), sum_xl = v16_zero();
    for (int i = 0; i < n; i++) {
        v16 v = v16_load(x + 16 * i);
        l[i] = round_one(plan->bounded, most, v16_mul(iscale, v16_sub(v, min)));
        v16 wl = v16_mul(v16_load(w + 16 * i), l[i]);
        sum_l = v16_add(sum_l, wl);
        sum_ll = v16_add(sum_ll, v16_mul(wl, l[i]));
        sum_xl = v16_add(sum_xl, v16_mul(wl, v));
    }
    *det = v16_sub(v16_mul(sum_w, sum_ll), v16_mul(sum_l, sum_l));
    range r = {v16_div(v16_sub(v16_mul(sum_w, sum_xl), v16_mul(sum_x, sum_l)), *det),
               v16_div(v16_sub(v16_mul(sum_ll, sum_x), v16_mul(sum_l, sum_xl)), *det)};
    v16m above = v16_lt(v16_zero(), r.min);
    return (range){v16_sel(above, v16_div(sum_xl, sum_ll), r.scale), v16_sel(above, v16_zero(), r.min)};
}

void KERN_FN(fit_range)(const kern_fit_plan *plan, int n, int most, const float *x, const float *w, float *scale,
                        float *the_min, uint8_t *q) {
    v16 min = v16_load(x), max = min, sum_w = v16_load(w), sum_x = v16_mul(sum_w, min);
    v16 l[KERN_FIT_MAX], kept[KERN_FIT_MAX], det, top = v16_set1((float)most);
    for (int i = 1; i < n; i++) {
        v16 v = v16_load(x + 16 * i), wi = v16_load(w + 16 * i);
        min = v16_min(v, min);
        max = v16_max(v, max);
        sum_w = v16_add(sum_w, wi);
        sum_x = v16_add(sum_x, v16_mul(wi, v));
    }
    min = v16_sel(v16_lt(v16_zero(), min), v16_zero(), min);
    v16m live = v16_lt(min, max);
    v16 first_min = min, iscale = v16_div(top, v16_sub(max, min));
    range r = {v16_div(v16_set1(1), iscale), min};
    for (int i = 0; i < n; i++)
        kept[i] = round_one(false, (float)most, v16_mul(iscale, v16_sub(v16_load(x + 16 * i), min)));
    v16 best = error_of(plan, n, r, x, w, kept);
    for (int step = 0; step <= plan->n_steps; step++) {
        /* The range goes on from the best minimum so far. */
        iscale = v16_div(v16_set1(plan->first + plan->step * (float)step + (float)most), v16_sub(max, r.min));
        range next = candidate(plan, n, (float)most, iscale, r.min, sum_w, sum_x, x, w, l, &det);
        v16 error = v16_sel(v16_lt(v16_zero(), det), error_of(plan, n, next, x, w, l), v16_set1(__builtin_inff()));
        v16m better = v16_lt(error, best);
        choose_rows(better, n, l, kept);
        best = v16_sel(better, error, best);
        r = (range){v16_sel(better, next.scale, r.scale), v16_sel(better, next.min, r.min)};
    }
    for (int i = 0; i < n; i++)
        kept[i] = v16_sel(live, kept[i], v16_zero());
    v16_store(scale, v16_sel(live, r.scale, v16_zero()));
    v16_store(the_min, v16_neg(v16_sel(live, r.min, first_min)));
    store_rows(v16_lt(v16_zero(), v16_zero()), n, 0, kept, q);
}
