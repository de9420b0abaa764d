/* best: see best.h. */
#include "train/best.h"

void best_take(best *b, const chain_line *line) {
    if (!line->has_held_out)
        return;
    if (b->step == 0 || line->held_out < b->loss)
        *b = (best){.step = line->step, .loss = line->held_out};
    else
        b->since++;
}

bool best_stops(const best *b, uint64_t patience) { return patience > 0 && b->since >= patience; }

bool best_ended(const best *b, const recipe *r, uint64_t last) {
    return last >= r->optimizer.steps || best_stops(b, r->tune.patience);
}

uint64_t best_published(const best *b, const recipe *r, uint64_t last) {
    return r->tune.best && b->step ? b->step : last;
}

best best_of(const chain *c, uint64_t last) {
    best b = {0};
    for (uint64_t i = 0; i <= last && i < c->n; i++)
        best_take(&b, &c->line[i]);
    return b;
}
