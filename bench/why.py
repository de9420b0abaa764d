#!/usr/bin/env python3
"""How good loam why is, against two truths: the built-in corpus knows which documents state a fact, and loam rebuild gives the
run without some of its documents.

    bench/why.py [--docs N] [--steps N] [--questions N] [--subsets N] [--checkpoints N] [--run RUN] [--json]

hit rate at 10   how many of the documents that state the fact (or of ten of them) stand among the first ten, mean over questions;
                 chance: the share of such documents among all
LDS              linear datamodelling score (Park et al. 2023): random halves of the documents are taken out by loam rebuild; Spearman's
                 rank correlation over the halves between the sum of the scores of the documents that stay and minus the answer's
                 loss, mean over questions; 0 is chance, 1 is perfect. --subsets 0 leaves it out

Without --run a run is trained in a folder of its own. With --run RUN over homeworld:docs=N,mix=tiny (the same N) that one is asked.
LOAM_BUILD (build) holds the program.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOAM = os.path.join(ROOT, os.environ.get("LOAM_BUILD", "build"), "loam")


def loam(*args):
    done = subprocess.run([LOAM, *map(str, args)], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit("loam %s: exit status %d" % (" ".join(map(str, args))[:200], done.returncode))
    return done.stdout


def rows(text):
    return [json.loads(line) for line in text.splitlines()]


def ranks(x):
    order, out = sorted(range(len(x)), key=lambda i: x[i]), [0.0] * len(x)
    at = 0
    while at < len(order):
        end = at
        while end + 1 < len(order) and x[order[end + 1]] == x[order[at]]:
            end += 1
        for i in order[at:end + 1]:
            out[i] = (at + end) / 2
        at = end + 1
    return out


def spearman(x, y):
    a, b = ranks(x), ranks(y)
    n, ma, mb = len(x), sum(a) / len(a), sum(b) / len(b)
    top = sum((a[i] - ma) * (b[i] - mb) for i in range(n))
    below = (sum((v - ma) ** 2 for v in a) * sum((v - mb) ** 2 for v in b)) ** 0.5
    return top / below if below else 0.0


def train(folder, o):
    world, data, tok, run = (os.path.join(folder, n) for n in ("world.jsonl", "world.db", "tok", "run"))
    with open(world, "w") as f:
        f.write(loam("corpus", "homeworld", "--mix", "tiny", "--docs", o.docs))
    loam("tokenizer", "train", world, tok, "--vocab", 700)
    loam("train", run, "--data", "homeworld:docs=%d,mix=tiny" % o.docs, "--tokenizer", tok, "--layers", 2, "--width", 64, "--heads", 2,
         "--ff", 192, "--ctx", 128, "--batch", 8, "--steps", o.steps, "--lr", 0.006, "--eval-every", 0, "--val-share", 0)
    return run


def loss_of(run, question, *more):
    return rows(loam("why", run, question["prompt"], " " + question["answer"] + "\n", "--json", *more))[0]


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in (("docs", 240), ("steps", 300), ("questions", 12), ("subsets", 8), ("checkpoints", 3)):
        p.add_argument("--" + name, type=int, default=default)
    p.add_argument("--run")
    p.add_argument("--json", action="store_true")
    o = p.parse_args()
    facts = rows(loam("corpus", "homeworld", "--mix", "tiny", "--docs", o.docs, "--facts"))
    quiz = rows(loam("corpus", "homeworld", "--mix", "tiny", "--quiz", "facts", "--docs", 96))
    chosen = [i * 96 // o.questions for i in range(o.questions)]
    out = {"docs": o.docs, "questions": o.questions, "checkpoints": o.checkpoints}
    with tempfile.TemporaryDirectory(dir=os.environ.get("LOAM_TMP")) as folder:
        run = o.run or train(folder, o)
        scores, hits = [], []
        for i in chosen:
            found = loss_of(run, quiz[i], "--top", 0, "--checkpoints", o.checkpoints)["documents"]
            truth = set(facts[i]["documents"])
            scores.append({d["name"]: d["score"] for d in found})
            hits.append(sum(d["name"] in truth for d in found[:10]) / min(10, len(truth)))
        out["hit_rate_at_10"] = sum(hits) / len(hits)
        out["chance"] = sum(len(facts[i]["documents"]) for i in chosen) / len(chosen) / o.docs
        names, kept, losses = sorted(scores[0]), [], []
        random.seed(1)
        for s in range(o.subsets):
            gone = random.sample(names, len(names) // 2)
            sub = os.path.join(folder, "sub-%d" % s)
            loam("rebuild", run, sub, "--without", ",".join(gone), "--keep", 1)
            kept.append(set(names) - set(gone))
            losses.append([loss_of(sub, quiz[i], "--checkpoints", 0)["checkpoints"][0]["loss"] for i in chosen])
        if o.subsets:
            lds = [spearman([sum(scores[q][n] for n in sorted(k)) for k in kept], [-row[q] for row in losses])
                   for q in range(len(chosen))]
            out["lds"] = sum(lds) / len(lds)
            out["lds_of_each"] = [round(x, 3) for x in lds]
            out["subsets"] = o.subsets
    if o.json:
        print(json.dumps(out))
    else:
        print("hit rate at 10  %.1f %% of the fact's documents (by chance %.1f %%)" % (100 * out["hit_rate_at_10"], 100 * out["chance"]))
        if o.subsets:
            print("LDS             %.2f over %d halves, %d questions" % (out["lds"], o.subsets, o.questions))


if __name__ == "__main__":
    main()
