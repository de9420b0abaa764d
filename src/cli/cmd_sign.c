/* loam sign, loam check: signatures that OpenSSF model signing verifies, and its signatures checked. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "base/pool.h"
#include "cli/load.h"
#include "cli/out.h"
#include "io/gguf_parts.h"
#include "sign/sign.h"
#include "train/verified.h"

typedef struct {
    common_values common;
    const char *key, *new_key, *curve, *signature, *password_file;
    option_list ignore;
    bool git, allow_symlinks, signed_only;
} values;

static const values defaults = {.common = COMMON_DEFAULTS, .curve = "P-256"};

#define AT(field) offsetof(values, field)
#define SHARED_OPTIONS                                                                                                \
    {"signature",   0, OPT_TEXT, "PATH", "the signature's file; default: model.sig in a folder, M.sig beside a file", \
     AT(signature), 0, 0,        NULL},                                                                               \
        {"ignore",   0, OPT_LIST, "PATH", "a file or folder in M that does not count; may be repeated",               \
         AT(ignore), 0, 0,        NULL},                                                                              \
    {                                                                                                                 \
        "allow-symlinks", 0, OPT_FLAG, NULL, "take a symbolic link to a file as that file, instead of refusing it",   \
            AT(allow_symlinks), 0, 0, NULL                                                                            \
    }

static const option sign_options_rows[] = {
    {"key", 0, OPT_TEXT, "K", "the private key, a PEM file", AT(key), 0, 0, NULL},
    {"new-key", 0, OPT_TEXT, "K", "make a pair of keys first: K and K.pub", AT(new_key), 0, 0, NULL},
    {"curve", 0, OPT_CHOICE, "NAME", "of a new key", AT(curve), 0, 0, sign_curves},
    {"password-file", 0, OPT_TEXT, "F",
     "file whose first line is the key's password; without it the environment's LOAM_KEY_PASSWORD counts",
     AT(password_file), 0, 0, NULL},
    SHARED_OPTIONS,
    {"git", 0, OPT_FLAG, NULL, "sign .git, .gitattributes, .github and .gitignore as well", AT(git), 0, 0, NULL},
    {0},
};
static const option check_options_rows[] = {
    {"key", 0, OPT_TEXT, "P", "the public key, a PEM file", AT(key), 0, 0, NULL},
    SHARED_OPTIONS,
    {"signed-only", 0, OPT_FLAG, NULL, "accept files that were not signed beside those that were", AT(signed_only), 0,
     0, NULL},
    {0},
};
#undef AT

static const option_group sign_groups[] = {{"Signing", sign_options_rows, 0}, COMMON_GROUP, {0}};
static const option_group check_groups[] = {{"Checking", check_options_rows, 0}, COMMON_GROUP, {0}};

static err_code print(const values *v, const sign_report *r, const sign_key *k, bool checked, double seconds, err *e) {
    char root[65];
    const manifest *m = &r->files;
    hash_hex(r->root, root);
    if (v->common.json) {
        js_out j = {.e = e};
        js_begin(&j, '{');
        js_key(&j, checked ? "verified" : "signed");
        js_flag(&j, true);
        js_key(&j, "files");
        js_int(&j, (int64_t)m->n);
        js_key(&j, "bytes");
        js_int(&j, (int64_t)m->bytes);
        js_key(&j, "ignored");
        js_begin(&j, '[');
        for (size_t i = 0; i < m->n_ignore; i++)
            js_text(&j, m->ignore[i]);
        js_end(&j, ']');
        js_key(&j, "signature");
        js_text(&j, str_from(r->signature));
        js_key(&j, "curve");
        js_text(&j, str_from(sign_key_curve(k)));
        js_key(&j, "key");
        js_text(&j, str_from(r->hint));
        js_key(&j, "digest");
        js_text(&j, str_from(root));
        js_end(&j, '}');
        return js_print(&j);
    }
    out_printf("%s %zu %s, %s%s\n", checked ? "verified  " : "signed    ", m->n, m->n == 1 ? "file" : "files",
               amount_bytes((double)m->bytes).text,
               !checked         ? ""
               : v->signed_only ? ", all that were signed (others do not count)"
                                : ", those that were signed and no others");
    out_printf("left out  ");
    for (size_t i = 0; i < m->n_ignore; i++) {
        out_text(STR(" "));
        out_foreign(m->ignore[i]);
    }
    out_printf("%s\nsignature  %s\nkey        %s, %s\ndigest     %s\n", m->n_ignore ? "" : " nothing", r->signature,
               sign_key_curve(k), r->hint, root);
    if (v->common.verbose)
        out_note("%s", amount_time(seconds).text);
    return ERR_OK;
}

/* A name that is no file here may be one of the models that came with the program. */
static err_code find(const char *m, load_place *out, err *e) {
    unsigned no, count = 1;
    TRY(os_exists(m) ? os_join(out->path, m, "", e) : load_find(m, out, e));
    if (gguf_part_of(str_from(out->path), &no, &count) && count > 1 && !os_is_dir(out->path))
        return err_set(e, ERR_USAGE, "%s: is one of %u files of a model (give the folder that they stand in)",
                       out->path, count);
    return ERR_OK;
}

static void show(void *ctx, uint64_t done, uint64_t total) { progress_step(ctx, done, total); }

typedef err_code work(const char *model, const sign_key *k, const sign_options *o, sign_report *r, err *e);

static err_code do_work(const values *v, const char *m, const sign_key *k, work *f, bool checked, err *e) {
    load_place place;
    pool *p = NULL;
    sign_report r;
    progress bar = {.what = "hashing"};
    double begun = os_now();
    char note[OS_PATH_BYTES];
    str ignore[OPTION_LIST_MAX + 1];
    size_t n_ignore = v->ignore.n;
    TRY(find(m, &place, e));
    memcpy(ignore, v->ignore.item, sizeof v->ignore.item);
    if (run_is(place.path)) { /* who checks a run verifies it, too, and that leaves a note */
        TRY(os_join(note, place.path, VERIFIED_FILE, e));
        ignore[n_ignore++] = str_from(note);
    }
    TRY(pool_open(&p, (int)v->common.threads, e));
    sign_options o = {.signature = v->signature,
                      .ignore = ignore,
                      .n_ignore = n_ignore,
                      .git_paths = v->git,
                      .allow_symlinks = v->allow_symlinks,
                      .signed_only = v->signed_only,
                      .pool = p,
                      .stop = &interrupt_flag,
                      .progress = show,
                      .progress_ctx = &bar};
    interrupt_catch();
    err_code code = f(place.path, k, &o, &r, e);
    progress_end(&bar);
    pool_close(p);
    if (code != ERR_OK)
        return code;
    code = print(v, &r, k, checked, os_now() - begun, e);
    sign_report_fini(&r);
    return code;
}

static err_code with_password(const values *v, const arguments *args, str password, err *e) {
    sign_key *k = NULL;
    const char *path = v->new_key ? v->new_key : v->key;
    if (v->new_key) {
        TRY(sign_key_new(path, v->curve, password, e));
        out_note("%s is the new private key, %s.pub the public one", path, path);
    }
    if (args->n == 0)
        return ERR_OK;
    TRY(sign_key_open_private(&k, path, password, e));
    err_code code = do_work(v, args->arg[0], k, sign_make, false, e);
    sign_key_close(k);
    return code;
}

static err_code run_sign(const void *p, const arguments *args, err *e) {
    const values *v = p;
    const char *by_environment = getenv("LOAM_KEY_PASSWORD");
    strbuf password = {0};
    if (!v->key == !v->new_key)
        return err_set(e, ERR_USAGE, "give --key K, a private key, or --new-key K to make one");
    if (args->n == 0 && !v->new_key)
        return err_set(e, ERR_USAGE, "what is to be signed is missing (usage: loam sign M --key K)");
    err_code code = ERR_OK;
    if (v->password_file)
        code = sign_password_read(v->password_file, &password, e);
    else if (by_environment && *by_environment)
        code = strbuf_add(&password, str_from(by_environment), e);
    if (code == ERR_OK)
        code = with_password(v, args, strbuf_str(&password), e);
    sign_forget(&password);
    return code;
}

static err_code run_check(const void *p, const arguments *args, err *e) {
    const values *v = p;
    sign_key *k = NULL;
    if (!v->key)
        return err_set(e, ERR_USAGE, "give --key P, the public key of who signed");
    TRY(sign_key_open_public(&k, v->key, e));
    err_code code = do_work(v, args->arg[0], k, sign_check, true, e);
    sign_key_close(k);
    return code;
}

const command command_sign = {
    .name = "sign",
    .args = "[M]",
    .summary = "sign a model or a run with a key",
    .details =
        "Writes the SHA-256 of every file of M, a file, a model's folder or a run's folder, and a signature over them "
        "that `loam check` and OpenSSF's model_signing verify. Keys are elliptic: P-256, P-384, P-521, in PEM files. "
        "The "
        "password of an encrypted key comes from the environment or a file, never from the command line.\n\n"
        "  loam sign --new-key mine\n"
        "  loam sign my-model --key mine\n"
        "  LOAM_KEY_PASSWORD=... loam sign model.gguf --new-key safe",
    .n_args_min = 0,
    .n_args_max = 1,
    .groups = sign_groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_sign,
};

const command command_check = {
    .name = "check",
    .args = "M",
    .summary = "check a model's signature, and that its files are those that were signed",
    .details = "Exit status 0: the signature is by this key, and M has exactly the files that were signed. 3: one was "
               "changed, "
               "is missing or is new, the signature is by another key, or its file was cut or changed; the error says "
               "which. 1: "
               "it could not be checked.\n\n"
               "  loam check my-model --key mine.pub\n"
               "  loam check model.gguf --key mine.pub --signature elsewhere.sig",
    .n_args_min = 1,
    .n_args_max = 1,
    .groups = check_groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_check,
};
