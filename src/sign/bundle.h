/* bundle: the file that holds a signature, and the statement in it.
 *
 *   {"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",
 *    "verificationMaterial":{"publicKey":{"hint":"SHA-256 of the public key's PEM"},"tlogEntries":[]},
 *    "dsseEnvelope":{"payload":"BASE64 of the statement","payloadType":"application/vnd.in-toto+json",
 *                    "signatures":[{"sig":"BASE64 of DER","keyid":""}]}}
 *
 *   {"_type":"https://in-toto.io/Statement/v1",
 *    "subject":[{"name":"MODEL","digest":{"sha256":"ROOT"}}],
 *    "predicateType":"https://model_signing/signature/v1.0",
 *    "predicate":{"serialization":{"method":"files","hash_type":"sha256","allow_symlinks":false,"ignore_paths":[...]},
 *                 "resources":[{"name":"a.bin","algorithm":"sha256","digest":"HEX"},...]}}
 *
 * What is signed is DSSE's encoding of type and statement: "DSSEv1 LEN TYPE LEN STATEMENT". A reader takes any order of
 * keys and any white space, and keys that it does not know; what it must know and does not (another media type, hash or
 * method, a certificate in place of a key, several signatures) is refused by name. The statement is the same bytes for
 * the same files; the signature around it is not (key.h).
 *
 * Source: OpenSSF model-signing specification 1.0, sigstore bundle 0.3, DSSE 1.0, in-toto attestation 1. Proved by
 * test_sign.c, test_sign_fault.c, fuzz_bundle.c and test/e2e/test_sign.py.
 */
#ifndef LOAM_SIGN_BUNDLE_H
#define LOAM_SIGN_BUNDLE_H

#include "sign/manifest.h"

enum { BUNDLE_BYTES_MAX = 512 << 20 };

/* Appends the statement of a manifest. */
err_code statement_write(const manifest *m, strbuf *out, err *e);
/* Reads one into *m, which need not be initialised; the root is compared. Malformed or contradictory: ERR_FORMAT; of a
 * kind that Loam does not know: ERR_UNSUPPORTED. After an error nothing is left to free. */
err_code statement_read(manifest *m, str text, err *e);

/* DSSE's encoding of a statement, appended. */
err_code bundle_signed_bytes(str statement, strbuf *out, err *e);

typedef struct {
    strbuf statement, signature;
    char hint[65]; /* empty when there is none: bundles of old versions */
} bundle;

/* Appends the file's text. */
err_code bundle_write(str statement, str signature, const char *hint, strbuf *out, err *e);
/* Zero-initialise *b; bundle_fini() after any outcome. Errors as statement_read(). */
err_code bundle_read(bundle *b, str text, err *e);
void bundle_fini(bundle *b);

#endif
