/* io under shortage and failing disks: opening GGUF, safetensors and JSON fails cleanly, whatever call fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "fault/fault.h"
#include "io/gguf.h"
#include "io/safetensors.h"
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gguf_survives),
        cmocka_unit_test(safetensors_survive),
        cmocka_unit_test(json_survives),
        cmocka_unit_test(refusals_survive),
    };
    return cmocka_run_group_tests(tests, count_jansson, NULL);
}
