/* unpack: see unpack.h.
 *
 * Invariants:
 *   1. in[at .. n) are the bytes of the file that were read and not yet used; `taken` counts all that were read.
 *   2. Every byte read from the file goes into the digest once, in order, whether a decoder uses it or not.
 */
#include "io/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/os.h"

enum { IN_BYTES = 256 << 10, FRAME_HEADER_MAX = 18 /* RFC 8878, 3.1.1.1, with the magic */ };

typedef enum { UNKNOWN, PLAIN, GZIP, ZSTD } format;

struct unpack {
    char *path;
    int fd;
    bool owns_fd, at_end; /* of the file */
    bool in_frame;        /* a gzip member or zstd frame has begun and not ended */
    format format;
    hash_state *hash;
    uint64_t taken, given;
    size_t at, n;
    z_stream z;
    bool z_open;
    ZSTD_DStream *zstd;
    unsigned long long declared, in_frame_given; /* bytes of the zstd frame: as its header says, as they came */
    unsigned char in[IN_BYTES];
};

/* ---- opening ---- */

static err_code make(unpack **out, int fd, bool owns_fd, const char *path, err *e) {
    unpack *u = malloc(sizeof *u);
    if (u) {
        memset(u, 0, offsetof(unpack, in));
        u->fd = fd;
        u->owns_fd = owns_fd;
        u->path = strdup(path);
    } else if (owns_fd)
        close(fd);
    err_code code = u && u->path ? hash_open(&u->hash, e) : err_set(e, ERR_MEMORY, "%s: no memory to read it", path);
    if (code != ERR_OK) {
        unpack_close(u);
        return code;
    }
    *out = u;
    return ERR_OK;
}

err_code unpack_open_fd(unpack **out, int fd, const char *name, err *e) {
    *out = NULL;
    return make(out, fd, false, name, e);
}

err_code unpack_open(unpack **out, const char *path, unpack_links links, err *e) {
    struct stat st;
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (links == UNPACK_NO_LINKS ? O_NOFOLLOW : 0));
    if (fd < 0)
        return os_refused(path, "opened", e);
    err_code code = ERR_OK;
    if (fstat(fd, &st) != 0)
        code = os_refused(path, "examined", e);
    else if (!S_ISREG(st.st_mode))
        code = err_set(e, ERR_IO, "%s: is not a regular file", path);
    if (code != ERR_OK) {
        close(fd);
        return code;
    }
    return make(out, fd, true, path, e);
}

void unpack_close(unpack *u) {
    if (!u)
        return;
    if (u->owns_fd)
        close(u->fd);
    if (u->z_open)
        inflateEnd(&u->z);
    ZSTD_freeDStream(u->zstd);
    if (u->hash)
        (void)hash_close(u->hash);
    free(u->path);
    free(u);
}

const char *unpack_format(const unpack *u) {
    static const char *const names[] = {[UNKNOWN] = "plain", [PLAIN] = "plain", [GZIP] = "gzip", [ZSTD] = "zstd"};
    return names[u->format];
}

uint64_t unpack_taken(const unpack *u) { return u->taken; }

hash256 unpack_digest(unpack *u) {
    hash256 h = hash_close(u->hash);
    u->hash = NULL;
    u->at_end = true;
    u->at = u->n = 0;
    return h;
}

/* ---- the file's bytes ---- */

static err_code fail_at(const unpack *u, err_code code, const char *what, err *e) {
    return err_set(e, code, "%s: at byte %" PRIu64 ": %s", u->path, u->taken - (u->n - u->at), what);
}

/* Reads once; what is left over moves to the front. */
static err_code refill(unpack *u, err *e) {
    memmove(u->in, u->in + u->at, u->n - u->at);
    u->n -= u->at;
    u->at = 0;
    ssize_t got;
    do
        got = read(u->fd, u->in + u->n, IN_BYTES - u->n);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return os_refused(u->path, "read", e);
    u->at_end = got == 0;
    hash_add(u->hash, u->in + u->n, (size_t)got);
    u->n += (size_t)got;
    u->taken += (uint64_t)got;
    return ERR_OK;
}

/* At least `want` unused bytes, unless the file ends before. */
static err_code need(unpack *u, size_t want, err *e) {
    while (u->n - u->at < want && !u->at_end)
        TRY(refill(u, e));
    return ERR_OK;
}

/* ---- which format ---- */

/* A zstd frame, or one that decoders skip. */
static bool is_zstd(const unsigned char *p) {
    return (p[0] == 0x28 || (p[0] & 0xf0) == 0x50) &&
           memcmp(p + 1, p[0] == 0x28 ? "\xb5\x2f\xfd" : "\x2a\x4d\x18", 3) == 0;
}

static err_code find_format(unpack *u, err *e) {
    TRY(need(u, 4, e));
    const unsigned char *p = u->in + u->at;
    size_t n = u->n - u->at;
    u->format = PLAIN;
    if (n >= 3 && p[0] == 0x1f && p[1] == 0x8b && p[2] == 8) {
        if (inflateInit2(&u->z, 15 + 16) != Z_OK)
            return err_set(e, ERR_MEMORY, "%s: no memory to unpack it", u->path);
        u->z_open = true;
        u->format = GZIP;
    } else if (n >= 4 && is_zstd(p)) {
        u->zstd = ZSTD_createDStream();
        if (!u->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, UNPACK_WINDOW_LOG)))
            return err_set(e, ERR_MEMORY, "%s: no memory to unpack it", u->path);
        u->format = ZSTD;
    }
    return ERR_OK;
}

/* ---- one step of each decoder: uses some of `in`, puts *got bytes ---- */

static err_code step_gzip(unpack *u, void *p, size_t n, size_t *got, err *e) {
    u->z.next_in = u->in + u->at;
    u->z.avail_in = (unsigned)(u->n - u->at);
    u->z.next_out = p;
    u->z.avail_out = n > 1 << 30 ? 1 << 30 : (unsigned)n;
    unsigned room = u->z.avail_out;
    u->in_frame = true;
    int code = inflate(&u->z, Z_NO_FLUSH);
    u->at = u->n - u->z.avail_in;
    *got = room - u->z.avail_out;
    if (code == Z_STREAM_END) {
        u->in_frame = false;
        return inflateReset(&u->z) == Z_OK ? ERR_OK : fail_at(u, ERR_FORMAT, "gzip: damaged", e);
    }
    if (code == Z_MEM_ERROR)
        return err_set(e, ERR_MEMORY, "%s: no memory to unpack it", u->path);
    if (code != Z_OK && code != Z_BUF_ERROR)
        return err_set(e, ERR_FORMAT, "%s: at byte %" PRIu64 ": gzip: %s", u->path, u->taken - (u->n - u->at),
                       u->z.msg ? u->z.msg : "damaged");
    return ERR_OK;
}

static err_code step_zstd(unpack *u, void *p, size_t n, size_t *got, err *e) {
    if (!u->in_frame)
        TRY(need(u, FRAME_HEADER_MAX, e));
    ZSTD_inBuffer in = {u->in, u->n, u->at};
    ZSTD_outBuffer out = {p, n, 0};
    if (!u->in_frame) {
        u->declared = ZSTD_getFrameContentSize(u->in + u->at, u->n - u->at);
        u->in_frame_given = 0;
    }
    u->in_frame = true;
    size_t code = ZSTD_decompressStream(u->zstd, &out, &in);
    u->at = in.pos;
    *got = out.pos;
    u->in_frame_given += out.pos;
    if (!ZSTD_isError(code)) {
        u->in_frame = code != 0;
        /* The decoder looks at this or not, depending on how much room it is given. */
        if (code == 0 && u->declared < ZSTD_CONTENTSIZE_ERROR && u->declared != u->in_frame_given)
            return fail_at(u, ERR_FORMAT, "zstd: another length than the frame's header says", e);
        return ERR_OK;
    }
    ZSTD_ErrorCode why = ZSTD_getErrorCode(code);
    if (why == ZSTD_error_memory_allocation)
        return err_set(e, ERR_MEMORY, "%s: no memory to unpack it", u->path);
    if (why == ZSTD_error_frameParameter_windowTooLarge)
        return err_set(
            e, ERR_LIMIT,
            "%s: was packed with a window of more than 128 MiB (zstd --long); unpack it by zstd -d --long=31", u->path);
    return err_set(e, ERR_FORMAT, "%s: at byte %" PRIu64 ": zstd: %s", u->path, u->taken - (u->n - u->at),
                   ZSTD_getErrorName(code));
}

static err_code step_plain(unpack *u, void *p, size_t n, size_t *got) {
    *got = n < u->n - u->at ? n : u->n - u->at;
    memcpy(p, u->in + u->at, *got);
    u->at += *got;
    return ERR_OK;
}

/* Between members: another one, the end, or zeros up to the end (what tape and block devices leave). */
static err_code check_next(unpack *u, err *e) {
    TRY(need(u, 4, e));
    const unsigned char *p = u->in + u->at;
    size_t n = u->n - u->at;
    bool next = u->format == GZIP ? n >= 2 && p[0] == 0x1f && p[1] == 0x8b : n >= 4 && is_zstd(p);
    if (next)
        return ERR_OK;
    for (;;) {
        while (u->at < u->n && u->in[u->at] == 0)
            u->at++;
        if (u->at < u->n)
            return fail_at(u, ERR_FORMAT, "bytes that belong to nothing after the end of the packed text", e);
        if (u->at_end)
            return ERR_OK;
        TRY(refill(u, e));
    }
}

static err_code check_bounds(const unpack *u, err *e) {
    if (u->given > UNPACK_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "%s: more than %" PRIu64 " bytes", u->path, UNPACK_BYTES_MAX);
    uint64_t used = u->taken - (u->n - u->at);
    if (u->format != PLAIN && u->given > UNPACK_FREE_BYTES && u->given / UNPACK_RATIO_MAX > used)
        return err_set(
            e, ERR_LIMIT,
            "%s: unpacks to more than %d times its size; refused as a bomb (unpack it yourself if it is none)", u->path,
            UNPACK_RATIO_MAX);
    return ERR_OK;
}

err_code unpack_read(unpack *u, void *p, size_t n, size_t *got, err *e) {
    *got = 0;
    if (!u->hash)
        return ERR_OK;
    if (u->format == UNKNOWN)
        TRY(find_format(u, e));
    while (*got == 0) {
        if (u->format != PLAIN && !u->in_frame && u->given + u->taken > 0)
            TRY(check_next(u, e));
        TRY(need(u, 1, e));
        bool dry = u->at == u->n; /* a decoder may still hold bytes to give */
        if (dry && (u->format == PLAIN || !u->in_frame))
            return ERR_OK;
        if (u->format == GZIP)
            TRY(step_gzip(u, p, n, got, e));
        else if (u->format == ZSTD)
            TRY(step_zstd(u, p, n, got, e));
        else
            TRY(step_plain(u, p, n, got));
        if (dry && *got == 0 && u->in_frame)
            return fail_at(u, ERR_FORMAT, "ends in the middle of the packed text", e);
        u->given += *got;
        TRY(check_bounds(u, e));
    }
    return ERR_OK;
}
