/* kern: the arithmetic of Loam, version 1, behind one table a instruction set.
 *
 * Every function here is a definition: doc/arithmetic.md gives the order of operations, kern/isa/ the one
 * source of each kernel, compiled once per ISA over v16.h. All tables give the same bits. Functions are pure: they
 * write their outputs and nothing else, allocate nothing, and may run on any number of threads at once on separate
 * outputs.
 */
#ifndef LOAM_KERN_KERN_H
#define LOAM_KERN_KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kern/dtype.h"

enum { KERN_ARITHMETIC_VERSION = 1, KERN_ATTN_CHUNK = 64, KERN_LANES = 16 };

/* How activations enter a product; decided by the type of the weights. */
typedef enum {
    ACTS_F32,   /* as they are: F32, F16, BF16 weights */
    ACTS_BLOCK, /* signed 8 bit, a scale for 32: Q4_0 .. Q8_0 */
    ACTS_SUPER, /* signed 8 bit, a scale for 256: the K types */
    ACTS_COUNT
} acts_kind;
acts_kind kern_acts_kind(dtype weights);
/* Bytes that n packed rows of k elements take; k a multiple of 32 or 256 for the quantised kinds. */
size_t kern_acts_bytes(acts_kind kind, size_t n, size_t k);

typedef enum { KERN_SILU, KERN_GELU_TANH, KERN_GELU_ERF } kern_activation;

/* One head's part of a KV cache. Keys stand in panels of 16 positions, [pos/16][K][16]; values in rows
 * [pos][v_stride]. Positions are absolute; the memory up to the next multiple of 16 is readable. */
typedef struct {
    const void *k, *v;
    bool f16;        /* binary16, else binary32 */
    size_t width;    /* K: elements of a head */
    size_t v_stride; /* elements from one position's value to the next, a multiple of 16 */
} kern_kv;

/* One query of an attention tile: sees positions [lo, hi), lo < hi. */
typedef struct {
    const float *q; /* f32[K] */
    float *out;     /* f32[K] */
    size_t lo, hi;
    float *stat; /* f32[2]: receives M and Z, what the backward pass needs; NULL: not asked for */
} kern_query;

enum { KERN_ATTN_TILE_MAX = 16 };
enum {
    KERN_GEMM_SCRATCH = 400 << 10,
    KERN_ATTN_BACK_SCRATCH = 2 * KERN_ATTN_CHUNK * KERN_ATTN_CHUNK * 4,
};

typedef struct {
    float scale;   /* multiplies q.k */
    float softcap; /* 0: none; else s = cap * tanh(s / cap) */
} kern_attn;

/* Candidates of a search for a range: kern_ops.fit_range. */
enum { KERN_FIT_MAX = 32 }; /* elements of a block */
typedef struct {
    float first, step;
    int n_steps;
    bool absolute; /* errors count by their size, not its square */
    bool bounded;  /* candidates that leave the range of integers are cut */
} kern_fit_plan;

/* One step of AdamW (Loshchilov and Hutter, 2019), all numbers rounded to binary32 once. train/optim.h gives them. */
typedef struct {
    float scale;        /* multiplies the gradient */
    float rise1;        /* 1 - beta1 */
    float keep2, rise2; /* beta2, 1 - beta2 */
    float root2, eps;   /* 1 / sqrt(1 - beta2^t) */
    float decay;        /* learning rate times weight decay */
    float rate;         /* learning rate / (1 - beta1^t) */
} kern_adamw;
/* Chains over k ascending, sixteen outputs side by side:
 *     c[i][j] = fma(a[i][k], b[k][j], c[i][j]),  k = 0 .. depth-1
 * from +0, or from what stands in c. Output j is lane j%16 of panel j/16. Where each number stands:
 *     a[i][k]   a[i*a_row + k*a_k], one of the two being 1
 *     b[k][j]   b[(j/16)*b_panel + k*b_k + j%16], or when `turned`
 *               b[(k/16)*b_panel + j*16 + k%16]: panels of 16 k's, as a matrix of weights has 16 rows
 *     c[i][j]   c[i*c_row + (j/16)*c_panel + j%16] */
typedef struct {
    const float *a, *b;
    float *c;
    size_t a_row, a_k, b_panel, b_k, c_row, c_panel;
    size_t rows, depth, outs; /* how many i, k, j */
    bool turned, go_on;       /* go_on: the chains in c are continued */
} kern_gemm;

/* The backward pass of attention of one query head over one segment of n positions, position t at row t:
 * x + t*stride. A query at t sees [t+1-window, t], from 0 on; window 0: all up to t. */
typedef struct {
    const float *q, *dout;            /* stride q_stride: the turned query; the gradient of its output */
    const float *k, *v;               /* stride kv_stride */
    const float *k_panels, *v_panels; /* the same in panels of 16 positions, [ceil(n/16)][K][16] */
    const float *stat;                /* stride 2*stat_stride: M and Z of each query (kern_query.stat) */
    const float *delta;               /* stride stat_stride: sum over d, by lanes, of dout*out */
    float *dq, *dk, *dv;              /* strides as q and k: chains that are continued */
    size_t n, width, q_stride, kv_stride, stat_stride, window;
} kern_attn_back;
enum { KERN_BACK_Q = 1, KERN_BACK_KV = 2 }; /* which gradients: dq; dk and dv */

typedef struct {
    const char *isa;
    int tile[ACTS_COUNT]; /* rows of activations that go through a product together */
    int attn_tile;        /* queries that share one pass over the keys */

    /* Packs rows [from, to) of x f32[n][ldx] into acts; `from` and `to` at tile borders (kern_tile). */
    void (*acts_pack)(acts_kind kind, const float *x, size_t ldx, size_t n, size_t k, size_t from, size_t to,
                      void *acts);
    /* y f32[n][ldy], columns 16*from .. min(rows, 16*to): y[i][r] = chain over k of w[r][k]*x[i][k]. */
    void (*product)(dtype t, const uint8_t *packed, size_t rows, size_t k, size_t from, size_t to, const void *acts,
                    size_t n, float *y, size_t ldy);

    /* y = x / sqrt(mean(x^2) + eps) * w, a row of n; w NULL: no weight. y may be x. */
    void (*rmsnorm)(const float *x, const float *w, size_t n, float eps, float *y);
    /* Pairs (i, i+half) of x turned by the angles whose cosines and sines are given, each f32[half]. In place. */
    void (*rope)(float *x, const float *cos, const float *sin, size_t half);
    /* y[i] = f(gate[i]) * up[i]. y may be gate or up. */
    void (*gated)(kern_activation f, const float *gate, const float *up, size_t n, float *y);
    void (*add)(const float *a, const float *b, size_t n, float *y);                 /* y = a + b */
    void (*add_scaled)(const float *a, const float *b, float s, size_t n, float *y); /* y = fma(b, s, a) */
    void (*scale)(const float *a, float s, size_t n, float *y);                      /* y = a * s */
    void (*softcap)(const float *a, float cap, size_t n, float *y);                  /* y = cap * tanh(a / cap) */
    void (*to_f16)(const float *a, size_t n, uint16_t *y);
    void (*exp)(const float *a, size_t n, float *y);
    void (*log)(const float *a, size_t n, float *y);
    void (*tanh)(const float *a, size_t n, float *y);
    void (*sin)(const float *a, size_t n, float *y);
    void (*cos)(const float *a, size_t n, float *y);
    void (*erf)(const float *a, size_t n, float *y);
    /* Attention of n <= attn_tile queries over one head's cache. scratch: kern_attn_scratch_bytes(width). */
    void (*attention)(const kern_kv *kv, const kern_attn *a, const kern_query *query, int n, void *scratch);
    /* Every NaN of a becomes 0x7fc00000. In place. */
    void (*canonical)(float *a, size_t n);
    float (*sum_squares)(const float *x, size_t n); /* by lanes */
    /* In binary64, w[i] = kern_exp64((l[i] - max) / temperature) (kern/math64.h); 1 where l[i] is max, 0 where it is
     * -inf or no number. temperature > 0. */
    void (*weights)(const float *l, size_t n, float max, double temperature, double *w);
    /* g = grad * scale;  m = fma(g - m, rise1, m);  v = fma(g*g, rise2, v * keep2);
     * w = fma(-w, decay, w);  w = fma(-(m / fma(sqrt(v), root2, eps)), rate, w) */
    void (*adamw)(const kern_adamw *a, const float *grad, size_t n, float *w, float *m, float *v);
    /* Nothing but multiply-adds, 2 operations each, on registers: what the machine can do at most. sink f32[3]: a
     * factor and a summand, both below 1, and a result. Returns the operations done. */
    double (*fma_run)(size_t n, float *sink);

    /* ---- quantising: searches for the scales of sixteen blocks at once, a lane a block. x, w f32[n][16], n at most
     * KERN_FIT_MAX: values, and how much the square of each error counts (>= 0); scale, min f32[16]; integers q
     * u8[n][16], offset so that the least is 0. Fixed candidates in a fixed order, a later one only when it is better;
     * binary32, one operation after another, as the reference quantiser does it (kern/quantise.h) ---- */

    /* x ~ scale * (q - half), q 0 .. 2*half-1, half at most 64. w NULL: x^2. 19 scales around that of the largest. */
    void (*fit_signed)(int n, int half, const float *x, const float *w, float *scale, uint8_t *q);
    /* The same, weights x^2, one element at a time made better, at most five rounds. */
    void (*fit_step)(int n, int half, const float *x, float *scale, uint8_t *q);
    /* x ~ scale * q - min, q 0 .. most, min >= 0: least squares for candidates of the range from `first` on. */
    void (*fit_range)(const kern_fit_plan *plan, int n, int most, const float *x, const float *w, float *scale,
                      float *min, uint8_t *q);

    /* ---- gradients: doc/arithmetic.md, "Gradients" ---- */

    /* out f32[cols][16]: what the sixteen rows of panel i_panel of a packed matrix mean (kern/panel.h, block.h). */
    void (*dequantise)(dtype t, const uint8_t *packed, size_t cols, size_t i_panel, float *out);
    /* Rows [row, row_end) and panels [panel, panel_end) of the chains. scratch: KERN_GEMM_SCRATCH bytes. */
    void (*gemm)(const kern_gemm *g, size_t row, size_t row_end, size_t panel, size_t panel_end, void *scratch);
    float (*dot)(const float *a, const float *b, size_t n); /* sum of a*b by lanes */
    /* dx = add + the gradient of rmsnorm(x, w) for dy, a row of n; add NULL: nothing added; dx may be dy or add.
     * *r: 1 / sqrt(mean(x^2) + eps). */
    void (*rmsnorm_back)(const float *x, const float *w, const float *dy, const float *add, size_t n, float eps,
                         float *dx, float *r);
    /* dw[c] += over n rows: dy[i][c] * (x[i][c] * r[i]); rows ld apart. */
    void (*norm_weight_back)(const float *dy, const float *x, size_t ld, const float *r, size_t n, size_t cols,
                             float *dw);
    void (*sum_rows)(const float *a, size_t lda, size_t n, size_t cols, float *y); /* y[c] = sum over rows of a[i][c] */
    /* The gradients of y = f(gate) * up, and y again. dgate may be gate, dup may be up. y may be dy. */
    void (*gated_back)(kern_activation f, const float *gate, const float *up, const float *dy, size_t n, float *dgate,
                       float *dup, float *y);
    /* Returns -log softmax(l)[target]; stat f32[2]: the largest l, and the sum of exp(l - largest). */
    float (*cross_entropy)(const float *l, size_t n, size_t target, float *stat);
    /* l becomes the gradient of weight * cross entropy by what l was before the soft cap (0: none) and `scale`. */
    void (*cross_entropy_back)(float *l, size_t n, size_t target, const float *stat, float weight, float cap,
                               float scale);
    /* Continues the chains of dq of positions [q_from, q_to), or of dk and dv of [k_from, k_to), or both, by what
     * those queries and those keys have to do with each other. Borders at multiples of KERN_ATTN_CHUNK, or n.
     * scratch: KERN_ATTN_BACK_SCRATCH bytes. */
    void (*attention_back)(const kern_attn_back *b, const kern_attn *a, int which, size_t q_from, size_t q_to,
                           size_t k_from, size_t k_to, void *scratch);
} kern_ops;

/* "auto" or NULL: the widest that this CPU runs. NULL when the name is unknown or the CPU lacks it. */
const kern_ops *kern_select(const char *isa);
/* Names this build has, widest first, NULL-terminated; and whether this CPU runs one of them. */
const char *const *kern_isa_names(void);
bool kern_isa_usable(const char *isa);

/* Rows go through products in tiles: the tile that starts at row `at` of n has this many rows:
 * `tile`, or the largest power of two that fits into what is left. */
size_t kern_tile(int tile, size_t at, size_t n);

size_t kern_attn_scratch_bytes(size_t width);

#endif
