/* words: what there is in the world, and the verbs that tell of it.
 *
 * Small closed tables. A number in a document's state is a row of one of them. Rows are part of the corpus' definition:
 * append, never reorder (doc/homeworld.md).
 */
#ifndef LOAM_WORLD_WORDS_H
#define LOAM_WORLD_WORDS_H

#include <stdbool.h>
#include <stdint.h>

enum { PEOPLE = 24, ROBOT = PEOPLE, ROOMS = 10, FIXTURES = 24, COLOURS = 11, THINGS = 32, NUMBERS = 14 };

typedef struct {
    const char *name;
    bool she;
} word_person;

typedef struct {
    const char *name;   /* "attic" */
    const char *toward; /* "up to the attic" */
} word_room;

/* What things stand on or lie in, and what can be switched. */
typedef struct {
    const char *name;
    const char *prep;             /* "on", "in"; NULL: holds nothing */
    bool opens, switches, washes; /* begins closed; a device; things are washed there */
    uint16_t rooms;               /* bit r: may stand in room r */
} word_fixture;

typedef enum { SORT_TOY, SORT_PAPER, SORT_DISH, SORT_FOOD, SORT_WEAR, SORT_TOOL, SORTS } word_sort;

typedef struct {
    const char *name;
    word_sort sort;
    uint16_t colours; /* bit c: may have colour c */
} word_thing;

/* Verbs that stories are told with; each in the forms below. */
typedef enum {
    V_GO,
    V_WALK,
    V_RUN,
    V_MOVE,
    V_COME,
    V_LEAVE,
    V_CARRY,
    V_BRING,
    V_TAKE,
    V_PICK,
    V_GET,
    V_FIND,
    V_PUT,
    V_PLACE,
    V_LAY,
    V_DROP,
    V_GIVE,
    V_HAND,
    V_PASS,
    V_OPEN,
    V_CLOSE,
    V_SHUT,
    V_PAINT,
    V_EAT,
    V_WASH,
    V_LOOK,
    V_SIT,
    V_SING,
    V_LAUGH,
    V_YAWN,
    V_DANCE,
    V_WHISTLE,
    V_WAIT,
    V_SMILE,
    V_TURN,
    V_HURRY,
    V_STEP,
    V_STAND,
    V_BEEP,
    V_TALK,
    VERBS
} word_verb;

typedef enum { FORM_BASE, FORM_THIRD, FORM_PAST, FORM_ING, FORMS } word_form;

extern const word_person word_people[PEOPLE];
extern const word_room word_rooms[ROOMS];
extern const word_fixture word_fixtures[FIXTURES];
extern const char *const word_colours[COLOURS];
extern const word_thing word_things[THINGS];
extern const char *const word_numbers[NUMBERS]; /* "no", "one", ... */
extern const char *const word_verbs[VERBS][FORMS];

/* Would anybody keep such a thing there? No hats in the fridge. Rows of word_things and word_fixtures. */
bool word_fits(unsigned thing, unsigned fixture);
/* "a" or "an" before this word. */
const char *word_article(const char *word);

#endif
