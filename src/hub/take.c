/* take: see take.h. */
#include "hub/take.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/gguf_parts.h"

typedef struct {
    registry *r;
    const http_options *http;
    const take_options *o;
    taken *out;
    const offer_file *from;
    registry_file *to;
    uint64_t before, total; /* bytes of the files that are done, of all */
} job;

/* ---- one file ---- */

static bool have(void *ctx) {
    job *j = ctx;
    if (j->from->what.digest != DIGEST_SHA256 || !registry_has(j->r, j->from->what.sha256, j->from->what.bytes))
        return false;
    j->to->sha256 = j->from->what.sha256;
    j->to->bytes = j->from->what.bytes;
    return true;
}

static err_code move_in(void *ctx, const char *file, hash256 sha256, uint64_t bytes, err *e) {
    job *j = ctx;
    j->to->sha256 = sha256;
    j->to->bytes = bytes;
    j->out->downloaded += bytes;
    return registry_move_in(j->r, file, sha256, e);
}

static void progress(void *ctx, uint64_t done, uint64_t total) {
    const job *j = ctx;
    (void)total;
    if (j->o->progress)
        j->o->progress(j->o->ctx, j->from->name, j->before + done, j->total);
}

/* Where its part stands: by its digest, so that another way to the same contents goes on with it; else by its URL. */
static err_code part_place(const job *j, char path[OS_PATH_BYTES], err *e) {
    char hex[65];
    const fetch_what *w = &j->from->what;
    hash_hex(w->digest == DIGEST_SHA256 ? w->sha256 : hash_of(w->url, strlen(w->url)), hex);
    return registry_partial_path(j->r, hex, path, e);
}

static err_code download(job *j, err *e) {
    char path[OS_PATH_BYTES];
    fetch_sink sink = {.ctx = j, .have = have, .take = move_in, .progress = progress};
    TRY(part_place(j, path, e));
    return fetch_file(j->http, &j->from->what, path, &sink, e);
}

static err_code share(job *j, arena *mem, err *e) {
    char place[OS_PATH_BYTES];
    const hash256 *want = j->from->what.digest == DIGEST_SHA256 ? &j->from->what.sha256 : NULL;
    TRY(registry_share_in(j->r, j->from->place.p, want, place, j->to, e));
    j->to->place = arena_str(mem, str_from(place));
    j->out->shared += j->to->bytes;
    return j->to->place.p ? ERR_OK : arena_short(e, 1, OS_PATH_BYTES);
}

static err_code take_file(job *j, arena *mem, err *e) {
    j->to->name = j->from->name;
    if (have(j)) {
        j->out->kept += j->to->bytes;
        return ERR_OK;
    }
    if (j->from->place.n == 0)
        return download(j, e);
    err why = {0};
    err_code code = share(j, mem, &why);
    /* What a cache holds may be damaged; the network has it whole. */
    if (code != ERR_OK && code != ERR_CANCELLED && code != ERR_MEMORY && *j->from->what.url)
        return download(j, e);
    return code == ERR_OK ? code : err_set(e, code, "%s", why.text);
}

/* ---- all of them ---- */

static err_code take_files(job *j, const offer *from, registry_file *file, arena *mem, err *e) {
    j->total = from->bytes == HTTP_UNKNOWN ? 0 : from->bytes;
    for (size_t i = 0; i < from->n; i++) {
        j->from = &from->file[i];
        j->to = &file[i];
        TRY(take_file(j, mem, e));
        j->before += file[i].bytes;
    }
    return ERR_OK;
}

err_code take_offer(registry *r, const offer *from, const http_options *http, const take_options *o, taken *out,
                    err *e) {
    arena mem = {0};
    *out = (taken){0};
    job j = {.r = r, .http = http, .o = o, .out = out};
    str name = o->name ? str_from(o->name) : from->name;
    TRY(registry_begin(r, e));
    if (!o->replace)
        TRY(registry_name_free(r, name, from->source, e));
    registry_file *file = calloc(from->n + 1, sizeof *file);
    err_code code = file ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for a list of files");
    if (code == ERR_OK)
        code = take_files(&j, from, file, &mem, e);
    registry_model m = {.name = name,
                        .source = from->source,
                        .revision = from->revision,
                        .licence = from->licence,
                        .added = o->now,
                        .file = file,
                        .n_files = from->n};
    if (code == ERR_OK)
        code = registry_put(r, &m, o->replace, &out->id, e);
    m.id = out->id;
    if (code == ERR_OK)
        code = registry_model_path(r, &m, out->path, e);
    free(file);
    arena_fini(&mem);
    return code;
}

/* ---- offers of one's own ---- */

static err_code add_local(offer *out, str name, const char *path, err *e) {
    struct stat st;
    offer_file f = {.name = name, .what = {.url = ""}, .place = str_from(path)};
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return err_set(e, ERR_IO, "%s: is not a regular file", path);
    f.what.bytes = (uint64_t)st.st_size;
    return offer_add(out, &f, e);
}

/* Of a folder: weights, and the texts beside them. */
static bool is_part_of_model(const char *name) {
    static const char *const ends[] = {".safetensors", ".json", ".txt", ".md", ".model", ".jinja"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (*name != '.' && str_ends(str_from(name), str_from(ends[i])))
            return true;
    return false;
}

static err_code add_folder(offer *out, const char *folder, err *e) {
    char path[OS_PATH_BYTES];
    TRY(os_join(path, folder, "config.json", e));
    if (!os_exists(path))
        return err_set(e, ERR_FORMAT, "%s: is no model: it has no config.json", folder);
    DIR *d = opendir(folder);
    if (!d)
        return err_set(e, ERR_IO, "%s: cannot be read", folder);
    err_code code = ERR_OK;
    for (struct dirent *x; code == ERR_OK && (x = readdir(d));) {
        if (!is_part_of_model(x->d_name))
            continue;
        code = os_join(path, folder, x->d_name, e);
        if (code == ERR_OK && !os_is_dir(path))
            code = add_local(out, str_from(x->d_name), path, e);
    }
    closedir(d);
    return code;
}

/* A file, or all parts of the model that it is a part of. */
static err_code add_gguf(offer *out, const char *file, err *e) {
    char path[OS_PATH_BYTES], whole[PATH_MAX];
    unsigned no, count = 1;
    TRY(os_join(path, file, "", e));
    bool in_parts = gguf_part_of(str_from(path), &no, &count);
    for (no = 1; no <= count; no++) {
        if (in_parts)
            gguf_part_name(path, no);
        if (!realpath(path, whole))
            return err_set(e, ERR_IO, "%s: part %u of %u is missing (all parts stand in one folder)", path, no, count);
        if (no == 1)
            TRY(offer_format(out, &out->source, e, "%s", whole));
        TRY(add_local(out, os_last_part(path), whole, e));
    }
    return ERR_OK;
}

static err_code local(offer *out, const hub_ref *ref, err *e) {
    char whole[PATH_MAX];
    if (!realpath(ref->url, whole))
        return err_set(e, ERR_IO,
                       "%s: there is no such file or folder (or is hf:ORG/REPO, ollama:NAME or https://... meant?)",
                       ref->url);
    out->gguf = !os_is_dir(whole);
    TRY(offer_named(out, ref, (str){0}, e));
    if (out->gguf)
        return add_gguf(out, ref->url, e);
    TRY(offer_format(out, &out->source, e, "%s", whole));
    return add_folder(out, whole, e);
}

err_code take_local_offer(offer *out, const hub_ref *ref, err *e) {
    *out = (offer){0};
    err_code code = local(out, ref, e);
    if (code != ERR_OK)
        offer_close(out);
    return code;
}

static err_code add_url(offer *out, str name, const char *url, const http_options *http, err *e) {
    http_answer a;
    TRY(http_probe(http, url, false, &a, e));
    if (a.status != 200 && a.status != 206)
        return http_refused(&a, url, e);
    if (out->n == 0)
        TRY(offer_text(out, str_from(a.etag), &out->revision, e));
    offer_file f = {.name = name, .what = {.url = url, .bytes = a.bytes}};
    return offer_add(out, &f, e);
}

/* The same URL, of another part. */
static void url_of_part(char *url, unsigned no) {
    size_t end = strcspn(url, "?#");
    char rest = url[end];
    url[end] = 0;
    gguf_part_name(url, no);
    url[end] = rest;
}

/* Whole, with what it may hold of secrets, the URL is only asked for. */
static err_code of_url(offer *out, const hub_ref *ref, const http_options *http, err *e) {
    hub_ref told = *ref, asked = *ref;
    unsigned no, count = 1;
    str name;
    ref_strip(&told);
    bool in_parts = gguf_part_of(str_from(told.url), &no, &count);
    if (in_parts)
        gguf_part_name(told.url, 1);
    out->gguf = true;
    TRY(offer_named(out, &told, (str){0}, e));
    TRY(offer_format(out, &name, e, "%.*s.gguf", (int)out->name.n, out->name.p));
    for (no = 1; no <= count; no++) {
        if (in_parts) {
            TRY(offer_format(out, &name, e, "%.*s-%05u-of-%05u.gguf", (int)out->name.n, out->name.p, no, count));
            url_of_part(asked.url, no);
        }
        TRY(add_url(out, name, asked.url, http, e));
    }
    return ERR_OK;
}

err_code take_url_offer(offer *out, const hub_ref *ref, const http_options *http, err *e) {
    *out = (offer){0};
    err_code code = of_url(out, ref, http, e);
    if (code != ERR_OK)
        offer_close(out);
    return code;
}
