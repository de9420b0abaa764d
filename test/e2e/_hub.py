"""A server on loopback that speaks the protocols of the Hugging Face hub and the Ollama registry, and breaks them on request.

    hub = Hub()                                         # two hosts: the hub, and the one that its redirects lead to
    hub.hf("org/repo", {"model.gguf": b"..."}, licence="apache-2.0")
    hub.ollama("name", b"...")
    hub.fault("model.gguf", "503", times=2)             # the next two requests for that file at the second host
    hub.seen                                            # [(port, path, headers)]

Faults: "401".."504" (with Retry-After 1 for 429), "norange" (200 and all of it), "short" (half of what was asked for, then
the connection ends), "wrong" (other bytes), "stall" (a few bytes, then silence), "drip" (a byte now and then for ever),
"endless" (no length, no end), "shifted" (the range 1,000 bytes further on), "longer" (more than there is), "html" (a page of a login), "expired" (403 until asked anew),
"chunked" (half of what was asked for in chunks, then the connection ends without the last), "changed" (the bytes and the ETag of
another version), "noetag" (as it should be, without an ETag).

    hub.tls(cert, key)                                  # a third host, by https; its URL
    Proxy()                                             # a proxy that connects to this machine whatever is asked for
"""
import hashlib
import http.server
import json
import socket
import socketserver
import ssl
import threading
import time

FLIPPED = bytes(b ^ 1 for b in range(256))


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def git_blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # a client that was killed


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def log_message(self, *args):
        pass

    def do_GET(self):
        hub = self.server.hub
        with hub.lock:
            hub.seen.append((self.server.server_port, self.path, dict(self.headers)))
        path = self.path.split("?")[0]
        if path in hub.answers:
            status, headers, body = hub.answers[path](self) if callable(hub.answers[path]) else hub.answers[path]
            self.answer(status, body, headers)
        elif path.startswith("/blob/") and path[6:] in hub.blobs:
            self.blob(path[6:])
        else:
            self.answer(404, b"not found")

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for key, value in dict(headers).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def cut(self):
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def blob(self, key):
        hub = self.server.hub
        data, fault = hub.blobs[key], hub.next_fault(key)
        if fault and fault.isdigit():
            return self.answer(int(fault), b"no", {"Retry-After": "1"} if fault == "429" else {})
        if fault == "html":
            return self.answer(200, b"<html>log in</html>", {"Content-Type": "text/html"})
        wanted = self.headers.get("Range")
        whole = not wanted or fault == "norange"
        first, last = 0, len(data) - 1
        if not whole:
            a, b = wanted.split("=")[1].split("-")
            first, last = int(a), min(int(b or last), last)
            if first > last:
                return self.answer(416, b"", {"Content-Range": "bytes */%d" % len(data)})
        if fault == "shifted":
            first, last = first + 1000, min(last + 1000, len(data) - 1)
        part = memoryview(data)[first:last + 1]
        self.send_response(200 if whole else 206)
        if not whole:
            self.send_header("Content-Range", "bytes %d-%d/%d" % (first, last, len(data)))
        if fault != "noetag":
            self.send_header("ETag", '"%s%s"' % (key, fault if fault == "changed" else ""))
        if fault == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part) // 2, bytes(part[:len(part) // 2])))
            return self.cut()
        if fault == "endless":
            self.end_headers()
            while True:
                self.wfile.write(b"x" * 65536)
        self.send_header("Content-Length", str(len(part) + (1000 if fault == "longer" else 0)))
        self.end_headers()
        if fault in ("wrong", "changed"):
            part = bytes(part).translate(FLIPPED)
        if fault == "longer":
            part = bytes(part) + b"y" * 1000
        if fault in ("stall", "drip"):
            self.wfile.write(part[:100])
            while True:
                self.wfile.flush()
                time.sleep(0.2)
                if fault == "drip":
                    self.wfile.write(b"z")
        if fault == "short":
            self.wfile.write(part[:len(part) // 2])
            return self.cut()
        pause = hub.pause
        for at in range(0, len(part), 1 << 18):
            self.wfile.write(part[at:at + (1 << 18)])
            if pause:
                time.sleep(pause)


class Hub:
    def __init__(self):
        self.lock = threading.Lock()
        self.seen, self.answers, self.blobs, self.faults = [], {}, {}, {}
        self.pause = 0
        self.hub, self.cdn = (Server(("127.0.0.1", 0), Handler) for _ in range(2))
        for server in (self.hub, self.cdn):
            server.hub = self
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = "http://127.0.0.1:%d" % self.hub.server_port
        self.cdn_url = "http://127.0.0.1:%d" % self.cdn.server_port
        self.env = {"LOAM_HF_ENDPOINT": self.url, "LOAM_OLLAMA_ENDPOINT": self.url, "NO_PROXY": "*", "no_proxy": "*"}

    def tls(self, cert, key):
        server = Server(("127.0.0.1", 0), Handler)
        server.hub = self
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return "https://localhost:%d" % server.server_port

    def fault(self, key, kind, times=1):
        self.faults.setdefault(key, []).extend([kind] * times)

    def next_fault(self, key):
        with self.lock:
            waiting = self.faults.get(key)
            return waiting.pop(0) if waiting else None

    def hf(self, repo, files, licence="apache-2.0", commit="c" * 40, gated=None, token=None, **more):
        """files: {name: bytes}; those in LFS (weights) are redirected to the second host, under their own names there."""
        siblings = []
        for name, data in files.items():
            s = {"rfilename": name, "size": len(data), "blobId": git_blob(data)}
            lfs = name.endswith((".gguf", ".safetensors"))
            if lfs:
                s["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 134}
                self.blobs[name] = data

            def resolve(request, name=name, data=data, lfs=lfs):
                if token and request.headers.get("Authorization") != "Bearer " + token:
                    return 401, {"X-Error-Code": "GatedRepo"}, b"gated"
                if lfs:
                    return 302, {"Location": "%s/blob/%s?sig=1" % (self.cdn_url, name), "X-Linked-Size": str(len(data)),
                                 "X-Linked-Etag": '"%s"' % sha256(data), "X-Repo-Commit": commit}, b""
                return 200, {"ETag": '"%s"' % git_blob(data)}, data
            self.answers["/%s/resolve/%s/%s" % (repo, commit, name)] = resolve
            siblings.append(s)
        body = {"id": repo, "sha": commit, "cardData": {"license": licence}, "siblings": siblings, **more}
        self.api(repo, json.dumps(body).encode())

    def api(self, repo, body, status=200, revision="main", headers=()):
        self.answers["/api/models/%s/revision/%s" % (repo, revision)] = (status, headers, body)

    def ollama(self, name, data, licence=b"\n  Some Licence\nwith more\n", tag="latest", space="library"):
        layers = [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:" + sha256(data), "size": len(data)},
                  {"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:" + sha256(licence),
                   "size": len(licence)}]
        for blob in (data, licence):
            key = "sha256-" + sha256(blob)
            self.blobs[key] = blob
            self.answers["/v2/%s/%s/blobs/sha256:%s" % (space, name, sha256(blob))] = (
                307, {"Location": "%s/blob/%s" % (self.cdn_url, key)}, b"")
        manifest = json.dumps({"schemaVersion": 2, "layers": layers}).encode()
        self.answers["/v2/%s/%s/manifests/%s" % (space, name, tag)] = (200, {}, manifest)
        return "sha256-" + sha256(data)


class Tunnel(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_CONNECT(self):
        self.server.asked.append((self.path, dict(self.headers)))
        far = socket.create_connection(("127.0.0.1", int(self.path.split(":")[1])))
        self.send_response(200)
        self.end_headers()
        back = threading.Thread(target=self.pump, args=(far, self.connection))
        back.start()
        self.pump(self.connection, far)
        back.join()
        far.close()

    def pump(self, come, go):
        try:
            while data := come.recv(1 << 16):
                go.sendall(data)
            go.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one end has gone


class Proxy(Server):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Tunnel)
        self.asked = []  # [(host:port, headers)]
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        self.url = "http://user:hush@127.0.0.1:%d" % self.server_port
