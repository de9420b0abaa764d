#!/usr/bin/env python3
"""loam tokenizer train: the same file from data sets, JSON Lines and any threads; a tokenizer that the other commands
read; what is refused. Prints TAP.
"""
import hashlib
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import case, loam, main, tmp  # noqa: E402

DIR = tmp()
LINES = os.path.join(DIR, "hw.jsonl")
SMALL = ["--vocab", "600"]


def path(name, contents=None):
    p = os.path.join(DIR, name)
    if contents is not None:
        with open(p, "wb") as f:
            f.write(contents)
    return p


def train(*args, want=0):
    return loam("tokenizer", "train", *args, want=want)


def digest(name):
    with open(name, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


with open(LINES, "w") as out:
    out.write(loam("corpus", "homeworld", "--docs", "300", "--seed", "5").stdout)
MADE = path("made")


@case("a folder with both files, which the other commands read")
def _():
    r = json.loads(train(LINES, MADE, *SMALL, "--json").stdout)
    assert r["pieces"] == 600 and r["merges"] == 600 - 259 and r["texts"] == 300
    assert r["digest"] == digest(os.path.join(MADE, "tokenizer.json"))
    assert sorted(os.listdir(MADE)) == ["tokenizer.json", "tokenizer_config.json"]
    text = "The robot is in the kitchen. <|im_start|> naïve 世界\n"
    ids = loam("tokenize", MADE, text).stdout.split()
    assert len(ids) < len(text.encode()) and min(map(int, ids)) >= 3, ids
    assert loam("detokenize", MADE, *ids).stdout.rstrip("\n") == text.rstrip("\n")
    assert loam("tokenize", MADE, "--special", "<|endoftext|><|im_start|><|im_end|>").stdout == "0 1 2\n"
    with open(os.path.join(MADE, "tokenizer_config.json")) as f:
        config = json.load(f)
    assert config["eos_token"] == "<|endoftext|>" and "<|im_end|>" in config["chat_template"]


@case("the same bytes with any threads, from a data set, and again over the old file")
def _():
    want = digest(os.path.join(MADE, "tokenizer.json"))
    for threads in (1, 2, 3, 8):
        train(LINES, path("t.json"), *SMALL, "--threads", threads)
        assert digest(path("t.json")) == want, threads
    loam("data", "build", path("hw.db"), LINES)
    train(path("hw.db"), path("t.json"), *SMALL)
    assert digest(path("t.json")) == want


@case("the digest of a fixed corpus, the same on every machine")
def _():
    text = b"".join(b"%d the %d cats' %x\tran home; it's late.\r\n" % (i, i * i % 997, i * 7919) for i in range(3000))
    got = {p: json.loads(train(path("f.txt", text), path("f.json"), "--vocab", "400", "--pattern", p, "--json").stdout)
           ["digest"] for p in ("gpt2", "llama3", "qwen2", "gpt4o")}
    assert got == DIGESTS, got


# What the reference library writes after learning from the same text (learn() of test/golden/bpe_train.py).
DIGESTS = {
    "gpt2": "3ea71ec5a2b7117eb9849de1434a36eaaaf608e88924e9126ad709aab9a696a2",
    "llama3": "3f2e26a45c67d6efb2c474a93f7ee7bca5c0b34638919cfeec1184b405fe9b23",
    "qwen2": "bf129992846f0025bce98401421fd18f6c40a0beda4d48b8eed3dc440a819ae3",
    "gpt4o": "ed455392fb6f8deff3460156b7894145f5a91ff8ecd785640d467e212371b3d9",
}


@case("further special tokens, patterns, limits")
def _():
    train(LINES, path("s.json"), "--vocab", "400", "--special", "<think>", "--special", "</think>", "--pattern", "gpt2",
          "--max-piece", "4")
    with open(path("s.json")) as f:
        j = json.load(f)
    assert [t["content"] for t in j["added_tokens"]][3:] == ["<think>", "</think>"]
    assert j["pre_tokenizer"]["use_regex"] and len(j["model"]["vocab"]) == 400
    assert max(len(p) for p, i in j["model"]["vocab"].items() if i >= 5) == 4


@case("too large a vocabulary says how many pieces there are")
def _():
    few = path("few.txt", b"abab abab abab")
    r = train(few, path("few.json"), "--vocab", "8192", want=1)
    assert "a vocabulary of 8192 is more than these texts have" in r.stderr and "there are 262 pieces" in r.stderr, r.stderr
    assert not os.path.exists(path("few.json"))
    assert "pieces  262, 3 merges" in train(few, path("few.json"), "--vocab", "8192", "--allow-fewer").stdout
    train(few, path("few.json"), "--vocab", "262")
    train(few, path("few.json"), "--vocab", "263", want=1)


@case("data that are none: one line that says what to do")
def _():
    def refused(status, words, *args):
        r = train(*args, want=status)
        assert words in r.stderr and r.stderr.count("\n") == 1 and not r.stdout, r.stderr
    out = path("no.json")
    refused(1, "no text to learn from", path("empty.txt", b""), out)
    refused(1, "byte 3 is a NUL", path("binary.txt", b"abc\0def"), out)
    refused(1, "is compressed", path("x.gz", b"\x1f\x8b\x08abc"), out)
    refused(1, "bad.jsonl:2: ", path("bad.jsonl", b'{"text":"a"}\n{"tex":"b"}\n'), out)
    refused(1, "bad.jsonl:1: ", path("bad.jsonl", b'"text"\n'), out)
    refused(2, "is a folder", DIR, out)
    refused(1, "nosuch", path("nosuch"), out)
    refused(2, "is not a data set", LINES, out, "--where", "bytes > 3")
    refused(2, "--vocab", LINES, out, "--vocab", "200")
    refused(2, "given twice", LINES, out, "--special", "<|im_end|>")
    os.makedirs(path("model"), exist_ok=True)
    path("model/config.json", b"{}")
    refused(2, "holds a model", LINES, path("model"))
    assert not os.path.exists(out)
    r = train(path("ill.txt", b"ab\xffab " * 50), out, "--vocab", "261")
    assert "50 bytes are not UTF-8" in r.stderr


main()
