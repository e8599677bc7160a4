/* The file itself: made, recognised, refused in words, brought to the present schema, and read
 * at start. */
#include "daemon/io/store/store_file.h"
#include "daemon/io/store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* "p2pd": tells our file from the database of any other program */
#define APPLICATION_ID 0x70327064

/* A damaged file should be noticed before it is used. A full check reads the whole file, so it is
 * made only while that takes a hundredth of a second. In larger files the operation that reads the
 * damage returns -EUCLEAN. */
#define CHECK_PAGES_MAX 1024

#define BOOT_PENDING 1024 /* pending messages that are read at start; a few ms */

/* A process that was killed may take this long to release the file. */
#define BUSY_MS 2000

/* The migration table: entry n leads from schema n to schema n + 1. Never edited once released,
 * only added to. */
static const char *const migrations[] = {
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    /* Long bodies of either direction, in the blocks in which they came. */
    "CREATE TABLE block (body INTEGER NOT NULL, offset INTEGER NOT NULL, bytes BLOB NOT NULL,"
    " PRIMARY KEY (body, offset)) STRICT, WITHOUT ROWID;"
    /* body: a short one, else it is in `blocks`. Last: the rest is read without it. */
    "CREATE TABLE out_message (row INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,"
    " recipient BLOB NOT NULL, sequence INTEGER NOT NULL, created INTEGER NOT NULL,"
    " expires INTEGER NOT NULL, finished INTEGER NOT NULL, size INTEGER NOT NULL,"
    " state INTEGER NOT NULL, reason TEXT NOT NULL, relays INTEGER NOT NULL,"
    " strict INTEGER NOT NULL, blocks INTEGER, body BLOB) STRICT;"
    "CREATE INDEX out_pending ON out_message (row) WHERE state < 3;"
    "CREATE INDEX out_finished ON out_message (finished) WHERE state >= 3;"
    /* The highest sequence of finished messages: it outlives them. */
    "CREATE TABLE conversation (recipient BLOB PRIMARY KEY, sequence INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    /* A complete message: state 0 waiting, 1 taken, 2 gone (nothing left but the tombstone). */
    "CREATE TABLE in_message (row INTEGER PRIMARY KEY, sender BLOB NOT NULL, id BLOB NOT NULL,"
    " sequence INTEGER NOT NULL, sent INTEGER NOT NULL, received INTEGER NOT NULL,"
    " size INTEGER NOT NULL, state INTEGER NOT NULL, taken INTEGER NOT NULL,"
    " tombstone INTEGER NOT NULL, address BLOB, name TEXT NOT NULL, blocks INTEGER, body BLOB,"
    " UNIQUE (id, sender)) STRICT;"
    "CREATE INDEX in_waiting ON in_message (row) WHERE state = 0;"
    "CREATE INDEX in_waiting_from ON in_message (sender, row) WHERE state = 0;"
    "CREATE INDEX in_taken ON in_message (taken) WHERE state = 1;"
    "CREATE INDEX in_gone ON in_message (tombstone) WHERE state = 2;"
    /* A message of which blocks are missing. */
    "CREATE TABLE in_part (sender BLOB NOT NULL, id BLOB NOT NULL, total INTEGER NOT NULL,"
    " held INTEGER NOT NULL, blocks INTEGER NOT NULL, until INTEGER NOT NULL,"
    " PRIMARY KEY (sender, id)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX in_part_over ON in_part (until);"
    "CREATE TABLE node (row INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, bytes BLOB NOT NULL,"
    " pin BLOB) STRICT;"
    "CREATE TABLE spare (place INTEGER PRIMARY KEY, address BLOB NOT NULL, id BLOB NOT NULL,"
    " anchor INTEGER NOT NULL) STRICT;",

    "ALTER TABLE out_message ADD kind INTEGER NOT NULL DEFAULT 1;"
    "ALTER TABLE out_message ADD progress INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE out_message ADD shards_k INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE out_message ADD shards_m INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX out_history ON out_message (recipient, created) WHERE kind < 3;"
    "ALTER TABLE in_message ADD kind INTEGER NOT NULL DEFAULT 1;"
    "ALTER TABLE in_message ADD place INTEGER NOT NULL DEFAULT 0;"
    "UPDATE in_message SET place = row << 20 WHERE state = 0;"
    "DROP INDEX in_waiting;"
    "DROP INDEX in_waiting_from;"
    "CREATE INDEX in_waiting ON in_message (place) WHERE state = 0 AND kind = 1;"
    /* With the sequence and what the condition names: it is looked up without the row. */
    "CREATE INDEX in_waiting_from ON in_message (sender, place, sequence, state, kind)"
    " WHERE state = 0 AND kind = 1;"
    "CREATE INDEX in_history ON in_message (sender, received) WHERE state < 2;"
    "ALTER TABLE in_part ADD kind INTEGER NOT NULL DEFAULT 1;"
    /* Bytes of what waits or is unfinished, each message's size and 256; sender X'': of all. */
    "CREATE TABLE usage (sender BLOB NOT NULL, kind INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    " PRIMARY KEY (sender, kind)) STRICT, WITHOUT ROWID;"
    "INSERT INTO usage SELECT sender, 1, sum(size + 256) FROM (SELECT sender, size FROM in_message"
    " WHERE state = 0 UNION ALL SELECT sender, total FROM in_part) GROUP BY sender;"
    "INSERT INTO usage SELECT X'', kind, sum(bytes) FROM usage GROUP BY kind;"
    "CREATE TABLE rule (id BLOB PRIMARY KEY, rule INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE mail_key (day INTEGER PRIMARY KEY, secret BLOB NOT NULL) STRICT;",
    /* What a message of kind file has beside its row; its bytes are in the spool. */
    "CREATE TABLE out_file (id BLOB PRIMARY KEY, digest BLOB NOT NULL, name TEXT NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    "CREATE TRIGGER out_file_over AFTER DELETE ON out_message"
    " BEGIN DELETE FROM out_file WHERE id = old.id; END;"
    /* A file that we receive: state 1 partial, 2 waiting, 3 taken. path: of a part its name in the
     * folder, then where the file lies. until: when its sender gives up. A complete one has a row
     * in in_message beside it, of kind 2, which is its line in history and its tombstone. */
    "CREATE TABLE file_in (row INTEGER PRIMARY KEY, sender BLOB NOT NULL, id BLOB NOT NULL,"
    " sequence INTEGER NOT NULL, sent INTEGER NOT NULL, received INTEGER NOT NULL,"
    " address BLOB, sender_name TEXT NOT NULL, digest BLOB NOT NULL, name TEXT NOT NULL,"
    " total INTEGER NOT NULL, held INTEGER NOT NULL, state INTEGER NOT NULL, path TEXT NOT NULL,"
    " until INTEGER NOT NULL, taken INTEGER NOT NULL, UNIQUE (id, sender)) STRICT;"
    "CREATE INDEX file_open ON file_in (row) WHERE state < 3;"
    "CREATE INDEX file_partial ON file_in (until) WHERE state = 1;"
    "CREATE INDEX file_part ON file_in (path) WHERE state = 1;"
    "CREATE INDEX file_waiting ON file_in (row) WHERE state = 2;"
    "CREATE INDEX file_taken ON file_in (taken) WHERE state = 3;"
    /* What of a partial file is on the disk: [start, stop), merged. */
    "CREATE TABLE file_span (file INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,"
    " PRIMARY KEY (file, start)) STRICT, WITHOUT ROWID;"
    /* What partial and waiting files are charged to their senders, and x'' for all of them. */
    "CREATE TABLE file_charge (sender BLOB PRIMARY KEY, bytes INTEGER NOT NULL,"
    " files INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TRIGGER file_charged AFTER INSERT ON file_in BEGIN"
    " INSERT INTO file_charge VALUES (new.sender, new.total, 1), (x'', new.total, 1)"
    " ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes, files = files + 1; END;"
    "CREATE TRIGGER file_freed AFTER UPDATE OF state ON file_in"
    " WHEN old.state < 3 AND new.state >= 3 BEGIN"
    " UPDATE file_charge SET bytes = bytes - old.total, files = files - 1"
    " WHERE sender IN (old.sender, x'');"
    " DELETE FROM file_charge WHERE sender = old.sender AND files <= 0; END;"
    "CREATE TRIGGER file_dropped AFTER DELETE ON file_in WHEN old.state < 3 BEGIN"
    " UPDATE file_charge SET bytes = bytes - old.total, files = files - 1"
    " WHERE sender IN (old.sender, x'');"
    " DELETE FROM file_charge WHERE sender = old.sender AND files <= 0; END;",
    "CREATE INDEX file_partial_from ON file_in (sender) WHERE state = 1;",
    /* The highest sequence of any message, not of finished ones alone: what is pending need not be
     * read before the next one is pushed. */
    "INSERT INTO conversation SELECT recipient, max(sequence) FROM out_message"
    " INDEXED BY out_pending WHERE state < 3 AND kind < 3 GROUP BY recipient"
    " ON CONFLICT DO UPDATE SET sequence = max(sequence, excluded.sequence);"
    /* Each index with what its condition names, or counting would read every row. kept: not gone;
     * unlike the state it does not change when a message is taken, nor does the index then. */
    "ALTER TABLE in_message ADD kept INTEGER NOT NULL DEFAULT 1;"
    "UPDATE in_message SET kept = 0 WHERE state = 2;"
    "DROP INDEX in_history;"
    "CREATE INDEX in_history ON in_message (sender, received, kept) WHERE kept = 1;"
    "DROP INDEX in_waiting;"
    "CREATE INDEX in_waiting ON in_message (place, state, kind) WHERE state = 0 AND kind = 1;"
    "DROP INDEX out_history;"
    "CREATE INDEX out_history ON out_message (recipient, created, kind) WHERE kind < 3;"
    "DROP INDEX out_pending;"
    "CREATE INDEX out_pending ON out_message (row, state) WHERE state < 3;",
    /* Where it was pinned before another key was trusted there. */
    "ALTER TABLE node ADD was BLOB;",
    /* When a part last grew. Of all that is here or coming (sender x'') only so much is charged
     * that a part holds and a window beyond it: what others promise fills nothing. */
    "ALTER TABLE in_part ADD grown INTEGER NOT NULL DEFAULT 0;"
    "UPDATE in_part SET grown = CAST(strftime('%s') AS INTEGER) * 1000000;"
    "CREATE INDEX in_part_grown ON in_part (grown);"
    "DELETE FROM usage WHERE sender = X'' AND kind = 1;"
    "INSERT INTO usage SELECT X'', 1, sum(bytes) FROM (SELECT size + 256 AS bytes FROM in_message"
    " WHERE state = 0 AND kind = 1 UNION ALL SELECT min(total, held + 262144) + 256 FROM in_part)"
    " HAVING count(*) > 0;"
    "ALTER TABLE file_in ADD grown INTEGER NOT NULL DEFAULT 0;"
    "UPDATE file_in SET grown = CAST(strftime('%s') AS INTEGER) * 1000000 WHERE state = 1;"
    "CREATE INDEX file_partial_grown ON file_in (grown) WHERE state = 1;"
    "DROP TRIGGER file_charged; DROP TRIGGER file_freed; DROP TRIGGER file_dropped;"
    "DELETE FROM file_charge WHERE sender = x'';"
    "INSERT INTO file_charge SELECT x'', sum(min(total, held + 8388608)), count(*) FROM file_in"
    " WHERE state < 3 HAVING count(*) > 0;"
    "CREATE TRIGGER file_charged AFTER INSERT ON file_in BEGIN"
    " INSERT INTO file_charge VALUES (new.sender, new.total, 1),"
    " (x'', min(new.total, new.held + 8388608), 1)"
    " ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes, files = files + 1; END;"
    "CREATE TRIGGER file_grown AFTER UPDATE OF held ON file_in WHEN old.state < 3"
    " AND old.held + 8388608 < old.total BEGIN"
    " UPDATE file_charge SET bytes = bytes + min(new.total, new.held + 8388608)"
    " - min(old.total, old.held + 8388608) WHERE sender = x''; END;"
    "CREATE TRIGGER file_freed AFTER UPDATE OF state ON file_in"
    " WHEN old.state < 3 AND new.state >= 3 BEGIN"
    " UPDATE file_charge SET bytes = bytes - old.total, files = files - 1 WHERE sender = "
    "old.sender;"
    " UPDATE file_charge SET bytes = bytes - min(old.total, old.held + 8388608), files = files - 1"
    " WHERE sender = x'';"
    " DELETE FROM file_charge WHERE sender = old.sender AND files <= 0; END;"
    "CREATE TRIGGER file_dropped AFTER DELETE ON file_in WHEN old.state < 3 BEGIN"
    " UPDATE file_charge SET bytes = bytes - old.total, files = files - 1 WHERE sender = "
    "old.sender;"
    " UPDATE file_charge SET bytes = bytes - min(old.total, old.held + 8388608), files = files - 1"
    " WHERE sender = x'';"
    " DELETE FROM file_charge WHERE sender = old.sender AND files <= 0; END;",
    /* Whether the sender of a part was known with its last block: a stranger's never drives it out.
     * And bodies that nobody can reach: a message of which blocks were here while a file came under
     * its id left its charge and its blocks behind. The charge is counted anew; the blocks are
     * named, and the sweep takes them, so that a disk that is full of them can be started from. */
    "ALTER TABLE in_part ADD known INTEGER NOT NULL DEFAULT 0;"
    "DROP INDEX in_part_grown;"
    "CREATE INDEX in_part_grown ON in_part (known, grown);"
    "ALTER TABLE file_in ADD known INTEGER NOT NULL DEFAULT 0;"
    "DROP INDEX file_partial_grown;"
    "CREATE INDEX file_partial_grown ON file_in (known, grown) WHERE state = 1;"
    "CREATE TABLE orphan (body INTEGER PRIMARY KEY) STRICT;"
    "INSERT INTO orphan WITH RECURSIVE held(body) AS (SELECT min(body) FROM block UNION ALL"
    " SELECT (SELECT min(body) FROM block WHERE body > held.body) FROM held WHERE body NOT NULL)"
    " SELECT body FROM held WHERE body NOT NULL AND body NOT IN"
    " (SELECT blocks FROM out_message WHERE blocks NOT NULL UNION ALL"
    " SELECT blocks FROM in_message WHERE blocks NOT NULL UNION ALL SELECT blocks FROM in_part);"
    "DELETE FROM usage WHERE kind = 1;"
    "INSERT INTO usage SELECT sender, 1, sum(bytes) FROM (SELECT sender, size + 256 AS bytes"
    " FROM in_message WHERE state = 0 AND kind = 1 UNION ALL SELECT sender, total + 256"
    " FROM in_part) GROUP BY sender;"
    "INSERT INTO usage SELECT X'', 1, sum(bytes) FROM (SELECT size + 256 AS bytes FROM in_message"
    " WHERE state = 0 AND kind = 1 UNION ALL SELECT min(total, held + 262144) + 256 FROM in_part)"
    " HAVING count(*) > 0;",
};
#define SCHEMA_VERSION ((int)(sizeof migrations / sizeof migrations[0]))

/* ---- Opening ---- */

static int refuse(struct store_db *db, const char *path, int code, char ret_error[FAILURE_MAX]) {
    const char *detail = db->sqlite ? sqlite3_errmsg(db->sqlite) : "out of memory";
    int error = db->sqlite ? store_errno(db->sqlite, code) : -ENOMEM;
    switch (error) {
    case -EUCLEAN:
        return failure(ret_error, error,
                       "%.90s: damaged (%.40s); nothing was changed. Copy it, try sqlite3's "
                       ".recover, or move it away to start empty",
                       path, detail);
    case -EBUSY:
        return failure(ret_error, error, "%.160s: in use by another process", path);
    case -EROFS:
        return failure(ret_error, error, "%.160s: cannot be written to (read-only)", path);
    default:
        return failure(ret_error, error, "%.120s: %.60s (%s)", path, detail, strerror(-error));
    }
}

/* Make the file ourselves, since SQLite would make it with the umask's mode; the -wal file gets the
 * same mode. An existing file is never opened here: to close a descriptor of it would drop the
 * locks that this process may hold on it. */
static int prepare_file(const char *path, char ret_error[FAILURE_MAX]) {
    struct stat status;
    if (lstat(path, &status) == 0) {
        if (!S_ISREG(status.st_mode))
            return failure(ret_error, -EINVAL, "%.160s: not a regular file", path);
        if ((status.st_mode & 077) && chmod(path, 0600))
            return failure(ret_error, -errno, "%.160s: cannot be made private: %s", path,
                           strerror(errno));
        if (access(path, R_OK | W_OK))
            return failure(ret_error, -errno, "%.160s: %s", path, strerror(errno));
        return 0;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return failure(ret_error, -errno, "%.160s: %s", path, strerror(errno));
    close(fd);
    return 0;
}

static int get_number(struct store_db *db, const char *sql, int64_t *ret_number) {
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db->sqlite, sql, -1, &statement, NULL);
    if (!code)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *ret_number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return code == SQLITE_ROW ? SQLITE_OK : code;
}

/* Run SQLite's quick check: if it does not say "ok", the file is damaged. */
static int check_whole(struct store_db *db) {
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db->sqlite, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (!code)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        code = text && strcmp(text, "ok") == 0 ? SQLITE_OK : SQLITE_CORRUPT;
    }
    sqlite3_finalize(statement);
    return code;
}

/* See what the file is before anything is written to it. *ret_version is its schema. */
static int recognise(struct store_db *db, const char *path, int64_t *ret_version,
                     char ret_error[FAILURE_MAX]) {
    int64_t application = 0, objects = 0, pages = 0;
    int code = get_number(db, "PRAGMA application_id", &application);
    if (!code)
        code = get_number(db, "PRAGMA user_version", ret_version);
    if (!code)
        code = get_number(db, "SELECT count(*) FROM sqlite_schema", &objects);
    if (!code)
        code = get_number(db, "PRAGMA page_count", &pages);
    if (code)
        return refuse(db, path, code, ret_error);
    if (application != APPLICATION_ID && (objects > 0 || *ret_version != 0))
        return failure(ret_error, -EPROTO, "%.120s: another program's database; move it away",
                       path);
    if (*ret_version < 0)
        return failure(ret_error, -EUCLEAN,
                       "%.120s: damaged (schema %lld); nothing was changed. Move it away to start "
                       "empty",
                       path, (long long)*ret_version);
    if (*ret_version > SCHEMA_VERSION)
        return failure(ret_error, -EPROTO,
                       "%.100s: written by a newer p2pd (schema %lld, this one knows %d); use that "
                       "one, or move the file away to start empty",
                       path, (long long)*ret_version, SCHEMA_VERSION);
    if (pages > 0 && pages <= CHECK_PAGES_MAX && (code = check_whole(db)))
        return refuse(db, path, code, ret_error);
    return 0;
}

static int migrate(struct store_db *db, int64_t version) {
    char sql[96];
    int code = SQLITE_OK;
    for (; !code && version < SCHEMA_VERSION; version++) {
        snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
                 APPLICATION_ID, (int)version + 1);
        code = sqlite3_exec(db->sqlite, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        if (!code)
            code = sqlite3_exec(db->sqlite, migrations[version], NULL, NULL, NULL);
        if (!code)
            code = sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL);
    }
    return code;
}

/* Settings of the connection. synchronous = FULL: a commit is on the disk before it is reported. 2
 * MB of cache, since the kernel caches the rest. The write-ahead log is checkpointed every 8 MB,
 * since each checkpoint costs two more fsyncs, and is cut back to 16 MB if it was larger.
 * secure_delete: forgotten content is overwritten. */
static int configure(struct store_db *db) {
    int64_t ignored;
    int code = get_number(db, "PRAGMA journal_mode = WAL", &ignored);
    if (code)
        return code;
    return sqlite3_exec(db->sqlite,
                        "PRAGMA synchronous = FULL; PRAGMA cache_size = -2048;"
                        "PRAGMA wal_autocheckpoint = 2048; PRAGMA journal_size_limit = 16777216;"
                        "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;"
                        "PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF",
                        NULL, NULL, NULL);
}

/* Read the last row and body numbers used. Numbers so large that no number of messages reaches them
 * show a damaged file, and might leave no next number. */
static int load_counters(struct store_db *db) {
    struct query query = query_begin(db, SQL_COUNTERS);
    if (query_row(&query)) {
        int64_t row = query_get_int(&query), body = query_get_int(&query);
        if (row > INT64_MAX >> (STORE_PLACE_BITS + 1) || body > INT64_MAX / 2)
            db->error = -EUCLEAN;
        else
            db->next_row = row + 1, db->next_body = body + 1;
    }
    query_end(&query);
    return db->error;
}

/* Locking mode EXCLUSIVE: one process at a time (a second p2pd gets -EBUSY), and the log's index is
 * in memory instead of in a shared file. */
static int open_connection(struct store_db *db, const char *path, char ret_error[FAILURE_MAX]) {
    int64_t version = 0;
    int code =
        sqlite3_open_v2(path, &db->sqlite,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (!code)
        code = sqlite3_busy_timeout(db->sqlite, BUSY_MS);
    if (!code)
        code = sqlite3_exec(db->sqlite, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL);
    if (!code && sqlite3_db_readonly(db->sqlite, "main"))
        code = SQLITE_READONLY;
    if (code)
        return refuse(db, path, code, ret_error);
    int error = recognise(db, path, &version, ret_error);
    if (error)
        return error;
    if ((code = configure(db)) || (code = migrate(db, version)))
        return refuse(db, path, code, ret_error);
    if (load_counters(db))
        return failure(ret_error, db->error, "%.160s: cannot be read: %s", path,
                       strerror(-db->error));
    return 0;
}

int store_db_open(struct store_db *db, const char *path, char ret_error[FAILURE_MAX]) {
    *db = (struct store_db){.n_parts = -1};
    /* Must be called before SQLite is used for the first time, or it has no effect. Counting the
     * allocated memory would cost a lock for each allocation. */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    int error = prepare_file(path, ret_error);
    if (!error)
        error = open_connection(db, path, ret_error);
    if (error)
        store_db_close(db);
    return error;
}

void store_db_close(struct store_db *db) {
    for (size_t i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(db->statements[i]);
    sqlite3_close(db->sqlite);
    store_disk_close(db);
    *db = (struct store_db){0};
}

/* ---- Loading ---- */

/* Append what `read` reads from each row of a statement to an array. The number of rows is
 * returned. */
static size_t load_rows(struct store_db *db, struct store_arena *arena, enum store_statement which,
                        size_t size, const void **ret_array,
                        void (*read)(struct query *query, struct store_arena *arena, void *entry)) {
    uint8_t *array = NULL;
    size_t n = 0;
    struct query query = query_begin(db, which);
    while (query_row(&query)) {
        uint8_t *larger = store_arena_grow(arena, array, n, size);
        if (!larger) {
            db->error = -ENOMEM;
            break;
        }
        array = larger;
        memset(array + n * size, 0, size);
        read(&query, arena, array + n++ * size);
    }
    query_end(&query);
    *ret_array = array;
    return n;
}

static void read_node(struct query *query, struct store_arena *arena, void *entry) {
    struct boot_node *node = entry;
    const uint8_t *bytes = query_get_blob(query, &node->length);
    uint8_t *copy = store_arena_alloc(arena, node->length);
    if (!copy) {
        query->db->error = -ENOMEM;
        return;
    }
    if (node->length)
        memcpy(copy, bytes, node->length);
    node->bytes = copy;
    node->pinned = sqlite3_column_type(query->statement, query->at) != SQLITE_NULL;
    query->at += !node->pinned;
    if (sqlite3_column_type(query->statement, query->at) != SQLITE_NULL)
        query_get_address(query, &node->pin);
}

static void read_spare(struct query *query, struct store_arena *arena, void *entry) {
    (void)arena;
    struct spare *spare = entry;
    query_get_address(query, &spare->address);
    query_get_exact(query, spare->id.bytes, NODE_ID_LEN);
    spare->anchor = query_get_int(query) != 0;
}

static void read_conversation(struct query *query, struct store_arena *arena, void *entry) {
    (void)arena;
    struct boot_conversation *conversation = entry;
    query_get_exact(query, conversation->recipient.bytes, NODE_ID_LEN);
    conversation->sequence = (uint64_t)query_get_int(query);
}

static void read_rule(struct query *query, struct store_arena *arena, void *entry) {
    (void)arena;
    struct boot_rule *rule = entry;
    query_get_exact(query, rule->id.bytes, NODE_ID_LEN);
    int64_t number = query_get_int(query);
    if (number != RULE_ALLOW && number != RULE_BLOCK)
        query->db->error = -EUCLEAN;
    rule->rule = (enum sender_rule)number;
}

static void read_mail_key(struct query *query, struct store_arena *arena, void *entry) {
    (void)arena;
    struct boot_mail_key *key = entry;
    key->day = (uint32_t)query_get_int(query);
    query_get_exact(query, key->secret, sizeof key->secret);
}

static int64_t load_number(struct store_db *db, enum store_statement which, int column) {
    int64_t number = 0;
    struct query query = query_begin(db, which);
    if (query_row(&query))
        number = sqlite3_column_int64(query.statement, column);
    query_end(&query);
    return number;
}

/* Read the first pending messages, and count the rest. */
static void load_pending(struct store_db *db, struct store_arena *arena, struct node_boot *boot) {
    struct store_op op = {.kind = STORE_OUT_PENDING};
    struct store_result result = {0};
    op.out_pending.until = INT64_MAX;
    op.out_pending.limit = BOOT_PENDING;
    store_out_pending(db, &op, &result, arena);
    boot->pending = result.pending;
    boot->n_pending = result.n_records;
    if (!result.more || db->error)
        return;
    boot->unread_after = result.next;
    struct query query = query_begin(db, SQL_OUT_UNREAD);
    query_int(&query, result.next);
    if (query_row(&query)) {
        boot->n_unread = (size_t)query_get_int(&query);
        boot->unread_until = query_get_int(&query);
    }
    query_end(&query);
}

int store_db_load(struct store_db *db, struct store_arena *arena, struct node_boot *ret_boot) {
    struct node_boot boot = {0};
    const void *nodes, *spares, *conversations, *rules, *mail_keys;
    load_pending(db, arena, &boot);
    boot.n_nodes = load_rows(db, arena, SQL_NODES, sizeof(struct boot_node), &nodes, read_node);
    boot.n_spares = load_rows(db, arena, SQL_SPARES, sizeof(struct spare), &spares, read_spare);
    boot.n_conversations = load_rows(db, arena, SQL_CONVERSATIONS, sizeof(struct boot_conversation),
                                     &conversations, read_conversation);
    boot.n_rules = load_rows(db, arena, SQL_RULES, sizeof(struct boot_rule), &rules, read_rule);
    boot.n_mail_keys = load_rows(db, arena, SQL_MAIL_KEYS, sizeof(struct boot_mail_key), &mail_keys,
                                 read_mail_key);
    boot.nodes = nodes;
    boot.spares = spares;
    boot.conversations = conversations;
    boot.rules = rules;
    boot.mail_keys = mail_keys;
    boot.sequence = (uint64_t)load_number(db, SQL_COUNTERS, 2);
    boot.clock.us = load_number(db, SQL_CLOCK, 0);
    boot.swept.us = load_number(db, SQL_CLOCK, 1);
    boot.clock_is_known = load_number(db, SQL_CLOCK, 2) != 0;
    boot.inbox_waiting = (uint64_t)load_number(db, SQL_IN_COUNT, 0);
    boot.unfinished = store_part_held(db);
    int error = db->error;
    db->error = 0;
    if (!error)
        *ret_boot = boot;
    return error;
}
