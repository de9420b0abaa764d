/* bundle: see bundle.h. */
#include "sign/bundle.h"

#include <string.h>

#include "text/base64.h"
#include "text/json.h"

#define MEDIA_TYPE "application/vnd.dev.sigstore.bundle.v0.3+json"
#define PAYLOAD_TYPE "application/vnd.in-toto+json"
#define STATEMENT_TYPE "https://in-toto.io/Statement/v1"
#define PREDICATE_TYPE "https://model_signing/signature/v1.0"

/* ---- writing ---- */

static err_code put_digest(hash256 h, strbuf *out, err *e) {
    char hex[65];
    hash_hex(h, hex);
    return strbuf_addf(out, e, "\"%s\"", hex);
}

err_code statement_write(const manifest *m, strbuf *out, err *e) {
    hash256 root;
    TRY(manifest_root(m, &root, e));
    TRY(strbuf_add(out, STR("{\"_type\":\"" STATEMENT_TYPE "\",\"subject\":[{\"name\":"), e));
    TRY(json_quote(m->model, out, e));
    TRY(strbuf_add(out, STR(",\"digest\":{\"sha256\":"), e));
    TRY(put_digest(root, out, e));
    TRY(strbuf_addf(out, e,
                    "}}],\"predicateType\":\"" PREDICATE_TYPE
                    "\",\"predicate\":{\"serialization\":{\"method\":\"files\","
                    "\"hash_type\":\"sha256\",\"allow_symlinks\":%s",
                    m->allow_symlinks ? "true" : "false"));
    for (size_t i = 0; i < m->n_ignore; i++) {
        TRY(strbuf_add(out, i ? STR(",") : STR(",\"ignore_paths\":["), e));
        TRY(json_quote(m->ignore[i], out, e));
    }
    TRY(strbuf_add(out, m->n_ignore ? STR("]},\"resources\":[") : STR("},\"resources\":["), e));
    for (size_t i = 0; i < m->n; i++) {
        TRY(strbuf_add(out, i ? STR(",{\"name\":") : STR("{\"name\":"), e));
        TRY(json_quote(m->item[i].name, out, e));
        TRY(strbuf_add(out, STR(",\"algorithm\":\"sha256\",\"digest\":"), e));
        TRY(put_digest(m->item[i].digest, out, e));
        TRY(strbuf_addc(out, '}', e));
    }
    return strbuf_add(out, STR("]}}"), e);
}

err_code bundle_signed_bytes(str statement, strbuf *out, err *e) {
    TRY(strbuf_addf(out, e, "DSSEv1 %zu " PAYLOAD_TYPE " %zu ", sizeof PAYLOAD_TYPE - 1, statement.n));
    return strbuf_add(out, statement, e);
}

err_code bundle_write(str statement, str signature, const char *hint, strbuf *out, err *e) {
    TRY(strbuf_addf(out, e,
                    "{\"mediaType\":\"" MEDIA_TYPE "\",\"verificationMaterial\":{\"publicKey\":{\"hint\":\"%s\"},"
                    "\"tlogEntries\":[]},\"dsseEnvelope\":{\"payload\":\"",
                    hint));
    TRY(base64_put(statement, out, e));
    TRY(strbuf_add(out, STR("\",\"payloadType\":\"" PAYLOAD_TYPE "\",\"signatures\":[{\"sig\":\""), e));
    TRY(base64_put(signature, out, e));
    return strbuf_add(out, STR("\",\"keyid\":\"\"}]}}\n"), e);
}

/* ---- reading ---- */

static err_code want(const json_t *obj, const char *key, const char *value, err *e) {
    str s;
    TRY(json_want_str(obj, key, &s, e));
    return str_is(s, value)
               ? ERR_OK
               : err_set(e, ERR_UNSUPPORTED, "\"%s\" is \"%.*s\", known is \"%s\"", key, STR_ARG(s), value);
}

static err_code want_object(const json_t *obj, const char *key, const json_t **out, err *e) {
    *out = json_object_get(obj, key);
    return json_is_object(*out) ? ERR_OK : err_set(e, ERR_FORMAT, "\"%s\" is no object", key);
}

/* The one object in an array. */
static err_code want_only(const json_t *obj, const char *key, const json_t **out, err *e) {
    const json_t *array = json_object_get(obj, key);
    if (!json_is_array(array) || json_array_size(array) != 1)
        return err_set(e, ERR_FORMAT, "\"%s\" must be a list of one", key);
    *out = json_array_get(array, 0);
    return json_is_object(*out) ? ERR_OK : err_set(e, ERR_FORMAT, "\"%s\" must hold an object", key);
}

static err_code want_digest(const json_t *obj, const char *key, hash256 *out, err *e) {
    str hex;
    TRY(json_want_str(obj, key, &hex, e));
    static const char digits[] = "0123456789abcdef";
    bool good = hex.n == 64;
    for (size_t i = 0; good && i < 64; i++) {
        const char *at = hex.p[i] ? strchr(digits, hex.p[i]) : NULL;
        good = at != NULL;
        uint8_t v = (uint8_t)(good ? at - digits : 0);
        out->byte[i / 2] = (uint8_t)(i % 2 ? out->byte[i / 2] | v : v << 4);
    }
    return good ? ERR_OK : err_set(e, ERR_FORMAT, "\"%s\" is no SHA-256: \"%.*s\"", key, STR_ARG(hex));
}

static err_code keep(manifest *m, str s, str *out, err *e) {
    *out = arena_str(&m->mem, s);
    return out->p ? ERR_OK : arena_short(e, s.n, 1);
}

/* Below the model: no absolute path, no "..", no empty component, no NUL. "." alone is the model itself. */
static bool is_inside(str name) {
    if (str_is(name, "."))
        return true;
    for (size_t from = 0, to; from <= name.n; from = to + 1) {
        for (to = from; to < name.n && name.p[to] != '/'; to++)
            if (!name.p[to])
                return false;
        str part = str_sub(name, from, to);
        if (part.n == 0 || str_is(part, ".") || str_is(part, ".."))
            return false;
    }
    return name.n <= MANIFEST_PATH_BYTES_MAX;
}

static err_code read_serialization(manifest *m, const json_t *s, err *e) {
    TRY(want(s, "method", "files", e));
    TRY(want(s, "hash_type", "sha256", e));
    m->allow_symlinks = json_get_bool(s, "allow_symlinks", false);
    const json_t *list = json_object_get(s, "ignore_paths");
    if (list && !json_is_array(list))
        return err_set(e, ERR_FORMAT, "\"ignore_paths\" is no list");
    size_t n = json_array_size(list);
    if (n > MANIFEST_IGNORES_MAX)
        return err_set(e, ERR_LIMIT, "more than %d ignored paths", MANIFEST_IGNORES_MAX);
    ARENA_NEW(&m->mem, m->ignore, n, e);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_string(v))
            return err_set(e, ERR_FORMAT, "\"ignore_paths\" holds something else than text");
        TRY(keep(m, json_str_of(v), &m->ignore[i], e));
        m->n_ignore++;
    }
    return ERR_OK;
}

static err_code read_resources(manifest *m, const json_t *list, hash256 *root, err *e) {
    if (!json_is_array(list))
        return err_set(e, ERR_FORMAT, "\"resources\" is no list");
    size_t n = json_array_size(list);
    if (n > MANIFEST_FILES_MAX)
        return err_set(e, ERR_LIMIT, "more than %d files", MANIFEST_FILES_MAX);
    ARENA_NEW(&m->mem, m->item, n, e);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        str name;
        if (!json_is_object(v))
            return err_set(e, ERR_FORMAT, "resource %zu is no object", i);
        TRY(json_want_str(v, "name", &name, e));
        TRY(want(v, "algorithm", "sha256", e));
        TRY(want_digest(v, "digest", &m->item[i].digest, e));
        if (!is_inside(name))
            return err_set(e, ERR_FORMAT, "resource %zu is no path inside a model: \"%.*s\"", i, STR_ARG(name));
        TRY(keep(m, name, &m->item[i].name, e));
        m->n++;
    }
    TRY(manifest_root(m, root, e)); /* in the order of the statement */
    return manifest_sort(m, e);
}

static err_code read_statement(manifest *m, const json_t *top, err *e) {
    const json_t *subject, *digest, *predicate, *serialization;
    hash256 says, is;
    str name;
    if (!json_is_object(top))
        return err_set(e, ERR_FORMAT, "is no object");
    TRY(want(top, "_type", STATEMENT_TYPE, e));
    TRY(want(top, "predicateType", PREDICATE_TYPE, e));
    TRY(want_only(top, "subject", &subject, e));
    TRY(json_want_str(subject, "name", &name, e));
    TRY(keep(m, name, &m->model, e));
    TRY(want_object(subject, "digest", &digest, e));
    TRY(want_digest(digest, "sha256", &says, e));
    TRY(want_object(top, "predicate", &predicate, e));
    TRY(want_object(predicate, "serialization", &serialization, e));
    TRY(read_serialization(m, serialization, e));
    TRY(read_resources(m, json_object_get(predicate, "resources"), &is, e));
    if (memcmp(&says, &is, sizeof is) != 0)
        return err_set(e, ERR_FORMAT, "the subject's digest is not that of the files it lists");
    return ERR_OK;
}

err_code statement_read(manifest *m, str text, err *e) {
    json_t *top = NULL;
    *m = (manifest){.mem = {.max_bytes = (size_t)1 << 30}};
    err_code code = json_read(text, BUNDLE_BYTES_MAX, &top, e);
    if (code == ERR_OK)
        code = read_statement(m, top, e);
    json_decref(top);
    if (code != ERR_OK)
        manifest_fini(m);
    return code == ERR_OK ? code : err_in(e, code, "statement");
}

static err_code read_material(bundle *b, const json_t *material, err *e) {
    const json_t *key = json_object_get(material, "publicKey");
    static const char *const keyless[] = {"certificate", "x509CertificateChain"};
    for (size_t i = 0; i < sizeof keyless / sizeof *keyless; i++)
        if (json_object_get(material, keyless[i]))
            return err_set(e, ERR_UNSUPPORTED, "is signed with a certificate; Loam checks signatures made with a key");
    if (!json_is_object(key))
        return err_set(e, ERR_FORMAT, "\"publicKey\" is no object");
    str hint = json_get_str(key, "hint", (str){0});
    if (hint.n == 0)
        return ERR_OK;
    hash256 unused;
    TRY(want_digest(key, "hint", &unused, e));
    memcpy(b->hint, hint.p, 64);
    return ERR_OK;
}

static err_code read_bundle(bundle *b, const json_t *top, err *e) {
    const json_t *material, *envelope, *signature;
    str payload, sig;
    if (!json_is_object(top))
        return err_set(e, ERR_FORMAT, "is no object");
    TRY(want(top, "mediaType", MEDIA_TYPE, e));
    TRY(want_object(top, "verificationMaterial", &material, e));
    TRY(read_material(b, material, e));
    TRY(want_object(top, "dsseEnvelope", &envelope, e));
    TRY(want(envelope, "payloadType", PAYLOAD_TYPE, e));
    TRY(json_want_str(envelope, "payload", &payload, e));
    TRY(want_only(envelope, "signatures", &signature, e));
    TRY(json_want_str(signature, "sig", &sig, e));
    err_code code = base64_get(payload, &b->statement, e);
    if (code != ERR_OK)
        return err_in(e, code, "\"payload\"");
    code = base64_get(sig, &b->signature, e);
    return code == ERR_OK ? code : err_in(e, code, "\"sig\"");
}

err_code bundle_read(bundle *b, str text, err *e) {
    json_t *top = NULL;
    TRY(json_read(text, BUNDLE_BYTES_MAX, &top, e));
    err_code code = read_bundle(b, top, e);
    json_decref(top);
    return code;
}

void bundle_fini(bundle *b) {
    strbuf_fini(&b->statement);
    strbuf_fini(&b->signature);
    *b = (bundle){0};
}
