/* listen: see listen.h. */
#include "serve/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 511 };

static bool is_loopback(const struct sockaddr *a) {
    if (a->sa_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24) == 127;
    return a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

/* host:port of a bound socket, for people. */
static err_code name_of(listening *l, err *e) {
    struct sockaddr_storage at;
    socklen_t n = sizeof at;
    char host[64], port[8];
    if (getsockname(l->fd, (struct sockaddr *)&at, &n) != 0 ||
        getnameinfo((struct sockaddr *)&at, n, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) !=
            0)
        return err_set(e, ERR_IO, "the address of the socket: %s", strerror(errno));
    snprintf(l->where, sizeof l->where, at.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    l->loopback = is_loopback((const struct sockaddr *)&at);
    return ERR_OK;
}

static err_code bind_to(listening *l, const struct addrinfo *a, err *e) {
    int yes = 1;
    l->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0)
        return err_set(e, ERR_IO, "socket: %s", strerror(errno));
    setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(l->fd, a->ai_addr, a->ai_addrlen) == 0 && listen(l->fd, BACKLOG) == 0)
        return name_of(l, e);
    int why = errno;
    close(l->fd);
    l->fd = -1;
    return err_set(e, ERR_IO, "%s%s", strerror(why), why == EADDRINUSE ? " (--port N chooses another port)" : "");
}

err_code listen_tcp(listening *l, const char *address, uint16_t port, err *e) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
    char port_text[8];
    *l = (listening){.fd = -1};
    if (!address)
        address = "127.0.0.1";
    snprintf(port_text, sizeof port_text, "%u", (unsigned)port);
    int bad = getaddrinfo(address, port_text, &hints, &found);
    if (bad)
        return err_set(e, ERR_USAGE, "address %s: %s", address, gai_strerror(bad));
    err_code code = bind_to(l, found, e);
    freeaddrinfo(found);
    return code == ERR_OK ? code : err_in(e, code, "%s:%u", address, (unsigned)port);
}

/* Nobody answers at the socket file. */
static bool is_stale(const struct sockaddr_un *at) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool refused = connect(fd, (const struct sockaddr *)at, sizeof *at) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

err_code listen_unix(listening *l, const char *path, err *e) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct stat st;
    *l = (listening){.fd = -1};
    if (strlen(path) >= sizeof at.sun_path)
        return err_set(e, ERR_USAGE, "%.60s...: a socket's path has at most %zu bytes", path, sizeof at.sun_path - 1);
    memcpy(at.sun_path, path, strlen(path) + 1);
    if (lstat(path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode) || !is_stale(&at))
            return err_set(e, ERR_IO, "%s: %s", path,
                           S_ISSOCK(st.st_mode) ? "somebody listens there already" : "there is a file of another kind");
        unlink(path);
    }
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0)
        return err_set(e, ERR_IO, "socket: %s", strerror(errno));
    /* Between bind and listen nobody can connect, so the mode is in force for everybody. */
    if (bind(l->fd, (const struct sockaddr *)&at, sizeof at) == 0 && chmod(path, 0600) == 0 &&
        listen(l->fd, BACKLOG) == 0) {
        l->loopback = l->is_unix = true;
        snprintf(l->where, sizeof l->where, "%s", path);
        return ERR_OK;
    }
    int why = errno;
    close(l->fd);
    l->fd = -1;
    return err_set(e, ERR_IO, "%s: %s", path, strerror(why));
}

void listen_close(listening *l) {
    if (l->fd >= 0)
        close(l->fd);
    if (l->is_unix)
        unlink(l->where);
    *l = (listening){.fd = -1};
}
