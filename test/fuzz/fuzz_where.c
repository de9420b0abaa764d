/* where: any text as a condition over a small data set. It is refused, or each document satisfies exactly one of it,
 * its negation, and its being NULL; nothing else can be read or done. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/dataset.h"
#include "store/writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { N_DOCS = 4 };
static dataset *set;

static void make_set(void) {
    static const char *const texts[N_DOCS] = {"A red cup.", "x", "{\"a\": [1]}", "Ein K\xc3\xa4se"};
    static const char *const metas[N_DOCS] = {"", "{\"a\":[1,\"b\"]}", "{}", "{\"z\":null}"};
    char path[4096];
    const char *tmp = getenv("LOAM_TMP");
    snprintf(path, sizeof path, "%s/fuzz_where_%ld.db", tmp ? tmp : "/tmp", (long)getpid());
    dataset_writer *w;
    err e;
    if (dataset_writer_open(&w, path, &e) != ERR_OK)
        abort();
    for (int i = 0; i < N_DOCS; i++) {
        dataset_doc doc = {.name = STR("n"), .source = STR("s"), .licence = i % 2 ? STR("MIT") : STR("")};
        doc.text = str_from(texts[i]);
        doc.meta = str_from(metas[i]);
        doc.key = (dataset_key){i + 1, hash_of(doc.text.p, doc.text.n), doc.text.n};
        doc.near_of = i == 3 ? 1 : 0;
        doc.similarity = i == 3 ? 0.75 : 0;
        if (dataset_writer_put(w, &doc, 1, &e) != ERR_OK)
            abort();
    }
    if (dataset_writer_commit(w, &e) != ERR_OK || dataset_open(&set, path, &e) != ERR_OK)
        abort();
    unlink(path);
}

/* A bit an id; false when it is refused. */
static bool chosen(const char *fmt, const char *where, unsigned *ids, err_code *code) {
    size_t n = strlen(where) + 32;
    char *condition = malloc(n);
    dataset_key *keys;
    err e = {0};
    if (!condition)
        abort();
    snprintf(condition, n, fmt, where);
    *code = dataset_list(set, condition, &keys, &n, &e);
    free(condition);
    *ids = 0;
    if (*code != ERR_OK)
        return !e.text[0] || keys ? (abort(), false) : false;
    for (size_t i = 0; i < n; i++) {
        if (keys[i].id < 1 || keys[i].id > N_DOCS || *ids >> keys[i].id & 1)
            abort();
        *ids |= 1u << keys[i].id;
    }
    free(keys);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    unsigned yes, no, neither, all = ((1u << N_DOCS) - 1) << 1;
    err_code code;
    if (!set)
        make_set();
    char *where = malloc(n + 1);
    if (!where || n > 4096) {
        free(where);
        return 0;
    }
    if (n)
        memcpy(where, data, n);
    where[n] = 0;
    bool good = chosen("%s", where, &yes, &code);
    if (good && dataset_check_where(where, NULL) != ERR_OK)
        abort();
    if (good && chosen("NOT (%s)", where, &no, &code) && chosen("(%s) IS NULL", where, &neither, &code) &&
        ((yes | no | neither) != all || (yes & no) || (yes & neither) || (no & neither)))
        abort();
    free(where);
    if (!chosen("%s", "1", &yes, &code) || yes != all)
        abort();
    return 0;
}
