/* Threat: another local user takes the socket's place, connects in the moment between bind and
 * chmod, or reaches it through a folder that anyone may write to. So it is made private, handed
 * to the group afterwards, and listens last; and each connection is judged by the kernel's word
 * about its peer, whatever the file modes say. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* struct ucred */
#endif
#include "daemon/io/control/control_private.h"
#include "shared/portable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define GROUPS_MAX 1024 /* of one user; Linux allows 65,536, people have tens */

static int make_address(const char *path, struct sockaddr_un *ret_address,
                        char ret_error[FAILURE_MAX]) {
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof ret_address->sun_path)
        return failure(ret_error, -ENAMETOOLONG, "control.socket: %s: longer than %zu bytes", path,
                       sizeof ret_address->sun_path - 1);
    memcpy(ret_address->sun_path, path, strlen(path));
    return 0;
}

/* Does the folder hold nothing but the socket? Then it exists for the socket, and letting the group
 * in opens nothing else. */
static bool is_folder_for(int fd, const char *socket) {
    int copy = dup(fd);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    if (!list) {
        if (copy >= 0)
            close(copy);
        return false;
    }
    bool alone = true;
    const struct dirent *entry;
    rewinddir(list);
    while (alone && (entry = readdir(list)))
        alone = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                strcmp(entry->d_name, socket) == 0;
    closedir(list);
    return alone;
}

/* If the folder is ours and holds the socket alone, let the socket's group pass through it. Any
 * other is left as it is: a runtime folder holds more than our socket. */
static int open_folder(const struct control_config *config, const char *folder) {
    struct stat status;
    if (config->gid == CONTROL_GID_NONE)
        return 0;
    const char *slash = strrchr(config->path, '/');
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    if (fd < 0)
        return 0; /* the error is reported when the socket is made there */
    bool is_known = fstat(fd, &status) == 0;
    bool is_passable = is_known && ((status.st_mode & S_IXOTH) ||
                                    (status.st_gid == config->gid && (status.st_mode & S_IXGRP)));
    if (is_known && !is_passable && status.st_uid == geteuid() &&
        is_folder_for(fd, slash ? slash + 1 : config->path) &&
        (fchown(fd, (uid_t)-1, config->gid) < 0 || fchmod(fd, 0710) < 0))
        r = -errno;
    close(fd);
    return r;
}

/* Make the socket's folder if it is missing: private, or open to the group that may use the
 * socket. */
static int prepare_folder(const struct control_config *config, char ret_error[FAILURE_MAX]) {
    char copy[sizeof((struct sockaddr_un *)0)->sun_path];
    struct stat status;
    snprintf(copy, sizeof copy, "%s", config->path);
    const char *folder = dirname(copy);
    if (mkdir(folder, 0700) < 0 && errno != EEXIST) {
        return failure(ret_error, -errno, "control.socket: cannot make the folder %s: %s", folder,
                       strerror(errno));
    }
    if (stat(folder, &status) < 0)
        return failure(ret_error, -errno, "control.socket: %s: %s", folder, strerror(errno));
    if ((status.st_mode & S_IWOTH) && !(status.st_mode & S_ISVTX))
        return failure(ret_error, -EACCES,
                       "control.socket: anyone can write to the folder %s (chmod o-w it)", folder);
    return 0;
}

int control_group_check(const struct control_config *config, char ret_error[FAILURE_MAX]) {
    char folder[CONTROL_PATH_MAX + 1];
    const struct group *entry = config->gid == CONTROL_GID_NONE ? NULL : getgrgid(config->gid);
    struct stat status;
    if (config->gid == CONTROL_GID_NONE)
        return 0;
    const char *name = entry ? entry->gr_name : "?";
    if (!(config->mode & S_IWGRP))
        return failure(ret_error, -EACCES,
                       "control.mode %04o keeps the group %s out: set control.mode = 0660",
                       (unsigned)config->mode, name);
    snprintf(folder, sizeof folder, "%s", config->path);
    for (char *slash = strrchr(folder, '/'); slash; slash = strrchr(folder, '/')) {
        slash[slash == folder ? 1 : 0] = '\0';
        bool passes = stat(folder, &status) < 0 || (status.st_mode & S_IXOTH) ||
                      (status.st_gid == config->gid && (status.st_mode & S_IXGRP));
        if (!passes)
            return failure(ret_error, -EACCES,
                           "the folder %s (mode %04o) keeps the group %s from the socket: chgrp %s "
                           "%s && chmod g+x %s, or name another control.socket",
                           folder, (unsigned)(status.st_mode & 07777), name, name, folder, folder);
        if (slash == folder)
            break;
    }
    return 0;
}

/* Does anybody answer there? 0: yes, or the negative errno of connect. */
static int try_connect(const struct sockaddr_un *address) {
    int fd = portable_unix_socket(false);
    if (fd < 0)
        return fd;
    int result = connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 ? -errno : 0;
    close(fd);
    /* EAGAIN: its queue is full, so somebody does own it. */
    return result == -EAGAIN ? 0 : result;
}

static int clear_stale(const struct control_config *config, const struct sockaddr_un *address,
                       char ret_error[FAILURE_MAX]) {
    struct stat status;
    if (lstat(config->path, &status) < 0)
        return errno == ENOENT ? 0
                               : failure(ret_error, -errno, "control.socket: %s: %s", config->path,
                                         strerror(errno));
    if (!S_ISSOCK(status.st_mode))
        return failure(ret_error, -EEXIST, "control.socket: %s exists and is no socket",
                       config->path);
    int error = try_connect(address);
    if (error == 0)
        return failure(ret_error, -EADDRINUSE, "control.socket: another daemon answers at %s",
                       config->path);
    if (error != -ECONNREFUSED || !config->state_locked)
        return failure(ret_error, -EADDRINUSE, "control.socket: %s is there already: %s",
                       config->path, strerror(-error));
    if (unlink(config->path) < 0 && errno != ENOENT)
        return failure(ret_error, -errno, "control.socket: cannot remove the stale %s: %s",
                       config->path, strerror(errno));
    return 0;
}

int control_socket_hand_over(const struct control_config *config, char ret_error[FAILURE_MAX]) {
    char copy[CONTROL_PATH_MAX + 1];
    bool to_group = config->gid != CONTROL_GID_NONE;
    snprintf(copy, sizeof copy, "%s", config->path);
    const char *folder = dirname(copy);
    int error = open_folder(config, folder);
    if (error < 0)
        return failure(ret_error, error, "control.group: cannot give %s to group %lu: %s", folder,
                       (unsigned long)config->gid, strerror(-error));
    if (chown(config->path, (uid_t)-1, to_group ? config->gid : getegid()) < 0 && to_group)
        return failure(ret_error, -errno, "control.group: cannot give %s to group %lu: %s",
                       config->path, (unsigned long)config->gid, strerror(errno));
    if (chmod(config->path, config->mode ? config->mode : 0600) < 0)
        return failure(ret_error, -errno, "control.mode: %s: %s", config->path, strerror(errno));
    return 0;
}

static int bind_private(int fd, const struct control_config *config,
                        const struct sockaddr_un *address, char ret_error[FAILURE_MAX]) {
    mode_t before = umask(0177);
    int error = bind(fd, (const struct sockaddr *)address, sizeof *address) < 0 ? -errno : 0;
    umask(before);
    if (error < 0)
        return failure(ret_error, error, "control.socket: %s: %s", config->path, strerror(-error));
    error = control_socket_hand_over(config, ret_error);
    if (error == 0 && listen(fd, SOMAXCONN) < 0)
        error = failure(ret_error, -errno, "control.socket: listen: %s", strerror(errno));
    if (error < 0)
        unlink(config->path);
    return error;
}

int control_socket_listen(const struct control_config *config, char ret_error[FAILURE_MAX]) {
    struct sockaddr_un address;
    int error = make_address(config->path, &address, ret_error);
    if (error == 0)
        error = prepare_folder(config, ret_error);
    if (error == 0)
        error = clear_stale(config, &address, ret_error);
    if (error < 0)
        return error;
    int fd = portable_unix_socket(false);
    if (fd < 0)
        return failure(ret_error, fd, "control.socket: %s", strerror(-fd));
    error = bind_private(fd, config, &address, ret_error);
    if (error < 0) {
        close(fd);
        return error;
    }
    return fd;
}

int control_socket_credentials(int fd, struct control_peer *ret_peer) {
#ifdef __linux__
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0)
        return -errno;
    *ret_peer = (struct control_peer){credentials.uid, credentials.gid};
    return 0;
#else
    return getpeereid(fd, &ret_peer->uid, &ret_peer->gid) < 0 ? -errno : 0;
#endif
}

/* The kernel tells only the peer's first group; the others are looked up. */
static bool is_member(uid_t uid, gid_t first, gid_t group) {
    portable_gid groups[GROUPS_MAX];
    int n = GROUPS_MAX;
    const struct passwd *entry = getpwuid(uid);
    if (!entry || getgrouplist(entry->pw_name, (portable_gid)first, groups, &n) < 0)
        return false;
    for (int i = 0; i < n; i++)
        if ((gid_t)groups[i] == group)
            return true;
    return false;
}

bool control_socket_is_allowed(const struct control_peer *peer, gid_t group, char *ret_text,
                               size_t size) {
    if (peer->uid == 0 || peer->uid == geteuid())
        return true;
    if (group == CONTROL_GID_NONE) {
        snprintf(ret_text, size,
                 "not permitted: only uid %lu and root may use this daemon, "
                 "control.group is not set",
                 (unsigned long)geteuid());
        return false;
    }
    if (peer->gid == group || is_member(peer->uid, peer->gid, group))
        return true;
    const struct group *entry = getgrgid(group);
    snprintf(ret_text, size, "not permitted: only members of group %s (%lu) may use this daemon",
             entry ? entry->gr_name : "?", (unsigned long)group);
    return false;
}
