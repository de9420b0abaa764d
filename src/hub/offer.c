/* offer: see offer.h. */
#include "hub/offer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/registry.h"

void offer_close(offer *o) {
    arena_fini(&o->mem);
    *o = (offer){0};
}

static err_code check_name(const offer *o, str name, err *e) {
    TRY(registry_file_name_check(name, e));
    for (size_t i = 0; i < o->n; i++)
        if (str_eq(o->file[i].name, name))
            return err_set(e, ERR_FORMAT, "two files of the name \"%.*s\"", STR_ARG(name));
    return ERR_OK;
}

err_code offer_add(offer *o, const offer_file *f, err *e) {
    TRY(check_name(o, f->name, e));
    if (!o->file)
        ARENA_NEW(&o->mem, o->file, OFFER_FILES_MAX, e);
    if (o->n == OFFER_FILES_MAX)
        return err_set(e, ERR_LIMIT, "more than %d files", OFFER_FILES_MAX);
    offer_file *to = &o->file[o->n];
    *to = *f;
    to->name = arena_str(&o->mem, f->name);
    to->what.url = arena_str(&o->mem, str_from(f->what.url)).p;
    to->place = arena_str(&o->mem, f->place);
    if (!to->name.p || !to->what.url || !to->place.p)
        return arena_short(e, 1, f->name.n);
    uint64_t bytes = f->what.bytes;
    o->bytes = bytes == HTTP_UNKNOWN || o->bytes > HTTP_UNKNOWN - 1 - bytes ? HTTP_UNKNOWN : o->bytes + bytes;
    o->n++;
    return ERR_OK;
}

err_code offer_text(offer *o, str s, str *out, err *e) {
    char clean[OFFER_TEXT_MAX];
    size_t n = s.n < sizeof clean ? s.n : sizeof clean;
    while (n > 0 && n < s.n && ((unsigned char)s.p[n] & 0xc0) == 0x80) /* not within a character */
        n--;
    for (size_t i = 0; i < n; i++)
        clean[i] = (unsigned char)s.p[i] < ' ' || s.p[i] == 127 ? ' ' : s.p[i];
    *out = arena_str(&o->mem, (str){clean, n});
    return out->p ? ERR_OK : arena_short(e, 1, n);
}

err_code offer_format(offer *o, str *out, err *e, const char *fmt, ...) {
    char text[REF_URL_MAX * 4];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof text)
        return err_set(e, ERR_LIMIT, "%.100s...: the text is too long", text);
    *out = arena_str(&o->mem, (str){text, (size_t)n});
    return out->p ? ERR_OK : arena_short(e, 1, (size_t)n);
}

err_code offer_named(offer *o, const hub_ref *ref, str quant, err *e) {
    strbuf name = {0}, source = {0};
    err_code code = ref_name(ref, quant, &name, e);
    if (code == ERR_OK)
        code = ref_text(ref, &source, e);
    if (code == ERR_OK)
        code = offer_text(o, strbuf_str(&name), &o->name, e);
    if (code == ERR_OK)
        code = offer_format(o, &o->source, e, "%.*s", (int)source.n, source.p);
    strbuf_fini(&name);
    strbuf_fini(&source);
    return code;
}

uint64_t offer_memory_bytes(uint64_t bytes) { return bytes + bytes / 8 + (300 << 20); }
