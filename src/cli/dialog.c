/* dialog: see dialog.h. */
#include "cli/dialog.h"

#include <stdlib.h>
#include <string.h>

#include "base/os.h"

static bool has_system(const dialog *d) { return d->n > 0 && str_is(d->m[0].role, "system"); }

/* The literal for a role; empty when unknown. */
static str role_of(str role) {
    static const str roles[] = {{"system", 6}, {"user", 4}, {"assistant", 9}, {"tool", 4}};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (str_eq(roles[i], role))
            return roles[i];
    return (str){0};
}

err_code dialog_add(dialog *d, str role, str content, err *e) {
    if (d->n == CHAT_MESSAGES_MAX)
        return err_set(e, ERR_LIMIT, "the conversation has %d messages already", CHAT_MESSAGES_MAX);
    if (d->n == d->cap) {
        size_t cap = d->cap ? d->cap * 2 : 16;
        chat_message *m = realloc(d->m, cap * sizeof *m);
        if (!m)
            return err_set(e, ERR_MEMORY, "no memory for %zu messages", cap);
        d->m = m;
        d->cap = cap;
    }
    char *p = malloc(content.n + 1);
    if (!p)
        return err_set(e, ERR_MEMORY, "no memory for a message of %zu bytes", content.n);
    if (content.n > 0)
        memcpy(p, content.p, content.n);
    p[content.n] = '\0';
    d->m[d->n++] = (chat_message){.role = role_of(role), .content = {p, content.n}};
    return ERR_OK;
}

static void free_content(chat_message *m) { free((void *)(uintptr_t)m->content.p); }

void dialog_drop(dialog *d) {
    if (d->n > 0)
        free_content(&d->m[--d->n]);
}

void dialog_clear(dialog *d) {
    while (d->n > (has_system(d) ? 1u : 0u))
        dialog_drop(d);
}

err_code dialog_system(dialog *d, str text, err *e) {
    if (text.n == 0 && !has_system(d))
        return ERR_OK;
    if (text.n > 0)
        TRY(dialog_add(d, STR("system"), text, e));
    chat_message added = d->m[d->n - 1];
    if (has_system(d) && text.n > 0 && d->n > 1) { /* replace */
        free_content(&d->m[0]);
        d->m[0] = added;
        d->n--;
    } else if (text.n > 0) { /* put in front */
        memmove(d->m + 1, d->m, (d->n - 1) * sizeof *d->m);
        d->m[0] = added;
    } else { /* take away */
        free_content(&d->m[0]);
        memmove(d->m, d->m + 1, --d->n * sizeof *d->m);
    }
    return ERR_OK;
}

str dialog_last_role(const dialog *d) { return d->n > 0 ? d->m[d->n - 1].role : (str){0}; }

void dialog_fini(dialog *d) {
    while (d->n > 0)
        dialog_drop(d);
    free(d->m);
    *d = (dialog){0};
}

static err_code write_text(const dialog *d, strbuf *text, err *e) {
    TRY(strbuf_addf(text, e, "{\"messages\": [\n"));
    for (size_t i = 0; i < d->n; i++) {
        TRY(strbuf_addf(text, e, "  {\"role\": \"%s\", \"content\": ", d->m[i].role.p));
        TRY(json_quote(d->m[i].content, text, e));
        TRY(strbuf_addf(text, e, "}%s\n", i + 1 < d->n ? "," : ""));
    }
    return strbuf_addf(text, e, "]}\n");
}

err_code dialog_save(const dialog *d, const char *path, err *e) {
    strbuf text = {0};
    err_code code = write_text(d, &text, e);
    if (code == ERR_OK)
        code = os_write_file(path, strbuf_str(&text), e);
    strbuf_fini(&text);
    return code;
}

static err_code add_all(dialog *d, const json_t *root, err *e) {
    const json_t *list = json_object_get(root, "messages");
    if (!json_is_array(list))
        return err_set(e, ERR_FORMAT, "no list \"messages\"");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        str role = {0}, content = {0};
        err_code code = json_want_str(one, "role", &role, e);
        if (code == ERR_OK)
            code = json_want_str(one, "content", &content, e);
        if (code == ERR_OK && (role_of(role).n == 0 || (i > 0 && str_is(role, "system"))))
            code = err_set(e, ERR_FORMAT, "role \"%.*s\" cannot stand there", STR_ARG(role));
        if (code == ERR_OK)
            code = dialog_add(d, role, content, e);
        if (code != ERR_OK)
            return err_in(e, code, "message %zu", i + 1);
    }
    return ERR_OK;
}

err_code dialog_load(dialog *d, const char *path, err *e) {
    strbuf text = {0};
    json_t *root = NULL;
    dialog read = {0};
    TRY(os_read_file(path, 2 * CHAT_BYTES_MAX, &text, e));
    err_code code = json_read(strbuf_str(&text), 2 * CHAT_BYTES_MAX, &root, e);
    if (code == ERR_OK)
        code = add_all(&read, root, e);
    if (code == ERR_OK) {
        dialog old = *d;
        *d = read;
        read = old;
    } else
        err_in(e, code, "%s", path);
    dialog_fini(&read);
    json_decref(root);
    strbuf_fini(&text);
    return code;
}
