/* config: what both readers of metadata share: limits, and which layers slide or have no rotary embedding. */
#include "model/config_int.h"
#include "model/rope.h"

err_code config_check(const model_config *c, err *e) {
    const struct {
        const char *what;
        size_t value, max;
    } bound[] = {
        {"layers", c->L, CONFIG_LAYERS_MAX},
        {"width", c->D, CONFIG_WIDTH_MAX},
        {"attention heads", c->H, CONFIG_HEADS_MAX},
        {"key/value heads", c->G, CONFIG_HEADS_MAX},
        {"head width", c->K, CONFIG_HEAD_WIDTH_MAX},
        {"feed-forward width", c->F, CONFIG_WIDTH_MAX},
        {"context length", c->ctx_train, CONFIG_CTX_MAX},
    };
    for (size_t i = 0; i < sizeof bound / sizeof *bound; i++)
        if (bound[i].value < 1 || bound[i].value > bound[i].max)
            return err_set(e, ERR_LIMIT, "%s is %zu, must be 1 to %zu", bound[i].what, bound[i].value, bound[i].max);
    if (c->V > CONFIG_VOCAB_MAX)
        return err_set(e, ERR_LIMIT, "vocabulary of %zu, must be at most %d", c->V, CONFIG_VOCAB_MAX);
    if (c->H % c->G)
        return err_set(e, ERR_FORMAT, "%zu attention heads cannot share %zu key/value heads evenly", c->H, c->G);
    if (c->K % 2)
        return err_set(e, ERR_FORMAT, "head width is %zu, must be even", c->K);
    if (c->rope_width % 2 || c->rope_width > c->K)
        return err_set(e, ERR_FORMAT, "%zu rotated dimensions of a head of %zu: must be even and no more",
                       c->rope_width, c->K);
    const rope_config *ropes[] = {&c->rope, &c->rope_local};
    for (int i = 0; i < 2; i++) {
        const rope_config *r = ropes[i];
        if (!(r->theta > 0 && r->theta < 1e18))
            return err_set(e, ERR_FORMAT, "rotary base is %g, must be positive", r->theta);
        if (r->scaling != ROPE_PLAIN && !(r->factor > 0 && r->factor < 1e9))
            return err_set(e, ERR_FORMAT, "rotary scaling factor is %g, must be positive", r->factor);
        if (r->scaling == ROPE_LLAMA3 && !(r->high_freq_factor > r->low_freq_factor && r->low_freq_factor > 0))
            return err_set(e, ERR_FORMAT, "llama3 rotary scaling: high_freq_factor %g must exceed low_freq_factor %g",
                           r->high_freq_factor, r->low_freq_factor);
        if (r->scaling == ROPE_YARN && !(r->theta > 1))
            return err_set(e, ERR_FORMAT, "yarn: rotary base is %g, must be above 1", r->theta);
        if (r->scaling == ROPE_YARN && !(r->beta_fast > r->beta_slow && r->beta_slow > 0))
            return err_set(e, ERR_FORMAT, "yarn: beta_fast %g must exceed beta_slow %g", r->beta_fast, r->beta_slow);
        if (r->scaling >= ROPE_LLAMA3 && c->original_ctx < 1)
            return err_set(e, ERR_FORMAT, "rotary scaling needs the original context length");
        if (!(r->attn_factor > 0 && r->attn_factor < 1e6))
            return err_set(e, ERR_FORMAT, "rotary attention factor is %g, must be positive", r->attn_factor);
    }
    if (!(c->norm_eps > 0 && c->norm_eps < 1))
        return err_set(e, ERR_FORMAT, "norm epsilon is %g, must be positive and below 1", c->norm_eps);
    const double scales[] = {c->embed_scale, c->residual_scale, c->attn_scale, c->logit_scale};
    for (int i = 0; i < 4; i++)
        if (!(scales[i] > -1e9 && scales[i] < 1e9) || scales[i] == 0)
            return err_set(e, ERR_FORMAT, "a multiplier is %g, must be finite and not zero", scales[i]);
    if (!(c->attn_softcap >= 0 && c->attn_softcap < 1e9 && c->logit_softcap >= 0 && c->logit_softcap < 1e9))
        return err_set(e, ERR_FORMAT, "a soft cap is negative or not finite");
    return ERR_OK;
}

err_code config_layers(model_config *c, size_t period, size_t first_sliding, arena *mem, err *e) {
    if (c->L < 1 || c->L > CONFIG_LAYERS_MAX)
        return err_set(e, ERR_LIMIT, "%zu layers, must be 1 to %d", c->L, CONFIG_LAYERS_MAX);
    uint8_t *slides, *nope;
    ARENA_NEW(mem, slides, c->L, e);
    ARENA_NEW(mem, nope, c->L, e);
    for (size_t i = 0; i < c->L; i++) {
        nope[i] = c->arch->nope_period && (i + 1) % (size_t)c->arch->nope_period == 0;
        switch (c->arch->slide) {
        case SLIDE_ALL:
            slides[i] = 1;
            break;
        case SLIDE_BUT_LAST:
            slides[i] = period && (i + 1) % period != 0;
            break;
        case SLIDE_FROM_LAYER:
            slides[i] = i >= first_sliding;
            break;
        case SLIDE_WHERE_NOPE:
            slides[i] = nope[i];
            break;
        default:
            break;
        }
        slides[i] = slides[i] && c->window;
    }
    c->layer_slides = slides;
    c->layer_no_rope = nope;
    return ERR_OK;
}

bool config_same_frequency(float a, float b) {
    double x = (double)a, y = (double)b, d = x > y ? x - y : y - x;
    return d <= 0x1p-22 * (x > y ? x : y);
}

static bool same_ropes(const model_config *a, const rope_config *ra, const model_config *b, const rope_config *rb) {
    float fa[CONFIG_HEAD_WIDTH_MAX / 2], fb[CONFIG_HEAD_WIDTH_MAX / 2];
    bool grows = false;
    for (int grown = 0; grown < 2; grown++) {
        rope_frequencies(ra, a->rope_width, a->original_ctx, grown != 0, fa);
        rope_frequencies(rb, b->rope_width, b->original_ctx, grown != 0, fb);
        for (size_t i = 0; i < a->rope_width / 2; i++) {
            if (!config_same_frequency(fa[i], fb[i]))
                return false;
            grows |= ra->divide_long && ra->divide_long[i] != ra->divide_short[i];
        }
    }
    return (float)ra->attn_factor == (float)rb->attn_factor && (!grows || a->original_ctx == b->original_ctx);
}

const char *config_difference(const model_config *a, const model_config *b) {
    const struct {
        const char *what;
        size_t a, b;
    } sizes[] = {
        {"layers", a->L, b->L},
        {"width", a->D, b->D},
        {"attention heads", a->H, b->H},
        {"key/value heads", a->G, b->G},
        {"head width", a->K, b->K},
        {"feed-forward width", a->F, b->F},
        {"vocabulary", a->V ? a->V : b->V, b->V ? b->V : a->V},
        {"context length", a->ctx_train, b->ctx_train},
        {"rotated dimensions", a->rope_width, b->rope_width},
        {"tied output", a->tied, b->tied},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].a != sizes[i].b)
            return sizes[i].what;
    const struct {
        const char *what;
        double a, b;
    } numbers[] = {
        {"norm epsilon", a->norm_eps, b->norm_eps},
        {"embedding multiplier", a->embed_scale, b->embed_scale},
        {"residual multiplier", a->residual_scale, b->residual_scale},
        {"attention scale", a->attn_scale, b->attn_scale},
        {"logit multiplier", a->logit_scale, b->logit_scale},
        {"attention soft cap", a->attn_softcap, b->attn_softcap},
        {"logit soft cap", a->logit_softcap, b->logit_softcap},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if ((float)numbers[i].a != (float)numbers[i].b)
            return numbers[i].what;
    bool any = false, local = a->arch->local_rope || b->arch->local_rope;
    for (size_t i = 0; i < a->L; i++) {
        if ((a->layer_slides[i] != 0) != (b->layer_slides[i] != 0))
            return "sliding layers";
        if ((a->layer_no_rope[i] != 0) != (b->layer_no_rope[i] != 0))
            return "layers without rotary embedding";
        any |= a->layer_slides[i] != 0;
    }
    if (any && a->window != b->window)
        return "sliding window";
    if (!same_ropes(a, &a->rope, b, &b->rope))
        return "rotary embedding";
    if (any && local &&
        !same_ropes(a, a->arch->local_rope ? &a->rope_local : &a->rope, b,
                    b->arch->local_rope ? &b->rope_local : &b->rope))
        return "rotary embedding of sliding layers";
    return NULL;
}
