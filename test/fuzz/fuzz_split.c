/* split: a mode, a limit, and any text: pieces lie in order within it, and do not depend on how it comes in. */
#include <stdint.h>
#include <stdlib.h>

#include "text/split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { PIECES_MAX = 1 << 16 };

/* The pieces as offsets in the text; how many. */
static size_t cut(split_mode mode, size_t limit, str text, size_t chunk, size_t *offsets) {
    size_t at = 0, there = 0, looked = 0, n = 0;
    while (n + 2 <= PIECES_MAX) {
        split_piece p;
        bool at_end = at + there == text.n;
        if (split_next(mode, limit, str_sub(text, at, at + there), at_end, &looked, &p)) {
            if (p.from > p.to || p.to > p.next || p.next > there || p.next == 0)
                abort();
            if (mode == SPLIT_BYTES && (p.from != 0 || p.to != p.next || p.to > limit))
                abort();
            offsets[n++] = at + p.from;
            offsets[n++] = at + p.to;
            at += p.next;
            there -= p.next;
            looked = 0;
        } else if (at_end)
            break;
        else
            there += chunk < text.n - at - there ? chunk : text.n - at - there;
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static size_t one[PIECES_MAX], other[PIECES_MAX];
    if (n < 2 || n > 4096)
        return 0;
    str text = {(const char *)data + 2, n - 2};
    size_t limit = 4 + data[1];
    split_mode mode = (split_mode)(data[0] % 4);
    size_t n_one = cut(mode, limit, text, text.n + 1, one), n_other = cut(mode, limit, text, 1 + data[0] / 4, other);
    if (n_one != n_other)
        abort();
    for (size_t i = 0; i < n_one; i++)
        if (one[i] != other[i])
            abort();
    for (size_t i = 0; mode == SPLIT_BYTES && i < n_one; i += 2) /* nothing is left out */
        if (one[i] != (i ? one[i - 1] : 0) || (i + 2 == n_one && one[i + 1] != text.n))
            abort();
    return 0;
}
