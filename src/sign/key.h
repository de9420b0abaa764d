/* key: elliptic-curve keys in PEM files, and signatures made with them; by libcrypto.
 *
 *   curve    digest that is signed      NIST's names, as model signing takes them
 *   P-256    SHA-256
 *   P-384    SHA-384
 *   P-521    SHA-512
 *
 * A signature is ECDSA in DER. It has a random part: two of the same bytes differ, both are good. A private key is PKCS
 * #8
 * ("PRIVATE KEY", "ENCRYPTED PRIVATE KEY") or SEC 1 ("EC PRIVATE KEY"), a public one SubjectPublicKeyInfo ("PUBLIC
 * KEY"). The bytes of a private key are overwritten before their memory is given back.
 *
 * Source: FIPS 186-5, RFC 5915, RFC 5958. Proved by test_sign.c and test/e2e/test_sign.py.
 */
#ifndef LOAM_SIGN_KEY_H
#define LOAM_SIGN_KEY_H

#include "base/str.h"

enum { SIGN_KEY_FILE_BYTES_MAX = 64 << 10, SIGN_PASSWORD_BYTES_MAX = 1000 };

typedef struct sign_key sign_key;

/* "P-256", "P-384", "P-521", NULL */
extern const char *const sign_curves[];

/* The pair. A file that others than its owner may read or write: ERR_IO with what to do. password: of an encrypted one
 * (p NULL: none is known). Another kind of key or curve: ERR_UNSUPPORTED; a wrong password: ERR_USAGE. */
err_code sign_key_open_private(sign_key **out, const char *path, str password, err *e);
err_code sign_key_open_public(sign_key **out, const char *path, err *e);
void sign_key_close(sign_key *k); /* NULL allowed */
const char *sign_key_curve(const sign_key *k);

/* Makes a pair: `path` with the private key, for its owner alone, encrypted when there is a password; path.pub with the
 * public one. A file that is there is never replaced (ERR_IO). */
err_code sign_key_new(const char *path, const char *curve, str password, err *e);

/* SHA-256 of the public key's PEM text, hexadecimal: what a bundle names the key by. */
err_code sign_key_hint(const sign_key *k, char hex[65], err *e);

/* Appends the signature of bytes; k must be private. */
err_code sign_key_sign(const sign_key *k, str bytes, strbuf *out, err *e);
/* ERR_MISMATCH when it is not a signature of these bytes by this key. */
err_code sign_key_verify(const sign_key *k, str bytes, str signature, err *e);

/* The first line of a file, with the same demands on who may read it, appended; the caller overwrites it
 * (sign_forget()). */
err_code sign_password_read(const char *path, strbuf *out, err *e);
void sign_forget(strbuf *secret); /* overwrites and frees */

#endif
