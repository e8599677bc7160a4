/* What the parts of the store do for each other: the operations, carried out within a transaction.
 * Their own failure is returned; the disk's is in db->error (store_sql.h). */
#ifndef P2PD_STORE_PRIVATE_H
#define P2PD_STORE_PRIVATE_H

#include "daemon/io/store/store_sql.h"

/* store_sql.c. Bodies in blocks. */
void store_body_put(struct store_db *db, int64_t body, uint64_t offset, const uint8_t *bytes,
                    uint32_t length);
void store_body_delete(struct store_db *db, int64_t body);
/* Copy [offset, offset + length) of a body of blocks; one with holes is damage. */
void store_body_read(struct store_db *db, int64_t body, uint64_t offset, uint32_t length,
                     uint8_t *ret_bytes);
/* The beginning of a body, `length` of its `size` bytes: from its blocks or, if there are none
 * (0), from the column that is next in the query. Damage, and want of memory, is in db->error;
 * then NULL. */
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
/* A row whose body is elsewhere. */
void store_out_insert_file(struct store_db *db, const struct out_record *record);
void store_out_record(struct query *query, struct out_record *ret_record);
/* The row goes, with its body. False: there is none. */
bool store_out_forget(struct store_db *db, const struct message_id *id);
int store_in_put(struct store_db *db, const struct store_op *op, struct store_result *result);
/* Before a commit, and after a roll-back: the sequences of what was pushed. */
void store_raises_flush(struct store_db *db);
void store_raises_drop(struct store_db *db);
/* At the beginning of a transaction. */
void store_rest_look(struct store_db *db);

/* What stands in the way of what others send: bytes and entries that are wanting. Dropping others'
 * parts mends nothing of what is the sender's own, and nothing mends what is larger than all there
 * may be. */
struct store_need {
    bool is_hopeless;
    uint64_t own_bytes, all_bytes, disk_bytes;
    int64_t own_n, all_n;
};
/* What could give way: how many, as charged to their senders, as charged to all, and what of the
 * disk it would give back. */
struct store_stale {
    int64_t n;
    uint64_t bytes, charged, disk, windows; /* disk: without the windows */
};
/* -EDQUOT, -ENOBUFS (others have no more room on the disk), or 0: nothing is wanting. */
int store_need_error(const struct store_need *need);
static inline bool store_need_is_own(const struct store_need *need) {
    return need->own_bytes > 0 || need->own_n > 0;
}
/* Would it be mended, if all that is stale went? If not, none of it need go. */
bool store_need_is_mended(const struct store_need *need, const struct store_stale *own,
                          const struct store_stale *any);
void store_stale_read(struct query *query, struct store_stale *ret_stale); /* ends the query */

/* store_refused.c. The error with which something new was refused in this transaction that wanted
 * no more than this one; 0: there is none. */
int store_refused(struct store_db *db, const struct store_op *op);
/* Something new was refused for what it needs, or was not (0). */
void store_refuse(struct store_db *db, const struct store_op *op, const struct store_need *need,
                  int error);
/* There may be room again. */
void store_refusals_forget(struct store_db *db);

/* store_waiting.c */
int store_in_fetch(struct store_db *db, const struct store_op *op, struct store_result *result,
                   struct store_arena *arena);
void store_in_take(struct store_db *db, const struct store_op *op);
/* The body goes, the row stays as the tombstone. False: there is no such row. */
bool store_in_forget(struct store_db *db, int64_t row, int64_t blocks);
/* Where a message of this sequence stands among those of its sender that wait. */
#define STORE_RENUMBERED_US US_PER_S /* so much later than one with a later sequence */
int64_t store_in_place(struct store_db *db, const struct store_op *op, bool *ret_renumbered);
/* What is wanting for the message of this operation to be here, whole or `held` bytes of it; and
 * for what it holds to grow by the operation's block. A quota of 0 is none. */
void store_usage_need(struct store_db *db, const struct store_op *op, uint64_t held,
                      struct store_need *need);
void store_usage_need_growth(struct store_db *db, const struct store_op *op, uint64_t held,
                             struct store_need *need);
/* By how much what is charged to all for a part grows with the operation's block. */
uint64_t store_usage_growth(const struct store_op *op, uint64_t held);
/* A part: it begins, it grows, it is let go of. */
void store_usage_begin(struct store_db *db, const struct node_id *sender, uint64_t total);
void store_usage_grow(struct store_db *db, uint64_t total, uint64_t held, uint64_t by);
void store_usage_abandon(struct store_db *db, const struct node_id *sender, uint64_t total,
                         uint64_t held);
/* A message of this size is here from now on, or not any more. */
void store_usage_add(struct store_db *db, const struct node_id *sender, enum message_kind kind,
                     uint64_t size);
void store_usage_remove(struct store_db *db, const struct node_id *sender, enum message_kind kind,
                        uint64_t size);
/* Before a commit: write what has changed. After a roll-back: what was counted is not so. */
void store_usage_flush(struct store_db *db);
void store_usage_drop(struct store_db *db);

/* store_disk.c */
/* Once, with the files open. */
void store_disk_open(struct store_db *db, const struct store_config *config);
/* Once SQLite has closed the database. */
void store_disk_close(struct store_db *db);
/* At the beginning of a transaction. */
void store_disk_begin(struct store_db *db);
/* May a message of `whole` bytes come, of which `now` are put? 0 or -ENOSPC. */
int store_disk_take(struct store_db *db, struct disk_share share, uint64_t whole, uint64_t now);
/* The two halves of it: how many bytes are wanting; and it is put. What was dropped in this
 * transaction is to be seen. */
uint64_t store_disk_missing(struct store_db *db, struct disk_share share, uint64_t whole);
void store_disk_promise(struct store_db *db, uint64_t now);
void store_disk_look_again(struct store_db *db);
/* The bytes that may be added to files.directory; and those that would have to go before any
 * may. */
uint64_t store_disk_files_room(struct store_db *db, struct disk_share share, uint64_t *ret_lack);
/* Is there room for a copy of messages.db, and for that sealed? */
bool store_disk_has_copy_room(struct store_db *db);
/* After a commit. */
void store_disk_allocate(struct store_db *db);
/* The disk is full: give away what was kept for this. Outside a transaction, as the next. */
void store_disk_release(struct store_db *db);
/* What was committed goes over from the log, whose room then serves again. */
void store_disk_settle(struct store_db *db);
/* A slice of less, after one that found no room; false: it is the least. And of more again. */
bool store_disk_narrow(struct store_db *db);
void store_disk_widen(struct store_db *db);

/* store_history.c */
int store_history(struct store_db *db, const struct store_op *op, struct store_result *result,
                  struct store_arena *arena);
int store_conversations(struct store_db *db, const struct store_op *op, struct store_result *result,
                        struct store_arena *arena);
void store_forget(struct store_db *db, const struct store_op *op, struct store_result *result);

/* store_file_in.c: blocks of a file of this sender and id are here, and it is not complete. */
bool store_file_in_is_partial(struct store_db *db, const struct store_op *op);

/* store_part.c: messages of which blocks are missing. */
/* May it come, whole or by its first block (`held` NULL), or by a further one? What room it wants
 * is taken then. 0, -EDQUOT, -ENOSPC or -ENOBUFS. */
int store_part_check(struct store_db *db, const struct store_op *op, const uint64_t *held);
/* The same; and if it may not, but could if what is stale gave way, that does: of its sender what
 * is over its own bounds, and else what has not grown for longest, of strangers first, and of
 * strangers alone for a stranger. Never the part that the block is of. */
int store_part_admit(struct store_db *db, const struct store_op *op, const uint64_t *held);
/* Is there a part of this sender and id? */
bool store_part_is_there(struct store_db *db, const struct store_op *op);
/* One whose sender has given it up, or that has not grown since, goes. False: there is none. */
bool store_part_drop_over(struct store_db *db, int64_t before, int *budget);
bool store_part_drop_stale(struct store_db *db, int64_t before, int *budget);
/* Whatever is unfinished of this sender's and has not grown since `before` counts as not grown for
 * ever: the next sweep takes it. */
void store_part_abandon(struct store_db *db, const struct node_id *sender, int64_t before);
/* Bytes of what is unfinished, files too. */
uint64_t store_part_held(struct store_db *db);

/* store_sweep.c. What forgetting a body of this size counts for, in rows: one that is damaged costs
 * a transaction of its own, or a row. */
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
