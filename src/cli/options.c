/* options: tables of options to parsing and help; see options.h. */
#include "cli/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_MAX = 48, WORDS_MAX = 128 };

/* ---- values ---- */

static bool looks_decimal(const char *text, bool real) {
    const char *p = text + (*text == '-' || *text == '+');
    bool digit = false;
    for (; *p; p++) {
        bool d = *p >= '0' && *p <= '9';
        if (!d && !(real && strchr(".eE+-", *p)))
            return false;
        digit |= d;
    }
    return digit;
}

err_code parse_int(const char *what, const char *text, int64_t min, int64_t max, int64_t *out, err *e) {
    if (!looks_decimal(text, false))
        return err_set(e, ERR_USAGE, "%s: \"%s\" is not a whole number", what, text);
    errno = 0;
    long long x = strtoll(text, NULL, 10);
    if (errno == ERANGE || x < min || x > max)
        return err_set(e, ERR_USAGE, "%s: %s is outside %" PRId64 " to %" PRId64, what, text, min, max);
    *out = x;
    return ERR_OK;
}

err_code parse_real(const char *what, const char *text, double min, double max, double *out, err *e) {
    char *end = NULL;
    double x = looks_decimal(text, true) ? strtod(text, &end) : 0;
    if (!end || *end)
        return err_set(e, ERR_USAGE, "%s: \"%s\" is not a number", what, text);
    if (!(x >= min && x <= max))
        return err_set(e, ERR_USAGE, "%s: %s is outside %.15g to %.15g", what, text, min, max);
    *out = x;
    return ERR_OK;
}

static err_code set_choice(const option *o, const char *shown, const char *text, const char **field, err *e) {
    strbuf list = {0};
    for (size_t i = 0; o->choices[i]; i++) {
        if (strcmp(o->choices[i], text) == 0) {
            *field = o->choices[i];
            strbuf_fini(&list);
            return ERR_OK;
        }
        if (strbuf_addf(&list, e, "%s%s", i ? ", " : "", o->choices[i]) != ERR_OK)
            break;
    }
    err_code code = err_set(e, ERR_USAGE, "%s: \"%s\" is none of %.*s", shown, text, STR_ARG(strbuf_str(&list)));
    strbuf_fini(&list);
    return code;
}

static err_code add_item(option_list *list, const char *shown, const char *text, err *e) {
    if (list->n == OPTION_LIST_MAX)
        return err_set(e, ERR_USAGE, "%s: given more than %d times", shown, OPTION_LIST_MAX);
    list->item[list->n++] = str_from(text);
    return ERR_OK;
}

err_code options_set(const option *o, const char *shown, const char *text, void *field, err *e) {
    switch (o->kind) {
    case OPT_FLAG:
    case OPT_UNFLAG:
        if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0)
            return err_set(e, ERR_USAGE, "%s: \"%s\" is neither on nor off", shown, text);
        *(bool *)field = (strcmp(text, "on") == 0) == (o->kind == OPT_FLAG);
        return ERR_OK;
    case OPT_INT:
        return parse_int(shown, text, (int64_t)o->min, (int64_t)o->max, field, e);
    case OPT_REAL:
        return parse_real(shown, text, o->min, o->max, field, e);
    case OPT_TEXT:
        *(const char **)field = text;
        return ERR_OK;
    case OPT_LIST:
        return add_item(field, shown, text, e);
    case OPT_CHOICE:
        return set_choice(o, shown, text, field, e);
    }
    return err_set(e, ERR_USAGE, "%s: an option of no kind", shown);
}

/* ---- look-up ---- */

static bool is_switch(const option *o) { return o->kind == OPT_FLAG || o->kind == OPT_UNFLAG; }

static bool same_name(const char *name, str given) {
    if (strlen(name) != given.n)
        return false;
    for (size_t i = 0; i < given.n; i++)
        if (name[i] != (given.p[i] == '_' ? '-' : given.p[i]))
            return false;
    return true;
}

static const option *find(const option_group *groups, str name, char letter, size_t *at) {
    for (const option_group *g = groups; g->rows; g++)
        for (const option *o = g->rows; o->name; o++)
            if (letter ? o->letter == letter : same_name(o->name, name)) {
                *at = g->at + o->at;
                return o;
            }
    return NULL;
}

const option *options_find(const option_group *groups, str name, size_t *at) { return find(groups, name, 0, at); }

/* Edits between two words: optimal string alignment, three rows of the table at a time. */
static size_t distance(str a, const char *b) {
    size_t m = strlen(b), row[3][WORD_MAX + 1];
    if (a.n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    size_t *above2 = row[0], *above = row[1], *now = row[2];
    for (size_t j = 0; j <= m; j++)
        above[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = above[j - 1] + (a.p[i - 1] != b[j - 1]);
            best = above[j] + 1 < best ? above[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            bool swapped = i > 1 && j > 1 && a.p[i - 1] == b[j - 2] && a.p[i - 2] == b[j - 1];
            if (swapped && above2[j - 2] + 1 < best)
                best = above2[j - 2] + 1;
            now[j] = best;
        }
        size_t *free_row = above2;
        above2 = above;
        above = now;
        now = free_row;
    }
    return above[m];
}

const char *nearest_word(str word, const char *const *words, size_t n) {
    const char *best = NULL;
    size_t bar = word.n < 3 ? 2 : word.n / 3 + 2; /* must be below it */
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, words[i]);
        /* A word typed short ("temperature" for "temp", "tok" for "tokenize") is near too. */
        if (word.n >= 3 && (strncmp(words[i], word.p, word.n) == 0 || str_starts(word, str_from(words[i]))))
            d = d < 2 ? d : 2;
        if (d < bar && d < strlen(words[i])) {
            bar = d;
            best = words[i];
        }
    }
    return best;
}

static err_code unknown(const option_group *groups, str name, err *e) {
    const char *words[WORDS_MAX];
    size_t n = 0;
    for (const option_group *g = groups; g->rows; g++)
        for (const option *o = g->rows; o->name && n < WORDS_MAX; o++)
            words[n++] = o->name;
    const char *near = nearest_word(name, words, n);
    if (near)
        return err_set(e, ERR_USAGE, "no option --%.*s (did you mean --%s?)", STR_ARG(name), near);
    return err_set(e, ERR_USAGE, "no option --%.*s (--help lists them)", STR_ARG(name));
}

/* ---- parsing ---- */

typedef struct {
    const option_group *groups;
    int argc, i;
    char **argv;
    char *values;
    err *e;
} parser;

/* The value of an option: what stands after '=' or the letter, else the next word. */
static err_code value_of(parser *p, const char *shown, const option *o, const char *attached, const char **out) {
    *out = attached;
    if (attached)
        return ERR_OK;
    if (p->i == p->argc)
        return err_set(p->e, ERR_USAGE, "%s: its value %s is missing", shown, o->arg);
    *out = p->argv[p->i++];
    return ERR_OK;
}

static err_code parse_long(parser *p, const char *word) {
    const char *equals = strchr(word, '=');
    str name = {word + 2, equals ? (size_t)(equals - word) - 2 : strlen(word) - 2};
    size_t at;
    const option *o = find(p->groups, name, 0, &at);
    bool off = false;
    if (!o && str_starts(name, STR("no-"))) {
        o = find(p->groups, str_sub(name, 3, name.n), 0, &at);
        off = o && o->kind == OPT_FLAG;
        o = off ? o : NULL;
    }
    if (!o)
        return unknown(p->groups, name, p->e);
    char shown[WORD_MAX + 4];
    snprintf(shown, sizeof shown, "--%s", o->name);
    if (is_switch(o)) {
        if (equals)
            return err_set(p->e, ERR_USAGE, "%s: takes no value", shown);
        *(bool *)(p->values + at) = (o->kind == OPT_FLAG) != off;
        return ERR_OK;
    }
    const char *text;
    TRY(value_of(p, shown, o, equals ? equals + 1 : NULL, &text));
    return options_set(o, shown, text, p->values + at, p->e);
}

static err_code parse_short(parser *p, const char *word) {
    for (const char *c = word + 1; *c; c++) {
        size_t at;
        const option *o = find(p->groups, (str){0}, *c, &at);
        if (!o)
            return err_set(p->e, ERR_USAGE, "no option -%c (--help lists them)", *c);
        if (is_switch(o)) {
            *(bool *)(p->values + at) = o->kind == OPT_FLAG;
            continue;
        }
        char shown[] = {'-', *c, 0};
        const char *text;
        TRY(value_of(p, shown, o, c[1] ? c + 1 : NULL, &text));
        return options_set(o, shown, text, p->values + at, p->e);
    }
    return ERR_OK;
}

err_code options_parse(const option_group *groups, int argc, char **argv, void *values, arguments *args, err *e) {
    parser p = {.groups = groups, .argc = argc, .argv = argv, .values = values, .e = e};
    bool options = true;
    while (p.i < argc) {
        const char *word = argv[p.i++];
        if (options && strcmp(word, "--") == 0)
            options = false;
        else if (options && word[0] == '-' && word[1] == '-')
            TRY(parse_long(&p, word));
        else if (options && word[0] == '-' && word[1])
            TRY(parse_short(&p, word));
        else
            args->arg[args->n++] = word;
    }
    return ERR_OK;
}

/* ---- help ---- */

err_code fold_text(const char *text, int indent, int columns, strbuf *out, err *e) {
    int width = columns - indent > 20 ? columns - indent : 20, used = 0;
    for (const char *p = text; *p;) {
        if (*p == '\n') {
            TRY(strbuf_addc(out, '\n', e));
            used = 0;
            p++;
            continue;
        }
        int blanks = (int)strspn(p, " "), word = (int)strcspn(p + blanks, " \n");
        if (used > 0 && used + blanks + word > width) {
            TRY(strbuf_addc(out, '\n', e));
            used = 0;
        }
        if (used == 0) {
            TRY(strbuf_addf(out, e, "%*s", indent, ""));
            bool folded = p > text && p[-1] != '\n';
            p += folded ? blanks : 0; /* a line's own indentation stays */
            blanks = folded ? 0 : blanks;
        }
        TRY(strbuf_addf(out, e, "%.*s", blanks + word, p));
        used += blanks + word;
        p += blanks + word;
    }
    return strbuf_addc(out, '\n', e);
}

static bool untold(const option *o, double x) { return x < o->min || strstr(o->help, "default"); }

/* " (default X)" when the field holds something worth telling. */
static err_code add_default(const option *o, const void *field, strbuf *out, err *e) {
    switch (o->kind) {
    case OPT_INT: {
        int64_t x = *(const int64_t *)field;
        return untold(o, (double)x) ? ERR_OK : strbuf_addf(out, e, " (default %" PRId64 ")", x);
    }
    case OPT_REAL: {
        double x = *(const double *)field;
        return untold(o, x) ? ERR_OK : strbuf_addf(out, e, " (default %g)", x);
    }
    case OPT_CHOICE: {
        for (size_t i = 0; o->choices[i]; i++)
            TRY(strbuf_addf(out, e, "%s%s", i ? ", " : ": ", o->choices[i]));
        const char *x = *(const char *const *)field;
        return x ? strbuf_addf(out, e, " (default %s)", x) : ERR_OK;
    }
    case OPT_FLAG:
    case OPT_UNFLAG:
    case OPT_TEXT:
    case OPT_LIST:
        break;
    }
    return ERR_OK;
}

err_code option_explain(const option *o, const void *field, strbuf *out, err *e) {
    TRY(strbuf_add(out, str_from(o->help), e));
    return add_default(o, field, out, e);
}

static err_code option_help(const option *o, const void *field, int columns, strbuf *out, err *e) {
    enum { LEFT = 28 };
    char head[96];
    int n = snprintf(head, sizeof head, o->letter ? "  -%c, " : "      ", o->letter);
    n += snprintf(head + n, sizeof head - (size_t)n, "--%s%s%s", o->name, is_switch(o) ? "" : " ",
                  is_switch(o) ? "" : o->arg);
    strbuf text = {0};
    size_t from = out->n;
    err_code code = option_explain(o, field, &text, e);
    if (code == ERR_OK)
        code = strbuf_addc(&text, 0, e);
    if (code == ERR_OK && n >= LEFT)
        code = strbuf_addf(out, e, "%s\n", head);
    from = n >= LEFT ? out->n : from;
    if (code == ERR_OK)
        code = fold_text(text.p, LEFT, columns, out, e);
    if (code == ERR_OK && n < LEFT)
        memcpy(out->p + from, head, (size_t)n);
    strbuf_fini(&text);
    return code;
}

err_code options_help(const option_group *groups, const void *values, int columns, strbuf *out, err *e) {
    for (const option_group *g = groups; g->rows; g++) {
        TRY(strbuf_addf(out, e, "\n%s:\n", g->title));
        for (const option *o = g->rows; o->name; o++)
            TRY(option_help(o, (const char *)values + g->at + o->at, columns, out, e));
    }
    return ERR_OK;
}
