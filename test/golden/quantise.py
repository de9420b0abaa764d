#!/usr/bin/env python3
"""Writes test/golden/quantise.txt: what llama.cpp's library makes of rows of floats, for test/unit/test_quantise.c.

    python3 test/golden/quantise.py "$(script/peer.sh | tail -1)"

The folder holds libggml-base.so; nothing else is needed. A line is

    TYPE KIND WEIGHTS SHA-256

of the blocks of ROWS rows of COLS floats. Row r of a kind and its importances come from row() and importance(), which
test_quantise.c has too: whole numbers from a generator, then exact steps in binary64 and one rounding to binary32.
"""
import ctypes
import hashlib
import os
import struct
import sys

ROWS, COLS = 24, 1024
TYPES = {"F16": 1, "BF16": 30, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8,
         "Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14}
KINDS = ["normal", "uniform", "outliers", "sparse", "positive", "negative", "ties", "equal", "tiny", "zero"]
WEIGHTS = ["none", "ones", "random", "gaps"]
MASK = (1 << 64) - 1


class Random:
    """xorshift64*: 32 bits at a time."""

    def __init__(self, seed):
        self.s = (seed * 0x9E3779B97F4A7C15 + 1) & MASK

    def next(self):
        self.s ^= self.s >> 12
        self.s = (self.s ^ self.s << 25) & MASK
        self.s ^= self.s >> 27
        return (self.s * 0x2545F4914F6CDD1D & MASK) >> 32


def bell(r):
    """Eight bytes' sum twice over, centred: near to normal, a standard deviation of 295."""
    a, b = r.next(), r.next()
    return sum(a >> s & 255 for s in (0, 8, 16, 24)) + sum(b >> s & 255 for s in (0, 8, 16, 24)) - 1020


def row(kind, i):
    r = Random(1 + 1000 * KINDS.index(kind) + i)
    scale = (1 + i % 7 / 8.0) * 2.0 ** (i % 11 - 14)
    out = []
    for j in range(COLS):
        x = bell(r)
        u = r.next()
        if kind == "uniform":
            x = u % 4001 - 2000
        elif kind == "outliers":
            x = x * 40 if u % 61 == 0 else x
        elif kind == "sparse":
            x = x if u % 5 == 0 or j // 32 % 3 == 0 else 0
        elif kind == "positive":
            x = abs(x) + 300
        elif kind == "negative":
            x = -abs(x)
        elif kind == "ties":
            x = (u % 33 - 16) * 128
        elif kind == "equal":
            x = 100 * (i - 12)
        elif kind == "tiny":
            x = x * 2.0 ** -30
        elif kind == "zero":
            x = 0 if j // 256 % 2 else x
        out.append(x * scale)
    return out


def importance(weights, i):
    r = Random(77 + i)
    out = []
    for j in range(COLS):
        u = r.next()
        w = {"ones": 1.0, "random": (u % 100000 + 1) / 1024.0, "gaps": 0.0 if u % 4 == 0 else u % 1000 / 64.0}[weights]
        out.append(w)
    return out


def main():
    lib = ctypes.CDLL(os.path.join(sys.argv[1], "libggml-base.so"))
    quantize = lib.ggml_quantize_chunk
    quantize.restype = ctypes.c_size_t
    quantize.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    lines = []
    for name, number in TYPES.items():
        for kind in KINDS:
            rows = [struct.pack("<%df" % COLS, *row(kind, i)) for i in range(ROWS)]
            for weights in WEIGHTS if name.startswith("Q") else WEIGHTS[:1]:
                h = hashlib.sha256()
                for i in range(ROWS):
                    w = None if weights == "none" else struct.pack("<%df" % COLS, *importance(weights, i))
                    out = ctypes.create_string_buffer(4 * COLS)
                    n = quantize(number, rows[i], out, 0, 1, COLS, w)
                    h.update(out.raw[:n])
                lines.append("%s %s %s %s\n" % (name, kind, weights, h.hexdigest()))
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "quantise.txt"), "w") as f:
        f.writelines(lines)


main()
