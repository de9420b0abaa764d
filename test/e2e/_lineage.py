"""A small run on a stored data set, its index and a second data set, for the tests of what a server shows of them."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import loam, tmp  # noqa: E402
from _train import SHAPE, texts, write_tokenizer  # noqa: E402

HOSTILE = "<img src=x onerror=\"document.title='owned'\"> & <script>document.title='owned'</script>"


def place(*names):
    return os.path.join(tmp(), *names)


def write_set(path, documents, index):
    with open(path + ".jsonl", "w") as f:
        for i, (text, licence) in enumerate(documents):
            f.write(json.dumps({"id": "t-%d" % i, "text": text, "licence": licence, "source": "s%d" % (i % 2)}) + "\n")
    loam("data", "build", path, path + ".jsonl", *(["--index"] if index else []))
    return path


def make():
    """A folder with the run `first` (30 steps of `stories.db`, traceable) and `other.db`, which has no index."""
    stories = [(t, ("CC0-1.0", "MIT")[i % 2]) for i, t in enumerate(texts(200) + [HOSTILE])]
    write_set(place("stories.db"), stories, True)
    write_set(place("other.db"), [("A page about lighthouses, 100% true.", ""), ("It's \"quoted\".", "MIT")], False)
    os.mkdir(place("runs"))
    loam("train", place("runs", "first"), "--data", place("stories.db"), "--tokenizer", write_tokenizer(place("tok")), *SHAPE,
         "--steps", 30, "--answers", "A:", "--eval-every", 10, "--val-share", 0.1)
    return place("runs", "first")
