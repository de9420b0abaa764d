#!/usr/bin/env python3
"""Completion: what `loam help --complete` offers, and what becomes of a command line when somebody presses Tab in bash, zsh
and fish, each run for real on a terminal. Prints TAP."""
import os
import pty
import re
import select
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import LOAM, ROOT, add, case, loam, main, tmp  # noqa: E402

SCRIPTS = os.path.join(ROOT, "share/loam/completion")


def offers(*words):
    """[word or directive] for the command line `loam WORDS`."""
    out = loam("help", "--complete", "--", *words, cwd=place(), env=environment()).stdout
    return [line.split("\t")[0] for line in out.splitlines()]


def place():
    """A folder with files of every kind, where the shells start; models of the registry come from a home of its own."""
    folder = os.path.join(tmp(), "here")
    if not os.path.isdir(folder):
        os.makedirs(os.path.join(folder, "models", "pocket-model"))
        os.makedirs(os.path.join(folder, "some-run"))
        for name in "weights.gguf", "worlds.db", "notes.txt", "with blank.gguf":
            open(os.path.join(folder, name), "w").close()
        os.makedirs(os.path.join(tmp(), "bin"))
        os.symlink(LOAM, os.path.join(tmp(), "bin", "loam"))
        loam("pull", os.path.join(ROOT, "models/homeworld/model.gguf"), "--name", "org/tiny:Q8_0", env=environment())
    return folder


def environment():
    return {"PATH": os.path.join(tmp(), "bin") + ":" + os.environ["PATH"], "HOME": tmp(), "TERM": "xterm", "LC_ALL": "C.UTF-8",
            "LOAM_HOME": os.path.join(tmp(), "registry"), "fish_greeting": "", "COLUMNS": "200"}


@case("commands, commands of commands, and those of help")
def _():
    assert offers("ru") == ["run", "runs"]
    assert offers("data", "b") == offers("help", "data", "b") == ["build"]
    assert {"run", "serve", "data"} <= set(offers("")) and offers("--v") == ["--version"]
    assert offers("help", "tok") == ["tokenize", "tokenizer"] and offers("no-such", "x") == []


@case("options, their choices, and their values")
def _():
    assert offers("run", "m", "--te") == ["--temp", "--template", "--template-vars"]
    assert "--stop" in offers("run", "--stop", "--stop", "--st")
    assert offers("run", "--isa", "av") == ["avx512", "avxvnni", "avx2"]
    assert offers("run", "--isa=av") == ["--isa=avx512", "--isa=avxvnni", "--isa=avx2"]
    assert "--no-json" in offers("run", "--no-j") and offers("run", "-n", "") == []
    assert offers("run", "-n8", "--", "--te") == [":files .gguf"] and offers("run", "-f", "") == [":files"]
    assert offers("chat", "m", "--template", "") == ["chatml", "gemma", "llama3", "plain", ":files"]
    assert offers("train", "r", "--data", "home") == ["homeworld:", ":files .db"]


@case("arguments by their place in the usage line")
def _():
    assert offers("run", "p") == ["pocket-model", ":files .gguf"]
    assert offers("run", "org") == ["org/tiny:Q8_0", ":files .gguf"]
    assert offers("rm", "") == offers("rm", "a", "b", "") == ["org/tiny:Q8_0"]
    assert {"homeworld", "memorisation"} <= set(offers("eval", "-n", "5", "m", ""))
    assert offers("quantize", "m", "") == [":files .gguf", ":folders"] and "Q4_K_M" in offers("quantize", "m", "o.gguf", "Q4_K")
    assert offers("trace", "") == ["index", ":files .db", ":folders"] and offers("trace", "index", "") == [":files .db", "-"]
    assert offers("data", "build", "") == [":files .db"]
    assert offers("data", "build", "o.db", "a", "b", "") == [":files"]
    assert offers("logits", "m", "x", "") == [] and offers("verify", "") == [":folders"]


# ---- real shells ----


class Shell:
    """A shell on a terminal, at a prompt."""

    def __init__(self, *command):
        place()
        self.shown = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(place())
            os.execvpe(command[0], command, environment())

    def wait(self, text, seconds=30):
        end = time.time() + seconds
        while text not in self.shown:
            assert time.time() < end, (text, self.shown[-2000:])
            if select.select([self.fd], [], [], 0.1)[0]:
                self.shown += os.read(self.fd, 65536)
        before, _, self.shown = self.shown.partition(text)
        return before

    def type(self, keys):
        os.write(self.fd, keys)

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def bash():
    s = Shell("bash", "--norc", "--noprofile", "-i")
    s.type(b"bind 'set enable-bracketed-paste off'; source %s/loam.bash; PS1='READ''Y>'\n" % SCRIPTS.encode())
    return s


def zsh():
    s = Shell("zsh", "-f", "-i")
    s.type(b"fpath=(%s $fpath); autoload -Uz compinit; compinit -u -D; unset zle_bracketed_paste; PS1='READ''Y>'\n"
           % SCRIPTS.encode())
    return s


def fish():
    s = Shell("fish", "--no-config", "-i")
    s.type(b"source %s/loam.fish; function fish_prompt; echo -n READ''Y'>'; end; clear\n" % SCRIPTS.encode())
    return s


# What is typed before Tab, and the words of the command line afterwards.
LINES = [
    ("loam perp", ["loam", "perplexity"]),
    ("loam data bu", ["loam", "data", "build"]),
    ("loam run weights.gguf --ignore", ["loam", "run", "weights.gguf", "--ignore-eos"]),
    ("loam run --isa=sc", ["loam", "run", "--isa=scalar"]),
    ("loam run --isa sc", ["loam", "run", "--isa", "scalar"]),
    ("loam run pocket", ["loam", "run", "pocket-model"]),
    ("loam run org/tiny:Q", ["loam", "run", "org/tiny:Q8_0"]),
    ("loam run wei", ["loam", "run", "weights.gguf"]),
    ("loam run with", ["loam", "run", "with blank.gguf"]),
    ("loam run -f no", ["loam", "run", "-f", "notes.txt"]),
    ("loam data list w", ["loam", "data", "list", "worlds.db"]),
    ("loam verify so", ["loam", "verify", "some-run"]),
    ("loam eval m mem", ["loam", "eval", "m", "memorisation"]),
    ("loam quantize m o.gguf Q6", ["loam", "quantize", "m", "o.gguf", "Q6_K"]),
]


def press_tab(s, typed, seconds):
    """The words of the line after Tab: by keys at its beginning and end it becomes a printf, which is run."""
    s.type(typed.encode() + b"\t")
    time.sleep(seconds)  # keys that come while the shell asks the program may count as pasted text
    s.type(b"\x01printf '<%s>' \x05; echo EN''D\n")
    got = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[>=]", b"", s.wait(b"END\r"))
    s.wait(b"READY>")
    return [w.rstrip("/") for w in re.findall(r"<([^<>%]*)>", got.decode("utf-8", "replace"))]


def completes(start):
    assert shutil.which(start.__name__), "not installed: see script/deps.sh"
    s = start()
    try:
        s.wait(b"READY>")
        for typed, wanted in LINES:
            for seconds in 0.2, 1, 4:  # on a busy machine the program may need a while
                words = press_tab(s, typed, seconds)
                if words == wanted:
                    break
            assert words == wanted, (typed, words)
    finally:
        s.close()


for shell in bash, zsh, fish:
    add(f"{shell.__name__} completes commands, options, choices, models, files and folders", lambda s=shell: completes(s))

main()
