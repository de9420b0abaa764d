#!/usr/bin/env python3
"""Makes test/golden/grad/lora.json: what peft and PyTorch say of adapters of the models in test/golden/models, for
test/prop/test_lora_golden.c: losses before and over 50 steps of AdamW for LoRA, rsLoRA and DoRA, and of one of the three
the gradients before the first step.

    $(script/venv.sh lm-eval) test/golden/grad_lora.py

Ids, weights of positions and the adapter's first numbers are formulas, which the test has too. In float32, eager
attention, no dropout; phi3's stacked matrices are taken apart first, for Loam's adapters have a pair of matrices for
each. Of each tensor's gradient the file holds [Euclidean norm, [row, column, value] ...].
"""
import json
import os
import sys
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
warnings.filterwarnings("ignore")

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "models")
OUT = os.path.join(HERE, "grad", "lora.json")
N, SEGMENTS, STEPS, RATE, DECAY = 80, [[0, 50], [50, 51], [51, 80]], 50, 5e-4, 0.01
PARTS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
         "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
VARIANTS = {"lora": dict(r=4, lora_alpha=10), "rslora": dict(r=19, lora_alpha=9, use_rslora=True),
            "dora": dict(r=5, lora_alpha=12, use_dora=True)}


def numbers(rows, cols, key, scale):
    """Pseudo-random in [-scale/2, scale/2), scale a power of two: exact in float32."""
    i = torch.arange(rows * cols, dtype=torch.int64).reshape(rows, cols)
    u = (i * 2654435761 + key * 40503 + 12345) % 2**32
    u = (u ^ u >> 15) * 2246822519 % 2**32
    return ((u ^ u >> 13) // 256).to(torch.float64).mul(2.0**-24).sub(0.5).mul(scale).float()


class Stacked(torch.nn.Module):
    """Several matrices below each other, apart."""

    def __init__(self, linear, names, sizes):
        super().__init__()
        for name, w in zip(names, linear.weight.detach().split(sizes)):
            one = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
            one.weight.data = w.clone()
            setattr(self, name, one)
        self.names = names

    def forward(self, x):
        return torch.cat([getattr(self, name)(x) for name in self.names], dim=-1)


def apart(model, c):
    for layer in model.model.layers:
        if hasattr(layer.self_attn, "qkv_proj"):
            head = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
            q, kv = c.num_attention_heads * head, c.num_key_value_heads * head
            layer.self_attn.qkv_proj = Stacked(layer.self_attn.qkv_proj, ["q_proj", "k_proj", "v_proj"], [q, kv, kv])
            layer.mlp.gate_up_proj = Stacked(layer.mlp.gate_up_proj, ["gate_proj", "up_proj"],
                                             [c.intermediate_size] * 2)


def load(name):
    folder = os.path.join(MODELS, name)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32,
                                             attn_implementation="eager")
    state = {}
    for f in sorted(os.listdir(folder)):
        if f.endswith(".safetensors"):
            state.update(load_file(os.path.join(folder, f)))
    missing, unexpected = model.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    return model


def tensor_name(full):
    """As in a saved adapter, without what stands between for stacked matrices."""
    return (full.replace(".default", "").replace("lora_magnitude_vector.weight", "lora_magnitude_vector")
            .replace("qkv_proj.", "").replace("gate_up_proj.", ""))


def key_of(name):
    layer, part = int(name.split("layers.")[1].split(".")[0]), next(i for i, p in enumerate(PARTS) if p in name)
    return 3 * (len(PARTS) * layer + part)


def prepare(model):
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        key = key_of(tensor_name(name))
        if "lora_A" in name:
            p.data = numbers(*p.shape, key, 0.5)
        elif "lora_B" in name:
            p.data = numbers(*p.shape, key + 1, 0.25)
        else:
            p.data = p.data * (1 + numbers(p.numel(), 1, key + 2, 0.25).flatten())


def losses(model, c, back):
    V = c.vocab_size
    i = torch.arange(N)
    ids, target = (i * 37 + i * i * 5 + 11) % V, (i * i * 13 + i * 3 + 7) % V
    weight = torch.tensor([0.0 if i % 7 == 3 else 0.25 if i % 5 == 1 else 1.0 for i in range(N)])
    total = 0.0
    for a, b in SEGMENTS:
        logits = model(input_ids=ids[a:b][None], use_cache=False).logits[0]
        one = torch.nn.functional.cross_entropy(logits, target[a:b], reduction="none")
        one = (one * weight[a:b]).sum() / N
        if back:
            one.backward()
        total += float(one.detach().double())
    return total


def gradients(model):
    g = torch.Generator().manual_seed(1)
    out = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            x, cols = p.grad.double() * N, p.shape[1] if p.dim() == 2 else 1
            pick = [int(x.abs().argmax()), *torch.randint(0, x.numel(), (1,), generator=g).tolist()]
            out[tensor_name(name)] = [float(x.norm()), *([k // cols, k % cols, float(x.flatten()[k])] for k in pick)]
    return out


def one(name, variant, with_grads):
    model = load(name)
    c = model.config.get_text_config()
    apart(model, c)
    names = [p.split(".")[1] for p in PARTS]
    wanted = [n for n, _ in model.named_modules() if n.split(".")[-1] in names]
    model = get_peft_model(model, LoraConfig(target_modules=wanted, lora_dropout=0.0, **VARIANTS[variant]))
    prepare(model)
    learned = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    groups = [{"params": [p for n, p in learned if ("magnitude" in n) == m], "weight_decay": 0 if m else DECAY}
              for m in (False, True)]
    adam = torch.optim.AdamW([g for g in groups if g["params"]], lr=RATE, betas=(0.9, 0.999), eps=1e-8)
    out = {"loss": []}
    for step in range(STEPS):
        adam.zero_grad()
        out["loss"].append(losses(model, c, True))
        if step == 0 and with_grads:
            out["grads"] = gradients(model)
        adam.step()
    with torch.no_grad():
        out["loss"].append(losses(model, c, False))
    return out


def short(x):
    return float(f"{x:.7g}") if isinstance(x, float) else [short(y) for y in x] if isinstance(x, list) else \
        {k: short(v) for k, v in x.items()} if isinstance(x, dict) else x


if __name__ == "__main__":
    torch.set_num_threads(1)
    names = sys.argv[1:] or sorted(n for n in os.listdir(MODELS) if os.path.isdir(os.path.join(MODELS, n))
                                   and n != "quant" and not n.endswith("-v4"))
    lines = []
    for i, name in enumerate(names):
        rows = {v: short(one(name, v, j == i % 3)) for j, v in enumerate(VARIANTS)}
        lines.append(f'"{name}": {json.dumps(rows, separators=(",", ":"))}')
    with open(OUT, "w") as f:
        f.write("{\n" + ",\n".join(lines) + "\n}\n")
