/* bpe_json: see bpe_json.h. Source: Hugging Face tokenizers' serialisation, version 0.23. */
#include "tok/bpe_json.h"

#include "text/json.h"
#include "tok/bpe.h"

static err_code put(strbuf *out, const char *text, err *e) { return strbuf_add(out, str_from(text), e); }

/* A piece of bytes in GPT-2's spelling. */
static err_code quote_bytes(str piece, strbuf *spelled, strbuf *out, err *e) {
    spelled->n = 0;
    for (size_t i = 0; i < piece.n; i++) {
        char two[2];
        TRY(strbuf_add(spelled, (str){two, bpe_spell_byte((unsigned char)piece.p[i], two)}, e));
    }
    return json_quote(strbuf_str(spelled), out, e);
}

static err_code put_added(const bpe_learnt *l, size_t n_special, strbuf *out, err *e) {
    TRY(put(out, n_special ? "  \"added_tokens\": [\n" : "  \"added_tokens\": [],\n", e));
    for (size_t i = 0; i < n_special; i++) {
        TRY(strbuf_addf(out, e, "    {\n      \"id\": %zu,\n      \"content\": ", i));
        TRY(json_quote(l->piece[i], out, e));
        TRY(put(out,
                ",\n      \"single_word\": false,\n      \"lstrip\": false,\n      \"rstrip\": false,\n"
                "      \"normalized\": false,\n      \"special\": true\n    }",
                e));
        TRY(put(out, i + 1 < n_special ? ",\n" : "\n  ],\n", e));
    }
    return ERR_OK;
}

static err_code put_pre_tokenizer(const char *pattern, strbuf *out, err *e) {
    if (!pattern)
        return put(out,
                   "  \"pre_tokenizer\": {\n    \"type\": \"ByteLevel\",\n    \"add_prefix_space\": false,\n"
                   "    \"trim_offsets\": true,\n    \"use_regex\": true\n  },\n",
                   e);
    TRY(put(out,
            "  \"pre_tokenizer\": {\n    \"type\": \"Sequence\",\n    \"pretokenizers\": [\n      {\n"
            "        \"type\": \"Split\",\n        \"pattern\": {\n          \"Regex\": ",
            e));
    TRY(json_quote(str_from(pattern), out, e));
    return put(out,
               "\n        },\n        \"behavior\": \"Isolated\",\n        \"invert\": false\n      },\n      {\n"
               "        \"type\": \"ByteLevel\",\n        \"add_prefix_space\": false,\n"
               "        \"trim_offsets\": true,\n        \"use_regex\": false\n      }\n    ]\n  },\n",
               e);
}

static err_code put_model(const bpe_learnt *l, size_t n_special, strbuf *spelled, strbuf *out, err *e) {
    TRY(put(out,
            "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
            "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n"
            "    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n    \"vocab\": {\n",
            e));
    for (size_t i = 0; i < l->n_pieces; i++) {
        TRY(put(out, "      ", e));
        TRY(i < n_special ? json_quote(l->piece[i], out, e) : quote_bytes(l->piece[i], spelled, out, e));
        TRY(strbuf_addf(out, e, ": %zu%s", i, i + 1 < l->n_pieces ? ",\n" : "\n    },\n"));
    }
    TRY(put(out, l->n_merges ? "    \"merges\": [\n" : "    \"merges\": []\n  }\n}", e));
    for (size_t i = 0; i < l->n_merges; i++) {
        TRY(put(out, "      [\n        ", e));
        TRY(quote_bytes(l->piece[l->merge[i].left], spelled, out, e));
        TRY(put(out, ",\n        ", e));
        TRY(quote_bytes(l->piece[l->merge[i].right], spelled, out, e));
        TRY(put(out, i + 1 < l->n_merges ? "\n      ],\n" : "\n      ]\n    ]\n  }\n}", e));
    }
    return ERR_OK;
}

err_code bpe_json_write(const bpe_learnt *l, size_t n_special, const char *pattern, strbuf *out, err *e) {
    strbuf spelled = {0};
    err_code code = put(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n", e);
    if (code == ERR_OK)
        code = put_added(l, n_special, out, e);
    if (code == ERR_OK)
        code = put(out, "  \"normalizer\": null,\n", e);
    if (code == ERR_OK)
        code = put_pre_tokenizer(pattern, out, e);
    if (code == ERR_OK)
        code = put(out,
                   "  \"post_processor\": null,\n  \"decoder\": {\n    \"type\": \"ByteLevel\",\n"
                   "    \"add_prefix_space\": true,\n    \"trim_offsets\": true,\n    \"use_regex\": true\n  },\n",
                   e);
    if (code == ERR_OK)
        code = put_model(l, n_special, &spelled, out, e);
    strbuf_fini(&spelled);
    return code;
}
