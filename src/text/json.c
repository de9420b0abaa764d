/* json: jansson behind a thin face; see json.h.
 *
 * jansson parses by recursion, allocates as it goes, refuses integers beyond 64 bits and counts its
 * error position from the end of a token. So every text is first gone through once by a small scanner
 * of our own, which bounds depth and number of values, finds the integers that need another
 * spelling, and later turns jansson's position into the offset where the offending token begins.
 *
 * Source: RFC 8259; jansson's documentation of JSON_REJECT_DUPLICATES, JSON_DECODE_ANY, JSON_ALLOW_NUL.
 *
 * Invariants
 *   1. jansson never sees more than JSON_DEPTH_MAX open brackets or JSON_VALUES_MAX values.
 *   2. A value read while any block was refused is thrown away: when memory is short jansson may drop bytes of a
 *      number or of a string and call the rest a success.
 *   3. Every offset in an error is an offset in the caller's text, also where jansson read a respelt copy.
 */
#include "text/json.h"

#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "text/utf8.h"

enum {
    JSON_DEPTH_MAX = 512,
    JSON_VALUES_MAX = 1 << 23, /* keys counted; an empty object takes some 240 bytes: 2 GB at the very worst */
};

/* ---- scanner ---- */

typedef enum { TOKEN_STRING, TOKEN_WORD, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_OTHER } token_kind;
typedef struct {
    token_kind kind;
    size_t from, to;
} token;

static bool is_word(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '+' ||
           c == '.';
}

/* The next token at or after *at. It need not be valid JSON: that is for jansson to say. */
static bool next_token(str text, size_t *at, token *t) {
    size_t i = *at;
    while (i < text.n && (text.p[i] == ' ' || text.p[i] == '\t' || text.p[i] == '\n' || text.p[i] == '\r'))
        i++;
    if (i == text.n)
        return false;
    t->from = i;
    char c = text.p[i++];
    if (c == '"') {
        t->kind = TOKEN_STRING;
        while (i < text.n && text.p[i] != '"')
            i += text.p[i] == '\\' && i + 1 < text.n ? 2 : 1;
        i += i < text.n;
    } else if (is_word(c)) {
        t->kind = TOKEN_WORD;
        while (i < text.n && is_word(text.p[i]))
            i++;
    } else {
        while ((unsigned char)c >= 0x80 && i < text.n && (unsigned char)text.p[i] >= 0x80)
            i++; /* a stray character is one token, not one a byte */
        t->kind = c == '[' || c == '{' ? TOKEN_OPEN : c == ']' || c == '}' ? TOKEN_CLOSE : TOKEN_OTHER;
    }
    *at = t->to = i;
    return true;
}

/* An integer that 64 bits cannot hold. Hugging Face writes such, model_max_length = 1000000000000000019884624838656. */
static bool is_huge_integer(str word) {
    bool negative = word.p[0] == '-';
    size_t i = negative;
    if (i == word.n)
        return false;
    uint64_t value = 0;
    bool huge = false;
    for (; i < word.n; i++) {
        if (word.p[i] < '0' || word.p[i] > '9')
            return false;
        huge |= __builtin_mul_overflow(value, (uint64_t)10, &value);
        huge |= __builtin_add_overflow(value, (uint64_t)(word.p[i] - '0'), &value);
    }
    return huge || value > (uint64_t)INT64_MAX + negative;
}

static err_code check_bounds(str text, const json_limits *most, size_t *n_values, size_t *n_huge, err *e) {
    size_t at = 0, depth = 0;
    token t;
    *n_huge = 0;
    while (next_token(text, &at, &t)) {
        if (t.kind == TOKEN_CLOSE)
            depth -= depth > 0;
        if (t.kind == TOKEN_OPEN && ++depth > most->depth)
            return err_set(e, ERR_LIMIT, "at byte %zu: JSON nested deeper than %zu levels", t.from, most->depth);
        if (t.kind <= TOKEN_OPEN && ++*n_values > most->values)
            return err_set(e, ERR_LIMIT, "at byte %zu: JSON of more than %zu keys and values", t.from, most->values);
        *n_huge += t.kind == TOKEN_WORD && t.to - t.from >= 19 && is_huge_integer(str_sub(text, t.from, t.to));
    }
    return ERR_OK;
}

/* ---- memory ---- */

/* jansson's blocks go through here (to whoever gave them before), so that a refusal is seen. */
static json_malloc_t block_before;
static _Thread_local bool block_refused;

static void *block(size_t n) {
    void *p = block_before(n);
    block_refused = block_refused || !p;
    return p;
}

static void watch_blocks(void) {
    json_free_t unblock;
    json_get_alloc_funcs(&block_before, &unblock);
    json_set_alloc_funcs(block, unblock);
}

/* ---- reading ---- */

/* jansson reads "12e0" as a real and "12" as an integer; only the huge ones are respelt, so that
 * all other integers of the text stay integers. */
#define REAL_MARK "e0"

static err_code respell_huge(str text, strbuf *out, err *e) {
    size_t at = 0, copied = 0;
    token t;
    while (next_token(text, &at, &t)) {
        if (t.kind != TOKEN_WORD || !is_huge_integer(str_sub(text, t.from, t.to)))
            continue;
        TRY(strbuf_add(out, str_sub(text, copied, t.to), e));
        TRY(strbuf_add(out, STR(REAL_MARK), e));
        copied = t.to;
    }
    return strbuf_add(out, str_sub(text, copied, text.n), e);
}

/* Bytes of jansson's text before `position` that are our marks. */
static size_t marks_before(str text, size_t position) {
    size_t at = 0, marks = 0;
    token t;
    while (next_token(text, &at, &t) && t.from + marks < position)
        if (t.kind == TOKEN_WORD && is_huge_integer(str_sub(text, t.from, t.to))) {
            size_t end = t.to + marks; /* in jansson's text, before the mark */
            marks += position < end ? 0 : position - end < sizeof REAL_MARK - 1 ? position - end : sizeof REAL_MARK - 1;
        }
    return marks;
}

/* jansson's position is the number of bytes it took in. The offset wanted is where the last
 * token begun before that begins; a text that ends too early or ill-formed UTF-8 is exact already. */
static err_code syntax_error(str text, const json_error_t *je, err *e) {
    enum json_error_code code = json_error_code(je);
    size_t position = je->position > 0 ? (size_t)je->position : 0;
    position -= marks_before(text, position);
    if (position > text.n)
        position = text.n;
    size_t offset = position;
    if (code != json_error_premature_end_of_input && code != json_error_invalid_utf8) {
        size_t at = 0;
        token t;
        while (next_token(text, &at, &t) && t.from < position)
            offset = t.from;
    }
    return err_set(e, ERR_FORMAT, "at byte %zu: JSON: %s", offset, je->text);
}

err_code json_read(str text, size_t max_bytes, json_t **out, err *e) {
    size_t n_values = 0;
    return json_read_within(text, &(json_limits){max_bytes, JSON_DEPTH_MAX, JSON_VALUES_MAX}, &n_values, out, e);
}

err_code json_read_within(str text, const json_limits *most, size_t *n_values, json_t **out, err *e) {
    if (text.n > most->bytes || text.n > INT_MAX / 2) /* jansson's positions are ints */
        return err_set(e, ERR_LIMIT, "JSON of %zu bytes; at most %zu are read", text.n,
                       most->bytes < INT_MAX / 2 ? most->bytes : (size_t)INT_MAX / 2);
    size_t n_huge;
    TRY(check_bounds(text, most, n_values, &n_huge, e));
    strbuf respelt = {0};
    str source = text;
    if (n_huge) {
        err_code code = respell_huge(text, &respelt, e);
        if (code != ERR_OK) {
            strbuf_fini(&respelt);
            return code;
        }
        source = strbuf_str(&respelt);
    }
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_blocks);
    block_refused = false;
    json_error_t je = {0};
    /* jansson takes NULL as a caller's mistake, not as the empty text. */
    json_t *value =
        json_loadb(source.p ? source.p : "", source.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &je);
    strbuf_fini(&respelt);
    if (block_refused) {
        json_decref(value);
        return err_set(e, ERR_MEMORY, "no memory for JSON of %zu bytes", text.n);
    }
    if (!value)
        return syntax_error(text, &je, e);
    *out = value;
    return ERR_OK;
}

/* ---- look-ups ---- */

static const char *type_name(const json_t *v) {
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a real number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "of an unknown type";
}

static err_code want(const json_t *obj, const char *key, const json_t **out, err *e) {
    if (!json_is_object(obj))
        return err_set(e, ERR_FORMAT, "key \"%s\": there is no object to hold it", key);
    *out = json_object_get(obj, key);
    return *out ? ERR_OK : err_set(e, ERR_FORMAT, "key \"%s\" is missing", key);
}

static err_code no_such(const char *key, const json_t *v, const char *wanted, err *e) {
    return err_set(e, ERR_FORMAT, "key \"%s\" is %s; %s is wanted", key, type_name(v), wanted);
}

err_code json_want_str(const json_t *obj, const char *key, str *out, err *e) {
    const json_t *v;
    TRY(want(obj, key, &v, e));
    if (!json_is_string(v))
        return no_such(key, v, "a string", e);
    *out = json_str_of(v);
    return ERR_OK;
}

err_code json_want_u64(const json_t *obj, const char *key, uint64_t max, uint64_t *out, err *e) {
    const json_t *v;
    TRY(want(obj, key, &v, e));
    if (!json_is_integer(v))
        return err_set(e, ERR_FORMAT, "key \"%s\" is %s; a whole number from 0 to %" PRIu64 " is wanted", key,
                       type_name(v), max);
    json_int_t i = json_integer_value(v);
    if (i < 0 || (uint64_t)i > max)
        return err_set(e, ERR_FORMAT,
                       "key \"%s\" is %" JSON_INTEGER_FORMAT "; a whole number from 0 to %" PRIu64 " is wanted", key, i,
                       max);
    *out = (uint64_t)i;
    return ERR_OK;
}

err_code json_opt_num(const json_t *obj, const char *key, double *x, err *e) {
    const json_t *v = json_get(obj, key);
    if (v && !json_is_number(v))
        return no_such(key, v, "a number", e);
    if (v)
        *x = json_number_value(v);
    return ERR_OK;
}

err_code json_opt_bool(const json_t *obj, const char *key, bool *x, err *e) {
    const json_t *v = json_get(obj, key);
    if (v && !json_is_boolean(v))
        return no_such(key, v, "true or false", e);
    if (v)
        *x = json_is_true(v);
    return ERR_OK;
}

err_code json_opt_str(const json_t *obj, const char *key, str *x, err *e) {
    const json_t *v = json_get(obj, key);
    if (v && !json_is_string(v))
        return no_such(key, v, "a string", e);
    if (v)
        *x = json_str_of(v);
    return ERR_OK;
}

const json_t *json_get(const json_t *obj, const char *key) {
    const json_t *v = json_object_get(obj, key);
    return json_is_null(v) ? NULL : v;
}

str json_get_str(const json_t *obj, const char *key, str otherwise) {
    const json_t *v = json_object_get(obj, key);
    return json_is_string(v) ? json_str_of(v) : otherwise;
}

int64_t json_get_int(const json_t *obj, const char *key, int64_t otherwise) {
    const json_t *v = json_object_get(obj, key);
    return json_is_integer(v) ? json_integer_value(v) : otherwise;
}

double json_get_num(const json_t *obj, const char *key, double otherwise) {
    const json_t *v = json_object_get(obj, key);
    return json_is_number(v) ? json_number_value(v) : otherwise;
}

bool json_get_bool(const json_t *obj, const char *key, bool otherwise) {
    const json_t *v = json_object_get(obj, key);
    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

str json_str_of(const json_t *string) { return (str){json_string_value(string), json_string_length(string)}; }

json_t *json_repaired(str s) {
    strbuf good = {0};
    json_t *v = utf8_repair(s, &good, NULL) == ERR_OK ? json_stringn(good.n ? good.p : "", good.n) : NULL;
    strbuf_fini(&good);
    return v;
}

/* ---- writing ---- */

static err_code quote_into(str s, strbuf *out, err *e) {
    TRY(strbuf_addc(out, '"', e));
    size_t at = 0, copied = 0; /* bytes [copied, at) stand as they are */
    while (at < s.n) {
        size_t from = at;
        unsigned char c = (unsigned char)s.p[at];
        bool ill_formed = false;
        if (c < 0x80)
            at++;
        else
            ill_formed = utf8_next(s, &at) < 0;
        if (!ill_formed && c >= 0x20 && c != '"' && c != '\\')
            continue;
        TRY(strbuf_add(out, str_sub(s, copied, from), e));
        copied = at;
        static const char *const short_escapes[] = {
            ['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n",  ['\f'] = "\\f",
            ['\r'] = "\\r", ['"'] = "\\\"", ['\\'] = "\\\\",
        };
        if (ill_formed)
            TRY(strbuf_add(out, STR("\xef\xbf\xbd"), e)); /* U+FFFD */
        else if (short_escapes[c])
            TRY(strbuf_add(out, str_from(short_escapes[c]), e));
        else
            TRY(strbuf_addf(out, e, "\\u%04x", c));
    }
    TRY(strbuf_add(out, str_sub(s, copied, s.n), e));
    return strbuf_addc(out, '"', e);
}

err_code json_quote(str s, strbuf *out, err *e) {
    size_t before = out->n;
    err_code code = quote_into(s, out, e);
    if (code != ERR_OK)
        out->n = before;
    return code;
}
