#!/usr/bin/env python3
"""Where two runs part, end to end: one bit that is flipped anywhere is found and named: in a file, in the data, in the recipe,
in a weight while the run was trained. Prints TAP."""
import json
import os
import random
import shutil
import sqlite3
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import case, loam, main, note  # noqa: E402
from _train import SHAPE, chain, forge, lines, read, seal, texts, tmp, write, write_data, write_tokenizer  # noqa: E402

STEPS = 20
BASE = [*SHAPE, "--steps", STEPS, "--roots-every", 5, "--keep", 0]
TOKENIZER = write_tokenizer(tmp("tokenizer"))
DATA = write_data(tmp("data.db"), texts(120))


def train(run, *more, data=DATA):
    loam("train", run, "--data", data, "--tokenizer", TOKENIZER, *BASE, *more)
    return run


A = train(tmp("a"))


def fresh(name, source="a"):
    shutil.rmtree(tmp(name), ignore_errors=True)
    shutil.copytree(tmp(source), tmp(name))
    return tmp(name)


def bisect(a, b, *more, want=3):
    got = loam("bisect", a, b, "--json", *more, want=want)
    assert got.stderr.count("\n") == (want != 0), got.stderr
    return json.loads(got.stdout)


@case("a run and itself, and a run and its repetition: nothing differs, nothing is executed")
def _():
    got = bisect(A, A, want=0)
    assert not got["parted"] and got["step"] is None and got["executed"] == 0, got
    b = train(tmp("again"), "--threads", 3, "--ckpt-every", 7, "--keep", 1)
    assert not bisect(A, b, "--threads", 1, want=0)["parted"]
    assert "the same, 20 steps" in loam("bisect", A, b).stdout


@case("a run that was stopped earlier is the same so far")
def _():
    b = tmp("short")
    train(b, "--until", 12)
    got = bisect(A, b)
    assert got["step"] is None and (got["steps_a"], got["steps_b"]) == (20, 12) and not got["files_b"], got
    assert "the same to step 12, where B ends" in loam("bisect", A, b, want=3).stdout


@case("a weight's bit that flips between two steps is found at the next, in its tensor, whichever run it is")
def _():
    names = list(json.loads(read(os.path.join(A, "ckpt/step-00000005/checkpoint.json")))["leaves"])
    for at, steps in ((-2, 8), (-9000, 11), (-20000, 15)):
        b = tmp("flipped-%d" % steps)
        train(b, "--until", steps)
        name = forge(b, steps, at)
        kept = fresh("kept", "flipped-%d" % steps)  # the checkpoint itself goes when there is a newer one
        train(b)
        assert not os.path.exists(os.path.join(b, "ckpt/step-%08d" % steps)) or steps % 5 == 0
        got = bisect(A, b)
        root = steps % 5 == 0
        # A last bit may not show in a loss for a step or two, but a root shows it at the latest.
        assert steps <= got["step"] <= -(-steps // 5) * 5 and (root or got["step"] > steps), (got, steps)
        assert got["from"] == (steps - 1) // 5 * 5 and got["fits_not_a"] == 0 and got["fits_not_b"] == got["step"], got
        assert got["tensor_step"] == -(-steps // 5) * 5 and got["tensor"].split()[-1] in names, got
        assert got["executed"] == got["tensor_step"] - got["from"], got
        swapped = bisect(b, A)
        assert swapped["fits_not_a"] == got["fits_not_b"] and swapped["fits_not_b"] == 0
        assert swapped["tensor"] == got["tensor"] and swapped["executed"] == got["executed"]
        if root:
            assert got["tensor"] == "weights of " + name and got["tensors"] == 1, (got, name)
        got = bisect(A, kept)  # where the checkpoint is still there it is exact
        assert got["tensor"] == "weights of " + name and got["tensors"] == 1 and got["tensor_step"] == steps, (got, name)


@case("a lie in the chain, sealed anew, is found at its step, and who lies")
def _():
    for step, key, lie in ((1, "loss", "0x1p+0"), (9, "norm", "0x1p+0"), (13, "targets", 7), (20, "loss", "0x1p+1")):
        b = fresh("liar")
        rows = lines(A)
        rows[step][key] = lie
        write(os.path.join(b, "chain.jsonl"), seal(rows))
        for name in os.listdir(os.path.join(b, "ckpt")):
            path = os.path.join(b, "ckpt", name, "checkpoint.json")
            about = json.loads(read(path))
            about["chain"] = lines(b)[about["step"]]["digest"]
            write(path, json.dumps(about).encode())
        got = bisect(A, b)
        assert got["step"] == step and key in got["what"] and got["fits_not_a"] == 0 and got["fits_not_b"] == step, got
        assert got["from"] == (step - 1) // 5 * 5 and got["executed"] <= 5 and got["tensor_step"] is None, got


@case("another seed, shape, rate: the key, and the first tensor")
def _():
    b = train(tmp("seed"), "--seed", 2)
    got = bisect(A, b)
    assert got["recipe"].startswith("init.seed") and got["step"] == 0 and got["tensor_step"] == 0, got
    assert got["tensor"] == "weights of model.embed_tokens.weight", got
    b = train(tmp("rate"), "--lr", 0.02)
    got = bisect(A, b)  # the first loss is the same; what it is used for is not
    assert got["recipe"].startswith("optimizer.lr") and got["step"] == 2 and got["tensor_step"] == 1, got
    assert got["fits_not_a"] == got["fits_not_b"] == 0 and got["executed"] == 4, got
    b = train(tmp("wide"), "--ff", 64)
    got = bisect(A, b)
    assert got["recipe"].startswith("model.ff") and got["step"] == 0 and "another shape" in got["tensor"], got


@case("another document: how many, the step that first reads it, and the step at which they part")
def _():
    for i in range(3, 120, 13):
        rows = texts(120)
        rows[i] = rows[i].replace("put", "hid", 1)
        got = bisect(A, train(tmp("document-%d" % i), data=write_data(tmp("other-%d.db" % i), rows)))
        if 3 < got["only_step"] < 15:
            break
    assert got["recipe"].startswith("data.digest") and (got["only_in_a"], got["only_in_b"]) == (1, 1), got
    assert 3 < got["only_step"] <= got["step"] <= got["only_step"] + 1 and got["tensor_step"] <= got["step"], got
    assert got["fits_not_a"] == got["fits_not_b"] == 0, got


def flip(path, at, bit=0):
    data = bytearray(read(path))
    data[at] ^= 1 << bit
    write(path, bytes(data))


@case("one bit in a file is named with the file")
def _():
    def found(word, path, at, bit=0):
        b = fresh("file")
        flip(os.path.join(b, path), at, bit)
        got = bisect(A, b)
        assert word in got["files_b"] and not got["files_a"], (path, got)
        got = bisect(b, A)
        assert word in got["files_a"] and not got["files_b"], (path, got)
    found("step-00000010: the weights of", "ckpt/step-00000010/model.safetensors", -1)
    found("step-00000015: the second moment of", "ckpt/step-00000015/optimizer.safetensors", -5, 3)
    found("step-00000005", "ckpt/step-00000005/checkpoint.json", 40)
    found("tokenizer", "tokenizer/tokenizer.json", 1500)
    found("tokenizer", "tokenizer/tokenizer_config.json", 20)
    found("model.gguf: its weights", "model.gguf", -1)
    found("line of step", "chain.jsonl", 3000)
    found("not there any more", "inputs.json", 16)
    b = fresh("file")
    write(os.path.join(b, "recipe.json"), read(os.path.join(b, "recipe.json")).replace(b'"lr": 0.01', b'"lr": 0.02'))
    got = bisect(A, b)
    assert "recipe is" in got["files_b"] and got["recipe"].startswith("optimizer.lr"), got


@case("one bit in the data is named")
def _():
    work = shutil.copy(DATA, tmp("work.db"))
    b = train(tmp("with-data"), data=work)
    assert not bisect(A, b, want=0)["parted"]
    data = read(work)
    flip(work, data.index(b"Story 61. ") + 10, 2)  # in a text
    got = bisect(A, b)
    assert "SHA-256" in got["files_b"] or "digest" in got["files_b"], got
    write(work, data)
    db = sqlite3.connect(work)
    sha = db.execute("SELECT sha256 FROM documents WHERE id = 17").fetchone()[0]
    db.close()
    flip(work, read(work).index(sha), 4)  # in a digest
    got = bisect(A, b)
    assert got["files_b"], got


def all_files(run):
    """Every file of a run but log.db, which says how long things took and is not part of what a run is."""
    found = [os.path.relpath(os.path.join(d, f), run) for d, _, names in os.walk(run) for f in names]
    return sorted(f for f in found if not f.startswith("log.db"))


def where(path, size):
    """A byte of a file: of a large one, half of the time in what stands before the tensors."""
    head = {"model.gguf": 6000, "model.safetensors": 3000, "optimizer.safetensors": 5000}.get(os.path.basename(path), size)
    return random.randrange(random.choice((size, min(size, head))))


@case("random bits in every file of a run, and of a rebuilt one: always found, and the file or its folder is named")
def _():
    random.seed(3)
    loam("rebuild", A, tmp("rebuilt"), "--without", "17")
    n = 0
    for run in (A, tmp("rebuilt")):
        b = shutil.copytree(run, tmp("random-" + os.path.basename(run)))
        for name in all_files(run):
            path = os.path.join(b, name)
            good = read(path)
            for _ in range({"model.gguf": 25, "removals.jsonl": 15}.get(name, 2 if "ckpt" in name else 6)):
                at, bit = where(name, len(good)), random.randrange(8)
                flip(path, at, bit)
                got = loam("bisect", run, b, "--json", want=None)
                said = got.stderr + (json.loads(got.stdout)["files_b"] if got.stdout else "")
                called = name.split("/")[-2] if "/" in name else name.replace("recipe.json", "recipe")  # or its digest
                assert got.returncode in (1, 3) and got.stderr.count("\n") == 1, (name, at, bit, said)
                assert called in said, (name, at, bit, said)
                write(path, good)
                n += 1
        assert not bisect(run, b, want=0)["parted"]
    note("%d bits in %d files" % (n, len(all_files(A)) + len(all_files(tmp("rebuilt")))))


@case("the export in all its bytes: keys, names, padding; a run that has got another name; an older export")
def _():
    b = fresh("renamed")
    assert not bisect(A, b, want=0)["parted"]
    path = os.path.join(b, "model.gguf")
    good = read(path)
    for word in (b"general.name", b"loam.run", b"loam.weights", b"tokenizer.ggml.tokens", b"llama.", b"qwen"):
        at = good.find(word)
        if at >= 0:
            flip(path, at + len(word) + 12, 0)  # in the value
            assert "model.gguf: byte" in bisect(A, b)["files_b"] or "model.gguf" in bisect(A, b)["files_b"], word
            write(path, good)
    write(path, good + b"\0")
    assert "behind its end" in bisect(A, b)["files_b"]
    write(path, good)


@case("what is no run, and a run that has not begun")
def _():
    got = loam("bisect", A, tmp("nowhere"), want=2)
    assert "is no run" in got.stderr
    b = train(tmp("empty"), "--dry-run")
    got = loam("bisect", A, tmp("empty"), want=3)
    assert "cannot be compared" in got.stdout, got.stdout
    moved = fresh("moved")
    write(os.path.join(moved, "inputs.json"), b'{"data": "/nowhere/x.db", "where": ""}')
    got = bisect(A, moved)
    assert "not there any more" in got["files_b"] and got["step"] is None, got
    assert not bisect(A, moved, "--data", DATA, want=0)["parted"]


main()
