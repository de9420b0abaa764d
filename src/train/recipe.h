/* recipe: everything that determines the bits of a run, as one JSON file.
 *
 * Two runs with equal recipes, on whatever machine, give equal chains and equal weights; what is not in the recipe
 * (paths, threads, how many checkpoints are kept) cannot change them. A recipe names its data and its tokenizer by
 * digest. Its text is canonical: one table (recipe.c) gives the sections, keys, their order and their ranges, and a
 * number is written with the fewest digits that read back as itself. The recipe's own digest is the SHA-256 of that
 * text.
 *
 *   {
 *     "format": "loam recipe 1",
 *     "arithmetic": 1,
 *     "model": {"arch": "qwen3", "layers": 6, ...},
 *     "data": {"digest": "<64 hex>", "documents": 4000, "val_share": 0.01},
 *     ...
 *   }
 *
 * A reader takes any order of keys and any white space, but refuses a key that is missing or that it does not know: it
 * could not say what would be computed. Only spare keys may be missing, which says
 * 0, false or nothing, and are not written then: recipes from before there were such keys keep their digests.
 *
 * A recipe with the section "base" is one of tuning: of a run that begins with the weights of a model that is there.
 * Then "model" says what that model is (but ctx, the longest sequence that is learned from), there is a section "tune",
 * and what belongs to new models alone (tokenizer, init.embed, init.gain) is missing, for the base has it.
 * Proved by test_recipe.c and fuzz_recipe.c.
 */
#ifndef LOAM_TRAIN_RECIPE_H
#define LOAM_TRAIN_RECIPE_H

#include "base/hash.h"
#include "model/config.h"
#include "train/schedule.h"

enum { RECIPE_TEXT_BYTES_MAX = 1 << 16, RECIPE_NAME_BYTES = 128 };

typedef struct {
    uint64_t arithmetic; /* KERN_ARITHMETIC_VERSION */
    struct {
        hash256 digest; /* of the files of the model that is tuned: tune/base.h; all 0: a new model */
    } base;
    struct {
        char arch[RECIPE_NAME_BYTES]; /* a row of the architecture table */
        uint64_t layers, width, heads, kv_heads, head_width, ff, vocab, ctx;
        uint64_t window; /* of sliding layers, for families that have them; 0: none */
        bool tied;
        double rope_theta, norm_eps;
    } model;
    struct {
        hash256 digest; /* of the documents' digests: docs.h */
        uint64_t documents;
        double val_share; /* of the documents that are held out: docs.h */
        /* Spare: marks of answers, "A:,Plan:" (answers.h), and the weight of all that is no answer. */
        char answers[RECIPE_NAME_BYTES];
        double elsewhere;
    } data;
    struct {
        hash256 digest;     /* of the tokenizer's files: tokens.h */
        uint64_t end;       /* the id that ends a document */
        bool parse_special; /* spare: texts that spell a control token mean it */
    } tokenizer;
    struct {
        uint64_t sequences; /* of ctx tokens, a step; tuning: examples, however long */
        uint64_t micro;     /* of them a gradient: fold.h; tuning: times ctx, the tokens of a gradient at most */
    } batch;
    struct {
        uint64_t seed;
        double embed, gain; /* init.h */
    } init;
    struct {
        uint64_t steps;
        char schedule[RECIPE_NAME_BYTES];
        double lr, min_lr;
        uint64_t warmup, cooldown; /* steps */
        double beta1, beta2, eps, decay;
        double clip; /* largest norm of a gradient; 0: no limit */
    } optimizer;
    struct {
        uint64_t roots_every; /* steps after which the chain names the weights; also after the last */
    } chain;
    struct {
        char method[RECIPE_NAME_BYTES];    /* "lora": an adapter learns, "full": all weights do */
        char objective[RECIPE_NAME_BYTES]; /* "text": tokens that count, "dpo": pairs; tune/objective.h */
        hash256 template;                  /* of the chat template's text: RUN/template.jinja */
        char roles[RECIPE_NAME_BYTES];     /* whose words count, commas between: tune/examples.h */
        /* Spare from here on. */
        uint64_t date;  /* that a template may write, seconds since 1970 */
        bool drop_long; /* examples longer than ctx are left out */
        /* Of an adapter: model/adapter.h. */
        uint64_t rank;
        double alpha, dropout;
        bool rslora, dora;
        char parts[RECIPE_NAME_BYTES], layers[RECIPE_NAME_BYTES]; /* which are adapted; empty: all */
        double beta;                                              /* of dpo */
        uint64_t patience; /* the run ends when so many held-out losses in a row were not the least; 0: never */
        bool best;         /* what comes out is the model with the least held-out loss, not the last one: best.h */
    } tune;
} recipe;

bool recipe_is_tuning(const recipe *r); /* it has a base */
bool recipe_has_adapter(const recipe *r);
bool recipe_is_pairs(const recipe *r); /* it learns preferences */

/* Everything in range and nothing in contradiction, else ERR_USAGE "recipe: SECTION.KEY: ..." with what contradicts. */
err_code recipe_check(const recipe *r, err *e);

/* The canonical text, appended. */
err_code recipe_text(const recipe *r, strbuf *out, err *e);
/* Reads and checks. Malformed: ERR_FORMAT, contradiction: ERR_USAGE. */
err_code recipe_parse(recipe *r, str text, err *e);
err_code recipe_digest(const recipe *r, hash256 *out, err *e);

/* "optimizer.lr is 0.001 here and 0.002 there" for the first key in which they differ; empty when they are equal. */
err_code recipe_difference(const recipe *here, const recipe *there, strbuf *out, err *e);

/* The new model's shape; arrays in *mem. */
err_code recipe_config(const recipe *r, model_config *c, arena *mem, err *e);
schedule recipe_schedule(const recipe *r);
uint64_t recipe_step_tokens(const recipe *r); /* sequences * ctx; tuning: at most */

/* 64 hex digits; false when they are not. */
bool recipe_hash_of(str hex, hash256 *out);

#endif
