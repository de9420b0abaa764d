/* chat_learn: see chat_learn.h. All offsets are of the rendered text with its marks. */
#include "gen/chat_learn.h"

#include <stdlib.h>
#include <string.h>

#include "gen/chat_int.h"
#include "gen/thinking.h"
#include "text/utf8.h"

typedef jinja_span span;

void learned_fini(learned_ids *x) {
    tok_ids_fini(&x->ids);
    strbuf_fini(&x->learn);
}

/* ---- from spans to ids ---- */

typedef struct {
    const tokenizer *t;
    tok_work *w;
    const span *span; /* ascending, apart */
    size_t n_spans, i_span;
    strbuf piece; /* scratch: what one token says */
    learned_ids *out;
} flagger;

/* Asked for ascending places. */
static bool learned_at(flagger *f, size_t from, size_t to) {
    while (f->i_span < f->n_spans && f->span[f->i_span].to <= from)
        f->i_span++;
    return f->i_span < f->n_spans && f->span[f->i_span].from < to;
}

/* Does the text go on with what the token says? A space in front that only the tokenizer knows of is no part of it. */
static bool goes_on(str rest, str *said) {
    if (str_starts(rest, *said))
        return true;
    if (said->n == 0 || said->p[0] != ' ')
        return false;
    *said = str_sub(*said, 1, said->n);
    return str_starts(rest, *said);
}

static bool is_blank(char ch) { return ch == ' ' || ch == '\n' || ch == '\r' || ch == '\t'; }

/* *pos moves to where the token that says *said begins; false: the text does not go on like this. A control token may
 * swallow blanks around it; one that is not in the text has been added to it. */
static bool find_token(str text, size_t *pos, str *said, bool control, bool after_control) {
    str as_it_is = *said;
    if (goes_on(str_sub(text, *pos, text.n), said))
        return true;
    size_t next = *pos;
    while ((control || after_control) && next < text.n && is_blank(text.p[next]))
        next++;
    *said = as_it_is;
    if (next > *pos && goes_on(str_sub(text, next, text.n), said)) {
        *pos = next;
        return true;
    }
    said->n = 0;
    return control;
}

/* A space in front of a text stands with what follows it. */
static bool learned_behind(const flagger *f, size_t at, str text, size_t pos) {
    flagger ahead = *f;
    while (pos < text.n && is_blank(text.p[pos]))
        pos++;
    return pos < text.n && learned_at(&ahead, at + pos, at + pos + 1);
}

/* Flags for ids [first, ..), which were made of text, by walking both. *same: the ids say the text. */
static err_code flag_same(flagger *f, size_t at, str text, size_t first, bool *same, err *e) {
    size_t pos = 0;
    bool after_control = false;
    *same = false;
    for (size_t i = first; i < f->out->ids.n; i++) {
        int32_t id = f->out->ids.id[i];
        bool control = tokenizer_is_control(f->t, id);
        f->piece.n = 0;
        TRY(tokenizer_decode_next(f->t, i, id, true, &f->piece, e));
        str said = strbuf_str(&f->piece);
        if (!find_token(text, &pos, &said, control, after_control))
            return ERR_OK;
        bool learned =
            said.n > 0 ? learned_at(f, at + pos, at + pos + said.n) : !control && learned_behind(f, at, text, pos);
        TRY(strbuf_addc(&f->out->learn, learned, e));
        pos += said.n;
        after_control = control || (after_control && said.n == 0);
    }
    while (after_control && pos < text.n && is_blank(text.p[pos]))
        pos++;
    *same = pos == text.n;
    return ERR_OK;
}

/* The text cut where learning begins and ends: then every id is on one side. */
static err_code encode_cut(flagger *f, size_t at, str text, unsigned flags, err *e) {
    for (size_t from = 0, to; from < text.n; from = to) {
        bool learned = learned_at(f, at + from, at + from + 1);
        for (to = from + 1; to < text.n && learned_at(f, at + to, at + to + 1) == learned;)
            to++;
        TRY(tokenizer_encode_with(f->w, str_sub(text, from, to), flags, &f->out->ids, e));
        while (f->out->learn.n < f->out->ids.n)
            TRY(strbuf_addc(&f->out->learn, learned, e));
        flags &= ~(unsigned)TOK_SPECIAL_ADD;
    }
    return ERR_OK;
}

/* Adds the ids of text, which stands at `at`, and their flags. */
static err_code encode(flagger *f, size_t at, str text, unsigned flags, err *e) {
    size_t first = f->out->ids.n, i_span = f->i_span;
    bool same = false;
    TRY(tokenizer_encode_with(f->w, text, flags, &f->out->ids, e));
    TRY(flag_same(f, at, text, first, &same, e));
    if (same)
        return ERR_OK;
    f->out->ids.n = f->out->learn.n = first;
    f->i_span = i_span;
    return encode_cut(f, at, text, flags, e);
}

/* After a failure nothing has been added. */
static err_code ended(flagger *f, size_t n_before, err_code code) {
    strbuf_fini(&f->piece);
    if (code != ERR_OK)
        f->out->ids.n = f->out->learn.n = n_before;
    return code;
}

err_code learn_text(const tokenizer *t, tok_work *w, str text, size_t from, unsigned flags, learned_ids *out, err *e) {
    span s = {from, text.n};
    flagger f = {.t = t, .w = w, .span = &s, .n_spans = 1, .out = out};
    size_t before = out->ids.n;
    return ended(&f, before, encode(&f, 0, text, flags, e));
}

/* ---- from messages to spans ---- */

typedef struct {
    const chat_template *c;
    const tokenizer *t;
    const chat_message *m;
    size_t n;
    chat_options o;              /* without a generation prompt */
    const thinking_marks *marks; /* NULL: the template knows of no thoughts */
    chat_mark mark, sentinel;
    strbuf whole;                 /* all messages, rendered */
    strbuf base, opened, through; /* messages [0, i); the same and the words that open a turn; [0, i] */
    strbuf content;               /* of message i, marked */
    jinja_spans blocks;           /* {% generation %} */
    span *span;
    size_t n_spans;
} finder;

static str whole_of(const finder *f) { return strbuf_str(&f->whole); }

static void finder_fini(finder *f) {
    strbuf *const buffers[] = {&f->whole, &f->base, &f->opened, &f->through, &f->content};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        strbuf_fini(buffers[i]);
    free(f->blocks.v);
    free(f->span);
}

static str trimmed(str s) {
    while (s.n > 0 && is_blank(s.p[s.n - 1]))
        s.n--;
    while (s.n > 0 && is_blank(s.p[0]))
        s = str_sub(s, 1, s.n);
    return s;
}

/* The first `count` messages into *out; *there: the template takes them. Memory and limits are errors. */
static err_code render_some(finder *f, const chat_message *m, size_t count, bool opened, strbuf *out, bool *there,
                            err *e) {
    chat_options o = f->o;
    o.generation_prompt = opened;
    out->n = 0;
    err_code code = chat_render_marked(f->c, m, count, &o, &f->mark, out, NULL, e);
    *there = code == ERR_OK;
    return code == ERR_FORMAT || code == ERR_UNSUPPORTED ? ERR_OK : code;
}

/* Without what is blank behind an end token. */
static void cut_behind_end(const finder *f, span *s) {
    str text = str_sub(whole_of(f), s->from, s->to);
    while (text.n > 0 && is_blank(text.p[text.n - 1]))
        text.n--;
    if (chat_end_token(f->c, text, true) > 0)
        s->to = s->from + text.n;
}

static size_t common_prefix(str a, str b) {
    size_t n = 0;
    while (n < a.n && n < b.n && a.p[n] == b.p[n])
        n++;
    return n;
}

static size_t common_suffix(str a, str b) {
    size_t n = 0;
    while (n < a.n && n < b.n && a.p[a.n - 1 - n] == b.p[b.n - 1 - n])
        n++;
    return n;
}

/* The longest beginning of `text` that `tail` ends in, by the prefix function (Knuth, Morris, Pratt). */
static err_code longest_end(str tail, str text, size_t *out, err *e) {
    text = str_sub(text, 0, tail.n);
    size_t *fail = malloc((text.n + 1) * sizeof *fail), k = 0;
    if (!fail)
        return err_set(e, ERR_MEMORY, "no memory to compare two renderings");
    fail[0] = 0;
    for (size_t i = 1; i < text.n; i++) {
        while (k > 0 && text.p[i] != text.p[k])
            k = fail[k - 1];
        k += text.p[i] == text.p[k];
        fail[i] = k;
    }
    k = 0;
    for (size_t i = 0; i < tail.n && text.n > 0; i++) {
        while (k > 0 && (k == text.n || tail.p[i] != text.p[k]))
            k = fail[k - 1];
        k += tail.p[i] == text.p[k];
    }
    free(fail);
    *out = k;
    return ERR_OK;
}

/* What of the content a template must show: without thoughts, without blanks around. Marked. */
static err_code visible_content(finder *f, const chat_message *m, str *out, err *e) {
    strbuf good = {0};
    f->content.n = 0;
    err_code code = utf8_repair(m->content, &good, e);
    if (code == ERR_OK)
        code = chat_mark_text(f->c, strbuf_str(&good), &f->mark, &f->content, e);
    strbuf_fini(&good);
    str s = strbuf_str(&f->content);
    str close = f->marks ? str_from(f->marks->close) : (str){0};
    for (ptrdiff_t at; close.n > 0 && (at = str_find(s, close, 0)) >= 0;)
        s = str_sub(s, (size_t)at + close.n, s.n);
    *out = trimmed(s);
    return code;
}

/* Does the text hold what the message says? One that says nothing must be ended. */
static bool says(const finder *f, str text, str content) {
    return content.n > 0 ? str_find(text, content, 0) >= 0 : chat_end_token(f->c, trimmed(text), true) > 0;
}

/* Where message i begins: behind the words that open its turn. False: not where the messages before it end. */
static bool find_begin(const finder *f, bool has_base, bool has_opened, str content, size_t *begin) {
    str whole = whole_of(f), base = strbuf_str(&f->base), opened = strbuf_str(&f->opened);
    *begin = has_opened ? opened.n : base.n;
    if (has_opened && str_starts(whole, opened))
        return true;
    if (!has_base || !str_starts(whole, base))
        return false;
    *begin = base.n;
    if (has_opened) { /* as much of the opening words as this turn has */
        str rest = str_sub(whole, base.n, whole.n);
        ptrdiff_t at = content.n > 0 ? str_find(rest, content, 0) : -1;
        size_t n = common_prefix(whole, opened) - base.n;
        *begin += at >= 0 && (size_t)at < n ? (size_t)at : n;
        return n > 0;
    }
    return true;
}

/* The end of message i, which begins at out->from: rule 2, else rule 3. */
static err_code find_end(const finder *f, str through, str before, span *out, err *e) {
    str whole = whole_of(f);
    out->to = through.n;
    if (through.n > out->from && str_starts(whole, through))
        return ERR_OK;
    size_t shared = common_prefix(before, through), n = 0;
    TRY(longest_end(str_sub(through, shared, through.n), str_sub(whole, out->from, whole.n), &n, e));
    out->to = out->from + n;
    return ERR_OK;
}

/* *found false: not so. */
static err_code between_renderings(finder *f, size_t i, span *out, bool *found, err *e) {
    bool assistant = str_is(f->m[i].role, "assistant"), has_base, has_opened = false, has_through = true;
    str content, through = whole_of(f);
    *found = false;
    TRY(visible_content(f, &f->m[i], &content, e));
    TRY(render_some(f, f->m, i, false, &f->base, &has_base, e));
    if (assistant)
        TRY(render_some(f, f->m, i, true, &f->opened, &has_opened, e));
    if (!find_begin(f, has_base, has_opened, content, &out->from))
        return ERR_OK;
    if (i + 1 < f->n) {
        TRY(render_some(f, f->m, i + 1, false, &f->through, &has_through, e));
        through = strbuf_str(&f->through);
    }
    if (!has_through)
        return ERR_OK;
    TRY(find_end(f, through, strbuf_str(has_opened ? &f->opened : &f->base), out, e));
    *found = out->to > out->from && says(f, str_sub(whole_of(f), out->from, out->to), content);
    if (*found)
        cut_behind_end(f, out);
    return ERR_OK;
}

static size_t character_begin(str s, size_t at) {
    while (at > 0 && at < s.n && ((unsigned char)s.p[at] & 0xC0) == 0x80)
        at--;
    return at;
}

static size_t character_end(str s, size_t at) {
    while (at < s.n && ((unsigned char)s.p[at] & 0xC0) == 0x80)
        at++;
    return at;
}

/* Rule 4. */
static err_code by_exchange(finder *f, size_t i, span *out, bool *found, err *e) {
    chat_message *m = malloc(f->n * sizeof *m);
    str sentinel = chat_mark_str(&f->sentinel), whole = whole_of(f);
    bool there;
    *found = false;
    if (!m)
        return err_set(e, ERR_MEMORY, "no memory for %zu messages", f->n);
    memcpy(m, f->m, f->n * sizeof *m);
    m[i].content = sentinel;
    err_code code = render_some(f, m, f->n, false, &f->through, &there, e);
    free(m);
    if (code != ERR_OK || !there || trimmed(f->m[i].content).n == 0)
        return code;
    str other = strbuf_str(&f->through);
    ptrdiff_t at = str_find(other, sentinel, 0);
    if (at < 0 || str_find(other, sentinel, (size_t)at + sentinel.n) >= 0)
        return ERR_OK;
    size_t n_after = common_suffix(str_sub(other, (size_t)at + sentinel.n, other.n), whole);
    out->from = character_begin(whole, common_prefix(whole, other));
    out->to = character_end(whole, whole.n - n_after);
    if (out->from != (size_t)at || n_after != other.n - (size_t)at - sentinel.n || out->to <= out->from)
        return ERR_OK;
    size_t n_end = chat_end_token(f->c, str_sub(whole, out->to, whole.n), false);
    out->to += n_end;
    *found = n_end > 0 || !str_is(f->m[i].role, "assistant");
    return ERR_OK;
}

static err_code find_message(finder *f, size_t i, err *e) {
    span *s = &f->span[f->n_spans];
    bool found;
    TRY(between_renderings(f, i, s, &found, e));
    if (!found)
        TRY(by_exchange(f, i, s, &found, e));
    if (!found || (f->n_spans > 0 && s->from < s[-1].to))
        return err_set(e, ERR_UNSUPPORTED,
                       "message %zu (%.*s): the chat template does not let one tell where its text stands (--template "
                       "with {%% generation %%} around it says so)",
                       i + 1, STR_ARG(f->m[i].role));
    f->n_spans++;
    return ERR_OK;
}

/* Do the template's own blocks tell? They do when all that assistants say, and nothing else, is learned, or when there
 * is a block for each assistant's message. */
static bool take_blocks(finder *f, const bool *learn) {
    size_t n_assistant = 0, n_learned = 0;
    for (size_t i = 0; i < f->n; i++) {
        bool assistant = str_is(f->m[i].role, "assistant");
        if (learn[i] && !assistant)
            return false;
        n_assistant += assistant;
        n_learned += learn[i];
    }
    if (f->blocks.n == 0 || (n_learned < n_assistant && f->blocks.n != n_assistant))
        return false;
    if (n_learned == n_assistant) {
        free(f->span);
        f->span = f->blocks.v;
        f->n_spans = f->blocks.n;
        f->blocks = (jinja_spans){0};
        return true;
    }
    for (size_t i = 0, k = 0; i < f->n; i++)
        if (str_is(f->m[i].role, "assistant")) {
            if (learn[i])
                f->span[f->n_spans++] = f->blocks.v[k];
            k++;
        }
    return true;
}

static err_code find_spans(finder *f, const bool *learn, err *e) {
    const json_t *tools = f->o.tools;
    TRY(chat_check(f->m, f->n, e));
    TRY(chat_choose_mark(f->c, f->m, f->n, tools, NULL, &f->mark, e));
    TRY(chat_choose_mark(f->c, f->m, f->n, tools, &f->mark, &f->sentinel, e));
    TRY(chat_render_marked(f->c, f->m, f->n, &f->o, &f->mark, &f->whole, &f->blocks, e));
    f->span = calloc(f->n + 1, sizeof *f->span);
    if (!f->span)
        return err_set(e, ERR_MEMORY, "no memory for %zu messages", f->n);
    if (take_blocks(f, learn))
        return ERR_OK;
    for (size_t i = 0; i < f->n; i++)
        if (learn[i])
            TRY(find_message(f, i, e));
    return ERR_OK;
}

err_code chat_learn(const chat_template *c, const chat_message *m, const bool *learn, size_t n, const chat_options *o,
                    tok_work *w, learned_ids *out, err *e) {
    finder f = {.c = c, .t = chat_tokenizer(c), .m = m, .n = n, .o = *o, .marks = thinking_of(chat_source(c))};
    size_t before = out->ids.n, at = 0, from = 0;
    f.o.generation_prompt = false;
    err_code code = find_spans(&f, learn, e);
    flagger k = {.t = f.t, .w = w, .span = f.span, .n_spans = f.n_spans, .out = out};
    for (str piece; code == ERR_OK && chat_next_piece(whole_of(&f), &f.mark, &at, &piece); from = at)
        code = encode(&k, from, piece, TOK_SPECIAL_PARSE, e);
    finder_fini(&f);
    return ended(&k, before, code);
}
