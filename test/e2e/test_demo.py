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


@case("demo: makes the models that every machine makes, which answer rightly")
def _():
    begun = time.monotonic()
    folder = os.path.join(tmp(), "kept")
    out = json.loads(loam("demo", folder, "--json", timeout=600).stdout)
    note("%.0f s" % (time.monotonic() - begun))
    assert out["well"] and len(out["model"]) == len(out["without"]) == 3
    assert [a["right"] for a in out["model"]] == [True, True, True], out["model"]
    assert [a["right"] for a in out["without"]] == [False, True, True], out["without"]
    assert all(a["answer"].strip() for a in out["model"] + out["without"])
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
