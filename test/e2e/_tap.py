"""What the end-to-end tests share: cases that print TAP, and running the program. Standard library only.

    from _tap import case, loam, main

    @case("prints its version")
    def _():
        assert loam("--version").stdout

    main()

A case fails by an exception; its text becomes the diagnostics. The program is LOAM_BIN, or build/loam. Files go
to tmp(), a folder under LOAM_TMP that is removed at the end. Words on the command line choose the cases whose names
contain one of them.
"""
import atexit
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
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


class Terminal:
    """The program on a terminal of its own: type, and wait for what it shows."""

    def __init__(self, *args, env=None):
        self.shown = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execve(LOAM, [LOAM, *map(str, args)], os.environ if env is None else env)
            finally:
                os._exit(127)

    def wait(self, text, seconds=60):
        """Reads until `text` appears after what was waited for before; returns what stood before it."""
        end = time.time() + seconds
        while text not in self.shown:
            assert time.time() < end, (text, self.shown[-2000:])
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    more = os.read(self.fd, 65536)
                except OSError:
                    more = b""
                assert more, (text, self.shown[-2000:])
                self.shown += more
        before, _, self.shown = self.shown.partition(text)
        return before

    def type(self, keys):
        """Types when the line editor reads keys, which is a moment after its prompt shows: what is typed before is echoed
        twice or lost. Ctrl-C is for any time."""
        end = time.time() + 60
        while keys != b"\x03" and termios.tcgetattr(self.fd)[3] & termios.ICANON and time.time() < end:
            time.sleep(0.005)
        os.write(self.fd, keys)

    def end(self, seconds=30):
        """Exit code, or minus the signal."""
        end, open_ = time.time() + seconds, True
        while time.time() < end:
            if open_ and select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.shown += os.read(self.fd, 65536)
                except OSError:
                    open_ = False  # all is read
            pid, status = (0, 0) if open_ else os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
            if not open_:
                time.sleep(0.005)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"did not end: {self.shown[-2000:]}")


def note(text):
    """Lines for people to read, whether the case passes or not."""
    print("".join("# %s\n" % line for line in str(text).splitlines()), end="", flush=True)


def add(name, function):
    _cases.append((name, function))


def check(good, name, detail=""):
    """A case that is decided already."""
    def tell():
        if not good:
            raise Fail(str(detail) or "not so")
    add(name, tell)


def case(name):
    def register(function):
        add(name, function)
        return function
    return register


def main():
    cases = [c for c in _cases if not sys.argv[1:] or any(word in c[0] for word in sys.argv[1:])]
    print("1..%d" % len(cases), flush=True)
    failed = 0
    for i, (name, function) in enumerate(cases, 1):
        text = None
        try:
            function()
        except Fail as e:
            text = str(e)
        except Exception:
            text = traceback.format_exc()
        failed += text is not None
        print("%s %d - %s" % ("ok" if text is None else "not ok", i, name.replace("#", " ")))
        note(text or "")
    sys.exit(1 if failed else 0)
