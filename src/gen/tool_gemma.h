/* tool_gemma: arguments as FunctionGemma writes them, to JSON.
 *
 *   city:<escape>Rome<escape>,days:3,flags:{a:true},list:[1,2]}     the first brace is the call's own mark
 *
 * Keys stand without quotes, texts between <escape> and <escape>; both may also be JSON strings. Proved by
 * test_tools.c, fuzz_tools.c.
 */
#ifndef LOAM_GEN_TOOL_GEMMA_H
#define LOAM_GEN_TOOL_GEMMA_H

#include "base/str.h"

/* Appends the object. Anything else: ERR_FORMAT. */
err_code tool_gemma_object(str s, strbuf *out, err *e);

#endif
