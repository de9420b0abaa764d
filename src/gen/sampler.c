/* sampler: penalties, selection and the draw; the order of operations stands in sampler.h.
 *
 * A candidate is one 64-bit key, so that "better" is one comparison of integers:
 *
 *   key:  [ 32 bits: logit, mapped so that a higher logit is a smaller number | 32 bits: id ]
 *
 * Ascending keys are ascending ranks: logit descending, ties by ascending id. Top-k keeps a heap of the k best
 * while it walks the vocabulary once; top-p without top-k pops a heap of the likely ones only as far as the cut.
 * Nothing is sorted that is not needed: with a vocabulary of 262144 and top-k 40 a token costs one pass. Where all
 * stay candidates there is no list: weights are computed for the whole row by a kernel, and what is out weighs 0,
 * which changes no sum.
 *
 * Invariants: `count` is all zero between calls; no NaN and no -inf ever becomes a key.
 */
#include "gen/sampler.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/rng.h"
#include "kern/kern.h"
#include "kern/math64.h"

const sampler_config sampler_default = {
    .temperature = 0.8f,
    .top_k = 40,
    .top_p = 0.95f,
    .min_p = 0.05f,
    .repetition_penalty = 1,
    .penalty_last_n = 64,
};

struct sampler {
    arena mem;
    const kern_ops *kern;
    size_t n_vocab;
    uint64_t *key;   /* [V] candidates */
    double *weight;  /* [V] of the candidates, or by id of all */
    uint32_t *count; /* [V] occurrences in the penalties' window */
};

static err_code in_range(const char *what, double x, double min, double max, err *e) {
    if (x >= min && x <= max) /* false for NaN */
        return ERR_OK;
    return err_set(e, ERR_USAGE, "%s: %g is outside %g to %g", what, x, min, max);
}

err_code sampler_check(const sampler_config *c, err *e) {
    TRY(in_range("temperature", (double)c->temperature, 0, 100, e));
    TRY(in_range("top-k", (double)c->top_k, 0, INT_MAX, e));
    TRY(in_range("top-p", (double)c->top_p, 0, 1, e));
    TRY(in_range("min-p", (double)c->min_p, 0, 1, e));
    TRY(in_range("repetition penalty", (double)c->repetition_penalty, 0.01, 100, e));
    TRY(in_range("presence penalty", (double)c->presence_penalty, -100, 100, e));
    TRY(in_range("frequency penalty", (double)c->frequency_penalty, -100, 100, e));
    return in_range("penalty window", (double)c->penalty_last_n, -1, INT_MAX, e);
}

size_t sampler_plan_bytes(size_t n_vocab) {
    const sampler *s = NULL;
    return sizeof *s + n_vocab * (sizeof *s->key + sizeof *s->weight + sizeof *s->count);
}

static err_code plan(sampler *s, size_t n_vocab, err *e) {
    s->n_vocab = n_vocab;
    s->kern = kern_select(NULL);
    ARENA_NEW(&s->mem, s->key, n_vocab, e);
    ARENA_NEW(&s->mem, s->weight, n_vocab, e);
    ARENA_NEW(&s->mem, s->count, n_vocab, e);
    return ERR_OK;
}

err_code sampler_open(sampler **out, size_t n_vocab, err *e) {
    *out = NULL;
    if (n_vocab == 0 || n_vocab > INT32_MAX)
        return err_set(e, ERR_USAGE, "sampler: a vocabulary of %zu tokens", n_vocab);
    sampler *s = calloc(1, sizeof *s);
    if (!s)
        return arena_short(e, 1, sizeof *s);
    err_code code = plan(s, n_vocab, e);
    if (code != ERR_OK) {
        sampler_close(s);
        return code;
    }
    *out = s;
    return ERR_OK;
}

void sampler_close(sampler *s) {
    if (!s)
        return;
    arena_fini(&s->mem);
    free(s);
}

/* ---- keys and heaps ---- */

static uint64_t key_of(float logit, size_t id) {
    logit += 0.0f; /* -0 and +0 rank alike */
    uint32_t u;
    memcpy(&u, &logit, sizeof u);
    u = u >> 31 ? ~u : u | 0x80000000u; /* ascending with the logit */
    return (uint64_t)~u << 32 | (uint32_t)id;
}

static float logit_of(uint64_t key) {
    uint32_t u = ~(uint32_t)(key >> 32);
    u = u >> 31 ? u & 0x7fffffffu : ~u;
    float logit;
    memcpy(&logit, &u, sizeof logit);
    return logit;
}

static int32_t id_of(uint64_t key) { return (int32_t)(uint32_t)key; }

/* Max-heap: restores the order below i. */
static void sift_down(uint64_t *heap, size_t n, size_t i) {
    uint64_t x = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        child += child + 1 < n && heap[child + 1] > heap[child];
        if (heap[child] <= x)
            break;
        heap[i] = heap[child];
    }
    heap[i] = x;
}

static void heapify(uint64_t *heap, size_t n) {
    for (size_t i = n / 2; i-- > 0;)
        sift_down(heap, n, i);
}

/* The largest of heap[0..n) goes to heap[n-1]; heap[0..n-1) is a heap again. */
static uint64_t pop(uint64_t *heap, size_t n) {
    uint64_t top = heap[0];
    heap[0] = heap[n - 1];
    heap[n - 1] = top;
    if (n > 1)
        sift_down(heap, n - 1, 0);
    return top;
}

static void reverse(uint64_t *a, size_t n) {
    for (size_t i = 0, j = n; i + 1 < j; i++) {
        uint64_t x = a[i];
        a[i] = a[--j];
        a[j] = x;
    }
}

/* ---- steps, in the order in which they are taken ---- */

static void penalise(sampler *s, const sampler_config *c, float *logits, const int32_t *ids, size_t n) {
    bool on = c->repetition_penalty != 1 || c->presence_penalty != 0 || c->frequency_penalty != 0;
    if (!on)
        return;
    size_t from = c->penalty_last_n >= 0 && n > (size_t)c->penalty_last_n ? n - (size_t)c->penalty_last_n : 0;
    for (size_t i = from; i < n; i++)
        if (ids[i] >= 0 && (size_t)ids[i] < s->n_vocab)
            s->count[ids[i]]++;
    for (size_t i = from; i < n; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= s->n_vocab || s->count[ids[i]] == 0)
            continue; /* the first occurrence has settled this id */
        float l = logits[ids[i]];
        l = l > 0 ? l / c->repetition_penalty : l * c->repetition_penalty;
        float frequency = (float)s->count[ids[i]] * c->frequency_penalty;
        logits[ids[i]] = l - (frequency + c->presence_penalty);
        s->count[ids[i]] = 0;
    }
}

static int32_t highest(const float *logits, size_t n) {
    int32_t best = -1;
    float max = -INFINITY;
    for (size_t i = 0; i < n; i++)
        if (logits[i] > max) { /* false for NaN */
            max = logits[i];
            best = (int32_t)i;
        }
    return best;
}

/* The k best candidates by rank; returns how many there are. */
static size_t take_best(sampler *s, const float *logits, size_t k) {
    uint64_t *heap = s->key; /* max-heap once full: the worst of the kept is at the root */
    size_t n = 0;
    float bar = -INFINITY; /* a later id must be above it, for ties go to the lower */
    for (size_t id = 0; id < s->n_vocab; id++) {
        if (!(logits[id] > bar))
            continue;
        if (n < k) {
            heap[n++] = key_of(logits[id], id);
            if (n < k)
                continue;
            heapify(heap, n);
        } else {
            heap[0] = key_of(logits[id], id);
            sift_down(heap, n, 0);
        }
        bar = logit_of(heap[0]);
    }
    if (n < k)
        heapify(heap, n);
    for (size_t left = n; left > 1; left--)
        pop(heap, left);
    return n;
}

static double weight_of(uint64_t key, float max, double temperature) {
    float l = logit_of(key);
    return l == max ? 1.0 : kern_exp64(((double)l - (double)max) / temperature);
}

/* Writes weight[0..n) and returns their sum in the list's order. */
static double weigh(sampler *s, size_t n, float max, double temperature) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        s->weight[i] = weight_of(s->key[i], max, temperature);
        sum += s->weight[i];
    }
    return sum;
}

/* Keeps the shortest prefix of a ranked list that holds top_p of the weight. */
static size_t cut_top_p(sampler *s, size_t n, float max, double top_p) {
    double need = top_p * weigh(s, n, max, 1), sum = 0;
    size_t kept = 0;
    do
        sum += s->weight[kept++];
    while (kept < n && sum < need);
    return kept;
}

static size_t cut_min_p(sampler *s, size_t n, float max, double min_p) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (weight_of(s->key[i], max, 1) >= min_p)
            s->key[kept++] = s->key[i];
    return kept;
}

static int32_t draw(sampler *s, size_t n, float max, double temperature, double u) {
    double target = u * weigh(s, n, max, temperature), sum = 0;
    int32_t last = -1; /* stands in when rounding made u * Z equal to Z */
    for (size_t i = 0; i < n; i++) {
        sum += s->weight[i];
        if (s->weight[i] > 0)
            last = id_of(s->key[i]);
        if (sum > target)
            break;
    }
    return last;
}

/* ---- the same where all are candidates ---- */

/* Running sums of the weights by ascending id into weight[0..V); the last is Z. */
static double sum_all(sampler *s, const float *logits, float max, double temperature) {
    double sum = 0;
    s->kern->weights(logits, s->n_vocab, max, temperature, s->weight);
    for (size_t id = 0; id < s->n_vocab; id++)
        s->weight[id] = sum += s->weight[id];
    return sum;
}

/* A list by rank of those at or above `bar`, as far as their weights come to `need`; *enough: they do. */
static size_t rank_above(sampler *s, const float *logits, float bar, float max, double need, bool *enough) {
    size_t n = 0, kept = 0;
    double sum = 0;
    for (size_t id = 0; id < s->n_vocab; id++)
        if (logits[id] >= bar && logits[id] > -INFINITY)
            s->key[n++] = ~key_of(logits[id], id); /* the best is the largest */
    heapify(s->key, n);
    do {
        sum += weight_of(~pop(s->key, n - kept), max, 1);
        kept++;
    } while (kept < n && sum < need);
    reverse(s->key, n); /* popped ones stand last, best at the very end */
    for (size_t i = 0; i < kept; i++)
        s->key[i] = ~s->key[i];
    *enough = sum >= need;
    return kept;
}

/* The likely ones are few, and mostly enough. */
static size_t rank_top_p(sampler *s, const float *logits, float max, double top_p) {
    double need = top_p * sum_all(s, logits, max, 1);
    bool enough = false;
    size_t kept = 0;
    for (float below = 8; below <= 32 && !enough; below *= 2)
        kept = rank_above(s, logits, max - below, max, need, &enough);
    return enough ? kept : rank_above(s, logits, -INFINITY, max, need, &enough);
}

static void mask_min_p(sampler *s, float *logits, float max, double min_p) {
    s->kern->weights(logits, s->n_vocab, max, 1, s->weight);
    for (size_t id = 0; id < s->n_vocab; id++)
        if (!(s->weight[id] >= min_p))
            logits[id] = -INFINITY;
}

static int32_t draw_all(sampler *s, const float *logits, float max, double temperature, double u) {
    double target = u * sum_all(s, logits, max, temperature);
    size_t low = 0, high = s->n_vocab; /* the first whose running sum is above the target */
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (s->weight[mid] > target)
            high = mid;
        else
            low = mid + 1;
    }
    if (low < s->n_vocab)
        return (int32_t)low;
    s->kern->weights(logits, s->n_vocab, max, temperature, s->weight); /* rounding made u * Z equal to Z */
    while (low > 0 && !(s->weight[low - 1] > 0))
        low--;
    return (int32_t)low - 1;
}

int32_t sampler_next(sampler *s, const sampler_config *c, float *logits, const int32_t *ids, size_t n) {
    penalise(s, c, logits, ids, n);
    int32_t best = highest(logits, s->n_vocab);
    if (best < 0 || c->temperature == 0 || c->top_k == 1)
        return best;
    float max = logits[best];
    double u = rng_f64(c->seed, RNG_SAMPLE, n);
    bool top_k = c->top_k > 0 && (size_t)c->top_k < s->n_vocab;
    if (!top_k && !(c->top_p < 1)) {
        if (c->min_p > 0)
            mask_min_p(s, logits, max, (double)c->min_p);
        return draw_all(s, logits, max, (double)c->temperature, u);
    }
    size_t left = top_k ? take_best(s, logits, (size_t)c->top_k) : rank_top_p(s, logits, max, (double)c->top_p);
    if (top_k && c->top_p < 1)
        left = cut_top_p(s, left, max, (double)c->top_p);
    if (c->min_p > 0)
        left = cut_min_p(s, left, max, (double)c->min_p);
    return draw(s, left, max, (double)c->temperature, u);
}
