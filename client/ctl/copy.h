/* Copying a file through a descriptor that the daemon passed to us, hashed on the way. */
#ifndef P2PCTL_COPY_H
#define P2PCTL_COPY_H

#include "client/ctl/progress.h"

#include <stdint.h>
#include <sys/stat.h>

#define COPY_DIGEST_LEN 32

/* Copy until the end. 0, or -errno; *ret_at_source: it was reading that failed. -EFBIG: there is
 * more than `most` bytes. */
int copy_file(int from, int to, uint64_t most, struct progress *progress, uint64_t *ret_size,
              uint8_t ret_digest[COPY_DIGEST_LEN], bool *ret_at_source);

/* A file that is to be read whole, as it was when it was looked at: from where its descriptor
 * stands. What has no size (a pipe) is whatever comes. */
struct copy_source {
    bool has_size;
    uint64_t size;   /* from there to its end */
    struct stat was; /* with has_size */
};
void copy_look(int fd, struct copy_source *ret_source);
/* The most that copy_file may take of it. */
uint64_t copy_most(const struct copy_source *source);
/* `size` bytes were read of it: was that all of it, and has nobody written to it meanwhile? A file
 * that claims to have no bytes and gives some, as those of /proc, is whole if it goes on claiming
 * so. */
bool copy_is_whole(int fd, const struct copy_source *source, uint64_t size);

#endif
