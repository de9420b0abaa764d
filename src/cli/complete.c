/* complete: see complete.h. */
#include "cli/complete.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/evaluate.h"
#include "cli/kept.h"
#include "cli/load.h"
#include "cli/out.h"
#include "model/mix.h"

/* ---- one offer ---- */

typedef struct {
    str typed;  /* the word at the cursor, or what stands behind "--name=" in it */
    str before; /* "--name=", or empty */
} cursor;

static void offer(const cursor *c, const char *word, const char *what) {
    if (str_starts(str_from(word), c->typed))
        out_printf("%.*s%s\t%s\n", STR_ARG(c->before), word, what);
}

static void offer_list(const cursor *c, const char *const *words, const char *what) {
    for (; *words; words++)
        offer(c, *words, what);
}

/* ---- what the words of usage lines mean ---- */

static err_code nothing(const cursor *c, const char *more, err *e) {
    (void)c, (void)more, (void)e;
    return ERR_OK;
}

static err_code files(const cursor *c, const char *ending, err *e) {
    (void)c, (void)e;
    out_printf(":files%s%s\n", *ending ? " " : "", ending);
    return ERR_OK;
}

static err_code folders(const cursor *c, const char *more, err *e) {
    (void)c, (void)more, (void)e;
    out_text(STR(":folders\n"));
    return ERR_OK;
}

static err_code offer_kept(void *ctx, const registry_model *m, err *e) {
    char name[REGISTRY_NAME_MAX + 1];
    (void)e;
    snprintf(name, sizeof name, "%.*s", m->name.n <= REGISTRY_NAME_MAX ? (int)m->name.n : 0, m->name.p);
    offer(ctx, name, amount_bytes((double)m->bytes).text);
    return ERR_OK;
}

/* Names in the registry. */
static err_code kept(const cursor *c, const char *more, err *e) {
    registry *r;
    cursor copy = *c;
    (void)more;
    TRY(kept_open(&r, false, e));
    err_code code = registry_each(r, offer_kept, &copy, e);
    registry_close(r);
    return code;
}

static err_code models(const cursor *c, const char *more, err *e) {
    load_names shipped;
    load_shipped(&shipped);
    for (size_t i = 0; i < shipped.n; i++)
        offer(c, shipped.name[i], "comes with Loam");
    TRY(kept(c, more, e));
    return files(c, ".gguf", e);
}

static err_code data(const cursor *c, const char *more, err *e) {
    (void)more;
    offer(c, "homeworld:", "the built-in corpus: docs=N,seed=S,mix=tiny");
    return files(c, ".db", e);
}

static err_code templates(const cursor *c, const char *more, err *e) {
    (void)more, (void)e;
    for (const chat_builtin *b = chat_builtins; b->name; b++)
        offer(c, b->name, b->summary);
    return ERR_OK;
}

static err_code tasks(const cursor *c, const char *more, err *e) {
    (void)more, (void)e;
    offer_list(c, eval_task_names, "task");
    return ERR_OK;
}

/* mix_names() is a list with commas. */
static err_code types(const cursor *c, const char *more, err *e) {
    (void)more, (void)e;
    for (const char *p = mix_names(); *p; p += strspn(p, ", ")) {
        char name[32];
        size_t n = strcspn(p, ",");
        snprintf(name, sizeof name, "%.*s", (int)n, p);
        offer(c, name, "type");
        p += n;
    }
    return ERR_OK;
}

static err_code offer_commands(const cursor *c, const command *const *list) {
    for (; list && *list; list++)
        offer(c, command_last_word(*list), (*list)->summary);
    return ERR_OK;
}

static err_code all_commands(const cursor *c, const char *more, err *e) {
    (void)more, (void)e;
    return offer_commands(c, commands);
}

/* Every word in capitals that a usage line or an option's value has, so that none is forgotten (test_complete.c). */
static const struct {
    const char *word;
    err_code (*offers)(const cursor *c, const char *more, err *e);
    const char *more;
} meanings[] = {
    {"M", models, ""},
    {"M2", models, ""},
    {"NAME", kept, ""},
    {"COMMAND", all_commands, ""},
    {"TASK", tasks, ""},
    {"TYPE", types, ""},
    {"RUN", folders, ""},
    {"FOLDER", folders, ""},
    {"DIR", folders, ""},
    {"OUT", folders, ""},
    {"OUT_FOLDER", folders, ""},
    {"A", folders, ""},
    {"B", folders, ""},
    {"FILE", files, ""},
    {"PATH", files, ""},
    {"SOURCE", files, ""},
    {"DATA", files, ""},
    {"F", files, ""},
    {"K", files, ".pem"},
    {"P", files, ".pub"},
    {"T", files, ""},
    {"D.db", files, ".db"},
    {"DATA.db", files, ".db"},
    {"OUT.db", files, ".db"},
    {"D", data, ""},
    {"OUT.gguf", files, ".gguf"},
    {"FILE.svg", files, ".svg"},
    {"TEMPLATE", templates, ""},
    /* what nobody can know but who types it */
    {"A[:SCALE]", files, ""},
    {"TYPE,TYPE", nothing, ""}, /* TYPE offers them */
    {"REF", files, ".gguf"},
    {"OTHER", nothing, ""},
    {"TEXT", nothing, ""},
    {"PROMPT", nothing, ""},
    {"ANSWER", nothing, ""},
    {"IDS", nothing, ""},
    {"ID", nothing, ""},
    {"SHA256", nothing, ""},
    {"I,J,K", nothing, ""},
    {"JSON", nothing, ""},
    {"LIST", nothing, ""},
    {"MARKS", nothing, ""},
    {"N.N.N", nothing, ""},
    {"QUERY", nothing, ""},
    {"SIZE", nothing, ""},
    {"SPDX", nothing, ""},
    {"SQL", nothing, ""},
    {"URL", nothing, ""},
    {"YYYY-MM-DD", nothing, ""},
    {"ADDR", nothing, ""},
    {"GLOB", nothing, ""},
    {"ORIGIN", nothing, ""},
    {"TOKEN", nothing, ""},
    {"WHO", nothing, ""},
};
enum { N_MEANINGS = sizeof meanings / sizeof *meanings };

/* The part of s before `end`, which is cut off with it. */
static str next_part(str *s, str end) {
    ptrdiff_t at = str_find(*s, end, 0);
    str part = str_sub(*s, 0, at < 0 ? s->n : (size_t)at);
    *s = at < 0 ? (str){0} : str_sub(*s, (size_t)at + end.n, s->n);
    return part;
}

/* "[ID" to "ID", "SOURCE..." to "SOURCE". */
static str bare(str word) {
    bool optional = str_starts(word, STR("["));
    while (str_starts(word, STR("[")))
        word = str_sub(word, 1, word.n);
    while (str_ends(word, STR(".")) || (optional && str_ends(word, STR("]"))))
        word.n--;
    return word;
}

static bool is_literal(str part) { return part.n > 0 && (part.p[0] == '-' || (part.p[0] >= 'a' && part.p[0] <= 'z')); }

static const char *is_meant(str part) { return part.n == 1 && part.p[0] == '-' ? "standard input" : ""; }

static err_code offer_part(const cursor *c, str part, err *e) {
    char word[64];
    if (is_literal(part) && part.n < sizeof word) {
        snprintf(word, sizeof word, "%.*s", STR_ARG(part));
        offer(c, word, is_meant(part));
    }
    for (size_t i = 0; i < N_MEANINGS; i++)
        if (str_is(part, meanings[i].word))
            return meanings[i].offers(c, meanings[i].more, e);
    return ERR_OK;
}

/* One of "DATA.db|RUN". */
static err_code offer_word(const cursor *c, str word, err *e) {
    for (str rest = bare(word); rest.n > 0;)
        TRY(offer_part(c, bare(next_part(&rest, STR("|"))), e));
    return ERR_OK;
}

bool complete_knows(str usage_word) {
    for (str rest = bare(usage_word); rest.n > 0;) {
        str part = bare(next_part(&rest, STR("|")));
        bool known = is_literal(part);
        for (size_t i = 0; i < N_MEANINGS && !known; i++)
            known = str_is(part, meanings[i].word);
        if (!known)
            return false;
    }
    return true;
}

/* ---- where the cursor is ---- */

static bool takes_value(const option *o) { return o && o->kind != OPT_FLAG && o->kind != OPT_UNFLAG; }

/* The option of "--name", "--name=..." or "-x"; NULL: none, or "-xVALUE". */
static const option *option_of(const command *c, str word) {
    size_t at;
    if (str_starts(word, STR("--"))) {
        str name = str_sub(word, 2, word.n);
        return options_find(c->groups, next_part(&name, STR("=")), &at);
    }
    for (const option_group *g = c->groups; g->rows && word.n == 2; g++)
        for (const option *o = g->rows; o->name; o++)
            if (o->letter == word.p[1])
                return o;
    return NULL;
}

typedef struct {
    const option *waits; /* its value comes next; NULL: none does */
    int n_args;
    bool options_ended;
} place;

static place walk(const command *c, const char *const *word, size_t n) {
    place p = {0};
    for (size_t i = 0; i < n; i++) {
        str w = str_from(word[i]);
        bool is_option = !p.options_ended && w.n > 1 && w.p[0] == '-';
        if (p.waits)
            p.waits = NULL;
        else if (is_option && str_is(w, "--"))
            p.options_ended = true;
        else if (is_option) {
            const option *o = option_of(c, w);
            p.waits = takes_value(o) && str_find(w, STR("="), 0) < 0 ? o : NULL;
        } else
            p.n_args++;
    }
    return p;
}

static err_code offer_value(const cursor *c, const option *o, err *e) {
    if (o->kind == OPT_CHOICE)
        offer_list(c, o->choices, "");
    else if (strcmp(o->name, "template") == 0)
        return offer_word(c, STR("TEMPLATE|FILE"), e);
    else if ((o->kind == OPT_TEXT || o->kind == OPT_LIST) && strcmp(o->arg, "NAME") != 0)
        return offer_word(c, str_from(o->arg), e);
    return ERR_OK;
}

static void offer_options(const cursor *c, const option_group *groups) {
    char name[64];
    bool off = str_starts(c->typed, STR("--no-")); /* forms that are asked for by their beginning alone */
    for (const option_group *g = groups; g->rows; g++)
        for (const option *o = g->rows; o->name; o++) {
            snprintf(name, sizeof name, "--%s", o->name);
            offer(c, name, o->help);
            snprintf(name, sizeof name, "--no-%s", o->name);
            if (off && o->kind == OPT_FLAG)
                offer(c, name, o->help);
        }
}

/* The i-th argument by the usage line: "index DATA.db | DATA.db|RUN TEXT|-" has two ways; the last word may repeat. */
static err_code offer_argument(const cursor *c, const command *cmd, int i, err *e) {
    for (str ways = str_from(cmd->args); ways.n > 0;) {
        str way = next_part(&ways, STR(" | ")), word = {0};
        int at = -1;
        while (way.n > 0 && at < i) {
            word = next_part(&way, STR(" "));
            if (str_starts(word, STR("--"))) /* "M --ids I,J,K": an option that must be there */
                next_part(&way, STR(" "));
            else
                at++;
        }
        if (at == i || str_find(word, STR("..."), 0) >= 0)
            TRY(offer_word(c, word, e));
    }
    return ERR_OK;
}

static err_code complete_command(const command *cmd, const char *const *word, size_t n, err *e) {
    str typed = str_from(word[n - 1]);
    place p = walk(cmd, word, n - 1);
    cursor c = {.typed = typed};
    if (p.waits)
        return offer_value(&c, p.waits, e);
    if (p.options_ended || !str_starts(typed, STR("-")))
        return offer_argument(&c, cmd, p.n_args, e);
    ptrdiff_t equals = str_find(typed, STR("="), 0);
    const option *o = equals < 0 ? NULL : option_of(cmd, typed);
    if (!takes_value(o)) {
        offer_options(&c, cmd->groups);
        return ERR_OK;
    }
    c.before = str_sub(typed, 0, (size_t)equals + 1);
    c.typed = str_sub(typed, (size_t)equals + 1, typed.n);
    return offer_value(&c, o, e);
}

err_code complete_print(const char *const *word, size_t n, err *e) {
    static const char *const first[] = {"--help", "--version", NULL};
    cursor c = {.typed = str_from(word[n - 1])};
    if (n == 1) {
        if (str_starts(c.typed, STR("-")))
            offer_list(&c, first, "");
        return offer_commands(&c, commands);
    }
    const command *cmd = command_find(str_from(word[0]));
    const command *about = n == 3 && cmd == &command_help ? command_find(str_from(word[1])) : NULL;
    if (about)
        return offer_commands(&c, about->subs); /* loam help data ... */
    if (cmd && cmd->subs) {
        if (n == 2)
            return offer_commands(&c, cmd->subs);
        cmd = command_find_sub(cmd, str_from(word[1]));
        word++, n--;
    }
    return cmd ? complete_command(cmd, word + 1, n - 1, e) : ERR_OK;
}
