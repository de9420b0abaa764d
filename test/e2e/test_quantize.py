#!/usr/bin/env python3
"""loam quantize and loam imatrix with the real program: the bytes of llama.cpp's quantiser for whole models, with and
without importances in either form; importances from a text; the table of what is lost; refusals. TAP."""
import json
import math
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import ROOT, Fail, case, loam, main, tmp  # noqa: E402
import _gguf  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, "test/golden"))
from quantise_model import COUNT, MODELS, digest, importances  # noqa: E402

HOMEWORLD = os.path.join(ROOT, "models/homeworld/model.gguf")


def out(name):
    return os.path.join(tmp(), name)


def wide(model):
    """The model in F32, made once."""
    path = out(model + "-f32.gguf")
    if not os.path.exists(path):
        loam("convert", os.path.join(ROOT, MODELS[model]), path, "--type", "F32")
    return path


def text_file():
    """A text like those that homeworld learned from."""
    path = out("text.txt")
    if not os.path.exists(path):
        lines = loam("corpus", "homeworld", "--docs", 60, "--seed", 5).stdout.splitlines()
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n\n".join(json.loads(line)["text"] for line in lines))
    return path


# ---- importance matrices, as llama.cpp writes them ----

def key(name, kind, value):
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", kind) + value


def write_imatrix(path, sums):
    tensors = []
    for name, values in sorted(sums.items()):
        tensors.append((name + ".in_sum2", "F32", [len(values), 1], struct.pack("<%df" % len(values), *values)))
        tensors.append((name + ".counts", "F32", [1, 1], struct.pack("<f", COUNT)))
    keys = [key("general.type", 8, struct.pack("<Q", 7) + b"imatrix"),
            key("imatrix.datasets", 9, struct.pack("<IQQ", 8, 1, 4) + b"wiki"),
            key("imatrix.chunk_count", 4, struct.pack("<I", 1)), key("imatrix.chunk_size", 4, struct.pack("<I", COUNT))]
    _gguf.write(path, struct.pack("<Q", len(keys)) + b"".join(keys), tensors)
    return path


def write_old(path, sums):
    """The older form keeps sums over calls of the mean squares: here 4 calls."""
    with open(path, "wb") as f:
        f.write(struct.pack("<i", len(sums)))
        for name, values in sorted(sums.items()):
            f.write(struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", 4, len(values)))
            f.write(struct.pack("<%df" % len(values), *(v / COUNT * 4 for v in values)))
        f.write(struct.pack("<ii", 1, 4) + b"wiki")
    return path


def golden():
    with open(os.path.join(ROOT, "test/golden/quantise_model.txt")) as f:
        return [line.split() for line in f]


def check_model(model):
    sums = importances(_gguf.read(wide(model))[1])
    importance = write_imatrix(out(model + "-imatrix.gguf"), sums)
    old = write_old(out(model + "-imatrix.dat"), sums)
    path, n = out("quantised.gguf"), 0
    for name, kind, how, want in golden():
        if name != model:
            continue
        files = {"none": [None], "imatrix": [importance, old][:2 if kind in ("Q4_0", "Q4_K_M", "Q2_K_S") else 1]}[how]
        for file in files:
            loam("quantize", wide(model), path, kind, "--force", *(["--imatrix", file] if file else []))
            if digest(path) != want:
                raise Fail("%s, %s, %s: other bytes than llama.cpp's" % (kind, how, file))
            n += 1
    assert n == 38, n


@case("whole models: every type has llama.cpp's bytes, with and without importances (wide rows)")
def _():
    check_model("mixed")


@case("whole models: the same where rows do not fit super-blocks (homeworld)")
def _():
    check_model("homeworld")


main()
