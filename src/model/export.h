/* export: a model as a GGUF file or as a Hugging Face folder that other programs open and that gives the same logits.
 *
 * Any open model: from a file, new, trained, or opened to plan only (then rows come from the file as they are needed,
 * and a large model costs no memory). Files are written front to back and appear whole (io/gguf_write.h); their bytes
 * depend on the model and the options alone, not on threads.
 *
 * What a GGUF file says is kept when it becomes another one: all keys but general.file_type and those of splitting.
 * From a folder or a new model the keys are made as the family's converter makes them. Numbers that GGUF keeps in
 * binary32 are rounded to it. What neither the keys nor config.json can say of this model is an error
 * (ERR_UNSUPPORTED) that names it, never left out without a word. A folder's config.json is kept from folder to folder
 * (but for the type); from a GGUF file it is made in the older style (rope_theta, rope_scaling), which all versions of
 * transformers read, and is read back and compared with the model before it is written.
 *
 * Proved by test_export.c (every family and both ways: the same bits), test_convert.py (the real program, llama.cpp
 * and transformers) and test_io_fault.c.
 */
#ifndef LOAM_MODEL_EXPORT_H
#define LOAM_MODEL_EXPORT_H

#include "io/gguf_write.h"
#include "model/tensors.h"

/* Values that become others on their way. */
typedef struct {
    /* Before the rows of matrix t: whether any changes; then all are dequantised and rounded again. NULL: none do. */
    err_code (*begin)(void *ctx, const model_tensor *t, bool *changes, err *e);
    /* values f32[cols]: row `row` of a part of t, in this program's order (tensor_place()). thread: 0 to
     * pool_threads()-1. */
    void (*row)(void *ctx, const model_tensor *t, int part, size_t row, int thread, float *values);
    void *ctx;
} export_change;

typedef struct {
    /* The type of matrices; -1: as they are. Folders hold F32, F16, BF16 alone. Vectors are F32 in GGUF files; in
     * folders they have the type of the matrices when every value survives that, else F32. */
    int type;
    /* When not NULL: the type of each matrix, in the place of `type`; i counts all tensors. GGUF only. */
    dtype (*choose)(void *ctx, const model_tensor *t, size_t i);
    /* Of a matrix's columns f32[cols], for quantisation; NULL or returning NULL: none. */
    const float *(*importance)(void *ctx, const model_tensor *t);
    void *choose_ctx;
    export_change change;
    uint32_t file_type; /* general.file_type when `choose` is given */

    str name; /* general.name; empty: what the model is called, else the last part of its path */
    /* More keys, written after the model's: the tokenizer's (of a model that is not from a GGUF file), loam.* */
    err_code (*keys)(void *ctx, gguf_writer *w, err *e);
    void *keys_ctx;
    str drop; /* keys of a GGUF source that begin so are not kept; empty: none */

    int32_t bos, eos;     /* for config.json made anew; -1: none */
    uint64_t shard_bytes; /* of a folder's files; 0: 5 GB */

    void (*progress)(void *ctx, size_t done_bytes, size_t total_bytes); /* written bytes; may be NULL */
    void *progress_ctx;
    void (*note)(void *ctx, const char *text); /* what another program may do otherwise; may be NULL */
    void *note_ctx;
} export_options;

err_code export_gguf(const model *m, const char *path, const export_options *o, err *e);
/* Writes nothing: the file that would be written must stand at `path`, byte for byte, else ERR_MISMATCH. */
err_code export_compare(const model *m, const char *path, const export_options *o, err *e);
/* config.json and model.safetensors (or shards with their index) into a folder that is there. Tokenizer files are the
 * caller's to write. */
err_code export_folder(const model *m, const char *folder, const export_options *o, err *e);

/* The steps, for the files of this module. */
err_code export_keys(const model *m, gguf_writer *w, const export_options *o, err *e);
/* config.json's text; type: of the matrices. */
err_code export_config(const model *m, dtype type, const export_options *o, strbuf *out, err *e);
/* Tensors that the keys need: rotary factors. name NULL: the end. */
typedef struct {
    const char *name;
    const float *f;
    size_t n;
} export_table;
enum { EXPORT_TABLES_MAX = 2 };
err_code export_tables(const model *m, arena *mem, export_table out[EXPORT_TABLES_MAX + 1], err *e);

#endif
