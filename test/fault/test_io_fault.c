/* io under shortage and failing disks: opening GGUF, safetensors and JSON fails cleanly, whatever call fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "fault/fault.h"
#include "io/gguf_write.h"
#include "io/imatrix.h"
#include "io/safetensors_write.h"
#include "text/json.h"

/* jansson's default is the malloc() of its own library; this one comes through --wrap. */
static void *json_block(size_t n) { return malloc(n); }
static void json_unblock(void *p) { free(p); }

static int count_jansson(void **state) {
    (void)state;
    json_set_alloc_funcs(json_block, json_unblock);
    return 0;
}

static int next_fd(void) {
    int fd = dup(0);
    close(fd);
    return fd;
}

static void check_error(const err *e, err_code code, fault_kind kind) {
    assert_int_equal(e->code, code);
    assert_true(e->text[0]);
    if (kind == FAULT_MEMORY)
        assert_true(code == ERR_MEMORY || code == ERR_IO); /* a mapping refused is the system's refusal */
    else
        assert_int_equal(code, ERR_IO);
}

static void open_gguf(const char *path, fault_kind kind) {
    int fd = next_fd();
    FAULT_EACH(kind, 1000) {
        gguf_file g;
        err e = {0};
        memset(&g, 0xa5, sizeof g);
        err_code code = gguf_open(&g, path, &e);
        fault_end(code == ERR_OK);
        if (code == ERR_OK) {
            assert_true(g.n_kv > 0);
            gguf_close(&g);
        } else {
            check_error(&e, code, kind);
            assert_true(!g.map.p && !g.mem.head);
        }
        assert_int_equal(next_fd(), fd);
    }
}

static void gguf_survives(void **state) {
    (void)state;
    open_gguf("test/golden/io/keys.gguf", FAULT_MEMORY);
    open_gguf("test/golden/io/types.gguf", FAULT_MEMORY);
    open_gguf("test/golden/io/types.gguf", FAULT_IO);
    open_gguf("test/golden/io/parts/types-00001-of-00004.gguf", FAULT_MEMORY);
    open_gguf("test/golden/io/parts/types-00001-of-00004.gguf", FAULT_IO);
}

static void open_safetensors(const char *path, size_t n_tensors, fault_kind kind) {
    int fd = next_fd();
    FAULT_EACH(kind, 5000) {
        safetensors s;
        err e = {0};
        memset(&s, 0xa5, sizeof s);
        err_code code = safetensors_open(&s, path, &e);
        fault_end(code == ERR_OK);
        if (code == ERR_OK) {
            assert_int_equal(s.n_tensors, n_tensors);
            safetensors_close(&s);
        } else {
            check_error(&e, code, kind);
            assert_true(!s.map && !s.mem.head);
        }
        assert_int_equal(next_fd(), fd);
    }
}

static void safetensors_survive(void **state) {
    (void)state;
    open_safetensors("test/golden/io/one.safetensors", 5, FAULT_MEMORY);
    open_safetensors("test/golden/io/one.safetensors", 5, FAULT_IO);
    open_safetensors("test/golden/io/shards", 4, FAULT_MEMORY);
    open_safetensors("test/golden/io/shards", 4, FAULT_IO);
}

static void open_imatrix(const char *path, fault_kind kind) {
    int fd = next_fd();
    FAULT_EACH(kind, 1000) {
        imatrix m;
        err e = {0};
        memset(&m, 0xa5, sizeof m);
        err_code code = imatrix_open(&m, path, &e);
        fault_end(code == ERR_OK);
        if (code == ERR_OK)
            assert_true(m.n > 0);
        else
            check_error(&e, code, kind);
        if (code == ERR_OK)
            imatrix_close(&m);
        assert_true(!m.mem.head && m.n == 0);
        assert_int_equal(next_fd(), fd);
    }
}

static void imatrices_survive(void **state) {
    (void)state;
    static const fault_kind kinds[] = {FAULT_MEMORY, FAULT_IO};
    for (int i = 0; i < 2; i++) {
        open_imatrix("test/golden/imatrix.gguf", kinds[i]);
        open_imatrix("test/fuzz/corpus/imatrix/old", kinds[i]);
    }
}

static void json_survives(void **state) {
    (void)state;
    FAULT_EACH(FAULT_MEMORY, 1000) {
        json_t *v = NULL;
        err e = {0};
        err_code code =
            json_read(STR("{\"max\": 1000000000000000019884624838656, \"a\": [1, \"\\u00e9\", {}]}"), 1000, &v, &e);
        fault_end(code == ERR_OK);
        if (code == ERR_OK)
            assert_true(json_get_num(v, "max", 0) == 1e30 && json_array_size(json_object_get(v, "a")) == 3);
        else
            check_error(&e, code, FAULT_MEMORY);
        assert_true((v != NULL) == (code == ERR_OK));
        json_decref(v);
    }
    FAULT_EACH(FAULT_MEMORY, 100) {
        strbuf b = {0};
        err_code code =
            json_quote(STR("0123456789012345678901234567890123456789\n0123456789012345678901234567890"), &b, NULL);
        fault_end(code == ERR_OK);
        assert_true((b.n == 0) == (code != ERR_OK));
        strbuf_fini(&b);
    }
}

/* The message about a lying header is made with memory of its own: without it there is still a message. */
static void refusals_survive(void **state) {
    (void)state;
    static const char file[] =
        "\x3a\0\0\0\0\0\0\0{\"w\":{\"dtype\":\"F99\",\"shape\":[1],\"data_offsets\":[0,4]}}       data";
    const char *tmp = getenv("LOAM_TMP");
    char path[4096];
    snprintf(path, sizeof path, "%s/loam-%ld-fault.safetensors", tmp && *tmp ? tmp : "/tmp", (long)getpid());
    FILE *f = fopen(path, "wb");
    assert_true(f && fwrite(file, 1, sizeof file - 1, f) == sizeof file - 1);
    fclose(f);
    int n_unsupported = 0;
    for (long n = 1; n < 1000; n++) {
        fault.kind = FAULT_MEMORY;
        fault.countdown = n;
        fault.fired = false;
        fault.armed = true;
        safetensors s;
        err e = {0};
        err_code code = safetensors_open(&s, path, &e);
        fault_end_any();
        assert_true(code != ERR_OK && e.text[0] && !s.map);
        if (code == ERR_UNSUPPORTED) {
            assert_non_null(strstr(e.text, "tensor w: dtype F99 is not supported"));
            n_unsupported++;
        }
        if (!fault.fired)
            break;
        assert_true(n < 999);
    }
    assert_true(n_unsupported >= 2); /* without its offset, then whole */
    unlink(path);
}

/* ---- writers ---- */

static const float values[40000];
enum { ROW = 20000 };

static err_code write_gguf(const char *path, err *e) {
    gguf_writer *w;
    TRY(gguf_write_open(&w, path, e));
    gguf_write_str(w, "general.architecture", STR("llama"), e);
    for (unsigned i = 0; i < 100; i++) {
        char key[20];
        snprintf(key, sizeof key, "key.%u", i);
        gguf_write_u32(w, key, i, e);
    }
    gguf_write_tensor(w, &(tensor_spec){STR("a"), DTYPE_F32, 2, {2, ROW}}, e);
    gguf_write_tensor(w, &(tensor_spec){STR("b"), DTYPE_F32, 1, {3}}, e);
    gguf_write_data(w, values, sizeof values, e);
    gguf_write_data(w, values, 12, e);
    return gguf_write_commit(w, e);
}

static err_code write_safetensors(const char *path, err *e) {
    safetensors_writer *w;
    TRY(safetensors_write_open(&w, path, e));
    for (unsigned i = 0; i < 100; i++) {
        char key[20];
        snprintf(key, sizeof key, "key.%u", i);
        safetensors_write_meta(w, key, str_from(key), e);
    }
    safetensors_write_tensor(w, &(tensor_spec){STR("a"), DTYPE_F32, 2, {2, ROW}}, e);
    safetensors_write_tensor(w, &(tensor_spec){STR("b"), DTYPE_F32, 1, {3}}, e);
    safetensors_write_data(w, values, sizeof values, e);
    safetensors_write_data(w, values, 12, e);
    return safetensors_write_commit(w, e);
}

static size_t size_of(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

/* Whatever fails: the error names the file, what stood there stays, or the new file is whole; no debris. A
 * folder that cannot be opened for syncing is no error. */
static void written_or_not(err_code (*writes)(const char *, err *), fault_kind kind) {
    const char *tmp = getenv("LOAM_TMP");
    char dir[4000], path[4096];
    snprintf(dir, sizeof dir, "%s/loam-%ld-writers", tmp && *tmp ? tmp : "/tmp", (long)getpid());
    snprintf(path, sizeof path, "%s/f", dir);
    assert_int_equal(mkdir(dir, 0777), 0);
    int fd = next_fd(), n_failed = 0;
    FAULT_EACH(kind, 1000) {
        err e = {0};
        fault.armed = false;
        assert_int_equal(os_write_file(path, STR("old"), &e), ERR_OK);
        fault.armed = true;
        err_code code = writes(path, &e);
        fault_end_any();
        size_t n = size_of(path);
        if (code) {
            check_error(&e, code, kind);
            n_failed++;
        }
        assert_true(code ? n == 3 || n > sizeof values : n > sizeof values);
        assert_true(code || !fault.fired || kind == FAULT_IO);
        unlink(path);
        assert_int_equal(rmdir(dir), 0); /* nothing else is in it */
        assert_int_equal(mkdir(dir, 0777), 0);
        assert_int_equal(next_fd(), fd);
    }
    assert_true(n_failed >= 5);
    rmdir(dir);
}

static void writers_survive(void **state) {
    (void)state;
    for (int named = 0; named < 2; named++) {
        fault.no_nameless = named;
        written_or_not(write_gguf, FAULT_MEMORY);
        written_or_not(write_gguf, FAULT_IO);
        written_or_not(write_safetensors, FAULT_MEMORY);
        written_or_not(write_safetensors, FAULT_IO);
    }
    fault.no_nameless = false;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gguf_survives),    cmocka_unit_test(safetensors_survive), cmocka_unit_test(json_survives),
        cmocka_unit_test(refusals_survive), cmocka_unit_test(writers_survive),     cmocka_unit_test(imatrices_survive),
    };
    return cmocka_run_group_tests(tests, count_jansson, NULL);
}
