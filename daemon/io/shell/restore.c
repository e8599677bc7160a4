/* See restore.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "daemon/io/shell/restore.h"

#include "daemon/io/system/backup.h"
#include "daemon/io/system/process.h"
#include "daemon/io/system/state.h"
#include "shared/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

static int complain(const char *what, const char *why) {
    fprintf(stderr, "p2pd: %s: %s\n", what, why);
    return EXIT_FAILURE;
}

static int restore(const struct options *options, const struct config *config, int fd,
                   char passphrase[BACKUP_PASSPHRASE_MAX]) {
    struct state *state = NULL;
    char error[FAILURE_MAX];
    const char *file = options->passphrase_file;
    ssize_t length =
        *file ? passphrase_read(file, passphrase, BACKUP_PASSPHRASE_MAX, error)
              : passphrase_ask("Passphrase: ", 0, passphrase, BACKUP_PASSPHRASE_MAX, error);
    if (length < 0)
        return complain(options->restore, error);
    uid_t owner = 0;
    if (state_open_as_owner(&state, config->state, &owner, error) < 0)
        return complain(options->restore, error);
    int r =
        backup_restore(fd, state_folder(state), (const uint8_t *)passphrase, (size_t)length, error);
    state_close(state);
    if (r < 0)
        return complain(options->restore, error);
    if (owner != 0)
        printf("as user %u, to whom the folder belongs: ", (unsigned)owner);
    printf("restored into %s. The node that this backup was made of must not run any more: two of "
           "one identity disturb each other\n",
           config->state);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int restore_run(const struct options *options, const struct config *config) {
    char error[FAILURE_MAX];
    if (process_prepare(error) < 0)
        return complain(options->restore, error);
    int fd = open(options->restore, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return complain(options->restore, strerror(errno));
    char *passphrase = sodium_malloc(BACKUP_PASSPHRASE_MAX);
    int code = passphrase ? restore(options, config, fd, passphrase)
                          : complain(options->restore, "out of locked memory");
    sodium_free(passphrase);
    close(fd);
    return code;
}
