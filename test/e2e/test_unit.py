#!/usr/bin/env python3
"""The systemd units of loam serve: systemd finds nothing wrong with them and little exposed, and the server does its work
under what they forbid: only the system calls of their filter, no memory that is both writable and executable. Its own
sandbox is whole there. Prints TAP."""
import ctypes
import functools
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import LOAM, ROOT, case, main, note, tmp  # noqa: E402

EXPOSURE_MAX = 1.2  # of 10; what is left: a network, sockets, no image of its own
PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN = 38, 65, 1
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | 1  # SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(EPERM)


def unit(name):
    with open(os.path.join(ROOT, "share/loam/systemd", name + ".in"), encoding="utf-8") as f:
        return f.read()


def analyze(*words):
    return subprocess.run(["systemd-analyze", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, "XDG_RUNTIME_DIR": tmp(), "SYSTEMD_COLORS": "0"})


def written(name, folder):
    """The unit as make install writes it, for the program under test."""
    path = os.path.join(tmp(), folder, "loam.service")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(unit(name).replace("@BINDIR@/loam", LOAM))
    return path


@case("systemd finds nothing wrong with the unit")
def _():
    said = analyze("verify", "--man=no", written("loam.service", "system"))
    assert said.returncode == 0 and not said.stdout, said.stdout


@case("nor with what doc/install.md has one add, for others and with a token")
def _():
    with open(os.path.join(ROOT, "doc/install.md"), encoding="utf-8") as f:
        added = "".join(re.findall(r"^    (\[Service\]\n(?:    .*\n)+)", f.read(), re.M)).replace("\n    ", "\n")
    assert "LoadCredential=token:" in added and "--token-file %d/token" in added, added
    path = written("loam.service", "others")
    with open(path, "a") as f:
        f.write(added)
    said = analyze("verify", "--man=no", path)
    assert said.returncode == 0 and not said.stdout, said.stdout


@case("nor with that of a user")
def _():
    said = analyze("verify", "--user", "--man=no", written("loam.user.service", "user"))
    assert said.returncode == 0 and not said.stdout, said.stdout


@case("systemd calls it little exposed")
def _():
    said = analyze("security", "--offline=yes", "--no-pager", f"--threshold={round(EXPOSURE_MAX * 10)}",
                   written("loam.service", "system"))
    found = re.search(r"exposure level for loam.service: ([0-9.]+)", said.stdout)
    assert found and said.returncode == 0, said.stdout
    note(f"exposure {found[1]} of 10")


@functools.cache
def calls_of(group):
    """The system calls of "@process", or the one."""
    if not group.startswith("@"):
        return {group}
    words = re.findall(r"^ {4}(\S+)$", analyze("syscall-filter", group).stdout, re.M)
    assert words, group
    return set().union(*(calls_of(w) for w in words))


def allowed(text):
    found = set(calls_of("@default"))
    for minus, words in re.findall(r"^SystemCallFilter=(~?)(.*)$", text, re.M):
        named = set().union(*(calls_of(w) for w in words.split()))
        # systemd keeps what its own start needs (@default) whatever is taken away
        found = found - (named - calls_of("@default")) if minus else found | named
    return found


def confine(names):
    """In the child, before exec: what the unit has systemd do."""
    libc, lib = ctypes.CDLL(None), ctypes.CDLL("libseccomp.so.2")
    lib.seccomp_init.restype = ctypes.c_void_p
    numbers = [n for n in (lib.seccomp_syscall_resolve_name(name.encode()) for name in names) if n >= 0]

    def apply():
        assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        libc.prctl(PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)
        ctx = ctypes.c_void_p(lib.seccomp_init(ctypes.c_uint32(REFUSE)))
        for n in numbers:
            lib.seccomp_rule_add_array(ctx, ctypes.c_uint32(ALLOW), n, 0, None)
        assert lib.seccomp_load(ctx) == 0
    return apply


def no_new_executable_memory():
    """Whether this kernel has PR_SET_MDWE (6.3)."""
    return ctypes.CDLL(None).prctl(66, 0, 0, 0, 0) >= 0


@case("the server works under the unit's filter, its own sandbox whole")
def _():
    text = unit("loam.service")
    for line in "NoNewPrivileges=yes", "MemoryDenyWriteExecute=yes", "SystemCallErrorNumber=EPERM":
        assert line in text, line
    names = allowed(text)
    assert {"openat", "landlock_restrict_self", "seccomp"} <= names and not {"mount", "ptrace", "reboot", "setuid"} & names
    note("memory that becomes executable is %s" % ("refused" if no_new_executable_memory() else
                                                   "not refused: this kernel cannot"))
    server = subprocess.Popen([LOAM, "serve", "homeworld", "--port", "0", "--template", "plain"], cwd=ROOT, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=confine(names))
    url = server.stdout.readline().strip()
    try:
        assert url.startswith("http://127.0.0.1:"), server.communicate()
        ask = {"prompt": "Q: What is Maro by trade?\nA:", "max_tokens": 4, "temperature": 0}
        request = urllib.request.Request(url + "/v1/completions", json.dumps(ask).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer)["choices"][0]["text"] .strip() == "A cook."
        with open(f"/proc/{server.pid}/status") as f:
            status = f.read()
        assert re.search(r"^Seccomp_filters:\s*2$", status, re.M), status
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=30)
        assert server.returncode == 0 and "WARNING" not in said, (server.returncode, said)
    finally:
        server.kill()
        server.wait()


@case("a call that the filter lacks is refused, so the filter is in force")
def _():
    done = subprocess.run(["/bin/true"], preexec_fn=confine(allowed(unit("loam.service"))))
    assert done.returncode == 0
    script = "import os\ntry: os.chroot('/')\nexcept PermissionError: print('refused')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                          preexec_fn=confine(allowed(unit("loam.service"))))
    assert done.stdout == "refused\n", done


@case("both units have one filter")
def _():
    assert allowed(unit("loam.service")) == allowed(unit("loam.user.service"))


main()
