/* decode: pieces to text; see decode.h. */
#include "tok/decode.h"

#include <string.h>

#include "text/utf8.h"
#include "tok/bpe.h"

/* GPT-2's spelling, or the piece itself when some character is no spelled byte. */
static err_code byte_level(str s, strbuf *out, err *e) {
    size_t from = out->n;
    for (size_t at = 0; at < s.n;) {
        int byte = bpe_byte_of(utf8_next(s, &at));
        if (byte < 0) {
            out->n = from;
            return strbuf_add(out, s, e);
        }
        TRY(strbuf_addc(out, (char)byte, e));
    }
    return ERR_OK;
}

static err_code replace(const decode_step *st, str s, strbuf *out, err *e) {
    size_t at = 0, start, end;
    if (!st->pattern) {
        for (ptrdiff_t hit; (hit = str_find(s, st->what, at)) >= 0; at = (size_t)hit + st->what.n) {
            TRY(strbuf_add(out, str_sub(s, at, (size_t)hit), e));
            TRY(strbuf_add(out, st->with, e));
        }
        return strbuf_add(out, str_sub(s, at, s.n), e);
    }
    if (!utf8_valid(s)) /* patterns see text; bytes between characters are none */
        return strbuf_add(out, s, e);
    rx_work *w;
    TRY(rx_work_open(&w, e));
    rx_scan scan = {0};
    bool found = true;
    err_code code = ERR_OK;
    while (code == ERR_OK && found) {
        code = rx_next(st->pattern, w, s, &scan, &found, &start, &end, e);
        if (code == ERR_OK && found) {
            code = strbuf_add(out, str_sub(s, at, start), e);
            if (code == ERR_OK)
                code = strbuf_add(out, st->with, e);
            at = end;
        }
    }
    rx_work_close(w);
    return code == ERR_OK ? strbuf_add(out, str_sub(s, at, s.n), e) : code;
}

static str strip(const decode_step *st, str s, bool left, bool right) {
    for (uint32_t i = 0; left && i < st->left && st->what.n && str_starts(s, st->what); i++)
        s = str_sub(s, st->what.n, s.n);
    for (uint32_t i = 0; right && i < st->right && st->what.n && str_ends(s, st->what); i++)
        s = str_sub(s, 0, s.n - st->what.n);
    return s;
}

static err_code run_step(const decode_step *st, str s, bool first, bool left, bool right, strbuf *out, err *e) {
    switch (st->kind) {
    case DECODE_BYTE_LEVEL:
        return byte_level(s, out, e);
    case DECODE_BYTE_FALLBACK: {
        int byte = vocab_byte_of(s);
        return byte >= 0 ? strbuf_addc(out, (char)byte, e) : strbuf_add(out, s, e);
    }
    case DECODE_REPLACE:
        return replace(st, s, out, e);
    case DECODE_STRIP:
        return strbuf_add(out, strip(st, s, left, right), e);
    case DECODE_META: {
        decode_step to = {.what = st->what, .with = first && st->drop_first ? STR("") : STR(" ")};
        return replace(&to, s, out, e);
    }
    }
    return ERR_OK;
}

/* Steps [i, end) over s, appended to *out. Each step's text lives in one of two buffers. */
static err_code run_steps(const decoder *d, int i, int end, str s, bool first, bool left, bool right, strbuf *out,
                          err *e) {
    strbuf buf[2] = {{.max = out->max}, {.max = out->max}};
    err_code code = ERR_OK;
    for (; i < end && code == ERR_OK; i++) {
        strbuf *to = i + 1 == end ? out : &buf[i & 1];
        if (to != out)
            to->n = 0;
        code = run_step(&d->step[i], s, first, left, right, to, e);
        s = strbuf_str(to);
    }
    strbuf_fini(&buf[0]);
    strbuf_fini(&buf[1]);
    return code;
}

err_code decode_piece(const decoder *d, str piece, bool first, strbuf *out, err *e) {
    if (d->spaced && !first)
        TRY(strbuf_addc(out, ' ', e));
    if (d->n_pieces == 0)
        return strbuf_add(out, piece, e);
    return run_steps(d, 0, d->n_pieces, piece, first, true, true, out, e);
}

err_code decode_whole(const decoder *d, size_t from, bool left, bool right, strbuf *out, err *e) {
    if (d->n_pieces == d->n)
        return ERR_OK;
    strbuf whole = {.max = out->max};
    str text = str_sub(strbuf_str(out), from, out->n);
    err_code code = run_steps(d, d->n_pieces, d->n, text, true, left, right, &whole, e);
    if (code == ERR_OK) {
        out->n = from;
        code = strbuf_add(out, strbuf_str(&whole), e);
    }
    strbuf_fini(&whole);
    return code;
}

void decode_fini(decoder *d) {
    for (int i = 0; i < d->n; i++)
        rx_close(d->step[i].pattern);
    d->n = d->n_pieces = 0;
}
