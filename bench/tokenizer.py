#!/usr/bin/env python3
"""Learning a tokenizer and encoding with it against the `tokenizers` library: the same texts, vocabulary and threads.

    bench/tokenizer.py [FILE.jsonl] [--vocab N] [--threads N] [--rounds N] [--mb N]

Without a file the texts are the built-in corpus. In each round both programs learn once and encode once, one after the
other; figures are medians. Of Loam the whole command counts (starting, reading, learning, writing); of the library only the
call that learns, on texts that are in memory already. Both give the same vocabulary, merges and number of ids, or it stops.

LOAM_BUILD (build) holds the programs; script/venv.sh tokenizers makes the library's environment.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from run import BUILD, LOAM, ROOT, busy_share, fail, say  # noqa: E402

REFERENCE = r'''
import json, sys, time
from tokenizers import Tokenizer, Regex, decoders, models, pre_tokenizers, trainers
texts = [json.loads(line)["text"] for line in open(sys.argv[1], encoding="utf-8")]
with open(sys.argv[2], encoding="utf-8") as f:
    pattern = json.load(f)["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
known = None
print("ready", flush=True)
for line in sys.stdin:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                                       pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trainer = trainers.BpeTrainer(vocab_size=int(sys.argv[3]), min_frequency=2, special_tokens=special, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    begun = time.perf_counter()
    tokenizer.train_from_iterator((texts[i:i + 1000] for i in range(0, len(texts), 1000)), trainer, len(texts))
    learnt = time.perf_counter()
    n = sum(len(e.ids) for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False))
    print(json.dumps({"learn": learnt - begun, "encode": time.perf_counter() - learnt, "ids": n}), flush=True)
    tokenizer.save(sys.argv[4])
'''


def main():
    p = argparse.ArgumentParser(description="Tokenizers against the tokenizers library.")
    p.add_argument("file", nargs="?", help="JSON Lines with the key text")
    p.add_argument("--vocab", type=int, help="pieces (8192; of the built-in corpus, which has not so many, 1400)")
    p.add_argument("--threads", type=int, default=min(2, len(os.sched_getaffinity(0))))
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--mb", type=float, default=20, help="megabytes of the file to take (20)")
    args = p.parse_args()
    args.vocab = args.vocab or (8192 if args.file else 1400)
    encode = os.path.join(BUILD, "bench/encode")
    if not os.path.exists(encode):
        fail("build/bench/encode is missing (make bench-tokenizer builds it)")
    python = subprocess.run([os.path.join(ROOT, "script/venv.sh"), "tokenizers"], check=True, capture_output=True, text=True).stdout.strip()
    at = tempfile.mkdtemp()
    texts, jsonl, raw = [], os.path.join(at, "texts.jsonl"), os.path.join(at, "texts")
    if args.file:
        size = 0
        with open(args.file, encoding="utf-8") as f:
            for line in f:
                texts.append(json.loads(line)["text"])
                size += len(texts[-1].encode())
                if size >= args.mb * 1e6:
                    break
    else:
        out = subprocess.run([LOAM, "corpus", "homeworld", "--docs", str(int(args.mb * 2300))], check=True, capture_output=True, text=True)
        texts = [json.loads(line)["text"] for line in out.stdout.splitlines()]
    texts = [t for t in texts if "\0" not in t]
    with open(jsonl, "w", encoding="utf-8") as f:
        f.writelines(json.dumps({"text": t}) + "\n" for t in texts)
    with open(raw, "wb") as f:
        f.writelines(t.encode() + b"\0" for t in texts)
    if busy_share() > 0.1:
        say("bench: other programs are using the CPUs: close them, or the figures mean little")
    ours, theirs = os.path.join(at, "ours"), os.path.join(at, "theirs.json")
    learn = [LOAM, "tokenizer", "train", jsonl, ours, "--vocab", str(args.vocab), "--threads", str(args.threads)]
    subprocess.run(learn, check=True, stdout=subprocess.DEVNULL)
    peer = subprocess.Popen([python, "-c", REFERENCE, jsonl, os.path.join(ours, "tokenizer.json"), str(args.vocab), theirs],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            env={**os.environ, "RAYON_NUM_THREADS": str(args.threads), "TOKENIZERS_PARALLELISM": "true"})
    if peer.stdout.readline() != "ready\n":
        fail("the library did not start")
    got = {"learn": [], "encode": []}
    for _ in range(args.rounds):
        shutil.rmtree(ours)
        begun = time.monotonic()
        subprocess.run(learn, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        took = time.monotonic() - begun
        said = json.loads(subprocess.run([encode, ours, raw, "--threads", str(args.threads), "--reps", "1"], check=True,
                                         capture_output=True, text=True).stdout)
        peer.stdin.write("\n")
        peer.stdin.flush()
        other = json.loads(peer.stdout.readline())
        if said["ids"] != other["ids"]:
            fail(f"{said['ids']} ids here, {other['ids']} there")
        got["learn"].append((took, other["learn"]))
        got["encode"].append((said["seconds"], other["encode"]))
    peer.stdin.close()
    peer.wait()
    with open(os.path.join(ours, "tokenizer.json"), encoding="utf-8") as a, open(theirs, encoding="utf-8") as b:
        here, there = (json.load(f)["model"] for f in (a, b))
    for what in "vocab", "merges":
        if here[what] != there[what]:
            fail(f"the two differ in their {what}")
    shutil.rmtree(at)
    size = said["bytes"] / 1e6
    print(f"{len(texts)} texts, {size:.1f} MB, {said['ids']} ids, vocabulary {args.vocab}, {args.threads} threads, {args.rounds} rounds\n")
    print("| | Loam | tokenizers | ratio |\n|---|---|---|---|")
    for what, pairs in got.items():
        a, b = (statistics.median(x[i] for x in pairs) for i in (0, 1))
        ratio = statistics.median(y / x for x, y in pairs)
        print(f"| {what} | {a:.2f} s, {size / a:.1f} MB/s | {b:.2f} s, {size / b:.1f} MB/s | {ratio:.2f} × |")


if __name__ == "__main__":
    main()
