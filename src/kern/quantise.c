/* quantise: floats to the formats of files; see quantise.h. */
#include "kern/quantise.h"

#include <string.h>

#include "kern/half.h"

static bool finite(float f) { return f - f == 0; }

bool quantise_row(dtype t, const float *x, size_t n, const float *importance, uint8_t *out) {
    (void)importance;
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        uint16_t h = 0;
        good &= finite(x[i]);
        if (t == DTYPE_F32) {
            memcpy(out + 4 * i, &x[i], sizeof x[i]);
            continue;
        }
        h = t == DTYPE_F16 ? half_from_f32(x[i]) : bf16_from_f32(x[i]);
        good &= t == DTYPE_F16 ? (h & 0x7c00) != 0x7c00 : (h & 0x7f80) != 0x7f80;
        memcpy(out + 2 * i, &h, sizeof h);
    }
    return good;
}
