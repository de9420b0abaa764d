/* lines: see lines.h. */
#include "tune/lines.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/unpack.h"
#include "store/dataset.h"
#include "text/split.h"

enum { CHUNK_BYTES = 256 << 10, HEAD_BYTES = 256 };
#define BOM "\xef\xbb\xbf"

struct lines {
    const char *path;
    hash_state *hash;

    dataset *set; /* NULL: lines */
    dataset_key *key;
    size_t n_keys, i_key;

    unpack *u;
    uint64_t bytes; /* of the file */
    bool at_end;
    strbuf text; /* text[used ..) is not cut yet */
    size_t used, looked;
    uint64_t number; /* of the line at text[used] */
};

static bool begins_object(str s) {
    static const char blanks[] = " \t\r\n";
    if (str_starts(s, STR(BOM)))
        s = str_sub(s, sizeof BOM - 1, s.n);
    while (s.n > 0 && memchr(blanks, s.p[0], 4))
        s = str_sub(s, 1, s.n);
    if (!str_starts(s, STR("{")))
        return false;
    do
        s = str_sub(s, 1, s.n);
    while (s.n > 0 && memchr(blanks, s.p[0], 2));
    return s.n > 0 && (s.p[0] == '"' || s.p[0] == '}');
}

err_code lines_look(const char *path, lines_kind *out, err *e) {
    static const char magic[16] = "SQLite format 3";
    char head[HEAD_BYTES];
    unpack *u;
    size_t n = 0, got = 1;
    TRY(unpack_open(&u, path, UNPACK_FOLLOW, e));
    err_code code = ERR_OK;
    for (; code == ERR_OK && n < sizeof head && got > 0; n += got)
        code = unpack_read(u, head + n, sizeof head - n, &got, e);
    unpack_close(u);
    *out = n >= sizeof magic && memcmp(head, magic, sizeof magic) == 0 ? LINES_SET
           : begins_object((str){head, n})                             ? LINES_JSON
                                                                       : LINES_TEXT;
    return code;
}

static err_code open_source(lines *l, const char *where, err *e) {
    lines_kind kind;
    TRY(lines_look(l->path, &kind, e));
    if (kind == LINES_SET) {
        TRY(dataset_open(&l->set, l->path, e));
        return dataset_list(l->set, where, &l->key, &l->n_keys, e);
    }
    if (where && *where)
        return err_set(e, ERR_USAGE, "%s: is no data set, and a condition is for documents of one", l->path);
    struct stat st;
    l->bytes = stat(l->path, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
    return unpack_open(&l->u, l->path, UNPACK_FOLLOW, e);
}

err_code lines_open(lines **out, const char *path, const char *where, err *e) {
    *out = NULL;
    lines *l = calloc(1, sizeof *l);
    if (!l)
        return err_set(e, ERR_MEMORY, "%s: no memory to read it", path);
    *l = (lines){.path = path, .number = 1};
    err_code code = hash_open(&l->hash, e);
    if (code == ERR_OK)
        code = open_source(l, where, e);
    if (code == ERR_OK)
        *out = l;
    else
        lines_close(l);
    return code;
}

void lines_close(lines *l) {
    if (!l)
        return;
    dataset_close(l->set);
    unpack_close(l->u);
    free(l->key);
    strbuf_fini(&l->text);
    if (l->hash)
        hash_close(l->hash);
    free(l);
}

bool lines_are_documents(const lines *l) { return l->set != NULL; }

void lines_progress(const lines *l, uint64_t *done, uint64_t *total) {
    *done = l->set ? l->i_key : unpack_taken(l->u);
    *total = l->set ? l->n_keys : l->bytes;
}

static err_code next_document(lines *l, line_item *out, bool *got, err *e) {
    dataset_doc doc;
    *got = l->i_key < l->n_keys;
    if (!*got)
        return ERR_OK;
    const dataset_key *k = &l->key[l->i_key++];
    err_code code = dataset_get(l->set, k->id, &doc, e);
    if (code != ERR_OK)
        return code == ERR_MEMORY ? code : err_in(e, code, "%s", l->path);
    *out = (line_item){(uint64_t)k->id, doc.text, k->sha256};
    return ERR_OK;
}

static err_code read_more(lines *l, err *e) {
    bool first = l->number == 1 && l->text.n == 0;
    if (l->used > 0) {
        memmove(l->text.p, l->text.p + l->used, l->text.n - l->used);
        l->text.n -= l->used;
        l->used = 0;
    }
    size_t got = 1, before = l->text.n;
    do { /* the mark may come in pieces */
        TRY(strbuf_reserve(&l->text, CHUNK_BYTES, e));
        TRY(unpack_read(l->u, l->text.p + l->text.n, CHUNK_BYTES, &got, e));
        l->text.n += got;
    } while (first && got > 0 && l->text.n < 3);
    l->at_end = l->text.n == before || got == 0;
    if (first && str_starts(strbuf_str(&l->text), STR(BOM)))
        l->used = sizeof BOM - 1;
    return ERR_OK;
}

static bool is_blank(str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != ' ' && s.p[i] != '\t' && s.p[i] != '\r')
            return false;
    return true;
}

static err_code next_line(lines *l, line_item *out, bool *got, err *e) {
    for (;;) {
        str rest = str_sub(strbuf_str(&l->text), l->used, l->text.n);
        split_piece cut;
        if (split_next(SPLIT_LINES, 0, rest, l->at_end, &l->looked, &cut)) {
            str text = str_sub(rest, cut.from, cut.to);
            uint64_t number = l->number++;
            l->used += cut.next;
            l->looked = 0;
            if (is_blank(text))
                continue;
            *out = (line_item){number, text, hash_by(l->hash, text.p, text.n)};
            *got = true;
            return ERR_OK;
        }
        if (l->at_end) {
            *got = false;
            return ERR_OK;
        }
        if (rest.n > LINES_BYTES_MAX)
            return err_set(e, ERR_LIMIT, "%s:%" PRIu64 ": a line longer than %d bytes", l->path, l->number,
                           LINES_BYTES_MAX);
        TRY(read_more(l, e));
    }
}

err_code lines_next(lines *l, line_item *out, bool *got, err *e) {
    return l->set ? next_document(l, out, got, e) : next_line(l, out, got, e);
}
