/* replay: runs a fuzz target over files, without libFuzzer.
 *
 *   build/test/fuzz/replay_NAME [FILE|FOLDER...]
 *
 * Linked to test/fuzz/fuzz_NAME.c. Without arguments it replays test/fuzz/corpus/NAME, then every file
 * of it cut in half and with one bit flipped, so that a corpus tests more than what it was kept for. Prints TAP; an
 * empty corpus fails. Each input is copied to a block of exactly its size: reading past the end is seen.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/os.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

enum { FILE_BYTES_MAX = 64 << 20 };
static int n_files, n_bad;

static void feed(const char *p, size_t n, size_t flip) {
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy) {
        n_bad++;
        return;
    }
    if (n)
        memcpy(copy, p, n);
    if (flip < n)
        copy[flip] ^= (uint8_t)(1u << flip % 8);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static void replay_file(const char *path) {
    strbuf b = {0};
    err e;
    fprintf(stderr, "# %s\n", path); /* the last one printed is the one that crashed */
    if (os_read_file(path, FILE_BYTES_MAX, &b, &e) != ERR_OK) {
        printf("# %s\n", e.text);
        n_bad++;
    } else {
        feed(b.p, b.n, SIZE_MAX);
        feed(b.p, b.n / 2, SIZE_MAX);
        feed(b.p, b.n, b.n ? (b.n * 2654435761u) % b.n : 0);
        n_files++;
    }
    strbuf_fini(&b);
}

static int named(const struct dirent *d) { return d->d_name[0] != '.'; }

static void replay(const char *path) {
    if (!os_is_dir(path)) {
        replay_file(path);
        return;
    }
    struct dirent **entry = NULL;
    int n = scandir(path, &entry, named, alphasort);
    for (int i = 0; i < n; i++) {
        char sub[4096];
        snprintf(sub, sizeof sub, "%s/%s", path, entry[i]->d_name);
        replay_file(sub);
        free(entry[i]);
    }
    free(entry);
}

int main(int argc, char **argv) {
    const char *base = strrchr(argv[0], '/'), *name = base ? base + 1 : argv[0];
    if (strncmp(name, "replay_", 7) == 0)
        name += 7;
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    char corpus[4096];
    snprintf(corpus, sizeof corpus, "test/fuzz/corpus/%s", name);
    printf("1..1\n");
    fflush(stdout);
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    if (argc < 2)
        replay(corpus);
    bool good = n_files > 0 && n_bad == 0;
    printf("%s 1 - fuzz corpus %s: %d files\n", good ? "ok" : "not ok", name, n_files);
    return good ? 0 : 1;
}
