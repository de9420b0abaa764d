#!/usr/bin/env python3
"""Runs an x86-64 Linux program on an emulated CPU that has AVX-512 with VNNI, on machines that have not.

    script/emulate/run.py --shim shim.so [--cpu sapphire_rapids|icelake|arrow_lake] PROGRAM [ARGUMENT...]

The CPU is Bochs' (package bochscpu, see script/emulate.sh, which calls this); what an operating system does for a program
with one thread stands here: its memory, the two ELF files (program and ld.so), the stack, system calls. Guest address x is
x in the guest's physical memory and MEMORY + x in this process, so most calls go straight to the host's kernel with
their pointers moved. Whatever is missing (a second thread, signals) ends the run with a message and status 125; else
the status is the program's.
"""
import argparse
import ctypes
import importlib.util
import mmap as host_mmap
import os
import struct
import sys

MODELS = {
    "sapphire_rapids": "_Z28create_sapphire_rapids_cpuidP8BX_CPU_C",
    "icelake": "_Z29create_corei7_icelake_u_cpuidP8BX_CPU_C",
    "arrow_lake": "_Z23create_arrow_lake_cpuidP8BX_CPU_C",
}
PAGE, BIG = 4096, 2 << 20
SIZE = 4 << 30  # of the guest's memory; the host gives it as it is touched

# Guest addresses. The first 2 MB are not there: NULL traps; physically they hold the page tables.
TABLES = 0x1000
STUB = BIG  # where `syscall` goes: wbinvd; jmp rcx
STACK_TOP, STACK_SIZE = 0x10000000, 8 << 20
PROGRAM, LOADER, HEAP, HEAP_SIZE = 0x10000000, 0x30000000, 0x40000000, 0x10000000
MAPS = HEAP + HEAP_SIZE  # mmap's area, to the end


class Fault(Exception):
    """The guest did something that cannot go on."""


def align(n, to=PAGE):
    return (n + to - 1) // to * to


class Memory:
    def __init__(self, libc):
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
        no_reserve = 0x4000
        self.base = libc.mmap(None, SIZE, 3, host_mmap.MAP_PRIVATE | host_mmap.MAP_ANONYMOUS | no_reserve, -1, 0)
        if self.base in (None, ctypes.c_void_p(-1).value):
            raise Fault("no memory for the guest")
        self.free = [(MAPS, SIZE - MAPS)]
        self.libc = libc
        libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

    def host(self, at, size=1):
        if not BIG <= at <= SIZE - size:
            raise Fault(f"an address outside the guest: {at:#x}")
        return self.base + at

    def write(self, at, data):
        ctypes.memmove(self.base + at, bytes(data), len(data))

    def read(self, at, size):
        return ctypes.string_at(self.host(at, size), size)

    def string(self, at):
        return ctypes.string_at(self.host(at))

    def zero(self, at, size):
        self.libc.madvise(self.base + at, size, host_mmap.MADV_DONTNEED)

    def take(self, size):
        """Zeroed pages, the lowest that fit."""
        size = align(size)
        for i, (at, room) in enumerate(self.free):
            if room >= size:
                self.free[i] = (at + size, room - size)
                return at
        return None

    def give(self, at, size):
        size = align(size)
        self.zero(at, size)
        merged = []
        for a, n in sorted(self.free + [(at, size)]):
            if merged and sum(merged[-1]) >= a:
                merged[-1] = (merged[-1][0], max(a + n, sum(merged[-1])) - merged[-1][0])
            else:
                merged.append((a, n))
        self.free = merged

    def map_everything(self):
        """Long mode's page tables: pages of 2 MB, address x at x."""
        pdpt = TABLES + PAGE
        self.write(TABLES, struct.pack("<Q", pdpt | 3))
        for g in range(SIZE >> 30):
            directory = pdpt + PAGE * (1 + g)
            self.write(pdpt + 8 * g, struct.pack("<Q", directory | 3))
            entries = [(g << 30) + i * BIG for i in range(512)]
            self.write(directory, b"".join(struct.pack("<Q", e | 0x83 if e else 0) for e in entries))


def load(memory, path, base):
    """Puts an ELF file into memory; (entry, program headers' address, their number, interpreter)."""
    with open(path, "rb") as f:
        data = f.read()
    if data[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", data, 18)[0] != 62:
        raise Fault(f"{path}: not an x86-64 program")
    kind, = struct.unpack_from("<H", data, 16)
    entry, headers = struct.unpack_from("<QQ", data, 24)
    n_headers, = struct.unpack_from("<H", data, 56)
    if kind == 2:
        base = 0  # its addresses are fixed
    interpreter, headers_at = None, base + headers
    for i in range(n_headers):
        p_type, _, offset, at, _, in_file, in_memory, _ = struct.unpack_from("<IIQQQQQQ", data, headers + 56 * i)
        if p_type == 1:
            memory.host(base + at, in_memory)
            memory.write(base + at, data[offset:offset + in_file])
            if offset <= headers < offset + in_file:
                headers_at = base + at + headers - offset
        elif p_type == 3:
            interpreter = data[offset:offset + in_file].rstrip(b"\0").decode()
    return base + entry, headers_at, n_headers, interpreter


def stack_of(memory, argv, program, loader_base, entry):
    """What a program finds on its stack: arguments, environment, auxiliary vector."""
    at = STACK_TOP - 256
    memory.write(at, os.urandom(16))
    random_at = at

    def strings(list_of):
        nonlocal at
        out = []
        for s in list_of:
            at -= len(s) + 1
            memory.write(at, s + b"\0")
            out.append(at)
        return out

    args = strings([os.fsencode(a) for a in argv])
    environment = strings([k + b"=" + v for k, v in os.environb.items() if not k.startswith(b"EMULATE_")])
    name, = strings([os.fsencode(argv[0])])
    auxiliary = [3, program[1], 4, 56, 5, program[2], 6, PAGE, 7, loader_base, 8, 0, 9, entry, 11, 0, 12, 0, 13, 0, 14, 0,
                 16, 0, 17, 100, 23, 0, 25, random_at, 26, 0, 31, name, 0, 0]
    words = [len(args), *args, 0, *environment, 0, *auxiliary]
    at = (at - 8 * len(words)) & ~63
    memory.write(at, struct.pack(f"<{len(words)}Q", *words))
    return at


# Calls that the host's kernel answers: number, and which arguments are addresses.
PASSED = {0: (1,), 1: (1,), 3: (), 4: (0, 1), 5: (1,), 6: (0, 1), 8: (), 16: (2,), 17: (1,), 18: (1,), 21: (0,), 24: (), 32: (),
          39: (), 63: (0,), 72: (), 74: (), 75: (), 77: (), 79: (0,), 80: (0,), 82: (0, 1), 83: (0,), 84: (0,), 87: (0,),
          89: (0, 1), 96: (0,), 97: (1,), 99: (0,), 102: (), 104: (), 107: (), 108: (), 110: (), 137: (0, 1), 186: (),
          201: (0,), 204: (2,), 217: (1,), 228: (1,), 229: (1,), 230: (2, 3), 257: (1,), 262: (1, 2), 263: (1,), 267: (1, 2),
          269: (1,), 302: (3,), 318: (0,), 332: (1, 4), 439: (1,),
          # what makes, moves and removes files
          73: (), 90: (0,), 92: (0,), 93: (), 94: (0,), 95: (), 264: (1, 3), 265: (1, 3), 316: (1, 3)}
# Calls that may do nothing here: mprotect, rt_sigaction, rt_sigprocmask, madvise, sigaltstack, set_robust_list.
QUIET = {10, 13, 14, 28, 131, 273}
ENOENT, ENOMEM, ENOSYS = 2, 12, 38


class Calls:
    def __init__(self, memory, libc, set_fs):
        self.memory, self.libc, self.set_fs = memory, libc, set_fs
        self.brk = HEAP
        libc.syscall.restype = ctypes.c_long

    def host_call(self, number, args, addresses):
        args = [self.memory.host(a) if i in addresses and a else a for i, a in enumerate(args)]
        status = self.libc.syscall(ctypes.c_long(number), *[ctypes.c_ulong(a) for a in args])
        return status if status != -1 else -ctypes.get_errno()

    def mmap(self, at, size, _, flags, fd, offset):
        fixed = flags & 0x10
        at = at if fixed else self.memory.take(size)
        if at is None:
            return -ENOMEM
        self.memory.host(at, size)
        self.memory.zero(at, align(size))
        if not flags & host_mmap.MAP_ANONYMOUS:
            done = 0
            while done < size:
                data = os.pread(fd, min(size - done, 1 << 24), offset + done)
                if not data:
                    break
                self.memory.write(at + done, data)
                done += len(data)
        return at

    def writev(self, fd, at, n, *_):
        done = 0
        for i in range(n):
            base, size = struct.unpack("<QQ", self.memory.read(at + 16 * i, 16))
            if size:
                done += os.write(fd, self.memory.read(base, size))
        return done

    def call(self, number, args):
        if number == 9:
            return self.mmap(*args)
        if number == 11:
            self.memory.give(args[0], args[1])
            return 0
        if number == 12:
            if HEAP <= args[0] <= HEAP + HEAP_SIZE:
                self.brk = args[0]
            return self.brk
        if number == 20:
            return self.writev(*args)
        if number == 158:
            if args[0] != 0x1002:
                raise Fault(f"arch_prctl {args[0]:#x} is not emulated")
            self.set_fs(args[1])
            return 0
        if number in (25, 334):  # mremap, rseq: libc knows another way
            return -ENOSYS if number == 334 else -ENOMEM
        if number == 202 and args[1] & 127 == 1:  # futex: nobody is there to be woken
            return 0
        if number == 218:  # set_tid_address; locks hold the number
            return os.getpid()
        if number in QUIET:
            return 0
        if number == 72 and args[1] in (5, 6, 7, 36, 37, 38):  # fcntl with a lock
            return self.host_call(number, args, (2,))
        if number in PASSED:
            return self.host_call(number, args, PASSED[number])
        raise Fault(f"system call {number} is not emulated (a second thread?)")


def run(argv, model, shim):
    libc = ctypes.CDLL(None, use_errno=True)
    package = importlib.util.find_spec("bochscpu").submodule_search_locations[0]
    os.environ["EMULATE_LIBRARY"] = next(os.path.join(package, f) for f in os.listdir(package) if f.endswith(".so"))
    os.environ["EMULATE_MODEL"] = MODELS[model]
    ctypes.CDLL(shim, ctypes.RTLD_GLOBAL)
    import bochscpu  # pylint: disable=import-outside-toplevel # after the shim
    import bochscpu.cpu
    import bochscpu.memory

    memory = Memory(libc)
    memory.map_everything()
    memory.write(STUB, b"\x0f\x09\xff\xe1")
    program = load(memory, argv[0], PROGRAM)
    start, loader_base = program[0], 0
    if program[3]:
        loader_base = LOADER
        start = load(memory, program[3], LOADER)[0]

    session = bochscpu.Session()
    session.missing_page_handler = lambda at: bochscpu.memory.page_insert(at & -PAGE, memory.base + (at & -PAGE))

    def segment(selector, attributes, base=0):
        s = bochscpu.Segment()
        s.present, s.selector, s.base, s.limit, s.attr = True, selector, base, 0xffffffff, attributes
        return s

    def set_fs(base):
        session.cpu.fs = segment(0x18, 0xc093, base)

    state = bochscpu.State()
    bochscpu.cpu.set_long_mode(state)
    state.cs = segment(0x10, 0xa09b)  # ring 0, so that one jump ends a system call
    state.ds = state.ss = state.es = state.fs = state.gs = segment(0x18, 0xc093)
    state.cr3, state.cr4 = TABLES, state.cr4 | 1 << 9 | 1 << 10 | 1 << 18  # SSE, its exceptions, XSAVE
    state.xcr0, state.mxcsr, state.rflags, state.dr7 = 0xe7, 0x1f80, 2, 0x400
    state.efer, state.star, state.lstar = state.efer | 1, 0x10 << 32, STUB
    state.rip, state.rsp = start, stack_of(memory, argv, program, loader_base, program[0])
    state.mxcsr_mask = 0xffff
    session.cpu.state = state

    calls = Calls(memory, libc, set_fs)
    ended = []

    def end(status, why=None):
        ended.append((status, why))
        session.stop()

    def system_call(*_):  # nothing may be raised from here: below stands C++
        cpu = session.cpu
        try:
            number = cpu.rax
            if number in (60, 231):
                return end(cpu.rdi & 255)
            status = calls.call(number, [cpu.rdi, cpu.rsi, cpu.rdx, cpu.r10, cpu.r8, cpu.r9])
            cpu.rax = status & (1 << 64) - 1
        except Fault as why:
            end(125, str(why))
        except OSError as why:
            cpu.rax = -why.errno & (1 << 64) - 1
        except Exception as why:  # pylint: disable=broad-except
            end(125, f"in system call {cpu.rax}: {why!r}")

    def exception(_, __, vector, code):
        end(125, f"exception {int(vector)} ({int(code):#x}) at {session.cpu.rip:#x}, address {session.cpu.cr2:#x}")

    hook = bochscpu.Hook()
    hook.cache_cntrl, hook.exception = system_call, exception
    session.run([hook])
    return ended[0] if ended else (125, "the emulator stopped")


def main():
    p = argparse.ArgumentParser(description="run an x86-64 program on an emulated CPU")
    p.add_argument("--cpu", choices=sorted(MODELS), default="sapphire_rapids")
    p.add_argument("--shim", required=True, help="shim.c, compiled")
    p.add_argument("program", nargs=argparse.REMAINDER)
    args = p.parse_args()
    if not args.program:
        p.error("which program?")
    try:
        status, why = run(args.program, args.cpu, args.shim)
    except (Fault, OSError, ImportError) as error:
        status, why = 125, str(error)
    if why:
        print(f"emulate: {args.program[0]}: {why}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # the emulator's library does not end cleanly


if __name__ == "__main__":
    main()
