/* schedule: the learning rate of each step.
 *
 * Steps count from 1 to `steps`. With w = warmup, n = steps:
 *
 *   k <= w          lr * k / w
 *   after           t = (k - 1 - w) / (n - w), in [0, 1)
 *     cosine        min_lr + (lr - min_lr) * cos(pi/2 t)^2
 *     linear        min_lr + (lr - min_lr) * (1 - t)
 *     constant      lr
 *     wsd           lr, and in the last c = cooldown steps min_lr + (lr - min_lr) * (1 - (k - 1 - (n - c)) / c)
 *
 * Everything in binary64, left to right; the cosine is a polynomial of our own (schedule.c), within 2^-50. cos(pi/2
 * t)^2 is (1 + cos(pi t)) / 2, the usual form. doc/arithmetic.md, "Training". Proved by test_schedule.c.
 */
#ifndef LOAM_TRAIN_SCHEDULE_H
#define LOAM_TRAIN_SCHEDULE_H

#include <stdint.h>

typedef enum { SCHEDULE_COSINE, SCHEDULE_LINEAR, SCHEDULE_CONSTANT, SCHEDULE_WSD, SCHEDULE_COUNT } schedule_kind;

typedef struct {
    schedule_kind kind;
    uint64_t steps, warmup, cooldown; /* warmup + cooldown <= steps, steps >= 1 */
    double lr, min_lr;
} schedule;

double schedule_at(const schedule *s, uint64_t step); /* 1 <= step <= s->steps (asserted) */

const char *schedule_name(schedule_kind k);
int schedule_by_name(const char *name); /* a schedule_kind, or -1 */

#endif
