#!/usr/bin/env python3
"""README.md and doc/tour.md tell the truth: their console blocks run and print what stands there, links and folders exist.
Prints TAP.

In a block that begins with ```console a line `$ command` is run by sh in the root of the repository, with the program
under test as `loam`; the lines up to the next command are what it must print on both streams. `...` stands for
anything within a line. The model M is the one that script/fetch-model.py finds.
"""
import functools
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import LOAM, ROOT, Fail, add, case, main, tmp  # noqa: E402



def page(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


README, TOUR = page("README.md"), page("doc/tour.md")


def commands(text):
    """[(command, lines it prints)] in the order of the page."""
    out = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.M | re.S):
        assert block.startswith("$ "), block
        for line in block.splitlines():
            if line.startswith("$ "):
                out.append((line[2:], []))
            else:
                out[-1][1].append(line)
    return out


def environment():
    folder = os.path.join(tmp(), "bin")
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(os.path.join(folder, "loam")):
        os.symlink(LOAM, os.path.join(folder, "loam"))
    return {**os.environ, "PATH": folder + ":" + os.environ["PATH"], "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}


def matches(wanted, got):
    return re.fullmatch(".*".join(map(re.escape, wanted.split("..."))), got) is not None


def check(command, wanted):
    run = subprocess.run(["sh", "-c", command], cwd=ROOT, env={**environment(), "M": model()}, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    got = run.stdout.decode("utf-8", "replace").splitlines()
    if len(got) != len(wanted) or not all(map(matches, wanted, got)):
        raise Fail("the page says:\n%s\nbut it prints (status %d):\n%s" % ("\n".join(wanted), run.returncode, "\n".join(got)))


@functools.cache
def model():
    done = subprocess.run([sys.executable, os.path.join(ROOT, "script/fetch-model.py")], capture_output=True, text=True)
    if done.returncode != 0:
        raise Fail(done.stderr)
    return done.stdout.strip()


@case("the model of the examples is the one that is fetched")
def _():
    assert re.search(r"^\$ export M=\S+/" + re.escape(os.path.basename(model())) + r"\b", TOUR, re.M)


COMMANDS = commands(README) + commands(TOUR)
for command, wanted in COMMANDS:
    if command.startswith("export M="):
        continue  # the same file, which LOAM_CACHE may have moved
    add(command[:90], lambda c=command, w=wanted: check(
        c, [x.replace(".cache/models/", "...") for x in w]))


@case("every command of the program has an example")
def _():
    listing = subprocess.run([LOAM, "help"], capture_output=True, text=True).stdout
    names = re.findall(r"^  ([a-z]+) {2,}", listing, re.M)
    shown = {m for c, _ in COMMANDS for m in re.findall(r"\bloam ([a-z]+)", c)}
    assert len(names) >= 9 and set(names) <= shown, set(names) - shown


@case("links, folders and targets that it names exist")
def _():
    pages = [os.path.join("doc", name) for name in os.listdir(os.path.join(ROOT, "doc")) if name.endswith(".md")]
    for path in ["README.md", *pages]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page(path)):
            assert os.path.exists(os.path.join(ROOT, os.path.dirname(path), link)), (path, link)
    for folder in sorted(os.listdir(os.path.join(ROOT, "src"))):
        assert f"`src/{folder}`" in README, folder
    with open(os.path.join(ROOT, "Makefile")) as f:
        targets = set(re.findall(r"^([a-z-]+):.*## ", f.read(), re.M))
    named = {w for line in re.findall(r"\bmake ([a-z ]+)", README + TOUR) for w in line.split()[:1]}
    assert {"demo", "test", "model", "bench", "tidy", "install", "help"} <= named & targets, named - targets
    assert len(README.splitlines()) <= 200


main()
