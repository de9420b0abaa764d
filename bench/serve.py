#!/usr/bin/env python3
"""Tokens a second of `loam serve` over HTTP, one client and several at once, against llama.cpp.

    bench/serve.py [--model NAME] [--streams N] [--prompt N] [--tokens N] [--rounds N] [--threads N] [--json]

Each client sends a prompt of its own (random ids) and reads its answer as a stream of events; counted are the tokens that
came while all ran. llama.cpp's server is not packaged, so what stands against ours is what it is built on: one call of
llama_decode() for a token of every sequence (bench/peer --streams), without HTTP, sampling or text, which no server on top
of it can exceed. In each round every program runs once, one after the other; medians over rounds, and only the
ratios are worth quoting. MODEL: "1.08 B", "135 M" (Q4_0), or "Gemma 3 270M" (Q4_K_M), as in bench/run.py.
"""
import argparse
import http.client
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from run import BUSY, LOAM, PEER, REAL, ROOT, SHAPES, busy_share, fail, model_file, say  # noqa: E402


class Stream(threading.Thread):
    """A client; the time of every token."""

    def __init__(self, address, seed, args):
        super().__init__()
        ids = random.Random(seed).choices(range(1000, 40000), k=args.prompt)
        self.address, self.times = address, []
        self.body = json.dumps({"prompt": ids, "max_tokens": args.tokens, "ignore_eos": True, "stream": True, "seed": seed,
                                "temperature": 1})

    def run(self):
        c = http.client.HTTPConnection(self.address, timeout=600)
        c.request("POST", "/v1/completions", self.body)
        r = c.getresponse()
        if r.status != 200:
            fail(f"loam serve: {r.status} {r.read()}")
        for line in r:
            if line.startswith(b"data: {"):
                self.times.append(time.monotonic())
        c.close()


def rate(streams):
    """Tokens a second from the first token of the last stream that begins to the last of the first that ends."""
    begun, ended = max(s.times[0] for s in streams), min(s.times[-1] for s in streams)
    return sum(begun < t <= ended for s in streams for t in s.times) / (ended - begun)


def ours(path, args, n):
    command = [LOAM, "serve", path, "--port", "0", "--threads", str(args.threads), "--ctx", str(args.prompt + args.tokens + 8)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = server.stdout.readline().strip().removeprefix("http://")
        if not address:
            fail("loam serve did not start")
        streams = [Stream(address, seed, args) for seed in range(n)]
        for s in streams:
            s.start()
        for s in streams:
            s.join()
        return rate(streams)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def theirs(path, args, n, libs):
    command = [PEER, libs, path, "-p", str(args.prompt), "-n", str(args.tokens), "--threads", str(args.threads), "--reps", "1",
               "--streams", str(n)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)["decode_tok_s"]


def table(args, got):
    lines = [f"| {args.model}: streams | loam serve, tokens/s | against one | llama.cpp's llama_decode | against one | ratio |",
             "|---|---|---|---|---|---|"]
    for n in got["loam"]:
        a, b = ((got[who][n], got[who][n] / got[who][1]) for who in ("loam", "peer"))
        lines.append(f"| {n} | {a[0]:.1f} | {a[1]:.2f} × | {b[0]:.1f} | {b[1]:.2f} × | {a[0] / b[0]:.2f} × |")
    return "\n".join(lines)


def main():
    p = argparse.ArgumentParser(description="Tokens a second of loam serve, one client and several, against llama.cpp.")
    p.add_argument("--model", default=REAL, choices=[REAL, *SHAPES])
    p.add_argument("--streams", type=int, default=8, metavar="N")
    p.add_argument("--prompt", type=int, default=32, metavar="N")
    p.add_argument("--tokens", type=int, default=64, metavar="N")
    p.add_argument("--rounds", type=int, default=3, metavar="N")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), metavar="N")
    p.add_argument("--json", action="store_true", help="print JSON instead of the table")
    args = p.parse_args()
    path = model_file(args.model, "Q4_K_M" if args.model == REAL else "Q4_0")
    out = subprocess.run([os.path.join(ROOT, "script/peer.sh")], stdout=subprocess.PIPE, text=True, check=True).stdout
    libs, counts = out.split("\n")[-2], sorted({1, args.streams})
    if busy_share() > BUSY:
        say("bench: other programs are using the CPUs: close them, or the figures mean little")
    runs = {who: {n: [] for n in counts} for who in ("loam", "peer")}
    for i in range(args.rounds):
        say(f"round {i + 1} of {args.rounds}")
        for n in counts:
            runs["loam"][n].append(ours(path, args, n))
            runs["peer"][n].append(theirs(path, args, n, libs))
    got = {who: {n: statistics.median(r) for n, r in of.items()} for who, of in runs.items()}
    print(json.dumps({"model": args.model, **got, "runs": runs}, indent=1) if args.json else table(args, got))


if __name__ == "__main__":
    main()
