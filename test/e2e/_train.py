"""What the tests of training share: a small corpus, a tokenizer made here, runs, and the definitions of DESIGN's run
folder written again in Python (chain.h, root.h), so that the program is not checked by itself alone."""
import hashlib
import json
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _tap  # noqa: E402
from _tap import Fail, loam  # noqa: E402

END = "<|endoftext|>"


def byte_letters():
    """GPT-2's letters for bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, n = {}, 0
    for b in range(256):
        letters[b] = chr(b) if b in plain else chr(256 + n)
        n += b not in plain
    return letters


def write_tokenizer(folder, pairs=("th", "he", "in", "er", "an")):
    """A byte-level tokenizer: 256 bytes, a few merges, an end token."""
    letters = byte_letters()
    vocab = {letters[b]: b for b in range(256)}
    for a, b in pairs:
        vocab[a + b] = len(vocab)
    end = len(vocab)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "tokenizer.json"), "w") as f:
        json.dump({
            "version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": end, "content": END, "single_word": False, "lstrip": False, "rstrip": False,
                              "normalized": False, "special": True}],
            "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            "post_processor": None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocab,
                      "merges": [list(p) for p in pairs]},
        }, f)
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
        json.dump({"eos_token": END, "tokenizer_class": "PreTrainedTokenizerFast"}, f)
    return folder


def texts(n):
    """n short documents, always the same."""
    out, state = [], 1
    names, things = "Ada Bob Cleo Dan Eve Finn".split(), "ball cup book key lamp shoe".split()
    places = "kitchen garden hall attic cellar".split()
    for i in range(n):
        words = []
        for _ in range(2 + i % 5):
            state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
            r = state >> 33
            words.append("%s put the %s in the %s." % (names[r % 6], things[r // 6 % 6], places[r // 36 % 5]))
        out.append("Story %d. " % i + " ".join(words))
    return out


def write_data(path, documents):
    lines = path + ".jsonl"
    with open(lines, "w") as f:
        for i, text in enumerate(documents):
            f.write(json.dumps({"id": "t-%d" % i, "text": text, "licence": "CC0-1.0"}) + "\n")
    loam("data", "build", path, lines)
    return path


SHAPE = ["--layers", 2, "--width", 32, "--heads", 2, "--kv-heads", 1, "--ff", 48, "--ctx", 64, "--batch", 4, "--micro", 2,
         "--lr", 0.01, "--warmup", 4, "--eval-every", 0]


def read(path, mode="rb"):
    with open(path, mode) as f:
        return f.read()


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def chain(run):
    return read(os.path.join(run, "chain.jsonl"))


def lines(run):
    return [json.loads(line) for line in chain(run).splitlines()]


def seal(rows):
    """The chain's text for rows without digests: chain.h again."""
    out, before = [], b""
    for row in rows:
        row = {k: v for k, v in row.items() if k != "digest"}
        body = json.dumps(row, separators=(",", ":"))[:-1].encode()
        digest = hashlib.sha256((before if row["step"] else b"") + body)
        out.append(body + b',"digest":"' + digest.hexdigest().encode() + b'"}\n')
        before = digest.digest()
    return b"".join(out)


def safetensors(path):
    data = read(path)
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    header.pop("__metadata__", None)
    return {name: (t["shape"], data[8 + n + t["data_offsets"][0]:8 + n + t["data_offsets"][1]])
            for name, t in header.items()}


def leaf(name, shape, data):
    rows, cols = shape[0], shape[1] if len(shape) > 1 else 0
    return hashlib.sha256(name.encode() + b"\0" + struct.pack("<QQ", rows, cols) + data).digest()


def root(tensors, names):
    return hashlib.sha256(b"".join(leaf(n, *tensors[n]) for n in names)).hexdigest()


def forge(run, step, at=-2):
    """One bit of a checkpoint's weights is flipped, and everything that seals it is made to fit: what a bit that flipped in
    memory, or a liar, leaves behind. Returns the tensor's name."""
    folder = os.path.join(run, "ckpt", "step-%08d" % step)
    path = os.path.join(folder, "model.safetensors")
    before, model = safetensors(path), bytearray(read(path))
    model[at] ^= 1
    write(path, bytes(model))
    info, tensors = json.loads(read(os.path.join(folder, "checkpoint.json"))), safetensors(path)
    leaves = {n: leaf(n, *tensors[n]) for n in info["leaves"]}
    for n in leaves:
        info["leaves"][n][0] = leaves[n].hex()
    info["weights"] = hashlib.sha256(b"".join(leaves[n] for n in info["leaves"])).hexdigest()
    rows = lines(run)
    if "weights" in rows[step]:
        rows[step]["weights"] = info["weights"]
    write(os.path.join(run, "chain.jsonl"), seal(rows))
    sealed = lines(run)
    for name in os.listdir(os.path.join(run, "ckpt")):
        path = os.path.join(run, "ckpt", name, "checkpoint.json")
        about = info if name == "step-%08d" % step else json.loads(read(path))
        about["chain"] = sealed[about["step"]]["digest"]
        write(path, json.dumps(about).encode())
    return next(n for n in tensors if tensors[n] != before[n])


def differs(a, b):
    """A useful text for two chains that are not the same."""
    for x, y in zip(a.splitlines(), b.splitlines()):
        if x != y:
            raise Fail("%s\n%s" % (x.decode(), y.decode()))
    raise Fail("%d lines and %d lines" % (a.count(b"\n"), b.count(b"\n")))


def same_chain(run, want):
    got = chain(run)
    if got != want:
        differs(got, want)


def tmp(name):
    return os.path.join(_tap.tmp(), name)


# ---- trained runs whose exports other programs have read: test/golden/trained.py, test_trained.py ----

TRAINED = {
    "llama": ["--layers", 2, "--width", 64, "--heads", 4, "--kv-heads", 2, "--ff", 160, "--untied"],
    "qwen3": ["--layers", 3, "--width", 64, "--heads", 2, "--kv-heads", 1, "--head-width", 32, "--ff", 96],
    "gemma2": ["--layers", 2, "--width", 64, "--heads", 2, "--kv-heads", 1, "--ff", 96, "--window", 16],
}
TRAINED_IDS = [84, 104, 101, 32, 99, 97, 116, 32, 105, 115, 32, 105, 110, 32, 116, 104, 101, 32, 98, 111, 120, 46, 10, 261, 87, 104]


def trained(arch, at):
    """Trains the run `at`/ARCH; gives (its GGUF, its Hugging Face folder, the root of its weights)."""
    run, folder = os.path.join(at, arch), os.path.join(at, arch + "-hf")
    loam("train", run, "--arch", arch, "--data", "homeworld:docs=200,mix=tiny", "--tokenizer", write_tokenizer(os.path.join(at, "tok")),
         "--ctx", 64, "--batch", 4, "--lr", 0.01, "--warmup", 4, "--steps", 40, "--eval-every", 0, *TRAINED[arch])
    loam("convert", run, folder)
    return os.path.join(run, "model.gguf"), folder, lines(run)[-1]["weights"]


def digests(gguf, folder):
    """SHA-256 of what other programs read."""
    files = {"model.gguf": gguf, **{n: os.path.join(folder, n) for n in sorted(os.listdir(folder))}}
    return {name: hashlib.sha256(read(path)).hexdigest() for name, path in files.items()}
