/* config: what both readers of metadata share: limits, and which layers slide or have no rotary embedding. */
#include "model/config_int.h"

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
