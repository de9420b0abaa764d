/* calibrating: what imatrix and quantize share: the windows of a text, and the importance matrix that they give. */
#ifndef LOAM_CLI_CALIBRATING_H
#define LOAM_CLI_CALIBRATING_H

#include "cli/load.h"
#include "gen/windows.h"
#include "io/imatrix.h"

typedef struct {
    int64_t ctx, n; /* tokens of a window, how many windows; 0: as the help says */
} window_values;
extern const option window_options[];
#define WINDOW_GROUP(type) \
    { "Windows of text", window_options, offsetof(type, window) }

/* The text of a file, "-" for standard input, in windows for the model at hand, no more than were asked for. */
err_code calibrating_windows(const loaded *l, const char *path, const window_values *v, windows *w, err *e);

/* *out: what the model at hand makes of the text; see model/calibrate.h. */
err_code calibrating_run(const loaded *l, const char *path, const window_values *v, imatrix *out, err *e);

#endif
