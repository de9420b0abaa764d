#!/usr/bin/env python3
"""Whole models against llama.cpp, on random models of stated shapes that are written on the way, and one real one.

    bench/run.py [--quick] [--only TEXT] [--threads N] [--rounds N] [--json] [--clean]

Every figure is a median over rounds; in each round both programs run once on the same file, one after the other,
so that whatever else changes on the machine changes for both. Only the ratios are worth quoting. Prints a
Markdown table (--json: JSON instead; it is also left in .cache/bench/result.json). Other programs that compute
at the same time spoil the measure, the peer's more than ours: the share of the CPUs that they took is told.

LOAM_BUILD (build) holds the programs; models are kept in .cache/bench for the next time (--clean removes them).
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHE = os.environ.get("LOAM_CACHE", os.path.join(ROOT, ".cache"))
MODELS = os.path.join(CACHE, "bench")
BUILD = os.path.join(ROOT, os.environ.get("LOAM_BUILD", "build"))
LOAM, PEER, MAKE_MODEL = (os.path.join(BUILD, p) for p in ("loam", "bench/peer", "bench/make_model"))

SHAPES = {
    "1.08 B": "--layers 16 --width 2048 --ff 8192 --heads 32 --kv-heads 8 --vocab 50304 --ctx 8192",
    "135 M": "--layers 30 --width 576 --ff 1536 --heads 9 --kv-heads 3 --vocab 49152 --ctx 8192",
}
REAL = "Gemma 3 270M"
# (shape, type, prompt, decode, depth, rounds in full mode, in quick mode)
CASES = [
    ("1.08 B", "Q4_0", 512, 64, 0, 3, 1),
    ("1.08 B", "Q8_0", 512, 64, 0, 3, 1),
    ("1.08 B", "Q4_K_M", 512, 64, 0, 3, 1),
    ("135 M", "Q4_0", 512, 64, 0, 5, 2),
    ("135 M", "Q8_0", 512, 64, 0, 5, 2),
    ("135 M", "F16", 512, 64, 0, 5, 2),
    (REAL, "Q4_K_M", 512, 64, 0, 5, 2),
    ("1.08 B", "Q4_0", 4096, 32, 4096, 1, 0),
    ("135 M", "Q8_0", 4096, 64, 4096, 3, 0),
    (REAL, "Q4_K_M", 4096, 64, 4096, 3, 0),
]
BUSY = 0.1  # share of the CPUs used by others from which on figures are not to be trusted
FIRST = {"prompt": "The house at the end of the lane", "tokens": 9, "runs": 5}


def say(text, end="\n"):
    print(text, file=sys.stderr, end=end, flush=True)


class Progress:
    """A line that is redrawn on a terminal; elsewhere one line a step."""

    def __init__(self, total):
        self.total, self.done, self.live = total, 0, sys.stderr.isatty()
        self.start = time.monotonic()

    def step(self, what):
        spent = time.monotonic() - self.start
        left = f", about {spent / self.done * (self.total - self.done):.0f} s left" if self.done else ""
        if self.live:
            say(f"\r\033[K{self.done}/{self.total} {what}{left}", end="")
        else:
            say(f"{self.done}/{self.total} {what}{left}")
        self.done += 1

    def end(self):
        if self.live:
            say("\r\033[K", end="")


def fail(text):
    say(f"bench: {text}")
    sys.exit(1)


def jiffies():
    with open("/proc/stat") as f:
        n = [int(x) for x in f.readline().split()[1:9]]
    return sum(n), n[3] + n[4]  # all, idle


def busy_share(seconds=1.0):
    """Share of the CPUs that others use now."""
    a = jiffies()
    time.sleep(seconds)
    b = jiffies()
    return 1 - (b[1] - a[1]) / max(1, b[0] - a[0])


def run(command):
    """(standard output, seconds, peak bytes, share of the CPUs that others used) of a program that must succeed."""
    start, before = time.monotonic(), jiffies()
    p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, errors = p.stdout.read(), p.stderr.read()  # what they say on stderr is a line or two
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    took, after = time.monotonic() - start, jiffies()
    if p.returncode:
        fail(f"{' '.join(command)}: exit {p.returncode}\n{errors}")
    own = (usage.ru_utime + usage.ru_stime) * os.sysconf("SC_CLK_TCK")
    total = max(1, after[0] - before[0])
    others = max(0.0, (total - (after[1] - before[1]) - own) / total)
    return out, took, usage.ru_maxrss * 1024, others


def model_file(shape, kind):
    """The path of a model, written or fetched when it is not there."""
    if shape == REAL:
        return subprocess.run([sys.executable, os.path.join(ROOT, "script/fetch-model.py")], check=True,
                              stdout=subprocess.PIPE, text=True).stdout.split("\n")[-2]
    os.makedirs(MODELS, exist_ok=True)
    path = os.path.join(MODELS, f"{shape.replace(' ', '').replace('.', '_')}-{kind}.gguf")
    newest = os.path.getmtime(os.path.join(ROOT, "bench/make_model.c"))
    if not os.path.exists(path) or os.path.getmtime(path) < newest:
        say(f"writing {os.path.relpath(path, ROOT)}")
        run([MAKE_MODEL, path + ".new", "--type", kind, *SHAPES[shape].split()])
        os.replace(path + ".new", path)
    return path


def measure(case, args, libs, bar):
    shape, kind, prompt, decode, depth, full, quick = case
    rounds = args.rounds or (quick if args.quick else full)
    path = model_file(shape, kind)
    counts = ["-p", str(prompt), "-n", str(decode), "--depth", str(depth), "--threads", str(args.threads), "--reps", "1"]
    commands = {"loam": [LOAM, "bench", path, "--json", *counts], "peer": [PEER, libs, path, *counts]}
    got = {"loam": [], "peer": []}
    for _ in range(rounds):
        for who, command in commands.items():
            bar.step(f"{shape} {kind}, {prompt} + {decode}: {'Loam' if who == 'loam' else 'llama.cpp'}")
            out, _, peak, others = run(command)
            got[who].append({**json.loads(out), "peak_bytes": peak, "others": others})
    result = {"model": f"{shape} {kind}", "prompt": prompt, "decode": decode, "depth": depth or prompt, "rounds": rounds,
              "file_bytes": os.path.getsize(path)}
    for who, runs in got.items():
        result[who] = {k: statistics.median(r[k] for r in runs) for k in ("prefill_tok_s", "decode_tok_s", "peak_bytes", "others")}
    return result


def first_token(args, libs, bar):
    """Seconds from the start of the process to the end of one that gives one token."""
    path = model_file(REAL, "Q4_K_M")
    commands = {
        "loam": [LOAM, "run", path, "-p", FIRST["prompt"], "-n", "1", "--temp", "0", "--threads", str(args.threads)],
        "peer": [PEER, libs, path, "--first", "-p", str(FIRST["tokens"]), "--threads", str(args.threads)],
    }
    got = {"loam": [], "peer": []}
    for i in range(FIRST["runs"] + 1):
        for who, command in commands.items():
            bar.step(f"{REAL}: time to the first token")
            seconds = run(command)[1]
            if i:
                got[who].append(seconds)
    return {"model": f"{REAL} Q4_K_M", **{who: {"first_token_s": statistics.median(s)} for who, s in got.items()}}


def table(results, first):
    lines = ["| model | measure | Loam | llama.cpp | ratio |", "|---|---|---|---|---|"]

    def row(model, what, ours, theirs, ratio, form):
        lines.append(f"| {model} | {what} | {form(ours)} | {form(theirs)} | {ratio:.2f} × |")

    spoiled = [max(r["loam"]["others"], r["peer"]["others"]) for r in results]

    def rate(x):
        return f"{x:.0f} tokens/s" if x >= 100 else f"{x:.1f} tokens/s"

    for r in results:
        a, b = r["loam"], r["peer"]
        row(r["model"], f"prefill {r['prompt']}", a["prefill_tok_s"], b["prefill_tok_s"],
            a["prefill_tok_s"] / b["prefill_tok_s"], rate)
        what = f"decode {r['decode']}" + (f" at depth {r['depth']}" if r["depth"] > 512 else "")
        row(r["model"], what, a["decode_tok_s"], b["decode_tok_s"], a["decode_tok_s"] / b["decode_tok_s"], rate)
        row(r["model"], "peak memory", a["peak_bytes"], b["peak_bytes"], a["peak_bytes"] / b["peak_bytes"],
            lambda x: f"{x / 1e6:.0f} MB")
    if first:
        a, b = first["loam"]["first_token_s"], first["peer"]["first_token_s"]
        row(first["model"], "first token from process start", a, b, a / b, lambda x: f"{x * 1e3:.0f} ms")
    if any(x > BUSY for x in spoiled):
        lines += ["", "Others used the CPUs meanwhile, by case: " + ", ".join(f"{x:.0%}" for x in spoiled)]
    return "\n".join(lines)


def main():
    p = argparse.ArgumentParser(description="Speed and memory of whole models against llama.cpp.")
    p.add_argument("--quick", action="store_true", help="under three minutes: one or two rounds, no long contexts")
    p.add_argument("--only", metavar="TEXT", help="cases whose name contains TEXT, like Q8_0 or '135 M'")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), metavar="N")
    p.add_argument("--rounds", type=int, metavar="N", help="rounds of every case")
    p.add_argument("--json", action="store_true", help="print JSON instead of the table")
    p.add_argument("--clean", action="store_true", help="remove the models afterwards")
    args = p.parse_args()
    for program in (LOAM, PEER, MAKE_MODEL):
        if not os.path.exists(program):
            fail(f"{os.path.relpath(program)} is missing (make bench builds it)")
    cases = [c for c in CASES if (not args.quick or c[6]) and (not args.only or args.only in f"{c[0]} {c[1]}")]
    out = subprocess.run([os.path.join(ROOT, "script/peer.sh")], stdout=subprocess.PIPE, text=True, check=True).stdout
    libs = out.split("\n")[-2]
    for c in cases:
        model_file(c[0], c[1])
    if busy_share() > BUSY:
        say("bench: other programs are using the CPUs: close them, or the figures mean little")
    bar = Progress(sum(2 * (args.rounds or c[6 if args.quick else 5]) for c in cases) +
                   (0 if args.only else 2 * FIRST["runs"] + 2))
    report = {"threads": args.threads, "cases": [], "first_token": None}
    for i in range(len(cases) + (not args.only)):
        if i < len(cases):
            report["cases"].append(measure(cases[i], args, libs, bar))
        else:
            report["first_token"] = first_token(args, libs, bar)
        with open(os.path.join(MODELS, "result.json"), "w") as f:  # what is measured stays, whatever comes
            json.dump(report, f, indent=1)
    bar.end()
    print(json.dumps(report, indent=1) if args.json else table(report["cases"], report["first_token"]))
    if args.clean:
        for name in os.listdir(MODELS):
            if name.endswith(".gguf"):
                os.unlink(os.path.join(MODELS, name))


if __name__ == "__main__":
    main()
