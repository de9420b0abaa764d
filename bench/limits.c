/* limits: prints what this machine can do at most, for one thread and for all; see machine.h. */
#include <stdio.h>
#include <string.h>

#include "common.h"
#include "kern/kern.h"
#include "machine.h"

typedef struct {
    bool json;
    int64_t threads;
} values;

int main(int argc, char **argv) {
    values v = {0};
    const option rows[] = {{"json", 'j', OPT_FLAG, NULL, "print JSON", offsetof(values, json), 0, 0, NULL},
                           {"threads", 't', OPT_INT, "N", "threads (0: 1, then one for every CPU)",
                            offsetof(values, threads), 0, POOL_THREADS_MAX, NULL},
                           {0}};
    const option_group groups[] = {{"Measurement", rows, 0}, {0}};
    const bench_program program = {"[options]", "Measures the limits of this machine.", groups, 0};
    bench_options(&program, argc, argv, &v, NULL);
    int cpus = os_n_cpus(), first = v.threads ? (int)v.threads : 1, last = v.threads ? (int)v.threads : cpus;
    const char *comma = "";
    if (v.json)
        printf("[");
    else
        printf("| ISA | threads | f32 FMA GFLOP/s | 8-bit dot GOP/s | L2 read GB/s | memory read GB/s |\n"
               "|---|---|---|---|---|---|\n");
    for (const char *const *isa = kern_isa_names(); *isa; isa++) {
        if (!kern_isa_usable(*isa) || (strcmp(*isa, "scalar") == 0 && isa != kern_isa_names()))
            continue;
        for (int n = first; n <= last; n = n < last ? last : last + 1) {
            pool *p;
            machine_limits m;
            MUST(pool_open(&p, n, e));
            MUST(machine_measure(*isa, p, &m, e));
            pool_close(p);
            if (v.json)
                printf("%s{\"isa\":\"%s\",\"threads\":%d,\"fma_gflops\":%.1f,\"dot_gops\":%.1f,\"l2_gb_s\":%.1f,"
                       "\"memory_gb_s\":%.1f}",
                       comma, *isa, n, m.fma, m.dot, m.l2, m.memory);
            else
                printf("| %s | %d | %.0f | %.0f | %.0f | %.1f |\n", *isa, n, m.fma, m.dot, m.l2, m.memory);
            comma = ",\n ";
            fflush(stdout);
        }
    }
    if (v.json)
        printf("]\n");
    return 0;
}
