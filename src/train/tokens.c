/* tokens: see tokens.h. Texts are read one after another and tokenized in rounds of ROUND_BYTES, a document a task,
 * with a tok_work for each thread. */
#include "train/tokens.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"

enum { ROUND_BYTES = 8 << 20, ROUND_DOCS = 1 << 16, NARROW_VOCAB = 65536 };

#define X(name) name,
const char *const tokens_files[TOKENS_FILES_N] = {TOKENS_FILES(X)};
#undef X

err_code tokens_tokenizer_digest(const char *folder, hash256 *out, err *e) {
    strbuf lines = {0};
    err_code code = ERR_OK;
    for (int i = 0; i < TOKENS_FILES_N && code == ERR_OK; i++) {
        char path[OS_PATH_BYTES], hex[65];
        hash256 h;
        code = os_join(path, folder, tokens_files[i], e);
        if (code == ERR_OK && os_exists(path)) {
            code = hash_file(path, &h, e);
            hash_hex(h, hex);
            if (code == ERR_OK)
                code = strbuf_addf(&lines, e, "%s %s\n", tokens_files[i], hex);
        } else if (code == ERR_OK && i == 0)
            code = err_set(e, ERR_IO, "%s: there is no such file (it is the tokenizer)", path);
    }
    if (code == ERR_OK)
        *out = hash_of(lines.p, lines.n);
    strbuf_fini(&lines);
    return code;
}

/* ---- tokenizing ---- */

/* Documents [from, from + n) of one round. */
typedef struct {
    tok_work *work[POOL_THREADS_MAX];
    const tokenizer *tokenizer;
    const tokens_options *o;
    size_t from, n;
    strbuf text;     /* of all of them */
    size_t *at;      /* [n + 1] where each text begins */
    tok_ids *ids;    /* [n] */
    strbuf *answers; /* [n] a byte for each id */
    err *errors;     /* [n] */
    strbuf scratch[POOL_THREADS_MAX][2];
    atomic_size_t next;
} lot;

static err_code encode(lot *r, int thread, size_t i, err *e) {
    const tokens_options *o = r->o;
    tok_ids *ids = &r->ids[i];
    str text = str_sub(strbuf_str(&r->text), r->at[i], r->at[i + 1]);
    unsigned flags = TOK_SPECIAL_ADD | (o->parse_special ? TOK_SPECIAL_PARSE : 0);
    ids->n = 0;
    TRY(tokenizer_encode_with(r->work[thread], text, flags, ids, e));
    if (ids->n == 0 || ids->id[ids->n - 1] != o->end)
        TRY(tok_ids_add(ids, o->end, e));
    if (o->marks.n == 0)
        return ERR_OK;
    r->answers[i].n = 0;
    TRY(strbuf_reserve(&r->answers[i], ids->n, e));
    return answers_find(&o->marks, r->tokenizer, ids->id, ids->n, &r->scratch[thread][0], &r->scratch[thread][1],
                        (uint8_t *)r->answers[i].p, e);
}

static void encode_docs(void *ctx, int part, int n_parts) {
    (void)n_parts;
    lot *r = ctx;
    for (;;) {
        size_t i = atomic_fetch_add(&r->next, 1);
        if (i >= r->n)
            return;
        r->errors[i].code = ERR_OK;
        encode(r, part, i, &r->errors[i]);
    }
}

static err_code make_room(tokens *t, uint64_t n, err *e) {
    if (n <= t->cap)
        return ERR_OK;
    uint64_t cap = t->cap ? t->cap : 1 << 16;
    while (cap < n)
        cap += cap / 2;
    void *p = NULL;
    if (cap < SIZE_MAX / sizeof *t->wide) {
        p = t->narrow ? realloc(t->narrow, cap * sizeof *t->narrow) : realloc(t->wide, cap * sizeof *t->wide);
    }
    if (!p)
        return err_set(e, ERR_MEMORY, "no memory for %llu tokens", (unsigned long long)cap);
    if (t->narrow)
        t->narrow = p;
    else
        t->wide = p;
    uint8_t *answer = t->answer ? realloc(t->answer, cap) : NULL;
    if (t->answer && !answer)
        return err_set(e, ERR_MEMORY, "no memory for %llu tokens", (unsigned long long)cap);
    t->answer = answer;
    t->cap = cap;
    return ERR_OK;
}

static err_code keep(tokens *t, const lot *r, err *e) {
    for (size_t i = 0; i < r->n; i++) {
        const tok_ids *ids = &r->ids[i];
        size_t doc = r->from + i;
        if (r->errors[i].code != ERR_OK) {
            *e = r->errors[i];
            return err_in(e, e->code, "document %zu", doc);
        }
        if (ids->n > UINT32_MAX - 1)
            return err_set(e, ERR_LIMIT, "document %zu has %zu tokens, too many", doc, ids->n);
        TRY(make_room(t, t->from[doc] + ids->n, e));
        for (size_t j = 0; j < ids->n; j++) {
            if (t->narrow)
                t->narrow[t->from[doc] + j] = (uint16_t)ids->id[j];
            else
                t->wide[t->from[doc] + j] = ids->id[j];
        }
        if (t->answer && ids->n > 0)
            memcpy(t->answer + t->from[doc], r->answers[i].p, ids->n);
        t->n_tokens[doc] = (uint32_t)ids->n;
        t->from[doc + 1] = t->from[doc] + ids->n;
    }
    return ERR_OK;
}

/* Fills the round with the documents from r->from on. */
static err_code read_round(lot *r, docs *d, err *e) {
    r->text.n = 0;
    for (r->n = 0; r->n < ROUND_DOCS && r->from + r->n < d->n && r->text.n < ROUND_BYTES; r->n++) {
        str text;
        r->at[r->n] = r->text.n;
        TRY(docs_text(d, r->from + r->n, &text, e));
        TRY(strbuf_add(&r->text, text, e));
    }
    r->at[r->n] = r->text.n;
    return ERR_OK;
}

static err_code all_rounds(tokens *t, docs *d, lot *r, pool *p, void (*progress)(void *, size_t, size_t), void *ctx,
                           err *e) {
    size_t done = 0;
    for (; r->from < d->n; r->from += r->n) {
        TRY(read_round(r, d, e));
        atomic_store(&r->next, 0);
        pool_run(p, encode_docs, r);
        TRY(keep(t, r, e));
        done += r->text.n;
        if (progress)
            progress(ctx, done, (size_t)d->bytes);
    }
    return ERR_OK;
}

err_code tokens_build(tokens *t, docs *d, const tokenizer *k, const tokens_options *o, pool *p,
                      void (*progress)(void *, size_t, size_t), void *ctx, err *e) {
    *t = (tokens){.n_docs = d->n, .elsewhere = o->elsewhere};
    size_t room = d->n < ROUND_DOCS ? d->n : ROUND_DOCS;
    lot r = {.tokenizer = k, .o = o};
    err local = {0};
    e = e ? e : &local;
    t->from = calloc(d->n + 1, sizeof *t->from);
    t->n_tokens = calloc(d->n, sizeof *t->n_tokens);
    if (tokenizer_n_vocab(k) <= NARROW_VOCAB)
        t->narrow = calloc(t->cap = 1 << 16, sizeof *t->narrow);
    else
        t->wide = calloc(t->cap = 1 << 16, sizeof *t->wide);
    if (o->marks.n > 0)
        t->answer = calloc(1 << 16, 1);
    r.at = calloc(room + 1, sizeof *r.at);
    r.ids = calloc(room, sizeof *r.ids);
    r.answers = calloc(room, sizeof *r.answers);
    r.errors = calloc(room, sizeof *r.errors);
    err_code code = ERR_OK;
    if (!t->from || !t->n_tokens || !(t->narrow || t->wide) || (o->marks.n > 0 && !t->answer) || !r.at || !r.ids ||
        !r.answers || !r.errors)
        code = err_set(e, ERR_MEMORY, "no memory to tokenize %zu documents", d->n);
    for (int i = 0; i < pool_threads(p) && code == ERR_OK; i++)
        code = tok_work_open(&r.work[i], k, e);
    if (code == ERR_OK)
        code = all_rounds(t, d, &r, p, progress, ctx, e);
    for (int i = 0; i < POOL_THREADS_MAX; i++) {
        tok_work_close(r.work[i]);
        strbuf_fini(&r.scratch[i][0]);
        strbuf_fini(&r.scratch[i][1]);
    }
    for (size_t i = 0; i < room; i++) {
        if (r.ids)
            tok_ids_fini(&r.ids[i]);
        if (r.answers)
            strbuf_fini(&r.answers[i]);
    }
    free(r.at);
    free(r.ids);
    free(r.answers);
    free(r.errors);
    strbuf_fini(&r.text);
    if (code != ERR_OK)
        tokens_fini(t);
    return code;
}

void tokens_fini(tokens *t) {
    free(t->from);
    free(t->n_tokens);
    free(t->narrow);
    free(t->wide);
    free(t->answer);
    *t = (tokens){0};
}
