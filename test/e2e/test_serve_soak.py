#!/usr/bin/env python3
"""Sixteen clients at once: no error, no leak, every answer bit-equal to the one that the same request gets alone.

    LOAM_SOAK_SECONDS=120 LOAM_SOAK_MODEL=FILE LOAM_SOAK_LEAKS=1 test/e2e/test_serve_soak.py

What each request gets alone is asked of a server of its own, one request after another. Then sixteen clients send them to a
second server in orders of their own for LOAM_SOAK_SECONDS (5), with connections kept and new ones; a seventeenth leaves in
mid-stream all the time. The cache is small, so prefixes come and go. LOAM_SOAK_LEAKS: the program was built with
AddressSanitizer, whose search for leaks at the end does not work in the sandbox. `make soak` runs both. Prints TAP.
"""
import http.client
import json
import os
import random
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _tiny  # noqa: E402
from _server import Server  # noqa: E402
from _tap import case, main, note, tmp  # noqa: E402

SECONDS = float(os.environ.get("LOAM_SOAK_SECONDS", 5))
LEAKS = bool(os.environ.get("LOAM_SOAK_LEAKS"))
MODEL = os.environ.get("LOAM_SOAK_MODEL")
CLIENTS = 16
VARYING = {"id", "created", "created_at", "item_id", "cached_tokens", "prompt_tokens_details", "input_tokens_details",
           "cache_read_input_tokens", "total_duration", "load_duration", "prompt_eval_duration", "eval_duration"}
TEXTS = ["The sea", "Once upon a time there was a robot", "x", "A cup stands on the table. " * 6, "Zebra " * 20, "1 2 3 4 5 6 7 8"]

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "y"]}}, "required": ["a", "b"],
          "additionalProperties": False}


def arguments():
    if MODEL:
        return [MODEL, "--ctx", 512, "--cache", 300]
    folder = os.path.join(tmp(), "tiny")
    if not os.path.exists(folder):
        _tiny.make_model(folder)
    return [folder, "--template", "plain", "--ctx", 512, "--cache", 2]


def requests():
    """[(path, body)]: every API, whole and in a stream, drawn and greedy."""
    n = 16
    for i, text in enumerate(TEXTS):
        drawn = {"temperature": 1.5, "seed": i}
        messages = [{"role": "user", "content": text}]
        more = [*messages, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And then?"}]
        for stream in (False, True):
            yield "/v1/completions", {"prompt": text, "max_tokens": n, "logprobs": 3, "stream": stream, **drawn}
            yield "/v1/chat/completions", {"messages": more, "max_tokens": n, "temperature": 0, "logprobs": True,
                                           "top_logprobs": 2, "stream": stream}
            yield "/v1/messages", {"messages": messages, "max_tokens": n, "temperature": 0.7, "stream": stream}
            yield "/api/chat", {"messages": messages, "stream": stream,
                                "options": {"num_predict": n, "temperature": 2, "seed": i}}
        yield "/v1/completions", {"prompt": [text, text + "!"], "max_tokens": 1, "echo": True, "logprobs": 1, "temperature": 0}
        yield "/v1/completions", {"prompt": text, "max_tokens": n, "n": 3, "stop": ["e"], **drawn}
        yield "/v1/responses", {"input": text, "max_output_tokens": n, "temperature": 0, "stream": bool(i % 2)}
        yield "/v1/completions", {"prompt": text, "max_tokens": n, "grammar": 'root ::= [a-z]+ " " [0-9]+', "stream": bool(i % 2), **drawn}
        yield "/v1/chat/completions", {"messages": messages, "max_tokens": 2 * n, **drawn, "response_format": {
            "type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}}
        yield "/tokenize", {"prompt": text}


def steady(v):
    """Without what differs from request to request: ids, times, what the cache gave."""
    if isinstance(v, dict):
        if "cache_read_input_tokens" in v:  # Anthropic counts those apart
            v = {**v, "input_tokens": v["input_tokens"] + v["cache_read_input_tokens"]}
        return {k: steady(x) for k, x in v.items() if k not in VARYING}
    return [steady(x) for x in v] if isinstance(v, list) else v


def answer_of(status, kind, body):
    assert status == 200, (status, body)
    if kind == "text/event-stream":
        lines = [line[6:] for line in body.decode().split("\n") if line.startswith("data: ")]
        return [x if x == "[DONE]" else steady(json.loads(x)) for x in lines]
    if kind == "application/x-ndjson":
        return [steady(json.loads(x)) for x in body.splitlines()]
    return steady(json.loads(body))


class Client:
    """Asks on a connection that is kept until renew()."""

    def __init__(self, s):
        self.s, self.c = s, None

    def renew(self):
        if self.c:
            self.c.close()
        self.c = None

    def ask(self, path, body):
        self.c = self.c or http.client.HTTPConnection(self.s.host, self.s.port, timeout=120)
        self.c.request("POST", path, json.dumps(body))
        r = self.c.getresponse()
        return answer_of(r.status, r.getheader("Content-Type"), r.read())


def leave_all_the_time(s, stop, counts):
    dice = random.Random(99)
    while not stop.is_set():
        body = json.dumps({"prompt": TEXTS[dice.randrange(len(TEXTS))], "max_tokens": 300, "ignore_eos": True, "stream": True})
        with socket.create_connection((s.host, s.port), timeout=120) as c:
            c.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body.encode()))
            if dice.randrange(2):
                c.recv(500)
        counts["left"] += 1
        stop.wait(0.05)


def soak(s, asked, alone, stop, who, counts, wrong):
    dice, client = random.Random(who), Client(s)
    while not stop.is_set() and not wrong:
        i = dice.randrange(len(asked))
        try:
            got = client.ask(*asked[i])
            if got != alone[i]:
                wrong.append((asked[i], got, alone[i]))
        except Exception as e:
            wrong.append((asked[i], repr(e), None))
        counts[who] += 1
        if dice.randrange(20) == 0:
            client.renew()
    client.renew()


def size_of(s):
    """Memory in MB, open files, threads."""
    with open(f"/proc/{s.process.pid}/status") as f:
        status = dict(line.split(":", 1) for line in f)
    return int(status["VmRSS"].split()[0]) / 1024, len(os.listdir(f"/proc/{s.process.pid}/fd")), int(status["Threads"])


def settled(s, before):
    """size_of() when the last connection has been closed on its side, too."""
    end = time.time() + 5
    while size_of(s)[1] > before[1] and time.time() < end:
        time.sleep(0.05)
    return size_of(s)


def start():
    if not LEAKS:
        return Server(*arguments())
    # What has been freed stays in memory up to this size, to see later uses of it: 256 MB would take minutes to fill.
    options = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4"
    return Server(*arguments(), "--no-sandbox", env={"ASAN_OPTIONS": options})


def stop_clean(s):
    code, err = s.stop(timeout=120)
    assert code == 0, (code, err[-5000:])


@case(f"{CLIENTS} clients for {SECONDS:g} s: no error, no leak, the bits of each request alone")
def _():
    asked = list(requests())
    s = start()
    client = Client(s)
    alone = [client.ask(*a) for a in asked]
    client.renew()
    stop_clean(s)

    s, stop, wrong, sizes = start(), threading.Event(), [], []
    counts = {who: 0 for who in [*range(CLIENTS), "left"]}
    before = size_of(s)
    threads = [threading.Thread(target=soak, args=(s, asked, alone, stop, who, counts, wrong)) for who in range(CLIENTS)]
    threads.append(threading.Thread(target=leave_all_the_time, args=(s, stop, counts)))
    for t in threads:
        t.start()
    begun = time.time()
    while time.time() - begun < SECONDS and not wrong:
        time.sleep(min(1, SECONDS / 10))
        sizes.append(size_of(s)[0])
    stop.set()
    for t in threads:
        t.join()
    s.wait("loam_requests_running", 0)
    s.wait("loam_requests_queued", 0)
    s.wait("loam_http_connections", 1)
    tokens, cached = s.metric("loam_generated_tokens_total"), s.metric("loam_cached_tokens_total")
    after = settled(s, before)
    stop_clean(s)

    answers = sum(n for who, n in counts.items() if who != "left")
    note(f"{answers} answers, {counts['left']} clients left, {tokens:.0f} tokens generated, {cached:.0f} prompt tokens cached")
    quarter = sizes[len(sizes) // 4] if sizes else before[0]
    note(f"memory {before[0]:.0f} MB at the start, {quarter:.1f} after a quarter, {after[0]:.1f} at the end; "
         f"{after[1]} files, {after[2]} threads")
    assert not wrong, wrong[0]
    assert answers >= CLIENTS * 2 and min(counts.values()) > 0, counts
    assert cached > 0 and (after[1], after[2]) == (before[1], before[2]), (before, after)
    assert after[0] < 1.1 * quarter + 8, sizes


main()
