/* ref: see ref.h. */
#include "hub/ref.h"

#include <string.h>

#include "base/os.h"
#include "io/gguf_parts.h"

static const char HF_FORM[] = "hf:ORG/REPO[@REVISION][:QUANT or :FILE]";
static const char OLLAMA_FORM[] = "ollama:[NAMESPACE/]NAME[:TAG]";

static bool plain_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("._-+", c));
}

bool ref_plain(str s) {
    bool good = s.n > 0 && s.n < REF_PART_MAX && s.p[0] != '.' && s.p[0] != '-';
    for (size_t i = 0; good && i < s.n; i++)
        good = plain_char(s.p[i]);
    return good;
}

bool ref_plain_path(str s) {
    for (size_t from = 0, i = 0; i <= s.n; i++)
        if (i == s.n || s.p[i] == '/') {
            if (!ref_plain(str_sub(s, from, i)))
                return false;
            from = i + 1;
        }
    return true;
}

static void copy(char *out, str s) {
    memcpy(out, s.p, s.n);
    out[s.n] = 0;
}

/* What stands before the first c, and behind it in *rest; without one all, and an empty rest. */
static str cut(str s, char c, str *rest) {
    ptrdiff_t at = str_find(s, (str){&c, 1}, 0);
    *rest = at < 0 ? (str){0} : str_sub(s, (size_t)at + 1, s.n);
    return at < 0 ? s : str_sub(s, 0, (size_t)at);
}

static err_code malformed(str text, const char *form, err *e) {
    return err_set(e, ERR_USAGE, "\"%.*s\" is not of the form %s", STR_ARG(text), form);
}

static err_code parse_hf(hub_ref *out, str text, err *e) {
    str pick, revision, repo, body = str_sub(text, 3, text.n);
    str left = cut(body, ':', &pick);
    str path = cut(left, '@', &revision), space = cut(path, '/', &repo);
    bool has_pick = left.n < body.n, has_revision = path.n < left.n;
    if (!ref_plain(space) || !ref_plain(repo) || (has_revision && !ref_plain(revision)) ||
        (has_pick && (!ref_plain_path(pick) || pick.n >= sizeof out->pick)))
        return malformed(text, HF_FORM, e);
    copy(out->space, space);
    copy(out->repo, repo);
    copy(out->revision, has_revision ? revision : STR("main"));
    copy(out->pick, has_pick ? pick : STR(""));
    return ERR_OK;
}

static err_code parse_ollama(hub_ref *out, str text, err *e) {
    str tag, name, body = str_sub(text, 7, text.n);
    str path = cut(body, ':', &tag), space = cut(path, '/', &name);
    bool has_tag = path.n < body.n, has_space = space.n < path.n;
    if (!has_space) {
        name = path;
        space = STR("library");
    }
    if (!ref_plain(space) || !ref_plain(name) || (has_tag && !ref_plain(tag)))
        return malformed(text, OLLAMA_FORM, e);
    copy(out->space, space);
    copy(out->repo, name);
    copy(out->pick, has_tag ? tag : STR("latest"));
    return ERR_OK;
}

err_code ref_parse(hub_ref *out, str text, err *e) {
    *out = (hub_ref){.kind = REF_FILE};
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] < ' ' || text.p[i] == 127)
            return err_set(e, ERR_USAGE, "a reference with control characters in it");
    if (text.n == 0 || text.n > REF_URL_MAX)
        return err_set(e, ERR_USAGE, "a reference has 1 to %d bytes", REF_URL_MAX);
    if (str_starts(text, STR("hf:"))) {
        out->kind = REF_HF;
        return parse_hf(out, text, e);
    }
    if (str_starts(text, STR("ollama:"))) {
        out->kind = REF_OLLAMA;
        return parse_ollama(out, text, e);
    }
    if (str_starts(text, STR("https://")) || str_starts(text, STR("http://")))
        out->kind = REF_URL;
    copy(out->url, text);
    return ERR_OK;
}

err_code ref_text(const hub_ref *r, strbuf *out, err *e) {
    bool main_line = strcmp(r->revision, "main") == 0;
    switch (r->kind) {
    case REF_HF:
        return strbuf_addf(out, e, "hf:%s/%s%s%s%s%s", r->space, r->repo, main_line ? "" : "@",
                           main_line ? "" : r->revision, *r->pick ? ":" : "", r->pick);
    case REF_OLLAMA:
        return strbuf_addf(out, e, "ollama:%s%s%s:%s", strcmp(r->space, "library") == 0 ? "" : r->space,
                           strcmp(r->space, "library") == 0 ? "" : "/", r->repo, r->pick);
    case REF_URL:
    case REF_FILE:
        break;
    }
    return strbuf_addf(out, e, "%s", r->url);
}

void ref_strip(hub_ref *r) {
    char *host = r->kind == REF_URL ? strstr(r->url, "://") : NULL;
    if (!host)
        return;
    host += 3;
    host[strcspn(host, "?#")] = 0;
    for (char *at; (at = memchr(host, '@', strcspn(host, "/")));)
        memmove(host, at + 1, strlen(at + 1) + 1);
}

/* The last part of a path or URL without query and ending, fit for a name. */
static err_code name_of_file(const char *url, strbuf *out, err *e) {
    str rest, s = cut(cut(os_last_part(url), '?', &rest), '#', &rest);
    s = gguf_stem(s);
    while (s.n > 0 && !ref_plain(str_sub(s, 0, 1)))
        s = str_sub(s, 1, s.n);
    if (s.n >= REF_PART_MAX)
        s.n = REF_PART_MAX - 1;
    for (size_t i = 0; i < s.n; i++)
        TRY(strbuf_addc(out, plain_char(s.p[i]) ? s.p[i] : '-', e));
    return s.n > 0 ? ERR_OK : strbuf_add(out, STR("model"), e);
}

err_code ref_name(const hub_ref *r, str quant, strbuf *out, err *e) {
    switch (r->kind) {
    case REF_HF:
        return strbuf_addf(out, e, "%s/%s%s%.*s", r->space, r->repo, quant.n ? ":" : "", (int)quant.n,
                           quant.p ? quant.p : "");
    case REF_OLLAMA:
        return strbuf_addf(out, e, "%s%s%s:%s", strcmp(r->space, "library") == 0 ? "" : r->space,
                           strcmp(r->space, "library") == 0 ? "" : "/", r->repo, r->pick);
    case REF_URL:
    case REF_FILE:
        break;
    }
    return name_of_file(r->url, out, e);
}
