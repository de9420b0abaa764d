/* reader: the one way to read binary bytes that may be hostile.
 *
 * A cursor over a slice. Every get checks its bounds; a failure names the file and the byte
 * offset and leaves the cursor where it was. All integers are little-endian.
 */
#ifndef LOAM_IO_READER_H
#define LOAM_IO_READER_H

#include <stdint.h>

#include "base/str.h"

typedef struct {
    const char *file; /* for messages */
    const uint8_t *p;
    size_t n, at; /* length and cursor, bytes */
} reader;

err_code reader_u8(reader *r, uint8_t *out, err *e);
err_code reader_u16(reader *r, uint16_t *out, err *e);
err_code reader_u32(reader *r, uint32_t *out, err *e);
err_code reader_u64(reader *r, uint64_t *out, err *e);
err_code reader_f32(reader *r, float *out, err *e);
err_code reader_f64(reader *r, double *out, err *e);
/* A view of the next n bytes. */
err_code reader_bytes(reader *r, uint64_t n, const uint8_t **out, err *e);
size_t reader_left(const reader *r);
/* "FILE: at byte AT: ..." */
err_code reader_fail(const reader *r, size_t at, err_code code, err *e, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

#endif
