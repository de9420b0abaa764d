/* examples: see examples.h. Lines are read in batches; those of a batch are rendered and tokenized in parallel, each
 * into an item of its own, and taken in their order. */
#include "tune/examples.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "gen/chat_learn.h"
#include "gen/tool_turns.h"
#include "tune/lines.h"

enum { BATCH_ITEMS = 256, BATCH_BYTES = 8 << 20 };

typedef struct {
    size_t from, n; /* of the batch's bytes */
    uint64_t number;
    hash256 sha256;
    record_form form;
    learned_ids way[2];
    uint32_t n_prompt;
    strbuf shown; /* the example, when something is wrong with it */
    err problem;
} item;

/* What a thread has for itself. */
typedef struct {
    tok_work *w;
    record r;
} hand;

/* An example that is too long. */
typedef struct {
    uint32_t file;
    uint64_t number;
    size_t n;
} too_long;

typedef struct {
    const examples_options *o;
    examples *x;
    tool_style style;
    int32_t eos;
    lines *in; /* the file at hand */
    uint32_t file;
    strbuf bytes;
    item item[BATCH_ITEMS];
    size_t n_items;
    atomic_size_t taken;
    hand *hand; /* one a thread */
    size_t cap, cap_ids;
    too_long named[EXAMPLES_LONG_NAMED];
    size_t n_long;
} loader;

/* ---- roles ---- */

static const struct {
    const char *name;
    unsigned flag;
} role_flags[] = {
    {"assistant", EXAMPLES_ASSISTANT}, {"user", EXAMPLES_USER}, {"system", EXAMPLES_SYSTEM}, {"tool", EXAMPLES_TOOL}};
enum { N_ROLES = sizeof role_flags / sizeof *role_flags };

static unsigned role_flag(str role) {
    for (size_t i = 0; i < N_ROLES; i++)
        if (str_is(role, role_flags[i].name))
            return role_flags[i].flag;
    return 0;
}

err_code examples_roles(str list, unsigned *out, err *e) {
    *out = 0;
    for (size_t at = 0; at <= list.n;) {
        ptrdiff_t comma = str_find(list, STR(","), at);
        str name = str_sub(list, at, comma < 0 ? list.n : (size_t)comma);
        unsigned flag = role_flag(name);
        if (flag == 0)
            return err_set(e, ERR_USAGE, "no role \"%.*s\" (assistant, user, system, tool; with commas between)",
                           STR_ARG(name));
        *out |= flag;
        at += name.n + 1;
    }
    return ERR_OK;
}

/* ---- an example to ids, by one thread ---- */

/* Is message i of the fitted ones learned? Its role is chosen, and all that it is made of belongs to the answer and is
 * not muted; what was put in front is nobody's. */
static bool is_learned(const loader *l, const record *r, const record_turns *t, const tool_talk *fitted, size_t i) {
    size_t from = fitted->from[i], to = i + 1 < fitted->n ? fitted->from[i + 1] : t->n;
    bool learn = from != TOOL_TURNS_OURS && from >= r->n_prompt && (role_flag(fitted->m[i].role) & l->o->roles) != 0;
    for (size_t k = from; learn && k < to; k++)
        learn = !t->mute[k];
    return learn;
}

static err_code render(const loader *l, hand *h, const record_turns *t, learned_ids *out, err *e) {
    record *r = &h->r;
    tool_talk fitted;
    bool *learn;
    TRY(tool_turns(&l->style, t->m, t->n, r->tools, &r->mem, r->keep, &fitted, e));
    chat_options co = {.now = l->o->now, .vars = l->o->vars, .tools = fitted.tools};
    ARENA_NEW(&r->mem, learn, fitted.n + 1, e);
    for (size_t i = 0; i < fitted.n; i++)
        learn[i] = is_learned(l, r, t, &fitted, i);
    return chat_learn(l->o->chat, fitted.m, learn, fitted.n, &co, h->w, out, e);
}

/* prompt, `answer` right behind it, the end token. */
static err_code write_plain(const loader *l, hand *h, str prompt, str answer, learned_ids *out, err *e) {
    strbuf text = {0};
    err_code code = strbuf_add(&text, prompt, e);
    if (code == ERR_OK)
        code = strbuf_add(&text, answer, e);
    if (code == ERR_OK)
        code = learn_text(l->o->t, h->w, strbuf_str(&text), prompt.n, TOK_SPECIAL_ADD, out, e);
    strbuf_fini(&text);
    TRY(code);
    if (l->eos < 0 || (out->ids.n > 0 && out->ids.id[out->ids.n - 1] == l->eos)) {
        if (l->eos >= 0)
            out->learn.p[out->learn.n - 1] = 1;
        return ERR_OK;
    }
    TRY(tok_ids_add(&out->ids, l->eos, e));
    return strbuf_addc(&out->learn, 1, e);
}

static err_code write_way(const loader *l, hand *h, int way, learned_ids *out, err *e) {
    const record *r = &h->r;
    if (r->form == RECORD_TEXT)
        return write_plain(l, h, STR(""), r->text, out, e);
    if (l->o->chat)
        return render(l, h, &r->way[way], out, e);
    if (!r->is_plain)
        return err_set(e, ERR_USAGE,
                       "a conversation, and the model has no chat template (--template NAME or FILE gives it one)");
    return write_plain(l, h, r->prompt, r->answer[way], out, e);
}

/* The first token is predicted by nothing. Two ways begin with the same tokens, up to the first that is learned. */
static err_code check_ways(item *it, err *e) {
    int n_ways = it->form == RECORD_PAIR ? 2 : 1;
    for (int k = 0; k < n_ways; k++) {
        strbuf *learn = &it->way[k].learn;
        if (learn->n > UINT32_MAX)
            return err_set(e, ERR_LIMIT, "%zu tokens are more than any model reads", learn->n);
        if (learn->n > 0)
            learn->p[0] = 0;
        if (learn->n == 0 || !memchr(learn->p, 1, learn->n))
            return err_set(e, ERR_FORMAT, "nothing in it is learned (no text, or none of the chosen roles)");
    }
    const learned_ids *a = &it->way[0], *b = &it->way[1];
    while (n_ways == 2 && it->n_prompt < a->ids.n && it->n_prompt < b->ids.n &&
           a->ids.id[it->n_prompt] == b->ids.id[it->n_prompt] && !a->learn.p[it->n_prompt] && !b->learn.p[it->n_prompt])
        it->n_prompt++;
    return ERR_OK;
}

static err_code write_ways(const loader *l, hand *h, item *it, err *e) {
    bool pair = it->form == RECORD_PAIR;
    if (l->o->pairs != pair)
        return err_set(e, ERR_USAGE,
                       pair ? "is a pair of chosen and rejected, which only preference tuning (--dpo) reads"
                            : "is no pair of chosen and rejected, which preference tuning needs");
    TRY(write_way(l, h, 0, &it->way[0], e));
    if (pair)
        TRY(write_way(l, h, 1, &it->way[1], e));
    return check_ways(it, e);
}

static err_code prepare(const loader *l, hand *h, item *it, err *e) {
    str text = str_sub(strbuf_str(&l->bytes), it->from, it->from + it->n);
    TRY((lines_are_documents(l->in) ? record_read_document : record_read)(&h->r, text, e));
    it->form = h->r.form;
    err_code code = write_ways(l, h, it, e);
    if (code != ERR_OK && code != ERR_MEMORY)
        TRY(record_show(&h->r, EXAMPLES_BAD_BYTES, &it->shown, e));
    return code;
}

static void prepare_some(void *ctx, int part, int n_parts) {
    loader *l = ctx;
    (void)n_parts;
    for (size_t i; (i = atomic_fetch_add(&l->taken, 1)) < l->n_items;)
        l->item[i].problem.code = prepare(l, &l->hand[part], &l->item[i], &l->item[i].problem);
}

/* ---- taking them in order ---- */

static void reset_item(item *it) {
    for (int k = 0; k < 2; k++)
        learned_fini(&it->way[k]);
    strbuf_fini(&it->shown);
    *it = (item){0};
}

static err_code place_of(const examples *x, uint32_t file, uint64_t number, strbuf *out, err *e) {
    const examples_file *f = &x->file[file];
    return strbuf_addf(out, e, f->is_set ? "%s: document %" PRIu64 : "%s:%" PRIu64, f->path, number);
}

/* The example's problem with its place in front. */
static err_code refuse(loader *l, item *it, err *e) {
    strbuf place = {0};
    strbuf_fini(&l->x->bad);
    l->x->bad = it->shown;
    it->shown = (strbuf){0};
    if (place_of(l->x, l->file, it->number, &place, NULL) == ERR_OK)
        err_set(e, it->problem.code, "%.*s: %s", (int)place.n, place.p, it->problem.text);
    else if (e)
        *e = it->problem;
    strbuf_fini(&place);
    return it->problem.code;
}

static err_code grow(void *array, size_t *cap, size_t wanted, size_t size, err *e) {
    void **p = array;
    if (wanted <= *cap)
        return ERR_OK;
    size_t more = *cap + *cap / 2 + 1024;
    more = more < wanted ? wanted : more;
    void *v = more <= SIZE_MAX / size ? realloc(*p, more * size) : NULL;
    if (!v)
        return err_set(e, ERR_MEMORY, "no memory for %zu tokens and their examples", wanted);
    *p = v;
    *cap = more;
    return ERR_OK;
}

static err_code take_way(loader *l, const learned_ids *way, example_seq *s, err *e) {
    examples *x = l->x;
    size_t n = way->ids.n, cap = l->cap_ids;
    TRY(grow(&x->id, &cap, x->n_ids + n, sizeof *x->id, e));
    TRY(grow(&x->learn, &l->cap_ids, x->n_ids + n, sizeof *x->learn, e));
    memcpy(x->id + x->n_ids, way->ids.id, n * sizeof *x->id);
    memcpy(x->learn + x->n_ids, way->learn.p, n);
    *s = (example_seq){.from = x->n_ids, .n = (uint32_t)n};
    for (size_t i = 0; i < n; i++)
        s->n_learned += way->learn.p[i] != 0;
    x->n_ids += n;
    x->n_learned += s->n_learned;
    x->longest = s->n > x->longest ? s->n : x->longest;
    return ERR_OK;
}

static err_code take(loader *l, item *it, err *e) {
    examples *x = l->x;
    if (it->problem.code != ERR_OK)
        return refuse(l, it, e);
    size_t longest = it->way[0].ids.n > it->way[1].ids.n ? it->way[0].ids.n : it->way[1].ids.n;
    if (longest > l->o->ctx_tokens) {
        if (l->n_long < EXAMPLES_LONG_NAMED)
            l->named[l->n_long] = (too_long){l->file, it->number, longest};
        l->n_long++;
        x->n_long++;
        x->file[l->file].n_long++;
        return ERR_OK;
    }
    if (x->n == EXAMPLES_MAX)
        return err_set(e, ERR_LIMIT, "more than %d examples", EXAMPLES_MAX);
    TRY(grow(&x->example, &l->cap, x->n + 1, sizeof *x->example, e));
    example *ex = &x->example[x->n];
    *ex = (example){
        .sha256 = it->sha256, .file = l->file, .form = it->form, .number = it->number, .n_prompt = it->n_prompt};
    for (int k = 0; k < (it->form == RECORD_PAIR ? 2 : 1); k++)
        TRY(take_way(l, &it->way[k], &ex->seq[k], e));
    x->n++;
    x->file[l->file].n++;
    x->file[l->file].n_form[it->form]++;
    return ERR_OK;
}

static err_code fill(loader *l, bool *got, err *e) {
    l->n_items = l->bytes.n = 0;
    while (l->n_items < BATCH_ITEMS && l->bytes.n < BATCH_BYTES) {
        line_item in;
        TRY(lines_next(l->in, &in, got, e));
        if (!*got)
            break;
        l->item[l->n_items++] = (item){.from = l->bytes.n, .n = in.text.n, .number = in.number, .sha256 = in.sha256};
        TRY(strbuf_add(&l->bytes, in.text, e));
    }
    return ERR_OK;
}

static err_code take_batch(loader *l, bool *got, err *e) {
    TRY(fill(l, got, e));
    atomic_store(&l->taken, 0);
    pool_run(l->o->workers, prepare_some, l);
    err_code code = ERR_OK;
    for (size_t i = 0; i < l->n_items; i++) {
        if (code == ERR_OK)
            code = take(l, &l->item[i], e);
        reset_item(&l->item[i]);
    }
    if (code == ERR_OK && l->o->stop && *l->o->stop)
        code = err_set(e, ERR_CANCELLED, "stopped");
    if (l->o->progress) {
        uint64_t done, total;
        lines_progress(l->in, &done, &total);
        l->o->progress(l->o->progress_ctx, done, total);
    }
    return code;
}

static err_code take_file(loader *l, err *e) {
    const char *path = l->o->path[l->file];
    TRY(lines_open(&l->in, path, l->o->where, e));
    examples_file *f = &l->x->file[l->file];
    *f = (examples_file){.path = path, .is_set = lines_are_documents(l->in)};
    err_code code = ERR_OK;
    for (bool got = true; code == ERR_OK && got;)
        code = take_batch(l, &got, e);
    lines_close(l->in);
    l->in = NULL;
    return code;
}

/* ---- all of them ---- */

static err_code refuse_long(const loader *l, err *e) {
    strbuf text = {0};
    err_code code = ERR_OK;
    for (size_t i = 0; i < l->n_long && i < EXAMPLES_LONG_NAMED && code == ERR_OK; i++) {
        code = i > 0 ? strbuf_add(&text, STR(", "), e) : ERR_OK;
        if (code == ERR_OK)
            code = place_of(l->x, l->named[i].file, l->named[i].number, &text, e);
        if (code == ERR_OK)
            code = strbuf_addf(&text, e, " (%zu)", l->named[i].n);
        if (text.n > 240) { /* what to do must fit into the line, too */
            text.n = 240;
            code = strbuf_add(&text, STR(" ..."), e);
            break;
        }
    }
    if (code == ERR_OK)
        code = err_set(e, ERR_LIMIT,
                       "%zu of %zu examples have more than %zu tokens, line by line: %.*s (--ctx N makes room, "
                       "--drop-long leaves them out)",
                       l->n_long, l->x->n + l->n_long, l->o->ctx_tokens, (int)text.n, text.p);
    strbuf_fini(&text);
    return code;
}

typedef struct {
    hash256 sha256;
    uint32_t i;
} sorted;

static int by_digest(const void *a, const void *b) {
    const sorted *x = a, *y = b;
    int c = memcmp(x->sha256.byte, y->sha256.byte, sizeof x->sha256.byte);
    return c ? c : (x->i > y->i) - (x->i < y->i);
}

/* Examples by (sha256, order of reading). */
static err_code number(examples *x, err *e) {
    sorted *s = calloc(x->n + 1, sizeof *s);
    example *ex = calloc(x->n + 1, sizeof *ex);
    x->sha256 = calloc(x->n + 1, sizeof *x->sha256);
    x->by_reading = calloc(x->n + 1, sizeof *x->by_reading);
    if (!s || !ex || !x->sha256 || !x->by_reading) {
        free(s);
        free(ex);
        return err_set(e, ERR_MEMORY, "no memory to sort %zu examples", x->n);
    }
    for (size_t i = 0; i < x->n; i++)
        s[i] = (sorted){x->example[i].sha256, (uint32_t)i};
    qsort(s, x->n, sizeof *s, by_digest);
    for (size_t i = 0; i < x->n; i++) {
        ex[i] = x->example[s[i].i];
        x->sha256[i] = s[i].sha256;
        x->by_reading[s[i].i] = (uint32_t)i;
    }
    free(s);
    free(x->example);
    x->example = ex;
    hash_state *h;
    TRY(hash_open(&h, e));
    for (size_t i = 0; i < x->n; i++)
        hash_add(h, x->sha256[i].byte, sizeof x->sha256[i].byte);
    x->digest = hash_close(h);
    return ERR_OK;
}

static err_code open_loader(loader *l, err *e) {
    const examples_options *o = l->o;
    size_t n_hands = (size_t)pool_threads(o->workers);
    l->x->file = calloc(o->n_paths + 1, sizeof *l->x->file);
    l->hand = calloc(n_hands, sizeof *l->hand);
    if (!l->x->file || !l->hand)
        return err_set(e, ERR_MEMORY, "no memory to read examples");
    l->x->n_files = o->n_paths;
    for (size_t i = 0; i < n_hands; i++)
        TRY(tok_work_open(&l->hand[i].w, o->t, e));
    l->eos = tokenizer_eos(o->t);
    return o->chat ? tool_style_learn(&l->style, o->chat, o->t, chat_source(o->chat), e) : ERR_OK;
}

static void close_loader(loader *l) {
    for (size_t i = 0; l->hand && i < (size_t)pool_threads(l->o->workers); i++) {
        tok_work_close(l->hand[i].w);
        record_fini(&l->hand[i].r);
    }
    free(l->hand);
    lines_close(l->in);
    strbuf_fini(&l->bytes);
    free(l);
}

static err_code load(loader *l, err *e) {
    TRY(open_loader(l, e));
    for (l->file = 0; l->file < l->o->n_paths; l->file++)
        TRY(take_file(l, e));
    if (l->n_long > 0 && !l->o->drop_long)
        return refuse_long(l, e);
    if (l->x->n == 0)
        return err_set(e, ERR_USAGE, "%s: %s", l->o->n_paths ? l->o->path[0] : "no file",
                       l->n_long ? "every example is too long" : "there is no example in it");
    return number(l->x, e);
}

err_code examples_open(examples *x, const examples_options *o, err *e) {
    *x = (examples){0};
    loader *l = calloc(1, sizeof *l);
    if (!l)
        return err_set(e, ERR_MEMORY, "no memory to read examples");
    l->o = o;
    l->x = x;
    err_code code = load(l, e);
    close_loader(l);
    return code;
}

void examples_close(examples *x) {
    free(x->example);
    free(x->sha256);
    free(x->by_reading);
    free(x->id);
    free(x->learn);
    free(x->file);
    strbuf_fini(&x->bad);
    *x = (examples){0};
}

err_code examples_place(const examples *x, const example *ex, strbuf *out, err *e) {
    return place_of(x, ex->file, ex->number, out, e);
}
