/* The statements, and what binding, stepping and failing have in common. */
#include "daemon/io/store/store_private.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/resource.h>

#define OUT_COLUMNS                                                                                \
    "id, recipient, sequence, created, expires, finished, size, kind, progress, state, reason,"    \
    " relays, shards_k, shards_m, strict"
#define IN_COLUMNS                                                                                 \
    "row, sender, address, name, id, sequence, sent, received, place, size, blocks, body"
/* Messages that wait to be pulled. Files are fetched with another command. */
#define WAITING "state = 0 AND kind = 1"

/* A slice of what is to be forgotten. The same rows are selected first to delete the bodies, then
 * to delete the messages. */
#define FORGOTTEN_IN                                                                               \
    "SELECT row, blocks FROM in_message INDEXED BY in_history WHERE kept = 1 AND sender = ?1"      \
    " AND state = 1 ORDER BY received, row LIMIT ?2"
#define FORGOTTEN_OUT                                                                              \
    "SELECT row, blocks FROM out_message INDEXED BY out_history WHERE kind < 3"                    \
    " AND recipient = ?1 AND state >= 3 ORDER BY created, row LIMIT ?2"

/* The columns of a store_stale: how many parts, bytes as charged to their senders, bytes as charged
 * to all, and bytes held. The statements add a fifth: the bytes of the windows that may still come
 * (?1: the sender is known; then only known senders' windows count). */
#define PART_SUMS                                                                                  \
    "count(*), coalesce(sum(total + 256), 0),"                                                     \
    " coalesce(sum(min(total, held + 262144) + 256), 0), coalesce(sum(held), 0)"
#define FILE_SUMS                                                                                  \
    "count(*), coalesce(sum(total), 0), coalesce(sum(min(total, held + 8388608)), 0),"             \
    " coalesce(sum(held), 0)"

#define FILE_COLUMNS                                                                               \
    "row, state, id, sender, address, sender_name, digest, name, path, total, held, sent, "        \
    "received"

/* INDEXED BY: if the planner did not choose the partial index, a million rows would be scanned;
 * with INDEXED BY that is an error. States are literals, since a partial index cannot serve a bound
 * value: pending < 3 (MESSAGE_DELIVERED), waiting 0, taken 1, gone 2; kinds: 1 (KIND_MESSAGE),
 * conversations < 3 (KIND_MAIL). */
static const char *const statements[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_COUNTERS] = "SELECT max(coalesce((SELECT max(row) FROM in_message), 0),"
                     " coalesce((SELECT value FROM meta WHERE key = 'in_row'), 0)),"
                     " coalesce((SELECT max(body) FROM block), 0),"
                     " coalesce((SELECT value FROM meta WHERE key = 'sequence'), 0)",
    [SQL_PAGES] = "PRAGMA page_count",
    [SQL_PAGES_UNUSED] = "PRAGMA freelist_count",
    [SQL_META_RAISE] = "INSERT INTO meta VALUES (?, ?)"
                       " ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
    [SQL_META_SET] = "INSERT INTO meta VALUES (?, ?)"
                     " ON CONFLICT DO UPDATE SET value = excluded.value",
    [SQL_CLOCK] = "SELECT coalesce((SELECT value FROM meta WHERE key = 'clock'), 0),"
                  " coalesce((SELECT value FROM meta WHERE key = 'swept'), 0),"
                  " coalesce((SELECT value FROM meta WHERE key = 'clock_is_known'), 0)",
    [SQL_OUT_SHIFT] = "UPDATE out_message SET created = created + ?1, expires = expires + ?1"
                      " WHERE state < 3",

    [SQL_BLOCK_INSERT] = "INSERT INTO block VALUES (?, ?, ?)",
    [SQL_BLOCK_READ] =
        "SELECT offset, bytes FROM block WHERE body = ?1 AND offset < ?3 AND offset >="
        " coalesce((SELECT max(offset) FROM block WHERE body = ?1 AND offset <= ?2),"
        " 0) ORDER BY offset",
    [SQL_BLOCK_BEFORE] = "SELECT offset, length(bytes) FROM block WHERE body = ? AND offset < ?"
                         " ORDER BY offset DESC LIMIT 1",
    [SQL_BLOCK_DELETE] = "DELETE FROM block WHERE body = ?",

    [SQL_OUT_INSERT] = "INSERT INTO out_message (" OUT_COLUMNS ", blocks, body)"
                       " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                       " ON CONFLICT DO NOTHING",
    [SQL_OUT_FIND] = "SELECT " OUT_COLUMNS " FROM out_message WHERE id = ?",
    [SQL_OUT_BODY] = "SELECT size, blocks, body FROM out_message WHERE id = ?",
    [SQL_OUT_STATE] = "UPDATE out_message SET state = ?2, reason = ?3, finished = ?4 WHERE id = ?1",
    [SQL_OUT_PROGRESS] =
        "UPDATE out_message SET progress = max(progress, min(?2, size)) WHERE id = ?1",
    [SQL_OUT_READDRESS] = "UPDATE out_message SET recipient = ?2, sequence = ?3, progress = 0"
                          " WHERE id = ?1 AND state < 3 AND kind < 3",
    [SQL_OUT_OVER] = "SELECT id, size, blocks FROM out_message INDEXED BY out_finished"
                     " WHERE state >= 3 AND finished <= ? ORDER BY finished LIMIT 1",
    [SQL_OUT_DELETE] = "DELETE FROM out_message WHERE id = ?",
    [SQL_OUT_PENDING] = "SELECT " OUT_COLUMNS ", row FROM out_message INDEXED BY out_pending"
                        " WHERE state < 3 AND row > ? AND row <= ? ORDER BY row LIMIT ?",
    [SQL_OUT_UNREAD] = "SELECT count(*), max(row) FROM out_message INDEXED BY out_pending"
                       " WHERE state < 3 AND row > ?",
    [SQL_OUT_FILES] = "SELECT 1 FROM out_file LIMIT 1",
    [SQL_FILE_PARTIAL_ANY] =
        "SELECT 1 FROM file_in INDEXED BY file_partial WHERE state = 1 LIMIT 1",
    [SQL_ORPHAN] = "SELECT body, (SELECT sum(length(bytes)) FROM block"
                   " WHERE block.body = orphan.body) FROM orphan LIMIT 1",
    [SQL_ORPHAN_DELETE] = "DELETE FROM orphan WHERE body = ?",
    [SQL_CONVERSATION_RAISE] =
        "INSERT INTO conversation VALUES (?, ?)"
        " ON CONFLICT DO UPDATE SET sequence = max(sequence, excluded.sequence)",
    [SQL_CONVERSATIONS] = "SELECT recipient, sequence FROM conversation",

    [SQL_IN_INSERT] = "INSERT INTO in_message (" IN_COLUMNS ", kind, state, taken, tombstone)"
                      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?)"
                      " ON CONFLICT DO NOTHING",
    [SQL_IN_KNOWN] = "SELECT 1 FROM in_message WHERE sender = ? AND id = ?",
    [SQL_IN_WAITING] = "SELECT " IN_COLUMNS " FROM in_message INDEXED BY in_waiting WHERE " WAITING
                       " AND place > ? AND received >= ? AND row > ? ORDER BY place",
    [SQL_IN_WAITING_FROM] =
        "SELECT " IN_COLUMNS " FROM in_message INDEXED BY in_waiting_from WHERE " WAITING
        " AND place > ? AND received >= ? AND row > ? AND sender = ? ORDER BY place",
    [SQL_IN_COUNT] = "SELECT count(*) FROM in_message INDEXED BY in_waiting WHERE " WAITING,
    [SQL_IN_SENT] = "SELECT sent FROM in_message INDEXED BY in_waiting_from"
                    " WHERE " WAITING " AND sender = ? AND place = ?",
    [SQL_IN_BEFORE] = "SELECT place, sequence FROM in_message INDEXED BY in_waiting_from"
                      " WHERE " WAITING " AND sender = ? AND place <= ?"
                      " ORDER BY place DESC LIMIT 1",
    [SQL_IN_ROW_OF] = "SELECT row FROM in_message WHERE id = ? ORDER BY row LIMIT 1",
    [SQL_IN_HELD] = "SELECT sender, size, blocks FROM in_message WHERE row = ? AND " WAITING,
    [SQL_IN_TAKE] = "UPDATE in_message SET state = 1, taken = ?2 WHERE row = ?1 AND state = 0",
    [SQL_IN_FORGET] =
        "UPDATE in_message SET state = 2, kept = 0, blocks = NULL, body = NULL, name = '',"
        " address = NULL WHERE row = ?",
    [SQL_IN_TAKEN_OVER] = "SELECT row, size, blocks FROM in_message INDEXED BY in_taken"
                          " WHERE state = 1 AND taken <= ? ORDER BY taken LIMIT 1",
    [SQL_IN_GONE_OVER] = "SELECT row FROM in_message INDEXED BY in_gone"
                         " WHERE state = 2 AND tombstone <= ? ORDER BY tombstone LIMIT 1",
    [SQL_IN_DELETE] = "DELETE FROM in_message WHERE row = ?",

    [SQL_PART_ANY] = "SELECT 1 FROM in_part LIMIT 1",
    [SQL_PART_FIND] = "SELECT total, held, blocks, kind FROM in_part WHERE sender = ? AND id = ?",
    [SQL_PART_INSERT] = "INSERT INTO in_part (sender, id, total, held, blocks, until, kind, grown)"
                        " VALUES (?, ?, ?, 0, ?, ?, ?, ?)",
    [SQL_PART_GROW] = "UPDATE in_part SET held = held + ?3, until = ?4, known = ?5,"
                      " grown = CASE WHEN (held + ?3) / ?7 > held / ?7 THEN ?6 ELSE grown END"
                      " WHERE sender = ?1 AND id = ?2",
    [SQL_PART_DELETE] = "DELETE FROM in_part WHERE sender = ? AND id = ?",
    [SQL_PART_OVER] = "SELECT sender, id, total, held, blocks, kind FROM in_part"
                      " INDEXED BY in_part_over WHERE until <= ? ORDER BY until LIMIT 1",
    /* Of strangers first. Never the one that comes, whose sender and id are the last two. */
    [SQL_PART_STALE] = "SELECT sender, id, total, held, blocks, kind FROM in_part"
                       " INDEXED BY in_part_grown WHERE known = ? AND grown <= ?"
                       " AND (sender, id) <> (?, ?) ORDER BY grown, sender, id LIMIT 1",
    [SQL_PART_STALE_OF] = "SELECT sender, id, total, held, blocks, kind FROM in_part"
                          " WHERE sender = ? AND grown <= ? AND id <> ?"
                          " ORDER BY grown, id LIMIT 1",
    [SQL_PART_STALE_SUM] = "SELECT " PART_SUMS ", coalesce(sum(CASE WHEN known >= ?1 THEN"
                           " min(total - held, 262144) END), 0)"
                           " FROM in_part INDEXED BY in_part_grown"
                           " WHERE known <= ?1 AND grown <= ?2 AND (sender, id) <> (?3, ?4)",
    [SQL_PART_STALE_SUM_OF] = "SELECT " PART_SUMS ", 0 FROM in_part"
                              " WHERE sender = ? AND grown <= ? AND id <> ?",
    [SQL_PART_COUNT] = "SELECT count(*) FROM in_part",
    [SQL_PART_COMING] = "SELECT coalesce(sum(min(total - held, ?)), 0) FROM in_part"
                        " INDEXED BY in_part_grown WHERE known >= ?",
    [SQL_PART_MANY_FROM] = "SELECT 1 FROM in_part WHERE sender = ? LIMIT 1 OFFSET ?",
    [SQL_PART_ABANDON] = "UPDATE in_part SET grown = 0, known = 0 WHERE sender = ? AND grown <= ?",
    [SQL_PART_HELD] = "SELECT coalesce((SELECT sum(held) FROM in_part), 0) + coalesce((SELECT"
                      " sum(held) FROM file_in INDEXED BY file_partial WHERE state = 1), 0)",

    [SQL_USAGE_GET] = "SELECT bytes FROM usage WHERE sender = ? AND kind = ?",
    [SQL_USAGE_PUT] = "INSERT INTO usage (sender, kind, bytes) VALUES (?, ?, ?)"
                      " ON CONFLICT DO UPDATE SET bytes = excluded.bytes",
    [SQL_USAGE_DELETE] = "DELETE FROM usage WHERE sender = ? AND kind = ?",

    [SQL_HISTORY_IN] = "SELECT received, id, kind, sent, state, size, blocks, body FROM in_message"
                       " INDEXED BY in_history WHERE kept = 1 AND sender = ?"
                       " AND received >= ? AND received < ? ORDER BY received, row",
    [SQL_HISTORY_OUT] = "SELECT created, id, kind, finished, state, reason, size, blocks, body"
                        " FROM out_message INDEXED BY out_history WHERE kind < 3"
                        " AND recipient = ? AND created >= ? AND created < ?"
                        " ORDER BY created, row",
    /* Peers are found by leaps over the index, and each one's latest message by another leap: as
     * many steps as there are peers, not messages. */
    [SQL_PEERS] =
        "WITH RECURSIVE sender(id) AS (SELECT (SELECT min(sender) FROM in_message"
        " INDEXED BY in_history WHERE kept = 1) UNION ALL SELECT (SELECT min(sender)"
        " FROM in_message INDEXED BY in_history WHERE kept = 1 AND sender > sender.id)"
        " FROM sender WHERE id NOT NULL),"
        " recipient(id) AS (SELECT (SELECT min(recipient) FROM out_message"
        " INDEXED BY out_history WHERE kind < 3) UNION ALL SELECT (SELECT min(recipient)"
        " FROM out_message INDEXED BY out_history WHERE kind < 3 AND recipient > recipient.id)"
        " FROM recipient WHERE id NOT NULL),"
        " peer(id) AS (SELECT id FROM sender WHERE id NOT NULL"
        " UNION SELECT id FROM recipient WHERE id NOT NULL)"
        " SELECT id, max(coalesce((SELECT max(received) FROM in_message INDEXED BY in_history"
        " WHERE kept = 1 AND sender = peer.id), -9223372036854775807),"
        " coalesce((SELECT max(created) FROM out_message INDEXED BY out_history WHERE kind < 3"
        " AND recipient = peer.id), -9223372036854775807)) AS last"
        " FROM peer ORDER BY last DESC, id LIMIT ? OFFSET ?",
    [SQL_PEER_COUNT_IN] = "SELECT count(*) FROM in_message INDEXED BY in_history"
                          " WHERE kept = 1 AND sender = ?",
    [SQL_PEER_COUNT_WAITING] = "SELECT count(*) FROM in_message INDEXED BY in_waiting_from"
                               " WHERE " WAITING " AND sender = ?",
    [SQL_PEER_COUNT_OUT] = "SELECT count(*) FROM out_message INDEXED BY out_history"
                           " WHERE kind < 3 AND recipient = ?",
    [SQL_PEER_LAST_IN] = "SELECT address, name, received, kind, size, blocks, body, (SELECT"
                         " f.name FROM file_in f WHERE f.id = m.id AND f.sender = m.sender)"
                         " FROM in_message m"
                         " INDEXED BY in_history WHERE kept = 1 AND sender = ?"
                         " ORDER BY received DESC, row DESC LIMIT 1",
    [SQL_PEER_LAST_OUT] = "SELECT created, kind, size, blocks, body, (SELECT f.name"
                          " FROM out_file f WHERE f.id = m.id) FROM out_message m"
                          " INDEXED BY out_history WHERE kind < 3 AND recipient = ?"
                          " ORDER BY created DESC, row DESC LIMIT 1",
    [SQL_PEER_PIN] = "SELECT pin FROM node WHERE id = ? AND pin NOT NULL",
    [SQL_FORGET_IN_BLOCKS] =
        "DELETE FROM block WHERE body IN (SELECT blocks FROM (" FORGOTTEN_IN ") WHERE blocks"
        " NOT NULL)",
    [SQL_FORGET_IN] =
        "UPDATE in_message SET state = 2, kept = 0, blocks = NULL, body = NULL, name = '',"
        " address = NULL WHERE row IN (SELECT row FROM (" FORGOTTEN_IN "))",
    [SQL_FORGET_OUT_BLOCKS] =
        "DELETE FROM block WHERE body IN (SELECT blocks FROM (" FORGOTTEN_OUT ") WHERE blocks"
        " NOT NULL)",
    [SQL_FORGET_OUT] = "DELETE FROM out_message WHERE row IN (SELECT row FROM (" FORGOTTEN_OUT "))",

    [SQL_RULE_PUT] = "INSERT INTO rule (id, rule) VALUES (?, ?)"
                     " ON CONFLICT DO UPDATE SET rule = excluded.rule",
    [SQL_RULE_DELETE] = "DELETE FROM rule WHERE id = ?",
    [SQL_RULES] = "SELECT id, rule FROM rule ORDER BY id",
    [SQL_MAIL_KEY_PUT] = "INSERT INTO mail_key (day, secret) VALUES (?, ?)"
                         " ON CONFLICT DO UPDATE SET secret = excluded.secret",
    [SQL_MAIL_KEYS_OVER] = "DELETE FROM mail_key WHERE day < ?",
    [SQL_MAIL_KEYS] = "SELECT day, secret FROM mail_key ORDER BY day",

    [SQL_NODE_PUT] = "INSERT INTO node (id, bytes, pin) VALUES (?, ?, ?) ON CONFLICT (id)"
                     " DO UPDATE SET bytes = excluded.bytes, pin = excluded.pin",
    [SQL_NODE_UNPIN] = "UPDATE node SET was = pin, pin = NULL"
                       " WHERE pin = ?1 OR (?2 AND substr(pin, 1, 16) = substr(?1, 1, 16))",
    [SQL_NODES] = "SELECT bytes, pin, was FROM node ORDER BY row",
    [SQL_SPARES_CLEAR] = "DELETE FROM spare",
    [SQL_SPARE_PUT] = "INSERT INTO spare (address, id, anchor) VALUES (?, ?, ?)",
    [SQL_SPARES] = "SELECT address, id, anchor FROM spare ORDER BY place",

    /* Of files: 1 partial, 2 waiting, 3 taken (enum file_in_state). */
    [SQL_OUT_IS_PENDING] = "SELECT 1 FROM out_message WHERE id = ? AND state < 3",
    [SQL_FILE_OUT_INSERT] = "INSERT INTO out_file VALUES (?, ?, ?)",
    [SQL_FILE_OUT_FIND] = "SELECT digest, name FROM out_file WHERE id = ?",
    [SQL_FILE_OUT_LIST] = "SELECT row, id, recipient, digest, name, size, progress, created, state"
                          " FROM out_message INDEXED BY out_pending JOIN out_file USING (id)"
                          " WHERE state < 3 AND row > ? ORDER BY row",
    [SQL_FILE_OUT_OF_ID] = "SELECT row, id, recipient, digest, name, size, progress, created, state"
                           " FROM out_message JOIN out_file USING (id) WHERE id = ?",
    [SQL_FILE_FIND] = "SELECT row, state, total, held, digest, path FROM file_in"
                      " WHERE sender = ? AND id = ?",
    [SQL_FILE_INSERT] = "INSERT INTO file_in (sender, id, sequence, sent, received, address,"
                        " sender_name, digest, name, total, path, until, grown, held, state, taken)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 1, 0)",
    [SQL_FILE_GROW] = "UPDATE file_in SET held = held + ?2, until = ?3, known = ?4,"
                      " grown = CASE WHEN (held + ?2) / ?6 > held / ?6 THEN ?5 ELSE grown END"
                      " WHERE row = ?1",
    [SQL_FILE_COMPLETE] = "UPDATE file_in SET state = 2, path = ?2, received = ?3 WHERE row = ?1",
    [SQL_FILE_DELETE] = "DELETE FROM file_in WHERE row = ?",
    [SQL_FILE_CHARGE] = "SELECT bytes, files FROM file_charge WHERE sender = ?",
    [SQL_FILE_COMING] = "SELECT coalesce(sum(min(total - held, ?)), 0) FROM file_in"
                        " INDEXED BY file_partial_grown WHERE state = 1 AND known >= ?",
    [SQL_FILE_HAS_PARTIAL] = "SELECT 1 FROM file_in INDEXED BY file_partial_from"
                             " WHERE state = 1 AND sender = ? LIMIT 1 OFFSET ?",
    [SQL_FILE_MANY] = "SELECT 1 FROM file_in INDEXED BY file_partial WHERE state = 1"
                      " LIMIT 1 OFFSET ?",
    [SQL_FILE_PARTIAL_COUNT] =
        "SELECT count(*) FROM file_in INDEXED BY file_partial WHERE state = 1",
    [SQL_FILE_PART_STALE] = "SELECT row, path, held FROM file_in INDEXED BY file_partial_grown"
                            " WHERE state = 1 AND known = ? AND grown <= ? AND row <> ?"
                            " ORDER BY grown, row LIMIT 1",
    [SQL_FILE_STALE_OF] = "SELECT row, path, held FROM file_in INDEXED BY file_partial_from"
                          " WHERE state = 1 AND sender = ? AND grown <= ? AND row <> ?"
                          " ORDER BY grown, row LIMIT 1",
    [SQL_FILE_STALE_SUM] = "SELECT " FILE_SUMS ", coalesce(sum(CASE WHEN known >= ?1 THEN"
                           " min(total - held, 8388608) END), 0)"
                           " FROM file_in INDEXED BY file_partial_grown"
                           " WHERE state = 1 AND known <= ?1 AND grown <= ?2 AND row <> ?3",
    [SQL_FILE_STALE_SUM_OF] = "SELECT " FILE_SUMS ", 0 FROM file_in INDEXED BY file_partial_from"
                              " WHERE state = 1 AND sender = ? AND grown <= ? AND row <> ?",
    [SQL_FILE_ABANDON] = "UPDATE file_in SET grown = 0, known = 0 WHERE state = 1 AND sender = ?"
                         " AND grown <= ?",
    [SQL_FILE_PART_KNOWN] =
        "SELECT 1 FROM file_in INDEXED BY file_part WHERE path = ? AND state = 1",
    [SQL_FILE_LIST] = "SELECT " FILE_COLUMNS " FROM file_in INDEXED BY file_open"
                      " WHERE state < 3 AND row > ? ORDER BY row",
    [SQL_FILE_OF_ID] = "SELECT " FILE_COLUMNS " FROM file_in WHERE id = ? AND state < 3",
    [SQL_FILE_WAITING] = "SELECT row, path FROM file_in WHERE sender = ? AND id = ? AND state = 2",
    [SQL_FILE_WAITING_PAGE] = "SELECT row, path FROM file_in INDEXED BY file_waiting"
                              " WHERE state = 2 AND row > ? ORDER BY row LIMIT ?",
    [SQL_FILE_TAKE] = "UPDATE file_in SET state = 3, path = '', taken = ?2 WHERE row = ?1",
    [SQL_FILE_ENTER] = "INSERT INTO in_message (row, sender, id, sequence, sent, received, address,"
                       " name, size, tombstone, state, taken, kind)"
                       " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 2) ON CONFLICT DO NOTHING",
    [SQL_FILE_ENTER_TAKEN] =
        "UPDATE in_message SET state = 1, taken = ?2 WHERE state = 0 AND kind = 2"
        " AND (id, sender) = (SELECT id, sender FROM file_in WHERE row = ?1)",
    [SQL_FILE_HEAD] = "SELECT digest, name FROM file_in WHERE sender = ? AND id = ?",
    [SQL_FILE_FORGET_PEER] = "DELETE FROM file_in WHERE row IN (SELECT row FROM file_in"
                             " WHERE sender = ?1 AND state = 3 LIMIT ?2)",
    [SQL_FILE_PART_OVER] = "SELECT row, path, held FROM file_in INDEXED BY file_partial"
                           " WHERE state = 1 AND until <= ? ORDER BY until LIMIT 1",
    [SQL_FILE_TAKEN_OVER] = "SELECT row FROM file_in INDEXED BY file_taken"
                            " WHERE state = 3 AND taken <= ? ORDER BY taken LIMIT 1",
    [SQL_SPAN_LAST] = "SELECT start, stop FROM file_span WHERE file = ? AND start < ?"
                      " ORDER BY start DESC LIMIT 1",
    [SQL_SPAN_AT] = "SELECT stop FROM file_span WHERE file = ? AND start = ?",
    [SQL_SPAN_COUNT] = "SELECT count(*) FROM (SELECT 1 FROM file_span WHERE file = ? LIMIT ?)",
    [SQL_SPAN_PUT] =
        "INSERT INTO file_span VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET stop = excluded.stop",
    [SQL_SPAN_DELETE] = "DELETE FROM file_span WHERE file = ? AND start = ?",
    [SQL_SPAN_CLEAR] = "DELETE FROM file_span WHERE file = ?",
};

/* ---- Memory ---- */

struct store_piece {
    struct store_piece *next;
    size_t size;
    _Alignas(max_align_t) uint8_t bytes[];
};

void *store_arena_alloc(struct store_arena *arena, size_t size) {
    struct store_piece *piece = malloc(sizeof *piece + size);
    if (!piece)
        return NULL;
    piece->next = arena->pieces;
    piece->size = size;
    arena->pieces = piece;
    return piece->bytes;
}

void *store_arena_grow(struct store_arena *arena, void *array, size_t n, size_t size) {
    if (n & (n - 1))
        return array;
    void *larger = store_arena_alloc(arena, (n ? 2 * n : 1) * size);
    if (larger && n)
        memcpy(larger, array, n * size);
    return larger;
}

void store_arena_free(struct store_arena *arena) {
    while (arena->pieces) {
        struct store_piece *piece = arena->pieces;
        arena->pieces = piece->next;
        if (arena->is_secret)
            sodium_memzero(piece->bytes, piece->size);
        free(piece);
    }
}

/* ---- Queries ---- */

/* By then SQLite has forgotten why a write failed. With a limit on file sizes, assume that it was
 * the limit. */
static bool has_size_limit(void) {
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

int store_errno(sqlite3 *sqlite, int code) {
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EUCLEAN;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN: { /* a disk quota that is used up counts as a full disk */
        int system = sqlite ? sqlite3_system_errno(sqlite) : 0;
        if (code == SQLITE_IOERR_WRITE && has_size_limit())
            return -EFBIG;
        return system == EDQUOT || system == ENOSPC ? -ENOSPC : system ? -system : -EIO;
    }
    default:
        return -EIO;
    }
}

static void note_failure(struct query *query, int code) {
    if (!query->db->error)
        query->db->error = store_errno(query->db->sqlite, code);
}

struct query query_begin(struct store_db *db, enum store_statement which) {
    struct query query = {.db = db};
    sqlite3_stmt **statement = &db->statements[which];
    if (db->error)
        return query;
    if (!*statement) {
        int code = sqlite3_prepare_v3(db->sqlite, statements[which], -1, SQLITE_PREPARE_PERSISTENT,
                                      statement, NULL);
        if (code)
            note_failure(&query, code);
    }
    query.statement = *statement;
    return query;
}

void query_int(struct query *query, int64_t value) {
    if (query->statement)
        sqlite3_bind_int64(query->statement, ++query->at, value);
}

void query_blob(struct query *query, const void *bytes, size_t length) {
    if (!query->statement)
        return;
    /* A NULL pointer would bind SQL NULL, which is not the same as an empty body. */
    int code =
        length ? sqlite3_bind_blob64(query->statement, ++query->at, bytes, length, SQLITE_STATIC)
               : sqlite3_bind_zeroblob(query->statement, ++query->at, 0);
    if (code)
        note_failure(query, code);
}

void query_null(struct query *query) {
    if (query->statement)
        sqlite3_bind_null(query->statement, ++query->at);
}

void query_text(struct query *query, const char *text) {
    if (query->statement)
        sqlite3_bind_text(query->statement, ++query->at, text, -1, SQLITE_STATIC);
}

void query_address(struct query *query, const struct address *address) {
    if (!query->statement)
        return;
    address_pack(address, query->address);
    int code = sqlite3_bind_blob(query->statement, ++query->at, query->address,
                                 sizeof query->address, SQLITE_STATIC);
    if (code)
        note_failure(query, code);
}

bool query_row(struct query *query) {
    if (!query->statement || query->db->error)
        return false;
    int code = sqlite3_step(query->statement);
    query->at = 0;
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        note_failure(query, code);
    return code == SQLITE_ROW;
}

int64_t query_get_int(struct query *query) {
    return sqlite3_column_int64(query->statement, query->at++);
}

const uint8_t *query_get_blob(struct query *query, size_t *ret_length) {
    const uint8_t *bytes = sqlite3_column_blob(query->statement, query->at);
    *ret_length = (size_t)sqlite3_column_bytes(query->statement, query->at++);
    return bytes;
}

void query_get_exact(struct query *query, void *ret_bytes, size_t length) {
    size_t found;
    const uint8_t *bytes = query_get_blob(query, &found);
    if (found != length) {
        note_failure(query, SQLITE_CORRUPT);
        memset(ret_bytes, 0, length);
    } else if (length) {
        memcpy(ret_bytes, bytes, length);
    }
}

void query_get_text(struct query *query, char *ret_text, size_t size) {
    const char *text = (const char *)sqlite3_column_text(query->statement, query->at++);
    size_t length = text ? strnlen(text, size - 1) : 0;
    if (length)
        memcpy(ret_text, text, length);
    ret_text[length] = 0;
}

void query_get_address(struct query *query, struct address *ret_address) {
    uint8_t wire[ADDRESS_WIRE_LEN];
    query_get_exact(query, wire, sizeof wire);
    address_unpack(wire, ret_address);
}

void query_end(struct query *query) {
    if (query->statement)
        sqlite3_reset(query->statement);
}

int query_run(struct query *query) {
    query_row(query);
    int changed = query->db->error ? 0 : sqlite3_changes(query->db->sqlite);
    query_end(query);
    return changed;
}

void store_meta_raise(struct store_db *db, const char *key, int64_t value) {
    struct query query = query_begin(db, SQL_META_RAISE);
    query_text(&query, key);
    query_int(&query, value);
    query_run(&query);
}

static void meta_set(struct store_db *db, const char *key, int64_t value) {
    struct query query = query_begin(db, SQL_META_SET);
    query_text(&query, key);
    query_int(&query, value);
    query_run(&query);
}

void store_clock_put(struct store_db *db, const struct store_op *op) {
    meta_set(db, "clock", op->clock.wall.us);
    meta_set(db, "swept", op->clock.swept.us);
    meta_set(db, "clock_is_known", op->clock.is_known);
    if (op->clock.shift_us == 0)
        return;
    struct query query = query_begin(db, SQL_OUT_SHIFT);
    query_int(&query, op->clock.shift_us);
    query_run(&query);
}

/* ---- Bodies ---- */

void store_body_put(struct store_db *db, int64_t body, uint64_t offset, const uint8_t *bytes,
                    uint32_t length) {
    struct query query = query_begin(db, SQL_BLOCK_INSERT);
    query_int(&query, body);
    query_int(&query, (int64_t)offset);
    query_blob(&query, bytes, length);
    query_run(&query);
}

void store_body_delete(struct store_db *db, int64_t body) {
    struct query query = query_begin(db, SQL_BLOCK_DELETE);
    query_int(&query, body);
    query_run(&query);
}

void store_body_read(struct store_db *db, int64_t body, uint64_t offset, uint32_t length,
                     uint8_t *ret_bytes) {
    uint64_t at = offset, end = offset + length;
    struct query query = query_begin(db, SQL_BLOCK_READ);
    query_int(&query, body);
    query_int(&query, (int64_t)offset);
    query_int(&query, (int64_t)end);
    while (at < end && query_row(&query)) {
        size_t n;
        uint64_t start = (uint64_t)query_get_int(&query);
        const uint8_t *bytes = query_get_blob(&query, &n);
        if (start > at || start + n <= at)
            break;
        uint64_t copied = (start + n < end ? start + n : end) - at;
        memcpy(ret_bytes + (at - offset), bytes + (at - start), (size_t)copied);
        at += copied;
    }
    if (at < end)
        note_failure(&query, SQLITE_CORRUPT);
    query_end(&query);
}

/* Is there a body of this size? A damaged size must not make us allocate gigabytes. */
static bool is_held(struct store_db *db, int64_t blocks, uint64_t size) {
    uint64_t end = 0;
    if (!blocks || size > UINT32_MAX)
        return !blocks && size <= STORE_INLINE_MAX;
    struct query query = query_begin(db, SQL_BLOCK_BEFORE);
    query_int(&query, blocks);
    query_int(&query, (int64_t)size);
    if (query_row(&query)) {
        end = (uint64_t)query_get_int(&query);
        end += (uint64_t)query_get_int(&query);
    }
    query_end(&query);
    return end == size;
}

/* The column holds the whole body, even if only its beginning is wanted. */
static void copy_inline(struct query *query, uint64_t size, uint64_t length, uint8_t *ret_bytes) {
    size_t found;
    const uint8_t *bytes = query_get_blob(query, &found);
    if (found != size)
        note_failure(query, SQLITE_CORRUPT);
    else if (length)
        memcpy(ret_bytes, bytes, (size_t)length);
}

const uint8_t *store_body_load(struct query *query, struct store_arena *arena, int64_t blocks,
                               uint64_t size, uint64_t length) {
    struct store_db *db = query->db;
    if (!is_held(db, blocks, size))
        note_failure(query, SQLITE_CORRUPT);
    uint8_t *body = db->error ? NULL : store_arena_alloc(arena, (size_t)length);
    if (!body) {
        db->error = db->error ? db->error : -ENOMEM;
        return NULL;
    }
    if (blocks)
        store_body_read(db, blocks, 0, (uint32_t)length, body);
    else
        copy_inline(query, size, length, body);
    return db->error ? NULL : body;
}
