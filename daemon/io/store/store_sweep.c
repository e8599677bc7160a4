/* Forgetting, a slice in each transaction: taken messages, finished sends, parts that never became
 * whole, and in the end the tombstones.
 *
 * Threat: an index that names a row which is not there. A step that changes nothing would be
 * repeated for ever, so it counts as damage, and ends the sweep. */
#include "daemon/io/store/store_file.h"
#include "daemon/io/store/store_private.h"

#include <errno.h>

/* What one transaction sweeps at most: this many rows, and a body counts as one more row for each
 * SWEEP_BYTES_ROW bytes. Some 50 ms of work. The rest follows while no operation waits, so that a
 * push never waits for the sweep of a million messages. */
#define SWEEP_ROWS STORE_SLICE_MAX
#define SWEEP_BYTES_ROW 8192

/* An unfinished message or file is dropped this long after it last grew. */
#define UNGROWN_US (24 * US_PER_HOUR)

int store_row_cost(int64_t size) {
    if (size < 0 || size / SWEEP_BYTES_ROW >= SWEEP_ROWS)
        return size < 0 ? 1 : SWEEP_ROWS;
    return 1 + (int)(size / SWEEP_BYTES_ROW);
}

/* A step of the sweep must have changed something; if not, the index is damaged. */
static bool went_on(struct store_db *db, bool changed) {
    if (!changed && !db->error)
        db->error = -EUCLEAN;
    return !db->error;
}

static bool sweep_taken(struct store_db *db, int64_t before, int *budget) {
    struct query query = query_begin(db, SQL_IN_TAKEN_OVER);
    query_int(&query, before);
    bool found = query_row(&query);
    int64_t row = found ? query_get_int(&query) : 0, size = found ? query_get_int(&query) : 0;
    int64_t blocks = found ? query_get_int(&query) : 0;
    query_end(&query);
    *budget -= store_row_cost(size);
    return found && went_on(db, store_in_forget(db, row, blocks));
}

static bool sweep_out(struct store_db *db, int64_t before, int *budget) {
    struct message_id id = {{0}};
    struct query query = query_begin(db, SQL_OUT_OVER);
    query_int(&query, before);
    bool found = query_row(&query);
    if (found) {
        query_get_exact(&query, id.bytes, MESSAGE_ID_LEN);
        *budget -= store_row_cost(query_get_int(&query));
    }
    query_end(&query);
    if (found)
        store_out_forget(db, &id);
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
    bool changed = query_run(&query) > 0;
    /* The highest row: only meta tells from now on that this number was used. */
    if (row == db->next_row - 1)
        store_meta_raise(db, "in_row", row);
    *budget -= 1;
    return went_on(db, changed);
}

/* Free blocks that the last migration found without a message. */
static bool sweep_orphan(struct store_db *db, int64_t before, int *budget) {
    (void)before;
    struct query query = query_begin(db, SQL_ORPHAN);
    bool found = query_row(&query);
    int64_t body = found ? query_get_int(&query) : 0, size = found ? query_get_int(&query) : 0;
    query_end(&query);
    if (!found)
        return false;
    *budget -= store_row_cost(size);
    store_body_delete(db, body);
    query = query_begin(db, SQL_ORPHAN_DELETE);
    query_int(&query, body);
    return went_on(db, query_run(&query) > 0);
}

void store_sweep(struct store_db *db) {
    int64_t now = db->sweep.now.us;
    /* Taken messages first: their tombstones may then be forgotten in the same sweep. */
    const struct {
        bool (*one)(struct store_db *db, int64_t before, int *budget);
        int64_t before;
    } kinds[] = {
        {sweep_taken, now - db->sweep.retention_us},
        {sweep_out, now - db->sweep.retention_us},
        {sweep_tombstone, now},
        {store_part_drop_over, now}, /* parts that their senders have given up */
        {store_part_drop_stale, now - UNGROWN_US},
        {store_file_sweep_taken, now - db->sweep.retention_us},
        {store_file_sweep_part, now},
        {store_file_sweep_stale, now - UNGROWN_US},
        {sweep_orphan, now},
    };
    int budget = db->slice;
    store_file_sweep_missing(db);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        while (budget > 0 && kinds[i].one(db, kinds[i].before, &budget))
            ;
    db->sweep.is_left = budget <= 0;
}
