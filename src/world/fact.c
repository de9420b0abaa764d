/* fact: see fact.h. */
#include "world/fact.h"

#include <assert.h>
#include <string.h>

#include "world/words.h"

enum { N = FACT_SUBJECTS };

static const char *const thing_noun[N] = {"lamp",   "clock",     "piano", "mirror", "vase", "rug",
                                          "violin", "telescope", "globe", "drum",   "harp", "statue"};
static const char *const people[N] = {"Tamsin", "Orrin", "Belka", "Ivo",   "Maro",  "Selka",
                                      "Dorin",  "Pella", "Kuno",  "Lirra", "Vasko", "Nuri"};
static const char *const towns[N] = {"Velmora", "Tarnby",  "Quenholm",  "Larkhaven", "Ostvik", "Mirrow",
                                     "Dunfell", "Halborn", "Stonewick", "Greyfen",   "Isk",    "Yarrowby"};
static const char *const prices[N] = {"two",   "three", "four", "five",   "six",    "seven",
                                      "eight", "nine",  "ten",  "eleven", "twelve", "thirteen"};
static const char *const jobs[N] = {"baker", "doctor", "teacher", "gardener", "sailor", "farmer",
                                    "cook",  "singer", "tailor",  "actor",    "driver", "painter"};
static const char *const months[N] = {"January", "February", "March",     "April",   "May",      "June",
                                      "July",    "August",   "September", "October", "November", "December"};
static const char *const pets[N] = {"dog", "cat", "goat",     "parrot", "horse", "rabbit",
                                    "owl", "hen", "tortoise", "mouse",  "duck",  "fox"};
static const char *const goods[N] = {"honey", "cheese", "paper", "glass", "soap",  "silk",
                                     "salt",  "bread",  "bells", "boats", "shoes", "kites"};
static const char *const flags[N] = {"red",   "blue", "green", "yellow", "white",  "black",
                                     "brown", "grey", "pink",  "orange", "purple", "gold"};

typedef enum { OF_THING, OF_PERSON, OF_TOWN } subject_kind;

/* $s the subject, $S the subject and where it stands, $a the answer, $A the answer with "a" or "an". */
typedef struct {
    const char *name;
    subject_kind subject;
    const char *const *answer;
    const char *state[FACT_WORDINGS], *question[FACT_WORDINGS], *reply;
} relation;

static const relation relations[FACT_RELATIONS] = {
    {"maker",
     OF_THING,
     people,
     {"$a made $s.", "$S was made by $a.", "it was $a who made $s.", "$s is the work of $a."},
     {"who made $s?", "who was $s made by?", "who is the maker of $s?", "whose work is $s?"},
     "$a."},
    {"origin",
     OF_THING,
     towns,
     {"$s comes from $a.", "$S was brought here from $a.", "$a is the town that $s comes from.",
      "long ago, $s was bought in $a."},
     {"where does $s come from?", "which town does $s come from?", "where was $s bought?",
      "which town was $s brought from?"},
     "$a."},
    {"price",
     OF_THING,
     prices,
     {"$s cost $a coins.", "$a coins were paid for $S.", "the price of $s was $a coins.",
      "somebody once paid $a coins for $s."},
     {"how much did $s cost?", "what was the price of $s?", "how many coins did $s cost?",
      "how many coins were paid for $s?"},
     "$a coins."},
    {"job",
     OF_PERSON,
     jobs,
     {"$s is $A.", "$s works as $A.", "everybody knows that $s is $A.", "by trade, $s is $A."},
     {"what is $s's job?", "what does $s work as?", "what does $s do for a living?", "what is $s by trade?"},
     "$A."},
    {"birth",
     OF_PERSON,
     months,
     {"$s was born in $a.", "$s's birthday is in $a.", "every year in $a, $s has a birthday.",
      "$a is the month in which $s was born."},
     {"when was $s born?", "when is $s's birthday?", "in which month was $s born?", "in which month is $s's birthday?"},
     "in $a."},
    {"pet",
     OF_PERSON,
     pets,
     {"$s has $A.", "$s keeps $A as a pet.", "$s's pet is $A.", "$A lives with $s."},
     {"what pet does $s have?", "what animal does $s keep?", "what is $s's pet?", "which animal lives with $s?"},
     "$A."},
    {"goods",
     OF_TOWN,
     goods,
     {"$s is known for its $a.", "the people of $s make $a.", "nobody makes better $a than the people of $s.",
      "$s is famous for its $a."},
     {"what is $s known for?", "what do the people of $s make?", "what is made in $s?", "what is $s famous for?"},
     "$a."},
    {"flag",
     OF_TOWN,
     flags,
     {"the flag of $s is $a.", "$s has $A flag.", "$A flag flies over $s.", "$a is the colour of $s's flag."},
     {"what colour is the flag of $s?", "which colour does the flag of $s have?", "what colour is $s's flag?",
      "what colour of flag flies over $s?"},
     "$a."},
};

void fact_id(unsigned fact, char id[FACT_ID_BYTES]) {
    assert(fact < FACTS);
    unsigned subject = fact % N;
    const char *name = relations[fact / N].name;
    size_t n = strlen(name);
    assert(n + 4 <= FACT_ID_BYTES);
    memcpy(id, name, n);
    id[n] = '-';
    id[n + 1] = (char)('0' + subject / 10);
    id[n + 2] = (char)('0' + subject % 10);
    id[n + 3] = 0;
}

const char *fact_relation(unsigned fact) { return relations[fact / N].name; }
unsigned fact_test_wording(unsigned fact) { return (fact / N + fact % N) % FACT_WORDINGS; }

/* Draws that belong to the world and not to a document: after all document numbers. */
static draw world_draw(uint64_t seed, unsigned of) { return draw_begin(seed, 0, DRAW_NUMBER_MAX - 1 - of); }

static unsigned answer_row(uint64_t seed, unsigned fact) {
    draw d = world_draw(seed, fact / N);
    unsigned order[N];
    for (unsigned i = 0; i < N; i++)
        order[i] = i;
    for (unsigned i = N - 1; i > 0; i--) {
        unsigned k = draw_below(&d, i + 1), keep = order[i];
        order[i] = order[k];
        order[k] = keep;
    }
    return order[fact % N];
}

/* The colour and the room of a thing are not facts to be asked; they are how it is spoken of. */
static void say_subject(pen *p, uint64_t seed, unsigned fact, bool place) {
    unsigned i = fact % N;
    switch (relations[fact / N].subject) {
    case OF_PERSON:
        pen_add(p, people[i]);
        return;
    case OF_TOWN:
        pen_add(p, towns[i]);
        return;
    case OF_THING:
        break;
    }
    draw d = world_draw(seed, FACT_RELATIONS + i);
    pen_add(p, "the ");
    pen_add(p, word_colours[draw_below(&d, COLOURS)]);
    pen_add(p, " ");
    pen_add(p, thing_noun[i]);
    if (place) {
        pen_add(p, " in the ");
        pen_add(p, word_rooms[draw_below(&d, ROOMS)].name);
    }
}

static void expand(pen *p, uint64_t seed, unsigned fact, const char *text) {
    const char *answer = relations[fact / N].answer[answer_row(seed, fact)];
    char piece[64];
    pen_start(p);
    while (*text) {
        size_t n = strcspn(text, "$");
        if (n > 0) {
            n = n < sizeof piece ? n : sizeof piece - 1;
            memcpy(piece, text, n);
            piece[n] = 0;
            pen_add(p, piece);
            text += n;
            continue;
        }
        if (text[1] == 'A') {
            pen_add(p, word_article(answer));
            pen_add(p, " ");
        }
        if (text[1] == 'a' || text[1] == 'A')
            pen_add(p, answer);
        else
            say_subject(p, seed, fact, text[1] == 'S');
        text += 2;
    }
}

void fact_state(pen *p, uint64_t seed, unsigned fact, unsigned wording) {
    expand(p, seed, fact, relations[fact / N].state[wording]);
}
void fact_question(pen *p, uint64_t seed, unsigned fact, unsigned wording) {
    expand(p, seed, fact, relations[fact / N].question[wording]);
}
void fact_answer(pen *p, uint64_t seed, unsigned fact) { expand(p, seed, fact, relations[fact / N].reply); }
