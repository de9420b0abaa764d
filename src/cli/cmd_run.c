/* loam run: continues a text. */
#include <string.h>
#include <unistd.h>

#include "cli/load.h"
#include "cli/out.h"
#include "cli/shape.h"
#include "cli/tracer.h"

typedef struct {
    common_values common;
    compute_values compute;
    sampling_values sampling;
    talk_values talk;
    shape_values shape;
    const char *prompt, *file, *trace;
    int64_t n, ctx;
    option_list stop;
    bool chat, special, ignore_end;
} values;

static const values defaults = {
    .common = COMMON_DEFAULTS,
    .compute = COMPUTE_DEFAULTS,
    .sampling = SAMPLING_DEFAULTS,
};

#define AT(field) offsetof(values, field)
static const option own_options[] = {
    {"prompt", 'p', OPT_TEXT, "TEXT", "the text to continue", AT(prompt), 0, 0, NULL},
    {"file", 'f', OPT_TEXT, "FILE", "the text to continue from a file; - is standard input", AT(file), 0, 0, NULL},
    {"n", 'n', OPT_INT, "N", "tokens to generate at most; 0: until the model ends or the context is full", AT(n), 0,
     CONFIG_CTX_MAX, NULL},
    {"stop", 0, OPT_LIST, "TEXT", "end before this text; may be given up to 16 times", AT(stop), 0, 0, NULL},
    {"ctx", 'c', OPT_INT, "N", "positions to plan memory for; 0: 4096, or more when the prompt and -n need it", AT(ctx),
     0, INT32_MAX / 2, NULL},
    {"chat", 0, OPT_FLAG, NULL, "the prompt is a user's message, put through the model's chat template", AT(chat), 0, 0,
     NULL},
    {"special", 0, OPT_FLAG, NULL, "control tokens spelled in the prompt count as such, and generated ones are printed",
     AT(special), 0, 0, NULL},
    {"trace", 0, OPT_TEXT, "DATA.db|RUN", "show under the text which of its parts stand verbatim in these data",
     AT(trace), 0, 0, NULL},
    {"ignore-eos", 0, OPT_FLAG, NULL, "go on after the model's end token", AT(ignore_end), 0, 0, NULL},
    {0},
};
#undef AT

static const option_group groups[] = {
    {"Text", own_options, 0},
    SHAPE_GROUP(values),
    SAMPLING_GROUP(values),
    TALK_GROUP(values),
    COMPUTE_GROUP(values),
    COMMON_GROUP,
    {0},
};

/* What is being printed: text as it comes, or all of it for JSON. */
typedef struct {
    bool json, keep, failed; /* keep: the text is wanted once more */
    strbuf text;
    char last; /* last byte printed */
    progress bar;
} printer;

static void on_text(void *ctx, str text) {
    printer *p = ctx;
    p->last = text.p[text.n - 1];
    if (p->keep)
        p->failed |= strbuf_add(&p->text, text, NULL) != ERR_OK;
    if (p->json)
        return;
    out_foreign(text);
    if (!out_flush())
        interrupt_flag = 1; /* nobody can read it: stop; main() reports the failed write */
}

static void on_prefill(void *ctx, size_t done, size_t total) {
    printer *p = ctx;
    progress_step(&p->bar, done, total);
    if (done == total)
        progress_end(&p->bar);
}

static err_code read_prompt(const values *v, strbuf *text, err *e) {
    if (v->prompt && v->file)
        return err_set(e, ERR_USAGE, "-p and -f exclude each other");
    if (v->prompt)
        return strbuf_add(text, str_from(v->prompt), e);
    if (!v->file && isatty(STDIN_FILENO))
        return err_set(e, ERR_USAGE, "the prompt is missing (-p TEXT, -f FILE, or a text on standard input)");
    return load_text(v->file ? v->file : "-", text, e);
}

static err_code chat_ids(const values *v, const talk *k, str prompt, tok_ids *ids, err *e) {
    chat_message m[2];
    size_t n = 0;
    if (v->talk.system)
        m[n++] = (chat_message){.role = STR("system"), .content = str_from(v->talk.system)};
    m[n++] = (chat_message){.role = STR("user"), .content = prompt};
    return chat_encode(k->program, m, n, &k->options, ids, e);
}

static err_code trace(const values *v, const loaded *l, str text, err *e) {
    tracer t = {0};
    err_code code = tracer_open_here(&t, v->trace, NULL, l->pool, e);
    if (code == ERR_OK && !v->common.json)
        out_text(STR("\n"));
    if (code == ERR_OK)
        code = tracer_show(&t, text, &tracer_defaults, v->common.json, e);
    tracer_close(&t);
    return code;
}

static err_code generate(const values *v, const loaded *l, shape *form, const option_list *stop, const tok_ids *ids,
                         err *e) {
    size_t ctx_tokens;
    session *s = NULL;
    TRY(load_ctx(l->m, v->ctx, ids->n + (v->n > 0 ? (size_t)v->n : 1), &ctx_tokens, e));
    TRY(session_open(&s, l->m, l->t, ctx_tokens, e));
    printer p = {.json = v->common.json,
                 .keep = v->common.json || v->trace,
                 .bar = {.what = "reading the prompt", .unit = "tokens"}};
    generate_options o = {
        .n_max = (size_t)v->n,
        .stop = stop->item,
        .n_stop = stop->n,
        .special = v->special,
        .ignore_end = v->ignore_end,
        .grammar = shape_begin(form),
        .on_text = on_text,
        .on_prefill = on_prefill,
        .ctx = &p,
        .cancel = &interrupt_flag,
    };
    generate_result r;
    sampler_config sampling = sampling_config(&v->sampling);
    interrupt_catch();
    err_code code = session_generate(s, ids->id, ids->n, &sampling, &o, &r, e);
    progress_end(&p.bar);
    if (!p.json && p.last && p.last != '\n')
        out_text(STR("\n"));
    if (code == ERR_OK && p.failed)
        code = err_set(e, ERR_MEMORY, "no memory for the text");
    if (code == ERR_OK && p.json) {
        size_t n;
        const int32_t *all = session_ids(s, &n);
        code = print_result_json(strbuf_str(&p.text), all + r.n_prompt, n - r.n_prompt, &r, e);
    }
    if (code == ERR_OK && (v->common.verbose || err_is_terminal()))
        note_result(&r, ctx_tokens);
    if (code == ERR_OK && v->trace && r.why != STOP_CANCELLED)
        code = trace(v, l, strbuf_str(&p.text), e);
    if (code == ERR_OK && r.why == STOP_CANCELLED && out_flush())
        code = err_set(e, ERR_CANCELLED, "stopped");
    strbuf_fini(&p.text);
    session_close(s);
    return code;
}

static err_code prompt_and_generate(const values *v, const loaded *l, const talk *k, str prompt, const char *path,
                                    err *e) {
    tok_ids ids = {0};
    shape form = {0};
    option_list stop = v->stop;
    err_code code;
    if (v->chat)
        code = chat_ids(v, k, prompt, &ids, e);
    else
        code = tokenizer_encode(l->t, prompt, TOK_SPECIAL_ADD | (v->special ? TOK_SPECIAL_PARSE : 0), &ids, e);
    if (code == ERR_OK && k->stop.n > 0 && stop.n < OPTION_LIST_MAX)
        stop.item[stop.n++] = k->stop;
    if (code == ERR_OK)
        code = shape_open(&form, &v->shape, l->t, v->special, e);
    if (code == ERR_OK) {
        code = generate(v, l, &form, &stop, &ids, e);
        if (code != ERR_OK && code != ERR_CANCELLED)
            err_in(e, code, "%s", path);
    }
    shape_close(&form);
    tok_ids_fini(&ids);
    return code;
}

static err_code run_command(const void *p, const arguments *args, err *e) {
    const values *v = p;
    loaded l = {0};
    talk k = {0};
    strbuf prompt = {0};
    sampler_config sampling = sampling_config(&v->sampling);
    err_code code = load_check_path(args->arg[0], e);
    if (code == ERR_OK)
        code = sampler_check(&sampling, e);
    if (code == ERR_OK && !v->chat && (v->talk.system || v->talk.template_name || v->talk.template_vars))
        code = err_set(e, ERR_USAGE, "--system and --template belong to a conversation (add --chat)");
    if (code == ERR_OK)
        code = read_prompt(v, &prompt, e);
    if (code == ERR_OK)
        code = load_model(&l, args->arg[0], &v->common, &v->compute, LOAD_WITH_TOKENIZER, e);
    if (code == ERR_OK && v->chat)
        code = talk_open(&k, l.t, args->arg[0], &v->talk, e);
    if (code == ERR_OK)
        code = prompt_and_generate(v, &l, &k, strbuf_str(&prompt), args->arg[0], e);
    strbuf_fini(&prompt);
    talk_close(&k);
    loaded_close(&l);
    return code;
}

const command command_run = {
    .name = "run",
    .args = "M",
    .summary = "continue a text, or answer one question (--chat)",
    .details =
        "The text is printed as it becomes certain, and ends with a line break. The same model, prompt, options and "
        "seed give the same text on every machine. Ctrl-C stops with what has been printed (exit status 130).\n"
        "With --json: {\"text\", \"tokens\", \"prefill_tok_s\", \"decode_tok_s\"}, where tokens are the generated "
        "ids, an end token included; with --trace a second line as loam trace --json has it.\n\n"
        "  loam run model.gguf -p \"The sea is\" -n 32\n"
        "  loam run model.gguf --chat -p \"Why is the sky blue?\" --temp 0\n"
        "  loam run model.gguf --chat -p \"Name a colour\" --json-schema '{\"enum\": [\"red\", \"green\"]}'\n"
        "  loam run model.gguf -f letter.txt --stop \"Yours\" --json",
    .n_args_min = 1,
    .n_args_max = 1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_command,
};
