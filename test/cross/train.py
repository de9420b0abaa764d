#!/usr/bin/env python3
"""Training on another CPU: small runs of `loam train` give the chain and the weights that they give here, byte for byte.

LOAM_CROSS is the command that runs the program there (an emulator and the program), LOAM_CROSS_ISA the instruction sets
it must have; LOAM_CROSS_SMALL=1: two small steps of one family, for slow emulators. Data is the built-in corpus, made there as well. Families:
one of today's, and the one with all operations that few have: soft caps, windows, norms behind, GELU.
"""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from _tap import Fail, case, loam, main  # noqa: E402
from _train import chain, differs, read, tmp, write_tokenizer  # noqa: E402

CROSS = os.environ["LOAM_CROSS"].split()
ISAS = os.environ["LOAM_CROSS_ISA"].split(",")
FEW = bool(os.environ.get("LOAM_CROSS_SMALL"))
STEPS, DOCS, CTX, BATCH = (2, 12, 24, 2) if FEW else (4, 40, 72, 4)
TOKENIZER = write_tokenizer(tmp("tokenizer"))
SMALL = ["--data", f"homeworld:docs={DOCS},mix=tiny", "--tokenizer", TOKENIZER, "--layers", 2, "--width", 40, "--heads", 2, "--kv-heads", 1,
         "--head-width", 24, "--ff", 72, "--ctx", CTX, "--batch", BATCH, "--micro", BATCH // 2, "--lr", 0.01, "--warmup", 1, "--roots-every", 2,
         "--steps", STEPS, "--eval-every", 0, "--threads", 1]
FAMILIES = {"qwen3": [], "gemma2": ["--window", 20]}


def weights(run):
    return read(os.path.join(run, "ckpt", "step-%08d" % STEPS, "model.safetensors"))


for family, more in list(FAMILIES.items())[:1 if FEW else None]:
    @case(f"{STEPS} steps of {family}")
    def _(family=family, more=more):
        here = tmp(family)
        loam("train", here, "--arch", family, *SMALL, *more)
        for isa in ISAS:
            there, began = tmp(f"{family}-{isa}"), time.time()
            args = ["train", there, "--arch", family, *SMALL, *more, "--isa", isa]
            run = subprocess.run([*CROSS, *map(str, args)], capture_output=True, text=True, timeout=900)
            print(f"# {isa}: {time.time() - began:.1f} s")
            if run.returncode:
                raise Fail(f"status {run.returncode}: {run.stderr[-500:]}")
            if chain(there) != chain(here):
                differs(chain(there), chain(here))
            assert weights(there) == weights(here)

main()
