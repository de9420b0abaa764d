/* key: see key.h. */
#include "sign/key.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/os.h"
#include "base/outfile.h"

const char *const sign_curves[] = {"P-256", "P-384", "P-521", NULL};
static const struct {
    const char *name, *group, *digest; /* ours, libcrypto's */
} curves[] = {{"P-256", "prime256v1", "SHA256"}, {"P-384", "secp384r1", "SHA384"}, {"P-521", "secp521r1", "SHA512"}};
enum { CURVES = sizeof curves / sizeof *curves };

struct sign_key {
    EVP_PKEY *pkey;
    size_t curve;
    bool private;
};

/* What libcrypto says of its last failure; its queue is emptied. */
static const char *reason(void) {
    unsigned long code = ERR_peek_last_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return text ? text : "libcrypto gives no reason";
}

void sign_forget(strbuf *secret) {
    if (secret->p)
        OPENSSL_cleanse(secret->p, secret->cap);
    strbuf_fini(secret);
}

/* ---- files ---- */

/* A whole file into *out with one allocation, so that no copy of a secret is left behind. */
static err_code read_key_file(const char *path, const char *what, mode_t *mode, strbuf *out, err *e) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0)
        return os_refused(path, "opened", e);
    err_code code = ERR_OK;
    if (fstat(fd, &st) != 0)
        code = err_set(e, ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        code = err_set(e, ERR_IO, "%s: is no file with %s", path, what);
    else if (st.st_size > SIGN_KEY_FILE_BYTES_MAX)
        code = err_set(e, ERR_LIMIT, "%s: %lld bytes are too many for %s", path, (long long)st.st_size, what);
    if (code == ERR_OK)
        code = strbuf_reserve(out, SIGN_KEY_FILE_BYTES_MAX + 1, e);
    for (ssize_t got = 1; code == ERR_OK && got != 0;) {
        size_t left = SIGN_KEY_FILE_BYTES_MAX + 1 - out->n;
        got = left ? read(fd, out->p + out->n, left) : 0;
        if (got > 0)
            out->n += (size_t)got;
        else if (got < 0 && errno != EINTR)
            code = err_set(e, ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    }
    if (code == ERR_OK && out->n > SIGN_KEY_FILE_BYTES_MAX)
        code = err_set(e, ERR_LIMIT, "%s: too long for %s", path, what);
    close(fd);
    *mode = st.st_mode & 0777;
    return code;
}

/* Like ssh: a secret that others can read is none. */
static err_code check_mode(const char *path, const char *what, mode_t mode, err *e) {
    return mode & 077 ? err_set(e, ERR_IO, "%s: others than its owner may use %s (mode %03o; do: chmod 600 %s)", path,
                                what, (unsigned)mode, path)
                      : ERR_OK;
}

err_code sign_password_read(const char *path, strbuf *out, err *e) {
    mode_t mode;
    TRY(read_key_file(path, "a password", &mode, out, e));
    TRY(check_mode(path, "a password", mode, e));
    const char *end = memchr(out->p, '\n', out->n);
    if (end)
        out->n = (size_t)(end - out->p);
    if (out->n && out->p[out->n - 1] == '\r')
        out->n--;
    if (out->n == 0 || out->n > SIGN_PASSWORD_BYTES_MAX)
        return err_set(e, ERR_USAGE, "%s: its first line is no password (1 to %d bytes)", path,
                       (int)SIGN_PASSWORD_BYTES_MAX);
    return ERR_OK;
}

/* A new file; one that is there stays as it is. */
static err_code write_new(const char *path, mode_t mode, str text, err *e) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return errno == EEXIST ? err_set(e, ERR_IO, "%s: is there already, and a key is never replaced", path)
                               : err_set(e, ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
    bool good = true;
    for (size_t done = 0; good && done < text.n;) {
        ssize_t n = write(fd, text.p + done, text.n - done);
        good = n > 0 || (n < 0 && errno == EINTR);
        done += n > 0 ? (size_t)n : 0;
    }
    good = good && fsync(fd) == 0;
    int failed = errno;
    good = close(fd) == 0 && good;
    err_code code = good ? outfile_sync_folder_of(path, e)
                         : err_set(e, ERR_IO, "%s: cannot be written: %s", path, strerror(failed));
    if (code != ERR_OK)
        unlink(path);
    return code;
}

/* ---- keys ---- */

typedef struct {
    str password;
    bool asked, too_long;
} asking;

static int give_password(char *buf, int size, int writing, void *ctx) {
    asking *a = ctx;
    (void)writing;
    a->asked = true;
    if (!a->password.p || a->password.n > (size_t)size) {
        a->too_long = a->password.p != NULL;
        return -1;
    }
    memcpy(buf, a->password.p, a->password.n);
    return (int)a->password.n;
}

/* Only the named curves, and not a curve that is spelled out: a forged one could look like them. */
static err_code identify(sign_key *k, const char *path, err *e) {
    char group[64] = "";
    int spelled = 0;
    size_t n = 0;
    if (!EVP_PKEY_is_a(k->pkey, "EC"))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: is a key of another kind (%s); models are signed with P-256, P-384, P-521", path,
                       EVP_PKEY_get0_type_name(k->pkey) ? EVP_PKEY_get0_type_name(k->pkey) : "unknown");
    if (EVP_PKEY_get_int_param(k->pkey, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &spelled) == 1 && spelled)
        return err_set(e, ERR_UNSUPPORTED, "%s: spells its curve out instead of naming it", path);
    if (EVP_PKEY_get_utf8_string_param(k->pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, &n) != 1)
        return err_set(e, ERR_UNSUPPORTED, "%s: has no named curve: %s", path, reason());
    for (k->curve = 0; k->curve < CURVES; k->curve++)
        if (strcmp(curves[k->curve].group, group) == 0)
            break;
    if (k->curve == CURVES)
        return err_set(e, ERR_UNSUPPORTED, "%s: its curve is %s; models are signed with P-256, P-384, P-521", path,
                       group);
    if (EVP_PKEY_set_utf8_string_param(k->pkey, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "uncompressed") != 1)
        return err_set(e, ERR_UNSUPPORTED, "%s: %s", path, reason());
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(k->pkey, NULL);
    bool good = ctx && (k->private ? EVP_PKEY_check(ctx) : EVP_PKEY_public_check(ctx)) == 1;
    EVP_PKEY_CTX_free(ctx);
    return good ? ERR_OK : err_set(e, ERR_FORMAT, "%s: is no valid key: %s", path, reason());
}

static bool holds(const strbuf *text, const char *what) { return str_find(strbuf_str(text), str_from(what), 0) >= 0; }

static err_code refuse(const char *path, const strbuf *text, bool private, const asking *a, err *e) {
    const char *why = reason();
    if (a->asked && !a->password.p)
        return err_set(e, ERR_USAGE,
                       "%s: is protected by a password (give it in LOAM_KEY_PASSWORD or by --password-file)", path);
    if (a->too_long)
        return err_set(e, ERR_USAGE, "%s: the password is too long", path);
    if (a->asked)
        return err_set(e, ERR_USAGE, "%s: cannot be opened with this password", path);
    if (private && holds(text, "BEGIN PUBLIC KEY"))
        return err_set(e, ERR_USAGE, "%s: is a public key, and signing needs the private one", path);
    if (!private && holds(text, "PRIVATE KEY-----"))
        return err_set(e, ERR_USAGE, "%s: is a private key; checking takes the public one (%s.pub, if loam made it)",
                       path, path);
    if (holds(text, "BEGIN CERTIFICATE"))
        return err_set(e, ERR_UNSUPPORTED, "%s: is a certificate, a plain key is wanted (openssl x509 -pubkey -noout)",
                       path);
    return err_set(e, ERR_FORMAT, "%s: is no PEM file with a %s key: %s", path, private ? "private" : "public", why);
}

static err_code open_key(sign_key **out, const char *path, bool private, str password, err *e) {
    strbuf text = {0};
    asking a = {.password = password};
    *out = NULL;
    sign_key *k = calloc(1, sizeof *k);
    mode_t mode = 0;
    err_code code = k ? read_key_file(path, "a key", &mode, &text, e) : err_set(e, ERR_MEMORY, "no memory for a key");
    if (code == ERR_OK && private && holds(&text, "PRIVATE KEY-----"))
        code = check_mode(path, "this private key", mode, e);
    if (code == ERR_OK) {
        BIO *bio = BIO_new_mem_buf(text.p, (int)text.n);
        k->private = private;
        k->pkey = !bio      ? NULL
                  : private ? PEM_read_bio_PrivateKey(bio, NULL, give_password, &a)
                            : PEM_read_bio_PUBKEY(bio, NULL, give_password, &a);
        BIO_free(bio);
        code = k->pkey ? identify(k, path, e) : refuse(path, &text, private, &a, e);
    }
    ERR_clear_error();
    sign_forget(&text);
    if (code == ERR_OK)
        *out = k;
    else
        sign_key_close(k);
    return code;
}

err_code sign_key_open_private(sign_key **out, const char *path, str password, err *e) {
    return open_key(out, path, true, password, e);
}

err_code sign_key_open_public(sign_key **out, const char *path, err *e) {
    return open_key(out, path, false, (str){0}, e);
}

void sign_key_close(sign_key *k) {
    if (k)
        EVP_PKEY_free(k->pkey);
    free(k);
}

const char *sign_key_curve(const sign_key *k) { return curves[k->curve].name; }

/* The public half as PEM, into a BIO that the caller frees; NULL on failure. */
static BIO *public_pem(EVP_PKEY *pkey, str *out) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *p = NULL;
    if (bio && PEM_write_bio_PUBKEY(bio, pkey) == 1) {
        long n = BIO_get_mem_data(bio, &p);
        *out = (str){p, n > 0 ? (size_t)n : 0};
        return bio;
    }
    BIO_free(bio);
    return NULL;
}

err_code sign_key_hint(const sign_key *k, char hex[65], err *e) {
    str pem;
    BIO *bio = public_pem(k->pkey, &pem);
    if (!bio)
        return err_set(e, ERR_MEMORY, "a public key cannot be written: %s", reason());
    hash_hex(hash_of(pem.p, pem.n), hex);
    BIO_free(bio);
    return ERR_OK;
}

static err_code write_pair(EVP_PKEY *pkey, const char *path, const char *path_pub, str password, err *e) {
    str pem, pub;
    char *p = NULL;
    BIO *bio = BIO_new(BIO_s_secmem()), *bio_pub = public_pem(pkey, &pub);
    bool good = bio && bio_pub &&
                PEM_write_bio_PKCS8PrivateKey(bio, pkey, password.p ? EVP_aes_256_cbc() : NULL, password.p,
                                              (int)password.n, NULL, NULL) == 1;
    err_code code = good ? ERR_OK : err_set(e, ERR_MEMORY, "%s: the key cannot be written: %s", path, reason());
    if (good) {
        long n = BIO_get_mem_data(bio, &p);
        pem = (str){p, n > 0 ? (size_t)n : 0};
        code = write_new(path, 0600, pem, e);
    }
    if (code == ERR_OK) {
        code = write_new(path_pub, 0644, pub, e);
        if (code != ERR_OK)
            unlink(path);
    }
    BIO_free(bio); /* overwrites what it held */
    BIO_free(bio_pub);
    return code;
}

err_code sign_key_new(const char *path, const char *curve, str password, err *e) {
    char path_pub[4096];
    size_t i = 0;
    while (i < CURVES && strcmp(curves[i].name, curve) != 0)
        i++;
    if (i == CURVES)
        return err_set(e, ERR_USAGE, "no curve \"%s\" (there are: P-256, P-384, P-521)", curve);
    if (password.n > SIGN_PASSWORD_BYTES_MAX || (password.p && password.n == 0))
        return err_set(e, ERR_USAGE, "a password has 1 to %d bytes", (int)SIGN_PASSWORD_BYTES_MAX);
    int n = snprintf(path_pub, sizeof path_pub, "%s.pub", path);
    if (n < 0 || (size_t)n >= sizeof path_pub)
        return err_set(e, ERR_LIMIT, "%.200s: the path is too long", path);
    EVP_PKEY *pkey = EVP_EC_gen(curves[i].group);
    if (!pkey)
        return err_set(e, ERR_UNSUPPORTED, "libcrypto makes no key on %s: %s", curve, reason());
    err_code code = write_pair(pkey, path, path_pub, password, e);
    EVP_PKEY_free(pkey);
    return code;
}

/* ---- signatures ---- */

err_code sign_key_sign(const sign_key *k, str bytes, strbuf *out, err *e) {
    assert(k->private);
    size_t n = (size_t)EVP_PKEY_get_size(k->pkey);
    TRY(strbuf_reserve(out, n, e));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx && EVP_DigestSignInit_ex(ctx, NULL, curves[k->curve].digest, NULL, NULL, k->pkey, NULL) == 1 &&
                EVP_DigestSign(ctx, (unsigned char *)out->p + out->n, &n, (const unsigned char *)bytes.p, bytes.n) == 1;
    EVP_MD_CTX_free(ctx);
    if (!good)
        return err_set(e, ERR_UNSUPPORTED, "libcrypto makes no signature: %s", reason());
    out->n += n;
    return ERR_OK;
}

err_code sign_key_verify(const sign_key *k, str bytes, str signature, err *e) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestVerifyInit_ex(ctx, NULL, curves[k->curve].digest, NULL, NULL, k->pkey, NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        return err_set(e, ERR_UNSUPPORTED, "libcrypto checks no signature: %s", reason());
    }
    int got =
        EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.n, (const unsigned char *)bytes.p, bytes.n);
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return got == 1 ? ERR_OK
                    : err_set(e, ERR_MISMATCH, "the signature is not by this key, or what was signed was changed");
}
