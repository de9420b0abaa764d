#!/usr/bin/env python3
"""What `make install` brings is whole and works from where it stands: the program, the library for other programs with its
pkg-config file. Nothing is linked anew for it: other tests run the program meanwhile. Prints TAP."""
import functools
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import LOAM, ROOT, case, main, tmp  # noqa: E402

BUILD = os.path.dirname(LOAM)
MODEL = os.path.join(ROOT, "models", "homeworld", "model.gguf")


def sh(*command, **options):
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    assert done.returncode == 0, "%s: status %d\n%s" % (" ".join(map(str, command)), done.returncode, done.stdout)
    return done.stdout


def page(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def make_install(*variables):
    before = os.stat(LOAM)
    sh("make", "-s", "install-built", "BUILD=" + BUILD, *variables, cwd=ROOT)
    assert os.stat(LOAM).st_mtime_ns == before.st_mtime_ns, "linked anew, while other tests run it"


@functools.cache
def installed():
    """A prefix of its own, as somebody without rights does it."""
    make_install("PREFIX=" + os.path.join(tmp(), "local"))
    return os.path.join(tmp(), "local")


def pkg_config(*words):
    """Asks for loam of the installed tree and nothing else of it."""
    place = os.path.join(installed(), "lib/pkgconfig")
    return sh("pkg-config", *words, "loam", env={**os.environ, "PKG_CONFIG_PATH": place}).split()


@case("what is installed names where it is, and nothing of where it was made")
def _():
    there = installed()
    for name in "share/man/man1/loam-data-build.1", "share/bash-completion/completions/loam", "share/zsh/site-functions/_loam", \
            "share/fish/vendor_completions.d/loam.fish", "share/systemd/user/loam.service", "share/doc/loam/tour.md":
        assert os.path.isfile(os.path.join(there, name)), name
    for name in "lib/systemd/system/loam.service", "lib/pkgconfig/loam.pc":
        text = page(os.path.join(there, name))
        assert there in text and ROOT not in text and "@" not in text.replace("@system-service", "").replace(
            "@privileged @resources", ""), text


@case("the version is one, wherever it stands")
def _():
    version, = re.findall(r'^#define LOAM_VERSION "(.*)"$', page("include/loam.h"), re.M)
    assert sh(os.path.join(installed(), "bin/loam"), "--version") == f"loam {version}\n"
    assert pkg_config("--modversion") == [version]


@case("the library shows the names of its header and no others")
def _():
    declared = set(re.findall(r"\b(loam_\w+)\(", re.sub(r"/\*.*?\*/", "", page("include/loam.h"), flags=re.S)))
    shown = sh("nm", "-g", "--defined-only", os.path.join(installed(), "lib/libloam.a"))
    assert set(re.findall(r" [A-Z] (\w+)$", shown, re.M)) == declared


@case("the example is built with what pkg-config says, and answers")
def _():
    for compiler in "gcc", "clang":
        program = os.path.join(tmp(), "embed-" + compiler)
        sh(compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", "-o", program, os.path.join(ROOT, "example/embed.c"),
           *pkg_config("--static", "--cflags", "--libs"))
        said = sh(program, MODEL, cwd=tmp())
        assert re.search(r"^text: Q: What is Maro by trade\?\nA: A cook\.", said, re.M), said
        assert re.search(r'^next: \d+ " A" ', said, re.M) and "alike: 1.0000\n" in said, said
        failed = subprocess.run([program, "no-such.gguf"], capture_output=True, text=True)
        assert failed.returncode == 1 and failed.stderr.startswith("embed: no-such.gguf: "), failed


@case("each library that pkg-config names is needed, and it names no more than those that tokenizers and JSON need")
def _():
    libraries = [x for x in pkg_config("--static", "--libs") if x.startswith("-l")]
    assert sorted(libraries) == ["-ljansson", "-lloam", "-lm", "-lpcre2-8", "-lutf8proc"], libraries
    needed = sh("readelf", "-d", os.path.join(tmp(), "embed-gcc"))
    for name in libraries:
        assert name == "-lloam" or re.search(r"NEEDED.*\blib%s\.so" % re.escape(name[2:]), needed), (name, needed)


@case("the header is C++ too")
def _():
    source = os.path.join(tmp(), "face.cc")
    with open(source, "w") as f:
        f.write("#include <loam.h>\nint main() { loam_generation g = {}; return loam_api() - LOAM_API + (int)g.n_stops; }\n")
    program = os.path.join(tmp(), "face")
    sh("g++", "-Wall", "-Wextra", "-Werror", "-o", program, source, *pkg_config("--static", "--cflags", "--libs"))
    sh(program)


main()
