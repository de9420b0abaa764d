#!/usr/bin/env python3
"""Seeds for the model fuzzer: GGUF models of a few kilobytes, one for each way weights are laid out; and for that of
adapters, which change the smallest of these models.

    python3 test/golden/fuzz_models.py              writes test/fuzz/corpus/model/*.gguf and corpus/adapter/*

One or two layers, eight tokens, weights drawn from a fixed seed. Blocks of quantised formats are random bytes with
sane scales. Standard library only.
"""
import json
import os
import random
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gguf_convert import DTYPES, F32, STR, metadata, tensors_of, write_gguf  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(os.path.dirname(HERE), "fuzz", "corpus", "model")
# ggml type: values in a block, bytes of a block, where its binary16 scales stand
BLOCKS = {2: (32, 18, [0]), 3: (32, 20, [0, 2]), 6: (32, 22, [0]), 7: (32, 24, [0, 2]), 8: (32, 34, [0]),
          10: (256, 84, [80, 82]), 11: (256, 110, [108]), 12: (256, 144, [0, 2]), 13: (256, 176, [0, 2]),
          14: (256, 210, [208])}
PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}
LONG = {"rope_type": "longrope", "rope_theta": 10000.0, "long_factor": [1.5, 3.0], "short_factor": [1.0, 1.25],
        "original_max_position_embeddings": 4}


def config(kind, D, H, G, K, F, **more):
    return dict({"model_type": kind, "hidden_size": D, "num_attention_heads": H, "num_key_value_heads": G, "head_dim": K,
                 "intermediate_size": F, "num_hidden_layers": 1, "vocab_size": 8, "max_position_embeddings": 64,
                 "rms_norm_eps": 1e-5, "rope_parameters": PLAIN, "tie_word_embeddings": True}, **more)


# name: config, dtype of matrices ("F16", "BF16", "F32" or a list of ggml types taken in turn)
MODELS = {
    "llama": (config("llama", 16, 2, 1, 8, 24, rope_parameters=LLAMA3, tie_word_embeddings=False), "F16"),
    "gemma3": (config("gemma3_text", 16, 2, 1, 8, 24, num_hidden_layers=2, sliding_window=2,
                      layer_types=["sliding_attention", "full_attention"],
                      rope_parameters={"full_attention": PLAIN, "sliding_attention": PLAIN}), "BF16"),
    "phi3": (config("phi3", 16, 2, 2, 4, 24, rope_parameters=LONG), "F32"),
    "qwen2-blocks": (config("qwen2", 32, 2, 1, 16, 32), [2, 3, 6, 7, 8]),
    "olmo2-kblocks": (config("olmo2", 256, 2, 1, 2, 2), [10, 11, 12, 13, 14]),
}


def shapes(cfg):
    """{name in a folder: shape}."""
    kind, D, F = cfg["model_type"], cfg["hidden_size"], cfg["intermediate_size"]
    q, g = (cfg["head_dim"] * cfg[k] for k in ("num_attention_heads", "num_key_value_heads"))
    out = {"model.embed_tokens.weight": [cfg["vocab_size"], D]}
    for i in range(cfg["num_hidden_layers"]):
        layer = {}
        if kind == "phi3":
            layer.update({"self_attn.qkv_proj": [q + 2 * g, D], "mlp.gate_up_proj": [2 * F, D]})
        else:
            layer.update({"self_attn.q_proj": [q, D], "self_attn.k_proj": [g, D], "self_attn.v_proj": [g, D],
                          "mlp.gate_proj": [F, D], "mlp.up_proj": [F, D]})
        layer.update({"self_attn.o_proj": [D, q], "mlp.down_proj": [D, F], "post_attention_layernorm": [D]})
        if kind != "olmo2":
            layer["input_layernorm"] = [D]
        if kind == "gemma3_text":
            layer["pre_feedforward_layernorm"] = [D]
        if kind in ("gemma3_text", "olmo2"):
            layer["post_feedforward_layernorm"] = [D]
            layer.update({"self_attn.q_norm": [q if kind == "olmo2" else cfg["head_dim"]],
                          "self_attn.k_norm": [g if kind == "olmo2" else cfg["head_dim"]]})
        out.update({"model.layers.%d.%s.weight" % (i, name): shape for name, shape in layer.items()})
        if kind == "qwen2":
            out.update({"model.layers.%d.self_attn.%s_proj.bias" % (i, p): [n] for p, n in zip("qkv", (q, g, g))})
    out["model.norm.weight"] = [D]
    if not cfg["tie_word_embeddings"]:
        out["lm_head.weight"] = [cfg["vocab_size"], D]
    return out


def blocks(rng, kind, n):
    size, n_bytes, scales = BLOCKS[kind]
    out = b""
    for _ in range(n // size):
        b = bytearray(rng.randbytes(n_bytes))
        for at in scales:
            struct.pack_into("<e", b, at, rng.uniform(0.001, 0.01))
        out += b
    return out


def make(name):
    cfg, dtype = MODELS[name]
    rng = random.Random(name)
    source = {}
    for tensor, shape in shapes(cfg).items():
        n = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = [rng.uniform(-1, 1) for _ in range(n)]
        kind = "F32" if isinstance(dtype, list) else dtype
        if kind == "BF16":
            raw = b"".join(struct.pack("<f", v)[2:] for v in values)
        else:
            raw = struct.pack("<%d%s" % (n, "e" if kind == "F16" else "f"), *values)
        source[tensor] = (kind, shape, raw)
    tensors, turn = [], 0
    for tensor, kind, shape, raw in tensors_of(cfg, source):
        if isinstance(dtype, list) and len(shape) == 2:
            new = dtype[turn % len(dtype)]
            if shape[1] % BLOCKS[new][0] == 0:
                kind, raw, turn = new, blocks(rng, new, shape[0] * shape[1]), turn + 1
            else:
                kind, raw = DTYPES["F16"][0], struct.pack("<%de" % (len(raw) // 4),
                                                          *struct.unpack("<%df" % (len(raw) // 4), raw))
        tensors.append((tensor, kind, shape, raw))
    keys = [k for k in metadata(cfg, name) if not k[0].startswith("tokenizer.")]
    write_gguf(os.path.join(OUT, name + ".gguf"), keys, tensors)


def save_adapter(name, data):
    folder = os.path.join(os.path.dirname(OUT), "adapter")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


def make_adapters():
    """fuzz_adapter.c tells the form of its input."""
    rng, path = random.Random("adapter"), os.path.join(OUT, "adapter.tmp")
    shapes_of = {"q_proj": (16, 16), "down_proj": (16, 24)}

    def tensor(*shape):
        n = shape[0] * (shape[1] if len(shape) > 1 else 1)
        return list(shape), struct.pack("<%df" % n, *(rng.uniform(-1, 1) for _ in range(n)))

    tensors = []
    for name, part in (("attn_q", "q_proj"), ("ffn_down", "down_proj")):
        rows, cols = shapes_of[part]
        tensors += [("blk.0.%s.weight.lora_%s" % (name, end), 0) + tensor(*shape)
                    for end, shape in (("a", (2, cols)), ("b", (rows, 2)))]
    write_gguf(path, [("general.type", STR, "adapter"), ("general.architecture", STR, "llama"),
                      ("adapter.type", STR, "lora"), ("adapter.lora.alpha", F32, 4.0)], tensors)
    with open(path, "rb") as f:
        save_adapter("gguf", b"G" + f.read())
    os.remove(path)
    for dora in (False, True):
        header, data = {}, b""
        for module, part in (("self_attn.q_proj", "q_proj"), ("mlp.down_proj", "down_proj")):
            rows, cols = shapes_of[part]
            ends = [("lora_A.weight", (2, cols)), ("lora_B.weight", (rows, 2))]
            for end, shape in ends + [("lora_magnitude_vector", (rows,))] * dora:
                dims, raw = tensor(*shape)
                header["base_model.model.model.layers.0.%s.%s" % (module, end)] = {
                    "dtype": "F32", "shape": dims, "data_offsets": [len(data), len(data) + len(raw)]}
                data += raw
        head = json.dumps(header).encode()
        config = json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "use_dora": dora,
                             "alpha_pattern": {"q_proj": 3}, "rank_pattern": {"down_proj": 2}}).encode()
        save_adapter("dora" if dora else "peft", b"P" + struct.pack("<H", len(config)) + config +
                     struct.pack("<Q", len(head)) + head + data)


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    for model_name in MODELS:
        make(model_name)
    make_adapters()
