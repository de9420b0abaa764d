/* kept: see kept.h. */
#include "cli/kept.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "cli/out.h"
#include "hub/huggingface.h"
#include "hub/ollama.h"

err_code kept_open(registry **out, bool create, err *e) {
    char home[OS_PATH_BYTES];
    *out = NULL;
    TRY(registry_home(home, e));
    return registry_open(out, home, create, &interrupt_flag, e);
}

kept_day kept_day_of(int64_t seconds) {
    kept_day d = {"?"};
    struct tm tm;
    time_t t = (time_t)seconds;
    if (gmtime_r(&t, &tm))
        snprintf(d.text, sizeof d.text, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
    return d;
}

typedef struct {
    registry *r;
    const hub_ref *ref; /* looked for by registry_each(); NULL: not */
    char name[REGISTRY_NAME_MAX + 1];
    char *path;
    kept_record *record; /* one of both is wanted */
} lookup;

static void copy(char out[REGISTRY_TEXT_MAX], str s) {
    snprintf(out, REGISTRY_TEXT_MAX, "%.*s", s.n < REGISTRY_TEXT_MAX ? (int)s.n : 0, s.p);
}

/* The page of a model, for people. */
static void page_of(str source, char out[REGISTRY_TEXT_MAX]) {
    hub_ref ref;
    if (ref_parse(&ref, source, NULL) != ERR_OK)
        return;
    bool official = strcmp(ref.space, "library") == 0;
    if (ref.kind == REF_HF)
        snprintf(out, REGISTRY_TEXT_MAX, "https://huggingface.co/%s/%s", ref.space, ref.repo);
    else if (ref.kind == REF_OLLAMA)
        snprintf(out, REGISTRY_TEXT_MAX, "https://ollama.com/%s%s%s:%s", official ? "library/" : ref.space,
                 official ? "" : "/", ref.repo, ref.pick);
    else if (ref.kind == REF_URL) {
        ref_strip(&ref); /* an older registry has it whole */
        copy(out, str_from(ref.url));
    }
}

static err_code take_path(void *ctx, const registry_model *m, err *e) {
    lookup *k = ctx;
    if (k->record) {
        copy(k->record->licence, m->licence);
        copy(k->record->revision, m->revision);
        page_of(m->source, k->record->url);
        return ERR_OK;
    }
    return registry_model_path(k->r, m, k->path, e);
}

/* The model comes from there, and is the file that is asked for, if one is. */
static bool is_from(const hub_ref *asked, str source) {
    hub_ref r;
    return ref_parse(&r, source, NULL) == ERR_OK && r.kind == asked->kind && strcmp(r.space, asked->space) == 0 &&
           strcmp(r.repo, asked->repo) == 0 && strcmp(r.revision, asked->revision) == 0 &&
           (!*asked->pick || strcasecmp(r.pick, asked->pick) == 0);
}

static err_code take_name(void *ctx, const registry_model *m, err *e) {
    lookup *k = ctx;
    (void)e;
    if (!*k->name && m->name.n <= REGISTRY_NAME_MAX && is_from(k->ref, m->source))
        snprintf(k->name, sizeof k->name, "%.*s", (int)m->name.n, m->name.p);
    return ERR_OK;
}

/* By its name, or by its reference. */
static err_code in_registry(const char *m, lookup *k, bool *found, err *e) {
    char home[OS_PATH_BYTES];
    *found = false;
    if (registry_home(home, NULL) != ERR_OK) /* nobody's: nothing is in it */
        return ERR_OK;
    TRY(kept_open(&k->r, false, e));
    err_code code = k->ref ? registry_each(k->r, take_name, k, e) : ERR_OK;
    if (code == ERR_OK)
        code = registry_find(k->r, str_from(k->ref ? k->name : m), take_path, k, found, e);
    registry_close(k->r);
    return code;
}

/* Whether m is of the form of a reference to a hub. */
static bool is_ref(const char *m, hub_ref *ref) {
    return (strncmp(m, "hf:", 3) == 0 || strncmp(m, "ollama:", 7) == 0) && ref_parse(ref, str_from(m), NULL) == ERR_OK;
}

err_code kept_record_of(const char *m, kept_record *out, err *e) {
    hub_ref ref;
    bool found;
    *out = (kept_record){0};
    lookup k = {.ref = is_ref(m, &ref) ? &ref : NULL, .record = out};
    return in_registry(m, &k, &found, e);
}

/* The place of the one GGUF file, or the folder of all files. */
static err_code place_of(const offer *o, char out[OS_PATH_BYTES], bool *found, err *e) {
    *found = o->n > 0 && o->file[0].place.n > 0;
    if (!*found)
        return ERR_OK;
    TRY(os_join(out, o->file[0].place.p, "", e));
    char *slash = strrchr(out, '/');
    if (!o->gguf && slash)
        *slash = 0;
    return ERR_OK;
}

static err_code in_caches(const hub_ref *ref, char out[OS_PATH_BYTES], bool *found, err *e) {
    char cache[OS_PATH_BYTES];
    offer o = {0};
    TRY(ref->kind == REF_HF ? huggingface_cache(cache, e) : ollama_store(cache, e));
    TRY(ref->kind == REF_HF ? huggingface_cached(&o, ref, cache, found, e) : ollama_cached(&o, ref, cache, found, e));
    if (!*found)
        return ERR_OK;
    err_code code = place_of(&o, out, found, e);
    offer_close(&o);
    return code;
}

err_code kept_find(const char *m, char out[OS_PATH_BYTES], bool *found, err *e) {
    hub_ref ref;
    lookup k = {.ref = is_ref(m, &ref) ? &ref : NULL, .path = out};
    TRY(in_registry(m, &k, found, e));
    return *found || !k.ref ? ERR_OK : in_caches(&ref, out, found, e);
}
