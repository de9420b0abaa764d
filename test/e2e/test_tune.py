#!/usr/bin/env python3
"""Tuning, end to end: a tuning run is a run: one recipe gives one chain, whatever runs it and however often it was
stopped; what is changed afterwards is noticed and named; what is held out ends it and chooses what is published.
Prints TAP."""
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _tiny  # noqa: E402
from _tap import LOAM, ROOT, case, loam, main, note  # noqa: E402
from _train import chain, lines, read, root, safetensors, same_chain, seal, tmp, write  # noqa: E402
from _tune import COURSE, FAMILIES, PAIRS, TALKS, write_lines  # noqa: E402

STEPS = 12
USUAL = ["--full", "--template", "plain", "--lr", 0.01, "--steps", STEPS, "--batch", 5, "--micro", 3, "--roots-every", 3,
         "--patience", 0, "--val-share", 0.2]


_tiny.make_model(tmp("base"))
DATA = write_lines(tmp("talks.jsonl"), TALKS)
write_lines(tmp("pairs.jsonl"), PAIRS)


def tune(run, *more, base=None, data=DATA, usual=USUAL, **options):
    return loam("tune", tmp(run), "--base", base or tmp("base"), "--data", data, *usual, *more, **options)


tune("first", "--threads", 1, "--keep", 0)
FIRST = chain(tmp("first"))


def fresh(name, source="first"):
    shutil.rmtree(tmp(name), ignore_errors=True)
    shutil.copytree(tmp(source), tmp(name))
    return tmp(name)


def of_family(family):
    if not os.path.exists(tmp("of-" + family)):
        _tiny.make_model(tmp("of-" + family), family)
    return tmp("of-" + family)


def refused(run, *words, want=3):
    said = loam("verify", run, want=want).stderr
    for word in words:
        assert word in said, said


# ---- one recipe, one chain ----

@case("it learns, and its lines are what they say")
def _():
    rows = lines(tmp("first"))
    loss = [float.fromhex(r["loss"]) for r in rows[1:]]
    assert len(loss) == STEPS and 5 < loss[0] < 8 and loss[-1] < 0.5 * loss[0], loss
    assert [r["step"] for r in rows if "held_out" in r] == [3, 6, 9, 12]
    assert [r["docs"] for r in rows[1:3]] == [[0, 0, 0, 4], [0, 5, 0, 9]]
    recipe = read(tmp("first/recipe.json"))
    assert rows[0]["recipe"] == hashlib.sha256(recipe).hexdigest()
    assert seal(rows) == FIRST


@case("the first line's weights are the base's")
def _():
    names = json.loads(read(tmp("first/ckpt/step-00000003/checkpoint.json")))["leaves"]
    base = {n: (shape, b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2)))
            for n, (shape, data) in safetensors(tmp("base/model.safetensors")).items()}  # BF16 as binary32
    assert lines(tmp("first"))[0]["weights"] == root(base, names)


@case("the same chain for every number of threads and every instruction set")
def _():
    for n in (2, 3):
        tune("threads-%d" % n, "--threads", n)
        same_chain(tmp("threads-%d" % n), FIRST)
    tried = 0
    for isa in ("scalar", "avx2", "avx512", "neon"):
        if tune("isa-" + isa, "--isa", isa, want=None).returncode == 0:
            same_chain(tmp("isa-" + isa), FIRST)
            tried += 1
    assert tried >= 2


@case("the order of lines does not matter, and neither do memory and what is kept")
def _():
    tune("shuffled", data=write_lines(tmp("shuffled.jsonl"), TALKS[::-1]))
    same_chain(tmp("shuffled"), FIRST)
    tune("recomputed", "--recompute", "--keep", 1, "--ckpt-every", 5)
    same_chain(tmp("recomputed"), FIRST)


@case("stopped and continued, it comes out the same")
def _():
    tune("stopped", "--until", 5)
    assert len(lines(tmp("stopped"))) == 6 and not os.path.exists(tmp("stopped/model.gguf"))
    loam("tune", tmp("stopped"))
    same_chain(tmp("stopped"), FIRST)
    assert read(tmp("stopped/model.gguf")).replace(b"stopped", b"first")[:100] == read(tmp("first/model.gguf"))[:100]


@case("killed at any moment and continued, it comes out the same")
def _():
    for i in range(4):
        folder, p = tmp("killed"), None
        for after in (0.05 + 0.1 * i, 0.3, None):
            p = subprocess.Popen([LOAM, "tune", folder, "--base", tmp("base"), "--data", DATA, *map(str, USUAL),
                                  "--ckpt-every", "2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if after:
                time.sleep(after)
                p.send_signal(signal.SIGKILL)
            p.wait()
        assert p.returncode == 0
        same_chain(folder, FIRST)
        loam("verify", folder, "--spot", 1)
        shutil.rmtree(folder)


# ---- verification ----

@case("verify executes it again, all of it or a part")
def _():
    said = loam("verify", tmp("first")).stdout
    assert "executed    12 of 12 steps" in said and "base" in said and "model.gguf" in said, said
    got = json.loads(loam("verify", tmp("first"), "--spot", 2, "--challenge", "x", "--json").stdout)
    assert got["verified"] and got["segments"] == 2 and got["of_segments"] == 4 and got["model"]
    loam("verify", tmp("first"), "--from", 7, "--isa", "scalar")


@case("what was changed afterwards is named")
def _():
    run = fresh("changed")
    path = os.path.join(run, "ckpt/step-00000006/model.safetensors")
    data = bytearray(read(path))
    data[-3] ^= 1
    write(path, bytes(data))
    refused(run, "step-00000006", "are not those that were saved")

    run = fresh("changed")
    rows = lines(run)
    rows[5]["loss"] = (float.fromhex(rows[5]["loss"]) * 1.5).hex()
    write(os.path.join(run, "chain.jsonl"), seal(rows))
    refused(run)

    run = fresh("changed")
    rows = lines(run)
    rows[6]["held_out"] = "0x1.8p-3"
    write(os.path.join(run, "chain.jsonl"), seal(rows[:1] + rows[1:]))
    shutil.rmtree(os.path.join(run, "ckpt"))
    os.remove(os.path.join(run, "model.gguf"))
    refused(run, "step 6", "held out")

    run = fresh("changed")
    write(os.path.join(run, "template.jinja"), read(os.path.join(run, "template.jinja")) + b" ")
    refused(run, "template.jinja")

    run = fresh("changed")
    path = os.path.join(run, "model.gguf")
    data = bytearray(read(path))
    data[-3] ^= 1
    write(path, bytes(data))
    refused(run, "model.gguf")


@case("a base that has changed is refused, by verify and when the run goes on; so are other examples")
def _():
    shutil.copytree(tmp("base"), tmp("other"))
    path = tmp("other/model.safetensors")
    data = bytearray(read(path))
    data[-3] ^= 1
    write(path, bytes(data))
    said = loam("verify", tmp("first"), "--base", tmp("other"), want=3).stderr
    assert "other" in said and "has changed since" in said, said
    tune("base-changes", "--until", 3, base=tmp("other"))
    write(path, read(tmp("base/model.safetensors")))
    said = loam("tune", tmp("base-changes"), want=3).stderr
    assert "has changed since" in said, said
    said = loam("tune", tmp("first"), "--data", write_lines(tmp("less.jsonl"), TALKS[1:]), want=3).stderr
    assert "less.jsonl" in said and "examples have changed" in said, said
    shutil.move(tmp("other"), tmp("elsewhere"))
    said = loam("tune", tmp("base-changes"), want=1).stderr
    assert "--base" in said, said


@case("a run keeps its recipe")
def _():
    for more, word in ((["--lr", 0.02], "optimizer.lr"), (["--roles", "user"], "tune.roles"), (["--dpo"], "tune.objective")):
        said = loam("tune", tmp("first"), *more, want=2).stderr
        assert word in said and "keeps its recipe" in said, said
    assert "loam tune" in loam("train", tmp("first"), want=2).stderr


# ---- what is held out ----

@case("the same command goes on, whatever it says: few examples, many parts, another template")
def _():
    few = tmp("few.jsonl")
    with open(DATA) as f, open(few, "w") as to:
        to.writelines(f.readlines()[:3])
    words = ("--base", tmp("base"), "--data", few, "--patience", 3, "--epochs", 2, "--template")
    other = tmp("other.jinja")
    with open(other, "w") as f:
        f.write("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    loam("tune", tmp("few"), *words, "plain", "--until", 1)
    loam("tune", tmp("few"), *words, "plain")
    said = loam("tune", tmp("few"), *words, other, want=2).stderr
    assert "tune.template" in said, said
    parts = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"
    loam("tune", tmp("parts"), *words, "plain", "--parts", parts, "--layers", "0,1", "--dry-run")
    for until in (1, 2):  # a run folder means its model, each time
        loam("tune", tmp("over-run"), "--base", tmp("first"), *words[2:], "plain", "--until", until)


@case("what is not learned better any more ends the run, and the best step is published")
def _():
    tune("patient", "--patience", 2, "--lr", 0)
    rows = lines(tmp("patient"))
    assert len(rows) == 10 and len({r["held_out"] for r in rows if "held_out" in r}) == 1
    said = loam("verify", tmp("patient")).stdout
    assert "executed    9 of 9 steps" in said and "has not ended" not in said, said
    said = loam("tune", tmp("patient")).stdout
    assert "not learned better" in said and "after step 3" in said, said
    assert chain(tmp("patient")) == seal(rows)

    tune("worse", "--lr", 0.2, "--schedule", "constant", "--warmup", 0, "--keep", 1)
    tune("last", "--lr", 0.2, "--schedule", "constant", "--warmup", 0, "--keep", 1, "--last")
    held_out = {r["step"]: float.fromhex(r["held_out"]) for r in lines(tmp("worse")) if "held_out" in r}
    best = min(held_out, key=held_out.get)
    assert os.path.isdir(tmp("worse/ckpt/step-%08d" % best)) and os.path.isdir(tmp("worse/ckpt/step-%08d" % STEPS))
    for name, step in (("worse", best), ("last", STEPS)):
        weights = [r for r in lines(tmp(name)) if r["step"] == step][0]["weights"]
        assert weights.encode() in read(tmp(name + "/model.gguf"))
        loam("verify", tmp(name), "--spot", 1)
    rows = lines(tmp("patient"))
    longer = seal(rows + [dict(rows[8], step=10)])
    write(os.path.join(fresh("longer", "patient"), "chain.jsonl"), longer)
    refused(tmp("longer"), "the run ends at 9")


# ---- models, methods, data ----

@case("50 steps of every family, of texts and of pairs, have the losses that PyTorch computes")
def _():
    golden, worst = json.loads(read(os.path.join(ROOT, "test/golden/train/tune.json"))), 0
    for family in FAMILIES:
        for objective in ("text", "dpo") if family in ("gemma3", "phi3", "qwen3") else ("text",):
            usual = ["--full", "--template", "plain", "--val-share", 0, "--roots-every", 50, "--keep", 1]
            usual += ["--dpo", "--beta", COURSE["beta"]] if objective == "dpo" else []
            for key in ("steps", "batch", "warmup", "clip", "seed"):
                usual += ["--" + key, COURSE[key]]
            tune("torch", "--lr", COURSE["lr"][objective], base=of_family(family), usual=usual,
                 data=tmp("pairs.jsonl") if objective == "dpo" else DATA)
            got = [float.fromhex(r["loss"]) for r in lines(tmp("torch"))[1:]]
            want = golden[family][objective]
            assert len(got) == len(want) == 50 and want[-1] < want[0], (family, objective)
            off = max(abs(a - b) / max(b, 1) for a, b in zip(got, want))
            assert off < 1e-4, (family, objective, off)
            worst = max(worst, off)
            shutil.rmtree(tmp("torch"))
    note("largest difference of a loss %.1e" % worst)


def folder_is_compared(name):
    assert ", model\n" in loam("verify", tmp(name), "--spot", 1).stdout
    run = fresh("folder-changed", name)
    config = json.loads(read(os.path.join(run, "model/config.json")))
    theta = config["rope_parameters"] if "rope_parameters" in config else config
    theta["rope_theta"] = 5000.0
    write(os.path.join(run, "model/config.json"), json.dumps(config).encode())
    refused(run, "model/config.json", "is not what the run has made")
    run = fresh("folder-changed", name)
    write(os.path.join(run, "model/chat_template.jinja"), b"{{ 1 }}")
    refused(run, "model/chat_template.jinja")


@case("every family, from a folder and from a file: the same weights")
def _():
    few = ["--full", "--template", "plain", "--lr", 0.003, "--steps", 3, "--batch", 4, "--roots-every", 3, "--val-share", 0]
    for family in FAMILIES:
        base = of_family(family)
        tune("folder-" + family, base=base, usual=few)
        loam("verify", tmp("folder-" + family))
        in_folder = os.path.exists(tmp("folder-%s/model/config.json" % family))
        loam("logits", tmp("folder-" + family), "--ids", "1,5,9")
        assert in_folder == (family == "mistral")  # GGUF files have no words for its windows
        if in_folder:
            folder_is_compared("folder-" + family)
        if loam("convert", base, base + ".gguf", want=None).returncode:
            continue
        tune("file-" + family, base=base + ".gguf", usual=few)
        loam("verify", tmp("file-" + family), "--threads", 1)
        a, b = lines(tmp("folder-" + family)), lines(tmp("file-" + family))
        for key in ("loss", "norm", "weights", "moments"):
            assert [r.get(key) for r in a] == [r.get(key) for r in b], (family, key)
        loam("logits", tmp("file-" + family), "--ids", "1,5,9")


ADAPTER = ["--template", "plain", "--lora", 4, "--lr", 0.02, "--steps", STEPS, "--batch", 5, "--micro", 3, "--roots-every", 3,
           "--patience", 0, "--val-share", 0.2]


@case("an adapter: the base's weights stay, what is published is what the chain says")
def _():
    before = read(tmp("base/model.safetensors"))
    tune("adapter", "--threads", 1, usual=ADAPTER)
    rows = lines(tmp("adapter"))
    loss = [float.fromhex(r["loss"]) for r in rows[1:]]
    assert abs(loss[0] - float.fromhex(lines(tmp("first"))[1]["loss"])) < 1e-4  # B is zero: the base's own loss
    assert loss[-1] < 0.7 * loss[0], loss
    assert read(tmp("base/model.safetensors")) == before and not os.path.exists(tmp("adapter/model.gguf"))
    assert sorted(os.listdir(tmp("adapter/adapter"))) == ["adapter_config.json", "adapter_model.safetensors"]
    said = loam("verify", tmp("adapter")).stdout
    assert "adapter" in said and "12 of 12" in said, said
    for more in (["--threads", 3], ["--isa", "scalar"], ["--recompute"]):
        tune("adapter-again", *more, usual=ADAPTER)
        same_chain(tmp("adapter-again"), chain(tmp("adapter")))
        assert read(tmp("adapter-again/adapter.gguf")) == read(tmp("adapter/adapter.gguf"))
        shutil.rmtree(tmp("adapter-again"))
    tune("adapter-again", "--until", 5, usual=ADAPTER)
    loam("tune", tmp("adapter-again"))
    same_chain(tmp("adapter-again"), chain(tmp("adapter")))
    ask = ["-p", "User: What has Ann?\nAssistant:", "--temp", 0, "-n", 6]
    answers = [loam("run", tmp("base"), *ask, *more).stdout
               for more in ([], ["--lora", tmp("adapter/adapter")], ["--lora", tmp("adapter/adapter.gguf")])]
    assert answers[0] != answers[1] == answers[2], answers
    for name in ("adapter/adapter_model.safetensors", "adapter.gguf"):
        run = fresh("adapter-changed", "adapter")
        data = bytearray(read(os.path.join(run, name)))
        data[-3] ^= 1
        write(os.path.join(run, name), bytes(data))
        refused(run, name.split("/")[0])
    for source, name, named in (("adapter", "model.gguf", "model.gguf"), ("first", "adapter.gguf", "adapter.gguf"),
                                ("first", "model", "model"), ("adapter", "adapter/README.json", "adapter/README.json")):
        run = fresh("planted", source)
        if name == "model":
            shutil.copytree(tmp("base"), os.path.join(run, name))
        else:
            shutil.copy(tmp("first/model.gguf"), os.path.join(run, name))
        refused(run, "/%s: is nothing that this run publishes" % named)


@case("an adapter for every family, over quantised and 16-bit bases; DoRA, dropout, some parts and layers")
def _():
    few = ["--template", "plain", "--lora", 2, "--lr", 0.01, "--steps", 3, "--batch", 4, "--roots-every", 3, "--val-share", 0]
    loam("quantize", tmp("base"), tmp("base-q8.gguf"), "q8_0")
    ways = [(f, of_family(f), []) for f in FAMILIES]
    ways += [("q8", tmp("base-q8.gguf"), []), ("dora", tmp("base"), ["--dora", "--dropout", 0.1]),
             ("some", tmp("base"), ["--parts", "q_proj,v_proj", "--layers", "1-2", "--rslora", "--alpha", 8]),
             ("liked", tmp("base"), ["--dpo"])]
    for name, base, more in ways:
        tune("lora-" + name, *more, base=base, data=tmp("pairs.jsonl") if name == "liked" else DATA, usual=few)
        loss = [float.fromhex(r["loss"]) for r in lines(tmp("lora-" + name))[1:]]
        assert loss[2] < loss[0], (name, loss)
        loam("verify", tmp("lora-" + name), "--threads", 1, "--isa", "scalar")
    shutil.copy(tmp("lora-some/adapter.gguf"), tmp("lora-dora/adapter.gguf"))
    refused(tmp("lora-dora"), "adapter.gguf: is nothing that this run publishes")


@case("preferences: the loss begins at log 2 and falls")
def _():
    pairs = tmp("pairs.jsonl")
    usual = ["--dpo", "--full", "--template", "plain", "--lr", 0.001, "--steps", 8, "--roots-every", 4]
    tune("pairs", data=pairs, usual=usual)
    rows = lines(tmp("pairs"))
    loss = [float.fromhex(r["loss"]) for r in rows[1:]]
    assert abs(loss[0] - 0.6931471805599453) < 1e-9 and loss[-1] < 0.5, loss
    assert [r["targets"] for r in rows[1:]] == [8] * 8
    loam("verify", tmp("pairs"), "--threads", 1)
    tune("pairs-stopped", "--until", 5, data=pairs, usual=usual)
    loam("tune", tmp("pairs-stopped"))
    same_chain(tmp("pairs-stopped"), chain(tmp("pairs")))


@case("a data set: the same run as its lines, and an example is taken out as if it had never been there")
def _():
    documents = write_lines(tmp("documents.jsonl"), [{"id": "t-%d" % i, "text": json.dumps(t), "licence": "CC0-1.0"}
                                                     for i, t in enumerate(TALKS)])
    loam("data", "build", tmp("talks.db"), documents)
    tune("set", data=tmp("talks.db"), usual=[*USUAL, "--keep", 0])
    assert [r.get("weights") for r in lines(tmp("set"))] == [r.get("weights") for r in lines(tmp("first"))]
    loam("verify", tmp("set"), "--spot", 1)
    said = loam("rebuild", tmp("set"), tmp("without"), "--without", "t-7", "--prove").stdout
    assert "1" in said, said
    assert json.loads(read(tmp("without/recipe.json")))["data"]["documents"] == 49
    loam("verify", tmp("without"))
    loam("bisect", tmp("set"), tmp("set"))
    tune("set-adapter", data=tmp("talks.db"), usual=[*ADAPTER, "--keep", 0])
    loam("rebuild", tmp("set-adapter"), tmp("without-adapter"), "--without", "t-7", "--prove")
    assert not os.path.exists(tmp("without-adapter.scratch"))
    loam("verify", tmp("without-adapter"), "--spot", 1)


@case("runs, plot and card know it")
def _():
    row = json.loads(loam("runs", tmp("first"), "--json").stdout)
    row = row[0] if isinstance(row, list) else row
    assert row.get("steps", row) and "first" in json.dumps(row)
    assert "loss" in loam("plot", tmp("first")).stdout
    said = loam("card", tmp("first")).stdout
    assert json.loads(read(tmp("first/recipe.json")))["base"]["digest"] in said, said


# ---- before it begins, and what goes wrong ----

@case("a plan and a look at the data leave nothing behind")
def _():
    said = tune("looked", "--dry-run").stdout
    for word in ("all weights", "50 examples", "memory", "time", "12 steps of 5 examples"):
        assert word in said, said
    assert not os.path.exists(tmp("looked"))
    said = tune("looked", "--show-data", 2).stdout
    assert said.count("learned") == 2 and "[[ A cup." in said and "What has Ann?" in said, said
    assert not os.path.exists(tmp("looked"))


@case("what is wrong with the data is said with its line; too long examples are named, or left out and counted")
def _():
    for row, word in (("{", "JSON"), ({"x": 1}, "bad.jsonl:3"), ({"messages": [{"role": "elf", "content": ""}]}, "elf")):
        bad = write_lines(tmp("bad.jsonl"), [TALKS[0], TALKS[1], row])
        said = tune("bad", data=bad, want=None).stderr
        assert "bad.jsonl:3" in said and word in said, said
        assert not os.path.exists(tmp("bad/recipe.json"))
    long = write_lines(tmp("long.jsonl"), TALKS[:9] + [{"messages": [TALKS[0]["messages"][0], {
        "role": "assistant", "content": "word " * 40}]}])
    said = tune("long", "--ctx", 100, data=long, want=None).stderr
    assert "long.jsonl:10" in said, said
    said = tune("long", "--ctx", 100, "--drop-long", "--val-share", 0, data=long).stdout
    assert "left out    1 examples" in said, said
    loam("verify", tmp("long"), "--spot", 1)


@case("a template that refuses an example shows it")
def _():
    write(tmp("strict.jinja"), b"{% for m in messages %}{% if 'Bob' in m.content %}{{ raise_exception('no Bob') }}"
                               b"{% endif %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    said = tune("strict", "--template", tmp("strict.jinja"), want=1).stderr
    assert "no Bob" in said and "talks.jsonl:6" in said and "user: What has Bob?" in said, said


@case("wrong words are told")
def _():
    for more, word in ((["--lora", 4], "--full"), (["--beta", 1], "--dpo"), (["--epochs", 2], "exclude"),
                       (["--roles", "elf"], "elf"), (["--ctx", 100000], "made for")):
        said = tune("wrong", *more, want=2).stderr
        assert word in said, said
    assert "--base M and --data D" in loam("tune", tmp("wrong"), "--full", want=2).stderr
    assert not os.path.exists(tmp("wrong"))


main()
