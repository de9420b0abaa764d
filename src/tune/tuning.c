/* tuning: see tuning.h. */
#include "tune/tuning.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "gen/chat.h"
#include "kern/panel.h"
#include "model/adapter.h"
#include "tune/base.h"

enum { TEMPLATE_BYTES_MAX = 1 << 20 };

typedef struct tuning {
    base_words words;
    chat_template *chat; /* NULL: there is none */
    examples examples;
    uint32_t *train, *held_out;
    objective_split split;
    adapter_shape shape;
    uint8_t *layers; /* of shape */
    const recipe *recipe;
    model *model;     /* the trainer's */
    adapter *adapter; /* likewise; NULL: all weights learn */
    char *base;
} tuning;

const examples *tuning_examples(const run *r) { return &r->tuning->examples; }
const objective_split *tuning_split(const run *r) { return &r->tuning->split; }

const tokenizer *tuning_words(const run *r) { return r->tuning->words.t; }

static void close_tuning(tuning *t) {
    examples_close(&t->examples);
    chat_close(t->chat);
    base_words_close(&t->words);
    free(t->train);
    free(t->held_out);
    free(t->layers);
    free(t->base);
    free(t);
}

static err_code same_digest(hash256 is, hash256 want, const char *path, const char *advice, err *e) {
    char a[65], b[65];
    hash_hex(is, a);
    hash_hex(want, b);
    if (strcmp(a, b) == 0)
        return ERR_OK;
    return err_set(e, ERR_MISMATCH, "%s: its digest is %.16s..., the recipe asks for %.16s...: %s", path, a, b, advice);
}

/* ---- words and examples ---- */

static err_code open_words(tuning *t, const char *base, str template, err *e) {
    TRY(base_words_open(&t->words, base, e));
    return template.n ? chat_open(&t->chat, t->words.t, template, e) : ERR_OK;
}

static err_code open_examples(tuning *t, const recipe *r, const char *data, const char *where, size_t ctx,
                              const run_load_options *o, err *e) {
    examples_options x = {.path = &data,
                          .n_paths = 1,
                          .where = where && *where ? where : NULL,
                          .t = t->words.t,
                          .chat = t->chat,
                          .now = (time_t)r->tune.date,
                          .pairs = recipe_is_pairs(r),
                          .ctx_tokens = ctx,
                          .drop_long = r->tune.drop_long,
                          .workers = o->trainer.pool,
                          .progress = o->progress_examples,
                          .progress_ctx = o->progress_ctx,
                          .stop = o->stop};
    TRY(examples_roles(str_from(r->tune.roles), &x.roles, e));
    err_code code = examples_open(&t->examples, &x, e);
    if (code != ERR_OK && o->bad)
        strbuf_add(o->bad, strbuf_str(&t->examples.bad), NULL);
    return code;
}

/* Examples that are not among the documents have been taken out: train/removal.h. */
static err_code split(tuning *t, const recipe *r, const docs *d, err *e) {
    const examples *x = &t->examples;
    t->train = calloc(x->n + 1, sizeof *t->train);
    t->held_out = calloc(x->n + 1, sizeof *t->held_out);
    if (!t->train || !t->held_out)
        return err_set(e, ERR_MEMORY, "no memory for a list of %zu examples", x->n);
    objective_split *s = &t->split;
    for (size_t i = 0; i < x->n; i++) {
        if (d->n && docs_find(d, x->sha256[i], 0) == d->n)
            continue;
        if (docs_held_out(x->sha256[i], r->init.seed, r->data.val_share))
            t->held_out[s->n_held_out++] = (uint32_t)i;
        else
            t->train[s->n_train++] = (uint32_t)i;
    }
    s->train = t->train;
    s->held_out = t->held_out;
    return ERR_OK;
}

/* ---- a recipe ---- */

static err_code builtin_template(const tokenizer *t, const chat_builtin *b, strbuf *out, err *e) {
    if (b->needs && tokenizer_id_of(t, str_from(b->needs)) < 0)
        return err_set(e, ERR_USAGE, "--template %s: the base's vocabulary has no %s (\"plain\" needs nothing)",
                       b->name, b->needs);
    return strbuf_add(out, str_from(b->source), e);
}

err_code tuning_template(const char *base, const char *named, strbuf *out, err *e) {
    const chat_builtin *b = named ? chat_builtin_find(named) : NULL;
    base_words w = {0};
    if (named && !b)
        return os_read_regular(named, TEMPLATE_BYTES_MAX, out, e);
    err_code code = base_words_open(&w, base, e);
    if (code == ERR_OK)
        code = b ? builtin_template(w.t, b, out, e) : strbuf_add(out, tokenizer_chat_template(w.t), e);
    base_words_close(&w);
    return code;
}

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t most(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* What is open, from the examples. */
static err_code fill(recipe *r, const tuning *t, double epochs, err *e) {
    bool pairs = strcmp(r->tune.objective, "dpo") == 0;
    if (r->model.ctx == TUNING_OPEN)
        r->model.ctx = most(((uint64_t)t->examples.longest + 15) / 16 * 16, 16);
    if (r->batch.micro == TUNING_OPEN)
        r->batch.micro = most(TUNING_TOKENS / r->model.ctx, pairs ? 2 : 1);
    if (r->batch.sequences == TUNING_OPEN)
        r->batch.sequences = pairs ? 8 : 16;
    if (r->optimizer.steps == TUNING_OPEN) {
        double steps = epochs * (double)t->split.n_train / (double)r->batch.sequences;
        if (!(steps < 1e9))
            return err_set(e, ERR_USAGE, "--epochs %g: are more than 10^9 steps", epochs);
        r->optimizer.steps = most((uint64_t)steps + ((double)(uint64_t)steps < steps), 1);
    }
    if (r->optimizer.warmup == TUNING_OPEN)
        r->optimizer.warmup = least((r->optimizer.steps + 32) / 33, r->optimizer.steps - 1);
    if (r->chain.roots_every == TUNING_OPEN)
        r->chain.roots_every = most(r->optimizer.steps / 10, 1);
    return ERR_OK;
}

static err_code describe_data(tuning *t, recipe *r, const run_inputs *in, err *e) {
    docs d = {0};
    r->data.digest = t->examples.digest;
    r->data.documents = t->examples.n;
    if (!t->examples.file[0].is_set)
        return split(t, r, &d, e);
    docs_options o = {.source = in->data, .where = in->where, .val_share = r->data.val_share, .seed = r->init.seed};
    TRY(docs_open(&d, &o, e));
    r->data.digest = d.digest;
    r->data.documents = d.n;
    err_code code = split(t, r, &d, e);
    docs_close(&d);
    return code;
}

static err_code describe_in(tuning *t, recipe *r, const run_inputs *in, double epochs, const run_load_options *o,
                            const tuning_look *look, err *e) {
    model *m = NULL;
    TRY(base_digest(in->base, &r->base.digest, e));
    TRY(model_open(&m, in->base, &(model_options){.pool = o->trainer.pool, .isa = o->trainer.isa, .plan = true}, e));
    size_t ctx_train = model_config_of(m)->ctx_train;
    err_code code = base_describe(model_config_of(m), r, e);
    model_close(m);
    TRY(code);
    TRY(open_words(t, in->base, in->template, e));
    r->tune.template = hash_of(in->template.p, in->template.n);
    if (r->model.ctx != TUNING_OPEN && r->model.ctx > ctx_train)
        return err_set(e, ERR_USAGE, "--ctx %" PRIu64 ": the base was made for %zu tokens", r->model.ctx, ctx_train);
    size_t ctx = r->model.ctx == TUNING_OPEN ? (size_t)least(ctx_train, TUNING_CTX_MAX) : (size_t)r->model.ctx;
    TRY(open_examples(t, r, in->data, in->where, ctx, o, e));
    if (look)
        TRY(look->see(look->ctx, &t->examples, t->words.t, e));
    TRY(describe_data(t, r, in, e));
    TRY(fill(r, t, epochs, e));
    return recipe_check(r, e);
}

err_code tuning_describe(recipe *r, const run_inputs *in, double epochs, const run_load_options *o,
                         const tuning_look *look, err *e) {
    tuning *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(e, ERR_MEMORY, "no memory to look at examples");
    err_code code = describe_in(t, r, in, epochs, o, look, e);
    close_tuning(t);
    return code;
}

/* ---- first weights ---- */

/* As the base has them, read again. */
static err_code begin_full(tuning *t, param *params, size_t n, err *e) {
    model *m = NULL;
    learner *l = NULL;
    model_options o = {.isa = model_isa(t->model), .weights = MODEL_WEIGHTS_F32};
    TRY(model_open(&m, t->base, &o, e));
    err_code code = learner_open(&l, m, &(learner_options){.tokens_max = 1}, e);
    if (code == ERR_OK) {
        size_t there;
        const param *p = learner_params(l, &there);
        for (size_t i = 0; i < n && code == ERR_OK; i++) {
            if (i >= there || p[i].n != params[i].n)
                code = err_set(e, ERR_MISMATCH, "%s: has changed while it was in use", t->base);
            else
                memcpy(params[i].w, p[i].w, p[i].n * sizeof(float));
        }
    }
    learner_close(l);
    model_close(m);
    return code;
}

static void copy_matrix(matrix *to, const matrix *from) {
    memcpy(to->packed, from->packed, panel_bytes(to->type, to->rows, to->cols));
}

static void copy_target(adapter_target *to, const adapter_target *from) {
    copy_matrix(&to->a, &from->a);
    copy_matrix(&to->b, &from->b);
    if (to->magnitude)
        memcpy(to->magnitude, from->magnitude, to->b.rows * sizeof(float));
}

static err_code begin_adapter(tuning *t, err *e) {
    adapter *first = NULL;
    TRY(adapter_create(&first, t->model, &t->shape, t->recipe->init.seed, e));
    for (size_t i = 0; i < model_config_of(t->model)->L; i++)
        for (int p = 0; p < LORA_PARTS; p++) {
            adapter_target *to = adapter_at(t->adapter, i, (lora_part)p);
            if (to)
                copy_target(to, adapter_at(first, i, (lora_part)p));
        }
    adapter_close(first);
    return ERR_OK;
}

static err_code begin(void *ctx, param *params, size_t n, bool fresh, err *e) {
    tuning *t = ctx;
    if (fresh)
        return ERR_OK;
    return t->adapter ? begin_adapter(t, e) : begin_full(t, params, n, e);
}

/* ---- what learns ---- */

err_code tuning_layers(str list, size_t n, uint8_t *layer, err *e) {
    memset(layer, list.n == 0, n);
    for (size_t at = 0; at < list.n;) {
        uint64_t range[2];
        for (int k = 0; k < 2; k++) {
            size_t digits = 0;
            for (range[k] = 0; at < list.n && list.p[at] >= '0' && list.p[at] <= '9' && digits < 9; digits++)
                range[k] = range[k] * 10 + (uint64_t)(list.p[at++] - '0');
            if (digits == 0 || range[k] >= n)
                return err_set(e, ERR_USAGE, "layers \"%.*s\": a list such as 0-5,8 of numbers below %zu is expected",
                               STR_ARG(list), n);
            if (k == 0 && at < list.n && list.p[at] == '-')
                at++;
            else if (k == 0) {
                range[1] = range[0];
                break;
            }
        }
        if (range[1] < range[0] || (at < list.n && (list.p[at] != ',' || at + 1 == list.n)))
            return err_set(e, ERR_USAGE, "layers \"%.*s\": a list such as 0-5,8 is expected", STR_ARG(list));
        memset(layer + range[0], 1, (size_t)(range[1] - range[0] + 1));
        at++;
    }
    return ERR_OK;
}

static err_code take_shape(tuning *t, const recipe *r, err *e) {
    size_t n = model_config_of(t->model)->L;
    t->layers = calloc(n, 1);
    if (!t->layers)
        return err_set(e, ERR_MEMORY, "no memory for a list of layers");
    TRY(tuning_layers(str_from(r->tune.layers), n, t->layers, e));
    t->shape = (adapter_shape){.rank = (size_t)r->tune.rank,
                               .alpha = r->tune.alpha,
                               .rslora = r->tune.rslora,
                               .dora = r->tune.dora,
                               .layers = t->layers,
                               .dropout = r->tune.dropout};
    return lora_parts_from(*r->tune.parts ? str_from(r->tune.parts) : STR("all-linear"), &t->shape.parts, e);
}

static err_code open_model(tuning *t, const recipe *r, const run_load_options *o, err *e) {
    model_options m = {.pool = o->trainer.pool,
                       .isa = o->trainer.isa,
                       .weights = recipe_has_adapter(r) ? MODEL_WEIGHTS_STORED : MODEL_WEIGHTS_F32};
    TRY(model_open(&t->model, t->base, &m, e));
    err_code code = base_compare(model_config_of(t->model), r, t->base, e);
    if (code == ERR_OK && recipe_has_adapter(r))
        code = take_shape(t, r, e);
    if (code == ERR_OK && recipe_has_adapter(r))
        code = adapter_create(&t->adapter, t->model, &t->shape, r->init.seed, e);
    if (code != ERR_OK)
        model_close(t->model);
    return code;
}

static err_code open_trainer(run *r, const run_load_options *o, err *e) {
    tuning *t = r->tuning;
    trainer_subject s = {.begin = begin, .begin_ctx = t};
    TRY(objective_open(&s.lesson, &r->recipe, &t->examples, &t->split, o->trainer.pool, e));
    err_code code = open_model(t, &r->recipe, o, e);
    if (code != ERR_OK) {
        s.lesson.close(s.lesson.ctx);
        return code;
    }
    s.model = t->model;
    s.adapter = t->adapter;
    return trainer_open(&r->trainer, &r->recipe, &s, &o->trainer, e);
}

/* ---- a run ---- */

static err_code load_words(run *r, const run_load_options *o, err *e) {
    tuning *t = r->tuning;
    hash256 h;
    const char *base = o->base ? o->base : r->base;
    t->base = strdup(base);
    if (!t->base)
        return err_set(e, ERR_MEMORY, "no memory for a path");
    if (!os_exists(base))
        return err_set(e, ERR_IO, "%s: the run's base is not there any more (say where it is with --base)", base);
    TRY(base_digest(base, &h, e));
    TRY(same_digest(h, r->recipe.base.digest, base,
                    "it is not the base that the run began with, or has changed since (say where that is with --base)",
                    e));
    TRY(open_words(t, base, strbuf_str(&r->template), e));
    h = hash_of(r->template.p, r->template.n);
    return same_digest(h, r->recipe.tune.template, "template.jinja", "it has changed since the run began", e);
}

/* What others look at (train/uses.h): the documents that are examples, in their order; d->digest stays the source's. */
static err_code make_docs(run *r, err *e) {
    const tuning *t = r->tuning;
    const objective_split *s = &t->split;
    docs *d = &r->docs;
    d->n = s->n_train + s->n_held_out;
    d->n_train = s->n_train;
    free(d->key);
    free(d->sha256);
    d->key = calloc(d->n, sizeof *d->key);
    d->sha256 = calloc(d->n, sizeof *d->sha256);
    if (!d->key || !d->sha256)
        return err_set(e, ERR_MEMORY, "no memory for a list of %zu examples", d->n);
    for (size_t i = 0; i < d->n; i++) {
        uint32_t x = i < s->n_train ? s->train[i] : s->held_out[i - s->n_train];
        d->sha256[i] = t->examples.sha256[x];
        d->key[i] = (dataset_key){.id = (int64_t)t->examples.example[x].number, .sha256 = d->sha256[i]};
    }
    return ERR_OK;
}

static err_code load_examples(run *r, const run_load_options *o, err *e) {
    tuning *t = r->tuning;
    const char *data = o->data ? o->data : r->data, *where = o->where ? o->where : o->data ? NULL : r->where;
    if (!os_exists(data))
        return err_set(e, ERR_IO, "%s: the run's examples are not there any more (say where they are with --data)",
                       data);
    TRY(open_examples(t, &r->recipe, data, where, (size_t)r->recipe.model.ctx, o, e));
    if (t->examples.file[0].is_set) {
        TRY(run_load_docs(r, o->data, o->where, e));
        TRY(split(t, &r->recipe, &r->docs, e));
        return t->examples.n_long ? make_docs(r, e) : ERR_OK;
    }
    TRY(same_digest(t->examples.digest, r->recipe.data.digest, data, "the examples have changed since the run began",
                    e));
    r->docs.digest = t->examples.digest;
    TRY(split(t, &r->recipe, &r->docs, e));
    return make_docs(r, e);
}

err_code tuning_load(run *r, const run_load_options *o, err *e) {
    r->tuning = calloc(1, sizeof *r->tuning);
    if (!r->tuning)
        return err_set(e, ERR_MEMORY, "no memory for tuning");
    r->close_tuning = close_tuning;
    r->tuning->recipe = &r->recipe;
    r->pool = o->trainer.pool;
    TRY(load_words(r, o, e));
    TRY(load_examples(r, o, e));
    return open_trainer(r, o, e);
}
