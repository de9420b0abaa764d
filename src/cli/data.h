/* data: what the commands of `loam data` share. */
#ifndef LOAM_CLI_DATA_H
#define LOAM_CLI_DATA_H

#include "cli/command.h"
#include "cli/out.h"
#include "store/dataset.h"

extern const command command_data_build, command_data_list, command_data_show, command_data_drop, command_data_stats,
    command_data_export, command_data_check, command_data_card;

/* Progress of a build: stage, rate, documents, time left. Zero-initialise. */
typedef struct {
    progress bar;
    const char *stage;
    char what[96];
} data_progress;
void data_progress_step(void *ctx, const char *stage, uint64_t done, uint64_t total, int64_t documents);
void data_progress_end(data_progress *p);

const char *data_licence(str licence, size_t *n); /* "unknown" for an empty one */

/* A value within a line: control characters become '?'. width > 0: cut and filled up to so many characters, and two
 * blanks. */
void data_print_cell(str s, size_t width);

#endif
