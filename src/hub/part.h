/* part: a file that is being downloaded in pieces, and what of it is already there.
 *
 *   PATH.part    the bytes, as long as the whole from the beginning (a sparse file)
 *   PATH.state   text: "loam-part 2 BYTES CHUNK TAG\n", then for each chunk that is whole
 *                "INDEX SUM\n" (8 and 16 hex digits; SUM: see sum_of() in part.c)
 *
 * A chunk's line is written after its bytes; both survive the end of the process at any moment. At opening every chunk
 * that has a line is read and its sum compared, so what a power cut has taken is fetched again and nothing else; a
 * torn line at the end is cut off. TAG is the source's own mark of the contents (a digest, an ETag): another TAG or
 * length begins anew. The state file is locked: a second process waits at opening. Proved by test_hub.c and
 * test_pull.py.
 */
#ifndef LOAM_HUB_PART_H
#define LOAM_HUB_PART_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/os.h"

enum { PART_CHUNK_BYTES = 4 << 20 };
#define PART_BYTES_MAX ((uint64_t)1 << 42)

typedef struct part part;

/* tag: printable without blanks. stop: ends the waiting and the reading of what is there; may be NULL. */
err_code part_open(part **out, const char *path, uint64_t bytes, const char *tag, const volatile int *stop, err *e);
void part_close(part *p);              /* NULL allowed; everything stays */
err_code part_forget(part *p, err *e); /* as if nothing were there yet */
err_code part_sync(part *p, err *e);   /* what was written, to disk */
/* Ends it: the bytes stand at PATH.part alone, the state is deleted. Frees p. */
err_code part_finish(part *p, err *e);
const char *part_path(const part *p); /* PATH.part */

/* The next chunks that nobody has claimed, at most `most` of them, which are claimed then: bytes [*from, *to). false:
 * none is left. part_release() gives back those of them that are not whole. */
bool part_claim(part *p, size_t most, uint64_t *from, uint64_t *to);
void part_release(part *p, uint64_t from, uint64_t to);
/* Bytes of claimed chunks, in order within a chunk. A chunk that becomes whole is recorded. */
err_code part_write(part *p, uint64_t at, const void *bytes, size_t n, err *e);

uint64_t part_done_bytes(const part *p);  /* in whole chunks */
uint64_t part_ready_bytes(const part *p); /* in whole chunks from the beginning without a gap */

#endif
