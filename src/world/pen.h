/* pen: writes English into a buffer of fixed size.
 *
 * Words bring their own blank in front: pen_add(p, " the ball"). After pen_start() the blank is dropped and the next
 * letter becomes a capital. When the buffer is full, `full` is set and the rest is dropped; documents are planned to be
 * a tenth of it, so full is a programmer's mistake (the tests look).
 */
#ifndef LOAM_WORLD_PEN_H
#define LOAM_WORLD_PEN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum { PEN_BYTES_MAX = 8192 };

typedef struct {
    size_t n;
    bool start, full;
    char text[PEN_BYTES_MAX];
} pen;

void pen_clear(pen *p);
void pen_start(pen *p);                  /* the next word begins a sentence: no blank in front, a capital */
void pen_add(pen *p, const char *text);  /* as it stands, but for what pen_start() asked for */
void pen_word(pen *p, const char *word); /* with a blank in front */
void pen_stop(pen *p, const char *mark); /* ends a sentence: the mark, a blank, and a new start */
void pen_trim(pen *p);                   /* drops blanks at the end */
void pen_number(pen *p, unsigned n);     /* decimal, as it stands */
static inline str pen_str(const pen *p) { return (str){p->text, p->n}; }

#endif
