/* Backup and move: identity, pins and conversations in one file under a passphrase. Files received
 * and files waiting to be sent are not in it, and neither is the network's secret.
 *
 * Threat: the file lies on a disk or a stick that is not ours, for years. So Argon2id with the
 * memory that the machine has to spare, a salt of its own, and a stream that shows truncation and
 * every changed byte; nothing is put in place before its end has been authenticated. */
#ifndef P2PD_BACKUP_H
#define P2PD_BACKUP_H

#include "shared/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BACKUP_PASSPHRASE_MAX 1024

/* Copy the database to a path where no file is: store_snapshot of the running daemon. 0, or
 * negative errno and a line. */
typedef int backup_snapshot(void *context, const char *path, char error[FAILURE_MAX]);

/* Make a backup of the state folder, with everything that is committed, as a private file in that
 * folder. The file has no name any more; the returned descriptor stands at its beginning. Deriving
 * the key takes a second and up to 256 MiB of memory. The descriptor, or negative errno and a
 * line. */
int backup_write(const char *state_folder, backup_snapshot *snapshot, void *context,
                 const uint8_t *passphrase, size_t length, char error[FAILURE_MAX]);

/* The same on a thread of its own; one at a time. */
struct backup;
/* Removes what a daemon left in the folder that was killed while it made a backup, so the folder
 * must be this daemon's alone. `snapshot` and `wake` are called from the thread, `wake` when
 * backup_collect has something. NULL: no memory. */
struct backup *backup_new(const char *state_folder, backup_snapshot *snapshot,
                          void (*wake)(void *context), void *context);
/* Detach from a thread that is at work, which then calls neither any more. Waits for a snapshot
 * under way (cancel it first). Takes NULL. */
void backup_free(struct backup *backup);
/* The passphrase is copied into locked memory. 0; -EBUSY: one is being made; or negative errno. */
int backup_start(struct backup *backup, uint64_t client, const uint8_t *passphrase, size_t length);
/* Take a finished backup. *ret_fd: its descriptor, now the caller's, or negative errno with
 * ret_error. False: none is finished. */
bool backup_collect(struct backup *backup, uint64_t *ret_client, int *ret_fd,
                    char ret_error[FAILURE_MAX]);

/* Read a backup into a state folder (held open and locked by the caller) that has neither an
 * identity nor messages. 0, or negative errno and a line: -EEXIST something is there; -EBADMSG the
 * passphrase is wrong or the file is damaged; then nothing was changed. */
int backup_restore(int fd, int state_folder, const uint8_t *passphrase, size_t length,
                   char error[FAILURE_MAX]);

#endif
