/* sign: base64 has one text for each bytes; names sort by component; a statement reads back as what was written;
 * whatever is not exactly a signature by this key over exactly these files is refused, and says why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "base/rng.h"
#include "sign/sign.h"
#include "text/base64.h"

static char dir[3000];

static const char *at(const char *name) {
    static char path[4][4096];
    static int turn;
    char *p = path[turn = (turn + 1) % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static void put(const char *name, const char *text) {
    assert_int_equal(os_write_file(at(name), str_from(text), NULL), ERR_OK);
}

static int make_dir(void **state) {
    (void)state;
    const char *tmp = getenv("LOAM_TMP");
    snprintf(dir, sizeof dir, "%s/sign-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return -1;
    if (mkdir(at("m"), 0755) || mkdir(at("m/a"), 0755) || mkdir(at("m/.git"), 0755))
        return -1;
    put("m/a/b", "one");
    put("m/a.b", "two");
    put("m/.git/head", "three");
    put("m/\xc3\xa9 \"x\"", "");
    return 0;
}

static int remove_dir(void **state) {
    (void)state;
    char command[4096];
    static const char *const made[] = {"m/a/b",       "m/a.b", "m/.git/head", "m/\xc3\xa9 \"x\"",
                                       "m/model.sig", "m/new", "m/a",         "m/.git",
                                       "k",           "k.pub", "l",           "l.pub",
                                       "p",           "p.pub", "word",        "m",
                                       "sig",         "m/link"};
    for (int turn = 0; turn < 2; turn++)
        for (size_t i = 0; i < sizeof made / sizeof *made; i++)
            remove(at(made[i]));
    snprintf(command, sizeof command, "%s", dir);
    return rmdir(command);
}

static void base64_is_one_to_one(void **state) {
    (void)state;
    static const struct {
        const char *bytes, *text;
    } known[] = {{"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
                 {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}};
    static const char *const bad[] = {
        "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm9v\n", "Zm 9", "Zm9-", "Zm9v====", "=m9v", "Zm=v"};
    strbuf out = {0}, back = {0};
    err e;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        out.n = back.n = 0;
        assert_int_equal(base64_put(str_from(known[i].bytes), &out, NULL), ERR_OK);
        assert_true(str_is(strbuf_str(&out), known[i].text));
        assert_int_equal(base64_get(strbuf_str(&out), &back, NULL), ERR_OK);
        assert_true(str_is(strbuf_str(&back), known[i].bytes));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(base64_get(str_from(bad[i]), &back, &e), ERR_FORMAT);
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    for (size_t n = 0; n <= 256; n++) {
        out.n = back.n = 0;
        assert_int_equal(base64_put((str){all, n}, &out, NULL), ERR_OK);
        assert_int_equal(base64_get(strbuf_str(&out), &back, NULL), ERR_OK);
        assert_true(str_eq(strbuf_str(&back), (str){all, n}));
    }
    strbuf_fini(&out);
    strbuf_fini(&back);
}

static void names_sort_by_component(void **state) {
    (void)state;
    static const char *const order[] = {"a", "a/b", "a/b/c", "a/c", "a\x01", "a b", "a.b", "a0", "b", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        for (size_t j = 0; j < sizeof order / sizeof *order; j++) {
            int c = manifest_name_cmp(str_from(order[i]), str_from(order[j]));
            assert_true(i < j ? c < 0 : i > j ? c > 0 : c == 0);
        }
    assert_true(manifest_covers(STR("a"), STR("a")) && manifest_covers(STR("a/"), STR("a/b")));
    assert_true(manifest_covers(STR("./a"), STR("a/b")) && manifest_covers(STR("."), STR("x")));
    assert_false(manifest_covers(STR("a"), STR("ab")) || manifest_covers(STR("a/b"), STR("a")));
    assert_false(manifest_covers(STR("../a"), STR("a")) || manifest_covers(STR("/a"), STR("a")));
}

static sign_key *key(const char *name, bool private) {
    sign_key *k;
    err e = {0};
    err_code code =
        private ? sign_key_open_private(&k, at(name), (str){0}, &e) : sign_key_open_public(&k, at(name), &e);
    if (code != ERR_OK)
        fail_msg("%s", e.text);
    return k;
}

static void keys_are_kept_secret(void **state) {
    (void)state;
    sign_key *k;
    struct stat st;
    err e;
    assert_int_equal(sign_key_new(at("k"), "P-256", (str){0}, NULL), ERR_OK);
    assert_int_equal(sign_key_new(at("k"), "P-256", (str){0}, &e), ERR_IO); /* never replaced */
    assert_int_equal(sign_key_new(at("l"), "P-521", (str){0}, NULL), ERR_OK);
    assert_int_equal(sign_key_new(at("q"), "P-224", (str){0}, &e), ERR_USAGE);
    assert_int_equal(stat(at("k"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(chmod(at("k"), 0640), 0);
    assert_int_equal(sign_key_open_private(&k, at("k"), (str){0}, &e), ERR_IO);
    assert_non_null(strstr(e.text, "chmod 600"));
    assert_int_equal(chmod(at("k"), 0600), 0);
    assert_int_equal(sign_key_open_private(&k, at("k.pub"), (str){0}, &e), ERR_USAGE);
    assert_int_equal(sign_key_open_public(&k, at("k"), &e), ERR_USAGE);
    assert_int_equal(sign_key_open_public(&k, at("m/a.b"), &e), ERR_FORMAT);
    assert_int_equal(sign_key_open_public(&k, at("m"), &e), ERR_IO);
    assert_int_equal(sign_key_open_public(&k, at("none"), &e), ERR_IO);

    assert_int_equal(sign_key_new(at("p"), "P-384", STR("open sesame"), NULL), ERR_OK);
    assert_int_equal(sign_key_open_private(&k, at("p"), (str){0}, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "LOAM_KEY_PASSWORD"));
    assert_int_equal(sign_key_open_private(&k, at("p"), STR("open sesamE"), &e), ERR_USAGE);
    put("word", "open sesame\r\nsecond line");
    strbuf word = {0};
    assert_int_equal(chmod(at("word"), 0644), 0);
    assert_int_equal(sign_password_read(at("word"), &word, &e), ERR_IO);
    sign_forget(&word);
    assert_int_equal(chmod(at("word"), 0600), 0);
    assert_int_equal(sign_password_read(at("word"), &word, &e), ERR_OK);
    assert_int_equal(sign_key_open_private(&k, at("p"), strbuf_str(&word), &e), ERR_OK);
    assert_string_equal(sign_key_curve(k), "P-384");
    sign_forget(&word);
    assert_null(word.p);
    sign_key_close(k);
}

static void every_changed_bit_is_seen(void **state) {
    (void)state;
    static const char *const names[] = {"k", "l"};
    for (size_t i = 0; i < 2; i++) {
        char pub[8];
        snprintf(pub, sizeof pub, "%s.pub", names[i]);
        sign_key *k = key(names[i], true), *p = key(pub, false);
        strbuf sig = {0};
        char text[] = "what is signed", hint[65], hint_pub[65];
        str bytes = {text, sizeof text - 1};
        assert_int_equal(sign_key_hint(k, hint, NULL), ERR_OK);
        assert_int_equal(sign_key_hint(p, hint_pub, NULL), ERR_OK);
        assert_string_equal(hint, hint_pub);
        assert_int_equal(sign_key_sign(k, bytes, &sig, NULL), ERR_OK);
        assert_int_equal(sign_key_verify(p, bytes, strbuf_str(&sig), NULL), ERR_OK);
        for (size_t bit = 0; bit < 8 * bytes.n; bit++) {
            text[bit / 8] ^= (char)(1 << bit % 8);
            assert_int_equal(sign_key_verify(p, bytes, strbuf_str(&sig), NULL), ERR_MISMATCH);
            text[bit / 8] ^= (char)(1 << bit % 8);
        }
        for (size_t bit = 0; bit < 8 * sig.n; bit++) {
            sig.p[bit / 8] ^= (char)(1 << bit % 8);
            assert_int_equal(sign_key_verify(p, bytes, strbuf_str(&sig), NULL), ERR_MISMATCH);
            sig.p[bit / 8] ^= (char)(1 << bit % 8);
        }
        for (size_t n = 0; n < sig.n; n++)
            assert_int_equal(sign_key_verify(p, bytes, str_sub(strbuf_str(&sig), 0, n), NULL), ERR_MISMATCH);
        assert_int_equal(sign_key_verify(p, str_sub(bytes, 0, 3), strbuf_str(&sig), NULL), ERR_MISMATCH);
        strbuf_fini(&sig);
        sign_key_close(k);
        sign_key_close(p);
    }
}

static void a_statement_reads_back(void **state) {
    (void)state;
    manifest m, again;
    strbuf text = {0}, second = {0}, difference = {0};
    str ignore[] = {STR("x"), STR(".git"), STR("x")};
    manifest_options o = {.ignore = ignore, .n_ignore = 3};
    hash256 root, root_again;
    err e = {0};
    assert_int_equal(manifest_make(&m, at("m/"), &o, &e), ERR_OK);
    assert_true(str_is(m.model, "m"));
    assert_int_equal(m.n, 3);
    assert_true(str_is(m.item[0].name, "a/b") && str_is(m.item[1].name, "a.b"));
    assert_int_equal(m.n_ignore, 2);
    assert_int_equal(m.bytes, 6);
    assert_int_equal(statement_write(&m, &text, &e), ERR_OK);
    assert_int_equal(statement_read(&again, strbuf_str(&text), &e), ERR_OK);
    assert_int_equal(statement_write(&again, &second, &e), ERR_OK);
    assert_true(str_eq(strbuf_str(&text), strbuf_str(&second)));
    assert_int_equal(manifest_root(&m, &root, NULL), ERR_OK);
    assert_int_equal(manifest_root(&again, &root_again, NULL), ERR_OK);
    assert_memory_equal(&root, &root_again, sizeof root);
    assert_int_equal(manifest_difference(&m, &again, &difference, &e), ERR_OK);
    assert_int_equal(difference.n, 0);
    manifest_fini(&again);

    /* What is said in it must agree with itself, and name nothing outside. */
    static const struct {
        const char *what, *by;
        err_code code;
    } changes[] = {{"a/b", "a/c", ERR_OK}, /* the root covers digests, the signature covers names */
                   {"\"a.b\"", "\"a/b\"", ERR_FORMAT},
                   {"a/b", "../b", ERR_FORMAT},
                   {"a/b", "/ab", ERR_FORMAT},
                   {"a/b", "a//", ERR_FORMAT},
                   {"a/b", "./b", ERR_FORMAT},
                   {"\"digest\":\"", "\"digest\":\"x", ERR_FORMAT},
                   {"\"digest\":{\"sha256\":\"", "\"digest\":{\"sha256\":\"0", ERR_FORMAT},
                   {"\"files\"", "\"shards\"", ERR_UNSUPPORTED},
                   {"\"hash_type\":\"sha256\"", "\"hash_type\":\"blake3\"", ERR_UNSUPPORTED},
                   {"signature/v1.0", "signature/v2.0", ERR_UNSUPPORTED},
                   {"Statement/v1", "Statement/v2", ERR_UNSUPPORTED},
                   {"\"resources\":[", "\"resources\":[3,", ERR_FORMAT},
                   {"\"subject\":[", "\"subject\":[{},", ERR_FORMAT},
                   {"\"ignore_paths\":[", "\"ignore_paths\":[[],", ERR_FORMAT}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        ptrdiff_t from = str_find(strbuf_str(&text), str_from(changes[i].what), 0);
        assert_true(from > 0);
        second.n = 0;
        str rest = str_sub(strbuf_str(&text), (size_t)from + strlen(changes[i].what), text.n);
        assert_int_equal(strbuf_add(&second, str_sub(strbuf_str(&text), 0, (size_t)from), NULL), ERR_OK);
        assert_int_equal(strbuf_add(&second, str_from(changes[i].by), NULL), ERR_OK);
        assert_int_equal(strbuf_add(&second, rest, NULL), ERR_OK);
        err_code code = statement_read(&again, strbuf_str(&second), &e);
        if (code != changes[i].code)
            fail_msg("%s -> %s: %d %s", changes[i].what, changes[i].by, code, e.text);
        if (code == ERR_OK)
            manifest_fini(&again);
    }
    for (size_t n = 0; n < text.n; n++)
        assert_int_equal(statement_read(&again, str_sub(strbuf_str(&text), 0, n), NULL), ERR_FORMAT);
    manifest_fini(&m);
    strbuf_fini(&text);
    strbuf_fini(&second);
}

/* The code and the words of a check of "m". */
static void check(const char *pub, const sign_options *o, err_code want, const char *words) {
    sign_key *k = key(pub, false);
    sign_report r;
    err e = {0};
    err_code code = sign_check(at("m"), k, o, &r, &e);
    if (code != want || (words && !strstr(e.text, words)))
        fail_msg("%s: %d \"%s\" where %d \"%s\" was wanted", pub, code, e.text, want, words ? words : "");
    if (code == ERR_OK)
        sign_report_fini(&r);
    sign_key_close(k);
}

static void a_check_refuses_whatever_differs(void **state) {
    (void)state;
    sign_key *k = key("k", true);
    sign_options none = {0}, loose = {.signed_only = true};
    sign_report r;
    err e = {0};
    unlink(at("m/model.sig"));
    check("k.pub", &none, ERR_IO, "no signature");
    for (int i = 0; i < 2; i++) { /* again, over the first signature */
        assert_int_equal(sign_make(at("m"), k, &none, &r, &e), ERR_OK);
        assert_int_equal(r.files.n, 3);
        sign_report_fini(&r);
    }
    check("k.pub", &none, ERR_OK, NULL);
    check("l.pub", &none, ERR_MISMATCH, "another key");
    put("m/.git/head", "changed, but never signed");
    check("k.pub", &none, ERR_OK, NULL);
    put("m/new", "");
    check("k.pub", &none, ERR_MISMATCH, "new was not signed");
    check("k.pub", &loose, ERR_OK, NULL);
    put("m/a.b", "Two");
    check("k.pub", &none, ERR_MISMATCH, "a.b was changed, new was not signed");
    check("k.pub", &loose, ERR_MISMATCH, "a.b was changed");
    unlink(at("m/new"));
    unlink(at("m/a.b"));
    check("k.pub", &none, ERR_MISMATCH, "a.b is missing");
    check("k.pub", &loose, ERR_MISMATCH, "a.b is missing");
    put("m/a.b", "two");
    check("k.pub", &none, ERR_OK, NULL);
    assert_int_equal(symlink("a.b", at("m/link")), 0);
    check("k.pub", &none, ERR_UNSUPPORTED, "symbolic link");
    sign_options links = {.allow_symlinks = true};
    check("k.pub", &links, ERR_MISMATCH, "link was not signed");
    unlink(at("m/link"));
    assert_int_equal(symlink("a", at("m/link")), 0);
    check("k.pub", &links, ERR_UNSUPPORTED, "link to a folder");
    unlink(at("m/link"));
    assert_int_equal(mkfifo(at("m/link"), 0600), 0);
    check("k.pub", &none, ERR_UNSUPPORTED, "neither a file nor a folder");
    unlink(at("m/link"));

    /* Every shorter file, and every file with one byte changed, is refused: as a mismatch, unless it says of itself to
     * be of a kind that is not known here. */
    strbuf sig = {0};
    assert_int_equal(os_read_file(at("m/model.sig"), 1 << 20, &sig, NULL), ERR_OK);
    sign_options other = {.signature = at("sig")};
    char path[4096];
    snprintf(path, sizeof path, "%s", at("sig"));
    other.signature = path;
    sign_key *pub = key("k.pub", false);
    unlink(at("m/model.sig"));
    for (size_t i = 0; i + 1 < sig.n; i += 1 + i % 7) {
        assert_int_equal(os_write_file(path, str_sub(strbuf_str(&sig), 0, i), NULL), ERR_OK);
        assert_int_equal(sign_check(at("m"), pub, &other, &r, &e), ERR_MISMATCH);
        char was = sig.p[i];
        sig.p[i] = (char)(was ^ (1 << i % 5));
        assert_int_equal(os_write_file(path, strbuf_str(&sig), NULL), ERR_OK);
        err_code code = sign_check(at("m"), pub, &other, &r, &e);
        sig.p[i] = was;
        /* keyid and the last line break say nothing; all else does */
        if (code == ERR_OK) {
            sign_report_fini(&r);
            ptrdiff_t idle = str_find(strbuf_str(&sig), STR("\"tlogEntries"), 0),
                      id = str_find(strbuf_str(&sig), STR("\"keyid"), 0),
                      hint = str_find(strbuf_str(&sig), STR("\"hint\""), 0);
            bool harmless = (ptrdiff_t)i >= id || ((ptrdiff_t)i > idle && (ptrdiff_t)i < idle + 18) ||
                            ((ptrdiff_t)i > hint && (ptrdiff_t)i < hint + 6);
            if (!harmless)
                fail_msg("byte %zu of the signature was changed and it still counts", i);
        }
    }
    assert_int_equal(os_write_file(path, strbuf_str(&sig), NULL), ERR_OK);
    check("k.pub", &other, ERR_OK, NULL);
    strbuf_fini(&sig);
    sign_key_close(k);
    sign_key_close(pub);
}

static void threads_change_nothing(void **state) {
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        pool *p;
        manifest m;
        static char first[65];
        char hex[65];
        hash256 root;
        assert_int_equal(pool_open(&p, threads, NULL), ERR_OK);
        manifest_options o = {.pool = p};
        assert_int_equal(manifest_make(&m, at("m"), &o, NULL), ERR_OK);
        assert_int_equal(manifest_root(&m, &root, NULL), ERR_OK);
        hash_hex(root, hex);
        if (threads == 1)
            memcpy(first, hex, sizeof hex);
        assert_string_equal(first, hex);
        manifest_fini(&m);
        pool_close(p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_is_one_to_one),   cmocka_unit_test(names_sort_by_component),
        cmocka_unit_test(keys_are_kept_secret),   cmocka_unit_test(every_changed_bit_is_seen),
        cmocka_unit_test(a_statement_reads_back), cmocka_unit_test(a_check_refuses_whatever_differs),
        cmocka_unit_test(threads_change_nothing),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
