#!/usr/bin/env python3
"""loam data: every kind of source, duplicates, filters, drop, export and back, the same file whatever the threads; the
last complete state after kill -9 at many moments and on a full disk; hostile files. Prints TAP."""
import gzip
import hashlib
import json
import os
import random
import resource
import signal
import sqlite3
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import LOAM, case, loam, main, tmp  # noqa: E402

DIR = tmp()


def path(name, contents=None):
    p = os.path.join(DIR, name)
    if contents is not None:
        os.makedirs(os.path.dirname(p), exist_ok=True)
        with open(p, "wb") as f:
            f.write(contents if isinstance(contents, bytes) else contents.encode())
    return p


def read(p):
    with open(p, "rb") as f:
        return f.read()


def build(name, *sources, want=0, **options):
    run = loam("data", "build", path(name), *sources, "--json", want=want, **options)
    return json.loads(run.stdout) if want == 0 else run


def documents(name, *options):
    return json.loads(loam("data", "list", path(name), "--json", "--text", *options).stdout)["documents"]


def texts(name, *options):
    return [x["text"] for x in documents(name, *options)]


def ids(name, *options):
    return [x["id"] for x in documents(name, *options)]


def digest_of(list_of_texts):
    return hashlib.sha256(b"".join(sorted(hashlib.sha256(t.encode()).digest() for t in list_of_texts))).hexdigest()


def lines(*objects):
    return "".join(json.dumps(x, ensure_ascii=False) + "\n" for x in objects)


def blocks(data, kind, size):
    """zstd's blocks (RFC 8878, 3.1.1.2): raw (kind 0) of `data`, or `size` times its byte (1)."""
    out, most = b"", 128 << 10
    parts = [data[i:i + most] for i in range(0, len(data), most)] if kind == 0 else [data] * -(-size // most)
    for i, part in enumerate(parts or [b""]):
        n = len(part) if kind == 0 else min(most, size - i * most)
        out += struct.pack("<I", (i + 1 >= len(parts)) | kind << 1 | n << 3)[:3] + part
    return out


def zstd(data, kind=0, size=None):
    size = len(data) if size is None else size
    return b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", size) + blocks(data, kind, size)


def story(seed, n):
    r = random.Random(seed)
    return " ".join("w%d" % r.randrange(4000) for _ in range(n))


PARAGRAPHS = [story(i, 40) for i in range(30)]
PLAIN = "\n\n".join(PARAGRAPHS) + "\n"


# ---- sources ----

@case("plain, gzip, zstd, two members, a pipe: the same documents and digest")
def _():
    data = PLAIN.encode()
    half = len(data) // 3
    forms = {"a.txt": data, "a.txt.gz": gzip.compress(data), "a.txt.zst": zstd(data),
             "two.gz": gzip.compress(data[:half]) + gzip.compress(data[half:]) + b"\0" * 512,
             "two.zst": zstd(data[:half]) + b"\x50\x2a\x4d\x18\3\0\0\0abc" + zstd(data[half:])}
    want = digest_of(PARAGRAPHS)
    for name, contents in forms.items():
        r = build("D.db", path(name, contents), "--split", "paragraphs")
        assert (r["documents"], r["digest"], r["read_bytes"]) == (30, want, len(contents)), (name, r)
    piped = subprocess.run([LOAM, "data", "build", path("D.db"), "-", "--split", "paragraphs", "--json"],
                           input=forms["a.txt.zst"], capture_output=True)
    assert json.loads(piped.stdout)["digest"] == want
    assert texts("D.db") == PARAGRAPHS
    first = documents("D.db")[0]
    assert (first["source"], first["name"], first["bytes"]) == ("stdin", "stdin:1", len(PARAGRAPHS[0])), first


@case("a folder: sorted by name, no links, no hidden files, --include and --exclude; every way to cut")
def _():
    for name, text in ("b/2.txt", "two"), ("b/10.txt", "ten\nlines"), ("a.md", "md"), (".hidden", "h"), ("c.jsonl.gz", None):
        path("f/" + name, gzip.compress(lines({"text": "from json", "licence": "MIT"}).encode()) if text is None else text)
    os.symlink(path("f/a.md"), path("f/link"))
    os.mkfifo(path("f/pipe"))
    run = loam("data", "build", path("D.db"), path("f"), "--licence", "CC0-1.0")
    assert "not read: 1 names that begin with a dot" in run.stderr and "1 symbolic links" in run.stderr, run.stderr
    assert [(x["name"], x["text"], x["licence"], x["source"]) for x in documents("D.db")] == [
        ("a.md", "md", "CC0-1.0", "f"), ("b/10.txt", "ten\nlines", "CC0-1.0", "f"), ("b/2.txt", "two", "CC0-1.0", "f"),
        ("c.jsonl.gz:1", "from json", "MIT", "f")]
    build("D.db", path("f"), "--include", "*.txt", "--exclude", "2.*", "--split", "lines", "--source", "mine")
    assert [(x["text"], x["name"], x["source"]) for x in documents("D.db")] == \
        [("ten", "b/10.txt:1", "mine"), ("lines", "b/10.txt:2", "mine")]
    build("D.db", path("a.txt", PLAIN), "--split-bytes", 500)
    assert "".join(texts("D.db")) == PLAIN and all(len(t) <= 500 for t in texts("D.db"))
    assert "none fits" in build("D.db", path("f"), "--include", "*.pdf", want=2).stderr
    assert texts("D.db")[0] == PLAIN[:len(texts("D.db")[0])]  # as it was


@case("apt: an installed package's text files, with the licence that its copyright file gives each")
def _():
    root = "root/"
    files = {"usr/share/poems/ode.txt": "An ode.", "usr/share/poems/data/x.txt": "Data.", "usr/share/doc/poems/README": "Read me.",
             "usr/share/doc/poems/changelog.gz": "no", "usr/bin/poems": b"\x7fELF\0\0"}
    for name, contents in files.items():
        path(root + name, contents)
    path(root + "usr/share/doc/poems/copyright",
         "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nCopyright: x\nLicense: GPL-2+\n\n"
         "Files: data/*\nCopyright: y\nLicense: Expat or Artistic\n")
    path(root + "var/lib/dpkg/info/poems.list", "/.\n" + "".join("/%s\n" % x for x in files) + "/usr/share/gone\n")
    run = loam("data", "build", path("D.db"), "apt:poems", "--root", path("root"), "--json")
    assert json.loads(run.stdout)["left_out"]["binary"] == 1, run.stdout
    assert [(x["name"], x["licence"], x["source"]) for x in documents("D.db")] == [
        ("/usr/share/doc/poems/README", "GPL-2.0-or-later", "apt:poems"),
        ("/usr/share/poems/data/x.txt", "MIT OR Artistic-1.0-Perl", "apt:poems"),
        ("/usr/share/poems/ode.txt", "GPL-2.0-or-later", "apt:poems")]
    path(root + "usr/share/doc/old/copyright", "This package was debianized by somebody; GPL-2 and the like.\n")
    path(root + "usr/share/old/tale", "A tale.")
    path(root + "var/lib/dpkg/info/old.list", "/usr/share/old/tale\n/usr/share/doc/old/copyright\n")
    run = loam("data", "build", path("D.db"), "apt:old", "--root", path("root"))
    assert "apt:old: the licences of its files are unknown: " in run.stderr and "is not machine-readable" in run.stderr, run.stderr
    assert [(x["name"], x.get("licence") or "") for x in documents("D.db")] == [("/usr/share/old/tale", "")]
    assert "is not installed here" in build("D.db", "apt:nosuch", "--root", path("root"), want=2).stderr
    assert "is no name of a package" in build("D.db", "apt:../../etc", "--root", path("root"), want=2).stderr


# ---- documents ----

ODD = [{"id": "a", "text": "One red cup.", "source": "s", "licence": "MIT", "topic": "t", "kind": "k", "n": 1.5, "z": {"b": [1, None]}},
       {"id": 7, "text": "Zwei\tK\u00e4se \U0001f9c0\r\nund \\ \"mehr\"\u2028.", "license": "ISC"},
       {"text": " leading and trailing \n\n"}, {"id": "", "text": "empty id", "source": "", "licence": None}]


@case("export gives back the same data set, also in parts and through gzip")
def _():
    build("D.db", path("odd.jsonl", lines(*ODD)), path("a.txt", PLAIN), "--split", "paragraphs")
    exported = loam("data", "export", path("D.db"), text=False).stdout
    build("E.db", path("again.jsonl.gz", gzip.compress(exported)))
    assert loam("data", "export", path("E.db"), text=False).stdout == exported
    assert [x["meta"] for x in documents("E.db")][:2] == [{"n": 1.5, "z": {"b": [1, None]}}, {}]
    assert texts("E.db")[:4] == [x["text"] for x in ODD]
    parts = [loam("data", "export", path("D.db"), "--where", w, text=False).stdout for w in ("id % 2", "id % 2 = 0")]
    r = build("F.db", path("one.jsonl", parts[0]), path("other.jsonl", parts[1]))
    assert r["digest"] == digest_of([x["text"] for x in ODD] + PARAGRAPHS)
    assert json.loads(loam("data", "check", path("F.db"), "--json").stdout)["digest"] == r["digest"]


@case("duplicates: marked, dropped; near ones with their similarity; the first one stays")
def _():
    base = story("x", 300)
    near = base.replace(base.split()[150], "changed")
    far = story("y", 300)
    path("dup.jsonl", lines(*({"text": t} for t in (base, near, base, far, near + ".", "short", "short"))))
    r = build("D.db", path("dup.jsonl"))
    assert (r["documents"], r["exact_duplicates"], r["near_duplicates"]) == (7, 2, 2), r
    d = {x["id"]: x for x in documents("D.db")}
    assert [d[i].get("duplicate_of") for i in range(1, 8)] == [None, None, 1, None, None, None, 6]
    assert [d[i].get("near_of") for i in range(1, 8)] == [None, 1, None, None, 1, None, None]
    words = [t.replace(".", "").split() for t in (base, near)]
    a, b = ({tuple(w[i:i + 5]) for i in range(len(w) - 4)} for w in words)
    assert abs(d[2]["similarity"] - len(a & b) / len(a | b)) < 1e-12
    assert texts("D.db", "--where", "duplicate_of IS NULL AND near_of IS NULL") == [base, far, "short"]
    r = build("D.db", path("dup.jsonl"), "--duplicates", "drop")
    assert (r["documents"], r["left_out"]["duplicate"], r["near_duplicates"]) == (5, 2, 2), r
    r = build("D.db", path("dup.jsonl"), "--duplicates", "drop-near")
    assert (r["documents"], r["left_out"]["near"]) == (3, 2) and texts("D.db") == [base, far, "short"], r
    r = build("D.db", path("dup.jsonl"), "--near", 0)
    assert (r["documents"], r["near_duplicates"], r["exact_duplicates"]) == (7, 0, 2), r


@case("filters by licence, source, kind, topic and SQL; what is no expression is refused")
def _():
    build("D.db", path("odd.jsonl", lines(*ODD)), "--licence", "", "--kind", "other")
    for options, want in ((["--licence", "MIT"], [1]), (["--licence", "unknown"], [3, 4]), (["--licence", "M' OR 1 --"], []),
                          (["--source", "odd.jsonl"], [2, 3, 4]), (["--kind", "other"], [2, 3, 4]), (["--topic", "t"], [1]),
                          (["--where", "text LIKE '%cup%' OR bytes < 9"], [1, 4]), (["--kind", "other", "--where", "id = 2 OR id = 1"], [2]),
                          (["--where", "json_extract(meta, '$.z.b[0]') = 1"], [1]), (["--limit", 2], [1, 2])):
        assert ids("D.db", *options) == want, (options, ids("D.db", *options))
    for where, why in (("", "empty"), ("1; DROP TABLE texts", "one expression"), ("id IN (SELECT 1)", "SELECT is not allowed"),
                       ("nosuch = 1", "no such column"), ("1) OR (1", ") without its ("), ("load_extension('x')", "load_extension"),
                       ("x" * 2000000, "Argument list")):
        try:
            run = loam("data", "list", path("D.db"), "--where", where, want=2)
            assert run.stderr.startswith("loam: data list: --where: ") and why in run.stderr, run.stderr
        except OSError as e:  # the kernel's own bound on an argument
            assert why in str(e), (where, e)


@case("drop: record, digests, exact duplicates told and taken, marks as if it had never been, --append keeps it out")
def _():
    base = story("x", 300)
    near = base + " more words here"
    path("dup.jsonl", lines(*({"text": t} for t in (base, near, base, "other", base))))
    before = build("D.db", path("dup.jsonl"))["digest"]
    run = loam("data", "drop", path("D.db"), 1, want=2)
    assert "1 documents" in run.stderr and "--yes" in run.stderr and "2 more documents have the same text" in run.stderr, run.stderr
    run = loam("data", "drop", path("D.db"), 1, "--yes", "--json", "--note", "asked")
    r = json.loads(run.stdout)
    assert (r["dropped"], r["same_text"], r["documents"]) == ([1], 2, 4) and "--duplicates" in run.stderr, (r, run.stderr)
    assert r["digest"] == digest_of([near, base, "other", base])
    d = {x["id"]: x for x in documents("D.db")}
    assert [(i, d[i].get("duplicate_of"), d[i].get("near_of")) for i in sorted(d)] == \
        [(2, None, None), (3, None, 2), (4, None, None), (5, 3, None)], d
    r = json.loads(loam("data", "drop", path("D.db"), 5, "--duplicates", "--yes", "--json").stdout)
    assert (r["dropped"], r["same_text"], r["documents"]) == ([3, 5], 0, 2) and r["digest"] == digest_of([near, "other"])
    r = json.loads(loam("data", "stats", path("D.db"), "--json").stdout)
    assert (r["removals"], r["removed"]) == (2, 3), r
    assert base.encode()[:40] + b"\"" not in read(path("D.db")).replace(near.encode(), b"")
    assert read(path("D.db")).count(base.encode()) == 1  # the one within `near`
    r = build("D.db", path("dup.jsonl"), "--append")
    assert r["left_out"]["removed"] == 3 and (r["documents"], r["added"]) == (4, 2), r
    assert ids("D.db") == [2, 4, 6, 7]  # ids are never given again
    assert "were dropped from it" in build("D.db", path("dup.jsonl"), want=2).stderr
    assert build("D.db", path("dup.jsonl"), "--force")["digest"] == before
    for words, why in (([99], "99"), (["abcdefab"], "no document's SHA-256"), ([], "which documents"), ([1, "--kind", "x"], "exclude each other")):
        assert why in loam("data", "drop", path("D.db"), *words, "--yes", want=2).stderr, (words, why)


@case("append equals one build: documents, marks, digest")
def _():
    texts_ = [story(i % 17, 60) + (" tail" if i % 5 == 0 else "") for i in range(60)]
    whole = path("w.jsonl", lines(*({"text": t, "id": str(i)} for i, t in enumerate(texts_))))
    halves = [path("h%d.jsonl" % k, lines(*({"text": t, "id": str(i)} for i, t in enumerate(texts_) if i // 30 == k))) for k in (0, 1)]
    a = build("A.db", whole)
    build("B.db", halves[0])
    b = build("B.db", halves[1], "--append")
    keys = ("id", "sha256", "duplicate_of", "near_of", "similarity")
    assert [[x.get(k) for k in keys] for x in documents("A.db")] == [[x.get(k) for k in keys] for x in documents("B.db")]
    assert a["digest"] == b["digest"] and a["near_duplicates"] == b["near_duplicates"] > 0 < a["exact_duplicates"]


# ---- always the same, always whole ----

def big(seed, n_bytes):
    r = random.Random(seed)
    words, out, n = ["w%d" % i for i in range(3000)], [], 0
    while n < n_bytes:
        out.append(" ".join(r.choices(words, k=r.choice((8, 40, 300)))) if not out or r.random() < 0.9 else r.choice(out[-50:]))
        n += len(out[-1]) + 2
    return "\n\n".join(out)


@case("the same bytes with 1, 2, 3 and 8 threads")
def _():
    path("big.txt", big(1, 3_000_000))
    want = None
    for threads in 1, 2, 3, 8:
        build("T.db", path("big.txt"), path("dup.jsonl", lines({"text": "x"})), "--split", "paragraphs", "--threads", threads)
        got = read(path("T.db"))
        assert want in (None, got), threads
        want = got


def quick_kill(delay, *args):
    """Starts the program, kills it after `delay` s; whether it was still running."""
    p = subprocess.Popen([LOAM, *map(str, args)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(delay)
    p.kill()
    return p.wait() == -signal.SIGKILL


@case("kill -9 at 40 moments of build, append and drop: the last complete state, then the same digest as ever")
def _():
    path("one.txt", big(2, 400_000))
    path("two.txt", big(3, 4_000_000))
    cut = ["--split", "paragraphs"]
    build("K.db", path("one.txt"), *cut)
    first = read(path("K.db"))
    began = time.time()
    build("L.db", path("two.txt"), *cut)
    span = time.time() - began
    rebuilt = read(path("L.db"))
    build("M.db", path("one.txt"), *cut)
    build("M.db", path("two.txt"), *cut, "--append")
    appended = read(path("M.db"))
    loam("data", "drop", path("M.db"), 1, "--yes")
    dropped = read(path("M.db"))
    killed = 0
    for start, after, args in ((first, rebuilt, ["build", path("K.db"), path("two.txt"), *cut]),
                               (first, appended, ["build", path("K.db"), path("two.txt"), *cut, "--append"]),
                               (appended, dropped, ["drop", path("K.db"), 1, "--yes"])):
        path("K.db", start)
        for i in range(14):
            was_killed = quick_kill(span * 1.2 * (i + 0.5) / 14, "data", *args)
            killed += was_killed
            now = read(path("K.db"))
            assert now in (start, after), (args, i)
            assert was_killed or now == after, (args, i)
            assert {x for x in os.listdir(DIR) if x.startswith("K.db")} <= {"K.db", "K.db.tmp", "K.db.tmp2"}, os.listdir(DIR)
            if now == after:  # it had its name already
                path("K.db", start)
        loam("data", *args)
        assert read(path("K.db")) == after and not os.path.exists(path("K.db.tmp")), args
    assert killed >= 15, killed


@case("SIGINT and SIGTERM end a build in order or at once; the old state stays")
def _():
    build("S.db", path("one.txt", big(2, 100_000)), "--split", "lines")
    first = read(path("S.db"))
    path("two.txt", big(3, 4_000_000))
    for sign in signal.SIGINT, signal.SIGTERM:
        p = subprocess.Popen([LOAM, "data", "build", path("S.db"), path("two.txt"), "--split", "paragraphs"], stderr=subprocess.PIPE)
        while not os.path.exists(path("S.db.tmp")):
            assert p.poll() is None
        time.sleep(0.05)
        p.send_signal(sign)
        err = p.communicate(timeout=60)[1].decode()
        assert p.returncode == (130 if sign == signal.SIGINT else -sign), (p.returncode, err)
        assert read(path("S.db")) == first
        assert sign != signal.SIGINT or not os.path.exists(path("S.db.tmp"))


@case("one writer at a time")
def _():
    build("W.db", path("one.txt", "a\nb\n"), "--split", "lines")
    p = subprocess.Popen([LOAM, "data", "build", path("W.db"), "-", "--append"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    while not os.path.exists(path("W.db.tmp")):
        assert p.poll() is None
    assert "is being written by another process" in loam("data", "drop", path("W.db"), 1, "--yes", want=1).stderr
    assert texts("W.db") == ["a", "b"]
    p.communicate(b"c", timeout=60)
    assert p.returncode == 0 and texts("W.db") == ["a", "b", "c"]


def limited(n):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (n, n))
    return limit


@case("no room for the file, at many sizes: one line that says so, the old state, nothing left over")
def _():
    build("R.db", path("one.txt", "a\nb\n"), "--split", "lines")
    first = read(path("R.db"))
    path("two.txt", big(3, 3_000_000))
    for size in 0, 1, 4096, 30000, 300000, 1_000_000, 3_000_000:
        run = loam("data", "build", path("R.db"), path("two.txt"), "--split", "paragraphs", want=1, preexec_fn=limited(size))
        assert run.stdout == "" and run.stderr.count("\n") == 1 and "R.db: disk I/O error" in run.stderr, run.stderr
        assert size < 4096 or "File too large" in run.stderr, run.stderr
        assert read(path("R.db")) == first and not os.path.exists(path("R.db.tmp")), size
    run = loam("data", "drop", path("R.db"), 1, "--yes", want=1, preexec_fn=limited(8192))
    assert read(path("R.db")) == first
    with open("/dev/full", "w") as full:
        p = subprocess.run([LOAM, "data", "export", path("R.db")], stdout=full, stderr=subprocess.PIPE, text=True)
    assert p.returncode == 1 and "No space left" in p.stderr, p.stderr


# ---- hostile files ----

@case("texts that are none are left out and counted; repaired ones are; --invalid skip")
def _():
    path("h/0empty", b"")
    path("h/1blank", b" \n\t\n")
    path("h/2nul", b"abc\0def")
    path("h/3latin", "K\u00e4se und \u00d6l, \u00fcberall \u00e4hnlich. ".encode("latin-1") * 20)
    path("h/4few", b"one bad \xff byte in a long text " + b"of good words " * 20)
    path("h/5utf16", "hello".encode("utf-16"))
    path("h/6bom", b"\xef\xbb\xbfwith a mark")
    path("h/7surrogate", b"\xed\xa0\x80\xed\xb0\x80")
    run = loam("data", "build", path("H.db"), path("h"), "--json")
    r = json.loads(run.stdout)
    assert r["left_out"] == {"empty": 1, "brief": 0, "binary": 1, "encoding": 3, "malformed": 0, "duplicate": 0, "near": 0, "removed": 0}, r
    assert r["repaired"] == 1 and texts("H.db") == ["one bad \ufffd byte in a long text " + "of good words " * 20, "with a mark"]
    for part in "3latin:1: left out: not UTF-8", "4few:1: 1 ill-formed", "5utf16:1: left out: UTF-16", "2nul:1: left out: binary":
        assert part in run.stderr, (part, run.stderr)
    assert build("H.db", path("h"), "--invalid", "skip")["left_out"]["encoding"] == 4
    assert build("H.db", path("h"), "--min-bytes", 100)["left_out"]["brief"] == 1


@case("a program longer than a document may be is binary all the same, in a folder and packed; a text as long ends the build")
def _():
    whole = b"\x7fELF" + b"x" * 5000 + b"\0" + b"y" * (66 << 20)
    path("long/a", whole)
    path("long/b.gz", gzip.compress(whole, 1))
    path("long/c", "a text")
    path("long/d", "in UTF-16".encode("utf-16") * 5000)
    r = build("H.db", path("long"))
    assert (r["documents"], r["left_out"]["binary"], r["left_out"]["encoding"]) == (1, 2, 1) and texts("H.db") == ["a text"], r
    with sqlite3.connect(path("H.db")) as db:
        rows = db.execute("SELECT name, format, bytes, hex(sha256) FROM files ORDER BY id").fetchall()
    for name, form, size, sha in rows:
        data = read(path("long/" + name))
        assert (size, sha.lower()) == (len(data), hashlib.sha256(data).hexdigest()), (name, size)
    assert [x[1] for x in rows] == ["text", "text+gzip", "text", "text"], rows
    path("long/a", whole.replace(b"\0", b"z"))
    assert "long/a: longer than the 67108864 bytes" in build("H.db", path("long"), want=1).stderr
    path("long/a", b"")


@case("lines that are no documents: named by file and line; --skip-bad goes on")
def _():
    good = json.dumps({"text": "good"})
    bad = {"not JSON": "{\"text\": \"x\"", "no object": "[1]", "no text": "{\"txt\": \"x\"}", "text no string": "{\"text\": 1}",
           "twice": "{\"text\": \"a\", \"text\": \"b\"}", "deep": "{\"text\":\"x\",\"m\":" + "[" * 100000 + "]" * 100000 + "}",
           "licence": "{\"text\": \"x\", \"licence\": [1]}", "nul": "{\"text\": \"x\", \"source\": \"\\u0000\"}", "number": "1e999",
           "tail": good + " x"}
    for name, line in bad.items():
        p = path("bad.jsonl", good + "\n\n" + line + "\n" + good + "\n")
        run = build("J.db", p, want=1)
        assert run.stderr.startswith("loam: " + p + ":3: ") and run.stderr.count("\n") == 1 and "--skip-bad" in run.stderr, (name, run.stderr)
        assert not os.path.exists(path("J.db")) and not os.path.exists(path("J.db.tmp"))
        r = build("J.db", p, "--skip-bad")
        assert (r["documents"], r["left_out"]["malformed"]) == (2, 1), (name, r)
        os.unlink(path("J.db"))


@case("gzip and zstd: truncated, damaged, bombs, foreign bytes behind")
def _():
    data = PLAIN.encode()[:300]
    for packed in gzip.compress(data), zstd(data):
        for n in [5, 9, 11, 20, 100, *range(len(packed) - 9, len(packed))]:
            assert "cut: at byte %d: " % n in build("G.db", path("cut", packed[:n]), want=1).stderr, n
        assert "belong to nothing" in build("G.db", path("cut", packed + b"tail"), want=1).stderr
    broken = bytearray(gzip.compress(data))
    broken[-6] ^= 1
    assert "gzip: incorrect" in build("G.db", path("cut", bytes(broken)), want=1).stderr
    assert not os.path.exists(path("G.db"))
    for name, bomb in ("gz", gzip.compress(b"a" * (80 << 20), 6)), ("zst", zstd(b"a", 1, 90 << 20)):
        run = build("G.db", path("bomb." + name, bomb), "--split-bytes", 100000, want=1)
        assert "refused as a bomb" in run.stderr, run.stderr
    assert "window of more than 128 MiB" in build("G.db", path("wide", zstd(b"a", 1, 200 << 20)), want=1).stderr
    r = build("G.db", path("cut", gzip.compress(data)[:-9]), path("a.txt", PLAIN), "--skip-bad")
    assert r["left_out"]["malformed"] == 1 and texts("G.db")[-1] == PLAIN, r


@case("what stands at OUT.db is not overwritten unless it is a data set; hostile data sets are refused")
def _():
    p = path("mine.db", b"my own notes\n" * 50)
    assert "it is not overwritten" in build("mine.db", path("one.txt", "a"), want=1).stderr and read(p) == b"my own notes\n" * 50
    assert "the data set's file comes first" in loam("data", "build", "apt:x", "y", want=2).stderr
    build("X.db", path("one.txt", "a document of some length"))
    whole = read(path("X.db"))
    r = random.Random(7)
    for i in range(40):
        broken = bytearray(whole)
        for _ in range(r.choice((1, 4, 40))):
            broken[r.randrange(len(broken))] = r.randrange(256)
        path("X.db", bytes(broken[:r.randrange(len(broken))]) if i % 4 == 0 else bytes(broken))
        for words in ["list", path("X.db"), "--json"], ["check", path("X.db")]:
            run = loam("data", *words, want=None)
            assert run.returncode in (0, 1, 3), (i, run)
            assert run.returncode == 0 or run.stderr.startswith("loam: ") and run.stderr.count("\n") == 1, (i, run)
            assert not any(ord(c) < 32 and c != "\n" or 127 <= ord(c) < 160 for c in run.stderr), (i, run)


main()
