/* chart: curves as text for the terminal (braille dots, 2 x 4 in a character) and as an SVG file.
 *
 * Both depend on the numbers alone: the same run gives the same picture. Points with an x or y that is not finite are
 * left out. Where many points share a column their mean is drawn. Proved by test_chart.c.
 */
#ifndef LOAM_CLI_CHART_H
#define LOAM_CLI_CHART_H

#include "base/str.h"

typedef struct {
    const char *name;
    const double *x, *y; /* [n], x ascending */
    size_t n;
    bool dots; /* points, not a line */
} chart_series;

typedef struct {
    const char *title, *x_name, *y_name;
    const chart_series *series;
    size_t n; /* at most CHART_SERIES_MAX */
} chart;

enum { CHART_SERIES_MAX = 4 };

/* columns x rows characters, axes included; at least 30 x 6. */
err_code chart_text(const chart *c, int columns, int rows, strbuf *out, err *e);
err_code chart_svg(const chart *c, strbuf *out, err *e);

#endif
