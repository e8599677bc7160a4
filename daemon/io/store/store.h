/* messages.db: everything that must outlive the process, behind a thread of its own, so that an
 * fsync never stalls a relay. The thread commits all operations that wait as one transaction
 * (group commit) and hands the results back in order. What each operation does stands at struct
 * store_op (daemon/core/seam/store.h).
 *
 * Threat: a disk that is full, read-only, failing or lying; a file damaged or written by a newer
 * p2pd; a process killed at any instruction. Rules: nothing is reported before it is durable, a
 * failed transaction changed nothing, and a file that is not understood is refused in words,
 * never repaired, replaced or deleted. */
#ifndef P2PD_STORE_H
#define P2PD_STORE_H

#include "daemon/core/seam/step.h"
#include "daemon/io/store/disk.h"
#include "shared/failure.h"

struct store;

/* With more operations than this waiting, store_submit waits for the disk, because nobody else can
 * hold them and none may be lost. It should not come to that: new parcels (INBOX_PUTS_MAX, and a
 * parcel) and clients (STORE_QUEUE_FULL) are held back before. 12,288 operations are 8 MB with
 * their results. */
#define STORE_QUEUE_MAX 12288
#define STORE_BLOCK_MAX 65536u /* bytes in one IN_PUT; what a parcel can hold at most */

struct store_config {
    const char *path;  /* messages.db */
    const char *state; /* the state folder: spool/ in it has the files that we send */
    const char *files; /* files.directory: those that we receive; made when the first one comes */
    int (*look)(const char *path, struct disk_space *ret_space); /* NULL: disk_look */
};
/* Open or create the database (0600) in an existing private folder. 0, or -errno with the reason
 * in ret_error: -EUCLEAN damaged, -EPROTO by a newer p2pd or not ours, -EROFS, -EACCES, -EBUSY
 * in use, -EINVAL no regular file... */
int store_open(struct store **ret_store, const struct store_config *config,
               char ret_error[FAILURE_MAX]);

/* Read everything that the node wants at start. Call before store_start. The arrays belong to the
 * store until store_load_free. 0 or -errno. */
int store_load(struct store *store, struct node_boot *ret_boot);
void store_load_free(struct store *store);

/* Limit how many files the store has open at once. Call before store_start; without it the store
 * opens as many as it likes (some hundred). */
void store_limit_files(struct store *store, size_t n);

/* Start the thread. `wake` is called from it, once for every transaction, when results wait: it
 * may do no more than an ev_async_send. 0 or -errno. */
int store_start(struct store *store, void (*wake)(void *context), void *context);

/* Queue n operations (the structs are copied). Those of one call are in one transaction. Waits
 * while STORE_QUEUE_MAX are waiting. 0, or -ENOMEM: none was queued. */
int store_submit(struct store *store, const struct store_op *ops, size_t n);

/* With so many operations waiting, the caller should ask for no more: a few further calls might
 * have to wait. */
#define STORE_QUEUE_FULL 2048
bool store_is_full(struct store *store);

/* Take up to `max` results, in the order of their operations; returns how many. What they point
 * to stays until store_release, which gives back all that was collected so far. Call until it
 * returns 0 after every wake. */
size_t store_collect(struct store *store, struct store_result *ret_results, size_t max);
void store_release(struct store *store);

/* Copy the database, as it is at some instant during the call, into a new file, and wait until that
 * is done. For a thread of the caller's own, between store_start and store_stop, one at a time
 * (-EBUSY). Operations go on meanwhile. 0, or negative errno and a line; -ECANCELED after
 * store_snapshot_cancel, which also refuses all later copies. */
int store_snapshot(struct store *store, const char *path, char ret_error[FAILURE_MAX]);
void store_snapshot_cancel(struct store *store);

/* Finish what is queued, end the thread, checkpoint, close, free. Results that were not collected
 * are lost, but what they confirm is on disk. Takes NULL. */
void store_stop(struct store *store);

/* For tests: act as a disk with room for this many 4 KiB pages; 0: no limit. Takes effect with the
 * next transaction. */
void store_limit_pages(struct store *store, uint32_t pages);
/* For tests: how many steps SQLite's virtual machine has made so far, which measures the cost of an
 * operation on any machine. */
uint64_t store_steps(struct store *store);

#endif
