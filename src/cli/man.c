/* man: see man.h. */
#include "cli/man.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/os.h"

/* ---- words ---- */

static const char *special(char c) {
    static const char *const spelled[] = {
        ['\\'] = "\\e",  ['-'] = "\\-",   ['\''] = "\\(aq", ['`'] = "\\(ga",
        ['"'] = "\\(dq", ['^'] = "\\(ha", ['~'] = "\\(ti",
    };
    return c > 0 && (size_t)c < sizeof spelled / sizeof *spelled ? spelled[(size_t)c] : NULL;
}

/* As it stands, whatever it holds: a dash can be copied into a shell, a quote stays straight. */
static err_code add(strbuf *out, str s, err *e) {
    if (s.n > 0 && s.p[0] == '.')
        TRY(strbuf_add(out, STR("\\&"), e));
    for (size_t i = 0; i < s.n; i++) {
        const char *as = special(s.p[i]);
        TRY(as ? strbuf_add(out, str_from(as), e) : strbuf_addc(out, s.p[i], e));
    }
    return ERR_OK;
}

static err_code add_text(strbuf *out, const char *text, err *e) { return add(out, str_from(text), e); }

/* "data build" to "data-build", or in capitals. */
static err_code add_page_name(strbuf *out, const command *c, bool capitals, err *e) {
    char name[80];
    snprintf(name, sizeof name, "loam%s%s", c ? "-" : "", c ? c->name : "");
    for (char *p = name; *p; p++)
        *p = (char)(*p == ' ' ? '-' : capitals ? toupper((unsigned char)*p) : *p);
    return strbuf_add(out, str_from(name), e);
}

/* ---- paragraphs ---- */

/* Lines that begin with blanks are examples or tables and stay as they are; each other line is a paragraph. */
static err_code add_details(strbuf *out, const char *details, err *e) {
    bool in_example = false;
    for (const char *p = details; *p; p += strspn(p, "\n")) {
        str line = {p, strcspn(p, "\n")};
        p += line.n;
        bool example = str_starts(line, STR("  "));
        if (example && !in_example)
            TRY(strbuf_add(out, STR(".PP\n.RS 4\n.nf\n"), e));
        if (!example && in_example)
            TRY(strbuf_add(out, STR(".fi\n.RE\n"), e));
        if (!example && line.p > details)
            TRY(strbuf_add(out, STR(".PP\n"), e));
        in_example = example;
        TRY(add(out, example ? str_sub(line, 2, line.n) : line, e));
        TRY(strbuf_addc(out, '\n', e));
    }
    return in_example ? strbuf_add(out, STR(".fi\n.RE\n"), e) : ERR_OK;
}

static err_code add_option(strbuf *out, const option *o, const void *values, err *e) {
    bool is_switch = o->kind == OPT_FLAG || o->kind == OPT_UNFLAG;
    TRY(strbuf_add(out, STR(".TP\n"), e));
    if (o->letter)
        TRY(strbuf_addf(out, e, "\\fB\\-%c\\fR, ", o->letter));
    TRY(strbuf_add(out, STR("\\fB\\-\\-"), e));
    TRY(add_text(out, o->name, e));
    TRY(strbuf_add(out, STR("\\fR"), e));
    if (!is_switch) {
        TRY(strbuf_add(out, STR(" \\fI"), e));
        TRY(add_text(out, o->arg, e));
        TRY(strbuf_add(out, STR("\\fR"), e));
    }
    TRY(strbuf_addc(out, '\n', e));
    strbuf help = {0};
    err_code code = option_explain(o, (const char *)values + o->at, &help, e);
    if (code == ERR_OK)
        code = add(out, strbuf_str(&help), e);
    strbuf_fini(&help);
    return code == ERR_OK ? strbuf_addc(out, '\n', e) : code;
}

static err_code add_options(strbuf *out, const option_group *groups, const void *values, err *e) {
    TRY(strbuf_add(out, STR(".SH OPTIONS\n"), e));
    for (const option_group *g = groups; g->rows; g++) {
        TRY(strbuf_add(out, STR(".SS "), e));
        TRY(add_text(out, g->title, e));
        TRY(strbuf_addc(out, '\n', e));
        for (const option *o = g->rows; o->name; o++)
            TRY(add_option(out, o, (const char *)values + g->at, e));
    }
    return ERR_OK;
}

static err_code add_commands(strbuf *out, const command *const *list, err *e) {
    for (; *list; list++) {
        TRY(strbuf_add(out, STR(".TP\n.BR "), e));
        TRY(add_page_name(out, *list, false, e));
        TRY(strbuf_add(out, STR(" (1)\n"), e));
        TRY(add_text(out, (*list)->summary, e));
        TRY(strbuf_addc(out, '\n', e));
    }
    return ERR_OK;
}

typedef struct {
    const char *name, *what;
} row;

static err_code add_rows(strbuf *out, const char *title, const row *rows, err *e) {
    TRY(strbuf_addf(out, e, ".SH %s\n", title));
    for (; rows->name; rows++) {
        TRY(strbuf_add(out, STR(".TP\n.B "), e));
        TRY(add_text(out, rows->name, e));
        TRY(strbuf_addc(out, '\n', e));
        TRY(add_text(out, rows->what, e));
        TRY(strbuf_addc(out, '\n', e));
    }
    return ERR_OK;
}

static const row statuses[] = {
    {"0", "done"},
    {"1", "failed; one line on standard error says why"},
    {"2", "wrong usage"},
    {"3", "verification found a difference"},
    {"130", "stopped by Ctrl-C"},
    {0},
};

/* Every variable that the program reads (test_man.py looks into the sources). */
static const row variables[] = {
    {"LOAM_HOME", "where models are kept, instead of loam in XDG_DATA_HOME"},
    {"LOAM_TOKEN", "the token that requests to loam serve must carry"},
    {"LOAM_KEY_PASSWORD", "the password of the key of loam sign"},
    {"LOAM_HF_ENDPOINT, HF_ENDPOINT", "a mirror of the Hugging Face hub"},
    {"LOAM_OLLAMA_ENDPOINT", "a mirror of the Ollama registry"},
    {"HF_TOKEN, HF_TOKEN_PATH", "the token for gated repositories of the hub, or the file that has it"},
    {"SSL_CERT_FILE, SSL_CERT_DIR", "certificates that loam pull trusts, instead of the system's"},
    {"HF_HOME, HF_HUB_CACHE", "where Hugging Face's programs keep models, which are used in place"},
    {"OLLAMA_MODELS", "where Ollama keeps models, which are used in place"},
    {"HOME, XDG_DATA_HOME, XDG_CACHE_HOME, XDG_STATE_HOME", "the folders of the user"},
    {"TMPDIR", "where loam demo works, instead of /tmp"},
    {"SOURCE_DATE_EPOCH", "the time that loam card writes, for pages that can be made again"},
    {"NO_COLOR, TERM", "whether colours may be used"},
    {0},
};

static const row files[] = {
    {"~/.local/share/loam", "the registry: models, and what is known of them"},
    {"~/.local/state/loam/chat_history", "what was typed in loam chat"},
    {0},
};

/* ---- pages ---- */

static err_code add_head(strbuf *out, const command *c, const char *summary, err *e) {
    TRY(strbuf_add(out, STR(".\\\" made by loam help --man\n.TH "), e));
    TRY(add_page_name(out, c, true, e));
    TRY(strbuf_addf(out, e, " 1 %s \"loam %s\" \"User Commands\"\n.SH NAME\n", LOAM_RELEASED, LOAM_VERSION));
    TRY(add_page_name(out, c, false, e));
    TRY(strbuf_add(out, STR(" \\- "), e));
    TRY(add_text(out, summary, e));
    TRY(strbuf_add(out, STR("\n.SH SYNOPSIS\n\\fBloam"), e));
    if (c)
        TRY(strbuf_addf(out, e, " %s", c->name));
    TRY(strbuf_add(out, STR("\\fR "), e));
    TRY(add_text(out, c && !c->subs ? c->args : "COMMAND [ARGUMENTS]", e));
    return strbuf_add(out, STR(" [OPTIONS]\n"), e);
}

static err_code program_page(strbuf *out, err *e) {
    TRY(add_head(out, NULL, LOAM_SUMMARY, e));
    TRY(strbuf_add(out, STR(".SH DESCRIPTION\n"), e));
    TRY(add_details(out, LOAM_DETAILS, e));
    TRY(strbuf_add(out, STR(".SH COMMANDS\n"), e));
    TRY(add_commands(out, commands, e));
    static const option_group everywhere[] = {COMMON_GROUP, {0}};
    static const common_values defaults = COMMON_DEFAULTS;
    TRY(add_options(out, everywhere, &defaults, e));
    TRY(add_rows(out, "EXIT STATUS", statuses, e));
    TRY(add_rows(out, "ENVIRONMENT", variables, e));
    return add_rows(out, "FILES", files, e);
}

err_code man_page(const command *c, strbuf *out, err *e) {
    if (!c)
        return program_page(out, e);
    TRY(add_head(out, c, c->summary, e));
    if (*c->details) {
        TRY(strbuf_add(out, STR(".SH DESCRIPTION\n"), e));
        TRY(add_details(out, c->details, e));
    }
    if (c->subs) {
        TRY(strbuf_add(out, STR(".SH COMMANDS\n"), e));
        TRY(add_commands(out, c->subs, e));
    } else
        TRY(add_options(out, c->groups, c->defaults, e));
    return strbuf_add(out, STR(".SH SEE ALSO\n.BR loam (1)\n"), e);
}

static err_code write_page(const char *folder, const command *c, err *e) {
    char path[OS_PATH_BYTES];
    strbuf name = {0}, text = {0};
    err_code code = add_page_name(&name, c, false, e);
    if (code == ERR_OK)
        code = strbuf_add(&name, (str){".1", 3}, e); /* with its NUL */
    if (code == ERR_OK)
        code = os_join(path, folder, name.p, e);
    if (code == ERR_OK)
        code = man_page(c, &text, e);
    if (code == ERR_OK)
        code = os_write_file(path, strbuf_str(&text), e);
    strbuf_fini(&text);
    strbuf_fini(&name);
    return code;
}

err_code man_write(const char *folder, err *e) {
    TRY(write_page(folder, NULL, e));
    for (const command *const *c = commands; *c; c++) {
        TRY(write_page(folder, *c, e));
        for (const command *const *sub = (*c)->subs; sub && *sub; sub++)
            TRY(write_page(folder, *sub, e));
    }
    return ERR_OK;
}
