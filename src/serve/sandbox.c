/* sandbox: see sandbox.h.
 *
 * Source: Documentation/userspace-api/landlock.rst and seccomp_filter.rst of Linux; seccomp_rule_add(3).
 */
#include "serve/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/os.h"
#include "base/str.h"

/* ---- Landlock ---- */

/* Ours, since the headers of a system may be older than its kernel. Numbers of calls are the same everywhere. */
enum { LANDLOCK_CREATE = 444, LANDLOCK_ADD = 445, LANDLOCK_RESTRICT = 446, LANDLOCK_VERSION = 1, LANDLOCK_PATH = 1 };

enum {
    RIGHT_EXECUTE = 1 << 0,
    RIGHT_WRITE = 1 << 1,
    RIGHT_READ = 1 << 2,
    RIGHT_LIST = 1 << 3,
    RIGHT_REMOVE_FOLDER = 1 << 4,
    RIGHT_REMOVE = 1 << 5,
    RIGHT_MAKE_FOLDER = 1 << 7,
    RIGHT_MAKE_FILE = 1 << 8,
    RIGHT_TRUNCATE = 1 << 14,
    RIGHTS_TO_READ = RIGHT_READ | RIGHT_LIST,
    RIGHTS_TO_WRITE = RIGHTS_TO_READ | RIGHT_WRITE | RIGHT_REMOVE_FOLDER | RIGHT_REMOVE | RIGHT_MAKE_FOLDER |
                      RIGHT_MAKE_FILE | RIGHT_TRUNCATE,
    RIGHTS_OF_FILES = RIGHT_EXECUTE | RIGHT_WRITE | RIGHT_READ | RIGHT_TRUNCATE,
    TCP_ALL = 3,   /* bind, connect */
    SCOPE_ALL = 3, /* abstract Unix sockets, signals */
};

typedef struct {
    uint64_t files, tcp, scope;
} landlock_rules;

typedef struct {
    uint64_t rights;
    int32_t fd;
} __attribute__((packed)) landlock_path;

/* What version n of the interface knows. */
static const struct {
    uint64_t files, tcp, scope;
    size_t bytes; /* of landlock_rules that it reads */
} versions[] = {
    {0x1FFF, 0, 0, 8},                /* 1 */
    {0x3FFF, 0, 0, 8},                /* 2: files move between folders */
    {0x7FFF, 0, 0, 8},                /* 3: truncate */
    {0x7FFF, TCP_ALL, 0, 16},         /* 4: TCP */
    {0xFFFF, TCP_ALL, 0, 16},         /* 5: ioctl of devices */
    {0xFFFF, TCP_ALL, SCOPE_ALL, 24}, /* 6 and later */
};
enum { N_VERSIONS = sizeof versions / sizeof *versions };

/* Read by the C library and OpenSSL when they first need them. */
static const char *const system_files[] = {"/etc/localtime", "/usr/share/zoneinfo", "/etc/ssl/openssl.cnf",
                                           "/usr/lib/ssl/openssl.cnf", NULL};

typedef struct {
    int fd;
    uint64_t handled;
} ruleset;

static err_code allow_fd(const ruleset *r, int fd, const char *path, uint64_t rights, err *e) {
    struct stat st;
    landlock_path rule = {.rights = rights & r->handled, .fd = fd};
    if (fstat(fd, &st) != 0)
        return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        rule.rights &= RIGHTS_OF_FILES;
    if (syscall(LANDLOCK_ADD, r->fd, LANDLOCK_PATH, &rule, 0) != 0)
        return err_set(e, ERR_IO, "%s: the sandbox does not take it: %s", path, strerror(errno));
    return ERR_OK;
}

static err_code allow(const ruleset *r, const char *path, uint64_t rights, err *e) {
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    err_code code = allow_fd(r, fd, path, rights, e);
    close(fd);
    return code;
}

/* Folders of downloaded models are often links into a store of blobs. */
static err_code allow_links(const ruleset *r, const char *folder, err *e) {
    DIR *d = opendir(folder);
    err_code code = ERR_OK;
    if (!d)
        return errno == ENOTDIR ? ERR_OK : err_set(e, ERR_IO, "%s: %s", folder, strerror(errno));
    for (const struct dirent *f = readdir(d); f && code == ERR_OK; f = readdir(d)) {
        struct stat st;
        char path[OS_PATH_BYTES];
        if (fstatat(dirfd(d), f->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISLNK(st.st_mode) ||
            fstatat(dirfd(d), f->d_name, &st, 0) != 0 || !S_ISREG(st.st_mode))
            continue;
        code = os_join(path, folder, f->d_name, e);
        if (code == ERR_OK)
            code = allow(r, path, RIGHT_READ, e);
    }
    closedir(d);
    return code;
}

static err_code allow_removal(const ruleset *r, const char *path, err *e) {
    char folder[OS_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    int n = slash ? snprintf(folder, sizeof folder, "%.*s/", (int)(slash - path), path)
                  : snprintf(folder, sizeof folder, ".");
    if (n < 0 || (size_t)n >= sizeof folder)
        return err_set(e, ERR_LIMIT, "%.60s...: the path is too long", path);
    return allow(r, folder, RIGHT_REMOVE, e);
}

static err_code allow_all(const ruleset *r, const sandbox_plan *p, err *e) {
    for (size_t i = 0; system_files[i]; i++)
        if (os_exists(system_files[i]))
            TRY(allow(r, system_files[i], RIGHTS_TO_READ, e));
    for (size_t i = 0; p->read && p->read[i]; i++) {
        TRY(allow(r, p->read[i], RIGHTS_TO_READ, e));
        TRY(allow_links(r, p->read[i], e));
    }
    for (size_t i = 0; p->write && p->write[i]; i++)
        TRY(allow(r, p->write[i], RIGHTS_TO_WRITE, e));
    return p->remove ? allow_removal(r, p->remove, e) : ERR_OK;
}

static bool lacks_landlock(int why) { return why == ENOSYS || why == EOPNOTSUPP; }

/* No more privileges, no core dumps, nobody of the same user may attach. */
static err_code give_up_privileges(err *e) {
    struct rlimit none = {0, 0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
        setrlimit(RLIMIT_CORE, &none) != 0)
        return err_set(e, ERR_IO, "the sandbox: %s (--no-sandbox serves without one)", strerror(errno));
    return ERR_OK;
}

err_code sandbox_files(const sandbox_plan *p, unsigned *parts, err *e) {
    TRY(give_up_privileges(e));
    long version = syscall(LANDLOCK_CREATE, NULL, 0, LANDLOCK_VERSION);
    if (version < 1 && lacks_landlock(errno))
        return ERR_OK;
    size_t i = version > N_VERSIONS ? N_VERSIONS - 1 : (size_t)(version < 1 ? 1 : version) - 1;
    landlock_rules rules = {versions[i].files, versions[i].tcp, versions[i].scope};
    ruleset r = {.fd = (int)syscall(LANDLOCK_CREATE, &rules, versions[i].bytes, 0), .handled = rules.files};
    if (r.fd < 0)
        return err_set(e, ERR_IO, "the sandbox: Landlock: %s (--no-sandbox serves without one)", strerror(errno));
    err_code code = allow_all(&r, p, e);
    if (code == ERR_OK && syscall(LANDLOCK_RESTRICT, r.fd, 0) != 0)
        code = err_set(e, ERR_IO, "the sandbox: Landlock: %s (--no-sandbox serves without one)", strerror(errno));
    close(r.fd);
    if (code == ERR_OK)
        *parts |= SANDBOX_FILES | (rules.tcp ? SANDBOX_TCP : 0) | (rules.scope ? SANDBOX_SCOPE : 0);
    return code;
}

/* ---- seccomp ---- */

typedef enum { ALWAYS, TO_WRITE, TO_REMOVE } occasion;

/* What is not here is EPERM. A name that this libseccomp does not know is left out: the kernel of its time had no such
 * call, so nothing needs it. */
static const struct {
    occasion when;
    uint32_t action;
    const char *names;
} calls[] = {
    /* What answering takes: memory, threads, signals to oneself, clocks, */
    {ALWAYS, SCMP_ACT_ALLOW, "brk munmap mremap madvise membarrier"},
    {ALWAYS, SCMP_ACT_ALLOW,
     "futex set_robust_list get_robust_list rseq sched_yield sched_getaffinity sched_getparam sched_getscheduler "
     "getcpu getpid gettid getppid getuid geteuid getgid getegid exit exit_group"},
    {ALWAYS, SCMP_ACT_ALLOW,
     "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait rt_sigpending sigaltstack restart_syscall"},
    {ALWAYS, SCMP_ACT_ALLOW,
     "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times getrandom sysinfo uname getrusage "
     "getrlimit"},
    /* connections, files that are open or read. */
    {ALWAYS, SCMP_ACT_ALLOW, "poll ppoll select pselect6 epoll_wait epoll_pwait epoll_pwait2 epoll_ctl"},
    {ALWAYS, SCMP_ACT_ALLOW,
     "accept accept4 recvfrom recvmsg recvmmsg sendmsg sendmmsg sendfile shutdown getsockname getpeername getsockopt "
     "setsockopt"},
    {ALWAYS, SCMP_ACT_ALLOW,
     "read readv pread64 preadv write writev close lseek fstat stat lstat newfstatat statx fstatfs statfs access "
     "faccessat faccessat2 readlink readlinkat getdents64 getcwd fadvise64 flock"},
    /* Landlock knows where. */
    {TO_WRITE, SCMP_ACT_ALLOW,
     "open openat pwrite64 pwritev ftruncate fsync fdatasync fallocate msync mkdir mkdirat rmdir unlink unlinkat "
     "rename renameat renameat2 link linkat fchmod"},
    {TO_REMOVE, SCMP_ACT_ALLOW, "unlink unlinkat"},
    /* Libraries have another way when the kernel lacks these. */
    {ALWAYS, SCMP_ACT_ERRNO(ENOSYS), "clone3 openat2 futex_waitv io_uring_setup close_range pidfd_open"},
    /* Nothing in the server or its libraries asks for these: whoever does has taken it over. */
    {ALWAYS, SCMP_ACT_KILL_PROCESS,
     "execve execveat fork vfork ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd unshare setns"},
    {ALWAYS, SCMP_ACT_KILL_PROCESS,
     "mount umount2 pivot_root chroot move_mount open_tree fsopen fsmount mount_setattr swapon swapoff quotactl acct"},
    {ALWAYS, SCMP_ACT_KILL_PROCESS,
     "init_module finit_module delete_module kexec_load kexec_file_load reboot bpf perf_event_open userfaultfd add_key "
     "keyctl request_key settimeofday clock_settime personality iopl ioperm modify_ldt"},
    {ALWAYS, SCMP_ACT_KILL_PROCESS,
     "setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset"},
};

#define ANY UINT64_MAX
#define WORD 0xFFFFFFFFU /* an int: what stands above it does not count */
#define OPENS_TO_WRITE (O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))
#define A_THREAD (CLONE_VM | CLONE_THREAD)

typedef struct {
    const char *name;
    unsigned argument;
    uint64_t mask, value;
} condition;

/* Allowed when (argument & mask) == value. */
static const condition conditions[] = {
    {"open", 1, OPENS_TO_WRITE, O_RDONLY},
    {"openat", 2, OPENS_TO_WRITE, O_RDONLY},
    {"mmap", 2, PROT_EXEC, 0},
    {"mprotect", 2, PROT_EXEC, 0},
    {"clone", 0, A_THREAD, A_THREAD},
    {"prlimit64", 2, ANY, 0}, /* asks, does not set */
    {"sendto", 4, ANY, 0},    /* to the peer, no other address */
    {"ioctl", 1, WORD, FIONREAD},
    {"ioctl", 1, WORD, FIONBIO},
    {"ioctl", 1, WORD, TCGETS},
    {"ioctl", 1, WORD, TIOCGWINSZ},
    {"fcntl", 1, WORD, F_GETFD},
    {"fcntl", 1, WORD, F_SETFD},
    {"fcntl", 1, WORD, F_GETFL},
    {"fcntl", 1, WORD, F_SETFL},
    {"fcntl", 1, WORD, F_GETLK},
    {"fcntl", 1, WORD, F_SETLK},
    {"fcntl", 1, WORD, F_OFD_GETLK},
    {"fcntl", 1, WORD, F_OFD_SETLK},
};

static int add_call(scmp_filter_ctx f, str name, uint32_t action, const struct scmp_arg_cmp *test) {
    char text[32];
    snprintf(text, sizeof text, "%.*s", STR_ARG(name));
    int number = seccomp_syscall_resolve_name(text);
    return number == __NR_SCMP_ERROR ? 0 : seccomp_rule_add_array(f, action, number, test ? 1 : 0, test);
}

static int add_calls(scmp_filter_ctx f, str names, uint32_t action) {
    int bad = 0;
    for (size_t from = 0, to; from < names.n && bad == 0; from = to + 1) {
        for (to = from; to < names.n && names.p[to] != ' ';)
            to++;
        bad = add_call(f, str_sub(names, from, to), action, NULL);
    }
    return bad;
}

static int add_condition(scmp_filter_ctx f, const condition *c) {
    const struct scmp_arg_cmp test = {c->argument, SCMP_CMP_MASKED_EQ, c->mask, c->value};
    return add_call(f, str_from(c->name), SCMP_ACT_ALLOW, &test);
}

static int add_rules(scmp_filter_ctx f, const sandbox_plan *p) {
    const condition to_self = {"tgkill", 0, WORD, (uint64_t)getpid()};
    const bool now[] = {[ALWAYS] = true, [TO_WRITE] = p->write && p->write[0], [TO_REMOVE] = p->remove};
    int bad = add_condition(f, &to_self);
    for (size_t i = 0; i < sizeof calls / sizeof *calls && bad == 0; i++)
        if (now[calls[i].when])
            bad = add_calls(f, str_from(calls[i].names), calls[i].action);
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions && bad == 0; i++)
        bad = add_condition(f, &conditions[i]);
    return bad;
}

static int fill_filter(scmp_filter_ctx f, const sandbox_plan *p, uint32_t arch) {
    int bad = 0;
    if (arch != SCMP_ARCH_NATIVE && arch != seccomp_arch_native()) {
        bad = seccomp_arch_add(f, arch);
        if (bad == 0)
            bad = seccomp_arch_remove(f, SCMP_ARCH_NATIVE);
    }
    if (bad == 0)
        bad = add_rules(f, p);
    return bad ? bad : seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a list */
}

static err_code filter_new(scmp_filter_ctx *out, const sandbox_plan *p, uint32_t arch, err *e) {
    *out = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!*out)
        return err_set(e, ERR_MEMORY, "no memory for the sandbox");
    int bad = fill_filter(*out, p, arch);
    if (bad == 0)
        return ERR_OK;
    seccomp_release(*out);
    return err_set(e, ERR_IO, "the sandbox: rules of seccomp: %s", strerror(-bad));
}

/* All threads at once since Linux 3.17, killing the process and not one thread since 4.14. */
static bool lacks_seccomp(void) { return seccomp_api_get() < 3; }

err_code sandbox_calls(const sandbox_plan *p, unsigned *parts, err *e) {
    scmp_filter_ctx f;
    if (lacks_seccomp())
        return ERR_OK;
    TRY(filter_new(&f, p, SCMP_ARCH_NATIVE, e));
    int bad = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
    if (bad == 0)
        bad = seccomp_load(f);
    seccomp_release(f);
    if (bad)
        return err_set(e, ERR_IO, "the sandbox: seccomp: %s (--no-sandbox serves without one)", strerror(-bad));
    *parts |= SANDBOX_CALLS;
    return ERR_OK;
}

err_code sandbox_export(const sandbox_plan *p, uint32_t arch, int fd, err *e) {
    scmp_filter_ctx f;
    TRY(filter_new(&f, p, arch, e));
    int bad = seccomp_export_bpf(f, fd);
    seccomp_release(f);
    return bad ? err_set(e, ERR_IO, "the sandbox: %s", strerror(-bad)) : ERR_OK;
}

const char *sandbox_missing(unsigned parts) {
    if (!(parts & (SANDBOX_CALLS | SANDBOX_FILES)))
        return "this kernel has neither seccomp nor Landlock: the server runs WITHOUT A SANDBOX";
    if (!(parts & SANDBOX_CALLS))
        return "this kernel has no seccomp: files are guarded, but sockets and other system calls are not";
    if (!(parts & SANDBOX_FILES))
        return "this kernel has no Landlock (Linux 5.13): nothing can be written, but every file of yours can be read";
    return NULL;
}
