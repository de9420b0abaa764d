/* guess: the latest earlier occurrence of the end; see guess.h. One walk back over the ids, for all lengths. */
#include "gen/guess.h"

size_t guess_next(const int32_t *ids, size_t n, size_t most, int32_t *out) {
    size_t best = 0, from = 0;
    for (size_t end = n > 0 ? n - 1 : 0; end >= GUESS_MATCH_MIN && best < GUESS_MATCH_MAX; end--) {
        size_t same = 0;
        while (same < GUESS_MATCH_MAX && same < end && ids[end - 1 - same] == ids[n - 1 - same])
            same++;
        if (same > best) {
            best = same;
            from = end;
        }
    }
    if (best < GUESS_MATCH_MIN)
        return 0;
    /* When the end repeats itself at once, the copy runs into what it has written: the period goes on. */
    for (size_t i = 0; i < most; i++)
        out[i] = from + i < n ? ids[from + i] : out[from + i - n];
    return most;
}
