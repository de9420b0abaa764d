#!/usr/bin/env python3
"""The man pages that `loam help --man` makes: one for each command, faultless for groff and for mandoc, with every option,
and the environment variables that the sources read. Prints TAP."""
import functools
import glob
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import ROOT, case, loam, main, tmp  # noqa: E402


@functools.cache
def pages():
    folder = os.path.join(tmp(), "man")
    os.mkdir(folder)
    loam("help", "--man", folder)
    return sorted(glob.glob(folder + "/*"))


@functools.cache
def shown(name):
    """A page as text of one long line, without hyphenation."""
    page, = [p for p in pages() if os.path.basename(p) == name + ".1"]
    done = subprocess.run(["groff", "-man", "-Tascii", "-P-cbou", "-rHY=0", "-rLL=1000n", page],
                          capture_output=True, text=True, check=True)
    return done.stdout


def commands_of(help_text):
    return re.findall(r"^  ([a-z]+) {2,}\S", help_text, re.M)


@functools.cache
def commands():
    found = [[name] for name in commands_of(loam("help").stdout)]
    for name, in list(found):
        text = loam("help", name).stdout
        if f"usage: loam {name} COMMAND [" in text:
            found += [[name, sub] for sub in commands_of(text)]
    return found


@case("there is a page for the program and for each command")
def _():
    names = ["-".join(["loam", *c]) + ".1" for c in [[], *commands()]]
    assert len(names) > 40
    assert [os.path.basename(p) for p in pages()] == sorted(names)


@case("groff and mandoc have nothing to say of any of them")
def _():
    said = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", *pages()], capture_output=True, text=True)
    assert said.returncode == 0 and not said.stderr + said.stdout, said
    said = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *pages()], capture_output=True, text=True)
    assert said.returncode == 0 and not said.stdout, said.stdout


@case("each has what --help has: summary, usage, options with their explanations, paragraphs, examples")
def _():
    for c in commands():
        text, page = loam(*c, "--help").stdout, shown("-".join(["loam", *c]))
        flat = re.sub(r"\s+", " ", page)
        for name in re.findall(r"^  (?:-\w, |    )--([a-z0-9-]+)", text, re.M):
            assert f"--{name}" in flat, (c, name)
        usage = re.search(r"^usage: (.*)$", text, re.M)[1]
        assert usage in flat, (c, usage)
        for line in re.findall(r"^  (loam .*)$", text, re.M):
            assert re.sub(r"\s+", " ", line) in flat, (c, line)
        text = re.sub(r"^`loam .* explains one of them\.$", "", text, flags=re.M)  # which SEE ALSO does in a page
        for word in re.sub(r"^usage:|\s+|^loam [a-z ]+:", " ", text, flags=re.M).split():
            assert word in flat or word.removesuffix(":") in flat, (c, word)


@case("loam.1 names every environment variable that the sources read, and no other")
def _():
    read = set()
    for path in glob.glob(os.path.join(ROOT, "src/*/*.c")):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        read |= set(re.findall(r'getenv\("(\w+)"\)', text))
        read |= set(re.findall(r'"((?:LOAM|HF|XDG|OLLAMA)_[A-Z_]+)"', text))
    section = re.search(r"^ENVIRONMENT$(.*?)^FILES$", shown("loam"), re.M | re.S)[1]
    named = set(re.findall(r"[A-Z_]+", " ".join(re.findall(r"^ {7}(\S.*?)(?:  .*)?$", section, re.M))))
    assert named == read, named ^ read


@case("the same bytes whatever the terminal and the language")
def _():
    other = os.path.join(tmp(), "other")
    os.mkdir(other)
    loam("help", "--man", other, env={**os.environ, "COLUMNS": "40", "LC_ALL": "C", "TERM": "dumb"})
    for path in pages():
        with open(path, "rb") as a, open(os.path.join(other, os.path.basename(path)), "rb") as b:
            assert a.read() == b.read(), path


@case("no folder, or words beside --man, is an error")
def _():
    assert "no-such-folder" in loam("help", "--man", os.path.join(tmp(), "no-such-folder"), want=1).stderr
    loam("help", "--man", tmp(), "run", want=2)


main()
