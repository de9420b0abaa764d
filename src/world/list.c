/* list: see list.h. */
#include "world/list.h"

#include <stdint.h>

#include "world/words.h"

enum { PAIRS_MIN = 2, PAIRS_MAX = 4, ASKED = 5 };

/* What is looked up by what. */
typedef enum {
    PLACE_OF_THING,
    ROOM_OF_THING,
    HOLDER_OF_THING,
    COLOUR_OF_NOUN,
    ROOM_OF_PERSON,
    ROOM_OF_FIXTURE,
    RELATIONS
} relation;

static const char *const topics[RELATIONS] = {
    [PLACE_OF_THING] = "place",  [ROOM_OF_THING] = "room",  [HOLDER_OF_THING] = "holder",
    [COLOUR_OF_NOUN] = "colour", [ROOM_OF_PERSON] = "room", [ROOM_OF_FIXTURE] = "room",
};

/* How the words of a pair stand: side by side, with 1 to 3 words between them, or as stories and questions say it. */
typedef enum { SIDE_BY_SIDE, COLON, PREPOSITION, ARTICLE, SENTENCE, STORY, FORMS_OF_LISTS } form;

/* Rows of the tables of words; all are drawn, a relation uses some. */
typedef struct {
    uint8_t thing, colour, fixture, room, person;
} pair;

typedef struct {
    relation of;
    form form;
    bool past;
    unsigned n;
    pair pair[PAIRS_MAX];
} list;

/* ---- drawing ---- */

static unsigned row_with(draw *d, unsigned mask) {
    unsigned row;
    do
        row = draw_below(d, 16);
    while (!(mask >> row & 1));
    return row;
}

static pair draw_pair(draw *d, relation of) {
    pair x = {.thing = (uint8_t)draw_below(d, THINGS)};
    x.colour = (uint8_t)row_with(d, word_things[x.thing].colours);
    do
        x.fixture = (uint8_t)draw_below(d, FIXTURES);
    while (of != ROOM_OF_FIXTURE && (!word_fixtures[x.fixture].prep || !word_fits(x.thing, x.fixture)));
    x.room = (uint8_t)(of == ROOM_OF_PERSON ? draw_below(d, ROOMS) : row_with(d, word_fixtures[x.fixture].rooms));
    x.person = (uint8_t)draw_below(d, of == ROOM_OF_PERSON ? PEOPLE + 1 : PEOPLE);
    return x;
}

static unsigned key(relation of, const pair *x) {
    return of == ROOM_OF_PERSON ? x->person : of == ROOM_OF_FIXTURE ? x->fixture : x->thing;
}

static bool stands(const list *l, const pair *x) {
    for (unsigned i = 0; i < l->n; i++)
        if (key(l->of, &l->pair[i]) == key(l->of, x))
            return true;
    return false;
}

static list draw_list(draw *d) {
    list l = {.of = (relation)draw_below(d, RELATIONS), .form = (form)draw_below(d, FORMS_OF_LISTS)};
    l.past = draw_chance(d, 50);
    for (unsigned n = draw_from(d, PAIRS_MIN, PAIRS_MAX); l.n < n;) {
        pair x = draw_pair(d, l.of);
        if (!stands(&l, &x))
            l.pair[l.n++] = x;
    }
    return l;
}

/* ---- words ---- */

static const char *person(const pair *x) { return x->person == ROBOT ? "robot" : word_people[x->person].name; }

/* " the red ball", " the ball", " Anna", " the robot", " the table"; the article only if asked for. */
static void add_key(pen *p, relation of, const pair *x, bool article) {
    if (article && (of != ROOM_OF_PERSON || x->person == ROBOT))
        pen_word(p, "the");
    if (of == ROOM_OF_PERSON) {
        pen_word(p, person(x));
    } else if (of == ROOM_OF_FIXTURE) {
        pen_word(p, word_fixtures[x->fixture].name);
    } else {
        if (of != COLOUR_OF_NOUN)
            pen_word(p, word_colours[x->colour]);
        pen_word(p, word_things[x->thing].name);
    }
}

/* " on the table", " in the hall", " with Anna", " red"; preposition and article only if asked for. */
static void add_value(pen *p, relation of, const pair *x, bool preposition, bool article) {
    if (of == COLOUR_OF_NOUN || of == HOLDER_OF_THING) {
        if (preposition && of == HOLDER_OF_THING)
            pen_word(p, "with");
        pen_word(p, of == COLOUR_OF_NOUN ? word_colours[x->colour] : person(x));
        return;
    }
    if (preposition)
        pen_word(p, of == PLACE_OF_THING ? word_fixtures[x->fixture].prep : "in");
    if (article)
        pen_word(p, "the");
    pen_word(p, of == PLACE_OF_THING ? word_fixtures[x->fixture].name : word_rooms[x->room].name);
}

static void add_pair(pen *p, const list *l, const pair *x) {
    add_key(p, l->of, x, l->form >= SENTENCE);
    if (l->form >= SENTENCE)
        pen_word(p, "is");
    else if (l->form == COLON)
        pen_add(p, ":");
    add_value(p, l->of, x, l->form >= PREPOSITION, l->form >= ARTICLE);
}

static void add_a_thing(pen *p, const pair *x) {
    pen_word(p, word_article(word_colours[x->colour]));
    pen_word(p, word_colours[x->colour]);
    pen_word(p, word_things[x->thing].name);
}

/* As stories and orders begin. */
static void add_telling(pen *p, const list *l, const pair *x) {
    const char *is = l->past ? "was" : "is";
    if (l->of == ROOM_OF_PERSON) {
        add_key(p, l->of, x, true);
        pen_word(p, is);
        add_value(p, l->of, x, true, true);
    } else if (l->of == HOLDER_OF_THING) {
        pen_word(p, person(x));
        pen_word(p, l->past ? "had" : "has");
        add_a_thing(p, x);
    } else {
        pen_word(p, "there");
        pen_word(p, is);
        if (l->of == ROOM_OF_FIXTURE) {
            pen_word(p, word_article(word_fixtures[x->fixture].name));
            pen_word(p, word_fixtures[x->fixture].name);
        } else {
            add_a_thing(p, x);
            add_value(p, PLACE_OF_THING, x, true, true);
        }
        if (l->of != PLACE_OF_THING && l->of != COLOUR_OF_NOUN)
            add_value(p, l->of, x, true, true);
    }
}

/* The colour stands before its noun, so that in lists too it is said as it is in stories. */
static void add_statement(pen *p, const list *l, const pair *x) {
    if (l->form == STORY) {
        add_telling(p, l, x);
    } else if (l->of != COLOUR_OF_NOUN) {
        add_pair(p, l, x);
    } else if (l->form == SENTENCE) {
        pen_word(p, "there is");
        add_a_thing(p, x);
    } else {
        add_key(p, PLACE_OF_THING, x, false);
    }
}

static void add_question(pen *p, const list *l, const pair *x) {
    bool room = l->of == ROOM_OF_THING || l->of == ROOM_OF_FIXTURE;
    pen_add(p, "Q:");
    pen_word(p, l->of == COLOUR_OF_NOUN ? "What colour is" : room ? "Which room is" : "Where is");
    add_key(p, l->of, x, true);
    pen_add(p, room ? " in?\n" : "?\n");
}

/* "List: red ball: table; blue cup: shelf.", or sentences. */
static void add_statements(pen *p, const list *l) {
    bool sentences = l->form >= SENTENCE;
    if (sentences)
        pen_start(p);
    else
        pen_add(p, "List:");
    for (unsigned i = 0; i < l->n; i++) {
        add_statement(p, l, &l->pair[i]);
        if (sentences)
            pen_stop(p, ".");
        else
            pen_add(p, i + 1 < l->n ? ";" : ".");
    }
    pen_trim(p);
    pen_add(p, "\n");
}

void list_write(draw *d, pen *p, const char **topic) {
    list l = draw_list(d);
    *topic = topics[l.of];
    add_statements(p, &l);
    for (unsigned i = 0; i < ASKED; i++) {
        const pair *x = &l.pair[draw_below(d, l.n)];
        if (l.form == STORY)
            add_question(p, &l, x);
        pen_add(p, "A:");
        if (l.form >= SENTENCE) {
            pen_add(p, " ");
            pen_start(p);
        }
        add_pair(p, &l, x);
        pen_add(p, ".\n");
    }
}
