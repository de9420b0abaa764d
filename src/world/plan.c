/* plan: see plan.h. */
#include "world/plan.h"

#include <assert.h>
#include <string.h>

#include "world/say.h"
#include "world/tell.h"

enum { TRIES = 60, TASKS_TRIED_MAX = 4000 };

enum { NO = SIM_NONE };

static plan_goal goal_of(uint8_t kind, uint8_t thing, uint8_t fixture, uint8_t actor, uint8_t room) {
    return (plan_goal){kind, thing, fixture, actor, room};
}

static bool is_met(const sim_house *h, uint8_t robot, const plan_goal *g) {
    switch ((plan_goal_kind)g->kind) {
    case GOAL_PUT:
        return h->thing[g->thing].where == AT_FIXTURE && h->thing[g->thing].at == g->fixture;
    case GOAL_GIVE:
        return h->thing[g->thing].where == AT_ACTOR && h->thing[g->thing].at == g->actor;
    case GOAL_GO:
        return h->actor[robot].room == g->room;
    case GOAL_OPEN:
        return h->fixture[g->fixture].open;
    case GOAL_CLOSE:
        return !h->fixture[g->fixture].open;
    case GOAL_ON:
        return h->fixture[g->fixture].on;
    case GOAL_OFF:
        return !h->fixture[g->fixture].on;
    case GOAL_WASH:
        return !h->thing[g->thing].dirty;
    }
    return false;
}

/* ---- the steps of a document's plan ---- */

typedef struct {
    sim_house h;
    uint8_t robot;
    sim_event step[PLAN_STEPS_MAX];
    unsigned n;
} solver;

static void step(solver *s, sim_event ev) {
    ev.actor = s->robot;
    const char *why = sim_apply(&s->h, &ev);
    assert(!why && s->n < PLAN_STEPS_MAX);
    (void)why;
    s->step[s->n++] = ev;
}

static void go(solver *s, uint8_t room) {
    if (s->h.actor[s->robot].room != room)
        step(s, sim_event_of(EV_GO, NO, NO, NO, NO, room));
}

static void open_up(solver *s, uint8_t f) {
    if (!s->h.fixture[f].open)
        step(s, sim_event_of(EV_OPEN, NO, NO, f, NO, NO));
}

static void fetch(solver *s, uint8_t t) {
    const sim_thing *x = &s->h.thing[t];
    if (x->where == AT_ACTOR && x->at == s->robot)
        return;
    go(s, sim_room_of(&s->h, t));
    if (x->where == AT_FIXTURE)
        open_up(s, x->at);
    step(s, sim_event_of(EV_TAKE, NO, t, NO, NO, NO));
}

static uint8_t sink_of(const sim_house *h) {
    for (uint8_t f = 0; f < h->n_fixtures; f++)
        if (word_fixtures[h->fixture[f].noun].washes)
            return f;
    return SIM_NONE;
}

static void reach(solver *s, const plan_goal *g) {
    switch ((plan_goal_kind)g->kind) {
    case GOAL_PUT:
        fetch(s, g->thing);
        go(s, s->h.fixture[g->fixture].room);
        open_up(s, g->fixture);
        step(s, sim_event_of(EV_PUT, NO, g->thing, g->fixture, NO, NO));
        break;
    case GOAL_GIVE:
        fetch(s, g->thing);
        go(s, s->h.actor[g->actor].room);
        step(s, sim_event_of(EV_GIVE, NO, g->thing, NO, g->actor, NO));
        break;
    case GOAL_GO:
        go(s, g->room);
        break;
    case GOAL_WASH:
        fetch(s, g->thing);
        go(s, s->h.fixture[sink_of(&s->h)].room);
        step(s, sim_event_of(EV_WASH, NO, g->thing, NO, NO, NO));
        break;
    case GOAL_OPEN:
    case GOAL_CLOSE:
    case GOAL_ON:
    case GOAL_OFF: {
        static const uint8_t kind[] = {
            [GOAL_OPEN] = EV_OPEN, [GOAL_CLOSE] = EV_CLOSE, [GOAL_ON] = EV_ON, [GOAL_OFF] = EV_OFF};
        go(s, s->h.fixture[g->fixture].room);
        step(s, sim_event_of(kind[g->kind], NO, NO, g->fixture, NO, NO));
        break;
    }
    }
}

static void solve(const plan_task *task, solver *s) {
    s->h = task->log.start;
    s->robot = task->robot;
    s->n = 0;
    for (unsigned i = 0; i < task->n_goals; i++)
        if (!is_met(&s->h, s->robot, &task->goal[i]))
            reach(s, &task->goal[i]);
}

static void write_step(pen *p, const sim_house *h, const sim_event *ev) {
    static const char *const verb[EV_ACTS] = {
        [EV_GO] = "go to",    [EV_TAKE] = "take",  [EV_PUT] = "put",      [EV_GIVE] = "give", [EV_OPEN] = "open",
        [EV_CLOSE] = "close", [EV_ON] = "turn on", [EV_OFF] = "turn off", [EV_WASH] = "wash",
    };
    pen_word(p, verb[ev->kind]);
    if (ev->thing != SIM_NONE)
        say_thing(p, h, ev->thing);
    if (ev->kind == EV_GO)
        say_room(p, h, ev->room);
    else if (ev->kind == EV_PUT)
        say_at_fixture(p, h, ev->fixture);
    else if (ev->fixture != SIM_NONE)
        say_fixture(p, h, ev->fixture);
    if (ev->kind == EV_GIVE) {
        pen_word(p, "to");
        say_actor(p, h, ev->other);
    }
}

void plan_write(pen *p, const plan_task *task) {
    solver s;
    solve(task, &s);
    for (unsigned i = 0; i < s.n; i++) {
        pen_number(p, i + 1);
        pen_add(p, ".");
        write_step(p, &task->log.start, &s.step[i]);
        pen_add(p, "\n");
    }
    pen_add(p, "Done.\n");
}

/* ---- drawing a task ---- */

typedef struct {
    draw *d;
    plan_task *task;
    sim_house h; /* as the goals so far leave it */
    unsigned level;
    world_split split;
} maker;

static bool can_fetch(const maker *m, uint8_t t) {
    const sim_thing *x = &m->h.thing[t];
    if (x->where != AT_FIXTURE && x->where != AT_FLOOR)
        return false;
    for (unsigned i = 0; i < m->task->n_goals; i++)
        if (m->task->goal[i].thing == t)
            return false;
    return true;
}

static bool in_split(const maker *m, unsigned noun, unsigned colour, uint8_t room) {
    return story_split_of(ROBOT, noun, colour, m->h.room[room]) == m->split;
}
static bool thing_in_split(const maker *m, uint8_t t, uint8_t room) {
    return in_split(m, m->h.thing[t].noun, m->h.thing[t].colour, room);
}
/* What is not about a thing: the fixture (or none, 99) and the room where the robot begins. */
static bool other_in_split(const maker *m, unsigned what, uint8_t room) {
    const sim_house *h = &m->task->log.start;
    return in_split(m, 100 + what, h->room[h->actor[m->task->robot].room], room);
}

static bool add_goal(maker *m, plan_goal g) {
    for (unsigned i = 0; i < m->task->n_goals; i++)
        if (m->task->goal[i].fixture == g.fixture && g.kind != GOAL_PUT && g.fixture != SIM_NONE)
            return false;
    m->task->goal[m->task->n_goals++] = g;
    return true;
}

static bool make_put(maker *m) {
    uint8_t t = (uint8_t)draw_below(m->d, m->h.n_things), f = (uint8_t)draw_below(m->d, m->h.n_fixtures);
    const sim_thing *x = &m->h.thing[t];
    return can_fetch(m, t) && word_fixtures[m->h.fixture[f].noun].prep && !(x->where == AT_FIXTURE && x->at == f) &&
           word_fits(x->noun, m->h.fixture[f].noun) && thing_in_split(m, t, m->h.fixture[f].room) &&
           add_goal(m, goal_of(GOAL_PUT, t, f, NO, NO));
}

static bool make_give(maker *m) {
    uint8_t t = (uint8_t)draw_below(m->d, m->h.n_things), a = (uint8_t)draw_below(m->d, m->h.n_actors);
    return a != m->task->robot && can_fetch(m, t) && thing_in_split(m, t, m->h.actor[a].room) &&
           add_goal(m, goal_of(GOAL_GIVE, t, NO, a, NO));
}

static bool make_go(maker *m) {
    uint8_t r = (uint8_t)draw_below(m->d, m->h.n_rooms);
    return m->h.actor[m->task->robot].room != r && other_in_split(m, FIXTURES, r) &&
           add_goal(m, goal_of(GOAL_GO, NO, NO, NO, r));
}

static bool make_fixture(maker *m) {
    uint8_t f = (uint8_t)draw_below(m->d, m->h.n_fixtures);
    const sim_fixture *x = &m->h.fixture[f];
    const word_fixture *w = &word_fixtures[x->noun];
    if ((!w->opens && !w->switches) || !other_in_split(m, x->noun, x->room))
        return false;
    uint8_t kind = w->opens ? x->open ? GOAL_CLOSE : GOAL_OPEN : x->on ? GOAL_OFF : GOAL_ON;
    return add_goal(m, goal_of(kind, NO, f, NO, NO));
}

static bool make_wash(maker *m) {
    uint8_t t = (uint8_t)draw_below(m->d, m->h.n_things), f = sink_of(&m->h);
    if (f == SIM_NONE || word_things[m->h.thing[t].noun].sort != SORT_DISH || !can_fetch(m, t) ||
        !thing_in_split(m, t, m->h.fixture[f].room))
        return false;
    m->h.thing[t].dirty = m->task->log.start.thing[t].dirty = true;
    return add_goal(m, goal_of(GOAL_WASH, t, NO, NO, NO));
}

static const struct {
    const char *name;
    bool (*make)(maker *m);
    uint8_t weight[LEVEL_MAX + 1];
} makers[] = {
    {"put", make_put, {0, 50, 34, 34}},         {"give", make_give, {0, 32, 28, 30}}, {"go", make_go, {0, 6, 5, 3}},
    {"fixture", make_fixture, {0, 12, 18, 18}}, {"wash", make_wash, {0, 0, 15, 15}},
};
enum { N_MAKERS = sizeof makers / sizeof *makers };

static int draw_maker(draw *d, unsigned level) {
    unsigned x = draw_below(d, 100);
    int i = 0;
    for (; x >= makers[i].weight[level]; i++)
        x -= makers[i].weight[level];
    return i;
}

static void add_fixture(draw *d, sim_house *h, unsigned from, unsigned to) {
    for (int i = 0; i < TRIES && h->n_fixtures < SIM_FIXTURES_MAX; i++) {
        uint8_t noun = (uint8_t)draw_from(d, from, to), room = (uint8_t)draw_below(d, h->n_rooms);
        bool has = false;
        for (unsigned k = 0; k < h->n_fixtures; k++)
            has |= h->fixture[k].noun == noun;
        if (has || !(word_fixtures[noun].rooms >> h->room[room] & 1))
            continue;
        h->fixture[h->n_fixtures++] = (sim_fixture){noun, room, !word_fixtures[noun].opens, draw_chance(d, 40)};
        return;
    }
}

enum { FIRST_THAT_OPENS = 14, LAST_THAT_OPENS = 19, SINK = 20, FIRST_DEVICE = 21, LAST_DEVICE = 23 };

/* One goal after another, and all of them hold in the end: "close the box and put the ball in the box" does not. */
static bool is_consistent(const plan_task *task) {
    solver s;
    solve(task, &s);
    for (unsigned i = 0; i < task->n_goals; i++)
        if (!is_met(&s.h, task->robot, &task->goal[i]))
            return false;
    return true;
}

static bool try_task(maker *m) {
    plan_task *task = m->task;
    sim_house *h = &task->log.start;
    story_furnish(m->d, m->level, true, h);
    task->robot = (uint8_t)(h->n_actors - 1);
    task->n_goals = 0;
    int kind = draw_maker(m->d, m->level);
    bool wash = makers[kind].make == make_wash, fixture = makers[kind].make == make_fixture;
    if (wash)
        add_fixture(m->d, h, SINK, SINK);
    if (fixture)
        add_fixture(m->d, h, FIRST_THAT_OPENS, LAST_DEVICE);
    for (unsigned f = 0; f < h->n_fixtures; f++)
        if (word_fixtures[h->fixture[f].noun].opens)
            h->fixture[f].open = draw_chance(m->d, 40);
    m->h = *h;
    bool alone = m->level == 1 || wash || makers[kind].make == make_go;
    unsigned want = alone ? 1 : draw_from(m->d, 1, m->level);
    task->topic = makers[kind].name;
    for (int i = 0; i < TRIES && task->n_goals == 0; i++)
        makers[kind].make(m);
    /* A second and third goal carry things: after them the robot's hand is free again. After washing it is not, and
     * having gone somewhere first would be no goal in the end. */
    for (int i = 0; i < TRIES && task->n_goals > 0 && task->n_goals < want; i++)
        makers[draw_below(m->d, 2)].make(m);
    task->log.end = *h;
    task->log.n = 0;
    return task->n_goals > 0 && is_consistent(task);
}

void plan_draw(draw *d, unsigned level, world_split split, plan_task *task) {
    maker m = {.d = d, .task = task, .level = level, .split = split};
    for (int i = 0; i < TASKS_TRIED_MAX; i++)
        if (try_task(&m))
            return;
    assert(false && "a task of the split is found long before");
}

/* ---- the order in English ---- */

static void say_actor_or_me(pen *p, const sim_house *h, uint8_t actor, uint8_t speaker) {
    if (actor == speaker)
        pen_word(p, "me");
    else
        say_actor(p, h, actor);
}

/* speaker: who says it, or SIM_NONE. */
static void say_order(pen *p, draw *d, unsigned level, const sim_house *h, const plan_goal *g, uint8_t speaker) {
    unsigned form = level == 1 ? 0 : draw_below(d, 3);
    switch ((plan_goal_kind)g->kind) {
    case GOAL_PUT:
        if (form == 1) {
            pen_word(p, "move");
            say_thing(p, h, g->thing);
            pen_word(p, "to");
            say_fixture(p, h, g->fixture);
            break;
        }
        pen_word(p, form == 2 ? "place" : "put");
        say_thing(p, h, g->thing);
        say_at_fixture(p, h, g->fixture);
        break;
    case GOAL_GIVE:
        if (form == 1) {
            pen_word(p, "bring");
            say_actor_or_me(p, h, g->actor, speaker);
            say_thing(p, h, g->thing);
        } else {
            pen_word(p, form == 2 ? "bring" : "give");
            say_thing(p, h, g->thing);
            pen_word(p, "to");
            say_actor_or_me(p, h, g->actor, speaker);
        }
        break;
    case GOAL_GO:
        pen_word(p, "go to");
        say_room(p, h, g->room);
        break;
    case GOAL_OPEN:
    case GOAL_CLOSE:
        pen_word(p, g->kind == GOAL_OPEN ? "open" : form == 1 ? "shut" : "close");
        say_fixture(p, h, g->fixture);
        break;
    case GOAL_ON:
    case GOAL_OFF:
        pen_word(p, form == 1 ? "switch" : "turn");
        pen_word(p, g->kind == GOAL_ON ? "on" : "off");
        say_fixture(p, h, g->fixture);
        break;
    case GOAL_WASH:
        pen_word(p, form == 1 ? "clean" : "wash");
        say_thing(p, h, g->thing);
        break;
    }
}

static void say_orders(pen *p, draw *d, unsigned level, const plan_task *task, uint8_t speaker) {
    for (unsigned i = 0; i < task->n_goals; i++) {
        if (i > 0)
            pen_add(p, i + 1 < task->n_goals ? "," : draw_chance(d, 50) ? " and" : ", then");
        say_order(p, d, level, &task->log.start, &task->goal[i], speaker);
    }
}

void plan_prompt(pen *p, draw *d, unsigned level, bool bare, const plan_task *task) {
    const sim_house *h = &task->log.start;
    tell_scene(p, d, &task->log, level, bare, true);
    for (uint8_t t = 0; t < h->n_things; t++)
        if (h->thing[t].dirty) {
            pen_add(p, " ");
            pen_start(p);
            say_thing(p, h, t);
            pen_word(p, "is dirty.");
        }
    pen_add(p, "\n");
    uint8_t speaker = level > 1 && draw_chance(d, 50) ? (uint8_t)draw_below(d, h->n_actors) : task->robot;
    if (speaker != task->robot) {
        pen_start(p);
        say_actor(p, h, speaker);
        pen_word(p, "says: \"Robot,");
        if (draw_chance(d, 60))
            pen_word(p, "please");
        say_orders(p, d, level, task, speaker);
        pen_add(p, ".\"\nPlan:\n");
    } else {
        pen_add(p, "Task:");
        say_orders(p, d, level, task, SIM_NONE);
        pen_add(p, ".\nPlan:\n");
    }
}

/* ---- reading a plan ---- */

/* Eats `word` and the blanks after it. */
static bool eat(str *s, const char *word) {
    str w = str_from(word);
    if (!str_starts(*s, w) || (s->n > w.n && s->p[w.n] != ' '))
        return false;
    *s = str_sub(*s, w.n, s->n);
    while (s->n > 0 && s->p[0] == ' ')
        *s = str_sub(*s, 1, s->n);
    return true;
}

static bool read_thing(str *s, const sim_house *h, uint8_t *out) {
    for (uint8_t t = 0; t < h->n_things; t++) {
        str rest = *s;
        if (eat(&rest, "the") && eat(&rest, word_colours[h->thing[t].colour]) &&
            eat(&rest, word_things[h->thing[t].noun].name)) {
            *s = rest;
            *out = t;
            return true;
        }
    }
    return false;
}

static bool read_fixture(str *s, const sim_house *h, uint8_t *out) {
    for (uint8_t f = 0; f < h->n_fixtures; f++) {
        str rest = *s;
        if (eat(&rest, "the") && eat(&rest, word_fixtures[h->fixture[f].noun].name)) {
            *s = rest;
            *out = f;
            return true;
        }
    }
    return false;
}

static bool read_room(str *s, const sim_house *h, uint8_t *out) {
    for (uint8_t r = 0; r < h->n_rooms; r++) {
        str rest = *s;
        if (eat(&rest, "the") && eat(&rest, word_rooms[h->room[r]].name)) {
            *s = rest;
            *out = r;
            return true;
        }
    }
    return false;
}

static bool read_person(str *s, const sim_house *h, uint8_t *out) {
    for (uint8_t a = 0; a < h->n_actors; a++)
        if (h->actor[a].who != ROBOT && eat(s, word_people[h->actor[a].who].name)) {
            *out = a;
            return true;
        }
    return false;
}

/* NULL, or what is not understood. */
static const char *read_step(str s, const sim_house *h, sim_event *ev) {
    static const struct {
        const char *verb[2];
        uint8_t kind;
    } verbs[] = {
        {{"go", "to"}, EV_GO},   {{"take", 0}, EV_TAKE},    {{"put", 0}, EV_PUT},
        {{"give", 0}, EV_GIVE},  {{"open", 0}, EV_OPEN},    {{"close", 0}, EV_CLOSE},
        {{"turn", "on"}, EV_ON}, {{"turn", "off"}, EV_OFF}, {{"wash", 0}, EV_WASH},
    };
    size_t i = 0;
    for (; i < sizeof verbs / sizeof *verbs; i++) {
        str rest = s;
        if (eat(&rest, verbs[i].verb[0]) && (!verbs[i].verb[1] || eat(&rest, verbs[i].verb[1]))) {
            s = rest;
            break;
        }
    }
    if (i == sizeof verbs / sizeof *verbs)
        return "not a step that the robot knows";
    *ev = sim_event_of(verbs[i].kind, NO, NO, NO, NO, NO);
    bool about_thing = ev->kind == EV_TAKE || ev->kind == EV_PUT || ev->kind == EV_GIVE || ev->kind == EV_WASH;
    if (about_thing && !read_thing(&s, h, &ev->thing))
        return "no such thing here";
    if (ev->kind == EV_GO && !read_room(&s, h, &ev->room))
        return "no such room here";
    if (ev->kind == EV_GIVE && (!eat(&s, "to") || !read_person(&s, h, &ev->other)))
        return "no such person here";
    if (ev->kind == EV_PUT) {
        bool in = eat(&s, "in");
        if ((!in && !eat(&s, "on")) || !read_fixture(&s, h, &ev->fixture))
            return "no such place here";
        const char *prep = word_fixtures[h->fixture[ev->fixture].noun].prep;
        if (!prep || in != (prep[0] == 'i'))
            return "no such place here";
    } else if (!about_thing && ev->kind != EV_GO && !read_fixture(&s, h, &ev->fixture))
        return "no such furniture here";
    return s.n > 0 ? "there are words after the step" : NULL;
}

static str trim(str s) {
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = str_sub(s, 1, s.n);
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
        s.n--;
    return s;
}

/* "12. words": eats the number when it is the expected one. */
static bool read_number(str *s, unsigned want) {
    unsigned x = 0;
    size_t i = 0;
    for (; i < s->n && i < 4 && s->p[i] >= '0' && s->p[i] <= '9'; i++)
        x = x * 10 + (unsigned)(s->p[i] - '0');
    if (i == 0 || x != want || i >= s->n || s->p[i] != '.')
        return false;
    *s = trim(str_sub(*s, i + 1, s->n));
    return true;
}

err_code plan_check(const plan_task *task, str text, err *e) {
    sim_house h = task->log.start;
    unsigned n = 0;
    if (text.n > PLAN_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "a plan of %zu bytes (at most %d)", text.n, PLAN_BYTES_MAX);
    while (text.n > 0) {
        ptrdiff_t end = str_find(text, STR("\n"), 0);
        size_t length = end < 0 ? text.n : (size_t)end;
        str line = trim(str_sub(text, 0, length));
        text = str_sub(text, length + 1, text.n);
        if (line.n == 0)
            continue;
        if (n == PLAN_STEPS_MAX)
            return err_set(e, ERR_LIMIT, "more than %d steps", PLAN_STEPS_MAX);
        n++;
        if (!read_number(&line, n))
            return err_set(e, ERR_FORMAT, "step %u: \"%.*s\" does not begin with \"%u. \"", n, STR_ARG(line), n);
        if (line.n > 0 && line.p[line.n - 1] == '.')
            line.n--;
        sim_event ev;
        const char *why = read_step(line, &h, &ev);
        if (why)
            return err_set(e, ERR_FORMAT, "step %u: \"%.*s\": %s", n, STR_ARG(line), why);
        ev.actor = task->robot;
        why = sim_apply(&h, &ev);
        if (why)
            return err_set(e, ERR_FORMAT, "step %u: \"%.*s\": %s", n, STR_ARG(line), why);
    }
    for (unsigned i = 0; i < task->n_goals; i++)
        if (!is_met(&h, task->robot, &task->goal[i]))
            return err_set(e, ERR_FORMAT, "after %u steps, goal %u of %u is not reached", n, i + 1, task->n_goals);
    return ERR_OK;
}
