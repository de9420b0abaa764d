/* mix: formats by tensor; see mix.h. */
#include "model/mix.h"

#include <string.h>
#include <strings.h>

enum {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q2_K_S,
    Q3_K_S,
    Q3_K_M,
    Q3_K_L,
    Q4_K_S,
    Q4_K_M,
    Q5_K_S,
    Q5_K_M,
    Q6_K,
    MIXES
};

static const mix mixes[MIXES] = {
    [F32] = {"F32", DTYPE_F32, 0},         [F16] = {"F16", DTYPE_F16, 1},         [BF16] = {"BF16", DTYPE_BF16, 32},
    [Q4_0] = {"Q4_0", DTYPE_Q4_0, 2},      [Q4_1] = {"Q4_1", DTYPE_Q4_1, 3},      [Q5_0] = {"Q5_0", DTYPE_Q5_0, 8},
    [Q5_1] = {"Q5_1", DTYPE_Q5_1, 9},      [Q8_0] = {"Q8_0", DTYPE_Q8_0, 7},      [Q2_K] = {"Q2_K", DTYPE_Q2_K, 10},
    [Q2_K_S] = {"Q2_K_S", DTYPE_Q2_K, 21}, [Q3_K_S] = {"Q3_K_S", DTYPE_Q3_K, 11}, [Q3_K_M] = {"Q3_K_M", DTYPE_Q3_K, 12},
    [Q3_K_L] = {"Q3_K_L", DTYPE_Q3_K, 13}, [Q4_K_S] = {"Q4_K_S", DTYPE_Q4_K, 14}, [Q4_K_M] = {"Q4_K_M", DTYPE_Q4_K, 15},
    [Q5_K_S] = {"Q5_K_S", DTYPE_Q5_K, 16}, [Q5_K_M] = {"Q5_K_M", DTYPE_Q5_K, 17}, [Q6_K] = {"Q6_K", DTYPE_Q6_K, 18},
};

static const struct {
    const char *name;
    int mix;
} aliases[] = {{"Q3_K", Q3_K_M}, {"Q4_K", Q4_K_M}, {"Q5_K", Q5_K_M}};

const mix *mix_by_name(const char *name) {
    for (int i = 0; i < MIXES; i++)
        if (strcasecmp(mixes[i].name, name) == 0)
            return &mixes[i];
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcasecmp(aliases[i].name, name) == 0)
            return &mixes[aliases[i].mix];
    return NULL;
}

const char *mix_names(void) {
    return "F32, F16, BF16, Q8_0, Q6_K, Q5_K_M, Q5_K_S, Q5_1, Q5_0, Q4_K_M, Q4_K_S, Q4_1, Q4_0, Q3_K_L, Q3_K_M, "
           "Q3_K_S, Q2_K, Q2_K_S";
}

/* The first and the last eighth of the layers, and every third between. */
static bool more_bits(size_t i, size_t n) { return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2; }

/* Llama 2 70B and its like: eight heads share the values, so they are small. */
static bool is_seventy(const model_config *c) { return c->arch->finer_values && c->L == 80 && c->G < c->H; }

static dtype values(int x, const model_config *c, size_t i, dtype t) {
    bool shared = c->H / c->G >= 4;
    if (x == Q2_K)
        t = shared ? DTYPE_Q4_K : DTYPE_Q3_K;
    else if (x == Q2_K_S && shared)
        t = DTYPE_Q4_K;
    else if (x == Q3_K_M)
        t = i < 2 ? DTYPE_Q5_K : DTYPE_Q4_K;
    else if (x == Q3_K_L)
        t = DTYPE_Q5_K;
    else if ((x == Q4_K_M || x == Q5_K_M) && more_bits(i, c->L))
        t = DTYPE_Q6_K;
    else if (x == Q4_K_S && i < 4)
        t = DTYPE_Q5_K;
    return is_seventy(c) && (t == DTYPE_Q3_K || t == DTYPE_Q4_K) ? DTYPE_Q5_K : t;
}

static dtype down(int x, const model_config *c, size_t i, bool importance, dtype t) {
    bool early = i < c->L / 8;
    if (x == Q2_K)
        return DTYPE_Q3_K;
    if (x == Q2_K_S && early)
        return DTYPE_Q4_K;
    if (x == Q3_K_M)
        return i < c->L / 16 ? DTYPE_Q5_K : DTYPE_Q4_K;
    if (x == Q3_K_L)
        return DTYPE_Q5_K;
    if ((x == Q4_K_M || x == Q5_K_M) && more_bits(i, c->L))
        return DTYPE_Q6_K;
    if (x == Q4_K_S && early)
        return DTYPE_Q5_K;
    if (importance && early && (x == Q4_0 || x == Q5_0))
        return x == Q4_0 ? DTYPE_Q4_1 : DTYPE_Q5_1;
    return t;
}

/* What fits rows of so many columns. */
static dtype fallback(dtype t, size_t cols) {
    static const dtype next[DTYPE_COUNT] = {
        [DTYPE_Q2_K] = DTYPE_Q4_0, [DTYPE_Q3_K] = DTYPE_Q4_0, [DTYPE_Q4_K] = DTYPE_Q5_0,
        [DTYPE_Q5_K] = DTYPE_Q5_1, [DTYPE_Q6_K] = DTYPE_Q8_0,
    };
    if (cols % dtype_table[t].block_elems == 0)
        return t;
    return dtype_table[t].block_elems > 32 && cols % 32 == 0 ? next[t] : DTYPE_F16;
}

mix_choice mix_of(const mix *m, const model_config *c, const model_tensor *t, bool importance) {
    int x = (int)(m - mixes);
    dtype type = m->base;
    bool outer = t->role == ROLE_OUTPUT || t->role == ROLE_EMBED;
    if (dtype_table[type].block_elems == 1)
        return (mix_choice){type, type, false};
    if (t->role == ROLE_OUTPUT || (c->tied && t->role == ROLE_EMBED))
        type = t->cols % dtype_table[type].block_elems ? DTYPE_Q8_0 : type == DTYPE_Q8_0 ? type : DTYPE_Q6_K;
    else if (t->role == ROLE_V || t->role == ROLE_QKV)
        type = values(x, c, t->layer, type);
    else if (t->role == ROLE_DOWN)
        type = down(x, c, t->layer, importance, type);
    else if (t->role == ROLE_O && (x == Q2_K || x == Q3_K_M || x == Q3_K_L))
        type = x == Q2_K ? DTYPE_Q3_K : x == Q3_K_M ? DTYPE_Q4_K : DTYPE_Q5_K;
    dtype fits = fallback(type, t->cols);
    return (mix_choice){fits, type, x == Q2_K_S && fits == DTYPE_Q2_K && !outer};
}

/* ---- a whole model ---- */

static void add_fallen(mix_plan *p, const model_tensor *t, mix_choice x) {
    size_t i = 0;
    while (i < p->n_fallen && (p->fallen[i].wanted != x.wanted || p->fallen[i].type != x.type))
        i++;
    if (i == MIX_FALLEN_MAX)
        return;
    mix_fallen *f = &p->fallen[i];
    if (i == p->n_fallen) {
        *f = (mix_fallen){.wanted = x.wanted, .type = x.type};
        memcpy(f->first, t->name, sizeof f->first);
        p->n_fallen++;
    }
    f->n++;
}

static bool of_layers(const model_tensor *t) { return t->role != ROLE_EMBED && t->role != ROLE_OUTPUT; }

/* An entry of another width than t's makes all of them suspect; llama.cpp overlooks it for the embedding. */
static err_code check_entry(const imatrix_entry *x, const model_tensor *t, err *e) {
    if (!x || x->n == t->cols || t->role == ROLE_EMBED)
        return ERR_OK;
    return err_set(e, ERR_USAGE, "%s has %zu columns, its importances are %zu (made for another model?)", t->name,
                   t->cols, x->n);
}

static err_code add_matrix(mix_plan *p, const mix *x, const model_config *c, const imatrix *importance,
                           const model_tensor *t, err *e) {
    mix_choice choice = {t->type, t->type, false};
    const imatrix_entry *entry = importance ? imatrix_find(importance, str_from(t->name)) : NULL;
    TRY(check_entry(entry, t, e));
    if (x)
        choice = mix_of(x, c, t, importance != NULL);
    if (choice.needs && !entry)
        return err_set(e, ERR_USAGE, "%s needs importances for %s (--calibrate TEXT, or --imatrix FILE)", x->name,
                       t->name);
    if (importance && !entry && of_layers(t) && p->n_missing++ == 0)
        memcpy(p->missing, t->name, sizeof p->missing);
    if (choice.type != choice.wanted)
        add_fallen(p, t, choice);
    p->elements += t->rows * t->cols;
    p->bytes += t->rows * dtype_row_bytes(choice.type, t->cols);
    return ERR_OK;
}

static err_code plan_tensors(const mix *x, const model *m, const imatrix *importance, arena *mem, mix_plan *out,
                             err *e) {
    model_tensor *t;
    size_t n, n_matrices = 0;
    TRY(tensors_of(m, true, false, mem, &t, &n, e));
    for (size_t i = 0; i < n; i++) {
        if (t[i].cols) {
            n_matrices += of_layers(&t[i]);
            TRY(add_matrix(out, x, &m->config, importance, &t[i], e));
            continue;
        }
        out->elements += t[i].rows;
        out->bytes += t[i].rows * sizeof(float);
    }
    if (importance && out->n_missing == n_matrices)
        return err_set(e, ERR_USAGE, "none of the %zu importances is for a matrix of this model", importance->n);
    return ERR_OK;
}

err_code mix_plan_of(const mix *x, const model *m, const imatrix *importance, mix_plan *out, err *e) {
    arena mem = {0};
    *out = (mix_plan){.elements = 0};
    err_code code = plan_tensors(x, m, importance, &mem, out, e);
    arena_fini(&mem);
    return code;
}
