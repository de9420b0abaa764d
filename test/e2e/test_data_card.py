#!/usr/bin/env python3
"""loam data card: accepted by the validator of MLCommons, which also reads every document through it; the digests are
those of the files; the same card whatever the threads; what is refused. Prints TAP.

script/venv.sh croissant makes the validator's environment (once); when it cannot, these tests fail.
"""
import hashlib
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import ROOT, Fail, case, loam, main, tmp  # noqa: E402

DIR = tmp()
READER = r"""
import json, sys, warnings
import mlcroissant as mlc
for path in sys.argv[1:]:
    out = {}
    try:
        d = mlc.Dataset(path)
        out["warnings"] = sorted(d.metadata.ctx.issues.warnings)
        for s in d.metadata.record_sets:
            rows = list(d.records(s.id))
            out[s.id] = [{k: v.decode() if isinstance(v, bytes) else v for k, v in r.items()} for r in rows]
    except Exception as e:
        out["error"] = "%s: %s" % (type(e).__name__, e)
    print(json.dumps(out, default=str))
"""


def path(name, contents=None):
    p = os.path.join(DIR, name)
    if contents is not None:
        with open(p, "wb") as f:
            f.write(contents)
    return p


def sha256(p):
    with open(p, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def card(*args, want=0):
    return loam("data", "card", *args, want=want)


def read_by_mlcommons(*cards):
    made = subprocess.run([os.path.join(ROOT, "script", "venv.sh"), "croissant"], capture_output=True, text=True, timeout=500)
    if made.returncode != 0:
        raise Fail("script/venv.sh croissant: " + made.stderr)
    done = subprocess.run([made.stdout.strip(), "-c", READER, *cards], capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise Fail(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


LINES = [
    {"id": "a", "text": "A red cup, {braces} and \"quotes\".", "source": "cups", "licence": "CC0-1.0", "kind": "story", "n": 1},
    {"id": "b", "text": "Ein K\u00e4se.\nZwei Zeilen \u65e5\u672c.", "source": "cups", "licence": "MIT OR ISC"},
    {"id": "c", "text": "A blue cup.", "source": "apt:some-package", "licence": "GPL-2.0-or-later", "topic": "cups"},
    {"id": "d", "text": "A green cup.", "source": "{cups} \\ \"more\"", "licence": "LicenseRef-mine"},
    {"id": "e", "text": "A red cup, {braces} and \"quotes\".", "source": "cups"},
    {"id": "f", "text": "A gone cup.", "source": "cups"},
]
path("in.jsonl", "".join(json.dumps(x) + "\n" for x in LINES).encode())
loam("data", "build", path("D.db"), path("in.jsonl"))
loam("data", "drop", path("D.db"), "6", "--yes", "--note", "at the request of Jane Doe")
FULL = ["--creator", "A. Reader", "--date", "2026-01-31", "--url", "https://example.org/cups", "--name", "Cups {1}"]
path("D.json", card(path("D.db"), *FULL).stdout.encode())
path("D.jsonl", loam("data", "export", path("D.db")).stdout.encode())


@case("the validator accepts it without a warning, and reads the documents, licences, sources, files, removals")
def _():
    plain = path("plain.json", card(path("D.db")).stdout.encode())
    broken = json.loads(card(path("D.db")).stdout)
    del broken["recordSet"][1]["data"][0]["licences/bytes"]
    loose = json.loads(card(path("D.db")).stdout)
    loose["distribution"][1]["sha256"] = "0" * 64
    full, bare, bad, other = read_by_mlcommons(path("D.json"), plain, path("broken.json", json.dumps(broken).encode()),
                                               path("loose.json", json.dumps(loose).encode()))
    assert full["warnings"] == [], full["warnings"]
    assert len(bare["warnings"]) == 1 and "datePublished" in bare["warnings"][0], bare
    assert "licences/bytes" in bad["error"], bad  # it looks
    assert "error" in other and "Download(jsonl)" in other["error"], other
    want = [{"documents/" + k: x.get(k, "") for k in ("id", "text", "source", "licence", "topic", "kind")} for x in LINES[:5]]
    assert full["documents"] == want, full["documents"]
    got = {(x["licences/licence"], x["licences/documents"], x["licences/bytes"]) for x in full["licences"]}
    assert got == {(n, 1, len(LINES[i]["text"].encode())) for i, n in
                   enumerate(["CC0-1.0", "MIT OR ISC", "GPL-2.0-or-later", "LicenseRef-mine", "NOASSERTION"])}, got
    got = [(x["sources/source"], x["sources/licence"], x["sources/documents"]) for x in full["sources"]]
    assert [x[0] for x in got] == sorted(x[0] for x in got) and ("cups", "NOASSERTION", 1) in got and len(got) == 5, got
    (f,) = full["files"]
    assert (f["files/name"], f["files/sha256"], f["files/documents"], f["files/format"]) == \
        ("in.jsonl", sha256(path("in.jsonl")), 6, "jsonl"), f
    (r,) = full["removals"]
    assert r["removals/documents"] == 1 and r["removals/bytes"] == 11, r
    digest = json.loads(loam("data", "check", path("D.db"), "--json").stdout)["digest"]
    assert r["removals/digest_after"] == digest != r["removals/digest_before"]


@case("it tells the files' digests and sizes, the licences' pages, who is cited; nothing of what was dropped")
def _():
    text = open(path("D.json")).read()
    c = json.loads(text)
    by_id = {x["@id"]: x for x in c["distribution"]}
    for i, name in ("dataset", "D.db"), ("jsonl", "D.jsonl"):
        x = by_id[i]
        assert (x["contentUrl"], x["sha256"], x["contentSize"]) == (name, sha256(path(name)), "%d B" % os.path.getsize(path(name))), x
    pages = {x["name"]: x.get("url") for x in c["license"]}
    assert pages == {"CC0-1.0": "https://spdx.org/licenses/CC0-1.0.html", "MIT OR ISC": None, "NOASSERTION": None,
                     "GPL-2.0-or-later": "https://spdx.org/licenses/GPL-2.0-or-later.html", "LicenseRef-mine": None}, pages
    digest = c["identifier"]["value"]
    assert digest in c["citeAs"] and c["version"] == "1.0.0+" + digest[:12]
    for part in "title = {Cups (1)}", "author = {A. Reader}", "year = {2026}", "apt:some-package, cups, (cups) / \"more\"":
        assert part in c["citeAs"], (part, c["citeAs"])
    assert c["citeAs"].count("{") == c["citeAs"].count("}")
    assert [x["name"] for x in c["isBasedOn"]] == ["apt:some-package", "cups", "{cups} \\ \"more\""]
    assert "Jane" not in text and "gone" not in text and "id IN" not in text


@case("the same card with any number of threads, and again; fewer rows when asked, which it says")
def _():
    text = open(path("D.json")).read()
    for threads in 1, 3:
        assert card(path("D.db"), *FULL, "--threads", threads).stdout == text
    c = json.loads(card(path("D.db"), "--rows", 2, "--file", "https://example.org/x/D.db", "--release", "2.10.3").stdout)
    sets = {x["@id"]: x for x in c["recordSet"]}
    assert len(sets["licences"]["data"]) == 2 and sets["licences"]["description"].endswith("The first 2 of 5.")
    assert c["distribution"][0]["contentUrl"] == "https://example.org/x/D.db" and c["distribution"][0]["name"] == "D.db"
    assert c["version"].startswith("2.10.3+")


@case("an empty data set has a card, which the validator accepts")
def _():
    path("empty.txt", b"\n")
    loam("data", "build", path("E.db"), path("empty.txt"))
    path("E.json", card(path("E.db")).stdout.encode())
    assert [x["@id"] for x in json.loads(open(path("E.json")).read())["recordSet"]] == ["documents", "files"]
    done = subprocess.run([os.path.join(ROOT, "script", "venv.sh"), "croissant"], capture_output=True, text=True)
    tool = os.path.join(os.path.dirname(done.stdout.strip()), "mlcroissant")
    done = subprocess.run([tool, "validate", "--jsonld", path("E.json")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@case("refused: no data set, a damaged text, no date, no version")
def _():
    assert "is not a data set" in card(path("in.jsonl"), want=1).stderr
    for option, value in ("--date", "tomorrow"), ("--date", "2026-1-31"), ("--release", "1.0"), ("--release", "v1.0.0"):
        assert option in card(path("D.db"), option, value, want=2).stderr
    with open(path("D.db"), "rb") as f:
        damaged = f.read().replace(b"A blue cup.", b"A blue cap.")
    out = card(path("damaged.db", damaged), want=1)
    assert out.stdout == "" and "another SHA-256" in out.stderr, out


main()
