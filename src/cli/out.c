/* out: standard output and error, progress, interrupts, JSON text; see out.h. */
#include "cli/out.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "text/json.h"
#include "text/utf8.h"

/* ---- streams ---- */

static int out_errno;       /* of the first failed write */
static progress *on_screen; /* the progress line that stands on the terminal */

static void failed(void) {
    if (!out_errno)
        out_errno = errno ? errno : EIO;
}

void out_text(str s) {
    if (s.n > 0 && fwrite(s.p, 1, s.n, stdout) != s.n)
        failed();
}

/* Length of the control character at s[i], 0 when there is none: C0 but \n and \t, DEL, C1 (U+0080 to U+009F). */
static size_t control_at(str s, size_t i) {
    unsigned char c = (unsigned char)s.p[i];
    if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
        return 1;
    return c == 0xC2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xA0 ? 2 : 0;
}

void out_foreign(str s) {
    if (!out_is_terminal()) {
        out_text(s);
        return;
    }
    size_t from = 0;
    for (size_t i = 0; i < s.n;) {
        size_t n = control_at(s, i);
        if (n > 0) {
            out_text(str_sub(s, from, i));
            out_text(STR("\xEF\xBF\xBD"));
            from = i + n;
        }
        i += n > 0 ? n : 1;
    }
    out_text(str_sub(s, from, s.n));
}

void out_printf(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    if (vfprintf(stdout, fmt, ap) < 0)
        failed();
    va_end(ap);
}

bool out_flush(void) {
    if (fflush(stdout) != 0)
        failed();
    return !out_errno;
}

err_code out_close(err *e) {
    out_flush();
    return out_errno ? err_set(e, ERR_IO, "standard output: %s", strerror(out_errno)) : ERR_OK;
}

static bool is_dumb(void) {
    const char *term = getenv("TERM");
    return !term || strcmp(term, "dumb") == 0;
}

bool out_is_terminal(void) { return isatty(STDOUT_FILENO); }
bool err_is_terminal(void) { return isatty(STDERR_FILENO); }

bool out_colours(void) {
    const char *no = getenv("NO_COLOR");
    return out_is_terminal() && !(no && *no) && !is_dumb();
}

static void erase(void) {
    if (on_screen)
        fputs("\r\033[K", stderr);
    on_screen = NULL;
}

/* Names in errors and notes may come from hostile files: what is no text, or moves a cursor, becomes U+FFFD. */
static void put_note(str s, bool one_line) {
    for (size_t at = 0; at < s.n;) {
        size_t from = at;
        int32_t cp = utf8_next(s, &at);
        bool layout = !one_line && (cp == '\n' || cp == '\t');
        if (cp < 0 || (cp < 0x20 && !layout) || (cp >= 0x7f && cp < 0xa0))
            fputs("\xEF\xBF\xBD", stderr);
        else
            fwrite(s.p + from, 1, at - from, stderr);
    }
    fputc('\n', stderr);
}

static void begin_note(void) {
    out_flush();
    erase();
    fputs("loam: ", stderr);
}

void out_note(const char *fmt, ...) {
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    begin_note();
    put_note(n < 0 ? STR("no memory for a note") : (str){text, (size_t)n}, false);
    if (n >= 0)
        free(text);
}

void out_error(const err *e) {
    begin_note();
    put_note(str_from(e->text), true);
}

void out_digest(const char *hex) {
    erase();
    fprintf(stderr, "%s\n", hex);
}

/* ---- progress ---- */

amount amount_bytes(double bytes) {
    static const char *const unit[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    size_t u = 0;
    while (bytes >= 999.5 && u + 1 < sizeof unit / sizeof *unit) {
        bytes /= 1000;
        u++;
    }
    amount a;
    snprintf(a.text, sizeof a.text, "%.*f %s", u == 0 || bytes >= 99.95 ? 0 : bytes >= 9.995 ? 1 : 2, bytes, unit[u]);
    return a;
}

amount amount_time(double seconds) {
    amount a;
    uint64_t s = seconds > 0 && seconds < 1e9 ? (uint64_t)(seconds + 0.5) : 0;
    if (s < 60)
        snprintf(a.text, sizeof a.text, "%" PRIu64 " s", s);
    else if (s < 3600)
        snprintf(a.text, sizeof a.text, "%" PRIu64 " min %02" PRIu64 " s", s / 60, s % 60);
    else
        snprintf(a.text, sizeof a.text, "%" PRIu64 " h %02" PRIu64 " min", s / 3600, s / 60 % 60);
    return a;
}

void progress_step(progress *p, uint64_t done, uint64_t total) {
    double now = os_now();
    if (p->begun == 0)
        p->begun = p->drawn = now;
    /* Nothing for what is over in an instant, then ten times a second. */
    if (now - p->drawn < (p->shown ? 0.1 : 0.25) || total == 0 || !err_is_terminal() || is_dumb())
        return;
    p->drawn = now;
    double rate = (double)done / (now - p->begun);
    double left = rate > 0 ? (double)(total - done) / rate : 0;
    char speed[64];
    if (p->unit)
        snprintf(speed, sizeof speed, "%.1f %s/s", rate, p->unit);
    else
        snprintf(speed, sizeof speed, "%s/s", amount_bytes(rate).text);
    fprintf(stderr, "\r\033[K%s: %.0f %%, %s, %s left", p->what, 100 * (double)done / (double)total, speed,
            amount_time(left).text);
    fflush(stderr);
    p->shown = true;
    on_screen = p;
}

void progress_line(progress *p, const char *fmt, ...) {
    if (!err_is_terminal() || is_dumb())
        return;
    char line[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    int columns = os_columns(STDERR_FILENO); /* a line that wraps could not be erased */
    fprintf(stderr, "\r\033[K%.*s", columns > 1 ? columns - 1 : (int)sizeof line, line);
    fflush(stderr);
    p->shown = true;
    on_screen = p;
}

void progress_end(progress *p) {
    if (on_screen == p)
        erase();
    fflush(stderr);
    p->begun = 0;
    p->shown = false;
}

/* ---- interrupts ---- */

volatile int interrupt_flag;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    if (interrupt_flag)
        _exit(130); /* asked twice: the work would not stop in time */
    interrupt_flag = 1;
}

void interrupt_catch(void) {
    struct sigaction sa = {.sa_handler = on_interrupt}; /* no SA_RESTART: a read at the prompt must return */
    sigemptyset(&sa.sa_mask);
    sigaction(SIGINT, &sa, NULL);
}

void interrupt_clear(void) { interrupt_flag = 0; }

/* ---- JSON ---- */

err_code js_print(js_out *j) {
    if (j->code == ERR_OK)
        j->code = strbuf_addc(&j->text, '\n', j->e);
    if (j->code == ERR_OK)
        out_text(strbuf_str(&j->text));
    strbuf_fini(&j->text);
    return j->code;
}
