#!/usr/bin/env python3
"""loam convert and loam quantize with the real program: the same logits there and back, refusals, no debris. TAP."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import ROOT, Fail, case, loam, main, tmp  # noqa: E402

MODELS = os.path.join(ROOT, "test", "golden", "models")
IDS = "3,5,7,9,11,2"


def digest(path):
    return loam("logits", path, "--ids", IDS).stderr.strip().split("\n")[-1]


def out(name):
    return os.path.join(tmp(), name)


@case("folder -> GGUF -> folder -> GGUF: the same logits, the same files")
def _():
    for name in ("llama", "gemma3", "phi3", "olmo3"):
        folder = os.path.join(MODELS, name)
        want = digest(folder)
        loam("convert", folder, out(name + ".gguf"))
        loam("convert", out(name + ".gguf"), out(name))
        loam("convert", out(name), out(name + "-again.gguf"))
        for path in (name + ".gguf", name, name + "-again.gguf"):
            if digest(out(path)) != want:
                raise Fail("%s: other logits" % path)


def with_rope(name, model, **rope):
    """A folder with the weights of a golden model and other rotary parameters."""
    os.mkdir(out(name))
    with open(os.path.join(MODELS, model, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    config["rope_parameters"] = dict(config["rope_parameters"], **rope)
    with open(os.path.join(out(name), "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f)
    os.symlink(os.path.join(MODELS, model, "model.safetensors"), os.path.join(out(name), "model.safetensors"))
    return out(name)


@case("rotary numbers that binary32 does not hold: the same logits where a file can give them, else it is told")
def _():
    for i, (said, rope) in enumerate([
            (False, {"factor": 2.0, "mscale": 0.7, "mscale_all_dim": 0.9}),
            (False, {"factor": 4.0, "attention_factor": 0.93}),
            (False, {"factor": 4.0}),
            (True, {"rope_type": "linear", "factor": 3.3})]):
        folder = with_rope("rope%d" % i, "qwen3-yarn", **rope)
        told = "rounds them" in loam("convert", folder, out("rope%d.gguf" % i)).stderr
        if told != said or (not told and digest(out("rope%d.gguf" % i)) != digest(folder)):
            raise Fail("%s: told %s, digests %s %s" % (rope, told, digest(folder), digest(out("rope%d.gguf" % i))))


@case("--type: binary32 of bfloat16 loses nothing")
def _():
    folder = os.path.join(MODELS, "llama")
    loam("convert", folder, out("wide.gguf"), "--type", "F32")
    assert digest(out("wide.gguf")) == digest(folder)
    assert "F32" in loam("show", out("wide.gguf")).stdout


@case("what is there is not replaced, unless one asks; nothing is left over")
def _():
    folder = os.path.join(MODELS, "llama")
    before = sorted(os.listdir(tmp()))
    run = loam("convert", folder, out("wide.gguf"), want=2)
    assert "is there already (--force replaces it)" in run.stderr, run.stderr
    loam("convert", folder, out("wide.gguf"), "--force")
    run = loam("convert", os.path.join(MODELS, "mistral"), out("no.gguf"), want=1)
    assert "cannot say that its attention has a sliding window" in run.stderr, run.stderr
    loam("convert", os.path.join(MODELS, "quant", "mixed.gguf"), out("no"), want=1)  # its vocabulary is broken
    assert sorted(os.listdir(tmp())) == before


@case("quantize: every type opens again; Q8_0 stays near; a wrong type is named")
def _():
    model = os.path.join(MODELS, "quant", "mixed.gguf")
    loam("convert", model, out("f32.gguf"), "--type", "F32")
    sizes = []
    for kind in ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K", "Q4_0", "Q5_1"):
        loam("quantize", out("f32.gguf"), out(kind + ".gguf"), kind)
        digest(out(kind + ".gguf"))
        sizes.append(os.path.getsize(out(kind + ".gguf")))
    assert sizes[:6] == sorted(sizes[:6], reverse=True), sizes
    values = [[float(x) for x in loam("logits", out(n), "--ids", IDS).stdout.split()]
              for n in ("f32.gguf", "Q8_0.gguf")]
    far = max(abs(a - b) for a, b in zip(*values)) / max(abs(a) for a in values[0])
    assert far < 0.05, far
    again = loam("quantize", model, out("again.gguf"), "Q4_K_M")
    assert "is quantised already" in again.stderr
    assert "no type \"Q9\"" in loam("quantize", model, out("no.gguf"), "Q9", want=2).stderr


main()
