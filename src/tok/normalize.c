/* normalize: the steps before tokenizing; see normalize.h. */
#include "tok/normalize.h"

#include <string.h>
#include <utf8proc.h>

#include "text/utf8.h"
#include "tok/tokenizer.h"

#define META STR("\xe2\x96\x81") /* U+2581, SentencePiece's visible space */

static err_code replace_literal(str s, str what, str with, strbuf *out, err *e) {
    size_t at = 0;
    for (ptrdiff_t hit; (hit = str_find(s, what, at)) >= 0; at = (size_t)hit + what.n) {
        TRY(strbuf_add(out, str_sub(s, at, (size_t)hit), e));
        TRY(strbuf_add(out, with, e));
    }
    return strbuf_add(out, str_sub(s, at, s.n), e);
}

static err_code replace_pattern(const norm_step *st, rx_work *w, str s, strbuf *out, err *e) {
    rx_scan scan = {0};
    size_t at = 0, start, end;
    for (bool found;;) {
        TRY(rx_next(st->pattern, w, s, &scan, &found, &start, &end, e));
        if (!found)
            return strbuf_add(out, str_sub(s, at, s.n), e);
        TRY(strbuf_add(out, str_sub(s, at, start), e));
        TRY(strbuf_add(out, st->with, e));
        at = end;
    }
}

static err_code strip(const norm_step *st, str s, strbuf *out, err *e) {
    size_t from = 0, to = s.n;
    for (size_t at = 0; st->left && at < s.n && unichar_is_space(utf8_next(s, &at));)
        from = at;
    while (st->right && to > from) {
        size_t at = to - 1;
        while (at > from && ((unsigned char)s.p[at] & 0xc0) == 0x80)
            at--;
        size_t next = at;
        if (!unichar_is_space(utf8_next(s, &next)))
            break;
        to = at;
    }
    return strbuf_add(out, str_sub(s, from, to), e);
}

/* The reference takes, for a grapheme under 6 bytes, the shortest rule that begins it as the rule
 * for the whole of it; longer graphemes go character by character. */
static err_code charsmap_graphemes(const norm_step *st, str s, strbuf *out, err *e) {
    for (size_t at = 0; at < s.n;) {
        size_t end = at, next = at, len;
        int32_t state = 0;
        str to;
        int32_t a = utf8_next(s, &next);
        for (end = next; end < s.n; end = next) {
            int32_t b = utf8_next(s, &next);
            if (utf8proc_grapheme_break_stateful(a, b, &state))
                break;
            a = b;
        }
        str grapheme = str_sub(s, at, end);
        if (grapheme.n < 6 && charsmap_find(&st->map, grapheme, 0, false, &len, &to))
            TRY(strbuf_add(out, to, e));
        else
            for (size_t i = at; i < end;) {
                size_t from = i;
                utf8_next(s, &i);
                str one = str_sub(s, from, i);
                bool rule = charsmap_find(&st->map, one, 0, false, &len, &to);
                TRY(strbuf_add(out, rule ? to : one, e));
            }
        at = end;
    }
    return ERR_OK;
}

/* SentencePiece's Normalizer::Normalize. Only U+0020 is a space to it. */
static err_code spm(const norm_step *st, str s, bool inner, strbuf *out, err *e) {
    bool after_space = st->squeeze;
    if (st->prefix && !inner && s.n)
        TRY(strbuf_add(out, META, e));
    for (size_t at = 0; at < s.n;) {
        size_t len = 0, next = at;
        str to;
        if (st->keep && st->map.n_units && trie_longest(st->keep, s, at, &len) >= 0)
            to = str_sub(s, at, at + len);
        else if (!charsmap_find(&st->map, s, at, true, &len, &to)) {
            utf8_next(s, &next);
            len = next - at;
            to = str_sub(s, at, next);
        }
        at += len;
        while (after_space && to.n && to.p[0] == ' ')
            to = str_sub(to, 1, to.n);
        for (size_t i = 0, from = 0; i <= to.n; i++)
            if (i == to.n || to.p[i] == ' ') {
                TRY(strbuf_add(out, str_sub(to, from, i), e));
                if (i < to.n)
                    TRY(strbuf_add(out, META, e));
                from = i + 1;
            }
        if (to.n)
            after_space = st->squeeze && to.p[to.n - 1] == ' ';
    }
    while (st->squeeze && str_ends(strbuf_str(out), META))
        out->n -= META.n;
    return ERR_OK;
}

static err_code run_step(const norm_step *st, norm_work *w, str s, bool inner, strbuf *out, err *e) {
    switch (st->kind) {
    case NORM_FORM:
        return unichar_normalize(s, st->form, out, e);
    case NORM_LOWER:
        return unichar_lower(s, out, e);
    case NORM_PREPEND:
        if (s.n && !inner)
            TRY(strbuf_add(out, st->with, e));
        return strbuf_add(out, s, e);
    case NORM_REPLACE:
        return st->pattern ? replace_pattern(st, w->rx, s, out, e) : replace_literal(s, st->what, st->with, out, e);
    case NORM_STRIP:
        return strip(st, s, out, e);
    case NORM_CHARSMAP:
        return charsmap_graphemes(st, s, out, e);
    case NORM_SPM:
        return spm(st, s, inner, out, e);
    }
    return err_set(e, ERR_UNSUPPORTED, "normalizer step %d", (int)st->kind);
}

err_code norm_run(const normalizer *n, norm_work *w, str s, bool inner, str *out, err *e) {
    size_t limit = s.n > TOK_TEXT_BYTES_MAX / NORM_GROWTH ? TOK_TEXT_BYTES_MAX : s.n * NORM_GROWTH + 65536;
    *out = s;
    for (int i = 0; i < n->n; i++) {
        strbuf *to = &w->buf[i & 1];
        to->n = 0;
        to->max = limit;
        TRY(run_step(&n->step[i], w, *out, inner, to, e));
        *out = (str){to->p ? to->p : "", to->n};
    }
    return ERR_OK;
}

void norm_work_fini(norm_work *w) {
    strbuf_fini(&w->buf[0]);
    strbuf_fini(&w->buf[1]);
}

void norm_fini(normalizer *n) {
    for (int i = 0; i < n->n; i++)
        rx_close(n->step[i].pattern);
    n->n = 0;
}
