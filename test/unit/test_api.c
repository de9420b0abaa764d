/* api: include/loam.h as a program that embeds it uses it: the same ids, texts and logits as the layers below give,
 * errors with codes and texts, and nothing left behind (LeakSanitizer). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <loam.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/os.h"
#include "gen/session.h"

#define HOMEWORLD "models/homeworld/model.gguf"
#define QUESTION "Q: What is Maro by trade?\nA:"

static loam_model *m;

static int open_all(void **state) {
    (void)state;
    loam_error e = {0};
    loam_code code = loam_model_open(&m, HOMEWORLD, NULL, &e);
    if (code != LOAM_OK)
        print_error("%s\n", e.text);
    return code == LOAM_OK ? 0 : -1;
}

static int close_all(void **state) {
    (void)state;
    loam_model_close(m);
    return 0;
}

static int32_t *ids_of(const char *text, size_t *n) {
    int32_t *ids;
    assert_int_equal(loam_tokenize(m, text, strlen(text), LOAM_ADD_SPECIAL, &ids, n, NULL), LOAM_OK);
    return ids;
}

static void versions(void **state) {
    (void)state;
    assert_string_equal(loam_version(), LOAM_VERSION);
    assert_int_equal(loam_api(), LOAM_API);
}

static void sizes(void **state) {
    (void)state;
    assert_int_equal(loam_vocabulary(m), 768);
    assert_true(loam_width(m) > 0 && loam_trained_context(m) > 0);
    assert_true(loam_session_bytes(m, 64) > 0 && loam_session_bytes(m, 64) < loam_session_bytes(m, 0));
    assert_false(loam_is_end(m, -1));
    assert_false(loam_is_end(m, 1 << 30));
    size_t n_ends = 0;
    for (int32_t id = 0; id < 768; id++)
        n_ends += loam_is_end(m, id);
    assert_true(n_ends >= 1);
}

static void text_and_back(void **state) {
    (void)state;
    static const char text[] = "Anna took the ball.\nh\xc3\xa9\0\xff!";
    int32_t *ids;
    char *back;
    size_t n, n_bytes;
    assert_int_equal(loam_tokenize(m, text, sizeof text - 1, 0, &ids, &n, NULL), LOAM_OK);
    assert_int_equal(loam_detokenize(m, ids, n, 0, &back, &n_bytes, NULL), LOAM_OK);
    static const char want[] = "Anna took the ball.\nh\xc3\xa9\0\xef\xbf\xbd!"; /* the byte that is no character */
    assert_int_equal(n_bytes, sizeof want - 1);
    assert_memory_equal(back, want, sizeof want);
    loam_free(ids);
    loam_free(back);

    assert_int_equal(loam_tokenize(m, "", 0, 0, &ids, &n, NULL), LOAM_OK);
    assert_non_null(ids);
    assert_int_equal(n, 0);
    assert_int_equal(loam_detokenize(m, ids, n, 0, &back, NULL, NULL), LOAM_OK);
    assert_string_equal(back, "");
    loam_free(ids);
    loam_free(back);
}

typedef struct {
    char text[200];
    size_t n, calls, calls_max;
} heard;

static bool hear(void *context, const char *text, size_t n_bytes) {
    heard *h = context;
    assert_true(h->n + n_bytes < sizeof h->text && n_bytes > 0);
    memcpy(h->text + h->n, text, n_bytes);
    h->n += n_bytes;
    return ++h->calls != h->calls_max;
}

static void generates(void **state) {
    (void)state;
    heard h = {0};
    loam_session *s;
    loam_result r;
    size_t n, n_all;
    int32_t *ids = ids_of(QUESTION, &n);
    assert_int_equal(loam_session_open(&s, m, 0, NULL), LOAM_OK);
    loam_generation g = {.max_tokens = 4, .on_text = hear, .context = &h};
    assert_int_equal(loam_generate(s, ids, n, &g, &r, NULL), LOAM_OK);
    assert_memory_equal(h.text, " A cook.", 8);
    assert_int_equal(r.n_prompt, n);
    assert_int_equal(r.n_cached, 0);
    assert_int_equal(r.n_generated, 4);
    assert_int_equal(r.stopped, LOAM_STOPPED_BY_LENGTH);
    const int32_t *all = loam_session_ids(s, &n_all);
    assert_int_equal(n_all, n + 4);
    assert_memory_equal(all, ids, n * sizeof *ids);

    /* Once more: all but the last token is there already; a stop text ends it. */
    static const char *const words[] = {"cook"};
    h = (heard){0};
    g.stops = words;
    g.n_stops = 1;
    assert_int_equal(loam_generate(s, ids, n, &g, &r, NULL), LOAM_OK);
    assert_string_equal(h.text, " A ");
    assert_int_equal(r.n_cached, n - 1);
    assert_int_equal(r.stopped, LOAM_STOPPED_BY_TEXT);

    /* The listener has enough. */
    h = (heard){.calls_max = 1};
    g.n_stops = 0;
    assert_int_equal(loam_generate(s, ids, n, &g, NULL, NULL), LOAM_OK);
    assert_int_equal(h.calls, 1);

    /* All as usual: until an end token, without any listener. */
    assert_int_equal(loam_generate(s, ids, n, NULL, &r, NULL), LOAM_OK);
    all = loam_session_ids(s, &n_all);
    assert_true(r.stopped == LOAM_STOPPED_BY_ROOM || loam_is_end(m, all[n_all - 1]));
    loam_session_close(s);
    loam_free(ids);
}

static bool refuse(void *context, size_t done, size_t total) {
    size_t *seen = context;
    assert_true(done <= total);
    *seen = done;
    return false;
}

static void stops_within_the_prompt(void **state) {
    (void)state;
    loam_session *s;
    loam_result r;
    size_t n, seen = 0;
    int32_t *ids = ids_of(QUESTION, &n);
    assert_int_equal(loam_session_open(&s, m, 64, NULL), LOAM_OK);
    const loam_generation g = {.on_prompt = refuse, .context = &seen};
    assert_int_equal(loam_generate(s, ids, n, &g, &r, NULL), LOAM_OK);
    assert_int_equal(seen, n);
    assert_int_equal(r.stopped, LOAM_STOPPED_BY_CALLER);
    assert_int_equal(r.n_generated, 0);
    loam_session_close(s);
    loam_free(ids);
}

/* A seed gives its text again, in another session too. */
static void samples(void **state) {
    (void)state;
    size_t n, n_a, n_b;
    int32_t *ids = ids_of("Anna", &n);
    loam_session *a, *b;
    const loam_generation g = {.max_tokens = 20, .sampling = {.temperature = 1, .seed = 7}, .ignore_end = true};
    assert_int_equal(loam_session_open(&a, m, 64, NULL), LOAM_OK);
    assert_int_equal(loam_session_open(&b, m, 64, NULL), LOAM_OK);
    assert_int_equal(loam_generate(a, ids, n, &g, NULL, NULL), LOAM_OK);
    assert_int_equal(loam_generate(b, ids, n, &g, NULL, NULL), LOAM_OK);
    const int32_t *one = loam_session_ids(a, &n_a), *other = loam_session_ids(b, &n_b);
    assert_int_equal(n_a, n + 20);
    assert_int_equal(n_a, n_b);
    assert_memory_equal(one, other, n_a * sizeof *one);
    loam_session_close(a);
    loam_session_close(b);
    loam_free(ids);
}

/* The same bits as the layer below gives, with any threads, and with what is cached. */
static void logits(void **state) {
    (void)state;
    enum { V = 768 };
    static float whole[V], stepwise[V], below[V];
    size_t n;
    int32_t *ids = ids_of(QUESTION, &n);
    loam_session *s;
    assert_int_equal(loam_session_open(&s, m, n, NULL), LOAM_OK);
    for (size_t i = 1; i <= n; i++)
        assert_int_equal(loam_logits(s, ids, i, stepwise, NULL), LOAM_OK);
    loam_session_close(s);
    assert_int_equal(loam_session_open(&s, m, n, NULL), LOAM_OK);
    assert_int_equal(loam_logits(s, ids, n, whole, NULL), LOAM_OK);
    loam_session_close(s);
    assert_memory_equal(whole, stepwise, sizeof whole);

    model *plain;
    kv_cache *kv;
    const model_options o = {.isa = "scalar"};
    assert_int_equal(model_open(&plain, HOMEWORLD, &o, NULL), ERR_OK);
    assert_int_equal(kv_open(&kv, plain, n, NULL), ERR_OK);
    assert_int_equal(model_forward(plain, kv, ids, n, LOGITS_LAST, below, NULL), ERR_OK);
    assert_memory_equal(whole, below, sizeof whole);
    kv_close(kv);
    model_close(plain);
    loam_free(ids);
}

/* Length 1; longer than a part of the prompt, it does not depend on what stands behind. */
static void embeds(void **state) {
    (void)state;
    enum { LONG = 600 };
    size_t n, D = loam_width(m);
    int32_t *ids = ids_of(QUESTION, &n), many[LONG];
    float *v = calloc(D, sizeof *v), *w = calloc(D, sizeof *w);
    assert_true(v && w);
    for (size_t i = 0; i < LONG; i++)
        many[i] = ids[i % n];
    assert_int_equal(loam_embed(m, ids, n, v, NULL), LOAM_OK);
    assert_int_equal(loam_embed(m, many, n, w, NULL), LOAM_OK);
    assert_memory_equal(v, w, D * sizeof *v);
    assert_int_equal(loam_embed(m, many, LONG, w, NULL), LOAM_OK);
    double length = 0;
    for (size_t i = 0; i < D; i++)
        length += (double)w[i] * w[i];
    assert_true(length > 0.999 && length < 1.001);
    assert_memory_not_equal(v, w, D * sizeof *v);
    assert_int_equal(loam_embed(m, ids, 0, v, NULL), LOAM_USAGE);
    free(v);
    free(w);
    loam_free(ids);
}

#define REFUSED(call, want, words)               \
    do {                                         \
        loam_error e_ = {0}, *e = &e_;           \
        assert_int_equal(call, want);            \
        assert_int_equal(e_.code, want);         \
        assert_non_null(strstr(e_.text, words)); \
    } while (0)

static void errors(void **state) {
    (void)state;
    loam_model *none = m;
    REFUSED(loam_model_open(&none, "no/such.gguf", NULL, e), LOAM_IO, "no/such.gguf");
    assert_null(none);
    REFUSED(loam_model_open(&none, "README.md", NULL, e), LOAM_FORMAT, "README.md");
    const loam_model_options o = {.isa = "abacus"};
    REFUSED(loam_model_open(&none, HOMEWORLD, &o, e), LOAM_USAGE, "abacus");
    loam_model_close(NULL);
    loam_session_close(NULL);
    loam_free(NULL);

    static const int32_t outside[] = {768}, inside[] = {5, 6, 7, 8, 9};
    char *text = (char *)outside;
    loam_session *s;
    float x[768];
    REFUSED(loam_detokenize(m, outside, 1, 0, &text, NULL, e), LOAM_USAGE, "768");
    assert_null(text);
    assert_int_equal(loam_session_open(&s, m, 4, NULL), LOAM_OK);
    REFUSED(loam_generate(s, inside, 5, NULL, NULL, e), LOAM_LIMIT, "5 tokens");
    REFUSED(loam_generate(s, outside, 1, NULL, NULL, e), LOAM_USAGE, "768");
    REFUSED(loam_logits(s, inside, 0, x, e), LOAM_USAGE, "empty");
    const loam_generation cold = {.sampling = {.temperature = -1}}, many = {.n_stops = 17};
    REFUSED(loam_generate(s, inside, 3, &cold, NULL, e), LOAM_USAGE, "temperature");
    REFUSED(loam_generate(s, inside, 3, &many, NULL, e), LOAM_USAGE, "17");
    assert_int_equal(loam_logits(s, inside, 4, x, NULL), LOAM_OK); /* it is usable */
    loam_session_close(s);
    REFUSED(loam_session_open(&s, m, SIZE_MAX, e), LOAM_USAGE, "context");
    assert_null(s);
}

/* ---- conversations: the small llama of the tests with a vocabulary, and with and without a template ---- */

static void put(const char *folder, const char *name, const strbuf *text) {
    char path[OS_PATH_BYTES];
    assert_int_equal(os_join(path, folder, name, NULL), ERR_OK);
    assert_int_equal(os_write_file(path, strbuf_str(text), NULL), ERR_OK);
}

static void copy(const char *folder, const char *name) {
    char path[OS_PATH_BYTES];
    strbuf bytes = {0};
    assert_int_equal(os_join(path, "test/golden/models/llama", name, NULL), ERR_OK);
    assert_int_equal(os_read_file(path, 1 << 24, &bytes, NULL), ERR_OK);
    put(folder, name, &bytes);
    strbuf_fini(&bytes);
}

/* Ids 0 to 94 are the characters from '!' on, the last two control tokens. */
static void make_talker(const char *folder, const char *more) {
    strbuf b = {0};
    mkdir(folder, 0700);
    copy(folder, "config.json");
    copy(folder, "model.safetensors");
    strbuf_addf(
        &b, NULL,
        "{\"version\": \"1.0\", \"added_tokens\": [{\"id\": 158, \"content\": \"<u>\", \"special\": true}, {\"id\": "
        "159, \"content\": \"<a>\", \"special\": true}], \"normalizer\": null, \"pre_tokenizer\": {\"type\": "
        "\"ByteLevel\", \"add_prefix_space\": false}, \"post_processor\": null, \"decoder\": {\"type\": "
        "\"ByteLevel\"}, \"model\": {\"type\": \"BPE\", \"merges\": [], \"vocab\": {");
    for (int i = 0; i < 158; i++)
        strbuf_addf(&b, NULL, i < 94 ? "%s\"%s%c\": %d" : "%s\"%st%c%d\": %d", i ? ", " : "",
                    i + '!' == '"' || i + '!' == '\\' ? "\\" : "", i < 94 ? i + '!' : 'x', i, i);
    strbuf_addf(&b, NULL, "}}}");
    put(folder, "tokenizer.json", &b);
    b.n = 0;
    strbuf_addf(&b, NULL, "{\"tokenizer_class\": \"PreTrainedTokenizerFast\"%s}", more);
    put(folder, "tokenizer_config.json", &b);
    strbuf_fini(&b);
}

static loam_model *open_talker(const char *more) {
    const char *tmp = getenv("LOAM_TMP");
    char folder[500];
    loam_model *talker;
    loam_error e = {0};
    snprintf(folder, sizeof folder, "%s/api-talker", tmp ? tmp : "/tmp");
    make_talker(folder, more);
    if (loam_model_open(&talker, folder, NULL, &e) != LOAM_OK)
        fail_msg("%s", e.text);
    return talker;
}

static void chats(void **state) {
    (void)state;
    static const char template[] = ", \"chat_template\": \"{% for m in messages %}<u>{{ m.content }}{% endfor %}"
                                   "{% if add_generation_prompt %}<a>{% endif %}{{ strftime_now('%Y') }}\"";
    const loam_message hello[] = {{"user", "Hi!<a>"}}, nobody[] = {{"user", "Hi!"}, {"ghost", "Boo"}};
    int32_t *ids;
    size_t n;
    loam_model *mute = open_talker("");
    REFUSED(loam_chat(mute, hello, 1, 0, &ids, &n, e), LOAM_UNSUPPORTED, "template");
    assert_null(ids);
    assert_int_equal(n, 0);
    loam_model_close(mute);

    /* The message's own "<a>" stays text; the year is the one that was given. */
    static const int32_t want[] = {158, 39, 72, 0, 27, 64, 29, 159, 16, 24, 22, 15};
    loam_model *talker = open_talker(template);
    assert_int_equal(loam_chat(talker, hello, 1, 0, &ids, &n, NULL), LOAM_OK);
    assert_int_equal(n, sizeof want / sizeof *want);
    assert_memory_equal(ids, want, sizeof want);
    loam_free(ids);
    REFUSED(loam_chat(talker, nobody, 2, 0, &ids, &n, e), LOAM_USAGE, "ghost");
    loam_model_close(talker);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions),
        cmocka_unit_test(sizes),
        cmocka_unit_test(text_and_back),
        cmocka_unit_test(generates),
        cmocka_unit_test(stops_within_the_prompt),
        cmocka_unit_test(samples),
        cmocka_unit_test(logits),
        cmocka_unit_test(embeds),
        cmocka_unit_test(errors),
        cmocka_unit_test(chats),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
