/* pen: see pen.h. */
#include "world/pen.h"

#include <string.h>

void pen_clear(pen *p) {
    p->n = 0;
    p->start = p->full = false;
}

void pen_start(pen *p) { p->start = true; }

void pen_add(pen *p, const char *text) {
    if (p->start && *text == ' ')
        text++;
    size_t n = strlen(text);
    if (n == 0)
        return;
    if (n > PEN_BYTES_MAX - p->n) {
        p->full = true;
        return;
    }
    memcpy(p->text + p->n, text, n);
    if (p->start) {
        char *c = &p->text[p->n + (text[0] == '"')];
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
        p->start = false;
    }
    p->n += n;
}

void pen_word(pen *p, const char *word) {
    if (!p->start)
        pen_add(p, " ");
    pen_add(p, word);
}

void pen_stop(pen *p, const char *mark) {
    pen_add(p, mark);
    pen_add(p, " ");
    p->start = true;
}

void pen_trim(pen *p) {
    while (p->n > 0 && p->text[p->n - 1] == ' ')
        p->n--;
}

void pen_number(pen *p, unsigned n) {
    char digits[16];
    size_t at = sizeof digits - 1;
    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    pen_add(p, digits + at);
}
