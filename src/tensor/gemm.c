/* gemm: cutting chains into tasks; see gemm.h. */
#include "tensor/gemm.h"

#include <assert.h>

#include "kern/panel.h"
#include "tensor/rows.h"

/* Rows that one task takes, about. Few make every copy of a panel dear, a turned one more so; many leave threads idle.
 */
enum { ROWS_TASK = 240, ROWS_TASK_TURNED = 512, ROWS_WORTH = 64 };

typedef struct {
    size_t rows, panels; /* of one task */
    size_t n_rows, n_panels;
} grid;

typedef struct {
    const engine *e;
    const kern_gemm *g;
    int n;
    grid grid[GEMM_TOGETHER_MAX]; /* chained: the first alone */
    uint8_t *scratch;
} job;

static size_t ceil_of(size_t a, size_t b) { return (a + b - 1) / b; }

static grid cut(const engine *e, const kern_gemm *g) {
    size_t threads = (size_t)pool_threads(e->pool), tile = (size_t)e->kern->tile[ACTS_F32];
    size_t panels = ceil_of(g->outs, PANEL_ROWS), most = ceil_of(g->rows, ROWS_WORTH);
    grid c = {.n_rows = ceil_of(g->rows, g->turned ? ROWS_TASK_TURNED : ROWS_TASK)};
    size_t even = ceil_of(c.n_rows, threads) * threads; /* every thread has as much to do */
    c.n_rows = even < most && !g->turned ? even : c.n_rows;
    c.rows = ceil_of(ceil_of(g->rows, c.n_rows), tile) * tile;
    c.n_rows = ceil_of(g->rows, c.rows);
    c.n_panels = c.n_rows % threads == 0 ? 1 : ceil_of(2 * threads, c.n_rows);
    c.n_panels = c.n_panels < panels ? c.n_panels : panels;
    c.panels = ceil_of(panels, c.n_panels);
    c.n_panels = ceil_of(panels, c.panels);
    return c;
}

static size_t tasks_of(const grid *c) { return c->n_rows * c->n_panels; }

/* Task i of the grid, by g. */
static void run(const job *j, const kern_gemm *g, const grid *c, size_t i, int thread) {
    size_t panels = ceil_of(g->outs, PANEL_ROWS), row = i / c->n_panels * c->rows, panel = i % c->n_panels * c->panels;
    size_t row_end = row + c->rows < g->rows ? row + c->rows : g->rows;
    size_t panel_end = panel + c->panels < panels ? panel + c->panels : panels;
    j->e->kern->gemm(g, row, row_end, panel, panel_end, j->scratch + (size_t)thread * KERN_GEMM_SCRATCH);
}

static void task(void *ctx, size_t i, int thread) {
    const job *j = ctx;
    int at = 0;
    for (; i >= tasks_of(&j->grid[at]); at++)
        i -= tasks_of(&j->grid[at]);
    run(j, &j->g[at], &j->grid[at], i, thread);
}

static void chained_task(void *ctx, size_t i, int thread) {
    const job *j = ctx;
    for (int at = 0; at < j->n; at++)
        run(j, &j->g[at], &j->grid[0], i, thread);
}

size_t gemm_scratch_bytes(const engine *e) { return (size_t)pool_threads(e->pool) * KERN_GEMM_SCRATCH; }

void gemm_run(const engine *e, const kern_gemm *g, int n, void *scratch) {
    assert(n <= GEMM_TOGETHER_MAX);
    job j = {.e = e, .g = g, .n = n, .scratch = scratch};
    size_t tasks = 0;
    for (int i = 0; i < n; i++) {
        if (g[i].rows && g[i].outs)
            j.grid[i] = cut(e, &g[i]);
        tasks += tasks_of(&j.grid[i]);
    }
    tasks_run(e, tasks, task, &j);
}

void gemm_run_chained(const engine *e, const kern_gemm *g, int n, void *scratch) {
    job j = {.e = e, .g = g, .n = n, .scratch = scratch};
    if (g[0].rows && g[0].outs)
        j.grid[0] = cut(e, &g[0]);
    tasks_run(e, tasks_of(&j.grid[0]), chained_task, &j);
}
