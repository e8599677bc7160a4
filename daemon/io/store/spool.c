#include "daemon/io/store/spool.h"
#include "shared/portable.h"
#include "shared/text.h"

#include <dirent.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>

#define UP ".up"
#define RANDOM_LEN 16
#define ID_TEXT_MAX (2 * MESSAGE_ID_LEN + 1)

_Static_assert(2 * RANDOM_LEN + sizeof UP - 1 <= SPOOL_NAME_MAX, "a name of ours has room");

int spool_init(struct spool *spool, const char *state_folder) {
    char path[PATH_MAX];
    spool->folder = -1;
    if (snprintf(path, sizeof path, "%s/spool", state_folder) >= (int)sizeof path)
        return -ENAMETOOLONG;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    spool->folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return spool->folder < 0 ? -errno : 0;
}

void spool_deinit(struct spool *spool) {
    if (spool->folder >= 0)
        close(spool->folder);
    spool->folder = -1;
}

/* A name that spool_create() may have made: letters, digits and one dot, not at the beginning,
 * ending in .up. So it is no path, and no message's file. */
static bool is_up_name(const char *name) {
    size_t length = strnlen(name, SPOOL_NAME_MAX + 1), dots = 0;
    if (length > SPOOL_NAME_MAX || length < sizeof UP || name[0] == '.')
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && (c < '0' || c > '9') && c != '.')
            return false;
        dots += c == '.';
    }
    return dots == 1 && strcmp(name + length - (sizeof UP - 1), UP) == 0;
}

int spool_create(const struct spool *spool, char ret_name[SPOOL_NAME_MAX + 1], int *ret_fd) {
    uint8_t random[RANDOM_LEN];
    char name[SPOOL_NAME_MAX + 1];
    randombytes_buf(random, sizeof random);
    text_hex(random, sizeof random, name);
    memcpy(name + 2 * RANDOM_LEN, UP, sizeof UP);
    int fd =
        openat(spool->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    memcpy(ret_name, name, 2 * RANDOM_LEN + sizeof UP);
    *ret_fd = fd;
    return 0;
}

int spool_remove(const struct spool *spool, const char *name) {
    if (!is_up_name(name))
        return -EINVAL;
    return unlinkat(spool->folder, name, 0) < 0 ? -errno : 0;
}

static int open_read(const struct spool *spool, const char *name) {
    /* O_NONBLOCK: a FIFO in the file's place must not block us. */
    int fd = openat(spool->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 ? errno == ELOOP ? -ESTALE : -errno : fd;
}

/* Sync the content before the file gets its name, so that a name on the disk always leads to the
 * whole file. */
static int adopt_open(const struct spool *spool, int fd, const char *name, const char *hex,
                      uint64_t size) {
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size != size)
        return -ESTALE;
    int r = portable_sync_data(fd);
    if (r < 0)
        return r;
    if (renameat(spool->folder, name, spool->folder, hex) < 0)
        return -errno;
    if (fsync(spool->folder) < 0) {
        r = -errno;
        renameat(spool->folder, hex, spool->folder, name);
    }
    return r;
}

int spool_adopt(const struct spool *spool, const char *name, const struct message_id *id,
                uint64_t size) {
    char hex[ID_TEXT_MAX];
    if (!is_up_name(name))
        return -EINVAL;
    int fd = open_read(spool, name);
    if (fd < 0)
        return fd;
    text_hex(id->bytes, MESSAGE_ID_LEN, hex);
    int r = adopt_open(spool, fd, name, hex, size);
    close(fd);
    return r;
}

int spool_give_back(const struct spool *spool, const struct message_id *id, const char *name) {
    char hex[ID_TEXT_MAX];
    text_hex(id->bytes, MESSAGE_ID_LEN, hex);
    if (!is_up_name(name))
        return -EINVAL;
    return renameat(spool->folder, hex, spool->folder, name) < 0 ? -errno : 0;
}

int spool_open(const struct spool *spool, const struct message_id *id) {
    char hex[ID_TEXT_MAX];
    text_hex(id->bytes, MESSAGE_ID_LEN, hex);
    return open_read(spool, hex);
}

int spool_delete(const struct spool *spool, const struct message_id *id) {
    char hex[ID_TEXT_MAX];
    text_hex(id->bytes, MESSAGE_ID_LEN, hex);
    return unlinkat(spool->folder, hex, 0) < 0 ? -errno : 0;
}

static bool is_wanted_name(const char *name,
                           bool (*is_wanted)(void *context, const struct message_id *id),
                           void *context) {
    struct message_id id;
    return strlen(name) == 2 * MESSAGE_ID_LEN && text_unhex(name, id.bytes, MESSAGE_ID_LEN) == 0 &&
           is_wanted(context, &id);
}

int spool_clean(const struct spool *spool,
                bool (*is_wanted)(void *context, const struct message_id *id), void *context) {
    int fd = openat(spool->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    if (!folder) {
        int error = -errno;
        if (fd >= 0)
            close(fd);
        return error;
    }
    while ((entry = readdir(folder)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !is_wanted_name(entry->d_name, is_wanted, context))
            /* Fails for a folder: it is not ours, and stays. */
            unlinkat(spool->folder, entry->d_name, 0);
    closedir(folder);
    return 0;
}
