/* STATE/spool: files that we send, from the moment a client gets a descriptor to fill until the
 * message is final. RANDOM.up belongs to a client's connection, <message id in hex> to a pending
 * message of the store.
 *
 * Threat: names come back from clients, so they are looked at before they are used; a client may
 * keep its descriptor and write on after it said that it was done, which its recipient notices by
 * the digest. Nothing here follows a symbolic link. */
#ifndef P2PD_SPOOL_H
#define P2PD_SPOOL_H

#include "daemon/core/seam/types.h"

struct spool {
    int folder; /* -1: not open */
};

/* Make the folder (0700) in the state folder if it is missing, and open it. All functions here
 * return 0 or -errno, unless they say otherwise. Two threads may have one folder open at the same
 * time. */
int spool_init(struct spool *spool, const char *state_folder);
void spool_deinit(struct spool *spool);

/* A fresh file (0600), open for writing; the caller closes it. */
int spool_create(const struct spool *spool, char ret_name[SPOOL_NAME_MAX + 1], int *ret_fd);
/* Remove a file that spool_create made. -EINVAL: spool_create makes no such names. */
int spool_remove(const struct spool *spool, const char *name);

/* Make an uploaded file the file of a message, durably. On errors nothing has changed: -EINVAL: no
 * name of spool_create's; -ENOENT; -ESTALE: not a regular file of this size. */
int spool_adopt(const struct spool *spool, const char *name, const struct message_id *id,
                uint64_t size);
/* Undo an adoption. */
int spool_give_back(const struct spool *spool, const struct message_id *id, const char *name);
/* Open a message's file for reading: the descriptor, or -errno. */
int spool_open(const struct spool *spool, const struct message_id *id);
int spool_delete(const struct spool *spool, const struct message_id *id);

/* At start: remove all but the files of messages that `is_wanted` knows. */
int spool_clean(const struct spool *spool,
                bool (*is_wanted)(void *context, const struct message_id *id), void *context);

#endif
