/* eval perplexity: how well a model predicts texts, block by block; see evaluate.h.
 *
 * JSON Lines with "text", or a data set: every document is a block. Any other file is a text, which is cut into blocks
 * of at most --block bytes where text/split.h cuts (blank lines, line breaks, blanks). Every block is read from an
 * empty context, in windows of what the model was made for (at most 4096 tokens) that do not overlap, each with BOS
 * where the model wants one. Blocks are the same bytes for every model, so bits per byte compare models of different
 * vocabularies; tokens that nothing stands before (without BOS) are scored by nobody, and their bytes not counted.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "cli/evaluate.h"
#include "cli/out.h"
#include "gen/likelihood.h"
#include "gen/windows.h"
#include "io/unpack.h"
#include "store/dataset.h"
#include "text/json.h"
#include "text/split.h"
#include "tune/lines.h"

enum { WINDOW_MAX = 4096, CHUNK_BYTES = 256 << 10 };
static const double LN2 = 0x1.62e42fefa39efp-1;

typedef struct {
    const item_task *k;
    likelihood *like;
    arena mem;
    size_t window;
    int32_t bos;     /* -1: none */
    int32_t *ids;    /* [window] */
    double *logprob; /* [window] */
    tok_ids text;
    strbuf first; /* scratch: what a token says that nobody scores */
    uint64_t done, total;
    progress bar;
} scorer;

/* One window: its loss in nats and the bytes that no token was scored for. */
static err_code score_window(scorer *s, const int32_t *ids, size_t n, double *loss, size_t *n_unscored, err *e) {
    size_t head = s->bos >= 0 ? 1 : 0;
    s->ids[0] = s->bos;
    memcpy(s->ids + head, ids, n * sizeof *ids);
    if (head == 0) {
        s->first.n = 0;
        TRY(tokenizer_decode_next(s->k->l->t, 1, ids[0], true, &s->first, e));
        *n_unscored += s->first.n;
    }
    TRY(likelihood_of(s->like, s->ids, n + head, 1, s->logprob, e));
    for (size_t i = 0; i + 1 < n + head; i++)
        *loss -= s->logprob[i];
    return ERR_OK;
}

static err_code score_block(scorer *s, str block, uint64_t number, err *e) {
    size_t head = s->bos >= 0 ? 1 : 0, n_unscored = 0, n_scored = 0;
    double loss = 0;
    s->text.n = 0;
    TRY(tokenizer_encode(s->k->l->t, block, 0, &s->text, e));
    for (size_t i = 0, n; i < s->text.n; i += n) {
        n = s->text.n - i < s->window - head ? s->text.n - i : s->window - head;
        TRY(score_window(s, s->text.id + i, n, &loss, &n_unscored, e));
        n_scored += n - 1 + head;
    }
    s->done += block.n;
    progress_step(&s->bar, s->done, s->total > s->done ? s->total : s->done);
    if (interrupt_flag)
        return err_set(e, ERR_CANCELLED, "stopped");
    if (!isfinite(loss))
        return err_set(e, ERR_FORMAT, "the model's logits are not all numbers (is the file damaged?)");
    if (n_scored == 0 || block.n <= n_unscored)
        return ERR_OK;
    js_out *j = s->k->items;
    js_begin(j, '{');
    js_put_int(j, "block", (int64_t)number);
    js_put_int(j, "bytes", (int64_t)(block.n - n_unscored));
    js_put_int(j, "tokens", (int64_t)n_scored);
    js_key(j, "nll");
    js_real(j, loss, 17);
    js_end(j, '}');
    TRY(scores_ratio(s->k->s, "bits_per_byte", NULL, loss / LN2, (double)(block.n - n_unscored), e));
    return scores_ratio(s->k->s, "nats_per_token", "ppl", loss, (double)n_scored, e);
}

/* ---- blocks ---- */

static err_code on_line(void *ctx, const json_t *line, str text, uint64_t number, err *e) {
    str block;
    (void)text;
    TRY(json_want_str(line, "text", &block, e));
    return score_block(ctx, block, number, e);
}

static err_code of_set(scorer *s, err *e) {
    dataset *d;
    dataset_key *key = NULL;
    size_t n = 0;
    TRY(dataset_open(&d, s->k->file, e));
    err_code code = dataset_list(d, NULL, &key, &n, e);
    n = s->k->n_max > 0 && n > s->k->n_max ? s->k->n_max : n;
    for (size_t i = 0; i < n; i++)
        s->total += key[i].bytes;
    for (size_t i = 0; i < n && code == ERR_OK; i++) {
        dataset_doc doc;
        code = dataset_get(d, key[i].id, &doc, e);
        if (code == ERR_OK)
            code = score_block(s, doc.text, (uint64_t)key[i].id, e);
    }
    free(key);
    dataset_close(d);
    return code;
}

static err_code of_text(scorer *s, str text, err *e) {
    uint64_t number = 1;
    s->total = text.n;
    for (size_t looked = 0; text.n > 0 && (s->k->n_max == 0 || number <= s->k->n_max); number++) {
        split_piece cut;
        if (!split_next(SPLIT_BYTES, (size_t)s->k->v->block, text, true, &looked, &cut))
            break;
        TRY(score_block(s, str_sub(text, cut.from, cut.to), number, e));
        text = str_sub(text, cut.next, text.n);
        looked = 0;
    }
    return ERR_OK;
}

/* The whole of a text, unpacked; standard input is taken as it is. */
static err_code read_text(const char *path, strbuf *out, err *e) {
    unpack *u;
    if (strcmp(path, "-") == 0)
        return load_text(path, out, e);
    TRY(unpack_open(&u, path, UNPACK_FOLLOW, e));
    err_code code = ERR_OK;
    for (size_t got = 1; code == ERR_OK && got > 0;) {
        code = strbuf_reserve(out, CHUNK_BYTES, e);
        if (code == ERR_OK)
            code = unpack_read(u, out->p + out->n, CHUNK_BYTES, &got, e);
        out->n += code == ERR_OK ? got : 0;
        if (out->n > LOAD_TEXT_BYTES_MAX)
            code = err_set(e, ERR_LIMIT, "%s: more than %d bytes of text", path, LOAD_TEXT_BYTES_MAX);
    }
    unpack_close(u);
    return code;
}

static err_code of_file(scorer *s, err *e) {
    lines_kind kind = LINES_TEXT;
    if (strcmp(s->k->file, "-") != 0)
        TRY(lines_look(s->k->file, &kind, e));
    if (kind != LINES_TEXT)
        return kind == LINES_SET ? of_set(s, e) : eval_lines(s->k, on_line, s, e);
    strbuf text = {0};
    err_code code = read_text(s->k->file, &text, e);
    if (code == ERR_OK)
        code = of_text(s, strbuf_str(&text), e);
    strbuf_fini(&text);
    return code;
}

static err_code plan(scorer *s, err *e) {
    size_t trained = model_config_of(s->k->l->m)->ctx_train, ctx_tokens;
    s->window = trained > 0 && trained < WINDOW_MAX ? trained : WINDOW_MAX;
    TRY(windows_bos(s->k->l->t, &s->bos, e));
    TRY(eval_ctx(s->k, s->window, &ctx_tokens, e));
    ARENA_NEW(&s->mem, s->ids, s->window + 1, e);
    ARENA_NEW(&s->mem, s->logprob, s->window + 1, e);
    return likelihood_open(&s->like, s->k->l->m, s->k->l->pool, ctx_tokens, e);
}

err_code eval_perplexity(const item_task *k, err *e) {
    scorer s = {.k = k, .bar = {.what = "scoring"}};
    err_code code = plan(&s, e);
    if (code == ERR_OK)
        code = of_file(&s, e);
    progress_end(&s.bar);
    if (code == ERR_OK && k->s->n == 0)
        code = err_set(e, ERR_USAGE, "%s: the text is too short: not one token can be scored", k->file);
    likelihood_close(s.like);
    tok_ids_fini(&s.text);
    strbuf_fini(&s.first);
    arena_fini(&s.mem);
    return code;
}
