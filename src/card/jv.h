/* jv: JSON values for the forms that machines read. What fails, which is memory alone, makes it broken, and is told
 * once at the end. Takes ownership of every value that is put or pushed. Texts must be clean (facts.h). */
#ifndef LOAM_CARD_JV_H
#define LOAM_CARD_JV_H

#include "text/json.h"

typedef struct {
    bool broken;
} jv;

json_t *jv_object(jv *j);
json_t *jv_array(jv *j);
json_t *jv_text(jv *j, str s);
json_t *jv_words(jv *j, const char *const *words); /* an array of texts; ends with NULL */
void jv_put(jv *j, json_t *object, const char *key, json_t *v);
void jv_push(jv *j, json_t *array, json_t *v);
void jv_put_text(jv *j, json_t *object, const char *key, str s); /* nothing when it is empty */
void jv_put_word(jv *j, json_t *object, const char *key, const char *word);
void jv_put_count(jv *j, json_t *object, const char *key, uint64_t n);
void jv_put_real(jv *j, json_t *object, const char *key, double x);
/* Appends it with `indent` blanks a level (0: on one line) and a line break behind; consumes v. */
err_code jv_end(jv *j, json_t *v, int indent, strbuf *out, err *e);

#endif
