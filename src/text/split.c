/* split: see split.h. */
#include "text/split.h"

#include <string.h>

#include "text/utf8.h"

/* The line that begins at `from`: its end without the line break, and the next one's beginning. False when its break
 * has not come yet. `looked`: bytes known to hold no line break from `from` on. */
static bool line_at(str text, size_t from, bool at_end, size_t *looked, size_t *to, size_t *next) {
    size_t start = from > *looked ? from : *looked;
    const char *end = start < text.n ? memchr(text.p + start, '\n', text.n - start) : NULL;
    if (!end && !at_end) {
        *looked = text.n;
        return false;
    }
    *to = end ? (size_t)(end - text.p) : text.n;
    *next = end ? *to + 1 : text.n;
    if (end && *to > from && text.p[*to - 1] == '\r')
        --*to;
    return true;
}

static bool is_blank(str text, size_t from, size_t to) {
    for (size_t i = from; i < to; i++)
        if (text.p[i] != ' ' && text.p[i] != '\t' && text.p[i] != '\r')
            return false;
    return true;
}

static bool next_line(str text, bool at_end, size_t *looked, split_piece *out) {
    out->from = 0;
    return line_at(text, 0, at_end, looked, &out->to, &out->next);
}

/* Blank lines in front are skipped with the paragraph. */
static bool next_paragraph(str text, bool at_end, split_piece *out) {
    size_t from = 0, to, next, last = 0;
    bool begun = false;
    for (size_t at = 0; at < text.n; at = next) {
        size_t looked = 0; /* lines are looked at again when a paragraph needs more: they are short */
        if (!line_at(text, at, at_end, &looked, &to, &next))
            return false;
        bool blank = is_blank(text, at, to);
        if (blank && begun) {
            *out = (split_piece){from, last, next};
            return true;
        }
        if (!blank && !begun) {
            from = at;
            begun = true;
        }
        last = blank ? last : to;
    }
    *out = (split_piece){from, last, text.n};
    return at_end && begun;
}

/* Where to cut text[0, limit): see split.h. */
static size_t cut_of(str text, size_t limit) {
    size_t line = 0, blank = 0, at = limit;
    for (size_t i = limit; i > limit / 2; i--) {
        char c = text.p[i - 1];
        if (c == '\n') {
            size_t before = i - 1;
            while (before > 0 &&
                   (text.p[before - 1] == '\r' || text.p[before - 1] == ' ' || text.p[before - 1] == '\t'))
                before--;
            if (before > 0 && text.p[before - 1] == '\n')
                return i;
            line = line ? line : i;
        } else if (c == ' ' || c == '\t')
            blank = blank ? blank : i;
    }
    if (line || blank)
        return line ? line : blank;
    for (int back = 0; back < 3 && ((unsigned char)text.p[at] & 0xc0) == 0x80; back++)
        at--;
    return ((unsigned char)text.p[at] & 0xc0) == 0x80 ? limit : at;
}

static bool next_bytes(str text, size_t limit, bool at_end, split_piece *out) {
    if (text.n <= limit && !at_end)
        return false;
    size_t to = text.n <= limit ? text.n : cut_of(text, limit);
    *out = (split_piece){0, to, to};
    return true;
}

bool split_next(split_mode mode, size_t limit, str text, bool at_end, size_t *looked, split_piece *out) {
    if (text.n == 0)
        return false;
    switch (mode) {
    case SPLIT_WHOLE:
        *out = (split_piece){0, text.n, text.n};
        return at_end;
    case SPLIT_LINES:
        return next_line(text, at_end, looked, out);
    case SPLIT_PARAGRAPHS:
        return next_paragraph(text, at_end, out);
    case SPLIT_BYTES:
        return next_bytes(text, limit, at_end, out);
    }
    return false;
}
