#!/usr/bin/env python3
"""loam quantize and loam imatrix with the real program: the bytes of llama.cpp's quantiser for whole models, with and
without importances in either form; importances from a text; the table of what is lost; refusals. TAP."""
import json
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import ROOT, Fail, case, loam, main, tmp  # noqa: E402
import _gguf  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, "test/golden"))
from quantise_model import COUNT, MODELS, digest, importances, write_imatrix  # noqa: E402
import imatrix  # noqa: E402

HOMEWORLD = os.path.join(ROOT, "models/homeworld/model.gguf")


def out(name):
    return os.path.join(tmp(), name)


def wide(model):
    """The model in F32, made once."""
    path = out(model + "-f32.gguf")
    if not os.path.exists(path):
        loam("convert", os.path.join(ROOT, MODELS[model]), path, "--type", "F32")
    return path


def text_file():
    """The text of test/golden/imatrix.py, made once."""
    path = out("text.txt")
    if not os.path.exists(path):
        with open(path, "w", encoding="utf-8") as f:
            f.write(imatrix.text_of(lambda *args: loam(*args).stdout))
    return path


def windows():
    return ["--ctx", imatrix.WIDTH, "--windows", imatrix.WINDOWS]


def write_old(path, sums):
    """The older form keeps sums over calls of the mean squares: here 4 calls."""
    with open(path, "wb") as f:
        f.write(struct.pack("<i", len(sums)))
        for name, values in sorted(sums.items()):
            f.write(struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", 4, len(values)))
            f.write(struct.pack("<%df" % len(values), *(v / COUNT * 4 for v in values)))
        f.write(struct.pack("<ii", 1, 4) + b"wiki")
    return path


def golden():
    with open(os.path.join(ROOT, "test/golden/quantise_model.txt")) as f:
        return [line.split() for line in f]


def check_model(model):
    sums = importances(_gguf.read(wide(model))[1])
    importance = write_imatrix(out(model + "-imatrix.gguf"), sums)
    old = write_old(out(model + "-imatrix.dat"), sums)
    path, n = out("quantised.gguf"), 0
    for name, kind, how, want in golden():
        if name != model:
            continue
        files = {"none": [None], "imatrix": [importance, old][:2 if kind in ("Q4_0", "Q4_K_M", "Q2_K_S") else 1]}[how]
        for file in files:
            loam("quantize", wide(model), path, kind, "--force", *(["--imatrix", file] if file else []))
            if digest(path) != want:
                raise Fail("%s, %s, %s: other bytes than llama.cpp's" % (kind, how, file))
            n += 1
    assert n == 38, n


@case("whole models: every type has llama.cpp's bytes, with and without importances (wide rows)")
def _():
    check_model("mixed")


@case("whole models: the same where rows do not fit super-blocks (homeworld)")
def _():
    check_model("homeworld")


def floats(raw):
    return struct.unpack("<%df" % (len(raw) // 4), raw)


@case("imatrix: the sums of squares are llama.cpp's; other threads, sets and the scalar code give the same file")
def _():
    path = out("importance.gguf")
    run = loam("imatrix", HOMEWORLD, text_file(), path, *windows(), "--json")
    assert json.loads(run.stdout) == {"file": path, "matrices": 28, "windows": imatrix.WINDOWS,
                                      "window_tokens": imatrix.WIDTH}, run.stdout
    want = {name: (dims, raw) for name, _, dims, raw in _gguf.read(os.path.join(ROOT, "test/golden/imatrix.gguf"))[1]}
    got = {name: (dims, raw) for name, _, dims, raw in _gguf.read(path)[1]}
    assert sorted(want) == sorted(got)
    far = 0
    for name, (dims, raw) in want.items():
        assert got[name][0] == dims, name
        for a, b in zip(floats(got[name][1]), floats(raw)):
            far = max(far, abs(a - b) / b)
    assert 0 < far < 1e-3, far
    loam("imatrix", HOMEWORLD, text_file(), out("again.gguf"), *windows(), "--threads", 3, "--isa", "scalar")
    with open(path, "rb") as a, open(out("again.gguf"), "rb") as b:
        assert a.read() == b.read()


@case("--calibrate: the bytes that the file of loam imatrix gives, with any threads; keys that say so")
def _():
    for name, options in (("a", ["--calibrate", text_file(), *windows()]), ("b", ["--imatrix", out("importance.gguf")]),
                          ("c", ["--calibrate", text_file(), *windows(), "--threads", 3, "--isa", "scalar"])):
        loam("quantize", HOMEWORLD, out(name + ".gguf"), "Q4_K_M", *options)
    assert digest(out("a.gguf")) == digest(out("b.gguf"))
    with open(out("a.gguf"), "rb") as a, open(out("c.gguf"), "rb") as c:
        assert a.read() == c.read()
    shown = loam("show", out("b.gguf")).stdout
    for line in ('quantize.imatrix.file                        "importance.gguf"',
                 'quantize.imatrix.dataset                     "text.txt"', "quantize.imatrix.entries_count               28",
                 "quantize.imatrix.chunks_count                %d" % imatrix.WINDOWS):
        assert line in shown, line
    assert "imatrix.file" not in loam("show", out("a.gguf")).stdout
    again = loam("quantize", out("b.gguf"), out("d.gguf"), "Q4_0", "--calibrate", text_file(), *windows())
    assert "is quantised already" in again.stderr
    assert "imatrix.file" not in loam("show", out("d.gguf")).stdout  # of the file before


@case("importances lower the divergence on the text that they come from")
def _():
    lost = {}
    for name, options in (("without", []), ("with", ["--calibrate", text_file()])):
        run = loam("quantize", HOMEWORLD, out(name + ".gguf"), "Q4_0", "--compare", text_file(), *windows(), *options,
                   "--json")
        lost[name] = json.loads(run.stdout.splitlines()[1])["kl"]
    assert lost["with"] < lost["without"], lost


@case("--compare: sizes, perplexity and divergences are llama.cpp's; the table says what the JSON says")
def _():
    with open(os.path.join(ROOT, "test/golden/imatrix.txt")) as f:
        want = [line.split() for line in f]
    run = loam("quantize", HOMEWORLD, out("all"), ",".join(imatrix.COMPARED), "--compare", text_file(), *windows(), "--json")
    got = [json.loads(line) for line in run.stdout.splitlines()]
    assert [g["type"] for g in got] == ["original"] + imatrix.COMPARED
    for g, (kind, bits, ppl, kl, kl_99, same) in zip(got, want):
        assert abs(g["bits_per_weight"] - float(bits)) < 1e-5, g
        assert g["positions"] == imatrix.WINDOWS * (imatrix.WIDTH // 2 - 1), g
        assert abs(g["ppl"] / float(ppl) - 1) < (1e-4 if kind == "F32" else 2e-3), (g, ppl)
        if kind != "F32":  # both round activations, llama.cpp with scales of 16 bits
            assert abs(g["kl"] - float(kl)) < 2 * g["kl_error"] and 0.6 < g["kl_99"] / float(kl_99) < 1.6, (g, kl, kl_99)
            assert abs(g["same_top"] - float(same)) < 0.01 and 0 < g["kl_error"] < g["kl"], (g, same)
            assert g["bytes"] == os.path.getsize(os.path.join(out("all"), kind + ".gguf"))
    table = loam("quantize", HOMEWORLD, out("all"), ",".join(imatrix.COMPARED), "--compare", text_file(), *windows(),
                 "--force", "--threads", 3, "--isa", "scalar").stdout.splitlines()
    assert len(table) == 5 and table[0].split()[:3] == ["type", "weights", "bits"], table
    for line, g in zip(table[2:], got[1:]):
        word = line.split()
        assert word[0] == g["type"] and float(word[3]) == round(g["bits_per_weight"], 2), line
        assert (word[4], word[5], word[7], word[8]) == ("%.4f" % g["ppl"], "%.6f" % g["kl"], "%.6f" % g["kl_error"],
                                                        "%.6f" % g["kl_99"]), (line, g)


@case("what had to give way to the width of rows is told")
def _():
    run = loam("quantize", HOMEWORLD, out("narrow.gguf"), "Q4_K_M")
    assert "rows of blk.0.attn_q.weight and others are no whole number of 256: Q5_0 instead of Q4_K" in run.stderr, run.stderr
    lines = loam("quantize", HOMEWORLD, out("narrow.gguf"), "Q4_K_M", "--force", "--json").stdout.splitlines()
    assert {"wanted": "Q4_K", "type": "Q5_0", "matrices": 24} in json.loads(lines[0])["fallback"], lines


@case("refusals say what to do, and leave nothing behind")
def _():
    wide_model = wide("mixed")
    before = sorted(os.listdir(tmp()))
    sums = {"blk.0.attn_q.weight": [1.0] * 95}
    other = write_imatrix(out("other.gguf"), sums)
    none = write_imatrix(out("none.gguf"), {"blk.0.ssm.weight": [1.0] * 96})
    short = out("short.txt")
    with open(short, "w") as f:
        f.write("Too short.")
    for status, words, args in (
            (2, "no type \"Q9\" (there are F32", [out("no.gguf"), "Q9"]),
            (2, "type Q8_0 stands twice", [out("no"), "Q8_0,q8_0"]),
            (2, "several types need a folder", [out("no.gguf"), "Q8_0,Q4_0"]),
            (2, "quantised models are .gguf files", [out("no"), "Q8_0"]),
            (2, "one of them", [out("no.gguf"), "Q8_0", "--imatrix", other, "--calibrate", short]),
            (2, "Q2_K_S needs importances for blk.0.attn_q.weight (--calibrate TEXT", [wide_model, out("no.gguf"), "Q2_K_S"]),
            (2, "has 96 columns, its importances are 95 (made for another model?)", [out("no.gguf"), "Q4_0", "-i", other]),
            (2, "none of the 1 importances is for a matrix of this model", [out("no.gguf"), "Q4_0", "-i", none]),
            (1, "holds no importance matrix", [out("no.gguf"), "Q4_0", "-i", HOMEWORLD]),
            (1, "no GGUF file", [out("no.gguf"), "Q4_0", "-i", short]),
            (1, "missing.gguf", [out("no.gguf"), "Q4_0", "-i", out("missing.gguf")]),
            (2, "less than one window of 256 (more text, or a smaller --ctx)", [out("no.gguf"), "Q4_0", "--calibrate", short]),
            (2, "is there already (--force replaces it)", [out("a.gguf"), "Q8_0"])):
        run = loam("quantize", *([HOMEWORLD] if len(args) % 2 == 0 else []), *args, want=status)
        assert words in run.stderr, run.stderr
    for name in ("other.gguf", "none.gguf", "short.txt"):
        os.unlink(out(name))
    assert sorted(os.listdir(tmp())) == before
    run = loam("imatrix", HOMEWORLD, text_file(), out("x.dat"), want=2)
    assert "importance matrices are .gguf files" in run.stderr
    run = loam("imatrix", HOMEWORLD, text_file(), out("importance.gguf"), want=2)
    assert "--force" in run.stderr


main()
