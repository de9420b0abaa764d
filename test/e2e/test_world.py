#!/usr/bin/env python3
"""loam corpus and loam eval as a person uses them, and a reader that knows only the text. Prints TAP.

The reader understands the plain English of `--mix tiny` and `--mix bare` sentence by sentence and answers the questions of thousands of
documents: what the questions ask for stands in the text, and nothing else is needed.
"""
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import LOAM, ROOT, case, loam, main, note, tmp  # noqa: E402

MODEL = os.path.join(tmp(), "model")


def corpus(*args):
    return [json.loads(line) for line in loam("corpus", "homeworld", *args).stdout.splitlines()]


# ---- a reader of plain stories ----

WHO, THING, PLACE = r"([A-Z][a-z]+)", r"(?:an?|the) ((?:\w+ )?(?:toy car|\w+))", r"(on|in) the (\w+)"
ROOM = r"(?:(?:up |down |out )?to|into) the (living room|\w+)"
LEAD = re.compile(r"^(?:Then|Soon after,|Soon|After that,|Next,|Later,|Meanwhile,|A moment later,|A little later,) ")
COLOURS = "red blue green yellow white black brown grey pink orange purple".split()


class Reader:
    """Knows where everybody and everything is after the sentences so far."""

    def __init__(self, text):
        self.room, self.spot, self.fixture_room, self.did = {}, {}, {}, []
        self.subject = self.it = None
        for sentence in re.findall(r'[^.]+\.', text):
            self.sentence(sentence.strip().rstrip("."))

    def thing(self, words):
        """The full name of what is meant by "the red ball", "ball" or "it"."""
        words = words.removeprefix("the ")
        if words == "it":
            return self.it
        known = [t for t in self.spot if t == words or t.split(" ", 1)[1] == words]
        assert len(known) == 1, (words, known)
        self.it = known[0]
        return self.it

    def things(self, words):
        found = re.findall(r"an? ((?:%s) (?:toy car|\w+))" % "|".join(COLOURS), words)
        assert found, words
        return found

    def place_things(self, words, prep, fixture, room):
        self.fixture_room[fixture] = room
        for t in self.things(words):
            self.spot[t] = (prep, fixture)

    def sentence(self, s):
        place = r"(on|in) the (?:closed |open )?(\w+) in the (living room|\w+)"
        if m := re.fullmatch(r"There (?:was|were) (.*) " + place, s):
            return self.place_things(m[1], m[2], m[3], m[4])
        if m := re.fullmatch(r"(?:On|In)( the .*) there (?:was|were) (.*)", s):
            where = re.fullmatch(place, s[:2].lower() + m[1])
            return self.place_things(m[2], where[1], where[2], where[3])
        if (m := re.fullmatch(r"(An? .*) (?:was|were) " + place, s)):
            return self.place_things(m[1].lower(), m[2], m[3], m[4])
        if re.match(r"[A-Z]\w+(, \w+)*( and the robot| and [A-Z]\w+)? (was|were) in the", s):
            for names, room in re.findall(r"(.*?) (?:was|were) in the (living room|\w+)(?:,? and |$)", s):
                for name in re.findall(r"[A-Z]\w+", names):
                    self.room[name] = room
            return None
        if m := re.fullmatch(WHO + r" (?:had|was holding) (.*)", s):
            for t in self.things(m[2]):
                self.spot[t] = ("with", m[1])
            return None
        return self.acts(s)

    def acts(self, s):
        s = LEAD.sub("", s)
        if s.startswith('"Thank you,"'):
            self.subject = s.split()[-1]
            return
        name, rest = s.split(" ", 1)
        if name not in ("He", "She", "he", "she"):
            self.subject = name
        who = self.subject
        for part in re.split(r", | and (?=(?:%s)\b)" % "|".join(VERBS), rest):
            self.act(who, part)

    def act(self, who, part):
        for pattern, what in ACTS:
            if m := re.fullmatch(pattern, part):
                what(self, who, *m.groups())
                return
        raise AssertionError("the reader does not understand: %s %s" % (who, part))

    def go(self, who, room):
        self.room[who] = room

    def carry(self, who, thing, room):
        self.thing(thing)
        self.room[who] = room

    def take(self, who, thing, prep=None, fixture=None):
        t = self.thing(thing)
        assert fixture is None or self.spot[t][1] == fixture, (t, self.spot[t], fixture)
        self.did.append(("took the " + t, who))
        self.spot[t] = ("with", who)

    def put(self, who, thing, prep, fixture):
        t = self.thing(thing)
        assert self.spot[t] == ("with", who)
        self.did.append((f"put the {t} {prep} the {fixture}", who))
        self.spot[t] = (prep, fixture)
        self.fixture_room[fixture] = self.room[who]

    def give(self, who, thing, other):
        t = self.thing(thing)
        assert self.room[who] == self.room[other]
        self.did.append((f"gave the {t} to {other}", who))
        self.spot[t] = ("with", other)

    def open(self, who, verb, fixture):
        self.did.append((f"{verb} the {fixture}", who))
        self.it = None

    def eat(self, who, thing):
        t = self.thing(thing)
        self.did.append(("ate the " + t, who))
        self.spot[t] = ("gone", "")

    def want(self, who, thing):
        self.thing(thing)

    def nothing(self, who):
        pass

    def where(self, thing):
        prep, at = self.spot[thing]
        return f"{prep} {at}" if prep == "with" else f"{prep} the {at}"

    def answer(self, q):
        if m := re.fullmatch(r"Where (?:is|can) the (.*?)(?: now| be found)?\?", q):
            return self.where(self.thing(m[1]))
        if m := re.fullmatch(r"Where is (\w+)(?: now)?\?|Which room is ([A-Z]\w+) in\?", q):
            return "in the " + self.room[m[1] or m[2]]
        if m := re.fullmatch(r"Who (?:has|is holding) the (.*)\?", q):
            return self.spot[self.thing(m[1])][1]
        if m := re.fullmatch(r"What (?:colour is|is the colour of) the (.*)\?", q):
            return self.thing(m[1]).split()[0]
        if m := re.fullmatch(r"Which room is the (.*) in\?|In which room is the (.*)\?", q):
            prep, at = self.spot[self.thing(m[1] or m[2])]
            return "in the " + (self.room if prep == "with" else self.fixture_room)[at]
        if m := re.fullmatch(r"Who did (\w+) give the (.*) to\?|Who got the (.*) from (\w+)\?", q):
            giver, thing = m[1] or m[4], m[2] or m[3]
            return [what.split(" to ")[1] for what, who in self.did
                    if who == giver and what.startswith(f"gave the {thing} to ")][-1]
        if m := re.fullmatch(r"Who (.*)\?", q):
            return dict(self.did)[m[1]]
        raise AssertionError("a question that the reader does not know: " + q)


    def whole(self, q, answer):
        """The answer as a sentence that says what was asked about."""
        about = re.search(r"((?:(?:%s) )?(?:toy car|\w+))(?: now| be found| in)?\?" % "|".join(COLOURS), q)[1]
        return f"{'' if about[0].isupper() else 'the '}{about} is {answer}"


OBJ = r"(it|the (?:(?:%s) )?(?:toy car|\w+))" % "|".join(COLOURS)
ACTS = [
    (r"(?:went|walked|ran) " + ROOM, Reader.go),
    (r"(?:carried|brought) " + OBJ + " " + ROOM, Reader.carry),
    (r"(?:took|picked up|got) " + OBJ + r"(?: (from) the (\w+))?", Reader.take),
    (r"(?:put|placed) " + OBJ + " " + PLACE, Reader.put),
    (r"gave " + OBJ + r" to ([A-Z]\w+)", Reader.give),
    (r"gave ([A-Z]\w+) the (.*)", lambda r, who, other, thing: r.give(who, thing, other)),
    (r"(opened|closed) the (\w+)", Reader.open),
    (r"ate " + OBJ, Reader.eat),
    (r"(?:was hungry and )?(?:wanted to play with|wanted to look at|wanted to wear|wanted|needed) the (.*)", Reader.want),
    (r"thanked [A-Z]\w+|was happy|sang a song|laughed|yawned|danced a little|whistled a tune|waited a while|smiled"
     r"|sat down for a moment|stood still for a moment", Reader.nothing),
]
VERBS = "went walked ran carried brought took picked got put placed gave opened closed ate".split()


@case("every answer of plain documents stands in the text (a reader of sentences)")
def _():
    for mix, n in ("tiny", 18000), ("bare", 2000):
        asked = 0
        for split in ("train", "test"):
            for d in corpus("--mix", mix, "--docs", n, "--split", split):
                if d["kind"] != "qa":
                    continue
                story, *questions = d["text"].split("\nQ: ")
                reader = Reader(story)
                for q in questions:
                    q, a = q.strip().split("\nA: ")
                    got = reader.answer(q)
                    if mix == "bare" and not q.startswith("Who "):
                        got = reader.whole(q, got)
                    assert got.lower() == a.rstrip(".").lower(), f"{d['text']}\nthe reader says: {got}"
                    asked += 1
        note(f"{asked} answers in mix {mix}")
        assert asked > 6000


# ---- the command ----

@case("one line a document, the same for any number of threads")
def _():
    digests = {hashlib.sha256(loam("corpus", "homeworld", "--docs", 3000, "-t", t).stdout.encode()).hexdigest()
               for t in (1, 2, 3, 7)}
    assert len(digests) == 1
    docs = corpus("--docs", 3000)
    assert len(docs) == 3000 and len({d["id"] for d in docs}) == 3000
    for d in docs:
        assert list(d) == ["id", "text", "source", "licence", "topic", "kind", "facts"], d
        assert d["source"] == "homeworld" and d["licence"] == "CC0-1.0" and d["text"] and d["topic"]
        assert (d["kind"] == "fact") == (d["facts"] != [])
    assert {d["kind"] for d in docs} == {"story", "qa", "fact", "plan"}
    assert docs[:100] == corpus("--docs", 100), "the first documents do not depend on how many follow"
    assert docs[:100] != corpus("--docs", 100, "--seed", 2)
    assert corpus("--docs", 0) == []


@case("--facts lists the documents that state each fact")
def _():
    for mix in ("full", "tiny"):
        docs = corpus("--docs", 2000, "--mix", mix, "--seed", 5)
        facts = corpus("--docs", 2000, "--mix", mix, "--seed", 5, "--facts")
        assert len(facts) == 96
        for f in facts:
            assert f["documents"] == [d["id"] for d in docs if f["id"] in d["facts"]]
            answer = f["answer"].rstrip(".").split()[0 if f["id"].startswith("price") else -1]
            for d in docs:
                if d["id"] in f["documents"]:
                    assert answer.lower() in d["text"].lower(), (f, d)
                assert f["question"] not in d["text"], "train asks in the test's wording: %s" % d


@case("--stats counts what is printed")
def _():
    docs = corpus("--docs", 1000)
    stats = json.loads(loam("corpus", "homeworld", "--docs", 1000, "--stats", "--json").stdout)
    assert stats["all"]["docs"] == 1000
    for kind in ("story", "qa", "fact", "plan"):
        texts = [d["text"] for d in docs if d["kind"] == kind]
        assert stats[kind] == {"docs": len(texts), "bytes": sum(map(len, texts)), "longest": max(map(len, texts))}
    assert "documents" in loam("corpus", "homeworld", "--docs", 1000, "--stats").stdout


@case("at least 20 MB/s of one core")
def _():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = os.path.join(tmp(), "speed.jsonl")
    with open(out, "wb") as f:
        subprocess.run([LOAM, "corpus", "homeworld", "--docs", "40000", "-t", "1"], stdout=f, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    rate = os.path.getsize(out) / seconds / 1e6
    note(f"{rate:.0f} MB/s of processor time")
    os.unlink(out)
    assert rate >= 20, rate


@case("doc/homeworld.md shows documents as they are")
def _():
    docs = {d["id"]: d for d in corpus("--docs", 3000)}
    with open(os.path.join(ROOT, "doc/homeworld.md")) as f:
        shown = re.findall(r"```\n(hw-\d+)\n(.*?)```", f.read(), re.S)
    assert [docs[name]["kind"] for name, _ in shown] == ["story", "qa", "fact", "plan"]
    for name, text in shown:
        assert docs[name]["text"] == text, name


@case("wrong uses are named")
def _():
    for args, text in ((["corpus", "moon"], "homeworld"), (["corpus"], "missing"),
                       (["corpus", "homeworld", "--split", "dev"], "--split"),
                       (["corpus", "homeworld", "--facts", "--stats"], "exclude"),
                       (["corpus", "homeworld", "--docs", "-1"], "--docs"),
                       (["eval", MODEL, "homeworlds"], "did you mean homeworld"),
                       (["eval", MODEL, "homeworld", "--kind", "facts,maths"], "maths"),
                       (["eval", MODEL], "missing")):
        r = loam(*args, want=2)
        assert text in r.stderr and r.stdout == "", (args, r.stderr)
    r = loam("eval", os.path.join(tmp(), "nothing"), "homeworld", want=1)
    assert "nothing" in r.stderr


@case("a reader that stops early ends it quietly; a full disk is told")
def _():
    p = subprocess.run(f"'{LOAM}' corpus homeworld --docs 400000 | head -c 1000 | wc -c", shell=True, capture_output=True,
                       text=True, timeout=60)
    assert p.stdout.strip() == "1000" and p.stderr == "", p
    with open("/dev/full", "wb") as full:
        p = subprocess.run([LOAM, "corpus", "homeworld", "--docs", "5000"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert p.returncode == 1 and "standard output" in p.stderr, p


# ---- evaluation ----

def byte_character(b):
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return chr(b) if b in plain else chr(256 + sum(1 for x in range(b) if x not in plain))


def make_model():
    """A random model over bytes: it answers nonsense, always the same."""
    shutil.copytree(os.path.join(ROOT, "test/golden/models/llama"), MODEL)
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    vocab = {"<s>": 0, **{byte_character(b): i + 1 for i, b in enumerate([10, *range(32, 127)])}}
    tokenizer = {"version": "1.0", "normalizer": None, "pre_tokenizer": level, "decoder": level, "post_processor": None,
                 "added_tokens": [dict(id=0, content="<s>", single_word=False, lstrip=False, rstrip=False,
                                       normalized=False, special=True)],
                 "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                           "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocab,
                           "merges": []}}
    with open(os.path.join(MODEL, "tokenizer.json"), "w") as f:
        json.dump(tokenizer, f)


@case("eval asks what --quiz lists, greedily, and scores it")
def _():
    one = loam("eval", MODEL, "homeworld", "-n", 12, "--json", "-t", 1).stdout
    assert one == loam("eval", MODEL, "homeworld", "-n", 12, "--json", "-t", 2).stdout
    r = json.loads(one)
    assert r["task"] == "homeworld" and r["seed"] == 1 and len(r["items"]) == 36
    quiz = [q for kind in ("facts", "reading", "plans") for q in corpus("--quiz", kind, "--docs", 12)]
    assert [i["id"] for i in r["items"]] == [q["id"] for q in quiz]
    assert [i["want"] for i in r["items"]] == [q["answer"] for q in quiz]
    for i, q in list(zip(r["items"], quiz))[:12]:
        said = loam("run", MODEL, "-p", q["prompt"], "-n", 24, "--temp", 0, "--stop", q["stop"], "--json").stdout
        assert json.loads(said)["text"] == i["got"], (q, i, said)
    for kind in ("facts", "reading", "plans"):
        x = r[kind]
        right = sum(i["right"] for i, q in zip(r["items"], quiz) if q["kind"] == kind)
        assert x["n"] == 12 and x["right"] == right and x["low"] <= x["accuracy"] <= x["high"], x
        assert sum(t["n"] for t in x["types"].values()) == 12
    assert abs(r["facts"]["chance"] - 1 / 12) < 1e-9 and r["plans"]["chance"] == 0 and 0 < r["reading"]["chance"] < 1


@case("eval prints a table, kinds can be chosen, failures shown")
def _():
    r = loam("eval", MODEL, "homeworld", "--kind", "facts")
    lines = r.stdout.splitlines()
    assert len(lines) == 2 and re.match(r"facts +\d+ +96 +\d+\.\d %", lines[1]), r.stdout
    r = loam("eval", MODEL, "homeworld", "--kind", "facts", "-n", 3, "--verbose")
    assert r.stderr.count("wrong: the answer is") == 3 and "  maker" in r.stdout, r


make_model()
main()
