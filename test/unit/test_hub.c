/* hub: references; what is chosen of a repository; parts that survive. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "hub/huggingface.h"
#include "hub/ollama.h"
#include "hub/part.h"
#include "hub/take.h"

/* ---- references ---- */

static void references(void **state) {
    (void)state;
    static const struct {
        const char *text, *space, *repo, *revision, *pick, *name;
        ref_kind kind;
    } good[] = {
        {"hf:a/b", "a", "b", "main", "", "a/b", REF_HF},
        {"hf:a/b@v1.0:sub/m.gguf", "a", "b", "v1.0", "sub/m.gguf", "a/b", REF_HF},
        {"ollama:x", "library", "x", "", "latest", "x:latest", REF_OLLAMA},
        {"ollama:me/x:1b", "me", "x", "", "1b", "me/x:1b", REF_OLLAMA},
        {"hf:a+b/c:x+y.gguf", "a+b", "c", "main", "x+y.gguf", "a+b/c", REF_HF},
        {"https://h/p/m-Q8.gguf?sig=1", "", "", "", "", "m-Q8", REF_URL},
        {"../m x.gguf", "", "", "", "", "m-x", REF_FILE},
        {"/", "", "", "", "", "model", REF_FILE},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        hub_ref r;
        strbuf name = {0};
        assert_int_equal(ref_parse(&r, str_from(good[i].text), NULL), ERR_OK);
        assert_int_equal(r.kind, good[i].kind);
        assert_string_equal(r.space, good[i].space);
        assert_string_equal(r.repo, good[i].repo);
        assert_string_equal(r.revision, good[i].revision);
        assert_string_equal(r.pick, good[i].pick);
        assert_int_equal(ref_name(&r, (str){0}, &name, NULL), ERR_OK);
        assert_true(str_is(strbuf_str(&name), good[i].name));
        strbuf_fini(&name);
    }
    static const char *const bad[] = {"",          "hf:",       "hf:a",      "hf:a/b/c",   "hf:a/..", "hf:../b",
                                      "hf:a/b@",   "hf:a/b:",   "hf:a/b:..", "hf:a/b:x//", "ollama:", "ollama:/",
                                      "ollama:a:", "ollama:a/", "hf:a/b c",  "hf:-a/b",    "x\ny"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hub_ref r;
        err e = {0};
        assert_int_equal(ref_parse(&r, str_from(bad[i]), &e), ERR_USAGE);
        assert_true(e.text[0]);
    }
}

static void plain_parts(void **state) {
    (void)state;
    assert_true(ref_plain(STR("a.b_c-d+e")) && ref_plain_path(STR("a/b.c")));
    const str bad[] = {STR(""), STR("a\0b"), STR("."), STR(".a"), STR("-a"), STR("a b"), STR("\xc3\xa9"), STR("a/b")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(ref_plain(bad[i]));
    assert_false(ref_plain_path(STR("a//b")) || ref_plain_path(STR("/a")) || ref_plain_path(STR("a/../b")));
}

static void secrets_of_urls(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"https://h/p/m.gguf", "https://h/p/m.gguf"},
        {"https://u:s@h:8/p@1/m.gguf?sig=s#s", "https://h:8/p@1/m.gguf"},
        {"http://u:a@s@h#s?s", "http://h"},
        {"https://h?u@s/x", "https://h"},
        {"https://h/a?b=https://u:s@h/c", "https://h/a"},
        {"u:s@h/m?x#y", "u:s@h/m?x#y"}, /* a file */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hub_ref r;
        assert_int_equal(ref_parse(&r, str_from(cases[i][0]), NULL), ERR_OK);
        ref_strip(&r);
        assert_string_equal(r.url, cases[i][1]);
    }
}

/* ---- where a request may go ---- */

static void requests(void **state) {
    (void)state;
    static const struct {
        const char *from, *url;
        err_code code, with_http; /* without and with --allow-http */
    } cases[] = {
        {NULL, "https://example.org/x", ERR_OK, ERR_OK},
        {NULL, "http://example.org/x", ERR_USAGE, ERR_OK},
        {NULL, "http://127.0.0.1:8/x", ERR_OK, ERR_OK},
        {NULL, "http://127.1/x", ERR_OK, ERR_OK},
        {NULL, "http://localhost./x", ERR_OK, ERR_OK},
        {NULL, "http://[::1]/x", ERR_OK, ERR_OK},
        {NULL, "http://127.evil.example/x", ERR_USAGE, ERR_OK},
        {NULL, "http://localhost.evil.example/x", ERR_USAGE, ERR_OK},
        {NULL, "http://evil-localhost/x", ERR_USAGE, ERR_OK},
        {NULL, "http://128.0.0.1/x", ERR_USAGE, ERR_OK},
        {NULL, "http://[::2]/x", ERR_USAGE, ERR_OK},
        {NULL, "ftp://127.0.0.1/x", ERR_UNSUPPORTED, ERR_UNSUPPORTED},
        {NULL, "file:///etc/passwd", ERR_FORMAT, ERR_FORMAT},
        {"https://a.example/", "https://b.example/", ERR_OK, ERR_OK},
        {"https://a.example/", "http://a.example/", ERR_FORMAT, ERR_FORMAT},
        {"http://a.example/", "http://b.example/", ERR_FORMAT, ERR_OK},
        {"http://127.0.0.1/", "http://localhost:8/", ERR_OK, ERR_OK},
        {"http://127.0.0.1/", "https://a.example/", ERR_OK, ERR_OK},
    };
    static const char *const here[] = {"127.0.0.1",
                                       "127.255.0.9",
                                       "127.1",
                                       "2130706433",
                                       "0x7f000001",
                                       "0.0.0.0",
                                       "0",
                                       "[::1]",
                                       "[::]",
                                       "localhost",
                                       "LOCALHOST",
                                       "localhost.",
                                       "x.localhost",
                                       "[::ffff:127.0.0.1]",
                                       "[::ffff:0:0]",
                                       "127.0.0.1.",
                                       "[0:0:0:0:0:0:0:1]"};
    http_options plain = {0}, open = {.allow_http = true};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(http_check(&plain, cases[i].from, cases[i].url, NULL), cases[i].code);
        assert_int_equal(http_check(&open, cases[i].from, cases[i].url, NULL), cases[i].with_http);
    }
    for (size_t i = 0; i < sizeof here / sizeof *here; i++)
        for (int tls = 0; tls < 2; tls++) {
            char url[80];
            err e = {0};
            snprintf(url, sizeof url, "http%s://%s/x", tls ? "s" : "", here[i]);
            assert_int_equal(http_check(&plain, NULL, url, NULL), ERR_OK);
            assert_int_equal(http_check(&open, tls ? "https://a.example/" : "http://a.example/", url, &e), ERR_FORMAT);
            assert_non_null(strstr(e.text, "leads back to this machine"));
        }
}

/* A name that turns out to lead here: nothing is sent, when a host elsewhere has sent the request on. */
static void names_that_lead_here(void **state) {
    (void)state;
    http_options o = {.stall_seconds = 1};
    struct curl_slist *headers = NULL;
    for (int afar = 0; afar < 2; afar++) {
        http_answer a = {.from_afar = afar};
        CURL *c = http_easy(&o, "http://localhost:1/", false, &headers, &a);
        assert_non_null(c);
        assert_int_equal(curl_easy_setopt(c, CURLOPT_PROXY, ""), CURLE_OK);
        assert_int_equal(curl_easy_perform(c), CURLE_COULDNT_CONNECT); /* nobody listens there */
        assert_int_equal(a.led_back, afar);
        curl_easy_cleanup(c);
    }
}

/* ---- what is chosen ---- */

static void chosen(const char *reference, const char *names, const char *want) {
    strbuf text = {0}, got = {0};
    hub_ref ref;
    offer o;
    assert_int_equal(ref_parse(&ref, str_from(reference), NULL), ERR_OK);
    assert_int_equal(strbuf_addf(&text, NULL, "{\"sha\":\"c0ffee\",\"siblings\":["), ERR_OK);
    for (const char *p = names; *p;) {
        size_t n = strcspn(p, " ");
        assert_int_equal(strbuf_addf(&text, NULL, "%s{\"rfilename\":\"%.*s\",\"size\":1,\"blobId\":\"%040d\"}",
                                     p == names ? "" : ",", (int)n, p, 0),
                         ERR_OK);
        p += n + (p[n] == ' ');
    }
    assert_int_equal(strbuf_addf(&text, NULL, "]}"), ERR_OK);
    err_code code = huggingface_read(&o, &ref, "https://hub", NULL, strbuf_str(&text), NULL);
    for (size_t i = 0; code == ERR_OK && i < o.n; i++)
        assert_int_equal(strbuf_addf(&got, NULL, "%s%.*s", i ? " " : "", (int)o.file[i].name.n, o.file[i].name.p),
                         ERR_OK);
    if (code == ERR_OK)
        offer_close(&o);
    assert_int_equal(strbuf_addc(&got, 0, NULL), ERR_OK);
    assert_string_equal(got.p, want);
    strbuf_fini(&text);
    strbuf_fini(&got);
}

static void choice(void **state) {
    (void)state;
    chosen("hf:a/b", "m-Q8_0.gguf m-Q4_K_M.gguf", "m-Q4_K_M.gguf");
    chosen("hf:a/b:q8_0", "m-Q8_0.gguf m-Q4_K_M.gguf", "m-Q8_0.gguf");
    chosen("hf:a/b:Q4_K", "m-Q4_K_M.gguf m-Q4_K_S.gguf", "");
    chosen("hf:a/b:Q8_0", "x-Q8_0.gguf y-Q8_0.gguf", ""); /* which? */
    chosen("hf:a/b:y-Q8_0.gguf", "x-Q8_0.gguf y-Q8_0.gguf", "y-Q8_0.gguf");
    chosen("hf:a/b", "only.gguf README.md", "only.gguf");
    chosen("hf:a/b", "mmproj-F16.gguf m.gguf m.imatrix.gguf", "m.gguf");
    chosen("hf:a/b", "m-Q4_K_M-00001-of-00002.gguf", ""); /* Loam opens no parts */
    chosen("hf:a/b", "config.json model.safetensors a.py p.bin tokenizer.json model-00001-of-00002.safetensors",
           "config.json model.safetensors tokenizer.json");
    chosen("hf:a/b", "config.json model.safetensors.index.json model-1.safetensors model-2.safetensors",
           "config.json model.safetensors.index.json model-1.safetensors model-2.safetensors");
    chosen("hf:a/b", "config.json pytorch_model.bin", "");
    chosen("hf:a/b", "../m.gguf", "");
    chosen("hf:a/b", "m+x.gguf", "m+x.gguf");
    chosen("hf:a/b", "config.json model-1.safetensors model-1.safetensors", ""); /* one name, two files */
}

/* ---- parts ---- */

static char path[3000];

static part *open_part(uint64_t bytes, const char *tag) {
    part *p;
    assert_int_equal(part_open(&p, path, bytes, tag, NULL, NULL), ERR_OK);
    return p;
}

static void resumes(void **state) {
    (void)state;
    enum { BYTES = 2 * PART_CHUNK_BYTES + 100 };
    uint8_t *x = malloc(BYTES);
    uint64_t from, to;
    for (size_t i = 0; i < BYTES; i++)
        x[i] = (uint8_t)(i * 7 + i / 251);
    part *p = open_part(BYTES, "one");
    assert_true(part_claim(p, 1, &from, &to) && from == 0 && to == PART_CHUNK_BYTES);
    assert_true(part_claim(p, 9, &from, &to) && from == PART_CHUNK_BYTES && to == BYTES);
    assert_false(part_claim(p, 1, &from, &to));
    assert_int_equal(part_write(p, 2, x, 5, NULL), ERR_FORMAT);            /* not in order */
    assert_int_equal(part_write(p, BYTES, x, 1, NULL), ERR_FORMAT);        /* beyond the end */
    assert_int_equal(part_write(p, from, x + from, 10, NULL), ERR_OK);     /* is lost */
    assert_int_equal(part_write(p, 0, x, PART_CHUNK_BYTES, NULL), ERR_OK); /* stays */
    assert_int_equal(part_write(p, 0, x, 1, NULL), ERR_FORMAT);            /* whole already */
    assert_true(part_done_bytes(p) == PART_CHUNK_BYTES && part_ready_bytes(p) == PART_CHUNK_BYTES);
    part_close(p);

    p = open_part(BYTES, "one");
    assert_true(part_done_bytes(p) == PART_CHUNK_BYTES);
    assert_true(part_claim(p, 9, &from, &to) && from == PART_CHUNK_BYTES && to == BYTES);
    part_release(p, from, to);
    assert_true(part_claim(p, 9, &from, &to) && from == PART_CHUNK_BYTES);
    assert_int_equal(part_write(p, from, x + from, BYTES - (size_t)from, NULL), ERR_OK);
    assert_true(part_done_bytes(p) == BYTES);
    part_close(p);

    int fd = open(part_path(p = open_part(BYTES, "one")), O_WRONLY);
    assert_int_equal(pwrite(fd, "damage", 6, 5), 6);
    close(fd);
    part_close(p);
    p = open_part(BYTES, "one");
    assert_true(part_done_bytes(p) == BYTES - PART_CHUNK_BYTES && part_ready_bytes(p) == 0);
    part_close(p);
    p = open_part(BYTES, "two"); /* other contents */
    assert_true(part_done_bytes(p) == 0);
    unlink(part_path(p));
    assert_int_equal(part_finish(p, NULL), ERR_OK);
    assert_int_equal(part_open(&p, path, PART_BYTES_MAX + 1, "x", NULL, NULL), ERR_LIMIT);
    p = open_part(0, "empty");
    assert_false(part_claim(p, 1, &from, &to));
    unlink(part_path(p));
    assert_int_equal(part_finish(p, NULL), ERR_OK);
    free(x);
}

/* In whatever pieces the bytes of a chunk come, its sum is the one that is found at opening; and none that a power cut
 * may have left in their place has it. */
static void pieces(void **state) {
    (void)state;
    enum { BYTES = PART_CHUNK_BYTES, PAGE = 4096 };
    static const size_t step[] = {1, 3, 7, 8, 13, 1000, 16384, 100000};
    static uint8_t x[BYTES], zeros[PAGE];
    uint64_t from, to;
    for (size_t i = 0; i < BYTES; i++)
        x[i] = (uint8_t)(i * i / 7 + i / 4093);
    part *p = open_part(BYTES, "pieces");
    assert_true(part_claim(p, 1, &from, &to));
    for (size_t at = 0, k = 0, n; at < BYTES; at += n, k++) {
        n = step[k % 8] < BYTES - at ? step[k % 8] : BYTES - at;
        assert_int_equal(part_write(p, at, x + at, n, NULL), ERR_OK);
    }
    part_close(p);
    p = open_part(BYTES, "pieces");
    assert_true(part_done_bytes(p) == BYTES);
    const void *const other[] = {zeros, x, x + PAGE, x + 5 * PAGE};
    for (size_t i = 0; i < 4; i++) {
        int fd = open(part_path(p), O_WRONLY);
        assert_int_equal(pwrite(fd, other[i], PAGE, 9 * PAGE), PAGE);
        part_close(p);
        p = open_part(BYTES, "pieces");
        assert_true(part_done_bytes(p) == 0);
        assert_int_equal(pwrite(fd, x + 9 * PAGE, PAGE, 9 * PAGE), PAGE);
        close(fd);
        part_close(p);
        p = open_part(BYTES, "pieces");
        assert_true(part_done_bytes(p) == BYTES);
    }
    unlink(part_path(p));
    assert_int_equal(part_finish(p, NULL), ERR_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(references),
                                       cmocka_unit_test(plain_parts),
                                       cmocka_unit_test(secrets_of_urls),
                                       cmocka_unit_test(requests),
                                       cmocka_unit_test(names_that_lead_here),
                                       cmocka_unit_test(choice),
                                       cmocka_unit_test(resumes),
                                       cmocka_unit_test(pieces)};
    const char *tmp = getenv("LOAM_TMP");
    snprintf(path, sizeof path, "%s/hub-%ld", tmp ? tmp : "/tmp", (long)getpid());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
