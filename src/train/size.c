/* size: see size.h. */
#include "train/size.h"

#include <stdlib.h>
#include <string.h>

#include "kern/math64.h"

err_code size_parse(const char *text, uint64_t *params, err *e) {
    static const struct {
        const char *name;
        uint64_t params;
    } named[] = {{"tiny", 600000}, {"small", 5000000}, {"medium", 30000000}, {"large", 120000000}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (strcmp(text, named[i].name) == 0) {
            *params = named[i].params;
            return ERR_OK;
        }
    char *end;
    double x = *text >= '0' && *text <= '9' ? strtod(text, &end) : 0;
    if (x > 0) {
        static const char units[] = "kMG";
        const char *unit = *end ? strchr(units, *end) : NULL;
        for (const char *u = units; unit && u <= unit; u++)
            x *= 1000;
        if (*end && (!unit || end[1]))
            x = 0;
    }
    if (!(x >= 1e4 && x <= 1e10))
        return err_set(e, ERR_USAGE,
                       "--size %s: must be tiny, small, medium, large, or a number of parameters from 10k to 10G",
                       text);
    *params = (uint64_t)x;
    return ERR_OK;
}

uint64_t size_params(const recipe *r) {
    uint64_t D = r->model.width, q = r->model.heads * r->model.head_width, g = r->model.kv_heads * r->model.head_width;
    const arch *a = arch_by_name(str_from(r->model.arch));
    uint64_t norms = (a && a->norm == NORM_SANDWICH ? 4 : 2) * D;
    if (a && a->qk != QK_NORM_NONE)
        norms += a->qk == QK_NORM_HEAD ? 2 * r->model.head_width : q + g;
    if (a && a->qkv_bias)
        norms += q + 2 * g;
    uint64_t layer = 2 * D * q + 2 * D * g + 3 * D * r->model.ff + norms;
    return r->model.vocab * D * (r->model.tied ? 1 : 2) + D + r->model.layers * layer;
}

static uint64_t at_least(uint64_t x, uint64_t least) { return x > least ? x : least; }

void size_width(recipe *r, uint64_t width) {
    r->model.width = width;
    r->model.head_width = width < 512 ? 32 : 64;
    if (r->model.head_width > width)
        r->model.head_width = width;
    r->model.heads = at_least(width / r->model.head_width, 1);
    r->model.kv_heads = r->model.heads % 2 ? r->model.heads : r->model.heads / 2;
    r->model.layers = at_least((width + 20) / 40, 2);
    if (r->model.layers > 48)
        r->model.layers = 48;
    r->model.ff = (width * 8 / 3 + 15) / 16 * 16;
}

void size_shape(recipe *r, uint64_t params) {
    uint64_t best = 32, gap = UINT64_MAX;
    for (uint64_t width = 32; width <= 8192; width += 32) {
        size_width(r, width);
        uint64_t n = size_params(r), g = n > params ? n - params : params - n;
        if (g < gap) {
            gap = g;
            best = width;
        }
    }
    size_width(r, best);
}

/* Two digits. */
static double rounded(double x) {
    double unit = 1;
    while (x < 10 * unit)
        unit /= 10;
    while (x >= 100 * unit)
        unit *= 10;
    double n = (double)(uint64_t)(x / unit + 0.5);
    /* By division where the unit is below 1: 32 / 10000 is the number nearest to 0.0032, 32 * 0.0001 is not. */
    return unit < 1 ? n / (double)(uint64_t)(1 / unit + 0.5) : n * unit;
}

static bool open_count(uint64_t x) { return x == SIZE_OPEN; }

static void size_batch(recipe *r) {
    uint64_t *all = &r->batch.sequences, *micro = &r->batch.micro, ctx = r->model.ctx;
    if (open_count(*all)) {
        double want = 2048 * kern_pow64((double)size_params(r) / 1e5, 0.4) / (double)ctx;
        *all = at_least((uint64_t)(want + 0.5), 1);
        if (!open_count(*micro) && *micro) /* in whole microbatches */
            *all = at_least(*all / *micro, 1) * *micro;
    }
    if (open_count(*micro)) { /* at most 8192 tokens at once, in equal parts */
        uint64_t parts = 1;
        while (parts < *all && (*all % parts || *all / parts * ctx > 8192))
            parts++;
        *micro = *all / parts;
    }
}

void size_course(recipe *r) {
    double n = (double)size_params(r);
    size_batch(r);
    if (r->optimizer.lr < 0)
        r->optimizer.lr = rounded(0.0032 * kern_pow64(n / 5e5, -0.3));
    if (r->optimizer.min_lr < 0)
        r->optimizer.min_lr = r->optimizer.lr > 0 ? rounded(r->optimizer.lr / 10) : 0;
    if (open_count(r->optimizer.steps))
        r->optimizer.steps = at_least((uint64_t)(20 * n / (double)recipe_step_tokens(r)), 300);
    uint64_t steps = r->optimizer.steps;
    if (open_count(r->optimizer.warmup))
        r->optimizer.warmup = steps / 10 < 200 ? steps / 10 : 200;
    if (open_count(r->optimizer.cooldown)) {
        bool wsd = schedule_by_name(r->optimizer.schedule) == SCHEDULE_WSD;
        r->optimizer.cooldown = wsd && steps > r->optimizer.warmup ? at_least((steps - r->optimizer.warmup) / 5, 1) : 0;
    }
    if (open_count(r->chain.roots_every))
        r->chain.roots_every = at_least(steps / 20, 1);
}
