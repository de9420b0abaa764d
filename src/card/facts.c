/* facts: cleaning, lists, and the way from a path to what is known. See facts.h. */
#include "card/facts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "card/licence.h"
#include "text/json.h"
#include "text/utf8.h"
#include "train/run.h"

enum { SAID_BYTES_MAX = 1 << 20, LIMITS_MAX = 50 };

/* ---- texts ---- */

/* Marks that make text run the other way, or do nothing that can be seen: they could make a page say what it does not.
 */
static bool is_hidden(int32_t cp) {
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || (cp >= 0x200b && cp <= 0x200f) || (cp >= 0x2028 && cp <= 0x202e) ||
           (cp >= 0x2060 && cp <= 0x206f) || cp == 0xfeff || cp == 0xad || (cp >= 0xe0000 && cp <= 0xe007f) ||
           (cp >= 0xfff9 && cp <= 0xfffb) || cp == 0x61c || cp == 0x180e;
}

static err_code clean_into(strbuf *b, str s, err *e) {
    bool blank = true; /* at the beginning, and after one */
    for (size_t at = 0; at < s.n && b->n < FACTS_TEXT_BYTES_MAX;) {
        char c = s.p[at];
        if (c == '\n' || c == '\t' || c == '\r' || c == ' ') {
            if (!blank)
                TRY(strbuf_addc(b, ' ', e));
            blank = true;
            at++;
            continue;
        }
        size_t from = at;
        int32_t cp = utf8_next(s, &at);
        TRY(strbuf_add(b, cp < 0 || is_hidden(cp) ? STR("\xef\xbf\xbd") : str_sub(s, from, at), e));
        blank = false;
        if (b->n >= FACTS_TEXT_BYTES_MAX && at < s.n)
            TRY(strbuf_add(b, STR("..."), e));
    }
    while (b->n && b->p[b->n - 1] == ' ')
        b->n--;
    return ERR_OK;
}

err_code facts_clean(card_facts *f, str s, str *out, err *e) {
    strbuf b = {0};
    err_code code = clean_into(&b, s, e);
    if (code == ERR_OK) {
        *out = arena_str(&f->mem, strbuf_str(&b));
        code = out->p ? ERR_OK : arena_short(e, b.n, 1);
    }
    strbuf_fini(&b);
    return code;
}

static err_code format_clean(card_facts *f, str *out, err *e, const char *fmt, va_list ap)
    __attribute__((format(printf, 4, 0)));
static err_code format_clean(card_facts *f, str *out, err *e, const char *fmt, va_list ap) {
    char text[FACTS_TEXT_BYTES_MAX];
    vsnprintf(text, sizeof text, fmt, ap);
    return facts_clean(f, str_from(text), out, e);
}

err_code facts_format(card_facts *f, str *out, err *e, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_code code = format_clean(f, out, e, fmt, ap);
    va_end(ap);
    return code;
}

str facts_text(card_facts *f, err_code *code, err *e, const char *fmt, ...) {
    str out = {0};
    va_list ap;
    va_start(ap, fmt);
    if (*code == ERR_OK)
        *code = format_clean(f, &out, e, fmt, ap);
    va_end(ap);
    return out;
}

/* Days since 1970 to a date: the proleptic Gregorian calendar. */
err_code facts_time(card_facts *f, int64_t seconds, bool of_day, str *out, err *e) {
    static const int64_t last = 253402300799;
    seconds = seconds < 0 ? 0 : seconds > last ? last : seconds;
    int64_t z = seconds / 86400 + 719468, era = z / 146097, doe = z - era * 146097, t = seconds % 86400;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153, d = doy - (153 * mp + 2) / 5 + 1, m = mp < 10 ? mp + 3 : mp - 9;
    int y = (int)(yoe + era * 400 + (m <= 2));
    if (!of_day)
        return facts_format(f, out, e, "%04d-%02d-%02d", y, (int)m, (int)d);
    return facts_format(f, out, e, "%04d-%02d-%02dT%02d:%02d:%02dZ", y, (int)m, (int)d, (int)(t / 3600),
                        (int)(t / 60 % 60), (int)(t % 60));
}

bool facts_is_url(str s) {
    bool good = str_starts(s, STR("https://")) || str_starts(s, STR("http://"));
    for (size_t i = 0; i < s.n; i++)
        good = good && s.p[i] > 0x20 && s.p[i] < 0x7f && !strchr("\"<>\\^`{|}", s.p[i]);
    return good && s.n > 10;
}

/* ---- lists ---- */

err_code facts_add(card_facts *f, card_pairs *list, str name, str value, err *e) {
    if (list->n >= FACTS_LIST_MAX)
        return ERR_OK;
    if (list->n == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 16;
        card_pair *more;
        ARENA_NEW(&f->mem, more, cap, e);
        if (list->n)
            memcpy(more, list->at, list->n * sizeof *more);
        list->at = more;
        list->cap = cap;
    }
    card_pair *p = &list->at[list->n];
    TRY(facts_clean(f, name, &p->name, e));
    TRY(facts_clean(f, value, &p->value, e));
    list->n++;
    return ERR_OK;
}

err_code facts_add_hash(card_facts *f, const char *name, hash256 h, err *e) {
    char hex[65];
    hash_hex(h, hex);
    return facts_add(f, &f->digest, str_from(name), str_from(hex), e);
}

err_code facts_lack(card_facts *f, const char *what, const char *why, err *e) {
    return facts_add(f, &f->unknown, str_from(what), str_from(why), e);
}

err_code facts_lack_by(card_facts *f, const char *what, const char *path, const err *why, err *e) {
    size_t n = strlen(path);
    const char *text = why->text;
    if (why->code == ERR_MEMORY) /* of this program, not of the model */
        return err_set(e, ERR_MEMORY, "%s", text);
    if (strncmp(text, path, n) == 0)
        for (text += n; *text == '/' || *text == ':' || *text == ' ';)
            text++;
    return facts_lack(f, what, text, e);
}

/* ---- what somebody says ---- */

static const struct {
    const char *key;
    size_t at;
} said_keys[] = {{"name", offsetof(card_said, name)},       {"licence", offsetof(card_said, licence)},
                 {"by", offsetof(card_said, by)},           {"url", offsetof(card_said, url)},
                 {"version", offsetof(card_said, version)}, {"description", offsetof(card_said, description)},
                 {"report", offsetof(card_said, report)},   {"paper", offsetof(card_said, paper)}};
enum { SAID_KEYS = sizeof said_keys / sizeof *said_keys };

static str *said_field(card_said *s, size_t i) { return (str *)(void *)((char *)s + said_keys[i].at); }

static err_code take_said(card_facts *f, json_t *top, err *e) {
    if (!json_is_object(top))
        return err_set(e, ERR_FORMAT, "must be a JSON object");
    const char *key;
    json_t *v;
    json_object_foreach(top, key, v) {
        size_t i = 0;
        while (i < SAID_KEYS && strcmp(said_keys[i].key, key) != 0)
            i++;
        if (strcmp(key, "limits") == 0) {
            for (size_t k = 0; k < json_array_size(v) && k < LIMITS_MAX; k++)
                TRY(facts_add(f, &f->limit, (str){0}, json_str_of(json_array_get(v, k)), e));
            continue;
        }
        if (i == SAID_KEYS || !json_is_string(v))
            return err_set(e, ERR_FORMAT,
                           "\"%.60s\": wanted are texts named name, licence, by, url, version, description, report, "
                           "paper, and a list limits",
                           key);
        TRY(facts_clean(f, json_str_of(v), said_field(&f->said, i), e));
    }
    return ERR_OK;
}

err_code facts_said_file(card_facts *f, const char *path, err *e) {
    strbuf text = {0};
    json_t *top = NULL;
    err_code code = os_read_regular(path, SAID_BYTES_MAX, &text, e);
    if (code == ERR_OK) {
        code = json_read(strbuf_str(&text), SAID_BYTES_MAX, &top, e);
        if (code == ERR_OK)
            code = take_said(f, top, e);
        if (code != ERR_OK)
            err_in(e, code, "%s", path);
    }
    json_decref(top);
    strbuf_fini(&text);
    return code;
}

/* ---- all of it ---- */

static err_code take_licence(card_facts *f, err *e) {
    if (f->said.licence.n)
        f->licence_text = f->said.licence;
    if (f->licence_text.n == 0)
        return facts_lack(f, "licence of the weights", "nothing names one (--licence, or card.json beside the model)",
                          e);
    strbuf b = {0};
    err_code code = licence_spdx(f->licence_text, &b, e);
    if (code == ERR_OK)
        code = facts_clean(f, strbuf_str(&b), &f->licence, e);
    strbuf_fini(&b);
    return code;
}

static err_code gather(card_facts *f, const char *path, const facts_options *o, err *e) {
    bool folder = os_is_dir(path);
    f->form = folder ? run_is(path) ? CARD_RUN : CARD_FOLDER : CARD_GGUF;
    TRY(f->form == CARD_RUN      ? facts_of_run(f, path, o, e)
        : f->form == CARD_FOLDER ? facts_of_folder(f, path, o, e)
                                 : facts_of_gguf(f, path, e));
    for (size_t i = 0; i < SAID_KEYS; i++) {
        card_said by_options = o->said;
        str given = *said_field(&by_options, i);
        if (given.n)
            TRY(facts_clean(f, given, said_field(&f->said, i), e));
    }
    if (f->said.name.n)
        f->name = f->said.name;
    if (o->created >= 0)
        f->created = o->created;
    TRY(take_licence(f, e));
    for (size_t i = 0; i < o->n_scores; i++)
        TRY(facts_scores_file(f, o->score[i], e));
    if (o->scores_now.n)
        TRY(facts_scores_text(f, o->scores_now, e));
    if (f->n_scores == 0 && f->training.bits <= 0)
        TRY(facts_lack(f, "scores", "none are stored with the model (loam eval, then --scores FILE, or --eval)", e));
    if (!f->energy.known)
        TRY(facts_lack(f, "energy", "nothing tells how long it was trained, and on what", e));
    return ERR_OK;
}

err_code facts_open(card_facts *f, const char *path, const facts_options *o, err *e) {
    *f = (card_facts){.created = -1, .mem = {.max_bytes = (size_t)256 << 20}};
    err_code code =
        os_exists(path) ? gather(f, path, o, e) : err_set(e, ERR_IO, "%s: there is no such file or folder", path);
    if (code != ERR_OK)
        facts_close(f);
    return code;
}

void facts_close(card_facts *f) {
    arena_fini(&f->mem);
    *f = (card_facts){0};
}
