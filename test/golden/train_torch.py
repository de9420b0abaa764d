#!/usr/bin/env python3
"""Makes test/golden/train/torch.json: the losses of 50 steps of a small run as PyTorch and transformers compute them, for
test/e2e/test_train.py to compare with.

    $(script/venv.sh golden) test/golden/train_torch.py

Written from the texts of src/train/*.h and doc/arithmetic.md, section 11, and from nothing of the program: initial weights,
held-out documents, order, segments, schedule and clipping are done again here; the tokenizer is the `tokenizers` library's, model
and gradients are transformers' and PyTorch's, the optimizer is torch.optim.AdamW.
"""
import hashlib
import json
import math
import os
import struct
import sys

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
from _train import END, texts, write_tokenizer  # noqa: E402

OUT = os.path.join(HERE, "train", "torch.json")
RUNS = {
    "qwen3": dict(arch="qwen3", layers=2, width=32, heads=2, kv_heads=1, head_width=16, ff=48, ctx=64, tied=True),
    "llama": dict(arch="llama", layers=3, width=48, heads=3, kv_heads=3, head_width=16, ff=64, ctx=40, tied=False),
}
COURSE = dict(batch=4, micro=2, steps=50, lr=0.003, min_lr=0.0003, warmup=10, beta1=0.9, beta2=0.95, eps=1e-8, decay=0.1, clip=1.0,
              seed=1, embed=0.02, gain=0.5, val_share=0.01, theta=10000.0, norm_eps=1e-6, documents=300)


def u64(x):
    return struct.pack("<Q", x)


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def philox(index, key):
    """Philox4x32-10 of many indices at once; purpose INIT is 3."""
    m = np.uint64(0xFFFFFFFF)
    c = [index & m, index >> np.uint64(32), np.full_like(index, 3), np.zeros_like(index)]
    k = [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(b >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]), b & m, (a >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]), a & m]
        k = [k[0] + 0x9E3779B9 & 0xFFFFFFFF, k[1] + 0xBB67AE85 & 0xFFFFFFFF]
    return c


def initial(name, shape, layers):
    if len(shape) == 1:
        return np.full(shape, 0.0 if name.endswith(".bias") else 1.0, np.float32)
    std = COURSE["embed"]
    if not name.endswith(("embed_tokens.weight", "lm_head.weight")):
        std = COURSE["gain"] / math.sqrt(shape[1])
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            std /= math.sqrt(2.0 * layers)
    key = int.from_bytes(sha(name.encode())[:8], "little") ^ COURSE["seed"]
    words = philox(np.arange(shape[0] * shape[1], dtype=np.uint64), key)
    total = sum((w & np.uint64(0xFFFF)) + (w >> np.uint64(16)) for w in words).astype(np.int64)
    scale = np.float32(std / 107019.83984290015)
    return ((2 * total - 524280).astype(np.float32) * scale).reshape(shape)


def model_of(r, vocab):
    common = dict(hidden_size=r["width"], num_hidden_layers=r["layers"], num_attention_heads=r["heads"],
                  num_key_value_heads=r["kv_heads"], head_dim=r["head_width"], intermediate_size=r["ff"], vocab_size=vocab,
                  max_position_embeddings=r["ctx"], tie_word_embeddings=r["tied"], rope_parameters={"rope_type": "default", "rope_theta": COURSE["theta"]},
                  rms_norm_eps=COURSE["norm_eps"], attn_implementation="eager", bos_token_id=None, eos_token_id=None,
                  pad_token_id=None)
    m = Qwen3ForCausalLM(Qwen3Config(**common)) if r["arch"] == "qwen3" else LlamaForCausalLM(LlamaConfig(**common))
    m = m.to(torch.float32).train()
    with torch.no_grad():
        for name, p in m.named_parameters():
            p.copy_(torch.from_numpy(initial(name, tuple(p.shape), r["layers"])))
    return m


def stream(docs, seed):
    """(token, next token or None) of the endless stream, with the number of the document's appearance."""
    epoch = appearance = 0
    while True:
        for d in sorted(docs, key=lambda d: sha(b"loam order", u64(seed), u64(epoch), d[0])):
            ids = d[1]
            for i, t in enumerate(ids):
                yield t, ids[i + 1] if i + 1 < len(ids) else None, appearance
            appearance += 1
        epoch += 1


def microbatch(tokens, ctx):
    """Ids, targets, positions and the mask of one microbatch."""
    ids = torch.tensor([[t[0] for t in tokens]])
    position, segment, pos, seg, before = [], [], 0, -1, None
    for _, _, appearance in tokens:
        if appearance != before or pos == ctx:
            seg, pos = seg + 1, 0
        before = appearance
        position.append(pos)
        segment.append(seg)
        pos += 1
    s = torch.tensor(segment)
    allowed = (s[:, None] == s[None, :]) & (torch.arange(len(s))[:, None] >= torch.arange(len(s))[None, :])
    mask = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)[None, None]
    target = torch.tensor([-100 if t[1] is None else t[1] for t in tokens])
    return ids, target, torch.tensor([position]), mask


def rate(k):
    c = COURSE
    if k <= c["warmup"]:
        return c["lr"] * k / c["warmup"]
    t = (k - 1 - c["warmup"]) / (c["steps"] - c["warmup"])
    return c["min_lr"] + (c["lr"] - c["min_lr"]) * math.cos(math.pi / 2 * t) ** 2


def train(r, folder):
    tok = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    end = tok.token_to_id(END)
    docs = []
    for text in texts(COURSE["documents"]):
        digest = sha(text.encode())
        u = int.from_bytes(sha(b"loam held out", u64(COURSE["seed"]), digest)[:8], "little")
        if (u >> 11) * 2.0 ** -53 >= COURSE["val_share"]:
            docs.append((digest, tok.encode(text).ids + [end]))
    m = model_of(r, tok.get_vocab_size())
    matrices = [p for p in m.parameters() if p.dim() == 2]
    vectors = [p for p in m.parameters() if p.dim() == 1]
    opt = torch.optim.AdamW([{"params": matrices, "weight_decay": COURSE["decay"]}, {"params": vectors, "weight_decay": 0.0}],
                            lr=1.0, betas=(COURSE["beta1"], COURSE["beta2"]), eps=COURSE["eps"])
    losses, norms, source = [], [], stream(docs, COURSE["seed"])
    for k in range(1, COURSE["steps"] + 1):
        opt.zero_grad()
        total, n = 0.0, 0
        for _ in range(COURSE["batch"] // COURSE["micro"]):
            tokens = [next(source) for _ in range(COURSE["micro"] * r["ctx"])]
            ids, target, position, mask = microbatch(tokens, r["ctx"])
            logits = m(input_ids=ids, position_ids=position, attention_mask=mask, use_cache=False).logits[0]
            loss = torch.nn.functional.cross_entropy(logits, target, ignore_index=-100, reduction="sum")
            loss.backward()
            total += loss.item()
            n += int((target >= 0).sum())
        for p in m.parameters():
            p.grad /= n
        norms.append(float(torch.nn.utils.clip_grad_norm_(m.parameters(), COURSE["clip"])))
        for g in opt.param_groups:
            g["lr"] = rate(k)
        opt.step()
        losses.append(total / n)
    return losses, norms


def main():
    import tempfile
    torch.set_num_threads(2)
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(folder)
        for name, r in RUNS.items():
            losses, norms = train(r, folder)
            out[name] = {"shape": r, "course": COURSE, "loss": losses, "norm": norms}
            print(name, losses[0], losses[-1])
    with open(OUT, "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")


main()
