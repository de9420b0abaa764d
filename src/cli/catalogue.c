/* catalogue: see catalogue.h. Lines of six columns between tabs; what begins with '#' is for readers. */
#include "cli/catalogue.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "cli/options.h"
#include "cli/out.h"
#include "hub/offer.h"

enum { COLUMNS = 6, FILE_BYTES_MAX = 1 << 20 };
enum { OPENNESS, REFERENCE, PARAMETERS, FAMILY, LICENCE, SOURCES };

static const char *const openness_text[] = {"", "weights, on terms of their own", "weights", "data, code, weights"};

typedef struct {
    str column[COLUMNS];
    int64_t openness;
    uint64_t bytes, memory;
    bool fits;
} entry;

/* Beside the program's folder: in the source tree and where it is installed. */
static err_code read_file(strbuf *text, char path[OS_PATH_BYTES], err *e) {
    char exe[2048];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = 0;
    char *slash = strrchr(exe, '/');
    if (slash)
        *slash = 0;
    TRY(os_join(path, exe, "../share/loam/catalogue.tsv", e));
    return os_read_regular(path, FILE_BYTES_MAX, text, e);
}

static err_code read_entry(str line, entry *x, err *e) {
    double millions;
    char number[2][32];
    size_t at = 0;
    for (int i = 0; i < COLUMNS; i++) {
        ptrdiff_t tab = i + 1 < COLUMNS ? str_find(line, STR("\t"), at) : (ptrdiff_t)line.n;
        if (tab < 0)
            return err_set(e, ERR_FORMAT, "a line of %d columns where %d belong", i + 1, COLUMNS);
        x->column[i] = str_sub(line, at, (size_t)tab);
        at = (size_t)tab + 1;
    }
    snprintf(number[0], sizeof number[0], "%.*s", STR_ARG(x->column[OPENNESS]));
    snprintf(number[1], sizeof number[1], "%.*s", STR_ARG(x->column[PARAMETERS]));
    TRY(parse_int("openness", number[0], 1, 3, &x->openness, e));
    TRY(parse_real("parameters", number[1], 0.001, 1e7, &millions, e));
    uint64_t memory = os_memory_bytes();
    x->bytes = (uint64_t)(millions * 2e6);
    x->memory = offer_memory_bytes(x->bytes);
    x->fits = memory == 0 || x->memory <= memory;
    return ERR_OK;
}

static void print_text(const entry *x, size_t *n) {
    if ((*n)++ == 0)
        out_printf("%-44s %10s %9s %9s  %-11s %s\n", "reference", "parameters", "download", "memory", "licence",
                   "open");
    char parameters[32];
    snprintf(parameters, sizeof parameters, "%.*s M", STR_ARG(x->column[PARAMETERS]));
    out_printf("%-44.*s %10s %9s %9s  %-11.*s %s%s\n", STR_ARG(x->column[REFERENCE]), parameters,
               amount_bytes((double)x->bytes).text, amount_bytes((double)x->memory).text, STR_ARG(x->column[LICENCE]),
               openness_text[x->openness], x->fits ? "" : " (does not fit this machine)");
}

static void print_json(js_out *j, const entry *x) {
    static const char *const keys[COLUMNS] = {
        [REFERENCE] = "reference", [FAMILY] = "family", [LICENCE] = "licence", [SOURCES] = "sources"};
    js_begin(j, '{');
    for (int i = 0; i < COLUMNS; i++)
        if (keys[i])
            js_put_text(j, keys[i], x->column[i]);
    js_put_int(j, "openness", x->openness);
    js_put_int(j, "download_bytes", (int64_t)x->bytes);
    js_put_int(j, "memory_bytes", (int64_t)x->memory);
    js_key(j, "fits");
    js_flag(j, x->fits);
    js_end(j, '}');
}

static err_code print_all(str text, bool all, js_out *j, err *e) {
    size_t n = 0;
    for (size_t at = 0, line = 1; at < text.n; line++) {
        ptrdiff_t end = str_find(text, STR("\n"), at);
        str s = str_sub(text, at, end < 0 ? text.n : (size_t)end);
        at = end < 0 ? text.n : (size_t)end + 1;
        entry x;
        if (s.n == 0 || *s.p == '#')
            continue;
        err_code code = read_entry(s, &x, e);
        if (code != ERR_OK)
            return err_in(e, code, "line %zu", line);
        if (j && (x.fits || all))
            print_json(j, &x);
        else if (!j && (x.fits || all))
            print_text(&x, &n);
    }
    return ERR_OK;
}

err_code catalogue_print(bool all, bool json, err *e) {
    strbuf text = {0};
    char path[OS_PATH_BYTES];
    js_out j = {.e = e};
    err_code code = read_file(&text, path, e);
    if (code == ERR_OK && json)
        js_begin(&j, '[');
    if (code == ERR_OK) {
        code = print_all(strbuf_str(&text), all, json ? &j : NULL, e);
        if (code != ERR_OK)
            err_in(e, code, "%s", path);
    }
    strbuf_fini(&text);
    if (code == ERR_OK && json) {
        js_end(&j, ']');
        return js_print(&j);
    }
    strbuf_fini(&j.text);
    if (code == ERR_OK)
        out_note("loam pull REFERENCE fetches one; a quantised GGUF file of it needs about a third of this");
    return code;
}
