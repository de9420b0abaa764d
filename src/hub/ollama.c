/* ollama: see ollama.h. */
#include "hub/ollama.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "text/json.h"

enum { MANIFEST_BYTES_MAX = 1 << 20, LAYERS_MAX = 64, LICENCE_BYTES_MAX = 1 << 20 };

static const char MANIFEST_TYPE[] = "application/vnd.docker.distribution.manifest.v2+json";
static const char MODEL_LAYER[] = "application/vnd.ollama.image.model";
static const char LICENCE_LAYER[] = "application/vnd.ollama.image.license";
static const char *const refused_layers[] = {"application/vnd.ollama.image.adapter",
                                             "application/vnd.ollama.image.projector", NULL};

typedef struct {
    offer *out;
    const hub_ref *ref;
    const char *endpoint, *store;
    const json_t *model, *licence; /* layers */
} answer;

static err_code read_layer(const json_t *layer, hash256 *sha256, uint64_t *bytes, err *e) {
    str digest;
    TRY(json_want_str(layer, "digest", &digest, e));
    if (!str_starts(digest, STR("sha256:")) || !hash_from_hex(str_sub(digest, 7, digest.n), sha256))
        return err_set(e, ERR_FORMAT, "the digest \"%.*s\" is no SHA-256", STR_ARG(digest));
    return json_want_u64(layer, "size", (uint64_t)1 << 42, bytes, e);
}

static err_code sort_layers(answer *a, const json_t *layers, err *e) {
    if (!json_is_array(layers) || json_array_size(layers) > LAYERS_MAX)
        return err_set(e, ERR_FORMAT, "the manifest has no list \"layers\" of at most %d", LAYERS_MAX);
    for (size_t i = 0; i < json_array_size(layers); i++) {
        const json_t *layer = json_array_get(layers, i);
        str type = json_get_str(layer, "mediaType", (str){0});
        for (const char *const *t = refused_layers; *t; t++)
            if (str_is(type, *t))
                return err_set(e, ERR_UNSUPPORTED, "has a layer %s, which Loam does not run", *t);
        if (str_is(type, MODEL_LAYER) && a->model)
            return err_set(e, ERR_UNSUPPORTED, "has more than one model in it");
        if (str_is(type, MODEL_LAYER))
            a->model = layer;
        if (str_is(type, LICENCE_LAYER) && !a->licence)
            a->licence = layer;
    }
    return a->model ? ERR_OK : err_set(e, ERR_FORMAT, "the manifest has no model in it");
}

/* A blob in Ollama's own store; empty when it is not there. */
static err_code place_of(const answer *a, hash256 sha256, uint64_t bytes, str *place, err *e) {
    char hex[65];
    struct stat st;
    *place = (str){0};
    if (!a->store)
        return ERR_OK;
    hash_hex(sha256, hex);
    TRY(offer_format(a->out, place, e, "%s/blobs/sha256-%s", a->store, hex));
    if (stat(place->p, &st) != 0 || (uint64_t)st.st_size != bytes)
        *place = (str){0};
    return ERR_OK;
}

static err_code take_model(const answer *a, err *e) {
    char hex[65];
    str url, name;
    offer_file f = {.what = {.digest = DIGEST_SHA256}};
    TRY(read_layer(a->model, &f.what.sha256, &f.what.bytes, e));
    hash_hex(f.what.sha256, hex);
    TRY(offer_format(a->out, &url, e, "%s/v2/%s/%s/blobs/sha256:%s", a->endpoint, a->ref->space, a->ref->repo, hex));
    TRY(offer_format(a->out, &name, e, "%s-%s.gguf", a->ref->repo, a->ref->pick));
    TRY(place_of(a, f.what.sha256, f.what.bytes, &f.place, e));
    f.what.url = url.p;
    f.name = name;
    a->out->gguf = true;
    TRY(offer_text(a->out, str_from(hex), &a->out->revision, e));
    return offer_add(a->out, &f, e);
}

/* The first line of a licence's text that says something: "Apache License". */
static err_code take_licence(const answer *a, str text, err *e) {
    for (size_t at = 0; at < text.n;) {
        ptrdiff_t end = str_find(text, STR("\n"), at);
        str line = str_sub(text, at, end < 0 ? text.n : (size_t)end);
        at = end < 0 ? text.n : (size_t)end + 1;
        while (line.n > 0 && (unsigned char)*line.p <= ' ')
            line = str_sub(line, 1, line.n);
        while (line.n > 0 && (unsigned char)line.p[line.n - 1] <= ' ')
            line.n--;
        if (line.n > 0)
            return offer_text(a->out, line, &a->out->licence, e);
    }
    return ERR_OK;
}

/* From the store or, with o, from the registry. A licence that cannot be had is one that is not told. */
static err_code find_licence(const answer *a, const http_options *o, err *e) {
    hash256 sha256;
    uint64_t bytes;
    str place, url;
    char hex[65];
    strbuf text = {0};
    http_answer got = {0};
    if (!a->licence)
        return ERR_OK;
    TRY(read_layer(a->licence, &sha256, &bytes, e));
    TRY(place_of(a, sha256, bytes, &place, e));
    hash_hex(sha256, hex);
    TRY(offer_format(a->out, &url, e, "%s/v2/%s/%s/blobs/sha256:%s", a->endpoint, a->ref->space, a->ref->repo, hex));
    err_code code = ERR_OK;
    if (place.n > 0)
        code = os_read_regular(place.p, LICENCE_BYTES_MAX, &text, NULL);
    else if (o)
        code = http_get(o, url.p, NULL, false, LICENCE_BYTES_MAX, &text, &got, NULL);
    bool sound = code == ERR_OK && text.n > 0 && memcmp(hash_of(text.p, text.n).byte, sha256.byte, 32) == 0;
    code = sound ? take_licence(a, strbuf_str(&text), e) : ERR_OK;
    strbuf_fini(&text);
    return code;
}

static err_code read_root(answer *a, const json_t *root, const http_options *o, err *e) {
    TRY(sort_layers(a, json_object_get(root, "layers"), e));
    TRY(take_model(a, e));
    TRY(offer_named(a->out, a->ref, (str){0}, e));
    return find_licence(a, o, e);
}

static err_code read_manifest(offer *out, const hub_ref *ref, const char *endpoint, const char *store,
                              const http_options *o, str text, err *e) {
    json_t *root = NULL;
    TRY(json_read(text, MANIFEST_BYTES_MAX, &root, e));
    *out = (offer){.mem = {.max_bytes = 4 << 20}};
    answer a = {.out = out, .ref = ref, .endpoint = endpoint, .store = store && *store ? store : NULL};
    err_code code = read_root(&a, root, o, e);
    json_decref(root);
    if (code != ERR_OK)
        offer_close(out);
    return code;
}

err_code ollama_read(offer *out, const hub_ref *ref, const char *endpoint, const char *store, str text, err *e) {
    return read_manifest(out, ref, endpoint, store, NULL, text, e);
}

err_code ollama_offer(offer *out, const hub_ref *ref, const http_options *o, err *e) {
    char url[REF_URL_MAX], store[OS_PATH_BYTES];
    http_answer a;
    strbuf text = {0};
    TRY(ollama_store(store, e));
    int n = snprintf(url, sizeof url, "%s/v2/%s/%s/manifests/%s", o->ollama_endpoint, ref->space, ref->repo, ref->pick);
    if (n < 0 || (size_t)n >= sizeof url)
        return err_set(e, ERR_LIMIT, "%.200s...: the URL is too long", url);
    err_code code = http_get(o, url, MANIFEST_TYPE, false, MANIFEST_BYTES_MAX, &text, &a, e);
    if (code == ERR_OK && a.status != 200)
        code = http_refused(&a, url, e);
    else if (code == ERR_OK) {
        code = read_manifest(out, ref, o->ollama_endpoint, store, o, strbuf_str(&text), e);
        if (code != ERR_OK)
            err_in(e, code, "%.200s", url);
    }
    strbuf_fini(&text);
    return code;
}

err_code ollama_store(char out[OS_PATH_BYTES], err *e) {
    const char *own = getenv("OLLAMA_MODELS"), *home = getenv("HOME");
    *out = 0;
    if (own && *own)
        return os_join(out, own, "", e);
    return home && *home ? os_join(out, home, ".ollama/models", e) : ERR_OK;
}

err_code ollama_cached(offer *out, const hub_ref *ref, const char *store, bool *found, err *e) {
    char path[OS_PATH_BYTES];
    strbuf text = {0};
    int n = snprintf(path, sizeof path, "%s/manifests/registry.ollama.ai/%s/%s/%s", store, ref->space, ref->repo,
                     ref->pick);
    *found = *store && n > 0 && n < (int)sizeof path && os_exists(path);
    if (!*found)
        return ERR_OK;
    err_code code = os_read_regular(path, MANIFEST_BYTES_MAX, &text, e);
    if (code == ERR_OK)
        code = read_manifest(out, ref, "", store, NULL, strbuf_str(&text), e);
    strbuf_fini(&text);
    return code == ERR_OK ? code : err_in(e, code, "%s", path);
}
