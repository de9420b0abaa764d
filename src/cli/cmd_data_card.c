/* loam data card: what a data set is made of, for catalogues and loaders of data sets. */
#include <string.h>

#include "cli/data.h"
#include "store/croissant.h"

typedef struct {
    common_values common;
    const char *name, *description, *url, *creator, *date, *release, *file, *jsonl;
    int64_t rows;
} values;

static const values defaults = {.common = COMMON_DEFAULTS, .rows = CROISSANT_ROWS};

#define AT(field) offsetof(values, field)
static const option own_options[] = {
    {"name", 0, OPT_TEXT, "TEXT", "the data set's name, instead of the file's", AT(name), 0, 0, NULL},
    {"description", 0, OPT_TEXT, "TEXT", "what it is, instead of a sentence with its numbers", AT(description), 0, 0,
     NULL},
    {"creator", 0, OPT_TEXT, "NAME", "who made it", AT(creator), 0, 0, NULL},
    {"url", 0, OPT_TEXT, "URL", "its page", AT(url), 0, 0, NULL},
    {"date", 0, OPT_TEXT, "YYYY-MM-DD", "when it was published", AT(date), 0, 0, NULL},
    {"release", 0, OPT_TEXT, "N.N.N", "its version (default 1.0.0); the digest's first digits are put behind it",
     AT(release), 0, 0, NULL},
    {"file", 0, OPT_TEXT, "URL",
     "where the file will be found: a URL, or a path from the card's folder (default: its "
     "own name)",
     AT(file), 0, 0, NULL},
    {"jsonl", 0, OPT_TEXT, "URL",
     "where what `loam data export` prints will be found (default: the file's name with "
     ".jsonl)",
     AT(jsonl), 0, 0, NULL},
    {"rows", 'n', OPT_INT, "N", "at most N licences, sources, files and removals", AT(rows), 1, CROISSANT_ROWS_MAX,
     NULL},
    {0},
};
#undef AT
static const option_group groups[] = {{"Card", own_options, 0}, COMMON_GROUP, {0}};

/* `text` in the form of `form`: 9 stands for a digit, 1 for one or more, else the character itself. */
static bool has_form(const char *text, const char *form) {
    for (; *form; form++) {
        bool digit = *text >= '0' && *text <= '9';
        if (*form == '9' || *form == '1' ? !digit : *text != *form)
            return false;
        text++;
        while (*form == '1' && *text >= '0' && *text <= '9')
            text++;
    }
    return !*text;
}

static err_code check(const values *v, err *e) {
    if (v->date && !has_form(v->date, "9999-99-99"))
        return err_set(e, ERR_USAGE, "--date: \"%.40s\" is no date like 2026-01-31", v->date);
    if (v->release && (!has_form(v->release, "1.1.1") || strlen(v->release) > 40))
        return err_set(e, ERR_USAGE, "--release: \"%.40s\" is no version like 1.0.0", v->release);
    return ERR_OK;
}

static void step(void *ctx, uint64_t done, uint64_t total) { progress_step(ctx, done, total); }

static err_code run(const void *p, const arguments *args, err *e) {
    const values *v = p;
    progress bar = {.what = "reading"};
    dataset *d;
    strbuf card = {0};
    TRY(check(v, e));
    TRY(dataset_open(&d, args->arg[0], e));
    dataset_set_stop(d, &interrupt_flag);
    interrupt_catch();
    croissant_options o = {.name = v->name,
                           .description = v->description,
                           .url = v->url,
                           .creator = v->creator,
                           .date = v->date,
                           .version = v->release,
                           .file = v->file,
                           .jsonl = v->jsonl,
                           .rows = (size_t)v->rows,
                           .progress = step,
                           .progress_ctx = &bar};
    err_code code = croissant_write(d, &o, &card, e);
    progress_end(&bar);
    if (code == ERR_OK)
        out_text(strbuf_str(&card));
    strbuf_fini(&card);
    dataset_close(d);
    return code;
}

const command command_data_card = {
    .name = "data card",
    .args = "D.db",
    .summary = "what it is made of, as Croissant JSON-LD",
    .details =
        "Croissant 1.0 is the format of MLCommons for describing data sets; catalogues index it, and its loaders read "
        "the documents through it when the card, D.db and D.jsonl (what `loam data export D.db` prints) stand in one "
        "folder. The card tells the fields of a document, the licences and sources with how many documents each has, "
        "every file that was read with its SHA-256, what was dropped, and how to cite it all. It depends on the data "
        "set and the options alone.\n\n"
        "  loam data card D.db > D.json && loam data export D.db > D.jsonl\n"
        "  loam data card D.db --name \"Old poems\" --creator \"A. Reader\" --date 2026-01-31 --url "
        "https://example.org",
    .n_args_min = 1,
    .n_args_max = 1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run,
};
