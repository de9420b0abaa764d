#!/usr/bin/env python3
"""loam serve against clients that mean harm or are broken: it stays up, answers the others, and says no properly.
Prints TAP. (What each client can do in one request stands in test_serve.py.)

"Answers the others" is checked after every attack, and while it lasts: within PATIENCE seconds.
"""
import contextlib
import json
import os
import random
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _tiny  # noqa: E402
from _server import Server, read_all  # noqa: E402
from _tap import LOAM, case, main, note, tmp  # noqa: E402

MODEL = os.path.join(tmp(), "tiny")
_tiny.make_model(MODEL)
PATIENCE = 20
RECEIVE = 2  # seconds that the server waits for a request
IDLE = 10_000
LONG = {"prompt": "x", "max_tokens": 500, "temperature": 1, "ignore_eos": True, "stream": True}
POST = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
BODY = b'{"prompt":"x","max_tokens":1}'
N = b"%d" % len(BODY)


@contextlib.contextmanager
def serving(*args):
    """A server that must be alive at the end, leave nothing running, and stop with 0."""
    s = Server(MODEL, "--template", "plain", "--ctx", 512, *args)
    try:
        yield s
        s.wait("loam_requests_running", 0)
        s.wait("loam_requests_queued", 0)
        alive(s)
    finally:
        code, err = s.stop()
        assert code == 0, (code, err)


def alive(s):
    begun = time.time()
    assert s.ok("/v1/completions", {"prompt": "x", "max_tokens": 2}, timeout=PATIENCE)["usage"]["completion_tokens"] > 0
    assert time.time() - begun < PATIENCE


def request(body, path="/v1/completions", extra=""):
    body = json.dumps(body).encode()
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body


def statuses(data):
    """Of each answer. (The library sends the headers of its own 400 twice.)"""
    return [int(x) for x in re.findall(rb"HTTP/1\.1 (\d+)", data)]


def talk(s, data, half=True):
    """Everything that comes back for these bytes; half: then nothing more is sent."""
    with s.raw() as c:
        try:
            c.sendall(data)
            if half:
                c.shutdown(socket.SHUT_WR)
        except OSError:  # closed already, in the face of what came
            pass
        return read_all(c)


def reset(c):
    """Closes by RST: what a client that crashes looks like."""
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()


def memory_mb(s, what="VmRSS"):
    with open(f"/proc/{s.process.pid}/status") as f:
        return next(int(line.split()[1]) // 1024 for line in f if line.startswith(what))


# ---- many connections ----

def idle_connections(s, n):
    return [s.raw() for _ in range(n)]


def files_for(n):
    """Lets this process open n files; how many it may."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    want = n + 100 if hard == resource.RLIM_INFINITY else min(hard, n + 100)
    resource.setrlimit(resource.RLIMIT_NOFILE, (want, hard))
    if want < n + 100:
        note(f"this system lets a process open {hard} files: {want - 100} connections instead of {n}")
    return want - 100


@case("10,000 idle connections, where so many may be: all are kept")
def _():
    n = files_for(IDLE)
    with serving("--max-connections", IDLE + 1000) as s:
        before = memory_mb(s)
        held = idle_connections(s, n)
        alive(s)
        assert s.metric("loam_http_connections") >= n and s.metric("loam_http_evicted_total") == 0
        note(f"{n} connections take {memory_mb(s) - before} MB")
        assert memory_mb(s) - before < 200
        for c in held:
            c.close()
        s.wait("loam_http_connections", 1)  # the one that asks


@case("10,000 idle connections where 1024 may be: the idlest make room, those that ask are answered")
def _():
    n = files_for(IDLE)
    with serving() as s:
        busy = s.raw(request(LONG))  # not idle: it stays
        held = []
        for i in range(n):
            held.append(s.raw())
            if i % 2500 == 0:
                alive(s)
        alive(s)
        assert s.metric("loam_http_connections") <= 1024 + 64
        assert s.metric("loam_http_evicted_total") >= n - 1024 - 64
        assert b"[DONE]" in read_until(busy, b"[DONE]")
        for c in [*held, busy]:
            c.close()


def read_until(c, what):
    data = b""
    while what not in data:
        more = c.recv(65536)
        if not more:
            break
        data += more
    return data


@case("all connections busy: 503 with Retry-After, and the connection is closed")
def _():
    with serving("--max-connections", 8, "--parallel", 1) as s:
        busy = [s.raw(request({**LONG, "n": 8})) for _ in range(8)]
        assert busy[0].recv(1)
        health = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = talk(s, health, half=False)
        assert statuses(answer) == [503] and b"Retry-After:" in answer and b"too many connections" in answer, answer
        for c in busy:
            reset(c)
        end = time.time() + 5
        while statuses(talk(s, health, half=False)) != [200]:
            assert time.time() < end


@contextlib.contextmanager
def held_up(s):
    """Meanwhile the server does nothing: what connects and asks waits in the system."""
    s.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        s.process.send_signal(signal.SIGCONT)


HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


@case("a full table: who has asked is answered, though nobody has read it yet; those that idle make room")
def _():
    with serving("--max-connections", 8) as s:
        with held_up(s):  # all are accepted before one is read
            asked = [s.raw(HEALTH + b"Connection: close\r\n\r\n") for _ in range(40)]
        got = [statuses(read_all(c)) for c in asked]
        assert got.count([200]) >= 8 and got.count([200]) + got.count([503]) == 40, got
    with serving("--max-connections", 9) as s:
        kept = [s.raw(HEALTH + b"\r\n") for _ in range(4)]
        for c in kept:
            read_until(c, b"}")
        new = [s.raw() for _ in range(2)]
        s.wait("loam_http_connections", 7)  # with the one that asks
        slow = [s.raw(HEALTH), s.raw(POST + b"Connection: close\r\nContent-Length: %s\r\n\r\n" % N)]
        time.sleep(0.5)
        with held_up(s):
            kept[0].sendall(HEALTH + b"\r\n")
            asked = [s.raw(HEALTH + b"\r\n") for _ in range(6)]  # for one place: five must make room
        got = [statuses(read_until(c, b"}")) for c in [kept[0], *asked]]
        assert got == [[200]] * 7, got
        assert [read_all(c) for c in kept[1:]] == [b""] * 3  # they have, and two more
        assert s.metric("loam_http_evicted_total") >= 5
        slow[0].sendall(b"Connection: close\r\n\r\n")  # whose requests had begun
        slow[1].sendall(BODY)
        got = [read_all(c) for c in slow]
        assert [statuses(text) for text in got] == [[200]] * 2, got


@case("a full table: headers that are slow make room, long before their deadline")
def _():
    with serving("--max-connections", 8) as s:
        slow = [s.raw(HEALTH) for _ in range(8)]
        time.sleep(0.5)
        assert statuses(talk(s, HEALTH + b"Connection: close\r\n\r\n", half=False)) == [503]
        begun = time.time()
        while statuses(talk(s, HEALTH + b"Connection: close\r\n\r\n", half=False)) != [200]:
            assert time.time() < begun + PATIENCE
            time.sleep(0.2)
        for c in slow:
            c.close()


# ---- slow ones ----

@case("slow writers: headers and bodies that come byte by byte are closed, others answered meanwhile")
def _():
    with serving("--receive", RECEIVE) as s:
        begun = time.time()
        slow = [s.raw(POST if i % 2 else POST + b"Content-Length: 1000\r\n\r\n") for i in range(300)]
        open_ = list(slow)
        while open_ and time.time() - begun < RECEIVE + PATIENCE:
            for c in list(open_):
                try:
                    c.sendall(b"a")
                    c.setblocking(False)
                    if c.recv(1000) == b"":
                        raise ConnectionResetError
                except BlockingIOError:
                    c.setblocking(True)
                except OSError:
                    open_.remove(c)
            alive(s)
            time.sleep(0.1)
        assert not open_, len(open_)
        assert time.time() - begun >= RECEIVE
        for c in slow:
            c.close()


@case("slow readers: twenty clients that do not read are cut off, one that reads gets its stream")
def _():
    with serving("--receive", RECEIVE, "--parallel", 4) as s:
        stuck = []
        for _ in range(20):
            c = socket.socket()
            c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            c.connect((s.host, s.port))
            c.sendall(request({**LONG, "n": 4, "logprobs": 20}))
            stuck.append(c)
        events = s.events("/v1/completions", {**LONG, "max_tokens": 20})
        assert events[-1] == "[DONE]"
        s.wait("loam_requests_queued", 0, 60)
        s.wait("loam_requests_running", 0, 60)
        for c in stuck:
            c.close()


# ---- what comes in bytes ----

@case("where a request ends is said once and plainly, or it is 400 or 501 and the rest is not read")
def _():
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    refused = [
        b"Content-Length: " + N + b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + chunk,
        b"Content-Length: " + N + b"\r\nContent-Length: 0\r\n\r\n" + BODY,
        b"Content-Length: 0\r\ncontent-length: " + N + b"\r\n\r\n" + BODY,
        b"Content-Length: " + N + b"\r\nContent-Length: " + N + b"\r\n\r\n" + BODY,
        b"Content-Length: " + N + b", " + N + b"\r\n\r\n" + BODY,
        b"Content-Length: +" + N + b"\r\n\r\n" + BODY,
        b"Content-Length: 0x1d\r\n\r\n" + BODY,
        b"Content-Length: -1\r\n\r\n" + BODY,
        b"Content-Length: \r\n\r\n" + BODY,
        b"Content-Length: 18446744073709551645\r\n\r\n" + BODY,
        b"Content-Length : " + N + b"\r\n\r\n" + BODY,
        b"X: a\nContent-Length: 0\r\nContent-Length: " + N + b"\r\n\r\n" + BODY,
        b"Transfer-Encoding : chunked\r\nContent-Length: 4\r\n\r\n" + chunk,
        b"Transfer-Encoding: xchunked\r\n\r\n" + chunk,
        b"Transfer-Encoding: identity, chunked\r\n\r\n" + chunk,
        b"Transfer-Encoding: chunked, identity\r\n\r\n" + chunk,
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + chunk,
        b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 4\r\n\r\n" + chunk,
        b"Transfer-Encoding: chunked\r\n\r\n-1d\r\n" + BODY + b"\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n1000000000000001d\r\n" + BODY + b"\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + BODY + b"\r\n0\r\n\r\n",
        b"Host: evil.example\r\nContent-Length: " + N + b"\r\n\r\n" + BODY,
        b"No colon\r\nContent-Length: " + N + b"\r\n\r\n" + BODY,
    ]
    with serving("--receive", RECEIVE) as s:
        for shape in refused:
            answer = talk(s, POST + shape + smuggled)
            got = statuses(answer)
            assert got and got[0] in (400, 413, 501) and 404 not in got and 200 not in got, (shape, answer)
            assert re.search(rb"connection: close", answer, re.I), (shape, answer)
        for shape in (b"Content-Length: " + N + b"\r\n\r\n" + BODY, b"Transfer-Encoding: chunked\r\n\r\n" + chunk):
            assert statuses(talk(s, POST + shape + smuggled)) == [200, 404], shape
        old = talk(s, POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + smuggled)
        assert statuses(old) == [400], old
        assert statuses(talk(s, b"GET /v1/models%00x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")) == [404]


@case("pipelined requests are answered in order, each once")
def _():
    with serving() as s:
        one = b"".join(request({"tokens": [60 + i % 30]}, "/detokenize") for i in range(1000))
        answer = talk(s, one + request({"tokens": [60]}, "/detokenize", "Connection: close\r\n"), half=False)
        texts = re.findall(rb'"prompt":"((?:[^"\\]|\\.)*)"', answer)
        want = [s.ok("/detokenize", {"tokens": [60 + i]})["prompt"] for i in range(30)]
        assert [json.loads(b'"%s"' % t) for t in texts] == [want[i % 30] for i in range(1000)] + [want[0]]
        last = request({**LONG, "max_tokens": 3}, extra="Connection: close\r\n")
        streams = talk(s, request({**LONG, "max_tokens": 30}) * 4 + last, half=False)
        assert statuses(streams) == [200] * 5 and streams.count(b"[DONE]") == 5


@case("floods of headers, endless lines, bodies too large or nested too deep")
def _():
    head = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    with serving("--receive", RECEIVE, "--max-body", 1) as s:
        for flood in (head + b"X: y\r\n" * 100_000, head + b"X" * 1_000_000, head + b"X: " + b"y" * 1_000_000,
                      b"GET /" + b"a" * 1_000_000, b"G" * 1_000_000, b"\r\n" * 500_000):
            got = statuses(talk(s, flood + b"\r\n\r\n"))
            assert not got or got[0] in (400, 414, 431), (flood[:60], got)
            alive(s)
        for i in range(1, 6):
            body = b"x" * (i << 20)
            got = statuses(talk(s, POST + b"Content-Length: %d\r\n\r\n" % len(body) + body))
            assert got == [400 if i == 1 else 413] or not got, (i, got)  # cut off in the middle: no answer may come through
        for text in (b"[" * 500_000, b'{"a":' * 100_000, b'{"prompt":[' + b"[1]," * 200_000 + b"[1]]}"):
            assert s.ask("/v1/completions", text).status == 400
        chunks = b"".join(b"10000\r\n" + b"x" * 65536 + b"\r\n" for _ in range(40))
        got = statuses(talk(s, POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks))
        assert got in ([], [413]), got
        alive(s)


@case("arguments of calls, JSON in strings, are held to a body's limits: no memory, no time, each API")
def _():
    wide, deep = "[" + "0," * 260_000 + "0]", "[" * 70 + "]" * 70
    with serving() as s:
        before = memory_mb(s)
        for inner, n in ((wide, 15), (deep, 1)):
            args = '{"a":%s}' % inner
            call = {"type": "function", "function": {"name": "f", "arguments": args}}
            item = {"type": "function_call", "call_id": "1", "name": "f", "arguments": args}
            for path, body in (("/v1/chat/completions", {"messages": [{"role": "assistant", "tool_calls": [call] * n}]}),
                               ("/v1/responses", {"input": [item] * n})):
                r = s.ask(path, body)
                assert r.status == 400 and b"JSON" in r.body, (path, r.status, r.body)
                alive(s)
        grown = memory_mb(s, "VmHWM") - before
        note(f"{grown} MB")
        assert grown < 100, grown


@case("garbage: a thousand requests with bytes changed, cut or doubled")
def _():
    dice = random.Random(5)
    good = [request({"prompt": "x", "max_tokens": 1}), request({"messages": [{"role": "user", "content": "x"}], "max_tokens": 1},
            "/v1/chat/completions"), b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n",
            POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"]
    seen, sent = {}, []
    with serving("--receive", RECEIVE) as s:
        for _ in range(1000):
            data = bytearray(dice.choice(good))
            for _ in range(dice.randrange(1, 6)):
                at = dice.randrange(len(data))
                match dice.randrange(3):
                    case 0:
                        data[at] = dice.randrange(256)
                    case 1:
                        del data[at:at + dice.randrange(1, 9)]
                    case 2:
                        data[at:at] = data[at:at + dice.randrange(1, 40)]
                if not data:
                    data = bytearray(b"x")
            sent.append(s.raw(bytes(data)))
            sent[-1].shutdown(socket.SHUT_WR)
            if len(sent) == 500:  # together, for half a request is waited for
                for c in sent:
                    for status in statuses(read_all(c)):
                        seen[status] = seen.get(status, 0) + 1
                    c.close()
                sent.clear()
    note(f"statuses: {dict(sorted(seen.items()))}")
    assert seen.get(200) and seen.get(400) and not any(status >= 500 and status not in (501, 505) for status in seen), seen


# ---- leaving, stopping ----

@case("clients that leave in mid-stream, politely or by a reset: their places are free at once")
def _():
    with serving("--parallel", 2) as s:
        for leave in (socket.socket.close, reset):
            for _ in range(3):
                held = [s.raw(request({**LONG, "n": 8})) for _ in range(4)]
                for c in held[:2]:
                    assert c.recv(1)
                for c in held:
                    leave(c)
                begun = time.time()
                s.wait("loam_requests_running", 0, 5)
                s.wait("loam_requests_queued", 0, 5)
                assert time.time() - begun < 4, time.time() - begun


def behind_others(s, n, body):
    """n clients that have asked, behind a second's reading."""
    for _ in range(3):
        s.raw(request({"prompt": "a b " * (15 << 18), "max_tokens": 1})).detach()
    waiting = [s.raw(request(body, extra="Connection: close\r\n")) for _ in range(n)]
    while s.metric("loam_http_requests_total") < 3 + n:
        pass
    return waiting


@case("what a hundred clients that left have sent is not read")
def _():
    with serving() as s:
        for c in behind_others(s, 100, {"prompt": "x", "max_tokens": 1}):
            c.close()
        alive(s)  # behind them
        assert s.metric("loam_requests_total") < 50


@case("a second signal: what waits to be read is not, and hears 503")
def _():
    s = Server(MODEL, "--ctx", 512)
    waiting = behind_others(s, 100, {"prompt": 5})  # 400, once it is read
    s.process.send_signal(signal.SIGTERM)
    while "stopping" not in s.process.stderr.readline():
        pass
    s.process.send_signal(signal.SIGTERM)
    answers = [statuses(read_all(c)) for c in waiting]
    assert s.process.wait(60) == 0
    assert answers.count([503]) > 50, answers


@case("stopping while clients stream: streams end whole, kept connections hear 503, the port is free for the next server")
def _():
    s = Server(MODEL, "--template", "plain", "--ctx", 512)
    streams = [s.raw(request(LONG, extra="Connection: close\r\n")) for _ in range(8)]
    for c in streams:
        assert c.recv(1)
    kept = s.raw(request({"prompt": "x", "max_tokens": 1}))
    read_until(kept, b"}}")
    got = []
    readers = [threading.Thread(target=lambda c=c: got.append(read_all(c))) for c in streams]
    s.process.send_signal(signal.SIGTERM)
    while "stopping" not in s.process.stderr.readline():
        pass
    end = time.time() + 5
    while True:  # until the listening socket is closed
        try:
            s.raw().close()
        except ConnectionError:
            break
        assert time.time() < end
    try:
        kept.sendall(request({"prompt": "x", "max_tokens": 1}))
        answer = read_all(kept)
        assert statuses(answer) in ([503], []), answer  # [] when the streams have ended first
    except ConnectionError:
        pass
    again = Server(MODEL, "--template", "plain", "--port", s.port, port=False)
    again.host, again.port = s.host, s.port
    for r in readers:
        r.start()
    for r in readers:
        r.join(60)
    assert len(got) == 8 and all(b"data: [DONE]" in text for text in got), [t[-80:] for t in got]
    assert s.process.wait(60) == 0
    alive(again)
    assert again.stop()[0] == 0


@case("nowhere to log to: a full disk, a closed pipe")
def _():
    args = [LOAM, "serve", MODEL, "--port", "0", "--threads", "1"]
    with open("/dev/full", "w") as full:
        p = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=full, text=True)
        url = p.stdout.readline().strip()
    address = (url.split("//")[1].split(":")[0], int(url.rpartition(":")[2]))
    def ask():
        with socket.create_connection(address, timeout=PATIENCE) as c:
            c.sendall(request({"prompt": "x", "max_tokens": 2}, extra="Connection: close\r\n"))
            return read_all(c)
    assert statuses(ask()) == [200]
    p.send_signal(signal.SIGTERM)
    assert p.wait(30) == 0
    p = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    url = p.stdout.readline().strip()
    address = (url.split("//")[1].split(":")[0], int(url.rpartition(":")[2]))
    p.stdout.close()
    p.stderr.close()
    assert statuses(ask()) == [200]
    p.send_signal(signal.SIGTERM)
    assert p.wait(30) == 0


main()
