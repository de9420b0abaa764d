#!/usr/bin/env python3
"""loam trace, end to end: what it finds is what searching the documents finds, with their licences and the steps that saw
them; a stale, cut off or changed index is refused in one line; whatever kills the making of an index, the data set and
the index before stay usable. Prints TAP."""
import hashlib
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _tap  # noqa: E402
from _tap import LOAM, Fail, Terminal, case, loam, main, note  # noqa: E402
from _train import SHAPE, lines, texts, tmp, write_tokenizer  # noqa: E402

DOCS = []  # (id, text, licence)


def write_set(name):
    path = tmp(name)
    with open(path + ".jsonl", "w") as f:
        for i, text in enumerate(texts(300) + ["Zoë's café: “naïve” 世界 déjà vu.", "tab\tand\n\nlines \\ \"quoted\"."]):
            licence = ("CC0-1.0", "CC-BY-4.0", "MIT")[i % 3]
            DOCS.append((i + 1, text, licence))
            f.write(json.dumps({"id": "t-%d" % i, "text": text, "licence": licence, "source": "s%d" % (i % 2)}) + "\n")
    loam("data", "build", path, path + ".jsonl", "--index")
    return path


DATA = write_set("data.db")


def traced(text, *more, what=DATA):
    return json.loads(loam("trace", what, text, "--json", *more).stdout)["spans"]


def count(needle):
    total = 0
    for _, text, _ in DOCS:
        hay, at = text.encode(), -1
        while (at := hay.find(needle, at + 1)) >= 0:
            total += 1
    return total


def check_span(text, s, docs=10):
    raw = text.encode()
    needle = raw[s["start"]:s["end"]]
    assert list(s) == ["start", "end", "text", "count", "docs"] and s["text"].encode() == needle
    assert s["count"] == count(needle) > 0, (s, count(needle))
    holders = [(i, t, lic) for i, t, lic in DOCS if needle in t.encode()][:docs]
    assert len(holders) == len(s["docs"])
    for (i, t, licence), d in zip(holders, s["docs"]):
        assert list(d) == ["id", "sha256", "source", "licence", "offset", "steps"]
        assert d["id"] == i and d["licence"] == licence and d["source"] == "s%d" % ((i - 1) % 2)
        assert d["sha256"] == hashlib.sha256(t.encode()).hexdigest() and d["offset"] == t.encode().find(needle)


@case("every span is where a search finds it, none could be longer, and the rarest come first")
def _():
    rng = random.Random(5)
    words = sorted({w for _, t, _ in DOCS for w in t.split()})
    n = 0
    for _ in range(40):
        pieces = []
        for _ in range(rng.randrange(1, 5)):
            doc = rng.choice(DOCS)[1].split()
            at = rng.randrange(len(doc))
            pieces += doc[at:at + rng.randrange(1, 12)] + rng.choices(words + ["unheard"], k=rng.randrange(3))
        text = " ".join(pieces)
        spans = traced(text)
        for s in spans:
            check_span(text, s)
            raw, before, behind = text.encode(), s["start"], s["end"]
            nxt = raw[behind:].split(None, 1)  # one word more on either side is nowhere
            if nxt:
                more = raw.find(nxt[0], behind) + len(nxt[0])
                assert count(raw[s["start"]:more]) == 0 or raw[s["start"]:more].decode() != text[s["start"]:more] or \
                    not nxt[0].isalnum(), (s, more)
            if before and raw[:before].split():
                last = raw[:before].split()[-1]
                assert not last.isalnum() or count(raw[raw.rfind(last, 0, before):s["end"]]) == 0, s
        for a in spans:
            assert not any(b is not a and b["start"] <= a["start"] and a["end"] <= b["end"] for b in spans)
        n += len(spans)
    note("%d spans" % n)
    assert n > 150


@case("letters, signs and bytes of all kinds")
def _():
    for text in ("Zoë's café: “naïve” 世界 déjà vu.", "a 世界 b", "and\n\nlines \\ \"quoted\" here", "\x01 \x7f é", "", " "):
        for s in traced(text):
            check_span(text, s)
    assert traced("Zoë's café: “naïve” 世界 déjà vu.")[0]["text"] == "Zoë's café: “naïve” 世界 déjà vu."
    got = loam("trace", DATA, "-", "--json", input=b"\xff\xfe Ada put \x00 the ball\xc3", text=False).stdout
    found = sorted(s["text"] for s in json.loads(got)["spans"])
    assert found == ["Ada put", "the ball"], found


@case("threads and shards change nothing")
def _():
    text = DOCS[7][1] + " " + DOCS[90][1][5:] + " Finn put the shoe away."
    want = traced(text)
    for n in (1, 2, 3):
        assert traced(text, "--threads", n) == want
    assert traced(text, "--top", 2) == want[:2] and traced(text, "--docs", 1)[0]["docs"] == want[0]["docs"][:1]
    before = open(DATA + ".trace", "rb").read()
    loam("trace", "index", DATA, "--threads", 3)
    assert open(DATA + ".trace", "rb").read() == before
    info = json.loads(loam("trace", "index", DATA, "--json").stdout)
    size = sum(len(t.encode()) for _, t, _ in DOCS)
    assert info["text_bytes"] == size and info["index_bytes"] == os.path.getsize(DATA + ".trace") <= 6 * size, info
    loam("trace", "index", DATA, "--check")


@case("a stale, cut off, changed or foreign index is refused in one line")
def _():
    path = tmp("broken.db")
    shutil.copy(DATA, path)
    good = open(DATA + ".trace", "rb").read()

    def refused(index, *words, data=None):
        with open(path + ".trace", "wb") as f:
            f.write(index)
        r = loam("trace", path, "Ada put the ball in the hall.", want=1)
        assert r.stdout == "" and r.stderr.count("\n") == 1 and "loam trace index" in r.stderr, r.stderr
        assert any(w in r.stderr for w in words), r.stderr

    refused(b"", "no index")
    refused(b"hello" * 100, "no index")
    refused(good[:8] + struct.pack("<I", 2) + good[12:], "version 2")
    for n in (9, 63, 64, 200, len(good) // 2, len(good) - 1):
        refused(good[:n], "cut off", "no index")
    refused(good + b"\0", "cut off")
    rng = random.Random(3)
    flips = [rng.randrange(8, len(good)) for _ in range(60)] + [len(good) - i for i in range(1, 177, 7)]
    for at in flips:
        refused(good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1:], "damaged", "version", "another state", "cut off")
    with open(path + ".trace", "wb") as f:
        f.write(good)
    assert traced("Ada put", what=path)
    loam("data", "drop", path, "--where", "id = 3", "--yes")
    r = loam("trace", path, "Ada put", want=1)
    assert "another state of the data set" in r.stderr, r.stderr
    loam("trace", "index", path)
    assert all(d["id"] != 3 for d in traced(DOCS[2][1][:30], what=path)[0]["docs"])
    os.remove(path + ".trace")
    assert "has no index yet" in loam("trace", path, "x", want=1).stderr


@case("killed while it makes an index, the data set and the index before stay as they were")
def _():
    path = tmp("kill.db")
    with open(path + ".jsonl", "w") as f:
        f.write(loam("corpus", "homeworld", "--docs", 12000).stdout)
    loam("data", "build", path, path + ".jsonl", "--near", 0)
    began = time.time()
    loam("trace", "index", path)
    whole, index = time.time() - began, open(path + ".trace", "rb").read()
    for i in range(6):
        p = subprocess.Popen([LOAM, "trace", "index", path, "--shard-mb", "1"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        time.sleep(whole * (i + 0.5) / 8)
        p.send_signal(signal.SIGKILL)
        p.wait()
        assert open(path + ".trace", "rb").read() == index or p.returncode == 0
        if i % 3 == 0:
            loam("data", "check", path)
        assert traced("The robot is in the kitchen.", what=path)
    left = [f for f in os.listdir(tmp("")) if f.startswith("kill.db")]
    assert sorted(left) == ["kill.db", "kill.db.jsonl", "kill.db.trace"], left


TOKENIZER = write_tokenizer(tmp("tokenizer"))
TRAIN = ["--tokenizer", TOKENIZER, *SHAPE, "--steps", 30]


def seen_by_hand(run, data_ids):
    """From the definition: documents in the order of their PRF, one stream of tokens, steps of batch * ctx tokens."""
    recipe = json.load(open(os.path.join(run, "recipe.json")))
    seed, steps = recipe["init"]["seed"], lines(run)[-1]["step"]
    per_step = recipe["batch"]["sequences"] * recipe["model"]["ctx"]

    def held_out(sha):
        h = hashlib.sha256(b"loam held out" + struct.pack("<Q", seed) + sha).digest()
        return (struct.unpack("<Q", h[:8])[0] >> 11) * 2.0 ** -53 < recipe["data"]["val_share"]

    docs = []
    for i, text, _ in data_ids:
        sha = hashlib.sha256(text.encode()).digest()
        n = len(loam("tokenize", os.path.join(run, "model.gguf"), text).stdout.split()) + 1
        if not held_out(sha):
            docs.append((i, sha, n))
    seen, pos, epoch = {i: set() for i, _, _ in docs}, 0, 0
    while pos < steps * per_step:
        key = b"loam order" + struct.pack("<QQ", seed, epoch)
        for i, sha, n in sorted(docs, key=lambda d: (hashlib.sha256(key + d[1]).digest(), d[0])):
            seen[i] |= {s for s in range(pos // per_step + 1, (pos + n - 1) // per_step + 2) if s <= steps}
            pos += n
        epoch += 1
    return {i: sorted(s) for i, s in seen.items()}


@case("the steps that saw a document are those of the definition, over several epochs")
def _():
    path, run = tmp("few.db"), tmp("run")
    few = [(i, t, lic) for i, t, lic in DOCS[:60]]
    with open(path + ".jsonl", "w") as f:
        f.write("".join(json.dumps({"text": t}) + "\n" for _, t, _ in few))
    loam("data", "build", path, path + ".jsonl", "--index")
    loam("train", run, "--data", path, *TRAIN, "--val-share", 0.1)
    want, text = seen_by_hand(run, few), " ".join(t for _, t, _ in few[::3])
    n = 0
    for spans in (traced(text, "--run", run, what=path), traced(text, what=run)):
        for s in spans:
            for d in s["docs"]:
                assert d["steps"] == want.get(d["id"], []), (d, want.get(d["id"]))
                n += len(d["steps"]) > 1
    note("%d documents seen more than once, last step %d" % (n, max(max(s) for s in want.values() if s)))
    assert n > 15 and any(not want.get(i) for i, _, _ in few) and max(max(s) for s in want.values() if s) == 30
    assert not os.path.exists(os.path.join(run, "data.trace"))
    os.remove(path + ".trace")  # then the run keeps an index of its own
    assert traced(text, what=run) == spans and os.path.exists(os.path.join(run, "data.trace"))
    assert "is a run already" in loam("trace", run, "x", "--run", run, want=2).stderr
    other = loam("trace", DATA, DOCS[1][1], "--run", run, "--json")
    assert [d["steps"] for d in json.loads(other.stdout)["spans"][0]["docs"]][0] == want[2]


@case("a run of the built-in corpus makes its index itself, and finds what a data set of it finds")
def _():
    run, path = tmp("made"), tmp("world.db")
    loam("train", run, "--data", "homeworld:docs=400,seed=3,mix=tiny", *TRAIN)
    with open(path + ".jsonl", "w") as f:
        f.write(loam("corpus", "homeworld", "--docs", 400, "--seed", 3, "--mix", "tiny").stdout)
    loam("data", "build", path, path + ".jsonl", "--index")
    text = "Who made the yellow lamp? The robot is in the kitchen, and the blue cup is on the sofa."
    spans = traced(text, what=run)
    assert spans == traced(text, "--run", run, what=path) and any(d["steps"] for s in spans for d in s["docs"])
    made = os.path.join(run, "data.trace")
    again = os.stat(made).st_mtime_ns
    traced(text, what=run)
    assert os.stat(made).st_mtime_ns == again
    with open(made, "r+b") as f:
        f.truncate(1000)
    assert "cut off" in loam("trace", run, text, want=1).stderr
    os.remove(made)
    assert traced(text, what=run) == spans


def write_plain(name):
    with open(tmp(name) + ".jsonl", "w") as f:
        f.write(json.dumps({"text": "one"}) + "\n")
    loam("data", "build", tmp(name), tmp(name) + ".jsonl")
    return tmp(name)


@case("for people: coverage, context, licence, steps; colours on a terminal alone")
def _():
    text = DOCS[4][1]
    out = loam("trace", DATA, text + " And nothing else.").stdout
    assert "\x1b" not in out and "verbatim  " in out and "CC-BY-4.0" in out and "document 5 (t-4), s0" in out, out
    assert float(out.split()[1]) > 50
    assert float(loam("trace", DATA, "purple zebras quietly vanish", "--cover-words", 2).stdout.split()[1]) == 0
    assert "held out" in (out := loam("trace", tmp("run"), " ".join(t for _, t, _ in DOCS[:60]), "--top", 200).stdout) \
        and "steps " in out
    env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    t = Terminal("trace", DATA, text, env={**env, "TERM": "xterm"})
    t.wait(b"\x1b[1;31m")
    assert t.end() == 0
    t = Terminal("trace", DATA, text, env={**env, "TERM": "xterm", "NO_COLOR": "1"})
    assert t.end() == 0 and b"\x1b[1;31m" not in t.shown


@case("run --trace and chat's /trace show it under an answer")
def _():
    run = tmp("run")
    ask = ["-p", DOCS[3][1][:40], "-n", 40, "--seed", 3]
    plain = loam("run", run, *ask).stdout
    out = loam("run", run, *ask, "--trace", DATA).stdout
    assert out.startswith(plain) and "verbatim  " in out[len(plain):] and out.count("document ") > 0, out
    answer, spans = [json.loads(x) for x in loam("run", run, *ask, "--trace", DATA, "--json").stdout.splitlines()]
    assert spans["spans"] == traced(answer["text"])
    assert "has no index" in loam("run", run, *ask, "--trace", write_plain("bare.db"), want=1).stderr
    chat = ["chat", run, "--template", "plain", "--temp", 0, "-n", 12]
    talk = "/trace\nAda put the ball\n/trace\n/trace %s\n/trace\n/trace %s\n" % (DATA, tmp("none.db"))
    r = loam(*chat, input=talk, want=1)
    assert r.stdout.count("verbatim  ") == 3 and "there is no answer yet" in r.stderr and "none.db" in r.stderr, r
    r = loam(*chat, "--trace", DATA, input="Ada put\nBob put\n")
    assert r.stdout.count("verbatim  ") == 2, r.stdout
    t = Terminal("run", run, *ask, "--trace", DATA, env={**os.environ, "TERM": "xterm", "NO_COLOR": ""})
    t.wait(b"verbatim  ")
    assert t.end() == 0


@case("memorisation: what the model continues word for word, counted again here")
def _():
    path, run = tmp("heart.db"), tmp("heart")
    with open(path + ".jsonl", "w") as f:
        f.write("".join(json.dumps({"text": t}) + "\n" for t in [t for _, t, _ in DOCS[10:20]] * 2 + ["short"]))
    loam("data", "build", path, path + ".jsonl")
    shape = list(map(str, SHAPE))
    shape[shape.index("--width") + 1] = "64"
    loam("train", run, "--data", path, "--tokenizer", TOKENIZER, *shape, "--steps", 200, "--val-share", 0.1)
    got = json.loads(loam("eval", run, "memorisation", "--prefix", "8,24", "--suffix", 12, "--json").stdout)
    assert got["task"] == "memorisation" and [g["group"] for g in got["groups"]] in (["learned"], ["learned", "held out"])
    learned = got["groups"][0]
    model, want = os.path.join(run, "model.gguf"), {8: 0, 24: 0}
    recipe = json.load(open(os.path.join(run, "recipe.json")))
    seed, held = recipe["init"]["seed"], 0
    n = 0
    for _, text, _ in DOCS[10:20]:
        sha = hashlib.sha256(text.encode()).digest()
        h = hashlib.sha256(b"loam held out" + struct.pack("<Q", seed) + sha).digest()
        if (struct.unpack("<Q", h[:8])[0] >> 11) * 2.0 ** -53 < recipe["data"]["val_share"]:
            held += 1
            continue
        ids = loam("tokenize", model, text).stdout.split()
        n += 1
        for k in want:
            r = loam("run", model, "-p", loam("detokenize", model, *ids[24 - k:24]).stdout[:-1], "-n", 12, "--temp", 0,
                     "--ignore-eos", "--json")
            want[k] += json.loads(r.stdout)["tokens"] == list(map(int, ids[24:36]))
    assert {p["k"]: p["verbatim"] for p in learned["prefixes"]} == want and learned["prefixes"][0]["n"] == n, (got, want)
    assert want[24] > 0 and learned["too_short"] + sum(g["too_short"] for g in got["groups"][1:]) == 1, got
    table = loam("eval", run, "memorisation", "--prefix", "8,24", "--suffix", 12).stdout
    assert table.splitlines()[1].split()[:4] == ["learned", "8", str(want[8]), str(n)], table
    assert "smaller ones" in loam("eval", run, "memorisation", "--suffix", 900, want=2).stderr
    assert "which documents" in loam("eval", model, "memorisation", want=2).stderr
    whole = json.loads(loam("eval", model, "memorisation", "--data", path, "--prefix", 8, "--suffix", 12, "--json").stdout)
    assert whole["groups"][0]["group"] == "documents" and whole["groups"][0]["prefixes"][0]["n"] == 10
    for bad in ("", "0", "5,x", ",".join("12345678") + ",9"):
        assert "--prefix" in loam("eval", run, "memorisation", "--prefix", bad, want=2).stderr


@case("wrong use is said")
def _():
    assert "is neither a data set nor a run" in loam("trace", tmp(""), "x", want=2).stderr
    assert "belong to loam trace index" in loam("trace", DATA, "x", "--check", want=2).stderr
    assert "--min-words" in loam("trace", DATA, "x", "--min-words", 0, want=2).stderr
    assert "cannot be opened" in loam("trace", tmp("none.db"), "x", want=1).stderr
    assert "is missing" in loam("trace", DATA, want=2).stderr
    big = loam("trace", DATA, "-", want=1, input="x" * ((1 << 20) + 1)).stderr
    assert "1048576" in big, big


main()
