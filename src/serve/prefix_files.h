/* prefix_files: prefixes of the KV cache in files, from one run of the server to the next.
 *
 * A prefix is the ids of a request and the keys and values computed for them. Who begins alike reads them instead of
 * computing them anew; they are the very same bits, so nothing shows in an answer.
 *
 *   file    DIR/HEX.kv, HEX the first 16 bytes of the digest
 *   bytes   "LOAMKV01" | digest[32] | key[32] | u64 n | u64 image bytes | ids i32[n] | image        all little-endian
 *   digest  SHA-256 of everything behind it
 *   key     SHA-256 of what the numbers depend on: the model's files, the form of its weights, the version of the
 *           arithmetic, the layout of the cache (prefix_files_key())
 *
 * A file is written whole or not at all (base/outfile.h) by a thread of its own, so that nobody waits; while it writes,
 * other prefixes are not kept. It is read on the engine's thread, which would have to compute what it gives. A file is
 * trusted only after its digest has been computed anew; one that is damaged is removed, and the prompt is computed.
 * Names that do not look like ours are left alone. Together the files take at most so many bytes; what was used least
 * recently goes first, over restarts by the files' times. Files of models that are not served now count, too. One
 * server a folder: two would not exceed their bounds each, but together. Proved by test/e2e/test_prefix_files.py.
 */
#ifndef LOAM_SERVE_PREFIX_FILES_H
#define LOAM_SERVE_PREFIX_FILES_H

#include "base/hash.h"
#include "gen/engine.h"

enum { PREFIX_FILES_TOKENS_MIN = 64, PREFIX_FILES_TOKENS_MAX = 1 << 20, PREFIX_FILES_FILES_MAX = 1 << 16 };

typedef struct prefix_files prefix_files;

/* Makes the folder if need be, for its owner alone: what people said can be read in it. */
err_code prefix_files_folder(const char *folder, err *e);
/* Looks through the folder, which is there, and starts the thread. */
err_code prefix_files_open(prefix_files **out, const char *folder, uint64_t bytes_max, err *e);
/* Waits for the file that is being written. NULL allowed. */
void prefix_files_close(prefix_files *k);

/* For requests of up to ctx_tokens positions (rotary factors may depend on it). */
err_code prefix_files_key(const model *m, size_t ctx_tokens, hash256 *out, err *e);

/* One model's share, for engine_options.store; the caller's to keep as long as the engine. */
typedef struct {
    engine_store store;
    prefix_files *kept;
    const model *m;
    hash256 key;
} prefix_files_model;
void prefix_files_model_init(prefix_files_model *km, prefix_files *k,
                             const model *m); /* then set its key, before the engine's first request */

typedef struct {
    uint64_t files, bytes, bytes_max, hits, written, skipped, refused; /* skipped: the thread was busy or failed */
} prefix_files_stats;
void prefix_files_stats_get(prefix_files *k, prefix_files_stats *out); /* from any thread */

#endif
