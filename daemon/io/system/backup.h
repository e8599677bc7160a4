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

/* Copies the database to a path where nothing is: store_snapshot, of the running daemon. 0, or
 * negative errno and a line. */
typedef int backup_snapshot(void *context, const char *path, char error[FAILURE_MAX]);

/* Make a backup of the state folder: a private file in it that has no name any more, to be read
 * from its beginning. What is committed is in it. Takes a second and up to 256 MiB of memory for
 * the passphrase. The descriptor, or negative errno and a line. */
int backup_write(const char *state_folder, backup_snapshot *snapshot, void *context,
                 const uint8_t *passphrase, size_t length, char error[FAILURE_MAX]);

/* The same on a thread of its own; one at a time. */
struct backup;
/* What a daemon that was killed over a backup has left in the folder goes, so it is to be this
 * one's alone. `snapshot` and `wake` are called from the thread, the latter when backup_collect has
 * something; NULL: no memory. */
struct backup *backup_new(const char *state_folder, backup_snapshot *snapshot,
                          void (*wake)(void *context), void *context);
/* Lets a thread that is at work go, which then calls neither any more: it waits for a snapshot
 * under way (cancel it first). Takes NULL. */
void backup_free(struct backup *backup);
/* The passphrase is copied into locked memory. 0; -EBUSY: one is being made; or negative errno. */
int backup_start(struct backup *backup, uint64_t client, const uint8_t *passphrase, size_t length);
/* False: nothing is done. *ret_fd: the descriptor, the caller's, or negative errno with
 * ret_error. */
bool backup_collect(struct backup *backup, uint64_t *ret_client, int *ret_fd,
                    char ret_error[FAILURE_MAX]);

/* Read a backup into a state folder (held open and locked by the caller) that has neither an
 * identity nor messages. 0, or negative errno and a line: -EEXIST something is there; -EBADMSG the
 * passphrase is wrong or the file is damaged; then nothing was changed. */
int backup_restore(int fd, int state_folder, const uint8_t *passphrase, size_t length,
                   char error[FAILURE_MAX]);

#endif
