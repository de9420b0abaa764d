#!/usr/bin/env python3
"""loam demo, and the model that comes with the repository. Prints TAP."""
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import LOAM, case, loam, main, note, tmp  # noqa: E402


@case("demo: makes the model that every machine makes, which answers rightly, in time")
def _():
    begun = time.monotonic()
    folder = os.path.join(tmp(), "kept")
    out = json.loads(loam("demo", folder, "--json", timeout=600).stdout)
    note("%.0f s" % (time.monotonic() - begun))
    assert out["weights"] == out["expected"] and len(out["answers"]) == 3
    assert all(a["right"] and a["answer"].strip() for a in out["answers"]), out["answers"]
    last = json.loads(open(os.path.join(folder, "model", "chain.jsonl")).readlines()[-1])
    assert last["weights"] == out["weights"]
    assert "feed-forward" in loam("show", os.path.join(folder, "model")).stdout
    again = loam("demo", folder, want=2)
    assert "name a folder that is not there yet" in again.stderr


@case("demo: Ctrl-C ends it and leaves nothing behind")
def _():
    place = os.path.join(tmp(), "place")
    os.mkdir(place)
    run = subprocess.Popen([LOAM, "demo"], env={**os.environ, "TMPDIR": place}, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not any(name.startswith("ckpt") or name == "chain.jsonl" for _, folders, files in os.walk(place)
                  for name in folders + files):
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)
    run.communicate(timeout=60)
    assert run.returncode == 130, run.returncode
    assert os.listdir(place) == []


main()
