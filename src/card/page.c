/* page: the facts put into words, once for all forms that people read. */
#include "card/page.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static err_code add(page *p, block b, err *e) {
    if (p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 128;
        block *more;
        ARENA_NEW(&p->f->mem, more, cap, e);
        if (p->n)
            memcpy(more, p->at, p->n * sizeof *more);
        p->at = more;
        p->cap = cap;
    }
    p->at[p->n++] = b;
    return ERR_OK;
}

static err_code heading(page *p, int level, str text, err *e) {
    return add(p, (block){.kind = BLOCK_HEADING, .level = level, .n = 1, .text = {text}}, e);
}

static err_code say(page *p, block_kind kind, err *e, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static err_code say(page *p, block_kind kind, err *e, const char *fmt, ...) {
    char text[FACTS_TEXT_BYTES_MAX];
    block b = {.kind = kind, .n = 1};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    TRY(facts_clean(p->f, str_from(text), &b.text[0], e));
    return add(p, b, e);
}

static err_code table(page *p, err *e, bool code, int n, ...) {
    block b = {.kind = BLOCK_TABLE, .n = n, .code = code};
    va_list ap;
    va_start(ap, n);
    for (int i = 0; i < n; i++)
        b.text[i] = str_from(va_arg(ap, const char *));
    va_end(ap);
    return add(p, b, e);
}

static err_code row(page *p, err *e, int n, ...) {
    block b = {.kind = BLOCK_ROW, .n = n};
    va_list ap;
    va_start(ap, n);
    for (int i = 0; i < n; i++)
        b.text[i] = va_arg(ap, str);
    va_end(ap);
    return add(p, b, e);
}

/* A row of name and value, left out when there is no value. */
static err_code line(page *p, const char *name, str value, err *e) {
    return value.n ? row(p, e, 2, str_from(name), value) : ERR_OK;
}

static err_code number(page *p, const char *name, err *e, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static err_code number(page *p, const char *name, err *e, const char *fmt, ...) {
    char text[300];
    str value;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    TRY(facts_clean(p->f, str_from(text), &value, e));
    return line(p, name, value, e);
}

/* 1234567 as "1,234,567" */
typedef struct {
    char text[32];
} digits;
static digits grouped(uint64_t x) {
    char plain[24];
    digits out = {{0}};
    int n = snprintf(plain, sizeof plain, "%" PRIu64, x), at = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            out.text[at++] = ',';
        out.text[at++] = plain[i];
    }
    return out;
}

/* ---- sections ---- */

static const char *const forms[] = {"a run of Loam", "a GGUF file", "a Hugging Face folder"};

static err_code summary(page *p, const openness *o, err *e) {
    card_facts *f = p->f;
    str date = {0};
    static const char *const classes[] = {"no class", "Class I, open science", "Class II, open tooling",
                                          "Class III, open model"};
    TRY(heading(p, 1, f->name, e));
    if (f->said.description.n)
        TRY(add(p, (block){.kind = BLOCK_TEXT, .n = 1, .text = {f->said.description}}, e));
    TRY(table(p, e, false, 2, "", ""));
    TRY(line(p, "What", str_from(forms[f->form]), e));
    TRY(line(p, "Made by", f->said.by, e));
    TRY(line(p, "Version", f->said.version, e));
    if (f->created >= 0) {
        TRY(facts_time(f, f->created, false, &date, e));
        TRY(line(p, "Date", date, e));
    }
    TRY(line(p, "Where", f->said.url, e));
    TRY(line(p, "Licence of the weights", f->licence.n ? f->licence : STR("unknown"), e));
    TRY(line(p, "Based on", f->base, e));
    TRY(line(p, "Languages", f->languages, e));
    TRY(line(p, "Data sets it names", f->datasets, e));
    TRY(number(p, "Model Openness Framework", e, "%s", classes[o->mof_class]));
    return number(p, "Open Source AI Definition 1.0", e, "%s: %zu of %d items",
                  o->osaid_met ? "met" : "not met as far as can be seen", o->osaid_n, OPENNESS_OSAID_ITEMS);
}

static err_code architecture(page *p, err *e) {
    card_facts *f = p->f;
    TRY(heading(p, 2, STR("Architecture"), e));
    TRY(table(p, e, false, 2, "", ""));
    TRY(line(p, "Family", f->shape.family.n ? f->shape.family : STR("unknown"), e));
    TRY(number(p, "Parameters", e, "%s", f->parameters ? grouped(f->parameters).text : "unknown"));
    if (f->shape.known) {
        TRY(number(p, "Layers", e, "%" PRIu64, f->shape.layers));
        TRY(number(p, "Width", e, "%" PRIu64 ", feed-forward %" PRIu64, f->shape.width, f->shape.ff));
        TRY(number(p, "Heads", e, "%" PRIu64 " of %" PRIu64 ", %" PRIu64 " for keys and values", f->shape.heads,
                   f->shape.head_width, f->shape.kv_heads));
        if (f->shape.vocab)
            TRY(number(p, "Vocabulary", e, "%s tokens%s", grouped(f->shape.vocab).text,
                       f->shape.tied ? ", output tied to the embedding" : ""));
        TRY(number(p, "Context", e, "%s positions", grouped(f->shape.ctx).text));
        if (f->shape.window)
            TRY(number(p, "Sliding window", e, "%s positions", grouped(f->shape.window).text));
    }
    if (f->tensors)
        TRY(number(p, "Tensors", e, "%" PRIu64 ", %s bytes: %.*s", f->tensors, grouped(f->bytes).text,
                   (int)(f->types.n < 200 ? f->types.n : 200), f->types.p));
    TRY(line(p, "Tokenizer", f->tokenizer.n ? f->tokenizer : STR("unknown"), e));
    return line(p, "Chat template", f->chat_template ? STR("in the file") : STR("none: it continues texts"), e);
}

static str licence_shown(str licence) { return licence.n ? licence : STR("unknown"); }

static err_code data(page *p, err *e) {
    card_facts *f = p->f;
    TRY(heading(p, 2, STR("Data"), e));
    if (!f->data.named)
        return say(p, BLOCK_TEXT, e, "%s",
                   f->datasets.n
                       ? "The model names data sets (above). Nothing shows that it was trained on exactly these; how "
                         "much of them, and under which licences, is not told."
                       : "Unknown: the model does not say what it was trained on.");
    TRY(table(p, e, false, 2, "", ""));
    TRY(line(p, "Source", f->data.source, e));
    TRY(line(p, "Condition", f->data.where, e));
    if (f->data.documents)
        TRY(number(p, "Documents", e, "%s", grouped(f->data.documents).text));
    if (!f->data.here)
        return say(p, BLOCK_TEXT, e,
                   "The data set with the digest below is not here: its sources and licences cannot be told.");
    TRY(number(p, "Bytes of text", e, "%s", grouped(f->data.bytes).text));
    TRY(number(p, "Held out", e, "%s documents", grouped(f->data.held_out).text));
    TRY(number(p, "Under an open licence", e, "%s documents",
               grouped(f->data.documents - f->data.unknown_documents - f->data.closed_documents).text));
    TRY(number(p, "Licence unknown", e, "%s documents", grouped(f->data.unknown_documents).text));
    TRY(number(p, "Licence not known to be open", e, "%s documents", grouped(f->data.closed_documents).text));
    TRY(heading(p, 3, STR("By licence"), e));
    TRY(table(p, e, false, 3, "Licence", "Documents", "Bytes"));
    for (size_t i = 0; i < f->data.n_licences && i < FACTS_ROWS_SHOWN; i++) {
        const card_origin *l = &f->data.licence[i];
        str documents, bytes;
        TRY(facts_format(f, &documents, e, "%s", grouped(l->documents).text));
        TRY(facts_format(f, &bytes, e, "%s", grouped(l->bytes).text));
        TRY(row(p, e, 3, licence_shown(l->licence), documents, bytes));
    }
    TRY(heading(p, 3, STR("By source"), e));
    TRY(table(p, e, false, 4, "Source", "Licence", "Documents", "Bytes"));
    for (size_t i = 0; i < f->data.n_origins && i < FACTS_ROWS_SHOWN; i++) {
        const card_origin *l = &f->data.origin[i];
        str documents, bytes;
        TRY(facts_format(f, &documents, e, "%s", grouped(l->documents).text));
        TRY(facts_format(f, &bytes, e, "%s", grouped(l->bytes).text));
        TRY(row(p, e, 4, l->source.n ? l->source : STR("unknown"), licence_shown(l->licence), documents, bytes));
    }
    if (f->data.n_origins > FACTS_ROWS_SHOWN)
        TRY(say(p, BLOCK_TEXT, e, "And %zu sources more.", f->data.n_origins - FACTS_ROWS_SHOWN));
    return ERR_OK;
}

static err_code pairs(page *p, const char *title, const char *left, const char *right, const card_pairs *list,
                      bool code, err *e) {
    if (list->n == 0)
        return ERR_OK;
    TRY(heading(p, 2, str_from(title), e));
    TRY(table(p, e, code, 2, left, right));
    for (size_t i = 0; i < list->n; i++)
        TRY(row(p, e, 2, list->at[i].name, list->at[i].value));
    return ERR_OK;
}

static err_code training(page *p, err *e) {
    card_facts *f = p->f;
    if (!f->training.known)
        return ERR_OK;
    TRY(heading(p, 2, STR("Training"), e));
    TRY(table(p, e, false, 2, "", ""));
    TRY(number(p, "Steps", e, "%s of %s", grouped(f->training.steps).text, grouped(f->training.of_steps).text));
    TRY(number(p, "Tokens predicted", e, "%s", grouped(f->training.tokens).text));
    TRY(number(p, "Loss", e, "%.4f at the first step, %.4f at the last, nats a token", f->training.first_loss,
               f->training.last_loss));
    if (f->training.bits > 0)
        TRY(number(p, "Held-out text", e, "%.4f bits a byte, over %s bytes", f->training.bits,
                   grouped(f->training.bits_bytes).text));
    if (f->training.flops > 0)
        TRY(number(p, "Computation", e, "%.3g floating-point operations", f->training.flops));
    if (f->training.seconds > 0)
        TRY(number(p, "Time", e, "%.0f s, %.0f s of threads", f->training.seconds, f->training.thread_seconds));
    return number(p, "Checkpoints kept", e, "%" PRIu64, f->training.checkpoints);
}

static err_code energy(page *p, err *e) {
    card_facts *f = p->f;
    TRY(heading(p, 2, STR("Energy"), e));
    if (!f->energy.known)
        return say(p, BLOCK_TEXT, e, "Unknown.");
    if (f->energy.measured)
        return say(
            p, BLOCK_TEXT, e,
            "%.4g kWh for training, measured by the processors' own counters (RAPL): whole packages, without memory, "
            "disks and power supply.",
            f->energy.joules / 3.6e6);
    return say(p, BLOCK_TEXT, e,
               "About %.2g kWh for training: an estimate, not a measurement. It takes 8 W for each second of a busy "
               "thread; with 2 "
               "to 25 W it would be %.2g to %.2g kWh. The machine did not let its counters be read.",
               f->energy.joules / 3.6e6, f->energy.low / 3.6e6, f->energy.high / 3.6e6);
}

static err_code scores(page *p, err *e) {
    card_facts *f = p->f;
    TRY(heading(p, 2, STR("Scores"), e));
    if (f->n_scores == 0)
        return say(p, BLOCK_TEXT, e,
                   f->training.bits > 0 ? "Only the loss on held-out text is known (Training)." : "Unknown.");
    TRY(table(p, e, false, 5, "Task", "Right", "Share", "95 % interval", "By chance"));
    for (size_t i = 0; i < f->n_scores; i++) {
        const card_score *s = &f->score[i];
        str task, right, part, interval, chance = {0};
        TRY(facts_format(f, &task, e, "%.*s, %.*s", STR_ARG(s->task), STR_ARG(s->kind)));
        TRY(facts_format(f, &right, e, "%" PRIu64 " of %" PRIu64, s->right, s->n));
        TRY(facts_format(f, &part, e, "%.1f %%", 100 * s->accuracy));
        TRY(facts_format(f, &interval, e, "%.1f to %.1f %%", 100 * s->low, 100 * s->high));
        if (s->chance >= 0)
            TRY(facts_format(f, &chance, e, "%.1f %%", 100 * s->chance));
        TRY(row(p, e, 5, task, right, part, interval, chance));
    }
    return ERR_OK;
}

static err_code limits(page *p, err *e) {
    card_facts *f = p->f;
    TRY(heading(p, 2, STR("Limits"), e));
    for (size_t i = 0; i < f->limit.n; i++)
        TRY(add(p, (block){.kind = BLOCK_ITEM, .n = 1, .text = {f->limit.at[i].value}}, e));
    TRY(say(p, BLOCK_ITEM, e, "It can state falsehoods, and repeat texts it was trained on%s.",
            f->data.here ? "; loam trace finds such texts in the data" : ""));
    if (f->data.built_in)
        TRY(say(p, BLOCK_ITEM, e, "It knows nothing but the simulated household of homeworld."));
    if (f->shape.ctx)
        TRY(say(p, BLOCK_ITEM, e, "It was made for at most %s positions.", grouped(f->shape.ctx).text));
    if (!f->chat_template)
        TRY(say(p, BLOCK_ITEM, e, "It continues texts; it was not made to follow instructions."));
    return say(p, BLOCK_ITEM, e, "No tests for bias, safety or privacy are recorded here.");
}

static err_code grade(page *p, const openness *o, err *e) {
    TRY(heading(p, 2, STR("Openness"), e));
    TRY(say(p, BLOCK_TEXT, e,
            "Judged by the program from what it can see here. That things are published where others can get them is "
            "not checked."));
    TRY(heading(p, 3, STR("Model Openness Framework"), e));
    TRY(table(p, e, false, 4, "Class", "Item", "There", "What was seen, or is missing"));
    static const char *const classes[] = {"", "I", "II", "III"};
    for (size_t i = 0; i < OPENNESS_MOF_ITEMS; i++) {
        const openness_item *x = &o->mof[i];
        str name;
        TRY(facts_format(p->f, &name, e, "%s%s", x->name, x->optional ? " (optional)" : ""));
        TRY(row(p, e, 4, str_from(classes[x->mof_class]), name, str_from(card_have_names[x->have]), x->why));
    }
    TRY(heading(p, 3, STR("Open Source AI Definition 1.0"), e));
    TRY(table(p, e, false, 3, "Item", "There", "What was seen, or is missing"));
    for (size_t i = 0; i < OPENNESS_OSAID_ITEMS; i++)
        TRY(row(p, e, 3, str_from(o->osaid[i].name), str_from(card_have_names[o->osaid[i].have]), o->osaid[i].why));
    return ERR_OK;
}

static err_code check_it(page *p, err *e) {
    card_facts *f = p->f;
    if (!f->by_loam)
        return ERR_OK;
    TRY(heading(p, 2, STR("Check it yourself"), e));
    return say(p, BLOCK_TEXT, e, "%s",
               f->form == CARD_RUN
                   ? "loam verify executes the run again and compares every step; with --spot N a few segments that "
                     "nobody could foresee. The same bits come out on every machine."
                   : "The file carries its recipe. Who has the run's folder can execute it again: loam verify.");
}

err_code page_of(page *p, card_facts *f, const openness *o, err *e) {
    *p = (page){.f = f};
    TRY(summary(p, o, e));
    TRY(architecture(p, e));
    TRY(data(p, e));
    TRY(pairs(p, "Removals", "Removal", "What was taken out", &f->removal, false, e));
    TRY(training(p, e));
    TRY(pairs(p, "Recipe", "Key", "Value", &f->recipe, false, e));
    TRY(scores(p, e));
    TRY(energy(p, e));
    TRY(limits(p, e));
    TRY(pairs(p, "Unknown", "What", "Why", &f->unknown, false, e));
    TRY(grade(p, o, e));
    TRY(pairs(p, "Digests", "Of", "SHA-256", &f->digest, true, e));
    TRY(pairs(p, "What the file says of itself", "Key", "Value", &f->metadata, false, e));
    return check_it(p, e);
}
