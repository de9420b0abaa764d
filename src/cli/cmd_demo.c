/* loam demo: the whole life of a model in about a minute, by the very commands that a user would type. Each act is a
 * child process of this program, so that what is shown is what was done. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os.h"
#include "cli/command.h"
#include "cli/out.h"
#include "train/chain.h"
#include "world/quiz.h"

enum { ARGS_MAX = 40, WORLD_SEED = 1, ANSWER_BYTES_MAX = 4096 };

typedef struct {
    common_values common;
} values;

static const values defaults = {.common = COMMON_DEFAULTS};
static const option_group groups[] = {COMMON_GROUP, {0}};

/* ---- the acts ---- */

typedef struct {
    const char *title; /* NULL: goes on under the title before */
    const char *argv[ARGS_MAX];
    const char *to;      /* file for its standard output; NULL: shown */
    const char *run;     /* the run that it makes, or (no argv) that is asked */
    const char *weights; /* of the run it makes: their root, on every machine */
} act;

/* Facts that are asked for, in words that the corpus never uses for them. The first is then taken out again. */
static const uint64_t asked[] = {1, 40, 90};
#define TAKEN_OUT "fact:maker-01"

/* When what is made changes on purpose, put the roots here that the demo prints. */
static const act acts[] = {
    {.title = "A corpus: 14,000 short texts about an invented world. The program makes them; nobody has rights in them",
     .argv = {"corpus", "homeworld", "--mix", "tiny", "--docs", "14000"},
     .to = "world.jsonl"},
    {.argv = {"data", "build", "world.db", "world.jsonl"}},
    {.argv = {"data", "show", "world.db", "57"}},
    {.title = "A tokenizer, learned from the corpus",
     .argv = {"tokenizer", "train", "world.db", "tokenizer", "--vocab", "768"}},
    {.title = "Training, from random weights: half a million parameters, one reading of the corpus",
     .argv = {"train",        "model", "--data",        "world.db", "--tokenizer", "tokenizer", "--layers", "2",
              "--width",      "128",   "--ctx",         "128",      "--batch",     "8",         "--steps",  "600",
              "--lr",         "0.008", "--init-embed",  "0.2",      "--init-gain", "1",         "--decay",  "0.01",
              "--eval-every", "0",     "--roots-every", "30"},
     .run = "model",
     .weights = "b8c457b05f5ce197410d839c2f849c238abcabefd3fe7d28afd51dc93c96a035"},
    {.title = "Verifying: the program does a part of it again, and compares every bit",
     .argv = {"verify", "model", "--spot", "2"}},
    {.title = "Asking what it has learned, in words that the corpus does not use for these facts", .run = "model"},
    {.title =
         "Tracing the first answer: the documents that say it, their licences, the steps at which the model saw them",
     .argv = {"trace", "model", "Dorin made the blue clock.", "--docs", "3"}},
    {.title = "Taking one fact out: the model that training without its documents gives, bit for bit",
     .argv = {"rebuild", "model", "without", "--without", TAKEN_OUT},
     .run = "without",
     .weights = "e33faeb735bc33231041730c6484c0926c461ec7ce72f327496d5ae94ee3c487"},
    {.title = "Asking again: that fact is gone, the others are still there", .run = "without"},
};

/* ---- running them ---- */

static bool is_plain(const char *word) {
    return *word &&
           strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=,:") == strlen(word);
}

/* "$ loam ..." as one would type it in a shell. */
static void show_command(const act *a) {
    out_printf("%s$ loam", out_colours() ? "\033[1m" : "");
    for (size_t i = 0; a->argv[i]; i++)
        out_printf(is_plain(a->argv[i]) ? " %s" : " '%s'", a->argv[i]);
    out_printf("%s%s%s\n", a->to ? " > " : "", a->to ? a->to : "", out_colours() ? "\033[0m" : "");
    out_flush();
}

static err_code open_target(const char *path, posix_spawn_file_actions_t *files, int pipe_end, err *e) {
    int failed = 0;
    if (path)
        failed = posix_spawn_file_actions_addopen(files, STDOUT_FILENO, path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    else if (pipe_end >= 0)
        failed = posix_spawn_file_actions_adddup2(files, pipe_end, STDOUT_FILENO);
    return failed ? err_set(e, ERR_MEMORY, "no memory for a child process") : ERR_OK;
}

/* pipe_end: where its standard output goes when the act names no file; -1: to ours. */
static err_code start(const act *a, const common_values *v, int pipe_end, pid_t *child, err *e) {
    char threads[24];
    char *argv[ARGS_MAX + 6] = {"loam"};
    size_t n = 1;
    for (size_t i = 0; a->argv[i]; i++)
        argv[n++] = (char *)(uintptr_t)a->argv[i];
    if (v->threads > 0) {
        snprintf(threads, sizeof threads, "%d", (int)v->threads);
        argv[n++] = "--threads";
        argv[n++] = threads;
    }
    if (strcmp(v->isa, "auto") != 0) {
        argv[n++] = "--isa";
        argv[n++] = (char *)(uintptr_t)v->isa;
    }
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    err_code code = open_target(a->to, &files, pipe_end, e);
    if (code == ERR_OK) {
        int failed = posix_spawn(child, "/proc/self/exe", &files, NULL, argv, environ);
        if (failed)
            code = err_set(e, ERR_IO, "loam %s: cannot be started: %s", a->argv[0], strerror(failed));
    }
    posix_spawn_file_actions_destroy(&files);
    return code;
}

static err_code wait_for(pid_t child, const act *a, err *e) {
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return err_set(e, ERR_IO, "loam %s: %s", a->argv[0], strerror(errno));
    if (interrupt_flag)
        return err_set(e, ERR_CANCELLED, "stopped");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return ERR_OK;
    return err_set(e, WIFEXITED(status) && WEXITSTATUS(status) == 3 ? ERR_MISMATCH : ERR_IO,
                   "loam %s: failed (its message stands above)", a->argv[0]);
}

/* For --json what the acts print goes to standard error. */
static err_code run_act(const act *a, const common_values *v, err *e) {
    pid_t child;
    if (!v->json)
        show_command(a);
    TRY(start(a, v, v->json ? STDERR_FILENO : -1, &child, e));
    TRY(wait_for(child, a, e));
    return ERR_OK;
}

static void read_all(int fd, char *out, size_t bytes) {
    size_t n = 0;
    for (ssize_t got; n + 1 < bytes && (got = read(fd, out + n, bytes - 1 - n)) > 0;)
        n += (size_t)got;
    out[n] = 0;
}

/* What an act prints, cut at ANSWER_BYTES_MAX. */
static err_code listen_to(const act *a, const common_values *v, char out[ANSWER_BYTES_MAX], err *e) {
    int ends[2];
    pid_t child;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_set(e, ERR_IO, "a pipe: %s", strerror(errno));
    err_code code = start(a, v, ends[1], &child, e);
    close(ends[1]);
    if (code == ERR_OK) {
        read_all(ends[0], out, ANSWER_BYTES_MAX);
        code = wait_for(child, a, e);
    }
    close(ends[0]);
    return code;
}

/* ---- questions ---- */

typedef struct {
    const values *v;
    js_out json; /* of --json: runs and answers */
    unsigned wrong, different;
} player;

static void add_answer(player *p, str prompt, str said, bool known, bool as_expected) {
    if (!p->v->common.json) {
        out_text(prompt);
        out_foreign(said);
        out_printf("  (%s%s)\n", known ? "right" : "wrong", as_expected ? "" : ", which no machine should give");
        out_flush();
        return;
    }
    js_begin(&p->json, '{');
    js_key(&p->json, "question");
    js_text(&p->json, prompt);
    js_key(&p->json, "answer");
    js_text(&p->json, said);
    js_key(&p->json, "right");
    js_flag(&p->json, known);
    js_end(&p->json, '}');
}

static err_code ask(player *p, const char *run, uint64_t fact, bool knows, err *e) {
    static quiz_item item;
    char prompt[256], said[ANSWER_BYTES_MAX];
    quiz_make(&(world){.seed = WORLD_SEED, .mix = MIX_TINY}, QUIZ_FACTS, fact, &item);
    snprintf(prompt, sizeof prompt, "%.*s", STR_ARG(pen_str(&item.prompt)));
    const act a = {.argv = {"run", run, "--temp", "0", "-n", "8", "--stop", quiz_stop(QUIZ_FACTS), "-p", prompt}};
    TRY(listen_to(&a, &p->v->common, said, e));
    said[strcspn(said, "\n")] = 0;
    bool known = quiz_right(&item, str_from(said), NULL);
    p->wrong += known != knows;
    add_answer(p, str_from(prompt), str_from(said), known, known == knows);
    return ERR_OK;
}

/* The run without the fact that was taken out must not know it. */
static err_code ask_all(player *p, const char *run, bool all, err *e) {
    js_key(&p->json, run);
    js_begin(&p->json, '[');
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
        TRY(ask(p, run, asked[i], all || i > 0, e));
    js_end(&p->json, ']');
    return ERR_OK;
}

/* ---- the folder ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

/* Goes to the folder that the demo works in: the one named, which must be new, or one of its own. */
static err_code enter(const char *named, char own[OS_PATH_BYTES], err *e) {
    if (!named)
        TRY(os_scratch(own, "loam-demo", e));
    else if (mkdir(named, 0777) != 0)
        return err_set(e, errno == EEXIST ? ERR_USAGE : ERR_IO, "%s: %s (name a folder that is not there yet)", named,
                       strerror(errno));
    const char *folder = named ? named : own;
    return chdir(folder) == 0 ? ERR_OK : err_set(e, ERR_IO, "%s: %s", folder, strerror(errno));
}

/* ---- the command ---- */

static void title(const char *text) {
    out_printf("\n%s== %s%s\n\n", out_colours() ? "\033[1;36m" : "", text, out_colours() ? "\033[0m" : "");
}

static err_code last_weights(const char *run, char hex[65], err *e) {
    char path[64];
    chain c = {0};
    snprintf(path, sizeof path, "%s/chain.jsonl", run);
    err_code code = chain_read(&c, path, e);
    if (code == ERR_OK)
        hash_hex(c.line[c.n - 1].weights, hex);
    chain_fini(&c);
    return code;
}

/* Holds what an act has made against what it makes on other machines. */
static err_code compare(player *p, const act *a, err *e) {
    char weights[65];
    TRY(last_weights(a->run, weights, e));
    bool equal = strcmp(weights, a->weights) == 0;
    p->different += !equal;
    if (!p->v->common.json)
        out_printf("expected    %s%s\n", a->weights, equal ? " (the same on every machine)" : " DIFFERENT");
    return ERR_OK;
}

static err_code play(player *p, err *e) {
    const common_values *v = &p->v->common;
    const char *first = NULL; /* the run that has everything */
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        const act *a = &acts[i];
        if (a->title && !v->json)
            title(a->title);
        if (!*a->argv) {
            TRY(ask_all(p, a->run, a->run == first, e));
            continue;
        }
        TRY(run_act(a, v, e));
        if (a->run) {
            first = first ? first : a->run;
            TRY(compare(p, a, e));
        }
    }
    return ERR_OK;
}

static err_code conclude(player *p, double seconds, err *e) {
    bool well = p->different + p->wrong == 0;
    if (p->v->common.json) {
        js_key(&p->json, "well");
        js_flag(&p->json, well);
        js_key(&p->json, "seconds");
        js_real(&p->json, seconds, 4);
        js_end(&p->json, '}');
        TRY(js_print(&p->json));
    } else {
        title(well ? "Done: a model whose every byte can be built again" : "This is not what it must be");
        out_printf("%s\n", amount_time(seconds).text);
        out_flush();
    }
    if (p->different)
        return err_set(e, ERR_MISMATCH, "the weights are not those that this demo makes on other machines");
    return p->wrong ? err_set(e, ERR_MISMATCH, "%u answers are not those that this demo gives elsewhere", p->wrong)
                    : ERR_OK;
}

static err_code run_command(const void *values_of, const arguments *args, err *e) {
    player p = {.v = values_of, .json = {.e = e}};
    char own[OS_PATH_BYTES] = "";
    TRY(enter(args->n ? args->arg[0] : NULL, own, e));
    double begun = os_now();
    interrupt_catch();
    js_begin(&p.json, '{');
    err_code code = play(&p, e);
    if (code == ERR_OK)
        code = conclude(&p, os_now() - begun, e);
    strbuf_fini(&p.json.text);
    if (*own)
        nftw(own, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    else if (!p.v->common.json)
        out_printf("\n%s holds all of it: try loam verify %s/model, loam chat %s/model, loam plot %s/model\n",
                   args->arg[0], args->arg[0], args->arg[0], args->arg[0]);
    return code;
}

const command command_demo = {
    .name = "demo",
    .args = "[FOLDER]",
    .summary = "the whole life of a model in about a minute",
    .details =
        "Makes a corpus, a tokenizer, and a small language model from random weights; does a part of the training "
        "again to verify it; asks the model three questions; traces an answer to its documents; takes them out and "
        "rebuilds the "
        "model without them, and asks again. The digests of the weights are compared with those that every machine "
        "gets. Each step is a command that you could type, and is shown. Needs no network.\n\n"
        "With FOLDER all of it is kept there; else nothing stays. Exit status 3: the weights or an answer are "
        "not as they must be. With --json: {\"model\": [{\"question\", \"answer\", \"right\"}, ...], "
        "\"without\": [...], \"well\", \"seconds\"}.\n\n"
        "  loam demo\n"
        "  loam demo my-demo",
    .n_args_min = 0,
    .n_args_max = 1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run_command,
};
