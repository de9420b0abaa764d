/* js: see js.h. */
#include "text/js.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "text/json.h"

static void put(js_out *j, str s) {
    if (j->code == ERR_OK)
        j->code = strbuf_add(&j->text, s, j->e);
}

static void separate(js_out *j) {
    if (j->comma)
        put(j, STR(","));
    j->comma = true;
}

void js_raw(js_out *j, str json) {
    separate(j);
    put(j, json);
}

static void add_value(js_out *j, const char *text) { js_raw(j, str_from(text)); }

void js_begin(js_out *j, char bracket) {
    separate(j);
    put(j, (str){&bracket, 1});
    j->comma = false;
}

void js_end(js_out *j, char bracket) {
    put(j, (str){&bracket, 1});
    j->comma = true;
}

void js_text(js_out *j, str s) {
    separate(j);
    if (j->code == ERR_OK)
        j->code = json_quote(s, &j->text, j->e);
}

void js_colon(js_out *j) {
    put(j, STR(":"));
    j->comma = false;
}

void js_key(js_out *j, const char *key) {
    js_text(j, str_from(key));
    js_colon(j);
}

void js_int(js_out *j, int64_t x) {
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, x);
    add_value(j, text);
}

void js_real(js_out *j, double x, int digits) {
    char text[64] = "null";
    if (isfinite(x))
        snprintf(text, sizeof text, "%.*g", digits, x);
    add_value(j, text);
}

void js_flag(js_out *j, bool x) { add_value(j, x ? "true" : "false"); }

void js_put_text(js_out *j, const char *key, str s) {
    js_key(j, key);
    js_text(j, s);
}

void js_put_int(js_out *j, const char *key, int64_t x) {
    js_key(j, key);
    js_int(j, x);
}

void js_put_hash(js_out *j, const char *key, hash256 h) {
    char hex[65];
    hash_hex(h, hex);
    js_put_text(j, key, str_from(hex));
}
