#!/usr/bin/env python3
"""The documents that moved a run towards an answer, end to end: what a document says comes first where nothing else says it; the
scores are the definition's, the same bits for any threads and instruction set. Prints TAP."""
import json
import math
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import case, loam, main, note  # noqa: E402
from _train import texts, tmp, write_data, write_tokenizer  # noqa: E402

# Twelve documents that say something else than all the others, each the only one to say it.
WHO = ["Gus", "Hal", "Ida", "Jim", "Kim", "Lea"]
WHAT = ["kite", "sled", "drum", "vase", "coin", "rope"]
ROWS = texts(60) + ["%s owns a %s. The %s is owned by %s." % (a, b, b, a) for a, b in zip(WHO, WHAT)]
TOKENIZER = write_tokenizer(tmp("tokenizer"))
DATA = write_data(tmp("data.db"), ROWS)
RUN = tmp("run")
loam("train", RUN, "--data", DATA, "--tokenizer", TOKENIZER, "--layers", 2, "--width", 32, "--heads", 2, "--ff", 64, "--ctx", 64,
     "--batch", 4, "--micro", 4, "--steps", 300, "--lr", 0.01, "--warmup", 5, "--roots-every", 100, "--eval-every", 0, "--val-share", 0.05)


def why(prompt, answer, *more, run=RUN, want=0):
    got = loam("why", run, prompt, answer, "--json", *more, want=want)
    return json.loads(got.stdout) if want == 0 else got


@case("who says it alone comes first")
def _():
    first = 0
    for i, (a, b) in enumerate(zip(WHO, WHAT)):
        got = why("%s owns a" % a, " %s" % b, "--top", 3)
        assert [c["step"] for c in got["checkpoints"]] == [100, 200, 300], got
        assert len(got["documents"]) == 3 and got["documents"][0]["score"] >= got["documents"][1]["score"], got
        first += got["documents"][0]["name"] == "t-%d" % (60 + i)
    note("%d of %d first" % (first, len(WHO)))
    assert first >= len(WHO) - 2, first


@case("the same bits for any threads and instruction set")
def _():
    want = why("Ada put the", " lamp", "--top", 0)
    scores = [d["score"] for d in want["documents"]]
    assert len(scores) == len(set(d["id"] for d in want["documents"])) > 60 and scores == sorted(scores, reverse=True)
    for more in (("--threads", 3), ("--threads", 1, "--isa", "scalar")):
        assert why("Ada put the", " lamp", "--top", 0, *more) == want


@case("steps of a document are those of its uses, and the text form says the same")
def _():
    got = why("Gus owns a", " kite", "--top", 4)
    for d in got["documents"]:
        assert d["steps"] and d["steps"] == sorted(d["steps"]) and 1 <= d["steps"][0] <= 300, d
        assert ROWS[d["id"] - 1] and d["name"] == "t-%d" % (d["id"] - 1) and d["licence"] == "CC0-1.0"
    text = loam("why", RUN, "Gus owns a", " kite", "--top", 4).stdout
    for d in got["documents"]:
        assert d["name"] in text and "step %d" % d["steps"][0] in text, text


@case("the answer's loss is that of perplexity, and no checkpoint asks for the last one's alone")
def _():
    got = why("Ada put", " the lamp", "--checkpoints", 0)
    assert [c["step"] for c in got["checkpoints"]] == [300] and got["documents"] == [], got
    both, prompt = (tmp("%s.txt" % n) for n in ("both", "prompt"))
    for path, text in ((both, "Ada put the lamp"), (prompt, "Ada put")):
        with open(path, "w") as f:
            f.write(text)
    nll = [json.loads(loam("perplexity", RUN, p, "--json").stdout) for p in (both, prompt)]
    total = [x["nll"] * x["tokens"] for x in nll]
    assert math.isclose(total[0] - total[1], got["checkpoints"][0]["loss"], rel_tol=1e-4), (nll, got)


@case("without the document that comes first the answer is less likely")
def _():
    got = why("Kim owns a", " coin", "--top", 1)
    out = tmp("without")
    loam("rebuild", RUN, out, "--without", got["documents"][0]["name"])
    loss = why("Kim owns a", " coin", "--checkpoints", 0, run=out)["checkpoints"][0]["loss"]
    note("loss %.3f; without it %.3f" % (got["checkpoints"][-1]["loss"], loss))
    assert loss > got["checkpoints"][-1]["loss"] + 1, loss


@case("misuse: one line each")
def _():
    def bad(word, *args, want=2):
        got = loam("why", *args, want=want)
        assert word in got.stderr and got.stderr.count("\n") == 1, got.stderr
    bad("no token", RUN, "Ada", "")
    bad("context", RUN, "Ada " * 60, " put")
    bad("is no run", tmp("nowhere"), "a", "b")
    bad("missing", RUN, "Ada")
    bare = tmp("bare")
    shutil.copytree(RUN, bare)
    shutil.rmtree(os.path.join(bare, "ckpt"))
    bad("no checkpoint", bare, "Ada", " put")
    loam("why", RUN, "", "Ada")


main()
