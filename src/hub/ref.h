/* ref: how a model somewhere else is named.
 *
 *   hf:ORG/REPO[@REVISION][:QUANT|:FILE]   Hugging Face; QUANT as in the file's name ("Q4_K_M"), FILE one file of it
 *   ollama:[NAMESPACE/]NAME[:TAG]          the Ollama registry; TAG is "latest" when it is not given
 *   https://HOST/PATH  http://HOST/PATH    one file
 *   anything else                          a file or folder of this machine
 *
 * Every part is checked: letters, digits and . _ - + alone, none that begins with . or -, so that parts can be put into
 * a URL and into a path as they are. Proved by test_hub.c and fuzz_ref.c.
 */
#ifndef LOAM_HUB_REF_H
#define LOAM_HUB_REF_H

#include "base/str.h"

typedef enum { REF_HF, REF_OLLAMA, REF_URL, REF_FILE } ref_kind;

enum { REF_PART_MAX = 128, REF_URL_MAX = 2000 };

typedef struct {
    ref_kind kind;
    char space[REF_PART_MAX];    /* ORG, NAMESPACE ("library") */
    char repo[REF_PART_MAX];     /* REPO, NAME */
    char revision[REF_PART_MAX]; /* of hf: "main" when not given */
    char pick[2 * REF_PART_MAX]; /* QUANT or FILE, TAG; empty: not given */
    char url[REF_URL_MAX + 1];   /* the URL or path */
} hub_ref;

err_code ref_parse(hub_ref *out, str text, err *e); /* ERR_USAGE, with the form that was expected */
/* The one spelling of it, which ref_parse() reads as the same. */
err_code ref_text(const hub_ref *r, strbuf *out, err *e);
/* The name that a model gets when the user gives none: ORG/REPO:QUANT, NAME:TAG, the file's name without its ending.
 * quant may be empty. Characters that a name cannot have become '-'. */
err_code ref_name(const hub_ref *r, str quant, strbuf *out, err *e);
/* Of a URL what may be told to others: user, password, query and fragment, where secrets stand, are taken away. */
void ref_strip(hub_ref *r);

/* A part as above, shorter than REF_PART_MAX; such parts between slashes. */
bool ref_plain(str s);
bool ref_plain_path(str s);

#endif
