/* stream: see stream.h. */
#include "train/stream.h"

#include <inttypes.h>
#include <stdlib.h>

#include "train/batches.h"

static const double LN2 = 0x1.62e42fefa39efp-1;

typedef struct {
    const docs *docs;
    const tokens *tokens;
    order *order;
    batches batches;
    uint64_t step_tokens;
    size_t n_micro;
} stream;

static err_code check_data(const stream *s, err *e) {
    uint64_t all = order_epoch_tokens(s->order);
    if (all < s->step_tokens)
        return err_set(e, ERR_USAGE,
                       "the documents have %" PRIu64 " tokens, fewer than the %" PRIu64
                       " of one step (use more documents, or a smaller --batch or --ctx)",
                       all, s->step_tokens);
    return ERR_OK;
}

static size_t parts(void *ctx, uint64_t step) {
    (void)step;
    return ((const stream *)ctx)->n_micro;
}

static err_code gradient(void *ctx, learner *l, uint64_t step, size_t i, lesson_part *out, err *e) {
    stream *s = ctx;
    batches_read(&s->batches, (step - 1) * s->step_tokens + i * s->batches.n);
    *out = (lesson_part){.targets = s->batches.n_targets,
                         .first = s->batches.first,
                         .last = s->batches.last,
                         .batch = &s->batches.batch,
                         .passes = 3};
    return learner_gradient(l, &s->batches.batch, NULL, &out->sum, e);
}

static err_code validate(void *ctx, learner *l, size_t bytes_max, double *bits, size_t *bytes, err *e) {
    stream *s = ctx;
    double sum = 0;
    *bytes = 0;
    size_t first = s->docs->n_train, end = first;
    while (end < s->docs->n && (end == first || *bytes + s->docs->key[end].bytes <= bytes_max))
        *bytes += s->docs->key[end++].bytes;
    *bits = 0;
    for (uint64_t at = 0; at < s->tokens->from[end] - s->tokens->from[first];) {
        double part;
        at += batches_read_docs(&s->batches, (uint32_t)first, (uint32_t)end, at);
        TRY(learner_loss(l, &s->batches.batch, NULL, &part, e));
        sum += part;
    }
    if (*bytes)
        *bits = sum / LN2 / (double)*bytes;
    return ERR_OK;
}

static void close(void *ctx) {
    stream *s = ctx;
    batches_fini(&s->batches);
    order_close(s->order);
    free(s);
}

static err_code open_in(stream *s, const recipe *r, pool *p, err *e) {
    TRY(order_open(&s->order, r->init.seed, s->docs->sha256, s->tokens->n_tokens, s->docs->n_train, p, e));
    TRY(check_data(s, e));
    return batches_init(&s->batches, s->order, s->tokens, (size_t)r->model.ctx, (size_t)(r->batch.micro * r->model.ctx),
                        e);
}

err_code stream_open(lesson *out, const recipe *r, const docs *d, const tokens *t, pool *p, err *e) {
    *out = (lesson){0};
    stream *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_MEMORY, "no memory for a stream of documents");
    *s = (stream){.docs = d,
                  .tokens = t,
                  .step_tokens = recipe_step_tokens(r),
                  .n_micro = (size_t)(r->batch.sequences / r->batch.micro)};
    err_code code = open_in(s, r, p, e);
    if (code != ERR_OK) {
        close(s);
        return code;
    }
    *out = (lesson){.ctx = s,
                    .order = s->order,
                    .tokens_max = s->batches.n,
                    .parts_max = s->n_micro,
                    .bytes = (size_t)t->cap * (t->narrow ? 2 : 4),
                    .parts = parts,
                    .gradient = gradient,
                    .validate = validate,
                    .close = close};
    return ERR_OK;
}
