/* err: what went wrong, in one line, carried by value.
 *
 * A fallible function returns an err_code and takes `err *e` as its last
 * argument. On success it returns ERR_OK and leaves *e alone. On failure it
 * fills *e by err_set() and returns the same code; TRY() forwards it.
 * `e` may be NULL when the caller wants the code only.
 *
 * The text reads "WHERE: WHAT is wrong (and what to do)". WHERE is a file, a
 * byte offset, a tensor, a key or a line; err_in() puts an outer WHERE in front.
 */
#ifndef LOAM_BASE_ERR_H
#define LOAM_BASE_ERR_H

#define ERR_CODES(X)                                               \
    X(OK, "no error")                                              \
    X(USAGE, "wrong usage")                                        \
    X(IO, "the operating system refused")                          \
    X(FORMAT, "malformed input")                                   \
    X(LIMIT, "a limit was exceeded")                               \
    X(UNSUPPORTED, "well formed, but not something Loam supports") \
    X(MEMORY, "out of memory")                                     \
    X(MISMATCH, "verification found a difference")                 \
    X(CANCELLED, "stopped on request")

typedef enum {
#define X(name, text) ERR_##name,
    ERR_CODES(X)
#undef X
} err_code;

enum { ERR_TEXT_BYTES = 512 };

typedef struct {
    err_code code;
    char text[ERR_TEXT_BYTES]; /* NUL-terminated, one line, valid UTF-8 not guaranteed */
} err;

/* Fills *e (when not NULL) and returns `code`. Over-long text is cut with "...";
 * control characters, which a hostile file may bring in, become '?'. */
err_code err_set(err *e, err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "where: " in front of the text of *e; returns e->code, or `code` when e is NULL. */
err_code err_in(err *e, err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* "malformed input" and so on: the class, for machines and logs. */
const char *err_name(err_code code);

#define TRY(expr)                    \
    do {                             \
        err_code try_code_ = (expr); \
        if (try_code_ != ERR_OK)     \
            return try_code_;        \
    } while (0)

#endif
