/* See process.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "daemon/io/system/process.h"
#include "shared/portable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <unistd.h>

/* Enough for sockets, store, log, and a handful of clients. */
#define FILES_MIN 32
#define FILES_WANTED 4096
#define FILES_TRIED 65536 /* how many to try to close, where the system cannot list open ones */
/* The largest user of a thread's stack is getaddrinfo, with all its plugins. */
#define THREAD_STACK (256 * 1024)

/* Raise a limit to `wanted`, as far as the hard limit allows. */
static rlim_t raise_limit(int resource, rlim_t wanted) {
    struct rlimit limit;
    if (getrlimit(resource, &limit) < 0)
        return 0;
    if (limit.rlim_cur >= wanted)
        return limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    setrlimit(resource, &limit);
    return limit.rlim_cur;
}

/* A standard stream that was closed when we were started must not become a socket: text for people
 * would be sent over it, and going to the background would replace it. */
static void open_standard_streams(void) {
    int fd;
    do
        fd = open("/dev/null", O_RDWR | O_NOCTTY);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

/* Whoever started us may have ignored or blocked signals that we need: with SIGTERM or SIGALRM
 * blocked nothing could end us, and an ignored SIGCHLD would hide the exit code of a failed start.
 * SIGXFSZ would kill us where a write at the file size limit should fail like any other. */
static void reset_signals(void) {
    sigset_t none;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error of the write, not our end */
    signal(SIGCHLD, SIG_DFL);
    signal(SIGALRM, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

int process_prepare(char error[FAILURE_MAX]) {
    open_standard_streams();
    /* Besides, secrets are in memory that libsodium keeps out of dumps. */
    portable_forbid_dumps();
    reset_signals();
    umask(077);
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, 1); /* an arena for each thread would cost more than it saves */
    mallopt(M_TRIM_THRESHOLD, 256 * 1024);
#endif
    raise_limit(RLIMIT_MEMLOCK, RLIM_INFINITY);
    rlim_t files = raise_limit(RLIMIT_NOFILE, FILES_WANTED);
    if (files < FILES_MIN)
        return failure(error, -EMFILE, "only %lu open files are allowed, %d are needed (ulimit -n)",
                       (unsigned long)files, FILES_MIN);
    return 0;
}

size_t process_files_max(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > FILES_WANTED)
        return FILES_WANTED;
    return (size_t)limit.rlim_cur;
}

size_t process_files_open(void) {
    size_t n = 0;
    for (int fd = 0; fd < (int)process_files_max(); fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* ---- Background ---- */

static void __attribute__((noreturn)) wait_for_start(int pipe, pid_t child) {
    unsigned char code = 0;
    ssize_t n;
    do
        n = read(pipe, &code, 1);
    while (n < 0 && errno == EINTR);
    if (n == 1)
        _exit(code);
    int status = 0;
    waitpid(child, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

/* Close descriptors by the system's list of open ones; without such a list, try all up to
 * FILES_TRIED. */
static void close_listed(int first) {
    DIR *list = opendir("/dev/fd");
    if (!list) {
        for (int fd = first; fd < FILES_TRIED; fd++)
            close(fd);
        return;
    }
    for (const struct dirent *entry = readdir(list); entry; entry = readdir(list)) {
        int fd = atoi(entry->d_name); /* "." and ".." are 0 */
        if (fd >= first && fd != dirfd(list))
            close(fd);
    }
    closedir(list);
}

static void close_from(int first) {
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)first, ~0u, 0u) == 0)
        return;
#endif
    close_listed(first);
}

/* Close the caller's descriptors, apart from the standard streams: otherwise a lock would be held,
 * and a pipe's reader would wait for its end, for as long as we live. `kept` stays open as the
 * returned descriptor. In the foreground all stay open, since there they are passed on purpose:
 * setlock and chpst hold their lock by one. */
static int let_go_of_descriptors(int kept) {
    const int first = STDERR_FILENO + 1;
    randombytes_close(); /* libsodium's own descriptor may be among them */
    if (kept != first) {
        dup2(kept, first);
        close(kept);
    }
    fcntl(first, F_SETFD, FD_CLOEXEC);
    close_from(first + 1);
    randombytes_stir();
    return first;
}

int process_background(struct process_background *ret_background, const char *pidfile,
                       char error[FAILURE_MAX]) {
    int ends[2];
    if (pipe(ends) < 0)
        return failure(error, -errno, "pipe: %s", strerror(errno));
    pid_t child = fork();
    if (child < 0) {
        int e = errno;
        close(ends[0]);
        close(ends[1]);
        return failure(error, -e, "fork: %s", strerror(e));
    }
    if (child > 0) {
        close(ends[1]);
        wait_for_start(ends[0], child);
    }
    close(ends[0]);
    setsid();
    *ret_background = (struct process_background){let_go_of_descriptors(ends[1]), pidfile};
    return 0;
}

int process_write_pidfile(const char *path, char error[FAILURE_MAX]) {
    char text[32];
    int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return failure(error, -errno, "%s: %s", path, strerror(errno));
    fchmod(fd, 0644); /* whatever the umask: init's tools read it */
    ssize_t n = write(fd, text, (size_t)length);
    int r = n == length ? 0 : n < 0 ? -errno : -ENOSPC;
    close(fd);
    return r < 0 ? failure(error, r, "%s: %s", path, strerror(-r)) : 0;
}

int process_started(struct process_background *background, char error[FAILURE_MAX]) {
    if (background->pipe < 0)
        return 0;
    if (background->pidfile) {
        int r = process_write_pidfile(background->pidfile, error);
        if (r < 0)
            return r;
    }
    int null = open("/dev/null", O_RDWR | O_NOCTTY);
    if (null < 0) /* otherwise the caller's streams would stay open */
        return failure(error, -errno, "/dev/null: %s", strerror(errno));
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        dup2(null, fd);
    if (null > STDERR_FILENO)
        close(null);
    if (chdir("/") < 0)
        return failure(error, -errno, "/: %s", strerror(errno));
    ssize_t told = write(background->pipe, "", 1); /* if the parent is gone, nobody needs to know */
    (void)told;
    close(background->pipe);
    background->pipe = -1;
    return 0;
}

/* Does the pid file still hold our pid? By now it may be another daemon's. */
static bool is_pidfile_ours(const char *path) {
    char text[32] = "";
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 && strtol(text, NULL, 10) == (long)getpid();
}

void process_ended(const struct process_background *background) {
    if (background->pidfile && background->pipe < 0 && is_pidfile_ours(background->pidfile))
        unlink(background->pidfile);
}

int process_become(uid_t user, gid_t group, char error[FAILURE_MAX]) {
    if (setgroups(1, &group) < 0 || setgid(group) < 0 || setuid(user) < 0)
        return failure(error, -errno, "cannot become user %u: %s", (unsigned)user, strerror(errno));
    if (setuid(0) == 0 || geteuid() != user || getegid() != group)
        return failure(error, -EPERM, "cannot become user %u for good", (unsigned)user);
    portable_forbid_dumps(); /* Linux allows dumps again when a process changes its user */
    return 0;
}

/* ---- The end ---- */

static void end_now(int signal) {
    (void)signal;
    _exit(0);
}

void process_end_within(unsigned seconds) {
    struct sigaction action = {.sa_handler = end_now};
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    unsigned left = alarm(seconds);
    if (left > 0 && left < seconds) /* asking again does not postpone the end */
        alarm(left);
}

int process_thread(void *(*run)(void *), void *context) {
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, THREAD_STACK);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the thread inherits it */
    int r = pthread_create(&thread, &attributes, run, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -r;
}
