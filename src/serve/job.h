/* job: the texts of one HTTP request, from the engine to the client.
 *
 *   job_run: model, read(body) -> prompts, params -> one engine request a prompt and text -> tokens, text -> dialect
 *
 * The dialect says how an API words it. Its functions are called one at a time: read() on the intake's thread, the
 * others on the engine's thread, or, when nothing reached the engine, on the intake's. When the client has gone the
 * engine's requests are cancelled; a client that reads too slowly counts as gone.
 *
 * Proved by test_serve.c and test/e2e/test_serve.py.
 */
#ifndef LOAM_SERVE_JOB_H
#define LOAM_SERVE_JOB_H

#include <pthread.h>

#include "gen/thinking.h"
#include "gen/tool_parser.h"
#include "serve/params.h"
#include "serve/serve.h"
#include "serve/think.h"
#include "serve/tools.h"
#include "serve/turns.h"

typedef struct job job;

/* A token that was told, kept when params.logprobs. */
typedef struct {
    engine_scored token;
    size_t top_at, n_top; /* in choice.top */
    size_t text_at;       /* bytes of choice.text when it came */
} job_token;

enum { JOB_CALL_ID_BYTES = 9 }; /* letters and digits: Mistral's templates take no other length */

typedef enum { PART_TEXT, PART_CALL, PART_THOUGHT } job_part_kind;

/* Part of an answer: a text, the call of a tool, or what was thought before. */
typedef struct {
    job_part_kind kind;
    size_t from, to; /* a text's, in choice.text */
    str name;        /* a call's; borrowed from the request */
    strbuf own;      /* a call's arguments, JSON; a thought's text */
    char id[JOB_CALL_ID_BYTES + 1];
} job_part;

typedef struct {
    job *j;
    size_t index, prompt; /* of the text, of the prompt it continues */
    strbuf text;          /* of the prompt too when told; calls and thoughts are not in it */
    job_part *part;       /* the answer in its order; at its end at least one */
    size_t n_parts, cap_parts;
    job_token *token;
    size_t n_tokens, cap_tokens, n_prompt_tokens; /* told; the first n_prompt_tokens are the prompt's */
    engine_scored *top;
    size_t n_top, cap_top;
    tok_ids ids;      /* generated */
    size_t n_thought; /* of them in a thought */
    size_t text_sent; /* the dialect's own */
    generate_result result;
    /* job.c's */
    constraint_cursor place;
    thinking thinking; /* what it lets through goes into the parser */
    tool_parser parser;
    bool said; /* a piece was told for this token */
    engine_ticket *ticket;
    bool begun, done;
} job_choice;

typedef struct {
    /* Fills j->p and adds prompts. */
    err_code (*read)(job *j, err *e);
    /* Streams alone, may be NULL: before the first piece. false: nobody listens. */
    bool (*open)(job *j);
    /* Streams alone: text (may be empty) that has come; tokens told since c->... are in c->token. */
    bool (*piece)(job_choice *c, str text);
    /* Streams alone, may be NULL: a part (the last of c->part) begins; more of a call's arguments; it ends. Without
     * args() a call is told of when it is whole. */
    bool (*begin)(job_choice *c, const job_part *p);
    bool (*args)(job_choice *c, const job_part *p, str text);
    /* More of a thought. Without it thoughts are text, also where nothing streams. */
    bool (*thought)(job_choice *c, const job_part *p, str text);
    bool (*end)(job_choice *c, const job_part *p);
    /* Streams alone, may be NULL: a text has ended. */
    bool (*close)(job_choice *c);
    /* Everything has ended well: http_answer(), or http_end() of a stream. */
    void (*finish)(job *j);
    /* What a stream that has begun says of an error; NULL: {"error"} in the path's shape as an event. */
    void (*fail)(job *j, const err *e);
} job_dialect;

struct job {
    serve *s;
    const serve_model *m;
    http_call *call;
    json_t *body;
    const job_dialect *d;
    params p;
    adapter_use adapters[MODEL_ADAPTERS_MAX];
    size_t n_adapters;
    tool_wish tools; /* read() fills both before it adds prompts */
    think_wish think;
    json_t *keep; /* values made for this request */
    arena mem;
    tok_ids *prompt; /* [n_prompts] */
    str *prompt_text;
    size_t n_prompts, n_choices;
    job_choice *choice; /* [n_choices] prompt by prompt */
    uint64_t id;
    int64_t created; /* Unix time */
    double begun;    /* os_now() */
    size_t n_events; /* the dialect's own */
    bool chat, echo, aux;
    /* job.c's */
    constraint *form;            /* of p.grammar, for all choices; NULL: none */
    const thinking_marks *marks; /* thoughts are told apart by these; NULL: not at all */
    thinking_state answer_begins;
    pthread_mutex_t lock;
    size_t left; /* choices that have not ended, and one while job_run() submits */
    bool cancelled, deaf, opened;
    int fail_status;
    err_code fail_code;
    err why;
};

/* A route's whole work. An error is the caller's to answer; ERR_OK: answered, or promised. */
err_code job_run(serve *s, http_call *c, json_t *body, const job_dialect *d, err *e);

/* Reads as job_run() does and counts the prompts' tokens; nothing runs. */
err_code job_count(serve *s, http_call *c, json_t *body, const job_dialect *d, size_t *n, err *e);

/* For read(): a prompt of messages through the model's template with j->tools, of a text, of ids. */
turns job_turns(job *j); /* to be filled for job_add_chat() */
/* vars: of the request, before those of the model; NULL: none. */
err_code job_add_chat(job *j, const turns *t, bool answer, const json_t *vars, err *e);
err_code job_add_text(job *j, str text, unsigned flags, err *e);
err_code job_add_ids(job *j, const json_t *ids, err *e);

size_t job_prompt_tokens(const job *j); /* of all prompts */
size_t job_cached_tokens(const job *j);
size_t job_answer_tokens(const job *j);
size_t job_thought_tokens(const job *j);
bool job_called(const job_choice *c);        /* it ended, and tools are to be called */
bool job_ended_by_text(const job_choice *c); /* the model's end, or a stop string; else a limit */
/* The client's stop string that ended the text; empty: none did. */
str job_stop_found(const job_choice *c);
str job_text(const job_choice *c);    /* without the prompt's */
str job_thought(const job_choice *c); /* empty: none */

/* What a token is called: its text, repaired. Appends. */
err_code token_text(const tokenizer *t, int32_t id, strbuf *out, err *e);
double logprob_shown(double x); /* a number that JSON can have: at least -9999 */

/* For chat_encode(): the day, so that prefixes stay the same over a conversation. */
chat_options serve_chat_options(const serve_model *m, const json_t *vars, bool answer);

#endif
