/* chat: messages through a template into ids; see chat.h for the rule about control tokens in messages. */
#include "gen/chat.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "gen/chat_int.h"
#include "text/utf8.h"

const chat_builtin chat_builtins[] = {
    {"chatml", "<|im_start|>role ... <|im_end|> (Qwen, SmolLM and many fine-tunes)", "<|im_start|>", NULL,
     "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"},
    {"gemma", "<start_of_turn>role ... <end_of_turn>, system text before the first user text", "<start_of_turn>", NULL,
     "{{ bos_token }}{% set ns = namespace(head='') %}"
     "{% for m in messages %}"
     "{% if m.role == 'system' %}{% set ns.head = ns.head + m.content + '\\n\\n' %}"
     "{% elif m.role == 'assistant' %}{{ '<start_of_turn>model\\n' + m.content + '<end_of_turn>\\n' }}"
     "{% else %}{{ '<start_of_turn>user\\n' + ns.head + m.content + '<end_of_turn>\\n' }}{% set ns.head = '' %}"
     "{% endif %}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"},
    {"llama3", "<|start_header_id|>role<|end_header_id|> ... <|eot_id|>", "<|start_header_id|>", NULL,
     "{{ bos_token }}{% for m in messages %}"
     "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content + '<|eot_id|>' }}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"},
    {"plain", "User: ... Assistant: ..., for base models", NULL, "\nUser:",
     "{{ bos_token }}{% for m in messages %}"
     "{% if m.role == 'system' %}{{ m.content + '\\n\\n' }}"
     "{% elif m.role == 'assistant' %}{{ 'Assistant: ' + m.content.strip() + '\\n' }}"
     "{% else %}{{ 'User: ' + m.content + '\\n' }}{% endif %}{% endfor %}"
     "{% if add_generation_prompt %}Assistant:{% endif %}"},
    {0},
};

const chat_builtin *chat_builtin_find(const char *name) {
    for (const chat_builtin *b = chat_builtins; b->name; b++)
        if (strcmp(b->name, name) == 0)
            return b;
    return NULL;
}

struct chat_template {
    arena mem;
    const tokenizer *t;
    str source;
    jinja *program;
    str *control; /* spellings of control tokens, ascending */
    size_t n_control;
    bool may_start[256]; /* some control token starts with this byte */
    str *end;            /* spellings of end tokens, by their ids */
    size_t n_end;
};

static int by_bytes(const void *a, const void *b) { return str_cmp(*(const str *)a, *(const str *)b); }

/* Spellings of the tokens that are such, by their ids. */
static err_code list_tokens(chat_template *c, bool (*is)(const tokenizer *, int32_t), str **list, size_t *n, err *e) {
    int32_t n_vocab = tokenizer_n_vocab(c->t);
    size_t most = 0;
    for (int32_t id = 0; id < n_vocab; id++)
        most += is(c->t, id);
    ARENA_NEW(&c->mem, *list, most, e);
    for (int32_t id = 0; id < n_vocab; id++)
        if (is(c->t, id) && tokenizer_piece(c->t, id).n > 0)
            (*list)[(*n)++] = tokenizer_piece(c->t, id);
    return ERR_OK;
}

static err_code list_control_tokens(chat_template *c, err *e) {
    TRY(list_tokens(c, tokenizer_is_control, &c->control, &c->n_control, e));
    qsort(c->control, c->n_control, sizeof *c->control, by_bytes);
    for (size_t i = 0; i < c->n_control; i++)
        c->may_start[(unsigned char)c->control[i].p[0]] = true;
    return ERR_OK;
}

size_t chat_end_token(const chat_template *c, str s, bool at_its_end) {
    for (size_t i = 0; i < c->n_end; i++)
        if (at_its_end ? str_ends(s, c->end[i]) : str_starts(s, c->end[i]))
            return c->end[i].n;
    return 0;
}

err_code chat_open(chat_template **out, const tokenizer *t, str source, err *e) {
    *out = NULL;
    chat_template *c = calloc(1, sizeof *c);
    if (!c)
        return arena_short(e, 1, sizeof *c);
    c->t = t;
    err_code code = list_control_tokens(c, e);
    if (code == ERR_OK)
        code = list_tokens(c, tokenizer_is_end, &c->end, &c->n_end, e);
    if (code == ERR_OK) {
        c->source = arena_str(&c->mem, source);
        code = c->source.p ? jinja_compile(&c->program, source, NULL, e) : arena_short(e, source.n, 1);
    }
    if (code != ERR_OK) {
        chat_close(c);
        return err_in(e, code, "chat template");
    }
    *out = c;
    return ERR_OK;
}

void chat_close(chat_template *c) {
    if (!c)
        return;
    jinja_free(c->program);
    arena_fini(&c->mem);
    free(c);
}

str chat_source(const chat_template *c) { return c->source; }

const tokenizer *chat_tokenizer(const chat_template *c) { return c->t; }

/* ---- marks ---- */

str chat_mark_str(const chat_mark *k) { return (str){k->byte, k->n}; }

/* Length of the shortest control token spelled at the beginning of s; 0: none. The candidates are a
 * range of the sorted list, narrowed byte by byte, so a text costs little even when every byte may start one. */
static size_t control_at(const chat_template *c, str s) {
    size_t lo = 0, hi = c->n_control;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char byte = (unsigned char)s.p[i];
        for (size_t a = lo, b = hi; a < b;) { /* first whose byte i is >= byte */
            size_t mid = a + (b - a) / 2;
            bool below = c->control[mid].n <= i || (unsigned char)c->control[mid].p[i] < byte;
            if (below)
                a = mid + 1;
            else
                b = mid;
            lo = a;
        }
        size_t top = lo;
        for (size_t b = hi; top < b;) { /* first whose byte i is > byte */
            size_t mid = top + (b - top) / 2;
            if ((unsigned char)c->control[mid].p[i] <= byte)
                top = mid + 1;
            else
                b = mid;
        }
        hi = top;
        if (lo == hi)
            return 0;
        if (c->control[lo].n == i + 1) /* the shortest of a common prefix sorts first */
            return i + 1;
    }
    return 0;
}

/* Does s occur in a text or a key of v? */
static bool value_holds(const json_t *v, str s) {
    json_t *o = (json_t *)(uintptr_t)v, *one;
    const char *key;
    size_t i;
    if (json_is_string(v))
        return str_find(json_str_of(v), s, 0) >= 0;
    json_object_foreach(o, key, one) if (str_find(str_from(key), s, 0) >= 0 || value_holds(one, s)) return true;
    json_array_foreach(o, i, one) if (value_holds(one, s)) return true;
    return false;
}

err_code chat_choose_mark(const chat_template *c, const chat_message *m, size_t n, const json_t *tools,
                          const chat_mark *other, chat_mark *out, err *e) {
    for (int32_t cp = 0xFDD0; cp <= 0xFDEF; cp++) {
        out->n = utf8_put(cp, out->byte);
        str s = chat_mark_str(out);
        bool found =
            (other && str_eq(s, chat_mark_str(other))) || str_find(c->source, s, 0) >= 0 || value_holds(tools, s);
        for (size_t i = 0; i < n && !found; i++)
            found = str_find(m[i].content, s, 0) >= 0 || value_holds(m[i].more, s);
        if (!found)
            return ERR_OK;
    }
    return err_set(e, ERR_LIMIT, "the messages hold every noncharacter from U+FDD0 to U+FDEF");
}

/* Appends `text` (valid UTF-8) with `mark` behind the first character of every control token spelled in it. */
static err_code mark_controls(const chat_template *c, str text, str mark, strbuf *out, err *e) {
    size_t from = 0;
    for (size_t at = 0; at < text.n;) {
        size_t start = at;
        utf8_next(text, &at);
        if (!c->may_start[(unsigned char)text.p[start]])
            continue;
        size_t n = control_at(c, str_sub(text, start, text.n));
        if (n == 0)
            continue;
        if (n <= at - start)
            return err_set(e, ERR_UNSUPPORTED, "a message holds the control token \"%.*s\" of a single character",
                           (int)n, text.p + start);
        TRY(strbuf_add(out, str_sub(text, from, at), e));
        TRY(strbuf_add(out, mark, e));
        from = at;
    }
    return strbuf_add(out, str_sub(text, from, text.n), e);
}

err_code chat_mark_text(const chat_template *c, str text, const chat_mark *mark, strbuf *out, err *e) {
    return mark_controls(c, text, chat_mark_str(mark), out, e);
}

/* ---- rendering ---- */

static bool role_known(str role) {
    return str_is(role, "system") || str_is(role, "user") || str_is(role, "assistant") || str_is(role, "tool");
}

static err_code no_memory(err *e) { return err_set(e, ERR_MEMORY, "no memory for the messages"); }

static err_code marked_value(const chat_template *c, const json_t *v, str mark, json_t **out, err *e);

static err_code marked_text(const chat_template *c, str text, str mark, json_t **out, err *e) {
    strbuf marked = {0};
    err_code code = mark_controls(c, text, mark, &marked, e);
    if (code == ERR_OK) {
        *out = json_stringn(marked.n ? marked.p : "", marked.n);
        code = *out ? ERR_OK : no_memory(e);
    }
    strbuf_fini(&marked);
    return code;
}

static err_code marked_member(const chat_template *c, const char *key, const json_t *v, str mark, json_t *object,
                              err *e) {
    strbuf marked = {0};
    json_t *value = NULL;
    err_code code = mark_controls(c, str_from(key), mark, &marked, e);
    if (code == ERR_OK)
        code = strbuf_addc(&marked, 0, e);
    if (code == ERR_OK)
        code = marked_value(c, v, mark, &value, e);
    if (code == ERR_OK && json_object_set_new(object, marked.p, value) != 0)
        code = no_memory(e);
    strbuf_fini(&marked);
    return code;
}

/* A copy of v with its texts and keys marked. json_read() bounds its depth. */
static err_code marked_value(const chat_template *c, const json_t *v, str mark, json_t **out, err *e) {
    json_t *from = (json_t *)(uintptr_t)v, *one;
    const char *key;
    size_t i;
    err_code code = ERR_OK;
    if (json_is_string(v))
        return marked_text(c, json_str_of(v), mark, out, e);
    if (!json_is_object(v) && !json_is_array(v)) {
        *out = json_incref(from);
        return ERR_OK;
    }
    json_t *copy = json_is_object(v) ? json_object() : json_array();
    if (!copy)
        return no_memory(e);
    json_object_foreach(from, key, one) {
        if (code == ERR_OK)
            code = marked_member(c, key, one, mark, copy, e);
    }
    json_array_foreach(from, i, one) {
        json_t *item = NULL;
        if (code == ERR_OK)
            code = marked_value(c, one, mark, &item, e);
        if (item && json_array_append_new(copy, item) != 0)
            code = no_memory(e);
    }
    if (code == ERR_OK)
        *out = copy;
    else
        json_decref(copy);
    return code;
}

/* {"role": ..., "content": ..., and m->more}, all but the role marked; a new reference. */
static err_code message_value(const chat_template *c, const chat_message *m, str mark, json_t **out, err *e) {
    strbuf good = {0};
    json_t *content = NULL, *more = NULL;
    err_code code = utf8_repair(m->content, &good, e);
    if (code == ERR_OK)
        code = marked_text(c, strbuf_str(&good), mark, &content, e);
    if (code == ERR_OK && m->more)
        code = marked_value(c, m->more, mark, &more, e);
    if (code == ERR_OK) {
        *out = json_pack("{s:s%, s:O}", "role", m->role.p, m->role.n, "content", content);
        if (!*out || (more && json_object_update_missing(*out, more) != 0)) {
            json_decref(*out);
            *out = NULL;
            code = no_memory(e);
        }
    }
    json_decref(content);
    json_decref(more);
    strbuf_fini(&good);
    return code;
}

static err_code messages_value(const chat_template *c, const chat_message *m, size_t n, str mark, json_t *list,
                               err *e) {
    for (size_t i = 0; i < n; i++) {
        json_t *one = NULL;
        err_code code = message_value(c, &m[i], mark, &one, e);
        if (code == ERR_OK && json_array_append_new(list, one) != 0)
            code = no_memory(e);
        if (code != ERR_OK)
            return err_in(e, code, "message %zu", i + 1);
    }
    return ERR_OK;
}

/* The spelling of a special token as a value; ill-formed or absent: left undefined. */
static void set_token(const chat_template *c, json_t *vars, const char *name, int32_t id) {
    if (id < 0)
        return;
    str piece = tokenizer_piece(c->t, id);
    json_t *value = utf8_valid(piece) ? json_stringn(piece.n ? piece.p : "", piece.n) : NULL;
    if (value)
        json_object_set_new(vars, name, value);
}

err_code chat_render_marked(const chat_template *c, const chat_message *m, size_t n, const chat_options *o,
                            const chat_mark *k, strbuf *out, jinja_spans *spans, err *e) {
    str mark = chat_mark_str(k);
    json_t *vars = json_object(), *list = json_array(), *tools = NULL;
    err_code code = vars && list ? messages_value(c, m, n, mark, list, e) : no_memory(e);
    if (code == ERR_OK && o->tools)
        code = marked_value(c, o->tools, mark, &tools, e);
    if (code == ERR_OK) {
        set_token(c, vars, "bos_token", tokenizer_bos(c->t));
        set_token(c, vars, "eos_token", tokenizer_eos(c->t));
        if ((o->vars && json_object_update(vars, (json_t *)(uintptr_t)o->vars) != 0) ||
            json_object_set_new(vars, "add_generation_prompt", json_boolean(o->generation_prompt)) != 0 ||
            json_object_set(vars, "messages", list) != 0 || (tools && json_object_set(vars, "tools", tools) != 0))
            code = no_memory(e);
        else {
            static const char *const none[] = {"tools", "documents"};
            for (size_t i = 0; i < 2; i++)
                if (!json_object_get(vars, none[i]))
                    json_object_set_new(vars, none[i], json_null());
            code = jinja_render_spans(c->program, vars, o->now, out, spans, e);
            if (code != ERR_OK)
                err_in(e, code, "chat template");
        }
    }
    json_decref(tools);
    json_decref(list);
    json_decref(vars);
    return code;
}

err_code chat_check(const chat_message *m, size_t n, err *e) {
    if (n > CHAT_MESSAGES_MAX)
        return err_set(e, ERR_LIMIT, "%zu messages are more than %d", n, CHAT_MESSAGES_MAX);
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        if (!role_known(m[i].role))
            return err_set(e, ERR_USAGE, "message %zu: role \"%.*s\" (known: system, user, assistant, tool)", i + 1,
                           STR_ARG(m[i].role));
        if (m[i].content.n > CHAT_BYTES_MAX - bytes)
            return err_set(e, ERR_LIMIT, "the messages have more than %d bytes", CHAT_BYTES_MAX);
        bytes += m[i].content.n;
    }
    return ERR_OK;
}

typedef struct {
    chat_mark mark;
    strbuf text; /* rendered, with marks */
} rendered;

static err_code render_checked(const chat_template *c, const chat_message *m, size_t n, const chat_options *o,
                               rendered *r, err *e) {
    TRY(chat_check(m, n, e));
    TRY(chat_choose_mark(c, m, n, o->tools, NULL, &r->mark, e));
    return chat_render_marked(c, m, n, o, &r->mark, &r->text, NULL, e);
}

bool chat_next_piece(str text, const chat_mark *mark, size_t *at, str *piece) {
    if (*at > text.n)
        return false;
    ptrdiff_t end = str_find(text, chat_mark_str(mark), *at);
    *piece = str_sub(text, *at, end < 0 ? text.n : (size_t)end);
    *at = end < 0 ? text.n + 1 : (size_t)end + mark->n;
    return true;
}

err_code chat_render(const chat_template *c, const chat_message *m, size_t n, const chat_options *o, strbuf *text,
                     err *e) {
    rendered r = {0};
    size_t before = text->n, at = 0;
    err_code code = render_checked(c, m, n, o, &r, e);
    for (str piece; code == ERR_OK && chat_next_piece(strbuf_str(&r.text), &r.mark, &at, &piece);)
        code = strbuf_add(text, piece, e);
    strbuf_fini(&r.text);
    if (code != ERR_OK)
        text->n = before;
    return code;
}

err_code chat_encode(const chat_template *c, const chat_message *m, size_t n, const chat_options *o, tok_ids *ids,
                     err *e) {
    rendered r = {0};
    size_t before = ids->n, at = 0;
    err_code code = render_checked(c, m, n, o, &r, e);
    for (str piece; code == ERR_OK && chat_next_piece(strbuf_str(&r.text), &r.mark, &at, &piece);)
        code = tokenizer_encode(c->t, piece, TOK_SPECIAL_PARSE, ids, e);
    strbuf_fini(&r.text);
    if (code != ERR_OK)
        ids->n = before;
    return code;
}
