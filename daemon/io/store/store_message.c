/* Messages as the database holds them. Those that we send: a record, and a body in the row or in
 * blocks. Those that we receive: first a part, gathered from blocks; then waiting, then taken; and
 * in the end a tombstone, by which a message that comes again is recognised.
 *
 * Threat: inbound blocks come from a proven but perhaps hostile sender, in any order and as often
 * as it likes. A block that contradicts what is held (another total, an overlap) is refused alone;
 * a block that an honest sender repeats changes nothing. */
#include "daemon/io/store/store_file.h"
#include "daemon/io/store/store_private.h"

#include <errno.h>

/* ---- Outbound ---- */

/* Numbers that we never write show a damaged file. To rely on them would mean asking for memory
 * that is not there. */
static bool is_possible(const struct out_record *record) {
    uint64_t most = record->kind == KIND_FILE ? INT64_MAX : UINT32_MAX;
    return record->kind >= KIND_MESSAGE && record->kind <= KIND_MAIL && record->size <= most &&
           record->progress <= record->size;
}

void store_out_record(struct query *query, struct out_record *ret_record) {
    *ret_record = (struct out_record){0};
    query_get_exact(query, ret_record->id.bytes, MESSAGE_ID_LEN);
    query_get_exact(query, ret_record->recipient.bytes, NODE_ID_LEN);
    ret_record->sequence = (uint64_t)query_get_int(query);
    ret_record->created.us = query_get_int(query);
    ret_record->expires.us = query_get_int(query);
    ret_record->finished.us = query_get_int(query);
    ret_record->size = (uint64_t)query_get_int(query);
    ret_record->kind = (enum message_kind)query_get_int(query);
    ret_record->progress = (uint64_t)query_get_int(query);
    ret_record->state = (enum message_state)query_get_int(query);
    query_get_text(query, ret_record->reason, sizeof ret_record->reason);
    ret_record->relays_exact = (uint8_t)query_get_int(query);
    ret_record->shards_k = (uint8_t)query_get_int(query);
    ret_record->shards_m = (uint8_t)query_get_int(query);
    ret_record->strict = query_get_int(query) != 0;
    if (!is_possible(ret_record))
        query->db->error = -EUCLEAN;
}

bool store_out_find_id(struct store_db *db, const struct message_id *id,
                       struct out_record *ret_record) {
    struct query query = query_begin(db, SQL_OUT_FIND);
    query_blob(&query, id->bytes, MESSAGE_ID_LEN);
    bool found = query_row(&query);
    if (found)
        store_out_record(&query, ret_record);
    query_end(&query);
    return found;
}

/* ---- Sequences ----
 * No sequence may be used again, whatever becomes of its message. If several messages are pushed to
 * one recipient in a transaction, only the highest sequence is written. */

static void write_raise(struct store_db *db, struct store_raise *raise) {
    if (!raise->is_changed)
        return;
    struct query query = query_begin(db, SQL_CONVERSATION_RAISE);
    query_blob(&query, raise->recipient.bytes, NODE_ID_LEN);
    query_int(&query, raise->sequence);
    query_run(&query);
    raise->is_changed = false;
}

static void raise_sequence(struct store_db *db, const struct node_id *recipient, int64_t sequence) {
    struct store_raise *raise = &db->raises[recipient->bytes[0] % STORE_RAISES];
    if (!raise->is_changed || !node_id_is_equal(&raise->recipient, recipient)) {
        write_raise(db, raise);
        *raise = (struct store_raise){true, *recipient, sequence};
    } else if (sequence > raise->sequence) {
        raise->sequence = sequence;
    }
}

void store_raises_flush(struct store_db *db) {
    for (size_t i = 0; i < STORE_RAISES; i++)
        write_raise(db, &db->raises[i]);
}

void store_raises_drop(struct store_db *db) {
    memset(db->raises, 0, sizeof db->raises);
}

/* ---- Putting ---- */

static bool insert_out(struct store_db *db, const struct out_record *record, int64_t blocks,
                       const uint8_t *body) {
    struct query query = query_begin(db, SQL_OUT_INSERT);
    query_blob(&query, record->id.bytes, MESSAGE_ID_LEN);
    query_blob(&query, record->recipient.bytes, NODE_ID_LEN);
    query_int(&query, (int64_t)record->sequence);
    query_int(&query, record->created.us);
    query_int(&query, record->expires.us);
    query_int(&query, record->finished.us);
    query_int(&query, (int64_t)record->size);
    query_int(&query, record->kind);
    query_int(&query, (int64_t)record->progress);
    query_int(&query, record->state);
    query_text(&query, record->reason);
    query_int(&query, record->relays_exact);
    query_int(&query, record->shards_k);
    query_int(&query, record->shards_m);
    query_int(&query, record->strict);
    if (blocks) {
        query_int(&query, blocks);
        query_null(&query);
    } else {
        query_null(&query);
        query_blob(&query, body, body ? record->size : 0);
    }
    if (query_run(&query) == 0)
        return false;
    if (record->kind < KIND_MAIL)
        raise_sequence(db, &record->recipient, (int64_t)record->sequence);
    return true;
}

void store_out_insert_file(struct store_db *db, const struct out_record *record) {
    insert_out(db, record, 0, NULL);
}

/* Find a message's body: in blocks (*ret_blocks is their number), or in the row (*ret_blocks is 0,
 * and up to STORE_INLINE_MAX bytes are copied). */
static bool locate(struct store_db *db, const struct message_id *id, uint64_t *ret_size,
                   int64_t *ret_blocks, uint8_t ret_inline[STORE_INLINE_MAX]) {
    struct query query = query_begin(db, SQL_OUT_BODY);
    query_blob(&query, id->bytes, MESSAGE_ID_LEN);
    bool found = query_row(&query);
    if (found) {
        *ret_size = (uint64_t)query_get_int(&query);
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
    uint64_t size;
    int64_t blocks;
    if (!locate(db, id, &size, &blocks, inlined))
        return false;
    if (!blocks)
        return size == 0 || memcmp(inlined, body, size) == 0;
    for (uint64_t at = 0; at < size;) {
        uint32_t n = size - at < sizeof piece ? (uint32_t)(size - at) : (uint32_t)sizeof piece;
        store_body_read(db, blocks, at, n, piece);
        if (db->error || memcmp(piece, body + at, n) != 0)
            return false;
        at += n;
    }
    return true;
}

static void put_blocks(struct store_db *db, int64_t blocks, const uint8_t *body, uint64_t size) {
    for (uint64_t at = 0; at < size;) {
        uint32_t n = size - at < STORE_BLOCK_MAX ? (uint32_t)(size - at) : STORE_BLOCK_MAX;
        store_body_put(db, blocks, at, body + at, n);
        at += n;
    }
}

int store_out_put(struct store_db *db, const struct store_op *op, struct store_result *result) {
    if (op->out_put.record.kind == KIND_FILE)
        return store_file_out_put(db, op, result);
    const uint8_t *body = op->out_put.body;
    struct out_record record = op->out_put.record, known;
    int64_t blocks = record.size > STORE_INLINE_MAX ? db->next_body : 0;
    record.kind = record.kind ? record.kind : KIND_MESSAGE;
    record.state = MESSAGE_QUEUED;
    record.finished.us = 0;
    record.progress = 0;
    memset(record.reason, 0, sizeof record.reason);
    if (!is_possible(&record))
        return -EINVAL;
    /* Mail is left with us by others. */
    struct disk_share share = {.is_of_others = record.kind == KIND_MAIL};
    int full = store_disk_take(db, share, record.size, record.size);
    if (!full && insert_out(db, &record, blocks, body)) {
        if (blocks)
            put_blocks(db, db->next_body++, body, record.size);
        result->record = record;
        return 0;
    }
    if (!store_out_find_id(db, &record.id, &known))
        return db->error ? db->error : full;
    if (!node_id_is_equal(&known.recipient, &record.recipient) || known.size != record.size ||
        known.kind != record.kind || !is_same_body(db, &record.id, body))
        return -EEXIST;
    result->existed = true;
    result->record = known;
    return 0;
}

bool store_out_forget(struct store_db *db, const struct message_id *id) {
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
    return query_run(&query) > 0;
}

int store_out_state(struct store_db *db, const struct store_op *op) {
    char reason[MESSAGE_REASON_MAX];
    memcpy(reason, op->out_state.reason, sizeof reason);
    reason[sizeof reason - 1] = 0;
    struct query query = query_begin(db, SQL_OUT_STATE);
    query_blob(&query, op->out_state.id.bytes, MESSAGE_ID_LEN);
    query_int(&query, op->out_state.state);
    query_text(&query, reason);
    query_int(&query, op->out_state.finished.us);
    if (query_run(&query) == 0)
        return -ENOENT;
    if (!message_state_is_final(op->out_state.state))
        return 0;
    if (db->has_files)
        store_file_out_final(db, &op->out_state.id);
    if (op->out_state.forget)
        store_out_forget(db, &op->out_state.id);
    return 0;
}

int store_out_progress(struct store_db *db, const struct store_op *op) {
    uint64_t offset = op->out_progress.offset;
    struct query query = query_begin(db, SQL_OUT_PROGRESS);
    query_blob(&query, op->out_progress.id.bytes, MESSAGE_ID_LEN);
    query_int(&query, offset < INT64_MAX ? (int64_t)offset : INT64_MAX);
    return query_run(&query) ? 0 : -ENOENT;
}

int store_out_readdress(struct store_db *db, const struct store_op *op) {
    for (size_t i = 0; i < op->readdress.n && !db->error; i++) {
        const struct readdress_item *item = &op->readdress.items[i];
        struct query query = query_begin(db, SQL_OUT_READDRESS);
        query_blob(&query, item->id.bytes, MESSAGE_ID_LEN);
        query_blob(&query, op->readdress.to.bytes, NODE_ID_LEN);
        query_int(&query, (int64_t)item->sequence);
        if (query_run(&query) > 0)
            raise_sequence(db, &op->readdress.to, (int64_t)item->sequence);
    }
    return db->error;
}

int store_out_read(struct store_db *db, const struct store_op *op, struct store_result *result,
                   struct store_arena *arena) {
    uint8_t inlined[STORE_INLINE_MAX];
    struct out_record file;
    uint64_t size, offset = op->out_read.offset;
    uint32_t length = op->out_read.length;
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
        length = (uint32_t)(size - offset);
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

int store_out_pending(struct store_db *db, const struct store_op *op, struct store_result *result,
                      struct store_arena *arena) {
    struct out_record *records = NULL;
    size_t n = 0, limit = op->out_pending.limit;
    struct query query = query_begin(db, SQL_OUT_PENDING);
    query_int(&query, op->out_pending.after);
    query_int(&query, op->out_pending.until);
    query_int(&query, (int64_t)limit + 1);
    result->next = op->out_pending.after;
    while (n <= limit && query_row(&query)) {
        struct out_record *larger = store_arena_grow(arena, records, n, sizeof *records);
        result->more = n == limit;
        if (!larger)
            db->error = -ENOMEM;
        if (!larger || result->more)
            break;
        records = larger;
        store_out_record(&query, &records[n]);
        result->next = query_get_int(&query);
        if (records[n].kind == KIND_FILE)
            records[n].file = store_file_head(db, arena, NULL, &records[n].id);
        /* A damaged message must not keep the others from being sent. */
        bool damaged = db->error == -EUCLEAN;
        db->error = damaged ? 0 : db->error;
        result->n_damaged += damaged;
        n += !damaged;
    }
    query_end(&query);
    result->pending = records;
    result->n_records = n;
    return 0;
}

int store_out_find(struct store_db *db, const struct store_op *op, struct store_result *result,
                   struct store_arena *arena) {
    if (!store_out_find_id(db, &op->out_find.id, &result->record))
        return -ENOENT;
    if (result->record.kind == KIND_FILE)
        result->record.file = store_file_head(db, arena, NULL, &op->out_find.id);
    return 0;
}

/* ---- Inbound ---- */

struct part {
    bool exists;
    uint64_t total, held;
    int64_t blocks;
    enum message_kind kind;
};

static enum message_kind kind_of(const struct store_op *op) {
    return op->in_put.kind ? op->in_put.kind : KIND_MESSAGE;
}

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

/* See once a transaction whether these tables have rows at all. Mostly they have none, and then
 * they need not be searched for every message. */
void store_rest_look(struct store_db *db) {
    struct query query = query_begin(db, SQL_PART_ANY);
    db->has_parts = query_row(&query);
    query_end(&query);
    query = query_begin(db, SQL_FILE_PARTIAL_ANY);
    db->has_file_parts = query_row(&query);
    query_end(&query);
    query = query_begin(db, SQL_OUT_FILES);
    db->has_files = query_row(&query);
    query_end(&query);
}

static struct part find_part(struct store_db *db, const struct store_op *op) {
    struct part part = {0};
    if (!db->has_parts)
        return part;
    struct query query = query_begin(db, SQL_PART_FIND);
    query_key(&query, op);
    part.exists = query_row(&query);
    if (part.exists) {
        part.total = (uint64_t)query_get_int(&query);
        part.held = (uint64_t)query_get_int(&query);
        part.blocks = query_get_int(&query);
        part.kind = (enum message_kind)query_get_int(&query);
    }
    query_end(&query);
    return part;
}

/* Enter a complete message, with its body in blocks (their number) or in the row. False: it is
 * known already. */
static bool insert_in(struct store_db *db, const struct store_op *op, int64_t blocks) {
    char name[NODE_NAME_MAX + 1];
    memcpy(name, op->in_put.sender_name, sizeof name);
    name[sizeof name - 1] = 0;
    db->in_renumbered = false;
    int64_t place = store_in_place(db, op, &db->in_renumbered);
    struct query query = query_begin(db, SQL_IN_INSERT);
    query_int(&query, db->next_row);
    query_blob(&query, op->in_put.sender.bytes, NODE_ID_LEN);
    query_address(&query, &op->in_put.sender_address);
    query_text(&query, name);
    query_blob(&query, op->in_put.id.bytes, MESSAGE_ID_LEN);
    query_int(&query, (int64_t)op->in_put.sequence);
    query_int(&query, op->in_put.sent.us);
    query_int(&query, op->in_put.received.us);
    query_int(&query, place);
    query_int(&query, (int64_t)op->in_put.total);
    if (blocks) {
        query_int(&query, blocks);
        query_null(&query);
    } else {
        query_null(&query);
        query_blob(&query, op->in_put.bytes, op->in_put.length);
    }
    query_int(&query, kind_of(op));
    query_int(&query, op->in_put.tombstone_until.us);
    bool inserted = query_run(&query) > 0;
    db->next_row += inserted;
    return inserted;
}

/* All of the message is in this one block. A message that is known already is a duplicate, even if
 * the quota is used up. */
static int put_whole(struct store_db *db, const struct store_op *op, struct store_result *result) {
    int64_t blocks = op->in_put.total > STORE_INLINE_MAX ? db->next_body : 0;
    int error = store_part_check(db, op, NULL);
    if (error && !is_known(db, op))
        error = store_part_admit(db, op, NULL); /* something may give way */
    if (error ? is_known(db, op) : !insert_in(db, op, blocks)) {
        result->in_outcome = STORE_IN_DUPLICATE;
        return 0;
    }
    if (error)
        return error;
    store_usage_add(db, &op->in_put.sender, kind_of(op), op->in_put.total);
    if (blocks)
        store_body_put(db, db->next_body++, 0, op->in_put.bytes, op->in_put.length);
    result->in_outcome = STORE_IN_COMPLETE;
    result->in_renumbered = db->in_renumbered;
    return 0;
}

enum place { PLACE_FREE, PLACE_HELD, PLACE_OVERLAPS };

/* Does this block fit between the blocks that are held? */
static enum place find_place(struct store_db *db, const struct part *part,
                             const struct store_op *op) {
    enum place place = PLACE_FREE;
    struct query query = query_begin(db, SQL_BLOCK_BEFORE);
    query_int(&query, part->blocks);
    query_int(&query, (int64_t)(op->in_put.offset + op->in_put.length));
    if (query_row(&query)) {
        uint64_t offset = (uint64_t)query_get_int(&query), length = (uint64_t)query_get_int(&query);
        if (offset == op->in_put.offset && length == op->in_put.length)
            place = PLACE_HELD;
        else if (offset + length > op->in_put.offset)
            place = PLACE_OVERLAPS;
    }
    query_end(&query);
    return place;
}

static void begin_part(struct store_db *db, const struct store_op *op, struct part *part) {
    *part = (struct part){true, op->in_put.total, 0, db->next_body++, kind_of(op)};
    db->has_parts = true;
    if (db->n_parts >= 0)
        db->n_parts++;
    store_usage_begin(db, &op->in_put.sender, part->total);
    struct query query = query_begin(db, SQL_PART_INSERT);
    query_key(&query, op);
    query_int(&query, (int64_t)part->total);
    query_int(&query, part->blocks);
    query_int(&query, op->in_put.tombstone_until.us);
    query_int(&query, part->kind);
    query_int(&query, op->in_put.received.us - STORE_PART_STALE_US + STORE_PART_BEGUN_US);
    query_run(&query);
}

/* All blocks are here, and the whole message is charged. If another message or file was completed
 * under its id meanwhile, nothing would ever free these blocks and their charge: so they are freed
 * at once. */
static void finish_part(struct store_db *db, const struct store_op *op, const struct part *part,
                        struct store_result *result) {
    struct query query = query_begin(db, SQL_PART_DELETE);
    query_key(&query, op);
    if (query_run(&query) > 0 && db->n_parts > 0)
        db->n_parts--;
    store_refusals_forget(db); /* the place of the part is free */
    result->in_outcome = STORE_IN_COMPLETE;
    if (insert_in(db, op, part->blocks)) {
        result->in_renumbered = db->in_renumbered;
        return;
    }
    result->in_outcome = STORE_IN_DUPLICATE;
    store_usage_remove(db, &op->in_put.sender, kind_of(op), part->total);
    if (part->blocks)
        store_body_delete(db, part->blocks);
}

/* The whole message comes in one block, while blocks of another cut are held: it came over a third
 * node (a mailbox), too. Replace the blocks. */
static void replace_part(struct store_db *db, const struct store_op *op, struct part *part,
                         struct store_result *result) {
    store_usage_grow(db, part->total, part->held, part->total - part->held);
    store_body_delete(db, part->blocks);
    part->blocks = op->in_put.total > STORE_INLINE_MAX ? db->next_body++ : 0;
    if (part->blocks)
        store_body_put(db, part->blocks, 0, op->in_put.bytes, op->in_put.length);
    finish_part(db, op, part, result);
}

static void grow_part(struct store_db *db, const struct store_op *op) {
    struct query query = query_begin(db, SQL_PART_GROW);
    query_key(&query, op);
    query_int(&query, op->in_put.length);
    query_int(&query, op->in_put.tombstone_until.us);
    query_int(&query, op->in_put.is_known);
    query_int(&query, op->in_put.received.us);
    query_int(&query, STORE_PART_GROWTH);
    query_run(&query);
}

/* Are the numbers of this block possible? A message is handed out in one piece, so its size has 32
 * bits. */
static bool is_sane(const struct store_op *op) {
    uint64_t total = op->in_put.total, offset = op->in_put.offset;
    uint32_t length = op->in_put.length;
    return kind_of(op) == KIND_MESSAGE && total <= UINT32_MAX && length <= STORE_BLOCK_MAX &&
           offset <= total && length <= total - offset && (length > 0 || total == 0);
}

int store_in_put(struct store_db *db, const struct store_op *op, struct store_result *result) {
    if (op->in_put.kind == KIND_FILE)
        return store_file_in_put(db, op, result);
    struct part part = find_part(db, op);
    /* An id stands for either a file or a message. */
    if (!part.exists && store_file_in_is_partial(db, op))
        return -EINVAL;
    if (is_sane(op) && !part.exists && op->in_put.length == op->in_put.total)
        return put_whole(db, op, result);
    if (!part.exists && is_known(db, op)) {
        result->in_outcome = STORE_IN_DUPLICATE;
        return 0;
    }
    if (!is_sane(op) ||
        (part.exists && (part.total != op->in_put.total || part.kind != kind_of(op))))
        return -EINVAL;
    bool is_whole = op->in_put.length == op->in_put.total;
    enum place place = part.exists && !is_whole ? find_place(db, &part, op) : PLACE_FREE;
    if (place != PLACE_FREE)
        return place == PLACE_HELD ? 0 : -EINVAL;
    int error = store_part_admit(db, op, part.exists ? &part.held : NULL);
    if (error)
        return error;
    if (is_whole) {
        replace_part(db, op, &part, result);
        return 0;
    }
    result->in_outcome = STORE_IN_PARTIAL;
    if (!part.exists)
        begin_part(db, op, &part);
    store_usage_grow(db, part.total, part.held, op->in_put.length);
    store_body_put(db, part.blocks, op->in_put.offset, op->in_put.bytes, op->in_put.length);
    if (part.held + op->in_put.length < part.total) {
        grow_part(db, op);
        return 0;
    }
    finish_part(db, op, &part, result);
    return 0;
}
