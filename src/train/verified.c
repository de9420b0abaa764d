/* verified: see verified.h. */
#include "train/verified.h"

#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "text/json.h"

const char *const verified_state_name[] = {"never", "verified", "differs", "outdated"};
static const char *const how_name[] = {"whole", "from", "spot"}; /* by verify_how */
static const char *const result_name[] = {"as recorded", "differs"};

/* ---- numbers: one list for writing and reading ---- */

static const struct {
    const char *key;
    size_t at;
} numbers[] = {
    {"from", offsetof(verified, from)},
    {"steps", offsetof(verified, steps)},
    {"of_steps", offsetof(verified, of_steps)},
    {"segments", offsetof(verified, segments)},
    {"of_segments", offsetof(verified, of_segments)},
    {"arithmetic", offsetof(verified, arithmetic)},
};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

static uint64_t get_number(const verified *v, size_t i) {
    uint64_t n;
    memcpy(&n, (const char *)v + numbers[i].at, sizeof n);
    return n;
}

static void set_number(verified *v, size_t i, uint64_t n) { memcpy((char *)v + numbers[i].at, &n, sizeof n); }

/* ---- writing ---- */

void verified_members(const verified *v, js_out *j) {
    js_put_text(j, "date", str_from(v->date));
    js_put_text(j, "result", str_from(result_name[v->differs]));
    js_put_text(j, "what", str_from(how_name[v->how]));
    for (size_t i = 0; i < NUMBERS; i++)
        js_put_int(j, numbers[i].key, (int64_t)get_number(v, i));
    js_key(j, "step");
    if (v->at_step)
        js_int(j, (int64_t)v->step);
    else
        js_raw(j, STR("null"));
    js_put_text(j, "difference", str_from(v->difference));
    js_put_text(j, "isa", str_from(v->isa));
}

static void put(const verified *v, js_out *j) {
    js_begin(j, '{');
    js_put_int(j, "verified", 1);
    verified_members(v, j);
    js_put_hash(j, "chain", v->chain);
    js_end(j, '}');
}

/* Does a check that passed say less than what is kept? */
static bool says_less(const verified *v, const verified *kept) {
    if (v->differs || verified_state_of(kept, v->chain) == VERIFIED_OUTDATED)
        return false;
    if (!kept->differs)
        return v->steps < kept->steps;
    bool again = v->how == VERIFY_ALL || (v->how == VERIFY_FROM && v->from <= kept->step);
    return kept->at_step && !again;
}

err_code verified_keep(const verified *v, const char *path, err *e) {
    verified kept;
    js_out j = {.e = e};
    if (verified_read(&kept, path, NULL) == ERR_OK && kept.there && says_less(v, &kept))
        return ERR_OK;
    put(v, &j);
    if (j.code == ERR_OK)
        j.code = strbuf_addc(&j.text, '\n', e);
    if (j.code == ERR_OK)
        j.code = os_write_file(path, strbuf_str(&j.text), e);
    strbuf_fini(&j.text);
    return j.code;
}

/* ---- reading ---- */

static err_code want_text(const json_t *o, const char *key, char *to, size_t bytes, err *e) {
    str s;
    TRY(json_want_str(o, key, &s, e));
    if (s.n >= bytes || memchr(s.p, 0, s.n))
        return err_set(e, ERR_FORMAT, "%s is too long, or no text", key);
    memcpy(to, s.p, s.n);
    to[s.n] = 0;
    return ERR_OK;
}

/* Which of the words stands at `key`. */
static err_code want_word(const json_t *o, const char *key, const char *const *word, size_t n, size_t *which, err *e) {
    str s;
    TRY(json_want_str(o, key, &s, e));
    for (*which = 0; *which < n; (*which)++)
        if (str_is(s, word[*which]))
            return ERR_OK;
    return err_set(e, ERR_FORMAT, "%s: \"%.40s\" is not known", key, s.p);
}

static err_code take(verified *v, const json_t *o, err *e) {
    uint64_t form;
    size_t which;
    str hex;
    TRY(json_want_u64(o, "verified", 1, &form, e));
    TRY(want_text(o, "date", v->date, sizeof v->date, e));
    TRY(want_word(o, "result", result_name, 2, &which, e));
    v->differs = which == 1;
    TRY(want_word(o, "what", how_name, sizeof how_name / sizeof *how_name, &which, e));
    v->how = (verify_how)which;
    for (size_t i = 0; i < NUMBERS; i++) {
        uint64_t n;
        TRY(json_want_u64(o, numbers[i].key, INT64_MAX, &n, e));
        set_number(v, i, n);
    }
    v->at_step = !json_is_null(json_object_get(o, "step"));
    if (v->at_step)
        TRY(json_want_u64(o, "step", INT64_MAX, &v->step, e));
    TRY(want_text(o, "difference", v->difference, sizeof v->difference, e));
    TRY(want_text(o, "isa", v->isa, sizeof v->isa, e));
    TRY(json_want_str(o, "chain", &hex, e));
    return hash_from_hex(hex, &v->chain) ? ERR_OK : err_set(e, ERR_FORMAT, "chain is no digest");
}

err_code verified_read(verified *v, const char *path, err *e) {
    strbuf text = {0};
    json_t *o = NULL;
    *v = (verified){0};
    if (!os_exists(path))
        return ERR_OK;
    err_code code = os_read_regular(path, VERIFIED_FILE_BYTES_MAX, &text, e);
    if (code == ERR_OK) {
        code = json_read(strbuf_str(&text), VERIFIED_FILE_BYTES_MAX, &o, e);
        if (code == ERR_OK)
            code = take(v, o, e);
        if (code != ERR_OK)
            err_in(e, code, "%s", path);
    }
    if (code != ERR_OK)
        *v = (verified){0};
    v->there = true;
    json_decref(o);
    strbuf_fini(&text);
    return code;
}

verified_state verified_state_of(const verified *v, hash256 last) {
    if (!v->there)
        return VERIFIED_NEVER;
    if (memcmp(&v->chain, &last, sizeof last) != 0)
        return VERIFIED_OUTDATED;
    return v->differs ? VERIFIED_DIFFERS : VERIFIED_HOLDS;
}
