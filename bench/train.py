#!/usr/bin/env python3
"""A whole training step (losses, gradients, AdamW) against llm.c's CPU trainer and PyTorch, in one alternating run.

    bench/train.py [--rounds N] [--threads N] [--only NAME] [--growth [CASES]] [--json]

Every program is started once, warms up, and then takes one step whenever it is its turn, so that whatever else
changes on the machine changes for all; figures are medians over rounds (of ratios: of each round's ratio). A round in which others took more than a
twentieth of the CPUs from one of the programs is repeated (at most twice as many are run; if fewer than three are left,
all count, and the table says so). The shape is 6 layers, 384 wide, 6 heads, a
vocabulary of 8192, 4 sequences of 256 tokens: Llama's block with a feed-forward part of 1024 for Loam and PyTorch,
GPT-2's with 1536 for llm.c, which have the same number of weights. PyTorch runs eagerly and compiled; the faster one
counts. It gets an allocator that keeps its memory (M_* below), which helps it. Nobody but Loam computes the norm of the gradient.

--growth: instead, tokens a second and memory of Loam against width and context; all cases, or, for pieces of a minute, those
whose name contains CASES (`--growth width`, `--growth 'ctx 20'`).
LOAM_BUILD (build) holds build/bench/step; script/llmc.sh and script/venv.sh make the others.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from run import BUILD, CACHE, ROOT, Progress, busy_share, fail, jiffies, say  # noqa: E402

STEP = os.path.join(BUILD, "bench/step")
SHAPE = {"layers": 6, "width": 384, "heads": 6, "ff": 1024, "vocab": 8192, "batch": 4, "ctx": 256}
# glibc gives memory back and takes it anew, page by page, when tensors come and go; PyTorch's guides advise against it.
KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(64 << 20)}
BUSY = 0.05
TARGETS = {"llm.c": 4.5, "PyTorch": 1.2}


def script(*words):
    out = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if out.returncode:
        sys.exit(out.returncode)
    return out.stdout.split("\n")[-2]


class Program:
    """One that takes a step for every line."""

    def __init__(self, name, command, env=None):
        self.name, self.command = name, command
        self.p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                  env={**os.environ, "OMP_NUM_THREADS": THREADS, **(env or {})})

    def line(self):
        text = self.p.stdout.readline()
        if not text:
            fail(f"{' '.join(self.command)}: ended early")
        return text.strip()

    def wait_ready(self):
        while self.line() != "ready":
            pass

    def cpu(self):
        """Ticks that its threads have used."""
        with open(f"/proc/{self.p.pid}/stat") as f:
            return sum(int(x) for x in f.read().rsplit(")", 1)[1].split()[11:13])

    def step(self):
        """(seconds, share of the limit or None, share of the CPUs that others took)"""
        before, own = jiffies(), self.cpu()
        self.p.stdin.write("\n")
        self.p.stdin.flush()
        said = [float(x) for x in self.line().split()]
        after = jiffies()
        total, idle = after[0] - before[0], after[1] - before[1]
        others = max(0.0, (total - idle - (self.cpu() - own)) / max(1, total))
        return said[0], said[1] if len(said) > 1 else None, others

    def end(self):
        self.p.stdin.close()
        said = json.loads(self.p.stdout.read().strip().split("\n")[-1])
        _, status, usage = os.wait4(self.p.pid, 0)
        self.p.returncode = os.waitstatus_to_exitcode(status)
        return {**said, "peak_bytes": usage.ru_maxrss * 1024}


def loam(shape, *more):
    return [STEP, "--json", "--threads", THREADS, *(w for k, x in shape.items() for w in ("--" + k, str(x))), *more]


def contestants(s, only):
    def order(*keys):
        return [str(s[k]) for k in keys]

    torch = [script("script/venv.sh", VENV), os.path.join(ROOT, "bench/train_torch.py")]
    cache = {"TORCHINDUCTOR_CACHE_DIR": os.path.join(CACHE, "inductor"), **KEEP}
    shape = order("layers", "width", "heads", "ff", "vocab", "batch", "ctx") + [THREADS]
    make = {
        "Loam": lambda n: Program(n, loam(s, "--paced")),
        "llm.c": lambda n: Program(n, [script("script/llmc.sh"), *order("layers", "width", "heads", "vocab", "batch", "ctx")]),
        "PyTorch eager": lambda n: Program(n, [*torch, "eager", *shape], cache),
        "PyTorch compiled": lambda n: Program(n, [*torch, "compile", *shape], cache),
    }
    return [f(n) for n, f in make.items() if n == "Loam" or not only or only in n]


def quiet(a_round):
    return all(others <= BUSY for _, _, others in a_round)


def compare(args):
    programs = contestants(SHAPE, args.only)
    for p in programs:
        p.wait_ready()
    if busy_share() > 0.1:
        say("bench: other programs are using the CPUs: close them, or the figures mean little")
    rounds, bar = [], Progress(args.rounds * len(programs))
    while len(rounds) < 2 * args.rounds and sum(quiet(r) for r in rounds) < args.rounds:
        rounds.append([])
        for p in programs:
            bar.step(p.name)
            rounds[-1].append(p.step())
    bar.end()
    kept = [r for r in rounds if quiet(r)]
    kept = rounds if len(kept) < 3 else kept
    result = {"shape": SHAPE, "threads": args.threads, "rounds": len(rounds), "quiet": sum(quiet(r) for r in rounds),
              "programs": {}}
    for i, p in enumerate(programs):
        took = [r[i][0] for r in kept]
        result["programs"][p.name] = x = p.end()
        x.update(seconds=statistics.median(took), fastest=min(took), slowest=max(took))
        if p.name == "Loam":
            x["share"] = statistics.median(r[i][1] for r in kept)
            x["gflops"] = x["flop"] / x["seconds"] * 1e-9
    for name, x in result["programs"].items():
        i = [p.name for p in programs].index(name)
        x["ratio"] = statistics.median(r[i][0] / r[0][0] for r in kept)
    return result


def table(r):
    tokens, of = r["shape"]["batch"] * r["shape"]["ctx"], r["programs"]
    mine = of["Loam"]
    lines = ["| trainer | ms a step | tokens/s | peak memory | Loam's ratio |", "|---|---|---|---|---|"]
    for name, x in of.items():
        ratio = "" if name == "Loam" else f"{x['ratio']:.2f} ×"
        lines.append(f"| {name} | {x['seconds'] * 1e3:.0f} | {tokens / x['seconds']:.0f} | {x['peak_bytes'] / 1e6:.0f} MB "
                     f"| {ratio} |")
    lines.append("")
    lines.append(f"Loam: {mine['share']:.1%} of the limit of multiply-adds over the whole step ({mine['gflops']:.0f} GFLOP/s); "
                 f"digests: roots of weights and moments {mine['roots_s'] * 1e3:.0f} ms, {mine['digest_share']:.2%} of the time "
                 "when taken every 50 steps, a sealed line every step.")
    for what, least in TARGETS.items():
        ratio = min((x["ratio"] for n, x in of.items() if what in n), default=None)
        if ratio:
            lines.append(f"{what}: {ratio:.2f} ×, wanted {least} ×: {'reached' if ratio >= least else 'missed'}")
    lines.append(f"{r['quiet']} of {r['rounds']} rounds were undisturbed" + ("." if r["quiet"] >= 3 else ", too few: all count."))
    return "\n".join(lines)


def growth(args):
    rows = []
    cases = [({"width": w, "heads": w // 64, "ff": (w * 8 // 3 + 63) // 64 * 64, "batch": 8}, "width", w)
             for w in (128, 256, 384, 512, 768)]
    cases += [({"batch": 2048 // c, "ctx": c}, "ctx", c) for c in (128, 256, 512, 1024, 2048)]
    cases = [c for c in cases if args.growth in f"{c[1]} {c[2]}"]
    if not cases:
        fail(f"--growth {args.growth}: there is no such case")
    if busy_share() > 0.1:
        say("bench: other programs are using the CPUs: close them, or the figures mean little")
    bar = Progress(len(cases))
    for more, what, n in cases:
        bar.step(f"{what} {n}")
        out = subprocess.run(loam({**SHAPE, **more}, "--reps", str(args.rounds)), stdout=subprocess.PIPE, check=True).stdout
        rows.append({"what": what, "n": n, "ctx": more.get("ctx", SHAPE["ctx"]), **json.loads(out)})
    bar.end()
    return rows


def growth_table(rows):
    lines = ["| | batch | weights | tokens/s | share of the FMA limit | memory |", "|---|---|---|---|---|---|"]
    for r in rows:
        what = f"{r['n']} wide, context 256" if r["what"] == "width" else f"context {r['n']}, 384 wide"
        batch = f"{r['tokens'] // r['ctx']} x {r['ctx']}"
        lines.append(f"| {what} | {batch} | {r['params'] / 1e6:.1f} M | {r['tokens_s']:.0f} | {r['share']:.0%} | {r['bytes'] / 1e6:.0f} MB |")
    return "\n".join(lines)


def main():
    global THREADS, VENV
    p = argparse.ArgumentParser(description="A training step against llm.c and PyTorch.")
    p.add_argument("--rounds", type=int, default=9, metavar="N", help="steps of each program (9)")
    p.add_argument("--threads", type=int, default=min(2, len(os.sched_getaffinity(0))), metavar="N")
    p.add_argument("--only", metavar="NAME", help="beside Loam only peers whose name contains NAME")
    p.add_argument("--venv", default="torch", help="script/requirements-NAME.txt to take PyTorch from (torch)")
    p.add_argument("--growth", nargs="?", const="", metavar="CASES", help="tokens a second and memory against width and context")
    p.add_argument("--json", action="store_true", help="print JSON instead of the table")
    args = p.parse_args()
    THREADS, VENV = str(args.threads), args.venv
    if not os.path.exists(STEP):
        fail("build/bench/step is missing (make bench-train builds it)")
    result = compare(args) if args.growth is None else growth(args)
    print(json.dumps(result, indent=1) if args.json else table(result) if args.growth is None else growth_table(result))


if __name__ == "__main__":
    main()
