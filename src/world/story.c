/* story: houses and episodes; see story.h. */
#include "world/story.h"

#include <assert.h>
#include <string.h>

enum { TRIES = 40, STORIES_TRIED_MAX = 4000, EPISODE_EVENTS_MAX = 10, PLACES = 20 /* fixtures that hold things */ };

world_split story_split_of(unsigned who, unsigned noun, unsigned colour, unsigned room) {
    uint32_t h = who * 0x9E3779B1u ^ noun * 0x85EBCA77u ^ colour * 0xC2B2AE3Du ^ room * 0x27D4EB2Fu;
    h ^= h >> 15;
    h *= 0x2C1B3C6Du;
    h ^= h >> 12;
    return h % 8 == 0 ? SPLIT_TEST : SPLIT_TRAIN;
}

/* ---- the house ---- */

typedef struct {
    uint8_t rooms[2], actors[2], fixtures[2], things[2], episodes[2]; /* from, to */
    uint8_t closed_percent; /* of the fixtures drawn that open, how many are kept */
    uint8_t held_percent, floor_percent, twin_percent;
} shape;

static const shape shapes[LEVEL_MAX + 1] = {
    {{0}, {0}, {0}, {0}, {0}, 0, 0, 0, 0},
    {{2, 3}, {1, 2}, {3, 4}, {2, 3}, {1, 2}, 15, 5, 0, 0},
    {{3, 3}, {2, 3}, {4, 6}, {3, 4}, {2, 3}, 60, 10, 3, 10},
    {{3, 4}, {2, 4}, {5, 7}, {4, 6}, {3, 4}, 100, 10, 5, 35},
};

static unsigned between(draw *d, const uint8_t range[2]) { return draw_from(d, range[0], range[1]); }

/* n different numbers below `of` into out. */
static void choose(draw *d, unsigned of, unsigned n, uint8_t *out) {
    uint32_t used = 0;
    assert(of <= 32 && n <= of);
    for (unsigned i = 0; i < n; i++) {
        unsigned x = draw_below(d, of);
        while (used >> x & 1)
            x = (x + 1) % of;
        used |= (uint32_t)1 << x;
        out[i] = (uint8_t)x;
    }
}

static bool has_fixture(const sim_house *h, unsigned noun) {
    for (unsigned i = 0; i < h->n_fixtures; i++)
        if (h->fixture[i].noun == noun)
            return true;
    return false;
}

static void add_fixture(draw *d, const shape *s, uint8_t room, sim_house *h) {
    for (int i = 0; i < TRIES; i++) {
        unsigned noun = draw_below(d, PLACES);
        const word_fixture *w = &word_fixtures[noun];
        if (!(w->rooms >> h->room[room] & 1) || has_fixture(h, noun) ||
            (w->opens && !draw_chance(d, s->closed_percent)))
            continue;
        h->fixture[h->n_fixtures++] = (sim_fixture){(uint8_t)noun, room, !w->opens, false};
        return;
    }
}

static void colour_thing(draw *d, sim_thing *t) {
    unsigned c = draw_below(d, COLOURS);
    while (!(word_things[t->noun].colours >> c & 1))
        c = (c + 1) % COLOURS;
    t->colour = (uint8_t)c;
}

static bool has_twin(const sim_house *h, unsigned i) {
    for (unsigned k = 0; k < i; k++)
        if (h->thing[k].noun == h->thing[i].noun && h->thing[k].colour == h->thing[i].colour)
            return true;
    return false;
}

static void place_thing(draw *d, const shape *s, sim_house *h, sim_thing *t) {
    unsigned roll = draw_below(d, 100);
    if (roll < s->held_percent) {
        uint8_t a = (uint8_t)draw_below(d, h->n_actors);
        if (h->actor[a].who != ROBOT) {
            t->where = AT_ACTOR;
            t->at = a;
            return;
        }
    } else if (roll < s->held_percent + s->floor_percent) {
        t->where = AT_FLOOR;
        t->at = (uint8_t)draw_below(d, h->n_rooms);
        return;
    }
    t->where = AT_FIXTURE;
    t->at = (uint8_t)draw_below(d, h->n_fixtures);
    for (int i = 0; i < TRIES && !word_fits(t->noun, h->fixture[t->at].noun); i++)
        t->at = (uint8_t)draw_below(d, h->n_fixtures);
}

void story_furnish(draw *d, unsigned level, bool with_robot, sim_house *h) {
    const shape *s = &shapes[level];
    memset(h, 0, sizeof *h);
    h->n_rooms = (uint8_t)between(d, s->rooms);
    choose(d, ROOMS, h->n_rooms, h->room);
    for (uint8_t r = 0; r < h->n_rooms; r++)
        add_fixture(d, s, r, h);
    for (unsigned n = between(d, s->fixtures); h->n_fixtures < n;)
        add_fixture(d, s, (uint8_t)draw_below(d, h->n_rooms), h);
    uint8_t who[SIM_ACTORS_MAX];
    h->n_actors = (uint8_t)between(d, s->actors);
    choose(d, PEOPLE, h->n_actors, who);
    for (uint8_t a = 0; a < h->n_actors; a++)
        h->actor[a] = (sim_actor){who[a], (uint8_t)draw_below(d, h->n_rooms)};
    if (with_robot)
        h->actor[h->n_actors++] = (sim_actor){ROBOT, (uint8_t)draw_below(d, h->n_rooms)};
    uint8_t noun[SIM_THINGS_MAX];
    h->n_things = (uint8_t)between(d, s->things);
    choose(d, THINGS, h->n_things, noun);
    for (unsigned i = 0; i < h->n_things; i++) {
        sim_thing *t = &h->thing[i];
        t->noun = noun[i];
        if (i == 1 && draw_chance(d, s->twin_percent))
            t->noun = noun[0];
        do
            colour_thing(d, t);
        while (has_twin(h, i));
        place_thing(d, s, h, t);
    }
}

/* ---- episodes ---- */

enum { NO = SIM_NONE };

typedef struct {
    draw *d;
    sim_log *log;
    sim_house *now; /* log->end */
    unsigned level;
    world_split split;
    bool carried;       /* an event of the split's own has happened */
    uint8_t last_actor; /* who carried which thing last, or NO: not again at once */
    uint8_t last_thing;
    uint8_t left; /* when the last event is somebody's going alone: the room before */
} builder;

static void happen(builder *b, sim_event ev) {
    const char *why = sim_apply(b->now, &ev);
    assert(!why && b->log->n < SIM_EVENTS_MAX);
    (void)why;
    b->log->event[b->log->n++] = ev;
}

static void happen_variant(builder *b, sim_event ev, uint8_t variant) {
    ev.variant = variant;
    happen(b, ev);
}

static bool is_robot(const builder *b, uint8_t a) { return b->now->actor[a].who == ROBOT; }

static bool in_split(const builder *b, uint8_t a, uint8_t t, uint8_t room) {
    const sim_thing *x = &b->now->thing[t];
    return story_split_of(b->now->actor[a].who, x->noun, x->colour, b->now->room[room]) == b->split;
}

/* Who has just come somewhere and goes on at once has rather gone straight on. */
static void go(builder *b, uint8_t a, uint8_t room) {
    const sim_event *last = b->log->n > 0 ? &b->log->event[b->log->n - 1] : NULL;
    if (last && last->kind == EV_GO && last->actor == a && last->other == NO) {
        b->log->n--;
        b->now->actor[a].room = b->left;
    }
    b->left = b->now->actor[a].room;
    if (b->left != room)
        happen(b, sim_event_of(EV_GO, a, NO, NO, NO, room));
}

/* Who has just closed it has rather not closed it. */
static void open_up(builder *b, uint8_t a, uint8_t f) {
    const sim_event *last = b->log->n > 0 ? &b->log->event[b->log->n - 1] : NULL;
    if (last && last->kind == EV_CLOSE && last->actor == a && last->fixture == f) {
        b->log->n--;
        b->now->fixture[f].open = true;
    }
    if (!b->now->fixture[f].open)
        happen(b, sim_event_of(EV_OPEN, a, NO, f, NO, NO));
}

static void maybe_close(builder *b, uint8_t a, uint8_t f, unsigned percent) {
    if (word_fixtures[b->now->fixture[f].noun].opens && b->now->fixture[f].open && draw_chance(b->d, percent))
        happen(b, sim_event_of(EV_CLOSE, a, NO, f, NO, NO));
}

/* Can a get the thing without asking anybody? */
static bool can_take(const builder *b, uint8_t a, uint8_t t) {
    const sim_thing *x = &b->now->thing[t];
    if (x->where == AT_NOWHERE || (x->where == AT_ACTOR && x->at != a) || (a == b->last_actor && t == b->last_thing))
        return false;
    return !is_robot(b, a) || x->where == AT_ACTOR || sim_count_at(b->now, AT_ACTOR, a) == 0;
}

/* Who has just had a thing in hand does not carry it about at once. */
static void rest(builder *b, uint8_t a, uint8_t t) {
    b->last_actor = a;
    b->last_thing = t;
}

/* Afterwards a has the thing. */
static void take(builder *b, uint8_t a, uint8_t t) {
    sim_thing *x = &b->now->thing[t];
    if (x->where == AT_ACTOR)
        return;
    uint8_t f = x->where == AT_FIXTURE ? x->at : SIM_NONE;
    go(b, a, sim_room_of(b->now, t));
    if (f != SIM_NONE)
        open_up(b, a, f);
    happen(b, sim_event_of(EV_TAKE, a, t, NO, NO, NO));
    if (f != SIM_NONE)
        maybe_close(b, a, f, 30);
}

static void put(builder *b, uint8_t a, uint8_t t, uint8_t f, unsigned close_percent) {
    assert(in_split(b, a, t, b->now->fixture[f].room));
    go(b, a, b->now->fixture[f].room);
    open_up(b, a, f);
    happen(b, sim_event_of(EV_PUT, a, t, f, NO, NO));
    b->carried = true;
    rest(b, a, t);
    maybe_close(b, a, f, close_percent);
}

static void give(builder *b, uint8_t a, uint8_t t, uint8_t other) {
    assert(in_split(b, a, t, b->now->actor[other].room));
    go(b, a, b->now->actor[other].room);
    happen(b, sim_event_of(EV_GIVE, a, t, NO, other, NO));
    b->carried = true;
    rest(b, other, t);
}

static uint8_t some(builder *b, unsigned n) { return (uint8_t)draw_below(b->d, n); }

/* An actor, a thing and a fixture such that the thing can be carried there within the split. */
static bool find_carry(builder *b, bool robot_too, uint8_t *a, uint8_t *t, uint8_t *f) {
    for (int i = 0; i < TRIES; i++) {
        *a = some(b, b->now->n_actors);
        *t = some(b, b->now->n_things);
        *f = some(b, b->now->n_fixtures);
        const sim_thing *x = &b->now->thing[*t];
        if ((robot_too || !is_robot(b, *a)) && can_take(b, *a, *t) && !(x->where == AT_FIXTURE && x->at == *f) &&
            word_fits(x->noun, b->now->fixture[*f].noun) && in_split(b, *a, *t, b->now->fixture[*f].room))
            return true;
    }
    return false;
}

/* An actor, a thing and another actor to give it to. */
static bool find_gift(builder *b, bool robot_gives, uint8_t *a, uint8_t *t, uint8_t *other) {
    for (int i = 0; i < TRIES && b->now->n_actors > 1; i++) {
        *a = some(b, b->now->n_actors);
        *t = some(b, b->now->n_things);
        *other = some(b, b->now->n_actors);
        if (*a != *other && is_robot(b, *a) == robot_gives && !is_robot(b, *other) && can_take(b, *a, *t) &&
            in_split(b, *a, *t, b->now->actor[*other].room))
            return true;
    }
    return false;
}

static void maybe_want(builder *b, uint8_t a, uint8_t t, unsigned percent) {
    if (b->now->thing[t].where != AT_ACTOR && !is_robot(b, a) &&
        draw_chance(b->d, b->level == 1 ? percent / 2 : percent))
        happen_variant(b, sim_event_of(EV_WANT, a, t, NO, NO, NO), some(b, 8));
}

/* Takes a thing and puts it somewhere else. */
static bool episode_fetch(builder *b) {
    uint8_t a, t, f;
    if (!find_carry(b, true, &a, &t, &f))
        return false;
    maybe_want(b, a, t, 50);
    take(b, a, t);
    put(b, a, t, f, 30);
    return true;
}

static void thank(builder *b, uint8_t a, uint8_t other, unsigned percent) {
    if (draw_chance(b->d, percent))
        happen_variant(b, sim_event_of(EV_THANK, a, NO, NO, other, NO), some(b, 3));
}

static bool episode_gift(builder *b) {
    uint8_t a, t, other;
    if (!find_gift(b, false, &a, &t, &other))
        return false;
    take(b, a, t);
    give(b, a, t, other);
    thank(b, other, a, b->level == 1 ? 10 : 40);
    return true;
}

/* Puts a thing into what opens and closes it again. */
static bool episode_store(builder *b) {
    uint8_t a, t, f;
    for (int i = 0; i < TRIES; i++)
        if (find_carry(b, false, &a, &t, &f) && word_fixtures[b->now->fixture[f].noun].opens) {
            take(b, a, t);
            put(b, a, t, f, 90);
            return true;
        }
    return false;
}

/* Carries two things to one place. */
static bool episode_tidy(builder *b) {
    uint8_t a, t, f;
    if (b->log->n + 2 * EPISODE_EVENTS_MAX > SIM_EVENTS_MAX || !find_carry(b, false, &a, &t, &f))
        return false;
    for (uint8_t u = 0; u < b->now->n_things; u++) {
        const sim_thing *x = &b->now->thing[u];
        if (u == t || !can_take(b, a, u) || (x->where == AT_FIXTURE && x->at == f) ||
            !word_fits(x->noun, b->now->fixture[f].noun) || !in_split(b, a, u, b->now->fixture[f].room))
            continue;
        take(b, a, t);
        take(b, a, u);
        put(b, a, t, f, 0);
        put(b, a, u, f, 60);
        return true;
    }
    return false;
}

/* Goes where somebody is, alone or with another. */
static bool episode_visit(builder *b) {
    uint8_t a = some(b, b->now->n_actors), room = some(b, b->now->n_rooms);
    if (b->now->actor[a].room == room)
        return false;
    uint8_t with = SIM_NONE;
    if (b->level > 1 && !is_robot(b, a) && draw_chance(b->d, 50))
        for (uint8_t o = 0; o < b->now->n_actors; o++)
            if (o != a && !is_robot(b, o) && b->now->actor[o].room == b->now->actor[a].room)
                with = o;
    if (with == NO)
        go(b, a, room);
    else
        happen(b, sim_event_of(EV_GO, a, NO, NO, with, room));
    return true;
}

/* Looks in a wrong place first. */
static bool episode_search(builder *b) {
    uint8_t a, t, f;
    if (!find_carry(b, false, &a, &t, &f) || b->now->thing[t].where != AT_FIXTURE)
        return false;
    happen_variant(b, sim_event_of(EV_WANT, a, t, NO, NO, NO), some(b, 8));
    for (int i = 0; i < TRIES; i++) {
        uint8_t wrong = some(b, b->now->n_fixtures);
        if (wrong == b->now->thing[t].at || b->now->fixture[wrong].room != b->now->actor[a].room ||
            !b->now->fixture[wrong].open)
            continue;
        happen(b, sim_event_of(EV_LOOK, a, t, wrong, NO, NO));
        break;
    }
    take(b, a, t);
    if (draw_chance(b->d, 70))
        put(b, a, t, f, 30);
    else
        rest(b, a, t);
    return true;
}

/* Somebody asks the robot or another person to bring a thing. */
static bool episode_errand(builder *b) {
    uint8_t a, t, other;
    if (!find_gift(b, draw_chance(b->d, 70), &a, &t, &other) || b->now->thing[t].where == AT_ACTOR)
        return false;
    if (b->now->actor[a].room != b->now->actor[other].room) {
        if (!in_split(b, a, t, b->now->actor[a].room))
            return false;
        go(b, other, b->now->actor[a].room); /* to where the one who is asked can hear it */
    }
    happen_variant(b, sim_event_of(EV_ASK, other, t, NO, a, NO), some(b, 3));
    take(b, a, t);
    give(b, a, t, other);
    thank(b, other, a, 50);
    return true;
}

static bool episode_meal(builder *b) {
    for (int i = 0; i < TRIES; i++) {
        uint8_t a = some(b, b->now->n_actors), t = some(b, b->now->n_things);
        if (is_robot(b, a) || !can_take(b, a, t) || word_things[b->now->thing[t].noun].sort != SORT_FOOD)
            continue;
        maybe_want(b, a, t, 60);
        take(b, a, t);
        happen(b, sim_event_of(EV_EAT, a, t, NO, NO, NO));
        return true;
    }
    return false;
}

static bool episode_paint(builder *b) {
    for (int i = 0; i < TRIES; i++) {
        uint8_t a = some(b, b->now->n_actors), t = some(b, b->now->n_things), c = some(b, COLOURS);
        const sim_thing *x = &b->now->thing[t];
        if (is_robot(b, a) || !can_take(b, a, t) || word_things[x->noun].sort != SORT_TOY || x->colour == c ||
            !sim_noun_unique(b->now, t))
            continue;
        take(b, a, t);
        sim_event ev = sim_event_of(EV_PAINT, a, t, NO, NO, NO);
        ev.colour = c;
        happen(b, ev);
        return true;
    }
    return false;
}

/* Drops what is in hand. */
static bool episode_slip(builder *b) {
    for (int i = 0; i < TRIES; i++) {
        uint8_t a = some(b, b->now->n_actors), t = some(b, b->now->n_things);
        if (b->now->thing[t].where != AT_ACTOR || b->now->thing[t].at != a || !in_split(b, a, t, b->now->actor[a].room))
            continue;
        happen(b, sim_event_of(EV_DROP, a, t, NO, NO, NO));
        return true;
    }
    return false;
}

/* Takes a thing and keeps it. */
static bool episode_hand(builder *b) {
    for (int i = 0; i < TRIES; i++) {
        uint8_t a = some(b, b->now->n_actors), t = some(b, b->now->n_things);
        if (b->now->thing[t].where == AT_ACTOR || !can_take(b, a, t))
            continue;
        maybe_want(b, a, t, 40);
        take(b, a, t);
        if (draw_chance(b->d, 60)) {
            uint8_t room = some(b, b->now->n_rooms);
            go(b, a, room);
        }
        rest(b, a, t);
        return true;
    }
    return false;
}

static bool episode_idle(builder *b) {
    uint8_t variant = some(b, 32), a = some(b, b->now->n_actors); /* in this order: arguments have none */
    happen_variant(b, sim_event_of(EV_IDLE, a, NO, NO, NO, NO), variant);
    return true;
}

typedef struct {
    const char *name;
    bool (*run)(builder *b);
    uint8_t weight[LEVEL_MAX + 1]; /* by level */
} episode;

static const episode episodes[] = {
    {"fetch", episode_fetch, {0, 50, 20, 14}}, {"gift", episode_gift, {0, 14, 14, 12}},
    {"store", episode_store, {0, 0, 8, 8}},    {"tidy", episode_tidy, {0, 0, 6, 8}},
    {"visit", episode_visit, {0, 12, 12, 10}}, {"search", episode_search, {0, 0, 6, 8}},
    {"errand", episode_errand, {0, 0, 8, 14}}, {"meal", episode_meal, {0, 2, 6, 8}},
    {"paint", episode_paint, {0, 0, 5, 8}},    {"slip", episode_slip, {0, 0, 4, 6}},
    {"hand", episode_hand, {0, 20, 12, 10}},   {"idle", episode_idle, {0, 3, 8, 10}},
};
enum { N_EPISODES = sizeof episodes / sizeof *episodes };

static const episode *draw_episode(draw *d, unsigned level) {
    unsigned sum = 0;
    for (int i = 0; i < N_EPISODES; i++)
        sum += episodes[i].weight[level];
    unsigned x = draw_below(d, sum);
    int i = 0;
    for (; x >= episodes[i].weight[level]; i++)
        x -= episodes[i].weight[level];
    return &episodes[i];
}

static bool try_story(builder *b, bool with_robot, const char **topic) {
    sim_log *log = b->log;
    story_furnish(b->d, b->level, with_robot, &log->start);
    log->end = log->start;
    log->n = 0;
    b->carried = false;
    b->last_actor = b->last_thing = NO;
    *topic = NULL;
    unsigned want = between(b->d, shapes[b->level].episodes);
    for (unsigned done = 0, tried = 0; done < want && tried < 4 * want; tried++) {
        if (log->n + EPISODE_EVENTS_MAX > SIM_EVENTS_MAX)
            break;
        const episode *e = draw_episode(b->d, b->level);
        if (!e->run(b))
            continue;
        if (e->run == episode_idle)
            continue;
        *topic = *topic ? *topic : e->name;
        done++;
    }
    return b->carried;
}

void story_make(draw *d, unsigned level, world_split split, sim_log *log, const char **topic) {
    builder b = {.d = d, .log = log, .now = &log->end, .level = level, .split = split};
    for (int i = 0; i < STORIES_TRIED_MAX; i++) {
        bool with_robot = level > 1 && draw_chance(d, level == 2 ? 25 : 50);
        if (try_story(&b, with_robot, topic))
            return;
    }
    assert(false && "a story of the split is found long before");
}
