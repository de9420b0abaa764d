"""A Hugging Face model folder as GGUF, with nothing but the standard library.

Writes the keys and tensors that llama.cpp's converter writes for the families Loam reads, so that tests
can make the GGUF form of a golden model on any machine. models.py checks what it writes against llama.cpp.

What the GGUF form changes, and nothing else does:
  * llama, smollm3, granite: rows of q and k (and their biases) go from half-split rotary pairs to
    interleaved ones: row h*K + 2i + s of the file is row h*K + s*K/2 + i of the folder, s = 0, 1.
  * gemma2, gemma3: 1 is added to every norm weight.
  * llama3 rotary scaling becomes the tensor rope_freqs.weight, LongRoPE the tensors rope_factors_*.weight;
    each divides the plain frequency.
  * one-dimensional tensors become F32; matrices keep the type of the folder.

The layout of the file is that of the GGUF specification, version 3, little endian, alignment 32.
"""

import array
import json
import math
import os
import re
import struct
import sys

ALIGNMENT = 32
DTYPES = {"F32": (0, 4), "F16": (1, 2), "BF16": (30, 2)}  # name in safetensors: ggml type, bytes

U32, F32, BOOL, STR, ARR, I32 = 4, 6, 7, 8, 9, 5  # GGUF value types

ARCH = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma2": "gemma2",
        "gemma3_text": "gemma3", "olmo2": "olmo2", "olmo3": "olmo2", "smollm3": "smollm3", "phi3": "phi3",
        "granite": "granite"}
INTERLEAVED = {"llama", "smollm3", "granite"}
GEMMA = {"gemma2", "gemma3"}

LAYER_NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.qkv_proj": "attn_qkv",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "mlp.gate_up_proj": "ffn_up", "input_layernorm": "attn_norm", "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def read_safetensors(folder):
    """{name: (dtype, shape, bytes)} of every *.safetensors in the folder."""
    tensors = {}
    for file in sorted(f for f in os.listdir(folder) if f.endswith(".safetensors")):
        with open(os.path.join(folder, file), "rb") as f:
            data = f.read()
        (n,) = struct.unpack_from("<Q", data, 0)
        for name, t in json.loads(data[8:8 + n]).items():
            if name != "__metadata__":
                a, b = t["data_offsets"]
                tensors[name] = (t["dtype"], t["shape"], data[8 + n + a:8 + n + b])
    return tensors


def to_f32(dtype, raw):
    """The values of a tensor as an array of floats, exact."""
    if dtype == "F32":
        out = array.array("f", raw)
        if sys.byteorder == "big":
            out.byteswap()
        return out
    if dtype == "F16":
        return array.array("f", (v for (v,) in struct.iter_unpack("<e", raw)))
    if dtype == "BF16":
        return array.array("f", (struct.unpack("<f", b"\0\0" + raw[i:i + 2])[0] for i in range(0, len(raw), 2)))
    raise ValueError("unknown dtype " + dtype)


def f32_bytes(values):
    return struct.pack("<%df" % len(values), *values)


def interleave(raw, row_bytes, heads):
    """Rows of each head from (0 .. K/2-1, K/2 .. K-1) to (0, K/2, 1, K/2+1, ...)."""
    rows = [raw[i:i + row_bytes] for i in range(0, len(raw), row_bytes)]
    k = len(rows) // heads
    out = []
    for h in range(heads):
        for i in range(k // 2):
            out += [rows[h * k + i], rows[h * k + k // 2 + i]]
    return b"".join(out)


def rope_of(cfg):
    """(parameters of full layers, parameters of sliding layers) in the new style, from either style of config."""
    rp = cfg.get("rope_parameters")
    if rp and "full_attention" in rp:
        return rp["full_attention"], rp["sliding_attention"]
    if rp:
        return rp, rp
    rp = dict(cfg.get("rope_scaling") or {})
    rp.setdefault("rope_type", rp.get("type", "default"))
    rp["rope_theta"] = cfg["rope_theta"]
    if "partial_rotary_factor" in cfg:
        rp["partial_rotary_factor"] = cfg["partial_rotary_factor"]
    return rp, {"rope_type": "default", "rope_theta": cfg.get("rope_local_base_freq", cfg["rope_theta"])}


def llama3_factors(rope, width):
    """What divides each plain frequency, as in the Llama 3.1 report."""
    factor, low, high = rope["factor"], rope["low_freq_factor"], rope["high_freq_factor"]
    ctx = rope["original_max_position_embeddings"]
    out = []
    for i in range(0, width, 2):
        wavelength = 2 * math.pi * rope["rope_theta"] ** (i / width)
        if wavelength < ctx / high:
            out.append(1.0)
        elif wavelength > ctx / low:
            out.append(factor)
        else:
            s = (ctx / wavelength - low) / (high - low)
            out.append(1.0 / ((1 - s) / factor + s))
    return out


def vocabulary(n):
    """A valid byte-level vocabulary of n tokens: two control tokens, then printable characters and numbers."""
    tokens = ["<|start|>", "<|end|>"] + [chr(c) for c in range(33, 127)] + ["ab"]
    tokens += ["<%d>" % i for i in range(len(tokens), n)]
    return tokens[:n], [3, 3] + [1] * (n - 2)


def title(name):
    """general.name as people write it: "Gemma 3 Linear". (llama.cpp wants Phi-3's own tokens of a name with "phi3".)"""
    return re.sub(r"(?<=[a-z])(?=\d)", " ", name).replace("-", " ").title()


def metadata(cfg, name):
    """The keys as (key, type, value) in the order they are written."""
    arch = ARCH[cfg["model_type"]]
    rope, rope_local = rope_of(cfg)
    heads = cfg["num_attention_heads"]
    head_width = cfg.get("head_dim") or cfg["hidden_size"] // heads
    kind = rope.get("rope_type", "default")
    p = arch + "."
    out = [
        ("general.architecture", STR, arch),
        ("general.name", STR, title(name)),
        (p + "context_length", U32, cfg["max_position_embeddings"]),
        (p + "embedding_length", U32, cfg["hidden_size"]),
        (p + "block_count", U32, cfg["num_hidden_layers"]),
        (p + "feed_forward_length", U32, cfg["intermediate_size"]),
        (p + "attention.head_count", U32, heads),
        (p + "attention.head_count_kv", U32, cfg.get("num_key_value_heads") or heads),
        (p + "attention.layer_norm_rms_epsilon", F32, cfg["rms_norm_eps"]),
        (p + "rope.freq_base", F32, rope["rope_theta"]),
        (p + "rope.dimension_count", U32, int(head_width * rope.get("partial_rotary_factor", 1.0))),
        (p + "vocab_size", U32, cfg["vocab_size"]),
    ]
    if head_width * heads != cfg["hidden_size"]:
        out += [(p + "attention.key_length", U32, head_width), (p + "attention.value_length", U32, head_width)]
    if kind == "linear":
        out += [(p + "rope.scaling.type", STR, "linear"), (p + "rope.scaling.factor", F32, rope["factor"])]
    elif kind == "yarn":
        out += [(p + "rope.scaling.type", STR, "yarn"), (p + "rope.scaling.factor", F32, rope["factor"]),
                (p + "rope.scaling.original_context_length", U32, rope["original_max_position_embeddings"])]
    elif kind == "longrope":
        orig = cfg.get("original_max_position_embeddings") or rope["original_max_position_embeddings"]
        scale = cfg["max_position_embeddings"] / orig
        out += [(p + "rope.scaling.original_context_length", U32, orig),
                (p + "rope.scaling.attn_factor", F32,
                 math.sqrt(1 + math.log(scale) / math.log(orig)) if scale > 1 else 1.0)]
    if arch in ("gemma2", "gemma3"):
        out.append((p + "attention.sliding_window", U32, cfg["sliding_window"]))
    if arch == "gemma2":
        out += [(p + "attn_logit_softcapping", F32, cfg["attn_logit_softcapping"]),
                (p + "final_logit_softcapping", F32, cfg["final_logit_softcapping"])]
    if arch == "gemma3":
        if cfg.get("final_logit_softcapping"):
            out.append((p + "final_logit_softcapping", F32, cfg["final_logit_softcapping"]))
        if rope_local["rope_theta"] != 10000.0:
            out.append((p + "rope.freq_base_swa", F32, rope_local["rope_theta"]))
        slides = [t == "sliding_attention" for t in cfg["layer_types"]]
        if slides != [(i + 1) % 6 != 0 for i in range(len(slides))]:
            out.append((p + "attention.sliding_window_pattern", BOOL, slides))
    if cfg["model_type"] == "olmo3":
        out += [(p + "attention.sliding_window", U32, cfg["sliding_window"]),
                (p + "attention.sliding_window_pattern", BOOL,
                 [t == "sliding_attention" for t in cfg["layer_types"]])]
    if arch == "phi3":
        out.append((p + "attention.sliding_window", U32, cfg.get("sliding_window") or 0))
    if arch == "granite":
        out += [(p + "attention.scale", F32, cfg["attention_multiplier"]),
                (p + "embedding_scale", F32, cfg["embedding_multiplier"]),
                (p + "residual_scale", F32, cfg["residual_multiplier"]),
                (p + "logit_scale", F32, cfg["logits_scaling"])]
    tokens, types = vocabulary(cfg["vocab_size"])
    out += [("tokenizer.ggml.model", STR, "gpt2"), ("tokenizer.ggml.pre", STR, "gpt-2"),
            ("tokenizer.ggml.tokens", STR, tokens), ("tokenizer.ggml.token_type", I32, types),
            ("tokenizer.ggml.merges", STR, ["a b"]), ("tokenizer.ggml.bos_token_id", U32, 0),
            ("tokenizer.ggml.eos_token_id", U32, 1)]
    return out


def tensors_of(cfg, source, float32=False):
    """[(name, ggml type, shape outermost first, bytes)] in the order of the file."""
    arch = ARCH[cfg["model_type"]]
    heads = cfg["num_attention_heads"]
    kv_heads = cfg.get("num_key_value_heads") or heads
    head_width = cfg.get("head_dim") or cfg["hidden_size"] // heads
    out = []
    for name, (dtype, shape, raw) in source.items():
        if name == "lm_head.weight":
            if cfg.get("tie_word_embeddings"):
                continue
            new = "output.weight"
        elif name == "model.embed_tokens.weight":
            new = "token_embd.weight"
        elif name == "model.norm.weight":
            new = "output_norm.weight"
        else:
            _, _, layer, rest = name.split(".", 3)
            stem, kind = rest.rsplit(".", 1)
            if stem == "post_attention_layernorm":
                short = "post_attention_norm" if arch in GEMMA or arch == "olmo2" else "ffn_norm"
            else:
                short = LAYER_NAMES[stem]
            new = "blk.%s.%s.%s" % (layer, short, kind)
            if arch in INTERLEAVED and short in ("attn_q", "attn_k"):
                raw = interleave(raw, len(raw) // shape[0], heads if short == "attn_q" else kv_heads)
        if len(shape) == 1 or float32:
            values = to_f32(dtype, raw)
            if arch in GEMMA and name.endswith("norm.weight"):
                values = [v + 1.0 for v in values]
            dtype, raw = "F32", f32_bytes(values)
        out.append((new, DTYPES[dtype][0], shape, raw))
    rope, _ = rope_of(cfg)
    extra = []
    if rope.get("rope_type") == "llama3":
        extra.append(("rope_freqs.weight", llama3_factors(rope, head_width)))
    if rope.get("rope_type") == "longrope":
        extra += [("rope_factors_long.weight", rope["long_factor"]),
                  ("rope_factors_short.weight", rope["short_factor"])]
    return out + [(n, 0, [len(v)], f32_bytes(v)) for n, v in extra]


def pack_str(s):
    b = s.encode("utf-8")
    return struct.pack("<Q", len(b)) + b


def pack_value(kind, value):
    pack = {U32: lambda v: struct.pack("<I", v), I32: lambda v: struct.pack("<i", v), STR: pack_str,
            F32: lambda v: struct.pack("<f", v), BOOL: lambda v: struct.pack("<B", v)}[kind]
    if isinstance(value, list):
        return struct.pack("<IIQ", ARR, kind, len(value)) + b"".join(pack(v) for v in value)
    return struct.pack("<I", kind) + pack(value)


def write_gguf(path, keys, tensors):
    """Writes keys [(key, type, value)] and tensors [(name, ggml type, shape outermost first, bytes)]."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    for key, kind, value in keys:
        head += pack_str(key) + pack_value(kind, value)
    offset, body = 0, b""
    for name, kind, shape, raw in tensors:
        dims = list(reversed(shape))
        head += pack_str(name) + struct.pack("<I%dQIQ" % len(dims), len(dims), *dims, kind, offset)
        pad = -len(raw) % ALIGNMENT
        body += raw + b"\0" * pad
        offset += len(raw) + pad
    head += b"\0" * (-len(head) % ALIGNMENT)
    with open(path, "wb") as f:
        f.write(head + body)


def convert(folder, path, float32=False):
    """Writes the GGUF form of a folder; float32 widens every matrix."""
    with open(os.path.join(folder, "config.json")) as f:
        cfg = json.load(f)
    write_gguf(path, metadata(cfg, os.path.basename(os.path.normpath(folder))),
               tensors_of(cfg, read_safetensors(folder), float32))


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: gguf_convert.py FOLDER OUT.gguf [f32]")
    convert(sys.argv[1], sys.argv[2], sys.argv[3:] == ["f32"])
