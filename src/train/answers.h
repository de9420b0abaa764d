/* answers: the parts of a document that it is about: what stands behind "A:", so that learning can weigh them more.
 *
 * A mark is a short text, as "A:". Where a line of a document begins with one, an answer begins: behind the mark, to
 * the end of the line, its line break included. When nothing but blanks stands behind the mark, the answer is the lines
 * that follow, up to the next empty line, or to the document's end and the end token. The text that counts is what the
 * tokens decode to, control tokens left out; a token is part of an answer when its first byte is (a token without
 * bytes: when the place where it stands is). Proved by test_answers.c.
 */
#ifndef LOAM_TRAIN_ANSWERS_H
#define LOAM_TRAIN_ANSWERS_H

#include "base/str.h"
#include "tok/tokenizer.h"

enum { ANSWERS_MARKS_MAX = 8 };

typedef struct {
    str mark[ANSWERS_MARKS_MAX]; /* into the list that was parsed */
    size_t n;                    /* 0: no marks, no answers */
} answer_marks;

/* "A:,Plan:". Empty: no marks. An empty mark, one with a line break, too many: ERR_USAGE. */
err_code answers_parse(answer_marks *out, str list, err *e);

/* Whether byte `at` of a text is in an answer, for ascending `at`; text.n is behind the last byte. Zero-initialise, set
 * text and marks. */
typedef struct {
    const answer_marks *marks;
    str text;
    size_t line, from, to; /* the next line to look at; the answer found last */
} answers_scan;
bool answers_at(answers_scan *s, size_t at);

/* flag[i], i < n: is token ids[i] part of an answer? text and starts: scratch. */
err_code answers_find(const answer_marks *m, const tokenizer *t, const int32_t *ids, size_t n, strbuf *text,
                      strbuf *starts, uint8_t *flag, err *e);

#endif
