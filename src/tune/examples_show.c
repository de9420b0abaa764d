/* examples_show: see examples.h. */
#include "text/utf8.h"
#include "tune/examples.h"

typedef struct {
    const char *learned, *learned_end, *control, *control_end;
} paint;
static const paint paints[2] = {{"[[", "]]", "", ""}, {"\x1b[32m", "\x1b[0m", "\x1b[1m", "\x1b[22m"}};

/* A text as it can be seen: line breaks and tabs as they are, other control characters and what is no UTF-8 as \xNN. */
static err_code add_visible(str s, strbuf *out, err *e) {
    for (size_t at = 0; at < s.n;) {
        size_t from = at;
        int32_t cp = utf8_next(s, &at);
        bool shown = cp == '\n' || cp == '\t' || (cp >= 0x20 && cp != 0x7f && !(cp >= 0x80 && cp < 0xa0));
        if (shown)
            TRY(strbuf_add(out, str_sub(s, from, at), e));
        for (size_t i = from; !shown && i < at; i++)
            TRY(strbuf_addf(out, e, "\\x%02x", (unsigned)(unsigned char)s.p[i]));
    }
    return ERR_OK;
}

/* The tokens from *i on that are learned, or not, and are control tokens, or not, as this one. */
static err_code add_run(const examples *x, const tokenizer *t, const example_seq *s, size_t *i, const paint *p,
                        strbuf *run, strbuf *out, err *e) {
    const int32_t *id = x->id + s->from;
    const uint8_t *learn = x->learn + s->from;
    bool control = tokenizer_is_control(t, id[*i]), learned = learn[*i];
    run->n = 0;
    for (; *i < s->n && learn[*i] == learned && tokenizer_is_control(t, id[*i]) == control; (*i)++)
        TRY(tokenizer_decode_next(t, *i, id[*i], true, run, e));
    if (control)
        TRY(strbuf_add(out, str_from(p->control), e));
    TRY(add_visible(strbuf_str(run), out, e));
    return control ? strbuf_add(out, str_from(p->control_end), e) : ERR_OK;
}

static err_code add_sequence(const examples *x, const tokenizer *t, const example_seq *s, const paint *p, strbuf *out,
                             err *e) {
    strbuf run = {0};
    err_code code = ERR_OK;
    bool learned = false;
    for (size_t i = 0; i < s->n && code == ERR_OK;) {
        if (learned != x->learn[s->from + i]) {
            learned = !learned;
            code = strbuf_add(out, str_from(learned ? p->learned : p->learned_end), e);
        }
        if (code == ERR_OK)
            code = add_run(x, t, s, &i, p, &run, out, e);
    }
    strbuf_fini(&run);
    TRY(code);
    return strbuf_add(out, str_from(learned ? p->learned_end : ""), e);
}

err_code examples_show(const examples *x, const tokenizer *t, size_t i, bool colour, strbuf *out, err *e) {
    const example *ex = &x->example[i];
    for (int k = 0; k < (ex->form == RECORD_PAIR ? 2 : 1); k++) {
        const example_seq *s = &ex->seq[k];
        const char *what = ex->form != RECORD_PAIR ? record_form_names[ex->form] : k == 0 ? "chosen" : "rejected";
        TRY(strbuf_add(out, STR("== "), e));
        TRY(examples_place(x, ex, out, e));
        TRY(strbuf_addf(out, e, " %s, %u tokens, %u learned\n", what, s->n, s->n_learned));
        TRY(add_sequence(x, t, s, &paints[colour], out, e));
        TRY(strbuf_addc(out, '\n', e));
    }
    return ERR_OK;
}
