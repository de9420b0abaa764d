/* catalogue: open models that Loam runs, from share/loam/catalogue.tsv, which states its sources. */
#ifndef LOAM_CLI_CATALOGUE_H
#define LOAM_CLI_CATALOGUE_H

#include <stdbool.h>

#include "base/err.h"

/* Those that this machine has the memory for, or all with a mark at those that it has not. */
err_code catalogue_print(bool all, bool json, err *e);

#endif
