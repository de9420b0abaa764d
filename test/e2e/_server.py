"""The server under test, and ways to speak to it: a request with the standard library, and raw sockets."""
import http.client
import json
import os
import signal
import socket
import subprocess
import time

from _tap import LOAM, Fail


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Server:
    """`loam serve ...` on a free port, with one thread unless told otherwise, until stop()."""

    def __init__(self, *args, env=None, port=True):
        args = [LOAM, "serve", *map(str, args)] + (["--port", "0"] if port else [])
        if "--threads" not in args:
            args += ["--threads", "1"]
        self.process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, **(env or {})})
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise Fail("the server did not start: " + self.process.stderr.read())
        if port:
            self.host, _, port = self.url.split("//")[1].rpartition(":")
            self.port = int(port)

    def ask(self, path, body=None, method=None, timeout=60, **headers):
        c = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        c.request(method or ("GET" if body is None else "POST"), path, body,
                  {k.replace("_", "-"): v for k, v in headers.items()})
        r = c.getresponse()
        answer = Answer(r.status, dict(r.getheaders()), r.read())
        c.close()
        return answer

    def ok(self, path, body=None, **more):
        r = self.ask(path, body, **more)
        assert r.status == 200, (path, r.status, r.body)
        return r.json

    def events(self, path, body):
        """The data of a stream of events."""
        text = self.ask(path, {**body, "stream": True}).body.decode()
        return [line[6:] for line in text.split("\n") if line.startswith("data: ")]

    def raw(self, data=b"", timeout=30):
        s = socket.create_connection((self.host, self.port), timeout=timeout)
        s.sendall(data)
        return s

    def metric(self, name):
        for line in self.ask("/metrics").body.decode().splitlines():
            if line.startswith(name):
                return float(line.rpartition(" ")[2])
        raise AssertionError(name)

    def wait(self, name, value, seconds=30):
        end = time.time() + seconds
        while self.metric(name) != value:
            assert time.time() < end, (name, self.metric(name), value)
            time.sleep(0.05)

    def stop(self, how=signal.SIGTERM, timeout=60):
        self.process.send_signal(how)
        _, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, err


def read_all(s):
    """What comes until the other side closes."""
    data = b""
    while True:
        try:
            more = s.recv(65536)
        except ConnectionResetError:
            return data
        if not more:
            return data
        data += more
