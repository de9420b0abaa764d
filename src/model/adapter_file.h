/* adapter_file: adapters from files and to files; what stands in one is in adapter.h.
 *
 * Proved by test_adapter_file.c (peft, llama.cpp, round trips, refusals) and fuzz_adapter.c.
 */
#ifndef LOAM_MODEL_ADAPTER_FILE_H
#define LOAM_MODEL_ADAPTER_FILE_H

#include "model/model.h"

/* An adapter from a file, for model m: a folder as peft writes it (adapter_config.json, adapter_model.safetensors), or
 * a GGUF file as llama.cpp's converter writes it (general.type "adapter"). Numbers of any type become binary32. m may
 * have been opened to plan: then the adapter is there to be merged, combined and saved. No forward call of m may run
 * meanwhile. What is malformed (numbers that are not finite, too), does not fit m, or would change the answers if it
 * were left out (a tensor that is no target's, a setting that is not supported) is refused by name. */
err_code adapter_open(adapter **out, model *m, const char *path, err *e);

/* Writes a folder that peft loads; made if it is not there. base: what adapter_config.json calls the model. Each file
 * comes into being whole; adapter_model.safetensors last. */
err_code adapter_save_peft(const adapter *a, const char *folder, const char *base, err *e);
/* Writes a GGUF file that llama.cpp loads; it knows no DoRA (ERR_UNSUPPORTED). name: general.name. */
err_code adapter_save_gguf(const adapter *a, const char *path, str name, err *e);

void adapter_close(adapter *a); /* NULL allowed; before its model */

#endif
