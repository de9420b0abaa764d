/* load: see load.h. */
#include "cli/load.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "cli/kept.h"
#include "cli/out.h"

static const char *const weights_names[] = {"stored", "f32", NULL};

const option compute_options[] = {
    {"weights", 0, OPT_CHOICE, "FORM",
     "compute with the weights as stored, or with every weight dequantised to f32 when loading",
     offsetof(compute_values, weights), 0, 0, weights_names},
    {"lora", 0, OPT_LIST, "A[:SCALE]",
     "with this adapter: a folder as peft writes it, or a GGUF file; SCALE 0.5 takes half of it; may be given several "
     "times",
     offsetof(compute_values, lora), 0, 0, NULL},
    {0},
};

#define AT(field) offsetof(sampling_values, field)
const option sampling_options[] = {
    {"temp", 0, OPT_REAL, "T", "temperature; 0 always takes the likeliest token", AT(temp), 0, 100, NULL},
    {"top-k", 0, OPT_INT, "K", "choose among the K likeliest tokens; 0: all", AT(top_k), 0, INT32_MAX, NULL},
    {"top-p", 0, OPT_REAL, "P", "choose among the likeliest tokens that together have probability P; 1: all", AT(top_p),
     0, 1, NULL},
    {"min-p", 0, OPT_REAL, "P", "drop tokens below P times the probability of the likeliest; 0: none", AT(min_p), 0, 1,
     NULL},
    {"repeat-penalty", 0, OPT_REAL, "R", "divide the logits of tokens that occurred by R; 1: off", AT(repeat_penalty),
     0.01, 100, NULL},
    {"presence-penalty", 0, OPT_REAL, "A", "subtract A from the logits of tokens that occurred; 0: off",
     AT(presence_penalty), -100, 100, NULL},
    {"frequency-penalty", 0, OPT_REAL, "A", "subtract A for each time a token occurred; 0: off", AT(frequency_penalty),
     -100, 100, NULL},
    {"repeat-last-n", 0, OPT_INT, "N", "tokens that the penalties look back on; -1: all", AT(repeat_last_n), -1,
     INT32_MAX, NULL},
    {"seed", 0, OPT_INT, "S", "seed of the draws; the same seed gives the same text on every machine", AT(seed), 0,
     9007199254740992.0, NULL},
    {0},
};
#undef AT

sampler_config sampling_config(const sampling_values *v) {
    return (sampler_config){
        .temperature = (float)v->temp,
        .top_k = (int)v->top_k,
        .top_p = (float)v->top_p,
        .min_p = (float)v->min_p,
        .repetition_penalty = (float)v->repeat_penalty,
        .presence_penalty = (float)v->presence_penalty,
        .frequency_penalty = (float)v->frequency_penalty,
        .penalty_last_n = (int)v->repeat_last_n,
        .seed = (uint64_t)v->seed,
    };
}

/* ---- model and tokenizer ---- */

static bool join(load_place *out, const char *folder, const char *between, const char *name) {
    int n = snprintf(out->path, sizeof out->path, "%s%s%s", folder, between, name);
    return n > 0 && (size_t)n < sizeof out->path;
}

/* Where models stand that came with the program. */
enum { SHIPPED_PLACES = 3 };
static size_t shipped_places(load_place out[SHIPPED_PLACES]) {
    char exe[2048];
    join(&out[0], "models", "", "");
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0)
        return 1;
    exe[n] = 0;
    char *slash = strrchr(exe, '/');
    if (!slash)
        return 1;
    *slash = 0;
    return join(&out[1], exe, "/../", "models") && join(&out[2], exe, "/../", "share/loam/models") ? SHIPPED_PLACES : 1;
}

static bool find_shipped(const char *name, load_place *out) {
    load_place place[SHIPPED_PLACES];
    if (!*name || strchr(name, '/') || *name == '.')
        return false;
    for (size_t i = 0, n = shipped_places(place); i < n; i++)
        if (join(out, place[i].path, "/", name) && os_exists(out->path))
            return true;
    return false;
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

static void add_names(const char *folder, load_names *out) {
    DIR *d = opendir(folder);
    for (struct dirent *f; d && out->n < LOAD_NAMES_MAX && (f = readdir(d));)
        if (f->d_name[0] != '.' && strlen(f->d_name) < sizeof *out->name)
            memcpy(out->name[out->n++], f->d_name, strlen(f->d_name) + 1);
    if (d)
        closedir(d);
}

void load_shipped(load_names *out) {
    load_place place[SHIPPED_PLACES];
    size_t n_once = 0;
    out->n = 0;
    for (size_t i = 0, n = shipped_places(place); i < n; i++)
        add_names(place[i].path, out);
    qsort(out->name, out->n, sizeof *out->name, by_name);
    for (size_t i = 0; i < out->n; i++)
        if (n_once == 0 || strcmp(out->name[n_once - 1], out->name[i]) != 0)
            memmove(out->name[n_once++], out->name[i], sizeof *out->name);
    out->n = n_once;
}

/* A run folder stands for the model it has made. */
static err_code find_made(load_place *out, const char *m, err *e) {
    load_place config, recipe, made;
    if (!os_is_dir(out->path) || !join(&config, out->path, "/", "config.json") || os_exists(config.path) ||
        !join(&recipe, out->path, "/", "recipe.json") || !os_exists(recipe.path) ||
        !join(&made, out->path, "/", "model.gguf"))
        return ERR_OK;
    if (!os_exists(made.path) && (!join(&made, out->path, "/", "model") || !os_is_dir(made.path)))
        return err_set(e, ERR_IO, "%s: the run has not ended, so there is no model.gguf yet (loam train %s goes on)", m,
                       m);
    *out = made;
    return ERR_OK;
}

err_code load_find(const char *m, load_place *out, err *e) {
    if (!*m)
        return err_set(e, ERR_USAGE, "the model's name is empty");
    if (!join(out, m, "", ""))
        return err_set(e, ERR_LIMIT, "%.400s...: the path is too long", m);
    if (os_exists(m) || find_shipped(m, out))
        return find_made(out, m, e);
    bool found;
    TRY(kept_find(m, out->path, &found, e));
    return found ? ERR_OK
                 : err_set(
                       e, ERR_IO,
                       "%s: there is no such file or folder, and no model of this name (loam list has the names, loam "
                       "pull fetches one)",
                       m);
}

err_code load_check_path(const char *path, err *e) {
    load_place place;
    return load_find(path, &place, e);
}

/* Workers inherit a mask without SIGINT: Ctrl-C must reach the thread that waits at the prompt. */
static err_code open_pool(loaded *l, int threads, err *e) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    err_code code = pool_open(&l->pool, threads, e);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    return code;
}

static void show_loading(void *ctx, size_t done, size_t total) { progress_step(ctx, done, total); }

static err_code open_tokenizer(loaded *l, const char *path, err *e) {
    const gguf_file *g = model_gguf(l->m);
    return g ? tokenizer_open_gguf(&l->t, g, e) : tokenizer_open_folder(&l->t, path, e);
}

/* ---- adapters ---- */

err_code load_lora(str text, char path[OS_PATH_BYTES], float *scale, err *e) {
    double number = 1;
    if (text.n >= OS_PATH_BYTES || memchr(text.p, 0, text.n))
        return err_set(e, ERR_USAGE, "--lora: the path is too long");
    memcpy(path, text.p, text.n);
    path[text.n] = 0;
    *scale = 1;
    char *colon = strrchr(path, ':');
    if (!colon || os_exists(path))
        return ERR_OK;
    TRY(parse_real("--lora A:SCALE", colon + 1, -100, 100, &number, e));
    *colon = 0;
    *scale = (float)number;
    return ERR_OK;
}

static err_code open_adapters(loaded *l, const option_list *list, err *e) {
    adapter_use use[OPTION_LIST_MAX];
    for (size_t i = 0; i < list->n; i++) {
        char path[OS_PATH_BYTES];
        TRY(load_lora(list->item[i], path, &use[i].mix, e));
        TRY(adapter_open(&l->adapters[i], l->m, path, e));
        use[i].adapter = l->adapters[i];
    }
    model_use_adapters(l->m, use, list->n);
    return ERR_OK;
}

err_code load_model(loaded *l, const char *path, const common_values *common, const compute_values *compute,
                    load_what what, err *e) {
    load_place place;
    TRY(load_find(path, &place, e));
    TRY(open_pool(l, (int)common->threads, e));
    progress bar = {.what = "loading"};
    model_options o = {
        .pool = l->pool,
        .isa = common->isa,
        .weights = strcmp(compute->weights, "f32") == 0 ? MODEL_WEIGHTS_F32 : MODEL_WEIGHTS_STORED,
        .plan = what == LOAD_PLAN,
        .progress = show_loading,
        .progress_ctx = &bar,
    };
    err_code code = model_open(&l->m, place.path, &o, e);
    progress_end(&bar);
    if (code == ERR_OK && what == LOAD_WITH_TOKENIZER)
        code = open_tokenizer(l, place.path, e);
    if (code == ERR_OK && what != LOAD_PLAN)
        code = open_adapters(l, &compute->lora, e);
    return code;
}

void loaded_close(loaded *l) {
    tokenizer_close(l->t);
    for (size_t i = 0; i < MODEL_ADAPTERS_MAX; i++)
        adapter_close(l->adapters[i]);
    model_close(l->m);
    pool_close(l->pool);
    *l = (loaded){0};
}

err_code load_vocabulary(vocabulary *v, const char *path, err *e) {
    load_place place;
    TRY(load_find(path, &place, e));
    if (os_is_dir(place.path))
        return tokenizer_open_folder(&v->t, place.path, e);
    TRY(gguf_open(&v->file, place.path, e));
    v->is_open = true;
    return tokenizer_open_gguf(&v->t, &v->file, e);
}

void vocabulary_close(vocabulary *v) {
    tokenizer_close(v->t);
    if (v->is_open)
        gguf_close(&v->file);
    *v = (vocabulary){0};
}

err_code load_ctx(const model *m, int64_t asked, size_t need, size_t *ctx_tokens, err *e) {
    size_t trained = model_config_of(m)->ctx_train, ctx = (size_t)asked;
    if (asked <= 0) {
        for (ctx = LOAD_CTX_DEFAULT; ctx < need && ctx < CONFIG_CTX_MAX / 2;)
            ctx *= 2;
        if (trained > 0 && ctx > trained)
            ctx = trained;
    } else if (trained > 0 && ctx > trained)
        out_note("--ctx %zu is more than the %zu positions the model was made for", ctx, trained);
    size_t bytes = model_kv_bytes(m, ctx) + model_scratch_bytes(m, ctx);
    uint64_t memory = os_memory_bytes();
    if (memory > 0 && bytes > memory)
        return err_set(e, ERR_LIMIT, "a context of %zu tokens needs %s, this machine has %s (choose a smaller --ctx)",
                       ctx, amount_bytes((double)bytes).text, amount_bytes((double)memory).text);
    *ctx_tokens = ctx;
    return ERR_OK;
}

err_code load_text(const char *path, strbuf *out, err *e) {
    if (strcmp(path, "-") == 0)
        return os_read_stdin(LOAD_TEXT_BYTES_MAX, out, e);
    return os_read_file(path, LOAD_TEXT_BYTES_MAX, out, e);
}

/* ---- conversation ---- */

const option talk_options[] = {
    {"system", 0, OPT_TEXT, "TEXT", "what the model is told before the conversation", offsetof(talk_values, system), 0,
     0, NULL},
    {"template", 0, OPT_TEXT, "NAME|FILE",
     "chat template instead of the model's own: chatml, gemma, llama3, plain, or a Jinja file",
     offsetof(talk_values, template_name), 0, 0, NULL},
    {"template-vars", 0, OPT_TEXT, "JSON", "variables for the template, such as {\"enable_thinking\":false}",
     offsetof(talk_values, template_vars), 0, 0, NULL},
    {0},
};

static err_code builtin_template(talk *k, const tokenizer *t, const chat_builtin *b, err *e) {
    if (b->needs && tokenizer_id_of(t, str_from(b->needs)) < 0)
        return err_set(e, ERR_USAGE, "--template %s: this model's vocabulary has no %s (\"plain\" needs nothing)",
                       b->name, b->needs);
    k->stop = str_from(b->stop);
    return chat_open(&k->program, t, str_from(b->source), e);
}

static err_code file_template(talk *k, const tokenizer *t, const char *path, err *e) {
    if (!os_exists(path))
        return err_set(e, ERR_IO, "--template %s: neither a file nor one of chatml, gemma, llama3, plain", path);
    strbuf source = {0};
    err_code code = os_read_file(path, 1 << 20, &source, e);
    if (code == ERR_OK) {
        code = chat_open(&k->program, t, strbuf_str(&source), e);
        if (code != ERR_OK)
            err_in(e, code, "%s", path);
    }
    strbuf_fini(&source);
    return code;
}

err_code talk_open(talk *k, const tokenizer *t, const char *model_path, const talk_values *v, err *e) {
    *k = (talk){.options = {.generation_prompt = true, .now = time(NULL)}};
    if (v->template_vars) {
        err_code code = json_read(str_from(v->template_vars), 1 << 20, &k->vars, e);
        if (code == ERR_OK && !json_is_object(k->vars))
            code = err_set(e, ERR_USAGE, "a JSON object is expected");
        if (code != ERR_OK)
            return err_in(e, code, "--template-vars");
        k->options.vars = k->vars;
    }
    const chat_builtin *b = v->template_name ? chat_builtin_find(v->template_name) : NULL;
    if (b)
        return builtin_template(k, t, b, e);
    if (v->template_name)
        return file_template(k, t, v->template_name, e);
    str own = tokenizer_chat_template(t);
    if (own.n == 0)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: the model has no chat template, so it was probably not trained to converse "
                       "(`loam run` continues a text; --template plain|chatml|gemma|llama3|FILE chats all the same)",
                       model_path);
    err_code code = chat_open(&k->program, t, own, e);
    return code == ERR_OK ? code : err_in(e, code, "%s", model_path);
}

void talk_close(talk *k) {
    chat_close(k->program);
    json_decref(k->vars);
    *k = (talk){0};
}

/* ---- results ---- */

static const char *reason(stop_reason why) {
    switch (why) {
    case STOP_NONE:
        return "an error";
    case STOP_END_TOKEN:
        return "the model's end token";
    case STOP_STRING:
        return "a stop string";
    case STOP_LENGTH:
        return "the limit -n";
    case STOP_CONTEXT:
        return "the full context";
    case STOP_CANCELLED:
        return "Ctrl-C";
    case STOP_COMPLETE:
        return "the grammar, by which nothing may follow";
    }
    return "";
}

void note_result(const generate_result *r, size_t ctx_tokens) {
    out_note("prompt %zu tokens (%zu from cache), %.1f tokens/s; answer %zu tokens, %.1f tokens/s; ended by %s; "
             "context %zu of %zu",
             r->n_prompt, r->n_cached, generate_prefill_rate(r), r->n_generated, generate_decode_rate(r),
             reason(r->why), r->n_prompt + r->n_generated, ctx_tokens);
}

err_code print_result_json(str text, const int32_t *ids, size_t n, const generate_result *r, err *e) {
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_key(&j, "text");
    js_text(&j, text);
    js_key(&j, "tokens");
    js_begin(&j, '[');
    for (size_t i = 0; i < n; i++)
        js_int(&j, ids[i]);
    js_end(&j, ']');
    js_key(&j, "prefill_tok_s");
    js_real(&j, generate_prefill_rate(r), 6);
    js_key(&j, "decode_tok_s");
    js_real(&j, generate_decode_rate(r), 6);
    js_end(&j, '}');
    return js_print(&j);
}
