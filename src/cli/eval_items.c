/* eval_items: what the tasks with a file of items share; see evaluate.h. */
#include <inttypes.h>

#include "cli/evaluate.h"
#include "text/json.h"
#include "tune/lines.h"

enum { DATE = 1735689600 }; /* 1 January 2025 */

static const char *const matches[] = {"exact", "begin", "contain", NULL};

#define AT(field) offsetof(item_values, field)
const option item_options[] = {
    {"chat", 0, OPT_FLAG, NULL, "ask by the model's chat template: the prompt is a user's message", AT(chat), 0, 0,
     NULL},
    {"match", 0, OPT_CHOICE, "HOW", "exact: an answer must be the text; begin with it; contain it", AT(match), 0, 0,
     matches},
    {"tokens", 0, OPT_INT, "N", "exact: tokens that an answer may have", AT(tokens), 1, 1 << 20, NULL},
    {"stop", 0, OPT_LIST, "TEXT", "exact: a text that ends an answer (without --chat a line break does)", AT(stop), 0,
     0, NULL},
    {"block", 0, OPT_INT, "BYTES", "perplexity: a plain text is cut into blocks of at most so many", AT(block), 16,
     1 << 26, NULL},
    {0},
};
#undef AT

err_code eval_talk(const item_task *k, talk *out, err *e) {
    *out = (talk){0};
    if (!k->v->chat)
        return ERR_OK;
    TRY(talk_open(out, k->l->t, k->model, k->talk, e));
    out->options.now = DATE;
    return ERR_OK;
}

err_code eval_prompt(const item_task *k, const talk *t, str prompt, tok_ids *ids, err *e) {
    if (!t->program)
        return tokenizer_encode(k->l->t, prompt, TOK_SPECIAL_ADD, ids, e);
    const chat_message m[] = {{.role = STR("system"), .content = str_from(k->talk->system)},
                              {.role = STR("user"), .content = prompt}};
    size_t first = k->talk->system ? 0 : 1;
    return chat_encode(t->program, m + first, 2 - first, &t->options, ids, e);
}

static err_code read_line(eval_read *read, void *ctx, const line_item *in, err *e) {
    json_t *line = NULL;
    TRY(json_read(in->text, in->text.n, &line, e));
    err_code code = json_is_object(line) ? read(ctx, line, in->text, in->number, e)
                                         : err_set(e, ERR_FORMAT, "is JSON, but no object");
    json_decref(line);
    return code;
}

err_code eval_lines(const item_task *k, eval_read *read, void *ctx, err *e) {
    lines *l;
    TRY(lines_open(&l, k->file, NULL, e));
    err_code code = ERR_OK;
    bool got = true;
    for (size_t n = 0; code == ERR_OK && got && (k->n_max == 0 || n < k->n_max); n++) {
        line_item in;
        code = lines_next(l, &in, &got, e);
        if (code != ERR_OK || !got)
            break;
        code = read_line(read, ctx, &in, e);
        if (code != ERR_OK && code != ERR_MEMORY)
            err_in(e, code, "%s:%" PRIu64, k->file, in.number);
    }
    lines_close(l);
    return code;
}

err_code eval_ctx(const item_task *k, size_t need, size_t *ctx_tokens, err *e) {
    size_t trained = model_config_of(k->l->m)->ctx_train;
    if (trained > 0 && need > trained)
        return err_set(e, ERR_LIMIT, "%s: an item needs %zu tokens, more than the %zu that the model was made for",
                       k->file, need, trained);
    return load_ctx(k->l->m, (int64_t)need, need, ctx_tokens, e);
}
