/* gguf_parts: see gguf_parts.h. */
#include "io/gguf_parts.h"

#include <stdio.h>
#include <string.h>

/* "-00001-of-00003.gguf" */
enum { TAIL_BYTES = 20, NO_AT = 1, COUNT_AT = 10, DIGITS = 5 };

static bool number(const char *p, unsigned *out) {
    *out = 0;
    for (int i = 0; i < DIGITS; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        *out = *out * 10 + (unsigned)(p[i] - '0');
    }
    return true;
}

bool gguf_part_of(str path, unsigned *no, unsigned *count) {
    if (path.n <= TAIL_BYTES)
        return false;
    const char *tail = path.p + path.n - TAIL_BYTES;
    return tail[0] == '-' && memcmp(tail + 6, "-of-", 4) == 0 && memcmp(tail + 15, ".gguf", 5) == 0 &&
           number(tail + NO_AT, no) && number(tail + COUNT_AT, count) && *no >= 1 && *no <= *count &&
           *count <= GGUF_PARTS_MAX;
}

void gguf_part_name(char *path, unsigned no) {
    char text[DIGITS + 1];
    snprintf(text, sizeof text, "%05u", no % 100000);
    memcpy(path + strlen(path) - TAIL_BYTES + NO_AT, text, DIGITS);
}

str gguf_stem(str path) {
    unsigned no, count;
    size_t end = gguf_part_of(path, &no, &count) ? TAIL_BYTES : str_ends(path, STR(".gguf")) ? sizeof ".gguf" - 1 : 0;
    return str_sub(path, 0, path.n - end);
}
