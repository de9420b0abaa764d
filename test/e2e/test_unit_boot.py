#!/usr/bin/env python3
"""The system's unit under a systemd that was booted for it, as process 1 of namespaces of its own: DynamicUser, StateDirectory
and all that the unit forbids are in force, the server answers, and stops when it is told to. Needs root (it mounts). Prints
TAP.

The root is an overlay of this machine's, so nothing of it is changed; of /sys, /dev and the cgroups there is what systemd
asks for. The network is one of its own, so the address that the unit serves at is free. 4 s."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from _tap import LOAM, ROOT, case, main, tmp  # noqa: E402

# What a machine needs and this one does not.
MASKED = ["systemd-" + name for name in (
    "udevd.service", "udev-trigger.service", "sysctl.service", "modules-load.service", "remount-fs.service", "binfmt.service",
    "random-seed.service", "journald.service", "journal-flush.service", "sysusers.service", "tmpfiles-setup.service",
    "tmpfiles-setup-dev.service", "update-utmp.service", "machine-id-commit.service", "firstboot.service", "journald.socket",
    "journald-dev-log.socket", "journald-audit.socket", "udevd-control.socket", "udevd-kernel.socket")] + [
    "dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
    "sys-fs-fuse-connections.mount", "proc-sys-fs-binfmt_misc.automount", "getty.target"]

BOOT = """
mount --make-rprivate /
cd "$PLACE"
mount -t tmpfs none space
mkdir space/upper space/work space/root
mount -t overlay -o lowerdir=/,upperdir=space/upper,workdir=space/work none space/root
cd space/root
mount -t proc none proc; mount --bind proc/sys proc/sys; mount -o remount,ro,bind proc/sys
mount -t sysfs -o ro none sys; mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs none run; mount -t tmpfs none tmp
mount -t tmpfs -o mode=755 none dev
for d in null zero full random urandom tty; do touch dev/$d; mount --bind /dev/$d dev/$d; done
mkdir dev/shm dev/pts dev/mqueue
mount -t devpts none dev/pts; ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
ip link set lo up
mount --bind "$PLACE/out" srv
rm -rf etc/systemd/system/*.wants etc/fstab
mkdir -p usr/local/bin usr/local/share/loam
cp "$LOAM" usr/local/bin/loam
cp -r "$ROOT/models" usr/local/share/loam
for unit in $MASKED; do ln -sf /dev/null etc/systemd/system/$unit; done
sed s,@BINDIR@,/usr/local/bin, "$ROOT/share/loam/systemd/loam.service.in" >etc/systemd/system/loam.service
cp "$PLACE/probe.service" etc/systemd/system
mkdir old; pivot_root . old; cd /; umount -l old
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=probe.service
"""

PROBE = """[Unit]
Wants=loam.service
After=loam.service
[Service]
Type=oneshot
StandardOutput=append:/srv/said
StandardError=append:/srv/said
ExecStart=/bin/sh -c 'for i in 1 2 3 4 5 6 7 8; do curl -sf http://127.0.0.1:8080/v1/models && break; sleep 0.5; done; echo'
ExecStart=/usr/bin/curl -s http://127.0.0.1:8080/v1/completions -d @/srv/ask
ExecStart=/bin/sh -c 'echo; grep -E "^(Uid|NoNewPrivs|Seccomp|CapEff)" /proc/$(systemctl show loam -p MainPID --value)/status'
ExecStart=/bin/ls -ld /var/lib/private/loam
ExecStart=/bin/systemctl stop loam
ExecStart=/bin/systemctl show loam -p ActiveState,Result,NRestarts,ExecMainStatus
ExecStopPost=/bin/systemctl poweroff --force --force
"""


def booted():
    """What PROBE has said."""
    place = os.path.join(tmp(), "boot")
    for folder in "space", "out":
        os.makedirs(os.path.join(place, folder))
    with open(os.path.join(place, "probe.service"), "w") as f:
        f.write(PROBE)
    with open(os.path.join(place, "out", "ask"), "w") as f:
        f.write('{"prompt": "Where is", "max_tokens": 4}')
    env = {**os.environ, "PLACE": place, "ROOT": ROOT, "LOAM": LOAM, "MASKED": " ".join(MASKED)}
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--net", "--cgroup"]
    run = subprocess.run([*apart, "sh", "-ec", BOOT],
                         env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    said = os.path.join(place, "out", "said")
    assert os.path.exists(said), (run.returncode, run.stdout)
    with open(said) as f:
        return f.read()


@case("systemd starts the server, encloses it, and stops it")
def _():
    said = booted()
    for wanted in ('"id":"homeworld"', '"object":"text_completion"', "NoNewPrivs:\t1", "CapEff:\t0000000000000000", "Seccomp:\t2",
                   "drwx------ 2 loam loam", "ActiveState=inactive", "Result=success", "NRestarts=0", "ExecMainStatus=0"):
        assert wanted in said, (wanted, said)
    uids = [line.split()[1:] for line in said.splitlines() if line.startswith("Uid:")]
    assert len(uids) == 1 and "0" not in uids[0], said


if os.geteuid() == 0:
    main()
print("1..1\nok 1 - systemd starts the server, encloses it, and stops it # SKIP it mounts and boots: only root may")
