/* json_steps: normalizer, pre-tokenizer and decoder of a tokenizer.json; see json_steps.h. */
#include "tok/json_steps.h"

#include <string.h>

#include "text/utf8.h"

enum { SEQUENCE_DEPTH_MAX = 8 };

static err_code type_of(const json_t *v, const char *what, str *type, err *e) {
    if (!json_is_object(v))
        return err_set(e, ERR_FORMAT, "%s is not an object", what);
    err_code code = json_want_str(v, "type", type, e);
    return code == ERR_OK ? code : err_in(e, code, "%s", what);
}

static err_code unsupported(const char *what, str type, err *e) {
    return err_set(e, ERR_UNSUPPORTED, "%s \"%.*s\" is not supported", what, STR_ARG(type));
}

static err_code keep(tokenizer *t, str s, str *out, err *e) {
    *out = arena_str(&t->mem, s);
    return out->p ? ERR_OK : arena_short(e, s.n, 1);
}

/* "pattern": {"String": ...} gives *literal, {"Regex": ...} gives *pattern. */
static err_code pattern_of(tokenizer *t, const json_t *v, const char *what, str *literal, rx **pattern, err *e) {
    const json_t *p = json_object_get(v, "pattern");
    const json_t *text = json_object_get(p, "String"), *regex = json_object_get(p, "Regex");
    if (json_is_string(regex)) {
        err_code code = rx_open(pattern, json_str_of(regex), e);
        return code == ERR_OK ? code : err_in(e, code, "%s", what);
    }
    if (!json_is_string(text))
        return err_set(e, ERR_FORMAT, "%s: \"pattern\" is neither a String nor a Regex", what);
    if (json_str_of(text).n == 0)
        return err_set(e, ERR_FORMAT, "%s: the pattern is empty", what);
    return keep(t, json_str_of(text), literal, e);
}

/* Calls one() for v, or for each member of a Sequence's list. */
typedef err_code step_fn(tokenizer *t, const json_t *v, str type, void *ctx, err *e);
static err_code each(tokenizer *t, const json_t *v, const char *what, const char *list, int depth, step_fn *one,
                     void *ctx, err *e) {
    str type;
    TRY(type_of(v, what, &type, e));
    if (!str_is(type, "Sequence"))
        return one(t, v, type, ctx, e);
    const json_t *members = json_object_get(v, list);
    if (!json_is_array(members))
        return err_set(e, ERR_FORMAT, "%s: a Sequence without \"%s\"", what, list);
    if (depth == SEQUENCE_DEPTH_MAX)
        return err_set(e, ERR_LIMIT, "%s: Sequences nested deeper than %d", what, SEQUENCE_DEPTH_MAX);
    for (size_t i = 0; i < json_array_size(members); i++)
        TRY(each(t, json_array_get(members, i), what, list, depth + 1, one, ctx, e));
    return ERR_OK;
}

/* ---- normalizer ---- */

static int base64_of(char c) {
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

err_code json_base64(str s, strbuf *out, err *e) {
    while (s.n && s.p[s.n - 1] == '=')
        s.n--;
    uint32_t bits = 0;
    for (size_t i = 0; i < s.n; i++) {
        int v = base64_of(s.p[i]);
        if (v < 0)
            return err_set(e, ERR_FORMAT, "byte %zu is not base64", i);
        bits = bits << 6 | (uint32_t)v;
        if (i % 4 != 0) /* 6 bits at hand after the first, 8 or more after the others */
            TRY(strbuf_addc(out, (char)(bits >> (i % 4 == 1 ? 4 : i % 4 == 2 ? 2 : 0)), e));
    }
    return ERR_OK;
}

static err_code precompiled(tokenizer *t, const json_t *v, charsmap *map, err *e) {
    str text;
    TRY(json_want_str(v, "precompiled_charsmap", &text, e));
    strbuf blob = {.max = CHARSMAP_BYTES_MAX + 1};
    err_code code = json_base64(text, &blob, e);
    if (code == ERR_OK)
        code = charsmap_open(map, &t->mem, strbuf_str(&blob), e);
    strbuf_fini(&blob);
    return code == ERR_OK ? code : err_in(e, code, "precompiled_charsmap");
}

static err_code normalizer_step(tokenizer *t, const json_t *v, str type, void *ctx, err *e) {
    (void)ctx;
    static const struct {
        const char *name;
        unichar_form form;
    } forms[] = {{"NFC", UNICHAR_NFC}, {"NFD", UNICHAR_NFD}, {"NFKC", UNICHAR_NFKC}, {"NFKD", UNICHAR_NFKD}};
    norm_step st = {.kind = NORM_FORM};
    bool known = false;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (str_is(type, forms[i].name)) {
            st.form = forms[i].form;
            known = true;
        }
    if (t->nz.n == NORM_STEPS_MAX)
        return err_set(e, ERR_LIMIT, "normalizer: more than %d steps", NORM_STEPS_MAX);
    if (known) {
    } else if (str_is(type, "Lowercase")) {
        st.kind = NORM_LOWER;
    } else if (str_is(type, "Prepend")) {
        st.kind = NORM_PREPEND;
        TRY(json_want_str(v, "prepend", &st.with, e));
        TRY(keep(t, st.with, &st.with, e));
    } else if (str_is(type, "Replace")) {
        st.kind = NORM_REPLACE;
        TRY(json_want_str(v, "content", &st.with, e));
        TRY(keep(t, st.with, &st.with, e));
        TRY(pattern_of(t, v, "normalizer Replace", &st.what, &st.pattern, e));
    } else if (str_is(type, "Strip")) {
        st.kind = NORM_STRIP;
        st.left = json_get_bool(v, "strip_left", true);
        st.right = json_get_bool(v, "strip_right", true);
    } else if (str_is(type, "Precompiled")) {
        st.kind = NORM_CHARSMAP;
        TRY(precompiled(t, v, &st.map, e));
    } else
        return unsupported("normalizer", type, e);
    t->nz.step[t->nz.n++] = st;
    return ERR_OK;
}

err_code json_normalizer(tokenizer *t, const json_t *v, err *e) {
    return !v || json_is_null(v) ? ERR_OK : each(t, v, "normalizer", "normalizers", 0, normalizer_step, NULL, e);
}

/* ---- pre-tokenizer ---- */

static err_code cut_of(const json_t *v, const char *otherwise, pretok_cut *out, err *e) {
    static const char *const names[] = {
        [PRETOK_ISOLATED] = "Isolated",
        [PRETOK_REMOVED] = "Removed",
        [PRETOK_MERGED_PREVIOUS] = "MergedWithPrevious",
        [PRETOK_MERGED_NEXT] = "MergedWithNext",
        [PRETOK_CONTIGUOUS] = "Contiguous",
    };
    str name = json_get_str(v, "behavior", str_from(otherwise));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(name, names[i])) {
            *out = (pretok_cut)i;
            return ERR_OK;
        }
    return unsupported("pre_tokenizer: behavior", name, e);
}

/* The replacement of a Metaspace: one character. */
static err_code replacement_of(tokenizer *t, const json_t *v, str *out, err *e) {
    str s = json_get_str(v, "replacement", STR("\xe2\x96\x81"));
    size_t at = 0;
    if (s.n == 0 || utf8_next(s, &at) < 0 || at != s.n)
        return err_set(e, ERR_FORMAT, "Metaspace: the replacement \"%.*s\" is not one character", STR_ARG(s));
    return keep(t, s, out, e);
}

static err_code scheme_of(const json_t *v, pretok_scheme *out, err *e) {
    /* Files before version 0.15 say add_prefix_space only. */
    bool add = json_get_bool(v, "add_prefix_space", true);
    str name = json_get_str(v, "prepend_scheme", add ? STR("always") : STR("never"));
    if (str_is(name, "always"))
        *out = PRETOK_ALWAYS;
    else if (str_is(name, "first"))
        *out = PRETOK_FIRST;
    else if (str_is(name, "never"))
        *out = PRETOK_NEVER;
    else
        return unsupported("Metaspace: prepend_scheme", name, e);
    return ERR_OK;
}

static err_code metaspace(tokenizer *t, const json_t *v, err *e) {
    pretok_step st = {.kind = PRETOK_META};
    TRY(replacement_of(t, v, &st.with, e));
    TRY(scheme_of(v, &st.scheme, e));
    TRY(pretok_add(&t->pre, st, e));
    if (!json_get_bool(v, "split", true))
        return ERR_OK;
    return pretok_add(&t->pre, (pretok_step){.kind = PRETOK_LITERAL, .literal = st.with, .cut = PRETOK_MERGED_NEXT}, e);
}

/* \w+|[^\w\s]+ as Rust's regular expressions mean it. */
#define WORD "\\p{Alphabetic}\\p{L}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}"
#define WORDS "[" WORD "]+|[^" WORD "\\s]+"

static err_code pre_tokenizer_step(tokenizer *t, const json_t *v, str type, void *ctx, err *e) {
    bool *byte_level = ctx;
    pretok *p = &t->pre;
    if (*byte_level)
        return err_set(e, ERR_UNSUPPORTED, "pre_tokenizer \"%.*s\" after ByteLevel is not supported", STR_ARG(type));
    if (str_is(type, "ByteLevel")) {
        *byte_level = true;
        if (json_get_bool(v, "add_prefix_space", true))
            TRY(pretok_add(p, (pretok_step){.kind = PRETOK_PREFIX}, e));
        if (!json_get_bool(v, "use_regex", true))
            return ERR_OK;
        return pretok_add_pattern(p, str_from(pretok_gpt2), PRETOK_ISOLATED, false, e);
    }
    if (str_is(type, "Metaspace"))
        return metaspace(t, v, e);
    if (str_is(type, "Whitespace"))
        return pretok_add_pattern(p, STR(WORDS), PRETOK_REMOVED, true, e);
    if (str_is(type, "WhitespaceSplit"))
        return pretok_add(p, (pretok_step){.kind = PRETOK_CLASS, .is = unichar_is_space, .cut = PRETOK_REMOVED}, e);
    if (str_is(type, "Digits")) {
        bool one = json_get_bool(v, "individual_digits", false);
        return pretok_add(p,
                          (pretok_step){.kind = PRETOK_CLASS,
                                        .is = unichar_is_numeric,
                                        .cut = one ? PRETOK_ISOLATED : PRETOK_CONTIGUOUS},
                          e);
    }
    pretok_step st = {.kind = PRETOK_CLASS, .is = unichar_is_punct};
    if (str_is(type, "Punctuation")) {
        TRY(cut_of(v, "Isolated", &st.cut, e));
        return pretok_add(p, st, e);
    }
    if (!str_is(type, "Split"))
        return unsupported("pre_tokenizer", type, e);
    TRY(cut_of(v, "", &st.cut, e));
    st.invert = json_get_bool(v, "invert", false);
    TRY(pattern_of(t, v, "pre_tokenizer Split", &st.literal, &st.pattern, e));
    st.kind = st.pattern ? PRETOK_PATTERN : PRETOK_LITERAL;
    return pretok_add(p, st, e);
}

err_code json_pre_tokenizer(tokenizer *t, const json_t *v, bool *byte_level, err *e) {
    *byte_level = false;
    return !v || json_is_null(v) ? ERR_OK
                                 : each(t, v, "pre_tokenizer", "pretokenizers", 0, pre_tokenizer_step, byte_level, e);
}

/* ---- decoder ---- */

static err_code decoder_step(tokenizer *t, const json_t *v, str type, void *ctx, err *e) {
    bool *fused = ctx;
    decoder *d = &t->dec;
    decode_step st = {0};
    if (d->n == DECODE_STEPS_MAX)
        return err_set(e, ERR_LIMIT, "decoder: more than %d steps", DECODE_STEPS_MAX);
    if (str_is(type, "Fuse")) {
        *fused = true;
        return ERR_OK;
    }
    if (str_is(type, "ByteLevel"))
        st.kind = DECODE_BYTE_LEVEL;
    else if (str_is(type, "ByteFallback"))
        st.kind = DECODE_BYTE_FALLBACK;
    else if (str_is(type, "Replace")) {
        st.kind = DECODE_REPLACE;
        TRY(json_want_str(v, "content", &st.with, e));
        TRY(keep(t, st.with, &st.with, e));
        TRY(pattern_of(t, v, "decoder Replace", &st.what, &st.pattern, e));
    } else if (str_is(type, "Strip")) {
        st.kind = DECODE_STRIP;
        uint64_t left, right;
        TRY(json_want_str(v, "content", &st.what, e));
        TRY(keep(t, st.what, &st.what, e));
        TRY(json_want_u64(v, "start", UINT32_MAX, &left, e));
        TRY(json_want_u64(v, "stop", UINT32_MAX, &right, e));
        st.left = (uint32_t)left;
        st.right = (uint32_t)right;
    } else if (str_is(type, "Metaspace")) {
        st.kind = DECODE_META;
        pretok_scheme scheme;
        TRY(replacement_of(t, v, &st.what, e));
        TRY(scheme_of(v, &scheme, e));
        st.drop_first = scheme != PRETOK_NEVER;
    } else
        return unsupported("decoder", type, e);
    d->step[d->n++] = st;
    if (!*fused)
        d->n_pieces = d->n;
    if (st.kind == DECODE_BYTE_LEVEL) /* it joins what it is given */
        *fused = true;
    return ERR_OK;
}

err_code json_decoder(tokenizer *t, const json_t *v, err *e) {
    bool fused = false;
    t->dec.spaced = !v || json_is_null(v);
    return t->dec.spaced ? ERR_OK : each(t, v, "decoder", "decoders", 0, decoder_step, &fused, e);
}
