/* kept: what the commands about the registry of models share, and finding a model in it. */
#ifndef LOAM_CLI_KEPT_H
#define LOAM_CLI_KEPT_H

#include "store/registry.h"

/* The registry of this user. create as registry_open(). */
err_code kept_open(registry **out, bool create, err *e);

/* The path for model_open() of a model by its name in the registry; or by its reference hf:... or ollama:..., in the
 * registry, in the Hugging Face cache or in Ollama's store. *found false: none of them has it. */
err_code kept_find(const char *m, char out[OS_PATH_BYTES], bool *found, err *e);

/* What the registry recorded of where a model comes from; all empty when it does not have it. */
typedef struct {
    char licence[REGISTRY_TEXT_MAX], revision[REGISTRY_TEXT_MAX], url[REGISTRY_TEXT_MAX];
} kept_record;
err_code kept_record_of(const char *m, kept_record *out, err *e);

/* "2026-01-31" of seconds since 1970. */
typedef struct {
    char text[32];
} kept_day;
kept_day kept_day_of(int64_t seconds);

#endif
