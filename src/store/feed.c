/* feed: see feed.h. */
#include "store/feed.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK_BYTES = 256 << 10, LINE_BYTES_MAX = 2 * DATASET_TEXT_BYTES_MAX, KEPT_BYTES_MAX = 4 << 20 };

static const source_file *current(const feed *f) { return &f->sources->file[f->next - 1]; }

static const char *path_of(const feed *f) { return current(f)->path ? current(f)->path : "standard input"; }

static err_code open_next(feed *f, err *e) {
    const source_file *s = &f->sources->file[f->next++];
    f->started = f->at_end = f->is_json = f->is_binary = false;
    f->used = f->looked = f->bytes.n = 0;
    f->line = 1;
    return s->path ? unpack_open(&f->u, s->path, s->links, e) : unpack_open_fd(&f->u, STDIN_FILENO, path_of(f), e);
}

static void close_file(feed *f) {
    f->done += f->u ? unpack_taken(f->u) : 0;
    unpack_close(f->u);
    f->u = NULL;
    if (f->bytes.cap > KEPT_BYTES_MAX)
        strbuf_fini(&f->bytes);
}

static void record_end(feed *f) {
    dataset_file *r = &f->record[f->next - 1];
    static const struct {
        const char *packed;
        str text, json;
    } formats[] = {{"plain", {"text", 4}, {"jsonl", 5}},
                   {"gzip", {"text+gzip", 9}, {"jsonl+gzip", 10}},
                   {"zstd", {"text+zstd", 9}, {"jsonl+zstd", 10}}};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(unpack_format(f->u), formats[i].packed) == 0)
            r->format = f->is_json ? formats[i].json : formats[i].text;
    r->bytes = (int64_t)unpack_taken(f->u);
    r->sha256 = unpack_digest(f->u);
}

/* At a file's beginning: drops the byte order mark, and finds out what it holds where the name did not say. */
static void start(feed *f) {
    str s = strbuf_str(&f->bytes);
    if (str_starts(s, STR("\xef\xbb\xbf")))
        f->used = 3;
    f->is_json = current(f)->format == SOURCE_JSONL;
    for (size_t i = f->used; current(f)->format == SOURCE_AUTO && i < s.n; i++)
        if (!strchr(" \t\r\n", s.p[i]) || !s.p[i]) {
            f->is_json = s.p[i] == '{';
            break;
        }
    f->split = f->is_json ? SPLIT_LINES : f->o->split;
    f->started = true;
}

static err_code read_more(feed *f, err *e) {
    if (f->used > 0) {
        memmove(f->bytes.p, f->bytes.p + f->used, f->bytes.n - f->used);
        f->bytes.n -= f->used;
        f->used = 0;
    }
    size_t got, had = f->bytes.n;
    TRY(strbuf_reserve(&f->bytes, CHUNK_BYTES, e));
    TRY(unpack_read(f->u, f->bytes.p + had, CHUNK_BYTES, &got, e));
    f->bytes.n = had + got;
    f->at_end = got == 0;
    return ERR_OK;
}

static uint64_t count_lines(str s) {
    uint64_t n = 0;
    for (const char *p = s.p, *end = s.p + s.n; p < end && (p = memchr(p, '\n', (size_t)(end - p))); p++)
        n++;
    return n;
}

static err_code too_long(const feed *f, err *e) {
    if (f->split == SPLIT_WHOLE)
        return err_set(e, ERR_LIMIT, "%s: longer than the %d bytes that one document may have (cut it by --split)",
                       path_of(f), DATASET_TEXT_BYTES_MAX);
    return err_set(e, ERR_LIMIT, "%s:%" PRIu64 ": %s longer than %d bytes", path_of(f), f->line,
                   f->is_json ? "a line" : "a document", f->is_json ? LINE_BYTES_MAX : DATASET_TEXT_BYTES_MAX);
}

static err_code read_to_end(feed *f, err *e) {
    while (!f->at_end) {
        f->used = f->bytes.n;
        TRY(read_more(f, e));
    }
    return ERR_OK;
}

/* A file that is to be one document is none if it holds a NUL, however long it is. */
static bool find_nul(feed *f, str rest, split_piece *cut) {
    if (f->split != SPLIT_WHOLE || f->looked == rest.n)
        return false;
    const char *nul = memchr(rest.p + f->looked, 0, rest.n - f->looked);
    f->looked = rest.n;
    f->is_binary = nul != NULL;
    if (nul)
        *cut = (split_piece){0, (size_t)(nul - rest.p) + 1, rest.n};
    return f->is_binary;
}

/* The next piece of the open file, or none at its end. */
static err_code next_in_file(feed *f, feed_piece *piece, bool *got, err *e) {
    size_t most = f->is_json ? LINE_BYTES_MAX : DATASET_TEXT_BYTES_MAX;
    while (!f->started && !f->at_end && f->bytes.n < 4096) /* enough to see what it is, also from a slow pipe */
        TRY(read_more(f, e));
    if (!f->started)
        start(f);
    if (f->is_binary)
        return read_to_end(f, e);
    for (;;) {
        str rest = str_sub(strbuf_str(&f->bytes), f->used, f->bytes.n);
        split_piece cut;
        if (find_nul(f, rest, &cut) || split_next(f->split, f->o->split_bytes, rest, f->at_end, &f->looked, &cut)) {
            bool whole = f->split == SPLIT_WHOLE;
            piece->file = f->next - 1;
            piece->is_json = f->is_json;
            piece->line = whole ? 0 : f->line + count_lines(str_sub(rest, 0, cut.from));
            piece->bytes = str_sub(rest, cut.from, cut.to);
            f->line += count_lines(str_sub(rest, 0, cut.next));
            f->used += cut.next;
            f->looked = 0;
            *got = true;
            return ERR_OK;
        }
        if (f->at_end)
            return ERR_OK;
        if (rest.n > most)
            return too_long(f, e);
        TRY(read_more(f, e));
    }
}

err_code feed_next(feed *f, feed_piece *piece, bool *got, err *e) {
    *got = false;
    while (!*got) {
        if (!f->u && f->next == f->sources->n)
            return ERR_OK;
        if (!f->u)
            TRY(open_next(f, e));
        TRY(next_in_file(f, piece, got, e));
        if (!*got) {
            record_end(f);
            close_file(f);
        }
    }
    return ERR_OK;
}

/* What cannot be cut where lines tell is left with its file. Reading on may fail again: that comes up in feed_next().
 */
void feed_skip(feed *f) {
    if (f->u && !f->at_end && f->split == SPLIT_LINES && f->started) {
        for (bool bad = false; !bad && !f->at_end;) {
            char *end = memchr(f->bytes.p + f->used, '\n', f->bytes.n - f->used);
            if (end) {
                f->used = (size_t)(end - f->bytes.p) + 1;
                f->line++;
                f->looked = 0;
                return;
            }
            f->used = f->bytes.n;
            bad = read_more(f, NULL) != ERR_OK;
        }
    }
    if (f->u) {
        record_end(f);
        close_file(f);
    }
}

uint64_t feed_taken(const feed *f) { return f->done + (f->u ? unpack_taken(f->u) : 0); }

void feed_fini(feed *f) {
    unpack_close(f->u);
    strbuf_fini(&f->bytes);
    f->u = NULL;
}
