/* guess: the latest earlier occurrence of the end, by one walk back over the ids for all lengths; and whether it is
 * worth it. See guess.h. */
#include "gen/guess.h"

enum { EAGER_LEAST = 3 };

guess_habit guess_begin(void) { return (guess_habit){.credit = GUESS_BEGIN, .eager = EAGER_LEAST}; }

size_t guess_wish(const guess_habit *h, size_t *least) {
    *least = h->credit >= GUESS_RICH ? GUESS_MATCH_MIN : GUESS_MATCH_MIN + 1;
    return h->credit >= GUESS_COST(h->eager) ? h->eager : 0;
}

void guess_learn(guess_habit *h, size_t n, size_t n_right) {
    int credit = h->credit + GUESS_INCOME * (1 + (int)n_right) + 100 * (int)n_right - (n > 0 ? GUESS_COST(n) : 0);
    h->credit = credit < GUESS_CREDIT ? credit : GUESS_CREDIT;
    if (n == 0)
        return;
    size_t eager = n_right == n ? 2 * n : n_right;
    h->eager = eager < EAGER_LEAST ? EAGER_LEAST : eager < GUESS_MOST ? eager : GUESS_MOST;
}

size_t guess_next(const int32_t *ids, size_t n, size_t least, size_t most, int32_t *out) {
    size_t best = 0, from = 0;
    for (size_t end = n > 0 ? n - 1 : 0; end >= least && best < GUESS_MATCH_MAX; end--) {
        size_t same = 0;
        while (same < GUESS_MATCH_MAX && same < end && ids[end - 1 - same] == ids[n - 1 - same])
            same++;
        if (same > best) {
            best = same;
            from = end;
        }
    }
    if (best < least)
        return 0;
    /* When the end repeats itself at once, the copy runs into what it has written: the period goes on. */
    for (size_t i = 0; i < most; i++)
        out[i] = from + i < n ? ids[from + i] : out[from + i - n];
    return most;
}
