/* run: see run.h. */
#include "train/run.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "text/json.h"
#include "train/init.h"
#include "train/stream.h"

enum { FILE_BYTES_MAX = 256 << 20, INPUTS_BYTES_MAX = 1 << 20, TEMPLATE_BYTES_MAX = 1 << 20 };

err_code run_file(const run *r, const char *name, run_path *out, err *e) {
    return os_join(out->text, r->path, name, e);
}

bool run_is(const char *path) {
    run_path p;
    return os_join(p.text, path, "recipe.json", NULL) == ERR_OK && os_exists(p.text);
}

err_code run_chain(const run *r, chain *c, err *e) {
    run_path p;
    *c = (chain){0};
    TRY(run_file(r, "chain.jsonl", &p, e));
    return os_exists(p.text) ? chain_read(c, p.text, e) : ERR_OK;
}

/* ---- making one ---- */

static err_code make_folder(const char *path, err *e) {
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return ERR_OK;
    return err_set(e, ERR_IO, "%s: cannot be created: %s", path, strerror(errno));
}

/* Nothing that is not ours may stand there: whoever gave a wrong path does not want it filled. */
static err_code check_folder(const char *path, err *e) {
    static const char *const ours[] = {".", "..", "tokenizer", "inputs.json", "template.jinja"};
    DIR *d = opendir(path);
    if (!d)
        return err_set(e, ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    err_code code = ERR_OK;
    for (struct dirent *x; code == ERR_OK && (x = readdir(d));) {
        bool known = str_ends(str_from(x->d_name), STR(".tmp"));
        for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
            known = known || strcmp(x->d_name, ours[i]) == 0;
        if (!known)
            code = err_set(e, ERR_USAGE, "%s: is not empty and holds no run (%s is there; choose another folder)", path,
                           x->d_name);
    }
    closedir(d);
    return code;
}

static err_code copy_file(const char *from, const char *to, err *e) {
    strbuf bytes = {0};
    err_code code = os_read_regular(from, FILE_BYTES_MAX, &bytes, e);
    if (code == ERR_OK)
        code = os_write_file(to, strbuf_str(&bytes), e);
    strbuf_fini(&bytes);
    return code;
}

static err_code copy_tokenizer(const char *given, const char *folder, err *e) {
    run_path from, to;
    TRY(make_folder(folder, e));
    for (int i = 0; i < TOKENS_FILES_N; i++) {
        TRY(os_join(to.text, folder, tokens_files[i], e));
        if (os_is_dir(given))
            TRY(os_join(from.text, given, tokens_files[i], e));
        else if (i == 0)
            snprintf(from.text, sizeof from.text, "%s", given);
        else
            break;
        if (i == 0 || os_exists(from.text))
            TRY(copy_file(from.text, to.text, e));
    }
    return ERR_OK;
}

/* The run may be continued from another folder. */
static err_code quote_path(const char *path, strbuf *out, err *e) {
    char *whole = docs_is_made(path) ? NULL : realpath(path, NULL);
    err_code code = json_quote(str_from(whole ? whole : path), out, e);
    free(whole);
    return code;
}

static err_code inputs_text(const run_inputs *in, strbuf *out, err *e) {
    TRY(strbuf_add(out, STR("{\n  \"data\": "), e));
    TRY(quote_path(in->data, out, e));
    TRY(strbuf_add(out, STR(",\n  \"where\": "), e));
    TRY(json_quote(str_from(in->where ? in->where : ""), out, e));
    if (in->base) {
        TRY(strbuf_add(out, STR(",\n  \"base\": "), e));
        TRY(quote_path(in->base, out, e));
    }
    return strbuf_add(out, STR("\n}\n"), e);
}

static err_code write_inputs(const char *file, const run_inputs *in, err *e) {
    strbuf text = {0};
    err_code code = inputs_text(in, &text, e);
    if (code == ERR_OK)
        code = os_write_file(file, strbuf_str(&text), e);
    strbuf_fini(&text);
    return code;
}

/* What words become ids by: of a new model its tokenizer, of tuning the template. */
static err_code write_words(const char *path, const run_inputs *in, err *e) {
    run_path p;
    TRY(os_join(p.text, path, in->base ? "template.jinja" : "tokenizer", e));
    return in->base ? os_write_file(p.text, in->template, e) : copy_tokenizer(in->tokenizer, p.text, e);
}

err_code run_create(const char *path, const recipe *r, const run_inputs *in, err *e) {
    run_path p;
    strbuf text = {0};
    TRY(recipe_check(r, e));
    TRY(make_folder(path, e));
    TRY(check_folder(path, e));
    TRY(write_words(path, in, e));
    TRY(os_join(p.text, path, "inputs.json", e));
    TRY(write_inputs(p.text, in, e));
    TRY(os_join(p.text, path, "recipe.json", e));
    err_code code = recipe_text(r, &text, e);
    if (code == ERR_OK)
        code = os_write_file(p.text, strbuf_str(&text), e);
    strbuf_fini(&text);
    return code;
}

err_code run_inputs_of(const run *r, run_path *given, run_inputs *out, err *e) {
    *out = (run_inputs){.data = r->data,
                        .where = r->where,
                        .tokenizer = given->text,
                        .base = r->base,
                        .template = strbuf_str(&r->template)};
    return run_file(r, "tokenizer", given, e);
}

/* ---- opening one ---- */

static err_code read_recipe(run *r, err *e) {
    run_path p;
    strbuf text = {0};
    TRY(run_file(r, "recipe.json", &p, e));
    if (!os_exists(p.text))
        return err_set(e, ERR_USAGE, "%s: is no run (it has no recipe.json)", r->path);
    err_code code = os_read_regular(p.text, RECIPE_TEXT_BYTES_MAX, &text, e);
    if (code == ERR_OK && (code = recipe_parse(&r->recipe, strbuf_str(&text), e)) != ERR_OK)
        err_in(e, code, "%s", p.text);
    strbuf_fini(&text);
    return code;
}

static err_code keep(char **to, str s, err *e) {
    *to = strndup(s.p ? s.p : "", s.n);
    return *to ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for a path");
}

static err_code take_inputs(run *r, const json_t *o, err *e) {
    str data, base;
    TRY(json_want_str(o, "data", &data, e));
    TRY(keep(&r->data, data, e));
    TRY(keep(&r->where, json_get_str(o, "where", STR("")), e));
    size_t known = 1 + (json_object_get(o, "where") != NULL);
    if (recipe_is_tuning(&r->recipe)) {
        TRY(json_want_str(o, "base", &base, e));
        TRY(keep(&r->base, base, e));
        known++;
    }
    if (json_object_size(o) != known)
        return err_set(e, ERR_FORMAT, "holds more than the keys %s",
                       r->base ? "data, where and base" : "data and where");
    return ERR_OK;
}

static err_code read_inputs(run *r, err *e) {
    run_path p;
    strbuf text = {0};
    json_t *o = NULL;
    TRY(run_file(r, "inputs.json", &p, e));
    err_code code = os_read_regular(p.text, INPUTS_BYTES_MAX, &text, e);
    if (code == ERR_OK && (code = json_read(strbuf_str(&text), INPUTS_BYTES_MAX, &o, e)) == ERR_OK)
        code = take_inputs(r, o, e);
    if (code != ERR_OK && code != ERR_IO)
        err_in(e, code, "%s", p.text);
    json_decref(o);
    strbuf_fini(&text);
    return code;
}

err_code run_open(run *r, const char *path, err *e) {
    *r = (run){0};
    TRY(keep(&r->path, str_from(path), e));
    run_path p;
    TRY(read_recipe(r, e));
    TRY(read_inputs(r, e));
    if (r->base) {
        TRY(run_file(r, "template.jinja", &p, e));
        TRY(os_read_regular(p.text, TEMPLATE_BYTES_MAX, &r->template, e));
    }
    TRY(run_file(r, "removals.jsonl", &p, e));
    return removals_read(&r->removals, p.text, e);
}

void run_close(run *r) {
    trainer_close(r->trainer);
    if (r->tuning)
        r->close_tuning(r->tuning);
    tokens_fini(&r->tokens);
    tokenizer_close(r->tokenizer);
    docs_close(&r->docs);
    removals_fini(&r->removals);
    free(r->path);
    free(r->data);
    free(r->where);
    free(r->base);
    strbuf_fini(&r->template);
    *r = (run){0};
}

/* ---- what it works with ---- */

/* The id that ends a document. */
static err_code end_of(const tokenizer *t, const char *path, uint64_t *end, err *e) {
    if (tokenizer_eos(t) < 0)
        return err_set(e, ERR_USAGE, "%s: the tokenizer has no end token, and documents must end", path);
    *end = (uint64_t)tokenizer_eos(t);
    return ERR_OK;
}

/* A folder with tokenizer.json for what the user gave: a folder, or the file in one. */
static err_code tokenizer_folder(const char *given, run_path *out, err *e) {
    if (os_is_dir(given))
        return os_join(out->text, given, "", e);
    const char *slash = strrchr(given, '/');
    if (!os_exists(given))
        return err_set(e, ERR_IO,
                       "%s: there is no such file or folder (a tokenizer is a tokenizer.json, or a folder with "
                       "one; loam tokenizer train makes one)",
                       given);
    if (strcmp(slash ? slash + 1 : given, "tokenizer.json") != 0)
        return err_set(e, ERR_USAGE, "%s: a tokenizer is a file named tokenizer.json, or a folder with one", given);
    snprintf(out->text, sizeof out->text, "%.*s", slash ? (int)(slash - given + 1) : 2, slash ? given : "./");
    return ERR_OK;
}

err_code run_describe(const char *data, const char *where, const char *given, recipe *r, err *e) {
    docs d = {0};
    tokenizer *t = NULL;
    run_path folder;
    TRY(tokenizer_folder(given, &folder, e));
    err_code code = tokenizer_open_folder(&t, folder.text, e);
    if (code == ERR_OK)
        code = end_of(t, given, &r->tokenizer.end, e);
    if (code == ERR_OK)
        code = tokens_tokenizer_digest(folder.text, &r->tokenizer.digest, e);
    if (code == ERR_OK)
        r->model.vocab = (uint64_t)tokenizer_n_vocab(t);
    if (code == ERR_OK)
        code = docs_open(
            &d, &(docs_options){.source = data, .where = where, .val_share = r->data.val_share, .seed = r->init.seed},
            e);
    if (code == ERR_OK) {
        r->data.digest = d.digest;
        r->data.documents = d.n;
    }
    docs_close(&d);
    tokenizer_close(t);
    return code;
}

static err_code same_digest(hash256 is, hash256 want, const char *what, const char *path, err *e) {
    char a[65], b[65];
    hash_hex(is, a);
    hash_hex(want, b);
    if (strcmp(a, b) == 0)
        return ERR_OK;
    return err_set(e, ERR_MISMATCH, "%s: its digest is %.16s..., the recipe asks for the %s with %.16s...", path, a,
                   what, b);
}

static err_code load_tokenizer(run *r, err *e) {
    run_path folder;
    hash256 h;
    uint64_t end = 0;
    TRY(run_file(r, "tokenizer", &folder, e));
    TRY(tokens_tokenizer_digest(folder.text, &h, e));
    TRY(same_digest(h, r->recipe.tokenizer.digest, "tokenizer", folder.text, e));
    TRY(tokenizer_open_folder(&r->tokenizer, folder.text, e));
    TRY(end_of(r->tokenizer, folder.text, &end, e));
    if (end != r->recipe.tokenizer.end || (uint64_t)tokenizer_n_vocab(r->tokenizer) > r->recipe.model.vocab)
        return err_set(e, ERR_FORMAT, "%s: end token %" PRIu64 " of %d, but the recipe says %" PRIu64 " of %" PRIu64,
                       folder.text, end, (int)tokenizer_n_vocab(r->tokenizer), r->recipe.tokenizer.end,
                       r->recipe.model.vocab);
    return ERR_OK;
}

static err_code open_docs(run *r, const docs_options *d, bool usual, err *e) {
    err_code code = docs_open(&r->docs, d, e);
    if (code == ERR_IO && usual && !docs_is_made(d->source) && !os_exists(d->source))
        return err_set(
            e, ERR_IO,
            "%s: the run's data set is not there any more (inputs.json names it; say where it is with --data)",
            d->source);
    TRY(code);
    TRY(same_digest(r->docs.digest, r->recipe.data.digest, "data", d->source, e));
    code = removals_check(&r->removals, &r->recipe, r->docs.key, r->docs.n, e);
    return code == ERR_OK ? code : err_in(e, code, "%s", r->path);
}

err_code run_load_docs(run *r, const char *data, const char *where, err *e) {
    docs_options d = {.source = data ? data : r->data,
                      .where = where  ? where
                               : data ? NULL
                                      : r->where,
                      .val_share = r->recipe.data.val_share,
                      .seed = r->recipe.init.seed,
                      .want = &r->recipe.data.digest};
    hash256 *without = NULL;
    TRY(removals_gather(&r->removals, &without, &d.n_without, e));
    d.without = without;
    err_code code = open_docs(r, &d, !data, e);
    free(without);
    return code;
}

static err_code begin(void *ctx, param *params, size_t n, bool fresh, err *e) {
    (void)fresh;
    (void)e;
    const run *r = ctx;
    init_options o = {.seed = r->recipe.init.seed,
                      .embed = r->recipe.init.embed,
                      .gain = r->recipe.init.gain,
                      .layers = (size_t)r->recipe.model.layers};
    init_weights(&o, params, n, r->pool);
    return ERR_OK;
}

static err_code open_trainer(run *r, const trainer_options *o, err *e) {
    model_config c = {0};
    arena mem = {0};
    trainer_subject s = {.begin = begin, .begin_ctx = r};
    err_code code = recipe_config(&r->recipe, &c, &mem, e);
    if (code == ERR_OK)
        code = model_create(&s.model, &c, &(model_options){.pool = o->pool, .isa = o->isa}, e);
    arena_fini(&mem);
    if (code == ERR_OK && (code = stream_open(&s.lesson, &r->recipe, &r->docs, &r->tokens, o->pool, e)) != ERR_OK)
        model_close(s.model);
    return code == ERR_OK ? trainer_open(&r->trainer, &r->recipe, &s, o, e) : code;
}

err_code run_load(run *r, const run_load_options *o, err *e) {
    TRY(load_tokenizer(r, e));
    TRY(run_load_docs(r, o->data, o->where, e));
    r->pool = o->trainer.pool;
    tokens_options t = {.end = (int32_t)r->recipe.tokenizer.end,
                        .parse_special = r->recipe.tokenizer.parse_special,
                        .elsewhere = (float)r->recipe.data.elsewhere};
    TRY(answers_parse(&t.marks, str_from(r->recipe.data.answers), e));
    TRY(tokens_build(&r->tokens, &r->docs, r->tokenizer, &t, r->pool, o->progress, o->progress_ctx, e));
    return open_trainer(r, &o->trainer, e);
}
