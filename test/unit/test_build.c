/* build, sources, stats: random documents against plain definitions; drop and append equal building anew; any threads,
 * the same file; sources in the order of their names; stops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/os.h"
#include "base/rng.h"
#include "store/build.h"
#include "store/stats.h"
#include "text/shingle.h"

enum { N_TEXTS = 300 };
static char folder[3000];

static const char *in_folder(const char *name) {
    static char path[8][4096];
    static int next;
    char *p = path[next++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static int setup(void **state) {
    (void)state;
    const char *tmp = getenv("LOAM_TMP");
    snprintf(folder, sizeof folder, "%s/test_build_XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

/* ---- random documents: some equal, some nearly ---- */

static void add_words(strbuf *b, uint64_t seed, uint64_t from, uint64_t n) {
    for (uint64_t i = from; i < from + n; i++)
        assert_int_equal(strbuf_addf(b, NULL, "%sw%u", i ? " " : "", rng_u32(seed, RNG_TEST, i) % 500), ERR_OK);
}

static void make_text(uint64_t i, strbuf *out) {
    uint64_t of = rng_below(9, RNG_TEST, i, 120); /* texts of one number are equal or nearly so */
    out->n = 0;
    add_words(out, of, 0, 8 + rng_below(10, RNG_TEST, of, 80));
    if (rng_below(11, RNG_TEST, i, 3) == 0)
        assert_int_equal(strbuf_addf(out, NULL, " tail%u", (unsigned)rng_below(12, RNG_TEST, i, 4)), ERR_OK);
}

static bool is_dropped(uint64_t i) { return rng_below(13, RNG_TEST, i, 4) == 0; }

/* Lines [from, to), without those to be dropped if `fewer`. */
static void write_lines(const char *name, size_t from, size_t to, bool fewer) {
    strbuf text = {0}, all = {0};
    for (size_t i = from; i < to; i++) {
        if (fewer && is_dropped(i))
            continue;
        make_text(i, &text);
        assert_int_equal(strbuf_addf(&all, NULL, "{\"id\":%zu,\"licence\":\"%s\",\"kind\":\"k%zu\",\"text\":\"", i,
                                     i % 3 ? "MIT" : "", i % 5),
                         ERR_OK);
        assert_int_equal(strbuf_add(&all, strbuf_str(&text), NULL), ERR_OK);
        assert_int_equal(strbuf_add(&all, STR("\"}\n"), NULL), ERR_OK);
    }
    assert_int_equal(os_write_file(in_folder(name), strbuf_str(&all), NULL), ERR_OK);
    strbuf_fini(&text);
    strbuf_fini(&all);
}

static build_result build(const char *set, const char *source, build_options o) {
    build_result r;
    err e = {0};
    const char *word = in_folder(source);
    if (dataset_build(in_folder(set), &word, 1, &o, &r, &e) != ERR_OK)
        fail_msg("%s", e.text);
    return r;
}

static dataset *open_set(const char *set) {
    dataset *d;
    err e = {0};
    if (dataset_open(&d, in_folder(set), &e) != ERR_OK)
        fail_msg("%s", e.text);
    return d;
}

static int by_id(const void *a, const void *b) {
    const dataset_key *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* ---- marks against plain definitions ---- */

static double similarity(str a, str b) {
    shingle_set x = {0}, y = {0};
    assert_int_equal(shingle_set_of(a, &x, NULL), ERR_OK);
    assert_int_equal(shingle_set_of(b, &y, NULL), ERR_OK);
    double s = shingle_jaccard(&x, &y);
    shingle_set_fini(&x);
    shingle_set_fini(&y);
    return s;
}

static void marks_are_true(void **state) {
    (void)state;
    strbuf text[N_TEXTS] = {{0}};
    bool exact[N_TEXTS] = {false}, near[N_TEXTS] = {false};
    size_t n_exact = 0, n_near = 0;
    write_lines("all.jsonl", 0, N_TEXTS, false);
    build_result r = build("a.db", "all.jsonl", (build_options){.near = 0.8});
    assert_int_equal(r.documents, N_TEXTS);
    dataset *d = open_set("a.db");
    for (size_t i = 0; i < N_TEXTS; i++) {
        dataset_doc doc;
        char name[24];
        int64_t want = 0;
        double best = 0;
        size_t best_at = 0;
        make_text(i, &text[i]);
        assert_int_equal(dataset_get(d, (int64_t)i + 1, &doc, NULL), ERR_OK);
        snprintf(name, sizeof name, "%zu", i);
        assert_true(str_is(doc.name, name) && str_eq(doc.text, strbuf_str(&text[i])));
        for (size_t k = i; k-- > 0;)
            if (str_eq(doc.text, strbuf_str(&text[k])))
                want = (int64_t)k + 1;
        assert_int_equal(doc.duplicate_of, want);
        n_exact += exact[i] = want != 0;
        for (size_t k = 0; k < i && !want; k++) {
            double s = exact[k] || near[k] ? 0 : similarity(doc.text, strbuf_str(&text[k]));
            if (s > best) {
                best = s;
                best_at = k + 1;
            }
        }
        near[i] = best >= 0.8;
        n_near += near[i];
        assert_int_equal(doc.near_of,
                         near[i] ? (int64_t)best_at : 0); /* here all are found: similar ones are very so */
        assert_true(doc.similarity == (near[i] ? best : 0));
    }
    dataset_close(d);
    assert_int_equal(r.marked_duplicate, n_exact);
    assert_int_equal(r.marked_near, n_near);
    assert_true(n_exact > 50 && n_near > 30);
    for (size_t i = 0; i < N_TEXTS; i++)
        strbuf_fini(&text[i]);
}

/* ---- the same set by other ways ---- */

static void same_rows(const char *one, const char *other) {
    dataset *a = open_set(one), *b = open_set(other);
    dataset_key *x, *y;
    size_t n, m;
    int64_t rank[2 * N_TEXTS] = {0};
    assert_int_equal(dataset_list(a, NULL, &x, &n, NULL), ERR_OK);
    assert_int_equal(dataset_list(b, NULL, &y, &m, NULL), ERR_OK);
    assert_int_equal(n, m);
    qsort(x, n, sizeof *x, by_id);
    qsort(y, n, sizeof *y, by_id);
    for (size_t i = 0; i < n; i++) {
        dataset_doc p, q;
        assert_int_equal(dataset_get(a, x[i].id, &p, NULL), ERR_OK);
        assert_int_equal(dataset_get(b, y[i].id, &q, NULL), ERR_OK);
        assert_in_range(p.key.id, 1, 2 * N_TEXTS - 1);
        rank[p.key.id] = q.key.id; /* ids may differ, not what they stand for */
        assert_true(str_eq(p.text, q.text) && str_eq(p.name, q.name) && str_eq(p.licence, q.licence));
        assert_int_equal(rank[p.duplicate_of], q.duplicate_of);
        assert_int_equal(rank[p.near_of], q.near_of);
        assert_true(p.similarity == q.similarity);
    }
    free(x);
    free(y);
    dataset_close(a);
    dataset_close(b);
}

static void append_equals_one_build(void **state) {
    (void)state;
    const build_options o = {.near = 0.8}, more = {.near = 0.8, .append = true};
    write_lines("all.jsonl", 0, N_TEXTS, false);
    write_lines("one.jsonl", 0, 130, false);
    write_lines("two.jsonl", 130, N_TEXTS, false);
    build_result whole = build("a.db", "all.jsonl", o);
    build("b.db", "one.jsonl", o);
    build_result r = build("b.db", "two.jsonl", more);
    assert_int_equal(r.added, N_TEXTS - 130);
    assert_int_equal(r.files, 1);
    assert_memory_equal(r.digest.byte, whole.digest.byte, 32);
    same_rows("a.db", "b.db");
}

static void dropping_equals_never_having_had(void **state) {
    (void)state;
    const build_options o = {.near = 0.8};
    int64_t ids[N_TEXTS];
    size_t n = 0;
    write_lines("all.jsonl", 0, N_TEXTS, false);
    write_lines("fewer.jsonl", 0, N_TEXTS, true);
    build("a.db", "all.jsonl", o);
    build_result want = build("b.db", "fewer.jsonl", o), r;
    for (size_t i = 0; i < N_TEXTS; i++)
        if (is_dropped(i))
            ids[n++] = (int64_t)i + 1;
    assert_true(n > 40);
    err e = {0};
    if (dataset_drop(in_folder("a.db"), ids, n, STR("some"), STR("why"), &o, &r, &e) != ERR_OK)
        fail_msg("%s", e.text);
    assert_int_equal(r.documents, N_TEXTS - n);
    assert_memory_equal(r.digest.byte, want.digest.byte, 32);
    same_rows("a.db", "b.db");
    assert_int_equal(dataset_drop(in_folder("a.db"), ids, 1, STR(""), STR(""), &o, &r, &e),
                     ERR_USAGE); /* gone already */
    assert_non_null(strstr(e.text, "there is no document"));
}

static void threads_do_not_matter(void **state) {
    (void)state;
    strbuf want = {0}, got = {0};
    write_lines("all.jsonl", 0, N_TEXTS, false);
    for (int threads = 0; threads <= 4; threads++) {
        pool *workers = NULL;
        if (threads)
            assert_int_equal(pool_open(&workers, threads, NULL), ERR_OK);
        build("t.db", "all.jsonl", (build_options){.near = 0.7, .duplicates = BUILD_DROP_NEAR, .workers = workers});
        pool_close(workers);
        got.n = 0;
        assert_int_equal(os_read_file(in_folder("t.db"), 1 << 24, &got, NULL), ERR_OK);
        if (threads == 0)
            assert_int_equal(strbuf_add(&want, strbuf_str(&got), NULL), ERR_OK);
        assert_true(str_eq(strbuf_str(&want), strbuf_str(&got)));
    }
    strbuf_fini(&want);
    strbuf_fini(&got);
}

static void a_stop_changes_nothing(void **state) {
    (void)state;
    static const volatile int stop = 1;
    build_result r;
    err e;
    write_lines("all.jsonl", 0, N_TEXTS, false);
    const char *word = in_folder("all.jsonl");
    unlink(in_folder("s.db"));
    build_options o = {.near = 0.8, .stop = &stop};
    assert_int_equal(dataset_build(in_folder("s.db"), &word, 1, &o, &r, &e), ERR_CANCELLED);
    assert_false(os_exists(in_folder("s.db")) || os_exists(in_folder("s.db.tmp")));
    const char *nowhere = in_folder("nowhere");
    assert_int_equal(dataset_build(in_folder("s.db"), &nowhere, 1, &o, &r, &e), ERR_IO);
    assert_non_null(strstr(e.text, "no such file or folder"));
    assert_false(os_exists(in_folder("s.db.tmp")));
}

/* ---- sources ---- */

static void files_in_the_order_of_names(void **state) {
    (void)state;
    static const char *const names[] = {"tree/b/z.txt", "tree/b/a.jsonl.zst", "tree/a.txt",
                                        "tree/b.txt",   "tree/B.json",        "tree/.no"};
    static const struct {
        const char *name;
        source_format format;
    } want[] = {{"B.json", SOURCE_TEXT},
                {"a.txt", SOURCE_TEXT},
                {"b.txt", SOURCE_TEXT},
                {"b/a.jsonl.zst", SOURCE_JSONL},
                {"b/z.txt", SOURCE_TEXT}};
    (void)mkdir(in_folder("tree"), 0700);
    (void)mkdir(in_folder("tree/b"), 0700);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(os_write_file(in_folder(names[i]), STR("x"), NULL), ERR_OK);
    source_list l = {0};
    source_options o = {.licence = STR("MIT")};
    assert_int_equal(sources_add(&l, in_folder("tree"), &o, NULL), ERR_OK);
    assert_int_equal(l.n, 5);
    assert_int_equal(l.bytes, 5);
    for (size_t i = 0; i < l.n; i++) {
        assert_true(str_is(l.file[i].name, want[i].name) && str_is(l.file[i].source, "tree"));
        assert_true(l.file[i].format == want[i].format && str_is(l.file[i].licence, "MIT"));
    }
    assert_int_equal(sources_add(&l, in_folder("tree/B.json"), &o, NULL), ERR_OK); /* named itself: JSON Lines */
    assert_int_equal(l.n, 6);
    assert_true(l.file[5].format == SOURCE_JSONL && str_is(l.file[5].source, "B.json"));
    const str patterns[] = {STR("b/*"), STR("?.txt")};
    source_options some = {.include = patterns, .n_include = 2, .exclude = patterns + 1, .n_exclude = 1};
    assert_int_equal(sources_add(&l, in_folder("tree/"), &some, NULL), ERR_OK);
    assert_int_equal(l.n, 7);
    assert_true(str_is(l.file[6].name, "b/a.jsonl.zst"));
    sources_fini(&l);
    static const char *const bad[] = {"apt:", "apt:a", "apt:../x", "apt:UPPER", "apt:nosuch-package-here", "/dev/null"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err e = {0};
        err_code code = sources_add(&l, bad[i], &(source_options){.root = folder}, &e);
        if ((code != ERR_USAGE && code != ERR_IO) || !e.text[0])
            fail_msg("%s: %s", bad[i], e.text);
    }
    sources_fini(&l);
}

/* ---- stats ---- */

static void numbers_are_counted(void **state) {
    (void)state;
    write_lines("all.jsonl", 0, N_TEXTS, false);
    build_result r = build("n.db", "all.jsonl", (build_options){.near = 0.8});
    dataset *d = open_set("n.db");
    arena mem = {0};
    stats_totals t;
    stats_row *rows;
    size_t n;
    int64_t n_all, bytes = 0, least = INT64_MAX, most = 0;
    strbuf text = {0};
    for (size_t i = 0; i < N_TEXTS; i++) {
        make_text(i, &text);
        bytes += (int64_t)text.n;
        least = (int64_t)text.n < least ? (int64_t)text.n : least;
        most = (int64_t)text.n > most ? (int64_t)text.n : most;
    }
    strbuf_fini(&text);
    assert_int_equal(stats_total(d, &t, NULL), ERR_OK);
    assert_int_equal(t.documents, N_TEXTS);
    assert_int_equal(t.bytes, bytes);
    assert_int_equal(r.bytes, bytes);
    assert_true(t.bytes_min == least && t.bytes_max == most && t.bytes_median > least && t.bytes_median < most);
    assert_true(t.exact_duplicates == r.marked_duplicate && t.near_duplicates == r.marked_near);
    assert_true(t.files == 1 && t.removals == 0 && t.removed == 0);
    assert_int_equal(stats_by(d, STATS_LICENCE, 10, &mem, &rows, &n, &n_all, NULL), ERR_OK);
    assert_true(n == 2 && n_all == 2 && str_is(rows[0].value, "MIT") && rows[1].value.n == 0);
    assert_true(rows[0].documents == 200 && rows[1].documents == 100 && rows[0].bytes + rows[1].bytes == bytes);
    assert_int_equal(stats_by(d, STATS_KIND, 3, &mem, &rows, &n, &n_all, NULL), ERR_OK); /* ties by value */
    assert_true(n == 3 && n_all == 5 && str_is(rows[0].value, "k0") && str_is(rows[2].value, "k2"));
    dataset_file *files;
    assert_int_equal(stats_files(d, 5, &mem, &files, &n, NULL), ERR_OK);
    assert_true(n == 1 && str_is(files[0].name, "all.jsonl") && files[0].documents == N_TEXTS);
    arena_fini(&mem);
    dataset_close(d);
}

/* Whether root may do what permissions forbid; what may be taken back. */
static void may_override(bool may) {
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2];
    uint32_t bits = 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH;
    assert_int_equal(syscall(SYS_capget, &head, sets), 0);
    sets[0].effective = may ? sets[0].effective | (sets[0].permitted & bits) : sets[0].effective & ~bits;
    assert_int_equal(syscall(SYS_capset, &head, sets), 0);
}

static void keep_note(void *ctx, const char *text) { snprintf(ctx, 200, "%s", text); }

static void folders_that_cannot_be_opened(void **state) {
    (void)state;
    char noted[200] = "", path[4096];
    source_options o = {.note = keep_note, .note_ctx = noted};
    snprintf(path, sizeof path, "%s", in_folder("shut"));
    assert_int_equal(mkdir(path, 0700) | mkdir(in_folder("shut/a"), 0700) | mkdir(in_folder("shut/b"), 0000), 0);
    assert_int_equal(os_write_file(in_folder("shut/a/x"), STR("a text"), NULL), ERR_OK);
    may_override(false);
    for (int skips = 0; skips < 2; skips++) {
        source_list list = {0};
        err e = {0};
        o.skip_bad = skips;
        assert_int_equal(sources_add(&list, path, &o, &e), skips ? ERR_OK : ERR_IO);
        const char *said = skips ? noted : e.text;
        assert_non_null(strstr(said, "shut/b: cannot be opened: "));
        assert_true(!skips || list.n == 1);
        sources_fini(&list);
        assert_int_equal(chmod(in_folder("shut"), skips ? 0000 : 0700), 0);
    }
    source_list list = {0};
    assert_int_equal(sources_add(&list, path, &o, NULL), ERR_IO); /* what was asked for by name is not skipped */
    sources_fini(&list);
    may_override(true);
    assert_int_equal(chmod(path, 0700) | chmod(in_folder("shut/b"), 0700), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marks_are_true),
        cmocka_unit_test(append_equals_one_build),
        cmocka_unit_test(dropping_equals_never_having_had),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(a_stop_changes_nothing),
        cmocka_unit_test(files_in_the_order_of_names),
        cmocka_unit_test(numbers_are_counted),
        cmocka_unit_test(folders_that_cannot_be_opened),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
