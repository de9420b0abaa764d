#!/usr/bin/env python3
"""models/homeworld, the model that comes with the repository: it works at once, it is what its page says, and anybody can
execute a part of its training again. Prints TAP."""
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import LOAM, ROOT, case, loam, main, tmp  # noqa: E402

MODEL = os.path.join(ROOT, "models", "homeworld")
BYTES_MAX = 8_000_000

with open(os.path.join(MODEL, "README.md"), encoding="utf-8") as f:
    PAGE = f.read()


def files(folder):
    """But the note that loam verify leaves of itself: other tests verify this run, too."""
    return [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names if name != "verified.json"]


@case("it is small, whole, and names no place of the machine that made it")
def _():
    paths = files(MODEL)
    assert sum(map(os.path.getsize, paths)) <= BYTES_MAX
    assert {"recipe.json", "inputs.json", "chain.jsonl", "model.gguf"} <= {os.path.basename(p) for p in paths}
    with open(os.path.join(MODEL, "inputs.json")) as f:
        assert json.load(f)["data"].startswith("homeworld:")


@case("loam run homeworld answers a question about a story and one about the world")
def _():
    story = "Anna was in the garden. There was a red ball on the table in the hall. Anna went to the hall. Anna took the " \
            "red ball from the table. Anna went to the kitchen.\nQ: Where is Anna?\nA:"
    assert loam("run", "homeworld", "--temp", 0, "-n", 8, "--stop", "\n", "-p", story, cwd=ROOT).stdout.strip() == "In the kitchen."
    fact = json.loads(loam("corpus", "homeworld", "--docs", 1, "--facts").stdout.splitlines()[40])
    answer = loam("run", MODEL, "--temp", 0, "-n", 8, "--stop", "\n", "-p", "Q: %s\nA:" % fact["question"]).stdout
    assert answer.strip() == fact["answer"], (fact, answer)


@case("make install brings the whole run, and the installed program finds it by name")
def _():
    there, elsewhere = os.path.join(tmp(), "installed"), os.path.join(tmp(), "elsewhere")
    os.mkdir(elsewhere)
    before = os.stat(LOAM)
    subprocess.run(["make", "-s", "install", "PREFIX=" + there, "BUILD=" + os.path.dirname(LOAM)], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    assert os.stat(LOAM).st_mtime == before.st_mtime, "linked anew, while other tests run it"
    model = os.path.join(there, "share", "loam", "models", "homeworld")
    assert {os.path.relpath(f, model) for f in files(model)} == {os.path.relpath(f, MODEL) for f in files(MODEL)}
    said = subprocess.run([os.path.join(there, "bin", "loam"), "run", "homeworld", "--temp", "0", "-n", "4", "-p",
                           "Q: Who made the yellow lamp?\nA:"], cwd=elsewhere, check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "Orrin", said


@case("it scores what its page says")
def _():
    scores = json.loads(loam("eval", MODEL, "homeworld", "--mix", "small", "--json", timeout=300).stdout)
    for kind in "facts", "reading", "plans":
        s = scores[kind]
        assert re.search(r"\| %s \| %d of %d \|" % (kind, s["right"], s["n"]), PAGE), (kind, s["right"], s["n"])
    assert scores["facts"]["accuracy"] >= 0.95


@case("the commands of its page give its tokenizer and its recipe")
def _():
    place = os.path.join(tmp(), "again")
    os.mkdir(place)
    with open(os.path.join(place, "small.jsonl"), "w") as f:
        f.write(loam("corpus", "homeworld", "--mix", "small", "--docs", 48000).stdout)
    loam("data", "build", "small.db", "small.jsonl", cwd=place)
    loam("tokenizer", "train", "small.db", "tokenizer", "--vocab", 768, cwd=place)
    command = re.search(r"^loam (train homeworld .*?)\n```", PAGE, re.M | re.S).group(1).replace("\\\n", " ").replace('"', "")
    loam(*command.split(), "--until", 1, cwd=place, timeout=300)
    for name in "tokenizer/tokenizer.json", "recipe.json":
        assert open(os.path.join(place, "homeworld", name)).read() == open(os.path.join(MODEL, name)).read(), name
    first = open(os.path.join(place, "homeworld", "chain.jsonl")).readlines()
    assert first == open(os.path.join(MODEL, "chain.jsonl")).readlines()[:2]


@case("verify executes both its segments: from random weights, and up to the weights that are shipped")
def _():
    out = json.loads(loam("verify", MODEL, "--spot", 2, "--challenge", "test", "--json", timeout=600).stdout)
    assert out["verified"] and out["finished"] and out["model"] and out["segments"] == out["of_segments"] == 2
    assert out["weights"] in PAGE


@case("a changed weight, moment or line of the chain is found and named")
def _():
    for name, wanted in ("model.gguf", "model.gguf"), ("model.safetensors", "model.safetensors|embed|layers|norm"), \
            ("optimizer.safetensors", "moment"), ("chain.jsonl", "chain|step|line"):
        copy = os.path.join(tmp(), "copy")
        shutil.copytree(MODEL, copy)
        path, = [p for p in files(copy) if os.path.basename(p) == name]
        with open(path, "r+b") as f:
            data = bytearray(f.read())
            at = len(data) * 2 // 3
            if name == "chain.jsonl":  # a digit of a digest: the line stays well-formed
                at = data.index(b'"digest":"', at) + 20
            data[at] = (ord("1") if data[at] == ord("0") else ord("0")) if name == "chain.jsonl" else data[at] ^ 1
            f.seek(0)
            f.write(data)
        error = loam("verify", copy, "--spot", 1, want=3, timeout=300).stderr
        assert re.search(wanted, error), (name, error)
        shutil.rmtree(copy)


main()
