/* stops: stop strings and whole characters in a stream; see stops.h.
 *
 *   buf:  [ certain ........ | may be half a character | may become a stop string ]
 *          emitted by release()  at most 3 bytes         max over s of at[s] bytes
 *
 * Invariant: the last at[s] bytes of the stream are the first at[s] bytes of stop s, at[s] is the largest such
 * number below the length of stop s, and all of them are in buf.
 */
#include "gen/stops.h"

#include <string.h>

#include "text/utf8.h"

_Static_assert(STOPS_BUFFER_BYTES > STOPS_BYTES_MAX + 4, "a full buffer has something to release");

err_code stops_init(stops *f, const str *stop, size_t n_stop, stops_emit *emit, void *ctx, err *e) {
    memset(f, 0, sizeof *f);
    f->emit = emit;
    f->ctx = ctx;
    if (n_stop > STOPS_MAX)
        return err_set(e, ERR_USAGE, "%zu stop strings are more than %d", n_stop, STOPS_MAX);
    for (size_t s = 0; s < n_stop; s++) {
        if (stop[s].n == 0 || stop[s].n > STOPS_BYTES_MAX)
            return err_set(e, ERR_USAGE, "stop string %zu has %zu bytes (1 to %d are allowed)", s + 1, stop[s].n,
                           STOPS_BYTES_MAX);
        f->stop[s] = stop[s];
        uint16_t k = 0;
        for (size_t i = 1; i < stop[s].n; i++) {
            while (k > 0 && stop[s].p[i] != stop[s].p[k])
                k = f->back[s][k - 1];
            if (stop[s].p[i] == stop[s].p[k])
                k++;
            f->back[s][i] = k;
        }
    }
    f->n_stop = n_stop;
    return ERR_OK;
}

static void emit(stops *f, str text) {
    if (text.n > 0 && f->emit)
        f->emit(f->ctx, text);
}

/* Emits text with ill-formed bytes replaced: runs of good bytes at once. */
static void emit_repaired(stops *f, str text) {
    size_t from = 0;
    for (size_t at = 0; at < text.n;) {
        size_t start = at;
        if (utf8_next(text, &at) >= 0)
            continue;
        emit(f, str_sub(text, from, start));
        emit(f, STR("\xEF\xBF\xBD"));
        from = at;
    }
    emit(f, str_sub(text, from, text.n));
}

static void release(stops *f) {
    size_t held = 0;
    for (size_t s = 0; s < f->n_stop; s++)
        held = f->at[s] > held ? f->at[s] : held;
    size_t n = utf8_whole((str){f->buf, f->n - held});
    emit_repaired(f, (str){f->buf, n});
    memmove(f->buf, f->buf + n, f->n - n);
    f->n -= n;
}

/* Moves every automaton on by c; returns the length of the longest stop string now complete, else 0. */
static size_t step(stops *f, char c) {
    size_t complete = 0;
    for (size_t s = 0; s < f->n_stop; s++) {
        uint16_t k = f->at[s];
        while (k > 0 && f->stop[s].p[k] != c)
            k = f->back[s][k - 1];
        if (f->stop[s].p[k] == c)
            k++;
        f->at[s] = k;
        if (k == f->stop[s].n && k > complete)
            complete = k;
    }
    return complete;
}

bool stops_feed(stops *f, str bytes) {
    for (size_t i = 0; i < bytes.n && !f->hit; i++) {
        if (f->n == sizeof f->buf)
            release(f);
        f->buf[f->n++] = bytes.p[i];
        size_t complete = step(f, bytes.p[i]);
        if (complete > 0) {
            f->n -= complete;
            f->hit = true;
        }
    }
    if (!f->hit)
        release(f);
    return f->hit;
}

void stops_end(stops *f) {
    emit_repaired(f, (str){f->buf, f->n});
    f->n = 0;
}
