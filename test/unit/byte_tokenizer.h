/* byte_tokenizer: a byte-level tokenizer without merges, written into a temporary folder: a token a byte, and the
 * control tokens below, so that ids can be told by eye. Ids 0 to 255 are bytes, 256 + i is byte_controls[i]. */
#ifndef LOAM_TEST_BYTE_TOKENIZER_H
#define LOAM_TEST_BYTE_TOKENIZER_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/os.h"
#include "text/json.h"
#include "text/utf8.h"
#include "tok/tokenizer.h"

static const char *const byte_controls[] = {
    "<s>",
    "</s>",
    "<|im_start|>",
    "<|im_end|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|im_end|>x",
    ("\xE2\x9F\xA8"
     "end\xE2\x9F\xA9"),
};
enum { N_CONTROLS = sizeof byte_controls / sizeof *byte_controls };

/* The printable character that stands for a byte in byte-level vocabularies. */
static inline int32_t byte_character(int byte) {
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174)
        return byte;
    int n = 0;
    for (int b = 0; b < byte; b++)
        n += !((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174);
    return 256 + n;
}

static inline err_code byte_write_file(const char *folder, const char *name, str text, err *e) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return os_write_file(path, text, e);
}

static inline err_code byte_write_tokenizer(const char *folder, err *e) {
    strbuf b = {0};
    strbuf_addf(&b, NULL, "{\"version\": \"1.0\", \"added_tokens\": [");
    for (int i = 0; i < N_CONTROLS; i++) {
        strbuf_addf(&b, NULL, "%s{\"id\": %d, \"content\": ", i ? ", " : "", 256 + i);
        json_quote(str_from(byte_controls[i]), &b, NULL);
        strbuf_addf(&b, NULL,
                    ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, "
                    "\"special\": true}");
    }
    strbuf_addf(&b, NULL,
                "], \"normalizer\": null, \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                "\"trim_offsets\": true, \"use_regex\": true}, \"post_processor\": null, \"decoder\": {\"type\": "
                "\"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": true}, "
                "\"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, \"vocab\": {");
    for (int byte = 0; byte < 256; byte++) {
        char c[4];
        size_t n = utf8_put(byte_character(byte), c);
        if (byte)
            strbuf_addf(&b, NULL, ", ");
        json_quote((str){c, n}, &b, NULL);
        strbuf_addf(&b, NULL, ": %d", byte);
    }
    strbuf_addf(&b, NULL, "}, \"merges\": []}}");
    err_code code = byte_write_file(folder, "tokenizer.json", strbuf_str(&b), e);
    strbuf_fini(&b);
    return code != ERR_OK ? code
                          : byte_write_file(folder, "tokenizer_config.json",
                                            STR("{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\"}"), e);
}

/* NULL, with the reason on standard error, when it cannot be. `name`: of the folder, one a test. */
static inline tokenizer *byte_tokenizer_open(const char *name) {
    const char *tmp = getenv("LOAM_TMP");
    char folder[500];
    snprintf(folder, sizeof folder, "%s/%s", tmp ? tmp : "/tmp", name);
    mkdir(folder, 0700);
    tokenizer *t = NULL;
    err e = {0};
    if (byte_write_tokenizer(folder, &e) != ERR_OK || tokenizer_open_folder(&t, folder, &e) != ERR_OK)
        fprintf(stderr, "%s\n", e.text);
    return t;
}

#endif
