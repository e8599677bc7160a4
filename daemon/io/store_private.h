/* What the parts of the store do for each other: the operations, carried out within a transaction.
 * Their own failure is returned; the disk's is in db->error (store_sql.h). */
#ifndef P2PD_STORE_PRIVATE_H
#define P2PD_STORE_PRIVATE_H

#include "daemon/io/store_sql.h"

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

/* store_waiting.c */
int store_in_fetch(struct store_db *db, const struct store_op *op, struct store_result *result,
                   struct store_arena *arena);
void store_in_take(struct store_db *db, const struct store_op *op);
/* The body goes, the row stays as the tombstone. False: there is no such row. */
bool store_in_forget(struct store_db *db, int64_t row, int64_t blocks);
/* Where a message of this sequence stands among those of its sender that wait. */
#define STORE_RENUMBERED_US US_PER_S /* so much later than one with a later sequence */
int64_t store_in_place(struct store_db *db, const struct store_op *op, bool *ret_renumbered);
/* May the message of this operation be here, whole or `held` bytes of it? And may it grow by the operation's block? 0 or -EDQUOT; a
 * quota of 0 is none. */
int store_usage_check(struct store_db *db, const struct store_op *op, uint64_t held);
int store_usage_check_growth(struct store_db *db, const struct store_op *op, uint64_t held);
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
/* At the beginning of a transaction. */
void store_disk_begin(struct store_db *db);
/* May a message of `whole` bytes come, of which `now` are put? 0 or -ENOSPC. */
int store_disk_take(struct store_db *db, struct disk_share share, uint64_t whole, uint64_t now);
/* The bytes that may be added to files.directory. */
uint64_t store_disk_files_room(struct store_db *db, struct disk_share share);
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
/* Are there as many as there may be, of its sender or of all? */
bool store_part_has_many(struct store_db *db, const struct store_op *op);
/* One whose sender has given it up, or that has not grown since, goes. False: there is none. */
bool store_part_drop_over(struct store_db *db, int64_t before, int *budget);
bool store_part_drop_stale(struct store_db *db, int64_t before, int *budget);
/* Room is wanted for what this operation puts: messages that have not grown for an hour give way, but never its own. False: none does. */
bool store_part_give_way(struct store_db *db, const struct store_op *op);
/* Is there a part of this sender and id? */
bool store_part_is_there(struct store_db *db, const struct store_op *op);
/* Whatever is unfinished of this sender's and has not grown since `before` counts as not grown for ever: the next sweep takes it. */
void store_part_abandon(struct store_db *db, const struct node_id *sender, int64_t before);
/* Bytes of what is unfinished, files too. */
uint64_t store_part_held(struct store_db *db);

/* store_sweep.c. What forgetting a body of this size counts for, in rows: one that is damaged costs a transaction of its own, or a row. */
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
