/* Small files that hold secrets: read whole into memory that the caller wipes, written so that a
 * crash leaves the old one, the new one or none, never a half. */
#ifndef P2PD_STATE_FILE_H
#define P2PD_STATE_FILE_H

#include "shared/failure.h"

#include <stddef.h>
#include <sys/types.h>

/* Read the file `name` in `folder` (AT_FDCWD: a path) of at most `room` bytes, checking first
 * that it is a regular file and that nobody but its owner (us or root) has a bit of `forbidden`
 * on it: -EPERM, and how to mend it. `shown` is what messages call it. Returns the length,
 * -EFBIG, or negative errno; -ENOENT without a line. */
ssize_t state_file_read(int folder, const char *name, const char *shown, mode_t forbidden,
                        void *ret_bytes, size_t room, char error[FAILURE_MAX]);

/* The same for the daemon of another user, who must be allowed to read the file. */
ssize_t state_file_read_for(uid_t user, int folder, const char *name, const char *shown,
                            mode_t forbidden, void *ret_bytes, size_t room,
                            char error[FAILURE_MAX]);

/* Write `name` with mode 0600 through a temporary file, both synced. Unless `replace`, an
 * existing one stays: -EEXIST. */
int state_file_write(int folder, const char *name, const void *bytes, size_t length, int replace);

#endif
