/* recipe: any bytes as recipe.json; one that is taken must be written and read again to the same text. */
#include <stdint.h>
#include <stdlib.h>

#include "train/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    recipe r, again;
    err e = {0};
    if (recipe_parse(&r, (str){(const char *)data, n}, &e) != ERR_OK) {
        if (e.code == ERR_OK || !e.text[0])
            abort();
        return 0;
    }
    strbuf text = {0}, second = {0}, difference = {0};
    if (recipe_text(&r, &text, &e) != ERR_OK || recipe_parse(&again, strbuf_str(&text), &e) != ERR_OK ||
        recipe_text(&again, &second, &e) != ERR_OK || !str_eq(strbuf_str(&text), strbuf_str(&second)) ||
        recipe_difference(&r, &again, &difference, &e) != ERR_OK || difference.n)
        abort();
    arena mem = {.max_bytes = 16 << 20};
    model_config c;
    (void)recipe_config(&r, &c, &mem, &e);
    arena_fini(&mem);
    strbuf_fini(&text);
    strbuf_fini(&second);
    return 0;
}
