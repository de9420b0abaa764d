/* recipe: one table of keys; writing, reading, checking and comparing walk it. See recipe.h. */
#include "train/recipe.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kern/kern.h"
#include "text/json.h"
#include "train/answers.h"

static const char FORMAT[] = "loam recipe 1";

typedef enum { KEY_COUNT, KEY_REAL, KEY_FLAG, KEY_NAME, KEY_HASH } key_kind;

typedef struct {
    const char *section, *name; /* section NULL: at top level */
    key_kind kind;
    size_t at;
    double min, max; /* of KEY_COUNT and KEY_REAL, both included */
    unsigned when;
} key;

enum {
    EVER = 0,
    SPARE = 1, /* not written where it is 0, false or empty, which is also what a missing one says */
    NEW = 2,   /* in recipes of new models alone */
    TUNED = 4, /* in recipes with a base alone */
};

#define KEY(kind, section, name, min, max, when) \
    { #section, #name, KEY_##kind, offsetof(recipe, section.name), (min), (max), (when) }
#define COUNT(section, name, min, max) KEY(COUNT, section, name, min, max, EVER)
#define REAL(section, name, min, max) KEY(REAL, section, name, min, max, EVER)
#define NAME(section, name) KEY(NAME, section, name, 0, 0, EVER)
#define HASH(section, name) KEY(HASH, section, name, 0, 0, EVER)
#define FLAG(section, name) KEY(FLAG, section, name, 0, 0, EVER)
#define BIG 9007199254740992.0 /* 2^53: whole numbers up to here survive any JSON reader */

static const key keys[] = {
    {NULL, "arithmetic", KEY_COUNT, offsetof(recipe, arithmetic), 1, 1e6, EVER},
    KEY(HASH, base, digest, 0, 0, TUNED),
    NAME(model, arch),
    COUNT(model, layers, 1, CONFIG_LAYERS_MAX),
    COUNT(model, width, 1, CONFIG_WIDTH_MAX),
    COUNT(model, heads, 1, CONFIG_HEADS_MAX),
    COUNT(model, kv_heads, 1, CONFIG_HEADS_MAX),
    COUNT(model, head_width, 2, CONFIG_HEAD_WIDTH_MAX),
    COUNT(model, ff, 1, CONFIG_WIDTH_MAX),
    COUNT(model, vocab, 2, CONFIG_VOCAB_MAX),
    COUNT(model, ctx, 2, 1 << 20),
    COUNT(model, window, 0, 1 << 20),
    FLAG(model, tied),
    REAL(model, rope_theta, 1, 1e12),
    REAL(model, norm_eps, 1e-12, 0.1),
    HASH(data, digest),
    COUNT(data, documents, 1, BIG),
    REAL(data, val_share, 0, 0.5),
    KEY(NAME, data, answers, 0, 0, NEW | SPARE),
    KEY(REAL, data, elsewhere, 0, 1, NEW | SPARE),
    KEY(HASH, tokenizer, digest, 0, 0, NEW),
    KEY(COUNT, tokenizer, end, 0, CONFIG_VOCAB_MAX - 1, NEW),
    KEY(FLAG, tokenizer, parse_special, 0, 0, NEW | SPARE),
    COUNT(batch, sequences, 1, 1 << 20),
    COUNT(batch, micro, 1, 1 << 20),
    COUNT(init, seed, 0, BIG),
    KEY(REAL, init, embed, 0, 10, NEW),
    KEY(REAL, init, gain, 0, 10, NEW),
    COUNT(optimizer, steps, 1, 1e9),
    NAME(optimizer, schedule),
    REAL(optimizer, lr, 0, 10),
    REAL(optimizer, min_lr, 0, 10),
    COUNT(optimizer, warmup, 0, 1e9),
    COUNT(optimizer, cooldown, 0, 1e9),
    REAL(optimizer, beta1, 0, 0.999999),
    REAL(optimizer, beta2, 0, 0.9999999),
    REAL(optimizer, eps, 1e-20, 0.1),
    REAL(optimizer, decay, 0, 10),
    REAL(optimizer, clip, 0, 1e9),
    COUNT(chain, roots_every, 1, 1e9),
    KEY(NAME, tune, method, 0, 0, TUNED),
    KEY(NAME, tune, objective, 0, 0, TUNED),
    KEY(HASH, tune, template, 0, 0, TUNED),
    KEY(NAME, tune, roles, 0, 0, TUNED),
    KEY(COUNT, tune, date, 0, BIG, TUNED | SPARE),
    KEY(FLAG, tune, drop_long, 0, 0, TUNED | SPARE),
    KEY(COUNT, tune, rank, 0, CONFIG_WIDTH_MAX, TUNED | SPARE),
    KEY(REAL, tune, alpha, 0, 1e6, TUNED | SPARE),
    KEY(REAL, tune, dropout, 0, 0.9, TUNED | SPARE),
    KEY(FLAG, tune, rslora, 0, 0, TUNED | SPARE),
    KEY(FLAG, tune, dora, 0, 0, TUNED | SPARE),
    KEY(NAME, tune, parts, 0, 0, TUNED | SPARE),
    KEY(NAME, tune, layers, 0, 0, TUNED | SPARE),
    KEY(REAL, tune, beta, 0, 1000, TUNED | SPARE),
    KEY(COUNT, tune, patience, 0, 1e9, TUNED | SPARE),
    KEY(FLAG, tune, best, 0, 0, TUNED | SPARE),
};
enum { KEYS = sizeof keys / sizeof *keys };

static const void *field(const recipe *r, const key *k) { return (const char *)r + k->at; }

static err_code fail(err *e, err_code code, const key *k, const char *what) {
    return err_set(e, code, "recipe: %s%s%s: %s", k->section ? k->section : "", k->section ? "." : "", k->name, what);
}

/* ---- text ---- */

static err_code value_text(const recipe *r, const key *k, strbuf *out, err *e) {
    char hex[65];
    hash256 h;
    switch (k->kind) {
    case KEY_COUNT:
        return strbuf_addf(out, e, "%" PRIu64, *(const uint64_t *)field(r, k));
    case KEY_REAL:
        return strbuf_add_real(out, *(const double *)field(r, k), 1, e);
    case KEY_FLAG:
        return strbuf_add(out, *(const bool *)field(r, k) ? STR("true") : STR("false"), e);
    case KEY_NAME:
        return json_quote(str_from(field(r, k)), out, e);
    case KEY_HASH:
        memcpy(&h, field(r, k), sizeof h);
        hash_hex(h, hex);
        return strbuf_addf(out, e, "\"%s\"", hex);
    }
    return ERR_OK;
}

static bool is_zero(const recipe *r, const key *k) {
    switch (k->kind) {
    case KEY_COUNT:
        return *(const uint64_t *)field(r, k) == 0;
    case KEY_REAL:
        return *(const double *)field(r, k) == 0;
    case KEY_FLAG:
        return !*(const bool *)field(r, k);
    case KEY_NAME:
        return *(const char *)field(r, k) == 0;
    case KEY_HASH:
        break;
    }
    return false;
}

static bool same_section(const key *a, const key *b) {
    return a->section == b->section || (a->section && b->section && strcmp(a->section, b->section) == 0);
}

/* Whether a recipe of this kind may have it. */
static bool belongs(const key *k, bool tuning) { return !(k->when & (tuning ? NEW : TUNED)); }

err_code recipe_text(const recipe *r, strbuf *out, err *e) {
    const key *open = NULL; /* of the section at hand */
    TRY(strbuf_addf(out, e, "{\n  \"format\": \"%s\"", FORMAT));
    for (const key *k = keys; k < keys + KEYS; k++) {
        if (!belongs(k, recipe_is_tuning(r)) || (k->when & SPARE && is_zero(r, k)))
            continue;
        if (open && !same_section(open, k)) {
            TRY(strbuf_add(out, STR("\n  }"), e));
            open = NULL;
        }
        if (!k->section)
            TRY(strbuf_addf(out, e, ",\n  \"%s\": ", k->name));
        else if (!open)
            TRY(strbuf_addf(out, e, ",\n  \"%s\": {\n    \"%s\": ", k->section, k->name));
        else
            TRY(strbuf_addf(out, e, ",\n    \"%s\": ", k->name));
        TRY(value_text(r, k, out, e));
        open = k->section ? k : NULL;
    }
    return strbuf_add(out, open ? STR("\n  }\n}\n") : STR("\n}\n"), e);
}

err_code recipe_digest(const recipe *r, hash256 *out, err *e) {
    strbuf text = {0};
    err_code code = recipe_text(r, &text, e);
    if (code == ERR_OK)
        *out = hash_of(text.p, text.n);
    strbuf_fini(&text);
    return code;
}

err_code recipe_difference(const recipe *here, const recipe *there, strbuf *out, err *e) {
    for (const key *k = keys; k < keys + KEYS; k++) {
        strbuf a = {0}, b = {0};
        err_code code = value_text(here, k, &a, e);
        if (code == ERR_OK)
            code = value_text(there, k, &b, e);
        bool same = str_eq(strbuf_str(&a), strbuf_str(&b));
        if (code == ERR_OK && !same)
            code = strbuf_addf(out, e, "%s%s%s is %.*s here and %.*s there", k->section ? k->section : "",
                               k->section ? "." : "", k->name, STR_ARG(strbuf_str(&a)), STR_ARG(strbuf_str(&b)));
        strbuf_fini(&a);
        strbuf_fini(&b);
        if (code != ERR_OK || !same)
            return code;
    }
    return ERR_OK;
}

/* ---- reading ---- */

bool recipe_hash_of(str hex, hash256 *out) {
    static const char digits[] = "0123456789abcdef";
    if (hex.n != 64)
        return false;
    for (size_t i = 0; i < 64; i++) {
        const char *at = hex.p[i] ? strchr(digits, hex.p[i]) : NULL;
        if (!at)
            return false;
        uint8_t nibble = (uint8_t)(at - digits);
        out->byte[i / 2] = (uint8_t)(i % 2 ? out->byte[i / 2] | nibble : nibble << 4);
    }
    return true;
}

static err_code take_value(recipe *r, const key *k, const json_t *v, err *e) {
    void *at = (char *)r + k->at;
    str s = json_is_string(v) ? json_str_of(v) : (str){NULL, 0};
    switch (k->kind) {
    case KEY_COUNT:
        if (!json_is_integer(v) || json_integer_value(v) < 0)
            return fail(e, ERR_FORMAT, k, "must be a whole number");
        *(uint64_t *)at = (uint64_t)json_integer_value(v);
        return ERR_OK;
    case KEY_REAL:
        if (!json_is_number(v))
            return fail(e, ERR_FORMAT, k, "must be a number");
        *(double *)at = json_number_value(v);
        return ERR_OK;
    case KEY_FLAG:
        if (!json_is_boolean(v))
            return fail(e, ERR_FORMAT, k, "must be true or false");
        *(bool *)at = json_is_true(v);
        return ERR_OK;
    case KEY_NAME:
        if (s.n == 0 || s.n >= RECIPE_NAME_BYTES || memchr(s.p, 0, s.n))
            return fail(e, ERR_FORMAT, k, "must be a short name");
        memcpy(at, s.p, s.n);
        return ERR_OK;
    case KEY_HASH:
        if (!recipe_hash_of(s, at))
            return fail(e, ERR_FORMAT, k, "must be 64 hexadecimal digits");
        return ERR_OK;
    }
    return ERR_OK;
}

static bool is_key(const char *section, const char *name) {
    for (const key *k = keys; k < keys + KEYS; k++)
        if ((section == NULL) == (k->section == NULL) && (!section || strcmp(section, k->section) == 0) &&
            (!name || strcmp(name, k->name) == 0))
            return true;
    return false;
}

/* Nothing but what the table knows. */
static err_code no_strangers(json_t *root, err *e) {
    const char *name, *inner;
    json_t *v, *w;
    json_object_foreach(root, name, v) {
        if (strcmp(name, "format") == 0 || is_key(NULL, name))
            continue;
        if (!is_key(name, NULL) || !json_is_object(v))
            return err_set(e, ERR_UNSUPPORTED, "recipe: \"%.60s\" is not known to this version of Loam", name);
        json_object_foreach(v, inner, w) if (!is_key(name, inner)) return err_set(
            e, ERR_UNSUPPORTED, "recipe: \"%s.%.60s\" is not known to this version of Loam", name, inner);
    }
    return ERR_OK;
}

static err_code take(recipe *r, json_t *root, err *e) {
    str format;
    if (!json_is_object(root))
        return err_set(e, ERR_FORMAT, "recipe: must be a JSON object");
    TRY(json_want_str(root, "format", &format, e));
    if (!str_is(format, FORMAT))
        return err_set(e, ERR_UNSUPPORTED, "recipe: format is \"%.*s\", this version of Loam reads \"%s\"",
                       STR_ARG(format), FORMAT);
    TRY(no_strangers(root, e));
    bool tuning = json_object_get(root, "base") != NULL;
    for (const key *k = keys; k < keys + KEYS; k++) {
        const json_t *v = json_object_get(k->section ? json_object_get(root, k->section) : root, k->name);
        if (v && !belongs(k, tuning))
            return fail(e, ERR_FORMAT, k, tuning ? "is not for a recipe with a base" : "needs a base");
        if (!v && belongs(k, tuning) && !(k->when & SPARE))
            return fail(e, ERR_FORMAT, k, "is missing");
        if (v)
            TRY(take_value(r, k, v, e));
    }
    return recipe_check(r, e);
}

err_code recipe_parse(recipe *r, str text, err *e) {
    memset(r, 0, sizeof *r);
    json_t *root = NULL;
    TRY(json_read(text, RECIPE_TEXT_BYTES_MAX, &root, e));
    err_code code = take(r, root, e);
    if (code == ERR_OK && json_object_get(root, "base") && !recipe_is_tuning(r))
        code = err_set(e, ERR_FORMAT, "recipe: base.digest is of no file");
    json_decref(root);
    return code;
}

/* ---- what must hold ---- */

static err_code in_range(const recipe *r, const key *k, err *e) {
    double x = k->kind == KEY_COUNT  ? (double)*(const uint64_t *)field(r, k)
               : k->kind == KEY_REAL ? *(const double *)field(r, k)
                                     : k->min;
    if (x >= k->min && x <= k->max)
        return ERR_OK;
    return err_set(e, ERR_USAGE, "recipe: %s%s%s is %.17g, must be %.17g to %.17g", k->section ? k->section : "",
                   k->section ? "." : "", k->name, x, k->min, k->max);
}

#define MUST(holds, ...) \
    if (!(holds))        \
    return err_set(e, ERR_USAGE, "recipe: " __VA_ARGS__)

static err_code check_new(const recipe *r, err *e) {
    answer_marks marks;
    err_code code = answers_parse(&marks, str_from(r->data.answers), e);
    if (code != ERR_OK)
        return err_in(e, code, "recipe");
    MUST(marks.n > 0 || r->data.elsewhere == 0, "data.elsewhere is %g, but data.answers has no marks",
         r->data.elsewhere);
    MUST(r->tokenizer.end < r->model.vocab, "tokenizer.end %" PRIu64 " is outside model.vocab %" PRIu64,
         r->tokenizer.end, r->model.vocab);
    MUST(r->batch.sequences % r->batch.micro == 0, "batch.sequences %" PRIu64 " is no multiple of batch.micro %" PRIu64,
         r->batch.sequences, r->batch.micro);
    MUST(r->model.window < r->model.ctx, "model.window %" PRIu64 " is no less than model.ctx %" PRIu64, r->model.window,
         r->model.ctx);
    return ERR_OK;
}

static bool is_one_of(const char *name, const char *a, const char *b) {
    return strcmp(name, a) == 0 || strcmp(name, b) == 0;
}

static err_code check_tuning(const recipe *r, err *e) {
    MUST(is_one_of(r->tune.method, "lora", "full"), "tune.method \"%s\" is none of lora, full", r->tune.method);
    MUST(is_one_of(r->tune.objective, "text", "dpo"), "tune.objective \"%s\" is none of text, dpo", r->tune.objective);
    bool adapter = recipe_has_adapter(r), pairs = recipe_is_pairs(r);
    MUST(adapter == (r->tune.rank > 0), "tune.rank is %" PRIu64 ", and tune.method %s", r->tune.rank, r->tune.method);
    MUST(adapter == (r->tune.alpha > 0), "tune.alpha is %g, and tune.method %s", r->tune.alpha, r->tune.method);
    MUST(adapter || (r->tune.dropout == 0 && !r->tune.rslora && !r->tune.dora && !*r->tune.parts && !*r->tune.layers),
         "tune.dropout, rslora, dora, parts and layers are of tune.method lora only");
    MUST(!pairs || r->tune.dropout == 0, "tune.dropout is for tune.objective text only");
    MUST(pairs == (r->tune.beta > 0), "tune.beta is %g, and tune.objective %s", r->tune.beta, r->tune.objective);
    MUST(r->tune.patience == 0 || r->data.val_share > 0,
         "tune.patience needs examples that are held out (data.val_share)");
    MUST(!r->tune.best || r->data.val_share > 0, "tune.best needs examples that are held out (data.val_share)");
    return ERR_OK;
}

err_code recipe_check(const recipe *r, err *e) {
    bool tuning = recipe_is_tuning(r);
    for (const key *k = keys; k < keys + KEYS; k++)
        if (belongs(k, tuning))
            TRY(in_range(r, k, e));
    MUST(r->arithmetic == KERN_ARITHMETIC_VERSION,
         "arithmetic version %" PRIu64 "; this program computes version %d (use the one that made the run)",
         r->arithmetic, KERN_ARITHMETIC_VERSION);
    MUST(arch_by_name(str_from(r->model.arch)), "model.arch \"%s\" is not known (there are: %s)", r->model.arch,
         arch_names());
    MUST(r->model.heads % r->model.kv_heads == 0, "model.heads %" PRIu64 " is no multiple of model.kv_heads %" PRIu64,
         r->model.heads, r->model.kv_heads);
    MUST(r->model.head_width % 2 == 0, "model.head_width %" PRIu64 " is odd, but it is rotated in pairs",
         r->model.head_width);
    MUST(r->batch.micro <= (1u << 24) / r->model.ctx,
         "batch.micro %" PRIu64 " times model.ctx %" PRIu64 " is more than 2^24 tokens", r->batch.micro, r->model.ctx);
    MUST(schedule_by_name(r->optimizer.schedule) >= 0,
         "optimizer.schedule \"%s\" is none of cosine, linear, constant, wsd", r->optimizer.schedule);
    MUST(r->optimizer.min_lr <= r->optimizer.lr, "optimizer.min_lr %g is above optimizer.lr %g", r->optimizer.min_lr,
         r->optimizer.lr);
    MUST(r->optimizer.warmup <= r->optimizer.steps && r->optimizer.cooldown <= r->optimizer.steps - r->optimizer.warmup,
         "optimizer.warmup %" PRIu64 " and optimizer.cooldown %" PRIu64 " are more than optimizer.steps %" PRIu64,
         r->optimizer.warmup, r->optimizer.cooldown, r->optimizer.steps);
    MUST(schedule_by_name(r->optimizer.schedule) != SCHEDULE_WSD || r->optimizer.cooldown > 0,
         "optimizer.schedule wsd needs optimizer.cooldown above 0");
    MUST(schedule_by_name(r->optimizer.schedule) == SCHEDULE_WSD || r->optimizer.cooldown == 0,
         "optimizer.cooldown belongs to optimizer.schedule wsd only");
    return tuning ? check_tuning(r, e) : check_new(r, e);
}

/* ---- what it says ---- */

bool recipe_is_tuning(const recipe *r) {
    static const hash256 none;
    return memcmp(&r->base.digest, &none, sizeof none) != 0;
}

bool recipe_has_adapter(const recipe *r) { return strcmp(r->tune.method, "lora") == 0; }

bool recipe_is_pairs(const recipe *r) { return strcmp(r->tune.objective, "dpo") == 0; }

uint64_t recipe_step_tokens(const recipe *r) { return r->batch.sequences * r->model.ctx; }

schedule recipe_schedule(const recipe *r) {
    return (schedule){
        .kind = (schedule_kind)schedule_by_name(r->optimizer.schedule),
        .steps = r->optimizer.steps,
        .warmup = r->optimizer.warmup,
        .cooldown = r->optimizer.cooldown,
        .lr = r->optimizer.lr,
        .min_lr = r->optimizer.min_lr,
    };
}

/* By way of a config.json, so that a family's own rules (scales, windows, caps) stand in one place. */
err_code recipe_config(const recipe *r, model_config *c, arena *mem, err *e) {
    json_t *o = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b, s:i, s:f, s:f, s:f}", "model_type", r->model.arch,
        "hidden_size", (json_int_t)r->model.width, "num_hidden_layers", (json_int_t)r->model.layers,
        "num_attention_heads", (json_int_t)r->model.heads, "num_key_value_heads", (json_int_t)r->model.kv_heads,
        "head_dim", (json_int_t)r->model.head_width, "intermediate_size", (json_int_t)r->model.ff, "vocab_size",
        (json_int_t)r->model.vocab, "max_position_embeddings", (json_int_t)r->model.ctx, "tie_word_embeddings",
        (int)r->model.tied, "use_sliding_window", r->model.window > 0, "max_window_layers", 0, "query_pre_attn_scalar",
        (double)r->model.head_width, "rope_theta", r->model.rope_theta, "rms_norm_eps", r->model.norm_eps);
    json_t *window = r->model.window ? json_integer((json_int_t)r->model.window) : json_null();
    str prefix;
    err_code code = ERR_OK;
    if (!o || !window || json_object_set_new(o, "sliding_window", window) != 0)
        code = err_set(e, ERR_MEMORY, "no memory for a model's shape");
    if (code == ERR_OK)
        code = config_from_json(c, o, mem, &prefix, e);
    json_decref(o);
    return code == ERR_OK ? code : err_in(e, code, "recipe");
}
