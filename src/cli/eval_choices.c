/* eval choices: which of several answers a model finds likeliest; see evaluate.h.
 *
 *   {"question": "Water freezes at", "choices": ["0 degrees.", "50 degrees."], "answer": 0}
 *
 * The question is under "question", "prompt", "query" or "ctx"; the choices under "choices" or "endings", as a list of
 * texts or as {"text": [...], "label": [...]}; the right one under "answer", "label", "gold" or "answerKey": its number
 * from 0, its text, or its label.
 *
 * As lm-evaluation-harness does it (Gao et al.): a choice stands behind the question and a space; blanks at the
 * question's end move to the choice; its tokens are those of the whole text from as many on as the question alone has.
 * acc: the choice of the highest sum of log probabilities is the right one; acc_norm: of the highest sum over the bytes
 * of the choice (the harness' acc_bytes; its own acc_norm counts characters). Ties go to the first. By --chat the
 * question is a user's message and the choice, tokenized alone, what the assistant says.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "cli/evaluate.h"
#include "cli/out.h"
#include "gen/likelihood.h"
#include "text/json.h"

enum { CHOICES_MAX = 64 };

typedef struct choice_item choice_item;
struct choice_item {
    choice_item *next;
    uint64_t line;
    str question;
    str choice[CHOICES_MAX];
    size_t n, right;
};

typedef struct {
    const item_task *k;
    arena mem;
    choice_item *first, **last;
    size_t n_items, need;
    talk t;
    likelihood *like;
    strbuf text;
    tok_ids ids, before;
    double *logprob; /* [need] */
} chooser;

/* ---- reading ---- */

static const json_t *first_of(const json_t *line, const char *const *keys) {
    const json_t *v = NULL;
    for (; *keys && (!v || json_is_null(v)); keys++)
        v = json_object_get(line, *keys);
    return v;
}

static err_code kept(chooser *c, const json_t *v, str *out, err *e) {
    *out = arena_str(&c->mem, json_str_of(v));
    return out->p ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for the items");
}

static err_code read_choices(chooser *c, choice_item *it, const json_t *v, err *e) {
    if (json_is_object(v))
        v = json_object_get(v, "text");
    it->n = json_array_size(v);
    if (it->n < 2 || it->n > CHOICES_MAX)
        return err_set(e, ERR_FORMAT, "choices: a list of 2 to %d texts is expected", CHOICES_MAX);
    for (size_t i = 0; i < it->n; i++) {
        const json_t *text = json_array_get(v, i);
        if (!json_is_string(text) || json_string_length(text) == 0)
            return err_set(e, ERR_FORMAT, "choices[%zu]: a text is expected", i);
        TRY(kept(c, text, &it->choice[i], e));
    }
    return ERR_OK;
}

/* A text is a choice, one of the labels, or a number in digits. */
static size_t right_by_text(const choice_item *it, const json_t *labels, str answer) {
    for (size_t i = 0; i < it->n; i++)
        if (str_eq(it->choice[i], answer) || str_eq(json_str_of(json_array_get(labels, i)), answer))
            return i;
    size_t n = 0;
    for (size_t i = 0; i < answer.n; i++)
        n = answer.p[i] >= '0' && answer.p[i] <= '9' && n < CHOICES_MAX ? 10 * n + (size_t)(answer.p[i] - '0')
                                                                        : CHOICES_MAX;
    return answer.n > 0 && json_array_size(labels) == 0 ? n : CHOICES_MAX;
}

static err_code read_item(void *ctx, const json_t *line, str text, uint64_t number, err *e) {
    static const char *const questions[] = {"question", "prompt", "query", "ctx", NULL},
                             *const choices[] = {"choices", "endings", NULL},
                             *const answers[] = {"answer", "label", "gold", "answerKey", NULL};
    chooser *c = ctx;
    const json_t *question = first_of(line, questions), *list = first_of(line, choices),
                 *answer = first_of(line, answers);
    choice_item *it;
    (void)text;
    ARENA_NEW(&c->mem, it, 1, e);
    it->line = number;
    if (!json_is_string(question) || json_string_length(question) == 0)
        return err_set(e, ERR_FORMAT, "question: a text is expected");
    TRY(kept(c, question, &it->question, e));
    TRY(read_choices(c, it, list, e));
    it->right =
        json_is_integer(answer) && json_integer_value(answer) >= 0 ? (size_t)json_integer_value(answer) : CHOICES_MAX;
    if (json_is_string(answer))
        it->right = right_by_text(it, json_object_get(list, "label"), json_str_of(answer));
    if (it->right >= it->n)
        return err_set(e, ERR_FORMAT, "answer: the number of a choice, from 0, or its text is expected");
    *c->last = it;
    c->last = &it->next;
    c->n_items++;
    return ERR_OK;
}

/* ---- scoring ---- */

/* The ids of question and choice; *from: where the choice begins. */
static err_code encode(chooser *c, const choice_item *it, size_t i, size_t *from, err *e) {
    const tokenizer *t = c->k->l->t;
    c->ids.n = c->before.n = c->text.n = 0;
    if (c->t.program) {
        TRY(eval_prompt(c->k, &c->t, it->question, &c->ids, e));
        *from = c->ids.n;
        return tokenizer_encode(t, it->choice[i], 0, &c->ids, e);
    }
    str question = it->question;
    while (question.n > 1 && question.p[question.n - 1] == ' ')
        question.n--;
    TRY(strbuf_add(&c->text, it->question, e));
    TRY(strbuf_addc(&c->text, ' ', e));
    TRY(strbuf_add(&c->text, it->choice[i], e));
    TRY(tokenizer_encode(t, question, TOK_SPECIAL_ADD, &c->before, e));
    TRY(tokenizer_encode(t, strbuf_str(&c->text), TOK_SPECIAL_ADD, &c->ids, e));
    *from = c->before.n;
    return ERR_OK;
}

static err_code sum_of(chooser *c, const choice_item *it, size_t i, double *sum, err *e) {
    size_t from;
    TRY(encode(c, it, i, &from, e));
    if (from == 0 || from >= c->ids.n)
        return err_set(e, ERR_FORMAT, "%s:%llu: choices[%zu] has no token of its own behind the question", c->k->file,
                       (unsigned long long)it->line, i);
    TRY(likelihood_of(c->like, c->ids.id, c->ids.n, from, c->logprob, e));
    *sum = 0;
    for (size_t k = 0; k < c->ids.n - from; k++)
        *sum += c->logprob[k];
    return isnan(*sum) ? err_set(e, ERR_FORMAT, "the model's logits are not all numbers (is the file damaged?)")
                       : ERR_OK;
}

static size_t best_of(const double *x, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

static err_code score(chooser *c, const choice_item *it, err *e) {
    double sum[CHOICES_MAX], norm[CHOICES_MAX];
    for (size_t i = 0; i < it->n; i++) {
        TRY(sum_of(c, it, i, &sum[i], e));
        norm[i] = sum[i] / (double)it->choice[i].n;
    }
    size_t best = best_of(sum, it->n), best_norm = best_of(norm, it->n);
    js_out *j = c->k->items;
    js_begin(j, '{');
    js_put_int(j, "line", (int64_t)it->line);
    js_put_int(j, "want", (int64_t)it->right);
    js_put_int(j, "got", (int64_t)best);
    js_put_int(j, "got_norm", (int64_t)best_norm);
    js_key(j, "logprobs");
    js_begin(j, '[');
    for (size_t i = 0; i < it->n; i++)
        js_real(j, sum[i], 17);
    js_end(j, ']');
    js_end(j, '}');
    TRY(scores_right(c->k->s, "acc", best == it->right, e));
    return scores_right(c->k->s, "acc_norm", best_norm == it->right, e);
}

static err_code measure(chooser *c, err *e) {
    for (const choice_item *it = c->first; it; it = it->next)
        for (size_t i = 0; i < it->n; i++) {
            size_t from;
            TRY(encode(c, it, i, &from, e));
            c->need = c->ids.n > c->need ? c->ids.n : c->need;
        }
    return ERR_OK;
}

static err_code run(chooser *c, err *e) {
    size_t ctx_tokens, done = 0;
    progress bar = {.what = "scoring", .unit = "items"};
    TRY(eval_lines(c->k, read_item, c, e));
    if (c->n_items == 0)
        return err_set(e, ERR_USAGE, "%s: there is no item in it", c->k->file);
    TRY(eval_talk(c->k, &c->t, e));
    TRY(measure(c, e));
    TRY(eval_ctx(c->k, c->need, &ctx_tokens, e));
    ARENA_NEW(&c->mem, c->logprob, c->need, e);
    TRY(likelihood_open(&c->like, c->k->l->m, c->k->l->pool, ctx_tokens, e));
    err_code code = ERR_OK;
    for (const choice_item *it = c->first; it && code == ERR_OK; it = it->next) {
        code = interrupt_flag ? err_set(e, ERR_CANCELLED, "stopped") : score(c, it, e);
        progress_step(&bar, ++done, c->n_items);
    }
    progress_end(&bar);
    return code;
}

err_code eval_choices(const item_task *k, err *e) {
    chooser c = {.k = k, .last = &c.first};
    err_code code = run(&c, e);
    likelihood_close(c.like);
    talk_close(&c.t);
    strbuf_fini(&c.text);
    tok_ids_fini(&c.ids);
    tok_ids_fini(&c.before);
    arena_fini(&c.mem);
    return code;
}
