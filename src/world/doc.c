/* doc: see doc.h. */
#include "world/doc.h"

#include <assert.h>
#include <string.h>

#include "text/json.h"
#include "world/list.h"
#include "world/say.h"
#include "world/tell.h"

const char *const doc_kind_names[DOC_KINDS] = {"fact", "qa", "plan", "story", "list"};
const char *const world_mix_names[MIXES + 1] = {"full", "tiny", "small", "bare", NULL};

/* Of a block: documents by kind. */
typedef struct {
    unsigned block, to[DOC_KINDS]; /* positions up to which a kind goes */
    uint8_t level_percent[LEVEL_MAX + 1];
    uint8_t question_only;   /* percent of fact documents */
    uint8_t questions[2][2]; /* after a story of level 1, of a higher one: at least, at most */
} shares;

static const shares mixes[MIXES] = {
    [MIX_FULL] = {480, {FACTS, FACTS + 200, FACTS + 296, 480, 480}, {0, 45, 30, 25}, 40, {{1, 3}, {1, 4}}},
    [MIX_TINY] = {120, {FACTS, FACTS + 12, FACTS + 18, 120, 120}, {0, 100, 0, 0}, 75, {{1, 3}}},
    [MIX_SMALL] = {480, {FACTS, FACTS + 234, FACTS + 360, 480, 480}, {0, 100, 0, 0}, 75, {{6, DOC_QUESTIONS_MAX}}},
    [MIX_BARE] =
        {480, {FACTS, FACTS + 110, FACTS + 218, FACTS + 228, 480}, {0, 100, 0, 0}, 75, {{6, DOC_QUESTIONS_MAX}}},
};

bool world_mix_parse(str name, world_mix *mix) {
    for (int i = 0; i < MIXES; i++)
        if (str_is(name, world_mix_names[i])) {
            *mix = (world_mix)i;
            return true;
        }
    return false;
}

bool world_mix_is_bare(world_mix mix) { return mix == MIX_BARE; }

/* Position of a number in its block's order: an affine map, the block's own. */
static unsigned position(const world *w, uint64_t number) {
    static const uint8_t step[] = {7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47}; /* without a divisor of 480 */
    unsigned n = mixes[w->mix].block;
    draw d = draw_begin(w->seed, w->split, (number / n) * n);
    d.k = DRAW_THROWS_MAX - 2; /* the first document of the block does not throw so often */
    unsigned a = step[draw_below(&d, sizeof step)], c = draw_below(&d, n);
    return (unsigned)((number % n) * a + c) % n;
}

unsigned doc_draw_level(world_mix mix, draw *d) {
    unsigned x = draw_below(d, 100), level = LEVEL_MIN;
    for (; x >= mixes[mix].level_percent[level]; level++)
        x -= mixes[mix].level_percent[level];
    return level;
}

static draw look(const world *w, uint64_t number, doc_info *info) {
    const shares *s = &mixes[w->mix];
    draw d = draw_begin(w->seed, w->split, number);
    unsigned at = position(w, number);
    *info = (doc_info){0};
    while (at >= s->to[info->kind])
        info->kind++;
    if (info->kind == DOC_FACT) {
        info->fact[info->n_facts++] = at;
        unsigned more = draw_below(&d, FACTS * 8);
        if (more < FACTS && more != at)
            info->fact[info->n_facts++] = more;
        info->topic = fact_relation(at);
        return d;
    }
    if (info->kind != DOC_LIST)
        info->level = doc_draw_level(w->mix, &d);
    return d;
}

void doc_look(const world *w, uint64_t number, doc_info *info) { look(w, number, info); }

/* ---- texts ---- */

static void space(pen *p) {
    if (p->n > 0 && p->text[p->n - 1] != '\n')
        pen_add(p, " ");
}

static void qa(pen *p, uint64_t seed, unsigned fact, unsigned wording) {
    pen_add(p, "Q: ");
    fact_question(p, seed, fact, wording);
    pen_add(p, "\nA: ");
    fact_answer(p, seed, fact);
    pen_add(p, "\n");
}

/* A wording of the question that training may use; k counts them off. */
static unsigned train_wording(unsigned fact, unsigned k) {
    return (fact_test_wording(fact) + 1 + k % (FACT_WORDINGS - 1)) % FACT_WORDINGS;
}

static void write_fact(const world *w, draw *d, pen *p, const doc_info *info) {
    unsigned form = draw_below(d, 100);
    bool states = form >= mixes[w->mix].question_only, asks = !states || draw_chance(d, 50);
    for (unsigned i = 0; i < info->n_facts && states; i++) {
        unsigned n = draw_from(d, 1, 3), first = draw_below(d, FACT_WORDINGS);
        for (unsigned k = 0; k < n; k++) {
            space(p);
            fact_state(p, w->seed, info->fact[i], (first + k) % FACT_WORDINGS);
        }
    }
    if (states)
        pen_add(p, "\n");
    for (unsigned i = 0; i < info->n_facts && asks; i++) {
        unsigned n = w->split == SPLIT_TEST ? 1 : draw_from(d, 1, 2), first = draw_below(d, FACT_WORDINGS - 1);
        for (unsigned k = 0; k < n; k++)
            qa(p, w->seed, info->fact[i],
               w->split == SPLIT_TEST ? fact_test_wording(info->fact[i]) : train_wording(info->fact[i], first + k));
    }
}

/* "The Pink Toy Car" */
static void write_title(draw *d, pen *p, const sim_log *log) {
    const sim_thing *t = &log->start.thing[draw_below(d, log->start.n_things)];
    size_t from = p->n;
    pen_add(p, "The ");
    pen_add(p, word_colours[t->colour]);
    pen_add(p, " ");
    pen_add(p, word_things[t->noun].name);
    for (size_t i = from + 1; i < p->n; i++)
        if (p->text[i - 1] == ' ')
            p->text[i] = (char)(p->text[i] - 'a' + 'A');
    pen_add(p, "\n");
}

static void write_questions(const world *w, draw *d, pen *p, const sim_log *log, unsigned level) {
    question asked[DOC_QUESTIONS_MAX];
    const uint8_t *range = mixes[w->mix].questions[level > 1];
    unsigned n = 0, want = draw_from(d, range[0], range[1]);
    for (unsigned tries = 0; n < want && tries < 3 * want; tries++) {
        question q;
        bool again = !ask_draw(d, log, level, &q);
        for (unsigned i = 0; i < n && !again; i++)
            again = asked[i].type == q.type && asked[i].of == q.of;
        if (again)
            continue;
        q.whole = world_mix_is_bare(w->mix);
        asked[n++] = q;
        pen_add(p, "Q: ");
        ask_question(p, log, &q);
        pen_add(p, "\nA: ");
        ask_answer(p, log, &q);
        pen_add(p, "\n");
    }
}

static void write_story(const world *w, draw *d, pen *p, doc_info *info) {
    sim_log log;
    story_make(d, info->level, w->split, &log, &info->topic);
    if (info->kind == DOC_STORY && draw_chance(d, 30))
        write_title(d, p, &log);
    tell_story(p, d, &log, info->level, world_mix_is_bare(w->mix), info->kind == DOC_STORY && draw_chance(d, 50));
    pen_add(p, "\n");
    if (info->kind == DOC_QA)
        write_questions(w, d, p, &log, info->level);
}

static void write_plan(const world *w, draw *d, pen *p, doc_info *info) {
    plan_task task;
    plan_draw(d, info->level, w->split, &task);
    info->topic = task.topic;
    plan_prompt(p, d, info->level, world_mix_is_bare(w->mix), &task);
    plan_write(p, &task);
}

void doc_make(const world *w, uint64_t number, pen *p, doc_info *info) {
    draw d = look(w, number, info);
    pen_clear(p);
    if (info->kind == DOC_FACT)
        write_fact(w, &d, p, info);
    else if (info->kind == DOC_PLAN)
        write_plan(w, &d, p, info);
    else if (info->kind == DOC_LIST)
        list_write(&d, p, &info->topic);
    else
        write_story(w, &d, p, info);
    assert(!p->full);
}

/* ---- JSON Lines ---- */

void doc_id(const world *w, uint64_t number, char id[DOC_ID_BYTES]) {
    char digits[24];
    size_t n = 0, at = 0;
    for (uint64_t x = number; x > 0 || n < 6; x /= 10)
        digits[n++] = (char)('0' + x % 10);
    const char *head = w->split == SPLIT_TEST ? "hw-test-" : "hw-";
    for (; head[at]; at++)
        id[at] = head[at];
    while (n > 0)
        id[at++] = digits[--n];
    id[at] = 0;
    assert(at < DOC_ID_BYTES);
}

static err_code line(const world *w, uint64_t number, strbuf *out, err *e) {
    pen p;
    doc_info info;
    char id[DOC_ID_BYTES];
    doc_make(w, number, &p, &info);
    doc_id(w, number, id);
    TRY(strbuf_add(out, STR("{\"id\":\""), e));
    TRY(strbuf_add(out, str_from(id), e));
    TRY(strbuf_add(out, STR("\",\"text\":"), e));
    TRY(json_quote(pen_str(&p), out, e));
    TRY(strbuf_add(out, STR(",\"source\":\"homeworld\",\"licence\":\"CC0-1.0\",\"topic\":\""), e));
    TRY(strbuf_add(out, str_from(info.topic), e));
    TRY(strbuf_add(out, STR("\",\"kind\":\""), e));
    TRY(strbuf_add(out, str_from(doc_kind_names[info.kind]), e));
    TRY(strbuf_add(out, STR("\",\"facts\":["), e));
    for (unsigned i = 0; i < info.n_facts; i++) {
        char fact[FACT_ID_BYTES];
        fact_id(info.fact[i], fact);
        TRY(strbuf_add(out, i > 0 ? STR(",\"") : STR("\""), e));
        TRY(strbuf_add(out, str_from(fact), e));
        TRY(strbuf_addc(out, '"', e));
    }
    return strbuf_add(out, STR("]}\n"), e);
}

err_code doc_line(const world *w, uint64_t number, strbuf *out, err *e) {
    size_t before = out->n;
    err_code code = line(w, number, out, e);
    if (code != ERR_OK)
        out->n = before;
    return code;
}
