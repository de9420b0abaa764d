#!/usr/bin/env python3
"""A trained run leaves Loam: its GGUF file gives in llama.cpp, its Hugging Face folder in transformers, the logits it gives
here. test/golden/trained.json has what those programs said; as a run is the same everywhere, so are its exported files, and
their SHA-256 is compared first. Another digest: make it anew (test/golden/trained.py). Prints TAP."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import ROOT, Fail, case, loam, main, note, tmp  # noqa: E402
from _train import TRAINED, digests, trained  # noqa: E402

with open(os.path.join(ROOT, "test", "golden", "trained.json")) as f:
    GOLDEN = json.load(f)
# Of the largest logit. llama.cpp keeps keys and values in binary16, which moves logits by up to 5e-5 here.
NEAR = {"llama.cpp": 3e-4, "transformers": 5e-6}


def far(a, b):
    return max(abs(x - y) for x, y in zip(a, b)) / max(abs(x) for x in b)


for arch in TRAINED:
    @case(f"a run of {arch}: the files that others have read, the logits that they gave")
    def _(arch=arch):
        want = GOLDEN["runs"][arch]
        gguf, folder, root = trained(arch, tmp())
        got = digests(gguf, folder)
        if root != want["weights"]:
            raise Fail(f"the run's weights are {root}, not {want['weights']}")
        if got != want["files"]:
            raise Fail("other files than those that were read: " + ", ".join(
                n for n in sorted({*got, *want["files"]}) if got.get(n) != want["files"].get(n)))
        for path in (os.path.dirname(gguf), gguf, folder):
            ours = [float(x) for x in loam("logits", path, "--ids", ",".join(map(str, GOLDEN["ids"]))).stdout.split()]
            assert max(ours) - min(ours) > 3  # it has learnt something that can differ
            for peer, near in NEAR.items():
                if len(ours) != len(want[peer]) or far(ours, want[peer]) > near:
                    raise Fail(f"{path}: logits are {far(ours, want[peer]):.2e} from those of {peer}")
                if ours.index(max(ours)) != want[peer].index(max(want[peer])):
                    raise Fail(f"{path}: {peer} finds another token likeliest")
            ids = [int(x) for x in loam("tokenize", path, GOLDEN["text"]).stdout.split()]
            assert ids == want["ids"], (path, ids, want["ids"])
        note(", ".join(f"{p}: {far(ours, want[p]):.1e}" for p in NEAR))


main()
