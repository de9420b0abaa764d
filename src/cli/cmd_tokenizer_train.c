/* loam tokenizer train: a byte-level BPE tokenizer from data sets, JSON Lines and plain text. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/os.h"
#include "cli/command.h"
#include "cli/out.h"
#include "gen/chat.h"
#include "store/dataset.h"
#include "text/json.h"
#include "tok/bpe_train.h"

enum { LINE_BYTES_MAX = 1 << 28 };

typedef struct {
    common_values common;
    int64_t vocab, min_count, max_piece;
    const char *pattern, *where;
    option_list special;
    bool allow_fewer;
} values;

static const values defaults = {.common = COMMON_DEFAULTS, .vocab = 8192, .min_count = 2, .pattern = "llama3"};

static const char *const pattern_names[] = {"gpt2", "llama3", "qwen2", "gpt4o", NULL};

static const option own_options[] = {
    {"vocab", 0, OPT_INT, "N", "pieces in all: special tokens, 256 bytes and what is learnt", offsetof(values, vocab),
     BPE_TRAIN_BYTES, BPE_TRAIN_VOCAB_MAX, NULL},
    {"pattern", 0, OPT_CHOICE, "NAME", "how texts are cut into words that no piece crosses", offsetof(values, pattern),
     0, 0, pattern_names},
    {"special", 0, OPT_LIST, "TOKEN", "one more special token, after <|endoftext|>, <|im_start|> and <|im_end|>",
     offsetof(values, special), 0, 0, NULL},
    {"min-count", 0, OPT_INT, "N", "a pair that stands there less often makes no piece", offsetof(values, min_count), 1,
     1e15, NULL},
    {"max-piece", 0, OPT_INT, "BYTES", "no longer pieces are made; 0: any", offsetof(values, max_piece), 0,
     BPE_TRAIN_PIECE_BYTES_MAX, NULL},
    {"allow-fewer", 0, OPT_FLAG, NULL, "when the texts have fewer pieces, make as many as they have",
     offsetof(values, allow_fewer), 0, 0, NULL},
    {"where", 0, OPT_TEXT, "SQL", "of data sets only the documents that satisfy this", offsetof(values, where), 0, 0,
     NULL},
    {0},
};

static const option_group groups[] = {{"Tokenizer", own_options, 0}, COMMON_GROUP, {0}};

/* ---- texts ---- */

typedef struct {
    const values *v;
    bpe_trainer *t;
    progress counting, learning;
    uint64_t done, total; /* bytes of the sources */
} job;

static err_code add(job *j, str text, size_t bytes, err *e) {
    j->done += bytes;
    progress_step(&j->counting, j->done, j->total);
    return bpe_train_add(j->t, text, e);
}

static err_code add_set(job *j, const char *path, err *e) {
    dataset *d;
    dataset_key *key = NULL;
    size_t n = 0;
    TRY(dataset_open(&d, path, e));
    dataset_set_stop(d, &interrupt_flag);
    err_code code = dataset_list(d, j->v->where, &key, &n, e);
    for (size_t i = 0; i < n && code == ERR_OK; i++)
        j->total += key[i].bytes;
    for (size_t i = 0; i < n && code == ERR_OK; i++) {
        dataset_doc doc;
        code = dataset_get(d, key[i].id, &doc, e);
        if (code == ERR_OK)
            code = add(j, doc.text, doc.text.n, e);
        if (code == ERR_OK && interrupt_flag)
            code = err_set(e, ERR_CANCELLED, "stopped");
    }
    free(key);
    dataset_close(d);
    return code;
}

static err_code add_line(job *j, str line, err *e) {
    json_t *value;
    str text;
    TRY(json_read(line, LINE_BYTES_MAX, &value, e));
    err_code code = json_is_object(value) ? json_want_str(value, "text", &text, e)
                                          : err_set(e, ERR_FORMAT, "a JSON object belongs here");
    if (code == ERR_OK)
        code = add(j, text, line.n + 1, e);
    json_decref(value);
    return code;
}

static err_code add_lines(job *j, const char *path, str all, err *e) {
    for (size_t from = 0, number = 1; from < all.n; number++) {
        const char *end = memchr(all.p + from, '\n', all.n - from);
        size_t to = end ? (size_t)(end - all.p) : all.n;
        err_code code = add_line(j, str_sub(all, from, to), e);
        if (code != ERR_OK)
            return err_in(e, code, "%s:%zu", path, number);
        if (interrupt_flag)
            return err_set(e, ERR_CANCELLED, "stopped");
        from = to + 1;
    }
    return ERR_OK;
}

static err_code add_text(job *j, const char *path, str all, err *e) {
    if (str_starts(all, STR("\x1f\x8b")) || str_starts(all, STR("\x28\xb5\x2f\xfd")))
        return err_set(e, ERR_UNSUPPORTED, "%s: is compressed (loam data build reads such files into a data set)",
                       path);
    const char *nul = all.n ? memchr(all.p, 0, all.n) : NULL;
    if (nul)
        return err_set(e, ERR_FORMAT, "%s: byte %zu is a NUL, so this is no text", path, (size_t)(nul - all.p));
    return add(j, all, all.n, e);
}

static err_code add_file(job *j, const char *path, err *e) {
    os_map m;
    if (os_is_dir(path))
        return err_set(e, ERR_USAGE, "%s: is a folder (loam data build makes a data set of its files)", path);
    TRY(os_map_open(&m, path, e));
    str all = {(const char *)m.p, m.n};
    bool set = str_starts(all, STR("SQLite format 3")), lines = str_ends(str_from(path), STR(".jsonl"));
    err_code code;
    if (set) {
        os_map_close(&m);
        return add_set(j, path, e);
    }
    if (j->v->where)
        code = err_set(e, ERR_USAGE, "--where: %s is not a data set", path);
    else {
        j->total += all.n;
        code = lines ? add_lines(j, path, all, e) : add_text(j, path, all, e);
    }
    os_map_close(&m);
    return code;
}

/* ---- results ---- */

/* Beside tokenizer.json: what begins and ends a text, and what a chat looks like. */
static err_code config_text(strbuf *out, err *e) {
    TRY(strbuf_add(out, STR("{\n  \"bos_token\": null,\n  \"chat_template\": "), e));
    TRY(json_quote(str_from(chat_builtin_find("chatml")->source), out, e));
    return strbuf_add(out,
                      STR(",\n  \"clean_up_tokenization_spaces\": false,\n  \"eos_token\": \"<|endoftext|>\",\n"
                          "  \"pad_token\": \"<|endoftext|>\",\n"
                          "  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"unk_token\": null\n}\n"),
                      e);
}

/* Before any work: a folder that can be used, or the name of a file. */
static err_code prepare(const char *out, bool file, err *e) {
    char path[OS_PATH_BYTES];
    if (file)
        return os_is_dir(out) ? err_set(e, ERR_IO, "%s: is a folder", out) : ERR_OK;
    TRY(os_join(path, out, "config.json", e));
    if (os_exists(path))
        return err_set(e, ERR_USAGE, "%s: holds a model, whose tokenizer is not replaced (choose another name)", out);
    if (mkdir(out, 0777) != 0 && !os_is_dir(out))
        return err_set(e, ERR_IO, "%s: cannot be made a folder: %s", out, strerror(errno));
    return ERR_OK;
}

static err_code write_all(const char *out, bool file, str json, err *e) {
    char path[OS_PATH_BYTES];
    if (file)
        return os_write_file(out, json, e);
    strbuf config = {0};
    err_code code = config_text(&config, e);
    if (code == ERR_OK)
        code = os_join(path, out, "tokenizer_config.json", e);
    if (code == ERR_OK)
        code = os_write_file(path, strbuf_str(&config), e);
    strbuf_fini(&config);
    TRY(code);
    TRY(os_join(path, out, "tokenizer.json", e));
    return os_write_file(path, json, e);
}

static err_code print(const values *v, const bpe_train_facts *f, str json, double seconds, err *e) {
    char hex[65];
    hash_hex(hash_of(json.p, json.n), hex);
    if (f->n_ill_formed)
        out_note("%" PRIu64 " bytes are not UTF-8; nothing was learnt from them", f->n_ill_formed);
    if (f->n_long)
        out_note("%" PRIu64 " words of more than %d bytes were left out", f->n_long, BPE_TRAIN_WORD_BYTES_MAX);
    if (v->common.verbose || err_is_terminal())
        out_note("%s in %s (%s/s), %s of memory at most", amount_bytes((double)f->n_bytes).text,
                 amount_time(seconds).text, amount_bytes((double)f->n_bytes / (seconds > 0 ? seconds : 1)).text,
                 amount_bytes((double)os_peak_rss_bytes()).text);
    if (!v->common.json) {
        out_printf("texts   %" PRIu64 "\nbytes   %" PRIu64 "\nwords   %" PRIu64 ", %" PRIu64 " different\n", f->n_texts,
                   f->n_bytes, f->n_words, f->n_different);
        out_printf("pieces  %zu, %zu merges\ndigest  %s\n", f->n_pieces, f->n_merges, hex);
        return ERR_OK;
    }
    const struct {
        const char *key;
        uint64_t value;
    } number[] = {{"texts", f->n_texts},
                  {"bytes", f->n_bytes},
                  {"words", f->n_words},
                  {"different_words", f->n_different},
                  {"pieces", f->n_pieces},
                  {"merges", f->n_merges},
                  {"ill_formed_bytes", f->n_ill_formed},
                  {"long_words", f->n_long},
                  {"peak_bytes", os_peak_rss_bytes()}};
    js_out j = {.e = e};
    js_begin(&j, '{');
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) {
        js_key(&j, number[i].key);
        js_int(&j, (int64_t)number[i].value);
    }
    js_key(&j, "count_s");
    js_real(&j, f->count_s, 6);
    js_key(&j, "learn_s");
    js_real(&j, f->learn_s, 6);
    js_key(&j, "seconds");
    js_real(&j, seconds, 6);
    js_key(&j, "digest");
    js_text(&j, str_from(hex));
    js_end(&j, '}');
    return js_print(&j);
}

static void on_progress(void *ctx, bpe_train_phase phase, uint64_t done, uint64_t total) {
    job *j = ctx;
    if (phase == BPE_TRAIN_LEARNING) {
        progress_end(&j->counting);
        progress_step(&j->learning, done, total);
    }
}

static err_code learn(job *j, const arguments *args, strbuf *json, err *e) {
    err_code code = ERR_OK;
    for (int i = 0; i + 1 < args->n && code == ERR_OK; i++)
        code = add_file(j, args->arg[i], e);
    if (code == ERR_OK)
        code = bpe_train_learn(j->t, e);
    progress_end(&j->counting);
    progress_end(&j->learning);
    return code == ERR_OK ? bpe_train_json(j->t, json, e) : code;
}

static err_code run(const void *p, const arguments *args, err *e) {
    const values *v = p;
    const char *out = args->arg[args->n - 1];
    bool file = str_ends(str_from(out), STR(".json"));
    str special[3 + OPTION_LIST_MAX] = {STR("<|endoftext|>"), STR("<|im_start|>"), STR("<|im_end|>")};
    job j = {.v = v, .counting = {.what = "counting"}, .learning = {.what = "learning", .unit = "pieces"}};
    bpe_train_options o = {.n_vocab = (size_t)v->vocab,
                           .pattern = bpe_pattern_find(v->pattern),
                           .special = special,
                           .n_special = 3 + v->special.n,
                           .min_count = (uint64_t)v->min_count,
                           .piece_bytes_max = v->max_piece ? (size_t)v->max_piece : BPE_TRAIN_PIECE_BYTES_MAX,
                           .allow_fewer = v->allow_fewer,
                           .on_progress = on_progress,
                           .ctx = &j,
                           .cancel = &interrupt_flag};
    for (size_t i = 0; i < v->special.n; i++)
        special[3 + i] = v->special.item[i];
    double begun = os_now();
    pool *workers = NULL;
    strbuf json = {0};
    interrupt_catch();
    err_code code = prepare(out, file, e);
    if (code == ERR_OK)
        code = pool_open(&workers, (int)v->common.threads, e);
    if (code == ERR_OK)
        code = bpe_train_open(&j.t, &o, workers, e);
    if (code == ERR_OK)
        code = learn(&j, args, &json, e);
    if (code == ERR_OK)
        code = write_all(out, file, strbuf_str(&json), e);
    if (code == ERR_OK) {
        bpe_train_facts f = bpe_train_facts_of(j.t);
        code = print(v, &f, strbuf_str(&json), os_now() - begun, e);
    }
    strbuf_fini(&json);
    bpe_train_close(j.t);
    pool_close(workers);
    return code;
}

extern const command command_tokenizer_train;
const command command_tokenizer_train = {
    .name = "tokenizer train",
    .args = "DATA... OUT",
    .summary = "learn a byte-level BPE tokenizer",
    .details =
        "DATA is a data set (loam data build), JSON Lines with the key text (.jsonl), or plain text; several may be "
        "given. "
        "OUT is a folder that gets tokenizer.json and tokenizer_config.json (end of text, ChatML template), or a file "
        "ending in .json. The merges are those of Hugging Face's BpeTrainer on the same texts, whatever the threads: "
        "the "
        "digest (SHA-256 of tokenizer.json) is the same everywhere.\n"
        "With --json: {\"texts\", \"bytes\", \"words\", \"different_words\", \"pieces\", \"merges\", ..., "
        "\"digest\"}.\n\n"
        "  loam tokenizer train stories.db tok --vocab 4096\n"
        "  loam tokenizer train a.jsonl b.txt my.json --vocab 32000 --pattern qwen2 --special \"<think>\"",
    .n_args_min = 2,
    .n_args_max = -1,
    .groups = groups,
    .defaults = &defaults,
    .values_bytes = sizeof defaults,
    .run = run,
};
