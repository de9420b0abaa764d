/* shim: what script/emulate/run.py loads before the emulator's library (bochscpu 0.4.0), whose symbols then bind here.
 *
 *   - That library chooses Bochs' model of a Cannon Lake, which lacks VNNI. Instead, the model whose constructor
 *     $EMULATE_MODEL names is made: Bochs has Sapphire Rapids (AVX-512 with VNNI) and Arrow Lake (AVX-VNNI).
 *   - It was built against a glibc newer than Debian 12's and asks for two functions of C23.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

void *_Z23create_corei3_cnl_cpuidP8BX_CPU_C(void *cpu) {
    void *library = dlopen(getenv("EMULATE_LIBRARY"), RTLD_LAZY | RTLD_NOLOAD);
    void *model = library ? dlsym(library, getenv("EMULATE_MODEL")) : NULL;
    if (!model) {
        fprintf(stderr, "emulate: %s\n", dlerror());
        exit(125);
    }
    return ((void *(*)(void *))model)(cpu);
}

unsigned long long __isoc23_strtoull(const char *s, char **end, int base) { return strtoull(s, end, base); }
int __isoc23_sscanf(const char *s, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsscanf(s, format, args);
    va_end(args);
    return n;
}
