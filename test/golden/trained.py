#!/usr/bin/env python3
"""Makes test/golden/trained.json: what llama.cpp says of the GGUF files, and transformers of the Hugging Face folders, that
small trained runs were exported to. test/e2e/test_trained.py makes the same runs, checks that the files are the same by
their SHA-256, and compares the logits.

    make all && $(script/venv.sh golden) test/golden/trained.py

llama.cpp is the one of script/peer.sh (its keys and values are binary16), transformers that of
script/requirements-golden.txt in binary32.
"""
import json
import os
import subprocess
import sys
import tempfile

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
from _train import TRAINED, TRAINED_IDS, digests, trained  # noqa: E402

TEXT = "The cat is in the box.\n"


def main():
    peer, libs = subprocess.run([os.path.join(ROOT, "script", "peer.sh")], check=True, capture_output=True, text=True).stdout.split()
    out = {"ids": TRAINED_IDS, "text": TEXT, "runs": {}}
    with tempfile.TemporaryDirectory() as at:
        for arch in TRAINED:
            gguf, folder, root = trained(arch, at)
            said = subprocess.run([peer, libs, gguf, "logits", *map(str, TRAINED_IDS)], check=True, capture_output=True, text=True)
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
            with torch.no_grad():
                logits = model(torch.tensor([TRAINED_IDS])).logits[0, -1]
            out["runs"][arch] = {
                "weights": root, "files": digests(gguf, folder), "model": type(model).__name__,
                "ids": AutoTokenizer.from_pretrained(folder).encode(TEXT, add_special_tokens=False),
                "llama.cpp": [float(x) for x in said.stdout.split()],
                "transformers": [float("%.7g" % x) for x in logits.tolist()]}
    with open(os.path.join(HERE, "trained.json"), "w") as f:
        json.dump(out, f, indent=0)
        f.write("\n")


if __name__ == "__main__":
    main()
