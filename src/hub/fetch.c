/* fetch: see fetch.h.
 *
 * One thread drives all connections (libcurl's multi interface) and writes; a second one follows the bytes that are
 * there without a gap and hashes them. They share two numbers, under a lock.
 */
#include "hub/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/os.h"
#include "hub/part.h"

enum { RUN_CHUNKS_MAX = 16, POLL_MS = 100, GIT_BLOB_BYTES_MAX = 256 << 20 };

/* ---- hashing what is there ---- */

typedef struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    bool running, ends, failed;
    uint64_t ready, total; /* bytes that may be read; all */
    const char *path;
    hash_state *hash;
} hasher;

/* How far may be read; what is there already when it has to end. */
static uint64_t hasher_wait(hasher *h, uint64_t at) {
    pthread_mutex_lock(&h->lock);
    while (h->ready <= at && !h->ends)
        pthread_cond_wait(&h->more, &h->lock);
    uint64_t ready = h->ends ? 0 : h->ready;
    pthread_mutex_unlock(&h->lock);
    return ready;
}

/* A chunk, where it lies in memory: to copy it out first takes nearly as long as to hash it. */
static bool hash_chunk(hasher *h, int fd, uint64_t at) {
    size_t n = h->total - at < PART_CHUNK_BYTES ? (size_t)(h->total - at) : PART_CHUNK_BYTES;
    void *bytes = mmap(NULL, n, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, (off_t)at);
    if (bytes == MAP_FAILED)
        return false;
    hash_add(h->hash, bytes, n);
    munmap(bytes, n);
    return true;
}

static void *hasher_main(void *ctx) {
    hasher *h = ctx;
    int fd = open(h->path, O_RDONLY | O_CLOEXEC);
    h->failed = fd < 0;
    for (uint64_t at = 0; !h->failed && at < h->total && hasher_wait(h, at) > at; at += PART_CHUNK_BYTES)
        h->failed = !hash_chunk(h, fd, at);
    if (fd >= 0)
        close(fd);
    return NULL;
}

static err_code hasher_start(hasher *h, const char *path, uint64_t total, err *e) {
    *h = (hasher){.path = path, .total = total};
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->more, NULL);
    TRY(hash_open(&h->hash, e));
    h->running = pthread_create(&h->thread, NULL, hasher_main, h) == 0;
    return h->running ? ERR_OK : err_set(e, ERR_MEMORY, "%s: no thread to hash it", path);
}

static void hasher_tell(hasher *h, uint64_t ready, bool ends) {
    pthread_mutex_lock(&h->lock);
    h->ready = ready;
    h->ends = ends;
    pthread_cond_signal(&h->more);
    pthread_mutex_unlock(&h->lock);
}

/* whole: every byte is there, so it runs to its end; else it is stopped and *out means nothing. A second end does
 * nothing. */
static err_code hasher_end(hasher *h, bool whole, hash256 *out, err *e) {
    const char *path = h->path;
    if (!path)
        return ERR_OK;
    if (h->running) {
        hasher_tell(h, whole ? h->total : 0, !whole);
        pthread_join(h->thread, NULL);
    }
    if (h->hash)
        *out = hash_close(h->hash);
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->more);
    bool failed = h->failed;
    *h = (hasher){0};
    return failed ? err_set(e, ERR_IO, "%s: cannot be read: %s", path, strerror(EIO)) : ERR_OK;
}

/* ---- connections ---- */

typedef struct fetch fetch;

typedef struct {
    fetch *f;
    CURL *easy; /* NULL: idle */
    struct curl_slist *headers;
    http_answer answer;
    uint64_t from, at, to; /* bytes asked for; the next to come */
    int tries;             /* without a whole chunk */
    double not_before;
    err why; /* of a failed write */
} slot;

struct fetch {
    const http_options *o;
    const fetch_what *what;
    part *part;
    CURLM *multi;
    http_answer place; /* where the redirects led */
    bool stream;       /* the host gives no ranges: one connection, from the beginning */
    int probes;
    hasher hash;
    size_t run; /* chunks a request */
    slot slot[HTTP_CONNECTIONS_MAX];
};

/* The contents have changed since they were asked for first. Hosts behind one name may give one file several ETags, so
 * these count only where no digest will tell. */
static bool is_another(const fetch *f, const http_answer *now) {
    return (now->bytes != HTTP_UNKNOWN && now->bytes != f->place.bytes) ||
           (f->what->digest == DIGEST_NONE && strcmp(now->etag, f->place.etag) != 0);
}

static size_t on_bytes(char *p, size_t size, size_t n, void *ctx) {
    slot *s = ctx;
    long status = 0;
    curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    s->answer.status = status;
    if (status != (s->f->stream ? 200 : 206))
        return 0; /* the status says what to do; its body does not matter */
    if (!s->f->stream && is_another(s->f, &s->answer)) {
        err_set(&s->why, ERR_FORMAT, "%.200s: has changed while it was downloaded (pull it again)", s->f->what->url);
        return 0;
    }
    if (!s->f->stream && s->answer.first != s->from) {
        err_set(&s->why, ERR_FORMAT, "%.200s: the host gave other bytes than it was asked for", s->f->what->url);
        return 0;
    }
    if (size * n > s->to - s->at) {
        err_set(&s->why, ERR_FORMAT, "%.200s: the host gave more bytes than it was asked for", s->f->what->url);
        return 0;
    }
    if (part_write(s->f->part, s->at, p, size * n, &s->why) != ERR_OK)
        return 0;
    s->at += size * n;
    return size * n;
}

static err_code slot_start(fetch *f, slot *s, err *e) {
    char range[64], line[300];
    s->answer = (http_answer){.bytes = HTTP_UNKNOWN, .first = HTTP_UNKNOWN, .from_afar = f->place.from_afar};
    s->easy = http_easy(f->o, f->place.url, f->place.token, &s->headers, &s->answer);
    if (!s->easy)
        return err_set(e, ERR_MEMORY, "no memory for a connection");
    snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)s->from, (unsigned long long)s->to - 1);
    snprintf(line, sizeof line, "If-Range: %s", f->place.etag);
    if (!f->stream && f->what->digest == DIGEST_NONE && *f->place.etag) {
        struct curl_slist *more = curl_slist_append(s->headers, line);
        s->headers = more ? more : s->headers;
    }
    curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, s->headers);
    curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, s);
    curl_easy_setopt(s->easy, CURLOPT_PRIVATE, (char *)s);
    curl_easy_setopt(s->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1); /* several connections, not one */
    if (!f->stream)
        curl_easy_setopt(s->easy, CURLOPT_RANGE, range);
    return curl_multi_add_handle(f->multi, s->easy) == CURLM_OK ? ERR_OK
                                                                : err_set(e, ERR_MEMORY, "no memory for a connection");
}

static void slot_stop(slot *s) {
    if (s->easy) {
        curl_multi_remove_handle(s->f->multi, s->easy);
        curl_easy_cleanup(s->easy);
        part_release(s->f->part, s->from, s->to);
    }
    curl_slist_free_all(s->headers);
    s->headers = NULL;
    s->easy = NULL;
}

static void stop_all(fetch *f) {
    for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        slot_stop(&f->slot[i]);
}

/* Gives work to connections that have none. */
static err_code start_idle(fetch *f, err *e) {
    int n = f->stream ? 1 : f->o->connections;
    for (int i = 0; i < n; i++) {
        slot *s = &f->slot[i];
        if (s->easy || os_now() < s->not_before)
            continue;
        if (!part_claim(f->part, f->stream ? SIZE_MAX : f->run, &s->from, &s->to))
            break;
        s->at = s->from;
        TRY(slot_start(f, s, e));
    }
    return ERR_OK;
}

/* ---- what a connection ended with ---- */

static err_code probe(fetch *f, err *e) {
    http_answer a;
    TRY(http_probe(f->o, f->what->url, f->what->token, &a, e));
    if (a.status == 416)
        a.bytes = 0;
    else if (a.status != 200 && a.status != 206)
        return http_refused(&a, f->what->url, e);
    if (a.bytes == HTTP_UNKNOWN)
        a.bytes = f->what->bytes;
    if (a.bytes == HTTP_UNKNOWN)
        return err_set(e, ERR_UNSUPPORTED, "%.200s: the host does not tell how long it is", f->what->url);
    if (f->what->bytes != HTTP_UNKNOWN && a.bytes != f->what->bytes)
        return err_set(e, ERR_FORMAT, "%.200s: has %llu bytes, its source said %llu", f->what->url,
                       (unsigned long long)a.bytes, (unsigned long long)f->what->bytes);
    f->place = a;
    f->stream = !a.ranges || (f->what->digest == DIGEST_NONE && !*a.etag); /* parts of two versions would not be told */
    return ERR_OK;
}

/* All anew, over one connection. What has been hashed does not count, so the hasher begins anew, too. */
static err_code begin_stream(fetch *f, err *e) {
    hash256 none;
    stop_all(f);
    f->stream = true;
    TRY(hasher_end(&f->hash, false, &none, e));
    TRY(part_forget(f->part, e));
    return hasher_start(&f->hash, part_path(f->part), f->place.bytes, e);
}

/* An address that a redirect led to may have expired. */
static err_code probe_again(fetch *f, const slot *s, err *e) {
    if (f->probes++ >= f->o->retries)
        return http_refused(&s->answer, f->what->url, e);
    uint64_t bytes = f->place.bytes;
    TRY(probe(f, e));
    return f->place.bytes == bytes
               ? ERR_OK
               : err_set(e, ERR_FORMAT, "%.200s: has changed while it was downloaded", f->what->url);
}

static err_code wait_and_retry(fetch *f, slot *s, CURLcode code, double seconds, err *e) {
    bool progress = s->at - s->from >= PART_CHUNK_BYTES; /* less is lost, and a host could send it for ever */
    s->tries = progress ? 0 : s->tries + 1;
    if (s->tries > f->o->retries)
        return code == CURLE_OK || s->answer.status >= 400 ? http_refused(&s->answer, f->what->url, e)
                                                           : http_failed(code, f->what->url, e);
    s->not_before = os_now() + seconds;
    return f->stream ? begin_stream(f, e) : ERR_OK;
}

static err_code ended(fetch *f, slot *s, CURLcode code, err *e) {
    double seconds = http_wait_seconds(s->easy, s->tries);
    curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &s->answer.status);
    long status = s->answer.status;
    slot_stop(s);
    if (http_stopped(f->o))
        return err_set(e, ERR_CANCELLED, "stopped (pull it again to go on)");
    if (s->why.code != ERR_OK)
        return err_set(e, s->why.code, "%s", s->why.text);
    if (s->at == s->to) {
        s->tries = 0;
        return ERR_OK;
    }
    if (status == 200 && !f->stream)
        return begin_stream(f, e);
    if (http_may_retry(CURLE_OK, status))
        return wait_and_retry(f, s, CURLE_OK, seconds, e);
    if (status >= 300 && status < 500)
        return probe_again(f, s, e);
    if (code == CURLE_OK) /* ended before its time, and said that this was all */
        code = CURLE_PARTIAL_FILE;
    return http_may_retry(code, 0) ? wait_and_retry(f, s, code, seconds, e) : http_failed(code, f->what->url, e);
}

static err_code read_messages(fetch *f, err *e) {
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(f->multi, &left));) {
        char *s = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &s);
        TRY(ended(f, (slot *)(void *)s, m->data.result, e));
    }
    return ERR_OK;
}

static err_code transfer(fetch *f, const fetch_sink *sink, err *e) {
    while (part_done_bytes(f->part) < f->place.bytes) {
        int running;
        if (http_stopped(f->o))
            return err_set(e, ERR_CANCELLED, "stopped (pull it again to go on)");
        TRY(start_idle(f, e));
        if (curl_multi_perform(f->multi, &running) != CURLM_OK)
            return err_set(e, ERR_MEMORY, "libcurl has no memory");
        TRY(read_messages(f, e));
        hasher_tell(&f->hash, part_ready_bytes(f->part), false);
        if (sink->progress)
            sink->progress(sink->ctx, part_done_bytes(f->part), f->place.bytes);
        if (part_done_bytes(f->part) < f->place.bytes)
            curl_multi_poll(f->multi, NULL, 0, POLL_MS, NULL);
    }
    return ERR_OK;
}

/* ---- whole and checked ---- */

/* git's name of a blob: SHA-1 over "blob BYTES", NUL, the bytes. */
static err_code git_blob(const char *path, uint64_t bytes, char hex[41], err *e) {
    strbuf text = {0};
    uint8_t digest[20];
    char head[40];
    int n = snprintf(head, sizeof head, "blob %llu", (unsigned long long)bytes) + 1;
    TRY(os_read_regular(path, GIT_BLOB_BYTES_MAX, &text, e));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1 && EVP_DigestUpdate(ctx, head, (size_t)n) == 1 &&
                EVP_DigestUpdate(ctx, text.p ? text.p : "", text.n) == 1 && EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    strbuf_fini(&text);
    for (int i = 0; i < 20 && good; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return good ? ERR_OK : err_set(e, ERR_MEMORY, "%s: no memory to hash it", path);
}

static err_code check_digest(const fetch *f, hash256 got, err *e) {
    char hex[41] = "";
    bool right = true;
    if (f->what->digest == DIGEST_SHA256)
        right = memcmp(got.byte, f->what->sha256.byte, sizeof got.byte) == 0;
    if (f->what->digest == DIGEST_GIT_BLOB) {
        TRY(git_blob(part_path(f->part), f->place.bytes, hex, e));
        right = strcmp(hex, f->what->git_blob) == 0;
    }
    return right ? ERR_OK
                 : err_set(e, ERR_FORMAT,
                           "%.200s: what has come is not what its source names: the digest differs; it was thrown away "
                           "(pull it again; if that does not help, do not trust this source)",
                           f->what->url);
}

static err_code deliver(fetch *f, const fetch_sink *sink, hash256 sha256, err *e) {
    err_code code = check_digest(f, sha256, e);
    if (code == ERR_FORMAT) {
        unlink(part_path(f->part));
        part_forget(f->part, NULL);
    }
    return code == ERR_OK ? sink->take(sink->ctx, part_path(f->part), sha256, f->place.bytes, e) : code;
}

static err_code bring(fetch *f, const fetch_sink *sink, err *e) {
    size_t chunks = (size_t)(f->place.bytes / PART_CHUNK_BYTES) / (size_t)f->o->connections;
    hash256 sha256;
    f->run = chunks < 1 ? 1 : chunks > RUN_CHUNKS_MAX ? RUN_CHUNKS_MAX : chunks;
    if (f->stream && (part_done_bytes(f->part) < f->place.bytes || f->what->digest == DIGEST_NONE))
        TRY(part_forget(f->part, e)); /* nothing says that it is still the same */
    for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        f->slot[i].f = f;
    f->multi = curl_multi_init();
    if (!f->multi)
        return err_set(e, ERR_MEMORY, "no memory for connections");
    err_code code = hasher_start(&f->hash, part_path(f->part), f->place.bytes, e);
    if (code == ERR_OK)
        code = transfer(f, sink, e);
    if (code == ERR_OK) {
        hasher_tell(&f->hash, f->place.bytes, false);
        code = part_sync(f->part, e); /* what is left to hash is hashed meanwhile */
    }
    err_code hashed = hasher_end(&f->hash, code == ERR_OK, &sha256, code == ERR_OK ? e : NULL);
    stop_all(f);
    curl_multi_cleanup(f->multi);
    TRY(code);
    TRY(hashed);
    return deliver(f, sink, sha256, e);
}

static void tag_of(const fetch *f, char tag[80]) {
    char hex[65];
    if (f->what->digest == DIGEST_SHA256)
        hash_hex(f->what->sha256, hex);
    else if (f->what->digest == DIGEST_GIT_BLOB)
        snprintf(hex, sizeof hex, "%s", f->what->git_blob);
    else
        hash_hex(hash_of(f->place.etag, strlen(f->place.etag)), hex);
    snprintf(tag, 80, "%s", hex);
}

err_code fetch_file(const http_options *o, const fetch_what *what, const char *path, const fetch_sink *sink, err *e) {
    char tag[80];
    fetch *f = calloc(1, sizeof *f);
    if (!f)
        return err_set(e, ERR_MEMORY, "no memory to download");
    *f = (fetch){.o = o, .what = what};
    err_code code = probe(f, e);
    if (code == ERR_OK) {
        tag_of(f, tag);
        code = part_open(&f->part, path, f->place.bytes, tag, o->stop, e);
    }
    bool there = code == ERR_OK && sink->have(sink->ctx);
    if (code == ERR_OK && !there)
        code = bring(f, sink, e);
    if (code == ERR_OK) {
        unlink(part_path(f->part)); /* when it was there; else it has been renamed */
        code = part_finish(f->part, e);
    } else
        part_close(f->part);
    free(f);
    return code;
}
