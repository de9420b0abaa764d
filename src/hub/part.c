/* part: see part.h. */
#include "hub/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/lockfile.h"

enum { MISSING, CLAIMED, WHOLE };
enum { INDEX_DIGITS = 8, SUM_DIGITS = 16, LINE_BYTES = INDEX_DIGITS + 1 + SUM_DIGITS + 1, HEADER_MAX = 300 };

typedef struct {
    uint8_t state;
    uint64_t sum;    /* of the bytes so far */
    uint32_t filled; /* bytes, while it is claimed */
} chunk;

struct part {
    int fd, state; /* the state file, locked */
    uint64_t bytes, done, ready;
    size_t n_chunks, next; /* before `next` nothing is missing */
    chunk *chunk;
    const volatile int *stop;
    char header[HEADER_MAX];
    char path[OS_PATH_BYTES], state_path[OS_PATH_BYTES];
};

static uint64_t place_of(uint64_t at) { return at / 8 * 2 + 1; }

/* Of n bytes that stand from `at` on, added: the sum of the 64-bit words, each times an odd number that tells its
 * place, modulo 2^64. Bytes add up to their words, so it does not matter in which pieces they come. It finds what a
 * power cut has done, and costs less than half of a CRC-32; that the whole is right, its digest says. */
static uint64_t sum_of(uint64_t sum, uint64_t at, const uint8_t *p, size_t n) {
    for (; n > 0 && at % 8; at++, p++, n--)
        sum += ((uint64_t)*p << at % 8 * 8) * place_of(at);
    for (; n >= 8; at += 8, p += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        sum += word * place_of(at);
    }
    for (; n > 0; at++, p++, n--)
        sum += ((uint64_t)*p << at % 8 * 8) * place_of(at);
    return sum;
}

static uint64_t chunk_bytes(const part *p, size_t i) {
    uint64_t from = (uint64_t)i * PART_CHUNK_BYTES;
    return p->bytes - from < PART_CHUNK_BYTES ? p->bytes - from : PART_CHUNK_BYTES;
}

static void advance(part *p) {
    for (size_t i = (size_t)(p->ready / PART_CHUNK_BYTES); i < p->n_chunks && p->chunk[i].state == WHOLE; i++)
        p->ready += chunk_bytes(p, i);
}

static err_code put_all(int fd, const char *path, const char *text, size_t n, err *e) {
    while (n > 0) {
        ssize_t put = write(fd, text, n);
        if (put < 0 && errno != EINTR)
            return os_refused(path, "written", e);
        text += put > 0 ? put : 0;
        n -= put > 0 ? (size_t)put : 0;
    }
    return ERR_OK;
}

err_code part_forget(part *p, err *e) {
    for (size_t i = 0; i < p->n_chunks; i++)
        p->chunk[i] = (chunk){0};
    p->done = p->ready = 0;
    p->next = 0;
    if (ftruncate(p->state, 0) != 0)
        return os_refused(p->state_path, "cut", e);
    return put_all(p->state, p->state_path, p->header, strlen(p->header), e);
}

/* ---- what is there ---- */

static err_code read_chunk(part *p, size_t i, uint8_t *buf, uint64_t *sum, err *e) {
    uint64_t at = (uint64_t)i * PART_CHUNK_BYTES, left = chunk_bytes(p, i);
    *sum = 0;
    while (left > 0) {
        ssize_t got = pread(p->fd, buf, PART_CHUNK_BYTES < left ? PART_CHUNK_BYTES : (size_t)left, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return os_refused(p->path, "read", e);
        if (got == 0)
            return ERR_OK; /* shorter than it was: the sum will differ */
        *sum = sum_of(*sum, at, buf, (size_t)got);
        at += (uint64_t)got;
        left -= (uint64_t)got;
    }
    return p->stop && *p->stop ? err_set(e, ERR_CANCELLED, "stopped") : ERR_OK;
}

static bool parse_hex(const char *p, int digits, uint64_t *out) {
    *out = 0;
    for (int i = 0; i < digits; i++) {
        const char *digit = p[i] ? strchr("0123456789abcdef", p[i]) : NULL;
        if (!digit)
            return false;
        *out = *out * 16 + (uint64_t)(digit - "0123456789abcdef");
    }
    return true;
}

/* Chunks whose line and bytes agree become WHOLE. *kept: bytes of the state that are sound lines. */
static err_code take_lines(part *p, str text, size_t *kept, err *e) {
    uint8_t *buf = malloc(PART_CHUNK_BYTES);
    if (!buf)
        return err_set(e, ERR_MEMORY, "%s: no memory to read it", p->path);
    err_code code = ERR_OK;
    size_t at = strlen(p->header);
    for (; at + LINE_BYTES <= text.n && code == ERR_OK; at += LINE_BYTES) {
        uint64_t i, want, sum;
        const char *line = text.p + at;
        if (!parse_hex(line, INDEX_DIGITS, &i) || line[INDEX_DIGITS] != ' ' ||
            !parse_hex(line + INDEX_DIGITS + 1, SUM_DIGITS, &want) || line[LINE_BYTES - 1] != '\n' || i >= p->n_chunks)
            break;
        code = read_chunk(p, i, buf, &sum, e);
        if (code == ERR_OK && sum == want && p->chunk[i].state != WHOLE) {
            p->chunk[i] = (chunk){.state = WHOLE, .sum = sum};
            p->done += chunk_bytes(p, i);
        }
    }
    *kept = at;
    free(buf);
    return code;
}

static err_code resume(part *p, err *e) {
    strbuf text = {0};
    struct stat st;
    size_t kept = 0, header = strlen(p->header);
    bool sound = fstat(p->fd, &st) == 0 && (uint64_t)st.st_size == p->bytes &&
                 os_read_regular(p->state_path, 64 << 20, &text, NULL) == ERR_OK && text.n >= header &&
                 memcmp(text.p, p->header, header) == 0;
    err_code code = sound ? take_lines(p, strbuf_str(&text), &kept, e) : part_forget(p, e);
    if (code == ERR_OK && sound && kept < text.n && ftruncate(p->state, (off_t)kept) != 0)
        code = os_refused(p->state_path, "cut", e);
    strbuf_fini(&text);
    advance(p);
    if (code == ERR_OK && ftruncate(p->fd, (off_t)p->bytes) != 0)
        code = os_refused(p->path, "made that long", e);
    return code;
}

/* ---- opening ---- */

/* The lock is on the file that has the name now, not on one that another process has finished meanwhile. */
static err_code lock_state(part *p, err *e) {
    for (;;) {
        struct stat here, named;
        TRY(lockfile_take(&p->state, p->state_path, true, -1, p->stop, e));
        if (fstat(p->state, &here) == 0 && stat(p->state_path, &named) == 0 && here.st_ino == named.st_ino)
            break;
        lockfile_leave(p->state);
        p->state = -1;
    }
    int flags = fcntl(p->state, F_GETFL);
    return fcntl(p->state, F_SETFL, flags | O_APPEND) == 0 ? ERR_OK : os_refused(p->state_path, "opened", e);
}

static err_code open_in(part *p, const char *path, const char *tag, err *e) {
    int n = snprintf(p->path, sizeof p->path, "%s.part", path);
    int m = snprintf(p->state_path, sizeof p->state_path, "%s.state", path);
    int h = snprintf(p->header, sizeof p->header, "loam-part 2 %llu %d %s\n", (unsigned long long)p->bytes,
                     PART_CHUNK_BYTES, tag);
    if (n >= (int)sizeof p->path || m >= (int)sizeof p->state_path || h >= (int)sizeof p->header)
        return err_set(e, ERR_LIMIT, "%.60s...: the path or the tag is too long", path);
    TRY(lock_state(p, e));
    p->fd = open(p->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (p->fd < 0)
        return os_refused(p->path, "opened", e);
    return resume(p, e);
}

err_code part_open(part **out, const char *path, uint64_t bytes, const char *tag, const volatile int *stop, err *e) {
    *out = NULL;
    if (bytes > PART_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "%s: %llu bytes are more than Loam downloads", path, (unsigned long long)bytes);
    part *p = calloc(1, sizeof *p);
    size_t n = (size_t)((bytes + PART_CHUNK_BYTES - 1) / PART_CHUNK_BYTES);
    chunk *list = calloc(n + 1, sizeof *list);
    if (!p || !list) {
        free(p);
        free(list);
        return err_set(e, ERR_MEMORY, "%s: no memory for its state", path);
    }
    *p = (part){.fd = -1, .state = -1, .bytes = bytes, .n_chunks = n, .chunk = list, .stop = stop};
    err_code code = open_in(p, path, tag, e);
    if (code != ERR_OK) {
        part_close(p);
        return code;
    }
    *out = p;
    return ERR_OK;
}

void part_close(part *p) {
    if (!p)
        return;
    if (p->fd >= 0)
        close(p->fd);
    lockfile_leave(p->state);
    free(p->chunk);
    free(p);
}

err_code part_sync(part *p, err *e) { return fsync(p->fd) == 0 ? ERR_OK : os_refused(p->path, "brought to disk", e); }

err_code part_finish(part *p, err *e) {
    err_code code = unlink(p->state_path) == 0 ? ERR_OK : os_refused(p->state_path, "deleted", e);
    part_close(p);
    return code;
}

const char *part_path(const part *p) { return p->path; }
uint64_t part_done_bytes(const part *p) { return p->done; }
uint64_t part_ready_bytes(const part *p) { return p->ready; }

/* ---- filling ---- */

bool part_claim(part *p, size_t most, uint64_t *from, uint64_t *to) {
    while (p->next < p->n_chunks && p->chunk[p->next].state != MISSING)
        p->next++;
    size_t i = p->next;
    if (i >= p->n_chunks)
        return false;
    *from = (uint64_t)i * PART_CHUNK_BYTES;
    for (size_t n = 0; i < p->n_chunks && n < most && p->chunk[i].state == MISSING; i++, n++)
        p->chunk[i] = (chunk){.state = CLAIMED};
    *to = i < p->n_chunks ? (uint64_t)i * PART_CHUNK_BYTES : p->bytes;
    return true;
}

void part_release(part *p, uint64_t from, uint64_t to) {
    for (size_t i = (size_t)(from / PART_CHUNK_BYTES); i < p->n_chunks && (uint64_t)i * PART_CHUNK_BYTES < to; i++)
        if (p->chunk[i].state == CLAIMED) {
            p->chunk[i] = (chunk){0};
            p->next = i < p->next ? i : p->next;
        }
}

/* The disk works while the network does, so little is left for the fsync at the end. Only a hint: it promises nothing,
 * and where it is refused that fsync writes all. */
static void write_back(const part *p, size_t i) {
    (void)sync_file_range(p->fd, (off_t)i * PART_CHUNK_BYTES, (off_t)chunk_bytes(p, i), SYNC_FILE_RANGE_WRITE);
}

static err_code record(part *p, size_t i, err *e) {
    char line[LINE_BYTES + 1];
    write_back(p, i);
    snprintf(line, sizeof line, "%0*x %0*llx\n", INDEX_DIGITS, (unsigned)i, SUM_DIGITS,
             (unsigned long long)p->chunk[i].sum);
    TRY(put_all(p->state, p->state_path, line, LINE_BYTES, e));
    p->chunk[i].state = WHOLE;
    p->done += chunk_bytes(p, i);
    advance(p);
    return ERR_OK;
}

/* Within one chunk. */
static err_code write_in(part *p, size_t i, uint64_t at, const uint8_t *bytes, size_t n, err *e) {
    chunk *c = &p->chunk[i];
    if (c->state != CLAIMED || c->filled != at - (uint64_t)i * PART_CHUNK_BYTES)
        return err_set(e, ERR_FORMAT, "%s: bytes that were not asked for", p->path);
    c->sum = sum_of(c->sum, at, bytes, n);
    c->filled += (uint32_t)n;
    while (n > 0) {
        ssize_t put = pwrite(p->fd, bytes, n, (off_t)at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return os_refused(p->path, "written", e);
        bytes += put;
        at += (uint64_t)put;
        n -= (size_t)put;
    }
    return c->filled == chunk_bytes(p, i) ? record(p, i, e) : ERR_OK;
}

err_code part_write(part *p, uint64_t at, const void *bytes, size_t n, err *e) {
    const uint8_t *from = bytes;
    if (at > p->bytes || n > p->bytes - at)
        return err_set(e, ERR_FORMAT, "%s: more bytes than there should be", p->path);
    while (n > 0) {
        size_t i = (size_t)(at / PART_CHUNK_BYTES);
        uint64_t room = ((uint64_t)i + 1) * PART_CHUNK_BYTES - at;
        size_t here = room < n ? (size_t)room : n;
        TRY(write_in(p, i, at, from, here, e));
        at += here;
        from += here;
        n -= here;
    }
    return ERR_OK;
}
