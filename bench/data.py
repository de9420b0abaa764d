#!/usr/bin/env python3
"""How fast texts become a data set: `loam data build` of the same text in documents of several lengths and forms.

    bench/data.py [FILE] [--mb N] [--threads N] [--rounds N] [--only NAME] [--against PROGRAM]

Without a file the text is made of invented words in paragraphs of 235 bytes on average, the hardest case: what a document costs,
whatever its length, counts most. Each form is built `rounds` times, in turn; figures are medians. A megabyte is 10^6 bytes of plain
text. The time is the one that the command says of itself, with the file on disk; beside it stands what both threads computed.

--against: another loam takes turns with ours, and must make the same file, byte for byte.
LOAM_BUILD (build) holds the program. 50 MB/s are wanted of every form by 2 threads.
"""
import argparse
import gzip
import itertools
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from run import LOAM, busy_share, fail, say  # noqa: E402

WANTED = 50


def paragraphs(n_bytes):
    """Words of 1 to 10 letters, the frequent ones as frequent as in a language."""
    r, n = random.Random(1), 0
    words = ["".join(r.choices("etaoinshrdlucmfwypvbgk", k=r.choice((1, 2, 2, 3, 3, 3, 4, 4, 5, 6, 7, 8, 10)))) for _ in range(20000)]
    weights = list(itertools.accumulate(1 / (i + 5) for i in range(len(words))))
    while n < n_bytes:
        size = r.randint(60, 410)
        text = " ".join(r.choices(words, cum_weights=weights, k=size // 3))[:size].strip() + "."
        n += len(text) + 2
        yield text


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(text)
    return path


def forms(at, parts):
    """name: words of the command line behind OUT.db, made below the folder `at`."""
    whole = "\n\n".join(parts).encode()
    plain = write(os.path.join(at, "text.txt"), whole)
    for i in range(0, len(parts), 250):
        write(os.path.join(at, "folder", f"{i // 25000:03}", f"{i // 250:05}.txt"), "\n\n".join(parts[i:i + 250]).encode())
    cut = ["--split", "paragraphs"]
    return {
        "paragraphs of one file": [plain, *cut],
        "paragraphs of a folder": [os.path.join(at, "folder"), *cut],
        "files of a folder": [os.path.join(at, "folder")],
        "pieces of 4 KB": [plain, "--split-bytes", "4096"],
        "paragraphs, gzip": [write(os.path.join(at, "text.gz"), gzip.compress(whole, 6)), *cut],
        "JSON Lines": [write(os.path.join(at, "text.jsonl"), "".join(json.dumps({"text": t}) + "\n" for t in parts).encode())],
    }, len(whole)


def build(program, out, words, threads):
    """(what it says of itself, seconds of all threads together)"""
    if os.path.exists(out):
        os.unlink(out)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run([program, "data", "build", out, *words, "--json", "--threads", str(threads)], check=True,
                          capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return json.loads(said), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def same(a, b):
    with open(a, "rb") as x, open(b, "rb") as y:
        return x.read() == y.read()


def main():
    p = argparse.ArgumentParser(description="Megabytes a second of loam data build.")
    p.add_argument("file", nargs="?", help="a text with blank lines between its paragraphs")
    p.add_argument("--mb", type=float, default=40, help="megabytes of text (40)")
    p.add_argument("--threads", type=int, default=min(2, len(os.sched_getaffinity(0))))
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--only", metavar="NAME", help="forms whose name contains NAME")
    p.add_argument("--against", metavar="PROGRAM", help="another loam, which takes turns")
    args = p.parse_args()
    if args.file:
        with open(args.file, encoding="utf-8", errors="replace") as f:
            parts = [t for t in f.read(int(args.mb * 1e6)).split("\n\n") if t.strip()]
    else:
        parts = list(paragraphs(args.mb * 1e6))
    at = tempfile.mkdtemp()
    made, size = forms(at, parts)
    programs = {"loam": LOAM, **({"other": args.against} if args.against else {})}
    chosen = [name for name in made if not args.only or args.only in name]
    got = {(name, who): [] for name in chosen for who in programs}
    if busy_share() > 0.1:
        say("bench: other programs are using the CPUs: close them, or the figures mean little")
    for _ in range(args.rounds):
        for name in chosen:
            for who, program in programs.items():
                said, cpu = build(program, os.path.join(at, who + ".db"), made[name], args.threads)
                got[name, who].append((size / 1e6 / said["seconds"], cpu, said["documents"]))
            if args.against and not same(os.path.join(at, "loam.db"), os.path.join(at, "other.db")):
                fail(f"{name}: the two programs made different files")
    shutil.rmtree(at)
    print(f"{size / 1e6:.0f} MB of text, {args.threads} threads, {args.rounds} rounds\n")
    head = "".join(f" {who}, MB/s | its threads, s |" for who in programs)
    print(f"| documents | number |{head}\n|---|---|{'---|---|' * len(programs)}")
    for name in chosen:
        cells = ""
        for who in programs:
            rate, cpu = (statistics.median(x[i] for x in got[name, who]) for i in (0, 1))
            cells += f" {rate:.0f} | {cpu:.2f} |"
        print(f"| {name} | {got[name, 'loam'][0][2]} |{cells}")
    slowest = min(statistics.median(x[0] for x in got[name, "loam"]) for name in chosen)
    print(f"\nThe slowest: {slowest:.0f} MB/s, wanted {WANTED}: {'reached' if slowest >= WANTED else 'missed'}")


if __name__ == "__main__":
    main()
