/* params: what a request says of how to generate, from JSON to the engine's terms.
 *
 * A field that is missing or null keeps what stands there; one of a wrong type or out of range is ERR_USAGE that names
 * it. Fields that would change the answer and are not supported are refused, not ignored. Strings are borrowed from the
 * body. Proved by test_serve.c.
 */
#ifndef LOAM_SERVE_PARAMS_H
#define LOAM_SERVE_PARAMS_H

#include "base/arena.h"
#include "gen/chat.h"
#include "gen/engine.h"

enum { PARAMS_BIAS_MAX = 4096, PARAMS_N_MAX = 64 };

typedef struct {
    sampler_config sampling;
    size_t n_max; /* tokens; 0: until the context is full */
    bool nothing; /* no token at all: max_tokens 0 */
    size_t n;     /* texts for each prompt */
    str stop[STOPS_MAX];
    size_t n_stop;
    const engine_scored *bias;
    size_t n_bias, n_top;
    bool logprobs, stream, usage, ignore_end, special;
    grammar *grammar; /* the answer's form (form.h); NULL: any */
} params;

/* Single fields. */
err_code param_real(const json_t *o, const char *key, double min, double max, float *x, err *e);
err_code param_int(const json_t *o, const char *key, int64_t min, int64_t max, int64_t *x, err *e);
err_code param_bool(const json_t *o, const char *key, bool *x, err *e);
err_code param_str(const json_t *o, const char *key, str *x, err *e);
/* A string or an array of strings. */
err_code param_stop(const json_t *o, const char *key, params *p, err *e);
/* keys[] ends with NULL. ERR_UNSUPPORTED when one is there and neither null, false, "", [] nor {}. */
err_code param_refuse(const json_t *o, const char *const *keys, err *e);

/* The fields that all APIs spell alike: temperature, top_p, top_k, min_p, seed, penalties, and the OpenAI ones:
 * logit_bias, n, stream, stream_options. `mem` takes the biases. */
err_code params_sampling(const json_t *o, params *p, err *e);
err_code params_openai(const json_t *o, params *p, arena *mem, err *e);
/* What OpenAI and Anthropic promise without any field: temperature 1, nothing cut off. */
params params_plain(void);

/* The text of "content": a string, null, or parts; parts that are no text are ERR_UNSUPPORTED. */
err_code params_content(const json_t *content, arena *mem, str *out, err *e);

#endif
