/* sandbox: what cannot be done in it, each tried by a process of its own, what serving needs all the same, and what the
 * filter says of system calls on another architecture, by a small interpreter of its program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os.h"
#include "serve/listen.h"
#include "serve/sandbox.h"

/* ---- a folder with what the sandbox may read, write, remove, and a file that it may not ---- */

static char root[OS_PATH_BYTES], given[OS_PATH_BYTES], own[OS_PATH_BYTES], other[OS_PATH_BYTES], gone[OS_PATH_BYTES];
static char blob[OS_PATH_BYTES], linked[OS_PATH_BYTES];
static const char *const to_read[] = {given, NULL};
static const char *const to_write[] = {own, NULL};
static const sandbox_plan reads = {.read = to_read}, writes = {.read = to_read, .write = to_write, .remove = gone};

static void put(char out[OS_PATH_BYTES], const char *folder, const char *name) {
    assert_int_equal(os_join(out, folder, name, NULL), ERR_OK);
}

static void put_file(char out[OS_PATH_BYTES], const char *folder, const char *name) {
    put(out, folder, name);
    assert_int_equal(os_write_file(out, STR("text"), NULL), ERR_OK);
}

static int begin(void **state) {
    char file[OS_PATH_BYTES];
    const char *tmp = getenv("LOAM_TMP");
    (void)state;
    assert_true(snprintf(root, sizeof root, "%s/sandbox-XXXXXX", tmp ? tmp : "/tmp") < (int)sizeof root);
    assert_non_null(mkdtemp(root));
    put(given, root, "given");
    put(own, root, "own");
    assert_int_equal(mkdir(given, 0700), 0);
    assert_int_equal(mkdir(own, 0700), 0);
    put_file(file, given, "file");
    put_file(other, root, "other");
    put_file(gone, root, "gone");
    put_file(blob, root, "blob");
    put(linked, given, "link");
    assert_int_equal(symlink("../blob", linked), 0);
    return 0;
}

static int end(void **state) {
    char file[OS_PATH_BYTES];
    (void)state;
    put(file, given, "file");
    unlink(file);
    unlink(linked);
    rmdir(given);
    put(file, own, "file");
    unlink(file);
    rmdir(own);
    unlink(other);
    unlink(gone);
    unlink(blob);
    rmdir(root);
    return 0;
}

/* ---- a process in the sandbox ---- */

enum { DONE = 0, NOT_ENTERED = 250, KILLED = 1000 }; /* else errno */

typedef int attempt(void); /* 0: it could be done; else errno */

static int errno_of(long result) { return result < 0 ? errno : 0; }

typedef struct {
    attempt *fn;
    pthread_mutex_t lock; /* held until the sandbox is complete */
    int result;
} later;

static void *try_later(void *ctx) {
    later *l = ctx;
    pthread_mutex_lock(&l->lock);
    l->result = l->fn();
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* Tries it in a thread that ran before the filter was set. */
static int enter(const sandbox_plan *p, attempt *fn, unsigned *parts) {
    pthread_t t;
    later l = {.fn = fn, .lock = PTHREAD_MUTEX_INITIALIZER};
    if (sandbox_files(p, parts, NULL) != ERR_OK)
        return NOT_ENTERED;
    pthread_mutex_lock(&l.lock);
    if (pthread_create(&t, NULL, try_later, &l) != 0 || sandbox_calls(p, parts, NULL) != ERR_OK)
        return NOT_ENTERED;
    pthread_mutex_unlock(&l.lock);
    pthread_join(t, NULL);
    return l.result;
}

static int try_in(const sandbox_plan *p, attempt *fn) {
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        unsigned parts = 0;
        _exit(enter(p, fn, &parts));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGSYS ? KILLED : -WTERMSIG(status);
    return WEXITSTATUS(status);
}

/* The parts that this kernel has, by its own word. */
static unsigned parts_of_kernel(void) {
    uint32_t kills = SECCOMP_RET_KILL_PROCESS;
    bool calls = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &kills) == 0;
    bool files = syscall(444, NULL, 0, 1) > 0; /* landlock_create_ruleset: its version */
    return (calls ? SANDBOX_CALLS : 0) | (files ? SANDBOX_FILES : 0);
}

static unsigned parts_here(void) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        unsigned parts = 0;
        _exit(sandbox_files(&reads, &parts, NULL) == ERR_OK && sandbox_calls(&reads, &parts, NULL) == ERR_OK
                  ? (int)parts
                  : NOT_ENTERED);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != NOT_ENTERED);
    return (unsigned)WEXITSTATUS(status);
}

/* A test of what this kernel lacks is skipped, and counted so. */
static void need(unsigned part) {
    assert_int_equal(parts_here() & part, parts_of_kernel() & part);
    if (parts_here() & part)
        return;
    assert_non_null(sandbox_missing(parts_here()));
    skip();
}

/* ---- what is refused ---- */

static int execute(void) {
    char *const args[] = {"true", NULL};
    return errno_of(execv("/bin/true", args));
}
static int execute_at(void) {
    char *const args[] = {"true", NULL};
    return errno_of(syscall(SYS_execveat, AT_FDCWD, "/bin/true", args, args, 0));
}
static int begin_process(void) {
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    return errno_of(child);
}
static int new_tcp(void) { return errno_of(socket(AF_INET, SOCK_STREAM, 0)); }
static int new_udp(void) { return errno_of(socket(AF_INET, SOCK_DGRAM, 0)); }
static int new_unix(void) { return errno_of(socket(AF_UNIX, SOCK_STREAM, 0)); }
static int new_raw(void) { return errno_of(socket(AF_NETLINK, SOCK_RAW, 0)); }
static int new_pair(void) {
    int fd[2];
    return errno_of(socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
}
static struct sockaddr_in any_address(void) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(9)};
}
static int spare = -1; /* a socket made before */
static int connect_out(void) {
    struct sockaddr_in to = any_address();
    return errno_of(connect(spare, (struct sockaddr *)&to, sizeof to));
}
static int bind_port(void) {
    struct sockaddr_in to = any_address();
    return errno_of(bind(spare, (struct sockaddr *)&to, sizeof to));
}
static int listen_on(void) { return errno_of(listen(spare, 1)); }
static int send_to(void) {
    struct sockaddr_in to = any_address();
    return errno_of(sendto(spare, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof to));
}
static int write_other(void) { return errno_of(open(other, O_WRONLY)); }
static int append_other(void) { return errno_of(open(other, O_RDWR | O_APPEND)); }
static int truncate_by_open(void) { return errno_of(open(other, O_RDONLY | O_TRUNC)); }
static int create_file(void) {
    char path[OS_PATH_BYTES];
    return os_join(path, root, "new", NULL) == ERR_OK ? errno_of(open(path, O_WRONLY | O_CREAT | O_EXCL, 0600)) : 0;
}
static int create_unnamed(void) { return errno_of(open(root, O_TMPFILE | O_RDWR, 0600)); }
static int open_by_new_call(void) {
    struct {
        uint64_t flags, mode, resolve;
    } how = {O_WRONLY, 0, 0};
    return errno_of(syscall(SYS_openat2, AT_FDCWD, other, &how, sizeof how));
}
static int truncate_other(void) { return errno_of(truncate(other, 0)); }
static int make_folder(void) { return errno_of(mkdir("/tmp/no-such-folder-of-loam", 0700)); }
static int remove_other(void) { return errno_of(unlink(other)); }
static int rename_other(void) { return errno_of(rename(other, given)); }
static int link_other(void) { return errno_of(symlink(other, "/tmp/no-such-link-of-loam")); }
static int change_mode(void) { return errno_of(chmod(other, 0777)); }
static int own_memory(void) { return errno_of(open("/proc/self/mem", O_RDWR)); }
static int read_other(void) { return errno_of(open(other, O_RDONLY)); }
static int read_passwords(void) { return errno_of(open("/etc/passwd", O_RDONLY)); }
static int list_root(void) { return errno_of(open("/", O_RDONLY | O_DIRECTORY)); }
static int read_blob(void) { return errno_of(open(blob, O_RDONLY)); }
static int trace_parent(void) { return errno_of(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL)); }
static int read_process(void) {
    char x[1];
    struct iovec v = {x, 1};
    return errno_of(process_vm_readv(getpid(), &v, 1, &v, 1, 0));
}
static int signal_parent(void) { return errno_of(kill(getppid(), 0)); }
static int signal_parent_thread(void) { return errno_of(syscall(SYS_tgkill, getppid(), getppid(), 0)); }
static int mount_one(void) { return errno_of(mount("none", "/mnt", "tmpfs", 0, NULL)); }
static int new_namespace(void) { return errno_of(unshare(CLONE_NEWUSER)); }
static int change_root(void) { return errno_of(chroot("/")); }
static int ring(void) {
    char params[128] = {0};
    return errno_of(syscall(SYS_io_uring_setup, 1, params));
}
static int load_program(void) { return errno_of(syscall(SYS_bpf, 0, NULL, 0)); }
static int catch_faults(void) { return errno_of(syscall(SYS_userfaultfd, 0)); }
static int add_key(void) { return errno_of(syscall(SYS_add_key, "user", "x", "x", 1, -3)); }
static int memory_file(void) { return errno_of(memfd_create("x", 0)); }
static int map_code(void) {
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0;
}
static int make_code(void) {
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? 0 : errno_of(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}
static int type_for_user(void) { return errno_of(ioctl(0, TIOCSTI, "x")); }
static int raise_limit(void) {
    struct rlimit r = {1 << 20, RLIM_INFINITY};
    return errno_of(setrlimit(RLIMIT_CORE, &r));
}
static int loosen(void) { return errno_of(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); }
static int become_root(void) { return errno_of(setuid(0)); }
static int own_priority(void) { return errno_of(setpriority(PRIO_PROCESS, (id_t)getppid(), 1)); }

#define ROW(fn, want) \
    { #fn, fn, want }
static const struct {
    const char *name;
    attempt *fn;
    int want;
} refused[] = {
    ROW(execute, KILLED),
    ROW(execute_at, KILLED),
    ROW(begin_process, EPERM),
    ROW(new_tcp, EPERM),
    ROW(new_udp, EPERM),
    ROW(new_unix, EPERM),
    ROW(new_raw, EPERM),
    ROW(new_pair, EPERM),
    ROW(connect_out, EPERM),
    ROW(bind_port, EPERM),
    ROW(listen_on, EPERM),
    ROW(send_to, EPERM),
    ROW(write_other, EPERM),
    ROW(append_other, EPERM),
    ROW(truncate_by_open, EPERM),
    ROW(create_file, EPERM),
    ROW(create_unnamed, EPERM),
    ROW(open_by_new_call, ENOSYS),
    ROW(truncate_other, EPERM),
    ROW(make_folder, EPERM),
    ROW(remove_other, EPERM),
    ROW(rename_other, EPERM),
    ROW(link_other, EPERM),
    ROW(change_mode, EPERM),
    ROW(own_memory, EPERM),
    ROW(trace_parent, KILLED),
    ROW(read_process, KILLED),
    ROW(signal_parent, EPERM),
    ROW(signal_parent_thread, EPERM),
    ROW(mount_one, KILLED),
    ROW(new_namespace, KILLED),
    ROW(change_root, KILLED),
    ROW(ring, ENOSYS),
    ROW(load_program, KILLED),
    ROW(catch_faults, KILLED),
    ROW(add_key, KILLED),
    ROW(memory_file, EPERM),
    ROW(map_code, EPERM),
    ROW(make_code, EPERM),
    ROW(type_for_user, EPERM),
    ROW(raise_limit, EPERM),
    ROW(loosen, EPERM),
    ROW(become_root, KILLED),
    ROW(own_priority, EPERM),
};

static void calls_are_refused(void **state) {
    (void)state;
    need(SANDBOX_CALLS);
    spare = socket(AF_INET, SOCK_STREAM, 0);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        int got = try_in(&reads, refused[i].fn);
        if (got != refused[i].want)
            fail_msg("%s: %d instead of %d", refused[i].name, got, refused[i].want);
    }
    close(spare);
    assert_true(os_exists(other));
}

/* Where the filter lets files be written, Landlock says which. */
static const struct {
    const char *name;
    attempt *fn;
    int want;
} unreadable[] = {
    ROW(write_other, EACCES),  ROW(truncate_by_open, EACCES), ROW(create_file, EACCES),    ROW(create_unnamed, EACCES),
    ROW(rename_other, EACCES), ROW(read_other, EACCES),       ROW(read_passwords, EACCES), ROW(list_root, EACCES),
    ROW(own_memory, EACCES),   ROW(read_blob, DONE), /* a link that may be read leads to it */
};

static void files_are_refused(void **state) {
    (void)state;
    need(SANDBOX_FILES);
    for (size_t i = 0; i < sizeof unreadable / sizeof *unreadable; i++) {
        int got = try_in(&writes, unreadable[i].fn);
        if (got != unreadable[i].want)
            fail_msg("%s: %d instead of %d", unreadable[i].name, got, unreadable[i].want);
    }
}

/* ---- what goes on ---- */

static listening at;

static void *echo_thread(void *ctx) {
    char text[8];
    int fd = accept(at.fd, NULL, NULL);
    ssize_t n = fd >= 0 ? recv(fd, text, sizeof text, 0) : -1;
    *(bool *)ctx = n == 5 && send(fd, text, 5, MSG_NOSIGNAL) == 5;
    close(fd);
    return NULL;
}

/* Steps of serving; the number of the first that fails. */
static int serving(void) {
    pthread_t t;
    bool answered = false;
    char path[OS_PATH_BYTES];
    strbuf text = {0};
    sigset_t set;
    siginfo_t info;
    if (pthread_create(&t, NULL, echo_thread, &answered) != 0 || pthread_join(t, NULL) != 0 || !answered)
        return 1;
    char *big = malloc(64 << 20);
    if (!big || os_now() <= 0 || os_n_cpus() < 1)
        return 2;
    memset(big, 1, 64 << 20);
    free(big);
    if (os_join(path, given, "file", NULL) != ERR_OK || os_read_file(path, 100, &text, NULL) != ERR_OK || text.n != 4)
        return 3;
    if (os_read_file(linked, 100, &text, NULL) != ERR_OK || text.n != 8)
        return 4;
    strbuf_fini(&text);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (pthread_kill(pthread_self(), SIGTERM) != 0 || sigtimedwait(&set, &info, &(struct timespec){1, 0}) != SIGTERM)
        return 5;
    return 0;
}

/* Also in a folder of its own. */
static int keeping(void) {
    char path[OS_PATH_BYTES];
    if (serving() != 0)
        return serving();
    if (os_join(path, own, "file", NULL) != ERR_OK || os_write_file(path, STR("kept"), NULL) != ERR_OK)
        return 10;
    return unlink(gone) == 0 ? 0 : 11;
}

static void client_of(const sandbox_plan *p, attempt *fn) {
    int status;
    assert_int_equal(listen_tcp(&at, NULL, 0, NULL), ERR_OK);
    int flags = fcntl(at.fd, F_GETFL);
    fcntl(at.fd, F_SETFL, flags & ~O_NONBLOCK);
    struct sockaddr_in to;
    socklen_t n = sizeof to;
    getsockname(at.fd, (struct sockaddr *)&to, &n);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        unsigned parts = 0;
        _exit(enter(p, fn, &parts));
    }
    char back[8];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){20, 0}, sizeof(struct timeval));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(send(fd, "hello", 5, MSG_NOSIGNAL), 5);
    assert_int_equal(recv(fd, back, sizeof back, 0), 5);
    close(fd);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    listen_close(&at);
}

static void serving_goes_on(void **state) {
    (void)state;
    client_of(&reads, serving);
    client_of(&writes, keeping);
    assert_false(os_exists(gone));
}

static void wrong_paths(void **state) {
    const char *const missing[] = {"/no/such/folder", NULL};
    const sandbox_plan p = {.read = missing};
    int status;
    bool has_files = parts_here() & SANDBOX_FILES;
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        unsigned parts = 0;
        err e = {0};
        err_code code = sandbox_files(&p, &parts, &e);
        bool told = code == ERR_IO && strstr(e.text, "/no/such/folder");
        _exit(parts == 0 && (told || (code == ERR_OK && !has_files)) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* ---- the filter as a program ---- */

enum { PROGRAM_MAX = 4096 };
typedef struct {
    struct sock_filter op[PROGRAM_MAX];
    size_t n;
} program;

/* The instructions that libseccomp writes; -1: another one. */
static int64_t verdict(const program *p, const struct seccomp_data *d) {
    uint32_t a = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct sock_filter *op = &p->op[i];
        bool yes = false;
        switch (op->code) {
        case BPF_LD + BPF_W + BPF_ABS:
            if (op->k > sizeof *d - 4)
                return -1;
            memcpy(&a, (const char *)d + op->k, 4);
            continue;
        case BPF_ALU + BPF_AND + BPF_K:
            a &= op->k;
            continue;
        case BPF_RET + BPF_K:
            return op->k;
        case BPF_JMP + BPF_JA:
            i += op->k;
            continue;
        case BPF_JMP + BPF_JEQ + BPF_K:
            yes = a == op->k;
            break;
        case BPF_JMP + BPF_JGT + BPF_K:
            yes = a > op->k;
            break;
        case BPF_JMP + BPF_JGE + BPF_K:
            yes = a >= op->k;
            break;
        default:
            return -1;
        }
        i += yes ? op->jt : op->jf;
    }
    return -1;
}

static void export_program(program *p, const sandbox_plan *plan, uint32_t arch) {
    FILE *f = tmpfile();
    err e = {0};
    assert_non_null(f);
    if (sandbox_export(plan, arch, fileno(f), &e) != ERR_OK)
        fail_msg("%s", e.text);
    rewind(f);
    p->n = fread(p->op, sizeof *p->op, PROGRAM_MAX, f);
    assert_true(p->n > 20 && p->n < PROGRAM_MAX);
    fclose(f);
}

#define REFUSED (SECCOMP_RET_ERRNO | EPERM)
#define ABSENT (SECCOMP_RET_ERRNO | ENOSYS)
static const struct {
    const char *name;
    uint64_t arg[6];
    uint32_t reads, writes; /* with either plan */
} decisions[] = {
    {"read", {0}, SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW},
    {"futex", {0}, SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW},
    {"accept4", {0}, SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW},
    {"epoll_pwait", {0}, SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW},
    {"ppoll", {0}, SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW},
    {"exit_group", {0}, SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW},
    {"openat", {0, 0, O_RDONLY | O_CLOEXEC}, SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW},
    {"openat", {0, 0, O_WRONLY}, REFUSED, SECCOMP_RET_ALLOW},
    {"openat", {0, 0, O_RDWR}, REFUSED, SECCOMP_RET_ALLOW},
    {"openat", {0, 0, O_CREAT}, REFUSED, SECCOMP_RET_ALLOW},
    {"openat", {0, 0, O_TRUNC}, REFUSED, SECCOMP_RET_ALLOW},
    {"unlinkat", {0}, REFUSED, SECCOMP_RET_ALLOW},
    {"ftruncate", {0}, REFUSED, SECCOMP_RET_ALLOW},
    {"fchown", {0}, REFUSED, REFUSED},
    {"mmap", {0, 4096, PROT_READ | PROT_WRITE}, SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW},
    {"mmap", {0, 4096, PROT_READ | PROT_EXEC}, REFUSED, REFUSED},
    {"mprotect", {0, 4096, PROT_EXEC}, REFUSED, REFUSED},
    {"pkey_mprotect", {0, 4096, PROT_READ}, REFUSED, REFUSED},
    {"clone", {CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD}, SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW},
    {"clone", {SIGCHLD}, REFUSED, REFUSED},
    {"clone", {CLONE_VM | CLONE_VFORK | SIGCHLD}, REFUSED, REFUSED},
    {"clone3", {0}, ABSENT, ABSENT},
    {"prlimit64", {0, RLIMIT_NOFILE, 0}, SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW},
    {"prlimit64", {0, RLIMIT_NOFILE, UINT64_C(1) << 40}, REFUSED, REFUSED},
    {"sendto", {3, 1, 1, 0, 0, 0}, SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW},
    {"sendto", {3, 1, 1, 0, 1, 16}, REFUSED, REFUSED},
    {"ioctl", {0, FIONBIO}, SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW},
    {"ioctl", {0, TIOCSTI}, REFUSED, REFUSED},
    {"ioctl", {0, FIONBIO | UINT64_C(1) << 32}, SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW}, /* the kernel reads an int */
    {"ioctl", {0, TIOCSTI | UINT64_C(1) << 32}, REFUSED, REFUSED},
    {"fcntl", {0, F_SETFL}, SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW},
    {"fcntl", {0, F_SETOWN}, REFUSED, REFUSED},
    {"socket", {0}, REFUSED, REFUSED},
    {"bind", {0}, REFUSED, REFUSED},
    {"connect", {0}, REFUSED, REFUSED},
    {"listen", {0}, REFUSED, REFUSED},
    {"kill", {0}, REFUSED, REFUSED},
    {"prctl", {0}, REFUSED, REFUSED},
    {"seccomp", {0}, REFUSED, REFUSED},
    {"openat2", {0}, ABSENT, ABSENT},
    {"io_uring_setup", {0}, ABSENT, ABSENT},
    {"io_uring_enter", {0}, REFUSED, REFUSED},
    {"execve", {0}, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_PROCESS},
    {"execveat", {0}, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_PROCESS},
    {"ptrace", {0}, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_PROCESS},
    {"process_vm_writev", {0}, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_PROCESS},
    {"mount", {0}, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_PROCESS},
    {"setns", {0}, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_PROCESS},
    {"finit_module", {0}, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_PROCESS},
    {"bpf", {0}, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_PROCESS},
    {"keyctl", {0}, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_PROCESS},
    {"setuid", {0}, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_PROCESS},
};

static void check_program(const program *p, uint32_t arch, size_t i, uint32_t want) {
    struct seccomp_data d = {.nr = seccomp_syscall_resolve_name_arch(arch, decisions[i].name), .arch = arch};
    assert_true(d.nr >= 0); /* both architectures have it */
    memcpy(d.args, decisions[i].arg, sizeof d.args);
    if (verdict(p, &d) != want)
        fail_msg("%08x: %s, row %zu: %llx", arch, decisions[i].name, i, (unsigned long long)verdict(p, &d));
}

static void either_architecture(void **state) {
    static program p;
    const uint32_t arch[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64};
    (void)state;
    seccomp_api_set(3); /* a filter can be made where the kernel takes none: under an emulator */
    for (size_t a = 0; a < 2; a++) {
        export_program(&p, &reads, arch[a]);
        for (size_t i = 0; i < sizeof decisions / sizeof *decisions; i++)
            check_program(&p, arch[a], i, decisions[i].reads);
        struct seccomp_data foreign = {.nr = 0, .arch = arch[1 - a]};
        assert_true(verdict(&p, &foreign) == SECCOMP_RET_KILL_PROCESS ||
                    verdict(&p, &foreign) == SECCOMP_RET_KILL_THREAD);
        export_program(&p, &writes, arch[a]);
        for (size_t i = 0; i < sizeof decisions / sizeof *decisions; i++)
            check_program(&p, arch[a], i, decisions[i].writes);
    }
}

static void missing_parts(void **state) {
    (void)state;
    assert_null(sandbox_missing(SANDBOX_FILES | SANDBOX_CALLS));
    assert_non_null(strstr(sandbox_missing(SANDBOX_FILES), "no seccomp"));
    assert_non_null(strstr(sandbox_missing(SANDBOX_CALLS), "no Landlock"));
    assert_non_null(strstr(sandbox_missing(0), "neither"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_are_refused), cmocka_unit_test(files_are_refused),   cmocka_unit_test(serving_goes_on),
        cmocka_unit_test(wrong_paths),       cmocka_unit_test(either_architecture), cmocka_unit_test(missing_parts),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
