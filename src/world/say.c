/* say: see say.h. */
#include "world/say.h"

#include <assert.h>

void say_noun(pen *p, const sim_house *h, uint8_t thing) {
    pen_word(p, "the");
    pen_word(p, word_things[h->thing[thing].noun].name);
}

static void say_coloured(pen *p, const sim_house *h, uint8_t thing, const char *article) {
    pen_word(p, article);
    pen_word(p, word_colours[h->thing[thing].colour]);
    pen_word(p, word_things[h->thing[thing].noun].name);
}

void say_thing(pen *p, const sim_house *h, uint8_t thing) { say_coloured(p, h, thing, "the"); }

void say_a_thing(pen *p, const sim_house *h, uint8_t thing) {
    say_coloured(p, h, thing, word_article(word_colours[h->thing[thing].colour]));
}

void say_actor(pen *p, const sim_house *h, uint8_t actor) {
    uint8_t who = h->actor[actor].who;
    pen_word(p, who == ROBOT ? "the robot" : word_people[who].name);
}

const char *say_pronoun(const sim_house *h, uint8_t actor) {
    uint8_t who = h->actor[actor].who;
    return who == ROBOT ? "it" : word_people[who].she ? "she" : "he";
}

const char *say_pronoun_obj(const sim_house *h, uint8_t actor) {
    uint8_t who = h->actor[actor].who;
    return who == ROBOT ? "it" : word_people[who].she ? "her" : "him";
}

void say_room(pen *p, const sim_house *h, uint8_t room) {
    pen_word(p, "the");
    pen_word(p, word_rooms[h->room[room]].name);
}

void say_in_room(pen *p, const sim_house *h, uint8_t room) {
    pen_word(p, "in");
    say_room(p, h, room);
}

void say_fixture(pen *p, const sim_house *h, uint8_t fixture) {
    pen_word(p, "the");
    pen_word(p, word_fixtures[h->fixture[fixture].noun].name);
}

void say_at_fixture(pen *p, const sim_house *h, uint8_t fixture) {
    pen_word(p, word_fixtures[h->fixture[fixture].noun].prep);
    say_fixture(p, h, fixture);
}

void say_place(pen *p, const sim_house *h, uint8_t thing) {
    const sim_thing *t = &h->thing[thing];
    switch ((sim_where)t->where) {
    case AT_FIXTURE:
        say_at_fixture(p, h, t->at);
        break;
    case AT_ACTOR:
        pen_word(p, "with");
        say_actor(p, h, t->at);
        break;
    case AT_FLOOR:
        pen_word(p, "on the floor");
        break;
    case AT_NOWHERE:
        pen_word(p, "nowhere");
        break;
    }
}

void say_act(pen *p, const sim_house *h, const sim_event *ev) {
    static const char *const verb[EV_ACTS] = {
        [EV_GO] = "went to",     [EV_TAKE] = "took",     [EV_PUT] = "put",      [EV_DROP] = "dropped",
        [EV_GIVE] = "gave",      [EV_OPEN] = "opened",   [EV_CLOSE] = "closed", [EV_ON] = "turned on",
        [EV_OFF] = "turned off", [EV_PAINT] = "painted", [EV_EAT] = "ate",      [EV_WASH] = "washed",
    };
    assert(ev->kind < EV_ACTS);
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
    if (ev->kind == EV_PAINT)
        pen_word(p, word_colours[ev->colour]);
}
