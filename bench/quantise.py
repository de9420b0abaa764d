#!/usr/bin/env python3
"""Time to quantise a model, Loam against llama.cpp: the same file, the same threads, one after the other in one run.

    make all && python3 bench/quantise.py [MODEL.gguf] [--types Q4_0,Q4_K_M] [--rounds 3] [--threads 1] [--imatrix]

Both write to memory (/dev/shm), so that the disk does not count. Printed are medians of the rounds: seconds of the
processor, those on the wall in brackets, and for both the ratio, llama.cpp's time over Loam's. --imatrix: with importances
(all of them 1 to 65536, from a generator). The table of doc/quantize.md: --threads 1.
"""
import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path[:0] = [os.path.join(ROOT, "test/golden"), os.path.join(ROOT, "test/e2e")]
import _gguf  # noqa: E402
from mix import TYPES, Llama  # noqa: E402
from quantise_model import COUNT, importances, write_imatrix  # noqa: E402


def spent():
    """Seconds of the processor until now, of this process (llama.cpp's) and those that it has started (Loam's)."""
    use = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in use)


def timed(work):
    """Seconds of the processor, and on the wall."""
    begun, before = time.perf_counter(), spent()
    work()
    return spent() - before, time.perf_counter() - begun


def medians(times):
    return [statistics.median(t) for t in zip(*times)]


def main():
    cache = os.environ.get("LOAM_CACHE", os.path.join(ROOT, ".cache"))
    p = argparse.ArgumentParser()
    p.add_argument("model", nargs="?", default=os.path.join(cache, "bench/135M-F16.gguf"))
    p.add_argument("--types", default="Q8_0,Q5_1,Q4_0,Q6_K,Q4_K_S,Q3_K_S,Q2_K")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--imatrix", action="store_true")
    a = p.parse_args()
    libs = subprocess.run([os.path.join(ROOT, "script/peer.sh")], check=True, capture_output=True,
                          text=True).stdout.splitlines()[1]
    llama, program = Llama(libs), os.path.join(os.environ.get("LOAM_BUILD", os.path.join(ROOT, "build")), "loam")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as tmp:
        out, means, options = os.path.join(tmp, "out.gguf"), None, []
        if a.imatrix:
            sums = importances(_gguf.read(a.model)[1])
            means = {n: [x / COUNT for x in v] for n, v in sums.items()}
            options = ["--imatrix", write_imatrix(os.path.join(tmp, "imatrix.gguf"), sums)]
        for name in a.types.split(","):
            times = {"loam": [], "llama.cpp": []}
            command = [program, "quantize", a.model, out, name, "--force", "--threads", str(a.threads), *options]
            for _ in range(a.rounds):
                times["loam"].append(timed(lambda: subprocess.run(command, check=True, capture_output=True)))
                times["llama.cpp"].append(timed(lambda: llama.quantise(a.model, out, TYPES[name], means,
                                                                       threads=a.threads)))
            mine, theirs = (medians(times[k]) for k in ("loam", "llama.cpp"))
            print("%-7s loam %6.2f s (%6.2f), llama.cpp %6.2f s (%6.2f), ratio %.2f (%.2f)" % (
                name, *mine, *theirs, theirs[0] / mine[0], theirs[1] / mine[1]), flush=True)


main()
