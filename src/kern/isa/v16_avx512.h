/* v16 for AVX-512 (F, BW, VL, DQ, VNNI): one register holds the 16 lanes. Contract: v16.h. */
#include <immintrin.h>

typedef __m512 v16;
typedef __m512i v16i;
typedef __mmask16 v16m;

/* Rows of activations that a tile may hold in registers, for products of floats, of blocks of 32, of
 * super-blocks: the largest, and the powers of two below it. */
#define V16_TILES_FLOAT(X, t) X(t, 1) X(t, 2) X(t, 4) X(t, 8) X(t, 14)
#define V16_TILES_BLOCK(X, t) X(t, 1) X(t, 2) X(t, 4) X(t, 8) X(t, 14)
#define V16_TILES_SUPER(X, t) X(t, 1) X(t, 2) X(t, 4) X(t, 8) X(t, 12)
#define V16_UNROLL 1        /* rows of a tile become registers */
#define V16_FEW_REGISTERS 0 /* 1: chains of a tile rest in memory while a block is worked on */
enum { V16_TILE_FLOAT = 14, V16_TILE_BLOCK = 14, V16_TILE_SUPER = 12, V16_S8_BIAS = 128 };

V16_FN v16 v16_zero(void) { return _mm512_setzero_ps(); }
V16_FN v16 v16_set1(float x) { return _mm512_set1_ps(x); }
V16_FN v16 v16_load(const float *p) { return _mm512_loadu_ps(p); }
V16_FN void v16_store(float *p, v16 a) { _mm512_storeu_ps(p, a); }
V16_FN v16 v16_load_n(const float *p, size_t n) { return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
V16_FN void v16_store_n(float *p, v16 a, size_t n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), a); }
V16_FN v16 v16_load_f16(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p)); }
V16_FN void v16_store_f16(uint16_t *p, v16 a) {
    _mm256_storeu_si256((void *)p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
V16_FN v16 v16_load_bf16(const uint16_t *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p)), 16));
}
V16_FN v16 v16_add(v16 a, v16 b) { return _mm512_add_ps(a, b); }
V16_FN v16 v16_sub(v16 a, v16 b) { return _mm512_sub_ps(a, b); }
V16_FN v16 v16_mul(v16 a, v16 b) { return _mm512_mul_ps(a, b); }
V16_FN v16 v16_div(v16 a, v16 b) { return _mm512_div_ps(a, b); }
V16_FN v16 v16_sqrt(v16 a) { return _mm512_sqrt_ps(a); }
V16_FN v16 v16_fma(v16 a, v16 b, v16 c) { return _mm512_fmadd_ps(a, b, c); }
V16_FN v16 v16_fnma(v16 a, v16 b, v16 c) { return _mm512_fnmadd_ps(a, b, c); }
V16_FN v16 v16_max(v16 a, v16 b) { return _mm512_max_ps(a, b); }
V16_FN v16 v16_min(v16 a, v16 b) { return _mm512_min_ps(a, b); }
V16_FN v16m v16_lt(v16 a, v16 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
V16_FN v16 v16_sel(v16m m, v16 a, v16 b) { return _mm512_mask_blend_ps(m, b, a); }
V16_FN v16m v16_first(size_t n) { return (__mmask16)((1u << n) - 1); }
V16_FN v16 v16_from_i(v16i a) { return _mm512_cvtepi32_ps(a); }
V16_FN v16i v16_rint(v16 a) { return _mm512_cvt_roundps_epi32(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
V16_FN v16i v16_bits(v16 a) { return _mm512_castps_si512(a); }
V16_FN v16 v16i_float(v16i a) { return _mm512_castsi512_ps(a); }

V16_FN v16i v16i_set1(int32_t x) { return _mm512_set1_epi32(x); }
V16_FN v16i v16i_load(const void *p) { return _mm512_loadu_si512(p); }
V16_FN void v16i_store(void *p, v16i a) { _mm512_storeu_si512(p, a); }
V16_FN v16i v16i_load_u16(const uint16_t *p) { return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p)); }
V16_FN v16i v16i_add(v16i a, v16i b) { return _mm512_add_epi32(a, b); }
V16_FN v16i v16i_sub(v16i a, v16i b) { return _mm512_sub_epi32(a, b); }
V16_FN v16i v16i_mul(v16i a, v16i b) { return _mm512_mullo_epi32(a, b); }
V16_FN v16i v16i_and(v16i a, v16i b) { return _mm512_and_si512(a, b); }
V16_FN v16i v16i_or(v16i a, v16i b) { return _mm512_or_si512(a, b); }
V16_FN v16i v16i_xor(v16i a, v16i b) { return _mm512_xor_si512(a, b); }
V16_FN v16i v16i_shl(v16i a, int n) { return _mm512_slli_epi32(a, (unsigned)n); }
V16_FN v16i v16i_shr(v16i a, int n) { return _mm512_srli_epi32(a, (unsigned)n); }
V16_FN v16i v16i_sar(v16i a, int n) { return _mm512_srai_epi32(a, (unsigned)n); }
V16_FN v16m v16i_odd(v16i a) { return _mm512_test_epi32_mask(a, _mm512_set1_epi32(1)); }
V16_FN v16i v16h_dot(v16i acc, v16i w, int32_t x) { return _mm512_dpbusd_epi32(acc, w, _mm512_set1_epi32(x)); }
V16_FN v16i v16i_dot_s8(v16i acc, v16i w, int32_t x) { return _mm512_dpbusd_epi32(acc, w, _mm512_set1_epi32(x)); }
V16_FN v16i v16i_dot_s16(v16i acc, v16i w, int32_t x) { return _mm512_dpwssd_epi32(acc, w, _mm512_set1_epi32(x)); }

#define V16_FMA64(a, b, c) _mm256_fmadd_pd(a, b, c) /* of four doubles */

#define V16_FOLDS 1
V16_FN __m256 v16_high(v16 a) { return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a), 1)); }
V16_FN float v16_sum(v16 a) {
    __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), v16_high(a));
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
V16_FN float v16_hmax(v16 a) {
    __m256 b = _mm256_max_ps(_mm512_castps512_ps256(a), v16_high(a));
    __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}
V16_FN int32_t v16i_sum(v16i a) { return _mm512_reduce_add_epi32(a); }
V16_FN void v16i_store_s8(int8_t *p, v16i a) { _mm_storeu_si128((void *)p, _mm512_cvtepi32_epi8(a)); }
