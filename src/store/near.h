/* near: which of many texts are nearly the same as an earlier one.
 *
 * Texts are numbered 0, 1, ... A text is marked with the earlier unmarked text that is most similar to it (the lower
 * number when two are), if their similarity (text/shingle.h) is at least the threshold. So what is unmarked is a set
 * without near-duplicates, and every marked text has its original in it.
 *
 * Not all pairs are looked at, but those whose sketches agree in all NEAR_ROWS bytes of one of NEAR_BANDS bands
 * (locality-sensitive hashing: Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4): of two
 * texts of similarity s that is the case with probability 1 - (1 - s^6)^20, which is 0.998 at 0.8 and 0.93 at 0.7. In
 * each band a text is compared with the first NEAR_BUCKET texts of its bucket, so that the work is linear whatever the
 * texts are; of those the NEAR_CHOICES whose sketches agree most (at least min_agree bytes) have their similarity
 * computed exactly. The result depends on the texts and their order alone, not on threads.
 * Memory: 28 to 44 bytes a text and thread while candidates are sought, 12 a candidate pair.
 * Proved by test_near.c: recall and precision on generated texts, equality with all pairs, threads.
 */
#ifndef LOAM_STORE_NEAR_H
#define LOAM_STORE_NEAR_H

#include "base/pool.h"
#include "text/shingle.h"

enum { NEAR_BANDS = 20, NEAR_ROWS = 6, NEAR_BUCKET = 8, NEAR_CHOICES = 4 };
#define NEAR_TEXTS_MAX ((size_t)1 << 31)

typedef struct {
    uint32_t text, earlier;
    uint32_t agree; /* bytes of their sketches */
} near_pair;

/* The pairs to look at of texts from `first` on (those before are known already), by (text, agree descending, earlier);
 * free() *pairs. n at most NEAR_TEXTS_MAX. */
err_code near_candidates(const shingle_sketch *sketch, size_t n, size_t first, pool *workers, int min_agree,
                         near_pair **pairs, size_t *n_pairs, err *e);

typedef struct {
    uint32_t earlier; /* the text's original, or NEAR_NONE */
    double similarity;
} near_mark;
#define NEAR_NONE UINT32_MAX

/* Appends text number `i` to *out. */
typedef err_code near_fetch(void *ctx, uint32_t i, strbuf *out, err *e);

/* Fills mark[n]; those of texts before the first pair's are read (the known ones). `stop` as in dataset.h. */
err_code near_marks(const near_pair *pairs, size_t n_pairs, double threshold, near_fetch *fetch, void *ctx,
                    pool *workers, const volatile int *stop, near_mark *mark, err *e);

/* The min_agree that lets pairs of the threshold's similarity through (3.3 standard deviations of a sketch). */
int near_min_agree(double threshold);

#endif
