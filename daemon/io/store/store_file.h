/* The files beside messages.db: those that we send, in the spool, and those that we receive, in
 * files.directory. store_file.c keeps them open and in step with the transactions; _out, _in and
 * _list carry the operations out.
 *
 * What a file system does cannot be rolled back with a transaction, so everything is in one of
 * three orders. Bytes are written and synced before the commit that claims them. A name that a
 * commit makes superfluous goes after it (deeds). And where a crash falls in between, what is left
 * is a file without a row, which the next start removes, or a row without its file, which begins
 * anew or is dropped: never a row that claims bytes that are not there. */
#ifndef P2PD_STORE_FILE_H
#define P2PD_STORE_FILE_H

#include "daemon/io/store/spool.h"
#include "daemon/io/store/store_private.h"

#include <limits.h>
#include <sodium.h>
#include <time.h>

#define FILE_READERS                                                                               \
    8 /* outbound ones: as many conversations send a file at once without reopening */
/* What one put may read again to bring a digest up: some 10 ms of work. */
#define FILE_CATCH_UP_MAX (4u << 20)
/* While blocks are missing, a put reads so many times its own length at most: whoever makes us
 * close and reopen files by sending many at once pays for it. */
#define FILE_CATCH_UP_FACTOR 16u
#define FILE_PART_MAX (FILE_NAME_MAX + 40) /* NAME.32 hex digits.part */

#define FILE_SUFFIX_MAX 12 /* .4294967295 */

/* Of file_in. On disk. */
enum file_in_state { FILE_IN_PARTIAL = 1, FILE_IN_WAITING, FILE_IN_TAKEN };

struct file_slot {
    int64_t row; /* of file_in; 0: free */
    int fd;
    uint64_t used;    /* as files->clock was */
    uint64_t checked; /* the transaction in which it was compared with what we had left */
    bool is_dirty;
    bool is_over; /* complete: closed after the commit, or its space would outlive it */
    crypto_hash_sha256_state hash;
    uint64_t hashed; /* all below this is in `hash` */
    struct timespec changed;
    off_t size;
};
struct file_reader {
    bool is_open;
    struct message_id id;
    int fd;
    uint64_t used;
};
/* What is to be done after the commit, or undone after a rollback. */
enum file_deed_kind { DEED_ADOPTED, DEED_DROP_UPLOAD, DEED_DROP_SPOOL, DEED_DROP_PART };
struct file_deed {
    enum file_deed_kind kind;
    struct message_id id;
    char name[FILE_PART_MAX + 1];
};

struct store_files {
    struct spool spool;
    char path[PATH_MAX];     /* files.directory: resolved once it is open */
    int folder;              /* -1: not open yet */
    uint64_t folder_checked; /* the transaction in which it was what `path` leads to */
    bool is_folder_dirty;
    uint64_t clock, transaction;
    struct file_slot slots[STORE_FILE_SLOTS];
    struct file_reader readers[FILE_READERS];
    size_t n_slots, n_readers; /* in use at most, for want of descriptors */
    struct file_deed *deeds;
    size_t n_deeds, deeds_room;
    uint64_t freed; /* bytes of parts that go with the commit */
    int64_t looked; /* the row up to which the sweep has looked for files that are gone */
    /* A complete file whose digest is being computed while the queue is empty; 0. Its slot is not
     * given to another, or whoever touches many files would keep it from ever being done. */
    int64_t behind;
    uint8_t buffer[65536];
};

/* db->files, and what a crash left is cleared away. 0, or -errno with the reason. */
int store_files_open(struct store_db *db, const struct store_config *config,
                     char ret_error[FAILURE_MAX]);
void store_files_close(struct store_db *db);
/* Have at most so many files open (some, however few these are). Before the first one is. */
void store_files_limit(struct store_db *db, size_t n);

/* Around a transaction: sync before its COMMIT (failures go to db->error), then one of the two. */
void store_files_sync(struct store_db *db);
void store_files_commit(struct store_db *db);
void store_files_roll_back(struct store_db *db);
/* A slice of what can be done while nobody waits; `behind` says whether there is more. */
void store_files_catch_up(struct store_db *db);

/* Room for one more deed, so that what is done can be noted. 0 or -ENOMEM. */
int store_files_reserve(struct store_files *files);
void store_files_note(struct store_files *files, enum file_deed_kind kind,
                      const struct message_id *id, const char *name);

/* files.directory, made (0700) if it is missing. Its descriptor, or -errno. */
int store_files_folder(struct store_files *files);
/* The slot of a row, or the one that is to be used for it (row 0, fd -1). NULL: all are of this
 * transaction. */
struct file_slot *store_files_slot(struct store_db *db, int64_t row);
void store_files_drop_slot(struct file_slot *slot);
void store_files_drop_row(struct store_files *files, int64_t row);
/* Read on from where the digest stands, up to `end` but at most `most` bytes. 0 or -errno. */
int store_files_hash(struct store_files *files, struct file_slot *slot, uint64_t end,
                     uint64_t most);
/* Is a part of this name to go with the commit? Another must not take its name before. */
bool store_files_is_going(const struct store_files *files, const char *name);
/* Remember how a file looks that was just written. */
void store_files_remember(struct file_slot *slot);

/* Is this the id of a file that we send? */
bool store_file_out_is(struct store_db *db, const struct message_id *id);
/* What a file has beside its row, in the arena; of one that we send: sender NULL. NULL: it is not
 * known (any more). */
const struct file_head *store_file_head(struct store_db *db, struct store_arena *arena,
                                        const struct node_id *sender, const struct message_id *id);

/* Bytes of files of all senders that are coming or wait. */
uint64_t store_files_charged(struct store_db *db);

/* KIND_FILE's part of the operations of these names. */
int store_file_out_put(struct store_db *db, const struct store_op *op, struct store_result *result);
void store_file_out_final(struct store_db *db, const struct message_id *id);
int store_file_out_read(struct store_db *db, const struct store_op *op, uint64_t size,
                        struct store_result *result, struct store_arena *arena);
int store_file_in_put(struct store_db *db, const struct store_op *op, struct store_result *result);
/* May it come by its first block (`row` 0, `held` NULL), or by a further one? What is stale gives
 * way where that mends it, never the part of `row`. 0, -EDQUOT or -ENOBUFS. */
int store_file_admit(struct store_db *db, const struct store_op *op, int64_t row,
                     const uint64_t *held);
/* A row goes with its spans, and its part after the commit. True. */
bool store_file_drop_part(struct store_db *db, int64_t row, const char *path, uint64_t held,
                          int *budget);
int store_file_list(struct store_db *db, const struct store_op *op, struct store_result *result,
                    struct store_arena *arena);
int store_file_take(struct store_db *db, const struct store_op *op);

/* Of STORE_SWEEP: one row each, as the others of store_message.c. */
bool store_file_sweep_part(struct store_db *db, int64_t before, int *budget);
bool store_file_sweep_stale(struct store_db *db, int64_t before, int *budget);
bool store_file_sweep_taken(struct store_db *db, int64_t before, int *budget);
/* Entries whose file the user has moved away. */
void store_file_sweep_missing(struct store_db *db);

#endif
