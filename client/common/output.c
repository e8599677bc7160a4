/* See output.h. */
#include "client/common/output.h"

#include "shared/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define PIECE 4096

/* Only the first failure has an errno. Later calls return that one, since stdio only remembers that
 * there was an error. */
int output_flush(void) {
    static int first;
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    if (first == 0)
        first = errno ? -errno : -EIO;
    return first;
}

void output_escaped(const uint8_t *bytes, size_t length) {
    char piece[PIECE];
    size_t used;
    for (size_t at = 0; at < length; at += used) {
        size_t n = text_escape(bytes + at, length - at, piece, sizeof piece, &used);
        fwrite(piece, 1, n, stdout);
    }
}

void output_guard(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null",
                        /* Takes the lowest free number, which is fd. */
                        fd == 0 ? O_WRONLY : O_RDONLY);
}
