/* str: a slice of bytes that somebody else owns, and a buffer that grows.
 *
 * A str is not NUL-terminated and may hold any byte, NUL included. Copying a
 * str copies two words. `%.*s` with STR_ARG(s) prints one.
 */
#ifndef LOAM_BASE_STR_H
#define LOAM_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct {
    const char *p; /* may be NULL when n is 0 */
    size_t n;      /* bytes */
} str;

#define STR(literal) ((str){(literal), sizeof(literal) - 1})
#define STR_ARG(s) ((s).n > 200 ? 200 : (int)(s).n), ((s).p ? (s).p : "")

str str_from(const char *cstr); /* NULL gives the empty slice */
bool str_eq(str a, str b);
bool str_is(str a, const char *cstr);
bool str_starts(str s, str prefix);
bool str_ends(str s, str suffix);
int str_cmp(str a, str b); /* bytewise, then by length: <0, 0, >0 */
/* Byte offset of the first `needle` at or after `from`, or -1. The empty needle is found at `from`. */
ptrdiff_t str_find(str s, str needle, size_t from);
/* Bytes [from, to), both clamped to the slice. */
str str_sub(str s, size_t from, size_t to);
int str_hex_digit(int ch); /* 0 to 15, of a digit or a letter of either case; -1: none */
uint64_t str_hash(str s);  /* FNV-1a folded; for tables, not for security or files */

/* A growing byte buffer on the heap. Zero-initialise it; strbuf_fini() frees.
 * After a failed append the contents are as before. `max` (0: none) caps the length. */
typedef struct {
    char *p;
    size_t n, cap, max;
} strbuf;

err_code strbuf_reserve(strbuf *b, size_t extra, err *e); /* room for `extra` bytes at b->p + b->n */
err_code strbuf_add(strbuf *b, str s, err *e);
err_code strbuf_addf(strbuf *b, err *e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
err_code strbuf_addc(strbuf *b, char c, err *e);
/* x as "%.*g" writes it, with as few digits, but at least so many, as read back to the same binary64, or binary32. */
err_code strbuf_add_real(strbuf *b, double x, int digits_min, err *e);
err_code strbuf_add_real32(strbuf *b, float x, int digits_min, err *e);
str strbuf_str(const strbuf *b); /* valid until the next append */
void strbuf_fini(strbuf *b);     /* frees, leaves it empty and usable */

#endif
