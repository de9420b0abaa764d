#!/usr/bin/env python3
"""Reference token ids for test/unit/test_tok_golden.c.

Builds small tokenizers of every supported family, trained on text this script makes up, and records
what the reference libraries (tokenizers, sentencepiece) do with a few thousand nasty strings.

    python3 test/golden/tok.py                  writes test/golden/tok/
    python3 test/golden/tok.py --show FAM N     prints string N and its reference ids

  strings.bin       u32 n, then n times: u32 length, bytes
  FAM.json          tokenizer.json                 FAM.gguf   the same as GGUF keys (not for every family)
  FAM.ref           n times: u32 hash of the ids with special tokens read and put around, u32 hash of the ids
                    with special tokens left as text, u32 hash of both decodings (special tokens shown, left out;
                    0: not recorded)
  FAM.gguf.ref      where SentencePiece's ids differ from the tokenizer.json's: u32 hash of ids, no special tokens

A hash is FNV-1a 64 over the ids as u32 (or the bytes), the halves xored. Little-endian all through.

The merges are learnt without the family's pre-tokenizer, so that they cross every boundary it draws:
one split missed or made too much, and the ids differ.
"""
import io, json, os, random, struct, sys, unicodedata

import gguf
import sentencepiece as spm
from tokenizers import Tokenizer, models, trainers, pre_tokenizers, decoders

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tok")
rng = random.Random(20240611)

# ---- made-up text in many scripts ----

ALPHABETS = {
    "latin": "etaoinshrdlu cmfwypvbgkjqxz".replace(" ", ""),
    "accented": "éèêëàâäîïôöùûüçñßøåœæčšžłőğışİǅſﬁ",
    "greek": "αβγδεζηθικλμνξοπρσςτυφχψωάέ",
    "cyrillic": "абвгдежзийклмнопрстуфхцчшщъыьэюяё",
    "hebrew": "אבגדהוזחטיכלמנסעפצקרשתםן",
    "arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهويةىءً",
    "devanagari": "अआइईउकखगघचजटडतदनपबमयरलवशसहािीुूे्ंः",
    "thai": "กขคงจชซดตถทนบปผพฟมยรลวสหอะาิีึืุูเแโใไ่้์",
    "han": "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生",
    "kana": "あいうえおかきくけこさしすせそたちつてとアイウエオカキクケコサシスセソ",
    "hangul": "가나다라마바사아자차카타파하한국어말을는이에서고의",
    "georgian": "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ",
    "fullwidth": "ＡＢＣａｂｃ１２３！，．",
}
PUNCT = ["." , ",", "!", "?", ";", ":", "'", '"', "-", "--", "...", "(", ")", "[", "]", "{", "}", "/", "\\", "//", "_", "+=", "==", "->",
         "*", "#", "@", "&&", "||", "<", ">", "`", "~", "^", "$", "%", "…", "—", "“", "”", "‘", "’", "、", "。", "！", "？", "«", "»", "€", "№"]
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'Ve", "'M", "'lL", "'D", "'ſ", "’s", "'sx", "'tis", "''s", "'Re'", "'LLama"]
SPACES = [" ", "  ", "   ", "    ", "\n", "\n\n", "\n\n\n", "\r\n", "\r\n\r\n", "\t", "\t\t", " \n", "\n ", " \t ", "\u00a0", "\u3000", "\u2003",
          "\u2028", "\u0085", "\x0b", "\x0c", "\u200b", "\u180e", "\u202f", "\u1680", "\r", "        ", "\n\t", " " * 17, "\n" * 9]
EMOJI = ["😀", "👍🏽", "👨\u200d👩\u200d👧\u200d👦", "🏳️\u200d🌈", "🇫🇷", "🇩🇪🇯🇵", "❤️", "☝🏿", "🧑🏻\u200d🚀", "#️⃣", "🫠", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "☃", "✂︎"]
MARKS = ["e\u0301", "a\u0308\u0304", "o\u0302\u0323", "\u0301", "q\u0307\u0323", "q\u0323\u0307", "\u1100\u1161\u11a8", "\u0915\u094d\u0937", "Å", "\u212b", "Ω", "\u2126",
         "ﬁ", "①", "²", "½", "ⅷ", "㎏", "ｶﾞ", "\u1e9b\u0323", "\ufb2c", "\u0344", "n\u0303\u0303\u0303", "\u0e33", "ﷺ", "K", "\U0001d400", "ǆ", "ŉ", "İ", "ẞ"]
CONTROL = [chr(c) for c in list(range(0, 32)) + [127, 128, 133, 159, 173]] + ["\ufeff", "\u200e", "\u200f", "\u202a", "\u202e", "\u2060", "\ufffd", "\ufffe", "\uffff", "\U0010ffff", "\ue000", "\U000e0001", "\u0378"]
NUMBERS = ["0", "7", "42", "123", "1234", "12345", "1234567890", "3.14159", "1,000,000", "1e-9", "0x1F", "٣٤٥", "१२३", "四十二", "½¾", "Ⅻ", "²³", "1٢3", "2024-01-31", "99%", "$5", "v1.2.3"]
CODE = ["def f(x):\n    return x+1\n", "if (a<b) {\n\treturn;\n}", "<div class=\"x\">", "</div>", "#include <stdio.h>", "x = [1, 2, 3]", "https://a.example/b?c=d&e=f", "SELECT * FROM t;",
        "camelCase", "PascalCaseWord", "XMLHttpRequest", "snake_case_name", "ALLCAPS", "iPhone", "McDonald", "A1b2C3", "/usr/bin/env", "C:\\dir\\f.txt", "a=b;c=d//e", "\\n\\t"]
SPECIALS = ["<s>", "</s>", "<unk>", "<pad>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>",
            "<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>", "<|user|>", "<|assistant|>", "<|end|>", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>",
            "<think>", "</think>", "[INST]", "[/INST]", "<mask>", "<extra_id_0>", "<unused1>", "<unused12>", "<h1>", "</h1>", "<0x41>", "<0x0A>", "<0xZZ>", "▁", "▁▁", "Ġ", "Ċ", "word!", "<sep>", "[sep]"]
TAGS = ["<h1>", "</h1>", "<b>", "</b>", "<table>", "<unused1>", "<unused12>"]


def word(kind, r=rng):
    a = ALPHABETS[kind]
    return "".join(a[min(int(r.expovariate(4.0 / len(a))), len(a) - 1)] for _ in range(r.randint(1, 9)))


def lexicon():
    words = []
    for kind in ALPHABETS:
        words += [(kind, word(kind)) for _ in range(160 if kind == "latin" else 30)]
    return words


def text(r, lex, n):
    """n words, as mixed as can be."""
    out = []
    kind = "latin"
    for _ in range(n):
        if r.random() < 0.06:
            kind = r.choice(list(ALPHABETS)) if r.random() < 0.6 else "latin"
        pick = [w for k, w in lex if k == kind]
        w = pick[min(int(r.expovariate(6.0 / len(pick))), len(pick) - 1)]
        c = r.random()
        w = w.capitalize() if c < 0.12 else w.upper() if c < 0.17 else w
        if r.random() < 0.10:
            w += r.choice(CONTRACTIONS)
        if r.random() < 0.05:
            w += word("latin", r).capitalize()
        out.append(w)
        if r.random() < 0.18:
            out.append(r.choice(PUNCT))
        if r.random() < 0.10:
            out.append(r.choice(["", " "]) + r.choice(NUMBERS + [str(r.randint(0, 10 ** r.randint(1, 9)))]))
        if r.random() < 0.03:
            out.append(r.choice(EMOJI + MARKS + CODE))
        out.append(" " if r.random() < 0.78 else "" if r.random() < 0.4 else r.choice(SPACES))
    return "".join(out)


def nasty(lex):
    r = random.Random(77)
    s = ["", " ", "  ", "a", "\n", "Hello", " Hello", "  Hello  ", "Hello world", "\0", "a\0b", "\ufeffHello", "é", "e\u0301", "x" * 3000, " " * 1500, "\n" * 700, "ab" * 1200,
         "9" * 1000, "\u0301" * 300, "а" * 800, "的" * 600, "A" * 900, "aA" * 500, "!" * 800, " \n" * 300, "'s" * 200, "\u0323\u0301" * 200, "🇫🇷" * 60, "▁" * 100, "Ġ" * 50]
    s += SPECIALS + PUNCT + CONTRACTIONS + SPACES + EMOJI + MARKS + CONTROL + NUMBERS + CODE
    for sp in SPECIALS:
        s += [sp + "x", "x" + sp, " " + sp, sp + " ", "a " + sp + " b", sp + sp, "\n" + sp + "\n\n", sp[:-1], sp[1:], "  " + sp + "  c", "é" + sp + "é", sp + "'s", sp.upper()]
    for _ in range(160):
        s.append("".join(r.choice(SPECIALS + [" ", "x", "\n", "é", "12"]) for _ in range(r.randint(2, 6))))
    for c in CONTRACTIONS:
        s += ["I" + c, "WE" + c + " go", " you" + c + "."]
    for a in SPACES:
        s += ["x" + a + "y", a + "x", "x" + a, "1" + a + "2", "." + a + "!", a + a]
    for n in range(1, 14):
        s += ["1" * n, "a" + "12345678901234"[:n] + "b", " " * n + "x", "\n" * n + "x", "x" + " " * n + "\n", "٣" * n]
    pool = PUNCT + CONTRACTIONS + SPACES + EMOJI + MARKS + NUMBERS + CODE + CONTROL + [w for _, w in lex]
    for _ in range(420):
        s.append("".join(r.choice(pool) for _ in range(r.randint(2, 9))))
    for _ in range(300):
        s.append(text(r, lex, r.randint(2, 25)))
    scripts = [(0x250, 0x600), (0x600, 0x900), (0x900, 0x1000), (0x1000, 0x1800), (0x1800, 0x2000), (0x2000, 0x2c00), (0x2c00, 0x3100), (0x3100, 0x4000), (0xa000, 0xac00),
               (0xf900, 0xffff), (0x10000, 0x11000), (0x11000, 0x12000), (0x1d000, 0x1d800), (0x1f000, 0x1fb00), (0x20000, 0x20100), (0x16000, 0x17000)]
    for lo, hi in scripts:
        for _ in range(14):
            t = ""
            while len(t) < 12:
                c = chr(r.randint(lo, hi - 1))
                # Unicode versions differ between libraries: only characters that this Python's (and so an old) table knows.
                if unicodedata.category(c) not in ("Cn", "Cs") and c not in t:
                    t += c + (" " if r.random() < 0.15 else "")
            s.append(t)
    seen, out = set(), []
    for x in s:
        if x not in seen:
            seen.add(x)
            out.append(x)
    return out


# ---- patterns, as the models' tokenizer.json files declare them ----

CL = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
UP, LO, FR = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", r"[^\r\n\p{L}\p{N}]?"
LLAMA3 = CL + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + REST
QWEN2 = CL + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + REST
GPT4O = FR + UP + "*" + LO + "+" + CL + "?|" + FR + UP + "+" + LO + "*" + CL + r"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + REST
TEKKEN = FR + UP + "*" + LO + "+|" + FR + UP + "+" + LO + r"*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + REST
DS3 = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*""" + REST
DS_LETTERS = ("\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1"
              "\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d"
              "\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4"
              "\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4"
              "\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f"
              "\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943]+")
DS_PUNCT = "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+"
DS_CJK = "[一-龥\u0800-一가-\ud7ff]+"


def split(rx, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": rx}, "behavior": behavior, "invert": invert}


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
BYTES_RX = dict(BYTES, use_regex=True)
DIGITS = {"type": "Digits", "individual_digits": True}


def seq(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def template(bos=None, eos=None, ids=None):
    single = [{"SpecialToken": {"id": bos, "type_id": 0}}] if bos else []
    single += [{"Sequence": {"id": "A", "type_id": 0}}]
    single += [{"SpecialToken": {"id": eos, "type_id": 0}}] if eos else []
    return {"type": "TemplateProcessing", "single": single, "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in (bos, eos) if t}}


# name: GGUF's pre, pre_tokenizer, normalizer, special tokens, user tokens, BOS, ignore_merges
BYTE_FAMILIES = {
    "gpt2": ("gpt-2", BYTES_RX, None, ["<|endoftext|>"], [], None, False),
    "llama3": ("llama-bpe", seq(split(LLAMA3), BYTES), None, ["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"], [], "<|begin_of_text|>", True),
    "qwen2": ("qwen2", seq(split(QWEN2), dict(BYTES, trim_offsets=False)), {"type": "NFC"}, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], ["<think>", "</think>"], None, False),
    "olmo2": ("dbrx", seq(split(LLAMA3), BYTES), None, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], ["  "], None, False),
    "smollm": ("smollm", seq(DIGITS, BYTES_RX), None, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], [], None, False),
    "deepseek-llm": ("deepseek-llm", seq(split("[\r\n]"), split(DS_LETTERS), split(DS_PUNCT), split("\\s+$"), split(DS_CJK), DIGITS, BYTES), None,
                     ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"], ["ø"], "<｜begin▁of▁sentence｜>", False),
    "deepseek-coder": ("deepseek-coder", seq(split("[\r\n]"), split("\\s?\\p{L}+"), split("\\s?\\p{P}+"), split(DS_CJK), DIGITS, BYTES), None,
                       ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"], ["õ"], "<｜begin▁of▁sentence｜>", False),
    "deepseek-v3": ("deepseek-v3", seq(split("\\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DS3), BYTES), None,
                    ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"], ["<think>", "</think>"], "<｜begin▁of▁sentence｜>", False),
    "gpt4o": ("gpt-4o", seq(split(GPT4O), BYTES), None, ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"], [], None, False),
    "tekken": ("tekken", seq(split(TEKKEN), BYTES), None, ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"], [], "<s>", True),
}


def added(tid, content, special, **flags):
    a = {"id": tid, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special}
    a.update(flags)
    return a


def byte_family(name, base):
    pre, pretok, norm, special, user, bos, ignore = BYTE_FAMILIES[name]
    vocab = dict(base["vocab"])
    tokens = []
    for t in special + user:
        vocab_id = vocab.get(t)
        tid = vocab_id if vocab_id is not None else len(vocab) + sum(1 for x in tokens if x["content"] not in vocab)
        tokens.append(added(tid, t, t in special))
    ids = {t["content"]: t["id"] for t in tokens}
    post = template(bos, None, ids) if bos else {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens, "normalizer": norm, "pre_tokenizer": pretok, "post_processor": post,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                      "ignore_merges": ignore, "vocab": vocab, "merges": base["merges"]}}


def learn_bytes(corpus, n):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    t.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=n, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, max_token_length=14))
    m = json.loads(t.to_str())["model"]
    return {"vocab": m["vocab"], "merges": [" ".join(x) if isinstance(x, list) else x for x in m["merges"]]}


# ---- SentencePiece ----

def learn_spm(corpus, **options):
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_writer=out, minloglevel=2, max_sentence_length=1 << 20, num_threads=1, **options)
    return spm.SentencePieceProcessor(model_proto=out.getvalue()), out.getvalue()


def spm_pieces(sp):
    def kind(i):
        return 3 if sp.is_control(i) else 2 if sp.is_unknown(i) else 6 if sp.is_byte(i) else 5 if sp.is_unused(i) else 1
    return [(sp.id_to_piece(i), sp.get_score(i), kind(i)) for i in range(sp.get_piece_size())]


def spm_merges(pieces):
    """All pairs of pieces that make a piece, by falling score: how a SentencePiece BPE becomes a tokenizer.json."""
    ids = {p: i for i, (p, s, k) in enumerate(pieces)}
    out = []
    for p, s, k in pieces:
        if k != 1:
            continue
        local = [(ids[p[:i]], ids[p[i:]], p[:i], p[i:]) for i in range(1, len(p)) if p[:i] in ids and p[i:] in ids]
        out += [(-s, l, r, a, b) for l, r, a, b in sorted(local)]
    return [[a, b] for _, l, r, a, b in sorted(out, key=lambda x: x[0])]


def spm_json(pieces, user, normalizer, tokens, bos, eos, decoder, pretok=None):
    vocab = {p: i for i, (p, s, k) in enumerate(pieces)}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens, "normalizer": normalizer, "pre_tokenizer": pretok,
            "post_processor": template(bos, eos, vocab), "decoder": {"type": "Sequence", "decoders": decoder},
            "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True,
                      "ignore_merges": False, "vocab": vocab, "merges": spm_merges(pieces)}}


REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
BACK = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}


# ---- writing ----

def fnv(data):
    h = 0xcbf29ce484222325
    for b in data:
        h = ((h ^ b) * 0x100000001b3) & 0xffffffffffffffff
    return (h ^ h >> 32) & 0xffffffff


def fnv_ids(ids):
    return fnv(b"".join(struct.pack("<I", i) for i in ids))


def write_gguf(name, model, pieces, types, scores=None, merges=None, pre=None, arch="llama", **keys):
    w = gguf.GGUFWriter(os.path.join(HERE, name + ".gguf"), arch)
    w.add_tokenizer_model(model)
    if pre:
        w.add_tokenizer_pre(pre)
    w.add_token_list(pieces)
    if scores:
        w.add_token_scores(scores)
    w.add_token_types(types)
    if merges:
        w.add_token_merges([" ".join(m) if isinstance(m, (list, tuple)) else m for m in merges])
    for k, v in keys.items():
        if k == "charsmap":
            w.add_precompiled_charsmap(v)
        else:
            getattr(w, "add_" + k)(v)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()


def write_json(name, tok):
    with open(os.path.join(HERE, name + ".json"), "w", encoding="utf-8") as f:
        json.dump(tok, f, ensure_ascii=False, separators=(",", ":"))


def reference(tok, strings):
    t = Tokenizer.from_str(json.dumps(tok, ensure_ascii=False))
    moved = [a["id"] for a in tok["added_tokens"] if t.id_to_token(a["id"]) != a["content"]]
    out = []
    for s in strings:
        t.encode_special_tokens = False
        ids = t.encode(s).ids
        t.encode_special_tokens = True
        plain = t.encode(s, add_special_tokens=False).ids
        text = t.decode(ids, skip_special_tokens=False).encode() + b"\0" + t.decode(ids, skip_special_tokens=True).encode()
        # This version of the library shows an added token as the normalizer leaves it, others as it is spelled.
        out.append((ids, plain, None if any(i in moved for i in ids) else text))
    return out


def write_ref(name, tok, strings, built):
    built[name] = tok
    write_json(name, tok)
    with open(os.path.join(HERE, name + ".ref"), "wb") as f:
        for ids, plain, text in reference(tok, strings):
            f.write(struct.pack("<III", fnv_ids(ids), fnv_ids(plain), 0 if text is None else fnv(text)))


def write_spm_ref(name, sp, strings):
    with open(os.path.join(HERE, name + ".gguf.ref"), "wb") as f:
        for s in strings:
            f.write(struct.pack("<I", fnv_ids(sp.encode(s))))


def build():
    os.makedirs(HERE, exist_ok=True)
    lex = lexicon()
    corpus = [text(rng, lex, 60) for _ in range(700)]
    strings = nasty(lex)
    built = {}
    with open(os.path.join(HERE, "strings.bin"), "wb") as f:
        f.write(struct.pack("<I", len(strings)))
        for s in strings:
            b = s.encode()
            f.write(struct.pack("<I", len(b)) + b)

    base = learn_bytes(corpus, 900)
    for name in BYTE_FAMILIES:
        tok = byte_family(name, base)
        write_ref(name, tok, strings, built)
        pieces = [None] * (1 + max(list(tok["model"]["vocab"].values()) + [a["id"] for a in tok["added_tokens"]]))
        types = [1] * len(pieces)
        for p, i in tok["model"]["vocab"].items():
            pieces[i] = p
        for a in tok["added_tokens"]:
            pieces[a["id"]] = a["content"]
            types[a["id"]] = 3 if a["special"] else 4
        ids = {p: i for i, p in enumerate(pieces)}
        bos = BYTE_FAMILIES[name][5]
        keys = {"bos_token_id": ids[bos], "add_bos_token": True} if bos else {}
        write_gguf(name, "gpt2", pieces, types, merges=tok["model"]["merges"], pre=BYTE_FAMILIES[name][0], eos_token_id=ids[next(t for t in BYTE_FAMILIES[name][3] if t not in (bos, "<unk>"))], **keys)

    common = dict(byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, character_coverage=0.995, split_digits=True)
    lines = [s.replace("\0", " ") for s in corpus]
    sp, _ = learn_spm(lines, model_type="bpe", vocab_size=1100, **common)
    pieces = spm_pieces(sp)
    base_added = [added(0, "<unk>", True), added(1, "<s>", True), added(2, "</s>", True)]
    fuse = [BACK, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]
    legacy = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, REPLACE]}
    write_ref("llama2", spm_json(pieces, [], legacy, base_added, "<s>", None, fuse), strings, built)
    write_spm_ref("llama2", sp, strings)
    cols = list(zip(*pieces))
    write_gguf("llama2", "llama", list(cols[0]), list(cols[2]), scores=list(cols[1]), bos_token_id=1, eos_token_id=2, unk_token_id=0, add_bos_token=True)

    # Phi-3: the same, with added tokens that swallow the white space after them.
    phi = list(pieces) + [(t, 0.0, 3) for t in ("<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>")]
    tokens = base_added[:2] + [added(2, "</s>", False, rstrip=True)] + [added(len(pieces) + i, p[0], True, rstrip=i > 0) for i, p in enumerate(phi[len(pieces):])]
    tok = spm_json(pieces, [], legacy, tokens, "<s>", None, fuse)
    write_ref("phi3", tok, strings, built)
    cols = list(zip(*[(p, s, 4 if p == "</s>" else k) for p, s, k in phi]))
    write_gguf("phi3", "llama", list(cols[0]), list(cols[2]), scores=list(cols[1]), arch="phi3", bos_token_id=1, eos_token_id=len(pieces), unk_token_id=0, add_bos_token=True)

    user = ["\n\n", "\n\n\n", "\n" * 4, "▁▁", "▁▁▁", "▁▁▁▁", "▁" * 8, "\t\t"] + TAGS
    sp, _ = learn_spm(lines, model_type="bpe", vocab_size=1100, add_dummy_prefix=False, user_defined_symbols=user, control_symbols=["<start_of_turn>", "<end_of_turn>"],
                      pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", eos_piece="<eos>", bos_piece="<bos>", **common)
    pieces = [(p, s, 4 if p in user else k) for p, s, k in spm_pieces(sp)]
    tokens = [added(i, p, k in (2, 3)) for i, (p, s, k) in enumerate(pieces) if k in (2, 3, 4)]
    gemma = spm_json(pieces, user, REPLACE, tokens, "<bos>", None, [BACK, {"type": "ByteFallback"}, {"type": "Fuse"}],
                     {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False})
    write_ref("gemma", gemma, strings, built)
    write_spm_ref("gemma", sp, strings)
    cols = list(zip(*pieces))
    shown = [p.replace("▁", " ") if k == 4 else p for p, s, k in pieces]
    write_gguf("gemma", "llama", shown, list(cols[2]), scores=list(cols[1]), arch="gemma3", bos_token_id=2, eos_token_id=1, unk_token_id=3, pad_token_id=0,
               add_bos_token=True, add_space_prefix=False)

    # T5: unigram with nmt_nfkc rules and no bytes. The library's own rules are large: rules of our own keep the file small.
    rules = os.path.join(HERE, "rules.tsv")
    with open(rules, "w", encoding="utf-8") as f:
        seen = {}
        for c in list(range(0, 32)) + [0x7f, 0x200b, 0xfeff, 0xad]:
            if c != 0:
                seen[(c,)] = () if c not in (9, 10, 13) else (32,)
        for c in list(range(0xa0, 0x250)) + list(range(0x2000, 0x2070)) + list(range(0x2100, 0x2190)) + list(range(0x2460, 0x2500)) + list(range(0xfb00, 0xfb50)) + list(range(0xff00, 0xffef)):
            n = unicodedata.normalize("NFKC", chr(c))
            if n != chr(c):
                seen[(c,)] = tuple(map(ord, n))
        for b in "aeiounAEIOUN":
            for m in "\u0300\u0301\u0302\u0303\u0308":
                n = unicodedata.normalize("NFKC", b + m)
                if len(n) == 1:
                    seen[(ord(b), ord(m))] = (ord(n),)
        for k in sorted(seen):
            f.write(" ".join("%X" % c for c in k) + "\t" + " ".join("%X" % c for c in seen[k]) + "\n")
    for name, fallback in (("t5", False), ("t5-bytes", True)):
        sp, proto = learn_spm(lines, model_type="unigram", vocab_size=900, normalization_rule_tsv=rules, character_coverage=0.98, byte_fallback=fallback,
                              user_defined_symbols=["<sep>", "▁①", "word!"], pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>", unk_piece="<unk>")
        from sentencepiece import sentencepiece_model_pb2 as pb
        m = pb.ModelProto.FromString(proto)
        charsmap = m.normalizer_spec.precompiled_charsmap
        user = ["<sep>", "▁①", "word!"]
        pieces = [(p, s, 4 if p in user else k) for p, s, k in spm_pieces(sp)]
        import base64
        tokens = [added(0, "<pad>", True), added(1, "</s>", True), added(2, "<unk>", True, lstrip=True)] + ([added(3, "<sep>", False, single_word=True)] if pieces[3][0] == "<sep>" else [])
        tok = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens,
               "normalizer": {"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()},
                                                                  {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
               "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}]}
               if not fallback else {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False},
               "post_processor": template(None, "</s>", {"</s>": 1}), "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
               "model": {"type": "Unigram", "unk_id": 2, "vocab": [[p, s] for p, s, k in pieces], "byte_fallback": fallback}}
        write_ref(name, tok, strings, built)
        write_spm_ref(name, sp, strings)
        cols = list(zip(*pieces))
        write_gguf(name, "t5", list(cols[0]), list(cols[2]), scores=list(cols[1]), arch="t5", eos_token_id=1, unk_token_id=2, pad_token_id=0, add_bos_token=False, add_eos_token=True,
                   add_space_prefix=True, remove_extra_whitespaces=True, charsmap=charsmap)
    os.remove(rules)

    # Steps that no family above has, on one small model each.
    odd = {
        "odd-merged": (seq(split("[,.!?]", "MergedWithPrevious"), split("\\d+", "MergedWithNext"), {"type": "Split", "pattern": {"String": "--"}, "behavior": "Removed", "invert": False}), None),
        "odd-words": (seq({"type": "Whitespace"}, {"type": "Digits", "individual_digits": False}), {"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "Lowercase"}]}),
        "odd-punct": (seq({"type": "Punctuation", "behavior": "Contiguous"}, split("\\p{Lu}+", "Contiguous", True)), {"type": "Sequence", "normalizers": [{"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "NFD"}]}),
        "odd-empty": (seq(split("(?=\\d{3})|\\b"), {"type": "WhitespaceSplit"}), {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Replace", "pattern": {"Regex": "\\s*\\n"}, "content": "|"}]}),
        "odd-prefix": ({"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}, None),
    }
    chars = Tokenizer(models.BPE(unk_token="[UNK]"))
    chars.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=700, special_tokens=["[UNK]"], limit_alphabet=260, show_progress=False, max_token_length=10))
    m = json.loads(chars.to_str())["model"]
    for i, (name, (pre, norm)) in enumerate(odd.items()):
        byte = pre["type"] == "ByteLevel"
        model = dict(m, fuse_unk=i % 2 == 0) if not byte else dict(m, unk_token=None, vocab=base["vocab"], merges=base["merges"])
        n = len(model["vocab"])
        tokens = [] if byte else [added(0, "[UNK]", True)]
        tokens += [added(n, "<mask>", True, lstrip=True, rstrip=True), added(n + 1, "word!", False, single_word=True, normalized=True), added(n + 2, "[sep]", False, normalized=True, lstrip=True),
                   added(n + 3, "Éa", False, normalized=True)]
        write_ref(name, {"version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens, "normalizer": norm, "pre_tokenizer": pre, "post_processor": None,
                         "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True} if byte else None, "model": model}, strings, built)
    return strings, built


if __name__ == "__main__":
    strings, built = build()
    if len(sys.argv) == 4 and sys.argv[1] == "--show":
        s = strings[int(sys.argv[3])]
        ids, plain, text_ = reference(built[sys.argv[2]], [s])[0]
        t = Tokenizer.from_str(json.dumps(built[sys.argv[2]]))
        print(ascii(s), ids, [t.id_to_token(i) for i in ids], "plain", plain, text_, sep="\n")
    else:
        print(len(strings), "strings,", len(built), "tokenizers")
