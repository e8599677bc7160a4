/* Copying a file through a descriptor that the daemon passed to us, hashed on the way. */
#ifndef P2PCTL_COPY_H
#define P2PCTL_COPY_H

#include "client/ctl/progress.h"

#include <stdint.h>
#include <sys/stat.h>

#define COPY_DIGEST_LEN 32

/* Copy until the end. 0, or -errno; *ret_at_source: reading failed, not writing. -EFBIG: there are
 * more than `most` bytes. */
int copy_file(int from, int to, uint64_t most, struct progress *progress, uint64_t *ret_size,
              uint8_t ret_digest[COPY_DIGEST_LEN], bool *ret_at_source);

/* A file that is to be read completely, from its descriptor's position, as it was at copy_look().
 * Something without a size (a pipe) is read until its end. */
struct copy_source {
    bool has_size;
    uint64_t size;   /* from the descriptor's position to the end */
    struct stat was; /* with has_size */
};
void copy_look(int fd, struct copy_source *ret_source);
/* The `most` for copy_file. */
uint64_t copy_most(const struct copy_source *source);
/* `size` bytes were read of the file: was that all of it, and has nobody written to it meanwhile? A
 * file that claims to have no bytes and gives some, as those of /proc do, is complete if it still
 * claims that. */
bool copy_is_whole(int fd, const struct copy_source *source, uint64_t size);

#endif
