/* See target.h. The part's name contains the key, and a lock on the part (flock(2), which ends with
 * its holder) tells whether somebody is writing it. The final name is a second link to the part: as
 * long as both names exist, whoever comes after a crash sees that this very file was completed. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "client/ctl/target.h"

#include "shared/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_MAX 10000 /* name.1 to name.9999, if somebody fills a folder with one name */
#define TRIES_MAX 100   /* others may act between two of our steps */
#define MARK ".p2pctl-"
#define PART ".part"
#define TAIL_LEN (sizeof MARK - 1 + (size_t)2 * TARGET_KEY_LEN + sizeof PART - 1)

/* ---- Signals ---- */

static const int deadly[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM, SIGUSR1, SIGUSR2, SIGXCPU};

/* The part to delete when a signal ends us. Written only while these signals are blocked. */
static struct {
    volatile sig_atomic_t is_set;
    int folder;
    char part[256];
} doomed;

/* Delete the part, and raise the signal again: its action is the default one by now, and ends
 * us. */
static void on_deadly(int number) {
    if (doomed.is_set)
        unlinkat(doomed.folder, doomed.part, 0);
    raise(number);
}

static void hold_signals(bool hold) {
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++)
        sigaddset(&set, deadly[i]);
    sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* Delete the part if a signal ends us. Signals that were ignored when we were started (nohup) stay
 * ignored. */
static void doom(const struct target *target) {
    for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++) {
        struct sigaction action;
        if (sigaction(deadly[i], NULL, &action) < 0 || action.sa_handler != SIG_DFL)
            continue;
        action = (struct sigaction){.sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};
        action.sa_handler = on_deadly;
        sigemptyset(&action.sa_mask);
        sigaction(deadly[i], &action, NULL);
    }
    doomed.folder = target->folder;
    memcpy(doomed.part, target->part, sizeof doomed.part);
    doomed.is_set = 1;
}

/* ---- Names ---- */

/* name + end, cut between characters to what a folder accepts. */
static void join_name(const char *name, const char *end, char ret_name[256]) {
    size_t room = 255 - strlen(end), length = 0, n;
    const uint8_t *bytes = (const uint8_t *)name;
    size_t left = strlen(name);
    for (; left > 0; length += n, left -= n) {
        n = text_utf8_length(bytes + length, left);
        n = n ? n : 1;
        if (length + n > room)
            break;
    }
    memcpy(ret_name, name, length);
    memcpy(ret_name + length, end, strlen(end) + 1);
}

static void numbered(const char *name, unsigned number, char ret_name[256]) {
    char end[16] = "";
    if (number > 0)
        snprintf(end, sizeof end, ".%u", number);
    join_name(name, end, ret_name);
}

static void part_name(const char *name, const uint8_t key[TARGET_KEY_LEN], char ret_name[256]) {
    char end[TAIL_LEN + 1], hex[2 * TARGET_KEY_LEN + 1];
    text_hex(key, TARGET_KEY_LEN, hex);
    snprintf(end, sizeof end, MARK "%s" PART, hex);
    join_name(name, end, ret_name);
}

static bool is_part_name(const char *name) {
    size_t length = strlen(name);
    if (length <= TAIL_LEN || strcmp(name + length - (sizeof PART - 1), PART) != 0)
        return false;
    const char *tail = name + length - TAIL_LEN, *hex = tail + sizeof MARK - 1;
    return memcmp(tail, MARK, sizeof MARK - 1) == 0 &&
           strspn(hex, "0123456789abcdef") == (size_t)2 * TARGET_KEY_LEN;
}

static bool leads_to(int folder, const char *name, int fd) {
    struct stat open_one, named;
    return fstat(fd, &open_one) == 0 && fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           open_one.st_ino == named.st_ino && open_one.st_dev == named.st_dev;
}

/* ---- Beginning ---- */

/* Lock the file. 0, or -EWOULDBLOCK. On a file system without locks this always succeeds. */
static int lock(int fd) {
    return flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK ? -EWOULDBLOCK : 0;
}

/* Create and lock the part. 0; -EAGAIN: somebody who cleaned up deleted it meanwhile; or another
 * -errno. */
static int create_part(struct target *target) {
    target->fd = openat(target->folder, target->part,
                        O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (target->fd < 0)
        return -errno;
    if (lock(target->fd) == 0 && leads_to(target->folder, target->part, target->fd))
        return 0;
    close(target->fd);
    target->fd = -1;
    return -EAGAIN;
}

/* Has the part a second name? If so, that is in target->final. */
static bool find_final(struct target *target) {
    struct stat st;
    if (fstat(target->fd, &st) < 0 || st.st_nlink < 2)
        return false;
    for (unsigned i = 0; i < NAMES_MAX; i++) {
        numbered(target->name, i, target->final);
        if (leads_to(target->folder, target->final, target->fd))
            return true;
    }
    return false;
}

/* The part exists already. TARGET_NAMED; -EBUSY: somebody is writing it; -EAGAIN: its writer is
 * dead, and it was deleted; or another -errno. Something else that was put in the part's place is
 * deleted, never written to. */
static int take_over(struct target *target) {
    target->fd = openat(target->folder, target->part, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int r = target->fd >= 0 && lock(target->fd) < 0 ? -EBUSY : -EAGAIN;
    if (r == -EAGAIN && target->fd >= 0 && !leads_to(target->folder, target->part, target->fd))
        r = -EBUSY; /* its writer has just finished, or another one begins */
    if (r == -EAGAIN && target->fd >= 0 && find_final(target))
        return TARGET_NAMED;
    if (r == -EAGAIN && unlinkat(target->folder, target->part, 0) < 0 && errno != ENOENT)
        r = -errno;
    if (target->fd >= 0)
        close(target->fd);
    target->fd = -1;
    return r;
}

int target_create(struct target *target, int folder, const char *name,
                  const uint8_t key[TARGET_KEY_LEN]) {
    int r = -EAGAIN;
    *target = (struct target){.folder = folder, .fd = -1, .name = name};
    part_name(name, key, target->part);
    hold_signals(true);
    for (int i = 0; i < TRIES_MAX && r == -EAGAIN; i++) {
        r = create_part(target);
        if (r == 0)
            doom(target);
        if (r == -EEXIST)
            r = take_over(target);
    }
    if (r != TARGET_NAMED)
        hold_signals(false);
    return r == -EAGAIN ? -EBUSY : r;
}

/* ---- Ending ---- */

/* A link never replaces another file. On a file system without links (FAT, some network disks) look
 * before renaming; then the part does not stay as a mark. */
static int give_name(const struct target *target) {
    struct stat st;
    if (linkat(target->folder, target->part, target->folder, target->final, 0) == 0)
        return 0;
    if (errno == EEXIST || (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS))
        return -errno;
    if (fstatat(target->folder, target->final, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return -EEXIST;
    return renameat(target->folder, target->part, target->folder, target->final) < 0 ? -errno : 0;
}

static int name_it(struct target *target) {
    int r = -EEXIST;
    if (fsync(target->fd) < 0)
        return -errno;
    for (unsigned i = 0; r == -EEXIST && i < NAMES_MAX; i++) {
        numbered(target->name, i, target->final);
        r = give_name(target);
    }
    if (r == 0 && fsync(target->folder) < 0 && errno != EINVAL) {
        r = -errno;
        unlinkat(target->folder, target->final, 0);
    }
    return r;
}

int target_name(struct target *target) {
    hold_signals(true);
    int r = name_it(target);
    if (r < 0)
        target_abandon(target);
    return r;
}

/* The lock goes with the descriptor, so close that last. */
static void let_go(struct target *target, bool is_over) {
    if (is_over)
        unlinkat(target->folder, target->part, 0);
    if (target->fd >= 0)
        close(target->fd);
    target->fd = -1;
    doomed.is_set = 0;
    hold_signals(false);
}

void target_end(struct target *target) {
    let_go(target, true);
}

void target_keep(struct target *target) {
    let_go(target, false);
}

void target_abandon(struct target *target) {
    let_go(target, target->fd >= 0);
}

/* ---- Parts that others have left ---- */

static void clean_one(int folder, const char *name) {
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
        flock(fd, LOCK_EX | LOCK_NB) == 0 && leads_to(folder, name, fd))
        unlinkat(folder, name, 0);
    close(fd);
}

void target_clean(int folder) {
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *all = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    if (!all && fd >= 0)
        close(fd);
    while (all && (entry = readdir(all)))
        if (is_part_name(entry->d_name))
            clean_one(folder, entry->d_name);
    if (all)
        closedir(all);
}
