#!/usr/bin/env python3
"""Answers of a given form: every finished one is valid by the jsonschema package, for random schemas and a model that knows
nothing; in a batch as alone; refused schemas fail their own request alone, in each API's shape. Prints TAP.

The package lives in a pinned environment, script/requirements-card.txt (script/venv.sh card). This script runs itself again
with that Python.
"""
import atexit
import concurrent.futures
import datetime
import json
import os
import random
import re
import subprocess
import sys
import urllib.parse
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _tiny  # noqa: E402
from _server import Server  # noqa: E402
from _tap import ROOT, Fail, case, loam, main, note, tmp  # noqa: E402

MODEL = os.path.join(tmp(), "tiny")
N_SCHEMAS = 240


def again():
    made = subprocess.run([os.path.join(ROOT, "script", "venv.sh"), "card"], capture_output=True, text=True, timeout=500)
    if made.returncode != 0:
        print("1..1\nnot ok 1 - script/venv.sh card")
        sys.exit("# " + made.stderr.replace("\n", "\n# "))
    os.execve(made.stdout.strip(), [made.stdout.strip(), *sys.argv], {**os.environ, "LOAM_STRUCTURED": "1"})


if "LOAM_STRUCTURED" not in os.environ:
    again()

import jsonschema  # noqa: E402

_tiny.make_model(MODEL)
SERVER = Server(MODEL, "--template", "plain", "--ctx", 2048)
atexit.register(SERVER.process.kill)  # also when a word chooses cases and the last one is none of them

# ---- what formats mean ----

FORMATS = jsonschema.FormatChecker(formats=())


def format_of(name):
    def register(check):
        FORMATS.checks(name, raises=Exception)(lambda v: not isinstance(v, str) or check(v) is not False)
        return check
    return register


format_of("date")(datetime.date.fromisoformat)
format_of("date-time")(lambda v: datetime.datetime.fromisoformat(v.replace("Z", "+00:00")).tzinfo is not None)
format_of("time")(lambda v: datetime.time.fromisoformat(v.replace("Z", "+00:00")).tzinfo is not None)
format_of("uuid")(lambda v: str(uuid.UUID(v)) == v.lower())
format_of("ipv4")(__import__("ipaddress").IPv4Address)
format_of("ipv6")(__import__("ipaddress").IPv6Address)
format_of("email")(lambda v: re.fullmatch(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", v) is not None)
format_of("hostname")(lambda v: re.fullmatch(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.?)+", v) is not None)
format_of("uri")(lambda v: all(urllib.parse.urlsplit(v)[:2]))
format_of("duration")(lambda v: re.fullmatch(
    r"P(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(\d+H)?(\d+M)?(\d+S)?)?)", v) is not None and v[-1] not in "PT")


def check(schema, text):
    """The value; one that does not satisfy the schema fails the case. A key that occurs twice is a mistake, too."""
    def pairs(items):
        names = [k for k, _ in items]
        declared = [n for n in names if n.startswith("p")]
        assert len(set(declared)) == len(declared), items
        return dict(items)
    value = json.loads(text, object_pairs_hook=pairs)
    errors = list(jsonschema.Draft202012Validator(schema, format_checker=FORMATS).iter_errors(value))
    if errors:
        raise Fail(f"{json.dumps(schema)}\n{text}\n{errors[0].message}")
    return value


# ---- random schemas ----

R = random.Random(7)


def number(integer):
    s = {"type": "integer" if integer else "number"}
    low = R.choice([0, 1, -1, 5, 10, 99, -37, 1000, 123456, R.randint(-10**6, 10**6)])
    if not integer and R.random() < 0.5:
        low += R.choice([0.5, 0.25, 0.125, 0.1, 0.75])
    high = low + R.choice([0, 1, 2, 9, 10, 37, 1000, 10**7]) + (0 if integer else R.choice([0, 0.5, 0.05]))
    if R.random() < 0.7:
        s[R.choice(["minimum", "minimum", "exclusiveMinimum"])] = low
    if R.random() < 0.7:
        s["maximum"] = round(high + 1, 3)
        if R.random() < 0.3:
            s["exclusiveMaximum"] = round(high + 1, 3)
    return s


def string():
    kind = R.random()
    if kind < 0.3:
        low = R.choice([0, 0, 1, 3])
        return {"type": "string", "minLength": low, "maxLength": low + R.choice([0, 1, 5, 40])}
    if kind < 0.5:
        return {"type": "string", "format": R.choice(sorted(FORMATS.checkers))}
    if kind < 0.75:
        return {"type": "string", "pattern": R.choice([
            r"^[a-z]+$", r"^\d{3}-\d{4}$", r"^(foo|ba[rz])*$", r"^[^\W\d]+\s\S+$", r"x", r"^\w{2,5}?$", r"^.{0,3}$", r"^$",
            r'^"\\\n?[\t"]$', r"^(?:[A-Z][a-z]*){1,3}$|^-$", r"^é+\u00e9?[^\x00-\x7f]$", r"\.$", r"^\S*$", r"^[^a]\D$"])}
    return {"type": "string"} if kind < 0.85 else {"type": "string", "enum": R.sample(['a"b', "", "é", "\\", "x\ny", "red"], 3)}


def thing(depth):
    names = R.sample(["p", "pa", "pab", "pb", "p é", 'p"q', "p\\"], R.randint(0, 4))
    s = {"type": "object", "properties": {n: schema(depth - 1) for n in names}}
    s["required"] = [n for n in names if R.random() < 0.5]
    if R.random() < 0.6:
        s["additionalProperties"] = R.choice([False, False, {"type": "integer"}, {"type": "null"}])
    if R.random() < 0.2:
        s["required"].append("pz")
        if s.get("additionalProperties") is False:
            s["additionalProperties"] = {"type": "boolean"}
    if not names and R.random() < 0.3:
        s["minProperties"] = 1
        s["additionalProperties"] = {"type": "boolean"}
    return s


def row(depth):
    s = {"type": "array"}
    if R.random() < 0.4:
        s["prefixItems"] = [schema(depth - 1) for _ in range(R.randint(1, 3))]
    if R.random() < 0.7 or "prefixItems" not in s:
        s["items"] = schema(depth - 1)
    if R.random() < 0.5:
        s["minItems"] = R.randint(0, 3)
    if R.random() < 0.6:
        s["maxItems"] = s.get("minItems", 0) + R.randint(0, 3)
    return s


def union(depth):
    tagged = [{"type": "object", "properties": {"pt": {"const": tag}, "pv": schema(depth - 1)}, "required": ["pt", "pv"]}
              for tag in ("a", "b", 3)]
    return R.choice([
        {"anyOf": [schema(depth - 1), schema(depth - 1)]},
        {"oneOf": tagged},
        {"oneOf": [{"type": "string"}, number(True), {"type": ["null", "boolean"]}]},
        {"allOf": [thing(depth - 1), {"properties": {"pextra": {"type": "integer", "maximum": 9}}}]}
        if R.random() < 0.2 else {"allOf": [{"type": ["integer", "null"]}, {"minimum": 3}, {"maximum": 300}]},
        {"type": ["string", "integer", "null"], "maxLength": 4, "minimum": 10},
        {"enum": [1, "x", None, [1, {"pa": False}], 2.5, -0.001]},
        {"$ref": "#/$defs/node"},
        {"$ref": "#/$defs/small", "maximum": 7},
    ])


def schema(depth):
    if depth <= 0:
        return R.choice([number(True), number(False), string(), {"type": "boolean"}, {"const": R.choice([1, "c", None])}])
    return R.choice([thing, thing, row, union, lambda _: number(R.random() < 0.5), lambda _: string()])(depth)


def whole_schema():
    return {**schema(3), "$defs": {
        "node": {"type": "object", "properties": {"pv": {"type": "integer"}, "pn": {"anyOf": [
            {"type": "null"}, {"$ref": "#/$defs/node"}]}}, "required": ["pv"], "additionalProperties": False},
        "small": {"type": "integer", "minimum": -3}}}


def ask(s, seed, **more):
    return {"model": "tiny", "prompt": "The sea", "json_schema": s, "seed": seed, "temperature": 1.3, "max_tokens": 1500, **more}


@case(f"{N_SCHEMAS} random schemas: whatever comes to an end is valid")
def _():
    schemas = [whole_schema() for _ in range(N_SCHEMAS)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: SERVER.ask("/v1/completions", ask(schemas[i], i, n=2)), range(N_SCHEMAS)))
    ended, values = 0, set()
    for s, a in zip(schemas, answers):
        if a.status != 200:
            raise Fail(f"{json.dumps(s)}\n{a.body}")
        for c in a.json["choices"]:
            if c["finish_reason"] == "stop":
                ended += 1
                values.add(json.dumps(check(s, c["text"])))
    note(f"{ended} of {2 * N_SCHEMAS} came to an end, {len(values)} different values")
    assert ended > 1.6 * N_SCHEMAS and len(values) > N_SCHEMAS, (ended, len(values))


@case("greedy, top-k, top-p, min-p, penalties and biases keep the form; log probabilities are the model's")
def _():
    s = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}, "n": {"type": "integer"}},
         "required": ["name", "n"]}
    for more in ({"temperature": 0}, {"top_k": 1}, {"top_p": 0.1}, {"min_p": 0.9}, {"repetition_penalty": 3.0},
                 {"presence_penalty": 2.0, "frequency_penalty": 2.0}, {"logit_bias": {"70": 100, "3": 100, "1": 100}}):
        check(s, SERVER.ok("/v1/completions", {**ask(s, 1), **more})["choices"][0]["text"])
    r = SERVER.ok("/v1/completions", ask(s, 1, logprobs=3))["choices"][0]["logprobs"]
    assert r["tokens"][0] == "{" and r["token_logprobs"][0] < max(r["top_logprobs"][0].values())


@case("alone, n at once, beside others, warm, streamed: the same texts")
def _():
    s = {"type": "array", "items": {"type": "string", "maxLength": 12}, "minItems": 3, "maxItems": 9}
    alone = [SERVER.ok("/v1/completions", ask(s, seed))["choices"][0]["text"] for seed in range(6)]
    assert len(set(alone)) == 6
    at_once = SERVER.ok("/v1/completions", ask(s, 0, n=6))["choices"]
    assert [c["text"] for c in at_once] == alone
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        beside = list(pool.map(lambda seed: SERVER.ok("/v1/completions", ask(s, seed))["choices"][0]["text"], range(6)))
    assert beside == alone
    events = SERVER.events("/v1/completions", ask(s, 2))
    assert "".join(json.loads(e)["choices"][0]["text"] for e in events[:-1]) == alone[2]
    for seed in range(2):
        run = loam("run", MODEL, "-p", "The sea", "--json-schema", json.dumps(s), "--seed", seed, "--temp", 1.3, "--top-k", 0,
                   "--top-p", 1, "--min-p", 0)
        assert run.stdout.rstrip("\n") == alone[seed], (run.stdout, alone[seed])


CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "temperature": 1.2, "max_tokens": 1500}
S = {"type": "object", "properties": {"p": {"enum": ["x", "y"]}, "pn": {"type": "integer", "maximum": 5}},
     "required": ["p", "pn"], "additionalProperties": False}
BAD = {"type": "object", "properties": {"p": {"not": {}}}}


@case("each API's words: OpenAI chat, completions, responses; Anthropic; Ollama")
def _():
    def content(r):
        return r["choices"][0]["message"]["content"]
    named = {"type": "json_schema", "json_schema": {"name": "s", "strict": True, "schema": S}}
    check(S, content(SERVER.ok("/v1/chat/completions", {**CHAT, "response_format": named})))
    check(S, content(SERVER.ok("/v1/chat/completions", {**CHAT, "json_schema": S})))
    assert re.fullmatch(r"[ab]{3}!", content(SERVER.ok("/v1/chat/completions", {
        **CHAT, "grammar": 'root ::= [ab]{3} "!"'})))
    r = SERVER.ok("/v1/responses", {"model": "tiny", "input": "Hello", "text": {"format": {
        "type": "json_schema", "name": "s", "schema": S}}, "temperature": 1.2})
    check(S, r["output"][0]["content"][0]["text"])
    assert r["status"] == "completed" and r["text"]["format"]["schema"] == S
    message = {"model": "tiny", "max_tokens": 500, "messages": CHAT["messages"]}
    form = {"type": "json_schema", "schema": S}
    for more in ({"output_config": {"format": form}}, {"output_format": form}):
        r = SERVER.ok("/v1/messages", {**message, **more})
        check(S, r["content"][0]["text"])
        assert r["stop_reason"] == "end_turn"
    check(S, SERVER.ok("/api/chat", {**CHAT, "stream": False, "format": S})["message"]["content"])
    check(S, SERVER.ok("/api/generate", {"model": "tiny", "prompt": "x", "stream": False, "format": S})["response"])


@case("json_object: an object, of any kind")
def _():
    ended = 0
    for seed in range(12):
        r = SERVER.ok("/v1/chat/completions", {**CHAT, "seed": seed, "response_format": {"type": "json_object"}})["choices"][0]
        if r["finish_reason"] == "stop":
            assert isinstance(json.loads(r["message"]["content"]), dict)
            ended += 1
        r = SERVER.ok("/api/chat", {**CHAT, "stream": False, "format": "json", "options": {"seed": seed, "num_predict": 1000}})
        if r["done_reason"] == "stop":
            assert isinstance(json.loads(r["message"]["content"]), dict)
    assert ended > 3, ended


@case("what cannot be used is 400 in each API's shape, and names keyword and place")
def _():
    form = {"type": "json_schema", "schema": BAD}
    place = "schema at #/properties/p/not"
    for path, more in (("/v1/chat/completions", {"response_format": {"type": "json_schema", "json_schema": {"schema": BAD}}}),
                       ("/v1/chat/completions", {"json_schema": BAD}),
                       ("/v1/responses", {"input": "x", "text": {"format": form}}),
                       ("/v1/messages", {"output_config": {"format": form}}), ("/api/chat", {"format": BAD})):
        r = SERVER.ask(path, {**CHAT, **more})
        error = r.json["error"]
        assert r.status == 400 and place in (error if path.startswith("/api") else error["message"]), (path, r.status, r.body)
        assert path != "/v1/messages" or r.json["type"] == "error"
    for more, words in (({"response_format": {"type": "xml"}}, "xml"), ({"response_format": {"type": "json_schema"}}, "json_schema"),
                        ({"response_format": {"type": "json_schema", "json_schema": {"name": "s"}}}, "the schema is missing"),
                        ({"grammar": "root ::= x"}, "rule x is not defined"), ({"grammar": 1}, "a string"),
                        ({"grammar": 'root ::= "x"', "json_schema": {}}, "twice"),
                        ({"json_schema": {"type": "objekt"}}, "no such type")):
        r = SERVER.ask("/v1/chat/completions", {**CHAT, **more})
        assert r.status == 400 and words in r.json["error"]["message"], (more, r.body)
    assert SERVER.ask("/v1/messages", {**CHAT, "output_config": {"effort": 5}}).status == 400
    assert SERVER.ask("/api/chat", {**CHAT, "format": "yaml"}).status == 400


@case("hostile grammars fail alone, while others are answered")
def _():
    hostile = ['root ::= root "x" | "y"', "root ::= " + "(" * 50000, 'root ::= (("a"?){0,9000000} "a"?){0,9000000} []',
               'root ::= "' + "a" * 9 + '" r\nr ::= "a" r "x" | "a" r "y" | "a" r',
               'root ::= [^a]{16777217}', "root ::= a\n" + "".join(f"r{i} ::= r{i + 1}\n" for i in range(30000)),
               'root ::= "\u20ac" "\U0001f600"']
    slow = 'root ::= s\ns ::= "a" s "x" | "a" s "y" | "a" s "z" | "b"'
    fine = ask({"type": "array", "items": {"type": "boolean"}, "minItems": 30, "maxItems": 30}, 1)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        bad = [pool.submit(SERVER.ask, "/v1/completions", {**CHAT, "prompt": "x", "grammar": g}) for g in hostile]
        deep = pool.submit(SERVER.ask, "/v1/completions", {
            **CHAT, "prompt": "x", "grammar": slow, "logit_bias": {str(ord("a") - 32 + 5): 100}})
        good = [pool.submit(SERVER.ok, "/v1/completions", fine) for _ in range(4)]
        for g, f in zip(hostile, bad):
            assert f.result().status == 400, (g[:60], f.result().status, f.result().body[:300])
        assert deep.result().status == 400 and "too ambiguous" in deep.result().json["error"]["message"], deep.result().body
        for f in good:
            assert len(json.loads(f.result()["choices"][0]["text"])) == 30


@case("a request that ends early leaves its grammar; the metrics come back to rest")
def _():
    s = SERVER.raw(b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 119\r\n\r\n" + json.dumps(
        {"prompt": "x", "grammar": "root ::= [a-z]*", "stream": True, "max_tokens": 1900}).encode().ljust(119))
    s.recv(1000)
    s.close()
    SERVER.wait("loam_requests_running", 0)


@case("loam run and chat: --grammar, --json-schema, from files; what is wrong is said")
def _():
    path = os.path.join(tmp(), "yes.gbnf")
    with open(path, "w") as f:
        f.write('root ::= ("yes" | "no") "!" # no more\n')
    assert loam("run", MODEL, "-p", "x", "--grammar", path).stdout in ("yes!\n", "no!\n")
    schema_path = os.path.join(tmp(), "s.json")
    with open(schema_path, "w") as f:
        json.dump(S, f)
    check(S, loam("run", MODEL, "-p", "x", "--json-schema", schema_path, "--temp", 1.5, "--ignore-eos").stdout)
    r = loam("chat", MODEL, "--template", "plain", "--json-schema", json.dumps(S), "--json", input="a\nb\n").stdout.splitlines()
    assert len(r) == 2 and all(check(S, json.loads(line)["text"]) for line in r)
    for options, words in ((["--grammar", path, "--json-schema", "{}"], "exclude each other"),
                           (["--json-schema", json.dumps(BAD)], "--json-schema: schema at #/properties/p/not"),
                           (["--json-schema", path], "yes.gbnf: "), (["--grammar", schema_path], "s.json: grammar: line 1: ")):
        run = loam("run", MODEL, "-p", "x", *options, want=None)
        assert run.returncode in (1, 2) and words in run.stderr, (options, run.stderr)


@case("the server stops with 0")
def _():
    code, err = SERVER.stop()
    assert code == 0, err


main()
