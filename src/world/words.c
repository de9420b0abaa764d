/* words: the tables; see words.h. */
#include "world/words.h"

#include <stddef.h>
#include <string.h>

const word_person word_people[PEOPLE] = {
    {"Anna", true},  {"Ben", false},   {"Clara", true}, {"David", false}, {"Emma", true},  {"Felix", false},
    {"Greta", true}, {"Hugo", false},  {"Ida", true},   {"Jack", false},  {"Lena", true},  {"Karl", false},
    {"Mia", true},   {"Leo", false},   {"Nora", true},  {"Max", false},   {"Rosa", true},  {"Oscar", false},
    {"Vera", true},  {"Peter", false}, {"Zoe", true},   {"Sam", false},   {"Paula", true}, {"Tom", false},
};

enum { KITCHEN, HALL, STUDY, BEDROOM, BATHROOM, LIVING, GARDEN, GARAGE, ATTIC, CELLAR };

const word_room word_rooms[ROOMS] = {
    [KITCHEN] = {"kitchen", "to the kitchen"},    [HALL] = {"hall", "to the hall"},
    [STUDY] = {"study", "to the study"},          [BEDROOM] = {"bedroom", "to the bedroom"},
    [BATHROOM] = {"bathroom", "to the bathroom"}, [LIVING] = {"living room", "to the living room"},
    [GARDEN] = {"garden", "out to the garden"},   [GARAGE] = {"garage", "to the garage"},
    [ATTIC] = {"attic", "up to the attic"},       [CELLAR] = {"cellar", "down to the cellar"},
};

#define IN(r) (1u << (r))
#define INDOORS (0x3ffu & ~IN(GARDEN))
const word_fixture word_fixtures[FIXTURES] = {
    {"table", "on", false, false, false, IN(KITCHEN) | IN(HALL) | IN(LIVING) | IN(GARDEN) | IN(CELLAR)},
    {"desk", "on", false, false, false, IN(STUDY) | IN(BEDROOM)},
    {"shelf", "on", false, false, false, INDOORS},
    {"bench", "on", false, false, false, IN(HALL) | IN(GARDEN) | IN(GARAGE)},
    {"bed", "on", false, false, false, IN(BEDROOM)},
    {"sofa", "on", false, false, false, IN(LIVING) | IN(STUDY)},
    {"chair", "on", false, false, false, INDOORS | IN(GARDEN)},
    {"stool", "on", false, false, false, IN(KITCHEN) | IN(BATHROOM) | IN(GARAGE) | IN(CELLAR)},
    {"counter", "on", false, false, false, IN(KITCHEN)},
    {"carpet", "on", false, false, false, IN(HALL) | IN(LIVING) | IN(STUDY) | IN(BEDROOM)},
    {"basket", "in", false, false, false, INDOORS | IN(GARDEN)},
    {"bucket", "in", false, false, false, IN(GARDEN) | IN(GARAGE) | IN(CELLAR) | IN(BATHROOM)},
    {"crate", "in", false, false, false, IN(GARDEN) | IN(GARAGE) | IN(CELLAR) | IN(ATTIC)},
    {"bag", "in", false, false, false, IN(HALL) | IN(STUDY) | IN(BEDROOM) | IN(GARAGE)},
    {"box", "in", true, false, false, INDOORS | IN(GARDEN)},
    {"chest", "in", true, false, false, IN(ATTIC) | IN(BEDROOM) | IN(CELLAR) | IN(HALL) | IN(LIVING)},
    {"drawer", "in", true, false, false, IN(KITCHEN) | IN(STUDY) | IN(BEDROOM) | IN(LIVING)},
    {"cupboard", "in", true, false, false, IN(KITCHEN) | IN(HALL) | IN(BATHROOM) | IN(CELLAR)},
    {"fridge", "in", true, false, false, IN(KITCHEN)},
    {"wardrobe", "in", true, false, false, IN(BEDROOM) | IN(ATTIC) | IN(HALL)},
    {"sink", "in", false, false, true, IN(KITCHEN) | IN(BATHROOM)},
    {"heater", 0, false, true, false, INDOORS},
    {"fan", 0, false, true, false, INDOORS},
    {"oven", 0, false, true, false, IN(KITCHEN)},
};

const char *const word_colours[COLOURS] = {"red",   "blue", "green", "yellow", "white", "black",
                                           "brown", "grey", "pink",  "orange", "purple"};
enum { RED, BLUE, GREEN, YELLOW, WHITE, BLACK, BROWN, GREY, PINK, ORANGE, PURPLE };

#define OF(c) (1u << (c))
#define ANY_COLOUR 0x7ffu
const word_thing word_things[THINGS] = {
    {"ball", SORT_TOY, ANY_COLOUR},
    {"doll", SORT_TOY, ANY_COLOUR},
    {"kite", SORT_TOY, ANY_COLOUR},
    {"puppet", SORT_TOY, ANY_COLOUR},
    {"toy car", SORT_TOY, ANY_COLOUR},
    {"book", SORT_PAPER, ANY_COLOUR},
    {"letter", SORT_PAPER, OF(WHITE) | OF(YELLOW) | OF(BLUE) | OF(PINK) | OF(GREY)},
    {"map", SORT_PAPER, OF(WHITE) | OF(GREEN) | OF(BROWN) | OF(BLUE) | OF(YELLOW)},
    {"notebook", SORT_PAPER, ANY_COLOUR},
    {"cup", SORT_DISH, ANY_COLOUR},
    {"plate", SORT_DISH, ANY_COLOUR},
    {"bowl", SORT_DISH, ANY_COLOUR},
    {"jug", SORT_DISH, ANY_COLOUR},
    {"spoon", SORT_DISH, ANY_COLOUR & ~OF(PURPLE)},
    {"apple", SORT_FOOD, OF(RED) | OF(GREEN) | OF(YELLOW)},
    {"pear", SORT_FOOD, OF(GREEN) | OF(YELLOW) | OF(BROWN)},
    {"plum", SORT_FOOD, OF(RED) | OF(PURPLE) | OF(YELLOW) | OF(BLUE)},
    {"egg", SORT_FOOD, OF(WHITE) | OF(BROWN)},
    {"pepper", SORT_FOOD, OF(RED) | OF(GREEN) | OF(YELLOW) | OF(ORANGE)},
    {"hat", SORT_WEAR, ANY_COLOUR},
    {"scarf", SORT_WEAR, ANY_COLOUR},
    {"coat", SORT_WEAR, ANY_COLOUR},
    {"cap", SORT_WEAR, ANY_COLOUR},
    {"towel", SORT_TOOL, ANY_COLOUR},
    {"key", SORT_TOOL, ANY_COLOUR},
    {"pen", SORT_TOOL, ANY_COLOUR},
    {"brush", SORT_TOOL, ANY_COLOUR},
    {"rope", SORT_TOOL, ANY_COLOUR},
    {"torch", SORT_TOOL, ANY_COLOUR},
    {"candle", SORT_TOOL, ANY_COLOUR},
    {"bell", SORT_TOOL, ANY_COLOUR},
    {"umbrella", SORT_TOOL, ANY_COLOUR},
};

const char *const word_numbers[NUMBERS] = {"none",  "one",   "two",  "three", "four",   "five",   "six",
                                           "seven", "eight", "nine", "ten",   "eleven", "twelve", "thirteen"};

const char *const word_verbs[VERBS][FORMS] = {
    [V_GO] = {"go", "goes", "went", "going"},
    [V_WALK] = {"walk", "walks", "walked", "walking"},
    [V_RUN] = {"run", "runs", "ran", "running"},
    [V_MOVE] = {"move", "moves", "moved", "moving"},
    [V_COME] = {"come", "comes", "came", "coming"},
    [V_LEAVE] = {"leave", "leaves", "left", "leaving"},
    [V_CARRY] = {"carry", "carries", "carried", "carrying"},
    [V_BRING] = {"bring", "brings", "brought", "bringing"},
    [V_TAKE] = {"take", "takes", "took", "taking"},
    [V_PICK] = {"pick", "picks", "picked", "picking"},
    [V_GET] = {"get", "gets", "got", "getting"},
    [V_FIND] = {"find", "finds", "found", "finding"},
    [V_PUT] = {"put", "puts", "put", "putting"},
    [V_PLACE] = {"place", "places", "placed", "placing"},
    [V_LAY] = {"lay", "lays", "laid", "laying"},
    [V_DROP] = {"drop", "drops", "dropped", "dropping"},
    [V_GIVE] = {"give", "gives", "gave", "giving"},
    [V_HAND] = {"hand", "hands", "handed", "handing"},
    [V_PASS] = {"pass", "passes", "passed", "passing"},
    [V_OPEN] = {"open", "opens", "opened", "opening"},
    [V_CLOSE] = {"close", "closes", "closed", "closing"},
    [V_SHUT] = {"shut", "shuts", "shut", "shutting"},
    [V_PAINT] = {"paint", "paints", "painted", "painting"},
    [V_EAT] = {"eat", "eats", "ate", "eating"},
    [V_WASH] = {"wash", "washes", "washed", "washing"},
    [V_LOOK] = {"look", "looks", "looked", "looking"},
    [V_SIT] = {"sit", "sits", "sat", "sitting"},
    [V_SING] = {"sing", "sings", "sang", "singing"},
    [V_LAUGH] = {"laugh", "laughs", "laughed", "laughing"},
    [V_YAWN] = {"yawn", "yawns", "yawned", "yawning"},
    [V_DANCE] = {"dance", "dances", "danced", "dancing"},
    [V_WHISTLE] = {"whistle", "whistles", "whistled", "whistling"},
    [V_WAIT] = {"wait", "waits", "waited", "waiting"},
    [V_SMILE] = {"smile", "smiles", "smiled", "smiling"},
    [V_TURN] = {"turn", "turns", "turned", "turning"},
    [V_HURRY] = {"hurry", "hurries", "hurried", "hurrying"},
    [V_STEP] = {"step", "steps", "stepped", "stepping"},
    [V_STAND] = {"stand", "stands", "stood", "standing"},
    [V_BEEP] = {"beep", "beeps", "beeped", "beeping"},
    [V_TALK] = {"talk", "talks", "talked", "talking"},
};

bool word_fits(unsigned thing, unsigned fixture) {
    static const struct {
        const char *fixture;
        unsigned sorts; /* bit by word_sort */
    } only[] = {
        {"fridge", 1u << SORT_FOOD | 1u << SORT_DISH},
        {"sink", 1u << SORT_DISH},
        {"counter", 1u << SORT_FOOD | 1u << SORT_DISH | 1u << SORT_TOOL},
        {"wardrobe", ~(1u << SORT_FOOD | 1u << SORT_DISH)},
        {"bed", ~(1u << SORT_FOOD | 1u << SORT_DISH)},
    };
    for (size_t i = 0; i < sizeof only / sizeof *only; i++)
        if (strcmp(only[i].fixture, word_fixtures[fixture].name) == 0)
            return only[i].sorts >> word_things[thing].sort & 1;
    return true;
}

const char *word_article(const char *word) {
    switch (word[0]) {
    case 'a':
    case 'e':
    case 'i':
    case 'o':
    case 'u':
        return "an";
    default:
        return "a";
    }
}
