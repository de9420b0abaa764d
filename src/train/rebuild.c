/* rebuild: see rebuild.h. */
#include "train/rebuild.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "base/outfile.h"
#include "train/publish.h"
#include "train/uses.h"
#include "train/verified.h"

enum { FILE_BYTES_MAX = 1 << 30 };

static bool same(hash256 a, hash256 b) { return memcmp(&a, &b, sizeof a) == 0; }

/* ---- the plan ---- */

static int by_digest(const void *a, const void *b) { return memcmp(a, b, sizeof(hash256)); }

static int by_key(const void *a, const void *b) {
    const dataset_key *x = a, *y = b;
    return by_digest(&x->sha256, &y->sha256);
}

/* What is left, and the digests of what is not. */
static err_code split(rebuild_plan *p, const docs *d, const picked *without, err *e) {
    removal *r = &p->record;
    dataset_key *left = calloc(d->n + 1, sizeof *left);
    size_t n = 0, train = 0;
    r->sha256 = calloc(without->n + 1, sizeof *r->sha256);
    if (!left || !r->sha256) {
        free(left);
        return err_set(e, ERR_MEMORY, "no memory for a list of %zu documents", d->n);
    }
    for (size_t i = 0; i < d->n; i++) {
        if (without->is[i]) {
            r->sha256[r->n++] = d->sha256[i];
            p->n_held_out += i >= d->n_train;
        } else {
            left[n++].sha256 = d->sha256[i];
            train += i < d->n_train;
        }
    }
    if (r->n)
        qsort(r->sha256, r->n, sizeof *r->sha256, by_digest);
    qsort(left, n, sizeof *left, by_key);
    err_code code =
        train ? ERR_OK : err_set(e, ERR_USAGE, "without these %zu documents nothing is left to learn from", without->n);
    if (code == ERR_OK)
        code = dataset_keys_digest(left, n, &p->recipe.data.digest, e);
    p->recipe.data.documents = n;
    p->n_removed = r->n;
    free(left);
    return code;
}

/* The newest checkpoint of at most `step` that the chain speaks of; 0: the beginning. */
static err_code last_ckpt(const run *from, const chain *c, uint64_t step, uint64_t *out, err *e) {
    run_path path;
    uint64_t *steps;
    size_t n;
    *out = 0;
    TRY(run_file(from, "ckpt", &path, e));
    TRY(ckpt_list(path.text, &steps, &n, e));
    err_code code = ERR_OK;
    for (size_t i = 0; i < n && steps[i] <= step && steps[i] < c->n && code != ERR_MEMORY; i++) {
        ckpt_info info;
        if (!c->line[steps[i]].has_roots)
            continue;
        code = ckpt_read_info(path.text, steps[i], &info, e);
        if (code == ERR_OK && same(info.chain, c->line[steps[i]].digest))
            *out = steps[i];
    }
    free(steps);
    return code == ERR_MEMORY ? code : ERR_OK; /* one that cannot be read is none */
}

static err_code first_use(rebuild_plan *p, run *from, const picked *without, const chain *c, pool *workers, err *e) {
    uses *u;
    const docs *d = &from->docs;
    TRY(uses_open(&u, from->recipe.init.seed, d, c, workers, e));
    for (size_t i = 0; i < d->n_train; i++) {
        uint64_t step = without->is[i] ? uses_first(u, i) : 0;
        if (step && (p->record.first == 0 || step < p->record.first))
            p->record.first = step;
    }
    uses_close(u);
    if (from->base && p->n_held_out) /* of tuning, the chain has what was measured on it */
        return ERR_OK;
    return last_ckpt(from, c, p->record.first ? p->record.first - 1 : p->steps, &p->record.kept, e);
}

static err_code measure(rebuild_plan *p, run *from, const picked *without, pool *workers, err *e) {
    chain c;
    TRY(run_chain(from, &c, e));
    err_code code = ERR_OK;
    if (c.n < 2)
        code = err_set(e, ERR_USAGE, "%s: has not begun, so there is nothing to rebuild", from->path);
    else if (!same(c.line[0].recipe, p->record.from.recipe))
        code = err_set(e, ERR_MISMATCH, "%s/chain.jsonl: is not the chain of this recipe", from->path);
    if (code == ERR_OK) {
        p->steps = c.n - 1;
        p->record.chain = c.line[p->steps].digest;
        code = first_use(p, from, without, &c, workers, e);
    }
    chain_fini(&c);
    return code;
}

err_code rebuild_plan_make(rebuild_plan *p, run *from, const picked *without, const char *query, pool *workers,
                           err *e) {
    *p = (rebuild_plan){.recipe = from->recipe};
    p->record.query = strdup(query);
    err_code code = p->record.query ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for a query");
    if (code == ERR_OK)
        code = split(p, &from->docs, without, e);
    if (code == ERR_OK)
        code = removal_side_of(&from->recipe, &p->record.from, e);
    if (code == ERR_OK)
        code = removal_side_of(&p->recipe, &p->record.to, e);
    if (code == ERR_OK)
        code = measure(p, from, without, workers, e);
    p->n_copies_left = pick_copies_left(without, &from->docs);
    if (code != ERR_OK)
        rebuild_plan_fini(p);
    return code;
}

void rebuild_plan_fini(rebuild_plan *p) {
    removal_fini(&p->record);
    *p = (rebuild_plan){0};
}

/* ---- the folder ---- */

static err_code copy_file(const char *from, const char *to, err *e) {
    strbuf bytes = {0};
    err_code code = os_read_regular(from, FILE_BYTES_MAX, &bytes, e);
    if (code == ERR_OK)
        code = os_write_file(to, strbuf_str(&bytes), e);
    strbuf_fini(&bytes);
    return code;
}

/* The digest of the tokenizer's files with another tokenizer.json: tokens.h. */
static err_code tokenizer_digest(const run *from, str json, hash256 *out, err *e) {
    strbuf lines = {0};
    err_code code = ERR_OK;
    for (int i = 0; i < TOKENS_FILES_N && code == ERR_OK; i++) {
        run_path folder, path;
        char hex[65];
        hash256 h = hash_of(json.p, json.n);
        code = run_file(from, "tokenizer", &folder, e);
        if (code == ERR_OK)
            code = os_join(path.text, folder.text, tokens_files[i], e);
        if (code == ERR_OK && i > 0 && !os_exists(path.text))
            continue;
        if (code == ERR_OK && i > 0)
            code = hash_file(path.text, &h, e);
        hash_hex(h, hex);
        if (code == ERR_OK)
            code = strbuf_addf(&lines, e, "%s %s\n", tokens_files[i], hex);
    }
    if (code == ERR_OK)
        *out = hash_of(lines.p, lines.n);
    strbuf_fini(&lines);
    return code;
}

err_code rebuild_plan_tokenizer(rebuild_plan *p, const run *from, const relearnt *x, err *e) {
    if (!x->known)
        return err_set(
            e, ERR_USAGE,
            "%s/tokenizer: was not learnt from the documents of this run alone (by loam tokenizer train, with "
            "what it does unasked), so it cannot be learnt again without some of them",
            from->path);
    if (x->same)
        return ERR_OK;
    TRY(tokenizer_digest(from, strbuf_str(&x->json), &p->recipe.tokenizer.digest, e));
    p->recipe.model.vocab = x->new_pieces; /* special tokens come first and keep their ids */
    p->record.kept = 0;
    return removal_side_of(&p->recipe, &p->record.to, e);
}

/* The lines of `from`, and one more. */
static err_code write_record(rebuild_plan *p, const run *from, const char *stage, err *e) {
    strbuf text = {0};
    run_path path;
    const hash256 *before = NULL;
    err_code code = ERR_OK;
    for (size_t i = 0; i < from->removals.n && code == ERR_OK; i++) {
        removal *r = &from->removals.line[i];
        code = removal_text(r, before, &text, e);
        before = &r->digest;
    }
    if (code == ERR_OK)
        code = removal_text(&p->record, before, &text, e);
    if (code == ERR_OK)
        code = os_join(path.text, stage, "removals.jsonl", e);
    if (code == ERR_OK)
        code = os_write_file(path.text, strbuf_str(&text), e);
    strbuf_fini(&text);
    return code;
}

err_code rebuild_stage(rebuild_plan *p, const run *from, const char *stage, str json, err *e) {
    run_path given, path;
    run_inputs in;
    TRY(rebuild_sweep(stage, e));
    TRY(run_inputs_of(from, &given, &in, e));
    TRY(run_create(stage, &p->recipe, &in, e));
    if (json.n) {
        TRY(os_join(path.text, stage, "tokenizer/tokenizer.json", e));
        TRY(os_write_file(path.text, json, e));
    }
    return write_record(p, from, stage, e);
}

/* ---- what is taken over ---- */

/* The chain's lines up to the last that is kept, sealed anew; their digests into digest[kept + 1]. */
static err_code carry_chain(const rebuild_plan *p, const chain *c, run *to, hash256 *digest, err *e) {
    strbuf text = {0};
    run_path path;
    chain_line first;
    TRY(trainer_begin(to->trainer, e));
    err_code code = trainer_first_line(to->trainer, &first, e);
    if (code == ERR_OK && p->record.kept && !same(first.weights, c->line[0].weights))
        code = err_set(e, ERR_MISMATCH, "the run did not begin with the weights that its recipe gives (loam verify)");
    for (uint64_t i = 0; i <= p->record.kept && code == ERR_OK; i++) {
        chain_line line = i ? c->line[i] : first;
        code = chain_text(&line, i ? &digest[i - 1] : NULL, &text, e);
        digest[i] = line.digest;
    }
    if (code == ERR_OK)
        code = run_file(to, "chain.jsonl", &path, e);
    if (code == ERR_OK)
        code = os_write_file(path.text, strbuf_str(&text), e);
    strbuf_fini(&text);
    return code;
}

static err_code carry_ckpt(const run *from, run *to, const chain_line *was, hash256 digest, err *e) {
    run_path source, target;
    ckpt_info info;
    ckpt_state s = trainer_state(to->trainer);
    TRY(run_file(from, "ckpt", &source, e));
    TRY(run_file(to, "ckpt", &target, e));
    TRY(trainer_load(to->trainer, source.text, was->step, &info, e));
    if (!same(info.chain, was->digest) || !same(info.weights, was->weights) || !same(info.moments, was->moments))
        return err_set(e, ERR_MISMATCH, "%s/step-%08" PRIu64 ": is not the checkpoint that the chain speaks of",
                       source.text, was->step);
    info.chain = digest;
    return ckpt_save(target.text, &info, &s, e);
}

static err_code carry_all(const rebuild_plan *p, const run *from, run *to, const chain *c, err *e) {
    run_path path;
    uint64_t *steps = NULL;
    size_t n = 0;
    hash256 *digest = calloc(p->record.kept + 1, sizeof *digest);
    err_code code = digest ? ERR_OK : err_set(e, ERR_MEMORY, "no memory for %" PRIu64 " steps", p->record.kept);
    if (code == ERR_OK)
        code = carry_chain(p, c, to, digest, e);
    if (code == ERR_OK)
        code = run_file(from, "ckpt", &path, e);
    if (code == ERR_OK)
        code = ckpt_list(path.text, &steps, &n, e);
    for (size_t i = 0; i < n && steps[i] <= p->record.kept && code == ERR_OK; i++)
        if (steps[i] && c->line[steps[i]].has_roots)
            code = carry_ckpt(from, to, &c->line[steps[i]], digest[steps[i]], e);
    free(steps);
    free(digest);
    return code;
}

err_code rebuild_carry(const rebuild_plan *p, const run *from, run *to, const char *out, err *e) {
    chain c;
    TRY(run_chain(from, &c, e));
    err_code code = c.n > p->record.kept ? carry_all(p, from, to, &c, e)
                                         : err_set(e, ERR_MISMATCH, "%s/chain.jsonl: has become shorter", from->path);
    chain_fini(&c);
    TRY(code);
    if (rename(to->path, out) != 0)
        return err_set(e, ERR_IO, "%s: cannot be created: %s", out, strerror(errno));
    char *name = strdup(out);
    if (!name)
        return err_set(e, ERR_MEMORY, "no memory for a path");
    free(to->path);
    to->path = name;
    return outfile_sync_folder_of(out, e);
}

err_code rebuild_is_same(const rebuild_plan *p, const run *out, err *e) {
    const removal *want = &p->record, *is = out->removals.n ? &out->removals.line[out->removals.n - 1] : NULL;
    hash256 now;
    TRY(recipe_digest(&out->recipe, &now, e));
    if (is && same(is->from.recipe, want->from.recipe) && same(is->chain, want->chain) && same(now, want->to.recipe) &&
        is->n == want->n && memcmp(is->sha256, want->sha256, is->n * sizeof *is->sha256) == 0)
        return ERR_OK;
    return err_set(e, ERR_USAGE, "%s: holds another run (choose another folder)", out->path);
}

/* ---- sweeping ---- */

static err_code remove_files(const char *folder, const char *const *names, size_t n, err *e) {
    run_path path;
    for (size_t i = 0; i < n; i++) {
        TRY(os_join(path.text, folder, names[i], e));
        if (unlink(path.text) != 0 && errno != ENOENT && errno != ENOTDIR)
            return err_set(e, ERR_IO, "%s: cannot be removed: %s", path.text, strerror(errno));
    }
    return ERR_OK;
}

err_code rebuild_sweep(const char *folder, err *e) {
    /* recipe.json first: then it is no run any more, whenever this is stopped. */
    static const char *const files[] = {"recipe.json",    "log.db",      "log.db-journal", "log.db-wal",
                                        "log.db-shm",     "chain.jsonl", "inputs.json",    "removals.jsonl",
                                        "template.jinja", VERIFIED_FILE};
    run_path path;
    uint64_t *steps;
    size_t n;
    if (!os_exists(folder))
        return ERR_OK;
    TRY(remove_files(folder, files, sizeof files / sizeof *files, e));
    publish_sweep(folder);
    TRY(os_join(path.text, folder, "tokenizer", e));
    TRY(remove_files(path.text, tokens_files, TOKENS_FILES_N, e));
    rmdir(path.text);
    TRY(os_join(path.text, folder, "ckpt", e));
    ckpt_sweep(path.text);
    TRY(ckpt_list(path.text, &steps, &n, e));
    err_code code = ERR_OK;
    for (size_t i = 0; i < n && code == ERR_OK; i++)
        code = ckpt_remove(path.text, steps[i], e);
    free(steps);
    TRY(code);
    rmdir(path.text);
    return rmdir(folder) == 0
               ? ERR_OK
               : err_set(e, ERR_IO, "%s: is in the way and cannot be removed: %s", folder, strerror(errno));
}

/* ---- the proof ---- */

err_code rebuild_scratch(const run *like, const char *path, err *e) {
    run_path given, from, to;
    run_inputs in;
    TRY(run_inputs_of(like, &given, &in, e));
    TRY(run_file(like, "removals.jsonl", &from, e));
    TRY(run_create(path, &like->recipe, &in, e));
    TRY(os_join(to.text, path, "removals.jsonl", e));
    return os_exists(from.text) ? copy_file(from.text, to.text, e) : ERR_OK;
}

static err_code compare_file(const run *a, const run *b, const char *name, err *e) {
    run_path x, y;
    TRY(run_file(a, name, &x, e));
    TRY(run_file(b, name, &y, e));
    err_code code = publish_compare_made(x.text, y.text, e);
    return code == ERR_MISMATCH ? err_set(e, code, "%s and %s differ (loam bisect says where)", x.text, y.text) : code;
}

err_code rebuild_compare(const run *a, const run *b, err *e) {
    static const char *const files[] = {"model.safetensors", "optimizer.safetensors", "checkpoint.json"};
    chain c;
    TRY(run_chain(a, &c, e));
    size_t last = c.n ? c.n - 1 : 0;
    chain_fini(&c);
    TRY(compare_file(a, b, "chain.jsonl", e));
    for (int i = 0; i < 3; i++) {
        char name[80];
        snprintf(name, sizeof name, "ckpt/step-%08zu/%s", last, files[i]);
        TRY(compare_file(a, b, name, e));
    }
    return publish_compare_all(a->path, b->path, e);
}
