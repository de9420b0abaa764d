"""Makes test/golden/models: tiny random models of every family, and what transformers says of them.

    pip install -r script/requirements-golden.txt
    python test/golden/models.py                      # writes everything anew
    python test/golden/models.py --only gemma3        # one model and its variants
    python test/golden/models.py --peer PROGRAM LIBS  # afterwards, compare each GGUF form with llama.cpp
                                                      # (PROGRAM LIBS FILE logits ID ... prints logits)

A model is a Hugging Face folder: config.json, model.safetensors (or shards with an index), and ref.bin. A
variant is another folder whose weights are links to a model's, with a config.json of its own: it costs a few
kilobytes and tests what only the configuration changes. A folder NAME-v4 says the same as NAME in the keys of
transformers 4 (rope_theta, rope_scaling, sliding_window_pattern, torch_dtype), which is how most published
models are written; its ref.bin is a link.

ref.bin, little endian:
    char  magic[8] = "LOAMREF1"
    i32   n_ids, vocab, n_prefixes, n_greedy
    i32   ids[n_ids]
    i32   prefixes[n_prefixes]           lengths, ascending, the last one n_ids
    i32   greedy[n_greedy]               what greedy decoding appends to ids
    f32   logits[n_prefixes][vocab]      of the last position of each prefix

Logits are transformers' own, float32, eager attention, one forward pass over the prefix and nothing after it
(with LongRoPE the length decides the frequencies). The script fails if
  * decoding token by token through transformers' cache gives other logits than the prefixes,
  * a setting that a model is there to test could be dropped without moving the logits (see Model.matters),
  * the best token of the greedy continuation is closer than 1e-3 to the second.

models.json lists the folders: {"name", "weights": dtype, "gguf": null or the folder whose ref.bin the GGUF form
must meet}; and under "quant" the SHA-256 of quant/*.gguf and, by type, of the dequantised tensors of
quant/blocks.gguf (f32, little endian).
"""

import argparse
import copy
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
warnings.filterwarnings("ignore")

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import gguf_convert  # noqa: E402

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "models")
N_IDS, N_GREEDY = 64, 16
PREFIXES = [1, 2, 16, 17, 18, 32, 33, 34, 48, 64]
TOLERANCE = 1e-4  # of the tests; every setting must move some logits by 20 times that

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class Model:
    """config: keys of transformers 5. variants: {suffix: changed keys}. matters: {what: changed keys}, each of
    which must change the logits. v4: also write a folder with the keys of transformers 4. gguf: whether
    the GGUF form says the same (else None), or the changed keys under which it does."""

    def __init__(self, name, dtype, seed, config, matters, variants=(), v4=False, gguf=True, shards=1):
        self.name, self.dtype, self.seed, self.config, self.matters = name, dtype, seed, config, matters
        self.variants, self.v4, self.gguf, self.shards = dict(variants), v4, gguf, shards


class Variant:
    def __init__(self, config, matters, v4=False, gguf=True):
        self.config, self.matters, self.v4, self.gguf = config, matters, v4, gguf


def shape(d, heads, kv, f, layers, vocab=160, ctx=512, **more):
    return dict(hidden_size=d, num_attention_heads=heads, num_key_value_heads=kv, intermediate_size=f,
                num_hidden_layers=layers, vocab_size=vocab, max_position_embeddings=ctx, bos_token_id=0,
                eos_token_id=1, pad_token_id=None, **more)


def rope(theta=10000.0, kind="default", **more):
    return dict(rope_type=kind, rope_theta=theta, **more)


def nested(full, sliding):
    return {"full_attention": full, "sliding_attention": sliding}


LLAMA3 = rope(10000.0, "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)
YARN = rope(500.0, "yarn", factor=8.0, original_max_position_embeddings=64)
LONG = rope(10000.0, "longrope", partial_rotary_factor=0.75, short_factor=[1.0, 1.1, 1.35],
            long_factor=[1.08, 2.25, 6.5])

MODELS = [
    Model("llama", "BF16", 1, dict(model_type="llama", **shape(48, 6, 2, 56, 4), rms_norm_eps=1e-5,
                                   rope_parameters=LLAMA3),
          {"llama3 scaling": {"rope_parameters": rope()},
           "its factor": {"rope_parameters": dict(LLAMA3, factor=4.0)},
           "the smooth part": {"rope_parameters": dict(LLAMA3, high_freq_factor=1.001)}},
          {"yarn": Variant({"rope_parameters": rope(500.0, "yarn", factor=4.0, original_max_position_embeddings=64,
                                                    beta_fast=8.0, beta_slow=0.7, truncate=False,
                                                    attention_factor=1.3)},
                           {"truncate": {"rope_parameters": rope(500.0, "yarn", factor=4.0, beta_fast=8.0,
                                                                 beta_slow=0.7, attention_factor=1.3,
                                                                 original_max_position_embeddings=64)},
                            "betas": {"rope_parameters": rope(500.0, "yarn", factor=4.0, truncate=False,
                                                              attention_factor=1.3,
                                                              original_max_position_embeddings=64)}},
                           gguf=None)},
          v4=True),
    Model("mistral", "F16", 2, dict(model_type="mistral", **shape(36, 6, 2, 50, 4), head_dim=10, sliding_window=16,
                                    rope_parameters=rope(1000.0)),
          {"window": {"sliding_window": None}, "window of 15": {"sliding_window": 15},
           "window of 17": {"sliding_window": 17}},
          {"full": Variant({"sliding_window": None}, {"window": {"sliding_window": 16}})},
          v4=True, gguf="mistral-full"),  # GGUF has no window for architecture llama
    Model("smollm2", "F32", 3, dict(model_type="llama", **shape(36, 6, 3, 50, 3), tie_word_embeddings=True,
                                    rope_parameters=rope(100000.0), rms_norm_eps=1e-5),
          {"theta": {"rope_parameters": rope(10000.0)}, "eps": {"rms_norm_eps": 1e-1}}),
    Model("llama-bias", "F32", 4, dict(model_type="llama", **shape(32, 4, 2, 44, 3), attention_bias=True,
                                       mlp_bias=True, rope_parameters=rope(10000.0, "linear", factor=4.0)),
          {"linear scaling": {"rope_parameters": rope()}}, v4=True, shards=3),
    Model("qwen2", "BF16", 5, dict(model_type="qwen2", **shape(48, 6, 2, 56, 4), use_sliding_window=False,
                                   sliding_window=16, max_window_layers=2, rope_parameters=rope(1000000.0)),
          {"theta": {"rope_parameters": rope(10000.0)}},
          {"window": Variant({"use_sliding_window": True, "sliding_window": 16,
                              "layer_types": ["full_attention"] * 2 + ["sliding_attention"] * 2},
                             {"window": {"use_sliding_window": False, "layer_types": ["full_attention"] * 4}},
                             v4=True, gguf=None)},
          v4=True),
    Model("qwen3", "F16", 6, dict(model_type="qwen3", **shape(40, 4, 2, 60, 4), head_dim=16,
                                  tie_word_embeddings=True, rope_parameters=rope(1000000.0)),
          {"theta": {"rope_parameters": rope(10000.0)}},
          {"yarn": Variant({"rope_parameters": rope(1000.0, "yarn", factor=4.0,
                                                    original_max_position_embeddings=32)},
                           {"yarn": {"rope_parameters": rope(1000.0)},
                            "attention factor": {"rope_parameters": rope(1000.0, "yarn", factor=4.0,
                                                                         attention_factor=1.0,
                                                                         original_max_position_embeddings=32)}},
                           v4=True)}),
    Model("gemma2", "BF16", 7, dict(model_type="gemma2", **shape(40, 4, 2, 70, 4), head_dim=12,
                                    query_pre_attn_scalar=12, sliding_window=16, attn_logit_softcapping=4.0,
                                    final_logit_softcapping=6.0, rope_parameters=rope(),
                                    layer_types=["sliding_attention", "full_attention"] * 2),
          {"window": {"sliding_window": 64}, "which layers": {"layer_types": ["full_attention",
                                                                              "sliding_attention"] * 2},
           "attention cap": {"attn_logit_softcapping": None}, "final cap": {"final_logit_softcapping": None}},
          {"scalar": Variant({"query_pre_attn_scalar": 7, "attn_logit_softcapping": None,
                              "final_logit_softcapping": None}, {"scalar": {"query_pre_attn_scalar": 12}},
                             gguf=None)},
          v4=True),
    Model("gemma3", "BF16", 8, dict(model_type="gemma3_text", **shape(32, 4, 1, 48, 7), head_dim=12,
                                    query_pre_attn_scalar=12, sliding_window=16,
                                    layer_types=["sliding_attention"] * 5 + ["full_attention", "sliding_attention"],
                                    rope_parameters=nested(rope(1000000.0), rope(10000.0))),
          {"window": {"sliding_window": 64}, "local theta": {"rope_parameters": nested(rope(1e6), rope(1e6))},
           "global theta": {"rope_parameters": nested(rope(1e4), rope(1e4))},
           "which layers": {"layer_types": ["sliding_attention"] * 6 + ["full_attention"]}},
          {"linear": Variant({"rope_parameters": nested(rope(5000.0, "linear", factor=8.0), rope(200.0)),
                              "query_pre_attn_scalar": 12, "final_logit_softcapping": 5.0,
                              "layer_types": (["sliding_attention"] * 2 + ["full_attention"]) * 2
                              + ["sliding_attention"]},
                             {"factor": {"rope_parameters": nested(rope(5000.0), rope(200.0))},
                              "final cap": {"final_logit_softcapping": None},
                              "factor on sliding layers": {"rope_parameters": nested(
                                  rope(5000.0, "linear", factor=8.0), rope(200.0, "linear", factor=8.0))}},
                             v4=True)},
          v4=True),
    Model("olmo2", "F16", 9, dict(model_type="olmo2", **shape(48, 6, 2, 56, 4), rope_parameters=rope(500000.0)),
          {"theta": {"rope_parameters": rope(10000.0)}}, v4=True),
    Model("olmo3", "BF16", 10, dict(model_type="olmo3", **shape(40, 4, 2, 50, 5), sliding_window=16,
                                    rope_parameters=nested(YARN, rope(500.0)),
                                    layer_types=["sliding_attention"] * 3 + ["full_attention", "sliding_attention"]),
          {"window": {"sliding_window": 64}, "yarn": {"rope_parameters": nested(rope(500.0), rope(500.0))},
           "no yarn on sliding layers": {"rope_parameters": nested(YARN, YARN)},
           "the ramp": {"rope_parameters": nested(dict(YARN, beta_slow=0.01), rope(500.0))}}),
    Model("smollm3", "F16", 11, dict(model_type="smollm3", **shape(40, 4, 2, 52, 5), tie_word_embeddings=True,
                                     rope_parameters=rope(2000000.0), no_rope_layers=[1, 1, 1, 0, 1]),
          {"no rope": {"no_rope_layers": [1] * 5}},
          {"window": Variant({"no_rope_layers": [0, 1, 1, 0, 1], "use_sliding_window": True, "sliding_window": 16,
                              "layer_types": ["sliding_attention", "full_attention", "full_attention",
                                              "sliding_attention", "full_attention"]},
                             {"window": {"use_sliding_window": False, "layer_types": ["full_attention"] * 5}},
                             v4=True, gguf=None)},
          v4=True),
    Model("phi3", "BF16", 12, dict(model_type="phi3", **shape(48, 6, 2, 56, 4, ctx=128), rms_norm_eps=1e-5,
                                   original_max_position_embeddings=32, rope_parameters=LONG, sliding_window=None),
          {"long factors": {"rope_parameters": dict(LONG, long_factor=LONG["short_factor"])},
           "short factors": {"rope_parameters": dict(LONG, short_factor=LONG["long_factor"])},
           "attention factor": {"rope_parameters": dict(LONG, attention_factor=1.0)}},
          {"short": Variant({"original_max_position_embeddings": 1024, "max_position_embeddings": 8192},
                            {"attention factor": {"max_position_embeddings": 1024}}),
           "plain": Variant({"rope_parameters": rope(10000.0, partial_rotary_factor=1.0), "sliding_window": 16},
                            {"window": {"sliding_window": None}}, v4=True, gguf=None)},
          v4=True),
    Model("granite", "F32", 13, dict(model_type="granite", **shape(36, 6, 2, 50, 3), tie_word_embeddings=True,
                                     rope_parameters=rope(), embedding_multiplier=3.5, attention_multiplier=0.29,
                                     residual_multiplier=0.43, logits_scaling=1.7),
          {"embedding": {"embedding_multiplier": 1.0}, "attention": {"attention_multiplier": 6 ** -0.5},
           "residual": {"residual_multiplier": 1.0}, "logits": {"logits_scaling": 1.0}}, v4=True),
]


def make_config(keys):
    keys = copy.deepcopy(keys)
    cfg = AutoConfig.for_model(keys.pop("model_type"), **keys)
    cfg._attn_implementation = "eager"
    return cfg


def fill(model, seed, gemma):
    """Random weights: a healthy spread at every place, norm weights off their neutral value, biases not zero."""
    g = torch.Generator().manual_seed(seed)

    def normal(p, std, mean=0.0):
        return torch.randn(p.shape, generator=g) * std + mean

    for name, p in sorted(model.named_parameters()):
        if p.ndim == 1:
            p.data = normal(p, 0.3) if name.endswith("bias") else normal(p, 0.3, 0.0 if gemma else 1.0)
        elif "embed_tokens" in name:
            p.data = normal(p, 0.4)
        elif "lm_head" in name:
            p.data = normal(p, 2.0 / p.shape[1] ** 0.5)
        elif "q_proj" in name or "k_proj" in name or "qkv" in name:
            p.data = normal(p, 1.4 / p.shape[1] ** 0.5)
        else:
            p.data = normal(p, 1.0 / p.shape[1] ** 0.5)


def build(config, state):
    model = AutoModelForCausalLM.from_config(make_config(config), dtype=torch.float32,
                                             attn_implementation="eager").eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all("lm_head" in m for m in missing), (missing, unexpected)
    model.tie_weights()
    return model


@torch.no_grad()
def last_logits(model, ids):
    return model(torch.tensor([ids]), use_cache=False).logits[0, -1].float()


@torch.no_grad()
def stepwise(model, ids):
    """Logits of every position, decoded one token at a time through the cache."""
    past, out = None, []
    for i in ids:
        o = model(torch.tensor([[i]]), past_key_values=past, use_cache=True)
        past = o.past_key_values
        out.append(o.logits[0, -1].float())
    return torch.stack(out)


def distance(a, b):
    return float((a - b).abs().max() / b.abs().max())


def ids_of(seed, vocab):
    return torch.randint(2, vocab, (N_IDS,), generator=torch.Generator().manual_seed(1000 + seed)).tolist()


def reference(model, ids):
    """(bytes of ref.bin, logits by prefix)"""
    logits = torch.stack([last_logits(model, ids[:n]) for n in PREFIXES])
    if getattr(model.config, "rope_parameters", {}).get("rope_type") != "longrope":
        steps = stepwise(model, ids)
        for row, n in zip(logits, PREFIXES):
            assert distance(steps[n - 1], row) < 1e-5, "cache and prefix differ at %d" % n
    greedy, margin = list(ids), float("inf")
    for _ in range(N_GREEDY):
        top = last_logits(model, greedy).topk(2)
        margin = min(margin, float(top.values[0] - top.values[1]))
        greedy.append(int(top.indices[0]))
    assert margin > 1e-3, "greedy margin %g: choose another seed" % margin
    spread = float(logits.std())
    assert 0.3 < spread < 30, "spread of logits %g" % spread
    head = b"LOAMREF1" + struct.pack("<4i", N_IDS, logits.shape[1], len(PREFIXES), N_GREEDY)
    for v in (ids, PREFIXES, greedy[N_IDS:]):
        head += struct.pack("<%di" % len(v), *v)
    return head + logits.numpy().astype("<f4").tobytes(), logits


def check_matters(config, matters, state, ids, logits):
    for what, change in matters.items():
        other = build(dict(config, **copy.deepcopy(change)), state)
        moved = max(distance(last_logits(other, ids[:n]), row) for n, row in zip(PREFIXES, logits))
        assert moved > 20 * TOLERANCE, "%s moves the logits by %g only" % (what, moved)


def write_json(path, value):
    with open(path, "w") as f:
        json.dump(value, f, indent=1)
        f.write("\n")


def config_json(config, dtype):
    """config.json as transformers 5 writes it."""
    cfg = make_config(config)
    cfg.architectures = [type(AutoModelForCausalLM.from_config(cfg)).__name__]
    out = json.loads(cfg.to_json_string(use_diff=False))
    for key in ("_name_or_path", "transformers_version", "id2label", "label2id", "problem_type", "is_encoder_decoder",
                "output_attentions", "output_hidden_states", "return_dict", "chunk_size_feed_forward"):
        out.pop(key, None)
    out["dtype"] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}[dtype]
    out["transformers_version"] = "5.23.0"
    return out


def to_v4(cfg, pattern):
    """The same in the keys of transformers 4, leaving out what published files leave out."""
    out = {k: v for k, v in cfg.items() if v is not None or k == "pad_token_id"}
    kind = cfg["model_type"]
    out["torch_dtype"] = out.pop("dtype")
    out["transformers_version"] = "4.51.3"
    rp = out.pop("rope_parameters")
    local = None
    if "full_attention" in rp:
        rp, local = rp["full_attention"], rp["sliding_attention"]
    rp = dict(rp)
    out["rope_theta"] = rp.pop("rope_theta")
    if "partial_rotary_factor" in rp:
        out["partial_rotary_factor"] = rp.pop("partial_rotary_factor")
    if "original_max_position_embeddings" in out:
        rp.pop("original_max_position_embeddings", None)
        if kind == "phi3":
            rp["type"] = rp.pop("rope_type")  # as Phi's own files have it
    out["rope_scaling"] = None if rp.get("rope_type", rp.get("type")) == "default" else rp
    if kind == "gemma3_text":
        out["rope_local_base_freq"] = local["rope_theta"]
        out["sliding_window_pattern"] = pattern
    if kind in ("gemma2", "gemma3_text", "qwen2", "smollm3", "olmo3"):
        out.pop("layer_types", None)
    if kind == "smollm3" and out.get("no_rope_layers") == [1, 1, 1, 0, 1]:
        out.pop("no_rope_layers")
    if kind == "qwen2":
        out.setdefault("sliding_window", 16)
    if kind not in ("mistral", "qwen3", "gemma2", "gemma3_text"):
        out.pop("head_dim", None)
    if kind in ("gemma2", "gemma3_text", "smollm3"):
        out.pop("tie_word_embeddings")  # their default is tied
    if kind == "mistral":
        out["sliding_window"] = cfg["sliding_window"]  # null says something: the default is 4096
    return out


def link(target, name):
    if os.path.lexists(name):
        os.remove(name)
    os.symlink(target, name)


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)


def save_weights(folder, state, dtype, shards):
    state = {k: v.to(DTYPES[dtype]).contiguous() for k, v in state.items()}
    if shards == 1:
        save_file(state, os.path.join(folder, "model.safetensors"), {"format": "pt"})
        return
    names, index = sorted(state), {}
    for i in range(shards):
        file = "model-%05d-of-%05d.safetensors" % (i + 1, shards)
        part = {n: state[n] for n in names[i::shards]}
        index.update({n: file for n in part})
        save_file(part, os.path.join(folder, file), {"format": "pt"})
    size = sum(v.numel() * v.element_size() for v in state.values())
    write_json(os.path.join(folder, "model.safetensors.index.json"),
               {"metadata": {"total_size": size}, "weight_map": dict(sorted(index.items()))})


def write_v4(name, cfg, state, ids, logits, pattern, links):
    folder = os.path.join(HERE, name + "-v4")
    fresh(folder)
    v4 = to_v4(cfg, pattern)
    write_json(os.path.join(folder, "config.json"), v4)
    for file in links:
        link(file, os.path.join(folder, os.path.basename(file)))
    link("../%s/ref.bin" % name, os.path.join(folder, "ref.bin"))
    read = AutoConfig.from_pretrained(folder)
    model = AutoModelForCausalLM.from_config(read, dtype=torch.float32, attn_implementation="eager").eval()
    model.load_state_dict(state, strict=False)
    model.tie_weights()
    for n, row in zip(PREFIXES, logits):
        assert distance(last_logits(model, ids[:n]), row) < 1e-6, name + "-v4: transformers reads it otherwise"


def make(m):
    """Writes a model with its variants and returns their lines of models.json."""
    folder = os.path.join(HERE, m.name)
    fresh(folder)
    config = m.config
    model = AutoModelForCausalLM.from_config(make_config(config), dtype=torch.float32)
    fill(model, m.seed, config["model_type"].startswith("gemma"))
    tied = make_config(config).tie_word_embeddings
    state = {k: v.detach().to(DTYPES[m.dtype]).float().clone() for k, v in model.state_dict().items()
             if not (tied and k == "lm_head.weight")}
    save_weights(folder, state, m.dtype, m.shards)
    weights = sorted(f for f in os.listdir(folder))
    links = ["../%s/%s" % (m.name, f) for f in weights]
    lines = []
    todo = [(m.name, m.config, m)] + [(m.name + "-" + s, dict(config, **v.config), v) for s, v in m.variants.items()]
    for name, cfg, spec in todo:
        where = os.path.join(HERE, name)
        if spec is not m:
            fresh(where)
            for f in links:
                link(f, os.path.join(where, os.path.basename(f)))
        js = config_json(cfg, m.dtype)
        write_json(os.path.join(where, "config.json"), js)
        ids = ids_of(m.seed, cfg["vocab_size"])
        built = build(cfg, state)
        ref, logits = reference(built, ids)
        with open(os.path.join(where, "ref.bin"), "wb") as f:
            f.write(ref)
        check_matters(cfg, spec.matters, state, ids, logits)
        line = {"name": name, "weights": m.dtype,
                "gguf": {True: name, None: None}.get(spec.gguf, spec.gguf)}
        lines.append(line)
        if spec.v4:
            write_v4(name, js, state, ids, logits, 3 if name == "gemma3-linear" else 6, links)
            lines.append({"name": name + "-v4", "weights": m.dtype, "gguf": None})
        size = sum(os.path.getsize(os.path.join(where, f)) for f in os.listdir(where)
                   if not os.path.islink(os.path.join(where, f)))
        print("%-16s %7d bytes, std of logits %.2f" % (name, size, float(logits.std())))
    return lines


def read_ref(path):
    with open(path, "rb") as f:
        data = f.read()
    n_ids, vocab, n_pre, n_greedy = struct.unpack_from("<4i", data, 8)
    ints = struct.unpack_from("<%di" % (n_ids + n_pre + n_greedy), data, 24)
    logits = np.frombuffer(data, "<f4", offset=24 + 4 * len(ints)).reshape(n_pre, vocab)
    return ints[:n_ids], ints[n_ids:n_ids + n_pre], ints[n_ids + n_pre:], logits


QUANT_ROW = 256
K_BYTES = {"Q2_K": 84, "Q3_K": 110, "Q4_K": 144, "Q5_K": 176, "Q6_K": 210}


def k_blocks(kind, n, rng, std):
    """n random blocks of a K format: every bit of quants and scales random, the f16 super-block scales such that the
    values have about this standard deviation and a mean near 0. Layouts: gguf's quants.py dequantises them."""
    raw = rng.integers(0, 256, (n, K_BYTES[kind]), dtype=np.uint8)
    wide = {"Q2_K": 9.4, "Q3_K": 42.0, "Q4_K": 250.0, "Q5_K": 510.0, "Q6_K": 1370.0}[kind]  # std of value / d
    d = (std / wide * rng.uniform(0.5, 1.5, n)).astype("<f2")
    offset = {"Q2_K": 80, "Q3_K": 108, "Q4_K": 0, "Q5_K": 0, "Q6_K": 208}[kind]
    raw[:, offset:offset + 2] = d.view(np.uint8).reshape(n, 2)
    if kind in ("Q2_K", "Q4_K", "Q5_K"):
        mean = {"Q2_K": 1.5, "Q4_K": 7.5, "Q5_K": 15.5}[kind]
        raw[:, offset + 2:offset + 4] = (d.astype("f4") * mean).astype("<f2").view(np.uint8).reshape(n, 2)
    return raw


def quantised(kind, rows, width, rng, std):
    """(ggml type, bytes, f32[rows][width])"""
    t = gguf.GGMLQuantizationType[kind]
    if kind in K_BYTES:
        data = k_blocks(kind, rows * width // QUANT_ROW, rng, std).reshape(rows, -1)
    else:
        data = gguf.quants.quantize((rng.standard_normal((rows, width)) * std).astype(np.float32), t)
    values = gguf.quants.dequantize(data, t).astype("<f4").reshape(rows, width)
    return int(t), data.tobytes(), values


def quant_blocks(path, rng):
    """One tensor [8][512] a type, named by it, with scales of every kind in the first rows: 0, negative, the least
    subnormal and a large one. Returns the SHA-256 of each tensor's values, f32 little endian."""
    tensors, sums = [], {}
    for kind in QUANT_KINDS:
        t, raw, values = quantised(kind, 8, 512, rng, 1.0)
        if kind not in ("F32", "F16", "BF16"):
            block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(t)]
            a = np.frombuffer(raw, np.uint8).reshape(8, -1).copy()
            at = {"Q2_K": 80, "Q3_K": 108, "Q6_K": 208}.get(kind, 0)
            pairs = {"Q2_K", "Q4_K", "Q5_K", "Q4_1", "Q5_1"}
            for row, scale in enumerate((0x0000, 0x8000, 0xB555, 0x0001, 0x5640)):
                for i in range(0, 512 // block):
                    a[row, i * size + at:i * size + at + 2] = (scale & 255, scale >> 8)
                    if kind in pairs and row != 3:
                        a[row, i * size + at + 2:i * size + at + 4] = (scale & 255, scale >> 8)
            raw = a.tobytes()
            values = gguf.quants.dequantize(a, gguf.GGMLQuantizationType(t)).astype("<f4")
        assert np.isfinite(values).all(), kind
        tensors.append((kind, t, [8, 512], raw))
        sums[kind] = hashlib.sha256(values.tobytes()).hexdigest()
    keys = [("general.architecture", gguf_convert.STR, "llama"), ("general.name", gguf_convert.STR, "Blocks")]
    gguf_convert.write_gguf(path, keys, tensors)
    return sums


QUANT_KINDS = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
QUANT_MODEL = dict(model_type="llama", **shape(256, 4, 2, 256, 2, vocab=64), head_dim=32, tie_word_embeddings=False,
                   rope_parameters=rope())
QUANT_TYPES = {  # each format in a model, where its row width allows
    "model.embed_tokens": "Q6_K", "lm_head": "Q8_0",
    "0.self_attn.q_proj": "Q4_K", "0.self_attn.k_proj": "Q5_K", "0.self_attn.v_proj": "Q6_K",
    "0.self_attn.o_proj": "Q5_0", "0.mlp.gate_proj": "Q2_K", "0.mlp.up_proj": "Q3_K", "0.mlp.down_proj": "Q4_K",
    "1.self_attn.q_proj": "Q4_0", "1.self_attn.k_proj": "F16", "1.self_attn.v_proj": "BF16",
    "1.self_attn.o_proj": "Q4_1", "1.mlp.gate_proj": "Q5_1", "1.mlp.up_proj": "Q4_0", "1.mlp.down_proj": "Q5_K",
}


def quant():
    """quant/blocks.gguf, for the dequantisers, and quant/mixed.gguf, a llama with a format for each matrix, whose
    ref.bin transformers computes from the dequantised weights. Returns what models.json says of them."""
    folder = os.path.join(HERE, "quant")
    fresh(folder)
    rng = np.random.default_rng(77)
    out = {"f32": quant_blocks(os.path.join(folder, "blocks.gguf"), rng)}
    model = AutoModelForCausalLM.from_config(make_config(QUANT_MODEL), dtype=torch.float32)
    state, tensors = {}, []
    cfg = config_json(QUANT_MODEL, "F32")
    # The rows of q and k are made in the order of the GGUF file; the folder's order is computed back.
    for name, p in sorted(model.state_dict().items()):
        stem = name.replace("model.layers.", "").rsplit(".", 1)[0]
        new = gguf_convert.tensors_of(cfg, {name: ("F32", list(p.shape), b"\0" * (4 * p.numel()))})[0][0]
        if p.ndim == 1:
            values = (1 + 0.3 * rng.standard_normal(p.shape)).astype("<f4")
            tensors.append((new, 0, list(p.shape), values.tobytes()))
            state[name] = torch.from_numpy(values.copy())
            continue
        rows, width = p.shape
        std = 0.4 if "embed" in name else (2.0 if "lm_head" in name else 1.0) / width ** 0.5
        t, raw, values = quantised(QUANT_TYPES[stem], rows, width, rng, std)
        tensors.append((new, t, [rows, width], raw))
        if "q_proj" in name or "k_proj" in name:
            k = QUANT_MODEL["head_dim"]
            values = values.reshape(-1, k // 2, 2, width).swapaxes(1, 2).reshape(rows, width)
        state[name] = torch.from_numpy(values.copy())
    gguf_convert.write_gguf(os.path.join(folder, "mixed.gguf"), gguf_convert.metadata(cfg, "mixed"), tensors)
    ref, logits = reference(build(QUANT_MODEL, state), ids_of(77, QUANT_MODEL["vocab_size"]))
    with open(os.path.join(folder, "ref.bin"), "wb") as f:
        f.write(ref)
    for file in ("blocks.gguf", "mixed.gguf"):
        with open(os.path.join(folder, file), "rb") as f:
            data = f.read()
        out[file] = hashlib.sha256(data).hexdigest()
        print("quant/%-12s %5d bytes" % (file, len(data)))
    print("std of logits %.2f" % float(logits.std()))
    return out


def peer(program, libs, lines):
    """Compares GGUF forms with llama.cpp. Its key/value cache and its gelu table are in half precision."""
    bad = 0
    with tempfile.TemporaryDirectory() as tmp:
        for line in lines:
            if not line["gguf"]:
                continue
            path = os.path.join(tmp, line["name"] + ".gguf")
            gguf_convert.convert(os.path.join(HERE, line["name"]), path, float32=True)
            ids, prefixes, _, logits = read_ref(os.path.join(HERE, line["gguf"], "ref.bin"))
            worst = 0.0
            for n, row in zip(prefixes, logits):
                if n < 33 and line["name"] == "phi3":
                    continue  # llama.cpp chooses the long factors by the size of the context, here 512
                run = subprocess.run([program, libs, path, "logits", *map(str, ids[:n])], capture_output=True,
                                     text=True)
                if run.returncode:
                    print(line["name"], run.stderr.strip())
                    worst = float("inf")
                    break
                got = np.array([float(x) for x in run.stdout.split()])
                worst = max(worst, float(np.abs(got - row).max() / np.abs(row).max()))
            print("llama.cpp %-16s %.1e%s" % (line["name"], worst, "" if worst < 1e-2 else "  DIFFERS"))
            bad += not worst < 1e-2
    if bad:
        sys.exit("%d GGUF forms differ from llama.cpp" % bad)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--only")
    p.add_argument("--peer", nargs=2, metavar=("PROGRAM", "LIBS"))
    a = p.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    index = os.path.join(HERE, "models.json")
    if a.peer:
        with open(index) as f:
            peer(*a.peer, [x for x in json.load(f)["models"] if not a.only or x["name"].startswith(a.only)])
        return
    lines = []
    for m in MODELS:
        if not a.only or a.only == m.name:
            lines += make(m)
    if a.only:
        with open(index) as f:
            old = json.load(f)
        names = {x["name"] for x in lines}
        order = [x["name"] for x in old["models"]]
        lines = [x for x in old["models"] if x["name"] not in names] + lines
        lines.sort(key=lambda x: order.index(x["name"]) if x["name"] in order else len(order))
        sums = old["quant"]
    if not a.only or a.only == "quant":
        sums = quant()
    write_json(index, {"models": lines, "quant": sums})


if __name__ == "__main__":
    main()
