/* energy: what the processors of this machine have used, by their own counters (RAPL), where the system lets us read
 * them.
 *
 * Linux shows a counter of microjoules for each processor package as /sys/class/powercap/intel-rapl:N/energy_uj; AMD's
 * have the same names. It starts anew after max_energy_range_uj, which takes an hour or so at full load: energy_step()
 * must be called more often than that. What is counted is the whole package, whoever keeps it busy; memory, disks and
 * power supplies are not. Most systems let only root read the counters. Proved by test_energy.c.
 */
#ifndef LOAM_BASE_ENERGY_H
#define LOAM_BASE_ENERGY_H

#include <stdbool.h>
#include <stdint.h>

enum { ENERGY_PACKAGES_MAX = 64 };

typedef struct {
    char root[200];
    int n;                                                          /* packages, 0: not readable */
    int id[ENERGY_PACKAGES_MAX];                                    /* the N of intel-rapl:N */
    uint64_t last[ENERGY_PACKAGES_MAX], range[ENERGY_PACKAGES_MAX]; /* microjoules */
    double joules;                                                  /* since energy_open() */
} energy_meter;

/* root NULL: where Linux has them. False when none can be read; then all calls do nothing. */
bool energy_open(energy_meter *m, const char *root);
void energy_step(energy_meter *m);
/* Joules so far, below 0 when they could not be measured (also when a counter vanished on the way). */
double energy_joules(energy_meter *m);

#endif
