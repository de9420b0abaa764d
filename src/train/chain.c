/* chain: see chain.h. */
#include "train/chain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "text/json.h"
#include "train/recipe.h"

/* ---- numbers ---- */

typedef struct {
    char text[32];
} hex_real;

/* "0x1.8p+2": one form for each number, whatever the C library's %a does. Not negative, finite. */
static hex_real hex_of(double x) {
    hex_real h;
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    uint64_t mantissa = u & 0xfffffffffffffu;
    int exponent = (int)(u >> 52 & 0x7ff), digits = 13;
    for (; digits && !(mantissa & 15); digits--)
        mantissa >>= 4;
    char fraction[16] = "";
    if (digits)
        snprintf(fraction, sizeof fraction, ".%0*" PRIx64, digits, mantissa);
    int power = exponent ? exponent - 1023 : u ? -1022 : 0;
    snprintf(h.text, sizeof h.text, "0x%d%sp%+d", exponent != 0, fraction, power);
    return h;
}

static bool real_of(str s, double *out) {
    char text[32], *end;
    if (s.n == 0 || s.n >= sizeof text)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    *out = strtod(text, &end);
    return end == text + s.n && str_is(s, hex_of(*out).text); /* in the one form */
}

/* ---- one line ---- */

static err_code add_hash(strbuf *out, const char *key, hash256 h, err *e) {
    char hex[65];
    hash_hex(h, hex);
    return strbuf_addf(out, e, ",\"%s\":\"%s\"", key, hex);
}

/* Up to and without ,"digest" */
static err_code body(const chain_line *line, strbuf *out, err *e) {
    TRY(strbuf_addf(out, e, "{\"step\":%" PRIu64, line->step));
    if (line->step == 0) {
        TRY(add_hash(out, "recipe", line->recipe, e));
        return add_hash(out, "weights", line->weights, e);
    }
    TRY(strbuf_addf(out, e,
                    ",\"loss\":\"%s\",\"norm\":\"%s\",\"docs\":[%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
                    "],\"targets\":%" PRIu64,
                    hex_of(line->loss).text, hex_of(line->norm).text, line->docs[0], line->docs[1], line->docs[2],
                    line->docs[3], line->targets));
    if (!line->has_roots)
        return ERR_OK;
    TRY(add_hash(out, "weights", line->weights, e));
    TRY(add_hash(out, "moments", line->moments, e));
    return line->has_held_out ? strbuf_addf(out, e, ",\"held_out\":\"%s\"", hex_of(line->held_out).text) : ERR_OK;
}

err_code chain_text(chain_line *line, const hash256 *before, strbuf *out, err *e) {
    size_t from = out->n;
    TRY(body(line, out, e));
    TRY(hash_after(line->step ? before : NULL, str_sub(strbuf_str(out), from, out->n), &line->digest, e));
    TRY(add_hash(out, "digest", line->digest, e));
    return strbuf_add(out, STR("}\n"), e);
}

static err_code want_real(const json_t *o, const char *key, double *out, err *e) {
    str s;
    TRY(json_want_str(o, key, &s, e));
    return real_of(s, out) ? ERR_OK : err_set(e, ERR_FORMAT, "%s is no number in hexadecimal", key);
}

static err_code take(const json_t *o, chain_line *line, err *e) {
    str s;
    if (!json_is_object(o))
        return err_set(e, ERR_FORMAT, "is no JSON object");
    TRY(json_want_u64(o, "step", INT64_MAX, &line->step, e));
    if (line->step == 0) {
        TRY(json_want_str(o, "recipe", &s, e));
        if (!recipe_hash_of(s, &line->recipe))
            return err_set(e, ERR_FORMAT, "recipe is no digest");
        line->has_roots = true;
    } else {
        TRY(want_real(o, "loss", &line->loss, e));
        TRY(want_real(o, "norm", &line->norm, e));
        const json_t *docs = json_object_get(o, "docs");
        for (size_t i = 0; i < 4; i++) {
            json_int_t x = json_integer_value(json_array_get(docs, i));
            line->docs[i] = x > 0 ? (uint64_t)x : 0;
        }
        TRY(json_want_u64(o, "targets", INT64_MAX, &line->targets, e));
        line->has_roots = json_object_get(o, "weights") != NULL;
        line->has_held_out = json_object_get(o, "held_out") != NULL;
    }
    if (line->has_roots) {
        TRY(json_want_str(o, "weights", &s, e));
        if (!recipe_hash_of(s, &line->weights))
            return err_set(e, ERR_FORMAT, "weights is no digest");
    }
    if (line->has_roots && line->step) {
        TRY(json_want_str(o, "moments", &s, e));
        if (!recipe_hash_of(s, &line->moments))
            return err_set(e, ERR_FORMAT, "moments is no digest");
    }
    if (line->has_held_out)
        TRY(want_real(o, "held_out", &line->held_out, e));
    TRY(json_want_str(o, "digest", &s, e));
    return recipe_hash_of(s, &line->digest) ? ERR_OK : err_set(e, ERR_FORMAT, "digest is no digest");
}

/* What was read must be written the same way again: then nothing stands in the line that was not understood. */
static err_code is_canonical(const chain_line *line, str text, err *e) {
    strbuf again = {0};
    err_code code = body(line, &again, e);
    if (code == ERR_OK)
        code = add_hash(&again, "digest", line->digest, e);
    if (code == ERR_OK)
        code = strbuf_addc(&again, '}', e);
    if (code == ERR_OK && !str_eq(strbuf_str(&again), text))
        code = err_set(e, ERR_FORMAT, "is not in the form that Loam writes");
    strbuf_fini(&again);
    return code;
}

err_code chain_parse(str text, chain_line *line, err *e) {
    *line = (chain_line){0};
    if (text.n > CHAIN_LINE_BYTES_MAX)
        return err_set(e, ERR_FORMAT, "is longer than %d bytes", CHAIN_LINE_BYTES_MAX);
    json_t *o = NULL;
    TRY(json_read(text, CHAIN_LINE_BYTES_MAX, &o, e));
    err_code code = take(o, line, e);
    json_decref(o);
    return code == ERR_OK ? is_canonical(line, text, e) : code;
}

static err_code differ_hash(const char *what, hash256 here, hash256 there, strbuf *out, err *e) {
    char a[65], b[65];
    hash_hex(here, a);
    hash_hex(there, b);
    return strbuf_addf(out, e, "%s is %.16s... here and %.16s... there", what, a, b);
}

err_code chain_difference(const chain_line *here, const chain_line *there, strbuf *out, err *e) {
    if (memcmp(&here->recipe, &there->recipe, sizeof here->recipe) != 0)
        return differ_hash("recipe", here->recipe, there->recipe, out, e);
    if (memcmp(here->docs, there->docs, sizeof here->docs) != 0)
        return strbuf_addf(out, e,
                           "documents are %" PRIu64 ":%" PRIu64 " to %" PRIu64 ":%" PRIu64 " here and %" PRIu64
                           ":%" PRIu64 " to %" PRIu64 ":%" PRIu64 " there",
                           here->docs[0], here->docs[1], here->docs[2], here->docs[3], there->docs[0], there->docs[1],
                           there->docs[2], there->docs[3]);
    if (here->targets != there->targets)
        return strbuf_addf(out, e, "targets are %" PRIu64 " here and %" PRIu64 " there", here->targets, there->targets);
    if (strcmp(hex_of(here->loss).text, hex_of(there->loss).text) != 0)
        return strbuf_addf(out, e, "loss is %s here and %s there", hex_of(here->loss).text, hex_of(there->loss).text);
    if (strcmp(hex_of(here->norm).text, hex_of(there->norm).text) != 0)
        return strbuf_addf(out, e, "norm is %s here and %s there", hex_of(here->norm).text, hex_of(there->norm).text);
    if (here->has_roots != there->has_roots)
        return strbuf_add(out, STR("only one of the two names its weights"), e);
    if (memcmp(&here->weights, &there->weights, sizeof here->weights) != 0)
        return differ_hash("the weights' root", here->weights, there->weights, out, e);
    if (memcmp(&here->moments, &there->moments, sizeof here->moments) != 0)
        return differ_hash("the moments' root", here->moments, there->moments, out, e);
    if (here->has_held_out != there->has_held_out)
        return strbuf_add(out, STR("only one of the two has a loss on what is held out"), e);
    if (strcmp(hex_of(here->held_out).text, hex_of(there->held_out).text) != 0)
        return strbuf_addf(out, e, "the loss on what is held out is %s here and %s there", hex_of(here->held_out).text,
                           hex_of(there->held_out).text);
    return ERR_OK;
}

/* ---- all lines ---- */

static err_code make_room(chain *c, err *e) {
    if (c->n < c->cap)
        return ERR_OK;
    size_t cap = c->cap ? c->cap * 2 : 256;
    chain_line *line = realloc(c->line, cap * sizeof *line);
    if (line)
        c->line = line;
    uint64_t *end = line ? realloc(c->end, cap * sizeof *end) : NULL;
    if (!end)
        return err_set(e, ERR_MEMORY, "no memory for %zu steps", cap);
    c->end = end;
    c->cap = cap;
    return ERR_OK;
}

static err_code check_seal(const chain *c, str text, const chain_line *line, err *e) {
    hash256 want;
    ptrdiff_t body_bytes = (ptrdiff_t)text.n - (ptrdiff_t)sizeof ",\"digest\":\"\"}" + 1 - 64;
    TRY(hash_after(c->n ? &c->line[c->n - 1].digest : NULL, str_sub(text, 0, (size_t)body_bytes), &want, e));
    if (memcmp(&want, &line->digest, sizeof want) != 0)
        return err_set(e, ERR_MISMATCH, "its digest does not fit what it says and what stands before it");
    return ERR_OK;
}

err_code chain_parse_all(chain *c, str text, err *e) {
    *c = (chain){0};
    err_code code = ERR_OK;
    size_t at = 0;
    while (at < text.n) {
        const char *nl = memchr(text.p + at, '\n', text.n - at);
        if (!nl)
            break;
        str line = str_sub(text, at, (size_t)(nl - text.p));
        if ((code = make_room(c, e)) != ERR_OK)
            break;
        chain_line *l = &c->line[c->n];
        code = chain_parse(line, l, e);
        if (code == ERR_OK && l->step != c->n)
            code = err_set(e, ERR_FORMAT, "is of step %" PRIu64, l->step);
        if (code == ERR_OK)
            code = check_seal(c, line, l, e);
        if (code != ERR_OK) {
            err_in(e, code, "line of step %zu", c->n);
            break;
        }
        at = (size_t)(nl - text.p) + 1;
        c->end[c->n++] = at;
    }
    c->torn = code == ERR_OK && at < text.n;
    if (code != ERR_OK)
        chain_fini(c);
    return code;
}

err_code chain_read(chain *c, const char *path, err *e) {
    *c = (chain){0};
    strbuf text = {0};
    TRY(os_read_regular(path, CHAIN_FILE_BYTES_MAX, &text, e));
    err_code code = chain_parse_all(c, strbuf_str(&text), e);
    strbuf_fini(&text);
    return code == ERR_OK ? code : err_in(e, code, "%s", path);
}

void chain_fini(chain *c) {
    free(c->line);
    free(c->end);
    *c = (chain){0};
}
