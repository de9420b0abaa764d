/* guard: see guard.h. */
#include "serve/guard.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/hash.h"

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static bool same(str a, str b) {
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

bool guard_in_list(str s, const str *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (same(s, list[i]))
            return true;
    return false;
}

static bool digits(str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.n > 0 && s.n <= 5;
}

bool guard_host_name(str host, str *name) {
    size_t end = 0;
    if (host.n == 0 || host.n > 255)
        return false;
    if (host.p[0] == '[') {
        ptrdiff_t close = str_find(host, STR("]"), 0);
        if (close < 0)
            return false;
        *name = str_sub(host, 1, (size_t)close);
        end = (size_t)close + 1;
    } else {
        ptrdiff_t colon = str_find(host, STR(":"), 0);
        end = colon < 0 ? host.n : (size_t)colon;
        *name = str_sub(host, 0, end);
    }
    if (name->n == 0)
        return false;
    return end == host.n || (host.p[end] == ':' && digits(str_sub(host, end + 1, host.n)));
}

bool guard_is_literal_address(str name) {
    char text[64];
    unsigned char room[16];
    if (name.n >= sizeof text)
        return false;
    memcpy(text, name.p, name.n);
    text[name.n] = 0;
    return strlen(text) == name.n && (inet_pton(AF_INET, text, room) == 1 || inet_pton(AF_INET6, text, room) == 1);
}

bool guard_is_loopback_name(str name) {
    static const str suffix = {".localhost", 10};
    if (same(name, STR("localhost")) || str_is(name, "::1"))
        return true;
    if (name.n > suffix.n && same(str_sub(name, name.n - suffix.n, name.n), suffix))
        return true;
    return str_starts(name, STR("127.")) && guard_is_literal_address(name);
}

bool guard_host_ok(str host, bool loopback, const str *ok, size_t n_ok) {
    str name;
    if (!guard_host_name(host, &name))
        return false;
    if (guard_is_loopback_name(name) || guard_in_list(name, ok, n_ok) || guard_in_list(host, ok, n_ok))
        return true;
    return !loopback && guard_is_literal_address(name);
}

bool guard_origin_ok(str origin, str host, const str *ok, size_t n_ok) {
    static const str schemes[] = {{"http://", 7}, {"https://", 8}};
    if (guard_in_list(origin, ok, n_ok))
        return true;
    for (size_t i = 0; i < 2; i++)
        if (str_starts(origin, schemes[i]) && host.n > 0 && same(str_sub(origin, schemes[i].n, origin.n), host))
            return true;
    return false;
}

bool guard_token_ok(str given, str token) {
    hash256 a = hash_of(given.p, given.n), b = hash_of(token.p, token.n);
    volatile unsigned char diff = 0;
    for (size_t i = 0; i < sizeof a.byte; i++)
        diff = (unsigned char)(diff | (a.byte[i] ^ b.byte[i]));
    return diff == 0;
}

bool guard_bearer(str authorization, str *token) {
    if (authorization.n < 8 || !same(str_sub(authorization, 0, 7), STR("Bearer ")))
        return false;
    size_t from = 7, to = authorization.n;
    while (from < to && authorization.p[from] == ' ')
        from++;
    while (to > from && authorization.p[to - 1] == ' ')
        to--;
    *token = str_sub(authorization, from, to);
    return token->n > 0;
}

static bool token_character(char c) {
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* libmicrohttpd 0.9.75 adds a folded line ("Content-Length:\r\n 5") to the name instead of the value. */
static bool folded(str name, str of) { return name.n > of.n && same(str_sub(name, 0, of.n), of); }

void guard_frame_see(guard_frame *f, str name, str value) {
    for (size_t i = 0; i < name.n; i++)
        f->odd_name |= !token_character(name.p[i]);
    f->odd_name |= name.n == 0 || folded(name, STR("Content-Length")) || folded(name, STR("Transfer-Encoding"));
    f->n_length += same(name, STR("Content-Length"));
    f->n_host += same(name, STR("Host"));
    if (same(name, STR("Transfer-Encoding"))) {
        f->n_encoding++;
        f->odd_encoding |= !same(value, STR("chunked"));
    }
}

const char *guard_frame_fault(const guard_frame *f, bool http_1_0, int *status) {
    *status = 400;
    if (f->odd_name)
        return "a header's name is not one, or its line is folded";
    if (f->n_host > 1)
        return "there is more than one Host header";
    if (f->n_length > 1)
        return "there is more than one Content-Length header";
    if (f->n_encoding > 0 && (f->n_length > 0 || http_1_0))
        return "Transfer-Encoding goes neither with Content-Length nor with HTTP/1.0";
    if (f->n_encoding < 2 && !f->odd_encoding)
        return NULL;
    *status = 501;
    return "of Transfer-Encoding, \"chunked\" alone is supported";
}
