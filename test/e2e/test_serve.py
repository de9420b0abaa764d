#!/usr/bin/env python3
"""loam serve: its routes with plain HTTP, and what it withstands. Prints TAP.

The model is tiny (_tiny.py). Texts are compared with those of `loam run`, log probabilities with those that follow from
`loam logits`. The official clients have a test of their own, test_serve_clients.py.
"""
import concurrent.futures
import json
import math
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _tiny  # noqa: E402
from _server import Server, read_all  # noqa: E402
from _tap import LOAM, ROOT, case, loam, main, tmp  # noqa: E402

MODEL = os.path.join(tmp(), "tiny")
_tiny.make_model(MODEL)
TLS = os.path.join(ROOT, "test", "e2e", "tls")
_shared = []


def server():
    """One for all cases that do not need their own."""
    if not _shared:
        _shared.append(Server(MODEL, "--template", "plain", "--receive", 3, "--ctx", 512))
    return _shared[0]


def run(prompt, *args):
    return json.loads(loam("run", MODEL, "--json", "-p", prompt, "--top-p", 1, "--min-p", 0, "--top-k", 0,
                           "--repeat-last-n", -1, *args).stdout)


def log_softmax(ids):
    values = [float(x) for x in loam("logits", MODEL, "--ids", ",".join(map(str, ids))).stdout.split()]
    top = max(values)
    z = top + math.log(sum(math.exp(v - top) for v in values))
    return [v - z for v in values]


# ---- routes ----

@case("models, health, version, metrics")
def _():
    s = server()
    assert s.ok("/health") == {"status": "ok"}
    models = s.ok("/v1/models")
    assert [m["id"] for m in models["data"]] == ["tiny"] and models["object"] == "list"
    assert s.ok("/v1/models/tiny")["id"] == "tiny"
    assert s.ask("/v1/models/other").status == 404
    assert s.ok("/v1/models", anthropic_version="2023-06-01")["data"][0]["type"] == "model"
    assert s.ok("/api/version")["version"]
    assert s.ok("/api/tags")["models"][0]["name"] == "tiny"
    assert s.ok("/api/ps")["models"][0]["name"] == "tiny"
    assert s.ok("/api/show", {"model": "tiny:latest"})["details"]["family"] == "llama"
    text = s.ask("/metrics").body.decode()
    assert '# TYPE loam_requests_total counter\nloam_requests_total{model="tiny"} ' in text
    assert s.ask("/health", method="HEAD").body == b""


@case("a completion is what loam run prints: greedy, drawn, with biases, stopped, in a stream, n of them")
def _():
    s = server()
    for extra, args in (({"temperature": 0}, ("--temp", 0)), ({"temperature": 1.5, "seed": 7}, ("--temp", 1.5, "--seed", 7)),
                        ({"temperature": 2, "top_k": 5, "seed": 3}, ("--temp", 2, "--top-k", 5, "--seed", 3))):
        want = run("The sea", "-n", 24, *args)
        body = {"prompt": "The sea", "max_tokens": 24, **extra}
        r = s.ok("/v1/completions", body)
        assert r["choices"][0]["text"] == want["text"], (r, want)
        assert r["usage"]["prompt_tokens"] == 8 and r["usage"]["completion_tokens"] == len(want["tokens"])
        *chunks, last, done = s.events("/v1/completions", {**body, "stream_options": {"include_usage": True}})
        assert done == "[DONE]" and json.loads(last)["usage"]["total_tokens"] == 8 + len(want["tokens"])
        assert "".join(json.loads(c)["choices"][0]["text"] for c in chunks) == want["text"]
    body = {"prompt": "Once", "max_tokens": 16, "temperature": 2, "seed": 5, "n": 3}
    texts = [c["text"] for c in s.ok("/v1/completions", body)["choices"]]
    assert texts == [run("Once", "-n", 16, "--temp", 2, "--seed", 5 + i)["text"] for i in range(3)]
    assert len(set(texts)) == 3
    text = s.ok("/v1/completions", {**body, "n": 1, "ignore_eos": True})["choices"][0]["text"]
    stop = next(c for i, c in enumerate(text) if i >= 3 and c.isascii() and text.find(c) == i)
    cut = s.ok("/v1/completions", {**body, "n": 1, "ignore_eos": True, "stop": ["\x01no", stop]})["choices"][0]
    assert cut["text"] == text[:text.find(stop)] and cut["finish_reason"] == "stop"
    r = s.ok("/v1/completions", {"prompt": "x", "max_tokens": 4, "temperature": 0, "logit_bias": {"60": 100}})
    assert r["choices"][0]["text"] == 4 * loam("detokenize", MODEL, "60").stdout[:-1]
    assert r["choices"][0]["finish_reason"] == "length"


@case("what lm-evaluation-harness asks: echo, log probabilities, prompts of ids")
def _():
    s = server()
    prompts = [[0, 60, 61, 62, 70], [0, 90, 50]]
    r = s.ok("/v1/completions", {"model": "tiny", "prompt": prompts, "temperature": 0, "max_tokens": 1, "logprobs": 1,
                                 "seed": 1234, "echo": True})
    assert [c["index"] for c in r["choices"]] == [0, 1]
    for ids, c in zip(prompts, r["choices"]):
        p = c["logprobs"]
        assert len(p["token_logprobs"]) == len(p["tokens"]) == len(p["top_logprobs"]) == len(p["text_offset"]) == len(ids) + 1
        assert p["token_logprobs"][0] is None and p["top_logprobs"][0] is None
        for i in range(1, len(ids)):
            want = log_softmax(ids[:i])
            assert abs(p["token_logprobs"][i] - want[ids[i]]) < 1e-4
            assert abs(max(p["top_logprobs"][i].values()) - max(want)) < 1e-4
        assert p["token_logprobs"][-1] == max(p["top_logprobs"][-1].values())  # greedy, from one float
        assert c["text"].startswith(loam("detokenize", MODEL, *ids[1:]).stdout[:-1])
    only = s.ok("/v1/completions", {"prompt": "The sea", "max_tokens": 0, "echo": True, "logprobs": 0})
    assert only["choices"][0]["text"] == "The sea" and only["usage"]["completion_tokens"] == 0
    assert len(only["choices"][0]["logprobs"]["tokens"]) == 8
    assert only["choices"][0]["logprobs"]["text_offset"] == [0, 0, 1, 2, 3, 4, 5, 6]
    info = s.ok("/tokenizer_info")
    assert info["bos_token"] == "<s>" and info["eos_token"] == "</s>"
    ids = s.ok("/tokenize", {"prompt": "sea", "add_special_tokens": False})["tokens"]
    assert s.ok("/tokenize", {"content": "sea"})["tokens"] == ids and s.ok("/tokenize", {"prompt": "sea"})["tokens"] == [0, *ids]
    assert s.ok("/detokenize", {"tokens": ids})["prompt"] == "sea"


@case("the likeliest token is among top_logprobs also when its text is the byte 0")
def _():
    folder, ids = os.path.join(tmp(), "nul"), [0, 60, 61]
    _tiny.make_model(folder)
    values = log_softmax(ids)
    best = values.index(max(values))
    with open(os.path.join(folder, "tokenizer.json")) as f:
        spelled = json.load(f)
    vocab = {k: v for k, v in spelled["model"]["vocab"].items() if v != best}
    spelled["model"]["vocab"] = {**vocab, _tiny.byte_character(0): best}
    with open(os.path.join(folder, "tokenizer.json"), "w") as f:
        json.dump(spelled, f)
    s = Server(folder, "--template", "plain")
    ask = {"prompt": ids, "temperature": 0, "max_tokens": 1, "echo": True}
    one, five = (s.ok("/v1/completions", {**ask, "logprobs": n})["choices"][0]["logprobs"] for n in (1, 5))
    assert one["tokens"][-1] == "\0" and one["top_logprobs"][-1] == {"\0": one["token_logprobs"][-1]}, one
    assert max(five["top_logprobs"][-1], key=five["top_logprobs"][-1].get) == "\0", five
    assert s.stop()[0] == 0


@case("a conversation goes through the template; each API words the same answer")
def _():
    s = server()
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    prompt = s.ok("/apply-template", {"messages": messages})["prompt"]
    assert prompt == "<s>Be brief.\n\nUser: Hi\nAssistant:", prompt
    want = run(prompt[3:], "-n", 12, "--temp", 0, "--stop", "\nUser:")
    r = s.ok("/v1/chat/completions", {"messages": messages, "max_tokens": 12, "temperature": 0, "logprobs": True,
                                      "top_logprobs": 2})
    assert r["choices"][0]["message"]["content"] == want["text"]
    assert len(r["choices"][0]["logprobs"]["content"]) == len(want["tokens"])
    top = r["choices"][0]["logprobs"]["content"][0]
    assert top["logprob"] == top["top_logprobs"][0]["logprob"] and len(top["top_logprobs"]) == 2
    *chunks, done = s.events("/v1/chat/completions", {"messages": messages, "max_tokens": 12, "temperature": 0})
    deltas = [json.loads(c)["choices"][0] for c in chunks]
    assert deltas[0]["delta"] == {"role": "assistant", "content": ""} and done == "[DONE]"
    assert "".join(d["delta"].get("content", "") for d in deltas) == want["text"] and deltas[-1]["finish_reason"]
    a = s.ok("/v1/messages", {"model": "tiny", "system": "Be brief.", "messages": messages[1:], "max_tokens": 12,
                              "temperature": 0})
    assert a["content"] == [{"type": "text", "text": want["text"]}] and a["usage"]["output_tokens"] == len(want["tokens"])
    n = s.ok("/v1/messages/count_tokens", {"model": "tiny", "system": "Be brief.", "messages": messages[1:]})
    assert n == {"input_tokens": len(prompt) - 2}
    o = s.ok("/api/chat", {"model": "tiny", "messages": messages, "stream": False,
                           "options": {"temperature": 0, "num_predict": 12}})
    assert o["message"]["content"] == want["text"] and o["done"] and o["eval_count"] == len(want["tokens"])
    lines = [json.loads(x) for x in s.ask("/api/generate", {"model": "tiny", "prompt": prompt[3:], "raw": True,
             "options": {"temperature": 0, "num_predict": 12, "stop": ["\nUser:"]}}).body.splitlines()]
    assert "".join(x["response"] for x in lines) == want["text"] and lines[-1]["done"] and lines[-1]["done_reason"]
    p = s.ok("/v1/responses", {"model": "tiny", "instructions": "Be brief.", "input": "Hi", "max_output_tokens": 12,
                               "temperature": 0})
    assert p["output"][0]["content"][0]["text"] == want["text"], p


@case("errors: the status, in each API's shape")
def _():
    s = server()
    def openai(path, body, status, word, method=None):
        r = s.ask(path, body, method=method)
        assert r.status == status and word in r.json["error"]["message"] and "type" in r.json["error"], (r.status, r.body)
        return r
    chat = {"messages": [{"role": "user", "content": "x"}]}
    openai("/v1/nothing", None, 404, "no such path")
    assert openai("/v1/chat/completions", None, 405, "method").headers["Allow"] == "POST"
    openai("/v1/chat/completions", {**chat, "model": "other"}, 404, "other")
    openai("/v1/chat/completions", {}, 400, "messages")
    openai("/v1/chat/completions", {**chat, "temperature": "hot"}, 400, "temperature")
    openai("/v1/chat/completions", {**chat, "n": 0}, 400, "n:")
    openai("/v1/chat/completions", {**chat, "max_tokens": -1}, 400, "max_tokens")
    openai("/v1/chat/completions", {**chat, "tools": [{"type": "function"}]}, 400, "tools[0]")
    openai("/v1/chat/completions", {**chat, "response_format": {"type": "xml"}}, 400, "response_format")
    openai("/v1/chat/completions", {"messages": [{"role": "king", "content": "x"}]}, 400, "king")
    openai("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "only text")
    openai("/v1/completions", {"prompt": [1, 10**9]}, 400, "vocabulary")
    openai("/v1/completions", {"prompt": []}, 400, "prompt")
    openai("/v1/completions", {"prompt": "x", "logit_bias": {"-1": 3}}, 400, "logit_bias")
    openai("/v1/embeddings", {"input": [{}]}, 400, "input[0]")
    openai("/v1/completions", "{", 400, "body")
    openai("/v1/completions", "[]", 400, "object")
    long = openai("/v1/completions", {"prompt": "x" * 600}, 400, "the prompt has 601 tokens, the context holds 512")
    assert long.json["error"]["code"] == "context_length_exceeded"
    deep = openai("/v1/completions", '{"prompt": ' + "[" * 70 + "]" * 70 + "}", 400, "body: at byte")
    tangled = openai("/v1/completions", {"prompt": "x", "grammar": "root ::= " + "(" * 999}, 400, "parentheses")
    assert deep.json["error"]["code"] is None and tangled.json["error"]["code"] is None  # the prompt is not too long
    r = s.ask("/v1/messages", {"messages": []})
    assert r.status == 400 and r.json["type"] == "error" and r.json["error"]["type"] == "invalid_request_error"
    r = s.ask("/api/chat", {"model": "other", "messages": [{"role": "user", "content": "x"}]})
    assert r.status == 404 and "other" in r.json["error"]
    r = s.ask("/api/chat", {"messages": [{"role": "user", "content": "x"}], "options": {"num_ctx": 100000}})
    assert r.status == 400 and "num_ctx" in r.json["error"]


@case("sixteen clients at once get the bits that each gets alone")
def _():
    s = server()
    def body(i):
        return {"prompt": "x" * (1 + 13 * (i % 5)) + str(i % 8), "max_tokens": 24, "temperature": 1.5, "seed": i % 8,
                "logprobs": 1, "ignore_eos": True}
    def ask(i):
        c = s.ok("/v1/completions", body(i))["choices"][0]
        return c["text"], c["logprobs"]
    alone = [ask(i) for i in range(40)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(40))) == alone
        assert list(pool.map(ask, reversed(range(40)))) == alone[::-1]


# ---- who may ask ----

@case("Host, Origin, cross-site requests")
def _():
    s = server()
    for host in ("evil.example", "evil.example:%d" % s.port, "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1",
                 "[::1", ""):
        r = s.ask("/v1/models", Host=host)
        assert r.status in (400, 403), (host, r.status)
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:80", "a.localhost"):
        assert s.ask("/v1/models", Host=host).status == 200, host
    for origin in ("http://evil.example", "null", "https://127.0.0.1.evil.example", "file://"):
        r = s.ask("/v1/chat/completions", {}, Origin=origin)
        assert r.status == 403 and not [h for h in r.headers if h.lower().startswith("access-control")], (origin, r.status)
    assert s.ask("/v1/models", Origin="http://%s:%d" % (s.host, s.port)).status == 200
    assert s.ask("/v1/models", Sec_Fetch_Site="cross-site").status == 403
    assert s.ask("/v1/models", Sec_Fetch_Site="same-origin").status == 200
    old = s.raw(b"GET /v1/models HTTP/1.0\r\n\r\n")
    assert b" 400 " in read_all(old).split(b"\r\n")[0]


@case("a token, allowed names and origins, and that an address off loopback wants a token")
def _():
    file = os.path.join(tmp(), "token")
    with open(file, "w") as f:
        f.write("secret-token\n")
    assert "token is required" in loam("serve", MODEL, "--address", "0.0.0.0", "--port", 0, want=2).stderr
    s = Server(MODEL, "--token-file", file, "--allow-host", "box.example", "--allow-origin", "https://page.example")
    try:
        assert s.ask("/health").status == 200
        for headers in ({}, {"Authorization": "Bearer secret-toke"}, {"Authorization": "Bearer secret-tokenx"},
                        {"Authorization": "Basic secret-token"}, {"X_Api_Key": ""}):
            r = s.ask("/v1/models", **headers)
            assert r.status == 401 and r.headers["WWW-Authenticate"] == "Bearer", headers
        assert s.ask("/v1/models", Authorization="bearer secret-token").status == 200
        assert s.ask("/v1/models", X_Api_Key="secret-token").status == 200
        assert s.ask("/v1/models", Authorization="Bearer secret-token", Host="box.example:99").status == 200
        r = s.ask("/v1/models", Authorization="Bearer secret-token", Origin="https://page.example")
        assert r.status == 200 and r.headers["Access-Control-Allow-Origin"] == "https://page.example"
        r = s.ask("/v1/models", method="OPTIONS", Origin="https://page.example", Access_Control_Request_Method="POST")
        assert r.status == 204 and "authorization" in r.headers["Access-Control-Allow-Headers"]
        assert s.ask("/v1/models", method="OPTIONS", Origin="https://other.example").status == 403
    finally:
        assert s.stop()[0] == 0


@case("TLS; a Unix socket that only its owner may open")
def _():
    s = Server(MODEL, "--tls-cert", os.path.join(TLS, "cert.pem"), "--tls-key", os.path.join(TLS, "key.pem"))
    try:
        trust = ssl.create_default_context(cafile=os.path.join(TLS, "cert.pem"))
        with trust.wrap_socket(s.raw(), server_hostname="localhost") as t:
            t.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert read_all(t).endswith(b'{"status":"ok"}')
        assert s.url.startswith("https://")
    finally:
        assert s.stop()[0] == 0
    path = os.path.join(tmp(), "socket")
    s = Server(MODEL, "--unix", path, port=False)
    try:
        assert s.url == "unix:" + path and stat.S_IMODE(os.stat(path).st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as u:
            u.connect(path)
            u.sendall(b"GET /health HTTP/1.1\r\nHost: anything\r\nConnection: close\r\n\r\n")
            assert read_all(u).endswith(b'{"status":"ok"}')
        assert "somebody listens" in loam("serve", MODEL, "--unix", path, want=1).stderr
    finally:
        assert s.stop()[0] == 0
    assert not os.path.exists(path)


# ---- what it withstands ----

def alive(s):
    assert s.ok("/v1/completions", {"prompt": "x", "max_tokens": 2})["usage"]["completion_tokens"] > 0


LONG = {"prompt": "x", "max_tokens": 500, "temperature": 1, "ignore_eos": True, "stream": True}


def request(path, body, extra=""):
    body = json.dumps(body).encode() if not isinstance(body, bytes) else body
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{extra}Content-Length: {len(body)}\r\n\r\n").encode() + body


@case("garbage, half requests, slow ones, headers and bodies too large, nested and wide JSON")
def _():
    s = server()
    for junk in (b"\0" * 5000, b"\x16\x03\x01\x02\x00\x01\x00", os.urandom(3000) + b"\r\n\r\n", b"GET\r\n\r\n",
                 b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
                 b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
        c = s.raw(junk)
        c.shutdown(socket.SHUT_WR)
        first = read_all(c).split(b"\r\n")[0]
        assert not first or b" 4" in first or b" 5" in first, (junk[:40], first)
    c = s.raw(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100000 + b"\r\n\r\n")
    assert b" 431 " in read_all(c).split(b"\r\n")[0]
    assert s.ask("/v1/completions", "x" * (17 << 20)).status == 413
    c = s.raw(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
    assert b" 413 " in read_all(c).split(b"\r\n")[0]
    for body, word in (("[" * 100000, "nested"), ('{"a":' * 100000, "nested"), ("[" + "0," * 400000 + "0]", "values"),
                       ('{"a":1,"a":2}', "a"), ('{"prompt":"\xff"}'.encode("latin-1"), "body"), ('{"prompt":"\\ud800"}', "body")):
        r = s.ask("/v1/completions", body)
        assert r.status == 400 and word in r.json["error"]["message"], (word, r.status, r.body)
    # A request that never ends, byte by byte: the server's patience, not the client's, decides.
    begun, c = time.time(), s.raw(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n", timeout=20)
    c.setblocking(False)
    closed = False
    while not closed and time.time() - begun < 20:
        try:
            c.send(b"X: y\r\n")
            closed = c.recv(100) == b""
        except BlockingIOError:
            pass
        except OSError:
            closed = True
        time.sleep(0.2)
    assert closed and 2 < time.time() - begun < 15, time.time() - begun
    alive(s)


@case("clients that leave: in mid-stream, before the answer, while they wait in the queue")
def _():
    s = Server(MODEL, "--parallel", 1, "--ctx", 512)
    try:
        c = s.raw(request("/v1/completions", LONG))
        assert c.recv(100)
        others = [s.raw(request("/v1/completions", {**LONG, "stream": False})) for _ in range(20)]
        for o in others:
            o.close()
        c.close()
        s.wait("loam_requests_running", 0)
        s.wait("loam_requests_queued", 0)
        alive(s)
    finally:
        assert s.stop()[0] == 0


@case("a client that does not read its stream is cut off, and its requests end")
def _():
    s = Server(MODEL, "--ctx", 512)
    try:
        c = socket.socket()
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.settimeout(30)
        c.connect((s.host, s.port))
        c.sendall(request("/v1/completions", {**LONG, "n": 64, "logprobs": 20}))
        s.wait("loam_requests_total", 64)
        s.wait("loam_requests_queued", 0, 120)
        s.wait("loam_requests_running", 0, 120)
        assert s.metric("loam_generated_tokens_total") < 64 * 500
        alive(s)
        assert b"[DONE]" not in read_all(c)
    finally:
        assert s.stop()[0] == 0


@case("connections: idle ones make room for those that ask")
def _():
    s = Server(MODEL, "--max-connections", 50, "--receive", 60)
    try:
        idle = [s.raw() for _ in range(400)]
        alive(s)
        assert s.metric("loam_http_connections") <= 60 and s.metric("loam_http_evicted_total") >= 300
        for c in idle:
            c.close()
        alive(s)
    finally:
        assert s.stop()[0] == 0


@case("a full queue is 503 with Retry-After")
def _():
    s = Server(MODEL, "--parallel", 1, "--queue", 1, "--ctx", 512)
    try:
        held = [s.raw(request("/v1/completions", LONG)) for _ in range(2)]
        seen = []
        for _ in range(200):
            r = s.ask("/v1/completions", {**LONG, "stream": False, "n": 4})
            seen.append(r.status)
            if r.status == 503:
                assert "queue is full" in r.json["error"]["message"] and r.headers["Retry-After"]
                break
        assert 503 in seen, seen
        for c in held:
            c.close()
        s.wait("loam_requests_queued", 0)
        s.wait("loam_requests_running", 0)
        alive(s)
    finally:
        assert s.stop()[0] == 0


@case("SIGTERM: what runs ends, nothing new begins; without grace it is cut")
def _():
    s = Server(MODEL, "--ctx", 512)
    c = s.raw(request("/v1/completions", LONG, "Connection: close\r\n"))
    assert c.recv(1)
    code, err = s.stop()
    assert code == 0, err
    assert b"data: [DONE]" in read_all(c)
    s = Server(MODEL, "--ctx", 512, "--grace", 0)
    held = [s.raw(request("/v1/completions", {**LONG, "n": 16})) for _ in range(8)]
    code, err = s.stop(signal.SIGINT)
    assert code == 0, err
    for c in held:
        c.close()


@case("wrong usage: no model, two of one name, half of TLS, an address in use")
def _():
    assert "missing" in loam("serve", want=2).stderr
    assert "two models" in loam("serve", MODEL, MODEL, "--port", 0, want=2).stderr
    assert "key" in loam("serve", MODEL, "--tls-cert", os.path.join(TLS, "cert.pem"), "--port", 0, want=2).stderr
    assert "did not start" in loam("serve", MODEL, "--tls-cert", MODEL + "/config.json", "--tls-key", MODEL + "/config.json",
                                   "--port", 0, want=1).stderr
    port = server().port
    assert "--port" in loam("serve", MODEL, "--port", port, want=1).stderr


@case("long prompts are read while others are served: their reading holds up no request without a body")
def _():
    s = server()
    long = {"messages": [{"role": "user", "content": "the sea is wide and the ship sails on " * 27000}], "max_tokens": 1}
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        begun = time.time()
        reads = [pool.submit(s.ask, "/v1/chat/completions", long) for _ in range(4)]
        waits = []
        while not all(r.done() for r in reads):
            at = time.time()
            s.ok("/health")
            waits.append(time.time() - at)
        took = time.time() - begun
    assert all(r.result().status == 400 and "context" in r.result().body.decode() for r in reads)
    print(f"# 4 MB of prompts in {took:.2f} s, {len(waits)} answers meanwhile, the slowest after {max(waits) * 1000:.0f} ms")
    assert len(waits) > 20, (took, waits)


@case("and after all that the server stops with 0")
def _():
    alive(server())
    code, err = server().stop()
    assert code == 0, err
    assert subprocess.run([LOAM, "help", "serve"], capture_output=True).returncode == 0


main()
