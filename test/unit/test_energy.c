/* energy: packages add up, a counter that starts anew goes on, one that vanishes is no measurement. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/energy.h"
#include "base/os.h"

static char dir[150];

static void put(int id, const char *name, const char *value) {
    char path[250];
    snprintf(path, sizeof path, "%s/intel-rapl:%d", dir, id);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/intel-rapl:%d/%s", dir, id, name);
    assert_int_equal(os_write_file(path, str_from(value), NULL), ERR_OK);
}

static void packages_add_up(void **state) {
    (void)state;
    energy_meter m;
    const char *tmp = getenv("LOAM_TMP");
    snprintf(dir, sizeof dir, "%s/energy-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    assert_false(energy_open(&m, dir));
    assert_true(energy_joules(&m) < 0);
    put(0, "energy_uj", "1000000\n");
    put(0, "max_energy_range_uj", "5000000\n");
    put(2, "energy_uj", "4000000\n");
    put(2, "max_energy_range_uj", "5000000\n");
    assert_true(energy_open(&m, dir));
    assert_int_equal(m.n, 2);
    assert_true(energy_joules(&m) == 0);
    put(0, "energy_uj", "3000000\n");
    put(2, "energy_uj", "500000\n"); /* 4.0, 5.0 = 0, 0.5: one and a half */
    assert_true(energy_joules(&m) == 3.5);
    put(0, "energy_uj", "3000001\n");
    assert_true(energy_joules(&m) > 3.5 && energy_joules(&m) < 3.500002);
    put(2, "energy_uj", "nothing\n");
    assert_true(energy_joules(&m) < 0);
    for (int id = 0; id <= 2; id += 2) {
        char path[250];
        for (int i = 0; i < 3; i++) {
            static const char *const names[] = {"/energy_uj", "/max_energy_range_uj", ""};
            snprintf(path, sizeof path, "%s/intel-rapl:%d%s", dir, id, names[i]);
            assert_int_equal(remove(path), 0);
        }
    }
    assert_int_equal(rmdir(dir), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(packages_add_up)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
