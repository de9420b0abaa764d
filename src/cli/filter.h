/* filter: options that choose documents of a data set, for every command that takes some of them. */
#ifndef LOAM_CLI_FILTER_H
#define LOAM_CLI_FILTER_H

#include "cli/options.h"
#include "store/dataset.h"

typedef struct {
    const char *where, *licence, *source, *topic, *kind;
} filter_values;
extern const option filter_options[];
#define FILTER_GROUP(type) \
    { "Which documents", filter_options, offsetof(type, filter) }

bool filter_is_empty(const filter_values *v);
/* All of them as one condition for dataset_list(), NUL-terminated; empty when all documents are meant. */
err_code filter_condition(const filter_values *v, strbuf *out, err *e);
/* The documents that are meant, by id; free() *keys. A condition that is none: ERR_USAGE, "--where: ...". */
err_code filter_list(dataset *d, const filter_values *v, dataset_key **keys, size_t *n, err *e);
void filter_sort_by_id(dataset_key *keys, size_t n);

/* A document by its id (digits) or the first 6 or more digits of its SHA-256, which only one may have. */
err_code filter_find(dataset *d, const char *word, int64_t *id, err *e);

#endif
