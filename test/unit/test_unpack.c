/* unpack: what zlib and zstd packed comes back however it is read; truncated, damaged, foreign, special files refused.
 */
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
#include <zlib.h>
#include <zstd.h>

#include "base/os.h"
#include "base/rng.h"
#include "io/unpack.h"

static char path[4096];

static int setup(void **state) {
    (void)state;
    const char *tmp = getenv("LOAM_TMP");
    snprintf(path, sizeof path, "%s/test_unpack_%ld", tmp ? tmp : "/tmp", (long)getpid());
    return 0;
}

static int teardown(void **state) {
    (void)state;
    unlink(path);
    return 0;
}

/* ---- packed texts ---- */

static void add(strbuf *b, const void *p, size_t n) { assert_int_equal(strbuf_add(b, (str){p, n}, NULL), ERR_OK); }

static void add_gzip(strbuf *b, str s, int level) {
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&z, s.n);
    assert_int_equal(strbuf_reserve(b, room, NULL), ERR_OK);
    z.next_in = (unsigned char *)(uintptr_t)s.p;
    z.avail_in = (unsigned)s.n;
    z.next_out = (unsigned char *)b->p + b->n;
    z.avail_out = (unsigned)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    b->n += room - z.avail_out;
    deflateEnd(&z);
}

static void add_zstd(strbuf *b, str s, int level) {
    size_t room = ZSTD_compressBound(s.n);
    assert_int_equal(strbuf_reserve(b, room, NULL), ERR_OK);
    size_t n = ZSTD_compress(b->p + b->n, room, s.p, s.n, level);
    assert_false(ZSTD_isError(n));
    b->n += n;
}

/* Text that packs a little. */
static strbuf make_text(uint64_t seed, size_t n) {
    strbuf b = {0};
    for (uint64_t i = 0; b.n < n; i++) {
        char word[32];
        int length = snprintf(word, sizeof word, "w%u ", rng_u32(seed, RNG_TEST, i) % 3000);
        add(&b, word, (size_t)length);
    }
    b.n = n;
    return b;
}

/* Reads all of u in bites of up to `most` bytes. */
static err_code read_all(unpack *u, uint64_t seed, size_t most, strbuf *out, err *e) {
    size_t got = 1;
    out->n = 0;
    for (uint64_t i = 0; got > 0; i++) {
        size_t n = 1 + (size_t)rng_below(seed, RNG_TEST, i, most);
        assert_int_equal(strbuf_reserve(out, n, NULL), ERR_OK);
        TRY(unpack_read(u, out->p + out->n, n, &got, e));
        assert_true(got <= n);
        out->n += got;
    }
    return ERR_OK;
}

static err_code unpack_bytes(str packed, uint64_t seed, size_t most, strbuf *out, const char **format, err *e) {
    unpack *u;
    assert_int_equal(os_write_file(path, packed, NULL), ERR_OK);
    assert_int_equal(unpack_open(&u, path, UNPACK_NO_LINKS, e), ERR_OK);
    err_code code = read_all(u, seed, most, out, e);
    *format = unpack_format(u);
    if (code == ERR_OK) {
        assert_int_equal(unpack_taken(u), packed.n);
        hash256 want = hash_of(packed.p, packed.n), got = unpack_digest(u);
        assert_memory_equal(want.byte, got.byte, 32);
        size_t n = 1;
        char c;
        assert_int_equal(unpack_read(u, &c, 1, &n, NULL), ERR_OK);
        assert_int_equal(n, 0);
    }
    unpack_close(u);
    return code;
}

static void expect(str packed, str want, const char *want_format) {
    static const size_t bites[] = {1, 7, 1000, 1 << 20};
    strbuf out = {0};
    for (size_t i = want.n > 20000 ? 2 : 0; i < sizeof bites / sizeof *bites; i++) {
        const char *format;
        err e = {0};
        if (unpack_bytes(packed, i, bites[i], &out, &format, &e) != ERR_OK)
            fail_msg("%s: %s", want_format, e.text);
        assert_string_equal(format, want_format);
        assert_true(str_eq(strbuf_str(&out), want));
    }
    strbuf_fini(&out);
}

static void what_was_packed_comes_back(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 3, 100, 5000, 700000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        strbuf text = make_text(i, sizes[i]), packed = {0};
        str s = strbuf_str(&text);
        expect(s, s, "plain");
        for (int level = 1; level <= 9; level += 4) {
            packed.n = 0;
            add_gzip(&packed, s, level);
            expect(strbuf_str(&packed), s, "gzip");
            packed.n = 0;
            add_zstd(&packed, s, level);
            expect(strbuf_str(&packed), s, "zstd");
        }
        strbuf_fini(&text);
        strbuf_fini(&packed);
    }
}

static void members_in_a_row_are_one_text(void **state) {
    (void)state;
    strbuf text = make_text(1, 3000), packed = {0};
    str s = strbuf_str(&text);
    for (size_t from = 0; from < s.n; from += 700)
        add_gzip(&packed, str_sub(s, from, from + 700), 6);
    expect(strbuf_str(&packed), s, "gzip");
    add(&packed, "\0\0\0\0\0", 5); /* what block devices leave */
    expect(strbuf_str(&packed), s, "gzip");
    packed.n = 0;
    add(&packed, "\x53\x2a\x4d\x18\4\0\0\0skip", 12);
    for (size_t from = 0; from < s.n; from += 700)
        add_zstd(&packed, str_sub(s, from, from + 700), 3);
    add(&packed, "\x50\x2a\x4d\x18\0\0\0\0", 8);
    expect(strbuf_str(&packed), s, "zstd");
    strbuf_fini(&text);
    strbuf_fini(&packed);
}

static void beginnings_that_only_look_alike(void **state) {
    (void)state;
    static const str texts[] = {
        {"\x1f\x8b", 2}, {"\x1f\x8b\x07xyz", 6}, {"\x28\xb5\x2f", 3}, {"\x50\x2a\x4dx", 4}, {"P", 1}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect(texts[i], texts[i], "plain");
}

static void damage_is_seen(void **state) {
    (void)state;
    strbuf text = make_text(3, 400), packed[2] = {{0}, {0}}, out = {0};
    str s = strbuf_str(&text);
    const char *format;
    char where[32];
    add_gzip(&packed[0], s, 9);
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
    assert_int_equal(strbuf_reserve(&packed[1], 2000, NULL), ERR_OK);
    packed[1].n = ZSTD_compress2(c, packed[1].p, 2000, s.p, s.n);
    ZSTD_freeCCtx(c);
    for (int k = 0; k < 2; k++) {
        str whole = strbuf_str(&packed[k]);
        for (size_t n = 4; n < whole.n; n++) { /* truncated */
            err e = {0};
            assert_int_equal(unpack_bytes(str_sub(whole, 0, n), n, 99, &out, &format, &e), ERR_FORMAT);
            snprintf(where, sizeof where, "at byte %zu: ", n);
            if (!strstr(e.text, where) || !strstr(e.text, path) || !strstr(e.text, "ends in the middle"))
                fail_msg("%s", e.text);
        }
        size_t n_seen = 0;
        for (size_t bit = 0; bit < 8 * whole.n; bit++) { /* one bit */
            packed[k].p[bit / 8] ^= (char)(1 << bit % 8);
            err e = {0};
            err_code code = unpack_bytes(whole, bit, 99, &out, &format, &e);
            bool same = code == ERR_OK && str_eq(strbuf_str(&out), s);
            bool plain = code == ERR_OK && str_eq(strbuf_str(&out), whole); /* the magic was hit */
            if (code == ERR_OK && !same && !plain)
                fail_msg("bit %zu went unseen", bit);
            n_seen += code != ERR_OK;
            packed[k].p[bit / 8] ^= (char)(1 << bit % 8);
        }
        assert_true(n_seen >
                    7 * (whole.n - 20)); /* nearly all: what packed text does not depend on are few header bits */
        strbuf behind = {0};
        add(&behind, whole.p, whole.n);
        add(&behind, "more", 4);
        err e = {0};
        assert_int_equal(unpack_bytes(strbuf_str(&behind), 1, 99, &out, &format, &e), ERR_FORMAT);
        assert_non_null(strstr(e.text, "belong to nothing"));
        strbuf_fini(&behind);
        strbuf_fini(&packed[k]);
    }
    strbuf_fini(&text);
    strbuf_fini(&out);
}

/* A frame that says 255 bytes and ends with an empty block: refused whatever the room for the text. */
static void a_frame_shorter_than_it_says(void **state) {
    (void)state;
    static const char frame[] = "\x28\xb5\x2f\xfd\x20\xff\x01\0";
    static const size_t bites[] = {1, 100, 1000};
    strbuf out = {0};
    for (size_t i = 0; i < 3; i++) {
        const char *format;
        err e = {0};
        assert_int_equal(unpack_bytes((str){frame, 9}, 1, bites[i], &out, &format, &e), ERR_FORMAT);
        assert_non_null(strstr(e.text, "zstd: "));
    }
    strbuf_fini(&out);
}

/* The bound on zeros: nothing is refused before 64 MiB have come out, whatever the ratio; soon after that it is. */
static void bombs(void **state) {
    (void)state;
    enum { PART = 1 << 20 };
    strbuf zeros = {0}, packed = {0};
    assert_int_equal(strbuf_reserve(&zeros, PART, NULL), ERR_OK);
    memset(zeros.p, 0, PART);
    zeros.n = PART;
    for (int i = 0; i < 80; i++)
        add_zstd(&packed, strbuf_str(&zeros), 1);
    assert_int_equal(os_write_file(path, strbuf_str(&packed), NULL), ERR_OK);
    unpack *u;
    err e = {0};
    uint64_t given = 0;
    size_t got = 1;
    err_code code = ERR_OK;
    assert_int_equal(unpack_open(&u, path, UNPACK_FOLLOW, NULL), ERR_OK);
    while (code == ERR_OK && got > 0) {
        code = unpack_read(u, zeros.p, PART, &got, &e);
        given += code == ERR_OK ? got : 0;
    }
    unpack_close(u);
    assert_int_equal(code, ERR_LIMIT);
    assert_non_null(strstr(e.text, "refused as a bomb"));
    assert_in_range(given, UNPACK_FREE_BYTES - PART, UNPACK_FREE_BYTES + PART);
    strbuf_fini(&zeros);
    strbuf_fini(&packed);
}

static void pipes_and_special_files(void **state) {
    (void)state;
    strbuf text = make_text(5, 2000), packed = {0}, out = {0};
    int fd[2];
    add_gzip(&packed, strbuf_str(&text), 6);
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(write(fd[1], packed.p, packed.n), (ssize_t)packed.n);
    close(fd[1]);
    unpack *u;
    err e = {0};
    assert_int_equal(unpack_open_fd(&u, fd[0], "a pipe", &e), ERR_OK);
    assert_int_equal(read_all(u, 1, 50, &out, &e), ERR_OK);
    assert_true(str_eq(strbuf_str(&out), strbuf_str(&text)));
    unpack_close(u);
    assert_int_equal(close(fd[0]), 0); /* it stayed ours */
    unpack_close(NULL);

    unlink(path);
    assert_int_equal(unpack_open(&u, path, UNPACK_FOLLOW, &e), ERR_IO);
    assert_int_equal(unpack_open(&u, "/", UNPACK_FOLLOW, &e), ERR_IO);
    assert_non_null(strstr(e.text, "not a regular file"));
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(unpack_open(&u, path, UNPACK_FOLLOW, &e), ERR_IO); /* and does not wait */
    unlink(path);
    assert_int_equal(symlink("/proc/self/status", path), 0);
    assert_int_equal(unpack_open(&u, path, UNPACK_NO_LINKS, &e), ERR_IO);
    assert_int_equal(unpack_open(&u, path, UNPACK_FOLLOW, &e), ERR_OK);
    unpack_close(u);
    strbuf_fini(&text);
    strbuf_fini(&packed);
    strbuf_fini(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_was_packed_comes_back, teardown),
        cmocka_unit_test_teardown(members_in_a_row_are_one_text, teardown),
        cmocka_unit_test_teardown(beginnings_that_only_look_alike, teardown),
        cmocka_unit_test_teardown(damage_is_seen, teardown),
        cmocka_unit_test_teardown(a_frame_shorter_than_it_says, teardown),
        cmocka_unit_test_teardown(bombs, teardown),
        cmocka_unit_test_teardown(pipes_and_special_files, teardown),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
