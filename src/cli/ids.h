/* ids: token ids as people type them: "1, 2 3,4". */
#ifndef LOAM_CLI_IDS_H
#define LOAM_CLI_IDS_H

#include "tok/tokenizer.h"

/* Appends the numbers of `text`, separated by commas, blanks or line breaks; "[1, 2]" is taken too. Anything else, or
 * an id above INT32_MAX, is ERR_USAGE naming the word. */
err_code ids_parse(str text, tok_ids *ids, err *e);

#endif
