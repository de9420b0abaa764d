/* rope: rotary frequencies and angles; see rope.h. */
#include "model/rope.h"

#include "kern/math64.h"

static const double TWO_PI = 6.283185307179586476925287;

/* Down to its own scale where the wavelength is longer than the original context, kept where it is short,
 * and between them a blend. */
static double llama3(const rope_config *r, double f, size_t original_ctx) {
    double wave = TWO_PI / f, original = (double)original_ctx;
    if (wave < original / r->high_freq_factor)
        return f;
    if (wave > original / r->low_freq_factor)
        return f / r->factor;
    double s = (original / wave - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
    return (1 - s) * f / r->factor + s * f;
}

static double floor64(double x) {
    if (!(x > -4503599627370496.0 && x < 4503599627370496.0)) /* 2^52: whole already; or not a number */
        return x;
    double t = (double)(long long)x;
    return t > x ? t - 1 : t;
}

/* The dimension whose wavelength makes `turns` turns over the original context. */
static double yarn_dim(const rope_config *r, size_t width, size_t original_ctx, double turns) {
    return (double)width * kern_log64((double)original_ctx / (turns * TWO_PI)) / (2 * kern_log64(r->theta));
}

static double yarn(const rope_config *r, double f, size_t i, size_t width, size_t original_ctx) {
    double low = yarn_dim(r, width, original_ctx, r->beta_fast), high = yarn_dim(r, width, original_ctx, r->beta_slow);
    if (r->truncate) {
        low = floor64(low);
        high = -floor64(-high);
    }
    low = low > 0 ? low : 0;
    high = high < (double)(width - 1) ? high : (double)(width - 1);
    if (low == high)
        high += 0.001;
    double ramp = ((double)i - low) / (high - low);
    ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
    return f / r->factor * ramp + f * (1 - ramp);
}

void rope_frequencies(const rope_config *r, size_t width, size_t original_ctx, bool grown, float *freq) {
    const float *divide = grown && r->divide_long ? r->divide_long : r->divide_short;
    for (size_t i = 0; i < width / 2; i++) {
        double f = 1 / kern_pow64(r->theta, 2 * (double)i / (double)width);
        if (divide)
            f /= (double)divide[i];
        switch (r->scaling) {
        case ROPE_LINEAR:
            f /= r->factor;
            break;
        case ROPE_LLAMA3:
            f = llama3(r, f, original_ctx);
            break;
        case ROPE_YARN:
            f = yarn(r, f, i, width, original_ctx);
            break;
        default:
            break;
        }
        freq[i] = (float)f;
    }
}

void rope_angles(const kern_ops *k, const float *freq, size_t half, float factor, size_t pos, size_t n, float *cos,
                 float *sin) {
    for (size_t t = 0; t < n; t++, cos += half, sin += half) {
        k->scale(freq, (float)(pos + t), half, sin); /* the angles, for a moment */
        k->cos(sin, half, cos);
        k->sin(sin, half, sin);
        if (factor != 1.0f) {
            k->scale(cos, factor, half, cos);
            k->scale(sin, factor, half, sin);
        }
    }
}
