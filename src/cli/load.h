/* load: opening what a command works with: threads, model, tokenizer, prompt, chat template. */
#ifndef LOAM_CLI_LOAD_H
#define LOAM_CLI_LOAD_H

#include "base/os.h"
#include "cli/command.h"
#include "gen/chat.h"
#include "gen/sampler.h"
#include "gen/session.h"
#include "model/adapter_file.h"

enum { LOAD_CTX_DEFAULT = 4096, LOAD_TEXT_BYTES_MAX = 1 << 30 };

/* Options of every command that computes. */
typedef struct {
    const char *weights;
    option_list lora; /* "A" or "A:SCALE" */
} compute_values;
extern const option compute_options[];
#define COMPUTE_GROUP(type) \
    { "Model", compute_options, offsetof(type, compute) }
#define COMPUTE_DEFAULTS \
    { .weights = "stored" }

/* Options of every command that samples. */
typedef struct {
    double temp, top_p, min_p, repeat_penalty, presence_penalty, frequency_penalty;
    int64_t top_k, repeat_last_n, seed;
} sampling_values;
extern const option sampling_options[];
#define SAMPLING_GROUP(type) \
    { "Sampling", sampling_options, offsetof(type, sampling) }
#define SAMPLING_DEFAULTS \
    { .temp = 0.8, .top_p = 0.95, .min_p = 0.05, .repeat_penalty = 1, .top_k = 40, .repeat_last_n = 64 }
sampler_config sampling_config(const sampling_values *v);

/* How much of a model is wanted: its sizes (no weights are read), its weights, or its weights and tokenizer. */
typedef enum { LOAD_PLAN, LOAD_WEIGHTS, LOAD_WITH_TOKENIZER } load_what;

/* A model with its threads and, when asked for, its tokenizer. Zero-initialise; loaded_close() after any outcome. */
typedef struct {
    pool *pool;
    model *m;
    tokenizer *t;
    adapter *adapters[MODEL_ADAPTERS_MAX]; /* of --lora, at work in the model; NULL behind the last */
} loaded;
err_code load_model(loaded *l, const char *path, const common_values *common, const compute_values *compute,
                    load_what what, err *e);
void loaded_close(loaded *l);

/* "A:SCALE" or "A", which is all of it: path and scale. ERR_USAGE: a scale that is no number from -100 to 100. */
err_code load_lora(str text, char path[OS_PATH_BYTES], float *scale, err *e);

/* The tokenizer alone, without reading weights. Same rules. */
typedef struct {
    bool is_open;
    gguf_file file;
    tokenizer *t;
} vocabulary;
err_code load_vocabulary(vocabulary *v, const char *path, err *e);
void vocabulary_close(vocabulary *v);

/* What M means: a file or folder as it stands; for a run folder its model.gguf; for a name that is no file, the model
 * of this name that came with the program: models/NAME here, beside the program's folder, or in its share/loam; else
 * what kept_find() (cli/kept.h) finds under it. */
typedef struct {
    char path[4096];
} load_place;
err_code load_find(const char *m, load_place *out, err *e);

/* The names of the models that came with the program, each once, in order. */
enum { LOAD_NAMES_MAX = 64, LOAD_NAME_BYTES = 128 };
typedef struct {
    size_t n;
    char name[LOAD_NAMES_MAX][LOAD_NAME_BYTES];
} load_names;
void load_shipped(load_names *out);

/* ERR_IO with advice when there is no such model. */
err_code load_check_path(const char *path, err *e);

/* How many positions to plan for: `asked` when above 0; else 4096, doubled until `need` fits, at most what the model
 * was made for. Refused when the cache could not fit in this machine's memory. A number above what the model was made
 * for is noted on standard error. */
err_code load_ctx(const model *m, int64_t asked, size_t need, size_t *ctx_tokens, err *e);

/* Text from a file, or from standard input when `path` is "-". */
err_code load_text(const char *path, strbuf *out, err *e);

/* Options of every command that talks. */
typedef struct {
    const char *template_name; /* a built-in name or a file; NULL: the model's own */
    const char *template_vars; /* JSON object, or NULL */
    const char *system;
} talk_values;
extern const option talk_options[];
#define TALK_GROUP(type) \
    { "Conversation", talk_options, offsetof(type, talk) }

typedef struct {
    chat_template *program;
    chat_options options;
    json_t *vars;
    str stop; /* a stop string that the format needs; empty: none */
} talk;
err_code talk_open(talk *k, const tokenizer *t, const char *model_path, const talk_values *v, err *e);
void talk_close(talk *k);

/* One line on standard error: rates, counts, what ended it. */
void note_result(const generate_result *r, size_t ctx_tokens);
/* {"text","tokens","prefill_tok_s","decode_tok_s"} */
err_code print_result_json(str text, const int32_t *ids, size_t n, const generate_result *r, err *e);

#endif
