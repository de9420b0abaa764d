/* prefix_files: see prefix_files.h.
 *
 * Invariants:
 *   1. The lock guards the list, `writing` and the stats. Files are read, written and hashed without it.
 *   2. A row in the list is a hint: its file may be gone or damaged, and is looked at anew whenever it is used.
 */
#include "serve/prefix_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "base/outfile.h"
#include "io/reader.h"
#include "serve/worker.h"
#include "sign/manifest.h"

static const char magic[8] = "LOAMKV01";
enum { HEAD_BYTES = 8 + 32 + 32 + 8 + 8, DIGEST_AT = 8, BODY_AT = 40, NAME_CHARS = 32 };

typedef struct row {
    struct row *next;
    char name[NAME_CHARS + 4]; /* HEX.kv */
    hash256 key;
    int32_t *ids; /* [n] */
    size_t n;
    uint64_t bytes, used;
} row;

/* What the thread is to write. */
typedef struct {
    size_t bytes;
    uint8_t file[]; /* the whole file */
} task;

struct prefix_files {
    char folder[OS_PATH_BYTES];
    worker *writer;
    pthread_mutex_t lock;
    bool writing; /* there is a task, or one is being made */
    row *first;
    uint64_t clock;
    prefix_files_stats stats;
};

/* ---- the list ---- */

static void row_free(row *r) {
    if (r)
        free(r->ids);
    free(r);
}

/* Takes the row out and its file away. */
static void drop(prefix_files *k, row **at) { /* locked */
    char path[OS_PATH_BYTES];
    row *r = *at;
    *at = r->next;
    k->stats.files--;
    k->stats.bytes -= r->bytes;
    if (os_join(path, k->folder, r->name, NULL) == ERR_OK)
        unlink(path);
    row_free(r);
}

static void drop_named(prefix_files *k, const char *name) {
    pthread_mutex_lock(&k->lock);
    for (row **at = &k->first; *at; at = &(*at)->next)
        if (strcmp((*at)->name, name) == 0) {
            drop(k, at);
            k->stats.refused++;
            break;
        }
    pthread_mutex_unlock(&k->lock);
}

static void make_room(prefix_files *k, uint64_t bytes) { /* locked */
    while (k->first && (k->stats.bytes + bytes > k->stats.bytes_max || k->stats.files >= PREFIX_FILES_FILES_MAX)) {
        row **oldest = &k->first;
        for (row **at = &k->first; *at; at = &(*at)->next)
            if ((*at)->used < (*oldest)->used)
                oldest = at;
        drop(k, oldest);
    }
}

static void add(prefix_files *k, row *r) { /* locked */
    r->next = k->first;
    k->first = r;
    k->stats.files++;
    k->stats.bytes += r->bytes;
}

static size_t common(const row *r, const hash256 *key, const int32_t *ids, size_t n) {
    size_t most = r->n < n ? r->n : n, same = 0;
    if (memcmp(&r->key, key, sizeof *key) != 0)
        return 0;
    while (same < most && r->ids[same] == ids[same])
        same++;
    return same;
}

/* Those that the new one begins with are not needed any more. */
static void drop_beginnings(prefix_files *k, const row *new) { /* locked */
    for (row **at = &k->first; *at;)
        if (common(*at, &new->key, new->ids, new->n) == (*at)->n)
            drop(k, at);
        else
            at = &(*at)->next;
}

/* ---- files ---- */

/* The head and the ids of a file of `bytes`; *r's name and time are the caller's. */
static err_code read_head(const uint8_t *p, size_t n_there, uint64_t bytes, row *r, err *e) {
    reader in = {.file = r->name, .p = p, .n = n_there};
    const uint8_t *mark, *digest, *key, *ids;
    uint64_t n, image;
    TRY(reader_bytes(&in, 8, &mark, e));
    TRY(reader_bytes(&in, 32, &digest, e));
    TRY(reader_bytes(&in, 32, &key, e));
    TRY(reader_u64(&in, &n, e));
    TRY(reader_u64(&in, &image, e));
    if (memcmp(mark, magic, 8) != 0 || n < 1 || n > PREFIX_FILES_TOKENS_MAX || bytes < HEAD_BYTES + 4 * n ||
        image != bytes - HEAD_BYTES - 4 * n)
        return err_set(e, ERR_FORMAT, "%s: is no prefix of %llu bytes", r->name, (unsigned long long)bytes);
    memcpy(&r->key, key, 32);
    r->n = (size_t)n;
    r->bytes = bytes;
    if (n_there < HEAD_BYTES + 4 * n)
        return ERR_OK;
    r->ids = malloc(r->n * sizeof *r->ids);
    if (!r->ids)
        return err_set(e, ERR_MEMORY, "%s: no memory", r->name);
    TRY(reader_bytes(&in, 4 * n, &ids, e));
    for (size_t i = 0; i < r->n; i++, ids += 4)
        r->ids[i] =
            (int32_t)((uint32_t)ids[0] | (uint32_t)ids[1] << 8 | (uint32_t)ids[2] << 16 | (uint32_t)ids[3] << 24);
    return ERR_OK;
}

static bool read_all(int fd, uint8_t *to, size_t n) {
    for (size_t at = 0; at < n;) {
        ssize_t got = pread(fd, to + at, n - at, (off_t)at);
        if (got <= 0 && !(got < 0 && errno == EINTR))
            return false;
        at += got > 0 ? (size_t)got : 0;
    }
    return true;
}

/* What stands in a file of this name, without its image. */
static err_code look(prefix_files *k, int fd, const struct stat *st, row *r, err *e) {
    uint8_t head[HEAD_BYTES];
    uint64_t bytes = (uint64_t)st->st_size;
    if (!S_ISREG(st->st_mode) || st->st_size < HEAD_BYTES || bytes > k->stats.bytes_max ||
        !read_all(fd, head, sizeof head))
        return err_set(e, ERR_FORMAT, "%s: is no prefix", r->name);
    TRY(read_head(head, sizeof head, bytes, r, e));
    size_t n = HEAD_BYTES + 4 * r->n;
    uint8_t *both = malloc(n);
    if (!both)
        return err_set(e, ERR_MEMORY, "%s: no memory", r->name);
    err_code code = read_all(fd, both, n) ? read_head(both, n, bytes, r, e) : ERR_IO;
    free(both);
    return code;
}

static bool ours(const char *name) {
    size_t n = strspn(name, "0123456789abcdef");
    return n == NAME_CHARS && strcmp(name + n, ".kv") == 0;
}

static void take_in(prefix_files *k, int dir, const char *name) {
    struct stat st;
    err e;
    row *r = calloc(1, sizeof *r);
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (r && fd >= 0 && fstat(fd, &st) == 0) {
        memcpy(r->name, name, sizeof r->name);
        r->used = (uint64_t)st.st_mtim.tv_sec * 1000000000U + (uint64_t)st.st_mtim.tv_nsec;
        if (look(k, fd, &st, r, &e) == ERR_OK) {
            k->clock = r->used > k->clock ? r->used : k->clock;
            add(k, r);
            r = NULL;
        } else if (e.code != ERR_MEMORY) {
            unlinkat(dir, name, 0);
            k->stats.refused++;
        }
    }
    if (fd >= 0)
        close(fd);
    row_free(r);
}

err_code prefix_files_folder(const char *folder, err *e) {
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return err_set(e, ERR_IO, "%s: cannot be created: %s", folder, strerror(errno));
    return os_is_dir(folder) ? ERR_OK : err_set(e, ERR_IO, "%s: is no folder", folder);
}

static err_code look_through(prefix_files *k, err *e) {
    DIR *d = opendir(k->folder);
    if (!d)
        return err_set(e, ERR_IO, "%s: %s", k->folder, strerror(errno));
    for (const struct dirent *f = readdir(d); f; f = readdir(d)) {
        if (k->stats.files >= PREFIX_FILES_FILES_MAX)
            break;
        if (ours(f->d_name))
            take_in(k, dirfd(d), f->d_name);
    }
    closedir(d);
    make_room(k, 0);
    return ERR_OK;
}

/* ---- writing ---- */

static void put_u64(uint8_t *p, uint64_t x) {
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(x >> (8 * i));
}

static void put_head(uint8_t *p, const hash256 *key, const int32_t *ids, size_t n, size_t image) {
    memcpy(p, magic, 8);
    memcpy(p + BODY_AT, key, 32);
    put_u64(p + 72, n);
    put_u64(p + 80, image);
    for (size_t i = 0; i < n; i++)
        for (int b = 0; b < 4; b++)
            p[HEAD_BYTES + 4 * i + (size_t)b] = (uint8_t)((uint32_t)ids[i] >> (8 * b));
}

static err_code write_file(const char *path, const task *t, err *e) {
    outfile *f;
    TRY(outfile_open(&f, path, e));
    err_code code = outfile_write(f, t->file, t->bytes, e);
    if (code == ERR_OK)
        return outfile_commit(f, e);
    outfile_abort(f);
    return code;
}

static err_code write_task(prefix_files *k, task *t, err *e) {
    char hex[65], path[OS_PATH_BYTES];
    row *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(e, ERR_MEMORY, "no memory");
    hash256 digest = hash_of(t->file + BODY_AT, t->bytes - BODY_AT);
    memcpy(t->file + DIGEST_AT, &digest, sizeof digest);
    hash_hex(digest, hex);
    memcpy(r->name, hex, NAME_CHARS);
    memcpy(r->name + NAME_CHARS, ".kv", 4);
    err_code code = read_head(t->file, t->bytes, t->bytes, r, e);
    if (code == ERR_OK)
        code = os_join(path, k->folder, r->name, e);
    if (code == ERR_OK) { /* before it is there, so that never more is */
        pthread_mutex_lock(&k->lock);
        make_room(k, r->bytes);
        pthread_mutex_unlock(&k->lock);
        code = write_file(path, t, e);
    }
    if (code != ERR_OK) {
        row_free(r);
        return code;
    }
    pthread_mutex_lock(&k->lock);
    drop_beginnings(k, r);
    r->used = ++k->clock;
    add(k, r);
    k->stats.written++;
    pthread_mutex_unlock(&k->lock);
    return ERR_OK;
}

/* Only now another one is taken. */
static void over(prefix_files *k, bool written) {
    pthread_mutex_lock(&k->lock);
    k->writing = false;
    k->stats.skipped += !written;
    pthread_mutex_unlock(&k->lock);
}

static void run(void *ctx, void *thing) {
    task *t = thing;
    err e;
    err_code code = write_task(ctx, t, &e);
    free(t);
    over(ctx, code == ERR_OK);
}

/* ---- the engine's side ---- */

/* The file that begins like ids for longest, for *same of them; NULL: none begins so. */
static row *longest(const prefix_files_model *km, const int32_t *ids, size_t n, size_t *same) { /* locked */
    row *best = NULL;
    *same = 0;
    for (row *r = km->kept->first; r; r = r->next) {
        size_t c = common(r, &km->key, ids, n);
        if (c > *same) {
            *same = c;
            best = r;
        }
    }
    return best;
}

static size_t find(void *ctx, const int32_t *ids, size_t n) {
    const prefix_files_model *km = ctx;
    size_t same;
    pthread_mutex_lock(&km->kept->lock);
    (void)longest(km, ids, n, &same);
    pthread_mutex_unlock(&km->kept->lock);
    return same >= PREFIX_FILES_TOKENS_MIN ? same : 0;
}

/* The name of a file that begins with all of these ids; it counts as used. */
static bool choose(prefix_files_model *km, const int32_t *ids, size_t n, char name[NAME_CHARS + 4]) {
    prefix_files *k = km->kept;
    size_t same;
    pthread_mutex_lock(&k->lock);
    row *r = longest(km, ids, n, &same);
    if (r && same == n) {
        r->used = ++k->clock;
        memcpy(name, r->name, sizeof r->name);
    }
    pthread_mutex_unlock(&k->lock);
    return r && same == n;
}

/* Everything is checked as if the file came from a stranger. */
static bool fits(const prefix_files_model *km, str file, const row *r, const int32_t *ids, size_t same) {
    hash256 digest = hash_of(file.p + BODY_AT, file.n - BODY_AT);
    return memcmp(file.p + DIGEST_AT, &digest, sizeof digest) == 0 && memcmp(&r->key, &km->key, sizeof r->key) == 0 &&
           r->n % KV_IMAGE_STEP == 0 && r->bytes - HEAD_BYTES - 4 * r->n == kv_image_bytes(km->m, r->n) &&
           r->n >= same && memcmp(r->ids, ids, same * sizeof *ids) == 0;
}

/* The time of a file is that of its last use: some bytes are written as they are. */
static void touch(const char *path) {
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    ssize_t n = pwrite(fd, magic, sizeof magic, 0);
    (void)n;
    close(fd);
}

static bool get(void *ctx, const int32_t *ids, size_t n, kv_cache *kv) {
    prefix_files_model *km = ctx;
    row r = {0};
    char path[OS_PATH_BYTES];
    strbuf file = {0};
    if (!choose(km, ids, n, r.name))
        return false;
    bool good = os_join(path, km->kept->folder, r.name, NULL) == ERR_OK &&
                os_read_regular(path, km->kept->stats.bytes_max, &file, NULL) == ERR_OK &&
                read_head((const uint8_t *)file.p, file.n, file.n, &r, NULL) == ERR_OK &&
                fits(km, strbuf_str(&file), &r, ids, n);
    if (good) {
        kv_image_read(kv, n, (const uint8_t *)file.p + HEAD_BYTES + 4 * r.n, r.n);
        touch(path);
    } else
        drop_named(km->kept, r.name);
    free(r.ids);
    strbuf_fini(&file);
    pthread_mutex_lock(&km->kept->lock);
    km->kept->stats.hits += good;
    pthread_mutex_unlock(&km->kept->lock);
    return good;
}

/* Whether the thread has nothing to do, and would have by these ids; then it is the caller's until over(). */
static bool wanted(prefix_files_model *km, const int32_t *ids, size_t n, uint64_t bytes) {
    prefix_files *k = km->kept;
    bool known = false;
    pthread_mutex_lock(&k->lock);
    for (row *r = k->first; r && !known; r = r->next) {
        known = common(r, &km->key, ids, n) == n;
        if (known)
            r->used = ++k->clock;
    }
    bool taken = !known && !k->writing && bytes <= k->stats.bytes_max;
    k->writing |= taken;
    k->stats.skipped += !known && !taken;
    pthread_mutex_unlock(&k->lock);
    return taken;
}

static void put(void *ctx, const kv_cache *kv, const int32_t *ids) {
    prefix_files_model *km = ctx;
    prefix_files *k = km->kept;
    size_t n = kv_len(kv) / KV_IMAGE_STEP * KV_IMAGE_STEP, image = kv_image_bytes(km->m, n);
    size_t bytes = HEAD_BYTES + 4 * n + image;
    if (n < PREFIX_FILES_TOKENS_MIN || n > PREFIX_FILES_TOKENS_MAX || !wanted(km, ids, n, bytes))
        return;
    task *t = malloc(sizeof *t + bytes);
    if (!t) {
        over(k, false);
        return;
    }
    t->bytes = bytes;
    put_head(t->file, &km->key, ids, n, image);
    kv_image_write(kv, n, t->file + HEAD_BYTES + 4 * n);
    if (!worker_give(k->writer, t)) { /* never: there is one task at a time */
        free(t);
        over(k, false);
    }
}

void prefix_files_model_init(prefix_files_model *km, prefix_files *k, const model *m) {
    *km = (prefix_files_model){.store = {.find = find, .get = get, .put = put, .ctx = km}, .kept = k, .m = m};
}

err_code prefix_files_key(const model *m, size_t ctx_tokens, hash256 *out, err *e) {
    manifest files;
    hash256 root;
    strbuf text = {0};
    TRY(manifest_make(&files, model_path(m), &(manifest_options){.allow_symlinks = true}, e));
    err_code code = manifest_root(&files, &root, e);
    manifest_fini(&files);
    if (code == ERR_OK)
        code = kv_image_layout(m, ctx_tokens, &text, e);
    if (code == ERR_OK)
        code = hash_after(&root, strbuf_str(&text), out, e);
    strbuf_fini(&text);
    return code;
}

/* ---- opening and closing ---- */

err_code prefix_files_open(prefix_files **out, const char *folder, uint64_t bytes_max, err *e) {
    *out = NULL;
    prefix_files *k = calloc(1, sizeof *k);
    if (!k)
        return err_set(e, ERR_MEMORY, "no memory");
    pthread_mutex_init(&k->lock, NULL);
    k->stats.bytes_max = bytes_max;
    err_code code = os_join(k->folder, folder, "", e);
    if (code == ERR_OK)
        code = look_through(k, e);
    if (code == ERR_OK)
        code = worker_open(&k->writer, 1, run, k, e);
    if (code != ERR_OK) {
        prefix_files_close(k);
        return code;
    }
    *out = k;
    return ERR_OK;
}

void prefix_files_close(prefix_files *k) {
    if (!k)
        return;
    worker_close(k->writer);
    while (k->first) {
        row *r = k->first;
        k->first = r->next;
        row_free(r);
    }
    pthread_mutex_destroy(&k->lock);
    free(k);
}

void prefix_files_stats_get(prefix_files *k, prefix_files_stats *out) {
    pthread_mutex_lock(&k->lock);
    *out = k->stats;
    pthread_mutex_unlock(&k->lock);
}
