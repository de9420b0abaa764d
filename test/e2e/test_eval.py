#!/usr/bin/env python3
"""loam eval with items of a file: a tiny model's scores are those that its logits say, computed here token by token."""
import gzip
import json
import math
import os
import random

import _tiny
from _tap import ROOT, case, loam, main, tmp

MODEL, OTHER = os.path.join(tmp(), "model"), os.path.join(tmp(), "other.gguf")
_tiny.make_model(MODEL)
loam("quantize", MODEL, OTHER, "q4_0")


def write(name, lines, pack=open):
    path = os.path.join(tmp(), name)
    with pack(path, "wt") as f:
        f.writelines((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines)
    return path


def evaluate(*args, want=0):
    out = loam("eval", *args, *([] if want else ["--json"]), want=want)
    return out.stderr if want else json.loads(out.stdout)


def ids_of(text):
    """With <s> in front."""
    return [int(x) for x in loam("tokenize", MODEL, text).stdout.split()]


def logprob(m, before, after):
    """The sum over the ids `after`, each after all before it, from the logits as printed."""
    total = 0.0
    for k, t in enumerate(after):
        out = loam("logits", m, "--ids", ",".join(map(str, before + after[:k])))
        logits = [float(x) for x in out.stdout.split()]
        top = max(logits)
        total += logits[t] - top - math.log(math.fsum(math.exp(x - top) for x in logits))
    return total


ITEMS = [
    {"question": "ab", "choices": ["c", "de"], "answer": 0},
    {"prompt": "x ", "choices": ["yz", "q"], "answer": "q"},
    {"query": "no", "choices": {"text": ["w", "vut"], "label": ["A", "B"]}, "answerKey": "B"},
    {"ctx": "k", "endings": ["l", "mn", "l"], "label": "1"},
]
CHOICES, TEXT_FILE = write("choices.jsonl", ITEMS), os.path.join(tmp(), "text.txt")
TEXT = "".join(random.Random(1).choice("abcdefgh \n") for _ in range(60))
with open(TEXT_FILE, "w") as out_file:
    out_file.write(TEXT)


@case("choices: the sums of log probabilities, and the choices by sum and by byte, are those of the logits")
def _():
    got = evaluate(MODEL, "choices", CHOICES)
    right = right_norm = 0
    for item, it in zip(got["items"], ITEMS):
        question = next(it[k] for k in ("question", "prompt", "query", "ctx") if k in it)
        choices = it.get("choices", it.get("endings"))
        choices = choices["text"] if isinstance(choices, dict) else choices
        before = ids_of(question.rstrip(" "))
        for choice, sum_got in zip(choices, item["logprobs"]):
            whole = ids_of(question + " " + choice)
            assert whole[:len(before)] == before
            want = logprob(MODEL, before, whole[len(before):])
            assert abs(sum_got - want) < 1e-5, (choice, sum_got, want)
        sums = item["logprobs"]
        norm = [s / len(c) for s, c in zip(sums, choices)]
        assert item["got"] == sums.index(max(sums)) and item["got_norm"] == norm.index(max(norm)), item
        right += item["got"] == item["want"]
        right_norm += item["got_norm"] == item["want"]
    assert [x["want"] for x in got["items"]] == [0, 1, 1, 1]
    assert got["acc"]["right"] == right and got["acc_norm"]["right"] == right_norm and got["acc"]["n"] == 4
    p, z = right / 4, 1.959963984540054
    centre = (p + z * z / 8) / (1 + z * z / 4)
    half = z * math.sqrt((p * (1 - p) + z * z / 16) / 4) / (1 + z * z / 4)
    assert right == 0 or abs(got["acc"]["low"] - (centre - half)) < 1e-12
    assert right == 4 or abs(got["acc"]["high"] - (centre + half)) < 1e-12


@case("choices --chat: the question is a user's message, the choice what the assistant says")
def _():
    got = evaluate(MODEL, "choices", write("one.jsonl", ITEMS[:1]), "--chat", "--template", "plain")
    before = ids_of("User: ab\nAssistant:")
    for choice, x in zip(ITEMS[0]["choices"], got["items"][0]["logprobs"]):
        assert abs(x - logprob(MODEL, before, ids_of(choice)[1:])) < 1e-5


@case("exact: the greedy answer, up to its line, is compared without blanks; examples of tuning are questions, too")
def _():
    questions = ["ab", "Who?", "12"]
    answers = [loam("run", MODEL, "-p", q, "--temp", "0", "-n", "12").stdout.split("\n")[0].strip() for q in questions]
    lines = [{"prompt": questions[0], "answer": answers[0] + "  "}, {"question": questions[1], "answer": ["no", answers[1]]},
             {"prompt": questions[2], "completion": " " + answers[2]}, {"prompt": questions[2], "answer": answers[2] + "x"}]
    path = write("exact.jsonl.gz", lines, gzip.open)
    got = evaluate(MODEL, "exact", path, "--tokens", "12")
    assert [x["right"] for x in got["items"]] == [True, True, True, False], got["items"]
    assert [x["got"] for x in got["items"]] == answers + answers[2:]
    assert (got["exact"]["n"], got["exact"]["right"]) == (4, 3)
    part = answers[0][:2]
    for how, want in (("exact", 0), ("begin", 1), ("contain", 1)):
        one = write("match.jsonl", [{"prompt": questions[0], "answer": part}])
        assert evaluate(MODEL, "exact", one, "--tokens", "12", "--match", how)["exact"]["right"] == want, how
    talk = [{"messages": [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "no"}]}]
    assert "--chat" in evaluate(MODEL, "exact", write("talk.jsonl", talk), want=2)
    assert evaluate(MODEL, "exact", write("talk.jsonl", talk), "--chat", "--template", "plain")["exact"]["n"] == 1


@case("exact --chat: tools, calls, results are told as tuning tells them, though the template knows of none")
def _():
    source = ("{% for m in messages %}{% if m.role == 'tool' or m.tool_calls %}{{ raise_exception('no tools') }}{% endif %}"
              "{{ m.role }}:{{ m.content }}\n{% endfor %}")
    template = os.path.join(tmp(), "no-tools.jinja")
    with open(template, "w") as f:
        f.write(source)
    call = {"role": "assistant", "tool_calls": [{"name": "f", "arguments": {}}]}
    result, want = {"role": "tool", "content": "r"}, {"role": "assistant", "content": "no"}
    said = [{"role": "assistant", "content": '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'},
            {"role": "user", "content": "<tool_response>\nr\n</tool_response>"}]
    ask = {"role": "user", "content": "a"}
    got = [evaluate(MODEL, "exact", write("tools.jsonl", [{"messages": [ask, *turns, want]}]), "--chat", "--template", template)
           for turns in ([call, result], said)]
    assert got[0]["items"] == got[1]["items"], got
    tools = [{"type": "function", "function": {"name": "f", "description": "d" * 9000}}]
    line = write("described.jsonl", [{"messages": [ask, want], "tools": tools}])
    out = loam("eval", MODEL, "exact", line, "--chat", "--template", template, want=None).stderr
    assert "described.jsonl: an item needs 9" in out, out  # the system's message describes them


@case("perplexity: a text in one block has the numbers of loam perplexity; blocks add up; JSON Lines are documents")
def _():
    path, text = TEXT_FILE, TEXT
    got, want = evaluate(MODEL, "perplexity", path), json.loads(loam("perplexity", MODEL, path, "--json").stdout)
    assert abs(got["nats_per_token"]["value"] - want["nll"]) < 1e-12 and abs(got["ppl"] - want["ppl"]) < 1e-6 * want["ppl"]
    assert abs(got["bits_per_byte"]["value"] - want["bits_per_byte"]) < 1e-12
    blocks = evaluate(MODEL, "perplexity", path, "--block", "16")
    assert len(blocks["items"]) >= 4 and sum(b["bytes"] for b in blocks["items"]) == 60
    total = math.fsum(b["nll"] for b in blocks["items"])
    assert abs(blocks["nats_per_token"]["value"] - total / sum(b["tokens"] for b in blocks["items"])) < 1e-12
    docs = evaluate(MODEL, "perplexity", write("docs.jsonl", [{"text": text}, {"text": "ab"}]))
    assert docs["items"][0]["nll"] == got["items"][0]["nll"] and docs["items"][1]["bytes"] == 2
    data = os.path.join(tmp(), "docs.db")
    loam("data", "build", data, os.path.join(tmp(), "docs.jsonl"))
    assert sorted(b["nll"] for b in evaluate(MODEL, "perplexity", data)["items"]) == sorted(b["nll"] for b in docs["items"])


@case("perplexity: what a file is says its beginning, unpacked: packed texts, texts that begin with {, marks in front")
def _():
    want = evaluate(MODEL, "perplexity", TEXT_FILE)["items"]
    packed = os.path.join(tmp(), "text.gz")
    with gzip.open(packed, "wt") as f:
        f.write(TEXT)
    assert evaluate(MODEL, "perplexity", packed)["items"] == want
    for name, text in (("brace.txt", "{once upon a time}\n"), ("code.txt", "{\n  \"a\"\n}\n")):
        assert evaluate(MODEL, "perplexity", write(name, [text]))["items"][0]["bytes"] == len(text) + 1
    documents = evaluate(MODEL, "perplexity", write("docs.jsonl", [{"text": "abc"}, {"text": "de"}]))["items"]
    assert [d["bytes"] for d in documents] == [3, 2]
    line = '{ "text": "abc"}\n{"text": "de"}'
    for name, pack, mark in (("marked.jsonl", open, "\ufeff"), ("blank.jsonl", open, "\n"), ("marked.jsonl.gz", gzip.open, "\ufeff")):
        assert [d["nll"] for d in evaluate(MODEL, "perplexity", write(name, [mark + line], pack))["items"]] == [
            d["nll"] for d in documents], name


def mcnemar(a, b):
    n, k = a + b, min(a, b)
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2 ** n)


@case("--compare: the same items, the difference, McNemar's p; a model beside itself differs in nothing")
def _():
    rng = random.Random(2)
    items = [{"question": "".join(rng.choices("abcdef", k=4)), "choices": ["".join(rng.choices("ghij", k=2)) for _ in range(3)],
              "answer": rng.randrange(3)} for _ in range(40)]
    path = write("many.jsonl", items)
    a, b = evaluate(MODEL, "choices", path), evaluate(OTHER, "choices", path)
    got = evaluate(MODEL, "choices", path, "--compare", OTHER)
    assert got["a"] == MODEL and got["b"] == OTHER
    for name, key in (("acc", "got"), ("acc_norm", "got_norm")):
        right = [[x[key] == x["want"] for x in r["items"]] for r in (a, b)]
        only = [sum(x and not y for x, y in zip(*right)), sum(y and not x for x, y in zip(*right))]
        s = got["scores"][name]
        assert [s["only_a"], s["only_b"]] == only and s["n"] == 40
        assert (s["a"], s["b"]) == (sum(right[0]) / 40, sum(right[1]) / 40) and s["difference"] == s["b"] - s["a"]
        assert abs(s["p"] - mcnemar(*only)) < 1e-12 and s["low"] <= s["difference"] <= s["high"]
    same = evaluate(MODEL, "choices", path, "--compare", MODEL)["scores"]["acc"]
    assert (same["difference"], same["p"], same["only_a"], same["only_b"]) == (0, 1, 0, 0)
    bits = evaluate(MODEL, "perplexity", TEXT_FILE, "--block", "16", "--compare", OTHER)["scores"]["bits_per_byte"]
    assert bits["low"] <= bits["difference"] <= bits["high"] and 0 < bits["p"] <= 1 and "only_a" not in bits
    table = loam("eval", MODEL, "choices", path, "--compare", OTHER).stdout
    assert table.startswith("A  ") and "acc_norm" in table and "only A" in table
    out = loam("eval", MODEL, "memorisation", "--data", "homeworld:docs=3", "--compare", OTHER, want=2).stderr
    assert "one model at a time" in out


@case("--lora is for M, --compare-lora for M2, which is M when nothing else is said")
def _():
    text, lora = TEXT_FILE, os.path.join(ROOT, "test/golden/lora/llama")
    plain, tuned = (evaluate(MODEL, "perplexity", text, *more)["bits_per_byte"]["value"] for more in ([], ["--lora", lora]))
    assert plain != tuned
    got = evaluate(MODEL, "perplexity", text, "--compare-lora", lora + ":1")
    assert (got["a"], got["b"]) == (MODEL, MODEL + " + " + lora + ":1")
    assert (got["scores"]["bits_per_byte"]["a"], got["scores"]["bits_per_byte"]["b"]) == (plain, tuned)
    back = evaluate(MODEL, "perplexity", text, "--lora", lora, "--compare", MODEL)["scores"]["bits_per_byte"]
    assert (back["a"], back["b"]) == (tuned, plain)


@case("the same numbers with any threads and instruction set")
def _():
    want = evaluate(MODEL, "choices", CHOICES)
    for args in (["--threads", "1"], ["--threads", "3"], ["--isa", "scalar"]):
        assert evaluate(MODEL, "choices", CHOICES, *args) == want


@case("what is wrong with an item is told by file and line")
def _():
    good = json.dumps(ITEMS[0])
    for task, line, want in (
            ("choices", "{", "bad.jsonl:2: at byte"),
            ("choices", "[]", "bad.jsonl:2: is JSON, but no object"),
            ("choices", '{"choices": ["a", "b"], "answer": 0}', "question: a text"),
            ("choices", '{"question": "a", "choices": ["b"], "answer": 0}', "choices: a list of 2 to 64"),
            ("choices", '{"question": "a", "choices": ["b", 3], "answer": 0}', "choices[1]: a text"),
            ("choices", '{"question": "a", "choices": ["b", "c"], "answer": 2}', "answer: the number of a choice"),
            ("choices", '{"question": "a", "choices": ["b", "c"], "answer": "d"}', "answer: the number of a choice"),
            ("choices", '{"question": "a", "choices": ["b", "c"]}', "answer: the number of a choice"),
            ("exact", '{"prompt": "a", "answer": 5}', "answer: a text"),
            ("exact", '{"answer": "a"}', "prompt: a text"),
            ("exact", '{"prompt": "a", "answer": []}', "answer: an empty list"),
            ("exact", '{"prompt": "a", "answer": ["b", " "]}', "answer: an empty text"),
            ("exact", '{"prompt": "a", "completion": ""}', "answer: an empty text"),
            ("exact", '{"text": "a"}', "no question and answer"),
            ("perplexity", '{"txt": "a"}', "text")):
        first = good if task == "choices" else '{"prompt": "a", "answer": "b"}' if task == "exact" else '{"text": "ab"}'
        out = loam("eval", MODEL, task, write("bad.jsonl", [first, line]), want=None)
        assert out.returncode and "bad.jsonl:2: " in out.stderr and want in out.stderr, (line, out.stderr)
    for args, want in ((["choices"], "which file?"), (["homeworld", "x"], "reads no file"), (["choice", "x"], "did you mean choices"),
                       (["choices", "nowhere.jsonl"], "nowhere.jsonl"), (["choices", write("empty.jsonl", [""])], "no item")):
        out = loam("eval", MODEL, *args, want=None)
        assert out.returncode and want in out.stderr, (args, out.stderr)
    long = {"question": "a" * 5000, "choices": ["b", "c"], "answer": 0}
    assert "more than" in loam("eval", MODEL, "choices", write("long.jsonl", [long]), want=None).stderr


main()
