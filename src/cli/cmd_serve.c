/* loam serve: models behind HTTP. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/os.h"
#include "cli/load.h"
#include "cli/out.h"
#include "serve/lineage.h"
#include "serve/sandbox.h"
#include "serve/serve.h"
#include "text/utf8.h"

enum { SECRET_BYTES_MAX = 4096, PEM_BYTES_MAX = 1 << 20, NAME_BYTES_MAX = 128, READ_MAX = 1024 };

typedef struct {
    common_values common;
    compute_values compute;
    talk_values talk;
    const char *address, *unix_path, *token_file, *cert, *key;
    const char *cache_dir;
    int64_t port, ctx, parallel, queue, cache_mb, cache_disk_mb, body_mb, connections, timeout, receive, grace;
    option_list host, origin, data;
    const char *runs;
    bool sandbox, index;
} values;

static const values defaults = {
    .common = COMMON_DEFAULTS,
    .compute = COMPUTE_DEFAULTS,
    .address = "127.0.0.1",
    .port = 8080,
    .timeout = 3600,
    .receive = 60,
    .grace = 30,
    .cache_disk_mb = 2000,
    .body_mb = 16,
    .connections = 1024,
    .sandbox = true,
    .runs = ".",
};

#define AT(field) offsetof(values, field)
static const option listen_options[] = {
    {"address", 0, OPT_TEXT, "ADDR", "listen on this address; off loopback a token is required", AT(address), 0, 0,
     NULL},
    {"port", 'p', OPT_INT, "N", "listen on this port; 0: any free one", AT(port), 0, 65535, NULL},
    {"unix", 0, OPT_TEXT, "PATH", "listen on a Unix socket that only you may open, instead", AT(unix_path), 0, 0, NULL},
    {"token-file", 0, OPT_TEXT, "FILE", "requests must carry the token in this file; LOAM_TOKEN does the same",
     AT(token_file), 0, 0, NULL},
    {"tls-cert", 0, OPT_TEXT, "FILE", "speak TLS with this certificate (PEM)", AT(cert), 0, 0, NULL},
    {"tls-key", 0, OPT_TEXT, "FILE", "the certificate's key (PEM)", AT(key), 0, 0, NULL},
    {"allow-host", 0, OPT_LIST, "NAME", "a name under which clients may call this server; may be given up to 16 times",
     AT(host), 0, 0, NULL},
    {"allow-origin", 0, OPT_LIST, "ORIGIN", "web pages of this origin may ask, such as https://example.org", AT(origin),
     0, 0, NULL},
    {"no-sandbox", 0, OPT_UNFLAG, NULL, "keep rights that serving does not need: to execute, connect, open any file",
     AT(sandbox), 0, 0, NULL},
    {0},
};
static const option show_options[] = {
    {"data", 0, OPT_LIST, "D.db", "also show this data set and trace in it; may be given up to 16 times", AT(data), 0,
     0, NULL},
    {"runs", 0, OPT_TEXT, "FOLDER", "also show the runs in this folder; default: the current one", AT(runs), 0, 0,
     NULL},
    {"index", 0, OPT_FLAG, NULL, "first make the index of a served run's documents when there is none, for tracing",
     AT(index), 0, 0, NULL},
    {0},
};
static const option limit_options[] = {
    {"ctx", 'c', OPT_INT, "N",
     "positions that a request may take, prompt and answer; 0: what the model was made for, at "
     "most 8192",
     AT(ctx), 0, INT32_MAX / 2, NULL},
    {"parallel", 0, OPT_INT, "N", "requests computed together at most; 0: 16", AT(parallel), 0, 256, NULL},
    {"queue", 0, OPT_INT, "N", "requests that may wait; 0: 256", AT(queue), 0, 65536, NULL},
    {"cache", 0, OPT_INT, "MB", "memory for keys and values; 0: a quarter of the machine's", AT(cache_mb), 0, 1 << 24,
     NULL},
    {"cache-dir", 0, OPT_TEXT, "DIR", "keep prefixes of conversations in files there, so that they outlast the server",
     AT(cache_dir), 0, 0, NULL},
    {"cache-disk", 0, OPT_INT, "MB", "size of these files at most", AT(cache_disk_mb), 1, 1 << 24, NULL},
    {"max-body", 0, OPT_INT, "MB", "size of a request at most", AT(body_mb), 1, 1024, NULL},
    {"max-connections", 0, OPT_INT, "N", "open connections at most", AT(connections), 1, 1 << 20, NULL},
    {"timeout", 0, OPT_INT, "SECONDS", "a request is stopped after this time", AT(timeout), 1, 1 << 24, NULL},
    {"receive", 0, OPT_INT, "SECONDS", "a request must have arrived, and an answer go on being read, within this time",
     AT(receive), 1, 1 << 20, NULL},
    {"grace", 0, OPT_INT, "SECONDS", "when told to stop, wait so long for requests that run", AT(grace), 0, 1 << 24,
     NULL},
    {0},
};
#undef AT

static const option_group groups[] = {{"Listening", listen_options, 0},
                                      {"Runs and data", show_options, 0},
                                      {"Limits", limit_options, 0},
                                      TALK_GROUP(values),
                                      COMPUTE_GROUP(values),
                                      COMMON_GROUP,
                                      {0}};

/* A model with what serving it needs. */
typedef struct {
    loaded l;
    char name[NAME_BYTES_MAX];
    strbuf template_text; /* of a file */
    json_t *vars;
    serve_adapter lora[MODEL_ADAPTERS_MAX];
    char lora_path[MODEL_ADAPTERS_MAX][OS_PATH_BYTES], lora_name[MODEL_ADAPTERS_MAX][NAME_BYTES_MAX];
} served;

typedef struct {
    served *model;
    serve_source *source;
    size_t n;
    strbuf token, cert, key;
    listening at;
    load_place *place; /* of each model */
    lineage *lineage;
    char *read[READ_MAX]; /* what the sandbox lets be read; ends with NULL */
    size_t n_read;
    const char *write[2]; /* likewise, folders that may be written */
    sandbox_plan plan;
    unsigned parts; /* of the sandbox that are in force */
    serve_options o;
} server;

/* "models/gemma-3-270m.gguf" to "gemma-3-270m"; clients can say what it is: it is UTF-8. */
static err_code name_of(const char *path, char out[NAME_BYTES_MAX], err *e) {
    str s = os_last_part(path);
    if (str_ends(s, STR(".gguf")))
        s.n -= 5;
    strbuf good = {0};
    err_code code = utf8_repair(s, &good, e);
    if (code == ERR_OK && (good.n == 0 || good.n >= NAME_BYTES_MAX))
        code = err_set(e, ERR_USAGE, "%s: no name for a model", path);
    if (code == ERR_OK) {
        memcpy(out, good.p, good.n);
        out[good.n] = 0;
    }
    strbuf_fini(&good);
    return code;
}

static err_code read_template(served *m, serve_source *to, const values *v, err *e) {
    const chat_builtin *b = v->talk.template_name ? chat_builtin_find(v->talk.template_name) : NULL;
    if (b && b->needs && tokenizer_id_of(m->l.t, str_from(b->needs)) < 0)
        return err_set(e, ERR_USAGE, "--template %s: the vocabulary of %s has no %s", b->name, m->name, b->needs);
    if (v->talk.template_name && !b)
        TRY(os_read_file(v->talk.template_name, 1 << 20, &m->template_text, e));
    to->template_source = b                       ? str_from(b->source)
                          : v->talk.template_name ? strbuf_str(&m->template_text)
                                                  : tokenizer_chat_template(m->l.t);
    to->template_stop = b ? str_from(b->stop) : (str){0};
    if (v->talk.template_vars) {
        err_code code = json_read(str_from(v->talk.template_vars), 1 << 20, &m->vars, e);
        if (code == ERR_OK && !json_is_object(m->vars))
            code = err_set(e, ERR_USAGE, "a JSON object is expected");
        if (code != ERR_OK)
            return err_in(e, code, "--template-vars");
    }
    to->template_vars = m->vars;
    return ERR_OK;
}

/* --lora's adapters are not at work by themselves: every request says, or the server's scales say, which are. */
static err_code offer_adapters(served *m, serve_source *to, const values *v, err *e) {
    const option_list *list = &v->compute.lora;
    for (size_t i = 0; i < list->n; i++) {
        TRY(load_lora(list->item[i], m->lora_path[i], &m->lora[i].scale, e));
        TRY(name_of(m->lora_path[i], m->lora_name[i], e));
        m->lora[i].path = m->lora_path[i];
        m->lora[i].name = m->lora_name[i];
        m->lora[i].adapter = m->l.adapters[i];
    }
    model_use_adapters(m->l.m, NULL, 0);
    to->lora = m->lora;
    to->n_lora = list->n;
    return ERR_OK;
}

static err_code listen_now(server *sv, const values *v, err *e) {
    if (v->unix_path)
        return listen_unix(&sv->at, v->unix_path, e);
    return listen_tcp(&sv->at, v->address, (uint16_t)v->port, e);
}

/* The run that has made the model: the folder of RUN/model.gguf. */
static err_code add_run_of(server *sv, const char *model_path, err *e) {
    str last = os_last_part(model_path);
    run_path folder;
    if (!str_is(last, "model.gguf"))
        return ERR_OK;
    size_t n = (size_t)(last.p - model_path);
    int len = n ? snprintf(folder.text, sizeof folder.text, "%.*s", (int)n - 1, model_path)
                : snprintf(folder.text, sizeof folder.text, ".");
    return len > 0 && run_is(folder.text) ? lineage_add_run(sv->lineage, folder.text, e) : ERR_OK;
}

static err_code find_all(server *sv, const values *v, const arguments *args, err *e) {
    for (int i = 0; i < args->n; i++) {
        TRY(load_find(args->arg[i], &sv->place[i], e));
        TRY(add_run_of(sv, sv->place[i].path, e));
    }
    for (size_t i = 0; i < v->data.n; i++)
        TRY(lineage_add_data(sv->lineage, v->data.item[i].p, e));
    return lineage_add_runs(sv->lineage, v->runs, e);
}

static void show_progress(void *ctx, uint64_t done, uint64_t total) { progress_step(ctx, done, total); }

static err_code index_all(server *sv, err *e) {
    progress bar = {.what = "indexing"};
    tracer_watch watch = {.stop = &interrupt_flag, .progress = show_progress, .ctx = &bar};
    interrupt_catch();
    err_code code = lineage_index(sv->lineage, &watch, e);
    progress_end(&bar);
    return code;
}

static err_code may_read(void *ctx, const char *path, err *e) {
    server *sv = ctx;
    if (sv->n_read + 1 == READ_MAX)
        return err_set(e, ERR_LIMIT, "more than %d files and folders to read", READ_MAX - 1);
    sv->read[sv->n_read] = strdup(path);
    return sv->read[sv->n_read++] ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for a path");
}

/* Before the first thread: they inherit it. */
static err_code guard_files(server *sv, const values *v, const arguments *args, err *e) {
    for (int i = 0; i < args->n; i++)
        TRY(may_read(sv, sv->place[i].path, e));
    for (size_t i = 0; i < v->compute.lora.n; i++) {
        char path[OS_PATH_BYTES];
        float scale;
        TRY(load_lora(v->compute.lora.item[i], path, &scale, e));
        TRY(may_read(sv, path, e));
    }
    if (v->talk.template_name && !chat_builtin_find(v->talk.template_name))
        TRY(may_read(sv, v->talk.template_name, e));
    TRY(lineage_paths(sv->lineage, may_read, sv, e));
    sv->write[0] = v->cache_dir;
    if (v->cache_dir)
        TRY(prefix_files_folder(v->cache_dir, e));
    sv->plan = (sandbox_plan){.read = (const char *const *)sv->read, .write = sv->write, .remove = v->unix_path};
    return v->sandbox ? sandbox_files(&sv->plan, &sv->parts, e) : ERR_OK;
}

/* When everything runs. */
static err_code guard_calls(server *sv, serve *s, const values *v, err *e) {
    if (v->sandbox)
        TRY(sandbox_calls(&sv->plan, &sv->parts, e));
    atomic_store(&s->sandbox, sv->parts);
    if (!v->sandbox)
        out_note("WARNING: --no-sandbox: who finds a fault in the server can execute programs, open connections, and "
                 "read and write your files");
    else if (sandbox_missing(sv->parts))
        out_note("WARNING: %s", sandbox_missing(sv->parts));
    return ERR_OK;
}

static err_code load_all(server *sv, const values *v, const arguments *args, err *e) {
    for (int i = 0; i < args->n; i++) {
        served *m = &sv->model[i];
        TRY(name_of(args->arg[i], m->name, e));
        TRY(load_model(&m->l, args->arg[i], &v->common, &v->compute, LOAD_WITH_TOKENIZER, e));
        sv->n = (size_t)i + 1;
        sv->source[i] =
            (serve_source){.name = m->name, .path = sv->place[i].path, .m = m->l.m, .pool = m->l.pool, .t = m->l.t};
        sv->source[i].run = lineage_run_of_model(sv->lineage, sv->place[i].path);
        TRY(read_template(m, &sv->source[i], v, e));
        TRY(offer_adapters(m, &sv->source[i], v, e));
    }
    return ERR_OK;
}

static err_code read_secrets(server *sv, const values *v, err *e) {
    if (v->token_file) {
        TRY(os_read_file(v->token_file, SECRET_BYTES_MAX, &sv->token, e));
        while (sv->token.n > 0 && strchr(" \t\r\n", sv->token.p[sv->token.n - 1]))
            sv->token.n--;
    } else if (getenv("LOAM_TOKEN"))
        TRY(strbuf_add(&sv->token, str_from(getenv("LOAM_TOKEN")), e));
    if ((v->token_file || getenv("LOAM_TOKEN")) && sv->token.n == 0)
        return err_set(e, ERR_USAGE, "%s: the token is empty", v->token_file ? v->token_file : "LOAM_TOKEN");
    TRY(strbuf_addc(&sv->token, 0, e));
    if (v->cert)
        TRY(os_read_file(v->cert, PEM_BYTES_MAX, &sv->cert, e));
    if (v->key)
        TRY(os_read_file(v->key, PEM_BYTES_MAX, &sv->key, e));
    TRY(strbuf_addc(&sv->cert, 0, e));
    return strbuf_addc(&sv->key, 0, e);
}

static void fill_options(server *sv, const values *v) {
    http_options *h = &sv->o.http;
    sv->o.version = LOAM_VERSION;
    sv->o.lineage = sv->lineage;
    sv->o.cache_folder = v->cache_dir;
    sv->o.cache_folder_bytes = (uint64_t)v->cache_disk_mb * 1000000;
    sv->o.engine = (engine_options){
        .ctx_tokens = (size_t)v->ctx,
        .n_running = (size_t)v->parallel,
        .n_queued = (size_t)v->queue,
        .cache_bytes = (size_t)v->cache_mb * 1000000,
    };
    h->at = &sv->at;
    h->token = sv->token.n > 1 ? sv->token.p : NULL;
    h->tls_cert = v->cert ? sv->cert.p : NULL;
    h->tls_key = v->key ? sv->key.p : NULL;
    h->n_host_ok = v->host.n;
    h->n_origin_ok = v->origin.n;
    for (size_t i = 0; i < HTTP_ALLOW_MAX; i++) {
        h->host_ok[i] = v->host.item[i];
        h->origin_ok[i] = v->origin.item[i];
    }
    h->body_bytes = (size_t)v->body_mb << 20;
    h->bodies_bytes = 8 * h->body_bytes;
    h->connections = (unsigned)v->connections;
    h->request_seconds = (unsigned)v->timeout;
    h->receive_seconds = h->idle_seconds = (unsigned)v->receive;
}

/* As many descriptors as connections may need. */
static void raise_files(void) {
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max < 65536 ? r.rlim_max : 65536;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

static void stop_signals(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
}

/* While requests end: another signal means now. */
static void *wait_hurry(void *flag) {
    sigset_t set;
    int which;
    stop_signals(&set);
    if (sigwait(&set, &which) == 0)
        *(volatile int *)flag = 1;
    return NULL;
}

static err_code serve_until_told(serve *s, const values *v, err *e) {
    sigset_t set;
    int which = 0;
    volatile int hurry = 0;
    pthread_t waiter;
    if (v->common.json) {
        js_out j = {.e = e};
        js_begin(&j, '{');
        js_key(&j, "url");
        js_text(&j, str_from(http_url(s->h)));
        js_end(&j, '}');
        TRY(js_print(&j));
    } else
        out_printf("%s\n", http_url(s->h));
    out_flush();
    out_note("listening on %s; Ctrl-C stops", http_url(s->h));
    stop_signals(&set);
    while (sigwait(&set, &which) != 0)
        ;
    out_note("stopping: waiting up to %d s for requests that run; again to stop now", (int)v->grace);
    bool waits = pthread_create(&waiter, NULL, wait_hurry, (void *)(uintptr_t)&hurry) == 0;
    serve_drain(s, (double)v->grace, &hurry);
    if (waits) {
        pthread_kill(waiter, SIGTERM); /* its sigwait() returns */
        pthread_join(waiter, NULL);
    }
    return ERR_OK;
}

static void server_close(server *sv) {
    for (size_t i = 0; sv->model && i < SERVE_MODELS_MAX; i++) {
        served *m = &sv->model[i];
        loaded_close(&m->l);
        strbuf_fini(&m->template_text);
        json_decref(m->vars);
    }
    free(sv->model);
    free(sv->source);
    free(sv->place);
    if (sv->lineage)
        lineage_fini(sv->lineage);
    free(sv->lineage);
    for (size_t i = 0; i < sv->n_read; i++)
        free(sv->read[i]);
    listen_close(&sv->at);
    if (sv->token.p)
        explicit_bzero(sv->token.p, sv->token.n);
    if (sv->key.p)
        explicit_bzero(sv->key.p, sv->key.n);
    strbuf_fini(&sv->token);
    strbuf_fini(&sv->cert);
    strbuf_fini(&sv->key);
}

static err_code run_command(const void *p, const arguments *args, err *e) {
    const values *v = p;
    server sv = {.model = calloc(SERVE_MODELS_MAX, sizeof *sv.model),
                 .source = calloc(SERVE_MODELS_MAX, sizeof *sv.source),
                 .place = calloc(SERVE_MODELS_MAX, sizeof *sv.place),
                 .lineage = calloc(1, sizeof *sv.lineage),
                 .at.fd = -1};
    serve *s = NULL;
    sigset_t set;
    err_code code =
        sv.model && sv.source && sv.place && sv.lineage ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for the models");
    if (code == ERR_OK && args->n > SERVE_MODELS_MAX)
        code = err_set(e, ERR_USAGE, "%d models (at most %d)", args->n, SERVE_MODELS_MAX);
    if (code == ERR_OK)
        code = read_secrets(&sv, v, e);
    if (code == ERR_OK)
        code = listen_now(&sv, v, e);
    if (code == ERR_OK)
        code = find_all(&sv, v, args, e);
    if (code == ERR_OK && v->index)
        code = index_all(&sv, e);
    if (code == ERR_OK)
        code = guard_files(&sv, v, args, e);
    if (code == ERR_OK)
        code = load_all(&sv, v, args, e);
    if (code == ERR_OK) {
        raise_files();
        signal(SIGPIPE, SIG_IGN);
        stop_signals(&set); /* for sigwait(); the server's threads inherit it */
        pthread_sigmask(SIG_BLOCK, &set, NULL);
        fill_options(&sv, v);
        code = serve_open(&s, sv.source, sv.n, &sv.o, e);
    }
    if (code == ERR_OK)
        code = guard_calls(&sv, s, v, e);
    if (code == ERR_OK)
        code = serve_until_told(s, v, e);
    serve_close(s);
    server_close(&sv);
    return code;
}

const command command_serve = {
    .name = "serve",
    .args = "M...",
    .summary = "models behind HTTP, for clients of OpenAI, Anthropic and Ollama",
    .details =
        "Prints the address and answers until Ctrl-C or SIGTERM; then it takes no new requests and lets those that run "
        "end. "
        "A model's name is its file's without .gguf. The same request gets the same answer, whatever runs beside it; "
        "without \"seed\" the seed is 0. A prompt that does not fit is an error and never cut.\n"
        "Only this machine can reach it unless --address says otherwise, and then a token is required. Pages of other "
        "origins may not ask.\n"
        "OpenAI: /v1/models, /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/responses. Anthropic: "
        "/v1/messages, "
        "/v1/messages/count_tokens. Ollama: /api/tags, show, ps, version, chat, generate, embed. Also /tokenize, "
        "/detokenize, "
        "/tokenizer_info, /apply-template, /health, /metrics; /loam/models, trace, runs, data, card show what the "
        "models "
        "are made of.\n\n"
        "  loam serve model.gguf\n"
        "  loam serve small.gguf large.gguf --port 8000 --ctx 4096\n"
        "  loam serve model.gguf --address 0.0.0.0 --token-file token --tls-cert cert.pem --tls-key key.pem",
    .n_args_min = 1,
    .n_args_max = -1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_command,
};
