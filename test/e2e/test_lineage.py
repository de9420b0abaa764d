#!/usr/bin/env python3
"""What loam serve shows of the models' runs and data: the same as the commands print, within bounds, by names and never by
paths, also from within the sandbox. Prints TAP."""
import json
import os
import shutil
import sys
import threading
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _lineage  # noqa: E402
from _lineage import HOSTILE, place  # noqa: E402
from _server import Server  # noqa: E402
from _tap import case, loam, main  # noqa: E402
from _train import texts  # noqa: E402

RUN = _lineage.make()
S = Server(RUN, "--data", place("other.db"), "--runs", place("runs"))


def query(path, **arguments):
    return path + "?" + urllib.parse.urlencode(arguments)


@case("models: what they need, their run, what a question is followed by")
def _():
    m, = S.ok("/loam/models")["models"]
    assert m["id"] == m["run"] == "first" and m["answers"] == ["A:"] and m["family"] == "qwen3"
    shown = json.loads(loam("show", os.path.join(RUN, "model.gguf"), "--ctx", m["context"], "--json").stdout)
    assert m["context_bytes"] > 0 and m["weights_bytes"] > 0 and m["context"] == 64, (m, shown)


@case("trace: the spans, documents and steps of loam trace, with context, in any of the data sets")
def _():
    text = "Q: what?\nA: Ada put the ball in the kitchen. Dan put the shoe in the attic."
    want = json.loads(loam("trace", RUN, text, "--json").stdout)["spans"]
    assert want and any(d["steps"] for s in want for d in s["docs"])
    for body in ({"text": text}, {"text": text, "model": "first"}, {"text": text, "data": "first"}):
        got = S.ok("/loam/trace", body)["spans"]
        for s in got:
            for d in s["docs"]:
                assert d.pop("name").startswith("t-") and {"before", "behind"} <= set(d)
                del d["before"], d["behind"]
        assert got == want, (body, got, want)
    few = S.ok("/loam/trace", {"text": text, "top": 1, "docs": 2, "min_words": 3})["spans"]
    assert len(few) == 1 and len(few[0]["docs"]) <= 2
    assert S.ok("/loam/trace", {"text": ""})["spans"] == []
    assert S.ok("/loam/trace", {"text": "zzz"})["spans"] == []


@case("trace: what it refuses, and says what to do")
def _():
    for body, status, words in (
            ({}, 400, "text: a text is needed"), ({"text": 5}, 400, "text"), ({"text": "x" * 70000}, 400, "at most 65536"),
            ({"text": "x", "docs": 10 ** 9}, 400, "docs"), ({"text": "x", "data": "other"}, 400, "have no index"),
            ({"text": "x", "data": "../stories"}, 404, "there is no data set"), ({"text": "x", "data": "stories.db"}, 404, ""),
            ({"text": "x", "data": RUN}, 404, ""), ({"text": "x", "data": "a" * 500}, 404, ""),
            ({"text": "x", "data": "first\0"}, 404, ""), ({"text": "x", "model": "other"}, 404, "there is no")):
        r = S.ask("/loam/trace", body)
        assert r.status == status and words in r.json["error"]["message"], (body, r.status, r.body)
    assert S.ask("/loam/trace").status == 405


@case("runs: the list of loam runs, and one with its curves, chain and recipe")
def _():
    want = json.loads(loam("runs", place("runs"), "--json").stdout)
    want[0]["run"] = "first"
    assert S.ok("/loam/runs") == want and want[0]["verification"] == {"state": "never"}
    r = S.ok("/loam/runs/first")
    lines = [json.loads(x) for x in open(os.path.join(RUN, "chain.jsonl"))]
    assert r["chain"] == {"lines": 31, "digest": lines[-1]["digest"], "weights": lines[-1]["weights"]}
    assert all(abs(y - float.fromhex(x["loss"])) < 1e-4 for (_, y), x in zip(r["curves"]["loss"], lines[1:], strict=True))
    assert [x for x, _ in r["curves"]["held_out"]] == [10, 20, 30] and len(r["curves"]["tokens_per_second"]) == 30
    assert r["recipe"]["optimizer"]["steps"] == 30 and r["data"] == "stories.db"
    assert place("") not in json.dumps(r)
    for name in ("other", "..", "../runs/first", "first/", "%2e%2e%2fruns%2ffirst", ""):
        assert S.ask("/loam/runs/" + name).status == 404, name


@case("runs: a chain whose seal is broken is told, and the others are still shown")
def _():
    folder = place("broken")
    os.mkdir(folder)
    shutil.copytree(RUN, os.path.join(folder, "bad"))
    shutil.copytree(RUN, os.path.join(folder, "good"))
    path = os.path.join(folder, "bad", "chain.jsonl")
    text = open(path).read()
    open(path, "w").write(text.replace('"targets":', '"targets":1', 1))
    s = Server(RUN, "--runs", folder)
    bad, first, good = sorted(s.ok("/loam/runs"), key=lambda r: r["run"])
    assert bad["problem"] and not first["problem"] and not good["problem"] and good["step"] == 30
    assert s.ask("/loam/runs/bad").status >= 400 and s.ok("/loam/runs/good")["chain"]["lines"] == 31
    assert s.stop()[0] == 0


@case("data: a summary, pages, filters that are values, one document; its text is text")
def _():
    assert [d["name"] for d in S.ok("/loam/data")["data"]] == ["first", "other"]
    s = S.ok("/loam/data/first")
    assert s["documents"] == 201 and sum(o["documents"] for o in s["origins"]) == 201
    assert {o["licence"] for o in s["origins"]} == {"CC0-1.0", "MIT"}
    page = S.ok(query("/loam/data/first", offset=199, limit=50))
    assert page["count"] == 201 and [d["id"] for d in page["documents"]] == [200, 201]
    assert page["documents"][1]["excerpt"] == HOSTILE
    for arguments, n in (({"licence": "MIT"}, 100), ({"source": "s0"}, 101), ({"licence": "MIT", "source": "s0"}, 0),
                         ({"text": "<script>"}, 1), ({"text": "' OR '1'='1"}, 0), ({"licence": "' OR 1 --"}, 0),
                         ({"text": ""}, 201)):
        assert S.ok(query("/loam/data/first", offset=0, limit=1, **arguments))["count"] == n, arguments
    assert S.ok(query("/loam/data/other", offset=0, text="100%"))["count"] == 1
    assert S.ok(query("/loam/data/other", offset=0, licence=""))["count"] == 1
    assert S.ok("/loam/data/first/201")["text"] == HOSTILE
    for path, status in (("/loam/data/first/202", 404), ("/loam/data/first/0", 404), ("/loam/data/first/-1", 404),
                         ("/loam/data/first/x", 404), ("/loam/data/nope", 404), ("/loam/data/../runs", 404),
                         ("/loam/data/" + place("stories.db"), 404), ("/loam/data/first?offset=-1", 400),
                         ("/loam/data/first?offset=0&limit=1000", 400), ("/loam/data/first?offset=x", 400),
                         ("/loam/data/first?offset=0&text=" + "x" * 200, 400)):
        assert S.ask(path).status == status, (path, S.ask(path).body)


@case("card: what loam card prints, in three forms; the page of it runs nothing")
def _():
    want = json.loads(loam("card", RUN, "--json", env={k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"}).stdout)
    assert S.ok("/loam/card/first") == want
    r = S.ask("/loam/card/first?form=markdown")
    assert r.status == 200 and r.headers["Content-Type"].startswith("text/markdown") and r.body.startswith(b"# first")
    r = S.ask("/loam/card/first?form=html")
    assert r.status == 200 and b"<html" in r.body and r.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert S.ask("/loam/card/first?form=pdf").status == 400 and S.ask("/loam/card/nope").status == 404


@case("many at once: each is answered, and completions go on meanwhile")
def _():
    got = []

    def ask(path, body):
        got.append(S.ask(path, body).status)
    jobs = [("/loam/data/first?offset=0", None), ("/loam/runs", None), ("/loam/card/first", None),
            ("/loam/trace", {"text": "put the key in the hall."}), ("/v1/completions", {"prompt": "x", "max_tokens": 4})]
    threads = [threading.Thread(target=ask, args=job) for job in jobs * 6]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == [200] * 30, got


@case("a run whose documents are made: --index makes their index, without it tracing says so")
def _():
    made = place("made")
    loam("train", made, "--data", "homeworld:docs=40,mix=tiny", "--tokenizer", place("tok"), *_lineage.SHAPE, "--steps", 4)
    s = Server(made)
    r = s.ask("/loam/trace", {"text": "Anna was in the hall."})
    assert r.status == 400 and "--index" in r.json["error"]["message"], r.body
    assert s.ok("/loam/data/made")["documents"] == 40
    assert "--index" in s.ask("/loam/data/made?offset=0&text=hall").json["error"]["message"]
    assert not os.path.exists(os.path.join(made, "data.trace")) and s.stop()[0] == 0
    s = Server(made, "--index")
    doc = s.ok("/loam/data/made/7")
    text, fields = doc["text"], ("id", "sha256", "name", "source", "licence")
    spans = s.ok("/loam/trace", {"text": text})["spans"]
    assert {k: doc[k] for k in fields} in [{k: d[k] for k in fields} for d in spans[0]["docs"]] and doc["name"], spans[0]
    found = s.ok(query("/loam/data/made", offset=0, text=text[:60]))
    assert 7 in [d["id"] for d in found["documents"]] and not found["capped"]
    assert s.stop()[0] == 0


@case("data that are no longer those the run learned from are refused, and the server stays; a run without a chain is shown")
def _():
    run, data = place("changed"), _lineage.write_set(place("changed.db"), [(t, "MIT") for t in texts(40)], True)
    loam("train", run, "--data", data, "--tokenizer", place("tok"), *_lineage.SHAPE, "--steps", 4)
    loam("data", "drop", data, 1, "--yes")
    os.remove(os.path.join(run, "chain.jsonl"))
    s = Server(run)
    for path, body in (("/loam/data/changed", None), ("/loam/data/changed?offset=0&text=x", None), ("/loam/data/changed/1", None),
                       ("/loam/trace", {"text": "x"})):
        r = s.ask(path, body)
        assert r.status == 500 and "its digest is" in r.json["error"]["message"], (path, r.status, r.body)
    r = s.ok("/loam/runs/changed")
    assert "chain" not in r and r["step"] == 0 and r["curves"]["loss"] == [] and len(r["curves"]["tokens_per_second"]) == 4, r
    assert s.stop()[0] == 0
    s = Server(RUN, "--data", data)  # the index is there, but of what the set was
    r = s.ask("/loam/trace", {"text": "x", "data": "changed"})
    assert r.status == 400 and "another state" in r.json["error"]["message"], r.body
    assert s.ok("/loam/data/changed")["documents"] == 39 and s.stop()[0] == 0


@case("two data sets of one name are refused at the start, naming both; of a folder's runs the first keeps it")
def _():
    data = shutil.copy(place("other.db"), place("first.db"))
    r = loam("serve", RUN, "--data", data, "--port", 0, want=2)
    assert data in r.stderr and RUN in r.stderr, r.stderr
    elsewhere = shutil.copytree(RUN, place("elsewhere", "first"))
    s = Server(RUN, "--data", place("other.db"), "--data", place("other.db"), "--runs", os.path.dirname(elsewhere))
    assert len(s.ok("/loam/runs")) == 1 and len(s.ok("/loam/data")["data"]) == 2 and s.stop()[0] == 0


@case("what is no data set is refused at the start; the server ends well with errands under way")
def _():
    r = loam("serve", RUN, "--data", os.path.join(RUN, "recipe.json"), "--port", 0, want=1)
    assert "recipe.json" in r.stderr
    assert S.stop()[0] == 0


main()
