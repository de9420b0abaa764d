/* base under shortage and failing disks: one clear error, nothing leaked, nothing half done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/os.h"
#include "base/pool.h"
#include "fault/fault.h"

static char dir[3000], path[4096];

static int make_dir(void **state) {
    (void)state;
    const char *tmp = getenv("LOAM_TMP");
    snprintf(dir, sizeof dir, "%s/fault_base_XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/file", dir);
    return 0;
}

static int remove_dir(void **state) {
    (void)state;
    remove(path);
    return rmdir(dir);
}

static int n_entries(void) {
    DIR *d = opendir(dir);
    assert_non_null(d);
    int n = -2;
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static int next_fd(void) {
    int fd = dup(0);
    close(fd);
    return fd;
}

static err_code many_blocks(arena *a, err *e) {
    for (size_t i = 0; i < 200; i++) {
        char *p;
        ARENA_NEW(a, p, i * 997 % 70000 + 1, e);
        p[0] = 1;
    }
    return ERR_OK;
}

static void arena_survives_shortage(void **state) {
    (void)state;
    FAULT_EACH(FAULT_MEMORY, 200) {
        arena a = {0};
        err e = {0};
        err_code code = many_blocks(&a, &e);
        fault_end(code == ERR_OK);
        assert_int_equal(e.code, code);
        assert_int_equal(code == ERR_OK ? ERR_MEMORY : code, ERR_MEMORY);
        assert_non_null(arena_alloc(&a, 100, 1)); /* stays usable */
        arena_fini(&a);
    }
}

static void buffer_keeps_its_contents(void **state) {
    (void)state;
    FAULT_EACH(FAULT_MEMORY, 50) {
        strbuf b = {0};
        err e;
        err_code code = ERR_OK;
        size_t n = 0;
        for (; n < 5000 && code == ERR_OK; n += code == ERR_OK)
            code = strbuf_addc(&b, (char)('a' + n % 26), &e);
        fault_end(code == ERR_OK);
        assert_int_equal(b.n, n);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(b.p[i], 'a' + i % 26);
        strbuf_fini(&b);
    }
}

static void pool_open_needs_memory(void **state) {
    (void)state;
    FAULT_EACH(FAULT_MEMORY, 20) {
        pool *p;
        err e;
        err_code code = pool_open(&p, 3, &e);
        fault_end(code == ERR_OK);
        assert_true((p != NULL) == (code == ERR_OK));
        pool_close(p);
    }
}

static void large_blocks_need_memory(void **state) {
    (void)state;
    FAULT_EACH(FAULT_MEMORY, 5) {
        void *p = os_pages_alloc(3 << 20);
        fault_end(p != NULL);
        os_pages_free(p, 3 << 20);
    }
}

/* Whatever fails while a file is replaced: the old contents or all of the new, and no other file. */
static void replace_is_all_or_nothing(void) {
    FAULT_EACH(FAULT_IO, 50) {
        err e = {0};
        fault.armed = false;
        assert_int_equal(os_write_file(path, STR("old"), &e), ERR_OK);
        int fd = next_fd();
        fault.armed = true;
        err_code code = os_write_file(path, STR("the new text"), &e);
        fault_end_any(); /* a folder that cannot be opened for syncing is no error */
        assert_true(code == ERR_OK || (code == ERR_IO && strstr(e.text, dir)));
        strbuf b = {0};
        assert_int_equal(os_read_file(path, 100, &b, &e), ERR_OK);
        assert_true(str_is(strbuf_str(&b), "the new text") || (code != ERR_OK && str_is(strbuf_str(&b), "old")));
        strbuf_fini(&b);
        assert_int_equal(n_entries(), 1);
        assert_int_equal(next_fd(), fd);
    }
}

static void write_is_all_or_nothing(void **state) {
    (void)state;
    replace_is_all_or_nothing();
    fault.no_nameless = true;
    replace_is_all_or_nothing();
    fault.no_nameless = false;
}

static void reads_report_the_disk(void **state) {
    (void)state;
    err e;
    assert_int_equal(os_write_file(path, STR("some text"), &e), ERR_OK);
    int fd = next_fd();
    FAULT_EACH(FAULT_IO, 50) {
        strbuf b = {0};
        err_code code = os_read_file(path, 100, &b, &e);
        fault_end(code == ERR_OK);
        assert_true(code == ERR_OK ? b.n == 9 : b.n == 0 && strstr(e.text, "Input/output error"));
        strbuf_fini(&b);
    }
    FAULT_EACH(FAULT_IO, 50) {
        os_map m;
        err_code code = os_map_open(&m, path, &e);
        fault_end(code == ERR_OK);
        assert_true((m.p != NULL) == (code == ERR_OK));
        os_map_close(&m);
    }
    FAULT_EACH(FAULT_IO, 50) {
        hash256 h;
        err_code code = hash_file(path, &h, &e);
        fault_end(code == ERR_OK);
    }
    FAULT_EACH(FAULT_MEMORY, 50) {
        os_map m;
        err_code code = os_map_open(&m, path, &e);
        fault_end(code == ERR_OK);
        assert_int_equal(code == ERR_OK ? ERR_MEMORY : code, ERR_MEMORY);
        os_map_close(&m);
    }
    FAULT_EACH(FAULT_MEMORY, 50) {
        hash256 h;
        err_code code = hash_file(path, &h, &e);
        fault_end(code == ERR_OK);
        assert_int_equal(code == ERR_OK ? ERR_MEMORY : code, ERR_MEMORY);
    }
    assert_int_equal(next_fd(), fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_survives_shortage), cmocka_unit_test(buffer_keeps_its_contents),
        cmocka_unit_test(pool_open_needs_memory),  cmocka_unit_test(large_blocks_need_memory),
        cmocka_unit_test(write_is_all_or_nothing), cmocka_unit_test(reads_report_the_disk),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
