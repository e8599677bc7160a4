/* How full a disk may become, and by whom.
 *
 * Threat: others fill the disk, and then nothing can be taken, forgotten or cancelled any more:
 * each of these has to write first. So what others send ends earlier than what our own user sends,
 * and that ends before there is no room for giving room back. */
#ifndef P2PD_DISK_H
#define P2PD_DISK_H

#include "daemon/core/base/limits.h"
#include "daemon/core/seam/store.h"

/* What stays free of what others send: such a part of a partition, DISK_FLOOR at most. */
#define DISK_FLOOR_SHARE 16
/* A share that is to stay free yields where it could not: to half of what would be free without
 * what we hold, so that a disk which is nearly full of other things still takes small messages. */
#define DISK_PART_LEFT 2

struct disk_space {
    uint64_t size, free; /* the partition's bytes; those that we may write */
};

/* Of the file system on which `path` is. 0 or -errno. */
int disk_look(const char *path, struct disk_space *ret_space);
/* How many bytes more may come. `ours`: what we hold there already (of use for a percentage alone).
 * A partition that does not say its size has no bound. */
uint64_t disk_room(const struct disk_space *space, uint64_t ours, struct disk_share share);
/* How many bytes would have to go before any may come. */
uint64_t disk_lack(const struct disk_space *space, uint64_t ours, struct disk_share share);

#endif
