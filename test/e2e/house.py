#!/usr/bin/env python3
"""The tools of the house judge rightly: script/tidy.py fires on a file that breaks each of its rules and on
nothing else, script/test.py counts, and sees crashes, time-outs and missing plans."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import ROOT, check, main, tmp  # noqa: E402

TMP = tmp()
HOME_PATH, MARK = "/" + "home/someone/x", "TO" + "DO"  # in pieces, so that this file breaks no rule itself

# path, contents, what must be reported: (line, part of the text)
BAD = [
    ("src/io/a.c", '#include "base/err.h"\n#include "io/b.h"\n#include "tensor/t.h"\n', [(3, "io must not include tensor")]),
    ("src/base/b.c", '#include "text/json.h"\n', [(1, "base must not include text")]),
    ("src/text/c.c", '# include "kern/k.h"\n', [(1, "text must not include kern")]),
    ("src/gen/d.c", '#include "cli/main.h"\n#include "d.h"\n', [(1, "gen must not include cli"), (2, "write it as")]),
    ("src/io/dots.c", '#include "base/../cli/x.h"\n', [(1, "write it as")]),
    ("src/new/e.c", "int e;\n", [(1, "in no row")]),
    ("src/io/f.c", "void f(char *a) {\n    strcpy(a, a);\n    sprintf(a, a);\n    gets(a);\n}\n",
     [(2, "strcpy()"), (3, "sprintf()"), (4, "gets()")]),
    ("test/unit/test_f.c", "int f(char *a) { return atoi(a) + system(a) + (strtok(a, a) != 0); }\n",
     [(1, "atoi()"), (1, "system()"), (1, "strtok()")]),
    ("src/gen/g.c", "void g(void) {\n    exit(1);\n    abort();\n}\n", [(2, "exit()"), (3, "abort()")]),
    ("src/gen/h.c", 'void h(void) {\n    printf("x");\n    fprintf(stderr, "x");\n}\n', [(2, "printf()"), (3, "fprintf()")]),
    ("src/kern/i.c", "float i(float x) {\n    return expf(x) + tanhf (x);\n}\n", [(2, "expf()"), (2, "tanhf()")]),
    ("src/kern/j.c", "#pragma STDC FP_CONTRACT ON\n", [(1, "changes the arithmetic")]),
    ("Makefile", "CFLAGS = -O2 \\\n  -ffast-math\nX = -Ofast -funsafe-math-optimizations\n",
     [(2, "-ffast-math"), (3, "-Ofast"), (3, "-funsafe-math-optimizations")]),
    ("src/io/long.c", "int x;\n" * 901, [(901, "901 lines")]),
    ("src/io/p.h", "/* Proved by test_good.c and\n * fuzz_never.c. */\n", [(2, "names fuzz_never.c")]),
    ("doc/k.md", f"see\n{HOME_PATH}\n", [(2, "path of one machine")]),
    ("run/recipe.json", "{}\n", [(1, "in a folder that the tree does not have")]),
    ("script/l.sh", f"# {MARK}: later\n", [(1, "unfinished")]),
]
GOOD = [
    ("src/cli/main.c", '#include "serve/s.h"\nint main(void) { printf("x"); exit(0); }\n'),
    ("src/io/good.c", '#include <math.h>\n#include "base/err.h"\n/* strcpy() exit(1) expf() */\n// abort()\n'
                      'const char *t = "system(\\"x\\") printf(";\nint a(s *x) { return x->exit(1) + x.log(2); }\n'
                      "int my_exit(int);\nint n = my_exit(1), m = snprintf(0, 0, 0);\n"),
    ("test/unit/test_good.c", "double d(double x) { printf(0); return exp(x); }\n"),
    ("src/io/fits.c", "int x;\n" * 900),
    ("doc/good.md", "`/usr/share/doc`, `path/home/x` and https://example.org/home/page\n"),
]

def put(folder, path, text):
    full = os.path.join(folder, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "w") as f:
        f.write(text)
    return full


def tidy(folder, *options):
    done = subprocess.run([sys.executable, os.path.join(ROOT, "script/tidy.py"), "--root", folder, *options],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = [(m[1], int(m[2]), m[3]) for m in re.finditer(r"^(\S+?):(\d+): (.*)$", done.stdout, re.M)]
    return done, found


def tidy_rules():
    tree = os.path.join(TMP, "tree")
    for path, text in [b[:2] for b in BAD] + GOOD:
        put(tree, path, text)
    subprocess.run(["git", "init", "-q", tree], check=True)
    done, found = tidy(tree, "--no-tools")
    for path, _, wanted in BAD:
        got = [(line, text) for p, line, text in found if p == path]
        right = len(got) == len(wanted) and all(any(g[0] == w[0] and w[1] in g[1] for g in got) for w in wanted)
        check(right, f"tidy sees what is wrong in {path}", f"wanted {wanted}\ngot {got}")
    for path, _ in GOOD:
        got = [x for x in found if x[0] == path]
        check(not got, f"tidy leaves {path} alone", got)
    count = re.search(r"^tidy: (\d+) files, (\d+) findings$", done.stdout.splitlines()[-1])
    check(done.returncode == 1 and count and int(count[2]) == len(found) > 0, "tidy counts and fails", done.stdout)
    clean = os.path.join(TMP, "clean")
    put(clean, *GOOD[0])
    subprocess.run(["git", "init", "-q", clean], check=True)
    done, found = tidy(clean, "--no-tools")
    check(done.returncode == 0 and done.stdout == "tidy: 1 files, 0 findings\n", "tidy passes a clean tree", done.stdout)


RUNS = [  # a program's body, the last line, part of its report
    ("good", "print('1..2\\nok 1 - a\\nok 2 - b # SKIP no reason')", "1 passed, 0 failed, 1 skipped", "1 passed"),
    ("bad", "print('1..2\\nok 1 - a\\nnot ok 2 - b\\n# why')\nsys.exit(1)", "1 passed, 1 failed, 0 skipped", "| # why"),
    ("crash", "print('1..1\\nok 1 - a', flush=True)\nos.abort()", "1 passed, 1 failed, 0 skipped", "killed by SIGABRT"),
    ("silent", "pass", "0 passed, 1 failed, 0 skipped", "no TAP plan"),
    ("short", "print('1..3\\nok 1 - a')", "1 passed, 1 failed, 0 skipped", "1 of 3 planned points"),
    ("slow", "print('1..1\\nok 1', flush=True)\ntime.sleep(60)", "1 passed, 1 failed, 0 skipped", "no end within 2.0 s"),
    ("exit", "print('1..1\\nok 1')\nsys.exit(3)", "1 passed, 1 failed, 0 skipped", "exit 3"),
    ("empty", "print('1..0')", "0 passed, 1 failed, 0 skipped", "no test points"),
    ("allskip", "print('1..0 # SKIP not here')", "0 passed, 0 failed, 1 skipped", "skip"),
    ("report", "print('1..1\\nok 1')\nopen(os.environ['LOAM_TMP'] + '/sanitizer.1', 'w').write('ERROR: x')",
     "1 passed, 1 failed, 0 skipped", "sanitizer report"),
]


def runner():
    def run(*args):
        done = subprocess.run([sys.executable, os.path.join(ROOT, "script/test.py"), *args], cwd=TMP,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    for name, body, last, part in RUNS:
        put(TMP, f"run_{name}.py", f"import os, sys, time\n{body}\n")
        status, out = run("--timeout", "2", "--san", f"run_{name}.py")
        right = out.splitlines()[-1] == last and part in out and (status == 0) == (" 0 failed" in last)
        check(right, f"the runner judges a program: {name}", f"exit {status}\n{out}")
    status, out = run("run_good.py", "run_bad.py", "run_allskip.py")
    check(status == 1 and out.splitlines()[-1] == "2 passed, 1 failed, 2 skipped", "the runner adds up", out)
    status, out = run("--only", "good", "run_good.py", "run_bad.py")
    check(status == 0 and "run_bad" not in out, "the runner picks by name", out)
    status, out = run("--only", "nothing", "run_good.py")
    check(status == 1 and out.splitlines()[-1] == "0 passed, 0 failed, 0 skipped", "running nothing is a failure", out)
    status, out = run("run_none")
    check(status == 1 and "cannot be started" in out, "a missing program is a failure", out)


tidy_rules()
runner()
main()
