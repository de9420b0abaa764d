#!/usr/bin/env python3
"""Hostile files, end to end: whatever a model's owner was handed, `loam` answers in one line. Prints TAP.

Tiny golden models are damaged where their readers look: every number of config.json, every key of a GGUF file, shapes,
names of shards, lengths, bytes of headers; and things that are no files at all. Whatever is in it, a run ends within
5 seconds, within 1 GB, with status 0, 1 or 2 and never by a signal; when it fails it prints one line that begins with
"loam: " and names the file. Every case is the same on every run: random choices are drawn from fixed seeds.
"""
import copy
import json
import os
import random
import resource
import shutil
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _tap  # noqa: E402
from _tap import LOAM, ROOT, Fail, case, note  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, "test", "golden"))
import gguf_convert as convert  # noqa: E402

TMP = _tap.tmp()
GOLDEN = os.path.join(ROOT, "test", "golden", "models")
ENV = {**os.environ, "HOME": TMP, "XDG_STATE_HOME": TMP, "LC_ALL": "C.UTF-8"}
SECONDS, RSS_MAX, SPACE_MAX = 5, 1 << 30, 3 << 30
TINY = os.path.join(TMP, "tiny.gguf")  # the sound model that templates are tried on


# ---- running ----

def limits():
    resource.setrlimit(resource.RLIMIT_AS, (SPACE_MAX, SPACE_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def survives(what, *args, names=None, stdin=b"", bad=False, lines=1):
    """Runs loam; checks what the head of this file promises. `names`: a text the error line must hold. `bad`: must
    fail. `lines`: how many lines may be printed at most. Returns the exit status and what was printed."""
    with open(os.path.join(TMP, "in"), "wb") as f:
        f.write(stdin)
    with open(os.path.join(TMP, "in"), "rb") as given, open(os.path.join(TMP, "err"), "w+b") as shown:
        child = subprocess.Popen([LOAM, *args], stdin=given, stdout=subprocess.DEVNULL, stderr=shown, env=ENV,
                                 preexec_fn=limits)
        late = threading.Event()
        timer = threading.Timer(SECONDS, lambda: (late.set(), child.kill()))
        timer.start()
        _, status, usage = os.wait4(child.pid, 0)
        timer.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        shown.seek(0)
        text = shown.read(65536).decode("utf-8", "backslashreplace")
    code = child.returncode
    wrong = None
    if late.is_set():
        wrong = "took more than %d seconds" % SECONDS
    elif code not in (0, 1, 2):
        wrong = "ended with %d" % code
    elif usage.ru_maxrss * 1024 > RSS_MAX:
        wrong = "used %d MB" % (usage.ru_maxrss // 1024)
    elif code == 0 and bad:
        wrong = "was taken for good"
    elif code and not 1 <= len(text.splitlines()) <= lines:
        wrong = "does not say what is wrong in %d line%s" % (lines, "s"[:lines - 1])
    elif code and not all(line.startswith("loam: ") for line in text.split("\n")[:-1]):
        wrong = "prints a line that is not the program's"
    elif code and not text.replace("\n", "").isprintable():
        wrong = "prints control characters"
    elif code and names and names not in text:
        wrong = "does not name %s" % names
    if wrong:
        raise Fail("%s: %s\n%s" % (what, wrong, text[:600]))
    return code, text


def logits(what, model, **more):
    return survives(what, "logits", model, "--ids", "0,1", "--isa", "scalar", "--threads", "1", names=model, **more)


class Tally:
    """At least one mutation of a group must be refused, or the group tests nothing."""

    def __init__(self):
        self.n = self.refused = 0

    def add(self, result):
        self.n += 1
        self.refused += result[0] != 0

    def end(self):
        note("%d files, %d refused" % (self.n, self.refused))
        assert self.refused > self.n // 10, (self.n, self.refused)


def folder(name, new="folder"):
    """A copy of a golden folder, links followed."""
    path = os.path.join(TMP, new)
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(os.path.join(GOLDEN, name), path)
    return path


def write(path, data):
    with open(path, "wb" if isinstance(data, bytes) else "w") as f:
        f.write(data)
    return path


def load(path):
    with open(path) as f:
        return json.load(f)


# ---- config.json and the index ----

MISSING = object()
# JSON as written: what Python's writer would not write is here too.
VALUES = ["0", "-1", "1", "2147483648", "9223372036854775808", "1e400", "0.5", '"x"', "null", "[]", "{}", MISSING]


def places(value, at=()):
    """Paths to every key whose value is a number, a list or an object."""
    for key, v in value.items():
        if isinstance(v, dict):
            yield from places(v, at + (key,))
        if not isinstance(v, str):
            yield at + (key,)


def mutated(config, place, raw):
    """config as JSON text with the value at `place` replaced by raw text."""
    config = copy.deepcopy(config)
    inner = config
    for key in place[:-1]:
        inner = inner[key]
    if raw is MISSING:
        del inner[place[-1]]
        return json.dumps(config)
    inner[place[-1]] = "@@"
    return json.dumps(config).replace('"@@"', raw)


def config_values(names, values):
    tally = Tally()
    for name in names:
        path = folder(name)
        file = os.path.join(path, "config.json")
        config = load(file)
        for place in list(places(config)):
            for raw in values:
                if place == ("max_position_embeddings",) and raw == "1":
                    continue  # a model for one position is odd, but the two ids asked of it are what is wrong
                write(file, mutated(config, place, raw))
                tally.add(logits("%s: %s = %s" % (name, ".".join(place), raw), path))
    tally.end()


@case("config.json: every number of phi3 becomes each of twelve values")
def _():
    config_values(["phi3"], VALUES)


@case("config.json: every number of llama, gemma3 and granite becomes nothing, negative, huge")
def _():
    config_values(["llama", "gemma3", "granite"], ["0", "-1", "9223372036854775808"])


@case("config.json: no JSON, deep, huge, binary, a list")
def _():
    path = folder("llama")
    file = os.path.join(path, "config.json")
    for text in ("", "{", "[]", "null", "3", "[" * 100000, '{"a":' * 5000 + "1" + "}" * 5000, "\0" * 100,
                 b"\xff\xfe{\0}\0", '{"model_type":"llama"}', '{"model_type":"%s"}' % ("x" * 100000),
                 '{"model_type":"a\\nb\\u001b[31m"}', '{"model_type":3}', " " * (17 << 20)):
        write(file, text)
        logits("config.json of %d bytes" % len(text), path, bad=True)


@case("index.json: shards outside of the folder, missing, of other kinds")
def _():
    path = folder("llama-bias")
    file = os.path.join(path, "model.safetensors.index.json")
    index = load(file)
    tensor = sorted(index["weight_map"])[0]
    for name in ("../x", "/etc/passwd", "a/b", "..", ".", "", "./model-00001-of-00003.safetensors", "x\0y", "\\x", "~",
                 "config.json", "absent.safetensors", "a\nb", "x" * 5000, 3, None, [], {}):
        bad = copy.deepcopy(index)
        bad["weight_map"][tensor] = name
        write(file, json.dumps(bad))
        code, text = logits("shard %r" % (name,), path, bad=True)
        assert "root:" not in text, text
    for text in ("", "{}", "[]", '{"weight_map":3}', '{"weight_map":{}}', '{"weight_map":[]}', "{" * 100000):
        write(file, text)
        logits("index %s" % text[:20], path, bad=True)


@case("safetensors: hostile headers, cuts at 40 places, 200 flipped bytes")
def _():
    path = folder("qwen3")
    file = os.path.join(path, "model.safetensors")
    with open(file, "rb") as f:
        good = f.read()
    n = struct.unpack_from("<Q", good)[0]
    header = json.loads(good[8:8 + n])
    tally = Tally()

    def attempt(what, data, **more):
        write(file, data)
        tally.add(logits(what, path, **more))

    for length in (0, 1, n - 1, n + 1, len(good), 1 << 31, 1 << 63, (1 << 64) - 1):
        attempt("header length %d" % length, struct.pack("<Q", length) + good[8:], bad=True)
    some = [k for k in header if k != "__metadata__"][3]
    for key, value in (("data_offsets", [0, 1 << 62]), ("data_offsets", [8, 0]), ("data_offsets", [-1, 3]),
                       ("data_offsets", []), ("data_offsets", {}), ("shape", [1 << 32, 1 << 32]), ("shape", [0]),
                       ("shape", [-1, -1]), ("shape", [1] * 1000), ("shape", "x"), ("dtype", "I64"), ("dtype", 7),
                       ("dtype", "x" * 10000)):
        bad = copy.deepcopy(header)
        bad[some][key] = value
        text = json.dumps(bad).encode()
        attempt("%s = %.60r" % (key, value), struct.pack("<Q", len(text)) + text + good[8 + n:], bad=True)
    for i in range(40):
        attempt("cut %d" % i, good[:len(good) * i // 40], bad=True)
    rng = random.Random(1)
    for i in range(200):
        data = bytearray(good)
        data[rng.randrange(8 + n)] ^= 1 << rng.randrange(8)
        attempt("flip %d" % i, bytes(data))
    tally.end()


# ---- GGUF ----

U64, I64, F64 = 10, 11, 12
_pack_value = convert.pack_value


def pack_value(kind, value):
    """As the converter packs it, and a few types more."""
    code = {U64: "<Q", I64: "<q", F64: "<d"}.get(kind)
    return struct.pack("<I" + code[1:], kind, value) if code else _pack_value(kind, value)


convert.pack_value = pack_value


def parts(name):
    path = os.path.join(GOLDEN, name)
    config = load(os.path.join(path, "config.json"))
    return convert.metadata(config, name), convert.tensors_of(config, convert.read_safetensors(path))


def gguf(keys, tensors):
    path = os.path.join(TMP, "m.gguf")
    convert.write_gguf(path, keys, tensors)
    return path


@case("GGUF: every key of two families becomes each of fifteen values")
def _():
    values = [(convert.U32, 0), (convert.U32, 1), (convert.U32, 1 << 31), (convert.I32, -1), (U64, 1 << 63),
              (U64, (1 << 64) - 1), (I64, -(1 << 63)), (convert.F32, float("nan")), (convert.F32, float("inf")),
              (convert.F32, -1.0), (F64, 1e300), (convert.STR, "x"), (convert.STR, ""), (convert.U32, [])]
    tally = Tally()
    for name in ("gemma3", "phi3"):
        keys, tensors = parts(name)
        for i, (key, _, _) in enumerate(keys):
            for kind, value in values:
                if key.endswith(".context_length") and value == 1:
                    continue  # a model for one position is odd, but the two ids asked of it are what is wrong
                new = keys[:i] + [(key, kind, value)] + keys[i + 1:]
                tally.add(logits("%s: %s = %r" % (name, key, value), gguf(new, tensors)))
            tally.add(logits("%s: no %s" % (name, key), gguf(keys[:i] + keys[i + 1:], tensors)))
    tally.end()


@case("GGUF: shapes swapped, flattened, huge, of no elements; tensors missing, twice, of other types")
def _():
    tally = Tally()
    for name in ("llama",):
        keys, tensors = parts(name)

        def attempt(what, new):
            tally.add(logits("%s: %s" % (name, what), gguf(keys, new)))

        for i, (tensor, kind, shape, raw) in enumerate(tensors):
            if tensor.startswith(("blk.1", "blk.2", "blk.3")):
                continue
            for new in (shape[::-1], [len(raw) // (4 if kind == 0 else 2)], [1 << 40, 1 << 40], [0] + shape, [0],
                        [1] + shape, shape + [1], [1 << 63, 2], []):
                attempt("%s %s" % (tensor, new), tensors[:i] + [(tensor, kind, new, raw)] + tensors[i + 1:])
            for other in (0, 2, 12, 14, 24, 30, 99, 0xFFFFFFFF):
                attempt("%s type %d" % (tensor, other), tensors[:i] + [(tensor, other, shape, raw)] + tensors[i + 1:])
            attempt("no " + tensor, tensors[:i] + tensors[i + 1:])
            attempt("twice " + tensor, tensors + tensors[i:i + 1])
    tally.end()


@case("GGUF: cuts at 40 places, 200 flipped bytes of the header, of plain and quantised models")
def _():
    tally = Tally()
    convert.write_gguf(TINY, *parts("llama"))
    for seed, source in enumerate((TINY, os.path.join(GOLDEN, "quant", "blocks.gguf"))):
        with open(source, "rb") as f:
            good = f.read()
        path = os.path.join(TMP, "m.gguf")
        for i in range(40):
            tally.add(logits("cut %d" % i, write(path, good[:len(good) * i // 40]), bad=True))
        rng = random.Random(seed)
        for i in range(100):
            data = bytearray(good)
            data[rng.randrange(6000)] ^= 1 << rng.randrange(8)
            tally.add(logits("flip %d" % i, write(path, bytes(data))))
    tally.end()


@case("GGUF: vocabularies that lie, through loam tokenize")
def _():
    tally = Tally()
    keys, tensors = parts("llama")
    for i, (key, _, value) in enumerate(keys):
        if not key.startswith("tokenizer."):
            continue
        for kind, new in ((convert.STR, "x"), (convert.U32, 1 << 31), (convert.I32, -1), (convert.STR, [""]),
                          (convert.STR, ["x" * 300000]), (convert.STR, ["a"] * 1000), (convert.I32, [-5] * 160),
                          (convert.STR, ["a b c", " ", "a"]), (convert.F32, [float("nan")] * 160), (convert.U32, [])):
            path = gguf(keys[:i] + [(key, kind, new)] + keys[i + 1:], tensors)
            tally.add(survives("%s = %.40r" % (key, new), "tokenize", path, "ab <|end|> \u00e9", names=path))
        path = gguf(keys[:i] + keys[i + 1:], tensors)
        tally.add(survives("no " + key, "tokenize", path, "ab", names=path))
    tally.end()


# ---- adapters ----

ADAPTERS, BASE = os.path.join(ROOT, "test", "golden", "lora"), os.path.join(GOLDEN, "llama")


def adapt(what, path, merge=False, **more):
    """The adapter in use, or made a part of its model."""
    out = os.path.join(TMP, "merged.gguf")
    args = ["merge", BASE, path, out, "--force"] if merge else ["logits", BASE, "--ids", "0,1", "--lora", path]
    return survives(what, *args, "--isa", "scalar", "--threads", "1", names=path, **more)


def adapter(name="llama"):
    path = os.path.join(TMP, "adapter")
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(os.path.join(ADAPTERS, name), path)
    return path


def mutated_at(file, path, config, key, raw):
    write(file, mutated(config, (key,), raw))
    return path


@case("adapter_config.json: settings become each of eleven values; a text is no number")
def _():
    path, tally = adapter(), Tally()
    file = os.path.join(path, "adapter_config.json")
    config = load(file)
    for key in ("alpha_pattern", "bias", "fan_in_fan_out", "init_lora_weights", "lora_alpha", "lora_dropout",
                "modules_to_save", "peft_type", "r", "rank_pattern", "use_dora", "use_rslora"):
        for raw in VALUES[:-1]:
            tally.add(adapt("%s = %s" % (key, raw), mutated_at(file, path, config, key, raw)))
    for key, raw in (("r", '"2"'), ("lora_alpha", '"16"'), ("lora_alpha", "true"), ("use_rslora", '"true"'),
                     ("use_dora", "1"), ("lora_dropout", "[]"), ("rank_pattern", "[2]"), ("alpha_pattern", "3"),
                     ("alpha_pattern", '{"q_proj": "x"}'), ("rank_pattern", '{"q_proj": 1e300}'),
                     ("alpha_pattern", '{"(a+)+$": 1}')):
        _, text = adapt("%s = %s" % (key, raw), mutated_at(file, path, config, key, raw), bad=True)
        assert key in text, text
    tally.end()


def damaged(good, head, seed, attempt):
    """Cuts at 20 places; 60 flipped bytes of the head."""
    for i in range(20):
        attempt("cut %d" % i, good[:len(good) * i // 20], bad=True)
    rng = random.Random(seed)
    for i in range(60):
        data = bytearray(good)
        data[rng.randrange(head)] ^= 1 << rng.randrange(8)
        attempt("flip %d" % i, bytes(data), merge=i % 2 == 0)


NOT_FINITE = [struct.pack("<I", x) for x in (0x7fc00000, 0xffc00001, 0x7f800000, 0xff800000)]


@case("adapter_model.safetensors: shapes, types, cuts, flipped bytes, numbers that are not finite")
def _():
    path, tally = adapter(), Tally()
    file = os.path.join(path, "adapter_model.safetensors")
    with open(file, "rb") as f:
        good = f.read()
    n = struct.unpack_from("<Q", good)[0]
    header = json.loads(good[8:8 + n])

    def attempt(what, data, **more):
        write(file, data)
        tally.add(adapt(what, path, **more))

    name = [k for k in header if k.endswith("lora_B.weight")][0]
    for key, value in (("shape", [1 << 31, 1 << 31]), ("shape", [1 << 63, 2]), ("shape", [0, 2]), ("shape", []),
                       ("shape", header[name]["shape"][::-1]), ("shape", [1] + header[name]["shape"]),
                       ("dtype", "F16"), ("dtype", "I8"), ("data_offsets", [0, 1 << 60])):
        bad = copy.deepcopy(header)
        bad[name][key] = value
        text = json.dumps(bad).encode()
        for merge in (False, True):
            attempt("%s = %r" % (key, value), struct.pack("<Q", len(text)) + text + good[8 + n:], merge=merge, bad=True)
    for name in (k for k in header if ".layers.0." in k):
        for raw in NOT_FINITE:
            at = 8 + n + header[name]["data_offsets"][1] - 4
            attempt("%s ends in %s" % (name, raw.hex()), good[:at] + raw + good[at + 4:], merge=raw[3] > 127, bad=True)
    damaged(good, 8 + n, 5, attempt)
    tally.end()


@case("GGUF adapters: every key of other values, cuts, flipped bytes, numbers that are not finite")
def _():
    path, tally = os.path.join(TMP, "adapter.gguf"), Tally()
    _tap.loam("merge", BASE, os.path.join(ADAPTERS, "llama"), path, "--adapter")
    with open(path, "rb") as f:
        good = f.read()

    def attempt(what, data, **more):
        write(path, data)
        tally.add(adapt(what, path, **more))

    keys = [("general.type", convert.STR, "adapter"), ("general.architecture", convert.STR, "llama"),
            ("adapter.type", convert.STR, "lora"), ("adapter.lora.alpha", convert.F32, 4.0)]
    pair = [("blk.0.attn_q.weight.lora_%s" % x, 0, shape, b"\0" * 384) for x, shape in (("a", [2, 48]), ("b", [48, 2]))]
    write_adapter = lambda k, t: convert.write_gguf(path, k, t)  # noqa: E731
    write_adapter(keys, pair)
    assert adapt("a sound one", path)[0] == 0
    for i, (key, _, _) in enumerate(keys):
        for kind, value in ((convert.U32, 1 << 31), (convert.I32, -1), (U64, 1 << 63), (convert.F32, float("nan")),
                            (convert.F32, float("inf")), (F64, 1e300), (convert.STR, "x"), (convert.STR, ""),
                            (convert.U32, [])):
            write_adapter(keys[:i] + [(key, kind, value)] + keys[i + 1:], pair)
            tally.add(adapt("%s = %r" % (key, value), path, bad=i < 3 or value != value or value == ""))
    for k in (0, 1):
        for shape in ([48], [1 << 40, 1 << 40], [0, 48], [3, 32], [2, 48, 1, 1], [1 << 63, 2]):
            new = (pair[k][0], 0, shape, pair[k][3])
            write_adapter(keys, [new if i == k else t for i, t in enumerate(pair)])
            tally.add(adapt("%s %r" % new[::2], path, merge=k == 1))
        for raw in NOT_FINITE:
            new = (pair[k][0], 0, pair[k][2], pair[k][3][:-4] + raw)
            write_adapter(keys, [new if i == k else t for i, t in enumerate(pair)])
            tally.add(adapt("%s ends in %s" % (new[0], raw.hex()), path, merge=k == 1, bad=True))
    damaged(good, 3000, 6, attempt)
    tally.end()


@case("adapters that are no files: loops, pipes, folders of nothing, devices")
def _():
    at = lambda name: os.path.join(TMP, name)  # noqa: E731
    os.mkfifo(at("pipe-adapter"))
    os.mkdir(at("nothing-adapter"))
    os.symlink(at("loop-adapter"), at("loop-adapter"))
    write(at("empty-adapter.gguf"), b"")
    for path in [at(n) for n in ("pipe-adapter", "nothing-adapter", "loop-adapter", "empty-adapter.gguf")] + \
            ["/dev/zero", "/dev/null", BASE]:
        for merge in (False, True):
            adapt(path, path, merge=merge, bad=True)
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        for make in (os.mkfifo, os.mkdir, lambda p: os.symlink(p, p), lambda p: os.symlink("/dev/zero", p),
                     lambda p: os.symlink("/dev/null", p), lambda p: write(p, b"")):
            path = adapter()
            os.remove(os.path.join(path, file))
            make(os.path.join(path, file))
            adapt(file, path, bad=True)


# ---- what is no file ----

@case("a loop of links, a pipe, a folder of nothing, an empty file, a device that never ends")
def _():
    at = lambda name: os.path.join(TMP, name)  # noqa: E731
    os.symlink(at("loop-a.gguf"), at("loop-b.gguf"))
    os.symlink(at("loop-b.gguf"), at("loop-a.gguf"))
    os.mkfifo(at("pipe.gguf"))
    os.mkdir(at("nothing"))
    os.mkdir(at("folder.gguf"))
    write(at("empty.gguf"), b"")
    write(at("locked.gguf"), b"GGUF")
    os.symlink("/nowhere/at/all", at("dangling.gguf"))
    names = [at(n) for n in ("loop-a.gguf", "pipe.gguf", "nothing", "folder.gguf", "empty.gguf", "locked.gguf",
                             "dangling.gguf", "x" * 5000)]
    for path in names + ["/dev/zero", "/dev/null", "/dev/stdin", "/proc/self/mem", "/"]:
        for args in (["logits", path, "--ids", "0,1"], ["show", path], ["tokenize", path, "x"]):
            survives("%s %s" % (args[0], path[-40:]), *args, names=path[:200], bad=True)


@case("a model folder whose files are links in a loop, pipes, folders and devices")
def _():
    for file in ("config.json", "model.safetensors"):
        for make in (os.mkfifo, os.mkdir, lambda p: os.symlink(p, p), lambda p: os.symlink("/dev/zero", p),
                     lambda p: os.symlink("/dev/null", p), lambda p: write(p, b"")):
            path = folder("llama")
            os.remove(os.path.join(path, file))
            make(os.path.join(path, file))
            logits("%s" % file, path, bad=True)


# ---- chat templates ----

TEMPLATES = {
    "endless loops": "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
    "endless loops without text": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "huge range": "{{ range(1000000000000)|list|length }}",
    "range of extremes": "{{ range(-9223372036854775808, 9223372036854775807, 1)|length }}",
    "doubled text": "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"
                    "{{ ns.s }}",
    "repeated text": "{{ 'x' * 100000000000 }}",
    "doubled list": "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "a macro that calls itself": "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "deep brackets": "{{ " + "(" * 50000 + "1" + ")" * 50000 + " }}",
    "deep lists": "{{ " + "[" * 50000 + "]" * 50000 + " }}",
    "deep blocks": "{% if true %}" * 20000 + "{% endif %}" * 20000,
    "deep nots": "{{ " + "not " * 50000 + "1 }}",
    "deep minus": "{{ " + "-" * 50000 + "1 }}",
    "a long chain of filters": "{{ 'x'" + "|upper" * 50000 + " }}",
    "a long chain of dots": "{{ messages" + ".x" * 50000 + " }}",
    "reaching for classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "reaching for globals": "{{ messages.__init__.__globals__['os'].popen('id').read() }}",
    "reaching through attr": "{{ ''|attr('__class__') }}",
    "reaching through cycler": "{{ cycler.__init__.__globals__.os.system('id') }}",
    "reaching through format": "{{ '{0.__class__}'.format('x') }}",
    "including files": "{% include '/etc/passwd' %}",
    "importing": "{% import 'os' as os %}{{ os.system('id') }}",
    "power": "{{ 9 ** 9 ** 9 ** 9 }}",
    "shift by format": "{{ '%1000000000d' % 1 }}",
    "division by zero": "{{ 1 // 0 }}{{ 1 % 0 }}",
    "lowest by minus one": "{{ (-9223372036854775807 - 1) // -1 }}",
    "huge indent": "{{ 'a\nb'|indent(1000000000) }}",
    "huge centre": "{{ 'a'|center(1000000000) }}",
    "huge json": "{{ messages|tojson(indent=1000000000) }}",
    "raising": "{{ raise_exception('no\nsecond\x1b[31m line') }}",
    "unfinished": "{% for",
    "binary": "ab\0\1\2{{ '\0' }}",
}


@case("chat templates that loop, grow, nest, or reach for the host")
def _():
    convert.write_gguf(TINY, *parts("llama"))
    path, harmless = os.path.join(TMP, "template.jinja"), 0
    for what, text in TEMPLATES.items():
        write(path, text)
        code, _ = survives(what, "chat", TINY, "--template", path, "--no-history", "--temp", "0", "-n", "2", "--isa",
                           "scalar", "--threads", "1", names="template", stdin=b"ab\n", lines=2)
        harmless += code == 0
        if what.startswith(("endless", "doubled", "repeated", "deep", "a macro", "reaching", "includ", "import")):
            assert code != 0 or what in ("reaching through attr", "reaching through format"), what
    note("%d of %d refused" % (len(TEMPLATES) - harmless, len(TEMPLATES)))


if __name__ == "__main__":
    _tap.main()
