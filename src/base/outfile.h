/* outfile: a file that comes into being whole or not at all.
 *
 * Bytes are written to a file without a name where the system has such (O_TMPFILE), else to PATH.PID.N.tmp.
 * outfile_commit() brings them to disk, gives them the name in one step, replacing what was there, and brings the
 * folder to disk. Until then, and whenever a call fails, what stood at `path` stays as it was and no other file is left
 * over. kill -9 can leave PATH.PID.N.tmp in two cases: where there are no files without a name; and when a file is
 * replaced, between its second name and the rename, with all bytes in it. Bytes go out through a buffer; after a failed
 * call the only thing left to do is outfile_abort(). A full disk is ERR_IO, "PATH: cannot be written: No space left on
 * device". One thread at a time. Proved by test_outfile.c and test_io_fault.c.
 */
#ifndef LOAM_BASE_OUTFILE_H
#define LOAM_BASE_OUTFILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct outfile outfile;

/* ERR_IO also when something that is not a regular file stands at `path`. */
err_code outfile_open(outfile **out, const char *path, err *e);
/* Writes nothing and compares: what is written must be what stands at `path`, byte for byte, and all of it at
 * outfile_commit(), else ERR_MISMATCH that names the first other byte. */
err_code outfile_compare(outfile **out, const char *path, err *e);
err_code outfile_write(outfile *f, const void *bytes, size_t n, err *e);
err_code outfile_zeros(outfile *f, size_t n, err *e); /* n zero bytes */
uint64_t outfile_bytes(const outfile *f);             /* written so far */
/* Frees f, whether it succeeds or not. */
err_code outfile_commit(outfile *f, err *e);
void outfile_abort(outfile *f); /* NULL allowed; frees f */

/* For who renames by other means: brings a folder, or the one that holds `path`, to disk where the file system can. */
err_code outfile_sync_folder(const char *dir, err *e);
err_code outfile_sync_folder_of(const char *path, err *e);

#endif
