/* gguf_parts: the names of a model's parts when its GGUF file was cut into several.
 *
 *   NAME-00001-of-00003.gguf    the first: all keys, split.no 0, split.count 3, split.tensors.count
 *   NAME-00002-of-00003.gguf    split.no 1, the same counts, and tensors; and so on
 *
 * Source: llama.cpp's gguf-split, and the names that it gives. Proved by test_gguf_parts.c.
 */
#ifndef LOAM_IO_GGUF_PARTS_H
#define LOAM_IO_GGUF_PARTS_H

#include "base/str.h"

enum { GGUF_PARTS_MAX = 1000 };

/* Which part a file's name or path says that it is: *no from 1 to *count, which is at most GGUF_PARTS_MAX. false: it
 * says nothing of the kind. */
bool gguf_part_of(str path, unsigned *no, unsigned *count);
/* The name of part `no` of the same model, in place of another's for which gguf_part_of() is true. */
void gguf_part_name(char *path, unsigned no);
/* The name without ".gguf" and what tells parts apart. */
str gguf_stem(str path);

#endif
