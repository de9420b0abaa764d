#!/usr/bin/env python3
"""What the reference library learns, for test/prop/test_bpe_train.c. Needs `script/venv.sh tokenizers`.

    .cache/venv-tokenizers/bin/python test/golden/bpe_train.py     writes test/golden/bpe/

  random.txt        a line a made-up corpus: its seed and the SHA-256 of the tokenizer.json that Tokenizer.save() writes
                    after learning from it. texts() below and in the test make the same corpora.
  PATTERN.sha256    the same after learning from test/golden/tok/strings.bin
  PATTERN.ref       for each of those strings: u32 hash of its ids with special tokens read, u32 hash of the ids with
                    special tokens left as text, u32 hash of the first ids decoded. FNV-1a 64, the halves xored.
"""
import hashlib
import json
import os
import struct

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "bpe")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
N_RANDOM = 600

CL = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
FRONT = r"[^\r\n\p{L}\p{N}]?"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
REST = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
OTHER = r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
PATTERNS = {
    "gpt2": None,
    "llama3": CL + "|" + FRONT + r"\p{L}+|\p{N}{1,3}" + OTHER + REST,
    "qwen2": CL + "|" + FRONT + r"\p{L}+|\p{N}" + OTHER + REST,
    "gpt4o": (FRONT + UPPER + "*" + LOWER + "+" + CL + "?|" + FRONT + UPPER + "+" + LOWER + "*" + CL
              + r"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + REST),
}


def learn(texts, pattern, vocab, min_count, piece_max=None):
    t = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel
    t.pre_tokenizer = level(add_prefix_space=False) if pattern == "gpt2" else pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PATTERNS[pattern]), "isolated"), level(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    limit = {} if piece_max is None else {"max_token_length": piece_max + 1}  # the library's limit is exclusive
    t.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocab, min_frequency=min_count, initial_alphabet=level.alphabet(), special_tokens=SPECIAL,
        show_progress=False, **limit))
    return t


def digest(t):
    return hashlib.sha256(t.to_str(pretty=True).encode()).hexdigest()


# ---- made-up corpora; test/prop/test_bpe_train.c makes the same ----

ALPHABETS = ["a", "ab", "abc", "ab'sS", "etaoinsh", "aé", "日本語", "xyz019 \n", "aB \t", "ab\r\n",
             "".join(chr(c) for c in range(0x80)), "".join(chr(c) for c in range(0x250))]


def texts(seed):
    """pattern, vocabulary, least count, longest piece, texts"""
    state = seed

    def draw(n):
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (state >> 33) % n

    pattern = list(PATTERNS)[draw(4)]
    vocab = [260, 300, 400, 700, 1500][draw(5)]
    min_count = 1 + draw(3)
    piece_max = [None, None, 2, 3, 5, 9][draw(6)]
    alphabet = ALPHABETS[draw(len(ALPHABETS))]
    out = []
    for _ in range(1 + draw(6)):
        n = draw([20, 200, 1500][draw(3)])
        out.append("".join(" " if draw(8) == 0 else alphabet[draw(len(alphabet))] for _ in range(n)))
    return pattern, vocab, min_count, piece_max, out


# ---- nasty strings ----

def fnv(data):
    h = 0xcbf29ce484222325
    for b in data:
        h = ((h ^ b) * 0x100000001b3) & 0xffffffffffffffff
    return (h ^ h >> 32) & 0xffffffff


def fnv_ids(ids):
    return fnv(b"".join(struct.pack("<I", i) for i in ids))


def nasty():
    with open(os.path.join(HERE, "tok", "strings.bin"), "rb") as f:
        data = f.read()
    at, out = 4, []
    for _ in range(struct.unpack_from("<I", data)[0]):
        n = struct.unpack_from("<I", data, at)[0]
        out.append(data[at + 4:at + 4 + n].decode())
        at += 4 + n
    return out


def main():
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, "random.txt"), "w") as f:
        for seed in range(N_RANDOM):
            pattern, vocab, min_count, piece_max, some = texts(seed)
            if any(some):
                f.write("%d %s\n" % (seed, digest(learn(some, pattern, vocab, min_count, piece_max))))
    strings = nasty()
    for pattern in PATTERNS:
        t = learn(strings, pattern, 1200, 2)
        with open(os.path.join(OUT, pattern + ".sha256"), "w") as f:
            f.write(digest(t) + "\n")
        with open(os.path.join(OUT, pattern + ".ref"), "wb") as f:
            for s in strings:
                t.encode_special_tokens = False
                ids = t.encode(s).ids
                t.encode_special_tokens = True
                plain = t.encode(s).ids
                text = t.decode(ids, skip_special_tokens=False).encode()
                f.write(struct.pack("<III", fnv_ids(ids), fnv_ids(plain), fnv(text)))
        print(pattern, json.loads(t.to_str())["model"]["merges"][-1], len(strings), "strings")


if __name__ == "__main__":
    main()
