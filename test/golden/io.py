#!/usr/bin/env python3
"""Writes test/golden/io/: GGUF and safetensors files by their reference libraries, and what those read back.

    python3 test/golden/io.py

Needs the packages gguf, safetensors, torch and numpy. Beside each file stands NAME.txt, a listing made by the
reference reader, in the form that test_gguf.c and test_safetensors.c print: a key is

    key NAME TYPE COUNT : VALUES       strings as hex of their bytes, floats as %.17g

and a tensor is

    tensor NAME TYPE DIMS (outermost first) OFFSET BYTES SHA-256

The files are also seeds of test/fuzz/corpus/gguf and test/fuzz/corpus/safetensors.
"""

import hashlib
import json
import os
import shutil

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Q
from safetensors import safe_open
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "io")
CORPUS = os.path.join(HERE, "..", "fuzz", "corpus")
rng = np.random.default_rng(1)

TYPE_NAMES = {"UINT8": "U8", "INT8": "I8", "UINT16": "U16", "INT16": "I16", "UINT32": "U32", "INT32": "I32",
              "FLOAT32": "F32", "BOOL": "BOOL", "STRING": "STRING", "UINT64": "U64", "INT64": "I64", "FLOAT64": "F64"}


def sha(data):
    return hashlib.sha256(data).hexdigest()


def write_gguf(name, fill, alignment=None):
    path = os.path.join(OUT, name)
    w = gguf.GGUFWriter(path, "llama")
    if alignment:
        w.add_custom_alignment(alignment)
    fill(w)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    list_gguf(path)


def list_gguf(path):
    r = gguf.GGUFReader(path)
    lines = [f"gguf {r.fields['GGUF.version'].parts[0][0]} {r.alignment}"]
    for f in r.fields.values():
        if f.name.startswith("GGUF."):
            continue
        kind = TYPE_NAMES[f.types[-1].name]
        values = []
        for i in f.data:
            part = f.parts[i]
            if kind == "STRING":
                values.append(bytes(part).hex() or "-")
            elif kind in ("F32", "F64"):
                values.append("%.17g" % float(part[0]))
            else:
                values.append(str(int(part[0])))
        array = "[]" if f.types[0].name == "ARRAY" else ""
        lines.append(f"key {f.name} {kind}{array} {len(f.data)} : {' '.join(values)}".rstrip())
    for t in r.tensors:
        dims = " ".join(str(int(d)) for d in reversed(t.shape))
        data = t.data.tobytes()
        assert len(data) == t.n_bytes
        lines.append(f"tensor {t.name} {t.tensor_type.name} {dims} {int(t.data_offset)} {len(data)} {sha(data)}")
    with open(path + ".txt", "w") as f:
        f.write("\n".join(lines) + "\n")


def every_key(w):
    w.add_name("A little file")
    w.add_uint8("t.u8", 255)
    w.add_int8("t.i8", -128)
    w.add_uint16("t.u16", 65535)
    w.add_int16("t.i16", -32768)
    w.add_uint32("t.u32", 2**32 - 1)
    w.add_int32("t.i32", -(2**31))
    w.add_uint64("t.u64", 2**53)
    w.add_int64("t.i64", -(2**63))
    w.add_float32("t.f32", 0.1)
    w.add_float64("t.f64", 1e-300)
    w.add_bool("t.true", True)
    w.add_bool("t.false", False)
    w.add_string("t.text", "tab\tnewline\nþ漢🙂")
    w.add_array("a.ints", [1, -2, 3])
    w.add_array("a.floats", [0.5, -1e30])
    w.add_array("a.strings", ["", "one", "zwei", "τρία"])
    w.add_array("a.bools", [True, False, True])
    w.add_token_list([b"<s>", b"\xff\xfe", b"a b"])


def every_type(w):
    for q in (Q.F32, Q.F16, Q.BF16, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0, Q.Q2_K, Q.Q3_K, Q.Q4_K, Q.Q5_K, Q.Q6_K):
        elems, size = gguf.GGML_QUANT_SIZES[q]
        raw = rng.integers(0, 120, (3, 256 // elems * size), dtype=np.uint8)
        if q == Q.F32:
            w.add_tensor("w.F32", raw.view(np.float32))
        elif q == Q.F16:
            w.add_tensor("w.F16", raw.view(np.float16))
        else:
            w.add_tensor("w." + q.name, raw, raw_dtype=q)
    w.add_tensor("v", np.arange(5, dtype=np.float32))
    w.add_tensor("four", np.arange(2 * 3 * 4 * 5, dtype=np.float16).reshape(2, 3, 4, 5))


def write_parts():
    """types.gguf once more, in files of five tensors: parts/types-00001-of-00004.gguf, the first without tensors."""
    os.makedirs(os.path.join(OUT, "parts"))
    w = gguf.GGUFWriter(os.path.join(OUT, "parts", "types.gguf"), "llama", split_max_tensors=5, small_first_shard=True)
    for t in gguf.GGUFReader(os.path.join(OUT, "types.gguf")).tensors:
        plain = t.tensor_type in (Q.F32, Q.F16)
        w.add_tensor(t.name, np.array(t.data), raw_dtype=None if plain else t.tensor_type)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def list_safetensors(name, files):
    lines = []
    for file in files:
        path = os.path.join(OUT, file)
        with open(path, "rb") as f:
            n = int.from_bytes(f.read(8), "little")
            header = json.loads(f.read(n))
        with safe_open(path, "pt") as st:
            for key in st.keys():
                t = st.get_tensor(key)
                data = t.contiguous().view(torch.uint8 if t.dim() else torch.float32).numpy().tobytes()
                kind = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}[t.dtype]
                dims = " ".join(map(str, t.shape)) or "1"
                offset = 8 + n + header[key]["data_offsets"][0]
                lines.append(f"tensor {key} {kind} {dims} {offset} {len(data)} {sha(data)}")
    with open(os.path.join(OUT, name + ".txt"), "w") as f:
        f.write("\n".join(sorted(lines, key=lambda l: l.split()[1].encode())) + "\n")


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(os.path.join(OUT, "shards"))
    write_gguf("keys.gguf", every_key)
    write_gguf("types.gguf", every_type)
    write_gguf("aligned.gguf", every_type, alignment=256)
    write_parts()

    g = torch.Generator().manual_seed(1)
    one = {"b.weight": torch.randn(3, 5, generator=g), "a.weight": torch.randn(4, 2, generator=g).half(),
           "scalar": torch.tensor(1.5), "é.bias": torch.randn(7, generator=g).bfloat16(),
           "conv": torch.randn(2, 1, 3, 2, generator=g)}
    save_file(one, os.path.join(OUT, "one.safetensors"), metadata={"format": "pt", "note": "two\nlines"})
    list_safetensors("one.safetensors", ["one.safetensors"])
    shards = [{"x.0": torch.randn(2, 2, generator=g), "m": torch.randn(3, generator=g)},
              {"a.1": torch.randn(4, generator=g).half(), "z": torch.randn(1, 3, generator=g)}]
    names = [f"model-{i + 1:05d}-of-00002.safetensors" for i in range(2)]
    for shard, name in zip(shards, names):
        save_file(shard, os.path.join(OUT, "shards", name), metadata={"format": "pt"})
    with open(os.path.join(OUT, "shards", "model.safetensors.index.json"), "w") as f:
        json.dump({"metadata": {"total_size": 60},
                   "weight_map": {k: n for s, n in zip(shards, names) for k in s}}, f, indent=1)
    list_safetensors("shards", [os.path.join("shards", n) for n in names])
    for folder, _, files in os.walk(OUT):
        for file in files:
            os.chmod(os.path.join(folder, file), 0o644)

    for folder, files in (("gguf", ["keys.gguf", "types.gguf"]), ("safetensors", ["one.safetensors"])):
        os.makedirs(os.path.join(CORPUS, folder), exist_ok=True)
        for file in files:
            shutil.copy(os.path.join(OUT, file), os.path.join(CORPUS, folder))


if __name__ == "__main__":
    main()
