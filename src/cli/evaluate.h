/* evaluate: evaluations for other commands than eval; in cmd_eval.c. */
#ifndef LOAM_CLI_EVALUATE_H
#define LOAM_CLI_EVALUATE_H

#include "cli/command.h"

extern const char *const eval_task_names[]; /* ends with NULL */

/* Appends what `loam eval PATH homeworld --json` prints, with its usual numbers of questions. */
err_code eval_homeworld(const char *path, const common_values *common, int64_t seed, const char *mix, strbuf *json,
                        err *e);

#endif
