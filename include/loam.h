/* loam.h: Loam within your own C or C++ program: open a model, tokenize, generate, read logits and embeddings.
 *
 *   cc -o embed embed.c $(pkg-config --static --cflags --libs loam)        example/embed.c is a whole program
 *
 * Versions. LOAM_VERSION is the library's. LOAM_API grows by one when a program that was written for the one before
 * must be changed; functions, codes and members at the end of structs are added without that, so initialise structs
 * with {0} or by names: a member that is 0 is always what is usual.
 *
 * Errors. A function that can fail returns a loam_code, LOAM_OK being 0, and fills *error, which may be NULL, with one
 * line for people: WHERE: WHAT is wrong (and what to do). What it would have made is then NULL or 0, and everything it
 * was given is as before, unless told otherwise. Models and texts may be hostile: they lead to an error and no further.
 *
 * Ownership. Handles are opaque; who opens one closes it, sessions before their model. Closing NULL does nothing. What
 * is given is borrowed for the call (a model's path and options likewise: they are copied), what comes back through
 * `ids` or `text` belongs to the caller, who frees it by loam_free().
 *
 * Threads. The functions that take a `const loam_model *` may run in any number of threads at once. Of those that
 * take a loam_model or a loam_session, one at a time a model: they share its threads and its room for computing.
 * Nothing is global; but jansson's allocation functions are wrapped at the first use (what the program set before stays
 * in use), and a model's file that is cut short by others while open raises SIGBUS.
 *
 * Same bits. Ids, logits, vectors and texts are equal for any number of threads, any instruction set, any cut of the
 * prompt, on any machine (doc/arithmetic.md).
 *
 * Proved by test/unit/test_api.c and test/e2e/test_install.py.
 */
#ifndef LOAM_H
#define LOAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LOAM_VERSION "0.1.0"
#define LOAM_API 1

const char *loam_version(void); /* LOAM_VERSION of the library that is linked */
int loam_api(void);             /* its LOAM_API */

typedef enum {
    LOAM_OK,
    LOAM_USAGE,       /* the call makes no sense: an id outside the vocabulary, an unknown instruction set */
    LOAM_IO,          /* the operating system refused */
    LOAM_FORMAT,      /* a malformed file or template */
    LOAM_LIMIT,       /* more than there is room for */
    LOAM_UNSUPPORTED, /* well formed, but nothing that Loam does */
    LOAM_MEMORY,      /* too little memory */
} loam_code;

typedef struct {
    loam_code code;
    char text[512]; /* NUL-terminated, one line */
} loam_error;

void loam_free(void *p); /* ids and texts; NULL allowed */

/* ---- models ---- */

typedef struct loam_model loam_model;

typedef struct {
    int threads;         /* to compute with; 0: one a CPU */
    const char *isa;     /* "avx512", "avxvnni", "avx2", "neon", "scalar"; NULL: the best there is */
    bool weights_as_f32; /* every weight dequantised when opening: 4 bytes each, slower, other bits than as stored */
    void (*progress)(void *context, size_t bytes_done, size_t bytes); /* while weights are packed; may be NULL */
    void *context;
} loam_model_options;

/* path: a .gguf file, or a Hugging Face folder (config.json, tokenizer.json, *.safetensors). o NULL: all as usual.
 * Takes about as much memory as the file is long. */
loam_code loam_model_open(loam_model **out, const char *path, const loam_model_options *o, loam_error *error);
void loam_model_close(loam_model *m);

size_t loam_vocabulary(const loam_model *m);                      /* ids are 0 to this - 1; logits have this length */
size_t loam_width(const loam_model *m);                           /* elements of an embedding */
size_t loam_trained_context(const loam_model *m);                 /* positions the model was made for; 0: not known */
bool loam_is_end(const loam_model *m, int32_t id);                /* a token that ends a text or a turn */
size_t loam_session_bytes(const loam_model *m, size_t positions); /* of memory that loam_session_open() takes */

/* ---- text and ids ---- */

enum {
    LOAM_ADD_SPECIAL = 1,   /* tokenize: with the tokens that the model wants at the beginning (and end) of a text */
    LOAM_PARSE_SPECIAL = 2, /* tokenize: a text that spells a control token is that token. Not for foreign texts */
    LOAM_SHOW_SPECIAL = 4,  /* detokenize: control tokens as spelled, else they vanish */
};

/* text: n_bytes of anything; UTF-8 is expected, other bytes are taken one by one. The ids are those of the model's
 * reference tokenizer. *ids is never NULL on success. */
loam_code loam_tokenize(const loam_model *m, const char *text, size_t n_bytes, unsigned flags, int32_t **ids,
                        size_t *n_ids, loam_error *error);

/* *text is followed by a NUL that n_bytes (may be NULL) does not count. It is well-formed UTF-8: what is none becomes
 * U+FFFD. */
loam_code loam_detokenize(const loam_model *m, const int32_t *ids, size_t n_ids, unsigned flags, char **text,
                          size_t *n_bytes, loam_error *error);

typedef struct {
    const char *role;    /* "system", "user", "assistant" */
    const char *content; /* NUL-terminated; control tokens spelled in it stay text */
} loam_message;

/* The prompt of a conversation by the model's own chat template, up to where the assistant speaks. `now`: seconds since
 * 1970, for templates that write the date; keep it the same over a conversation. No template: LOAM_UNSUPPORTED. */
loam_code loam_chat(const loam_model *m, const loam_message *messages, size_t n_messages, int64_t now, int32_t **ids,
                    size_t *n_ids, loam_error *error);

/* ---- sessions: a model with its memory of what was computed ---- */

typedef struct loam_session loam_session;

/* Room for `positions` tokens, prompts and answers together, 0: 4096 or as many as the model was made for, if fewer.
 * All memory is taken here. */
loam_code loam_session_open(loam_session **out, loam_model *m, size_t positions, loam_error *error);
void loam_session_close(loam_session *s);

typedef struct {
    float temperature;       /* 0: always the likeliest token */
    int top_k;               /* choose among the k likeliest; 0: all */
    float top_p;             /* among the likeliest that together have this probability; 0 or 1: all */
    float min_p;             /* drop tokens below this times the likeliest's probability; 0: none */
    float repeat_penalty;    /* divides the logits of tokens that occurred; 0 or 1: off */
    float presence_penalty;  /* subtracted from them; 0: off */
    float frequency_penalty; /* subtracted for each time; 0: off */
    int penalty_window;      /* tokens that penalties look back on; 0: 64, -1: all */
    uint64_t seed;           /* of the draws */
} loam_sampling;

typedef struct {
    size_t max_tokens;        /* to generate at most; 0: until the room is full */
    loam_sampling sampling;   /* all 0: greedy */
    const char *const *stops; /* n_stops texts, at most 16 of 1 to 256 bytes: the text ends before the first of them */
    size_t n_stops;
    bool show_special; /* control tokens as spelled */
    bool ignore_end;   /* go on after an end token */
    /* Gets the text as it becomes certain: whole characters of UTF-8, not NUL-terminated, never a part of a stop text.
     * false: stop. May be NULL. */
    bool (*on_text)(void *context, const char *text, size_t n_bytes);
    /* Told after each part of the prompt (512 tokens) how many were computed. false: stop. May be NULL. */
    bool (*on_prompt)(void *context, size_t tokens_done, size_t tokens);
    void *context;
} loam_generation;

typedef enum {
    LOAM_STOPPED_BY_END_TOKEN = 1,
    LOAM_STOPPED_BY_TEXT,   /* one of stops */
    LOAM_STOPPED_BY_LENGTH, /* max_tokens */
    LOAM_STOPPED_BY_ROOM,   /* the session is full */
    LOAM_STOPPED_BY_CALLER, /* on_text or on_prompt */
} loam_stopped;

typedef struct {
    size_t n_prompt;    /* tokens of the prompt, */
    size_t n_cached;    /* of which so many were computed before */
    size_t n_generated; /* an end token included */
    double prompt_seconds, generate_seconds;
    loam_stopped stopped;
} loam_result;

/* Makes ids the session's tokens, computing all but the beginning that they share with those of the call before, and
 * goes on until a stop. More ids than the session has room for: LOAM_LIMIT, and nothing is cut. g NULL: greedy, until
 * an end token or the room is full. result may be NULL. After an error the session is usable. */
loam_code loam_generate(loam_session *s, const int32_t *ids, size_t n_ids, const loam_generation *g,
                        loam_result *result, loam_error *error);

/* Prompt and answer of the last call; valid until the next one, for which they may be given as ids. */
const int32_t *loam_session_ids(const loam_session *s, size_t *n_ids);

/* What comes after ids: logits f32[loam_vocabulary()], not normalised. Shares the session's memory with
 * loam_generate(), so text can be continued one token of your own choice at a time. */
loam_code loam_logits(loam_session *s, const int32_t *ids, size_t n_ids, float *logits, loam_error *error);

/* The ids as one vector f32[loam_width()] of length 1: the last hidden states, pooled as the model states; as its last
 * position when it states nothing. Takes memory for n_ids positions during the call. A model whose files ask for more
 * than pooling: LOAM_UNSUPPORTED. */
loam_code loam_embed(loam_model *m, const int32_t *ids, size_t n_ids, float *vector, loam_error *error);

#ifdef __cplusplus
}
#endif

#endif
