/* schema_number: decimal numbers between bounds, as expressions over their digits.
 *
 * A bound cuts the digit strings of one length in three: those that begin with less than its first digit, those that
 * begin with more, and those that begin with it, whose rest is bounded by its rest:
 *
 *   at least 375:   [4-9] [0-9]{2} | "3" ( [8-9] [0-9] | "7" [5-9] )
 *
 * Whole numbers: each length between the bounds' is a case. Others: a whole part strictly between the bounds' takes any
 * fraction, one that equals a bound's is followed by a fraction bounded alike. Negative numbers are their magnitudes
 * with the bounds exchanged. Numbers have at most 16 digits before the point and 15 behind it; 6 where a bound is
 * exclusive, so that none is rounded to it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/json_write.h"
#include "text/schema_int.h"

enum { DIGITS_MAX = 16, BOUND_DIGITS_MAX = 19, FRACTION_MAX = 15, FRACTION_STRICT = 6 };

/* A bound that is not there is infinite. Digits of a magnitude, without zeros in front of `whole` (but "0") and behind
 * `part`. */
typedef struct {
    bool given, negative, strict;
    char whole[24], part[24];
} bound;

typedef struct {
    strbuf *to;
    int fraction; /* digits behind the point at most */
    err *e;
} digits_run;

#define PUT(r, ...) TRY(strbuf_addf((r)->to, (r)->e, __VA_ARGS__))

/* ---- digit strings of one length ---- */

static bool all_are(const char *s, char ch) {
    while (*s == ch)
        s++;
    return *s == 0;
}

static err_code digit_between(digits_run *r, char from, char to) {
    if (from == to)
        PUT(r, "\"%c\" ", from);
    else
        PUT(r, "[%c-%c] ", from, to);
    return ERR_OK;
}

static err_code any_digits(digits_run *r, size_t n) {
    if (n > 0)
        PUT(r, "[0-9]{%zu} ", n);
    return ERR_OK;
}

static err_code at_least(digits_run *r, const char *s) {
    if (all_are(s, '0'))
        return any_digits(r, strlen(s));
    PUT(r, "( \"%c\" ", *s);
    TRY(at_least(r, s + 1));
    if (*s < '9') {
        PUT(r, "| ");
        TRY(digit_between(r, (char)(*s + 1), '9'));
        TRY(any_digits(r, strlen(s + 1)));
    }
    PUT(r, ") ");
    return ERR_OK;
}

static err_code at_most(digits_run *r, const char *s) {
    if (all_are(s, '9'))
        return any_digits(r, strlen(s));
    PUT(r, "( \"%c\" ", *s);
    TRY(at_most(r, s + 1));
    if (*s > '0') {
        PUT(r, "| ");
        TRY(digit_between(r, '0', (char)(*s - 1)));
        TRY(any_digits(r, strlen(s + 1)));
    }
    PUT(r, ") ");
    return ERR_OK;
}

/* a <= b, equally long. */
static err_code between(digits_run *r, const char *a, const char *b) {
    PUT(r, "( ");
    for (; *a && *a == *b; a++, b++)
        PUT(r, "\"%c\" ", *a);
    if (*a) {
        PUT(r, "( \"%c\" ", *a);
        TRY(at_least(r, a + 1));
        if (*a + 1 < *b) {
            PUT(r, "| ");
            TRY(digit_between(r, (char)(*a + 1), (char)(*b - 1)));
            TRY(any_digits(r, strlen(a + 1)));
        }
        PUT(r, "| \"%c\" ", *b);
        TRY(at_most(r, b + 1));
        PUT(r, ") ");
    }
    PUT(r, ") ");
    return ERR_OK;
}

/* ---- whole magnitudes ---- */

static bool less(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    return n != m ? n < m : strcmp(a, b) < 0;
}

/* Magnitudes a <= m <= b; b NULL: up to DIGITS_MAX digits, or as many as a has. */
static err_code whole_between(digits_run *r, const char *a, const char *b) {
    size_t n = strlen(a), m = b ? strlen(b) : n;
    PUT(r, "( ");
    for (size_t k = n; k <= m; k++) {
        char from[24] = "1", to[24] = "";
        memset(from + 1, '0', k - 1);
        from[k] = 0;
        memset(to, '9', k);
        to[k] = 0;
        if (k > n)
            PUT(r, "| ");
        TRY(between(r, k == n ? a : from, b && k == m ? b : to));
    }
    if (!b && n < DIGITS_MAX)
        PUT(r, "| [1-9] [0-9]{%zu,%d} ", n, DIGITS_MAX - 1);
    PUT(r, ") ");
    return ERR_OK;
}

/* s + 1, or s - 1 (s is not 0). */
static void step_whole(char *s, bool up) {
    size_t n = strlen(s), i = n;
    char over = up ? '9' : '0', under = up ? '0' : '9';
    while (i > 0 && s[i - 1] == over)
        s[--i] = under;
    if (i > 0)
        s[i - 1] = (char)(s[i - 1] + (up ? 1 : -1));
    else { /* only upwards: 99 -> 100 */
        memmove(s + 1, s, n + 1);
        *s = '1';
    }
    if (s[0] == '0' && s[1])
        memmove(s, s + 1, n);
}

/* ---- fractions ---- */

/* Behind digits that equal the bound's so far, which has no more: whatever is not less (more, if strict). */
static err_code above_nothing(digits_run *r, bool strict, size_t used) {
    int left = r->fraction - (int)used;
    if (!strict)
        PUT(r, "[0-9]{0,%d} ", left > 0 ? left : 0);
    else
        PUT(r, "[0]{0,%d} [1-9] [0-9]{0,%d} ", left > 1 ? left - 1 : 0, left > 1 ? left - 1 : 0);
    return ERR_OK;
}

/* Digits behind the point of what is at least 0.s; `used`: digits that stand before. */
static err_code part_at_least(digits_run *r, const char *s, bool strict, size_t used) {
    if (!*s)
        return above_nothing(r, strict, used);
    PUT(r, "( \"%c\" ", *s);
    TRY(part_at_least(r, s + 1, strict, used + 1));
    if (*s < '9') {
        PUT(r, "| ");
        TRY(digit_between(r, (char)(*s + 1), '9'));
        TRY(above_nothing(r, false, used + 1));
    }
    PUT(r, ") ");
    return ERR_OK;
}

static err_code part_at_most(digits_run *r, const char *s, bool strict, size_t used) {
    if (!*s) {
        if (strict)
            PUT(r, "[] ");
        else
            PUT(r, "[0]{0,%d} ", r->fraction - (int)used > 0 ? r->fraction - (int)used : 0);
        return ERR_OK;
    }
    PUT(r, "( \"%c\" ", *s);
    TRY(part_at_most(r, s + 1, strict, used + 1));
    if (*s > '0') {
        PUT(r, "| ");
        TRY(digit_between(r, '0', (char)(*s - 1)));
        TRY(above_nothing(r, false, used + 1));
    }
    PUT(r, "%s) ", used > 0 ? "| \"\" " : ""); /* fewer digits are less */
    return ERR_OK;
}

/* The same, from above and below; a <= b. */
static err_code part_between(digits_run *r, const bound *a, const bound *b, size_t at) {
    const char *s = a->part + (strlen(a->part) > at ? at : strlen(a->part));
    const char *t = b->part + (strlen(b->part) > at ? at : strlen(b->part));
    char from = *s ? *s : '0', to = *t ? *t : '0';
    if (!*s && !*t) {
        if (a->strict || b->strict)
            PUT(r, "[] ");
        else
            PUT(r, "[0]{%d,%d} ", at == 0, r->fraction - (int)at > 0 ? r->fraction - (int)at : 0);
        return ERR_OK;
    }
    PUT(r, "( ");
    if (from == to) {
        PUT(r, "\"%c\" ", from);
        TRY(part_between(r, a, b, at + 1));
    } else {
        PUT(r, "\"%c\" ", from);
        TRY(part_at_least(r, *s ? s + 1 : s, a->strict, at + 1));
        if (from + 1 < to) {
            PUT(r, "| ");
            TRY(digit_between(r, (char)(from + 1), (char)(to - 1)));
            TRY(above_nothing(r, false, at + 1));
        }
        PUT(r, "| \"%c\" ", to);
        TRY(part_at_most(r, t + 1, b->strict, at + 1));
    }
    PUT(r, "%s) ", at > 0 && !*s && !a->strict ? "| \"\" " : "");
    return ERR_OK;
}

/* ---- magnitudes with a fraction ---- */

static err_code same_whole(digits_run *r, const bound *a, const bound *b) {
    PUT(r, "\"%s\" ( ", a->whole);
    if (!*a->part && !a->strict && (*b->part || !b->strict))
        PUT(r, "\"\" | ");
    PUT(r, "\".\" ");
    TRY(part_between(r, a, b, 0));
    PUT(r, ") ");
    return ERR_OK;
}

static err_code from_below(digits_run *r, const bound *a) {
    PUT(r, "\"%s\" ", a->whole);
    if (!*a->part && !a->strict) {
        PUT(r, "( \".\" [0-9]{1,%d} )? ", r->fraction);
        return ERR_OK;
    }
    PUT(r, "\".\" ");
    return part_at_least(r, a->part, a->strict, 0);
}

static err_code up_to(digits_run *r, const bound *b) {
    if (!*b->part) {
        if (b->strict)
            PUT(r, "[] ");
        else
            PUT(r, "\"%s\" ( \".\" [0]{1,%d} )? ", b->whole, r->fraction);
        return ERR_OK;
    }
    PUT(r, "\"%s\" ( \".\" ", b->whole);
    TRY(part_at_most(r, b->part, b->strict, 0));
    PUT(r, ")? ");
    return ERR_OK;
}

/* Magnitudes from a to b, which is NULL or not given when there is no end. */
static err_code real_between(digits_run *r, const bound *a, const bound *b) {
    char low[24], high[24];
    bool open = !b || !b->given;
    PUT(r, "( ");
    if (!open && strcmp(a->whole, b->whole) == 0) {
        TRY(same_whole(r, a, b));
        PUT(r, ") ");
        return ERR_OK;
    }
    TRY(from_below(r, a));
    memcpy(low, a->whole, sizeof low);
    step_whole(low, true);
    if (!open) {
        memcpy(high, b->whole, sizeof high);
        step_whole(high, false);
    }
    if (open || !less(high, low)) {
        PUT(r, "| ");
        TRY(whole_between(r, low, open ? NULL : high));
        PUT(r, "( \".\" [0-9]{1,%d} )? ", r->fraction);
    }
    if (!open) {
        PUT(r, "| ");
        TRY(up_to(r, b));
    }
    PUT(r, ") ");
    return ERR_OK;
}

/* ---- bounds ---- */

/* The decimal text of a number, taken apart. */
static err_code take_apart(schema_run *c, const char *keyword, const json_t *v, bound *b) {
    strbuf text = {0};
    if (!json_is_number(v))
        return schema_wrong(c, keyword, "a number is expected");
    err_code code = json_write(v, 0, &text, c->e);
    if (code == ERR_OK)
        code = strbuf_addc(&text, 0, c->e);
    if (code == ERR_OK) {
        const char *p = text.p;
        b->given = true;
        b->negative = *p == '-';
        p += b->negative;
        size_t n = strcspn(p, ".eE"), m = p[n] == '.' ? strcspn(p + n + 1, "eE") : 0;
        bool exponent = strpbrk(p, "eE") != NULL;
        while (m > 0 && p[n + m] == '0')
            m--;
        if (exponent || n > BOUND_DIGITS_MAX || m > FRACTION_MAX)
            code = schema_unsupported(c, keyword, "a bound of so many digits is not supported");
        else {
            memcpy(b->whole, p, n);
            memcpy(b->part, p + n + 1, m);
        }
    }
    strbuf_fini(&text);
    return code;
}

static bool above(const bound *a, const bound *b) {
    if (a->negative != b->negative)
        return b->negative;
    bool more = less(b->whole, a->whole) || (strcmp(a->whole, b->whole) == 0 && strcmp(a->part, b->part) > 0);
    bool same = strcmp(a->whole, b->whole) == 0 && strcmp(a->part, b->part) == 0;
    return !same && more != a->negative;
}

/* Of a keyword and its exclusive sister, the one that asks for more. */
static err_code read_bound(schema_run *c, const json_t *s, const char *key, const char *strict_key, bool lower,
                           bound *b) {
    const json_t *v = json_object_get(s, key), *w = json_object_get(s, strict_key);
    bound other = {.strict = true};
    *b = (bound){0};
    if (v)
        TRY(take_apart(c, key, v, b));
    if (!w)
        return ERR_OK;
    TRY(take_apart(c, strict_key, w, &other));
    if (!v || !(lower ? above(b, &other) : above(&other, b)))
        *b = other;
    return ERR_OK;
}

static bool is_zero(const bound *b) { return strcmp(b->whole, "0") == 0 && !*b->part; }

/* The bounds of one sign's magnitudes: both, or none of that sign. */
typedef struct {
    bool any;
    bound from, to;
} side;

/* Numbers from low to high that are not negative, or, with both bounds negated and exchanged, those that are. */
static side side_of(bound low, bound high) {
    static const bound zero = {.given = true, .whole = "0"};
    side s = {.any = true, .from = low, .to = high};
    if (!low.given || low.negative)
        s.from = zero;
    if (high.given && ((high.negative && !is_zero(&high)) || (is_zero(&high) && high.strict) || above(&s.from, &high)))
        s.any = false;
    bool same = high.given && strcmp(s.from.whole, high.whole) == 0 && strcmp(s.from.part, high.part) == 0;
    if (same && (s.from.strict || high.strict))
        s.any = false;
    return s;
}

static bound negated(bound b) {
    b.negative = !b.negative && b.given && !is_zero(&b);
    return b;
}

/* ---- integers ---- */

/* To the next whole number inwards. */
static void round_in(bound *b, bool up) {
    if (*b->part ? up : b->strict && up)
        step_whole(b->whole, true);
    else if (!*b->part && b->strict)
        step_whole(b->whole, false);
    *b->part = 0;
    b->strict = false;
}

static err_code whole_side(digits_run *r, side s, bool minus, size_t *n) {
    if (!s.any)
        return ERR_OK;
    if (s.to.given && is_zero(&s.to) && s.to.strict)
        return ERR_OK;
    round_in(&s.from, true);
    if (s.to.given)
        round_in(&s.to, false);
    if (minus && strcmp(s.from.whole, "0") == 0)
        step_whole(s.from.whole, true); /* there is no -0 here */
    if (s.to.given && less(s.to.whole, s.from.whole))
        return ERR_OK;
    PUT(r, "%s%s", (*n)++ ? "| " : "", minus ? "\"-\" " : "");
    return whole_between(r, s.from.whole, s.to.given ? s.to.whole : NULL);
}

static err_code real_side(digits_run *r, side s, bool minus, size_t *n) {
    if (!s.any)
        return ERR_OK;
    PUT(r, "%s%s", (*n)++ ? "| " : "", minus ? "\"-\" " : "");
    return real_between(r, &s.from, &s.to);
}

/* The first digit by which a number passes an exclusive bound is the last of 15 that a double tells apart. */
static err_code check_strict(schema_run *c, const bound *low, const bound *high) {
    enum { WHOLE_MAX = 9, ALL_MAX = 14 };
    const bound *both[] = {low, high};
    for (int i = 0; i < 2; i++)
        if (both[i]->strict &&
            (strlen(both[i]->whole) > WHOLE_MAX || strlen(both[i]->whole) + strlen(both[i]->part) > ALL_MAX))
            return schema_unsupported(c, i ? "exclusiveMaximum" : "exclusiveMinimum",
                                      "a bound of so many digits is not supported");
    return ERR_OK;
}

static err_code numbers(schema_run *c, const json_t *s, const char *free_rule, strbuf *to,
                        err_code (*put)(digits_run *r, side s, bool minus, size_t *n)) {
    bound low, high;
    size_t n = 0;
    TRY(read_bound(c, s, "minimum", "exclusiveMinimum", true, &low));
    TRY(read_bound(c, s, "maximum", "exclusiveMaximum", false, &high));
    if (!low.given && !high.given)
        return strbuf_add(to, str_from(free_rule), c->e);
    if (put == real_side)
        TRY(check_strict(c, &low, &high));
    digits_run r = {to, low.strict || high.strict ? FRACTION_STRICT : FRACTION_MAX, c->e};
    PUT(&r, "( ");
    bool below = !low.given || low.negative;
    if (below)
        TRY(put(&r, side_of(negated(high), negated(low)), true, &n));
    TRY(put(&r, side_of(low, high), false, &n));
    PUT(&r, n ? ")" : "[] )");
    return ERR_OK;
}

err_code schema_integer(schema_run *c, const json_t *s, strbuf *to) {
    return numbers(c, s, "json-integer", to, whole_side);
}

err_code schema_number(schema_run *c, const json_t *s, strbuf *to) {
    return numbers(c, s, "json-number", to, real_side);
}
