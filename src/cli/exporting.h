/* exporting: what convert and quantize share: the exporter with its progress, its notes, and a folder's tokenizer. */
#ifndef LOAM_CLI_EXPORTING_H
#define LOAM_CLI_EXPORTING_H

#include "cli/load.h"
#include "cli/out.h"
#include "model/export.h"

typedef struct {
    const loaded *l;
    const char *from; /* M as it was given */
    progress bar;     /* progress_end() is the caller's */
} exporting;

/* Options that keep the types as they are; they refer to *x, which must outlive them. */
export_options exporting_options(exporting *x);

/* One of them, for keys of one's own beside it: the tokenizer of a folder; a GGUF source's keys are kept by the
 * exporter. ctx: the exporting. */
err_code exporting_keys(void *ctx, gguf_writer *w, err *e);

/* OUT as a GGUF file when its name ends in .gguf, else as a new folder with the tokenizer's files: whole or not at all.
 * Fills in o->bos and o->eos. */
err_code exporting_write(exporting *x, const char *out, export_options *o, err *e);

/* ERR_USAGE when OUT is there, unless it is a file and `force` is set. */
err_code exporting_check(const char *out, bool force, err *e);

#endif
