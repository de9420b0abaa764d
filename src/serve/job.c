/* job: see job.h.
 *
 * Invariant: the job is freed by whoever brings `left` to 0, after the call has been answered or ended.
 */
#include "serve/job.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/os.h"
#include "text/utf8.h"

static void job_free(job *j) {
    if (!j)
        return;
    for (size_t i = 0; i < j->n_choices; i++) {
        job_choice *c = &j->choice[i];
        strbuf_fini(&c->text);
        for (size_t k = 0; k < c->n_parts; k++)
            strbuf_fini(&c->part[k].own);
        free(c->part);
        thinking_fini(&c->thinking);
        tool_parser_fini(&c->parser);
        free(c->token);
        free(c->top);
        tok_ids_fini(&c->ids);
        constraint_end(&c->place);
    }
    constraint_close(j->form);
    grammar_close(j->p.grammar);
    for (size_t i = 0; i < j->n_prompts; i++)
        tok_ids_fini(&j->prompt[i]);
    arena_fini(&j->mem);
    json_decref(j->keep);
    json_decref(j->body);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

/* ---- ending ---- */

static void answer_error(job *j) {
    if (!http_pushed(j->call)) {
        if (j->fail_status == 503)
            http_add_header(j->call, "Retry-After", "1");
        reply_error(j->call, j->fail_status, j->fail_code, j->why.text);
        return;
    }
    if (j->d->fail)
        j->d->fail(j, &j->why);
    else {
        sse_push(j->call, NULL, error_json(api_of_path(http_path(j->call)), j->fail_status, j->fail_code, j->why.text));
        sse_done(j->call);
    }
    http_end(j->call);
}

static void complete(job *j) {
    if (j->fail_code == ERR_OK)
        j->d->finish(j);
    else
        answer_error(j);
    job_free(j);
}

static void note_failure(job *j, int status, err_code code, const err *e) { /* locked */
    if (j->fail_code != ERR_OK)
        return;
    j->fail_status = status;
    j->fail_code = code;
    j->why = *e;
}

static void cancel(job *j) {
    pthread_mutex_lock(&j->lock);
    j->cancelled = true;
    for (size_t i = 0; i < j->n_choices; i++)
        if (j->choice[i].ticket && !j->choice[i].done)
            engine_cancel(j->m->g, j->choice[i].ticket);
    pthread_mutex_unlock(&j->lock);
}

static void on_gone(void *ctx) { cancel(ctx); }

/* One choice less; at the last one the job ends. */
static void release(job *j, size_t n) {
    pthread_mutex_lock(&j->lock);
    bool last = (j->left -= n) == 0;
    pthread_mutex_unlock(&j->lock);
    if (last)
        complete(j);
}

/* ---- the engine's callbacks ---- */

static bool grow(void **p, size_t *cap, size_t need, size_t size) {
    if (need <= *cap)
        return true;
    size_t n = *cap ? 2 * *cap : 64;
    n = n < need ? need : n;
    void *q = realloc(*p, n * size);
    if (!q)
        return false;
    *p = q;
    *cap = n;
    return true;
}

static bool keep_token(job_choice *c, const engine_token *t) {
    if (!grow((void **)&c->token, &c->cap_tokens, c->n_tokens + 1, sizeof *c->token) ||
        !grow((void **)&c->top, &c->cap_top, c->n_top + t->n_top, sizeof *c->top))
        return false;
    c->token[c->n_tokens++] = (job_token){t->token, c->n_top, t->n_top, c->text.n};
    for (size_t i = 0; i < t->n_top; i++)
        c->top[c->n_top++] = t->top[i];
    return true;
}

static void stop_listening(job *j) {
    j->deaf = true;
    cancel(j);
}

static void short_of_memory(job *j) {
    err e;
    err_set(&e, ERR_MEMORY, "no memory for the answer");
    pthread_mutex_lock(&j->lock);
    note_failure(j, 503, ERR_MEMORY, &e);
    pthread_mutex_unlock(&j->lock);
    stop_listening(j);
}

/* Is there a stream to speak to? Opens it the first time. */
static bool speaks(job *j) {
    if (!j->p.stream || j->deaf)
        return false;
    if (!j->opened && j->d->open && !j->d->open(j)) {
        stop_listening(j);
        return false;
    }
    j->opened = true;
    return true;
}

/* Passes text on to a stream. */
static void say(job_choice *c, str text) {
    c->said = true;
    if (speaks(c->j) && !c->j->d->piece(c, text))
        stop_listening(c->j);
}

static void say_part(job_choice *c, bool (*how)(job_choice *c, const job_part *p)) {
    if (how && speaks(c->j) && !how(c, &c->part[c->n_parts - 1]))
        stop_listening(c->j);
}

/* ---- parts ---- */

static job_part *last_part(const job_choice *c) { return c->n_parts > 0 ? &c->part[c->n_parts - 1] : NULL; }

static bool goes_on(const job_choice *c, job_part_kind kind) { return last_part(c) && last_part(c)->kind == kind; }

static err_code new_part(job_choice *c, job_part_kind kind, err *e) {
    if (last_part(c) && !goes_on(c, PART_CALL))
        say_part(c, c->j->d->end);
    if (!grow((void **)&c->part, &c->cap_parts, c->n_parts + 1, sizeof *c->part))
        return err_set(e, ERR_MEMORY, "no memory for the answer");
    c->part[c->n_parts++] = (job_part){.kind = kind, .from = c->text.n, .to = c->text.n};
    return ERR_OK;
}

static err_code hear_text(job_choice *c, str text, err *e) {
    if (!goes_on(c, PART_TEXT)) {
        TRY(new_part(c, PART_TEXT, e));
        say_part(c, c->j->d->begin);
    }
    TRY(strbuf_add(&c->text, text, e));
    last_part(c)->to = c->text.n;
    say(c, text);
    return ERR_OK;
}

/* The same request calls by the same ids; another turn of the conversation by others. */
static err_code name_call(job_choice *c, job_part *p, err *e) {
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const tok_ids *ids = &c->j->prompt[c->prompt];
    hash_state *h;
    TRY(hash_open(&h, e));
    char which[64];
    snprintf(which, sizeof which, "%llu %zu %zu", (unsigned long long)c->j->p.sampling.seed, c->index, c->n_parts);
    hash_add(h, which, strlen(which));
    hash_add(h, ids->id, ids->n * sizeof *ids->id);
    hash256 digest = hash_close(h);
    for (size_t i = 0; i < JOB_CALL_ID_BYTES; i++)
        p->id[i] = letters[digest.byte[i] % 62];
    return ERR_OK;
}

static err_code hear_call(job_choice *c, str name, err *e) {
    TRY(new_part(c, PART_CALL, e));
    job_part *p = last_part(c);
    p->name = json_get_str(tool_find(c->j->tools.list, name), "name", (str){0});
    TRY(name_call(c, p, e));
    say_part(c, c->j->d->begin);
    return ERR_OK;
}

static err_code hear_args(job_choice *c, str text, err *e) {
    job *j = c->j;
    TRY(strbuf_add(&last_part(c)->own, text, e));
    if (j->d->args && speaks(j) && !j->d->args(c, last_part(c), text))
        stop_listening(j);
    return ERR_OK;
}

/* Who was told of the call already hears of its end here, and what is left is text. Else all of it is. */
static err_code hear_broken(job_choice *c, const tool_event *event, err *e) {
    if (c->j->p.stream && c->j->d->args) {
        say_part(c, c->j->d->end);
        return event->rest.n > 0 ? hear_text(c, event->rest, e) : ERR_OK;
    }
    strbuf_fini(&c->part[--c->n_parts].own);
    return hear_text(c, event->text, e);
}

static err_code hear(void *ctx, const tool_event *event, err *e) {
    job_choice *c = ctx;
    switch (event->kind) {
    case TOOL_TEXT:
        return hear_text(c, event->text, e);
    case TOOL_BEGIN:
        return hear_call(c, event->text, e);
    case TOOL_ARGS:
        return hear_args(c, event->text, e);
    case TOOL_END:
        say_part(c, c->j->d->end);
        return ERR_OK;
    case TOOL_BROKEN:
        break;
    }
    return hear_broken(c, event, e);
}

static err_code hear_thought(job_choice *c, str text, err *e) {
    job *j = c->j;
    if (!goes_on(c, PART_THOUGHT)) {
        TRY(new_part(c, PART_THOUGHT, e));
        say_part(c, j->d->begin);
    }
    TRY(strbuf_add(&last_part(c)->own, text, e));
    c->said = true;
    if (speaks(j) && !j->d->thought(c, last_part(c), text))
        stop_listening(j);
    return ERR_OK;
}

static err_code hear_either(void *ctx, bool thought, str text, err *e) {
    job_choice *c = ctx;
    return thought ? hear_thought(c, text, e) : tool_parser_feed(&c->parser, text, e);
}

/* Where control tokens are printed, the one that ends the answer is still no text. */
static str without_end(const job_choice *c, str text) {
    const tokenizer *t = c->j->m->source.t;
    int32_t id = c->ids.n > 0 ? c->ids.id[c->ids.n - 1] : -1;
    if ((!c->j->tools.list && !c->j->marks) || id < 0 || id >= tokenizer_n_vocab(t) || !tokenizer_is_end(t, id))
        return text;
    str piece = tokenizer_piece(t, id);
    return str_ends(text, piece) ? str_sub(text, 0, text.n - piece.n) : text;
}

static void on_prompt(void *ctx, const engine_token *t) {
    job_choice *c = ctx;
    if (c->j->deaf)
        return;
    bool good = keep_token(c, t);
    c->n_prompt_tokens = c->n_tokens;
    if (!good || strbuf_add(&c->text, t->text, NULL) != ERR_OK)
        short_of_memory(c->j);
}

static void on_token(void *ctx, const engine_token *t) {
    job_choice *c = ctx;
    job *j = c->j;
    if (j->deaf)
        return;
    c->said = false;
    if (tok_ids_add(&c->ids, t->token.id, NULL) != ERR_OK || (j->p.logprobs && !keep_token(c, t)) ||
        thinking_feed(&c->thinking, without_end(c, t->text), NULL) != ERR_OK)
        short_of_memory(j);
    else if (!c->said) /* its log probability */
        say(c, (str){0});
    c->n_thought += c->thinking.state == THINKING_INSIDE;
}

/* The last words. */
static err_code end_text(job_choice *c, str text, err *e) {
    TRY(thinking_feed(&c->thinking, without_end(c, text), e));
    TRY(thinking_end(&c->thinking, e));
    TRY(tool_parser_end(&c->parser, e));
    if (c->n_parts == 0)
        TRY(hear_text(c, (str){0}, e));
    if (!goes_on(c, PART_CALL))
        say_part(c, c->j->d->end);
    return ERR_OK;
}

static void on_done(void *ctx, const generate_result *r, str text, err_code code, const err *e) {
    job_choice *c = ctx;
    job *j = c->j;
    c->result = *r;
    pthread_mutex_lock(&j->lock);
    c->done = true;
    c->ticket = NULL;
    if (code != ERR_OK)
        note_failure(j, status_of(code), code, e);
    bool fine = j->fail_code == ERR_OK;
    pthread_mutex_unlock(&j->lock);
    if (fine && end_text(c, text, NULL) != ERR_OK)
        short_of_memory(j);
    else if (fine && j->p.stream && !j->deaf && j->d->close && !j->d->close(c))
        stop_listening(j);
    release(j, 1);
}

/* ---- starting ---- */

static err_code submit(job *j, job_choice *c, err *e, bool *busy) {
    params *p = &j->p;
    const tok_ids *ids = &j->prompt[c->prompt];
    engine_request r = {
        .ids = ids->id,
        .n = ids->n,
        .sampling = p->sampling,
        .n_max = p->n_max,
        .stop = p->stop,
        .n_stop = p->n_stop,
        .special = p->special,
        .ignore_end = p->ignore_end,
        .adapters = j->adapters,
        .n_adapters = j->n_adapters,
        .bias = p->bias,
        .n_bias = p->n_bias,
        .n_top = p->n_top,
        .logprobs = p->logprobs,
        .prompt_too = p->logprobs && j->echo,
        .prompt_only = p->nothing,
        .grammar = j->form ? &c->place : NULL,
        .on_prompt = on_prompt,
        .on_token = on_token,
        .on_done = on_done,
        .ctx = c,
    };
    engine_ticket *ticket = NULL;
    r.sampling.seed += c->index % p->n; /* each of n texts is another draw */
    err_code code = engine_submit(j->m->g, &r, &ticket, busy, e);
    if (code != ERR_OK)
        return code;
    pthread_mutex_lock(&j->lock);
    c->begun = true;
    if (!c->done) {
        c->ticket = ticket;
        if (j->cancelled)
            engine_cancel(j->m->g, ticket);
    }
    pthread_mutex_unlock(&j->lock);
    return ERR_OK;
}

static void start(job *j) {
    size_t n = 0;
    for (; n < j->n_choices; n++) {
        err e = {0};
        bool busy = false;
        err_code code = submit(j, &j->choice[n], &e, &busy);
        if (code == ERR_OK)
            continue;
        pthread_mutex_lock(&j->lock);
        note_failure(j, busy ? 503 : status_of(code), code, &e);
        pthread_mutex_unlock(&j->lock);
        cancel(j);
        break;
    }
    release(j, j->n_choices - n + 1);
}

static err_code plan_choices(job *j, err *e) {
    params *p = &j->p;
    if (j->n_prompts == 0)
        return err_set(e, ERR_USAGE, "the prompt is empty");
    j->n_choices = 0;
    if (j->n_prompts * p->n > SERVE_CHOICES_MAX)
        return err_set(e, ERR_USAGE, "%zu texts in one request (prompts times n): at most %d", j->n_prompts * p->n,
                       SERVE_CHOICES_MAX);
    ARENA_NEW(&j->mem, j->choice, j->n_prompts * p->n, e);
    j->n_choices = j->n_prompts * p->n;
    const tool_format *f = j->tools.list ? j->m->tools.format : NULL;
    for (size_t i = 0; i < j->n_choices; i++) {
        job_choice *c = &j->choice[i];
        *c = (job_choice){.j = j, .index = i, .prompt = i / p->n};
        thinking_init(&c->thinking, j->marks, j->answer_begins, hear_either, c);
        tool_parser_init(&c->parser, f, j->tools.list, j->tools.most, hear, c);
    }
    if (j->chat && j->m->source.template_stop.n > 0 && p->n_stop < STOPS_MAX)
        p->stop[p->n_stop++] = j->m->source.template_stop;
    j->left = j->n_choices + 1;
    return ERR_OK;
}

/* Before any choice runs: from then on the cursors are the engine's thread's. */
static err_code plan_form(job *j, err *e) {
    const token_tree *tree;
    const tool_wish *w = &j->tools;
    if (w->list && w->required) {
        if (j->p.grammar)
            return err_set(e, ERR_USAGE, "tool_choice: a call is asked for, and a form of the answer, too");
        TRY(tool_grammar(j->m->tools.format, w->list, w->only, w->most, &j->p.grammar, e));
    }
    if (!j->p.grammar)
        return ERR_OK;
    if (j->marks)
        TRY(thinking_grammar(j->marks, j->answer_begins, &j->p.grammar, e));
    TRY(serve_tree(j->s, j->m, j->p.special, &tree, e));
    grammar *g = j->p.grammar;
    j->p.grammar = NULL;
    TRY(constraint_open(&j->form, g, tree, e));
    for (size_t i = 0; i < j->n_choices; i++)
        constraint_begin(j->form, &j->choice[i].place);
    return ERR_OK;
}

/* A job whose body has been read. */
static err_code job_new(job **out, serve *s, http_call *c, json_t *body, const job_dialect *d, err *e) {
    const serve_model *m;
    TRY(serve_find(s, body, &m, e));
    job *j = calloc(1, sizeof *j);
    if (!j)
        return err_set(e, ERR_MEMORY, "no memory for the request");
    *j = (job){.s = s, .m = m, .call = c, .d = d, .body = json_incref(body), .p = params_plain(), .keep = json_array()};
    pthread_mutex_init(&j->lock, NULL);
    j->id = atomic_fetch_add(&s->next_id, 1);
    j->created = time(NULL);
    j->begun = os_now();
    err_code code = j->keep ? serve_adapters(m, body, j->adapters, &j->n_adapters, e)
                            : err_set(e, ERR_MEMORY, "no memory for the request");
    if (code == ERR_OK)
        code = d->read(j, e);
    if (code == ERR_OK)
        code = plan_choices(j, e);
    if (code == ERR_OK)
        code = plan_form(j, e);
    if (code != ERR_OK) {
        job_free(j);
        return code;
    }
    *out = j;
    return ERR_OK;
}

err_code job_run(serve *s, http_call *c, json_t *body, const job_dialect *d, err *e) {
    job *j = NULL;
    TRY(job_new(&j, s, c, body, d, e));
    http_on_gone(c, on_gone, j);
    start(j);
    return ERR_OK;
}

err_code job_count(serve *s, http_call *c, json_t *body, const job_dialect *d, size_t *n, err *e) {
    job *j = NULL;
    TRY(job_new(&j, s, c, body, d, e));
    *n = job_prompt_tokens(j);
    job_free(j);
    return ERR_OK;
}

/* ---- prompts ---- */

chat_options serve_chat_options(const serve_model *m, const json_t *vars, bool answer) {
    time_t now = time(NULL);
    return (chat_options){
        .generation_prompt = answer, .now = now - now % 86400, .vars = vars ? vars : m->source.template_vars};
}

static err_code next_prompt(job *j, tok_ids **out, err *e) {
    if (!j->prompt) {
        ARENA_NEW(&j->mem, j->prompt, SERVE_CHOICES_MAX, e);
        ARENA_NEW(&j->mem, j->prompt_text, SERVE_CHOICES_MAX, e);
    }
    if (j->n_prompts == SERVE_CHOICES_MAX)
        return err_set(e, ERR_USAGE, "more than %d prompts in one request", SERVE_CHOICES_MAX);
    *out = &j->prompt[j->n_prompts++];
    return ERR_OK;
}

turns job_turns(job *j) { return (turns){.mem = &j->mem, .keep = j->keep}; }

err_code job_add_chat(job *j, const turns *t, bool answer, const json_t *vars, err *e) {
    tok_ids *ids;
    tool_talk fitted;
    if (!j->m->chat)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s has no chat template (loam serve --template NAME gives it one; /v1/completions needs none)",
                       j->m->source.name);
    if (vars && !json_is_object(vars))
        return err_set(e, ERR_USAGE, "chat_template_kwargs: an object is expected");
    if (t->n == 0)
        return err_set(e, ERR_USAGE, "messages: at least one is needed");
    TRY(next_prompt(j, &ids, e));
    j->chat = true;
    j->marks = j->d->thought && !j->think.as_text ? j->m->thinking : NULL;
    j->p.special = (j->tools.list && j->m->tools.special) || (j->marks && j->m->thinking_special);
    TRY(think_vars(&j->think, j->m->source.template_vars, vars, j->keep, &vars, e));
    chat_options o = serve_chat_options(j->m, vars, answer);
    TRY(tool_turns(&j->m->tools, t->m, t->n, j->tools.list, &j->mem, j->keep, &fitted, e));
    o.tools = fitted.tools;
    TRY(chat_encode(j->m->chat, fitted.m, fitted.n, &o, ids, e));
    return j->marks ? thinking_begins(j->marks, j->m->source.t, ids->id, ids->n, &j->answer_begins, e) : ERR_OK;
}

err_code job_add_text(job *j, str text, unsigned flags, err *e) {
    tok_ids *ids;
    TRY(next_prompt(j, &ids, e));
    j->prompt_text[j->n_prompts - 1] = text;
    return tokenizer_encode(j->m->source.t, text, flags, ids, e);
}

err_code job_add_ids(job *j, const json_t *list, err *e) {
    tok_ids *ids;
    strbuf text = {0};
    TRY(next_prompt(j, &ids, e));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        int64_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || id >= tokenizer_n_vocab(j->m->source.t))
            return err_set(e, ERR_USAGE, "prompt: token %zu is no id of the vocabulary (0 to %d)", i,
                           (int)tokenizer_n_vocab(j->m->source.t) - 1);
        TRY(tok_ids_add(ids, (int32_t)id, e));
    }
    if (!j->echo)
        return ERR_OK;
    strbuf raw = {0};
    err_code code = tokenizer_decode(j->m->source.t, ids->id, ids->n, j->p.special, &raw, e);
    if (code == ERR_OK)
        code = utf8_repair(strbuf_str(&raw), &text, e);
    if (code == ERR_OK) {
        j->prompt_text[j->n_prompts - 1] = arena_str(&j->mem, strbuf_str(&text));
        if (!j->prompt_text[j->n_prompts - 1].p)
            code = arena_short(e, text.n, 1);
    }
    strbuf_fini(&raw);
    strbuf_fini(&text);
    return code;
}

/* ---- facts for dialects ---- */

size_t job_prompt_tokens(const job *j) {
    size_t n = 0;
    for (size_t i = 0; i < j->n_prompts; i++)
        n += j->prompt[i].n;
    return n;
}

size_t job_cached_tokens(const job *j) {
    size_t n = 0;
    for (size_t i = 0; i < j->n_choices; i += j->p.n)
        n += j->choice[i].result.n_cached;
    return n;
}

size_t job_answer_tokens(const job *j) {
    size_t n = 0;
    for (size_t i = 0; i < j->n_choices; i++)
        n += j->choice[i].result.n_generated;
    return n;
}

size_t job_thought_tokens(const job *j) {
    size_t n = 0;
    for (size_t i = 0; i < j->n_choices; i++)
        n += j->choice[i].n_thought;
    return n;
}

bool job_called(const job_choice *c) {
    bool any = false;
    for (size_t i = 0; i < c->n_parts; i++)
        any = any || c->part[i].kind == PART_CALL;
    return any && job_ended_by_text(c);
}

bool job_ended_by_text(const job_choice *c) {
    return c->result.why == STOP_END_TOKEN || c->result.why == STOP_STRING || c->result.why == STOP_COMPLETE;
}

str job_text(const job_choice *c) {
    size_t from = 0;
    if (c->n_prompt_tokens > 0) {
        from = c->text.n;
        if (c->n_tokens > c->n_prompt_tokens)
            from = c->token[c->n_prompt_tokens].text_at;
    }
    return str_sub(strbuf_str(&c->text), from, c->text.n);
}

str job_thought(const job_choice *c) { /* it stands before everything else, or nowhere */
    return c->n_parts > 0 && c->part[0].kind == PART_THOUGHT ? strbuf_str(&c->part[0].own) : (str){0};
}

str job_stop_found(const job_choice *c) {
    const params *p = &c->j->p;
    strbuf raw = {0};
    str found = {0};
    ptrdiff_t best = -1;
    if (c->result.why != STOP_STRING ||
        tokenizer_decode(c->j->m->source.t, c->ids.id, c->ids.n, p->special, &raw, NULL) != ERR_OK) {
        strbuf_fini(&raw);
        return found;
    }
    for (size_t i = 0; i < p->n_stop; i++) {
        ptrdiff_t at = str_find(strbuf_str(&raw), p->stop[i], 0);
        if (at >= 0 && (best < 0 || at < best)) {
            best = at;
            found = p->stop[i];
        }
    }
    strbuf_fini(&raw);
    return str_eq(found, c->j->m->source.template_stop) ? (str){0} : found;
}

err_code token_text(const tokenizer *t, int32_t id, strbuf *out, err *e) {
    strbuf raw = {0};
    if (id < 0 || id >= tokenizer_n_vocab(t))
        return ERR_OK; /* a padding row */
    err_code code = tokenizer_decode_next(t, 1, id, true, &raw, e);
    if (code == ERR_OK)
        code = utf8_repair(strbuf_str(&raw), out, e);
    strbuf_fini(&raw);
    return code;
}

double logprob_shown(double x) { return x > -9999 ? x : -9999; }
