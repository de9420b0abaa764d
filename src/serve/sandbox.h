/* sandbox: what the server may still do once it runs: answer, read what it was given, and nothing else.
 *
 * Linux has two means, which begin at two times:
 *
 *   sandbox_files   Landlock: which files may be opened. It holds for the thread that calls it and for those that this
 *                   one starts later, so it comes before the first thread, and the models are read within it.
 *   sandbox_calls   seccomp: which system calls there are. It holds for all threads at once and comes when everything
 *                   listens and runs.
 *
 * In force then:
 *
 *   programs     none can be executed (the process is killed that tries), and no memory becomes executable
 *   network      no new socket, no bind, no connect: what listens goes on, and its connections are accepted
 *   files        opened for reading below `read` and in a few of the system's (time zone, OpenSSL's settings);
 *                written, created, renamed and removed below `write` alone; removed also in the folder of `remove`
 *   processes    none is begun, traced, signalled or looked into; no core dump, so that no conversation lands on a disk
 *   the kernel   no mounts, namespaces, modules, io_uring, bpf, keys
 *
 * A call that nothing here makes is EPERM; one that only an intruder would make kills the process.
 *
 * What the kernel lacks is left out and told by *parts; without Landlock, seccomp still refuses every opening for
 * writing, unless there is something in `write`. Nothing can be taken back.
 *
 * Proved by test_sandbox.c and test/e2e/test_serve_sandbox.py.
 */
#ifndef LOAM_SERVE_SANDBOX_H
#define LOAM_SERVE_SANDBOX_H

#include <stdint.h>

#include "base/err.h"

/* Parts that are in force. Files: since Linux 5.13; sockets of TCP by Landlock, too: 6.7; signals and abstract Unix
 * sockets: 6.12. */
enum { SANDBOX_FILES = 1, SANDBOX_TCP = 2, SANDBOX_SCOPE = 4, SANDBOX_CALLS = 8 };

typedef struct {
    const char *const *read;  /* ends with NULL: files, or folders with all below them and what their links lead to */
    const char *const *write; /* ends with NULL: folders; NULL: none */
    const char *remove;       /* a file that is removed at the end, such as a Unix socket: its folder had better have no
                                other, for Landlock knows folders alone; NULL: none */
} sandbox_plan;

/* A path that is not there: ERR_IO, where there is Landlock. *parts gets what came into force. */
err_code sandbox_files(const sandbox_plan *p, unsigned *parts, err *e);
err_code sandbox_calls(const sandbox_plan *p, unsigned *parts, err *e);

/* One line for people about what this kernel lacks; NULL: nothing. */
const char *sandbox_missing(unsigned parts);

/* The filter of system calls for an architecture (an AUDIT_ARCH_*) as the kernel takes it, written to fd: for looking
 * at what is allowed elsewhere. */
err_code sandbox_export(const sandbox_plan *p, uint32_t arch, int fd, err *e);

#endif
