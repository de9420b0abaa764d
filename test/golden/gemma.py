#!/usr/bin/env python3
"""Regenerates test/golden/gemma/ref.bin: what llama.cpp computes with Gemma 3 270M (Q4_K_M) for gemma/text.txt.

    make peer model && python3 test/golden/gemma.py

script/peer.sh names the release of llama.cpp. ref.bin, little endian, n positions, w wanted ones, s logits of each:

    "GEMMREF1", i32 n, i32 w, i32 s, i32 step
    i32 id[n]        llama.cpp's token ids of the text, BOS first
    i32 top[n]       the likeliest next id after each position
    f64 loss         mean loss in nats of id[1..n-1]
    i32 position[w]
    f16 logit[w][s]  every step-th logit at that position (f16 keeps the file small; it moves the cosine by 1e-7)
"""
import os
import struct
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WANTED, STEP = [0, 1, 5, 17, 60, 111, 170, 199], 32


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main():
    libs = run(os.path.join(ROOT, "script/peer.sh")).splitlines()[1]
    model = run("python3", os.path.join(ROOT, "script/fetch-model.py")).strip()
    with tempfile.TemporaryDirectory() as tmp:
        program, raw = os.path.join(tmp, "gemma_peer"), os.path.join(tmp, "logits")
        run(os.environ.get("CC", "cc"), "-O2", os.path.join(HERE, "gemma_peer.c"), "-ldl", "-lm", "-o", program)
        lines = run(program, libs, model, os.path.join(HERE, "gemma/text.txt"), raw, ",".join(map(str, WANTED)), str(STEP))
        with open(raw, "rb") as f:
            logits = [x for (x,) in struct.iter_unpack("<f", f.read())]
    rows = [line.split() for line in lines.splitlines()]
    n, s = len(rows), len(logits) // len(WANTED)
    loss = sum(float(r[2]) for r in rows) / (n - 1)
    out = b"GEMMREF1" + struct.pack("<4i", n, len(WANTED), s, STEP)
    out += struct.pack(f"<{2 * n}i", *(int(r[0]) for r in rows), *(int(r[1]) for r in rows))
    out += struct.pack(f"<d{len(WANTED)}i", loss, *WANTED) + struct.pack(f"<{len(logits)}e", *logits)
    with open(os.path.join(HERE, "gemma/ref.bin"), "wb") as f:
        f.write(out)
    print(f"{n} positions, mean loss {loss:.6f}, {len(out)} bytes")


if __name__ == "__main__":
    main()
