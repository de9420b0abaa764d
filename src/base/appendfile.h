/* appendfile: a file that grows at its end, by one process at a time.
 *
 * Opening creates the file or takes the one that is there, and locks it: a second process is refused (ERR_IO "... is in
 * use"). What a call has appended survives the end of the process; what appendfile_sync() has confirmed survives a
 * power cut. After a failed append the file may end in a part of those bytes: its reader must know where whole records
 * end. Proved by test_chain.c.
 */
#ifndef LOAM_BASE_APPENDFILE_H
#define LOAM_BASE_APPENDFILE_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

typedef struct appendfile appendfile;

err_code appendfile_open(appendfile **out, const char *path, err *e);
void appendfile_close(appendfile *f); /* NULL allowed; unlocks */
/* Cuts the file to its first n bytes; n may not be more than it has. */
err_code appendfile_truncate(appendfile *f, uint64_t n, err *e);
err_code appendfile_add(appendfile *f, str bytes, err *e);
err_code appendfile_sync(appendfile *f, err *e);

#endif
