#!/usr/bin/env python3
"""Rebuilding, end to end: a run without some of its documents is, byte for byte, the run from scratch over a data set that
never had them; whoever executes it, however often it was killed; and what it says of itself is checked. Prints TAP."""
import hashlib
import json
import os
import random
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
from _train import SHAPE, chain, differs, forge, lines, read, texts, tmp, write, write_tokenizer  # noqa: E402

STEPS = 24
BASE = [*SHAPE, "--steps", STEPS, "--roots-every", 4, "--keep", 0, "--val-share", 0.1]
TOPICS = ["ball", "cup", "book", "key", "lamp", "shoe"]


def documents(n=48):
    return [{"id": "t-%d" % i, "text": t, "licence": "CC0-1.0" if i % 5 else "MIT", "topic": TOPICS[i % 6], "kind": "story"}
            for i, t in enumerate(texts(n))]


def build(name, rows):
    with open(tmp(name + ".jsonl"), "w") as f:
        f.writelines(json.dumps(r) + "\n" for r in rows)
    loam("data", "build", tmp(name + ".db"), tmp(name + ".jsonl"))
    return tmp(name + ".db")


TOKENIZER = write_tokenizer(tmp("tokenizer"))
ALL = documents()
DATA = build("all", ALL)


def train(run, data, *more, tokenizer=TOKENIZER, **options):
    return loam("train", run, "--data", data, "--tokenizer", tokenizer, *BASE, *more, **options)


train(tmp("first"), DATA, "--threads", 2)
count = [0]


def scratch(rows, name="out", tokenizer=TOKENIZER):
    """A run over these documents alone, in a folder of its own so that it has the same name (which model.gguf holds)."""
    count[0] += 1
    os.makedirs(tmp("scratch-%d" % count[0]))
    run = tmp("scratch-%d/%s" % (count[0], name))
    train(run, build("data-%d" % count[0], rows), "--threads", 2, tokenizer=tokenizer)
    return run


def out(name="out"):
    count[0] += 1
    os.makedirs(tmp("out-%d" % count[0]))
    return tmp("out-%d/%s" % (count[0], name))


def rebuild(run, to, query, *more, **options):
    got = loam("rebuild", run, to, "--without", query, "--keep", 0, "--json", *more, **options)
    return json.loads(got.stdout.splitlines()[-1]) if got.returncode == 0 else got


def equal(a, b):
    if chain(a) != chain(b):
        differs(chain(a), chain(b))
    files = ["recipe.json", "model.gguf"]
    for step in sorted(os.listdir(os.path.join(a, "ckpt"))):
        files += [os.path.join("ckpt", step, f) for f in ("model.safetensors", "optimizer.safetensors", "checkpoint.json")]
    for f in files:
        assert read(os.path.join(a, f)) == read(os.path.join(b, f)), "%s differs" % f
    assert os.listdir(os.path.join(a, "ckpt")).sort() == os.listdir(os.path.join(b, "ckpt")).sort()
    assert not [f for f in os.listdir(os.path.dirname(a)) if f.endswith((".new", ".scratch"))]


def traced(run, text):
    """The documents of the run's data that hold a span of the text, by id, each with the steps that read it."""
    spans = json.loads(loam("trace", run, text, "--top", 1000, "--json").stdout)["spans"]
    return {d["id"]: d["steps"] for s in spans for d in s["docs"]}


def sha(row):
    return hashlib.sha256(row["text"].encode()).digest()


def order(rows, seed=1, share=0.1):
    """Those learnt from, as the first epoch reads them, and those held out: docs.h and order.h again."""
    learn, held = [], []
    for r in rows:
        u = int.from_bytes(hashlib.sha256(b"loam held out" + struct.pack("<Q", seed) + sha(r)).digest()[:8], "little")
        (learn if (u >> 11) * 2.0 ** -53 >= share else held).append(r)
    learn.sort(key=lambda r: hashlib.sha256(b"loam order" + struct.pack("<QQ", seed, 0) + sha(r)).digest())
    return learn, held


LEARN, HELD = order(ALL)
WAYS = [("--threads", 1), ("--threads", 2), ("--threads", 3), ("--threads", 2, "--isa", "scalar"),
        ("--threads", 3, "--isa", "avx2")]


def check(rows, query, way=0, first=None):
    """Rebuilds first without `rows` and compares with a run that never had them."""
    to = out()
    way = WAYS[way % len(WAYS)]
    if "avx2" in way and loam("logits", "nosuch", "--ids", "1", "--isa", "avx2", want=None).stderr.count("instruction set"):
        way = way[:2]
    got = rebuild(tmp("first"), to, query, *way)
    gone = {r["id"] for r in rows}
    equal(to, scratch([r for r in ALL if r["id"] not in gone]))
    assert got["removed"] == len(rows) and got["documents"] == len(ALL) - len(rows), got
    assert got["executed"] == got["replay"] == STEPS - got["kept"] and got["kept"] % 4 == 0, got
    assert got["first_use"] == 0 or got["kept"] < got["first_use"] <= got["kept"] + 4, got
    if first is not None:
        assert got["first_use"] == first, (got, first)
    loam("verify", to)
    return to, got


# ---- the same as from scratch ----

@case("without the first document: everything is replayed")
def _():
    check([LEARN[0]], LEARN[0]["id"], 0, first=1)


@case("without one in the middle, and without one of the end of the first epoch: from the checkpoint before it")
def _():
    _, got = check([LEARN[len(LEARN) // 3]], LEARN[len(LEARN) // 3]["id"], 1)
    assert 4 <= got["kept"] < STEPS, got
    _, last = check([LEARN[-1]], LEARN[-1]["id"], 4)
    assert got["kept"] < last["kept"] < STEPS and lines(tmp("first"))[STEPS]["docs"][0] >= 1, (got, last)


@case("without one that is held out: nothing is replayed, and the recipe is another")
def _():
    assert HELD
    to, got = check([HELD[0]], HELD[0]["id"], 2, first=0)
    assert got["replay"] == 0 and got["held_out"] == 1
    assert lines(to)[0] != lines(tmp("first"))[0]


@case("without any document: the run again")
def _():
    to, got = check([], "bytes < 0", 3, first=0)
    assert chain(to) == chain(tmp("first"))


@case("without a topic, a licence, by ids, digests and conditions")
def _():
    check([r for r in ALL if r["topic"] == "cup"], "topic:cup", 4)
    check([r for r in ALL if r["licence"] == "MIT"], "licence:MIT", 1)
    late = LEARN[-12:-8]
    ids = {r["id"]: i + 1 for i, r in enumerate(ALL)}
    check(late, "%d,%s,%s,%d" % (ids[late[0]["id"]], late[1]["id"], sha(late[2]).hex(), ids[late[3]["id"]]), 2)
    check([r for r in ALL if "Eve put the key" in r["text"]], "text LIKE '%Eve put the key%'", 3)


@case("a run that is not finished is rebuilt to where it stands, and goes on as from scratch")
def _():
    part, to = tmp("part"), out()
    train(part, DATA, "--until", 14)
    rows = [r for r in ALL if r["id"] != LEARN[20]["id"]]
    got = rebuild(part, to, LEARN[20]["id"])
    want = scratch(rows)
    assert got["steps"] == 14 and chain(want).startswith(chain(to)) and len(lines(to)) == 15, got
    loam("train", to, "--keep", 0)
    equal(to, want)


@case("a run rebuilt twice has two records, and is as from scratch")
def _():
    one, _ = check([LEARN[30]], LEARN[30]["id"])
    two = out()
    rebuild(one, two, "topic:lamp")
    gone = {LEARN[30]["id"], *(r["id"] for r in ALL if r["topic"] == "lamp")}
    equal(two, scratch([r for r in ALL if r["id"] not in gone]))
    rows = [json.loads(x) for x in read(os.path.join(two, "removals.jsonl")).splitlines()]
    assert [r["query"] for r in rows] == [LEARN[30]["id"], "topic:lamp"]
    assert rows[0]["sha256"] == [sha(LEARN[30]).hex()] and rows[0]["to"]["recipe"] == rows[1]["from"]["recipe"]
    before = b""
    for line in read(os.path.join(two, "removals.jsonl")).splitlines():
        head, digest = line[:-1].rsplit(b',"digest":', 1)
        assert hashlib.sha256(before + head).hexdigest() == json.loads(digest)
        before = bytes.fromhex(json.loads(digest))
    assert "%d documents taken out" % len(gone) in loam("runs", two).stdout
    shown = json.loads(loam("runs", two, "--json").stdout)[0]
    assert shown["removed"] == len(gone), shown
    assert json.loads(loam("verify", two, "--json").stdout)["removals"] == 2


@case("the data set may have lost the documents, too")
def _():
    work = shutil.copy(DATA, tmp("dropped.db"))
    run, to = tmp("of-dropped"), out()
    train(run, work)
    rebuild(run, to, "topic:book")
    loam("data", "drop", work, "--topic", "book", "--yes")
    loam("verify", to)
    got = loam("verify", run, want=3)
    assert "the recipe asks for the data" in got.stderr, got.stderr


@case("copies of a text that stay are counted, and the run is that of a data set with one copy fewer")
def _():
    twice = ALL[:40] + [dict(ALL[7], id="again"), dict(ALL[3], id="too")]
    run, to = tmp("twice"), out()
    train(run, build("twice", twice))
    got = rebuild(run, to, ALL[7]["id"])
    assert got["copies_left"] == 1 and got["removed"] == 1, got
    equal(to, scratch([r for r in twice if r["id"] != "again"]))
    loam("verify", to)


@case("the built-in corpus, made and not stored: as the data set of its lines")
def _():
    spec = "homeworld:docs=260,seed=3,mix=tiny"
    rows = [json.loads(x) for x in loam("corpus", "homeworld", "--docs", 260, "--seed", 3, "--mix", "tiny").stdout.splitlines()]
    fact = next(json.loads(x) for x in loam("corpus", "homeworld", "--docs", 260, "--seed", 3, "--mix", "tiny",
                                            "--facts").stdout.splitlines())
    made, to, stored = tmp("made"), out(), out()
    train(made, spec)
    train(tmp("stored"), build("world", rows))
    a = rebuild(made, to, "fact:" + fact["id"])
    b = rebuild(tmp("stored"), stored, "fact:" + fact["id"])
    assert a["removed"] == b["removed"] == len(fact["documents"]) > 0, (a, b, fact)
    equal(to, stored)
    equal(to, scratch([r for r in rows if r["id"] not in fact["documents"]]))
    loam("trace", "index", tmp("world.db"))
    ids = {r["id"]: i + 1 for i, r in enumerate(rows)}
    gone = {ids[d] for d in fact["documents"]}
    text = "\n".join(r["text"] for r in rows[::4] + [r for r in rows if ids[r["id"]] in gone])
    found, all_found = traced(to, text), traced(stored, text)
    assert gone <= {*traced(made, text)} and not gone & {*found} and sum(bool(steps) for steps in found.values()) > 5, found
    assert gone <= {*all_found} and not any(all_found[d] for d in gone)  # the data set has them still, the run never read them
    assert all(all_found[d] == found[d] for d in all_found.keys() & found.keys())
    for query in ("topic:" + rows[5]["topic"], "kind:plan", ",".join(fact["documents"]), "id < 9 AND source = 'homeworld'",
                  "duplicate_of IS NOT NULL", "json_extract(meta, '$.facts[1]') IS NOT NULL"):
        a, b = (rebuild(run, out(), query, "--dry-run") for run in (made, tmp("stored")))
        a.pop("seconds_expected"), b.pop("seconds_expected"), a.pop("seconds_from_scratch"), b.pop("seconds_from_scratch")
        assert a == b and a["removed"] > 0, (query, a, b)


# ---- the tokenizer ----

@case("a tokenizer learnt from the documents is learnt again without them")
def _():
    tok, run, to = tmp("learnt"), tmp("learnt-run"), out()
    loam("tokenizer", "train", DATA, tok, "--vocab", 300)
    train(run, DATA, tokenizer=tok)
    rows = [r for r in ALL if r["topic"] != "shoe"]
    plan = rebuild(run, to, "topic:shoe", "--dry-run")
    assert plan["tokenizer"] == "stays" and not os.path.exists(to), plan
    got = rebuild(run, to, "topic:shoe", "--tokenizer")
    assert got["tokenizer"] == "learnt again" and got["kept"] == 0, got
    again = tmp("learnt-again")
    loam("tokenizer", "train", build("no-shoe", rows), again, "--vocab", 300)
    assert read(os.path.join(to, "tokenizer/tokenizer.json")) == read(os.path.join(again, "tokenizer.json"))
    assert read(os.path.join(to, "tokenizer/tokenizer.json")) != read(os.path.join(tok, "tokenizer.json"))
    equal(to, scratch(rows, tokenizer=again))
    loam("verify", to)
    text = loam("rebuild", run, out(), "--without", "topic:shoe", "--dry-run").stdout
    assert "pieces would not be there" in text or "in another order" in text, text


@case("a tokenizer from elsewhere stays, and is not learnt again")
def _():
    got = rebuild(tmp("first"), out(), "topic:shoe", "--dry-run")
    assert got["tokenizer"] == "unknown", got
    got = rebuild(tmp("first"), out(), "topic:shoe", "--tokenizer", want=2)
    assert "was not learnt from the documents of this run alone" in got.stderr, got.stderr


# ---- proof, and lies ----

@case("--prove trains from scratch and compares")
def _():
    to = out()
    got = rebuild(tmp("first"), to, LEARN[40]["id"], "--prove")
    assert got["proved"] and got["executed"] == got["replay"] + STEPS, got
    equal(to, scratch([r for r in ALL if r["id"] != LEARN[40]["id"]]))
    text = loam("rebuild", tmp("first"), out(), "--without", HELD[0]["id"], "--prove").stdout
    assert "equal in every byte" in text, text


@case("a run that lies about a checkpoint is taken at its word, and --prove finds it")
def _():
    run, to = tmp("forged"), out()
    shutil.copytree(tmp("first"), run)
    forge(run, 8)
    late = LEARN[-1]["id"]
    got = rebuild(run, to, late, "--prove", want=3)
    assert "differ (loam bisect says where)" in got.stderr, got.stderr
    loam("verify", to, want=3)
    broken = tmp("broken")
    shutil.copytree(tmp("first"), broken)
    path = os.path.join(broken, "ckpt/step-00000004/optimizer.safetensors")
    data = bytearray(read(path))
    data[-1] ^= 4
    write(path, bytes(data))
    got = rebuild(broken, out(), late, want=3)
    assert "second moment of" in got.stderr, got.stderr


@case("a record that was changed is noticed")
def _():
    to = out()
    rebuild(tmp("first"), to, "topic:key")
    path = os.path.join(to, "removals.jsonl")
    good = read(path)
    row = json.loads(good)

    def bad(word, data, *more, want=3):
        write(path, data)
        got = loam("verify", to, *more, want=want)
        assert word in got.stderr and got.stderr.count("\n") == 1, got.stderr

    def sealed(r):
        body = json.dumps({k: v for k, v in r.items() if k != "digest"}, separators=(",", ":"))[:-1].encode()
        return body + b',"digest":"' + hashlib.sha256(body).hexdigest().encode() + b'"}\n'

    assert sealed(row) == good
    bad("its digest does not fit", good.replace(b"topic:key", b"topic:cup"))
    less = dict(row, sha256=row["sha256"][1:])
    bad("the recipe asks for the data", sealed(less))
    rest = build("no-key", [r for r in ALL if r["topic"] != "key"])
    bad("are not the data that there was before", sealed(less), "--data", rest)
    other = dict(row, sha256=sorted([hashlib.sha256(b"x").hexdigest()] + row["sha256"][1:]))
    bad("are not the data that there was before", sealed(other), "--data", rest)
    bad("does not lead to this run's recipe", sealed(dict(row, to=dict(row["to"], recipe="0" * 64))))
    bad("not in the form", good.replace(b'"removal":1,', b'"removal":1, '), want=1)
    bad("has no end", good[:-1], want=1)
    bad("ascending", sealed(dict(row, sha256=row["sha256"][::-1])), want=1)
    os.remove(path)  # without its record it is a run over too many documents
    got = loam("verify", to, want=3)
    assert "the recipe asks for the data" in got.stderr
    write(path, good)
    loam("verify", to, "--spot", 1)


# ---- stopped ----

@case("killed at random moments, it goes on and comes out the same")
def _():
    random.seed(11)
    want, kills, to, early = scratch([r for r in ALL if r["id"] != LEARN[2]["id"]]), 0, out(), 0
    command = [LOAM, "rebuild", tmp("first"), to, "--without", LEARN[2]["id"], "--keep", "0", "--threads", "2"]
    for attempt in range(30):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(random.random() * (0.03 if attempt < 10 else 0.15))
        child.kill()
        child.wait()
        child.stderr.close()
        if child.returncode != -signal.SIGKILL:
            assert child.returncode == 0
            break
        kills += 1
        early += not os.path.exists(to)
    loam(*command[1:])
    note("%d kills, %d before the folder had its name" % (kills, early))
    assert kills > 2
    equal(to, want)
    loam(*command[1:])  # once more: it is there
    equal(to, want)


@case("a full disk, wherever it comes: one error, the run it began from as it was, and the same command goes on when there is room")
def _():
    gone, seen = LEARN[2]["id"], set()
    before = {f: read(tmp("first") + "/" + f) for f in ("chain.jsonl", "recipe.json", "model.gguf")}
    want = scratch([r for r in ALL if r["id"] != gone])
    command = ["rebuild", tmp("first"), "--without", gone, "--keep", 0]
    for most in (10, 600, 3000, 20000, 120000):  # no file may grow past this: recipe, tokenizer, chain, a checkpoint's files

        def small(most=most):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

        to = out()
        got = loam(command[0], command[1], to, *command[2:], want=1, preexec_fn=small)
        assert got.stderr.splitlines()[-1].startswith("loam: ") and "File too large" in got.stderr, (most, got.stderr)
        assert not os.path.exists(to + ".new") and {f: read(tmp("first") + "/" + f) for f in before} == before, most
        seen.add(os.path.exists(to))
        loam(command[0], command[1], to, *command[2:])
        equal(to, want)
    assert seen == {False, True}, seen  # before the folder had its name, and after


@case("Ctrl-C stops it, and the same command or loam train continues")
def _():
    to = out()
    command = [LOAM, "rebuild", tmp("first"), to, "--without", LEARN[1]["id"], "--keep", "0", "--threads", "1"]
    for _ in range(50):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        end = time.time() + 20
        while child.poll() is None and time.time() < end and not os.path.exists(to):
            time.sleep(0.002)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate()
        if child.returncode == 130:
            assert "continues" in said and len(lines(to)) < STEPS + 1
            break
        shutil.rmtree(to)
    else:
        raise Fail("it was never stopped in time")
    loam("train", to, "--keep", 0)
    equal(to, scratch([r for r in ALL if r["id"] != LEARN[1]["id"]]))


# ---- misuse ----

@case("hostile and wrong queries: one line each, and nothing is written")
def _():
    def bad(query, word, want=2):
        to = out()
        got = loam("rebuild", tmp("first"), to, "--without", query, want=want)
        assert word in got.stderr and got.stderr.startswith("loam: ") and got.stderr.count("\n") == 1, (query, got.stderr)
        assert os.listdir(os.path.dirname(to)) == [], query
    bad("", "an empty condition")
    bad("topic:", "needs a name")
    bad("topic:nosuch", "no document with topic:nosuch")
    bad("licence:GPL-3.0-only", "no document with")
    bad("fact:maker-00", "no document with")
    bad("topic:cup' OR '1'='1", "no document with")
    bad("71", 'whose id is "71"')
    bad("1,2,0", 'whose id is "0"')
    bad("t-1,t-999", 'whose name is "t-999"')
    bad("f" * 64, "whose sha256 is")
    bad("nosuchcolumn = 1", "nosuchcolumn")
    bad("1) OR (1", "without its (")
    bad("1; DROP TABLE documents", "without ;")
    bad("id IN (SELECT id FROM removed)", "SELECT is not allowed")
    bad("load_extension('x') = 1", "not allowed")
    bad("randomblob(9) IS NULL", "not allowed")
    bad("id = ?1", "not allowed in a condition")
    bad("1 = 1 -- x", "without ; and comments")
    bad("id > 0", "nothing is left to learn from")
    bad("id = 1 OR" + " (" * 300 + "1" + ") " * 300, "", want=2)
    bad("id" + "+1" * 50000, "", want=2)


@case("folders that are no runs, or not free")
def _():
    loam("rebuild", tmp("nowhere"), out(), "--without", "1", want=2)
    got = loam("rebuild", tmp("first"), out(), want=2)
    assert "--without QUERY is missing" in got.stderr
    to = out()
    rebuild(tmp("first"), to, "topic:cup")
    got = rebuild(tmp("first"), to, "topic:lamp", want=2)
    assert "holds another run" in got.stderr, got.stderr
    got = rebuild(tmp("first"), tmp("first"), "topic:lamp", want=2)
    assert "holds another run" in got.stderr, got.stderr
    to = out()
    os.makedirs(to)
    write(os.path.join(to, "mine.txt"), b"precious")
    got = rebuild(tmp("first"), to, "topic:lamp", want=1)
    assert os.listdir(to) == ["mine.txt"] and os.listdir(os.path.dirname(to)) == ["out"], got.stderr
    to = out()
    os.makedirs(to + ".new")
    write(os.path.join(to + ".new", "mine.txt"), b"precious")
    got = rebuild(tmp("first"), to, "topic:lamp", want=1)
    assert "is in the way" in got.stderr and read(os.path.join(to + ".new", "mine.txt")) == b"precious"
    empty = tmp("empty-run")
    train(empty, DATA, "--dry-run")
    got = rebuild(empty, out(), "topic:cup", want=2)
    assert "has not begun" in got.stderr, got.stderr


@case("bench/removal.py sees what is not forgotten, what was never known, and what is lost besides")
def _():
    sys.path.insert(0, os.path.join(_tap.ROOT, "bench"))
    from removal import verdict

    def judge(gone, kept):
        v = verdict([{"chance": 1 / 12, "gone": gone, "kept": kept}] * 5)
        return v["forgotten"], v["stays"]

    known, forgotten, other = [[1, 1]] * 8, [[1, 0]] * 8, [[1, 1]] * 80 + [[0, 1]] * 4 + [[1, 0]] * 4
    assert judge(forgotten, other) == (True, True)
    assert judge(known, other) == (False, True)
    assert judge([[0, 0]] * 8, other) == (False, True)
    assert judge(forgotten, [[1, 1]] * 80 + [[1, 0]] * 8) == (True, False)
    done = subprocess.run([sys.executable, os.path.join(_tap.ROOT, "bench", "removal.py"), "--seeds", "1", "--docs", "100", "--steps", "2",
                           "--json"], env={**os.environ, "LOAM_BUILD": os.path.dirname(LOAM)}, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr  # two steps teach nothing
    one = json.loads(done.stdout)["seeds"][0]
    assert len(one["gone"]) == 8 and len(one["kept"]) == 88 and one["documents"] > 0, one


main()
