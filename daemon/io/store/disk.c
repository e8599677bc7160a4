#include "daemon/io/store/disk.h"

#include <errno.h>
#include <sys/statvfs.h>

static uint64_t multiply(uint64_t blocks, uint64_t size) {
    return size > 0 && blocks > UINT64_MAX / size ? UINT64_MAX : blocks * size;
}

int disk_look(const char *path, struct disk_space *ret_space) {
    struct statvfs disk;
    if (statvfs(path, &disk) < 0)
        return -errno;
    uint64_t size = (uint64_t)disk.f_frsize;
    ret_space->size = multiply((uint64_t)disk.f_blocks, size);
    ret_space->free = multiply((uint64_t)disk.f_bavail, size);
    return 0;
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t kept_free(const struct disk_space *space, uint64_t ours, struct disk_share share) {
    uint64_t floor = least(DISK_FLOOR, space->size / DISK_FLOOR_SHARE);
    uint64_t left = space->free > UINT64_MAX - ours ? UINT64_MAX : space->free + ours;
    uint64_t part = least(space->size / 100 * share.percent, left / DISK_PART_LEFT);
    if (!share.is_of_others)
        return floor / 2;
    return part > floor ? part : floor;
}

uint64_t disk_room(const struct disk_space *space, uint64_t ours, struct disk_share share) {
    if (space->size == 0)
        return UINT64_MAX;
    uint64_t kept = kept_free(space, ours, share);
    return space->free > kept ? space->free - kept : 0;
}

uint64_t disk_lack(const struct disk_space *space, uint64_t ours, struct disk_share share) {
    uint64_t kept = space->size == 0 ? 0 : kept_free(space, ours, share);
    return kept > space->free ? kept - space->free : 0;
}
