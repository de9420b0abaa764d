/* relearn: see relearn.h. */
#include "train/relearn.h"

#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "text/json.h"
#include "tok/bpe_train.h"

enum { JSON_BYTES_MAX = 256 << 20 };

typedef struct {
    run *r;
    const picked *without; /* NULL: all documents */
    pool *pool;
    bpe_train_options o;
} study;

static err_code add_all(const study *l, bpe_trainer *t, err *e) {
    docs *d = &l->r->docs;
    for (size_t i = 0; i < d->n; i++) {
        str text;
        if (l->without && l->without->is[i])
            continue;
        TRY(docs_text(d, i, &text, e));
        TRY(bpe_train_add(t, text, e));
        if (l->o.cancel && *l->o.cancel)
            return err_set(e, ERR_CANCELLED, "stopped");
    }
    return ERR_OK;
}

static err_code learn(const study *l, strbuf *json, err *e) {
    bpe_trainer *t;
    json->n = 0;
    TRY(bpe_train_open(&t, &l->o, l->pool, e));
    err_code code = add_all(l, t, e);
    if (code == ERR_OK)
        code = bpe_train_learn(t, e);
    if (code == ERR_OK)
        code = bpe_train_json(t, json, e);
    bpe_train_close(t);
    return code;
}

/* Special tokens and the number of pieces. `special` has slices of root's strings. */
static bool take_options(const json_t *root, study *l, str special[BPE_TRAIN_SPECIAL_MAX]) {
    const json_t *added = json_object_get(root, "added_tokens");
    const json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    size_t n = json_array_size(added);
    if (n > BPE_TRAIN_SPECIAL_MAX || json_object_size(vocab) < n + BPE_TRAIN_BYTES ||
        json_object_size(vocab) > BPE_TRAIN_VOCAB_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        special[i] = json_get_str(json_array_get(added, i), "content", STR(""));
    l->o.special = special;
    l->o.n_special = n;
    l->o.n_vocab = json_object_size(vocab);
    l->o.min_count = 2;
    l->o.piece_bytes_max = BPE_TRAIN_PIECE_BYTES_MAX;
    l->o.allow_fewer = true;
    return true;
}

/* The pattern that gives the file again. */
static err_code find_pattern(study *l, str was, bool *found, err *e) {
    strbuf json = {0};
    err_code code = ERR_OK;
    *found = false;
    for (const bpe_pattern *p = bpe_patterns; p->name && !*found; p++) {
        err mine = {0};
        l->o.pattern = p;
        code = learn(l, &json, &mine);
        if (code == ERR_CANCELLED || code == ERR_MEMORY || code == ERR_IO) {
            if (e)
                *e = mine;
            break;
        }
        *found = code == ERR_OK && str_eq(strbuf_str(&json), was);
        code = ERR_OK; /* options it cannot have been learnt with */
    }
    strbuf_fini(&json);
    return code;
}

static err_code count_lost(const json_t *root, relearnt *out, err *e) {
    json_t *now = NULL;
    const char *piece;
    json_t *v;
    TRY(json_read(strbuf_str(&out->json), JSON_BYTES_MAX, &now, e));
    const json_t *vocab = json_object_get(json_object_get(now, "model"), "vocab");
    json_object_foreach(json_object_get(json_object_get(root, "model"), "vocab"), piece, v) {
        out->pieces++;
        out->lost += json_object_get(vocab, piece) == NULL;
    }
    out->new_pieces = json_object_size(vocab);
    json_decref(now);
    return ERR_OK;
}

static err_code compare(relearnt *out, study *l, const json_t *root, str was, const picked *without, err *e) {
    str *special = calloc(BPE_TRAIN_SPECIAL_MAX, sizeof *special);
    if (!special)
        return err_set(e, ERR_MEMORY, "no memory for special tokens");
    err_code code = ERR_OK;
    if (take_options(root, l, special))
        code = find_pattern(l, was, &out->known, e);
    if (code == ERR_OK && out->known) {
        l->without = without;
        code = learn(l, &out->json, e);
        if (code == ERR_OK)
            code = count_lost(root, out, e);
        out->same = str_eq(strbuf_str(&out->json), was);
    }
    free(special);
    return code;
}

err_code relearn(relearnt *out, run *r, const picked *without, pool *p, const volatile int *cancel, err *e) {
    study l = {.r = r, .pool = p, .o = {.cancel = cancel}};
    run_path path;
    strbuf was = {0};
    json_t *root = NULL;
    *out = (relearnt){0};
    TRY(run_file(r, "tokenizer/tokenizer.json", &path, e));
    err_code code = os_read_regular(path.text, JSON_BYTES_MAX, &was, e);
    if (code == ERR_OK && (code = json_read(strbuf_str(&was), JSON_BYTES_MAX, &root, e)) != ERR_OK)
        err_in(e, code, "%s", path.text);
    if (code == ERR_OK)
        code = compare(out, &l, root, strbuf_str(&was), without, e);
    json_decref(root);
    strbuf_fini(&was);
    if (code != ERR_OK)
        relearn_fini(out);
    return code;
}

void relearn_fini(relearnt *x) {
    strbuf_fini(&x->json);
    *x = (relearnt){0};
}
