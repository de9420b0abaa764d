/* loam data build: documents from files into a data set. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "cli/data.h"
#include "cli/out.h"
#include "cli/tracer.h"
#include "store/build.h"

enum { NOTES_SHOWN = 10, SPLIT_BYTES_DEFAULT = 4096 };

typedef struct {
    common_values common;
    const char *source, *licence, *topic, *kind, *format, *split, *invalid, *duplicates, *root;
    int64_t split_bytes, min_bytes;
    double near;
    bool append, force, skip_bad, index;
    option_list include, exclude;
} values;

static const values defaults = {
    .common = COMMON_DEFAULTS,
    .format = "auto",
    .split = "whole",
    .invalid = "repair",
    .duplicates = "mark",
    .min_bytes = 1,
    .near = 0.8,
};

static const char *const formats[] = {"auto", "jsonl", "text", NULL};
static const char *const splits[] = {"whole", "lines", "paragraphs", "bytes", NULL};
static const char *const invalids[] = {"repair", "skip", NULL};
static const char *const duplicates[] = {"mark", "drop", "drop-near", NULL};

#define AT(field) offsetof(values, field)
static const option input_options[] = {
    {"append", 'a', OPT_FLAG, NULL, "add to the data set that is there", AT(append), 0, 0, NULL},
    {"force", 0, OPT_FLAG, NULL, "replace a data set even if documents were dropped from it", AT(force), 0, 0, NULL},
    {"format", 0, OPT_CHOICE, "FORM", "what the files hold, whatever their names say", AT(format), 0, 0, formats},
    {"split", 's', OPT_CHOICE, "HOW", "what is one document of a text file", AT(split), 0, 0, splits},
    {"split-bytes", 0, OPT_INT, "N",
     "cut text files into documents of at most N bytes, after a paragraph, line or word (default 4096 with --split "
     "bytes)",
     AT(split_bytes), 0, DATASET_TEXT_BYTES_MAX, NULL},
    {"include", 0, OPT_LIST, "GLOB", "of folders and packages only files like this: '*.txt'; may be repeated",
     AT(include), 0, 0, NULL},
    {"exclude", 0, OPT_LIST, "GLOB", "of folders and packages no files like this; may be repeated", AT(exclude), 0, 0,
     NULL},
    {"skip-bad", 0, OPT_FLAG, NULL, "go on after malformed lines, files and folders that cannot be read", AT(skip_bad),
     0, 0, NULL},
    {"index", 0, OPT_FLAG, NULL, "make the index for loam trace, too", AT(index), 0, 0, NULL},
    {"root", 0, OPT_TEXT, "DIR", "where apt: looks for packages instead of /", AT(root), 0, 0, NULL},
    {0},
};
static const option text_options[] = {
    {"licence", 0, OPT_TEXT, "SPDX", "licence of documents that do not name theirs", AT(licence), 0, 0, NULL},
    {"source", 0, OPT_TEXT, "NAME",
     "source of documents that do not name theirs, instead of the file's or folder's name", AT(source), 0, 0, NULL},
    {"topic", 0, OPT_TEXT, "NAME", "topic of documents that do not name theirs", AT(topic), 0, 0, NULL},
    {"kind", 0, OPT_TEXT, "NAME", "kind of documents that do not name theirs", AT(kind), 0, 0, NULL},
    {"min-bytes", 0, OPT_INT, "N", "leave out shorter texts", AT(min_bytes), 0, DATASET_TEXT_BYTES_MAX, NULL},
    {"invalid", 0, OPT_CHOICE, "HOW", "texts with ill-formed UTF-8: replace it by U+FFFD, or leave them out",
     AT(invalid), 0, 0, invalids},
    {"duplicates", 'd', OPT_CHOICE, "HOW",
     "mark them, drop texts that are there already, or drop nearly equal ones, too", AT(duplicates), 0, 0, duplicates},
    {"near", 0, OPT_REAL, "S", "texts are nearly equal from this similarity on (0.5 to 1); 0: do not look for them",
     AT(near), 0, 1, NULL},
    {0},
};
#undef AT

static const option_group groups[] = {{"Reading", input_options, 0}, {"Documents", text_options, 0}, COMMON_GROUP, {0}};

/* ---- notes ---- */

typedef struct {
    bool all;
    int64_t n;
} notes;

static void note(void *ctx, const char *text) {
    notes *n = ctx;
    if (n->n++ < NOTES_SHOWN || n->all)
        out_note("%s", text);
}

static size_t choice_of(const char *const *list, const char *word) {
    size_t i = 0;
    while (list[i] && list[i] != word)
        i++;
    return i;
}

/* ---- results ---- */

static const struct {
    const char *name;
    size_t at;
} left_out[] = {
#define ROW(field) \
    { #field, offsetof(build_result, field) }
    ROW(empty), ROW(brief), ROW(binary), ROW(encoding), ROW(malformed), ROW(duplicate), ROW(near), ROW(removed),
#undef ROW
};
enum { N_LEFT_OUT = sizeof left_out / sizeof *left_out };

static int64_t count_at(const build_result *r, size_t i) {
    int64_t n;
    memcpy(&n, (const char *)r + left_out[i].at, sizeof n);
    return n;
}

static err_code print_json(const build_result *r, double seconds, err *e) {
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_put_int(&j, "documents", r->documents);
    js_put_int(&j, "bytes", r->bytes);
    js_put_int(&j, "added", r->added);
    js_put_int(&j, "files", r->files);
    js_put_int(&j, "read_bytes", r->read_bytes);
    js_put_int(&j, "repaired", r->repaired);
    js_key(&j, "left_out");
    js_begin(&j, '{');
    for (size_t i = 0; i < N_LEFT_OUT; i++)
        js_put_int(&j, left_out[i].name, count_at(r, i));
    js_end(&j, '}');
    js_put_int(&j, "exact_duplicates", r->marked_duplicate);
    js_put_int(&j, "near_duplicates", r->marked_near);
    js_put_hash(&j, "digest", r->digest);
    js_key(&j, "seconds");
    js_real(&j, seconds, 4);
    js_end(&j, '}');
    return js_print(&j);
}

static err_code print_text(const build_result *r, err *e) {
    strbuf line = {0};
    err_code code = ERR_OK;
    for (size_t i = 0; i < N_LEFT_OUT && code == ERR_OK; i++)
        if (count_at(r, i))
            code = strbuf_addf(&line, e, "%s%" PRId64 " %s", line.n ? ", " : "", count_at(r, i), left_out[i].name);
    char hex[65];
    hash_hex(r->digest, hex);
    out_printf("documents   %" PRId64, r->documents);
    if (r->added != r->documents)
        out_printf(" (%" PRId64 " new)", r->added);
    out_printf("\nbytes       %" PRId64 "\n", r->bytes);
    if (line.n)
        out_printf("left out    %.*s\n", STR_ARG(strbuf_str(&line)));
    if (r->repaired)
        out_printf("repaired    %" PRId64 "\n", r->repaired);
    out_printf("duplicates  %" PRId64 " exact, %" PRId64 " near\ndigest      %s\n", r->marked_duplicate, r->marked_near,
               hex);
    strbuf_fini(&line);
    return code;
}

/* ---- running ---- */

static err_code check(const values *v, const arguments *args, err *e) {
    if (v->near > 0 && v->near < 0.5)
        return err_set(e, ERR_USAGE, "--near: %g is below 0.5 (0 looks for none)", v->near);
    if (v->duplicates == duplicates[BUILD_DROP_NEAR] && v->near == 0)
        return err_set(e, ERR_USAGE, "--duplicates drop-near needs a similarity (--near)");
    if (v->split_bytes > 0 && v->split_bytes < 16)
        return err_set(e, ERR_USAGE, "--split-bytes: fewer than 16 bytes are no document");
    if (str_starts(str_from(args->arg[0]), STR("apt:")) || str_is(str_from(args->arg[0]), "-"))
        return err_set(e, ERR_USAGE, "the data set's file comes first: loam data build OUT.db SOURCE...");
    return ERR_OK;
}

static build_options options_of(const values *v, notes *n, data_progress *bar) {
    build_options o = {
        .sources = {.source = str_from(v->source),
                    .licence = str_from(v->licence),
                    .format = (source_format)choice_of(formats, v->format),
                    .include = v->include.item,
                    .n_include = v->include.n,
                    .exclude = v->exclude.item,
                    .n_exclude = v->exclude.n,
                    .root = v->root,
                    .skip_bad = v->skip_bad,
                    .note = note,
                    .note_ctx = n},
        .topic = str_from(v->topic),
        .kind = str_from(v->kind),
        .split = (split_mode)choice_of(splits, v->split),
        .split_bytes = v->split_bytes ? (size_t)v->split_bytes : SPLIT_BYTES_DEFAULT,
        .min_bytes = (size_t)v->min_bytes,
        .invalid = (build_invalid)choice_of(invalids, v->invalid),
        .duplicates = (build_duplicates)choice_of(duplicates, v->duplicates),
        .near = v->near,
        .append = v->append,
        .force = v->force,
        .progress = data_progress_step,
        .progress_ctx = bar,
        .stop = &interrupt_flag,
    };
    if (v->split_bytes > 0)
        o.split = SPLIT_BYTES;
    return o;
}

static err_code run_command(const void *p, const arguments *args, err *e) {
    const values *v = p;
    TRY(check(v, args, e));
    notes n = {.all = v->common.verbose};
    data_progress bar = {0};
    build_options o = options_of(v, &n, &bar);
    build_result r;
    TRY(pool_open(&o.workers, (int)v->common.threads, e));
    interrupt_catch();
    double began = os_now();
    err_code code = dataset_build(args->arg[0], args->arg + 1, (size_t)args->n - 1, &o, &r, e);
    double seconds = os_now() - began;
    data_progress_end(&bar);
    suffix_totals indexed;
    if (code == ERR_OK && v->index)
        code = tracer_index_here(args->arg[0], 0, o.workers, &indexed, e);
    pool_close(o.workers);
    if (n.n > NOTES_SHOWN && !n.all)
        out_note("%" PRId64 " more notes like these (--verbose shows all; table files of the data set counts them)",
                 n.n - NOTES_SHOWN);
    TRY(code);
    if (v->common.verbose || err_is_terminal())
        out_note("%" PRId64 " files, %s in %.2f s, %s/s", r.files, amount_bytes((double)r.read_bytes).text, seconds,
                 amount_bytes((double)r.read_bytes / (seconds > 0 ? seconds : 1)).text);
    return v->common.json ? print_json(&r, seconds, e) : print_text(&r, e);
}

const command command_data_build = {
    .name = "data build",
    .args = "OUT.db SOURCE...",
    .summary = "make a data set of files, folders and Debian packages",
    .details =
        "A SOURCE is a file (JSON Lines by the name .jsonl, .ndjson or .json, else text), a folder (all files below "
        "it, in "
        "the order of their names; no symbolic links, no hidden files), apt:PACKAGE (the text files of an installed "
        "Debian package, with the licences from its copyright file), or - for standard input. Files may be packed by "
        "gzip "
        "or zstd.\n"
        "A line of JSON Lines is an object with the key text, and perhaps id, source, licence, topic, kind; other keys "
        "are "
        "kept as meta. A text is taken as it stands. What is empty, binary or no UTF-8 is left out and counted; a "
        "malformed line ends the build unless --skip-bad is given. Documents with the same text, and with nearly the "
        "same "
        "(by MinHash, verified), are marked.\n"
        "OUT.db is replaced when the new one is complete, and not before: an interrupted build changes nothing. The "
        "same sources give the same digest on every machine.\n"
        "With --json: {\"documents\", \"bytes\", \"added\", \"left_out\", \"digest\", ...}.\n\n"
        "  loam data build stories.db stories.jsonl --licence CC0-1.0\n"
        "  loam data build books.db books/ --split paragraphs --duplicates drop-near\n"
        "  loam data build bible.db apt:bible-kjv-text --split-bytes 2000\n"
        "  loam data build all.db --append more.txt.zst --licence CC-BY-4.0",
    .n_args_min = 2,
    .n_args_max = -1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_command,
};
