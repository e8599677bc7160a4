/* Messages as the database holds them. Those that we send: a record, and a body in the row or in
 * blocks. Those that we receive: gathered from blocks, waiting, taken, and in the end a
 * tombstone, by which a message that comes again is known.
 *
 * Threat: inbound blocks are what a proven but perhaps hostile sender says, in any order and as
 * often as it likes. A block that contradicts what is held (another total, an overlap) is
 * refused alone; what an honest sender repeats changes nothing. */
#include "daemon/io/store_file.h"
#include "daemon/io/store_sql.h"

#include <errno.h>

/* What one transaction sweeps at most: so many rows, a body counting as a row for each of so
 * many bytes. Some 50 ms of work; what is left follows when the queue is empty, so that a push
 * never waits behind the sweep of a million messages. */
#define SWEEP_ROWS 2048
#define SWEEP_BYTES_ROW 8192

/* ---- Outbound ---- */

void store_out_record(struct query *query, struct out_record *ret_record) {
    *ret_record = (struct out_record){0};
    query_get_exact(query, ret_record->id.bytes, MESSAGE_ID_LEN);
    query_get_exact(query, ret_record->recipient.bytes, NODE_ID_LEN);
    ret_record->sequence = (uint64_t)query_get_int(query);
    ret_record->created.us = query_get_int(query);
    ret_record->expires.us = query_get_int(query);
    ret_record->finished.us = query_get_int(query);
    ret_record->size = (uint64_t)query_get_int(query);
    ret_record->state = (enum message_state)query_get_int(query);
    query_get_text(query, ret_record->reason, sizeof ret_record->reason);
    ret_record->relays_exact = (uint8_t)query_get_int(query);
    ret_record->strict = query_get_int(query) != 0;
}

bool store_out_find_id(struct store_db *db, const struct message_id *id,
                       struct out_record *ret_record) {
    struct query query = query_begin(db, SQL_OUT_FIND);
    query_blob(&query, id->bytes, MESSAGE_ID_LEN);
    bool found = query_row(&query);
    if (found)
        store_out_record(&query, ret_record);
    query_end(&query);
    if (found && !ret_record->kind)
        ret_record->kind = store_file_out_is(db, id) ? KIND_FILE : KIND_MESSAGE;
    return found;
}

static bool insert_out(struct store_db *db, const struct out_record *record, int64_t blocks,
                       const uint8_t *body) {
    struct query query = query_begin(db, SQL_OUT_INSERT);
    query_blob(&query, record->id.bytes, MESSAGE_ID_LEN);
    query_blob(&query, record->recipient.bytes, NODE_ID_LEN);
    query_int(&query, (int64_t)record->sequence);
    query_int(&query, record->created.us);
    query_int(&query, record->expires.us);
    query_int(&query, record->finished.us);
    query_int(&query, record->size);
    query_int(&query, record->state);
    query_text(&query, record->reason);
    query_int(&query, record->relays_exact);
    query_int(&query, record->strict);
    if (blocks) {
        query_int(&query, blocks);
        query_null(&query);
    } else {
        query_null(&query);
        query_blob(&query, body, body ? record->size : 0);
    }
    return query_run(&query) > 0;
}

void store_out_insert_file(struct store_db *db, const struct out_record *record) {
    insert_out(db, record, 0, NULL);
}

/* Where a body is: in blocks (their number), or in the row (0, and up to STORE_INLINE_MAX bytes
 * copied). */
static bool locate(struct store_db *db, const struct message_id *id, uint32_t *ret_size,
                   int64_t *ret_blocks, uint8_t ret_inline[STORE_INLINE_MAX]) {
    struct query query = query_begin(db, SQL_OUT_BODY);
    query_blob(&query, id->bytes, MESSAGE_ID_LEN);
    bool found = query_row(&query);
    if (found) {
        *ret_size = (uint32_t)query_get_int(&query);
        *ret_blocks = query_get_int(&query);
        if (*ret_blocks == 0 && *ret_size <= STORE_INLINE_MAX)
            query_get_exact(&query, ret_inline, *ret_size);
        else if (*ret_blocks == 0)
            db->error = -EUCLEAN;
    }
    query_end(&query);
    return found && !db->error;
}

static bool is_same_body(struct store_db *db, const struct message_id *id, const uint8_t *body) {
    uint8_t inlined[STORE_INLINE_MAX], piece[4096];
    uint32_t size;
    int64_t blocks;
    if (!locate(db, id, &size, &blocks, inlined))
        return false;
    if (!blocks)
        return size == 0 || memcmp(inlined, body, size) == 0;
    for (uint32_t at = 0; at < size;) {
        uint32_t n = size - at < sizeof piece ? size - at : (uint32_t)sizeof piece;
        store_body_read(db, blocks, at, n, piece);
        if (db->error || memcmp(piece, body + at, n) != 0)
            return false;
        at += n;
    }
    return true;
}

int store_out_put(struct store_db *db, const struct store_op *op, struct store_result *result) {
    if (op->out_put.record.kind == KIND_FILE)
        return store_file_out_put(db, op, result);
    const uint8_t *body = op->out_put.body;
    struct out_record record = op->out_put.record, known;
    int64_t blocks = record.size > STORE_INLINE_MAX ? db->next_body : 0;
    record.state = MESSAGE_QUEUED;
    record.finished.us = 0;
    memset(record.reason, 0, sizeof record.reason);
    if (insert_out(db, &record, blocks, body)) {
        db->next_body += blocks != 0;
        for (uint32_t at = 0; blocks && at < record.size;) {
            uint32_t left = record.size - at, n = left < STORE_BLOCK_MAX ? left : STORE_BLOCK_MAX;
            store_body_put(db, blocks, at, body + at, n);
            at += n;
        }
        result->record = record;
        return 0;
    }
    if (!store_out_find_id(db, &record.id, &known))
        return db->error;
    if (store_file_out_is(db, &record.id) ||
        !node_id_is_equal(&known.recipient, &record.recipient) || known.size != record.size ||
        !is_same_body(db, &record.id, body))
        return -EEXIST;
    result->existed = true;
    result->record = known;
    return 0;
}

static void forget_out(struct store_db *db, const struct message_id *id) {
    struct query query = query_begin(db, SQL_OUT_BODY);
    query_blob(&query, id->bytes, MESSAGE_ID_LEN);
    int64_t blocks = 0;
    if (query_row(&query)) {
        query_get_int(&query);
        blocks = query_get_int(&query);
    }
    query_end(&query);
    if (blocks)
        store_body_delete(db, blocks);
    query = query_begin(db, SQL_OUT_DELETE);
    query_blob(&query, id->bytes, MESSAGE_ID_LEN);
    query_run(&query);
}

int store_out_state(struct store_db *db, const struct store_op *op) {
    const uint8_t *id = op->out_state.id.bytes;
    char reason[MESSAGE_REASON_MAX];
    memcpy(reason, op->out_state.reason, sizeof reason);
    reason[sizeof reason - 1] = 0;
    struct query query = query_begin(db, SQL_OUT_STATE);
    query_blob(&query, id, MESSAGE_ID_LEN);
    query_int(&query, op->out_state.state);
    query_text(&query, reason);
    query_int(&query, op->out_state.finished.us);
    if (query_run(&query) == 0)
        return -ENOENT;
    if (!message_state_is_final(op->out_state.state))
        return 0;
    /* While a message is pending it tells its sequence itself, which saves every push a write. */
    query = query_begin(db, SQL_CONVERSATION_RAISE);
    query_blob(&query, id, MESSAGE_ID_LEN);
    query_run(&query);
    store_file_out_final(db, &op->out_state.id);
    if (op->out_state.forget)
        forget_out(db, &op->out_state.id);
    return 0;
}

int store_out_read(struct store_db *db, const struct store_op *op, struct store_result *result,
                   struct store_arena *arena) {
    uint8_t inlined[STORE_INLINE_MAX];
    struct out_record file;
    uint32_t size, offset = (uint32_t)op->out_read.offset, length = op->out_read.length;
    int64_t blocks;
    if (store_file_out_is(db, &op->out_read.id))
        return store_out_find_id(db, &op->out_read.id, &file)
                   ? store_file_out_read(db, op, file.size, result, arena)
                   : -ENOENT;
    if (!locate(db, &op->out_read.id, &size, &blocks, inlined))
        return -ENOENT;
    if (offset > size)
        return -EINVAL;
    if (length > size - offset)
        length = size - offset;
    uint8_t *bytes = store_arena_alloc(arena, length);
    if (!bytes)
        return -ENOMEM;
    if (blocks)
        store_body_read(db, blocks, offset, length, bytes);
    else
        memcpy(bytes, inlined + offset, length);
    result->bytes = bytes;
    result->length = length;
    return 0;
}

int store_out_find(struct store_db *db, const struct store_op *op, struct store_result *result,
                   struct store_arena *arena) {
    if (!store_out_find_id(db, &op->out_find.id, &result->record))
        return -ENOENT;
    store_file_out_head(db, arena, &result->record);
    return 0;
}

/* ---- Inbound ---- */

struct part {
    bool exists;
    uint32_t total, held;
    int64_t blocks;
};

static void query_key(struct query *query, const struct store_op *op) {
    query_blob(query, op->in_put.sender.bytes, NODE_ID_LEN);
    query_blob(query, op->in_put.id.bytes, MESSAGE_ID_LEN);
}

static bool is_known(struct store_db *db, const struct store_op *op) {
    struct query query = query_begin(db, SQL_IN_KNOWN);
    query_key(&query, op);
    bool known = query_row(&query);
    query_end(&query);
    return known;
}

static struct part find_part(struct store_db *db, const struct store_op *op) {
    struct part part = {0};
    struct query query = query_begin(db, SQL_PART_FIND);
    query_key(&query, op);
    part.exists = query_row(&query);
    if (part.exists) {
        part.total = (uint32_t)query_get_int(&query);
        part.held = (uint32_t)query_get_int(&query);
        part.blocks = query_get_int(&query);
    }
    query_end(&query);
    return part;
}

/* Enter the complete message, in blocks (their number) or with its body in the row. False: it is
 * known already. */
static bool insert_in(struct store_db *db, const struct store_op *op, int64_t blocks) {
    char name[NODE_NAME_MAX + 1];
    memcpy(name, op->in_put.sender_name, sizeof name);
    name[sizeof name - 1] = 0;
    struct query query = query_begin(db, SQL_IN_INSERT);
    query_int(&query, db->next_row);
    query_blob(&query, op->in_put.sender.bytes, NODE_ID_LEN);
    query_address(&query, &op->in_put.sender_address);
    query_text(&query, name);
    query_blob(&query, op->in_put.id.bytes, MESSAGE_ID_LEN);
    query_int(&query, (int64_t)op->in_put.sequence);
    query_int(&query, op->in_put.sent.us);
    query_int(&query, op->in_put.received.us);
    query_int(&query, op->in_put.total);
    if (blocks) {
        query_int(&query, blocks);
        query_null(&query);
    } else {
        query_null(&query);
        query_blob(&query, op->in_put.bytes, op->in_put.length);
    }
    query_int(&query, op->in_put.tombstone_until.us);
    bool inserted = query_run(&query) > 0;
    db->next_row += inserted;
    return inserted;
}

/* All of the message is in this one block. */
static int put_whole(struct store_db *db, const struct store_op *op, struct store_result *result) {
    int64_t blocks = op->in_put.total > STORE_INLINE_MAX ? db->next_body : 0;
    if (!insert_in(db, op, blocks)) {
        result->in_outcome = STORE_IN_DUPLICATE;
        return 0;
    }
    if (blocks) {
        db->next_body++;
        store_body_put(db, blocks, 0, op->in_put.bytes, op->in_put.length);
    }
    result->in_outcome = STORE_IN_COMPLETE;
    return 0;
}

enum place { PLACE_FREE, PLACE_HELD, PLACE_OVERLAPS };

/* Is there room for this block between those that are held? */
static enum place find_place(struct store_db *db, const struct part *part,
                             const struct store_op *op) {
    enum place place = PLACE_FREE;
    struct query query = query_begin(db, SQL_BLOCK_BEFORE);
    query_int(&query, part->blocks);
    query_int(&query, (int64_t)op->in_put.offset + op->in_put.length);
    if (query_row(&query)) {
        int64_t offset = query_get_int(&query), length = query_get_int(&query);
        if (offset == op->in_put.offset && length == op->in_put.length)
            place = PLACE_HELD;
        else if (offset + length > op->in_put.offset)
            place = PLACE_OVERLAPS;
    }
    query_end(&query);
    return place;
}

static void begin_part(struct store_db *db, const struct store_op *op, struct part *part) {
    *part = (struct part){true, op->in_put.total, 0, db->next_body++};
    struct query query = query_begin(db, SQL_PART_INSERT);
    query_key(&query, op);
    query_int(&query, part->total);
    query_int(&query, 0);
    query_int(&query, part->blocks);
    query_int(&query, op->in_put.tombstone_until.us);
    query_run(&query);
}

static void finish_part(struct store_db *db, const struct store_op *op, const struct part *part) {
    struct query query = query_begin(db, SQL_PART_DELETE);
    query_key(&query, op);
    query_run(&query);
    insert_in(db, op, part->blocks);
}

static void grow_part(struct store_db *db, const struct store_op *op) {
    struct query query = query_begin(db, SQL_PART_GROW);
    query_key(&query, op);
    query_int(&query, op->in_put.length);
    query_int(&query, op->in_put.tombstone_until.us);
    query_run(&query);
}

static bool is_sane(const struct store_op *op) {
    uint64_t end = (uint64_t)op->in_put.offset + op->in_put.length;
    return op->in_put.length <= STORE_BLOCK_MAX && end <= op->in_put.total &&
           (op->in_put.length > 0 || op->in_put.total == 0);
}

int store_in_put(struct store_db *db, const struct store_op *op, struct store_result *result) {
    if (op->in_put.kind == KIND_FILE)
        return store_file_in_put(db, op, result);
    struct part part = find_part(db, op);
    if (is_sane(op) && !part.exists && op->in_put.length == op->in_put.total)
        return put_whole(db, op, result);
    if (!part.exists && is_known(db, op)) {
        result->in_outcome = STORE_IN_DUPLICATE;
        return 0;
    }
    if (!is_sane(op) || (part.exists && part.total != op->in_put.total))
        return -EINVAL;
    if (!part.exists)
        begin_part(db, op, &part);
    result->in_outcome = STORE_IN_PARTIAL;
    enum place place = find_place(db, &part, op);
    if (place != PLACE_FREE)
        return place == PLACE_HELD ? 0 : -EINVAL;
    store_body_put(db, part.blocks, op->in_put.offset, op->in_put.bytes, op->in_put.length);
    if (part.held + op->in_put.length < part.total) {
        grow_part(db, op);
        return 0;
    }
    finish_part(db, op, &part);
    result->in_outcome = STORE_IN_COMPLETE;
    return 0;
}

/* Everything but the body; returns the number of its blocks. */
static int64_t read_record(struct query *query, struct in_record *record) {
    *record = (struct in_record){.row = query_get_int(query)};
    query_get_exact(query, record->sender.bytes, NODE_ID_LEN);
    query_get_address(query, &record->sender_address);
    query_get_text(query, record->sender_name, sizeof record->sender_name);
    query_get_exact(query, record->id.bytes, MESSAGE_ID_LEN);
    record->sequence = (uint64_t)query_get_int(query);
    record->sent.us = query_get_int(query);
    record->received.us = query_get_int(query);
    record->size = (uint32_t)query_get_int(query);
    return query_get_int(query);
}

/* Is there a body of this size? A damaged size must not make us ask for gigabytes. */
static bool is_held(struct store_db *db, int64_t blocks, uint32_t size) {
    uint64_t end = 0;
    if (!blocks)
        return size <= STORE_INLINE_MAX;
    struct query query = query_begin(db, SQL_BLOCK_BEFORE);
    query_int(&query, blocks);
    query_int(&query, size);
    if (query_row(&query)) {
        end = (uint64_t)query_get_int(&query);
        end += (uint64_t)query_get_int(&query);
    }
    query_end(&query);
    return end == size;
}

static int read_body(struct query *query, struct store_arena *arena, int64_t blocks,
                     struct in_record *record) {
    if (!is_held(query->db, blocks, record->size)) {
        query->db->error = query->db->error ? query->db->error : -EUCLEAN;
        return query->db->error;
    }
    uint8_t *body = store_arena_alloc(arena, record->size);
    if (!body)
        return -ENOMEM;
    record->body = body;
    if (blocks)
        store_body_read(query->db, blocks, 0, record->size, body);
    else
        query_get_exact(query, body, record->size);
    return 0;
}

int store_in_fetch(struct store_db *db, const struct store_op *op, struct store_result *result,
                   struct store_arena *arena) {
    struct in_record *messages = NULL;
    uint64_t bytes = 0;
    size_t n = 0;
    int error = 0;
    struct query query =
        query_begin(db, op->in_fetch.any_sender ? SQL_IN_WAITING : SQL_IN_WAITING_FROM);
    query_int(&query, op->in_fetch.after);
    if (!op->in_fetch.any_sender)
        query_blob(&query, op->in_fetch.sender.bytes, NODE_ID_LEN);
    while (query_row(&query)) {
        struct in_record record;
        int64_t blocks = read_record(&query, &record);
        if (n == op->in_fetch.limit || (n > 0 && bytes + record.size > op->in_fetch.bytes)) {
            result->more = true;
            break;
        }
        struct in_record *larger = store_arena_grow(arena, messages, n, sizeof *messages);
        error = larger ? read_body(&query, arena, blocks, &record) : -ENOMEM;
        if (error)
            break;
        messages = larger;
        messages[n++] = record;
        bytes += record.size;
    }
    query_end(&query);
    if (error)
        return error;
    result->messages = messages;
    result->n_messages = n;
    return 0;
}

static int64_t waiting_body(struct store_db *db, int64_t row, bool *ret_exists) {
    struct query query = query_begin(db, SQL_IN_BODY);
    query_int(&query, row);
    *ret_exists = query_row(&query);
    int64_t blocks = *ret_exists ? query_get_int(&query) : 0;
    query_end(&query);
    return blocks;
}

/* The body of a message that was taken; its row stays as the tombstone. */
static void forget_in(struct store_db *db, int64_t row, int64_t blocks) {
    if (blocks)
        store_body_delete(db, blocks);
    struct query query = query_begin(db, SQL_IN_FORGET);
    query_int(&query, row);
    query_run(&query);
}

void store_in_take(struct store_db *db, const struct store_op *op) {
    for (size_t i = 0; i < op->in_take.n; i++) {
        bool exists = false;
        int64_t row = op->in_take.rows[i];
        if (op->in_take.forget) {
            int64_t blocks = waiting_body(db, row, &exists);
            if (exists)
                forget_in(db, row, blocks);
        } else {
            struct query query = query_begin(db, SQL_IN_TAKE);
            query_int(&query, row);
            query_int(&query, op->in_take.now.us);
            query_run(&query);
        }
    }
}

/* ---- Sweep ---- */

/* A size that is damaged costs a transaction of its own, or a row. */
static int row_cost(int64_t size) {
    if (size < 0 || size / SWEEP_BYTES_ROW >= SWEEP_ROWS)
        return size < 0 ? 1 : SWEEP_ROWS;
    return 1 + (int)(size / SWEEP_BYTES_ROW);
}

static bool sweep_taken(struct store_db *db, int64_t before, int *budget) {
    struct query query = query_begin(db, SQL_IN_TAKEN_OVER);
    query_int(&query, before);
    bool found = query_row(&query);
    int64_t row = found ? query_get_int(&query) : 0, size = found ? query_get_int(&query) : 0;
    int64_t blocks = found ? query_get_int(&query) : 0;
    query_end(&query);
    if (found)
        forget_in(db, row, blocks);
    *budget -= row_cost(size);
    return found;
}

static bool sweep_out(struct store_db *db, int64_t before, int *budget) {
    struct message_id id;
    struct query query = query_begin(db, SQL_OUT_OVER);
    query_int(&query, before);
    bool found = query_row(&query);
    if (found) {
        query_get_exact(&query, id.bytes, MESSAGE_ID_LEN);
        *budget -= row_cost(query_get_int(&query));
    }
    query_end(&query);
    if (found)
        forget_out(db, &id);
    return found;
}

static bool sweep_tombstone(struct store_db *db, int64_t before, int *budget) {
    struct query query = query_begin(db, SQL_IN_GONE_OVER);
    query_int(&query, before);
    bool found = query_row(&query);
    int64_t row = found ? query_get_int(&query) : 0;
    query_end(&query);
    if (!found)
        return false;
    query = query_begin(db, SQL_IN_DELETE);
    query_int(&query, row);
    query_run(&query);
    if (row == db->next_row - 1) /* the highest: only meta can tell from now on that it was used */
        store_meta_raise(db, "in_row", row);
    *budget -= 1;
    return true;
}

static bool sweep_part(struct store_db *db, int64_t before, int *budget) {
    struct node_id sender;
    struct message_id id;
    int64_t blocks = 0;
    struct query query = query_begin(db, SQL_PART_OVER);
    query_int(&query, before);
    bool found = query_row(&query);
    if (found) {
        query_get_exact(&query, sender.bytes, NODE_ID_LEN);
        query_get_exact(&query, id.bytes, MESSAGE_ID_LEN);
        *budget -= row_cost(query_get_int(&query));
        blocks = query_get_int(&query);
    }
    query_end(&query);
    if (!found)
        return false;
    store_body_delete(db, blocks);
    query = query_begin(db, SQL_PART_DELETE);
    query_blob(&query, sender.bytes, NODE_ID_LEN);
    query_blob(&query, id.bytes, MESSAGE_ID_LEN);
    query_run(&query);
    return true;
}

void store_sweep(struct store_db *db) {
    int64_t now = db->sweep.now.us;
    /* Taken first: what leaves history may be forgotten altogether in the same sweep. */
    const struct {
        bool (*one)(struct store_db *db, int64_t before, int *budget);
        int64_t before;
    } kinds[] = {
        {sweep_taken, now - db->sweep.retention_us},
        {sweep_out, now - db->sweep.retention_us},
        {sweep_tombstone, now},
        {sweep_part, now}, /* its sender has given up */
        {store_file_sweep_taken, now - db->sweep.retention_us},
        {store_file_sweep_gone, now},
        {store_file_sweep_part, now},
    };
    int budget = SWEEP_ROWS;
    store_file_sweep_missing(db);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        while (budget > 0 && kinds[i].one(db, kinds[i].before, &budget))
            ;
    db->sweep.is_left = budget <= 0;
}
