#!/usr/bin/env python3
"""Writes test/golden/quantise_model.txt: what llama.cpp's quantiser makes of whole models, for test/e2e/test_quantize.py.

    python3 test/golden/quantise_model.py "$(script/peer.sh | tail -1)"

The models are shipped ones in F32: quant/mixed.gguf, widened by `loam convert`, and homeworld. A line is

    MODEL TYPE none|imatrix SHA-256

of all tensors, by name: name, format, dims and bytes. Q2_K_S is refused without importances. The importances are
importance() here; a column in five is 0, and so is a whole block.
"""
import hashlib
import os
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "test/e2e")]
import _gguf  # noqa: E402
from mix import TYPES, Llama  # noqa: E402

MODELS = {"mixed": "test/golden/models/quant/mixed.gguf", "homeworld": "models/homeworld/model.gguf"}
MASK = (1 << 64) - 1


def importance(name, n):
    """n sums of squares over COUNT positions: whole numbers from a generator that begins with the name."""
    state = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") | 1
    out = []
    for i in range(n):
        state = (state * 6364136223846793005 + 1442695040888963407) & MASK
        u = state >> 40
        out.append(0.0 if u % 5 == 0 or 32 <= i < 64 else float(u % 65536 + 1))
    return out


COUNT = 48  # positions


def importances(tensors):
    """{name: sums} of the matrices that llama.cpp's tool would see."""
    return {name: importance(name, dims[0]) for name, _, dims, _ in tensors if len(dims) == 2 and name.startswith("blk.")}


def key(name, kind, value):
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", kind) + value


def write_imatrix(path, sums, count=COUNT):
    """As llama.cpp's tool writes it."""
    tensors = []
    for name, values in sorted(sums.items()):
        tensors.append((name + ".in_sum2", "F32", [len(values), 1], struct.pack("<%df" % len(values), *values)))
        tensors.append((name + ".counts", "F32", [1, 1], struct.pack("<f", count)))
    keys = [key("general.type", 8, struct.pack("<Q", 7) + b"imatrix"),
            key("imatrix.datasets", 9, struct.pack("<IQQ", 8, 1, 4) + b"wiki"),
            key("imatrix.chunk_count", 4, struct.pack("<I", 1)), key("imatrix.chunk_size", 4, struct.pack("<I", count))]
    _gguf.write(path, struct.pack("<Q", len(keys)) + b"".join(keys), tensors)
    return path


def digest(path):
    h = hashlib.sha256()
    for name, kind, dims, raw in sorted(_gguf.read(path)[1]):
        h.update(("%s %s %s\n" % (name, kind, dims)).encode() + raw)
    return h.hexdigest()


def main():
    llama, lines = Llama(sys.argv[1]), []
    program = os.environ.get("LOAM_BIN", os.path.join(ROOT, "build/loam"))
    with tempfile.TemporaryDirectory() as tmp:
        for model, path in MODELS.items():
            source, out = os.path.join(tmp, model + ".gguf"), os.path.join(tmp, "out.gguf")
            subprocess.run([program, "convert", os.path.join(ROOT, path), source, "--type", "F32"], check=True)
            means = {n: [x / COUNT for x in v] for n, v in importances(_gguf.read(source)[1]).items()}
            for name, number in TYPES.items():
                for how in ("none", "imatrix"):
                    if name != "Q2_K_S" or how == "imatrix":
                        llama.quantise(source, out, number, means if how == "imatrix" else None)
                        lines.append("%s %s %s %s\n" % (model, name, how, digest(out)))
    with open(os.path.join(HERE, "quantise_model.txt"), "w") as f:
        f.writelines(lines)


if __name__ == "__main__":
    main()
