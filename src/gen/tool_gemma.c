/* tool_gemma: see tool_gemma.h. A parser by recursive descent; what it writes is read as JSON at the end, so that only
 * JSON comes out. */
#include "gen/tool_gemma.h"

#include <string.h>

#include "text/json.h"

enum { DEPTH_MAX = 32 };

typedef struct {
    str s;
    size_t at;
    strbuf *out;
    err *e;
} reader;

static err_code wrong(reader *r) {
    return err_set(r->e, ERR_FORMAT, "byte %zu of the arguments: not what Gemma writes", r->at);
}

static char here(const reader *r) { return r->at < r->s.n ? r->s.p[r->at] : 0; }

static void skip(reader *r) {
    while (here(r) == ' ' || here(r) == '\n' || here(r) == '\t' || here(r) == '\r')
        r->at++;
}

/* A JSON string as it stands. */
static err_code quoted(reader *r) {
    size_t from = r->at++;
    for (; r->at < r->s.n && r->s.p[r->at] != '"'; r->at++)
        r->at += r->s.p[r->at] == '\\';
    if (r->at >= r->s.n)
        return wrong(r);
    r->at++;
    return strbuf_add(r->out, str_sub(r->s, from, r->at), r->e);
}

static err_code escaped(reader *r) {
    str mark = STR("<escape>");
    size_t from = r->at + mark.n;
    ptrdiff_t to = str_find(r->s, mark, from);
    if (to < 0)
        return wrong(r);
    r->at = (size_t)to + mark.n;
    return json_quote(str_sub(r->s, from, (size_t)to), r->out, r->e);
}

static bool at_escape(const reader *r) { return str_starts(str_sub(r->s, r->at, r->s.n), STR("<escape>")); }

static err_code key(reader *r) {
    skip(r);
    if (here(r) == '"')
        return quoted(r);
    if (at_escape(r))
        return escaped(r);
    size_t from = r->at;
    while (r->at < r->s.n && !strchr(":,{}[] \n", r->s.p[r->at]))
        r->at++;
    if (r->at == from)
        return wrong(r);
    return json_quote(str_sub(r->s, from, r->at), r->out, r->e);
}

static err_code value(reader *r, int depth);

/* What follows the opening bracket, to the closing one. */
static err_code members(reader *r, bool object, int depth) {
    char close = object ? '}' : ']';
    if (depth > DEPTH_MAX)
        return wrong(r);
    TRY(strbuf_addc(r->out, object ? '{' : '[', r->e));
    skip(r);
    for (size_t n = 0; here(r) != close; n++) {
        if (n > 0) {
            if (here(r) != ',')
                return wrong(r);
            r->at++;
            TRY(strbuf_addc(r->out, ',', r->e));
        }
        if (object) {
            TRY(key(r));
            skip(r);
            if (here(r) != ':')
                return wrong(r);
            r->at++;
            TRY(strbuf_addc(r->out, ':', r->e));
        }
        TRY(value(r, depth));
        skip(r);
    }
    r->at++;
    return strbuf_addc(r->out, close, r->e);
}

static err_code value(reader *r, int depth) {
    skip(r);
    char c = here(r);
    if (at_escape(r))
        return escaped(r);
    if (c == '"')
        return quoted(r);
    if (c == '{' || c == '[') {
        r->at++;
        return members(r, c == '{', depth + 1);
    }
    size_t from = r->at;
    while (r->at < r->s.n && !strchr(",{}[]: \n\"", r->s.p[r->at]))
        r->at++;
    return r->at > from ? strbuf_add(r->out, str_sub(r->s, from, r->at), r->e) : wrong(r);
}

err_code tool_gemma_object(str s, strbuf *out, err *e) {
    reader r = {.s = s, .out = out, .e = e};
    size_t before = out->n;
    json_t *v = NULL;
    err_code code = members(&r, true, 0);
    if (code == ERR_OK && r.at < s.n)
        code = wrong(&r);
    if (code == ERR_OK)
        code = json_read(str_sub(strbuf_str(out), before, out->n), 1 << 24, &v, e);
    json_decref(v);
    if (code != ERR_OK)
        out->n = before;
    return code;
}
