/* listen: a listening socket: TCP on an address, or a Unix socket that only its owner may open.
 *
 * Proved by test/e2e/test_serve.py.
 */
#ifndef LOAM_SERVE_LISTEN_H
#define LOAM_SERVE_LISTEN_H

#include <stdbool.h>

#include "base/str.h"

typedef struct {
    int fd;
    bool loopback; /* 127.0.0.0/8, ::1, or a Unix socket */
    bool is_unix;
    char where[160]; /* "127.0.0.1:8080", "[::1]:8080", or the path */
} listening;

/* address NULL: 127.0.0.1. port 0: any free one. An address that is in use: ERR_IO with advice. */
err_code listen_tcp(listening *l, const char *address, uint16_t port, err *e);
/* Mode 0600. A socket file that nobody listens on is replaced; any other file there is ERR_IO. */
err_code listen_unix(listening *l, const char *path, err *e);
/* Closes what is open and removes the file of a Unix socket; then l->fd is -1, which may be closed again. */
void listen_close(listening *l);

#endif
