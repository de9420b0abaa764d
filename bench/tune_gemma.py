#!/usr/bin/env python3
"""Gemma 3 270M (Q4_K_M) learns homeworld's facts from conversations: accuracy before and after, minutes, memory.

    bench/tune_gemma.py [--epochs X] [--rank N] [--lr X] [--keep FOLDER]

288 conversations ask each of the 96 facts in three wordings; held out is a fourth wording of each, which no conversation
has (loam corpus homeworld --quiz facts). Answers are greedy and right word for word (loam eval exact). Chance is that of
naming any answer to the same kind of question. One segment of the run is verified. LOAM_BUILD holds loam.
"""
import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from run import BUILD, CACHE, fail, say  # noqa: E402

LOAM = os.path.join(BUILD, "loam")
BASE = os.path.join(CACHE, "models/gemma-3-270m-q4_k_m.gguf")
FACTS, WANTED = 96, 0.90


def loam(*words):
    p = subprocess.run([LOAM, *map(str, words)], stdout=subprocess.PIPE, text=True)
    if p.returncode:
        fail("loam %s: status %d" % (words[0], p.returncode))
    return p.stdout


def write_talks(path, items):
    with open(path, "w") as f:
        for i in items:
            question = i["prompt"].removeprefix("Q: ").removesuffix("\nA:")
            f.write(json.dumps({"messages": [{"role": "user", "content": question},
                                             {"role": "assistant", "content": i["answer"]}]}) + "\n")
    return path


def accuracy(held_out, *more):
    """Greedily, a question a conversation."""
    got = json.loads(loam("eval", BASE, "exact", held_out, "--chat", "--template", "gemma", "--json", *more))
    return got["exact"]["accuracy"]


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--epochs", default="6")
    a.add_argument("--rank", default="16")
    a.add_argument("--lr", default="5e-4")
    a.add_argument("--keep")
    a = a.parse_args()
    folder = tempfile.mkdtemp()
    items = [json.loads(x) for x in loam("corpus", "homeworld", "--quiz", "facts", "-n", 4 * FACTS).splitlines()]
    held_out = write_talks(os.path.join(folder, "held-out.jsonl"), items[:FACTS])
    talks, run = write_talks(os.path.join(folder, "talks.jsonl"), items[FACTS:]), a.keep or os.path.join(folder, "run")
    chance, before = sum(i["chance"] for i in items[:FACTS]) / FACTS, accuracy(held_out)
    say("%d conversations; held out %d questions: chance %.1f %%, before %.1f %%" % (
        len(items) - FACTS, FACTS, 100 * chance, 100 * before))
    begun = time.monotonic()
    print(loam("tune", run, "--base", BASE, "--data", talks, "--template", "gemma", "--lora", a.rank, "--epochs", a.epochs,
               "--lr", a.lr, "--val-share", 0), end="")
    minutes = (time.monotonic() - begun) / 60
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    after = accuracy(held_out, "--lora", os.path.join(run, "adapter.gguf"))
    print(loam("verify", run, "--spot", 1), end="")
    print("accuracy    %.1f %% before, %.1f %% after (chance %.1f %%)\ntook        %.1f minutes, %.0f MB" % (
        100 * before, 100 * after, 100 * chance, minutes, peak))
    shutil.rmtree(folder)
    if after < WANTED:
        fail("less than %.0f %%" % (100 * WANTED))


main()
