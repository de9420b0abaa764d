/* line: see line.h. */
#include "cli/line.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "cli/out.h"

enum { HISTORY_ENTRIES = 1000, PROMPT_ESCAPE = '\1' };

struct line_reader {
    line_joiner joiner;
    char *raw; /* getline()'s */
    size_t raw_cap;
    EditLine *el; /* NULL: plain lines */
    History *history;
    strbuf history_path; /* NUL-terminated; empty: nothing is kept */
};

/* ---- joining ---- */

static str trim_right(str s) {
    while (s.n > 0 && strchr(" \t\r", s.p[s.n - 1]) && s.p[s.n - 1])
        s.n--;
    return s;
}

static err_code join_quoted(line_joiner *j, str line, bool *complete, err *e) {
    static const str mark = {"\"\"\"", 3};
    str right = trim_right(line);
    *complete = str_ends(right, mark);
    j->quoted = !*complete;
    if (*complete)
        return strbuf_add(&j->text, str_sub(right, 0, right.n - mark.n), e);
    TRY(strbuf_add(&j->text, line, e));
    return strbuf_addc(&j->text, '\n', e);
}

err_code line_join(line_joiner *j, str line, bool *complete, err *e) {
    j->text.max = LINE_MESSAGE_BYTES_MAX;
    bool first = !j->begun;
    j->begun = true;
    if (j->quoted)
        return join_quoted(j, line, complete, e);
    if (first && str_starts(line, STR("\"\"\""))) {
        str rest = str_sub(line, 3, line.n);
        j->quoted = true;
        *complete = false;
        return trim_right(rest).n > 0 ? join_quoted(j, rest, complete, e) : ERR_OK;
    }
    *complete = !str_ends(line, STR("\\"));
    if (*complete)
        return strbuf_add(&j->text, line, e);
    TRY(strbuf_add(&j->text, str_sub(line, 0, line.n - 1), e));
    return strbuf_addc(&j->text, '\n', e);
}

/* ---- the terminal ---- */

static char *prompt(EditLine *el) {
    static char plain[] = "> ", plain_more[] = "... ";
    static char bold[] = "\1\033[1;32m\1> \1\033[0m\1", bold_more[] = "\1\033[32m\1... \1\033[0m\1";
    void *data = NULL;
    el_get(el, EL_CLIENTDATA, &data);
    const line_reader *r = data;
    bool more = r && r->joiner.begun;
    if (out_colours())
        return more ? bold_more : bold;
    return more ? plain_more : plain;
}

/* The folder of the history and the file's name; left empty when there is no home or the folder cannot be made. */
static err_code find_history(strbuf *path, err *e) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && *state == '/')
        TRY(strbuf_addf(path, e, "%s/loam", state));
    else if (home && *home == '/')
        TRY(strbuf_addf(path, e, "%s/.local/state/loam", home));
    else
        return ERR_OK;
    for (size_t i = 1; i < path->n; i++)
        if (path->p[i] == '/') {
            path->p[i] = '\0';
            mkdir(path->p, 0700);
            path->p[i] = '/';
        }
    TRY(strbuf_addc(path, '\0', e));
    if (mkdir(path->p, 0700) != 0 && errno != EEXIST) {
        path->n = 0;
        return ERR_OK;
    }
    path->n--;
    TRY(strbuf_addf(path, e, "/chat_history"));
    return strbuf_addc(path, '\0', e);
}

static void block_interrupts(bool block) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* libedit's way to get a character. While a line is read SIGINT is blocked except inside ppoll(), so a Ctrl-C can never
 * fall between the look at the flag and the wait. 1: a character, 0: the end, -1: interrupted. */
static int get_character(EditLine *el, wchar_t *out) {
    (void)el;
    sigset_t open_to_all;
    sigemptyset(&open_to_all);
    mbstate_t state = {0};
    while (!interrupt_flag) {
        struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
        char byte;
        if (ppoll(&in, 1, NULL, &open_to_all) < 0)
            continue; /* a signal: the flag tells whether it was ours */
        ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n <= 0)
            return (int)n;
        size_t used = mbrtowc(out, &byte, 1, &state);
        if (used <= 1)
            return 1;
        if (used == (size_t)-1)
            state = (mbstate_t){0}; /* no character begins like this: skip the byte */
    }
    errno = EINTR;
    return -1;
}

static err_code open_editor(line_reader *r, err *e) {
    setlocale(LC_CTYPE, "");
    if (MB_CUR_MAX == 1)
        setlocale(LC_CTYPE, "C.UTF-8"); /* without a locale, UTF-8 is the better guess */
    r->el = el_init("loam", stdin, out_is_terminal() ? stdout : stderr, stderr);
    r->history = history_init();
    if (!r->el || !r->history)
        return err_set(e, ERR_MEMORY, "no memory for the line editor");
    HistEvent event;
    history(r->history, &event, H_SETSIZE, HISTORY_ENTRIES);
    history(r->history, &event, H_SETUNIQUE, 1);
    if (r->history_path.n > 0)
        history(r->history, &event, H_LOAD, r->history_path.p);
    el_set(r->el, EL_CLIENTDATA, r);
    el_set(r->el, EL_PROMPT_ESC, prompt, PROMPT_ESCAPE);
    el_set(r->el, EL_GETCFN, get_character);
    el_set(r->el, EL_EDITOR, "emacs");
    el_set(r->el, EL_HIST, history, r->history);
    el_set(r->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(r->el, NULL); /* the person's own ~/.editrc has the last word */
    return ERR_OK;
}

err_code line_open(line_reader **out, bool edit, bool history_wanted, err *e) {
    *out = NULL;
    line_reader *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(e, ERR_MEMORY, "no memory for the line editor");
    err_code code = edit && history_wanted ? find_history(&r->history_path, e) : ERR_OK;
    if (code == ERR_OK && edit)
        code = open_editor(r, e);
    if (code != ERR_OK) {
        line_close(r);
        return code;
    }
    *out = r;
    return ERR_OK;
}

void line_close(line_reader *r) {
    if (!r)
        return;
    HistEvent event;
    if (r->history && r->history_path.n > 0)
        history(r->history, &event, H_SAVE, r->history_path.p);
    if (r->el)
        el_end(r->el);
    if (r->history)
        history_end(r->history);
    strbuf_fini(&r->history_path);
    strbuf_fini(&r->joiner.text);
    free(r->raw);
    free(r);
}

/* ---- reading ---- */

/* One line without its line break. */
static line_kind read_raw(line_reader *r, str *line) {
    ptrdiff_t n = 0;
    const char *p;
    errno = 0;
    if (r->el) {
        int count = 0;
        el_resize(r->el);
        block_interrupts(true);
        p = el_gets(r->el, &count);
        block_interrupts(false);
        n = p ? count : 0;
    } else {
        n = getline(&r->raw, &r->raw_cap, stdin);
        p = r->raw;
    }
    if (interrupt_flag)
        return LINE_INTERRUPTED;
    if (!p || n <= 0)
        return LINE_END;
    if (r->el && n > 1) {
        HistEvent event;
        history(r->history, &event, H_ENTER, p);
    }
    n -= p[n - 1] == '\n';
    n -= n > 0 && !r->el && p[n - 1] == '\r';
    *line = (str){p, (size_t)n};
    return LINE_MESSAGE;
}

err_code line_read(line_reader *r, line_kind *kind, str *message, err *e) {
    r->joiner = (line_joiner){.text = r->joiner.text};
    r->joiner.text.n = 0;
    for (bool complete = false; !complete;) {
        str line;
        *kind = read_raw(r, &line);
        if (*kind == LINE_END && r->joiner.begun) {
            *kind = LINE_MESSAGE; /* the input ended inside a message: it is what it is */
            break;
        }
        if (*kind != LINE_MESSAGE)
            return ERR_OK;
        TRY(line_join(&r->joiner, line, &complete, e));
    }
    *message = strbuf_str(&r->joiner.text);
    return ERR_OK;
}
