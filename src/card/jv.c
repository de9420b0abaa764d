/* jv: see jv.h. */
#include "card/jv.h"

#include "text/json_write.h"

static json_t *made(jv *j, json_t *v) {
    j->broken = j->broken || !v;
    return v;
}

json_t *jv_object(jv *j) { return made(j, json_object()); }
json_t *jv_array(jv *j) { return made(j, json_array()); }
json_t *jv_text(jv *j, str s) { return made(j, json_stringn(s.n ? s.p : "", s.n)); }

void jv_put(jv *j, json_t *object, const char *key, json_t *v) {
    if (json_object_set_new(object, key, v) != 0) /* takes v in any case */
        j->broken = true;
}

void jv_push(jv *j, json_t *array, json_t *v) {
    if (json_array_append_new(array, v) != 0)
        j->broken = true;
}

json_t *jv_words(jv *j, const char *const *words) {
    json_t *array = jv_array(j);
    for (; *words; words++)
        jv_push(j, array, jv_text(j, str_from(*words)));
    return array;
}

void jv_put_text(jv *j, json_t *object, const char *key, str s) {
    if (s.n)
        jv_put(j, object, key, jv_text(j, s));
}

void jv_put_word(jv *j, json_t *object, const char *key, const char *word) {
    jv_put(j, object, key, jv_text(j, str_from(word)));
}

void jv_put_count(jv *j, json_t *object, const char *key, uint64_t n) {
    jv_put(j, object, key, made(j, json_integer((json_int_t)(n > INT64_MAX ? INT64_MAX : n))));
}

void jv_put_real(jv *j, json_t *object, const char *key, double x) { jv_put(j, object, key, made(j, json_real(x))); }

err_code jv_end(jv *j, json_t *v, int indent, strbuf *out, err *e) {
    err_code code = j->broken ? err_set(e, ERR_MEMORY, "no memory for a card") : json_write(v, indent, out, e);
    json_decref(v);
    return code == ERR_OK ? strbuf_addc(out, '\n', e) : code;
}
