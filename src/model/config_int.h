/* config_int: shared by config.c and the two readers, config_gguf.c and config_json.c. */
#ifndef LOAM_MODEL_CONFIG_INT_H
#define LOAM_MODEL_CONFIG_INT_H

#include "model/config.h"

/* Every number within its limits, else an error that names it. V may be 0 (unknown yet). */
err_code config_check(const model_config *c, err *e);

/* Allocates layer_slides and layer_no_rope and fills them by the arch's rules. Needs arch, L, window. */
err_code config_layers(model_config *c, size_t period, size_t first_sliding, arena *mem, err *e);

/* NULL when two configs compute the same: every number equal after rounding to binary32, frequencies as below. Else
 * what differs first, in words. Names do not count. */
const char *config_difference(const model_config *a, const model_config *b);
/* Rotary frequencies that differ by a rounding of their divisor (at most 2^-22 of themselves). */
bool config_same_frequency(float a, float b);

#endif
