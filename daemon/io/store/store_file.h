/* The files beside messages.db: those that we send, in the spool, and those that we receive, in
 * files.directory. store_file.c keeps them open and in step with the transactions; _out, _in and
 * _list carry the operations out. A part is the file that receives the blocks until it is complete.
 *
 * A transaction that is rolled back does not undo what was done in the file system, so everything
 * is done in one of three orders. Bytes are written and synced before the commit that claims them.
 * A name that a commit makes superfluous is removed after that commit (a "deed"). And where a crash
 * falls in between, what is left is a file without a row, which the next start removes, or a row
 * without its file, which begins anew or is dropped: never a row that claims bytes that are not
 * there. */
#ifndef P2PD_STORE_FILE_H
#define P2PD_STORE_FILE_H

#include "daemon/io/store/spool.h"
#include "daemon/io/store/store_private.h"

#include <limits.h>
#include <sodium.h>
#include <time.h>

#define FILE_READERS                                                                               \
    8 /* files being sent: this many can be sent at the same time without being reopened */
/* How many bytes one put may read again to continue a digest: some 10 ms of work. */
#define FILE_CATCH_UP_MAX (4u << 20)
/* While blocks are missing, a put reads at most this many times its own length for the digest. So
 * whoever makes us close and reopen files by sending many at once pays for that with blocks. */
#define FILE_CATCH_UP_FACTOR 16u
#define FILE_PART_MAX (FILE_NAME_MAX + 40) /* NAME.32 hex digits.part */

#define FILE_SUFFIX_MAX 12 /* .4294967295 */

/* States of a row of file_in, as stored on disk. */
enum file_in_state { FILE_IN_PARTIAL = 1, FILE_IN_WAITING, FILE_IN_TAKEN };

struct file_slot {
    int64_t row; /* of file_in; 0: free */
    int fd;
    uint64_t used;    /* files->clock at the last use */
    uint64_t checked; /* the transaction in which the file was compared with what we had left */
    bool is_dirty;
    bool is_over; /* complete: closed after the commit, or its space would not be given back */
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
/* Actions to carry out after the commit (or, for DEED_ADOPTED, to undo after a rollback). */
enum file_deed_kind { DEED_ADOPTED, DEED_DROP_UPLOAD, DEED_DROP_SPOOL, DEED_DROP_PART };
struct file_deed {
    enum file_deed_kind kind;
    struct message_id id;
    char name[FILE_PART_MAX + 1];
};

struct store_files {
    struct spool spool;
    char path[PATH_MAX]; /* files.directory: resolved once it is open */
    int folder;          /* -1: not open yet */
    /* The transaction in which `folder` was found to be what `path` leads to. */
    uint64_t folder_checked;
    bool is_folder_dirty;
    uint64_t clock, transaction;
    struct file_slot slots[STORE_FILE_SLOTS];
    struct file_reader readers[FILE_READERS];
    size_t n_slots, n_readers; /* most that are in use, fewer where descriptors are scarce */
    struct file_deed *deeds;
    size_t n_deeds, deeds_room;
    uint64_t freed; /* bytes of parts that the commit deletes */
    int64_t looked; /* the last row whose file the sweep has looked for */
    /* The row of a complete file whose digest is being computed while no operation waits; 0: none.
     * Its slot is not given to another file: otherwise whoever touches many files could keep the
     * digest from ever being finished. */
    int64_t behind;
    uint8_t buffer[65536];
};

/* Make db->files, and remove what a crash left behind. 0, or -errno with the reason. */
int store_files_open(struct store_db *db, const struct store_config *config,
                     char ret_error[FAILURE_MAX]);
void store_files_close(struct store_db *db);
/* Keep at most this many files open (but always a few). Call before the first file is opened. */
void store_files_limit(struct store_db *db, size_t n);

/* Around a transaction: sync before its COMMIT (failures go to db->error), then commit or
 * roll_back. */
void store_files_sync(struct store_db *db);
void store_files_commit(struct store_db *db);
void store_files_roll_back(struct store_db *db);
/* Compute a slice of a digest while no operation waits; `behind` says whether there is more to
 * do. */
void store_files_catch_up(struct store_db *db);

/* Make room for one more deferred action, so that store_files_note cannot fail. 0 or -ENOMEM. */
int store_files_reserve(struct store_files *files);
void store_files_note(struct store_files *files, enum file_deed_kind kind,
                      const struct message_id *id, const char *name);

/* Open files.directory, and make it (0700) if it is missing. Its descriptor, or -errno. */
int store_files_folder(struct store_files *files);
/* The slot of a row, or a free one to be used for it (row 0, fd -1). NULL: all slots are used by
 * this transaction. */
struct file_slot *store_files_slot(struct store_db *db, int64_t row);
void store_files_drop_slot(struct file_slot *slot);
void store_files_drop_row(struct store_files *files, int64_t row);
/* Continue the digest by reading the file up to `end`, but at most `most` bytes. 0 or -errno. */
int store_files_hash(struct store_files *files, struct file_slot *slot, uint64_t end,
                     uint64_t most);
/* Will the commit delete a part of this name? Until then no other part may have the name. */
bool store_files_is_going(const struct store_files *files, const char *name);
/* Remember size and change time of a file that we have just written. */
void store_files_remember(struct file_slot *slot);

/* Is this the id of a file that we send? */
bool store_file_out_is(struct store_db *db, const struct message_id *id);
/* Digest and name of a file, in the arena; sender NULL: of a file that we send. NULL: the file is
 * not known (any more). */
const struct file_head *store_file_head(struct store_db *db, struct store_arena *arena,
                                        const struct node_id *sender, const struct message_id *id);

/* Bytes that are charged for all senders' incoming and waiting files. */
uint64_t store_files_charged(struct store_db *db);

/* What the operations of these names do for KIND_FILE. */
int store_file_out_put(struct store_db *db, const struct store_op *op, struct store_result *result);
void store_file_out_final(struct store_db *db, const struct message_id *id);
int store_file_out_read(struct store_db *db, const struct store_op *op, uint64_t size,
                        struct store_result *result, struct store_arena *arena);
int store_file_in_put(struct store_db *db, const struct store_op *op, struct store_result *result);
/* May a file come with its first block (`row` 0, `held` NULL), or another of its blocks? Stale
 * parts are dropped if that makes room, but never the part `row`. 0, -EDQUOT or -ENOBUFS. */
int store_file_admit(struct store_db *db, const struct store_op *op, int64_t row,
                     const uint64_t *held);
/* Delete a part's row and spans, and after the commit its file. Returns true. */
bool store_file_drop_part(struct store_db *db, int64_t row, const char *path, uint64_t held,
                          int *budget);
int store_file_list(struct store_db *db, const struct store_op *op, struct store_result *result,
                    struct store_arena *arena);
int store_file_take(struct store_db *db, const struct store_op *op);

/* Steps of STORE_SWEEP; each handles one row, as those of store_message.c do. */
bool store_file_sweep_part(struct store_db *db, int64_t before, int *budget);
bool store_file_sweep_stale(struct store_db *db, int64_t before, int *budget);
bool store_file_sweep_taken(struct store_db *db, int64_t before, int *budget);
/* Forget waiting files that the user has moved away. */
void store_file_sweep_missing(struct store_db *db);

#endif
