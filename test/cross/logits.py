#!/usr/bin/env python3
"""The real program on another CPU: `loam logits` gives the same SHA-256 as here.

LOAM_CROSS is the command that runs it (an emulator and the program), LOAM_CROSS_ISA the instruction sets it must have
there. Models: the golden ones, one a family and the one with all quantised formats; the real one when it is fetched
and LOAM_CROSS_MODEL names it.
"""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from _tap import Fail, case, loam, main  # noqa: E402

CROSS = os.environ["LOAM_CROSS"].split()
ISAS = os.environ["LOAM_CROSS_ISA"].split(",")
MODELS = "test/golden/models/"
FAMILIES = ["llama", "qwen3", "gemma2", "gemma3", "olmo2", "smollm3", "phi3", "granite", "quant/mixed.gguf"]


def digest(run):
    last = run.stderr.strip().splitlines()[-1] if run.stderr.strip() else ""
    if run.returncode or len(last) != 64:
        raise Fail(f"status {run.returncode}: {run.stderr[-500:]}")
    return last


def same_everywhere(model, ids, isas):
    args = ["logits", model, "--ids", ids, "--all"]
    want = digest(loam(*args))
    for isa in isas:
        began = time.time()
        run = subprocess.run([*CROSS, *args, "--isa", isa, "--threads", "1", "--chunk", "2"], capture_output=True,
                             text=True, timeout=900)
        got = digest(run)
        print(f"# {model}, {isa}: {time.time() - began:.1f} s, {got}")
        if got != want:
            raise Fail(f"{model} with --isa {isa}: {got}, here {want}")


for family in FAMILIES:
    @case(f"logits of {family}")
    def _(model=MODELS + family):
        same_everywhere(model, "1,2,3,5,8,13,21,34,55,63,60,10", ISAS)

if os.environ.get("LOAM_CROSS_MODEL"):
    @case("logits of a real model")
    def _():
        same_everywhere(os.environ["LOAM_CROSS_MODEL"], "2,818,5279", ISAS[:1])

main()
