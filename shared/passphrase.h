/* A passphrase from the terminal, without showing it, or from a file. */
#ifndef P2PD_PASSPHRASE_H
#define P2PD_PASSPHRASE_H

#include <stddef.h>
#include <sys/types.h>

#define PASSPHRASE_ERROR_MAX 200

/* Ask at the terminal, twice if `again`. The length (the line's end, LF or CR LF, is not part of
 * it), or negative errno and a line: -ENXIO there is no terminal, -EINVAL the two differ, -EFBIG
 * longer than `room`. */
ssize_t passphrase_ask(const char *prompt, int again, char *ret_bytes, size_t room,
                       char error[PASSPHRASE_ERROR_MAX]);
/* The first line of a file ("-": standard input). As above. */
ssize_t passphrase_read(const char *path, char *ret_bytes, size_t room,
                        char error[PASSPHRASE_ERROR_MAX]);

#endif
