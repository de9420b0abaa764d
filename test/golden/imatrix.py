#!/usr/bin/env python3
"""Writes test/golden/imatrix.gguf and imatrix.txt: what llama.cpp computes with homeworld, for test/e2e/test_quantize.py.

    make all peer && python3 test/golden/imatrix.py "$(script/peer.sh | tail -1)"

The text is TEXT's documents, its ids are those of `loam tokenize`, cut into WINDOWS windows of WIDTH ids. imatrix.gguf
has the squares of what goes into each matrix, added up here in binary64 from llama.cpp's own tensors (its callback), in
the form of its imatrix tool. A line of imatrix.txt is

    TYPE bits_per_weight ppl kl kl_99 same_top

of llama.cpp's model in that type against its F32 model, over the second halves of the windows, in binary64; the first line
is F32's own. The caches of keys and values are F32 on both sides.
"""
import ctypes
import json
import math
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
from quantise_model import write_imatrix  # noqa: E402

MODEL = os.path.join(ROOT, "models/homeworld/model.gguf")
TEXT, WIDTH, WINDOWS = ["corpus", "homeworld", "--docs", "24", "--seed", "1"], 64, 24
COMPARED = ["Q8_0", "Q5_K_M", "Q4_0"]
F32, CALLBACK = 0, ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_bool, ctypes.c_void_p)


def text_of(run):
    """The documents, a line between them. run(*arguments): what loam prints."""
    return "\n".join(json.loads(line)["text"] for line in run(*TEXT).splitlines())


class Blob(ctypes.Structure):
    """Parameters go by value; this is larger than any release's."""
    _fields_ = [("word", ctypes.c_uint32 * 256)]


class Batch(ctypes.Structure):
    """struct llama_batch"""
    _fields_ = [("n", ctypes.c_int32), ("token", ctypes.POINTER(ctypes.c_int32)), ("embd", ctypes.c_void_p),
                ("pos", ctypes.c_void_p), ("n_seq", ctypes.c_void_p), ("seq", ctypes.c_void_p),
                ("logits", ctypes.POINTER(ctypes.c_int8))]


class Tensor(ctypes.Structure):
    """struct ggml_tensor"""


Tensor._fields_ = [("type", ctypes.c_int32), ("buffer", ctypes.c_void_p), ("ne", ctypes.c_int64 * 4),
                   ("nb", ctypes.c_size_t * 4), ("op", ctypes.c_int32), ("params", ctypes.c_int32 * 16),
                   ("flags", ctypes.c_int32), ("src", ctypes.POINTER(Tensor) * 10), ("view", ctypes.c_void_p),
                   ("view_offs", ctypes.c_size_t), ("data", ctypes.c_void_p), ("name", ctypes.c_char * 64)]


class Reader:
    """A model of llama.cpp's that reads windows; sums: {matrix: sums of squares of its inputs}."""

    def __init__(self, llama, libs, path, measure):
        self.lib, self.sums = llama.lib, {}
        lib = self.lib
        for name in ("llama_model_default_params", "llama_context_default_params"):
            getattr(lib, name).restype = Blob
        for name in ("llama_model_load_from_file", "llama_init_from_model", "llama_get_memory", "llama_model_get_vocab"):
            getattr(lib, name).restype = ctypes.c_void_p
        lib.llama_get_logits_ith.restype = ctypes.POINTER(ctypes.c_float)
        ggml = ctypes.CDLL(os.path.join(libs, "libggml-base.so"))
        ggml.ggml_op_name.restype = ctypes.c_char_p
        self.product = next(i for i in range(100) if ggml.ggml_op_name(i) == b"MUL_MAT")
        self.model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
        p = lib.llama_context_default_params()
        # Twice 1 (F16) behind the callback and its user, both NULL: the types of the cache.
        kinds = next(i for i in range(8, 40) if list(p.word[i - 4:i + 2]) == [0, 0, 0, 0, 1, 1])
        p.word[0] = p.word[1] = p.word[2] = WIDTH
        p.word[kinds] = p.word[kinds + 1] = F32
        if measure:
            self.callback = CALLBACK(self.watch)
            address = ctypes.cast(self.callback, ctypes.c_void_p).value
            p.word[kinds - 4], p.word[kinds - 3] = address & 0xffffffff, address >> 32
        self.context = lib.llama_init_from_model(ctypes.c_void_p(self.model), p)
        self.memory = ctypes.c_void_p(lib.llama_get_memory(ctypes.c_void_p(self.context)))
        vocab = ctypes.c_void_p(lib.llama_model_get_vocab(ctypes.c_void_p(self.model)))
        self.V = lib.llama_vocab_n_tokens(vocab)

    def watch(self, address, ask, _):
        t = ctypes.cast(address, ctypes.POINTER(Tensor)).contents
        if t.op != self.product or not t.src[0].contents.name.startswith(b"blk."):
            return not ask
        if not ask:
            name, x = t.src[0].contents.name.decode(), t.src[1].contents
            rows, cols = x.ne[1] * x.ne[2] * x.ne[3], x.ne[0]
            assert x.type == F32 and x.nb[1] == 4 * cols
            values = (ctypes.c_float * (rows * cols)).from_address(x.data)
            sums = self.sums.setdefault(name, [0.0] * cols)
            for i, v in enumerate(values):
                sums[i % cols] += v * v
        return True

    def read(self, ids):
        """Logits of every position."""
        self.lib.llama_memory_clear(self.memory, ctypes.c_bool(True))
        batch = Batch(len(ids), (ctypes.c_int32 * len(ids))(*ids), None, None, None, None,
                      (ctypes.c_int8 * len(ids))(*[1] * len(ids)))
        if self.lib.llama_decode(ctypes.c_void_p(self.context), batch):
            sys.exit("llama.cpp does not read")
        return [self.lib.llama_get_logits_ith(ctypes.c_void_p(self.context), i)[:self.V] for i in range(len(ids))]


def log_probabilities(logits):
    high = max(logits)
    z = high + math.log(math.fsum(math.exp(x - high) for x in logits))
    return [x - z for x in logits]


def percentile(values, share):
    values = sorted(values)
    at = share * (len(values) - 1)
    i = int(at)
    return values[i] + (at - i) * (values[min(i + 1, len(values) - 1)] - values[i])


def statistics(original, other, next_ids):
    """ppl of the other, mean KL, 99th percentile, share of equal tops."""
    kl = [math.fsum(math.exp(p) * (p - q) for p, q in zip(a, b)) for a, b in zip(original, other)]
    loss = -math.fsum(b[i] for b, i in zip(other, next_ids)) / len(next_ids)
    same = sum(max(range(len(a)), key=a.__getitem__) == max(range(len(b)), key=b.__getitem__)
               for a, b in zip(original, other))
    return math.exp(loss), math.fsum(kl) / len(kl), percentile(kl, 0.99), same / len(kl)


def bits(path):
    tensors = _gguf.read(path)[1]
    return 8 * sum(len(raw) for _, _, _, raw in tensors) / sum(math.prod(dims) for _, _, dims, _ in tensors)


def main():
    libs, program = sys.argv[1], os.environ.get("LOAM_BIN", os.path.join(ROOT, "build/loam"))
    llama, lines, original = Llama(libs), [], None
    llama.lib.ggml_backend_load_all_from_path(libs.encode())

    def run(*args):
        return subprocess.run([program, *args], check=True, capture_output=True, text=True).stdout

    with tempfile.TemporaryDirectory() as tmp:
        text = os.path.join(tmp, "text")
        with open(text, "w", encoding="utf-8") as f:
            f.write(text_of(run))
        ids = [int(x) for x in run("tokenize", MODEL, "--file", text).split()]
        assert len(ids) >= WIDTH * WINDOWS, len(ids)
        windows = [ids[i * WIDTH:(i + 1) * WIDTH] for i in range(WINDOWS)]
        for kind in ["F32"] + COMPARED:
            path = MODEL if kind == "F32" else os.path.join(tmp, "model.gguf")
            if kind != "F32":
                llama.quantise(MODEL, path, TYPES[kind])
            reader = Reader(llama, libs, path, kind == "F32")
            scored = [log_probabilities(l) for w in windows for l in reader.read(w)[WIDTH // 2:WIDTH - 1]]
            original = original or scored
            if reader.sums:
                write_imatrix(os.path.join(HERE, "imatrix.gguf"), reader.sums, WIDTH * WINDOWS)
            after = [i for w in windows for i in w[WIDTH // 2 + 1:]]
            lines.append("%s %.6f %.6f %.6g %.6g %.6f\n" % (kind, bits(path), *statistics(original, scored, after)))
    with open(os.path.join(HERE, "imatrix.txt"), "w") as f:
        f.writelines(lines)


if __name__ == "__main__":
    main()
