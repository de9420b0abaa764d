/* gather_file: what a GGUF file or a Hugging Face folder tells of itself. What it does not, is told as unknown. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "card/facts.h"
#include "io/gguf.h"
#include "io/safetensors.h"
#include "model/config.h"
#include "sign/manifest.h"
#include "text/json.h"
#include "tok/tokenizer.h"
#include "tune/base.h"

enum { CONFIG_BYTES_MAX = 16 << 20, README_BYTES_MAX = 4 << 20, FRONT_LINES_MAX = 2000, METADATA_MAX = 200 };

/* ---- both forms ---- */

static void take_shape(card_facts *f, const model_config *c) {
    f->shape.known = true;
    f->shape.layers = c->L;
    f->shape.width = c->D;
    f->shape.heads = c->H;
    f->shape.kv_heads = c->G;
    f->shape.head_width = c->K;
    f->shape.ff = c->F;
    f->shape.vocab = c->V;
    f->shape.ctx = c->ctx_train;
    f->shape.window = c->window;
    f->shape.tied = c->tied;
}

static err_code take_tensors(card_facts *f, const tensor_ref *t, size_t n, err *e) {
    uint64_t by_type[DTYPE_COUNT] = {0};
    strbuf b = {0};
    for (size_t i = 0; i < n; i++) {
        uint64_t elements = 1;
        for (int d = 0; d < t[i].n_dims; d++)
            elements *= t[i].dims[d];
        f->parameters += elements;
        f->bytes += t[i].bytes;
        by_type[t[i].type]++;
    }
    f->tensors = n;
    err_code code = ERR_OK;
    for (size_t k = 0; k < DTYPE_COUNT && code == ERR_OK; k++)
        if (by_type[k])
            code = strbuf_addf(&b, e, "%s%" PRIu64 " %s", b.n ? ", " : "", by_type[k], dtype_table[k].name);
    if (code == ERR_OK)
        code = facts_clean(f, strbuf_str(&b), &f->types, e);
    strbuf_fini(&b);
    return code;
}

static err_code take_tokenizer(card_facts *f, const tokenizer *t, const char *path, const err *why, err *e) {
    if (!t)
        return facts_lack_by(f, "tokenizer", path, why, e);
    f->tokenizer_vocab = (uint64_t)tokenizer_n_vocab(t);
    if (f->shape.known && f->shape.vocab == 0) /* the file leaves it to its tokenizer */
        f->shape.vocab = f->tokenizer_vocab;
    f->chat_template = tokenizer_chat_template(t).n > 0;
    return facts_clean(f, str_from(tokenizer_kind(t)), &f->tokenizer, e);
}

/* What a model's file cannot tell, whoever made it. */
static err_code lack_the_usual(card_facts *f, err *e) {
    if (!f->data.named)
        TRY(facts_lack(f, "training data",
                       f->datasets.n
                           ? "the model names data sets, but nothing shows that it was trained on exactly these"
                           : "the model does not say what it was trained on, nor under which licences",
                       e));
    else
        TRY(facts_lack(f, "data set", "the file names it by its digest alone; the run's folder tells more", e));
    if (!f->by_loam)
        TRY(facts_lack(f, "recipe", "how it was trained is not recorded in a form that could be executed again", e));
    return ERR_OK;
}

/* ---- GGUF ---- */

static err_code told(const gguf_file *g, card_facts *f, const char *key, str *out, err *e) {
    str s = {0};
    if (gguf_get_str(g, key, (str){0}, &s, NULL) != ERR_OK || s.n == 0)
        return ERR_OK;
    return facts_clean(f, s, out, e);
}

/* An array of strings, with commas between. */
static err_code told_list(const gguf_file *g, card_facts *f, const char *key, str *out, err *e) {
    const gguf_kv *kv = gguf_find(g, key);
    gguf_iter it = {0};
    strbuf b = {0};
    str s;
    err_code code = ERR_OK;
    if (!kv || kv->elem != GGUF_STRING)
        return ERR_OK;
    for (int i = 0; i < FACTS_ROWS_SHOWN && code == ERR_OK && gguf_next_str(kv, &it, &s); i++) {
        code = strbuf_add(&b, b.n ? STR(", ") : STR(""), e);
        if (code == ERR_OK)
            code = strbuf_add(&b, str_sub(s, 0, FACTS_TEXT_BYTES_MAX), e);
    }
    if (code == ERR_OK && b.n)
        code = facts_clean(f, strbuf_str(&b), out, e);
    strbuf_fini(&b);
    return code;
}

static err_code take_keys(card_facts *f, const gguf_file *g, err *e) {
    static const char *const licences[] = {"general.license", "general.license.name", "general.license.link"};
    static const char *const authors[] = {"general.author", "general.organization"};
    static const char *const urls[] = {"general.url", "general.source.url", "general.repo_url",
                                       "general.source.repo_url"};
    TRY(told(g, f, "general.name", &f->name, e));
    TRY(told(g, f, "general.architecture", &f->shape.family, e));
    TRY(told(g, f, "general.version", &f->said.version, e));
    TRY(told(g, f, "general.description", &f->said.description, e));
    for (size_t i = 0; i < 3 && f->licence_text.n == 0; i++)
        TRY(told(g, f, licences[i], &f->licence_text, e));
    for (size_t i = 0; i < 2 && f->said.by.n == 0; i++)
        TRY(told(g, f, authors[i], &f->said.by, e));
    for (size_t i = 0; i < 4 && f->said.url.n == 0; i++)
        TRY(told(g, f, urls[i], &f->said.url, e));
    TRY(told(g, f, "general.base_model.0.repo_url", &f->base, e));
    if (f->base.n == 0)
        TRY(told(g, f, "general.base_model.0.name", &f->base, e));
    TRY(told_list(g, f, "general.languages", &f->languages, e));
    TRY(told_list(g, f, "general.datasets", &f->datasets, e));
    if (f->datasets.n == 0)
        TRY(told(g, f, "general.dataset.0.name", &f->datasets, e));
    return ERR_OK;
}

/* general.* as it stands: what a reader may want and no field here has. */
static err_code take_metadata(card_facts *f, const gguf_file *g, err *e) {
    for (size_t i = 0; i < g->n_kv && f->metadata.n < METADATA_MAX; i++) {
        const gguf_kv *kv = &g->kv[i];
        str value = {0};
        if (!str_starts(kv->key, STR("general.")) || kv->type == GGUF_ARRAY)
            continue;
        if (kv->type == GGUF_STRING)
            value = (str){(const char *)kv->p, kv->bytes};
        else if (kv->type == GGUF_F32 || kv->type == GGUF_F64)
            TRY(facts_format(f, &value, e, "%.9g", gguf_f64_at(kv, 0)));
        else
            TRY(facts_format(f, &value, e, "%" PRId64, gguf_i64_at(kv, 0)));
        TRY(facts_add(f, &f->metadata, kv->key, value, e));
    }
    return ERR_OK;
}

/* What Loam writes into models that it has trained (train/publish.h). The file says so; only verifying the run proves
 * it. */
static err_code take_origin(card_facts *f, const gguf_file *g, err *e) {
    static const struct {
        const char *key, *name;
    } digests[] = {
        {"loam.recipe.digest", "recipe"}, {"loam.data.digest", "data"}, {"loam.tokenizer.digest", "tokenizer"},
        {"loam.base.digest", "base"},     {"loam.weights", "weights"},  {"loam.chain", "chain"}};
    str text = {0}, s;
    hash256 h;
    if (gguf_get_str(g, "loam.recipe", (str){0}, &text, NULL) != ERR_OK || text.n == 0)
        return ERR_OK;
    json_t *top = NULL, *section, *v;
    const char *key, *inner;
    if (json_read(text, 1 << 16, &top, NULL) != ERR_OK)
        return facts_lack(f, "recipe", "the file holds one that cannot be read", e);
    f->by_loam = true;
    err_code code = ERR_OK;
    json_object_foreach(top, key, section) json_object_foreach(section, inner, v) {
        strbuf name = {0};
        char *value = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
        if (code == ERR_OK)
            code = strbuf_addf(&name, e, "%.80s.%.80s", key, inner);
        if (code == ERR_OK)
            code = facts_add(f, &f->recipe, strbuf_str(&name), json_is_string(v) ? json_str_of(v) : str_from(value), e);
        free(value);
        strbuf_fini(&name);
    }
    json_decref(top);
    for (size_t i = 0; i < sizeof digests / sizeof *digests && code == ERR_OK; i++)
        if (gguf_get_str(g, digests[i].key, (str){0}, &s, NULL) == ERR_OK && hash_from_hex(s, &h)) {
            code = facts_add_hash(f, digests[i].name, h, e);
            if (strcmp(digests[i].name, "data") == 0) {
                f->data.named = true;
                f->data.digest = h;
            }
        }
    return code;
}

static err_code take_gguf(card_facts *f, const gguf_file *g, const char *path, err *e) {
    arena scratch = {.max_bytes = (size_t)64 << 20};
    model_config c;
    tokenizer *t = NULL;
    err why = {0};
    TRY(take_keys(f, g, e));
    TRY(take_metadata(f, g, e));
    TRY(take_tensors(f, g->tensor, g->n_tensors, e));
    TRY(take_origin(f, g, e));
    if (f->name.n == 0)
        TRY(facts_clean(f, os_last_part(path), &f->name, e));
    if (config_from_gguf(&c, g, &scratch, &why) == ERR_OK)
        take_shape(f, &c);
    arena_fini(&scratch);
    if (!f->shape.known)
        TRY(facts_lack_by(f, "shape", path, &why, e));
    bool good = tokenizer_open_gguf(&t, g, &why) == ERR_OK;
    err_code code = take_tokenizer(f, good ? t : NULL, path, &why, e);
    if (good)
        tokenizer_close(t);
    return code;
}

/* Of a model in several files that of each, and one of them all. */
static err_code take_parts(card_facts *f, const gguf_file *g, strbuf *lines, err *e) {
    for (size_t i = 0; i <= g->n_more; i++) {
        const char *path = i == 0 ? g->path : g->more[i - 1].path;
        hash256 h;
        TRY(base_digest_line(lines, path, &h, e));
        TRY(facts_add_hash(f, os_last_part(path).p, h, e));
    }
    f->identity = hash_of(lines->p, lines->n);
    return facts_add_hash(f, "all parts", f->identity, e);
}

static err_code take_file(card_facts *f, const gguf_file *g, err *e) {
    strbuf lines = {0};
    if (g->n_more > 0) {
        err_code code = take_parts(f, g, &lines, e);
        strbuf_fini(&lines);
        return code;
    }
    TRY(hash_file(g->path, &f->identity, e));
    return facts_add_hash(f, "file", f->identity, e);
}

err_code facts_of_gguf(card_facts *f, const char *path, err *e) {
    gguf_file g;
    TRY(gguf_open(&g, path, e));
    err_code code = take_gguf(f, &g, path, e);
    if (code == ERR_OK)
        code = take_file(f, &g, e);
    gguf_close(&g);
    TRY(code);
    return lack_the_usual(f, e);
}

/* ---- a Hugging Face folder ---- */

static str trim(str s) {
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = str_sub(s, 1, s.n);
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
        s.n--;
    if (s.n > 1 && (s.p[0] == '"' || s.p[0] == '\'') && s.p[s.n - 1] == s.p[0])
        s = str_sub(s, 1, s.n - 1);
    return s;
}

/* "[a, b]" without its brackets. */
static str unlist(str s) { return s.n > 1 && s.p[0] == '[' && s.p[s.n - 1] == ']' ? str_sub(s, 1, s.n - 1) : s; }

static err_code append(card_facts *f, str *to, str value, err *e) {
    if (value.n == 0)
        return ERR_OK;
    strbuf b = {0};
    err_code code = strbuf_add(&b, *to, e);
    if (code == ERR_OK && to->n)
        code = strbuf_add(&b, STR(", "), e);
    if (code == ERR_OK)
        code = strbuf_add(&b, str_sub(value, 0, FACTS_TEXT_BYTES_MAX), e);
    if (code == ERR_OK)
        code = facts_clean(f, strbuf_str(&b), to, e);
    strbuf_fini(&b);
    return code;
}

/* The front matter of README.md: lines "key: value" and lists of "- value" below a key, between two lines "---". It is
 * YAML; what goes beyond these two forms is passed over. */
static err_code take_front(card_facts *f, str text, err *e) {
    const struct {
        const char *key;
        str *to;
    } keys[] = {{"license", &f->licence_text},
                {"license_name", &f->licence_text},
                {"datasets", &f->datasets},
                {"language", &f->languages},
                {"base_model", &f->base}};
    str *to = NULL;
    if (!str_starts(text, STR("---\n")) && !str_starts(text, STR("---\r\n")))
        return ERR_OK;
    size_t at = (size_t)str_find(text, STR("\n"), 0) + 1;
    for (int i = 0; i < FRONT_LINES_MAX && at < text.n; i++) {
        ptrdiff_t end = str_find(text, STR("\n"), at);
        str line = str_sub(text, at, end < 0 ? text.n : (size_t)end);
        at = end < 0 ? text.n : (size_t)end + 1;
        str plain = trim(line);
        if (str_is(plain, "---"))
            break;
        if (to && str_starts(plain, STR("- "))) {
            TRY(append(f, to, trim(str_sub(plain, 2, plain.n)), e));
            continue;
        }
        ptrdiff_t colon = str_find(line, STR(":"), 0);
        to = NULL;
        for (size_t k = 0; colon > 0 && k < sizeof keys / sizeof *keys; k++)
            if (str_is(str_sub(line, 0, (size_t)colon), keys[k].key))
                to = keys[k].to;
        if (!to)
            continue;
        str value = unlist(trim(str_sub(line, (size_t)colon + 1, line.n)));
        if (to == &f->licence_text) { /* "other" is told better by license_name */
            if (str_is(to[0], "other"))
                *to = (str){0};
            if (to->n)
                continue;
        }
        TRY(append(f, to, value, e));
    }
    return ERR_OK;
}

static err_code take_readme(card_facts *f, const char *folder, err *e) {
    char path[OS_PATH_BYTES];
    strbuf text = {0};
    TRY(os_join(path, folder, "README.md", e));
    err_code code = os_exists(path) ? os_read_regular(path, README_BYTES_MAX, &text, e) : ERR_OK;
    if (code == ERR_OK)
        code = take_front(f, strbuf_str(&text), e);
    strbuf_fini(&text);
    return code;
}

static err_code take_config(card_facts *f, const char *folder, err *e) {
    char path[OS_PATH_BYTES];
    strbuf text = {0};
    json_t *top = NULL;
    err why = {0};
    arena scratch = {.max_bytes = (size_t)64 << 20};
    model_config c;
    str prefix;
    TRY(os_join(path, folder, "config.json", e));
    err_code code = os_read_regular(path, CONFIG_BYTES_MAX, &text, e);
    if (code == ERR_OK && (code = json_read(strbuf_str(&text), CONFIG_BYTES_MAX, &top, e)) != ERR_OK)
        err_in(e, code, "%s", path);
    if (code == ERR_OK)
        code = facts_clean(f, json_get_str(top, "model_type", (str){0}), &f->shape.family, e);
    if (code == ERR_OK && config_from_json(&c, top, &scratch, &prefix, &why) == ERR_OK)
        take_shape(f, &c);
    else if (code == ERR_OK)
        code = facts_lack_by(f, "shape", path, &why, e);
    arena_fini(&scratch);
    json_decref(top);
    strbuf_fini(&text);
    return code;
}

static err_code take_files(card_facts *f, const char *folder, const facts_options *o, err *e) {
    static const str left_out[] = {{".git", 4}, {".cache", 6}, {"model.sig", 9}};
    manifest m;
    manifest_options mo = {.allow_symlinks = true, .ignore = left_out, .n_ignore = 3, .pool = o->pool, .stop = o->stop};
    TRY(manifest_make(&m, folder, &mo, e));
    err_code code = manifest_root(&m, &f->identity, e);
    if (code == ERR_OK)
        code = facts_add_hash(f, "all files", f->identity, e);
    for (size_t i = 0; i < m.n && i < FACTS_ROWS_SHOWN && code == ERR_OK; i++) {
        char hex[65];
        hash_hex(m.item[i].digest, hex);
        code = facts_add(f, &f->digest, m.item[i].name, str_from(hex), e);
    }
    manifest_fini(&m);
    return code;
}

static err_code take_weights(card_facts *f, const char *folder, err *e) {
    safetensors s;
    err why = {0};
    if (safetensors_open(&s, folder, &why) != ERR_OK)
        return facts_lack_by(f, "tensors", folder, &why, e);
    err_code code = take_tensors(f, s.tensor, s.n_tensors, e);
    safetensors_close(&s);
    return code;
}

err_code facts_of_folder(card_facts *f, const char *path, const facts_options *o, err *e) {
    char full[OS_PATH_BYTES], file[OS_PATH_BYTES];
    tokenizer *t = NULL;
    err why = {0};
    TRY(os_join(file, path, "config.json", e));
    if (!os_exists(file))
        return err_set(e, ERR_USAGE, "%s: is neither a run (recipe.json) nor a model's folder (config.json)", path);
    TRY(facts_clean(f, os_last_part(realpath(path, full) ? full : path), &f->name, e));
    TRY(take_config(f, path, e));
    TRY(take_readme(f, path, e));
    TRY(take_weights(f, path, e));
    TRY(take_files(f, path, o, e));
    bool good = tokenizer_open_folder(&t, path, &why) == ERR_OK;
    err_code code = take_tokenizer(f, good ? t : NULL, path, &why, e);
    if (good)
        tokenizer_close(t);
    TRY(code);
    TRY(os_join(file, path, "card.json", e));
    if (os_exists(file))
        TRY(facts_said_file(f, file, e));
    TRY(os_join(file, path, "scores.json", e));
    if (os_exists(file))
        TRY(facts_scores_file(f, file, e));
    return lack_the_usual(f, e);
}
