#!/usr/bin/env python3
"""doc/formats.md, doc/verify.md, doc/extend.md and SECURITY.md tell the truth: the keys, columns, marks and versions of real
files and of the sources stand on the page, the program of doc/verify.md checks a run by itself and finds what is forged,
files that are named exist. Prints TAP."""
import glob
import json
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import ROOT, case, loam, main, tmp  # noqa: E402

RUN = os.path.join(ROOT, "models", "homeworld")


def text(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def part(heading):
    """What stands below a heading, up to the next of any rank."""
    found = re.search(r"^#+ %s\n(.*?)(?=^#|\Z)" % re.escape(heading), text("doc/formats.md"), re.M | re.S)
    assert found, heading
    return found[1]


def named(page):
    return set(re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", page, flags=re.M | re.S)))


@case("recipe.json: the sections and keys of the table in recipe.c, all and no others")
def _():
    page, source = part("recipe.json"), text("src/train/recipe.c")
    table = re.search(r"static const key keys\[\] = \{(.*?)\n\};", source, re.S)[1]
    wanted = {}
    for section, key in re.findall(r"\((?:[A-Z]+, )?(\w+), (\w+)", table):
        wanted.setdefault(section, set()).add(key)
    assert len(wanted) >= 7 and wanted.pop("recipe") == {"arithmetic"}  # which belongs to no section
    rows = {m[1]: named(m[2]) for m in re.finditer(r"^\| `(\w+)` \| (.*) \|$", page, re.M)}
    assert {s: rows[s] - {"base"} for s in rows} == wanted, (rows, wanted)
    recipe = json.loads(text("models/homeworld/recipe.json"))
    assert f'"{recipe["format"]}"' in page.replace("(", '"').replace('""', '"') and "`arithmetic`" in page


@case("chain.jsonl: the keys of real lines, and those that chain.c writes")
def _():
    rows = set(re.findall(r"^\| `(\w+)` \|", part("chain.jsonl"), re.M))
    with open(os.path.join(RUN, "chain.jsonl"), encoding="utf-8") as f:
        real = {key for line in f for key in json.loads(line)}
    written = set(re.findall(r'\\"(\w+)\\":', text("src/train/chain.c")))
    assert real <= rows and written <= rows <= written | real, (rows, real, written)


@case("a checkpoint, removals, the keys of model.gguf")
def _():
    folder, = glob.glob(os.path.join(RUN, "ckpt", "*"))
    page = part("A checkpoint")
    assert set(os.listdir(folder)) <= named(page)
    with open(os.path.join(folder, "checkpoint.json"), encoding="utf-8") as f:
        assert set(json.load(f)) <= named(page)
    assert set(re.findall(r'\\"(\w+)\\":', text("src/train/removal.c"))) <= named(part("removals.jsonl"))
    assert set(re.findall(r'"(loam\.[a-z.]+)"', text("src/train/publish.c"))) == \
        {n for n in named(part("model.gguf")) if n.startswith("loam.")}


def columns(path):
    with sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True) as db:
        tables = [name for name, in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        marks = db.execute("PRAGMA application_id").fetchone()[0]
        return marks, set(tables) | {row[1] for t in tables for row in db.execute(f"PRAGMA table_info({t})")}


@case("SQLite files: marks, tables and columns of files that were just made")
def _():
    home, data = os.path.join(tmp(), "home"), os.path.join(tmp(), "d.db")
    source = os.path.join(tmp(), "d.jsonl")
    with open(source, "w") as f:
        f.write('{"text":"once"}\n{"text":"twice"}\n')
    loam("pull", os.path.join(RUN, "model.gguf"), "--name", "x", env={**os.environ, "LOAM_HOME": home})
    loam("data", "build", data, source)
    for path, page in (os.path.join(RUN, "log.db"), part("log.db")), \
            (os.path.join(home, "registry.db"), part("The registry")), (data, text("doc/data.md")):
        mark, names = columns(path)
        assert f"0x{mark:08x}" in page, (path, hex(mark))
        assert names <= named(page), (path, names - named(page))


@case("an index and its worked example, byte for byte")
def _():
    page = part("An index: DATA.db.trace")
    source, data = os.path.join(tmp(), "aba.jsonl"), os.path.join(tmp(), "aba.db")
    with open(source, "w") as f:
        f.write('{"text":"aba"}\n')
    loam("data", "build", data, source)
    loam("trace", "index", data)
    with open(data + ".trace", "rb") as f:
        raw = f.read()
    assert raw[:8] == raw[-24 - 8:-24] == b"LoamSufx" and "`LoamSufx`" in page
    n_shards, n_docs, text_bytes, directory = struct.unpack_from("<4Q", raw, len(raw) - 176)
    assert (n_shards, n_docs, text_bytes) == (1, 1, 3)
    at, n, docs, zero = struct.unpack_from("<4Q", raw, directory)
    assert (n, docs, zero) == (4, 1, 0) and raw[at:at + 4] == b"aba\0"
    assert struct.unpack_from("<4I", raw, at + 8) == (3, 2, 0, 1)


@case("the marks and numbers of the other binary files are those of the sources")
def _():
    assert '"LOAMKV01"' in text("src/serve/prefix_files.c") + text("src/serve/prefix_files.h")
    assert "`LOAMKV01`" in part("Prefixes of the server: DIR/HEX.kv")
    assert "loam-part 2 " in text("src/hub/part.c") and "`loam-part 2 BYTES CHUNK TAG`" in part("The registry")
    for header in re.findall(r"`(src/\w+/\w+\.h)`", text("doc/formats.md")):
        assert os.path.isfile(os.path.join(ROOT, header)), header


@case("every file that doc/extend.md and SECURITY.md name is there, every target of make, every heading that is linked")
def _():
    for page in "doc/extend.md", "SECURITY.md":
        words = text(page)
        names = set(re.findall(r"`((?:[\w.]+/)*\w+\.(?:c|h|py|md))`", words))
        names |= set(re.findall(r"`((?:src|test|share|doc)/[\w/]*)`", words))
        assert len(names) > 25, page
        for name in names:
            if "NAME" not in name:
                found = [glob.glob(os.path.join(ROOT, at, name) + "*") for at in ("", "src/*", "src/kern/*", "test/*")]
                assert any(found), (page, name)
        for target in re.findall(r"`make ([a-z0-9-]+)", words):
            assert re.search(rf"^{target}:", text("Makefile"), re.M), (page, target)
        heads = {re.sub(r"\W+", "-", h.lower()) for h in re.findall(r"^#+ (.*)$", words, re.M)}
        assert set(re.findall(r"\]\(#(.*?)\)", words)) <= heads


# ---- doc/verify.md ----


def judge(run):
    program = os.path.join(tmp(), "check.py")
    with open(program, "w") as f:
        f.write(re.search(r"^```python\n(.*?)^```$", text("doc/verify.md"), re.M | re.S)[1])
    return subprocess.run([sys.executable, program, run], capture_output=True, text=True)


@case("the program of doc/verify.md finds homeworld whole, and the digest that its model.gguf was sealed with")
def _():
    said = judge(RUN)
    digest = re.search(r"last digest ([0-9a-f]{64})\n$", said.stdout)
    with open(os.path.join(RUN, "model.gguf"), "rb") as f:
        head = f.read(1 << 20)
    at = head.index(b"loam.chain") + len("loam.chain") + 4 + 8  # its type, its length
    assert said.returncode == 0 and digest and head[at:at + 64] == digest[1].encode(), said


@case("and finds a changed line, a line that is missing, another recipe, another weight, another moment")
def _():
    def forge(name, change):
        copy = os.path.join(tmp(), "forged")
        shutil.copytree(RUN, copy)
        path, = glob.glob(os.path.join(copy, name))
        with open(path, "rb") as f:
            old = f.read()
        with open(path, "wb") as f:
            f.write(change(old))
        said = judge(copy)
        shutil.rmtree(copy)
        assert said.returncode == 1, (name, said.stdout)
        return said.stderr

    lines = lambda b: b.split(b"\n")  # noqa: E731
    flip = lambda b: b[:-1] + bytes([b[-1] ^ 1])  # noqa: E731
    assert "seal of step 7 is broken" in forge("chain.jsonl", lambda b: b.replace(b'{"step":7,"loss":"0x1.', b'{"step":7,"loss":"0x1.0'))
    assert "seal of step 9 is broken" in forge("chain.jsonl", lambda b: b"\n".join(lines(b)[:9] + lines(b)[10:]))
    assert "another recipe" in forge("recipe.json", lambda b: b.replace(b'"seed": 1', b'"seed": 2'))
    assert "weights are not what the checkpoint says" in forge("ckpt/*/model.safetensors", flip)
    assert "moments are not what the checkpoint says" in forge("ckpt/*/optimizer.safetensors", flip)


main()
