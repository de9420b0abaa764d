#!/usr/bin/env python3
"""loam serve in its sandbox: all threads are in it, every route works, and what is not in it is said. Prints TAP.

What the sandbox refuses is tried by test/unit/test_sandbox.c.
"""
import glob
import json
import os
import re
import socket
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _tiny  # noqa: E402
from _server import Server, read_all  # noqa: E402
from _tap import LOAM, ROOT, case, loam, main, note, tmp  # noqa: E402

MODEL = os.path.join(tmp(), "tiny")
_tiny.make_model(MODEL)
TLS = os.path.join(ROOT, "test", "e2e", "tls")
PARTS = ("files", "tcp", "scope", "calls")
CHAT = [{"role": "user", "content": "Hi"}]
SHORT = {"max_tokens": 4, "temperature": 0}
ROUTES = [
    ("/v1/models", None), ("/v1/models/tiny", None), ("/health", None), ("/metrics", None), ("/tokenizer_info", None),
    ("/api/tags", None), ("/api/ps", None), ("/api/version", None), ("/api/show", {"model": "tiny"}),
    ("/v1/completions", {"prompt": "The sea", **SHORT}), ("/v1/completions", {"prompt": "The sea", "stream": True, **SHORT}),
    ("/v1/chat/completions", {"messages": CHAT, **SHORT}), ("/v1/chat/completions", {"messages": CHAT, "stream": True, **SHORT}),
    ("/v1/responses", {"input": "Hi", "max_output_tokens": 4}), ("/v1/responses", {"input": "Hi", "stream": True, "max_output_tokens": 4}),
    ("/v1/messages", {"messages": CHAT, **SHORT}), ("/v1/messages", {"messages": CHAT, "stream": True, **SHORT}),
    ("/v1/messages/count_tokens", {"messages": CHAT}),
    ("/api/chat", {"model": "tiny", "messages": CHAT, "options": {"num_predict": 4}}),
    ("/api/generate", {"model": "tiny", "prompt": "x", "stream": False, "options": {"num_predict": 4}}),
    ("/tokenize", {"prompt": "sea"}), ("/detokenize", {"tokens": [60, 61]}), ("/apply-template", {"messages": CHAT}),
]


def others():
    """Routes that the program has and that do not stand above."""
    known = {path for path, _ in ROUTES}
    for name in glob.glob(os.path.join(ROOT, "src", "serve", "*.c")):
        with open(name) as f:
            yield from ((m, p) for m, p in re.findall(r'\{"(GET|POST)", "(/[^"]*)"', f.read()) if p not in known)


def fields(pid):
    """Of each thread: name of a field of its status, and the value."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status") as f:
            yield dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def parts(s):
    return {p: s.metric('loam_sandbox{part="%s"}' % p) for p in PARTS}


def kernel_has():
    """What this kernel's sandbox should consist of, asked of the kernel itself."""
    asked = subprocess.run([sys.executable, "-c", "import ctypes; print(ctypes.CDLL(None).syscall(444, None, 0, 1))"],
                           capture_output=True, text=True)
    version = int(asked.stdout)
    return {"files": version >= 1, "tcp": version >= 4, "scope": version >= 6,
            "calls": "errno" in open("/proc/sys/kernel/seccomp/actions_avail").read().split()}


def started(*args, **more):
    s = Server(MODEL, "--template", "plain", "--ctx", 512, *args, **more)
    return s


@case("every thread is in it, without privileges to come and without a core dump")
def _():
    s = started()
    try:
        want = kernel_has()
        note(f"this kernel has {want}")
        assert parts(s) == want, (parts(s), want)
        s.ok("/v1/completions", {"prompt": "x", "max_tokens": 2})
        threads = list(fields(s.process.pid))
        assert len(threads) >= 4, threads
        for t in threads:
            assert t["Seccomp"] == ("2" if want["calls"] else "0") and t["NoNewPrivs"] == "1", t
        limits = open(f"/proc/{s.process.pid}/limits").read()
        assert [line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core file size")] == [["0", "0"]]
        if os.getuid() != 0:  # root may always
            assert not os.access(f"/proc/{s.process.pid}/mem", os.R_OK)
    finally:
        code, err = s.stop()
        assert code == 0, (code, err)
    assert ("WARNING" in err) == (not (want["files"] and want["calls"])), err


@case("every route answers in it")
def _():
    s = started()
    try:
        for path, body in ROUTES:
            r = s.ask(path, body)
            assert r.status == 200, (path, r.status, r.body)
            assert b'"error":{' not in r.body and b'"error":"' not in r.body, (path, r.body)
        for method, path in others():
            r = s.ask(path.replace("*", "x"), {} if method == "POST" else None)
            assert r.status < 500 or r.status == 501, (path, r.status, r.body)
    finally:
        code, err = s.stop()
        assert code == 0, (code, err)


@case("TLS, a template in a file, a model behind links, several models")
def _():
    template = os.path.join(tmp(), "template.jinja")
    with open(template, "w") as f:
        f.write("{% for m in messages %}[{{ m.content }}]{% endfor %}{{ strftime_now('%Y') }}")
    links = os.path.join(tmp(), "links")
    os.mkdir(links)
    for name in os.listdir(MODEL):
        os.symlink(os.path.join("..", "tiny", name), os.path.join(links, name))
    s = Server(links, MODEL, "--template", template, "--tls-cert", os.path.join(TLS, "cert.pem"), "--tls-key",
               os.path.join(TLS, "key.pem"))
    try:
        trust = ssl.create_default_context(cafile=os.path.join(TLS, "cert.pem"))
        body = json.dumps({"messages": CHAT, "model": "tiny", "stream": True, **SHORT})
        for _ in range(3):
            with trust.wrap_socket(s.raw(), server_hostname="localhost") as t:
                t.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                          % (len(body), body.encode()))
                answer = read_all(t)
                assert b"data: [DONE]" in answer, answer
        for t in fields(s.process.pid):
            assert t["NoNewPrivs"] == "1"
    finally:
        code, err = s.stop()
        assert code == 0, (code, err)


@case("a Unix socket, relative, is removed at the end")
def _():
    here = os.path.join(tmp(), "here")
    os.mkdir(here)
    before = os.getcwd()
    os.chdir(here)
    try:
        s = started("--unix", "socket", port=False)
        with socket.socket(socket.AF_UNIX) as u:
            u.connect("socket")
            u.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b'"tiny"' in read_all(u)
        code, err = s.stop()
        assert code == 0, (code, err)
        assert not os.path.exists("socket")
    finally:
        os.chdir(before)


@case("--no-sandbox says so, loudly, and in the metrics")
def _():
    s = started("--no-sandbox")
    try:
        assert parts(s) == dict.fromkeys(PARTS, 0)
        assert all(t["Seccomp"] == "0" and t["NoNewPrivs"] == "0" for t in fields(s.process.pid))
    finally:
        code, err = s.stop()
        assert code == 0, (code, err)
    assert "WARNING: --no-sandbox" in err, err


@case("an address in use and a missing model are told before models load")
def _():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        assert "--port" in loam("serve", MODEL, "--port", held.getsockname()[1], want=1).stderr
    assert "no such file" in loam("serve", "no-such-model", "--port", 0, want=1).stderr
    assert subprocess.run([LOAM, "serve", "--help"], capture_output=True, text=True).stdout.count("--no-sandbox") == 1


main()
