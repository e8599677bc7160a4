/* What the parts of the store do for each other: the operations, carried out within a transaction.
 * Their own failure is returned; the disk's is in db->error (store_sql.h). */
#ifndef P2PD_STORE_PRIVATE_H
#define P2PD_STORE_PRIVATE_H

#include "daemon/io/store/store_sql.h"

/* store_sql.c: bodies in blocks. */
void store_body_put(struct store_db *db, int64_t body, uint64_t offset, const uint8_t *bytes,
                    uint32_t length);
void store_body_delete(struct store_db *db, int64_t body);
/* Copy [offset, offset + length) of a body in blocks; a body with holes is damage. */
void store_body_read(struct store_db *db, int64_t body, uint64_t offset, uint32_t length,
                     uint8_t *ret_bytes);
/* Load the first `length` of a body's `size` bytes, from its blocks or, if it has none (0), from
 * the query's next column. NULL: damage or want of memory, which is in db->error. */
const uint8_t *store_body_load(struct query *query, struct store_arena *arena, int64_t blocks,
                               uint64_t size, uint64_t length);

/* store_schema.c. On failure everything is closed again. */
int store_db_open(struct store_db *db, const char *path, char ret_error[FAILURE_MAX]);
void store_db_close(struct store_db *db);
int store_db_load(struct store_db *db, struct store_arena *arena, struct node_boot *ret_boot);

/* store_message.c */
int store_out_put(struct store_db *db, const struct store_op *op, struct store_result *result);
int store_out_state(struct store_db *db, const struct store_op *op);
int store_out_progress(struct store_db *db, const struct store_op *op);
int store_out_readdress(struct store_db *db, const struct store_op *op);
int store_out_read(struct store_db *db, const struct store_op *op, struct store_result *result,
                   struct store_arena *arena);
int store_out_pending(struct store_db *db, const struct store_op *op, struct store_result *result,
                      struct store_arena *arena);
int store_out_find(struct store_db *db, const struct store_op *op, struct store_result *result,
                   struct store_arena *arena);
bool store_out_find_id(struct store_db *db, const struct message_id *id,
                       struct out_record *ret_record);
/* Enter the row of a message whose body is elsewhere. */
void store_out_insert_file(struct store_db *db, const struct out_record *record);
void store_out_record(struct query *query, struct out_record *ret_record);
/* Delete a row and its body. False: there is none. */
bool store_out_forget(struct store_db *db, const struct message_id *id);
int store_in_put(struct store_db *db, const struct store_op *op, struct store_result *result);
/* The sequences of pushed messages: write them before a commit, or drop them after a rollback. */
void store_raises_flush(struct store_db *db);
void store_raises_drop(struct store_db *db);
/* At the beginning of a transaction. */
void store_rest_look(struct store_db *db);

/* What is missing for something that others send: bytes and entries. What the sender's own limits
 * lack, dropping others' parts does not mend; and nothing mends what is larger than the whole limit
 * (hopeless). */
struct store_need {
    bool is_hopeless;
    uint64_t own_bytes, all_bytes, disk_bytes;
    int64_t own_n, all_n;
};
/* What stale parts would give back if they were dropped: their number, their bytes as charged to
 * their senders, as charged to all, and on the disk. */
struct store_stale {
    int64_t n;
    uint64_t bytes, charged, disk, windows; /* disk: without the windows */
};
/* -EDQUOT, -ENOBUFS (no more room on the disk for what others send), or 0: nothing is missing. */
int store_need_error(const struct store_need *need);
static inline bool store_need_is_own(const struct store_need *need) {
    return need->own_bytes > 0 || need->own_n > 0;
}
/* Would dropping everything that is stale mend the need? If not, nothing need be dropped. */
bool store_need_is_mended(const struct store_need *need, const struct store_stale *own,
                          const struct store_stale *any);
void store_stale_read(struct query *query, struct store_stale *ret_stale); /* ends the query */

/* store_refused.c. In this transaction, was something new refused that needed no more than this?
 * Returns the error with which; 0: no. */
int store_refused(struct store_db *db, const struct store_op *op);
/* Note that something new was refused for what it needs (`error` not 0). */
void store_refuse(struct store_db *db, const struct store_op *op, const struct store_need *need,
                  int error);
/* There may be room again: forget what was refused. */
void store_refusals_forget(struct store_db *db);

/* store_waiting.c */
int store_in_fetch(struct store_db *db, const struct store_op *op, struct store_result *result,
                   struct store_arena *arena);
void store_in_take(struct store_db *db, const struct store_op *op);
/* Delete the body; the row stays as the tombstone. False: there is no such row. */
bool store_in_forget(struct store_db *db, int64_t row, int64_t blocks);
/* The place of a message with this sequence among its sender's waiting ones. *ret_renumbered: the
 * sender numbers its messages anew. */
/* Sent this much later than one with a later sequence: renumbered. */
#define STORE_RENUMBERED_US US_PER_S
int64_t store_in_place(struct store_db *db, const struct store_op *op, bool *ret_renumbered);
/* What is missing for the message of this operation to be here, whole or with `held` bytes of it;
 * and for a part that holds `held` bytes to grow by the operation's block. A quota of 0 is no
 * limit. */
void store_usage_need(struct store_db *db, const struct store_op *op, uint64_t held,
                      struct store_need *need);
void store_usage_need_growth(struct store_db *db, const struct store_op *op, uint64_t held,
                             struct store_need *need);
/* By how many bytes the operation's block makes the charge to all grow. */
uint64_t store_usage_growth(const struct store_op *op, uint64_t held);
/* A part begins, grows, or is given up: change the charges. */
void store_usage_begin(struct store_db *db, const struct node_id *sender, uint64_t total);
void store_usage_grow(struct store_db *db, uint64_t total, uint64_t held, uint64_t by);
void store_usage_abandon(struct store_db *db, const struct node_id *sender, uint64_t total,
                         uint64_t held);
/* A complete message of this size is here from now on, or not any more: change the charges. */
void store_usage_add(struct store_db *db, const struct node_id *sender, enum message_kind kind,
                     uint64_t size);
void store_usage_remove(struct store_db *db, const struct node_id *sender, enum message_kind kind,
                        uint64_t size);
/* Before a commit: write the charges that have changed. After a rollback: forget them. */
void store_usage_flush(struct store_db *db);
void store_usage_drop(struct store_db *db);

/* store_disk.c */
/* Call once, when the files are open. */
void store_disk_open(struct store_db *db, const struct store_config *config);
/* Once SQLite has closed the database. */
void store_disk_close(struct store_db *db);
/* At the beginning of a transaction. */
void store_disk_begin(struct store_db *db);
/* May a message of `whole` bytes come, of which `now` bytes are put by this operation? 0 or
 * -ENOSPC. */
int store_disk_take(struct store_db *db, struct disk_share share, uint64_t whole, uint64_t now);
/* The two halves of store_disk_take: how many bytes are missing; and promise the bytes that are
 * put. `again`: something was dropped in this transaction, so look at the disk anew. */
uint64_t store_disk_missing(struct store_db *db, struct disk_share share, uint64_t whole);
void store_disk_promise(struct store_db *db, uint64_t now);
void store_disk_look_again(struct store_db *db);
/* How many more bytes may be added to files.directory. *ret_lack: how many would have to go before
 * any may come. */
uint64_t store_disk_files_room(struct store_db *db, struct disk_share share, uint64_t *ret_lack);
/* Is there room for a copy of messages.db, and for the same once more, sealed? */
bool store_disk_has_copy_room(struct store_db *db);
/* After a commit. */
void store_disk_allocate(struct store_db *db);
/* The disk is full: delete the reserve file. Outside a transaction, as the next function. */
void store_disk_release(struct store_db *db);
/* Checkpoint: copy what was committed from the log into the database, so that the log's room can be
 * used again. */
void store_disk_settle(struct store_db *db);
/* Use smaller slices, after one that found no room; false: they are as small as can be. And larger
 * ones again. */
bool store_disk_narrow(struct store_db *db);
void store_disk_widen(struct store_db *db);

/* store_history.c */
int store_history(struct store_db *db, const struct store_op *op, struct store_result *result,
                  struct store_arena *arena);
int store_conversations(struct store_db *db, const struct store_op *op, struct store_result *result,
                        struct store_arena *arena);
void store_forget(struct store_db *db, const struct store_op *op, struct store_result *result);

/* store_file_in.c: are blocks of an incomplete file with this sender and id here? */
bool store_file_in_is_partial(struct store_db *db, const struct store_op *op);

/* store_part.c: messages of which blocks are missing. */
/* May a message come, whole or with its first block (`held` NULL), or another of its blocks? If so,
 * the room that it needs is promised to it. 0, -EDQUOT, -ENOSPC or -ENOBUFS. */
int store_part_check(struct store_db *db, const struct store_op *op, const uint64_t *held);
/* The same, but if it may not come, stale parts are dropped if that is enough: the sender's own if
 * its own limits are exceeded, else those that have not grown for longest, strangers' first, and
 * for a stranger only strangers'. Never the part to which the block belongs. */
int store_part_admit(struct store_db *db, const struct store_op *op, const uint64_t *held);
/* Is there a part of this sender and id? */
bool store_part_is_there(struct store_db *db, const struct store_op *op);
/* Drop a part whose sender has given it up, or that has not grown since `before`. False: there is
 * none. */
bool store_part_drop_over(struct store_db *db, int64_t before, int *budget);
bool store_part_drop_stale(struct store_db *db, int64_t before, int *budget);
/* Mark all unfinished messages and files of this sender that have not grown since `before` as
 * stale: the next sweep drops them. */
void store_part_abandon(struct store_db *db, const struct node_id *sender, int64_t before);
/* How many bytes unfinished messages and files hold. */
uint64_t store_part_held(struct store_db *db);

/* store_sweep.c. The cost of forgetting a body of this size, in rows. A damaged size costs one row,
 * or as much as a whole transaction. */
int store_row_cost(int64_t size);
/* One slice of db->sweep; clears is_left when nothing is left. */
void store_sweep(struct store_db *db);

/* store_copy.c: a copy of the database while it is in use, some pages a step. */
struct store_copy {
    sqlite3 *to;
    sqlite3_backup *backup;
};
/* -EAGAIN: there is more to do. 0; or negative errno and a line (-ECANCELED if `stop`), and then no
 * file is left. */
int store_copy_step(struct store_db *db, struct store_copy *copy, const char *path, bool stop,
                    char ret_error[FAILURE_MAX]);

#endif
