#!/usr/bin/env python3
"""Writes test/golden/mix.txt: which format llama.cpp's quantiser gives each tensor, for test/unit/test_mix.c.

    python3 test/golden/mix.py "$(script/peer.sh | tail -1)"

The folder holds libllama*.so of the release that script/peer.sh names. The files that are "quantised" have the tensors of
a model and no data (holes), and llama.cpp is asked for a dry run: it logs what it would do. A shape and then its lines:

    shape ARCH layers L heads H/G width D feed-forward F head K tied|untied
    TYPE none|imatrix ROLE=FORMAT*n,FORMAT*n... ROLE=...     formats by ascending layer, n of one kind after another

"TYPE imatrix same" says that importances change nothing.
"""
import ctypes
import glob
import os
import re
import struct
import sys
import tempfile

TYPES = {"F32": 0, "F16": 1, "BF16": 32, "Q4_0": 2, "Q4_1": 3, "Q5_0": 8, "Q5_1": 9, "Q8_0": 7, "Q2_K": 10, "Q2_K_S": 21,
         "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18}
#         arch, L, H, G, D, F, K, tied
SHAPES = [("llama", 32, 32, 8, 512, 1024, 64, False),
          ("llama", 2, 4, 4, 256, 256, 64, True),
          ("llama", 80, 64, 8, 256, 512, 64, False),
          ("llama", 80, 8, 8, 256, 512, 64, False),
          ("qwen2", 80, 64, 8, 256, 512, 64, False),
          ("qwen3", 80, 64, 16, 256, 512, 64, False),
          ("granite", 40, 32, 8, 256, 512, 64, True),
          ("gemma3", 18, 4, 1, 640, 2048, 256, True),
          ("gemma2", 26, 8, 4, 256, 512, 256, True),
          ("qwen3", 4, 3, 3, 96, 160, 32, True),
          ("llama", 5, 2, 1, 80, 144, 40, False),
          ("phi3", 32, 32, 32, 256, 512, 96, False),
          ("phi3", 17, 24, 8, 256, 512, 64, False),
          ("olmo2", 16, 16, 16, 256, 512, 128, False),
          ("smollm3", 36, 16, 4, 256, 512, 128, True)]
ROLES = ["embed", "output", "q", "k", "v", "qkv", "o", "gate", "up", "down"]
NAMES = {"token_embd": "embed", "output": "output", "attn_q": "q", "attn_k": "k", "attn_v": "v", "attn_qkv": "qkv",
         "attn_output": "o", "ffn_gate": "gate", "ffn_up": "up", "ffn_down": "down"}
VOCAB = 64


class Params(ctypes.Structure):
    """struct llama_model_quantize_params"""
    _fields_ = [(n, ctypes.c_int32) for n in ("nthread", "ftype", "output_type", "embedding_type")] + \
        [(n, ctypes.c_bool) for n in ("requantize", "output", "copy", "pure", "keep_split", "dry_run")] + \
        [(n, ctypes.c_void_p) for n in ("imatrix", "kv", "tensor_type", "prune")]


class Importance(ctypes.Structure):
    """struct llama_model_imatrix_data"""
    _fields_ = [("name", ctypes.c_char_p), ("data", ctypes.POINTER(ctypes.c_float)), ("size", ctypes.c_size_t)]


class Llama:
    """The library, its log caught."""

    def __init__(self, folder):
        self.log, kind = [], ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
        for pattern in ("libggml-base*.so*", "libggml.*so*", "libllama.*so*"):
            self.lib = ctypes.CDLL(sorted(glob.glob(os.path.join(folder, pattern)))[0], mode=ctypes.RTLD_GLOBAL)
        self.lib.llama_model_quantize_default_params.restype = Params
        self.keep = kind(lambda level, text, user: self.log.append(text.decode("utf-8", "replace")))
        self.lib.llama_log_set(self.keep, None)

    def quantise(self, source, out, ftype, importance=None, dry_run=False, threads=2):
        """importance: {name: floats}. Returns the log."""
        p = self.lib.llama_model_quantize_default_params()
        assert p.nthread == 0 and p.output_type == p.embedding_type > 30 and p.output and not p.imatrix, "another struct"
        p.nthread, p.ftype, p.dry_run, p.requantize = threads, ftype, dry_run, True
        if importance:
            floats = [(ctypes.c_float * len(v))(*v) for v in importance.values()]
            rows = [Importance(n.encode(), f, len(f)) for n, f in zip(importance, floats)] + [Importance(None, None, 0)]
            table = (Importance * len(rows))(*rows)
            p.imatrix = ctypes.addressof(table)
        self.log.clear()
        status = self.lib.llama_model_quantize(source.encode(), out.encode(), ctypes.byref(p))
        if status:
            sys.exit("llama.cpp refuses %s\n%s" % (source, "".join(self.log)[-2000:]))
        return "".join(self.log)


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def tensors_of(arch, L, H, G, D, F, K, tied):
    """(name, columns, rows)"""
    out = [("token_embd.weight", D, VOCAB)] + ([] if tied else [("output.weight", D, VOCAB)])
    for i in range(L):
        if arch == "phi3":
            of_layer = [("attn_qkv", D, (H + 2 * G) * K), ("attn_output", H * K, D), ("ffn_up", D, 2 * F)]
        else:
            of_layer = [("attn_q", D, H * K), ("attn_k", D, G * K), ("attn_v", D, G * K), ("attn_output", H * K, D),
                        ("ffn_gate", D, F), ("ffn_up", D, F)]
        out += [("blk.%d.%s.weight" % (i, n), c, r) for n, c, r in of_layer + [("ffn_down", F, D)]]
    return out


def hollow(path, arch, L, H, G, D, F, K, tied):
    """A GGUF file of such a model in F16, its data a hole."""
    numbers = {"block_count": L, "context_length": 512, "embedding_length": D, "feed_forward_length": F,
               "attention.head_count": H, "attention.head_count_kv": G, "attention.key_length": K,
               "attention.value_length": K, "rope.dimension_count": K, "vocab_size": VOCAB,
               "attention.sliding_window": 512}
    keys = [text("general.architecture") + struct.pack("<I", 8) + text(arch)]
    keys += [text("%s.%s" % (arch, k)) + struct.pack("<II", 4, v) for k, v in numbers.items()]
    names = ["attention.layer_norm_rms_epsilon", "rope.freq_base"]
    names += ["logit_scale", "residual_scale", "embedding_scale", "attention.scale"] if arch == "granite" else []
    keys += [text("%s.%s" % (arch, k)) + struct.pack("<If", 6, 1e-5) for k in names]
    tensors, head, at = tensors_of(arch, L, H, G, D, F, K, tied), b"", 0
    for name, cols, rows in tensors:
        head += text(name) + struct.pack("<IQQIQ", 2, cols, rows, 1, at)
        at += (2 * cols * rows + 31) // 32 * 32
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys) + head
    with open(path, "wb") as f:
        f.write(head + bytes(-len(head) % 32))
        f.truncate(f.tell() + at)
    return tensors


def choices(log, base):
    """{tensor: format} of a dry run's log."""
    found = {}
    for m in re.finditer(r"\] (\S+)\s+- \[[^\]]*\], type =\s+(\w+), .*?(?=\[ *\d+/ *\d+\]|\Z)", log, re.S):
        to = re.search(r"size = .*? -> .*?\((\w+)\)", m.group(0))
        found[m.group(1)] = (to.group(1) if to else m.group(2)).upper()
    return found


def line(tensors, chosen):
    by_role = {r: [] for r in ROLES}
    for name, _, _ in tensors:
        by_role[NAMES[name.split(".")[-2]]].append(chosen[name])
    out = []
    for role in ROLES:
        runs = []
        for kind in by_role[role]:
            if runs and runs[-1][0] == kind:
                runs[-1][1] += 1
            else:
                runs.append([kind, 1])
        if runs:
            out.append(role + "=" + ",".join(k if n == 1 else "%s*%d" % (k, n) for k, n in runs))
    return " ".join(out)


def main():
    llama, lines = Llama(sys.argv[1]), []
    with tempfile.TemporaryDirectory() as tmp:
        source = os.path.join(tmp, "hollow.gguf")
        for shape in SHAPES:
            tensors = hollow(source, *shape)
            arch, L, H, G, D, F, K, tied = shape
            lines.append("shape %s layers %d heads %d/%d width %d feed-forward %d head %d %s\n" % (
                arch, L, H, G, D, F, K, "tied" if tied else "untied"))
            for name, ftype in TYPES.items():
                plain = line(tensors, choices(llama.quantise(source, os.path.join(tmp, "out"), ftype, dry_run=True), name))
                some = {tensors[0][0]: [1.0] * tensors[0][1]}
                with_some = line(tensors, choices(
                    llama.quantise(source, os.path.join(tmp, "out"), ftype, some, dry_run=True), name))
                lines.append("%s none %s\n" % (name, plain))
                lines.append("%s imatrix %s\n" % (name, "same" if with_some == plain else with_some))
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "mix.txt"), "w") as f:
        f.writelines(lines)


if __name__ == "__main__":
    main()
