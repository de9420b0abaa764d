/* adapter: targets and their memory, a new adapter's numbers, DoRA's gains; see adapter.h.
 *
 * All numbers of an adapter stand in one block: for each target, layers and parts ascending, a, b, and for DoRA the
 * magnitudes, gains and gained rows; each piece begins on a line of the cache.
 */
#include "model/adapter.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kern/math64.h"
#include "kern/panel.h"
#include "model/adapter_int.h"
#include "model/parts.h"
#include "tensor/linear.h"
#include "tensor/rows.h"

/* On the way to DoRA's norms, for each thread: sixteen rows of B A, a panel of W, one row of W. */
enum { WORK_ROWS = 2 * PANEL_ROWS + 1 };

static const char *const part_names[LORA_PARTS] = {
    [LORA_Q] = "self_attn.q_proj", [LORA_K] = "self_attn.k_proj", [LORA_V] = "self_attn.v_proj",
    [LORA_O] = "self_attn.o_proj", [LORA_GATE] = "mlp.gate_proj", [LORA_UP] = "mlp.up_proj",
    [LORA_DOWN] = "mlp.down_proj",
};

static bool part_named(str name, unsigned *parts) {
    if (str_is(name, "all-linear")) {
        *parts |= LORA_ALL;
        return true;
    }
    for (int p = 0; p < LORA_PARTS; p++)
        if (str_is(name, strchr(part_names[p], '.') + 1)) {
            *parts |= 1u << p;
            return true;
        }
    return false;
}

err_code lora_parts_from(str list, unsigned *parts, err *e) {
    *parts = 0;
    for (size_t from = 0; from <= list.n;) {
        ptrdiff_t comma = str_find(list, STR(","), from);
        size_t to = comma < 0 ? list.n : (size_t)comma;
        str name = str_sub(list, from, to);
        if (!part_named(name, parts))
            return err_set(e, ERR_USAGE,
                           "\"%.*s\" is no part of a layer (q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, "
                           "down_proj, or all-linear)",
                           STR_ARG(name));
        from = to + 1;
    }
    return ERR_OK;
}

void adapter_tensor_name(char out[ADAPTER_NAME_MAX], size_t i_layer, lora_part p, lora_tensor t) {
    static const char *const what[LORA_TENSORS] = {"lora_A.weight", "lora_B.weight", "lora_magnitude_vector"};
    snprintf(out, ADAPTER_NAME_MAX, "base_model.model.model.layers.%zu.%s.%s", i_layer, part_names[p], what[t]);
}

/* ---- memory ---- */

void lora_part_shape(const model_config *c, lora_part p, size_t *rows, size_t *cols) {
    size_t q = c->H * c->K, g = c->G * c->K;
    const size_t all[LORA_PARTS][2] = {
        [LORA_Q] = {q, c->D},       [LORA_K] = {g, c->D},     [LORA_V] = {g, c->D},       [LORA_O] = {c->D, q},
        [LORA_GATE] = {c->F, c->D}, [LORA_UP] = {c->F, c->D}, [LORA_DOWN] = {c->D, c->F},
    };
    *rows = all[p][0];
    *cols = all[p][1];
}

float adapter_scale(double alpha, size_t rank, bool rslora) {
    return (float)(alpha / (rslora ? kern_sqrt64((double)rank) : (double)rank));
}

/* The next n floats of the block; only counted while there is none. */
static float *floats(uint8_t *block, size_t *at, size_t n) {
    float *f = block ? (float *)(void *)(block + *at) : NULL;
    *at += (n * sizeof(float) + 63) & ~(size_t)63;
    return f;
}

static matrix place(uint8_t *block, size_t *at, size_t rows, size_t cols) {
    float *f = floats(block, at, part_floats(rows, cols));
    return (matrix){.type = DTYPE_F32, .rows = rows, .cols = cols, .packed = (uint8_t *)f};
}

/* Bytes of all targets, and their places when there is a block. target may be NULL to count alone. A model's widths,
 * layers and ranks are bounded such that 64 bits hold the sum. */
static size_t place_all(const model_config *c, const target_plan *plan, uint8_t *block, adapter_target *target) {
    size_t at = 0;
    for (size_t i = 0; i < c->L * LORA_PARTS; i++) {
        size_t rows, cols, rank = plan[i].rank;
        if (!rank)
            continue;
        lora_part_shape(c, (lora_part)(i % LORA_PARTS), &rows, &cols);
        adapter_target t = {.scale = plan[i].scale};
        t.a = place(block, &at, rank, cols);
        t.b = place(block, &at, rows, rank);
        if (plan[i].dora) {
            t.magnitude = floats(block, &at, rows);
            t.gain = floats(block, &at, rows);
            t.norm = floats(block, &at, rows);
            t.gained = place(block, &at, rows, rank);
        }
        if (target)
            target[i] = t;
    }
    return at;
}

/* The widest row of DoRA's targets, in whole lanes; 0: there are none. */
static size_t work_ld(const model_config *c, const target_plan *plan) {
    size_t widest = 0;
    for (size_t i = 0; i < c->L * LORA_PARTS; i++) {
        size_t rows, cols;
        lora_part_shape(c, (lora_part)(i % LORA_PARTS), &rows, &cols);
        if (plan[i].rank && plan[i].dora && cols > widest)
            widest = cols;
    }
    return (widest + KERN_LANES - 1) / KERN_LANES * KERN_LANES;
}

/* Buffers for a rank that is higher than all before. */
static err_code make_room(model *m, size_t rank, err *e) {
    adapter_scratch *s = &m->adapting;
    rank = (rank + KERN_LANES - 1) / KERN_LANES * KERN_LANES;
    if (!m->packed || rank <= s->rank)
        return ERR_OK;
    size_t t = ADAPT_TOGETHER_MAX * MODEL_CHUNK * rank * sizeof(float), bytes = t + gemm_scratch_bytes(&m->engine);
    uint8_t *mem = os_pages_alloc(bytes);
    if (!mem)
        return err_set(e, ERR_MEMORY, "no memory for %zu bytes to apply an adapter in", bytes);
    if (s->mem)
        os_pages_free(s->mem, s->bytes);
    *s = (adapter_scratch){.rank = rank, .t = (float *)(void *)mem, .gemm = mem + t, .mem = mem, .bytes = bytes};
    return ERR_OK;
}

/* All numbers, and behind them room for rows on their way to DoRA's norms, for each thread. */
static size_t block_bytes(const model *m, const target_plan *plan) {
    size_t threads = (size_t)pool_threads(m->engine.pool);
    return place_all(&m->config, plan, NULL, NULL) + threads * WORK_ROWS * work_ld(&m->config, plan) * sizeof(float);
}

static err_code new_in(adapter *a, const adapter_shape *s, const target_plan *plan, err *e) {
    const model_config *c = &a->m->config;
    size_t highest = 0;
    a->shape = *s;
    a->shape.layers = NULL;
    if (s->layers) {
        uint8_t *layers;
        ARENA_NEW(&a->mem, layers, c->L, e);
        memcpy(layers, s->layers, c->L);
        a->shape.layers = layers;
    }
    ARENA_NEW(&a->mem, a->target, c->L * LORA_PARTS, e);
    for (size_t i = 0; i < c->L * LORA_PARTS; i++)
        highest = plan[i].rank > highest ? plan[i].rank : highest;
    if (!highest)
        return err_set(e, ERR_USAGE, "an adapter that changes no matrix (choose parts and layers)");
    a->work_ld = work_ld(c, plan);
    a->block_bytes = block_bytes(a->m, plan);
    a->block = os_pages_alloc(a->block_bytes);
    if (!a->block)
        return err_set(e, ERR_MEMORY, "no memory for %zu bytes of an adapter", a->block_bytes);
    a->work = (float *)(void *)(a->block + place_all(c, plan, a->block, a->target));
    return make_room(a->m, highest, e);
}

err_code adapter_new(adapter **out, model *m, const adapter_shape *s, const target_plan *plan, err *e) {
    adapter *a = calloc(1, sizeof *a);
    if (!a)
        return err_set(e, ERR_MEMORY, "no memory");
    a->m = m;
    err_code code = new_in(a, s, plan, e);
    if (code) {
        adapter_close(a);
        return code;
    }
    *out = a;
    return ERR_OK;
}

void adapter_close(adapter *a) {
    if (!a)
        return;
    if (a->block)
        os_pages_free(a->block, a->block_bytes);
    arena_fini(&a->mem);
    free(a);
}

const adapter_shape *adapter_shape_of(const adapter *a) { return &a->shape; }
model *adapter_model(const adapter *a) { return a->m; }

adapter_target *adapter_at(const adapter *a, size_t i_layer, lora_part p) {
    adapter_target *t = &a->target[i_layer * LORA_PARTS + (size_t)p];
    return t->a.rows ? t : NULL;
}

bool adapter_uses_equal(const adapter_use *a, size_t n_a, const adapter_use *b, size_t n_b) {
    bool same = n_a == n_b;
    for (size_t i = 0; same && i < n_a; i++)
        same = a[i].adapter == b[i].adapter && a[i].mix == b[i].mix;
    return same;
}

void model_use_adapters(model *m, const adapter_use *use, size_t n) {
    assert(n <= MODEL_ADAPTERS_MAX);
    for (size_t i = 0; i < n; i++) {
        assert(use[i].adapter->m == m);
        m->standing[i] = use[i];
    }
    m->n_standing = n;
}

/* ---- a new one ---- */

static void plan_of(const model_config *c, const adapter_shape *s, target_plan *plan) {
    for (size_t i = 0; i < c->L * LORA_PARTS; i++) {
        bool in = s->parts >> i % LORA_PARTS & 1 && (!s->layers || s->layers[i / LORA_PARTS]);
        plan[i] = (target_plan){in ? s->rank : 0, adapter_scale(s->alpha, s->rank, s->rslora), s->dora};
    }
}

static void fill_a(const matrix *a, uint64_t seed, uint64_t i_target) {
    float bound = (float)(1 / kern_sqrt64((double)a->cols)), *w = (float *)(void *)a->packed;
    for (size_t r = 0; r < a->rows; r++)
        for (size_t c = 0; c < a->cols; c++) {
            float u = rng_f32(seed, RNG_ADAPTER, i_target << 40 | ((uint64_t)r * a->cols + c));
            w[r / PANEL_ROWS * PANEL_ROWS * a->cols + c * PANEL_ROWS + r % PANEL_ROWS] = (2 * u - 1) * bound;
        }
}

typedef struct {
    adapter *a;
    uint64_t seed;
} fill;

static void fill_target(void *ctx, size_t i, int thread) {
    const fill *f = ctx;
    (void)thread;
    if (f->a->target[i].a.rows)
        fill_a(&f->a->target[i].a, f->seed, i);
}

static void start_magnitudes(adapter *a);

err_code adapter_create(adapter **out, model *m, const adapter_shape *s, uint64_t seed, err *e) {
    size_t n = m->config.L * LORA_PARTS;
    if (s->rank < 1 || s->rank > ADAPTER_RANK_MAX)
        return err_set(e, ERR_USAGE, "an adapter of rank %zu, must be 1 to %d", s->rank, ADAPTER_RANK_MAX);
    if (!(s->alpha > 0 && s->alpha <= 1e6))
        return err_set(e, ERR_USAGE, "an adapter's alpha must be above 0 and at most 1e6");
    if (!m->packed)
        return err_set(e, ERR_USAGE, "%s: an adapter needs the model's weights", m->path);
    target_plan *plan = calloc(n, sizeof *plan);
    if (!plan)
        return err_set(e, ERR_MEMORY, "no memory");
    plan_of(&m->config, s, plan);
    err_code code = adapter_new(out, m, s, plan, e);
    free(plan);
    TRY(code);
    tasks_run(&m->engine, n, fill_target, &(fill){*out, seed});
    start_magnitudes(*out);
    return ERR_OK;
}

/* ---- DoRA ---- */

/* Some panels of a target's rows. */
typedef struct {
    const adapter *a;
    adapter_target *t;
    const matrix *w;
    bool start; /* magnitudes become the norms */
} gain_job;

/* d f32[n][ld] = B A, the n rows of one panel of b. */
static void panel_product(const gain_job *j, size_t i_panel, size_t n, float *d, int thread) {
    const matrix *a = &j->t->a, *b = &j->t->b;
    const float *rows = (const float *)(const void *)b->packed + i_panel * PANEL_ROWS * b->cols;
    kern_gemm g = linear_dx(a, rows, 0, n, d, j->a->work_ld, false);
    g.a_row = 1;
    g.a_k = PANEL_ROWS;
    j->a->m->engine.kern->gemm(&g, 0, n, 0, (a->cols + PANEL_ROWS - 1) / PANEL_ROWS,
                               j->a->m->adapting.gemm + (size_t)thread * KERN_GEMM_SCRATCH);
}

static void gain_panel(void *ctx, size_t i_panel, int thread) {
    const gain_job *j = ctx;
    const kern_ops *k = j->a->m->engine.kern;
    adapter_target *t = j->t;
    size_t first = i_panel * PANEL_ROWS, rows = j->w->rows - first, rank = t->b.cols, ld = j->a->work_ld;
    size_t n = rows < PANEL_ROWS ? rows : PANEL_ROWS;
    float *d = j->a->work + (size_t)thread * WORK_ROWS * ld, *w = d + PANEL_ROWS * ld, *row = w + PANEL_ROWS * ld;
    const float *b = (const float *)(const void *)t->b.packed + first * rank;
    float *gained = (float *)(void *)t->gained.packed + first * rank;
    panel_product(j, i_panel, n, d, thread);
    k->dequantise(j->w->type, j->w->packed, j->w->cols, i_panel, w);
    for (size_t r = 0; r < n; r++) {
        for (size_t c = 0; c < j->w->cols; c++)
            row[c] = w[c * PANEL_ROWS + r];
        k->add_scaled(row, d + r * ld, t->scale, j->w->cols, row);
        float norm = (float)kern_sqrt64((double)k->sum_squares(row, j->w->cols));
        if (j->start)
            t->magnitude[first + r] = norm;
        t->norm[first + r] = norm;
        t->gain[first + r] = over_norm(t->magnitude[first + r], norm, 1);
        for (size_t i = 0; i < rank; i++)
            gained[i * PANEL_ROWS + r] = b[i * PANEL_ROWS + r] * t->gain[first + r];
    }
}

static void gains(adapter *a, bool start) {
    for (size_t i = 0; i < a->m->config.L * LORA_PARTS; i++) {
        adapter_target *t = &a->target[i];
        if (!t->magnitude)
            continue;
        gain_job j = {a, t, lora_matrix(&a->m->layers[i / LORA_PARTS], (lora_part)(i % LORA_PARTS)), start};
        tasks_run(&a->m->engine, matrix_panels(j.w), gain_panel, &j);
    }
}

void adapter_refresh(adapter *a) { gains(a, false); }
static void start_magnitudes(adapter *a) { gains(a, true); }
