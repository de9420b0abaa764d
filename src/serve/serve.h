/* serve: models behind HTTP: what all routes share.
 *
 * serve_open() gives each model an engine (gen/engine.h) and listens; requests find their handler in route.c's table.
 * A handler checks everything on the intake's thread (intake.h), then either answers or hands a job (job.h) to the
 * engine. Errors go out in the shape of the API that the path belongs to.
 *
 * The same request gives the same answer: without "seed" the seed is 0, and what else runs changes no bit.
 */
#ifndef LOAM_SERVE_SERVE_H
#define LOAM_SERVE_SERVE_H

#include <stdatomic.h>

#include "gen/chat.h"
#include "gen/engine.h"
#include "gen/thinking.h"
#include "gen/tool_turns.h"
#include "serve/http.h"
#include "serve/page.h"
#include "serve/prefix_files.h"
#include "serve/worker.h"

enum {
    SERVE_MODELS_MAX = 32, /* with those of one adapter each */
    SERVE_NAME_BYTES = 512,
    SERVE_JSON_VALUES_MAX = 1 << 18,
    SERVE_JSON_DEPTH_MAX = 64,
    SERVE_CHOICES_MAX = 128 /* texts of one request: prompts times n */
};

/* An adapter of a model that requests may choose. */
typedef struct {
    const char *name, *path;
    const adapter *adapter;
    float scale; /* of requests that say nothing, until somebody changes it (POST /lora-adapters) */
} serve_adapter;

/* A model to serve; everything is the caller's and must outlive the server. */
typedef struct {
    const char *name, *path;
    const char *run; /* of options.lineage, whose model it is; NULL: of none known */
    model *m;
    pool *pool; /* m's */
    const tokenizer *t;
    str template_source; /* empty: no conversations */
    str template_stop;   /* a stop string that the format needs; empty: none */
    const json_t *template_vars;
    const serve_adapter *lora; /* [n_lora]; "id" in requests is the place here */
    size_t n_lora;
} serve_source;

/* A model, or one with a certain adapter ("NAME:ADAPTER"): a copy of the model but for the first four, which owns none
 * of it. */
typedef struct serve_model {
    serve_source source;
    struct serve_model *of;                  /* whose engine and template these are; NULL: its own */
    size_t i_lora;                           /* with `of`: this adapter is at work, whole */
    _Atomic float scale[MODEL_ADAPTERS_MAX]; /* of source.lora now */
    char name[SERVE_NAME_BYTES];             /* with `of` */
    engine *g;
    chat_template *chat;            /* NULL: none */
    tool_style tools;               /* with `chat` */
    const thinking_marks *thinking; /* how it marks what it thinks before it answers; NULL: it does not */
    bool thinking_special;          /* by control tokens */
    uint64_t bytes;                 /* of the weights in memory */
    token_tree *tree[2];     /* for grammars, without and with control tokens' spelling; made when first needed */
    prefix_files_model kept; /* its prefixes in files, where the server has such */
    pooling pooling;         /* how a text becomes one vector */
    err_code pooling_code;
    err pooling_why; /* ERR_OK, or why it cannot */
} serve_model;

typedef struct lineage lineage;

typedef struct serve {
    serve_model model[SERVE_MODELS_MAX];
    size_t n_models;
    http *h;
    lineage *lineage; /* the desk's thread alone opens what is in it */
    worker *desk, *intake;
    page_tags tags;
    prefix_files *kept; /* NULL: no prefixes in files */
    const char *version;
    int64_t begun; /* Unix time */
    atomic_uint_fast64_t next_id;
    atomic_uint sandbox; /* SANDBOX_*: parts in force; whoever opened the server sets it */
} serve;

typedef struct {
    http_options http;        /* handle, refuse, open_path and ctx are filled in */
    engine_options engine;    /* without a store */
    const char *cache_folder; /* prefixes outlast the server there (serve/prefix_files.h); NULL: they do not */
    uint64_t cache_folder_bytes;
    lineage *lineage; /* runs and data to show; must outlive the server */
    const char *version;
} serve_options;

err_code serve_open(serve **out, const serve_source *models, size_t n, const serve_options *o, err *e);
/* Takes no new requests, lets those that run end within `seconds`, cancels the rest. `*hurry` nonzero: now. */
void serve_drain(serve *s, double seconds, volatile const int *hurry);
void serve_close(serve *s); /* NULL allowed */

/* ---- for the routes ---- */

/* The APIs, by the shape of their errors. */
typedef enum { API_OPENAI, API_ANTHROPIC, API_OLLAMA } api;
api api_of_path(str path);
int status_of(err_code code); /* USAGE, FORMAT, LIMIT, UNSUPPORTED 400; IO 404; MEMORY, CANCELLED 503; else 500 */
/* LIMIT of a body or a form becomes FORMAT: clients are told a LIMIT as "context_length_exceeded". e may be NULL. */
err_code status_malformed(err_code code, err *e);

void reply_json(http_call *c, int status, json_t *v);                        /* takes v; NULL: 500 */
void reply_error(http_call *c, int status, err_code code, const char *what); /* in the path's shape */
json_t *error_json(api a, int status, err_code code, const char *what);      /* a new reference or NULL */
/* One event of a stream; takes v. false: stop. event NULL: data alone. */
bool sse_push(http_call *c, const char *event, json_t *v);
bool sse_done(http_call *c);             /* data: [DONE] */
bool line_push(http_call *c, json_t *v); /* one line of JSON (Ollama) */

/* The model that the body names; none named: the first. Unknown: ERR_IO. */
err_code serve_find(serve *s, const json_t *body, const serve_model **out, err *e);
const serve_model *serve_find_name(const serve *s, str name); /* "name" or "name:latest"; NULL: none */

/* The adapters that are at work for a request to m: those of its "lora", [{"id", "scale"}], and no others; without it
 * the one that the model's name says, or all by their scales. */
err_code serve_adapters(const serve_model *m, const json_t *body, adapter_use use[MODEL_ADAPTERS_MAX], size_t *n,
                        err *e);

/* On the intake's thread. */
err_code serve_tree(serve *s, const serve_model *m, bool special, const token_tree **out, err *e);

/* The body of a request as an object (or, `list`, as an array), with its limits: bytes, values, depth; *out is a new
 * reference. */
err_code body_parse(str text, bool list, json_t **out, err *e);

#endif
