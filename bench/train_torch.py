#!/usr/bin/env python3
"""A training step of PyTorch on the shape of bench/step, a step for every line of standard input (bench/train.py).

    bench/train_torch.py eager|compile|autotune LAYERS WIDTH HEADS FF VOCABULARY BATCH CONTEXT THREADS

Llama's block as Loam computes it: RMS norms, rotary positions, scaled_dot_product_attention, SwiGLU, the output tied to
the embedding; binary32, no lower precision anywhere; fused AdamW. Prints "ready", then seconds a step, then JSON.
"""
import json
import os
import sys
import time

import torch
import torch.nn.functional as F

MODE, SHAPE = sys.argv[1], [int(x) for x in sys.argv[2:]]
L, D, H, FF, V, B, T, THREADS = SHAPE
K = D // H


def rotate(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.attn_norm, self.ffn_norm = torch.nn.RMSNorm(D, eps=1e-5), torch.nn.RMSNorm(D, eps=1e-5)
        self.qkv, self.o = torch.nn.Linear(D, 3 * D, bias=False), torch.nn.Linear(D, D, bias=False)
        self.gate_up, self.down = torch.nn.Linear(D, 2 * FF, bias=False), torch.nn.Linear(FF, D, bias=False)

    def forward(self, x, cos, sin):
        q, k, v = self.qkv(self.attn_norm(x)).view(B, T, 3, H, K).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True)
        x = x + self.o(y.transpose(1, 2).reshape(B, T, D))
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(V, D)
        self.blocks = torch.nn.ModuleList(Block() for _ in range(L))
        self.norm = torch.nn.RMSNorm(D, eps=1e-5)
        angle = torch.arange(T)[:, None] * 10000.0 ** (-torch.arange(0, K, 2) / K)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, ids, target):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return F.cross_entropy((self.norm(x) @ self.embed.weight.T).view(-1, V), target.view(-1))


def main():
    torch.set_num_threads(THREADS)
    torch.manual_seed(1)
    model = Model()
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() > 1:
                p.uniform_(-0.025, 0.025)
    run = model if MODE == "eager" else torch.compile(model, mode="max-autotune-no-cudagraphs" if MODE == "autotune" else None)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True)
    ids = torch.randint(V, (B * T + 1,))
    x, y = ids[:-1].view(B, T), ids[1:].view(B, T)

    def step():
        begun = time.perf_counter()
        loss = run(x, y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - begun, loss

    for _ in range(3):
        step()
    print("ready", flush=True)
    loss = None
    for _ in sys.stdin:
        seconds, loss = step()
        print("%.6f" % seconds, flush=True)
    print(json.dumps({"params": sum(p.numel() for p in model.parameters()), "loss": float(loss.detach()), "torch": torch.__version__,
                      "cpu": torch.backends.cpu.get_cpu_capability(), "allocator": os.environ.get("LD_PRELOAD", "")}))


if __name__ == "__main__":
    main()
