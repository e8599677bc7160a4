/* May a file come, or go on, and which parts are dropped for it?
 *
 * Threat: identities are free, and a block of one byte promises a file of any size. So a sender is
 * charged for all that it promises. All senders together are charged for what they hold and a
 * window beyond it for each file. Partial files are limited in number, and a share of the bytes and
 * of the numbers is kept for senders whom the user knows. Parts that have not grown are dropped if
 * that makes room, but a known sender's never for a stranger. Each file alone may fit on the disk
 * while all together would fill it: so beyond its window a file must leave the share free that is
 * to stay free, and room for the windows of all. */
#include "daemon/io/store/store_file.h"

#include <errno.h>

#define GIVE_WAY_BUDGET 512 /* rows' worth of deletions that one block may cause */

/* ---- What is missing ---- */

/* Bytes and files charged to a sender; an empty id: to all senders together. */
static void get_charge(struct store_db *db, const void *sender, size_t length, uint64_t *ret_bytes,
                       int64_t *ret_files) {
    *ret_bytes = 0;
    *ret_files = 0;
    struct query query = query_begin(db, SQL_FILE_CHARGE);
    query_blob(&query, sender, length);
    if (query_row(&query)) {
        *ret_bytes = (uint64_t)query_get_int(&query);
        *ret_files = query_get_int(&query);
    }
    query_end(&query);
}

uint64_t store_files_charged(struct store_db *db) {
    uint64_t bytes;
    int64_t files;
    get_charge(db, "", 0, &bytes, &files);
    return bytes;
}

static uint64_t missing(uint64_t bytes, uint64_t more, uint64_t quota) {
    if (quota == 0 || (bytes <= quota && more <= quota - bytes))
        return 0;
    return bytes > quota ? bytes - quota + more : more - (quota - bytes);
}

/* How many bytes of a file are charged to all senders together. */
static uint64_t windowed(uint64_t total, uint64_t held) {
    return total - held > STORE_FILE_WINDOW ? held + STORE_FILE_WINDOW : total;
}

static uint64_t growth(const struct store_op *op, uint64_t held) {
    uint64_t total = op->in_put.total;
    return windowed(total, held + op->in_put.length) - windowed(total, held);
}

static int64_t number(struct store_db *db, enum store_statement which, int64_t argument) {
    struct query query = query_begin(db, which);
    if (argument >= 0)
        query_int(&query, argument);
    int64_t n = query_row(&query) ? query_get_int(&query) : 0;
    query_end(&query);
    return n;
}

/* How many bytes are missing on the disk for `more` bytes. Parts that were dropped in this
 * transaction leave the disk with its commit. */
static uint64_t room_missing(struct store_db *db, uint64_t more, struct disk_share share) {
    uint64_t lack, room = store_disk_files_room(db, share, &lack), freed = db->files->freed;
    if (freed < lack)
        return more + lack - freed;
    room = room > UINT64_MAX - freed ? UINT64_MAX : room + freed - lack;
    return room < more ? more - room : 0;
}

/* How many bytes are missing on the disk, with a window for each partial file. More of what others
 * promise does not count, or a few blocks would reserve any disk; and promises of strangers do not
 * count against senders whom the user knows. */
static uint64_t disk_missing(struct store_db *db, const struct store_op *op, uint64_t more) {
    struct disk_share share = op->in_put.share;
    if (room_missing(db, more + (uint64_t)STORE_PARTIAL_MAX * STORE_FILE_WINDOW, share) == 0)
        return 0; /* there is room for as many windows as there can be */
    struct query query = query_begin(db, SQL_FILE_COMING);
    query_int(&query, STORE_FILE_WINDOW);
    query_int(&query, op->in_put.is_known);
    int64_t windows = query_row(&query) ? query_get_int(&query) : 0;
    query_end(&query);
    return room_missing(db, more + (uint64_t)windows, share);
}

/* A quarter of the numbers is kept for senders whom the user knows. */
static int64_t all_max(const struct store_op *op, int64_t most) {
    return op->in_put.is_known ? most : most - most / 4;
}

static int64_t beyond(int64_t n, int64_t most) {
    return n >= most ? n - most + 1 : 0;
}

/* Is there a place for one more partial file? A file that comes whole in its first block needs
 * none. */
static void need_place(struct store_db *db, const struct store_op *op, struct store_need *need) {
    int64_t most = all_max(op, STORE_PARTIAL_MAX);
    if (op->in_put.length == op->in_put.total)
        return;
    struct query query = query_begin(db, SQL_FILE_HAS_PARTIAL);
    query_blob(&query, op->in_put.sender.bytes, NODE_ID_LEN);
    query_int(&query, STORE_PARTIAL_SENDER_MAX - 1);
    if (query_row(&query) && need->own_n == 0)
        need->own_n = 1;
    query_end(&query);
    if (number(db, SQL_FILE_MANY, most - 1) == 0)
        return;
    int64_t over = beyond(number(db, SQL_FILE_PARTIAL_COUNT, -1), most);
    need->all_n = over > need->all_n ? over : need->all_n;
}

static struct store_need look_new(struct store_db *db, const struct store_op *op) {
    uint64_t total = op->in_put.total, all = op->in_put.quota_all, own = op->in_put.quota_sender;
    struct store_need need = {.is_hopeless = (all > 0 && total > all) || (own > 0 && total > own)};
    uint64_t bytes;
    int64_t files;
    get_charge(db, op->in_put.sender.bytes, NODE_ID_LEN, &bytes, &files);
    need.own_bytes = missing(bytes, total, own);
    need.own_n = beyond(files, STORE_FILES_SENDER_MAX);
    get_charge(db, "", 0, &bytes, &files);
    need.all_bytes = missing(bytes, windowed(total, 0), all);
    need.all_n = beyond(files, all_max(op, STORE_FILES_MAX));
    need_place(db, op, &need);
    need.disk_bytes = disk_missing(db, op, total);
    return need;
}

/* What a further block of an accepted file needs: others may have been accepted since. Within its
 * window the file may also use the share that is to stay free, for which no new file is
 * accepted. */
static struct store_need look_further(struct store_db *db, const struct store_op *op,
                                      uint64_t held) {
    struct disk_share share = {.is_of_others = op->in_put.share.is_of_others};
    struct store_need need = {0};
    uint64_t more = growth(op, held);
    if (more > 0) {
        need.all_bytes = missing(store_files_charged(db), more, op->in_put.quota_all);
        need.disk_bytes = disk_missing(db, op, more);
        return need;
    }
    need.disk_bytes = room_missing(db, op->in_put.length, share);
    return need;
}

static struct store_need look(struct store_db *db, const struct store_op *op,
                              const uint64_t *held) {
    return held ? look_further(db, op, *held) : look_new(db, op);
}

/* ---- Dropping parts ---- */

struct stale {
    int64_t row;
    uint64_t held;
    char path[FILE_PATH_MAX];
};

/* Read a part from a query, and end the query. */
static bool read_stale(struct query *query, struct stale *ret_stale) {
    bool found = query_row(query);
    if (found) {
        ret_stale->row = query_get_int(query);
        query_get_text(query, ret_stale->path, sizeof ret_stale->path);
        ret_stale->held = (uint64_t)query_get_int(query);
    }
    query_end(query);
    return found;
}

static bool find_stale(struct store_db *db, bool is_known, int64_t before, int64_t but,
                       struct stale *ret_stale) {
    struct query query = query_begin(db, SQL_FILE_PART_STALE);
    query_int(&query, is_known);
    query_int(&query, before);
    query_int(&query, but);
    return read_stale(&query, ret_stale);
}

static bool find_own(struct store_db *db, const struct store_op *op, int64_t before, int64_t but,
                     struct stale *ret_stale) {
    struct query query = query_begin(db, SQL_FILE_STALE_OF);
    query_blob(&query, op->in_put.sender.bytes, NODE_ID_LEN);
    query_int(&query, before);
    query_int(&query, but);
    return read_stale(&query, ret_stale);
}

bool store_file_sweep_part(struct store_db *db, int64_t before, int *budget) {
    struct stale stale;
    struct query query = query_begin(db, SQL_FILE_PART_OVER);
    query_int(&query, before);
    return read_stale(&query, &stale) &&
           store_file_drop_part(db, stale.row, stale.path, stale.held, budget);
}

bool store_file_sweep_stale(struct store_db *db, int64_t before, int *budget) {
    struct stale stale;
    return (find_stale(db, false, before, 0, &stale) || find_stale(db, true, before, 0, &stale)) &&
           store_file_drop_part(db, stale.row, stale.path, stale.held, budget);
}

static bool can_mend(struct store_db *db, const struct store_op *op, const struct store_need *need,
                     int64_t before, int64_t but) {
    struct store_stale own, any;
    if (need->is_hopeless)
        return false;
    struct query query = query_begin(db, SQL_FILE_STALE_SUM_OF);
    query_blob(&query, op->in_put.sender.bytes, NODE_ID_LEN);
    query_int(&query, before);
    query_int(&query, but);
    store_stale_read(&query, &own);
    if (need->own_bytes > own.bytes || need->own_n > own.n)
        return false;
    query = query_begin(db, SQL_FILE_STALE_SUM);
    query_int(&query, op->in_put.is_known);
    query_int(&query, before);
    query_int(&query, but);
    store_stale_read(&query, &any);
    any.disk += any.windows;
    return store_need_is_mended(need, &own, &any);
}

static bool drop_one(struct store_db *db, const struct store_op *op, bool is_own, int64_t but,
                     int *budget) {
    int64_t before = op->in_put.received.us - STORE_PART_STALE_US;
    struct stale stale;
    bool found = is_own ? find_own(db, op, before, but, &stale)
                        : find_stale(db, false, before, but, &stale) ||
                              (op->in_put.is_known && find_stale(db, true, before, but, &stale));
    return found && store_file_drop_part(db, stale.row, stale.path, stale.held, budget);
}

int store_file_admit(struct store_db *db, const struct store_op *op, int64_t row,
                     const uint64_t *held) {
    int64_t before = op->in_put.received.us - STORE_PART_STALE_US;
    int budget = GIVE_WAY_BUDGET;
    int error = held ? 0 : store_refused(db, op);
    if (error)
        return error;
    struct store_need need = look(db, op, held);
    if (store_need_error(&need) == 0 || !can_mend(db, op, &need, before, row))
        goto out;
    while (store_need_error(&need) != 0 && budget > 0) {
        if (!drop_one(db, op, store_need_is_own(&need), row, &budget))
            break;
        need = look(db, op, held);
    }
out:
    error = store_need_error(&need);
    if (!held)
        store_refuse(db, op, &need, error);
    return error;
}
