#!/usr/bin/env python3
"""loam serve --cache-dir: prefixes in files give the same bits cold, warm, after a restart, after kill -9 at any moment,
and when files are damaged or not ours. Prints TAP."""
import glob
import os
import random
import shutil
import signal
import stat
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _tiny  # noqa: E402
from _server import Server  # noqa: E402
from _tap import ROOT, case, main, tmp  # noqa: E402

MODEL = os.path.join(tmp(), "tiny")
_tiny.make_model(MODEL)
OTHER = os.path.join(tmp(), "other")  # the same shape, another config: other numbers
shutil.copytree(MODEL, OTHER)
with open(os.path.join(OTHER, "config.json")) as f:
    text = f.read()
with open(os.path.join(OTHER, "config.json"), "w") as f:
    assert '"rope_theta"' in text
    f.write(text.replace('"rope_theta": ', '"rope_theta": 1'))
LONG = "Once there was a house by the sea, in which a cook lived with two cats and a parrot that could count to seven. "
ASK = {"max_tokens": 12, "temperature": 1, "seed": 5, "logprobs": 3, "ignore_eos": True}


def server(folder, *more, model=MODEL):
    return Server(model, "--ctx", 512, "--cache-dir", os.path.join(tmp(), folder), *more)


def ask(s, prompt, **more):
    """(what must be the same, how many tokens came from a cache)"""
    r = s.ok("/v1/completions", {**ASK, "prompt": prompt, **more})
    return r["choices"], r["usage"]["prompt_tokens_details"]["cached_tokens"]


def files(folder):
    return sorted(glob.glob(os.path.join(tmp(), folder, "*.kv")))


PROMPTS = [LONG, LONG + "The parrot said:", LONG[:90] + "and nobody else"]
_alone = Server(MODEL, "--ctx", 512)
WANT = {p: ask(_alone, p + " ")[0] for p in PROMPTS}
assert _alone.stop()[0] == 0


@case("the same bits cold, warm and after a restart, which computes what is new alone; the folder is its owner's")
def _():
    s = server("a")
    assert ask(s, LONG + " ") == (WANT[LONG], 0)
    s.wait("loam_kept_written_total", 1)
    assert ask(s, LONG + " ")[0] == WANT[LONG]
    assert s.stop()[0] == 0
    assert stat.S_IMODE(os.stat(os.path.join(tmp(), "a")).st_mode) == 0o700 and len(files("a")) == 1
    s = server("a")
    for p in PROMPTS:
        got, cached = ask(s, p + " ")
        assert got == WANT[p] and cached >= 88, (p, cached)
    assert s.metric("loam_kept_hits_total") >= 1
    assert s.stop()[0] == 0
    s = server("a", "--threads", 3, "--isa", "scalar")
    got, cached = ask(s, LONG + " ")
    assert got == WANT[LONG] and cached >= 100, cached
    assert s.stop()[0] == 0


@case("a longer prefix takes the place of its beginning; short prompts and embeddings are not kept")
def _():
    s = server("b")
    ask(s, "short")
    s.ok("/v1/embeddings", {"input": LONG})
    for n, p in enumerate((LONG, LONG + "The parrot said:")):
        ask(s, p)
        s.wait("loam_kept_written_total", n + 1)
    s.wait("loam_kept_files", 1)  # unless the first answer parted from the second prompt
    assert s.stop()[0] == 0


@case("damaged files are removed and never believed: each byte of the head, cut, grown, other numbers, other files")
def _():
    s = server("c")
    assert ask(s, LONG + " ")[0] == WANT[LONG]
    s.wait("loam_kept_written_total", 1)
    assert s.stop()[0] == 0
    (path,) = files("c")
    with open(path, "rb") as f:
        good = f.read()
    rng = random.Random(4)
    places = [*range(8, 88, 11), 88, 100, len(good) // 2, len(good) - 1, *(rng.randrange(len(good)) for _ in range(3))]
    harms = [good[:i] + bytes([good[i] ^ 1 << rng.randrange(8)]) + good[i + 1:] for i in places]
    harms += [good[:-1], good + b"x", good[:87], b"", b"LOAMKV02" + good[8:], good[:72] + b"\xff" * 16 + good[88:]]
    for harm in harms:
        with open(path, "wb") as f:
            f.write(harm)
        s = server("c")
        got, cached = ask(s, LONG + " ")
        assert got == WANT[LONG] and cached == 0, cached
        s.wait("loam_kept_written_total", 1)
        assert s.stop()[0] == 0
        with open(path, "rb") as f:
            assert f.read() == good, "written anew, the same bytes"
        for p in files("c"):
            if p != path:
                os.remove(p)
    stranger = os.path.join(tmp(), "c", "notes.kv")
    link = os.path.join(tmp(), "c", "0" * 32 + ".kv")
    with open(stranger, "w") as f:
        f.write("not ours")
    os.symlink(stranger, link)
    s = server("c")
    assert ask(s, LONG + " ")[1] > 100
    assert s.stop()[0] == 0 and os.path.exists(stranger)


@case("another model's files are not used, and stay")
def _():
    s = server("a", model=OTHER)
    got, cached = ask(s, LONG + " ")
    assert cached == 0 and got != WANT[LONG]
    assert s.stop()[0] == 0
    s = server("a")
    assert ask(s, LONG + " ")[1] > 100
    assert s.stop()[0] == 0


@case("the files take at most so many bytes; the least recently used goes first, over a restart, too")
def _():
    s = server("d", "--cache-disk", 1)
    begun = [chr(65 + i) * 4 + LONG * 3 for i in range(8)]
    for n, p in enumerate(begun):
        ask(s, p, max_tokens=1)
        s.wait("loam_kept_written_total", n + 1)
    assert s.metric("loam_kept_bytes") <= 1e6
    kept = int(s.metric("loam_kept_files"))
    assert 2 <= kept < 8, kept
    assert s.stop()[0] == 0 and len(files("d")) == kept and sum(map(os.path.getsize, files("d"))) <= 1e6
    s = server("d", "--cache-disk", 1)
    oldest = begun[8 - kept]
    assert ask(s, oldest, max_tokens=1)[1] > 300  # now it is the one used last
    assert s.stop()[0] == 0
    s = server("d", "--cache-disk", 1)
    ask(s, "Z" + LONG * 3, max_tokens=1)
    s.wait("loam_kept_written_total", 1)
    assert ask(s, begun[9 - kept], max_tokens=1)[1] < 64 and ask(s, oldest, max_tokens=1)[1] > 300
    assert s.stop()[0] == 0


@case("kill -9 at any moment leaves whole files alone, and the next start answers the same")
def _():
    rng = random.Random(1)
    for i in range(6):
        s = server("e")
        try:
            for p in PROMPTS:
                c = s.raw(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" %
                          (len(p) + 30, b'{"max_tokens":2,"prompt":"' + p.encode() + b' "}  '))
                if i % 2:
                    c.recv(1)
                c.close() if i % 3 == 0 else None
            time.sleep(rng.random() * 0.1)
        finally:
            s.process.send_signal(signal.SIGKILL)
            s.process.communicate()
        left = [f for f in os.listdir(os.path.join(tmp(), "e")) if not f.endswith(".kv")]
        assert not left, left
    s = server("e")
    for p in PROMPTS:
        assert ask(s, p + " ")[0] == WANT[p]
    assert s.metric("loam_kept_refused_total") == 0
    assert s.stop()[0] == 0


@case("a folder that cannot be: the server does not start; one that disappears: it goes on")
def _():
    from _tap import loam
    bad = os.path.join(tmp(), "file")
    open(bad, "w").close()
    for where in (bad, os.path.join(tmp(), "no", "such")):
        r = loam("serve", MODEL, "--port", 0, "--cache-dir", where, want=1)
        assert where in r.stderr, r.stderr
    s = server("f")
    shutil.rmtree(os.path.join(tmp(), "f"))
    assert ask(s, LONG + " ")[0] == WANT[LONG]
    s.wait("loam_kept_skipped_total", 1)
    assert ask(s, PROMPTS[1] + " ")[0] == WANT[PROMPTS[1]]
    assert s.stop()[0] == 0


main()
