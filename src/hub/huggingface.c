/* huggingface: see huggingface.h. */
#include "hub/huggingface.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/gguf_parts.h"
#include "text/json.h"

enum { SIBLINGS_MAX = 20000, TYPES_SHOWN = 400 };

/* ---- names of files ---- */

static bool ends(str name, const char *end) {
    size_t n = strlen(end);
    return name.n > n && strncasecmp(name.p + name.n - n, end, n) == 0;
}

/* Model files in GGUF that Loam can open: no projectors of images, no importance matrices; of a model in several files
 * the first. */
static bool is_gguf(str path) {
    str name = os_last_part_of(path);
    unsigned no = 1, count;
    return ends(path, ".gguf") && ref_plain_path(path) && !str_starts(name, STR("mmproj")) &&
           str_find(name, STR("imatrix"), 0) < 0 && (!gguf_part_of(path, &no, &count) || no == 1);
}

static bool is_json_needed(str name) {
    static const char *const names[] = {"config.json",
                                        "generation_config.json",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "vocab.json",
                                        "merges.txt",
                                        "tokenizer.model",
                                        "chat_template.jinja",
                                        "chat_template.json",
                                        "README.md",
                                        "LICENSE",
                                        "LICENSE.md",
                                        "LICENSE.txt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(name, names[i]))
            return true;
    return false;
}

/* "q4_k_m" stands in the name, and nothing that would make another type of it stands beside it. */
static bool has_type(str name, str type) {
    for (size_t i = 0; i + type.n <= name.n; i++) {
        bool before = i == 0 || !(isalnum((unsigned char)name.p[i - 1]) || name.p[i - 1] == '_');
        char c = i + type.n < name.n ? name.p[i + type.n] : 0;
        if (before && !isalnum((unsigned char)c) && c != '_' && strncasecmp(name.p + i, type.p, type.n) == 0)
            return true;
    }
    return false;
}

/* What to take when nothing was asked for: small and good first. */
static const char *const preferred[] = {"Q4_K_M", "Q4_K_S", "Q5_K_M", "Q4_0", "Q8_0", "Q6_K", "Q5_K_S",
                                        "Q5_0",   "Q4_1",   "BF16",   "F16",  "F32",  NULL};

static str type_of(str path) {
    static const char *const rare[] = {"Q2_K",   "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q5_1",   "IQ4_NL",
                                       "IQ4_XS", "Q4_K_L", "Q5_K_L", "Q6_K_L", "Q2_K_L", NULL};
    const char *const *const lists[] = {preferred, rare};
    for (size_t k = 0; k < 2; k++)
        for (const char *const *t = lists[k]; *t; t++)
            if (has_type(os_last_part_of(path), str_from(*t)))
                return str_from(*t);
    return (str){0};
}

/* ---- the answer ---- */

/* One file of the answer: digest and length. ERR_FORMAT when they are not well formed. */
static err_code read_digest(const json_t *sibling, str name, fetch_what *w, err *e) {
    const json_t *lfs = json_object_get(sibling, "lfs");
    str hex;
    *w = (fetch_what){.token = true};
    if (json_is_object(lfs)) {
        w->digest = DIGEST_SHA256;
        hex = json_get_str(lfs, "sha256", json_get_str(lfs, "oid", (str){0}));
        if (!hash_from_hex(hex, &w->sha256))
            return err_set(e, ERR_FORMAT, "%.*s: its SHA-256 is not one", STR_ARG(name));
        return json_want_u64(lfs, "size", (uint64_t)1 << 42, &w->bytes, e);
    }
    w->digest = DIGEST_GIT_BLOB;
    hex = json_get_str(sibling, "blobId", (str){0});
    bool good = hex.n == 40;
    for (size_t i = 0; i < hex.n && good; i++)
        good = strchr("0123456789abcdef", hex.p[i]) && hex.p[i];
    if (!good)
        return err_set(e, ERR_FORMAT, "%.*s: its blobId is not one", STR_ARG(name));
    memcpy(w->git_blob, hex.p, 40);
    return json_want_u64(sibling, "size", 256 << 20, &w->bytes, e);
}

typedef struct {
    offer *out;
    const hub_ref *ref;
    const char *endpoint;
    const json_t *siblings;
    str commit;
    const char *cache;  /* where a blob may be on this machine; NULL: not looked for */
    const char *folder; /* of a snapshot: files are taken from there, and the hub is not asked */
} answer;

static str sibling_name(const answer *a, size_t i) {
    return json_get_str(json_array_get(a->siblings, i), "rfilename", (str){0});
}

/* A file that the hub's own client has already: blobs/ there are named by the digests that the hub tells. */
static err_code look_in_cache(const answer *a, offer_file *f, err *e) {
    char hex[65];
    struct stat st;
    if (f->what.digest == DIGEST_SHA256)
        hash_hex(f->what.sha256, hex);
    else
        memcpy(hex, f->what.git_blob, sizeof f->what.git_blob);
    TRY(offer_format(a->out, &f->place, e, "%s/models--%s--%s/blobs/%s", a->cache, a->ref->space, a->ref->repo, hex));
    if (stat(f->place.p, &st) != 0 || (uint64_t)st.st_size != f->what.bytes)
        f->place = (str){0};
    return ERR_OK;
}

static err_code take_local(const answer *a, str path, err *e) {
    struct stat st;
    offer_file f = {.name = os_last_part_of(path), .what = {.url = ""}};
    TRY(offer_format(a->out, &f.place, e, "%s/%.*s", a->folder, (int)path.n, path.p));
    if (stat(f.place.p, &st) != 0 || !S_ISREG(st.st_mode))
        return err_set(e, ERR_IO, "%s: is not there", f.place.p);
    f.what.bytes = (uint64_t)st.st_size;
    return offer_add(a->out, &f, e);
}

static err_code take(const answer *a, size_t i, err *e) {
    const json_t *sibling = json_array_get(a->siblings, i);
    str path = sibling_name(a, i), url;
    offer_file f = {.name = os_last_part_of(path)};
    if (a->folder)
        return take_local(a, path, e);
    TRY(read_digest(sibling, path, &f.what, e));
    if (a->cache)
        TRY(look_in_cache(a, &f, e));
    TRY(offer_format(a->out, &url, e, "%s/%s/%s/resolve/%.*s/%.*s", a->endpoint, a->ref->space, a->ref->repo,
                     (int)a->commit.n, a->commit.p, (int)path.n, path.p));
    f.what.url = url.p;
    return offer_add(a->out, &f, e);
}

/* ---- which files ---- */

static err_code list_types(const answer *a, const char *what, err *e) {
    strbuf text = {.max = TYPES_SHOWN};
    for (size_t i = 0; i < json_array_size(a->siblings); i++)
        if (is_gguf(sibling_name(a, i)))
            (void)strbuf_addf(&text, NULL, "%s%.*s", text.n ? ", " : "", STR_ARG(sibling_name(a, i)));
    err_code code = err_set(e, ERR_USAGE, "hf:%s/%s: %s (there are: %.*s)", a->ref->space, a->ref->repo, what,
                            (int)text.n, text.p ? text.p : "none that Loam opens");
    strbuf_fini(&text);
    return code;
}

/* The one GGUF file that `pick` means: a path, a file's name, or a type. -1: none, -2: more than one. */
static long find_gguf(const answer *a, str pick) {
    long found = -1;
    for (size_t i = 0; i < json_array_size(a->siblings); i++) {
        str path = sibling_name(a, i);
        if (!is_gguf(path))
            continue;
        if (str_eq(path, pick))
            return (long)i;
        if (str_eq(os_last_part_of(path), pick) || has_type(os_last_part_of(path), pick))
            found = found == -1 ? (long)i : -2;
    }
    return found;
}

static err_code take_path(const answer *a, const char *path, err *e) {
    for (size_t i = 0; i < json_array_size(a->siblings); i++)
        if (str_is(sibling_name(a, i), path))
            return take(a, i, e);
    return err_set(e, ERR_FORMAT, "hf:%s/%s: %s is missing, which is a part of the model", a->ref->space, a->ref->repo,
                   path);
}

/* The file and, when it is the first part of a model in several, the others. */
static err_code take_parts(const answer *a, size_t i, err *e) {
    unsigned no, count = 1;
    str first = sibling_name(a, i);
    char path[OS_PATH_BYTES];
    TRY(take(a, i, e));
    if (!gguf_part_of(first, &no, &count))
        return ERR_OK;
    if (first.n >= sizeof path)
        return err_set(e, ERR_LIMIT, "a file's path of %zu bytes", first.n);
    snprintf(path, sizeof path, "%.*s", (int)first.n, first.p);
    for (no = 2; no <= count; no++) {
        gguf_part_name(path, no);
        TRY(take_path(a, path, e));
    }
    return ERR_OK;
}

/* What was asked for; of any part of a model in several files, the first. */
static str pick_of_ref(const answer *a, char out[2 * REF_PART_MAX]) {
    unsigned no, count;
    snprintf(out, 2 * REF_PART_MAX, "%s", a->ref->pick);
    if (gguf_part_of(str_from(out), &no, &count))
        gguf_part_name(out, 1);
    return str_from(out);
}

/* *pick_of becomes what tells this file from the others: its type, when no other has it, else its path. */
static err_code take_gguf(const answer *a, size_t n_gguf, str *pick_of, err *e) {
    char asked[2 * REF_PART_MAX];
    str pick = pick_of_ref(a, asked);
    long i = pick.n > 0 ? find_gguf(a, pick) : -1;
    for (const char *const *t = preferred; pick.n == 0 && *t && i == -1; t++)
        i = find_gguf(a, str_from(*t));
    for (size_t k = 0; pick.n == 0 && n_gguf == 1 && i < 0 && k < json_array_size(a->siblings); k++)
        if (is_gguf(sibling_name(a, k)))
            i = (long)k;
    if (i < 0)
        return list_types(a, i == -2 ? "more than one file is meant; name it" : "no file of this name or type", e);
    str path = sibling_name(a, (size_t)i), type = type_of(path);
    *pick_of = type.n > 0 && find_gguf(a, type) == i ? type : n_gguf > 1 ? path : (str){0};
    a->out->gguf = true;
    return take_parts(a, (size_t)i, e);
}

static err_code take_folder(const answer *a, err *e) {
    size_t n = json_array_size(a->siblings), weights = 0, config = 0;
    bool one = false;
    for (size_t i = 0; i < n; i++)
        one |= str_is(sibling_name(a, i), "model.safetensors");
    for (size_t i = 0; i < n; i++) {
        str name = sibling_name(a, i);
        bool shard = str_starts(name, STR("model-")) && str_ends(name, STR(".safetensors")) && ref_plain(name);
        bool weight = one ? str_is(name, "model.safetensors") : shard;
        if (weight || is_json_needed(name) || (!one && str_is(name, "model.safetensors.index.json")))
            TRY(take(a, i, e));
        weights += weight;
        config += str_is(name, "config.json");
    }
    if (weights == 0 || config == 0)
        return err_set(e, ERR_UNSUPPORTED,
                       "hf:%s/%s: has neither a GGUF file that Loam opens nor config.json with safetensors",
                       a->ref->space, a->ref->repo);
    return ERR_OK;
}

static err_code choose(const answer *a, str *pick, err *e) {
    size_t n_gguf = 0, n = json_array_size(a->siblings);
    if (n > SIBLINGS_MAX)
        return err_set(e, ERR_LIMIT, "more than %d files", SIBLINGS_MAX);
    for (size_t i = 0; i < n; i++)
        n_gguf += is_gguf(sibling_name(a, i));
    if (n_gguf > 0 || *a->ref->pick)
        return take_gguf(a, n_gguf, pick, e);
    return take_folder(a, e);
}

/* ---- what is said of the model ---- */

static err_code describe(const answer *a, const json_t *root, str pick, err *e) {
    offer *o = a->out;
    const json_t *card = json_object_get(root, "cardData"), *gguf = json_object_get(root, "gguf");
    const json_t *config = json_object_get(root, "config");
    str licence = json_get_str(card, "license", (str){0}), own = json_get_str(card, "license_name", (str){0});
    TRY(offer_text(o, str_is(licence, "other") && own.n > 0 ? own : licence, &o->licence, e));
    TRY(offer_text(o, a->commit, &o->revision, e));
    TRY(offer_text(
        o, o->gguf ? json_get_str(gguf, "architecture", (str){0}) : json_get_str(config, "model_type", (str){0}),
        &o->family, e));
    hub_ref one = *a->ref; /* of the ways to name it, one */
    if (pick.n >= sizeof one.pick)
        return err_set(e, ERR_LIMIT, "a file's path of %zu bytes", pick.n);
    snprintf(one.pick, sizeof one.pick, "%.*s", (int)pick.n, pick.n ? pick.p : "");
    return offer_named(o, &one, gguf_stem(pick), e);
}

static err_code read_root(answer *a, const json_t *root, err *e) {
    str pick = {0};
    a->siblings = json_object_get(root, "siblings");
    if (!json_is_array(a->siblings))
        return err_set(e, ERR_FORMAT, "the answer has no list \"siblings\"");
    a->commit = json_get_str(root, "sha", str_from(a->ref->revision));
    if (!ref_plain(a->commit))
        return err_set(e, ERR_FORMAT, "the commit \"%.*s\" is not one", STR_ARG(a->commit));
    TRY(choose(a, &pick, e));
    return describe(a, root, pick, e);
}

static err_code begin(answer *a, const json_t *root, err *e) {
    *a->out = (offer){.mem = {.max_bytes = 64 << 20}};
    err_code code = read_root(a, root, e);
    if (code != ERR_OK)
        offer_close(a->out);
    return code;
}

err_code huggingface_read(offer *out, const hub_ref *ref, const char *endpoint, const char *cache, str text, err *e) {
    json_t *root = NULL;
    TRY(json_read(text, HTTP_SMALL_BYTES_MAX, &root, e));
    answer a = {.out = out, .ref = ref, .endpoint = endpoint, .cache = cache};
    err_code code = begin(&a, root, e);
    json_decref(root);
    return code;
}

err_code huggingface_offer(offer *out, const hub_ref *ref, const http_options *o, err *e) {
    char url[REF_URL_MAX], cache[OS_PATH_BYTES];
    http_answer a;
    strbuf text = {0};
    TRY(huggingface_cache(cache, e));
    int n = snprintf(url, sizeof url, "%s/api/models/%s/%s/revision/%s?blobs=true", o->hf_endpoint, ref->space,
                     ref->repo, ref->revision);
    if (n < 0 || (size_t)n >= sizeof url)
        return err_set(e, ERR_LIMIT, "%.200s...: the URL is too long", url);
    err_code code = http_get(o, url, "application/json", true, HTTP_SMALL_BYTES_MAX, &text, &a, e);
    if (code == ERR_OK && a.status != 200)
        code = http_refused(&a, url, e);
    else if (code == ERR_OK) {
        code = huggingface_read(out, ref, o->hf_endpoint, *cache ? cache : NULL, strbuf_str(&text), e);
        if (code == ERR_FORMAT || code == ERR_LIMIT)
            err_in(e, code, "%.200s", url);
    }
    strbuf_fini(&text);
    return code;
}

/* ---- on this machine ---- */

static err_code hf_home(char out[OS_PATH_BYTES], err *e) {
    const char *own = getenv("HF_HOME"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    *out = 0;
    if (own && *own)
        return os_join(out, own, "", e);
    if (cache && *cache)
        return os_join(out, cache, "huggingface", e);
    return home && *home ? os_join(out, home, ".cache/huggingface", e) : ERR_OK;
}

err_code huggingface_cache(char out[OS_PATH_BYTES], err *e) {
    const char *own = getenv("HF_HUB_CACHE");
    char home[OS_PATH_BYTES];
    if (own && *own)
        return os_join(out, own, "", e);
    TRY(hf_home(home, e));
    return os_join(out, home, *home ? "hub" : "", e);
}

/* Printable, without blanks: it becomes a line of a request. */
static void take_token(char out[HTTP_TOKEN_MAX + 1], str s) {
    while (s.n > 0 && isspace((unsigned char)s.p[s.n - 1]))
        s.n--;
    while (s.n > 0 && isspace((unsigned char)*s.p))
        s = str_sub(s, 1, s.n);
    bool good = s.n > 0 && s.n <= HTTP_TOKEN_MAX;
    for (size_t i = 0; i < s.n && good; i++)
        good = s.p[i] > ' ' && s.p[i] < 127;
    if (good)
        memcpy(out, s.p, s.n);
    out[good ? s.n : 0] = 0;
}

void huggingface_token(char out[HTTP_TOKEN_MAX + 1]) {
    const char *own = getenv("HF_TOKEN"), *file = getenv("HF_TOKEN_PATH");
    char home[OS_PATH_BYTES], path[OS_PATH_BYTES];
    strbuf text = {0};
    *out = 0;
    if (own && *own) {
        take_token(out, str_from(own));
        return;
    }
    if (!file || !*file) {
        if (hf_home(home, NULL) != ERR_OK || !*home || os_join(path, home, "token", NULL) != ERR_OK)
            return;
        file = path;
    }
    if (os_read_regular(file, 4096, &text, NULL) == ERR_OK)
        take_token(out, strbuf_str(&text));
    strbuf_fini(&text);
}

/* {"sha": COMMIT, "siblings": [{"rfilename": NAME}...]} of a snapshot's folder, as the hub would answer. */
static err_code list_snapshot(const char *folder, const char *commit, json_t **root, err *e) {
    json_t *list = json_array();
    *root = json_pack("{s:s, s:o}", "sha", commit, "siblings", list);
    DIR *d = opendir(folder);
    bool good = *root && d;
    for (struct dirent *x; good && (x = readdir(d));)
        if (ref_plain(str_from(x->d_name)))
            good = json_array_append_new(list, json_pack("{s:s}", "rfilename", x->d_name)) == 0;
    if (d)
        closedir(d);
    return good ? ERR_OK : err_set(e, ERR_IO, "%s: cannot be read", folder);
}

/* The commit that refs/REVISION names, or REVISION itself; false: there is no such snapshot. */
static bool find_snapshot(const hub_ref *ref, const char *repo, char commit[64], char folder[OS_PATH_BYTES]) {
    char path[OS_PATH_BYTES];
    strbuf text = {0};
    snprintf(commit, 64, "%.63s", ref->revision);
    int n = snprintf(path, sizeof path, "%s/refs/%s", repo, ref->revision);
    if (n > 0 && n < (int)sizeof path && os_read_regular(path, 63, &text, NULL) == ERR_OK)
        snprintf(commit, 64, "%.*s", (int)text.n, text.p);
    strbuf_fini(&text);
    n = snprintf(folder, OS_PATH_BYTES, "%s/snapshots/%s", repo, commit);
    return n > 0 && n < OS_PATH_BYTES && ref_plain(str_from(commit)) && os_is_dir(folder);
}

err_code huggingface_cached(offer *out, const hub_ref *ref, const char *cache, bool *found, err *e) {
    char repo[OS_PATH_BYTES], folder[OS_PATH_BYTES], commit[64];
    json_t *root = NULL;
    int n = snprintf(repo, sizeof repo, "%s/models--%s--%s", cache, ref->space, ref->repo);
    *found = *cache && n > 0 && n < (int)sizeof repo && find_snapshot(ref, repo, commit, folder);
    if (!*found)
        return ERR_OK;
    answer a = {.out = out, .ref = ref, .endpoint = "", .folder = folder};
    err_code code = list_snapshot(folder, commit, &root, e);
    if (code == ERR_OK)
        code = begin(&a, root, e);
    json_decref(root);
    return code;
}
