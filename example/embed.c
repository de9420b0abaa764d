/* embed: a program with Loam in it: continues a text, shows the likeliest next token, compares two texts.
 *
 *   cc -o embed embed.c $(pkg-config --static --cflags --libs loam)
 *   ./embed MODEL [TEXT]
 */
#include <loam.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* For an example it is enough to end with the reason. */
static void must(loam_code code, const loam_error *e) {
    if (code == LOAM_OK)
        return;
    fprintf(stderr, "embed: %s\n", e->text);
    exit(1);
}

static bool print(void *context, const char *text, size_t n_bytes) {
    (void)context;
    fwrite(text, 1, n_bytes, stdout);
    return fflush(stdout) == 0; /* nobody reads any more: stop */
}

static void continue_text(loam_model *m, const char *text) {
    loam_error e;
    loam_session *s;
    loam_result r;
    int32_t *ids;
    size_t n;
    const loam_generation greedy = {.max_tokens = 16, .on_text = print};
    must(loam_tokenize(m, text, strlen(text), LOAM_ADD_SPECIAL, &ids, &n, &e), &e);
    must(loam_session_open(&s, m, n + greedy.max_tokens, &e), &e);
    printf("text: %s", text);
    must(loam_generate(s, ids, n, &greedy, &r, &e), &e);
    printf("\ntokens: %zu after %zu\n", r.n_generated, r.n_prompt);
    loam_session_close(s);
    loam_free(ids);
}

static void show_likeliest(loam_model *m, const char *text) {
    loam_error e;
    loam_session *s;
    int32_t *ids, best = 0;
    size_t n;
    char *piece;
    float *logits = malloc(loam_vocabulary(m) * sizeof *logits);
    if (!logits)
        exit(1);
    must(loam_tokenize(m, text, strlen(text), LOAM_ADD_SPECIAL, &ids, &n, &e), &e);
    must(loam_session_open(&s, m, n, &e), &e);
    must(loam_logits(s, ids, n, logits, &e), &e);
    for (size_t id = 1; id < loam_vocabulary(m); id++)
        if (logits[id] > logits[best])
            best = (int32_t)id;
    must(loam_detokenize(m, &best, 1, LOAM_SHOW_SPECIAL, &piece, NULL, &e), &e);
    printf("next: %d \"%s\" %.9g\n", (int)best, piece, (double)logits[best]);
    loam_free(piece);
    loam_session_close(s);
    loam_free(ids);
    free(logits);
}

/* The cosine between two texts, for embeddings have length 1. */
static void compare(loam_model *m, const char *a, const char *b) {
    loam_error e;
    const char *text[] = {a, b};
    size_t D = loam_width(m);
    float *v = malloc(2 * D * sizeof *v);
    double sum = 0;
    if (!v)
        exit(1);
    for (size_t i = 0; i < 2; i++) {
        int32_t *ids;
        size_t n;
        must(loam_tokenize(m, text[i], strlen(text[i]), LOAM_ADD_SPECIAL, &ids, &n, &e), &e);
        must(loam_embed(m, ids, n, v + i * D, &e), &e);
        loam_free(ids);
    }
    for (size_t i = 0; i < D; i++)
        sum += (double)v[i] * v[D + i];
    printf("alike: %.4f\n", sum);
    free(v);
}

int main(int argc, char **argv) {
    loam_error e;
    loam_model *m;
    if (argc < 2) {
        fprintf(stderr, "usage: embed MODEL [TEXT]\n");
        return 2;
    }
    const char *text = argc > 2 ? argv[2] : "Q: What is Maro by trade?\nA:";
    must(loam_model_open(&m, argv[1], NULL, &e), &e);
    printf("loam %s, %zu tokens, width %zu\n", loam_version(), loam_vocabulary(m), loam_width(m));
    continue_text(m, text);
    show_likeliest(m, text);
    compare(m, text, text);
    loam_model_close(m);
    return 0;
}
