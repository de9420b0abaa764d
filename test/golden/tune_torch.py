#!/usr/bin/env python3
"""Makes test/golden/train/tune.json: the losses of 50 steps of tuning all weights of every family's tiny model, on texts and on
pairs (DPO), as transformers and PyTorch compute them, for test/e2e/test_tune.py to compare with.

    $(script/venv.sh golden) test/golden/tune_torch.py

Written from doc/tune.md and the texts of src/tune/objective.h and src/train/{order,schedule,optim}.h: order, losses, schedule and
clipping are done again here; model, gradients and AdamW are transformers' and PyTorch's. Sequences are computed one by one, so
nothing is packed or padded. The loss of pairs is trl's "sigmoid" (DPOTrainer), without smoothing.
"""
import hashlib
import json
import os
import struct
import sys

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
import _tiny  # noqa: E402
from _tune import COURSE, FAMILIES, PAIRS, TALKS, line  # noqa: E402

OUT = os.path.join(HERE, "train", "tune.json")
BYTES = [10, *range(32, 127)]  # as _tiny.make_model() numbers them


def ids_of(user, answer):
    """By the template "plain": ids, and which of them are learned."""
    prompt, said = "User: %s\nAssistant:" % user, " %s\n" % answer
    ids = [0] + [len(_tiny.CONTROL) + BYTES.index(b) for b in (prompt + said).encode()]
    return torch.tensor([ids]), torch.tensor([0] * (1 + len(prompt)) + [1] * len(said))


def order(rows):
    """The examples by number of place: epoch after epoch."""
    digest = [hashlib.sha256(line(r).encode()).digest() for r in rows]
    epoch = 0
    while True:
        rank = [hashlib.sha256(b"loam order" + struct.pack("<QQ", COURSE["seed"], epoch) + d).digest() for d in digest]
        yield from (rows[i] for i in sorted(range(len(rows)), key=lambda i: rank[i]))
        epoch += 1


def rate(k, lr):
    n, w = COURSE["steps"], COURSE["warmup"]
    return lr * k / w if k <= w else lr * (1 - (k - 1 - w) / (n - w))


def log_p(model, user, answer):
    """Of the learned tokens, each."""
    ids, learn = ids_of(user, answer)
    logits = model(input_ids=ids).logits[0, :-1]
    each = F.log_softmax(logits, -1).gather(1, ids[0, 1:, None])[:, 0]
    return each[learn[1:] == 1]


def text_loss(model, rows, _):
    each = torch.cat([log_p(model, r["messages"][0]["content"], r["messages"][1]["content"]) for r in rows])
    return -each.mean()


def pair_loss(model, rows, reference):
    x = []
    for r in rows:
        policy = [log_p(model, r["prompt"], r[k]).sum() for k in ("chosen", "rejected")]
        with torch.no_grad():
            ref = [log_p(reference, r["prompt"], r[k]).sum() for k in ("chosen", "rejected")]
        x.append((policy[0] - policy[1]) - (ref[0] - ref[1]))
    return -F.logsigmoid(COURSE["beta"] * torch.stack(x)).mean()


def losses(family, objective):
    def load():
        return AutoModelForCausalLM.from_pretrained(os.path.join(HERE, "models", family), dtype=torch.float32,
                                                    attn_implementation="eager")
    model, reference = load().train(), load().eval()
    rows, loss_of = (TALKS, text_loss) if objective == "text" else (PAIRS, pair_loss)
    opt = torch.optim.AdamW(model.parameters(), lr=0, betas=(0.9, 0.999), eps=1e-8, weight_decay=0)
    out, stream = [], order(rows)
    for k in range(1, COURSE["steps"] + 1):
        opt.zero_grad()
        loss = loss_of(model, [next(stream) for _ in range(COURSE["batch"])], reference)
        loss.backward()
        norm = torch.sqrt(sum((p.grad.double() ** 2).sum() for p in model.parameters()))
        if norm > COURSE["clip"]:
            for p in model.parameters():
                p.grad *= (COURSE["clip"] / norm).float()
        for group in opt.param_groups:
            group["lr"] = rate(k, COURSE["lr"][objective])
        opt.step()
        out.append(loss.item())
    return out


torch.manual_seed(0)
torch.set_num_threads(1)
golden = {family: {o: losses(family, o) for o in ("text", "dpo")} for family in FAMILIES}
with open(OUT, "w") as f:
    f.write("{\n" + ",\n".join('"%s": %s' % (k, json.dumps(v, separators=(",", ":"))) for k, v in golden.items()) + "\n}\n")
