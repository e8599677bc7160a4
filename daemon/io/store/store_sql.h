/* The inside of the store: one SQLite connection with its prepared statements, used by one thread
 * at a time. store.c knows threads and transactions, store_schema.c the file, store_message.c how
 * messages come in and go out, store_waiting.c those that wait, store_history.c the past,
 * store_sweep.c how it is forgotten; this is what they share.
 *
 * Two kinds of failure, never mixed. A failure of the operation itself (-ENOENT, -EEXIST, -EINVAL)
 * is found before anything is written, and returned. A failure of the disk stays in db->error,
 * makes every further query a no-op, and rolls back the whole transaction. */
#ifndef P2PD_STORE_SQL_H
#define P2PD_STORE_SQL_H

#include "daemon/io/store/disk.h"
#include "daemon/io/store/store.h"

#include <sqlite3.h>
#include <sys/types.h>

/* A row with its body is kept below one 4 KiB page, so that a change of state rewrites one page.
 * Longer bodies are in a table of blocks, so that to read one block of a 16 MiB body reads only
 * that block. */
#define STORE_INLINE_MAX 2048u

enum in_state { IN_WAITING, IN_TAKEN, IN_GONE };

enum store_statement {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_COUNTERS,
    SQL_PAGES,
    SQL_PAGES_UNUSED,
    SQL_META_RAISE,
    SQL_META_SET,
    SQL_CLOCK,
    SQL_OUT_SHIFT,
    SQL_BLOCK_INSERT,
    SQL_BLOCK_READ,
    SQL_BLOCK_BEFORE,
    SQL_BLOCK_DELETE,
    SQL_OUT_INSERT,
    SQL_OUT_FIND,
    SQL_OUT_BODY,
    SQL_OUT_STATE,
    SQL_OUT_PROGRESS,
    SQL_OUT_READDRESS,
    SQL_OUT_OVER,
    SQL_OUT_DELETE,
    SQL_OUT_PENDING,
    SQL_OUT_UNREAD,
    SQL_OUT_FILES,
    SQL_FILE_PARTIAL_ANY,
    SQL_ORPHAN,
    SQL_ORPHAN_DELETE,
    SQL_CONVERSATION_RAISE,
    SQL_CONVERSATIONS,
    SQL_IN_INSERT,
    SQL_IN_KNOWN,
    SQL_IN_WAITING,
    SQL_IN_WAITING_FROM,
    SQL_IN_COUNT,
    SQL_IN_BEFORE,
    SQL_IN_SENT,
    SQL_IN_ROW_OF,
    SQL_IN_HELD,
    SQL_IN_TAKE,
    SQL_IN_FORGET,
    SQL_IN_TAKEN_OVER,
    SQL_IN_GONE_OVER,
    SQL_IN_DELETE,
    SQL_PART_ANY,
    SQL_PART_FIND,
    SQL_PART_INSERT,
    SQL_PART_GROW,
    SQL_PART_DELETE,
    SQL_PART_OVER,
    SQL_PART_STALE,
    SQL_PART_STALE_OF,
    SQL_PART_STALE_SUM,
    SQL_PART_STALE_SUM_OF,
    SQL_PART_COUNT,
    SQL_PART_COMING,
    SQL_PART_MANY_FROM,
    SQL_PART_ABANDON,
    SQL_PART_HELD,
    SQL_USAGE_GET,
    SQL_USAGE_PUT,
    SQL_USAGE_DELETE,
    SQL_HISTORY_IN,
    SQL_HISTORY_OUT,
    SQL_PEERS,
    SQL_PEER_COUNT_IN,
    SQL_PEER_COUNT_WAITING,
    SQL_PEER_COUNT_OUT,
    SQL_PEER_LAST_IN,
    SQL_PEER_LAST_OUT,
    SQL_PEER_PIN,
    SQL_FORGET_IN_BLOCKS,
    SQL_FORGET_IN,
    SQL_FORGET_OUT_BLOCKS,
    SQL_FORGET_OUT,
    SQL_RULE_PUT,
    SQL_RULE_DELETE,
    SQL_RULES,
    SQL_MAIL_KEY_PUT,
    SQL_MAIL_KEYS_OVER,
    SQL_MAIL_KEYS,
    SQL_NODE_PUT,
    SQL_NODE_UNPIN,
    SQL_NODES,
    SQL_SPARES_CLEAR,
    SQL_SPARE_PUT,
    SQL_SPARES,
    SQL_OUT_IS_PENDING,
    SQL_FILE_OUT_INSERT,
    SQL_FILE_OUT_FIND,
    SQL_FILE_OUT_LIST,
    SQL_FILE_OUT_OF_ID,
    SQL_FILE_FIND,
    SQL_FILE_INSERT,
    SQL_FILE_GROW,
    SQL_FILE_COMPLETE,
    SQL_FILE_DELETE,
    SQL_FILE_CHARGE,
    SQL_FILE_COMING,
    SQL_FILE_HAS_PARTIAL,
    SQL_FILE_MANY,
    SQL_FILE_PARTIAL_COUNT,
    SQL_FILE_PART_STALE,
    SQL_FILE_STALE_OF,
    SQL_FILE_STALE_SUM,
    SQL_FILE_STALE_SUM_OF,
    SQL_FILE_ABANDON,
    SQL_FILE_PART_KNOWN,
    SQL_FILE_LIST,
    SQL_FILE_OF_ID,
    SQL_FILE_WAITING,
    SQL_FILE_WAITING_PAGE,
    SQL_FILE_TAKE,
    SQL_FILE_ENTER,
    SQL_FILE_ENTER_TAKEN,
    SQL_FILE_HEAD,
    SQL_FILE_FORGET_PEER,
    SQL_FILE_PART_OVER,
    SQL_FILE_TAKEN_OVER,
    SQL_SPAN_LAST,
    SQL_SPAN_AT,
    SQL_SPAN_COUNT,
    SQL_SPAN_PUT,
    SQL_SPAN_DELETE,
    SQL_SPAN_CLEAR,
    SQL_COUNT
};

/* Memory for what results point to, freed all at once. */
struct store_arena {
    struct store_piece *pieces;
    bool is_secret; /* wiped before it is given back */
};
void *store_arena_alloc(struct store_arena *arena, size_t size); /* NULL: out of memory */
/* Make room for one more element in an array of `n`; it is doubled when n is a power of two. NULL:
 * out of memory, and the array stays valid. */
void *store_arena_grow(struct store_arena *arena, void *array, size_t n, size_t size);
void store_arena_free(struct store_arena *arena);

/* Each waiting or unfinished message is charged its size and this much for its rows, so that a
 * million empty messages are not free. */
#define STORE_CHARGE_ROW 256
/* What is charged to all senders together for a part, beyond what it holds. The SQL of the schema
 * and the statements repeats these numbers. Larger than a block. */
#define STORE_PART_WINDOW (256u << 10)
#define STORE_FILE_WINDOW (8u << 20)
/* A part that has not grown for this long may be dropped to make room. It counts as grown only when
 * the bytes held pass another multiple of STORE_PART_GROWTH: otherwise one byte an hour would keep
 * a part for ever. A part that has not got so far even once may be dropped STORE_PART_BEGUN_US
 * after it began. */
#define STORE_PART_STALE_US US_PER_HOUR
#define STORE_PART_BEGUN_US US_PER_MINUTE
#define STORE_PART_GROWTH 61440 /* PARCEL_BLOCK_MAX: what an honest sender's block is, mostly */

/* The places of two messages that come one after the other are 2^20 apart: room for messages that
 * were sent between them but come later. */
#define STORE_PLACE_BITS 20

/* Bytes charged to a sender, or to all of them, as they will be when the transaction ends. */
struct store_usage {
    bool is_loaded, is_changed, is_total;
    struct node_id sender;
    enum message_kind kind;
    int64_t bytes;
    uint64_t placed; /* a sequence that got a place at the end; 0: none is known */
};
#define STORE_USAGES 64 /* enough for most batches' senders; a collision costs a query */
#define STORE_KINDS 3   /* KIND_MESSAGE and KIND_FILE are indices into an array */

/* The highest sequence of what was pushed to a recipient, as it will be when the transaction
 * ends. */
struct store_raise {
    bool is_changed;
    struct node_id recipient;
    int64_t sequence;
};
#define STORE_RAISES 64 /* as many as usages, for the same reason */

#define STORE_PAGE 4096u /* SQLite's default page size, in bytes */

/* What was seen of the disk, in this transaction or shortly before it: store_disk.c. */
struct store_disk {
    int (*look)(const char *path, struct disk_space *ret_space);
    struct disk_space space;
    dev_t device;
    uint64_t held;            /* bytes of messages.db that are in use */
    uint64_t pages;           /* the size of messages.db, in bytes, when looked at */
    bool are_files_here;      /* files.directory is on the same device */
    int64_t looked_us;        /* when, by the monotonic clock */
    uint64_t promised;        /* bytes promised to what was put since */
    uint64_t promised_before; /* of that, in earlier transactions */
    int chunk;                /* by which messages.db grows */
    int64_t allocated;        /* bytes allocated for messages.db, as far as is known */
    bool is_looked, is_fresh; /* fresh: in this transaction */
    bool has_reserve;         /* there is a reserve file, or none could be made */
    bool has_fd;
    int fd; /* of messages.db. To close it before SQLite does would drop SQLite's locks */
};

/* How many rows one transaction sweeps or forgets at most; fewer while the disk is full. */
#define STORE_SLICE_MAX 2048

struct store_refusal { /* see store_refused.c */
    uint64_t total, quota;
    uint8_t percent;
    bool is_of_others;
    int error; /* 0: none */
};

struct store_db {
    sqlite3 *sqlite;
    sqlite3_stmt *statements[SQL_COUNT]; /* prepared at first use */
    int error;                           /* 0 or -errno of the first query that failed */
    int64_t next_row;   /* of in_message; a row is never used again, so that "after" means after */
    int64_t next_body;  /* of block */
    bool in_renumbered; /* the latest message was renumbered */
    struct store_files *files; /* store_file.h; NULL: files are not available */
    /* A sweep that one transaction could not finish. */
    struct {
        bool is_left;
        struct wall now;
        int64_t retention_us;
    } sweep;
    struct store_usage usages[STORE_USAGES]; /* hashed by the sender's first byte and the kind */
    struct store_usage usage_totals[STORE_KINDS];
    struct store_raise raises[STORE_RAISES]; /* by the recipient's first byte */
    struct store_disk disk;
    struct store_refusal refusals[2][2][2]; /* by: is it a file, is it whole, is the sender known */
    int slice;
    int64_t n_parts; /* rows of in_part; -1: they have to be counted */
    /* Whether in_part, out_file and file_in (partial ones) may have rows: asked once a
     * transaction. */
    bool has_parts, has_files, has_file_parts;
};

/* One use of a statement: bind in order, step, read columns in order, end. */
struct query {
    struct store_db *db;
    sqlite3_stmt *statement;
    int at;
    uint8_t address[ADDRESS_WIRE_LEN]; /* bound by query_address */
};
struct query query_begin(struct store_db *db, enum store_statement which);
void query_int(struct query *query, int64_t value);
void query_blob(struct query *query, const void *bytes,
                size_t length); /* borrowed until the query's end; never NULL */
void query_null(struct query *query);
void query_text(struct query *query, const char *text); /* borrowed until the query's end */
/* Once in a query, which must not be moved until its end, since the bytes are inside it. */
void query_address(struct query *query, const struct address *address);
bool query_row(struct query *query);
int64_t query_get_int(struct query *query);
/* Borrowed until the next query_row or the end. */
const uint8_t *query_get_blob(struct query *query, size_t *ret_length);
/* A column whose length is that of its type. Any other length is damage. */
void query_get_exact(struct query *query, void *ret_bytes, size_t length);
void query_get_text(struct query *query, char *ret_text, size_t size);
void query_get_address(struct query *query, struct address *ret_address);
void query_end(struct query *query);
/* Step a statement that gives no rows, and end. Returns how many rows it changed (0 on failure,
 * too). */
int query_run(struct query *query);

/* The errno for an SQLite result code, as the core expects it. */
int store_errno(sqlite3 *sqlite, int code);

/* Set meta.key to `value` if it is lower: for numbers that must not be used again. */
void store_meta_raise(struct store_db *db, const char *key, int64_t value);
/* Carry out STORE_CLOCK. */
void store_clock_put(struct store_db *db, const struct store_op *op);

#endif
