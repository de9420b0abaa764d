"""A model whose answers are known: each token has one successor, whatever stands before it. For tests of what a server makes
of an answer. Its layers add nothing, its embeddings are signs drawn at random, and the row of the output matrix that
belongs to a token is the embedding of the token that it follows."""
import json
import os
import random
import struct

import _tiny

FIRST_WORD = 140  # of the tokens that are whole words


def bf16(values):
    return struct.pack("<%dH" % len(values), *(struct.unpack("<I", struct.pack("<f", x))[0] >> 16 for x in values))


def rewrite(path, fill):
    """fill(name, shape): new values of a tensor, or None."""
    with open(path, "rb") as f:
        data = bytearray(f.read())
    n = struct.unpack("<Q", data[:8])[0]
    for name, t in json.loads(data[8:8 + n]).items():
        values = None if name == "__metadata__" else fill(name, t["shape"])
        if values is not None:
            data[8 + n + t["data_offsets"][0]:8 + n + t["data_offsets"][1]] = bf16(values)
    with open(path, "wb") as f:
        f.write(data)


def add_words(folder, words):
    """Tokens of several characters in the place of the vocabulary's last bytes. Returns ids by text."""
    path = os.path.join(folder, "tokenizer.json")
    with open(path) as f:
        t = json.load(f)
    vocab = {c: i for c, i in t["model"]["vocab"].items() if i < FIRST_WORD}
    vocab.update({w: FIRST_WORD + i for i, w in enumerate(words)})
    vocab.update({"\ue000%d" % i: i for i in range(FIRST_WORD + len(words), _tiny.VOCAB)})
    t["model"]["vocab"] = vocab
    t["added_tokens"] += [dict(id=FIRST_WORD + i, content=w, single_word=False, lstrip=False, rstrip=False, normalized=False,
                               special=False) for i, w in enumerate(words)]
    with open(path, "w") as f:
        json.dump(t, f)
    return vocab


def make_model(folder, chain, template):
    """chain: texts of tokens, each followed by the next; of one character, a word, or a control token."""
    _tiny.make_model(folder)
    words = list(dict.fromkeys(w for w in chain if len(w) > 1 and w not in _tiny.CONTROL))
    ids = add_words(folder, words)
    chain = [ids[w if len(w) > 1 else _tiny.byte_character(ord(w))] for w in chain]
    signs = random.Random(1)
    embedding = None

    def fill(name, shape):
        nonlocal embedding
        if name == "model.embed_tokens.weight":
            embedding = embedding or [[signs.choice((-1.0, 1.0)) for _ in range(shape[1])] for _ in range(shape[0])]
            return [x for row in embedding for x in row]
        if name == "lm_head.weight":
            embedding = embedding or [[signs.choice((-1.0, 1.0)) for _ in range(shape[1])] for _ in range(shape[0])]
            rows = [[0.0] * shape[1] for _ in range(shape[0])]
            for before, after in zip(chain, chain[1:]):
                rows[after] = [a + b for a, b in zip(rows[after], embedding[before])]
            return [x for row in rows for x in row]
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            return [0.0] * (shape[0] * shape[1])
        return [1.0] * shape[0] if name == "model.norm.weight" else None

    rewrite(os.path.join(folder, "model.safetensors"), fill)
    with open(os.path.join(folder, "chat_template.jinja"), "w") as f:
        f.write(template)
