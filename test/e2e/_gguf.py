"""GGUF files as lists of tensors, every format dequantised to floats, with nothing but the standard library.

    keys, tensors = read("model.gguf")          keys: the bytes of the metadata as they stand; (name, type, dims, bytes)
    write("f32.gguf", keys, widen(tensors))     the same model with every matrix in F32

Written from the GGUF specification and the block layouts that ggml's documentation gives; slow and plain on purpose, as
a second opinion on src/kern/dequant.c. Products are rounded to binary32 where that file's contract rounds them.
"""
import struct

ALIGNMENT = 32
# name: (ggml type, values in a block, bytes of a block)
TYPES = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20), "Q5_0": (6, 32, 22),
         "Q5_1": (7, 32, 24), "Q8_0": (8, 32, 34), "Q2_K": (10, 256, 84), "Q3_K": (11, 256, 110),
         "Q4_K": (12, 256, 144), "Q5_K": (13, 256, 176), "Q6_K": (14, 256, 210), "BF16": (30, 1, 2)}
NAMES = {number: name for name, (number, _, _) in TYPES.items()}
SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def f32(x):
    """Rounded to binary32."""
    return struct.unpack("<f", struct.pack("<f", x))[0]


def half(block, at):
    return struct.unpack_from("<e", block, at)[0]


# ---- blocks to values ----

def f32_values(b):
    return struct.unpack("<f", b)


def f16_values(b):
    return struct.unpack("<e", b)


def bf16_values(b):
    return struct.unpack("<f", b"\0\0" + b)


def nibbles(b):
    return [x & 15 for x in b] + [x >> 4 for x in b]


def q4_0(b):
    d = half(b, 0)
    return [d * (q - 8) for q in nibbles(b[2:])]


def q4_1(b):
    d, m = half(b, 0), half(b, 2)
    return [f32(d * q) + m for q in nibbles(b[4:])]


def fifth_bits(word):
    return [word >> i & 1 for i in range(32)]


def q5_0(b):
    d, high = half(b, 0), fifth_bits(struct.unpack_from("<I", b, 2)[0])
    return [d * ((q | h << 4) - 16) for q, h in zip(nibbles(b[6:]), high)]


def q5_1(b):
    d, m, high = half(b, 0), half(b, 2), fifth_bits(struct.unpack_from("<I", b, 4)[0])
    return [f32(d * (q | h << 4)) + m for q, h in zip(nibbles(b[8:]), high)]


def q8_0(b):
    d = half(b, 0)
    return [d * q for q in struct.unpack_from("<32b", b, 2)]


def q2_k(b):
    d, dmin = half(b, 80), half(b, 82)
    out = []
    for i in range(256):
        q = b[16 + i // 128 * 32 + i % 32] >> (i % 128 // 32 * 2) & 3
        scale = b[i // 16]
        out.append(f32(f32(d * (scale & 15)) * q) - f32(dmin * (scale >> 4)))
    return out


def q3_k(b):
    low, d = b[96:108], half(b, 108)
    scales = []
    for i in range(16):
        four = low[i % 8] >> (i // 8 * 4) & 15
        scales.append((four | (low[8 + i % 4] >> (i // 4 * 2) & 3) << 4) - 32)
    out = []
    for i in range(256):
        q = b[32 + i // 128 * 32 + i % 32] >> (i % 128 // 32 * 2) & 3
        q -= 0 if b[i % 32] >> (i // 32) & 1 else 4
        out.append(f32(d * scales[i // 16]) * q)
    return out


def scales_and_mins(s):
    """Eight scales and eight minima of 6 bits in 12 bytes."""
    sc = [s[i] & 63 if i < 4 else s[i + 4] & 15 | s[i - 4] >> 6 << 4 for i in range(8)]
    mn = [s[i + 4] & 63 if i < 4 else s[i + 4] >> 4 | s[i] >> 6 << 4 for i in range(8)]
    return sc, mn


def q4_k(b):
    d, dmin = half(b, 0), half(b, 2)
    sc, mn = scales_and_mins(b[4:16])
    return [f32(f32(d * sc[i // 32]) * (b[16 + i // 64 * 32 + i % 32] >> (i // 32 % 2 * 4) & 15)) - f32(dmin * mn[i // 32])
            for i in range(256)]


def q5_k(b):
    d, dmin = half(b, 0), half(b, 2)
    sc, mn = scales_and_mins(b[4:16])
    out = []
    for i in range(256):
        q = b[48 + i // 64 * 32 + i % 32] >> (i // 32 % 2 * 4) & 15 | (b[16 + i % 32] >> (i // 32) & 1) << 4
        out.append(f32(f32(d * sc[i // 32]) * q) - f32(dmin * mn[i // 32]))
    return out


def q6_k(b):
    scales, d = struct.unpack_from("<16b", b, 192), half(b, 208)
    out = []
    for i in range(256):
        part = i % 128
        q = b[i // 128 * 64 + part % 64] >> (part // 64 * 4) & 15
        q |= (b[128 + i // 128 * 32 + part % 32] >> (part // 32 * 2) & 3) << 4
        out.append(f32(d * scales[i // 16]) * (q - 32))
    return out


VALUES = {"F32": f32_values, "F16": f16_values, "BF16": bf16_values, "Q4_0": q4_0, "Q4_1": q4_1, "Q5_0": q5_0,
          "Q5_1": q5_1, "Q8_0": q8_0, "Q2_K": q2_k, "Q3_K": q3_k, "Q4_K": q4_k, "Q5_K": q5_k, "Q6_K": q6_k}


def dequantised(kind, raw):
    """Little-endian binary32 of all blocks."""
    size, values = TYPES[kind][2], VALUES[kind]
    out = [v for at in range(0, len(raw), size) for v in values(raw[at:at + size])]
    return struct.pack("<%df" % len(out), *out)


# ---- the file ----

def skip_value(data, at, kind):
    if kind == 8:
        return at + 8 + struct.unpack_from("<Q", data, at)[0]
    if kind == 9:
        element, n = struct.unpack_from("<IQ", data, at)
        at += 12
        for _ in range(n):
            at = skip_value(data, at, element)
        return at
    return at + SCALARS[kind]


def without_merges(keys):
    """The metadata with an empty tokenizer.ggml.merges in place of its one merge "a b"."""
    name = struct.pack("<Q", 21) + b"tokenizer.ggml.merges" + struct.pack("<II", 9, 8)
    full = name + struct.pack("<QQ", 1, 3) + b"a b"
    assert keys.count(full) == 1
    return keys.replace(full, name + struct.pack("<Q", 0))


def read(path):
    with open(path, "rb") as f:
        data = f.read()
    assert data[:8] == b"GGUF\3\0\0\0", path
    n_tensors, n_keys = struct.unpack_from("<QQ", data, 8)
    at = 24
    for _ in range(n_keys):
        at = skip_value(data, at, 8)
        at = skip_value(data, at + 4, struct.unpack_from("<I", data, at)[0])
    keys, found = data[16:at], []
    for _ in range(n_tensors):
        n = struct.unpack_from("<Q", data, at)[0]
        name, at = data[at + 8:at + 8 + n].decode(), at + 8 + n
        n_dims = struct.unpack_from("<I", data, at)[0]
        *dims, kind, offset = struct.unpack_from("<%dQIQ" % n_dims, data, at + 4)
        at += 4 + 8 * n_dims + 12
        found.append((name, NAMES[kind], dims, offset))
    begin, tensors = at + -at % ALIGNMENT, []
    for name, kind, dims, offset in found:
        n = 1
        for d in dims:
            n *= d
        _, block, size = TYPES[kind]
        tensors.append((name, kind, dims, data[begin + offset:begin + offset + n // block * size]))
    return keys, tensors


def widen(tensors):
    return [(name, "F32", dims, dequantised(kind, raw)) for name, kind, dims, raw in tensors]


def write(path, keys, tensors):
    head, body = b"GGUF" + struct.pack("<IQ", 3, len(tensors)) + keys, b""
    for name, kind, dims, raw in tensors:
        head += struct.pack("<Q", len(name)) + name.encode()
        head += struct.pack("<I%dQIQ" % len(dims), len(dims), *dims, TYPES[kind][0], len(body))
        body += raw + bytes(-len(raw) % ALIGNMENT)
    with open(path, "wb") as f:
        f.write(head + bytes(-len(head) % ALIGNMENT) + body)


def split(path, stem, per_part, first_empty=False):
    """As llama.cpp's gguf-split does: STEM-0000i-of-0000n.gguf with per_part tensors each; [paths]."""
    keys, tensors = read(path)
    lists = ([[]] if first_empty else []) + [tensors[i:i + per_part] for i in range(0, len(tensors), per_part)]

    def key(name, kind, value):
        return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I" + value[0], kind, value[1])
    paths = []
    for i, part in enumerate(lists):
        own = (key("split.no", 2, ("H", i)) + key("split.count", 2, ("H", len(lists))) +
               key("split.tensors.count", 5, ("i", len(tensors))))
        n = (struct.unpack("<Q", keys[:8])[0] if i == 0 else 0) + 3
        paths.append("%s-%05d-of-%05d.gguf" % (stem, i + 1, len(lists)))
        write(paths[-1], struct.pack("<Q", n) + (keys[8:] if i == 0 else b"") + own, part)
    return paths
