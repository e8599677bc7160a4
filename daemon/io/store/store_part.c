/* Messages of which blocks are missing (parts): how many there may be, and which are dropped for
 * others.
 *
 * Threat: identities are free, and a block of one byte promises a message of any size until any
 * time. Parts are limited in number, for each sender and for all together, and a share is kept for
 * senders whom the user knows. A part that does not grow is dropped if that makes room, a known
 * sender's never for a stranger, and within a day in any case. An honest sender learns at the end
 * that its message is not whole, and sends it anew. */
#include "daemon/io/store/store_file.h"
#include "daemon/io/store/store_private.h"

#include <errno.h>

#define GIVE_WAY_BUDGET 512 /* rows' worth of deletions that one block may cause */

struct part {
    struct node_id sender;
    struct message_id id;
    uint64_t total, held;
    int64_t blocks;
};

/* Read a part from a query, and end the query. */
static bool read_part(struct query *query, struct part *ret_part) {
    struct store_db *db = query->db;
    bool found = query_row(query);
    if (found) {
        query_get_exact(query, ret_part->sender.bytes, NODE_ID_LEN);
        query_get_exact(query, ret_part->id.bytes, MESSAGE_ID_LEN);
        ret_part->total = (uint64_t)query_get_int(query);
        ret_part->held = (uint64_t)query_get_int(query);
        ret_part->blocks = query_get_int(query);
        if (query_get_int(query) != KIND_MESSAGE)
            db->error = -EUCLEAN;
    }
    query_end(query);
    return found && !db->error;
}

static bool find_stale(struct store_db *db, bool is_known, int64_t before,
                       const struct node_id *sender, const struct message_id *id,
                       struct part *ret_part) {
    struct query query = query_begin(db, SQL_PART_STALE);
    query_int(&query, is_known);
    query_int(&query, before);
    query_blob(&query, sender->bytes, NODE_ID_LEN);
    query_blob(&query, id->bytes, MESSAGE_ID_LEN);
    return read_part(&query, ret_part);
}

static bool drop(struct store_db *db, const struct part *part, int *budget) {
    *budget -= store_row_cost((int64_t)part->held);
    store_body_delete(db, part->blocks);
    store_usage_abandon(db, &part->sender, part->total, part->held);
    struct query query = query_begin(db, SQL_PART_DELETE);
    query_blob(&query, part->sender.bytes, NODE_ID_LEN);
    query_blob(&query, part->id.bytes, MESSAGE_ID_LEN);
    if (query_run(&query) == 0 && !db->error)
        db->error = -EUCLEAN; /* the index names a row that is not there */
    if (db->n_parts > 0)
        db->n_parts--;
    return !db->error;
}

bool store_part_drop_over(struct store_db *db, int64_t before, int *budget) {
    struct part part;
    struct query query = query_begin(db, SQL_PART_OVER);
    query_int(&query, before);
    return read_part(&query, &part) && drop(db, &part, budget);
}

bool store_part_drop_stale(struct store_db *db, int64_t before, int *budget) {
    static const struct node_id nobody;
    static const struct message_id none;
    struct part part;
    return (find_stale(db, false, before, &nobody, &none, &part) ||
            find_stale(db, true, before, &nobody, &none, &part)) &&
           drop(db, &part, budget);
}

/* ---- Needs ---- */

int store_need_error(const struct store_need *need) {
    if (need->is_hopeless || store_need_is_own(need) || need->all_bytes > 0 || need->all_n > 0)
        return -EDQUOT;
    return need->disk_bytes > 0 ? -ENOBUFS : 0;
}

bool store_need_is_mended(const struct store_need *need, const struct store_stale *own,
                          const struct store_stale *any) {
    return !need->is_hopeless && need->own_bytes <= own->bytes && need->own_n <= own->n &&
           need->all_bytes <= any->charged && need->all_n <= any->n &&
           need->disk_bytes <= any->disk;
}

void store_stale_read(struct query *query, struct store_stale *ret_stale) {
    *ret_stale = (struct store_stale){0};
    if (query_row(query)) {
        ret_stale->n = query_get_int(query);
        ret_stale->bytes = (uint64_t)query_get_int(query);
        ret_stale->charged = (uint64_t)query_get_int(query);
        ret_stale->disk = (uint64_t)query_get_int(query);
        ret_stale->windows = (uint64_t)query_get_int(query);
    }
    query_end(query);
}

/* ---- Admission ---- */

static bool is_beyond_own(struct store_db *db, const struct node_id *sender) {
    struct query query = query_begin(db, SQL_PART_MANY_FROM);
    query_blob(&query, sender->bytes, NODE_ID_LEN);
    query_int(&query, STORE_PARTS_SENDER_MAX - 1);
    bool found = query_row(&query);
    query_end(&query);
    return found;
}

static int64_t count(struct store_db *db, enum store_statement which) {
    struct query query = query_begin(db, which);
    int64_t n = query_row(&query) ? query_get_int(&query) : 0;
    query_end(&query);
    return n;
}

static void need_place(struct store_db *db, const struct store_op *op, struct store_need *need) {
    int64_t most = op->in_put.is_known ? STORE_PARTS_MAX : STORE_PARTS_MAX - STORE_PARTS_MAX / 4;
    need->own_n = is_beyond_own(db, &op->in_put.sender);
    if (db->n_parts < 0)
        db->n_parts = count(db, SQL_PART_COUNT);
    if (db->n_parts >= most)
        need->all_n = db->n_parts - most + 1;
}

/* How many bytes of the disk the accepted parts may still take within their windows without being
 * asked. Windows of strangers do not count against senders whom the user knows. */
static uint64_t coming(struct store_db *db, const struct store_op *op, struct disk_share share,
                       uint64_t more) {
    uint64_t most = (uint64_t)STORE_PARTS_MAX * STORE_PART_WINDOW;
    if (!db->has_parts || store_disk_missing(db, share, more + most) == 0)
        return 0; /* there is room for as many windows as there can be */
    struct query query = query_begin(db, SQL_PART_COMING);
    query_int(&query, STORE_PART_WINDOW);
    query_int(&query, op->in_put.is_known);
    int64_t bytes = query_row(&query) ? query_get_int(&query) : 0;
    query_end(&query);
    return bytes > 0 ? (uint64_t)bytes : 0;
}

/* How many bytes of the disk to ask for. Beyond its window a part must leave the share free that is
 * to stay free, and room for the windows of all parts, since each alone may fit while all together
 * would fill the disk. Within its window it may use the share for which no new part is accepted. A
 * message that comes whole need not leave room for what others only promise. */
static uint64_t want(struct store_db *db, const struct store_op *op, const uint64_t *held,
                     struct disk_share *ret_share) {
    bool is_whole = op->in_put.length == op->in_put.total;
    uint64_t more = held ? store_usage_growth(op, *held) : op->in_put.total;
    *ret_share = op->in_put.share;
    if (held && more == 0) {
        ret_share->percent = 0;
        return op->in_put.length;
    }
    return is_whole ? op->in_put.total : more + coming(db, op, *ret_share, more);
}

/* What is missing for this block. If nothing is, its bytes are promised to it. */
static struct store_need look(struct store_db *db, const struct store_op *op,
                              const uint64_t *held) {
    struct store_need need = {0};
    struct disk_share share;
    bool is_whole = op->in_put.length == op->in_put.total;
    uint64_t whole = want(db, op, held, &share);
    if (held) {
        store_usage_need_growth(db, op, *held, &need);
    } else {
        store_usage_need(db, op, is_whole ? op->in_put.total : 0, &need);
        if (!is_whole)
            need_place(db, op, &need);
    }
    need.disk_bytes = store_disk_missing(db, share, whole);
    if (store_need_error(&need) == 0)
        store_disk_promise(db, op->in_put.length);
    return need;
}

static int error_of(const struct store_op *op, const struct store_need *need) {
    int error = store_need_error(need);
    return error == -ENOBUFS && !op->in_put.share.is_of_others ? -ENOSPC : error;
}

int store_part_check(struct store_db *db, const struct store_op *op, const uint64_t *held) {
    struct store_need need = look(db, op, held);
    return error_of(op, &need);
}

/* ---- Dropping parts ---- */

static bool find_own(struct store_db *db, const struct store_op *op, int64_t before,
                     struct part *ret_part) {
    struct query query = query_begin(db, SQL_PART_STALE_OF);
    query_blob(&query, op->in_put.sender.bytes, NODE_ID_LEN);
    query_int(&query, before);
    query_blob(&query, op->in_put.id.bytes, MESSAGE_ID_LEN);
    return read_part(&query, ret_part);
}

static bool find_any(struct store_db *db, const struct store_op *op, int64_t before,
                     struct part *ret_part) {
    const struct node_id *sender = &op->in_put.sender;
    const struct message_id *id = &op->in_put.id;
    return find_stale(db, false, before, sender, id, ret_part) ||
           (op->in_put.is_known && find_stale(db, true, before, sender, id, ret_part));
}

/* Would dropping stale parts be enough? The sender's own are looked at first, since they are
 * few. */
static bool can_mend(struct store_db *db, const struct store_op *op, const struct store_need *need,
                     int64_t before) {
    struct store_stale own, any;
    if (need->is_hopeless)
        return false;
    struct query query = query_begin(db, SQL_PART_STALE_SUM_OF);
    query_blob(&query, op->in_put.sender.bytes, NODE_ID_LEN);
    query_int(&query, before);
    query_blob(&query, op->in_put.id.bytes, MESSAGE_ID_LEN);
    store_stale_read(&query, &own);
    if (need->own_bytes > own.bytes || need->own_n > own.n)
        return false;
    query = query_begin(db, SQL_PART_STALE_SUM);
    query_int(&query, op->in_put.is_known);
    query_int(&query, before);
    query_blob(&query, op->in_put.sender.bytes, NODE_ID_LEN);
    query_blob(&query, op->in_put.id.bytes, MESSAGE_ID_LEN);
    store_stale_read(&query, &any);
    if (op->in_put.length < op->in_put.total)
        any.disk += 2 * any.windows; /* counted twice, as bytes that come are: log and database */
    return store_need_is_mended(need, &own, &any);
}

int store_part_admit(struct store_db *db, const struct store_op *op, const uint64_t *held) {
    int64_t before = op->in_put.received.us - STORE_PART_STALE_US;
    int budget = GIVE_WAY_BUDGET;
    struct part part;
    int error = held ? 0 : store_refused(db, op);
    if (error)
        return error;
    struct store_need need = look(db, op, held);
    if (store_need_error(&need) == 0 || !can_mend(db, op, &need, before))
        goto out;
    while (store_need_error(&need) != 0 && budget > 0) {
        bool found = store_need_is_own(&need) ? find_own(db, op, before, &part)
                                              : find_any(db, op, before, &part);
        if (!found || !drop(db, &part, &budget))
            break;
        if (need.disk_bytes > 0)
            store_disk_look_again(db);
        need = look(db, op, held);
    }
out:
    error = error_of(op, &need);
    if (!held)
        store_refuse(db, op, &need, error);
    return error;
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
