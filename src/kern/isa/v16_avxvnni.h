/* v16 for AVX2 with AVX-VNNI (Alder Lake, Zen 5 and later): v16_avx2.h with the instruction for dots of bytes.
 *
 * EMULATE_VNNI=1 (see the Makefile) builds it for any CPU with AVX2, to test all but that instruction.
 */
#include <immintrin.h>

#define V16_VNNI 1
#ifdef V16_EMULATE_VNNI
static inline __m256i v16_dpbusd(__m256i acc, __m256i w, __m256i x) {
    __m256i mask = _mm256_set1_epi16(0xff);
    __m256i even = _mm256_madd_epi16(_mm256_and_si256(w, mask), _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8));
    __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(w, 8), _mm256_srai_epi16(x, 8));
    return _mm256_add_epi32(acc, _mm256_add_epi32(even, odd));
}
#define V16_DPBUSD v16_dpbusd
#else
#define V16_DPBUSD _mm256_dpbusd_avx_epi32
#endif
#include "kern/isa/v16_avx2.h"
