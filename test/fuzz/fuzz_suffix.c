/* suffix: any bytes as an index. As they are, and with the digests set right, so that what is behind them is reached:
 * what opens must be searched, counted and listed without a wrong access, to an answer or one error. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "trace/spans.h"
#include "trace/suffix_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must_say(err_code code, const err *e) {
    if (code != ERR_OK && (e->code != code || !e->text[0]))
        abort();
}

static void search(const suffix *x, str text) {
    suffix_totals t = suffix_totals_of(x);
    for (size_t i = 0; i < t.n_shards && i < 8; i++) {
        size_t longest;
        suffix_range r;
        suffix_hit hit[4];
        err e = {0};
        must_say(suffix_longest(x, i, &text, 1, &longest, &e), &e);
        err_code code = suffix_find(x, i, &text, 1, &r, &e);
        must_say(code, &e);
        if (code == ERR_OK && r.to < r.from)
            abort();
        if (code == ERR_OK)
            must_say(suffix_docs(x, i, r, 4, hit, &longest, &e), &e);
    }
    spans s;
    err e = {0};
    err_code code = spans_find(x, text, &(spans_options){.docs_max = 3}, &s, &e);
    must_say(code, &e);
    if (code == ERR_OK)
        spans_fini(&s);
}

static void try_open(const uint8_t *p, size_t n) {
    suffix *x;
    err e = {0};
    err_code code = suffix_open_bytes(&x, p, n, &e);
    must_say(code, &e);
    if (code != ERR_OK)
        return;
    size_t piece = n > 80 ? 16 : 0;
    search(x, STR("the red lamp, a a"));
    search(x, (str){(const char *)p + 64, piece});
    search(x, (str){(const char *)p + 66, piece / 2});
    suffix_close(x);
}

/* The digests as they should be for what stands there. */
static void set_right(uint8_t *p, size_t n) {
    suffix_foot f;
    if (n < sizeof(suffix_head) + sizeof f)
        return;
    memcpy(p, SUFFIX_MAGIC, 8);
    memcpy(&f, p + n - sizeof f, sizeof f);
    memcpy(f.magic, SUFFIX_MAGIC, 8);
    f.file_bytes = n;
    uint64_t before = n - sizeof f;
    if (f.directory <= before && f.n_shards <= (before - f.directory) / sizeof(suffix_shard)) {
        for (size_t i = 0; i < f.n_shards; i++) {
            suffix_shard d;
            memcpy(&d, p + f.directory + i * sizeof d, sizeof d);
            if (d.n > SUFFIX_SHARD_BYTES_MAX || d.n_docs > d.n || d.at > n)
                continue;
            suffix_places w = suffix_places_of(d.n, d.n_docs);
            if (w.end > n - d.at)
                continue;
            d.sha256 = hash_of(p + d.at, (size_t)w.end);
            memcpy(p + f.directory + i * sizeof d, &d, sizeof d);
        }
        hash_state *h;
        if (hash_open(&h, NULL) != ERR_OK)
            return;
        hash_add(h, p + f.directory, (size_t)(before - f.directory));
        hash_add(h, &f, offsetof(suffix_foot, sha256));
        f.sha256 = hash_close(h);
    }
    memcpy(p + n - sizeof f, &f, sizeof f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n > 1 << 16)
        return 0;
    uint8_t *p = malloc(n ? n : 1); /* aligned, and exactly so long */
    if (!p)
        return 0;
    if (n)
        memcpy(p, data, n);
    try_open(p, n);
    set_right(p, n);
    try_open(p, n);
    free(p);
    return 0;
}
