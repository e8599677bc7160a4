/* Messages of which blocks are missing: how many there may be, and which give way.
 *
 * Threat: identities are free, and a block of one byte promises a message of any size until any time. Parts are bounded in number, a
 * sender's and all together, of which a share is kept for those whom the user knows; one that does
 * not grow gives way when there is no room, and goes within a day in any case. Its sender, if it is
 * honest, learns at the end that it is not whole, and sends it anew. */
#include "daemon/io/store_file.h"
#include "daemon/io/store_private.h"

#include <errno.h>

#define PARTS_SENDER_MAX 64
#define PARTS_ALL_MAX 4096
#define GIVE_WAY_BUDGET 512 /* rows' worth of deletions for one block that comes */

static bool is_beyond(struct store_db *db, enum store_statement which, const struct node_id *sender,
                      int64_t most) {
    struct query query = query_begin(db, which);
    if (sender)
        query_blob(&query, sender->bytes, NODE_ID_LEN);
    query_int(&query, most - 1);
    bool found = query_row(&query);
    query_end(&query);
    return found;
}

bool store_part_has_many(struct store_db *db, const struct store_op *op) {
    int64_t most = op->in_put.is_known ? PARTS_ALL_MAX : PARTS_ALL_MAX - PARTS_ALL_MAX / 4;
    return is_beyond(db, SQL_PART_MANY_FROM, &op->in_put.sender, PARTS_SENDER_MAX) ||
           is_beyond(db, SQL_PART_MANY, NULL, most);
}

struct part {
    struct node_id sender;
    struct message_id id;
    uint64_t total, held;
    int64_t blocks;
};

static bool find(struct store_db *db, enum store_statement which, int64_t before,
                 struct part *ret_part) {
    struct query query = query_begin(db, which);
    query_int(&query, before);
    bool found = query_row(&query);
    if (found) {
        query_get_exact(&query, ret_part->sender.bytes, NODE_ID_LEN);
        query_get_exact(&query, ret_part->id.bytes, MESSAGE_ID_LEN);
        ret_part->total = (uint64_t)query_get_int(&query);
        ret_part->held = (uint64_t)query_get_int(&query);
        ret_part->blocks = query_get_int(&query);
        if (query_get_int(&query) != KIND_MESSAGE)
            db->error = -EUCLEAN;
    }
    query_end(&query);
    return found && !db->error;
}

static bool drop(struct store_db *db, const struct part *part, int *budget) {
    *budget -= store_row_cost((int64_t)part->held);
    store_body_delete(db, part->blocks);
    store_usage_abandon(db, &part->sender, part->total, part->held);
    struct query query = query_begin(db, SQL_PART_DELETE);
    query_blob(&query, part->sender.bytes, NODE_ID_LEN);
    query_blob(&query, part->id.bytes, MESSAGE_ID_LEN);
    if (query_run(&query) == 0 && !db->error)
        db->error = -EUCLEAN; /* the index tells of what is not there */
    return !db->error;
}

bool store_part_drop_over(struct store_db *db, int64_t before, int *budget) {
    struct part part;
    return find(db, SQL_PART_OVER, before, &part) && drop(db, &part, budget);
}

bool store_part_drop_stale(struct store_db *db, int64_t before, int *budget) {
    struct part part;
    return find(db, SQL_PART_STALE, before, &part) && drop(db, &part, budget);
}

static bool is_own(const struct part *part, const struct store_op *op) {
    return node_id_is_equal(&part->sender, &op->in_put.sender) &&
           memcmp(&part->id, &op->in_put.id, sizeof part->id) == 0;
}

bool store_part_give_way(struct store_db *db, const struct store_op *op) {
    int64_t before = op->in_put.received.us - STORE_PART_STALE_US;
    int budget = GIVE_WAY_BUDGET;
    struct part part;
    bool any = false;
    while (budget > 0 && find(db, SQL_PART_STALE, before, &part) && !is_own(&part, op) &&
           drop(db, &part, &budget))
        any = true;
    return any;
}

bool store_part_is_there(struct store_db *db, const struct store_op *op) {
    if (!db->has_parts)
        return false;
    struct query query = query_begin(db, SQL_PART_FIND);
    query_blob(&query, op->in_put.sender.bytes, NODE_ID_LEN);
    query_blob(&query, op->in_put.id.bytes, MESSAGE_ID_LEN);
    bool found = query_row(&query);
    query_end(&query);
    return found;
}

void store_part_abandon(struct store_db *db, const struct node_id *sender, int64_t before) {
    static const enum store_statement both[] = {SQL_PART_ABANDON, SQL_FILE_ABANDON};
    for (size_t i = 0; i < sizeof both / sizeof both[0]; i++) {
        struct query query = query_begin(db, both[i]);
        query_blob(&query, sender->bytes, NODE_ID_LEN);
        query_int(&query, before);
        query_run(&query);
    }
}

uint64_t store_part_held(struct store_db *db) {
    struct query query = query_begin(db, SQL_PART_HELD);
    int64_t held = query_row(&query) ? query_get_int(&query) : 0;
    query_end(&query);
    return held > 0 ? (uint64_t)held : 0;
}
