/* A registry in a folder of its own, for the tests of registry and its faults. */
#ifndef LOAM_TEST_REGISTRY_HOME_H
#define LOAM_TEST_REGISTRY_HOME_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"

static char registry_dir[1000], registry_of[1100], own_file[1100];

/* Deletes what stands in a folder, and it. */
static inline void delete_tree(const char *path) {
    char sub[3000];
    DIR *d = opendir(path);
    for (struct dirent *x; d && (x = readdir(d));) {
        if (strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0)
            continue;
        snprintf(sub, sizeof sub, "%.1900s/%.255s", path, x->d_name);
        if (unlink(sub) != 0)
            delete_tree(sub);
    }
    if (d)
        closedir(d);
    rmdir(path);
}

static inline int make_home(void **state) {
    const char *tmp = getenv("LOAM_TMP");
    (void)state;
    snprintf(registry_dir, sizeof registry_dir, "%.900s/registry-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(registry_dir))
        return -1;
    snprintf(registry_of, sizeof registry_of, "%s/home", registry_dir);
    snprintf(own_file, sizeof own_file, "%s/own.gguf", registry_dir);
    return os_write_file(own_file, STR("some bytes"), NULL) != ERR_OK;
}

static inline int delete_home(void **state) {
    (void)state;
    delete_tree(registry_dir);
    return os_exists(registry_dir);
}

#endif
