/* added: added tokens in a text; see added.h. Source: find_matches() in Hugging Face tokenizers' added_vocabulary. */
#include "tok/added.h"

#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"
#include "tok/unichar.h"

err_code added_put(added_set *s, str content, added_token tok, err *e) {
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 64;
        added_token *p = realloc(s->tok, cap * sizeof *p);
        if (!p)
            return err_set(e, ERR_MEMORY, "no memory for %zu added tokens", cap);
        s->tok = p;
        s->cap = cap;
    }
    s->tok[s->n] = tok;
    bool new_first = content.n && !s->keys.first[(unsigned char)content.p[0]];
    TRY(trie_put(&s->keys, content, (int32_t)s->n, e));
    s->n++;
    if (new_first) {
        s->n_first++;
        s->first = content.p[0];
    }
    return ERR_OK;
}

void added_fini(added_set *s) {
    trie_fini(&s->keys);
    free(s->tok);
    *s = (added_set){0};
}

/* The start of the character that ends at byte `at` (at > 0). */
static size_t before(str s, size_t at) {
    for (at--; at > 0 && ((unsigned char)s.p[at] & 0xc0) == 0x80;)
        at--;
    return at;
}

static bool word_at(str s, size_t at) { return at < s.n && unichar_is_word(utf8_next(s, &at)); }

static bool stands_alone(str s, size_t start, size_t end) {
    return !(start > 0 && word_at(s, before(s, start))) && !word_at(s, end);
}

static bool space_at(str s, size_t at) { return at < s.n && unichar_is_space(utf8_next(s, &at)); }

/* The next byte at or after `at` that a token begins with, or s.n. */
static size_t next_first(const added_set *set, str s, size_t at) {
    if (set->n_first == 1) {
        const char *p = memchr(s.p + at, set->first, s.n - at);
        return p ? (size_t)(p - s.p) : s.n;
    }
    while (at < s.n && !set->keys.first[(unsigned char)s.p[at]])
        at++;
    return at;
}

err_code added_split(const added_set *set, str s, bool control, added_fn *fn, void *ctx, err *e) {
    size_t done = 0; /* all before is emitted */
    for (size_t at = 0; set->n && at < s.n;) {
        size_t len = 0;
        at = next_first(set, s, at);
        int32_t i = trie_longest(&set->keys, s, at, &len);
        if (i < 0) { /* also at the end */
            at++;
            continue;
        }
        const added_token *t = &set->tok[i];
        size_t start = at, end = at + len;
        at = end; /* what a match covers is not searched again, even when the match is not taken */
        if ((t->control && !control) || (t->single_word && !stands_alone(s, start, end)))
            continue;
        while (t->lstrip && start > done && space_at(s, before(s, start)))
            start = before(s, start);
        if (t->rstrip && end < done)
            end = done; /* an earlier token swallowed the white space up to there */
        while (t->rstrip && space_at(s, end))
            utf8_next(s, &end);
        if (start > done)
            TRY(fn(ctx, -1, str_sub(s, done, start), done, e));
        TRY(fn(ctx, t->id, str_sub(s, start, end), start, e));
        done = end;
    }
    return done < s.n ? fn(ctx, -1, str_sub(s, done, s.n), done, e) : ERR_OK;
}
