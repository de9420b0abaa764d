#!/usr/bin/env python3
"""Tiny random models of every family give transformers' logits, from the folder and from the GGUF form.

test/golden/models holds the models and what transformers says of them (test/golden/models.py made both). For each:
  * logits after each prefix of 64 ids: max|a - b| <= 1e-4 max|b|, with the weights as stored (F32, F16, BF16: exact);
  * the same bits token by token and in chunks of 7 as in one chunk, and with --all;
  * greedy decoding appends the same ids;
  * the GGUF form, made here by test/golden/gguf_convert.py, passes the same.
The rotary factors of LongRoPE depend on the planned context, so --ctx is the length of the prefix.
"""
import hashlib
import json
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import ROOT, Fail, add, loam, main, tmp  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, "test", "golden"))
import gguf_convert  # noqa: E402

MODELS = os.path.join(ROOT, "test", "golden", "models")
TOLERANCE = 1e-4


class Ref:
    """A ref.bin; its layout stands in test/golden/models.py."""

    def __init__(self, path):
        with open(path, "rb") as f:
            data = f.read()
        assert data[:8] == b"LOAMREF1", path
        n_ids, self.vocab, n_prefixes, n_greedy = struct.unpack_from("<4i", data, 8)
        ints = struct.unpack_from("<%di" % (n_ids + n_prefixes + n_greedy), data, 24)
        self.ids = ints[:n_ids]
        self.prefixes = ints[n_ids:n_ids + n_prefixes]
        self.greedy = ints[n_ids + n_prefixes:]
        rows = struct.unpack_from("<%df" % (n_prefixes * self.vocab), data, 24 + 4 * len(ints))
        self.logits = [rows[i:i + self.vocab] for i in range(0, len(rows), self.vocab)]


def logits(path, ids, *options, ctx=None):
    """(values, digest); the digest that is printed must be that of the values."""
    run = loam("logits", path, "--ids", ",".join(map(str, ids)), "--ctx", ctx or len(ids), *options)
    values = [float(x) for x in run.stdout.split()]
    digest = hashlib.sha256(struct.pack("<%df" % len(values), *values)).hexdigest()
    if digest not in run.stderr:
        raise Fail("the SHA-256 on stderr is not that of the logits (%s): %s" % (digest, run.stderr.strip()))
    return values, digest


def distance(a, b):
    if len(a) != len(b):
        raise Fail("%d logits instead of %d" % (len(a), len(b)))
    worst = max(abs(x - y) for x, y in zip(a, b))
    return worst / max(abs(y) for y in b) if worst == worst else float("inf")


def check_prefixes(path, ref, options, tolerance):
    bad = []
    for n, want in zip(ref.prefixes, ref.logits):
        far = distance(logits(path, ref.ids[:n], *options)[0], want)
        if not far <= tolerance:
            bad.append("after %d ids: relative error %.2e" % (n, far))
    if bad:
        raise Fail("\n".join(bad + ["allowed: %.0e" % tolerance]))


def check_chunks(path, ref, options):
    n = len(ref.ids)
    _, whole = logits(path, ref.ids, *options)
    for chunk in (1, 7, 16, 33):
        if logits(path, ref.ids, "--chunk", chunk, *options)[1] != whole:
            raise Fail("--chunk %d gives other bits than one chunk of %d" % (chunk, n))
    rows, _ = logits(path, ref.ids, "--all", *options)
    for m in ref.prefixes:
        row = rows[(m - 1) * ref.vocab:m * ref.vocab]
        if row != logits(path, ref.ids[:m], *options, ctx=n)[0]:
            raise Fail("--all gives other bits at position %d than the ids up to it" % m)


def check_greedy(path, ref, options):
    ids = list(ref.ids)
    for want in ref.greedy:
        row, _ = logits(path, ids, "--chunk", 1, *options)
        ids.append(max(range(len(row)), key=lambda i: (row[i], -i)))
        if ids[-1] != want:
            raise Fail("position %d: id %d instead of %d" % (len(ids) - 1, ids[-1], want))


def add_model(what, path, ref_path, options=(), make=None, tolerance=TOLERANCE):
    def ready(check, *more):
        def run():
            if make and not os.path.exists(path):
                make(path)
            check(path, Ref(ref_path), options, *more)
        return run
    add("%s: logits of every prefix" % what, ready(check_prefixes, tolerance))
    add("%s: chunks and single tokens, the same bits" % what, ready(check_chunks))
    add("%s: greedy decoding" % what, ready(check_greedy))


def digests(path, quant):
    """Of the tensors of quant/blocks.gguf, as `loam logits` cannot give them: the file's own golden sums."""
    with open(path, "rb") as f:
        if hashlib.sha256(f.read()).hexdigest() != quant[os.path.basename(path)]:
            raise Fail("%s is not the file that models.py wrote" % path)


with open(os.path.join(MODELS, "models.json")) as f:
    INDEX = json.load(f)
for line in INDEX["models"]:
    folder = os.path.join(MODELS, line["name"])
    add_model(line["name"], folder, os.path.join(folder, "ref.bin"))
    if line["gguf"]:
        add_model(line["name"] + ".gguf", os.path.join(tmp(), line["name"] + ".gguf"),
                  os.path.join(MODELS, line["gguf"], "ref.bin"),
                  make=lambda path, folder=folder: gguf_convert.convert(folder, path))
if "quant" in INDEX:
    quant = os.path.join(MODELS, "quant")
    for name in ("blocks.gguf", "mixed.gguf"):
        add("quant/%s is as it was made" % name, lambda name=name: digests(os.path.join(quant, name), INDEX["quant"]))
    add_model("quant/mixed.gguf dequantised", os.path.join(quant, "mixed.gguf"), os.path.join(quant, "ref.bin"),
              options=("--weights", "f32"))
    # Activations in 8 bits: the logits move, but stay near (measured when the file was made; see INDEX["quant"]).
    add("quant/mixed.gguf as stored: near", lambda: check_prefixes(
        os.path.join(quant, "mixed.gguf"), Ref(os.path.join(quant, "ref.bin")), (), 0.08))
    add("quant/mixed.gguf as stored: chunks and single tokens, the same bits", lambda: check_chunks(
        os.path.join(quant, "mixed.gguf"), Ref(os.path.join(quant, "ref.bin")), ()))
main()
