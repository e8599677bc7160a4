/* See config_check.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* faccessat's AT_EACCESS */
#endif
#include "daemon/io/shell/config_check.h"

#include "daemon/io/control/control.h"
#include "daemon/io/net/udp.h"
#include "daemon/io/system/state.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUPS_MAX 1024

struct checking {
    const struct config_source *source;
    const struct config *config;
    struct config_mistakes *mistakes, *notes;
    uid_t user; /* the daemon's */
    gid_t group;
    bool on_behalf; /* we are root, and check for another user */
    int result;
};

static void __attribute__((format(printf, 4, 5)))
refuse(struct checking *c, const char *section, const char *name, const char *format, ...) {
    char why[FAILURE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    c->result = config_blame(c->source, c->config, section, name, why, c->mistakes);
}

static void begin(struct checking *c) {
    struct stat st;
    c->user = geteuid();
    c->group = getegid();
    if (c->user == 0 && stat(c->config->state, &st) == 0 && st.st_uid != 0) {
        c->user = st.st_uid;
        c->group = st.st_gid;
        c->on_behalf = true;
    }
}

/* ---- Folders ---- */

/* May the daemon make files in this folder? For another user the file modes are all that we know,
 * and of its groups only the main one. */
static bool may_write(const struct checking *c, const char *path, const struct stat *st) {
    if (!c->on_behalf)
        return faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) == 0;
    mode_t wanted = st->st_uid == c->user    ? S_IWUSR | S_IXUSR
                    : st->st_gid == c->group ? S_IWGRP | S_IXGRP
                                             : S_IWOTH | S_IXOTH;
    return (st->st_mode & wanted) == wanted;
}

/* Cut off the last component; false: there is none. */
static bool to_parent(char *path) {
    char *slash = strrchr(path, '/');
    if (!slash || strcmp(path, "/") == 0)
        return false;
    slash[slash == path ? 1 : 0] = '\0';
    return true;
}

/* Is the folder there, or can it be made, with up to `depth` missing folders above it? */
static void check_folder(struct checking *c, const char *section, const char *name,
                         const char *folder, int depth) {
    char path[CONFIG_PATH_MAX];
    struct stat st;
    snprintf(path, sizeof path, "%s", folder);
    while (stat(path, &st) < 0 && errno == ENOENT && depth-- > 0 && to_parent(path))
        ;
    if (stat(path, &st) < 0)
        refuse(c, section, name, "%s: %s", path,
               errno == ENOENT ? "no such folder, and only the last one is made" : strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        refuse(c, section, name, "%s: not a folder", path);
    else if (!may_write(c, path, &st))
        refuse(c, section, name, "%s: user %u may not %s there", path, (unsigned)c->user,
               strcmp(path, folder) == 0 ? "write" : "make folders");
}

static void check_state(struct checking *c) {
    const char *path = c->config->state;
    struct stat st;
    size_t before = c->mistakes->n;
    check_folder(c, "node", "state", path, CONFIG_PATH_MAX);
    if (c->mistakes->n > before || stat(path, &st) < 0)
        return;
    if (st.st_uid != c->user)
        refuse(c, "node", "state", "%s: belongs to user %u, but we are user %u", path,
               (unsigned)st.st_uid, (unsigned)c->user);
    else if (st.st_mode & (S_IWGRP | S_IWOTH))
        refuse(c, "node", "state", "%s: others may write to it (mode %04o): chmod go-w %s", path,
               (unsigned)(st.st_mode & 07777), path);
}

/* Only the socket's own folder is made. If init makes that folder for another user, it comes and
 * goes with the service. */
static void check_socket(struct checking *c) {
    char folder[CONFIG_PATH_MAX];
    const char *path = c->config->control_socket;
    struct stat st;
    snprintf(folder, sizeof folder, "%s", path);
    to_parent(folder);
    bool is_there = stat(folder, &st) == 0;
    if (strlen(path) > CONTROL_PATH_MAX)
        refuse(c, "control", "socket", "%s: longer than %d bytes", path, CONTROL_PATH_MAX);
    else if (is_there && S_ISDIR(st.st_mode) && (st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
        refuse(c, "control", "socket", "anyone can write to the folder %s: chmod o-w %s", folder,
               folder);
    else if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
        refuse(c, "control", "socket", "%s exists and is no socket", path);
    else if (strcmp(folder, c->config->state) != 0 && (is_there || !c->on_behalf))
        check_folder(c, "control", "socket", folder, 1);
}

static void check_files(struct checking *c) {
    char in_state[CONFIG_PATH_MAX + 8];
    struct stat st;
    snprintf(in_state, sizeof in_state, "%s/files", c->config->state);
    if (strcmp(c->config->files_directory, in_state) != 0 || stat(in_state, &st) == 0)
        check_folder(c, "files", "directory", c->config->files_directory, 1);
}

/* ---- The rest ---- */

static bool is_member(gid_t wanted) {
    gid_t groups[GROUPS_MAX];
    int n = getgroups(GROUPS_MAX, groups);
    for (int i = 0; i < n; i++)
        if (groups[i] == wanted)
            return true;
    return getegid() == wanted;
}

static void check_group(struct checking *c) {
    const char *name = c->config->control_group;
    struct control_config control = {.path = c->config->control_socket,
                                     .mode = (mode_t)c->config->control_mode};
    char why[FAILURE_MAX];
    if (*name == '\0')
        return;
    errno = 0;
    const struct group *group = getgrnam(name);
    if (!group) {
        refuse(c, "control", "group", "there is no group %s", name);
        return;
    }
    control.gid = group->gr_gid;
    if (c->user != 0 && !c->on_behalf && !is_member(group->gr_gid))
        refuse(
            c, "control", "group",
            "user %u is not in the group %s, and cannot give it the socket: add it to that group "
            "(systemd: SupplementaryGroups=%s)",
            (unsigned)c->user, name, name);
    else if (c->notes && control_group_check(&control, why) < 0)
        config_blame(c->source, c->config, "control", "group", why, c->notes);
}

/* A service's credentials exist only while it runs: root may check without them. */
static void check_secret(struct checking *c) {
    static const char credentials[] = "/run/credentials/";
    const char *path = c->config->network_secret_file;
    char why[FAILURE_MAX];
    if (*path == '\0')
        return;
    int r = state_secret_check(path, c->user, why);
    bool is_credential = strncmp(path, credentials, sizeof credentials - 1) == 0;
    if (r < 0 && !(r == -ENOENT && is_credential && geteuid() == 0))
        refuse(c, "network", "secret_file", "%s", why);
}

static void check_listen(struct checking *c) {
    for (size_t i = 0; i < c->config->listen.n && !c->config->listen_by_default; i++) {
        const struct address *address = &c->config->listen.v[i];
        char text[ADDRESS_TEXT_MAX], why[FAILURE_MAX];
        int r = udp_check(address);
        address_format(address, true, text);
        if (r == -EADDRNOTAVAIL && !address_is_unspecified(address) && c->notes) {
            failure(why, 0, "%s is not an address of this machine, at least not yet", text);
            config_blame(c->source, c->config, "network", "listen", why, c->notes);
        } else if (r < 0 && r != -EADDRNOTAVAIL) {
            refuse(c, "network", "listen", "%s: %s%s", text, strerror(-r),
                   r == -EACCES ? ": ports below 1024 are for root" : "");
        } else if (r < 0 && address_is_unspecified(address)) {
            refuse(c, "network", "listen", "%s: this machine has no addresses of that family",
                   text);
        }
    }
}

int config_check(const struct config_source *source, const struct config *config, int what,
                 struct config_mistakes *mistakes, struct config_mistakes *notes) {
    struct checking c = {.source = source, .config = config, .mistakes = mistakes, .notes = notes};
    begin(&c);
    if (what & CONFIG_CHECK_SECRET)
        check_secret(&c);
    if (what & CONFIG_CHECK_GROUP)
        check_group(&c);
    if (what & CONFIG_CHECK_PLACES) {
        check_state(&c);
        check_files(&c);
        check_socket(&c);
        check_listen(&c);
    }
    return c.result;
}
