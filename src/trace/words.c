/* words: see words.h. */
#include "trace/words.h"

#include "text/utf8.h"
#include "tok/unichar.h"

typedef enum { SPACE, LETTER, IDEOGRAPH, APOSTROPHE, SIGN } class_of_char;

static class_of_char class_of(int32_t cp) {
    if (cp < 0)
        return SPACE;
    if (cp == '\'' || cp == 0x2019)
        return APOSTROPHE;
    if (unichar_is_space(cp))
        return SPACE;
    if ((cp >= 0x2e80 && cp <= 0x9fff) || (cp >= 0xf900 && cp <= 0xfaff) || (cp >= 0x20000 && cp <= 0x3ffff))
        return unichar_is_word(cp) ? IDEOGRAPH : SIGN;
    return unichar_is_word(cp) ? LETTER : SIGN;
}

static class_of_char class_at(str text, size_t at, size_t *end) {
    *end = at;
    return at < text.n ? class_of(utf8_next(text, end)) : SPACE;
}

bool words_next(str text, size_t *at, word *out) {
    size_t end;
    class_of_char c = SPACE;
    while (*at < text.n && (c = class_at(text, *at, &end)) == SPACE)
        *at = end;
    if (*at >= text.n)
        return false;
    *out = (word){*at, end, c == LETTER || c == IDEOGRAPH};
    while (c == LETTER) {
        size_t next;
        c = class_at(text, end, &next);
        if (c == APOSTROPHE) { /* only with a letter behind it */
            size_t behind;
            c = class_at(text, next, &behind);
            next = behind;
        }
        if (c == LETTER)
            out->end = end = next;
    }
    *at = out->end;
    return true;
}
