#!/usr/bin/env python3
"""A real model, Gemma 3 270M (Q4_K_M), answers as llama.cpp does, with the same bits everywhere. Prints TAP.

script/fetch-model.py fetches the file; when it cannot, these tests fail. test/golden/gemma/ref.bin is what llama.cpp
computes for test/golden/gemma/text.txt (test/golden/gemma.py made it and describes its layout).
"""
import hashlib
import json
import math
import os
import re
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _gguf  # noqa: E402
from _tap import LOAM, ROOT, Fail, Terminal, case, loam, main, note, tmp  # noqa: E402

GOLDEN = os.path.join(ROOT, "test", "golden")
TEXT = os.path.join(GOLDEN, "gemma", "text.txt")
ISAS = ["scalar", "avx2", "avxvnni", "avx512", "neon"]

# Arithmetic version 1 gives these digests, today and after every change. Another value means that the arithmetic, the
# tokenizer-independent reading of the file or the model's definition has changed: find out which before touching them.
SHA_64 = "8bb5342c28d28e885697edc7021286f7651ffa04bc9b01dd7facebe2b6d27738"
SHA_600 = "6db696b84744ebb3c9e7e16e2c0f6820c86c64e166e76d5d6e534a4232988a96"
SHA_F32 = "ae7becf694682e53f3cf1fb913fcc1063deb679fc99fbd3fc4e555abf8efe4cf"


class Golden:
    def __init__(self):
        with open(os.path.join(GOLDEN, "gemma", "ref.bin"), "rb") as f:
            data = f.read()
        assert data[:8] == b"GEMMREF1"
        n, n_wanted, n_logits, self.step = struct.unpack_from("<4i", data, 8)
        self.ids = struct.unpack_from(f"<{n}i", data, 24)
        self.top = struct.unpack_from(f"<{n}i", data, 24 + 4 * n)
        self.loss, *self.wanted = struct.unpack_from(f"<d{n_wanted}i", data, 24 + 8 * n)
        at = 32 + 8 * n + 4 * n_wanted
        values = struct.unpack_from(f"<{n_wanted * n_logits}e", data, at)
        self.logits = [values[i:i + n_logits] for i in range(0, len(values), n_logits)]


REF = Golden()


def model():
    """The file; fetched by the first case that asks."""
    if not hasattr(model, "path"):
        done = subprocess.run([sys.executable, os.path.join(ROOT, "script", "fetch-model.py")], capture_output=True,
                              text=True)
        if done.returncode != 0:
            raise Fail("the model could not be fetched:\n" + done.stderr)
        model.path = done.stdout.strip()
    return model.path


def joined(ids):
    return ",".join(map(str, ids))


# ---- against llama.cpp ----

@case("token ids are llama.cpp's")
def _():
    ids = tuple(map(int, loam("tokenize", model(), "-f", TEXT).stdout.split()))
    assert ids == REF.ids, (ids, REF.ids)


@case("the likeliest token is llama.cpp's at 95 % of 200 positions")
def _():
    lines = loam("logits", model(), "--ids", joined(REF.ids[:200]), "--all", "--top", 1).stdout.splitlines()
    mine = [int(line.split()[0]) for line in lines]
    same = sum(a == b for a, b in zip(mine, REF.top))
    note(f"the same at {same} of {len(mine)} positions")
    assert len(mine) == 200 and same >= 190, same


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def centred(a):
    mean = sum(a) / len(a)
    return [x - mean for x in a]


def sampled_logits(*options):
    """Every REF.step-th logit at the positions of the golden file."""
    out = []
    for position in REF.wanted:
        lines = loam("logits", model(), "--ids", joined(REF.ids[:position + 1]), *options).stdout.split()
        out.append([float(x) for x in lines[::REF.step]])
    return out


@case("logits are as near to llama.cpp's as two 8-bit computations can be")
def _():
    # Both compute with activations in 8 bits, each with errors of its own; neither is the exact product. So three things
    # are required: the exact product (--weights f32) agrees with llama.cpp; with the weights as stored Loam is not
    # farther from the exact product than llama.cpp is; and at every position the two agree apart from a constant
    # added to all logits, which changes no probability and is the noisiest part of them.
    mine, exact = sampled_logits(), sampled_logits("--weights", "f32")
    worst = 1.0
    for position, a, b, f in zip(REF.wanted, mine, REF.logits, exact):
        near = cosine(centred(a), centred(b))
        worst = min(worst, near)
        note(f"position {position}: cosine {cosine(a, b):.5f}, centred {near:.5f}; to the exact product: "
             f"{cosine(centred(a), centred(f)):.5f}, llama.cpp's {cosine(centred(b), centred(f)):.5f}")
    flat = [[x for row in rows for x in row] for rows in (mine, REF.logits, exact)]
    together, ours, theirs = (cosine(flat[a], flat[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    note(f"all positions together: Loam and llama.cpp {together:.6f}, Loam and exact {ours:.6f}, llama.cpp and exact "
         f"{theirs:.6f}")
    assert theirs >= 0.999, theirs
    assert ours >= 0.999 and 1 - ours <= 1.25 * (1 - theirs), (ours, theirs)
    assert together >= 0.998 and worst >= 0.998, (together, worst)


@case("perplexity is llama.cpp's")
def _():
    j = json.loads(loam("perplexity", model(), TEXT, "--json").stdout)
    note(f"nll {j['nll']:.5f}, llama.cpp's {REF.loss:.5f}")
    assert j["tokens"] == len(REF.ids) - 1
    assert abs(j["nll"] - REF.loss) < 0.02 and 35 < j["ppl"] < 41, j


# ---- the same bits ----

def digest(ids, *options, program=LOAM):
    run = subprocess.run([program, "logits", model(), "--ids", joined(ids), "--top", "1", *map(str, options)],
                         capture_output=True, text=True, timeout=300)
    if run.returncode != 0:
        raise Fail(f"{program} {options}: {run.stderr}")
    return run.stderr.strip()


def usable():
    found = [i for i in ISAS if loam("bench", os.path.join(GOLDEN, "models", "llama"), "-p", 1, "-n", 1, "-r", 1, "--isa", i,
                                     want=None).returncode == 0]
    assert found and found[0] == "scalar", found
    return found


def same(ids, wanted, ways, program=LOAM):
    for options in ways:
        got = digest(ids, *options, program=program)
        if got != wanted:
            raise Fail(f"{' '.join(map(str, options))}: {got} instead of {wanted}")


@case("one SHA-256 over instruction sets, threads and chunks")
def _():
    isas, ids = usable(), REF.ids[:64]
    note("instruction sets: " + " ".join(isas))
    same(ids, SHA_64, [("--isa", i) for i in isas])
    same(ids, SHA_64, [("--threads", t) for t in (1, 2, 3, 8)])
    same(ids, SHA_64, [("--chunk", c) for c in (1, 7)])
    same(ids, SHA_64, [("--isa", i, "--threads", t, "--chunk", c)
                       for i, t, c in zip(isas * 2, (3, 2, 8, 1, 3, 2), (7, 1, 7, 64, 16, 7))])


@case("one SHA-256 past the sliding window of 512 positions")
def _():
    ids = (REF.ids * 3)[:600]
    same(ids, SHA_600, [(), ("--isa", usable()[-1], "--threads", 3, "--chunk", 7), ("--threads", 1, "--chunk", 100),
                        ("--isa", usable()[len(usable()) // 2], "--ctx", 1000)])


@case("one SHA-256 with weights in f32")
def _():
    same(REF.ids[:16], SHA_F32, [("--weights", "f32"), ("--weights", "f32", "--threads", 3, "--chunk", 7),
                                 ("--weights", "f32", "--isa", "scalar", "--chunk", 1)])


@case("one SHA-256 from gcc and from clang")
def _():
    other = os.path.abspath(os.environ.get("LOAM_BIN_OTHER", os.path.join(ROOT, "build-clang", "loam")))
    if not os.path.exists(other):
        raise Fail(f"{other}: no such program; `make other` builds it with the other compiler")
    same(REF.ids[:64], SHA_64, [(), ("--chunk", 7, "--threads", 3), *(("--isa", i) for i in usable())], program=other)


# ---- answers ----

EXAMPLES = """Question: What is the capital of Japan?
Answer: The capital of Japan is Tokyo.

Question: What do bees make?
Answer: Bees make honey.

Question: How many legs does a spider have?
Answer: A spider has eight legs.

Question: """
QUESTIONS = [("What is the capital of France?", "paris"), ("What do cows drink?", None),
             ("What colour is the sky on a clear day?", "blue"), ("Which animal barks?", "dog"),
             ("What is the largest ocean?", "pacific"), ("Where do fish live?", "ocean|water|sea|river"),
             ("What do we use to write on paper?", "pen"), ("What planet do we live on?", "earth"),
             ("What is ice made of?", "water"), ("How many days are in a week?", "seven|7")]
COMMON = set("""a an and are as at be by can do does for from has have he her his in is it its live made make makes most of on
or people she animal answer blue cow cows day days dog drink earth fish ice milk ocean pacific paris pen pencil pencils
planet sea sky water week write that the their there they this to use uses used was we were when where which who with you your""".split())


@case("ten plain questions are answered in English, most of them rightly")
def _():
    right = asked = 0
    for question, truth in QUESTIONS:
        answer = loam("run", model(), "-p", EXAMPLES + question + "\nAnswer:", "-n", 40, "--temp", 0, "--stop",
                      "\n").stdout.strip()
        is_right = truth is not None and re.search(truth, answer.lower()) is not None
        asked += truth is not None
        right += is_right
        note(f"{question} {answer}{'' if truth is None or is_right else '   (wrong)'}")
        sentence = re.split(r"(?<=[.!?])\s", answer)[0]
        words = re.findall(r"[A-Za-z']+", sentence.lower())
        letters = sum(c.isascii() and (c.isalpha() or c in " ,.'0123456789") for c in answer)
        assert words and letters >= 0.95 * len(answer), answer
        assert len(words) < 3 or any(w in COMMON for w in words), answer
        threes = [tuple(words[i:i + 3]) for i in range(len(words) - 2)]
        assert len(set(threes)) == len(threes) and not any(a == b for a, b in zip(words, words[1:])), answer
        assert sentence[-1] in ".!?" or len(words) <= 3, answer
    note(f"{right} of {asked} right")
    assert right >= 6, right


# ---- dequantised files ----

@case("every format is dequantised to what the golden file says")
def _():
    with open(os.path.join(GOLDEN, "models", "models.json")) as f:
        wanted = json.load(f)["quant"]["f32"]
    for name, kind, _, raw in _gguf.read(os.path.join(GOLDEN, "models", "quant", "blocks.gguf"))[1]:
        assert hashlib.sha256(_gguf.dequantised(kind, raw)).hexdigest() == wanted[name], name


@case("perplexity of a quantised file with --weights f32 is that of its f32 form")
def _():
    wide = os.path.join(tmp(), "wide.gguf")
    keys, tensors = _gguf.read(os.path.join(GOLDEN, "models", "quant", "mixed.gguf"))
    assert len({kind for _, kind, _, _ in tensors}) == 13
    # Its only merge makes a token that its small vocabulary lacks; characters alone will do.
    keys = _gguf.without_merges(keys)
    mixed = os.path.join(tmp(), "mixed.gguf")
    _gguf.write(mixed, keys, tensors)
    _gguf.write(wide, keys, _gguf.widen(tensors))
    text = os.path.join(tmp(), "letters.txt")
    with open(text, "w") as f:
        f.write("THEREWASONCEABAKERWHOLIVEDBYTHERIVER,ANDHEROSEEARLY.1987" * 4)
    a, b, c = (json.loads(loam("perplexity", path, text, "--json", "--ctx", 64, *options).stdout)
               for path, options in ((mixed, ["--weights", "f32"]), (wide, []), (mixed, [])))
    note(f"dequantised {a['ppl']:.9g}, f32 file {b['ppl']:.9g}, as stored {c['ppl']:.9g}")
    assert a["tokens"] == b["tokens"] > 200 and abs(a["ppl"] / b["ppl"] - 1) <= 1e-5
    assert a["ppl"] != c["ppl"]  # the option does something


# ---- the terminal and the stream ----

@case("chat on a terminal: streams, Ctrl-C stops the answer, several lines, /clear, history")
def _():
    state = os.path.join(tmp(), "state")
    env = {**os.environ, "HOME": tmp(), "TERM": "xterm", "LC_ALL": "C.UTF-8", "XDG_STATE_HOME": state, "NO_COLOR": "1"}
    args = ["chat", model(), "--template", "gemma", "--temp", "0", "--ctx", "4000"]
    t = Terminal(*args, env=env)
    assert b"Gemma 3 270m" in t.wait(b"> ")
    t.type(b"/set n 30\r")
    t.wait(b"> ")
    t.type(b"Why is the sky blue?\r")
    t.wait(b"blue?\r\n")
    answer = t.wait(b"\r\n> ")
    assert len(answer) > 20, answer
    # A long answer, of which something is seen before it ends; Ctrl-C ends it and a new line can be typed.
    t.type(b"/set n 3000\r")
    t.wait(b"> ")
    t.type(b"Tell me a long story.\r")
    t.wait(b"story.\r\n")
    end = time.time() + 60
    while len(t.shown) < 20 and time.time() < end:
        t.shown += os.read(t.fd, 100)
    assert b"\n> " not in t.shown and len(t.shown) >= 20, t.shown
    t.type(b"\x03")
    t.wait(b"stopped; /undo", 20)
    t.wait(b"> ")
    # /clear empties the conversation: the same question gets the first answer again.
    for line in (b"/clear", b"/set n 30"):
        t.type(line + b"\r")
        t.wait(b"> ")
    t.type(b"Why is the sky blue?\r")
    t.wait(b"blue?\r\n")
    again = t.wait(b"\r\n> ")
    assert again == answer, (answer, again)
    t.type(b'"""one\r')
    t.wait(b"... ")
    t.type(b'two"""\r')
    t.wait(b'two"""\r\n')
    t.wait(b"\r\n> ")
    # The key for the line above brings the last one back.
    t.type(b"\x1b[A")
    t.wait(b'two"""')
    t.type(b"\x15/save " + os.path.join(tmp(), "talk.json").encode() + b"\r")
    t.wait(b"> ")
    t.type(b"\x04")
    assert t.end() == 0
    with open(os.path.join(tmp(), "talk.json")) as f:
        messages = json.load(f)["messages"]
    assert [m["content"] for m in messages if m["role"] == "user"] == ["Why is the sky blue?", "one\ntwo"], messages
    t = Terminal(*args, env=env)
    t.wait(b"> ")
    t.type(b"\x1b[A\x1b[A\x1b[A")
    t.wait(b'"""one')
    t.type(b"\x15")
    t.type(b"/quit\r")
    assert t.end() == 0


@case("a stream never shows half a character")
def _():
    prompts = ["Translate English to Chinese.\nEnglish: Good morning. Chinese: 早上好。\nEnglish: Thank you. Chinese: 谢谢。\n"
               "English: I love you. Chinese:", "🎉🎂🎁🎈🐶🐱🐭🐹🐰", "\U0001f469\U0001f3fe\u200d\U0001f680 \U00012000\U00012001"]
    for prompt, sampling in zip(prompts, (["--temp", "0"], ["--temp", "0"], ["--temp", "1.5", "--top-k", "0", "--seed", "4"])):
        p = subprocess.Popen([LOAM, "run", model(), "-p", prompt, "-n", "60", "--ignore-eos", *sampling],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        seen, n_reads = b"", 0
        while more := os.read(p.stdout.fileno(), 65536):
            seen += more
            n_reads += 1
            seen.decode()  # throws at half a character
        assert p.wait(60) == 0, p.stderr.read()
        p.stdout.close()
        p.stderr.close()
        note(f"{n_reads} reads: {seen.decode()[:60]!r}")
        assert n_reads >= 5 and any(b >= 0x80 for b in seen), (n_reads, seen)


@case("memory is as `loam show` foretells")
def _():
    told = json.loads(loam("show", model(), "--json", "--ctx", 4096).stdout)["memory"]["total_bytes"]
    for prompt in ("Hello", "The river ran past the mill and under the bridge. " * 250):
        p = subprocess.Popen([LOAM, "run", model(), "--ctx", "4096", "-p", prompt, "-n", "8"], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        peak = used.ru_maxrss * 1024
        note(f"foretold {told / 1e6:.1f} MB, used {peak / 1e6:.1f} MB ({100 * peak / told - 100:+.1f} %)")
        assert p.returncode == 0 and abs(peak / told - 1) <= 0.05, (peak, told)


main()
