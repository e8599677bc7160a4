/* Messages that wait: in which order they are handed out, how many bytes they are charged, and how
 * they are taken.
 *
 * Order: a message's place is its row times 2^20. A message that comes late is placed between those
 * that its sender sent before and after it. A sender that lies about its sequences disorders its
 * own messages and nobody else's: a late message never leaves the space below one of its sender's
 * own rows.
 *
 * Threat: a sender that fills the disk, or only promises to. Every byte that waits or is promised
 * is charged to the sender, in a table, so that a restart forgives nothing. To all senders together
 * only what is held is charged, and a window beyond it, because identities and their promises are
 * free. Within a transaction the charges are kept in memory and written once. */
#include "daemon/io/store/store_private.h"

#include <errno.h>

/* ---- Charges ---- */

#define USAGE_MAX (INT64_MAX / 4) /* so that sums do not overflow, whatever is claimed */

static int64_t charge(uint64_t size) {
    return size < USAGE_MAX ? (int64_t)size + STORE_CHARGE_ROW : USAGE_MAX;
}

static void query_usage(struct query *query, const struct store_usage *usage) {
    query_blob(query, usage->sender.bytes, usage->is_total ? 0 : NODE_ID_LEN);
    query_int(query, usage->kind);
}

static void write_usage(struct store_db *db, struct store_usage *usage) {
    if (!usage->is_changed)
        return;
    struct query query = query_begin(db, usage->bytes ? SQL_USAGE_PUT : SQL_USAGE_DELETE);
    query_usage(&query, usage);
    if (usage->bytes)
        query_int(&query, usage->bytes);
    query_run(&query);
    usage->is_changed = false;
}

static void read_usage(struct store_db *db, struct store_usage *usage) {
    struct query query = query_begin(db, SQL_USAGE_GET);
    query_usage(&query, usage);
    usage->bytes = query_row(&query) ? query_get_int(&query) : 0;
    if (usage->bytes < 0 || usage->bytes > USAGE_MAX)
        db->error = -EUCLEAN;
    query_end(&query);
    usage->is_loaded = !db->error;
}

static struct store_usage *usage_of(struct store_db *db, const struct node_id *sender,
                                    enum message_kind kind) {
    struct store_usage *usage = &db->usages[(sender->bytes[0] ^ (unsigned)kind) % STORE_USAGES];
    if (usage->is_loaded && usage->kind == kind && node_id_is_equal(&usage->sender, sender))
        return usage;
    write_usage(db, usage);
    *usage = (struct store_usage){.sender = *sender, .kind = kind};
    read_usage(db, usage);
    return usage;
}

static struct store_usage *usage_of_all(struct store_db *db, enum message_kind kind) {
    struct store_usage *usage = &db->usage_totals[kind];
    if (!usage->is_loaded) {
        *usage = (struct store_usage){.is_total = true, .kind = kind};
        read_usage(db, usage);
    }
    return usage;
}

static uint64_t missing(const struct store_usage *usage, uint64_t more, uint64_t quota) {
    uint64_t bytes = (uint64_t)usage->bytes + more;
    return quota > 0 && bytes > quota ? bytes - quota : 0;
}

/* What is charged to all for a part: the bytes held, and a window beyond them. */
static uint64_t windowed(uint64_t total, uint64_t held) {
    return held + STORE_PART_WINDOW < total ? held + STORE_PART_WINDOW : total;
}

void store_usage_need(struct store_db *db, const struct store_op *op, uint64_t held,
                      struct store_need *need) {
    uint64_t total = op->in_put.total, all = op->in_put.quota_all, own = op->in_put.quota_sender;
    uint64_t whole = (uint64_t)charge(total);
    need->is_hopeless = (all > 0 && whole > all) || (own > 0 && whole > own);
    need->own_bytes = missing(usage_of(db, &op->in_put.sender, KIND_MESSAGE), whole, own);
    need->all_bytes =
        missing(usage_of_all(db, KIND_MESSAGE), (uint64_t)charge(windowed(total, held)), all);
}

uint64_t store_usage_growth(const struct store_op *op, uint64_t held) {
    uint64_t total = op->in_put.total;
    return windowed(total, held + op->in_put.length) - windowed(total, held);
}

void store_usage_need_growth(struct store_db *db, const struct store_op *op, uint64_t held,
                             struct store_need *need) {
    uint64_t more = store_usage_growth(op, held);
    if (more > 0)
        need->all_bytes = missing(usage_of_all(db, KIND_MESSAGE), more, op->in_put.quota_all);
}

static void change(struct store_usage *usage, int64_t by) {
    int64_t bytes = usage->bytes + by;
    usage->bytes = bytes < 0 ? 0 : bytes > USAGE_MAX ? USAGE_MAX : bytes;
    usage->is_changed = true;
}

void store_usage_add(struct store_db *db, const struct node_id *sender, enum message_kind kind,
                     uint64_t size) {
    change(usage_of(db, sender, kind), charge(size));
    change(usage_of_all(db, kind), charge(size));
}

void store_usage_remove(struct store_db *db, const struct node_id *sender, enum message_kind kind,
                        uint64_t size) {
    change(usage_of(db, sender, kind), -charge(size));
    change(usage_of_all(db, kind), -charge(size));
    store_refusals_forget(db);
}

void store_usage_begin(struct store_db *db, const struct node_id *sender, uint64_t total) {
    change(usage_of(db, sender, KIND_MESSAGE), charge(total));
    change(usage_of_all(db, KIND_MESSAGE), charge(windowed(total, 0)));
}

void store_usage_grow(struct store_db *db, uint64_t total, uint64_t held, uint64_t by) {
    change(usage_of_all(db, KIND_MESSAGE),
           charge(windowed(total, held + by)) - charge(windowed(total, held)));
}

void store_usage_abandon(struct store_db *db, const struct node_id *sender, uint64_t total,
                         uint64_t held) {
    change(usage_of(db, sender, KIND_MESSAGE), -charge(total));
    change(usage_of_all(db, KIND_MESSAGE), -charge(windowed(total, held)));
    store_refusals_forget(db);
}

void store_usage_flush(struct store_db *db) {
    for (size_t i = 0; i < STORE_USAGES; i++)
        write_usage(db, &db->usages[i]);
    for (size_t i = 0; i < STORE_KINDS; i++)
        write_usage(db, &db->usage_totals[i]);
}

void store_usage_drop(struct store_db *db) {
    memset(db->usages, 0, sizeof db->usages);
    memset(db->usage_totals, 0, sizeof db->usage_totals);
}

/* ---- Order ---- */

struct place {
    int64_t place;
    uint64_t sequence;
};

/* Find the sender's last waiting message at or before a place. */
static bool find_before(struct store_db *db, const struct node_id *sender, int64_t at,
                        struct place *ret_found) {
    struct query query = query_begin(db, SQL_IN_BEFORE);
    query_blob(&query, sender->bytes, NODE_ID_LEN);
    query_int(&query, at);
    bool found = query_row(&query);
    if (found) {
        ret_found->place = query_get_int(&query);
        ret_found->sequence = (uint64_t)query_get_int(&query);
        if (ret_found->place <= 0 || ret_found->place > db->next_row << STORE_PLACE_BITS)
            db->error = -EUCLEAN;
    }
    query_end(&query);
    return found && !db->error;
}

/* Find the first place whose sequence is greater, by bisection up to `after`, whose sequence is
 * greater. Sequences grow with the places; a linear search would be as long as a lying sender
 * likes. */
static void find_first_after(struct store_db *db, const struct node_id *sender, uint64_t sequence,
                             struct place *after) {
    int64_t low = 0;
    while (low < after->place && !db->error) {
        struct place found;
        int64_t middle = low + (after->place - 1 - low) / 2;
        if (find_before(db, sender, middle, &found) && found.sequence > sequence)
            *after = found;
        else
            low = middle + 1;
    }
}

/* If a message has an earlier sequence than the last one, but was sent later, its sender was
 * restored from an older backup and numbers its messages anew. Then it belongs at the end. */
static bool is_renumbered(struct store_db *db, const struct store_op *op,
                          const struct place *last) {
    int64_t sent_us = INT64_MAX;
    struct query query = query_begin(db, SQL_IN_SENT);
    query_blob(&query, op->in_put.sender.bytes, NODE_ID_LEN);
    query_int(&query, last->place);
    if (query_row(&query))
        sent_us = query_get_int(&query);
    query_end(&query);
    return sent_us < op->in_put.sent.us - STORE_RENUMBERED_US;
}

/* Place a message so far below the next one as their sequences are apart, which leaves places for
 * the messages in between. If that place is taken, half-way; if there is none, at the end. */
int64_t store_in_place(struct store_db *db, const struct store_op *op, bool *ret_renumbered) {
    const struct node_id *sender = &op->in_put.sender;
    uint64_t sequence = op->in_put.sequence;
    int64_t end = db->next_row << STORE_PLACE_BITS;
    struct place after, before;
    struct store_usage *known = usage_of(db, sender, KIND_MESSAGE);
    /* The sender's last message was placed at the end, and this one is later: so no waiting one is
     * later, whatever was taken meanwhile. */
    if (known->placed && known->placed <= sequence) {
        known->placed = sequence;
        return end;
    }
    if (!find_before(db, sender, INT64_MAX, &after) || after.sequence <= sequence) {
        known->placed = sequence;
        return end;
    }
    *ret_renumbered = is_renumbered(db, op, &after);
    if (*ret_renumbered)
        return end;
    find_first_after(db, sender, sequence, &after);
    int64_t floor = (after.place - 1) >> STORE_PLACE_BITS << STORE_PLACE_BITS;
    if (find_before(db, sender, after.place - 1, &before) && before.place > floor)
        floor = before.place;
    int64_t room = after.place - floor;
    if (after.sequence - sequence < (uint64_t)room)
        return after.place - (int64_t)(after.sequence - sequence);
    return room > 1 ? after.place - room / 2 : end;
}

/* ---- Fetching ---- */

/* Read everything but the body. Returns the number of its blocks. */
static int64_t read_record(struct query *query, struct in_record *record) {
    *record = (struct in_record){.row = query_get_int(query)};
    query_get_exact(query, record->sender.bytes, NODE_ID_LEN);
    query_get_address(query, &record->sender_address);
    query_get_text(query, record->sender_name, sizeof record->sender_name);
    query_get_exact(query, record->id.bytes, MESSAGE_ID_LEN);
    record->sequence = (uint64_t)query_get_int(query);
    record->sent.us = query_get_int(query);
    record->received.us = query_get_int(query);
    record->place = query_get_int(query);
    int64_t size = query_get_int(query);
    if (size < 0 || size > UINT32_MAX)
        query->db->error = -EUCLEAN;
    record->size = (uint32_t)size;
    return query_get_int(query);
}

/* The row of the message with this id. If two senders have used the id, the earlier row counts, so
 * that more is handed out. */
static int find_since(struct store_db *db, const struct store_op *op, int64_t *ret_row) {
    *ret_row = INT64_MIN;
    if (!op->in_fetch.since_message)
        return 0;
    struct query query = query_begin(db, SQL_IN_ROW_OF);
    query_blob(&query, op->in_fetch.since_id.bytes, MESSAGE_ID_LEN);
    bool found = query_row(&query);
    if (found)
        *ret_row = query_get_int(&query);
    query_end(&query);
    return found ? 0 : -ENOENT;
}

static struct query begin_fetch(struct store_db *db, const struct store_op *op, int64_t since_row) {
    bool any = op->in_fetch.any_sender;
    struct query query = query_begin(db, any ? SQL_IN_WAITING : SQL_IN_WAITING_FROM);
    query_int(&query, op->in_fetch.after);
    query_int(&query, op->in_fetch.since.us ? op->in_fetch.since.us : INT64_MIN);
    query_int(&query, since_row);
    if (!any)
        query_blob(&query, op->in_fetch.sender.bytes, NODE_ID_LEN);
    return query;
}

int store_in_fetch(struct store_db *db, const struct store_op *op, struct store_result *result,
                   struct store_arena *arena) {
    struct in_record *messages = NULL;
    uint64_t bytes = 0;
    size_t n = 0;
    int64_t since_row;
    int error = find_since(db, op, &since_row);
    if (error)
        return error;
    struct query query = begin_fetch(db, op, since_row);
    while (query_row(&query)) {
        struct in_record record;
        int64_t blocks = read_record(&query, &record);
        if (n == op->in_fetch.limit || (n > 0 && bytes + record.size > op->in_fetch.bytes)) {
            result->more = true;
            break;
        }
        struct in_record *larger = store_arena_grow(arena, messages, n, sizeof *messages);
        if (!larger)
            db->error = -ENOMEM;
        else
            record.body = store_body_load(&query, arena, blocks, record.size, record.size);
        if (db->error)
            break;
        messages = larger;
        messages[n++] = record;
        bytes += record.size;
    }
    query_end(&query);
    result->messages = messages;
    result->n_messages = n;
    return 0;
}

/* ---- Taking ---- */

bool store_in_forget(struct store_db *db, int64_t row, int64_t blocks) {
    if (blocks)
        store_body_delete(db, blocks);
    struct query query = query_begin(db, SQL_IN_FORGET);
    query_int(&query, row);
    return query_run(&query) > 0;
}

static void take_one(struct store_db *db, const struct store_op *op, int64_t row) {
    struct node_id sender = {{0}};
    int64_t size = 0, blocks = 0;
    struct query query = query_begin(db, SQL_IN_HELD);
    query_int(&query, row);
    bool exists = query_row(&query);
    if (exists) {
        query_get_exact(&query, sender.bytes, NODE_ID_LEN);
        size = query_get_int(&query);
        blocks = query_get_int(&query);
    }
    query_end(&query);
    if (!exists || db->error)
        return;
    store_usage_remove(db, &sender, KIND_MESSAGE, (uint64_t)size);
    if (op->in_take.forget) {
        store_in_forget(db, row, blocks);
        return;
    }
    query = query_begin(db, SQL_IN_TAKE);
    query_int(&query, row);
    query_int(&query, op->in_take.now.us);
    query_run(&query);
}

void store_in_take(struct store_db *db, const struct store_op *op) {
    for (size_t i = 0; i < op->in_take.n; i++)
        take_one(db, op, op->in_take.rows[i]);
}
