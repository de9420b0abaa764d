/* loam tokenize: a text to token ids. */
#include <inttypes.h>
#include <string.h>

#include "cli/load.h"
#include "cli/out.h"

typedef struct {
    common_values common;
    bool pieces, special, bare;
    const char *file;
} values;

static const values defaults = {.common = COMMON_DEFAULTS};

static const option own_options[] = {
    {"pieces", 0, OPT_FLAG, NULL, "a line for each token: its id and its piece as the vocabulary spells it",
     offsetof(values, pieces), 0, 0, NULL},
    {"special", 0, OPT_FLAG, NULL, "control tokens spelled in the text become those tokens", offsetof(values, special),
     0, 0, NULL},
    {"no-bos", 0, OPT_FLAG, NULL, "add no token that the model wants at the beginning or the end",
     offsetof(values, bare), 0, 0, NULL},
    {"file", 'f', OPT_TEXT, "FILE", "the text from a file instead", offsetof(values, file), 0, 0, NULL},
    {0},
};

static const option_group groups[] = {{"Tokens", own_options, 0}, COMMON_GROUP, {0}};

static err_code print_pieces(const tokenizer *t, const tok_ids *ids, err *e) {
    strbuf line = {0};
    err_code code = ERR_OK;
    for (size_t i = 0; i < ids->n && code == ERR_OK; i++) {
        line.n = 0;
        code = strbuf_addf(&line, e, "%d\t", (int)ids->id[i]);
        if (code == ERR_OK) /* quoted, so that any piece is one line */
            code = json_quote(tokenizer_piece(t, ids->id[i]), &line, e);
        if (code == ERR_OK)
            code = strbuf_addc(&line, '\n', e);
        if (code == ERR_OK)
            out_text(strbuf_str(&line));
    }
    strbuf_fini(&line);
    return code;
}

static err_code print_json(const tokenizer *t, const tok_ids *ids, bool pieces, err *e) {
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_key(&j, "tokens");
    js_begin(&j, '[');
    for (size_t i = 0; i < ids->n; i++)
        js_int(&j, ids->id[i]);
    js_end(&j, ']');
    if (pieces) {
        js_key(&j, "pieces");
        js_begin(&j, '[');
        for (size_t i = 0; i < ids->n; i++)
            js_text(&j, tokenizer_piece(t, ids->id[i]));
        js_end(&j, ']');
    }
    js_end(&j, '}');
    return js_print(&j);
}

static err_code print_ids(const values *v, const tokenizer *t, str text, err *e) {
    tok_ids ids = {0};
    unsigned flags = (v->bare ? 0 : TOK_SPECIAL_ADD) | (v->special ? TOK_SPECIAL_PARSE : 0);
    err_code code = tokenizer_encode(t, text, flags, &ids, e);
    if (code == ERR_OK && v->common.json)
        code = print_json(t, &ids, v->pieces, e);
    else if (code == ERR_OK && v->pieces)
        code = print_pieces(t, &ids, e);
    else if (code == ERR_OK) {
        for (size_t i = 0; i < ids.n; i++)
            out_printf("%s%d", i ? " " : "", (int)ids.id[i]);
        out_printf("\n");
    }
    tok_ids_fini(&ids);
    return code;
}

static err_code run(const void *p, const arguments *args, err *e) {
    const values *v = p;
    if ((args->n == 2) == (v->file != NULL))
        return err_set(e, ERR_USAGE, "one text is expected (TEXT, - for standard input, or -f FILE)");
    const char *word = v->file ? v->file : args->arg[1];
    vocabulary vocab = {0};
    strbuf text = {0};
    err_code code = load_vocabulary(&vocab, args->arg[0], e);
    if (code == ERR_OK)
        code = v->file || strcmp(word, "-") == 0 ? load_text(word, &text, e) : strbuf_add(&text, str_from(word), e);
    if (code == ERR_OK)
        code = print_ids(v, vocab.t, strbuf_str(&text), e);
    strbuf_fini(&text);
    vocabulary_close(&vocab);
    return code;
}

const command command_tokenize = {
    .name = "tokenize",
    .args = "M TEXT|-",
    .summary = "a text to token ids",
    .details =
        "Prints the ids on one line, with the tokens that the model wants at the beginning (BOS) or the end. A text "
        "that spells a control token stays text, unless --special is given. - reads standard input.\n"
        "With --json: {\"tokens\"}, and \"pieces\" with --pieces.\n\n"
        "  loam tokenize model.gguf \"Hello there\"\n"
        "  loam tokenize model.gguf --pieces --special \"<start_of_turn>user\"",
    .n_args_min = 1,
    .n_args_max = 2,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run,
};
