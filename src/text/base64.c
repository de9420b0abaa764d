/* base64: see base64.h. */
#include "text/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

err_code base64_put(str bytes, strbuf *out, err *e) {
    if (bytes.n > SIZE_MAX / 4)
        return err_set(e, ERR_LIMIT, "%zu bytes are too many for base64", bytes.n);
    TRY(strbuf_reserve(out, (bytes.n + 2) / 3 * 4, e));
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        uint32_t x = (uint32_t)(uint8_t)bytes.p[i] << 16;
        x |= left > 1 ? (uint32_t)(uint8_t)bytes.p[i + 1] << 8 : 0;
        x |= left > 2 ? (uint32_t)(uint8_t)bytes.p[i + 2] : 0;
        char four[4] = {digits[x >> 18], digits[x >> 12 & 63], left > 1 ? digits[x >> 6 & 63] : '=',
                        left > 2 ? digits[x & 63] : '='};
        TRY(strbuf_add(out, (str){four, 4}, e));
    }
    return ERR_OK;
}

static int value_of(char c) {
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

err_code base64_get(str text, strbuf *out, err *e) {
    if (text.n % 4)
        return err_set(e, ERR_FORMAT, "base64: %zu characters are no multiple of 4", text.n);
    TRY(strbuf_reserve(out, text.n / 4 * 3, e));
    for (size_t i = 0; i < text.n; i += 4) {
        bool last = i + 4 == text.n;
        int pad = last && text.p[i + 3] == '=' ? text.p[i + 2] == '=' ? 2 : 1 : 0;
        uint32_t x = 0;
        for (int k = 0; k < 4; k++) {
            int v = k < 4 - pad ? value_of(text.p[i + (size_t)k]) : 0;
            if (v < 0)
                return err_set(e, ERR_FORMAT, "base64: byte 0x%02x at offset %zu", (uint8_t)text.p[i + (size_t)k],
                               i + (size_t)k);
            x = x << 6 | (uint32_t)v;
        }
        if (pad && x & (pad == 2 ? 0xffffu : 0xffu))
            return err_set(e, ERR_FORMAT, "base64: bits behind the last byte at offset %zu", i);
        char three[3] = {(char)(x >> 16), (char)(x >> 8 & 255), (char)(x & 255)};
        TRY(strbuf_add(out, (str){three, (size_t)(3 - pad)}, e));
    }
    return ERR_OK;
}
