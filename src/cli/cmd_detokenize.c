/* loam detokenize: token ids to their text. */
#include <string.h>

#include "cli/ids.h"
#include "cli/load.h"
#include "cli/out.h"

typedef struct {
    common_values common;
    bool special;
} values;

static const values defaults = {.common = COMMON_DEFAULTS};

static const option own_options[] = {
    {"special", 0, OPT_FLAG, NULL, "print control tokens as the vocabulary spells them", offsetof(values, special), 0,
     0, NULL},
    {0},
};

static const option_group groups[] = {{"Tokens", own_options, 0}, COMMON_GROUP, {0}};

static err_code read_ids(const arguments *args, tok_ids *ids, err *e) {
    if (args->n == 2 && strcmp(args->arg[1], "-") == 0) {
        strbuf text = {0};
        err_code code = load_text("-", &text, e);
        if (code == ERR_OK)
            code = ids_parse(strbuf_str(&text), ids, e);
        strbuf_fini(&text);
        return code;
    }
    for (int i = 1; i < args->n; i++)
        TRY(ids_parse(str_from(args->arg[i]), ids, e));
    return ERR_OK;
}

static err_code print_text(const values *v, str text, err *e) {
    if (!v->common.json) {
        out_foreign(text);
        out_text(STR("\n"));
        return ERR_OK;
    }
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_key(&j, "text");
    js_text(&j, text);
    js_end(&j, '}');
    return js_print(&j);
}

static err_code run(const void *p, const arguments *args, err *e) {
    const values *v = p;
    vocabulary vocab = {0};
    tok_ids ids = {0};
    strbuf text = {0};
    err_code code = read_ids(args, &ids, e);
    if (code == ERR_OK)
        code = load_vocabulary(&vocab, args->arg[0], e);
    if (code == ERR_OK)
        code = tokenizer_decode(vocab.t, ids.id, ids.n, v->special, &text, e);
    if (code == ERR_OK)
        code = print_text(v, strbuf_str(&text), e);
    strbuf_fini(&text);
    tok_ids_fini(&ids);
    vocabulary_close(&vocab);
    return code;
}

const command command_detokenize = {
    .name = "detokenize",
    .args = "M IDS...|-",
    .summary = "token ids to their text",
    .details = "Ids are separated by blanks or commas; - reads them from standard input. Control tokens vanish unless "
               "--special is given. The text comes out byte for byte, followed by one line break.\n"
               "With --json: {\"text\"}, ill-formed UTF-8 replaced by U+FFFD.\n\n"
               "  loam tokenize model.gguf \"Hello there\" | loam detokenize model.gguf -",
    .n_args_min = 2,
    .n_args_max = -1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run,
};
