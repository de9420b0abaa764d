/* eval exact: what a model answers, greedily, against what it should; see evaluate.h.
 *
 *   {"prompt": "Q: What is Maro by trade?\nA:", "answer": "A cook."}
 *
 * A question has "prompt" or "question", and "answer", a text or a list of texts of which any will do; or it is an
 * example as `loam tune` reads them (tune/record.h), whose last message, an assistant's, is the answer: so what was
 * kept out of tuning is asked as it stands. Blanks around answers do not count. An answer ends with the model's end
 * token, one of
 * --stop, or after --tokens; without --chat it also ends with its line.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "cli/evaluate.h"
#include "cli/out.h"
#include "gen/tool_turns.h"
#include "text/json.h"
#include "tune/record.h"

enum { WANTS_MAX = 64 };

typedef struct {
    uint64_t line;
    str want[WANTS_MAX];
    size_t n_want;
    tok_ids ids; /* of the prompt */
} question;

typedef struct asker asker;
struct asker {
    const item_task *k;
    err_code (*use)(asker *a, const question *q, err *e);
    talk t;
    tool_style style; /* of t.program */
    record r;
    question q;
    session *s;
    size_t need, n, done;
    strbuf got;
    bool failed; /* memory for the answer was short */
    progress bar;
};

static str trimmed(str s) {
    static const char blanks[] = " \t\r\n";
    while (s.n > 0 && memchr(blanks, s.p[s.n - 1], 4))
        s.n--;
    while (s.n > 0 && memchr(blanks, s.p[0], 4))
        s = str_sub(s, 1, s.n);
    return s;
}

/* ---- reading ---- */

/* Every answer begins with nothing, and contains it. */
static err_code add_text(question *q, str want, err *e) {
    want = trimmed(want);
    if (want.n == 0)
        return err_set(e, ERR_FORMAT, "answer: an empty text");
    if (q->n_want == WANTS_MAX)
        return err_set(e, ERR_LIMIT, "answer: more than %d texts", WANTS_MAX);
    q->want[q->n_want++] = want;
    return ERR_OK;
}

static err_code add_want(question *q, const json_t *v, err *e) {
    return json_is_string(v) ? add_text(q, json_str_of(v), e)
                             : err_set(e, ERR_FORMAT, "answer: a text, or a list of texts, is expected");
}

static err_code read_own(asker *a, const json_t *line, err *e) {
    const json_t *answer = json_object_get(line, "answer");
    str prompt = json_get_str(line, "prompt", json_get_str(line, "question", (str){0}));
    if (prompt.n == 0)
        return err_set(e, ERR_FORMAT, "prompt: a text is expected");
    if (json_is_array(answer))
        for (size_t i = 0; i < json_array_size(answer); i++)
            TRY(add_want(&a->q, json_array_get(answer, i), e));
    else
        TRY(add_want(&a->q, answer, e));
    return eval_prompt(a->k, &a->t, prompt, &a->q.ids, e);
}

static err_code ask_conversation(asker *a, const record_turns *t, err *e) {
    chat_message *m;
    size_t n = 0;
    tool_talk fitted;
    ARENA_NEW(&a->r.mem, m, t->n + 1, e);
    if (a->k->talk->system && !str_is(t->m[0].role, "system"))
        m[n++] = (chat_message){.role = STR("system"), .content = str_from(a->k->talk->system)};
    memcpy(m + n, t->m, (t->n - 1) * sizeof *m);
    TRY(tool_turns(&a->style, m, n + t->n - 1, a->r.tools, &a->r.mem, a->r.keep, &fitted, e));
    chat_options o = a->t.options;
    o.tools = fitted.tools;
    return chat_encode(a->t.program, fitted.m, fitted.n, &o, &a->q.ids, e);
}

static err_code read_example(asker *a, str text, err *e) {
    TRY(record_read(&a->r, text, e));
    const record_turns *t = &a->r.way[0];
    if (t->n < 2 || !str_is(t->m[t->n - 1].role, "assistant"))
        return err_set(e, ERR_FORMAT,
                       "no question and answer: \"prompt\" with \"answer\", or a conversation that ends "
                       "with the assistant, is expected");
    TRY(add_text(&a->q, t->m[t->n - 1].content, e));
    if (a->t.program)
        return ask_conversation(a, t, e);
    if (!a->r.is_plain)
        return err_set(e, ERR_USAGE, "a conversation (--chat asks it by the model's chat template)");
    return eval_prompt(a->k, &a->t, a->r.prompt, &a->q.ids, e);
}

static err_code on_line(void *ctx, const json_t *line, str text, uint64_t number, err *e) {
    asker *a = ctx;
    a->q.line = number;
    a->q.n_want = a->q.ids.n = 0;
    TRY(json_object_get(line, "answer") ? read_own(a, line, e) : read_example(a, text, e));
    if (a->q.n_want == 0)
        return err_set(e, ERR_FORMAT, "answer: an empty list");
    return a->use(a, &a->q, e);
}

/* ---- asking ---- */

static err_code measure(asker *a, const question *q, err *e) {
    size_t n = q->ids.n + (size_t)a->k->v->tokens;
    (void)e;
    a->need = n > a->need ? n : a->need;
    a->n++;
    return ERR_OK;
}

static void on_text(void *ctx, str text) {
    asker *a = ctx;
    a->failed |= strbuf_add(&a->got, text, NULL) != ERR_OK;
}

static err_code answer(asker *a, const question *q, err *e) {
    const item_values *v = a->k->v;
    str stop[OPTION_LIST_MAX + 1];
    size_t n_stop = v->stop.n;
    memcpy(stop, v->stop.item, n_stop * sizeof *stop);
    if (!v->chat)
        stop[n_stop++] = STR("\n");
    else if (a->t.stop.n > 0)
        stop[n_stop++] = a->t.stop;
    const generate_options o = {.n_max = (size_t)v->tokens,
                                .stop = stop,
                                .n_stop = n_stop,
                                .on_text = on_text,
                                .ctx = a,
                                .cancel = &interrupt_flag};
    sampler_config greedy = sampler_default;
    generate_result r;
    greedy.temperature = 0;
    a->got.n = 0;
    TRY(session_generate(a->s, q->ids.id, q->ids.n, &greedy, &o, &r, e));
    if (a->failed)
        return err_set(e, ERR_MEMORY, "no memory for the answer");
    return interrupt_flag ? err_set(e, ERR_CANCELLED, "stopped") : ERR_OK;
}

static bool is_right(const asker *a, const question *q) {
    str got = trimmed(strbuf_str(&a->got));
    const char *how = a->k->v->match;
    for (size_t i = 0; i < q->n_want; i++) {
        str want = q->want[i];
        if (how[0] == 'e' ? str_eq(got, want) : how[0] == 'b' ? str_starts(got, want) : str_find(got, want, 0) >= 0)
            return true;
    }
    return false;
}

static err_code score(asker *a, const question *q, err *e) {
    TRY(answer(a, q, e));
    bool right = is_right(a, q);
    js_out *j = a->k->items;
    js_begin(j, '{');
    js_put_int(j, "line", (int64_t)q->line);
    js_key(j, "right");
    js_flag(j, right);
    js_put_text(j, "got", trimmed(strbuf_str(&a->got)));
    js_put_text(j, "want", q->want[0]);
    js_end(j, '}');
    progress_step(&a->bar, ++a->done, a->n);
    return scores_right(a->k->s, "exact", right, e);
}

static err_code run(asker *a, err *e) {
    size_t ctx_tokens;
    TRY(eval_talk(a->k, &a->t, e));
    if (a->t.program)
        TRY(tool_style_learn(&a->style, a->t.program, a->k->l->t, chat_source(a->t.program), e));
    a->use = measure;
    TRY(eval_lines(a->k, on_line, a, e));
    if (a->n == 0)
        return err_set(e, ERR_USAGE, "%s: there is no item in it", a->k->file);
    TRY(eval_ctx(a->k, a->need, &ctx_tokens, e));
    TRY(session_open(&a->s, a->k->l->m, a->k->l->t, ctx_tokens, e));
    a->use = score;
    err_code code = eval_lines(a->k, on_line, a, e);
    progress_end(&a->bar);
    return code;
}

err_code eval_exact(const item_task *k, err *e) {
    asker *a = calloc(1, sizeof *a);
    if (!a)
        return err_set(e, ERR_MEMORY, "no memory for a question");
    *a = (asker){.k = k, .bar = {.what = "asking", .unit = "questions"}};
    err_code code = run(a, e);
    session_close(a->s);
    talk_close(&a->t);
    record_fini(&a->r);
    tok_ids_fini(&a->q.ids);
    strbuf_fini(&a->got);
    free(a);
    return code;
}
