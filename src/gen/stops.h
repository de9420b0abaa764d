/* stops: a filter between decoded bytes and the reader, for streams.
 *
 * It lets text through as soon as it is certain, and keeps back only
 *   - a tail that may still become a stop string, and
 *   - a tail that is the beginning of a UTF-8 character.
 * What it emits is valid UTF-8 (ill-formed bytes become U+FFFD, as in utf8_repair()), whole characters
 * at a time, and the concatenation does not depend on how the bytes were cut into feeds.
 *
 * The stream ends at the first byte with which some stop string is complete; the text ends before the earliest
 * beginning among the stop strings complete there. Matching is Knuth-Morris-Pratt, one automaton a
 * stop string, so a byte costs O(stop strings) amortised. A filter allocates nothing.
 */
#ifndef LOAM_GEN_STOPS_H
#define LOAM_GEN_STOPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { STOPS_MAX = 16, STOPS_BYTES_MAX = 256, STOPS_BUFFER_BYTES = 1024 };

typedef void stops_emit(void *ctx, str text);

typedef struct {
    stops_emit *emit; /* NULL: text is dropped, stop strings still count */
    void *ctx;
    size_t n_stop;
    str stop[STOPS_MAX];                       /* borrowed */
    uint16_t back[STOPS_MAX][STOPS_BYTES_MAX]; /* [s][i]: longest proper border of the first i+1 bytes of stop s */
    uint16_t at[STOPS_MAX];                    /* bytes of stop s matched by the stream's tail */
    bool hit;
    size_t n; /* bytes kept */
    char buf[STOPS_BUFFER_BYTES];
} stops;

/* The strings must outlive the filter. More than STOPS_MAX, an empty one or one above STOPS_BYTES_MAX: ERR_USAGE. */
err_code stops_init(stops *f, const str *stop, size_t n_stop, stops_emit *emit, void *ctx, err *e);
/* Takes the next bytes; true once a stop string is complete (then further bytes are ignored). */
bool stops_feed(stops *f, str bytes);
/* The stream is over: lets out what was kept; half a character becomes U+FFFD. */
void stops_end(stops *f);

#endif
