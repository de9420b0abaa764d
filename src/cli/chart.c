/* chart: see chart.h. */
#include "cli/chart.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is drawn, and how the axes are marked: at from, from + step, .. */
typedef struct {
    double lo, hi;
} range;

static bool finite_point(const chart_series *s, size_t i) { return isfinite(s->x[i]) && isfinite(s->y[i]); }

static void widen(range *r, double v) {
    r->lo = v < r->lo ? v : r->lo;
    r->hi = v > r->hi ? v : r->hi;
}

static void ranges(const chart *c, range *x, range *y) {
    *x = *y = (range){INFINITY, -INFINITY};
    for (size_t k = 0; k < c->n; k++)
        for (size_t i = 0; i < c->series[k].n; i++)
            if (finite_point(&c->series[k], i)) {
                widen(x, c->series[k].x[i]);
                widen(y, c->series[k].y[i]);
            }
    range *both[] = {x, y};
    for (int i = 0; i < 2; i++) {
        if (!(both[i]->lo <= both[i]->hi))
            *both[i] = (range){0, 1};
        if (both[i]->hi - both[i]->lo < 1e-9 * (1 + fabs(both[i]->hi)))
            *both[i] = (range){both[i]->lo - 0.5, both[i]->hi + 0.5};
    }
}

/* 1, 2 or 5 times a power of ten: at most n marks. */
static double mark_step(range r, int n) {
    double step = 1;
    while (step * n >= 10 * (r.hi - r.lo))
        step /= 10;
    while (step * n < (r.hi - r.lo))
        step *= 10;
    if (step / 5 * n >= r.hi - r.lo)
        return step / 5;
    return step / 2 * n >= r.hi - r.lo ? step / 2 : step;
}

/* The first multiple of step from r.lo on. */
static double first_mark(range r, double step) {
    double v = (double)(int64_t)(r.lo / step) * step;
    return v < r.lo - step * 1e-9 ? v + step : v;
}

static double at(range r, double v) { return (v - r.lo) / (r.hi - r.lo); }

/* Mean y of the points of each of n columns; NAN where there is none. */
static void columns_of(const chart_series *s, range x, size_t n, double *mean) {
    size_t i = 0;
    for (size_t col = 0; col < n; col++) {
        double sum = 0;
        size_t count = 0;
        for (; i < s->n; i++) {
            double a = isfinite(s->x[i]) ? at(x, s->x[i]) * (double)n : 0;
            if ((size_t)(a > 0 ? a : 0) > col && col + 1 < n)
                break;
            if (finite_point(s, i)) {
                sum += s->y[i];
                count++;
            }
        }
        mean[col] = count ? sum / (double)count : NAN;
    }
}

/* ---- text ---- */

typedef struct {
    int columns, rows; /* characters */
    uint8_t *dots;     /* [rows][columns], bits as in Unicode's braille block */
} canvas;

static void dot(canvas *c, int x, int y) { /* y upwards */
    static const uint8_t bit[4][2] = {{0x40, 0x80}, {0x04, 0x20}, {0x02, 0x10}, {0x01, 0x08}};
    if (x >= 0 && y >= 0 && x < 2 * c->columns && y < 4 * c->rows)
        c->dots[(c->rows - 1 - y / 4) * c->columns + x / 2] |= bit[y % 4][x % 2];
}

static int height(const canvas *c, range y, double v) { return (int)(at(y, v) * (4 * c->rows - 1) + 0.5); }

static void draw(canvas *c, const chart_series *s, range x, range y, double *mean) {
    int before = -1;
    columns_of(s, x, 2 * (size_t)c->columns, mean);
    for (int col = 0; col < 2 * c->columns; col++) {
        if (isnan(mean[col]))
            continue;
        int h = height(c, y, mean[col]), from = s->dots || before < 0 ? h : before;
        dot(c, col, h);
        for (int k = from < h ? from : h; k <= (from > h ? from : h); k++)
            dot(c, col, k);
        before = h;
    }
}

static err_code put_row(const canvas *c, int row, strbuf *out, err *e) {
    int last = c->columns;
    while (last > 0 && !c->dots[row * c->columns + last - 1])
        last--;
    for (int col = 0; col < last; col++) {
        uint8_t d = c->dots[row * c->columns + col];
        char utf8[3] = {(char)0xE2, (char)(0xA0 | d >> 6), (char)(0x80 | (d & 0x3f))};
        TRY(d ? strbuf_add(out, (str){utf8, 3}, e) : strbuf_addc(out, ' ', e));
    }
    return strbuf_addc(out, '\n', e);
}

/* Labels along the x axis, where they fit. */
static err_code put_x(int columns, range x, const char *name, strbuf *out, err *e) {
    char line[400];
    int width = columns < (int)sizeof line - 40 ? columns : (int)sizeof line - 40;
    double step = mark_step(x, width / 12 > 1 ? width / 12 : 1);
    memset(line, ' ', sizeof line);
    int end = 0;
    for (double v = first_mark(x, step); v <= x.hi + step * 1e-9; v += step) {
        char text[30];
        int n = snprintf(text, sizeof text, "%.6g", v), from = (int)(at(x, v) * (width - 1)) - n / 2;
        from = from < 0 ? 0 : from;
        if (from + n > width || (end && from < end + 2))
            continue;
        memcpy(line + from, text, (size_t)n);
        end = from + n;
    }
    return strbuf_addf(out, e, "%9s%.*s %s\n", "", end, line, name);
}

static err_code text_in(const chart *c, canvas *k, double *mean, strbuf *out, err *e) {
    range x, y;
    ranges(c, &x, &y);
    for (size_t i = 0; i < c->n; i++)
        draw(k, &c->series[i], x, y, mean);
    double step = mark_step(y, k->rows / 2 > 1 ? k->rows / 2 : 1);
    TRY(strbuf_addf(out, e, "%s, %s", c->title, c->y_name));
    for (size_t i = 0; i < c->n; i++)
        TRY(strbuf_addf(out, e, "%s %s%s", i ? "," : ":", c->series[i].name, c->series[i].dots ? " (dots)" : ""));
    TRY(strbuf_addc(out, '\n', e));
    for (int row = 0; row < k->rows; row++) {
        char label[20] = "";
        for (double v = first_mark(y, step); v <= y.hi + step * 1e-9; v += step)
            if (height(k, y, v) / 4 == k->rows - 1 - row)
                snprintf(label, sizeof label, "%.4g", v);
        TRY(strbuf_addf(out, e, "%7.7s %s", label, *label ? "\xE2\x94\xA4" : "\xE2\x94\x82"));
        TRY(put_row(k, row, out, e));
    }
    return put_x(k->columns, x, c->x_name, out, e);
}

err_code chart_text(const chart *c, int columns, int rows, strbuf *out, err *e) {
    canvas k = {.columns = columns > 30 ? columns - 10 : 20, .rows = rows > 6 ? rows - 2 : 4};
    k.dots = calloc((size_t)k.columns * (size_t)k.rows, 1);
    double *mean = calloc(2 * (size_t)k.columns, sizeof *mean);
    err_code code = k.dots && mean ? text_in(c, &k, mean, out, e) : err_set(e, ERR_MEMORY, "no memory for a chart");
    free(k.dots);
    free(mean);
    return code;
}

/* ---- SVG ---- */

enum { W = 960, H = 540, LEFT = 70, RIGHT = 20, TOP = 50, BOTTOM = 50, POINTS_MAX = 1200 };

static double px(range x, double v) { return LEFT + at(x, v) * (W - LEFT - RIGHT); }
static double py(range y, double v) { return H - BOTTOM - at(y, v) * (H - TOP - BOTTOM); }

static err_code svg_series(const chart_series *s, size_t i, range x, range y, strbuf *out, err *e) {
    double mean[POINTS_MAX];
    columns_of(s, x, POINTS_MAX, mean);
    if (!s->dots)
        TRY(strbuf_addf(out, e, "<polyline class=\"s%zu\" points=\"", i));
    for (size_t col = 0; col < POINTS_MAX; col++) {
        if (isnan(mean[col]))
            continue;
        double a = LEFT + ((double)col + 0.5) / POINTS_MAX * (W - LEFT - RIGHT), b = py(y, mean[col]);
        TRY(s->dots ? strbuf_addf(out, e, "<circle class=\"s%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", i, a, b)
                    : strbuf_addf(out, e, "%.1f,%.1f ", a, b));
    }
    return s->dots ? ERR_OK : strbuf_add(out, STR("\"/>\n"), e);
}

static err_code svg_axes(const chart *c, range x, range y, strbuf *out, err *e) {
    double sx = mark_step(x, 10), sy = mark_step(y, 8);
    for (double v = first_mark(y, sy); v <= y.hi + sy * 1e-9; v += sy)
        TRY(strbuf_addf(out, e,
                        "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
                        "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>\n",
                        LEFT, py(y, v), W - RIGHT, py(y, v), LEFT - 8, py(y, v) + 4, fabs(v) < sy * 1e-6 ? 0 : v));
    for (double v = first_mark(x, sx); v <= x.hi + sx * 1e-9; v += sx)
        TRY(strbuf_addf(out, e, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.6g</text>\n", px(x, v),
                        H - BOTTOM + 20, fabs(v) < sx * 1e-6 ? 0 : v));
    return strbuf_addf(out, e,
                       "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n"
                       "<text x=\"%d\" y=\"%d\">%s</text>\n",
                       (LEFT + W - RIGHT) / 2, H - 10, c->x_name, LEFT, TOP - 10, c->y_name);
}

/* Names come from people: what XML would read as markup is quoted. */
static err_code quoted(const char *s, strbuf *out, err *e) {
    for (; *s; s++) {
        const char *q = *s == '<' ? "&lt;" : *s == '&' ? "&amp;" : *s == '>' ? "&gt;" : *s == '"' ? "&quot;" : NULL;
        TRY(q ? strbuf_add(out, str_from(q), e) : strbuf_addc(out, *s, e));
    }
    return ERR_OK;
}

err_code chart_svg(const chart *c, strbuf *out, err *e) {
    range x, y;
    ranges(c, &x, &y);
    TRY(strbuf_addf(out, e, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\">\n<title>", W,
                    H));
    TRY(quoted(c->title, out, e));
    TRY(strbuf_add(
        out,
        STR("</title>\n<style>\n"
            "text{font:13px sans-serif;fill:#444}.grid{stroke:#ddd}polyline{fill:none;stroke-width:1.5}\n"
            "polyline.s0{stroke:#2457a6}circle.s0{fill:#2457a6}polyline.s1{stroke:#b3541e}circle.s1{fill:#b3541e}\n"
            "polyline.s2{stroke:#3c7a3c}circle.s2{fill:#3c7a3c}polyline.s3{stroke:#777}circle.s3{fill:#777}\n"
            "</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"),
        e));
    TRY(strbuf_addf(out, e, "<text x=\"%d\" y=\"22\" style=\"font-weight:bold\">", LEFT));
    TRY(quoted(c->title, out, e));
    TRY(strbuf_add(out, STR("</text>\n"), e));
    TRY(svg_axes(c, x, y, out, e));
    for (size_t i = 0; i < c->n; i++) {
        TRY(svg_series(&c->series[i], i, x, y, out, e));
        int mark = W - RIGHT - 170, line = TOP + 18 * (int)i;
        TRY(strbuf_addf(out, e,
                        "<circle class=\"s%zu\" cx=\"%d\" cy=\"%d\" r=\"4\"/><text x=\"%d\" y=\"%d\">%s</text>\n", i,
                        mark, line - 4, mark + 10, line, c->series[i].name));
    }
    return strbuf_add(out, STR("</svg>\n"), e);
}
