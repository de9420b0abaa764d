/* v16 for AVX2 with FMA and F16C: two registers hold the 16 lanes. Contract: v16.h.
 *
 * v16_avxvnni.h includes this file with V16_VNNI set: there are instructions for dots then. Without them, dots of bytes
 * go through vpmaddubsw, which gives two sums of int16 a lane. They are added up as such while they cannot reach 32767
 * (eight dots of weights to 15, four to 31, two to 63), then vpmaddwd adds the two, and multiplies by the scale of a
 * sub-block in the same step. That is half the multiplications of going to int32 each time. Weights of eight bits give
 * their signs to the activations (vpsignb), and go to int32 each time.
 */
#include <immintrin.h>

typedef struct {
    __m256 l, h;
} v16;
typedef struct {
    __m256i l, h;
} v16i;
typedef v16i v16m; /* all ones or all zeros a lane */

/* Rows of activations that a tile may hold in registers, for products of floats, of blocks of 32, of
 * super-blocks: the largest, and the powers of two below it. */
#define V16_TILES_FLOAT(X, t) X(t, 1) X(t, 2) X(t, 4) X(t, 6)
#define V16_TILES_BLOCK(X, t) X(t, 1) X(t, 2) X(t, 4)
#define V16_TILES_SUPER(X, t) X(t, 1) X(t, 2) X(t, 4)
#define V16_UNROLL 1        /* rows of a tile become registers */
#define V16_FEW_REGISTERS 1 /* 1: chains of a tile rest in memory while a block is worked on */
enum { V16_TILE_FLOAT = 6, V16_TILE_BLOCK = 4, V16_TILE_SUPER = 4 };
#ifdef V16_VNNI
enum { V16_S8_BIAS = 128 };
#else
enum { V16_S8_BIAS = 0 };
#endif

V16_FN v16 v16_zero(void) { return (v16){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
V16_FN v16 v16_set1(float x) {
    __m256 v = _mm256_set1_ps(x);
    return (v16){v, v};
}
V16_FN v16 v16_load(const float *p) { return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
V16_FN void v16_store(float *p, v16 a) {
    _mm256_storeu_ps(p, a.l);
    _mm256_storeu_ps(p + 8, a.h);
}
V16_FN v16m v16_first(size_t n) {
    __m256i k = _mm256_set1_epi32((int)n);
    return (v16m){_mm256_cmpgt_epi32(k, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
                  _mm256_cmpgt_epi32(k, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
}
V16_FN v16 v16_load_n(const float *p, size_t n) {
    v16m m = v16_first(n);
    return (v16){_mm256_maskload_ps(p, m.l), _mm256_maskload_ps(p + 8, m.h)};
}
V16_FN void v16_store_n(float *p, v16 a, size_t n) {
    v16m m = v16_first(n);
    _mm256_maskstore_ps(p, m.l, a.l);
    _mm256_maskstore_ps(p + 8, m.h, a.h);
}
V16_FN v16 v16_load_f16(const uint16_t *p) {
    return (v16){_mm256_cvtph_ps(_mm_loadu_si128((const void *)p)),
                 _mm256_cvtph_ps(_mm_loadu_si128((const void *)(p + 8)))};
}
V16_FN void v16_store_f16(uint16_t *p, v16 a) {
    _mm_storeu_si128((void *)p, _mm256_cvtps_ph(a.l, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    _mm_storeu_si128((void *)(p + 8), _mm256_cvtps_ph(a.h, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
V16_FN v16i v16i_load_u16(const uint16_t *p) {
    return (v16i){_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p)),
                  _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(p + 8)))};
}
V16_FN v16 v16_load_bf16(const uint16_t *p) {
    v16i a = v16i_load_u16(p);
    return (v16){_mm256_castsi256_ps(_mm256_slli_epi32(a.l, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(a.h, 16))};
}
V16_FN v16 v16_add(v16 a, v16 b) { return (v16){_mm256_add_ps(a.l, b.l), _mm256_add_ps(a.h, b.h)}; }
V16_FN v16 v16_sub(v16 a, v16 b) { return (v16){_mm256_sub_ps(a.l, b.l), _mm256_sub_ps(a.h, b.h)}; }
V16_FN v16 v16_mul(v16 a, v16 b) { return (v16){_mm256_mul_ps(a.l, b.l), _mm256_mul_ps(a.h, b.h)}; }
V16_FN v16 v16_div(v16 a, v16 b) { return (v16){_mm256_div_ps(a.l, b.l), _mm256_div_ps(a.h, b.h)}; }
V16_FN v16 v16_sqrt(v16 a) { return (v16){_mm256_sqrt_ps(a.l), _mm256_sqrt_ps(a.h)}; }
V16_FN v16 v16_fma(v16 a, v16 b, v16 c) {
    return (v16){_mm256_fmadd_ps(a.l, b.l, c.l), _mm256_fmadd_ps(a.h, b.h, c.h)};
}
V16_FN v16 v16_fnma(v16 a, v16 b, v16 c) {
    return (v16){_mm256_fnmadd_ps(a.l, b.l, c.l), _mm256_fnmadd_ps(a.h, b.h, c.h)};
}
V16_FN v16 v16_max(v16 a, v16 b) { return (v16){_mm256_max_ps(a.l, b.l), _mm256_max_ps(a.h, b.h)}; }
V16_FN v16 v16_min(v16 a, v16 b) { return (v16){_mm256_min_ps(a.l, b.l), _mm256_min_ps(a.h, b.h)}; }
V16_FN v16m v16_lt(v16 a, v16 b) {
    return (v16m){_mm256_castps_si256(_mm256_cmp_ps(a.l, b.l, _CMP_LT_OQ)),
                  _mm256_castps_si256(_mm256_cmp_ps(a.h, b.h, _CMP_LT_OQ))};
}
V16_FN v16 v16_sel(v16m m, v16 a, v16 b) {
    return (v16){_mm256_blendv_ps(b.l, a.l, _mm256_castsi256_ps(m.l)),
                 _mm256_blendv_ps(b.h, a.h, _mm256_castsi256_ps(m.h))};
}
V16_FN v16 v16_from_i(v16i a) { return (v16){_mm256_cvtepi32_ps(a.l), _mm256_cvtepi32_ps(a.h)}; }
V16_FN v16i v16_rint(v16 a) { return (v16i){_mm256_cvtps_epi32(a.l), _mm256_cvtps_epi32(a.h)}; }
V16_FN v16i v16_bits(v16 a) { return (v16i){_mm256_castps_si256(a.l), _mm256_castps_si256(a.h)}; }
V16_FN v16 v16i_float(v16i a) { return (v16){_mm256_castsi256_ps(a.l), _mm256_castsi256_ps(a.h)}; }

V16_FN v16i v16i_set1(int32_t x) {
    __m256i v = _mm256_set1_epi32(x);
    return (v16i){v, v};
}
V16_FN v16i v16i_load(const void *p) {
    return (v16i){_mm256_loadu_si256(p), _mm256_loadu_si256((const __m256i *)p + 1)};
}
V16_FN void v16i_store(void *p, v16i a) {
    _mm256_storeu_si256(p, a.l);
    _mm256_storeu_si256((__m256i *)p + 1, a.h);
}
V16_FN v16i v16i_add(v16i a, v16i b) { return (v16i){_mm256_add_epi32(a.l, b.l), _mm256_add_epi32(a.h, b.h)}; }
V16_FN v16i v16i_sub(v16i a, v16i b) { return (v16i){_mm256_sub_epi32(a.l, b.l), _mm256_sub_epi32(a.h, b.h)}; }
V16_FN v16i v16i_mul(v16i a, v16i b) { return (v16i){_mm256_mullo_epi32(a.l, b.l), _mm256_mullo_epi32(a.h, b.h)}; }
V16_FN v16i v16i_and(v16i a, v16i b) { return (v16i){_mm256_and_si256(a.l, b.l), _mm256_and_si256(a.h, b.h)}; }
V16_FN v16i v16i_or(v16i a, v16i b) { return (v16i){_mm256_or_si256(a.l, b.l), _mm256_or_si256(a.h, b.h)}; }
V16_FN v16i v16i_xor(v16i a, v16i b) { return (v16i){_mm256_xor_si256(a.l, b.l), _mm256_xor_si256(a.h, b.h)}; }
V16_FN v16i v16i_shl(v16i a, int n) { return (v16i){_mm256_slli_epi32(a.l, n), _mm256_slli_epi32(a.h, n)}; }
V16_FN v16i v16i_shr(v16i a, int n) { return (v16i){_mm256_srli_epi32(a.l, n), _mm256_srli_epi32(a.h, n)}; }
V16_FN v16i v16i_sar(v16i a, int n) { return (v16i){_mm256_srai_epi32(a.l, n), _mm256_srai_epi32(a.h, n)}; }
V16_FN v16m v16i_odd(v16i a) {
    __m256i one = _mm256_set1_epi32(1);
    return (v16m){_mm256_cmpeq_epi32(_mm256_and_si256(a.l, one), one),
                  _mm256_cmpeq_epi32(_mm256_and_si256(a.h, one), one)};
}
/* Holds a sum where it is written: compilers would rather multiply everything first, add up in a tree, and have no
 * registers left for what waits. */
#define V16_HERE(a) __asm__("" : "+x"((a).l), "+x"((a).h))

#ifdef V16_VNNI
V16_FN v16i v16i_dot_u8(v16i acc, v16i w, int32_t x) {
    __m256i v = _mm256_set1_epi32(x);
    return (v16i){V16_DPBUSD(acc.l, w.l, v), V16_DPBUSD(acc.h, w.h, v)};
}
V16_FN v16i v16h_dot(v16i acc, v16i w, int32_t x) { return v16i_dot_u8(acc, w, x); }
V16_FN v16i v16i_dot_s8(v16i acc, v16i w, int32_t x) { return v16i_dot_u8(acc, w, x); }
#else
#define V16_PAIRS 1
#define V16_RUN(wmax) (32767 / (2 * 127 * (wmax)))
typedef v16i v16h;
V16_FN v16h v16h_begin(v16i sum) {
    (void)sum;
    return v16i_set1(0);
}
V16_FN v16h v16h_dot(v16h h, v16i w, int32_t x) {
    __m256i v = _mm256_set1_epi32(x);
    h = (v16h){_mm256_add_epi16(h.l, _mm256_maddubs_epi16(w.l, v)),
               _mm256_add_epi16(h.h, _mm256_maddubs_epi16(w.h, v))};
    V16_HERE(h);
    return h;
}
V16_FN v16i v16h_factor(v16i f) {
    __m256i low = _mm256_set1_epi32(0xffff);
    return (v16i){_mm256_or_si256(_mm256_and_si256(f.l, low), _mm256_slli_epi32(f.l, 16)),
                  _mm256_or_si256(_mm256_and_si256(f.h, low), _mm256_slli_epi32(f.h, 16))};
}
V16_FN v16i v16h_end_scaled(v16h h, v16i sum, v16i f) {
    sum = (v16i){_mm256_add_epi32(sum.l, _mm256_madd_epi16(h.l, f.l)),
                 _mm256_add_epi32(sum.h, _mm256_madd_epi16(h.h, f.h))};
    V16_HERE(sum);
    return sum;
}
V16_FN v16i v16h_end(v16h h, v16i sum) {
    __m256i one = _mm256_set1_epi16(1);
    return v16h_end_scaled(h, sum, (v16i){one, one});
}

/* |w| * (x with the sign of w): two products stay within int16, for x is never -128. */
V16_FN __m256i v16_dot_signs(__m256i acc, __m256i w, __m256i x) {
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
V16_FN v16i v16i_dot_s8(v16i acc, v16i w, int32_t x) {
    __m256i v = _mm256_set1_epi32(x);
    acc = (v16i){v16_dot_signs(acc.l, w.l, v), v16_dot_signs(acc.h, w.h, v)};
    V16_HERE(acc);
    return acc;
}
#endif
V16_FN v16i v16i_dot_s16(v16i acc, v16i w, int32_t x) {
    __m256i v = _mm256_set1_epi32(x);
    return (v16i){_mm256_add_epi32(acc.l, _mm256_madd_epi16(w.l, v)),
                  _mm256_add_epi32(acc.h, _mm256_madd_epi16(w.h, v))};
}

#define V16_FMA64(a, b, c) _mm256_fmadd_pd(a, b, c) /* of four doubles */

#define V16_FOLDS 1
V16_FN float v16_sum(v16 a) {
    __m256 b = _mm256_add_ps(a.l, a.h);
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
V16_FN float v16_hmax(v16 a) {
    __m256 b = _mm256_max_ps(a.l, a.h);
    __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}
V16_FN int32_t v16i_sum(v16i a) {
    __m256i b = _mm256_add_epi32(a.l, a.h);
    __m128i c = _mm_add_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));
    c = _mm_add_epi32(c, _mm_shuffle_epi32(c, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(c, _mm_shuffle_epi32(c, 0xb1)));
}
V16_FN void v16i_store_s8(int8_t *p, v16i a) {
    __m256i w = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.l, a.h), 0xd8); /* int16, in order */
    _mm_storeu_si128((void *)p, _mm_packs_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1)));
}
