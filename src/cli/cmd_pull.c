/* loam pull: a model from somewhere else into the registry. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "cli/catalogue.h"
#include "cli/command.h"
#include "cli/kept.h"
#include "cli/out.h"
#include "hub/huggingface.h"
#include "hub/ollama.h"
#include "hub/take.h"
#include "model/arch.h"

typedef struct {
    common_values common;
    bool yes, offline, allow_http, replace, all;
    int64_t connections, retries, stall;
    const char *name;
} values;

static const values defaults = {.common = COMMON_DEFAULTS, .connections = 4, .retries = 5, .stall = 30};

#define AT(field) offsetof(values, field)
static const option pull_options[] = {
    {"name", 0, OPT_TEXT, "NAME", "the name in the registry, instead of one from the reference", AT(name), 0, 0, NULL},
    {"yes", 'y', OPT_FLAG, NULL, "also when this machine has too little memory or disk for it", AT(yes), 0, 0, NULL},
    {"replace", 0, OPT_FLAG, NULL, "also when the name belongs to a model from elsewhere", AT(replace), 0, 0, NULL},
    {"all", 0, OPT_FLAG, NULL, "without REF: the models that do not fit, too", AT(all), 0, 0, NULL},
    {0},
};
static const option net_options[] = {
    {"offline", 0, OPT_FLAG, NULL, "ask no host: only what this machine has already", AT(offline), 0, 0, NULL},
    {"connections", 0, OPT_INT, "N", "parts of a file that are downloaded at a time", AT(connections), 1,
     HTTP_CONNECTIONS_MAX, NULL},
    {"retries", 0, OPT_INT, "N", "how often a request that fails is tried again", AT(retries), 0, 100, NULL},
    {"stall", 0, OPT_INT, "SECONDS", "give up a connection that brings less than 1 KB/s for so long", AT(stall), 1,
     3600, NULL},
    {"allow-http", 0, OPT_FLAG, NULL, "also http:// to other machines, which anybody on the way can change",
     AT(allow_http), 0, 0, NULL},
    {0},
};
#undef AT

static const option_group groups[] = {{"Pull", pull_options, 0}, {"Network", net_options, 0}, COMMON_GROUP, {0}};

/* ---- where from ---- */

static void note(const char *text) { out_note("%s", text); }

static const char *endpoint(const char *first, const char *second, const char *otherwise) {
    const char *a = getenv(first), *b = second ? getenv(second) : NULL;
    return a && *a ? a : b && *b ? b : otherwise;
}

static http_options options_of(const values *v) {
    http_options o = {
        .hf_endpoint = endpoint("LOAM_HF_ENDPOINT", "HF_ENDPOINT", "https://huggingface.co"),
        .ollama_endpoint = endpoint("LOAM_OLLAMA_ENDPOINT", NULL, "https://registry.ollama.ai"),
        .offline = v->offline,
        .allow_http = v->allow_http,
        .connections = (int)v->connections,
        .retries = (int)v->retries,
        .stall_seconds = (long)v->stall,
        .stop = &interrupt_flag,
        .note = note,
    };
    huggingface_token(o.token);
    return o;
}

static err_code find_offline(offer *out, const hub_ref *ref, err *e) {
    char cache[OS_PATH_BYTES];
    bool found = false;
    TRY(ref->kind == REF_HF ? huggingface_cache(cache, e) : ollama_store(cache, e));
    TRY(ref->kind == REF_HF ? huggingface_cached(out, ref, cache, &found, e)
                            : ollama_cached(out, ref, cache, &found, e));
    return found ? ERR_OK
                 : err_set(e, ERR_IO, "it is not on this machine: %s has it not (without --offline the hub is asked)",
                           cache);
}

static err_code find_offer(offer *out, const hub_ref *ref, const http_options *o, err *e) {
    switch (ref->kind) {
    case REF_HF:
        return o->offline ? find_offline(out, ref, e) : huggingface_offer(out, ref, o, e);
    case REF_OLLAMA:
        return o->offline ? find_offline(out, ref, e) : ollama_offer(out, ref, o, e);
    case REF_URL:
        return take_url_offer(out, ref, o, e);
    case REF_FILE:
        break;
    }
    return take_local_offer(out, ref, e);
}

/* ---- whether it can run here ---- */

typedef struct {
    uint64_t memory, disk; /* what it needs */
    char obstacle[300];    /* empty: none */
} fit;

static uint64_t to_download(const registry *r, const offer *o) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < o->n; i++) {
        const fetch_what *w = &o->file[i].what;
        bool here = o->file[i].place.n > 0 || (w->digest == DIGEST_SHA256 && registry_has(r, w->sha256, w->bytes));
        bytes += here || w->bytes == HTTP_UNKNOWN ? 0 : w->bytes;
    }
    return bytes;
}

static fit fit_of(const registry *r, const offer *o) {
    fit f = {.memory = offer_memory_bytes(o->bytes == HTTP_UNKNOWN ? 0 : o->bytes), .disk = to_download(r, o)};
    struct statvfs s;
    char place[OS_PATH_BYTES];
    uint64_t memory = os_memory_bytes();
    bool known = o->family.n == 0 || (o->gguf ? arch_by_gguf(o->family) : arch_by_name(o->family));
    bool has_disk = registry_partial_path(r, "", place, NULL) == ERR_OK && statvfs(place, &s) == 0;
    uint64_t room = has_disk ? (uint64_t)s.f_bavail * s.f_frsize : UINT64_MAX;
    if (!known)
        snprintf(f.obstacle, sizeof f.obstacle, "Loam does not run its architecture, \"%.*s\" (it runs %s)",
                 STR_ARG(o->family), arch_names());
    else if (memory > 0 && f.memory > memory)
        snprintf(f.obstacle, sizeof f.obstacle, "it needs about %s of memory, this machine has %s",
                 amount_bytes((double)f.memory).text, amount_bytes((double)memory).text);
    else if (f.disk > room)
        snprintf(f.obstacle, sizeof f.obstacle, "it needs %s of disk, %s are free", amount_bytes((double)f.disk).text,
                 amount_bytes((double)room).text);
    return f;
}

static void describe(const char *name, const offer *o, const fit *f) {
    amount size = {"of unknown size"};
    if (o->bytes != HTTP_UNKNOWN)
        size = amount_bytes((double)o->bytes);
    out_note("%s from %.*s: licence %.*s; %s, %s to download; needs about %s of memory", name, STR_ARG(o->source),
             STR_ARG(o->licence.n ? o->licence : STR("not told")), size.text, amount_bytes((double)f->disk).text,
             amount_bytes((double)f->memory).text);
}

/* Whether to go on in spite of an obstacle: yes without asking, no without anybody to ask. */
static err_code agree(const values *v, const fit *f, err *e) {
    char answer[16] = "";
    if (!*f->obstacle || v->yes)
        return ERR_OK;
    if (isatty(STDIN_FILENO) && err_is_terminal()) {
        out_note("%s. Pull it all the same? [y/N]", f->obstacle);
        if (fgets(answer, sizeof answer, stdin) && (*answer == 'y' || *answer == 'Y'))
            return ERR_OK;
        return err_set(e, ERR_CANCELLED, "not pulled");
    }
    return err_set(e, ERR_LIMIT, "%s (-y pulls it all the same)", f->obstacle);
}

/* ---- results ---- */

static void show_progress(void *ctx, str name, uint64_t done, uint64_t total) {
    (void)name;
    progress_step(ctx, done, total);
}

static err_code print_json(const char *name, const offer *o, const fit *f, const taken *t, err *e) {
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_put_text(&j, "name", str_from(name));
    js_put_text(&j, "source", o->source);
    js_put_text(&j, "revision", o->revision);
    js_put_text(&j, "licence", o->licence);
    js_put_text(&j, "family", o->family);
    js_put_hash(&j, "id", t->id);
    js_put_text(&j, "path", str_from(t->path));
    js_put_text(&j, "obstacle", str_from(f->obstacle));
    js_put_int(&j, "files", (int64_t)o->n);
    js_put_int(&j, "memory_bytes", (int64_t)f->memory);
    js_put_int(&j, "downloaded_bytes", (int64_t)t->downloaded);
    js_put_int(&j, "shared_bytes", (int64_t)t->shared);
    js_put_int(&j, "kept_bytes", (int64_t)t->kept);
    js_end(&j, '}');
    return js_print(&j);
}

static err_code take(const values *v, registry *r, const offer *o, const http_options *http, err *e) {
    progress bar = {.what = "pulling"};
    take_options how = {
        .name = v->name, .replace = v->replace, .now = time(NULL), .progress = show_progress, .ctx = &bar};
    taken t;
    char name[REGISTRY_NAME_MAX + 1];
    str wanted = v->name ? str_from(v->name) : o->name;
    TRY(registry_name_check(wanted, e));
    snprintf(name, sizeof name, "%.*s", (int)wanted.n, wanted.p);
    fit f = fit_of(r, o);
    describe(name, o, &f);
    TRY(agree(v, &f, e));
    err_code code = take_offer(r, o, http, &how, &t, e);
    progress_end(&bar);
    TRY(code);
    if (v->common.json)
        return print_json(name, o, &f, &t, e);
    out_printf("%s\n", name);
    return ERR_OK;
}

static err_code pull(const values *v, const char *text, err *e) {
    http_options http = options_of(v);
    hub_ref ref;
    offer o = {0};
    registry *r;
    TRY(ref_parse(&ref, str_from(text), e));
    TRY(http_init(e));
    interrupt_catch();
    TRY(kept_open(&r, true, e));
    err_code code = find_offer(&o, &ref, &http, e);
    if (code == ERR_OK)
        code = take(v, r, &o, &http, e);
    offer_close(&o);
    registry_close(r);
    return code;
}

static err_code run_command(const void *p, const arguments *args, err *e) {
    const values *v = p;
    return args->n ? pull(v, args->arg[0], e) : catalogue_print(v->all, v->common.json, e);
}

const command command_pull = {
    .name = "pull",
    .args = "[REF]",
    .summary = "download a model, or show which ones fit this machine",
    .details = "REF is hf:ORG/REPO[@REVISION][:QUANT or :FILE] (Hugging Face), ollama:[NAMESPACE/]NAME[:TAG], a URL of "
               "a .gguf "
               "file, or a file or folder of this machine. The model is then known by name to every command (loam "
               "list). Without "
               "REF: open models that this machine can run, the most open first.\n"
               "A pull that was stopped or killed goes on where it was when it is begun again. What comes is checked "
               "against the digest that its source names: SHA-256, or for the small files of a Hugging Face repository "
               "git's SHA-1. A URL names none; its own SHA-256 is recorded. "
               "A file that this machine has already, in the cache of Hugging Face's or "
               "Ollama's programs or your own, is linked and not copied. Of a Hugging Face repository only GGUF or "
               "safetensors and JSON files are taken; of a GGUF model in several files "
               "(NAME-00001-of-00003.gguf) all, whichever is named.\n"
               "A gated model needs a token: HF_TOKEN, HF_TOKEN_PATH, or the file that huggingface-cli login writes; "
               "it is sent to "
               "that hub alone. Mirrors: LOAM_HF_ENDPOINT (or HF_ENDPOINT), LOAM_OLLAMA_ENDPOINT; proxies: "
               "https_proxy; certificates: SSL_CERT_FILE. Models "
               "are kept in LOAM_HOME, else in loam under XDG_DATA_HOME or ~/.local/share.\n"
               "With --json: one object.\n\n"
               "  loam pull\n"
               "  loam pull hf:allenai/OLMo-2-0425-1B-Instruct-GGUF:Q4_K_M\n"
               "  loam pull ollama:gemma3:270m --name gemma\n"
               "  loam pull ./model.gguf",
    .n_args_min = 0,
    .n_args_max = 1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_command,
};
