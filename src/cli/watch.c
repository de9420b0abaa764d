/* watch: see watch.h. */
#include "cli/watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/os.h"
#include "train/best.h"

/* ---- a step ---- */

/* Of the limit, from 0 to 1: what has been done can be done, whatever was measured. */
static double share_of_peak(const watch *w, double flops, double seconds) {
    double rate = seconds > 0 ? flops / seconds : 0;
    return w->peak <= 0 ? 0 : rate < w->peak ? rate / w->peak : 1;
}

static double percent_of_peak(const watch *w) { return 100 * share_of_peak(w, w->flops, w->seconds); }

static double time_left(const watch *w, uint64_t step) {
    double done = (double)(step - w->first);
    return done > 0 && w->until > step ? w->seconds / done * (double)(w->until - step) : 0;
}

static void status(watch *w, const loop_event *v) {
    char held_out[40] = "";
    if (w->bits > 0)
        snprintf(held_out, sizeof held_out, ", held out %.3f bits/byte", w->bits);
    if (w->held_out > 0)
        snprintf(held_out, sizeof held_out, ", held out %.4f", w->held_out);
    const char *form = "step %" PRIu64 " of %" PRIu64 ": loss %.4f%s, %s tokens/s, %.0f %% of FMA limit, %s left";
    double rate = w->seconds > 0 ? w->tokens / w->seconds : 0, now = os_now();
    uint64_t last = w->t->run.recipe.optimizer.steps;
    if (err_is_terminal()) {
        if (now - w->drawn >= 0.1)
            progress_line(&w->line, form, v->step, last, v->line->loss, held_out, amount_count(rate).text,
                          percent_of_peak(w), amount_time(time_left(w, v->step)).text);
        w->drawn = now - w->drawn >= 0.1 ? now : w->drawn;
    } else if (now - w->drawn >= 10 || v->step == last) {
        out_note(form, v->step, last, v->line->loss, held_out, amount_count(rate).text, percent_of_peak(w),
                 amount_time(time_left(w, v->step)).text);
        w->drawn = now;
    }
}

static err_code step_json(const watch *w, const loop_event *v, size_t n_tokens, err *e) {
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_key(&j, "step");
    js_int(&j, (int64_t)v->step);
    js_key(&j, "loss");
    js_real(&j, v->line->loss, 8);
    js_key(&j, "norm");
    js_real(&j, v->line->norm, 6);
    js_key(&j, "lr");
    js_real(&j, v->lr, 6);
    js_key(&j, "tok_s");
    js_real(&j, v->seconds > 0 ? (double)n_tokens / v->seconds : 0, 6);
    js_key(&j, "fma_share");
    js_real(&j, share_of_peak(w, v->flops, v->seconds), 4);
    js_end(&j, '}');
    err_code code = js_print(&j);
    out_flush();
    return code;
}

static err_code on_step(watch *w, const loop_event *v, err *e) {
    size_t n_tokens = trainer_step_tokens(w->t->run.trainer);
    w->done = v->step;
    w->seconds += v->seconds;
    w->tokens += (double)n_tokens;
    w->flops += v->flops;
    w->loss = v->line->loss;
    runlog_step row = {.step = v->step,
                       .tokens = n_tokens,
                       .at = (double)time(NULL),
                       .seconds = v->seconds,
                       .loss = v->line->loss,
                       .norm = v->line->norm,
                       .lr = v->lr,
                       .flops = v->flops};
    energy_step(&w->energy);
    TRY(runlog_add_step(w->log, &row, e));
    if (w->json)
        return step_json(w, v, n_tokens, e);
    status(w, v);
    return ERR_OK;
}

/* Held-out text has bits a byte and stands in the log; held-out examples have a loss and stand in the chain. */
static err_code on_eval(watch *w, const loop_event *v, err *e) {
    bool text = !v->line || !v->line->has_held_out;
    if (text) {
        w->bits = v->bits;
        TRY(runlog_add_eval(w->log, &(runlog_eval){v->step, v->bytes, v->bits}, e));
    } else
        w->held_out = v->line->held_out;
    if (!w->json)
        return ERR_OK;
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_key(&j, "step");
    js_int(&j, (int64_t)v->step);
    js_key(&j, text ? "val_bits_per_byte" : "held_out");
    js_real(&j, text ? w->bits : w->held_out, 8);
    js_end(&j, '}');
    return js_print(&j);
}

static err_code on_event(void *ctx, const loop_event *v, err *e) {
    watch *w = ctx;
    run_path path;
    switch (v->kind) {
    case LOOP_BEGIN:
        w->first = w->done = v->step;
        if (v->step && !w->json)
            out_note("continuing behind step %" PRIu64, v->step);
        TRY(run_file(&w->t->run, "log.db", &path, e));
        return runlog_open(&w->log, path.text, v->step, e);
    case LOOP_STEP:
        return on_step(w, v, e);
    case LOOP_EVAL:
        return on_eval(w, v, e);
    case LOOP_SAMPLE:
        return w->on_sample ? w->on_sample(w->ctx, v->step, e) : ERR_OK;
    case LOOP_SAVED:
    case LOOP_END:
        break;
    }
    return ERR_OK;
}

/* ---- the end ---- */

static err_code end_json(const watch *w, const chain_line *last, const best *b, const char *root, const char *digest,
                         err *e) {
    js_out j = {.e = e};
    js_begin(&j, '{');
    js_key(&j, "done");
    js_int(&j, (int64_t)last->step);
    if (b->step) {
        js_key(&j, "best");
        js_int(&j, (int64_t)b->step);
        js_key(&j, "held_out");
        js_real(&j, b->loss, 8);
    }
    if (recipe_is_tuning(&w->t->run.recipe)) {
        js_key(&j, "ended");
        js_flag(&j, best_ended(b, &w->t->run.recipe, last->step));
    }
    js_key(&j, "weights");
    js_text(&j, str_from(root));
    js_key(&j, "digest");
    js_text(&j, str_from(digest));
    js_end(&j, '}');
    return js_print(&j);
}

static err_code print_end(const watch *w, err *e) {
    const recipe *r = &w->t->run.recipe;
    chain c;
    run_path path;
    char root[65] = "", digest[65];
    TRY(run_file(&w->t->run, "chain.jsonl", &path, e));
    TRY(chain_read(&c, path.text, e));
    const chain_line last = c.line[c.n - 1];
    best b = best_of(&c, last.step);
    chain_fini(&c);
    if (last.has_roots)
        hash_hex(last.weights, root);
    hash_hex(last.digest, digest);
    if (w->json)
        return end_json(w, &last, &b, root, digest, e);
    out_printf("steps       %" PRIu64 " of %" PRIu64 "%s\n", last.step, r->optimizer.steps,
               best_stops(&b, r->tune.patience) ? ": what is held out was not learned better any more" : "");
    if (w->seconds > 0)
        out_printf("loss        %.4f at the last step\nspeed       %s tokens/s, %.0f %% of the FMA limit, %s\n",
                   w->loss, amount_count(w->tokens / w->seconds).text, percent_of_peak(w),
                   amount_time(os_now() - w->begun).text);
    if (w->bits > 0)
        out_printf("held out    %.4f bits per byte\n", w->bits);
    if (b.step)
        out_printf("held out    %.4f, the least, after step %" PRIu64 "%s\n", b.loss, b.step,
                   r->tune.best ? ", whose weights are published" : "");
    if (last.has_roots)
        out_printf("weights     %s\n", root);
    out_printf("chain       %s\n", digest);
    return ERR_OK;
}

/* What this session took, whatever ended it. */
static err_code close_log(watch *w, err_code code, err *e) {
    if (!w->log)
        return code;
    runlog_session row = {w->first,
                          w->done,
                          w->seconds,
                          energy_joules(&w->energy),
                          pool_threads(w->t->pool),
                          model_isa(trainer_model(w->t->run.trainer))};
    err_code logged = runlog_add_session(w->log, &row, code == ERR_OK ? e : NULL);
    err_code closed = runlog_close(w->log, code == ERR_OK && logged == ERR_OK ? e : NULL);
    w->log = NULL;
    return code != ERR_OK ? code : logged != ERR_OK ? logged : closed;
}

err_code watch_run(watch *w, loop_options *o, err *e) {
    w->until = o->until ? o->until : w->t->run.recipe.optimizer.steps;
    o->cancel = &interrupt_flag;
    o->on = on_event;
    o->ctx = w;
    w->begun = w->drawn = os_now();
    energy_open(&w->energy, NULL);
    interrupt_catch();
    err_code code = loop_run(&w->t->run, o, e);
    progress_end(&w->line);
    code = close_log(w, code, e);
    if (code == ERR_CANCELLED)
        out_note("%s; `loam %s %s` continues", e->text, w->command, w->t->run.path);
    return code == ERR_OK ? print_end(w, e) : code;
}
