#!/usr/bin/env python3
"""Makes test/golden/train/adamw.json: what PyTorch's AdamW does with given gradients, for test/unit/test_optim.c.

    $(script/venv.sh golden) test/golden/train.py
"""
import json
import os

import torch

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "train", "adamw.json")
N, STEPS = 6, 12
CASES = [
    {"lr": 0.01, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "decay": 0.1, "clip": 0.0},
    {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-6, "decay": 0.0, "clip": 1.0},
    {"lr": 0.05, "beta1": 0.0, "beta2": 0.9, "eps": 1e-3, "decay": 0.3, "clip": 0.25},
]


def run(case, seed):
    torch.manual_seed(seed)
    w = torch.randn(N, dtype=torch.float32)
    p = torch.nn.Parameter(w.clone())
    opt = torch.optim.AdamW([p], lr=case["lr"], betas=(case["beta1"], case["beta2"]), eps=case["eps"],
                            weight_decay=case["decay"], foreach=False, fused=False)
    grads, weights = [], [w.tolist()]
    for t in range(STEPS):
        g = torch.randn(N) * (0.01 if t % 4 == 3 else 1.0)
        grads.append(g.tolist())
        p.grad = g.clone()
        if case["clip"]:
            torch.nn.utils.clip_grad_norm_([p], case["clip"])
        opt.step()
        weights.append(p.detach().tolist())
    return {**case, "grads": grads, "weights": weights}


with open(OUT, "w") as f:
    json.dump([run(c, i) for i, c in enumerate(CASES)], f, indent=None, separators=(",", ":"))
    f.write("\n")
