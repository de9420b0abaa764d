/* schedule: see schedule.h. */
#include "train/schedule.h"

#include <assert.h>
#include <string.h>

static const char *const names[SCHEDULE_COUNT] = {"cosine", "linear", "constant", "wsd"};

const char *schedule_name(schedule_kind k) { return names[k]; }

int schedule_by_name(const char *name) {
    for (int i = 0; i < SCHEDULE_COUNT; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

/* cos(pi/2 t) for t in [0, 1]: Taylor's series to x^22 by Horner's rule; the next term is below 2^-63. */
static double cos_quarter(double t) {
    double x = 0x1.921fb54442d18p+0 * t, z = x * x, p = 1.0;
    for (int i = 22; i >= 2; i -= 2)
        p = 1.0 - p * z / (double)(i * (i - 1));
    return p;
}

double schedule_at(const schedule *s, uint64_t step) {
    assert(step >= 1 && step <= s->steps && s->warmup <= s->steps && s->cooldown <= s->steps - s->warmup);
    if (step <= s->warmup)
        return s->lr * (double)step / (double)s->warmup;
    double t = (double)(step - 1 - s->warmup) / (double)(s->steps - s->warmup);
    double range = s->lr - s->min_lr, c;
    uint64_t stable = s->steps - s->cooldown;
    switch (s->kind) {
    case SCHEDULE_COSINE:
        c = cos_quarter(t);
        return s->min_lr + range * (c * c);
    case SCHEDULE_LINEAR:
        return s->min_lr + range * (1.0 - t);
    case SCHEDULE_WSD:
        if (step > stable)
            return s->min_lr + range * (1.0 - (double)(step - 1 - stable) / (double)s->cooldown);
        return s->lr;
    default:
        return s->lr;
    }
}
