#!/usr/bin/env python3
"""The seeds of test/fuzz/corpus/suffix: small indexes made by `loam trace index`, whole, of one and of several shards.

    test/golden/fuzz_suffix.py      writes them anew (the program: LOAM_BIN, or build/loam)
"""
import json
import os
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOAM = os.path.abspath(os.environ.get("LOAM_BIN", os.path.join(ROOT, "build", "loam")))
SETS = {
    "one": ["aba"],
    "few": ["the red lamp is in the hall", "Ana's green lamp", "a", "a a", "the red lamp is in the hall"],
    "strides": ["the red lamp, " * 30, "lamp " * 40 + "red", "a" * 300],
}

for name, texts in SETS.items():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "d.db")
        with open(path + ".jsonl", "w") as f:
            f.write("".join(json.dumps({"text": t}) + "\n" for t in texts))
        for words in (["data", "build", path, path + ".jsonl"], ["trace", "index", path]):
            subprocess.run([LOAM, *words], check=True, stdout=subprocess.DEVNULL)
        with open(path + ".trace", "rb") as f, open(os.path.join(ROOT, "test/fuzz/corpus/suffix", name), "wb") as out:
            out.write(f.read())
