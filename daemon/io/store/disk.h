/* How full a disk may become, and by whom.
 *
 * Threat: others fill the disk, and then nothing can be taken, forgotten or cancelled any more,
 * since each of these has to write first. So what others send is refused earlier than what our own
 * user sends, and that is refused while there is still room for giving room back. */
#ifndef P2PD_DISK_H
#define P2PD_DISK_H

#include "daemon/core/base/limits.h"
#include "daemon/core/seam/store.h"

/* What others send leaves one part in so many of the partition free, DISK_FLOOR bytes at most. */
#define DISK_FLOOR_SHARE 16
/* A percentage of the partition that is to stay free gives way if it cannot be had: at most half of
 * what would be free without our own data is kept free. So a disk which is nearly full of other
 * things still takes small messages. */
#define DISK_PART_LEFT 2

struct disk_space {
    uint64_t size, free; /* the partition's bytes; those that we may write */
};

/* Of the file system on which `path` is. 0 or -errno. */
int disk_look(const char *path, struct disk_space *ret_space);
/* How many more bytes may come. `ours`: the bytes that we hold there already (only used with a
 * percentage). A partition that does not tell its size has no limit. */
uint64_t disk_room(const struct disk_space *space, uint64_t ours, struct disk_share share);
/* How many bytes would have to go before any may come. */
uint64_t disk_lack(const struct disk_space *space, uint64_t ours, struct disk_share share);

#endif
