/* sim: the house of one document: what stands where, and what each event changes.
 *
 * A house is a few rooms with furniture, people, perhaps the robot, and things. A log is a house and the events that
 * happened in it. Everything is small and of fixed size; indices are into the house's own arrays.
 *
 *   1. a thing is at one place: on or in a fixture, with an actor, on the floor of a room, or gone (eaten)
 *   2. an actor is in one room; a thing with an actor is in that room
 *   3. nothing goes into or out of a closed fixture
 *   4. the robot has one hand: it has at most one thing
 */
#ifndef LOAM_WORLD_SIM_H
#define LOAM_WORLD_SIM_H

#include "world/words.h"

enum { SIM_ROOMS_MAX = 6, SIM_FIXTURES_MAX = 14, SIM_ACTORS_MAX = 6, SIM_THINGS_MAX = 10, SIM_EVENTS_MAX = 48 };
enum { SIM_NONE = 0xff };

typedef enum { AT_FIXTURE, AT_ACTOR, AT_FLOOR, AT_NOWHERE } sim_where;

typedef struct {
    uint8_t noun, room; /* rows of word_fixtures; index of a room */
    bool open, on;      /* what does not open is open */
} sim_fixture;

typedef struct {
    uint8_t who, room; /* row of word_people, or ROBOT; index of a room */
} sim_actor;

typedef struct {
    uint8_t noun, colour;
    uint8_t where, at; /* sim_where and the index of the fixture, actor or room */
    bool dirty;
} sim_thing;

typedef struct {
    uint8_t n_rooms, n_fixtures, n_actors, n_things;
    uint8_t room[SIM_ROOMS_MAX]; /* rows of word_rooms */
    sim_fixture fixture[SIM_FIXTURES_MAX];
    sim_actor actor[SIM_ACTORS_MAX];
    sim_thing thing[SIM_THINGS_MAX];
} sim_house;

/* What can happen. The fields in brackets say what the event is about; the others are SIM_NONE. */
typedef enum {
    EV_GO,             /* [room] the actor, and [other] when given, go there */
    EV_TAKE,           /* [thing] */
    EV_PUT,            /* [thing, fixture] */
    EV_DROP,           /* [thing] to the floor */
    EV_GIVE,           /* [thing, other] */
    EV_OPEN,           /* [fixture] */
    EV_CLOSE,          /* [fixture] */
    EV_ON,             /* [fixture] */
    EV_OFF,            /* [fixture] */
    EV_PAINT,          /* [thing, colour] */
    EV_EAT,            /* [thing] */
    EV_WASH,           /* [thing] at a sink in the room */
    EV_ACTS,           /* events before this one change the house */
    EV_WANT = EV_ACTS, /* [thing] */
    EV_LOOK,           /* [thing, fixture] looked there and did not find it */
    EV_ASK,            /* [thing, other] asks other to bring it */
    EV_THANK,          /* [other] */
    EV_IDLE,           /* sings, waits, ...: `variant` */
    EV_KINDS
} sim_kind;

typedef struct {
    uint8_t kind, actor, other, thing, fixture, room, colour, variant;
} sim_event;

typedef struct {
    sim_house start, end;
    sim_event event[SIM_EVENTS_MAX];
    uint8_t n;
} sim_log;

static inline sim_event sim_event_of(uint8_t kind, uint8_t actor, uint8_t thing, uint8_t fixture, uint8_t other,
                                     uint8_t room) {
    return (sim_event){kind, actor, other, thing, fixture, room, SIM_NONE, 0};
}

/* Carries the event out, or says in a few words why it cannot be ("the box is closed") and leaves the house alone.
 * NULL: done. The event's indices must exist. */
const char *sim_apply(sim_house *h, const sim_event *ev);

/* Index of the room a thing is in; SIM_NONE when it is gone. */
uint8_t sim_room_of(const sim_house *h, uint8_t thing);
/* Things at a place. */
unsigned sim_count_at(const sim_house *h, sim_where where, uint8_t at);
/* Two things of one kind: then the colour must be said. */
bool sim_noun_unique(const sim_house *h, uint8_t thing);

#endif
