#!/usr/bin/env python3
"""Makes test/golden/grad/gradients.json: what transformers and PyTorch say of losses and gradients of the models in
test/golden/models, for test/prop/test_grad_golden.c.

    $(script/venv.sh golden) test/golden/grad.py

Each model sees the same kind of batch: ids, a target and a weight for each, in segments that are given to it one after
another. In float32, eager attention. Of each tensor's gradient the file holds the Euclidean norm and a few
elements [row, column, value]; tensors that hold several matrices below each other are given as those matrices.
"""
import json
import os
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
warnings.filterwarnings("ignore")

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "models")
OUT = os.path.join(HERE, "grad", "gradients.json")
N, SEGMENTS, ELEMENTS = 80, [[0, 50], [50, 51], [51, 80]], 6


def weights(folder):
    out = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".safetensors"):
            out.update(load_file(os.path.join(folder, name)))
    return out


def split(name, g, c):
    """The matrices that a stacked tensor holds."""
    if "qkv_proj" in name:
        head = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
        q, kv = c.num_attention_heads * head, c.num_key_value_heads * head
        parts = zip(("q_proj", "k_proj", "v_proj"), g.split([q, kv, kv]))
        return [(name.replace("qkv_proj", p), x) for p, x in parts]
    if "gate_up_proj" in name:
        parts = zip(("gate_proj", "up_proj"), g.chunk(2))
        return [(name.replace("gate_up_proj", p), x) for p, x in parts]
    return [(name, g)]


def one(name, seed):
    folder = os.path.join(MODELS, name)
    config = AutoConfig.from_pretrained(folder)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    state = {k: v.float() for k, v in weights(folder).items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    c = config.get_text_config()
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, c.vocab_size, (N,), generator=g)
    target = torch.randint(0, c.vocab_size, (N,), generator=g)
    weight = torch.tensor([0.0 if i % 7 == 3 else 0.25 if i % 5 == 1 else 1.0 for i in range(N)])
    losses = []
    for a, b in SEGMENTS:
        logits = model(input_ids=ids[a:b][None], use_cache=False).logits[0]
        loss = torch.nn.functional.cross_entropy(logits, target[a:b], reduction="none")
        (loss * weight[a:b]).sum().backward()
        losses += loss.tolist()
    grads = {}
    for full, p in model.named_parameters():
        for part, x in split(full, p.grad, c):
            x = x.double()
            pick = torch.randint(0, x.numel(), (ELEMENTS,), generator=g).tolist()
            cols = x.shape[1] if x.dim() == 2 else 1
            pick.append(int(x.abs().argmax()))
            grads[part] = {"norm": float(x.norm()),
                           "at": [[i // cols, i % cols, float(x.flatten()[i])] for i in pick]}
    return {"ids": ids.tolist(), "target": target.tolist(), "weight": weight.tolist(), "segments": SEGMENTS,
            "loss": losses, "grads": grads}


def short(x):
    return float(f"{x:.8g}") if isinstance(x, float) else [short(y) for y in x] if isinstance(x, list) else \
        {k: short(v) for k, v in x.items()} if isinstance(x, dict) else x


names = sorted(n for n in os.listdir(MODELS) if os.path.isdir(os.path.join(MODELS, n)) and n != "quant"
               and not n.endswith("-v4"))
os.makedirs(os.path.dirname(OUT), exist_ok=True)
with open(OUT, "w") as f:
    f.write("{\n" + ",\n".join(f'"{n}": {json.dumps(short(one(n, i)), separators=(",", ":"))}'
                               for i, n in enumerate(names)) + "\n}\n")
