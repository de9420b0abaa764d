/* energy: see energy.h. */
#include "base/energy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"

static bool read_number(const energy_meter *m, int id, const char *name, uint64_t *out) {
    char path[300];
    strbuf text = {0};
    snprintf(path, sizeof path, "%s/intel-rapl:%d/%s", m->root, id, name);
    bool good = os_read_file(path, 64, &text, NULL) == ERR_OK && text.n > 0 && text.p[0] >= '0' && text.p[0] <= '9';
    if (good) {
        *out = 0;
        for (size_t i = 0; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++)
            *out = *out * 10 + (uint64_t)(text.p[i] - '0');
    }
    strbuf_fini(&text);
    return good;
}

bool energy_open(energy_meter *m, const char *root) {
    *m = (energy_meter){0};
    snprintf(m->root, sizeof m->root, "%s", root ? root : "/sys/class/powercap");
    for (int id = 0; id < ENERGY_PACKAGES_MAX; id++)
        if (read_number(m, id, "energy_uj", &m->last[m->n]) &&
            read_number(m, id, "max_energy_range_uj", &m->range[m->n]))
            m->id[m->n++] = id;
    return m->n > 0;
}

void energy_step(energy_meter *m) {
    for (int i = 0; i < m->n; i++) {
        uint64_t now;
        if (!read_number(m, m->id[i], "energy_uj", &now)) {
            m->n = 0;
            return;
        }
        uint64_t used = now >= m->last[i] ? now - m->last[i] : m->range[i] - m->last[i] + now;
        m->joules += (double)used * 1e-6;
        m->last[i] = now;
    }
}

double energy_joules(energy_meter *m) {
    energy_step(m);
    return m->n ? m->joules : -1;
}
