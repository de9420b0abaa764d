"""What the end-to-end tests share: cases that print TAP, and running the program. Standard library only.

    from _tap import case, loam, main

    @case("prints its version")
    def _():
        assert loam("--version").stdout

    main()

A case fails by an exception; its text becomes the diagnostics. The program is LOAM_BIN, or build/loam. Files go
to tmp(), a folder under LOAM_TMP that is removed at the end.
"""
import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOAM = os.path.abspath(os.environ.get("LOAM_BIN", os.path.join(ROOT, "build", "loam")))
_cases = []
_tmp = None


class Fail(Exception):
    """A failure that needs no traceback: the text says it all."""


def tmp():
    global _tmp
    if _tmp is None:
        _tmp = tempfile.mkdtemp(dir=os.environ.get("LOAM_TMP"))
        atexit.register(shutil.rmtree, _tmp, ignore_errors=True)
    return _tmp


def loam(*args, want=0, timeout=120, **options):
    """Runs the program; anything but the wanted exit status (None: any) fails the case."""
    options.setdefault("text", True)
    run = subprocess.run([LOAM, *map(str, args)], capture_output=True, timeout=timeout, **options)
    if want is not None and run.returncode != want:
        err = run.stderr if isinstance(run.stderr, str) else run.stderr.decode("utf-8", "replace")
        raise Fail("loam %s: status %d instead of %d\n%s" % (" ".join(map(str, args))[:200], run.returncode, want,
                                                             err.strip()))
    return run


def add(name, function):
    _cases.append((name, function))


def case(name):
    def register(function):
        add(name, function)
        return function
    return register


def main():
    print("1..%d" % len(_cases), flush=True)
    failed = 0
    for i, (name, function) in enumerate(_cases, 1):
        text = None
        try:
            function()
        except Fail as e:
            text = str(e)
        except Exception:
            text = traceback.format_exc()
        failed += text is not None
        print("%s %d - %s" % ("ok" if text is None else "not ok", i, name.replace("#", " ")))
        if text is not None:
            print("".join("# %s\n" % line for line in text.splitlines()), end="")
        sys.stdout.flush()
    sys.exit(1 if failed else 0)
