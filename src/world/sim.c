/* sim: the rules of the house; see sim.h. */
#include "world/sim.h"

#include <stddef.h>

uint8_t sim_room_of(const sim_house *h, uint8_t thing) {
    const sim_thing *t = &h->thing[thing];
    switch ((sim_where)t->where) {
    case AT_FIXTURE:
        return h->fixture[t->at].room;
    case AT_ACTOR:
        return h->actor[t->at].room;
    case AT_FLOOR:
        return t->at;
    case AT_NOWHERE:
        break;
    }
    return SIM_NONE;
}

unsigned sim_count_at(const sim_house *h, sim_where where, uint8_t at) {
    unsigned n = 0;
    for (uint8_t i = 0; i < h->n_things; i++)
        n += h->thing[i].where == where && h->thing[i].at == at;
    return n;
}

bool sim_noun_unique(const sim_house *h, uint8_t thing) {
    for (uint8_t i = 0; i < h->n_things; i++)
        if (i != thing && h->thing[i].noun == h->thing[thing].noun)
            return false;
    return true;
}

static const char *apply_go(sim_house *h, const sim_event *ev) {
    if (h->actor[ev->actor].room == ev->room)
        return "already in that room";
    if (ev->other != SIM_NONE && h->actor[ev->other].room != h->actor[ev->actor].room)
        return "they are not in the same room";
    h->actor[ev->actor].room = ev->room;
    if (ev->other != SIM_NONE)
        h->actor[ev->other].room = ev->room;
    return NULL;
}

static const char *apply_take(sim_house *h, const sim_event *ev) {
    sim_thing *t = &h->thing[ev->thing];
    if (t->where == AT_ACTOR)
        return t->at == ev->actor ? "it is in hand already" : "somebody else has it";
    if (sim_room_of(h, ev->thing) != h->actor[ev->actor].room)
        return "it is not in this room";
    if (t->where == AT_FIXTURE && !h->fixture[t->at].open)
        return "what it is in is closed";
    if (h->actor[ev->actor].who == ROBOT && sim_count_at(h, AT_ACTOR, ev->actor) > 0)
        return "the hand is not free";
    t->where = AT_ACTOR;
    t->at = ev->actor;
    return NULL;
}

static bool holds(const sim_house *h, const sim_event *ev) {
    return h->thing[ev->thing].where == AT_ACTOR && h->thing[ev->thing].at == ev->actor;
}

static bool is_here(const sim_house *h, const sim_event *ev) {
    return h->fixture[ev->fixture].room == h->actor[ev->actor].room;
}

static const char *apply_put(sim_house *h, const sim_event *ev) {
    if (!holds(h, ev))
        return "it is not in hand";
    if (!is_here(h, ev))
        return "the place is not in this room";
    if (!word_fixtures[h->fixture[ev->fixture].noun].prep)
        return "nothing can be put there";
    if (!h->fixture[ev->fixture].open)
        return "the place is closed";
    h->thing[ev->thing].where = AT_FIXTURE;
    h->thing[ev->thing].at = ev->fixture;
    return NULL;
}

static const char *apply_drop(sim_house *h, const sim_event *ev) {
    if (!holds(h, ev))
        return "it is not in hand";
    h->thing[ev->thing].where = AT_FLOOR;
    h->thing[ev->thing].at = h->actor[ev->actor].room;
    return NULL;
}

static const char *apply_give(sim_house *h, const sim_event *ev) {
    if (!holds(h, ev))
        return "it is not in hand";
    if (ev->other == ev->actor || h->actor[ev->other].room != h->actor[ev->actor].room)
        return "the other is not in this room";
    if (h->actor[ev->other].who == ROBOT && sim_count_at(h, AT_ACTOR, ev->other) > 0)
        return "the other's hand is not free";
    h->thing[ev->thing].at = ev->other;
    return NULL;
}

static const char *apply_open(sim_house *h, const sim_event *ev) {
    sim_fixture *f = &h->fixture[ev->fixture];
    bool open = ev->kind == EV_OPEN;
    if (!is_here(h, ev))
        return "it is not in this room";
    if (!word_fixtures[f->noun].opens)
        return "it cannot be opened or closed";
    if (f->open == open)
        return open ? "it is open already" : "it is closed already";
    f->open = open;
    return NULL;
}

static const char *apply_switch(sim_house *h, const sim_event *ev) {
    sim_fixture *f = &h->fixture[ev->fixture];
    bool on = ev->kind == EV_ON;
    if (!is_here(h, ev))
        return "it is not in this room";
    if (!word_fixtures[f->noun].switches)
        return "it cannot be switched";
    if (f->on == on)
        return on ? "it is on already" : "it is off already";
    f->on = on;
    return NULL;
}

static const char *apply_paint(sim_house *h, const sim_event *ev) {
    if (!holds(h, ev))
        return "it is not in hand";
    h->thing[ev->thing].colour = ev->colour;
    return NULL;
}

static const char *apply_eat(sim_house *h, const sim_event *ev) {
    if (!holds(h, ev))
        return "it is not in hand";
    if (word_things[h->thing[ev->thing].noun].sort != SORT_FOOD || h->actor[ev->actor].who == ROBOT)
        return "it cannot be eaten";
    h->thing[ev->thing].where = AT_NOWHERE;
    h->thing[ev->thing].at = SIM_NONE;
    return NULL;
}

static const char *apply_wash(sim_house *h, const sim_event *ev) {
    if (!holds(h, ev))
        return "it is not in hand";
    for (uint8_t f = 0; f < h->n_fixtures; f++)
        if (word_fixtures[h->fixture[f].noun].washes && h->fixture[f].room == h->actor[ev->actor].room) {
            h->thing[ev->thing].dirty = false;
            return NULL;
        }
    return "there is no sink in this room";
}

const char *sim_apply(sim_house *h, const sim_event *ev) {
    static const char *(*const rule[EV_ACTS])(sim_house *, const sim_event *) = {
        [EV_GO] = apply_go,      [EV_TAKE] = apply_take,   [EV_PUT] = apply_put,    [EV_DROP] = apply_drop,
        [EV_GIVE] = apply_give,  [EV_OPEN] = apply_open,   [EV_CLOSE] = apply_open, [EV_ON] = apply_switch,
        [EV_OFF] = apply_switch, [EV_PAINT] = apply_paint, [EV_EAT] = apply_eat,    [EV_WASH] = apply_wash,
    };
    return ev->kind < EV_ACTS ? rule[ev->kind](h, ev) : NULL;
}
