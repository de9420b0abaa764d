/* loam chat: a conversation in the terminal, or line by line through a pipe.
 *
 * The conversation is a list of messages; every turn renders all of it by the chat template and the session computes
 * only what it has not in its cache. Nothing is ever dropped to make room: when the conversation does not fit, the
 * new message is refused with advice.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/dialog.h"
#include "cli/line.h"
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
    int64_t n, ctx;
    bool no_history;
    const char *trace;
} values;

static const values defaults = {
    .common = COMMON_DEFAULTS,
    .compute = COMPUTE_DEFAULTS,
    .sampling = SAMPLING_DEFAULTS,
};

#define AT(field) offsetof(values, field)
static const option own_options[] = {
    {"n", 'n', OPT_INT, "N", "tokens of an answer at most; 0: until the model ends or the context is full", AT(n), 0,
     CONFIG_CTX_MAX, NULL},
    {"ctx", 'c', OPT_INT, "N",
     "positions to plan memory for; 0: 4096, or what the model was made for when that is less", AT(ctx), 0,
     INT32_MAX / 2, NULL},
    {"no-history", 0, OPT_FLAG, NULL, "keep no history of typed lines", AT(no_history), 0, 0, NULL},
    {0},
};
static const option trace_options[] = {
    {"trace", 0, OPT_TEXT, "DATA.db|RUN", "show under each answer which of its parts stand verbatim in these data",
     AT(trace), 0, 0, NULL},
    {0},
};
#undef AT

static const option_group groups[] = {
    {"Chat", own_options, 0}, {"Tracing", trace_options, 0}, TALK_GROUP(values), SHAPE_GROUP(values),
    SAMPLING_GROUP(values),   COMPUTE_GROUP(values),         COMMON_GROUP,       {0},
};

/* What /set may change. */
static const option_group settable[] = {{"Answer", own_options, 0}, SAMPLING_GROUP(values), {0}};

typedef struct {
    values v; /* a copy: /set changes it */
    const char *model_path;
    loaded l;
    talk k;
    session *s;
    dialog d;
    line_reader *lines;
    bool person; /* standard input is a terminal */
    bool quit;
    size_t n_failed;
    strbuf answer;
    bool short_of_memory;
    progress bar;
    generate_result last; /* of the latest answer */
    shape form;           /* of every answer */
    tracer tracer;        /* what NULL: not open */
} chat;

/* ---- an answer ---- */

static void on_text(void *ctx, str text) {
    chat *c = ctx;
    c->short_of_memory |= strbuf_add(&c->answer, text, NULL) != ERR_OK;
    if (c->v.common.json)
        return;
    out_foreign(text);
    if (!out_flush()) {
        interrupt_flag = 1;
        c->quit = true;
    }
}

static void on_prefill(void *ctx, size_t done, size_t total) {
    chat *c = ctx;
    progress_step(&c->bar, done, total);
    if (done == total)
        progress_end(&c->bar);
}

static err_code too_long(const chat *c, size_t n, err *e) {
    size_t trained = model_config_of(c->l.m)->ctx_train;
    return err_set(e, ERR_LIMIT,
                   "the conversation would have %zu tokens and the context holds %zu, so the message was not "
                   "sent (/clear or /undo makes room; start with --ctx N for more, this model was made for %zu)",
                   n, session_ctx(c->s), trained);
}

static err_code generate(chat *c, const tok_ids *ids, err *e) {
    generate_options o = {
        .n_max = (size_t)c->v.n,
        .stop = &c->k.stop,
        .n_stop = c->k.stop.n > 0 ? 1 : 0,
        .on_text = on_text,
        .on_prefill = on_prefill,
        .ctx = c,
        .cancel = &interrupt_flag,
        .grammar = shape_begin(&c->form),
    };
    if (ids->n >= session_ctx(c->s))
        return too_long(c, ids->n, e);
    sampler_config sampling = sampling_config(&c->v.sampling);
    c->answer.n = 0;
    c->short_of_memory = false;
    err_code code = session_generate(c->s, ids->id, ids->n, &sampling, &o, &c->last, e);
    progress_end(&c->bar);
    if (code == ERR_OK && c->short_of_memory)
        code = err_set(e, ERR_MEMORY, "no memory for the answer");
    return code;
}

static err_code print_answer_end(chat *c, err *e) {
    if (c->v.common.json) {
        size_t n;
        const int32_t *all = session_ids(c->s, &n);
        TRY(print_result_json(strbuf_str(&c->answer), all + c->last.n_prompt, n - c->last.n_prompt, &c->last, e));
    } else
        out_text(STR("\n"));
    out_flush();
    if (c->last.why == STOP_CONTEXT)
        out_note(
            "the context of %zu tokens is full, the answer is cut (/clear makes room; start with --ctx N for more)",
            session_ctx(c->s));
    if (c->last.why == STOP_CANCELLED && c->person)
        out_note("stopped; /undo takes the exchange back, /regen tries again");
    if (c->v.common.verbose)
        note_result(&c->last, session_ctx(c->s));
    return ERR_OK;
}

/* Opens the data to look into: those named, or those that were looked into before, or the model's own when it is a run.
 */
static err_code open_tracer(chat *c, const char *what, err *e) {
    tracer *t = &c->tracer;
    if (!what && !t->what && c->v.trace)
        what = c->v.trace;
    if (!what && !t->what && run_is(c->model_path))
        what = c->model_path;
    if (!what && !t->what)
        return err_set(e, ERR_USAGE, "/trace: in which data? (/trace DATA.db or /trace RUN)");
    if (!what)
        return ERR_OK;
    tracer_close(t);
    err_code code = tracer_open_here(t, what, NULL, c->l.pool, e);
    if (code != ERR_OK)
        tracer_close(t);
    return code;
}

static err_code trace_answer(chat *c, const char *what, err *e) {
    if (!str_is(dialog_last_role(&c->d), "assistant"))
        return err_set(e, ERR_USAGE, "/trace: there is no answer yet");
    TRY(open_tracer(c, what, e));
    return tracer_show(&c->tracer, c->d.m[c->d.n - 1].content, &tracer_defaults, c->v.common.json, e);
}

/* Answers the conversation, whose last message is the user's. On failure the conversation is as before the call. */
static err_code answer(chat *c, err *e) {
    tok_ids ids = {0};
    interrupt_clear();
    err_code code = chat_encode(c->k.program, c->d.m, c->d.n, &c->k.options, &ids, e);
    if (code == ERR_OK)
        code = generate(c, &ids, e);
    if (code == ERR_OK)
        code = print_answer_end(c, e);
    if (code == ERR_OK)
        code = dialog_add(&c->d, STR("assistant"), strbuf_str(&c->answer), e);
    tok_ids_fini(&ids);
    err trace = {0}; /* the answer stands even if it cannot be traced */
    if (code == ERR_OK && c->v.trace && c->last.why != STOP_CANCELLED && trace_answer(c, NULL, &trace) != ERR_OK) {
        out_error(&trace);
        c->n_failed++;
    }
    return code;
}

static err_code say(chat *c, str text, err *e) {
    TRY(dialog_add(&c->d, STR("user"), text, e));
    err_code code = answer(c, e);
    if (code != ERR_OK)
        dialog_drop(&c->d); /* it can be sent again */
    return code;
}

/* ---- commands ---- */

typedef struct {
    const char *name, *arg, *help;
    err_code (*run)(chat *c, str arg, err *e);
    bool needs_arg;
} slash;

static err_code do_clear(chat *c, str arg, err *e) {
    (void)arg;
    (void)e;
    dialog_clear(&c->d);
    return ERR_OK;
}

static err_code do_system(chat *c, str arg, err *e) { return dialog_system(&c->d, arg, e); }

/* The argument as a NUL-terminated path. */
static err_code with_path(chat *c, str arg, err_code (*act)(dialog *d, const char *path, err *e), err *e) {
    strbuf path = {0};
    err_code code = strbuf_add(&path, arg, e);
    if (code == ERR_OK)
        code = strbuf_addc(&path, '\0', e);
    if (code == ERR_OK)
        code = act(&c->d, path.p, e);
    strbuf_fini(&path);
    return code;
}

static err_code save(dialog *d, const char *path, err *e) { return dialog_save(d, path, e); }
static err_code do_save(chat *c, str arg, err *e) { return with_path(c, arg, save, e); }
static err_code do_load(chat *c, str arg, err *e) { return with_path(c, arg, dialog_load, e); }

static err_code do_trace(chat *c, str arg, err *e) {
    run_path what;
    if (arg.n >= sizeof what.text)
        return err_set(e, ERR_LIMIT, "/trace: the path is too long");
    memcpy(what.text, arg.p ? arg.p : "", arg.n);
    what.text[arg.n] = 0;
    return trace_answer(c, arg.n ? what.text : NULL, e);
}

static err_code do_undo(chat *c, str arg, err *e) {
    (void)arg;
    if (str_is(dialog_last_role(&c->d), "assistant"))
        dialog_drop(&c->d);
    if (!str_is(dialog_last_role(&c->d), "user"))
        return err_set(e, ERR_USAGE, "/undo: there is no exchange to take back");
    dialog_drop(&c->d);
    return ERR_OK;
}

/* The seed goes up by one, for the same seed would give the same answer. */
static err_code do_regen(chat *c, str arg, err *e) {
    (void)arg;
    if (str_is(dialog_last_role(&c->d), "assistant"))
        dialog_drop(&c->d);
    if (!str_is(dialog_last_role(&c->d), "user"))
        return err_set(e, ERR_USAGE, "/regen: there is no answer to try again");
    c->v.sampling.seed++;
    return answer(c, e);
}

static err_code do_stats(chat *c, str arg, err *e) {
    (void)arg;
    (void)e;
    if (c->last.n_prompt == 0)
        out_note("no answer yet; the context holds %zu tokens", session_ctx(c->s));
    else
        note_result(&c->last, session_ctx(c->s));
    return ERR_OK;
}

static err_code do_set(chat *c, str arg, err *e) {
    char value[64], shown[80];
    ptrdiff_t blank = str_find(arg, STR(" "), 0);
    str name = str_sub(arg, 0, blank < 0 ? arg.n : (size_t)blank), text = {0};
    if (blank >= 0)
        text = str_sub(arg, (size_t)blank + 1, arg.n);
    if (text.n >= sizeof value || text.n == 0)
        return err_set(e, ERR_USAGE, "/set: a key and a value are expected, as in /set temp 0.5");
    memcpy(value, text.p, text.n);
    value[text.n] = '\0';
    size_t at, n_keys = 0;
    const option *o = options_find(settable, name, &at);
    if (!o || o->kind == OPT_FLAG || strcmp(o->name, "ctx") == 0) {
        const char *keys[32];
        for (const option_group *g = settable; g->rows; g++)
            for (const option *row = g->rows; row->name && n_keys < 32; row++)
                keys[n_keys++] = row->name;
        const char *near = nearest_word(name, keys, n_keys);
        return err_set(e, ERR_USAGE, "/set: no key \"%.*s\" that could change now (%s%s)", STR_ARG(name),
                       near ? "did you mean " : "keys are the sampling options, such as ", near ? near : "temp");
    }
    snprintf(shown, sizeof shown, "/set %s", o->name);
    return options_set(o, shown, value, (char *)&c->v + at, e);
}

static err_code do_quit(chat *c, str arg, err *e) {
    (void)arg;
    (void)e;
    c->quit = true;
    return ERR_OK;
}

static err_code do_help(chat *c, str arg, err *e); /* prints the table it stands in */

static const slash slashes[] = {
    {"help", "", "this list", do_help, false},
    {"clear", "", "begin anew; the system text stays", do_clear, false},
    {"system", "TEXT", "what the model is told before the conversation; without TEXT: nothing", do_system, false},
    {"regen", "", "another answer to the same message (the seed goes up by one)", do_regen, false},
    {"undo", "", "take the last exchange back", do_undo, false},
    {"save", "FILE", "write the conversation as JSON", do_save, true},
    {"load", "FILE", "go on with a saved conversation", do_load, true},
    {"set", "KEY VALUE", "change a sampling option: temp, top_k, top_p, min_p, seed, n ...", do_set, true},
    {"trace", "DATA.db", "which parts of the last answer stand verbatim in these data; a run's folder does, too",
     do_trace, false},
    {"stats", "", "tokens, speed and room in the context", do_stats, false},
    {"quit", "", "leave", do_quit, false},
    {0},
};

static err_code do_help(chat *c, str arg, err *e) {
    (void)c;
    (void)arg;
    (void)e;
    for (const slash *s = slashes; s->name; s++)
        out_printf("  /%-7s %-10s %s\n", s->name, s->arg, s->help);
    out_text(STR("\n  A line that ends with \\ goes on in the next; \"\"\" begins and ends a text of several lines;\n"
                 "  // at the beginning sends a message that begins with /. Ctrl-C stops an answer, Ctrl-D leaves.\n"));
    return ERR_OK;
}

static err_code run_slash(chat *c, str line, err *e) {
    ptrdiff_t blank = str_find(line, STR(" "), 0);
    str name = str_sub(line, 1, blank < 0 ? line.n : (size_t)blank), arg = {0};
    if (blank >= 0)
        for (arg = str_sub(line, (size_t)blank, line.n); arg.n > 0 && *arg.p == ' ';)
            arg = str_sub(arg, 1, arg.n);
    while (arg.n > 0 && arg.p[arg.n - 1] == ' ')
        arg.n--;
    const char *names[32];
    size_t n = 0;
    for (const slash *s = slashes; s->name; s++) {
        if (str_is(name, s->name) && s->needs_arg && arg.n == 0)
            return err_set(e, ERR_USAGE, "/%s: %s is missing", s->name, s->arg);
        if (str_is(name, s->name))
            return s->run(c, arg, e);
        names[n++] = s->name;
    }
    const char *near = nearest_word(name, names, n);
    return err_set(e, ERR_USAGE, "no command /%.*s (%s%s; // sends a message that begins with /)", STR_ARG(name),
                   near ? "did you mean /" : "see /", near ? near : "help");
}

/* ---- the loop ---- */

static err_code one_message(chat *c, str message, err *e) {
    if (str_starts(message, STR("//")))
        return say(c, str_sub(message, 1, message.n), e);
    if (str_starts(message, STR("/")) && str_find(message, STR("\n"), 0) < 0)
        return run_slash(c, message, e);
    for (size_t i = 0; i < message.n; i++)
        if (message.p[i] != ' ' && message.p[i] != '\n')
            return say(c, message, e);
    return ERR_OK;
}

static err_code loop(chat *c, err *e) {
    while (!c->quit) {
        line_kind kind;
        str message;
        interrupt_clear();
        TRY(line_read(c->lines, &kind, &message, e));
        if (kind == LINE_INTERRUPTED && !c->person)
            return err_set(e, ERR_CANCELLED, "stopped");
        if (kind == LINE_INTERRUPTED) {
            out_text(STR("\n"));
            out_note("/quit or Ctrl-D leaves");
            continue;
        }
        if (kind == LINE_END)
            break;
        err turn = {0};
        if (one_message(c, message, &turn) != ERR_OK) {
            out_error(&turn); /* a failed turn does not end the conversation */
            c->n_failed++;
        }
        out_flush();
        if (interrupt_flag && !c->person)
            return err_set(e, ERR_CANCELLED, "stopped");
    }
    if (c->n_failed > 0 && !c->person)
        return err_set(e, ERR_FORMAT, "%zu of the lines failed", c->n_failed);
    return ERR_OK;
}

static err_code begin(chat *c, err *e) {
    size_t ctx_tokens;
    sampler_config sampling = sampling_config(&c->v.sampling);
    TRY(sampler_check(&sampling, e));
    TRY(load_model(&c->l, c->model_path, &c->v.common, &c->v.compute, LOAD_WITH_TOKENIZER, e));
    TRY(talk_open(&c->k, c->l.t, c->model_path, &c->v.talk, e));
    TRY(shape_open(&c->form, &c->v.shape, c->l.t, false, e));
    TRY(load_ctx(c->l.m, c->v.ctx, 1, &ctx_tokens, e));
    TRY(session_open(&c->s, c->l.m, c->l.t, ctx_tokens, e));
    if (c->v.talk.system)
        TRY(dialog_system(&c->d, str_from(c->v.talk.system), e));
    TRY(line_open(&c->lines, c->person, !c->v.no_history, e));
    if (c->person) {
        str name = model_config_of(c->l.m)->name;
        out_note("%.*s, context of %zu tokens; /help lists the commands",
                 STR_ARG(name.n ? name : str_from(c->model_path)), ctx_tokens);
    }
    return ERR_OK;
}

static err_code run_command(const void *p, const arguments *args, err *e) {
    chat c = {
        .v = *(const values *)p,
        .model_path = args->arg[0],
        .person = isatty(STDIN_FILENO),
        .bar = {.what = "reading", .unit = "tokens"},
    };
    err_code code = begin(&c, e);
    interrupt_catch();
    if (code == ERR_OK)
        code = loop(&c, e);
    line_close(c.lines);
    dialog_fini(&c.d);
    session_close(c.s);
    tracer_close(&c.tracer);
    talk_close(&c.k);
    shape_close(&c.form);
    loaded_close(&c.l);
    strbuf_fini(&c.answer);
    return code;
}

const command command_chat = {
    .name = "chat",
    .args = "M",
    .summary = "a conversation in the terminal",
    .details =
        "Talks with the model by its own chat template. Lines are edited with libedit and kept in "
        "$XDG_STATE_HOME/loam/chat_history (--no-history keeps none). /help inside lists the commands. Ctrl-C stops an "
        "answer, not the program. When standard input is no terminal, every line is a message and only the answers are "
        "printed.\n"
        "With --json, every answer is one line: {\"text\", \"tokens\", \"prefill_tok_s\", \"decode_tok_s\"}.\n\n"
        "  loam chat model.gguf --system \"Answer in one sentence.\"\n"
        "  loam chat base.gguf --template plain --temp 0",
    .n_args_min = 1,
    .n_args_max = 1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_command,
};
