#!/usr/bin/env python3
"""Is what was taken out forgotten, and is the rest kept? Over several seeds, each with facts of its own.

    bench/removal.py [--seeds 1,2,3,4,5] [--docs N] [--steps N] [--prove] [--json]

For each seed: a run over the built-in corpus, whose facts are asked in a wording that it never saw; then loam rebuild
without all documents that state one fact of each relation (another one for each seed); then the same questions. Printed
are, before and after, the facts taken out and the others, with Wilson's intervals at 95 %. Exit status 3 when it does not hold:

    forgotten   of the facts taken out more were answered than chance explains, and no more are: chance is in the interval
    kept        of the others as many are answered as before, within the interval of the difference (paired, by seed and fact)

--prove trains from scratch, too, and compares all bytes (loam rebuild --prove). LOAM_BUILD (build) holds the program.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOAM = os.path.join(ROOT, os.environ.get("LOAM_BUILD", "build"), "loam")
PER_RELATION = 12
Z = 1.959964


def loam(*args):
    done = subprocess.run([LOAM, *map(str, args)], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit("loam %s: exit status %d" % (" ".join(map(str, args))[:200], done.returncode))
    return done.stdout


def wilson(right, n):
    share, z2 = right / n, Z * Z
    middle, half = share + z2 / (2 * n), Z * (share * (1 - share) / n + z2 / (4 * n * n)) ** 0.5
    return max(0.0, (middle - half) / (1 + z2 / n)), min(1.0, (middle + half) / (1 + z2 / n))


def paired(before, after):
    """The mean change of answers that are asked twice, and its interval."""
    change = [b - a for a, b in zip(before, after)]
    mean = sum(change) / len(change)
    spread = (sum((c - mean) ** 2 for c in change) / (len(change) - 1) / len(change)) ** 0.5
    return mean, max(-1.0, mean - Z * spread), min(1.0, mean + Z * spread)


def chosen(facts, seed):
    """One fact of each relation: facts come relation by relation, PER_RELATION of each."""
    return [facts[r * PER_RELATION + (seed * 5 + r) % PER_RELATION] for r in range(len(facts) // PER_RELATION)]


def answers(run):
    asked = json.loads(loam("eval", run, "homeworld", "--mix", "tiny", "--kind", "facts", "--json"))
    return {item["id"]: int(item["right"]) for item in asked["items"]}, asked["facts"]["chance"]


def one(seed, facts, data, tok, folder, o):
    first, second = (os.path.join(folder, "%s-%d" % (n, seed)) for n in ("first", "second"))
    loam("train", first, "--data", data, "--tokenizer", tok, "--layers", 2, "--width", 64, "--heads", 2, "--ff", 192, "--ctx", 128,
         "--batch", 8, "--steps", o.steps, "--lr", 0.006, "--seed", seed, "--eval-every", 0)
    gone = chosen(facts, seed)
    documents = sorted({d for fact in gone for d in fact["documents"]})
    loam("rebuild", first, second, "--without", ",".join(documents), "--keep", 1, *(["--prove"] if o.prove else []))
    before, chance = answers(first)
    after, _ = answers(second)
    names = [fact["id"] for fact in gone]
    rest = [name for name in before if name not in names]
    return {"seed": seed, "documents": len(documents), "chance": chance, "facts": names,
            "gone": [[before[n], after[n]] for n in names], "kept": [[before[n], after[n]] for n in rest]}


def summary(pairs):
    before, after = zip(*pairs)
    mean, low, high = paired(before, after)
    return {"n": len(pairs), "before": sum(before), "before_interval": wilson(sum(before), len(pairs)), "after": sum(after),
            "after_interval": wilson(sum(after), len(pairs)), "change": mean, "change_interval": [low, high]}


def verdict(seeds):
    gone, kept = (summary([pair for s in seeds for pair in s[what]]) for what in ("gone", "kept"))
    return {"chance": seeds[0]["chance"], "gone": gone, "kept": kept,
            "forgotten": gone["after_interval"][0] <= seeds[0]["chance"] < gone["before_interval"][0], "stays": kept["change_interval"][1] >= 0}


def show(seeds, v):
    print("seed  documents  taken out: before, after  others: before, after")
    for s in seeds:
        counts = [sum(pair[i] for pair in s[what]) for what in ("gone", "kept") for i in (0, 1)]
        print("%4d  %9d  %2d, %2d of %d %11s %2d, %2d of %d" % (s["seed"], s["documents"], *counts[:2], len(s["gone"]), "", *counts[2:],
                                                           len(s["kept"])))
    for name, what in (("taken out", "gone"), ("others", "kept")):
        t = v[what]
        spans = [100 * x for key in ("before", "after") for x in (t[key] / t["n"], *t[key + "_interval"])]
        print("%-10s  before %.1f %% (%.1f to %.1f), after %.1f %% (%.1f to %.1f)" % (name, *spans), end="")
        print(", change %+.1f points (%+.1f to %+.1f)" % tuple(100 * x for x in (t["change"], *t["change_interval"])))
    print("forgotten   %s (chance %.1f %%)" % ("yes" if v["forgotten"] else "NO", 100 * v["chance"]))
    print("kept        %s" % ("yes" if v["stays"] else "NO"))


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--seeds", default="1,2,3,4,5", type=lambda text: [int(s) for s in text.split(",")])
    p.add_argument("--docs", type=int, default=1000)
    p.add_argument("--steps", type=int, default=600)
    p.add_argument("--prove", action="store_true")
    p.add_argument("--json", action="store_true")
    o = p.parse_args()
    data = "homeworld:docs=%d,mix=tiny" % o.docs
    facts = [json.loads(line) for line in loam("corpus", "homeworld", "--mix", "tiny", "--docs", o.docs, "--facts").splitlines()]
    with tempfile.TemporaryDirectory(dir=os.environ.get("LOAM_TMP")) as folder:
        world, tok = os.path.join(folder, "world.jsonl"), os.path.join(folder, "tok")
        with open(world, "w") as f:
            f.write(loam("corpus", "homeworld", "--mix", "tiny", "--docs", o.docs))
        loam("tokenizer", "train", world, tok, "--vocab", 700)
        seeds = []
        for seed in o.seeds:
            seeds.append(one(seed, facts, data, tok, folder, o))
            print("removal.py: seed %d done" % seed, file=sys.stderr)
    v = verdict(seeds)
    print(json.dumps({**v, "seeds": seeds})) if o.json else show(seeds, v)
    sys.exit(0 if v["forgotten"] and v["stays"] else 3)


if __name__ == "__main__":
    main()
