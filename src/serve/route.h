/* route: which handler answers which path. */
#ifndef LOAM_SERVE_ROUTE_H
#define LOAM_SERVE_ROUTE_H

#include "serve/serve.h"

/* ERR_OK: has answered, or promised to. Else the error is answered by the caller. body: of a POST, an object (of
 * /lora-adapters a list), borrowed (json_incref to keep it); NULL for a GET. rest: what stood for '*' in the path. */
typedef err_code route_fn(serve *s, http_call *c, json_t *body, str rest, err *e);

typedef struct {
    const char *method, *path; /* a path that ends in '*' stands for all that begin so */
    route_fn *run;
} route;

extern const route routes_openai[], routes_responses[], routes_anthropic[], routes_ollama[], routes_embed[],
    routes_loam[], routes_lora[], routes_lineage[], routes_page[]; /* end with NULL */

/* Parses the body of a POST, runs the route, answers errors. */
void route_run(serve *s, http_call *c, const route *r, str rest);

/* http_options.handle: finds the route; a GET runs at once, a POST on the intake's thread. 404, 405 with Allow. */
void route_handle(void *ctx, http_call *c);

#endif
