/* The state folder: one daemon at a time in it, the identity, and the network key. messages.db
 * beside them is the store's.
 *
 * Threat: other users of the machine. The folder and the secrets in it must belong to us alone;
 * otherwise they are refused, with the command that mends it. An identity is never overwritten:
 * losing it is losing every correspondent's trust. Whoever can read the cache of the network key
 * has that key, but not the secret from which it was derived: the cache's tag is keyed by the
 * identity, so whoever wants to try secrets against it needs the identity's file as well. */
#ifndef P2PD_STATE_H
#define P2PD_STATE_H

#include "daemon/core/base/base.h"
#include "shared/failure.h"

#include <sys/types.h>

#define NETWORK_SECRET_MAX 1024

struct state;

/* In sodium_malloc memory (state_secrets_new), since core dumps and swap outlive a process. */
struct state_secrets {
    uint8_t node_seed[KEY_LEN], link_secret[KEY_LEN], network_key[KEY_LEN];
};
struct state_secrets *state_secrets_new(void);
/* Wipes; takes NULL. */
void state_secrets_free(struct state_secrets *secrets);

/* All of these: 0, or negative errno and a line for people. */

/* Make the folder and its parents (0700) where they are missing, check it, and lock it: -EBUSY
 * if a daemon has it. */
int state_open(struct state **ret_state, const char *path, char error[FAILURE_MAX]);
/* The same for root at work in another user's folder. From here on this process is that user
 * (*ret_owner; 0: nothing has changed), so that files which it makes there are that user's, and
 * links which that user has put there lead it only where that user may go. */
int state_open_as_owner(struct state **ret_state, const char *path, uid_t *ret_owner,
                        char error[FAILURE_MAX]);
int state_folder(const struct state *state); /* its descriptor, the state's own */
/* While a daemon runs: is everything in the folder still there? Mends what can be mended. 0, or
 * negative errno and what is wrong and what to do. */
int state_check(struct state *state, char error[FAILURE_MAX]);
/* Unlocks; takes NULL. */
void state_close(struct state *state);

/* Read identity.key, or make it. -EPERM: others can read it; -EBADMSG: it is damaged. */
int state_identity(struct state *state, struct state_secrets *secrets, bool *ret_created,
                   char error[FAILURE_MAX]);
/* Could the daemon of `user` read its network's secret from that file? -ENOENT: there is none. */
int state_secret_check(const char *path, uid_t user, char error[FAILURE_MAX]);
/* Derive the network key from its name and the file that holds its secret ("" = an open
 * network); needs the identity. Takes a moment and 64 MiB for a new secret, after which it is
 * cached. A cache that cannot be written is no error. */
int state_network_key(struct state *state, struct state_secrets *secrets, const char *name,
                      const char *secret_file, char error[FAILURE_MAX]);

#endif
