/* pretok_names: what tokenizer.ggml.pre names mean.
 *
 * A GGUF file keeps a model's pieces and merges but only a name for how its text is cut. The lists
 * here are what the models' own tokenizer.json declare, in Oniguruma's syntax (rx.h translates); where
 * llama.cpp rewrote a pattern, the original stands here. A name that is not in the table is
 * refused: any other cut would give other ids without a word.
 */
#include "text/utf8.h"
#include "tok/pretok.h"
#include "tok/unichar.h"

#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define REST "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define FRONT "[^\\r\\n\\p{L}\\p{N}]?"

const char pretok_gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* cl100k's, with digits in threes or one by one. */
#define LLAMA3 CONTRACTION "|" FRONT "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" REST
#define QWEN2 CONTRACTION "|" FRONT "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" REST
/* o200k's: words end where lower case turns to upper. */
#define GPT4O                                                                        \
    FRONT UPPER "*" LOWER "+" CONTRACTION "?|" FRONT UPPER "+" LOWER "*" CONTRACTION \
                "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" REST
#define TEKKEN FRONT UPPER "*" LOWER "+|" FRONT UPPER "+" LOWER "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" REST

/* DeepSeek's first tokenizer lists the letters of bicameral scripts as Unicode 11 had them. */
static const char deepseek_letters[] =
    "\\s?[A-Za-z\\u00b5\\u00c0-\\u00d6\\u00d8-\\u00f6\\u00f8-\\u01ba\\u01bc-\\u01bf\\u01c4-\\u0293\\u0295-\\u02af"
    "\\u0370-\\u0373\\u0376\\u0377\\u037b-\\u037d\\u037f\\u0386\\u0388-\\u038a\\u038c\\u038e-\\u03a1\\u03a3-\\u03f5"
    "\\u03f7-\\u0481\\u048a-\\u052f\\u0531-\\u0556\\u10a0-\\u10c5\\u13a0-\\u13f5\\u13f8-\\u13fd\\u1c90-\\u1cba"
    "\\u1cbd-\\u1cbf\\u1d00-\\u1d2b\\u1d6b-\\u1d77\\u1d79-\\u1d9a\\u1e00-\\u1f15\\u1f18-\\u1f1d\\u1f20-\\u1f45"
    "\\u1f48-\\u1f4d\\u1f50-\\u1f57\\u1f59\\u1f5b\\u1f5d\\u1f5f-\\u1f7d\\u1f80-\\u1fb4\\u1fb6-\\u1fbc\\u1fbe"
    "\\u1fc2-\\u1fc4\\u1fc6-\\u1fcc\\u1fd0-\\u1fd3\\u1fd6-\\u1fdb\\u1fe0-\\u1fec\\u1ff2-\\u1ff4\\u1ff6-\\u1ffc"
    "\\u2102\\u2107\\u210a-\\u2113\\u2115\\u2119-\\u211d\\u2124\\u2126\\u2128\\u212a-\\u212d\\u212f-\\u2134\\u2139"
    "\\u213c-\\u213f\\u2145-\\u2149\\u214e\\u2183\\u2184\\u2c00-\\u2c7b\\u2c7e-\\u2ce4\\u2ceb-\\u2cee\\u2cf2\\u2cf3"
    "\\ua640-\\ua66d\\ua680-\\ua69b\\ua722-\\ua76f\\ua771-\\ua787\\ua78b-\\ua78e\\uab70-\\uabbf\\ufb00-\\ufb06"
    "\\ufb13-\\ufb17\\uff21-\\uff3a\\uff41-\\uff5a\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}"
    "\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}]+";
#define DEEPSEEK_PUNCT "\\s?[!-/:-~\\uff01-\\uff0f\\uff1a-\\uff5e\\u2018-\\u201f\\u3000-\\u3002]+"
#define DEEPSEEK_CJK "[\\u4e00-\\u9fa5\\u0800-\\u4e00\\uac00-\\ud7ff]+"
#define DEEPSEEK3_CJK "[\\u4e00-\\u9fa5\\u3040-\\u309f\\u30a0-\\u30ff]+"
#define DEEPSEEK3                                                                                       \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+" \
    "| ?[\\p{P}\\p{S}]+[\\r\\n]*" REST

/* "#" stands for digits one by one: every numeric character a part of its own. */
enum { PATTERNS_MAX = 6 };
typedef struct {
    const char *name;
    const char *pattern[PATTERNS_MAX + 1]; /* ends with NULL */
} pattern_list;

static const pattern_list lists[] = {
    {"gpt2", {pretok_gpt2}},
    {"llama3", {LLAMA3}},
    {"qwen2", {QWEN2}},
    {"gpt4o", {GPT4O}},
    {"tekken", {TEKKEN}},
    {"digits", {"#", pretok_gpt2}},
    {"deepseek", {"[\\r\\n]", deepseek_letters, DEEPSEEK_PUNCT, "\\s+$", DEEPSEEK_CJK, "#"}},
    {"deepseek-coder", {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", DEEPSEEK_CJK, "#"}},
    {"deepseek3", {"\\p{N}{1,3}", DEEPSEEK3_CJK, DEEPSEEK3}},
    /* What llama.cpp does for files made before names were kept. */
    {"default", {"[\\p{P}\\$\\+<=>\\^~\\|]+", pretok_gpt2, "\\p{N}+", "[0-9][0-9][0-9]"}},
};

static const pretok_named names[] = {
    /* name               list              nfc    whole  bos */
    {"default", "default", false, false, false},
    {"gpt-2", "gpt2", false, false, false},
    {"phi-2", "gpt2", false, false, false},
    {"olmo", "gpt2", true, false, false},
    {"llama-bpe", "llama3", false, true, true},
    {"llama3", "llama3", false, true, true},
    {"llama-v3", "llama3", false, true, true},
    {"dbrx", "llama3", false, false, false}, /* OLMo 2 and 3, Phi-4, Granite 4 */
    {"smaug-bpe", "llama3", false, false, false},
    {"glm4", "llama3", false, false, false},
    {"chatglm-bpe", "llama3", false, false, false},
    {"qwen2", "qwen2", true, false, false},
    {"deepseek-r1-qwen", "qwen2", false, false, false},
    {"gpt-4o", "gpt4o", false, false, false}, /* Phi-4-mini */
    {"llama4", "gpt4o", false, false, false},
    {"tekken", "tekken", false, true, true},
    {"smollm", "digits", false, false, false},
    {"starcoder", "digits", false, false, false},
    {"refact", "digits", false, false, false}, /* Granite 3 */
    {"command-r", "digits", true, false, false},
    {"deepseek-llm", "deepseek", false, false, false},
    {"deepseek-coder", "deepseek-coder", false, false, false},
    {"deepseek-v3", "deepseek3", false, false, false},
};

static err_code add_list(pretok *p, const pattern_list *l, err *e) {
    for (int i = 0; i < PATTERNS_MAX && l->pattern[i]; i++) {
        str pattern = str_from(l->pattern[i]);
        if (str_is(pattern, "#"))
            TRY(pretok_add(p, (pretok_step){.kind = PRETOK_CLASS, .is = unichar_is_numeric}, e));
        else
            TRY(pretok_add_pattern(p, pattern, PRETOK_ISOLATED, false, e));
    }
    return ERR_OK;
}

const char *pretok_pattern(const char *list) {
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (str_is(str_from(list), lists[i].name))
            return lists[i].pattern[1] ? NULL : lists[i].pattern[0];
    return NULL;
}

err_code pretok_add_named(pretok *p, str name, const pretok_named **what, err *e) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!str_is(name, names[i].name))
            continue;
        *what = &names[i];
        for (size_t j = 0; j < sizeof lists / sizeof *lists; j++)
            if (str_is(str_from(lists[j].name), names[i].list))
                return add_list(p, &lists[j], e);
    }
    return err_set(e, ERR_UNSUPPORTED, "pre-tokenizer \"%.*s\" is not supported", STR_ARG(name));
}

const char *const *pretok_patterns(const pretok_named *what) {
    for (size_t j = 0; j < sizeof lists / sizeof *lists; j++)
        if (str_is(str_from(lists[j].name), what->list))
            return lists[j].pattern;
    return NULL;
}

/* The next character of a pattern; one that is written as an escape counts as itself. */
static int32_t next_char(str s, size_t *at) {
    int32_t c = utf8_next(s, at);
    if (c != '\\' || *at >= s.n)
        return c;
    static const char letters[] = "r\rn\nt\t";
    for (size_t i = 0; letters[i]; i += 2)
        if (s.p[*at] == letters[i]) {
            ++*at;
            return letters[i + 1];
        }
    bool braces = s.p[*at] == 'x' && *at + 1 < s.n && s.p[*at + 1] == '{';
    size_t from = *at + (braces ? 2 : 1), to = from;
    if (s.p[*at] != 'u' && !braces)
        return c;
    int32_t v = 0;
    for (; to < s.n && to < from + (braces ? 6 : 4); to++) {
        int digit = str_hex_digit(s.p[to]);
        if (digit < 0)
            break;
        v = v * 16 + digit;
    }
    bool whole = braces ? to > from && to < s.n && s.p[to] == '}' : to == from + 4;
    if (!whole)
        return c;
    *at = to + (braces ? 1 : 0);
    return v;
}

static bool same_pattern(str a, str b) {
    size_t i = 0, j = 0;
    while (i < a.n && j < b.n)
        if (next_char(a, &i) != next_char(b, &j))
            return false;
    return i == a.n && j == b.n;
}

const pretok_named *pretok_name_of(const str *pattern, int n, bool nfc, bool whole_words) {
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        const char *const *list = pretok_patterns(&names[k]);
        int i = 0;
        while (i < n && list[i] && same_pattern(pattern[i], str_from(list[i])))
            i++;
        bool all = i == n && !list[i];
        if (all && names[k].nfc == nfc && names[k].whole_words == whole_words)
            return &names[k];
    }
    return NULL;
}
