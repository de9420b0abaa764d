#!/usr/bin/env python3
"""Training, end to end: one recipe gives one chain, whatever runs it and however often it was stopped; whatever is changed
afterwards is noticed and named; what goes wrong leaves a folder that can be continued. Prints TAP."""
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _tap  # noqa: E402
from _tap import LOAM, Fail, case, loam, main, note  # noqa: E402
from _train import (END, SHAPE, chain, differs, lines, read, root, safetensors, same_chain, seal, texts, tmp, write,  # noqa: E402
                    write_data, write_tokenizer)

OTHER = os.environ.get("LOAM_BIN_OTHER")
STEPS = 24
BASE = [*SHAPE, "--steps", STEPS, "--roots-every", 6, "--keep", 0]

TOKENIZER = write_tokenizer(tmp("tokenizer"))
DATA = write_data(tmp("data.db"), texts(300))


def train(run, *more, **options):
    return loam("train", run, "--data", DATA, "--tokenizer", TOKENIZER, *BASE, *more, **options)


train(tmp("first"), "--threads", 1)
FIRST = chain(tmp("first"))
FINAL = read(tmp("first/ckpt/step-%08d/model.safetensors" % STEPS))


def complete(run):
    """It is the first run again, to the last bit."""
    same_chain(run, FIRST)
    assert read(os.path.join(run, "ckpt", "step-%08d" % STEPS, "model.safetensors")) == FINAL


def fresh(name, source="first"):
    """A copy of a run to play with."""
    shutil.rmtree(tmp(name), ignore_errors=True)
    shutil.copytree(tmp(source), tmp(name))
    return tmp(name)


# ---- one recipe, one chain ----

@case("it learns, and its lines are what they say")
def _():
    rows = lines(tmp("first"))
    assert [r["step"] for r in rows] == list(range(STEPS + 1))
    loss = [float.fromhex(r["loss"]) for r in rows[1:]]
    assert 5 < loss[0] < 6.5 and loss[-1] < 0.75 * loss[0], loss
    assert [r["step"] for r in rows if "weights" in r] == [0, 6, 12, 18, 24]
    assert sorted(os.listdir(tmp("first/ckpt"))) == ["step-%08d" % i for i in (6, 12, 18, 24)]
    recipe = read(tmp("first/recipe.json"))
    assert rows[0]["recipe"] == hashlib.sha256(recipe).hexdigest()
    assert seal(rows) == FIRST


@case("the same chain for 1, 2, 3 and 8 threads")
def _():
    for n in (2, 3, 8):
        train(tmp("threads-%d" % n), "--threads", n)
        complete(tmp("threads-%d" % n))


@case("the same chain for every instruction set")
def _():
    tried = 0
    for isa in ("scalar", "avx2", "avx512", "neon"):
        got = train(tmp("isa-" + isa), "--isa", isa, "--threads", 2, want=None)
        if got.returncode == 0:
            complete(tmp("isa-" + isa))
            tried += 1
        else:
            assert isa != "scalar" and "instruction set" in got.stderr, got.stderr
    note("%d instruction sets" % tried)


@case("the same chain from the other compiler")
def _():
    if not OTHER or not os.path.exists(OTHER):
        raise Fail("there is no program of the other compiler (make other; LOAM_BIN_OTHER)")
    run = tmp("other")
    subprocess.run([OTHER, "train", run, "--data", DATA, "--tokenizer", TOKENIZER, *map(str, BASE)], check=True,
                   capture_output=True, timeout=120)
    complete(run)


@case("recomputing and other checkpoints change nothing; another microbatch is another recipe")
def _():
    train(tmp("recompute"), "--recompute", "--ckpt-every", 5, "--keep", 2, "--eval-every", 7)
    same_chain(tmp("recompute"), FIRST)
    assert len(os.listdir(tmp("recompute/ckpt"))) <= 2
    micro = tmp("micro")
    loam("train", micro, "--data", DATA, "--tokenizer", TOKENIZER, *BASE[:BASE.index("--micro")], "--micro", 4,
         *BASE[BASE.index("--micro") + 2:])
    a, b = lines(micro), lines(tmp("first"))
    assert a[0]["weights"] == b[0]["weights"] and a[0]["recipe"] != b[0]["recipe"]
    x, y = (float.fromhex(r[1]["loss"]) for r in (a, b))
    assert x != y and abs(x - y) < 0.05  # documents are cut elsewhere, nothing else


# ---- stopped and continued ----

@case("stopped after any step, it goes on as if it had not been")
def _():
    run = tmp("stops")
    for step in range(1, STEPS + 1):
        train(run, "--until", step, "--threads", 1 + step % 2)
        got = chain(run)
        if not FIRST.startswith(got) or got.count(b"\n") != step + 1:
            differs(got, FIRST)
    complete(run)
    left = sorted(os.listdir(os.path.join(run, "ckpt")))  # those of other steps have gone
    assert left == ["step-%08d" % i for i in (6, 12, 18, 24)], left


@case("killed at random moments, it loses nothing and comes out the same")
def _():
    random.seed(7)
    run, kills, mid = tmp("killed"), 0, 0
    path = os.path.join(run, "chain.jsonl")
    for attempt in range(200):
        child = subprocess.Popen([LOAM, "train", run, "--data", DATA, "--tokenizer", TOKENIZER, *map(str, BASE),
                                  "--ckpt-every", "2", "--threads", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        size = os.path.getsize(path) if os.path.exists(path) else 0
        aim = random.randrange(size // 2, min(size + len(FIRST) // 4, len(FIRST)) + 1) if kills < 25 else 1 << 30
        end = time.time() + 60
        while child.poll() is None and time.time() < end:
            grown = os.path.getsize(path) if os.path.exists(path) else 0
            if grown >= aim and grown != size:  # past the cut that continuing begins with, or at once
                time.sleep(random.uniform(0, 0.01))
                child.kill()
                kills += 1
                break
            time.sleep(0.0003)
        child.wait()
        complaint = child.stderr.read().decode()
        child.stderr.close()
        if child.returncode not in (0, -signal.SIGKILL):
            raise Fail("attempt %d: status %d\n%s" % (attempt, child.returncode, complaint))
        got = read(path) if os.path.exists(path) else b""
        whole = got[:got.rfind(b"\n") + 1]
        if not FIRST.startswith(whole):
            differs(whole, FIRST)
        mid += 1 < whole.count(b"\n") <= STEPS
        if child.returncode == 0:
            break
    note("%d kills, %d of them between the first and the last step" % (kills, mid))
    assert child.returncode == 0 and kills >= 5 and mid >= 3
    complete(run)
    assert not [f for f in os.listdir(os.path.join(run, "ckpt")) if f.startswith("new")]


@case("a line that was not written to its end is written again")
def _():
    run = fresh("torn")
    shutil.rmtree(os.path.join(run, "ckpt", "step-%08d" % STEPS))
    os.truncate(os.path.join(run, "chain.jsonl"), len(FIRST) - 40)
    loam("train", run)
    complete(run)


@case("Ctrl-C saves and stops with 130, and the same command goes on")
def _():
    run = tmp("interrupted")
    child = subprocess.Popen([LOAM, "train", run, "--data", DATA, "--tokenizer", TOKENIZER, *map(str, BASE), "--json",
                              "--threads", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in child.stdout:
        if '"step":3,' in line:
            child.send_signal(signal.SIGINT)
            break
    rest = child.stdout.read()
    complaint = child.stderr.read()
    status = child.wait(30)
    child.stdout.close()
    child.stderr.close()
    done = len(lines(run)) - 1
    assert status == 130 and 3 <= done < STEPS, (status, done, complaint, rest[-300:])
    assert os.listdir(os.path.join(run, "ckpt")) and "continues" in complaint, complaint
    loam("train", run)
    complete(run)


@case("two at once: the second is refused")
def _():
    run = tmp("twice")
    slow = subprocess.Popen([LOAM, "train", run, "--data", DATA, "--tokenizer", TOKENIZER, *map(str, BASE), "--json",
                             "--threads", "1"], stdout=subprocess.PIPE, text=True)
    slow.stdout.readline()
    os.kill(slow.pid, signal.SIGSTOP)
    second = loam("train", run, want=1)
    assert "in use" in second.stderr and second.stderr.count("\n") <= 1, second.stderr
    os.kill(slow.pid, signal.SIGCONT)
    slow.stdout.read()
    slow.stdout.close()
    assert slow.wait(60) == 0
    complete(run)


# ---- verification ----

@case("verify executes all of it, a part from a step on, and spots; elsewhere too")
def _():
    run = tmp("first")
    out = json.loads(loam("verify", run, "--json").stdout)
    assert out["steps"] == STEPS and out["finished"] and out["checkpoints"] == 4, out
    assert out["weights"] == lines(run)[-1]["weights"]
    for isa, n in (("scalar", 1), ("auto", 3)):
        out = json.loads(loam("verify", run, "--json", "--from", 14, "--isa", isa, "--threads", n).stdout)
        assert out["steps"] == STEPS - 12, out
    seen = set()
    for challenge in "abcdefgh":
        out = json.loads(loam("verify", run, "--json", "--spot", 1, "--challenge", challenge).stdout)
        assert out["steps"] == 6 and out["segments"] == 1 and out["of_segments"] == 4, out
        again = json.loads(loam("verify", run, "--json", "--spot", 1, "--challenge", challenge).stdout)
        assert out == again
        seen.add(json.dumps(out))
    out = json.loads(loam("verify", run, "--json", "--spot", 99, "--challenge", "x").stdout)
    assert out["steps"] == STEPS and out["segments"] == 4
    if OTHER:
        subprocess.run([OTHER, "verify", run], check=True, capture_output=True, timeout=120)


def noted(run):
    return json.loads(loam("runs", run, "--json").stdout)[0]["verification"]


@case("what came of verifying is noted in the folder, holds for this chain alone, and hides no difference")
def _():
    run = tmp("noted")
    shutil.copytree(tmp("first"), run)
    if os.path.exists(os.path.join(run, "verified.json")):
        os.remove(os.path.join(run, "verified.json"))
    assert noted(run) == {"state": "never"} and " never" in loam("runs", run).stdout
    loam("verify", run, "--spot", 1, "--challenge", "x")
    got = noted(run)
    assert (got["state"], got["what"], got["steps"], got["of_steps"], got["segments"]) == ("verified", "spot", 6, STEPS, 1), got
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", got["date"]) and got["step"] is None and got["arithmetic"] == 1
    assert " 6 steps" in loam("runs", run).stdout
    loam("verify", run)
    loam("verify", run, "--spot", 1)  # says less
    assert noted(run)["what"] == "whole" and " all steps" in loam("runs", run).stdout
    loam("sign", run, "--new-key", tmp("noted-key"))  # the note is not signed: who checks a run verifies it, too
    os.remove(os.path.join(run, "verified.json"))
    loam("verify", run)
    loam("check", run, "--key", tmp("noted-key.pub"))
    os.remove(os.path.join(run, "model.sig"))
    path = os.path.join(run, "ckpt", "step-%08d" % 12, "model.safetensors")
    flip(path, -1)
    loam("verify", run, want=3)
    got = noted(run)
    assert got["state"] == "differs" and got["step"] == 12 and got["difference"].startswith("ckpt/step-00000012"), got
    assert " differs at 12" in loam("runs", run).stdout
    flip(path, -1)
    loam("verify", run, "--spot", 1)  # has not looked everywhere
    assert noted(run)["state"] == "differs"
    loam("verify", run)
    assert noted(run)["state"] == "verified"
    kept = json.loads(read(os.path.join(run, "verified.json")))
    write(os.path.join(run, "verified.json"), json.dumps({**kept, "chain": "0" * 64}).encode())
    assert noted(run)["state"] == "outdated" and " outdated" in loam("runs", run).stdout
    write(os.path.join(run, "verified.json"), b"{")
    assert noted(run)["state"] == "outdated" and not json.loads(loam("runs", run, "--json").stdout)[0]["problem"]
    os.remove(os.path.join(run, "verified.json"))
    os.mkdir(os.path.join(run, "verified.json"))  # the note cannot be written: said, and no failure
    assert "not noted" in loam("verify", run, "--spot", 1).stderr


def refused(run, word, *options, want=3):
    got = loam("verify", run, *options, want=want)
    assert word in got.stderr and got.stderr.startswith("loam: ") and got.stderr.count("\n") == 1, got.stderr
    return got.stderr


def flip(path, at, bit=0):
    data = bytearray(read(path))
    data[at] ^= 1 << bit
    write(path, bytes(data))


@case("a changed bit in a checkpoint is named with its tensor")
def _():
    run = fresh("bad-ckpt")
    path = os.path.join(run, "ckpt", "step-%08d" % 12)
    flip(os.path.join(path, "model.safetensors"), -1)
    refused(run, "step-00000012: the weights of ")
    refused(run, "step-00000012: the weights of ", "--spot", 1, "--challenge", "x")
    flip(os.path.join(path, "model.safetensors"), -1)
    flip(os.path.join(path, "optimizer.safetensors"), -3)
    refused(run, "step-00000012: the second moment of ")
    flip(os.path.join(path, "optimizer.safetensors"), -3)
    loam("verify", run, "--spot", 1)
    shutil.rmtree(path)  # one that is not there is no lie
    loam("verify", run, "--spot", 1)
    shutil.copytree(os.path.join(run, "ckpt", "step-%08d" % 6), path)
    refused(run, "step-00000012")


@case("a checkpoint that was replaced as a whole is noticed")
def _():
    other = tmp("seed-2")
    train(other, "--seed", 2)
    run = fresh("swapped")
    path = os.path.join(run, "ckpt", "step-%08d" % 18)
    shutil.rmtree(path)
    shutil.copytree(os.path.join(other, "ckpt", "step-%08d" % 18), path)
    refused(run, "step-00000018")


@case("a changed line of the chain is named, and so is a chain sealed anew over a lie")
def _():
    run = fresh("bad-chain")
    path = os.path.join(run, "chain.jsonl")
    broken = FIRST.splitlines(keepends=True)
    broken[9] = broken[9].replace(b'"targets":', b'"targets":1')
    write(path, b"".join(broken))
    refused(run, "line of step 9")
    for step, key, lie in ((10, "loss", "0x1p+0"), (15, "norm", "0x1p+0"), (2, "docs", [0, 0, 0, 1]), (20, "targets", 7)):
        rows = lines(tmp("first"))
        rows[step][key] = lie
        write(path, seal(rows))
        for ckpt in os.listdir(os.path.join(run, "ckpt")):  # the checkpoints are made to fit
            info = os.path.join(run, "ckpt", ckpt, "checkpoint.json")
            about = json.loads(read(info))
            about["chain"] = json.loads(read(path).splitlines()[about["step"]])["digest"]
            write(info, json.dumps(about).encode())
        refused(run, "step %d: %s" % (step, {"docs": "documents"}.get(key, key)))
        refused(run, "step %d: " % step, "--spot", 99, "--challenge", "x")
    write(path, b"".join(FIRST.splitlines(keepends=True)[:-1]))
    refused(run, "the chain ends before it")


@case("another recipe, data set or tokenizer is noticed")
def _():
    run = fresh("bad-inputs")
    recipe = read(os.path.join(run, "recipe.json"))
    write(os.path.join(run, "recipe.json"), recipe.replace(b'"lr": 0.01', b'"lr": 0.02'))
    refused(run, "recipe is ")
    write(os.path.join(run, "recipe.json"), recipe.replace(b'"beta1"', b'"beta9"'))
    refused(run, "beta9", want=1)
    write(os.path.join(run, "recipe.json"), recipe)
    documents = texts(300)
    documents[123] = documents[123].replace("put", "hid", 1)
    refused(run, "the recipe asks for the data", "--data", write_data(tmp("changed.db"), documents))
    del documents[123]
    refused(run, "the recipe asks for the data", "--data", write_data(tmp("less.db"), documents))
    letters = read(os.path.join(run, "tokenizer", "tokenizer.json"))
    write(os.path.join(run, "tokenizer", "tokenizer.json"), letters.replace(b"[\"t\", \"h\"]", b"[\"t\", \"i\"]"))
    refused(run, "the recipe asks for the tokenizer")
    write(os.path.join(run, "tokenizer", "tokenizer.json"), letters)
    loam("verify", run)


# ---- the definitions, computed here ----

def names_of(run, step):
    """In the order of the leaves."""
    return list(json.loads(read(os.path.join(run, "ckpt", "step-%08d" % step, "checkpoint.json")))["leaves"])


@case("roots are what root.h says")
def _():
    run = tmp("first")
    for step in (6, 24):
        folder = os.path.join(run, "ckpt", "step-%08d" % step)
        names = names_of(run, step)
        weights, moments = (safetensors(os.path.join(folder, f)) for f in ("model.safetensors", "optimizer.safetensors"))
        assert sorted(names) == sorted(weights) and len(moments) == 2 * len(weights)
        row = lines(run)[step]
        assert root(weights, names) == row["weights"]
        stripped = {"m": {}, "v": {}}
        for name, t in moments.items():
            stripped[name[0]][name[2:]] = t
        both = hashlib.sha256()
        for which in "mv":
            for n in names:
                shape, data = stripped[which][n]
                both.update(hashlib.sha256(n.encode() + b"\0" + struct.pack("<QQ", shape[0], shape[1] if len(shape) > 1
                                                                             else 0) + data).digest())
        assert both.hexdigest() == row["moments"]


def philox(counter, key):
    m = 0xFFFFFFFF
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [b >> 32 ^ c[1] ^ k[0], b & m, a >> 32 ^ c[3] ^ k[1], a & m]
        k = [k[0] + 0x9E3779B9 & m, k[1] + 0xBB67AE85 & m]
    return c


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


@case("initial weights are what init.h says")
def _():
    run = tmp("first")
    recipe, row = json.loads(read(os.path.join(run, "recipe.json"))), lines(run)[0]
    shapes = {n: s for n, (s, _) in safetensors(os.path.join(run, "ckpt", "step-%08d" % 6, "model.safetensors")).items()}
    tensors = {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            tensors[name] = shape, struct.pack("<%df" % shape[0], *[0.0 if name.endswith(".bias") else 1.0] * shape[0])
            continue
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") ^ recipe["init"]["seed"]
        std = recipe["init"]["embed"]
        if not name.endswith(("embed_tokens.weight", "lm_head.weight")):
            std = recipe["init"]["gain"] / shape[1] ** 0.5
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                std /= (2.0 * recipe["model"]["layers"]) ** 0.5
        scale, out = f32(std / 107019.83984290015), []
        for i in range(shape[0] * shape[1]):
            words = philox((i, 0, 3, 0), (key & 0xFFFFFFFF, key >> 32))
            s = sum((w & 0xFFFF) + (w >> 16) for w in words)
            out.append((2 * s - 524280) * scale)  # exact in binary64, rounded once by packing
        tensors[name] = shape, struct.pack("<%df" % len(out), *out)
    assert root(tensors, names_of(run, 6)) == row["weights"]


@case("documents of a step are those of order.h")
def _():
    recipe = json.loads(read(tmp("first/recipe.json")))
    seed, share = recipe["init"]["seed"], recipe["data"]["val_share"]
    learn = []
    for text in texts(300):
        sha = hashlib.sha256(text.encode()).digest()
        u = int.from_bytes(hashlib.sha256(b"loam held out" + struct.pack("<Q", seed) + sha).digest()[:8], "little")
        if (u >> 11) * 2.0 ** -53 >= share:
            learn.append((sha, text))
    assert len(learn) < 300
    ids = {}
    for sha, text in learn:
        got = loam("tokenize", TOKENIZER, "-", input=text).stdout.split() if len(ids) < 3 else None
        n = len(got) if got else count_tokens(text)
        if got:
            assert n == count_tokens(text)
        ids[sha] = n + 1
    stream = []
    for epoch in range(3):
        ranked = sorted(learn, key=lambda d: hashlib.sha256(b"loam order" + struct.pack("<QQ", seed, epoch) + d[0]).digest())
        for rank, (sha, _) in enumerate(ranked):
            stream += [(epoch, rank)] * ids[sha]
    for row in lines(tmp("first"))[1:]:
        first, last = stream[(row["step"] - 1) * 256], stream[row["step"] * 256 - 1]
        assert row["docs"] == [*first, *last], (row, first, last)


def count_tokens(text):
    """Merges th, he, in, er, an, in that order of rank, inside words cut as GPT-2 does (plain English here)."""
    import re
    n = 0
    for word in re.findall(r" ?[A-Za-z]+| ?\d+| ?[^\sA-Za-z\d]+|\s+", text):
        parts = list(word)
        for pair in ("th", "he", "in", "er", "an"):
            i = 0
            while i + 1 < len(parts):
                if parts[i] + parts[i + 1] == pair:
                    parts[i:i + 2] = [pair]
                i += 1
        n += len(parts)
    return n


@case("text that spells a control token is text, or with --special parse that token, as the recipe says")
def _():
    document = "%03d " + END
    data = write_data(tmp("special.db"), [document % i for i in range(200)])
    for how, tokens in (("text", 4 + len(END) + 1), ("parse", 4 + 1)):  # parsed, it is the document's end as well
        run = tmp("special-" + how)
        loam("train", run, "--data", data, "--tokenizer", TOKENIZER, *SHAPE, "--steps", 2, "--warmup", 0, "--special", how)
        assert lines(run)[1]["docs"][3] == (4 * 64 - 1) // tokens, (how, lines(run)[1])
        assert (b"parse_special" in read(os.path.join(run, "recipe.json"))) == (how == "parse")
        loam("verify", run)
        loam("train", run, "--special", how)
        loam("train", run, "--special", "parse" if how == "text" else "text", want=2)


@case("--answers: what is no answer counts as --elsewhere says, and the recipe keeps it")
def _():
    data = write_data(tmp("answers.db"), ["Story %d.\nQ: Who?\nA: Ann %d.\nPlan:\n1. go\nDone.\n" % (i, i % 7) for i in range(200)])
    loss = {}
    for weight in None, 0, 0.5, 1:
        run = tmp("answers-%s" % weight)
        more = [] if weight is None else ["--answers", "A:,Plan:", "--elsewhere", weight]
        loam("train", run, "--data", data, "--tokenizer", TOKENIZER, *SHAPE, "--steps", 3, "--warmup", 0, *more)
        loss[weight] = float.fromhex(lines(run)[1]["loss"])
        loam("verify", run)
    assert loss[1] == loss[None] and 0 < loss[0] < 0.7 * loss[1]
    assert abs(loss[0.5] - (loss[0] + loss[1]) / 2) < 1e-6, loss
    assert b'"answers": "A:,Plan:",\n    "elsewhere": 0.5' in read(os.path.join(tmp("answers-0.5"), "recipe.json"))
    assert b"answers" not in read(os.path.join(tmp("answers-None"), "recipe.json"))
    error = loam("train", tmp("answers-bad"), "--data", data, "--tokenizer", TOKENIZER, *SHAPE, "--answers", "A:,,", want=2).stderr
    assert "mark" in error, error


@case("fifty steps are those of PyTorch, within 1e-4")
def _():
    golden = json.loads(read(os.path.join(_tap.ROOT, "test/golden/train/torch.json")))
    assert len(golden) >= 2
    for name, want in golden.items():
        s, c, run = want["shape"], want["course"], tmp("torch-" + name)
        assert c["steps"] == len(want["loss"]) == 50
        loam("train", run, "--data", DATA, "--tokenizer", TOKENIZER, "--arch", s["arch"], "--layers", s["layers"], "--width",
             s["width"], "--heads", s["heads"], "--kv-heads", s["kv_heads"], "--head-width", s["head_width"], "--ff", s["ff"],
             "--ctx", s["ctx"], *([] if s["tied"] else ["--untied"]), "--theta", c["theta"], "--batch", c["batch"], "--micro",
             c["micro"], "--steps", c["steps"], "--lr", c["lr"], "--min-lr", c["min_lr"], "--warmup", c["warmup"], "--beta1",
             c["beta1"], "--beta2", c["beta2"], "--eps", c["eps"], "--decay", c["decay"], "--clip", c["clip"], "--seed",
             c["seed"], "--init-embed", c["embed"], "--init-gain", c["gain"], "--val-share", c["val_share"], "--eval-every", 0)
        rows = lines(run)[1:]
        loss = max(abs(float.fromhex(r["loss"]) - x) for r, x in zip(rows, want["loss"]))
        norm = max(abs(float.fromhex(r["norm"]) - x) for r, x in zip(rows, want["norm"]))
        note("%s: largest difference of a loss %.1e, of a norm %.1e" % (name, loss, norm))
        assert loss < 1e-4 and norm < 1e-3 and want["loss"][-1] < 0.6 * want["loss"][0]


# ---- bad input ----

@case("a full disk is one error, and the run goes on when there is room")
def _():
    run = tmp("full")
    train(run, "--until", 4)

    def small():  # no file may grow past this: enough for the chain, too little for a checkpoint
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))

    got = subprocess.run([LOAM, "train", run], capture_output=True, text=True, timeout=60, preexec_fn=small)
    assert got.returncode == 1 and "step-" in got.stderr or "new-" in got.stderr, got
    assert got.stderr.startswith("loam: ") and got.stderr.strip().count("\nloam: ") <= 1, got.stderr
    assert not [f for f in os.listdir(os.path.join(run, "ckpt")) if f.startswith("new")]
    loam("train", run)
    complete(run)


@case("no room from the beginning on: whatever could be written, the same command goes on when there is room")
def _():
    for size in 0, 300, 20000, 100000:  # nothing; a recipe, but no chain; a chain, but no checkpoint; no export
        run = tmp("full-%d" % size)

        def small():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        got = train(run, want=1, preexec_fn=small)
        said = [x for x in got.stderr.splitlines() if not x.startswith("loam: step ")]
        assert len(said) == 1 and said[0].startswith("loam: ") and run in said[0] and "cannot be written" in said[0], (size, got.stderr)
        train(run)
        complete(run)


@case("a loss that is no number stops the run, and it stays readable")
def _():
    run = tmp("nan")
    args = [x if x != 0.01 else 10 for x in BASE]
    got = loam("train", run, "--data", DATA, "--tokenizer", TOKENIZER, *args, "--clip", 0, "--decay", 10, "--init-gain", 10,
               "--init-embed", 10, want=1)
    assert "is not a finite number" in got.stderr, got.stderr
    before = chain(run)
    again = loam("train", run, want=1)
    assert again.stderr.splitlines()[-1] == got.stderr.splitlines()[-1] and chain(run) == before
    loam("verify", run)


@case("a recipe that contradicts itself, a corpus smaller than a step, other misuse: one line each")
def _():
    def bad(word, *options, want=2, data=DATA):
        got = loam("train", tmp("bad"), "--data", data, "--tokenizer", TOKENIZER, *BASE, *options, want=want)
        assert word in got.stderr and got.stderr.count("\n") == 1, got.stderr
    bad("model.kv_heads", "--kv-heads", 3)
    bad("batch.micro", "--micro", 3)
    bad("optimizer.warmup", "--warmup", 100)
    bad("optimizer.min_lr", "--min-lr", 1)
    bad("--arch", "--arch", "nosuch")
    bad("--size", "--size", "enormous")
    assert not os.path.exists(tmp("bad"))
    bad("fewer than the", data=write_data(tmp("few.db"), texts(1)))
    bad("documents", "--where", "licence = 'MIT'")
    assert not os.path.exists(tmp("bad/recipe.json"))  # it never was a run
    got = loam("train", tmp("nothing"), want=2)
    assert "--data" in got.stderr
    got = loam("train", tmp("first"), "--lr", 0.5, want=2)
    assert "optimizer.lr" in got.stderr
    write(tmp("file"), b"x")
    got = loam("train", tmp("file"), "--data", DATA, "--tokenizer", TOKENIZER, *BASE, want=1)
    os.makedirs(tmp("taken/x"))
    got = loam("train", tmp("taken"), "--data", DATA, "--tokenizer", TOKENIZER, *BASE, want=2)
    assert "is not empty" in got.stderr


@case("runs and plot")
def _():
    train(tmp("shown"), "--eval-every", 6, "--val-share", 0.1)
    out = loam("runs", tmp("shown")).stdout
    assert "24/24" in out, out
    rows = json.loads(loam("runs", _tap.tmp(), "--json").stdout)
    assert {"first", "shown"} <= {os.path.basename(r["run"]) for r in rows}
    shown = [r for r in rows if r["run"].endswith("shown")][0]
    assert shown["val_bits_per_byte"] > 0 and shown["step"] == STEPS
    out = loam("plot", tmp("shown"), "--columns", 70, "--rows", 12).stdout
    assert len(out.splitlines()) == 12 and "step" in out, out
    loam("plot", tmp("shown"), "-o", tmp("plot.svg"))
    import xml.etree.ElementTree as tree
    assert tree.fromstring(read(tmp("plot.svg"))).tag.endswith("svg")


@case("samples, JSON lines and the plan")
def _():
    got = train(tmp("json"), "--json", "--sample-every", 12, "--prompt", "Ada put", "--eval-every", 12, "--val-share", 0.1)
    rows = [json.loads(line) for line in got.stdout.splitlines()]
    assert [r["step"] for r in rows if "loss" in r] == list(range(1, STEPS + 1))
    assert len([r for r in rows if "sample" in r]) == 2 and len([r for r in rows if "val_bits_per_byte" in r]) == 2
    assert rows[-1]["done"] == STEPS
    got = train(tmp("dry"), "--dry-run")
    assert "parameters" in got.stdout and "memory" in got.stdout and not os.path.exists(tmp("dry/chain.jsonl"))


main()
