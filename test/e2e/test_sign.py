#!/usr/bin/env python3
"""loam sign and loam check against OpenSSF's reference, model_signing, both ways; and every kind of forgery refused.

The reference lives in a pinned environment: script/venv.sh sign.
"""
import atexit
import base64
import copy
import hashlib
import json
import os
import stat
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import _tap  # noqa: E402
from _tap import ROOT, Fail, case, loam, tmp  # noqa: E402

# The reference's own command line, a command a line, in one process: starting it takes longer than all it does here.
SERVE = """
import contextlib, io, json, sys
from model_signing._cli import main
for line in sys.stdin:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main.main(json.loads(line), standalone_mode=False)
            status = 0
        except SystemExit as e:
            status = e.code
    print(json.dumps([status, said.getvalue()]), flush=True)
"""
_reference = None


def reference(*args, want=0):
    global _reference
    if _reference is None:
        run = subprocess.run([os.path.join(ROOT, "script", "venv.sh"), "sign"], capture_output=True, text=True)
        if run.returncode:
            raise Fail("script/venv.sh sign: " + run.stderr)
        _reference = subprocess.Popen([run.stdout.strip(), "-c", SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True)
        atexit.register(_reference.kill)
    _reference.stdin.write(json.dumps([str(a) for a in args]) + "\n")
    _reference.stdin.flush()
    status, said = json.loads(_reference.stdout.readline())
    if (status == 0) != (want == 0):
        raise Fail("model_signing %s: status %d\n%s" % (" ".join(map(str, args)), status, said[-2000:]))
    if status == 0 and "succeeded" not in said:
        raise Fail("model_signing %s said: %s" % (" ".join(map(str, args)), said))


def at(name):
    return os.path.join(tmp(), name)


def put(name, data=b"x"):
    os.makedirs(os.path.dirname(at(name)), exist_ok=True)
    with open(at(name), "wb") as f:
        f.write(data)


def model(name):
    """A folder with what makes names hard to sort and to write."""
    for file in ("config.json", "sub/b.bin", "sub.x", "sub/deep/er/file", "a b", "\u00e9\u4e16", "q\"uo\\te", "line\nbreak",
                 ".hidden", "empty", ".git/HEAD", ".gitignore"):
        put(name + "/" + file, b"" if file == "empty" else file.encode() * 7)
    return at(name)


def keys(name, curve="P-256"):
    if not os.path.exists(at(name)):
        loam("sign", "--new-key", at(name), "--curve", curve)
    return at(name), at(name) + ".pub"


def refused(m, pub, *args, words="", status=3):
    run = loam("check", m, "--key", pub, *args, want=status)
    assert run.stdout == "" and run.stderr.count("\n") == 1 and words in run.stderr, (words, run.stderr)


def bundle(path):
    with open(path) as f:
        b = json.load(f)
    return b, json.loads(base64.b64decode(b["dsseEnvelope"]["payload"]))


@case("the reference verifies our signatures on each curve, of folders and of files")
def _():
    for curve in ("P-256", "P-384", "P-521"):
        key, pub = keys("k" + curve, curve)
        m = model("m" + curve)
        loam("sign", m, "--key", key)
        loam("check", m, "--key", pub)
        reference("verify", "key", m, "--signature", m + "/model.sig", "--public_key", pub)
    file = m + "/config.json"
    loam("sign", file, "--key", key, "--signature", at("file.sig"))
    reference("verify", "key", file, "--signature", at("file.sig"), "--public_key", pub)
    with open(m + "/config.json", "ab") as f:
        f.write(b"!")
    reference("verify", "key", m, "--signature", m + "/model.sig", "--public_key", pub, want=1)
    refused(m, pub, words="config.json was changed")


@case("we verify the reference's signatures, with keys of openssl's own making")
def _():
    m = model("theirs")
    for curve, name in (("prime256v1", "t256"), ("secp384r1", "t384"), ("secp521r1", "t521")):
        subprocess.run(["openssl", "ecparam", "-name", curve, "-genkey", "-noout", "-out", at(name)], check=True)
        subprocess.run(["openssl", "ec", "-in", at(name), "-pubout", "-out", at(name + ".pub")], check=True,
                       capture_output=True)
        os.chmod(at(name), 0o600)
        reference("sign", "key", m, "--signature", at(name + ".sig"), "--private_key", at(name))
        loam("check", m, "--key", at(name + ".pub"), "--signature", at(name + ".sig"))
        loam("sign", m, "--key", at(name), "--signature", at(name + ".ours"))
        ours, theirs = bundle(at(name + ".ours")), bundle(at(name + ".sig"))
        assert ours[1]["subject"] == theirs[1]["subject"], (ours[1]["subject"], theirs[1]["subject"])
        assert ours[1]["predicate"]["resources"] == theirs[1]["predicate"]["resources"]
        assert ours[0]["verificationMaterial"] == theirs[0]["verificationMaterial"]
        refused(m, at("t256.pub") if name != "t256" else keys("kP-256")[1], "--signature", at(name + ".sig"),
                words="another key")
    reference("sign", "key", m + "/config.json", "--signature", at("one.sig"), "--private_key", at("t256"))
    loam("check", m + "/config.json", "--key", at("t256.pub"), "--signature", at("one.sig"))
    # Their signature within the model, and paths that they left out
    reference("sign", "key", m, "--signature", m + "/in.sig", "--ignore-paths", m + "/sub", "--private_key", at("t256"))
    loam("check", m, "--key", at("t256.pub"), "--signature", m + "/in.sig")
    put("theirs/sub/new")
    loam("check", m, "--key", at("t256.pub"), "--signature", m + "/in.sig")


@case("what is left out and what is linked is as the reference has it")
def _():
    key, pub = keys("k")
    m = model("links")
    loam("sign", m, "--key", key, "--ignore", m + "/sub", "--ignore", m + "/empty", "--signature", m + "/sub.sig")
    reference("verify", "key", m, "--signature", m + "/sub.sig", "--public_key", pub)
    names = {r["name"] for r in bundle(m + "/sub.sig")[1]["predicate"]["resources"]}
    assert "sub.x" in names and "sub/b.bin" not in names and "empty" not in names and ".git/HEAD" not in names, names
    loam("sign", m, "--key", key, "--git", "--signature", at("git.sig"))
    reference("verify", "key", m, "--no-ignore-git-paths", "--signature", at("git.sig"),
              "--public_key", pub)
    loam("sign", m, "--key", key, "--ignore", at("elsewhere"), want=2)
    os.remove(m + "/sub.sig")

    os.symlink("config.json", m + "/link")
    assert "--allow-symlinks" in loam("sign", m, "--key", key, want=1).stderr
    loam("sign", m, "--key", key, "--allow-symlinks")
    reference("verify", "key", m, "--allow_symlinks", "--signature", m + "/model.sig", "--public_key", pub)
    refused(m, pub, words="symbolic link", status=1)
    loam("check", m, "--key", pub, "--allow-symlinks")
    os.remove(m + "/link")
    put("links/link", "config.json".encode() * 7)
    loam("check", m, "--key", pub)  # the same bytes under the same name


@case("forged, cut, swapped, re-ordered, changed, missing and added are refused with one line and status 3")
def _():
    key, pub = keys("k")
    other, other_pub = keys("other")
    m, n = model("m"), model("n")
    put("n/config.json", b"another model")
    for x in (m, n):
        loam("sign", x, "--key", key)
    sig = m + "/model.sig"
    with open(sig, "rb") as f:
        good = f.read()
    b, statement = bundle(sig)

    def forged(change, words, status=3):
        bad = copy.deepcopy(b)
        s = change(bad, copy.deepcopy(statement))
        if s is not None:
            bad["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(s).encode()).decode()
        put("m/model.sig", json.dumps(bad).encode())
        refused(m, pub, words=words, status=status)

    def resource(bad, s):
        s["predicate"]["resources"][0]["digest"] = hashlib.sha256(b"mine").hexdigest()
        return s

    def reorder(bad, s):
        s["predicate"]["resources"].reverse()
        return s

    def reorder_well(bad, s):
        s = reorder(bad, s)
        s["subject"][0]["digest"]["sha256"] = hashlib.sha256(
            b"".join(bytes.fromhex(r["digest"]) for r in s["predicate"]["resources"])).hexdigest()
        return s

    def ignore(bad, s):
        s["predicate"]["serialization"]["ignore_paths"].append("config.json")
        return s

    def no_signature(bad, s):
        bad["dsseEnvelope"]["signatures"] = []

    def two_signatures(bad, s):
        bad["dsseEnvelope"]["signatures"] *= 2

    def empty_signature(bad, s):
        bad["dsseEnvelope"]["signatures"][0]["sig"] = ""

    def hint(bad, s):
        bad["verificationMaterial"]["publicKey"]["hint"] = hashlib.sha256(b"").hexdigest()

    def certificate(bad, s):
        bad["verificationMaterial"] = {"certificate": {"rawBytes": "AA=="}, "tlogEntries": []}

    for change in (resource, reorder, reorder_well, ignore):
        forged(change, "not by this key, or what was signed was changed")
    forged(no_signature, "signatures")
    forged(two_signatures, "signatures")
    forged(empty_signature, "not by this key")
    forged(hint, "another key")
    forged(certificate, "certificate", status=1)

    for cut in (0, 1, len(good) // 2, len(good) - 3):
        put("m/model.sig", good[:cut])
        refused(m, pub, words="no signature of a model")
    put("m/model.sig", good + good)
    refused(m, pub, words="no signature of a model")
    put("m/model.sig", b"[" * 100000)
    refused(m, pub, words="no signature of a model")
    put("m/model.sig", good)
    refused(m, pub, "--signature", n + "/model.sig", words="was changed")  # swapped with another model's
    refused(m, other_pub, words="another key")

    # The signer may do all that: the same files in another order are the same model; a lie about a file is seen.
    def signed(s):
        body = json.dumps(s).encode()
        kind = b"application/vnd.in-toto+json"
        pae = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)
        der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=pae, capture_output=True, check=True).stdout
        bad = copy.deepcopy(b)
        bad["dsseEnvelope"]["payload"] = base64.b64encode(body).decode()
        bad["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(der).decode()
        put("m/model.sig", json.dumps(bad).encode())

    signed(statement)
    loam("check", m, "--key", pub)
    signed(reorder_well(None, copy.deepcopy(statement)))
    loam("check", m, "--key", pub)
    signed(reorder(None, copy.deepcopy(statement)))
    refused(m, pub, words="not that of the files")
    twice = copy.deepcopy(statement)
    twice["predicate"]["resources"] *= 2
    signed(twice)
    refused(m, pub, words="named twice")
    put("m/model.sig", good)

    put("m/extra\x1b[31m", b"")
    run = loam("check", m, "--key", pub, want=3)
    assert "was not signed" in run.stderr and "\x1b" not in run.stderr and run.stderr.count("\n") == 1, run.stderr
    loam("check", m, "--key", pub, "--signed-only")
    os.remove(m + "/extra\x1b[31m")
    os.rename(m + "/sub/b.bin", m + "/sub/c.bin")
    refused(m, pub, words="sub/b.bin is missing, sub/c.bin was not signed")
    os.rename(m + "/sub/c.bin", m + "/sub/b.bin")
    put("m/config.json", b"")
    refused(m, pub, words="config.json was changed")
    put("m/config.json", b"config.json" * 7)
    loam("check", m, "--key", pub)


@case("keys: made once, for their owner alone; passwords from the environment or a file")
def _():
    m = model("p")
    env = dict(os.environ, LOAM_KEY_PASSWORD="correct horse")
    loam("sign", m, "--new-key", at("safe"), env=env)
    with open(at("safe")) as f:
        assert "ENCRYPTED" in f.read()
    assert stat.S_IMODE(os.stat(at("safe")).st_mode) == 0o600
    loam("sign", "--new-key", at("safe"), env=env, want=1)
    loam("check", m, "--key", at("safe.pub"))
    reference("verify", "key", m, "--signature", m + "/model.sig", "--public_key", at("safe.pub"))
    assert "LOAM_KEY_PASSWORD" in loam("sign", m, "--key", at("safe"), want=2).stderr
    loam("sign", m, "--key", at("safe"), want=2, env=dict(env, LOAM_KEY_PASSWORD="wrong"))
    put("word", b"correct horse\n")
    os.chmod(at("word"), 0o644)
    assert "chmod 600" in loam("sign", m, "--key", at("safe"), "--password-file", at("word"), want=1).stderr
    os.chmod(at("word"), 0o600)
    loam("sign", m, "--key", at("safe"), "--password-file", at("word"))
    os.chmod(at("safe"), 0o640)
    assert "chmod 600" in loam("sign", m, "--key", at("safe"), want=1, env=env).stderr
    for curve, words in (("secp256k1", "secp256k1"), ("P-224", "secp224r1")):
        subprocess.run(["openssl", "ecparam", "-name", curve, "-genkey", "-noout", "-out", at("odd")], check=True)
        os.chmod(at("odd"), 0o600)
        assert words in loam("sign", m, "--key", at("odd"), want=1).stderr
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-param_enc", "explicit", "-genkey", "-noout", "-out",
                    at("odd")], check=True)
    assert "curve" in loam("sign", m, "--key", at("odd"), want=1).stderr
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", at("odd")], check=True)
    assert "another kind" in loam("sign", m, "--key", at("odd"), want=1).stderr
    loam("sign", m, want=2)
    loam("check", m, want=2)


@case("a run's folder is signed as a whole, and JSON tells what was")
def _():
    key, pub = keys("k")
    for file in ("recipe.json", "chain.jsonl", "ckpt/step-00000001/model.safetensors", "model.gguf"):
        put("run/" + file, file.encode())
    run = json.loads(loam("sign", at("run"), "--key", key, "--json").stdout)
    assert run["signed"] and run["files"] == 4 and run["curve"] == "P-256", run
    with open(pub, "rb") as f:
        assert run["key"] == hashlib.sha256(f.read()).hexdigest()
    run = subprocess.run([_tap.LOAM, "check", ".", "--key", pub, "--json"], cwd=at("run"), capture_output=True, text=True)
    assert json.loads(run.stdout)["verified"], run
    assert bundle(at("run/model.sig"))[1]["subject"][0]["name"] == "run"
    put("run/ckpt/step-00000001/model.safetensors", b"other weights")
    refused(at("run"), pub, words="ckpt/step-00000001/model.safetensors was changed")


_tap.main()
