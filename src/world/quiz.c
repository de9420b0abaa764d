/* quiz: see quiz.h. */
#include "world/quiz.h"

#include <assert.h>
#include <stdio.h>

#include "world/tell.h"

const char *const quiz_kind_names[QUIZ_KINDS + 1] = {"facts", "reading", "plans", NULL};

enum { ANSWER_BYTES_MAX = 256 };
#define ITEMS_MAX ((uint64_t)1 << 40)

static const struct {
    uint64_t count;
    unsigned usual, tokens_max;
    const char *stop;
} kinds[QUIZ_KINDS] = {
    [QUIZ_FACTS] = {FACTS * FACT_WORDINGS, FACTS, 24, "\n"},
    [QUIZ_READING] = {ITEMS_MAX, 400, 32, "\n"},
    [QUIZ_PLANS] = {ITEMS_MAX, 200, 320, "Done"},
};

uint64_t quiz_count(quiz_kind kind) { return kinds[kind].count; }
unsigned quiz_usual(quiz_kind kind) { return kinds[kind].usual; }
const char *quiz_stop(quiz_kind kind) { return kinds[kind].stop; }
unsigned quiz_tokens_max(quiz_kind kind) { return kinds[kind].tokens_max; }

static void make_fact(const world *w, uint64_t i, quiz_item *q) {
    unsigned fact = (unsigned)(i % FACTS), round = (unsigned)(i / FACTS);
    fact_id(fact, q->id);
    q->type = fact_relation(fact);
    q->chance = 1.0 / FACT_SUBJECTS;
    pen_add(&q->prompt, "Q: ");
    fact_question(&q->prompt, w->seed, fact, (fact_test_wording(fact) + round) % FACT_WORDINGS);
    pen_add(&q->prompt, "\nA:");
    fact_answer(&q->want, w->seed, fact);
}

static void name_item(quiz_item *q, const char *what, uint64_t i) {
    snprintf(q->id, sizeof q->id, "%s-%llu", what, (unsigned long long)i);
}

static void make_reading(draw *d, uint64_t i, bool bare, quiz_item *q) {
    sim_log log;
    question ask;
    const char *topic;
    name_item(q, "reading", i);
    do
        story_make(d, q->level, SPLIT_TEST, &log, &topic);
    while (!ask_draw(d, &log, q->level, &ask));
    ask.whole = bare;
    tell_story(&q->prompt, d, &log, q->level, bare, false);
    pen_add(&q->prompt, "\nQ: ");
    ask_question(&q->prompt, &log, &ask);
    pen_add(&q->prompt, "\nA:");
    ask_answer(&q->want, &log, &ask);
    q->type = ask_names[ask.type];
    q->chance = 1.0 / ask_choices(&log, &ask);
}

static void make_plan(draw *d, uint64_t i, bool bare, quiz_item *q) {
    name_item(q, "plan", i);
    plan_draw(d, q->level, SPLIT_TEST, &q->task);
    plan_prompt(&q->prompt, d, q->level, bare, &q->task);
    plan_write(&q->want, &q->task);
    q->type = q->task.topic;
}

void quiz_make(const world *w, quiz_kind kind, uint64_t i, quiz_item *q) {
    assert(i < quiz_count(kind));
    q->kind = kind;
    q->level = 0;
    q->chance = 0;
    pen_clear(&q->prompt);
    pen_clear(&q->want);
    if (kind == QUIZ_FACTS) {
        make_fact(w, i, q);
        return;
    }
    /* Numbers that the corpus does not reach. */
    draw d = draw_begin(w->seed, SPLIT_TEST, DRAW_NUMBER_MAX / 2 + ITEMS_MAX * (uint64_t)kind + i);
    q->level = doc_draw_level(w->mix, &d);
    if (kind == QUIZ_READING)
        make_reading(&d, i, world_mix_is_bare(w->mix), q);
    else
        make_plan(&d, i, world_mix_is_bare(w->mix), q);
    assert(!q->prompt.full && !q->want.full);
}

/* ---- judging ---- */

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* Lower case, one blank between words, none at the ends, no full stop at the end. Cut at the size of `out`. */
static str fold(str s, char out[ANSWER_BYTES_MAX]) {
    size_t n = 0;
    for (size_t i = 0; i < s.n && n < ANSWER_BYTES_MAX; i++) {
        char c = s.p[i];
        if (!is_blank(c))
            out[n++] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        else if (n > 0 && out[n - 1] != ' ')
            out[n++] = ' ';
    }
    while (n > 0 && (out[n - 1] == ' ' || out[n - 1] == '.'))
        n--;
    return (str){out, n};
}

bool quiz_right(const quiz_item *q, str answer, err *why) {
    if (q->kind == QUIZ_PLANS)
        return plan_check(&q->task, answer, why) == ERR_OK;
    char got[ANSWER_BYTES_MAX], want[ANSWER_BYTES_MAX];
    if (str_eq(fold(answer, got), fold(pen_str(&q->want), want)))
        return true;
    err_set(why, ERR_FORMAT, "the answer is \"%.*s\"", STR_ARG(pen_str(&q->want)));
    return false;
}
