/* reader: a bounds-checked little-endian cursor; see reader.h.
 *
 * Invariants
 *   1. at <= n always, so n - at cannot wrap.
 *   2. A get that fails leaves the cursor and *out alone.
 *   3. Lengths arrive as u64 and are compared as u64: a 32-bit size_t cannot cut them.
 */
#include "io/reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian and are read in place");

enum { PATH_SHOWN_MAX = 200 }; /* an over-long path must not push the message out of its one line */

size_t reader_left(const reader *r) { return r->n - r->at; }

err_code reader_fail(const reader *r, size_t at, err_code code, err *e, const char *fmt, ...) {
    char what[ERR_TEXT_BYTES];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    size_t path_len = strlen(r->file);
    bool cut = path_len > PATH_SHOWN_MAX;
    return err_set(e, code, "%s%s: at byte %zu: %s", cut ? "..." : "", r->file + (cut ? path_len - PATH_SHOWN_MAX : 0),
                   at, what);
}

err_code reader_bytes(reader *r, uint64_t n, const uint8_t **out, err *e) {
    if (n > reader_left(r))
        return reader_fail(r, r->at, ERR_FORMAT, e, "%llu bytes are wanted, the file has %zu more (is it cut short?)",
                           (unsigned long long)n, reader_left(r));
    *out = r->p ? r->p + r->at : NULL; /* an empty file is mapped at no address */
    r->at += (size_t)n;
    return ERR_OK;
}

static err_code scalar(reader *r, void *out, size_t size, err *e) {
    const uint8_t *p = NULL;
    TRY(reader_bytes(r, size, &p, e));
    memcpy(out, p, size);
    return ERR_OK;
}

err_code reader_u8(reader *r, uint8_t *out, err *e) { return scalar(r, out, sizeof *out, e); }
err_code reader_u16(reader *r, uint16_t *out, err *e) { return scalar(r, out, sizeof *out, e); }
err_code reader_u32(reader *r, uint32_t *out, err *e) { return scalar(r, out, sizeof *out, e); }
err_code reader_u64(reader *r, uint64_t *out, err *e) { return scalar(r, out, sizeof *out, e); }
err_code reader_f32(reader *r, float *out, err *e) { return scalar(r, out, sizeof *out, e); }
err_code reader_f64(reader *r, double *out, err *e) { return scalar(r, out, sizeof *out, e); }
