/* gather_scores: what `loam eval M TASK --json` has found, read back.
 *
 *   {"task": "homeworld", "facts": {"n": 96, "right": 40, "accuracy": 0.4, "low": 0.3, "high": 0.5, "chance": 0.1,
 * ...}, ...}
 *
 * Every member that is an object with n, right and accuracy is a score; all else is passed over.
 */
#include <math.h>
#include <string.h>

#include "base/os.h"
#include "card/facts.h"
#include "text/json.h"

enum { SCORES_BYTES_MAX = 64 << 20, SCORES_MAX = 200 };

static bool share(const json_t *o, const char *key, double *out) {
    *out = json_get_num(o, key, -1);
    return isfinite(*out) && *out >= 0 && *out <= 1;
}

static err_code take_score(card_facts *f, str task, const char *kind, const json_t *o, err *e) {
    card_score s = {0};
    int64_t n = json_get_int(o, "n", -1), right = json_get_int(o, "right", -1);
    if (n <= 0 || right < 0 || right > n || !share(o, "accuracy", &s.accuracy) || !share(o, "low", &s.low) ||
        !share(o, "high", &s.high))
        return err_set(e, ERR_FORMAT, "scores: \"%.60s\" is no score (n, right, accuracy, low, high)", kind);
    if (f->n_scores == SCORES_MAX)
        return err_set(e, ERR_LIMIT, "more than %d scores", SCORES_MAX);
    if (!f->score)
        ARENA_NEW(&f->mem, f->score, SCORES_MAX, e);
    if (!share(o, "chance", &s.chance))
        s.chance = -1;
    s.n = (uint64_t)n;
    s.right = (uint64_t)right;
    TRY(facts_clean(f, task, &s.task, e));
    TRY(facts_clean(f, str_from(kind), &s.kind, e));
    f->score[f->n_scores++] = s;
    return ERR_OK;
}

static err_code take(card_facts *f, json_t *top, err *e) {
    str task;
    const char *key;
    json_t *v;
    size_t before = f->n_scores;
    if (!json_is_object(top))
        return err_set(e, ERR_FORMAT, "scores: must be the JSON object that loam eval --json prints");
    TRY(json_want_str(top, "task", &task, e));
    json_object_foreach(top, key, v) if (json_is_object(v) && json_object_get(v, "accuracy"))
        TRY(take_score(f, task, key, v, e));
    return f->n_scores > before ? ERR_OK : err_set(e, ERR_FORMAT, "scores: there are none in it");
}

err_code facts_scores_text(card_facts *f, str text, err *e) {
    json_t *top = NULL;
    err_code code = json_read(text, SCORES_BYTES_MAX, &top, e);
    if (code == ERR_OK)
        code = take(f, top, e);
    json_decref(top);
    return code;
}

err_code facts_scores_file(card_facts *f, const char *path, err *e) {
    strbuf text = {0};
    err_code code = os_read_regular(path, SCORES_BYTES_MAX, &text, e);
    if (code == ERR_OK && (code = facts_scores_text(f, strbuf_str(&text), e)) != ERR_OK)
        err_in(e, code, "%s", path);
    strbuf_fini(&text);
    return code;
}
