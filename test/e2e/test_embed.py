#!/usr/bin/env python3
"""Embeddings of `loam serve`: the vectors that sentence-transformers and transformers make, in the shapes of OpenAI and
Ollama. Prints TAP.

test/golden/embed.json holds the vectors (test/golden/embed.py made it); how a model pools is said by the files that
sentence-transformers itself saved. Bits: alone, in a list, beside streams that generate, by any number of threads.
"""
import array
import base64
import json
import math
import os
import shutil
import struct
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _tiny  # noqa: E402
from _server import Server  # noqa: E402
from _tap import ROOT, case, loam, main, tmp  # noqa: E402

GOLDEN = os.path.join(ROOT, "test", "golden")
with open(os.path.join(GOLDEN, "embed.json")) as f:
    WANT = json.load(f)
TINY = os.path.join(tmp(), "tiny")
_tiny.make_model(TINY)


def variant(name, files=(), base=TINY, weights=None):
    """A folder with the tiny model's tokenizer, a model's weights, and more files."""
    folder = os.path.join(tmp(), name)
    shutil.copytree(TINY, folder)
    for one in ("config.json", "model.safetensors"):
        shutil.copy(os.path.join(weights or base, one), folder)
    for path, text in dict(files).items():
        os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
        with open(os.path.join(folder, path), "w") as out:
            out.write(text)
    return folder


def without_head(folder, to):
    """As models for embeddings are published: no output matrix, and no "model." before the names."""
    with open(os.path.join(folder, "model.safetensors"), "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        header, data = json.loads(f.read(n)), f.read()
    out, blob = {}, b""
    for name, t in header.items():
        if name in ("__metadata__", "lm_head.weight"):
            continue
        a, b = t["data_offsets"]
        out[name.removeprefix("model.")] = {**t, "data_offsets": [len(blob), len(blob) + b - a]}
        blob += data[a:b]
    text = json.dumps(out).encode()
    with open(os.path.join(to, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + blob)


def flags(mode):
    """The same statement in the words of folders before sentence-transformers 6."""
    all_of = {"lasttoken": "lasttoken", "mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens",
              "weightedmean": "weightedmean_tokens", "mean_sqrt_len_tokens": "mean_sqrt_len_tokens"}
    return json.dumps({"word_embedding_dimension": 48, **{"pooling_mode_" + v: k == mode for k, v in all_of.items()}})


def unit(v):
    length = math.sqrt(sum(x * x for x in v))
    return [x / length for x in v]


def near(got, want, tolerance=2e-5, what=""):
    assert len(got) == len(want), (len(got), len(want))
    worst = max(abs(a - b) for a, b in zip(got, want)) / max(abs(b) for b in want)
    assert worst <= tolerance, (what, worst)


MODES = list(WANT["vectors"])
POOLED = {m: variant("pool-" + m, WANT["files"][m]) for m in MODES}
OLD = variant("old-words", {**WANT["files"]["mean"], "1_Pooling/config.json": flags("weightedmean")})
BARE = variant("bare", WANT["files"]["mean"])
without_head(TINY, BARE)
DENSE = variant("dense", {"modules.json": WANT["files"]["mean"]["modules.json"].replace("pooling.Pooling", "dense.Dense")})
ESCAPES = variant("escapes", {"modules.json": WANT["files"]["mean"]["modules.json"].replace("1_Pooling", "../pool-mean/1_Pooling")})
GGUF = os.path.join(tmp(), "mean.gguf")
loam("convert", POOLED["mean"], GGUF)
_shared = []


def server():
    if not _shared:
        _shared.append(Server(TINY, *POOLED.values(), OLD, BARE, DENSE, ESCAPES, GGUF, "--ctx", 512))
    return _shared[0]


def vectors(model, given, **more):
    r = server().ok("/v1/embeddings", {"model": model, "input": given, **more})
    assert r["object"] == "list" and r["model"] == model
    assert [d["index"] for d in r["data"]] == list(range(len(r["data"])))
    return [d["embedding"] for d in r["data"]]


@case("each way of pooling gives sentence-transformers' vectors, of length 1 unless asked otherwise")
def _():
    for mode in MODES:
        got = vectors("pool-" + mode, WANT["texts"])
        for g, raw, w in zip(got, vectors("pool-" + mode, WANT["texts"], normalize=False), WANT["vectors"][mode]):
            assert abs(sum(x * x for x in g) - 1) < 1e-6
            near(g, unit(w))
            near(raw if mode != "lasttoken" else unit(raw), w)  # that golden one is of length 1
            assert abs(sum(x * x for x in raw) - 1) > 1e-3
            near(unit(raw), g, 1e-6)
    assert vectors("old-words", WANT["texts"]) == vectors("pool-weightedmean", WANT["texts"])
    assert vectors("tiny", WANT["texts"]) == vectors("pool-lasttoken", WANT["texts"]), "nothing stated: the last token"


@case("every family's last hidden state is transformers', at the last token and in the mean")
def _():
    names = list(WANT["families"])
    folders = [variant("family-" + n, weights=os.path.join(GOLDEN, "models", n)) for n in names]
    means = [variant("mean-" + n, WANT["files"]["mean"], weights=os.path.join(GOLDEN, "models", n)) for n in names[:4]]
    s = Server(*folders, *means)
    for n in names:
        r = s.ok("/v1/embeddings", {"model": "family-" + n, "input": WANT["ids"], "normalize": False})
        near(r["data"][0]["embedding"], WANT["families"][n]["lasttoken"], 1e-4, n)
    for n in names[:4]:
        r = s.ok("/v1/embeddings", {"model": "mean-" + n, "input": WANT["ids"], "normalize": False})
        near(r["data"][0]["embedding"], WANT["families"][n]["mean"], 1e-4)
    assert s.stop()[0] == 0


@case("the GGUF form pools as the folder says, and a folder without an output matrix is read")
def _():
    assert vectors("mean", WANT["texts"]) == vectors("pool-mean", WANT["texts"])
    assert vectors("bare", WANT["texts"]) == vectors("pool-mean", WANT["texts"])
    out = os.path.join(tmp(), "bare.gguf")
    loam("convert", BARE, out)
    ids = ["--ids", "3,1,4,1,5"]
    assert loam("logits", out, *ids).stdout == loam("logits", BARE, *ids).stdout


@case("texts, lists of texts, of ids, of lists of ids; floats and base64; dimensions; usage")
def _():
    s, text = server(), WANT["texts"][0]
    ids = s.ok("/tokenize", {"model": "tiny", "prompt": text})["tokens"]
    want = vectors("tiny", text)
    assert len(want) == 1 and vectors("tiny", [text]) == vectors("tiny", ids) == vectors("tiny", [ids]) == want
    assert vectors("tiny", [ids, ids[:2]])[0] == want[0] and len(vectors("tiny", [text, "x", text])) == 3
    raw = base64.b64decode(vectors("tiny", text, encoding_format="base64")[0], validate=True)
    as_f32 = array.array("f", want[0]).tobytes()
    assert raw == as_f32, "the decimal form says the very same numbers"
    near(vectors("tiny", text, dimensions=16)[0], unit(want[0][:16]), 1e-6)
    assert vectors("tiny", text, dimensions=48) == want
    r = s.ok("/v1/embeddings", {"input": [text, "x"]})
    assert r["usage"] == {"prompt_tokens": len(ids) + 2, "total_tokens": len(ids) + 2}


@case("Ollama: embed with one and with many, the older embeddings, nothing to embed")
def _():
    s, texts = server(), WANT["texts"][:2]
    r = s.ok("/api/embed", {"model": "pool-mean", "input": texts, "truncate": False, "keep_alive": "5m"})
    assert r["embeddings"] == vectors("pool-mean", texts) and r["model"] == "pool-mean"
    assert r["prompt_eval_count"] == 10 and r["total_duration"] > 0 and r["load_duration"] == 0
    assert s.ok("/api/embed", {"model": "tiny", "input": texts[0]})["embeddings"] == vectors("tiny", texts[0])
    assert s.ok("/api/embed", {"model": "tiny", "input": texts[0], "dimensions": 8})["embeddings"] == \
        vectors("tiny", texts[0], dimensions=8)
    assert s.ok("/api/embeddings", {"model": "tiny", "prompt": texts[0]})["embedding"] == vectors("tiny", texts[0])[0]
    assert s.ok("/api/embed", {"model": "tiny"})["embeddings"] == s.ok("/api/embed", {"model": "tiny", "input": []})["embeddings"] == []
    assert s.ok("/api/embeddings", {"model": "tiny", "prompt": ""})["embedding"] == []
    assert "embedding" in s.ok("/api/show", {"model": "pool-mean"})["capabilities"]


@case("what is wrong is named: inputs, formats, dimensions, lengths, modules that are not supported")
def _():
    s = server()
    for body, word in (({"input": ""}, None), ({"input": []}, "input"), ({}, "input"), ({"input": 5}, "input"),
                       ({"input": ["x", 5]}, "input[1]"), ({"input": ["x", []]}, "input[1]"),
                       ({"input": [1, 2, 160]}, "token 2"), ({"input": [[1], [2, -1]]}, "input[1]: token 1"),
                       ({"input": "x", "encoding_format": "int8"}, "encoding_format"),
                       ({"input": "x", "dimensions": 49}, "dimensions"), ({"input": "x", "dimensions": 0}, "dimensions"),
                       ({"input": "x" * 600}, "context holds"), ({"input": ["x", "x" * 600], "truncate": True}, "context holds"),
                       ({"input": ["x"] * 2049}, "2049 inputs"), ({"input": "x", "normalize": 1}, "normalize"),
                       ({"input": "x", "model": "dense"}, "Dense"), ({"input": "x", "model": "escapes"}, "name of a folder")):
        r = s.ask("/v1/embeddings", body)
        if word is None:
            assert r.status == 200, "a text without characters is still the beginning of one, <s>"
            continue
        assert r.status == 400 and word in r.json["error"]["message"], (body, r.status, r.body)
    assert s.ask("/v1/embeddings", {"input": "x", "model": "other"}).status == 404
    assert s.ask("/api/embed", {"input": "x" * 600}).json["error"].count("context holds") == 1
    assert s.ok("/v1/completions", {"prompt": "x", "max_tokens": 1, "model": "dense"})["usage"]["completion_tokens"] == 1


@case("the same bits alone, in a list of 2048, beside streams, by three threads, and streams go on meanwhile")
def _():
    s = server()
    texts = [WANT["texts"][2][: 1 + i * 7 % 150] for i in range(64)]
    want = {t: vectors("pool-mean", t)[0] for t in texts}
    body = {"model": "pool-mean", "prompt": "The sea", "max_tokens": 200, "ignore_eos": True, "temperature": 1, "seed": 3}
    alone = s.ok("/v1/completions", body)["choices"][0]["text"]
    got = []
    stream = threading.Thread(target=lambda: got.append([json.loads(e) for e in s.events("/v1/completions", body) if e != "[DONE]"]))
    stream.start()
    many = vectors("pool-mean", texts * 32)
    stream.join()
    assert len(many) == 2048 and all(v == want[t] for v, t in zip(many, texts * 32))
    assert "".join(e["choices"][0]["text"] for e in got[0]) == alone
    s3 = Server(POOLED["mean"], "--threads", 3)
    r = s3.ok("/v1/embeddings", {"input": texts})
    assert [d["embedding"] for d in r["data"]] == [want[t] for t in texts]
    assert s3.stop()[0] == 0


@case("a client that leaves ends its request; the queue takes others between the inputs of a long list")
def _():
    s = Server(POOLED["mean"], "--queue", 9, "--parallel", 2)
    body = json.dumps({"input": ["x" * 140] * 2048}).encode()
    c = s.raw(b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    r = s.ok("/v1/completions", {"prompt": "x", "max_tokens": 2, "ignore_eos": True})
    assert r["usage"]["completion_tokens"] == 2
    c.close()
    s.wait("loam_requests_running", 0)
    taken = s.metric("loam_requests_total")
    assert taken < 2000, taken
    s.wait("loam_requests_queued", 0)
    assert s.ok("/v1/embeddings", {"input": "x"})["data"]
    assert s.stop()[0] == 0


@case("the server stops with 0")
def _():
    if _shared:
        assert server().stop()[0] == 0


main()
