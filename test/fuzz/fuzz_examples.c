/* Any bytes as a line of tuning data: it must be read or refused, and what is learned of it must be part of its ids,
 * which are those of chat_encode(). Text before the first NUL is the line; what follows is the chat template, chatml
 * when there is nothing. */
#include <string.h>

#include "gen/chat_learn.h"
#include "tune/record.h"
#include "unit/byte_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool good) {
    if (!good)
        __builtin_trap();
}

/* Every assistant's message, then every message. */
static void learn(const chat_template *c, tok_work *w, const record_turns *t, const json_t *tools, bool all) {
    const chat_options o = {.tools = tools};
    bool learned[64] = {false};
    learned_ids x = {0};
    tok_ids ids = {0};
    if (t->n > 64)
        return;
    for (size_t i = 0; i < t->n; i++)
        learned[i] = all || str_is(t->m[i].role, "assistant");
    err e = {0};
    err_code code = chat_learn(c, t->m, learned, t->n, &o, w, &x, &e);
    check(x.ids.n == x.learn.n && (code == ERR_OK ? e.code == ERR_OK : e.code == code && x.ids.n == 0));
    if (code == ERR_OK) {
        check(chat_encode(c, t->m, t->n, &o, &ids, NULL) == ERR_OK && ids.n == x.ids.n);
        check(ids.n == 0 || memcmp(ids.id, x.ids.id, ids.n * sizeof *ids.id) == 0);
    }
    tok_ids_fini(&ids);
    learned_fini(&x);
}

static void use(tokenizer *t, tok_work *w, const record *r, str source) {
    chat_template *c;
    strbuf shown = {0};
    check(record_show(r, 1000, &shown, NULL) == ERR_OK && shown.n <= 1004);
    strbuf_fini(&shown);
    if (source.n == 0)
        source = str_from(chat_builtin_find("chatml")->source);
    if (chat_open(&c, t, source, NULL) != ERR_OK)
        return;
    for (int way = 0; way < 2; way++)
        for (int all = 0; all < 2; all++)
            learn(c, w, &r->way[way], r->tools, all);
    chat_close(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static tokenizer *t;
    static tok_work *w;
    if (!t) {
        t = byte_tokenizer_open("fuzz-examples-tokenizer");
        check(t && tok_work_open(&w, t, NULL) == ERR_OK);
    }
    if (n > 1 << 14)
        return 0;
    str all = {(const char *)data, n};
    ptrdiff_t nul = str_find(all, (str){"", 1}, 0);
    str line = str_sub(all, 0, nul < 0 ? n : (size_t)nul), source = str_sub(all, line.n + 1, n);
    record r = {0};
    err e = {0};
    if (record_read(&r, line, &e) == ERR_OK)
        use(t, w, &r, source);
    else
        check(e.code != ERR_OK && e.text[0]);
    if (record_read_document(&r, line, NULL) == ERR_OK && r.form == RECORD_TEXT)
        check(r.text.n <= line.n);
    record_fini(&r);
    return 0;
}
