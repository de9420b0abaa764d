#!/usr/bin/env python3
"""The Debian packages: made of what is built, without a finding of lintian, depending on what the program is linked with;
installed by dpkg into a root of its own, where program, library, units and pages work, and taken away again without a
trace. Prints TAP."""
import functools
import glob
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import LOAM, ROOT, case, main, tmp  # noqa: E402

BUILD = os.path.dirname(LOAM)
DPKG = ["--force-not-root", "--force-depends", "--force-script-chrootless"]  # what it depends on is in the real root


def sh(*command, **options):
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    assert done.returncode == 0, "%s: status %d\n%s" % (" ".join(map(str, command)), done.returncode, done.stdout)
    return done.stdout


@functools.cache
def packages():
    """{name: path}"""
    before = os.stat(LOAM).st_mtime_ns, os.stat(os.path.join(BUILD, "libloam.a")).st_mtime_ns
    folder = os.path.join(tmp(), "deb")
    # Little compression, for the test's sake; no flags of a make that runs this.
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    sh("make", "-s", "deb-built", "BUILD=" + BUILD, "DEB=" + folder, "XZ=0", cwd=ROOT, env=env)
    after = os.stat(LOAM).st_mtime_ns, os.stat(os.path.join(BUILD, "libloam.a")).st_mtime_ns
    assert before == after, "made anew, while other tests use it"
    return {os.path.basename(p).split("_")[0]: p for p in glob.glob(folder + "/*.deb")}


def field(name, package="loam"):
    return sh("dpkg-deb", "-f", packages()[package], name).strip()


@functools.cache
def root():
    """A root with an empty database, and both packages in it."""
    there = os.path.join(tmp(), "root")
    for name in "updates", "info", "triggers":
        os.makedirs(os.path.join(there, "var/lib/dpkg", name))
    for name in "status", "available":
        open(os.path.join(there, "var/lib/dpkg", name), "w").close()
    sh("dpkg", "--root=" + there, *DPKG, "-i", *packages().values())
    return there


def contents(folder):
    return {os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names}


@case("two packages, of the version of include/loam.h")
def _():
    assert set(packages()) == {"loam", "libloam-dev"}
    with open(os.path.join(ROOT, "include/loam.h"), encoding="utf-8") as f:
        version, = re.findall(r'^#define LOAM_VERSION "(.*)"$', f.read(), re.M)
    assert field("Version") == field("Version", "libloam-dev") == version


@case("the changelog's last day is that of the pages")
def _():
    with open(os.path.join(ROOT, "src/cli/command.h"), encoding="utf-8") as f:
        released, = re.findall(r'^#define LOAM_RELEASED "(.*?)"', f.read(), re.M)
    stamp = sh("dpkg-parsechangelog", "-l", os.path.join(ROOT, "debian/changelog"), "-S", "Timestamp").strip()
    assert sh("date", "-u", "-d", "@" + stamp, "+%F").strip() == released


@case("lintian has nothing to say, not even a warning")
def _():
    said = sh("lintian", "--fail-on", "warning", *packages().values())
    assert not re.search(r"^[EW]: ", said, re.M), said


def owner_of(path):
    """The package of a file; /lib may be a link to /usr/lib, and the database has one of both names."""
    for name in path, "/usr" + path, path.removeprefix("/usr"):
        found = subprocess.run(["dpkg", "-S", name], capture_output=True, text=True)
        if found.returncode == 0:
            return found.stdout.split(":")[0]
    raise AssertionError(path + " belongs to no package")


@case("it depends on the packages of the libraries that the program is linked with, and on no others")
def _():
    depends = {d.split()[0].split(":")[0] for d in field("Depends").split(", ")}
    needed = re.findall(r"NEEDED.*\[(.*)\]", sh("readelf", "-d", LOAM))
    places = dict(re.findall(r"^\s*(\S+) => (\S+)", sh("ldd", LOAM), re.M))
    owners = {owner_of(places[name]) for name in needed}
    assert len(needed) > 10 and depends == owners, depends ^ owners


@case("installed, the program runs, finds homeworld, and every file is as it was packed")
def _():
    said = sh(os.path.join(root(), "usr/bin/loam"), "run", "homeworld", "--temp", 0, "-n", 4, "-p",
              "Q: What is Maro by trade?\nA:", cwd=tmp())
    assert said.strip() == "A cook.", said
    assert not sh("dpkg", "--root=" + root(), "-V", "loam", "libloam-dev").strip()
    assert "\nStatus: install ok installed\n" in sh("dpkg", "--root=" + root(), "-s", "loam")


@case("the units start the program where it is; nobody has enabled them")
def _():
    for kind in "system", "user":
        with open(os.path.join(root(), "lib/systemd", kind, "loam.service"), encoding="utf-8") as f:
            assert "\nExecStart=/usr/bin/loam serve " in f.read()
    assert not glob.glob(os.path.join(root(), "etc/systemd/**/loam.service"), recursive=True)
    assert os.access(os.path.join(root(), "usr/bin/loam"), os.X_OK)


@case("there is a page for each command, and completion where the shells look")
def _():
    help_text = sh(os.path.join(root(), "usr/bin/loam"), "help")
    for name in re.findall(r"^  ([a-z]+) {2,}", help_text, re.M):
        assert os.path.isfile(os.path.join(root(), f"usr/share/man/man1/loam-{name}.1.gz")), name
    for name in "bash-completion/completions/loam", "zsh/vendor-completions/_loam", "fish/vendor_completions.d/loam.fish":
        assert os.path.isfile(os.path.join(root(), "usr/share", name)), name


@case("the library is found by pkg-config, and the example that the package has is built with it")
def _():
    place, = glob.glob(os.path.join(root(), "usr/lib/*/pkgconfig"))
    env = {**os.environ, "PKG_CONFIG_PATH": place, "PKG_CONFIG_ALLOW_SYSTEM_CFLAGS": "1", "PKG_CONFIG_ALLOW_SYSTEM_LIBS": "1"}
    said = sh("pkg-config", "--static", "--cflags", "--libs", "loam", env=env).split()
    words = [re.sub(r"^-([IL])/usr", r"-\1%s/usr" % root(), w) for w in said]  # where a real root would have it
    program = os.path.join(tmp(), "embed")
    sh("cc", "-o", program, os.path.join(root(), "usr/share/doc/loam/examples/embed.c"), *words)
    assert "A: A cook." in sh(program, os.path.join(root(), "usr/share/loam/models/homeworld/model.gguf"))


@case("removed, they leave what was set and stored; purged, nothing")
def _():
    state = os.path.join(root(), "var/lib/private/loam")  # as systemd makes it for a StateDirectory= of a DynamicUser=
    os.makedirs(os.path.join(state, "models"))
    open(os.path.join(state, "models", "index"), "w").close()
    os.symlink("private/loam", os.path.join(root(), "var/lib/loam"))
    sh("dpkg", "--root=" + root(), *DPKG, "-r", *packages())
    left = {p for p in contents(root()) if not p.startswith("var/lib/dpkg/")}
    left = {p for p in left if not p.startswith("var/lib/systemd/")}  # debhelper's note of what was enabled
    assert left == {"etc/default/loam", "var/lib/private/loam/models/index"}, left
    sh("dpkg", "--root=" + root(), *DPKG, "-P", *packages())
    left = {p for p in contents(root()) if not p.startswith("var/lib/dpkg/")}
    assert not left, left
    assert not os.path.lexists(os.path.join(root(), "var/lib/loam"))


main()
