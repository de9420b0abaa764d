#!/usr/bin/env python3
"""make tidy: what no compiler checks. Prints FILE:LINE: TEXT for each finding and ends with their number.

    script/tidy.py [--root FOLDER] [--no-tools]

Over the files git knows or would add: layering of includes, who may print and exit, banned calls and flags,
length of files, machine paths, unfinished marks and strange folders; then clang-format and cppcheck (--no-tools: without
these two). A rule is a function that yields findings; test/e2e/tidy_rules.py shows each one a file that breaks it.
"""
import argparse
import bisect
import glob
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT_FOLDERS = "src include example debian test doc bench script models share .ci".split()

# A folder includes itself and the rows below; folders of one row do not see each other.
LAYERS = ["base", "text kern", "io tensor", "tok model store world sign", "gen train trace hub", "tune", "view card api", "serve", "cli"]
ROW = {folder: i for i, row in enumerate(LAYERS) for folder in row.split()}

LINES_MAX = 900
LENGTH_CHECKED = re.compile(r"^(src|test|script|web)/.*\.(c|h|py|sh|js|css|html)$")

# In every C file: no bounds, hidden state, or a shell.
UNSAFE = "strcpy strcat sprintf vsprintf gets atoi atol atof strtok system popen tmpnam mktemp alloca"
# Outside cli/: a library neither ends the program nor talks to the user.
ENDS = "exit _exit _Exit quick_exit abort"
PRINTS = "printf vprintf puts putchar fprintf vfprintf fputs fputc putc fwrite perror"
# Outside tests: libm's results differ by version and CPU. fmaf, fma and sqrt are exact by IEEE 754.
INEXACT_NAMES = ("exp exp2 exp10 expm1 log log2 log10 log1p pow sin cos tan asin acos atan atan2 sincos "
                 "sinh cosh tanh asinh acosh atanh erf erfc tgamma lgamma cbrt hypot")
INEXACT = " ".join(n + suffix for n in INEXACT_NAMES.split() for suffix in ("", "f", "l"))

BANNED_FLAGS = re.compile(r"-ffast-math|-Ofast|-funsafe-math\S*|-fassociative-math|-freciprocal-math|"
                          r"-ffinite-math-only|-ffp-contract=(?:fast|on)|-mdaz-ftz|-fno-signed-zeros")
BANNED_PRAGMAS = re.compile(r"fast-math|unsafe-math|FP_CONTRACT\s+ON|_MM_SET_FLUSH_ZERO_MODE|fp\s+(contract|reassociate)")
MACHINE_PATH = re.compile(r"(?<![\w.}/$-])/(?:" + "work|home|root|Users|mnt" + r")/[\w.-]+|(?<![\w.}/$-])/tmp/" + r"ref\b")
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")


def call_of(names):
    # not a member, not part of a longer name, not a declaration's name after a type
    return re.compile(r"(?<![\w.>])(" + "|".join(names.split()) + r")\s*\(")


CALLS_UNSAFE, CALLS_END, CALLS_PRINT, CALLS_INEXACT = map(call_of, (UNSAFE, ENDS, PRINTS, INEXACT))
TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code_only(text):
    """The text with comments and the contents of literals blanked; offsets and lines stay."""
    return TOKENS.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)


class File:
    def __init__(self, root, path):
        self.root, self.path = root, path
        with open(os.path.join(root, path), "rb") as f:
            raw = f.read()
        self.binary = b"\0" in raw[:8192]
        self.text = "" if self.binary else raw.decode("utf-8", "replace")
        self.starts = [0] + [m.end() for m in re.finditer("\n", self.text)]
        self.is_c = path.endswith((".c", ".h"))
        self.code = code_only(self.text) if self.is_c else ""

    def at(self, offset, text):
        return self.path, bisect.bisect_right(self.starts, offset), text

    def find(self, pattern, text, where=None):
        for m in pattern.finditer(self.code if where is None else where):
            yield self.at(m.start(), text.format(m[1] if m.re.groups and m[1] else m[0]))


def layering(f):
    m = re.match(r"src/(\w+)/", f.path)
    if not f.is_c or not m:
        return
    here = m[1]
    if here not in ROW:
        yield f.path, 1, f"src/{here} is in no row of the layers (script/tidy.py: LAYERS)"
        return
    for inc in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*"([^"]*)"', f.text, re.M):
        there = inc[1].split("/")[0] if "/" in inc[1] else None
        if there is None or there not in ROW or ".." in inc[1]:
            yield f.at(inc.start(), f'include "{inc[1]}": write it as "folder/file.h" from src')
        elif there != here and ROW[there] >= ROW[here]:
            yield f.at(inc.start(), f"{here} must not include {there} (only itself and rows below)")


def calls(f):
    if not f.is_c:
        return
    yield from f.find(CALLS_UNSAFE, "{}() is banned")
    in_src = f.path.startswith("src/")
    if in_src and not f.path.startswith("src/cli/"):
        yield from f.find(CALLS_END, "{}() outside cli: return an error")
        yield from f.find(CALLS_PRINT, "{}() outside cli: only cli prints")
    if in_src or f.path.startswith("bench/"):
        yield from f.find(CALLS_INEXACT, "{}() of libm differs from machine to machine; use kern's own")
        yield from f.find(BANNED_PRAGMAS, "{}: changes the arithmetic", f.text)


def flags(f):
    if re.search(r"(^|/)Makefile$|\.mk$|^\.ci/|\.sh$|CMakeLists", f.path):
        yield from f.find(BANNED_FLAGS, "{} changes the arithmetic", f.text)


def length(f):
    n = f.text.count("\n")
    if LENGTH_CHECKED.match(f.path) and n > LINES_MAX:
        yield f.path, n, f"{n} lines; split it into chapters of at most {LINES_MAX}"


def marks(f):
    if f.path.startswith("test/fuzz/corpus/") or f.path == "LICENSE":
        return
    yield from f.find(UNFINISHED, "unfinished: {}", f.text)
    yield from f.find(MACHINE_PATH, "path of one machine: {}", f.text)


def proofs(f):
    """A test that is named in src must be there: a proof nobody wrote is worse than none."""
    if not f.is_c or not f.path.startswith("src/"):
        return
    for m in re.finditer(r"\b(?:test|fuzz)_\w+\.(?:c|py)\b", f.text):
        if not glob.glob(os.path.join(f.root, "test", "*", m[0])):
            yield f.at(m.start(), f"names {m[0]}, which is not in test/")


def place(f):
    """What a session leaves beside the tree (a run, a data set) must not be committed with it."""
    if "/" in f.path and f.path.split("/")[0] not in ROOT_FOLDERS:
        yield f.path, 1, "in a folder that the tree does not have"


RULES = [layering, calls, flags, length, marks, proofs, place]


def tracked(root):
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=root, check=True,
                         stdout=subprocess.PIPE).stdout.decode()
    return sorted(p for p in set(out.split("\0")) if p and os.path.isfile(os.path.join(root, p)))


def tool(root, command, files):
    """Findings of a compiler-like tool: lines FILE:LINE[:COLUMN]: TEXT."""
    done = subprocess.run(command + files, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = [(m[1], int(m[2]), m[3]) for m in re.finditer(r"^([^\s:]+):(\d+)(?::\d+)?: (.*)$", done.stdout, re.M)
             if not m[3].startswith("note:")]
    if done.returncode and not found:
        found.append((command[0], done.returncode, done.stdout.strip()[-2000:]))
    return found


def tools(root, paths):
    c = [p for p in paths if re.match(r"(src|test|bench|include|example)/.*\.[ch]$", p)]
    if not c:
        return []
    jobs = [(["clang-format", "--dry-run", "--Werror", "--ferror-limit=5"], c[i::2]) for i in range(2)]
    units = [p for p in c if p.startswith("src/") and p.endswith(".c")]
    cpp = ["cppcheck", "--quiet", "--std=c11", "--enable=warning,portability", "--inline-suppr", "--error-exitcode=1",
           "--suppress=missingInclude", "--suppress=preprocessorErrorDirective", "--suppress=unknownMacro", "--suppress=internalAstError", "--suppress=invalidPointerCast",
           "--suppress=arrayIndexOutOfBoundsCond",
           # wrong in more than one place; the sanitizers find the real ones
           "--suppress=memleak", "--suppress=legacyUninitvar", "--suppress=ctuuninitvar", "--suppress=funcArgOrderDifferent",
           "--check-level=normal", "--template={file}:{line}: {severity}: {message} [{id}]", "-D__x86_64__",
           "-DKERN_HAVE_scalar=1", "-DKERN_ISA=scalar", "-Isrc", "-Iinclude"]
    if "--check-level" not in subprocess.run(["cppcheck", "--help"], stdout=subprocess.PIPE, text=True).stdout:
        cpp.remove("--check-level=normal")
    tidy = ["clang-tidy", "--quiet", "--warnings-as-errors=*"]
    after = ["--", "-std=c11", "-D_GNU_SOURCE", "-Isrc", "-Iinclude", "-DKERN_ISA=scalar", "-DKERN_HAVE_scalar=1"]
    jobs += [(cpp, units)] if units else []
    jobs += [(tidy, units[i::2] + after) for i in range(2) if units[i::2]]
    with ThreadPoolExecutor(2) as pool:
        return [x for found in pool.map(lambda j: tool(root, *j), jobs) for x in found]


def main():
    p = argparse.ArgumentParser(description="checks of style and structure")
    p.add_argument("--root", default=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    p.add_argument("--no-tools", action="store_true")
    args = p.parse_args()
    paths = tracked(args.root)
    found = []
    for path in paths:
        f = File(args.root, path)
        for rule in RULES if not f.binary else []:
            found.extend(rule(f))
    if not args.no_tools:
        found += tools(args.root, paths)
    root = os.path.join(os.path.abspath(args.root), "")
    for path, line, text in sorted({(p.replace(root, ""), n, t) for p, n, t in found}):
        print(f"{path}:{line}: {text}")
    print(f"tidy: {len(paths)} files, {len(set(found))} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
