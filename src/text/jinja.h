/* jinja: the subset of Jinja2 that chat templates use, in a sandbox.
 *
 * Semantics follow Jinja2 3.1 as transformers sets it up (ImmutableSandboxedEnvironment,
 * trim_blocks, lstrip_blocks, loop controls, `tojson` that keeps non-ASCII and key order,
 * `raise_exception`, `strftime_now`, `{% generation %}`).
 * An unsupported construct is ERR_UNSUPPORTED with its line, at compile time when it can be
 * seen there; never silently other text. Nothing outside the given variables can be reached.
 */
#ifndef LOAM_TEXT_JINJA_H
#define LOAM_TEXT_JINJA_H

#include <time.h>

#include "base/str.h"
#include "text/json.h"

typedef struct jinja jinja;

typedef struct {
    size_t source_bytes_max; /* template text */
    size_t output_bytes_max; /* rendered text */
    size_t steps_max;        /* evaluated nodes */
    size_t memory_bytes_max; /* all values alive during a render */
    int depth_max;           /* nesting of syntax, of macro calls and of values */
} jinja_limits;

extern const jinja_limits jinja_limits_default; /* 256 KiB, 16 MiB, 20 million, 256 MiB, 64 */

/* Parses `source` (copied). limits NULL: the default. */
err_code jinja_compile(jinja **out, str source, const jinja_limits *limits, err *e);
void jinja_free(jinja *t); /* NULL allowed */

/* Renders with the members of the object `vars` as global variables, appending to *out. On
 * failure *out keeps its old length. `now` feeds strftime_now. An exception raised by the
 * template (raise_exception) is ERR_FORMAT with its message. Thread-safe for one template. */
err_code jinja_render(const jinja *t, const json_t *vars, time_t now, strbuf *out, err *e);

/* The same, and where in *out the text of each `{% generation %}` block came to stand, in order of writing: what an
 * assistant has said. A block whose text the template put elsewhere (a filter, `{% set %}`) is ERR_UNSUPPORTED.
 * Zero-initialise `spans` or use it again; free spans->v. */
typedef struct {
    size_t from, to;
} jinja_span;
typedef struct {
    jinja_span *v;
    size_t n, cap;
} jinja_spans;
err_code jinja_render_spans(const jinja *t, const json_t *vars, time_t now, strbuf *out, jinja_spans *spans, err *e);

#endif
