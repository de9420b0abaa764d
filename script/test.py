#!/usr/bin/env python3
"""Runs test programs that print TAP and says how they ended.

    script/test.py [--only TOKEN] [--jobs N] [--timeout SECONDS] [--san] [--under COMMAND] PROGRAM...

A PROGRAM ending in .py runs with this Python. One line a program; the output of those that failed follows
it. The last line is always `N passed, N failed, N skipped`, where N counts TAP test points. A program
that crashes, runs out of time, prints no plan, or prints another number of points than planned has
one failure more. Exit 1 when anything failed or nothing ran.

Each program finds:
    LOAM_TMP    a folder of its own, removed afterwards
    LOAM_BIN    the program to test, LOAM_BIN_OTHER the same from the other compiler (set by the Makefile)
--san: reports of the sanitizers, also of child processes, are failures. --under: the words before each PROGRAM that is
not a script: an emulator.
"""
import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

OUTPUT_SHOWN = 40_000  # characters of a failing program
PLAN = re.compile(r"^1\.\.(\d+)\s*(?:#\s*(skip\S*)?.*)?$", re.I)
POINT = re.compile(r"^(not )?ok\b(?:\s+\d+)?(.*)$")
DIRECTIVE = re.compile(r"#\s*skip", re.I)


def judge(text, status):
    """(passed, failed, skipped, reasons) of one program's output; status: exit code, or text on a time-out."""
    planned = points = passed = failed = skipped = 0
    plans, reasons = 0, []
    for line in text.splitlines():
        if m := PLAN.match(line):
            plans += 1
            planned += int(m[1])
            if m[1] == "0" and m[2]:
                skipped += 1
        elif m := POINT.match(line):
            points += 1
            if DIRECTIVE.search(m[2]):
                skipped += 1
            elif m[1]:
                failed += 1
            else:
                passed += 1
        elif line.startswith("Bail out!"):
            reasons.append(line)
    if isinstance(status, str):
        reasons.append(status)
    elif status < 0:
        try:
            reasons.append(f"killed by {signal.Signals(-status).name}")
        except ValueError:
            reasons.append(f"killed by signal {-status}")
    elif status > 0 and not failed:
        reasons.append(f"exit {status}")
    if not plans:
        reasons.append("no TAP plan")
    elif points != planned:
        reasons.append(f"{points} of {planned} planned points")
    elif points == 0 and not skipped:
        reasons.append("no test points")
    return passed, failed + bool(reasons), skipped, reasons


def run(program, args):
    tmp = tempfile.mkdtemp(prefix="loam-test-", dir=os.environ.get("LOAM_TMP"))
    env = dict(os.environ, LOAM_TMP=tmp, CMOCKA_MESSAGE_OUTPUT="TAP", PYTHONDONTWRITEBYTECODE="1", LC_ALL="C.UTF-8")
    if args.san:
        common = f"log_path={tmp}/sanitizer:abort_on_error=0:exitcode=99"
        env["ASAN_OPTIONS"] = f"{common}:detect_leaks=1:strict_string_checks=1:allocator_may_return_null=1"
        env["UBSAN_OPTIONS"] = f"{common}:print_stacktrace=1"
        env["TSAN_OPTIONS"] = f"{common}:halt_on_error=0"
    command = [sys.executable, program] if program.endswith(".py") else [*args.under.split(), os.path.join(".", program)]
    began = time.monotonic()
    try:
        # A session of its own, so that a time-out also ends what the program has started.
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, env=env, start_new_session=True)
        try:
            out, _ = child.communicate(timeout=args.timeout)
            status = child.returncode
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            out, _ = child.communicate()
            status = f"no end within {args.timeout} s"
    except OSError as why:
        out, status = b"", f"cannot be started: {why.strerror}"
    text = out.decode("utf-8", "replace")
    passed, failed, skipped, reasons = judge(text, status)
    for name in sorted(os.listdir(tmp)):
        if name.startswith("sanitizer"):
            with open(os.path.join(tmp, name), errors="replace") as f:
                text += f.read()
            reasons.append("sanitizer report")
            failed += 1
    shutil.rmtree(tmp, ignore_errors=True)
    return passed, failed, skipped, reasons, text, time.monotonic() - began


def main():
    p = argparse.ArgumentParser(description="run TAP programs")
    p.add_argument("--only", default="", metavar="TOKEN", help="programs whose name contains TOKEN")
    p.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    p.add_argument("--timeout", type=float, default=float(os.environ.get("LOAM_TEST_TIMEOUT", 600)))
    p.add_argument("--san", action="store_true")
    p.add_argument("--under", default="", metavar="COMMAND", help="what runs the programs, e.g. qemu-aarch64")
    p.add_argument("program", nargs="*")
    args = p.parse_args()
    programs = [x for x in args.program if args.only in x]
    total = [0, 0, 0]
    lock = threading.Lock()

    def one(program):
        *counts, reasons, text, seconds = run(program, args)
        passed, failed, skipped = counts
        with lock:
            for i, n in enumerate(counts):
                total[i] += n
            line = f"{'FAIL' if failed else 'ok' if passed else 'skip':4} {seconds:7.2f} s  {program}: {passed} passed"
            line += f", {failed} failed" if failed else ""
            line += f", {skipped} skipped" if skipped else ""
            print(line + (f" ({'; '.join(reasons)})" if reasons else ""))
            if failed:
                if len(text) > OUTPUT_SHOWN:
                    text = text[:OUTPUT_SHOWN // 2] + "\n[...]\n" + text[-OUTPUT_SHOWN // 2:]
                print("".join(f"    | {x}\n" for x in text.splitlines()), end="")
            elif skipped:
                print("".join(f"    | {x}\n" for x in text.splitlines() if DIRECTIVE.search(x)), end="")
            sys.stdout.flush()

    with ThreadPoolExecutor(max(1, args.jobs)) as pool:
        for done in [pool.submit(one, x) for x in programs]:
            done.result()
    if not programs:
        print(f"no test's name contains {args.only!r}" if args.only else "there are no tests", file=sys.stderr)
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped", flush=True)
    return 1 if total[1] or not programs or not sum(total) else 0


if __name__ == "__main__":
    sys.exit(main())
