#!/usr/bin/env python3
"""`loam pull` of a large file from this machine, against curl.

    bench/pull.py [--bytes N] [--rounds N] [--memory FOLDER] [--json]

The server is a process of its own that gives ranges and copies nothing (sendfile). In each round each runs once, one after
the other: curl; curl followed by sync of its file; loam pull, which also hashes, and ends when the bytes are on disk. Both
write under LOAM_CACHE, and once more to a folder in memory (FOLDER, /dev/shm), where no disk is waited for and so the work
itself is seen. What the disk can do is measured, too: as many bytes, written and brought there. Medians over rounds.
"""
import argparse
import http.server
import json
import os
import shutil
import socketserver
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from run import BUSY, CACHE, LOAM, busy_share, say  # noqa: E402


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        total, wanted = os.path.getsize(self.server.file), self.headers.get("Range")
        first, last = 0, total - 1
        if wanted:
            a, b = wanted.removeprefix("bytes=").split("-")
            first, last = int(a), min(int(b or last), last)
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{total}")
        self.send_header("ETag", '"same"')
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        with open(self.server.file, "rb") as f:
            while first <= last:
                first += os.sendfile(self.connection.fileno(), f.fileno(), first, last + 1 - first)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that has asked for a byte of all


def serve(path):
    server = Server(("127.0.0.1", 0), Handler)
    server.file = path
    print(server.server_port, flush=True)
    server.serve_forever()


def timed(commands, **options):
    begun = time.monotonic()
    for command in commands:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    return time.monotonic() - begun


def disk_alone(folder, n):
    """Seconds to write n bytes that no file system can leave out, and to bring them to disk."""
    block, path = os.urandom(4 << 20), os.path.join(folder, "disk")
    begun = time.monotonic()
    with open(path, "wb", buffering=0) as f:
        for _ in range(0, n, len(block)):
            f.write(block)
        os.fsync(f.fileno())
    took = time.monotonic() - begun
    os.unlink(path)
    return took


def round_in(folder, url, n):
    """{program: seconds}"""
    to, home = os.path.join(folder, "curl"), os.path.join(folder, "home")
    env = {**{k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}, "LOAM_HOME": home}
    curl = ["curl", "-s", "-o", to, url]
    runs = {"curl": lambda: timed([curl], env=env), "curl and sync": lambda: timed([curl, ["sync", to]], env=env),
            "loam pull": lambda: timed([[LOAM, "pull", url]], env=env), "writing alone": lambda: disk_alone(folder, n)}
    took = {}
    for name, run in runs.items():
        os.sync()
        took[name] = run()
        if os.path.exists(to):
            os.unlink(to)
        shutil.rmtree(home, ignore_errors=True)
    return took


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bytes", type=int, default=1 << 30)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--memory", default="/dev/shm")
    p.add_argument("--json", action="store_true")
    p.add_argument("--serve", help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.serve:
        return serve(args.serve)
    if (busy := busy_share()) > BUSY:
        say(f"bench: others use {busy:.0%} of the CPUs: the figures will not be worth quoting")
    with tempfile.TemporaryDirectory(dir=CACHE) as disk, tempfile.TemporaryDirectory(dir=args.memory) as memory:
        source = os.path.join(disk, "model.gguf")
        with open(source, "wb") as f:
            for _ in range(0, args.bytes, 1 << 20):
                f.write(os.urandom(1 << 20))
        server = subprocess.Popen([sys.executable, __file__, "--serve", source], stdout=subprocess.PIPE, text=True)
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/model.gguf"
        try:
            places = {"disk": disk, "memory": memory}
            rounds = {name: [round_in(folder, url, args.bytes) for _ in range(args.rounds)] for name, folder in places.items()}
        finally:
            server.kill()
            server.wait()
    out = {place: {name: statistics.median(r[name] for r in all_of) for name in all_of[0]} for place, all_of in rounds.items()}
    if args.json:
        return print(json.dumps({"bytes": args.bytes, "seconds": out}))
    for place, took in out.items():
        for name, seconds in took.items():
            print(f"{place:8}{name:16}{seconds:7.2f} s {args.bytes / seconds / 1e6:8.0f} MB/s")


if __name__ == "__main__":
    main()
