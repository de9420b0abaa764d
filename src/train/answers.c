/* answers: see answers.h. */
#include "train/answers.h"

#include <string.h>

err_code answers_parse(answer_marks *out, str list, err *e) {
    *out = (answer_marks){0};
    for (size_t at = 0; list.n > 0 && at <= list.n;) {
        ptrdiff_t comma = str_find(list, STR(","), at);
        size_t end = comma < 0 ? list.n : (size_t)comma;
        str mark = str_sub(list, at, end);
        if (mark.n == 0 || memchr(mark.p, '\n', mark.n))
            return err_set(e, ERR_USAGE, "answers \"%.*s\": a mark is empty or has a line break", STR_ARG(list));
        if (out->n == ANSWERS_MARKS_MAX)
            return err_set(e, ERR_USAGE, "answers \"%.*s\": more than %d marks", STR_ARG(list), ANSWERS_MARKS_MAX);
        out->mark[out->n++] = mark;
        at = end + 1;
    }
    return ERR_OK;
}

/* ---- lines ---- */

static size_t line_end(str text, size_t at) { /* behind its line break */
    const char *nl = at < text.n ? memchr(text.p + at, '\n', text.n - at) : NULL;
    return nl ? (size_t)(nl - text.p) + 1 : text.n;
}

static bool is_blank(str s) {
    for (size_t i = 0; i < s.n; i++)
        if (!strchr(" \t\r\n", s.p[i]) || s.p[i] == 0)
            return false;
    return true;
}

/* Bytes of the mark that this line begins with, 0: none. The longest counts. */
static size_t mark_of(const answer_marks *m, str line) {
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++)
        if (m->mark[i].n > n && str_starts(line, m->mark[i]))
            n = m->mark[i].n;
    return n;
}

/* The answer whose mark stands in the line [at, end). */
static void begin(answers_scan *s, size_t mark_end, size_t end) {
    s->from = mark_end;
    s->to = end;
    if (!is_blank(str_sub(s->text, mark_end, end))) {
        s->to += end == s->text.n && s->text.p[end - 1] != '\n'; /* the end token stands on this line */
        s->line = end;
        return;
    }
    s->from = end;
    size_t at = end;
    for (size_t next; at < s->text.n; at = next) {
        next = line_end(s->text, at);
        if (is_blank(str_sub(s->text, at, next)))
            break;
    }
    s->to = at < s->text.n ? at : s->text.n + 1;
    s->line = at;
}

bool answers_at(answers_scan *s, size_t at) {
    while (at >= s->to && s->line < s->text.n) {
        size_t end = line_end(s->text, s->line), mark = mark_of(s->marks, str_sub(s->text, s->line, end));
        if (mark > 0)
            begin(s, s->line + mark, end);
        else
            s->line = end;
    }
    return at >= s->from && at < s->to;
}

/* ---- tokens ---- */

err_code answers_find(const answer_marks *m, const tokenizer *t, const int32_t *ids, size_t n, strbuf *text,
                      strbuf *starts, uint8_t *flag, err *e) {
    text->n = starts->n = 0;
    TRY(strbuf_reserve(starts, n * sizeof(size_t), e));
    size_t *start = (size_t *)(void *)starts->p; /* where each token's text begins */
    for (size_t i = 0; i < n; i++) {
        start[i] = text->n;
        TRY(tokenizer_decode_next(t, i, ids[i], false, text, e));
    }
    answers_scan s = {.marks = m, .text = strbuf_str(text)};
    for (size_t i = 0; i < n; i++)
        flag[i] = answers_at(&s, start[i]);
    return ERR_OK;
}
