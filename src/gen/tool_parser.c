/* tool_parser: see tool_parser.h.
 *
 * A machine over the buffered text. Each step decides by what stands there alone: it goes on, asks for more, or finds
 * that this is no call. "More" at the end of the answer means no. Within a call nothing leaves the buffer.
 */
#include "gen/tool_parser.h"

#include <string.h>

#include "gen/tool_gemma.h"
#include "text/json_write.h"
#include "text/schema.h"

typedef enum { NO, YES, MORE } verdict;
enum { START, TEXT, FIRST, OPEN, OBJECT, NAME, ARGS, CLOSE, NEXT, TAIL };

void tool_parser_init(tool_parser *p, const tool_format *f, const json_t *tools, size_t most, tool_emit *emit,
                      void *ctx) {
    *p = (tool_parser){.f = f, .tools = tools, .most = most, .emit = emit, .ctx = ctx};
    p->state = f && (f->bare || f->loose) && most > 0 ? START : TEXT;
}

static void forget_keys(tool_parser *p) {
    json_decref(p->keys);
    p->keys = NULL;
}

void tool_parser_fini(tool_parser *p) {
    strbuf_fini(&p->buf);
    forget_keys(p);
}

static str seen(const tool_parser *p, size_t from, size_t to) { return str_sub(strbuf_str(&p->buf), from, to); }

static str ahead(const tool_parser *p) { return seen(p, p->at, p->buf.n); }

static err_code tell(tool_parser *p, tool_event_kind kind, str text, str rest, err *e) {
    const tool_event event = {kind, text, rest};
    return p->emit(p->ctx, &event, e);
}

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

static void skip_space(tool_parser *p) {
    while (p->at < p->buf.n && is_space(p->buf.p[p->at]))
        p->at++;
}

/* Does `mark` stand here? It is passed when it does. NULL and "": yes. */
static verdict take(tool_parser *p, const char *mark) {
    str m = str_from(mark), s = ahead(p);
    if (str_starts(s, m)) {
        p->at += m.n;
        return YES;
    }
    return !p->ended && s.n < m.n && str_starts(m, s) ? MORE : NO;
}

static void go(tool_parser *p, int state) {
    p->state = state;
    p->resume = p->at;
    p->scan = (tool_scan){.at = p->at};
}

/* Where `mark` begins, from p->resume on. */
static verdict find(tool_parser *p, const char *mark, size_t *where) {
    str m = str_from(mark);
    ptrdiff_t found = str_find(strbuf_str(&p->buf), m, p->resume);
    if (found >= 0) {
        *where = (size_t)found;
        return YES;
    }
    if (p->buf.n >= m.n && p->buf.n - m.n + 1 > p->resume)
        p->resume = p->buf.n - m.n + 1;
    return p->ended ? NO : MORE;
}

/* ---- telling of a call ---- */

static err_code begin_call(tool_parser *p, str name, err *e) {
    p->begun = true;
    forget_keys(p);
    return tell(p, TOOL_BEGIN, name, (str){0}, e);
}

static err_code tell_args(tool_parser *p, str text, err *e) {
    return text.n > 0 ? tell(p, TOOL_ARGS, text, (str){0}, e) : ERR_OK;
}

/* Its text ends at p->at. */
static err_code end_call(tool_parser *p, err *e) {
    p->begun = false;
    p->after_call = true;
    p->n_calls++;
    p->from = p->at;
    p->mark = 0;
    return tell(p, TOOL_END, (str){0}, (str){0}, e);
}

/* No call after all. What was told of it cannot be taken back; else its mark is text, and what follows may be anything,
 * even a call. */
static err_code give_up(tool_parser *p, err *e) {
    p->state = TEXT;
    if (p->begun) {
        p->begun = false;
        return tell(p, TOOL_BROKEN, seen(p, p->from, p->at), seen(p, p->told, p->at), e);
    }
    p->at = p->from + p->mark;
    return p->mark > 0 ? tell(p, TOOL_TEXT, seen(p, p->from, p->at), (str){0}, e) : ERR_OK;
}

/* ---- JSON as it comes ---- */

/* Before the first byte. */
static void scan_begin(tool_parser *p) {
    if (p->scan.depth > 0)
        return;
    skip_space(p);
    p->scan.at = p->at;
}

static void value_ended(tool_parser *p, size_t to) {
    tool_scan *k = &p->scan;
    str key = seen(p, k->key_from, k->key_to);
    if (str_is(key, "name")) {
        k->name_from = k->value_from;
        k->name_to = to;
    } else if (str_is(key, "arguments") || str_is(key, "parameters")) {
        k->args_from = k->value_from;
        k->args_to = to;
    }
    k->key_from = k->key_to = k->value_from = k->value_to = 0;
}

static void scan_in_object(tool_parser *p, char c, size_t at) {
    tool_scan *k = &p->scan;
    if (c == ':' && k->key_to > 0 && k->value_from == 0)
        k->value_from = at + 1;
    else if (c == ',' || c == '}') {
        if (k->value_from > 0)
            value_ended(p, at);
        k->key_next = true;
    }
}

enum { NESTING_MAX = 64 };

/* An opening or closing bracket. */
static verdict scan_bracket(tool_scan *k, char c) {
    if (c == '{' || c == '[') {
        if (k->depth == NESTING_MAX || (k->depth == 0 && c != '{'))
            return NO;
        uint64_t bit = (uint64_t)1 << k->depth;
        k->braces = c == '{' ? k->braces | bit : k->braces & ~bit;
        k->key_next = k->depth++ == 0;
        return MORE;
    }
    if (k->depth == 0 || (k->braces >> (k->depth - 1) & 1) != (c == '}'))
        return NO;
    return --k->depth == 0 ? YES : MORE;
}

/* One byte. YES: the object ends with it; NO: it cannot be here, and is not passed. */
static verdict scan_byte(tool_parser *p) {
    tool_scan *k = &p->scan;
    size_t at = k->at++;
    char c = p->buf.p[at];
    if (k->in_text) {
        bool over = c == '"' && !k->escaped;
        k->escaped = c == '\\' && !k->escaped;
        k->in_text = !over;
        if (over && k->depth == 1 && k->key_next) {
            k->key_to = at;
            k->key_next = false;
        }
        return MORE;
    }
    if (k->depth == 0 && c != '{') {
        k->at--;
        return NO;
    }
    if (k->depth == 1)
        scan_in_object(p, c, at);
    if (c == '"') {
        k->in_text = true;
        if (k->depth == 1 && k->key_next)
            k->key_from = at + 1;
    } else if (strchr("{}[]", c) && c) {
        verdict v = scan_bracket(k, c);
        k->at -= v == NO;
        if (v == MORE && k->depth == 1 && k->value_from > 0 && k->value_to == 0)
            k->value_to = k->at;
        return v;
    }
    return MORE;
}

static str trimmed(str s) {
    while (s.n > 0 && is_space(s.p[0]))
        s = str_sub(s, 1, s.n);
    while (s.n > 0 && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

/* The name, when it can be read as it stands: "f". */
static bool plain_name(const tool_parser *p, str *name) {
    str s = trimmed(seen(p, p->scan.name_from, p->scan.name_to));
    if (p->scan.name_to == 0 || s.n < 3 || s.p[0] != '"' || memchr(s.p, '\\', s.n))
        return false;
    *name = str_sub(s, 1, s.n - 1);
    return true;
}

/* ---- a call that is an object ---- */

static bool is_args_key(str key) { return str_is(key, "arguments") || str_is(key, "parameters"); }

/* Begins the call as soon as its name is known and the arguments are on their way, and tells what has come of them. */
static err_code follow_object(tool_parser *p, verdict *v, err *e) {
    tool_scan *k = &p->scan;
    str name;
    size_t from = k->value_from, to = k->value_to > 0 ? k->value_to : k->at;
    if (k->args_to > 0 || from == 0 || !is_args_key(seen(p, k->key_from, k->key_to)))
        return ERR_OK;
    while (from < to && is_space(p->buf.p[from]))
        from++;
    if (from >= to || p->buf.p[from] != '{' || k->depth < 1 || !plain_name(p, &name))
        return ERR_OK;
    if (!p->begun) {
        if (!tool_find(p->tools, name)) {
            *v = NO;
            return ERR_OK;
        }
        p->told = from;
        TRY(begin_call(p, name, e));
    }
    if (to <= p->told)
        return ERR_OK;
    from = p->told;
    p->told = to;
    return tell_args(p, seen(p, from, to), e);
}

/* A text that holds the arguments as JSON is taken for them, too. */
static err_code tell_whole(tool_parser *p, const json_t *args, err *e) {
    if (!args)
        return tell_args(p, STR("{}"), e);
    str text = json_is_string(args) ? json_str_of(args) : seen(p, p->scan.args_from, p->scan.args_to);
    return tell_args(p, trimmed(text), e);
}

static bool holds_object(const json_t *args) {
    json_t *inner = NULL;
    if (!args || json_is_object(args))
        return true;
    bool good = json_is_string(args) && json_read(json_str_of(args), TOOL_CALL_BYTES_MAX, &inner, NULL) == ERR_OK &&
                json_is_object(inner);
    json_decref(inner);
    return good;
}

static err_code object_ended(tool_parser *p, verdict *v, err *e) {
    json_t *object = NULL;
    *v = NO;
    err_code code = json_read(seen(p, p->at, p->scan.at), TOOL_CALL_BYTES_MAX, &object, NULL);
    if (code != ERR_OK)
        return code == ERR_MEMORY ? err_set(e, code, "no memory for a call") : ERR_OK;
    str name = json_get_str(object, "name", (str){0});
    const json_t *args = json_object_get(object, "arguments"), *other = json_object_get(object, "parameters");
    bool both = args && other;
    args = args ? args : other;
    if (tool_find(p->tools, name) && !both && holds_object(args)) {
        *v = YES;
        if (!p->begun) {
            code = begin_call(p, name, e);
            if (code == ERR_OK)
                code = tell_whole(p, args, e);
        }
    }
    json_decref(object);
    return code;
}

static err_code step_object(tool_parser *p, verdict *v, err *e) {
    scan_begin(p);
    while (p->scan.at < p->buf.n) {
        verdict byte = scan_byte(p);
        bool closing = byte != MORE || p->buf.p[p->scan.at - 1] == '}';
        *v = byte == NO ? NO : MORE;
        if (closing || p->scan.at == p->buf.n)
            TRY(follow_object(p, v, e));
        if (*v == NO) {
            p->at = p->begun ? p->scan.at : p->at;
            return ERR_OK;
        }
        if (byte == MORE)
            continue;
        TRY(object_ended(p, v, e));
        p->at = p->scan.at;
        if (*v == YES)
            go(p, CLOSE);
        return ERR_OK;
    }
    *v = p->ended ? NO : MORE;
    return ERR_OK;
}

/* ---- a name, then arguments ---- */

static bool name_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
}

static err_code step_name(tool_parser *p, verdict *v, err *e) {
    size_t to = 0;
    *v = find(p, p->f->named, &to);
    size_t reach = *v == YES ? to : p->resume; /* the mark begins there or later */
    if (reach - p->at > TOOL_NAME_BYTES_MAX) {
        *v = NO;
        return ERR_OK;
    }
    if (*v != YES)
        return ERR_OK;
    str name = trimmed(seen(p, p->at, to));
    for (size_t i = 0; i < name.n; i++) /* the id of a call may follow its name */
        if (!name_byte(name.p[i]))
            name.n = i;
    p->function = tool_find(p->tools, name);
    if (!p->function) {
        *v = NO;
        return ERR_OK;
    }
    p->at = to + strlen(p->f->named);
    p->told = p->at;
    go(p, ARGS);
    return begin_call(p, name, e);
}

static err_code json_args(tool_parser *p, verdict *v, err *e) {
    tool_scan *k = &p->scan;
    scan_begin(p);
    p->told = k->depth == 0 ? p->at : p->told;
    verdict byte = MORE;
    while (byte == MORE && k->at < p->buf.n)
        byte = scan_byte(p);
    *v = byte == MORE && p->ended ? NO : byte;
    size_t from = p->told;
    p->told = k->at;
    TRY(tell_args(p, seen(p, from, p->told), e));
    if (byte != YES) {
        p->at = byte == NO ? k->at : p->at;
        return ERR_OK;
    }
    json_t *object = NULL;
    err_code code = json_read(seen(p, p->at, k->at), TOOL_CALL_BYTES_MAX, &object, NULL);
    json_decref(object);
    if (code == ERR_MEMORY)
        return err_set(e, code, "no memory for a call");
    *v = code == ERR_OK ? YES : NO;
    p->at = k->at;
    if (*v == YES)
        go(p, CLOSE);
    return ERR_OK;
}

/* VALUE in <parameter=KEY>VALUE: a text, unless its schema says otherwise, or says nothing and it is JSON. */
static err_code xml_value(const json_t *schema, str value, strbuf *out, err *e) {
    json_t *v = NULL;
    err_code code = schema_is_text(schema) ? ERR_FORMAT : json_read(value, TOOL_CALL_BYTES_MAX, &v, NULL);
    if (code == ERR_OK)
        code = json_write(v, 0, out, e);
    else
        code = code == ERR_MEMORY ? err_set(e, code, "no memory for a call") : json_quote(value, out, e);
    json_decref(v);
    return code;
}

/* May {KEY: VALUE} join what was told? NO when it is no JSON (a NUL in the key) or its key, as JSON has it, is told. */
static err_code new_key(tool_parser *p, str object, verdict *v, err *e) {
    json_t *one = NULL;
    err_code code = json_read(object, object.n, &one, NULL);
    const char *key = code == ERR_OK ? json_object_iter_key(json_object_iter(one)) : NULL;
    *v = key && !json_object_get(p->keys, key) ? YES : NO;
    if (*v == YES && !p->keys)
        p->keys = json_object();
    if (code == ERR_MEMORY || (*v == YES && json_object_set_new(p->keys, key, json_null()) != 0))
        code = err_set(e, ERR_MEMORY, "no memory for a call");
    else
        code = ERR_OK;
    json_decref(one);
    return code;
}

static err_code xml_object(const tool_parser *p, str key, str value, strbuf *out, err *e) {
    if (value.n > 0 && value.p[0] == '\n')
        value = str_sub(value, 1, value.n);
    if (value.n > 0 && value.p[value.n - 1] == '\n')
        value.n--;
    TRY(strbuf_addc(out, '{', e));
    TRY(json_quote(key, out, e));
    TRY(strbuf_add(out, STR(": "), e));
    TRY(xml_value(tool_property(p->function, key), value, out, e));
    return strbuf_addc(out, '}', e);
}

static err_code tell_xml(tool_parser *p, str key, str value, verdict *v, err *e) {
    strbuf out = {0};
    bool first = !p->keys;
    err_code code = strbuf_addc(&out, ',', e); /* ",{KEY: VALUE}" becomes "{KEY: VALUE" or ", KEY: VALUE" */
    if (code == ERR_OK)
        code = xml_object(p, key, value, &out, e);
    if (code == ERR_OK)
        code = new_key(p, str_sub(strbuf_str(&out), 1, out.n), v, e);
    if (code == ERR_OK && *v == YES) {
        out.p[1] = first ? '{' : ' ';
        code = tell_args(p, str_sub(strbuf_str(&out), first ? 1 : 0, out.n - 1), e);
    }
    strbuf_fini(&out);
    return code;
}

/* One argument, or the end of them all. */
static err_code xml_args(tool_parser *p, verdict *v, err *e) {
    size_t begun = p->at, key_to, to;
    skip_space(p);
    verdict over = take(p, p->f->close);
    if (over == YES) {
        *v = YES;
        p->told = p->at;
        go(p, NEXT);
        TRY(tell_args(p, p->keys ? STR("}") : STR("{}"), e));
        return end_call(p, e);
    }
    *v = take(p, "<parameter=");
    if (over == MORE && *v != YES)
        *v = MORE;
    if (*v == YES) {
        size_t key_from = p->at;
        p->resume = p->resume < p->at ? p->at : p->resume;
        ptrdiff_t mark = str_find(strbuf_str(&p->buf), STR(">"), p->at);
        *v = mark >= 0 ? find(p, "</parameter>", &to) : p->ended ? NO : MORE;
        if (*v == YES && (size_t)mark < to) {
            key_to = (size_t)mark;
            p->at = to + strlen("</parameter>");
            p->resume = p->at;
            TRY(tell_xml(p, seen(p, key_from, key_to), seen(p, key_to + 1, to), v, e));
            p->told = *v == YES ? p->at : p->told;
            return ERR_OK;
        }
        *v = *v == YES ? NO : *v;
    }
    if (*v != YES)
        p->at = begun;
    return ERR_OK;
}

static err_code gemma_args(tool_parser *p, verdict *v, err *e) {
    size_t to;
    strbuf out = {0};
    *v = find(p, p->f->end, &to);
    if (*v == NO && p->ended) {
        to = p->buf.n;
        *v = YES;
    }
    if (*v != YES)
        return ERR_OK;
    err_code code = tool_gemma_object(trimmed(seen(p, p->at, to)), &out, e);
    if (code == ERR_OK) {
        p->at = p->told = to;
        go(p, NEXT);
        code = tell_args(p, strbuf_str(&out), e);
        if (code == ERR_OK)
            code = end_call(p, e);
    } else if (code == ERR_FORMAT) {
        p->at = to;
        *v = NO;
        code = ERR_OK;
    }
    strbuf_fini(&out);
    return code;
}

static err_code step_args(tool_parser *p, verdict *v, err *e) {
    static err_code (*const read[])(tool_parser *, verdict *, err *) = {
        [TOOL_JSON] = json_args, [TOOL_XML] = xml_args, [TOOL_GEMMA] = gemma_args};
    return read[p->f->args](p, v, e);
}

/* ---- text, and what stands between calls ---- */

/* How much of s, at its end, may be white space before a call, or the beginning of its mark. */
static size_t held_back(str s, str mark) {
    size_t n = s.n < mark.n ? s.n : mark.n > 0 ? mark.n - 1 : 0;
    while (n > 0 && !str_starts(mark, str_sub(s, s.n - n, s.n)))
        n--;
    while (n < s.n && is_space(s.p[s.n - n - 1]))
        n++;
    return n;
}

static err_code tell_text(tool_parser *p, size_t to, err *e) {
    size_t from = p->at;
    if (to == from)
        return ERR_OK;
    p->at = to;
    p->after_call = false;
    return tell(p, TOOL_TEXT, seen(p, from, to), (str){0}, e);
}

static err_code step_text(tool_parser *p, verdict *v, err *e) {
    if (p->after_call)
        skip_space(p);
    str s = ahead(p), mark = p->f && p->n_calls < p->most ? str_from(p->f->begin) : (str){0};
    ptrdiff_t found = mark.n > 0 ? str_find(s, mark, 0) : -1;
    *v = YES;
    if (found >= 0) {
        size_t to = p->at + (size_t)found, kept = to;
        while (kept > p->at && is_space(p->buf.p[kept - 1]))
            kept--;
        TRY(tell_text(p, kept, e));
        p->from = kept;
        p->at = to + mark.n;
        p->mark = p->at - kept;
        go(p, FIRST);
        return ERR_OK;
    }
    *v = MORE;
    bool certain = p->ended || mark.n == 0;
    return tell_text(p, p->buf.n - (certain ? 0 : held_back(s, mark)), e);
}

/* Does an object stand at p->at, behind white space? */
static verdict begins_object(tool_parser *p) {
    skip_space(p);
    return p->at == p->buf.n && !p->ended ? MORE : p->at < p->buf.n && p->buf.p[p->at] == '{' ? YES : NO;
}

/* Behind a fence that p->at passes? */
static verdict begins_fenced(tool_parser *p) {
    verdict fence = take(p, "```"), named = fence == YES ? take(p, "json") : fence;
    return fence != YES || named == MORE ? named : begins_object(p);
}

/* Only at the answer's beginning. */
static err_code step_start(tool_parser *p, verdict *v) {
    size_t begun = p->at;
    verdict object = begins_object(p);
    p->fenced = object == NO && p->f->loose;
    if (p->fenced)
        object = begins_fenced(p);
    *v = object == MORE ? MORE : YES;
    if (object == YES) {
        p->from = begun;
        p->mark = p->fenced ? p->at - begun : 0;
        p->at = p->fenced ? p->at : begun;
        go(p, FIRST);
    } else {
        p->fenced = false;
        p->at = begun;
        if (object == NO)
            go(p, TEXT);
    }
    return ERR_OK;
}

static err_code step_close(tool_parser *p, verdict *v, err *e) {
    size_t at = p->at;
    if (p->f->close) {
        skip_space(p);
        p->at = str_starts(str_from(p->f->close), STR("\n")) ? at : p->at; /* it is part of the mark */
        *v = take(p, p->f->close);
        if (*v == NO && p->ended) /* the answer ended; the call is whole */
            *v = YES;
    } else
        *v = YES;
    if (*v != YES)
        return ERR_OK;
    go(p, NEXT);
    return end_call(p, e);
}

/* Another call, the section's end, or text. */
static void step_next(tool_parser *p, verdict *v) {
    size_t at = p->at;
    const char *between = p->n_calls < p->most ? p->f->between : NULL, *end = p->fenced ? "```" : p->f->end;
    skip_space(p);
    verdict over = end ? take(p, end) : NO, again = NO;
    if (over == NO && between)
        again = take(p, *between ? between : p->f->open);
    *v = YES;
    if (over == YES)
        go(p, TAIL);
    else if (again == YES) {
        p->at -= *between ? 0 : strlen(p->f->open);
        go(p, OPEN);
    } else if ((over == MORE || again == MORE || p->at == p->buf.n) && !p->ended) {
        *v = MORE;
        p->at = at;
    } else {
        p->at = at;
        go(p, TEXT);
    }
}

static void step_tail(tool_parser *p, verdict *v) {
    *v = p->f->tail ? take(p, p->f->tail) : YES;
    if (*v == MORE)
        return;
    *v = YES;
    go(p, TEXT);
}

static err_code step_mark(tool_parser *p, verdict *v, const char *mark, int next) {
    skip_space(p);
    *v = take(p, mark);
    if (*v == YES)
        go(p, next);
    return ERR_OK;
}

static err_code step(tool_parser *p, verdict *v, err *e) {
    switch (p->state) {
    case START:
        return step_start(p, v);
    case TEXT:
        return step_text(p, v, e);
    case FIRST:
        return step_mark(p, v, p->f->first, OPEN);
    case OPEN:
        return step_mark(p, v, p->f->open, p->f->named ? NAME : OBJECT);
    case OBJECT:
        return step_object(p, v, e);
    case NAME:
        return step_name(p, v, e);
    case ARGS:
        return step_args(p, v, e);
    case CLOSE:
        return step_close(p, v, e);
    case NEXT:
        step_next(p, v);
        return ERR_OK;
    default:
        step_tail(p, v);
        return ERR_OK;
    }
}

/* In text nothing before p->at is needed any more. */
static void forget(tool_parser *p) {
    if (p->at == 0)
        return;
    memmove(p->buf.p, p->buf.p + p->at, p->buf.n - p->at);
    p->buf.n -= p->at;
    p->at = p->resume = 0;
}

static err_code run(tool_parser *p, err *e) {
    verdict v = YES;
    while (v == YES) {
        TRY(step(p, &v, e));
        bool whole = p->state != TEXT && p->buf.n - p->from > TOOL_CALL_BYTES_MAX;
        if (v == NO || (v == MORE && p->state != TEXT && (p->ended || whole))) {
            if (p->begun && (p->ended || whole))
                p->at = p->buf.n;
            TRY(give_up(p, e));
            v = YES;
        }
    }
    if (p->state == TEXT)
        forget(p);
    return ERR_OK;
}

err_code tool_parser_feed(tool_parser *p, str text, err *e) {
    if (text.n == 0)
        return ERR_OK;
    TRY(strbuf_add(&p->buf, text, e));
    return run(p, e);
}

err_code tool_parser_end(tool_parser *p, err *e) {
    p->ended = true;
    return run(p, e);
}
