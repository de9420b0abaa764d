#!/usr/bin/env python3
"""Adapters with the real program: --lora, loam merge, and the server with adapters by name, by request and by scale. TAP.

The numbers are compared with peft's and llama.cpp's by test_adapter_file.c; here, that the program uses them."""
import json
import os
import shutil
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _server import Server  # noqa: E402
from _tap import ROOT, case, loam, main, tmp  # noqa: E402
from _tiny import make_model  # noqa: E402

GOLDEN = os.path.join(ROOT, "test", "golden")
LORA = os.path.join(GOLDEN, "lora")
with open(os.path.join(LORA, "lora.json")) as f:
    WANT = json.load(f)
IDS = ",".join(map(str, WANT["ids"]))
_made = {}


def out(name):
    return os.path.join(tmp(), name)


def model():
    if "model" not in _made:
        make_model(out("tiny"))
        _made["model"] = out("tiny")
    return _made["model"]


def lora(name):
    return os.path.join(LORA, name)


def logits(path, *args):
    return [float(x) for x in loam("logits", path, "--ids", IDS, "--weights", "f32", *args).stdout.split()]


def digest(path, *args):
    return loam("logits", path, "--ids", IDS, *args).stderr.strip().split("\n")[-1]


def apart(a, b):
    return max(abs(x - y) for x, y in zip(a, b)) / max(map(abs, b))


# ---- running ----

@case("--lora: peft's logits; a scale; several; the same bits for any threads and chunks")
def _():
    base = os.path.join(GOLDEN, "models", "llama")
    assert apart(logits(base, "--lora", lora("llama")), WANT["cases"]["llama"]["logits"]) < 1e-5
    plain, whole, half = (digest(base, *a) for a in ((), ("--lora", lora("llama")), ("--lora", lora("llama") + ":0.5")))
    assert len({plain, whole, half}) == 3
    assert digest(base, "--lora", lora("llama") + ":0") == plain
    both = ("--lora", lora("llama"), "--lora", lora("llama-other") + ":-0.25")
    one = digest(base, *both, "--threads", "1", "--chunk", "24")
    assert one not in (plain, whole)
    assert one == digest(base, *both, "--threads", "3", "--chunk", "5", "--isa", "scalar")


@case("run, chat and perplexity take --lora; bench tells its speed")
def _():
    text = "How many eggs?"
    runs = [loam("run", model(), "-p", text, "-n", 12, "--temp", 0, "--ignore-eos", *a).stdout
            for a in ((), ("--lora", lora("llama")))]
    assert runs[0] != runs[1]
    with open(out("text"), "w") as f:
        f.write(text * 5)
    losses = [loam("perplexity", model(), out("text"), *a).stdout for a in ((), ("--lora", lora("llama")))]
    assert losses[0] != losses[1]


@case("what is wrong with an adapter is said in a line")
def _():
    base = os.path.join(GOLDEN, "models", "llama")
    for args, want, says in ((("--lora", "nothing"), 1, "nothing: there is no such adapter"),
                             (("--lora", lora("llama") + ":much"), 2, "--lora A:SCALE"),
                             (("--lora", lora("gemma3")), 1, "the model has 4 layers"),
                             (("--lora", os.path.join(GOLDEN, "models", "quant", "mixed.gguf")), 1, "general.type")):
        run = loam("logits", base, "--ids", "3", *args, want=want)
        assert says in run.stderr and run.stderr.count("\n") == 1, run.stderr
    cut = out("cut")
    shutil.copytree(lora("llama"), cut)
    with open(os.path.join(cut, "adapter_model.safetensors"), "r+b") as f:
        f.truncate(5000)
    assert "adapter_model.safetensors" in loam("logits", base, "--ids", "3", "--lora", cut, want=1).stderr


# ---- merging ----

@case("merge: the logits of --lora, of folders and GGUF files, DoRA and stacked matrices too")
def _():
    for name, c in WANT["cases"].items():
        base, path = os.path.join(GOLDEN, "models", c["model"]), out("merged-" + name)
        loam("merge", base, lora(name), path, "--type", "F32")
        assert apart(logits(path), c["logits"]) < 2e-5, name
    base = os.path.join(GOLDEN, "models", "llama")
    loam("merge", base, lora("llama"), lora("llama-other") + ":0.5", out("both.gguf"), "--type", "F32")
    want = logits(base, "--lora", lora("llama"), "--lora", lora("llama-other") + ":0.5")
    assert apart(logits(out("both.gguf")), want) < 1e-5


@case("merge into fewer bits; what is there stays; the tokenizer comes along")
def _():
    for kind in ("Q8_0", "F16", "same"):
        loam("merge", model(), lora("llama"), out(kind + ".gguf"), "--type", kind)
        near = apart(logits(out(kind + ".gguf")), WANT["cases"]["llama"]["logits"])
        assert near < (0.2 if kind == "Q8_0" else 0.05), (kind, near)
    assert loam("run", out("F16.gguf"), "-p", "a", "-n", 4, "--temp", 0).stdout
    assert "is there already" in loam("merge", model(), lora("llama"), out("F16.gguf"), want=2).stderr
    assert "no type" in loam("merge", model(), lora("llama"), out("x.gguf"), "--type", "Q9", want=2).stderr
    assert "ends in .gguf" in loam("merge", model(), lora("llama"), out("x"), "--type", "Q8_0", want=2).stderr


@case("combining: peft's linear and ties; cat is the sum; ranks that differ are refused")
def _():
    base = os.path.join(GOLDEN, "models", "llama")
    for name, c in WANT["combined"].items():
        parts = ["%s:%g" % (lora(a), w) for a, w in zip(c["adapters"], c["weights"])]
        how = ["--combine", c["combination_type"], "--density", c.get("density", 1)]
        loam("merge", base, *parts, out("combined-" + name), *how, "--adapter")
        got = logits(base, "--lora", out("combined-" + name))
        assert apart(got, c["logits"]) < 1e-5, (name, apart(got, c["logits"]))
    parts = [lora("llama") + ":0.7", lora("llama-other") + ":-0.4"]
    loam("merge", base, *parts, out("cat.gguf"), "--adapter")
    want = logits(base, "--lora", parts[0], "--lora", parts[1])
    assert apart(logits(base, "--lora", out("cat.gguf")), want) < 1e-5
    run = loam("merge", base, lora("llama"), out("cat.gguf"), out("no"), "--combine", "ties", "--adapter", want=2)
    assert "ranks 2 and 4" in run.stderr, run.stderr
    base = os.path.join(GOLDEN, "models", "qwen2")
    assert "DoRA" in loam("merge", base, lora("qwen2-dora"), out("no"), "--combine", "cat", want=1).stderr
    assert "DoRA" in loam("merge", base, lora("qwen2-dora"), out("no.gguf"), "--adapter", want=1).stderr
    assert not os.path.exists(out("no")) and not os.path.exists(out("no.gguf"))


@case("--adapter: from peft's form to llama.cpp's and back: the same bits")
def _():
    base = os.path.join(GOLDEN, "models", "llama")
    loam("merge", base, lora("llama"), out("form.gguf"), "--adapter")
    loam("merge", base, out("form.gguf"), out("form"), "--adapter")
    assert digest(base, "--lora", lora("llama")) == digest(base, "--lora", out("form.gguf")) == \
        digest(base, "--lora", out("form"))
    tensors = []
    for folder in (lora("llama"), out("form")):
        with open(os.path.join(folder, "adapter_model.safetensors"), "rb") as f:
            data = f.read()
        n, = struct.unpack_from("<Q", data)
        tensors.append({k: data[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]]
                        for k, v in json.loads(data[8:8 + n]).items() if k != "__metadata__"})
    assert tensors[0] == tensors[1]


# ---- serving ----

PROMPT = "How many eggs are in the kitchen today?"  # long enough to be kept for others


def answers(server, name=None, prompt=PROMPT, **more):
    body = {"prompt": prompt, "max_tokens": 12, "temperature": 0, "ignore_eos": True, **more}
    return server.ok("/v1/completions", {**body, **({"model": name} if name else {})})["choices"][0]["text"]


def said(*args, prompt=PROMPT):
    text = loam("run", model(), "-p", prompt, "-n", 12, "--temp", 0, "--ignore-eos", *args).stdout
    return text[:-1]


@case("serve: adapters by the model's name, by request, by scale; each answer is that of run, whatever was cached")
def _():
    a, b = lora("llama"), lora("llama-other")
    want = {"none": said(), "a": said("--lora", a), "b": said("--lora", b), "ab": said("--lora", a, "--lora", b + ":0.5"),
            "half": said("--lora", a + ":0.5")}
    assert len(set(want.values())) > 3, want
    server = Server(model(), "--lora", a, "--lora", b + ":0")
    try:
        names = [m["id"] for m in server.ok("/v1/models")["data"]]
        assert names == ["tiny", "tiny:llama", "tiny:llama-other"], names
        for _ in range(2):  # the second time from prefixes that were kept
            assert answers(server) == want["a"]
            assert answers(server, "tiny:llama") == want["a"]
            assert answers(server, "tiny:llama-other") == want["b"]
            assert answers(server, lora=[]) == want["none"]
            assert answers(server, lora=[{"id": 0, "scale": 0.5}]) == want["half"]
            assert answers(server, lora=[{"id": 1, "scale": 0.5}, {"id": 0, "scale": 1}]) == want["ab"]
        fresh = "Who made the yellow lamp, and where is it?"  # nobody has computed it: they can but share with each other
        asked = [((), {"lora": []}), (("--lora", a), {}), (("--lora", b), {"name": "tiny:llama-other"}),
                 (("--lora", a + ":0.5"), {"lora": [{"id": 0, "scale": 0.5}]})]
        apart_from = [said(*args, prompt=fresh) for args, _ in asked]
        with ThreadPoolExecutor(12) as pool:  # together, in one batch
            together = list(pool.map(lambda x: answers(server, prompt=fresh, **x[1]), asked * 3))
        assert together == apart_from * 3, (together, apart_from)
        assert server.metric("loam_cached_tokens_total") > 100
        adapters = server.ok("/lora-adapters")
        assert [(x["id"], x["path"], x["scale"]) for x in adapters] == [(0, a, 1), (1, b, 0)], adapters
        server.ok("/lora-adapters", [{"id": 0, "scale": 0}])
        assert answers(server) == want["none"]
        server.ok("/lora-adapters", [{"id": 0, "scale": 1}, {"id": 1, "scale": 0.5}])
        assert answers(server) == want["ab"]
        assert [x["scale"] for x in server.ok("/lora-adapters")] == [1, 0.5]
        for bad in ([{"id": 2, "scale": 1}], [{"id": 0}], [{"id": 0, "scale": "x"}], "x", [1]):
            assert server.ask("/v1/completions", {"prompt": "a", "lora": bad}).status == 400, bad
            assert server.ask("/lora-adapters", bad if isinstance(bad, list) else [bad]).status == 400, bad
        assert server.ask("/v1/completions", {"prompt": "a", "model": "tiny:x"}).status == 404
    finally:
        server.stop()


@case("serve: a model that thinks does so under an adapter's name, too")
def _():
    with open(out("thinks"), "w") as f:
        f.write("{% for m in messages %}{{ m.content }}{% endfor %}{% if enable_thinking %}<think>{% endif %}")
    server = Server(model(), "--template", out("thinks"), "--lora", lora("llama"))
    body = {"max_tokens": 4, "temperature": 0, "messages": [{"role": "user", "content": "How many eggs?"}],
            "thinking": {"type": "enabled", "budget_tokens": 1024}}
    try:
        for name in ("tiny", "tiny:llama"):
            assert "thinking" in server.ok("/api/show", {"model": name})["capabilities"], name
            content = server.ok("/v1/messages", {**body, "model": name})["content"]
            assert [block["type"] for block in content] == ["thinking"], (name, content)
    finally:
        server.stop()


@case("serve: as many models and adapters as there are places, and no more")
def _():
    models = [out("m%d" % i) for i in range(17)]
    for path in models:
        os.symlink(model(), path)
    server = Server(*models[:16], "--lora", lora("llama"))
    try:
        assert len(server.ok("/v1/models")["data"]) == 32
    finally:
        server.stop()
    run = loam("serve", *models, "--lora", lora("llama"), "--port", "0", want=2)
    assert "more than 32 models and adapters" in run.stderr, run.stderr


@case("serve: an adapter whose path is no UTF-8 is in the lists, and can be asked for")
def _():
    odd = os.fsdecode(os.fsencode(out("odd")) + b"\xff")
    shutil.copytree(lora("llama"), odd)
    server = Server(model(), "--lora", odd)
    try:
        adapter, = server.ok("/lora-adapters")
        assert (adapter["name"], adapter["path"]) == ("odd\ufffd", out("odd\ufffd")), adapter
        assert [m["id"] for m in server.ok("/v1/models")["data"]] == ["tiny", "tiny:odd\ufffd"]
        assert answers(server, "tiny:odd\ufffd") == said("--lora", odd)
    finally:
        server.stop()


@case("serve: prefixes in files are of the model alone")
def _():
    cache, long = out("prefixes"), "How many eggs? " * 8
    body = {"prompt": long, "max_tokens": 8, "temperature": 0, "ignore_eos": True}
    found, files = [], []
    for args in (("--lora", lora("llama")), (), ("--lora", lora("llama"))):
        server = Server(model(), "--cache-dir", cache, *args)
        found.append(server.ok("/v1/completions", body)["choices"][0]["text"])
        server.stop()
        files.append(sum(len(names) for _, _, names in os.walk(cache)))
    assert found[0] == found[2] != found[1], found
    assert files[0] < files[1] == files[2], files


main()
