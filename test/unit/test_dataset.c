/* dataset: written, read back, listed, filtered; what is no data set or was tampered with is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "store/dataset.h"
#include "store/sql.h"
#include "store/writer.h"

static char path[4096], temp[4200];

static int setup(void **state) {
    (void)state;
    const char *tmp = getenv("LOAM_TMP");
    snprintf(path, sizeof path, "%s/test_dataset_%ld.db", tmp ? tmp : "/tmp", (long)getpid());
    snprintf(temp, sizeof temp, "%s.tmp", path);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    unlink(path);
    assert_int_not_equal(access(temp, F_OK), 0);
    return 0;
}

static const char *const text_of[] = {"A red cup.", "A blue cup.", "A red cup.", "Ein K\xc3\xa4se.", "x"};
enum { N_DOCS = 5 };

static dataset_doc doc_of(int i) {
    static const char *const licence_of[] = {"MIT", "CC0-1.0", "", "MIT", "CC0-1.0"};
    dataset_doc doc = {.name = STR("n"),
                       .source = STR("test"),
                       .topic = i == 3 ? STR("food") : STR(""),
                       .kind = STR("story"),
                       .meta = i == 1 ? STR("{\"facts\":[1]}") : STR("")};
    doc.text = str_from(text_of[i]);
    doc.licence = str_from(licence_of[i]);
    doc.key = (dataset_key){.id = i + 1, .sha256 = hash_of(doc.text.p, doc.text.n), .bytes = doc.text.n};
    doc.duplicate_of = i == 2 ? 1 : 0;
    doc.near_of = i == 1 ? 1 : 0;
    doc.similarity = i == 1 ? 0.875 : 0;
    return doc;
}

static void write_set(int n) {
    dataset_writer *w;
    err e = {0};
    assert_int_equal(dataset_writer_open(&w, path, &e), ERR_OK);
    for (int i = 0; i < n; i++) {
        dataset_doc doc = doc_of(i);
        assert_int_equal(dataset_writer_put(w, &doc, 1, &e), ERR_OK);
    }
    assert_int_equal(dataset_writer_commit(w, &e), ERR_OK);
}

static dataset *open_set(void) {
    dataset *d;
    err e = {0};
    if (dataset_open(&d, path, &e) != ERR_OK)
        fail_msg("%s", e.text);
    return d;
}

static void what_was_put_is_got(void **state) {
    (void)state;
    write_set(N_DOCS);
    dataset *d = open_set();
    for (int i = N_DOCS - 1; i >= 0; i--) {
        dataset_doc want = doc_of(i), got;
        assert_int_equal(dataset_get(d, i + 1, &got, NULL), ERR_OK);
        assert_int_equal(got.key.id, i + 1);
        assert_memory_equal(got.key.sha256.byte, want.key.sha256.byte, 32);
        assert_int_equal(got.key.bytes, want.text.n);
        assert_true(str_eq(got.text, want.text) && str_eq(got.licence, want.licence) && str_eq(got.meta, want.meta));
        assert_true(str_eq(got.name, want.name) && str_eq(got.source, want.source) && str_eq(got.topic, want.topic));
        assert_true(str_eq(got.kind, want.kind));
        assert_int_equal(got.duplicate_of, want.duplicate_of);
        assert_int_equal(got.near_of, want.near_of);
        assert_true(got.similarity == want.similarity);
    }
    err e;
    dataset_doc doc;
    assert_int_equal(dataset_get(d, 99, &doc, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "document 99: there is no such document"));
    dataset_close(d);
    dataset_close(NULL);
}

static void a_list_is_sorted_and_digested(void **state) {
    (void)state;
    write_set(N_DOCS);
    dataset *d = open_set();
    dataset_key *keys;
    size_t n;
    assert_int_equal(dataset_list(d, NULL, &keys, &n, NULL), ERR_OK);
    assert_int_equal(n, N_DOCS);
    hash_state *s;
    assert_int_equal(hash_open(&s, NULL), ERR_OK);
    for (size_t i = 0; i < n; i++) {
        hash_add(s, keys[i].sha256.byte, 32);
        int c = i ? memcmp(keys[i - 1].sha256.byte, keys[i].sha256.byte, 32) : -1;
        assert_true(c < 0 || (c == 0 && keys[i - 1].id < keys[i].id));
        assert_int_equal(keys[i].bytes, strlen(text_of[keys[i].id - 1]));
    }
    hash256 want = hash_close(s), got;
    assert_int_equal(dataset_digest(d, &got, NULL), ERR_OK);
    assert_memory_equal(want.byte, got.byte, 32);
    free(keys);
    dataset_close(d);

    write_set(0);
    d = open_set();
    assert_int_equal(dataset_list(d, NULL, &keys, &n, NULL), ERR_OK);
    assert_int_equal(n, 0);
    free(keys);
    assert_int_equal(dataset_digest(d, &got, NULL), ERR_OK);
    want = hash_of("", 0);
    assert_memory_equal(want.byte, got.byte, 32);
    dataset_close(d);
}

static void conditions_choose(void **state) {
    (void)state;
    static const struct {
        const char *where;
        unsigned ids; /* a bit an id */
    } cases[] = {
        {"licence = 'MIT'", 1 << 1 | 1 << 4},
        {"licence IN ('MIT', 'CC0-1.0') AND id < 3", 1 << 1 | 1 << 2},
        {"licence = ''", 1 << 3},
        {"topic LIKE 'FO%'", 1 << 4},
        {"text LIKE '%cup%' AND text NOT LIKE '%blue%'", 1 << 1 | 1 << 3},
        {"text glob '*K\xc3\xa4se*'", 1 << 4},
        {"duplicate_of IS NULL AND near_of IS NULL", 1 << 1 | 1 << 4 | 1 << 5},
        {"similarity > 0.5", 1 << 2},
        {"bytes BETWEEN 2 AND 10", 1 << 1 | 1 << 3 | 1 << 4},
        {"sha256 LIKE '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881'", 1 << 5}, /* of "x" */
        {"json_extract(meta, '$.facts[0]') = 1", 1 << 2},
        {"meta -> '$.facts' IS NOT NULL", 1 << 2},
        {"length(text) = 9 AND kind = 'story'", 1 << 4},
        {"1) OR (0", ~0u}, /* refused: checked below */
        {"id IN (1, 2, (5))", 1 << 1 | 1 << 2 | 1 << 5},
        {"source = 'select ; -- \"'", 0},
        {"file = 1 AND (((1)))", 0x3e},
    };
    write_set(N_DOCS);
    dataset *d = open_set();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dataset_key *keys;
        size_t n;
        unsigned ids = 0;
        err e = {0};
        err_code code = dataset_list(d, cases[i].where, &keys, &n, &e);
        assert_int_equal(code, cases[i].ids == ~0u ? ERR_USAGE : ERR_OK);
        for (size_t k = 0; k < n; k++)
            ids |= 1u << keys[k].id;
        if (code == ERR_OK && ids != cases[i].ids)
            fail_msg("%s: %x", cases[i].where, ids);
        free(keys);
    }
    dataset_close(d);
}

static void conditions_cannot_escape(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "  ",
        "1; DROP TABLE documents",
        "1 -- x",
        "1 /* x */",
        "1) LIMIT (1",
        "1) UNION SELECT 1, 2, 3 FROM (texts",
        "(SELECT 1)",
        "id IN (SELECT id FROM texts)",
        "id IN texts",
        "id IN removed",
        "id IN sqlite_schema",
        "EXISTS (VALUES (1))",
        "(WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x FROM c) SELECT count(*) FROM c)",
        "load_extension('x')",
        "readfile('/etc/passwd') = ''",
        "writefile('x', 'y')",
        "random() > 0",
        "randomblob(1000000000) IS NULL",
        "zeroblob(1000000000) IS NULL",
        "sqlite_version() = ''",
        "fts3_tokenizer('x') = 1",
        "date('now') > ''",
        "count(*) > 1",
        "max(id) > 1",
        "row_number() OVER () = 1",
        "id = ?",
        "id = ?1",
        "id = :x",
        "id = @x",
        "id = $x",
        "nosuch = 1",
        "licence = \"MIT\"",
        "documents.rowid = 1",
        "'unfinished",
        "(id = 1",
        "id = 1)",
        "RAISE(ABORT, 'x')",
        "text MATCH 'x'",
        "text REGEXP 'x'",
        "printf('%.*c', 1000000000, 'x') = ''",
        "ATTACH 'x' AS y",
        "1 ORDER BY 1",
        "(1, 2)",
    };
    write_set(1);
    dataset *d = open_set();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dataset_key *keys;
        size_t n;
        err e = {0};
        err_code code = dataset_list(d, bad[i], &keys, &n, &e);
        if (code != ERR_USAGE || !e.text[0])
            fail_msg("\"%s\" gives %s: %s", bad[i], err_name(code), e.text);
        assert_null(keys);
    }
    dataset_key *keys;
    size_t n;
    assert_int_equal(dataset_list(d, "1", &keys, &n, NULL), ERR_OK); /* it still works after all that */
    assert_int_equal(n, 1);
    free(keys);
    dataset_close(d);
}

/* ---- what is no data set ---- */

static void refused_with(err_code want, const char *text) {
    dataset *d;
    err e = {0};
    err_code code = dataset_open(&d, path, &e);
    if (code != want || !strstr(e.text, text))
        fail_msg("%s: %s", err_name(code), e.text);
    assert_null(d);
}

static void sql(const char *statements) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    char *why = NULL;
    if (sqlite3_exec(db, statements, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", statements, why);
    sqlite3_close(db);
}

static void strangers_are_refused(void **state) {
    (void)state;
    unlink(path);
    refused_with(ERR_IO, "cannot be opened");
    assert_int_equal(os_write_file(path, STR(""), NULL), ERR_OK);
    refused_with(ERR_FORMAT, "is not a data set");
    assert_int_equal(os_write_file(path,
                                   STR("just a text, and long enough for a header of one hundred bytes, which "
                                       "is what SQLite has at its beginning, so here is some more of it"),
                                   NULL),
                     ERR_OK);
    refused_with(ERR_FORMAT, "is not a data set");
    dataset_writer *w;
    err e;
    assert_int_equal(dataset_writer_open(&w, path, &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, "it is not overwritten"));
    unlink(path);
    sql("CREATE TABLE x(y)");
    refused_with(ERR_FORMAT, "is an SQLite database, but not a data set");
    assert_int_equal(dataset_writer_open(&w, path, &e), ERR_FORMAT);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    refused_with(ERR_IO, "is not a regular file");
    assert_int_equal(dataset_writer_open(&w, path, &e), ERR_IO);
    unlink(path);

    static const struct {
        const char *change, *text;
    } changes[] = {
        {"PRAGMA user_version = 2", "version 2; this Loam reads version 1"},
        {"PRAGMA journal_mode = WAL", "has been changed by another program"},
        {"CREATE TABLE extra(x)", "holds \"extra\""},
        {"CREATE INDEX extra ON documents(licence)", "holds \"extra\""},
        {"CREATE TRIGGER extra AFTER INSERT ON texts BEGIN SELECT 1; END", "holds \"extra\""},
        {"DROP TABLE texts; CREATE VIEW texts AS SELECT id, 'x' AS text FROM documents", "holds \"texts\""},
        {"DROP TABLE texts; CREATE TABLE texts(id INTEGER PRIMARY KEY, text TEXT AS ('x'))", "holds \"texts\""},
        {"DROP TABLE removed", "lacks a table"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        write_set(2);
        sql(changes[i].change);
        refused_with(ERR_FORMAT, changes[i].text);
        unlink(path);
    }
}

static void tampering_is_named(void **state) {
    (void)state;
    static const struct {
        const char *change, *text;
        bool in_list;
    } changes[] = {
        {"UPDATE texts SET text = 'A red cat.' WHERE id = 1", "document 1: its text has another SHA-256", false},
        {"UPDATE texts SET text = 'A' WHERE id = 1", "document 1: its text has 1 bytes, 10 are recorded", false},
        {"UPDATE texts SET text = '' WHERE id = 1; UPDATE documents SET bytes = 0", "0 bytes", true},
        {"DELETE FROM texts", "document 1: it has no text", false},
        {"UPDATE documents SET sha256 = x'00'", "column \"sha256\" holds 1 bytes where 32 belong", false},
        {"UPDATE documents SET bytes = 1000000000", "its text has 10 bytes", true},
        {"UPDATE documents SET bytes = -1", "its text has 10 bytes", true},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        write_set(1);
        sql(changes[i].change);
        dataset *d = open_set();
        dataset_doc doc;
        err e = {0};
        assert_int_equal(dataset_get(d, 1, &doc, &e), ERR_FORMAT);
        if (!strstr(e.text, changes[i].text))
            fail_msg("%s: %s", changes[i].change, e.text);
        dataset_key *keys = NULL;
        size_t n;
        if (changes[i].in_list)
            assert_int_equal(dataset_list(d, NULL, &keys, &n, &e), ERR_FORMAT);
        dataset_close(d);
    }
}

/* A file that claims to be STRICT and is not: types are looked at, whatever the schema says. */
static void wrong_types_are_refused(void **state) {
    (void)state;
    write_set(1);
    char command[9000];
    snprintf(command, sizeof command,
             "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '')");
    sql(command);
    sql("UPDATE texts SET text = x'4120726564206375702e'; UPDATE documents SET licence = x'37'");
    snprintf(command, sizeof command,
             "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE sql LIKE 'CREATE%%'");
    sql(command);
    dataset *d;
    err e = {0};
    if (dataset_open(&d, path, &e) != ERR_OK)
        fail_msg("%s", e.text);
    dataset_doc doc;
    assert_int_equal(dataset_get(d, 1, &doc, &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, "column \"licence\" holds a blob where a text belongs"));
    dataset_close(d);
}

/* ---- writers ---- */

static void one_writer_at_a_time(void **state) {
    (void)state;
    write_set(2);
    dataset_writer *w, *other;
    err e;
    assert_int_equal(dataset_writer_open(&w, path, &e), ERR_OK);
    assert_int_equal(dataset_writer_open(&other, path, &e), ERR_IO);
    assert_non_null(strstr(e.text, "is being written by another process"));
    assert_int_equal(access(temp, F_OK), 0); /* the refused one has left the first one's file alone */
    dataset *d = open_set();                 /* readers are not disturbed, and see the old state */
    dataset_doc doc = doc_of(0);
    assert_int_equal(dataset_writer_put(w, &doc, 1, &e), ERR_OK);
    assert_int_equal(dataset_writer_commit(w, &e), ERR_OK);
    assert_int_equal(dataset_get(d, 2, &doc, &e), ERR_OK);
    dataset_close(d);
    d = open_set();
    assert_int_equal(dataset_get(d, 2, &doc, &e), ERR_USAGE);
    dataset_close(d);

    assert_int_equal(dataset_writer_open(&w, path, &e), ERR_OK);
    dataset_writer_abort(w);
    dataset_writer_abort(NULL);
    assert_int_not_equal(access(temp, F_OK), 0);
    d = open_set();
    dataset_close(d);

    assert_int_equal(os_write_file(temp, STR("what a killed writer left"), NULL), ERR_OK);
    write_set(3);
    d = open_set();
    assert_int_equal(dataset_get(d, 3, &doc, &e), ERR_OK);
    dataset_close(d);

    assert_int_equal(symlink("/nonexistent/elsewhere", temp), 0);
    assert_int_equal(dataset_writer_open(&w, path, &e), ERR_IO);
    unlink(temp);
}

static void names_with_meanings(void **state) {
    (void)state;
    char before[sizeof path];
    memcpy(before, path, sizeof path);
    static const char *const odd[] = {":memory:", "a?immutable=0", "x#y", "100%41", "with space", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        snprintf(path, sizeof path, "%.3000s.%s", before, odd[i]);
        write_set(2);
        assert_int_equal(access(path, F_OK), 0);
        dataset_close(open_set());
        unlink(path);
    }
    memcpy(path, before, sizeof path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_got),     cmocka_unit_test(a_list_is_sorted_and_digested),
        cmocka_unit_test(conditions_choose),       cmocka_unit_test(conditions_cannot_escape),
        cmocka_unit_test(strangers_are_refused),   cmocka_unit_test(tampering_is_named),
        cmocka_unit_test(wrong_types_are_refused), cmocka_unit_test(one_writer_at_a_time),
        cmocka_unit_test(names_with_meanings),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
