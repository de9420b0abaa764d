/* serve: who may speak, what a body may be, and what a request's fields mean. The rest needs sockets and a model:
 * test/e2e/test_serve.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "serve/guard.h"
#include "serve/params.h"
#include "serve/serve.h"

/* ---- guard ---- */

static void hosts(void **state) {
    static const struct {
        const char *host;
        bool loopback_ok, open_ok;
    } rows[] = {
        {"localhost", true, true},
        {"LocalHost:8080", true, true},
        {"a.b.localhost", true, true},
        {"127.0.0.1:1", true, true},
        {"127.9.9.9", true, true},
        {"[::1]:80", true, true},
        {"10.0.0.1:8080", false, true},
        {"[2001:db8::1]", false, true},
        {"box.example:99", true, true}, /* allowed by name */
        {"example", false, false},
        {"xlocalhost", false, false},
        {".localhost", false, false},
        {"localhost.evil.example", false, false},
        {"127.0.0.1.evil.example", false, false},
        {"127.0.0.1:x", false, false},
        {"127.0.0.1:123456", false, false},
        {"127.1", false, false},
        {"localhost:", false, false},
        {"[::1", false, false},
        {"[::1]x", false, false},
        {"", false, false},
        {":80", false, false},
    };
    const str ok[] = {STR("box.example")};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        str host = str_from(rows[i].host);
        if (guard_host_ok(host, true, ok, 1) != rows[i].loopback_ok ||
            guard_host_ok(host, false, ok, 1) != rows[i].open_ok)
            fail_msg("%s", rows[i].host);
    }
}

static void origins(void **state) {
    const str ok[] = {STR("https://page.example")};
    str host = STR("127.0.0.1:8080");
    (void)state;
    assert_true(guard_origin_ok(STR("http://127.0.0.1:8080"), host, NULL, 0));
    assert_true(guard_origin_ok(STR("https://127.0.0.1:8080"), host, NULL, 0));
    assert_true(guard_origin_ok(STR("https://page.example"), host, ok, 1));
    assert_false(guard_origin_ok(STR("http://127.0.0.1:8081"), host, ok, 1));
    assert_false(guard_origin_ok(STR("http://127.0.0.1:8080.evil.example"), host, ok, 1));
    assert_false(guard_origin_ok(STR("http://page.example"), host, ok, 1));
    assert_false(guard_origin_ok(STR("null"), host, ok, 1));
    assert_false(guard_origin_ok(STR("http://"), (str){0}, ok, 1));
    assert_false(guard_origin_ok(STR(""), host, ok, 1));
}

static void tokens(void **state) {
    str t;
    (void)state;
    assert_true(guard_token_ok(STR("secret"), STR("secret")));
    assert_false(guard_token_ok(STR("secreT"), STR("secret")));
    assert_false(guard_token_ok(STR("secret "), STR("secret")));
    assert_false(guard_token_ok(STR(""), STR("secret")));
    assert_true(guard_bearer(STR("bEARER  abc "), &t) && str_is(t, "abc"));
    assert_false(guard_bearer(STR("Basic abc"), &t));
    assert_false(guard_bearer(STR("Bearer "), &t));
    assert_false(guard_bearer(STR("Bearer"), &t));
}

static void frames(void **state) {
    static const struct {
        const char *name[3], *value[3];
        bool http_1_0;
        int status; /* 0: plain */
    } rows[] = {
        {{"Host", "Content-Length"}, {"x", "5"}, false, 0},
        {{"Host", "transfer-encoding"}, {"x", "Chunked"}, false, 0},
        {{"Host"}, {"x"}, true, 0},
        {{"x!#$%&'*+-.^_`|~09AZ"}, {""}, false, 0},
        {{"Content-Length", "content-length"}, {"5", "5"}, false, 400},
        {{"Host", "HOST"}, {"x", "x"}, false, 400},
        {{"Content-Length", "Transfer-Encoding"}, {"5", "chunked"}, false, 400},
        {{"Transfer-Encoding"}, {"chunked"}, true, 400},
        {{"Content-Length "}, {"5"}, false, 400},
        {{"Transfer-Encoding\t"}, {"chunked"}, false, 400},
        {{"X\x80"}, {"5"}, false, 400},
        {{"Transfer-Encodingchunked"}, {""}, false, 400}, /* what the library makes of a folded line */
        {{""}, {"5"}, false, 400},
        {{"Transfer-Encoding"}, {"xchunked"}, false, 501},
        {{"Transfer-Encoding"}, {"gzip, chunked"}, false, 501},
        {{"Transfer-Encoding"}, {""}, false, 501},
        {{"Transfer-Encoding", "Transfer-Encoding"}, {"chunked", "chunked"}, false, 501},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        guard_frame f = {0};
        int status = 0;
        for (size_t k = 0; k < 3 && rows[i].name[k]; k++)
            guard_frame_see(&f, str_from(rows[i].name[k]), str_from(rows[i].value[k]));
        const char *fault = guard_frame_fault(&f, rows[i].http_1_0, &status);
        if ((fault ? status : 0) != rows[i].status)
            fail_msg("row %zu: %s", i, fault ? fault : "plain");
    }
}

/* ---- bodies ---- */

static err_code parse(const char *text, json_t **v) { return body_parse(str_from(text), false, v, NULL); }

static void repeat(strbuf *b, const char *text, int n) {
    for (int i = 0; i < n; i++)
        assert_int_equal(strbuf_add(b, str_from(text), NULL), ERR_OK);
}

static void bodies(void **state) {
    static const char *const bad[] = {"", "{", "[]", "1", "null", "{}x", "{\"a\":1,\"a\":2}", "{\"a\":\"\xff\"}"};
    json_t *v = NULL;
    strbuf b = {0};
    (void)state;
    assert_int_equal(parse("{\"a\":\"[[\\\"[[{,,:\"}", &v), ERR_OK);
    json_decref(v);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(status_of(parse(bad[i], &v)), 400);
        assert_null(v);
    }
    repeat(&b, "{\"a\":", SERVE_JSON_DEPTH_MAX);
    repeat(&b, "1", 1);
    repeat(&b, "}", SERVE_JSON_DEPTH_MAX);
    assert_int_equal(body_parse(strbuf_str(&b), false, &v, NULL), ERR_OK);
    json_decref(v);
    b.n = 0;
    repeat(&b, "{\"a\":", SERVE_JSON_DEPTH_MAX + 1);
    repeat(&b, "1", 1);
    repeat(&b, "}", SERVE_JSON_DEPTH_MAX + 1);
    assert_int_equal(body_parse(strbuf_str(&b), false, &v, NULL), ERR_FORMAT);
    b.n = 0;
    repeat(&b, "{\"a\":[0", 1);
    repeat(&b, ",0", SERVE_JSON_VALUES_MAX);
    repeat(&b, "]}", 1);
    assert_int_equal(body_parse(strbuf_str(&b), false, &v, NULL), ERR_FORMAT);
    strbuf_fini(&b);
}

/* ---- params ---- */

static err_code read(const char *text, params *p, arena *mem, json_t **v, err *e) {
    *p = params_plain();
    json_decref(*v);
    *v = NULL;
    assert_int_equal(body_parse(str_from(text), false, v, NULL), ERR_OK);
    return params_openai(*v, p, mem, e);
}

static void fields(void **state) {
    params p;
    arena mem = {0};
    json_t *v = NULL;
    err e;
    (void)state;
    assert_int_equal(read("{}", &p, &mem, &v, &e), ERR_OK);
    assert_true(p.sampling.temperature == 1 && p.sampling.top_p == 1 && p.sampling.top_k == 0 && p.n == 1 && !p.stream);
    assert_int_equal(
        read("{\"temperature\":0.5,\"top_k\":-1,\"seed\":-1,\"stop\":[\"a\",\"\",\"b\"],\"n\":3,\"stream\":true,"
             "\"stream_options\":{\"include_usage\":true},\"logit_bias\":{\"5\":-100,\"6\":1.5},"
             "\"response_format\":{\"type\":\"text\"},\"min_p\":null}",
             &p, &mem, &v, &e),
        ERR_OK);
    assert_true(p.sampling.temperature == 0.5F && p.sampling.top_k == 0 && p.sampling.seed == UINT64_MAX);
    assert_true(p.n_stop == 2 && str_is(p.stop[1], "b") && p.n == 3 && p.stream && p.usage);
    assert_true(p.n_bias == 2 && p.bias[0].id == 5 && p.bias[0].logprob == -100 && p.bias[1].logprob == 1.5);
    static const struct {
        const char *text, *word;
    } bad[] = {
        {"{\"temperature\":\"x\"}", "temperature"},
        {"{\"temperature\":-1}", "temperature"},
        {"{\"top_p\":1.5}", "top_p"},
        {"{\"top_k\":1.5}", "top_k"},
        {"{\"top_k\":99999999999}", "top_k"},
        {"{\"seed\":1e300}", "seed"},
        {"{\"n\":65}", "n"},
        {"{\"stop\":5}", "stop"},
        {"{\"stop\":[5]}", "stop"},
        {"{\"stream\":1}", "stream"},
        {"{\"stream_options\":1}", "stream_options"},
        {"{\"logit_bias\":[]}", "logit_bias"},
        {"{\"logit_bias\":{\"x\":1}}", "logit_bias"},
        {"{\"logit_bias\":{\"1\":101}}", "logit_bias"},
        {"{\"logit_bias\":{\"99999999999\":1}}", "logit_bias"},
        {"{\"response_format\":{\"type\":\"json_schema\"}}", "response_format"},
        {"{\"response_format\":\"json\"}", "response_format"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (read(bad[i].text, &p, &mem, &v, &e) == ERR_OK || !strstr(e.text, bad[i].word))
            fail_msg("%s: %s", bad[i].text, e.text);
    }
    json_decref(v);
    arena_fini(&mem);
}

static void statuses(void **state) {
    (void)state;
    assert_int_equal(status_of(ERR_LIMIT), 400);
    assert_int_equal(status_of(ERR_IO), 404);
    assert_int_equal(status_of(ERR_CANCELLED), 503);
    assert_int_equal(api_of_path(STR("/api/chat")), API_OLLAMA);
    assert_int_equal(api_of_path(STR("/v1/messages/count_tokens")), API_ANTHROPIC);
    assert_int_equal(api_of_path(STR("/v1/models")), API_OPENAI);
    json_t *v = error_json(API_ANTHROPIC, 413, ERR_USAGE, "x");
    assert_string_equal(json_string_value(json_object_get(json_object_get(v, "error"), "type")), "request_too_large");
    json_decref(v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts),  cmocka_unit_test(origins), cmocka_unit_test(tokens),   cmocka_unit_test(frames),
        cmocka_unit_test(bodies), cmocka_unit_test(fields),  cmocka_unit_test(statuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
